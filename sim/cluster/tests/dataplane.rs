// SPDX-License-Identifier: Apache-2.0
//! The simulator's NIC against the reference model: random maps, HANDOVER flags, leases, disabled rules and packets through both. Same
//! verdict, same reason, same bindings after each packet. `HASHGATE_SEED` repeats a run.

use hashgate_cluster::api::Commit;
use hashgate_cluster::map::BucketMap;
use hashgate_cluster::maps::{DEFAULT_KEY, MapSet};
use hashgate_cluster_sim::nic::{Binding, Kind, Nic, Packet, Reason, State, Timeouts, Verdict};
use hashgate_model::hash::Key;
use hashgate_model::{BindingKey, Clocks, Decision, Nic as Model, Table};
use hashgate_packets::builder::{ACK, FIN, Frame, Ip4, Payload, RST, SYN, Tcp, Udp, Upper};
use hashgate_regs::defs::{BindingState, Mode, Reason as Why, Track, Verdict as Decided, VipKind};
use hashgate_tables::{BUCKETS, BucketFlags, KeyMask, Limits, Mac, MatchSlot, NOBODY, Rule, Tables, Target, Vip};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const STATION: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 9]);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const ME: u16 = 1;
/// A tick of both of the model's clocks, ns.
const TICK: u64 = 1_000_000;
/// Bindings of the model in ticks; those of the simulator are the same in ns.
const TIMES: hashgate_tables::Timeouts =
    hashgate_tables::Timeouts { half_open: 40, reset: 15, established: 900, closing: 15, flow: 60, affinity: 1 };
/// Rules have the keys 1 and 2 and these ports; what is for another port is the default host's.
const PORTS: [u16; 3] = [80, 443, 9999];
const CONNECTIONS: u32 = 60;
const ROUNDS: usize = 60;
const STEPS: usize = 400;

fn seed() -> u64 {
    let seed = match std::env::var("HASHGATE_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("HASHGATE_SEED is \"{text}\": write a number, 0..2^64")),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64),
    };
    println!("HASHGATE_SEED={seed} repeats this test");
    seed
}

/// Both, told the same.
struct Pair {
    nic: Nic,
    model: Model,
    tables: Tables,
    /// Number of the rules before the default.
    rules: usize,
    now: u64,
    until: Option<u64>,
    handover: Vec<Vec<u8>>,
}

impl Pair {
    fn new(rules: usize) -> Pair {
        let mut tables = Tables::default();
        tables.settings.station_mac = STATION;
        tables.vips = vec![Vip { zone: 0, addr: VIP.into(), kind: VipKind::Vip, id: 3 }];
        let slot = |rule: usize| MatchSlot {
            vip: Some(3),
            tcp: true,
            udp: true,
            ports: (PORTS[rule], PORTS[rule]),
            fragment: false,
            rule: rule as u8,
        };
        tables.slots = (0..rules).map(|rule| Some(slot(rule))).collect();
        let rule = |map| Rule {
            mode: Mode::Multiple,
            draining: false,
            affinity: false,
            timeouts: TIMES,
            track: Track::Always,
            map,
            group: 0,
            bucket: KeyMask::ALL,
            binding: KeyMask::ALL,
        };
        let default = Limits::default().rules;
        tables.rules = (0..rules as u8).map(|number| (number, rule(number))).collect();
        tables.rules.insert(default, rule(rules as u8));
        tables.targets = (2..=4).map(|target| (target, Target::discard())).collect();
        tables.targets.insert(ME, Target::deliver(0));
        let mut model = Model::new(Limits { ports: 1, ..Limits::default() });
        model.set_settings(tables.settings.clone());
        model.state.enabled = true;
        model.state.lease_ok = false;
        model.commit(tables.clone());
        let timeouts = Timeouts {
            half_open: u64::from(TIMES.half_open) * TICK,
            established: u64::from(TIMES.established) * TICK,
            closing: u64::from(TIMES.closing) * TICK,
            flow: u64::from(TIMES.flow) * TICK,
        };
        let nic = Nic::new(ME, timeouts);
        Pair { nic, model, tables, rules, now: 1_000 * TICK, until: None, handover: vec![Vec::new(); rules + 1] }
    }

    /// Lets time pass for both.
    fn wait(&mut self, ticks: u64) {
        self.now += ticks * TICK;
        let tick = (self.now / TICK) as u16;
        self.model.set_clocks(Clocks { fast: tick, slow: tick });
        self.model.state.lease_ok = self.until.is_some_and(|until| self.now <= until);
    }

