// SPDX-License-Identifier: Apache-2.0
//! The cluster at one moment, and the tables of its NICs.

use crate::{Config, Host, Sharing, Step};
use hashgate_cluster::map::{BucketMap, Member, first_map, next_map, single_map};
use hashgate_tables::{BucketFlags, NOBODY, Tables, Track};
use std::collections::{BTreeMap, BTreeSet};

/// Who is up, with which weights, and which maps follow.
///
/// Map `n` belongs to rule `n`, and the last map to the default rule. A map after a [`Step`] is the smallest move from
/// the map before it, so a state depends on its history; members with the same history have the same state.
#[derive(Clone, Debug)]
pub struct State<'a> {
    config: &'a Config,
    live: BTreeSet<u8>,
    weights: BTreeMap<(u8, u16), u32>,
    maps: BTreeMap<u8, BucketMap>,
    /// Targets that are up and had the bucket before, by rule and bucket: they may hold connections made in it.
    former: BTreeMap<(u8, u16), BTreeSet<u16>>,
}

impl<'a> State<'a> {
    /// All hosts up.
    pub fn new(config: &'a Config) -> State<'a> {
        let live = config.hosts.iter().map(|h| h.priority).collect();
        let mut state =
            State { config, live, weights: BTreeMap::new(), maps: BTreeMap::new(), former: BTreeMap::new() };
        for (number, rule) in config.rules.iter().enumerate() {
            if let Sharing::Multiple(weights) = &rule.sharing {
                state.weights.extend(weights.iter().map(|(target, weight)| ((number as u8, *target), *weight)));
            }
        }
        state.compute_maps();
        state
    }

    /// The next moment: hosts leave and join, weights change, maps follow by the smallest move.
    pub fn apply(&mut self, step: &Step) {
        self.live.retain(|host| !step.down.contains(host));
        self.live.extend(&step.up);
        self.weights.extend(&step.weights);
        self.compute_maps();
    }

    /// Whether a host is up.
    pub fn is_live(&self, host: &Host) -> bool {
        self.live.contains(&host.priority)
    }

    /// The map of a rule by its number; the default rule's has the number of its rule.
    pub fn map(&self, rule: u8) -> Option<&BucketMap> {
        self.maps.get(&rule)
    }

    /// Weights of the targets that are up in a rule with mode multiple; empty for other rules.
    pub fn weights(&self, rule: u8) -> BTreeMap<u16, u32> {
        let of_rule = self.weights.range((rule, 0)..=(rule, u16::MAX));
        of_rule.filter(|((_, target), _)| self.target_is_live(*target)).map(|((_, t), w)| (*t, *w)).collect()
    }

    /// The live host with the lowest priority number, which takes what no rule covers.
    pub fn default_host(&self) -> Option<&'a Host> {
        let first = self.live.first()?;
        self.config.hosts.iter().find(|h| h.priority == *first)
    }

    /// A host's target is up with the host, a forward target with the host whose NIC forwards.
    fn target_is_live(&self, target: u16) -> bool {
        let forward = self.config.forwards.iter().find(|f| f.target == target);
        self.live.iter().any(|host| forward.map_or(u16::from(*host) == target, |f| f.host == *host))
    }

    fn compute_maps(&mut self) {
        let sound = "a checked configuration has unique target ids and weights within the limit";
        for (number, rule) in self.config.rules.iter().enumerate() {
            let number = number as u8;
            let map = match &rule.sharing {
                Sharing::Disabled => single_map(None),
                Sharing::Single(priorities) => {
                    let live = priorities.iter().filter(|(target, _)| self.target_is_live(**target));
                    single_map(live.min_by_key(|(_, priority)| **priority).map(|(target, _)| *target))
                }
                Sharing::Multiple(_) => {
                    let weights = self.weights(number);
                    let members: Vec<Member> =
                        weights.into_iter().map(|(target, weight)| Member { target, weight }).collect();
                    match self.maps.get(&number) {
                        Some(base) => next_map(base, &members),
                        None => first_map(&members),
                    }
                }
            };
            let map = map.expect(sound);
            if let Some(old) = self.maps.get(&number).filter(|_| rule.track != Track::Never) {
                for (bucket, (before, now)) in (0..).zip(old.owners().iter().zip(map.owners())) {
                    if before != now && *before != NOBODY {
                        self.former.entry((number, bucket)).or_default().insert(*before);
                    }
                }
            }
            self.maps.insert(number, map);
        }
        // A host that went down has no connections any more, not even when it comes back.
        let mut former = std::mem::take(&mut self.former);
        former.values_mut().for_each(|targets| targets.retain(|target| self.target_is_live(*target)));
        former.retain(|_, targets| !targets.is_empty());
        self.former = former;
        let default = single_map(self.default_host().map(Host::target)).expect(sound);
        self.maps.insert(self.config.limits().rules, default);
    }

    /// Everything that the NIC of `host` is told. Only settings, own addresses and targets differ from host to host.
    pub fn tables(&self, host: &Host) -> Tables {
        let maps = self.maps.iter().map(|(number, map)| (*number, map.owners().to_vec())).collect();
        let mut tables = self.config.tables(host, maps);
        // In the middle of a connection, packets without a binding may belong to a host that had the bucket before.
        for ((rule, bucket), targets) in &self.former {
            let owner = self.maps[rule].owners()[usize::from(*bucket)];
            if targets.iter().any(|target| *target != owner) {
                tables.flags.insert((*rule, *bucket), BucketFlags { handover: true, track: false });
            }
        }
        tables
    }
}
