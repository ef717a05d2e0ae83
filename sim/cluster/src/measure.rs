// SPDX-License-Identifier: Apache-2.0
//! What `lbsim bench cluster` reports.

#[cfg(feature = "mutants")]
use crate::batch::run;
use crate::batch::{Batch, run_with};
use crate::codec;
use crate::minimum::fewest_moves;
use crate::scenario::{Happening, Scenario, host};
use crate::world::{Options, SECOND, World};
use hashgate_cluster::api::{Action, Event, Log, Rule, RuleSet, Sharing, Time};
use hashgate_cluster::frame::ETHERNET_BYTES;
use hashgate_cluster::map::{BucketMap, Member, first_map, next_map};
use hashgate_cluster::membership;
use hashgate_cluster::message::{Body, Message};
use hashgate_tables::{BUCKETS, NOBODY};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Members of the clusters that are measured.
const MEMBERS: u8 = 32;
/// Clusters that crashes are tried in; each is used for many.
const CLUSTERS: u64 = 4;
/// Default and compatible period, ns.
const PERIODS: [Time; 2] = [80_000_000, SECOND];
/// Losses that crashes are tried at, permille.
const LOSSES: [u16; 2] = [0, 10];
/// Periods in which heartbeats are counted.
const COUNTED_PERIODS: u64 = 20;
/// Runs of which the median counts where processor time is measured.
const TIMED_RUNS: usize = 201;
/// Sets of weights for the shares.
const WEIGHT_SETS: usize = 200;
/// Scenarios that the mutant runs: enough to see what the barrier is for.
pub const MUTANT_SCENARIOS: u64 = 18;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Crashes, each in both profiles, without and with loss of one percent.
    pub runs: u64,
    /// Scenarios, from the first on.
    pub scenarios: u64,
    /// Seed of everything random but the scenarios.
    pub seed: u64,
    /// Threads for crashes and scenarios.
    pub threads: usize,
}

impl Plan {
    /// Units of work that [`measure`] tells of.
    pub fn units(&self) -> u64 {
        self.runs * (PERIODS.len() * LOSSES.len()) as u64 + self.scenarios
    }
}

/// Of many values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    fn of(values: &mut [f64]) -> Spread {
        values.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Spread { median: at(values.len() / 2), max: at(values.len().saturating_sub(1)) }
    }
}

/// Buckets moved beyond the fewest.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Moved {
    /// One of 32 hosts is lost.
    pub lost_1: i64,
    /// Three are.
    pub lost_3: i64,
    /// One joins 31.
    pub joined_1: i64,
    /// A weight is halved.
    pub weight_halved: i64,
}

/// Largest share of a host over its fair share.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shares {
    /// Equal weights.
    pub equal: f64,
    /// Weights of 1..=32, sets at random.
    pub mixed: f64,
}

/// How far hosts are from what weights promise, over [`WEIGHT_SETS`] sets of 1..=32.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quotas {
    /// Largest distance of a host's buckets from its exact quota in a first map, in buckets.
    pub first_map_buckets_off: f64,
    /// Buckets that survivors lost when others left.
    pub lost_by_survivors: u64,
    /// Leaves tried.
    pub leaves: u64,
}

/// What all members of a stable cluster send together, in bytes a second: both frames of a beat with their Ethernet headers,
/// without FCS, preamble and gap.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bandwidth {
    /// 16 members, default profile.
    pub hosts_16: f64,
    /// 32 members, default profile.
    pub hosts_32: f64,
    /// 16 members, compatible profile.
    pub compatible_hosts_16: f64,
    /// 32 members, compatible profile.
    pub compatible_hosts_32: f64,
    /// Extended frames alone: 16 members, compatible profile.
    pub compatible_extended_hosts_16: f64,
}

/// Processor time of a heartbeat of 32 members.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HeartbeatTimes {
    /// Length of the extended frame.
    pub bytes: usize,
    /// Encoded and signed.
    pub build_microseconds: f64,
    /// Verified and decoded.
    pub check_microseconds: f64,
    /// A step of the state machine.
    pub apply_microseconds: f64,
}

/// Crashes in one profile at one loss.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Crashes {
    /// Period of heartbeats, ms.
    pub period_ms: u64,
    /// Loss in percent.
    pub loss_percent: f64,
    /// Crashes.
    pub runs: usize,
    /// From a crash until the last survivor has noticed; no number: one has not within 40 periods.
    pub detect_seconds: Spread,
    /// From a crash until all survivors have committed.
    pub commit_seconds: Spread,
}

