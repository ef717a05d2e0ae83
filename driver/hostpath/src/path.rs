// SPDX-License-Identifier: Apache-2.0
//! The way of frames.

use crate::lender::{Lender, Log};
use crate::protocol::{FRAME_HEADER, HEARTBEAT};
use crate::stats::Stats;
use crate::{Listener, PathError};
use hashgate_device::{Interrupt, PciDevice, Width, config, map_bar};
use hashgate_netdev::{MAX_FRAME, NetDevice, Tap};
use hashgate_regs::host::{BAR0_BYTES, CONTROL_RX, EVENTS, HOST_BUILD, HOST_ID, ID, MOVER, ring};
use hashgate_rings::{
    HostInterface, IovaSpace, QueueChoice, RingError, RxConfig, RxDrops, RxQueue, SendOutcome, TxConfig, TxRing,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Memory of the host path has addresses from here on; what is below is the controller's.
pub const HOST_PATH_ADDRESSES: u64 = 1 << 38;
/// Bytes of a receive buffer: the longest frame fits.
const BUFFER_BYTES: usize = MAX_FRAME.next_multiple_of(64);
/// Frames that one queue, or the TAP device, may move before it is another's turn.
const BUDGET: usize = 64;
/// Rounds with frames after which sockets, faults and the time are looked at nevertheless.
const BUSY_ROUNDS: u32 = 16;
/// How long memory is looked at for frames before the process sleeps: about what a sleep and its end cost.
const SPIN: Duration = Duration::from_micros(20);
/// Time between two looks at the NIC's own state, the only register reads while all is well.
const CHECK: Duration = Duration::from_secs(1);
/// An interrupt that has not come so long after its frames is lost.
const LATE: Duration = Duration::from_millis(500);
/// Failures of a ring in a row before it counts as hopeless.
const FAILURES: u32 = 8;
/// Before the first restart of a ring; each further one takes twice as long as the one before.
const FIRST_DELAY: Duration = Duration::from_millis(10);
/// A ring that was well for so long starts with no failures again.
const WELL: Duration = Duration::from_secs(60);
/// Register reads without a frame gone until the end does not wait for frames to send any more.
const DRAIN_POLLS: u32 = 20_000;

/// The kernel's side.
pub trait Kernel: NetDevice {
    /// MAC of its interface.
    ///
    /// # Errors
    /// Those of the operating system.
    fn mac(&self) -> io::Result<[u8; 6]>;

    /// Lets the interface outlive this process, with its addresses and routes, or go with it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn set_persistent(&self, persistent: bool) -> io::Result<()>;
}

impl Kernel for Tap {
    fn mac(&self) -> io::Result<[u8; 6]> {
        Tap::mac(self)
    }

    fn set_persistent(&self, persistent: bool) -> io::Result<()> {
        Tap::set_persistent(self, persistent)
    }
}

/// How the host path works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Wire port that frames of the kernel go out by, 0 or 1.
    pub port: u8,
    /// Data queues, 1 to 8; frames are spread over them by bucket.
    pub queues: u8,
    /// Frames to the kernel keep their destination MAC. Otherwise those that the NIC took for the host get that of the TAP device, without which the kernel would
    /// not take frames to the cluster's MAC.
    pub keep_destination: bool,
    /// A ring has 2 to the power of this many entries, 4..=15; receive and transmit alike.
    pub size_log2: u8,
}

impl Default for Options {
    /// Port 0, one queue, rings of 256 entries.
    fn default() -> Options {
        Options { port: 0, queues: 1, keep_destination: false, size_log2: 8 }
    }
}

impl Options {
    fn check(&self) -> Result<(), PathError> {
        let range = |what, value: u8, possible| Err(PathError::Range { what, value: value.into(), possible });
        match self {
            Options { port: 2.., .. } => range("wire port", self.port, "0 or 1"),
            Options { queues: 0 | 9.., .. } => range("number of queues", self.queues, "1 to 8"),
            Options { size_log2: 0..4 | 16.., .. } => {
                range("size of rings, a power of two,", self.size_log2, "4 to 15")
            }
            _ => Ok(()),
        }
    }
}

