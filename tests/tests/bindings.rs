// SPDX-License-Identifier: Apache-2.0
//! Bindings on the NIC: what packets, the host and time do to them, and what they do to packets.

use hashgate_nic::{
    Binding, BindingClocks, BindingEventKind, BindingKey, BindingRecord, BindingTable, Copied, KeyRefusal, NicError,
};
use hashgate_packets::builder::{ACK, FIN, RST, SYN, Tcp, Udp, Upper};
use hashgate_regs::defs::{BindingState, Reason, Track, Verdict};
use hashgate_sim::{Build, WireFrame};
use hashgate_tables::{BUCKETS, KeyMask, Tables, Target};
use hashgate_tests::scene::{self, CLIENT4, MAP, QUEUE, RULE, TARGET, VIP4, ip4};
use hashgate_tests::{Bench, for_each_build};
use std::net::Ipv4Addr;

for_each_build!(
    connections_survive_a_map_change,
    affinity_outlives_connections,
    a_dump_is_what_the_model_holds,
    time_ends_bindings,
    late_errors_take_bindings_back,
    the_host_inserts_and_removes,
    a_binding_has_two_keys,
    bindings_are_copied_to_another_nic,
    bad_bindings_are_refused,
    a_new_rule_inherits_no_bindings,
    events_tell_everything,
    a_full_table_refuses_and_keeps,
    a_flush_under_traffic_is_clean,
    a_census_under_traffic_counts_what_stays,
    a_key_in_use_all_the_time_is_busy,
);

/// Another member: its packets are discarded here.
const OTHER: u16 = 77;

/// The scene with a rule that tracks everything.
fn tables(bench: &Bench) -> Tables {
    let mut tables = scene::tables(&bench.limits());
    tables.targets.insert(OTHER, Target::discard());
    tables.rules.get_mut(&RULE).expect("the rule").track = Track::Always;
    tables
}

fn bench(build: Build, change: impl FnOnce(&mut Tables)) -> Bench {
    let mut bench = Bench::new(build, 21);
    bench.stop_time();
    let mut tables = tables(&bench);
    change(&mut tables);
    bench.load(&tables);
    bench
}

fn segment(source_port: u16, flags: u8) -> Vec<u8> {
    scene::frame(ip4(
        VIP4,
        Upper::Tcp(Tcp { source_port, destination_port: 80, flags, options: vec![], payload: vec![] }),
    ))
}

fn datagram(source: Ipv4Addr, source_port: u16) -> Vec<u8> {
    let udp = Udp { source_port, destination_port: 80, payload: vec![1; 30] };
    let mut packet = hashgate_packets::builder::Ip4::new(source, VIP4, Upper::Udp(udp));
    packet.ttl = 9;
    scene::frame(hashgate_packets::builder::Payload::Ip4(packet))
}

fn key(source_port: u16) -> BindingKey {
    let (source, destination) = (CLIENT4.into(), VIP4.into());
    BindingKey { zone: 0, source, destination, source_port, destination_port: 80, protocol: 6 }
}

fn connections_survive_a_map_change(build: Build) {
    let mut bench = bench(build, |_| {});
    let ports = 1000..1200;
    for port in ports.clone() {
        bench.receive(0, &segment(port, SYN));
        bench.receive(0, &segment(port, ACK));
    }
    let reasons: Vec<_> = bench.settle().iter().map(|e| e.reason).collect();
    assert_eq!(
        reasons.iter().filter(|r| **r == Reason::Binding).count(),
        200,
        "a segment finds what the one before made"
    );
    assert_eq!(bench.compare_bindings(), 200);

    // All buckets go to another member.
    let mut next = tables(&bench);
    next.maps.insert(MAP, vec![OTHER; BUCKETS]);
    bench.commit(&next, |_| {});
    bench.settle();
    for port in ports.clone() {
        let event = bench.one(0, &segment(port, ACK));
        assert_eq!((event.verdict, event.reason, event.target), (Verdict::Host, Reason::Binding, Some(TARGET)));
        assert_eq!(event.queue, QUEUE);
    }
    // New connections are the other member's, and so is a port that is used again, from its SYN on.
    for port in [2000, 1000, 1199] {
        let event = bench.one(0, &segment(port, SYN));
        assert_eq!((event.verdict, event.reason, event.target), (Verdict::Discard, Reason::Map, Some(OTHER)));
        assert_eq!(bench.one(0, &segment(port, ACK)).reason, Reason::Map);
    }
    assert_eq!(bench.compare_bindings(), 198);
    bench.compare_counters();
}

