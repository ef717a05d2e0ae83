// SPDX-License-Identifier: Apache-2.0
//! A simulated NIC.
//!
//! [`SimNic`] gives the Verilated NIC frames on its wires, register accesses, and a host: either one that takes and sends frames at the
//! streams of the core, or, with the host interface, one whose memory the NIC reaches by DMA.
//! [`InProcess`] shows it to a driver as a PCI device. Time is counted in clock cycles, which pass only in
//! [`SimNic::step`] and in what is built on it; nothing depends on the machine's clock.
#![forbid(unsafe_code)]

mod host_memory;
mod pci;
mod ready;
mod stream;
mod walk;

pub use hashgate_verilated_sys::{Build, ModelError, NicMemory};
pub use host_memory::DEFAULT_LATENCY;
pub use pci::{BAR0_BYTES, InProcess};
pub use ready::Ready;
pub use stream::{HostFrame, IngressStamp, SentFrame, VerdictEvent, WireFrame};
pub use walk::Walk;

use hashgate_pci_sim::{Bus, BusError};
use hashgate_regs::defs::{Reason, Verdict};
use hashgate_regs::registers::{Build0, offset};
use hashgate_verilated_sys::{In, Model, Out};
use host_memory::HostMemory;
use ready::Throttle;
use std::collections::VecDeque;
use std::path::Path;
use stream::{Receiver, Sender};
use walk::Walker;

/// Cycles of reset after power-on.
const RESET_CYCLES: u32 = 16;
/// A register access that takes longer than this has hung: more than the initialisation and a commit together.
const REGISTER_CYCLES: u32 = 200_000;
/// Length of a reset of the host side.
const HOST_RESET_CYCLES: u32 = 4;
/// Cycles without any output after which no frame is left inside, when as many frames were reported as were received.
const QUIET_CYCLES: u64 = 256;
/// The same when some were not (lost before the pipeline): longer than the longest frames of both ports.
const LONG_QUIET_CYCLES: u64 = 8192;

/// Frames were still moving, or stuck, when the cycles given to [`SimNic::run_until_idle`] were over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotIdle {
    /// Cycles given.
    pub cycles: u64,
}

impl std::fmt::Display for NotIdle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the NIC was not idle after {} cycles: give it more, or make the receivers ready", self.cycles)
    }
}

impl std::error::Error for NotIdle {}

/// The Verilated core, with queues of frames at its streams.
///
/// Frames that come out, events and stamps are kept until they are popped.
///
/// # Panics
/// Every method that lets time pass panics with the text of the assertion if one of the RTL fails, and if the core
/// breaks a rule of its streams (a beat that changes while it waits, a gap in a beat, a wire port that is not ready to
/// receive, an unknown verdict or reason).
pub struct SimNic {
    model: Model,
    build: Build,
    fcs: bool,
    cycle: u64,
    input: In,
    output: Out,
    wire_rx: Vec<Sender>,
    wire_tx: Vec<Receiver>,
    wire_ready: Vec<Throttle>,
    host_rx: Receiver,
    host_ready: Throttle,
    host_tx: [Sender; 2],
    sent: Vec<VecDeque<SentFrame>>,
    delivered: VecDeque<HostFrame>,
    events: VecDeque<VerdictEvent>,
    ingress: VecDeque<IngressStamp>,
    /// Frames received on the wires and not yet reported by an event.
    inside: u64,
    /// Last cycle in which anything went in or came out.
    active: u64,
    /// Of a NIC with the host interface.
    memory: Option<HostMemory>,
    walker: Option<Walker>,
}

/// The host of a NIC that has none: no memory, and nobody who gets messages.
struct NoHost;

impl Bus for NoHost {
    fn read(&self, _: u64, _: &mut [u8]) -> Result<(), BusError> {
        Err(BusError)
    }
    fn write(&self, _: u64, _: &[u8]) -> Result<(), BusError> {
        Err(BusError)
    }
    fn interrupt(&self, _: u16) {}
}

impl SimNic {
    /// Powers a NIC on: registers and memories at zero, then a reset. Its tables initialise themselves while time goes
    /// on (`STATUS.ready`).
    ///
    /// # Errors
    /// [`ModelError::NotCompiledIn`].
    pub fn new(build: Build) -> Result<SimNic, ModelError> {
        SimNic::with_seed(build, 0)
    }