/// Frames that the NIC dropped for want of a host since the last reset of the host side. To be asked before a host path takes the device, which resets the host
/// side and with it these counters; 0 if the device is none that has them, or one that was reset when it was opened (VFIO).
///
/// # Errors
/// [`PathError::Device`] if the device cannot be reached.
pub fn dropped_before(device: &dyn PciDevice) -> Result<u64, PathError> {
    let bar = map_bar(device, 0, BAR0_BYTES)?;
    let command = device.config_read(config::COMMAND, Width::Word)?;
    device.config_write(config::COMMAND, Width::Word, command | config::COMMAND_MEMORY)?;
    let known = bar.read32(HOST_ID) == ID && bar.read32(HOST_BUILD) != u32::MAX;
    if !known {
        return Ok(0);
    }
    let down = |number: usize| match bar.read32(ring(number) + ring::DROPPED_DOWN) {
        u32::MAX => 0,
        count => u64::from(count),
    };
    Ok((0..=CONTROL_RX).map(down).sum())
}

/// What receive and transmit rings have in common here.
trait Restart {
    fn restart(&mut self) -> Result<(), RingError>;
    fn interrupt(&self) -> Option<Arc<dyn Interrupt>>;
    /// Writes of its doorbell and of its arming.
    fn writes(&self) -> u64;
}

macro_rules! restart {
    ($ring:ty) => {
        impl Restart for $ring {
            fn restart(&mut self) -> Result<(), RingError> {
                <$ring>::restart(self)
            }
            fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
                <$ring>::interrupt(self)
            }
            fn writes(&self) -> u64 {
                self.stats().doorbells + self.stats().armed
            }
        }
    };
}
restart!(RxQueue);
restart!(TxRing);

/// A ring with what happened to it.
struct Slot<R> {
    ring: R,
    number: usize,
    interrupt: Arc<dyn Interrupt>,
    /// The NIC will ask for the interrupt; asking disarms.
    armed: bool,
    /// Since when there were frames without the interrupt, which may be late: on its way when a sleep ended, or behind other things in a busy machine.
    overdue: Option<Instant>,
    /// The ring does not run until it is started again then.
    restart_at: Option<Instant>,
    failures: u32,
    well_since: Instant,
}

impl<R: Restart> Slot<R> {
    fn new(ring: R, number: usize) -> Result<Slot<R>, PathError> {
        let interrupt = ring.interrupt().filter(|interrupt| interrupt.fd().is_some()).ok_or(PathError::NoInterrupts)?;
        let well_since = Instant::now();
        Ok(Slot { ring, number, interrupt, armed: false, overdue: None, restart_at: None, failures: 0, well_since })
    }

    fn is_up(&self) -> bool {
        self.restart_at.is_none()
    }

    /// The ring has failed: says when it will be started again.
    #[cold]
    fn fail(&mut self, error: RingError, stats: &mut Stats, log: &Log) -> Result<(), PathError> {
        match error {
            RingError::NoAnswer => return Err(PathError::Gone),
            RingError::Fault { .. } => stats.rings.faults += 1,
            RingError::Device { .. } => stats.rings.violations += 1,
            _ => {}
        }
        let now = Instant::now();
        if now.duration_since(self.well_since) >= WELL {
            self.failures = 0;
        }
        self.failures += 1;
        if self.failures > FAILURES {
            return Err(PathError::Hopeless { ring: self.number, times: self.failures, last: error });
        }
        let delay = FIRST_DELAY * (1 << (self.failures - 1));
        (log)(&format!("{error}; that is done in {} ms (failure {} of {FAILURES})", delay.as_millis(), self.failures));
        self.restart_at = Some(now + delay);
        Ok(())
    }

    /// Starts the ring again, now.
    fn start(&mut self, stats: &mut Stats, log: &Log) -> Result<(), PathError> {
        match self.ring.restart() {
            Ok(()) => {
                (self.restart_at, self.armed, self.overdue) = (None, false, None);
                self.well_since = Instant::now();
                stats.rings.restarts += 1;
                Ok(())
            }
            Err(error) => self.fail(error, stats, log),
        }
    }
}

/// How a look at everything ended.
enum Look {
    Stop,
    Woken,
    /// Nothing happened until the time was over.
    TimeOut,
}

