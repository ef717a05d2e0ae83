// SPDX-License-Identifier: Apache-2.0
//! A NIC under traffic with a driver on it.

use crate::node::sim_build;
use crate::traffic::{self, Flow, Protocol};
use anyhow::{Context, Result, bail, ensure};
use hashgate_config::Config;
use hashgate_device::{Bar, DeviceError, DmaRegion, Interrupt, PciDevice, Width};
use hashgate_nic::{BindingTable, Nic, NicInfo};
use hashgate_packets::builder::SYN;
use hashgate_pci_sim::{Function, VfioUserServer};
use hashgate_regs::defs::Table;
use hashgate_regs::host::CONTROL_RX;
use hashgate_regs::registers::TableSelect;
use hashgate_rings::{HostInterface, MoverConfig, QueueChoice, RxConfig, RxQueue, SendOutcome, TxConfig, TxRing};
use hashgate_sim::{InProcess, SimNic, WireFrame};
use hashgate_soft_nic::{Frame, SoftNic};
use hashgate_tables::{BUCKETS, Tables};
use hashgate_vfio_user::VfioUser;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Cycles between two looks of the driver at its rings.
const CYCLES: u64 = 512;
/// Frames that wait at the wire port.
const WAITING: usize = 128;
/// Data queues in use.
const QUEUES: u8 = 4;
/// Frames that a look takes from a ring.
const BUDGET: usize = 256;
/// Looks without a frame before something is wrong.
const PATIENCE: u32 = 20_000;
/// Different frames of a run.
const FRAMES: usize = 4096;
/// Bytes of a frame without FCS: the smallest.
pub const BYTES: usize = 60;
/// EtherType of heartbeats.
const HEARTBEAT: [u8; 2] = [0x88, 0x6f];
/// One of so many frames of the flood is a heartbeat.
const HEARTBEAT_EVERY: usize = 100;
/// Words of a map.
const MAP_WORDS: usize = BUCKETS / 2;

/// Packets that were received and sent back.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    pub packets: u64,
    pub time: Duration,
    /// Register reads and writes meanwhile, doorbells among them.
    pub reads: u64,
    pub writes: u64,
}

/// Processor time.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    pub ns_per_packet: f64,
}

/// Cycles for all maps.
#[derive(Clone, Copy, Debug)]
pub struct TablesMoved {
    pub maps: u32,
    pub load: u64,
    pub register_load: u64,
    pub dump: u64,
    pub register_dump: u64,
}

/// Cycles for all bindings of a table.
#[derive(Clone, Copy, Debug)]
pub struct BindingsRead {
    pub bindings: usize,
    pub dump: u64,
    pub register_dump: u64,
}

/// Heartbeats among data frames that nobody takes.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub heartbeats: u64,
    pub lost: u64,
    /// Data frames that found no buffer.
    pub dropped: u64,
}

/// Frames of random clients, of so many bytes without FCS.
pub fn frames(config: &Config, bytes: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let vips: Vec<_> = config.vips.iter().map(|vip| vip.addr).filter(|addr| addr.is_ipv4()).collect();
    traffic::frames(&mut rng, Some(bytes + traffic::FCS), FRAMES, config.cluster_mac(), &vips)
}

/// A Verilated NIC with tables and traffic.
pub struct Rig {
    device: InProcess,
    nic: Nic,
    host: HostInterface,
    frames: Vec<Vec<u8>>,
    tables: Tables,
}

impl Rig {
    /// Powers a NIC on, loads its tables and enables it.
    pub fn new(config: &Config, tables: &Tables, seed: u64) -> Result<Rig> {
        let build = sim_build(config.build);
        let device = InProcess::new(SimNic::with_host_interface(build, seed as u32)?);
        let (nic, host) = bring_up(Arc::new(device.clone()), tables)?;
        Ok(Rig { device, nic, host, frames: frames(config, BYTES, seed), tables: tables.clone() })
    }

