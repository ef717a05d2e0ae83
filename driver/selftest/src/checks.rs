// SPDX-License-Identifier: Apache-2.0
//! The checks.

use crate::Result;
use hashgate_device::{Interrupt, PciDevice, Width, config, map_bar};
use hashgate_nic::{Nic, Tables};
use hashgate_regs::defs::Table;
use hashgate_regs::host::{
    BAR0_BYTES, CONTROL_RX, CONTROL_TX, DATA_QUEUES, RING_FAULT, RING_RUNNING, ring, ring as ring_offset,
};
use hashgate_regs::registers::TableSelect;
use hashgate_rings::{
    HostInterface, MoverConfig, RingFaults, RxConfig, RxInfo, RxQueue, SendOutcome, TableMover, TxConfig, TxRing,
};
use hashgate_tables::Target;
use std::sync::Arc;
use std::time::Duration;

/// Words of a map.
const MAP_WORDS: usize = 2048;
/// Register reads before something that takes microseconds counts as not happening.
const POLLS: u32 = 20_000;
/// Register reads in which frames that are on the wire come to their end.
const SETTLE_POLLS: u32 = 200;
/// Parts of the patience with interrupts, between which frames are moved.
const INTERRUPT_WAITS: u32 = 64;
/// An address that no driver of this project maps: below 2^39, far above what is given out.
const STRAY: u64 = 0x70_0000_0000;
/// EtherType for experiments.
const EXPERIMENT: u16 = 0x88b5;
/// EtherType of heartbeats, which are control frames.
const HEARTBEAT: u16 = 0x886f;
/// Frames of a check in a loop, for each port.
const FRAMES: usize = 60;

/// What the checks work on.
pub struct Bench {
    device: Arc<dyn PciDevice>,
    parts: Option<(Nic, HostInterface)>,
    /// What the NIC was last told.
    tables: Tables,
    /// How long an interrupt may take.
    patience: Duration,
}

/// Fails unless `good`.
fn ensure(good: bool, why: impl FnOnce() -> String) -> Result<()> {
    if good { Ok(()) } else { Err(why().into()) }
}

/// Words that differ everywhere, and between seeds.
fn pattern(seed: u32) -> Vec<u32> {
    // Both halves are owners of buckets, ten bits each.
    let owner = |n: u32| (n + seed) % 1000;
    (0..MAP_WORDS as u32).map(|n| owner(7 * n) | owner(11 * n) << 16).collect()
}

/// Frame `number` of `length` bytes.
fn frame(number: usize, length: usize, ethertype: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(ethertype.to_be_bytes());
    frame.extend((frame.len()..length).map(|n| (n * 31 + number * 7) as u8));
    frame
}

impl Bench {
    pub fn new(device: &Arc<dyn PciDevice>, patience: Duration) -> Bench {
        Bench { device: device.clone(), parts: None, tables: Tables::default(), patience }
    }

    fn parts(&mut self) -> Result<(&mut Nic, &mut HostInterface)> {
        let (nic, host) = self.parts.as_mut().ok_or("the NIC was not brought up")?;
        Ok((nic, host))
    }

    /// Reads a register of the host interface, past the driver.
    fn peek(&self, offset: usize) -> Result<u32> {
        Ok(map_bar(&*self.device, 0, BAR0_BYTES)?.read32(offset))
    }

    fn bus_master(&self) -> Result<bool> {
        Ok(self.device.config_read(config::COMMAND, Width::Word)? & config::COMMAND_BUS_MASTER != 0)
    }

    /// Identity of core and host interface, initialisation, bus mastering only with a driver.
    pub fn bring_up(&mut self) -> Result<()> {
        let mut nic = Nic::open(&*self.device)?;
        nic.full_reset()?;
        let host = HostInterface::open(self.device.clone())?;
        ensure(self.bus_master()?, || "bus mastering is off".into())?;
        ensure(HostInterface::open(self.device.clone()).is_err(), || "a second driver was let in".into())?;
        self.parts = Some((nic, host));
        Ok(())
    }

    /// A reset of the host side stops all rings, and the driver can start them again.
    pub fn host_reset(&mut self) -> Result<()> {
        let (_, host) = self.parts()?;
        let mut queue = host.rx_queue(0, &RxConfig::default())?;
        let tx = host.tx_ring(false, &TxConfig::default())?;
        host.reset()?;
        let reset = queue.poll(1, |_| {});
        ensure(reset.is_err(), || "a ring did not notice the reset".into())?;
        queue.restart()?;
        drop(tx);
        let running = self.peek(RING_RUNNING)?;
        ensure(running == 1, || format!("RING_RUNNING is {running:#x} with ring 0 only"))?;
        drop(queue);
        let running = self.peek(RING_RUNNING)?;
        ensure(running == 0, || format!("RING_RUNNING is {running:#x} without rings"))
    }

