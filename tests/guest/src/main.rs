// SPDX-License-Identifier: Apache-2.0
//! The driver over the kernel's VFIO: runs in the guest of `tools/guest/run.py`, as `hashgate-guest ADDRESS [ADDRESS]`.
//!
//! Each check prints a line; the exit code is 0 if all went well. The first NIC has looped wires: what is sent comes back in by the
//! same port. The second, if there is one, is that of the host path ([`host_path`]).
#![forbid(unsafe_code)]

mod host_path;

use anyhow::{Context, Result, bail, ensure};
use hashgate_device::{DMA_PAGE, DeviceError, PciDevice, Width, config, map_bar};
use hashgate_nic::Nic;
use hashgate_regs::defs::{Mode, Table, Track, VipKind};
use hashgate_regs::host::{
    BAR0_BYTES, CONTROL_RX, FAULT_ADDRESS, FAULT_VECTOR, HOST_ID, HOST_RESET, HOST_STATUS, ID, MOVER, RING_FAULT,
    STATUS_RESETTING, VECTORS, ring,
};
use hashgate_regs::registers::TableSelect;
use hashgate_rings::{HostInterface, MoverConfig, RingError, RxConfig, RxQueue, SendOutcome, TxConfig, TxRing};
use hashgate_selftest::{Outcome, Wire};
use hashgate_tables::{BUCKETS, BucketFlags, KeyMask, Mac, MatchSlot, Rule, Settings, Tables, Target, Timeouts, Vip};
use hashgate_vfio::{Vfio, VfioError, Way};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for anything that the NIC is to do; it takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(20);
/// Frames of a round of traffic.
const FRAMES: usize = 200;
/// The tables before and after the reset.
const VARIANTS: [u16; 2] = [1, 2];
/// Number of the signal that ends a process without its doing.
const SIGKILL: i32 = 9;
/// What the program prints, as a child, when it is in the middle of its work.
const WORKING: &str = "working";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["control", socket] => host_path::control(socket),
        [address, "work"] => work(address),
        [address] => all(address),
        [address, wired] => all(address).and_then(|()| host_path::run(wired)),
        _ => Err(anyhow::anyhow!("give the address of the NIC, and that of the host path's")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a check and reports it.
fn check<T>(what: &'static str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let value = run().context(what)?;
    println!("ok {what}");
    Ok(value)
}

fn all(address: &str) -> Result<()> {
    check("what cannot be opened is refused", || refusals(address))?;
    let device = Vfio::open(address)?;
    println!("opened by {:?}", device.way());
    check("a second driver is refused", || {
        let second = Vfio::open(address).err().context("it was let in")?;
        ensure!(matches!(second, DeviceError::Busy { .. }), "{second}");
        Ok(())
    })?;
    check("configuration space", || configuration(&device))?;
    check("BARs", || bars(&device))?;
    check("memory that cannot be mapped is refused", || maps(&device))?;
    check("a transfer to memory that is not mapped is contained", || containment(&device))?;
    check("the group is free again after a close", || {
        drop(device);
        drop(Vfio::open_by(Way::Group, address)?);
        Ok(())
    })?;

    let device: Arc<dyn PciDevice> = Arc::new(Vfio::open(address)?);
    let mut driver = check("bring-up", || Driver::open(&device))?;
    let first = check("tables loaded and dumped by DMA", || driver.load_tables(VARIANTS[0]))?;
    check("the same tables by register", || driver.compare_registers())?;
    check("traffic both ways, on the data and the control ring", || driver.traffic())?;
    check("interrupts", || driver.interrupts())?;
    check("a reset ends the rings and leaves the tables", || driver.reset(&first))?;
    check("tables, traffic and interrupts after the reset", || {
        driver.load_tables(VARIANTS[1])?;
        driver.traffic()?;
        driver.interrupts()
    })?;
    drop(driver);
    selftest(&device)?;
    drop(device);
    check("a driver that is killed leaves a NIC that the next one adopts", || adoption(address))
}

/// The checks that are the same on every backend; they print their own lines.
fn selftest(device: &Arc<dyn PciDevice>) -> Result<()> {
    // The wires are looped on the other side, where time passes by itself.
    let checks = hashgate_selftest::run(device, Wire::Looped(&mut || ()), PATIENCE, &mut std::io::stdout())?;
    ensure!(hashgate_selftest::passed(&checks), "the selftest failed");
    let left_out: Vec<_> = checks.iter().filter(|check| matches!(check.outcome, Outcome::LeftOut(_))).collect();
    ensure!(!checks.is_empty() && left_out.is_empty(), "the selftest left out {left_out:?}");
    Ok(())
}

/// A [`VfioError`] that is the reason of an error.
fn reason(error: &DeviceError) -> Option<&VfioError> {
    match error {
        DeviceError::Io { source, .. } => source.get_ref().and_then(|error| error.downcast_ref()),
        error => error.source().and_then(|error| error.downcast_ref()),
    }
}

fn refusals(address: &str) -> Result<()> {
    let error = Vfio::open("7fff:ff:1f.7").err().context("a device that is not there was opened")?;
    ensure!(matches!(reason(&error), Some(VfioError::NoDevice { .. })), "{error}");
    // The first device on every bus of this machine is the bridge to the processor, which has a driver or none.
    let error = Vfio::open("0000:00:00.0").err().context("the host bridge was opened")?;
    ensure!(matches!(reason(&error), Some(VfioError::NotBound { .. })), "{error}");
    if !std::path::Path::new("/dev/iommu").exists() {
        let error = Vfio::open_by(Way::Iommufd, address).err().context("there is no iommufd")?;
        ensure!(matches!(reason(&error), Some(VfioError::Kernel { .. })), "{error}");
    }
    Ok(())
}

fn configuration(device: &Vfio) -> Result<()> {
    let id = device.config_read(config::VENDOR, Width::Dword)?;
    ensure!(id == 0x4847_1234, "ids {id:#010x}");
    ensure!(device.config_read(config::DEVICE + 1, Width::Byte)? == 0x48);
    ensure!(device.config_read(config::SIZE - 4, Width::Dword).is_ok(), "the extended space can be read");
    ensure!(matches!(device.config_read(2, Width::Dword), Err(DeviceError::ConfigAccess { .. })));
    ensure!(device.interrupt_vectors() == VECTORS, "{} vectors", device.interrupt_vectors());
    let error = device.enable_interrupts(VECTORS + 1).err().context("a vector too many")?;
    ensure!(matches!(error, DeviceError::Interrupts { wanted: 17, available: 16 }), "{error}");
    Ok(())
}

fn set_command(device: &Vfio, command: u32) -> Result<()> {
    Ok(device.config_write(config::COMMAND, Width::Word, command)?)
}

fn bars(device: &Vfio) -> Result<()> {
    let bar = map_bar(device, 0, BAR0_BYTES)?;
    set_command(device, 0)?;
    ensure!(bar.read32(HOST_ID) == u32::MAX, "without memory accesses reads give ones");
    bar.write32(HOST_RESET, 1);
    set_command(device, config::COMMAND_MEMORY)?;
    let id = bar.read32(HOST_ID);
    ensure!(id == ID, "HOST_ID {id:#x}");
    for index in [1, 3, 4, 5, 6, 255] {
        ensure!(matches!(device.bar(index), Err(DeviceError::NoBar { .. })), "BAR {index}");
    }
    let needed = bar.size() + 1;
    let error = map_bar(device, 0, needed).err().context("a BAR that is larger")?;
    ensure!(matches!(error, DeviceError::BarTooSmall { .. }), "{error}");
    Ok(())
}

fn maps(device: &Vfio) -> Result<()> {
    let refused = |iova: u64, bytes: usize| match device.map_dma(iova, bytes) {
        Err(DeviceError::DmaMap { .. }) => Ok(()),
        Err(error) => bail!("{bytes:#x} bytes at {iova:#x}: {error}"),
        Ok(_) => bail!("{bytes:#x} bytes at {iova:#x} were mapped"),
    };
    refused(0x10_0000, 0)?;
    refused(0x10_0001, DMA_PAGE)?;
    refused(0xfee0_0000, DMA_PAGE)?;
    refused(1 << 39, DMA_PAGE)?;
    let region = device.map_dma(0x10_0000, 4 * DMA_PAGE)?;
    refused(0x10_0000, DMA_PAGE)?;
    refused(0x10_3000, 2 * DMA_PAGE)?;
    drop(region);
    let again = device.map_dma(0x10_0000, DMA_PAGE).context("after it was unmapped")?;
    ensure!(again.read64(0) == 0, "new memory is zeroed");
    Ok(())
}

/// Lets the table mover fetch a command from a page that is not mapped, between two that are.
fn containment(device: &Vfio) -> Result<()> {
    let hole = 0x20_0000 + DMA_PAGE as u64;
    let (below, above) =
        (device.map_dma(hole - DMA_PAGE as u64, DMA_PAGE)?, device.map_dma(hole + DMA_PAGE as u64, DMA_PAGE)?);
    set_command(device, config::COMMAND_MEMORY | config::COMMAND_BUS_MASTER)?;
    let vectors = device.enable_interrupts(VECTORS)?;
    let bar = map_bar(device, 0, BAR0_BYTES)?;
    let registers = ring(MOVER);
    bar.write32(registers + ring::SIZE, 4);
    for (register, address) in [(ring::BASE, hole), (ring::ANSWERS, above.iova())] {
        bar.write32(registers + register, address as u32);
        bar.write32(registers + register + 4, (address >> 32) as u32);
    }
    bar.write32(registers + ring::CONTROL, 1);
    bar.write32(registers + ring::PRODUCER, 1);
    ensure!(vectors[FAULT_VECTOR].wait(PATIENCE) > 0, "no interrupt for the fault");
    ensure!(vectors.iter().take(FAULT_VECTOR).all(|vector| vector.take() == 0), "interrupts of rings without one");
    let address = u64::from(bar.read32(FAULT_ADDRESS + 4)) << 32 | u64::from(bar.read32(FAULT_ADDRESS));
    let fault = bar.read32(RING_FAULT);
    ensure!((fault, address) == (1 << MOVER, hole), "RING_FAULT {fault:#x}, FAULT_ADDRESS {address:#x}");
    for region in [&below, &above] {
        ensure!(
            (0..DMA_PAGE).step_by(8).all(|offset| region.read64(offset) == 0),
            "memory beside the hole was written"
        );
    }
    device.reset()?;
    let command = device.config_read(config::COMMAND, Width::Word)?;
    ensure!(
        command & (config::COMMAND_MEMORY | config::COMMAND_BUS_MASTER) == 0,
        "command {command:#x} after the reset"
    );
    ensure!(bar.read32(RING_FAULT) == u32::MAX, "reads give ones while memory accesses are off");
    set_command(device, config::COMMAND_MEMORY)?;
    for _ in 0..1000 {
        if bar.read32(HOST_STATUS) & STATUS_RESETTING == 0 {
            ensure!(bar.read32(RING_FAULT) == 0, "the fault is still there after the reset");
            return Ok(());
        }
    }
    bail!("the reset of the host side does not end")
}

/// What a driver holds.
struct Driver {
    nic: Nic,
    host: HostInterface,
    /// Receive and transmit ring for data, and for control frames.
    rings: Vec<(RxQueue, TxRing)>,
    port: u8,
}

impl Driver {
    /// Takes the NIC as it is.
    fn open(device: &Arc<dyn PciDevice>) -> Result<Driver> {
        let nic = Nic::open(&**device)?;
        let host = HostInterface::open(Arc::clone(device))?;
        let mut driver = Driver { nic, host, rings: Vec::new(), port: 0 };
        driver.start()?;
        Ok(driver)
    }

    /// Enables interrupts and makes the rings.
    fn start(&mut self) -> Result<()> {
        self.host.enable_interrupts()?;
        self.nic.set_bulk(Some(Box::new(self.host.table_mover(&MoverConfig::default())?)));
        for (number, control) in [(0, false), (CONTROL_RX, true)] {
            let (rx, tx) = (RxConfig::default(), TxConfig::default());
            self.rings.push((self.host.rx_queue(number, &rx)?, self.host.tx_ring(control, &tx)?));
        }
        Ok(())
    }

    /// Loads tables, and compares what the NIC then has.
    fn load_tables(&mut self, variant: u16) -> Result<Tables> {
        let wanted = tables(variant);
        self.nic.load(&wanted)?;
        self.nic.enable(true);
        ensure!(self.nic.read_active()? == wanted, "tables {variant} are not what was loaded");
        Ok(wanted)
    }

    /// Compares a table that was moved by DMA with what its registers show.
    fn compare_registers(&mut self) -> Result<()> {
        let mut moved = vec![0; 256];
        self.nic.set_bulk(None);
        let mut mover = self.host.table_mover(&MoverConfig::default())?;
        mover.dump(Table::Target, true, 0, &mut moved)?;
        let registers = self.nic.registers();
        registers.set_table_select(TableSelect { id: Table::Target as u8, active: true, ..TableSelect::default() });
        registers.set_table_index(0);
        let read: Vec<u32> = (0..moved.len()).map(|_| registers.table_data()).collect();
        ensure!(read == moved, "the mover and the registers show different words");
        ensure!(moved.iter().any(|word| *word != 0), "the table is empty");
        self.nic.set_bulk(Some(Box::new(mover)));
        Ok(())
    }

    /// Sends frames and takes them back, with all lengths that a buffer holds between the shortest and the longest.
    fn traffic(&mut self) -> Result<()> {
        for n in 0..2 {
            let sent: Vec<Vec<u8>> = (0..FRAMES).map(|frame| bytes(n, frame)).collect();
            let (mut next, mut back, mut progress) = (0, Vec::new(), Instant::now());
            let port = self.port;
            let (rx, tx) = &mut self.rings[n];
            while back.len() < FRAMES {
                // No more on the way than there are buffers for.
                while next < FRAMES && next - back.len() < 16 && tx.send(&sent[next], port)? == SendOutcome::Queued {
                    next += 1;
                }
                tx.flush();
                let taken = rx.poll(FRAMES, |frame| {
                    let mut bytes = Vec::new();
                    frame.copy_to_vec(&mut bytes);
                    back.push((bytes, frame.info.port, frame.info.control));
                })?;
                if taken == 0 {
                    // A wait also ends with an interrupt that was on its way when its frames were taken.
                    rx.wait(PATIENCE)?;
                    let waited = progress.elapsed();
                    ensure!(waited < PATIENCE, "frame {} of {FRAMES} does not come back in {waited:?}", back.len());
                } else {
                    progress = Instant::now();
                }
                tx.reclaim()?;
            }
            for (frame, (bytes, from, control)) in back.iter().enumerate() {
                ensure!(*bytes == sent[frame], "frame {frame} came back changed");
                ensure!((*from, *control) == (port, n == 1), "frame {frame} came by port {from}, control {control}");
            }
            tx.drain(1000)?;
            ensure!(tx.outstanding() == 0, "{} frames are still with the NIC", tx.outstanding());
            ensure!(rx.dropped() == 0, "{} frames were dropped", rx.dropped());
        }
        self.port ^= 1;
        ensure!(self.host.faults()?.is_none() && self.host.tx_bad()? == 0, "faults after traffic");
        Ok(())
    }

    /// A ring that is waited for gets its interrupt; one that nobody waits for does not.
    fn interrupts(&mut self) -> Result<()> {
        let [(rx, tx), (other, _)] = &mut self.rings[..] else { bail!("two pairs of rings were made") };
        let quiet = other.interrupt().context("no interrupt")?;
        quiet.take();
        for n in 0..20 {
            let vector = rx.interrupt().context("no interrupt")?;
            vector.take();
            ensure!(!rx.arm(), "frames that nobody sent");
            ensure!(tx.send(&bytes(0, n), self.port)? == SendOutcome::Queued);
            tx.flush();
            let mut came = vector.wait(PATIENCE);
            ensure!(came > 0, "round {n}: no interrupt");
            let mut frames = rx.poll(2, |_| ())?;
            if frames == 0 {
                // It was on its way since frames of before were taken.
                came += vector.wait(PATIENCE);
                frames = rx.poll(2, |_| ())?;
            }
            ensure!(frames == 1 && came <= 2, "round {n}: {frames} frames, {came} interrupts");
            tx.drain(1000)?;
        }
        ensure!(quiet.take() == 0, "interrupts of a ring that was not armed");
        ensure!(rx.stats().lost_interrupts == 0, "{} lost interrupts", rx.stats().lost_interrupts);
        Ok(())
    }

    /// Function-level reset, and everything that ran on the host side anew.
    fn reset(&mut self, before: &Tables) -> Result<()> {
        self.host.function_reset()?;
        let (rx, tx) = &mut self.rings[0];
        ensure!(matches!(rx.poll(1, |_| ()), Err(RingError::Reset { .. })), "a receive ring goes on over the reset");
        ensure!(matches!(tx.reclaim(), Err(RingError::Reset { .. })), "a transmit ring goes on over the reset");
        self.rings.clear();
        self.nic.set_bulk(None);
        self.start()?;
        ensure!(self.nic.read_active()? == *before, "the tables changed");
        Ok(())
    }
}

/// Loads tables, then sends, receives and writes to the shadow of the tables until somebody ends the process.
fn work(address: &str) -> Result<()> {
    let device: Arc<dyn PciDevice> = Arc::new(Vfio::open(address)?);
    let mut driver = Driver::open(&device)?;
    driver.load_tables(VARIANTS[0])?;
    loop {
        println!("{WORKING}");
        std::io::stdout().flush()?;
        for variant in [VARIANTS[1], VARIANTS[0]] {
            driver.nic.stage(&tables(variant))?;
            driver.traffic()?;
        }
    }
}

/// Kills a driver in the middle of its work and takes the NIC over.
fn adoption(address: &str) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?).args([address, "work"]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output of the child")?).lines();
    // The second time it says so it has done everything once.
    for _ in 0..2 {
        let line = lines.next().context("the child ended early")??;
        ensure!(line == WORKING, "the child: {line}");
    }
    let error = Vfio::open(address).err().context("the NIC was given to two processes")?;
    ensure!(matches!(error, DeviceError::Busy { .. }), "{error}");
    child.kill()?;
    let status = child.wait()?;
    ensure!(status.signal() == Some(SIGKILL), "the child ended by itself: {status}");

    let device: Arc<dyn PciDevice> = Arc::new(Vfio::open(address)?);
    let mut driver = Driver::open(&device)?;
    ensure!(driver.nic.read_active()? == tables(VARIANTS[0]), "the tables are not those of the driver that was killed");
    driver.traffic()?;
    driver.interrupts()?;
    driver.load_tables(VARIANTS[1])?;
    driver.traffic()
}

