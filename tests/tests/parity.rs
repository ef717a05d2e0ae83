// SPDX-License-Identifier: Apache-2.0
//! A table word with wrong parity discards the frames that need it, and only those.
//!
//! Not for the match slots: they are registers without parity.

use hashgate_nic::BindingTable;
use hashgate_packets::builder::{ACK, SYN};
use hashgate_regs::defs::{Mode, Reason, Table, Track, Verdict};
use hashgate_sim::{Build, NicMemory, VerdictEvent, WireFrame};
use hashgate_tables::{Mac, Tables, Target};
use hashgate_tests::scene::{self, DEDICATED4, MAP, RULE, TARGET, ip4, tcp, tcp4};
use hashgate_tests::{Bench, for_each_build};

for_each_build!(
    zone_table,
    multicast_filter,
    vip_table,
    rule_table,
    each_word_of_a_rule,
    target_table,
    bucket_map,
    bucket_flags,
    flags_of_an_owner,
    flags_of_an_affinity_target,
    record_of_a_connection,
);

const GROUP: Mac = Mac([0x01, 0, 0x5e, 1, 2, 3]);

/// The event of a frame, past the model, which knows nothing of parity.
fn event(bench: &Bench, frame: &[u8], error: bool) -> VerdictEvent {
    let mut sim = bench.sim();
    sim.push_wire(0, WireFrame { data: frame.to_vec(), error, gap: 0 });
    sim.run_until_idle(100_000).expect("the NIC gets idle");
    while sim.pop_ingress().is_some() || sim.pop_host().is_some() {}
    let event = sim.pop_event().expect("a frame, an event");
    assert_eq!(sim.pop_event(), None);
    event
}

/// A frame that needs every table.
fn needs_all() -> Vec<u8> {
    [&GROUP.0[..], &tcp4(80, ACK)[6..]].concat()
}

fn scene(bench: &Bench) -> Tables {
    let mut tables = scene::tables(&bench.limits());
    tables.multicast.insert(GROUP);
    tables
}

/// Spoils the parity of a whole table (or of the scene's map) with a commit that changes one entry of it elsewhere.
fn spoilt(build: Build, table: Table, change: impl FnOnce(&mut Tables)) -> Bench {
    spoilt_words(build, table, None, change)
}

/// The same with one word of the table only.
fn spoilt_words(build: Build, table: Table, word: Option<u32>, change: impl FnOnce(&mut Tables)) -> Bench {
    let mut bench = Bench::new(build, 21);
    let tables = scene(&bench);
    bench.load(&tables);
    assert_eq!(event(&bench, &needs_all(), false).reason, Reason::Map);
    assert_eq!(bench.nic.faults().parity_errors, 0);
    let mut changed = tables.clone();
    change(&mut changed);
    bench.nic.stage(&changed).expect("staged");
    let registers = bench.nic.registers();
    // What the driver has checked last is the one table that changed.
    let (first, count) = (registers.check_first(), registers.check_count());
    assert_eq!(registers.table_select().id, table as u8);
    match word {
        None => bench.rewrite(table, first, count, true),
        Some(word) => bench.rewrite(table, first + word, 1, true),
    }
    registers.set_check(true);
    bench.end_check();
    assert!(registers.check_result(), "parity is no content");
    bench.nic.commit().expect("committed");
    bench
}

/// The frame is discarded for its parity, counted and reported, by no rule and no target.
fn assert_discards(bench: &mut Bench) {
    let before = bench.counted(Verdict::Discard, Reason::TableParity).packets;
    let rules = bench.nic.rule_counter(RULE);
    let targets = bench.nic.target_counter(TARGET);
    let errors = bench.nic.faults().parity_errors;
    bench.nic.clear_faults();
    let event = event(bench, &needs_all(), false);
    assert_eq!((event.verdict, event.reason), (Verdict::Discard, Reason::TableParity));
    assert_eq!(bench.counted(Verdict::Discard, Reason::TableParity).packets, before + 1);
    assert_eq!((bench.nic.rule_counter(RULE), bench.nic.target_counter(TARGET)), (rules, targets));
    let faults = bench.nic.faults();
    assert!(faults.parity && faults.parity_errors > errors, "{faults:?}");
    // A late check still beats it.
    assert_eq!(self::event(bench, &needs_all(), true).reason, Reason::FrameError);
}

