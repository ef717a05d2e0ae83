// SPDX-License-Identifier: Apache-2.0
//! `lbsim bench`: the packet generator. One NIC, all rules on, a frame on every beat.

use crate::bindings::Bindings;
use crate::cluster::Cluster;
use crate::driver::Driver;
use crate::environment::{Environment, commit};
use crate::node::Node;
use crate::report::{Progress, Style, Table};
use crate::say;
use crate::traffic::{self, FCS, IMIX};
use anyhow::{Context, Result, ensure};
use hashgate_config::{Build, CLOCK_HZ, Config, State};
use hashgate_regs::defs::Verdict;
use hashgate_sim::WireFrame;
use hashgate_tables::{Mac, Tables};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Sizes on the wire that are always measured unless others are chosen: the smallest, one byte more than a beat or two,
/// the usual and the largest.
pub const SIZES: [usize; 8] = [64, 65, 69, 128, 129, 1518, 9018, 9026];
/// Sizes of frames on the wire, with FCS.
const SIZE_LIMITS: std::ops::RangeInclusive<usize> = 64..=9026;
/// Bytes of preamble, start delimiter and smallest gap on the wire beside every frame.
const WIRE_OVERHEAD: usize = 20;
/// Beats for one size: enough that a bubble between any two of some hundred frames shows.
const BEATS: usize = 16_384;
/// Frames of one size in the search for the worst one.
const SEARCH_FRAMES: usize = 8;
/// Cycles after the last frame went in until all must have come out.
const DRAIN_CYCLES: u64 = 1_000_000;

/// The packet generator.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    other: Option<Other>,
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Sizes on the wire with FCS, 64..9026 [default: 64,65,69,128,129,1518,9018,9026 and an IMIX].
    #[arg(long, value_name = "SIZE,..", value_delimiter = ',', value_parser = size)]
    sizes: Vec<usize>,
    /// Bits in a beat: 512 (100GbE) or 64 (10GbE).
    #[arg(long, default_value = "512", value_parser = build)]
    build: Build,
    /// Core clock in Hz that turns cycles into rates [default: that of the build].
    #[arg(long, value_name = "HZ", value_parser = clock)]
    clock_hz: Option<u64>,
    /// Seed of the traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is measured instead of frame sizes.
#[derive(clap::Subcommand, Debug)]
enum Other {
    /// Capacity and speed of the binding tables, and connections through joins and leaves. Minutes.
    Bindings(Bindings),
    /// The driver's rings: packets a second, register accesses, processor time, and a driver that is killed. A minute.
    Driver(Driver),
    /// The cluster protocol: crashes, maps, heartbeats, and connections in thousands of simulated scenarios. Minutes.
    Cluster(Cluster),
}

fn size(text: &str) -> Result<usize, String> {
    let (low, high) = (SIZE_LIMITS.start(), SIZE_LIMITS.end());
    let size = text.trim().parse().ok().filter(|size| SIZE_LIMITS.contains(size));
    size.ok_or_else(|| format!("a size is {low}..{high} bytes"))
}

fn build(text: &str) -> Result<Build, String> {
    match text {
        "512" => Ok(Build::B512),
        "64" => Ok(Build::B64),
        _ => Err("there are two builds: 512 and 64 (bits in a beat)".into()),
    }
}

/// A clock in Hz from the command line.
pub fn clock(text: &str) -> Result<u64, String> {
    let hz = text.replace('_', "").parse().ok().filter(|hz| CLOCK_HZ.contains(hz));
    hz.ok_or_else(|| format!("the clock is {}..{} Hz", CLOCK_HZ.start(), CLOCK_HZ.end()))
}

/// Size of frames on the wire, or the mix of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Size {
    /// One size.
    Bytes(usize),
    /// [`IMIX`].
    Mix(&'static str),
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Size::Bytes(size) => write!(f, "{size}"),
            Size::Mix(name) => f.write_str(name),
        }
    }
}

/// Cycles from the first beat in to the first beat out.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Shortest.
    pub min: u64,
    /// Half of the frames had this or less.
    pub median: u64,
    /// Longest.
    pub max: u64,
}

/// What was measured with frames of one size.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Bytes on the wire with FCS.
    pub size: Size,
    /// Frames sent, one right after the other.
    pub offered: usize,
    /// Frames that the host received complete.
    pub delivered: usize,
    /// The difference.
    pub lost: usize,
    /// Cycles from verdict to verdict, on average.
    pub cycles_per_packet: f64,
    /// Of the whole pipeline.
    pub latency_cycles: Latency,
    /// Packets a second at the clock.
    pub pps: f64,
    /// Packets a second that the wire can carry.
    pub line_pps: f64,
    /// Clock at which the two are the same.
    pub required_clock_hz: u64,
}

