// SPDX-License-Identifier: Apache-2.0
//! The thread of the protocol: frames in, frames out, time, and what follows for the NIC. It never waits for the NIC's tables ([`crate::worker`]); only the lease, which is
//! two registers, is written from here.

use crate::bell::Bell;
use crate::clock::NicClock;
use crate::events::{Events, describe, host_name};
use crate::worker::{Done, Job, Look, Worker};
use anyhow::{Result, anyhow, bail};
use hashgate_cluster::Cluster;
use hashgate_cluster::api::{Action, Adopted, Command, Event, Quorum, Settings, Time};
use hashgate_cluster::auth::Auth;
use hashgate_cluster::frame::{Codec, Kind, Refusals};
use hashgate_cluster::message::{Body, Committed, Heartbeat, HostId, Message, Phase};
use hashgate_config::{ClusterMode, Config, Host};
use hashgate_hostpath::Lent;
use hashgate_nic::BarIo;
use hashgate_regs::Registers;
use hashgate_regs::registers::LeaseCtrl;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Between two looks at what changes slowly: NIC time, sessions, watchdog.
const SLOW: Time = 500_000_000;
/// Between two membership frames, which are for display: those who read them expect one a second.
const MEMBERSHIP: Time = 1_000_000_000;
/// A lease that was begun so long ago runs, or has been lost.
const LEASE_DOUBT: Duration = Duration::from_secs(1);
/// A start of a host counts as heard for so long.
const HEARD: Time = 2_000_000_000;
/// Where a frame has the address of its host (docs/heartbeat.md).
const HOST_IP: usize = 14 + 16;
/// Starts of a host that are remembered.
const STARTS: usize = 4;
/// Frames that are taken before the clock is looked at again.
const BATCH: usize = 64;
/// How long a member that stops goes on telling so.
const FAREWELL: u64 = 3;

/// What somebody wants of the protocol.
type Call = Box<dyn FnOnce(&mut Core) + Send>;

/// The core, from outside.
#[derive(Clone)]
pub struct CoreHandle {
    calls: Sender<Call>,
    bell: Bell,
}

impl CoreHandle {
    /// Does something in the thread of the core. `None` if it has ended.
    pub async fn call<T: Send + 'static>(&self, what: impl FnOnce(&mut Core) -> T + Send + 'static) -> Option<T> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let call: Call = Box::new(move |core| {
            // Whoever asked may have gone.
            let _ = send.send(what(core));
        });
        self.calls.send(call).ok()?;
        self.bell.ring();
        receive.await.ok()
    }

    /// As [`CoreHandle::call`], for threads.
    pub fn blocking_call<T: Send + 'static>(&self, what: impl FnOnce(&mut Core) -> T + Send + 'static) -> Option<T> {
        let (send, receive) = mpsc::channel();
        let call: Call = Box::new(move |core| {
            let _ = send.send(what(core));
        });
        self.calls.send(call).ok()?;
        self.bell.ring();
        receive.recv().ok()
    }
}

/// What is known of another host by its heartbeats.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Its newest heartbeat.
    pub last: Arc<Heartbeat>,
    /// When it came, NIC time.
    pub heard: Time,
    /// That should have come between others and did not.
    pub missed: u64,
}

/// A start of a host, of which there should be one at a time.
#[derive(Clone, Debug)]
pub struct Start {
    incarnation: u64,
    /// Where it says that it can be reached.
    addr: Ipv4Addr,
    heard: Time,
    /// Frames of it.
    frames: u32,
}

/// Counts that only grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Times that the maps have changed.
    pub convergences: u64,
    /// Buckets that moved in them.
    pub moved: u64,
    /// How long the last one took, ns.
    pub converging: Option<Time>,
    /// Frames that there was no room to send for.
    pub unsent: u64,
}

