// SPDX-License-Identifier: Apache-2.0
//! A host that drives rings by `docs/host_interface.md`.

use crate::Access;
use crate::bench::{Bench, Frame, RECEIVE, RINGS, ToWire};
use std::collections::VecDeque;
use std::ops::Range;

/// Registers of BAR 0.
#[allow(missing_docs)]
pub mod reg {
    pub const HOST_ID: u32 = 0x1000;
    pub const HOST_BUILD: u32 = 0x1004;
    pub const HOST_RESET: u32 = 0x1008;
    pub const HOST_STATUS: u32 = 0x100c;
    pub const RING_FAULT: u32 = 0x1010;
    pub const RING_RUNNING: u32 = 0x1014;
    pub const FAULT_ADDRESS: u32 = 0x1018;
    pub const TX_BAD: u32 = 0x1020;
    pub const REASON_QUEUE: u32 = 0x1040;
    pub const SPREAD: u32 = 0x1080;
    pub const CONTROL: u32 = 0x00;
    pub const SIZE: u32 = 0x04;
    pub const BASE: u32 = 0x08;
    pub const ANSWERS: u32 = 0x10;
    pub const PRODUCER: u32 = 0x18;
    pub const CONSUMER: u32 = 0x1c;
    pub const MODERATION: u32 = 0x20;
    pub const INTERRUPT: u32 = 0x24;
    pub const DROPPED_FULL: u32 = 0x28;
    pub const DROPPED_DOWN: u32 = 0x2c;
    pub const DROPPED_LONG: u32 = 0x30;
    pub const DROPPED_ABORTED: u32 = 0x34;

    /// A register of a ring.
    pub const fn of(ring: usize, register: u32) -> u32 {
        0x1400 + 0x40 * ring as u32 + register
    }
}

/// What a ring is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Frames from the core.
    Receive,
    /// Frames to the core.
    Transmit,
    /// Binding events.
    Events,
    /// Table mover.
    Mover,
}

impl Kind {
    /// Bytes of a descriptor.
    pub fn descriptor_bytes(self) -> u64 {
        match self {
            Kind::Receive => 8,
            Kind::Transmit => 16,
            Kind::Events => 0,
            Kind::Mover => 32,
        }
    }

    /// Bytes of an answer.
    pub fn answer_bytes(self) -> u64 {
        match self {
            Kind::Receive => 32,
            Kind::Transmit => 4,
            Kind::Events => 64,
            Kind::Mover => 16,
        }
    }
}

/// A frame that was received.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Index of the descriptor.
    pub index: u16,
    /// Its buffer.
    pub buffer: u64,
    /// The frame that the core gave.
    pub frame: Frame,
    /// Drops of the ring.
    pub drops: u16,
    /// Nanoseconds.
    pub time: u64,
}

/// Completion of a command of the mover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoverAnswer {
    /// 0 done, 1 bad command, 2 bus error.
    pub status: u8,
    /// CRC-32 of the words.
    pub crc: u32,
}

/// Frames that a ring has dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// No descriptor.
    pub full: u64,
    /// The ring was down.
    pub down: u64,
    /// Too long.
    pub long: u64,
    /// Aborted.
    pub aborted: u64,
}

impl Drops {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.full + self.down + self.long + self.aborted
    }
}