    /// As [`SimNic::new`], with registers and memories at values drawn from `seed` unless that is 0: what works then
    /// does not rely on anything that the reset forgot.
    ///
    /// # Errors
    /// [`ModelError::NotCompiledIn`].
    pub fn with_seed(build: Build, seed: u32) -> Result<SimNic, ModelError> {
        Ok(SimNic::power_on(Model::new(build, seed)?, false))
    }

    /// A NIC with the host interface: its host side is memory and messages on a [`Bus`], which the methods named `..._on` take.
    /// Its other methods let time pass without a host. It has 8 KiB of registers, and no streams of frames to and from the host.
    ///
    /// # Errors
    /// [`ModelError::HostNotCompiledIn`].
    pub fn with_host_interface(build: Build, seed: u32) -> Result<SimNic, ModelError> {
        Ok(SimNic::power_on(Model::with_host(build, seed)?, true))
    }

    fn power_on(model: Model, with_host: bool) -> SimNic {
        let build = model.build();
        let (ports, beat) = (build.ports(), build.beat_bytes());
        let mut nic = SimNic {
            model,
            build,
            fcs: false,
            cycle: 0,
            input: In::default(),
            output: Out::default(),
            wire_rx: (0..ports).map(|_| Sender::new(beat)).collect(),
            wire_tx: (0..ports).map(|_| Receiver::new(beat)).collect(),
            wire_ready: vec![Throttle::new(Ready::Always); ports],
            host_rx: Receiver::new(beat),
            host_ready: Throttle::new(Ready::Always),
            host_tx: [Sender::new(beat), Sender::new(beat)],
            sent: vec![VecDeque::new(); ports],
            delivered: VecDeque::new(),
            events: VecDeque::new(),
            ingress: VecDeque::new(),
            inside: 0,
            active: 0,
            memory: with_host.then(|| HostMemory::new(beat)),
            walker: None,
        };
        nic.input.rst = 1;
        nic.run(RESET_CYCLES.into());
        nic.input.rst = 0;
        nic.fcs = Build0::from_bits(nic.read_register(offset::BUILD0 as u16)).fcs;
        nic
    }

    /// Whether it has the host interface.
    pub fn has_host_interface(&self) -> bool {
        self.memory.is_some()
    }

    /// Cycles from a request of the NIC to host memory until the answer; [`DEFAULT_LATENCY`] at first.
    pub fn set_memory_latency(&mut self, cycles: u64) {
        if let Some(memory) = &mut self.memory {
            memory.set_latency(cycles);
        }
    }

    /// Puts the clock of the NIC forward without cycles, as if nothing had happened for so long; for a NIC with the host interface.
    pub fn skip_time(&mut self, nanoseconds: u64) {
        self.model.skip_time(nanoseconds);
    }

    /// Whether the MAC of a wire port has a link. It has one after power-on; frames pass whatever it is.
    ///
    /// # Panics
    /// If the NIC has no such port.
    pub fn set_link(&mut self, port: u8, link: bool) {
        self.input.wire_down[usize::from(port)] = u8::from(!link);
    }

    /// Resets the host side, as a function-level reset does: rings and interrupts; the wire path goes on.
    pub fn reset_host_side_on(&mut self, bus: &dyn Bus) {
        self.input.host_rst = 1;
        for _ in 0..HOST_RESET_CYCLES {
            self.step_on(bus);
        }
        self.input.host_rst = 0;
        self.step_on(bus);
    }

    /// The build it was made for.
    pub fn build(&self) -> Build {
        self.build
    }

    /// Cycles since power-on; the number of the next one.
    pub fn cycle(&self) -> u64 {
        self.cycle
    }

    /// Whether wire frames carry an FCS; the simulator adds it to frames pushed.
    pub fn fcs(&self) -> bool {
        self.fcs
    }

    /// One clock cycle.
    pub fn step(&mut self) {
        self.step_on(&NoHost);
    }

