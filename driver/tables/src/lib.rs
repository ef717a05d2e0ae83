// SPDX-License-Identifier: Apache-2.0
//! The logical content of a NIC's tables, independent of how they are packed into words.
//!
//! The driver loads a [`Tables`] into a NIC, the reference model decides frames by one, and the configuration makes
//! them; so this crate is the place where "what the NIC is told" is defined and its limits are checked.
//! Semantics: `docs/dataplane.md`.
#![forbid(unsafe_code)]

mod mac;
mod validate;

pub use hashgate_regs::defs::{Action, Mode, Track, VipKind};
pub use mac::Mac;
pub use validate::{Limits, TableError};

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Buckets in each map.
pub const BUCKETS: usize = 4096;
/// The reserved owner "nobody": new sessions of the bucket are discarded.
pub const NOBODY: u16 = 1023;

/// The standard receive-side-scaling key (40 bytes, published with the RSS verification values), padded to the
/// 52 bytes of the `HASH_KEY` registers.
pub const STANDARD_HASH_KEY: [u8; 52] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// What happens to unicast IP traffic for an address that is not in the VIP table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherIp {
    /// To the host, reason `unfiltered`.
    #[default]
    Deliver,
    /// Discarded, reason `not-my-ip`.
    Discard,
    /// Balanced by the rules for any VIP (a gateway in the path).
    Balance,
}

/// Settings that are registers, not tables; they take effect at once, not with a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The NIC's own MAC address.
    pub station_mac: Mac,
    /// The MAC address that all members of the cluster accept.
    pub cluster_mac: Mac,
    /// Source MAC that replaces the cluster's on transmit.
    pub mask_mac: Mac,
    /// Replace the cluster MAC as a source on transmit.
    pub mask_source: bool,
    /// `icmp = owner`: ICMP that cannot be keyed follows the default rule instead of reaching every host.
    pub icmp_owner: bool,
    /// Unicast IP traffic for addresses that are not in the VIP table.
    pub other_ip: OtherIp,
    /// Accept every destination MAC.
    pub promiscuous: bool,
    /// Accept every multicast destination MAC.
    pub all_multicast: bool,
    /// Toeplitz key; the same on all members. Changed only while the receive path is disabled.
    pub hash_key: [u8; 52],
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            station_mac: Mac::ZERO,
            cluster_mac: Mac::ZERO,
            mask_mac: Mac::ZERO,
            mask_source: false,
            icmp_owner: false,
            other_ip: OtherIp::Deliver,
            promiscuous: false,
            all_multicast: false,
            hash_key: STANDARD_HASH_KEY,
        }
    }
}

/// An address of the VIP table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vip {
    /// Zone in which the address is known.
    pub zone: u8,
    /// The address; IPv4-mapped IPv6 addresses stay IPv6.
    pub addr: IpAddr,
    /// Balanced or dedicated.
    pub kind: VipKind,
    /// Id that port rules refer to, 0..512; several addresses may share one. 0 for dedicated addresses.
    pub id: u16,
}

/// A port-rule match slot; its index is its priority among slots of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchSlot {
    /// VIP id, or `None` for any VIP.
    pub vip: Option<u16>,
    /// Matches TCP (and GRE as TCP 1723).
    pub tcp: bool,
    /// Matches UDP (and ESP, AH as UDP 500).
    pub udp: bool,
    /// First and last destination port.
    pub ports: (u16, u16),
    /// Takes later fragments of its protocols, whose ports are unknown.
    pub fragment: bool,
    /// Rule number.
    pub rule: u8,
}

/// Which fields of the key take part; the rest is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMask {
    /// Leading bits of an IPv4 source address, 0..=32.
    pub src4: u8,
    /// Leading bits of an IPv6 source address, 0..=128.
    pub src6: u8,
    /// Destination address.
    pub dst: bool,
    /// Source port.
    pub sport: bool,
    /// Destination port.
    pub dport: bool,
}

impl KeyMask {
    /// All fields: no affinity.
    pub const ALL: KeyMask = KeyMask { src4: 32, src6: 128, dst: true, sport: true, dport: true };
    /// Source address only: single affinity.
    pub const SOURCE: KeyMask = KeyMask { src4: 32, src6: 128, dst: false, sport: false, dport: false };
    /// Upper 24 bits of the source address, /64 for IPv6: class C affinity.
    pub const CLASS_C: KeyMask = KeyMask { src4: 24, src6: 64, dst: false, sport: false, dport: false };

    /// Whether every field of `self` is also in `other`.
    pub fn is_subset_of(&self, other: &KeyMask) -> bool {
        self.src4 <= other.src4
            && self.src6 <= other.src6
            && self.dst <= other.dst
            && self.sport <= other.sport
            && self.dport <= other.dport
    }

