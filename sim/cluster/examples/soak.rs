// SPDX-License-Identifier: Apache-2.0
//! Runs many scenarios: `--count` of them from `--first` on. Prints those that violate an invariant, shrunk, and the sums.
#![forbid(unsafe_code)]

use clap::Parser;
use hashgate_cluster_sim::batch::{Batch, run};
use std::process::ExitCode;

/// Runs many scenarios of the cluster simulator.
#[derive(Parser)]
struct Arguments {
    /// The first scenario.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many.
    #[arg(long, default_value_t = 2000)]
    count: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Ends after so many violations.
    #[arg(long, default_value_t = 10)]
    violations: usize,
    /// Shows them as they are.
    #[arg(long)]
    no_shrinking: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = run(&Batch {
        first: arguments.first,
        count: arguments.count,
        threads: arguments.threads,
        violations: arguments.violations,
        shrinking: !arguments.no_shrinking,
        ..Batch::default()
    });
    print!("{report}");
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
