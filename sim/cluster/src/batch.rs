// SPDX-License-Identifier: Apache-2.0
//! Many scenarios, on some threads.

use crate::scenario::Scenario;
use crate::shrink::{Shrunk, shrink};
use crate::world::{Counts, Options, World};
use hashgate_cluster::api::Time;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Which, and how.
#[derive(Clone, Copy)]
pub struct Batch {
    /// The first scenario.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Threads.
    pub threads: usize,
    /// Ends after so many violations.
    pub violations: usize,
    /// Whether those are shrunk.
    pub shrinking: bool,
    /// How a scenario is simulated.
    pub options: Options,
    /// Called by each thread before it begins.
    pub prepare: fn(),
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            first: 1,
            count: 1,
            threads: 2,
            violations: 1,
            shrinking: true,
            options: Options::default(),
            prepare: || {},
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Scenarios that ran.
    pub scenarios: u64,
    /// Of those with 32 members.
    pub largest: u64,
    /// The one with the most events, and how many.
    pub busiest: (u64, u64),
    /// Sums of what was counted.
    pub sums: Counts,
    /// Scenarios that did not converge in time, by losses above the limit.
    pub unconverged: u64,
    /// Longest time to converge after everything, ns, where losses were within the limit.
    pub slowest: Time,
    /// Connections of survivors that broke where losses were within the limit.
    pub broken_within_limit: u64,
    /// Violations.
    pub violations: Vec<Shrunk>,
    /// Time that it took.
    pub took: Duration,
}

/// Runs them.
pub fn run(batch: &Batch) -> Report {
    run_with(batch, &|_| {})
}

/// Runs them; tells `advance` of each that is done.
pub fn run_with(batch: &Batch, advance: &(dyn Fn(u64) + Sync)) -> Report {
    let begun = Instant::now();
    let next = AtomicU64::new(batch.first);
    let report = Mutex::new(Report::default());
    let work = || {
        (batch.prepare)();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= batch.first + batch.count {
                return;
            }
            let scenario = Scenario::random(seed);
            let outcome = World::new(&scenario, batch.options).run();
            let shrunk = outcome.violation.as_ref().map(|violation| {
                let whole = Shrunk {
                    scenario: scenario.clone(),
                    kept: (0..scenario.events.len()).collect(),
                    violation: violation.clone(),
                };
                if batch.shrinking { shrink(&scenario, batch.options).unwrap_or(whole) } else { whole }
            });
            advance(1);
            let mut report = report.lock().expect("no thread has failed");
            report.add(&scenario, &outcome.counts);
            report.violations.extend(shrunk);
            if report.violations.len() >= batch.violations {
                next.store(batch.first + batch.count, Ordering::Relaxed);
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..batch.threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut report = report.into_inner().expect("no thread has failed");
    report.took = begun.elapsed();
    report
}

impl Report {
    fn add(&mut self, scenario: &Scenario, counts: &Counts) {
        self.scenarios += 1;
        self.largest += u64::from(scenario.members == 32);
        if counts.steps > self.busiest.1 {
            self.busiest = (scenario.seed, counts.steps);
        }
        let sums = &mut self.sums;
        sums.steps += counts.steps;
        sums.messages += counts.messages;
        sums.sent.frames += counts.sent.frames;
        sums.sent.bytes += counts.sent.bytes;
        sums.sent.beats += counts.sent.beats;
        sums.packets += counts.packets;
        sums.sessions += counts.sessions;
        sums.accepted_twice += counts.accepted_twice;
        sums.accepted_twice_apart += counts.accepted_twice_apart;
        sums.survivors_broken += counts.survivors_broken;
        sums.lost_with_host += counts.lost_with_host;
        sums.stale += counts.stale;
        sums.untaken += counts.untaken;
        sums.compared += counts.compared;
        sums.moved_over_minimum += counts.moved_over_minimum;
        for (time, buckets) in &counts.ownerless {
            *sums.ownerless.entry(*time).or_default() += buckets;
        }
        self.unconverged += u64::from(counts.unconverged);
        if scenario.network.loss <= 50 {
            self.broken_within_limit += counts.survivors_broken;
            self.slowest = self.slowest.max(counts.converged.filter(|time| *time < Time::MAX).unwrap_or(0));
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for shrunk in &self.violations {
            write!(f, "{}  {}\n  {}\n\n", shrunk.scenario, shrunk.violation, shrunk.command())?;
        }
        let sums = &self.sums;
        writeln!(
            f,
            "{} scenarios ({} with 32 members) in {:.1} s: {} events (the most, (seed, events): {:?}), {} messages, {} packets, {} sessions tried",
            self.scenarios,
            self.largest,
            self.took.as_secs_f64(),
            sums.steps,
            self.busiest,
            sums.messages,
            sums.packets,
            sums.sessions
        )?;
        writeln!(
            f,
            "{} violations; accepted twice: {} (by members apart or just met: {}); connections of survivors broken: {} \
             (at losses within the limit: {}), lost with their host or cut off: {}, with stale bindings: {}; packets that nobody took: {}",
            self.violations.len(),
            sums.accepted_twice,
            sums.accepted_twice_apart,
            sums.survivors_broken,
            self.broken_within_limit,
            sums.lost_with_host,
            sums.stale,
            sums.untaken
        )?;
        writeln!(
            f,
            "{} changes compared with the fewest moves: {} buckets beyond; slowest convergence {:.3} s; not converged at \
             losses above the limit: {}",
            sums.compared,
            sums.moved_over_minimum,
            self.slowest as f64 / 1e9,
            self.unconverged
        )
    }
}
