// SPDX-License-Identifier: Apache-2.0
//! What the table must say, from what it has said.
//!
//! A map from key to record. When a dead record leaves the table is the table's business; so a key with a dead record may be there
//! or not. Everything else is exact: answers, operations, events, replies to the host.
//!
//! The key that a session was made under is its name here; a second key leads to that, and goes when it goes.

use crate::{Key, Record, TableIn, TableOut, state};
use std::collections::{HashMap, HashSet, VecDeque};

#[derive(Clone, Copy, Debug)]
struct Binding {
    session: u32,
    record: Record,
    flag: bool,
    written: u64,
    /// When a packet put the key into the table; 0 by the host.
    made: u64,
    /// No other binding has this one.
    serial: u64,
}

/// Cycles in which what was written to the record of a key that is in the memories is handed to packets beside them.
const FORWARDED: u64 = 6;
/// The same of a key that was put into the table.
const FORWARDED_NEW: u64 = 10;

/// Stash entries, and those of them and of the sessions that may stay unused at a refusal.
const STASH: u32 = 32;
const STASH_SLACK: u32 = 3;
const SESSION_SLACK: u32 = 8;
/// Cycles that an undo request may wait: 16 in the FIFO, 255 tries each.
const LONGEST_UNDO: u64 = 1 << 17;

/// What has happened, for a printed line.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Counts {
    pub cycles: u64,
    pub packets: u64,
    pub live: u64,
    pub forwarded: u64,
    pub writes: u64,
    pub creates: u64,
    pub revived: u64,
    pub deletes: u64,
    pub refused: u64,
    pub events: u64,
    pub renewed: u64,
    pub expired: u64,
    pub undone: u64,
    pub moves: u64,
    pub host: u64,
    pub host_busy: u64,
    pub dumps: u64,
    pub seconds: u64,
    pub found_by_second: u64,
    pub ended_with_two: u64,
    pub add_refused: u64,
}

/// Cycles by which the clocks of sweep and host may be behind what they read.
const CLOCK_AGE: usize = 12;

/// Kind (1 + that of the RTL), renewed, session, record and key.
type Event = (u8, bool, u32, Record, Key);

/// The reference.
pub struct Reference {
    sessions: u32,
    bindings: HashMap<Key, Binding>,
    owners: HashMap<u32, Key>,
    /// From a second key to the first of its session, and back.
    firsts: HashMap<Key, Key>,
    seconds: HashMap<Key, Key>,
    /// Session and serial number of the binding that the host was told of last; absent if that is not known for sure.
    told: Option<(u32, u64)>,
    serial: u64,
    /// Removed, event not yet seen.
    unreported: Vec<(u32, Key, Record)>,
    /// Session and cycle of undo requests. One may hit a later creation of the same key, if it waits long.
    undos: HashMap<u32, u64>,
    flying: VecDeque<TableIn>,
    clocks: (u16, u16),
    /// Those of the cycles before, the newest first.
    past: VecDeque<(u16, u16)>,
    expected_event: VecDeque<Option<Event>>,
    host: Option<Host>,
    dump: Option<Dump>,
    /// What was counted.
    pub counts: Counts,
}

struct Host {
    op: u8,
    key: Key,
    record: Record,
    from: u32,
    /// Values that the key had since the request, `None` = no live record.
    seen: Vec<Option<(u32, Record)>>,
    /// Records of the key since then that were live, or would have been by the clocks that the host's side goes by.
    live: Vec<(u32, Record)>,
    inserted: Option<u32>,
    removed: Option<u32>,
    /// Since the request the session `from` was live in no cycle, or was dead in one.
    never_live: bool,
    once_dead: bool,
    /// A packet has found the second key that is to be added.
    added: bool,
}

struct Dump {
    alive: HashMap<u32, Key>,
    seen: HashSet<u32>,
}

type Check = Result<(), String>;

