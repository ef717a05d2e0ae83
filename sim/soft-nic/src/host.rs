// SPDX-License-Identifier: Apache-2.0
//! The second page of BAR 0: rings, mover, interrupts, by docs/host_interface.md.

use crate::core::Core;
use crate::{Frame, Sent};
use hashgate_pci_sim::{Bus, BusError};
use hashgate_regs::defs::Table;
use hashgate_regs::host::{
    BUILD, CONTROL_RX, CONTROL_TX, DATA_TX, EVENTS, FAULT_ADDRESS, FAULT_VECTOR, HOST_BUILD, HOST_ID, HOST_RESET,
    HOST_STATUS, ID, MOVER, REASON_QUEUE, RING_FAULT, RING_RUNNING, RINGS, SPREAD, STATUS_BUSY, STATUS_RESETTING,
    STATUS_STUCK, TX_BAD, ring, ring as ring_offset,
};
use std::collections::VecDeque;

/// Steps of a reset that memory does not let end before it counts as stuck.
const STUCK_STEPS: u64 = 1 << 20;

/// Why nothing went on.
enum Stop {
    /// A transfer has no answer yet.
    Waits,
    /// Memory answered with an error.
    Failed(u64),
}

type Moved<T> = Result<T, Stop>;

/// What a test does to answers before they are written: ring, words.
pub type Spoil = Box<dyn FnMut(usize, &mut [u32]) + Send>;

#[derive(Clone, Default)]
struct Ring {
    enabled: bool,
    halted: bool,
    size_log2: u32,
    buffer_bytes: usize,
    base: u64,
    answers: u64,
    /// As the host has written it.
    producer: u16,
    /// Descriptors answered.
    consumer: u16,
    moderation: u32,
    index: u16,
    armed: bool,
    /// Step in which each of the last answers was written, by entry.
    answered: Vec<u64>,
    full: u32,
    down: u32,
    long: u32,
    aborted: u32,
    /// Frames dropped since the ring was enabled.
    dropped: u16,
}

impl Ring {
    fn entry(&self) -> u64 {
        u64::from(self.consumer) & ((1 << self.size_log2) - 1)
    }

    fn phase(&self) -> u32 {
        u32::from(self.consumer >> self.size_log2 & 1 == 0) << 31
    }

    fn outstanding(&self) -> u16 {
        self.producer.wrapping_sub(self.consumer)
    }

    fn works(&self) -> bool {
        self.enabled && !self.halted && self.outstanding() != 0
    }

    /// Answers at or beyond the index that the host waits at.
    fn waiting(&self) -> u32 {
        let waiting = u32::from(self.consumer.wrapping_sub(self.index));
        if waiting > 1 << self.size_log2 { 0 } else { waiting }
    }

    /// An answer was written.
    fn done(&mut self, step: u64) {
        let entry = self.entry() as usize;
        self.answered[entry] = step;
        self.consumer = self.consumer.wrapping_add(1);
    }
}

pub struct Host {
    pub id: u32,
    pub build: u32,
    rings: Vec<Ring>,
    reason_queue: [u32; 8],
    spread: [u32; 16],
    fault: u32,
    fault_address: u64,
    /// Wire ports.
    pub ports: u8,
    /// Bindings that a walk has passed, by table: the next session.
    walks: [u32; 2],
    tx_bad: u32,
    resetting: bool,
    reset_since: u64,
    /// Ring with a transfer that memory does not answer.
    unanswered: Option<usize>,
    pub hold_memory: bool,
    pub lose_interrupts: bool,
    pub spoil: Option<Spoil>,
    pub wire_rx: VecDeque<Frame>,
    pub sent: VecDeque<Sent>,
}

impl Host {
    pub fn new() -> Host {
        Host {
            id: ID,
            build: BUILD,
            rings: vec![Ring::default(); RINGS],
            reason_queue: [u32::MAX; 8],
            spread: [0; 16],
            fault: 0,
            fault_address: 0,
            ports: crate::PORTS,
            walks: [0; 2],
            tx_bad: 0,
            resetting: false,
            reset_since: 0,
            unanswered: None,
            hold_memory: false,
            lose_interrupts: false,
            spoil: None,
            wire_rx: VecDeque::new(),
            sent: VecDeque::new(),
        }
    }

