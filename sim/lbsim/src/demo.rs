// SPDX-License-Identifier: Apache-2.0
//! `lbsim demo`: four NICs that all see the same frames, each accepting its own share.
//! Then four with bindings, of which one is drained.

use crate::capture::{self, Packet};
use crate::consistency::{Plan, Rules};
use crate::node::{Node, Tally, each};
use crate::report::{Progress, Style, Table, percent};
use crate::run::{Verdicts, capture_path, pad, print_tally, tally, write_capture};
use crate::traffic::{self, Flow, Protocol};
use crate::{bench, bindings, consistency, refuse, say};
use anyhow::{Context, Result, ensure};
use hashgate_config::{Config, Host, State, Step};
use hashgate_regs::defs::{Reason, Verdict};
use hashgate_tables::Tables;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The cluster of the demonstration.
const CONFIG: &str = include_str!("../examples/demo.toml");
/// The host that is taken out.
const LEAVER: &str = "c";
/// Flows by (rule, port, protocol, number).
const FLOWS: [(&str, u16, Protocol, usize); 3] =
    [("web", 443, Protocol::Tcp, 2000), ("dns", 53, Protocol::Udp, 400), ("echo", 7, Protocol::Udp, 50)];
/// Packets of each flow.
const ROUNDS: usize = 5;
/// Idle cycles between two generated frames, so that a new map can be loaded while traffic goes on.
const GAP: u32 = 10;
/// Reasons of frames that the cluster balances: exactly one host accepts them.
const BALANCED: [Reason; 6] = [
    Reason::Map,
    Reason::DefaultHost,
    Reason::FragmentUnknown,
    Reason::BeyondWindow,
    Reason::IcmpError,
    Reason::IcmpOwner,
];

/// The demonstration.
#[derive(clap::Args, Debug)]
pub struct Demo {
    /// Folder for the captures, a file per host with the verdict on every packet; made if it does not exist.
    #[arg(long, value_name = "FOLDER", default_value = "out/demo")]
    out: PathBuf,
    /// Capture of real traffic for the VIPs of sim/lbsim/examples/demo.toml.
    #[arg(long, value_name = "FILE", default_value = "tests/captures/real.pcapng")]
    pcap: PathBuf,
    /// Seed of the generated traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Claims of the demonstration that were looked at.
struct Checks {
    style: Style,
    failed: Vec<String>,
}

impl Checks {
    fn that(&mut self, holds: bool, text: String) -> Result<()> {
        say!("  {}", self.style.check(holds, &text))?;
        if !holds {
            self.failed.push(text);
        }
        Ok(())
    }
}

impl Demo {
    /// Runs it.
    ///
    /// # Errors
    /// If a claim does not hold, or the NICs do something that they must not.
    pub fn run(&self) -> Result<()> {
        let config = Config::parse(CONFIG, "sim/lbsim/examples/demo.toml").map_err(refuse)?;
        let mut real = capture::read(&self.pcap).map_err(refuse)?;
        pad(&mut real);
        std::fs::create_dir_all(&self.out)
            .map_err(|error| refuse(format!("{}: the folder cannot be made: {error}", self.out.display())))?;
        let style = Style::stdout();
        let mut checks = Checks { style, failed: Vec::new() };

        let before = State::new(&config);
        let tables: Vec<Tables> = config.hosts.iter().map(|host| before.tables(host)).collect();
        let mut hosts: Vec<&Host> = config.hosts.iter().collect();
        let mut nodes = each(&mut hosts, |n, host| {
            let mut node = Node::new(&config, host, &tables[n], None)?;
            node.enable(true);
            Ok(node)
        })?;
        let info = nodes[0].info();
        let text = format!(
            "{} Verilated NICs, {} bit a beat, {:.2} MHz; all of them receive every frame",
            nodes.len(),
            8 * u32::from(info.beat_bytes),
            config.clock_hz as f64 / 1e6
        );
        say!("{}\n", style.heading(&text))?;

        let seen = self.real_traffic(&config, &mut nodes, &real, &mut checks)?;
        self.generated_traffic(&config, &mut nodes, before, seen, &mut checks)?;

        let (_, outcome) = consistency::run(self.drain(), &mut Progress::new("drain", 1))?;
        bindings::print_consistency(style, &outcome)?;
        checks.that(
            outcome.connections_broken.hashgate == 0 && outcome.accepted_twice == 0,
            format!("{} connections kept their host while their buckets went", outcome.connections_across_move),
        )?;
        say!("")?;

        let (environment, sizes) = bench::line_rate(config.build, config.clock_hz, self.seed)?;
        bench::print_sizes(style, config.build, &environment, &sizes)?;
        let lost: usize = sizes.iter().map(|m| m.lost).sum();
        checks.that(lost == 0, format!("{lost} frames lost at full load"))?;
        checks.that(
            sizes.iter().all(|m| m.pps >= m.line_pps),
            format!("line rate at every size: the clock is {:.2} MHz", config.clock_hz as f64 / 1e6),
        )?;

        say!("\nA capture per host, every packet with its verdict as a comment: {}", self.out.display())?;
        ensure!(
            checks.failed.is_empty(),
            "{} of the claims above do not hold: {}",
            checks.failed.len(),
            checks.failed.join("; ")
        );
        Ok(())
    }

