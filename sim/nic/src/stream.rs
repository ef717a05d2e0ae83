// SPDX-License-Identifier: Apache-2.0
//! Frames to beats and beats to frames.

use hashgate_regs::defs::{Reason, Verdict};
use hashgate_verilated_sys::Beat;
use std::collections::VecDeque;

/// A frame to arrive at a wire port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireFrame {
    /// From the destination MAC on, without FCS.
    pub data: Vec<u8>,
    /// The MAC marks it as bad.
    pub error: bool,
    /// Idle cycles before it.
    pub gap: u32,
}

impl WireFrame {
    /// A good frame right after the one before.
    pub fn new(data: Vec<u8>) -> WireFrame {
        WireFrame { data, error: false, gap: 0 }
    }
}

/// A frame that the host received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFrame {
    /// From the destination MAC on, without FCS.
    pub data: Vec<u8>,
    /// It turned out bad after its first beats; the host drops it.
    pub aborted: bool,
    /// For the control queue.
    pub control: bool,
    /// Receive queue.
    pub queue: u8,
    /// Why the NIC delivered it.
    pub reason: Reason,
    /// Wire port that received it.
    pub port: u8,
    /// Rule that decided, if any.
    pub rule: Option<u8>,
    /// Bucket of its key, if it had one.
    pub bucket: Option<u16>,
    /// Target that owned it, if any.
    pub target: Option<u16>,
    /// Cycle in which the host took its first beat.
    pub first_beat_cycle: u64,
    /// Cycle in which the host took its last beat.
    pub last_beat_cycle: u64,
}

/// A frame that left a wire port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentFrame {
    /// From the destination MAC on, without FCS.
    pub data: Vec<u8>,
    /// The MAC is told to spoil it.
    pub aborted: bool,
    /// Cycle in which the wire took its first beat.
    pub first_beat_cycle: u64,
    /// Cycle in which the wire took its last beat.
    pub last_beat_cycle: u64,
}

/// What the NIC decided on a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictEvent {
    /// What it did.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Wire port that received the frame.
    pub port: u8,
    /// Wire port that the frame leaves by; has a meaning for [`Verdict::Port`].
    pub out_port: u8,
    /// Receive queue; has a meaning for [`Verdict::Host`].
    pub queue: u8,
    /// For the control queue.
    pub control: bool,
    /// Rule that decided, if any.
    pub rule: Option<u8>,
    /// Bucket of its key, if it had one.
    pub bucket: Option<u16>,
    /// Target that owned it, if any.
    pub target: Option<u16>,
    /// Bytes without FCS, at most 9022.
    pub length: u16,
    /// Beats had left before it was discarded.
    pub aborted: bool,
    /// Generation of the tables that decided, modulo 2.
    pub generation: bool,
    /// Whether it found a live binding: connection, affinity.
    pub found: [bool; 2],
    /// Whether there was no room for a binding that it would have made: connection, affinity.
    pub refused: [bool; 2],
    /// Cycle in which its last beat left the pipeline.
    pub cycle: u64,
}

/// When a frame came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngressStamp {
    /// Wire port.
    pub port: u8,
    /// Cycle of its first beat.
    pub first_beat_cycle: u64,
}

struct Outgoing {
    data: Vec<u8>,
    user: u8,
    gap: u32,
}

/// Sends frames into a stream of the core.
pub(crate) struct Sender {
    beat_bytes: usize,
    queue: VecDeque<Outgoing>,
    /// Bytes of the first frame in the queue that are done.
    done: usize,
    /// The beat offered waits to be taken.
    waiting: bool,
}

impl Sender {
    pub(crate) fn new(beat_bytes: usize) -> Sender {
        Sender { beat_bytes, queue: VecDeque::new(), done: 0, waiting: false }
    }

    /// Queues a frame; `user` goes with its last beat, and with the others unless it is an error mark, which the core
    /// reads on the last beat only.
    pub(crate) fn push(&mut self, data: Vec<u8>, user: u8, gap: u32) {
        assert!(!data.is_empty(), "a frame needs at least one byte on the stream");
        self.queue.push_back(Outgoing { data, user, gap });
    }

    /// Frames not yet taken completely.
    pub(crate) fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Puts the beat of this cycle on the stream. True if it is offered for the first time and begins a frame.
    pub(crate) fn offer(&mut self, beat: &mut Beat) -> bool {
        if self.waiting {
            return false;
        }
        let Some(frame) = self.queue.front_mut() else {
            beat.valid = 0;
            return false;
        };
        if self.done == 0 && frame.gap > 0 {
            frame.gap -= 1;
            beat.valid = 0;
            return false;
        }
        let left = frame.data.len() - self.done;
        let bytes = left.min(self.beat_bytes);
        beat.data[..bytes].copy_from_slice(&frame.data[self.done..self.done + bytes]);
        // Bytes that are not kept: a value that shows if somebody uses them.
        beat.data[bytes..self.beat_bytes].fill(0xa5);
        beat.keep = full_keep(bytes);
        beat.last = (left <= self.beat_bytes).into();
        beat.user = frame.user;
        beat.valid = 1;
        self.waiting = true;
        self.done == 0
    }

    /// The beat offered was taken.
    pub(crate) fn taken(&mut self) {
        self.waiting = false;
        self.done += self.beat_bytes;
        if self.queue.front().is_some_and(|frame| self.done >= frame.data.len()) {
            self.queue.pop_front();
            self.done = 0;
        }
    }
}

/// A frame received completely.
pub(crate) struct Incoming {
    pub(crate) data: Vec<u8>,
    pub(crate) first_beat_cycle: u64,
}

/// Collects the frames of a stream of the core, and checks the rules of streams.
pub(crate) struct Receiver {
    beat_bytes: usize,
    data: Vec<u8>,
    first_beat_cycle: u64,
    /// The beat that was offered in the last cycle and not taken.
    held: Option<Beat>,
}

impl Receiver {
    pub(crate) fn new(beat_bytes: usize) -> Receiver {
        Receiver { beat_bytes, data: Vec::new(), first_beat_cycle: 0, held: None }
    }

    /// Looks at the beat of this cycle; gives the frame if it was taken and is the last.
    pub(crate) fn take(&mut self, beat: &Beat, ready: bool, cycle: u64) -> Option<Incoming> {
        if let Some(held) = self.held.take() {
            assert!(beat.valid != 0, "cycle {cycle}: a beat went away before it was taken");
            let bytes = self.beat_bytes;
            let same = held.data[..bytes] == beat.data[..bytes]
                && (held.keep, held.last, held.user) == (beat.keep, beat.last, beat.user);
            assert!(same, "cycle {cycle}: a beat changed before it was taken");
        }
        if beat.valid == 0 {
            return None;
        }
        if !ready {
            self.held = Some(*beat);
            return None;
        }
        let bytes = beat.keep.trailing_ones() as usize;
        let full = beat.last != 0 || bytes == self.beat_bytes;
        assert!(
            bytes > 0 && full && beat.keep == full_keep(bytes),
            "cycle {cycle}: a beat keeps {:#x} of its bytes (last: {}): they must be the first ones, and all but on the last beat",
            beat.keep,
            beat.last
        );
        if self.data.is_empty() {
            self.first_beat_cycle = cycle;
        }
        self.data.extend_from_slice(&beat.data[..bytes]);
        (beat.last != 0)
            .then(|| Incoming { data: std::mem::take(&mut self.data), first_beat_cycle: self.first_beat_cycle })
    }
}

/// The lowest `bytes` bits, 1..=64.
fn full_keep(bytes: usize) -> u64 {
    u64::MAX >> (64 - bytes)
}
