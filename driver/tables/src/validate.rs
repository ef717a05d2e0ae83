// SPDX-License-Identifier: Apache-2.0
//! Limits of a NIC's tables and the check of a [`Tables`] against them.

use crate::{BUCKETS, KeyMask, NOBODY, Tables, Timeouts, VipKind};
use hashgate_regs::defs::Action;
use std::collections::HashSet;
use std::net::IpAddr;

/// Sizes of a NIC's tables, as its identification registers report them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wire ports.
    pub ports: u8,
    /// Port rules (and match slots); the default rule is one more.
    pub rules: u8,
    /// Maps.
    pub maps: u8,
    /// Addresses in the VIP table.
    pub vips: u16,
    /// Targets.
    pub targets: u16,
    /// Joined multicast MACs.
    pub multicast: u16,
}

impl Default for Limits {
    /// The default build: 1 port, 64 rules, 65 maps, 512 VIPs, 1024 targets, 512 multicast MACs.
    fn default() -> Self {
        Limits { ports: 1, rules: 64, maps: 65, vips: 512, targets: 1024, multicast: 512 }
    }
}

/// Why a [`Tables`] cannot be loaded. Nothing has been written when it is returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// More of something than the NIC holds.
    #[error("{count} {what}, the NIC holds {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A number outside its range.
    #[error("{what} {value} is out of range: 0..={max}")]
    Range {
        /// What the number is.
        what: &'static str,
        /// The value.
        value: u64,
        /// Largest value allowed.
        max: u64,
    },
    /// The same address twice in a zone.
    #[error("address {addr} is twice in zone {zone}")]
    DuplicateVip {
        /// The address.
        addr: IpAddr,
        /// The zone.
        zone: u8,
    },
    /// A slot names a VIP id that no address has.
    #[error("match slot {slot} names VIP id {vip}, which no address has")]
    UnknownVip {
        /// The slot.
        slot: usize,
        /// The VIP id.
        vip: u16,
    },
    /// A slot names a rule that has no entry.
    #[error("match slot {slot} names rule {rule}, which has no entry")]
    UnknownRule {
        /// The slot.
        slot: usize,
        /// The rule.
        rule: u8,
    },
    /// Two slots of the same kind overlap.
    #[error("match slots {first} and {second} overlap")]
    OverlappingSlots {
        /// The first slot.
        first: usize,
        /// The second slot.
        second: usize,
    },
    /// A slot whose first port is above its last, or that has no protocol.
    #[error("match slot {slot} can never match: {why}")]
    EmptySlot {
        /// The slot.
        slot: usize,
        /// Why.
        why: &'static str,
    },
    /// A rule's bucket key has a field that its binding key lacks.
    #[error(
        "rule {rule}: the bucket key is wider than the binding key; every field of the bucket key must be in the binding key"
    )]
    BucketKeyTooWide {
        /// The rule.
        rule: u8,
    },
    /// A rule names a map that has no owners.
    #[error("rule {rule} names map {map}, which has no owners")]
    UnknownMap {
        /// The rule.
        rule: u8,
        /// The map.
        map: u8,
    },
    /// A map without exactly [`BUCKETS`] owners.
    #[error("map {map} has {len} owners, it must have {BUCKETS}")]
    MapLength {
        /// The map.
        map: u8,
        /// Its length.
        len: usize,
    },
    /// The first bucket of a map whose owner has no target entry.
    #[error("map {map} bucket {bucket}: owner {target} has no target entry")]
    UnknownTarget {
        /// The map.
        map: u8,
        /// The bucket.
        bucket: usize,
        /// The owner.
        target: u16,
    },
    /// A time-out of 0, or longer than the clock of the binding tables can tell.
    #[error("rule {rule}: time-out {what} is {ticks} ticks, allowed are 1..={}", Timeouts::MAX)]
    Timeout {
        /// The rule.
        rule: u8,
        /// Which one.
        what: &'static str,
        /// Its value.
        ticks: u16,
    },
    /// A multicast entry that is not a multicast address.
    #[error("{0} is not a multicast MAC address")]
    NotMulticast(crate::Mac),
}

fn range(what: &'static str, value: impl Into<u64>, max: impl Into<u64>) -> Result<(), TableError> {
    let (value, max) = (value.into(), max.into());
    if value > max { Err(TableError::Range { what, value, max }) } else { Ok(()) }
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), TableError> {
    if count > limit { Err(TableError::TooMany { what, count, limit }) } else { Ok(()) }
}

