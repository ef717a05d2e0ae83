// SPDX-License-Identifier: Apache-2.0
//! A cluster in simulated time: members, their clocks and NICs, the network between them, clients, and the invariants,
//! which are looked at with everything that changes.
//!
//! What a driver does here: it carries actions out in their order; a commit takes the NIC up to five milliseconds, and
//! what follows it waits; `Withdraw` overtakes everything. It goes on taking messages meanwhile.
//!
//! Two members *can hear each other* while neither direction has been cut by the network (links that are blocked, or
//! loss) for nearly D, and after that from two periods after the first message that came through; a host whose process does not run and whose NIC does (an announced restart) and a member, while the
//! member knows of it. They are *connected* if that is so for them or for members of their views.

use crate::claims::{Claims, bits};
use crate::clients::{Answer, Client, Phase as ClientPhase};
use crate::minimum::fewest_moves;
use crate::nic::{Nic, Packet, Timeouts, Verdict};
use crate::nonsense::Nonsense;
use crate::scenario::{Happening, Scenario, host as host_id};
use hashgate_cluster::Cluster;
use hashgate_cluster::api::{
    Action, Adopted, Command, Event, Exclusion, Log, RuleSet, Settings, Sharing, Status, Time,
};
use hashgate_cluster::maps::{DEFAULT_KEY, MapSet};
use hashgate_cluster::message::{Body, Committed, Heartbeat, HostSet, Message, Phase};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

/// A second, ns.
pub const SECOND: Time = 1_000_000_000;
const MS: Time = 1_000_000;
/// Largest difference of a clock's rate from true time, in millionths: two differ by one percent at most.
const DRIFT_PPM: i64 = 4_900;
/// Shortest and longest commit.
const COMMIT: (Time, Time) = (50_000, 5 * MS);
/// Members look at each other's claims and states so often.
const LOOK: Time = 10 * MS;
/// Drivers count sessions with every so many-th look.
const LOOKS_A_COUNT: u64 = 20;
/// Periods within which two that hear each other again know it, both.
const MEET: Time = 2;
/// T of invariant 3 in D.
const QUIET: Time = 20;
/// D that a scenario goes on when all are stable again: late messages and delayed hand-overs show in it.
const AFTERWARDS: Time = 4;
/// Messages that wait for a process that stands still.
const SOCKET: usize = 512;
/// Events at one instant after which the simulation counts as stalled.
const STALLED: usize = 200_000;
/// Highest loss, in permille, at which invariants 3 and 5 hold.
const LOSS_LIMIT: u16 = 50;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number in `docs/cluster.md`.
    pub invariant: u8,
    /// True time, ns.
    pub time: Time,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invariant {} at {:.6} s: {}", self.invariant, self.time as f64 / 1e9, self.what)
    }
}

/// Extended frames that members sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// All of them.
    pub frames: u64,
    /// Their bytes, with Ethernet headers, without FCS.
    pub bytes: u64,
    /// Heartbeats among them.
    pub beats: u64,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Events of the simulation.
    pub steps: u64,
    /// Messages that members got.
    pub messages: u64,
    /// What members sent, where messages travel as frames.
    pub sent: Sent,
    /// Packets that clients sent.
    pub packets: u64,
    /// Connections that clients opened.
    pub sessions: u64,
    /// New sessions that two connected members accepted.
    pub accepted_twice: u64,
    /// The same of members that cannot hear each other, or had just met.
    pub accepted_twice_apart: u64,
    /// Connections of hosts that were members all the time that another host refused.
    pub survivors_broken: u64,
    /// Connections lost with their host, or because it was cut off.
    pub lost_with_host: u64,
    /// Connections that met an older one with the same ports, of a NIC that had no lease when the new one began.
    pub stale: u64,
    /// Packets that nobody took.
    pub untaken: u64,
    /// Proposals that became stable and were compared with the fewest moves.
    pub compared: u64,
    /// Of those, buckets beyond that.
    pub moved_over_minimum: u64,
    /// How long moving buckets had no owner, ns, and how many.
    pub ownerless: BTreeMap<Time, u64>,
    /// Time from the end of all disturbances until all were stable, ns.
    pub converged: Option<Time>,
    /// All were not stable in time, but losses were above the limit of invariant 3.
    pub unconverged: bool,
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// What was counted.
    pub counts: Counts,
}

/// How a message travels, such as [`crate::codec::through`]: what others get and the length of its frame, given whether the sender is of
/// version n + 1; `None`: it does not get through, which violates invariant 7.
pub type Wire = fn(&Message, bool) -> Option<(Message, usize)>;

/// What is simulated beside the scenario.
#[derive(Clone, Copy, Default)]
pub struct Options {
    /// Prints what members log and what happens.
    pub log: bool,
    /// How messages travel; `None`: as they are, or as frames if the scenario says so.
    pub wire: Option<Wire>,
    /// Counts violations of invariant 2 by sessions instead of ending at the first; nothing else is judged.
    pub count_only: bool,
}

#[derive(Clone, Debug)]
enum Ev {
    Deliver {
        to: usize,
        message: Arc<Message>,
    },
    Timer {
        host: usize,
        generation: u32,
    },
    Commit {
        host: usize,
        generation: u32,
    },
    /// What the daemon does after a commit, or with an answer of the NIC.
    Answer {
        host: usize,
        generation: u32,
        event: Option<Event>,
    },
    Lease {
        host: usize,
    },
    Awake {
        host: usize,
    },
    Happen(Happening),
    Client {
        client: u32,
    },
    Rest {
        client: u32,
        packet: Packet,
        hosts: u32,
        taken: u32,
        mapped: u32,
    },
    Look,
}

#[derive(Clone, Debug)]
struct Entry {
    time: Time,
    number: u64,
    event: Ev,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.time, self.number).cmp(&(other.time, other.number))
    }
}

/// A running daemon.
#[derive(Clone, Debug)]
struct Process {
    cluster: Cluster,
    incarnation: u64,
    queue: VecDeque<Action>,
    /// The NIC commits the first of the queue.
    busy: bool,
    timer: Option<Time>,
    /// It is of version n + 1.
    later: bool,
    /// What it knows of its link, and when it started.
    link: bool,
    since: Time,
}

