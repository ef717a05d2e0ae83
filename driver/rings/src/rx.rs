// SPDX-License-Identifier: Apache-2.0
//! Receive rings.

use crate::host::{Memory, Shared};
use crate::ring::{Moderation, Owner, Ring, RingStats, Shape, Wake, check_size};
use crate::{RingError, Violation};
use hashgate_device::{DmaMemory, Interrupt};
use hashgate_regs::defs::Reason;
use std::sync::Arc;
use std::time::Duration;

const DESCRIPTOR: usize = 8;
const COMPLETION: usize = 32;
/// Of the buffers of a ring this part goes back to the NIC with one doorbell: 16 from 64 entries on.
const BATCH: u16 = 4;

/// Shape of a receive ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxConfig {
    /// The ring has 2 to the power of this many entries, 4..=15, each with a buffer.
    pub size_log2: u8,
    /// Bytes of a buffer, a multiple of 64, 64..=16384. Longer frames are dropped by the NIC.
    pub buffer_bytes: usize,
    /// When an armed ring asks for its interrupt.
    pub moderation: Moderation,
}

impl Default for RxConfig {
    /// 512 buffers of 2048 bytes.
    fn default() -> RxConfig {
        RxConfig { size_log2: 9, buffer_bytes: 2048, moderation: Moderation::default() }
    }
}

/// What the NIC says about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxInfo {
    /// NIC time when its first beat left the core, ns.
    pub time_ns: u64,
    /// Why it goes to the host.
    pub reason: Reason,
    /// Wire port that it came in by.
    pub port: u8,
    /// It is of the control class.
    pub control: bool,
    /// Rule that decided.
    pub rule: Option<u8>,
    /// Its bucket.
    pub bucket: Option<u16>,
    /// Its target.
    pub target: Option<u16>,
}

/// A frame in a buffer of the ring, as long as the callback of [`RxQueue::poll`] lasts. The device can still write to the buffer, so bytes are
/// copied out before they are looked at.
pub struct RxFrame<'a> {
    /// What the NIC says about it.
    pub info: RxInfo,
    memory: &'a DmaMemory,
    offset: usize,
    length: usize,
}

impl RxFrame<'_> {
    /// Bytes, 1 to those of a buffer.
    #[allow(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Copies as much of the frame as fits; gives how much that is.
    pub fn copy_to(&self, bytes: &mut [u8]) -> usize {
        let length = self.length.min(bytes.len());
        self.memory.read_bytes(self.offset, &mut bytes[..length]);
        length
    }

    /// Makes `bytes` hold the frame; allocates only if its capacity is too small.
    pub fn copy_to_vec(&self, bytes: &mut Vec<u8>) {
        bytes.resize(self.length, 0);
        self.memory.read_bytes(self.offset, bytes);
    }
}

/// A receive ring. Its buffers are its own: a buffer belongs to an entry for good, so that descriptors are written once.
pub struct RxQueue {
    ring: Ring,
    buffers: usize,
    /// Index of the next completion.
    next: u16,
    /// Index behind the last descriptor that the NIC has.
    posted: u16,
    batch: u16,
    /// The running counter of drops, and the sum of its steps.
    last_dropped: u16,
    dropped: u64,
}

impl RxQueue {
    pub(crate) fn new(shared: &Arc<Shared>, number: usize, config: &RxConfig) -> Result<RxQueue, RingError> {
        let size = check_size(config.size_log2)?;
        let bytes = config.buffer_bytes;
        if !bytes.is_multiple_of(64) || !(64..=16384).contains(&bytes) {
            let possible = "a multiple of 64, 64 to 16384";
            return Err(RingError::Range { what: "bytes of a receive buffer", value: bytes as u64, possible });
        }
        let owner = Owner::new(shared, number)?;
        let (memory, [descriptors, answers, buffers]) =
            Memory::new(shared, [size * DESCRIPTOR, size * COMPLETION, size * bytes])?;
        for n in 0..size {
            memory.write64(descriptors + n * DESCRIPTOR, memory.iova(buffers + n * bytes));
        }
        let shape = Shape {
            number,
            size_log2: config.size_log2,
            buffer_bytes: bytes,
            moderation: config.moderation,
            descriptors,
            answers,
            answer_bytes: size * COMPLETION,
        };
        let ring = Ring::new(owner, memory, shape)?;
        let batch = size as u16 / BATCH;
        let mut queue = RxQueue { ring, buffers, next: 0, posted: 0, batch, last_dropped: 0, dropped: 0 };
        queue.restart()?;
        Ok(queue)
    }

    /// Starts the ring again, empty: after a fault, a violation or a reset of the host side. Counters go on.
    ///
    /// # Errors
    /// [`RingError::NoAnswer`], [`RingError::Stopped`] and [`RingError::Timeout`] if the device does not do it.
    pub fn restart(&mut self) -> Result<(), RingError> {
        self.ring.start()?;
        (self.next, self.last_dropped) = (0, 0);
        self.posted = 1 << self.ring.shape.size_log2;
        self.ring.doorbell(self.posted);
        Ok(())
    }