/// The host path: the device, its packet rings, the TAP device and the control socket.
pub struct HostPath {
    // In the order in which they are dropped: what is lent first, then rings, then the host interface that they belong to.
    lender: Lender,
    rx: Vec<Slot<RxQueue>>,
    tx: Slot<TxRing>,
    control_tx: Slot<TxRing>,
    host: HostInterface,
    fault: Arc<dyn Interrupt>,
    tap: Box<dyn Kernel>,
    mac: [u8; 6],
    options: Options,
    /// A frame on its way.
    frame: Vec<u8>,
    /// The transmit ring has no room: the TAP device is not read.
    stalled: bool,
    /// The last sleep ended by its time-out.
    timed_out: bool,
    next_check: Instant,
    /// Counters of the NIC when they were last read, by ring.
    drops_seen: [RxDrops; CONTROL_RX + 1],
    stats: Stats,
    log: Log,
}

impl HostPath {
    /// Takes the host side of a device into service, with rings for packets, and lends the rest at `control`. Tables, bindings and the wire path of the NIC go
    /// on as they are. `host_down` is what [`dropped_before`] gave; `log` gets lines for people.
    ///
    /// # Errors
    /// [`PathError::Range`] if an option is not possible, [`PathError::Ring`], [`PathError::Gone`] and [`PathError::Device`] if the device does not do it,
    /// [`PathError::NoInterrupts`], [`PathError::Tap`] if the TAP device has no MAC. Nothing is left running then.
    pub fn start(
        device: Arc<dyn PciDevice>,
        tap: Box<dyn Kernel>,
        control: Listener,
        options: Options,
        host_down: u64,
        log: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<HostPath, PathError> {
        options.check()?;
        let mac = tap.mac().map_err(PathError::Tap)?;
        let bar = map_bar(&*device, 0, BAR0_BYTES)?;
        let host = HostInterface::open_in(device.clone(), IovaSpace::above(HOST_PATH_ADDRESSES))?;
        host.enable_interrupts()?;
        let vector = |number| host.interrupt(number).filter(|vector| vector.fd().is_some());
        let lent = [vector(EVENTS).ok_or(PathError::NoInterrupts)?, vector(MOVER).ok_or(PathError::NoInterrupts)?];
        let fault = host.fault_interrupt().filter(|vector| vector.fd().is_some()).ok_or(PathError::NoInterrupts)?;
        host.set_queues(&QueueChoice::spread_over(options.queues)?)?;
        let rx_config = RxConfig { size_log2: options.size_log2, buffer_bytes: BUFFER_BYTES, ..RxConfig::default() };
        let tx_config = TxConfig { size_log2: options.size_log2, longest: MAX_FRAME, ..TxConfig::default() };
        // The reserved ring first: its frames must not starve behind those of others.
        let numbers = [CONTROL_RX].into_iter().chain(0..options.queues.into());
        let rx = numbers
            .map(|number| Slot::new(host.rx_queue(number, &rx_config)?, number))
            .collect::<Result<Vec<_>, PathError>>()?;
        let tx = Slot::new(host.tx_ring(false, &tx_config)?, hashgate_regs::host::DATA_TX)?;
        let control_tx = Slot::new(host.tx_ring(true, &tx_config)?, hashgate_regs::host::CONTROL_TX)?;
        let lender = Lender::new(device, bar, control, lent, HOST_PATH_ADDRESSES, log.clone());
        let mut stats = Stats::default();
        stats.nic.host_down = host_down;
        Ok(HostPath {
            lender,
            rx,
            tx,
            control_tx,
            host,
            fault,
            tap,
            mac,
            options,
            frame: vec![0; FRAME_HEADER + BUFFER_BYTES + 64],
            stalled: false,
            timed_out: false,
            next_check: Instant::now() + CHECK,
            drops_seen: [RxDrops::default(); CONTROL_RX + 1],
            stats,
            log,
        })
    }

    /// The kernel's side.
    pub fn tap(&self) -> &dyn Kernel {
        &*self.tap
    }

    /// Moves frames until `stop` can be read or has ended.
    ///
    /// # Errors
    /// [`PathError::Gone`] if the device is gone, [`PathError::Hopeless`] and [`PathError::Ring`] if it fails for good, [`PathError::TapGone`] if the TAP
    /// device is removed, [`PathError::Wait`].
    pub fn run(&mut self, stop: BorrowedFd<'_>) -> Result<(), PathError> {
        let mut idle_since: Option<Instant> = None;
        let mut rounds = 0;
        loop {
            let moved = self.turn()?;
            self.timed_out = false;
            let sleep = if moved {
                idle_since = None;
                rounds += 1;
                if rounds < BUSY_ROUNDS {
                    continue;
                }
                Duration::ZERO
            } else {
                let since = *idle_since.get_or_insert_with(Instant::now);
                if since.elapsed() < SPIN {
                    std::hint::spin_loop();
                    continue;
                }
                if self.arm() { Duration::ZERO } else { self.time_left() }
            };
            rounds = 0;
            if sleep > Duration::ZERO {
                idle_since = None;
                self.stats.sleeps += 1;
            }
            match self.look(stop, sleep)? {
                Look::Stop => return Ok(()),
                Look::Woken => {}
                Look::TimeOut => self.timed_out = sleep > Duration::ZERO,
            }
            self.lend()?;
            self.restart_due()?;
            if Instant::now() >= self.next_check {
                self.check()?;
            }
        }
    }

    /// One round: what is there, both ways, within the budget. Gives whether there was anything.
    fn turn(&mut self) -> Result<bool, PathError> {
        let received = self.receive()?;
        let sent = self.transmit()?;
        let control = self.transmit_control()?;
        Ok(received || sent || control)
    }

    fn receive(&mut self) -> Result<bool, PathError> {
        let HostPath { rx, tap, frame: buffer, stats, lender, log, mac, options, timed_out, .. } = self;
        let mut any = false;
        for slot in rx.iter_mut().filter(|slot| slot.is_up()) {
            let mut tap_gone = None;
            let reserved = slot.number == CONTROL_RX;
            let polled = slot.ring.poll(BUDGET, |frame| {
                let length = frame.copy_to(buffer);
                let bytes = &mut buffer[..length];
                if reserved && ether_type(bytes) == Some(HEARTBEAT) {
                    lender.hand_over(frame.info.time_ns, frame.info.port, bytes, &mut stats.control);
                    return;
                }
                if !options.keep_destination && readdress(bytes, *mac, frame.info.rule.is_some()) {
                    stats.rx.readdressed += 1;
                }
                match tap.send(bytes) {
                    Ok(true) => {
                        stats.rx.frames += 1;
                        stats.rx.bytes += length as u64;
                    }
                    Ok(false) => stats.rx.tap_full += 1,
                    Err(error) if is_gone(&error) => tap_gone = Some(error),
                    Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => stats.rx.tap_down += 1,
                    Err(_) => stats.rx.tap_refused += 1,
                }
            });
            if let Some(error) = tap_gone {
                return Err(PathError::TapGone(error));
            }
            match polled {
                Ok(0) => {}
                Ok(_) => {
                    any = true;
                    // Nothing has woken us, although the ring was armed.
                    if slot.armed && *timed_out {
                        slot.overdue.get_or_insert_with(Instant::now);
                        slot.armed = false;
                    }
                }
                Err(error) => slot.fail(error, stats, log)?,
            }
        }
        Ok(any)
    }

    fn transmit(&mut self) -> Result<bool, PathError> {
        let HostPath { tx: slot, tap, frame: buffer, stats, log, stalled, options, .. } = self;
        if !slot.is_up() {
            return Ok(false);
        }
        let room = match slot.ring.reclaim() {
            Ok(room) => room.min(BUDGET),
            Err(error) => return slot.fail(error, stats, log).map(|()| false),
        };
        if room == 0 {
            stats.tx.stalls += u64::from(!*stalled);
            *stalled = true;
            return Ok(false);
        }
        *stalled = false;
        let mut any = false;
        for _ in 0..room {
            let length = match tap.receive(buffer) {
                Ok(Some(length)) => length,
                Ok(None) => break,
                Err(error) if is_gone(&error) => return Err(PathError::TapGone(error)),
                // Down: nothing comes then.
                Err(_) => break,
            };
            any = true;
            match slot.ring.send(&buffer[..length], options.port) {
                Ok(SendOutcome::Queued) => {
                    stats.tx.frames += 1;
                    stats.tx.bytes += length as u64;
                }
                // There was room, so it is not this.
                Ok(SendOutcome::Full) => break,
                Err(RingError::Range { .. }) => stats.tx.bad_length += 1,
                Err(error) => return slot.fail(error, stats, log).map(|()| true),
            }
        }
        slot.ring.flush();
        Ok(any)
    }

    /// Sends what the controller wants to be sent.
    fn transmit_control(&mut self) -> Result<bool, PathError> {
        let HostPath { control_tx: slot, frame: buffer, stats, log, lender, .. } = self;
        let mut any = false;
        for _ in 0..BUDGET / 2 {
            let Some((port, place)) = lender.take_frame(buffer) else { break };
            any = true;
            if !slot.is_up() {
                stats.control.tx_full += 1;
                continue;
            }
            match slot.ring.send(&buffer[place], port) {
                Ok(SendOutcome::Queued) => stats.control.sent += 1,
                Ok(SendOutcome::Full) => stats.control.tx_full += 1,
                Err(RingError::Range { .. }) => stats.control.bad_frame += 1,
                Err(error) => slot.fail(error, stats, log)?,
            }
        }
        slot.ring.flush();
        Ok(any)
    }

    /// Arms what is to wake us; gives whether there is something already.
    fn arm(&mut self) -> bool {
        let mut ready = false;
        for slot in self.rx.iter_mut().filter(|slot| slot.is_up() && !slot.armed) {
            slot.armed = true;
            ready |= slot.ring.arm();
        }
        if self.stalled && self.tx.is_up() && !self.tx.armed {
            self.tx.armed = true;
            ready |= self.tx.ring.arm();
        }
        ready
    }

    fn time_left(&self) -> Duration {
        let rx = self.rx.iter().filter_map(|slot| slot.restart_at);
        let due = rx.chain(self.tx.restart_at).chain(self.control_tx.restart_at).chain([self.next_check]).min();
        due.unwrap_or(self.next_check).saturating_duration_since(Instant::now())
    }

    /// Looks what there is, and waits for it for so long.
    fn look(&mut self, stop: BorrowedFd<'_>, time: Duration) -> Result<Look, PathError> {
        let interrupts = self.rx.iter().map(|slot| &slot.interrupt).chain([&self.tx.interrupt, &self.fault]);
        let woken = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds: Vec<PollFd<'_>> = interrupts.filter_map(|interrupt| interrupt.fd()).map(woken).collect();
        let vectors = fds.len();
        debug_assert_eq!(vectors, self.rx.len() + 2);
        fds.push(woken(stop));
        if !self.stalled && self.tx.is_up() {
            fds.push(woken(self.tap.as_fd()));
        }
        fds.extend(self.lender.fds().map(woken));
        let limit = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut fds, Some(&limit)) {
            Ok(0) => return Ok(Look::TimeOut),
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Look::Woken),
            Err(error) => return Err(PathError::Wait(error.into())),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        for (slot, _) in self.rx.iter_mut().zip(&ready).filter(|(_, ready)| **ready) {
            slot.interrupt.take();
            (slot.armed, slot.overdue) = (false, None);
        }
        if ready[vectors - 2] {
            self.tx.interrupt.take();
            self.tx.armed = false;
        }
        if ready[vectors - 1] {
            self.fault.take();
            self.check_faults()?;
        }
        Ok(if ready[vectors] { Look::Stop } else { Look::Woken })
    }

