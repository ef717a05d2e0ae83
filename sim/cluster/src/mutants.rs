// SPDX-License-Identifier: Apache-2.0
//! Deliberate bugs of the protocol, and what catches them.

use crate::batch::{Batch, run};
use crate::checker::{Bounds, Deviation, explore};
use crate::scenario::Scenario;
use crate::world::{Options, Violation, World};
use hashgate_cluster::{Mutation, set_mutation};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Place in [`Mutation::ALL`], beyond its end for none.
static SELECTED: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Selects one for all threads that [`prepare`] themselves, and for this one.
pub fn select(mutation: Option<Mutation>) {
    let place = mutation.and_then(|mutation| Mutation::ALL.iter().position(|it| *it == mutation));
    SELECTED.store(place.unwrap_or(usize::MAX), Ordering::SeqCst);
    set_mutation(mutation);
}

/// Gives this thread the one that is selected.
pub fn prepare() {
    set_mutation(Mutation::ALL.get(SELECTED.load(Ordering::SeqCst)).copied());
}

/// What caught a mutant.
#[derive(Clone, Debug)]
pub enum Caught {
    /// A scenario.
    Scenario {
        /// Its seed.
        seed: u64,
        /// What it violates.
        violation: Violation,
    },
    /// A counterexample of the model checker.
    Checker {
        /// The property.
        name: &'static str,
        /// The deviations, with their ticks.
        deviations: Vec<(usize, Deviation)>,
    },
}

/// What the model checker explores to catch a mutant: half a minute at most.
pub fn bounds() -> [Bounds; 2] {
    [
        Bounds { messages: 0, window: 36, stride: 12, horizon: 60, prepare, ..Bounds::new(3, 2) },
        Bounds { stable: false, window: 16, horizon: 40, prepare, ..Bounds::new(3, 1) },
    ]
}

/// Whether a scenario shows a mutant.
pub fn shows(mutation: Option<Mutation>, seed: u64) -> Option<Violation> {
    select(mutation);
    let violation = World::new(&Scenario::random(seed), Options::default()).run().violation;
    select(None);
    violation
}

/// Looks for something that shows a mutant: the first of so many scenarios, or else a counterexample.
pub fn search(mutation: Mutation, scenarios: u64) -> Option<Caught> {
    select(Some(mutation));
    let batch = Batch { count: scenarios, shrinking: false, prepare, ..Batch::default() };
    let shrunk = run(&batch).violations.into_iter().next();
    let caught = shrunk.map(|it| Caught::Scenario { seed: it.scenario.seed, violation: it.violation }).or_else(|| {
        bounds().into_iter().find_map(|bounds| {
            let (name, deviations) = explore(bounds, 2).counterexamples.into_iter().next()?;
            Some(Caught::Checker { name, deviations })
        })
    });
    select(None);
    caught
}
