// SPDX-License-Identifier: Apache-2.0
//! The decision about one received frame ("Order of decisions", "VIP table", "Port rules", "Bucket map" and "Target
//! table" of `docs/dataplane.md`), with what it finds in the binding tables and does to them.

use crate::bindings::{self, Binding, BindingKey, Bindings, Lookup, Role, Table};
use crate::hash::Key;
use crate::parse::{AH, Content, ESP, Embedded, Flow, GRE, Ip, Packet, TCP, UDP, Upper, parse};
use crate::{MAX_FRAME, MIN_FRAME};
use hashgate_regs::defs::{Action, BindingState, Mode, Reason, Track, Verdict, VipKind};
use hashgate_tables::{Limits, Mac, MatchSlot, NOBODY, OtherIp, Rule, Tables};
use std::net::IpAddr;

/// Port that GRE takes its TCP rule from (PPTP).
const PPTP_PORT: u16 = 1723;
/// Port that ESP and AH take their UDP rule from (IKE).
const IKE_PORT: u16 = 500;

/// What a decision depends on beside tables and settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The tables are initialised.
    pub ready: bool,
    /// `CONTROL.enable`.
    pub enabled: bool,
    /// There is no lease, or it runs.
    pub lease_ok: bool,
}

/// What happens to a frame, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Wire port that the frame came from.
    pub port: u8,
    /// Discard, host or port.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Verdict before the late checks, which are made when the last beat leaves: where the first beats went.
    pub would_be: Verdict,
    /// Reason before the late checks.
    pub early_reason: Reason,
    /// Rule whose entry decided, the default rule included.
    pub rule: Option<u8>,
    /// Bucket of the rule's map.
    pub bucket: Option<u16>,
    /// Target of the binding that decided, or owner of the bucket.
    pub target: Option<u16>,
    /// Receive queue if the (early) verdict is host; 0 without a target and for control frames.
    pub queue: u8,
    /// For the control queue.
    pub control: bool,
    /// Wire port if the (early) verdict is port.
    pub out_port: u8,
    /// Counted length in bytes, at most [`MAX_FRAME`].
    pub length: u16,
    /// What the frame found in the binding tables and does there, by [`Table`]; `None` if it did not ask.
    pub lookups: [Option<Lookup>; 2],
}

impl Decision {
    /// Discarded by a check that is made when the last beat leaves.
    pub fn is_late(&self) -> bool {
        matches!(self.reason, Reason::FrameError | Reason::Runt | Reason::Oversize | Reason::Truncated)
    }

    /// Whether beats left before a late check discarded the frame, given the bytes in a beat: the receiver sees an
    /// aborted frame.
    pub fn is_aborted(&self, beat_bytes: usize) -> bool {
        self.is_late() && self.would_be != Verdict::Discard && usize::from(self.length) > beat_bytes
    }

    /// Whether the frame makes a binding that may find no room, by [`Table`].
    pub fn needs_room(&self) -> [bool; 2] {
        self.lookups.map(|lookup| lookup.is_some_and(|l| l.needs_room()))
    }

    /// The mode of the rule that decided, if its entry is valid.
    pub fn mode(&self, tables: &Tables) -> Option<Mode> {
        self.rule.and_then(|rule| tables.rules.get(&rule)).map(|rule| rule.mode)
    }
}

/// Decides a frame (without FCS) that came from wire port `port`; `error` is the MAC's error mark.
///
/// A map is valid if `tables` has owners for it. Full buffers and parity errors are outside the model.
pub fn decide(
    tables: &Tables,
    limits: &Limits,
    state: &State,
    bindings: &Bindings,
    port: u8,
    frame: &[u8],
    error: bool,
) -> Decision {
    let packet = parse(frame);
    let early = Decider { tables, limits, state, bindings }.early(port, &packet);
    let late = if error {
        Some(Reason::FrameError)
    } else if frame.len() < MIN_FRAME {
        Some(Reason::Runt)
    } else if frame.len() > MAX_FRAME {
        Some(Reason::Oversize)
    } else if frame.len() < packet.min_len {
        Some(Reason::Truncated)
    } else {
        None
    };
    Decision {
        port,
        verdict: if late.is_some() { Verdict::Discard } else { early.verdict },
        reason: late.unwrap_or(early.reason),
        would_be: early.verdict,
        early_reason: early.reason,
        rule: early.rule,
        bucket: early.bucket,
        target: early.target,
        queue: early.queue,
        control: early.control,
        out_port: early.out_port,
        length: frame.len().min(MAX_FRAME) as u16,
        lookups: early.lookups,
    }
}

