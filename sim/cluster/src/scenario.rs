// SPDX-License-Identifier: Apache-2.0
//! Scenarios: a cluster, its network, and what happens to it. One number makes one.

use crate::world::SECOND;
use hashgate_cluster::api::{Quorum, Rule, RuleSet, Sharing, Time};
use hashgate_cluster::message::HostId;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

const MS: Time = 1_000_000;

/// In every so many-th scenario members are upgraded.
pub const UPGRADES: u64 = 16;
/// Seeds of a class.
pub const CLASS: u64 = 1 << 20;

/// What a scenario has beside the events of all: by its seed, [`CLASS`] of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Seeds from 0 on: nothing.
    First,
    /// From [`CLASS`] on: loss changes.
    Losses,
    /// From 2 [`CLASS`] on: members are suspended.
    Suspensions,
    /// From 3 [`CLASS`] on: joins and failures in quick succession.
    Chains,
    /// From 4 [`CLASS`] on: cables are pulled.
    Cables,
}

impl Class {
    /// All of them, in the order of seeds.
    pub const ALL: [Class; 5] = [Class::First, Class::Losses, Class::Suspensions, Class::Chains, Class::Cables];

    /// That of a seed; above all classes they are repeated.
    pub fn of(seed: u64) -> Class {
        Class::ALL[(seed / CLASS % Class::ALL.len() as u64) as usize]
    }

    /// Its first seed but one: a number that ends like 1.
    pub fn first(self) -> u64 {
        self as u64 * CLASS + 1
    }
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The process ends; the NIC goes on until its lease ends.
    Crash(u8),
    /// Power off: process and NIC.
    PowerOff(u8),
    /// The process starts, if it does not run: with a fresh NIC, or with what the NIC has.
    Start {
        /// Who.
        host: u8,
        /// With what the NIC has.
        adopt: bool,
    },
    /// The process stands still; `whole`: so does the host, and what comes in is lost. The NIC goes on.
    Pause {
        /// Who.
        host: u8,
        /// How long, ns.
        length: Time,
        /// The whole host.
        whole: bool,
    },
    /// Nothing gets from one to the other.
    Block {
        /// Sender.
        from: u8,
        /// Receiver.
        to: u8,
        /// How long, ns.
        length: Time,
    },
    /// Hosts in the set (a bit each, host 1 the lowest) and the others do not hear each other.
    Partition {
        /// One side.
        side: u32,
        /// How long, ns.
        length: Time,
    },
    /// Its cable is out: it and the others do not hear each other, and its NIC says so.
    Unplug {
        /// Who.
        host: u8,
        /// How long, ns.
        length: Time,
    },
    /// Loss of all links, in permille, from now on.
    Loss(u16),
    /// A planned restart: announced, then the process ends and starts with what the NIC has.
    PlannedRestart {
        /// Who.
        host: u8,
        /// How long it takes, ns.
        length: Time,
    },
    /// A planned restart as version n + 1, see [`crate::codec`]; its lease is shorter by default.
    Upgrade {
        /// Who.
        host: u8,
        /// How long it takes, ns.
        length: Time,
    },
    /// Leaves and stays away until that ends, whatever else is asked.
    Suspend(u8),
    /// Ends that; then as after [`Happening::Stop`].
    Unsuspend(u8),
    /// No new sessions.
    Drain(u8),
    /// Ends that.
    Undrain(u8),
    /// Leaves.
    Stop(u8),
    /// Takes part again.
    Resume(u8),
    /// Percent of its weights.
    Capacity(u8, u16),
    /// Staged at all hosts, then activated.
    Rules(Arc<RuleSet>),
    /// Old messages and messages of nobody, so many, to random members.
    Nonsense(u16),
}

impl Happening {
    /// Lasts so long at most.
    fn shorten(&mut self, most: Time) {
        if let Happening::Pause { length, .. }
        | Happening::Block { length, .. }
        | Happening::Partition { length, .. }
        | Happening::Unplug { length, .. }
        | Happening::PlannedRestart { length, .. } = self
        {
            *length = (*length).min(most);
        }
    }
}