    /// What was loaded by DMA is what registers read, and the other way round; the NIC's own check agrees.
    pub fn tables_by_dma(&mut self) -> Result<()> {
        let (nic, host) = self.parts()?;
        let mut mover = host.table_mover(&MoverConfig::default())?;
        let words = pattern(1);
        mover.load(Table::Map, 0, &words)?;
        let read = read_shadow(nic);
        ensure(read == words, || differ("read by registers", &read, &words))?;
        let words = pattern(2);
        let registers = nic.registers();
        registers.set_table_select(TableSelect { id: Table::Map as u8, ..TableSelect::default() });
        registers.set_table_index(0);
        words.iter().for_each(|word| registers.set_table_data(*word));
        let mut read = vec![0; MAP_WORDS];
        mover.dump(Table::Map, false, 0, &mut read)?;
        ensure(read == words, || differ("dumped by DMA", &read, &words))?;
        // From here on as in service: staged by DMA, checked by the NIC's CRC, committed, adopted by DMA.
        let mut tables = Tables::default();
        tables.settings.promiscuous = true;
        for target in 0..8 {
            tables.targets.insert(target, Target::deliver(target as u8));
        }
        tables.maps.insert(0, (0..4096u16).map(|bucket| (bucket % 17) % 8).collect());
        let mut nic = Nic::open(&*self.device)?;
        nic.set_bulk(Some(Box::new(mover)));
        nic.load(&tables)?;
        let active = nic.read_active()?;
        ensure(active == tables, || "the tables adopted are not those committed".into())?;
        let host = self.parts.take().ok_or("the NIC was not brought up")?.1;
        (self.parts, self.tables) = (Some((nic, host)), tables);
        Ok(())
    }

    /// A ring that was armed sends its MSI-X message.
    pub fn interrupt_of_a_ring(&mut self) -> Result<()> {
        let patience = self.patience;
        let (_, host) = self.parts()?;
        host.enable_interrupts()?;
        let mut tx = host.tx_ring(false, &TxConfig::default())?;
        let interrupt = tx.interrupt().ok_or("the ring has no interrupt")?;
        for n in 0..3 {
            interrupt.take();
            ensure(!tx.arm(), || "a frame was read before it was there".into())?;
            queue_frame(&mut tx, &frame(n, 60, EXPERIMENT), 0)?;
            tx.flush();
            let messages = wait_message(&*interrupt, patience, &mut || ());
            ensure(messages == Some(1), || format!("frame {n}: {messages:?} messages instead of one"))?;
            tx.reclaim()?;
            ensure(tx.outstanding() == 0, || format!("frame {n}: a message, but the frame was not read"))?;
        }
        Ok(())
    }

    /// A function-level reset ends the rings; the driver goes on afterwards.
    pub fn function_reset(&mut self) -> Result<()> {
        let (_, host) = self.parts()?;
        let mut tx = host.tx_ring(true, &TxConfig::default())?;
        host.function_reset()?;
        ensure(tx.reclaim().is_err(), || "a ring did not notice the reset".into())?;
        let running = self.peek(RING_RUNNING)?;
        ensure(running == 0, || format!("RING_RUNNING is {running:#x} after the reset"))?;
        ensure(self.bus_master()?, || "bus mastering is off after the reset".into())?;
        tx.restart()?;
        queue_frame(&mut tx, &frame(0, 60, HEARTBEAT), 0)?;
        Ok(tx.drain(POLLS)?)
    }