/// Some tables that every build of the NIC takes; those of different variants differ in all units.
fn tables(variant: u16) -> Tables {
    let mac = |first| Mac([first, 0, 0, 0, 0, variant as u8]);
    let rule = Rule {
        mode: Mode::Single,
        draining: variant == 1,
        affinity: false,
        timeouts: Timeouts::default(),
        track: Track::Always,
        map: 0,
        group: 0,
        bucket: KeyMask::CLASS_C,
        binding: KeyMask { src4: 32, src6: 128, dst: true, sport: true, dport: true },
    };
    let vip = Vip { zone: 1, addr: [10, 0, 0, variant as u8].into(), kind: VipKind::Vip, id: variant };
    let ports = (80 * variant, 443 * variant);
    let slot = MatchSlot { vip: Some(variant), tcp: true, udp: false, ports, fragment: false, rule: 0 };
    let owners = |map: u16| (0..BUCKETS as u16).map(|bucket| (bucket + map + variant) % 3).collect();
    let flags = |bucket| (u8::from(bucket % 2 == 0), bucket);
    Tables {
        settings: Settings {
            station_mac: mac(2),
            cluster_mac: mac(3),
            mask_mac: mac(6),
            promiscuous: true,
            ..Settings::default()
        },
        zones: [((0, variant), 1), ((1, 0), 1)].into(),
        multicast: [mac(1), Mac([0x33, 0x33, 0, 0, 0, 1])].into(),
        vips: vec![vip],
        slots: vec![Some(slot)],
        rules: [(0, rule)].into(),
        maps: [(0, owners(0)), (1, owners(1))].into(),
        flags: (0..100)
            .map(|n| (flags(n * 40 + variant), BucketFlags { handover: n % 3 == 0, track: n % 3 > 0 }))
            .collect(),
        targets: (0..3).map(|target| (target, Target::forward(((target + variant) % 2) as u8))).collect(),
    }
}

/// Frame `n` of ring `ring`.
fn bytes(ring: usize, n: usize) -> Vec<u8> {
    // Of the type for experiments, or a heartbeat, which makes it a control frame.
    let kind = [0x88b5_u16, 0x886f][ring].to_be_bytes();
    let header = [&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8][..], &kind].concat();
    let length = 60 + (n * 7919) % 1455;
    let rest = (header.len()..length).map(|at| (at * 31 + n * 17 + ring * 101) as u8);
    header.iter().copied().chain(rest).collect()
}
