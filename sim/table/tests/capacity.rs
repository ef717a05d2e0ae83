// SPDX-License-Identifier: Apache-2.0
//! Figures of capacity that the table must reach, one seed each; `lbsim bench bindings` has more of them.

use hashgate_table_sim::measure::at_rate;

#[test]
fn creations_in_every_cycle() {
    assert!(at_rate(65_536, 1, 1.0, false).expect("nothing is wrong") > 0.75);
}

#[test]
fn creations_at_half_the_clock() {
    assert!(at_rate(65_536, 2, 0.46, true).expect("nothing is wrong") > 0.82);
}
