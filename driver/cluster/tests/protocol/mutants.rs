// SPDX-License-Identifier: Apache-2.0
//! Deliberate bugs that storms must show. Those that only a longer search shows are the simulator's.

use crate::faults::storm;
use crate::net::*;
use hashgate_cluster::{Mutation, set_mutation};

/// Whether some storms show it: a bucket that two claim.
fn shows(mutation: Option<Mutation>, seed: u64, runs: u64) -> Option<u64> {
    set_mutation(mutation);
    let found = (0..runs).find(|n| {
        let members = 3 + (n % 3) as usize;
        let mut net = storm(seed.wrapping_add(*n), members, [0, 50, 150, 300][(n / 3 % 4) as usize]);
        net.run(2_000 * MS);
        !net.doubles.is_empty()
    });
    set_mutation(None);
    found
}

#[test]
fn broken_rules_let_two_claim_the_same() {
    // The same storms each time: these are known to show it.
    let seed = std::env::var("HASHGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1000);
    let runs = std::env::var("HASHGATE_STORMS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(24);
    let found = Mutation::ALL.iter().map(|mutation| {
        let run = shows(Some(*mutation), seed, runs);
        println!("{mutation:?}: first shown in storm {run:?} of {runs}");
        (*mutation, run)
    });
    let found: Vec<(Mutation, Option<u64>)> = found.collect();
    for must in [Mutation::ClaimWithoutRelease, Mutation::NoIdleMap] {
        assert!(found.iter().any(|(mutation, run)| *mutation == must && run.is_some()), "{must:?} does not show");
    }
    assert_eq!(shows(None, seed, runs), None);
}