    /// One clock cycle, in which a NIC with the host interface reaches `bus`.
    pub fn step_on(&mut self, bus: &dyn Bus) {
        if let Some(memory) = &mut self.memory {
            memory.offer(self.cycle, bus, &mut self.input.memory);
        }
        for (port, sender) in self.wire_rx.iter_mut().enumerate() {
            if sender.pending() > 0 {
                self.active = self.cycle;
            }
            if sender.offer(&mut self.input.wire_rx[port]) {
                self.inside += 1;
                self.ingress.push_back(IngressStamp { port: port as u8, first_beat_cycle: self.cycle });
            }
        }
        for (port, ready) in self.wire_ready.iter_mut().enumerate() {
            self.input.wire_tx_ready[port] = ready.next().into();
        }
        self.input.host_rx_ready = self.host_ready.next().into();
        for (sender, beat) in self.host_tx.iter_mut().zip(&mut self.input.host_tx) {
            if sender.pending() > 0 {
                self.active = self.cycle;
            }
            sender.offer(beat);
        }
        if let Some(walker) = &mut self.walker {
            walker.offer(&mut self.input);
        }
        if let Err(error) = self.model.step(&self.input, &mut self.output) {
            panic!("cycle {}, {}-bit build: {error}", self.cycle, self.build);
        }
        if self.input.rst == 0 {
            self.collect();
            self.collect_host(bus);
            if let Some(walker) = &mut self.walker {
                walker.take(&self.input, &self.output);
            }
        }
        self.cycle += 1;
    }

    /// Takes what the core gave in this cycle.
    fn collect(&mut self) {
        let (input, output, cycle) = (&self.input, &self.output, self.cycle);
        for (port, sender) in self.wire_rx.iter_mut().enumerate() {
            if input.wire_rx[port].valid != 0 {
                assert!(output.wire_rx_ready[port] != 0, "cycle {cycle}: wire port {port} is not ready to receive");
                sender.taken();
            }
        }
        for (stream, sender) in self.host_tx.iter_mut().enumerate() {
            if input.host_tx[stream].valid != 0 && output.host_tx_ready[stream] != 0 {
                sender.taken();
            }
        }
        for (port, receiver) in self.wire_tx.iter_mut().enumerate() {
            let beat = &output.wire_tx[port];
            if beat.valid != 0 {
                self.active = cycle;
            }
            if let Some(frame) = receiver.take(beat, input.wire_tx_ready[port] != 0, cycle) {
                let (data, first_beat_cycle) = (frame.data, frame.first_beat_cycle);
                let aborted = beat.user != 0;
                self.sent[port].push_back(SentFrame { data, aborted, first_beat_cycle, last_beat_cycle: cycle });
            }
        }
        if output.host_rx.valid != 0 {
            self.active = cycle;
        }
        if let Some(frame) = self.host_rx.take(&output.host_rx, input.host_rx_ready != 0, cycle) {
            self.delivered.push_back(HostFrame {
                data: frame.data,
                aborted: output.host_rx.user != 0,
                control: output.host_rx_control != 0,
                queue: output.host_rx_queue,
                reason: reason(output.host_rx_reason, cycle),
                port: output.host_rx_port,
                rule: below_valid_bit(output.host_rx_rule.into(), 7).map(|rule| rule as u8),
                bucket: below_valid_bit(output.host_rx_bucket, 12),
                target: below_valid_bit(output.host_rx_target, 10),
                first_beat_cycle: frame.first_beat_cycle,
                last_beat_cycle: cycle,
            });
        }
        if output.event_valid != 0 {
            self.active = cycle;
            self.inside = self.inside.saturating_sub(1);
            let verdict = Verdict::try_from(output.event_verdict);
            self.events.push_back(VerdictEvent {
                verdict: verdict.unwrap_or_else(|error| panic!("cycle {cycle}: {error}")),
                reason: reason(output.event_reason, cycle),
                port: output.event_port,
                out_port: output.event_out_port,
                queue: output.event_queue,
                control: output.event_control != 0,
                rule: below_valid_bit(output.event_rule.into(), 7).map(|rule| rule as u8),
                bucket: below_valid_bit(output.event_bucket, 12),
                target: below_valid_bit(output.event_target, 10),
                length: output.event_length,
                aborted: output.event_aborted != 0,
                generation: output.event_generation != 0,
                found: by_table(output.event_found),
                refused: by_table(output.event_refused),
                cycle,
            });
        }
    }

    /// Takes what the host interface gave in this cycle.
    fn collect_host(&mut self, bus: &dyn Bus) {
        let Some(memory) = &mut self.memory else { return };
        memory.take(self.cycle, bus, &self.input.memory, &self.output.memory);
        // A request falls in the cycle after it was acknowledged.
        let requests = self.output.interrupt_req & !self.input.interrupt_ack;
        self.input.interrupt_ack = requests;
        if requests != 0 {
            (0..16).filter(|vector| requests >> vector & 1 != 0).for_each(|vector| bus.interrupt(vector));
        }
        if requests != 0 || !memory.is_quiet() {
            self.active = self.cycle;
        }
    }

