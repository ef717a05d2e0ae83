// SPDX-License-Identifier: Apache-2.0
//! Host memory behind an AXI4 port, which checks what the master does.
//!
//! All memory that the NIC may touch is in a [`Region`]; an access to anything else panics, with the cycle and the rule. Data of a write
//! becomes visible when its response is given, and not before, as the latest moment that AXI allows; data of a read is taken when it is
//! sent. Responses and read data come in the order of their requests, as there is one id.

use crate::Random;
use hashgate_verilated_sys::{HostIn, HostOut};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Longest burst in bytes.
pub const BURST_BYTES: u64 = 256;
const PAGE: u64 = 4096;
const OKAY: u8 = 0;
const SLVERR: u8 = 2;
const DECERR: u8 = 3;

/// What the NIC may do with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read. A beat may be read whole if a byte of it is in the region.
    Read,
    /// Write.
    Write,
    /// Every access is answered with an error.
    Fault,
}

/// Memory that the NIC may use, and what it did there.
#[derive(Clone, Debug)]
pub struct Region {
    /// First address behind it.
    pub end: u64,
    /// What the NIC may do.
    pub access: Access,
    /// Bursts that are not answered yet.
    pub pending: u32,
    /// Bytes of it that were read.
    pub read: u64,
    /// Cycle in which the NIC took the last response to a write.
    pub answered: u64,
    /// First address behind all that was written.
    pub written: u64,
}

/// How fast the memory is.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Cycles from a request to its answer, at least 1.
    pub latency: u64,
    /// Up to so many cycles more, at random.
    pub jitter: u64,
    /// Of 1024 cycles, those in which a channel is ready.
    pub ready: u64,
    /// Of 1024 cycles, those in which an answer that is due is given.
    pub valid: u64,
    /// Reads, and writes, that may be under way.
    pub outstanding: usize,
    /// A write address is taken only when data is there too, as AXI allows.
    pub data_first: bool,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { latency: 300, jitter: 0, ready: 1024, valid: 1024, outstanding: 64, data_first: false }
    }
}

impl Timing {
    /// Latency up to `latency`, and random throttling.
    pub fn random(random: &mut Random, latency: u64) -> Timing {
        let latency = random.between(1, latency);
        Timing {
            latency,
            jitter: random.below(latency + 1),
            ready: if random.chance(512) { 1024 } else { random.between(100, 1024) },
            valid: if random.chance(512) { 1024 } else { random.between(100, 1024) },
            outstanding: random.between(1, 64) as usize,
            data_first: random.chance(512),
        }
    }
}

/// Bytes that a write has made visible.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// First byte.
    pub address: u64,
    /// Bytes.
    pub length: u64,
    /// Cycle in which the NIC began to ask for the write.
    pub asked: u64,
    /// Cycle from which on it is visible.
    pub visible: u64,
}

/// What has gone over the port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Bursts read.
    pub reads: u64,
    /// Beats read.
    pub read_beats: u64,
    /// Bursts written.
    pub writes: u64,
    /// Beats written.
    pub write_beats: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    address: u64,
    len: u8,
    size: u8,
    burst: u8,
}

#[derive(Clone, Debug)]
struct Read {
    address: u64,
    beats: u64,
    sent: u64,
    due: u64,
    region: u64,
    fault: bool,
}

#[derive(Clone, Debug)]
struct Beat {
    data: [u8; 64],
    strobe: u64,
    last: bool,
    asked: u64,
}

#[derive(Clone, Debug)]
struct Write {
    bytes: Vec<u8>,
    applied: Applied,
    due: u64,
    region: u64,
    fault: bool,
}

/// The memory.
pub struct Memory {
    beat: u64,
    pages: HashMap<u64, Box<[u8; PAGE as usize]>>,
    regions: BTreeMap<u64, Region>,
    /// How fast it is; may change at any time.
    pub timing: Timing,
    /// It takes and answers nothing.
    pub stuck: bool,
    /// What has become visible since this was cleared.
    pub applied: Vec<Applied>,
    /// Sums.
    pub traffic: Traffic,
    random: Random,
    cycle: u64,
    reads: VecDeque<Read>,
    addresses: VecDeque<(Request, u64)>,
    beats: VecDeque<Beat>,
    writes: VecDeque<Write>,
    responding: bool,
    reading: bool,
    last_response: u8,
    read_beat: ([u8; 64], u8, bool),
    held_aw: Option<(Request, u64)>,
    held_ar: Option<Request>,
    held_w: Option<Beat>,
    offered: bool,
    next: u64,
}