    /// Gives up to `budget` frames to `take`, oldest first; returns how many. Reads memory only; buffers go back to the NIC in batches of a
    /// quarter of the ring, so that from 64 entries on there is less than a doorbell for ten frames.
    ///
    /// # Errors
    /// [`RingError::Device`] if the NIC wrote what cannot be: the ring is off then until [`RxQueue::restart`]. [`RingError::NoAnswer`], [`RingError::Reset`] and
    /// [`RingError::Stopped`] if it was found before that the device is gone, reset or stopped; that itself takes [`RxQueue::check`] or a wait.
    pub fn poll(&mut self, budget: usize, mut take: impl FnMut(RxFrame<'_>)) -> Result<usize, RingError> {
        self.ring.check()?;
        let mut taken = 0;
        while taken < budget {
            let Some(last) = self.ring.answered(self.next, COMPLETION) else { break };
            match self.completion(last) {
                Ok((info, length)) => {
                    let buffer = usize::from(self.next) & ((1 << self.ring.shape.size_log2) - 1);
                    let offset = self.buffers + buffer * self.ring.shape.buffer_bytes;
                    self.ring.stats.done += 1;
                    self.ring.stats.bytes += length as u64;
                    take(RxFrame { info, memory: self.ring.memory.memory(), offset, length });
                }
                Err(violation) => return Err(self.ring.violated(self.next, violation)),
            }
            self.next = self.next.wrapping_add(1);
            taken += 1;
            self.refill();
        }
        Ok(taken)
    }

    /// Checks the next completion, whose last word is `last`.
    fn completion(&mut self, last: u32) -> Result<(RxInfo, usize), Violation> {
        // The batch is smaller than the ring, so the NIC always has a descriptor for the next completion.
        debug_assert_ne!(self.next, self.posted);
        let at = self.ring.answer(self.next, COMPLETION);
        let word = |n: usize| self.ring.memory.read32(at + 4 * n);
        let (what, place, target) = (word(2), word(3), word(4));
        let index = (target >> 16) as u16;
        if index != self.next {
            return Err(Violation::Index { index, expected: self.next });
        }
        let (length, buffer) = ((what & 0xffff) as usize, self.ring.shape.buffer_bytes);
        if length == 0 || length > buffer {
            return Err(Violation::Length { length, buffer });
        }
        let info = RxInfo {
            time_ns: u64::from(word(1)) << 32 | u64::from(word(0)),
            reason: Reason::try_from((what >> 16) as u8)?,
            port: (what >> 24 & 1) as u8,
            control: what >> 25 & 1 == 1,
            rule: (what >> 29 & 1 == 1).then_some((place & 0x7f) as u8),
            bucket: (what >> 30 & 1 == 1).then_some((place >> 16 & 0xfff) as u16),
            target: (what >> 31 & 1 == 1).then_some((target & 0x3ff) as u16),
        };
        let dropped = last as u16;
        self.dropped += u64::from(dropped.wrapping_sub(self.last_dropped));
        self.last_dropped = dropped;
        Ok((info, length))
    }

    fn refill(&mut self) {
        let free = self.next.wrapping_add(1 << self.ring.shape.size_log2);
        if free.wrapping_sub(self.posted) >= self.batch {
            self.posted = free;
            self.ring.doorbell(free);
        }
    }

    /// Waits until there are frames, at most for `timeout`: arms the interrupt, looks into memory again, waits. A lost interrupt costs the time-out, no more.
    ///
    /// # Errors
    /// [`RingError::NoInterrupts`] if they were not enabled when the ring was made; after the time-out what [`RxQueue::check`] finds.
    pub fn wait(&mut self, timeout: Duration) -> Result<Wake, RingError> {
        let next = self.next;
        self.ring.wait(next, timeout, |ring| ring.answered(next, COMPLETION).is_some())
    }

    /// For those who wait by themselves, for example on many file descriptors: arms the interrupt, and gives whether there are frames already.
    pub fn arm(&mut self) -> bool {
        self.ring.arm(self.next);
        self.ring.answered(self.next, COMPLETION).is_some()
    }

    /// The interrupt of the ring; `None` if interrupts were not enabled when it was made.
    pub fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        self.ring.interrupt()
    }

    /// Asks the NIC whether the ring is well: one register read, two more if not. For those who poll: once in a while.
    ///
    /// # Errors
    /// [`RingError::NoAnswer`] if the device is gone, [`RingError::Fault`] if it has halted the ring; those of [`RxQueue::poll`].
    pub fn check(&self) -> Result<(), RingError> {
        self.ring.check_device()
    }

    /// Frames for this ring that the NIC dropped since the ring was made, up to the last frame that came; drops between that and a restart are not in it.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What the ring has cost.
    pub fn stats(&self) -> RingStats {
        self.ring.stats
    }
}