/// With the scene loaded again into the other bank everything is as before.
fn assert_recovers(mut bench: Bench) {
    let tables = scene(&bench);
    bench.nic.load(&tables).expect("loaded");
    bench.nic.clear_faults();
    assert_eq!(event(&bench, &needs_all(), false).reason, Reason::Map);
    assert!(!bench.nic.faults().parity);
}

/// Frames that do not get as far as the table are not touched.
fn assert_spares(bench: &Bench, frame: &[u8], reason: Reason) {
    assert_eq!(event(bench, frame, false).reason, reason);
}

fn dedicated() -> Vec<u8> {
    scene::frame(ip4(DEDICATED4, tcp(80, ACK)))
}

fn zone_table(build: Build) {
    let mut bench = spoilt(build, Table::Zone, |tables| {
        tables.zones.insert((0, 4000), 1);
    });
    assert_discards(&mut bench);
    assert_recovers(bench);
}

fn multicast_filter(build: Build) {
    let mut bench = spoilt(build, Table::Mac, |tables| {
        tables.multicast.insert(Mac([1, 0, 0x5e, 9, 9, 9]));
    });
    assert_discards(&mut bench);
    assert_spares(&bench, &tcp4(80, ACK), Reason::Map);
    assert_recovers(bench);
}

fn vip_table(build: Build) {
    let mut bench = spoilt(build, Table::Vip, |tables| {
        tables.vips[2].addr = [192, 0, 2, 2].into();
    });
    assert_discards(&mut bench);
    assert_recovers(bench);
}

fn rule_table(build: Build) {
    let mut bench = spoilt(build, Table::Rule, |tables| {
        tables.rules.insert(40, scene::rule(MAP));
    });
    assert_discards(&mut bench);
    assert_spares(&bench, &dedicated(), Reason::Dedicated);
    assert_recovers(bench);
}

fn each_word_of_a_rule(build: Build) {
    for word in 0..Table::Rule.words() {
        let at = u32::from(RULE) * Table::Rule.stride() + word;
        let mut bench = spoilt_words(build, Table::Rule, Some(at), |tables| {
            tables.rules.insert(40, scene::rule(MAP));
        });
        assert_discards(&mut bench);
    }
}

fn target_table(build: Build) {
    let mut bench = spoilt(build, Table::Target, |tables| {
        tables.targets.insert(700, Target::deliver(1));
    });
    assert_discards(&mut bench);
    assert_spares(&bench, &dedicated(), Reason::Dedicated);
    // Blocked before the target is asked: still so.
    let mut blocked = scene(&bench);
    blocked.targets.insert(700, Target::deliver(1));
    blocked.rules.get_mut(&RULE).expect("the rule").mode = Mode::Disabled;
    bench.nic.stage(&blocked).expect("staged");
    bench.nic.commit().expect("committed");
    assert_spares(&bench, &needs_all(), Reason::RuleDisabled);
    assert_recovers(bench);
}

fn bucket_map(build: Build) {
    let mut bench = spoilt(build, Table::Map, |tables| {
        let owners = tables.maps.get_mut(&MAP).expect("the map");
        owners[4095] = scene::DEFAULT_TARGET;
    });
    assert_discards(&mut bench);
    assert_spares(&bench, &dedicated(), Reason::Dedicated);
    // Another map has its own words.
    assert_spares(&bench, &tcp4(1, ACK), Reason::DefaultHost);
    assert_recovers(bench);
}