/// Where memory for the NIC is given out, beyond 4 GiB, so that all of an address counts.
const ARENA: u64 = 0x0000_7123_4500_0000;
const ARENA_BYTES: u64 = 64 << 20;

impl Memory {
    /// Memory with a port of so many bytes a beat.
    pub fn new(beat: u64, seed: u64) -> Memory {
        Memory {
            beat,
            pages: HashMap::new(),
            regions: BTreeMap::new(),
            timing: Timing::default(),
            stuck: false,
            applied: Vec::new(),
            traffic: Traffic::default(),
            random: Random::new(seed),
            cycle: 0,
            reads: VecDeque::new(),
            addresses: VecDeque::new(),
            beats: VecDeque::new(),
            writes: VecDeque::new(),
            responding: false,
            reading: false,
            last_response: OKAY,
            read_beat: ([0; 64], OKAY, false),
            held_aw: None,
            held_ar: None,
            held_w: None,
            offered: false,
            next: ARENA,
        }
    }

    // ---- the host's side ---------------------------------------------------------------------------------------

    /// Addresses that are in no region: `length` bytes at a multiple of `align`, and nothing else within 64 bytes around.
    ///
    /// # Panics
    /// If the arena is full.
    pub fn allocate(&mut self, length: u64, align: u64) -> u64 {
        for _ in 0..1_000_000 {
            let start = (self.next + 64).next_multiple_of(align);
            self.next = start + length + 64;
            if self.next > ARENA + ARENA_BYTES {
                self.next = ARENA;
                continue;
            }
            match self.overlapping(start - 64, start + length + 64) {
                None => return start,
                Some((_, region)) => self.next = region.end,
            }
        }
        panic!("no memory of {length} bytes");
    }

    /// Gives a region to the NIC.
    ///
    /// # Panics
    /// If it overlaps another one.
    pub fn offer(&mut self, start: u64, length: u64, access: Access) {
        let end = start + length;
        assert!(length > 0 && self.overlapping(start, end).is_none(), "{start:#x}..{end:#x} is in use");
        self.regions.insert(start, Region { end, access, pending: 0, read: 0, answered: 0, written: start });
    }

    /// Takes a region back. A burst under way in it is an error of the NIC.
    ///
    /// # Panics
    /// If there is no such region, or it is in use.
    pub fn revoke(&mut self, start: u64) -> Region {
        let region = self.regions.remove(&start).unwrap_or_else(|| panic!("no region at {start:#x}"));
        assert!(
            region.pending == 0,
            "cycle {}: {} bursts are under way at {start:#x}, which is done",
            self.cycle,
            region.pending
        );
        region
    }

    /// Changes what the NIC may do with a region.
    ///
    /// # Panics
    /// If there is no such region.
    pub fn set_access(&mut self, start: u64, access: Access) {
        self.regions.get_mut(&start).unwrap_or_else(|| panic!("no region at {start:#x}")).access = access;
    }

    /// A region, if there is one that starts there.
    pub fn region(&self, start: u64) -> Option<&Region> {
        self.regions.get(&start)
    }

    /// Reads as the host.
    pub fn get(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut at = 0;
        while at < length {
            let here = address + at as u64;
            let offset = (here % PAGE) as usize;
            let part = (length - at).min(PAGE as usize - offset);
            if let Some(page) = self.pages.get(&(here / PAGE)) {
                bytes[at..at + part].copy_from_slice(&page[offset..offset + part]);
            }
            at += part;
        }
        bytes
    }

