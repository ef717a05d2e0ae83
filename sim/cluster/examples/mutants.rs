// SPDX-License-Identifier: Apache-2.0
//! Which scenario, or which run of the model checker, shows a deliberate bug of the protocol? For the table in `tests/mutants.rs`.
#![forbid(unsafe_code)]

use clap::Parser;
use hashgate_cluster::Mutation;
use hashgate_cluster_sim::mutants::{Caught, search, shows};
use std::process::ExitCode;

/// Searches for what catches each mutant of the cluster protocol.
#[derive(Parser)]
struct Arguments {
    /// Only those whose name contains this.
    #[arg(long, default_value = "")]
    name: String,
    /// These scenarios only, for instance those that a rule was made for.
    #[arg(long, value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Scenarios that are tried.
    #[arg(long, default_value_t = 400)]
    scenarios: u64,
}

fn main() -> ExitCode {
    let Arguments { name, seeds, scenarios } = Arguments::parse();
    let mut survivors = 0;
    for mutation in Mutation::ALL.iter().filter(|mutation| format!("{mutation:?}").contains(&name)) {
        let caught = if seeds.is_empty() {
            search(*mutation, scenarios)
        } else {
            let shown = |seed: &u64| Some(Caught::Scenario { seed: *seed, violation: shows(Some(*mutation), *seed)? });
            seeds.iter().find_map(shown)
        };
        match caught {
            Some(Caught::Scenario { seed, violation }) => println!("{mutation:?}: scenario {seed}: {violation}"),
            Some(Caught::Checker { name, deviations }) => println!("{mutation:?}: checker: {name}: {deviations:?}"),
            None => {
                survivors += 1;
                println!("{mutation:?}: NOT CAUGHT");
            }
        }
    }
    if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
