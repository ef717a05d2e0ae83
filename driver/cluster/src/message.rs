// SPDX-License-Identifier: Apache-2.0
//! What members tell each other, independent of how it is written into frames (that is [`crate::frame`]).
//! Meaning: `docs/cluster.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Hosts in a cluster.
pub const MAX_HOSTS: usize = 32;
/// Rules of a cluster; the map with this number is that of the default host.
pub const MAX_RULES: usize = 64;
/// Buckets in a page of a map or of holdings.
pub const PAGE_BUCKETS: usize = 1024;

/// A host: its priority, target id and bit in a [`HostSet`], 1..=32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(u8);

impl HostId {
    /// `None` unless 1..=32.
    pub fn new(id: u8) -> Option<HostId> {
        (1..=MAX_HOSTS as u8).contains(&id).then_some(HostId(id))
    }

    /// 1..=32.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A set of hosts; bit h - 1 is host h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostSet(pub u32);

impl HostSet {
    /// Whether `host` is in it.
    pub fn contains(self, host: HostId) -> bool {
        self.0 >> (host.get() - 1) & 1 == 1
    }

    /// Adds `host`.
    pub fn insert(&mut self, host: HostId) {
        self.0 |= 1 << (host.get() - 1);
    }

    /// Takes `host` out.
    pub fn remove(&mut self, host: HostId) {
        self.0 &= !(1 << (host.get() - 1));
    }

    /// Hosts in it.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Nobody is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its hosts, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = HostId> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let host = HostId::new(left.trailing_zeros() as u8 + 1)?;
            left &= left - 1;
            Some(host)
        })
    }
}

impl FromIterator<HostId> for HostSet {
    fn from_iter<T: IntoIterator<Item = HostId>>(hosts: T) -> HostSet {
        HostSet(hosts.into_iter().fold(0, |set, host| set | 1 << (host.get() - 1)))
    }
}

/// What a member has committed last. The order is that of bases: the greatest is the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Committed {
    /// Grows with each proposal.
    pub epoch: u64,
    /// Members of the view that committed it, 1..=32.
    pub view_size: u8,
    /// The lowest of them.
    pub lowest: HostId,
    /// Digest of the maps.
    pub digest: u64,
}

impl Ord for Committed {
    fn cmp(&self, other: &Committed) -> std::cmp::Ordering {
        let key = |it: &Committed| (it.epoch, it.view_size, std::cmp::Reverse(it.lowest), it.digest);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Committed {
    fn partial_cmp(&self, other: &Committed) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a member is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Started, listens.
    Listening,
    /// Has a view, no agreed proposal.
    Converging,
    /// Gives up what it will not have.
    Idle,
    /// Waits for releases and leases.
    Ready,
    /// All members of its view have committed.
    Stable,
    /// Out: not in the clique, another rule set, a host id that is taken, held down.
    Excluded,
    /// Out by command: suspended or stopped.
    Suspended,
}

/// That I have heard somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Echo {
    /// Whom.
    pub host: HostId,
    /// Which start of it.
    pub incarnation: u64,
    /// Its newest sequence number taken while it counted (or, of a candidate, seen).
    pub sequence: u64,
    /// Age of that heartbeat when this was sent, in milliseconds, rounded down, saturating.
    pub age_ms: u16,
    /// It is heard, and this renews its lease. Otherwise it is a former member: `sequence` and `age_ms` are those of its last heartbeat that was echoed with this bit.
    pub counted: bool,
}

/// A beat. Self-contained: each says everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    /// What I am about.
    pub phase: Phase,
    /// My period now, in milliseconds, and tolerance in periods of the profile.
    pub period_ms: u16,
    /// Missed beats after which I remove a peer.
    pub tolerance: u8,
    /// Announced absence in milliseconds, 0 for none.
    pub hold_ms: u32,
    /// Whom I have heard; at most two entries of a host (a member and a candidate), at most 64.
    pub echoes: Vec<Echo>,
    /// My view with myself; empty while I have none.
    pub view: HostSet,
    /// My last committed maps.
    pub committed: Option<Committed>,
    /// Id of the proposal that I work on, 0 for none.
    pub proposal: u64,
    /// Its epoch.
    pub epoch: u64,
    /// Digest of the maps that it leads to.
    pub proposed_digest: u64,
    /// Id of the last proposal that I released, 0 for none; of a member that listens anything else while its NIC has a lease of before its start.
    pub released: u64,
    /// Digest of my active rule set.
    pub rules: u64,
    /// Digest of a staged one, 0 for none.
    pub staged: u64,
    /// The staged set shall become active.
    pub activate: bool,
    /// Capacity in percent, 100 normally; multiplies the weights.
    pub capacity: u16,
    /// Rules (bit = number, bit 64 = default) that drain here: no new sessions.
    pub draining: u128,
    /// Rules that are disabled here.
    pub disabled: u128,
    /// Maps (bit = place in the set) in which I hold bindings in buckets that are not mine in the committed proposal.
    pub holding: u128,
    /// Sessions by rule since the last convergence, latched while converging; as many as there are rules, then the default: at most 65.
    pub connections: Vec<u32>,
}

/// One map for each rule, then that of the default host: CRC-32 of each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MapIndex {
    /// Of the map set.
    pub digest: u64,
    /// Key of each rule and CRC-32 of its map; at most 65.
    pub maps: Vec<(u64, u32)>,
}

/// A part of a map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MapPage {
    /// CRC-32 of the whole map, see [`crate::maps`].
    pub crc: u32,
    /// First bucket, a multiple of [`PAGE_BUCKETS`].
    pub first: u16,
    /// Weights by which the whole map was shared out.
    pub weights: BTreeMap<HostId, u32>,
    /// Owners of [`PAGE_BUCKETS`] buckets; `None`: nobody.
    pub owners: Vec<Option<HostId>>,
}

/// Buckets in which I hold bindings that are not mine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holdings {
    /// The proposal it is about.
    pub proposal: u64,
    /// The rule, 64 for the default.
    pub rule: u8,
    /// Bit per bucket, 512 bytes, bucket 0 in bit 0 of byte 0.
    pub buckets: Vec<u8>,
}

/// Asks for parts of a map set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fetch {
    /// The index of the set with this digest.
    Index {
        /// Who shall answer.
        from: HostId,
        /// Of the set.
        digest: u64,
    },
    /// A page of a map.
    Page {
        /// Who shall answer.
        from: HostId,
        /// Of the map.
        crc: u32,
        /// First bucket, a multiple of [`PAGE_BUCKETS`].
        first: u16,
    },
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// A beat.
    Heartbeat(Arc<Heartbeat>),
    /// A question.
    Fetch(Fetch),
    /// An answer.
    MapIndex(MapIndex),
    /// An answer.
    MapPage(MapPage),
    /// A report.
    Holdings(Holdings),
}

/// A message with its sender. One sequence for all bodies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The sender.
    pub host: HostId,
    /// Its start.
    pub incarnation: u64,
    /// Grows with each message of an incarnation, from 1; below 2^40.
    pub sequence: u64,
    /// What it says.
    pub body: Body,
}
