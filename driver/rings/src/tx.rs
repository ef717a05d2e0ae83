// SPDX-License-Identifier: Apache-2.0
//! Transmit rings.

use crate::host::{Memory, Shared};
use crate::ring::{Moderation, Owner, Ring, RingStats, Shape, Wake, check_size};
use crate::{RingError, Violation};
use hashgate_device::Interrupt;
use hashgate_regs::host::{CONTROL_TX, DATA_TX};
use std::sync::Arc;
use std::time::Duration;

const DESCRIPTOR: usize = 16;
/// The index that the NIC writes, with what it is aligned to.
const INDEX: usize = 64;
/// Shortest frame, bytes.
const SHORTEST: usize = 14;
/// Longest frame, bytes.
const LONGEST: usize = 9022;

/// Shape of a transmit ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxConfig {
    /// The ring has 2 to the power of this many entries, 4..=15, each with a buffer.
    pub size_log2: u8,
    /// Longest frame that is sent, in bytes without FCS, 14..=9022.
    pub longest: usize,
    /// When an armed ring asks for its interrupt.
    pub moderation: Moderation,
}

impl Default for TxConfig {
    /// 256 frames of up to 2048 bytes.
    fn default() -> TxConfig {
        TxConfig { size_log2: 8, longest: 2048, moderation: Moderation::default() }
    }
}

/// What became of a frame that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum SendOutcome {
    /// It is in the ring.
    Queued,
    /// There is no room; what is in the ring was given to the NIC.
    Full,
}

/// A transmit ring. Frames are copied to its own buffers, one for each entry.
pub struct TxRing {
    ring: Ring,
    buffers: usize,
    buffer_bytes: usize,
    longest: usize,
    /// Index behind the last descriptor that the NIC has read.
    done: u16,
    /// Index behind the last descriptor that the NIC knows.
    flushed: u16,
    /// Index of the next descriptor.
    next: u16,
}

impl TxRing {
    pub(crate) fn new(shared: &Arc<Shared>, control: bool, config: &TxConfig) -> Result<TxRing, RingError> {
        let size = check_size(config.size_log2)?;
        if !(SHORTEST..=LONGEST).contains(&config.longest) {
            let (what, value) = ("longest frame to send", config.longest as u64);
            return Err(RingError::Range { what, value, possible: "14 to 9022 bytes" });
        }
        let number = if control { CONTROL_TX } else { DATA_TX };
        let owner = Owner::new(shared, number)?;
        let buffer_bytes = config.longest.next_multiple_of(64);
        let (memory, [descriptors, answers, buffers]) =
            Memory::new(shared, [size * DESCRIPTOR, INDEX, size * buffer_bytes])?;
        for n in 0..size {
            memory.write64(descriptors + n * DESCRIPTOR, memory.iova(buffers + n * buffer_bytes));
        }
        let shape = Shape {
            number,
            size_log2: config.size_log2,
            buffer_bytes: 0,
            moderation: config.moderation,
            descriptors,
            answers,
            answer_bytes: INDEX,
        };
        let ring = Ring::new(owner, memory, shape)?;
        let longest = config.longest;
        let mut tx = TxRing { ring, buffers, buffer_bytes, longest, done: 0, flushed: 0, next: 0 };
        tx.restart()?;
        Ok(tx)
    }

    /// Starts the ring again, empty: after a fault, a violation or a reset of the host side. Frames that were in it may or may not have been sent.
    ///
    /// # Errors
    /// [`RingError::NoAnswer`], [`RingError::Stopped`] and [`RingError::Timeout`] if the device does not do it.
    pub fn restart(&mut self) -> Result<(), RingError> {
        self.ring.start()?;
        (self.done, self.flushed, self.next) = (0, 0, 0);
        Ok(())
    }

