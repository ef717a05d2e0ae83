// SPDX-License-Identifier: Apache-2.0
//! A simulated NIC under its driver, with the model beside it.

use crate::Scoreboard;
use hashgate_model::bindings::Clocks;
use hashgate_model::{Count, Nic as Model};
use hashgate_nic::{BindingEvent, HostTxCounters, Nic};
use hashgate_packets::random::{FromHost, Generated};
use hashgate_regs::defs::{Reason, Table, Verdict};
use hashgate_regs::registers::TableSelect;
use hashgate_sim::{Build, InProcess, Ready, SimNic, VerdictEvent, WireFrame};
use hashgate_tables::{BucketFlags, Limits, Settings, Tables};
use std::collections::BTreeMap;
use std::sync::MutexGuard;

/// Cycles in which a NIC must get idle after its last frame: two full buffers through a slow receiver.
const IDLE_CYCLES: u64 = 1_000_000;
/// How often a check of a table is asked whether it has ended, at most.
const CHECK_POLLS: usize = 10_000;

/// A simulated NIC under its driver, with the model beside it.
///
/// Methods that change tables, settings or state do so on both sides. Settings, flags and state take effect at once, so
/// they are changed only while no frame is inside; tables may change under traffic ([`Bench::commit`]).
///
/// # Panics
/// Every method on an error of the driver and on every difference between NIC and model.
pub struct Bench {
    /// The driver.
    pub nic: Nic,
    /// The model and what is compared.
    pub board: Scoreboard,
    device: InProcess,
    /// Binding events that the host has taken since the last comparison.
    pub(crate) taken_events: Vec<BindingEvent>,
    /// Binding events that were lost up to the last comparison.
    pub(crate) lost_events: u32,
    /// Bindings that each table had not taken back up to the last time.
    pub(crate) undo_lost: [u32; 2],
}

impl Bench {
    /// Powers a NIC on, with memories and registers drawn from `power_on` (0: all zeros), and opens it.
    pub fn new(build: Build, power_on: u32) -> Bench {
        let device = InProcess::new(SimNic::with_seed(build, power_on).expect("the build is compiled in"));
        let nic = Nic::open(&device).expect("the driver opens the NIC");
        let info = nic.info();
        let board = Scoreboard::new(Model::new(info.limits), info.beat_bytes.into());
        Bench { nic, board, device, taken_events: Vec::new(), lost_events: 0, undo_lost: [0; 2] }
    }