/// Speed of the simulation itself, on this machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Simulation {
    /// Simulated clock cycles in a second.
    pub cycles_per_second: f64,
    /// Packets in a second.
    pub packets_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    commit: &'static str,
    environment: Environment,
    results: Results,
}

#[derive(Debug, Serialize)]
struct Results {
    seed: u64,
    line_bits_per_second: u64,
    sizes: Vec<Measured>,
    /// The size that needs the fastest clock, of all that the search tried.
    worst_size: usize,
    worst_required_clock_hz: u64,
    simulation: Simulation,
}

impl Bench {
    /// Runs it.
    ///
    /// # Errors
    /// If a frame was lost, or the NIC did something else that it must not.
    pub fn run(&self) -> Result<()> {
        match &self.other {
            Some(Other::Bindings(bindings)) => return bindings.run(),
            Some(Other::Driver(driver)) => return driver.run(),
            Some(Other::Cluster(cluster)) => return cluster.run(),
            None => {}
        }
        let sizes: Vec<Size> = if self.sizes.is_empty() {
            all_sizes()
        } else {
            self.sizes.iter().map(|size| Size::Bytes(*size)).collect()
        };
        let clock_hz = self.clock_hz.unwrap_or(self.build.clock_hz());
        let config = config(self.build, clock_hz);
        let mut generator = Generator::new(&config, self.seed)?;
        let search = search_sizes(generator.beat_bytes());
        let mut progress = Progress::new("frame sizes", (sizes.len() + search.len()) as u64);
        let mut measured = Vec::new();
        for size in sizes {
            measured.push(generator.measure(size)?);
            progress.advance(1);
        }
        let simulation = generator.simulation();
        let (worst_size, worst_required_clock_hz) = generator.worst(&search, || progress.advance(1))?;
        drop(progress);

        let lost: usize = measured.iter().map(|m| m.lost).sum();
        let report = Report {
            bench: "lbsim",
            commit: commit(),
            environment: Environment::new(generator.node.info(), clock_hz),
            results: Results {
                seed: self.seed,
                line_bits_per_second: line_bits_per_second(self.build),
                sizes: measured,
                worst_size,
                worst_required_clock_hz,
                simulation,
            },
        };
        if self.json {
            say!("{}", serde_json::to_string(&report)?)?;
        } else {
            report.print(Style::stdout(), self.build)?;
        }
        ensure!(lost == 0, "{lost} frames were lost at full load");
        Ok(())
    }
}

/// A cluster of one host with every rule in use.
pub fn config(build: Build, clock_hz: u64) -> Config {
    let bits = if build == Build::B512 { 512 } else { 64 };
    let mut text = format!(
        "[cluster]\nprimary_ip = \"10.0.0.100\"\n[nic]\nbuild = {bits}\nclock_hz = {clock_hz}\n\
         [[vip]]\naddress = \"10.0.0.100\"\n[[vip]]\naddress = \"10.0.0.101\"\n\
         [[vip]]\naddress = \"fd00::100\"\n[[vip]]\naddress = \"fd00::101\"\n\
         [[host]]\nname = \"host\"\npriority = 1\nstation_mac = \"02:00:00:00:00:01\"\n"
    );
    let width = 65_536 / u32::from(build.limits().rules);
    for rule in 0..u32::from(build.limits().rules) {
        let affinity = ["none", "single", "class-c"][rule as usize % 3];
        let (first, last) = (rule * width, rule * width + width - 1);
        text += &format!("[[rule]]\nports = \"{first}-{last}\"\naffinity = \"{affinity}\"\n");
    }
    Config::parse(&text, "the generator's configuration").expect("it is sound")
}

/// Tables of the generator: rules share a few maps, which makes no difference to the pipeline but to the time of loading.
pub fn tables(config: &Config) -> Tables {
    const MAPS: u8 = 4;
    let mut tables = State::new(config).tables(&config.hosts[0]);
    for (number, rule) in &mut tables.rules {
        rule.map = *number % MAPS;
    }
    tables.maps.retain(|map, _| *map < MAPS);
    tables
}

/// Rate of the wire that the build is made for.
fn line_bits_per_second(build: Build) -> u64 {
    match build {
        Build::B512 => 100_000_000_000,
        Build::B64 => 10_000_000_000,
    }
}

/// Every size up to nine beats, then the sizes that just need one beat more: with the same cycles, all others have less
/// packets on the wire.
fn search_sizes(beat_bytes: usize) -> Vec<usize> {
    let every = 9 * beat_bytes.max(64);
    let sizes: BTreeSet<usize> = (*SIZE_LIMITS.start()..=every)
        .chain((every..*SIZE_LIMITS.end()).step_by(beat_bytes.max(64)).map(|s| s + 1))
        .collect();
    sizes.into_iter().collect()
}

