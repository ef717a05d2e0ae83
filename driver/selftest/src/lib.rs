// SPDX-License-Identifier: Apache-2.0
//! The checks of a NIC that need nothing but its driver: the same on every backend.
//!
//! [`run`] takes a device, prints a line for each check and gives the list. It takes the NIC out of service: tables, settings and counters are gone afterwards.
//!
//! Some checks send frames and want them back by the same wire port: a cable from a port to itself, or whoever plays the wire of a simulated NIC. Without that
//! they are left out, with the reason.
#![forbid(unsafe_code)]

mod checks;

use checks::Bench;
use hashgate_device::PciDevice;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What is at the wire ports of the NIC.
pub enum Wire<'a> {
    /// Each frame that a port sends comes back in by it. The closure is called again and again while frames are waited for: it moves
    /// frames, and lets time pass, where nothing else does.
    Looped(&'a mut dyn FnMut()),
    /// Something else, for this reason.
    Open(&'a str),
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is as it has to be.
    Ok,
    /// What is not.
    Failed(String),
    /// It was not done, for this reason.
    LeftOut(String),
}

/// A check that was to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, the same on all backends.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match &self.outcome {
            Outcome::Ok => write!(f, "ok {name}"),
            Outcome::Failed(why) => write!(f, "FAILED {name}: {why}"),
            Outcome::LeftOut(why) => write!(f, "left out {name}: {why}"),
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type PlainCheck = fn(&mut Bench) -> Result<()>;
type LoopCheck = fn(&mut Bench, &mut dyn FnMut()) -> Result<()>;

/// Checks in their order; each builds on those before it, but says so itself if it cannot.
const CHECKS: [(&str, PlainCheck); 7] = [
    ("bring-up", Bench::bring_up),
    ("host-reset", Bench::host_reset),
    ("tables-by-dma", Bench::tables_by_dma),
    ("interrupt-of-a-ring", Bench::interrupt_of_a_ring),
    ("function-reset", Bench::function_reset),
    ("stray-dma", Bench::stray_dma),
    ("tables-kept", Bench::tables_kept),
];

/// Checks that need a looped wire.
const LOOP_CHECKS: [(&str, LoopCheck); 3] =
    [("loop-data", Bench::loop_data), ("loop-control", Bench::loop_control), ("loop-interrupt", Bench::loop_interrupt)];

/// Runs all checks and prints a line for each to `out`. An interrupt may take as long as `patience`: a second is plenty for every backend whose time
/// goes on by itself; a simulated NIC in the same process is stepped meanwhile, there a millisecond of its time is enough.
///
/// # Errors
/// Those of `out`. A check that fails is none; [`passed`] tells.
pub fn run(
    device: &Arc<dyn PciDevice>,
    wire: Wire<'_>,
    patience: Duration,
    out: &mut dyn io::Write,
) -> io::Result<Vec<Check>> {
    let mut checks: Vec<Check> = Vec::new();
    let mut bench = Bench::new(device, patience);
    let mut report = |name, outcome| {
        let check = Check { name, outcome };
        writeln!(out, "{check}")?;
        checks.push(check);
        Ok::<(), io::Error>(())
    };
    let mut up = true;
    let mut outcome = |name, done: &mut dyn FnMut(&mut Bench) -> Result<()>, bench: &mut Bench| {
        if !up {
            return Outcome::LeftOut("the NIC was not brought up".into());
        }
        let outcome = done(bench).map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Ok);
        up &= name != "bring-up" || outcome == Outcome::Ok;
        outcome
    };
    for (name, mut check) in CHECKS {
        report(name, outcome(name, &mut check, &mut bench))?;
    }
    match wire {
        Wire::Looped(pump) => {
            for (name, check) in LOOP_CHECKS {
                report(name, outcome(name, &mut |bench| check(bench, pump), &mut bench))?;
            }
        }
        Wire::Open(reason) => {
            for (name, _) in LOOP_CHECKS {
                report(name, Outcome::LeftOut(reason.into()))?;
            }
        }
    }
    report("detach", outcome("detach", &mut Bench::detach, &mut bench))?;
    Ok(checks)
}

/// Whether no check failed. Those that were left out do not count; look whether that is what you expect.
pub fn passed(checks: &[Check]) -> bool {
    !checks.iter().any(|check| matches!(check.outcome, Outcome::Failed(_)))
}
