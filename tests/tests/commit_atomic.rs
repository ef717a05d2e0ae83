// SPDX-License-Identifier: Apache-2.0
//! A commit switches all tables at one point between two frames, or nothing.

use hashgate_nic::NicError;
use hashgate_packets::builder::{ACK, SYN};
use hashgate_regs::defs::{Reason, Table, Verdict};
use hashgate_regs::registers::TableSelect;
use hashgate_sim::Build;
use hashgate_tables::{BUCKETS, KeyMask, Mac, MatchSlot, Rule, Tables, Target};
use hashgate_tests::scene::{self, MAP, RULE, TARGET, VIP_ID, VIP4, ip4, tagged, tcp, tcp4, udp4};
use hashgate_tests::{Bench, for_each_build};

for_each_build!(
    all_tables_switch_at_once,
    loading_does_not_disturb,
    an_unverified_commit_changes_nothing,
    a_check_of_a_part_verifies_nothing,
    a_check_of_nothing_ends,
    the_first_check_is_as_good_as_the_next,
    what_is_no_table_is_not_committed,
    shadows_wait_for_frames_of_the_old_generation,
);

/// Two sets of tables that have nothing in common: any mixture of them discards the frame, delivers it by another rule or
/// to a third queue.
fn generations(bench: &Bench) -> [Tables; 2] {
    let scene = scene::tables(&bench.limits());
    [(5u8, 1u8, 100u16, 10u8, 1u8), (6, 2, 200, 20, 2)].map(|(rule, map, target, queue, zone)| {
        let mut tables = scene.clone();
        tables.zones.insert((0, 7), zone);
        for vip in &mut tables.vips {
            vip.zone = zone;
        }
        tables.multicast.insert(Mac([1, 0, 0x5e, 0, 0, queue]));
        let slot = MatchSlot { vip: Some(VIP_ID), tcp: true, udp: true, ports: (80, 443), fragment: true, rule };
        tables.slots = vec![None; usize::from(rule)];
        tables.slots.push(Some(slot));
        tables.rules = [(rule, Rule { bucket: KeyMask::SOURCE, ..scene::rule(map) })].into();
        // The other generation's map names the wrong target.
        tables.maps = [(map, vec![target; BUCKETS]), (3 - map, vec![300; BUCKETS])].into();
        tables.targets = [(target, Target::deliver(queue)), (300, Target::deliver(99))].into();
        tables
    })
}

fn all_tables_switch_at_once(build: Build) {
    let mut bench = Bench::new(build, 7);
    let generations = generations(&bench);
    bench.load(&generations[0]);
    let good = tagged(7, ip4(VIP4, tcp(80, SYN)));
    let multicast = |queue: u8| [&[1, 0, 0x5e, 0, 0, queue][..], &good[6..]].concat();
    for n in 1..=20 {
        let (old, new) = (&generations[(n - 1) % 2], &generations[n % 2]);
        bench.commit(new, |bench| {
            for _ in 0..150 {
                bench.receive(0, &good);
                bench.receive(0, &multicast(10));
                bench.receive(0, &multicast(20));
            }
        });
        let events = bench.settle();
        assert_eq!(events.len(), 450);
        let by = |tables: &Tables| {
            let (rule, _) = tables.rules.first_key_value().expect("a rule");
            events.iter().filter(|e| e.reason == Reason::Map && e.rule == Some(*rule)).count()
        };
        // Each generation takes the frame itself and one of the two groups; a switch between a frame to one
        // group and the next to the other lets both in, or neither.
        let others = events.iter().filter(|e| e.reason == Reason::NotMyMac).count();
        assert_eq!(by(old) + by(new) + others, 450, "commit {n}");
        assert!((149..=151).contains(&others), "commit {n}: {others} frames to groups that were not joined");
        assert!(by(old) > 0 && by(new) > 0, "commit {n} happened under traffic: {} and {}", by(old), by(new));
    }
    bench.compare_counters();
}

fn loading_does_not_disturb(build: Build) {
    let mut bench = Bench::new(build, 8);
    let generations = generations(&bench);
    bench.load(&generations[0]);
    let good = tagged(7, ip4(VIP4, tcp(80, SYN)));
    // Frames all the time while every table and map is written and checked.
    for _ in 0..3000 {
        bench.receive(0, &good);
    }
    bench.nic.stage_unchecked(&generations[1]).expect("staged");
    let events = bench.settle();
    assert_eq!(events.len(), 3000);
    assert!(events.iter().all(|e| (e.verdict, e.rule, e.queue) == (Verdict::Host, Some(5), 10)));
    bench.commit(&generations[1], |_| {});
    bench.settle();
    assert_eq!(bench.one(0, &good).queue, 20);
}

fn an_unverified_commit_changes_nothing(build: Build) {
    let mut bench = Bench::new(build, 9);
    let scene = scene::tables(&bench.limits());
    bench.load(&scene);
    let mut other = scene.clone();
    other.targets.insert(TARGET, Target::deliver(44));
    other.maps.insert(MAP, vec![2; BUCKETS]);
    for (table, index) in [(Table::Target, 2 * u32::from(TARGET)), (Table::Map, 2048 * u32::from(MAP))] {
        bench.nic.stage(&other).expect("staged");
        // Somebody else writes to the shadow of one of them: the whole commit is refused.
        let registers = bench.nic.registers();
        registers.set_table_select(TableSelect { id: table as u8, ..TableSelect::default() });
        registers.set_table_index(index);
        registers.set_table_data(0);
        let generation = registers.generation();
        let refused = bench.nic.commit();
        assert!(matches!(refused, Err(NicError::CommitRefused { .. })), "{table:?}: {refused:?}");
        assert_eq!(bench.nic.registers().generation(), generation);
        assert!(bench.nic.faults().commit_refused);
        let event = bench.one(0, &tcp4(80, ACK));
        assert_eq!((event.rule, event.target, event.queue), (Some(RULE), Some(TARGET), scene::QUEUE));
        assert_eq!(bench.one(0, &udp4(80, 9)).queue, scene::QUEUE);
        bench.nic.clear_faults();
    }
    // Staged again it is accepted.
    bench.commit(&other, |_| {});
    bench.settle();
    assert_eq!(bench.one(0, &tcp4(80, ACK)).target, Some(2));
    assert!(!bench.nic.faults().commit_refused);
    bench.compare_counters();
}

