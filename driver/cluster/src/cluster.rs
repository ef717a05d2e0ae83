// SPDX-License-Identifier: Apache-2.0
//! The state machine of a member.
//!
//! [`Cluster::step`] takes an event, then looks at everything once: who is heard, the view, the proposal that follows from it, and how far
//! its hand-over may go. A convergence goes
//!
//! ```text
//! Fetching -> Agreeing -> Idling -> Handing -> Handed -> Released -> Committing -> Done
//!  (base)    (all say the (give up) (bindings) (nobody   (all have    (the whole   (all: stable)
//!             same)                             outside   released)    maps)
//!                                               claims)
//! ```
//!
//! and begins anew from wherever it is when the view, a weight, the rules or the base change.

mod display;
mod healing;

use crate::api::{ALL_RULES, Action, Adopted, Command, Commit, Event, Exclusion, Log, RuleSet, Settings, Status, Time};
use crate::fetch::{self, Answer, Fetching};
use crate::handover::Handover;
use crate::lease::{Lease, longest_claim};
use crate::maps::MapSet;
use crate::message::{Body, Committed, Fetch, Heartbeat, HostId, HostSet, MAX_RULES, Message, Phase};
use crate::mutation::{Mutation, mutated};
use crate::peers::{DRIFT, LONGEST_HOLD_MS, Peer, Peers};
use crate::proposal::{Inputs, Proposal, Share, healed_base, idle, owned};
use crate::view::{self, Myself, Outcome};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of my beats, in a row, in which all members of the view have reported the same proposal.
const AGREE_BEATS: u8 = 2;
/// Beats between two counts of bindings in buckets that are not mine.
const HOLDINGS_BEATS: u64 = 16;
/// A change is told at once, but not before this part of a period after the heartbeat before.
const AT_ONCE: Time = 8;

/// How far the hand-over of the proposal is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Agreeing {
        beats: u8,
    },
    Idling,
    Handing,
    /// What I gave up is handed over.
    Handed,
    Released,
    Committing,
    Done,
}

/// A commit that the NIC has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pending {
    number: u64,
    maps: Arc<MapSet>,
    /// Of the whole maps of a proposal, with its view.
    whole: Option<(Committed, HostSet)>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    settings: Settings,
    /// Since when I listen, or have listened: the start, or that of a link that had been away.
    listens: Time,
    /// The port that heartbeats go by has a link.
    link: bool,
    /// Since when I have not slept so long that somebody may have started, listened and heard nothing of me.
    awake: Time,
    peers: Peers,
    lease: Lease,
    /// The view with me, and since when I am left out.
    view: BTreeMap<HostId, u64>,
    taking_part: bool,
    excluded: Option<Exclusion>,
    left_out: BTreeMap<HostId, Exclusion>,
    /// What the NIC has, and what it was last given whole.
    current: Arc<MapSet>,
    committed: Option<Committed>,
    /// The view that agreed on it.
    committed_by: HostSet,
    /// The maps of `committed`, with their digest.
    whole: Option<(u64, Arc<MapSet>)>,
    /// Those of other bases, by digest, while they are needed.
    bases: BTreeMap<u64, Arc<MapSet>>,
    fetching: Option<Fetching>,
    proposal: Option<Proposal>,
    /// When it was made.
    proposed: Time,
    stage: Stage,
    released: u64,
    /// My first message after that.
    released_from: u64,
    pending: Option<Pending>,
    commits: u64,
    handover: Handover,
    /// The lease ended: a new epoch is needed.
    rejoin: bool,
    // what I say about myself
    suspended: bool,
    stopped: bool,
    draining: u128,
    disabled: u128,
    capacity: u16,
    hold_ms: u32,
    /// My first heartbeat that announces it.
    hold_from: u64,
    rules: Arc<RuleSet>,
    /// Those before: others may still go by them.
    previous: Option<Arc<RuleSet>>,
    staged: Option<Arc<RuleSet>>,
    /// What was staged before that: others may have taken it for the one to activate.
    replaced: Option<Arc<RuleSet>>,
    activate: bool,
    /// Sessions opened since the last convergence, by rule.
    connections: Vec<u32>,
    /// Those at the moment when another part of the cluster was met that has worked by itself.
    met: Option<Vec<u32>>,
    /// Maps that I have given up to it, by number.
    given_up: u128,
    // heartbeats
    sequence: u64,
    beats: u64,
    next_beat: Time,
    last_beat: Option<Time>,
    said: Option<Arc<Heartbeat>>,
    wake: Time,
}

/// What a step has to do, in its order.
#[derive(Default)]
struct Todo {
    actions: Vec<Action>,
    log: Vec<Log>,
}

impl Todo {
    fn push(&mut self, action: Action) {
        self.flush();
        self.actions.push(action);
    }

    /// What is to be logged keeps its place.
    fn flush(&mut self) {
        self.actions.extend(self.log.drain(..).map(Action::Log));
    }
}

