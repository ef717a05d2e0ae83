// SPDX-License-Identifier: Apache-2.0
//! The host path as a process over vfio-pci: its NIC's wire ends at `tools/guest/wire.py`, whose client does what is asked for here.

use crate::{PATIENCE, SIGKILL, WORKING, check};
use anyhow::{Context, Result, bail, ensure};
use hashgate_device::PciDevice;
use hashgate_hostpath::{LENT_RINGS, Lent, LentError, NicDrops, RingTrouble, Stats};
use hashgate_nic::{BindingKey, BindingTable, Nic};
use hashgate_regs::defs::{Mode, Track, VipKind};
use hashgate_rings::{HostInterface, MoverConfig};
use hashgate_tables::{BUCKETS, KeyMask, Mac, MatchSlot, Rule, Settings, Tables, Target, Timeouts, Vip};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// The host path's program.
const PROGRAM: &str = "/hostpath";
const CONTROL: &str = "/control.sock";
const TAP: &str = "hg0";
/// What `wire.py` connects to.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const PORT: u16 = 5201;
const STATION: Mac = Mac([2, 0, 0, 0, 0, 0x51]);
/// To a group: the kernel would take no TCP from frames to it.
const CLUSTER: Mac = Mac([3, 0, 0, 0, 0, 0x51]);
/// Bytes of a transfer, each way.
const BYTES: usize = 200_000;
/// Bytes of a digest.
const DIGEST: usize = 32;

/// A process, killed when this is dropped.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(command: &mut Command) -> Result<Process> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no output of the process")?;
        let (sender, lines) = channel();
        // It ends with the process.
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
        Ok(Process { child, lines })
    }

    /// The next line.
    fn line(&self) -> Result<String> {
        self.lines.recv_timeout(PATIENCE).context("the process says nothing, or has ended")
    }

    /// SIGKILL.
    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        let status = self.child.wait()?;
        ensure!(status.signal() == Some(SIGKILL), "it ended by itself: {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its arguments for a TAP device.
fn command(address: &str, tap: &str, control: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--device", &format!("vfio:{address}"), "--tap", tap, "--control", control, "--json"]);
    command
}

/// A host path at work.
fn start(address: &str) -> Result<Process> {
    let process = Process::start(&mut command(address, TAP, CONTROL))?;
    process.event("up")?;
    Ok(process)
}

impl Process {
    /// The next line of a kind of a host path; others are printed.
    fn event(&self, kind: &str) -> Result<Value> {
        loop {
            let line = self.line().with_context(|| format!("waiting for its event {kind:?}"))?;
            let value: Value = serde_json::from_str(&line).context("a line of the host path")?;
            if value["event"] == kind {
                return Ok(value);
            }
            println!("host path: {line}");
        }
    }

    /// SIGTERM to a host path, after which it has to end well.
    fn terminate(mut self) -> Result<Stats> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let end = self.event("end")?;
        let status = self.child.wait()?;
        ensure!(status.success() && end["error"].is_null(), "{status}, {}", end["error"]);
        Ok(serde_json::from_value(end["stats"].clone())?)
    }
}

/// The NIC as the host path lends it; the controller before may not have been missed yet.
fn lent() -> Result<Arc<Lent>> {
    let end = Instant::now() + PATIENCE;
    loop {
        match Lent::connect(Path::new(CONTROL)) {
            Err(LentError::Busy { .. }) if Instant::now() < end => std::thread::yield_now(),
            lent => return Ok(Arc::new(lent?)),
        }
    }
}

/// The NIC in the hands of a controller: tables and bindings go by DMA.
fn controlled(lent: &Arc<Lent>) -> Result<Nic> {
    let host = HostInterface::attach(Arc::clone(lent) as Arc<dyn PciDevice>, LENT_RINGS)?;
    let mut nic = Nic::open(&**lent)?;
    nic.set_bulk(Some(Box::new(host.table_mover(&MoverConfig::default())?)));
    Ok(nic)
}

/// What a controller does all the time: the work of the process that is killed.
pub fn control(socket: &str) -> Result<()> {
    let lent = Arc::new(Lent::connect(Path::new(socket))?);
    let mut nic = controlled(&lent)?;
    loop {
        ensure!(nic.read_active()? == tables(), "the tables changed");
        println!("{WORKING}");
        std::io::stdout().flush()?;
    }
}

/// All that must not change when the host path dies.
#[derive(Debug, PartialEq)]
struct Lasting {
    tables: Tables,
    generation: u32,
    /// Bindings of the connection, without their times, which go on with the traffic.
    bindings: BTreeSet<(u16, BindingKey, u16, u8, u16, String)>,
}

