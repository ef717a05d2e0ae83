// SPDX-License-Identifier: Apache-2.0
//! A tiny network of members with simulated time: links that lose, delay and break, NICs that commit late and withdraw by themselves, processes that
//! pause. It judges the invariant of all tests: no two members that have heard each other for a while claim the same bucket.

use hashgate_cluster::Cluster;
use hashgate_cluster::api::{
    Action, Adopted, Command, Event, Log, Quorum, Rule, RuleSet, Settings, Sharing, Status, Time,
};
use hashgate_cluster::maps::MapSet;
use hashgate_cluster::message::{HostId, Message, Phase};
use hashgate_tables::BUCKETS;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub const MS: Time = 1_000_000;
pub const PERIOD: Time = 80 * MS;
/// D of all tests.
pub const SILENCE: Time = 400 * MS;
/// Two that have heard each other for so long must not claim the same.
const ACQUAINTED: Time = 2 * SILENCE;

pub fn host(id: usize) -> HostId {
    HostId::new(u8::try_from(id).unwrap()).unwrap()
}

pub fn seed() -> u64 {
    let seed = std::env::var("HASHGATE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed} (HASHGATE_SEED={seed} repeats this run)");
    seed
}

/// One rule, equal weights for all of five hosts.
pub fn rules(digest: u64) -> Arc<RuleSet> {
    let weights = (1..=5).map(|id| (host(id), 100)).collect();
    Arc::new(RuleSet { digest, rules: vec![Rule { key: 7, sharing: Sharing::Multiple(weights) }] })
}

/// What the network is like.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Of a thousand messages, for each receiver.
    pub loss: u32,
    /// Longest time on the way.
    pub latency: Time,
    /// Longest time of a commit.
    pub commit: Time,
}

pub const GOOD: Conditions = Conditions { loss: 0, latency: MS / 5, commit: 5 * MS };

/// What a NIC does for its member.
#[derive(Default)]
pub struct Nic {
    pub maps: Arc<MapSet>,
    /// HANDOVER by map.
    pub flags: Vec<Vec<u8>>,
    /// Takes traffic until this time, if not for ever withdrawn.
    pub lease: Option<Time>,
}

impl Nic {
    pub fn claims(&self, now: Time) -> bool {
        self.lease.is_some_and(|end| now < end)
    }
}

pub struct Node {
    pub host: HostId,
    pub cluster: Option<Cluster>,
    pub nic: Nic,
    pub log: Vec<(Time, Log)>,
    pub settings: Settings,
    /// Bits that its NIC says are held in buckets of others, for each map.
    pub held: Vec<Vec<u8>>,
    paused_until: Time,
    /// The driver is busy until then; what it was given before a withdrawal is not armed any more.
    busy: Time,
    withdrawals: u64,
    /// What waits for the end of a pause.
    waiting: VecDeque<Event>,
    tick: Time,
    heard_since: BTreeMap<HostId, Time>,
}

enum Happening {
    Deliver(usize, Event),
    Do(usize, u64, u64, Action),
    Tick(usize),
    Wake(usize),
    Look,
}

pub struct Net {
    pub now: Time,
    pub nodes: Vec<Node>,
    pub conditions: Conditions,
    /// (from, to) that nothing passes.
    pub cut: Vec<(usize, usize)>,
    pub rng: ChaCha8Rng,
    pub sent: u64,
    /// Every message is kept for replays.
    pub record: Option<Vec<Message>>,
    queue: BTreeMap<(Time, u64), Happening>,
    number: u64,
    starts: u64,
    pub doubles: Vec<String>,
    /// Also two that do not hear each other must not claim the same.
    pub strict: bool,
}

impl Net {
    /// So many members, none started.
    pub fn new(members: usize, conditions: Conditions, seed: u64) -> Net {
        let node = |id: usize| Node {
            host: host(id),
            cluster: None,
            nic: Nic::default(),
            log: Vec::new(),
            settings: Settings {
                host: host(id),
                incarnation: 0,
                period: PERIOD,
                tolerance: 5,
                lease: 360 * MS,
                quorum: None,
                rules: rules(1),
            },
            held: Vec::new(),
            paused_until: 0,
            busy: 0,
            withdrawals: 0,
            waiting: VecDeque::new(),
            tick: 0,
            heard_since: BTreeMap::new(),
        };
        let mut net = Net {
            now: 1_000 * MS,
            nodes: (1..=members).map(node).collect(),
            conditions,
            cut: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            sent: 0,
            record: None,
            queue: BTreeMap::new(),
            number: 0,
            starts: 0,
            doubles: Vec::new(),
            strict: false,
        };
        net.at(net.now, Happening::Look);
        net
    }