impl Cluster {
    /// A member that starts. It takes no traffic until it has agreed with all that it hears; `adopted`: what its NIC does meanwhile, until the lease of
    /// before ends.
    pub fn new(settings: Settings, now: Time, adopted: Option<Adopted>) -> (Cluster, Vec<Action>) {
        let (committed, maps, lease) = match adopted {
            Some(adopted) => (Some(adopted.committed), adopted.maps, adopted.lease),
            None => (None, Arc::default(), None),
        };
        let cluster = Cluster {
            listens: now,
            link: true,
            awake: now,
            peers: Peers::new(&settings),
            lease: Lease::new(&settings, lease),
            view: BTreeMap::new(),
            taking_part: false,
            excluded: None,
            left_out: BTreeMap::new(),
            current: maps.clone(),
            committed,
            committed_by: HostSet::default(),
            whole: committed.map(|committed| (committed.digest, maps)),
            bases: BTreeMap::new(),
            fetching: None,
            proposal: None,
            proposed: now,
            stage: Stage::Done,
            released: 0,
            released_from: 0,
            pending: None,
            commits: 0,
            handover: Handover::default(),
            rejoin: false,
            suspended: false,
            stopped: false,
            draining: 0,
            disabled: 0,
            capacity: 100,
            hold_ms: 0,
            hold_from: 0,
            rules: settings.rules.clone(),
            previous: None,
            staged: None,
            replaced: None,
            activate: false,
            connections: Vec::new(),
            met: None,
            given_up: 0,
            sequence: 0,
            beats: 0,
            next_beat: now,
            last_beat: None,
            said: None,
            wake: now,
            settings,
        };
        let actions = if committed.is_none() { vec![Action::Withdraw] } else { Vec::new() };
        (cluster, actions)
    }

    /// Takes an event. `now` is read before any of the actions is carried out.
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Action> {
        let mut todo = Todo::default();
        let late = now > self.wake + self.settings.silence() / 4;
        if now > self.wake + self.settings.silence() / 2 && !mutated(Mutation::ClaimAfterSleep) {
            self.awake = now;
        }
        self.watch_lease(now, &mut todo);
        self.take(now, event, &mut todo);
        self.peers.expire(now, late, &mut todo.log);
        self.advance(now, &mut todo);
        self.beat(now, &mut todo);
        self.wake = self.next_wake(now);
        todo.flush();
        todo.actions
    }

    /// When [`Cluster::step`] wants to be called if nothing happens before.
    pub fn deadline(&self) -> Time {
        self.wake
    }

    /// For people and programs.
    pub fn status(&self) -> Status {
        Status {
            phase: self.phase(),
            excluded: self.excluded,
            heard: self.peers.heard(),
            view: self.my_view(),
            committed: self.committed,
            proposal: self.proposal.as_ref().map_or((0, 0), |proposal| (proposal.id, proposal.epoch)),
            lease: self.lease.armed,
            maps: self.current.clone(),
        }
    }

    /// Peers that are left out, with the reason.
    pub fn left_out(&self) -> &BTreeMap<HostId, Exclusion> {
        &self.left_out
    }

    // ---- events ---------------------------------------------------------------------------------------------------------

    fn take(&mut self, now: Time, event: Event, todo: &mut Todo) {
        match event {
            Event::Tick => {}
            Event::Message(message) => self.hear(now, message, todo),
            Event::Committed(number) => self.nic_committed(now, number, todo),
            Event::BindingsHanded(proposal) => {
                if self.stage == Stage::Handing && self.is_current(proposal) {
                    self.stage = Stage::Handed;
                }
            }
            Event::Holdings { proposal, rules } => {
                for page in self.handover.count(proposal, rules) {
                    self.send(Body::Holdings(page), todo);
                }
            }
            Event::Connections(connections) => {
                self.connections = connections;
                self.connections.truncate(MAX_RULES + 1);
            }
            Event::LeaseLost => self.lease_ended(todo),
            Event::Link(link) => self.plugged(now, link, todo),
            Event::Command(command) => self.obey(command, todo),
        }
    }

    fn hear(&mut self, now: Time, message: Message, todo: &mut Todo) {
        if !self.peers.take(now, &message, &mut todo.log) {
            return;
        }
        let host = message.host;
        match message.body {
            Body::Heartbeat(beat) => {
                // It takes no traffic since before it said so.
                if matches!(beat.phase, Phase::Suspended | Phase::Excluded) && self.view.contains_key(&host) {
                    self.peers.note_former(now, host, true);
                    self.peers.note_last_reports(host);
                }
            }
            Body::Fetch(question) => {
                let (Fetch::Index { from, .. } | Fetch::Page { from, .. }) = question;
                if from == self.settings.host {
                    let sets = self.whole.iter().map(|(_, maps)| maps).chain(self.bases.values());
                    match fetch::answer(&question, sets) {
                        Some(Answer::Index(index)) => self.send(Body::MapIndex(index), todo),
                        Some(Answer::Page(page)) => self.send(Body::MapPage(page), todo),
                        None => {}
                    }
                }
            }
            Body::MapIndex(index) => {
                let maps = self.fetching.as_mut().and_then(|fetching| fetching.take_index(now, &index));
                self.fetched(maps);
            }
            Body::MapPage(page) => {
                let maps = self.fetching.as_mut().and_then(|fetching| fetching.take_page(now, &page));
                self.fetched(maps);
            }
            Body::Holdings(page) => self.handover.take(host, &page, self.current.maps.len()),
        }
    }

    fn fetched(&mut self, maps: Option<Arc<MapSet>>) {
        if let (Some(maps), Some(fetching)) = (maps, &self.fetching) {
            self.bases.insert(fetching.digest, maps);
            self.fetching = None;
        }
    }

