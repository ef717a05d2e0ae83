// SPDX-License-Identifier: Apache-2.0
//! What the host path moves between a NIC and the kernel.
//!
//! The host path of `driver/hostpath` runs in a process of its own (this program again), in a network namespace of its own with a TAP device, on a NIC that is
//! served from here over vfio-user: by the twin in plain Rust, or the Verilated one, which is far slower than the host path. Frames in go to the
//! kernel, which has no use for them; frames out come from a packet socket at the TAP device. Processor time is that of the host path's one thread, the kernel's part
//! of its system calls included: what the kernel does with frames behind them, and what sends them, is not in it.

use super::rig::{Folder, serve};
use anyhow::{Context, Result, bail, ensure};
use hashgate_hostpath::{HostPath, Listener, Options, Stats};
use hashgate_netdev::{NetDevice, PacketSocket, Tap};
use hashgate_pci_sim::{Function, InProcess, VfioUserServer};
use hashgate_sim::{SimNic, WireFrame};
use hashgate_soft_nic::{Frame, SoftNic};
use hashgate_vfio_user::VfioUser;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Name of the TAP device in the namespace.
const TAP: &str = "hg0";
/// Frames that wait at the NIC.
const WAITING: usize = 256;
/// Exit code of a host path that cannot have a TAP device.
const SKIPPED: i32 = 77;
/// Bytes of the frames, without FCS.
pub const SIZES: [usize; 2] = [60, 1514];

/// Frames one way, all of one size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Flow {
    pub frames: u64,
    pub frames_per_s: f64,
    pub mbit_per_s: f64,
    /// Processor cycles of the host path's thread for a frame.
    pub cpu_cycles_per_frame: f64,
    /// Part of the time in which it had a processor.
    pub cpu_share: f64,
}

/// A NIC, both ways, with frames of [`SIZES`].
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Flows {
    to_kernel_60: Flow,
    to_kernel_1514: Flow,
    from_kernel_60: Flow,
    from_kernel_1514: Flow,
}

impl Flows {
    /// With their names.
    pub fn all(&self) -> [(&'static str, Flow); 4] {
        [
            ("60 bytes to the kernel", self.to_kernel_60),
            ("1514 bytes to the kernel", self.to_kernel_1514),
            ("60 bytes from the kernel", self.from_kernel_60),
            ("1514 bytes from the kernel", self.from_kernel_1514),
        ]
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// On the twin in plain Rust. The host path is the limit only where it had a processor nearly all the time (`cpu_share`); else the twin, what sends the frames, or the
    /// machine's other work is, and the cycles of a frame are what counts.
    pub twin: Flows,
    /// On the Verilated NIC, which is the limit.
    pub verilated: Flows,
}

/// What the other process tells at its end.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    nanoseconds: u64,
    cpu_nanoseconds: u64,
    stats: Stats,
}

/// Measures everything, each for `time`; gives the reason if there can be no host path here. `verilated` makes a NIC with tables that deliver every one of the
/// frames that it comes with.
pub fn measure(
    time: Duration,
    cpu_hz: f64,
    mut verilated: impl FnMut(usize) -> Result<(hashgate_sim::InProcess, Vec<Vec<u8>>)>,
) -> Result<Result<Measured, String>> {
    let mut twin = |bytes: usize, out: bool| {
        let frame = Frame { bucket: Some(0), ..Frame::plain(vec![0x5a; bytes]) };
        let mut wires = move |nic: &mut SoftNic, flow: bool| {
            while flow && nic.waiting() < WAITING {
                nic.inject(frame.clone());
            }
            std::iter::from_fn(|| nic.take_sent()).count() as u64
        };
        one(&InProcess::new(SoftNic::new()), &mut wires, bytes, out, time, cpu_hz)
    };
    let twin = match four(&mut twin)? {
        Ok(flows) => flows,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut verilated = |bytes: usize, out: bool| {
        let (device, frames) = verilated(bytes)?;
        let mut given = 0;
        let mut wires = move |nic: &mut SimNic, flow: bool| {
            while flow && nic.rx_pending() < WAITING {
                nic.push_wire(0, WireFrame::new(frames[given % frames.len()].clone()));
                given += 1;
            }
            while nic.pop_event().is_some() {}
            while nic.pop_ingress().is_some() {}
            std::iter::from_fn(|| nic.pop_wire(0)).count() as u64
        };
        one(&device, &mut wires, bytes, out, time, cpu_hz)
    };
    Ok(four(&mut verilated)?.map(|verilated| Measured { twin, verilated }))
}

/// All flows of a NIC, or why there are none.
fn four(one: &mut dyn FnMut(usize, bool) -> Result<Result<Flow, String>>) -> Result<Result<Flows, String>> {
    let mut flows = Vec::new();
    for out in [false, true] {
        for bytes in SIZES {
            match one(bytes, out)? {
                Ok(flow) => flows.push(flow),
                Err(reason) => return Ok(Err(reason)),
            }
        }
    }
    let [to_kernel_60, to_kernel_1514, from_kernel_60, from_kernel_1514] = flows[..] else { bail!("four flows") };
    Ok(Ok(Flows { to_kernel_60, to_kernel_1514, from_kernel_60, from_kernel_1514 }))
}

/// Frames of so many bytes one way for a while. `wires` gives frames to the NIC if told to and takes those that it has sent, whose number it gives.
fn one<F: Function + 'static>(
    device: &InProcess<F>,
    wires: &mut (dyn FnMut(&mut F, bool) -> u64 + Send),
    bytes: usize,
    out: bool,
    time: Duration,
    cpu_hz: f64,
) -> Result<Result<Flow, String>> {
    let folder = Folder::new()?;
    let socket = folder.0.join("hostpath.sock");
    let server = VfioUserServer::new(device.clone(), &socket)?;
    let (stop, stopped) = UnixStream::pair()?;
    let (flow, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let told = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            serve(device, server, &flow, &stopped, &mut |nic, flow| {
                sent.fetch_add(wires(nic, flow), Ordering::Relaxed);
            })
        });
        let told = drive(&socket, out.then_some(bytes), time, &flow);
        drop(stop);
        thread.join().expect("the server does not panic")?;
        told
    })?;
    let Told { nanoseconds, cpu_nanoseconds, stats } = match told {
        Ok(told) => told,
        Err(reason) => return Ok(Err(reason)),
    };
    let frames = if out { stats.tx.frames } else { stats.rx.frames };
    ensure!(frames > 0, "the host path moved no frame: {stats:?}");
    let sent = sent.into_inner();
    ensure!(!out || sent == frames, "{frames} frames were sent and {sent} came out of the NIC");
    ensure!(stats.rings == Default::default(), "rings of the host path failed: {stats:?}");
    let (seconds, count) = (nanoseconds as f64 / 1e9, frames as f64);
    Ok(Ok(Flow {
        frames,
        frames_per_s: count / seconds,
        mbit_per_s: count * bytes as f64 * 8.0 / seconds / 1e6,
        cpu_cycles_per_frame: cpu_nanoseconds as f64 / 1e9 * cpu_hz / count,
        cpu_share: cpu_nanoseconds as f64 / nanoseconds as f64,
    }))
}