fn affinity_outlives_connections(build: Build) {
    let mut bench = bench(build, |tables| {
        let rule = tables.rules.get_mut(&RULE).expect("the rule");
        rule.affinity = true;
        rule.group = 9;
        rule.bucket = KeyMask::SOURCE;
        rule.binding = KeyMask::SOURCE;
        rule.track = Track::Never;
    });
    let client = Ipv4Addr::new(198, 51, 100, 200);
    assert_eq!(bench.one(0, &datagram(client, 5000)).reason, Reason::Map);
    assert_eq!(bench.compare_bindings(), 1);
    let mut next = bench.board.model.active().clone();
    next.maps.insert(MAP, vec![OTHER; BUCKETS]);
    bench.commit(&next, |_| {});
    bench.settle();
    let event = bench.one(0, &datagram(client, 5001));
    assert_eq!((event.reason, event.target), (Reason::Affinity, Some(TARGET)));
    let event = bench.one(0, &datagram(Ipv4Addr::new(198, 51, 100, 201), 5001));
    assert_eq!((event.reason, event.target), (Reason::Map, Some(OTHER)));
    // The target drains: what opens leaves it.
    next.targets.get_mut(&TARGET).expect("the target").draining = true;
    bench.commit(&next, |_| {});
    bench.settle();
    let event = bench.one(0, &datagram(client, 5002));
    assert_eq!((event.reason, event.target), (Reason::Map, Some(OTHER)));
    bench.compare_bindings();
    bench.compare_counters();
}

fn a_dump_is_what_the_model_holds(build: Build) {
    let mut bench = bench(build, |_| {});
    for n in 0..300u16 {
        bench.receive(0, &segment(1000 + n, SYN));
        for (modulus, flags) in [(2, ACK), (3, ACK | FIN), (5, RST)] {
            if n % modulus == 0 {
                bench.receive(0, &segment(1000 + n, flags));
            }
        }
        bench.receive(0, &datagram(Ipv4Addr::from(0xc633_0000 + u32::from(n)), n));
    }
    bench.settle();
    assert_eq!(bench.compare_bindings(), 600);
    bench.compare_binding_events();
    for rule in [None, Some(RULE), Some(RULE + 1)] {
        bench.compare_binding_counts(rule);
    }
    let error = bench.nic.count_bindings(BindingTable::Connection, Some(100)).expect_err("no such rule");
    assert!(error.to_string().contains("rule 100 is out of range: 0..=64"), "{error}");
    let found = bench.nic.bindings(BindingTable::Connection).expect("a dump");
    for state in [BindingState::HalfOpen, BindingState::Established, BindingState::Closing, BindingState::Reset] {
        assert!(found.iter().any(|b| b.record.state == state), "{state:?}");
    }
    let counters = bench.nic.binding_counters(BindingTable::Connection);
    assert_eq!((counters.created, counters.removed, counters.refused, counters.used), (600, 0, 0, 600));
}

