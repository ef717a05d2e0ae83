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

for_each_build!(all_tables_switch_at_once, loading_does_not_disturb, an_unverified_commit_changes_nothing);

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
