// SPDX-License-Identifier: Apache-2.0
//! What all rings have in common: start, stop, doorbell, interrupt.

use crate::RingError;
use crate::error::Violation;
use crate::host::{Memory, POLLS, Shared};
use hashgate_device::Interrupt;
use hashgate_regs::host::{RING_FAULT, RING_RUNNING, ring};
use std::sync::Arc;
use std::time::Duration;

/// When an armed ring asks for its interrupt: when `count` answers are there (0 acts as 1), or the oldest waits for `holdoff` core clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moderation {
    /// Answers.
    pub count: u8,
    /// Core clocks, below 2^24.
    pub holdoff: u32,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There are answers.
    Ready,
    /// The time is over, or an interrupt came without answers.
    Nothing,
}

/// What a ring has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingStats {
    /// Frames, events or commands that are through.
    pub done: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Writes of the doorbell.
    pub doorbells: u64,
    /// Writes that arm the interrupt.
    pub armed: u64,
    /// Waits that ended by their time-out although there were answers: their interrupt was lost, or late.
    pub lost_interrupts: u64,
}

impl RingStats {
    /// Register accesses per frame, event or command; 0 if there was none.
    pub fn mmio_per_packet(&self) -> f64 {
        if self.done == 0 { 0.0 } else { (self.doorbells + self.armed) as f64 / self.done as f64 }
    }
}

/// What a ring is.
pub(crate) struct Shape {
    pub number: usize,
    pub size_log2: u8,
    /// Of receive rings, else 0.
    pub buffer_bytes: usize,
    pub moderation: Moderation,
    /// Offset of the descriptors in the memory.
    pub descriptors: usize,
    /// Offset of the answers in the memory, and their bytes altogether.
    pub answers: usize,
    pub answer_bytes: usize,
}

/// Ownership of a ring, from before there is memory for it.
pub(crate) struct Owner {
    shared: Arc<Shared>,
    number: usize,
}

impl Owner {
    pub fn new(shared: &Arc<Shared>, number: usize) -> Result<Owner, RingError> {
        shared.check_usable()?;
        shared.own(number)?;
        Ok(Owner { shared: shared.clone(), number })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.disown(self.number);
    }
}

/// A ring of the NIC and its memory. Dropping it switches the ring off before the memory goes.
pub(crate) struct Ring {
    pub shared: Arc<Shared>,
    pub memory: Memory,
    pub shape: Shape,
    pub stats: RingStats,
    registers: usize,
    epoch: u32,
    /// The ring was switched off because of what the NIC wrote.
    violation: Option<(u16, Violation)>,
    interrupt: Option<Arc<dyn Interrupt>>,
    _owner: Owner,
}

/// Checks the size of a ring.
pub(crate) fn check_size(size_log2: u8) -> Result<usize, RingError> {
    if (4..=15).contains(&size_log2) {
        return Ok(1 << size_log2);
    }
    Err(RingError::Range { what: "SIZE_LOG2 of a ring", value: size_log2.into(), possible: "4 to 15" })
}

impl Ring {
    /// The ring, not started.
    pub fn new(owner: Owner, memory: Memory, shape: Shape) -> Result<Ring, RingError> {
        if shape.moderation.holdoff >= 1 << 24 {
            let (what, possible) = ("holdoff of an interrupt", "below 2^24 core clocks");
            return Err(RingError::Range { what, value: shape.moderation.holdoff.into(), possible });
        }
        let shared = owner.shared.clone();
        let (registers, epoch, interrupt) = (ring(shape.number), shared.epoch(), shared.interrupt(shape.number));
        let stats = RingStats::default();
        Ok(Ring { shared, memory, shape, stats, registers, epoch, violation: None, interrupt, _owner: owner })
    }

    /// Enables the ring with indices from 0 on; switches it off before.
    pub fn start(&mut self) -> Result<(), RingError> {
        let shared = self.shared.clone();
        let _setup = shared.setting_up();
        self.shared.check_usable()?;
        self.stop()?;
        for offset in (0..self.shape.answer_bytes).step_by(8) {
            self.memory.write64(self.shape.answers + offset, 0);
        }
        let (at, shape) = (self.registers, &self.shape);
        shared.write(RING_FAULT, 1 << shape.number);
        shared.write(at + ring::SIZE, u32::from(shape.size_log2) | (shape.buffer_bytes as u32 / 64) << 16);
        shared.write64(at + ring::BASE, self.memory.iova(shape.descriptors));
        shared.write64(at + ring::ANSWERS, self.memory.iova(shape.answers));
        shared.write(at + ring::MODERATION, shape.moderation.holdoff | u32::from(shape.moderation.count) << 24);
        shared.write(at + ring::CONTROL, 1);
        (self.epoch, self.violation) = (shared.epoch(), None);
        self.interrupt = shared.interrupt(shape.number);
        if shared.read(at + ring::CONTROL)? & 1 == 1 { Ok(()) } else { Err(self.timeout("enabling the ring", 1)) }
    }

