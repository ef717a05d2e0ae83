// SPDX-License-Identifier: Apache-2.0
//! A few members on a simulated network: convergence, crashes, joins, drains.

use hashgate_cluster::Cluster;
use hashgate_cluster::api::{Action, Command, Event, Log, Rule, RuleSet, Settings, Sharing, Time};
use hashgate_cluster::maps::MapSet;
use hashgate_cluster::message::{HostId, Message, Phase};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

const MS: Time = 1_000_000;
const PERIOD: Time = 80 * MS;
/// Time on the way.
const DELAY: Time = MS;
/// Time that the NIC takes to commit.
const COMMIT: Time = 2 * MS;

fn host(id: u8) -> HostId {
    HostId::new(id).unwrap()
}

fn rules(hosts: u8) -> Arc<RuleSet> {
    let weights = (1..=hosts).map(|id| (host(id), 100)).collect();
    let single = (1..=hosts).map(|id| (host(id), 33 - id)).collect();
    Arc::new(RuleSet {
        digest: 7,
        rules: vec![
            Rule { key: 11, sharing: Sharing::Multiple(weights) },
            Rule { key: 12, sharing: Sharing::Single(single) },
            Rule { key: 13, sharing: Sharing::Disabled },
        ],
    })
}

struct Node {
    cluster: Cluster,
    incarnation: u64,
    maps: Arc<MapSet>,
    lease: Time,
    log: Vec<(Time, Log)>,
}

/// Everything that is to happen.
struct Net {
    rng: ChaCha8Rng,
    loss: u32,
    now: Time,
    nodes: BTreeMap<HostId, Node>,
    queue: BTreeMap<(Time, u64), (HostId, Event)>,
    numbers: u64,
    rules: Arc<RuleSet>,
    cut: Vec<(HostId, HostId)>,
    events: u64,
}

impl Net {
    fn new(seed: u64, hosts: u8) -> Net {
        println!("seed {seed}");
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (nodes, queue) = (BTreeMap::new(), BTreeMap::new());
        Net { rng, loss: 0, now: 1_000 * MS, nodes, queue, numbers: 0, rules: rules(hosts), cut: Vec::new(), events: 0 }
    }

    fn start(&mut self, id: u8) {
        let incarnation = self.rng.random();
        let settings = Settings {
            host: host(id),
            incarnation,
            period: PERIOD,
            tolerance: 5,
            lease: PERIOD * 9 / 2,
            quorum: None,
            rules: self.rules.clone(),
        };
        settings.check().unwrap();
        let (cluster, actions) = Cluster::new(settings, self.now, None);
        self.nodes.insert(host(id), Node { cluster, incarnation, maps: Arc::default(), lease: 0, log: Vec::new() });
        self.carry_out(host(id), actions);
    }

    fn crash(&mut self, id: u8) {
        self.nodes.remove(&host(id));
    }

    fn put(&mut self, after: Time, to: HostId, event: Event) {
        self.numbers += 1;
        self.queue.insert((self.now + after, self.numbers), (to, event));
    }

    fn carry_out(&mut self, from: HostId, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(body, sequence) => {
                    let incarnation = self.nodes[&from].incarnation;
                    for to in self.nodes.keys().copied().collect::<Vec<_>>() {
                        let lost = self.rng.random_range(0..1000) < self.loss || self.cut.contains(&(from, to));
                        if to != from && !lost {
                            let delay = DELAY + self.rng.random_range(0..DELAY);
                            let message = Message { host: from, incarnation, sequence, body: body.clone() };
                            self.put(delay, to, Event::Message(message));
                        }
                    }
                }
                Action::Commit(commit) => {
                    self.nodes.get_mut(&from).unwrap().maps = commit.maps.clone();
                    self.put(COMMIT, from, Event::Committed(commit.number));
                }
                Action::HandBindings(proposal) => self.put(MS, from, Event::BindingsHanded(proposal)),
                Action::CountHoldings(proposal) => {
                    let rules = vec![Vec::new(); self.rules.rules.len() + 1];
                    self.put(MS, from, Event::Holdings { proposal, rules });
                }
                Action::ArmLease(end) | Action::RenewLease(end) => self.nodes.get_mut(&from).unwrap().lease = end,
                Action::Withdraw => self.nodes.get_mut(&from).unwrap().lease = 0,
                Action::Log(log) => {
                    let now = self.now;
                    self.nodes.get_mut(&from).unwrap().log.push((now, log));
                }
                Action::Handover(_) | Action::DisableRules(_) | Action::ActivateRules(_) => {}
            }
        }
        self.no_two_claim();
    }

    fn step(&mut self, to: HostId, event: Event) {
        self.events += 1;
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(&to) {
            let actions = node.cluster.step(now, event);
            self.carry_out(to, actions);
        }
    }

    fn run(&mut self, time: Time) {
        let end = self.now + time;
        loop {
            let timer = self.nodes.iter().map(|(host, node)| (node.cluster.deadline(), *host)).min();
            let queued = self.queue.keys().next().copied();
            let next = timer.map(|(at, _)| at).into_iter().chain(queued.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if let Some(key) = queued.filter(|(at, _)| *at <= next) {
                let (to, event) = self.queue.remove(&key).unwrap();
                self.step(to, event);
            } else if let Some((_, host)) = timer {
                self.step(host, Event::Tick);
            }
        }
        self.now = end;
    }

    /// Buckets of every map that each live member with a lease claims.
    fn claims(&self) -> BTreeMap<(u64, usize), Vec<HostId>> {
        let mut claims: BTreeMap<(u64, usize), Vec<HostId>> = BTreeMap::new();
        for (host, node) in self.nodes.iter().filter(|(_, node)| self.now < node.lease) {
            for (key, map) in &node.maps.maps {
                for (bucket, owner) in map.owners().iter().enumerate() {
                    if *owner == u16::from(host.get()) {
                        claims.entry((*key, bucket)).or_default().push(*host);
                    }
                }
            }
        }
        claims
    }

    fn no_two_claim(&self) {
        if self.events.is_multiple_of(7) {
            for ((key, bucket), hosts) in self.claims() {
                assert!(hosts.len() < 2, "{} ms: bucket {bucket} of {key} is claimed by {hosts:?}", self.now / MS);
            }
        }
    }

    /// Every bucket but those of the disabled rule has exactly one owner, and all are stable.
    fn all_stable(&self, hosts: &[u8]) {
        for id in hosts {
            let status = self.nodes[&host(*id)].cluster.status();
            assert_eq!((status.phase, status.view.len()), (Phase::Stable, hosts.len()), "host {id}: {status:?}");
        }
        let claims = self.claims();
        assert_eq!(claims.len(), 3 * 4096);
        assert!(claims.values().all(|owners| owners.len() == 1));
    }
}

