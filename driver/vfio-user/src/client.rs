// SPDX-License-Identifier: Apache-2.0
//! The driver's side.

use crate::channel::{Channel, Message};
use crate::protocol::{
    self, CONFIG_REGION, Fields, Header, INFO_RESET_PCI, IRQ_EVENTFD, MAP_RW, MSIX_IRQ, Payload, command, flag, irq,
};
use hashgate_device::{
    Bar, DeviceError, DmaMemory, DmaRegion, Interrupt, PciDevice, Width, check_bar_access, check_config_access,
    check_dma, config,
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer may take, unless [`VfioUser::connect_within`] says otherwise. Whoever serves a simulated device answers a register access
/// when that has happened, which takes microseconds.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Messages that are nobody's answer before the peer counts as mad.
const STRAY: u32 = 64;
/// Most bytes of a BAR that are believed.
const MAX_BAR: u64 = 1 << 30;

/// A device behind a vfio-user socket.
///
/// If the peer goes away or talks nonsense the connection is given up: from then on registers read all ones and all else gives an error.
pub struct VfioUser {
    shared: Arc<Shared>,
    vectors: usize,
}

struct Shared {
    connection: Mutex<Connection>,
}

struct Connection {
    /// `None` once it has failed.
    channel: Option<Channel>,
    next_id: u16,
    timeout: Duration,
}

impl VfioUser {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`DeviceError::Io`] if nobody listens there, does not speak vfio-user, or serves something that is not a PCI device that can be reset;
    /// [`DeviceError::Busy`] if it serves somebody else.
    pub fn connect(path: &Path) -> Result<VfioUser, DeviceError> {
        VfioUser::connect_within(path, TIMEOUT)
    }

    /// As [`VfioUser::connect`], with a limit of time for each answer.
    ///
    /// # Errors
    /// As [`VfioUser::connect`].
    pub fn connect_within(path: &Path, timeout: Duration) -> Result<VfioUser, DeviceError> {
        let io = |source| DeviceError::Io { action: "connecting to the vfio-user socket", source };
        let named = |error: io::Error| io(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
        let socket = open(path).map_err(named)?;
        let channel = Some(Channel::new(socket).map_err(io)?);
        let shared = Arc::new(Shared { connection: Mutex::new(Connection { channel, next_id: 0, timeout }) });
        shared.agree(path)?;
        let reply =
            shared.call("asking for the device", command::GET_INFO, &sized(16).word(0).word(0).word(0).done(), &[])?;
        let mut fields = Fields::of(&reply);
        let (_, flags, regions) = (fields.word(), fields.word().unwrap_or(0), fields.word().unwrap_or(0));
        if flags & INFO_RESET_PCI != INFO_RESET_PCI || regions <= CONFIG_REGION {
            return Err(nonsense("asking for the device", "it is no PCI device that can be reset"));
        }
        let request = sized(16).word(0).word(MSIX_IRQ).word(0).done();
        let reply = shared.call("asking for the interrupts", command::GET_IRQ_INFO, &request, &[])?;
        let mut fields = Fields::of(&reply);
        let (_, flags, _) = (fields.word(), fields.word().unwrap_or(0), fields.word());
        let vectors = fields.word().unwrap_or(0).min(2048) as usize;
        Ok(VfioUser { shared, vectors: if flags & IRQ_EVENTFD & 1 != 0 { vectors } else { 0 } })
    }
}

/// Connects without waiting for a server that does not accept.
fn open(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(rustix::io::Errno::AGAIN) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server does not accept connections, and many wait already",
        )),
        other => Ok(other.map(|()| socket.into())?),
    }
}

/// A payload that begins with its own size, as those of VFIO do.
fn sized(bytes: u32) -> Payload {
    Payload::new().word(bytes)
}

fn nonsense(action: &'static str, what: &str) -> DeviceError {
    DeviceError::Io {
        action,
        source: io::Error::new(io::ErrorKind::InvalidData, format!("the peer's answer makes no sense: {what}")),
    }
}

impl Shared {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Versions.
    fn agree(&self, path: &Path) -> Result<(), DeviceError> {
        let action = "agreeing on a version of vfio-user";
        let reply = match self.call(action, command::VERSION, &protocol::version(protocol::MINOR), &[]) {
            Err(DeviceError::Io { source, .. }) if source.raw_os_error() == Some(protocol::EBUSY as i32) => {
                return Err(DeviceError::Busy { device: path.display().to_string() });
            }
            other => other?,
        };
        let mut fields = Fields::of(&reply);
        match (fields.half(), fields.half()) {
            (Some(protocol::MAJOR), Some(minor)) if minor <= protocol::MINOR => Ok(()),
            (Some(major), Some(minor)) => Err(nonsense(action, &format!("version {major}.{minor} is not known here"))),
            _ => Err(nonsense(action, "it is too short")),
        }
    }

