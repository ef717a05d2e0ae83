// SPDX-License-Identifier: Apache-2.0
//! The host side of the NIC as plain Rust, by docs/host_interface.md: the software twin that drivers are tested against without Verilator.
//!
//! Without a dataplane a test puts frames on the wire with the decision that they shall have ([`Frame`]), and takes those that the host sent
//! ([`Sent`]). Tables, check and commit are there, because the table mover needs them. A step is a clock of 250 MHz, in which a ring moves a whole
//! frame, event or command; a register access takes six.
//!
//! With a dataplane ([`SoftNic::with_dataplane`]) it is a whole NIC in software, which the program `hashgate-softnic` serves on hosts without a card:
//! docs/soft_nic.md.
//!
//! Faults are set up by the methods of [`SoftNic`]: memory that does not answer, lost interrupts, a device that goes away, answers that
//! are wrong.
#![forbid(unsafe_code)]

mod core;
mod host;
mod plane;

use crate::core::{Core, STEP_NS};
use crate::host::Host;
use crate::plane::Plane;
use hashgate_pci_sim::{Bus, Function};
use hashgate_regs::defs::Reason;
use hashgate_regs::host::BAR0_BYTES;
use hashgate_regs::registers::offset;

pub use crate::host::Spoil;

/// Wire ports.
pub const PORTS: u8 = 2;
/// Steps that a register access takes.
const ACCESS_STEPS: usize = 6;
/// Where the registers of the host interface begin.
const HOST_PAGE: usize = 0x1000;

/// A frame that the core gives to the host, with its decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The frame without FCS.
    pub bytes: Vec<u8>,
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
    /// The core's queue.
    pub queue: u8,
    /// It ends with an abort mark.
    pub aborted: bool,
}

impl Frame {
    /// A frame that is not balanced, on wire port 0.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Frame {
        Frame {
            bytes: bytes.into(),
            reason: Reason::Unfiltered,
            port: 0,
            control: false,
            rule: None,
            bucket: None,
            target: None,
            queue: 0,
            aborted: false,
        }
    }
}

/// A frame that the host sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The frame.
    pub bytes: Vec<u8>,
    /// Wire port.
    pub port: u8,
    /// It came from the control ring.
    pub control: bool,
}

/// The NIC.
pub struct SoftNic {
    core: Core,
    host: Host,
    gone: bool,
    gone_after: Option<u64>,
    looped: bool,
    /// Frames that are not there yet, with the step in which they come.
    later: Vec<(u64, Frame)>,
    /// Nanoseconds since some time, if there is a dataplane.
    clock: Option<Box<dyn Fn() -> u64 + Send>>,
    started: u64,
}

impl Default for SoftNic {
    fn default() -> SoftNic {
        SoftNic::new()
    }
}

impl SoftNic {
    /// A NIC after power-up.
    pub fn new() -> SoftNic {
        SoftNic {
            core: Core::new(),
            host: Host::new(),
            gone: false,
            gone_after: None,
            looped: false,
            later: Vec::new(),
            clock: None,
            started: 0,
        }
    }

    /// A NIC with a dataplane, one wire port and tables of full size, that goes by `clock`, in nanoseconds: frames that come in by [`SoftNic::receive`]
    /// are decided, and those that the host sends are edited, as the reference model does it.
    pub fn with_dataplane(clock: impl Fn() -> u64 + Send + 'static) -> SoftNic {
        let sizes = plane::sizes();
        let started = clock();
        let mut nic = SoftNic::new();
        nic.core = Core::with(sizes, Some(Plane::new()));
        nic.host.ports = sizes.ports;
        SoftNic { clock: Some(Box::new(clock)), started, ..nic }
    }

    /// Lets the time of the NIC follow its clock.
    fn tick(&mut self) {
        self.core.steps += 1;
        if let Some(clock) = &self.clock {
            self.core.steps = self.core.steps.max(clock().saturating_sub(self.started) / STEP_NS);
        }
    }

    /// A frame, without FCS, comes in by a wire port. Without a dataplane it is lost.
    pub fn receive(&mut self, port: u8, bytes: Vec<u8>) {
        if self.gone {
            return;
        }
        self.tick();
        self.host.wire_rx.extend(self.core.receive(port, bytes));
        self.settle();
    }

    /// Whether wire port 0 has a link; all have one at power-up.
    pub fn set_link(&mut self, link: bool) {
        self.core.link = self.core.link & !1 | u8::from(link);
    }

    /// Lets bindings end whose time is over; within less than 2^15 ticks of their clocks.
    pub fn sweep(&mut self) {
        self.tick();
        self.core.sweep();
    }

    /// How long it may be until the next [`SoftNic::sweep`].
    pub fn sweep_in(&self) -> std::time::Duration {
        self.core.plane.as_ref().map_or(plane::IDLE_SWEEP, Plane::sweep_in)
    }

