// SPDX-License-Identifier: Apache-2.0
//! Which buckets of mine others may still hold bindings in.

use crate::api::BITMAP;
use crate::maps::MapSet;
use crate::message::{Holdings, HostId, MAX_RULES, Phase};
use crate::mutation::{Mutation, mutated};
use crate::peers::Peers;
use crate::proposal::Proposal;
use std::collections::BTreeMap;

/// What all members hold, for one proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Handover {
    proposal: u64,
    /// Mine, by map; `None`: not counted yet.
    mine: Option<Vec<Vec<u8>>>,
    /// The others', by host and map.
    pages: BTreeMap<(HostId, u8), Vec<u8>>,
    /// What the NIC was told, by map; empty: nothing is flagged.
    flags: Vec<Vec<u8>>,
    /// What that followed from: who has reported what, and how many pages had come.
    reports: Vec<(HostId, bool, u128)>,
    taken: u64,
    looked: u64,
}

impl Handover {
    /// A proposal begins: nobody knows anything.
    pub fn begin(&mut self, proposal: u64) {
        if self.proposal != proposal {
            let flags = std::mem::take(&mut self.flags);
            *self = Handover { proposal, flags, ..Handover::default() };
        }
    }

    /// What the NIC holds. Gives the maps whose pages have changed.
    pub fn count(&mut self, proposal: u64, rules: Vec<Vec<u8>>) -> Vec<Holdings> {
        if proposal != self.proposal || rules.len() > MAX_RULES + 1 {
            return Vec::new();
        }
        let changed = |rule: usize| self.mine.as_ref().is_none_or(|old| old.get(rule) != rules.get(rule));
        let page =
            |(rule, buckets): (usize, &Vec<u8>)| Holdings { proposal, rule: rule as u8, buckets: buckets.clone() };
        let held = rules.iter().enumerate().filter(|(rule, buckets)| buckets.len() == BITMAP && changed(*rule));
        let pages = held.map(page).collect();
        self.mine = Some(rules);
        pages
    }

    /// All pages of what I hold.
    pub fn pages(&self) -> Vec<Holdings> {
        let page = |(rule, buckets): (usize, &Vec<u8>)| {
            let proposal = self.proposal;
            (buckets.len() == BITMAP).then(|| Holdings { proposal, rule: rule as u8, buckets: buckets.clone() })
        };
        self.mine.iter().flatten().enumerate().filter_map(page).collect()
    }

    /// Maps in which I hold something, or may.
    pub fn holding(&self, maps: usize) -> u128 {
        match &self.mine {
            None => mask(maps),
            Some(rules) => {
                rules.iter().enumerate().filter(|(_, held)| !held.is_empty()).fold(0, |set, (n, _)| set | 1 << n)
            }
        }
    }

    /// A page of another.
    pub fn take(&mut self, host: HostId, page: &Holdings, maps: usize) {
        if page.proposal == self.proposal && usize::from(page.rule) < maps && page.buckets.len() == BITMAP {
            self.pages.insert((host, page.rule), page.buckets.clone());
            self.taken += 1;
        }
    }

    /// Flags of all maps for a proposal that I commit or have committed.
    fn flags(&self, me: HostId, proposal: &Proposal, before: &MapSet, peers: &Peers) -> Vec<Vec<u8>> {
        let others: Vec<HostId> = proposal.view().map(|(host, _)| host).filter(|host| *host != me).collect();
        let target = u16::from(me.get());
        let flags = proposal.maps.maps.iter().enumerate().map(|(number, (key, map))| {
            let mut flags = vec![0u8; BITMAP];
            for host in &others {
                let Some(peer) = peers.members.get(host) else { continue };
                let last = &peer.last;
                let reported = self.proposal == proposal.id
                    && last.committed == Some(proposal.result())
                    && last.phase != Phase::Listening;
                let held = match self.pages.get(&(*host, number as u8)) {
                    _ if reported && last.holding >> number & 1 == 0 => None,
                    Some(page) if reported => Some(page.as_slice()),
                    _ => Some(&[0xff; BITMAP][..]),
                };
                held.into_iter().flatten().zip(&mut flags).for_each(|(held, flag)| *flag |= held);
            }
            let moved = before.maps.iter().find(|(old, _)| old == key).map(|(_, old)| old.owners());
            for (bucket, owner) in map.owners().iter().enumerate() {
                let second =
                    mutated(Mutation::HandoverClearedOnSecondMove) && moved.is_some_and(|old| old[bucket] == *owner);
                if *owner != target || second {
                    flags[bucket / 8] &= !(1 << (bucket % 8));
                }
            }
            if flags.iter().all(|flag| *flag == 0) { Vec::new() } else { flags }
        });
        flags.collect()
    }

    /// Others than the members of the proposal hold bindings: every bucket is flagged. Gives what the NIC has to be told.
    pub fn flag_all(&mut self, maps: usize) -> Vec<(u8, Vec<u8>)> {
        self.flags = vec![vec![0xff; BITMAP]; maps];
        // The next look finds whatever holds then.
        self.looked = u64::MAX;
        self.flags.iter().enumerate().map(|(number, flags)| (number as u8, flags.clone())).collect()
    }

    /// Flags for the commit of a proposal.
    pub fn begin_with(&mut self, me: HostId, proposal: &Proposal, before: &MapSet, peers: &Peers) -> Vec<Vec<u8>> {
        self.flags = self.flags(me, proposal, before, peers);
        self.flags.clone()
    }

    /// Maps whose flags differ from what the NIC was told, with the new ones (512 bytes each).
    pub fn changes(&mut self, me: HostId, proposal: &Proposal, before: &MapSet, peers: &Peers) -> Vec<(u8, Vec<u8>)> {
        let result = Some(proposal.result());
        let report = |(host, _)| {
            let last = &peers.members.get(&host)?.last;
            Some((host, last.committed == result, last.holding))
        };
        let reports: Vec<_> = proposal.view().filter_map(report).collect();
        if reports == self.reports && self.looked == self.taken {
            return Vec::new();
        }
        (self.reports, self.looked) = (reports, self.taken);
        let flags = self.flags(me, proposal, before, peers);
        let old = |number: usize| self.flags.get(number).map_or(&[][..], Vec::as_slice);
        let whole = |flags: &Vec<u8>| if flags.is_empty() { vec![0; BITMAP] } else { flags.clone() };
        let changed = flags.iter().enumerate().filter(|(number, flags)| old(*number) != flags.as_slice());
        let changes = changed.map(|(number, flags)| (number as u8, whole(flags))).collect();
        self.flags = flags;
        changes
    }
}

/// A bit for each of so many maps, by their place in the set.
fn mask(maps: usize) -> u128 {
    (1 << maps) - 1
}