    fn nic_committed(&mut self, now: Time, number: u64, todo: &mut Todo) {
        let Some(pending) = self.pending.take_if(|pending| pending.number == number) else { return };
        let moved = moved(&self.current, &pending.maps);
        self.current = pending.maps.clone();
        if let Some((committed, view)) = pending.whole {
            self.committed_by = view;
            let default = self.current.maps.last().and_then(|(_, map)| map.owners().first().copied());
            self.committed = Some(committed);
            self.whole = Some((committed.digest, pending.maps));
            let owned = owned(&self.current, self.settings.host);
            todo.log.push(Log::Committed { epoch: committed.epoch, owned, moved });
            todo.log.push(Log::DefaultHost(default.and_then(|target| HostId::new(u8::try_from(target).ok()?))));
            // A lease that has ended begins anew only with what all have released: not with what was agreed on before others were heard again.
            if self.lease.armed.is_some() || self.is_result(committed) {
                self.arm(now, todo);
            } else {
                self.rejoin = true;
            }
        }
        match self.stage {
            Stage::Idling => {
                self.stage = Stage::Handing;
                if let Some(proposal) = &self.proposal {
                    todo.push(Action::HandBindings(proposal.id));
                }
            }
            Stage::Committing if pending.whole.is_some_and(|(committed, _)| self.is_result(committed)) => {
                self.stage = Stage::Done;
                if let Some(proposal) = &self.proposal {
                    todo.push(Action::CountHoldings(proposal.id));
                }
            }
            // Given up to another part of the cluster.
            _ if pending.whole.is_none() => todo.push(Action::HandBindings(0)),
            _ => {}
        }
    }

    fn obey(&mut self, command: Command, todo: &mut Todo) {
        let of_rules = matches!(command, Command::EnableRules(_) | Command::DrainRules(_) | Command::DisableRules(_));
        match command {
            // Who is suspended starts with `Resume` first.
            Command::Start => self.stopped = self.suspended,
            Command::Stop => self.stopped = true,
            Command::Suspend => (self.suspended, self.stopped) = (true, true),
            Command::Resume => self.suspended = false,
            Command::Drain => self.draining = ALL_RULES,
            Command::Undrain => self.draining = 0,
            Command::EnableRules(rules) => {
                self.draining &= !rules;
                self.disabled &= !rules;
            }
            Command::DrainRules(rules) => {
                self.draining |= rules & ALL_RULES;
                self.disabled &= !rules;
            }
            Command::DisableRules(rules) => self.disabled |= rules & ALL_RULES,
            Command::Capacity(percent) => self.capacity = percent.min(1000),
            Command::Stage(rules) => {
                if !rules.is_good() || self.is_activating() {
                    todo.log.push(Log::StageRefused { digest: rules.digest });
                } else {
                    self.replaced = self.staged.replace(rules);
                    self.activate = false;
                }
            }
            Command::Activate => self.activate = self.staged.is_some(),
            Command::AbortStage => {
                if !self.is_activating() {
                    (self.staged, self.replaced, self.activate) = (None, None, false);
                }
            }
            Command::Hold(ms) => self.hold_ms = ms.min(LONGEST_HOLD_MS),
        }
        if of_rules {
            todo.push(Action::DisableRules(self.disabled));
        }
        if (self.stopped || self.suspended) && self.lease.end() {
            todo.push(Action::Withdraw);
        }
    }

    /// Others may have agreed with me on the staged rules: it is too late for others, or none.
    fn is_activating(&self) -> bool {
        let proposed = self.proposal.as_ref().map(|proposal| proposal.inputs.rules);
        self.staged.as_ref().is_some_and(|staged| Some(staged.digest) == proposed)
    }

    // ---- what follows ---------------------------------------------------------------------------------------------------

    fn advance(&mut self, now: Time, todo: &mut Todo) {
        self.meet(todo);
        if self.find_view(now, todo) {
            self.propose(now, todo);
            self.hand_over(now, todo);
            self.renew_lease(now, todo);
            self.update_flags(todo);
        }
    }

    /// The NIC has withdrawn by itself.
    fn watch_lease(&mut self, now: Time, todo: &mut Todo) {
        if self.lease.armed.is_some_and(|deadline| now >= deadline) {
            self.lease_ended(todo);
        }
        self.lease.adopted = self.lease.adopted.filter(|deadline| now < *deadline);
    }

    /// Only a new epoch that all have released begins it again.
    fn lease_ended(&mut self, todo: &mut Todo) {
        if self.lease.armed.take().is_some() {
            todo.log.push(Log::LeaseExpired);
            self.rejoin = true;
            if self.stage == Stage::Done {
                // I claim nothing now.
                self.released = 0;
            }
        }
    }

    /// Nobody is heard without a link, and nobody hears me: that says nothing about others, who go on without me. The lease ends without echoes as always,
    /// at once if it needs none, and is claimed anew only after listening.
    fn plugged(&mut self, now: Time, link: bool, todo: &mut Todo) {
        if link == self.link || mutated(Mutation::ClaimWithoutLink) {
            return;
        }
        todo.log.push(Log::Link(link));
        self.link = link;
        if link {
            self.awake = now;
            if self.lease.armed.is_none() {
                self.listens = now;
            }
        } else if self.lease.needed(self.my_view()) < 2 && self.lease.armed.is_some() {
            todo.push(Action::Withdraw);
            self.lease_ended(todo);
        }
    }

    // ---- views ----------------------------------------------------------------------------------------------------------

