// SPDX-License-Identifier: Apache-2.0
//! Parts of a cluster that worked by themselves and hear each other again.

use super::{Cluster, Todo};
use crate::api::{Action, Log, RuleSet};
use crate::message::{Committed, HostId, Phase};
use crate::mutation::{Mutation, mutated};
use crate::proposal::{Side, given_up};
use crate::view;
use std::sync::Arc;

impl Cluster {
    /// Another part of the cluster is heard again that has worked by itself. Of each rule the part goes on that has opened more sessions, the other gives
    /// its buckets up at once; bindings stay. The views become one as any others.
    pub(super) fn meet(&mut self, todo: &mut Todo) {
        let maps = self.rules.rules.len() + 1;
        if self.met.is_some() && (self.stopped || self.suspended || self.phase() == Phase::Stable) && !self.is_met() {
            // What was given up to somebody who has gone is taken back by a new epoch.
            self.rejoin |= self.given_up != 0;
            (self.met, self.given_up) = (None, 0);
        } else if self.met.is_none() && self.committed.is_some() && (self.is_met() || self.others_have_met()) {
            let mut sessions = self.connections.clone();
            sessions.resize(maps, 0);
            self.met = Some(sessions);
            // Their connections are none of mine: they are not to be refused here.
            let flags = self.handover.flag_all(self.current.maps.len());
            todo.push(Action::Handover(flags));
        }
        let (Some(met), Some(committed)) = (&self.met, self.committed) else { return };
        if self.lease.armed.is_none() || self.pending.is_some() || mutated(Mutation::BothSidesGoOn) {
            return;
        }
        let others: Vec<_> = self.others_apart().collect();
        if others.is_empty() || others.iter().any(|(.., sessions)| sessions.is_empty()) {
            return;
        }
        let mine = self.reports().filter(|(_, beat)| beat.committed == Some(committed));
        let mine: Vec<_> = mine.map(|(host, beat)| (*host, committed, beat.connections.as_slice())).collect();
        if mine.iter().any(|(.., sessions)| sessions.is_empty()) {
            return;
        }
        let me = (self.settings.host, committed, met.as_slice());
        let sides = Side::all(mine.into_iter().chain([me]).chain(others));
        let won = Side::winners(&sides, maps).into_iter().find(|(side, _)| *side == committed);
        let lost = won.map_or(0, |(_, won)| !won & ((1 << maps) - 1));
        // Of the other part perhaps not all are heard yet: what is heard is what it has at least.
        if lost & !self.given_up != 0 {
            todo.log.push(Log::Healed { lost: lost & !self.given_up });
            self.given_up |= lost;
            let current = Arc::new(given_up(&self.current, lost));
            let all = vec![vec![0xff; crate::api::BITMAP]; current.maps.len()];
            let (epoch, id) = self.proposal.as_ref().map_or((committed.epoch, 0), |it| (it.epoch, it.id));
            self.commit((epoch, id), current, None, all, todo);
        }
    }

    /// Members of other parts: (host, what it has committed, its sessions once it has met us too). They claim by what was agreed on without me, or I do by
    /// what was agreed on without them, and they have not released what I propose.
    fn others_apart(&self) -> impl Iterator<Item = (HostId, Committed, &[u32])> {
        let proposal = self.proposal.as_ref().map_or(0, |proposal| proposal.id);
        self.peers.members.iter().filter_map(move |(host, peer)| {
            let last = &peer.last;
            let committed = last.committed.filter(|committed| Some(*committed) != self.committed)?;
            let claims = view::is_active(last) && last.released != 0 && last.released != proposal;
            let claims = claims && last.rules == self.rules.digest;
            let apart = peer.committed_without_me || !self.committed_by.contains(*host);
            (claims && apart && peer.echoed.is_some()).then_some((*host, committed, last.connections.as_slice()))
        })
    }

    /// Somebody of another part is heard and hears me.
    fn is_met(&self) -> bool {
        self.lease.armed.is_some() && self.others_apart().next().is_some()
    }

    /// Members of my view have, and there is something to agree on.
    fn others_have_met(&self) -> bool {
        self.phase() != Phase::Stable && self.reports().any(|(_, beat)| !beat.connections.is_empty())
    }

    /// Bases of rules that are not the greatest: while members report that they have met, and all mean the same by the number of a rule.
    pub(super) fn healed(&self, rules: &RuleSet) -> Vec<(Committed, u128)> {
        let (Some(base), maps) = (self.greatest(), rules.rules.len() + 1) else { return Vec::new() };
        let met = self.met.is_some() || self.reports().any(|(_, beat)| !beat.connections.is_empty());
        let same = |digest: u64| digest == rules.digest;
        if !met || !same(self.rules.digest) || !self.reports().all(|(_, beat)| same(beat.rules)) {
            return Vec::new();
        }
        let me = self.committed.map(|committed| (self.settings.host, committed, self.met.as_deref().unwrap_or(&[])));
        let reports = self.reports().filter_map(|(host, beat)| Some((*host, beat.committed?, &beat.connections[..])));
        let reports: Vec<_> = reports.chain(me).collect();
        let mut won = Side::winners(&Side::all(reports.into_iter()), maps);
        won.retain(|(side, rules)| *side != base && *rules != 0);
        won.sort_unstable();
        won
    }
}