    pub fn info(&self) -> &NicInfo {
        self.nic.info()
    }

    /// Frames come without a pause; the host sends each back.
    pub fn echo(&mut self, packets: u64) -> Result<Throughput> {
        let mut given = 0;
        let (device, frames) = (&self.device, &self.frames);
        echo(&self.host, packets, &mut || {
            let mut nic = device.nic();
            while nic.rx_pending() < WAITING {
                nic.push_wire(0, WireFrame::new(frames[given % frames.len()].clone()));
                given += 1;
            }
            while nic.pop_wire(0).is_some() {}
            while nic.pop_event().is_some() {}
            while nic.pop_ingress().is_some() {}
            drop(nic);
            device.run(CYCLES);
        })
    }

    /// All words of so many maps: to the NIC and back, by DMA and by registers.
    pub fn tables(&mut self, maps: u32) -> Result<TablesMoved> {
        // Frames that are still inside.
        self.device.run_until_idle(1_000_000);
        let device = self.device.clone();
        let cycle = || device.nic().cycle();
        let words: Vec<u32> = (0..maps * MAP_WORDS as u32).map(|n| (n % 1000) | ((n * 7) % 1000) << 16).collect();
        let mut mover = self.host.table_mover(&MoverConfig { size_log2: 4, words: 8192 })?;
        let begin = cycle();
        mover.load(Table::Map, 0, &words)?;
        let load = cycle() - begin;
        let mut read = vec![0; words.len()];
        let begin = cycle();
        mover.dump(Table::Map, false, 0, &mut read)?;
        let dump = cycle() - begin;
        ensure!(read == words, "a map read by DMA is not what was loaded by DMA");
        drop(mover);

        let registers = self.nic.registers();
        let select = || {
            registers.set_table_select(TableSelect { id: Table::Map as u8, ..TableSelect::default() });
            registers.set_table_index(0);
        };
        select();
        let begin = cycle();
        words.iter().for_each(|word| registers.set_table_data(*word));
        let register_load = cycle() - begin;
        select();
        let begin = cycle();
        let same = words.iter().all(|word| registers.table_data() == *word);
        let register_dump = cycle() - begin;
        ensure!(same, "a map read by registers is not what was loaded by registers");
        // The shadow as it was.
        self.nic.stage(&self.tables)?;
        Ok(TablesMoved { maps, load, register_load, dump, register_dump })
    }

    /// Fills the connection table as far as `connections` go, and reads it by DMA and by registers.
    pub fn bindings(&mut self, config: &Config, connections: usize) -> Result<BindingsRead> {
        let mut rng = ChaCha8Rng::seed_from_u64(connections as u64);
        let (vip, mac) = (config.vips[0].addr, config.cluster_mac());
        for n in 0..connections {
            let flow = Flow::random(&mut rng, (vip, n as u16), Protocol::Tcp);
            let mut nic = self.device.nic();
            nic.push_wire(0, WireFrame::new(flow.frame(&mut rng, mac, SYN, BYTES + traffic::FCS)));
            let waiting = nic.rx_pending();
            drop(nic);
            if waiting >= WAITING {
                self.device.run(CYCLES);
            }
        }
        self.device.run_until_idle(1_000_000);
        let device = self.device.clone();
        let cycle = || device.nic().cycle();
        let begin = cycle();
        let by_registers = self.nic.bindings(BindingTable::Connection)?;
        let register_dump = cycle() - begin;
        self.nic.set_bulk(Some(Box::new(self.host.table_mover(&MoverConfig { size_log2: 4, words: 2048 })?)));
        let begin = cycle();
        let by_dma = self.nic.bindings(BindingTable::Connection)?;
        let dump = cycle() - begin;
        self.nic.set_bulk(None);
        ensure!(by_dma == by_registers, "the bindings read by DMA are not those read by registers");
        ensure!(!by_dma.is_empty(), "no connection got a binding");
        Ok(BindingsRead { bindings: by_dma.len(), dump, register_dump })
    }