    /// All of them started at once, and everything settled.
    pub fn settled(members: usize, conditions: Conditions, seed: u64) -> Net {
        let mut net = Net::new(members, conditions, seed);
        (1..=members).for_each(|id| net.start(id));
        net.run(3_000 * MS);
        net.assert_stable(&(1..=members).collect::<Vec<_>>());
        net
    }

    fn at(&mut self, time: Time, what: Happening) {
        self.number += 1;
        self.queue.insert((time, self.number), what);
    }

    pub fn quorum(mut self, quorum: Quorum) -> Net {
        self.nodes.iter_mut().for_each(|node| node.settings.quorum = Some(quorum));
        self
    }

    /// A process starts; the NIC is as it was left.
    pub fn start(&mut self, id: usize) {
        self.start_with(id, None);
    }

    pub fn start_with(&mut self, id: usize, adopted: Option<Adopted>) {
        self.starts += 1;
        let incarnation = self.starts << 32 | self.rng.random::<u32>() as u64;
        let (now, node) = (self.now, &mut self.nodes[id - 1]);
        node.settings.incarnation = incarnation;
        node.settings.check().expect("settings of tests are good");
        let (cluster, actions) = Cluster::new(node.settings.clone(), now, adopted);
        (node.cluster, node.paused_until, node.busy) = (Some(cluster), 0, now);
        node.heard_since.clear();
        node.withdrawals += 1;
        self.carry_out(id - 1, actions);
        self.arrange_tick(id - 1);
    }

    /// The process dies; the NIC goes on until its lease ends.
    pub fn kill(&mut self, id: usize) {
        let node = &mut self.nodes[id - 1];
        node.cluster = None;
        node.waiting.clear();
    }

    /// The host dies, and its NIC with it.
    pub fn crash(&mut self, id: usize) {
        self.kill(id);
        self.nodes[id - 1].nic = Nic::default();
        self.nodes[id - 1].withdrawals += 1;
    }

    /// The process stands still; its NIC does not.
    pub fn pause(&mut self, id: usize, time: Time) {
        let until = self.now + time;
        self.nodes[id - 1].paused_until = until;
        self.at(until, Happening::Wake(id - 1));
    }