    /// Looks for the view; gives whether there is one.
    fn find_view(&mut self, now: Time, todo: &mut Todo) -> bool {
        let listens = now < self.listens + self.settings.silence() && !mutated(Mutation::NoListening);
        let listens = listens || !self.link && self.lease.armed.is_none();
        if listens || self.stopped || self.suspended {
            let out = (!listens).then_some(Exclusion::Suspended);
            self.leave(now, out, todo);
            return false;
        }
        let me = Myself {
            host: self.settings.host,
            committed: self.committed,
            rules: self.rules.digest,
            staged: self.staged.as_ref().map_or(0, |staged| staged.digest),
            view: &self.view,
        };
        let mut left_out = BTreeMap::new();
        let outcome = view::find(now, &me, &self.peers, &mut left_out);
        for (host, cause) in &left_out {
            if self.left_out.get(host) != Some(cause) {
                todo.log.push(Log::PeerExcluded { host: *host, cause: *cause });
            }
        }
        self.left_out = left_out;
        match outcome {
            Outcome::Out(cause) => {
                self.leave(now, Some(cause), todo);
                if let Exclusion::RuleSet { theirs } = cause
                    && let Some(rules) = self.replaced.take_if(|replaced| replaced.digest == theirs)
                {
                    // The others were already activating it when another one came.
                    if self.activate_rules(rules, todo) {
                        todo.push(Action::DisableRules(self.disabled));
                    }
                }
                false
            }
            Outcome::View(view) => {
                (self.excluded, self.taking_part) = (None, true);
                if view != self.view {
                    self.change_view(now, view, todo);
                }
                true
            }
        }
    }

    fn change_view(&mut self, now: Time, view: BTreeMap<HostId, u64>, todo: &mut Todo) {
        let gone: Vec<HostId> =
            self.view.iter().filter(|(host, start)| view.get(host) != Some(start)).map(|(host, _)| *host).collect();
        gone.into_iter().for_each(|host| self.peers.note_former(now, host, false));
        // The claims of those inside are the view's again.
        self.peers.formers.retain(|host, _| !view.contains_key(host));
        self.view = view;
        todo.log.push(Log::View(self.my_view()));
        if self.taking_part && !self.has_quorum() {
            todo.log.push(Log::NoQuorum(self.my_view()));
        }
    }

    /// I am in no view: I take no traffic.
    fn leave(&mut self, now: Time, cause: Option<Exclusion>, todo: &mut Todo) {
        if !self.view.is_empty() {
            self.change_view(now, BTreeMap::new(), todo);
        }
        if cause.is_some() && self.excluded != cause {
            todo.log.extend(cause.map(Log::Excluded));
        }
        if cause.is_some() && self.lease.end() {
            todo.push(Action::Withdraw);
            self.rejoin = true;
        }
        // I claim nothing now.
        (self.taking_part, self.excluded, self.released) = (false, cause, 0);
        (self.proposal, self.fetching, self.stage) = (None, None, Stage::Done);
    }

    /// My view with myself; empty if I have none.
    fn my_view(&self) -> HostSet {
        if self.taking_part {
            self.view.keys().copied().chain([self.settings.host]).collect()
        } else {
            HostSet::default()
        }
    }

    /// Reports of all members of the view, the newest of each.
    fn reports(&self) -> impl Iterator<Item = (&HostId, &Heartbeat)> {
        self.view.keys().filter_map(|host| Some((host, &*self.peers.members.get(host)?.last)))
    }

    /// The greatest committed maps of the view.
    fn greatest(&self) -> Option<Committed> {
        let all = self.reports().filter_map(|(_, beat)| beat.committed).chain(self.committed);
        if mutated(Mutation::BaseByEpochOnly) {
            return all.max_by_key(|committed| committed.epoch);
        }
        all.max()
    }

    /// What the members of the view say that maps of these rules depend on.
    fn shares(&self, rules: &RuleSet) -> Vec<Share> {
        // By the numbers of these rules, whichever the member goes by now.
        let known = || [Some(&self.rules), self.staged.as_ref(), self.previous.as_ref()].into_iter().flatten();
        let renumbered = |bits: u128, digest: u64| match known().find(|set| set.digest == digest) {
            Some(set) => rules.renumbered(bits & ALL_RULES, set),
            None => bits & ALL_RULES,
        };
        let others = self.view.iter().filter_map(|(host, incarnation)| {
            let beat = &self.peers.members.get(host)?.last;
            let closed = renumbered(beat.draining | beat.disabled, beat.rules);
            Some(Share { host: *host, incarnation: *incarnation, capacity: beat.capacity.min(1000), closed })
        });
        let closed = renumbered(self.draining | self.disabled, self.rules.digest);
        let (host, incarnation) = (self.settings.host, self.settings.incarnation);
        let mut shares: Vec<Share> =
            others.chain([Share { host, incarnation, capacity: self.capacity, closed }]).collect();
        shares.sort_unstable_by_key(|share| share.host);
        shares
    }

    /// The rule set of a new proposal: a staged one as soon as all have it and somebody wants it.
    fn next_rules(&self) -> Arc<RuleSet> {
        let Some(staged) = &self.staged else { return self.rules.clone() };
        let has = |beat: &Heartbeat| beat.staged == staged.digest || beat.rules == staged.digest;
        let wants = |beat: &Heartbeat| beat.rules == staged.digest || (beat.staged == staged.digest && beat.activate);
        let all = self.reports().all(|(_, beat)| has(beat));
        let go = self.activate || self.reports().any(|(_, beat)| wants(beat));
        if all && go { staged.clone() } else { self.rules.clone() }
    }

