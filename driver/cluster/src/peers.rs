// SPDX-License-Identifier: Apache-2.0
//! Who is heard: incarnations, replay, silence, and those that have gone.

use crate::api::{Log, Settings, Time};
use crate::message::{Body, Committed, Echo, Heartbeat, HostId, HostSet, MAX_HOSTS, MAX_RULES, Message, Phase};
use crate::mutation::{Mutation, mutated};
use crate::view::is_active;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Clocks run at rates that differ by one part in this at most.
pub const DRIFT: Time = 100;
/// Nanoseconds in a millisecond.
const MS: Time = 1_000_000;
/// Within this time leaves count towards holding a host down.
const FLAP_WINDOW: Time = 60_000 * MS;
/// Leaves in it after which a host is held down.
const FLAPS: u8 = 4;
/// A host is held down for this long at first, and the double each time up to [`LONGEST_HOLD_DOWN`].
const HOLD_DOWN: Time = 1_000 * MS;
const LONGEST_HOLD_DOWN: Time = 60_000 * MS;
/// After so long without a leave the past of a host is forgotten.
const FORGET_FLAPS: Time = 300_000 * MS;
/// Epochs from here on are nonsense: they could not grow any more.
const EPOCH_LIMIT: u64 = 1 << 48;
/// Announced absence, ms, at most: an hour.
pub const LONGEST_HOLD_MS: u32 = 3_600_000;

/// A host that counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its start.
    pub incarnation: u64,
    /// Its newest sequence number, of any message.
    pub sequence: u64,
    /// That of its newest heartbeat, and when it came.
    pub beat: u64,
    pub heard: Time,
    /// It is not accused of silence before.
    pub patience: Time,
    /// Its lease may live so long, as it announced an absence.
    pub held: Time,
    /// When its newest heartbeat came of which somebody told that has left since.
    vouched: Time,
    pub last: Arc<Heartbeat>,
    /// Since when it has a view without me.
    pub without_me: Option<Time>,
    /// What it has committed was agreed on without me.
    pub committed_without_me: bool,
    /// The newest of my heartbeats that it has echoed, while it counts me.
    pub echoed: Option<u64>,
    /// Those I hear, and me, that it echoes.
    hears: HostSet,
    /// Since when its echoes lack a host that I hear.
    pub lacks: BTreeMap<HostId, Time>,
}

/// Whether a heartbeat's values can be.
fn is_possible(beat: &Heartbeat) -> bool {
    let committed = |it: &Committed| it.epoch < EPOCH_LIMIT && (1..=MAX_HOSTS).contains(&usize::from(it.view_size));
    beat.epoch < EPOCH_LIMIT
        && beat.committed.as_ref().is_none_or(committed)
        && beat.echoes.len() <= 2 * MAX_HOSTS
        && beat.connections.len() <= MAX_RULES + 1
        && beat.hold_ms <= LONGEST_HOLD_MS
}

/// A start of a host that does not count yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    incarnation: u64,
    sequence: u64,
    /// Since when it is heard and the start that counts is not.
    first: Time,
    heard: Time,
    /// It works for the cluster, or wants to.
    active: bool,
}

/// A start of a host that counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Former {
    pub incarnation: u64,
    pub sequence: u64,
    /// When its last heartbeat came that was echoed. `None`: it said that it takes no traffic any more.
    pub heard: Option<Time>,
    /// When it was removed.
    removed: Time,
}

/// How often a host has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Flaps {
    first: Time,
    last: Time,
    count: u8,
    down_until: Time,
    doublings: u8,
}

/// Messages that were ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ignored {
    /// Older than one of the same start.
    pub old: u64,
    /// Of a start that has not echoed mine.
    pub candidate: u64,
    /// With my own host id, of another start.
    pub duplicate: u64,
    /// With values that cannot be.
    pub nonsense: u64,
}

/// All other hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peers {
    me: HostId,
    incarnation: u64,
    pub silence: Time,
    pub members: BTreeMap<HostId, Peer>,
    candidates: BTreeMap<HostId, Candidate>,
    pub formers: BTreeMap<HostId, Former>,
    flaps: BTreeMap<HostId, Flaps>,
    /// When somebody else with my host id was heard last that hears me too.
    pub duplicate: Option<Time>,
    /// The newest of another start with my host id: (incarnation, sequence, when it came).
    double: Option<(u64, u64, Time)>,
    /// An echo of one of my heartbeats from this sequence number on shows that its sender lives now.
    pub fresh_from: u64,
    pub ignored: Ignored,
}