    fn call(
        &self,
        action: &'static str,
        command: u16,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<Vec<u8>, DeviceError> {
        self.connection().call(command, payload, fds).map_err(|source| DeviceError::Io { action, source })
    }

    /// Reads `buffer.len()` bytes of a region.
    fn read_region(&self, region: u32, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let request = Payload::new().long(offset).word(region).word(bytes as u32).done();
        let reply = self.connection().call(command::REGION_READ, &request, &[])?;
        // The answer repeats the request before the data.
        match reply.get(request.len()..) {
            Some(data) if data.len() == bytes => Ok(data.to_vec()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the peer's answer to a read has a wrong length")),
        }
    }

    fn write_region(&self, region: u32, offset: u64, data: &[u8], posted: bool) -> io::Result<()> {
        let request = Payload::new().long(offset).word(region).word(data.len() as u32).bytes(data).done();
        let mut connection = self.connection();
        if posted {
            connection.post(command::REGION_WRITE, &request)
        } else {
            connection.call(command::REGION_WRITE, &request, &[]).map(drop)
        }
    }
}

impl Connection {
    fn send(&mut self, command: u16, flags: u32, payload: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<(u16, Instant)> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let deadline = Instant::now() + self.timeout;
        let channel = self.channel.as_mut().ok_or_else(lost)?;
        let header = Header { id, command, flags, ..Header::default() };
        let result = channel.send(header, payload, fds, deadline);
        self.keep_if(result).map(|()| (id, deadline))
    }

    /// A connection that failed once is not used again: nobody knows what its next bytes belong to.
    fn keep_if<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.channel = None;
        }
        result
    }

    /// Sends a command that is not answered.
    fn post(&mut self, command: u16, payload: &[u8]) -> io::Result<()> {
        self.send(command, flag::NO_REPLY, payload, &[]).map(drop)
    }

