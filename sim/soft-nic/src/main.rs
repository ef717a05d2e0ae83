// SPDX-License-Identifier: Apache-2.0
//! `hashgate-softnic`: a NIC for a host without a card, behind a vfio-user socket.
//!
//! Exit codes: 0, ended by SIGTERM or SIGINT; 1, it could not go on; 2, it could not start, and nothing was left behind.
#![forbid(unsafe_code)]

use clap::Parser;
use hashgate_netdev::{MAX_FRAME, NetDevice, PacketSocket, Tap};
use hashgate_pci_sim::{InProcess, VfioUserServer};
use hashgate_soft_nic::SoftNic;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// Frames that may wait for the host; beyond it they wait in the interface, which drops what it cannot keep.
const WAITING: usize = 64;
/// Steps between two looks at sockets and the interface while the NIC is busy.
const STEPS: u64 = 256;
/// Shortest frame on a wire; senders fill shorter ones up.
const MIN_FRAME: usize = 60;

/// Serves a NIC in software to a driver, with its wire port plugged into an interface.
///
/// It decides frames by the same rules as the card; whoever speaks vfio-user can attach, one at a time. Tables, bindings and lease outlive the
/// driver, but not this process.
#[derive(Parser, Debug)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    /// Where to listen. A socket that a dead server left there is replaced.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// What the wire port is plugged into: raw:INTERFACE (one that exists) or tap:NAME.
    #[arg(long, value_name = "PLUG", required = true)]
    port: Vec<Plug>,
}

#[derive(Clone, Debug)]
enum Plug {
    Tap(String),
    Raw(String),
}

impl FromStr for Plug {
    type Err = String;

    fn from_str(text: &str) -> Result<Plug, String> {
        match text.split_once(':') {
            Some(("tap", name)) if !name.is_empty() => Ok(Plug::Tap(name.into())),
            Some(("raw", name)) if !name.is_empty() => Ok(Plug::Raw(name.into())),
            _ => Err("write raw:INTERFACE or tap:NAME".into()),
        }
    }
}

impl Plug {
    fn open(&self) -> io::Result<Box<dyn NetDevice>> {
        Ok(match self {
            Plug::Tap(name) => Box::new(Tap::open(name, false)?),
            Plug::Raw(name) => Box::new(PacketSocket::open(name)?),
        })
    }
}

/// Nanoseconds since the machine started, sleep included: a lease must not outlive it.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

struct Server {
    device: InProcess<SoftNic>,
    server: VfioUserServer<SoftNic>,
    wire: Box<dyn NetDevice>,
    stop: UnixStream,
    buffer: Vec<u8>,
    /// Frames that the interface did not take.
    lost: u64,
}

fn start(cli: &Cli) -> anyhow::Result<Server> {
    let [plug] = &cli.port[..] else {
        anyhow::bail!("{} times --port: this NIC has one wire port, give it once", cli.port.len());
    };
    let (stop, signalled) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, signalled.try_clone()?)?;
    }
    let wire = plug.open()?;
    let device = InProcess::new(SoftNic::with_dataplane(now));
    let server = VfioUserServer::new(device.clone(), &cli.socket)?;
    Ok(Server { device, server, wire, stop, buffer: vec![0; MAX_FRAME + 1], lost: 0 })
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.device.nic().set_link(self.wire.has_link());
            self.server.work()?;
            if let Some(complaint) = self.server.take_complaint() {
                eprintln!("hashgate-softnic: a driver was let go: {complaint}");
            }
            let mut moved = self.receive()?;
            let idle = self.device.run_until_idle(STEPS);
            moved |= self.send();
            if self.wait(if idle && !moved { self.device.nic().sweep_in() } else { Duration::ZERO })? {
                return Ok(());
            }
            self.device.nic().sweep();
        }
    }

    /// Takes frames from the wire; gives whether there were any.
    fn receive(&mut self) -> io::Result<bool> {
        let mut nic = self.device.nic();
        let mut moved = false;
        for _ in 0..WAITING {
            if nic.waiting() >= WAITING {
                break;
            }
            let Some(length) = self.wire.receive(&mut self.buffer)? else { break };
            let mut frame = self.buffer[..length].to_vec();
            frame.resize(length.max(MIN_FRAME), 0);
            nic.receive(0, frame);
            moved = true;
        }
        Ok(moved)
    }

    /// Gives frames to the wire; what it does not take is gone, as on a wire, and counted.
    fn send(&mut self) -> bool {
        let mut moved = false;
        while let Some((_, frame)) = self.device.nic().take_wire() {
            // One that is down or full takes nothing.
            self.lost += u64::from(!matches!(self.wire.send(&frame), Ok(true)));
            moved = true;
        }
        moved
    }

    /// Waits until something happens; gives whether this is the end.
    fn wait(&self, limit: Duration) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&self.stop, PollFlags::IN), PollFd::new(&self.wire, PollFlags::IN)];
        fds.extend(self.server.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!fds[0].revents().is_empty()),
            Err(error) => Err(error.into()),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut server = match start(&cli) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("hashgate-softnic: {error}");
            return ExitCode::from(2);
        }
    };
    let result = server.run();
    if server.lost > 0 {
        eprintln!("hashgate-softnic: the interface did not take {} frames", server.lost);
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hashgate-softnic: {error}");
            ExitCode::from(1)
        }
    }
}