/// The `results` of the JSON report.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// From a crash until the last survivor has noticed, at both losses.
    pub detect_seconds: Spread,
    /// From a crash until all survivors have committed, at both losses.
    pub commit_seconds: Spread,
    /// The same with a heartbeat a second.
    pub compatible_detect_seconds: Spread,
    /// The same with a heartbeat a second.
    pub compatible_commit_seconds: Spread,
    /// The same by profile and loss.
    pub crashes: Vec<Crashes>,
    /// Buckets moved beyond the fewest.
    pub moved_over_minimum: Moved,
    /// Largest share over fair share.
    pub max_share_over_fair: Shares,
    /// Distances from quotas.
    pub quotas: Quotas,
    /// Bandwidth of heartbeats.
    pub heartbeat_bytes_per_second: Bandwidth,
    /// Processor time of a heartbeat.
    pub heartbeat: HeartbeatTimes,
    /// New sessions that two members accepted, in all scenarios.
    pub accepted_twice: u64,
    /// Connections of survivors that broke, at losses up to five percent.
    pub survivors_broken: u64,
    /// Connections that clients tried.
    pub sessions_tried: u64,
    /// Scenarios.
    pub scenarios: u64,
    /// Scenarios in which an invariant did not hold.
    pub violations: usize,
    /// Their seeds.
    pub violating_seeds: Vec<u64>,
    /// How long a moving bucket has no owner, in periods, of joins.
    pub ownerless_periods: Spread,
    /// Accepted twice without the barrier; `None` without the feature `mutants`.
    pub mutant_double_accepts: Option<u64>,
    /// Maps of 64 rules for 32 hosts, from none and after a loss.
    pub map_milliseconds: f64,
}

/// Measures everything; tells `advance` of each unit of work done (see [`Plan::units`]).
pub fn measure(plan: &Plan, advance: &(dyn Fn(u64) + Sync)) -> Results {
    let crashes = crashes(plan, advance);
    let of = |period: Time, times: fn(&Crashed) -> &Vec<f64>| {
        let values = crashes.iter().filter(|of| of.period == period).flat_map(times);
        Spread::of(&mut values.copied().collect::<Vec<f64>>())
    };
    let batch = Batch {
        count: plan.scenarios,
        threads: plan.threads,
        violations: usize::MAX,
        shrinking: false,
        ..Batch::default()
    };
    let report = run_with(&batch, advance);
    Results {
        detect_seconds: of(PERIODS[0], |of| &of.detected),
        commit_seconds: of(PERIODS[0], |of| &of.committed),
        compatible_detect_seconds: of(PERIODS[1], |of| &of.detected),
        compatible_commit_seconds: of(PERIODS[1], |of| &of.committed),
        crashes: crashes.iter().map(Crashed::report).collect(),
        moved_over_minimum: moved_over_minimum(),
        max_share_over_fair: shares(plan.seed),
        quotas: quotas(plan.seed),
        heartbeat_bytes_per_second: bandwidth(plan.seed),
        heartbeat: heartbeat(plan.seed),
        accepted_twice: report.sums.accepted_twice,
        survivors_broken: report.broken_within_limit,
        sessions_tried: report.sums.sessions,
        scenarios: report.scenarios,
        violations: report.violations.len(),
        violating_seeds: report.violations.iter().map(|shrunk| shrunk.scenario.seed).collect(),
        ownerless_periods: ownerless(plan.seed),
        mutant_double_accepts: mutant_double_accepts(plan.threads),
        map_milliseconds: map_milliseconds(),
    }
}

/// A stable cluster.
fn stable(seed: u64, members: u8, period: Time, loss: u16, frames: bool) -> World {
    let mut scenario = Scenario::quiet(seed, members);
    scenario.period = period;
    scenario.network.loss = loss;
    scenario.frames = frames;
    let mut world = World::new(&scenario, Options { count_only: true, ..Options::default() });
    let mut end = SECOND;
    while !world.is_stable() {
        end += period;
        assert!(end < 200 * period + 10 * SECOND, "a cluster of {members} does not become stable");
        world.run_until(end);
    }
    world
}

/// Times of crashes in clusters of one profile and loss, in seconds.
#[derive(Clone, Debug)]
struct Crashed {
    period: Time,
    loss: u16,
    detected: Vec<f64>,
    committed: Vec<f64>,
}

impl Crashed {
    fn report(&self) -> Crashes {
        Crashes {
            period_ms: self.period / 1_000_000,
            loss_percent: f64::from(self.loss) / 10.0,
            runs: self.detected.len(),
            detect_seconds: Spread::of(&mut self.detected.clone()),
            commit_seconds: Spread::of(&mut self.committed.clone()),
        }
    }
}

