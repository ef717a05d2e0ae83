// SPDX-License-Identifier: Apache-2.0
//! Deliberate bugs of the protocol: each must be caught by a scenario, by the model checker or by a scene made for it.

use hashgate_cluster::message::{HostSet, Phase};
use hashgate_cluster::{Mutation, set_mutation};
use hashgate_cluster_sim::batch::{Batch, run};
use hashgate_cluster_sim::mutants::{Caught, search, shows};
use hashgate_cluster_sim::scenario::{Happening, Scenario};
use hashgate_cluster_sim::world::{Options, SECOND, World};

/// What shows a mutant.
enum By {
    /// A scenario, found by `--features mutants --example mutants`; a change of the protocol may need another one.
    Scenario(u64),
    /// The model checker.
    Checker,
    /// A scene in which members settle without it and do not with it.
    Scene(fn(Option<Mutation>) -> bool),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

fn by(mutation: Mutation) -> By {
    match mutation {
        Mutation::ClaimWithoutRelease | Mutation::NoIdleMap => By::Scenario(2),
        Mutation::HandoverClearedOnSecondMove | Mutation::RearmWithoutRejoin => By::Scenario(2),
        Mutation::BaseByEpochOnly => By::Scenario(17),
        Mutation::ClaimBeforeLeaseEnds => By::Scenario(4_194_986),
        Mutation::LeaseFromSent => By::Scenario(18),
        Mutation::LeaseFromOneEcho => By::Scenario(78),
        Mutation::NoListening => By::Scenario(15),
        Mutation::RemoveOnHearsay => By::Scene(leaves_nobody_out_on_hearsay),
        Mutation::ClaimUntold => By::Scenario(1041),
        Mutation::ClaimWithoutLink => By::Scenario(4_194_307),
        Mutation::ReleaseBesideOutsiders => By::Scenario(4_194_569),
        Mutation::ClaimAfterSleep => By::Scenario(3704),
        Mutation::ClaimAcrossRules => By::Scenario(46),
        Mutation::BothSidesGoOn => By::Checker,
        Mutation::ReplayAfterRestart => By::Scene(settles_beside_replays),
        Mutation::TieByArrival => By::Scene(settles_beside_a_broken_link),
        Mutation::AgreeWithoutAll => {
            By::Nothing("safety rests on releases; agreement saves only hand-overs that lead nowhere")
        }
        Mutation::OldReleases => {
            By::Nothing("who has slept listens first, and that alone makes old releases harmless here")
        }
        Mutation::ClaimBesideOutsiders => {
            By::Nothing("outsiders have heard of each other's claims before they make them")
        }
        Mutation::IgnoreCandidates => {
            By::Nothing("it takes a peer that hears late, within the two periods that are granted to those that meet")
        }
    }
}

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
    set_mutation(None);
    is_stable(&world, &[1, 3])
}

/// Whether the other two are stable when one of three does not hear another one, whatever comes first.
fn settles_beside_a_broken_link(mutation: Option<Mutation>) -> bool {
    set_mutation(mutation);
    let mut settled = true;
    for seed in 1..=16 {
        let mut world = World::new(&Scenario::quiet(seed, 3), Options::default());
        world.run_until(3 * SECOND);
        assert!(world.is_stable());
        world.inject(Happening::Block { from: 1, to: 2, length: 30 * SECOND });
        world.run_until(world.now() + 3 * SECOND);
        settled &= is_stable(&world, &[1, 3]);
    }
    set_mutation(None);
    settled
}

/// Whether the others leave nobody out when one of five has not heard the first one for D, and hears it again at once.
fn leaves_nobody_out_on_hearsay(mutation: Option<Mutation>) -> bool {
    set_mutation(mutation);
    let mut nobody = true;
    for seed in 1..=8 {
        let mut world = World::new(&Scenario::quiet(seed, 5), Options::default());
        world.run_until(3 * SECOND);
        assert!(world.is_stable());
        world.inject(Happening::Block { from: 1, to: 5, length: SECOND * 9 / 20 });
        for _ in 0..200 {
            world.run_until(world.now() + SECOND / 200);
            nobody &= (2..=4).all(|host| world.status(host).is_some_and(|status| status.view == HostSet(0x1f)));
        }
    }
    set_mutation(None);
    nobody
}

fn is_stable(world: &World, members: &[u8]) -> bool {
    let view = HostSet(members.iter().fold(0, |set, host| set | 1 << (host - 1)));
    let phase = |host: &u8| world.status(*host).map(|status| (status.phase, status.view));
    members.iter().all(|host| phase(host) == Some((Phase::Stable, view)))
}

/// One after the other, as they share what is selected.
#[test]
fn every_mutant_is_caught() {
    let (mut caught, mut survivors) = (0, Vec::new());
    for mutation in Mutation::ALL {
        let shown = match by(*mutation) {
            By::Nothing(reason) => {
                println!("{mutation:?}: explained survivor: {reason}");
                continue;
            }
            By::Scene(settles) => {
                assert!(settles(None), "{mutation:?}: its scene without it");
                (!settles(Some(*mutation))).then(|| "its scene".to_owned())
            }
            By::Checker => search(*mutation, 0).map(|caught| describe(&caught)),
            By::Scenario(seed) => {
                assert_eq!(shows(None, seed), None, "scenario {seed} without the mutant");
                let known = shows(Some(*mutation), seed);
                let known = known.map(|violation| format!("scenario {seed}: {violation}"));
                known.or_else(|| Some(format!("now by another: {}", describe(&search(*mutation, SCENARIOS)?))))
            }
        };
        println!("{mutation:?}: {}", shown.as_deref().unwrap_or("NOT CAUGHT"));
        match shown {
            Some(_) => caught += 1,
            None => survivors.push(mutation),
        }
    }
    println!("{caught} of {} caught", Mutation::ALL.len());
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}

fn describe(caught: &Caught) -> String {
    match caught {
        Caught::Scenario { seed, violation } => format!("scenario {seed}: {violation}"),
        Caught::Checker { name, deviations } => format!("model checker: {name}: {deviations:?}"),
    }
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
