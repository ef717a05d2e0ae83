// SPDX-License-Identifier: Apache-2.0
//! Model checking of the shipped state machine: every schedule of a few members within bounds.
//!
//! Time goes in ticks of half a period, and a run ends after so many, so there are finitely many states. By itself a tick
//! is orderly: what was sent in one arrives in the next, the NIC answers a tick later, every clock is on time. What may
//! go wrong are *deviations*: a direction loses, delays or doubles what arrives in this tick, a direction is cut, a
//! process stands still, ends, starts (with a fresh NIC or with what it has), a host drains. The checker tries every
//! deviation at every tick of a window, and every combination of up to so many (delay-bounded scheduling). Times
//! within a tick are therefore not told apart; that is what the simulator is for.
//!
//! Two members *can hear each other* unless a direction between them has been cut for D, and after that from two periods after the first message. What both claim when a cut ends they may have claimed before,
//! each for itself; from then on one of them has [`MEETING`] ticks to give it up, and nothing that both claim may be added.
//!
//! Host ids break ties and decide which buckets go where, so members are not interchangeable, and there is no symmetry
//! to reduce by. Clocks differ in rate: the first member's is fast, the last one's slow.

use crate::claims::bits;
use crate::minimum::fewest_moves;
use crate::scenario::{host, rule_set};
use hashgate_cluster::Cluster;
use hashgate_cluster::api::{Action, Adopted, Command, Event, Rule, RuleSet, Settings, Sharing, Time};
use hashgate_cluster::maps::MapSet;
use hashgate_cluster::message::{Body, Message, Phase};
use hashgate_tables::{BUCKETS, NOBODY};
use stateright::{Checker, Model, Property};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PERIOD: Time = 80_000_000;
const TOLERANCE: u8 = 5;
const TICK: Time = PERIOD / 2;
/// D in ticks.
const SILENCE: u16 = 2 * TOLERANCE as u16;
/// Ticks within which two that hear each other again know it, both: two periods.
const MEET: u16 = 4;
/// Ticks within which one of two sides that meet has to give up what both claim.
const MEETING: u16 = SILENCE;
/// Ticks that a cut or a pause lasts: longer than D, or shorter than the lease.
const LENGTHS: [u16; 2] = [SILENCE / 2, SILENCE + 5];

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Members, 2 or more.
    pub members: u8,
    /// Deviations in a run.
    pub deviations: u8,
    /// Of those, at most so many losses, delays and duplicates.
    pub messages: u8,
    /// Deviations begin in the first so many ticks,
    pub window: u16,
    /// and only in every so many-th.
    pub stride: u16,
    /// Ticks of a run.
    pub horizon: u16,
    /// The run begins with a stable cluster, not with one that starts.
    pub stable: bool,
    /// Ends after this time, complete or not.
    pub patience: Duration,
    /// Called before each step, on whatever thread it is.
    pub prepare: fn(),
}

impl Bounds {
    /// What the tests explore.
    pub fn new(members: u8, deviations: u8) -> Bounds {
        Bounds {
            members,
            deviations,
            messages: deviations,
            window: 12,
            stride: 1,
            horizon: 45,
            stable: true,
            patience: Duration::from_secs(600),
            prepare: || {},
        }
    }
}

/// What may go wrong, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deviation {
    /// Time goes on.
    Tick,
    /// What comes in this tick is lost.
    Lose(u8, u8),
    /// It comes two ticks later.
    Delay(u8, u8),
    /// It comes now and two ticks later.
    Double(u8, u8),
    /// Nothing gets from one to the other for so many ticks.
    Cut(u8, u8, u16),
    /// A process stands still for so many ticks.
    Pause(u8, u16),
    /// A process ends.
    Crash(u8),
    /// It starts, with what the NIC has or a fresh one.
    Start(u8, bool),
    /// No new sessions.
    Drain(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Member {
    cluster: Option<Cluster>,
    starts: u64,
    paused_until: u16,
    /// Events that come with the next tick, and what is to be done after a commit.
    answers: Vec<Event>,
    held: Vec<Action>,
    maps: Option<Arc<MapSet>>,
    whole: u64,
    lease: Option<Time>,
    view: u32,
    draining: bool,
    drained: bool,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flight {
    due: u16,
    from: u8,
    to: u8,
    message: Arc<Message>,
}

/// A direction between two members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Link {
    cut_until: u16,
    last_taken: u16,
    losing: bool,
    /// After a cut the two need a little time to know that they hear each other.
    new_until: u16,
}

impl Link {
    fn is_cut(&self, tick: u16) -> bool {
        self.losing && tick >= self.last_taken + SILENCE
    }
}

/// A cluster at a tick.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    tick: u16,
    members: Vec<Member>,
    links: Vec<Link>,
    flights: Vec<Flight>,
    /// Deviations that are left, and of messages.
    left: (u8, u8),
    /// Pairs that claim the same because they could not hear each other when the second one began, and since when they can.
    meeting: BTreeMap<(u8, u8), Option<u16>>,
    /// The last map that all were stable on, and its epoch.
    stable: Option<(u64, Arc<MapSet>)>,
    /// Invariants that did not hold, as bits.
    broken: u8,
}

