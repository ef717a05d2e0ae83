// SPDX-License-Identifier: Apache-2.0
//! Proposals: what all members of a view compute alike.

use crate::api::{RuleSet, Sharing};
use crate::map::{BucketMap, Member, first_map, next_map, single_map};
use crate::maps::{DEFAULT_KEY, MapSet};
use crate::message::{Committed, HostId, HostSet, MAX_RULES};
use hashgate_tables::{BUCKETS, NOBODY};
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::sync::Arc;

/// What a member says about itself that maps depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    pub host: HostId,
    pub incarnation: u64,
    /// Percent of its weights.
    pub capacity: u16,
    /// Rules (bit 64: default host) that get no new sessions there.
    pub closed: u128,
}

/// What a proposal is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inputs {
    /// The view, the lowest host first.
    pub shares: Vec<Share>,
    pub base: Option<Committed>,
    /// After a partition: the rules (bit = number, the default host after the last) whose base is another one.
    pub healed: Vec<(Committed, u128)>,
    /// Digest of the rule set.
    pub rules: u64,
}

/// A part of the cluster that has worked by itself: what it has committed, and the sessions that it has opened since.
#[derive(Clone, Debug)]
pub struct Side {
    pub committed: Committed,
    /// Its members that are heard.
    members: HostSet,
    /// By rule, the default host last.
    sessions: Vec<u64>,
}

impl Side {
    /// Sides by what their members have committed: (host, committed, sessions by rule).
    pub fn all<'r>(reports: impl Iterator<Item = (HostId, Committed, &'r [u32])>) -> Vec<Side> {
        let mut sides: Vec<Side> = Vec::new();
        for (host, committed, sessions) in reports {
            let place = sides.iter().position(|side| side.committed == committed).unwrap_or_else(|| {
                sides.push(Side { committed, members: HostSet::default(), sessions: Vec::new() });
                sides.len() - 1
            });
            let side = &mut sides[place];
            side.members.insert(host);
            side.sessions.resize(side.sessions.len().max(sessions.len()), 0);
            side.sessions.iter_mut().zip(sessions).for_each(|(sum, more)| *sum += u64::from(*more));
        }
        sides
    }

    /// The rules (of so many maps) that each side goes on with: the side with the most sessions, of equal ones that with the most members, then that with the
    /// lowest.
    pub fn winners(sides: &[Side], maps: usize) -> Vec<(Committed, u128)> {
        let mut won: Vec<(Committed, u128)> = sides.iter().map(|side| (side.committed, 0)).collect();
        for map in 0..maps {
            let standing = |side: &Side| {
                let sessions = side.sessions.get(map).copied().unwrap_or(0);
                (sessions, side.members.len(), Reverse(side.members.iter().next()))
            };
            if let Some((place, _)) = sides.iter().enumerate().max_by_key(|(_, side)| standing(side)) {
                won[place].1 |= 1 << map;
            }
        }
        won
    }
}

/// The maps of `base`, but for the rules of `healed`, whose maps come from there.
pub fn healed_base(base: &MapSet, healed: &[(Arc<MapSet>, u128)], rules: &RuleSet) -> MapSet {
    let keys = rules.rules.iter().map(|rule| rule.key).chain([DEFAULT_KEY]);
    let find = |set: &MapSet, key: u64| set.maps.iter().find(|(old, _)| *old == key).map(|(_, map)| map.clone());
    let maps = keys.enumerate().filter_map(|(number, key)| {
        let winner = healed.iter().find(|(_, rules)| rules >> number & 1 == 1);
        Some((key, winner.and_then(|(set, _)| find(set, key)).or_else(|| find(base, key))?))
    });
    MapSet { maps: maps.collect() }
}

/// `maps` without owners in the maps of these numbers.
pub fn given_up(maps: &MapSet, numbers: u128) -> MapSet {
    let maps = maps.maps.iter().enumerate().map(|(number, (key, map))| {
        if numbers >> number & 1 == 0 {
            return (*key, map.clone());
        }
        let nobody = BucketMap::from_parts(vec![NOBODY; BUCKETS], map.weights().clone());
        (*key, Arc::new(nobody.expect("weights of a map")))
    });
    MapSet { maps: maps.collect() }
}

/// A proposal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposal {
    pub id: u64,
    pub epoch: u64,
    pub inputs: Inputs,
    pub maps: Arc<MapSet>,
    pub digest: u64,
}

impl Proposal {
    /// `base`: the maps of `inputs.base` and `inputs.healed` ([`healed_base`]).
    pub fn new(epoch: u64, inputs: Inputs, base: Option<&MapSet>, rules: &RuleSet) -> Proposal {
        let maps = Arc::new(maps(&inputs.shares, base, rules));
        let digest = maps.digest();
        Proposal { id: id(epoch, &inputs, digest), epoch, inputs, maps, digest }
    }

