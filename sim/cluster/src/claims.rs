// SPDX-License-Identifier: Apache-2.0
//! Who claims which bucket: kept up with every change of a NIC, so that no check looks at all buckets of all NICs.

use hashgate_cluster::api::Time;
use hashgate_cluster::maps::MapSet;
use hashgate_tables::BUCKETS;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Claims on the buckets of one rule.
#[derive(Clone, Debug)]
struct Buckets {
    /// Hosts that claim a bucket, as bits.
    claimants: Vec<u32>,
    /// When the last one gave it up, while nobody has it since a hand-over.
    vacant: Vec<Option<Time>>,
    /// Buckets by host.
    count: [usize; 32],
}

/// All claims.
#[derive(Clone, Debug)]
pub struct Claims {
    rules: BTreeMap<u64, Buckets>,
    /// What each host claims by: the maps of its NIC while it takes traffic.
    maps: Vec<Option<Arc<MapSet>>>,
    /// Buckets that two hosts claim.
    overlap: [[u32; 32]; 32],
    /// How long moving buckets had no owner, ns, and how many.
    pub ownerless: BTreeMap<Time, u64>,
}

impl Claims {
    /// None, of so many hosts.
    pub fn new(hosts: usize) -> Claims {
        Claims { rules: BTreeMap::new(), maps: vec![None; hosts], overlap: [[0; 32]; 32], ownerless: BTreeMap::new() }
    }

    /// `host` (from 0) claims by these maps from now on. `handed`: what it gives up goes to others in an orderly way.
    /// Gives the hosts with which it has begun to share claims, as bits.
    pub fn set(&mut self, host: usize, maps: Option<&Arc<MapSet>>, now: Time, handed: bool) -> u32 {
        let old = std::mem::replace(&mut self.maps[host], maps.cloned());
        if match (&old, maps) {
            (None, None) => true,
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        } {
            return 0;
        }
        let before = self.partners(host);
        let find = |set: Option<&Arc<MapSet>>, key: u64| {
            set.and_then(|set| set.maps.iter().find(|(k, _)| *k == key).map(|(_, map)| map.clone()))
        };
        let keys = |set: Option<&Arc<MapSet>>| set.iter().flat_map(|s| s.maps.iter().map(|m| m.0)).collect::<Vec<_>>();
        let mut all = keys(old.as_ref());
        all.extend(keys(maps));
        all.sort_unstable();
        all.dedup();
        let target = host as u16 + 1;
        for key in all {
            let (was, is) = (find(old.as_ref(), key), find(maps, key));
            if let (Some(was), Some(is)) = (&was, &is)
                && Arc::ptr_eq(was, is)
            {
                continue;
            }
            let buckets = self.rules.entry(key).or_insert_with(|| Buckets {
                claimants: vec![0; BUCKETS],
                vacant: vec![None; BUCKETS],
                count: [0; 32],
            });
            for bucket in 0..BUCKETS {
                let mine = |map: &Option<Arc<_>>| {
                    map.as_ref().is_some_and(|m: &Arc<hashgate_cluster::map::BucketMap>| m.owners()[bucket] == target)
                };
                let (had, has) = (mine(&was), mine(&is));
                if had == has {
                    continue;
                }
                let others = buckets.claimants[bucket] & !(1 << host);
                for other in bits(others) {
                    if has {
                        self.overlap[host][other] += 1;
                        self.overlap[other][host] += 1;
                    } else {
                        self.overlap[host][other] -= 1;
                        self.overlap[other][host] -= 1;
                    }
                }
                if has {
                    buckets.claimants[bucket] |= 1 << host;
                    buckets.count[host] += 1;
                    if let Some(since) = buckets.vacant[bucket].take() {
                        *self.ownerless.entry(now - since).or_default() += 1;
                    }
                } else {
                    buckets.claimants[bucket] = others;
                    buckets.count[host] -= 1;
                    buckets.vacant[bucket] = (others == 0 && handed).then_some(now);
                }
            }
        }
        self.partners(host) & !before
    }

    /// Hosts that claim some bucket that `host` claims, as bits.
    pub fn partners(&self, host: usize) -> u32 {
        (0..self.maps.len()).filter(|other| self.overlap[host][*other] > 0).fold(0, |set, other| set | 1 << other)
    }

    /// A bucket that both claim: rule and bucket.
    pub fn shared(&self, a: usize, b: usize) -> Option<(u64, usize)> {
        let both = 1 << a | 1 << b;
        self.rules.iter().find_map(|(key, buckets)| {
            buckets.claimants.iter().position(|c| c & both == both).map(|bucket| (*key, bucket))
        })
    }

    /// Buckets of a rule that these hosts (bits) claim.
    pub fn count(&self, rule: u64, hosts: u32) -> usize {
        self.rules.get(&rule).map_or(0, |buckets| bits(hosts).map(|host| buckets.count[host]).sum())
    }

    /// Buckets of all rules that a host claims.
    pub fn total(&self, host: usize) -> usize {
        self.rules.values().map(|buckets| buckets.count[host]).sum()
    }
}

/// Places of the bits that are set.
pub fn bits(mut set: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = set.trailing_zeros() as usize;
        (set != 0).then(|| {
            set &= set - 1;
            place
        })
    })
}
