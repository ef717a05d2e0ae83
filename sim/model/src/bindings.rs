// SPDX-License-Identifier: Apache-2.0
//! The binding tables ("Binding tables" of `docs/dataplane.md`): what they hold, what a frame does to them, and what
//! the host may do.
//!
//! A [`Lookup`] says what a frame found and what becomes of it; [`Nic::apply`](crate::Nic::apply) carries that out.
//! Capacity is not modelled: whether a new binding found room is told from outside.

use crate::hash::Key;
use crate::parse::TCP;
use hashgate_regs::defs::BindingState;
use hashgate_tables::{BUCKETS, Tables, Timeouts};
use std::collections::{BTreeMap, HashMap};

/// One of the two binding tables; its number is its place in arrays of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// By the whole key.
    Connection = 0,
    /// By the masked key and the binding group.
    Affinity = 1,
}

impl Table {
    /// Both, in the order in which a frame's effects and events come.
    pub const ALL: [Table; 2] = [Table::Connection, Table::Affinity];
}

/// What a binding is found by. The IP version is that of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingKey {
    /// Zone of the frame.
    pub zone: u8,
    /// Addresses and ports; masked by the rule's binding-key mask for affinity.
    pub key: Key,
    /// IP protocol number; the rule's binding group for affinity.
    pub protocol: u8,
}

/// The clocks of the binding tables, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Fast ticks, modulo 2^16: of bindings that are half-open or reset.
    pub fast: u16,
    /// Slow ticks, modulo 2^16: of all others.
    pub slow: u16,
}

impl Clocks {
    /// The clock that ends bindings in this state.
    pub fn of(&self, state: BindingState) -> u16 {
        match state {
            BindingState::HalfOpen | BindingState::Reset => self.fast,
            _ => self.slow,
        }
    }
}

/// Where a running session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// State of the session; never free in a table of the model.
    pub state: BindingState,
    /// Target that frames go to.
    pub target: u16,
    /// Rule that made it.
    pub rule: u8,
    /// Bucket that it was made in.
    pub bucket: u16,
    /// Tick of the state's clock in which it ends.
    pub expires: u16,
    /// No frame has updated it since it was made.
    pub fresh: bool,
}

impl Binding {
    /// Ticks of its clock that are left. A live binding has at least one.
    fn left(&self, clocks: &Clocks) -> u16 {
        self.expires.wrapping_sub(clocks.of(self.state))
    }
}

/// What is to become of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing is written.
    Keep,
    /// Made, or made again in the place of the one found.
    Make(Binding),
    /// The one found gets a new state or expiry, or is no longer fresh.
    Update(Binding),
    /// The one found ends.
    Delete,
}

/// What a frame finds in one of the tables, and what it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// What it asked for.
    pub key: BindingKey,
    /// What it is to a binding.
    pub role: Role,
    /// The live binding that it found.
    pub found: Option<Binding>,
    /// Whether the binding found decides the frame if the table is asked.
    pub decides: bool,
    /// What becomes of it.
    pub effect: Effect,
}

impl Lookup {
    /// Whether a binding is made where no live one was, so that there may be no room for it. (A dead one may still
    /// hold a place under the key; that depends on the NIC's housekeeping.)
    pub fn needs_room(&self) -> bool {
        self.found.is_none() && matches!(self.effect, Effect::Make(_))
    }
}

/// What a frame is to the bindings that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// TCP with SYN and without ACK.
    Opening,
    /// TCP with RST.
    Rst,
    /// TCP with FIN and without RST.
    Fin,
    /// Other TCP.
    Data,
    /// UDP, GRE, ESP or AH.
    Flow,
    /// ICMP error about a connection.
    Error,
    /// A later fragment, beyond the window, or ICMP that cannot be keyed.
    Unknown,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 7] =
        [Role::Opening, Role::Rst, Role::Fin, Role::Data, Role::Flow, Role::Error, Role::Unknown];

    /// Whether a frame *opens*, as the page has it.
    pub fn opens(self) -> bool {
        matches!(self, Role::Opening | Role::Flow)
    }
}