/// Crashes at random moments, by profile and loss.
fn crashes(plan: &Plan, advance: &(dyn Fn(u64) + Sync)) -> Vec<Crashed> {
    let kinds = PERIODS.iter().flat_map(|period| LOSSES.map(|loss| (*period, loss)));
    let mut results: Vec<Crashed> =
        kinds.map(|(period, loss)| Crashed { period, loss, detected: Vec::new(), committed: Vec::new() }).collect();
    // The slowest are first, so that no thread is left with one of them at the end.
    let jobs: Vec<(usize, u64)> =
        (0..results.len()).rev().flat_map(|kind| (0..CLUSTERS).map(move |cluster| (kind, cluster))).collect();
    let (next, shared) = (AtomicUsize::new(0), Mutex::new(&mut results));
    let work = || {
        while let Some(&(kind, cluster)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (period, loss) = {
                let results = shared.lock().expect("no thread has failed");
                (results[kind].period, results[kind].loss)
            };
            let runs = plan.runs / CLUSTERS + u64::from(cluster < plan.runs % CLUSTERS);
            let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
            rng.set_stream(kind as u64 * CLUSTERS + cluster);
            let begun = (runs > 0).then(|| stable(plan.seed + cluster, MEMBERS, period, loss, false));
            for _ in 0..runs {
                let Some(begun) = &begun else { break };
                let (detected, committed) = crash(begun.clone(), period, &mut rng);
                let mut results = shared.lock().expect("no thread has failed");
                results[kind].detected.push(detected);
                results[kind].committed.push(committed);
                advance(1);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(work);
        }
    });
    results
}

/// Somebody's process ends, sometime in the period after the next: seconds until the last survivor knows, and until all have committed;
/// infinite if one does not within 40 periods.
fn crash(mut world: World, period: Time, rng: &mut ChaCha8Rng) -> (f64, f64) {
    world.reseed(rng.random());
    world.run_until(world.now() + period + rng.random_range(0..period));
    let victim = rng.random_range(1..=MEMBERS);
    let epoch = world.status(victim).and_then(|s| s.committed).map_or(0, |c| c.epoch);
    world.take_logs();
    let crash = world.now();
    world.inject(Happening::Crash(victim));
    let (mut last_lost, mut last_commit) = (BTreeMap::new(), BTreeMap::new());
    let survivors = usize::from(MEMBERS) - 1;
    while last_commit.len() < survivors && world.now() < crash + 40 * period {
        world.run_until(world.now() + period / 4);
        for (time, by, log) in world.take_logs() {
            match log {
                Log::PeerLost(lost) if lost == host(victim) => {
                    last_lost.entry(by).or_insert(time);
                }
                Log::Committed { epoch: now, .. } if now > epoch => {
                    last_commit.insert(by, time);
                }
                _ => {}
            }
        }
    }
    let last = |of: &BTreeMap<u8, Time>| match of.len() == survivors {
        true => of.values().max().map_or(f64::INFINITY, |time| (time - crash) as f64 / 1e9),
        false => f64::INFINITY,
    };
    (last(&last_lost), last(&last_commit))
}

/// What members of stable clusters send.
fn bandwidth(seed: u64) -> Bandwidth {
    let measured = |members, period| {
        let mut world = stable(seed, members, period, 0, true);
        let before = world.sent();
        world.run_until(world.now() + COUNTED_PERIODS * period);
        let sent = world.sent();
        let seconds = (COUNTED_PERIODS * period) as f64 / 1e9;
        let extended = (sent.bytes - before.bytes) as f64 / seconds;
        let membership = ((sent.beats - before.beats) * (ETHERNET_BYTES + membership::BYTES) as u64) as f64 / seconds;
        (extended, extended + membership)
    };
    let (extended, both) = measured(16, PERIODS[1]);
    Bandwidth {
        hosts_16: measured(16, PERIODS[0]).1,
        hosts_32: measured(32, PERIODS[0]).1,
        compatible_hosts_16: both,
        compatible_hosts_32: measured(32, PERIODS[1]).1,
        compatible_extended_hosts_16: extended,
    }
}