fn time_ends_bindings(build: Build) {
    let mut bench = bench(build, |tables| {
        let rule = tables.rules.get_mut(&RULE).expect("the rule");
        rule.timeouts.half_open = 10;
        rule.timeouts.established = 10;
        rule.timeouts.flow = 20;
    });
    bench.nic.set_binding_ticks(12, 14).expect("ticks");
    bench.let_time_pass(1 << 14);
    bench.receive(0, &segment(1000, SYN));
    bench.receive(0, &segment(1001, SYN));
    bench.receive(0, &segment(1001, ACK));
    bench.receive(0, &datagram(CLIENT4, 7));
    bench.settle();
    assert_eq!(bench.compare_bindings(), 3);
    // Ten fast ticks: a fourth of that in slow ones.
    bench.let_time_pass(10 << 12);
    assert_eq!(bench.compare_bindings(), 2);
    assert_eq!(bench.one(0, &segment(1000, ACK)).reason, Reason::Map, "the half-open connection has ended");
    assert_eq!(bench.one(0, &segment(1001, ACK)).reason, Reason::Binding);
    assert_eq!(bench.compare_bindings(), 2);
    bench.let_time_pass(10 << 14);
    assert_eq!(bench.compare_bindings(), 1);
    bench.let_time_pass(20 << 14);
    assert_eq!(bench.compare_bindings(), 0);
    // The sweep clears away what has ended.
    for _ in 0..200 {
        if bench.nic.binding_counters(BindingTable::Connection).used == 0 {
            break;
        }
        bench.run(10_000);
    }
    let counters = bench.nic.binding_counters(BindingTable::Connection);
    assert_eq!((counters.created, counters.removed, counters.used), (3, 3, 0));
}

fn late_errors_take_bindings_back(build: Build) {
    let mut bench = bench(build, |_| {});
    bench.receive_bad(0, &segment(1000, SYN));
    bench.receive(0, &segment(1001, SYN));
    bench.settle();
    bench.run(2_000);
    assert!(bench.nic.find_binding(BindingTable::Connection, &key(1000)).expect("an answer").is_none());
    assert!(bench.nic.find_binding(BindingTable::Connection, &key(1001)).expect("an answer").is_some());
    // A bad frame does not harm a binding that it did not make.
    bench.receive_bad(0, &segment(1001, ACK));
    bench.settle();
    bench.run(2_000);
    assert_eq!(bench.compare_bindings(), 1);
    assert_eq!(bench.one(0, &segment(1001, ACK)).reason, Reason::Binding);
}

/// A record of an established connection to the scene's target that lasts.
fn record(bench: &Bench) -> BindingRecord {
    let state = BindingState::Established;
    let expires = bench.nic.binding_clocks().after(state, 1000);
    BindingRecord { state, target: TARGET, rule: RULE, bucket: 5, expires, fresh: false }
}

fn the_host_inserts_and_removes(build: Build) {
    let mut bench = bench(build, |tables| {
        tables.maps.insert(MAP, vec![OTHER; BUCKETS]);
    });
    let record = record(&bench);
    assert_eq!(bench.nic.find_binding(BindingTable::Connection, &key(4000)).expect("an answer"), None);
    let made = bench.nic.insert_binding(BindingTable::Connection, &key(4000), &record).expect("room");
    assert_eq!((made.key, made.record), (key(4000), record));
    let found = bench.nic.find_binding(BindingTable::Connection, &key(4000)).expect("an answer");
    assert_eq!(found, Some(made));
    assert_eq!(bench.nic.find_binding(BindingTable::Affinity, &key(4000)).expect("an answer"), None);
    bench.nic.insert_binding(BindingTable::Connection, &key(4001), &record).expect("room");
    let dump = bench.nic.bindings(BindingTable::Connection).expect("a dump");
    assert_eq!(dump.len(), 2);
    // It decides for packets like one that they made themselves.
    let event = bench.unchecked_one(0, &segment(4000, ACK));
    assert_eq!((event.reason, event.target), (Reason::Binding, Some(TARGET)));
    assert!(bench.nic.remove_binding(BindingTable::Connection, &key(4000)).expect("an answer"));
    assert!(!bench.nic.remove_binding(BindingTable::Connection, &key(4000)).expect("an answer"), "it is gone");
    let event = bench.unchecked_one(0, &segment(4000, ACK));
    assert_eq!((event.reason, event.target), (Reason::Map, Some(OTHER)));
    let of_target = |binding: &Binding| binding.record.target == TARGET;
    assert_eq!(bench.nic.remove_bindings(BindingTable::Connection, of_target).expect("a dump"), 1);
    assert_eq!(bench.nic.bindings(BindingTable::Connection).expect("a dump"), []);
    bench.nic.insert_binding(BindingTable::Connection, &key(4001), &record).expect("room");
    bench.nic.flush_bindings(0x0123_4567_89ab_cdef_0011_2233_4455_6677).expect("flushed");
    assert_eq!(bench.nic.bindings(BindingTable::Connection).expect("a dump"), []);
}

