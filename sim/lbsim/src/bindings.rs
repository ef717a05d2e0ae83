// SPDX-License-Identifier: Apache-2.0
//! `lbsim bench bindings`: what the binding tables hold, how fast, and that connections keep their host.
//!
//! Three parts: the Verilated table alone (`hashgate_table_sim::measure`), whole NICs while members join and leave
//! ([`crate::consistency`]), and arithmetic of sizes (`hashgate_table_sim::size`).

use crate::bench::clock;
use crate::consistency::{self, Broken, Outcome, Plan, Rules};
use crate::environment::{Environment, commit};
use crate::report::{Progress, Style, Table, percent};
use crate::say;
use anyhow::{Result, anyhow, ensure};
use hashgate_config::Build;
use hashgate_table_sim::measure::{self, Fill, Steady};
use hashgate_table_sim::size;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Insertions a clock for which the first refusal is measured.
const RATES: [f64; 4] = [1.0, 0.46, 0.062, 0.001];
/// Sessions a clock in the steady state; 0.065 is 21 million a second at 322.27 MHz.
const STEADY_RATES: [f64; 5] = [0.3, 0.2, 0.1, 0.065, 0.03];
/// Loads of the steady state.
const LOADS: [f64; 4] = [0.5, 0.8, 0.9, 0.95];
/// What is reported by itself: names and loads.
const NAMED_LOADS: [(&str, f64); 3] = [("load_50", 0.5), ("load_90", 0.9), ("load_95", 0.95)];
/// A rate counts as sustained if a smaller part of its sessions is refused.
const REFUSED_LIMIT: f64 = 0.001;
/// Load at which the first key may be refused, each inserted after the one before has settled.
const REFUSAL_GOAL: f64 = 0.97;
/// Sessions a second at a load of 90 %.
const SPEED_GOAL: f64 = 20e6;
/// UltraRAM and 36 Kb block RAM of a Virtex UltraScale+ VU9P (AMD DS890).
const DEVICE: (&str, u64, u64) = ("VU9P", 960, 2160);
/// Sessions of a table in the 512-bit build.
const SESSIONS: u32 = 65_536;

/// Capacity and speed of the binding tables, and connections through joins and leaves. Minutes.
#[derive(clap::Args, Debug)]
pub struct Bindings {
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Small tables and few connections: seconds; the figures say nothing about the real ones.
    #[arg(long)]
    quick: bool,
    /// Tables filled until the first key is refused, 1..1000; IPv4 and IPv6 keys in turn [default: 20, with --quick 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: Option<u64>,
    /// Seed of the joins, leaves and connections.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Core clock in Hz that turns cycles into rates [default: that of the 512-bit build].
    #[arg(long, value_name = "HZ", value_parser = clock)]
    clock_hz: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    commit: &'static str,
    environment: Environment,
    results: Results,
}

