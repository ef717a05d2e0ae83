// SPDX-License-Identifier: Apache-2.0
//! A driver is killed under traffic, and the next one takes the NIC over as it is.
//!
//! The NIC is served from here over vfio-user; each driver is a process of its own. Half of the buckets are forwarded from wire port to wire port, which
//! needs no driver; the other half goes to the host, whose connections get bindings.

use super::rig::Folder;
use crate::node::sim_build;
use crate::traffic::{self, Flow, Protocol};
use anyhow::{Context, Result, bail, ensure};
use hashgate_config::{Config, State};
use hashgate_nic::{Binding, BindingTable, Nic};
use hashgate_packets::builder::{ACK, SYN};
use hashgate_pci_sim::VfioUserServer;
use hashgate_regs::defs::Verdict;
use hashgate_regs::host::{DATA_QUEUES, ring};
use hashgate_rings::{HostInterface, QueueChoice, RxConfig, RxQueue};
use hashgate_sim::{InProcess, SimNic, WireFrame};
use hashgate_tables::{Tables, Target};
use hashgate_vfio_user::VfioUser;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// Cycles of a turn.
const CYCLES: u64 = 512;
/// Frames that wait at the wire port.
const WAITING: usize = 64;
/// Connections.
const FLOWS: usize = 512;
/// Target of the host.
const HOST: u16 = 1;
/// Target of the wire port that frames leave by.
const OTHER: u16 = 2;
/// A driver that is not ready after this has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happened to packets and bindings.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Adoption {
    /// From wire port to wire port, all the time.
    pub packets_forwarded: u64,
    /// Those of them that did not come out.
    pub packets_lost: u64,
    /// Before the kill.
    pub bindings: u64,
    /// Those of them that were not there, or not the same, after the adoption.
    pub bindings_lost: u64,
    /// Frames for the host while no driver was there.
    pub for_host_while_down: u64,
    /// What the NIC counted as dropped because of that.
    pub dropped_host_down: u64,
    /// Frames that the next driver received.
    pub delivered_after: u64,
    /// From the kill until the NIC knew.
    pub noticed_ms: f64,
}

/// The NIC with its wires and its server.
struct World {
    device: InProcess,
    server: VfioUserServer<SimNic>,
    frames: Vec<Vec<u8>>,
    /// Frames given, decided to be delivered, decided to be forwarded, and forwarded.
    given: usize,
    deliver: u64,
    forward: u64,
    out: u64,
    /// The wire port that frames leave by: the other one, where there is one.
    port: u8,
}

impl World {
    /// Lets a little time pass, with traffic or without.
    fn turn(&mut self, traffic: bool) -> Result<()> {
        self.server.work()?;
        let mut nic = self.device.nic();
        while traffic && nic.rx_pending() < WAITING {
            nic.push_wire(0, WireFrame::new(self.frames[self.given % self.frames.len()].clone()));
            self.given += 1;
        }
        drop(nic);
        self.device.run(CYCLES);
        let mut nic = self.device.nic();
        while nic.pop_wire(self.port).is_some() {
            self.out += 1;
        }
        while nic.pop_ingress().is_some() {}
        while let Some(event) = nic.pop_event() {
            match event.verdict {
                Verdict::Host => self.deliver += 1,
                Verdict::Port => self.forward += 1,
                verdict => bail!("a frame was decided as {verdict:?}, {:?}", event.reason),
            }
        }
        Ok(())
    }

    fn give(&mut self, packets: usize) -> Result<()> {
        let end = self.given + packets;
        while self.given < end {
            self.turn(true)?;
        }
        Ok(())
    }

    /// Until nothing is inside.
    fn settle(&mut self) -> Result<()> {
        self.until(false, "emptying the NIC", |world| Ok(world.device.nic().is_idle()))?;
        self.turn(false)
    }

    /// Frames that data rings dropped because they were down.
    fn dropped_down(&self) -> u64 {
        let mut nic = self.device.nic();
        (0..DATA_QUEUES).map(|n| u64::from(nic.read_register((ring(n) + ring::DROPPED_DOWN) as u16))).sum()
    }

    fn until(&mut self, traffic: bool, what: &str, mut done: impl FnMut(&mut World) -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !done(self)? {
            ensure!(begun.elapsed() < PATIENCE, "{what} took longer than {} s", PATIENCE.as_secs());
            self.turn(traffic)?;
        }
        Ok(())
    }
}

