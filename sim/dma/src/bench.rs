// SPDX-License-Identifier: Apache-2.0
//! What is around the host interface: clock, registers, the core with its streams, events and tables.

use crate::host::{Kind, Ring};
use crate::monitor::Interrupts;
use crate::{Bug, Memory, Random, StandIn};
use hashgate_verilated_sys::{HostIn, HostModel, HostOut};
use std::collections::{HashMap, VecDeque};
use std::path::Path;

/// Receive rings.
pub const RECEIVE: usize = 9;
/// Rings.
pub const RINGS: usize = 13;
/// Nanoseconds of a cycle.
pub const NS: u64 = 4;
const NS_START: u64 = 0x0123_4567_89ab_0000;
/// Cycles after which a register access, or anything else that must come, counts as missing.
pub const PATIENCE: u64 = 1_000_000;

/// A frame from the core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes.
    pub data: Vec<u8>,
    /// Of the control class.
    pub control: bool,
    /// The core's queue.
    pub queue: u8,
    /// 6 bits.
    pub reason: u8,
    /// Wire port.
    pub port: u8,
    /// 7 bits, valid on top.
    pub rule: u8,
    /// 12 bits, valid on top.
    pub bucket: u16,
    /// 10 bits, valid on top.
    pub target: u16,
    /// It is taken back with its last beat.
    pub abort: bool,
}

/// A frame that the core has given.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub frame: Frame,
    /// Cycle in which its first beat was taken.
    pub first: u64,
}

/// A frame that the host wants to be sent.
#[derive(Clone, Debug)]
pub(crate) struct ToWire {
    pub data: Vec<u8>,
    pub port: u8,
}

#[derive(Default)]
struct Registers {
    write: Option<(u16, u32)>,
    read: Option<u16>,
    aw_done: bool,
    w_done: bool,
    ar_done: bool,
    answer: Option<u32>,
}

/// Stream to the core.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    port: Option<u8>,
    held: Option<(u64, u8, u8)>,
}

/// What is under test.
enum Device {
    Rtl(HostModel),
    StandIn(Box<StandIn>),
}

/// The host interface, and all around it.
pub struct Bench {
    device: Device,
    pub(crate) input: HostIn,
    pub(crate) output: HostOut,
    /// Bytes of a beat.
    pub beat: usize,
    /// Memory of the host.
    pub memory: Memory,
    /// For anybody.
    pub random: Random,
    pub(crate) cycle: u64,
    registers: Registers,
    // core, receive
    rx: VecDeque<Frame>,
    rx_at: usize,
    rx_offered: bool,
    /// Of 1024 cycles, those in which the core pauses.
    pub rx_pause: u64,
    /// Longest time that a beat of the core had to wait.
    pub rx_longest_wait: u64,
    rx_wait: u64,
    pub(crate) sent: [VecDeque<Sent>; RECEIVE],
    /// Frames that the core has given, by their ring.
    pub given: [u64; RECEIVE],
    // core, transmit
    /// Of 1024 cycles, those in which the core takes a beat.
    pub tx_ready: [u64; 2],
    sinks: [Sink; 2],
    pub(crate) to_wire: [VecDeque<ToWire>; 2],
    /// Streams, in the order in which frames were complete.
    pub wire_order: Vec<usize>,
    /// Cycles in which a beat went to the core.
    pub tx_beats: [u64; 2],
    /// Frames of rings that were stopped: they may still come, whole and in their order, before all others.
    pub(crate) former: [VecDeque<ToWire>; 2],
    // core, events and tables
    /// Events in the queue of the core.
    pub events: VecDeque<[u32; 14]>,
    pub(crate) popped: VecDeque<[u32; 14]>,
    /// Events that came into host memory.
    pub events_seen: u64,
    /// Words of tables by id, bank (active or not) and address; others are [`Bench::table_word`].
    pub table: HashMap<(u8, bool, u32), u32>,
    /// The core commits, checks or clears: no table may be accessed.
    pub mover_wait: bool,
    /// Of 1024 cycles, those in which the core grants an access.
    pub mover_grant: u64,
    mover_reads: VecDeque<(u64, u32)>,
    /// Accesses that were granted.
    pub mover_accesses: u64,
    /// Cycles from grant to data.
    pub mover_latency: u64,
    // host
    pub(crate) rings: [Option<Ring>; RINGS],
    pub(crate) reason_queue: [u8; 64],
    pub(crate) spread: [u8; 128],
    pub(crate) interrupts: Interrupts,
    /// The host side is being reset: nothing is checked but the rules of the buses.
    pub(crate) resetting: bool,
    next_frame: u64,
}