    /// A transfer to an address that is not mapped halts its ring, is named, and nothing else stops.
    pub fn stray_dma(&mut self) -> Result<()> {
        let patience = self.patience;
        let bar = map_bar(&*self.device, 0, BAR0_BYTES)?;
        let (_, host) = self.parts()?;
        host.enable_interrupts()?;
        let interrupt = host.fault_interrupt().ok_or("there is no interrupt for faults")?;
        let mut queue = host.rx_queue(0, &RxConfig::default())?;
        // The driver never does this, so the ring is set up past it.
        let registers = ring_offset(CONTROL_TX);
        let write64 = |offset, value: u64| {
            bar.write32(registers + offset, value as u32);
            bar.write32(registers + offset + 4, (value >> 32) as u32);
        };
        bar.write32(registers + ring::SIZE, 4);
        write64(ring::BASE, STRAY);
        write64(ring::ANSWERS, STRAY + 0x1000);
        bar.write32(registers + ring::CONTROL, 1);
        bar.write32(registers + ring::PRODUCER, 1);
        let mut faults = None;
        for _ in 0..POLLS {
            faults = host.faults()?;
            if faults.is_some() {
                break;
            }
        }
        let messages = wait_message(&*interrupt, patience, &mut || ());
        bar.write32(registers + ring::CONTROL, 0);
        bar.write32(RING_FAULT, 1 << CONTROL_TX);
        let expected = RingFaults { rings: vec![CONTROL_TX], address: STRAY };
        ensure(faults.as_ref() == Some(&expected), || format!("the NIC tells {faults:x?} instead of {expected:x?}"))?;
        ensure(messages == Some(1), || format!("{messages:?} messages about the fault instead of one"))?;
        queue.check()?;
        ensure(queue.poll(0, |_| {})? == 0, || "frames without a budget".into())?;
        // The ring that was halted serves again.
        let mut tx = host.tx_ring(true, &TxConfig::default())?;
        queue_frame(&mut tx, &frame(0, 60, HEARTBEAT), 0)?;
        tx.drain(POLLS)?;
        ensure(host.faults()?.is_none(), || "the fault stays".into())
    }

    /// After all of that the tables are those that were committed.
    pub fn tables_kept(&mut self) -> Result<()> {
        let tables = self.tables.clone();
        let (nic, host) = self.parts()?;
        nic.set_bulk(None);
        nic.set_bulk(Some(Box::new(host.table_mover(&MoverConfig::default())?)));
        let active = nic.read_active()?;
        ensure(active == tables, || "the tables are not those committed before".into())
    }

    /// All that is dropped leaves no ring, no bus mastering, and a device that can be opened again.
    pub fn detach(&mut self) -> Result<()> {
        let (mut nic, host) = self.parts.take().ok_or("the NIC was not brought up")?;
        let queue: RxQueue = host.rx_queue(0, &RxConfig::default())?;
        let mover: TableMover = {
            nic.set_bulk(None);
            host.table_mover(&MoverConfig::default())?
        };
        drop((queue, mover));
        let running = self.peek(RING_RUNNING)?;
        drop(host);
        let master = self.bus_master()?;
        ensure(running == 0, || format!("RING_RUNNING is {running:#x} without rings"))?;
        ensure(!master, || "bus mastering is on without a driver".into())?;
        HostInterface::open(self.device.clone()).map(drop)?;
        Ok(nic.full_reset()?)
    }

    // ---- checks in a loop -------------------------------------------------------------------------------------------

    /// Switches the receive path on, after frames of earlier checks that may still be on the wire.
    fn receive_on(&mut self, pump: &mut dyn FnMut()) -> Result<(&mut Nic, &mut HostInterface, u8)> {
        let (nic, host) = self.parts()?;
        nic.enable(false);
        for _ in 0..SETTLE_POLLS {
            pump();
            host.check()?;
        }
        nic.enable(true);
        let ports = nic.info().ports;
        Ok((nic, host, ports))
    }

    /// Frames of many lengths come back on each port, whole and in order.
    pub fn loop_data(&mut self, pump: &mut dyn FnMut()) -> Result<()> {
        let (_, host, ports) = self.receive_on(pump)?;
        let mut queues = data_queues(host)?;
        let mut tx = host.tx_ring(false, &TxConfig::default())?;
        for port in 0..ports {
            let sent: Vec<Vec<u8>> = (0..FRAMES).map(|n| frame(n, 60 + n * 24, EXPERIMENT)).collect();
            for frame in &sent {
                queue_frame(&mut tx, frame, port)?;
            }
            tx.flush();
            let got = receive(host, &mut queues, sent.len(), pump)?;
            let info = got.iter().find(|(info, _)| info.control || info.port != port);
            ensure(info.is_none(), || format!("port {port}: a frame comes as {info:?}"))?;
            for (n, (sent, (_, got))) in sent.iter().zip(&got).enumerate() {
                ensure(sent == got, || format!("port {port}: frame {n} of {} bytes came back as another", sent.len()))?;
            }
        }
        tx.drain(POLLS)?;
        let dropped: u64 = queues.iter().map(RxQueue::dropped).sum();
        ensure(dropped == 0, || format!("{dropped} frames were dropped"))
    }