impl Peers {
    pub fn new(settings: &Settings) -> Peers {
        Peers {
            me: settings.host,
            incarnation: settings.incarnation,
            silence: settings.silence(),
            members: BTreeMap::new(),
            candidates: BTreeMap::new(),
            formers: BTreeMap::new(),
            flaps: BTreeMap::new(),
            duplicate: None,
            double: None,
            fresh_from: 0,
            ignored: Ignored::default(),
        }
    }

    /// Whether a message counts; notes that it was there. Heartbeats become what is known of their sender.
    pub fn take(&mut self, now: Time, message: &Message, log: &mut Vec<Log>) -> bool {
        let Message { host, incarnation, sequence, .. } = *message;
        let beat = if let Body::Heartbeat(beat) = &message.body { Some(beat) } else { None };
        if beat.is_some_and(|beat| !is_possible(beat)) {
            self.ignored.nonsense += 1;
            return false;
        }
        if host == self.me {
            if incarnation != self.incarnation {
                self.ignored.duplicate += 1;
                self.double = Some((incarnation, sequence, now));
                // It lives if it has heard this start of mine; a recording of an earlier one has not.
                let (me, mine, fresh) = (self.me, self.incarnation, self.fresh_from);
                let is_me = |echo: &Echo| echo.host == me && echo.incarnation == mine && echo.sequence >= fresh;
                if mutated(Mutation::ReplayAfterRestart) || beat.is_some_and(|beat| beat.echoes.iter().any(is_me)) {
                    self.duplicate = Some(now);
                }
            }
            return false;
        }
        let counts = self.members.get(&host).is_some_and(|peer| peer.incarnation == incarnation);
        if !counts && !self.admit(now, message, beat, log) {
            return false;
        }
        let Some(peer) = self.members.get_mut(&host) else { return false };
        if counts && sequence <= peer.sequence {
            self.ignored.old += 1;
            return false;
        }
        peer.sequence = sequence;
        if counts && let Some(candidate) = self.candidates.get_mut(&host) {
            candidate.first = now;
        }
        if let Some(beat) = beat {
            let without_me = !beat.view.is_empty() && !beat.view.contains(self.me);
            if beat.committed != peer.last.committed {
                peer.committed_without_me = without_me;
            }
            (peer.beat, peer.heard) = (sequence, now);
            peer.last.clone_from(beat);
            peer.patience = peer.patience.max(now + self.silence);
            peer.without_me = peer.without_me.or(Some(now)).filter(|_| without_me);
            if beat.hold_ms > 0 {
                peer.patience = peer.patience.max(now + Time::from(beat.hold_ms) * MS);
                peer.held = peer.held.max(now + Time::from(beat.hold_ms) * MS);
            }
            self.note_echoes(now, Some(host));
        }
        true
    }

    /// Lets a start of a host count that did not, if its time has come.
    fn admit(&mut self, now: Time, message: &Message, beat: Option<&Arc<Heartbeat>>, log: &mut Vec<Log>) -> bool {
        let Message { host, incarnation, sequence, .. } = *message;
        // What has gone does not come back.
        if self
            .formers
            .get(&host)
            .is_some_and(|former| former.incarnation == incarnation && sequence <= former.sequence)
        {
            self.ignored.old += 1;
            return false;
        }
        let (me, mine, fresh) = (self.me, self.incarnation, self.fresh_from);
        let is_me = |echo: &Echo| echo.host == me && echo.incarnation == mine && echo.sequence >= fresh;
        let echoes_me = |beat: &Heartbeat| beat.echoes.iter().any(is_me);
        let known = self.candidates.get(&host).filter(|known| known.incarnation == incarnation);
        let first = known.map_or(now, |known| known.first);
        if known.is_some_and(|known| sequence <= known.sequence) {
            self.ignored.old += 1;
            return false;
        }
        let proven = mutated(Mutation::ReplayAfterRestart) || beat.is_some_and(|beat| echoes_me(beat));
        // Two hosts with one id: the one that is heard stays, also if some of its heartbeats are lost. One that comes back from an announced absence is
        // let in when it has listened, so that its share stays.
        let listening = beat.is_none_or(|beat| beat.phase == Phase::Listening);
        let free = self
            .members
            .get(&host)
            .is_none_or(|old| known.is_some() && now >= first + self.silence * 3 / 4 && !(listening && now < old.held));
        if let (true, true, Some(beat)) = (proven, free, beat) {
            self.note_former(now, host, false);
            self.candidates.remove(&host);
            let peer = Peer {
                incarnation,
                sequence,
                beat: sequence,
                heard: now,
                patience: now + self.silence,
                held: 0,
                vouched: 0,
                without_me: None,
                committed_without_me: !beat.view.is_empty() && !beat.view.contains(self.me),
                last: beat.clone(),
                echoed: None,
                hears: HostSet::default(),
                lacks: BTreeMap::new(),
            };
            self.members.insert(host, peer);
            self.note_echoes(now, None);
            log.push(Log::PeerHeard(host));
            return true;
        }
        self.ignored.candidate += 1;
        let active = beat.map_or(known.is_some_and(|known| known.active), |beat| is_active(beat));
        self.candidates.insert(host, Candidate { incarnation, sequence, first, heard: now, active });
        false
    }