    /// Makes a proposal if the one there is does not fit any more.
    fn propose(&mut self, now: Time, todo: &mut Todo) {
        let base = self.greatest();
        let rules = self.next_rules();
        let inputs = Inputs { shares: self.shares(&rules), base, healed: self.healed(&rules), rules: rules.digest };
        let reported = self.reports().map(|(_, beat)| beat.epoch).max().unwrap_or(0);
        let fits = self.proposal.as_ref().is_some_and(|proposal| {
            let old = &proposal.inputs;
            // Its own result is no new base.
            let same_base = (base == old.base && inputs.healed == old.healed) || base == Some(proposal.result());
            old.shares == inputs.shares && old.rules == rules.digest && same_base
        });
        let rejoin = self.rejoin && (self.stage == Stage::Done || self.proposal.is_none());
        let epoch = self.proposal.as_ref().map_or(0, |proposal| proposal.epoch);
        if fits && !rejoin && reported <= epoch {
            self.fetching = None;
            return;
        }
        let after = base.map_or(0, |base| base.epoch) + 1;
        let next = after.max(reported).max(if rejoin { epoch + 1 } else { 0 });
        let Some(maps) = self.base_maps(now, &inputs, &rules, todo) else {
            (self.proposal, self.stage) = (None, Stage::Done);
            return;
        };
        let proposal = match &self.proposal {
            Some(old) if old.inputs == inputs => old.with_epoch(next),
            _ => Proposal::new(next, inputs, maps.as_deref(), &rules),
        };
        todo.log.push(Log::Proposed { epoch: proposal.epoch, proposal: proposal.id });
        self.handover.begin(proposal.id);
        self.rejoin &= rejoin && self.lease.armed.is_none();
        (self.proposal, self.proposed, self.stage) = (Some(proposal), now, Stage::Agreeing { beats: 0 });
    }

    /// The maps that a proposal begins with: `Some(None)` if there are none, `None` while some are being fetched.
    fn base_maps(
        &mut self,
        now: Time,
        inputs: &Inputs,
        rules: &RuleSet,
        todo: &mut Todo,
    ) -> Option<Option<Arc<MapSet>>> {
        let Some(base) = inputs.base else { return Some(None) };
        let needed: Vec<u64> = inputs.healed.iter().map(|(side, _)| side.digest).chain([base.digest]).collect();
        self.bases.retain(|digest, _| needed.contains(digest));
        let known = |digest: u64| match &self.whole {
            Some((own, maps)) if *own == digest => Some(maps),
            _ => self.bases.get(&digest),
        };
        if let Some(missing) = needed.iter().find(|digest| known(**digest).is_none()) {
            self.fetch(now, *missing, todo);
            return None;
        }
        let healed = inputs.healed.iter().filter_map(|(side, rules)| Some((known(side.digest)?.clone(), *rules)));
        let healed: Vec<_> = healed.collect();
        let maps = known(base.digest).cloned()?;
        self.fetching = None;
        Some(Some(if healed.is_empty() { maps } else { Arc::new(healed_base(&maps, &healed, rules)) }))
    }

    /// Asks a member of the view for maps.
    fn fetch(&mut self, now: Time, digest: u64, todo: &mut Todo) {
        let has = |beat: &Heartbeat| beat.committed.is_some_and(|committed| committed.digest == digest);
        let holders: Vec<HostId> = self.reports().filter(|(_, beat)| has(beat)).map(|(host, _)| *host).collect();
        if self.fetching.as_ref().is_none_or(|fetching| fetching.digest != digest) {
            let sets = self.whole.iter().map(|(_, maps)| maps).chain(self.bases.values());
            self.fetching = Some(Fetching::new(digest, sets.flat_map(|set| &set.maps).map(|(_, map)| map), now));
        }
        let period = self.settings.period;
        let question = self.fetching.as_mut().and_then(|fetching| fetching.ask(now, period, &holders));
        if let Some(question) = question {
            self.send(Body::Fetch(question), todo);
        }
    }

    fn is_current(&self, id: u64) -> bool {
        self.proposal.as_ref().is_some_and(|proposal| proposal.id == id)
    }

    fn is_result(&self, committed: Committed) -> bool {
        self.proposal.as_ref().is_some_and(|proposal| proposal.result() == committed)
    }

    /// All members of the view say the same.
    fn all_report(&self, said: impl Fn(&Heartbeat) -> bool) -> bool {
        self.reports().all(|(_, beat)| said(beat))
    }

    fn hand_over(&mut self, now: Time, todo: &mut Todo) {
        if matches!(self.stage, Stage::Idling | Stage::Handing | Stage::Committing | Stage::Done) {
            return;
        }
        let Some(proposal) = self.proposal.clone() else { return };
        if let Stage::Agreeing { beats } = self.stage
            && beats >= AGREE_BEATS
            && self.pending.is_none()
        {
            self.give_up(&proposal, todo);
        }
        // Members that do not hear who claims outside the view claim as soon as I have released: so I do not, while I hear one.
        if self.stage == Stage::Handed && (!self.outsider_claims() || mutated(Mutation::ReleaseBesideOutsiders)) {
            self.release();
        }
        if self.stage == Stage::Released && self.pending.is_none() && self.may_claim(now, &proposal) {
            let flags = self.handover.begin_with(self.settings.host, &proposal, &self.current, &self.peers);
            self.given_up = 0;
            let of = (proposal.epoch, proposal.id);
            self.commit(of, proposal.maps.clone(), Some(proposal.result()), flags, todo);
            self.stage = Stage::Committing;
        }
    }

