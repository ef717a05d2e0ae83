// SPDX-License-Identifier: Apache-2.0
//! What is checked in every cycle: answers when they become visible, and interrupts.

use crate::bench::{Bench, RECEIVE, RINGS};
use crate::host::{Completion, Kind, MoverAnswer};
use crate::{Random, memory::Applied};

/// Cycles that an interrupt may come late.
const SLACK: u64 = 400;
/// Cycles within which the NIC has to take the time of the first beat.
const TIME_CYCLES: u64 = 4;

/// Interrupt of one ring.
#[derive(Clone, Copy, Debug, Default)]
struct Vector {
    /// Index that it is armed at, and since when.
    armed: Option<(u16, u64)>,
    /// It is being armed.
    arming: Option<u16>,
    /// It asked while it was being armed: whether it is armed is not known.
    unknown: bool,
}

/// All interrupts.
#[derive(Default)]
pub(crate) struct Interrupts {
    vectors: [Vector; RINGS],
    /// Requests in the cycle before, and those that were acknowledged in it.
    before: u16,
    acked_before: u16,
    acked: u16,
    /// Cycles and vectors of requests.
    pub log: Vec<(u64, usize)>,
    /// Acknowledged only when told.
    pub hold: bool,
    /// There has been a fault that is not cleared.
    pub fault: bool,
}

impl Interrupts {
    /// Acknowledgements of this cycle, at random.
    pub(crate) fn acknowledge(&mut self, random: &mut Random) -> u16 {
        self.acked_before = self.acked;
        let waiting = self.before & !self.acked;
        self.acked = if self.hold || waiting == 0 { 0 } else { waiting & random.next() as u16 };
        self.acked
    }

    pub(crate) fn begin_arm(&mut self, ring: usize, index: u16) {
        self.vectors[ring].arming = Some(index);
        self.vectors[ring].unknown = false;
    }

    pub(crate) fn end_arm(&mut self, ring: usize, cycle: u64) {
        let vector = &mut self.vectors[ring];
        let index = vector.arming.take().expect("it was begun");
        vector.armed = Some((index, cycle));
    }

    /// The ring begins anew.
    pub(crate) fn forget(&mut self, ring: usize) {
        self.vectors[ring] = Vector::default();
    }

    pub(crate) fn forget_all(&mut self) {
        self.vectors = Default::default();
        self.fault = false;
    }

    /// It may still ask.
    pub(crate) fn armed(&self, ring: usize) -> bool {
        self.vectors[ring].armed.is_some()
    }
}

impl Bench {
    pub(crate) fn observe_interrupts(&mut self) {
        let requests = self.output.interrupt_req;
        let before = self.interrupts.before;
        let again = before & self.interrupts.acked_before;
        let lost = before & !again & !requests;
        self.interrupts.before = requests;
        if self.resetting {
            return;
        }
        assert!(lost == 0, "cycle {}: interrupts {lost:#x} taken back before they were acknowledged", self.cycle);
        let risen = requests & (!before | again);
        for vector in (0..16).filter(|vector| risen >> vector & 1 == 1) {
            self.interrupts.log.push((self.cycle, vector));
            match vector {
                0..RINGS => self.interrupt(vector),
                15 => assert!(self.interrupts.fault, "cycle {}: vector 15 without a fault", self.cycle),
                _ => panic!("cycle {}: vector {vector} belongs to nothing", self.cycle),
            }
        }
        if self.cycle.is_multiple_of(64) {
            (0..RINGS).for_each(|ring| self.check_not_lost(ring));
        }
    }

    /// Answers at or beyond an index, and the cycle in which the oldest of them became visible.
    fn waiting(&self, ring: usize, index: u16) -> (u16, u64) {
        let Some(ring) = &self.rings[ring] else { return (0, 0) };
        let there = (ring.visible as u16).wrapping_sub(index);
        if there == 0 || there > 1 << 15 {
            return (0, 0);
        }
        let oldest = ring.visible - u64::from(there);
        let since = ring.visible_at.iter().find(|(last, _)| *last > oldest).map_or(0, |(_, cycle)| *cycle);
        (there, since)
    }

    fn interrupt(&mut self, number: usize) {
        let vector = self.interrupts.vectors[number];
        let Some(ring) = &self.rings[number] else {
            panic!("cycle {}: interrupt of ring {number}, which is not enabled", self.cycle)
        };
        let (holdoff, count) = ring.moderation;
        let mut reasons = Vec::new();
        for index in [vector.armed.map(|(index, _)| index), vector.arming].into_iter().flatten() {
            let (there, since) = self.waiting(number, index);
            if there == 0 {
                reasons.push(format!("no answer at or beyond {index}"));
            } else if there < u16::from(count.max(1)) && self.cycle < since + u64::from(holdoff) {
                reasons.push(format!("{there} of {count} answers, for {} of {holdoff} cycles", self.cycle - since));
            } else {
                let arming = vector.arming.is_some();
                self.interrupts.vectors[number] = crate::monitor::Vector { armed: None, unknown: arming, ..vector };
                return;
            }
        }
        panic!(
            "cycle {}: interrupt of ring {number}: {}",
            self.cycle,
            if reasons.is_empty() { "not armed".into() } else { reasons.join("; ") }
        );
    }

