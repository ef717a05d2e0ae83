// SPDX-License-Identifier: Apache-2.0
//! `lbsim bench driver`: the driver's rings on a Verilated NIC, in this process and over a vfio-user socket.
//!
//! * [`rig`]: a NIC under traffic with a driver on it.
//! * [`adoption`]: a driver in a process of its own is killed under traffic and the next one takes over.
//! * [`host_path`]: frames between a NIC and the kernel.
//! * The host interface alone, by `hashgate_dma_sim::measure`.

mod adoption;
mod host_path;
mod rig;

use crate::bench::{clock, config, tables};
use crate::environment::{Environment, commit};
use crate::node::Width;
use crate::report::{Progress, Style, Table};
use crate::{refuse, say};
use adoption::Adoption;
use anyhow::{Result, ensure};
use hashgate_config::Build;
use hashgate_dma_sim::measure;
use hashgate_model::Nic as Model;
use host_path::Measured;
use rig::{Costs, Rig, Throughput};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bits of a beat of the host interface that is measured alone.
const HOST_BITS: u32 = 512;
/// How long the host path moves frames of each kind.
const FLOW: Duration = Duration::from_secs(2);
const QUICK_FLOW: Duration = Duration::from_millis(200);

/// The driver's rings: packets a second, register accesses, processor time, tables by DMA, heartbeats under a flood, and a driver that is killed.
#[derive(clap::Args, Debug)]
pub struct Driver {
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// A tenth of the frames and one map instead of all: the figures say little.
    #[arg(long)]
    quick: bool,
    /// Core clock in Hz that turns cycles into rates [default: that of the 512-bit build].
    #[arg(long, value_name = "HZ", value_parser = clock)]
    clock_hz: Option<u64>,
    /// Seed of the traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Build of the NIC. The 512-bit one must be compiled in (HASHGATE_BUILDS with nic512).
    #[arg(long, value_enum, default_value_t = Width::B64)]
    build: Width,
    /// Be the driver that is killed, on this socket.
    #[arg(long, hide = true, value_name = "PATH")]
    victim: Option<PathBuf>,
    /// Be the host path on this socket.
    #[arg(long, hide = true, value_name = "PATH")]
    host_path: Option<PathBuf>,
    /// As the host path: send frames of so many bytes by its TAP device.
    #[arg(long, hide = true, value_name = "BYTES")]
    blast: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    commit: &'static str,
    environment: Environment,
    results: Results,
}

/// Packets in a second of real time, each received by the host and sent back by it.
#[derive(Clone, Copy, Debug, Serialize)]
struct PacketRates {
    /// Verilated NIC in the process of the driver.
    in_process: f64,
    /// Verilated NIC in a thread of its own, the driver behind a vfio-user socket.
    vfio_user: f64,
    /// The twin in plain Rust instead of the Verilated NIC, in the process of the driver.
    twin: f64,
}