    /// Data frames without a pause that the host does not take, and heartbeats among them, which it does.
    pub fn flood(&mut self, packets: u64) -> Result<Flood> {
        let data = queues(&self.host)?;
        let mut control = self.host.rx_queue(CONTROL_RX, &RxConfig::default())?;
        // Descriptors are on their way; a frame that comes before them finds none.
        self.device.run(10 * CYCLES);
        let mut heartbeat = self.frames[0].clone();
        heartbeat[12..14].copy_from_slice(&HEARTBEAT);
        let packets = packets as usize;
        let (mut given, mut sent, mut seen) = (0, 0, 0);
        while given < packets || self.device.nic().rx_pending() > 0 {
            let mut nic = self.device.nic();
            while nic.rx_pending() < WAITING && given < packets {
                let beat = given % HEARTBEAT_EVERY == HEARTBEAT_EVERY - 1;
                sent += u64::from(beat);
                let frame = if beat { &heartbeat } else { &self.frames[given % self.frames.len()] };
                nic.push_wire(0, WireFrame::new(frame.clone()));
                given += 1;
            }
            drop(nic);
            self.device.run(CYCLES);
            seen += control.poll(BUDGET, |_| {})? as u64;
        }
        self.device.run_until_idle(1_000_000);
        seen += control.poll(BUDGET, |_| {})? as u64;
        let drops = data.iter().enumerate().map(|(n, _)| Ok(u64::from(self.host.rx_drops(n)?.full)));
        let dropped = drops.sum::<Result<u64>>()?;
        ensure!(dropped > 0, "no frame of the flood was dropped: the data queues were not stalled");
        Ok(Flood { heartbeats: sent, lost: sent - seen, dropped })
    }
}

/// The driver on a NIC that was just powered on.
fn bring_up(device: Arc<dyn PciDevice>, tables: &Tables) -> Result<(Nic, HostInterface)> {
    let mut nic = Nic::open(&*device).context("bringing the NIC up")?;
    let host = HostInterface::open(device).context("bringing the host interface up")?;
    nic.set_bulk(Some(Box::new(host.table_mover(&MoverConfig::default())?)));
    nic.load(tables)?;
    nic.set_bulk(None);
    nic.enable(true);
    host.set_queues(&QueueChoice::spread_over(QUEUES)?)?;
    Ok((nic, host))
}

fn queues(host: &HostInterface) -> Result<Vec<RxQueue>> {
    (0..usize::from(QUEUES)).map(|n| Ok(host.rx_queue(n, &RxConfig::default())?)).collect()
}

/// A NIC that was just powered on and has got its tables, for the driver of another process; and frames of so many bytes that it delivers.
pub fn loaded(config: &Config, tables: &Tables, bytes: usize, seed: u64) -> Result<(InProcess, Vec<Vec<u8>>)> {
    let device = InProcess::new(SimNic::with_host_interface(sim_build(config.build), seed as u32)?);
    let mut nic = Nic::open(&device)?;
    nic.load(tables)?;
    nic.enable(true);
    Ok((device, frames(config, bytes, seed)))
}

/// Receives and sends back; `pump` moves the frames at the wire and lets time pass.
fn echo(host: &HostInterface, packets: u64, pump: &mut dyn FnMut()) -> Result<Throughput> {
    let mut rx = queues(host)?;
    let mut tx = host.tx_ring(false, &TxConfig { size_log2: 10, ..TxConfig::default() })?;
    let mut buffer = Vec::new();
    // The first frames fill the pipeline.
    let warm = packets / 10;
    let (mut done, mut idle, mut begin) = (0, 0, None);
    loop {
        let mut turn = 0;
        for queue in &mut rx {
            turn += send_back(queue, &mut tx, &mut buffer)?;
        }
        if begin.is_none() && done >= warm {
            begin = Some((Instant::now(), host.mmio(), doorbells(&rx, &tx), done));
        }
        if let Some((instant, mmio, bells, before)) = begin
            && done >= warm + packets
        {
            let (time, after) = (instant.elapsed(), host.mmio());
            let writes = after.writes - mmio.writes + doorbells(&rx, &tx) - bells;
            return Ok(Throughput { packets: done - before, time, reads: after.reads - mmio.reads, writes });
        }
        done += turn;
        idle = if turn == 0 { idle + 1 } else { 0 };
        if idle > PATIENCE {
            bail!("no frame came to the host any more after {done}");
        }
        pump();
    }
}