    /// Switches the ring off and waits until the NIC does not touch its memory any more.
    fn stop(&self) -> Result<(), RingError> {
        self.shared.write(self.registers + ring::CONTROL, 0);
        for _ in 0..POLLS {
            if self.shared.read(RING_RUNNING)? >> self.shape.number & 1 == 0 {
                return Ok(());
            }
        }
        Err(self.timeout("stopping the ring", POLLS))
    }

    /// See [`Bar::pause`](hashgate_device::Bar::pause).
    pub fn pause(&self, reads: u32) {
        self.shared.pause(reads);
    }

    pub fn timeout(&self, what: &'static str, polls: u32) -> RingError {
        RingError::Timeout { ring: self.shape.number, what, polls }
    }

    /// Whether the ring may go on.
    #[inline]
    pub fn check(&self) -> Result<(), RingError> {
        self.shared.check_epoch(self.shape.number, self.epoch)?;
        match self.violation {
            None => Ok(()),
            Some((at, violation)) => Err(RingError::Device { ring: self.shape.number, at, violation }),
        }
    }

    /// As [`Ring::check`], and asks the NIC: one register read.
    pub fn check_device(&self) -> Result<(), RingError> {
        self.check()?;
        self.shared.check_fault(self.shape.number)
    }

    /// The NIC wrote what cannot be: nothing of this ring is believed any more.
    #[cold]
    pub fn violated(&mut self, at: u16, violation: Violation) -> RingError {
        self.shared.write(self.registers + ring::CONTROL, 0);
        self.violation = Some((at, violation));
        RingError::Device { ring: self.shape.number, at, violation }
    }

    /// Tells the NIC the index behind the last descriptor.
    #[inline]
    pub fn doorbell(&mut self, producer: u16) {
        self.stats.doorbells += 1;
        self.shared.ring_write(self.registers + ring::PRODUCER, producer.into());
    }

    /// Offset in the memory of answer `index` of `bytes` each.
    #[inline]
    pub fn answer(&self, index: u16, bytes: usize) -> usize {
        self.shape.answers + (usize::from(index) & ((1 << self.shape.size_log2) - 1)) * bytes
    }

    /// Offset in the memory of descriptor `index` of `bytes` each.
    #[inline]
    pub fn descriptor(&self, index: u16, bytes: usize) -> usize {
        self.shape.descriptors + (usize::from(index) & ((1 << self.shape.size_log2) - 1)) * bytes
    }

    /// The last word of answer `index` of `bytes`, if the NIC has written it: by the phase.
    #[inline]
    pub fn answered(&self, index: u16, bytes: usize) -> Option<u32> {
        let last = self.memory.read32(self.answer(index, bytes) + bytes - 4);
        let first_round = index >> self.shape.size_log2 & 1 == 0;
        (last >> 31 == u32::from(first_round)).then_some(last)
    }

    /// The interrupt of the ring, if it has one.
    pub fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        self.interrupt.clone()
    }

    /// Lets the NIC ask for the interrupt when there are answers at or beyond `index`.
    pub fn arm(&mut self, index: u16) {
        self.stats.armed += 1;
        self.shared.ring_write(self.registers + ring::INTERRUPT, u32::from(index) | ring::ARM);
    }

    /// Waits until there are answers at or beyond `index`, which `ready` finds in memory.
    pub fn wait(&mut self, index: u16, timeout: Duration, ready: impl Fn(&Ring) -> bool) -> Result<Wake, RingError> {
        self.check()?;
        if ready(self) {
            return Ok(Wake::Ready);
        }
        let Some(interrupt) = self.interrupt.clone() else { return Err(RingError::NoInterrupts) };
        // Those of before say nothing about what comes.
        interrupt.take();
        self.arm(index);
        // An answer that came before the ring was armed makes the NIC ask at once; this spares the wait.
        if ready(self) {
            return Ok(Wake::Ready);
        }
        let messages = interrupt.wait(timeout);
        if ready(self) {
            self.stats.lost_interrupts += u64::from(messages == 0);
            return Ok(Wake::Ready);
        }
        if messages == 0 {
            // A device that is gone, or a ring that is halted, sends nothing.
            self.check_device()?;
        }
        Ok(Wake::Nothing)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.stop().is_err() {
            self.shared.stop_device();
            self.memory.lose_addresses();
        }
    }
}