/// Reads so many words of the shadow of a table back and gives their CRC.
fn check(bench: &Bench, table: Table, first: u32, count: u32, expected: u32) -> u32 {
    let registers = bench.nic.registers();
    registers.set_table_select(TableSelect { id: table as u8, ..TableSelect::default() });
    registers.set_check_first(first);
    registers.set_check_count(count);
    registers.set_check_expect(expected);
    registers.set_check(true);
    bench.end_check();
    registers.check_crc()
}

/// Commits one table or map past the driver; whether the NIC did.
fn commits(bench: &mut Bench, tables: u8, map: Option<u8>) -> bool {
    let registers = bench.nic.registers();
    let generation = registers.generation();
    for word in 0..3 {
        let bit = map.filter(|map| usize::from(map / 32) == word).map_or(0, |map| 1 << (map % 32));
        registers.set_commit_maps(word, bit);
    }
    registers.set_commit(tables);
    let done = registers.generation() != generation;
    assert_eq!(bench.nic.faults().commit_refused, !done, "refused or done");
    bench.nic.clear_faults();
    done
}

fn a_check_of_a_part_verifies_nothing(build: Build) {
    let mut bench = Bench::new(build, 10);
    let scene = scene::tables(&bench.limits());
    bench.load(&scene);
    let words = 2 * u32::from(bench.limits().targets);
    let (base, half) = (2048 * u32::from(MAP), BUCKETS as u32 / 2);
    for (table, first, count, whole) in [
        (Table::Target, 0, words - 1, false),
        (Table::Target, 1, words - 1, false),
        (Table::Target, 1, words, false),
        (Table::Target, 0, words, true),
        (Table::Map, base, half - 1, false),
        (Table::Map, base + 1, half - 1, false),
        (Table::Map, base + 1, half, false),
        (Table::Map, base, half, true),
    ] {
        let map = (table == Table::Map).then_some(MAP);
        // A write makes the shadow unverified.
        bench.rewrite(table, first, 1, false);
        let crc = check(&bench, table, first, count, 0);
        assert_eq!(check(&bench, table, first, count, crc), crc);
        assert!(bench.nic.registers().check_result(), "the CRC was as expected");
        let tables = if map.is_none() { 1 << table as u8 } else { 0 };
        assert_eq!(commits(&mut bench, tables, map), whole, "{table:?}: {count} words from {first} on");
    }
}

fn a_check_of_nothing_ends(build: Build) {
    let mut bench = Bench::new(build, 11);
    let tables = scene::tables(&bench.limits());
    bench.load(&tables);
    assert_eq!(check(&bench, Table::Target, 0, 0, 0), 0, "CRC-32 of no bytes");
    assert!(!commits(&mut bench, 1 << Table::Target as u8, None), "nothing was verified");
}

/// Whatever the registers of the check held at power-on.
fn the_first_check_is_as_good_as_the_next(build: Build) {
    for power_on in 1..=4 {
        let bench = Bench::new(build, power_on);
        let first = check(&bench, Table::Target, 0, 8, 0);
        assert_eq!(first, check(&bench, Table::Target, 0, 8, 0), "power-on {power_on}");
    }
}

fn what_is_no_table_is_not_committed(build: Build) {
    let mut bench = Bench::new(build, 12);
    let tables = scene::tables(&bench.limits());
    bench.load(&tables);
    for bit in [6, 7] {
        assert!(!commits(&mut bench, 1 << bit, None), "bit {bit}");
    }
}

/// Right after a commit the former tables are the shadow, and frames that were inside still need them.
fn shadows_wait_for_frames_of_the_old_generation(build: Build) {
    let mut bench = Bench::new(build, 13);
    let mut tables = scene::tables(&bench.limits());
    bench.load(&tables);
    for n in 0..20u8 {
        tables.targets.insert(TARGET, Target::deliver(100 + n));
        bench.nic.stage_unchecked(&tables).expect("staged");
        for _ in 0..400 {
            bench.receive(0, &udp4(80, 9));
        }
        bench.run(100);
        let mut next = bench.board.model.clone();
        next.commit(tables.clone());
        let registers = bench.nic.registers();
        registers.set_table_select(TableSelect { id: Table::Target as u8, ..TableSelect::default() });
        registers.set_table_index(2 * u32::from(TARGET));
        for word in 0..3 {
            registers.set_commit_maps(word, 0);
        }
        bench.begin_switch(next);
        let registers = bench.nic.registers();
        registers.set_commit(1 << Table::Target as u8);
        registers.set_table_data(0);
        bench.end_switch();
        let events = bench.settle();
        let queues = |queue| events.iter().filter(|e| e.queue == queue).count();
        let old = if n == 0 { scene::QUEUE } else { 99 + n };
        assert_eq!(queues(old) + queues(100 + n), 400, "commit {n}");
        assert!(queues(old) > 0 && queues(100 + n) > 0, "commit {n} happened under traffic");
    }
}