    /// Connections that stay where they are while a host is drained.
    fn drain(&self) -> Plan {
        Plan { members: 4, changes: 1, open: 2000, period: 200, seed: self.seed, crash_first: false, rules: Rules::ALL }
    }

    /// The capture through all NICs. Gives what each decided.
    fn real_traffic(
        &self,
        config: &Config,
        nodes: &mut [Node],
        real: &[Packet],
        checks: &mut Checks,
    ) -> Result<Vec<Verdicts>> {
        let verdicts = each(nodes, |_, node| {
            node.send(0, real, |_| {});
            in_order(node.collect(real)?)
        })?;
        let style = checks.style;
        say!("{}", style.heading(&format!("Real traffic: {} frames of {}", real.len(), self.pcap.display())))?;
        let names: Vec<&str> = nodes.iter().map(|node| node.host.name.as_str()).collect();
        let tallies: Vec<Tally> = verdicts.iter().map(|verdicts| tally(verdicts)).collect();
        print_tally(style, &names, &tallies)?;
        exactly_once(&verdicts, checks)?;
        say!("")?;
        write_all(config, &self.out, "", nodes, real, &verdicts)?;
        Ok(verdicts)
    }

    /// Many clients; one host leaves in the middle of the traffic.
    fn generated_traffic(
        &self,
        config: &Config,
        nodes: &mut [Node],
        before: State,
        seen: Vec<Verdicts>,
        checks: &mut Checks,
    ) -> Result<()> {
        let style = checks.style;
        let leaver_place =
            nodes.iter().position(|node| node.host.name == LEAVER).context("the example has the host")?;
        let leaver = nodes[leaver_place].host;
        let mut after = before.clone();
        after.apply(&Step { down: BTreeSet::from([leaver.priority]), ..Step::default() });
        let after_tables: Vec<Tables> = nodes.iter().map(|node| after.tables(node.host)).collect();

        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let flows = flows(config, &mut rng);
        let (packets, flow_of, cycles) = packets(config, &mut rng, &flows, nodes[0].info().beat_bytes.into());

        // All NICs at the same cycle, so that they see the same frame at the same time, as on one wire.
        let start = nodes.iter().map(|node| node.cycle()).max().context("there are NICs")?;
        let staged = each(nodes, |n, node| {
            node.run_to(start);
            for (number, packet) in packets.iter().enumerate() {
                node.push(number, packet, 0, GAP);
            }
            node.run_to(start + cycles / 5);
            node.stage(&after_tables[n])?;
            Ok(node.cycle())
        })?;
        let switch = staged.into_iter().fold(start + cycles / 2, u64::max);
        let verdicts = each(nodes, |n, node| {
            node.run_to(switch);
            node.commit()?;
            let verdicts = in_order(node.collect(&packets)?)?;
            let mut total = tally(&seen[n]);
            for (kind, count) in tally(&verdicts) {
                *total.entry(kind).or_default() += count;
            }
            node.check_counters(&total)?;
            Ok(verdicts)
        })?;

        let title = format!("Generated traffic: {} flows, {} packets (seed {})", flows.len(), packets.len(), self.seed);
        say!("{}", style.heading(&title))?;
        let points: Vec<Option<usize>> =
            verdicts.iter().map(|verdicts| switch_over(&before, &after, verdicts)).collect();
        let point = points[0];
        let owners = |from: usize, to: usize| owners(&verdicts[0][from..to], &flow_of[from..to], flows.len());
        let (old, new) = (owners(0, point.unwrap_or(0)), owners(point.unwrap_or(0), packets.len()));
        shares(config, &before, "web", &flows, &old, style)?;
        say!("\n  Host {LEAVER} is taken out; the new map is loaded while traffic goes on, then committed.")?;
        checks.that(
            point.is_some() && points.iter().all(|p| *p == point),
            match point {
                Some(point) => format!(
                    "one commit: packets 1..{point} by the old map, {}..{} by the new one, on all NICs",
                    point + 1,
                    packets.len()
                ),
                None => "one commit: no single packet divides the old map from the new one".into(),
            },
        )?;
        moves(config, &before, &after, leaver, &flows, &old, &new, checks)?;
        exactly_once(&verdicts, checks)?;
        let accepted = |verdicts: &Verdicts| verdicts.iter().filter(|event| event.verdict == Verdict::Host).count();
        let late = verdicts[leaver_place][point.unwrap_or(0)..].to_vec();
        checks
            .that(accepted(&late) == 0, format!("host {LEAVER} accepts {} frames after the commit", accepted(&late)))?;
        say!("")?;
        shares(config, &after, "web", &flows, &new, style)?;
        say!("")?;
        write_all(config, &self.out, "-generated", nodes, &packets, &verdicts)
    }
}

/// Verdicts by packet number.
fn in_order(mut verdicts: Vec<(usize, hashgate_sim::VerdictEvent)>) -> Result<Verdicts> {
    verdicts.sort_unstable_by_key(|(number, _)| *number);
    Ok(verdicts.into_iter().map(|(_, event)| event).collect())
}

/// A file for each host.
fn write_all(
    config: &Config,
    folder: &Path,
    suffix: &str,
    nodes: &[Node],
    packets: &[Packet],
    verdicts: &[Verdicts],
) -> Result<()> {
    for (node, verdicts) in nodes.iter().zip(verdicts) {
        write_capture(config, &capture_path(folder, &format!("{}{suffix}", node.host.name)), packets, verdicts)?;
    }
    Ok(())
}

/// Flows of random clients to the VIPs, with the number of their rule.
fn flows(config: &Config, rng: &mut ChaCha8Rng) -> Vec<(u8, Flow)> {
    let vips: Vec<IpAddr> = config.vips.iter().map(|vip| vip.addr).collect();
    let mut flows = Vec::new();
    for (name, port, protocol, count) in FLOWS {
        let rule = config.rules.iter().position(|rule| rule.name == name).expect("the example has the rule") as u8;
        for _ in 0..count {
            let vip = *vips.choose(rng).expect("the example has VIPs");
            flows.push((rule, Flow::random(rng, (vip, port), protocol)));
        }
    }
    flows
}

/// All packets in order, the flow of each, and the cycles that they take on the wire.
fn packets(
    config: &Config,
    rng: &mut ChaCha8Rng,
    flows: &[(u8, Flow)],
    beat_bytes: usize,
) -> (Vec<Packet>, Vec<usize>, u64) {
    let plain: Vec<Flow> = flows.iter().map(|(_, flow)| *flow).collect();
    let mut cycles = 0;
    let frames = traffic::rounds(rng, &plain, ROUNDS, config.cluster_mac());
    let packets = frames.into_iter().map(|(flow, data)| {
        cycles += u64::from(GAP) + (data.len() + traffic::FCS).div_ceil(beat_bytes) as u64;
        let time_ns = (u128::from(cycles) * 1_000_000_000 / u128::from(config.clock_hz)) as u64;
        (Packet { time_ns, data, error: false, interface: 0, cut: false }, flow)
    });
    let (packets, flow_of) = packets.unzip();
    (packets, flow_of, cycles)
}

/// Looks that every balanced frame was accepted by exactly one NIC, and that all NICs saw it alike.
fn exactly_once(verdicts: &[Verdicts], checks: &mut Checks) -> Result<()> {
    let (mut balanced, mut once, mut alike) = (0, 0, 0);
    for n in 0..verdicts[0].len() {
        let events = || verdicts.iter().map(|verdicts| &verdicts[n]);
        if !events().any(|event| BALANCED.contains(&event.reason)) {
            continue;
        }
        balanced += 1;
        let accepted = events().filter(|event| event.verdict != Verdict::Discard).count();
        once += usize::from(accepted == 1);
        let key = |event: &hashgate_sim::VerdictEvent| (event.reason, event.rule, event.bucket, event.target);
        alike += usize::from(events().all(|event| key(event) == key(&verdicts[0][n])));
    }
    checks.that(once == balanced, format!("{once} of {balanced} balanced frames were accepted exactly once"))?;
    checks.that(
        alike == balanced,
        format!("{alike} of {balanced} were given the same reason, bucket and owner by all NICs"),
    )
}

/// Number of packets decided by the old maps: every packet before is explained by them, every later one by the new maps.
/// `None` if there is no such point, or if it is not in the middle.
fn switch_over(before: &State, after: &State, verdicts: &Verdicts) -> Option<usize> {
    let owner = |state: &State, n: usize| {
        let event = &verdicts[n];
        Some(state.map(event.rule?)?.owners()[usize::from(event.bucket?)])
    };
    let explained = |state: &State, n: usize| verdicts[n].target.is_some() && verdicts[n].target == owner(state, n);
    let first_new = (0..verdicts.len()).find(|n| !explained(before, *n))?;
    (first_new > 0 && (first_new..verdicts.len()).all(|n| explained(after, n))).then_some(first_new)
}

/// Owner of each flow, from its packets; `None` without packets, or if they had several.
fn owners(verdicts: &[hashgate_sim::VerdictEvent], flow_of: &[usize], flows: usize) -> Vec<Option<u16>> {
    let mut seen: Vec<BTreeSet<u16>> = vec![BTreeSet::new(); flows];
    for (event, flow) in verdicts.iter().zip(flow_of) {
        seen[*flow].extend(event.target);
    }
    seen.into_iter().map(|owners| owners.first().copied().filter(|_| owners.len() == 1)).collect()
}

/// Prints the shares of a rule against its weights.
fn shares(
    config: &Config,
    state: &State,
    rule: &str,
    flows: &[(u8, Flow)],
    owners: &[Option<u16>],
    style: Style,
) -> Result<()> {
    let number = config.rules.iter().position(|r| r.name == rule).context("the example has the rule")? as u8;
    let map = state.map(number).context("every rule has a map")?;
    let weights = state.weights(number);
    let sum: u32 = weights.values().sum();
    let own: Vec<u16> =
        flows.iter().zip(owners).filter(|((of, _), _)| *of == number).filter_map(|(_, owner)| *owner).collect();
    let mut table =
        Table::new([&*format!("rule {rule}: host"), "weight", "share due", "buckets", "share", "flows", "share"]);
    for host in &config.hosts {
        let due = f64::from(weights.get(&host.target()).copied().unwrap_or(0));
        let buckets = map.count(host.target());
        let flows = own.iter().filter(|owner| **owner == host.target()).count();
        table.row([
            host.name.clone(),
            if state.is_live(host) { due.to_string() } else { "out".into() },
            percent(due, sum.into()),
            buckets.to_string(),
            percent(buckets as f64, map.owners().len() as f64),
            flows.to_string(),
            percent(flows as f64, own.len() as f64),
        ]);
    }
    Ok(table.print(style)?)
}

/// Prints what moved against the least that had to move: what belonged to the host that left.
#[allow(clippy::too_many_arguments)]
fn moves(
    config: &Config,
    before: &State,
    after: &State,
    leaver: &Host,
    flows: &[(u8, Flow)],
    old: &[Option<u16>],
    new: &[Option<u16>],
    checks: &mut Checks,
) -> Result<()> {
    let mut table = Table::new([
        "rule",
        "buckets moved",
        "least",
        "share",
        "flows moved",
        "least",
        "share",
        "survivors' flows moved",
    ]);
    let mut minimal = true;
    for (number, rule) in config.rules.iter().enumerate() {
        let number = number as u8;
        let (map, next) = (before.map(number).context("a map")?, after.map(number).context("a map")?);
        let (buckets, least_buckets) = (map.moved(next), map.count(leaver.target()));
        let own: Vec<(Option<u16>, Option<u16>)> =
            (0..flows.len()).filter(|flow| flows[*flow].0 == number).map(|flow| (old[flow], new[flow])).collect();
        let moved = own.iter().filter(|(old, new)| old != new).count();
        let least = own.iter().filter(|(old, _)| *old == Some(leaver.target())).count();
        let survivors = own.iter().filter(|(old, new)| old != new && *old != Some(leaver.target())).count();
        minimal &= buckets == least_buckets && moved == least && survivors == 0;
        table.row([
            rule.name.clone(),
            buckets.to_string(),
            least_buckets.to_string(),
            percent(buckets as f64, map.owners().len() as f64),
            moved.to_string(),
            least.to_string(),
            percent(moved as f64, own.len() as f64),
            survivors.to_string(),
        ]);
    }
    table.print(checks.style)?;
    checks.that(minimal, "no more buckets and flows moved than had to, and none of a host that stays".into())
}