/// The model for stateright.
pub struct Explored {
    bounds: Bounds,
    rules: Arc<RuleSet>,
}

impl Explored {
    /// Within these bounds.
    pub fn new(bounds: Bounds) -> Explored {
        let weights = (1..=bounds.members).map(|id| (host(id), u32::from(id))).collect();
        Explored { bounds, rules: rule_set(1, vec![Rule { key: 1, sharing: Sharing::Multiple(weights) }]) }
    }

    /// NIC time of a member: the first one's is fast, the last one's slow.
    fn local(&self, number: usize, tick: u16) -> Time {
        let time = Time::from(tick) * TICK + 1_000_000_000;
        let part = time / 1000 * 49 / 10;
        match number {
            0 => time + part,
            _ if number + 1 == usize::from(self.bounds.members) => time - part,
            _ => time,
        }
    }

    fn first(&self) -> State {
        (self.bounds.prepare)();
        let count = usize::from(self.bounds.members);
        let member = Member {
            cluster: None,
            starts: 0,
            paused_until: 0,
            answers: Vec::new(),
            held: Vec::new(),
            maps: None,
            whole: 0,
            lease: None,
            view: 0,
            draining: false,
            drained: false,
        };
        let mut state = State {
            tick: 0,
            members: vec![member; count],
            links: vec![Link::default(); count * count],
            flights: Vec::new(),
            left: (0, 0),
            meeting: BTreeMap::new(),
            stable: None,
            broken: 0,
        };
        (0..count).for_each(|number| self.start(&mut state, number, false));
        // The clocks go on with the ticks of the beginning, so the run's are counted from there.
        let mut ticks = 0;
        while self.bounds.stable && state.stable.is_none() && ticks < 20 * SILENCE {
            self.advance(&mut state);
            ticks += 1;
        }
        state.left = (self.bounds.deviations, self.bounds.messages);
        state
    }

    fn start(&self, state: &mut State, number: usize, adopt: bool) {
        let now = self.local(number, state.tick);
        let member = &mut state.members[number];
        member.starts += 1;
        let adopted = member.whole != 0 && adopt;
        let committed = member.cluster.take().and_then(|old| old.status().committed);
        let adopted = committed.filter(|c| adopted && c.digest == member.whole).zip(member.maps.clone());
        let settings = Settings {
            host: host(number as u8 + 1),
            incarnation: (number as u64 + 1) << 32 | member.starts,
            period: PERIOD,
            tolerance: TOLERANCE,
            lease: PERIOD * Time::from(TOLERANCE) * 9 / 10,
            quorum: None,
            rules: self.rules.clone(),
        };
        if !adopt {
            (member.maps, member.whole, member.lease) = (None, 0, None);
        }
        let lease = member.lease.filter(|end| now <= *end);
        let adopted = adopted.map(|(committed, maps)| Adopted { committed, maps, lease });
        let (cluster, actions) = Cluster::new(settings, now, adopted);
        member.cluster = Some(cluster);
        member.paused_until = 0;
        (member.draining, member.drained) = (false, false);
        (member.answers, member.held) = (Vec::new(), Vec::new());
        self.carry_out(state, number, actions);
    }

    fn step(&self, state: &mut State, number: usize, event: Event) {
        let now = self.local(number, state.tick);
        let Some(cluster) = &mut state.members[number].cluster else { return };
        let actions = cluster.step(now, event);
        self.carry_out(state, number, actions);
    }