/// The rows of the connection table. `binds`: *target binds*. `made` is what the frame makes, if it makes anything.
pub(crate) fn connection(
    key: BindingKey,
    found: Option<Binding>,
    role: Role,
    binds: bool,
    made: Option<Binding>,
    update: impl Fn(&Binding, BindingState) -> Effect,
) -> Lookup {
    use BindingState::{Closing, Established, Flow, HalfOpen, Reset};
    let (decides, effect) = match found {
        None => (false, made.map_or(Effect::Keep, Effect::Make)),
        Some(old) => match (old.state, role) {
            (_, Role::Error | Role::Unknown) => (true, Effect::Keep),
            (_, Role::Opening) if !binds => (false, Effect::Delete),
            (Closing | Reset, Role::Opening) => (false, made.map_or(Effect::Delete, Effect::Make)),
            (HalfOpen, Role::Opening) => (true, update(&old, HalfOpen)),
            (_, Role::Opening) => (true, update(&old, Established)),
            (_, Role::Rst) => (true, update(&old, Reset)),
            (_, Role::Fin) | (Closing, Role::Data) => (true, update(&old, Closing)),
            (_, Role::Data) => (true, update(&old, Established)),
            (_, Role::Flow) => (true, update(&old, Flow)),
        },
    };
    Lookup { key, role, found, decides, effect }
}

/// The rows of the affinity table. `holds`: the binding found holds the frame. `bound`: a connection binding decides.
pub(crate) fn affinity(
    key: BindingKey,
    found: Option<Binding>,
    role: Role,
    (holds, bound): (bool, bool),
    made: Option<Binding>,
    update: impl Fn(&Binding, BindingState) -> Effect,
) -> Lookup {
    let made = made.filter(|_| !bound).map_or(Effect::Keep, Effect::Make);
    let (decides, effect) = match found {
        None => (false, made),
        Some(_) if role == Role::Error => (true, Effect::Keep),
        Some(_) if !holds && !bound => (false, made),
        Some(old) => (true, update(&old, BindingState::Flow)),
    };
    Lookup { key, role, found, decides, effect }
}

/// The update of `old` to `state`, at `now`; nothing if nothing changes.
pub(crate) fn updated(old: &Binding, state: BindingState, clocks: &Clocks, time_out: u16) -> Effect {
    let new = Binding { state, expires: clocks.of(state).wrapping_add(time_out), fresh: false, ..*old };
    if new == *old { Effect::Keep } else { Effect::Update(new) }
}

/// Time-out of a connection binding in this state, in ticks of its clock.
pub(crate) fn time_out(state: BindingState, times: &Timeouts) -> u16 {
    match state {
        BindingState::HalfOpen => times.half_open,
        BindingState::Reset => times.reset,
        BindingState::Closing => times.closing,
        BindingState::Flow => times.flow,
        _ => times.established,
    }
}

/// What happened to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// There is a binding where no live one was.
    Created,
    /// Its state changed, or it was made again while it lived. A later expiry alone is no event.
    Changed,
    /// It ended: deleted by a frame, taken back, expired, or removed by the host.
    Removed,
    /// There was no room for it.
    Refused,
}

/// What the host is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Running number over both tables, from 0.
    pub number: u64,
    /// What happened.
    pub kind: EventKind,
    /// In which table.
    pub table: Table,
    /// To which binding.
    pub key: BindingKey,
    /// The binding as it is now, as it was before it was removed, or as it would have been if it was refused.
    pub binding: Binding,
}

/// A binding as the host inserts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBinding {
    /// Its state: one of TCP for a connection of TCP, else flow.
    pub state: BindingState,
    /// Target, with an entry.
    pub target: u16,
    /// Rule, with an entry.
    pub rule: u8,
    /// Creating bucket, 0..4096.
    pub bucket: u16,
    /// Time until it ends, 1..=[`Timeouts::MAX`] ticks of the state's clock.
    pub ticks: u16,
}

/// Why the host cannot insert a binding. Nothing has changed when it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// A live binding has the key.
    #[error("a live binding has this key: remove it first")]
    Duplicate,
    /// The target has no entry in the active tables.
    #[error("target {0} has no entry")]
    UnknownTarget(u16),
    /// The rule has no entry in the active tables.
    #[error("rule {0} has no entry")]
    UnknownRule(u8),
    /// There is no such bucket.
    #[error("bucket {0} is out of range: 0..={max}", max = BUCKETS - 1)]
    Bucket(u16),
    /// A binding that would never have been live, or would outlast what the clocks can tell.
    #[error("a binding cannot end in {0} ticks, allowed are 1..={max}", max = Timeouts::MAX)]
    Ticks(u16),
    /// The state is free.
    #[error("a binding to insert must not be free")]
    Free,
    /// A state that bindings under this key never have.
    #[error(
        "state {0} does not fit the key: a TCP connection is half_open, established, closing or reset, all others flow"
    )]
    State(BindingState),
    /// A key with addresses of two IP versions.
    #[error("the addresses of the key are of two IP versions")]
    Versions,
}

