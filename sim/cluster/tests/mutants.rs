// SPDX-License-Identifier: Apache-2.0
//! Deliberate bugs of the protocol: each must be caught by a scenario or by the model checker.
#![cfg(feature = "mutants")]

use hashgate_cluster::{Mutation, set_mutation};
use hashgate_cluster_sim::batch::{Batch, run};
use hashgate_cluster_sim::checker::{Bounds, explore};
use hashgate_cluster_sim::mutants::{SCENARIOS, prepare, select};
use hashgate_cluster_sim::world::Options;

/// One after the other, as they share what is selected.
#[test]
fn every_mutant_is_caught() {
    let mut survivors = Vec::new();
    for (number, mutation) in Mutation::ALL.iter().enumerate() {
        select(Some(number));
        let batch = Batch { count: SCENARIOS, shrinking: false, prepare, ..Batch::default() };
        let report = run(&batch);
        let caught = report
            .violations
            .first()
            .map(|shrunk| format!("scenario {} of {}: {}", shrunk.scenario.seed, report.scenarios, shrunk.violation));
        let caught = caught.or_else(|| {
            let bounds = Bounds { window: 4, horizon: 32, prepare, ..Bounds::new(3, 2) };
            let (name, deviations) = explore(bounds, 2).counterexamples.into_iter().next()?;
            Some(format!("model checker: {name}: {deviations:?}"))
        });
        match caught {
            Some(by) => println!("{mutation:?}: {by}"),
            None => {
                println!("{mutation:?}: NOT CAUGHT");
                survivors.push(mutation);
            }
        }
    }
    select(None);
    set_mutation(None);
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}

/// Or the counter of double accepts counts nothing.
#[test]
fn without_the_barrier_sessions_are_accepted_twice() {
    let prepare = || set_mutation(Some(Mutation::ClaimWithoutRelease));
    let options = Options { count_only: true, ..Options::default() };
    let report = run(&Batch { first: 2, count: 40, options, prepare, ..Batch::default() });
    println!("{report}");
    assert!(report.sums.accepted_twice > 0);
}
