// SPDX-License-Identifier: Apache-2.0
//! A host interface in plain Rust, cycle by cycle at its ports, one thing at a time and without a thought for speed. It stands in for the
//! RTL in tests of the bench: with a [`Bug`] put in, the bench must complain.

use crate::bench::RECEIVE;
use crate::host::reg;
use hashgate_verilated_sys::{HostIn, HostOut};
use std::collections::VecDeque;

/// What is wrong with a stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Bug {
    None,
    CompletionBeforeData,
    PhaseStays,
    BurstAcross4K,
    DropNotCounted,
    AbortedKeepsBuffer,
    AbortedDelivered,
    ErrorIgnored,
    InterruptBeforeCompletion,
    InterruptNotDisarmed,
    InterruptLost,
    ModerationIgnored,
    ResetKeepsIndex,
    MoverCrc,
    Alignment,
    IndexBeforeRead,
    WrongQueue,
    EventTwice,
    TimeOfLastBeat,
    BeyondFrame,
}

#[derive(Clone, Copy, Default)]
struct Ring {
    enabled: bool,
    log2: u32,
    buffer: u32,
    base: u64,
    answers: u64,
    moderation: u32,
    producer: u16,
    taken: u16,
    answered: u16,
    phase_round: u32,
    index: u16,
    armed: bool,
    oldest: Option<u64>,
    drops: [u32; 4],
}

impl Ring {
    fn size(&self) -> u16 {
        1 << self.log2
    }

    fn free(&self) -> u16 {
        self.producer.wrapping_sub(self.taken)
    }
}

struct Received {
    ring: usize,
    data: Vec<u8>,
    words: [u32; 5],
}

enum Job {
    Receive(Received, u64),
    Transmit(usize, u64, u32),
    Event,
    Mover([u32; 8], Vec<u32>, u32),
}

/// A transfer of bytes, in bursts.
struct Transfer {
    write: bool,
    address: u64,
    bytes: Vec<u8>,
    /// Bytes asked for, done, and of the burst under way.
    done: usize,
    burst: usize,
    offered: bool,
    asked: bool,
    beat: usize,
    data_done: bool,
    /// A beat of the burst was answered with an error.
    failed: Option<u64>,
    error: Option<u64>,
}

/// The stand-in.
pub struct StandIn {
    bug: Bug,
    width: usize,
    cycle: u64,
    rings: [Ring; 13],
    faults: u32,
    fault_address: u64,
    tx_bad: u32,
    reason_queue: [u32; 8],
    spread: [u32; 16],
    // registers
    answer_write: bool,
    answer_read: Option<u32>,
    // frames
    collecting: Vec<u8>,
    first: (u64, usize),
    received: VecDeque<Received>,
    wire: [VecDeque<(Vec<u8>, u8, usize)>; 2],
    // work
    job: Option<(Job, u32)>,
    transfer: Option<Transfer>,
    turn: usize,
    moving: (u32, u32),
    event_pop: bool,
    event: [u32; 14],
    resetting: bool,
    waiting: u32,
    requests: u16,
}

impl StandIn {
    /// One with beats of so many bytes.
    pub fn new(width: usize, bug: Bug) -> StandIn {
        StandIn {
            bug,
            width,
            cycle: 0,
            rings: Default::default(),
            faults: 0,
            fault_address: 0,
            tx_bad: 0,
            reason_queue: [!0; 8],
            spread: [0; 16],
            answer_write: false,
            answer_read: None,
            collecting: Vec::new(),
            first: (0, 0),
            received: VecDeque::new(),
            wire: Default::default(),
            job: None,
            transfer: None,
            turn: 0,
            moving: (0, 0),
            event_pop: false,
            event: [0; 14],
            resetting: false,
            waiting: 0,
            requests: 0,
        }
    }