    /// Reset of the host side: all of it but what tests have set up and what is on the wire.
    pub fn reset(&mut self, step: u64) {
        let fresh = Host::new();
        self.rings = fresh.rings;
        self.reason_queue = fresh.reason_queue;
        self.spread = fresh.spread;
        (self.fault, self.fault_address, self.tx_bad) = (0, 0, 0);
        (self.resetting, self.reset_since) = (true, step);
    }

    fn running(&self) -> u32 {
        let bit = |(n, ring): (usize, &Ring)| u32::from(ring.enabled || self.unanswered == Some(n)) << n;
        self.rings.iter().enumerate().map(bit).sum()
    }

    pub fn is_idle(&self, core: &Core) -> bool {
        let rings = &self.rings;
        let working = [DATA_TX, CONTROL_TX, MOVER].iter().any(|ring| rings[*ring].works());
        let events = rings[EVENTS].works() && !core.events.is_empty();
        !self.resetting
            && self.unanswered.is_none()
            && self.wire_rx.is_empty()
            && !working
            && !events
            && !rings.iter().any(|ring| ring.armed && ring.waiting() != 0)
    }

    // ---- registers --------------------------------------------------------------------------------------------------

    pub fn read(&self, at: usize, step: u64) -> u32 {
        match at {
            HOST_ID => self.id,
            HOST_BUILD => self.build,
            HOST_STATUS => {
                let stuck = self.resetting && step - self.reset_since >= STUCK_STEPS;
                let bit = |set, bit| if set { bit } else { 0 };
                bit(self.resetting, STATUS_RESETTING)
                    | bit(stuck, STATUS_STUCK)
                    | bit(self.unanswered.is_some(), STATUS_BUSY)
            }
            RING_FAULT => self.fault,
            RING_RUNNING => self.running(),
            FAULT_ADDRESS => self.fault_address as u32,
            _ if at == FAULT_ADDRESS + 4 => (self.fault_address >> 32) as u32,
            TX_BAD => self.tx_bad,
            _ if (REASON_QUEUE..REASON_QUEUE + 32).contains(&at) => self.reason_queue[(at - REASON_QUEUE) / 4],
            _ if (SPREAD..SPREAD + 64).contains(&at) => self.spread[(at - SPREAD) / 4],
            _ => self.read_ring(at),
        }
    }

    fn read_ring(&self, at: usize) -> u32 {
        let Some(ring) = at.checked_sub(ring_offset(0)).and_then(|at| self.rings.get(at / 0x40)) else { return 0 };
        match at % 0x40 {
            ring::CONTROL => ring.enabled.into(),
            ring::SIZE => ring.size_log2 | (ring.buffer_bytes as u32 / 64) << 16,
            0x08 => ring.base as u32,
            0x0c => (ring.base >> 32) as u32,
            0x10 => ring.answers as u32,
            0x14 => (ring.answers >> 32) as u32,
            ring::PRODUCER => ring.producer.into(),
            ring::CONSUMER => ring.consumer.into(),
            ring::MODERATION => ring.moderation,
            ring::INTERRUPT => ring.index.into(),
            ring::DROPPED_FULL => ring.full,
            ring::DROPPED_DOWN => ring.down,
            ring::DROPPED_LONG => ring.long,
            ring::DROPPED_ABORTED => ring.aborted,
            _ => 0,
        }
    }

    pub fn write(&mut self, at: usize, value: u32, step: u64, bus: &dyn Bus) {
        match at {
            HOST_RESET if value & 1 == 1 => self.reset(step),
            RING_FAULT => self.fault &= !value,
            _ if (REASON_QUEUE..REASON_QUEUE + 32).contains(&at) => self.reason_queue[(at - REASON_QUEUE) / 4] = value,
            _ if (SPREAD..SPREAD + 64).contains(&at) => self.spread[(at - SPREAD) / 4] = value,
            _ if at >= ring_offset(0) => self.write_ring((at - ring_offset(0)) / 0x40, at % 0x40, value, bus),
            _ => {}
        }
    }

