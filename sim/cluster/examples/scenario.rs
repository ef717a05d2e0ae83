// SPDX-License-Identifier: Apache-2.0
//! Runs one scenario, or a part of it; `--shrink` looks for the smallest part that violates the same invariant.
#![forbid(unsafe_code)]

use clap::Parser;
use hashgate_cluster_sim::scenario::Scenario;
use hashgate_cluster_sim::shrink::{reduced, shrink};
use hashgate_cluster_sim::world::{Options, World};
use std::process::ExitCode;

/// Runs one scenario of the cluster simulator.
#[derive(Parser)]
struct Arguments {
    /// Number of the scenario.
    #[arg(long)]
    seed: u64,
    /// Only these of its events, separated by commas.
    #[arg(long, value_delimiter = ',')]
    keep: Option<Vec<String>>,
    /// Connections.
    #[arg(long)]
    flows: Option<u32>,
    /// Print what members log.
    #[arg(long)]
    log: bool,
    /// Look for the smallest part that violates the same invariant.
    #[arg(long)]
    shrink: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let scenario = Scenario::random(arguments.seed);
    let all = || (0..scenario.events.len()).collect();
    let kept: Vec<usize> =
        arguments.keep.map_or_else(all, |kept| kept.iter().filter_map(|number| number.parse().ok()).collect());
    let scenario = reduced(&scenario, &kept, arguments.flows.unwrap_or(scenario.flows));
    print!("{scenario}");
    let outcome = World::new(&scenario, Options { log: arguments.log, ..Options::default() }).run();
    println!("{:#?}", outcome.counts);
    let Some(violation) = outcome.violation else { return ExitCode::SUCCESS };
    println!("{violation}");
    if arguments.shrink
        && let Some(shrunk) = shrink(&scenario, Options::default())
    {
        print!("{}{}\n{}\n", shrunk.scenario, shrunk.violation, shrunk.command());
    }
    ExitCode::FAILURE
}
