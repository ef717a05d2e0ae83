// SPDX-License-Identifier: Apache-2.0
//! `lbsim run`: a capture through the NICs of a cluster.

use crate::capture::{self, Packet};
use crate::node::{Node, Tally, each};
use crate::pcapng::Writer;
use crate::report::{Progress, Style, Table};
use crate::{refuse, say};
use anyhow::{Context, Result};
use hashgate_config::{Config, Host, State};
use hashgate_nic::{BindingCounters, BindingTable};
use hashgate_regs::defs::{Reason, Verdict};
use hashgate_sim::VerdictEvent;
use hashgate_tables::Tables;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Shortest frame on a wire, in bytes without FCS; senders fill up to it.
pub const MIN_FRAME: usize = 60;

/// Sends a capture through simulated NICs.
#[derive(clap::Args, Debug)]
pub struct Run {
    /// The cluster: a TOML file, see docs/configuration.md.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The capture to send: pcap or pcapng, Ethernet.
    #[arg(long, value_name = "FILE")]
    pcap: PathBuf,
    /// Folder for one NAME.pcapng per NIC, every packet with its verdict as a comment; made if it does not exist.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Only the NICs of these hosts [default: all].
    #[arg(long, value_name = "NAME", num_args = 1..)]
    host: Vec<String>,
    /// Fill frames shorter than 60 bytes up with zeros, as senders do; captures made at the sender lack the padding.
    #[arg(long)]
    pad: bool,
    /// One JSON object per packet and NIC on standard output, and one with the totals.
    #[arg(long)]
    json: bool,
    /// Write a waveform (FST); with several NICs one for each, with the host's name before the suffix. Slow.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Packets between two steps of the configuration, with the tables of that time.
struct Phase {
    packets: Range<usize>,
    /// By NIC; `None` if its host is down.
    tables: Vec<Option<Tables>>,
}

/// The verdict on every packet, by packet number.
pub type Verdicts = Vec<VerdictEvent>;

/// The binding tables, with their names.
const BINDING_TABLES: [(&str, BindingTable); 2] =
    [("connection", BindingTable::Connection), ("affinity", BindingTable::Affinity)];

/// Secret of the hash of bindings after a host was down; a simulation is the same every time.
const FLUSH_SECRET: u128 = 1;

/// What the connection and the affinity table have done.
type Bindings = [BindingCounters; 2];

impl Run {
    /// Runs it.
    ///
    /// # Errors
    /// [`Refusal`] for bad input; anything else is a failure of the NIC or the simulator.
    pub fn run(&self) -> Result<()> {
        let config = Config::load(&self.config).map_err(refuse)?;
        let hosts = self.hosts(&config)?;
        let mut packets = capture::read(&self.pcap).map_err(refuse)?;
        let short = packets.iter().filter(|packet| packet.data.len() < MIN_FRAME).count();
        if self.pad {
            pad(&mut packets);
        } else if short > 0 {
            eprintln!(
                "lbsim: {short} frames are shorter than {MIN_FRAME} bytes and will be runts; --pad fills them up"
            );
        }
        let cut = packets.iter().filter(|packet| packet.cut).count();
        if cut > 0 {
            eprintln!(
                "lbsim: {}: {cut} packets hold only their beginning; they are sent as they are",
                self.pcap.display()
            );
        }
        std::fs::create_dir_all(&self.out)
            .map_err(|error| refuse(format!("{}: the folder cannot be made: {error}", self.out.display())))?;

        let phases = phases(&config, &hosts, packets.len());
        let progress = Mutex::new(Progress::new("packets x NICs", (packets.len() * hosts.len()) as u64));
        let results = each(&mut hosts.clone(), |n, host| {
            let trace = self.trace.as_deref().map(|path| trace_path(path, &host.name, hosts.len()));
            simulate(&config, host, n, &phases, &packets, trace.as_deref(), &progress)
        })?;
        drop(progress);
        let (results, bindings): (Vec<Verdicts>, Vec<Bindings>) = results.into_iter().unzip();

        for (host, verdicts) in hosts.iter().zip(&results) {
            write_capture(&config, &capture_path(&self.out, &host.name), &packets, verdicts)?;
        }
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        let tallies: Vec<Tally> = results.iter().map(|verdicts| tally(verdicts)).collect();
        if self.json {
            print_json(&names, &results, &tallies, &bindings)
        } else {
            let style = Style::stdout();
            say!("{} packets of {} through {} NICs", packets.len(), self.pcap.display(), hosts.len())?;
            print_tally(style, &names, &tallies)?;
            print_bindings(style, &names, &bindings)?;
            say!("verdict, reason, rule, bucket and target of every packet: {}/NAME.pcapng", self.out.display())?;
            Ok(())
        }
    }