impl Reference {
    /// An empty table.
    pub fn new(sessions: u32) -> Reference {
        Reference {
            sessions,
            bindings: HashMap::new(),
            owners: HashMap::new(),
            firsts: HashMap::new(),
            seconds: HashMap::new(),
            told: None,
            serial: 0,
            unreported: Vec::new(),
            undos: HashMap::new(),
            flying: VecDeque::from(vec![TableIn::default(); crate::LATENCY as usize]),
            clocks: (0, 0),
            past: VecDeque::from(vec![(0, 0); CLOCK_AGE]),
            expected_event: VecDeque::from([None, None, None]),
            host: None,
            dump: None,
            counts: Counts::default(),
        }
    }

    /// Live records.
    pub fn live(&self) -> usize {
        self.bindings.values().filter(|binding| binding.record.live(self.clocks.0, self.clocks.1)).count()
    }

    fn binding_is_live(&self, binding: &Binding) -> bool {
        binding.record.live(self.clocks.0, self.clocks.1)
    }

    fn is_undone(&self, binding: &Binding) -> bool {
        let asked = self.undos.get(&binding.session);
        binding.record.fresh && asked.is_some_and(|asked| self.counts.cycles - asked < LONGEST_UNDO)
    }

    fn forget(&mut self, key: &Key) -> Option<Binding> {
        let binding = self.bindings.remove(key)?;
        self.owners.remove(&binding.session);
        if let Some(second) = self.seconds.remove(key) {
            self.firsts.remove(&second);
            self.counts.ended_with_two += 1;
        }
        if let Some(dump) = &mut self.dump {
            dump.alive.remove(&binding.session);
        }
        Some(binding)
    }

    /// The table has let go of the key.
    fn gone(&mut self, key: &Key) {
        if let Some(binding) = self.forget(key)
            && binding.record.state != state::FREE
        {
            self.unreported.push((binding.session, *key, binding.record));
        }
    }

    /// The first key of the session that `key` is a key of.
    fn first(&self, key: &Key) -> Key {
        self.firsts.get(key).copied().unwrap_or(*key)
    }

    /// The binding of a session.
    fn of_session(&self, session: u32) -> Option<&Binding> {
        self.owners.get(&session).and_then(|key| self.bindings.get(key))
    }

    /// The host has given the session a second key.
    fn add(&mut self, session: u32, key: Key) -> Check {
        if self.value(&self.first(&key)).is_some() {
            return Err(format!("session {session} got a second key that is there already: {key:x?}"));
        }
        self.gone(&self.first(&key));
        let Some(first) = self.owners.get(&session).copied() else {
            return Err(format!("session {session}, which does not exist, got the second key {key:x?}"));
        };
        if let Some(other) = self.seconds.insert(first, key) {
            return Err(format!("session {session} got the third key {key:x?}: it has {first:x?} and {other:x?}"));
        }
        if self.told.is_some() && self.told != self.bindings.get(&first).map(|b| (session, b.serial)) {
            return Err(format!("session {session} got the key {key:x?}, but the host was told of {:?}", self.told));
        }
        self.firsts.insert(key, first);
        self.counts.seconds += 1;
        Ok(())
    }

    fn own(&mut self, session: u32, key: Key) -> Check {
        if let Some(other) = self.owners.get(&session).copied() {
            let binding = self.bindings[&other];
            if self.binding_is_live(&binding) && !self.is_undone(&binding) {
                return Err(format!("session {session} of a live binding was handed out again: {other:x?}"));
            }
            self.gone(&other);
        }
        self.owners.insert(session, key);
        Ok(())
    }

    /// One cycle.
    ///
    /// # Errors
    /// What is wrong.
    pub fn cycle(&mut self, input: &TableIn, output: &TableOut) -> Check {
        let now = self.counts.cycles;
        self.counts.cycles += 1;
        self.counts.moves += u64::from(output.moved);
        if output.parity != 0 {
            return Err("parity error".into());
        }
        self.host_start(input);
        if input.undo != 0 {
            self.undos.insert(input.undo_session, now);
        }
        self.event(output)?;
        self.flying.push_back(*input);
        let packet = self.flying.pop_front().expect("filled at the start");
        let event = if packet.valid != 0 { self.packet(now, &packet, output)? } else { None };
        self.expected_event.push_back(event);
        self.host_watch();
        self.host_done(output)?;
        self.past.push_front(self.clocks);
        self.past.truncate(CLOCK_AGE);
        self.clocks = (input.fast_now, input.slow_now);
        if let Some(dump) = &mut self.dump {
            // Expired in the meantime: need not be seen.
            let (bindings, clocks) = (&self.bindings, self.clocks);
            if now.is_multiple_of(64) {
                dump.alive.retain(|_, key| bindings.get(key).is_some_and(|b| b.record.live(clocks.0, clocks.1)));
            }
        }
        Ok(())
    }

