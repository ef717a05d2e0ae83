// SPDX-License-Identifier: Apache-2.0
//! The ring of binding events.

use crate::host::{Memory, Shared};
use crate::ring::{Moderation, Owner, Ring, RingStats, Shape, Wake, check_size};
use crate::{RingError, Violation};
use hashgate_device::Interrupt;
use hashgate_nic::{BindingEvent, EVENT_WORDS};
use hashgate_regs::host::EVENTS;
use std::sync::Arc;
use std::time::Duration;

const EVENT: usize = 64;

/// Shape of the ring of binding events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventConfig {
    /// The ring has 2 to the power of this many entries, 4..=15.
    pub size_log2: u8,
    /// When the armed ring asks for its interrupt.
    pub moderation: Moderation,
}

impl Default for EventConfig {
    /// 1024 events.
    fn default() -> EventConfig {
        EventConfig { size_log2: 10, moderation: Moderation::default() }
    }
}

/// The ring of binding events.
pub struct EventRing {
    ring: Ring,
    next: u16,
    /// Events that the NIC may write in total.
    room: u16,
    batch: u16,
    /// Running number of the last event.
    last: Option<u32>,
    lost: u64,
}

impl EventRing {
    pub(crate) fn new(shared: &Arc<Shared>, config: &EventConfig) -> Result<EventRing, RingError> {
        let size = check_size(config.size_log2)?;
        let owner = Owner::new(shared, EVENTS)?;
        let (memory, [answers]) = Memory::new(shared, [size * EVENT])?;
        let shape = Shape {
            number: EVENTS,
            size_log2: config.size_log2,
            buffer_bytes: 0,
            moderation: config.moderation,
            descriptors: answers,
            answers,
            answer_bytes: size * EVENT,
        };
        let ring = Ring::new(owner, memory, shape)?;
        let mut events = EventRing { ring, next: 0, room: 0, batch: size as u16 / 2, last: None, lost: 0 };
        events.restart()?;
        Ok(events)
    }

    /// Starts the ring again, empty: after a fault, a violation or a reset of the host side. Events that were in it and not taken count as lost when the
    /// next one comes. After a full reset of the NIC, whose numbers start at 0, make a new ring instead.
    ///
    /// # Errors
    /// [`RingError::NoAnswer`], [`RingError::Stopped`] and [`RingError::Timeout`] if the device does not do it.
    pub fn restart(&mut self) -> Result<(), RingError> {
        self.ring.start()?;
        (self.next, self.room) = (0, 1 << self.ring.shape.size_log2);
        self.ring.doorbell(self.room);
        Ok(())
    }

    /// Gives up to `budget` events to `take`, oldest first; returns how many. Reads memory only.
    ///
    /// # Errors
    /// As [`RxQueue::poll`](crate::RxQueue::poll).
    pub fn poll(&mut self, budget: usize, mut take: impl FnMut(BindingEvent)) -> Result<usize, RingError> {
        self.ring.check()?;
        let mut taken = 0;
        while taken < budget && self.ring.answered(self.next, EVENT).is_some() {
            match self.event() {
                Ok(event) => take(event),
                Err(violation) => return Err(self.ring.violated(self.next, violation)),
            }
            self.next = self.next.wrapping_add(1);
            self.ring.stats.done += 1;
            taken += 1;
            let room = self.next.wrapping_add(1 << self.ring.shape.size_log2);
            if room.wrapping_sub(self.room) >= self.batch {
                self.room = room;
                self.ring.doorbell(room);
            }
        }
        Ok(taken)
    }

    /// Checks the next event.
    fn event(&mut self) -> Result<BindingEvent, Violation> {
        // Room is given back at half of the ring, so the NIC always has room for the next event.
        debug_assert_ne!(self.next, self.room);
        let at = self.ring.answer(self.next, EVENT);
        let words: [u32; EVENT_WORDS] = std::array::from_fn(|n| self.ring.memory.read32(at + 4 * n));
        let event = BindingEvent::from_words(&words)?;
        if let Some(last) = self.last {
            let gap = event.number.wrapping_sub(last).wrapping_sub(1);
            if gap >= 1 << 31 {
                return Err(Violation::EventNumber { number: event.number, last });
            }
            self.lost += u64::from(gap);
        }
        self.last = Some(event.number);
        Ok(event)
    }

    /// Events that were lost, exactly, between the first and the last one that this ring gave.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Waits until there are events, at most for `timeout`; as [`RxQueue::wait`](crate::RxQueue::wait).
    ///
    /// # Errors
    /// As [`RxQueue::wait`](crate::RxQueue::wait).
    pub fn wait(&mut self, timeout: Duration) -> Result<Wake, RingError> {
        let next = self.next;
        self.ring.wait(next, timeout, |ring| ring.answered(next, EVENT).is_some())
    }

    /// For those who wait by themselves: arms the interrupt, and gives whether there are events already.
    pub fn arm(&mut self) -> bool {
        self.ring.arm(self.next);
        self.ring.answered(self.next, EVENT).is_some()
    }

    /// The interrupt of the ring; `None` if interrupts were not enabled when it was made.
    pub fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        self.ring.interrupt()
    }

    /// Asks the NIC whether the ring is well: one register read, two more if not.
    ///
    /// # Errors
    /// As [`RxQueue::check`](crate::RxQueue::check).
    pub fn check(&self) -> Result<(), RingError> {
        self.ring.check_device()
    }

    /// What the ring has cost.
    pub fn stats(&self) -> RingStats {
        self.ring.stats
    }
}
