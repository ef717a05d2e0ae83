// SPDX-License-Identifier: Apache-2.0
//! The binding tables: look up, insert, remove and dump bindings, and the events about them.

use crate::{BulkMover, Nic, NicError};
use hashgate_regs::defs::{BindingState, RuleEntry, Table, TargetEntry, UnknownValue};
use hashgate_regs::registers::{BindCensus, BindCommand, BindRecord0, BindRecord1, BindStatus, BindTicks};
use hashgate_tables::{BUCKETS, NOBODY, Tables, Timeouts};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads of the status before an operation counts as hung. One takes microseconds.
const POLLS: u32 = 10_000;
/// Reads of the status before a walk over all sessions counts as hung: a census, or the next binding behind a long gap.
/// 65536 of them take a few milliseconds.
const WALK_POLLS: u32 = 1_000_000;
/// How often an operation is asked for again while packets with its key are under way.
const RETRIES: u32 = 1_000;
const KEY_WORDS: usize = 10;
/// Words of an event.
pub const EVENT_WORDS: usize = 4 + KEY_WORDS;
/// Words of a binding that comes by DMA: those of an event, and at the end whether there is one.
const ENTRY_WORDS: usize = 16;
/// Bindings that are asked for at a time.
const WALK_ENTRIES: usize = 256;
const TCP: u8 = 6;

/// One of the two binding tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BindingTable {
    /// Connections, by the whole key.
    Connection,
    /// Clients, by what the binding-key mask of a rule leaves of the key.
    Affinity,
}

/// Key of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingKey {
    /// Zone of the packets.
    pub zone: u8,
    /// Source address, masked in the affinity table.
    pub source: IpAddr,
    /// Destination address, of the same IP version; unspecified where the mask drops it.
    pub destination: IpAddr,
    /// Source port; 0 where there is none.
    pub source_port: u16,
    /// Destination port; 0 where there is none.
    pub destination_port: u16,
    /// Protocol; in the affinity table the binding group.
    pub protocol: u8,
}

/// What a binding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingRecord {
    /// State; never free.
    pub state: BindingState,
    /// Target that its packets go to.
    pub target: u16,
    /// Rule that made it.
    pub rule: u8,
    /// Bucket that made it.
    pub bucket: u16,
    /// Tick in which it ends, modulo 65536; see [`Nic::binding_clocks`].
    pub expires: u16,
    /// No packet has used it since a packet made it.
    pub fresh: bool,
}

/// A binding in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its number in the table, which it keeps while it lives.
    pub session: u16,
    /// Its key. In answers to a look-up by the second key, that; else the first.
    pub key: BindingKey,
    /// The other key that leads to it, if it has two and the NIC was asked for it: by [`Nic::find_binding`] and [`Nic::bindings`].
    pub other: Option<BindingKey>,
    /// What it says.
    pub record: BindingRecord,
}

/// Why a session gets no second key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// There is no live binding under the key that it has.
    Ended,
    /// It has two keys.
    Two,
    /// A live binding has the key already, this one or another.
    Present,
}

impl std::fmt::Display for KeyRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            KeyRefusal::Ended => "no live binding has its first key: make one first",
            KeyRefusal::Two => "it has two keys already: remove the binding and make it anew",
            KeyRefusal::Present => "a live binding has this key already: remove that first",
        })
    }
}

/// What happened to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingEventKind {
    /// A packet or the host made it.
    Created,
    /// Its state changed.
    Changed,
    /// It ended: by time, by a packet or by the host.
    Removed,
    /// There was no room for it.
    Refused,
}

/// An event of the binding tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingEvent {
    /// Running number; a gap before it tells how many events were lost.
    pub number: u32,
    /// Which table.
    pub table: BindingTable,
    /// What happened.
    pub kind: BindingEventKind,
    /// It was created in the place of one under the same key that had ended, which the counters count as removed; no event
    /// of its own tells of that.
    pub renewed: bool,
    /// The binding as it was then. The session of a refused one means nothing.
    pub binding: Binding,
}

/// Clocks of the binding tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingClocks {
    /// Now, in ticks modulo 65536: half-open and reset bindings.
    pub fast: u16,
    /// Now, in ticks modulo 65536: all others.
    pub slow: u16,
    /// Length of a fast tick, ns.
    pub fast_tick_ns: u64,
    /// Length of a slow tick, ns.
    pub slow_tick_ns: u64,
}