/// The outcome of the early checks.
struct Early {
    verdict: Verdict,
    reason: Reason,
    rule: Option<u8>,
    bucket: Option<u16>,
    target: Option<u16>,
    queue: u8,
    control: bool,
    out_port: u8,
    lookups: [Option<Lookup>; 2],
}

impl Early {
    fn new(verdict: Verdict, reason: Reason) -> Early {
        Early {
            verdict,
            reason,
            rule: None,
            bucket: None,
            target: None,
            queue: 0,
            control: false,
            out_port: 0,
            lookups: [None; 2],
        }
    }
    fn discard(reason: Reason) -> Early {
        Early::new(Verdict::Discard, reason)
    }
    fn host(reason: Reason) -> Early {
        Early::new(Verdict::Host, reason)
    }
}

/// What an address of the VIP table, or the lack of one, means for the rest of the decision.
enum Destination {
    Vip(u16),
    NoVip,
}

/// A frame that port rules apply to.
struct Asking {
    /// Whole key; the protocol is that of the packet, or of the packet embedded in it.
    key: BindingKey,
    role: Role,
    /// The reason if a port rule, or the default rule where only that applies, and its map decide.
    reason: Reason,
}

struct Decider<'a> {
    tables: &'a Tables,
    limits: &'a Limits,
    state: &'a State,
    bindings: &'a Bindings,
}