/// A host.
#[derive(Clone, Debug)]
struct Host {
    rate_ppm: i64,
    offset: Time,
    nic: Nic,
    /// Digest of the last commit if it was whole, and what it is to the cluster.
    scratch: Option<Committed>,
    whole: u64,
    process: Option<Process>,
    generation: u32,
    paused_until: Time,
    /// While it stands still, what comes in is lost.
    frozen: bool,
    /// Its cable is out, or was, from and until.
    unplugged: (Time, Time),
    waiting: VecDeque<Ev>,
    lease_event: bool,
    rules: Arc<RuleSet>,
    /// The view of its last heartbeat.
    view: u32,
    out: bool,
    draining: bool,
    capacity: u16,
    /// Drains and has no buckets any more.
    drained: bool,
    /// Out until this ends, whatever else is asked.
    suspended: bool,
    /// It starts as version n + 1 from now on.
    upgraded: bool,
}

impl Host {
    /// Its clock at a true time.
    fn local(&self, time: Time) -> Time {
        self.offset + time + (time as i128 * i128::from(self.rate_ppm) / 1_000_000) as i64 as u64
    }

    /// The first true time at which its clock shows `local` or later.
    fn time_of(&self, local: Time) -> Time {
        let passed = i128::from(local.saturating_sub(self.offset));
        let time = passed * 1_000_000 / i128::from(1_000_000 + self.rate_ppm);
        u64::try_from(time).unwrap_or(u64::MAX / 2).min(u64::MAX / 2) + 2
    }
}

/// A direction between two hosts.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    blocked_until: Time,
    last_taken: Time,
    /// Messages have been lost since the last one that was taken.
    losing: bool,
    /// After a cut the two need a little time to know that they hear each other.
    new_until: Time,
}

impl Link {
    fn is_cut(&self, now: Time, silence: Time) -> bool {
        self.losing && now > self.last_taken + silence * 9 / 10
    }
}

/// A proposal as heartbeats tell of it.
#[derive(Clone, Copy, Debug)]
struct Told {
    base: Option<Committed>,
    healed: bool,
}

/// A cluster in simulated time.
#[derive(Clone)]
pub struct World {
    scenario: Scenario,
    options: Options,
    now: Time,
    number: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    hosts: Vec<Host>,
    links: Vec<Link>,
    loss: u16,
    highest_loss: u16,
    clients: Vec<Client>,
    claims: Claims,
    /// Since when two connected hosts have claimed the same, by pair.
    meeting: BTreeMap<(usize, usize), Option<Time>>,
    /// Hosts that something has happened to, as bits.
    touched: u32,
    told: HashMap<u64, Told>,
    sets: HashMap<u64, Arc<MapSet>>,
    compared: Option<u64>,
    quiet_since: Time,
    looks: u64,
    stable: bool,
    staged: Option<Arc<RuleSet>>,
    rules: Arc<RuleSet>,
    nonsense: Nonsense,
    network_rng: ChaCha8Rng,
    client_rng: ChaCha8Rng,
    host_rng: ChaCha8Rng,
    outcome: Outcome,
    /// What members logged since the last [`World::take_logs`], with true time and host.
    logs: Vec<(Time, u8, Log)>,
}

impl World {
    /// The world of a scenario, at its beginning.
    pub fn new(scenario: &Scenario, options: Options) -> World {
        let stream = |number| {
            let mut rng = ChaCha8Rng::seed_from_u64(scenario.seed);
            rng.set_stream(number);
            rng
        };
        let (network_rng, mut client_rng, mut host_rng) = (stream(1), stream(2), stream(3));
        let members = usize::from(scenario.members);
        let hosts = (0..members)
            .map(|host| Host {
                rate_ppm: host_rng.random_range(-DRIFT_PPM..=DRIFT_PPM),
                offset: host_rng.random_range(SECOND..1_000_000 * SECOND),
                nic: Nic::new(host as u16 + 1, Timeouts::default()),
                scratch: None,
                whole: 0,
                process: None,
                generation: 0,
                paused_until: 0,
                frozen: false,
                unplugged: (0, 0),
                waiting: VecDeque::new(),
                lease_event: false,
                rules: scenario.rules.clone(),
                view: 0,
                out: false,
                draining: false,
                capacity: 100,
                drained: false,
                suspended: false,
                upgraded: false,
            })
            .collect();
        let keys: Vec<u64> = scenario.rules.rules.iter().map(|r| r.key).chain([DEFAULT_KEY]).collect();
        let clients = (0..scenario.flows).map(|number| Client::new(number, &keys, &mut client_rng)).collect();
        let mut world = World {
            now: 0,
            number: 0,
            queue: BinaryHeap::new(),
            hosts,
            links: vec![Link::default(); members * members],
            loss: scenario.network.loss,
            highest_loss: scenario.network.loss,
            clients,
            claims: Claims::new(members),
            meeting: BTreeMap::new(),
            touched: scenario.absent,
            told: HashMap::new(),
            sets: HashMap::new(),
            compared: None,
            quiet_since: scenario.disturbed_until(),
            looks: 0,
            stable: false,
            staged: None,
            rules: scenario.rules.clone(),
            nonsense: Nonsense::default(),
            network_rng,
            client_rng,
            host_rng,
            outcome: Outcome::default(),
            logs: Vec::new(),
            scenario: scenario.clone(),
            options,
        };
        for host in 0..scenario.members {
            if scenario.absent >> host & 1 == 0 {
                let at = world.host_rng.random_range(0..SECOND);
                world.at(at, Ev::Happen(Happening::Start { host: host + 1, adopt: false }));
            }
        }
        for (time, happening) in scenario.events.clone() {
            world.at(time, Ev::Happen(happening));
        }
        for client in 0..scenario.flows {
            let at = world.client_rng.random_range(0..5 * SECOND);
            world.at(at, Ev::Client { client });
        }
        world.quiet_since = world.quiet_since.max(SECOND);
        world.at(LOOK, Ev::Look);
        world
    }

    /// Runs the scenario to its end: until all have been stable for a while after everything, or ought to have been.
    pub fn run(mut self) -> Outcome {
        let silence = self.scenario.silence();
        let end = self.quiet_since + (QUIET + 2) * silence;
        while self.outcome.violation.is_none() && self.now < end {
            let converged = self.outcome.counts.converged.map(|time| self.quiet_since.saturating_add(time));
            if converged.is_some_and(|time| self.now > time.saturating_add(AFTERWARDS * silence)) {
                break;
            }
            self.run_until(self.now + silence);
        }
        self.finish()
    }