/// The protocol with its surroundings.
pub struct Core {
    cluster: Cluster,
    codec: Codec,
    clock: NicClock,
    lent: Arc<Lent>,
    registers: Registers<BarIo>,
    worker: Worker,
    bell: Bell,
    calls: Receiver<Call>,
    /// Actions that wait for flags to be set.
    outbox: VecDeque<Action>,
    /// Number of the flags that are waited for.
    blocked: Option<u64>,
    handovers: u64,
    config: Arc<Config>,
    staged: Option<Arc<Config>>,
    host: Host,
    incarnation: u64,
    /// What others said last.
    pub peers: BTreeMap<HostId, PeerInfo>,
    /// Starts of each host that were heard lately.
    starts: BTreeMap<HostId, VecDeque<Start>>,
    /// What happened.
    pub events: Events,
    /// Frames that were ignored.
    pub refused: Refusals,
    /// Counts.
    pub tally: Tally,
    started: Time,
    remembered: Option<Committed>,
    phase: Phase,
    converging_since: Option<Time>,
    hold_ms: u32,
    slow_at: Time,
    membership_at: Time,
    /// Sessions made in both tables when the maps were committed last.
    sessions_before: Option<u64>,
    capacity: u16,
    disabled: u128,
    draining: u128,
    /// Leaves as soon as the last connection has ended.
    drainstop: bool,
    /// When the lease was begun last.
    armed_at: Instant,
    /// When a frame of the cluster came last, NIC time.
    heard_at: Time,
    /// The wire port has a link, as far as is known.
    link: bool,
    on_slow: Box<dyn FnMut(&Core) + Send>,
}

/// What the core is made of.
pub struct Parts {
    pub config: Arc<Config>,
    pub host: Host,
    pub auth: Auth,
    pub lent: Arc<Lent>,
    pub registers: Registers<BarIo>,
    pub worker: Worker,
    pub bell: Bell,
    pub adopted: Option<Adopted>,
    pub incarnation: u64,
    pub events: Events,
    /// Is called every half second, and tells the service manager that all is well.
    pub on_slow: Box<dyn FnMut(&Core) + Send>,
}

/// Settings of the protocol from a configuration.
///
/// # Errors
/// One line if the rules or settings are not possible.
pub fn settings(config: &Config, host: &Host, incarnation: u64) -> Result<Settings> {
    let daemon = &config.daemon;
    let quorum = daemon
        .quorum
        .map(|quorum| Quorum { expected_hosts: quorum.expected_hosts, witness: quorum.witness.and_then(HostId::new) });
    let settings = Settings {
        host: HostId::new(host.priority).ok_or_else(|| anyhow!("host priority {}: 1 to 32", host.priority))?,
        incarnation,
        period: daemon.period.as_nanos() as u64,
        tolerance: daemon.tolerance,
        lease: daemon.lease.as_nanos() as u64,
        quorum,
        rules: Arc::new(config.rule_set().map_err(|text| anyhow!(text))?),
    };
    settings.check()?;
    Ok(settings)
}

impl Core {
    /// A member that starts.
    pub fn new(parts: Parts) -> Result<(Core, CoreHandle)> {
        let Parts { config, host, auth, lent, registers, worker, bell, adopted, incarnation, events, on_slow } = parts;
        let mut settings = settings(&config, &host, incarnation)?;
        let mut codec = Codec::new(config.primary_ip, auth);
        if std::env::var_os("HASHGATE_AS_LATER").is_some() {
            // For tests of upgrades: what version n + 1 may do.
            codec = codec.as_later(hashgate_cluster::frame::MINOR + 1, &[(0xa0, b"later")]);
            settings.lease = settings.lease * 8 / 9;
        }
        let mut clock = NicClock::new(|| registers.time_ns());
        let now = clock.now();
        let adopted_maps = adopted.is_some();
        let (cluster, actions) = Cluster::new(settings, now, adopted);
        let (calls_in, calls) = mpsc::channel();
        let handle = CoreHandle { calls: calls_in, bell: bell.clone() };
        let mut core = Core {
            cluster,
            codec,
            clock,
            lent,
            registers,
            worker,
            bell,
            calls,
            outbox: VecDeque::new(),
            blocked: None,
            handovers: 0,
            config,
            staged: None,
            host,
            incarnation,
            peers: BTreeMap::new(),
            starts: BTreeMap::new(),
            events,
            refused: Refusals::default(),
            tally: Tally::default(),
            started: now,
            remembered: None,
            phase: Phase::Listening,
            converging_since: None,
            hold_ms: 0,
            slow_at: now,
            membership_at: now,
            sessions_before: None,
            capacity: 100,
            disabled: 0,
            draining: 0,
            drainstop: false,
            armed_at: Instant::now(),
            heard_at: now,
            link: true,
            on_slow,
        };
        let what =
            if adopted_maps { "the NIC goes on with the maps that it has" } else { "the NIC begins without maps" };
        core.log("started", "info", what.into());
        core.remembered = core.cluster.status().committed;
        core.take(actions);
        Ok((core, handle))
    }