/// Both keys lead to one binding, for packets and for the host, until it ends.
fn a_binding_has_two_keys(build: Build) {
    const TABLE: BindingTable = BindingTable::Connection;
    let mut bench = bench(build, |_| {});
    let record = BindingRecord { state: BindingState::HalfOpen, ..record(&bench) };
    let expires = bench.nic.binding_clocks().after(record.state, 1000);
    let made = bench.nic.insert_binding(TABLE, &key(4000), &BindingRecord { expires, ..record }).expect("room");
    bench.nic.insert_binding(TABLE, &key(4001), &made.record).expect("room");
    let refused = |bench: &mut Bench, existing: u16, new: u16, why: KeyRefusal| {
        let error = bench.nic.add_key(TABLE, &key(existing), &key(new)).expect_err("refused");
        assert!(matches!(error, NicError::KeyRefused { table: TABLE, why: told, .. } if told == why), "{error}");
    };
    refused(&mut bench, 5000, 5001, KeyRefusal::Ended);
    refused(&mut bench, 4000, 4000, KeyRefusal::Present);
    refused(&mut bench, 4000, 4001, KeyRefusal::Present);
    bench.nic.add_key(TABLE, &key(4000), &key(4100)).expect("room");
    refused(&mut bench, 4000, 4101, KeyRefusal::Two);
    refused(&mut bench, 4100, 4101, KeyRefusal::Two);
    refused(&mut bench, 4001, 4100, KeyRefusal::Present);
    let mixed = BindingKey { destination: scene::VIP6.into(), ..key(4102) };
    let error = bench.nic.add_key(TABLE, &key(4001), &mixed).expect_err("two versions");
    assert!(error.to_string().contains("two IP versions"), "{error}");

    // The host finds it by either, and once in a dump.
    let by = |bench: &mut Bench, port| bench.nic.find_binding(TABLE, &key(port)).expect("an answer").expect("it lives");
    assert_eq!(by(&mut bench, 4000), Binding { other: Some(key(4100)), ..made });
    assert_eq!(by(&mut bench, 4100), Binding { key: key(4100), other: Some(key(4000)), ..made });
    assert_eq!(by(&mut bench, 4001).other, None);
    let dump = bench.nic.bindings(TABLE).expect("a dump");
    let keys: std::collections::BTreeSet<_> = dump.iter().map(|binding| (binding.key, binding.other)).collect();
    assert_eq!(dump.len(), 2);
    assert_eq!(keys, [(key(4000), Some(key(4100))), (key(4001), None)].into());
    assert_eq!(bench.nic.binding_counters(TABLE).used, 2);
    let live: u32 = bench.nic.count_bindings(TABLE, None).expect("a census").iter().sum();
    assert_eq!(live, 2, "it counts once");

    // What a packet does by one key counts for the other.
    let event = bench.unchecked_one(0, &segment(4100, ACK));
    assert_eq!((event.reason, event.target), (Reason::Binding, Some(TARGET)));
    assert_eq!(by(&mut bench, 4000).record.state, BindingState::Established);
    assert_eq!(bench.unchecked_one(0, &segment(4000, ACK | FIN)).reason, Reason::Binding);
    assert_eq!(by(&mut bench, 4100).record.state, BindingState::Closing);

    // It goes to another NIC with both.
    let clocks = bench.nic.binding_clocks();
    let mut new = self::bench(build, |_| {});
    let copied = new.nic.copy_bindings(TABLE, &dump, &clocks).expect("room");
    assert_eq!(copied, Copied { made: 2, ..Copied::default() });
    assert_eq!(by(&mut new, 4100).other, Some(key(4000)));

    assert!(bench.nic.remove_binding(TABLE, &key(4100)).expect("an answer"));
    for port in [4000, 4100] {
        assert_eq!(bench.nic.find_binding(TABLE, &key(port)).expect("an answer"), None, "port {port}");
        assert_eq!(bench.unchecked_one(0, &segment(port, ACK)).reason, Reason::Map);
    }
    assert_eq!(bench.nic.bindings(TABLE).expect("a dump").len(), 1);
}

