// SPDX-License-Identifier: Apache-2.0
//! What a test has seen: reason x protocol x IP version x VLAN tags x rule mode, and what frames met which bindings;
//! and which of these combinations exist at all.

use crate::random::{Protocol, Version, What};
use hashgate_model::Decision;
use hashgate_model::bindings::{Role, Table};
use hashgate_regs::defs::{BindingState, Mode, Reason};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bin {
    /// Why the frame was decided as it was.
    pub reason: Reason,
    /// Kind of packet.
    pub protocol: Protocol,
    /// IP version.
    pub version: Version,
    /// VLAN tags; 3 stands for more.
    pub tags: u8,
    /// Mode of the rule, as its number; `None` where no rule entry decided.
    pub mode: Option<u8>,
}

impl Bin {
    /// The combination of a frame that was decided for `reason`; `mode` is that of its rule.
    pub fn new(what: &What, reason: Reason, mode: Option<Mode>) -> Bin {
        let mode = if by_rule_entry(reason) { mode.map(|m| m as u8) } else { None };
        Bin { reason, protocol: what.protocol, version: what.version, tags: what.tags, mode }
    }
}

impl fmt::Display for Bin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bin { reason, protocol, version, tags, mode } = self;
        write!(f, "{reason} {protocol:?} {version:?} {tags} tags")?;
        match mode.and_then(|m| Mode::try_from(m).ok()) {
            Some(mode) => write!(f, ", {mode}"),
            None => Ok(()),
        }
    }
}

/// A frame and what it found in a binding table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Meeting {
    /// The table.
    pub table: Table,
    /// State of the binding; free if there was none.
    pub state: BindingState,
    /// What the frame is to it.
    pub role: Role,
}

impl fmt::Display for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} binding {}, {:?}", self.table, self.state, self.role)
    }
}

/// Whether the frame had a valid rule entry, and its mode belongs to the combination.
fn by_rule_entry(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Map
            | Reason::DefaultHost
            | Reason::FragmentUnknown
            | Reason::BeyondWindow
            | Reason::IcmpError
            | Reason::IcmpOwner
            | Reason::Binding
            | Reason::Affinity
            | Reason::RuleDraining
            | Reason::RuleDisabled
            | Reason::MapInvalid
            | Reason::Handover
            | Reason::Nobody
            | Reason::TargetInvalid
    )
}

/// Every combination that random frames on random tables must reach, given time.
///
/// Not among them: `none`, which does not exist; `table-parity` and the full buffers, which depend on more than frame
/// and tables and have tests of their own; and what the doc comments of the inner functions give reasons for.
pub fn reachable() -> Vec<Bin> {
    let mut bins = Vec::new();
    for &reason in Reason::ALL {
        for protocol in Protocol::ALL {
            for version in [Version::None, Version::V4, Version::V6] {
                if !exists(protocol, version) || !meets(reason, protocol, version) {
                    continue;
                }
                for tags in 0..=3 {
                    // More than two tags are all that the parser sees of such a frame. (A frame that is not accepted
                    // for another reason may have them too; that is not asked for.)
                    if (tags == 3) != (reason == Reason::VlanTooDeep) {
                        continue;
                    }
                    let modes: &[Option<Mode>] = match reason {
                        Reason::RuleDisabled => &[Some(Mode::Disabled)],
                        _ if by_rule_entry(reason) => &[Some(Mode::Multiple), Some(Mode::Single)],
                        _ => &[None],
                    };
                    for mode in modes {
                        bins.push(Bin { reason, protocol, version, tags, mode: mode.map(|m| m as u8) });
                    }
                }
            }
        }
    }
    bins
}

/// Every meeting that random frames on random tables must reach, given time. A frame whose ports are unknown finds a
/// connection of TCP only if its ports are 0; that is not asked for.
pub fn reachable_meetings() -> Vec<Meeting> {
    let mut meetings = Vec::new();
    for table in Table::ALL {
        for &state in BindingState::ALL {
            for role in Role::ALL {
                let meets = match (table, state) {
                    (_, BindingState::Free) => true,
                    (Table::Connection, BindingState::Flow) => matches!(role, Role::Flow | Role::Error | Role::Unknown),
                    (Table::Connection, _) => !matches!(role, Role::Flow | Role::Unknown),
                    (Table::Affinity, state) => state == BindingState::Flow,
                };
                if meets {
                    meetings.push(Meeting { table, state, role });
                }
            }
        }
    }
    meetings
}

fn exists(protocol: Protocol, version: Version) -> bool {
    match protocol {
        Protocol::Arp | Protocol::Heartbeat | Protocol::NotIp => version == Version::None,
        Protocol::Discovery => version == Version::V6,
        _ => version != Version::None,
    }
}