    fn write_ring(&mut self, number: usize, at: usize, value: u32, bus: &dyn Bus) {
        let still = number < RINGS && self.running() >> number & 1 == 0 && !self.resetting;
        let faulty = self.fault >> number & 1 == 1;
        let Some(ring) = self.rings.get_mut(number) else { return };
        let half = |old: u64, high: bool| {
            let shift = if high { 32 } else { 0 };
            old & !(0xffff_ffff << shift) | u64::from(value) << shift
        };
        match at {
            ring::CONTROL if value & 1 == 0 => (ring.enabled, ring.armed, ring.halted) = (false, false, false),
            ring::CONTROL if still && !faulty => {
                *ring = Ring {
                    enabled: true,
                    producer: 0,
                    consumer: 0,
                    dropped: 0,
                    full: 0,
                    long: 0,
                    aborted: 0,
                    answered: vec![0; 1 << ring.size_log2],
                    ..ring.clone()
                };
            }
            ring::PRODUCER if ring.enabled && !ring.halted => {
                if u32::from((value as u16).wrapping_sub(ring.consumer)) > 1 << ring.size_log2 {
                    self.fail(number, None, bus);
                } else {
                    ring.producer = value as u16;
                }
            }
            ring::INTERRUPT if ring.enabled => (ring.index, ring.armed) = (value as u16, value & ring::ARM != 0),
            ring::SIZE if still => {
                ring.size_log2 = (value & 15).max(4);
                ring.buffer_bytes = 64 * (value >> 16) as usize;
            }
            0x08 if still => ring.base = half(ring.base, false),
            0x0c if still => ring.base = half(ring.base, true),
            0x10 if still => ring.answers = half(ring.answers, false),
            0x14 if still => ring.answers = half(ring.answers, true),
            ring::MODERATION if still => ring.moderation = value,
            _ => {}
        }
    }

    // ---- memory -----------------------------------------------------------------------------------------------------

    /// What a transfer of a ring came to.
    fn moved(&mut self, ring: usize, address: u64, result: impl FnOnce() -> Result<(), BusError>) -> Moved<()> {
        if self.hold_memory {
            self.unanswered = Some(ring);
            return Err(Stop::Waits);
        }
        self.unanswered = None;
        result().map_err(|BusError| Stop::Failed(address))
    }

    fn fetch<const N: usize>(&mut self, ring: usize, address: u64, bus: &dyn Bus) -> Moved<[u32; N]> {
        let mut bytes = vec![0; 4 * N];
        self.moved(ring, address, || bus.read(address, &mut bytes))?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Ok(words)
    }

