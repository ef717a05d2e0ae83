// SPDX-License-Identifier: Apache-2.0
//! Deliberate bugs of the protocol: each must be caught by a scenario or by the model checker.

use hashgate_cluster::message::{HostSet, Phase};
use hashgate_cluster::{Mutation, set_mutation};
use hashgate_cluster_sim::batch::{Batch, run};
use hashgate_cluster_sim::mutants::{Caught, search, shows};
use hashgate_cluster_sim::scenario::{Happening, Scenario};
use hashgate_cluster_sim::world::{Options, SECOND, World};

/// Scenarios that showed them, by `--features mutants --example mutants`; a change of the protocol may need others.
const KNOWN: &[(Mutation, u64)] = &[
    (Mutation::ClaimWithoutRelease, 2),
    (Mutation::ClaimBeforeLeaseEnds, 17),
    (Mutation::NoIdleMap, 2),
    (Mutation::LeaseFromSent, 18),
    (Mutation::LeaseFromOneEcho, 78),
    (Mutation::HandoverClearedOnSecondMove, 2),
    (Mutation::BaseByEpochOnly, 17),
    (Mutation::NoListening, 15),
];
/// Scenarios that are tried for one that its known scenario does not show any more.
const SCENARIOS: u64 = 400;

/// Whether two members of three become stable while somebody says again what was said before, and more, all the time.
fn settles_beside_replays(mutation: Option<Mutation>) -> bool {
    set_mutation(mutation);
    let mut world = World::new(&Scenario::quiet(1, 3), Options::default());
    world.run_until(3 * SECOND);
    assert!(world.is_stable());
    world.inject(Happening::Crash(2));
    world.inject(Happening::Crash(1));
    world.inject(Happening::Start { host: 1, adopt: false });
    for _ in 0..100 {
        world.inject(Happening::Nonsense(20));
        world.run_until(world.now() + SECOND / 10);
    }
    let views = [1, 3].map(|host| world.status(host).map(|status| (status.phase, status.view)));
    set_mutation(None);
    world.is_stable() && views == [Some((Phase::Stable, HostSet(0b101))); 2]
}

/// One after the other, as they share what is selected.
#[test]
fn every_mutant_is_caught() {
    let mut survivors = Vec::new();
    for mutation in Mutation::ALL {
        if *mutation == Mutation::ReplayAfterRestart {
            assert!(settles_beside_replays(None) && !settles_beside_replays(Some(*mutation)), "{mutation:?}");
            println!("{mutation:?}: replays keep two members from a stable map");
            continue;
        }
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