impl BindingClocks {
    /// Tick in which a binding in `state` ends that shall last `ticks` from now.
    pub fn after(&self, state: BindingState, ticks: u16) -> u16 {
        let now = if is_fast(state) { self.fast } else { self.slow };
        now.wrapping_add(ticks)
    }

    /// Length of a tick of the clock that ends bindings in `state`, ns.
    pub fn tick_ns(&self, state: BindingState) -> u64 {
        if is_fast(state) { self.fast_tick_ns } else { self.slow_tick_ns }
    }

    /// Ticks that are left of a binding; `None` if it has ended.
    pub fn left(&self, record: &BindingRecord) -> Option<u16> {
        let now = if is_fast(record.state) { self.fast } else { self.slow };
        let left = record.expires.wrapping_sub(now);
        (1..=Timeouts::MAX + 1).contains(&left).then_some(left)
    }
}

/// What became of bindings that were to be copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// They are here now.
    pub made: usize,
    /// There was a binding with the key already; it stays as it is.
    pub present: usize,
    /// Their time was over.
    pub ended: usize,
    /// There was no room.
    pub refused: usize,
    /// They are here, but their second key found no room or is that of another.
    pub without_second: usize,
}

/// Whether bindings in `state` go by the fast clock.
fn is_fast(state: BindingState) -> bool {
    matches!(state, BindingState::HalfOpen | BindingState::Reset)
}

/// Counters of a binding table since the reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingCounters {
    /// Bindings in the table, ended ones that are not cleared away yet included. One with two keys counts once.
    pub used: u32,
    /// Keys in the stash.
    pub stash: u32,
    /// Bindings made.
    pub created: u64,
    /// Bindings that ended.
    pub removed: u64,
    /// Bindings that found no room.
    pub refused: u64,
    /// Keys that the mover displaced.
    pub moves: u64,
    /// Bindings of frames with late errors that were not taken back.
    pub undo_lost: u32,
    /// Keys, records and flags of targets with wrong parity that were met; one that stays is counted each time. Wraps at 2^32.
    pub parity_errors: u32,
}

/// Operations of `BIND_COMMAND`.
#[derive(Clone, Copy)]
enum Operation {
    Find = 0,
    Insert = 1,
    Remove = 2,
    Next = 3,
    Add = 4,
    Second = 5,
}

/// How an operation ended.
enum Outcome {
    /// It was done; and whether the binding has two keys, if it was found.
    Ok {
        two: bool,
    },
    No,
    Full,
    /// Of [`Operation::Add`].
    Refused(KeyRefusal),
}

impl BindingKey {
    fn words(&self) -> [u32; KEY_WORDS] {
        let mut words = [0; KEY_WORDS];
        for (place, address) in [(0, self.source), (4, self.destination)] {
            let bits = match address {
                IpAddr::V4(address) => u32::from(address).into(),
                IpAddr::V6(address) => u128::from(address),
            };
            for (n, word) in words[place..place + 4].iter_mut().enumerate() {
                *word = (bits >> (32 * n)) as u32;
            }
        }
        words[8] = u32::from(self.source_port) | u32::from(self.destination_port) << 16;
        words[9] = u32::from(self.protocol) | u32::from(self.zone) << 8 | u32::from(self.source.is_ipv6()) << 16;
        words
    }

    fn from_words(words: &[u32; KEY_WORDS]) -> BindingKey {
        let v6 = words[9] >> 16 & 1 == 1;
        let address = |place: usize| {
            if v6 {
                let bits = (0..4).map(|n| u128::from(words[place + n]) << (32 * n)).sum::<u128>();
                IpAddr::V6(Ipv6Addr::from(bits))
            } else {
                IpAddr::V4(Ipv4Addr::from(words[place]))
            }
        };
        BindingKey {
            zone: (words[9] >> 8) as u8,
            source: address(0),
            destination: address(4),
            source_port: words[8] as u16,
            destination_port: (words[8] >> 16) as u16,
            protocol: words[9] as u8,
        }
    }
}

