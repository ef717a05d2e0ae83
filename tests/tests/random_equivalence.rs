// SPDX-License-Identifier: Apache-2.0
//! The NIC does what the model says, whatever arrives, while tables, settings and flags change, time passes and host and
//! wires stall. Its binding tables, their events and counts are compared too.
//!
//! At least 200 000 frames for each build, in two tests that run side by side; each of them goes on until every
//! combination that can be reached has been, and fails if one has not after twice as many frames. `HASHGATE_FRAMES` asks
//! for a short run of so many frames that need not see every combination: the judge of deliberate RTL bugs.

use hashgate_model::Nic as Model;
use hashgate_nic::BindingTable;
use hashgate_packets::random::{Generator, Profile};
use hashgate_packets::tables::{Options, change, flag_change, switch, tables};
use hashgate_sim::{Build, Ready};
use hashgate_tables::{Limits, Tables};
use hashgate_tests::{Bench, for_each_build, seed};
use rand::{Rng, RngCore};
use std::collections::BTreeMap;

/// Frames of each test.
const FRAMES: u64 = 100_000;
/// Frames of a round that come from when its new tables are staged, which takes about as long.
const STAGING_FRAMES: u64 = 400;
/// Frames that come when they are committed, so that there are some however long staging took.
const COMMIT_FRAMES: u64 = 100;
/// Cycles by which a frame may come before its turn, while one of another port is still to come.
const BURST_CYCLES: u64 = 1000;
/// Rounds from one fresh set of tables to the next.
const TABLES_ROUNDS: u64 = 40;
/// Rounds from one comparison of the binding tables to the next.
const BINDINGS_ROUNDS: u64 = 100;
/// Rounds from one comparison of the binding events to the next.
const EVENTS_ROUNDS: u64 = 20;

for_each_build!(first_half, second_half);

/// Frames of a short run, if one is asked for.
fn short_run() -> Option<u64> {
    let text = std::env::var("HASHGATE_FRAMES").ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("HASHGATE_FRAMES is \"{text}\": write a number of frames")))
}

fn first_half(build: Build) {
    random_equivalence(build, seed());
}

fn second_half(build: Build) {
    random_equivalence(build, seed().wrapping_add(1));
}

/// How hard a round is for the buffers.
fn readiness(rng: &mut impl Rng) -> Ready {
    match rng.random_range(0..10) {
        0..5 => Ready::Always,
        5 => Ready::Never,
        _ => Ready::Random { seed: rng.next_u64(), permille: rng.random_range(50..1000) },
    }
}

/// How far the frames queued so far reach.
#[derive(Default)]
struct Timetable {
    /// Cycle in which each wire port is free again.
    ports: BTreeMap<u8, u64>,
    /// Cycle in which the pipeline that all share is through with them, if they take four fifths of its time.
    pipeline: u64,
}

/// Queues frames on the wires and from the host. Ports that share a pipeline pause, so that they never offer more than it
/// takes, but for bursts that fit the buffers before it; or only the port `alone` receives, as much as it can.
fn traffic(bench: &mut Bench, generator: &mut Generator, timetable: &mut Timetable, frames: u64, alone: Option<u8>) {
    let beat = usize::from(bench.nic.info().beat_bytes);
    let shared = bench.limits().ports > 1 && alone.is_none();
    let close = generator.rng().random_bool(0.5);
    let now = bench.sim().cycle();
    timetable.pipeline = timetable.pipeline.max(now);
    for _ in 0..frames {
        let generated = generator.frame();
        if alone.is_some_and(|port| port != generated.port) {
            continue;
        }
        let beats = (generated.frame.len() + 4).div_ceil(beat) as u64;
        let free = timetable.ports.entry(generated.port).or_default();
        *free = now.max(*free);
        let mut begin = *free + if close { 0 } else { generator.rng().random_range(0..30) };
        if shared {
            let early = generator.rng().random_range(0..BURST_CYCLES);
            begin = begin.max(timetable.pipeline.saturating_sub(early));
            timetable.pipeline += (5 * beats).div_ceil(4);
        }
        bench.receive_random(&generated, (begin - *free) as u32);
        *free = begin + beats;
        if generator.rng().random_bool(0.15) {
            let from_host = generator.host_frame();
            bench.send(&from_host);
        }
    }
}

