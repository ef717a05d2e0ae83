// SPDX-License-Identifier: Apache-2.0
//! Deliberate bugs of the protocol: each must be caught by a scenario or by the model checker.

use hashgate_cluster::{Mutation, set_mutation};
use hashgate_cluster_sim::batch::{Batch, run};
use hashgate_cluster_sim::mutants::{Caught, search, shows};
use hashgate_cluster_sim::world::Options;

/// Scenarios that showed them, by `--features mutants --example mutants`; a change of the protocol may need others.
const KNOWN: &[(Mutation, u64)] = &[
    (Mutation::ClaimWithoutRelease, 2),
    (Mutation::ClaimBeforeLeaseEnds, 17),
    (Mutation::NoIdleMap, 2),
    (Mutation::LeaseFromSent, 18),
    (Mutation::LeaseFromOneEcho, 78),
    (Mutation::HandoverClearedOnSecondMove, 2),
    (Mutation::BaseByEpochOnly, 17),
    (Mutation::ReplayAfterRestart, 20),
    (Mutation::NoListening, 20),
    (Mutation::RemoveOnHearsay, 60),
    (Mutation::RearmWithoutRejoin, 2),
    (Mutation::AgreeWithoutAll, 129),
    (Mutation::OldReleases, 260),
    (Mutation::ClaimBesideOutsiders, 154),
];
/// Scenarios that are tried for one that its known scenario does not show any more.
const SCENARIOS: u64 = 100;

/// One after the other, as they share what is selected.
#[test]
fn every_mutant_is_caught() {
    let mut survivors = Vec::new();
    for mutation in Mutation::ALL {
        let known = KNOWN.iter().find(|(known, _)| known == mutation);
        let caught = known.and_then(|(_, seed)| Some((*seed, shows(Some(*mutation), *seed)?)));
        if let Some((seed, violation)) = caught {
            println!("{mutation:?}: scenario {seed}: {violation}");
            assert_eq!(shows(None, seed), None, "scenario {seed} without the mutant");
            continue;
        }
        match search(*mutation, SCENARIOS) {
            Some(Caught::Scenario { seed, violation }) => println!("{mutation:?}: now scenario {seed}: {violation}"),
            Some(Caught::Checker { name, deviations }) => println!("{mutation:?}: checker: {name}: {deviations:?}"),
            None => {
                println!("{mutation:?}: NOT CAUGHT");
                survivors.push(mutation);
            }
        }
    }
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}

/// Or the counter of double accepts counts nothing.
#[test]
fn without_the_barrier_sessions_are_accepted_twice() {
    let prepare = || set_mutation(Some(Mutation::ClaimWithoutRelease));
    let options = Options { count_only: true, ..Options::default() };
    let report = run(&Batch { first: 2, count: 18, options, prepare, ..Batch::default() });
    println!("{report}");
    assert!(report.sums.accepted_twice > 0);
}