    /// Serves the controller.
    fn lend(&mut self) -> Result<(), PathError> {
        self.lender.work(&mut self.stats.control);
        if self.lender.take_reset() {
            self.check()?;
        }
        if let Some(id) = self.lender.take_stats_wanted() {
            let stats = self.stats()?;
            let text = serde_json::to_vec(&stats).unwrap_or_default();
            self.lender.tell(id, &text, &mut self.stats.control);
        }
        Ok(())
    }

    /// Starts the rings again whose time has come.
    fn restart_due(&mut self) -> Result<(), PathError> {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.rx.iter().any(|slot| due(slot.restart_at)) {
            // Starting begins some of the counters anew.
            self.count_drops()?;
        }
        for slot in self.rx.iter_mut().filter(|slot| due(slot.restart_at)) {
            slot.start(&mut self.stats, &self.log)?;
            let seen = &mut self.drops_seen[slot.number];
            *seen = RxDrops { down: seen.down, ..RxDrops::default() };
        }
        for slot in [&mut self.tx, &mut self.control_tx].into_iter().filter(|slot| due(slot.restart_at)) {
            self.stats.tx.uncertain += slot.ring.outstanding() as u64;
            slot.start(&mut self.stats, &self.log)?;
        }
        Ok(())
    }

    /// Looks at the NIC's own state: two register reads.
    fn check(&mut self) -> Result<(), PathError> {
        self.next_check = Instant::now() + CHECK;
        if let Ok(mac) = self.tap.mac() {
            self.mac = mac;
        }
        for slot in self.rx.iter_mut().filter(|slot| slot.overdue.is_some_and(|since| since.elapsed() >= LATE)) {
            slot.overdue = None;
            self.stats.lost_interrupts += 1;
        }
        let running = self.host.running()?;
        let rx = self.rx.iter().filter(|slot| slot.is_up()).map(|slot| slot.number);
        let tx = [&self.tx, &self.control_tx].into_iter().filter(|slot| slot.is_up()).map(|slot| slot.number);
        let lost: Vec<usize> = rx.chain(tx).filter(|number| running >> number & 1 == 0).collect();
        if lost.is_empty() { self.check_faults() } else { self.begin_anew(&lost) }
    }