/// Takes what is in a queue and sends it.
fn send_back(queue: &mut RxQueue, tx: &mut TxRing, buffer: &mut Vec<u8>) -> Result<u64> {
    let mut failed = None;
    let taken = queue.poll(BUDGET, |frame| {
        buffer.clear();
        frame.copy_to_vec(buffer);
        match tx.send(buffer, 0) {
            // What has no room is dropped, as a router would.
            Ok(SendOutcome::Queued | SendOutcome::Full) => {}
            Err(error) => failed = Some(error),
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if taken > 0 {
        tx.flush();
    }
    tx.reclaim()?;
    Ok(taken as u64)
}

fn doorbells(rx: &[RxQueue], tx: &TxRing) -> u64 {
    let stats = rx.iter().map(RxQueue::stats).chain([tx.stats()]);
    stats.map(|stats| stats.doorbells + stats.armed).sum()
}

/// As [`Rig::echo`], with the NIC in a thread of its own behind a vfio-user socket.
pub fn echo_over_vfio_user(config: &Config, tables: &Tables, seed: u64, packets: u64) -> Result<Throughput> {
    let folder = Folder::new()?;
    let path = folder.0.join("nic.sock");
    let build = sim_build(config.build);
    let device = InProcess::new(SimNic::with_host_interface(build, seed as u32)?);
    let server = VfioUserServer::new(device.clone(), &path)?;
    let (stop, stopped) = UnixStream::pair()?;
    let flow = AtomicBool::new(false);
    let (frames, mut given) = (frames(config, BYTES, seed), 0);
    let mut wires = |nic: &mut SimNic, flow: bool| {
        while flow && nic.rx_pending() < WAITING {
            nic.push_wire(0, WireFrame::new(frames[given % frames.len()].clone()));
            given += 1;
        }
        while nic.pop_wire(0).is_some() {}
        while nic.pop_event().is_some() {}
        while nic.pop_ingress().is_some() {}
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| serve(&device, server, &flow, &stopped, &mut wires));
        let done = (|| {
            let (_nic, host) = bring_up(Arc::new(VfioUser::connect(&path)?), tables)?;
            flow.store(true, Ordering::Relaxed);
            echo(&host, packets, &mut std::thread::yield_now)
        })();
        drop(stop);
        thread.join().expect("the server does not panic")?;
        done
    })
}

/// Serves a NIC until the other end of `stop` is closed and nothing goes on inside. `wires` moves frames at its wires, those into it only while `flow`.
pub fn serve<F: Function + 'static>(
    device: &hashgate_pci_sim::InProcess<F>,
    mut server: VfioUserServer<F>,
    flow: &AtomicBool,
    stop: &UnixStream,
    wires: &mut dyn FnMut(&mut F, bool),
) -> Result<()> {
    let mut stopped = false;
    loop {
        server.work()?;
        wires(&mut device.nic(), flow.load(Ordering::Relaxed));
        let idle = device.run_until_idle(CYCLES);
        if stopped {
            wires(&mut device.nic(), false);
            return Ok(());
        }
        let mut fds: Vec<PollFd<'_>> = server.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        fds.push(PollFd::new(stop, PollFlags::IN));
        let limit = Timespec { tv_sec: 0, tv_nsec: if idle { 1_000_000 } else { 0 } };
        poll(&mut fds, Some(&limit))?;
        stopped = fds.last().is_some_and(|fd| !fd.revents().is_empty());
    }
}