    fn packet(&mut self, now: u64, packet: &TableIn, output: &TableOut) -> Result<Option<Event>, String> {
        self.counts.packets += 1;
        let key = packet.key;
        let fail = |what: &str, known: Option<&Binding>| {
            Err(format!("{what}: key {key:x?}, table says {output:?}, known {known:?}"))
        };
        let adding = self.host.as_ref().filter(|host| host.op == 4 && host.key == key && host.from == output.session);
        let known = self.bindings.get(&self.first(&key)).is_some_and(|binding| binding.session == output.session);
        if adding.is_some_and(|host| !host.added) && output.present != 0 && !known {
            self.add(output.session, key)?;
            self.host.as_mut().expect("just looked at").added = true;
        }
        let mut first = self.first(&key);
        let mut known = self.bindings.get(&first).copied();
        let just = known.is_some_and(|b| b.written + 1 == now);
        let live = known.is_some_and(|b| if just { b.record.state != state::FREE } else { self.binding_is_live(&b) });
        if output.present == 0 && known.is_some() {
            let binding = known.expect("just looked at");
            let undone = self.is_undone(&binding);
            if now - binding.written < 10 {
                return fail("a binding just written is not seen", known.as_ref());
            }
            if live && !undone {
                return fail("a live binding is not found", known.as_ref());
            }
            self.gone(&first);
            known = None;
            first = key;
        }
        self.counts.found_by_second += u64::from(known.is_some() && first != key);
        let live = live && known.is_some();
        let record = Record::unpack(output.record);
        match &known {
            None if output.present != 0 => return fail("a binding that does not exist is found", None),
            Some(binding) => {
                if binding.session != output.session || binding.record != record {
                    return fail("wrong session or record", known.as_ref());
                }
                let recent = now - binding.written < FORWARDED || now - binding.made < FORWARDED_NEW;
                let flag = if recent { binding.flag } else { record.target & 1 != 0 };
                if flag != (output.flag != 0) {
                    return fail("wrong flag", known.as_ref());
                }
                self.counts.forwarded += u64::from(recent);
            }
            None => {}
        }
        if (output.live != 0) != live {
            return fail("wrong live", known.as_ref());
        }
        self.counts.live += u64::from(live);
        if output.can_create == 0
            && output.busy == 0
            && output.stash_used + STASH_SLACK < STASH
            && output.live_slots + SESSION_SLACK < self.sessions
        {
            return fail("creation is refused without need", None);
        }
        let wish = Record::unpack(packet.record);
        let event = match output.op {
            1 => {
                self.counts.writes += 1;
                let binding = known.expect("checked: present");
                self.put(first, Binding { record: wish, flag: packet.flag != 0, written: now, ..binding });
                (wish.state != record.state).then_some((2, false, binding.session, wish, key))
            }
            2 => {
                self.counts.creates += 1;
                self.counts.revived += u64::from(known.is_some() && !live);
                let binding = match known {
                    Some(binding) => binding,
                    None => {
                        self.own(output.session, key)?;
                        self.new_binding(output.session, wish, now)
                    }
                };
                if let Some(dump) = self.dump.as_mut().filter(|_| !live) {
                    // Was dead for a moment.
                    dump.alive.remove(&output.session);
                }
                self.put(first, Binding { record: wish, flag: packet.flag != 0, written: now, ..binding });
                let renewed = !live && known.is_some() && record.state != state::FREE;
                Some((if live { 2 } else { 1 }, renewed, output.session, wish, key))
            }
            3 => {
                self.counts.deletes += 1;
                let binding = known.expect("checked: present");
                let free = Record { state: state::FREE, ..record };
                self.put(first, Binding { record: free, flag: packet.flag != 0, written: now, ..binding });
                if let Some(dump) = &mut self.dump {
                    dump.alive.remove(&binding.session);
                }
                (record.state != state::FREE).then_some((3, false, binding.session, free, key))
            }
            4 => {
                self.counts.writes += 1;
                let binding = known.expect("checked: present");
                self.put(first, Binding { flag: packet.flag != 0, written: now, ..binding });
                None
            }
            _ if packet.op == 2 && !(packet.only_dead != 0 && live) => {
                self.counts.refused += 1;
                Some((4, false, output.session, wish, key))
            }
            _ => None,
        };
        Ok(event)
    }