    fn carry_out(&self, state: &mut State, number: usize, actions: Vec<Action>) {
        let count = state.members.len();
        let tick = state.tick;
        let now = self.local(number, tick);
        for action in actions {
            let member = &mut state.members[number];
            let waits = !member.held.is_empty();
            match action {
                Action::Withdraw => {
                    member.lease = None;
                    member.held.retain(|a| !matches!(a, Action::ArmLease(_) | Action::RenewLease(_)));
                }
                Action::Log(_) | Action::Handover(_) | Action::DisableRules(_) | Action::ActivateRules(_) => {}
                action @ Action::Commit(_) => member.held.push(action),
                action if waits => member.held.push(action),
                Action::Send(body, sequence) => {
                    if let Body::Heartbeat(beat) = &body {
                        member.view = beat.view.0;
                    }
                    let incarnation = (number as u64 + 1) << 32 | member.starts;
                    let message = Arc::new(Message { host: host(number as u8 + 1), incarnation, sequence, body });
                    for to in (0..count).filter(|to| *to != number) {
                        let link = &mut state.links[number * count + to];
                        if tick < link.cut_until {
                            link.losing = true;
                            continue;
                        }
                        let message = message.clone();
                        state.flights.push(Flight { due: tick + 1, from: number as u8, to: to as u8, message });
                    }
                }
                Action::ArmLease(until) => member.lease = Some(until),
                Action::RenewLease(until) => {
                    if member.lease.is_some_and(|end| now <= end) {
                        member.lease = member.lease.max(Some(until));
                    }
                }
                Action::HandBindings(proposal) => member.answers.push(Event::BindingsHanded(proposal)),
                Action::CountHoldings(proposal) => {
                    let rules = vec![Vec::new(); member.maps.as_ref().map_or(0, |maps| maps.maps.len())];
                    member.answers.push(Event::Holdings { proposal, rules });
                }
            }
        }
    }

    /// A tick in good order.
    fn advance(&self, state: &mut State) {
        state.tick += 1;
        let tick = state.tick;
        let count = state.members.len();
        for number in 0..count {
            if tick < state.members[number].paused_until || state.members[number].cluster.is_none() {
                continue;
            }
            // The NIC has committed; the driver goes on with what waited for it.
            if let Some(Action::Commit(_)) = state.members[number].held.first() {
                let held = std::mem::take(&mut state.members[number].held);
                let mut held = held.into_iter();
                if let Some(Action::Commit(commit)) = held.next() {
                    let member = &mut state.members[number];
                    (member.maps, member.whole) = (Some(commit.maps), commit.digest);
                    let rest: Vec<Action> = held.collect();
                    self.carry_out(state, number, rest);
                    self.step(state, number, Event::Committed(commit.number));
                }
            }
            for answer in std::mem::take(&mut state.members[number].answers) {
                self.step(state, number, answer);
            }
        }
        let paused: Vec<bool> = state.members.iter().map(|member| tick < member.paused_until).collect();
        let (now, later): (Vec<Flight>, Vec<Flight>) =
            state.flights.drain(..).partition(|f| f.due <= tick && !paused[usize::from(f.to)]);
        state.flights = later;
        for flight in now {
            let to = usize::from(flight.to);
            let link = &mut state.links[usize::from(flight.from) * count + to];
            if link.is_cut(tick) {
                link.new_until = tick + MEET;
            }
            (link.losing, link.last_taken) = (false, tick);
            self.step(state, to, Event::Message((*flight.message).clone()));
        }
        for (number, paused) in paused.into_iter().enumerate() {
            let now = self.local(number, tick);
            let member = &state.members[number];
            if !paused && member.cluster.as_ref().is_some_and(|cluster| cluster.deadline() <= now + TICK / 2) {
                self.step(state, number, Event::Tick);
            }
        }
        self.judge(state);
    }

    fn describe(&self, state: &State, number: usize) -> String {
        let member = &state.members[number];
        let Some(cluster) = &member.cluster else { return "down".into() };
        let status = cluster.status();
        let owned = match &member.maps {
            Some(maps) if self.live(state, number) => {
                maps.maps.iter().map(|(_, map)| map.count(number as u16 + 1)).sum()
            }
            _ => 0,
        };
        let epoch = status.committed.map_or(0, |committed| committed.epoch);
        let excluded = status.excluded.map_or(String::new(), |cause| format!(" {cause:?}"));
        format!("{:?} view {:#b} epoch {epoch} claims {owned}{excluded}", status.phase, status.view.0)
    }

