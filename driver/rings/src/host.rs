// SPDX-License-Identifier: Apache-2.0
//! The host interface as a whole: bring-up, reset, interrupts, faults, memory for the device, detach.

use crate::queues::QueueChoice;
use crate::{
    EventConfig, EventRing, IovaSpace, MoverConfig, RingError, RxConfig, RxQueue, TableMover, TxConfig, TxRing,
};
use hashgate_device::{Bar, DMA_PAGE, DeviceError, DmaRegion, Interrupt, PciDevice, Width, config, map_bar};
use hashgate_regs::host::{
    BAR0_BYTES, BUILD, FAULT_ADDRESS, FAULT_VECTOR, HOST_BUILD, HOST_ID, HOST_RESET, HOST_STATUS, ID, REASON_QUEUE,
    RING_FAULT, RING_RUNNING, RINGS, SPREAD, STATUS_RESETTING, STATUS_STUCK, TX_BAD, VECTORS, ring,
};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reads of a register before the NIC counts as hung. A read takes six clocks at least; a reset that memory does not let end shows as stuck after 2^20.
pub(crate) const POLLS: u32 = 300_000;
/// [`Shared::epoch`] of a device that is gone.
const GONE: u32 = u32::MAX;
/// [`Shared::epoch`] of a device that did not stop and has lost bus mastering.
const STOPPED: u32 = u32::MAX - 1;

/// Devices of this process that have a driver.
static CLAIMED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// After a panic elsewhere the numbers behind a lock are still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That this driver is the only one of this process for a device.
struct Claim(usize);

impl Claim {
    fn new(device: &Arc<dyn PciDevice>) -> Result<Claim, DeviceError> {
        let identity = device.identity();
        let free = lock(&CLAIMED).insert(identity);
        if free { Ok(Claim(identity)) } else { Err(DeviceError::Busy { device: "the NIC of this process".into() }) }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&CLAIMED).remove(&self.0);
    }
}

/// Accesses to registers since the device was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MmioCounts {
    /// Reads, each of which waits for the device.
    pub reads: u64,
    /// Writes but doorbells and arming, which each ring counts itself.
    pub writes: u64,
}

/// Rings that the NIC has halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingFaults {
    /// Their numbers.
    pub rings: Vec<usize>,
    /// Address of the first failed transfer; means nothing if a doorbell was the reason.
    pub address: u64,
}

/// Frames that a receive ring did not take; all wrap at 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxDrops {
    /// There was no descriptor.
    pub full: u32,
    /// The ring was down. Counted since the reset of the host side, the others since the ring was started.
    pub down: u32,
    /// They were longer than a buffer.
    pub long: u32,
    /// They were aborted.
    pub aborted: u32,
}

/// What all rings of a device share.
pub(crate) struct Shared {
    /// First, so that it is gone before its address can be that of another device.
    _claim: Claim,
    device: Arc<dyn PciDevice>,
    bar: Arc<dyn Bar>,
    addresses: Mutex<IovaSpace>,
    /// Bit per ring that has an owner.
    owned: AtomicU32,
    /// Counts resets of the host side, or [`GONE`] or [`STOPPED`].
    epoch: AtomicU32,
    resets: AtomicU32,
    reads: AtomicU64,
    writes: AtomicU64,
    interrupts: Mutex<Vec<Arc<dyn Interrupt>>>,
    /// Held while something is set up, reset or stopped; never while packets are moved.
    setup: Mutex<()>,
}

