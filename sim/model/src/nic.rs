// SPDX-License-Identifier: Apache-2.0
//! A NIC as the driver sees it: active tables, state and counters.

use crate::bindings::{
    AddKeyError, ApplyError, Binding, BindingKey, Bindings, Clocks, Event, InsertError, Made, NewBinding, Table,
};
use crate::{Counters, Decision, State, TxResult, decide, transmit};
use hashgate_tables::{BucketFlags, Limits, Settings, Tables};
use std::collections::BTreeMap;

/// A reference NIC.
#[derive(Clone, Debug)]
pub struct Nic {
    limits: Limits,
    active: Tables,
    bindings: Bindings,
    /// What the registers say beside the settings. A new NIC is ready and disabled, and has no lease.
    pub state: State,
    /// What has been counted.
    pub counters: Counters,
}

impl Nic {
    /// A NIC after a full reset.
    pub fn new(limits: Limits) -> Nic {
        let state = State { ready: true, enabled: false, lease_ok: true };
        Nic { limits, active: Tables::default(), bindings: Bindings::default(), state, counters: Counters::default() }
    }

    /// Sizes of the tables.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What frames are decided by.
    pub fn active(&self) -> &Tables {
        &self.active
    }

    /// Switches to new tables. Settings, flags and bindings stay, as do maps that `tables` does not have: a map once
    /// committed stays valid.
    pub fn commit(&mut self, tables: Tables) {
        let mut maps = std::mem::take(&mut self.active.maps);
        maps.extend(tables.maps);
        let settings = std::mem::take(&mut self.active.settings);
        let flags = std::mem::take(&mut self.active.flags);
        self.active = Tables { settings, flags, maps, ..tables };
    }

    /// Takes new settings at once.
    pub fn set_settings(&mut self, settings: Settings) {
        self.active.settings = settings;
    }

    /// Takes new flags of all buckets at once.
    pub fn set_flags(&mut self, flags: BTreeMap<(u8, u16), BucketFlags>) {
        self.active.flags = flags;
    }

    /// Takes new flags of one bucket at once.
    pub fn set_bucket_flags(&mut self, map: u8, bucket: u16, flags: BucketFlags) {
        if flags == BucketFlags::default() {
            self.active.flags.remove(&(map, bucket));
        } else {
            self.active.flags.insert((map, bucket), flags);
        }
    }

    /// Empties the binding tables, without events.
    pub fn flush_bindings(&mut self) {
        self.bindings.flush();
    }

    /// Decides a received frame (without FCS); `error` is the MAC's error mark. Nothing changes: a scoreboard may have to
    /// replace the reason first, when a buffer was full, and bindings may find no room. [`Nic::apply`] and
    /// [`Nic::count`] make it count.
    pub fn receive(&self, port: u8, frame: &[u8], error: bool) -> Decision {
        decide(&self.active, &self.limits, &self.state, &self.bindings, port, frame, error)
    }

    /// Carries out what a frame does to the binding tables, before the next frame is decided. `refused`: that table
    /// had no room, by [`Table`]. A frame that late checks discard takes back what it made at once.
    ///
    /// # Errors
    /// The table has changed since the frame was decided, or a binding is refused that needs no room; then nothing
    /// changes.
    pub fn apply(&mut self, decision: &Decision, refused: [bool; 2]) -> Result<(), ApplyError> {
        let made = self.begin(decision, refused)?;
        if decision.is_late() {
            self.take_back(made);
        }
        Ok(())
    }

    /// The first half of [`Nic::apply`]: what a frame does before its last beat, so that other frames may come between
    /// it and [`Nic::take_back`].
    ///
    /// # Errors
    /// As [`Nic::apply`].
    pub fn begin(&mut self, decision: &Decision, refused: [bool; 2]) -> Result<Made, ApplyError> {
        self.bindings.begin(&decision.lookups, refused)
    }

    /// Ends what a frame that late checks discarded has made, unless another frame has updated it.
    pub fn take_back(&mut self, made: Made) {
        self.bindings.take_back(made);
    }

    /// The binding tables.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// Lets time pass up to `clocks`, less than 2^16 ticks of each clock; what expires on the way is removed. (A NIC may
    /// report that later, and in another order than that of the keys.)
    pub fn set_clocks(&mut self, clocks: Clocks) {
        self.bindings.set_clocks(clocks);
    }

    /// The host inserts a binding. It is not fresh.
    ///
    /// # Errors
    /// See [`InsertError`]; then nothing changes.
    pub fn insert_binding(&mut self, table: Table, key: BindingKey, new: NewBinding) -> Result<(), InsertError> {
        self.bindings.insert(&self.active, table, key, new)
    }

    /// The host gives the live binding under `existing`, its first or only key, a second one: frames find it by either from
    /// then on. (A NIC keeps both keys if a frame makes the binding anew between its end and its being cleared away; here both end.)
    ///
    /// # Errors
    /// See [`AddKeyError`]; then nothing changes.
    pub fn add_key(&mut self, table: Table, existing: &BindingKey, new: BindingKey) -> Result<(), AddKeyError> {
        self.bindings.add_key(table, existing, new)
    }

    /// The host removes a binding; `None` if there is none under the key.
    pub fn remove_binding(&mut self, table: Table, key: &BindingKey) -> Option<Binding> {
        self.bindings.remove(table, key)
    }

    /// The events since the last time, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.bindings.take_events()
    }

    /// Counts a received frame.
    pub fn count(&mut self, decision: &Decision) {
        self.counters.count(decision);
    }

    /// Edits a frame that the host sends to wire port `port`.
    pub fn transmit(&self, port: u8, frame: &[u8]) -> TxResult {
        transmit(&self.active, port, frame)
    }
}
