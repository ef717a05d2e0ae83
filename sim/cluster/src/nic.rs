// SPDX-License-Identifier: Apache-2.0
//! A NIC as far as the protocol can tell: maps, HANDOVER, lease, connection bindings, and the rows of the order of
//! decisions (`docs/dataplane.md`) that depend on them. Some ten nanoseconds a packet; `tests/dataplane.rs` compares it
//! with the reference model.

use hashgate_cluster::api::{BITMAP, Commit, Time};
use hashgate_cluster::maps::{DEFAULT_KEY, MapSet};
use std::collections::HashMap;
use std::sync::Arc;

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// TCP with SYN and without ACK.
    Syn,
    /// Other TCP.
    Data,
    /// TCP with FIN.
    Fin,
    /// TCP with RST.
    Rst,
    /// UDP.
    Udp,
}

/// A packet: its connection, and where the tables put it.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Number of the connection (its addresses and ports).
    pub flow: u32,
    /// Key of the rule that it matches.
    pub rule: u64,
    /// Its bucket.
    pub bucket: u16,
    /// What it is.
    pub kind: Kind,
}

/// What a NIC did with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the host, by a binding.
    Bound,
    /// To the host, by the map.
    Mapped,
    /// Not to the host.
    Dropped(Reason),
}

impl Verdict {
    /// Whether the host got it.
    pub fn accepted(self) -> bool {
        !matches!(self, Verdict::Dropped(_))
    }
}

/// Why a packet did not come to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No lease.
    Lease,
    /// The rule is disabled here.
    Disabled,
    /// No map was committed.
    NoMap,
    /// In the middle of a connection, in a bucket with HANDOVER.
    Handover,
    /// The bucket is nobody's or another's.
    NotMine,
}

/// State of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A SYN was seen.
    HalfOpen,
    /// More was seen.
    Established,
    /// A FIN was seen.
    Closing,
    /// A RST was seen.
    Reset,
    /// UDP.
    Flow,
}

/// Where a connection lives: here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its state.
    pub state: State,
    /// Key of the rule that made it.
    pub rule: u64,
    /// The bucket that it was made in.
    pub bucket: u16,
    /// NIC time at which it ends.
    pub expires: Time,
}

/// Life of bindings by state, ns.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Of a connection whose client sent only a SYN.
    pub half_open: Time,
    /// Of an established one.
    pub established: Time,
    /// After FIN or RST.
    pub closing: Time,
    /// Of UDP.
    pub flow: Time,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { half_open: 5_000_000_000, established: 1 << 50, closing: 1_000_000_000, flow: 3_000_000_000 }
    }
}

/// A NIC. All times are its own.
#[derive(Clone, Debug)]
pub struct Nic {
    /// Target id of its host.
    me: u16,
    timeouts: Timeouts,
    maps: Option<Arc<MapSet>>,
    /// By number of map.
    handover: Vec<Vec<u8>>,
    /// Rules that are disabled here, by number.
    disabled: u128,
    /// End of the lease; it is over once it has passed, and stays so until armed again.
    lease: Option<Time>,
    bindings: HashMap<u32, Binding>,
    /// Sessions by number of map since the last whole maps.
    opened: Vec<u32>,
}

impl Nic {
    /// A NIC after reset.
    pub fn new(me: u16, timeouts: Timeouts) -> Nic {
        Nic {
            me,
            timeouts,
            maps: None,
            handover: Vec::new(),
            disabled: 0,
            lease: None,
            bindings: HashMap::new(),
            opened: Vec::new(),
        }
    }

    /// Switches to new maps and flags.
    pub fn commit(&mut self, commit: &Commit) {
        self.maps = Some(commit.maps.clone());
        self.handover.clone_from(&commit.handover);
        if commit.digest != 0 {
            self.opened = vec![0; commit.maps.maps.len()];
        }
    }

    /// Sessions opened since the last whole maps were committed, by number of map.
    pub fn opened(&self) -> Vec<u32> {
        self.opened.clone()
    }

    /// What was committed last.
    pub fn maps(&self) -> Option<&Arc<MapSet>> {
        self.maps.as_ref()
    }

    /// Replaces the flags of some maps.
    pub fn set_handover(&mut self, flags: Vec<(u8, Vec<u8>)>) {
        for (map, bits) in flags {
            let map = usize::from(map);
            if self.handover.len() <= map {
                self.handover.resize(map + 1, Vec::new());
            }
            self.handover[map] = bits;
        }
    }

    /// Disables these rules and no others.
    pub fn disable(&mut self, rules: u128) {
        self.disabled = rules;
    }

    /// Starts the lease.
    pub fn arm(&mut self, until: Time) {
        self.lease = Some(until);
    }

    /// Moves the end of the lease; without effect if it has ended, or to an earlier end.
    pub fn renew(&mut self, now: Time, until: Time) {
        if self.live(now) {
            self.lease = self.lease.max(Some(until));
        }
    }

    /// Ends the lease.
    pub fn withdraw(&mut self) {
        self.lease = None;
    }