impl Lasting {
    fn read(peer: &Peer) -> Result<Lasting> {
        let lent = lent()?;
        let mut nic = controlled(&lent)?;
        let all = nic.bindings(BindingTable::Connection)?;
        let own = all.iter().filter(|b| [b.key.source_port, b.key.destination_port].contains(&peer.port));
        let bindings = own.map(|b| {
            let r = &b.record;
            (b.session, b.key, r.target, r.rule, r.bucket, format!("{:?}", r.state))
        });
        let bindings: BTreeSet<_> = bindings.collect();
        ensure!(!bindings.is_empty(), "the connection has no binding among {all:?}");
        let lasting = Lasting { tables: nic.read_active()?, generation: nic.registers().generation(), bindings };
        ensure!(lent.take_refusals().is_empty(), "a controller was refused something");
        Ok(lasting)
    }
}

/// That the host path has done its work without any trouble; gives its counters.
fn well() -> Result<Stats> {
    let stats = lent()?.stats()?;
    let here = stats.rx.tap_full + stats.rx.tap_refused + stats.tx.bad_length + stats.tx.uncertain;
    let trouble = here + stats.resets_seen + stats.lost_interrupts;
    ensure!(trouble == 0 && stats.rings == RingTrouble::default(), "{stats:?}");
    Ok(stats)
}

/// As [`well`], and the NIC has dropped nothing. A successor comes while frames do, so some are dropped before its rings run.
fn well_from_the_start() -> Result<Stats> {
    let stats = well()?;
    ensure!(stats.nic == NicDrops::default(), "the NIC dropped frames: {:?}", stats.nic);
    Ok(stats)
}

/// The connection to the far end of the wire.
struct Peer {
    stream: TcpStream,
    /// Its port.
    port: u16,
}

impl Peer {
    /// Waits for it.
    fn accept(listener: &TcpListener) -> Result<Peer> {
        let (stream, from) = listener.accept()?;
        println!("connection from {from}");
        for timeout in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            timeout(&stream, Some(PATIENCE))?;
        }
        stream.set_nodelay(true)?;
        Ok(Peer { stream, port: from.port() })
    }

    /// Gets so many bytes and sends them back as they come; both ends compare digests. `meanwhile` runs while a part of them is through, and gets that part.
    fn transfer(&mut self, meanwhile: impl FnOnce(&AtomicUsize) -> Result<()>) -> Result<()> {
        let stream = &mut self.stream;
        stream.write_all(&(BYTES as u32).to_le_bytes())?;
        let (done, (begun, under_way)) = (AtomicUsize::new(0), channel());
        std::thread::scope(|scope| {
            let transfer = scope.spawn(|| echo(stream, &done, begun));
            // Without its message the transfer has failed, and says why.
            let meanwhile = under_way.recv_timeout(PATIENCE).ok().map(|()| meanwhile(&done));
            transfer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            meanwhile.unwrap_or_else(|| bail!("no part of the transfer came"))
        })
    }

    /// Tells it that that was all.
    fn end(mut self) -> Result<()> {
        Ok(self.stream.write_all(&0u32.to_le_bytes())?)
    }
}

/// The transfer itself. Tells when a quarter is through.
fn echo(stream: &mut TcpStream, done: &AtomicUsize, begun: Sender<()>) -> Result<()> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 8192]);
    let mut count = 0;
    while count < BYTES {
        let most = buffer.len().min(BYTES - count);
        let part = stream.read(&mut buffer[..most]).with_context(|| format!("after {count} bytes"))?;
        ensure!(part > 0, "the connection was closed after {count} bytes");
        digest.update(&buffer[..part]);
        stream.write_all(&buffer[..part]).with_context(|| format!("sending back after {count} bytes"))?;
        let before = count;
        count += part;
        done.store(count, Ordering::Relaxed);
        if before < BYTES / 4 && count >= BYTES / 4 {
            // Whoever waits for it has its own limit.
            let _ = begun.send(());
        }
    }
    let digest: [u8; DIGEST] = digest.finalize().into();
    let mut theirs = [0; DIGEST];
    for what in ["what came is not what was sent", "what came back is not what was sent"] {
        stream.read_exact(&mut theirs).context("reading a digest")?;
        ensure!(theirs == digest, "{what}");
    }
    Ok(())
}