/// A link's behaviour beside loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Lost, permille.
    pub loss: u16,
    /// Delivered twice, permille.
    pub duplicated: u16,
    /// Delayed by up to a period more, so that they are overtaken, permille.
    pub late: u16,
    /// Shortest way, ns.
    pub delay: Time,
    /// Up to so much more, ns.
    pub jitter: Time,
}

/// A cluster and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Makes everything random that is not listed here.
    pub seed: u64,
    /// Hosts, 2..=32; those of `absent` start later.
    pub members: u8,
    /// Hosts that do not run at the beginning, as bits.
    pub absent: u32,
    /// Period of heartbeats, ns.
    pub period: Time,
    /// Periods of silence.
    pub tolerance: u8,
    /// Quorum.
    pub quorum: Option<Quorum>,
    /// Rules at the beginning.
    pub rules: Arc<RuleSet>,
    /// The network.
    pub network: Network,
    /// Connections.
    pub flows: u32,
    /// Messages travel as frames ([`crate::codec`]).
    pub frames: bool,
    /// What happens, with the time, in its order.
    pub events: Vec<(Time, Happening)>,
}

impl Scenario {
    /// A cluster to which nothing happens: default profile, no loss, one rule with equal weights.
    pub fn quiet(seed: u64, members: u8) -> Scenario {
        Scenario {
            seed,
            members,
            absent: 0,
            period: 80 * MS,
            tolerance: 5,
            quorum: None,
            rules: rule_set(1, vec![Rule { key: 1, sharing: Sharing::Multiple(all(members, |_| 1)) }]),
            network: Network { loss: 0, duplicated: 0, late: 0, delay: 50_000, jitter: 100_000 },
            flows: 0,
            frames: false,
            events: Vec::new(),
        }
    }

    /// D: silence after which a peer is removed, ns.
    pub fn silence(&self) -> Time {
        self.period * Time::from(self.tolerance)
    }

    /// One of very many. Every twentieth seed is a cluster of 32; in every sixteenth members are upgraded; what seeds from [`CLASS`] on
    /// have besides is told by their class ([`Class`]).
    pub fn random(seed: u64) -> Scenario {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let members = match seed % 20 {
            0 => 32,
            1 => rng.random_range(9..=16),
            2..=4 => 2,
            5..=9 => 3,
            _ => rng.random_range(3..=8),
        };
        let quorum = (rng.random_range(0..6) == 0)
            .then(|| Quorum { expected_hosts: members, witness: (members.is_multiple_of(2)).then(|| host(1)) });
        let mut scenario = Scenario { quorum, flows: 500, ..Scenario::quiet(seed, members) };
        scenario.rules = random_rules(&mut rng, members, 1);
        scenario.network = random_network(&mut rng, scenario.period);
        scenario.absent =
            (2..=u32::from(members)).filter(|_| rng.random_range(0..8) == 0).fold(0, |s, h| s | 1 << (h - 1));

        // Several things at a time, in quick succession or slowly.
        let mut time = if rng.random_range(0..8) == 0 { 0 } else { 3 * SECOND };
        let pace = *[50 * MS, 300 * MS, 1500 * MS].choose(&mut rng).expect("not empty");
        let wanted = rng.random_range(1..=12);
        // A second of 32 members costs as much as a minute of three: most of those scenarios are brief.
        let brief = members == 32 && !seed.is_multiple_of(100);
        let (pace, wanted) = if brief { (pace.min(300 * MS), wanted.min(6)) } else { (pace, wanted) };
        let mut version = 1;
        while scenario.events.len() < wanted {
            time += rng.random_range(0..2 * pace);
            let mut happening = random_happening(&mut rng, &scenario, &mut version);
            if brief {
                happening.shorten(2 * SECOND);
            }
            scenario.events.push((time, happening));
        }
        for absent in 1..=members {
            if scenario.absent >> (absent - 1) & 1 == 1 && rng.random_range(0..4) > 0 {
                let at = rng.random_range(0..=time);
                scenario.events.push((at, Happening::Start { host: absent, adopt: false }));
            }
        }
        scenario.add_more(time);
        scenario.events.sort_by_key(|(time, _)| *time);
        scenario
    }