    /// Whether a port takes part.
    pub fn uses_ports(&self) -> bool {
        self.sport || self.dport
    }
}

/// Entry of the rule table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Disabled, multiple or single.
    pub mode: Mode,
    /// No new sessions for targets that bind here.
    pub draining: bool,
    /// Which sessions get a connection binding.
    pub track: Track,
    /// Sessions also get an affinity binding under the binding key.
    pub affinity: bool,
    /// Map number.
    pub map: u8,
    /// Binding group: stands for the protocol in the keys of affinity bindings, so that rules can share them.
    pub group: u8,
    /// Bucket-key mask; a subset of `binding`.
    pub bucket: KeyMask,
    /// Binding-key mask: of affinity bindings.
    pub binding: KeyMask,
    /// When bindings end that no packet uses.
    pub timeouts: Timeouts,
}

/// Time-outs of bindings by state, each 1..=[`Timeouts::MAX`] ticks of the fast or slow clock of the binding tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A connection of which only the client's SYN was seen; fast ticks.
    pub half_open: u16,
    /// A connection after RST; fast ticks. Later data restores it, as the RST may be forged.
    pub reset: u16,
    /// An established connection; slow ticks.
    pub established: u16,
    /// A connection after the client's FIN; slow ticks.
    pub closing: u16,
    /// UDP, GRE, ESP and AH; slow ticks.
    pub flow: u16,
    /// An affinity binding; slow ticks.
    pub affinity: u16,
}

impl Timeouts {
    /// The longest time-out in ticks: half of what 16 bits count.
    pub const MAX: u16 = 0x7fff;
    /// Default length of a fast tick: 2 to this power, in nanoseconds.
    pub const FAST_TICK: u8 = 20;
    /// Default length of a slow tick: 2 to this power, in nanoseconds.
    pub const SLOW_TICK: u8 = 32;

    /// The six numbers with their names.
    pub fn named(&self) -> [(&'static str, u16); 6] {
        [
            ("half_open", self.half_open),
            ("reset", self.reset),
            ("established", self.established),
            ("closing", self.closing),
            ("flow", self.flow),
            ("affinity", self.affinity),
        ]
    }
}

impl Default for Timeouts {
    /// With the default ticks (1 ms and 4 s, about): 10 s half-open, 5 s after RST, an hour established, two minutes
    /// after FIN, three minutes for UDP, half an hour of affinity.
    fn default() -> Self {
        Timeouts { half_open: 9_537, reset: 4_769, established: 839, closing: 28, flow: 42, affinity: 420 }
    }
}

/// Entry of the target table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// What ownership by this target means on this NIC.
    pub action: Action,
    /// Wire port of [`Action::Forward`].
    pub port: u8,
    /// Receive queue of [`Action::Deliver`].
    pub queue: u8,
    /// Sessions of this target get a binding.
    pub bind: bool,
    /// Absent from the maps; its bindings live on, but new sessions of a client leave it.
    pub draining: bool,
}

impl Target {
    /// Deliver to the host on `queue`; the only target that binds in filter mode.
    pub fn deliver(queue: u8) -> Target {
        Target { action: Action::Deliver, port: 0, queue, bind: true, draining: false }
    }
    /// Discard: another member's.
    pub fn discard() -> Target {
        Target { action: Action::Discard, port: 0, queue: 0, bind: false, draining: false }
    }
    /// Forward unchanged to wire port `port`.
    pub fn forward(port: u8) -> Target {
        Target { action: Action::Forward, port, queue: 0, bind: false, draining: false }
    }
}

/// Flags of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketFlags {
    /// Another live member may still hold connections created in this bucket.
    pub handover: bool,
    /// Rules that track flagged buckets track this one.
    pub track: bool,
}

/// Everything a NIC is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Registers.
    pub settings: Settings,
    /// Zone of (port, VLAN); absent = 0.
    pub zones: BTreeMap<(u8, u16), u8>,
    /// Joined multicast MACs.
    pub multicast: BTreeSet<Mac>,
    /// The VIP table.
    pub vips: Vec<Vip>,
    /// Port-rule match slots; index = slot, `None` = empty.
    pub slots: Vec<Option<MatchSlot>>,
    /// Rules by number; the default rule has the number [`Limits::rules`].
    pub rules: BTreeMap<u8, Rule>,
    /// Owners by map number, each with [`BUCKETS`] entries.
    pub maps: BTreeMap<u8, Vec<u16>>,
    /// Flags by (map, bucket); absent = none. Not shadowed.
    pub flags: BTreeMap<(u8, u16), BucketFlags>,
    /// Targets by id.
    pub targets: BTreeMap<u16, Target>,
}