/// A bucket of UDP moves from one NIC to another: flows that run stay, others are the new owner's.
fn bindings_are_copied_to_another_nic(build: Build) {
    let mut old = bench(build, |_| {});
    for port in 7000..7003 {
        old.one(0, &datagram(CLIENT4, port));
    }
    let theirs = old.nic.binding_clocks();
    let mut dump = old.nic.bindings(BindingTable::Connection).expect("a dump");
    assert_eq!(dump.len(), 3);
    let left = theirs.left(&dump[0].record).expect("it lives");

    // Here ticks are longer, and the target is another member.
    let mut new = Bench::new(build, 22);
    new.stop_time();
    new.nic.set_binding_ticks(21, 33).expect("ticks");
    let mut tables = tables(&new);
    let host = tables.targets.insert(TARGET, Target::discard()).expect("the scene's");
    tables.targets.insert(OTHER, host);
    tables.maps.insert(MAP, vec![OTHER; BUCKETS]);
    new.load(&tables);
    // One has ended meanwhile, one is here already.
    dump[1].record.expires = theirs.slow;
    let copied = new.nic.copy_bindings(BindingTable::Connection, &dump[2..], &theirs).expect("room");
    assert_eq!(copied, Copied { made: 1, ..Copied::default() });
    let copied = new.nic.copy_bindings(BindingTable::Connection, &dump, &theirs).expect("room");
    assert_eq!(copied, Copied { made: 1, present: 1, ended: 1, ..Copied::default() });

    let ours = new.nic.binding_clocks();
    let here = new.nic.find_binding(BindingTable::Connection, &dump[0].key).expect("an answer").expect("it is copied");
    let ns = |clocks: &BindingClocks, ticks: u16| u64::from(ticks) * clocks.tick_ns(BindingState::Flow);
    let (there, lasts) = (ns(&theirs, left), ns(&ours, ours.left(&here.record).expect("it lives")));
    assert!((there..there + ours.slow_tick_ns).contains(&lasts), "{lasts} ns here, {there} ns there");
    // What ran goes on where it was; what is new belongs to this one.
    let of = |bench: &mut Bench, port| {
        let event = bench.unchecked_one(0, &datagram(CLIENT4, port));
        (event.reason, event.verdict, event.target)
    };
    assert_eq!(of(&mut new, 7000), (Reason::Binding, Verdict::Discard, Some(TARGET)));
    assert_eq!(of(&mut new, 7001), (Reason::Map, Verdict::Host, Some(OTHER)));
    assert_eq!(of(&mut new, 7002), (Reason::Binding, Verdict::Discard, Some(TARGET)));
}

fn bad_bindings_are_refused(build: Build) {
    let mut bench = bench(build, |_| {});
    let good = record(&bench);
    bench.nic.insert_binding(BindingTable::Connection, &key(4000), &good).expect("room");
    let over = bench.nic.binding_clocks().slow;
    let cases = [
        (BindingRecord { target: 500, ..good }, "target 500 has no entry"),
        (BindingRecord { target: 1023, ..good }, "target 1023 is out of range"),
        (BindingRecord { rule: 40, ..good }, "rule 40 has no entry"),
        (BindingRecord { bucket: 4096, ..good }, "bucket 4096 is out of range"),
        (BindingRecord { state: BindingState::Free, ..good }, "the state of a binding cannot be free"),
        (BindingRecord { state: BindingState::Flow, ..good }, "state flow does not fit the key"),
        (BindingRecord { expires: over, ..good }, "it would end at tick"),
        (good, "there is a binding of"),
    ];
    for (record, words) in cases {
        let error = bench.nic.insert_binding(BindingTable::Connection, &key(4000), &record);
        let error = error.expect_err(words);
        assert!(matches!(error, NicError::Binding(_)) && error.to_string().contains(words), "{error}");
    }
    let half_open = BindingRecord { state: BindingState::HalfOpen, ..good };
    let udp = BindingKey { protocol: 17, ..key(4000) };
    for (table, key) in [(BindingTable::Connection, udp), (BindingTable::Affinity, key(4000))] {
        let error = bench.nic.insert_binding(table, &key, &half_open).expect_err("not of TCP");
        assert!(error.to_string().contains("state half_open does not fit the key: it has to be flow"), "{error}");
    }
    let mixed = BindingKey { destination: scene::VIP6.into(), ..key(4001) };
    let error = bench.nic.insert_binding(BindingTable::Connection, &mixed, &good).expect_err("two versions");
    assert!(error.to_string().contains("two IP versions"), "{error}");
    for (fast, slow) in [(9, 20), (20, 34)] {
        let error = bench.nic.set_binding_ticks(fast, slow).expect_err("out of range");
        assert!(error.to_string().contains("possible is 2^10 to 2^33"), "{error}");
    }
    let found = bench.nic.bindings(BindingTable::Connection).expect("a dump");
    assert_eq!(found.iter().map(|b| (b.key, b.record)).collect::<Vec<_>>(), [(key(4000), good)]);
}

