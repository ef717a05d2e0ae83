// SPDX-License-Identifier: Apache-2.0
//! What the barrier is for: prints how many new sessions are accepted twice if members claim without waiting for releases. Run by
//! `lbsim bench cluster`, which is built without such bugs.
#![forbid(unsafe_code)]

use hashgate_cluster_sim::measure::mutant_double_accepts;

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{}", mutant_double_accepts(threads).expect("built with the feature mutants"));
}
