// SPDX-License-Identifier: Apache-2.0
//! A NIC as the driver sees it: active tables, state and counters.

use crate::{Counters, Decision, State, TxResult, decide, transmit};
use hashgate_tables::{BucketFlags, Limits, Settings, Tables};
use std::collections::BTreeMap;

/// A reference NIC.
#[derive(Clone, Debug)]
pub struct Nic {
    limits: Limits,
    active: Tables,
    /// What the registers say beside the settings. A new NIC is ready and disabled, and has no lease.
    pub state: State,
    /// What has been counted.
    pub counters: Counters,
}

impl Nic {
    /// A NIC after a full reset.
    pub fn new(limits: Limits) -> Nic {
        let state = State { ready: true, enabled: false, lease_ok: true };
        Nic { limits, active: Tables::default(), state, counters: Counters::default() }
    }

    /// Sizes of the tables.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What frames are decided by.
    pub fn active(&self) -> &Tables {
        &self.active
    }

    /// Switches to new tables. Settings and flags stay, as do maps that `tables` does not have: a map once committed
    /// stays valid.
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

    /// Decides a received frame (without FCS); `error` is the MAC's error mark. Nothing is counted: a scoreboard may
    /// have to replace the reason first, when a buffer was full.
    pub fn receive(&self, port: u8, frame: &[u8], error: bool) -> Decision {
        decide(&self.active, &self.limits, &self.state, port, frame, error)
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
