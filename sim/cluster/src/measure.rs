// SPDX-License-Identifier: Apache-2.0
//! What `lbsim bench cluster` reports.

use crate::batch::{Batch, run};
use crate::minimum::fewest_moves;
use crate::scenario::{Happening, Scenario, host};
use crate::world::{Options, SECOND, World};
use hashgate_cluster::api::{Log, Rule, RuleSet, Sharing, Time};
use hashgate_cluster::map::{BucketMap, Member, first_map, next_map};
use hashgate_tables::{BUCKETS, NOBODY};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Members of the clusters that are measured.
const MEMBERS: u8 = 32;
/// Clusters that crashes are tried in; each is used for many.
const CLUSTERS: u64 = 4;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Crashes, each in both profiles, without and with loss of one percent.
    pub runs: u64,
    /// Scenarios.
    pub scenarios: u64,
    /// Seed of everything random.
    pub seed: u64,
    /// Threads for scenarios.
    pub threads: usize,
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

/// The `results` of the JSON report.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// From a crash until the last survivor has noticed.
    pub detect_seconds: Spread,
    /// From a crash until all survivors have committed.
    pub commit_seconds: Spread,
    /// The same with a heartbeat a second.
    pub compatible_detect_seconds: Spread,
    /// The same with a heartbeat a second.
    pub compatible_commit_seconds: Spread,
    /// Buckets moved beyond the fewest.
    pub moved_over_minimum: Moved,
    /// Largest share over fair share.
    pub max_share_over_fair: Shares,
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
    /// How long a moving bucket has no owner, in periods, of joins.
    pub ownerless_periods: Spread,
    /// Accepted twice without the barrier; `None` without the feature `mutants`.
    pub mutant_double_accepts: Option<u64>,
    /// Maps of 64 rules for 32 hosts, from none and after a loss.
    pub map_milliseconds: f64,
}

/// Measures everything.
pub fn measure(plan: &Plan) -> Results {
    let (default, compatible) = (80_000_000, SECOND);
    let (detect_seconds, commit_seconds) = crashes(plan, default);
    let (compatible_detect_seconds, compatible_commit_seconds) = crashes(plan, compatible);
    let batch = Batch {
        count: plan.scenarios,
        threads: plan.threads,
        violations: usize::MAX,
        shrinking: false,
        ..Batch::default()
    };
    let report = run(&batch);
    Results {
        detect_seconds,
        commit_seconds,
        compatible_detect_seconds,
        compatible_commit_seconds,
        moved_over_minimum: moved_over_minimum(),
        max_share_over_fair: shares(plan.seed),
        accepted_twice: report.sums.accepted_twice,
        survivors_broken: report.broken_within_limit,
        sessions_tried: report.sums.sessions,
        scenarios: report.scenarios,
        violations: report.violations.len(),
        ownerless_periods: ownerless(plan.seed),
        mutant_double_accepts: mutant_double_accepts(plan),
        map_milliseconds: map_milliseconds(),
    }
}

/// A stable cluster of 32.
fn stable(seed: u64, period: Time, loss: u16) -> World {
    let mut scenario = Scenario::quiet(seed, MEMBERS);
    scenario.period = period;
    scenario.network.loss = loss;
    let mut world = World::new(&scenario, Options { count_only: true, ..Options::default() });
    let mut end = SECOND;
    while !world.is_stable() {
        end += period;
        assert!(end < 200 * period + 10 * SECOND, "a cluster of {MEMBERS} does not become stable");
        world.run_until(end);
    }
    world
}

/// Crashes at random moments, half of them at a loss of one percent: times until the last one knows, and until all have committed.
pub fn crashes(plan: &Plan, period: Time) -> (Spread, Spread) {
    let (mut detected, mut committed) = (Vec::new(), Vec::new());
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    for loss in [0, 10] {
        for cluster in 0..CLUSTERS {
            let begun = stable(plan.seed + cluster, period, loss);
            for _ in 0..plan.runs / CLUSTERS {
                let mut world = begun.clone();
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
                detected.push(last(&last_lost));
                committed.push(last(&last_commit));
            }
        }
    }
    (Spread::of(&mut detected), Spread::of(&mut committed))
}

/// How long buckets have no owner while hosts join, in periods.
fn ownerless(seed: u64) -> Spread {
    let mut values = Vec::new();
    for members in [2, 4, 8, 16, 32] {
        let mut scenario = Scenario::quiet(seed, members);
        scenario.absent = 1 << (members - 1);
        scenario.events = vec![(3 * SECOND, Happening::Start { host: members, adopt: false })];
        let outcome = World::new(&scenario, Options::default()).run();
        for (time, buckets) in outcome.counts.ownerless {
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

#[cfg(feature = "mutants")]
fn mutant_double_accepts(plan: &Plan) -> Option<u64> {
    let prepare = || hashgate_cluster::set_mutation(Some(hashgate_cluster::Mutation::ClaimWithoutRelease));
    let options = Options { count_only: true, ..Options::default() };
    let batch = Batch { first: 2, count: 18, threads: plan.threads, options, prepare, ..Batch::default() };
    Some(run(&batch).sums.accepted_twice)
}

#[cfg(not(feature = "mutants"))]
fn mutant_double_accepts(_: &Plan) -> Option<u64> {
    None
}

/// A rule of equal weights for so many hosts; for measurements elsewhere.
pub fn equal_rules(hosts: u8) -> Arc<RuleSet> {
    let weights = (1..=hosts).map(|id| (host(id), 1)).collect();
    crate::scenario::rule_set(1, vec![Rule { key: 1, sharing: Sharing::Multiple(weights) }])
}