    /// The same under another epoch.
    pub fn with_epoch(&self, epoch: u64) -> Proposal {
        Proposal { id: id(epoch, &self.inputs, self.digest), epoch, ..self.clone() }
    }

    /// What is committed at its end.
    pub fn result(&self) -> Committed {
        let shares = &self.inputs.shares;
        Committed { epoch: self.epoch, view_size: shares.len() as u8, lowest: shares[0].host, digest: self.digest }
    }

    /// The view.
    pub fn view(&self) -> impl Iterator<Item = (HostId, u64)> {
        self.inputs.shares.iter().map(|share| (share.host, share.incarnation))
    }
}

/// 64 bits of SHA-256 over everything, not 0.
fn id(epoch: u64, inputs: &Inputs, digest: u64) -> u64 {
    let mut sha = Sha256::new();
    for number in [epoch, inputs.rules, digest] {
        sha.update(number.to_le_bytes());
    }
    for share in &inputs.shares {
        sha.update([share.host.get()]);
        sha.update(share.incarnation.to_le_bytes());
        sha.update(share.capacity.to_le_bytes());
        sha.update(share.closed.to_le_bytes());
    }
    if let Some(base) = inputs.base {
        sha.update(base.epoch.to_le_bytes());
        sha.update([base.view_size, base.lowest.get()]);
        sha.update(base.digest.to_le_bytes());
    }
    for (committed, rules) in &inputs.healed {
        sha.update(committed.epoch.to_le_bytes());
        sha.update(committed.digest.to_le_bytes());
        sha.update(rules.to_le_bytes());
    }
    let digest = sha.finalize();
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes")).max(1)
}

/// The maps that follow from a base.
fn maps(shares: &[Share], base: Option<&MapSet>, rules: &RuleSet) -> MapSet {
    let old = |key: u64| base.and_then(|base| base.maps.iter().find(|(old, _)| *old == key)).map(|(_, map)| map);
    let open = |share: &&Share, rule: usize| share.closed >> rule & 1 == 0;
    let single = |target: Option<HostId>| single_map(target.map(|host| host.get().into())).expect("a host is a target");
    let mut maps = Vec::with_capacity(rules.rules.len() + 1);
    for (number, rule) in rules.rules.iter().enumerate() {
        let here = |host: &HostId| shares.iter().find(|share| share.host == *host).filter(|share| open(share, number));
        let map = match &rule.sharing {
            Sharing::Disabled => single(None),
            Sharing::Single(priorities) => {
                let best =
                    priorities.iter().filter(|(host, _)| here(host).is_some()).min_by_key(|(_, priority)| *priority);
                single(best.map(|(host, _)| *host))
            }
            Sharing::Multiple(weights) => {
                let member = |(host, weight): &(HostId, u32)| {
                    let capacity = u32::from(here(host)?.capacity);
                    // A weight below one is still a share.
                    let weight = if *weight == 0 || capacity == 0 { 0 } else { (weight * capacity / 100).max(1) };
                    Some(Member { target: host.get().into(), weight })
                };
                let members: Vec<Member> = weights.iter().filter_map(member).collect();
                match old(rule.key).filter(|map| !map.weights().is_empty()) {
                    Some(base) => next_map(base, &members),
                    None => first_map(&members),
                }
                .expect("hosts are targets, once each, and weights are limited")
            }
        };
        maps.push((rule.key, share_equal(map, old(rule.key))));
    }
    let default = shares.iter().filter(|share| open(share, MAX_RULES)).map(|share| share.host).min();
    maps.push((DEFAULT_KEY, share_equal(single(default), old(DEFAULT_KEY))));
    MapSet { maps }
}

/// A map that did not change is kept once.
fn share_equal(map: BucketMap, old: Option<&Arc<BucketMap>>) -> Arc<BucketMap> {
    old.filter(|old| ***old == map).cloned().unwrap_or_else(|| Arc::new(map))
}

/// The map in which I own what I own in `current` **and** in `next`; what the others will own they own only if they do already.
pub fn idle(current: &MapSet, next: &MapSet) -> MapSet {
    let maps = next.maps.iter().map(|(key, next)| {
        let nobody = |_| NOBODY;
        let now = current.maps.iter().find(|(old, _)| old == key).map(|(_, map)| map);
        if now.is_some_and(|now| now.owners() == next.owners()) {
            return (*key, next.clone());
        }
        let owners = next.owners().iter().enumerate().map(|(bucket, owner)| match now {
            Some(now) if now.owners()[bucket] == *owner => *owner,
            _ => nobody(bucket),
        });
        let map = BucketMap::from_parts(owners.collect(), next.weights().clone());
        (*key, Arc::new(map.expect("owners and weights of maps")))
    });
    MapSet { maps: maps.collect() }
}

/// Buckets of all maps that `host` owns.
pub fn owned(maps: &MapSet, host: HostId) -> usize {
    maps.maps.iter().map(|(_, map)| map.count(host.get().into())).sum()
}
