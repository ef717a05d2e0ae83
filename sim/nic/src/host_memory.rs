// SPDX-License-Identifier: Apache-2.0
//! The memory side of the NIC's AXI4 master: bursts become accesses to a [`Bus`], answers come after a latency.

use hashgate_pci_sim::Bus;
use hashgate_verilated_sys::{MAX_BEAT_BYTES, MemoryIn, MemoryOut};
use std::collections::VecDeque;

/// Cycles from a request to its answer: 0.9 microseconds at 322 MHz, as PCI Express has them.
pub const DEFAULT_LATENCY: u64 = 300;
/// Requests that are taken before the first is answered.
const OUTSTANDING: usize = 256;
/// AXI4 response: okay.
const OKAY: u8 = 0;
/// AXI4 response: slave error.
const SLVERR: u8 = 2;

struct Read {
    due: u64,
    address: u64,
    beats: usize,
}

struct Beat {
    data: [u8; MAX_BEAT_BYTES],
    response: u8,
    last: bool,
}

struct Write {
    address: u64,
    beats: usize,
    /// Of the beats so far.
    response: u8,
}

/// Memory behind an AXI4 master of one ID: everything is answered in order.
///
/// A write reaches the bus when its data is there and is answered `latency` cycles later; a read reaches it `latency` cycles after its request.
pub struct HostMemory {
    beat_bytes: usize,
    latency: u64,
    reads: VecDeque<Read>,
    beats: VecDeque<Beat>,
    writes: VecDeque<Write>,
    /// Responses of writes: when, what.
    responses: VecDeque<(u64, u8)>,
}

impl HostMemory {
    pub fn new(beat_bytes: usize) -> HostMemory {
        HostMemory {
            beat_bytes,
            latency: DEFAULT_LATENCY,
            reads: VecDeque::new(),
            beats: VecDeque::new(),
            writes: VecDeque::new(),
            responses: VecDeque::new(),
        }
    }

    pub fn set_latency(&mut self, cycles: u64) {
        self.latency = cycles;
    }

    /// No request waits for its answer.
    pub fn is_quiet(&self) -> bool {
        self.reads.is_empty() && self.beats.is_empty() && self.writes.is_empty() && self.responses.is_empty()
    }

    /// What memory shows the NIC in `cycle`.
    pub fn offer(&mut self, cycle: u64, bus: &dyn Bus, input: &mut MemoryIn) {
        input.arready = (self.reads.len() < OUTSTANDING).into();
        let room = self.writes.len() + self.responses.len() < OUTSTANDING;
        input.awready = room.into();
        // Data is taken once its address is there: the NIC gives it first.
        input.wready = (!self.writes.is_empty()).into();
        if self.beats.is_empty()
            && let Some(read) = self.reads.pop_front_if(|read| read.due <= cycle)
        {
            self.fetch(&read, bus);
        }
        input.rvalid = 0;
        if let Some(beat) = self.beats.front() {
            input.rvalid = 1;
            input.rdata = beat.data;
            input.rresp = beat.response;
            input.rlast = beat.last.into();
        }
        input.bvalid = 0;
        if let Some((_, response)) = self.responses.front().filter(|(due, _)| *due <= cycle) {
            input.bvalid = 1;
            input.bresp = *response;
        }
    }

    fn fetch(&mut self, read: &Read, bus: &dyn Bus) {
        let first = read.address & !(self.beat_bytes as u64 - 1);
        let mut bytes = vec![0; read.beats * self.beat_bytes];
        let response = if bus.read(first, &mut bytes).is_ok() { OKAY } else { SLVERR };
        for (n, part) in bytes.chunks(self.beat_bytes).enumerate() {
            let mut data = [0; MAX_BEAT_BYTES];
            data[..part.len()].copy_from_slice(part);
            self.beats.push_back(Beat { data, response, last: n + 1 == read.beats });
        }
    }

    /// Takes what the NIC gave in `cycle`, in which memory showed `input`.
    ///
    /// # Panics
    /// If the NIC breaks a rule: bursts that are not INCR of whole beats, longer than 256 bytes or across 4 KiB, a last mark in the wrong place.
    pub fn take(&mut self, cycle: u64, bus: &dyn Bus, input: &MemoryIn, output: &MemoryOut) {
        if input.rvalid != 0 && output.rready != 0 {
            self.beats.pop_front();
        }
        if input.bvalid != 0 && output.bready != 0 {
            self.responses.pop_front();
        }
        if output.arvalid != 0 && input.arready != 0 {
            let beats = self.burst(cycle, output.araddr, output.arlen, output.arsize, output.arburst);
            self.reads.push_back(Read { due: cycle + self.latency, address: output.araddr, beats });
        }
        if output.wvalid != 0 && input.wready != 0 {
            self.write_beat(cycle, bus, output);
        }
        if output.awvalid != 0 && input.awready != 0 {
            let beats = self.burst(cycle, output.awaddr, output.awlen, output.awsize, output.awburst);
            self.writes.push_back(Write { address: output.awaddr, beats, response: OKAY });
        }
    }

    /// Beats of a burst, whose rules are checked.
    fn burst(&self, cycle: u64, address: u64, len: u8, size: u8, burst: u8) -> usize {
        let beats = usize::from(len) + 1;
        let first = address & !(self.beat_bytes as u64 - 1);
        let bytes = (beats * self.beat_bytes) as u64;
        let good =
            burst == 1 && 1 << size == self.beat_bytes && bytes <= 256 && first / 4096 == (first + bytes - 1) / 4096;
        assert!(good, "cycle {cycle}: burst of {beats} beats at {address:#x}, size {size}, kind {burst}");
        beats
    }

    fn write_beat(&mut self, cycle: u64, bus: &dyn Bus, output: &MemoryOut) {
        let write = self.writes.front_mut().expect("data is taken when there is an address");
        let base = write.address & !(self.beat_bytes as u64 - 1);
        let mut strobes = output.wstrb;
        // Mostly one run of bytes.
        while strobes != 0 {
            let start = strobes.trailing_zeros() as usize;
            let length = (!(strobes >> start)).trailing_zeros() as usize;
            if bus.write(base + start as u64, &output.wdata[start..start + length]).is_err() {
                write.response = SLVERR;
            }
            strobes = if start + length == 64 { 0 } else { strobes >> (start + length) << (start + length) };
        }
        write.address = base + self.beat_bytes as u64;
        write.beats -= 1;
        let last = write.beats == 0;
        assert!((output.wlast != 0) == last, "cycle {cycle}: the last mark of a burst is in the wrong place");
        if last {
            self.responses.push_back((cycle + self.latency, write.response));
            self.writes.pop_front();
        }
    }
}