    /// Runs until `stop` is set or something fails. A member that ends tells the others so, unless a restart was announced ([`Command::Hold`]).
    ///
    /// # Errors
    /// What made it impossible to go on.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut leaving: Option<Instant> = None;
        loop {
            if stop.load(Ordering::Relaxed) && leaving.is_none() {
                if self.hold_ms > 0 {
                    self.log("stopped", "info", format!("ends for a restart that may take {} ms", self.hold_ms));
                    return Ok(());
                }
                self.command(Command::Stop);
                self.log("stopped", "info", "leaves the cluster".into());
                leaving = Some(Instant::now() + self.config.daemon.period * FAREWELL as u32);
            }
            if leaving.is_some_and(|at| Instant::now() >= at) {
                return Ok(());
            }
            self.wait(leaving)?;
            let woken = Instant::now();
            self.hear()?;
            self.look_at_link();
            let heard = woken.elapsed();
            for done in self.worker.take_done() {
                match done {
                    Done::Event(event) => self.step(event),
                    Done::Handover(number) => {
                        if self.blocked == Some(number) {
                            self.blocked = None;
                        }
                        self.work();
                    }
                    Done::Look(look) => self.look_around(look)?,
                    Done::Failed(error) => return Err(error.context("the NIC did not do what it should")),
                }
            }
            while let Ok(call) = self.calls.try_recv() {
                call(self);
            }
            let now = self.clock.now();
            if now >= self.cluster.deadline() {
                self.step(Event::Tick);
            }
            if now >= self.slow_at {
                self.slow_at = now + SLOW;
                self.worker.push(Job::Look);
            }
            let all = woken.elapsed();
            if all > self.config.daemon.period {
                tracing::warn!("a round took {all:?}, longer than a heartbeat: {heard:?} to hear");
            }
        }
    }

    fn wait(&mut self, leaving: Option<Instant>) -> Result<()> {
        let now = self.clock.now();
        let mut limit = Duration::from_nanos(self.cluster.deadline().min(self.slow_at).saturating_sub(now));
        if let Some(at) = leaving {
            limit = limit.min(at.saturating_duration_since(Instant::now()));
        }
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        let mut fds = [
            PollFd::from_borrowed_fd(self.lent.frames_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.bell.silence();
        Ok(())
    }

    /// Takes the heartbeats that have come.
    fn hear(&mut self) -> Result<()> {
        for _ in 0..BATCH {
            let Some(frame) = self.lent.receive_frame()? else { return Ok(()) };
            if Kind::of(&frame.bytes) != Some(Kind::Extended) {
                continue;
            }
            // None of these is so short that senders fill it up.
            match self.codec.decode(&frame.bytes) {
                Ok(message) => {
                    self.heard_at = self.clock.now();
                    self.note(&message, &frame.bytes);
                    self.step(Event::Message(message));
                }
                Err(refusal) => self.refused.add(refusal),
            }
        }
        Ok(())
    }

    /// Where nobody is heard the link may be gone. A register is read for it with every heartbeat then, so that it is known before others count as failed.
    fn look_at_link(&mut self) {
        let silence = self.config.daemon.period.as_nanos() as Time * Time::from(self.config.daemon.tolerance);
        if self.link && self.clock.now() < self.heard_at + silence / 4 {
            return;
        }
        let link = self.registers.status().link >> self.host.wire_port & 1 == 1;
        if link != self.link {
            self.link = link;
            self.step(Event::Link(link));
        }
    }

    fn note(&mut self, message: &Message, frame: &[u8]) {
        let Body::Heartbeat(beat) = &message.body else { return };
        let heard = self.clock.now();
        let addr = frame.get(HOST_IP..HOST_IP + 4).map_or([0; 4], |bytes| [bytes[0], bytes[1], bytes[2], bytes[3]]);
        let starts = self.starts.entry(message.host).or_default();
        match starts.iter_mut().find(|start| start.incarnation == message.incarnation) {
            Some(start) => (start.heard, start.frames) = (heard, start.frames.saturating_add(1)),
            None => {
                if starts.len() == STARTS {
                    starts.pop_front();
                }
                starts.push_back(Start { incarnation: message.incarnation, addr: addr.into(), heard, frames: 1 });
            }
        }
        if message.host.get() == self.host.priority {
            return;
        }
        let period = Time::from(beat.period_ms).max(1) * 1_000_000;
        let peer = self.peers.entry(message.host).or_insert_with(|| PeerInfo { last: beat.clone(), heard, missed: 0 });
        let gap = heard.saturating_sub(peer.heard);
        // A change is told at once, so there may be more beats than periods.
        if gap > period * 3 / 2 {
            peer.missed += ((gap + period / 2) / period).saturating_sub(1);
        }
        (peer.last, peer.heard) = (beat.clone(), heard);
    }

    /// Gives the protocol an event.
    pub fn step(&mut self, event: Event) {
        let now = self.clock.now();
        let actions = self.cluster.step(now, event);
        self.take(actions);
        let status = self.cluster.status();
        if status.phase != self.phase {
            self.phase = status.phase;
            match status.phase {
                Phase::Stable => {
                    if let Some(since) = self.converging_since.take() {
                        self.tally.converging = Some(now - since);
                        self.tally.convergences += 1;
                    }
                }
                Phase::Converging | Phase::Idle | Phase::Ready => {
                    self.converging_since.get_or_insert(now);
                }
                Phase::Listening | Phase::Excluded | Phase::Suspended => self.converging_since = None,
            }
        }
        if status.committed != self.remembered {
            self.remembered = status.committed;
            self.sessions_before = None;
            if let Some(committed) = status.committed {
                self.worker.push(Job::Remember(committed));
            }
        }
    }

    /// A command of a person or a program.
    pub fn command(&mut self, command: Command) {
        match &command {
            Command::Hold(ms) => self.hold_ms = *ms,
            Command::Capacity(percent) => self.capacity = *percent,
            Command::Drain => (self.draining, self.drainstop) = (hashgate_cluster::api::ALL_RULES, true),
            Command::Undrain => (self.draining, self.drainstop) = (0, false),
            Command::Start | Command::Stop => self.drainstop = false,
            Command::EnableRules(rules) => {
                self.disabled &= !rules;
                self.draining &= !rules;
            }
            Command::DrainRules(rules) => {
                self.disabled &= !rules;
                self.draining |= rules;
            }
            Command::DisableRules(rules) => self.disabled |= rules,
            Command::AbortStage => self.staged = None,
            _ => {}
        }
        self.step(Event::Command(command));
    }

    // ---- actions --------------------------------------------------------------------------------------------------------

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            if action == Action::Withdraw {
                // At once, and nothing that is under way may undo it.
                self.outbox.retain(|waiting| !matches!(waiting, Action::ArmLease(_) | Action::RenewLease(_)));
                self.arm(1);
            } else {
                self.outbox.push_back(action);
            }
        }
        self.work();
    }

    /// Carries out what waits, in its order, up to flags that have to be set first.
    fn work(&mut self) {
        while self.blocked.is_none()
            && let Some(action) = self.outbox.pop_front()
        {
            match action {
                Action::Send(body, sequence) => self.send(body, sequence),
                Action::Commit(commit) => self.worker.push(Job::Commit(commit)),
                Action::Handover(changes) => {
                    self.handovers += 1;
                    self.blocked = Some(self.handovers);
                    self.worker.push(Job::Handover(self.handovers, changes));
                }
                Action::ArmLease(until) => self.arm(until),
                Action::RenewLease(until) => self.registers.set_lease_deadline(until),
                Action::Withdraw => {}
                Action::HandBindings(proposal) => self.worker.push(Job::HandBindings(proposal)),
                Action::CountHoldings(proposal) => self.worker.push(Job::CountHoldings(proposal)),
                Action::DisableRules(rules) => self.worker.push(Job::Disable(rules)),
                Action::ActivateRules(rules) => self.activate(rules.digest),
                Action::Log(log) => {
                    if let hashgate_cluster::api::Log::Committed { moved, .. } = log {
                        self.tally.moved += moved as u64;
                    }
                    let (kind, severity, text) = describe(&self.config, &log);
                    self.log(kind, severity, text);
                }
            }
        }
    }

    fn arm(&mut self, until: Time) {
        self.armed_at = Instant::now();
        self.registers.set_lease_deadline(until);
        self.registers.set_lease_ctrl(LeaseCtrl { enable: true, arm: true });
    }

    fn activate(&mut self, digest: u64) {
        let staged = self.staged.take().filter(|staged| staged.digest() == digest);
        match staged {
            Some(config) => {
                self.log("rules", "info", format!("rules with digest {digest:016x} are in force"));
                self.config = config.clone();
                self.worker.push(Job::Activate(config));
            }
            None => self.log(
                "rules",
                "error",
                format!("rules with digest {digest:016x} were activated, but are not known here"),
            ),
        }
    }

    fn send(&mut self, body: Body, sequence: u64) {
        let host = HostId::new(self.host.priority).expect("it was checked at the start");
        let beat = matches!(body, Body::Heartbeat(_));
        let message = Message { host, incarnation: self.incarnation, sequence, body };
        let (source, destination) = self.addresses();
        let host_ip = self.host_ip();
        match self.codec.encode(&message, source, destination, host_ip) {
            Ok(frame) => self.send_frame(&frame),
            Err(error) => self.log("frame", "error", format!("a message cannot be sent: {error}")),
        }
        if beat && self.clock.now() >= self.membership_at {
            self.membership_at = self.clock.now() + MEMBERSHIP;
            let membership = self.cluster.membership(self.config.primary_ip, host_ip, 0);
            self.send_frame(&membership.encode(source, destination));
        }
    }

    fn send_frame(&mut self, frame: &[u8]) {
        match self.lent.send_frame(self.host.wire_port, frame) {
            Ok(true) => {}
            // Whether the host path is still there shows elsewhere.
            Ok(false) | Err(_) => self.tally.unsent += 1,
        }
    }

    /// Of heartbeats: the NIC masks the cluster's MAC, so that no switch learns it.
    fn addresses(&self) -> ([u8; 6], [u8; 6]) {
        let (station, cluster) = (self.host.station_mac.0, self.config.cluster_mac().0);
        match self.config.mode {
            ClusterMode::Unicast if self.config.mask_source => (cluster, [0xff; 6]),
            ClusterMode::Unicast => (station, [0xff; 6]),
            ClusterMode::Multicast | ClusterMode::Igmp => (station, cluster),
        }
    }

    fn host_ip(&self) -> Ipv4Addr {
        let four = |addr: &IpAddr| if let IpAddr::V4(addr) = addr { Some(*addr) } else { None };
        self.host.dedicated.iter().find_map(four).unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// What changes slowly.
    fn look_around(&mut self, look: Look) -> Result<()> {
        if look.gone {
            bail!("the NIC does not answer any more: its registers read ones");
        }
        self.clock.read_again(look.bounds);
        // It may have been renewed too late, or armed since this was read.
        if look.lease_expired && self.cluster.status().lease.is_some() && self.armed_at.elapsed() > LEASE_DOUBT {
            self.step(Event::LeaseLost);
        }
        // Not before the others have what it gave up.
        if self.drainstop && look.used == 0 && self.cluster.status().phase == Phase::Stable {
            self.log("drained", "info", "the last connection has ended: leaves".into());
            self.command(Command::Stop);
        }
        let created = look.created;
        let before = *self.sessions_before.get_or_insert(created);
        // The NIC counts sessions of all rules together.
        let sessions = u32::try_from(created.saturating_sub(before)).unwrap_or(u32::MAX);
        let rules = self.cluster.status().maps.maps.len();
        self.step(Event::Connections(vec![sessions; rules]));
        let mut on_slow = std::mem::replace(&mut self.on_slow, Box::new(|_| {}));
        on_slow(self);
        self.on_slow = on_slow;
        Ok(())
    }

    // ---- configuration ----------------------------------------------------------------------------------------------------

    /// Stages the rules of another configuration, which becomes active when all members have it and one of them says so.
    pub fn stage(&mut self, config: Arc<Config>) -> Result<(), String> {
        let rules = Arc::new(config.rule_set()?);
        if !config.hosts.iter().any(|host| host.priority == self.host.priority) {
            return Err("the new configuration has no host with this priority".into());
        }
        self.staged = Some(config);
        self.step(Event::Command(Command::Stage(rules)));
        Ok(())
    }

    /// Another configuration with the same rules.
    pub fn replace_config(&mut self, config: Arc<Config>, auth: Auth) {
        if let Some(host) = config.hosts.iter().find(|host| host.priority == self.host.priority) {
            self.host = host.clone();
        }
        self.codec.set_auth(auth);
        self.config = config;
    }

    // ---- for people and programs ------------------------------------------------------------------------------------------

    /// Adds an event.
    pub fn log(&self, kind: &str, severity: &str, text: String) {
        let epoch = self.cluster.status().committed.map_or(0, |committed| committed.epoch);
        self.events.add(&self.host.name, epoch, kind, severity, text);
    }

    /// The state machine.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The configuration whose rules are in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// That which waits for activation.
    pub fn staged(&self) -> Option<&Arc<Config>> {
        self.staged.as_ref()
    }

    /// This host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// NIC time.
    pub fn now(&mut self) -> Time {
        self.clock.now()
    }

    /// Whether the wire port has a link, as far as is known.
    pub fn has_link(&self) -> bool {
        self.link
    }

    /// When the daemon started, NIC time.
    pub fn started(&self) -> Time {
        self.started
    }

    /// Since when maps are being agreed on.
    pub fn converging_since(&self) -> Option<Time> {
        self.converging_since
    }

    /// Percent of the weights, and rules that drain or are disabled here.
    pub fn own_state(&self) -> (u16, u128, u128) {
        (self.capacity, self.draining, self.disabled)
    }

    /// Hosts that more than one machine says to be, with the addresses of these. A machine that starts anew is another start, and the one before is not heard any more.
    pub fn duplicates(&self, now: Time) -> Vec<(HostId, Vec<Ipv4Addr>)> {
        let live = |start: &&Start| now.saturating_sub(start.heard) < HEARD && start.frames > 3;
        let of = |(host, starts): (&HostId, &VecDeque<Start>)| {
            let mut addrs: Vec<Ipv4Addr> = starts.iter().filter(live).map(|start| start.addr).collect();
            if host.get() == self.host.priority {
                addrs.extend((!addrs.is_empty()).then(|| self.host_ip()));
            }
            addrs.sort();
            addrs.dedup();
            (addrs.len() > 1).then_some((*host, addrs))
        };
        self.starts.iter().filter_map(of).collect()
    }

    /// Name of a host.
    pub fn name(&self, host: HostId) -> String {
        host_name(&self.config, host)
    }
}