/// A NIC that delivers all to its host, under full load.
pub struct Generator<'c> {
    node: Node<'c>,
    rng: ChaCha8Rng,
    cluster_mac: Mac,
    vips: Vec<IpAddr>,
    clock_hz: u64,
    line_bits_per_second: u64,
    spent: Duration,
    cycles: u64,
    packets: usize,
}

impl<'c> Generator<'c> {
    fn new(config: &'c Config, seed: u64) -> Result<Generator<'c>> {
        let mut node = Node::new(config, &config.hosts[0], &tables(config), None)?;
        node.enable(true);
        Ok(Generator {
            node,
            rng: ChaCha8Rng::seed_from_u64(seed),
            cluster_mac: config.cluster_mac(),
            vips: config.vips.iter().map(|vip| vip.addr).collect(),
            clock_hz: config.clock_hz,
            line_bits_per_second: line_bits_per_second(config.build),
            spent: Duration::ZERO,
            cycles: 0,
            packets: 0,
        })
    }

    fn beat_bytes(&self) -> usize {
        self.node.info().beat_bytes.into()
    }

    /// Measures one size.
    ///
    /// # Errors
    /// If the NIC did something else with a frame than to deliver or to lose it.
    pub fn measure(&mut self, size: Size) -> Result<Measured> {
        let bytes = match size {
            Size::Bytes(bytes) => bytes,
            Size::Mix(_) => IMIX.iter().map(|(size, parts)| size * *parts as usize).sum::<usize>() / 12,
        };
        self.measure_frames(size, (BEATS / bytes.div_ceil(self.beat_bytes())).clamp(64, 4096))
    }

    fn measure_frames(&mut self, size: Size, offered: usize) -> Result<Measured> {
        let bytes = match size {
            Size::Bytes(bytes) => Some(bytes),
            Size::Mix(_) => None,
        };
        let frames = traffic::frames(&mut self.rng, bytes, offered, self.cluster_mac, &self.vips);
        let begun = Instant::now();
        let mut nic = self.node.device().nic();
        let first_cycle = nic.cycle();
        for frame in &frames {
            nic.push_wire(0, WireFrame::new(frame.clone()));
        }
        while nic.rx_pending() > 0 {
            nic.step();
        }
        nic.run_until_idle(DRAIN_CYCLES)?;
        self.spent += begun.elapsed();
        self.cycles += nic.cycle() - first_cycle;
        self.packets += offered;

        let events: Vec<_> = std::iter::from_fn(|| nic.pop_event()).collect();
        let stamps: Vec<u64> = std::iter::from_fn(|| nic.pop_ingress()).map(|stamp| stamp.first_beat_cycle).collect();
        let mut delivered = 0;
        let mut latencies = Vec::with_capacity(offered);
        for (number, event) in events.iter().enumerate().filter(|(_, event)| event.verdict == Verdict::Host) {
            let frame = nic.pop_host();
            ensure!(
                frame.as_ref().is_some_and(|f| !f.aborted && f.data == frames[number]),
                "frame {number} of size {size}: {event:?}"
            );
            delivered += 1;
            latencies.extend(frame.map(|frame| frame.first_beat_cycle - stamps[number]));
        }
        ensure!(nic.pop_host().is_none(), "the host got a frame that was not sent");
        drop(nic);
        latencies.sort_unstable();
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            anyhow::bail!("no frame of size {size} got a verdict");
        };
        // From the first verdict to the last lie all frames but the first.
        let between = (events.len().max(2) - 1) as f64;
        let cycles_per_packet = (last.cycle - first.cycle) as f64 / between;
        let wire_bits: usize = frames.iter().skip(1).map(|frame| 8 * (frame.len() + FCS + WIRE_OVERHEAD)).sum();
        let line_pps = self.line_bits_per_second as f64 * (frames.len() - 1) as f64 / wire_bits as f64;
        let latency = |at: usize| latencies.get(at).copied().unwrap_or(0);
        Ok(Measured {
            size,
            offered,
            delivered,
            lost: offered - delivered,
            cycles_per_packet,
            latency_cycles: Latency {
                min: latency(0),
                median: latency(latencies.len() / 2),
                max: latency(latencies.len().saturating_sub(1)),
            },
            pps: self.clock_hz as f64 / cycles_per_packet,
            line_pps,
            required_clock_hz: (line_pps * cycles_per_packet).ceil() as u64,
        })
    }