    /// Takes the oldest frame that a wire port of a NIC with a dataplane sends, and its port.
    pub fn take_wire(&mut self) -> Option<(u8, Vec<u8>)> {
        self.core.plane.as_mut().and_then(Plane::take_wire)
    }

    /// Frames of the host go through the dataplane, and those that it sends come back in if the wire is looped.
    fn settle(&mut self) {
        let Some(plane) = &mut self.core.plane else { return };
        for Sent { bytes, port, .. } in self.host.sent.drain(..) {
            plane.transmit(port, &bytes);
        }
        // A frame that is forwarded to where it came from would go round for ever.
        let frames = if self.looped { plane.waiting() } else { 0 };
        for _ in 0..frames {
            let Some((port, bytes)) = self.take_wire() else { break };
            self.host.wire_rx.extend(self.core.receive(port, bytes));
        }
    }

    /// Steps since the power came.
    pub fn steps(&self) -> u64 {
        self.core.steps
    }

    /// Puts a frame behind those that wait for the host.
    pub fn inject(&mut self, frame: Frame) {
        self.host.wire_rx.push_back(frame);
    }

    /// A frame that comes after so many more steps.
    pub fn inject_later(&mut self, steps: u64, frame: Frame) {
        self.later.push((self.core.steps + steps, frame));
    }

    /// Takes the oldest frame that the host sent.
    pub fn take_sent(&mut self) -> Option<Sent> {
        self.host.sent.pop_front()
    }

    /// Frames that wait for the host.
    pub fn waiting(&self) -> usize {
        self.host.wire_rx.len()
    }

    /// Sent frames come back in by the same wire port from now on, as frames that are not balanced; those of the control ring as
    /// control frames.
    pub fn set_loop(&mut self, looped: bool) {
        self.looped = looped;
    }

    /// Something has happened to a binding; `words` are 1..=13 of the event.
    pub fn event(&mut self, words: [u32; 13]) {
        self.core.event(words);
    }

    /// Sets what `HOST_ID` and `HOST_BUILD` read.
    pub fn set_identity(&mut self, id: u32, build: u32) {
        (self.host.id, self.host.build) = (id, build);
    }

    /// From now on memory does not answer, or does so again.
    pub fn hold_memory(&mut self, hold: bool) {
        self.host.hold_memory = hold;
    }

    /// From now on interrupts are lost, or not any more.
    pub fn lose_interrupts(&mut self, lose: bool) {
        self.host.lose_interrupts = lose;
    }

    /// From now on `spoil` sees every answer before it is written, and may change it.
    pub fn spoil_answers(&mut self, spoil: Option<Spoil>) {
        self.host.spoil = spoil;
    }

    /// The device goes away, or comes back as it was: reads give all ones, writes are lost, nothing is done.
    pub fn set_gone(&mut self, gone: bool) {
        self.gone = gone;
    }

    /// The device goes away after so many more steps.
    pub fn go_after(&mut self, steps: u64) {
        self.gone_after = Some(self.core.steps + steps);
    }

    fn pass(&mut self, bus: &dyn Bus) {
        for _ in 0..ACCESS_STEPS {
            self.step(bus);
        }
    }
}

impl Function for SoftNic {
    fn bar0_bytes(&self) -> usize {
        BAR0_BYTES
    }

    fn read_register(&mut self, at: usize, bus: &dyn Bus) -> u32 {
        self.pass(bus);
        match at {
            _ if self.gone => u32::MAX,
            0..HOST_PAGE => self.core.read(at),
            _ => self.host.read(at, self.core.steps),
        }
    }

    fn write_register(&mut self, at: usize, value: u32, bus: &dyn Bus) {
        match at {
            _ if self.gone => {}
            0..HOST_PAGE => {
                self.core.write(at, value);
                // A reset of everything is one of the host side, too.
                if at == offset::FULL_RESET && value & 1 == 1 {
                    self.host.reset(self.core.steps);
                }
            }
            _ => self.host.write(at, value, self.core.steps, bus),
        }
        self.pass(bus);
    }

    fn step(&mut self, bus: &dyn Bus) {
        self.tick();
        if self.gone_after.is_some_and(|steps| steps <= self.core.steps) {
            (self.gone, self.gone_after) = (true, None);
        }
        if self.gone {
            return;
        }
        let now = self.core.steps;
        for (_, frame) in self.later.extract_if(.., |(due, _)| *due <= now) {
            self.host.wire_rx.push_back(frame);
        }
        self.host.step(&mut self.core, bus);
        self.settle();
        while self.looped && self.core.plane.is_none() {
            let Some(Sent { bytes, port, control }) = self.host.sent.pop_front() else { break };
            let reason = if control { Reason::Control } else { Reason::Unfiltered };
            self.inject(Frame { reason, port, control, ..Frame::plain(bytes) });
        }
    }

    fn is_idle(&self) -> bool {
        self.gone_after.is_none() && (self.gone || self.later.is_empty() && self.host.is_idle(&self.core))
    }

    fn reset_host_side(&mut self, _bus: &dyn Bus) {
        self.host.reset(self.core.steps);
    }
}