/// A ring that is enabled.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// Entries, as a power of two.
    pub log2: u32,
    /// Descriptors.
    pub base: u64,
    /// Answers.
    pub answers: u64,
    /// Bytes of a buffer.
    pub buffer: u64,
    /// Hold-off in cycles, and count.
    pub moderation: (u32, u8),
    /// Descriptors given, or room for events.
    pub posted: u64,
    /// Answers that are in memory (transmit: the index).
    pub visible: u64,
    /// Index behind answers, and the cycle in which they became visible.
    pub visible_at: VecDeque<(u64, u64)>,
    /// Buffers with the NIC.
    pub receive: VecDeque<u64>,
    /// Frames with the NIC: address unless impossible, length.
    pub transmit: VecDeque<(Option<u64>, u64)>,
    /// Targets of dumps, and sources of loads.
    pub mover_targets: VecDeque<Option<u64>>,
    /// What the mover answered.
    pub mover_answers: VecDeque<MoverAnswer>,
    /// What came.
    pub completions: VecDeque<Completion>,
    /// Frames given by the core and not delivered, among those that are older than the last one delivered.
    pub missing: u64,
    /// Of those that the core had given before the ring was enabled, the ones that may be missing.
    pub earlier_drops: u64,
    /// It has a fault.
    pub halted: bool,
    kind: Option<Kind>,
}

impl Ring {
    /// Entries.
    pub fn size(&self) -> u64 {
        1 << self.log2
    }

    /// Descriptors that are with the NIC.
    pub fn outstanding(&self) -> u64 {
        self.posted - self.visible
    }

    pub(crate) fn phase(&self, index: u64) -> bool {
        (index >> self.log2) & 1 == 0
    }

    pub(crate) fn answers_range(&self) -> Range<u64> {
        let bytes = self.kind.map_or(0, Kind::answer_bytes);
        self.answers..self.answers + if self.kind == Some(Kind::Transmit) { 4 } else { bytes * self.size() }
    }

    pub(crate) fn answer_address(&self, index: u64) -> u64 {
        self.answers + (index % self.size()) * self.kind.map_or(0, Kind::answer_bytes)
    }
}

