// SPDX-License-Identifier: Apache-2.0
//! Every schedule within bounds. Larger bounds: `--example check`.

use hashgate_cluster_sim::checker::{Bounds, explore};

/// Nothing may be left out, and something must have happened.
fn holds(bounds: Bounds) {
    let result = explore(bounds, 2);
    println!("{result}");
    assert_eq!(result.counterexamples, []);
    assert!(result.complete, "not finished in {:?}", bounds.patience);
    assert!(result.changed || !bounds.stable, "no map has ever changed");
}

#[test]
fn three_members_two_deviations() {
    holds(Bounds { window: 4, horizon: 32, ..Bounds::new(3, 2) });
}

#[test]
fn three_members_far_apart_deviations() {
    holds(Bounds { messages: 0, window: 36, stride: 12, horizon: 60, ..Bounds::new(3, 2) });
}

#[test]
fn three_members_that_start() {
    holds(Bounds { stable: false, window: 16, horizon: 40, ..Bounds::new(3, 1) });
}

#[test]
fn four_members_one_deviation() {
    holds(Bounds { window: 10, ..Bounds::new(4, 1) });
}