    /// `cycles` clock cycles.
    pub fn run(&mut self, cycles: u64) {
        for _ in 0..cycles {
            self.step();
        }
    }

    /// Steps until all frames pushed have gone in and nothing has come out for so long that none is left inside.
    ///
    /// # Errors
    /// [`NotIdle`] if that takes more than `max_cycles`.
    pub fn run_until_idle(&mut self, max_cycles: u64) -> Result<(), NotIdle> {
        self.run_until_idle_on(max_cycles, &NoHost)
    }

    /// As [`SimNic::run_until_idle`], with a host.
    ///
    /// # Errors
    /// As [`SimNic::run_until_idle`].
    pub fn run_until_idle_on(&mut self, max_cycles: u64, bus: &dyn Bus) -> Result<(), NotIdle> {
        let start = self.cycle;
        self.active = start;
        loop {
            if self.is_idle() {
                self.inside = 0;
                return Ok(());
            }
            if self.cycle - start >= max_cycles {
                return Err(NotIdle { cycles: max_cycles });
            }
            self.step_on(bus);
        }
    }

    /// Whether all frames pushed have gone in, and nothing has come out or been asked of it for so long that nothing is left inside.
    pub fn is_idle(&self) -> bool {
        let sending = self.wire_rx.iter().chain(&self.host_tx).any(|sender| sender.pending() > 0);
        let quiet = self.cycle - self.active;
        !sending && (quiet >= LONG_QUIET_CYCLES || (self.inside == 0 && quiet >= QUIET_CYCLES))
    }

    /// Queues a frame to arrive at wire port `port`; the FCS is added if the build has it on the stream.
    ///
    /// # Panics
    /// If the build has no such port, or the frame has no bytes at all on the stream.
    pub fn push_wire(&mut self, port: u8, frame: WireFrame) {
        let WireFrame { mut data, error, gap } = frame;
        if self.fcs {
            let fcs = crc32fast::hash(&data);
            data.extend_from_slice(&fcs.to_le_bytes());
        }
        self.sender(port).push(data, error.into(), gap);
    }

    fn sender(&mut self, port: u8) -> &mut Sender {
        let ports = self.build.ports();
        self.wire_rx.get_mut(usize::from(port)).unwrap_or_else(|| panic!("wire port {port}: the build has {ports}"))
    }

    /// Queues a frame (without FCS) for transmission on wire port `port`, in the data or the control stream.
    ///
    /// # Panics
    /// If the build has no such port or the frame is empty.
    pub fn push_host(&mut self, control: bool, port: u8, data: Vec<u8>) {
        assert!(usize::from(port) < self.build.ports(), "wire port {port}: the build has {}", self.build.ports());
        self.host_tx[usize::from(control)].push(data, port, 0);
    }

    /// Starts a walk over bindings, instead of the one before if that is still under way; for a NIC without the host interface, whose table mover does it.
    pub fn start_walk(&mut self, walk: Walk) {
        self.walker = Some(Walker::new(walk));
    }

    /// All words of the walk, once, when they have come.
    pub fn walked(&mut self) -> Option<Vec<u32>> {
        let words = self.walker.as_mut()?.done()?;
        self.walker = None;
        self.input.walk_read = 0;
        Some(words)
    }

    /// When the host takes beats; at first always.
    pub fn set_host_ready(&mut self, ready: Ready) {
        self.host_ready = Throttle::new(ready);
    }

    /// When wire port `port` takes beats; at first always.
    ///
    /// # Panics
    /// If the build has no such port.
    pub fn set_wire_ready(&mut self, port: u8, ready: Ready) {
        self.wire_ready[usize::from(port)] = Throttle::new(ready);
    }

    /// The next frame that the host has received completely.
    pub fn pop_host(&mut self) -> Option<HostFrame> {
        self.delivered.pop_front()
    }

    /// The next frame that has left wire port `port` completely, without FCS.
    ///
    /// # Panics
    /// If the build has no such port.
    pub fn pop_wire(&mut self, port: u8) -> Option<SentFrame> {
        self.sent[usize::from(port)].pop_front()
    }