    /// Runs until a time, or until an invariant does not hold.
    pub fn run_until(&mut self, end: Time) {
        let mut at_once = 0;
        while self.outcome.violation.is_none()
            && let Some(Reverse(entry)) = self.queue.peek()
            && entry.time <= end
        {
            let Some(Reverse(Entry { time, event, .. })) = self.queue.pop() else { break };
            at_once = if time == self.now { at_once + 1 } else { 0 };
            self.now = time;
            if at_once > STALLED {
                self.violate(7, format!("time stands still at {event:?}"));
            }
            self.outcome.counts.steps += 1;
            self.happen(event);
        }
        self.now = self.now.max(end);
    }

    /// What came of it.
    pub fn finish(mut self) -> Outcome {
        self.outcome.counts.ownerless = std::mem::take(&mut self.claims.ownerless);
        self.outcome
    }

    /// True time, ns.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Whether all that take part are stable on one map.
    pub fn is_stable(&self) -> bool {
        self.stable
    }

    /// The first violation.
    pub fn violation(&self) -> Option<&Violation> {
        self.outcome.violation.as_ref()
    }

    /// What members logged since the last time.
    pub fn take_logs(&mut self) -> Vec<(Time, u8, Log)> {
        std::mem::take(&mut self.logs)
    }

    /// Status of a member (1..), if it runs.
    pub fn status(&self, host: u8) -> Option<Status> {
        Some(self.hosts[usize::from(host) - 1].process.as_ref()?.cluster.status())
    }

    /// A copy of a member's state machine (1..) with its incarnation and the time of its clock, if it runs.
    pub fn member(&self, host: u8) -> Option<(Cluster, u64, Time)> {
        let host = &self.hosts[usize::from(host) - 1];
        let process = host.process.as_ref()?;
        Some((process.cluster.clone(), process.incarnation, host.local(self.now)))
    }

    /// How long moving buckets had no owner since the last time, ns, and how many.
    pub fn take_ownerless(&mut self) -> BTreeMap<Time, u64> {
        std::mem::take(&mut self.claims.ownerless)
    }

    /// What members have sent, where messages travel as frames.
    pub fn sent(&self) -> Sent {
        self.outcome.counts.sent
    }

    /// Lets something happen now.
    pub fn inject(&mut self, happening: Happening) {
        self.happen(Ev::Happen(happening));
    }

    /// Other random numbers from here on.
    pub fn reseed(&mut self, seed: u64) {
        self.network_rng = ChaCha8Rng::seed_from_u64(seed);
    }

    fn at(&mut self, time: Time, event: Ev) {
        self.number += 1;
        self.queue.push(Reverse(Entry { time, number: self.number, event }));
    }

    fn violate(&mut self, invariant: u8, what: String) {
        if self.options.log {
            println!("{:10.6} VIOLATION of {invariant}: {what}", self.now as f64 / 1e9);
        }
        if self.outcome.violation.is_none() && !self.options.count_only {
            self.outcome.violation = Some(Violation { invariant, time: self.now, what });
        }
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if self.options.log {
            println!("{:10.6} {}", self.now as f64 / 1e9, what());
        }
    }

    // ---- events ---------------------------------------------------------------------------------------------------------

    /// The host that has to be awake for an event; `None`: it happens whatever stands still.
    fn needs(event: &Ev) -> Option<usize> {
        match event {
            Ev::Deliver { to, .. } => Some(*to),
            Ev::Timer { host, .. } | Ev::Answer { host, .. } => Some(*host),
            _ => None,
        }
    }

    fn happen(&mut self, event: Ev) {
        if let Some(number) = Self::needs(&event) {
            let host = &mut self.hosts[number];
            if self.now < host.paused_until {
                let message = matches!(event, Ev::Deliver { .. });
                if !message || (!host.frozen && host.waiting.len() < SOCKET) {
                    host.waiting.push_back(event);
                }
                return;
            }
        }
        match event {
            Ev::Deliver { to, message } => {
                if self.hosts[to].process.is_some() {
                    self.outcome.counts.messages += 1;
                    self.step(to, Event::Message((*message).clone()));
                }
            }
            Ev::Timer { host, generation } => {
                if self.current(host, generation) {
                    let due = self.hosts[host].process.as_mut().is_some_and(|process| process.timer.take().is_some());
                    if due {
                        self.look_at_link(host);
                        self.step(host, Event::Tick);
                    }
                }
            }
            Ev::Commit { host, generation } => {
                if self.current(host, generation) {
                    self.committed(host, generation);
                }
            }
            Ev::Answer { host, generation, event } => {
                if self.current(host, generation) {
                    self.answer(host, event);
                }
            }
            Ev::Lease { host } => {
                self.hosts[host].lease_event = false;
                self.claims_changed(host, false);
                self.watch_lease(host);
            }
            Ev::Awake { host } => {
                if self.now >= self.hosts[host].paused_until {
                    self.note(|| format!("{} goes on", host + 1));
                    for event in std::mem::take(&mut self.hosts[host].waiting) {
                        self.happen(event);
                    }
                }
            }
            Ev::Happen(happening) => self.carry_out(happening),
            Ev::Client { client } => self.client_sends(client),
            Ev::Rest { client, packet, hosts, taken, mapped } => {
                let (more_taken, more_mapped) = self.show(packet, hosts);
                self.client_answered(client, packet, taken | more_taken, mapped | more_mapped);
            }
            Ev::Look => {
                if self.looks.is_multiple_of(LOOKS_A_COUNT) {
                    for host in 0..self.hosts.len() {
                        let sessions = self.hosts[host].nic.opened();
                        if self.now >= self.hosts[host].paused_until {
                            self.step(host, Event::Connections(sessions));
                        }
                    }
                }
                self.looks += 1;
                self.look();
                self.at(self.now + LOOK, Ev::Look);
            }
        }
    }

    /// As the daemon does: it asks the NIC for the link when nobody has been heard for D/4.
    fn look_at_link(&mut self, number: usize) {
        let patience = self.scenario.silence() / 4;
        let now = self.now;
        let host = &mut self.hosts[number];
        let Some(process) = &mut host.process else { return };
        let (from, until) = host.unplugged;
        let link = now >= until;
        if link != process.link && (link || now >= from.max(process.since) + patience) {
            process.link = link;
            self.step(number, Event::Link(link));
        }
    }