    fn check_not_lost(&self, number: usize) {
        let vector = self.interrupts.vectors[number];
        let (Some((index, armed)), false) = (vector.armed, vector.unknown) else { return };
        let (there, since) = self.waiting(number, index);
        let Some(ring) = &self.rings[number] else { return };
        if there == 0 || ring.halted {
            return;
        }
        let (holdoff, count) = ring.moderation;
        let enough = there >= u16::from(count.max(1));
        // When the last one came is at most now, so the count alone says nothing about how long ago.
        let last = ring.visible_at.back().map_or(0, |(_, cycle)| *cycle);
        let due = if enough { last.max(armed) } else { since.max(armed) + u64::from(holdoff) };
        let due = due.min(since.max(armed) + u64::from(holdoff));
        let held = self.interrupts.before >> number & 1 == 1;
        assert!(
            held || self.cycle < due + SLACK,
            "cycle {}: interrupt of ring {number} lost: armed at {index} in cycle {armed}, {there} answers since {since}",
            self.cycle
        );
    }

    /// Answers that have become visible.
    pub(crate) fn observe_memory(&mut self) {
        if self.memory.applied.is_empty() {
            return;
        }
        for applied in std::mem::take(&mut self.memory.applied) {
            let at = |ring: &crate::Ring| ring.answers_range().contains(&applied.address);
            let found = (0..RINGS).find(|&number| self.rings[number].as_ref().is_some_and(at));
            let Some(number) = found.filter(|_| !self.resetting) else { continue };
            match Bench::kind(number) {
                Kind::Transmit => self.transmit_index(number, applied),
                kind => {
                    let entry = kind.answer_bytes();
                    loop {
                        let ring = self.rings[number].as_ref().expect("it was found");
                        let at = ring.answer_address(ring.visible);
                        let last = self.memory.word(at + entry - 4);
                        if (last >> 31 == 1) != ring.phase(ring.visible) {
                            break;
                        }
                        self.answer(number, at, applied);
                    }
                }
            }
        }
    }

    fn seen(&mut self, number: usize, now: u64, applied: Applied) {
        let ring = self.rings[number].as_mut().expect("it answers");
        ring.visible = now;
        ring.visible_at.push_back((now, applied.visible));
        if ring.visible_at.len() > 1024 {
            ring.visible_at.pop_front();
        }
    }

    fn transmit_index(&mut self, number: usize, applied: Applied) {
        let cycle = self.cycle;
        let ring = self.rings[number].as_mut().expect("it answers");
        let value = self.memory.word(ring.answers);
        assert!(value < 1 << 16, "cycle {cycle}: index {value:#x} of ring {number}");
        let passed = (value as u16).wrapping_sub(ring.visible as u16);
        let now = ring.visible + u64::from(passed);
        assert!(
            passed > 0 && now <= ring.posted,
            "cycle {cycle}: ring {number}: index {value} after {}",
            ring.visible as u16
        );
        for _ in 0..passed {
            let (address, length) = ring.transmit.pop_front().expect("it was posted");
            let Some(address) = address else { continue };
            let region = self.memory.revoke(address);
            assert!(
                region.read >= length,
                "cycle {cycle}: ring {number}: index before the frame at {address:#x} was read ({} of {length} bytes)",
                region.read
            );
        }
        self.seen(number, now, applied);
    }

    fn answer(&mut self, number: usize, at: u64, applied: Applied) {
        let kind = Bench::kind(number);
        let ring = self.rings[number].as_ref().expect("it answers");
        let index = ring.visible;
        let words: Vec<u32> = self
            .memory
            .get(at, kind.answer_bytes() as usize)
            .chunks(4)
            .map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")))
            .collect();
        self.seen(number, index + 1, applied);
        match kind {
            Kind::Receive => self.completion(number, index, &words, applied),
            Kind::Events => {
                let ring = self.rings[number].as_ref().expect("it answers");
                assert!(index < ring.posted, "cycle {}: event {index} without room", self.cycle);
                let event =
                    self.popped.pop_front().unwrap_or_else(|| panic!("cycle {}: an event of nothing", self.cycle));
                assert_eq!(words[..14], event, "cycle {}: event {index}", self.cycle);
                assert_eq!((words[14], words[15] & 0x7fff_ffff), (0, 0), "cycle {}: event {index}", self.cycle);
                self.events_seen += 1;
            }
            Kind::Mover => {
                let ring = self.rings[number].as_mut().expect("it answers");
                assert!(index < ring.posted, "cycle {}: completion of a command that was not given", self.cycle);
                let rest = (words[0] >> 24, words[2], words[3] & 0x7fff_ffff);
                assert_eq!((words[0] as u16, rest), (index as u16, (0, 0, 0)), "cycle {}: mover", self.cycle);
                let answer = MoverAnswer { status: (words[0] >> 16) as u8, crc: words[1] };
                ring.mover_answers.push_back(answer);
                let target = ring.mover_targets.pop_front().expect("a command was given");
                if let Some(target) = target {
                    let region = self.memory.revoke(target);
                    assert!(
                        region.answered <= applied.asked,
                        "cycle {}: mover: completion before its data",
                        self.cycle
                    );
                }
            }
            Kind::Transmit => unreachable!("it has an index"),
        }
    }