impl Shared {
    /// Reads a register that is never all ones.
    pub fn read(&self, offset: usize) -> Result<u32, RingError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        match self.bar.read32(offset) {
            u32::MAX => {
                self.epoch.store(GONE, Ordering::Relaxed);
                Err(RingError::NoAnswer)
            }
            value => Ok(value),
        }
    }

    /// Reads a counter: all ones are possible.
    fn read_count(&self, offset: usize) -> Result<u32, RingError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let value = self.bar.read32(offset);
        if value == u32::MAX {
            self.read(HOST_ID)?;
        }
        Ok(value)
    }

    /// See [`Bar::pause`].
    pub fn pause(&self, reads: u32) {
        self.bar.pause(reads);
    }

    pub fn write(&self, offset: usize, value: u32) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.bar.write32(offset, value);
    }

    pub fn write64(&self, offset: usize, value: u64) {
        self.write(offset, value as u32);
        self.write(offset + 4, (value >> 32) as u32);
    }

    /// A write that the ring counts.
    pub fn ring_write(&self, offset: usize, value: u32) {
        self.bar.write32(offset, value);
    }

    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Whether a ring of `epoch` may go on.
    #[inline]
    pub fn check_epoch(&self, ring: usize, epoch: u32) -> Result<(), RingError> {
        match self.epoch() {
            now if now == epoch => Ok(()),
            GONE => Err(RingError::NoAnswer),
            STOPPED => Err(RingError::Stopped),
            _ => Err(RingError::Reset { ring }),
        }
    }

    /// Whether the device is there and not stopped.
    pub fn check_usable(&self) -> Result<(), RingError> {
        match self.epoch() {
            GONE => Err(RingError::NoAnswer),
            STOPPED => Err(RingError::Stopped),
            _ => Ok(()),
        }
    }

    /// Nobody else sets up, resets or stops while the guard lives.
    pub fn setting_up(&self) -> MutexGuard<'_, ()> {
        lock(&self.setup)
    }

    /// The device does not stop: takes bus mastering from it.
    pub fn stop_device(&self) {
        let _setup = self.setting_up();
        // A device that cannot even be reached by its configuration space has lost it already.
        let _ = set_command(&*self.device, 0, config::COMMAND_BUS_MASTER);
        let stop = |epoch| (epoch != GONE).then_some(STOPPED);
        let _ = self.epoch.fetch_update(Ordering::Relaxed, Ordering::Relaxed, stop);
    }

    pub fn own(&self, ring: usize) -> Result<(), RingError> {
        let before = self.owned.fetch_or(1 << ring, Ordering::AcqRel);
        if before >> ring & 1 == 1 { Err(RingError::RingInUse { ring }) } else { Ok(()) }
    }

    pub fn disown(&self, ring: usize) {
        self.owned.fetch_and(!(1 << ring), Ordering::AcqRel);
    }

    pub fn interrupt(&self, vector: usize) -> Option<Arc<dyn Interrupt>> {
        lock(&self.interrupts).get(vector).cloned()
    }

    pub fn fault_address(&self) -> Result<u64, RingError> {
        let low = self.read_count(FAULT_ADDRESS)?;
        Ok(u64::from(self.read_count(FAULT_ADDRESS + 4)?) << 32 | u64::from(low))
    }

    /// [`RingError::Fault`] if the NIC has halted a ring; finds out as well if it is gone.
    pub fn check_fault(&self, ring: usize) -> Result<(), RingError> {
        if self.read(RING_FAULT)? >> ring & 1 == 0 {
            return Ok(());
        }
        Err(RingError::Fault { ring, address: self.fault_address()? })
    }

    fn wait_reset(&self) -> Result<(), RingError> {
        for _ in 0..POLLS {
            let status = self.read(HOST_STATUS)?;
            if status & STATUS_RESETTING == 0 {
                return Ok(());
            }
            if status & STATUS_STUCK != 0 {
                return Err(RingError::ResetStuck);
            }
        }
        Err(RingError::ResetStuck)
    }

    /// What was before the reset has ended.
    fn next_epoch(&self) {
        let resets = self.resets.fetch_add(1, Ordering::Relaxed).wrapping_add(1) % STOPPED;
        self.epoch.store(resets, Ordering::Relaxed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // All rings are gone and with them their memory. Of a device that cannot be reached nothing is left to do.
        let _ = self.device.enable_interrupts(0);
        let _ = set_command(&*self.device, 0, config::COMMAND_BUS_MASTER);
    }
}

fn set_command(device: &dyn PciDevice, set: u32, clear: u32) -> Result<(), DeviceError> {
    let command = device.config_read(config::COMMAND, Width::Word)?;
    device.config_write(config::COMMAND, Width::Word, command & !clear | set)
}

