// SPDX-License-Identifier: Apache-2.0
//! Do connections keep their host while hosts come and go? Some NICs, all of which see the same frames of very many
//! connections; members join and leave in the middle of it.
//!
//! How a map changes hands without a dispatcher, and what this run holds its NICs to:
//!
//! 1. Buckets go from one live member to another through two maps: first one in which the buckets that move belong to
//!    nobody, then the final one. A NIC commits the final map only after every former owner that lives has committed
//!    the first one. Buckets of a member that crashed go to the others at once.
//! 2. HANDOVER is set at a bucket while any live member other than its owner may hold bindings made in it: one that has
//!    owned the bucket since it came up.
//! 3. A client whose SYN nobody accepted sends it again.
//!
//! NICs commit at different moments, up to [`SKEW`] periods apart and between any two frames. Members leave by a crash
//! (their connections are lost with them) or by draining (their buckets go, their connections stay); one that drained is
//! switched off or comes back as it is.

use crate::capture::Packet;
use crate::node::{Node, each};
use crate::report::Progress;
use crate::schemes::{Picker, Scheme, mix};
use crate::traffic::{Flow, Protocol};
use anyhow::{Context, Result, ensure};
use hashgate_cluster::map::{BucketMap, Member, first_map, next_map};
use hashgate_config::{Config, State};
use hashgate_nic::{BindingTable, NicInfo};
use hashgate_packets::builder::{ACK, FIN, RST, SYN};
use hashgate_regs::defs::{Reason, Verdict};
use hashgate_tables::{BUCKETS, BucketFlags, NOBODY, Tables, Timeouts, Track};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Instant;

/// Commits of the same map on two NICs are at most so many periods apart.
const SKEW: usize = 4;
/// Periods until the others know of a crash.
const DETECTION: usize = 2;
/// Ticks of both clocks of the binding tables: 2^14 ns.
const TICK: u8 = 14;
/// Ticks after which a connection that was closed is forgotten: 1.6 ms, some hundred thousand cycles.
const CLOSED_TICKS: u16 = 100;
/// The rule that is balanced; its map has the same number.
const RULE: u8 = 0;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// NICs, 2 or more.
    pub members: usize,
    /// Joins and leaves.
    pub changes: usize,
    /// Connections that are open at every change, at least.
    pub open: usize,
    /// Frames of a period.
    pub period: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// The first member that leaves crashes; then every second one.
    pub crash_first: bool,
    /// Rules that the members keep.
    pub rules: Rules,
}

/// Rules that the members keep; all of them, but for tests that want to see that it shows.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Buckets of live members go through a map in which they are nobody's, and the final map waits for the former owners.
    pub release: bool,
    /// HANDOVER is set.
    pub handover: bool,
    /// Connections get bindings.
    pub bind: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Rules = Rules { release: true, handover: true, bind: true };
}

/// What was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// NICs.
    pub members: usize,
    /// Members that joined.
    pub joins: usize,
    /// Members that left by a crash.
    pub crashes: usize,
    /// Members that left by draining.
    pub drains: usize,
    /// Fewest connections that were open at a change.
    pub open_min: usize,
    /// Connections that sent a SYN.
    pub connections_tried: u64,
    /// Of those, with the port of a connection closed before.
    pub ports_reused: u64,
    /// Connections that were open while their bucket changed its owner, and whose segments their host received afterwards.
    pub connections_across_move: u64,
    /// Established connections of which a segment did not reach their host, though it was up, or reached another.
    pub connections_broken: Broken,
    /// Connections whose host crashed or was switched off.
    pub connections_lost_with_host: u64,
    /// Frames that two NICs accepted.
    pub accepted_twice: u64,
    /// Segments of established connections that their host received by the map instead of a binding.
    pub accepted_by_map: u64,
    /// SYNs that nobody accepted; they were sent again.
    pub syn_retries: u64,
    /// Bindings that found no room.
    pub refused: u64,
    /// Largest load of a binding table, by its size.
    pub load_max: f64,
    /// Frames on the wire; every NIC that is up sees them all.
    pub frames: u64,
    /// Cycles simulated, all NICs together.
    pub cycles: u64,
    /// Time that the run took.
    pub seconds: f64,
}