impl BindingEvent {
    /// From the words of `EVENT_WORD`, which are also the first of an event in a ring.
    ///
    /// # Errors
    /// [`UnknownValue`] if a field has no meaning.
    pub fn from_words(words: &[u32; EVENT_WORDS]) -> Result<BindingEvent, UnknownValue> {
        let mut key = [0; KEY_WORDS];
        key.copy_from_slice(&words[4..]);
        let record = BindingRecord {
            state: BindingState::try_from((words[1] >> 8 & 7) as u8)?,
            target: (words[1] >> 16 & 0x3ff) as u16,
            rule: (words[2] >> 16 & 0x7f) as u8,
            bucket: (words[2] & 0xfff) as u16,
            expires: (words[3] >> 16) as u16,
            fresh: words[1] >> 5 & 1 == 1,
        };
        Ok(BindingEvent {
            number: words[0],
            table: if words[1] >> 4 & 1 == 1 { BindingTable::Affinity } else { BindingTable::Connection },
            kind: match words[1] & 3 {
                0 => BindingEventKind::Created,
                1 => BindingEventKind::Changed,
                2 => BindingEventKind::Removed,
                _ => BindingEventKind::Refused,
            },
            renewed: words[1] >> 2 & 1 == 1,
            binding: Binding { session: words[3] as u16, key: BindingKey::from_words(&key), other: None, record },
        })
    }
}

/// Bindings of a table, at most `sessions`, by DMA: with their first keys, and whether there is a second one.
fn walk(bulk: &mut dyn BulkMover, table: BindingTable, sessions: u32) -> Result<Vec<(Binding, bool)>, NicError> {
    let mut found: Vec<(Binding, bool)> = Vec::new();
    let mut words = vec![0; WALK_ENTRIES * ENTRY_WORDS];
    loop {
        bulk.walk_bindings(table == BindingTable::Affinity, !found.is_empty(), &mut words)
            .map_err(|source| NicError::BulkBindings { table, source })?;
        for entry in words.as_chunks::<ENTRY_WORDS>().0 {
            if entry[ENTRY_WORDS - 1] == 0 {
                return Ok(found);
            }
            let event: &[u32; EVENT_WORDS] = entry[..EVENT_WORDS].try_into().expect("an entry is longer than an event");
            let binding = BindingEvent::from_words(event)?.binding;
            let last = found.last().map(|(binding, _)| binding.session);
            if last.is_some_and(|last| binding.session <= last) || u32::from(binding.session) >= sessions {
                let text = format!("session {} came after {last:?}, of {sessions}", binding.session);
                return Err(NicError::Binding(text));
            }
            found.push((binding, entry[EVENT_WORDS] & 1 == 1));
        }
    }
}

impl Nic {
    /// The binding with a key, if it lives.
    ///
    /// # Errors
    /// [`NicError::BindingBusy`] if packets with the key come without a pause, [`NicError::NoAnswer`] and
    /// [`NicError::Timeout`] if the NIC fails.
    pub fn find_binding(&mut self, table: BindingTable, key: &BindingKey) -> Result<Option<Binding>, NicError> {
        self.write_key(key)?;
        let Outcome::Ok { two } = self.operate(table, Operation::Find)? else { return Ok(None) };
        let found = self.read_binding()?;
        if !two {
            return Ok(Some(found));
        }
        // Between the questions the session may end and be made anew under other keys.
        let Some(second) = self.second_key(table, found.session)? else { return Ok(Some(found)) };
        if second != *key {
            return Ok(Some(Binding { other: Some(second), ..found }));
        }
        self.registers().set_bind_session(found.session);
        let first = match self.operate(table, Operation::Next)? {
            Outcome::Ok { .. } => Some(self.read_binding()?).filter(|binding| binding.session == found.session),
            _ => None,
        };
        Ok(Some(Binding { other: first.map(|binding| binding.key), ..found }))
    }