    /// New maps: mostly mine, somebody's or nobody's by bucket. HANDOVER flags at some.
    fn commit(&mut self, rng: &mut impl Rng) {
        let mut owners = || -> Vec<u16> {
            (0..BUCKETS)
                .map(|_| match rng.random_range(0..8) {
                    0 => NOBODY,
                    1..=3 => rng.random_range(2..=4),
                    _ => ME,
                })
                .collect()
        };
        let all: Vec<Vec<u16>> = (0..=self.rules).map(|_| owners()).collect();
        let keys = (1..=self.rules as u64).chain([DEFAULT_KEY]);
        let weights: BTreeMap<u16, u32> = (1..=4).map(|host| (host, 1)).collect();
        let map = |owners: &Vec<u16>| BucketMap::from_parts(owners.clone(), weights.clone()).expect("a sound map");
        let maps = keys.zip(&all).map(|(key, owners)| (key, Arc::new(map(owners)))).collect();
        self.random_flags(rng);
        self.nic.commit(&Commit {
            number: 1,
            epoch: 1,
            digest: 1,
            proposal: 1,
            maps: Arc::new(MapSet { maps }),
            handover: self.handover.clone(),
        });
        self.tables.maps = all.into_iter().enumerate().map(|(number, owners)| (number as u8, owners)).collect();
        self.model.commit(self.tables.clone());
        self.flag_model();
    }

    fn random_flags(&mut self, rng: &mut impl Rng) {
        for bits in &mut self.handover {
            *bits = match rng.random_range(0..3) {
                0 => Vec::new(),
                1 => vec![0xff; BUCKETS / 8],
                _ => (0..BUCKETS / 8).map(|_| rng.random()).collect(),
            };
        }
    }

    fn flag_model(&mut self) {
        let flags = self.handover.iter().enumerate().flat_map(|(map, bits)| {
            let set = (0..BUCKETS as u16)
                .filter(|bucket| bits.get(usize::from(*bucket) / 8).is_some_and(|byte| byte >> (bucket % 8) & 1 == 1));
            set.map(move |bucket| ((map as u8, bucket), BucketFlags { handover: true, track: false }))
        });
        self.model.set_flags(flags.collect());
    }

    fn change(&mut self, rng: &mut impl Rng) {
        match rng.random_range(0..6) {
            0 => self.commit(rng),
            1 => {
                self.random_flags(rng);
                let flags = self.handover.iter().cloned().enumerate().map(|(map, bits)| (map as u8, bits)).collect();
                self.nic.set_handover(flags);
                self.flag_model();
            }
            2 => {
                let until = self.now + rng.random_range(0..200) * TICK;
                self.nic.arm(until);
                self.until = Some(until);
            }
            3 => {
                let until = self.now + rng.random_range(0..200) * TICK;
                if self.until.is_some_and(|end| self.now <= end) {
                    self.until = self.until.max(Some(until));
                }
                self.nic.renew(self.now, until);
            }
            4 if rng.random_range(0..4) == 0 => {
                self.nic.withdraw();
                self.until = None;
            }
            // Which number a rule has is known from the first maps on.
            5 if self.nic.maps().is_some() => {
                // Bit 64 is the default host, as in heartbeats.
                let disabled: u128 = if rng.random() { 0 } else { 1 << [0, 1, 64][rng.random_range(0..3)] };
                self.nic.disable(disabled);
                let default = Limits::default().rules;
                for (number, rule) in &mut self.tables.rules {
                    let bit = if *number == default { 64 } else { u32::from(*number) };
                    rule.mode = if disabled >> bit & 1 == 1 { Mode::Disabled } else { Mode::Multiple };
                }
                self.model.commit(self.tables.clone());
            }
            _ => {}
        }
        self.wait(0);
    }

