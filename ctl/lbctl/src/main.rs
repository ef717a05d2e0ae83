// SPDX-License-Identifier: Apache-2.0
//! `lbctl`: the command line of the daemon. For users: `docs/lbctl.md`.
//!
//! * [`cli`] is what can be written, [`verbs`] what is done about it.
//! * [`connect`] is the way to a daemon (gRPC over its Unix socket, or TCP with mutual TLS), [`udp`] that to a cluster by control datagrams.
//! * [`show`] writes for people and programs, and makes harmless what daemons say; [`schema`] describes what programs get.
//! * [`failure`]: the exit codes.
#![forbid(unsafe_code)]

mod cli;
mod connect;
mod failure;
mod schema;
mod show;
mod udp;
mod verbs;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(verbs::run(cli)),
        Err(error) => Err(failure::Failure::host(format!("cannot start: {error}"))),
    };
    done.map_or_else(failure::Failure::end, |()| ExitCode::SUCCESS)
}
