// SPDX-License-Identifier: Apache-2.0
//! The controller's end: the device that the host path lends.

use crate::policy::register_name;
use crate::protocol::{
    FRAME_HEADER, HEADER, LENT_VECTORS, MAGIC, MAX_ANSWER, Message, VERSION, frame_header, op, payload, status,
};
use crate::{HOST_PATH_ADDRESSES, MAX_LENT_BYTES, MAX_LENT_REGIONS, Stats};
use hashgate_device::{
    Bar, DeviceError, DmaMemory, DmaRegion, Interrupt, PciDevice, Width, check_bar_access, check_config_access,
    check_dma, config,
};
use hashgate_netdev::MAX_FRAME;
use hashgate_regs::host::{BAR0_BYTES, FAULT_VECTOR, VECTORS};
use hashgate_vfio_user::Event;
use parking_lot::FairMutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType, connect, recv, recvmsg, sendmsg, socket_with,
};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Refusals that are kept until somebody asks.
const REFUSALS: usize = 64;
/// Most messages of the vector of faults that are taken at once.
const BELLS: u64 = 1024;
/// Reads by which a driver waits that follow each other at once: a board answers within these.
const FREE_READS: u32 = 4;
/// Before the next one; each further one waits longer.
const FIRST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(1);
/// Answers that nobody waits for before the peer counts as mad.
const STRAY: usize = 256;

/// Why the host path did not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A register that is the host path's.
    #[error("{} belongs to the host path: a controller does not write it", register_name(*.offset as usize))]
    HostPathRegister {
        /// Its offset in BAR 0.
        offset: u32,
    },
    /// A ring whose memory is not mapped by the controller.
    #[error("{}: descriptors and answers do not lie in memory that this controller has mapped", register_name(*.offset as usize))]
    ForeignMemory {
        /// Offset of the register.
        offset: u32,
    },
    /// Too much memory.
    #[error(
        "a controller gets {MAX_LENT_REGIONS} pieces of memory and {MAX_LENT_BYTES:#x} bytes altogether: give some back first"
    )]
    Limit,
    /// Memory at addresses that are not the controller's.
    #[error("addresses have to be whole pages, free, and below {HOST_PATH_ADDRESSES:#x}")]
    Address,
    /// The host path could not do it.
    #[error("the host path's device refused; its log says why")]
    Backend,
    /// The host path did not understand.
    #[error("the host path takes the request for nonsense: it is of another version")]
    BadRequest,
}

impl Refused {
    fn new(status: u16, offset: u32) -> Refused {
        match status {
            status::HOST_PATH_REGISTER => Refused::HostPathRegister { offset },
            status::FOREIGN_MEMORY => Refused::ForeignMemory { offset },
            status::LIMIT => Refused::Limit,
            status::ADDRESS => Refused::Address,
            status::BACKEND => Refused::Backend,
            _ => Refused::BadRequest,
        }
    }
}

/// Why a device that is lent cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub enum LentError {
    /// Nobody listens, or the host path has gone.
    #[error("host path at {path}: {source}")]
    Io {
        /// The socket.
        path: String,
        /// What came back.
        source: io::Error,
    },
    /// Somebody else controls the NIC.
    #[error("the host path at {path} serves another controller: end that one first")]
    Busy {
        /// The socket.
        path: String,
    },
    /// Another version of the protocol, or no host path at all.
    #[error("{path} is no host path of version {VERSION}: update the older of the two")]
    Version {
        /// The socket.
        path: String,
    },
    /// The host path refused.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// A frame of the control ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFrame {
    /// NIC time when its first beat left the core, ns.
    pub time_ns: u64,
    /// Wire port that it came in by.
    pub port: u8,
    /// The frame without FCS.
    pub bytes: Vec<u8>,
}

/// A NIC that a host path lends: registers, memory, the rings of events and of the table mover, and heartbeats.
///
/// `HostInterface::attach` with [`LENT_RINGS`](crate::LENT_RINGS) makes these two rings of it; `Nic::open` works as on the device. What belongs to the host path is refused: a write to such a register is
/// lost, as those to a device that is gone, and told by [`Lent::take_refusals`]. When the host path goes, registers read all ones.
pub struct Lent {
    shared: Arc<Shared>,
    frames: OwnedFd,
    vectors: [OwnedFd; LENT_VECTORS.len()],
}

/// Requests are datagrams, which any thread may send at any time; only who wants an answer waits for others who do, in the order in which they came.
struct Shared {
    socket: OwnedFd,
    next_id: AtomicU32,
    /// The connection has failed once, and is not used again.
    failed: AtomicBool,
    /// Held while an answer is waited for. Writes that were refused.
    refusals: FairMutex<VecDeque<Refused>>,
    path: String,
}