    /// Somebody has reset the NIC, or its host side: rings do not run that should.
    #[cold]
    fn begin_anew(&mut self, lost: &[usize]) -> Result<(), PathError> {
        self.stats.resets_seen += 1;
        (self.log)(&format!("the NIC was reset: rings {lost:?} do not run any more; all are set up again"));
        self.drops_seen = [RxDrops::default(); CONTROL_RX + 1];
        self.lender.was_reset();
        self.host.reset()?;
        self.host.set_queues(&QueueChoice::spread_over(self.options.queues)?)?;
        for slot in &mut self.rx {
            slot.start(&mut self.stats, &self.log)?;
        }
        for slot in [&mut self.tx, &mut self.control_tx] {
            self.stats.tx.uncertain += slot.ring.outstanding() as u64;
            slot.start(&mut self.stats, &self.log)?;
        }
        Ok(())
    }

    /// Asks which rings the NIC has halted.
    fn check_faults(&mut self) -> Result<(), PathError> {
        let Some(faults) = self.host.faults()? else { return Ok(()) };
        let (stats, log) = (&mut self.stats, &self.log);
        for number in faults.rings {
            let fault = RingError::Fault { ring: number, address: faults.address };
            if let Some(slot) = self.rx.iter_mut().find(|slot| slot.number == number && slot.is_up()) {
                slot.fail(fault, stats, log)?;
            } else if let Some(slot) =
                [&mut self.tx, &mut self.control_tx].into_iter().find(|slot| slot.number == number && slot.is_up())
            {
                slot.fail(fault, stats, log)?;
            } else if number == EVENTS || number == MOVER {
                self.lender.signal_fault();
            }
        }
        Ok(())
    }