/// Gives the TAP device its addresses.
fn configure() -> Result<()> {
    for arguments in [
        format!("link set {TAP} address {STATION}"),
        format!("addr add {ADDRESS}/24 dev {TAP}"),
        format!("link set {TAP} up"),
    ] {
        let Output { status, stderr, .. } =
            Command::new("/bin/busybox").arg("ip").args(arguments.split(' ')).output().context("busybox")?;
        ensure!(status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&stderr));
    }
    Ok(())
}

/// Goes through the life of a host path on the NIC at `address`.
pub fn run(address: &str) -> Result<()> {
    let process = check("host path: up over vfio-pci, with a TAP device", || {
        let process = start(address)?;
        configure()?;
        Ok(process)
    })?;
    check("host path: a second one is refused and leaves nothing", || second(address))?;
    check("host path: a controller loads tables by DMA", || {
        let lent = lent()?;
        let mut nic = controlled(&lent)?;
        nic.load(&tables())?;
        nic.enable(true);
        ensure!(nic.read_active()? == tables(), "the tables are not what was loaded");
        Ok(())
    })?;
    let listener = TcpListener::bind((ADDRESS, PORT))?;
    let mut peer = Peer::accept(&listener)?;
    check("host path: traffic both ways by wire, NIC, vfio-pci, TAP device and TCP", || {
        peer.transfer(|_| Ok(()))?;
        let stats = well_from_the_start()?;
        let least = BYTES as u64;
        ensure!(stats.rx.bytes > least && stats.tx.bytes > least, "it went another way: {stats:?}");
        Ok(())
    })?;
    check("host path: a controller killed during a transfer does it no harm", || {
        let before = Lasting::read(&peer)?;
        let program = std::env::current_exe()?;
        let controller = Process::start(Command::new(program).args(["control", CONTROL]))?;
        ensure!(controller.line()? == WORKING, "the controller does not work");
        peer.transfer(|done| {
            controller.kill()?;
            still_under_way(done)
        })?;
        ensure!(Lasting::read(&peer)? == before, "tables or bindings changed");
        well_from_the_start().map(drop)
    })?;
    let process = check(
        "host path: killed during a transfer, its successor carries on, tables and bindings as they were",
        || {
            let before = Lasting::read(&peer)?;
            let mut next = None;
            peer.transfer(|done| {
                let killed = Instant::now();
                process.kill()?;
                next = Some(start(address)?);
                println!("host path: away for {} ms", killed.elapsed().as_millis());
                still_under_way(done)
            })?;
            ensure!(Lasting::read(&peer)? == before, "tables or bindings changed");
            well()?;
            next.context("it was not started")
        },
    )?;
    peer.end()?;
    check("host path: ends in good order", || {
        let stats = process.terminate()?;
        let frames = stats.rx.frames + stats.tx.frames;
        println!(
            "host path: {frames} frames, {} register reads, {} writes, {} sleeps",
            stats.mmio_reads, stats.mmio_writes, stats.sleeps
        );
        Ok(())
    })
}

fn still_under_way(done: &AtomicUsize) -> Result<()> {
    let done = done.load(Ordering::Relaxed);
    ensure!(done < BYTES, "the transfer was through before");
    Ok(())
}

/// Another host path for the same NIC, with another TAP device.
fn second(address: &str) -> Result<()> {
    let Output { status, stdout, .. } = command(address, "hg1", "/second.sock").output()?;
    let text = String::from_utf8_lossy(&stdout);
    ensure!(status.code() == Some(2) && text.contains("in use"), "{status}: {text}");
    ensure!(!Path::new("/sys/class/net/hg1").exists(), "its TAP device is still there");
    ensure!(!Path::new("/second.sock").exists(), "its socket is still there");
    Ok(())
}

/// A VIP that is balanced over this host.
fn tables() -> Tables {
    let rule = Rule {
        mode: Mode::Single,
        draining: false,
        affinity: false,
        timeouts: Timeouts::default(),
        track: Track::Always,
        map: 0,
        group: 0,
        bucket: KeyMask::ALL,
        binding: KeyMask::ALL,
    };
    let slot = MatchSlot { vip: Some(1), tcp: true, udp: true, ports: (1, 65535), fragment: false, rule: 0 };
    Tables {
        settings: Settings { station_mac: STATION, cluster_mac: CLUSTER, ..Settings::default() },
        zones: [((0, 0), 1)].into(),
        vips: vec![Vip { zone: 1, addr: ADDRESS.into(), kind: VipKind::Vip, id: 1 }],
        slots: vec![Some(slot)],
        rules: [(0, rule)].into(),
        maps: [(0, vec![0; BUCKETS])].into(),
        targets: [(0, Target::deliver(0))].into(),
        ..Tables::default()
    }
}
