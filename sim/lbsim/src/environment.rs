// SPDX-License-Identifier: Apache-2.0
//! What a figure was measured on.

use hashgate_nic::NicInfo;
use serde::Serialize;

/// The `environment` of a benchmark's JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Model of the processor that simulated.
    pub cpu: String,
    /// Threads it runs at a time.
    pub cores: usize,
    /// Version of the Python package that Verilator came from.
    pub verilator: &'static str,
    /// Parameters that the NIC itself reports.
    pub build: BuildParameters,
    /// Core clock for which cycles were turned into rates, in Hz.
    pub clock_hz: u64,
}

/// The `environment` of a benchmark without a NIC.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Threads it runs at a time.
    pub cores: usize,
}

impl Machine {
    /// This one.
    pub fn new() -> Machine {
        Machine { cpu: cpu(), cores: std::thread::available_parallelism().map_or(1, usize::from) }
    }
}

/// Build parameters of a NIC.
#[derive(Clone, Debug, Serialize)]
pub struct BuildParameters {
    /// Bytes in a beat.
    pub beat_bytes: usize,
    /// Wire ports.
    pub ports: u8,
    /// Wire streams carry the FCS.
    pub fcs: bool,
    /// Cycles that the pipeline claims from first beat in to first beat out.
    pub pipeline_latency: u32,
    /// Port rules.
    pub rules: u8,
    /// Maps.
    pub maps: u8,
    /// Addresses in the VIP table.
    pub vips: u16,
    /// Targets.
    pub targets: u16,
}

/// The commit that the program was built from; "unknown" outside a checkout.
pub fn commit() -> &'static str {
    env!("LBSIM_COMMIT")
}

impl Environment {
    /// This machine and that NIC.
    pub fn new(info: &NicInfo, clock_hz: u64) -> Environment {
        Environment {
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            verilator: env!("LBSIM_VERILATOR"),
            build: BuildParameters {
                beat_bytes: info.beat_bytes.into(),
                ports: info.ports,
                fcs: info.fcs,
                pipeline_latency: info.latency.into(),
                rules: info.limits.rules,
                maps: info.limits.maps,
                vips: info.limits.vips,
                targets: info.limits.targets,
            },
            clock_hz,
        }
    }
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}
