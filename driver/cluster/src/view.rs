// SPDX-License-Identifier: Apache-2.0
//! Views: who works together.

use crate::api::{Exclusion, Time};
use crate::message::{Committed, Heartbeat, HostId, HostSet, MAX_HOSTS, Phase};
use crate::mutation::{Mutation, mutated};
use crate::peers::{Peer, Peers};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a member knows about itself when it looks for its view.
pub struct Myself<'a> {
    pub host: HostId,
    pub committed: Option<Committed>,
    pub rules: u64,
    pub staged: u64,
    /// The view until now, with starts.
    pub view: &'a BTreeMap<HostId, u64>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With me in it.
    View(BTreeMap<HostId, u64>),
    /// I am left out.
    Out(Exclusion),
}

/// It works for the cluster, or wants to.
pub fn is_active(beat: &Heartbeat) -> bool {
    matches!(beat.phase, Phase::Converging | Phase::Idle | Phase::Ready | Phase::Stable)
}

/// Finds the view. `out`: peers that are left out, with the reason.
pub fn find(now: Time, me: &Myself<'_>, peers: &Peers, out: &mut BTreeMap<HostId, Exclusion>) -> Outcome {
    if peers.duplicate.is_some() && me.committed.is_none() {
        return Outcome::Out(Exclusion::DuplicateHost);
    }
    let active: Vec<(HostId, &Peer)> =
        peers.members.iter().filter(|(_, peer)| is_active(&peer.last)).map(|(host, peer)| (*host, peer)).collect();
    let winner = leading_rules(me, &active);
    if winner != me.rules {
        return Outcome::Out(Exclusion::RuleSet { theirs: winner });
    }
    // Also of those that have seen it themselves.
    let others = peers.members.iter().filter(|(_, peer)| !matches!(peer.last.phase, Phase::Suspended));
    let others = others.filter(|(_, peer)| !same_rules(me, &peer.last));
    out.extend(others.map(|(host, peer)| (*host, Exclusion::RuleSet { theirs: peer.last.rules })));
    for (host, peer) in &active {
        if same_rules(me, &peer.last) && peers.is_held_down(now, *host) {
            out.insert(*host, Exclusion::HeldDown);
        }
    }
    let eligible = active.iter().filter(|(host, _)| !out.contains_key(host)).copied();
    let eligible: Vec<(HostId, &Peer)> = eligible.collect();
    // Those of before stay, but for the ones that miss the others.
    let stays = eligible.iter().filter(|(host, peer)| me.view.get(host) == Some(&peer.incarnation));
    let mut view: HostSet = stays.map(|(host, _)| *host).chain([me.host]).collect();
    while let Some((worst, other)) = worst(now, view, peers) {
        if worst == me.host {
            return Outcome::Out(Exclusion::OneWay(other));
        }
        out.insert(worst, Exclusion::OneWay(other));
        view.remove(worst);
    }
    // Newcomers that all of them hear.
    for (host, _) in &eligible {
        if !view.contains(*host) && !out.contains_key(host) {
            match view.iter().find(|member| !peers.mutual(*member, *host)) {
                None => view.insert(*host),
                // It may just have come.
                Some(other) if !peers.mutual_for_long(now, other, *host) => {
                    out.insert(*host, Exclusion::OneWay(other));
                }
                Some(_) => {}
            }
        }
    }
    if let Some(other) = yields_to(now, me, view, &active, peers) {
        return Outcome::Out(Exclusion::OneWay(other));
    }
    let members = eligible.iter().filter(|(host, _)| view.contains(*host));
    Outcome::View(members.map(|(host, peer)| (*host, peer.incarnation)).collect())
}

/// Whether a peer's rule set is mine, or one of us is about to change to the other's.
fn same_rules(me: &Myself<'_>, beat: &Heartbeat) -> bool {
    beat.rules == me.rules
        || (me.staged != 0 && beat.rules == me.staged)
        || (beat.staged != 0 && beat.staged == me.rules)
}

/// The rule set of those with the greatest committed maps; among starters that of most of them, then that of the lowest.
fn leading_rules(me: &Myself<'_>, active: &[(HostId, &Peer)]) -> u64 {
    if active.iter().all(|(_, peer)| same_rules(me, &peer.last)) {
        return me.rules;
    }
    let others = active.iter().map(|(host, peer)| {
        let rules = if same_rules(me, &peer.last) { me.rules } else { peer.last.rules };
        (*host, peer.last.committed, rules)
    });
    let mut groups: BTreeMap<u64, (Option<Committed>, usize, Reverse<HostId>)> = BTreeMap::new();
    for (host, committed, rules) in others.chain([(me.host, me.committed, me.rules)]) {
        let group = groups.entry(rules).or_insert((None, 0, Reverse(host)));
        *group = (group.0.max(committed), group.1 + 1, group.2.max(Reverse(host)));
    }
    groups.into_iter().max_by_key(|(_, standing)| *standing).map_or(me.rules, |(rules, _)| rules)
}

/// Who of a view misses the most edges, the highest of equal ones, and one that it misses.
fn worst(now: Time, view: HostSet, peers: &Peers) -> Option<(HostId, HostId)> {
    let mut apart = [HostSet::default(); MAX_HOSTS + 1];
    let mut any = false;
    for host in view.iter() {
        let lacked = if mutated(Mutation::RemoveOnHearsay) {
            view.iter().filter(|other| *other != host && !peers.mutual(host, *other)).collect()
        } else {
            peers.lacked_for_long(now, host)
        };
        for other in HostSet(lacked.0 & view.0).iter() {
            apart[usize::from(host.get())].insert(other);
            apart[usize::from(other.get())].insert(host);
            any = true;
        }
    }
    if !any {
        return None;
    }
    let missing = |host: HostId| apart[usize::from(host.get())];
    let tie = |host: HostId| {
        let arrival = peers.members.get(&host).map_or(0, |peer| peer.heard);
        if mutated(Mutation::TieByArrival) { arrival } else { host.get().into() }
    };
    let worst = view.iter().max_by_key(|host| (missing(*host).len(), tie(*host), *host))?;
    Some((worst, missing(worst).iter().next()?))
}

/// A peer that works without me although we hear each other, or that does not hear me, goes first if its view is larger, or of equal ones if it has
/// committed more: two that cannot agree must not both serve. The size comes first, so that a member that hears nobody does not silence all others.
fn yields_to(now: Time, me: &Myself<'_>, hosts: HostSet, active: &[(HostId, &Peer)], peers: &Peers) -> Option<HostId> {
    // Of views with other members that with the lowest of them.
    let lowest = |view: HostSet| view.0.reverse_bits();
    let mine = (hosts.len(), me.committed, lowest(hosts));
    active.iter().find_map(|(host, peer)| {
        let view = peer.last.view;
        let theirs = (view.len(), peer.last.committed, lowest(view));
        let without_me = !view.contains(me.host) && !view.is_empty();
        // Two that have just met may yet become one view.
        let without_me = without_me && peer.without_me.is_some_and(|since| now >= since + peers.silence / 2);
        let lacks_me = peer.lacks.get(&me.host).is_some_and(|since| now >= *since + peers.silence);
        let apart = !hosts.contains(*host) && (without_me || lacks_me);
        // It left me out for one that I cannot work with.
        let left_me = hosts.contains(*host) && view.0 & !hosts.0 != 0;
        let left_me = left_me && peer.without_me.is_some_and(|since| now >= since + peers.silence / 2);
        ((apart || left_me) && theirs > mine).then_some(*host)
    })
}