    /// Puts a frame (without FCS) for wire port `port` into the ring; it goes with the next [`TxRing::flush`].
    ///
    /// # Errors
    /// [`RingError::Range`] if its length or port is not possible; nothing has changed then. Else as [`TxRing::reclaim`].
    pub fn send(&mut self, frame: &[u8], port: u8) -> Result<SendOutcome, RingError> {
        if !(SHORTEST..=self.longest).contains(&frame.len()) {
            let possible = "at least 14, at most what the ring was made for";
            return Err(RingError::Range { what: "bytes of a frame to send", value: frame.len() as u64, possible });
        }
        if port > 1 {
            return Err(RingError::Range { what: "wire port", value: port.into(), possible: "0 or 1" });
        }
        self.ring.check()?;
        if self.free() == 0 && self.reclaim()? == 0 {
            self.flush();
            return Ok(SendOutcome::Full);
        }
        let entry = usize::from(self.next) & ((1 << self.ring.shape.size_log2) - 1);
        self.ring.memory.write_bytes(self.buffers + entry * self.buffer_bytes, frame);
        let what = frame.len() as u32 | u32::from(port) << 16;
        self.ring.memory.write32(self.ring.descriptor(self.next, DESCRIPTOR) + 8, what);
        self.next = self.next.wrapping_add(1);
        self.ring.stats.bytes += frame.len() as u64;
        Ok(SendOutcome::Queued)
    }

    /// Tells the NIC about frames that it does not know of yet: at most one doorbell.
    pub fn flush(&mut self) {
        if self.flushed != self.next {
            self.flushed = self.next;
            self.ring.doorbell(self.next);
        }
    }

    fn free(&self) -> usize {
        (1 << self.ring.shape.size_log2) - usize::from(self.next.wrapping_sub(self.done))
    }

    /// Frames that have been put in and that the NIC has not read.
    pub fn outstanding(&self) -> usize {
        self.next.wrapping_sub(self.done).into()
    }

    /// Takes back what the NIC has read; gives how many frames there is room for. Reads memory only.
    ///
    /// # Errors
    /// [`RingError::Device`] if the NIC wrote an impossible index: the ring is off then until [`TxRing::restart`]. Else as [`RxQueue::poll`](crate::RxQueue::poll).
    pub fn reclaim(&mut self) -> Result<usize, RingError> {
        self.ring.check()?;
        let index = self.ring.memory.read32(self.ring.shape.answers);
        let read = (index as u16).wrapping_sub(self.done);
        if index > u16::MAX.into() || read > self.flushed.wrapping_sub(self.done) {
            let violation = Violation::WrittenBack { index, from: self.done, to: self.flushed };
            return Err(self.ring.violated(self.done, violation));
        }
        self.done = index as u16;
        self.ring.stats.done += u64::from(read);
        Ok(self.free())
    }

    /// Waits until the NIC has read all frames, by reading a register again and again; gives up after `polls` reads without a frame.
    ///
    /// # Errors
    /// [`RingError::Timeout`] if the NIC stands still, [`RingError::NoAnswer`] if it is gone, [`RingError::Fault`] if it has halted the ring; those of
    /// [`TxRing::reclaim`].
    pub fn drain(&mut self, polls: u32) -> Result<(), RingError> {
        self.flush();
        let mut left = polls;
        let mut before = self.done;
        loop {
            self.reclaim()?;
            if self.done == self.next {
                return Ok(());
            }
            if self.done != before {
                (before, left) = (self.done, polls);
            }
            if left == 0 {
                return Err(self.ring.timeout("reading frames to send", polls));
            }
            left -= 1;
            self.ring.check_device()?;
        }
    }

    /// Waits until the NIC has read more frames, at most for `timeout`; as [`RxQueue::wait`](crate::RxQueue::wait).
    ///
    /// # Errors
    /// As [`RxQueue::wait`](crate::RxQueue::wait).
    pub fn wait(&mut self, timeout: Duration) -> Result<Wake, RingError> {
        let done = self.done;
        self.ring.wait(done, timeout, |ring| ring.memory.read32(ring.shape.answers) != u32::from(done))
    }

    /// For those who wait by themselves: arms the interrupt, and gives whether the NIC has read frames that were not taken back already.
    pub fn arm(&mut self) -> bool {
        self.ring.arm(self.done);
        self.ring.memory.read32(self.ring.shape.answers) != u32::from(self.done)
    }

    /// The interrupt of the ring; `None` if interrupts were not enabled when it was made.
    pub fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        self.ring.interrupt()
    }

    /// Asks the NIC whether the ring is well: one register read, two more if not.
    ///
    /// # Errors
    /// [`RingError::NoAnswer`] if the device is gone, [`RingError::Fault`] if it has halted the ring; those of [`TxRing::reclaim`].
    pub fn check(&self) -> Result<(), RingError> {
        self.ring.check_device()
    }

    /// What the ring has cost; frames count as done when they were taken back.
    pub fn stats(&self) -> RingStats {
        self.ring.stats
    }
}