    /// The hosts whose NICs take part.
    fn hosts<'c>(&self, config: &'c Config) -> Result<Vec<&'c Host>> {
        if let Some(unknown) = self.host.iter().find(|name| config.hosts.iter().all(|host| host.name != **name)) {
            let known = config.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ");
            let file = self.config.display();
            return Err(refuse(format!("--host {unknown}: {file} has no such host (known: {known})")));
        }
        Ok(config.hosts.iter().filter(|host| self.host.is_empty() || self.host.contains(&host.name)).collect())
    }
}

/// Fills short frames up.
pub fn pad(packets: &mut [Packet]) {
    for packet in packets {
        packet.data.resize(packet.data.len().max(MIN_FRAME), 0);
    }
}

fn phases(config: &Config, hosts: &[&Host], packets: usize) -> Vec<Phase> {
    let mut state = State::new(config);
    let mut phases = Vec::new();
    let mut begin = 0;
    for end in config.steps.iter().map(Some).chain([None]) {
        let until = end.map_or(packets, |step| usize::try_from(step.after).map_or(packets, |after| after.min(packets)));
        let tables = hosts.iter().map(|host| state.is_live(host).then(|| state.tables(host))).collect();
        phases.push(Phase { packets: begin..until, tables });
        begin = until;
        if let Some(step) = end {
            state.apply(step);
        }
    }
    phases
}

/// One NIC through all phases; every frame of a phase is decided before the next one begins.
fn simulate(
    config: &Config,
    host: &Host,
    place: usize,
    phases: &[Phase],
    packets: &[Packet],
    trace: Option<&Path>,
    progress: &Mutex<Progress>,
) -> Result<(Verdicts, Bindings)> {
    let first = phases.iter().find_map(|phase| phase.tables[place].as_ref()).context("a host is up at some time")?;
    let mut node = Node::new(config, host, first, trace)?;
    let mut verdicts = Vec::with_capacity(packets.len());
    let mut active = first;
    let mut down = false;
    for phase in phases {
        if let Some(tables) = &phase.tables[place]
            && tables != active
        {
            node.stage(tables)?;
            node.driver().set_flags(&tables.flags)?;
            node.commit()?;
            node.release_flows(tables)?;
            active = tables;
        }
        let up = phase.tables[place].is_some();
        if up && down {
            // A host that comes back knows nothing of its connections.
            node.driver().flush_bindings(FLUSH_SECRET)?;
        }
        down = !up;
        node.enable(up);
        let part = &packets[phase.packets.clone()];
        node.send(phase.packets.start, part, |n| progress.lock().unwrap_or_else(|e| e.into_inner()).advance(n));
        verdicts.extend(node.collect(packets)?);
    }
    node.end_trace();
    // Frames of two ports may overtake each other.
    verdicts.sort_unstable_by_key(|(number, _)| *number);
    let verdicts: Verdicts = verdicts.into_iter().map(|(_, event)| event).collect();
    node.check_counters(&tally(&verdicts))?;
    let bindings = BINDING_TABLES.map(|(_, table)| node.driver().binding_counters(table));
    Ok((verdicts, bindings))
}

/// Packets by verdict and reason.
pub fn tally(verdicts: &[VerdictEvent]) -> Tally {
    let mut tally = Tally::new();
    for event in verdicts {
        *tally.entry((event.verdict, event.reason)).or_default() += 1;
    }
    tally
}

/// File of a host's packets.
pub fn capture_path(folder: &Path, host: &str) -> PathBuf {
    folder.join(format!("{host}.pcapng"))
}

fn trace_path(path: &Path, host: &str, nics: usize) -> PathBuf {
    if nics == 1 {
        return path.to_owned();
    }
    let suffix = path.extension().map_or("fst".into(), |suffix| suffix.to_string_lossy());
    path.with_extension(format!("{host}.{suffix}"))
}

