// SPDX-License-Identifier: Apache-2.0
//! Explores all schedules of a few members within bounds.
#![forbid(unsafe_code)]

use clap::Parser;
use hashgate_cluster_sim::checker::{Bounds, explore, replay};
use std::process::ExitCode;
use std::time::Duration;

/// Model checker of the cluster protocol.
#[derive(Parser)]
struct Arguments {
    /// Members.
    #[arg(long, default_value_t = 3)]
    members: u8,
    /// Deviations in a run.
    #[arg(long, default_value_t = 2)]
    deviations: u8,
    /// Of those, losses, delays and duplicates.
    #[arg(long)]
    messages: Option<u8>,
    /// Ticks in which deviations begin.
    #[arg(long, default_value_t = 12)]
    window: u16,
    /// Only in every so many-th of them.
    #[arg(long, default_value_t = 1)]
    stride: u16,
    /// Ticks of a run.
    #[arg(long, default_value_t = 45)]
    horizon: u16,
    /// Begins with a cluster that starts.
    #[arg(long)]
    starting: bool,
    /// Seconds after which it ends.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Shows what members do in counterexamples.
    #[arg(long)]
    show: bool,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = explore(
        Bounds {
            messages: arguments.messages.unwrap_or(arguments.deviations),
            window: arguments.window,
            stride: arguments.stride,
            horizon: arguments.horizon,
            stable: !arguments.starting,
            patience: Duration::from_secs(arguments.seconds),
            ..Bounds::new(arguments.members, arguments.deviations)
        },
        arguments.threads,
    );
    print!("{result}");
    for (_, deviations) in result.counterexamples.iter().filter(|_| arguments.show) {
        replay(result.bounds, deviations).iter().for_each(|line| println!("{line}"));
    }
    if result.complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
