// SPDX-License-Identifier: Apache-2.0
//! Who is heard: incarnations, replay, silence, and those that have gone.

use crate::api::{Log, Settings, Time};
use crate::message::{Committed, Echo, Heartbeat, HostId, HostSet, MAX_HOSTS, MAX_RULES, Message, Phase};
use crate::mutation::{Mutation, mutated};
use std::collections::BTreeMap;

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
    pub last: Heartbeat,
    /// Since when it has a view without me.
    pub without_me: Option<Time>,
    /// Since when its echoes lack a host that I hear.
    pub lacks: BTreeMap<HostId, Time>,
}

impl Peer {
    /// Its echo of a start of a host, while it hears it.
    pub fn echo_of(&self, host: HostId, incarnation: u64) -> Option<&Echo> {
        self.last.echoes.iter().find(|echo| echo.host == host && echo.incarnation == incarnation && echo.counted)
    }
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
    first: Time,
    heard: Time,
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
    /// When somebody else with my host id was heard last.
    pub duplicate: Option<Time>,
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
            fresh_from: 0,
            ignored: Ignored::default(),
        }
    }

    /// Whether a message counts; notes that it was there. Heartbeats become what is known of their sender.
    pub fn take(&mut self, now: Time, message: &Message, log: &mut Vec<Log>) -> bool {
        let Message { host, incarnation, sequence, .. } = *message;
        let beat = if let crate::message::Body::Heartbeat(beat) = &message.body { Some(&**beat) } else { None };
        if beat.is_some_and(|beat| !is_possible(beat)) {
            self.ignored.nonsense += 1;
            return false;
        }
        if host == self.me {
            if incarnation != self.incarnation {
                self.ignored.duplicate += 1;
                self.duplicate = Some(now);
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
        if let Some(beat) = beat {
            (peer.beat, peer.heard, peer.last) = (sequence, now, beat.clone());
            peer.patience = peer.patience.max(now + self.silence);
            let without_me = !beat.view.is_empty() && !beat.view.contains(self.me);
            peer.without_me = peer.without_me.or(Some(now)).filter(|_| without_me);
            if beat.hold_ms > 0 {
                peer.patience = peer.patience.max(now + Time::from(beat.hold_ms) * MS);
                peer.held = peer.held.max(now + Time::from(beat.hold_ms) * MS);
            }
        }
        true
    }

    /// Lets a start of a host count that did not, if its time has come.
    fn admit(&mut self, now: Time, message: &Message, beat: Option<&Heartbeat>, log: &mut Vec<Log>) -> bool {
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
        let proven = mutated(Mutation::ReplayAfterRestart) || beat.is_some_and(echoes_me);
        // Two hosts with one id: the one that is heard stays, also if some of its heartbeats are lost. One that comes back from an announced absence is
        // let in when it has listened, so that its share stays.
        let listening = beat.is_none_or(|beat| beat.phase == Phase::Listening);
        let free = self.members.get(&host).is_none_or(|old| {
            old.heard < first && now >= first + self.silence * 3 / 4 && !(listening && now < old.held)
        });
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
                without_me: None,
                last: beat.clone(),
                lacks: BTreeMap::new(),
            };
            self.members.insert(host, peer);
            log.push(Log::PeerHeard(host));
            return true;
        }
        self.ignored.candidate += 1;
        self.candidates.insert(host, Candidate { incarnation, sequence, first, heard: now });
        false
    }

    /// Removes those that are silent, or take part no more. `late`: my own timers were; everybody gets more time.
    pub fn expire(&mut self, now: Time, late: bool, log: &mut Vec<Log>) {
        if late {
            self.members.values_mut().for_each(|peer| peer.patience = peer.patience.max(now + self.silence));
        }
        let gone: Vec<HostId> =
            self.members.iter().filter(|(_, peer)| now >= peer.patience).map(|(host, _)| *host).collect();
        gone.into_iter().for_each(|host| self.remove(now, host, false, log));
        let silence = self.silence;
        self.candidates.retain(|_, candidate| now < candidate.heard + silence);
        // Long after its claims have ended, and after everybody has heard of it.
        self.formers.retain(|_, former| now < former.removed + 16 * silence);
        self.flaps.retain(|_, flaps| now < flaps.last + FORGET_FLAPS);
        self.duplicate = self.duplicate.filter(|heard| now < heard + silence);
    }

    /// A host does not count any more. `announced`: it takes no traffic since it said so.
    pub fn remove(&mut self, now: Time, host: HostId, announced: bool, log: &mut Vec<Log>) {
        if !self.members.contains_key(&host) {
            return;
        }
        self.note_former(now, host, announced);
        self.members.remove(&host);
        log.push(Log::PeerLost { host, announced });
        let flaps = self.flaps.entry(host).or_default();
        if now >= flaps.first + FLAP_WINDOW {
            (flaps.first, flaps.count) = (now, 0);
        }
        flaps.last = now;
        flaps.count = flaps.count.saturating_add(1);
        if flaps.count >= FLAPS && !announced {
            flaps.down_until = now + (HOLD_DOWN << flaps.doublings.min(6)).min(LONGEST_HOLD_DOWN);
            flaps.doublings = flaps.doublings.saturating_add(1);
        }
    }

    /// A host leaves the view: from now on my echoes do not renew its lease. `announced`: it takes no traffic since it said so.
    pub fn note_former(&mut self, now: Time, host: HostId, announced: bool) {
        let Some(peer) = self.members.get(&host) else { return };
        // Announced absence counts as if it was heard until its end.
        let heard = (!announced).then_some(peer.heard.max(peer.held));
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

    /// Joined and left too often.
    pub fn is_held_down(&self, now: Time, host: HostId) -> bool {
        self.flaps.get(&host).is_some_and(|flaps| now < flaps.down_until)
    }

    /// Notes since when echoes lack somebody that I hear.
    pub fn note_lacks(&mut self, now: Time) {
        let mut heard: Vec<(HostId, u64)> = self.members.iter().map(|(host, peer)| (*host, peer.incarnation)).collect();
        heard.push((self.me, self.incarnation));
        for (host, peer) in &mut self.members {
            let missing =
                |(other, incarnation): &(HostId, u64)| other != host && peer.echo_of(*other, *incarnation).is_none();
            let missing: Vec<HostId> = heard.iter().filter(|it| missing(it)).map(|(other, _)| *other).collect();
            peer.lacks.retain(|other, _| missing.contains(other));
            for other in missing {
                peer.lacks.entry(other).or_insert(now);
            }
        }
    }

    /// Both hear each other; I am one of them or hear both.
    pub fn mutual(&self, a: HostId, b: HostId) -> bool {
        let incarnation = |host: HostId| {
            if host == self.me { Some(self.incarnation) } else { Some(self.members.get(&host)?.incarnation) }
        };
        let hears = |hearer: HostId, heard: HostId| {
            let Some(start) = incarnation(heard) else { return false };
            hearer == self.me || self.members.get(&hearer).is_some_and(|peer| peer.echo_of(heard, start).is_some())
        };
        hears(a, b) && hears(b, a)
    }

    /// As [`Peers::mutual`], but one that stops hearing the other is believed only after the time of silence: it may be the first to notice that the
    /// other has gone.
    pub fn mutual_for_long(&self, now: Time, a: HostId, b: HostId) -> bool {
        let lacks = |hearer: HostId, heard: HostId| {
            let since = self.members.get(&hearer).and_then(|peer| peer.lacks.get(&heard));
            since.is_some_and(|since| now >= since + self.silence)
        };
        !lacks(a, b) && !lacks(b, a)
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
        members.chain(others).collect()
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