struct Received {
    message: Message,
    fds: Vec<OwnedFd>,
}

impl Lent {
    /// Connects to the control socket of a host path.
    ///
    /// # Errors
    /// [`LentError::Busy`] if it serves another controller, [`LentError::Io`] if nobody listens there, [`LentError::Version`] if it is something else.
    pub fn connect(path: &Path) -> Result<Lent, LentError> {
        let name = path.display().to_string();
        let io = |source: io::Error| LentError::Io { path: name.clone(), source };
        let socket = open(path).map_err(io)?;
        let shared = Shared {
            socket,
            next_id: AtomicU32::new(0),
            failed: AtomicBool::new(false),
            refusals: FairMutex::default(),
            path: name.clone(),
        };
        let received = match shared.ask(op::HELLO, &[MAGIC, VERSION]) {
            Ok(received) => received,
            // Who is told that there is another controller sees the end of the connection as well, and sometimes only that.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                return Err(LentError::Busy { path: name });
            }
            Err(error) => return Err(io(error)),
        };
        match received.message.status {
            status::OK => {}
            status::BUSY => return Err(LentError::Busy { path: name }),
            _ => return Err(LentError::Version { path: name }),
        }
        let mut fds = received.fds.into_iter();
        let (frames, vectors) = (fds.next(), fds.collect::<Vec<_>>().try_into());
        match (received.message.words(), frames, vectors) {
            (Some([VERSION, bytes]), Some(frames), Ok(vectors)) if bytes as usize >= BAR0_BYTES => {
                Ok(Lent { shared: Arc::new(shared), frames, vectors })
            }
            _ => Err(LentError::Version { path: name }),
        }
    }

    /// Writes a register and waits until that is done or refused; [`Bar::write32`] does not wait.
    ///
    /// # Errors
    /// [`LentError::Refused`] with the name of the register; [`LentError::Io`] if the host path is gone.
    pub fn write_register(&self, offset: u32, value: u32) -> Result<(), LentError> {
        let received = self.shared.call(op::WRITE_ACKNOWLEDGED, &[offset, value])?;
        self.shared.check(&received, offset)
    }

    /// Writes that the host path refused since the last call, oldest first; beyond 64 the oldest are forgotten. Complete up to the last register read.
    pub fn take_refusals(&self) -> Vec<Refused> {
        self.shared.refusals.lock().drain(..).collect()
    }

    /// The host path's counters.
    ///
    /// # Errors
    /// [`LentError::Io`] if it is gone, or says what cannot be read.
    pub fn stats(&self) -> Result<Stats, LentError> {
        let received = self.shared.call(op::STATS, &[])?;
        self.shared.check(&received, 0)?;
        serde_json::from_slice(&received.message.payload).map_err(|error| self.shared.io(error.into()))
    }

    /// The oldest heartbeat that has come; `None` if there is none. Whoever does not read loses frames, which the host path counts.
    ///
    /// # Errors
    /// [`LentError::Io`] if the host path is gone.
    pub fn receive_frame(&self) -> Result<Option<ControlFrame>, LentError> {
        let mut buffer = [0; FRAME_HEADER + MAX_FRAME + 64];
        match recv(&self.frames, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((_, length)) if length > FRAME_HEADER => {
                let time = buffer.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                let bytes = buffer[FRAME_HEADER..length].to_vec();
                Ok(Some(ControlFrame { time_ns: time, port: buffer[8], bytes }))
            }
            Ok(_) => Err(self.shared.io(gone())),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(self.shared.io(error.into())),
        }
    }

    /// Sends a frame (without FCS, 14 to 9022 bytes) by the control ring, at wire port `port`. Gives `false` if there is no room now. What cannot be sent is dropped and counted by the host path.
    ///
    /// # Errors
    /// [`LentError::Io`] if the host path is gone.
    pub fn send_frame(&self, port: u8, frame: &[u8]) -> Result<bool, LentError> {
        let header = frame_header(0, port);
        let parts = [IoSlice::new(&header), IoSlice::new(frame)];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(&self.frames, &parts, &mut SendAncillaryBuffer::default(), flags) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(self.shared.io(error.into())),
        }
    }

    /// Can be read when a heartbeat has come, or the host path is gone.
    pub fn frames_fd(&self) -> BorrowedFd<'_> {
        self.frames.as_fd()
    }
}

