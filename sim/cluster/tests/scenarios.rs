// SPDX-License-Identifier: Apache-2.0
//! Thousands of clusters, each with hundreds of connections: every invariant, at every step.

use hashgate_cluster_sim::batch::{Batch, run};
use hashgate_cluster_sim::scenario::{CLASS, Scenario};
use hashgate_cluster_sim::shrink::shrink;
use hashgate_cluster_sim::world::{Options, World};

/// The scenarios that always run, by class: (class, scenarios). `--example soak -- --class C --first N --count M` runs others.
const SCENARIOS: [(u64, u64); 5] = [(0, 1200), (1, 200), (2, 200), (3, 200), (4, 200)];

#[test]
fn invariants_hold_in_every_scenario() {
    let (mut scenarios, mut largest, mut sessions, mut compared) = (0, 0, 0, 0);
    for (class, count) in SCENARIOS {
        let report = run(&Batch { first: class * CLASS + 1, count, violations: 5, ..Batch::default() });
        println!("class {class}: {report}");
        assert!(report.violations.is_empty(), "see above; each comes with the command that repeats it");
        assert_eq!((report.scenarios, report.sums.accepted_twice, report.broken_within_limit), (count, 0, 0));
        (scenarios, largest) = (scenarios + report.scenarios, largest + report.largest);
        (sessions, compared) = (sessions + report.sums.sessions, compared + report.sums.compared);
    }
    println!(
        "{scenarios} scenarios, {largest} with 32 members, {sessions} sessions tried, {compared} changes compared"
    );
    assert!(scenarios >= 2000 && largest >= 100, "{scenarios} scenarios, {largest} with 32 members");
    assert!(sessions > 500 * scenarios, "{sessions} sessions");
    assert!(compared > scenarios, "{compared} changes compared");
}

/// Each showed a hole in the protocol once: claims of a member alone that does not know yet that its link is gone; members that hear different ones of
/// those outside; a lease from before a restart that nobody knows of; echoes of a member that has left.
#[test]
fn what_once_failed_does_not() {
    for seed in [4_194_450, 4_194_569, 4_194_907, 4_194_986] {
        let outcome = World::new(&Scenario::random(seed), Options::default()).run();
        assert!(outcome.violation.is_none(), "seed {seed}: {}", outcome.violation.unwrap());
    }
}

#[test]
fn a_scenario_repeats_exactly() {
    for seed in [7, 21, 48] {
        let run = || {
            let outcome = World::new(&Scenario::random(seed), Options::default()).run();
            (outcome.violation, format!("{:?}", outcome.counts))
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}

#[test]
fn nothing_to_shrink_where_all_is_well() {
    assert!(shrink(&Scenario::quiet(3, 4), Options::default()).is_none());
}