    fn live(&self, state: &State, number: usize) -> bool {
        state.members[number].lease.is_some_and(|end| self.local(number, state.tick) <= end)
    }

    fn connected(&self, state: &State, a: usize, b: usize) -> bool {
        let count = state.members.len();
        let cut = |from: usize, to: usize| {
            let link = &state.links[from * count + to];
            link.is_cut(state.tick) || state.tick < link.new_until
        };
        let hear = |a: usize, b: usize| a == b || !cut(a, b) && !cut(b, a);
        let around = |number: usize| {
            let view = state.members[number].view & ((1 << count) - 1);
            bits(view).filter(|h| state.members[*h].cluster.is_some()).fold(1u32 << number, |set, h| set | 1 << h)
        };
        bits(around(a)).any(|c| hear(a, c) && bits(around(b)).any(|d| hear(c, d) && hear(d, b)))
    }

    fn judge(&self, state: &mut State) {
        let count = state.members.len();
        let live: Vec<usize> = (0..count).filter(|number| self.live(state, *number)).collect();
        let owns = |state: &State, number: usize, map: usize, bucket: usize| {
            let maps = state.members[number].maps.as_ref();
            maps.and_then(|m| m.maps.get(map)).is_some_and(|(_, m)| m.owners()[bucket] == number as u16 + 1)
        };
        let maps = self.rules.rules.len() + 1;
        state.meeting.retain(|(a, b), _| live.contains(&usize::from(*a)) && live.contains(&usize::from(*b)));
        for (place, a) in live.iter().enumerate() {
            for b in &live[place + 1..] {
                let same = match (&state.members[*a].maps, &state.members[*b].maps) {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
                    _ => true,
                };
                let both = |state: &State| {
                    (0..maps)
                        .any(|m| (0..BUCKETS).any(|bucket| owns(state, *a, m, bucket) && owns(state, *b, m, bucket)))
                };
                let pair = (*a as u8, *b as u8);
                let shared = !same && both(state);
                let connected = shared && self.connected(state, *a, *b);
                if !shared {
                    state.meeting.remove(&pair);
                    continue;
                }
                let since = match state.meeting.get(&pair) {
                    None if connected => {
                        state.broken |= 1 << 2;
                        continue;
                    }
                    None => None,
                    Some(since) => since.or(Some(state.tick)).filter(|_| connected),
                };
                if since.is_some_and(|since| state.tick > since + MEETING) {
                    state.broken |= 1 << 2;
                }
                state.meeting.insert(pair, since);
            }
        }
        for number in 0..count {
            if !state.members[number].draining {
                continue;
            }
            let claims = live.contains(&number) && (0..maps).any(|m| (0..BUCKETS).any(|b| owns(state, number, m, b)));
            if claims && state.members[number].drained {
                state.broken |= 1 << 6;
            }
            state.members[number].drained |= !claims;
        }
        self.judge_stability(state, &live);
    }

    fn judge_stability(&self, state: &mut State, live: &[usize]) {
        let running: Vec<_> =
            state.members.iter().filter_map(|m| Some((m.cluster.as_ref()?.status(), m.draining))).collect();
        let set = (0..state.members.len())
            .filter(|number| state.members[*number].cluster.is_some())
            .fold(0, |set, number| set | 1 << number);
        let Some((first, _)) = running.first() else { return };
        let stable = running.iter().all(|(status, _)| {
            status.phase == Phase::Stable && status.view.0 == set && status.committed == first.committed
        });
        let Some(committed) = first.committed.filter(|_| stable && live.len() == running.len()) else { return };
        // One set of maps at all: every bucket has the owner that it names, who has to be a member that does not drain.
        let able = |owner: u16| {
            let number = usize::from(owner).wrapping_sub(1);
            state.members.get(number).is_some_and(|member| member.cluster.is_some() && !member.draining)
        };
        let served = running.iter().any(|(_, draining)| !draining);
        for number in live {
            let Some(maps) = &state.members[*number].maps else { continue };
            let covered = maps
                .maps
                .iter()
                .all(|(_, map)| map.owners().iter().all(|owner| if served { able(*owner) } else { *owner == NOBODY }));
            let same = Arc::ptr_eq(maps, &first.maps) || **maps == *first.maps;
            // A drain that has just been asked for is not in the map yet.
            if (!covered && state.members.iter().all(|member| !member.draining || member.drained)) || !same {
                state.broken |= 1 << 1;
            }
        }
        if let Some((epoch, old)) = &state.stable
            && committed.epoch == epoch + 1
            && **old != *first.maps
        {
            for ((_, was), (_, is)) in old.maps.iter().zip(&first.maps.maps) {
                let mut have = BTreeMap::new();
                for owner in was.owners().iter().filter(|owner| **owner != NOBODY) {
                    *have.entry(*owner).or_insert(0usize) += 1;
                }
                let nobodys = BUCKETS - have.values().sum::<usize>();
                if is.moved(was) != fewest_moves(&have, nobodys, was.weights(), is.weights()) {
                    state.broken |= 1 << 4;
                }
            }
        }
        if state.stable.as_ref().is_none_or(|(epoch, _)| *epoch != committed.epoch) {
            state.stable = Some((committed.epoch, first.maps.clone()));
        }
    }
}