    /// Adds what the NIC has dropped since the last call.
    fn count_drops(&mut self) -> Result<(), PathError> {
        for number in 0..=CONTROL_RX {
            let (now, seen) = (self.host.rx_drops(number)?, self.drops_seen[number]);
            // A counter that went back was reset, by somebody else.
            let since = |now: u32, seen: u32| u64::from(now.checked_sub(seen).unwrap_or(now));
            let nic = &mut self.stats.nic;
            nic.full += since(now.full, seen.full);
            nic.down += since(now.down, seen.down);
            nic.long += since(now.long, seen.long);
            nic.aborted += since(now.aborted, seen.aborted);
            self.drops_seen[number] = now;
        }
        Ok(())
    }

    /// All counters, those of the NIC included: four register reads for each of nine rings.
    ///
    /// # Errors
    /// [`PathError::Gone`] if the device is gone.
    pub fn stats(&mut self) -> Result<Stats, PathError> {
        self.count_drops()?;
        Ok(self.stats_without_drops())
    }

    /// As [`HostPath::stats`], with what was last known of the NIC's own counters: no register is read.
    pub fn stats_without_drops(&self) -> Stats {
        let mmio = self.host.mmio();
        let rings: u64 = self.rx.iter().map(|slot| slot.ring.writes()).sum();
        let rings = rings + self.tx.ring.writes() + self.control_tx.ring.writes();
        Stats {
            mmio_reads: mmio.reads + self.lender.reads,
            mmio_writes: mmio.writes + self.lender.writes + rings,
            ..self.stats.clone()
        }
    }