impl Bench {
    /// An enabled ring.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn ring(&self, number: usize) -> &Ring {
        self.rings[number].as_ref().expect("the ring is enabled")
    }

    /// The same, to change.
    #[track_caller]
    pub fn ring_mut(&mut self, number: usize) -> &mut Ring {
        self.rings[number].as_mut().expect("the ring is enabled")
    }

    /// Enables a ring of 2^`log2` entries; `buffer` only matters for receive rings.
    #[track_caller]
    pub fn enable(&mut self, number: usize, log2: u32, buffer: u64, moderation: (u32, u8)) {
        let kind = Bench::kind(number);
        assert!(self.rings[number].is_none(), "ring {number} is enabled");
        let size = 1u64 << log2;
        let mut ring = Ring { log2, buffer, moderation, kind: Some(kind), ..Ring::default() };
        if kind.descriptor_bytes() > 0 {
            let bytes = size * kind.descriptor_bytes();
            ring.base = self.memory.allocate(bytes, 4096);
            self.memory.offer(ring.base, bytes, Access::Read);
            // What is not given is no descriptor.
            self.memory.put(ring.base, &vec![0xff; bytes as usize]);
        }
        let (bytes, align) = if kind == Kind::Transmit { (4, 64) } else { (size * kind.answer_bytes(), 4096) };
        ring.answers = self.memory.allocate(bytes, align);
        self.memory.offer(ring.answers, bytes, Access::Write);
        self.memory.put(ring.answers, &vec![0; bytes as usize]);
        self.write(reg::of(number, reg::SIZE), log2 | ((buffer / 64) as u32) << 16);
        self.write64(reg::of(number, reg::BASE), ring.base);
        self.write64(reg::of(number, reg::ANSWERS), ring.answers);
        self.write(reg::of(number, reg::MODERATION), moderation.0 | u32::from(moderation.1) << 24);
        self.interrupts.forget(number);
        if number < RECEIVE {
            ring.earlier_drops = self.sent[number].len() as u64;
        }
        self.rings[number] = Some(ring);
        self.write(reg::of(number, reg::CONTROL), 1);
        // Frames that came before that was done may not count.
        if number < RECEIVE {
            let earlier = self.sent[number].len() as u64;
            self.ring_mut(number).earlier_drops = earlier;
        }
    }

    /// Disables a ring and waits until it rests; takes all memory back. Returns what it was.
    #[track_caller]
    pub fn disable(&mut self, number: usize) -> Ring {
        self.write(reg::of(number, reg::CONTROL), 0);
        self.until("an end of what a disabled ring does", |bench| bench.read(reg::RING_RUNNING) >> number & 1 == 0);
        self.take_back(number)
    }

    pub(crate) fn take_back(&mut self, number: usize) -> Ring {
        let ring = self.rings[number].take().expect("the ring is enabled");
        if ring.base != 0 {
            self.memory.revoke(ring.base);
        }
        self.memory.revoke(ring.answers);
        let frames = ring.transmit.iter().filter_map(|(address, _)| *address);
        let others = ring.receive.iter().copied().chain(ring.mover_targets.iter().filter_map(|target| *target));
        for start in frames.chain(others) {
            // Those in a place with faults have none of their own.
            if self.memory.region(start).is_some_and(|region| region.access != Access::Fault) {
                self.memory.revoke(start);
            }
        }
        if number == 11 {
            assert!(self.resetting || ring.halted || self.popped.is_empty(), "events taken and not written");
            self.popped.clear();
        }
        if let 9 | 10 = number {
            let rest = std::mem::take(&mut self.to_wire[number - 9]);
            self.former[number - 9].extend(rest);
        }
        ring
    }

    /// Rings the doorbell.
    #[track_caller]
    pub fn doorbell(&mut self, number: usize) {
        let index = self.ring(number).posted as u16;
        self.write(reg::of(number, reg::PRODUCER), index.into());
    }

    /// Arms the interrupt at an index.
    #[track_caller]
    pub fn arm(&mut self, number: usize, index: u16) {
        self.interrupts.begin_arm(number, index);
        self.write(reg::of(number, reg::INTERRUPT), u32::from(index) | 1 << 16);
        self.interrupts.end_arm(number, self.cycle);
    }

    /// The interrupt is armed and has not asked.
    pub fn armed(&self, number: usize) -> bool {
        self.interrupts.armed(number)
    }

    /// Interrupts: cycle and vector.
    pub fn interrupt_log(&self) -> &[(u64, usize)] {
        &self.interrupts.log
    }

    /// Interrupts are not acknowledged while this is so.
    pub fn hold_interrupts(&mut self, hold: bool) {
        self.interrupts.hold = hold;
    }

    /// A fault is allowed to come, in that ring.
    pub fn expect_fault(&mut self, number: usize) {
        self.interrupts.fault = true;
        if let Some(ring) = &mut self.rings[number] {
            ring.halted = true;
        }
    }

    /// Forgets faults: vector 15 must not come any more.
    pub fn no_fault(&mut self) {
        self.interrupts.fault = false;
    }

    // ---- receive -------------------------------------------------------------------------------------------------------

    /// Gives a receive ring that many buffers, at most as many as there is room for; rings the doorbell. Returns how many.
    #[track_caller]
    pub fn post(&mut self, number: usize, count: u64) -> u64 {
        let ring = self.ring(number);
        let count = count.min(ring.size() - ring.outstanding());
        for _ in 0..count {
            let bytes = self.ring(number).buffer;
            let buffer = self.memory.allocate(bytes, 64);
            self.memory.offer(buffer, bytes, Access::Write);
            self.post_at(number, buffer);
        }
        if count > 0 {
            self.doorbell(number);
        }
        count
    }

    /// The same, and waits until the NIC has had the time to read the descriptors: a frame that comes before that finds none.
    #[track_caller]
    pub fn stock(&mut self, number: usize, count: u64) -> u64 {
        let count = self.post(number, count);
        let timing = self.memory.timing;
        self.run(3 * (timing.latency + timing.jitter) + 500);
        count
    }

    /// Writes a descriptor of a buffer at that address, without a doorbell.
    pub fn post_at(&mut self, number: usize, buffer: u64) {
        let ring = self.rings[number].as_mut().expect("the ring is enabled");
        let entry = ring.base + 8 * (ring.posted % ring.size());
        ring.posted += 1;
        ring.receive.push_back(buffer);
        self.memory.put(entry, &buffer.to_le_bytes());
    }

    /// What the registers of a ring say it has dropped.
    #[track_caller]
    pub fn drops(&mut self, number: usize) -> Drops {
        Drops {
            full: self.read(reg::of(number, reg::DROPPED_FULL)).into(),
            down: self.read(reg::of(number, reg::DROPPED_DOWN)).into(),
            long: self.read(reg::of(number, reg::DROPPED_LONG)).into(),
            aborted: self.read(reg::of(number, reg::DROPPED_ABORTED)).into(),
        }
    }

    /// When all is calm, every frame that the core has given to a ring since it was enabled the first and only time, or since its counters
    /// were zero, is a completion or counted as dropped. Returns what was.
    #[track_caller]
    pub fn account(&mut self, number: usize) -> Drops {
        let drops = self.drops(number);
        let missing = self.rings[number].as_ref().map_or(0, |ring| ring.missing) + self.sent[number].len() as u64;
        assert_eq!(drops.sum(), missing, "ring {number}: {drops:?}, but {missing} frames are missing");
        drops
    }

    /// The same of all receive rings.
    #[track_caller]
    pub fn drops_of_all(&mut self) -> [Drops; RECEIVE] {
        std::array::from_fn(|ring| self.drops(ring))
    }

    /// Frames that the core has given count as dropped from now on.
    pub fn forget_frames(&mut self) {
        self.sent.iter_mut().for_each(VecDeque::clear);
    }

    /// Sets the queue of a reason.
    #[track_caller]
    pub fn set_reason_queue(&mut self, reason: usize, queue: u8) {
        self.reason_queue[reason] = queue;
        let first = reason & !7;
        let word = (0..8).fold(0, |word, i| word | u32::from(self.reason_queue[first + i]) << (4 * i));
        self.write(reg::REASON_QUEUE + first as u32 / 2, word);
    }

    /// Sets the queue of buckets.
    #[track_caller]
    pub fn set_spread(&mut self, bucket: usize, queue: u8) {
        self.spread[bucket] = queue;
        let first = bucket & !7;
        let word = (0..8).fold(0, |word, i| word | u32::from(self.spread[first + i]) << (4 * i));
        self.write(reg::SPREAD + first as u32 / 2, word);
    }

    // ---- transmit ------------------------------------------------------------------------------------------------------

    /// Writes a descriptor of a frame, `offset` bytes behind a multiple of 4096, without a doorbell.
    #[track_caller]
    pub fn send(&mut self, number: usize, data: &[u8], offset: u64, port: u8) {
        let start = self.memory.allocate(offset + data.len() as u64, 4096) + offset;
        self.memory.offer(start, data.len() as u64, Access::Read);
        self.memory.put(start, data);
        self.describe(number, start, data.len() as u32 | u32::from(port) << 16, Some(start), data.len() as u64);
        self.to_wire[number - 9].push_back(ToWire { data: data.to_vec(), port });
    }

    /// Writes a descriptor that is impossible: it is skipped.
    #[track_caller]
    pub fn send_bad(&mut self, number: usize, length: u32) {
        self.describe(number, 0x1000, length, None, 0);
    }

    /// Writes a descriptor of a frame that cannot be read.
    #[track_caller]
    pub fn send_from(&mut self, number: usize, address: u64, length: u32) {
        self.describe(number, address, length, None, 0);
    }

    fn describe(&mut self, number: usize, address: u64, word: u32, region: Option<u64>, length: u64) {
        let ring = self.rings[number].as_mut().expect("the ring is enabled");
        assert!(ring.outstanding() < ring.size(), "ring {number} is full");
        let entry = ring.base + 16 * (ring.posted % ring.size());
        ring.posted += 1;
        ring.transmit.push_back((region, length));
        let mut descriptor = address.to_le_bytes().to_vec();
        descriptor.extend_from_slice(&word.to_le_bytes());
        descriptor.extend_from_slice(&[0; 4]);
        self.memory.put(entry, &descriptor);
    }

    /// Frames that are still to come on a stream to the core.
    pub fn to_come(&self, number: usize) -> usize {
        self.to_wire[number - 9].len()
    }

    // ---- mover ---------------------------------------------------------------------------------------------------------

    /// Writes a command of the mover, without a doorbell. The memory is revoked when it is done.
    #[track_caller]
    pub fn command(&mut self, words: [u32; 8], memory: Option<u64>) {
        let ring = self.rings[12].as_mut().expect("the ring is enabled");
        assert!(ring.outstanding() < ring.size(), "the mover's ring is full");
        let entry = ring.base + 32 * (ring.posted % ring.size());
        ring.posted += 1;
        ring.mover_targets.push_back(memory);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.memory.put(entry, &bytes);
    }

    /// A load of words, without a doorbell.
    #[track_caller]
    pub fn load(&mut self, id: u8, first: u32, words: &[u32]) {
        let at = self.memory.allocate(4 * words.len() as u64, 64);
        self.memory.offer(at, 4 * words.len() as u64, Access::Read);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.memory.put(at, &bytes);
        let command = [1 | u32::from(id) << 8, first, words.len() as u32, 0, at as u32, (at >> 32) as u32, 0, 0];
        self.command(command, Some(at));
    }

    /// A dump of words, without a doorbell. Returns where to.
    #[track_caller]
    pub fn dump(&mut self, id: u8, active: bool, first: u32, words: u32) -> u64 {
        let at = self.memory.allocate(4 * u64::from(words), 64);
        self.memory.offer(at, 4 * u64::from(words), Access::Write);
        let word = 2 | u32::from(id) << 8 | u32::from(active) << 12;
        self.command([word, first, words, 0, at as u32, (at >> 32) as u32, 0, 0], Some(at));
        at
    }

    /// Rings the doorbell of the mover and waits for all its answers.
    #[track_caller]
    pub fn move_tables(&mut self) -> Vec<MoverAnswer> {
        self.doorbell(12);
        self.until("the answers of the mover", |bench| bench.ring(12).outstanding() == 0);
        self.ring_mut(12).mover_answers.drain(..).collect()
    }

    // ---- events --------------------------------------------------------------------------------------------------------

    /// Gives room for so many events more.
    #[track_caller]
    pub fn room(&mut self, count: u64) {
        self.ring_mut(11).posted += count;
        self.doorbell(11);
    }

    // ---- reset ---------------------------------------------------------------------------------------------------------

    /// Resets the host side, by its register or by its input, waits until that is done, and takes all rings back.
    #[track_caller]
    pub fn reset_host(&mut self, by_register: bool) {
        self.resetting = true;
        if by_register {
            self.write(reg::HOST_RESET, 1);
        } else {
            self.drive_host_reset(true);
            let cycles = self.random.between(1, 20);
            self.run(cycles);
            self.drive_host_reset(false);
        }
        self.until("an end of the reset", |bench| bench.read(reg::HOST_STATUS) & 1 == 0);
        self.after_reset();
    }

    /// Forgets what was before a reset that has ended.
    #[track_caller]
    pub fn after_reset(&mut self) {
        assert!(self.memory.idle(), "cycle {}: the reset has ended before all that was under way", self.cycle);
        for number in 0..RINGS {
            if self.rings[number].is_some() {
                self.take_back(number);
            }
        }
        self.memory.applied.clear();
        self.interrupts.forget_all();
        self.popped.clear();
        for sent in &mut self.sent {
            sent.clear();
        }
        self.resetting = false;
    }

    /// The host side is about to be reset by the test itself.
    pub fn begin_reset(&mut self) {
        self.resetting = true;
    }
}
