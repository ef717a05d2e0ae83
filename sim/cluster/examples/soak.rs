// SPDX-License-Identifier: Apache-2.0
//! Runs many scenarios: `--count` of them from `--first` on. Prints those that violate an invariant, shrunk, and the sums.
#![forbid(unsafe_code)]

use clap::Parser;
use hashgate_cluster_sim::batch::{Batch, run_with};
use hashgate_cluster_sim::scenario::CLASS;
use indicatif::{ProgressBar, ProgressStyle};
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
    /// Class of the scenarios: 0 the first, 1 loss changes, 2 suspended members, 3 chains of joins and failures, 4 cables that are pulled.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=4))]
    class: u64,
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
    // Drawn on a terminal only.
    let style = ProgressStyle::with_template("scenarios {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(arguments.count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let batch = Batch {
        first: arguments.class * CLASS + arguments.first,
        count: arguments.count,
        threads: arguments.threads,
        violations: arguments.violations,
        shrinking: !arguments.no_shrinking,
        ..Batch::default()
    };
    let report = run_with(&batch, &|done| bar.inc(done));
    bar.finish_and_clear();
    print!("{report}");
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
