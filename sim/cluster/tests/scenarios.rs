// SPDX-License-Identifier: Apache-2.0
//! Thousands of clusters, each with hundreds of connections: every invariant, at every step.

use hashgate_cluster_sim::batch::{Batch, run};
use hashgate_cluster_sim::scenario::Scenario;
use hashgate_cluster_sim::shrink::shrink;
use hashgate_cluster_sim::world::{Options, World};

/// The scenarios that always run. `--example soak -- --first N --count M` runs others.
const SCENARIOS: u64 = 2000;

#[test]
fn invariants_hold_in_every_scenario() {
    let report = run(&Batch { count: SCENARIOS, violations: 5, ..Batch::default() });
    println!("{report}");
    assert!(report.violations.is_empty(), "see above; each comes with the command that repeats it");
    assert_eq!(report.scenarios, SCENARIOS);
    assert!(report.largest >= 100, "{} scenarios with 32 members", report.largest);
    assert_eq!((report.sums.accepted_twice, report.broken_within_limit), (0, 0));
    assert!(report.sums.sessions > 500 * SCENARIOS, "{} sessions", report.sums.sessions);
    assert!(report.sums.compared > SCENARIOS, "{} changes compared", report.sums.compared);
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