    fn new_binding(&mut self, session: u32, record: Record, made: u64) -> Binding {
        self.serial += 1;
        Binding { session, record, flag: false, written: made, made, serial: self.serial }
    }

    fn put(&mut self, key: Key, binding: Binding) {
        self.bindings.insert(key, binding);
    }

    fn event(&mut self, output: &TableOut) -> Check {
        let expected = self.expected_event.pop_front().expect("filled at the start");
        if output.event == 0 {
            return expected.map_or(Ok(()), |e| Err(format!("event missing: {e:?}")));
        }
        self.counts.events += 1;
        let (kind, session, record, key) =
            (output.event, output.event_session, Record::unpack(output.event_record), output.event_key);
        let renewed = output.event_renewed != 0;
        self.counts.renewed += u64::from(renewed);
        let seen = (kind, renewed, session, record, key);
        if let Some(expected) = expected {
            if expected != seen {
                return Err(format!("event {seen:?} instead of {expected:?}"));
            }
            return Ok(());
        }
        let text = format!("event {seen:?}");
        match kind {
            1 => {
                // The host's INSERT. A dead session that has the key as its second one is gone.
                if self.first(&key) != key {
                    if self.value(&self.first(&key)).is_some() {
                        return Err(format!("{text}: it is the second key of a live binding"));
                    }
                    self.gone(&self.first(&key));
                }
                let Some(host) =
                    self.host.as_ref().filter(|host| host.op == 1 && host.key == key && host.record == record)
                else {
                    return Err(format!("{text} without cause"));
                };
                let record = host.record;
                let ended = self.bindings.get(&key).filter(|b| b.session == session && b.record.state != state::FREE);
                if renewed != ended.is_some() {
                    return Err(format!("{text}: in the place of {ended:?}"));
                }
                if let Some(binding) = self.bindings.get(&key).copied() {
                    if self.binding_is_live(&binding) {
                        return Err(format!("{text}: a live binding exists: {binding:?}"));
                    }
                    if binding.session != session {
                        self.gone(&key);
                    }
                }
                if !self.bindings.contains_key(&key) {
                    self.own(session, key)?;
                }
                if let Some(dump) = &mut self.dump {
                    dump.alive.remove(&session);
                }
                if self.seconds.contains_key(&key) {
                    if renewed {
                        return Err(format!("{text}: the host took over a session of two keys"));
                    }
                    self.gone(&key);
                    self.own(session, key)?;
                }
                let binding = match self.bindings.get(&key) {
                    Some(binding) => Binding { record, flag: false, written: 0, made: 0, ..*binding },
                    None => self.new_binding(session, record, 0),
                };
                self.put(key, binding);
                self.host.as_mut().expect("just looked at").inserted = Some(session);
                Ok(())
            }
            3 if renewed => Err(format!("{text}: removed in the place of another")),
            3 => {
                if let Some(at) = self.unreported.iter().position(|&(s, k, r)| (s, k, r) == (session, key, record)) {
                    self.unreported.swap_remove(at);
                    self.counts.expired += 1;
                    return Ok(());
                }
                let Some(binding) =
                    self.bindings.get(&key).copied().filter(|b| b.session == session && b.record == record)
                else {
                    return Err(format!("{text}: no such binding; known {:?}", self.bindings.get(&key)));
                };
                let undone = self.is_undone(&binding);
                let by_host = self.host.as_ref().is_some_and(|host| host.op == 2 && self.first(&host.key) == key);
                if self.binding_is_live(&binding) && !undone && !by_host {
                    return Err(format!("{text}: it is live"));
                }
                if by_host {
                    self.host.as_mut().expect("just looked at").removed = Some(session);
                }
                self.counts.expired += 1;
                self.counts.undone += u64::from(undone);
                self.forget(&key);
                Ok(())
            }
            _ => Err(format!("{text} without cause")),
        }
    }