impl Bench {
    /// One with beats of `bits`, out of its reset.
    ///
    /// # Panics
    /// If there is no such width.
    pub fn new(bits: u32, seed: u64) -> Bench {
        if std::env::var_os("HASHGATE_STAND_IN").is_some() {
            return Bench::with_stand_in(bits, seed, Bug::None);
        }
        let mut model = HostModel::new(bits, seed as u32 | 1).expect("a width that is compiled in");
        if let Some(file) = std::env::var_os("HASHGATE_TRACE") {
            model.trace_open(Path::new(&file)).expect("a file that can be written");
        }
        let input = HostIn { rst: 1, ..HostIn::default() };
        for _ in 0..16 {
            model.step(&input, &mut HostOut::default()).expect("nothing is asserted in reset");
        }
        Bench::around(Device::Rtl(model), bits, seed)
    }

    /// One around a stand-in of the RTL.
    pub fn with_stand_in(bits: u32, seed: u64, bug: Bug) -> Bench {
        Bench::around(Device::StandIn(Box::new(StandIn::new(bits as usize / 8, bug))), bits, seed)
    }

    fn around(device: Device, bits: u32, seed: u64) -> Bench {
        let beat = bits as usize / 8;
        Bench {
            device,
            input: HostIn::default(),
            output: HostOut::default(),
            beat,
            memory: Memory::new(beat as u64, seed ^ 0x55),
            random: Random::new(seed),
            cycle: 0,
            registers: Registers::default(),
            rx: VecDeque::new(),
            rx_at: 0,
            rx_offered: false,
            rx_pause: 0,
            rx_longest_wait: 0,
            rx_wait: 0,
            sent: Default::default(),
            given: [0; RECEIVE],
            tx_ready: [1024; 2],
            sinks: Default::default(),
            to_wire: Default::default(),
            wire_order: Vec::new(),
            tx_beats: [0; 2],
            former: Default::default(),
            events: VecDeque::new(),
            popped: VecDeque::new(),
            events_seen: 0,
            table: HashMap::new(),
            mover_wait: false,
            mover_grant: 1024,
            mover_reads: VecDeque::new(),
            mover_accesses: 0,
            mover_latency: 8,
            rings: Default::default(),
            reason_queue: [15; 64],
            spread: [0; 128],
            interrupts: Interrupts::default(),
            resetting: false,
            next_frame: 0,
        }
    }

    /// Cycles since the reset.
    pub fn cycles(&self) -> u64 {
        self.cycle
    }

    /// A cycle.
    ///
    /// # Panics
    /// If something is wrong.
    pub fn step(&mut self) {
        self.memory.drive(&mut self.input);
        self.drive_registers();
        self.drive_receive();
        for s in 0..2 {
            self.input.tx_ready[s] = self.random.chance(self.tx_ready[s]).into();
        }
        self.input.time_ns = NS_START + NS * self.cycle;
        self.input.event_valid = (!self.events.is_empty()).into();
        if let Some(event) = self.events.front() {
            self.input.event_words = *event;
        }
        self.drive_mover();
        self.input.interrupt_ack = self.interrupts.acknowledge(&mut self.random);
        match &mut self.device {
            Device::StandIn(device) => device.step(&self.input, &mut self.output),
            Device::Rtl(model) => {
                if let Err(why) = model.step(&self.input, &mut self.output) {
                    panic!("cycle {}: {why}", self.cycle);
                }
            }
        }
        self.memory.observe(&self.input, &self.output);
        self.observe_registers();
        self.observe_receive();
        for s in 0..2 {
            self.observe_transmit(s);
        }
        self.observe_events();
        self.observe_mover();
        self.observe_memory();
        self.observe_interrupts();
        self.cycle += 1;
    }