/// The number of a removed rule is free again once its bindings are gone.
fn a_new_rule_inherits_no_bindings(build: Build) {
    let mut bench = bench(build, |_| {});
    let tables = tables(&bench);
    for port in 4000..4003 {
        bench.one(0, &segment(port, SYN));
    }
    let without = {
        let mut tables = tables.clone();
        tables.rules.remove(&RULE);
        tables.slots.iter_mut().filter(|slot| slot.is_some_and(|slot| slot.rule == RULE)).for_each(|slot| *slot = None);
        tables
    };
    bench.nic.stage(&without).expect("a rule less");
    bench.nic.commit().expect("committed");
    let error = bench.nic.stage(&tables).expect_err("the number is in use");
    let connection = BindingTable::Connection;
    let wanted = NicError::RuleInUse { rule: RULE, table: connection, bindings: 3 };
    assert_eq!(error.to_string(), wanted.to_string());
    // Nothing has changed.
    bench.nic.commit().expect("nothing is staged");
    assert_eq!(bench.nic.bindings(connection).expect("a dump").len(), 3);
    assert_eq!(bench.nic.remove_bindings(connection, |binding| binding.record.rule == RULE).expect("a dump"), 3);
    bench.nic.stage(&tables).expect("the number is free");
    bench.nic.commit().expect("committed");
    assert_eq!(bench.unchecked_one(0, &segment(4000, SYN)).rule, Some(RULE));
}

fn events_tell_everything(build: Build) {
    let mut bench = bench(build, |_| {});
    bench.one(0, &segment(1000, SYN));
    bench.one(0, &segment(1000, ACK));
    bench.one(0, &segment(1000, ACK));
    bench.one(0, &segment(1000, ACK | FIN));
    let removed = bench.nic.remove_binding(BindingTable::Connection, &key(1000)).expect("an answer");
    assert!(removed);
    bench.run(100);
    let mut seen = Vec::new();
    while let Some(event) = bench.nic.next_binding_event().expect("an event") {
        assert_eq!((event.table, event.binding.key), (BindingTable::Connection, key(1000)));
        assert_eq!(event.number, seen.len() as u32);
        seen.push((event.kind, event.binding.record.state));
    }
    use BindingEventKind::{Changed, Created, Removed};
    let wanted =
        [(Created, BindingState::HalfOpen), (Changed, BindingState::Established), (Changed, BindingState::Closing)];
    assert_eq!(seen[..3], wanted);
    assert_eq!(seen[3..].iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Removed]);
    // Too many: what is lost is counted, and the numbers tell where.
    for port in 0..900 {
        bench.receive(0, &segment(2000 + port, SYN));
    }
    bench.settle();
    let mut numbers = Vec::new();
    while let Some(event) = bench.nic.next_binding_event().expect("an event") {
        numbers.push(event.number);
    }
    let lost = bench.nic.lost_binding_events();
    assert!(lost > 0 && numbers.windows(2).all(|pair| pair[0] < pair[1]), "{lost}");
    assert_eq!(numbers.len() as u32 + lost, 900);
    bench.one(0, &segment(3000, SYN));
    let event = bench.nic.next_binding_event().expect("an event").expect("the last one");
    assert_eq!((event.number, event.binding.key), (904, key(3000)));
}