    fn is_unplugged(&self, host: usize) -> bool {
        self.now < self.hosts[host].unplugged.1
    }

    fn current(&self, host: usize, generation: u32) -> bool {
        self.hosts[host].process.is_some() && self.hosts[host].generation == generation
    }

    fn carry_out(&mut self, happening: Happening) {
        self.note(|| format!("-- {happening:?}"));
        let number = |host: u8| usize::from(host) - 1;
        let now = self.now;
        let until = |length: Time| now + length;
        match happening {
            Happening::Crash(host) => self.crash(number(host)),
            Happening::PowerOff(host) => {
                self.crash(number(host));
                let host = number(host);
                self.hosts[host].nic = Nic::new(host as u16 + 1, Timeouts::default());
                self.hosts[host].scratch = None;
                self.claims_changed(host, false);
            }
            Happening::Start { host, adopt } => self.start(number(host), adopt),
            Happening::Pause { host, length, whole } => {
                let end = until(length);
                let host = number(host);
                self.touched |= 1 << host;
                self.hosts[host].paused_until = self.hosts[host].paused_until.max(end);
                self.hosts[host].frozen = whole;
                self.at(end, Ev::Awake { host });
            }
            Happening::Block { from, to, length } => {
                let end = until(length);
                let (from, to) = (number(from), number(to));
                self.touched |= 1 << from | 1 << to;
                let link = self.link(from, to);
                link.blocked_until = link.blocked_until.max(end);
            }
            Happening::Partition { side, length } => {
                let end = until(length);
                self.touched = u32::MAX;
                for from in 0..self.hosts.len() {
                    for to in 0..self.hosts.len() {
                        if (side >> from ^ side >> to) & 1 == 1 {
                            let link = self.link(from, to);
                            link.blocked_until = link.blocked_until.max(end);
                        }
                    }
                }
            }
            Happening::Unplug { host, length } => {
                let end = until(length);
                let host = number(host);
                self.touched |= 1 << host;
                let from = if self.is_unplugged(host) { self.hosts[host].unplugged.0 } else { now };
                self.hosts[host].unplugged = (from, self.hosts[host].unplugged.1.max(end));
            }
            Happening::Loss(loss) => {
                self.loss = loss;
                self.highest_loss = self.highest_loss.max(loss);
            }
            Happening::PlannedRestart { host, length } => {
                let ms = (length / MS + 500) as u32;
                self.command(number(host), Command::Hold(ms));
                self.touched |= 1 << number(host);
                let crash = self.now + (3 * self.scenario.period).min(length);
                self.at(crash, Ev::Happen(Happening::Crash(host)));
                self.at(until(length), Ev::Happen(Happening::Start { host, adopt: true }));
            }
            Happening::Upgrade { host, length } => {
                self.hosts[number(host)].upgraded = true;
                self.carry_out(Happening::PlannedRestart { host, length });
            }
            Happening::Suspend(host) => {
                self.touched |= 1 << number(host);
                let runs = self.hosts[number(host)].process.is_some();
                (self.hosts[number(host)].suspended, self.hosts[number(host)].out) = (runs, runs);
                self.command(number(host), Command::Suspend);
            }
            Happening::Unsuspend(host) => {
                self.hosts[number(host)].suspended = false;
                self.command(number(host), Command::Resume);
            }
            Happening::Drain(host) => {
                self.hosts[number(host)].draining = self.hosts[number(host)].process.is_some();
                self.command(number(host), Command::Drain);
            }
            Happening::Undrain(host) => {
                self.hosts[number(host)].draining = false;
                self.hosts[number(host)].drained = false;
                self.command(number(host), Command::Undrain);
            }
            Happening::Stop(host) => {
                self.touched |= 1 << number(host);
                self.hosts[number(host)].out = self.hosts[number(host)].process.is_some();
                self.command(number(host), Command::Stop);
            }
            Happening::Resume(host) => {
                self.hosts[number(host)].out = self.hosts[number(host)].suspended;
                self.command(number(host), Command::Start);
            }
            Happening::Capacity(host, percent) => {
                if self.hosts[number(host)].process.is_some() {
                    self.hosts[number(host)].capacity = percent;
                }
                self.command(number(host), Command::Capacity(percent));
            }
            Happening::Rules(rules) => {
                self.staged = Some(rules.clone());
                let running: Vec<usize> = (0..self.hosts.len()).filter(|h| self.hosts[*h].process.is_some()).collect();
                for host in &running {
                    self.command(*host, Command::Stage(rules.clone()));
                }
                if let Some(first) = running.first() {
                    self.command(*first, Command::Activate);
                }
            }
            Happening::Nonsense(amount) => {
                for _ in 0..amount {
                    let members = self.scenario.members;
                    let message = Arc::new(self.nonsense.make(members, &mut self.network_rng));
                    let to = self.network_rng.random_range(0..self.hosts.len());
                    let delay = self.network_rng.random_range(0..SECOND / 2);
                    self.at(self.now + delay, Ev::Deliver { to, message });
                }
            }
        }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        let hosts = self.hosts.len();
        &mut self.links[from * hosts + to]
    }

    fn crash(&mut self, number: usize) {
        self.touched |= 1 << number;
        let host = &mut self.hosts[number];
        let Some(process) = host.process.take() else { return };
        host.scratch = process.cluster.status().committed.filter(|committed| committed.digest == host.whole);
        host.waiting.clear();
        host.generation += 1;
        (host.out, host.draining, host.drained, host.capacity) = (false, false, false, 100);
        host.suspended = false;
    }