    /// Cycles.
    pub fn run(&mut self, cycles: u64) {
        for _ in 0..cycles {
            self.step();
        }
    }

    /// Until `done`.
    ///
    /// # Panics
    /// If it does not come.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Bench) -> bool) {
        // The stand-in does one thing at a time.
        let patience = if matches!(self.device, Device::Rtl(_)) { PATIENCE } else { 20 * PATIENCE };
        let end = self.cycle + patience;
        while !done(self) {
            assert!(self.cycle < end, "cycle {}: in {patience} cycles {what} did not come", self.cycle);
            self.step();
        }
    }

    /// Until nothing happens any more: all frames taken, memory idle, for some time.
    #[track_caller]
    pub fn settle(&mut self) {
        let calm = 600 + 3 * (self.memory.timing.latency + self.memory.timing.jitter);
        let mut since = self.cycle;
        let mut last = (self.memory.traffic.reads, self.memory.traffic.writes, self.tx_beats);
        self.until("an end of all activity", |bench| {
            let now = (bench.memory.traffic.reads, bench.memory.traffic.writes, bench.tx_beats);
            if !bench.rx.is_empty() || !bench.memory.idle() || now != last {
                since = bench.cycle;
                last = now;
            }
            bench.cycle >= since + calm
        });
    }

    // ---- registers ---------------------------------------------------------------------------------------------------

    fn drive_registers(&mut self) {
        let r = &self.registers;
        let i = &mut self.input;
        // Address and data in any order.
        i.awvalid = (r.write.is_some() && !r.aw_done && (i.awvalid != 0 || self.random.chance(700))).into();
        i.wvalid = (r.write.is_some() && !r.w_done && (i.wvalid != 0 || self.random.chance(700))).into();
        (i.awaddr, i.wdata) = r.write.unwrap_or_default();
        i.wstrb = 15;
        i.arvalid = (r.read.is_some() && !r.ar_done).into();
        i.araddr = r.read.unwrap_or_default();
        i.bready = self.random.chance(700).into();
        i.rready = self.random.chance(700).into();
    }

    fn observe_registers(&mut self) {
        let (r, i, o) = (&mut self.registers, &self.input, &self.output);
        r.aw_done |= i.awvalid != 0 && o.awready != 0;
        r.w_done |= i.wvalid != 0 && o.wready != 0;
        r.ar_done |= i.arvalid != 0 && o.arready != 0;
        if i.bready != 0 && o.bvalid != 0 {
            assert!(r.aw_done && r.w_done && o.bresp == 0, "cycle {}: answer to no write, or an error", self.cycle);
            (r.write, r.aw_done, r.w_done) = (None, false, false);
        }
        if i.rready != 0 && o.rvalid != 0 {
            assert!(r.ar_done && o.rresp == 0, "cycle {}: answer to no read, or an error", self.cycle);
            (r.read, r.ar_done) = (None, false);
            r.answer = Some(o.rdata);
        }
    }

    /// Writes a register of BAR 0.
    #[track_caller]
    pub fn write(&mut self, offset: u32, value: u32) {
        self.registers.write = Some(((offset & 0xfff) as u16, value));
        self.until("the answer to a register write", |bench| bench.registers.write.is_none());
    }

    /// Writes a register of two words.
    #[track_caller]
    pub fn write64(&mut self, offset: u32, value: u64) {
        self.write(offset, value as u32);
        self.write(offset + 4, (value >> 32) as u32);
    }

    /// Reads a register of BAR 0.
    #[track_caller]
    pub fn read(&mut self, offset: u32) -> u32 {
        self.registers.read = Some((offset & 0xfff) as u16);
        self.registers.answer = None;
        self.until("the answer to a register read", |bench| bench.registers.answer.is_some());
        self.registers.answer.expect("it came")
    }

    // ---- receive -------------------------------------------------------------------------------------------------------

    /// A frame of that length with data of its own, nothing else set. Its number is in its first eight bytes.
    pub fn frame(&mut self, length: usize) -> Frame {
        self.next_frame += 1;
        Frame { data: pattern(self.next_frame, length), reason: 5, ..Frame::default() }
    }

    /// A frame with any metadata.
    pub fn any_frame(&mut self, length: usize) -> Frame {
        let mut frame = self.frame(length);
        let r = &mut self.random;
        frame.control = r.chance(100);
        frame.queue = r.next() as u8;
        frame.reason = r.below(64) as u8;
        frame.port = r.below(2) as u8;
        frame.rule = r.next() as u8;
        frame.bucket = r.below(1 << 13) as u16;
        frame.target = r.below(1 << 11) as u16;
        frame
    }

    /// The core gives a frame.
    pub fn give(&mut self, frame: Frame) {
        assert!(!frame.data.is_empty());
        self.rx.push_back(frame);
    }

    /// Frames that the core has still to give.
    pub fn to_give(&self) -> usize {
        self.rx.len()
    }

    fn drive_receive(&mut self) {
        let Some(frame) = self.rx.front() else {
            self.input.rx_valid = 0;
            return;
        };
        if !self.rx_offered && self.random.chance(self.rx_pause) {
            self.input.rx_valid = 0;
            return;
        }
        self.rx_offered = true;
        let rest = &frame.data[self.rx_at..];
        let length = rest.len().min(self.beat);
        let i = &mut self.input;
        i.rx_valid = 1;
        // What is behind the end is anything.
        i.rx_data = [0xee; 64];
        i.rx_data[..length].copy_from_slice(&rest[..length]);
        i.rx_keep = u64::MAX >> (64 - length);
        i.rx_last = (rest.len() <= self.beat).into();
        i.rx_abort = (frame.abort && rest.len() <= self.beat).into();
        i.rx_control = frame.control.into();
        (i.rx_queue, i.rx_reason, i.rx_port, i.rx_rule) = (frame.queue, frame.reason, frame.port, frame.rule);
        (i.rx_bucket, i.rx_target) = (frame.bucket, frame.target);
    }

    fn observe_receive(&mut self) {
        if self.input.rx_valid == 0 {
            return;
        }
        if self.output.rx_ready == 0 {
            self.rx_wait += 1;
            self.rx_longest_wait = self.rx_longest_wait.max(self.rx_wait);
            return;
        }
        self.rx_wait = 0;
        self.rx_offered = false;
        let frame = self.rx.front().expect("it was offered");
        if self.rx_at == 0 {
            let ring = self.ring_of(frame);
            let sent = Sent { frame: frame.clone(), first: self.cycle };
            self.sent[ring].push_back(sent);
            self.given[ring] += 1;
        }
        self.rx_at += self.beat;
        if self.input.rx_last != 0 {
            self.rx_at = 0;
            self.rx.pop_front();
        }
    }

    // ---- transmit ------------------------------------------------------------------------------------------------------

    fn observe_transmit(&mut self, s: usize) {
        let o = &self.output;
        let sink = &mut self.sinks[s];
        let valid = o.tx_valid[s] != 0;
        let now = (o.tx_keep[s], o.tx_last[s], o.tx_port[s]);
        if let Some(held) = sink.held {
            assert!(valid && now == held, "cycle {}: stream {s} to the core changed before it was ready", self.cycle);
        }
        sink.held = None;
        if !valid {
            return;
        }
        if self.input.tx_ready[s] == 0 {
            sink.held = Some(now);
            return;
        }
        self.tx_beats[s] += 1;
        let length = o.tx_keep[s].trailing_ones() as usize;
        let last = o.tx_last[s] != 0;
        let whole = o.tx_keep[s].count_ones() as usize == length && length > 0 && (last || length == self.beat);
        assert!(whole, "cycle {}: stream {s} to the core: keep {:#x}, last {last}", self.cycle, o.tx_keep[s]);
        sink.bytes.extend_from_slice(&o.tx_data[s][..length]);
        let port = *sink.port.get_or_insert(o.tx_port[s]);
        assert!(port == o.tx_port[s], "cycle {}: the port of a frame changed", self.cycle);
        if !last {
            return;
        }
        let bytes = std::mem::take(&mut sink.bytes);
        sink.port = None;
        let same = |frame: &ToWire| frame.data == bytes && frame.port == port;
        if let Some(at) = self.former[s].iter().position(same) {
            self.former[s].drain(..=at);
            return;
        }
        self.former[s].clear();
        let Some(expected) = self.to_wire[s].pop_front() else {
            panic!("cycle {}: a frame of {} bytes on stream {s} that nobody sent", self.cycle, bytes.len())
        };
        assert_eq!(
            (bytes.len(), port),
            (expected.data.len(), expected.port),
            "cycle {}: frame on stream {s}: length, port",
            self.cycle
        );
        if let Some(at) = (0..bytes.len()).find(|&at| bytes[at] != expected.data[at]) {
            panic!("cycle {}: frame on stream {s}: byte {at} of {} is wrong", self.cycle, bytes.len());
        }
        self.wire_order.push(s);
    }

    /// A frame is on its way to the core on that stream.
    pub fn in_frame(&self, s: usize) -> bool {
        !self.sinks[s].bytes.is_empty()
    }

    // ---- events and tables -----------------------------------------------------------------------------------------------

    fn observe_events(&mut self) {
        if self.output.event_pop == 0 {
            return;
        }
        assert!(self.output.event_enable != 0, "cycle {}: an event taken while the ring is not enabled", self.cycle);
        let event =
            self.events.pop_front().unwrap_or_else(|| panic!("cycle {}: an event taken that is not there", self.cycle));
        self.popped.push_back(event);
    }

    /// A word of a table that was never written.
    pub fn table_word(id: u8, active: bool, address: u32) -> u32 {
        (address ^ u32::from(id) << 24 ^ u32::from(active) << 30).wrapping_mul(0x9e37_79b1)
    }

    fn drive_mover(&mut self) {
        let i = &mut self.input;
        i.mover_wait = self.mover_wait.into();
        i.mover_grant = (!self.mover_wait && self.random.chance(self.mover_grant)).into();
        i.mover_valid = 0;
        if let Some(&(due, data)) = self.mover_reads.front()
            && due <= self.cycle
        {
            self.mover_reads.pop_front();
            (i.mover_valid, i.mover_data) = (1, data);
        }
    }

    fn observe_mover(&mut self) {
        let o = &self.output;
        if o.mover == 0 || self.input.mover_grant == 0 {
            return;
        }
        self.mover_accesses += 1;
        let key = (o.mover_id, o.mover_active != 0, o.mover_address);
        assert!(o.mover_address < 1 << 20, "cycle {}: address {:#x}", self.cycle, o.mover_address);
        if o.mover_write != 0 {
            self.table.insert((key.0, false, key.2), o.mover_data);
        } else {
            let word = self.table.get(&key).copied().unwrap_or_else(|| Bench::table_word(key.0, key.1, key.2));
            self.mover_reads.push_back((self.cycle + self.mover_latency, word));
        }
    }

    // ---- reset -------------------------------------------------------------------------------------------------------------

    /// Sets the reset of the host side.
    pub fn drive_host_reset(&mut self, active: bool) {
        self.input.host_rst = active.into();
    }

    pub(crate) fn time_of(cycle: u64) -> u64 {
        NS_START + NS * cycle
    }

    /// The ring that a frame goes to.
    pub fn ring_of(&self, frame: &Frame) -> usize {
        if frame.control {
            return 8;
        }
        match self.reason_queue[usize::from(frame.reason)] {
            queue @ 0..=7 => queue.into(),
            _ if frame.bucket >> 12 == 1 => (self.spread[usize::from(frame.bucket & 0x7f)] & 7).into(),
            _ => (frame.queue & 7).into(),
        }
    }

    /// What kind of ring it is.
    pub(crate) fn kind(ring: usize) -> Kind {
        match ring {
            0..RECEIVE => Kind::Receive,
            9 | 10 => Kind::Transmit,
            11 => Kind::Events,
            12 => Kind::Mover,
            _ => panic!("there is no ring {ring}"),
        }
    }
}

/// Bytes that depend on their place; the number first.
pub fn pattern(number: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(number);
    let mut bytes = Vec::with_capacity(length + 8);
    bytes.extend_from_slice(&number.to_le_bytes());
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