/// Memory of a ring, in parts that begin on pages.
pub(crate) struct Memory {
    shared: Arc<Shared>,
    region: Option<Arc<DmaRegion>>,
    iova: u64,
    bytes: usize,
    /// The device may still use the addresses.
    lost: bool,
}

impl Memory {
    /// Memory for parts of so many bytes; gives their offsets, too.
    pub fn new<const N: usize>(shared: &Arc<Shared>, parts: [usize; N]) -> Result<(Memory, [usize; N]), RingError> {
        let mut bytes = 0;
        let offsets = parts.map(|part| {
            let offset = bytes;
            bytes += part.next_multiple_of(DMA_PAGE);
            offset
        });
        let iova = lock(&shared.addresses).take(bytes).ok_or(RingError::NoAddresses { bytes })?;
        // Owns the addresses from here on, should mapping fail.
        let mut memory = Memory { shared: shared.clone(), region: None, iova, bytes, lost: false };
        memory.region = Some(shared.device.map_dma(iova, bytes)?);
        Ok((memory, offsets))
    }

    pub fn iova(&self, offset: usize) -> u64 {
        self.iova + offset as u64
    }

    /// The device may go on to use the addresses: nobody gets them again.
    pub fn lose_addresses(&mut self) {
        self.lost = true;
    }
}

impl std::ops::Deref for Memory {
    type Target = DmaRegion;
    fn deref(&self) -> &DmaRegion {
        self.region.as_ref().expect("it is there until the memory is dropped")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.region = None;
        if !self.lost {
            lock(&self.shared.addresses).give_back(self.iova, self.bytes);
        }
    }
}

/// The host interface of a NIC under this driver.
///
/// Rings are made from it and live on their own; when it and all of them are dropped, interrupts and bus mastering of the device are off. A ring that is
/// dropped is switched off and waited for before its memory is unmapped.
pub struct HostInterface {
    shared: Arc<Shared>,
}

impl HostInterface {
    /// Takes the host interface of a device into service: checks that it is one that this driver knows, enables memory accesses, resets the host side, enables
    /// bus mastering. Tables and the wire path of the NIC go on as they are.
    ///
    /// # Errors
    /// [`RingError::Access`] if the device cannot be reached, its BAR 0 is too small or somebody drives it already (the second `open` in
    /// a process on the same device; other processes are refused by the backend), [`RingError::WrongId`] and [`RingError::WrongBuild`] if it is not what this driver knows,
    /// [`RingError::NoAnswer`] if all reads give ones, [`RingError::ResetStuck`] if the reset does not end.
    pub fn open(device: Arc<dyn PciDevice>) -> Result<HostInterface, RingError> {
        HostInterface::open_in(device, IovaSpace::new())
    }

    /// As [`HostInterface::open`]; memory for the device gets its addresses from `addresses` only, so that others can have the rest.
    ///
    /// # Errors
    /// As [`HostInterface::open`].
    pub fn open_in(device: Arc<dyn PciDevice>, addresses: IovaSpace) -> Result<HostInterface, RingError> {
        let host = HostInterface::identify(device, addresses)?;
        host.reset()?;
        Ok(host)
    }

    /// Takes a part of a host interface that somebody else has in service, who lends it as `device`: as [`HostInterface::open`], but without a reset. Of the
    /// rings only those in `lent`, a bit for each, can be made; the others count as in use.
    ///
    /// # Errors
    /// As [`HostInterface::open`].
    pub fn attach(device: Arc<dyn PciDevice>, lent: u32) -> Result<HostInterface, RingError> {
        let host = HostInterface::identify(device, IovaSpace::new())?;
        host.shared.owned.fetch_or(!lent, Ordering::AcqRel);
        host.shared.wait_reset()?;
        Ok(host)
    }