    /// Sends a command and waits for its answer.
    fn call(&mut self, command: u16, payload: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<Vec<u8>> {
        let (id, deadline) = self.send(command, 0, payload, fds)?;
        let result = self.answer(id, command, deadline);
        let reply = self.keep_if(result)?;
        if reply.header.flags & flag::ERROR == 0 {
            return Ok(reply.payload);
        }
        let errno = i32::try_from(reply.header.error).ok().filter(|errno| *errno > 0);
        Err(errno.map_or_else(|| io::Error::other("the peer refused without a reason"), io::Error::from_raw_os_error))
    }

    fn answer(&mut self, id: u16, command: u16, deadline: Instant) -> io::Result<Message> {
        for _ in 0..STRAY {
            let channel = self.channel.as_mut().ok_or_else(lost)?;
            let message = loop {
                match channel.receive()? {
                    Some(message) => break message,
                    None => channel.wait(deadline)?,
                }
            };
            let header = message.header;
            if !header.is_reply() {
                // The server may ask for memory by message; all of ours is shared by file descriptor.
                let refused = Header { flags: flag::REPLY | flag::ERROR, error: protocol::ENOTSUP, ..header };
                if header.flags & flag::NO_REPLY == 0 {
                    channel.send(refused, &[], &[], deadline)?;
                }
            } else if header.id == id && header.command == command {
                return Ok(message);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the peer sends messages that nobody asked for"))
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection to the device is lost")
}

impl PciDevice for VfioUser {
    fn config_read(&self, offset: u16, width: Width) -> Result<u32, DeviceError> {
        check_config_access(offset, width)?;
        let read = self.shared.read_region(CONFIG_REGION, offset.into(), width.bytes().into());
        let bytes = read.map_err(|source| DeviceError::Io { action: "reading the configuration space", source })?;
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(&bytes);
        Ok(u32::from_le_bytes(word))
    }

    fn config_write(&self, offset: u16, width: Width, value: u32) -> Result<(), DeviceError> {
        check_config_access(offset, width)?;
        let bytes = &value.to_le_bytes()[..width.bytes().into()];
        let written = self.shared.write_region(CONFIG_REGION, offset.into(), bytes, false);
        written.map_err(|source| DeviceError::Io { action: "writing the configuration space", source })
    }

    fn bar(&self, index: u8) -> Result<Arc<dyn Bar>, DeviceError> {
        if index > 5 {
            return Err(DeviceError::NoBar { index });
        }
        let action = "asking for a BAR";
        let request = sized(32).word(0).word(index.into()).word(0).long(0).long(0).done();
        let reply = self.shared.call(action, command::GET_REGION_INFO, &request, &[])?;
        let mut fields = Fields::of(&reply);
        let _argsz_flags_index_caps = (fields.long(), fields.long());
        match fields.long() {
            Some(0) => Err(DeviceError::NoBar { index }),
            Some(size) if size <= MAX_BAR => {
                Ok(Arc::new(RemoteBar { shared: self.shared.clone(), index, size: size as usize }))
            }
            _ => Err(nonsense(action, "its size")),
        }
    }

    fn map_dma(&self, iova: u64, bytes: usize) -> Result<Arc<DmaRegion>, DeviceError> {
        check_dma(iova, bytes)?;
        let action = "sharing memory with the device";
        let io = |source| DeviceError::Io { action, source };
        let memory = Arc::new(DmaMemory::shared(bytes).map_err(io)?);
        let fd = memory.fd().ok_or_else(|| io(io::Error::other("the memory has no file")))?;
        let request = sized(32).word(MAP_RW).long(0).long(iova).long(bytes as u64).done();
        match self.shared.call(action, command::DMA_MAP, &request, &[fd]) {
            Err(DeviceError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                return Err(DeviceError::DmaMap { iova, bytes, reason: "mapped already" });
            }
            other => other?,
        };
        let shared = self.shared.clone();
        let unmap = move || {
            let request = sized(24).word(0).long(iova).long(bytes as u64).done();
            // Without a connection the peer has nothing mapped any more.
            let _ = shared.call("taking memory back", command::DMA_UNMAP, &request, &[]);
        };
        Ok(Arc::new(DmaRegion::new(memory, iova, Box::new(unmap))))
    }

    fn interrupt_vectors(&self) -> usize {
        self.vectors
    }

    fn enable_interrupts(&self, vectors: usize) -> Result<Vec<Arc<dyn Interrupt>>, DeviceError> {
        if vectors > self.vectors {
            return Err(DeviceError::Interrupts { wanted: vectors, available: self.vectors });
        }
        let action = "enabling interrupts";
        let none = sized(20).word(irq::DATA_NONE | irq::ACTION_TRIGGER).word(MSIX_IRQ).word(0).word(0).done();
        self.shared.call(action, command::SET_IRQS, &none, &[])?;
        let mut enabled: Vec<Arc<dyn Interrupt>> = Vec::new();
        let events = (0..vectors).map(|_| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK));
        let events: Vec<OwnedFd> =
            events.collect::<Result<_, _>>().map_err(|error| DeviceError::Io { action, source: error.into() })?;
        // One a message: more than one file descriptor is not for every server.
        for (vector, event) in (0u32..).zip(&events) {
            let flags = irq::DATA_EVENTFD | irq::ACTION_TRIGGER;
            let request = sized(20).word(flags).word(MSIX_IRQ).word(vector).word(1).done();
            self.shared.call(action, command::SET_IRQS, &request, &[event.as_fd()])?;
        }
        enabled.extend(events.into_iter().map(|event| Arc::new(Event::new(event)) as Arc<dyn Interrupt>));
        Ok(enabled)
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.shared.call("resetting the device", command::RESET, &[], &[])?;
        // As the kernel leaves it.
        let command = self.config_read(config::COMMAND, Width::Word)?;
        self.config_write(
            config::COMMAND,
            Width::Word,
            command & !(config::COMMAND_MEMORY | config::COMMAND_BUS_MASTER),
        )
    }
}

struct RemoteBar {
    shared: Arc<Shared>,
    index: u8,
    size: usize,
}

impl Bar for RemoteBar {
    fn size(&self) -> usize {
        self.size
    }

    fn read32(&self, offset: usize) -> u32 {
        check_bar_access(offset, self.size);
        let bytes = self.shared.read_region(self.index.into(), offset as u64, 4);
        bytes.ok().and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?))).unwrap_or(u32::MAX)
    }

    fn write32(&self, offset: usize, value: u32) {
        check_bar_access(offset, self.size);
        // One that is lost shows in the reads that follow.
        let _ = self.shared.write_region(self.index.into(), offset as u64, &value.to_le_bytes(), true);
    }
}

/// An interrupt that comes as an eventfd.
pub struct Event {
    event: OwnedFd,
}

impl Event {
    /// From an eventfd that does not block.
    pub fn new(event: OwnedFd) -> Event {
        Event { event }
    }
}

impl Interrupt for Event {
    fn take(&self) -> u64 {
        let mut count = [0; 8];
        match rustix::io::read(&self.event, &mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            _ => 0,
        }
    }

    fn wait(&self, timeout: Duration) -> u64 {
        let deadline = Instant::now() + timeout;
        loop {
            let count = self.take();
            let left = deadline.saturating_duration_since(Instant::now());
            if count > 0 || left == Duration::ZERO {
                return count;
            }
            let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            // Interrupted or ready: looked at again.
            let _ = poll(&mut [PollFd::new(&self.event, PollFlags::IN)], Some(&limit));
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.event.as_fd())
    }
}