impl Model for Explored {
    type State = (u16, State);
    type Action = Deviation;

    fn init_states(&self) -> Vec<(u16, State)> {
        let state = self.first();
        vec![(state.tick, state)]
    }

    fn actions(&self, (begun, state): &(u16, State), actions: &mut Vec<Deviation>) {
        let tick = state.tick - begun;
        if tick >= self.bounds.horizon || state.broken != 0 {
            return;
        }
        actions.push(Deviation::Tick);
        if state.left.0 == 0 || tick >= self.bounds.window || !tick.is_multiple_of(self.bounds.stride) {
            return;
        }
        for number in 0..self.bounds.members {
            let member = &state.members[usize::from(number)];
            if member.cluster.is_none() {
                actions.push(Deviation::Start(number, false));
                actions.push(Deviation::Start(number, true));
                continue;
            }
            actions.push(Deviation::Crash(number));
            // A start right after the end keeps what the NIC has.
            actions.push(Deviation::Start(number, true));
            if state.tick >= member.paused_until {
                actions.extend(LENGTHS.map(|length| Deviation::Pause(number, length)));
                if !member.draining {
                    actions.push(Deviation::Drain(number));
                }
            }
            for to in (0..self.bounds.members).filter(|to| *to != number) {
                actions.push(Deviation::Cut(number, to, LENGTHS[1]));
                if state.left.1 > 0 && state.flights.iter().any(|f| f.from == number && f.to == to) {
                    actions.extend([
                        Deviation::Lose(number, to),
                        Deviation::Delay(number, to),
                        Deviation::Double(number, to),
                    ]);
                }
            }
        }
    }

    fn next_state(&self, (begun, state): &(u16, State), action: Deviation) -> Option<(u16, State)> {
        (self.bounds.prepare)();
        let mut state = state.clone();
        let tick = state.tick;
        if action != Deviation::Tick {
            state.left.0 -= 1;
        }
        let here = |flight: &Flight, from: u8, to: u8| flight.from == from && flight.to == to && flight.due == tick + 1;
        match action {
            Deviation::Tick => {
                self.advance(&mut state);
            }
            Deviation::Lose(from, to) => {
                state.left.1 -= 1;
                state.flights.retain(|flight| !here(flight, from, to));
                state.links[usize::from(from) * state.members.len() + usize::from(to)].losing = true;
            }
            Deviation::Delay(from, to) => {
                state.left.1 -= 1;
                state.flights.iter_mut().filter(|flight| here(flight, from, to)).for_each(|flight| flight.due += 2);
            }
            Deviation::Double(from, to) => {
                state.left.1 -= 1;
                let copies: Vec<Flight> = state.flights.iter().filter(|f| here(f, from, to)).cloned().collect();
                state.flights.extend(copies.into_iter().map(|flight| Flight { due: flight.due + 2, ..flight }));
            }
            Deviation::Cut(from, to, length) => {
                let count = state.members.len();
                state.links[usize::from(from) * count + usize::from(to)].cut_until = tick + length;
            }
            Deviation::Pause(number, length) => state.members[usize::from(number)].paused_until = tick + length,
            Deviation::Crash(number) => {
                let member = &mut state.members[usize::from(number)];
                let committed = member.cluster.take().and_then(|cluster| cluster.status().committed);
                if committed.is_none_or(|committed| committed.digest != member.whole) {
                    member.whole = 0;
                }
                (member.held, member.answers) = (Vec::new(), Vec::new());
                (member.draining, member.drained) = (false, false);
            }
            Deviation::Start(number, adopt) => self.start(&mut state, usize::from(number), adopt),
            Deviation::Drain(number) => {
                state.members[usize::from(number)].draining = true;
                self.step(&mut state, usize::from(number), Event::Command(Command::Drain));
            }
        }
        Some((*begun, state))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn holds<const N: u8>(_: &Explored, state: &(u16, State)) -> bool {
            state.1.broken >> N & 1 == 0
        }
        vec![
            Property::always("1: every bucket has an owner", holds::<1>),
            Property::always("2: no two claim the same", holds::<2>),
            Property::always("4: fewest moves", holds::<4>),
            Property::always("6: who drains takes nothing new", holds::<6>),
            Property::sometimes("a change became stable", |model: &Explored, (begun, state): &(u16, State)| {
                !model.bounds.stable
                    || state.tick > *begun && state.stable.as_ref().is_some_and(|(epoch, _)| *epoch > 1)
            }),
        ]
    }
}