/// The host interface alone at 512 bits, memory latency of 300 cycles.
#[derive(Clone, Copy, Debug, Serialize)]
struct Dma {
    rx_beats_per_clock: f64,
    tx_beats_per_clock: f64,
    rx_pps_64: f64,
    tx_pps_64: f64,
    load_cycles_per_word: f64,
    dump_cycles_per_word: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct CpuCycles {
    /// Rings: a frame of 64 bytes received, copied out, and sent.
    driver: f64,
    /// The same frame decided by the reference model.
    software: f64,
    /// Clock by which time was turned into cycles, in Hz.
    cpu_hz: f64,
}

#[derive(Debug, Serialize)]
struct Results {
    quick: bool,
    /// Bits of a beat of the Verilated NIC.
    build: u32,
    seed: u64,
    pps: PacketRates,
    mmio_reads_per_packet: f64,
    mmio_writes_per_packet: f64,
    maps: u32,
    /// All words of these maps.
    table_load_cycles: u64,
    register_load_cycles: u64,
    map_dump_cycles: u64,
    register_map_dump_cycles: u64,
    /// Of a binding table that is full, or nearly so.
    bindings: usize,
    table_dump_cycles: u64,
    register_dump_cycles: u64,
    dma: Dma,
    heartbeats_sent_under_flood: u64,
    heartbeats_lost_under_flood: u64,
    flood_frames_dropped: u64,
    cpu_cycles_per_packet: CpuCycles,
    /// `null` where there can be none: it needs a network namespace and a TAP device.
    host_path: Option<Measured>,
    adoption: Adoption,
    clock_hz: u64,
}

impl Driver {
    /// Runs it.
    ///
    /// # Errors
    /// If a frame or a heartbeat was lost that must not be, or the NIC did something else that it must not.
    pub fn run(&self) -> Result<()> {
        if let Some(socket) = &self.victim {
            return adoption::be_victim(socket);
        }
        if let Some(socket) = &self.host_path {
            std::process::exit(host_path::be_host_path(socket, self.blast)?);
        }
        let clock_hz = self.clock_hz.unwrap_or(Build::B512.clock_hz());
        let config = config(self.build.build(), clock_hz);
        let tables = tables(&config);
        let part = if self.quick { 10 } else { 1 };
        let mut progress = Progress::new("driver", 10);
        let mut rig = Rig::new(&config, &tables, self.seed)?;
        let environment = Environment::new(rig.info(), clock_hz);
        let in_process = rig.echo(20_000 / part)?;
        progress.advance(1);
        let tables_moved = rig.tables(if self.quick { 1 } else { 64 })?;
        progress.advance(1);
        let bindings = rig.bindings(&config, if self.quick { 200 } else { 4096 })?;
        progress.advance(1);
        // More than the data rings hold.
        let flood = rig.flood(if self.quick { 4_000 } else { 20_000 })?;
        progress.advance(1);
        drop(rig);
        let vfio_user = rig::echo_over_vfio_user(&config, &tables, self.seed, 10_000 / part)?;
        progress.advance(1);
        let twin = rig::echo_on_twin(200_000 / part)?;
        progress.advance(1);
        let software = software(&config, &tables, self.seed, 200_000 / part);
        progress.advance(1);
        let dma = dma(clock_hz);
        progress.advance(1);
        let adoption = adoption::measure(&config, self.seed, (10_000 / part) as usize)?;
        progress.advance(1);
        let cpu_hz = cpu_hz()?;
        let time = if self.quick { QUICK_FLOW } else { FLOW };
        let host_path = host_path::measure(time, cpu_hz, |bytes| rig::loaded(&config, &tables, bytes, self.seed))?;
        drop(progress);
        if let Err(reason) = &host_path {
            eprintln!("skipped: the host path: {reason}");
        }
        let report = Report {
            bench: "driver",
            commit: commit(),
            environment,
            results: Results {
                quick: self.quick,
                build: if matches!(self.build, Width::B64) { 64 } else { 512 },
                seed: self.seed,
                pps: PacketRates { in_process: in_process.pps(), vfio_user: vfio_user.pps(), twin: twin.0.pps() },
                mmio_reads_per_packet: in_process.reads_per_packet(),
                mmio_writes_per_packet: in_process.writes_per_packet(),
                maps: tables_moved.maps,
                table_load_cycles: tables_moved.load,
                register_load_cycles: tables_moved.register_load,
                map_dump_cycles: tables_moved.dump,
                register_map_dump_cycles: tables_moved.register_dump,
                bindings: bindings.bindings,
                table_dump_cycles: bindings.dump,
                register_dump_cycles: bindings.register_dump,
                dma,
                heartbeats_sent_under_flood: flood.heartbeats,
                heartbeats_lost_under_flood: flood.lost,
                flood_frames_dropped: flood.dropped,
                cpu_cycles_per_packet: CpuCycles {
                    driver: twin.1.ns_per_packet * cpu_hz / 1e9,
                    software: software.ns_per_packet * cpu_hz / 1e9,
                    cpu_hz,
                },
                host_path: host_path.ok(),
                adoption,
                clock_hz,
            },
        };
        match self.json {
            true => say!("{}", serde_json::to_string(&report)?)?,
            false => report.print(Style::stdout())?,
        }
        let results = &report.results;
        ensure!(results.heartbeats_lost_under_flood == 0, "heartbeats were lost under a flood");
        ensure!(results.adoption.packets_lost == 0, "forwarded packets were lost when the driver was killed");
        ensure!(results.adoption.bindings_lost == 0, "bindings were lost when the driver was killed");
        ensure!(results.mmio_reads_per_packet == 0.0, "the driver reads registers for packets");
        Ok(())
    }
}

impl Report {
    fn print(&self, style: Style) -> Result<()> {
        let r = &self.results;
        let mhz = r.clock_hz as f64 / 1e6;
        say!("{}", style.heading(&format!("the driver on the Verilated NIC ({}-bit build)", r.build)))?;
        let mut table = Table::new(["", "packets/s of real time"]);
        table.row(["in the driver's process", &format!("{:.0}", r.pps.in_process)]);
        table.row(["over vfio-user", &format!("{:.0}", r.pps.vfio_user)]);
        table.row(["twin in plain Rust, in the driver's process", &format!("{:.0}", r.pps.twin)]);
        table.print(style)?;
        say!(
            "  register accesses a packet: {:.3} reads, {:.3} writes",
            r.mmio_reads_per_packet,
            r.mmio_writes_per_packet
        )?;
        let mut table = Table::new(["cycles", "by DMA", "by registers", "ratio", &format!("DMA at {mhz:.0} MHz")]);
        for (name, dma, registers) in [
            (format!("{} maps loaded", r.maps), r.table_load_cycles, r.register_load_cycles),
            (format!("{} maps read", r.maps), r.map_dump_cycles, r.register_map_dump_cycles),
            (format!("{} bindings read", r.bindings), r.table_dump_cycles, r.register_dump_cycles),
        ] {
            let ratio = format!("{:.1}", registers as f64 / dma as f64);
            let time = format!("{:.0} us", dma as f64 / mhz);
            table.row([name, dma.to_string(), registers.to_string(), ratio, time]);
        }
        table.print(style)?;
        say!("  {}", style.heading("host interface alone, 512 bits, memory answers after 300 cycles"))?;
        let dma = &r.dma;
        say!(
            "  1518 bytes: receive {:.3} beats a cycle, transmit {:.3}",
            dma.rx_beats_per_clock,
            dma.tx_beats_per_clock
        )?;
        say!(
            "  64 bytes at {mhz:.0} MHz: receive {:.1} Mpps, transmit {:.1} Mpps",
            dma.rx_pps_64 / 1e6,
            dma.tx_pps_64 / 1e6
        )?;
        let cpu = &r.cpu_cycles_per_packet;
        say!(
            "  cycles of a {:.1} GHz processor for a packet: rings {:.0}, the reference model {:.0}",
            cpu.cpu_hz / 1e9,
            cpu.driver,
            cpu.software
        )?;
        if let Some(host_path) = &r.host_path {
            let heading = ["host path", "frames/s", "Mb/s", "cycles a frame", "of a processor"];
            let mut table = Table::new(heading);
            for (nic, flows) in [("twin", &host_path.twin), ("Verilated", &host_path.verilated)] {
                for (what, flow) in flows.all() {
                    let cells =
                        [flow.frames_per_s, flow.mbit_per_s, flow.cpu_cycles_per_frame].map(|n| format!("{n:.0}"));
                    let [frames, bits, cycles] = cells;
                    table.row([
                        format!("{nic}, {what}"),
                        frames,
                        bits,
                        cycles,
                        format!("{:.0} %", flow.cpu_share * 100.0),
                    ]);
                }
            }
            table.print(style)?;
        }
        let all = r.heartbeats_sent_under_flood;
        let text = format!(
            "{} of {all} heartbeats lost under a flood of which {} frames found no buffer",
            r.heartbeats_lost_under_flood, r.flood_frames_dropped
        );
        say!("  {}", style.check(r.heartbeats_lost_under_flood == 0, &text))?;
        let a = &r.adoption;
        let text = format!(
            "driver killed under traffic: {} of {} forwarded packets lost, {} of {} bindings lost; {} for the host while it was gone, {} counted as dropped, {} delivered after adoption",
            a.packets_lost,
            a.packets_forwarded,
            a.bindings_lost,
            a.bindings,
            a.for_host_while_down,
            a.dropped_host_down,
            a.delivered_after
        );
        let good = a.packets_lost + a.bindings_lost == 0 && a.for_host_while_down == a.dropped_host_down;
        say!("  {}", style.check(good, &text))?;
        Ok(())
    }
}

/// What a packet costs the reference model.
fn software(config: &hashgate_config::Config, tables: &hashgate_tables::Tables, seed: u64, packets: u64) -> Costs {
    let mut model = Model::new(config.build.limits());
    model.state.enabled = true;
    model.commit(tables.clone());
    model.set_settings(tables.settings.clone());
    let frames = rig::frames(config, rig::BYTES, seed);
    let begun = Instant::now();
    for n in 0..packets as usize {
        let decision = model.receive(0, &frames[n % frames.len()], false);
        // Room for new bindings ends; then the packet is decided by the map alone.
        if model.apply(&decision, [false; 2]).is_ok() {
            model.count(&decision);
        }
    }
    Costs { ns_per_packet: begun.elapsed().as_nanos() as f64 / packets as f64 }
}

fn dma(clock_hz: u64) -> Dma {
    let pps = |rate: measure::Rate| clock_hz as f64 / rate.cycles;
    Dma {
        rx_beats_per_clock: measure::receive(HOST_BITS, 1518).beats,
        tx_beats_per_clock: measure::transmit(HOST_BITS, 1518, 2).beats,
        rx_pps_64: pps(measure::receive(HOST_BITS, 64)),
        tx_pps_64: pps(measure::transmit(HOST_BITS, 64, 2)),
        load_cycles_per_word: measure::mover(HOST_BITS, true, 8192).cycles,
        dump_cycles_per_word: measure::mover(HOST_BITS, false, 8192).cycles,
    }
}

/// Clock of this machine's processor in Hz, as it says itself.
fn cpu_hz() -> Result<f64> {
    let info = std::fs::read_to_string("/proc/cpuinfo").map_err(refuse)?;
    let line = info.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(':').nth(1));
    let mhz: Option<f64> = line.and_then(|text| text.trim().parse().ok());
    mhz.map(|mhz| mhz * 1e6)
        .ok_or_else(|| refuse("/proc/cpuinfo tells no \"cpu MHz\", so time cannot be turned into cycles"))
}

impl Throughput {
    /// Packets in a second of real time.
    fn pps(&self) -> f64 {
        self.packets as f64 / self.time.as_secs_f64()
    }

    fn reads_per_packet(&self) -> f64 {
        self.reads as f64 / self.packets as f64
    }

    fn writes_per_packet(&self) -> f64 {
        self.writes as f64 / self.packets as f64
    }
}