/// Lowest and median of several.
#[derive(Clone, Copy, Debug, Serialize)]
struct Low {
    min: f64,
    median: f64,
    seeds: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Moves {
    median: u32,
    max: u32,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Capacity {
    device: &'static str,
    ultra_rams: u64,
    /// Sessions of the largest table, a power of two, whose memories are UltraRAM and which fits the device:
    /// each memory takes `ceil(words / 4096) x ceil(bits / 72)` blocks.
    sessions: u64,
    ultra_rams_used: u64,
    /// The same for each of two tables.
    sessions_each_of_two: u64,
    /// 36 Kb block RAMs of a table of 65536 sessions; see [`size::block_rams`].
    block_rams_for_65536: f64,
    /// Of so many.
    block_rams: u64,
}

#[derive(Debug, Serialize)]
struct Results {
    quick: bool,
    /// Sessions of the table that the first figures are of.
    table_sessions: u32,
    /// Load at the first refusal, each key inserted after the one before has settled.
    first_refusal_load_factor: Low,
    /// The same with keys that share a row of one way, chosen with the secret in hand.
    first_refusal_adversarial: Low,
    /// Load at the first refusal by insertions a clock; the lowest of the seeds.
    first_refusal_by_rate: BTreeMap<String, f64>,
    /// Part of the sessions refused in the steady state, by sessions a clock and load.
    refused_by_rate_and_load: BTreeMap<String, BTreeMap<String, f64>>,
    /// Sessions opened, established and closed or aged out in a second, by load: the fastest of the rates of which less
    /// than 0.1 % is refused (the slowest, if there is none).
    sessions_per_second: BTreeMap<&'static str, f64>,
    /// Part refused at these.
    refused_fraction: BTreeMap<&'static str, f64>,
    /// Moves of keys in the table from one insertion to the next, up to the first refusal.
    moves_per_insert: Moves,
    /// Cycles in which the table did not answer a packet when it should.
    stalled_cycles: u64,
    connections_tried: u64,
    connections_across_move: u64,
    connections_broken: Broken,
    accepted_twice: u64,
    bits_per_binding: u64,
    capacity: Capacity,
    /// The run of whole NICs.
    consistency: Outcome,
}

/// A measurement of the table alone.
#[derive(Clone, Copy, Debug)]
enum Job {
    Settled(u64),
    Adversarial(u64),
    Rate(usize, u64),
    Steady(usize, usize),
}

/// What it gave.
enum Answer {
    Fill(Fill),
    Load(f64),
    Steady(Steady),
}

/// Figures of the table alone.
#[derive(Default)]
struct TableFigures {
    settled: Vec<f64>,
    moves: Vec<u32>,
    adversarial: Vec<f64>,
    /// By [`RATES`].
    rates: BTreeMap<usize, Vec<f64>>,
    /// By [`STEADY_RATES`] and [`LOADS`].
    steady: BTreeMap<(usize, usize), Steady>,
}

impl Bindings {
    /// Runs it.
    ///
    /// # Errors
    /// If a connection broke, a frame was accepted twice, the table stalled, or an assertion of the RTL failed.
    pub fn run(&self) -> Result<()> {
        let clock_hz = self.clock_hz.unwrap_or(Build::B512.clock_hz());
        let plan = if self.quick {
            Plan {
                members: 3,
                changes: 6,
                open: 500,
                period: 60,
                seed: self.seed,
                crash_first: true,
                rules: Rules::ALL,
            }
        } else {
            Plan {
                members: 4,
                changes: 50,
                open: 40_000,
                period: 4096,
                seed: self.seed,
                crash_first: true,
                rules: Rules::ALL,
            }
        };
        let (info, consistency) = consistency::run(plan, &mut Progress::new("joins and leaves", plan.changes as u64))?;
        let sessions = if self.quick { 512 } else { SESSIONS };
        let table = self.measure_table(sessions)?;
        let results = self.results(sessions, &table, consistency, clock_hz);
        let report =
            Report { bench: "bindings", commit: commit(), environment: Environment::new(&info, clock_hz), results };
        if self.json {
            say!("{}", serde_json::to_string(&report)?)?;
        } else {
            report.print(Style::stdout())?;
        }
        let results = &report.results;
        ensure!(results.connections_broken.hashgate == 0, "connections broke: {:?}", results.connections_broken);
        ensure!(results.accepted_twice == 0, "{} frames were accepted by two NICs", results.accepted_twice);
        ensure!(results.stalled_cycles == 0, "the table stalled in {} cycles", results.stalled_cycles);
        Ok(())
    }

    /// All measurements of the table alone, on all cores.
    fn measure_table(&self, sessions: u32) -> Result<TableFigures> {
        let seeds = self.seeds.unwrap_or(if self.quick { 2 } else { 20 });
        // The long ones first.
        let rates = (0..RATES.len()).rev().flat_map(|rate| (1..=2).map(move |seed| Job::Rate(rate, seed)));
        let steady =
            (0..STEADY_RATES.len()).rev().flat_map(|rate| (0..LOADS.len()).map(move |load| Job::Steady(rate, load)));
        let adversarial = (1..=seeds.div_ceil(4)).map(Job::Adversarial);
        let jobs: Vec<Job> = rates.chain(steady).chain((1..=seeds).map(Job::Settled)).chain(adversarial).collect();
        let progress = Mutex::new(Progress::new("table alone", jobs.len() as u64));
        let answers = on_all_cores(&jobs, |job| {
            let answer = match *job {
                Job::Settled(seed) => measure::quasi_static_clients(sessions, seed, seed % 2 == 0).map(Answer::Fill),
                Job::Adversarial(seed) => measure::adversarial(sessions, seed).map(Answer::Fill),
                Job::Rate(rate, seed) => measure::at_rate(sessions, seed, RATES[rate], seed % 2 == 0).map(Answer::Load),
                Job::Steady(rate, load) => {
                    measure::sustained(sessions, 1, STEADY_RATES[rate], LOADS[load], load % 2 == 1).map(Answer::Steady)
                }
            };
            progress.lock().unwrap_or_else(|e| e.into_inner()).advance(1);
            answer.map_err(|text| anyhow!("the binding table: {text}"))
        })?;
        let mut figures = TableFigures::default();
        for (job, answer) in jobs.into_iter().zip(answers) {
            match (job, answer) {
                (Job::Settled(_), Answer::Fill(fill)) => {
                    figures.settled.push(fill.load);
                    figures.moves.extend(fill.moves);
                }
                (Job::Adversarial(_), Answer::Fill(fill)) => figures.adversarial.push(fill.load),
                (Job::Rate(rate, _), Answer::Load(load)) => figures.rates.entry(rate).or_default().push(load),
                (Job::Steady(rate, load), Answer::Steady(steady)) => {
                    figures.steady.insert((rate, load), steady);
                }
                _ => unreachable!("every job gives its own kind of answer"),
            }
        }
        figures.moves.sort_unstable();
        Ok(figures)
    }

    fn results(&self, sessions: u32, table: &TableFigures, consistency: Outcome, clock_hz: u64) -> Results {
        let (device, ultra_rams, block_rams) = DEVICE;
        let most = size::sessions_in_ultra_ram(ultra_rams);
        let refused = |rate: usize, load: usize| {
            table.steady.get(&(rate, load)).map_or(1.0, |steady| steady.refused as f64 / steady.opened.max(1) as f64)
        };
        let (mut sessions_per_second, mut refused_fraction) = (BTreeMap::new(), BTreeMap::new());
        for (name, load) in NAMED_LOADS {
            let load = LOADS.iter().position(|l| *l == load).expect("it is one of them");
            let sustained = (0..STEADY_RATES.len()).find(|rate| refused(*rate, load) < REFUSED_LIMIT);
            let rate = sustained.unwrap_or(STEADY_RATES.len() - 1);
            let part = refused(rate, load);
            refused_fraction.insert(name, part);
            sessions_per_second.insert(name, STEADY_RATES[rate] * (1.0 - part) * clock_hz as f64);
        }
        Results {
            quick: self.quick,
            table_sessions: sessions,
            first_refusal_load_factor: low(&table.settled),
            first_refusal_adversarial: low(&table.adversarial),
            first_refusal_by_rate: table
                .rates
                .iter()
                .map(|(rate, loads)| (RATES[*rate].to_string(), low(loads).min))
                .collect(),
            refused_by_rate_and_load: STEADY_RATES
                .iter()
                .enumerate()
                .map(|(rate, name)| {
                    let by_load = LOADS.iter().enumerate().map(|(n, load)| (load.to_string(), refused(rate, n)));
                    (name.to_string(), by_load.collect())
                })
                .collect(),
            sessions_per_second,
            refused_fraction,
            moves_per_insert: Moves {
                median: table.moves.get(table.moves.len() / 2).copied().unwrap_or(0),
                max: table.moves.last().copied().unwrap_or(0),
            },
            stalled_cycles: table.steady.values().map(|steady| steady.stalled).sum(),
            connections_tried: consistency.connections_tried,
            connections_across_move: consistency.connections_across_move,
            connections_broken: consistency.connections_broken,
            accepted_twice: consistency.accepted_twice,
            bits_per_binding: size::bits_per_binding(SESSIONS.into()),
            capacity: Capacity {
                device,
                ultra_rams,
                sessions: most,
                ultra_rams_used: size::ultra_rams(most),
                sessions_each_of_two: size::sessions_in_ultra_ram(ultra_rams / 2),
                block_rams_for_65536: size::block_rams(65_536),
                block_rams,
            },
            consistency,
        }
    }
}

fn low(values: &[f64]) -> Low {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |n: usize| sorted.get(n).copied().unwrap_or(0.0);
    Low { min: at(0), median: at(sorted.len() / 2), seeds: sorted.len() }
}

/// Does `work` for each job, as many at a time as there are cores; answers in order.
fn on_all_cores<T: Sync, R: Send>(jobs: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut answers: Vec<(usize, Result<R>)> = std::thread::scope(|scope| {
        let worker = || {
            let mut own = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(n) else { return own };
                own.push((n, work(job)));
            }
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    answers.sort_by_key(|(n, _)| *n);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

impl Report {
    fn print(&self, style: Style) -> std::io::Result<()> {
        let r = &self.results;
        let goal = |holds: bool, text: String| {
            // Small tables cannot reach what is asked of large ones.
            say!("  {}", if r.quick { text } else { style.check(holds, &text) })
        };
        let clock = self.environment.clock_hz as f64 / 1e6;
        say!("{}", style.heading(&format!("Binding table of {} sessions, at {clock:.2} MHz", r.table_sessions)))?;
        let mut table = Table::new(["load at the first refusal", "lowest", "median", "seeds"]);
        for (name, low) in
            [("each key settled", r.first_refusal_load_factor), ("keys of one row", r.first_refusal_adversarial)]
        {
            table.row([name.into(), format!("{:.4}", low.min), format!("{:.4}", low.median), low.seeds.to_string()]);
        }
        for (rate, load) in &r.first_refusal_by_rate {
            table.row([format!("{rate} keys a clock"), format!("{load:.4}"), String::new(), "2".into()]);
        }
        table.print(style)?;
        let low = r.first_refusal_load_factor;
        goal(
            low.min >= REFUSAL_GOAL,
            format!("no key is refused below a load of {:.4} (goal {REFUSAL_GOAL})", low.min),
        )?;
        say!("  moves a key up to there: median {}, at most {}\n", r.moves_per_insert.median, r.moves_per_insert.max)?;

        let heads = LOADS.iter().map(|load| format!("load {:.0} %", 100.0 * load));
        let mut table = Table::new(["refused: sessions a second".to_owned()].into_iter().chain(heads));
        for rate in STEADY_RATES {
            let speed = format!("{:.1} million", rate * clock);
            let parts =
                LOADS.iter().map(|load| percent(r.refused_by_rate_and_load[&rate.to_string()][&load.to_string()], 1.0));
            table.row([speed].into_iter().chain(parts));
        }
        table.print(style)?;
        let (speed, part) = (r.sessions_per_second["load_90"], r.refused_fraction["load_90"]);
        goal(
            speed >= SPEED_GOAL && part < REFUSED_LIMIT,
            format!("{:.1} million sessions a second at a load of 90 %, {} refused", speed / 1e6, percent(part, 1.0)),
        )?;
        say!("  {}\n", style.check(r.stalled_cycles == 0, &format!("{} cycles stalled", r.stalled_cycles)))?;

        let capacity = &r.capacity;
        say!(
            "  {} bits of memory for a binding; a table of 65536 takes {} of the {} block RAMs of a {}; {} sessions fit its {} UltraRAM blocks \
             ({} used), by arithmetic\n",
            r.bits_per_binding,
            capacity.block_rams_for_65536,
            capacity.block_rams,
            capacity.device,
            capacity.sessions,
            capacity.ultra_rams,
            capacity.ultra_rams_used
        )?;
        print_consistency(style, &r.consistency)
    }
}

/// Prints what became of the connections.
///
/// # Errors
/// Those of standard output.
pub fn print_consistency(style: Style, o: &Outcome) -> std::io::Result<()> {
    let changes = o.joins + o.crashes + o.drains;
    let text = format!(
        "{} NICs, {changes} changes of membership ({} joins, {} crashes, {} drained), {} connections open at each of them",
        o.members, o.joins, o.crashes, o.drains, o.open_min
    );
    say!("{}", style.heading(&text))?;
    let mut table = Table::new(["connections", "tried", "bucket moved while open", "broken, host up"]);
    let Broken { hashgate, modulo, rendezvous, maglev } = o.connections_broken;
    let counts = [o.connections_tried.to_string(), o.connections_across_move.to_string()];
    table.row(["these NICs".to_owned()].into_iter().chain(counts).chain([hashgate.to_string()]));
    for (name, broken) in [("modulo", modulo), ("rendezvous", rendezvous), ("Maglev", maglev)] {
        table.row([format!("{name}, no bindings"), String::new(), String::new(), broken.to_string()]);
    }
    table.print(style)?;
    say!("  {}", style.check(hashgate == 0, &format!("{hashgate} connections broken whose host was up")))?;
    say!(
        "  {}",
        style
            .check(o.accepted_twice == 0, &format!("{} of {} frames accepted by two NICs", o.accepted_twice, o.frames))
    )?;
    say!(
        "  {} connections went with their host, {} ports were used again, {} SYNs were sent again; tables filled to {} at most, {} bindings refused",
        o.connections_lost_with_host,
        o.ports_reused,
        o.syn_retries,
        percent(o.load_max, 1.0),
        o.refused
    )
}