fn bucket_flags(build: Build) {
    let mut bench = Bench::new(build, 22);
    let tables = scene(&bench);
    bench.load(&tables);
    let (first, count) = (256 * u32::from(MAP), 256);
    bench.rewrite(Table::Flags, first, count, true);
    assert_discards(&mut bench);
    assert_spares(&bench, &dedicated(), Reason::Dedicated);
    bench.rewrite(Table::Flags, first, count, false);
    assert_eq!(event(&bench, &needs_all(), false).reason, Reason::Map);
}

/// Word of the flags of [`TARGET`] after the first commit, which is of bank 1.
const FLAGS_OF_TARGET: u32 = 1024 + TARGET as u32;

fn flags_of_an_owner(build: Build) {
    let mut bench = Bench::new(build, 23);
    let tables = scene(&bench);
    bench.load(&tables);
    for bit in 0..3 {
        bench.sim().upset(NicMemory::OwnerFlags, FLAGS_OF_TARGET, 1 << bit);
        assert_discards(&mut bench);
        // Whose map has another owner.
        assert_spares(&bench, &tcp4(1, ACK), Reason::DefaultHost);
        bench.sim().upset(NicMemory::OwnerFlags, FLAGS_OF_TARGET, 1 << bit);
        assert_eq!(event(&bench, &needs_all(), false).reason, Reason::Map);
    }
    assert_recovers(bench);
}

/// How often each binding table met wrong parity, and whether there was any since this was asked last.
fn binding_parity(bench: &mut Bench) -> (u32, u32, bool) {
    let any = bench.nic.faults().binding_parity;
    bench.nic.clear_faults();
    let errors = |table| bench.nic.binding_counters(table).parity_errors;
    (errors(BindingTable::Connection), errors(BindingTable::Affinity), any)
}

/// A client whose target cannot be told to be draining or not stays where it is; that is reported.
fn flags_of_an_affinity_target(build: Build) {
    let mut bench = Bench::new(build, 24);
    let mut tables = scene(&bench);
    tables.rules.get_mut(&RULE).expect("the rule").affinity = true;
    bench.load(&tables);
    let opens = scene::udp4(80, 30);
    assert_eq!(event(&bench, &opens, false).reason, Reason::Map);
    for (n, bit) in (0..3).enumerate() {
        bench.sim().upset(NicMemory::AffinityFlags, FLAGS_OF_TARGET, 1 << bit);
        let event = event(&bench, &opens, false);
        assert_eq!((event.reason, event.target), (Reason::Affinity, Some(TARGET)));
        assert_eq!(binding_parity(&mut bench), (0, n as u32 + 1, true));
        bench.sim().upset(NicMemory::AffinityFlags, FLAGS_OF_TARGET, 1 << bit);
        assert_eq!(self::event(&bench, &opens, false).reason, Reason::Affinity);
        assert_eq!(binding_parity(&mut bench), (0, n as u32 + 1, false));
    }
}

/// A connection whose record was hit goes by the map, and that is reported; its next SYN makes it anew.
fn record_of_a_connection(build: Build) {
    let mut bench = Bench::new(build, 25);
    let mut tables = scene(&bench);
    tables.rules.get_mut(&RULE).expect("the rule").track = Track::Always;
    bench.load(&tables);
    assert_eq!(event(&bench, &tcp4(80, SYN), false).reason, Reason::Map);
    assert_eq!(event(&bench, &tcp4(80, ACK), false).reason, Reason::Binding);
    assert_eq!(binding_parity(&mut bench), (0, 0, false));
    let binding = bench.nic.bindings(BindingTable::Connection).expect("a dump").pop().expect("the binding");
    bench.sim().upset(NicMemory::ConnectionRecords, binding.session.into(), 1 << 20);
    assert_eq!(event(&bench, &tcp4(80, ACK), false).reason, Reason::Map);
    assert_eq!(binding_parity(&mut bench), (1, 0, true));
    assert_eq!(event(&bench, &tcp4(80, SYN), false).reason, Reason::Map);
    assert_eq!(event(&bench, &tcp4(80, ACK), false).reason, Reason::Binding);
    assert_eq!(binding_parity(&mut bench), (2, 0, true), "the SYN met it once more");
}