/// Why the host cannot give a binding a second key. Nothing has changed when it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddKeyError {
    /// No live binding has the key that there should be.
    #[error("no live binding has the first key")]
    Ended,
    /// It has two.
    #[error("the binding has two keys")]
    Two,
    /// A live binding has the new key.
    #[error("a live binding has the new key")]
    Present,
    /// A key with addresses of two IP versions.
    #[error("the addresses of the key are of two IP versions")]
    Versions,
}

/// Why effects cannot be carried out. Nothing has changed when it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A binding was refused that needs no room, or that the frame does not make.
    #[error("the {0:?} table refused a binding, but the frame makes none that needs room")]
    NotRefusable(Table),
    /// The frame found something else than what the table holds now.
    #[error("the {0:?} table has changed since the frame was decided")]
    Stale(Table),
}

/// The bindings that a frame made and that late checks take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a frame that late checks discard takes back what it made"]
pub struct Made(pub(crate) [Option<BindingKey>; 2]);

impl Made {
    /// Key of the binding made in a table.
    pub fn key(&self, table: Table) -> Option<&BindingKey> {
        self.0[table as usize].as_ref()
    }

    /// What was made in each table alone: a NIC takes it back at its own time.
    pub fn by_table(self) -> [Made; 2] {
        [Made([self.0[0], None]), Made([None, self.0[1]])]
    }
}

/// The two binding tables and their clocks.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// Live bindings only, by their first keys.
    tables: [HashMap<BindingKey, Binding>; 2],
    /// First keys by second ones.
    firsts: [HashMap<BindingKey, BindingKey>; 2],
    clocks: Clocks,
    refused: BTreeMap<(Table, u8, u16), u64>,
    events: Vec<Event>,
    next_event: u64,
}

impl Bindings {
    /// What time it is.
    pub fn clocks(&self) -> Clocks {
        self.clocks
    }

    /// The live binding under a key, the first or the second.
    pub fn find(&self, table: Table, key: &BindingKey) -> Option<&Binding> {
        self.tables[table as usize].get(&self.first(table, key))
    }

    /// The first key of the binding that a key leads to; the key itself if there is none.
    pub fn first(&self, table: Table, key: &BindingKey) -> BindingKey {
        self.firsts[table as usize].get(key).copied().unwrap_or(*key)
    }

    /// The second key of the binding with this first one.
    pub fn second(&self, table: Table, first: &BindingKey) -> Option<BindingKey> {
        self.firsts[table as usize].iter().find(|(_, of)| *of == first).map(|(second, _)| *second)
    }