    /// A cycle.
    pub fn step(&mut self, i: &HostIn, o: &mut HostOut) {
        *o = HostOut::default();
        self.registers(i, o);
        self.receive(i, o);
        self.transmit(i, o);
        o.event_enable = self.rings[11].enabled.into();
        o.event_pop = self.event_pop.into();
        self.event_pop = false;
        o.interrupt_req = self.requests;
        self.requests &= !i.interrupt_ack;
        let requested = i.host_rst != 0;
        if self.transfer.is_some() {
            self.bus(i, o);
        }
        let over = self.transfer.as_ref().is_none_or(|t| t.done >= t.bytes.len() || t.error.is_some());
        if over && !self.resetting {
            self.work(i, o);
        }
        if requested {
            self.reset();
        }
        if self.resetting {
            self.waiting += 1;
            let rests = self.transfer.as_ref().is_none_or(|t| !t.offered);
            if rests {
                self.transfer = None;
                self.resetting = false;
                self.waiting = 0;
            }
        }
        self.interrupts();
        self.cycle += 1;
    }

    fn reset(&mut self) {
        self.resetting = true;
        let kept = self.rings[0].taken;
        self.rings = Default::default();
        if self.bug == Bug::ResetKeepsIndex {
            self.rings[0].taken = kept;
        }
        self.faults = 0;
        self.requests = 0;
        self.received.clear();
        self.job = None;
        for wire in &mut self.wire {
            wire.retain(|frame| frame.2 > 0);
        }
    }

    // ---- registers -----------------------------------------------------------------------------------------------------