    /// The NIC's wires and host side. Drop the guard before the driver is used.
    pub fn sim(&self) -> MutexGuard<'_, SimNic> {
        self.device.nic()
    }

    /// Sizes of the NIC's tables.
    pub fn limits(&self) -> Limits {
        self.nic.info().limits
    }

    /// Loads everything and enables the receive path. No frame may be inside.
    pub fn load(&mut self, tables: &Tables) {
        self.enable(false);
        self.set_settings(&tables.settings);
        self.set_flags(&tables.flags);
        self.nic.stage_unchecked(tables).expect("tables are staged");
        self.nic.commit().expect("tables are committed");
        self.board.model.commit(tables.clone());
        self.enable(true);
    }

    /// Stages new tables, lets `traffic` queue frames, and commits while they go through.
    pub fn commit(&mut self, tables: &Tables, traffic: impl FnOnce(&mut Bench)) {
        self.nic.stage_unchecked(tables).expect("tables are staged");
        traffic(self);
        let mut next = self.board.model.clone();
        next.commit(tables.clone());
        self.begin_switch(next);
        self.nic.commit().expect("tables are committed");
        self.end_switch();
    }

    /// From now on frames may be decided by the tables of `next`: for commits past [`Bench::commit`].
    pub fn begin_switch(&mut self, next: Model) {
        let generation = self.nic.registers().generation();
        self.board.begin_switch(&self.device.nic(), next, generation);
    }

    /// Frames that come in from now on are decided by the new tables.
    pub fn end_switch(&mut self) {
        let generation = self.nic.registers().generation();
        self.board.end_switch(&self.device.nic(), generation);
    }

    /// Words of the shadow of a table, read and written there again with the parity given.
    pub fn rewrite(&self, table: Table, first: u32, count: u32, bad_parity: bool) {
        let registers = self.nic.registers();
        registers.set_table_select(TableSelect { id: table as u8, active: false, bad_parity: false });
        registers.set_table_index(first);
        let words: Vec<u32> = (0..count).map(|_| registers.table_data()).collect();
        registers.set_table_select(TableSelect { id: table as u8, active: false, bad_parity });
        registers.set_table_index(first);
        for word in words {
            registers.set_table_data(word);
        }
    }

    /// Waits for the end of the check of a table.
    ///
    /// # Panics
    /// If it does not end.
    pub fn end_check(&self) {
        let polls = (0..CHECK_POLLS).take_while(|_| self.nic.registers().status().check_busy).count();
        assert!(polls < CHECK_POLLS, "the check of a table does not end");
    }

    /// Changes the settings. No frame may be inside.
    pub fn set_settings(&mut self, settings: &Settings) {
        self.nic.apply_settings(settings).expect("settings are applied");
        self.board.model.set_settings(settings.clone());
    }

    /// Changes the flags of all buckets. No frame may be inside.
    pub fn set_flags(&mut self, flags: &BTreeMap<(u8, u16), BucketFlags>) {
        self.nic.set_flags(flags).expect("flags are set");
        self.board.model.set_flags(flags.clone());
    }

    /// Switches the receive path. No frame may be inside.
    pub fn enable(&mut self, on: bool) {
        self.nic.enable(on);
        self.board.model.state.enabled = on;
    }

    /// Lets a lease expire, or does away with it. No frame may be inside.
    pub fn lease(&mut self, ok: bool) {
        if ok {
            self.nic.disable_lease();
        } else {
            self.nic.arm_lease(1);
            assert!(self.nic.lease().expired, "the deadline is in the past");
        }
        self.board.model.state.lease_ok = ok;
    }

    /// Lets a random frame arrive after `gap` idle cycles.
    pub fn receive_random(&mut self, generated: &Generated, gap: u32) {
        let Generated { port, frame, error, what } = generated;
        self.board.receive(&mut self.device.nic(), *port, frame, *error, gap, Some(*what));
    }

    /// Lets a frame arrive at once.
    pub fn receive(&mut self, port: u8, frame: &[u8]) {
        self.board.receive(&mut self.device.nic(), port, frame, false, 0, None);
    }

    /// Lets a frame arrive that the MAC marks as bad.
    pub fn receive_bad(&mut self, port: u8, frame: &[u8]) {
        self.board.receive(&mut self.device.nic(), port, frame, true, 0, None);
    }

    /// Lets the host send a frame.
    pub fn send(&mut self, from_host: &FromHost) {
        let FromHost { control, port, frame, .. } = from_host;
        self.board.send(&mut self.device.nic(), *control, *port, frame);
    }

    /// Lets time pass and compares what came out.
    pub fn run(&mut self, cycles: u64) {
        let mut sim = self.device.nic();
        sim.run(cycles);
        self.board.check(&mut sim);
    }

    /// Sets when the host and all wires take beats.
    pub fn set_ready(&mut self, host: Ready, wire: Ready) {
        let mut sim = self.device.nic();
        sim.set_host_ready(host);
        for port in 0..self.nic.info().ports {
            sim.set_wire_ready(port, wire);
        }
    }

    /// Stops NIC time, so that a test knows what the clocks of the binding tables say. The model's clocks become those
    /// of the NIC.
    pub fn stop_time(&mut self) {
        self.nic.registers().set_time_increment(0);
        self.read_clocks();
    }

    /// Lets stopped time go on by at least `ns` nanoseconds, and at most 100 more. No frame may be inside.
    pub fn let_time_pass(&mut self, ns: u64) {
        /// Nanoseconds a cycle, 8.24 fixed point, and how long before the end a pace is left: what passes at it while
        /// registers are read and written, at most.
        const PACES: [(u32, u64); 3] = [(200 << 24, 20_000), (20 << 24, 2_000), (1 << 24, 0)];
        let end = self.nic.time_ns() + ns;
        for (increment, margin) in PACES {
            let until = end.saturating_sub(margin);
            self.nic.registers().set_time_increment(increment);
            while let Some(left) = until.checked_sub(self.nic.time_ns()).filter(|left| *left > 0) {
                let cycles = left / u64::from(increment >> 24);
                self.run(cycles.clamp(1, 10_000).saturating_sub(30).max(1));
            }
            self.nic.registers().set_time_increment(0);
        }
        self.read_clocks();
    }

    /// The clocks of the binding tables say the same to the model.
    fn read_clocks(&mut self) {
        // Two cycles from the time to the clocks.
        self.run(4);
        let clocks = self.nic.binding_clocks();
        self.board.set_clocks(Clocks { fast: clocks.fast, slow: clocks.slow });
    }

    /// The event of one frame, alone in the NIC, that the model knows nothing of.
    pub fn unchecked_one(&mut self, port: u8, frame: &[u8]) -> VerdictEvent {
        let mut sim = self.device.nic();
        sim.push_wire(port, WireFrame { data: frame.to_vec(), error: false, gap: 0 });
        sim.run_until_idle(IDLE_CYCLES).expect("the NIC gets idle");
        while sim.pop_host().is_some() || sim.pop_wire(port).is_some() || sim.pop_ingress().is_some() {}
        sim.pop_event().expect("one frame, one event")
    }

    /// Makes all receivers ready, waits until no frame is inside, and compares everything. Gives the events since the
    /// last time.
    pub fn settle(&mut self) -> Vec<VerdictEvent> {
        self.set_ready(Ready::Always, Ready::Always);
        let mut sim = self.device.nic();
        sim.run_until_idle(IDLE_CYCLES).expect("the NIC gets idle");
        self.board.check(&mut sim);
        drop(sim);
        self.settle_going();
        self.board.check_idle(&mut self.device.nic());
        self.board.take_events()
    }

    /// The event of one frame, alone in the NIC.
    pub fn one(&mut self, port: u8, frame: &[u8]) -> VerdictEvent {
        self.receive(port, frame);
        let events = self.settle();
        assert_eq!(events.len(), 1, "one frame, one event: {events:?}");
        events[0]
    }

    /// Compares all counters of the NIC with those of the model. No frame may be inside.
    pub fn compare_counters(&mut self) {
        let (model, nic) = (self.board.counters(), self.nic.counters());
        for (verdict, reason, count) in &nic.by_reason {
            let wanted = model.by_reason.get(&(*verdict, *reason)).copied().unwrap_or_default();
            assert_eq!((count.packets, count.bytes), (wanted.packets, wanted.bytes), "{verdict} {reason}");
        }
        let sum = nic.received();
        let received = model.received();
        assert_eq!((sum.packets, sum.bytes), (received.packets, received.bytes), "the sum over all reasons");
        for (rule, count) in nic.by_rule.iter().enumerate() {
            let wanted = model.by_rule.get(&(rule as u8)).copied().unwrap_or_default();
            assert_eq!((count.packets, count.bytes), (wanted.packets, wanted.bytes), "rule {rule}");
        }
        for (target, count) in nic.by_target.iter().enumerate() {
            let wanted = model.by_target.get(&(target as u16)).copied().unwrap_or_default();
            assert_eq!((count.packets, count.bytes), (wanted.packets, wanted.bytes), "target {target}");
        }
        for (port, wanted) in (0u8..).zip(&self.board.wire_tx) {
            let counters = self.nic.port_counters(port);
            assert_eq!(counters.rx_overrun, 0, "port {port} lost frames before the pipeline");
            let seen = (counters.tx.packets, counters.tx.bytes, u64::from(counters.tx_aborted));
            assert_eq!(seen, (wanted.sent.packets, wanted.sent.bytes, wanted.aborted), "port {port} sent");
        }
        let wanted = self.board.host_tx;
        let HostTxCounters { sent, dropped, masked, arp, neighbour } = self.nic.host_tx_counters();
        assert_eq!((sent.packets, sent.bytes), (wanted.sent.packets, wanted.sent.bytes), "frames of the host");
        let edited = (dropped, masked, arp, neighbour);
        assert_eq!(edited, (wanted.dropped, wanted.masked, wanted.arp, wanted.nd), "edited frames of the host");
    }

    /// What the NIC has counted for a verdict with a reason.
    pub fn counted(&self, verdict: Verdict, reason: Reason) -> Count {
        let count = self.nic.reason_counter(verdict, reason);
        Count { packets: count.packets, bytes: count.bytes }
    }
}