fn random_equivalence(build: Build, seed: u64) {
    let mut bench = Bench::new(build, seed as u32 | 1);
    // Time passes between rounds, so that the model knows what it is; in the shortest ticks.
    bench.nic.set_binding_ticks(10, 12).expect("ticks");
    bench.stop_time();
    let limits: Limits = bench.limits();
    let mut loaded = Tables::default();
    let mut generator = Generator::new(seed, &loaded, Profile::mixed(limits.ports));
    let mut timetable = Timetable::default();
    let (mut round, mut events) = (0, 0);
    let short = short_run();
    let received = |model: &Model| model.counters.received().packets;
    loop {
        if round % TABLES_ROUNDS == 0 {
            let dangling = generator.rng().random_bool(0.7);
            let full = round % (4 * TABLES_ROUNDS) == TABLES_ROUNDS;
            loaded = tables(generator.rng().next_u64(), &limits, Options { dangling, full });
            bench.load(&loaded);
        } else {
            switch(generator.rng(), &mut loaded.settings);
            for _ in 0..20 {
                let (map, bucket, flags) = flag_change(generator.rng(), &loaded);
                loaded.flags.insert((map, bucket), flags);
            }
            bench.set_settings(&loaded.settings);
            bench.set_flags(&loaded.flags);
            let enabled = generator.rng().random_bool(0.95);
            bench.enable(enabled);
            let leased = generator.rng().random_bool(0.9);
            bench.lease(leased);
        }
        if generator.rng().random_bool(0.1) {
            let ns = generator.rng().random_range(100..200_000);
            bench.let_time_pass(ns);
        }
        generator.set_tables(&loaded);
        // The rarest combinations are looked for.
        if received(&bench.board.model) > FRAMES / 4 {
            generator.aim(bench.board.coverage.missing_kinds());
        }
        let (host, wire) = (readiness(generator.rng()), readiness(generator.rng()));
        bench.set_ready(host, wire);
        let some_port = generator.rng().random_range(0..limits.ports);
        let alone = (limits.ports > 1 && generator.rng().random_bool(0.3)).then_some(some_port);
        traffic(&mut bench, &mut generator, &mut timetable, STAGING_FRAMES, alone);
        for _ in 0..3 {
            change(generator.rng(), &limits, &mut loaded, true);
        }
        bench.commit(&loaded, |bench| traffic(bench, &mut generator, &mut timetable, COMMIT_FRAMES, alone));
        // In some rounds the host looks at binding events, in others they get too many.
        let attentive = generator.rng().random_bool(0.7);
        while bench.sim().rx_pending() > 0 {
            if attentive {
                bench.run_taking_events(1000)
            } else {
                bench.run(1000)
            }
            let (host, wire) = (readiness(generator.rng()), readiness(generator.rng()));
            bench.set_ready(host, wire);
        }
        bench.settle();
        round += 1;
        if round % EVENTS_ROUNDS == 0 {
            events += bench.compare_binding_events();
        }
        let frames = received(&bench.board.model);
        let complete = bench.board.coverage.missing().is_empty();
        let done = match short {
            Some(wanted) => frames >= wanted,
            None => (frames >= FRAMES && complete) || frames >= 2 * FRAMES,
        };
        if done {
            break;
        }
        if round % BINDINGS_ROUNDS == 0 {
            compare_bindings(&mut bench, &mut generator);
        }
    }
    bench.compare_counters();
    events += bench.compare_binding_events();
    let bindings = compare_bindings(&mut bench, &mut generator);
    // They only grow: what was wrong in between is wrong still.
    bench.compare_refused_bindings();
    println!("{bindings} bindings at the end, {events} of their events compared");
    println!("{} frames in {} cycles, {round} commits", received(&bench.board.model), bench.sim().cycle());
    println!("{} frames met a full buffer; host: {:?}", bench.board.full, bench.board.host_tx);
    println!("{}", bench.board.coverage);
    if short.is_some() {
        return;
    }
    assert!(bench.board.full > 0, "stalls never filled a buffer");
    let missing: Vec<String> = bench.board.coverage.missing().iter().map(ToString::to_string).collect();
    assert!(missing.is_empty(), "{} combinations never seen:\n{}", missing.len(), missing.join("\n"));
}

/// What the binding tables hold and count is what those of the model do; returns how many bindings there are.
fn compare_bindings(bench: &mut Bench, generator: &mut Generator) -> usize {
    let rules = bench.limits().rules;
    let rule = generator.rng().random_bool(0.5).then(|| generator.rng().random_range(0..=rules));
    bench.compare_live_bindings(rule);
    for table in [BindingTable::Connection, BindingTable::Affinity] {
        println!("{table:?} table: {:?}", bench.nic.binding_counters(table));
    }
    bench.compare_bindings()
}