fn a_full_table_refuses_and_keeps(build: Build) {
    // The table of the other build is too large to fill here.
    let sessions = bench(build, |_| {}).nic.info().bindings;
    if sessions > 4096 {
        println!("not run: {sessions} bindings; the build with 4096 shows it");
        return;
    }
    let mut bench = bench(build, |_| {});
    let connections = 5000u16;
    for n in 0..connections {
        bench.receive(0, &segment(1000 + n, SYN));
        if n % 100 == 99 {
            bench.settle();
        }
    }
    bench.settle();
    let counters = bench.nic.binding_counters(BindingTable::Connection);
    assert_eq!(counters.created + counters.refused, u64::from(connections));
    assert!(counters.created >= 4096 * 95 / 100, "{counters:?}");
    assert_eq!(bench.compare_bindings() as u64, counters.created);
    bench.compare_binding_counts(None);
    // All are still there, and the ones that were refused go by the map.
    let mut found = 0;
    for first in (0..connections).step_by(100) {
        (first..first + 100).for_each(|n| bench.receive(0, &segment(1000 + n, ACK)));
        found += bench.settle().iter().filter(|event| event.reason == Reason::Binding).count();
    }
    assert_eq!(found as u64, counters.created);
    bench.compare_counters();

    // The host gets as far as packets do: what finds no room is refused, and nothing changes.
    let dump = bench.nic.bindings(BindingTable::Connection).expect("a dump");
    let record = BindingRecord { fresh: false, ..dump[0].record };
    let full =
        (30_000..31_000).find(|port| match bench.nic.insert_binding(BindingTable::Connection, &key(*port), &record) {
            Ok(_) => false,
            Err(NicError::BindingsFull { table: BindingTable::Connection }) => true,
            Err(other) => panic!("port {port}: {other}"),
        });
    let full = full.expect("a table of 4096 does not take 1000 more");
    assert_eq!(bench.nic.find_binding(BindingTable::Connection, &key(full)).expect("an answer"), None);
    // Some may find room again, when keys have moved.
    let used = bench.nic.binding_counters(BindingTable::Connection).used;
    let others: Vec<_> = (0..30)
        .map(|n| Binding { session: n, key: key(40_000 + n), other: None, record })
        .chain([Binding { session: 30, key: dump[0].key, other: None, record }])
        .collect();
    let clocks = bench.nic.binding_clocks();
    let copied = bench.nic.copy_bindings(BindingTable::Connection, &others, &clocks).expect("an answer");
    assert!(copied.refused > 0 && copied.made + copied.refused == 30, "{copied:?}");
    assert_eq!((copied.present, copied.ended), (1, 0));
    assert_eq!(bench.nic.binding_counters(BindingTable::Connection).used, used + copied.made as u32);
}

/// Bindings by bucket.
fn by_bucket(bindings: &[Binding]) -> Vec<u32> {
    let mut counts = vec![0; BUCKETS];
    for binding in bindings {
        counts[usize::from(binding.record.bucket)] += 1;
    }
    counts
}

/// Lets everything that was pushed go through, unchecked.
fn drain(bench: &Bench) {
    let mut sim = bench.sim();
    sim.run_until_idle(1_000_000).expect("the NIC gets idle");
    while sim.pop_host().is_some() || sim.pop_ingress().is_some() || sim.pop_event().is_some() {}
}