    /// The record of the key, if it is live by the clocks of any of the last cycles.
    fn value_then(&self, key: &Key) -> Option<(u32, Record)> {
        let live = |b: &&Binding| self.past.iter().any(|clocks| b.record.live(clocks.0, clocks.1));
        self.value(key).or_else(|| self.bindings.get(&self.first(key)).filter(live).map(|b| (b.session, b.record)))
    }

    fn value(&self, key: &Key) -> Option<(u32, Record)> {
        self.bindings.get(&self.first(key)).filter(|b| self.binding_is_live(b)).map(|b| (b.session, b.record))
    }

    fn host_start(&mut self, input: &TableIn) {
        if input.host_start != 0 {
            self.counts.host += 1;
            self.host = Some(Host {
                op: input.host_start - 1,
                key: input.host_key,
                record: Record::unpack(input.host_record),
                from: input.host_session,
                seen: vec![self.value(&input.host_key)],
                live: self.value_then(&input.host_key).into_iter().collect(),
                inserted: None,
                removed: None,
                never_live: true,
                once_dead: false,
                added: false,
            });
        }
    }

    fn host_watch(&mut self) {
        if let Some(mut host) = self.host.take() {
            let value = self.value(&host.key);
            if host.seen.last() != Some(&value) {
                host.seen.push(value);
            }
            let of = self.of_session(host.from);
            let live_then = of.is_some_and(|b| self.past.iter().any(|clocks| b.record.live(clocks.0, clocks.1)));
            let live = of.is_some_and(|b| self.binding_is_live(b));
            host.never_live &= !live && !live_then;
            host.once_dead |= !live;
            let then = self.value_then(&host.key);
            if then.is_some() && host.live.last() != then.as_ref() {
                host.live.extend(then);
            }
            self.host = Some(host);
        }
    }