/// Connections that broke although their host was up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// On these NICs.
    pub hashgate: u64,
    /// As `hash mod number of servers` would have, with the same connections and changes; so the others.
    pub modulo: u64,
    /// Highest random weight.
    pub rendezvous: u64,
    /// Maglev's table.
    pub maglev: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Takes part in the map.
    Active,
    /// Has no buckets, but its connections.
    Draining,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A SYN is to be sent, or was sent in vain.
    Opening,
    /// A host has the SYN.
    HalfOpen,
    Established,
    /// Over, or its host is gone.
    Closed,
}

/// A connection.
struct Connection {
    flow: Flow,
    phase: Phase,
    /// A long download: the client never closes it.
    download: bool,
    host: usize,
    bucket: u16,
    /// The bucket changed its owner while it was open; and that it survived this is counted.
    moved: bool,
    counted: bool,
    hash: u64,
    /// Its server by each scheme of [`Scheme::ALL`]; `None` once it is broken or lost there.
    servers: [Option<usize>; 3],
}

/// A frame of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Syn,
    /// The client's first acknowledgement.
    Ack,
    Data,
    Fin,
    Rst,
    /// Of a connection whose host is gone.
    Stray,
}

impl What {
    fn flags(self) -> u8 {
        match self {
            What::Syn => SYN,
            What::Ack | What::Data | What::Stray => ACK,
            What::Fin => FIN | ACK,
            What::Rst => RST,
        }
    }
}

/// What a NIC's driver does in a period, while frames go on.
enum Task {
    Nothing,
    Stage(Box<Tables>, Option<BTreeMap<(u8, u16), BucketFlags>>),
    /// After so many of the period's frames.
    Commit(usize),
}

/// A member's way through a change.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// Period in which the first map (nobody) is committed, and whether it has been.
    first: Option<usize>,
    first_done: bool,
    /// The same for the final map.
    last: Option<usize>,
    last_done: bool,
    /// A map was staged and is not committed yet.
    staged: bool,
}

/// The cluster and its clients.
struct Run<'c> {
    plan: Plan,
    config: &'c Config,
    rng: ChaCha8Rng,
    nodes: Vec<Node<'c>>,
    status: Vec<Status>,
    /// Tables of each member, of the final map.
    tables: Vec<Tables>,
    map: BucketMap,
    /// Members that have owned a bucket since they came up, as bits.
    holders: Vec<u32>,
    connections: Vec<Connection>,
    used: HashSet<Flow>,
    /// Connections that are not closed.
    live: usize,
    established: usize,
    /// SYNs to send, with the period.
    syns: VecDeque<(usize, usize)>,
    acks: Vec<usize>,
    strays: Vec<usize>,
    /// Segments of all connections that are still to be sent.
    sweep: Vec<usize>,
    /// Ports to be used again, with the first period.
    closed: VecDeque<(usize, Flow)>,
    period: usize,
    outcome: Outcome,
}

/// Runs it; gives also what a NIC says about itself.
///
/// # Errors
/// If a NIC or its driver fails, or more connections are asked for than fit.
pub fn run(plan: Plan, progress: &mut Progress) -> Result<(NicInfo, Outcome)> {
    let begun = Instant::now();
    let config = config(plan.members);
    let mut run = Run::new(plan, &config)?;
    let info = run.nodes[0].info().clone();
    for _ in 0..plan.changes {
        run.fill()?;
        run.change()?;
        progress.advance(1);
    }
    run.fill()?;
    run.begin_sweep();
    while run.busy() {
        run.one_period(nothing(plan.members))?;
    }
    run.look_at_tables();
    for member in 0..plan.members {
        run.outcome.refused += run.refused(member);
    }
    run.outcome.cycles = run.nodes.iter().map(Node::cycle).sum();
    run.outcome.seconds = begun.elapsed().as_secs_f64();
    Ok((info, run.outcome))
}