    /// Ends in good order: what is in the transmit rings is sent, what has come is given to the kernel, all rings are stopped. Gives the last counters.
    ///
    /// # Errors
    /// As [`HostPath::run`]; the rings are stopped nevertheless.
    pub fn finish(mut self) -> Result<Stats, PathError> {
        for slot in [&mut self.tx, &mut self.control_tx].into_iter().filter(|slot| slot.is_up()) {
            slot.ring.drain(DRAIN_POLLS)?;
        }
        self.receive()?;
        self.stats()
    }
}

/// EtherType behind up to two VLAN tags.
fn ether_type(frame: &[u8]) -> Option<u16> {
    let at = |offset: usize| Some(u16::from_be_bytes([*frame.get(offset)?, *frame.get(offset + 1)?]));
    let mut offset = 12;
    while offset < 20 && matches!(at(offset)?, 0x8100 | 0x88a8) {
        offset += 4;
    }
    at(offset)
}

/// Gives a frame that the NIC took for the host the MAC of the host as its destination: one to another single address (the cluster's), or, if a rule decided, one
/// to a group (the cluster's as well), which the kernel would take no TCP from. Gives whether it was changed.
fn readdress(frame: &mut [u8], mac: [u8; 6], by_rule: bool) -> bool {
    let Some(destination) = frame.first_chunk_mut::<6>() else { return false };
    let group = destination[0] & 1 == 1;
    let change = *destination != mac && (!group || by_rule && *destination != [0xff; 6]);
    if change {
        *destination = mac;
    }
    change
}

/// The interface of a TAP device was removed.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::BADFD.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ether_types_are_found_behind_tags() {
        let frame = |words: &[u16]| [vec![0; 12], words.iter().flat_map(|word| word.to_be_bytes()).collect()].concat();
        assert_eq!(ether_type(&frame(&[HEARTBEAT])), Some(HEARTBEAT));
        assert_eq!(ether_type(&frame(&[0x8100, 5, HEARTBEAT])), Some(HEARTBEAT));
        assert_eq!(ether_type(&frame(&[0x88a8, 5, 0x8100, 6, HEARTBEAT])), Some(HEARTBEAT));
        assert_eq!(ether_type(&frame(&[0x8100, 5, 0x8100, 6, 0x8100, HEARTBEAT])), Some(0x8100));
        assert_eq!(ether_type(&frame(&[0x8100, 5])), None);
        assert_eq!(ether_type(&[]), None);
    }

    #[test]
    fn destinations_become_the_hosts() {
        let mac = [2, 0, 0, 0, 0, 9];
        for (destination, by_rule, changed) in [
            ([2, 1, 1, 1, 1, 1], false, true),
            (mac, true, false),
            ([1, 0, 0x5e, 0, 0, 1], false, false),
            ([1, 0, 0x5e, 0, 0, 1], true, true),
            ([0xff; 6], true, false),
        ] {
            let mut frame = destination.to_vec();
            frame.extend([7; 8]);
            assert_eq!(readdress(&mut frame, mac, by_rule), changed, "{destination:x?}");
            assert_eq!(frame[..6] == mac, changed || destination == mac);
            assert_eq!(frame[6..], [7; 8]);
        }
        assert!(!readdress(&mut [2, 0, 0], mac, true));
    }

    #[test]
    fn options_have_limits() {
        assert!(Options::default().check().is_ok());
        for options in [
            Options { port: 2, ..Options::default() },
            Options { queues: 0, ..Options::default() },
            Options { queues: 9, ..Options::default() },
            Options { size_log2: 3, ..Options::default() },
            Options { size_log2: 16, ..Options::default() },
        ] {
            assert!(matches!(options.check(), Err(PathError::Range { .. })), "{options:?}");
        }
    }
}