/// What was explored.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The bounds.
    pub bounds: Bounds,
    /// States, and different ones.
    pub states: (usize, usize),
    /// Nothing within the bounds was left out.
    pub complete: bool,
    /// Counterexamples: the property, and the deviations with the ticks at which they begin.
    pub counterexamples: Vec<(&'static str, Vec<(usize, Deviation)>)>,
    /// A change became stable in some run.
    pub changed: bool,
    /// Time that it took.
    pub took: Duration,
}

/// Explores everything within bounds.
pub fn explore(bounds: Bounds, threads: usize) -> Explanation {
    let begun = Instant::now();
    let checker = Explored::new(bounds).checker().threads(threads).timeout(bounds.patience).spawn_dfs().join();
    let mut counterexamples = Vec::new();
    let mut changed = false;
    for (name, path) in checker.discoveries() {
        if name.starts_with('a') {
            changed = true;
            continue;
        }
        let mut ticks = 0;
        let mut deviations = Vec::new();
        for action in path.into_actions() {
            match action {
                Deviation::Tick => ticks += 1,
                other => deviations.push((ticks, other)),
            }
        }
        counterexamples.push((name, deviations));
    }
    let took = begun.elapsed();
    Explanation {
        bounds,
        states: (checker.state_count(), checker.unique_state_count()),
        complete: took < bounds.patience && counterexamples.is_empty(),
        counterexamples,
        changed,
        took,
    }
}

/// What the members do in the run of a counterexample: a line for each tick in which something changes.
pub fn replay(bounds: Bounds, deviations: &[(usize, Deviation)]) -> Vec<String> {
    let explored = Explored::new(bounds);
    let Some(mut state) = explored.init_states().pop() else { return Vec::new() };
    let mut lines: Vec<String> = Vec::new();
    let mut left = deviations.iter().peekable();
    for tick in 0..usize::from(bounds.horizon) {
        let mut happened = String::new();
        while let Some((_, deviation)) = left.next_if(|(at, _)| *at == tick) {
            happened += &format!(" {deviation:?}");
            state = explored.next_state(&state, *deviation).unwrap_or(state);
        }
        state = explored.next_state(&state, Deviation::Tick).unwrap_or(state);
        let members = (0..state.1.members.len()).map(|number| explored.describe(&state.1, number));
        let line = format!("{}{happened}", members.collect::<Vec<_>>().join(" | "));
        if lines.last().is_none_or(|last| last.split_once(": ").map(|(_, rest)| rest) != Some(line.as_str())) {
            lines.push(format!("{tick:3}: {line}"));
        }
        if state.1.broken != 0 {
            lines.push(format!("{tick:3}: invariants broken, as bits: {:#b}", state.1.broken));
            break;
        }
    }
    lines
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Bounds { members, deviations, messages, window, stride, horizon, stable, .. } = self.bounds;
        writeln!(
            f,
            "{members} members, {} at first; up to {deviations} deviations (of messages: {messages}) in every {stride}. of {window} \
             ticks, {horizon} ticks of {} ms in all: {} states, {} different, {} in {:.1} s",
            if stable { "stable" } else { "starting" },
            TICK / 1_000_000,
            self.states.0,
            self.states.1,
            if self.complete { "complete" } else { "NOT complete" },
            self.took.as_secs_f64()
        )?;
        for (name, deviations) in &self.counterexamples {
            writeln!(f, "  does not hold: {name}: {deviations:?}")?;
        }
        Ok(())
    }
}