/// The other process, killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended, mostly.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a host path on the NIC at `socket` for a while; gives what it tells, or why it cannot run here.
fn drive(socket: &Path, blast: Option<usize>, time: Duration, flow: &AtomicBool) -> Result<Result<Told, String>> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        // Only a user namespace gives others the right to make another one.
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--net").arg(program).args(["bench", "driver", "--host-path"]).arg(socket);
    if let Some(bytes) = blast {
        command.args(["--blast", &bytes.to_string()]);
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut process = match child {
        Ok(child) => Process(child),
        Err(error) => return Ok(Err(format!("unshare (package util-linux): {error}"))),
    };
    let (stdin, stdout) = (process.0.stdin.take(), process.0.stdout.take().context("the host path has no output")?);
    let mut lines = BufReader::new(stdout).lines();
    if lines.next().transpose()?.is_none() {
        let (mut text, code) = (String::new(), process.0.wait()?.code());
        process.0.stderr.take().context("the host path has no errors")?.read_to_string(&mut text)?;
        let last = text.lines().last().unwrap_or("it said nothing").to_owned();
        ensure!(code == Some(SKIPPED) || last.starts_with("unshare:"), "the host path does not start: {last}");
        return Ok(Err(last));
    }
    flow.store(blast.is_none(), Ordering::Relaxed);
    std::thread::sleep(time);
    drop(stdin);
    let told = lines.next().context("the host path ended early")??;
    flow.store(false, Ordering::Relaxed);
    Ok(Ok(serde_json::from_str(&told).context("what the host path told")?))
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The host path of the other process: moves frames until its input ends, then tells what it did. With `blast` it sends frames of so many bytes by the TAP
/// device all the time. Gives the exit code.
pub fn be_host_path(socket: &Path, blast: Option<usize>) -> Result<i32> {
    let tap = match Tap::open(TAP, false).and_then(|tap| tap.set_up().map(|()| tap)) {
        Ok(tap) => tap,
        Err(error) => {
            eprintln!("{error}");
            return Ok(SKIPPED);
        }
    };
    let control = Listener::bind(&socket.with_extension("control"))?;
    let source =
        blast.map(|bytes| Ok::<_, std::io::Error>((PacketSocket::open(TAP)?, vec![0x5a; bytes]))).transpose()?;
    let device = Arc::new(VfioUser::connect(socket)?);
    let log = Arc::new(|text: &str| eprintln!("{text}"));
    let mut path = HostPath::start(device, Box::new(tap), control, Options::default(), 0, log)?;
    let stop = AtomicBool::new(false);
    let mut out = std::io::stdout();
    let told = std::thread::scope(|scope| -> Result<Told> {
        if let Some((mut socket, frame)) = source {
            let stop = &stop;
            // What the TAP device has no room for is dropped there, so all that ends this is the flag.
            scope.spawn(move || while !stop.load(Ordering::Relaxed) && socket.send(&frame).is_ok() {});
        }
        writeln!(out, "ready")?;
        out.flush()?;
        let (begun, cpu) = (Instant::now(), cpu_time());
        let ended = path.run(std::io::stdin().as_fd());
        let (nanoseconds, cpu_nanoseconds) = (begun.elapsed().as_nanos() as u64, (cpu_time() - cpu).as_nanos() as u64);
        stop.store(true, Ordering::Relaxed);
        ended?;
        Ok(Told { nanoseconds, cpu_nanoseconds, stats: path.finish()? })
    })?;
    writeln!(out, "{}", serde_json::to_string(&told)?)?;
    Ok(0)
}