#[test]
fn one_host_alone() {
    let mut net = Net::new(1, 3);
    net.start(2);
    net.run(350 * MS);
    assert!(net.claims().is_empty(), "it has not listened yet");
    net.run(400 * MS);
    net.all_stable(&[2]);
}

#[test]
fn three_start_together_one_crashes_and_comes_back() {
    let mut net = Net::new(2, 3);
    (1..=3).for_each(|id| net.start(id));
    net.run(1000 * MS);
    net.all_stable(&[1, 2, 3]);
    let before = net.claims();
    net.crash(3);
    net.run(1000 * MS);
    net.all_stable(&[1, 2]);
    let after = net.claims();
    let kept = before
        .iter()
        .filter(|((key, _), owners)| *key == 11 && owners[0] != host(3))
        .all(|(at, owners)| after[at] == *owners);
    assert!(kept, "a survivor lost a bucket");
    net.run(200 * MS);
    net.start(3);
    net.run(1500 * MS);
    net.all_stable(&[1, 2, 3]);
}

#[test]
fn a_host_drains_and_stops() {
    let mut net = Net::new(3, 3);
    (1..=3).for_each(|id| net.start(id));
    net.run(1000 * MS);
    net.step(host(1), Event::Command(Command::Drain));
    net.run(600 * MS);
    assert!(net.claims().values().all(|owners| owners[0] != host(1)), "it drains");
    assert_eq!(net.claims().len(), 3 * 4096);
    net.step(host(1), Event::Command(Command::Stop));
    net.run(600 * MS);
    assert_eq!(net.nodes[&host(2)].cluster.status().view.len(), 2);
    assert_eq!(net.claims().len(), 3 * 4096);
    net.step(host(1), Event::Command(Command::Undrain));
    net.step(host(1), Event::Command(Command::Start));
    net.run(1500 * MS);
    net.all_stable(&[1, 2, 3]);
}

#[test]
fn loss_and_chains_of_changes() {
    for seed in 10..18 {
        let mut net = Net::new(seed, 5);
        net.loss = 50;
        (1..=4).for_each(|id| net.start(id));
        net.run(3000 * MS);
        net.all_stable(&[1, 2, 3, 4]);
        net.crash(2);
        net.run(net.rng.clone().random_range(0..700) * MS);
        net.start(5);
        net.run(net.rng.clone().random_range(0..700) * MS);
        net.crash(1);
        net.run(6000 * MS);
        net.loss = 0;
        net.run(1000 * MS);
        net.all_stable(&[3, 4, 5]);
    }
}

#[test]
fn a_one_way_link_leaves_one_out() {
    let mut net = Net::new(4, 3);
    (1..=3).for_each(|id| net.start(id));
    net.run(1000 * MS);
    // Nobody hears 2 any more; it hears them.
    net.cut = vec![(host(2), host(1)), (host(2), host(3))];
    net.run(2500 * MS);
    assert_eq!(net.nodes[&host(1)].cluster.status().view.len(), 2);
    assert!(net.claims().values().all(|owners| owners[0] != host(2)));
    assert_eq!(net.claims().len(), 3 * 4096);
    net.cut.clear();
    net.run(3000 * MS);
    net.all_stable(&[1, 2, 3]);
}