/// Whether frames of this kind can end with this reason.
fn meets(reason: Reason, protocol: Protocol, version: Version) -> bool {
    use Protocol::*;
    let ip = version != Version::None;
    let (v4, v6) = (version == Version::V4, version == Version::V6);
    let balanced = matches!(protocol, Tcp | Udp | Gre | Esp | Ah);
    let keyed = balanced || protocol == IcmpError;
    // Neighbour discovery never gets to the VIP table.
    let looked_up = ip && protocol != Discovery;
    match reason {
        Reason::None | Reason::TableParity => false,
        Reason::HostFull | Reason::ControlFull | Reason::PortFull => false,
        // An ICMP error by the default rule; by a port rule it stays `icmp-error`.
        Reason::Binding => keyed,
        // ICMP of a client by the default rule. (ICMP errors by the default rule and packets beyond the window may, but meet
        // one too rarely to ask for.)
        Reason::Affinity => balanced || protocol == Icmp,
        Reason::RuleDraining => balanced,
        Reason::FrameError | Reason::Runt | Reason::Oversize | Reason::NotReady | Reason::NotMyMac => true,
        Reason::VlanTooDeep => true,
        Reason::Truncated => ip,
        Reason::Ip4Version | Reason::Ip4HeaderLength | Reason::Ip4TotalLength | Reason::Ip4Checksum => v4,
        // Neighbour discovery with an extension header is made only as a defect.
        Reason::Ip6Version | Reason::Ip6Extension => v6,
        // An error whose ICMP header is cut is plain ICMP.
        Reason::L4Truncated => keyed && protocol != IcmpError || matches!(protocol, Icmp | Discovery),
        Reason::TcpDataOffset | Reason::TcpSynFin | Reason::TcpSynRst => protocol == Tcp,
        Reason::UdpLength => protocol == Udp,
        Reason::Control => matches!(protocol, Discovery | Arp | Heartbeat),
        Reason::Unfiltered => !matches!(protocol, Discovery | Arp | Heartbeat),
        Reason::Dedicated | Reason::NotMyIp | Reason::LeaseExpired => looked_up,
        Reason::Map => balanced,
        Reason::IcmpError => protocol == IcmpError,
        Reason::DefaultHost => keyed,
        Reason::FragmentUnknown => matches!(protocol, Tcp | Udp),
        // IPv4 headers and options always fit the window. An error beyond the window is plain ICMP, and the protocol
        // behind extension headers is not known.
        Reason::BeyondWindow => v6 && looked_up && protocol != IcmpError,
        Reason::IcmpOwner => protocol == Icmp,
        Reason::Handover => protocol == Tcp,
        // By a port rule, or by the default rule for ICMP and for packets beyond the window. (The other protocols beyond
        // the window meet the default rule's defects too rarely to ask for.)
        Reason::RuleInvalid | Reason::RuleDisabled | Reason::MapInvalid | Reason::Nobody | Reason::TargetInvalid => {
            keyed || protocol == Icmp
        }
    }
}

/// Counts of combinations.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    seen: BTreeMap<Bin, u64>,
    met: BTreeMap<Meeting, u64>,
}

impl Coverage {
    /// Counts one frame.
    pub fn add(&mut self, bin: Bin) {
        *self.seen.entry(bin).or_default() += 1;
    }

    /// Counts what a frame met in the binding tables.
    pub fn meet(&mut self, decision: &Decision) {
        for (table, lookup) in Table::ALL.into_iter().zip(decision.lookups) {
            if let Some(lookup) = lookup {
                let state = lookup.found.map_or(BindingState::Free, |binding| binding.state);
                *self.met.entry(Meeting { table, state, role: lookup.role }).or_default() += 1;
            }
        }
    }

    /// Frames of known role that looked into a binding table, and how many of them found a binding.
    pub fn found(&self, table: Table) -> (u64, u64) {
        let known = || self.met.iter().filter(|(m, _)| m.table == table && m.role != Role::Unknown);
        let found = known().filter(|(m, _)| m.state != BindingState::Free).map(|(_, n)| n).sum();
        (known().map(|(_, n)| n).sum(), found)
    }

    /// How often a reason was seen.
    pub fn of_reason(&self, reason: Reason) -> u64 {
        self.seen.iter().filter(|(bin, _)| bin.reason == reason).map(|(_, n)| n).sum()
    }

    /// Reachable combinations and meetings that were not seen, for people.
    pub fn missing(&self) -> Vec<String> {
        let bins = self.missing_bins().map(|bin| bin.to_string());
        let meetings = reachable_meetings().into_iter().filter(|meeting| !self.met.contains_key(meeting));
        bins.chain(meetings.map(|meeting| meeting.to_string())).collect()
    }

    /// The kinds of frames of combinations that were not seen: protocol, IP version, VLAN tags.
    pub fn missing_kinds(&self) -> Vec<(Protocol, Version, u8)> {
        let kinds = self.missing_bins().map(|bin| (bin.protocol, bin.version, bin.tags));
        kinds.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn missing_bins(&self) -> impl Iterator<Item = Bin> {
        reachable().into_iter().filter(|bin| !self.seen.contains_key(bin))
    }
}

impl fmt::Display for Coverage {
    /// One line for each reason (frames, reachable combinations seen, and those seen least often) and for each table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reachable = reachable();
        let missing = self.missing_bins().count();
        writeln!(f, "{} of {} combinations", reachable.len() - missing, reachable.len())?;
        for &reason in Reason::ALL {
            let of_reason: Vec<&Bin> = reachable.iter().filter(|b| b.reason == reason).collect();
            let frames = self.of_reason(reason);
            if of_reason.is_empty() && frames == 0 {
                continue;
            }
            let counts = of_reason.iter().map(|b| self.seen.get(b).copied().unwrap_or(0));
            let hit = counts.clone().filter(|n| *n > 0).count();
            let least = counts.min().unwrap_or(0);
            let name = reason.name();
            writeln!(f, "  {name:18} {frames:8} frames, {hit:3} of {:3} combinations, least {least}", of_reason.len())?;
        }
        for table in Table::ALL {
            let meetings: Vec<Meeting> = reachable_meetings().into_iter().filter(|m| m.table == table).collect();
            let counts = meetings.iter().map(|m| self.met.get(m).copied().unwrap_or(0));
            let hit = counts.clone().filter(|n| *n > 0).count();
            let least = counts.min().unwrap_or(0);
            let (asked, found) = self.found(table);
            let name = format!("{table:?} bindings");
            let all = meetings.len();
            writeln!(f, "  {name} found by {found} of {asked} frames, {hit} of {all} meetings, least {least}")?;
        }
        Ok(())
    }
}