impl Tables {
    /// Checks everything against the limits of a NIC.
    ///
    /// # Errors
    /// The first violation found; see [`TableError`].
    pub fn validate(&self, limits: &Limits) -> Result<(), TableError> {
        at_most("VIP and dedicated addresses", self.vips.len(), limits.vips.into())?;
        at_most("match slots", self.slots.len(), limits.rules.into())?;
        at_most("multicast MACs", self.multicast.len(), limits.multicast.into())?;
        if let Some(mac) = self.multicast.iter().find(|m| !m.is_multicast()) {
            return Err(TableError::NotMulticast(*mac));
        }
        for (port, vlan) in self.zones.keys() {
            range("port of a zone", *port, limits.ports - 1)?;
            range("VLAN of a zone", *vlan, 4095u16)?;
        }
        let mut seen = HashSet::new();
        for vip in &self.vips {
            range("VIP id", vip.id, limits.vips - 1)?;
            if !seen.insert((vip.zone, vip.addr)) {
                return Err(TableError::DuplicateVip { addr: vip.addr, zone: vip.zone });
            }
        }
        self.validate_slots()?;
        for (&number, rule) in &self.rules {
            range("rule", number, limits.rules)?;
            range("map", rule.map, limits.maps - 1)?;
            for mask in [&rule.bucket, &rule.binding] {
                let KeyMask { src4, src6, .. } = mask;
                range("IPv4 source prefix", *src4, 32u8)?;
                range("IPv6 source prefix", *src6, 128u8)?;
            }
            for (what, ticks) in rule.timeouts.named() {
                if !(1..=Timeouts::MAX).contains(&ticks) {
                    return Err(TableError::Timeout { rule: number, what, ticks });
                }
            }
            if !rule.bucket.is_subset_of(&rule.binding) {
                return Err(TableError::BucketKeyTooWide { rule: number });
            }
            if !self.maps.contains_key(&rule.map) {
                return Err(TableError::UnknownMap { rule: number, map: rule.map });
            }
        }
        for (&map, owners) in &self.maps {
            range("map", map, limits.maps - 1)?;
            if owners.len() != BUCKETS {
                return Err(TableError::MapLength { map, len: owners.len() });
            }
            let unknown = owners.iter().position(|o| *o != NOBODY && !self.targets.contains_key(o));
            if let Some(bucket) = unknown {
                return Err(TableError::UnknownTarget { map, bucket, target: owners[bucket] });
            }
        }
        for &(map, bucket) in self.flags.keys() {
            range("map of a flag", map, limits.maps - 1)?;
            range("bucket of a flag", bucket, (BUCKETS - 1) as u64)?;
        }
        for (&id, target) in &self.targets {
            // The highest id of all is the reserved owner "nobody".
            range("target id", id, (limits.targets - 1).min(NOBODY - 1))?;
            if target.action == Action::Forward {
                range("port of a target", target.port, limits.ports - 1)?;
            }
        }
        Ok(())
    }

    fn validate_slots(&self) -> Result<(), TableError> {
        let slots = || self.slots.iter().enumerate().filter_map(|(n, s)| s.as_ref().map(|s| (n, s)));
        for (slot, s) in slots() {
            if s.ports.0 > s.ports.1 {
                return Err(TableError::EmptySlot { slot, why: "its first port is above its last" });
            }
            if !s.tcp && !s.udp {
                return Err(TableError::EmptySlot { slot, why: "it has neither TCP nor UDP" });
            }
            if let Some(vip) = s.vip
                && !self.vips.iter().any(|v| v.kind == VipKind::Vip && v.id == vip)
            {
                return Err(TableError::UnknownVip { slot, vip });
            }
            if !self.rules.contains_key(&s.rule) {
                return Err(TableError::UnknownRule { slot, rule: s.rule });
            }
            let clash = slots().find(|(n, o)| {
                *n < slot
                    && o.vip == s.vip
                    && ((o.tcp && s.tcp) || (o.udp && s.udp))
                    && o.ports.0 <= s.ports.1
                    && s.ports.0 <= o.ports.1
            });
            if let Some((first, _)) = clash {
                return Err(TableError::OverlappingSlots { first, second: slot });
            }
        }
        Ok(())
    }
}