    /// Gives up what will not be mine. It needs nobody's leave.
    fn give_up(&mut self, proposal: &Proposal, todo: &mut Todo) {
        let (mut activated, mut renumbered) = (false, false);
        if proposal.inputs.rules != self.rules.digest
            && let Some(staged) = self.staged.take_if(|staged| staged.digest == proposal.inputs.rules)
        {
            (self.activate, activated) = (false, true);
            renumbered = self.activate_rules(staged, todo);
        }
        // With other rules a packet may have another bucket or rule: nobody keeps anything until all have them.
        let other_rules = activated && !mutated(Mutation::ClaimAcrossRules);
        let kept = if other_rules { Arc::default() } else { self.current.clone() };
        let maps = Arc::new(idle(&kept, &proposal.maps));
        if *maps == *self.current || mutated(Mutation::NoIdleMap) {
            // A member that comes back may hold bindings in them.
            let flags = self.handover.flag_all(maps.maps.len());
            todo.push(Action::Handover(flags));
            self.stage = Stage::Handed;
        } else {
            let all = vec![vec![0xff; crate::api::BITMAP]; maps.maps.len()];
            self.commit((proposal.epoch, proposal.id), maps, None, all, todo);
            self.stage = Stage::Idling;
        }
        if renumbered {
            // After the commit: until then the NIC goes by the old numbers.
            todo.push(Action::DisableRules(self.disabled));
        }
    }

    /// Goes by other rules from now on; gives whether disabled rules have other numbers, which the NIC has to be told.
    #[must_use]
    fn activate_rules(&mut self, rules: Arc<RuleSet>, todo: &mut Todo) -> bool {
        let old = std::mem::replace(&mut self.rules, rules.clone());
        let disabled = rules.renumbered(self.disabled, &old);
        self.draining = rules.renumbered(self.draining, &old);
        todo.push(Action::ActivateRules(rules));
        self.previous = Some(old);
        std::mem::replace(&mut self.disabled, disabled) != disabled
    }

    fn commit(
        &mut self,
        (epoch, proposal): (u64, u64),
        maps: Arc<MapSet>,
        whole: Option<Committed>,
        handover: Vec<Vec<u8>>,
        todo: &mut Todo,
    ) {
        self.commits += 1;
        let (number, digest) = (self.commits, whole.map_or(0, |committed| committed.digest));
        let whole = whole.map(|committed| (committed, self.my_view()));
        self.pending = Some(Pending { number, maps: maps.clone(), whole });
        todo.push(Action::Commit(Commit { number, epoch, digest, proposal, maps, handover }));
    }

    fn release(&mut self) {
        if let Some(proposal) = &self.proposal {
            self.released = proposal.id;
            self.released_from = self.sequence + 1;
            self.stage = Stage::Released;
        }
    }

    /// Nobody else claims what the proposal gives me, and I have a lease for it.
    fn may_claim(&self, now: Time, proposal: &Proposal) -> bool {
        let no_barrier = mutated(Mutation::ClaimWithoutRelease);
        let released = self.all_report(|beat| beat.released == proposal.id) || no_barrier;
        let fresh = self.releases_are_fresh(now) || no_barrier || mutated(Mutation::OldReleases);
        let ended = self.former_claims_end() <= now || mutated(Mutation::ClaimBeforeLeaseEnds);
        let alone = !self.outsider_claims() || mutated(Mutation::ClaimBesideOutsiders);
        let lease = self.lease_deadline().is_some_and(|deadline| deadline > now);
        let known = self.undecided_until() <= now || mutated(Mutation::IgnoreCandidates);
        let told = self.outsiders_know(now) || mutated(Mutation::ClaimUntold);
        let listened = now >= self.awake + self.settings.silence() || mutated(Mutation::NoListening);
        self.link && listened && known && told && released && fresh && ended && alone && lease && self.has_quorum()
    }

    /// Until when somebody who is heard, and does not count yet, may turn out to claim. Not for longer than so after the proposal: who replays old starts
    /// one after the other holds up nobody for ever.
    fn undecided_until(&self) -> Time {
        self.peers.undecided_until().min(self.proposed + 2 * self.settings.silence())
    }

    /// What the members say they said to a heartbeat of mine that says that I have released, and that I sent within the length of a lease. Who
    /// slept may have been removed meanwhile, and what it hears first is old.
    fn releases_are_fresh(&self, now: Time) -> bool {
        let host = self.settings.host;
        self.view.keys().all(|member| {
            let Some(peer) = self.peers.members.get(member) else { return false };
            let echoed = peer.echoed.unwrap_or(0);
            let sent = self.lease.time_of(echoed).filter(|_| echoed >= self.released_from);
            sent.is_some_and(|sent| now < sent + self.settings.lease) && peer.last.view.contains(host)
        })
    }

    /// All that I hear and that are not in my view have heard that I am about to claim: then they claim nothing beside me ([`Cluster::outsider_claims`])
    /// while they hear me. Who does not hear me for the time of silence is not waited for.
    fn outsiders_know(&self, now: Time) -> bool {
        let silence = self.settings.silence();
        let mut outside =
            self.peers.members.iter().filter(|(host, peer)| self.view.get(host) != Some(&peer.incarnation));
        outside.all(|(_, peer)| {
            let knows = peer.echoed.is_some_and(|echoed| echoed >= self.released_from);
            let deaf = peer.lacks.get(&self.settings.host).is_some_and(|since| now >= since + silence);
            knows || deaf
        })
    }