/// Builds, checks and applies the heartbeats of a stable cluster of 32, one of each other member.
fn heartbeat(seed: u64) -> HeartbeatTimes {
    let world = stable(seed, MEMBERS, PERIODS[0], 0, false);
    let messages: Vec<Message> = (2..=MEMBERS)
        .map(|id| {
            let (mut cluster, incarnation, _) = world.member(id).expect("all members run");
            let due = cluster.deadline();
            let send = |action| match action {
                Action::Send(body @ Body::Heartbeat(_), sequence) => {
                    Some(Message { host: host(id), incarnation, sequence, body })
                }
                _ => None,
            };
            // The next thing that falls due need not be a beat.
            let mut beat = cluster.step(due, Event::Tick).into_iter().find_map(send);
            while beat.is_none() {
                beat = cluster.step(cluster.deadline(), Event::Tick).into_iter().find_map(send);
            }
            beat.expect("found above")
        })
        .collect();
    let frames: Vec<Vec<u8>> =
        messages.iter().map(|message| codec::frame(message, false).expect("it is legal")).collect();
    let (receiver, _, now) = world.member(1).expect("all members run");
    let step = PERIODS[0] / Time::from(MEMBERS);
    let build = microseconds(messages.len(), || {
        for message in &messages {
            black_box(codec::frame(black_box(message), false).expect("it is legal"));
        }
    });
    let check = microseconds(frames.len(), || {
        for frame in &frames {
            black_box(codec::message(black_box(frame)).expect("it is good"));
        }
    });
    // Each time by a fresh copy of the receiver, which is made before the clock starts.
    let mut receivers = vec![receiver; TIMED_RUNS].into_iter();
    let events: Vec<Vec<Event>> = vec![messages.iter().cloned().map(Event::Message).collect(); TIMED_RUNS];
    let mut events = events.into_iter();
    let apply = microseconds(messages.len(), || {
        let (Some(mut receiver), Some(events)) = (receivers.next(), events.next()) else { return };
        for (time, event) in (now..).step_by(step as usize).zip(events) {
            black_box(receiver.step(time, event));
        }
        // Its end is no part of a step.
        std::mem::forget(receiver);
    });
    HeartbeatTimes {
        bytes: frames.iter().map(Vec::len).max().unwrap_or(0),
        build_microseconds: build,
        check_microseconds: check,
        apply_microseconds: apply,
    }
}

/// Median time of one of `parts` of a call.
fn microseconds(parts: usize, mut call: impl FnMut()) -> f64 {
    let mut runs: Vec<f64> = (0..TIMED_RUNS)
        .map(|_| {
            let begun = Instant::now();
            call();
            begun.elapsed().as_secs_f64() * 1e6 / parts as f64
        })
        .collect();
    Spread::of(&mut runs).median
}

/// How long buckets have no owner while hosts join, in periods.
fn ownerless(seed: u64) -> Spread {
    let mut values = Vec::new();
    for (members, seed) in [2, 4, 8, 16, 32].into_iter().flat_map(|members| (0..4).map(move |n| (members, seed + n))) {
        let mut scenario = Scenario::quiet(seed, members);
        scenario.absent = 1 << (members - 1);
        let mut world = World::new(&scenario, Options::default());
        // Not the beginning, when many start at once and one proposal replaces the other.
        world.run_until(4 * SECOND);
        assert!(world.is_stable(), "a cluster of {} is not stable after four seconds", members - 1);
        world.take_ownerless();
        world.inject(Happening::Start { host: members, adopt: false });
        world.run_until(world.now() + 3 * SECOND);
        for (time, buckets) in world.take_ownerless() {
            let periods = time as f64 / scenario.period as f64;
            values.extend(std::iter::repeat_n(periods, buckets as usize));
        }
    }
    Spread::of(&mut values)
}

fn members(weights: impl IntoIterator<Item = (u16, u32)>) -> Vec<Member> {
    weights.into_iter().map(|(target, weight)| Member { target, weight }).collect()
}

fn fewest(old: &BucketMap, new: &BucketMap) -> usize {
    let mut have = BTreeMap::new();
    for owner in old.owners().iter().filter(|owner| **owner != NOBODY) {
        *have.entry(*owner).or_insert(0usize) += 1;
    }
    fewest_moves(&have, BUCKETS - have.values().sum::<usize>(), old.weights(), new.weights())
}

/// Moves beyond the fewest.
pub fn moved_over_minimum() -> Moved {
    let over = |from: Vec<Member>, to: Vec<Member>| {
        let old = first_map(&from).expect("the members are sound");
        let new = next_map(&old, &to).expect("the members are sound");
        new.moved(&old) as i64 - fewest(&old, &new) as i64
    };
    let equal = |hosts: &[u16]| members(hosts.iter().map(|host| (*host, 2)));
    let all: Vec<u16> = (1..=32).collect();
    let without = |gone: &[u16]| equal(&all.iter().copied().filter(|host| !gone.contains(host)).collect::<Vec<_>>());
    Moved {
        lost_1: over(equal(&all), without(&[17])),
        lost_3: over(equal(&all), without(&[3, 17, 32])),
        joined_1: over(without(&[17]), equal(&all)),
        weight_halved: over(equal(&all), members(all.iter().map(|host| (*host, if *host == 17 { 1 } else { 2 })))),
    }
}