/// Connects without waiting for a host path that does not accept.
fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(Errno::AGAIN) => Err(io::Error::new(io::ErrorKind::TimedOut, "many wait already")),
        Err(Errno::PROTOTYPE) => Err(io::Error::other("the socket is not that of a host path")),
        other => Ok(other.map(|()| socket)?),
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the host path has gone")
}

impl Shared {
    fn io(&self, source: io::Error) -> LentError {
        LentError::Io { path: self.path.clone(), source }
    }

    fn call(&self, op: u16, words: &[u32]) -> Result<Received, LentError> {
        self.ask(op, words).map_err(|error| self.io(error))
    }

    fn check(&self, received: &Received, offset: u32) -> Result<(), LentError> {
        match received.message.status {
            status::OK => Ok(()),
            status => Err(Refused::new(status, offset).into()),
        }
    }

    /// As the driver's errors have it.
    fn device_call(&self, action: &'static str, op: u16, words: &[u32]) -> Result<Received, DeviceError> {
        let io = |source: LentError| DeviceError::Io { action, source: io::Error::other(source) };
        let received = self.call(op, words).map_err(io)?;
        self.check(&received, 0).map_err(io)?;
        Ok(received)
    }

    fn keep_if<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn send(&self, op: u16, words: &[u32], deadline: Instant) -> io::Result<u32> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let message = Message { op, status: status::OK, id, payload: payload(words) };
        let result = self.send_until(&message, deadline);
        self.keep_if(result).map(|()| id)
    }

    fn send_until(&self, message: &Message, deadline: Instant) -> io::Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(gone());
        }
        let bytes = message.to_bytes();
        loop {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut SendAncillaryBuffer::default(), flags) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(&self.socket, PollFlags::OUT, deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A write that is answered only if it is refused.
    fn post(&self, offset: u32, value: u32) -> io::Result<()> {
        self.send(op::WRITE, &[offset, value], Instant::now() + TIMEOUT).map(drop)
    }

    fn ask(&self, op: u16, words: &[u32]) -> io::Result<Received> {
        let mut refusals = self.refusals.lock();
        let deadline = Instant::now() + TIMEOUT;
        let id = self.send(op, words, deadline)?;
        let result = self.answer(op, id, deadline, &mut refusals);
        self.keep_if(result)
    }

    fn answer(&self, op: u16, id: u32, deadline: Instant, refusals: &mut VecDeque<Refused>) -> io::Result<Received> {
        for _ in 0..STRAY {
            let received = self.receive(deadline)?;
            let message = &received.message;
            if message.op == op | op::ANSWER && message.id == id {
                return Ok(received);
            }
            if message.op == op::WRITE | op::ANSWER && message.status != status::OK {
                let refused = message.words().map_or(Refused::BadRequest, |[at]| Refused::new(message.status, at));
                if refusals.len() == REFUSALS {
                    refusals.pop_front();
                }
                refusals.push_back(refused);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the host path sends what nobody asked for"))
    }

    fn receive(&self, deadline: Instant) -> io::Result<Received> {
        let socket = &self.socket;
        let mut buffer = [0; MAX_ANSWER];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1 + LENT_VECTORS.len()))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let got = match recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags) {
                Ok(got) => got,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    wait(socket, PollFlags::IN, deadline)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let mut fds = Vec::new();
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(came) = message {
                    fds.extend(came);
                }
            }
            if got.bytes == 0 {
                return Err(gone());
            }
            let cut = got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
            let message = Message::from_bytes(&buffer[..got.bytes]).filter(|_| !cut);
            let nonsense = || {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("an answer of {} bytes, {HEADER} to {MAX_ANSWER} are possible", got.bytes),
                )
            };
            return Ok(Received { message: message.ok_or_else(nonsense)?, fds });
        }
    }
}

