// SPDX-License-Identifier: Apache-2.0
//! What `lbsim bench cluster --json` prints, without the rest of lbsim.
#![forbid(unsafe_code)]

use clap::Parser;
use hashgate_cluster_sim::measure::{Plan, measure};
use std::process::ExitCode;

/// Measures the cluster protocol in simulated clusters.
#[derive(Parser)]
struct Arguments {
    /// Crashes in each profile and at each loss.
    #[arg(long, default_value_t = 1000)]
    runs: u64,
    /// Scenarios.
    #[arg(long, default_value_t = 2000)]
    scenarios: u64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let Arguments { runs, scenarios, seed } = Arguments::parse();
    let results = measure(&Plan { runs, scenarios, seed, threads: 2 }, &|_| {});
    match serde_json::to_string_pretty(&serde_json::json!({ "results": results })) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