    fn start(&mut self, number: usize, adopt: bool) {
        if self.hosts[number].process.is_some() {
            return;
        }
        let incarnation = self.host_rng.next_u64() | 1;
        let rules = self.rules.clone();
        let host = &mut self.hosts[number];
        if !adopt {
            host.nic = Nic::new(number as u16 + 1, Timeouts::default());
            host.scratch = None;
        }
        let adopted = host.scratch.zip(host.nic.maps().cloned());
        let lease = host.nic.lease().filter(|_| host.nic.live(host.local(self.now)));
        let adopted = adopted.map(|(committed, maps)| Adopted { committed, maps, lease });
        // Rules that the NIC has no maps of would be another set than was adopted.
        host.rules = rules.clone();
        let settings = Settings {
            host: host_id(number as u8 + 1),
            incarnation,
            period: self.scenario.period,
            tolerance: self.scenario.tolerance,
            // The default that version n + 1 has changed.
            lease: self.scenario.silence() * if host.upgraded { 8 } else { 9 } / 10,
            quorum: self.scenario.quorum,
            rules,
        };
        let (cluster, actions) = Cluster::new(settings, host.local(self.now), adopted);
        host.generation += 1;
        let later = host.upgraded;
        host.process = Some(Process {
            cluster,
            incarnation,
            queue: VecDeque::new(),
            busy: false,
            timer: None,
            later,
            link: true,
            since: self.now,
        });
        self.claims_changed(number, false);
        self.take(number, actions);
        self.set_timer(number);
        if let Some(staged) = self.staged.clone().filter(|staged| staged.digest != self.rules.digest) {
            self.command(number, Command::Stage(staged));
        }
    }

    fn command(&mut self, host: usize, command: Command) {
        // Whoever stands still gets it when it goes on.
        let generation = self.hosts[host].generation;
        self.happen(Ev::Answer { host, generation, event: Some(Event::Command(command)) });
    }

    // ---- the driver -----------------------------------------------------------------------------------------------------

    fn step(&mut self, number: usize, event: Event) {
        let host = &mut self.hosts[number];
        let local = host.local(self.now);
        let Some(process) = &mut host.process else { return };
        let actions = process.cluster.step(local, event);
        self.take(number, actions);
        self.set_timer(number);
    }

    fn set_timer(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let Some(process) = &host.process else { return };
        let at = host.time_of(process.cluster.deadline()).max(self.now + 1_000);
        let generation = host.generation;
        let Some(process) = &mut host.process else { return };
        if process.timer.is_none_or(|timer| at < timer) {
            process.timer = Some(at);
            self.at(at, Ev::Timer { host: number, generation });
        }
    }

    fn take(&mut self, number: usize, actions: Vec<Action>) {
        for action in actions {
            let withdraw = action == Action::Withdraw;
            if let Some(process) = &mut self.hosts[number].process {
                if withdraw {
                    process.queue.retain(|a| !matches!(a, Action::ArmLease(_) | Action::RenewLease(_)));
                } else {
                    process.queue.push_back(action);
                }
            }
            if withdraw {
                self.note(|| format!("{}   withdraws", number + 1));
                self.hosts[number].nic.withdraw();
                self.claims_changed(number, false);
            }
        }
        self.work(number);
    }

    /// Carries out what is in the queue, up to the next commit.
    fn work(&mut self, number: usize) {
        while let Some(process) = &mut self.hosts[number].process
            && !process.busy
            && let Some(action) = process.queue.pop_front()
        {
            let generation = self.hosts[number].generation;
            let later = |world: &mut World, event| {
                let delay = world.host_rng.random_range(COMMIT.0..COMMIT.1);
                world.at(world.now + delay, event);
            };
            let local = self.hosts[number].local(self.now);
            self.note_action(number, &action);
            match action {
                Action::Send(body, sequence) => self.send(number, body, sequence),
                Action::Commit(_) => {
                    if let Some(process) = &mut self.hosts[number].process {
                        process.busy = true;
                        process.queue.push_front(action);
                    }
                    later(self, Ev::Commit { host: number, generation });
                }
                Action::Handover(flags) => self.hosts[number].nic.set_handover(flags),
                Action::ArmLease(until) => {
                    self.hosts[number].nic.arm(until);
                    self.claims_changed(number, false);
                    self.watch_lease(number);
                }
                Action::RenewLease(until) => {
                    self.hosts[number].nic.renew(local, until);
                    self.watch_lease(number);
                }
                Action::Withdraw => {}
                Action::HandBindings(proposal) => {
                    self.hosts[number].nic.hand_bindings();
                    let event = Some(Event::BindingsHanded(proposal));
                    later(self, Ev::Answer { host: number, generation, event });
                }
                Action::CountHoldings(proposal) => {
                    let rules = self.hosts[number].nic.holdings(local);
                    let event = Some(Event::Holdings { proposal, rules });
                    later(self, Ev::Answer { host: number, generation, event });
                }
                Action::DisableRules(rules) => self.hosts[number].nic.disable(rules),
                Action::ActivateRules(rules) => {
                    self.rules = rules.clone();
                    self.hosts[number].rules = rules;
                }
                Action::Log(log) => self.logged(number, log),
            }
        }
    }

    fn note_action(&self, number: usize, action: &Action) {
        let flags = |bits: &[u8]| bits.iter().map(|byte| byte.count_ones()).sum::<u32>();
        let left = |until: Time| (until as i64 - self.hosts[number].local(self.now) as i64) as f64 / 1e6;
        let text = match action {
            Action::Commit(commit) => {
                let flags: Vec<u32> = commit.handover.iter().map(|bits| flags(bits)).collect();
                format!("commit {} (digest {:#x}), HANDOVER {flags:?}", commit.number, commit.digest)
            }
            Action::Handover(changes) => {
                format!("HANDOVER {:?}", changes.iter().map(|(map, bits)| (*map, flags(bits))).collect::<Vec<_>>())
            }
            Action::ArmLease(until) => format!("lease begins, {:.1} ms", left(*until)),
            Action::HandBindings(_) => "hands bindings over".into(),
            Action::CountHoldings(_) => "counts holdings".into(),
            Action::ActivateRules(rules) => format!("activates rules {:#x}", rules.digest),
            _ => return,
        };
        self.note(|| format!("{}     {text}", number + 1));
    }

    fn logged(&mut self, number: usize, log: Log) {
        self.note(|| format!("{}   {log:?}", number + 1));
        self.logs.push((self.now, number as u8 + 1, log));
    }

    fn committed(&mut self, number: usize, generation: u32) {
        let Some(process) = &mut self.hosts[number].process else { return };
        let Some(Action::Commit(commit)) = process.queue.pop_front() else {
            unreachable!("the first action is the one that is carried out")
        };
        if commit.digest != 0 {
            self.sets.entry(commit.digest).or_insert_with(|| commit.maps.clone());
        }
        self.hosts[number].nic.commit(&commit);
        self.hosts[number].whole = commit.digest;
        let paused = self.now < self.hosts[number].paused_until;
        self.claims_changed(number, !paused);
        // The daemon goes on with what follows, if it does not stand still.
        self.happen(Ev::Answer { host: number, generation, event: Some(Event::Committed(commit.number)) });
    }

