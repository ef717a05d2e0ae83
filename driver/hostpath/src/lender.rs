// SPDX-License-Identifier: Apache-2.0
//! The host path's end of the control socket: one controller at a time, nothing of which is believed, and which never holds up a frame.

use crate::PathError;
use crate::policy::{self, LENT_RINGS, Write, entry_bytes};
use crate::protocol::{
    FRAME_HEADER, HEADER, LENT_VECTORS, MAGIC, MAX_ANSWER, MAX_REQUEST, Message, VERSION, frame_header, op, payload,
    status,
};
use crate::stats::ControlStats;
use hashgate_device::{Bar, DMA_PAGE, DeviceError, DmaRegion, Interrupt, PciDevice, Width};
use hashgate_netdev::MAX_FRAME;
use hashgate_regs::host::{BAR0_BYTES, EVENTS, MOVER, RING_FAULT, RING_RUNNING, ring};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, accept_with, bind, connect, listen, recv, sendmsg, socket_with, socketpair,
};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of memory that a controller gets at most.
pub const MAX_LENT_BYTES: usize = 256 << 20;
/// Pieces of memory that a controller gets at most.
pub const MAX_LENT_REGIONS: usize = 64;
/// Requests that are handled before frames are looked at again.
const REQUESTS: usize = 32;
/// Messages that a controller can have left in its socket when it ended; what was posted still counts.
const LEFT: usize = 4096;
/// Register reads until the rings of a controller count as hung. Their memory is taken away then as well: the IOMMU stops what they do.
const STOP_POLLS: u32 = 256;
/// Controllers that wait to be told that another one is served.
const BACKLOG: i32 = 8;
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Where messages for people go.
pub(crate) type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// A control socket that nobody is connected to yet. The file goes when it is dropped.
pub struct Listener {
    fd: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`, for the user of this process only. A socket that a killed process left is replaced.
    ///
    /// # Errors
    /// [`PathError::Control`] if somebody listens there, it is a file that is no socket, or the operating system refuses.
    pub fn bind(path: &Path) -> Result<Listener, PathError> {
        let named =
            |error: io::Error| PathError::Control(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
        Listener::open(path).map_err(named)
    }

    fn open(path: &Path) -> io::Result<Listener> {
        let address = SocketAddrUnix::new(path).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "a path of a socket has 1 to 107 bytes: choose a shorter one")
        })?;
        let new = || socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None);
        if let Ok(data) = path.symlink_metadata() {
            // Only a socket that nobody listens on refuses.
            let left = data.file_type().is_socket() && connect(new()?, &address) == Err(Errno::CONNREFUSED);
            if !left {
                let text = "in use: end the other host path, or choose another path";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            std::fs::remove_file(path)?;
        }
        let fd = new()?;
        bind(&fd, &address)?;
        let listener = Listener { fd, path: path.to_owned() };
        // Before anybody can connect.
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listen(&listener.fd, BACKLOG)?;
        Ok(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Controller {
    socket: OwnedFd,
    /// Our end of its socket of frames.
    frames: OwnedFd,
    /// Theirs, until they get it.
    frames_theirs: Option<OwnedFd>,
    /// Tells it that one of its rings has failed: a socket, as a write to one cannot be made to wait by the other side, unlike that to an eventfd.
    fault: OwnedFd,
    fault_theirs: Option<OwnedFd>,
    regions: BTreeMap<u64, Arc<DmaRegion>>,
    greeted: bool,
}

impl Controller {
    fn new(socket: OwnedFd) -> io::Result<Controller> {
        let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None);
        let ((frames, frames_theirs), (fault, fault_theirs)) = (pair()?, pair()?);
        let (frames_theirs, fault_theirs) = (Some(frames_theirs), Some(fault_theirs));
        Ok(Controller { socket, frames, frames_theirs, fault, fault_theirs, regions: BTreeMap::new(), greeted: false })
    }

    /// It has closed one of its ends.
    fn is_closed(&self) -> bool {
        let mut fds = [&self.socket, &self.frames].map(|fd| PollFd::new(fd, PollFlags::empty()));
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let closed = PollFlags::HUP | PollFlags::ERR;
        poll(&mut fds, Some(&zero)).is_ok() && fds.iter().any(|fd| fd.revents().intersects(closed))
    }
}

/// What a request came to.
enum Answer {
    /// Nothing is said.
    Silence,
    /// Done.
    Payload(Vec<u8>),
    /// Done, with a file.
    File(OwnedFd),
    /// Greets a controller.
    Hello,
    /// The host path has to answer.
    Stats,
    /// Refused, for this status.
    Refused(u16),
}

/// Lends the device.
pub(crate) struct Lender {
    device: Arc<dyn PciDevice>,
    bar: Arc<dyn Bar>,
    listener: Listener,
    /// Of the rings that are lent: events, table mover.
    interrupts: [Arc<dyn Interrupt>; 2],
    /// Addresses from here on are the host path's.
    end: u64,
    controller: Option<Controller>,
    /// Rings that the controller has enabled.
    enabled: u32,
    /// Those of them that a reset ended: they show as halted until they are started again.
    ended: u32,
    /// The controller has reset the whole NIC.
    reset_written: bool,
    /// Somebody wants the counters: id of the request.
    stats_wanted: Option<u32>,
    log: Log,
    /// Register accesses for controllers.
    pub reads: u64,
    pub writes: u64,
}

impl Lender {
    pub fn new(
        device: Arc<dyn PciDevice>,
        bar: Arc<dyn Bar>,
        listener: Listener,
        interrupts: [Arc<dyn Interrupt>; 2],
        end: u64,
        log: Log,
    ) -> Lender {
        Lender {
            device,
            bar,
            listener,
            interrupts,
            end,
            controller: None,
            enabled: 0,
            ended: 0,
            reset_written: false,
            stats_wanted: None,
            log,
            reads: 0,
            writes: 0,
        }
    }

    /// What to wait on.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let controller = self.controller.as_ref();
        let two = controller.into_iter().flat_map(|controller| [controller.socket.as_fd(), controller.frames.as_fd()]);
        [self.listener.fd.as_fd()].into_iter().chain(two)
    }

    fn read(&mut self, at: usize) -> u32 {
        self.reads += 1;
        self.bar.read32(at)
    }

    fn write(&mut self, at: usize, value: u32) {
        self.writes += 1;
        self.bar.write32(at, value);
    }

    /// Handles some requests of the controller, and lets one come or go; gives whether there was anything.
    pub fn work(&mut self, stats: &mut ControlStats) -> bool {
        let closed = self.controller.as_ref().is_some_and(Controller::is_closed);
        // One that has closed says no more; what it posted before still counts. A request for counters is answered by the host path before the next request.
        let mut handled = 0;
        while handled < if closed { LEFT } else { REQUESTS }
            && (closed || self.stats_wanted.is_none())
            && self.work_once(stats)
        {
            handled += 1;
        }
        if closed && self.controller.is_some() {
            self.let_go(None, stats);
        }
        match accept_with(&self.listener.fd, FLAGS) {
            Ok(socket) => {
                self.welcome(socket, stats);
                true
            }
            Err(_) => handled > 0 || closed,
        }
    }

    fn welcome(&mut self, socket: OwnedFd, stats: &mut ControlStats) {
        if self.controller.is_some() {
            // Taken out first: a socket that is closed with something unread in it shows as reset on the other side.
            let _ = recv(&socket, &mut [0; MAX_REQUEST][..], RecvFlags::DONTWAIT);
            let busy = Message { op: op::HELLO | op::ANSWER, status: status::BUSY, ..Message::default() };
            let _ = send(&socket, &busy, &[]);
            return;
        }
        match Controller::new(socket) {
            Ok(controller) => {
                stats.controllers += 1;
                self.controller = Some(controller);
            }
            Err(error) => (self.log)(&format!("a controller was turned away: {error}")),
        }
    }

    /// Handles a request, or the end of the controller; gives whether there was one of them.
    fn work_once(&mut self, stats: &mut ControlStats) -> bool {
        let Some(controller) = &self.controller else { return false };
        let mut buffer = [0; MAX_REQUEST];
        // By plain `recv`: files that come with a request are closed by the kernel.
        let length = match recv(&controller.socket, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            Ok((_, length)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return false,
            Err(error) => {
                self.let_go((error != Errno::CONNRESET).then(|| error.to_string()), stats);
                return true;
            }
        };
        if length == 0 {
            self.let_go(None, stats);
            return true;
        }
        stats.requests += 1;
        let result = match buffer.get(..length).and_then(Message::from_bytes) {
            Some(message) => self.handle(&message, stats),
            None => Err(Some(format!("a request of {length} bytes: {HEADER} to {MAX_REQUEST} are possible"))),
        };
        if let Err(complaint) = result {
            self.let_go(complaint, stats);
        }
        true
    }

    /// The controller is gone or has to go: what it had is taken back.
    fn let_go(&mut self, complaint: Option<String>, stats: &mut ControlStats) {
        let Some(controller) = self.controller.take() else { return };
        match complaint {
            Some(complaint) => {
                stats.complaints += 1;
                (self.log)(&format!("a controller was let go: {complaint}"));
            }
            None if controller.greeted => (self.log)("the controller has gone"),
            None => {}
        }
        self.stop_lent();
        // Memory goes after the rings that use it.
        drop(controller);
        self.stats_wanted = None;
    }

    /// Stops the rings that are lent.
    fn stop_lent(&mut self) {
        let enabled = self.enabled;
        if enabled != 0 {
            for number in [EVENTS, MOVER].into_iter().filter(|number| enabled >> number & 1 == 1) {
                self.write(ring(number) + ring::CONTROL, 0);
            }
            let stopped = (0..STOP_POLLS).any(|_| {
                let running = self.read(RING_RUNNING);
                running == u32::MAX || running & LENT_RINGS == 0
            });
            if !stopped {
                (self.log)("the rings of the controller do not stop: their memory is taken away nevertheless");
            }
            self.write(RING_FAULT, LENT_RINGS);
        }
        // Their eventfds are not emptied here: the controller may have made them block. The next one expects messages that mean nothing.
        (self.enabled, self.ended) = (0, 0);
    }

    /// A reset has ended all rings.
    pub fn was_reset(&mut self) {
        self.ended |= self.enabled;
        self.enabled = 0;
        if self.ended != 0 {
            self.signal_fault();
        }
    }

    /// The NIC has halted a ring of the controller.
    pub fn signal_fault(&self) {
        if let Some(controller) = &self.controller {
            // A socket that is full says as much.
            let _ = rustix::net::send(&controller.fault, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }

    /// Whether the controller has reset the whole NIC since the last call.
    pub fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.reset_written)
    }

    /// Whether the counters are wanted: the id for [`Lender::tell`].
    pub fn take_stats_wanted(&mut self) -> Option<u32> {
        self.stats_wanted.take()
    }

    /// Answers a request for counters.
    pub fn tell(&mut self, id: u32, text: &[u8], stats: &mut ControlStats) {
        let Some(controller) = &self.controller else { return };
        let text = text.get(..MAX_ANSWER - HEADER).unwrap_or(text);
        let answer = Message { op: op::STATS | op::ANSWER, status: status::OK, id, payload: text.to_vec() };
        if let Err(error) = send(&controller.socket, &answer, &[]) {
            self.let_go(unread(error), stats);
        }
    }

    /// Carries a request out and answers it. The error says why the controller has to go; nothing if it has gone.
    fn handle(&mut self, message: &Message, stats: &mut ControlStats) -> Result<(), Option<String>> {
        let greeted = self.controller.as_ref().is_some_and(|controller| controller.greeted);
        if greeted == (message.op == op::HELLO) {
            return Err(Some("the first request has to be the greeting, and no other".into()));
        }
        let answer = self.answer(message);
        let Some(controller) = &mut self.controller else { return Ok(()) };
        let mut reply =
            Message { op: message.op | op::ANSWER, status: status::OK, id: message.id, payload: Vec::new() };
        match answer {
            Answer::Silence => Ok(()),
            Answer::Payload(bytes) => {
                reply.payload = bytes;
                send(&controller.socket, &reply, &[]).map_err(unread)
            }
            Answer::File(file) => send(&controller.socket, &reply, &[file.as_fd()]).map_err(unread),
            Answer::Refused(status) => {
                stats.refused += 1;
                reply.status = status;
                // So that whoever has posted many writes knows which.
                reply.payload = message.payload.get(..4).unwrap_or_default().to_vec();
                send(&controller.socket, &reply, &[]).map_err(unread)?;
                // Whoever speaks another language is not talked to.
                if controller.greeted { Ok(()) } else { Err(Some("it speaks another version".into())) }
            }
            Answer::Stats => {
                self.stats_wanted = Some(message.id);
                Ok(())
            }
            Answer::Hello => {
                let theirs = controller.frames_theirs.take().zip(controller.fault_theirs.take());
                let Some((frames, fault)) = theirs else { return Ok(()) };
                let mut fds = vec![frames.as_fd()];
                fds.extend(self.interrupts.iter().filter_map(|interrupt| interrupt.fd()));
                fds.push(fault.as_fd());
                debug_assert_eq!(fds.len(), 1 + LENT_VECTORS.len());
                reply.payload = payload(&[VERSION, self.bar.size() as u32]);
                controller.greeted = true;
                (self.log)("a controller has come");
                send(&controller.socket, &reply, &fds).map_err(unread)
            }
        }
    }

    fn answer(&mut self, message: &Message) -> Answer {
        const BAD: Answer = Answer::Refused(status::BAD_REQUEST);
        let register = |offset: u32| {
            let offset = offset as usize;
            (offset.is_multiple_of(4) && offset < BAR0_BYTES).then_some(offset)
        };
        match message.op {
            op::HELLO if message.words() == Some([MAGIC, VERSION]) => Answer::Hello,
            op::READ => {
                let Some(at) = message.words().and_then(|[at]| register(at)) else { return BAD };
                let mut value = self.read(at);
                if at == RING_FAULT && value != u32::MAX {
                    value |= self.ended;
                }
                Answer::Payload(payload(&[value]))
            }
            op::WRITE | op::WRITE_ACKNOWLEDGED => {
                let Some([at, value]) = message.words() else { return BAD };
                let Some(at) = register(at) else { return BAD };
                match self.write_checked(at, value) {
                    Err(status) => Answer::Refused(status),
                    Ok(()) if message.op == op::WRITE => Answer::Silence,
                    Ok(()) => Answer::Payload(Vec::new()),
                }
            }
            op::CONFIG_READ => {
                let Some([offset, bytes]) = message.words() else { return BAD };
                let width = match bytes {
                    1 => Width::Byte,
                    2 => Width::Word,
                    4 => Width::Dword,
                    _ => return BAD,
                };
                let Ok(offset) = u16::try_from(offset) else { return BAD };
                match self.device.config_read(offset, width) {
                    Ok(value) => Answer::Payload(payload(&[value])),
                    Err(DeviceError::ConfigAccess { .. }) => BAD,
                    Err(_) => Answer::Refused(status::BACKEND),
                }
            }
            op::MAP => {
                let Some([low, high, bytes, more]) = message.words() else { return BAD };
                let long = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
                self.map(long(low, high), long(bytes, more)).map_or_else(Answer::Refused, Answer::File)
            }
            op::UNMAP => {
                let Some([low, high]) = message.words() else { return BAD };
                let Some(controller) = &mut self.controller else { return BAD };
                match controller.regions.remove(&(u64::from(high) << 32 | u64::from(low))) {
                    Some(_) => Answer::Payload(Vec::new()),
                    None => Answer::Refused(status::ADDRESS),
                }
            }
            op::STATS if message.payload.is_empty() => Answer::Stats,
            _ => BAD,
        }
    }

    fn write_checked(&mut self, at: usize, value: u32) -> Result<(), u16> {
        match policy::decide(at, value) {
            Write::Pass => {}
            Write::FullReset => {
                self.reset_written = true;
            }
            Write::Enable(number) => {
                if !self.is_theirs(number) {
                    return Err(status::FOREIGN_MEMORY);
                }
                self.enabled |= 1 << number;
                self.ended &= !(1 << number);
            }
            // It may still be stopping: it counts as enabled until somebody has looked.
            Write::Disable(number) => self.ended &= !(1 << number),
            Write::ClearFaults(bits) => self.ended &= !bits,
            Write::Refuse => return Err(status::HOST_PATH_REGISTER),
        }
        self.write(at, value);
        Ok(())
    }

    /// Descriptors and answers of a ring lie in memory of the controller. Where the commands of the mover point to cannot be seen here.
    fn is_theirs(&mut self, number: usize) -> bool {
        let at = ring(number);
        let entries = 1u64 << (self.read(at + ring::SIZE) & 15).max(4);
        let mut address = |offset: usize| {
            let low = self.read(at + offset);
            u64::from(self.read(at + offset + 4)) << 32 | u64::from(low)
        };
        let (base, answers) = (address(ring::BASE), address(ring::ANSWERS));
        let (descriptor, answer) = entry_bytes(number);
        let Some(controller) = &self.controller else { return false };
        [(base, entries * descriptor), (answers, entries * answer)].into_iter().all(|(start, bytes)| {
            let below = controller.regions.range(..=start).next_back();
            let end = start.checked_add(bytes);
            bytes == 0 || below.zip(end).is_some_and(|((iova, region), end)| end - iova <= region.size() as u64)
        })
    }

    fn map(&mut self, iova: u64, bytes: u64) -> Result<OwnedFd, u16> {
        let Some(controller) = &mut self.controller else { return Err(status::BAD_REQUEST) };
        let lent: usize = controller.regions.values().map(|region| region.size()).sum();
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= MAX_LENT_BYTES - lent).ok_or(status::LIMIT)?;
        if controller.regions.len() >= MAX_LENT_REGIONS {
            return Err(status::LIMIT);
        }
        let whole = bytes > 0 && bytes.is_multiple_of(DMA_PAGE);
        if !whole || iova.checked_add(bytes as u64).is_none_or(|end| end > self.end) {
            return Err(status::ADDRESS);
        }
        let region = match self.device.map_dma(iova, bytes) {
            Ok(region) => region,
            Err(DeviceError::DmaMap { .. }) => return Err(status::ADDRESS),
            Err(error) => {
                (self.log)(&format!("memory for the controller: {error}"));
                return Err(status::BACKEND);
            }
        };
        let file = region.memory().fd().and_then(|fd| fd.try_clone_to_owned().ok()).ok_or(status::BACKEND)?;
        controller.regions.insert(iova, region);
        Ok(file)
    }

    // ---- frames -----------------------------------------------------------------------------------------------------

    /// Gives a heartbeat to the controller; never waits.
    pub fn hand_over(&self, time_ns: u64, port: u8, frame: &[u8], stats: &mut ControlStats) {
        let Some(controller) = self.controller.as_ref().filter(|controller| controller.greeted) else {
            stats.no_controller += 1;
            return;
        };
        let header = frame_header(time_ns, port);
        let parts = [IoSlice::new(&header), IoSlice::new(frame)];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(&controller.frames, &parts, &mut SendAncillaryBuffer::default(), flags) {
            Ok(_) => stats.heard += 1,
            Err(_) => stats.controller_slow += 1,
        }
    }

    /// Takes a frame that the controller wants to send into `buffer`: its wire port and its length, which may be impossible.
    pub fn take_frame(&self, buffer: &mut [u8]) -> Option<(u8, std::ops::Range<usize>)> {
        debug_assert!(buffer.len() > FRAME_HEADER + MAX_FRAME);
        let controller = self.controller.as_ref()?;
        match recv(&controller.frames, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            Ok((_, length)) if length > FRAME_HEADER && length <= buffer.len() => {
                Some((buffer[8], FRAME_HEADER..length))
            }
            // What is longer or has no frame has no possible length either.
            Ok((_, length)) if length > 0 => Some((0, 0..0)),
            _ => None,
        }
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.stop_lent();
    }
}

/// Why a controller that an answer cannot be sent to has to go; nothing if it has gone.
fn unread(error: Errno) -> Option<String> {
    (!matches!(error, Errno::PIPE | Errno::CONNRESET)).then(|| format!("it does not read its answers ({error})"))
}

/// Sends a message; never waits.
fn send(socket: &OwnedFd, message: &Message, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1 + LENT_VECTORS.len()))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::TOOBIG);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(socket, &[IoSlice::new(&message.to_bytes())], &mut ancillary, flags).map(drop)
}