    /// Removes those that are silent, or take part no more. `late`: my own timers were; everybody gets more time.
    pub fn expire(&mut self, now: Time, late: bool, log: &mut Vec<Log>) {
        if late {
            self.members.values_mut().for_each(|peer| peer.patience = peer.patience.max(now + self.silence));
        }
        let gone: Vec<HostId> =
            self.members.iter().filter(|(_, peer)| now >= peer.patience).map(|(host, _)| *host).collect();
        gone.into_iter().for_each(|host| self.remove(now, host, log));
        let silence = self.silence;
        self.candidates.retain(|_, candidate| now < candidate.heard + silence);
        // Long after its claims have ended, and after everybody has heard of it.
        self.formers.retain(|_, former| now < former.removed + 16 * silence);
        self.flaps.retain(|_, flaps| now < flaps.last + FORGET_FLAPS);
        self.duplicate = self.duplicate.filter(|heard| now < heard + silence);
        self.double = self.double.filter(|(.., heard)| now < heard + silence);
    }

    /// A host does not count any more: it is silent.
    fn remove(&mut self, now: Time, host: HostId, log: &mut Vec<Log>) {
        if !self.members.contains_key(&host) {
            return;
        }
        self.note_former(now, host, false);
        self.members.remove(&host);
        self.note_echoes(now, None);
        log.push(Log::PeerLost(host));
        let flaps = self.flaps.entry(host).or_default();
        if now >= flaps.first + FLAP_WINDOW {
            (flaps.first, flaps.count) = (now, 0);
        }
        flaps.last = now;
        flaps.count = flaps.count.saturating_add(1);
        if flaps.count >= FLAPS {
            flaps.down_until = now + (HOLD_DOWN << flaps.doublings.min(6)).min(LONGEST_HOLD_DOWN);
            flaps.doublings = flaps.doublings.saturating_add(1);
        }
    }

    /// A host leaves the view: from now on my echoes do not renew its lease. `announced`: it takes no traffic since it said so.
    pub fn note_former(&mut self, now: Time, host: HostId, announced: bool) {
        let Some(peer) = self.members.get(&host) else { return };
        // Announced absence counts as if it was heard until its end.
        let heard = (!announced).then_some(peer.heard.max(peer.held).max(peer.vouched));
        let former = Former { incarnation: peer.incarnation, sequence: peer.beat, heard, removed: now };
        match self.formers.get_mut(&host) {
            // It left the view before it was removed.
            Some(old) if old.incarnation == former.incarnation => {
                old.removed = now;
                if announced {
                    old.heard = None;
                }
            }
            _ => {
                self.formers.insert(host, former);
            }
        }
    }

    /// A host has left the view and said so: its reports are none of the view's any more, but its echoes may have renewed leases of others until now.
    pub fn note_last_reports(&mut self, host: HostId) {
        let Some(leaver) = self.members.get(&host) else { return };
        let (heard, last) = (leaver.heard, leaver.last.clone());
        for echo in last.echoes.iter().filter(|echo| echo.age_ms < u16::MAX) {
            let taken = heard.saturating_sub(Time::from(echo.age_ms) * MS);
            if let Some(peer) = self.members.get_mut(&echo.host).filter(|it| it.incarnation == echo.incarnation) {
                peer.vouched = peer.vouched.max(taken);
            }
            if let Some(former) = self.formers.get_mut(&echo.host).filter(|it| it.incarnation == echo.incarnation) {
                former.heard = former.heard.map(|heard| heard.max(taken));
            }
        }
    }

    /// Joined and left too often.
    pub fn is_held_down(&self, now: Time, host: HostId) -> bool {
        self.flaps.get(&host).is_some_and(|flaps| now < flaps.down_until)
    }