    /// A packet of a connection through both.
    fn packet(&mut self, number: u32, kind: Kind) -> (Verdict, Decision) {
        let udp = kind == Kind::Udp;
        let (client, source_port) = (Ipv4Addr::new(198, 51, 100, 7), 10_000 + number as u16);
        let destination_port = PORTS[number as usize % PORTS.len()];
        let flags = match kind {
            Kind::Syn => SYN,
            Kind::Fin => FIN | ACK,
            Kind::Rst => RST,
            _ => ACK,
        };
        let upper = if udp {
            Upper::Udp(Udp { source_port, destination_port, payload: vec![] })
        } else {
            Upper::Tcp(Tcp { source_port, destination_port, flags, options: vec![], payload: vec![] })
        };
        let frame = Frame::new(STATION, ROUTER, Payload::Ip4(Ip4::new(client, VIP, upper))).padded();
        let decision = self.model.receive(0, &frame, false);
        self.model.apply(&decision, [false; 2]).expect("effects of the newest decision");

        let key = Key { source: client.into(), destination: VIP.into(), source_port, destination_port };
        let bucket = key.masked(&KeyMask::ALL).bucket(&self.tables.settings.hash_key);
        let slot = number as usize % PORTS.len();
        // A packet that no rule takes has a key that no map has.
        let rule = if slot < self.rules { slot as u64 + 1 } else { 77 };
        let flow = number + if udp { CONNECTIONS } else { 0 };
        let verdict = self.nic.receive(self.now, Packet { flow, rule, bucket, kind });
        let of_model = {
            let key = BindingKey { zone: 0, key, protocol: if udp { 17 } else { 6 } };
            self.model.bindings().find(Table::Connection, &key).copied()
        };
        let of_model = of_model.map(|binding| {
            let clocks = self.model.bindings().clocks();
            (state(binding.state), binding.bucket, u64::from(binding.expires.wrapping_sub(clocks.of(binding.state))))
        });
        let of_nic = self.nic.binding(self.now, flow);
        let of_nic = of_nic.map(|Binding { state, bucket, expires, .. }| (state, bucket, (expires - self.now) / TICK));
        assert_eq!(of_nic, of_model, "binding of {number} after {kind:?}: {decision:?}");
        (verdict, decision)
    }
}

fn state(of: BindingState) -> State {
    match of {
        BindingState::HalfOpen => State::HalfOpen,
        BindingState::Established => State::Established,
        BindingState::Closing => State::Closing,
        BindingState::Reset => State::Reset,
        BindingState::Flow => State::Flow,
        BindingState::Free => panic!("a live binding is not free"),
    }
}

/// What the model's decision is to the simulator.
fn expected(decision: &Decision) -> Verdict {
    match (decision.verdict, decision.reason) {
        (Decided::Host, Why::Binding) => Verdict::Bound,
        (Decided::Host, Why::Map | Why::DefaultHost) => Verdict::Mapped,
        (Decided::Discard, Why::LeaseExpired) => Verdict::Dropped(Reason::Lease),
        (Decided::Discard, Why::RuleDisabled) => Verdict::Dropped(Reason::Disabled),
        (Decided::Discard, Why::MapInvalid) => Verdict::Dropped(Reason::NoMap),
        (Decided::Discard, Why::Handover) => Verdict::Dropped(Reason::Handover),
        (Decided::Discard, Why::Nobody | Why::Map | Why::DefaultHost) => Verdict::Dropped(Reason::NotMine),
        other => panic!("the simulator knows nothing of {other:?}: {decision:?}"),
    }
}

#[test]
fn the_simulated_nic_decides_as_the_reference_model() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut pair = Pair::new(round % 3);
        for _ in 0..STEPS {
            if rng.random_range(0..20) == 0 {
                pair.change(&mut rng);
            }
            if rng.random_range(0..4) == 0 {
                let longest = if rng.random_range(0..50) == 0 { 1000 } else { 20 };
                pair.wait(rng.random_range(0..longest));
            }
            let kind = [Kind::Syn, Kind::Syn, Kind::Data, Kind::Data, Kind::Fin, Kind::Rst, Kind::Udp];
            let kind = kind[rng.random_range(0..kind.len())];
            let (verdict, decision) = pair.packet(rng.random_range(0..CONNECTIONS), kind);
            assert_eq!(verdict, expected(&decision), "round {round}: {kind:?}: {decision:?}");
            *seen.entry(format!("{verdict:?}")).or_default() += 1;
        }
    }
    println!("{seen:?}");
    // All that the simulator tells apart has come up.
    for verdict in [Verdict::Bound, Verdict::Mapped] {
        assert!(seen.contains_key(&format!("{verdict:?}")), "{verdict:?} never came up: {seen:?}");
    }
    for reason in [Reason::Lease, Reason::Disabled, Reason::NoMap, Reason::Handover, Reason::NotMine] {
        let verdict = format!("{:?}", Verdict::Dropped(reason));
        assert!(seen.contains_key(&verdict), "{verdict} never came up: {seen:?}");
    }
}