    /// Somebody that hears me claims, and is not in my view: one of us will yield ([`view::find`]).
    fn outsider_claims(&self) -> bool {
        self.peers.members.iter().any(|(other, peer)| {
            // Who listens may have a NIC that goes on since before its start.
            let active = view::is_active(&peer.last) || peer.last.phase == Phase::Listening;
            let claims = active && peer.last.released != 0;
            claims && self.view.get(other) != Some(&peer.incarnation) && peer.echoed.is_some()
        })
    }

    /// When the claims of all end that were in a view of anybody in mine, and are not now.
    fn former_claims_end(&self) -> Time {
        let longest = longest_claim(self.settings.lease);
        let inside = |host: HostId| host == self.settings.host || self.view.contains_key(&host);
        let mine = self.peers.formers.iter().filter(|(host, _)| !inside(**host)).filter_map(|(_, former)| former.heard);
        let theirs = self.view.keys().filter_map(|host| self.peers.members.get(host)).flat_map(|peer| {
            let former =
                peer.last.echoes.iter().filter(|echo| !echo.counted && echo.age_ms < u16::MAX && !inside(echo.host));
            former.map(|echo| peer.heard.saturating_sub(Time::from(echo.age_ms) * 1_000_000))
        });
        mine.chain(theirs).map(|heard| heard + longest).max().unwrap_or(0)
    }

    fn has_quorum(&self) -> bool {
        self.settings.quorum.is_none_or(|quorum| quorum.is_met(self.my_view()))
    }

    fn lease_deadline(&self) -> Option<Time> {
        self.lease.deadline(self.settings.host, self.my_view(), &self.peers)
    }

    /// The lease begins, after a commit.
    fn arm(&mut self, now: Time, todo: &mut Todo) {
        if self.stopped || self.suspended || self.excluded.is_some() || !self.link {
            return;
        }
        if let Some(deadline) = self.lease_deadline().filter(|deadline| *deadline > now) {
            if self.lease.armed.is_none() {
                todo.push(Action::ArmLease(deadline));
            } else {
                todo.push(Action::RenewLease(deadline));
            }
            (self.lease.armed, self.lease.adopted) = (Some(deadline), None);
            self.rejoin = false;
        } else {
            self.rejoin = true;
        }
    }

    fn renew_lease(&mut self, now: Time, todo: &mut Todo) {
        if !self.link {
            return;
        }
        let deadline = self.lease_deadline().filter(|deadline| *deadline > now);
        match (self.lease.armed, deadline) {
            (Some(armed), Some(mut deadline)) => {
                if let Some(held) = self.held_until() {
                    deadline = deadline.max(held);
                }
                if deadline > armed {
                    self.lease.armed = Some(deadline);
                    todo.push(Action::RenewLease(deadline));
                }
            }
            (None, Some(deadline)) if mutated(Mutation::RearmWithoutRejoin) && self.committed.is_some() => {
                self.lease.armed = Some(deadline);
                todo.push(Action::ArmLease(deadline));
            }
            _ => {}
        }
    }

    /// How long all members of the view wait for me: the hold time after the oldest of my heartbeats that they have echoed last, if all of those
    /// announce it.
    fn held_until(&self) -> Option<Time> {
        let hold = Time::from(self.hold_ms) * 1_000_000;
        if self.hold_from == 0 {
            return None;
        }
        let echoed = |peer: &Peer| peer.echoed.filter(|echoed| *echoed >= self.hold_from);
        let echoed = self.view.keys().map(|member| self.peers.members.get(member).and_then(echoed));
        let oldest = echoed.collect::<Option<Vec<u64>>>()?.into_iter().min()?;
        Some(self.lease.time_of(oldest)? + hold - 2 * hold / DRIFT)
    }

    fn update_flags(&mut self, todo: &mut Todo) {
        if self.met.is_some() {
            return;
        }
        let Some(proposal) = self.proposal.as_ref().filter(|_| self.stage == Stage::Done) else { return };
        let changes = self.handover.changes(self.settings.host, proposal, &self.current, &self.peers);
        if !changes.is_empty() {
            todo.push(Action::Handover(changes));
        }
    }

    // ---- heartbeats -----------------------------------------------------------------------------------------------------

    fn phase(&self) -> Phase {
        match (&self.proposal, &self.stage) {
            _ if self.stopped || self.suspended => Phase::Suspended,
            _ if self.excluded.is_some() => Phase::Excluded,
            _ if !self.taking_part => Phase::Listening,
            (None, _) | (Some(_), Stage::Agreeing { .. }) => Phase::Converging,
            (Some(_), Stage::Idling | Stage::Handing | Stage::Handed) => Phase::Idle,
            (Some(_), Stage::Released | Stage::Committing) => Phase::Ready,
            (Some(proposal), Stage::Done) => {
                let result = Some(proposal.result());
                if self.all_report(|beat| beat.committed == result) { Phase::Stable } else { Phase::Ready }
            }
        }
    }

    /// Half of it while converging.
    fn period(&self) -> Time {
        match self.phase() {
            Phase::Converging | Phase::Idle | Phase::Ready => self.settings.period / 2,
            _ => self.settings.period,
        }
    }