/// As [`Rig::echo`] on the twin in plain Rust; and what a packet costs the driver there, without the registers.
pub fn echo_on_twin(packets: u64) -> Result<(Throughput, Costs)> {
    let device = hashgate_pci_sim::InProcess::new(SoftNic::new());
    let watched = Arc::new(Watched { device: Arc::new(device.clone()), spent: Arc::default() });
    let spent = watched.spent.clone();
    let host = HostInterface::open(watched)?;
    host.set_queues(&QueueChoice::spread_over(QUEUES)?)?;
    let mut given = 0u32;
    // Time in which the twin works.
    let mut pumped = Duration::ZERO;
    let begun = Instant::now();
    let frame = vec![0x5a; BYTES];
    let before = spent.load(Ordering::Relaxed);
    let throughput = echo(&host, packets, &mut || {
        let begun = Instant::now();
        let mut nic = device.nic();
        while nic.waiting() < WAITING {
            given = given.wrapping_add(1);
            nic.inject(Frame { bucket: Some((given % BUCKETS as u32) as u16), ..Frame::plain(frame.clone()) });
        }
        while nic.take_sent().is_some() {}
        drop(nic);
        device.run(CYCLES);
        pumped += begun.elapsed();
    })?;
    let registers = Duration::from_nanos(spent.load(Ordering::Relaxed) - before);
    let time = begun.elapsed().saturating_sub(pumped + registers);
    let all = throughput.packets + packets / 10;
    Ok((throughput, Costs { ns_per_packet: time.as_nanos() as f64 / all as f64 }))
}

/// A device that measures how long register accesses take.
struct Watched {
    device: Arc<dyn PciDevice>,
    /// Nanoseconds.
    spent: Arc<AtomicU64>,
}

struct WatchedBar {
    bar: Arc<dyn Bar>,
    spent: Arc<AtomicU64>,
}

impl WatchedBar {
    fn timed<T>(&self, access: impl FnOnce(&dyn Bar) -> T) -> T {
        let begun = Instant::now();
        let value = access(&*self.bar);
        self.spent.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        value
    }
}

impl Bar for WatchedBar {
    fn size(&self) -> usize {
        self.bar.size()
    }
    fn read32(&self, offset: usize) -> u32 {
        self.timed(|bar| bar.read32(offset))
    }
    fn write32(&self, offset: usize, value: u32) {
        self.timed(|bar| bar.write32(offset, value));
    }
}

impl PciDevice for Watched {
    fn config_read(&self, offset: u16, width: Width) -> Result<u32, DeviceError> {
        self.device.config_read(offset, width)
    }
    fn config_write(&self, offset: u16, width: Width, value: u32) -> Result<(), DeviceError> {
        self.device.config_write(offset, width, value)
    }
    fn bar(&self, index: u8) -> Result<Arc<dyn Bar>, DeviceError> {
        Ok(Arc::new(WatchedBar { bar: self.device.bar(index)?, spent: self.spent.clone() }))
    }
    fn map_dma(&self, iova: u64, bytes: usize) -> Result<Arc<DmaRegion>, DeviceError> {
        self.device.map_dma(iova, bytes)
    }
    fn interrupt_vectors(&self) -> usize {
        self.device.interrupt_vectors()
    }
    fn enable_interrupts(&self, vectors: usize) -> Result<Vec<Arc<dyn Interrupt>>, DeviceError> {
        self.device.enable_interrupts(vectors)
    }
    fn reset(&self) -> Result<(), DeviceError> {
        self.device.reset()
    }
}

/// A folder for a socket, gone when dropped.
pub struct Folder(pub std::path::PathBuf);

impl Folder {
    pub fn new() -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("hashgate-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left: nothing can be done about it here.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