impl Decider<'_> {
    /// Rows 5..9.
    fn early(&self, port: u8, packet: &Packet) -> Early {
        if !self.state.ready || !self.state.enabled {
            return Early::discard(Reason::NotReady);
        }
        if !self.is_my_mac(packet.layer2.destination) {
            return Early::discard(Reason::NotMyMac);
        }
        match &packet.content {
            Content::Malformed(reason) => Early::discard(*reason),
            Content::Control => Early { control: true, ..Early::host(Reason::Control) },
            Content::NotIp => Early::host(Reason::Unfiltered),
            Content::Ip(ip) => self.ip(zone(self.tables, port, packet.layer2.vlan), ip),
        }
    }

    fn is_my_mac(&self, mac: Mac) -> bool {
        let settings = &self.tables.settings;
        settings.promiscuous
            || mac == settings.station_mac
            || mac == settings.cluster_mac
            || mac == Mac::BROADCAST
            || (mac.is_multicast() && (settings.all_multicast || self.tables.multicast.contains(&mac)))
    }

    /// Rows 10..19.
    fn ip(&self, zone: u8, ip: &Ip) -> Early {
        let settings = &self.tables.settings;
        let destination = match self.tables.vips.iter().find(|v| v.zone == zone && v.addr == ip.destination) {
            Some(vip) if vip.kind == VipKind::Dedicated => return Early::host(Reason::Dedicated),
            Some(vip) => Destination::Vip(vip.id),
            None if is_group(ip.destination) => return Early::host(Reason::Unfiltered),
            None => match settings.other_ip {
                OtherIp::Deliver => return Early::host(Reason::Unfiltered),
                OtherIp::Discard => return Early::discard(Reason::NotMyIp),
                OtherIp::Balance => Destination::NoVip,
            },
        };
        if !self.state.lease_ok {
            return Early::discard(Reason::LeaseExpired);
        }

        let portless = Key { source: ip.source, destination: ip.destination, source_port: 0, destination_port: 0 };
        let asking = |protocol, key, role, reason| Asking { key: BindingKey { zone, key, protocol }, role, reason };
        let unknown = |protocol, reason| asking(protocol, portless, Role::Unknown, reason);
        let default_rule = self.limits.rules;
        match &ip.upper {
            Upper::Other => Early::host(Reason::Unfiltered),
            Upper::Icmp { protocol, embedded: None } if settings.icmp_owner => {
                self.by_rule(default_rule, &unknown(*protocol, Reason::IcmpOwner))
            }
            Upper::Icmp { embedded: None, .. } => Early::host(Reason::Unfiltered),
            Upper::BeyondWindow { protocol } => self.by_rule(default_rule, &unknown(*protocol, Reason::BeyondWindow)),
            Upper::LaterFragment { protocol } => {
                let slot = match *protocol {
                    TCP => self.slot(&destination, |s| s.fragment && s.tcp),
                    UDP => self.slot(&destination, |s| s.fragment && s.udp),
                    _ => self.slot_of_ports(&destination, *protocol, 0),
                };
                let (rule, reason) = match slot {
                    Some(slot) => (slot.rule, Reason::Map),
                    None if matches!(*protocol, TCP | UDP) => (default_rule, Reason::FragmentUnknown),
                    None => (default_rule, Reason::DefaultHost),
                };
                self.by_rule(rule, &unknown(*protocol, reason))
            }
            Upper::Balanced(flow) => {
                let role = match *flow {
                    Flow { protocol: TCP, opening: true, .. } => Role::Opening,
                    Flow { protocol: TCP, rst: true, .. } => Role::Rst,
                    Flow { protocol: TCP, fin: true, .. } => Role::Fin,
                    Flow { protocol: TCP, .. } => Role::Data,
                    _ => Role::Flow,
                };
                self.by_flow(&destination, asking(flow.protocol, with_ports(portless, flow), role, Reason::Map))
            }
            Upper::Icmp { embedded: Some(embedded), .. } => {
                let Embedded { source, destination: to, flow } = *embedded;
                let key = with_ports(Key { source, destination: to, ..portless }, &flow);
                self.by_flow(&destination, asking(flow.protocol, key, Role::Error, Reason::IcmpError))
            }
        }
    }

    /// Rows 18 and 19.
    fn by_flow(&self, destination: &Destination, asking: Asking) -> Early {
        match self.slot_of_ports(destination, asking.key.protocol, asking.key.key.destination_port) {
            Some(slot) => self.by_rule(slot.rule, &asking),
            None => self.by_rule(self.limits.rules, &Asking { reason: Reason::DefaultHost, ..asking }),
        }
    }

    /// The slot for a protocol and destination port.
    fn slot_of_ports(&self, destination: &Destination, protocol: u8, port: u16) -> Option<&MatchSlot> {
        let (tcp, port) = match protocol {
            TCP => (true, port),
            UDP => (false, port),
            GRE => (true, PPTP_PORT),
            ESP | AH => (false, IKE_PORT),
            _ => return None,
        };
        self.slot(destination, |s| if tcp { s.tcp } else { s.udp } && s.ports.0 <= port && port <= s.ports.1)
    }

    /// The first slot that names the VIP, else the first for any VIP, among those that `accept` takes.
    fn slot(&self, destination: &Destination, accept: impl Fn(&MatchSlot) -> bool) -> Option<&MatchSlot> {
        let slots = || self.tables.slots.iter().flatten().filter(|s| accept(s));
        let named = match destination {
            Destination::Vip(id) => slots().find(|s| s.vip == Some(*id)),
            Destination::NoVip => None,
        };
        named.or_else(|| slots().find(|s| s.vip.is_none()))
    }

    /// Rows a..j.
    fn by_rule(&self, number: u8, asking: &Asking) -> Early {
        let mut early = Early { rule: Some(number), ..Early::discard(Reason::None) };
        let Some(rule) = self.tables.rules.get(&number) else {
            return Early { reason: Reason::RuleInvalid, ..early };
        };
        if rule.mode == Mode::Disabled {
            return Early { reason: Reason::RuleDisabled, ..early };
        }
        let bucket = asking.key.key.masked(&rule.bucket).bucket(&self.tables.settings.hash_key);
        early.bucket = Some(bucket);
        let Some(owners) = self.tables.maps.get(&rule.map) else {
            return Early { reason: Reason::MapInvalid, ..early };
        };
        let owner = owners[usize::from(bucket)];
        let flags = self.tables.flags.get(&(rule.map, bucket)).copied().unwrap_or_default();
        let role = asking.role;

        // The target, or why there is none, as far as bindings have no say: rows f..h.
        let by_map = match role {
            Role::Rst | Role::Fin | Role::Data if flags.handover => Err(Reason::Handover),
            _ if owner == NOBODY => Err(Reason::Nobody),
            _ if rule.draining && role.opens() && self.binds(owner) => Err(Reason::RuleDraining),
            _ => Ok(owner),
        };
        let make = |target, state, time_out| {
            let expires = self.bindings.clocks().of(state).wrapping_add(time_out);
            Binding { state, target, rule: number, bucket, expires, fresh: true }
        };

        // The affinity binding, and its target if it holds the frame.
        let sticky = rule.affinity.then(|| self.sticky(rule, asking));
        let held = sticky.and_then(|(_, found)| found).map(|binding| binding.target);
        let held = held.filter(|target| !role.opens() || !self.leaves(*target));

        let tracks = match rule.track {
            Track::Never => false,
            Track::Flagged => flags.track,
            Track::Always => true,
        };
        // New sessions of a draining rule are discarded, but connections that run go on.
        let binds = held.is_some() || self.binds(owner);
        let opened = held.or(by_map.ok()).filter(|_| role.opens() && tracks && binds).map(|target| {
            let state = if role == Role::Opening { BindingState::HalfOpen } else { BindingState::Flow };
            make(target, state, bindings::time_out(state, &rule.timeouts))
        });
        let connection = self.connection(rule, asking, binds, opened);
        let bound = connection.found.filter(|_| connection.decides).map(|binding| binding.target);

        let affinity = sticky.map(|(key, found)| {
            let makes = role.opens() && by_map.is_ok() && self.binds(owner);
            let made = makes.then(|| make(owner, BindingState::Flow, rule.timeouts.affinity));
            let clocks = self.bindings.clocks();
            let update = |old: &Binding, state| bindings::updated(old, state, &clocks, rule.timeouts.affinity);
            bindings::affinity(key, found, role, (held.is_some(), bound.is_some()), made, update)
        });
        early.lookups = [Some(connection), affinity];

        // An ICMP error keeps its reason, whatever decides.
        let replaced = |reason| if asking.reason == Reason::IcmpError { Reason::IcmpError } else { reason };
        let (id, reason) = match (bound, held, by_map) {
            (Some(target), _, _) => (target, replaced(Reason::Binding)),
            (None, Some(target), _) => (target, replaced(Reason::Affinity)),
            (None, None, Ok(owner)) => (owner, asking.reason),
            (None, None, Err(reason)) => return Early { reason, ..early },
        };
        early.target = Some(id);
        let Some(target) = self.tables.targets.get(&id) else {
            return Early { reason: Reason::TargetInvalid, ..early };
        };
        match target.action {
            Action::Discard => Early { verdict: Verdict::Discard, reason, ..early },
            Action::Deliver => Early { verdict: Verdict::Host, reason, queue: target.queue, ..early },
            Action::Forward => Early { verdict: Verdict::Port, reason, out_port: target.port, ..early },
        }
    }

    /// Whether sessions of a target get a binding.
    fn binds(&self, target: u16) -> bool {
        target != NOBODY && self.tables.targets.get(&target).is_some_and(|entry| entry.bind)
    }

    /// Whether new sessions leave the target of an affinity binding.
    fn leaves(&self, target: u16) -> bool {
        !self.binds(target) || self.tables.targets.get(&target).is_some_and(|entry| entry.draining)
    }

    /// Asks the connection table. `binds`: *target binds*.
    fn connection(&self, rule: &Rule, asking: &Asking, binds: bool, made: Option<Binding>) -> Lookup {
        let clocks = self.bindings.clocks();
        let found = self.bindings.find(Table::Connection, &asking.key).copied();
        let update =
            |old: &Binding, state| bindings::updated(old, state, &clocks, bindings::time_out(state, &rule.timeouts));
        bindings::connection(asking.key, found, asking.role, binds, made, update)
    }

    /// Asks the affinity table: the key, and the live binding under it.
    fn sticky(&self, rule: &Rule, asking: &Asking) -> (BindingKey, Option<Binding>) {
        let key = BindingKey { zone: asking.key.zone, key: asking.key.key.masked(&rule.binding), protocol: rule.group };
        (key, self.bindings.find(Table::Affinity, &key).copied())
    }
}

/// Zone of a frame with outer VLAN `vlan` on wire port `port`.
pub(crate) fn zone(tables: &Tables, port: u8, vlan: u16) -> u8 {
    tables.zones.get(&(port, vlan)).copied().unwrap_or(0)
}

/// Multicast, or the limited broadcast address.
fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || matches!(address, IpAddr::V4(a) if a.is_broadcast())
}

fn with_ports(key: Key, flow: &Flow) -> Key {
    Key { source_port: flow.source_port, destination_port: flow.destination_port, ..key }
}