/// Largest shares over fair shares, of first maps.
pub fn shares(seed: u64) -> Shares {
    let over = |weights: &[(u16, u32)]| {
        let map = first_map(&members(weights.iter().copied())).expect("the members are sound");
        let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
        let share = |(host, weight): &(u16, u32)| {
            map.count(*host) as f64 / (BUCKETS as f64 * f64::from(*weight) / f64::from(total))
        };
        weights.iter().map(share).fold(0.0, f64::max)
    };
    let equal = (2..=32).map(|hosts| over(&(1..=hosts).map(|host| (host, 1)).collect::<Vec<_>>())).fold(0.0, f64::max);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mixed = (0..100).map(|_| {
        let hosts = rng.random_range(2..=32);
        over(&(1..=hosts).map(|host| (host, rng.random_range(1..=32))).collect::<Vec<_>>())
    });
    Shares { equal, mixed: mixed.fold(0.0, f64::max) }
}

/// How far hosts are from their quotas, and what survivors lose when some of the others leave, over random weights.
pub fn quotas(seed: u64) -> Quotas {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut quotas = Quotas { first_map_buckets_off: 0.0, lost_by_survivors: 0, leaves: 0 };
    for _ in 0..WEIGHT_SETS {
        let hosts = rng.random_range(2..=32u16);
        let weights: Vec<(u16, u32)> = (1..=hosts).map(|host| (host, rng.random_range(1..=32))).collect();
        let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
        let mut map = first_map(&members(weights.iter().copied())).expect("the members are sound");
        for (host, weight) in &weights {
            let quota = BUCKETS as f64 * f64::from(*weight) / f64::from(total);
            let off = (map.count(*host) as f64 - quota).abs();
            quotas.first_map_buckets_off = quotas.first_map_buckets_off.max(off);
        }
        // All leave, in random order, but the last.
        let mut left = weights;
        while left.len() > 1 {
            left.swap_remove(rng.random_range(0..left.len()));
            left.sort_unstable();
            let next = next_map(&map, &members(left.iter().copied())).expect("the members are sound");
            let stays = |owner: u16| left.iter().any(|(host, _)| *host == owner);
            let moved = map.owners().iter().zip(next.owners()).filter(|(old, new)| stays(**old) && old != new);
            quotas.lost_by_survivors += moved.count() as u64;
            quotas.leaves += 1;
            map = next;
        }
    }
    quotas
}

/// Maps of 64 rules and 32 hosts: the first ones, and those after a loss.
pub fn map_milliseconds() -> f64 {
    let hosts = |count: u16, rule: u32| members((1..=count).map(|host| (host, 1 + (u32::from(host) + rule) % 7)));
    let begun = Instant::now();
    for rule in 0..64 {
        let first = first_map(&hosts(32, rule)).expect("the members are sound");
        let next = next_map(&first, &hosts(31, rule)).expect("the members are sound");
        assert!(next.count(32) == 0, "a host that left has buckets");
    }
    begun.elapsed().as_secs_f64() * 1e3
}

/// New sessions accepted twice by members that claim without waiting for releases; `None` without the feature `mutants`.
#[cfg(feature = "mutants")]
pub fn mutant_double_accepts(threads: usize) -> Option<u64> {
    let prepare = || hashgate_cluster::set_mutation(Some(hashgate_cluster::Mutation::ClaimWithoutRelease));
    let options = Options { count_only: true, ..Options::default() };
    let batch = Batch { first: 2, count: MUTANT_SCENARIOS, threads, options, prepare, ..Batch::default() };
    Some(run(&batch).sums.accepted_twice)
}

/// New sessions accepted twice by members that claim without waiting for releases; `None` without the feature `mutants`.
#[cfg(not(feature = "mutants"))]
pub fn mutant_double_accepts(_: usize) -> Option<u64> {
    None
}

/// A rule of equal weights for so many hosts; for measurements elsewhere.
pub fn equal_rules(hosts: u8) -> Arc<RuleSet> {
    let weights = (1..=hosts).map(|id| (host(id), 1)).collect();
    crate::scenario::rule_set(1, vec![Rule { key: 1, sharing: Sharing::Multiple(weights) }])
}