    /// Sends a heartbeat if it is time for one, or if there is something new to say.
    fn beat(&mut self, now: Time, todo: &mut Todo) {
        let beat = self.heartbeat(now);
        let due = now >= self.next_beat;
        let soon = self.last_beat.is_none_or(|last| now >= last + self.settings.period / AT_ONCE);
        let news = self.said.as_ref().is_none_or(|said| differs(said, &beat));
        let at_once = news && soon;
        if !due && !at_once {
            return;
        }
        if due {
            self.count_beat(todo);
            self.next_beat = now + self.period();
        }
        self.next_beat = self.next_beat.min(now + self.period());
        if self.said.as_ref().map(|said| said.phase) != Some(Phase::Stable)
            && beat.phase == Phase::Stable
            && let Some(committed) = self.committed
        {
            todo.log.push(Log::Stable { epoch: committed.epoch });
        }
        let announced = self.said.as_ref().map_or(0, |said| said.hold_ms);
        self.last_beat = Some(now);
        let beat = Arc::new(beat);
        self.said = Some(beat.clone());
        self.send(Body::Heartbeat(beat), todo);
        if announced != self.hold_ms {
            self.hold_from = if self.hold_ms > 0 { self.sequence } else { 0 };
        }
        self.lease.sent(self.sequence, now);
        // Within twice the time of silence everybody that hears me has echoed something newer.
        let silence = self.settings.silence();
        self.peers.fresh_from = self.lease.newest_before(now.saturating_sub(2 * silence));
    }

    /// What happens by the beat.
    fn count_beat(&mut self, todo: &mut Todo) {
        self.beats += 1;
        if let (Stage::Agreeing { beats }, Some(proposal)) = (&self.stage, &self.proposal) {
            let agreed = self.all_report(|beat| beat.proposal == proposal.id) || mutated(Mutation::AgreeWithoutAll);
            self.stage = Stage::Agreeing { beats: if agreed { beats + 1 } else { 0 } };
        }
        let counted = self.stage == Stage::Done && self.beats.is_multiple_of(HOLDINGS_BEATS);
        if let Some(proposal) = self.proposal.as_ref().filter(|_| counted)
            && self.handover.holding(proposal.maps.maps.len()) != 0
        {
            todo.push(Action::CountHoldings(proposal.id));
            for page in self.handover.pages() {
                self.send(Body::Holdings(page), todo);
            }
        }
    }

    fn heartbeat(&self, now: Time) -> Heartbeat {
        let proposal = self.proposal.as_ref();
        let phase = self.phase();
        Heartbeat {
            phase,
            period_ms: (self.settings.period / 1_000_000) as u16,
            tolerance: self.settings.tolerance,
            hold_ms: self.hold_ms,
            echoes: self.peers.echoes(now),
            view: self.my_view(),
            committed: self.committed,
            proposal: proposal.map_or(0, |proposal| proposal.id),
            epoch: proposal.map_or(0, |proposal| proposal.epoch),
            proposed_digest: proposal.map_or(0, |proposal| proposal.digest),
            released: if self.lease.adopted.is_some() { self.released.max(1) } else { self.released },
            rules: self.rules.digest,
            staged: self.staged.as_ref().map_or(0, |staged| staged.digest),
            activate: self.activate,
            capacity: self.capacity,
            draining: self.draining,
            disabled: self.disabled,
            holding: self.handover.holding(self.current.maps.len()),
            connections: self.met.clone().unwrap_or_default(),
        }
    }

    fn send(&mut self, body: Body, todo: &mut Todo) {
        self.sequence += 1;
        todo.push(Action::Send(body, self.sequence));
    }

    fn next_wake(&self, now: Time) -> Time {
        let listened = Some(self.listens + self.settings.silence()).filter(|at| *at > now);
        let news = self.last_beat.map(|last| last + self.settings.period / AT_ONCE).filter(|at| *at > now);
        let fetch = self.fetching.as_ref().map(|fetching| fetching.again_at);
        let waits = self.stage == Stage::Released;
        let claims =
            waits.then(|| [self.former_claims_end(), self.undecided_until(), self.awake + self.settings.silence()]);
        let claims = claims.into_iter().flatten();
        let claims = claims.filter(|at| *at > now).min();
        let times = [Some(self.next_beat), listened, news, fetch, claims, self.peers.deadline(), self.lease.armed];
        // What has passed was looked at in this step.
        times.into_iter().flatten().filter(|at| *at > now).min().unwrap_or(now + self.settings.period)
    }
}

/// Whether a heartbeat says something that others wait for.
fn differs(a: &Heartbeat, b: &Heartbeat) -> bool {
    let heard = |beat: &Heartbeat| {
        beat.echoes.iter().map(|echo| (echo.host, echo.incarnation, echo.counted)).collect::<Vec<_>>()
    };
    let said = |beat: &Heartbeat| Heartbeat { echoes: Vec::new(), connections: Vec::new(), ..beat.clone() };
    heard(a) != heard(b) || said(a) != said(b) || a.connections.is_empty() != b.connections.is_empty()
}

/// Buckets of all maps whose owner differs.
fn moved(old: &MapSet, new: &MapSet) -> usize {
    let before = |key: u64| old.maps.iter().find(|(old, _)| *old == key).map(|(_, map)| map);
    let changed =
        |(key, map): &(u64, Arc<crate::map::BucketMap>)| before(*key).map_or(map.owners().len(), |old| old.moved(map));
    new.maps.iter().map(changed).sum()
}
