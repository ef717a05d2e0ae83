// SPDX-License-Identifier: Apache-2.0
//! `lbsim serve`: a NIC behind a vfio-user socket, with its wires plugged into something.

use crate::node::{Width, sim_build};
use crate::report::Style;
use crate::wire::{Plug, Wire};
use crate::{refuse, say};
use anyhow::Result;
use hashgate_pci_sim::VfioUserServer;
use hashgate_regs::registers::offset;
use hashgate_sim::{InProcess, SimNic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Cycles between two looks at sockets and interfaces while the NIC is busy: some hundred microseconds, which a register access may have to wait.
const CYCLES: u64 = 64;
/// The clock of the NIC is put forward by this much at most before the binding tables are swept: a quarter of the time after which the shortest of their
/// clocks begins anew.
const LONGEST_LEAP: Duration = Duration::from_secs(16);
/// Cycles that the sweep of a binding table takes for a session, and some more.
const SWEEP_CYCLES: u64 = 8;

/// Serves a NIC to a driver.
///
/// The clock of the NIC follows that of the machine: what it did not need cycles for is skipped. While nothing happens no processor time is used.
#[derive(clap::Args, Debug)]
pub struct Serve {
    /// Where to listen; whoever speaks vfio-user can attach, one at a time: this project's driver, or QEMU (-device vfio-user-pci).
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// What a wire port is plugged into: tap:NAME, raw:INTERFACE, pcap:FILE, loop or none; once for each port in their order [default: none].
    #[arg(long, value_name = "PLUG")]
    port: Vec<Plug>,
    /// Build of the NIC. The 512-bit one must be compiled in (HASHGATE_BUILDS with nic512).
    #[arg(long, value_enum, default_value_t = Width::B64)]
    build: Width,
    /// Write a waveform (FST). Slow.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl Serve {
    /// Runs the command; ends only with an error or a signal.
    ///
    /// # Errors
    /// A refusal if the socket or an interface cannot be had or the build is not compiled in.
    pub fn run(&self) -> Result<()> {
        let build = sim_build(self.build.build());
        if self.port.len() > build.ports() {
            return Err(refuse(format!("{} ports: the {build}-bit build has {}", self.port.len(), build.ports())));
        }
        let mut nic = SimNic::with_host_interface(build, 0).map_err(refuse)?;
        if let Some(path) = &self.trace {
            nic.trace(path).map_err(refuse)?;
        }
        let clock = Clock::new(&mut nic);
        let device = InProcess::new(nic);
        let plugs = self.port.iter().chain(std::iter::repeat(&Plug::None)).take(build.ports());
        let wires = (0..).zip(plugs).map(|(number, plug)| Wire::new(number, plug)).collect::<Result<Vec<_>>>()?;
        let server = VfioUserServer::new(device.clone(), &self.socket).map_err(refuse)?;
        say!("{} {build}-bit NIC at {}", Style::stdout().heading("serving"), self.socket.display())?;
        Server { device, server, wires, clock }.run()
    }
}

struct Server {
    device: InProcess,
    server: VfioUserServer<SimNic>,
    wires: Vec<Wire>,
    clock: Clock,
}

impl Server {
    fn run(&mut self) -> Result<()> {
        let mut connected = false;
        loop {
            self.clock.follow(&self.device);
            for (port, wire) in (0..).zip(&self.wires) {
                self.device.nic().set_link(port, wire.has_link());
            }
            self.server.work()?;
            if let Some(complaint) = self.server.take_complaint() {
                eprintln!("lbsim: a driver was let go: {complaint}");
            }
            if connected != self.server.has_client() {
                connected = !connected;
                say!("{}", if connected { "a driver has come" } else { "the driver has gone" })?;
                if !connected {
                    self.tell()?;
                }
            }
            let idle = self.device.run_until_idle(CYCLES);
            // After the NIC, so that nothing that it has sent waits while we sleep.
            let now = self.clock.elapsed();
            let mut moved = false;
            for wire in &mut self.wires {
                moved |= wire.exchange(&mut self.device.nic(), now)?;
            }
            self.wait(idle && !moved)?;
        }
    }

    /// Waits until something happens, if the NIC is idle.
    fn wait(&self, idle: bool) -> Result<()> {
        let now = self.clock.elapsed();
        let next = self.wires.iter().filter_map(|wire| wire.next_in(now)).min();
        let limit = if idle { next.unwrap_or(LONGEST_LEAP).min(LONGEST_LEAP) } else { Duration::ZERO };
        let fds = self.server.fds().chain(self.wires.iter().filter_map(Wire::fd));
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn tell(&self) -> Result<()> {
        for (number, wire) in self.wires.iter().enumerate() {
            say!("  port {number}: {} frames in, {} out, {} not taken", wire.received, wire.sent, wire.dropped)?;
        }
        for fault in self.device.take_faults().first {
            say!("  IOMMU: {fault:?}")?;
        }
        Ok(())
    }
}

/// Lets the clock of the NIC follow that of the machine.
struct Clock {
    start: Instant,
    /// Time of the NIC that cycles did not make.
    skipped: Duration,
    /// Sessions of a binding table.
    sessions: u64,
    clock_khz: u64,
}

impl Clock {
    fn new(nic: &mut SimNic) -> Clock {
        let mut register = |offset: usize| u64::from(nic.read_register(offset as u16));
        let (sessions, clock_khz) = (register(offset::BUILD4), register(offset::CLOCK_KHZ));
        Clock { start: Instant::now(), skipped: Duration::ZERO, sessions, clock_khz }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Skips what the NIC is behind.
    fn follow(&mut self, device: &InProcess) {
        let mut nic = device.nic();
        loop {
            let of_cycles = Duration::from_nanos(nic.cycle() * 1_000_000 / self.clock_khz);
            let leap = self.start.elapsed().saturating_sub(self.skipped + of_cycles).min(LONGEST_LEAP);
            nic.skip_time(leap.as_nanos() as u64);
            self.skipped += leap;
            if leap < LONGEST_LEAP {
                return;
            }
            // What ended long ago must be cleared away before its time comes round again.
            let used = |nic: &mut SimNic, table: usize| nic.read_register((offset::BINDING_USED + table * 0x30) as u16);
            if used(&mut nic, 0) + used(&mut nic, 1) > 0 {
                drop(nic);
                device.run(SWEEP_CYCLES * self.sessions);
                nic = device.nic();
            }
        }
    }
}