    /// The next verdict; one for each received frame, in the order of the pipeline.
    pub fn pop_event(&mut self) -> Option<VerdictEvent> {
        self.events.pop_front()
    }

    /// When the next frame came in; one for each frame, in order of their first beats.
    pub fn pop_ingress(&mut self) -> Option<IngressStamp> {
        self.ingress.pop_front()
    }

    /// Frames pushed to the wires that have not gone in completely.
    pub fn rx_pending(&self) -> usize {
        self.wire_rx.iter().map(Sender::pending).sum()
    }

    /// Frames pushed by the host that have not gone in completely.
    pub fn tx_pending(&self) -> usize {
        self.host_tx.iter().map(Sender::pending).sum()
    }

    /// Flips bits of a word of a memory, as a particle does; see [`Model::upset`].
    pub fn upset(&mut self, memory: NicMemory, word: u32, bits: u64) {
        self.model.upset(memory, word, bits);
    }

    /// Writes a waveform from now on until [`SimNic::end_trace`] or the end.
    ///
    /// # Errors
    /// [`ModelError::Trace`] if the file cannot be made.
    pub fn trace(&mut self, path: &Path) -> Result<(), ModelError> {
        self.model.trace_open(path)
    }

    /// Completes the waveform.
    pub fn end_trace(&mut self) {
        self.model.trace_close();
    }

    /// Reads the register at `offset` over AXI4-Lite while everything else goes on; all ones if the NIC answers with an
    /// error, as over PCI Express.
    ///
    /// # Panics
    /// Also if the NIC does not answer at all.
    pub fn read_register(&mut self, offset: u16) -> u32 {
        self.read_register_on(offset, &NoHost)
    }

    /// As [`SimNic::read_register`], with a host.
    ///
    /// # Panics
    /// As [`SimNic::read_register`].
    pub fn read_register_on(&mut self, offset: u16, bus: &dyn Bus) -> u32 {
        self.input.araddr = offset;
        self.input.arvalid = 1;
        self.input.rready = 1;
        for _ in 0..REGISTER_CYCLES {
            self.step_on(bus);
            if self.output.arready != 0 {
                self.input.arvalid = 0;
            }
            if self.output.rvalid != 0 {
                self.input.rready = 0;
                return if self.output.rresp == 0 { self.output.rdata } else { u32::MAX };
            }
        }
        panic!("cycle {}: no answer to a read of register {offset:#05x} for {REGISTER_CYCLES} cycles", self.cycle);
    }

    /// Writes the register at `offset` over AXI4-Lite while everything else goes on; lost if the NIC answers with an
    /// error.
    ///
    /// # Panics
    /// Also if the NIC does not answer at all.
    pub fn write_register(&mut self, offset: u16, value: u32) {
        self.write_register_on(offset, value, &NoHost);
    }

    /// As [`SimNic::write_register`], with a host.
    ///
    /// # Panics
    /// As [`SimNic::write_register`].
    pub fn write_register_on(&mut self, offset: u16, value: u32, bus: &dyn Bus) {
        self.input.awaddr = offset;
        self.input.awvalid = 1;
        self.input.wdata = value;
        self.input.wstrb = 0xf;
        self.input.wvalid = 1;
        self.input.bready = 1;
        for _ in 0..REGISTER_CYCLES {
            self.step_on(bus);
            if self.output.awready != 0 {
                self.input.awvalid = 0;
            }
            if self.output.wready != 0 {
                self.input.wvalid = 0;
            }
            if self.output.bvalid != 0 {
                self.input.bready = 0;
                // It may have asked for something.
                self.active = self.cycle;
                return;
            }
        }
        panic!("cycle {}: no answer to a write of register {offset:#05x} for {REGISTER_CYCLES} cycles", self.cycle);
    }
}

fn reason(id: u8, cycle: u64) -> Reason {
    Reason::try_from(id).unwrap_or_else(|error| panic!("cycle {cycle}: {error}"))
}

/// Bit 0 is for the connection table, bit 1 for the affinity table.
fn by_table(bits: u8) -> [bool; 2] {
    [bits & 1 != 0, bits & 2 != 0]
}

/// The value below bit `valid` if that bit is set.
fn below_valid_bit(field: u16, valid: u32) -> Option<u16> {
    (field >> valid & 1 == 1).then_some(field & ((1 << valid) - 1))
}