    fn completion(&mut self, number: usize, index: u64, words: &[u32], applied: Applied) {
        let cycle = self.cycle;
        let ring = self.rings[number].as_mut().expect("it answers");
        assert!(
            number < RECEIVE && index < ring.posted,
            "cycle {cycle}: ring {number}: completion {index} without a buffer"
        );
        let (buffer_bytes, earlier) = (ring.buffer, ring.earlier_drops);
        let buffer = ring.receive.pop_front().expect("it was posted");
        let entry = ring.base + 8 * (index % ring.size());
        let region = self.memory.revoke(buffer);
        assert!(
            region.answered <= applied.asked,
            "cycle {cycle}: ring {number}: completion {index} asked for in cycle {}, before the response to its data in cycle {}",
            applied.asked,
            region.answered
        );
        // The entry is not the NIC's any more.
        self.memory.put(entry, &[0xff; 8]);
        let length = words[2] & 0xffff;
        let data = self.memory.get(buffer, length as usize);
        let sent = &mut self.sent[number];
        let skipped = sent.iter().position(|sent| !sent.frame.abort && sent.frame.data == data);
        let Some(skipped) = skipped else {
            let first = sent.iter().find(|sent| !sent.frame.abort);
            panic!(
                "cycle {cycle}: ring {number}: completion {index}: no frame of {length} bytes with its data; the next has {:?}, {} wait; it differs at {:?}",
                first.map(|sent| sent.frame.data.len()),
                sent.len(),
                first.and_then(
                    |sent| (0..data.len().min(sent.frame.data.len())).find(|&at| data[at] != sent.frame.data[at])
                )
            )
        };
        sent.drain(..skipped);
        let sent = sent.pop_front().expect("it was found");
        let waiting = self.sent[number].len() as u64;
        let frame = &sent.frame;
        let context = format!("cycle {cycle}: ring {number}: completion {index}");
        let time = u64::from(words[0]) | u64::from(words[1]) << 32;
        let times = Bench::time_of(sent.first)..=Bench::time_of(sent.first + TIME_CYCLES);
        assert!(times.contains(&time), "{context}: time {time}, the frame came at {times:?}");
        let valid = u32::from(frame.rule >> 7) << 29
            | u32::from(frame.bucket >> 12) << 30
            | u32::from(frame.target >> 10) << 31;
        let flags =
            u32::from(frame.reason) << 16 | u32::from(frame.port) << 24 | u32::from(frame.control) << 25 | valid;
        assert_eq!(words[2], flags | length, "{context}: word 2");
        if frame.rule >> 7 == 1 {
            assert_eq!(words[3] as u16, u16::from(frame.rule & 0x7f), "{context}: rule");
        }
        if frame.bucket >> 12 == 1 {
            assert_eq!(words[3] >> 16, u32::from(frame.bucket & 0xfff), "{context}: bucket");
        }
        if frame.target >> 10 == 1 {
            assert_eq!(words[4] as u16, frame.target & 0x3ff, "{context}: target");
        }
        assert_eq!((words[3] & 0xf000_ff80, words[4] & 0xfc00), (0, 0), "{context}: reserved bits");
        assert_eq!(words[4] >> 16, index as u32 & 0xffff, "{context}: index of the descriptor");
        assert_eq!((words[5], words[6], words[7] & 0x7fff_0000), (0, 0, 0), "{context}: reserved bits");
        assert!(u64::from(length) <= buffer_bytes, "{context}: {length} bytes in a buffer of {buffer_bytes}");
        let end = buffer + u64::from(length).next_multiple_of(64);
        assert!(
            skipped > 0 || region.written <= end,
            "{context}: written up to {:#x}, beyond {end:#x}",
            region.written
        );
        let ring = self.rings[number].as_mut().expect("it answers");
        ring.missing += skipped as u64;
        // What came after this frame may or may not be counted yet.
        let (low, high) = (ring.missing.saturating_sub(earlier), ring.missing + waiting);
        let drops = u64::from(words[7] as u16);
        let possible = (drops.wrapping_sub(low) & 0xffff) <= high - low;
        assert!(possible, "{context}: {drops} drops, there are {low}..={high}");
        ring.completions.push_back(Completion {
            index: index as u16,
            buffer,
            frame: sent.frame,
            drops: words[7] as u16,
            time,
        });
    }
}
