// SPDX-License-Identifier: Apache-2.0
//! The membership frame: who is there and who has what, in the publicly documented layout that protocol analysers show. For display and
//! compatibility; it is not authenticated, and nothing may be decided by it. Layout: `docs/heartbeat.md`.

use crate::frame::{ETHERNET_BYTES, ETHERTYPE};
use crate::map::BucketMap;
use crate::message::{HostId, Phase};
use crate::refusal::Refusal;
use crate::wire::Reader;
use hashgate_tables::BUCKETS;
use std::net::Ipv4Addr;

/// Signature of the membership frame.
pub const SIGNATURE: u32 = 0xc0de_01bf;
/// Version that this layout has: 2.4.
pub const VERSION: u32 = 0x0204;
/// Rules that fit, the default among them as the last one used.
pub const RULES: usize = 33;
/// Bytes behind the Ethernet header.
pub const BYTES: usize = 1496;
/// Bits of a map that stand for buckets.
pub const BINS: usize = 60;

/// What a membership frame says. No value is checked: it comes from anybody and is only shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    /// Of the layout, see [`VERSION`].
    pub version: u32,
    /// Host id in the header.
    pub unique_host_id: u32,
    /// Primary IP of the cluster.
    pub cluster_ip: Ipv4Addr,
    /// Dedicated IP of the host.
    pub host_ip: Ipv4Addr,
    /// Host id.
    pub host: u16,
    /// The default host, 0 for none.
    pub default_host: u16,
    /// See [`convergence_state`].
    pub convergence_state: u16,
    /// Number of rules, the default not counted.
    pub rule_count: u16,
    /// Tells starts of a host apart: the lower half of the incarnation.
    pub unique_code: u32,
    /// Packets handled, modulo 2^32.
    pub packets_handled: u32,
    /// Teaming, not used: 0.
    pub teaming: u32,
    /// 0.
    pub reserved: u32,
    /// By rule; those not used are zeros.
    pub rules: [Rule; RULES],
}

/// What is said of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Identity: the lower half of the rule's key.
    pub code: u32,
    /// [`bins`] that the host has now.
    pub current: u64,
    /// That it has in the proposed map.
    pub new: u64,
    /// That it had in the map committed last and has given up.
    pub idle: u64,
    /// That it takes as soon as all have released.
    pub ready: u64,
    /// Load weight, or handling priority of a single-host rule; 0 for none.
    pub weight: u32,
    /// 0.
    pub reserved: u32,
}

/// State as that layout has it: 1 converging, 2 agreed but not yet committed everywhere, 3 normal.
pub fn convergence_state(phase: Phase) -> u16 {
    match phase {
        Phase::Listening | Phase::Converging | Phase::Excluded | Phase::Suspended => 1,
        Phase::Idle | Phase::Ready => 2,
        Phase::Stable => 3,
    }
}

/// A host's share of a map in 60 bits: bit b is set if the host owns bucket b x 4096 / 60, rounded down. So of all hosts' sets each bit is
/// in one at most.
pub fn bins(map: &BucketMap, host: HostId) -> u64 {
    let owns = |bin: usize| map.owners()[bin * BUCKETS / BINS] == u16::from(host.get());
    (0..BINS).filter(|bin| owns(*bin)).fold(0, |set, bin| set | 1 << bin)
}

impl Membership {
    /// The Ethernet frame, without FCS.
    pub fn encode(&self, source: [u8; 6], destination: [u8; 6]) -> Vec<u8> {
        let mut out = Vec::with_capacity(ETHERNET_BYTES + BYTES);
        out.extend(destination);
        out.extend(source);
        out.extend(ETHERTYPE.to_be_bytes());
        for word in [SIGNATURE, self.version, self.unique_host_id] {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.cluster_ip.octets());
        out.extend(self.host_ip.octets());
        for half in [self.host, self.default_host, self.convergence_state, self.rule_count] {
            out.extend(half.to_le_bytes());
        }
        for word in [self.unique_code, self.packets_handled, self.teaming, self.reserved] {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.rules.iter().flat_map(|rule| rule.code.to_le_bytes()));
        for field in [|it: &Rule| it.current, |it: &Rule| it.new, |it: &Rule| it.idle, |it: &Rule| it.ready] {
            out.extend(self.rules.iter().flat_map(|rule| field(rule).to_le_bytes()));
        }
        out.extend(self.rules.iter().flat_map(|rule| rule.weight.to_le_bytes()));
        out.extend(self.rules.iter().flat_map(|rule| rule.reserved.to_le_bytes()));
        out
    }

    /// What the Ethernet frame (without FCS) says.
    ///
    /// # Errors
    /// If it is none, or has another length.
    pub fn decode(frame: &[u8]) -> Result<Membership, Refusal> {
        let (ethernet, content) = frame.split_at_checked(ETHERNET_BYTES).ok_or(Refusal::Truncated)?;
        if ethernet[12..] != ETHERTYPE.to_be_bytes() {
            return Err(Refusal::EtherType);
        }
        if content.len() > BYTES {
            return Err(Refusal::TooLong);
        }
        let mut from = Reader::new(content);
        if from.u32()? != SIGNATURE {
            return Err(Refusal::Signature);
        }
        let mut it = Membership {
            version: from.u32()?,
            unique_host_id: from.u32()?,
            cluster_ip: from.ipv4()?,
            host_ip: from.ipv4()?,
            host: from.u16()?,
            default_host: from.u16()?,
            convergence_state: from.u16()?,
            rule_count: from.u16()?,
            unique_code: from.u32()?,
            packets_handled: from.u32()?,
            teaming: from.u32()?,
            reserved: from.u32()?,
            rules: [Rule::default(); RULES],
        };
        it.rules.iter_mut().try_for_each(|rule| from.u32().map(|code| rule.code = code))?;
        it.rules.iter_mut().try_for_each(|rule| from.u64().map(|map| rule.current = map))?;
        it.rules.iter_mut().try_for_each(|rule| from.u64().map(|map| rule.new = map))?;
        it.rules.iter_mut().try_for_each(|rule| from.u64().map(|map| rule.idle = map))?;
        it.rules.iter_mut().try_for_each(|rule| from.u64().map(|map| rule.ready = map))?;
        it.rules.iter_mut().try_for_each(|rule| from.u32().map(|weight| rule.weight = weight))?;
        it.rules.iter_mut().try_for_each(|rule| from.u32().map(|reserved| rule.reserved = reserved))?;
        Ok(it)
    }
}