    /// Nothing passes from one to the other.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.push((from - 1, to - 1));
    }

    pub fn cut_both(&mut self, a: usize, b: usize) {
        self.cut(a, b);
        self.cut(b, a);
    }

    pub fn part(&mut self, one: &[usize], other: &[usize]) {
        for a in one {
            other.iter().for_each(|b| self.cut_both(*a, *b));
        }
    }

    /// The cable of one is pulled, which it notices after a while.
    pub fn unplug(&mut self, id: usize, noticed: Time) {
        let others: Vec<usize> = (1..=self.nodes.len()).filter(|other| *other != id).collect();
        self.part(&[id], &others);
        self.at(self.now + noticed, Happening::Deliver(id - 1, Event::Link(false)));
    }

    /// All are plugged in again, which one notices after a while.
    pub fn plug(&mut self, id: usize, noticed: Time) {
        self.heal();
        self.at(self.now + noticed, Happening::Deliver(id - 1, Event::Link(true)));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn command(&mut self, id: usize, command: Command) {
        self.event(id - 1, Event::Command(command));
    }

    /// The NIC withdraws by itself before the member thinks so: a renewal came too late.
    pub fn lose_lease(&mut self, id: usize) {
        self.nodes[id - 1].nic.lease = None;
        self.event(id - 1, Event::LeaseLost);
    }

    /// Something happens at a member now, or when its pause ends.
    pub fn event(&mut self, n: usize, event: Event) {
        let now = self.now;
        let node = &mut self.nodes[n];
        if node.paused_until > now {
            node.waiting.push_back(event);
            return;
        }
        let Some(cluster) = &mut node.cluster else { return };
        let actions = cluster.step(now, event);
        assert!(cluster.deadline() > now, "a deadline that has passed never ends");
        let heard: Vec<HostId> = cluster.status().heard.iter().collect();
        node.heard_since.retain(|host, _| heard.contains(host));
        for host in heard {
            node.heard_since.entry(host).or_insert(now);
        }
        self.carry_out(n, actions);
        self.arrange_tick(n);
    }

    fn arrange_tick(&mut self, n: usize) {
        let Some(cluster) = &self.nodes[n].cluster else { return };
        let deadline = cluster.deadline();
        if self.nodes[n].tick != deadline {
            self.nodes[n].tick = deadline;
            self.at(deadline, Happening::Tick(n));
        }
    }

    fn carry_out(&mut self, n: usize, actions: Vec<Action>) {
        for action in actions {
            let incarnation = self.nodes[n].settings.incarnation;
            match action {
                Action::Withdraw => {
                    self.nodes[n].nic.lease = None;
                    self.nodes[n].withdrawals += 1;
                }
                Action::Log(log) => self.nodes[n].log.push((self.now, log)),
                action => {
                    let busy = self.nodes[n].busy.max(self.now);
                    let takes = match action {
                        Action::Commit(_) => self.rng.random_range(50_000..=self.conditions.commit.max(50_000)),
                        _ => 1_000,
                    };
                    self.nodes[n].busy = busy + takes;
                    let withdrawals = self.nodes[n].withdrawals;
                    self.at(busy + takes, Happening::Do(n, incarnation, withdrawals, action));
                }
            }
        }
    }

    fn do_it(&mut self, n: usize, withdrawals: u64, action: Action) {
        let now = self.now;
        match action {
            Action::Send(body, sequence) => {
                let node = &self.nodes[n];
                let message = Message { host: node.host, incarnation: node.settings.incarnation, sequence, body };
                self.sent += 1;
                self.broadcast(n, &message);
                if let Some(record) = &mut self.record {
                    record.push(message);
                }
            }
            Action::Commit(commit) => {
                let nic = &mut self.nodes[n].nic;
                if commit.digest != 0 {
                    assert_eq!(commit.digest, commit.maps.digest());
                }
                (nic.maps, nic.flags) = (commit.maps, commit.handover);
                self.look();
                self.event(n, Event::Committed(commit.number));
            }
            Action::ArmLease(end) if withdrawals == self.nodes[n].withdrawals => {
                self.nodes[n].nic.lease = Some(end).filter(|end| *end > now);
                self.look();
            }
            // Only a running one.
            Action::RenewLease(end) if withdrawals == self.nodes[n].withdrawals && self.nodes[n].nic.claims(now) => {
                self.nodes[n].nic.lease = Some(end);
            }
            Action::HandBindings(number) => self.event(n, Event::BindingsHanded(number)),
            Action::CountHoldings(proposal) => {
                let maps = self.nodes[n].nic.maps.maps.len();
                let mut rules = self.nodes[n].held.clone();
                rules.resize(maps, Vec::new());
                self.event(n, Event::Holdings { proposal, rules });
            }
            Action::Handover(flags) => {
                for (map, flags) in flags {
                    self.nodes[n].nic.flags[usize::from(map)] = flags;
                }
            }
            _ => {}
        }
    }

    fn broadcast(&mut self, from: usize, message: &Message) {
        for to in 0..self.nodes.len() {
            let lost = self.rng.random_range(0..1000) < self.conditions.loss;
            let latency = self.rng.random_range(10_000..=self.conditions.latency);
            if to != from && !lost && !self.cut.contains(&(from, to)) {
                self.at(self.now + latency, Happening::Deliver(to, Event::Message(message.clone())));
            }
        }
    }

    /// Somebody on the network says something again.
    pub fn inject(&mut self, to: usize, message: Message) {
        self.event(to - 1, Event::Message(message));
    }

    /// Time passes.
    pub fn run(&mut self, time: Time) {
        let end = self.now + time;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((now, _), what) = entry.remove_entry();
            self.now = now;
            match what {
                Happening::Deliver(n, event) => self.event(n, event),
                Happening::Do(n, incarnation, withdrawals, action) => {
                    // What a dead process was about to do is not done.
                    if self.nodes[n].cluster.is_some() && self.nodes[n].settings.incarnation == incarnation {
                        self.do_it(n, withdrawals, action);
                    }
                }
                Happening::Tick(n) if self.nodes[n].tick == now => self.event(n, Event::Tick),
                Happening::Tick(_) => {}
                Happening::Wake(n) => {
                    if self.nodes[n].paused_until == now {
                        let waiting = std::mem::take(&mut self.nodes[n].waiting);
                        // Timers first: what was missed comes after.
                        self.event(n, Event::Tick);
                        waiting.into_iter().for_each(|event| self.event(n, event));
                    }
                }
                Happening::Look => {
                    self.look();
                    self.at(now + PERIOD / 4, Happening::Look);
                }
            }
        }
        self.now = end;
    }

    /// Runs until it holds, at most so long.
    pub fn run_until(&mut self, most: Time, holds: impl Fn(&Net) -> bool) -> bool {
        let end = self.now + most;
        while self.now < end {
            if holds(self) {
                return true;
            }
            self.run(MS);
        }
        holds(self)
    }

    fn acquainted(&self, a: usize, b: usize) -> bool {
        let hears = |a: usize, b: usize| {
            let since = self.nodes[a].heard_since.get(&self.nodes[b].host);
            self.nodes[a].cluster.is_some() && since.is_some_and(|since| self.now >= since + ACQUAINTED)
        };
        hears(a, b) && hears(b, a)
    }

    /// Notes buckets that two claim.
    fn look(&mut self) {
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                let (one, other) = (&self.nodes[a], &self.nodes[b]);
                if !one.nic.claims(self.now) || !other.nic.claims(self.now) {
                    continue;
                }
                if !self.strict && !self.acquainted(a, b) {
                    continue;
                }
                let both = common(&one.nic.maps, one.host, &other.nic.maps, other.host);
                if both > 0 {
                    let ms = self.now / MS;
                    self.doubles
                        .push(format!("{ms} ms: {:?} and {:?} both claim {both} buckets", one.host, other.host));
                }
            }
        }
    }

    pub fn status(&self, id: usize) -> Status {
        self.nodes[id - 1].cluster.as_ref().expect("it runs").status()
    }

    pub fn phase(&self, id: usize) -> Option<Phase> {
        self.nodes[id - 1].cluster.as_ref().map(|cluster| cluster.status().phase)
    }

    /// Buckets of a map that a member's NIC claims.
    pub fn claimed(&self, id: usize, map: usize) -> usize {
        let node = &self.nodes[id - 1];
        if !node.nic.claims(self.now) {
            return 0;
        }
        node.nic.maps.maps.get(map).map_or(0, |(_, map)| map.count(u16::from(node.host.get())))
    }

    /// All of these are stable on one view, and claim every bucket once.
    pub fn is_stable(&self, ids: &[usize]) -> bool {
        let view = ids.iter().map(|id| host(*id)).collect();
        let alike = ids.iter().all(|id| {
            self.phase(*id) == Some(Phase::Stable)
                && self.status(*id).view == view
                && self.status(*id).committed == self.status(ids[0]).committed
        });
        alike && (0..2).all(|map| ids.iter().map(|id| self.claimed(*id, map)).sum::<usize>() == BUCKETS)
    }

    pub fn assert_stable(&self, ids: &[usize]) {
        assert!(self.is_stable(ids), "not stable:\n{}", self.tell());
        self.assert_single();
    }

    pub fn assert_single(&self) {
        assert!(self.doubles.is_empty(), "{} times, first {}\n{}", self.doubles.len(), self.doubles[0], self.tell());
    }

    /// For people.
    pub fn tell(&self) -> String {
        let mut text = format!("at {} ms\n", self.now / MS);
        for node in &self.nodes {
            let claims = self.claimed(usize::from(node.host.get()), 0);
            text += &format!("{:?} claims {claims} until {:?}: ", node.host, node.nic.lease.map(|end| end / MS));
            match &node.cluster {
                None => text += "down\n",
                Some(cluster) => {
                    let status = cluster.status();
                    text += &format!(
                        "{:?} excluded {:?} view {:b} heard {:b} committed {:?} proposal {:?}\n",
                        status.phase,
                        status.excluded,
                        status.view.0,
                        status.heard.0,
                        status.committed.map(|it| (it.epoch, it.view_size, it.lowest)),
                        status.proposal
                    );
                }
            }
            for (at, log) in node.log.iter().rev().take(8).rev() {
                text += &format!("    {} ms {log:?}\n", at / MS);
            }
        }
        text
    }
}

/// Buckets that both maps give to different owners who are these two.
fn common(a: &MapSet, host_a: HostId, b: &MapSet, host_b: HostId) -> usize {
    let (target_a, target_b) = (u16::from(host_a.get()), u16::from(host_b.get()));
    let of_map = |(key, map): &(u64, Arc<hashgate_cluster::map::BucketMap>)| {
        let Some((_, other)) = b.maps.iter().find(|(other, _)| other == key) else { return 0 };
        map.owners().iter().zip(other.owners()).filter(|(x, y)| **x == target_a && **y == target_b).count()
    };
    a.maps.iter().map(of_map).sum()
}
