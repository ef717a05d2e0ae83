// SPDX-License-Identifier: Apache-2.0
//! Until when the NIC may take traffic: from what others have echoed.

use crate::api::{Quorum, Settings, Time};
use crate::message::{HostId, HostSet, MAX_HOSTS};
use crate::mutation::{Mutation, mutated};
use crate::peers::{DRIFT, Peers};
use std::collections::VecDeque;

/// Heartbeats whose times are remembered; older ones would renew nothing.
const REMEMBERED: usize = 64;

/// How long after a former member's last heartbeat was taken its claims may live: its lease, with both clocks as wrong as they may be, and a
/// millisecond because ages are told in whole ones.
pub fn longest_claim(lease: Time) -> Time {
    lease + 2 * lease / DRIFT + 1_000_000
}

/// My lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    length: Time,
    quorum: Option<Quorum>,
    /// (sequence, time before it was sent) of my heartbeats.
    sent: VecDeque<(u64, Time)>,
    /// What the NIC was told, while it takes traffic.
    pub armed: Option<Time>,
    /// Until when the NIC takes traffic by a lease of before the start.
    pub adopted: Option<Time>,
}

impl Lease {
    pub fn new(settings: &Settings, adopted: Option<Time>) -> Lease {
        Lease { length: settings.lease, quorum: settings.quorum, sent: VecDeque::new(), armed: None, adopted }
    }

    /// Ends it; gives whether the NIC has to be told.
    pub fn end(&mut self) -> bool {
        self.armed.take().is_some() | self.adopted.take().is_some()
    }

    /// A heartbeat is sent.
    pub fn sent(&mut self, sequence: u64, now: Time) {
        self.sent.push_back((sequence, now));
        if self.sent.len() > REMEMBERED {
            self.sent.pop_front();
        }
    }

    /// When I sent the newest heartbeat up to this one.
    pub fn time_of(&self, sequence: u64) -> Option<Time> {
        self.sent.iter().rev().find(|(sent, _)| *sent <= sequence).map(|(_, time)| *time)
    }

    /// The newest of those sent until `time`, 0 if there is none.
    pub fn newest_before(&self, time: Time) -> u64 {
        self.sent.iter().rev().find(|(_, sent)| *sent <= time).map_or(0, |(sequence, _)| *sequence)
    }

    /// Members that must have echoed a heartbeat of mine, myself included.
    pub fn needed(&self, view: HostSet) -> usize {
        self.quorum.map_or(view.len() / 2 + 1, |quorum| quorum.needed(view))
    }

    /// Until when I may claim: the length after the sending of my newest heartbeat that a majority of the view has echoed (me
    /// included). Whoever is merely unheard stays in the view: it may hear others that remove me.
    pub fn deadline(&self, me: HostId, view: HostSet, peers: &Peers) -> Option<Time> {
        let newest = self.sent.back()?.0;
        let needed = self.needed(view);
        let needed = if mutated(Mutation::LeaseFromOneEcho) { needed.min(2) } else { needed };
        // Who has me in its view no more does not hold back for me.
        let with_me = peers.members.iter().filter(|(host, peer)| view.contains(**host) && peer.last.view.contains(me));
        let mut echoed = [0; MAX_HOSTS + 1];
        let mut count = 0;
        for sequence in with_me.filter_map(|(_, peer)| peer.echoed).chain([newest]) {
            echoed[count] = sequence;
            count += 1;
        }
        if mutated(Mutation::LeaseFromSent) {
            (echoed, count) = ([newest; MAX_HOSTS + 1], needed);
        }
        let echoed = &mut echoed[..count];
        echoed.sort_unstable_by(|a, b| b.cmp(a));
        let sequence = *echoed.get(needed.checked_sub(1)?)?;
        Some(self.time_of(sequence)? + self.length)
    }
}

impl Quorum {
    /// Members that must have echoed, myself included.
    fn needed(&self, view: HostSet) -> usize {
        let expected = usize::from(self.expected_hosts);
        let with_witness = self.witness.is_some_and(|witness| view.contains(witness));
        if with_witness && expected.is_multiple_of(2) { expected / 2 } else { expected / 2 + 1 }
    }

    /// Whether these may serve.
    pub fn is_met(&self, view: HostSet) -> bool {
        view.len() >= self.needed(view)
    }
}