    /// A word, as the host.
    pub fn word(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.get(address, 4).try_into().expect("four bytes"))
    }

    /// Writes as the host.
    pub fn put(&mut self, address: u64, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let here = address + at as u64;
            let offset = (here % PAGE) as usize;
            let part = (bytes.len() - at).min(PAGE as usize - offset);
            let page = self.pages.entry(here / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
            page[offset..offset + part].copy_from_slice(&bytes[at..at + part]);
            at += part;
        }
    }

    /// Nothing is under way.
    pub fn idle(&self) -> bool {
        self.reads.is_empty() && self.writes.is_empty() && self.addresses.is_empty() && self.beats.is_empty()
    }

    fn overlapping(&self, start: u64, end: u64) -> Option<(u64, &Region)> {
        let (first, region) = self.regions.range(..end).next_back()?;
        (region.end > start).then_some((*first, region))
    }

    // ---- the port ------------------------------------------------------------------------------------------------

    /// Sets the memory's side of the port for the next cycle.
    pub fn drive(&mut self, input: &mut HostIn) {
        let timing = self.timing;
        let answering = !self.stuck;
        input.m_arready =
            (answering && self.reads.len() < timing.outstanding && self.random.chance(timing.ready)).into();
        let data = !timing.data_first || self.offered || !self.beats.is_empty();
        let writes = self.writes.len() + self.addresses.len();
        input.m_awready = (answering && data && writes < timing.outstanding && self.random.chance(timing.ready)).into();
        input.m_wready = (answering && self.beats.len() < 64 && self.random.chance(timing.ready)).into();
        if !self.responding && answering && self.random.chance(timing.valid) {
            self.respond();
        }
        input.m_bvalid = self.responding.into();
        input.m_bresp = self.last_response;
        if !self.reading && answering && self.random.chance(timing.valid) {
            self.send();
        }
        input.m_rvalid = self.reading.into();
        (input.m_rdata, input.m_rresp) = (self.read_beat.0, self.read_beat.1);
        input.m_rlast = self.read_beat.2.into();
    }

    /// Makes the oldest write visible, if its response is due.
    fn respond(&mut self) {
        let Some(write) = self.writes.front_mut() else { return };
        if write.due > self.cycle {
            return;
        }
        self.responding = true;
        self.last_response = OKAY;
        if write.fault {
            self.last_response = if self.random.chance(512) { SLVERR } else { DECERR };
            return;
        }
        write.applied.visible = self.cycle;
        let (applied, bytes) = (write.applied, std::mem::take(&mut write.bytes));
        self.put(applied.address, &bytes);
        self.applied.push(applied);
    }

    /// Prepares the next beat of the oldest read, if it is due.
    fn send(&mut self) {
        let Some(read) = self.reads.front().filter(|read| read.due <= self.cycle) else { return };
        let address = (read.address & !(self.beat - 1)) + read.sent * self.beat;
        let last = read.sent + 1 == read.beats;
        let mut data = [0xa5; 64];
        let fault = read.fault;
        let bytes = self.get(address, self.beat as usize);
        let response = match fault {
            true if self.random.chance(512) => SLVERR,
            true => DECERR,
            false => OKAY,
        };
        if !fault {
            data[..self.beat as usize].copy_from_slice(&bytes);
        }
        self.read_beat = (data, response, last);
        self.reading = true;
    }

    /// Takes what the NIC did in the cycle that [`Self::drive`] prepared.
    ///
    /// # Panics
    /// If it broke a rule.
    pub fn observe(&mut self, input: &HostIn, out: &HostOut) {
        self.read_address(input, out);
        self.write_address(input, out);
        self.write_data(input, out);
        self.assemble();
        if self.responding && out.m_bready != 0 {
            self.responding = false;
            let write = self.writes.pop_front().expect("a response is to a write");
            if let Some(region) = self.regions.get_mut(&write.region) {
                region.pending -= 1;
                region.answered = self.cycle;
            }
        }
        if self.reading && out.m_rready != 0 {
            self.reading = false;
            self.traffic.read_beats += 1;
            let beat = self.beat;
            let read = self.reads.front_mut().expect("a beat is of a read");
            let address = (read.address & !(beat - 1)) + read.sent * beat;
            read.sent += 1;
            if let Some(region) = self.regions.get_mut(&read.region) {
                let from = address.max(read.region).max(read.address);
                region.read += region.end.min(address + beat).saturating_sub(from);
                if self.read_beat.2 {
                    region.pending -= 1;
                }
            }
            if self.read_beat.2 {
                self.reads.pop_front();
            }
        }
        self.cycle += 1;
    }

    #[track_caller]
    fn require(&self, holds: bool, rule: &str, request: Request) {
        assert!(holds, "cycle {}: AXI4: {rule}: {request:x?}", self.cycle);
    }

    fn check_request(&self, what: &str, request: Request) {
        let size = self.beat.trailing_zeros() as u8;
        let beats = u64::from(request.len) + 1;
        let start = request.address & !(self.beat - 1);
        self.require(request.burst == 1, &format!("{what} that is not INCR"), request);
        self.require(request.size == size, &format!("{what} with another size than that of the port"), request);
        self.require(beats * self.beat <= BURST_BYTES, &format!("{what} of more than {BURST_BYTES} bytes"), request);
        let last = start + beats * self.beat - 1;
        self.require(start / PAGE == last / PAGE, &format!("{what} across 4 KiB"), request);
    }

    fn read_address(&mut self, input: &HostIn, out: &HostOut) {
        let request = Request { address: out.m_araddr, len: out.m_arlen, size: out.m_arsize, burst: out.m_arburst };
        let valid = out.m_arvalid != 0;
        if let Some(held) = self.held_ar {
            self.require(valid && request == held, "ARVALID or its payload changed before ARREADY", held);
        }
        self.held_ar = None;
        if !valid {
            return;
        }
        if input.m_arready == 0 {
            self.held_ar = Some(request);
            return;
        }
        self.check_request("read", request);
        let beats = u64::from(request.len) + 1;
        let start = request.address & !(self.beat - 1);
        let mut region = None;
        for beat in 0..beats {
            let address = start + beat * self.beat;
            let found = self.overlapping(address.max(request.address), address + self.beat);
            let Some((first, found)) = found.filter(|(_, region)| region.access != Access::Write) else {
                panic!("cycle {}: read of {address:#x}, which the host did not offer: {request:x?}", self.cycle);
            };
            region.get_or_insert((first, found.access == Access::Fault));
        }
        let (region, fault) = region.expect("a burst has a beat");
        self.regions.get_mut(&region).expect("it was found").pending += 1;
        self.traffic.reads += 1;
        let due = self.due(self.reads.back().map_or(0, |read| read.due));
        self.reads.push_back(Read { address: request.address, beats, sent: 0, due, region, fault });
    }

    fn due(&mut self, previous: u64) -> u64 {
        let due = self.cycle + self.timing.latency.max(1) + self.random.below(self.timing.jitter + 1);
        due.max(previous)
    }

    fn write_address(&mut self, input: &HostIn, out: &HostOut) {
        let request = Request { address: out.m_awaddr, len: out.m_awlen, size: out.m_awsize, burst: out.m_awburst };
        let valid = out.m_awvalid != 0;
        let mut asked = self.cycle;
        if let Some((held, since)) = self.held_aw {
            self.require(valid && request == held, "AWVALID or its payload changed before AWREADY", held);
            asked = since;
        }
        self.held_aw = None;
        if !valid {
            return;
        }
        if input.m_awready == 0 {
            self.held_aw = Some((request, asked));
            return;
        }
        self.check_request("write", request);
        self.traffic.writes += 1;
        self.addresses.push_back((request, asked));
    }

    fn write_data(&mut self, input: &HostIn, out: &HostOut) {
        let valid = out.m_wvalid != 0;
        self.offered = valid;
        let mut asked = self.cycle;
        if let Some(held) = self.held_w.take() {
            let beat = self.beat as usize;
            let same = valid
                && held.data[..beat] == out.m_wdata[..beat]
                && held.strobe == out.m_wstrb
                && held.last == (out.m_wlast != 0);
            assert!(same, "cycle {}: AXI4: WVALID or its payload changed before WREADY", self.cycle);
            asked = held.asked;
        }
        if !valid {
            return;
        }
        let beat = Beat { data: out.m_wdata, strobe: out.m_wstrb, last: out.m_wlast != 0, asked };
        if input.m_wready == 0 {
            self.held_w = Some(beat);
            return;
        }
        self.traffic.write_beats += 1;
        self.beats.push_back(beat);
    }

    /// Puts address and data of writes together.
    fn assemble(&mut self) {
        while let Some(&(request, asked)) = self.addresses.front() {
            let beats = usize::from(request.len) + 1;
            for (i, beat) in self.beats.iter().take(beats).enumerate() {
                self.require(beat.last == (i + 1 == beats), "WLAST at the wrong beat", request);
            }
            if self.beats.len() < beats {
                return;
            }
            self.addresses.pop_front();
            let data: Vec<Beat> = self.beats.drain(..beats).collect();
            let asked = asked.min(data[0].asked);
            let start = request.address & !(self.beat - 1);
            let mut bytes = Vec::new();
            let mut first = None;
            for (i, beat) in data.iter().enumerate() {
                for lane in (0..self.beat).filter(|lane| beat.strobe >> lane & 1 == 1) {
                    let address = start + i as u64 * self.beat + lane;
                    self.require(address >= request.address, "strobe below the address", request);
                    let from = *first.get_or_insert(address);
                    self.require(address == from + bytes.len() as u64, "strobes with a gap", request);
                    bytes.push(beat.data[lane as usize]);
                }
            }
            let Some(address) = first else { panic!("cycle {}: a write of nothing: {request:x?}", self.cycle) };
            let end = address + bytes.len() as u64;
            let found = self.overlapping(address, end);
            let inside = found.filter(|(start, region)| {
                region.access == Access::Fault
                    || *start <= address && region.end >= end && region.access == Access::Write
            });
            let Some((region, fault)) = inside.map(|(start, region)| (start, region.access == Access::Fault)) else {
                panic!(
                    "cycle {}: write of {address:#x}..{end:#x}, which the host did not offer: {request:x?}",
                    self.cycle
                );
            };
            let used = self.regions.get_mut(&region).expect("it was found");
            used.pending += 1;
            used.written = used.written.max(end);
            let due = self.due(self.writes.back().map_or(0, |write| write.due));
            let applied = Applied { address, length: bytes.len() as u64, asked, visible: 0 };
            self.writes.push_back(Write { bytes, applied, due, region, fault });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const BEAT: u64 = 64;

    fn memory() -> (Memory, u64) {
        let mut memory = Memory::new(BEAT, 1);
        memory.timing.latency = 5;
        let start = memory.allocate(8192, 4096);
        memory.offer(start, 4096, Access::Write);
        memory.offer(start + 4096, 4096, Access::Read);
        (memory, start)
    }

    fn cycle(memory: &mut Memory, out: &HostOut) -> HostIn {
        let mut input = HostIn::default();
        memory.drive(&mut input);
        memory.observe(&input, out);
        input
    }

    fn write(address: u64, strobe: u64) -> HostOut {
        HostOut {
            m_awvalid: 1,
            m_awaddr: address,
            m_awsize: 6,
            m_awburst: 1,
            m_wvalid: 1,
            m_wlast: 1,
            m_wstrb: strobe,
            m_wdata: [7; 64],
            m_bready: 1,
            ..HostOut::default()
        }
    }

    fn read(address: u64, len: u8) -> HostOut {
        HostOut {
            m_arvalid: 1,
            m_araddr: address,
            m_arlen: len,
            m_arsize: 6,
            m_arburst: 1,
            m_rready: 1,
            ..HostOut::default()
        }
    }

    fn idle() -> HostOut {
        HostOut { m_bready: 1, m_rready: 1, ..HostOut::default() }
    }

    fn refused(rule: &str, act: impl FnOnce(&mut Memory, u64)) {
        let (mut memory, start) = memory();
        let why = catch_unwind(AssertUnwindSafe(|| act(&mut memory, start))).expect_err(rule);
        let text = why.downcast_ref::<String>().expect("a text");
        assert!(text.contains(rule) && text.contains("cycle "), "{rule}: {text}");
    }

    #[test]
    fn a_write_is_visible_with_its_response() {
        let (mut memory, start) = memory();
        cycle(&mut memory, &write(start + 64, 0xf0));
        for passed in 0..20 {
            let input = cycle(&mut memory, &idle());
            let there = memory.get(start + 68, 4) == [7; 4];
            assert_eq!(there, passed >= 4, "cycle {passed}");
            assert_eq!(input.m_bvalid != 0, passed == 4, "cycle {passed}");
        }
        assert_eq!((memory.get(start + 64, 4), memory.applied.len()), (vec![0; 4], 1));
        assert_eq!((memory.region(start).unwrap().pending, memory.region(start).unwrap().answered), (0, 5));
        assert!(memory.idle());
    }

    #[test]
    fn reads_come_in_order_with_their_data() {
        let (mut memory, start) = memory();
        memory.put(start + 4096, &[3; 64]);
        memory.put(start + 4160, &[4; 128]);
        cycle(&mut memory, &read(start + 4096, 0));
        cycle(&mut memory, &read(start + 4160 + 8, 1));
        let mut got = Vec::new();
        for _ in 0..20 {
            let input = cycle(&mut memory, &idle());
            if input.m_rvalid != 0 {
                got.push((input.m_rdata[0], input.m_rlast, input.m_rresp));
            }
        }
        assert_eq!(got, [(3, 1, 0), (4, 0, 0), (4, 1, 0)]);
        assert_eq!(memory.region(start + 4096).unwrap().read, 64 + 120);
    }

    #[test]
    fn faults_are_answered_with_errors() {
        let (mut memory, _) = memory();
        let hole = memory.allocate(4096, 4096);
        memory.offer(hole, 4096, Access::Fault);
        cycle(&mut memory, &write(hole, 1));
        cycle(&mut memory, &read(hole, 1));
        let mut answers = Vec::new();
        for _ in 0..20 {
            let input = cycle(&mut memory, &idle());
            answers.extend((input.m_bvalid != 0).then_some(input.m_bresp));
            answers.extend((input.m_rvalid != 0).then_some(input.m_rresp));
        }
        assert!(answers.len() == 3 && answers.iter().all(|&answer| answer >= SLVERR), "{answers:?}");
        assert_eq!(memory.get(hole, 1), [0]);
    }

    #[test]
    fn a_stuck_memory_answers_later() {
        let (mut memory, start) = memory();
        cycle(&mut memory, &read(start + 4096, 0));
        memory.stuck = true;
        for _ in 0..50 {
            let input = cycle(&mut memory, &idle());
            assert_eq!((input.m_rvalid, input.m_arready, input.m_awready, input.m_wready), (0, 0, 0, 0));
        }
        memory.stuck = false;
        assert_eq!(cycle(&mut memory, &idle()).m_rvalid, 1);
    }

    #[test]
    fn rules_are_checked() {
        refused("across 4 KiB", |memory, start| {
            cycle(memory, &read(start + 8192 - 64, 1));
        });
        refused("more than 256 bytes", |memory, start| {
            cycle(memory, &read(start + 4096, 4));
        });
        refused("not INCR", |memory, start| {
            cycle(memory, &HostOut { m_arburst: 2, ..read(start + 4096, 0) });
        });
        refused("another size", |memory, start| {
            cycle(memory, &HostOut { m_arsize: 3, ..read(start + 4096, 0) });
        });
        refused("did not offer", |memory, start| {
            cycle(memory, &read(start, 0));
        });
        refused("did not offer", |memory, start| {
            cycle(memory, &write(start + 4096, 1));
        });
        refused("did not offer", |memory, start| {
            cycle(memory, &write(start + 8192, 1));
        });
        refused("with a gap", |memory, start| {
            cycle(memory, &write(start, 5));
        });
        refused("below the address", |memory, start| {
            cycle(memory, &write(start + 1, 1));
        });
        refused("write of nothing", |memory, start| {
            cycle(memory, &write(start, 0));
        });
        refused("WLAST", |memory, start| {
            cycle(memory, &HostOut { m_awlen: 1, ..write(start, 1) });
        });
        refused("changed before ARREADY", |memory, start| {
            memory.stuck = true;
            cycle(memory, &read(start + 4096, 0));
            cycle(memory, &read(start + 4096, 1));
        });
        refused("changed before AWREADY", |memory, start| {
            memory.stuck = true;
            cycle(memory, &write(start, 1));
            cycle(memory, &HostOut { m_awvalid: 0, ..write(start, 1) });
        });
        refused("changed before WREADY", |memory, start| {
            memory.stuck = true;
            cycle(memory, &write(start, 1));
            cycle(memory, &write(start, 3));
        });
        refused("under way", |memory, start| {
            cycle(memory, &write(start, 1));
            memory.revoke(start);
        });
    }
}