    /// Checks what the device is, and changes nothing but that it answers memory accesses.
    fn identify(device: Arc<dyn PciDevice>, addresses: IovaSpace) -> Result<HostInterface, RingError> {
        let claim = Claim::new(&device)?;
        let bar = map_bar(&*device, 0, BAR0_BYTES)?;
        set_command(&*device, config::COMMAND_MEMORY, 0)?;
        let shared = Arc::new(Shared {
            device,
            bar,
            addresses: Mutex::new(addresses),
            owned: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            resets: AtomicU32::new(0),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            interrupts: Mutex::new(Vec::new()),
            setup: Mutex::new(()),
            _claim: claim,
        });
        let id = shared.read(HOST_ID)?;
        if id != ID {
            return Err(RingError::WrongId { id });
        }
        let build = shared.read(HOST_BUILD)?;
        if build & 0xff_ffff != BUILD {
            return Err(RingError::WrongBuild { build });
        }
        Ok(HostInterface { shared })
    }

    /// Resets the host side: rings, DMA and interrupt requests. Rings that were made before only give errors from then on, until they are started again
    /// or dropped. Queue choice and moderation are as after power-up. Also ends [`RingError::Stopped`].
    ///
    /// # Errors
    /// [`RingError::NoAnswer`] if the device is gone, [`RingError::ResetStuck`] if memory does not answer it, [`RingError::Access`] if it cannot be reached.
    pub fn reset(&self) -> Result<(), RingError> {
        let _setup = self.shared.setting_up();
        self.shared.read(HOST_ID)?;
        self.shared.next_epoch();
        self.shared.write(HOST_RESET, 1);
        self.shared.wait_reset()?;
        Ok(set_command(&*self.shared.device, config::COMMAND_BUS_MASTER, 0)?)
    }

    /// Function-level reset by the means of PCI; else as [`HostInterface::reset`]. Interrupts are disabled afterwards. A device that was gone and is
    /// back serves again, too.
    ///
    /// # Errors
    /// As [`HostInterface::reset`].
    pub fn function_reset(&self) -> Result<(), RingError> {
        let _setup = self.shared.setting_up();
        lock(&self.shared.interrupts).clear();
        self.shared.next_epoch();
        self.shared.device.enable_interrupts(0)?;
        self.shared.device.reset()?;
        set_command(&*self.shared.device, config::COMMAND_MEMORY, 0)?;
        self.shared.read(HOST_ID)?;
        self.shared.wait_reset()?;
        Ok(set_command(&*self.shared.device, config::COMMAND_BUS_MASTER, 0)?)
    }

    /// Enables all interrupts. Rings that are made afterwards can wait.
    ///
    /// # Errors
    /// [`RingError::Access`] if the device has less than one vector per ring and one for faults, or the backend refuses.
    pub fn enable_interrupts(&self) -> Result<(), RingError> {
        self.shared.check_usable()?;
        let interrupts = self.shared.device.enable_interrupts(VECTORS)?;
        *lock(&self.shared.interrupts) = interrupts;
        Ok(())
    }