    fn registers(&mut self, i: &HostIn, o: &mut HostOut) {
        o.bvalid = self.answer_write.into();
        o.rvalid = self.answer_read.is_some().into();
        o.rdata = self.answer_read.unwrap_or(0);
        if i.awvalid != 0 && i.wvalid != 0 && !self.answer_write {
            (o.awready, o.wready) = (1, 1);
            self.write(u32::from(i.awaddr) + 0x1000, i.wdata);
            self.answer_write = true;
        } else if i.bready != 0 {
            self.answer_write = false;
        }
        if i.arvalid != 0 && self.answer_read.is_none() {
            o.arready = 1;
            self.answer_read = Some(self.read(u32::from(i.araddr) + 0x1000));
        } else if i.rready != 0 {
            self.answer_read = None;
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        match offset {
            reg::HOST_RESET if value & 1 == 1 => self.reset(),
            reg::RING_FAULT => self.faults &= !value,
            0x1040..0x1060 => self.reason_queue[(offset as usize - 0x1040) / 4] = value,
            0x1080..0x10c0 => self.spread[(offset as usize - 0x1080) / 4] = value,
            0x1400.. => self.write_ring((offset as usize - 0x1400) / 0x40, offset & 0x3f, value),
            _ => {}
        }
    }

    fn write_ring(&mut self, number: usize, register: u32, value: u32) {
        let halted = self.faults >> number & 1 == 1;
        let Some(ring) = self.rings.get_mut(number) else { return };
        let half = |old: u64, high: bool| {
            if high { old & 0xffff_ffff | u64::from(value) << 32 } else { old & !0xffff_ffff | u64::from(value) }
        };
        match register {
            reg::CONTROL if value & 1 == 0 => ring.enabled = false,
            reg::CONTROL if self.resetting || halted => {}
            reg::CONTROL => {
                let keep = (ring.drops[1], ring.taken);
                ring.enabled = true;
                (ring.producer, ring.taken, ring.answered, ring.armed, ring.oldest) = (0, 0, 0, false, None);
                ring.phase_round = 0;
                ring.drops = [0, keep.0, 0, 0];
                if self.bug == Bug::ResetKeepsIndex {
                    ring.taken = keep.1;
                }
            }
            reg::SIZE => (ring.log2, ring.buffer) = (value & 15, value >> 16 << 6),
            reg::BASE => ring.base = half(ring.base, false),
            0x0c => ring.base = half(ring.base, true),
            reg::ANSWERS => ring.answers = half(ring.answers, false),
            0x14 => ring.answers = half(ring.answers, true),
            reg::MODERATION => ring.moderation = value,
            reg::INTERRUPT => {
                ring.index = value as u16;
                ring.armed |= value >> 16 & 1 == 1;
                ring.oldest = None;
            }
            reg::PRODUCER => {
                let done = ring.answered;
                if (value as u16).wrapping_sub(done) > ring.size() {
                    self.faults |= 1 << number;
                    self.requests |= 1 << 15;
                } else {
                    ring.producer = value as u16;
                }
            }
            _ => {}
        }
    }

    fn read(&self, offset: u32) -> u32 {
        let busy = |number: usize| self.job_ring() == Some(number) || self.received.iter().any(|r| r.ring == number);
        match offset {
            reg::HOST_ID => 0x4847_444d,
            reg::HOST_BUILD => 8 | 13 << 8 | 16 << 16,
            reg::HOST_STATUS => {
                u32::from(self.resetting)
                    | u32::from(self.waiting >= 1 << 20) << 1
                    | u32::from(self.transfer.is_some()) << 2
            }
            reg::RING_FAULT => self.faults,
            reg::RING_RUNNING => (0..13).fold(0, |bits, n| bits | u32::from(self.rings[n].enabled || busy(n)) << n),
            reg::FAULT_ADDRESS => self.fault_address as u32,
            0x101c => (self.fault_address >> 32) as u32,
            reg::TX_BAD => self.tx_bad,
            0x1400.. => {
                let Some(ring) = self.rings.get((offset as usize - 0x1400) / 0x40) else { return 0 };
                match offset & 0x3f {
                    reg::CONTROL => ring.enabled.into(),
                    reg::SIZE => ring.log2 | ring.buffer >> 6 << 16,
                    reg::BASE => ring.base as u32,
                    0x0c => (ring.base >> 32) as u32,
                    reg::ANSWERS => ring.answers as u32,
                    0x14 => (ring.answers >> 32) as u32,
                    reg::PRODUCER => ring.producer.into(),
                    reg::CONSUMER => ring.taken.into(),
                    reg::MODERATION => ring.moderation,
                    reg::DROPPED_FULL => ring.drops[0],
                    reg::DROPPED_DOWN => ring.drops[1],
                    reg::DROPPED_LONG => ring.drops[2],
                    reg::DROPPED_ABORTED => ring.drops[3],
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    // ---- streams -------------------------------------------------------------------------------------------------------

    fn receive(&mut self, i: &HostIn, o: &mut HostOut) {
        o.rx_ready = 1;
        if i.rx_valid == 0 {
            return;
        }
        if self.collecting.is_empty() || self.bug == Bug::TimeOfLastBeat {
            self.first.0 = i.time_ns;
            self.first.1 = self.queue(i);
        }
        let length = i.rx_keep.trailing_ones() as usize;
        self.collecting.extend_from_slice(&i.rx_data[..length]);
        if i.rx_last == 0 {
            return;
        }
        let data = std::mem::take(&mut self.collecting);
        let (time, number) = self.first;
        let halted = self.faults >> number & 1 == 1;
        let ring = &mut self.rings[number];
        let counted = self.bug != Bug::DropNotCounted;
        if !ring.enabled || halted || self.resetting {
            ring.drops[1] += 1;
        } else if i.rx_abort != 0 && self.bug != Bug::AbortedDelivered {
            ring.drops[3] += 1;
            if self.bug == Bug::AbortedKeepsBuffer && ring.free() > 0 {
                ring.taken = ring.taken.wrapping_add(1);
            }
        } else if data.len() > ring.buffer as usize {
            ring.drops[2] += 1;
        } else if ring.free() == 0 {
            ring.drops[0] += u32::from(counted);
        } else {
            let index = ring.taken;
            ring.taken = ring.taken.wrapping_add(1);
            let word = |value: u16, valid: u32| u32::from(value) << valid;
            let words = [
                time as u32,
                (time >> 32) as u32,
                data.len() as u32
                    | u32::from(i.rx_reason) << 16
                    | u32::from(i.rx_port) << 24
                    | u32::from(i.rx_control) << 25
                    | u32::from(i.rx_rule >> 7) << 29
                    | word(i.rx_bucket >> 12, 30)
                    | word(i.rx_target >> 10, 31),
                u32::from(i.rx_rule & 0x7f) | u32::from(i.rx_bucket & 0xfff) << 16,
                u32::from(i.rx_target & 0x3ff) | u32::from(index) << 16,
            ];
            self.received.push_back(Received { ring: number, data, words });
        }
    }

    fn queue(&self, i: &HostIn) -> usize {
        let nibble = |words: &[u32], at: usize| (words[at / 8] >> (at % 8 * 4) & 15) as usize;
        if i.rx_control != 0 {
            return 8;
        }
        match nibble(&self.reason_queue, i.rx_reason.into()) {
            queue @ 0..=7 => queue,
            _ if i.rx_bucket >> 12 == 1 => nibble(&self.spread, usize::from(i.rx_bucket & 0x7f)) & 7,
            _ if self.bug == Bug::WrongQueue => usize::from(i.rx_queue >> 1 & 7),
            _ => usize::from(i.rx_queue & 7),
        }
    }

    fn transmit(&mut self, i: &HostIn, o: &mut HostOut) {
        for s in 0..2 {
            let Some((data, port, at)) = self.wire[s].front_mut() else { continue };
            let rest = &data[*at..];
            let length = rest.len().min(self.width);
            o.tx_valid[s] = 1;
            o.tx_last[s] = (rest.len() <= self.width).into();
            o.tx_port[s] = *port;
            o.tx_keep[s] = u64::MAX >> (64 - length);
            o.tx_data[s][..length].copy_from_slice(&rest[..length]);
            if i.tx_ready[s] != 0 {
                *at += self.width;
                if *at >= data.len() {
                    self.wire[s].pop_front();
                }
            }
        }
    }

    // ---- bus -----------------------------------------------------------------------------------------------------------

    fn start(&mut self, write: bool, address: u64, bytes: Vec<u8>) {
        let transfer = Transfer {
            write,
            address,
            bytes,
            done: 0,
            burst: 0,
            offered: false,
            asked: false,
            beat: 0,
            data_done: false,
            failed: None,
            error: None,
        };
        self.transfer = Some(transfer);
    }

    fn bus(&mut self, i: &HostIn, o: &mut HostOut) {
        let width = self.width as u64;
        let t = self.transfer.as_mut().expect("there is one");
        if t.done >= t.bytes.len() || t.error.is_some() {
            return;
        }
        let address = t.address + t.done as u64;
        let start = address & !(width - 1);
        let page = (start | 4095) + 1;
        let end = (t.address + t.bytes.len() as u64).min(start + 256);
        let end = if self.bug == Bug::BurstAcross4K { end } else { end.min(page) };
        t.burst = (end - address) as usize;
        let beats = (end - start).div_ceil(width);
        t.offered = true;
        if t.write {
            if !t.asked {
                (o.m_awvalid, o.m_awaddr, o.m_awlen) = (1, address, beats as u8 - 1);
                (o.m_awsize, o.m_awburst) = (width.trailing_zeros() as u8, 1);
            }
            if !t.data_done {
                o.m_wvalid = 1;
                let here = start + t.beat as u64 * width;
                for lane in 0..width {
                    if (address..end).contains(&(here + lane)) {
                        o.m_wstrb |= 1 << lane;
                        o.m_wdata[lane as usize] = t.bytes[(here + lane - t.address) as usize];
                    }
                }
                let last = t.beat as u64 + 1 == beats;
                o.m_wlast = last.into();
                if i.m_wready != 0 {
                    t.beat += 1;
                    t.data_done = last;
                }
            }
            t.asked |= o.m_awvalid != 0 && i.m_awready != 0;
            o.m_bready = 1;
            if i.m_bvalid != 0 {
                if i.m_bresp != 0 && self.bug != Bug::ErrorIgnored {
                    t.error = Some(start);
                }
                t.done += t.burst;
                (t.offered, t.asked, t.data_done, t.beat) = (false, false, false, 0);
            }
        } else {
            if !t.asked {
                (o.m_arvalid, o.m_araddr, o.m_arlen) = (1, address, beats as u8 - 1);
                (o.m_arsize, o.m_arburst) = (width.trailing_zeros() as u8, 1);
                t.asked = i.m_arready != 0;
            }
            o.m_rready = 1;
            if i.m_rvalid != 0 {
                let here = start + t.beat as u64 * width;
                for lane in 0..width {
                    if (address..end).contains(&(here + lane)) {
                        t.bytes[(here + lane - t.address) as usize] = i.m_rdata[lane as usize];
                    }
                }
                if i.m_rresp != 0 && self.bug != Bug::ErrorIgnored {
                    t.failed.get_or_insert(here);
                }
                t.beat += 1;
                if i.m_rlast != 0 {
                    t.done += t.burst;
                    (t.offered, t.asked, t.beat) = (false, false, 0);
                    t.error = t.failed;
                }
            }
        }
    }

    // ---- work ----------------------------------------------------------------------------------------------------------

    fn job_ring(&self) -> Option<usize> {
        self.job.as_ref().map(|(job, _)| match job {
            Job::Receive(received, _) => received.ring,
            Job::Transmit(ring, ..) => *ring,
            Job::Event => 11,
            Job::Mover(..) => 12,
        })
    }

    fn answer(&mut self, number: usize, bytes: Vec<u8>) {
        let ring = &self.rings[number];
        let address = ring.answers + u64::from(ring.answered & (ring.size() - 1)) * bytes.len() as u64;
        self.start(true, address, bytes);
    }

    fn phase(&self, number: usize) -> u32 {
        let ring = &self.rings[number];
        let odd = ring.answered >> ring.log2 & 1 == 1 && self.bug != Bug::PhaseStays;
        // The round of a ring of 2^16 answers comes out even.
        if odd { 0 } else { 1 << 31 }
    }

    fn answered(&mut self, number: usize) {
        let ring = &mut self.rings[number];
        ring.answered = ring.answered.wrapping_add(1);
    }

    fn fail(&mut self, address: u64) {
        let number = self.job_ring().expect("a transfer is for a ring");
        if self.faults == 0 {
            self.fault_address = address;
        }
        self.faults |= 1 << number;
        self.requests |= 1 << 15;
        if let Some((Job::Receive(..), _)) = self.job {
            self.rings[number].drops[1] += 1;
        }
        let rings = &mut self.rings;
        self.received.retain(|received| {
            if received.ring == number {
                rings[number].drops[1] += 1;
            }
            received.ring != number
        });
        self.job = None;
    }

    fn work(&mut self, i: &HostIn, o: &mut HostOut) {
        let finished = self.transfer.take();
        if let Some(address) = finished.as_ref().and_then(|t| t.error) {
            return self.fail(address);
        }
        let bytes = finished.map(|t| t.bytes).unwrap_or_default();
        let word = |at: usize| u32::from_le_bytes(bytes[4 * at..4 * at + 4].try_into().expect("four bytes"));
        let Some((job, stage)) = self.job.take() else { return self.choose(i) };
        match (job, stage) {
            (Job::Receive(received, _), 0) => {
                let buffer = u64::from(word(0)) | u64::from(word(1)) << 32;
                let mut data = received.data.clone();
                match self.bug {
                    Bug::BeyondFrame => data.resize(data.len().next_multiple_of(64) + 1, 0),
                    Bug::Alignment if data.len() % 64 == 1 => data[0] ^= 1,
                    _ => {}
                }
                let next = if self.bug == Bug::CompletionBeforeData {
                    self.complete(&received);
                    2
                } else {
                    self.start(true, buffer, data);
                    1
                };
                self.job = Some((Job::Receive(received, buffer), next));
            }
            (Job::Receive(received, buffer), 1) => {
                if self.bug == Bug::InterruptBeforeCompletion {
                    self.answered(received.ring);
                    self.interrupts();
                    self.rings[received.ring].answered -= 1;
                }
                self.complete(&received);
                self.job = Some((Job::Receive(received, buffer), 3));
            }
            (Job::Receive(received, buffer), 2) => {
                self.start(true, buffer, received.data.clone());
                self.job = Some((Job::Receive(received, buffer), 3));
            }
            (Job::Receive(received, _), _) => self.answered(received.ring),
            (Job::Transmit(ring, ..), 0) => {
                let (address, what) = (u64::from(word(0)) | u64::from(word(1)) << 32, word(2));
                let length = what & 0xffff;
                let port = what >> 16 & 1;
                if !(14..=9022).contains(&length) || port == 1 && self.width == 64 {
                    self.tx_bad += 1;
                    let index = self.rings[ring].taken;
                    self.start(true, self.rings[ring].answers, u32::from(index).to_le_bytes().to_vec());
                    self.job = Some((Job::Transmit(ring, 0, 0), 3));
                } else if self.bug == Bug::IndexBeforeRead {
                    let index = self.rings[ring].taken;
                    self.start(true, self.rings[ring].answers, u32::from(index).to_le_bytes().to_vec());
                    self.job = Some((Job::Transmit(ring, address, what), 4));
                } else {
                    self.start(false, address, vec![0; length as usize]);
                    self.job = Some((Job::Transmit(ring, address, what), 1));
                }
            }
            (Job::Transmit(ring, address, what), 1) => {
                let port = (what >> 16 & 1) as u8;
                let mut bytes = bytes;
                if self.bug == Bug::Alignment && address % 64 == 63 {
                    bytes[0] = 0;
                }
                self.wire[ring - 9].push_back((bytes, port, 0));
                let index = self.rings[ring].taken;
                self.start(true, self.rings[ring].answers, u32::from(index).to_le_bytes().to_vec());
                self.job = Some((Job::Transmit(ring, address, what), 3));
            }
            (Job::Transmit(ring, address, what), 4) => {
                self.start(false, address, vec![0; (what & 0xffff) as usize]);
                self.job = Some((Job::Transmit(ring, address, what), 3));
            }
            (Job::Transmit(ring, ..), _) => {
                let ring = &mut self.rings[ring];
                ring.answered = ring.taken;
            }
            (Job::Event, 0) => {
                let mut bytes: Vec<u8> = self.event.iter().flat_map(|word| word.to_le_bytes()).collect();
                bytes.extend_from_slice(&[0; 4]);
                bytes.extend_from_slice(&self.phase(11).to_le_bytes());
                self.answer(11, bytes);
                self.job = Some((Job::Event, 1));
            }
            (Job::Event, _) => {
                self.rings[11].taken = self.rings[11].taken.wrapping_add(1);
                self.answered(11);
            }
            (Job::Mover(_, _, index), 0) => {
                let command: [u32; 8] = std::array::from_fn(word);
                let (operation, words) = (command[0] & 0xff, command[2] & 0x1f_ffff);
                let address = u64::from(command[4]) | u64::from(command[5]) << 32;
                let good = matches!(operation, 1 | 2) && (1..=1 << 20).contains(&words) && address % 64 == 0;
                self.moving = (0, 0);
                if !good || command[1] + words > 1 << 20 {
                    self.mover_done(index, 1, 0);
                    self.job = Some((Job::Mover(command, Vec::new(), index), 5));
                } else if operation == 1 {
                    self.start(false, address, vec![0; 4 * words as usize]);
                    self.job = Some((Job::Mover(command, Vec::new(), index), 1));
                } else {
                    self.job = Some((Job::Mover(command, Vec::new(), index), 3));
                }
            }
            (Job::Mover(command, _, index), 1) => {
                let words =
                    bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes"))).collect();
                self.job = Some((Job::Mover(command, words, index), 2));
            }
            (Job::Mover(command, words, index), 2) => {
                let at = self.moving.0;
                o.mover = 1;
                (o.mover_write, o.mover_id) = (1, (command[0] >> 8 & 15) as u8);
                (o.mover_address, o.mover_data) = (command[1] + at, words[at as usize]);
                if i.mover_grant != 0 {
                    self.moving.0 += 1;
                }
                if self.moving.0 as usize == words.len() {
                    let crc = self.crc(&words);
                    self.mover_done(index, 0, crc);
                    self.job = Some((Job::Mover(command, words, index), 5));
                } else {
                    self.job = Some((Job::Mover(command, words, index), 2));
                }
            }
            (Job::Mover(command, mut words, index), 3) => {
                let wanted = command[2] & 0x1f_ffff;
                if self.moving.0 < wanted {
                    (o.mover, o.mover_id, o.mover_active) =
                        (1, (command[0] >> 8 & 15) as u8, (command[0] >> 12 & 1) as u8);
                    o.mover_address = command[1] + self.moving.0;
                    self.moving.0 += u32::from(i.mover_grant != 0);
                }
                if i.mover_valid != 0 {
                    words.push(i.mover_data);
                }
                let next = if words.len() as u32 == wanted {
                    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                    self.start(true, u64::from(command[4]) | u64::from(command[5]) << 32, bytes);
                    4
                } else {
                    3
                };
                self.job = Some((Job::Mover(command, words, index), next));
            }
            (Job::Mover(command, words, index), 4) => {
                let crc = self.crc(&words);
                self.mover_done(index, 0, crc);
                self.job = Some((Job::Mover(command, words, index), 5));
            }
            (Job::Mover(..), _) => self.answered(12),
        }
    }

    fn crc(&self, words: &[u32]) -> u32 {
        let mut crc = !0u32;
        for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            }
        }
        if self.bug == Bug::MoverCrc { crc } else { !crc }
    }

    fn mover_done(&mut self, index: u32, status: u32, crc: u32) {
        let words = [index | status << 16, crc, 0, self.phase(12)];
        self.answer(12, words.iter().flat_map(|word| word.to_le_bytes()).collect());
    }

    fn complete(&mut self, received: &Received) {
        let ring = &self.rings[received.ring];
        let drops = ring.drops[0] + ring.drops[2] + ring.drops[3];
        let mut words = received.words.to_vec();
        words.extend([0, 0, drops & 0xffff | self.phase(received.ring)]);
        self.answer(received.ring, words.iter().flat_map(|word| word.to_le_bytes()).collect());
    }

    /// The next thing to do: frames that came, then the other rings in turn.
    fn choose(&mut self, i: &HostIn) {
        if let Some(received) = self.received.pop_front() {
            let ring = &self.rings[received.ring];
            if !ring.enabled {
                self.rings[received.ring].drops[1] += 1;
                return;
            }
            let index = (received.words[4] >> 16) as u16;
            self.start(false, ring.base + 8 * u64::from(index & (ring.size() - 1)), vec![0; 8]);
            self.job = Some((Job::Receive(received, 0), 0));
            return;
        }
        for _ in 0..4 {
            self.turn = (self.turn + 1) % 4;
            let number = 9 + self.turn;
            let ring = &mut self.rings[number];
            if !ring.enabled || self.faults >> number & 1 == 1 || ring.free() == 0 {
                continue;
            }
            let at = u64::from(ring.taken & (ring.size() - 1));
            match number {
                11 if i.event_valid != 0 && !self.event_pop => {
                    self.event = i.event_words;
                    self.event_pop = self.bug != Bug::EventTwice || ring.taken != 3;
                    self.job = Some((Job::Event, 0));
                }
                11 => continue,
                9 | 10 => {
                    let address = ring.base + 16 * at;
                    ring.taken = ring.taken.wrapping_add(1);
                    self.start(false, address, vec![0; 16]);
                    self.job = Some((Job::Transmit(number, 0, 0), 0));
                }
                _ => {
                    let (address, index) = (ring.base + 32 * at, ring.taken);
                    ring.taken = ring.taken.wrapping_add(1);
                    self.start(false, address, vec![0; 32]);
                    self.job = Some((Job::Mover([0; 8], Vec::new(), index.into()), 0));
                }
            }
            return;
        }
    }

    // ---- interrupts ----------------------------------------------------------------------------------------------------

    fn interrupts(&mut self) {
        for number in 0..13 {
            let ring = &mut self.rings[number];
            let there = ring.answered.wrapping_sub(ring.index);
            if !ring.enabled || there == 0 || there > 1 << 15 {
                ring.oldest = None;
                continue;
            }
            let since = *ring.oldest.get_or_insert(self.cycle);
            let (holdoff, count) = (u64::from(ring.moderation & 0xff_ffff), (ring.moderation >> 24).max(1));
            let due = u32::from(there) >= count || self.cycle >= since + holdoff || self.bug == Bug::ModerationIgnored;
            if !ring.armed
                || !due
                || self.requests >> number & 1 == 1
                || self.bug == Bug::InterruptLost && ring.index == 5
            {
                continue;
            }
            self.requests |= 1 << number;
            ring.armed = self.bug == Bug::InterruptNotDisarmed && number < RECEIVE;
        }
    }
}