/// Writes all packets with what the NIC decided on them, discarded ones included.
///
/// # Errors
/// [`Refusal`] if the file cannot be written.
pub fn write_capture(config: &Config, path: &Path, packets: &[Packet], verdicts: &[VerdictEvent]) -> Result<()> {
    let failed = |error: std::io::Error| refuse(format!("{}: cannot be written: {error}", path.display()));
    let ports: Vec<String> = (0..config.build.ports()).map(|port| format!("wire{port}")).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let file = BufWriter::new(File::create(path).map_err(failed)?);
    let mut writer = Writer::new(file, &ports).map_err(failed)?;
    for (packet, event) in packets.iter().zip(verdicts) {
        let packet = Packet { interface: event.port.into(), ..packet.clone() };
        writer.packet(&packet, &comment(config, event)).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

/// What a NIC decided, in words: `verdict=host reason=map rule=0(web) bucket=2748 target=2(b)`.
fn comment(config: &Config, event: &VerdictEvent) -> String {
    let mut text = format!("verdict={} reason={}", event.verdict, event.reason);
    if let Some(rule) = event.rule {
        text += &format!(" rule={rule}({})", config.rule_name(rule).unwrap_or("?"));
    }
    if let Some(bucket) = event.bucket {
        text += &format!(" bucket={bucket}");
    }
    if let Some(target) = event.target {
        text += &format!(" target={target}({})", config.target_name(target).unwrap_or("?"));
    }
    match event.verdict {
        Verdict::Host if event.control => text += " queue=control",
        Verdict::Host => text += &format!(" queue={}", event.queue),
        Verdict::Port => text += &format!(" port={}", event.out_port),
        Verdict::Discard if event.aborted => text += " aborted",
        Verdict::Discard => {}
    }
    text
}

#[derive(Serialize)]
struct Line<'a> {
    n: usize,
    nic: &'a str,
    verdict: &'static str,
    reason: &'static str,
    rule: Option<u8>,
    bucket: Option<u16>,
    target: Option<u16>,
}

#[derive(Serialize)]
struct Totals<'a> {
    /// Packets by reason, over all NICs.
    totals: BTreeMap<&'static str, u64>,
    nics: Vec<NicTotals<'a>>,
}

#[derive(Serialize)]
struct NicTotals<'a> {
    nic: &'a str,
    received: u64,
    verdicts: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<&'static str, u64>,
    /// By table.
    bindings: BTreeMap<&'static str, TableTotals>,
}

#[derive(Serialize)]
struct TableTotals {
    /// At the end.
    present: u32,
    created: u64,
    removed: u64,
    refused: u64,
}

fn print_json(names: &[&str], results: &[Verdicts], tallies: &[Tally], bindings: &[Bindings]) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for n in 0..results.first().map_or(0, Vec::len) {
        for (nic, verdicts) in names.iter().zip(results) {
            let VerdictEvent { verdict, reason, rule, bucket, target, .. } = verdicts[n];
            let (verdict, reason) = (verdict.name(), reason.name());
            serde_json::to_writer(&mut out, &Line { n: n + 1, nic, verdict, reason, rule, bucket, target })?;
            writeln!(out)?;
        }
    }
    let mut totals = BTreeMap::new();
    let mut nics = Vec::new();
    for ((nic, tally), bindings) in names.iter().zip(tallies).zip(bindings) {
        let (mut verdicts, mut reasons) = (BTreeMap::new(), BTreeMap::new());
        for ((verdict, reason), count) in tally {
            for (key, sums) in
                [(verdict.name(), &mut verdicts), (reason.name(), &mut reasons), (reason.name(), &mut totals)]
            {
                *sums.entry(key).or_default() += count;
            }
        }
        let bindings = BINDING_TABLES.iter().zip(bindings).map(|((name, _), counters)| {
            let BindingCounters { used: present, created, removed, refused, .. } = *counters;
            (*name, TableTotals { present, created, removed, refused })
        });
        nics.push(NicTotals { nic, received: tally.values().sum(), verdicts, reasons, bindings: bindings.collect() });
    }
    serde_json::to_writer(&mut out, &Totals { totals, nics })?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Prints what the binding tables have done, if anything; a column for each NIC.
fn print_bindings(style: Style, names: &[&str], bindings: &[Bindings]) -> std::io::Result<()> {
    if bindings.iter().flatten().all(|counters| counters.created + counters.refused == 0) {
        return Ok(());
    }
    let mut table = Table::new(["bindings"].into_iter().chain(names.iter().copied()));
    for (t, (name, _)) in BINDING_TABLES.iter().enumerate() {
        for (n, what) in ["created", "removed", "refused", "present"].into_iter().enumerate() {
            let counts = bindings.iter().map(|tables| {
                let BindingCounters { created, removed, refused, used, .. } = tables[t];
                [created, removed, refused, used.into()][n].to_string()
            });
            table.row([format!("{name:10}  {what}")].into_iter().chain(counts));
        }
    }
    table.print(style)
}

/// Prints packets by verdict and reason, a column for each NIC.
///
/// # Errors
/// Those of standard output.
pub fn print_tally(style: Style, names: &[&str], tallies: &[Tally]) -> std::io::Result<()> {
    let kinds: BTreeSet<(Verdict, Reason)> = tallies.iter().flat_map(|tally| tally.keys().copied()).collect();
    let mut table = Table::new(["verdict  reason"].into_iter().chain(names.iter().copied()));
    for kind in kinds {
        let counts = tallies.iter().map(|tally| tally.get(&kind).copied().unwrap_or(0).to_string());
        table.row([format!("{:7}  {}", kind.0.name(), kind.1)].into_iter().chain(counts));
    }
    let sums = tallies.iter().map(|tally| tally.values().sum::<u64>().to_string());
    table.row(["received".to_owned()].into_iter().chain(sums));
    table.print(style)
}