    /// All live bindings of a table in order of their first keys.
    pub fn iter(&self, table: Table) -> impl Iterator<Item = (BindingKey, Binding)> + use<> {
        let mut all: Vec<_> = self.tables[table as usize].iter().map(|(key, binding)| (*key, *binding)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter()
    }

    /// Live bindings by (table, rule, creating bucket); absent = none.
    pub fn live(&self) -> BTreeMap<(Table, u8, u16), u64> {
        let mut counts = BTreeMap::new();
        for table in Table::ALL {
            for binding in self.tables[table as usize].values() {
                *counts.entry((table, binding.rule, binding.bucket)).or_default() += 1;
            }
        }
        counts
    }

    /// Refused bindings by (table, rule, bucket); absent = none.
    pub fn refused(&self) -> &BTreeMap<(Table, u8, u16), u64> {
        &self.refused
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Lets time pass up to `clocks`, less than 2^16 ticks of each; what expires on the way ends, connections first, in
    /// order of the keys.
    pub(crate) fn set_clocks(&mut self, clocks: Clocks) {
        let passed = Clocks {
            fast: clocks.fast.wrapping_sub(self.clocks.fast),
            slow: clocks.slow.wrapping_sub(self.clocks.slow),
        };
        let before = self.clocks;
        self.clocks = clocks;
        for table in Table::ALL {
            let bindings = self.tables[table as usize].iter();
            let ended = bindings.filter(|(_, binding)| binding.left(&before) <= passed.of(binding.state));
            let mut ended: Vec<BindingKey> = ended.map(|(key, _)| *key).collect();
            ended.sort_unstable();
            for key in ended {
                self.remove(table, &key);
            }
        }
    }

    /// Empties both tables; nobody is told. Clocks, counts and the numbers of events go on.
    pub(crate) fn flush(&mut self) {
        (self.tables, self.firsts) = Default::default();
    }

    pub(crate) fn insert(
        &mut self,
        tables: &Tables,
        table: Table,
        key: BindingKey,
        new: NewBinding,
    ) -> Result<(), InsertError> {
        let NewBinding { state, target, rule, bucket, ticks } = new;
        if key.key.source.is_ipv4() != key.key.destination.is_ipv4() {
            return Err(InsertError::Versions);
        }
        if state == BindingState::Free {
            return Err(InsertError::Free);
        }
        let tcp = table == Table::Connection && key.protocol == TCP;
        if tcp == (state == BindingState::Flow) {
            return Err(InsertError::State(state));
        }
        if !tables.targets.contains_key(&target) {
            return Err(InsertError::UnknownTarget(target));
        }
        if !tables.rules.contains_key(&rule) {
            return Err(InsertError::UnknownRule(rule));
        }
        if usize::from(bucket) >= BUCKETS {
            return Err(InsertError::Bucket(bucket));
        }
        if !(1..=Timeouts::MAX).contains(&ticks) {
            return Err(InsertError::Ticks(ticks));
        }
        if self.find(table, &key).is_some() {
            return Err(InsertError::Duplicate);
        }
        let expires = self.clocks.of(state).wrapping_add(ticks);
        self.write(table, key, Binding { state, target, rule, bucket, expires, fresh: false });
        Ok(())
    }

    /// Gives the binding under a key a second one.
    pub(crate) fn add_key(&mut self, table: Table, existing: &BindingKey, new: BindingKey) -> Result<(), AddKeyError> {
        if new.key.source.is_ipv4() != new.key.destination.is_ipv4() {
            return Err(AddKeyError::Versions);
        }
        if self.find(table, existing).is_none() {
            return Err(AddKeyError::Ended);
        }
        if self.find(table, &new).is_some() {
            return Err(AddKeyError::Present);
        }
        let first = self.first(table, existing);
        if self.second(table, &first).is_some() {
            return Err(AddKeyError::Two);
        }
        self.firsts[table as usize].insert(new, first);
        Ok(())
    }

    /// Ends a binding, with both its keys; the event names the first.
    pub(crate) fn remove(&mut self, table: Table, key: &BindingKey) -> Option<Binding> {
        let first = self.first(table, key);
        let binding = self.tables[table as usize].remove(&first)?;
        self.firsts[table as usize].retain(|_, of| *of != first);
        self.report(EventKind::Removed, table, first, binding);
        Some(binding)
    }

    /// Carries out what a frame does before the late checks.
    pub(crate) fn begin(&mut self, lookups: &[Option<Lookup>; 2], refused: [bool; 2]) -> Result<Made, ApplyError> {
        for table in Table::ALL {
            let lookup = &lookups[table as usize];
            if lookup.is_some_and(|l| self.find(table, &l.key) != l.found.as_ref()) {
                return Err(ApplyError::Stale(table));
            }
            if refused[table as usize] && !lookup.is_some_and(|l| l.needs_room()) {
                return Err(ApplyError::NotRefusable(table));
            }
        }
        let mut made = Made([None; 2]);
        for table in Table::ALL {
            let Some(lookup) = lookups[table as usize] else { continue };
            match lookup.effect {
                Effect::Keep => {}
                Effect::Make(binding) if refused[table as usize] => {
                    *self.refused.entry((table, binding.rule, binding.bucket)).or_default() += 1;
                    self.report(EventKind::Refused, table, lookup.key, binding);
                }
                Effect::Make(binding) => {
                    self.write(table, lookup.key, binding);
                    made.0[table as usize] = Some(lookup.key);
                }
                Effect::Update(binding) => self.write(table, lookup.key, binding),
                Effect::Delete => drop(self.remove(table, &lookup.key)),
            }
        }
        Ok(made)
    }

    /// Ends what a frame made, unless another frame has updated it.
    pub(crate) fn take_back(&mut self, made: Made) {
        for table in Table::ALL {
            if let Some(key) = made.0[table as usize]
                && self.find(table, &key).is_some_and(|binding| binding.fresh)
            {
                self.remove(table, &key);
            }
        }
    }

    fn write(&mut self, table: Table, key: BindingKey, binding: Binding) {
        let first = self.first(table, &key);
        match self.tables[table as usize].insert(first, binding) {
            None => self.report(EventKind::Created, table, key, binding),
            Some(old) if old.state != binding.state || binding.fresh => {
                self.report(EventKind::Changed, table, key, binding);
            }
            Some(_) => {}
        }
    }

    fn report(&mut self, kind: EventKind, table: Table, key: BindingKey, binding: Binding) {
        self.events.push(Event { number: self.next_event, kind, table, key, binding });
        self.next_event += 1;
    }
}