    fn answer(&mut self, number: usize, words: &mut [u32], step: u64, bus: &dyn Bus) -> Moved<()> {
        let ring = &self.rings[number];
        let address = ring.answers + 4 * words.len() as u64 * ring.entry();
        if let Some(last) = words.last_mut() {
            *last |= ring.phase();
        }
        if let Some(spoil) = &mut self.spoil {
            spoil(number, words);
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.moved(number, address, || bus.write(address, &bytes))?;
        self.rings[number].done(step);
        Ok(())
    }

    /// Halts a ring, because of a transfer or of a doorbell.
    fn fail(&mut self, ring: usize, address: Option<u64>, bus: &dyn Bus) {
        if let Some(address) = address.filter(|_| self.fault == 0) {
            self.fault_address = address;
        }
        self.fault |= 1 << ring;
        (self.rings[ring].halted, self.rings[ring].armed) = (true, false);
        self.interrupt(FAULT_VECTOR, bus);
    }

    fn interrupt(&self, vector: usize, bus: &dyn Bus) {
        if !self.lose_interrupts {
            bus.interrupt(vector as u16);
        }
    }

    // ---- work -------------------------------------------------------------------------------------------------------

    /// One piece of work of every kind.
    pub fn step(&mut self, core: &mut Core, bus: &dyn Bus) {
        if self.unanswered.is_some() && self.hold_memory {
            return;
        }
        if self.resetting {
            (self.resetting, self.unanswered) = (false, None);
            return;
        }
        // Memory has answered; what waited for it is tried again.
        self.unanswered = None;
        self.attempt(None, bus, |host, bus| host.receive(core, bus));
        for ring in [DATA_TX, CONTROL_TX] {
            self.attempt(Some(ring), bus, |host, bus| host.transmit(ring, core.steps, bus));
        }
        self.attempt(Some(EVENTS), bus, |host, bus| host.report(core, bus));
        self.attempt(Some(MOVER), bus, |host, bus| host.move_words(core, bus));
        for ring in 0..RINGS {
            self.ask(ring, core.steps, bus);
        }
    }

    fn attempt(
        &mut self,
        ring: Option<usize>,
        bus: &dyn Bus,
        work: impl FnOnce(&mut Host, &dyn Bus) -> (usize, Moved<()>),
    ) {
        if self.unanswered.is_some() || ring.is_some_and(|ring| !self.rings[ring].works()) {
            return;
        }
        if let (ring, Err(Stop::Failed(address))) = work(self, bus) {
            self.fail(ring, Some(address), bus);
        }
    }

    /// The ring of a frame.
    fn queue(&self, frame: &Frame) -> usize {
        if frame.control {
            return CONTROL_RX;
        }
        let nibble = |words: &[u32], n: usize| (words[n / 8] >> (4 * (n % 8)) & 15) as usize;
        match (nibble(&self.reason_queue, frame.reason as usize & 63), frame.bucket) {
            (queue @ 0..=7, _) => queue,
            (_, Some(bucket)) => nibble(&self.spread, usize::from(bucket) & 127) & 7,
            _ => usize::from(frame.queue) & 7,
        }
    }

    fn receive(&mut self, core: &Core, bus: &dyn Bus) -> (usize, Moved<()>) {
        let Some(frame) = self.wire_rx.pop_front() else { return (0, Ok(())) };
        let number = self.queue(&frame);
        let ring = &mut self.rings[number];
        let drop_count = if !ring.enabled || ring.halted {
            ring.down = ring.down.wrapping_add(1);
            return (number, Ok(()));
        } else if frame.aborted {
            Some(&mut ring.aborted)
        } else if frame.bytes.len() > ring.buffer_bytes {
            Some(&mut ring.long)
        } else if ring.outstanding() == 0 {
            Some(&mut ring.full)
        } else {
            None
        };
        if let Some(count) = drop_count {
            *count = count.wrapping_add(1);
            ring.dropped = ring.dropped.wrapping_add(1);
            return (number, Ok(()));
        }
        let result = self.deliver(number, &frame, core, bus);
        if matches!(result, Err(Stop::Waits)) {
            self.wire_rx.push_front(frame);
        }
        (number, result)
    }

    fn deliver(&mut self, number: usize, frame: &Frame, core: &Core, bus: &dyn Bus) -> Moved<()> {
        let ring = &self.rings[number];
        let (index, dropped) = (ring.consumer, ring.dropped);
        let descriptor = ring.base + 8 * ring.entry();
        let [low, high] = self.fetch(number, descriptor, bus)?;
        let buffer = u64::from(high) << 32 | u64::from(low);
        self.moved(number, buffer, || bus.write(buffer, &frame.bytes))?;
        let time = core.time_ns();
        let valid = |set: bool, bit: u32| u32::from(set) << bit;
        let mut words = [
            time as u32,
            (time >> 32) as u32,
            frame.bytes.len() as u32
                | (frame.reason as u32) << 16
                | u32::from(frame.port) << 24
                | valid(frame.control, 25)
                | valid(frame.rule.is_some(), 29)
                | valid(frame.bucket.is_some(), 30)
                | valid(frame.target.is_some(), 31),
            u32::from(frame.rule.unwrap_or(0)) | u32::from(frame.bucket.unwrap_or(0)) << 16,
            u32::from(frame.target.unwrap_or(0)) | u32::from(index) << 16,
            0,
            0,
            dropped.into(),
        ];
        self.answer(number, &mut words, core.steps, bus)
    }

    fn transmit(&mut self, number: usize, step: u64, bus: &dyn Bus) -> (usize, Moved<()>) {
        (number, self.transmit_one(number, step, bus))
    }

    fn transmit_one(&mut self, number: usize, step: u64, bus: &dyn Bus) -> Moved<()> {
        let ring = &self.rings[number];
        let (next, answers) = (ring.consumer.wrapping_add(1), ring.answers);
        let descriptor = ring.base + 16 * ring.entry();
        let [low, high, what, _] = self.fetch(number, descriptor, bus)?;
        let (address, length) = (u64::from(high) << 32 | u64::from(low), (what & 0xffff) as usize);
        if !(14..=9022).contains(&length) || what >> 16 & 1 >= u32::from(self.ports) {
            self.tx_bad = self.tx_bad.wrapping_add(1);
        } else {
            let mut bytes = vec![0; length];
            self.moved(number, address, || bus.read(address, &mut bytes))?;
            self.sent.push_back(Sent { bytes, port: (what >> 16 & 1) as u8, control: number == CONTROL_TX });
        }
        let mut index = [u32::from(next)];
        if let Some(spoil) = &mut self.spoil {
            spoil(number, &mut index);
        }
        self.moved(number, answers, || bus.write(answers, &index[0].to_le_bytes()))?;
        self.rings[number].done(step);
        Ok(())
    }

    fn report(&mut self, core: &mut Core, bus: &dyn Bus) -> (usize, Moved<()>) {
        let Some(event) = core.events.front() else { return (EVENTS, Ok(())) };
        let mut words = [0; 16];
        words[..14].copy_from_slice(event);
        let result = self.answer(EVENTS, &mut words, core.steps, bus);
        if result.is_ok() {
            core.events.pop_front();
        }
        (EVENTS, result)
    }

    fn move_words(&mut self, core: &mut Core, bus: &dyn Bus) -> (usize, Moved<()>) {
        (MOVER, self.command(core, bus))
    }

    fn command(&mut self, core: &mut Core, bus: &dyn Bus) -> Moved<()> {
        let ring = &self.rings[MOVER];
        let index = ring.consumer;
        let descriptor = ring.base + 32 * ring.entry();
        let command: [u32; 8] = self.fetch(MOVER, descriptor, bus)?;
        let (table, first, count) = (Table::try_from((command[0] >> 8 & 15) as u8), command[1], command[2]);
        let address = u64::from(command[5]) << 32 | u64::from(command[4]);
        let mut bytes = vec![0; 4 * (count.min(1 << 20) as usize)];
        let possible = (1..=1 << 20).contains(&count) && first < 1 << 20 && address.is_multiple_of(64);
        let moved = match (command[0] & 0xff, table) {
            (1, Ok(table)) if possible => self.moved(MOVER, address, || bus.read(address, &mut bytes)).map(|()| {
                for (index, word) in (first..).zip(bytes.as_chunks().0) {
                    core.table_write(table, index, u32::from_le_bytes(*word));
                }
                0
            }),
            (2, Ok(table)) if possible => {
                for (index, word) in (first..).zip(bytes.as_chunks_mut().0) {
                    *word = core.table_read(table, command[0] >> 12 & 1 == 1, index).to_le_bytes();
                }
                self.moved(MOVER, address, || bus.write(address, &bytes)).map(|()| 0)
            }
            // Bindings. Without a dataplane there are none.
            (2, Err(_)) if possible && count % 16 == 0 && matches!(command[0] >> 8 & 15, 13 | 14) => {
                let walk = (command[0] >> 8 & 15) as usize - 13;
                let mut session = if command[0] >> 12 & 1 == 1 { self.walks[walk] } else { first };
                for entry in bytes.as_chunks_mut::<64>().0 {
                    let Some((found, words)) = core.plane.as_ref().and_then(|plane| plane.walk(walk, session)) else {
                        session = 1 << 16;
                        break;
                    };
                    session = found + 1;
                    for (to, word) in entry.as_chunks_mut().0.iter_mut().zip(words) {
                        *to = word.to_le_bytes();
                    }
                }
                self.walks[walk] = session;
                self.moved(MOVER, address, || bus.write(address, &bytes)).map(|()| 0)
            }
            _ => {
                bytes.clear();
                Ok(1)
            }
        };
        let (status, failed) = match moved {
            Ok(status) => (status, None),
            Err(Stop::Waits) => return Err(Stop::Waits),
            Err(Stop::Failed(address)) => (2, Some(address)),
        };
        let mut words = [u32::from(index) | status << 16, crc32fast::hash(&bytes), 0, 0];
        self.answer(MOVER, &mut words, core.steps, bus)?;
        failed.map_or(Ok(()), |address| Err(Stop::Failed(address)))
    }

    /// Asks for the interrupt of a ring if it is armed and due.
    fn ask(&mut self, number: usize, step: u64, bus: &dyn Bus) {
        let ring = &mut self.rings[number];
        if !ring.armed {
            return;
        }
        let waiting = ring.waiting();
        if waiting == 0 {
            return;
        }
        let oldest = ring.answered[usize::from(ring.index) & ((1 << ring.size_log2) - 1)];
        let (holdoff, count) = (u64::from(ring.moderation & 0xff_ffff), (ring.moderation >> 24).max(1));
        if waiting >= count || step - oldest >= holdoff {
            ring.armed = false;
            self.interrupt(number, bus);
        }
    }
}