/// Connections are used and opened while their buckets are counted: those from before are counted once, the others at most once.
fn a_census_under_traffic_counts_what_stays(build: Build) {
    let mut bench = bench(build, |_| {});
    let stable = 1000..1300u16;
    stable.clone().for_each(|port| bench.receive(0, &segment(port, SYN)));
    bench.settle();
    let least = by_bucket(&bench.nic.bindings(BindingTable::Connection).expect("a dump"));
    // More cycles than a census takes: it asks for four sessions a cycle, some of them again; then each count is a register access.
    let frames = 1600;
    let gap = (bench.nic.info().bindings + 40 * BUCKETS as u32) / frames;
    for n in 0..frames as u16 {
        let (port, flags) = if n % 2 == 0 { (stable.start + n % 300, ACK) } else { (5000 + n, SYN) };
        bench.sim().push_wire(0, WireFrame { data: segment(port, flags), error: false, gap });
    }
    bench.sim().run(1000);
    let counted = bench.nic.count_bindings(BindingTable::Connection, None).expect("a census");
    assert!(bench.sim().rx_pending() > 0, "frames came until its end");
    drain(&bench);
    let most = by_bucket(&bench.nic.bindings(BindingTable::Connection).expect("a dump"));
    assert!(most.iter().sum::<u32>() > least.iter().sum::<u32>() + 700, "connections were opened");
    for (bucket, counted) in counted.iter().enumerate() {
        assert!((least[bucket]..=most[bucket]).contains(counted), "bucket {bucket}: {counted}");
    }
}

/// The host cannot change what packets use in every cycle; it is told so, and others are served.
fn a_key_in_use_all_the_time_is_busy(build: Build) {
    let mut bench = bench(build, |_| {});
    for port in [1000, 1001] {
        bench.one(0, &segment(port, SYN));
    }
    // One in every cycle that the ports leave.
    for _ in 0..4_000 * build.beat_bytes() {
        bench.sim().push_wire(0, WireFrame { data: segment(1000, ACK), error: false, gap: 0 });
    }
    bench.sim().run(100);
    let busy = bench.nic.remove_binding(BindingTable::Connection, &key(1000));
    assert!(matches!(busy, Err(NicError::BindingBusy { table: BindingTable::Connection, .. })), "{busy:?}");
    assert!(bench.nic.remove_binding(BindingTable::Connection, &key(1001)).expect("an answer"));
    assert!(bench.sim().rx_pending() > 0, "frames came until then");
    drain(&bench);
    assert!(bench.nic.remove_binding(BindingTable::Connection, &key(1000)).expect("an answer"));
    assert_eq!(bench.nic.bindings(BindingTable::Connection).expect("a dump"), []);
}

/// Connections open while the tables empty themselves: those made before are gone, those that come meanwhile make nothing.
fn a_flush_under_traffic_is_clean(build: Build) {
    const CONNECTIONS: u16 = 1200;
    let mut bench = bench(build, |_| {});
    // The frames take twice as long as a flush: a row a cycle, then the hash tables.
    let gap = (bench.nic.info().bindings / 4 + 4000) * 2 / u32::from(CONNECTIONS);
    for n in 0..CONNECTIONS {
        bench.sim().push_wire(0, WireFrame { data: segment(2000 + n, SYN), error: false, gap });
    }
    bench.sim().run(u64::from(gap) * 200);
    let before = bench.nic.binding_counters(BindingTable::Connection).created;
    assert!(before > 50, "connections were open before: {before}");
    bench.nic.flush_bindings(7).expect("flushed");
    drain(&bench);
    let found = bench.nic.bindings(BindingTable::Connection).expect("a dump");
    let live: u32 = bench.nic.count_bindings(BindingTable::Connection, None).expect("a census").iter().sum();
    assert_eq!(live as usize, found.len(), "nothing is left that no key leads to");
    assert_eq!(bench.nic.binding_counters(BindingTable::Connection).used as usize, found.len());
    let mut ports: Vec<_> = found.iter().map(|binding| binding.key.source_port).collect();
    ports.sort_unstable();
    // All that came after it, without a gap.
    assert!(ports.len() > 50 && ports.len() < usize::from(CONNECTIONS - 200), "{}", ports.len());
    assert_eq!(ports, (2000 + CONNECTIONS - ports.len() as u16..2000 + CONNECTIONS).collect::<Vec<_>>());
    for (port, reason) in [(2000, Reason::Map), (ports[0] - 1, Reason::Map), (ports[0], Reason::Binding)] {
        assert_eq!(bench.unchecked_one(0, &segment(port, ACK)).reason, reason, "port {port}");
    }
}