    /// Gives the binding under `existing` a second key, for example that of its replies if their addresses are rewritten:
    /// packets find, decide and refresh it by either from then on. `existing` may be the first or the only key. The
    /// keys end together; what is made anew under one of them by a packet before the NIC has cleared it away
    /// keeps both.
    ///
    /// # Errors
    /// [`NicError::KeyRefused`] if there is no live binding under `existing` any more, if it has two keys, or if `new` is a key of a
    /// live one; [`NicError::BindingsFull`] if there is no room; nothing has changed then. Others as for [`Nic::find_binding`].
    pub fn add_key(&mut self, table: BindingTable, existing: &BindingKey, new: &BindingKey) -> Result<(), NicError> {
        let refuse = |why: KeyRefusal| Err(NicError::KeyRefused { table, key: Box::new(*new), why });
        self.check_versions(new)?;
        for _ in 0..RETRIES {
            self.write_key(existing)?;
            if !matches!(self.operate(table, Operation::Find)?, Outcome::Ok { .. }) {
                return refuse(KeyRefusal::Ended);
            }
            self.write_key(new)?;
            match self.operate(table, Operation::Add)? {
                Outcome::Ok { .. } => return Ok(()),
                Outcome::Full => return Err(NicError::BindingsFull { table }),
                // It ended since it was found, or the table was asked for something else: its number may be that of another now.
                Outcome::Refused(KeyRefusal::Ended) => {}
                Outcome::Refused(why) => return refuse(why),
                Outcome::No => return Err(NicError::Binding("the NIC refused a second key and gave no reason".into())),
            }
        }
        Err(NicError::BindingBusy { table, retries: RETRIES })
    }

    /// The second key of a session, if it lives and has one.
    fn second_key(&mut self, table: BindingTable, session: u16) -> Result<Option<BindingKey>, NicError> {
        self.end_operation(WALK_POLLS)?;
        self.registers().set_bind_session(session);
        match self.operate(table, Operation::Second)? {
            Outcome::Ok { .. } => Ok(Some(self.read_binding()?.key)),
            _ => Ok(None),
        }
    }

    /// Makes a binding. It ends at `record.expires` unless packets refresh it, and is not fresh.
    ///
    /// # Errors
    /// [`NicError::Binding`] if the target, the rule, the bucket or the state cannot be (TCP connections are half-open,
    /// established, closing or reset, everything else is a flow), if the time is over, or if there is a binding with
    /// this key; [`NicError::BindingsFull`] if there is no room; nothing has changed then. Others as
    /// for [`Nic::find_binding`].
    pub fn insert_binding(
        &mut self,
        table: BindingTable,
        key: &BindingKey,
        record: &BindingRecord,
    ) -> Result<Binding, NicError> {
        match self.insert(table, key, record)? {
            Outcome::Ok { .. } => self.read_binding(),
            Outcome::No | Outcome::Refused(_) => {
                Err(NicError::Binding(format!("there is a binding of {key:?} already: remove it first")))
            }
            Outcome::Full => Err(NicError::BindingsFull { table }),
        }
    }