    /// What came later to scenarios, from random numbers of its own: what a seed had before stays as it is. `end`: time of the last event.
    fn add_more(&mut self, end: Time) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(4);
        let members = self.members;
        let begin = end.min(3 * SECOND);
        if self.seed % UPGRADES == UPGRADES - 1 {
            self.frames = true;
            // One after the other, in any order; some may be still away when the next begins.
            let mut order: Vec<u8> = (1..=members).collect();
            rand::seq::SliceRandom::shuffle(&mut order[..], &mut rng);
            let mut time = rng.random_range(begin..=end);
            for host in order {
                let length = rng.random_range(100 * MS..600 * MS);
                self.events.push((time, Happening::Upgrade { host, length }));
                time += rng.random_range(300 * MS..1500 * MS);
            }
        }
        match Class::of(self.seed) {
            Class::First => {}
            Class::Losses => {
                for _ in 0..rng.random_range(1..=4) {
                    let loss = *[0, 10, 50, 50, 100, 300, 500].choose(&mut rng).expect("not empty");
                    self.events.push((rng.random_range(begin..=end), Happening::Loss(loss)));
                }
                // As at first: else nothing would be judged up to 5 % loss after worse.
                self.events.push((end + SECOND, Happening::Loss(self.network.loss)));
            }
            Class::Suspensions => {
                for _ in 0..rng.random_range(1..=3) {
                    let host = rng.random_range(1..=members);
                    let mut time = rng.random_range(begin..=end);
                    self.events.push((time, Happening::Suspend(host)));
                    // Some are asked to take part meanwhile, and some never may again.
                    for next in [Happening::Resume(host), Happening::Unsuspend(host), Happening::Resume(host)] {
                        time += rng.random_range(0..SECOND);
                        if rng.random_range(0..4) > 0 {
                            self.events.push((time, next));
                        }
                    }
                }
            }
            Class::Cables => {
                for _ in 0..rng.random_range(1..=6) {
                    let host = rng.random_range(1..=members);
                    // Some flap: shorter than the others' patience.
                    let longest =
                        *[self.silence() / 2, 2 * self.silence(), 5 * SECOND].choose(&mut rng).expect("not empty");
                    let length = rng.random_range(0..longest);
                    self.events.push((rng.random_range(begin..=end), Happening::Unplug { host, length }));
                }
            }
            Class::Chains => {
                // Joins and failures while the ones before are not over.
                let mut time = rng.random_range(begin..=end);
                for _ in 0..rng.random_range(4..=16) {
                    time += rng.random_range(0..self.silence());
                    let host = rng.random_range(1..=members);
                    self.events.push((
                        time,
                        match rng.random_range(0..5) {
                            0 => Happening::Crash(host),
                            1 => Happening::PowerOff(host),
                            2 => Happening::Pause {
                                host,
                                length: rng.random_range(0..2 * self.silence()),
                                whole: rng.random(),
                            },
                            _ => Happening::Start { host, adopt: rng.random() },
                        },
                    ));
                }
                // Most are back in the end.
                for host in 1..=members {
                    time += rng.random_range(0..100 * MS);
                    if rng.random_range(0..4) > 0 {
                        self.events.push((time, Happening::Start { host, adopt: rng.random() }));
                    }
                }
            }
        }
    }

    /// End of the last thing that happens, ns.
    pub fn disturbed_until(&self) -> Time {
        let end = |(time, happening): &(Time, Happening)| {
            time + match happening {
                Happening::Pause { length, .. }
                | Happening::Block { length, .. }
                | Happening::Partition { length, .. }
                | Happening::Unplug { length, .. }
                | Happening::PlannedRestart { length, .. }
                | Happening::Upgrade { length, .. } => *length,
                _ => 0,
            }
        };
        self.events.iter().map(end).max().unwrap_or(0)
    }
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "seed {}: {} hosts (absent at first: {:#x}), {} flows, {:?}, quorum {:?}",
            self.seed, self.members, self.absent, self.flows, self.network, self.quorum
        )?;
        writeln!(f, "  {:?}", self.rules)?;
        for (number, (time, happening)) in self.events.iter().enumerate() {
            writeln!(f, "  {number}: {:.3} s {happening:?}", *time as f64 / 1e9)?;
        }
        Ok(())
    }
}