    /// Notes what the echoes of one member say, or of all when other starts count.
    fn note_echoes(&mut self, now: Time, only: Option<HostId>) {
        let mut counted = [None; MAX_HOSTS + 1];
        counted[usize::from(self.me.get())] = Some(self.incarnation);
        self.members.iter().for_each(|(host, peer)| counted[usize::from(host.get())] = Some(peer.incarnation));
        let all: HostSet = self.members.keys().copied().chain([self.me]).collect();
        for (host, peer) in &mut self.members {
            if only.is_some_and(|only| only != *host) {
                continue;
            }
            let echoes = peer.last.echoes.iter();
            let echoes = echoes.filter(|it| it.counted && counted[usize::from(it.host.get())] == Some(it.incarnation));
            (peer.hears, peer.echoed) = (HostSet::default(), None);
            for echo in echoes {
                peer.hears.insert(echo.host);
                if echo.host == self.me && peer.echoed.is_none() {
                    peer.echoed = Some(echo.sequence);
                }
            }
            let mut missing = HostSet(all.0 & !peer.hears.0);
            missing.remove(*host);
            peer.lacks.retain(|other, _| missing.contains(*other));
            if peer.lacks.len() < missing.len() {
                for other in missing.iter() {
                    peer.lacks.entry(other).or_insert(now);
                }
            }
        }
    }

    /// Both hear each other; I am one of them or hear both.
    pub fn mutual(&self, a: HostId, b: HostId) -> bool {
        let known = |host: HostId| host == self.me || self.members.contains_key(&host);
        let hears = |hearer: HostId, heard: HostId| {
            hearer == self.me || self.members.get(&hearer).is_some_and(|peer| peer.hears.contains(heard))
        };
        known(a) && known(b) && hears(a, b) && hears(b, a)
    }

    /// Whom a member has not heard for the time of silence, although I do. One that stops hearing another is not believed before: it may be the first to
    /// notice that the other has gone.
    pub fn lacked_for_long(&self, now: Time, hearer: HostId) -> HostSet {
        let lacks = self.members.get(&hearer).into_iter().flat_map(|peer| &peer.lacks);
        lacks.filter(|(_, since)| now >= **since + self.silence).map(|(other, _)| *other).collect()
    }

    /// Neither of two has lacked the other for the time of silence.
    pub fn mutual_for_long(&self, now: Time, a: HostId, b: HostId) -> bool {
        !self.lacked_for_long(now, a).contains(b) && !self.lacked_for_long(now, b).contains(a)
    }

    /// What my next heartbeat says about others.
    pub fn echoes(&self, now: Time) -> Vec<Echo> {
        let age = |heard: Time| u16::try_from(now.saturating_sub(heard) / MS).unwrap_or(u16::MAX);
        let members = self.members.iter().map(|(host, peer)| Echo {
            host: *host,
            incarnation: peer.incarnation,
            sequence: peer.beat,
            age_ms: age(peer.heard),
            counted: !self.is_held_down(now, *host),
        });
        let members = members.map(|echo| if echo.counted { echo } else { Echo { age_ms: u16::MAX, ..echo } });
        let others = (1..=32).filter_map(HostId::new).filter_map(|host| {
            // Of a host at most one beside the member. Claims that may live are reported first; a candidate waits for its echo until they have ended.
            // It has no lease from me, so its age says nothing.
            let former =
                self.formers.get(&host).map(|it| (it.incarnation, it.sequence, it.heard.map_or(u16::MAX, age)));
            let candidate = self.candidates.get(&host).map(|it| (it.incarnation, it.sequence, u16::MAX));
            let alive = former.filter(|(.., age)| Time::from(*age) * MS < self.silence);
            let (incarnation, sequence, age_ms) = alive.or(candidate).or(former)?;
            Some(Echo { host, incarnation, sequence, age_ms, counted: false })
        });
        // So that somebody with my host id sees that I live, and I see the same of it.
        let double = self.double.map(|(incarnation, sequence, _)| Echo {
            host: self.me,
            incarnation,
            sequence,
            age_ms: u16::MAX,
            counted: false,
        });
        members.chain(others).chain(double).collect()
    }

    /// Until when a start that does not count, and that works for the cluster, may yet turn out to live: it is heard, so it will echo me if it hears me. A
    /// replay never does, so it is waited for only so long.
    pub fn undecided_until(&self) -> Time {
        let active = self.candidates.values().filter(|candidate| candidate.active);
        active.map(|candidate| candidate.first + 2 * self.silence).max().unwrap_or(0)
    }

    /// When something here changes by itself.
    pub fn deadline(&self) -> Option<Time> {
        self.members.values().map(|peer| peer.patience).min()
    }

    /// Everybody that is heard.
    pub fn heard(&self) -> HostSet {
        self.members.keys().copied().collect()
    }
}