    /// Control frames come back in the control ring.
    pub fn loop_control(&mut self, pump: &mut dyn FnMut()) -> Result<()> {
        let (_, host, ports) = self.receive_on(pump)?;
        let mut queue = [host.rx_queue(CONTROL_RX, &RxConfig::default())?];
        let mut tx = host.tx_ring(true, &TxConfig::default())?;
        for port in 0..ports {
            let sent = frame(port.into(), 60, HEARTBEAT);
            queue_frame(&mut tx, &sent, port)?;
            tx.flush();
            let got = receive(host, &mut queue, 1, pump)?;
            let (info, bytes) = &got[0];
            ensure(info.control && info.port == port, || format!("port {port}: the frame comes as {info:?}"))?;
            ensure(*bytes == sent, || format!("port {port}: the frame came back as another"))?;
        }
        Ok(())
    }

    /// A receive ring that was armed sends its message when a frame comes.
    pub fn loop_interrupt(&mut self, pump: &mut dyn FnMut()) -> Result<()> {
        let patience = self.patience;
        let (_, host, _) = self.receive_on(pump)?;
        host.enable_interrupts()?;
        let mut queue = host.rx_queue(CONTROL_RX, &RxConfig::default())?;
        let mut tx = host.tx_ring(true, &TxConfig::default())?;
        let interrupt = queue.interrupt().ok_or("the ring has no interrupt")?;
        for n in 0..3 {
            interrupt.take();
            ensure(!queue.arm(), || "a frame came before it was sent".into())?;
            queue_frame(&mut tx, &frame(n, 60, HEARTBEAT), 0)?;
            tx.flush();
            let messages = wait_message(&*interrupt, patience, pump);
            ensure(messages == Some(1), || format!("frame {n}: {messages:?} messages instead of one"))?;
            let taken = queue.poll(2, |_| {})?;
            ensure(taken == 1, || format!("frame {n}: {taken} frames with the message"))?;
        }
        Ok(())
    }
}

/// The shadow of map 0, read by registers.
fn read_shadow(nic: &Nic) -> Vec<u32> {
    let registers = nic.registers();
    registers.set_table_select(TableSelect { id: Table::Map as u8, ..TableSelect::default() });
    registers.set_table_index(0);
    (0..MAP_WORDS).map(|_| registers.table_data()).collect()
}

/// Where words differ first.
fn differ(how: &str, read: &[u32], words: &[u32]) -> String {
    let at = read.iter().zip(words).position(|(read, word)| read != word).unwrap_or_default();
    format!("word {at} of map 0 is {:#010x} {how}, it was written as {:#010x}", read[at], words[at])
}

/// Waits for messages; gives their number.
fn wait_message(interrupt: &dyn Interrupt, patience: Duration, pump: &mut dyn FnMut()) -> Option<u64> {
    let wait = |_| {
        pump();
        interrupt.wait(patience / INTERRUPT_WAITS)
    };
    (0..INTERRUPT_WAITS).map(wait).find(|messages| *messages > 0)
}

/// Puts a frame into a ring that has room.
fn queue_frame(tx: &mut TxRing, frame: &[u8], port: u8) -> Result<()> {
    let full = tx.send(frame, port)? == SendOutcome::Full;
    ensure(!full, || "the transmit ring is full".into())
}

fn data_queues(host: &HostInterface) -> Result<Vec<RxQueue>> {
    (0..DATA_QUEUES).map(|queue| Ok(host.rx_queue(queue, &RxConfig::default())?)).collect()
}

/// Waits until `count` frames have come to `queues`.
fn receive(
    host: &HostInterface,
    queues: &mut [RxQueue],
    count: usize,
    pump: &mut dyn FnMut(),
) -> Result<Vec<(RxInfo, Vec<u8>)>> {
    let mut frames = Vec::new();
    for _ in 0..POLLS {
        for queue in queues.iter_mut() {
            queue.poll(count, |frame| {
                let mut bytes = Vec::new();
                frame.copy_to_vec(&mut bytes);
                frames.push((frame.info, bytes));
            })?;
        }
        if frames.len() >= count {
            return Ok(frames);
        }
        pump();
        // Lets time pass in a simulated NIC, and finds out if a real one is gone.
        host.check()?;
    }
    Err(format!("{} of {count} frames came back", frames.len()).into())
}