    /// Whether the lease runs.
    pub fn live(&self, now: Time) -> bool {
        self.lease.is_some_and(|until| now <= until)
    }

    /// End of the lease, also of one that is over.
    pub fn lease(&self) -> Option<Time> {
        self.lease
    }

    /// The live binding of a connection.
    pub fn binding(&self, now: Time, flow: u32) -> Option<Binding> {
        self.bindings.get(&flow).copied().filter(|b| b.expires > now)
    }

    /// Number and owner of the map of a rule; those of the default host if there is no such rule.
    fn owner(&self, rule: u64, bucket: u16) -> Option<(usize, u16)> {
        let maps = &self.maps.as_ref()?.maps;
        let number = maps
            .iter()
            .position(|(key, _)| *key == rule)
            .or_else(|| maps.iter().position(|(key, _)| *key == DEFAULT_KEY))?;
        Some((number, maps[number].1.owners()[usize::from(bucket)]))
    }

    /// Decides a packet, and does to the bindings what it does.
    pub fn receive(&mut self, now: Time, packet: Packet) -> Verdict {
        use State::{Closing, Established, Flow, HalfOpen, Reset};
        if !self.live(now) {
            return Verdict::Dropped(Reason::Lease);
        }
        let Some((number, owner)) = self.owner(packet.rule, packet.bucket) else {
            return Verdict::Dropped(Reason::NoMap);
        };
        let bit = if number + 1 == self.maps.as_ref().map_or(0, |m| m.maps.len()) { 64 } else { number };
        if self.disabled >> bit & 1 == 1 {
            return Verdict::Dropped(Reason::Disabled);
        }
        let mine = owner == self.me;
        let opens = matches!(packet.kind, Kind::Syn | Kind::Udp);
        let mut made = opens && mine;
        if let Some(old) = self.binding(now, packet.flow) {
            let state = match (old.state, packet.kind) {
                (_, Kind::Syn) if !mine => None,
                (Closing | Reset, Kind::Syn) => None,
                (HalfOpen, Kind::Syn) => Some(HalfOpen),
                (_, Kind::Syn) => Some(Established),
                (_, Kind::Rst) => Some(Reset),
                (_, Kind::Fin) | (Closing, Kind::Data) => Some(Closing),
                (_, Kind::Data) => Some(Established),
                (_, Kind::Udp) => Some(Flow),
            };
            match state {
                Some(state) => {
                    let expires = now + self.life(state);
                    self.bindings.insert(packet.flow, Binding { state, expires, ..old });
                    return Verdict::Bound;
                }
                None if !mine => {
                    self.bindings.remove(&packet.flow);
                    made = false;
                }
                None => {}
            }
        }
        if !opens && self.flagged(number, packet.bucket) {
            return Verdict::Dropped(Reason::Handover);
        }
        if !mine {
            return Verdict::Dropped(Reason::NotMine);
        }
        if made {
            let state = if packet.kind == Kind::Udp { Flow } else { HalfOpen };
            let expires = now + self.life(state);
            self.opened.iter_mut().skip(number).take(1).for_each(|opened| *opened += 1);
            self.bindings.insert(packet.flow, Binding { state, rule: packet.rule, bucket: packet.bucket, expires });
        }
        Verdict::Mapped
    }

    fn life(&self, state: State) -> Time {
        match state {
            State::HalfOpen => self.timeouts.half_open,
            State::Established => self.timeouts.established,
            State::Closing | State::Reset => self.timeouts.closing,
            State::Flow => self.timeouts.flow,
        }
    }

    fn flagged(&self, map: usize, bucket: u16) -> bool {
        self.handover.get(map).is_some_and(|bits| bit(bits, bucket))
    }

    /// Removes the bindings of UDP in buckets that are not mine (they are the new owner's to make again).
    pub fn hand_bindings(&mut self) {
        let gone: Vec<u32> = self
            .bindings
            .iter()
            .filter(|(_, b)| b.state == State::Flow && self.owner(b.rule, b.bucket).is_none_or(|(_, o)| o != self.me))
            .map(|(flow, _)| *flow)
            .collect();
        for flow in gone {
            self.bindings.remove(&flow);
        }
    }

    /// Live bindings in buckets that are not mine: a bit per bucket for each map.
    pub fn holdings(&self, now: Time) -> Vec<Vec<u8>> {
        let mut held = vec![Vec::new(); self.maps.as_ref().map_or(0, |m| m.maps.len())];
        for binding in self.bindings.values().filter(|b| b.expires > now) {
            if let Some((number, owner)) = self.owner(binding.rule, binding.bucket)
                && owner != self.me
            {
                let bits: &mut Vec<u8> = &mut held[number];
                bits.resize(BITMAP, 0);
                bits[usize::from(binding.bucket) / 8] |= 1 << (binding.bucket % 8);
            }
        }
        held
    }
}

/// Bit of a bucket; an empty bitmap has none.
pub fn bit(bits: &[u8], bucket: u16) -> bool {
    bits.get(usize::from(bucket) / 8).is_some_and(|byte| byte >> (bucket % 8) & 1 == 1)
}