/// Waits until the socket is ready.
fn wait(socket: &OwnedFd, flags: PollFlags, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left == Duration::ZERO {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the host path did not answer in time"));
    }
    let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    match poll(&mut [PollFd::new(socket, flags)], Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn denied(action: &'static str, text: &'static str) -> DeviceError {
    DeviceError::Io { action, source: io::Error::new(io::ErrorKind::PermissionDenied, text) }
}

impl PciDevice for Lent {
    fn config_read(&self, offset: u16, width: Width) -> Result<u32, DeviceError> {
        check_config_access(offset, width)?;
        let action = "reading the configuration space";
        let words = [offset.into(), width.bytes().into()];
        let received = self.shared.device_call(action, op::CONFIG_READ, &words)?;
        received.message.words().map(|[value]| value).ok_or_else(|| denied(action, "the answer makes no sense"))
    }

    /// The command register is the host path's: a write to it is taken and does nothing, so that a driver can enable memory accesses, which are on. Everything else
    /// is refused.
    fn config_write(&self, offset: u16, width: Width, _value: u32) -> Result<(), DeviceError> {
        check_config_access(offset, width)?;
        if offset == config::COMMAND && width == Width::Word {
            return Ok(());
        }
        Err(denied("writing the configuration space", "it belongs to the host path"))
    }

    fn bar(&self, index: u8) -> Result<Arc<dyn Bar>, DeviceError> {
        if index != 0 {
            return Err(DeviceError::NoBar { index });
        }
        Ok(Arc::new(LentBar { shared: self.shared.clone() }))
    }

    fn map_dma(&self, iova: u64, bytes: usize) -> Result<Arc<DmaRegion>, DeviceError> {
        check_dma(iova, bytes)?;
        let action = "borrowing memory from the host path";
        let long = |value: u64| [value as u32, (value >> 32) as u32];
        let words = [long(iova), long(bytes as u64)].concat();
        let io = |source| DeviceError::Io { action, source };
        let received = self.shared.device_call(action, op::MAP, &words)?;
        let shared = self.shared.clone();
        let unmap = move || {
            // Without a host path nothing is mapped any more.
            let _ = shared.call(op::UNMAP, &long(iova));
        };
        let memory = match received.fds.into_iter().next() {
            Some(fd) => DmaMemory::of_file(&File::from(fd), 0, bytes),
            None => Err(io::Error::other("there is no file with the answer")),
        };
        match memory {
            Ok(memory) => Ok(Arc::new(DmaRegion::new(Arc::new(memory), iova, Box::new(unmap)))),
            Err(error) => {
                unmap();
                Err(io(error))
            }
        }
    }

    fn interrupt_vectors(&self) -> usize {
        VECTORS
    }

    /// The vectors of events, table mover and faults are those of the device, the last one for these two rings only. Others never come: they are the host path's.
    fn enable_interrupts(&self, vectors: usize) -> Result<Vec<Arc<dyn Interrupt>>, DeviceError> {
        if vectors > VECTORS {
            return Err(DeviceError::Interrupts { wanted: vectors, available: VECTORS });
        }
        let io = |source: io::Error| DeviceError::Io { action: "borrowing interrupts", source };
        let event = |vector: usize| {
            let fd = match LENT_VECTORS.iter().position(|lent| *lent == vector) {
                Some(n) => self.vectors[n].try_clone()?,
                None => eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            };
            Ok(if vector == FAULT_VECTOR { Arc::new(Bell(fd)) as Arc<dyn Interrupt> } else { Arc::new(Event::new(fd)) })
        };
        (0..vectors).map(event).collect::<io::Result<_>>().map_err(io)
    }

    fn reset(&self) -> Result<(), DeviceError> {
        Err(denied("resetting the function", "its reset belongs to the host path"))
    }
}

/// An interrupt that comes as datagrams.
struct Bell(OwnedFd);

impl Interrupt for Bell {
    fn take(&self) -> u64 {
        let mut byte = [0; 8];
        let mut came = || matches!(recv(&self.0, &mut byte[..], RecvFlags::DONTWAIT), Ok((_, 1..)));
        (0..BELLS).take_while(|_| came()).count() as u64
    }

    fn wait(&self, timeout: Duration) -> u64 {
        let deadline = Instant::now() + timeout;
        loop {
            let count = self.take();
            // Ended by the time, or because the host path has gone.
            if count > 0 || wait(&self.0, PollFlags::IN, deadline).is_err() {
                return count;
            }
            let mut hung_up = [PollFd::new(&self.0, PollFlags::empty())];
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut hung_up, Some(&zero)).is_ok() && hung_up[0].revents().contains(PollFlags::HUP) {
                return self.take();
            }
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

struct LentBar {
    shared: Arc<Shared>,
}

impl Bar for LentBar {
    fn size(&self) -> usize {
        BAR0_BYTES
    }

    fn read32(&self, offset: usize) -> u32 {
        check_bar_access(offset, BAR0_BYTES);
        let received = self.shared.call(op::READ, &[offset as u32]);
        received.ok().and_then(|received| received.message.words()).map_or(u32::MAX, |[value]| value)
    }

    fn write32(&self, offset: usize, value: u32) {
        check_bar_access(offset, BAR0_BYTES);
        // One that is lost shows in the reads that follow.
        let _ = self.shared.post(offset as u32, value);
    }

    /// Each read wakes the host path, which has frames to move.
    fn pause(&self, reads: u32) {
        if reads > FREE_READS {
            std::thread::sleep((FIRST_PAUSE * (reads - FREE_READS)).min(LONGEST_PAUSE));
        }
    }
}