/// A host id of a scenario.
pub fn host(id: u8) -> HostId {
    HostId::new(id).expect("hosts of a scenario are 1..=32")
}

fn all<T>(members: u8, mut value: impl FnMut(u8) -> T) -> Vec<(HostId, T)> {
    (1..=members).map(|id| (host(id), value(id))).collect()
}

/// Rules with a digest of a version.
pub fn rule_set(version: u64, rules: Vec<Rule>) -> Arc<RuleSet> {
    Arc::new(RuleSet { digest: 0x1000 + version, rules })
}

fn random_rules(rng: &mut impl Rng, members: u8, version: u64) -> Arc<RuleSet> {
    let equal = rng.random();
    let weights = all(members, |_| if equal { 1 } else { rng.random_range(1..=32) });
    let mut rules = vec![Rule { key: 1, sharing: Sharing::Multiple(weights) }];
    if rng.random_range(0..3) == 0 {
        let mut order: Vec<u8> = (1..=members).collect();
        rand::seq::SliceRandom::shuffle(&mut order[..], rng);
        rules.push(Rule { key: 2, sharing: Sharing::Single(all(members, |id| order[usize::from(id) - 1])) });
    }
    if rng.random_range(0..3) == 0 {
        rules.push(Rule { key: 3, sharing: Sharing::Multiple(all(members, |_| rng.random_range(0..=3))) });
    }
    rule_set(version, rules)
}

fn random_network(rng: &mut impl Rng, period: Time) -> Network {
    let loss = *[0, 0, 0, 10, 20, 50, 50, 100, 200, 300].choose(rng).expect("not empty");
    let some = |rng: &mut _, of: u16| if Rng::random::<bool>(rng) { 0 } else { Rng::random_range(rng, 0..=of) };
    Network {
        loss,
        duplicated: some(rng, 100),
        late: some(rng, 50),
        delay: rng.random_range(20_000..=200_000),
        jitter: rng.random_range(0..=period / 16),
    }
}

fn random_happening(rng: &mut impl Rng, scenario: &Scenario, version: &mut u64) -> Happening {
    let members = scenario.members;
    let host = rng.random_range(1..=members);
    let silence = scenario.silence();
    let short = rng.random_range(0..2 * silence);
    let length = if rng.random_range(0..4) == 0 { rng.random_range(0..10 * SECOND) } else { short };
    match rng.random_range(0..22) {
        0..=2 => Happening::Crash(host),
        3 => Happening::PowerOff(host),
        4..=6 => Happening::Start { host: rng.random_range(1..=members), adopt: rng.random() },
        7..=9 => Happening::Pause { host, length, whole: rng.random() },
        10 | 11 => {
            let to = (1..=members).filter(|to| *to != host).choose(rng).expect("two hosts at least");
            Happening::Block { from: host, to, length }
        }
        12 | 13 => Happening::Partition { side: rng.random_range(1..(1u64 << members) - 1) as u32, length },
        14 => Happening::PlannedRestart { host, length: rng.random_range(0..2 * SECOND) },
        15 => Happening::Drain(host),
        16 => Happening::Undrain(host),
        17 => Happening::Stop(host),
        18 => Happening::Resume(host),
        19 => Happening::Capacity(host, *[0, 50, 100, 200].choose(rng).expect("not empty")),
        20 => {
            *version += 1;
            Happening::Rules(random_rules(rng, members, *version))
        }
        _ => Happening::Nonsense(rng.random_range(1..50)),
    }
}