    /// The size that needs the fastest clock for line rate, and that clock. All sizes in one stream.
    ///
    /// # Errors
    /// If a frame was not delivered.
    fn worst(&mut self, sizes: &[usize], mut done: impl FnMut()) -> Result<(usize, u64)> {
        let mut nic = self.node.device().nic();
        let mut worst = (0, 0);
        for &size in sizes {
            for frame in traffic::frames(&mut self.rng, Some(size), SEARCH_FRAMES, self.cluster_mac, &self.vips) {
                nic.push_wire(0, WireFrame::new(frame));
            }
            // A frame of the size before is always on its way, so the stream has no gap.
            while nic.rx_pending() > 1 {
                nic.step();
            }
            done();
        }
        nic.run_until_idle(DRAIN_CYCLES)?;
        for &size in sizes {
            let mut cycles = Vec::with_capacity(SEARCH_FRAMES);
            for _ in 0..SEARCH_FRAMES {
                let event = nic.pop_event().context("a frame got no verdict")?;
                ensure!(event.verdict == Verdict::Host, "a frame of size {size} at full load: {event:?}");
                cycles.push(event.cycle);
            }
            // The first frame follows one of another size, so it only marks the beginning.
            let cycles_per_packet = (cycles[SEARCH_FRAMES - 1] - cycles[0]) as f64 / (SEARCH_FRAMES - 1) as f64;
            let line_pps = self.line_bits_per_second as f64 / (8 * (size + WIRE_OVERHEAD)) as f64;
            worst = worst.max(((line_pps * cycles_per_packet).ceil() as u64, size));
        }
        while nic.pop_host().is_some() || nic.pop_ingress().is_some() {}
        Ok((worst.1, worst.0))
    }

    /// Speed of the simulation so far.
    pub fn simulation(&self) -> Simulation {
        let seconds = self.spent.as_secs_f64().max(1e-9);
        Simulation {
            cycles_per_second: self.cycles as f64 / seconds,
            packets_per_second: self.packets as f64 / seconds,
        }
    }
}

impl Report {
    fn print(&self, style: Style, build: Build) -> std::io::Result<()> {
        let (environment, results) = (&self.environment, &self.results);
        print_sizes(style, build, environment, &results.sizes)?;
        let worst = results.worst_required_clock_hz as f64 / 1e6;
        let (low, high) = (SIZE_LIMITS.start(), SIZE_LIMITS.end());
        say!("  worst size of {low}..{high}: {} bytes need {worst:.2} MHz", results.worst_size)?;
        let Simulation { cycles_per_second, packets_per_second } = results.simulation;
        say!(
            "  simulated on {} ({} cores, Verilator {}): {:.0} k cycles/s, {:.0} k packets/s",
            environment.cpu,
            environment.cores,
            environment.verilator,
            cycles_per_second / 1e3,
            packets_per_second / 1e3
        )
    }
}

/// Prints the line-rate table.
///
/// # Errors
/// Those of standard output.
pub fn print_sizes(style: Style, build: Build, environment: &Environment, sizes: &[Measured]) -> std::io::Result<()> {
    let clock = environment.clock_hz as f64 / 1e6;
    let line = line_bits_per_second(build) / 1_000_000_000;
    let (bits, rules) = (8 * environment.build.beat_bytes, environment.build.rules);
    say!("{}", style.heading(&format!("{bits}-bit NIC, {rules} rules on, full load, at {clock:.2} MHz")))?;
    let rate = format!("{line}G line Mpps");
    let heads =
        ["bytes", "offered", "lost", "cycles/packet", "latency min", "median", "max", "Mpps", &rate, "needs MHz", ""];
    let mut table = Table::new(heads);
    for m in sizes {
        let verdict = if m.pps >= m.line_pps { "line rate" } else { "below line rate" };
        table.row([
            m.size.to_string(),
            m.offered.to_string(),
            m.lost.to_string(),
            format!("{:.2}", m.cycles_per_packet),
            m.latency_cycles.min.to_string(),
            m.latency_cycles.median.to_string(),
            m.latency_cycles.max.to_string(),
            format!("{:.2}", m.pps / 1e6),
            format!("{:.2}", m.line_pps / 1e6),
            format!("{:.2}", m.required_clock_hz as f64 / 1e6),
            verdict.to_owned(),
        ]);
    }
    table.print(style)
}

/// Measures the sizes that are always measured, and says on what.
///
/// # Errors
/// If the NIC did something that it must not.
pub fn line_rate(build: Build, clock_hz: u64, seed: u64) -> Result<(Environment, Vec<Measured>)> {
    let config = config(build, clock_hz);
    let mut generator = Generator::new(&config, seed)?;
    let sizes = all_sizes().into_iter().map(|size| generator.measure(size)).collect::<Result<_>>()?;
    Ok((Environment::new(generator.node.info(), clock_hz), sizes))
}

fn all_sizes() -> Vec<Size> {
    SIZES.map(Size::Bytes).into_iter().chain([Size::Mix("imix")]).collect()
}