    fn answer(&mut self, number: usize, event: Option<Event>) {
        if let Some(Event::Committed(_)) = event {
            if let Some(process) = &mut self.hosts[number].process {
                process.busy = false;
            }
            self.work(number);
        }
        if let Some(event) = event {
            self.step(number, event);
        }
    }

    /// Sees to an event at the end of the lease.
    fn watch_lease(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        if host.lease_event || !host.nic.live(host.local(self.now)) {
            return;
        }
        let Some(until) = host.nic.lease() else { return };
        host.lease_event = true;
        let at = host.time_of(until + 1).max(self.now + 1);
        self.at(at, Ev::Lease { host: number });
    }

    fn send(&mut self, from: usize, body: Body, sequence: u64) {
        let Some(process) = &self.hosts[from].process else { return };
        let later = process.later;
        let message = Message { host: host_id(from as u8 + 1), incarnation: process.incarnation, sequence, body };
        self.nonsense.remember(&message, &mut self.network_rng);
        if let Body::Heartbeat(beat) = &message.body {
            self.hosts[from].view = beat.view.0;
            self.tell(&beat.clone());
        }
        let wire = self.options.wire.or(self.scenario.frames.then_some(crate::codec::through as Wire));
        let message = match wire {
            None => Some(message),
            Some(wire) => wire(&message, later).map(|(message, bytes)| {
                let sent = &mut self.outcome.counts.sent;
                sent.frames += 1;
                sent.bytes += bytes as u64;
                sent.beats += u64::from(matches!(message.body, Body::Heartbeat(_)));
                message
            }),
        };
        let Some(message) = message.map(Arc::new) else {
            self.violate(7, format!("the codec does not take a message of host {}", from + 1));
            return;
        };
        let network = self.scenario.network;
        let (silence, period) = (self.scenario.silence(), self.scenario.period);
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            // A member knows when its cable is out, so that it excuses nothing: the two count as if they heard each other.
            if self.is_unplugged(from) || self.is_unplugged(to) {
                continue;
            }
            let lost = self.network_rng.random_range(0..1000) < self.loss;
            let now = self.now;
            let link = self.link(from, to);
            if lost || now < link.blocked_until {
                link.losing = true;
                continue;
            }
            if link.is_cut(now, silence) {
                link.new_until = now + MEET * period;
            }
            (link.losing, link.last_taken) = (false, now);
            if self.hosts[to].process.is_none() {
                continue;
            }
            let copies = 1 + usize::from(self.network_rng.random_range(0..1000) < network.duplicated);
            for _ in 0..copies {
                let mut delay = network.delay + self.network_rng.random_range(0..=network.jitter);
                if self.network_rng.random_range(0..1000) < network.late {
                    delay += self.network_rng.random_range(0..=self.scenario.period);
                }
                self.at(now + delay, Ev::Deliver { to, message: message.clone() });
            }
        }
    }

    /// What heartbeats say about a proposal's base: the greatest that was committed before it.
    fn tell(&mut self, beat: &Heartbeat) {
        if beat.proposal == 0 {
            return;
        }
        let told = self.told.entry(beat.proposal).or_insert(Told { base: None, healed: false });
        told.healed |= !beat.connections.is_empty();
        if let Some(committed) = beat.committed.filter(|committed| committed.epoch < beat.epoch) {
            told.base = told.base.max(Some(committed));
        }
    }

    // ---- clients --------------------------------------------------------------------------------------------------------

    fn client_sends(&mut self, number: u32) {
        let client = &self.clients[number as usize];
        let packet = client.send();
        self.outcome.counts.packets += 1;
        if client.is_new() {
            self.outcome.counts.sessions += 1;
        }
        let all = ((1u64 << self.hosts.len()) - 1) as u32;
        if self.client_rng.random_range(0..32) == 0 {
            // Some NICs see it a little later.
            let first = self.client_rng.next_u32() & all;
            let (taken, mapped) = self.show(packet, first);
            let delay = self.client_rng.random_range(100..5_000);
            self.at(self.now + delay, Ev::Rest { client: number, packet, hosts: all & !first, taken, mapped });
        } else {
            let (taken, mapped) = self.show(packet, all);
            self.client_answered(number, packet, taken, mapped);
        }
    }

    /// Shows a packet to NICs: who took it, and who took it by its map.
    fn show(&mut self, packet: Packet, hosts: u32) -> (u32, u32) {
        let (mut taken, mut mapped) = (0, 0);
        for number in bits(hosts) {
            let host = &mut self.hosts[number];
            let verdict = host.nic.receive(host.local(self.now), packet);
            if verdict.accepted() {
                taken |= 1 << number;
                mapped |= u32::from(verdict == Verdict::Mapped) << number;
            }
        }
        (taken, mapped)
    }

    fn client_answered(&mut self, number: u32, packet: Packet, taken: u32, mapped: u32) {
        let client = &self.clients[number as usize];
        let answer = if taken == 0 {
            self.outcome.counts.untaken += 1;
            Answer::Silence
        } else if client.phase == ClientPhase::Opening || client.is_udp() {
            if taken.count_ones() > 1 {
                self.taken_twice(packet, taken);
            }
            // Of two answers the client takes one.
            let host = taken.trailing_zeros() as u8;
            if self.client_rng.random_range(0..100) == 0 { Answer::Lost(host) } else { Answer::Taken(host) }
        } else {
            let (ClientPhase::Open(host) | ClientPhase::Ending(host)) = client.phase else {
                unreachable!("it is not opening")
            };
            let others = taken & !(1 << host);
            if others == 0 {
                Answer::Taken(host)
            } else {
                self.refused(packet, usize::from(host), others, mapped);
                Answer::Refused
            }
        };
        let next = self.clients[number as usize].answered(answer, self.now, &mut self.client_rng);
        self.at(next, Ev::Client { client: number });
    }

    fn taken_twice(&mut self, packet: Packet, taken: u32) {
        for a in bits(taken) {
            for b in bits(taken).filter(|b| *b > a) {
                if self.claims.partners(a) >> b & 1 == 1 && self.meeting.contains_key(&(a, b)) || !self.connected(a, b)
                {
                    self.outcome.counts.accepted_twice_apart += 1;
                } else {
                    self.outcome.counts.accepted_twice += 1;
                    let what = format!("hosts {} and {} accepted {packet:?}", a + 1, b + 1);
                    self.violate(2, what);
                }
            }
        }
    }

    /// `others` got a packet of a connection of `host`, and refuse it.
    fn refused(&mut self, packet: Packet, host: usize, others: u32, mapped: u32) {
        if others & mapped == 0 {
            // Of a connection with the same ports from before the lease ended: such a NIC has not seen the new SYN.
            self.outcome.counts.stale += 1;
            return;
        }
        let lives = self.hosts[host].nic.live(self.hosts[host].local(self.now)) && self.hosts[host].process.is_some();
        let bound = self.hosts[host].nic.binding(self.hosts[host].local(self.now), packet.flow).is_some();
        let other = bits(others & mapped).find(|other| {
            let knows = self.hosts[*other].view >> host & 1 == 1 && self.connected(host, *other);
            knows && lives && bound && !self.sides_meet(host, *other)
        });
        let untouched = self.touched >> host & 1 == 0 && !self.was_cut(host) && self.scenario.quorum.is_none();
        if other.is_none() && !untouched {
            self.outcome.counts.lost_with_host += 1;
            return;
        }
        self.outcome.counts.survivors_broken += 1;
        if self.highest_loss <= LOSS_LIMIT {
            let by: Vec<usize> = bits(others).map(|o| o + 1).collect();
            self.violate(
                5,
                format!(
                    "connection {packet:?} of host {} (live: {lives}, binding: {bound}) was refused by {by:?}",
                    host + 1
                ),
            );
        }
    }

    // ---- judgement ------------------------------------------------------------------------------------------------------

    /// Whether nothing has got from one to the other for nearly D because of the network.
    fn cut(&self, from: usize, to: usize) -> bool {
        let link = &self.links[from * self.hosts.len() + to];
        link.is_cut(self.now, self.scenario.silence()) || self.now < link.new_until
    }

    fn was_cut(&self, host: usize) -> bool {
        (0..self.hosts.len()).any(|other| other != host && (self.cut(host, other) || self.cut(other, host)))
    }

    /// A host whose process does not run, or has just started, is not heard: it counts for those that know of it.
    fn hear_each_other(&self, a: usize, b: usize) -> bool {
        let knows = |a: usize, b: usize| {
            let process = self.hosts[a].process.as_ref();
            process.is_some_and(|process| process.cluster.status().heard.contains(host_id(b as u8 + 1)))
        };
        let speaks = |host: usize| {
            let process = self.hosts[host].process.as_ref();
            process.is_some_and(|process| process.cluster.status().phase != Phase::Listening)
        };
        match (speaks(a), speaks(b)) {
            _ if a == b => true,
            (true, false) => knows(a, b),
            (false, true) => knows(b, a),
            _ => !self.cut(a, b) && !self.cut(b, a),
        }
    }

    /// Whether two hosts can hear each other, directly or through the members of their views.
    fn connected(&self, a: usize, b: usize) -> bool {
        let with = |host: usize| {
            let view = self.hosts[host].view & ((1u64 << self.hosts.len()) - 1) as u32;
            let alive = bits(view).filter(|h| self.hosts[*h].process.is_some());
            alive.fold(1 << host, |set, h| set | 1 << h)
        };
        let (around_a, around_b): (u32, u32) = (with(a), with(b));
        self.hear_each_other(a, b)
            || bits(around_a).any(|c| {
                self.hear_each_other(a, c)
                    && bits(around_b).any(|d| self.hear_each_other(d, b) && self.hear_each_other(c, d))
            })
    }

    /// Whether members of the views of two hosts still claim the same because they could not hear each other before.
    fn sides_meet(&self, a: usize, b: usize) -> bool {
        let side = |host: usize| self.hosts[host].view | 1 << host;
        let (a, b) = (side(a), side(b));
        let in_both = |x: usize, y: usize| a >> x & 1 == 1 && b >> y & 1 == 1;
        self.meeting.keys().any(|(x, y)| in_both(*x, *y) || in_both(*y, *x))
    }

    fn claims_changed(&mut self, number: usize, handed: bool) {
        let host = &self.hosts[number];
        let live = host.nic.live(host.local(self.now));
        let maps = host.nic.maps().filter(|_| live).cloned();
        let new = self.claims.set(number, maps.as_ref(), self.now, handed);
        for other in bits(new) {
            let pair = (number.min(other), number.max(other));
            if self.connected(pair.0, pair.1) {
                let shared = self.claims.shared(pair.0, pair.1);
                self.violate(
                    2,
                    format!("hosts {} and {} both claim (rule, bucket) {shared:?} and more", pair.0 + 1, pair.1 + 1),
                );
            } else {
                self.meeting.insert(pair, None);
            }
        }
        let claims = &self.claims;
        self.meeting.retain(|(a, b), _| claims.partners(*a) >> b & 1 == 1);
        let total = self.claims.total(number);
        let host = &mut self.hosts[number];
        if host.draining && total == 0 {
            host.drained = true;
        } else if host.drained && total > 0 {
            self.violate(6, format!("host {} drains and claims buckets again", number + 1));
        }
    }

    /// What is looked at from time to time.
    fn look(&mut self) {
        let silence = self.scenario.silence();
        let pairs: Vec<(usize, usize)> = self.meeting.keys().copied().collect();
        for (a, b) in pairs {
            let since = self.meeting.get(&(a, b)).copied().flatten();
            let since = self.connected(a, b).then(|| since.unwrap_or(self.now));
            if since.is_some_and(|since| self.now > since + QUIET * silence) && self.highest_loss <= LOSS_LIMIT {
                let shared = self.claims.shared(a, b);
                self.violate(2, format!("hosts {} and {} have met and still both claim {shared:?}", a + 1, b + 1));
            }
            self.meeting.insert((a, b), since);
        }
        self.look_for_stability();
        if self.now > self.quiet_since + QUIET * silence && self.outcome.counts.converged.is_none() {
            let states: Vec<String> = (0..self.hosts.len()).map(|h| self.describe(h)).collect();
            if self.highest_loss <= LOSS_LIMIT {
                self.violate(3, format!("not stable {QUIET} D after everything: {}", states.join("; ")));
            } else {
                self.outcome.counts.unconverged = true;
            }
            self.outcome.counts.converged = Some(Time::MAX);
        }
    }

    fn describe(&self, number: usize) -> String {
        let host = &self.hosts[number];
        match &host.process {
            None => format!("{} down", number + 1),
            Some(process) => {
                let status = process.cluster.status();
                format!(
                    "{} {:?} view {:#x} epoch {:?} excluded {:?} lease {}",
                    number + 1,
                    status.phase,
                    status.view.0,
                    status.committed.map(|c| c.epoch),
                    status.excluded,
                    host.nic.live(host.local(self.now)),
                )
            }
        }
    }

    /// Hosts that ought to be members, as bits; `None`: there is no quorum.
    fn expected(&self) -> Option<u32> {
        let held_down = |h: usize| {
            let id = host_id(h as u8 + 1);
            let by = |host: &Host| {
                host.process.as_ref().is_some_and(|p| p.cluster.left_out().get(&id) == Some(&Exclusion::HeldDown))
            };
            self.hosts.iter().any(by)
        };
        let taking_part = |h: &usize| {
            let host = &self.hosts[*h];
            host.process.is_some() && self.now >= host.paused_until && !host.out && !held_down(*h)
        };
        let set = (0..self.hosts.len()).filter(taking_part).fold(0u32, |set, h| set | 1 << h);
        match self.scenario.quorum {
            Some(quorum) => {
                let (have, all) = (2 * set.count_ones(), u32::from(quorum.expected_hosts));
                let witness = quorum.witness.is_some_and(|w| HostSet(set).contains(w));
                (have > all || have == all && witness).then_some(set)
            }
            None => Some(set),
        }
    }

    fn look_for_stability(&mut self) {
        let Some(set) = self.expected() else {
            // Without quorum nobody serves.
            self.stable = (0..self.hosts.len()).all(|h| self.claims.total(h) == 0);
            if self.stable && self.now > self.quiet_since {
                self.outcome.counts.converged.get_or_insert(self.now - self.quiet_since);
            }
            return;
        };
        let statuses: Vec<(usize, Status)> =
            bits(set).filter_map(|h| Some((h, self.hosts[h].process.as_ref()?.cluster.status()))).collect();
        let first = statuses.first().map(|(_, status)| status.committed);
        self.stable = statuses.iter().all(|(h, status)| {
            let host = &self.hosts[*h];
            status.phase == Phase::Stable
                && status.view.0 == set
                && Some(status.committed) == first
                && host.nic.live(host.local(self.now))
        });
        if !self.stable {
            return;
        }
        if self.now > self.quiet_since {
            self.outcome.counts.converged.get_or_insert(self.now - self.quiet_since);
        }
        let Some((_, status)) = statuses.first() else { return };
        self.check_coverage(set);
        if self.compared != Some(status.proposal.0) {
            self.compared = Some(status.proposal.0);
            self.compare_moves(status);
        }
    }

    /// Invariant 1: every bucket of every rule has exactly one owner that claims it. (No two claim the same, or
    /// invariant 2 would not hold: so the numbers tell.)
    fn check_coverage(&mut self, set: u32) {
        let Some(first) = bits(set).next() else { return };
        let rules = self.hosts[first].rules.clone();
        let default = hashgate_cluster::api::Rule { key: DEFAULT_KEY, sharing: Sharing::Disabled };
        for rule in rules.rules.iter().chain([&default]) {
            let able = |id: u8| set >> (id - 1) & 1 == 1 && !self.hosts[usize::from(id) - 1].draining;
            let served = match &rule.sharing {
                _ if rule.key == DEFAULT_KEY => (1..=self.scenario.members).any(able),
                Sharing::Multiple(weights) => weights.iter().any(|(host, weight)| {
                    *weight > 0 && able(host.get()) && self.hosts[usize::from(host.get()) - 1].capacity > 0
                }),
                Sharing::Single(order) => order.iter().any(|(host, _)| able(host.get())),
                Sharing::Disabled => false,
            };
            // A capacity of 0 leaves it open whether a single host stays able.
            let open = bits(set).any(|h| self.hosts[h].capacity == 0) && !matches!(rule.sharing, Sharing::Multiple(_));
            let (claimed, wanted) =
                (self.claims.count(rule.key, set), if served { hashgate_tables::BUCKETS } else { 0 });
            if claimed != wanted && !open {
                self.violate(1, format!("members {set:#x} claim {claimed} buckets of rule {}, not {wanted}", rule.key));
            }
        }
        for number in bits(set) {
            if self.hosts[number].draining && self.claims.total(number) > 0 {
                self.violate(6, format!("host {} drains, is stable, and claims buckets", number + 1));
            }
        }
    }

    /// Invariant 4: no more buckets have moved than must.
    fn compare_moves(&mut self, status: &Status) {
        let Some(told) = self.told.get(&status.proposal.0).filter(|told| !told.healed) else { return };
        let Some(base) = told.base.and_then(|base| self.sets.get(&base.digest)) else { return };
        let Some(new) = status.committed.and_then(|committed| self.sets.get(&committed.digest)) else { return };
        let mut beyond = Vec::new();
        for (key, map) in &new.maps {
            let Some((_, old)) = base.maps.iter().find(|(k, _)| k == key) else { continue };
            if Arc::ptr_eq(old, map) {
                continue;
            }
            let mut have = BTreeMap::new();
            for owner in old.owners().iter().filter(|owner| **owner != hashgate_tables::NOBODY) {
                *have.entry(*owner).or_insert(0usize) += 1;
            }
            let nobodys = old.owners().len() - have.values().sum::<usize>();
            let fewest = fewest_moves(&have, nobodys, old.weights(), map.weights());
            let moved = map.moved(old);
            if moved != fewest {
                beyond.push((*key, moved, fewest));
            }
        }
        self.outcome.counts.compared += 1;
        for (key, moved, fewest) in beyond {
            self.outcome.counts.moved_over_minimum += moved.saturating_sub(fewest) as u64;
            self.violate(4, format!("{moved} buckets of rule {key} have moved, {fewest} must have"));
        }
    }
}