fn nothing(members: usize) -> Vec<Task> {
    (0..members).map(|_| Task::Nothing).collect()
}

/// A cluster of so many hosts with one rule.
fn config(members: usize) -> Config {
    let mut text = String::from(
        "[cluster]\nprimary_ip = \"10.0.0.100\"\n[nic]\nbuild = 512\n\
         [[vip]]\naddress = \"10.0.0.100\"\n[[vip]]\naddress = \"fd00::100\"\n\
         [[rule]]\nname = \"web\"\nports = 443\nprotocol = \"tcp\"\naffinity = \"none\"\n",
    );
    for n in 1..=members {
        text += &format!("[[host]]\nname = \"host{n}\"\npriority = {n}\nstation_mac = \"02:00:00:00:00:{n:02x}\"\n");
    }
    Config::parse(&text, "the cluster's configuration").expect("it is sound")
}

impl<'c> Run<'c> {
    fn new(plan: Plan, config: &'c Config) -> Result<Run<'c>> {
        let state = State::new(config);
        let map = first_map(&members(config, &vec![Status::Active; plan.members]))?;
        let mut tables: Vec<Tables> = config.hosts.iter().map(|host| state.tables(host)).collect();
        for tables in &mut tables {
            let rule = tables.rules.get_mut(&RULE).context("the configuration has a rule")?;
            rule.track = if plan.rules.bind { Track::Always } else { Track::Never };
            // Nothing but what was closed ends by time: the others' time-outs are beyond the end of the run.
            let long = Timeouts::MAX;
            rule.timeouts = Timeouts {
                half_open: long,
                established: long,
                closing: CLOSED_TICKS,
                reset: CLOSED_TICKS,
                ..Timeouts::default()
            };
            tables.maps.insert(RULE, map.owners().to_vec());
        }
        let mut hosts: Vec<_> = config.hosts.iter().collect();
        let nodes = each(&mut hosts, |n, host| {
            let mut node = Node::new(config, host, &tables[n], None)?;
            node.driver().set_binding_ticks(TICK, TICK)?;
            node.enable(true);
            Ok(node)
        })?;
        let mut run = Run {
            plan,
            config,
            rng: ChaCha8Rng::seed_from_u64(plan.seed),
            nodes,
            status: vec![Status::Active; plan.members],
            tables,
            holders: vec![0; BUCKETS],
            map,
            connections: Vec::new(),
            used: HashSet::new(),
            live: 0,
            established: 0,
            syns: VecDeque::new(),
            acks: Vec::new(),
            strays: Vec::new(),
            sweep: Vec::new(),
            closed: VecDeque::new(),
            period: 0,
            outcome: Outcome { members: plan.members, open_min: usize::MAX, ..Outcome::default() },
        };
        run.note_owners();
        Ok(run)
    }

    /// Connections that are kept open: a tenth more than must be.
    fn wanted(&self) -> usize {
        self.plan.open + self.plan.open / 10
    }

    fn member_of(&self, target: u16) -> Option<usize> {
        self.config.hosts.iter().position(|host| host.target() == target)
    }

    /// The owners of the map may hold bindings of their buckets from now on.
    fn note_owners(&mut self) {
        for bucket in 0..BUCKETS {
            if let Some(owner) = self.member_of(self.map.owners()[bucket]) {
                self.holders[bucket] |= 1 << owner;
            }
        }
    }

    /// Lets clients connect until as many connections as wanted are open.
    fn fill(&mut self) -> Result<()> {
        let (mut most, mut vain) = (0, 0);
        while self.established < self.wanted() {
            self.one_period(nothing(self.plan.members))?;
            vain = if self.established > most { 0 } else { vain + 1 };
            most = most.max(self.established);
            ensure!(vain < 20, "there are never more than {most} connections open");
        }
        Ok(())
    }

    /// Every connection will send a segment, in random order.
    fn begin_sweep(&mut self) {
        let established = |c: &usize| self.connections[*c].phase == Phase::Established;
        self.sweep = (0..self.connections.len()).filter(established).collect();
        self.sweep.shuffle(&mut self.rng);
    }

    fn busy(&self) -> bool {
        !self.sweep.is_empty() || !self.acks.is_empty() || !self.strays.is_empty()
    }

    /// One member joins or leaves; meanwhile every connection sends a segment.
    fn change(&mut self) -> Result<()> {
        self.look_at_tables();
        self.outcome.open_min = self.outcome.open_min.min(self.established);
        self.begin_sweep();
        let active: Vec<usize> = self.with(Status::Active);
        let others: Vec<usize> = (0..self.plan.members).filter(|m| self.status[*m] != Status::Active).collect();
        let join = active.len() <= 2.min(self.plan.members - 1) || (!others.is_empty() && self.rng.random());
        let mut crash = false;
        if join {
            let joiner = *others.choose(&mut self.rng).context("somebody is out")?;
            // One that drained comes back as it is, or was switched off before.
            if self.status[joiner] == Status::Draining && self.rng.random() {
                self.goes_down(joiner);
            }
            if self.status[joiner] == Status::Down {
                self.comes_up(joiner)?;
            }
            self.status[joiner] = Status::Active;
            self.outcome.joins += 1;
        } else {
            let leaver = *active.choose(&mut self.rng).context("somebody is there")?;
            let left = self.outcome.crashes + self.outcome.drains;
            crash = left.is_multiple_of(2) == self.plan.crash_first;
            if crash {
                self.goes_down(leaver);
                self.outcome.crashes += 1;
            } else {
                self.status[leaver] = Status::Draining;
                self.outcome.drains += 1;
            }
        }
        self.ask_schemes();
        self.hand_over(crash)
    }

    fn with(&self, status: Status) -> Vec<usize> {
        (0..self.plan.members).filter(|m| self.status[*m] == status).collect()
    }

    fn up(&self, member: usize) -> bool {
        self.status[member] != Status::Down
    }

    fn goes_down(&mut self, member: usize) {
        self.outcome.refused += self.refused(member);
        self.status[member] = Status::Down;
        for holders in &mut self.holders {
            *holders &= !(1 << member);
        }
        for n in 0..self.connections.len() {
            let c = &self.connections[n];
            if c.host == member && matches!(c.phase, Phase::HalfOpen | Phase::Established) {
                self.outcome.connections_lost_with_host += 1;
                self.close(n);
                // Some clients do not know yet.
                if self.rng.random_ratio(1, 10) {
                    self.strays.push(n);
                }
            }
        }
        let connections = &self.connections;
        self.acks.retain(|c| connections[*c].phase == Phase::HalfOpen);
        self.sweep.retain(|c| connections[*c].phase == Phase::Established);
    }

    /// A member starts anew, with nothing but the tables of now.
    fn comes_up(&mut self, member: usize) -> Result<()> {
        let node = &mut self.nodes[member];
        let mut tables = self.tables[member].clone();
        tables.maps.insert(RULE, self.map.owners().to_vec());
        node.driver().full_reset()?;
        node.driver().set_binding_ticks(TICK, TICK)?;
        node.driver().load(&tables)?;
        node.enable(true);
        Ok(())
    }

    fn close(&mut self, connection: usize) {
        let c = &mut self.connections[connection];
        self.live -= usize::from(c.phase != Phase::Closed);
        self.established -= usize::from(c.phase == Phase::Established);
        c.phase = Phase::Closed;
    }

    /// The new map reaches all NICs by the rules of this module.
    fn hand_over(&mut self, crash: bool) -> Result<()> {
        let next = next_map(&self.map, &members(self.config, &self.status))?;
        let moves: Vec<usize> = (0..BUCKETS).filter(|b| self.map.owners()[*b] != next.owners()[*b]).collect();
        let mut first = self.map.owners().to_vec();
        let mut former = 0u32;
        for bucket in &moves {
            if let Some(owner) = self.member_of(first[*bucket]).filter(|owner| self.up(*owner)) {
                former |= 1 << owner;
            }
            first[*bucket] = NOBODY;
        }
        let mut flags = BTreeMap::new();
        for bucket in 0..BUCKETS {
            let owner = self.member_of(next.owners()[bucket]).map_or(0, |owner| 1 << owner);
            if self.plan.rules.handover && self.holders[bucket] & !owner != 0 {
                flags.insert((RULE, bucket as u16), BucketFlags { handover: true, track: false });
            }
        }

        // After a crash nobody has to release anything.
        let straight = crash || !self.plan.rules.release;
        let start = self.period + 1 + if crash { DETECTION } else { 0 };
        let mut ways: Vec<Way> = (0..self.plan.members)
            .map(|member| {
                let first = (!straight).then(|| start + self.rng.random_range(0..=SKEW));
                let done = !self.up(member);
                Way { first, first_done: done || straight, last: None, last_done: done, staged: false }
            })
            .collect();
        while ways.iter().any(|way| !way.last_done) || self.busy() {
            let now = self.period + 1;
            let released = (0..self.plan.members).all(|m| former >> m & 1 == 0 || ways[m].first_done);
            for way in &mut ways {
                if way.last.is_none() && !way.last_done && way.first_done && (released || straight) {
                    way.last = Some(now.max(start) + 1 + self.rng.random_range(0..=SKEW));
                }
            }
            let mut tasks = Vec::new();
            for (member, way) in ways.iter_mut().enumerate() {
                let position = self.rng.random_range(0..self.plan.period);
                let (at, done) =
                    if way.first_done { (way.last, &mut way.last_done) } else { (way.first, &mut way.first_done) };
                let task = match at {
                    Some(at) if !*done && way.staged && at <= now => {
                        *done = true;
                        way.staged = false;
                        Task::Commit(position)
                    }
                    // A map is staged in the period before its commit at the latest.
                    Some(at) if !*done && !way.staged && at <= now + 1 => {
                        let last = way.first_done;
                        way.staged = true;
                        if last {
                            self.stage(member, next.owners(), Some(flags.clone()))
                        } else {
                            self.stage(member, &first, None)
                        }
                    }
                    _ => Task::Nothing,
                };
                tasks.push(task);
            }
            self.one_period(tasks)?;
        }
        let moved: HashSet<u16> = moves.iter().map(|bucket| *bucket as u16).collect();
        for c in &mut self.connections {
            c.moved |= c.phase == Phase::Established && moved.contains(&c.bucket);
        }
        self.map = next;
        self.note_owners();
        Ok(())
    }

    fn stage(&self, member: usize, owners: &[u16], flags: Option<BTreeMap<(u8, u16), BucketFlags>>) -> Task {
        let mut tables = self.tables[member].clone();
        tables.maps.insert(RULE, owners.to_vec());
        Task::Stage(Box::new(tables), flags)
    }

    /// What the schemes without bindings would do to the connections that are open now.
    fn ask_schemes(&mut self) {
        let pickers = self.pickers();
        let up: Vec<bool> = (0..self.plan.members).map(|member| self.up(member)).collect();
        let broken = &mut self.outcome.connections_broken;
        let mut counts = [&mut broken.modulo, &mut broken.rendezvous, &mut broken.maglev];
        for c in self.connections.iter_mut().filter(|c| c.phase == Phase::Established) {
            for ((server, picker), count) in c.servers.iter_mut().zip(&pickers).zip(&mut counts) {
                match *server {
                    Some(old) if !up[old] => *server = None,
                    Some(old) if picker.pick(c.hash) != old => {
                        **count += 1;
                        *server = None;
                    }
                    _ => {}
                }
            }
        }
    }

    fn pickers(&self) -> Vec<Picker> {
        let active = self.with(Status::Active);
        Scheme::ALL.iter().map(|scheme| Picker::new(*scheme, &active)).collect()
    }

    /// A client connects, from a port that is new or was used before.
    fn connect(&mut self) -> usize {
        let reusable = self.closed.front().is_some_and(|(from, _)| *from <= self.period);
        let flow = if reusable && self.rng.random_ratio(2, 5) {
            self.outcome.ports_reused += 1;
            self.closed.pop_front().expect("just seen").1
        } else {
            let vips: Vec<IpAddr> = self.config.vips.iter().map(|vip| vip.addr).collect();
            let vip = vips[usize::from(self.rng.random_ratio(1, 4))];
            loop {
                let flow = Flow::random(&mut self.rng, (vip, 443), Protocol::Tcp);
                if self.used.insert(flow) {
                    break flow;
                }
            }
        };
        let mut hasher = DefaultHasher::new();
        flow.hash(&mut hasher);
        self.outcome.connections_tried += 1;
        self.live += 1;
        self.connections.push(Connection {
            flow,
            phase: Phase::Opening,
            download: self.rng.random_ratio(3, 10),
            host: 0,
            bucket: 0,
            moved: false,
            counted: false,
            hash: mix(hasher.finish()),
            servers: [None; 3],
        });
        self.connections.len() - 1
    }

    /// The frames of the next period, one of a connection at most.
    fn frames(&mut self) -> Vec<(usize, What)> {
        let size = self.plan.period;
        let mut frames: Vec<(usize, What)> = Vec::with_capacity(size);
        while frames.len() < size && self.syns.front().is_some_and(|(at, _)| *at <= self.period) {
            frames.extend(self.syns.pop_front().map(|(_, c)| (c, What::Syn)));
        }
        let room = self.acks.len().min(size - frames.len());
        frames.extend(self.acks.drain(..room).map(|c| (c, What::Ack)));
        let room = self.strays.len().min(size - frames.len());
        frames.extend(self.strays.drain(..room).map(|c| (c, What::Stray)));
        let room = (size - frames.len()).min(if self.sweep.is_empty() { size } else { size / 4 });
        for _ in 0..room.min(self.wanted().saturating_sub(self.live)) {
            frames.push((self.connect(), What::Syn));
        }
        let room = self.sweep.len().min(size - frames.len());
        for c in self.sweep.split_off(self.sweep.len() - room) {
            let what = match self.rng.random_range(0..100) {
                _ if self.connections[c].download => What::Data,
                0..10 => What::Fin,
                10..14 => What::Rst,
                _ => What::Data,
            };
            frames.push((c, what));
        }
        frames.shuffle(&mut self.rng);
        frames
    }

    /// A period: its frames through all NICs that are up, while their drivers do their tasks.
    fn one_period(&mut self, tasks: Vec<Task>) -> Result<()> {
        self.period += 1;
        let frames = self.frames();
        let mac = self.config.cluster_mac();
        let packets: Vec<Packet> = frames
            .iter()
            .map(|(c, what)| {
                let data = self.connections[*c].flow.frame(&mut self.rng, mac, what.flags(), 0);
                Packet { time_ns: 0, data, error: false, interface: 0, cut: false }
            })
            .collect();
        let mut work: Vec<(usize, &mut Node, Task)> = self
            .nodes
            .iter_mut()
            .zip(tasks)
            .enumerate()
            .filter(|(member, _)| self.status[*member] != Status::Down)
            .map(|(member, (node, task))| (member, node, task))
            .collect();
        let seen = each(&mut work, |_, (member, node, task)| {
            for (number, packet) in packets.iter().enumerate() {
                node.push(number, packet, 0, 0);
            }
            match task {
                Task::Nothing => {}
                Task::Stage(tables, flags) => {
                    if let Some(flags) = flags {
                        node.driver().set_flags(flags)?;
                    }
                    node.stage(tables)?;
                }
                Task::Commit(after) => {
                    node.run_until_waiting(packets.len().saturating_sub(*after));
                    node.commit()?;
                }
            }
            Ok((*member, node.collect(&packets)?))
        })?;
        drop(work);
        self.outcome.frames += frames.len() as u64;

        // By frame: the first NIC that accepted it, how many did, the reason and the bucket.
        let mut accepted: Vec<(Option<usize>, u32, Reason, u16)> = vec![(None, 0, Reason::Map, 0); frames.len()];
        for (member, verdicts) in &seen {
            for (number, event) in verdicts {
                let frame = &mut accepted[*number];
                frame.3 = event.bucket.context("a frame without a bucket")?;
                if event.verdict == Verdict::Host {
                    *frame = (frame.0.or(Some(*member)), frame.1 + 1, event.reason, frame.3);
                }
            }
        }
        let pickers = self.pickers();
        for ((c, what), (by, times, reason, bucket)) in frames.into_iter().zip(accepted) {
            self.outcome.accepted_twice += u64::from(times > 1);
            self.answer(c, what, by.filter(|_| times == 1), reason, bucket, &pickers);
        }
        Ok(())
    }

    /// What became of a frame: `by` accepted it, alone.
    fn answer(&mut self, n: usize, what: What, by: Option<usize>, reason: Reason, bucket: u16, pickers: &[Picker]) {
        let c = &mut self.connections[n];
        match what {
            What::Syn => match by {
                Some(host) => {
                    (c.phase, c.host, c.bucket) = (Phase::HalfOpen, host, bucket);
                    c.servers = std::array::from_fn(|n| Some(pickers[n].pick(c.hash)));
                    self.acks.push(n);
                }
                None => {
                    self.outcome.syn_retries += 1;
                    let wait = self.rng.random_range(1..=3);
                    self.syns.push_back((self.period + wait, n));
                }
            },
            What::Stray => {}
            _ if by != Some(c.host) => {
                self.outcome.connections_broken.hashgate += 1;
                self.close(n);
            }
            _ => {
                self.outcome.accepted_by_map += u64::from(reason != Reason::Binding);
                if c.phase == Phase::HalfOpen {
                    c.phase = Phase::Established;
                    self.established += 1;
                }
                if c.moved && !c.counted {
                    c.counted = true;
                    self.outcome.connections_across_move += 1;
                }
                if matches!(what, What::Fin | What::Rst) {
                    let flow = c.flow;
                    self.close(n);
                    self.closed.push_back((self.period + 2, flow));
                }
            }
        }
    }

    /// Bindings that the connection table of a member had no room for, since it came up.
    fn refused(&mut self, member: usize) -> u64 {
        if !self.up(member) {
            return 0;
        }
        self.nodes[member].driver().binding_counters(BindingTable::Connection).refused
    }

    fn look_at_tables(&mut self) {
        for member in 0..self.plan.members {
            if self.up(member) {
                let node = &mut self.nodes[member];
                let used = node.driver().binding_counters(BindingTable::Connection).used;
                let load = f64::from(used) / f64::from(node.info().bindings);
                self.outcome.load_max = self.outcome.load_max.max(load);
            }
        }
    }
}

/// Members of the map: those that are active, of equal weight.
fn members(config: &Config, status: &[Status]) -> Vec<Member> {
    let active = config.hosts.iter().zip(status).filter(|(_, status)| **status == Status::Active);
    active.map(|(host, _)| Member { target: host.target(), weight: 1 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(rules: Rules) -> Outcome {
        let plan = Plan { members: 2, changes: 2, open: 1200, period: 110, seed: 3, crash_first: false, rules };
        run(plan, &mut Progress::new("changes", 2)).expect("the NICs do what they are told").1
    }

    /// The check sees what it is for: each rule that is left out shows. (With all of them: `tests/bindings.rs`.)
    #[test]
    fn rules_left_out_show() {
        let no_handover = small(Rules { handover: false, ..Rules::ALL });
        assert!(no_handover.accepted_twice > 0, "{no_handover:?}");
        let no_bindings = small(Rules { bind: false, handover: false, ..Rules::ALL });
        assert!(no_bindings.connections_broken.hashgate > 50, "{no_bindings:?}");
        let no_release = small(Rules { release: false, ..Rules::ALL });
        assert!(no_release.accepted_twice > 0, "{no_release:?}");
    }
}