    /// The interrupt that tells of faults; `None` while interrupts are not enabled.
    pub fn fault_interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        self.shared.interrupt(FAULT_VECTOR)
    }

    /// The interrupt of ring `number`, whoever has the ring; `None` while interrupts are not enabled.
    pub fn interrupt(&self, number: usize) -> Option<Arc<dyn Interrupt>> {
        self.shared.interrupt(number)
    }

    /// Rings that are enabled or have transfers under way, a bit for each: one register read. A ring of this driver that is not among them was
    /// ended by a reset that somebody else made.
    ///
    /// # Errors
    /// [`RingError::NoAnswer`] if the device is gone.
    pub fn running(&self) -> Result<u32, RingError> {
        self.shared.read(RING_RUNNING)
    }

    /// Rings that the NIC has halted; `None` if there are none. Starting a ring again clears its fault.
    ///
    /// # Errors
    /// [`RingError::NoAnswer`] if the device is gone.
    pub fn faults(&self) -> Result<Option<RingFaults>, RingError> {
        let bits = self.shared.read(RING_FAULT)?;
        if bits == 0 {
            return Ok(None);
        }
        let rings = (0..RINGS).filter(|ring| bits >> ring & 1 == 1).collect();
        Ok(Some(RingFaults { rings, address: self.shared.fault_address()? }))
    }

    /// Looks whether the device is there: one register read. If not, all rings give errors from then on.
    ///
    /// # Errors
    /// [`RingError::NoAnswer`] if it is gone.
    pub fn check(&self) -> Result<(), RingError> {
        self.shared.read(HOST_ID).map(drop)
    }

    /// Sets which data queue frames go to; takes effect at once, register by register.
    ///
    /// # Errors
    /// [`RingError::Range`] if a queue has a number above 7; nothing was written then. [`RingError::NoAnswer`] if the device is gone.
    pub fn set_queues(&self, choice: &QueueChoice) -> Result<(), RingError> {
        let (reasons, spread) = choice.words()?;
        self.check()?;
        for (first, words) in [(REASON_QUEUE, &reasons[..]), (SPREAD, &spread[..])] {
            for (n, word) in words.iter().enumerate() {
                self.shared.write(first + 4 * n, *word);
            }
        }
        Ok(())
    }

    /// Counters of frames that receive ring `number` did not take. Of a ring that runs, [`RxQueue::dropped`] tells the sum without a register read.
    ///
    /// # Errors
    /// [`RingError::Range`] if there is no such ring, [`RingError::NoAnswer`] if the device is gone.
    pub fn rx_drops(&self, number: usize) -> Result<RxDrops, RingError> {
        check_rx(number)?;
        let count = |offset| self.shared.read_count(ring(number) + offset);
        Ok(RxDrops {
            full: count(ring::DROPPED_FULL)?,
            down: count(ring::DROPPED_DOWN)?,
            long: count(ring::DROPPED_LONG)?,
            aborted: count(ring::DROPPED_ABORTED)?,
        })
    }

    /// Transmit descriptors that the NIC took for impossible since the reset of the host side; wraps at 2^32.
    ///
    /// # Errors
    /// [`RingError::NoAnswer`] if the device is gone.
    pub fn tx_bad(&self) -> Result<u32, RingError> {
        self.shared.read_count(TX_BAD)
    }

    /// Register accesses of this driver so far.
    pub fn mmio(&self) -> MmioCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MmioCounts { reads: count(&self.shared.reads), writes: count(&self.shared.writes) }
    }

    /// Makes and starts receive ring `number`: 0..=7 for data, 8 ([`CONTROL_RX`](hashgate_regs::host::CONTROL_RX)) for control frames.
    ///
    /// # Errors
    /// [`RingError::Range`] if the number or `config` is not possible, [`RingError::RingInUse`] if the ring has an owner; others as for every start of a ring:
    /// [`RingError::Access`] and [`RingError::NoAddresses`] if there is no memory, [`RingError::NoAnswer`], [`RingError::Stopped`] and [`RingError::Timeout`] if the
    /// device does not do it.
    pub fn rx_queue(&self, number: usize, config: &RxConfig) -> Result<RxQueue, RingError> {
        check_rx(number)?;
        RxQueue::new(&self.shared, number, config)
    }

    /// Makes and starts the transmit ring for data, or that for control frames.
    ///
    /// # Errors
    /// As [`HostInterface::rx_queue`].
    pub fn tx_ring(&self, control: bool, config: &TxConfig) -> Result<TxRing, RingError> {
        TxRing::new(&self.shared, control, config)
    }

    /// Makes and starts the ring of binding events. While it lives, events do not come by register.
    ///
    /// # Errors
    /// As [`HostInterface::rx_queue`].
    pub fn event_ring(&self, config: &EventConfig) -> Result<EventRing, RingError> {
        EventRing::new(&self.shared, config)
    }

    /// Makes and starts the table mover.
    ///
    /// # Errors
    /// As [`HostInterface::rx_queue`].
    pub fn table_mover(&self, config: &MoverConfig) -> Result<TableMover, RingError> {
        TableMover::new(&self.shared, config)
    }
}

fn check_rx(number: usize) -> Result<(), RingError> {
    if number <= hashgate_regs::host::CONTROL_RX {
        return Ok(());
    }
    Err(RingError::Range { what: "receive ring", value: number as u64, possible: "0 to 8" })
}
