// SPDX-License-Identifier: Apache-2.0
//! Which of a scenario's events are enough for its violation?

use crate::scenario::Scenario;
use crate::world::{Options, Violation, World};

/// Runs that a search may take.
const RUNS: usize = 200;

/// A scenario that still violates the same invariant.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario.
    pub scenario: Scenario,
    /// Numbers of the events of the original one that it has.
    pub kept: Vec<usize>,
    /// What it violates.
    pub violation: Violation,
}

impl Shrunk {
    /// The command that runs it again.
    pub fn command(&self) -> String {
        let kept: Vec<String> = self.kept.iter().map(usize::to_string).collect();
        format!(
            "cargo run --release -p hashgate-cluster-sim --example scenario -- --seed {} --keep '{}' --flows {} --log",
            self.scenario.seed,
            kept.join(","),
            self.scenario.flows
        )
    }
}

/// Only these events of a scenario, and so many connections.
pub fn reduced(scenario: &Scenario, kept: &[usize], flows: u32) -> Scenario {
    let events = kept.iter().filter_map(|number| scenario.events.get(*number).cloned()).collect();
    Scenario { events, flows, ..scenario.clone() }
}

/// Drops events, in ever smaller groups, as long as the same invariant does not hold. `None`: it holds.
pub fn shrink(scenario: &Scenario, options: Options) -> Option<Shrunk> {
    let options = Options { log: false, ..options };
    let run = |kept: &[usize], flows: u32| {
        let scenario = reduced(scenario, kept, flows);
        let violation = World::new(&scenario, options).run().violation?;
        Some(Shrunk { scenario, kept: kept.to_vec(), violation })
    };
    let mut best = run(&(0..scenario.events.len()).collect::<Vec<_>>(), scenario.flows)?;
    let same = |found: &Shrunk, best: &Shrunk| found.violation.invariant == best.violation.invariant;
    if let Some(found) = run(&best.kept, 0).filter(|found| same(found, &best)) {
        best = found;
    }
    let mut runs = 0;
    let mut group = best.kept.len().div_ceil(2);
    while group > 0 && !best.kept.is_empty() {
        let mut from = 0;
        while from < best.kept.len() && runs < RUNS {
            runs += 1;
            let mut kept = best.kept.clone();
            kept.drain(from..(from + group).min(kept.len()));
            match run(&kept, best.scenario.flows).filter(|found| same(found, &best)) {
                Some(found) => best = found,
                None => from += group,
            }
        }
        group = if group == 1 { 0 } else { group.div_ceil(2) };
    }
    Some(best)
}