    fn host_done(&mut self, output: &TableOut) -> Check {
        if output.host_done == 0 {
            return Ok(());
        }
        let host = self.host.take().ok_or("the host is answered without a question")?;
        let record = Record::unpack(output.host_record);
        let ok = output.host_ok != 0;
        let other = output.host_busy != 0 || output.host_full != 0;
        self.counts.host_busy += u64::from(other);
        let fail = |what: &str| {
            Err(format!(
                "host operation {} of key {:x?}: {what}; seen {:?}, answer {output:?}",
                host.op, host.key, host.seen
            ))
        };
        if ok && other {
            return fail("ok and busy");
        }
        match host.op {
            0 if ok && !host.live.contains(&(output.host_session, record)) => {
                return fail("found what is not there");
            }
            0 if !ok && !other && !host.seen.contains(&None) => return fail("not found"),
            0 if other => return fail("find is never busy"),
            0 | 3 if ok && self.two_is_wrong(output) => return fail("wrong count of keys"),
            1 if ok != host.inserted.is_some() => return fail("ok without a CREATED, or CREATED without ok"),
            1 if !ok && !other && host.live.is_empty() => return fail("exists already, it says"),
            2 if ok => {
                if !host.live.contains(&(output.host_session, record)) {
                    return fail("removed what is not there");
                }
                if host.removed != Some(output.host_session)
                    && self.bindings.get(&self.first(&host.key)).is_some_and(|b| b.session == output.host_session)
                {
                    self.gone(&self.first(&host.key));
                }
            }
            2 if !other && !host.seen.contains(&None) => return fail("nothing to remove, it says"),
            4 if ok => {
                if host.never_live {
                    return fail("a session that was not live got a key");
                }
                if output.host_session != host.from {
                    return fail("another session got the key");
                }
                if !host.added {
                    self.add(host.from, host.key)?;
                }
            }
            4 => {
                self.counts.add_refused += u64::from(!other);
                let told = self.of_session(host.from).map(|b| (host.from, b.serial));
                let has_two = self.owners.get(&host.from).is_some_and(|first| self.seconds.contains_key(first));
                if host.added {
                    return fail("refused, but a packet found the key");
                }
                match (output.host_present != 0, output.host_ended != 0, output.host_two != 0) {
                    (true, false, false) if !other && !host.live.is_empty() => {}
                    (false, true, false) if !other && (host.once_dead || self.told.is_none() || self.told != told) => {}
                    (false, false, true) if !other && has_two => {}
                    (false, false, false) if other => {}
                    _ => return fail("a second key is refused for no reason, or for a wrong one"),
                }
            }
            5 if ok => {
                let first = self.owners.get(&output.host_session);
                if output.host_session != host.from
                    || first.and_then(|first| self.seconds.get(first)) != Some(&output.host_key)
                {
                    return fail("not the second key of the session");
                }
            }
            5 if !other => {
                let has_two = self.owners.get(&host.from).is_some_and(|first| self.seconds.contains_key(first));
                if has_two && !host.once_dead {
                    return fail("the second key is not told");
                }
            }
            3 => {
                let walked = ok.then_some(output.host_session);
                if ok {
                    let key = output.host_key;
                    let known = self.bindings.get(&key).filter(|b| b.session == output.host_session);
                    if known.is_none() && !self.unreported.iter().any(|&(s, k, _)| (s, k) == (output.host_session, key))
                    {
                        return fail("the dump has what is not there");
                    }
                    if output.host_session < host.from {
                        return fail("the dump walks down");
                    }
                }
                if let Some(mut dump) = self.dump.take() {
                    let end = walked.unwrap_or(self.sessions);
                    // What lived all the time between is not skipped.
                    dump.alive.retain(|_, key| self.bindings.get(key).is_some_and(|b| self.binding_is_live(b)));
                    if let Some((session, key)) = dump.alive.iter().find(|(s, _)| (host.from..end).contains(*s)) {
                        return fail(&format!("the dump skips session {session} of {key:x?}"));
                    }
                    if let Some(session) = walked {
                        if !dump.seen.insert(session) {
                            return fail("the dump shows a session twice");
                        }
                        dump.alive.remove(&session);
                        self.dump = Some(dump);
                    } else {
                        self.counts.dumps += 1;
                    }
                }
            }
            _ => {}
        }
        if host.op != 4 {
            let told = self.bindings.get(&self.first(&output.host_key)).filter(|b| b.session == output.host_session);
            let told = told.map(|b| (b.session, b.serial));
            self.told = if ok && host.op != 2 { told } else { None };
        }
        Ok(())
    }

    /// Whether the answer tells of two keys, or of one, of a session that has not.
    fn two_is_wrong(&self, output: &TableOut) -> bool {
        let first = self.owners.get(&output.host_session).filter(|first| self.value(first).is_some());
        first.is_some_and(|first| self.seconds.contains_key(first) != (output.host_two != 0))
    }

    /// A dump begins: the next requests are NEXT, walking up from session 0, until one is not ok.
    pub fn dump_begins(&mut self) {
        let live =
            self.bindings.iter().filter(|(_, b)| self.binding_is_live(b)).map(|(key, b)| (b.session, *key)).collect();
        self.dump = Some(Dump { alive: live, seen: HashSet::new() });
    }

    /// When everything has expired and was swept: nothing is left, and everything was reported.
    ///
    /// # Errors
    /// What is left.
    pub fn end(&mut self, output: &TableOut) -> Check {
        if output.live_slots != 0 || output.stash_used != 0 {
            return Err(format!(
                "{} keys, {} of them in the stash, were not removed",
                output.live_slots, output.stash_used
            ));
        }
        let lost = self.bindings.values().filter(|b| b.record.state != state::FREE).count();
        if lost != 0 || !self.unreported.is_empty() {
            return Err(format!("removal of {lost} bindings and of {:?} was not reported", self.unreported));
        }
        self.bindings.clear();
        self.owners.clear();
        self.firsts.clear();
        self.seconds.clear();
        Ok(())
    }
}