    /// Copies bindings of another member, which it had when its clocks said `theirs`, so that packets of flows that
    /// move here without a sign of their beginning (UDP, masked keys) are decided as there. Each lasts as long as it
    /// would there, counted from the call on, to a tick. Both must know its target and rule by the same numbers.
    ///
    /// # Errors
    /// As for [`Nic::insert_binding`], but for keys that are present and a table that is full, which are counted. Those
    /// copied before stay.
    pub fn copy_bindings(
        &mut self,
        table: BindingTable,
        bindings: &[Binding],
        theirs: &BindingClocks,
    ) -> Result<Copied, NicError> {
        let mut copied = Copied::default();
        let ours = self.binding_clocks();
        for Binding { key, other, record, .. } in bindings {
            let expires = theirs.left(record).map(|left| {
                let left_ns = u64::from(left) * theirs.tick_ns(record.state);
                let ticks = left_ns.div_ceil(ours.tick_ns(record.state)).min(u64::from(Timeouts::MAX)) as u16;
                ours.after(record.state, ticks)
            });
            let record = expires.map(|expires| BindingRecord { expires, ..*record });
            // Some end while the ones before them are copied.
            let Some(record) = record.filter(|record| self.binding_clocks().left(record).is_some()) else {
                copied.ended += 1;
                continue;
            };
            let outcome = self.insert(table, key, &record)?;
            let made = matches!(outcome, Outcome::Ok { .. });
            *match outcome {
                Outcome::Ok { .. } => &mut copied.made,
                Outcome::No | Outcome::Refused(_) => &mut copied.present,
                Outcome::Full => &mut copied.refused,
            } += 1;
            if let (true, Some(other)) = (made, other) {
                match self.add_key(table, key, other) {
                    Ok(()) => {}
                    Err(NicError::KeyRefused { .. } | NicError::BindingsFull { .. }) => copied.without_second += 1,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(copied)
    }

    fn insert(&mut self, table: BindingTable, key: &BindingKey, record: &BindingRecord) -> Result<Outcome, NicError> {
        self.check_record(table, key, record)?;
        self.write_key(key)?;
        let registers = self.registers();
        // Fresh is what a packet makes; nothing could undo this one.
        registers.set_bind_record0(BindRecord0 { target: record.target, state: record.state as u8, fresh: false });
        registers.set_bind_record1(BindRecord1 { bucket: record.bucket, rule: record.rule });
        registers.set_bind_record2(record.expires);
        self.operate(table, Operation::Insert)
    }

    /// Ends a binding with all its keys, by any of them; `false` if there is none with this key.
    ///
    /// # Errors
    /// As for [`Nic::find_binding`].
    pub fn remove_binding(&mut self, table: BindingTable, key: &BindingKey) -> Result<bool, NicError> {
        self.write_key(key)?;
        Ok(matches!(self.operate(table, Operation::Remove)?, Outcome::Ok { .. }))
    }

    /// All bindings of a table that live during the whole call, each once with its keys, by session; those that come or go meanwhile
    /// may be among them. Packets are not held up.
    ///
    /// # Errors
    /// As for [`Nic::find_binding`].
    pub fn bindings(&mut self, table: BindingTable) -> Result<Vec<Binding>, NicError> {
        if let Some(mut bulk) = self.take_bulk() {
            let found = walk(&mut *bulk, table, self.info().bindings);
            self.set_bulk(Some(bulk));
            let with_keys = |(binding, two): (Binding, bool)| {
                let other = if two { self.second_key(table, binding.session)? } else { None };
                Ok(Binding { other, ..binding })
            };
            return found?.into_iter().map(with_keys).collect();
        }
        let mut found: Vec<Binding> = Vec::new();
        let mut from = 0u16;
        loop {
            self.end_operation(WALK_POLLS)?;
            self.registers().set_bind_session(from);
            match self.operate(table, Operation::Next)? {
                Outcome::Ok { two } => {
                    let binding = self.read_binding()?;
                    let other = if two { self.second_key(table, binding.session)? } else { None };
                    found.push(Binding { other, ..binding });
                }
                _ => return Ok(found),
            }
            let session = found.last().map_or(0, |binding| binding.session);
            if session < from {
                let text = format!("asked for those from session {from} on, the NIC gave {session}");
                return Err(NicError::Binding(text));
            }
            if u32::from(session) + 1 >= self.info().bindings {
                return Ok(found);
            }
            from = session + 1;
        }
    }

    /// Ends all bindings that `which` picks, for example those of a target or a rule; returns how many.
    ///
    /// # Errors
    /// As for [`Nic::find_binding`]; those removed before stay removed.
    pub fn remove_bindings(
        &mut self,
        table: BindingTable,
        which: impl Fn(&Binding) -> bool,
    ) -> Result<usize, NicError> {
        let mut removed = 0;
        for binding in self.bindings(table)?.iter().filter(|binding| which(binding)) {
            removed += usize::from(self.remove_binding(table, &binding.key)?);
        }
        Ok(removed)
    }

    /// Empties both tables and gives their hash functions a new secret. While that lasts no packet finds or makes a
    /// binding; no events tell of the bindings that go.
    ///
    /// # Errors
    /// [`NicError::NoAnswer`] and [`NicError::Timeout`] if the NIC fails.
    pub fn flush_bindings(&mut self, secret: u128) -> Result<(), NicError> {
        for n in 0..4 {
            self.registers().set_bind_secret(n, (secret >> (32 * n)) as u32);
        }
        self.registers().set_bind_flush(true);
        self.wait("the flush of the binding tables", |status| status.bind_ready)
    }

    /// Sets the lengths of the ticks: 2 to the power of `fast` and `slow` nanoseconds. The tables should be empty.
    ///
    /// # Errors
    /// [`NicError::Binding`] unless both are 10..=33.
    pub fn set_binding_ticks(&mut self, fast: u8, slow: u8) -> Result<(), NicError> {
        for (what, value) in [("fast", fast), ("slow", slow)] {
            if !(10..=33).contains(&value) {
                let text = format!("the {what} tick is 2^{value} ns, possible is 2^10 to 2^33 (1 us to 8.6 s)");
                return Err(NicError::Binding(text));
            }
        }
        self.registers().set_bind_ticks(BindTicks { fast, slow });
        Ok(())
    }

    /// The clocks that [`BindingRecord::expires`] refers to.
    pub fn binding_clocks(&self) -> BindingClocks {
        let (now, ticks) = (self.registers().bind_now(), self.registers().bind_ticks());
        let length = |power: u8| 1u64 << power.min(63);
        BindingClocks {
            fast: now.fast,
            slow: now.slow,
            fast_tick_ns: length(ticks.fast),
            slow_tick_ns: length(ticks.slow),
        }
    }

    /// Counters of a binding table.
    pub fn binding_counters(&self, table: BindingTable) -> BindingCounters {
        let (registers, t) = (self.registers(), table as usize);
        BindingCounters {
            used: registers.binding_used(t),
            stash: registers.binding_stash(t),
            created: registers.binding_created(t),
            removed: registers.binding_removed(t),
            refused: registers.binding_refused(t),
            moves: registers.binding_moves(t),
            undo_lost: registers.binding_undo_lost(t),
            parity_errors: registers.binding_parity_errors(t),
        }
    }

    /// Live bindings of each of the 4096 buckets, of one rule or of all: those that live during the whole call, and perhaps
    /// some of those that come or go meanwhile. Packets are not held up.
    ///
    /// # Errors
    /// [`NicError::Binding`] if the rule is out of range, [`NicError::NoAnswer`] and [`NicError::Timeout`] if the NIC fails.
    pub fn count_bindings(&mut self, table: BindingTable, rule: Option<u8>) -> Result<Vec<u32>, NicError> {
        let rules = self.info().limits.rules;
        if let Some(rule) = rule.filter(|rule| *rule > rules) {
            return Err(NicError::Binding(format!("rule {rule} is out of range: 0..={rules}")));
        }
        let registers = self.registers();
        registers.set_bind_census(BindCensus {
            rule: rule.unwrap_or_default(),
            every: rule.is_none(),
            affinity: table == BindingTable::Affinity,
        });
        let mut polls = 0;
        while registers.bind_census_status() {
            polls += 1;
            registers.io().pause(polls);
            if polls == WALK_POLLS {
                return Err(self.or_gone(NicError::Timeout { what: "the census of a binding table", polls }));
            }
        }
        Ok(self.read_words(Table::CountLive, 0, BUCKETS))
    }

    /// A rule that frames do not see yet must not inherit bindings of an older one of its number.
    pub(crate) fn refuse_rules_in_use(&mut self, tables: &Tables) -> Result<(), NicError> {
        for table in [BindingTable::Connection, BindingTable::Affinity] {
            if self.binding_counters(table).used == 0 {
                continue;
            }
            for &rule in tables.rules.keys() {
                if RuleEntry::unpack(&self.read_entry(Table::Rule, rule.into())).valid {
                    continue;
                }
                let bindings = self.count_bindings(table, Some(rule))?.iter().sum();
                if bindings > 0 {
                    return Err(NicError::RuleInUse { rule, table, bindings });
                }
            }
        }
        Ok(())
    }

    /// Bindings of each of the 4096 buckets that found no room since the reset; wraps.
    pub fn refused_bindings(&self, table: BindingTable) -> Vec<u32> {
        self.read_words(Table::CountRefused, table as u32 * BUCKETS as u32, BUCKETS)
    }

    /// The oldest event of the binding tables that nobody has taken yet.
    ///
    /// # Errors
    /// [`NicError::Unknown`] if a field has no meaning; the event is taken all the same.
    pub fn next_binding_event(&mut self) -> Result<Option<BindingEvent>, NicError> {
        let registers = self.registers();
        if !registers.event_status() {
            return Ok(None);
        }
        let words: [u32; EVENT_WORDS] = std::array::from_fn(|n| registers.event_word(n));
        registers.set_event_pop(true);
        Ok(Some(BindingEvent::from_words(&words)?))
    }

    /// Events that were lost because nobody took them in time, since the reset.
    pub fn lost_binding_events(&self) -> u32 {
        self.registers().event_lost()
    }

    fn check_record(&self, table: BindingTable, key: &BindingKey, record: &BindingRecord) -> Result<(), NicError> {
        let limits = &self.info().limits;
        let refuse = |text: String| Err(NicError::Binding(text));
        if record.state == BindingState::Free {
            return refuse("the state of a binding cannot be free: remove it instead".into());
        }
        let tcp = table == BindingTable::Connection && key.protocol == TCP;
        if tcp == (record.state == BindingState::Flow) {
            let fitting = if tcp { "half_open, established, closing or reset" } else { "flow" };
            return refuse(format!("state {} does not fit the key: it has to be {fitting}", record.state));
        }
        if record.target >= limits.targets.min(NOBODY) {
            return refuse(format!("target {} is out of range: 0..{}", record.target, limits.targets.min(NOBODY)));
        }
        if !TargetEntry::unpack(&self.read_entry(Table::Target, record.target.into())).valid {
            return refuse(format!("target {} has no entry: commit one first", record.target));
        }
        if record.rule > limits.rules || !RuleEntry::unpack(&self.read_entry(Table::Rule, record.rule.into())).valid {
            return refuse(format!("rule {} has no entry: commit one first", record.rule));
        }
        if usize::from(record.bucket) >= BUCKETS {
            return refuse(format!("bucket {} is out of range: 0..{}", record.bucket, BUCKETS));
        }
        if self.binding_clocks().left(record).is_none() {
            return refuse(format!(
                "it would end at tick {}, which is over: give it a time-out of 1..",
                record.expires
            ));
        }
        Ok(())
    }

    fn check_versions(&self, key: &BindingKey) -> Result<(), NicError> {
        if key.source.is_ipv6() != key.destination.is_ipv6() {
            let text = format!("the key has addresses of two IP versions: {} and {}", key.source, key.destination);
            return Err(NicError::Binding(text));
        }
        Ok(())
    }

    fn write_key(&self, key: &BindingKey) -> Result<(), NicError> {
        // One that was given up on may still be at work: a command meanwhile is ignored, and what it finds is put over the key.
        self.end_operation(WALK_POLLS)?;
        self.check_versions(key)?;
        for (n, word) in key.words().into_iter().enumerate() {
            self.registers().set_bind_key(n, word);
        }
        Ok(())
    }

    fn read_binding(&self) -> Result<Binding, NicError> {
        let registers = self.registers();
        let words: [u32; KEY_WORDS] = std::array::from_fn(|n| registers.bind_key(n));
        let (record0, record1) = (registers.bind_record0(), registers.bind_record1());
        let record = BindingRecord {
            state: BindingState::try_from(record0.state)?,
            target: record0.target,
            rule: record1.rule,
            bucket: record1.bucket,
            expires: registers.bind_record2(),
            fresh: record0.fresh,
        };
        Ok(Binding { session: registers.bind_session(), key: BindingKey::from_words(&words), other: None, record })
    }

    /// Starts an operation and waits for its end; asks again while packets with the key are under way.
    fn operate(&self, table: BindingTable, operation: Operation) -> Result<Outcome, NicError> {
        let limit = if matches!(operation, Operation::Next) { WALK_POLLS } else { POLLS };
        for _ in 0..RETRIES {
            let affinity = table == BindingTable::Affinity;
            self.registers().set_bind_command(BindCommand { op: operation as u8, affinity });
            match self.end_operation(limit)? {
                status if status.ok => return Ok(Outcome::Ok { two: status.two }),
                status if status.full => return Ok(Outcome::Full),
                status if status.again => {}
                status if status.present => return Ok(Outcome::Refused(KeyRefusal::Present)),
                status if status.ended => return Ok(Outcome::Refused(KeyRefusal::Ended)),
                status if status.two => return Ok(Outcome::Refused(KeyRefusal::Two)),
                _ => return Ok(Outcome::No),
            }
        }
        Err(NicError::BindingBusy { table, retries: RETRIES })
    }

    /// Waits until no operation is under way; gives the status of the last one.
    fn end_operation(&self, limit: u32) -> Result<BindStatus, NicError> {
        let status = |reads| {
            if reads > 0 {
                self.registers().io().pause(reads);
            }
            self.registers().bind_status()
        };
        let ended = (0..limit).map(status).find(|status| !status.busy);
        ended.ok_or_else(|| self.or_gone(NicError::Timeout { what: "an operation on a binding table", polls: limit }))
    }
}