/// A driver in a process of its own.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    fn start(socket: &Path) -> Result<Process> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(program)
            .args(["bench", "driver", "--victim"])
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a driver")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the driver has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Process { child, stdin, lines })
    }

    /// The next line, if there is one.
    fn line(&mut self) -> Result<Option<String>> {
        match self.lines.try_recv() {
            Ok(line) => Ok(Some(line)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => bail!("the driver ended: {}", self.child.wait()?),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Frames of connections: their first, and one of the middle.
fn connections(config: &Config, seed: u64) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let vip = config.vips[0].addr;
    let flows: Vec<Flow> = (0..FLOWS).map(|n| Flow::random(&mut rng, (vip, n as u16), Protocol::Tcp)).collect();
    let mut all =
        |flags| flows.iter().map(|flow| flow.frame(&mut rng, config.cluster_mac(), flags, 60 + traffic::FCS)).collect();
    (all(SYN), all(ACK))
}

fn half_and_half(config: &Config, port: u8) -> Tables {
    let mut tables = State::new(config).tables(&config.hosts[0]);
    for rule in tables.rules.values_mut() {
        rule.map = 0;
    }
    tables.maps =
        [(0, (0..hashgate_tables::BUCKETS as u16).map(|bucket| if bucket % 2 == 0 { HOST } else { OTHER }).collect())]
            .into();
    tables.targets = [(HOST, Target::deliver(0)), (OTHER, Target::forward(port))].into();
    tables
}

fn sorted(mut bindings: Vec<Binding>) -> Vec<(u16, String)> {
    bindings.sort_by_key(|binding| binding.session);
    // The time of expiry grows with every packet.
    bindings
        .iter()
        .map(|b| (b.session, format!("{:?} {} {:?} {}", b.key, b.record.target, b.record.rule, b.record.bucket)))
        .collect()
}

/// Kills a driver after `packets` packets; as many come while there is none, and again after the next one is there.
pub fn measure(config: &Config, seed: u64, packets: usize) -> Result<Adoption> {
    let folder = Folder::new()?;
    let socket = folder.0.join("adoption.sock");
    let device = InProcess::new(SimNic::with_host_interface(sim_build(config.build), seed as u32)?);
    let port = sim_build(config.build).ports() as u8 - 1;
    let tables = half_and_half(config, port);
    // The control side: tables and bindings. The rings are the other processes'.
    let mut nic = Nic::open(&device)?;
    nic.load(&tables)?;
    nic.enable(true);
    let server = VfioUserServer::new(device.clone(), &socket)?;
    let (first, middle) = connections(config, seed);
    let mut world = World { device, server, frames: first, given: 0, deliver: 0, forward: 0, out: 0, port };

    let mut victim = Process::start(&socket)?;
    world.until(false, "the start of the driver", |_| Ok(victim.line()?.is_some()))?;
    world.give(FLOWS)?;
    world.settle()?;
    let before = sorted(nic.bindings(BindingTable::Connection)?);
    ensure!(!before.is_empty(), "no connection got a binding");
    world.frames = middle;
    world.give(packets)?;

    victim.child.kill().context("killing the driver")?;
    let killed = Instant::now();
    world.until(true, "noticing that the driver is gone", |world| Ok(!world.server.has_client()))?;
    let noticed_ms = killed.elapsed().as_secs_f64() * 1e3;
    drop(victim);
    world.settle()?;
    let (dropped, delivered) = (world.dropped_down(), world.deliver);
    world.give(packets)?;
    world.settle()?;
    let (for_host_while_down, dropped_host_down) = (world.deliver - delivered, world.dropped_down() - dropped);

    let mut next = Process::start(&socket)?;
    world.until(true, "the start of the next driver", |_| Ok(next.line()?.is_some()))?;
    world.give(packets)?;
    world.settle()?;
    drop(next.stdin.take());
    let mut received = None;
    world.until(false, "the end of the next driver", |_| {
        received = next.line()?;
        Ok(received.is_some())
    })?;
    let delivered_after: u64 =
        received.context("the driver said nothing")?.trim().parse().context("frames of the next driver")?;
    let after = sorted(nic.bindings(BindingTable::Connection)?);
    ensure!(nic.read_active()? == tables, "the tables are others than before the kill");
    let bindings_lost = before.iter().filter(|binding| !after.contains(binding)).count() as u64;
    Ok(Adoption {
        packets_forwarded: world.forward,
        packets_lost: world.forward - world.out,
        bindings: before.len() as u64,
        bindings_lost,
        for_host_while_down,
        dropped_host_down,
        delivered_after,
        noticed_ms,
    })
}

/// The driver of the other process: takes the rings of the NIC at `socket`, says so, and receives until its input ends; then tells how many frames.
pub fn be_victim(socket: &Path) -> Result<()> {
    let host = HostInterface::open(Arc::new(VfioUser::connect(socket)?))?;
    host.set_queues(&QueueChoice::spread_over(DATA_QUEUES as u8)?)?;
    let queue = |n| Ok(host.rx_queue(n, &RxConfig::default())?);
    let mut queues = (0..DATA_QUEUES).map(queue).collect::<Result<Vec<RxQueue>>>()?;
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    let (sender, ended) = channel::<()>();
    std::thread::spawn(move || {
        let mut input = Vec::new();
        // Its end is what counts.
        let _ = std::io::stdin().read_to_end(&mut input);
        drop(sender);
    });
    let mut received = 0;
    loop {
        let end = ended.try_recv() == Err(TryRecvError::Disconnected);
        let mut turn = 0;
        for queue in &mut queues {
            turn += queue.poll(256, |_| {})?;
        }
        received += turn;
        if turn == 0 {
            if end {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    writeln!(out, "{received}")?;
    Ok(())
}
