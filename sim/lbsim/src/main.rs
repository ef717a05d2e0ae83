// SPDX-License-Identifier: Apache-2.0
//! `lbsim`: captures and generated traffic through Verilated Hashgate NICs.
//!
//! Exit codes: 0, all went well; 1, the NIC did something that it must not; 2, bad input or usage.
#![forbid(unsafe_code)]

mod bench;
mod bindings;
mod capture;
mod cluster;
mod consistency;
mod demo;
mod driver;
mod environment;
mod node;
mod pcapng;
mod report;
mod run;
mod schemes;
mod serve;
mod traffic;
mod wire;

use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;

/// Simulates Hashgate NICs: the RTL itself, Verilated, with the driver on it.
#[derive(Parser, Debug)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Send a capture through the NICs of a cluster and tell what each decided.
    Run(run::Run),
    /// Packet generator: rate, latency and loss by frame size at full load; `bench bindings`: the binding tables; `bench driver`: the driver; `bench cluster`: the cluster protocol.
    Bench(bench::Bench),
    /// Four NICs share real and generated traffic; one host is taken out in the middle of it.
    Demo(demo::Demo),
    /// A NIC behind a vfio-user socket, for a driver or QEMU to attach to.
    Serve(serve::Serve),
}

/// Input that cannot be worked with, in one line; exit code 2.
#[derive(Debug)]
pub struct Refusal(String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Makes a [`Refusal`] of an error, with all its causes.
pub fn refuse(error: impl std::fmt::Display) -> anyhow::Error {
    Refusal(format!("{error:#}")).into()
}

/// Prints a line to standard output; an error of that is one of the caller.
#[macro_export]
macro_rules! say {
    ($($part:tt)*) => {
        std::io::Write::write_fmt(&mut std::io::stdout().lock(), format_args!("{}\n", format_args!($($part)*)))
    };
}

fn main() -> ExitCode {
    let result: Result<()> = match Cli::parse().command {
        Command::Run(run) => run.run(),
        Command::Bench(bench) => bench.run(),
        Command::Demo(demo) => demo.run(),
        Command::Serve(serve) => serve.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lbsim: {error:#}");
            if error.is::<Refusal>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        io.or_else(|| cause.downcast_ref::<serde_json::Error>()?.io_error_kind())
    };
    error.chain().any(|cause| kind(cause) == Some(std::io::ErrorKind::BrokenPipe))
}
