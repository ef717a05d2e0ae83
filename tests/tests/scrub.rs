// SPDX-License-Identifier: Apache-2.0
//! The scrubber finds what changes in an active map, and is in nobody's way.

use hashgate_regs::registers::TableSelect;
use hashgate_sim::{Build, NicMemory};
use hashgate_tables::{BUCKETS, NOBODY};
use hashgate_tests::scene::{self, MAP, TARGET};
use hashgate_tests::{Bench, for_each_build};

for_each_build!(finds_a_changed_owner, says_nothing_about_sound_maps, makes_way_for_checks_and_commits);

/// Cycles in which the scrubber gets through the maps of the scene, with some to spare.
const ROUND: u64 = 2 * (BUCKETS as u64 / 2) + 4 * 128 + 1000;
/// Words of a map.
const WORDS: u32 = BUCKETS as u32 / 2;

/// The scene's NIC with a scrubber that hardly pauses.
fn bench(build: Build) -> Bench {
    let mut bench = Bench::new(build, 31);
    let tables = scene::tables(&bench.limits());
    bench.load(&tables);
    bench.nic.registers().set_scrub_interval(1);
    bench
}

fn finds_a_changed_owner(build: Build) {
    let mut bench = bench(build);
    let last = bench.limits().maps - 1;
    for map in [MAP, last] {
        bench.run(ROUND);
        assert!(!bench.nic.faults().scrub, "map {map}: nothing has changed yet");
        // The map was committed once, so it is in bank 1. Two bits: the parity stays right.
        let word = u32::from(map) * WORDS + WORDS - 1;
        bench.sim().upset(NicMemory::MapBank1, word, 0b11 << 10);
        bench.run(ROUND);
        let faults = bench.nic.faults();
        assert!(faults.scrub && faults.scrub_errors > 0, "map {map}");
        assert_eq!(faults.scrub_map, map);
        // Put right, it is found no more.
        bench.sim().upset(NicMemory::MapBank1, word, 0b11 << 10);
        bench.run(ROUND);
        bench.nic.clear_faults();
        bench.run(ROUND);
        assert!(!bench.nic.faults().scrub, "map {map} is as it was");
    }
    // The other bank of a map is the shadow: what happens there is found by the check before a commit.
    bench.sim().upset(NicMemory::MapBank0, u32::from(MAP) * WORDS, 1);
    bench.run(ROUND);
    assert!(!bench.nic.faults().scrub);
    // Nor is an active map before the pause is over.
    bench.nic.registers().set_scrub_interval(1 << 30);
    bench.run(ROUND);
    bench.sim().upset(NicMemory::MapBank1, u32::from(MAP) * WORDS, 0b11);
    bench.run(ROUND);
    assert!(!bench.nic.faults().scrub);
    bench.sim().upset(NicMemory::MapBank1, u32::from(MAP) * WORDS, 0b11);
    // Nothing is scrubbed while the scrubber is off.
    bench.nic.registers().set_scrub_interval(0);
    bench.run(ROUND);
    bench.sim().upset(NicMemory::MapBank1, u32::from(MAP) * WORDS, 0b11);
    bench.run(ROUND);
    assert!(!bench.nic.faults().scrub);
}

fn says_nothing_about_sound_maps(build: Build) {
    let mut bench = bench(build);
    let mut tables = scene::tables(&bench.limits());
    let maps: Vec<u8> = [0, MAP, 2, 40, bench.limits().maps - 1].into();
    for round in 0..6u16 {
        for map in &maps {
            tables
                .maps
                .insert(*map, (0..BUCKETS).map(|b| if b as u16 % 7 == round { NOBODY } else { TARGET }).collect());
        }
        bench.commit(&tables, |bench| bench.receive(0, &scene::udp4(1, 30)));
        bench.settle();
        bench.run(u64::from(round) * 1777);
    }
    bench.run(4 * ROUND);
    let faults = bench.nic.faults();
    assert_eq!((faults.scrub, faults.scrub_errors), (false, 0));
    bench.compare_counters();
}

/// A scrub takes two thousand reads; who wants to check or commit does not wait for its end.
fn makes_way_for_checks_and_commits(build: Build) {
    let mut bench = bench(build);
    let select = TableSelect { id: hashgate_regs::defs::Table::Target as u8, ..TableSelect::default() };
    bench.nic.registers().set_table_select(select);
    bench.nic.registers().set_check_first(0);
    bench.nic.registers().set_check_count(8);
    for n in 0..40 {
        bench.run(n * 61);
        let before = bench.sim().cycle();
        bench.nic.registers().set_check(true);
        bench.end_check();
        let check = bench.sim().cycle() - before;
        assert!(check < 250, "a check of eight words took {check} cycles");
        let before = bench.sim().cycle();
        bench.nic.registers().set_commit(0);
        let commit = bench.sim().cycle() - before;
        assert!(commit < 250, "an empty commit took {commit} cycles");
    }
}
