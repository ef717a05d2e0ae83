// SPDX-License-Identifier: Apache-2.0
//! A simulated function behind a vfio-user socket, for our driver, QEMU, or whoever speaks the protocol.

use crate::config::{BAR2_BYTES, VECTORS};
use crate::{Function, InProcess, Protection, Sink};
use hashgate_device::{DeviceError, DmaMemory, PciDevice, Width, config};
use hashgate_vfio_user::protocol::{
    self, CONFIG_REGION, Fields, Header, INFO_RESET_PCI, IRQ_EVENTFD, IRQS, MAP_READ, MAP_RW, MAP_WRITE, MAX_MAPPINGS,
    MAX_TRANSFER, MSIX_IRQ, Payload, REGION_RW, REGIONS, UNMAP_ALL, command, flag, irq,
};
use hashgate_vfio_user::{Channel, Message};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages that are handled before the function goes on.
const MESSAGES: usize = 64;
/// How long a client may leave an answer unread.
const PATIENCE: Duration = Duration::from_secs(5);
/// Drivers that wait to be told that another one is served; more are just closed.
const REFUSED: usize = 16;

/// Serves a function to one client at a time.
///
/// Nothing runs by itself: whoever owns the server waits on [`VfioUserServer::fds`] and calls [`VfioUserServer::work`]. When a client goes, its memory
/// is unmapped and the host side reset; the function lives on for the next one.
pub struct VfioUserServer<F> {
    device: InProcess<F>,
    listener: UnixListener,
    path: PathBuf,
    client: Option<Client>,
    /// Drivers that came while it was served; they are told when they speak.
    refused: VecDeque<(Channel, Instant)>,
    /// Why the last client was let go, if it did not just close.
    complaint: Option<String>,
}

struct Client {
    channel: Channel,
    /// It has sent its version.
    agreed: bool,
}

/// Errno of a command that failed.
struct Errno(u32);

const INVALID: Errno = Errno(protocol::EINVAL);

impl<F: Function + 'static> VfioUserServer<F> {
    /// Listens at `path`. A socket that a server left there is replaced, unless somebody listens on it.
    ///
    /// # Errors
    /// Those of the operating system; [`io::ErrorKind::AddrInUse`] if there is a server already or a file that is no socket.
    pub fn new(device: InProcess<F>, path: &Path) -> io::Result<VfioUserServer<F>> {
        if let Ok(data) = path.symlink_metadata() {
            if !data.file_type().is_socket() || UnixStream::connect(path).is_ok() {
                let text = format!("{} is in use: end the other server, or choose another path", path.display());
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            std::fs::remove_file(path)?;
        }
        let named = |error: io::Error| io::Error::new(error.kind(), format!("socket {}: {error}", path.display()));
        let listener = UnixListener::bind(path).map_err(named)?;
        listener.set_nonblocking(true)?;
        Ok(VfioUserServer {
            device,
            listener,
            path: path.to_owned(),
            client: None,
            refused: VecDeque::new(),
            complaint: None,
        })
    }

    /// What to wait on before [`VfioUserServer::work`] is called again.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let client = self.client.as_ref().map(|client| client.channel.as_fd());
        let refused = self.refused.iter().map(|(channel, _)| channel.as_fd());
        [self.listener.as_fd()].into_iter().chain(client).chain(refused)
    }

    /// Somebody is connected.
    pub fn has_client(&self) -> bool {
        self.client.is_some()
    }

    /// Why the last client was let go, if it broke the protocol; taken by the call.
    pub fn take_complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    /// Takes clients and handles the messages that are there, without waiting; gives whether there were any.
    ///
    /// # Errors
    /// Those of the listening socket. What a client does wrong ends that client only.
    pub fn work(&mut self) -> io::Result<bool> {
        self.accept()?;
        self.refuse();
        let mut handled = 0;
        while handled < MESSAGES && self.work_once() {
            handled += 1;
        }
        Ok(handled > 0)
    }

    /// Handles a message, or the end of the client; gives whether there was one of them.
    fn work_once(&mut self) -> bool {
        let Some(client) = &mut self.client else { return false };
        match client.channel.receive() {
            Ok(Some(message)) => {
                if let Err(error) = self.handle(message) {
                    self.let_go(Some(error));
                }
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.let_go((error.kind() != io::ErrorKind::UnexpectedEof).then_some(error));
                true
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        // The others are still there when this is called again.
        for _ in 0..REFUSED {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) => {
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let channel = Channel::new(socket)?;
            // One that has closed before the next one came does not stand in its way; what it posted still counts, and ends.
            if self.client.as_ref().is_some_and(|client| client.channel.is_closed()) {
                while self.work_once() {}
            }
            if self.client.is_none() {
                self.client = Some(Client { channel, agreed: false });
            } else {
                self.refused.push_back((channel, Instant::now() + PATIENCE));
                self.refused.truncate(REFUSED);
            }
        }
        Ok(())
    }

    /// One driver at a time: others get their first message answered with an error.
    fn refuse(&mut self) {
        let now = Instant::now();
        self.refused.retain_mut(|(channel, deadline)| match channel.receive() {
            Ok(None) => now < *deadline,
            Ok(Some(message)) => {
                let busy = Header { flags: flag::REPLY | flag::ERROR, error: protocol::EBUSY, ..message.header };
                // Whoever does not read it will notice the end.
                let _ = channel.send(busy, &[], &[], now);
                false
            }
            Err(_) => false,
        });
    }

    /// The client is gone, or has to go.
    fn let_go(&mut self, error: Option<io::Error>) {
        self.complaint = error.map(|error| error.to_string());
        self.client = None;
        let host = self.device.host();
        // The function must not reach memory that is not the client's any more: what is under way fails.
        host.unmap_all();
        // A device that does not answer any more cannot be reset either.
        let _ = self.device.reset();
    }

    fn handle(&mut self, message: Message) -> io::Result<()> {
        let header = message.header;
        if header.is_reply() {
            // Nothing was asked.
            return Ok(());
        }
        let Some(client) = &mut self.client else { return Ok(()) };
        if !client.agreed && header.command != command::VERSION {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the first message is not the version"));
        }
        let result = self.answer(&header, message);
        let Some(client) = &mut self.client else { return Ok(()) };
        if header.flags & flag::NO_REPLY != 0 {
            return Ok(());
        }
        let reply = Header { flags: flag::REPLY, error: 0, ..header };
        let (reply, payload) = match result {
            Ok(payload) => (reply, payload),
            Err(Errno(error)) => (Header { flags: flag::REPLY | flag::ERROR, error, ..reply }, Vec::new()),
        };
        client.channel.send(reply, &payload, &[], Instant::now() + PATIENCE)
    }

    /// Carries a command out; gives the payload of the answer.
    fn answer(&mut self, header: &Header, message: Message) -> Result<Vec<u8>, Errno> {
        let mut fields = Fields::of(&message.payload);
        match header.command {
            command::VERSION => {
                let (major, minor) = (fields.half().ok_or(INVALID)?, fields.half().ok_or(INVALID)?);
                let client = self.client.as_mut().ok_or(INVALID)?;
                if major != protocol::MAJOR || client.agreed {
                    return Err(Errno(protocol::ENOTSUP));
                }
                client.agreed = true;
                Ok(protocol::version(minor.min(protocol::MINOR)))
            }
            command::GET_INFO => {
                fields.word().ok_or(INVALID)?;
                Ok(Payload::new().word(16).word(INFO_RESET_PCI).word(REGIONS).word(IRQS).done())
            }
            command::GET_REGION_INFO => {
                let (_, _, index) = (fields.word(), fields.word(), fields.word().ok_or(INVALID)?);
                let size = self.region_bytes(index).filter(|_| index < REGIONS);
                let size = if index < REGIONS { size.unwrap_or(0) } else { return Err(INVALID) };
                let flags = if size > 0 { REGION_RW } else { 0 };
                Ok(Payload::new().word(32).word(flags).word(index).word(0).long(size as u64).long(0).done())
            }
            command::GET_IRQ_INFO => {
                let (_, _, index) = (fields.word(), fields.word(), fields.word().ok_or(INVALID)?);
                let (flags, count) = match index {
                    MSIX_IRQ => (IRQ_EVENTFD, VECTORS as u32),
                    _ if index < IRQS => (0, 0),
                    _ => return Err(INVALID),
                };
                Ok(Payload::new().word(16).word(flags).word(index).word(count).done())
            }
            command::SET_IRQS => self.set_irqs(fields, message.fds.into_iter().map(File::from).collect()),
            command::DMA_MAP => self.map(fields, message.fds.into_iter().map(File::from).next()),
            command::DMA_UNMAP => self.unmap(fields),
            command::REGION_READ => {
                let access = self.access(&mut fields)?;
                let data = self.read(&access);
                Ok(access.repeated().bytes(&data).done())
            }
            command::REGION_WRITE => {
                let access = self.access(&mut fields)?;
                let data = fields.rest();
                if data.len() != access.bytes {
                    return Err(INVALID);
                }
                self.write(&access, data)?;
                Ok(access.repeated().done())
            }
            command::RESET => {
                self.device.reset().map_err(|_| INVALID)?;
                Ok(Vec::new())
            }
            _ => Err(Errno(protocol::ENOTSUP)),
        }
    }

    fn region_bytes(&self, index: u32) -> Option<usize> {
        match index {
            0 => Some(self.device.bar0_bytes()),
            2 => Some(BAR2_BYTES),
            CONFIG_REGION => Some(config::SIZE.into()),
            _ => None,
        }
    }

    fn access(&self, fields: &mut Fields<'_>) -> Result<Access, Errno> {
        let (offset, region, bytes) = (fields.long(), fields.word(), fields.word());
        let (offset, region, bytes) = (offset.ok_or(INVALID)?, region.ok_or(INVALID)?, bytes.ok_or(INVALID)? as usize);
        let size = self.region_bytes(region).ok_or(INVALID)? as u64;
        let inside = offset.checked_add(bytes as u64).is_some_and(|end| end <= size);
        if !inside || bytes > MAX_TRANSFER {
            Err(INVALID)
        } else {
            Ok(Access { region, offset: offset as usize, bytes })
        }
    }

    /// Reads a region in aligned words.
    fn read(&self, access: &Access) -> Vec<u8> {
        let first = access.offset & !3;
        let words = (access.offset + access.bytes).div_ceil(4) - first / 4;
        let bar = (access.region != CONFIG_REGION).then(|| self.device.bar(access.region as u8));
        let word = |offset: usize| match &bar {
            // The region has been found to be there.
            Some(bar) => bar.as_ref().map_or(u32::MAX, |bar| bar.read32(offset)),
            None => self.device.config_read(offset as u16, Width::Dword).unwrap_or(u32::MAX),
        };
        let bytes: Vec<u8> = (0..words).flat_map(|n| word(first + 4 * n).to_le_bytes()).collect();
        bytes[access.offset - first..][..access.bytes].to_vec()
    }

    /// Writes a region: of a BAR whole words; of the configuration space anything, in the widths that it knows.
    fn write(&self, access: &Access, data: &[u8]) -> Result<(), Errno> {
        if access.region != CONFIG_REGION {
            let bar = self.device.bar(access.region as u8).map_err(|_| INVALID)?;
            // Registers take whole words only, others have no effect.
            let (words, rest) = data.as_chunks();
            if access.offset.is_multiple_of(4) && rest.is_empty() {
                words
                    .iter()
                    .enumerate()
                    .for_each(|(n, word)| bar.write32(access.offset + 4 * n, u32::from_le_bytes(*word)));
            }
            return Ok(());
        }
        let mut at = access.offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (width, bytes) = match (at % 4, rest.len()) {
                (0, 4..) => (Width::Dword, 4),
                (0 | 2, 2..) => (Width::Word, 2),
                _ => (Width::Byte, 1),
            };
            let mut word = [0; 4];
            word[..bytes].copy_from_slice(&rest[..bytes]);
            self.device.config_write(at as u16, width, u32::from_le_bytes(word)).map_err(|_| INVALID)?;
            (at, rest) = (at + bytes, &rest[bytes..]);
        }
        Ok(())
    }

    fn map(&mut self, mut fields: Fields<'_>, file: Option<File>) -> Result<Vec<u8>, Errno> {
        let (_, flags) = (fields.word(), fields.word().ok_or(INVALID)?);
        let protection = Protection { read: flags & MAP_READ != 0, write: flags & MAP_WRITE != 0 };
        if flags & MAP_RW == 0 {
            return Err(INVALID);
        }
        let (offset, address, size) = (fields.long(), fields.long(), fields.long().ok_or(INVALID)?);
        let (offset, address) = (offset.ok_or(INVALID)?, address.ok_or(INVALID)?);
        if self.device.host().mappings() >= MAX_MAPPINGS {
            return Err(Errno(protocol::ENOSPC));
        }
        // Memory that is not shared would have to be asked for by message.
        let file = file.ok_or(Errno(protocol::ENOTSUP))?;
        let bytes = usize::try_from(size).map_err(|_| INVALID)?;
        hashgate_device::check_dma(address, bytes).map_err(|_| INVALID)?;
        let memory = DmaMemory::of_file(&file, offset, bytes).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Errno(protocol::EPERM),
            _ => INVALID,
        })?;
        self.device.host().map(address, Arc::new(memory), protection).map_err(|_| Errno(protocol::EEXIST))?;
        Ok(Vec::new())
    }

    fn unmap(&mut self, mut fields: Fields<'_>) -> Result<Vec<u8>, Errno> {
        let (argsz, flags) = (fields.word().ok_or(INVALID)?, fields.word().ok_or(INVALID)?);
        let (address, size) = (fields.long().ok_or(INVALID)?, fields.long().ok_or(INVALID)?);
        let host = self.device.host();
        let size = if flags & UNMAP_ALL != 0 {
            host.unmap_all();
            size
        } else {
            // QEMU sweeps whole address spaces; as in the kernel, to unmap nothing is no error.
            host.unmap_range(address, size).ok_or(INVALID)?
        };
        Ok(Payload::new().word(argsz).word(flags).long(address).long(size).done())
    }

    fn set_irqs(&mut self, mut fields: Fields<'_>, files: Vec<File>) -> Result<Vec<u8>, Errno> {
        let (_, flags, index) = (fields.word(), fields.word().ok_or(INVALID)?, fields.word().ok_or(INVALID)?);
        let (first, count) = (fields.word().ok_or(INVALID)? as usize, fields.word().ok_or(INVALID)? as usize);
        let host = self.device.host();
        if index != MSIX_IRQ {
            return if index < IRQS && count == 0 { Ok(Vec::new()) } else { Err(INVALID) };
        }
        if first.checked_add(count).is_none_or(|end| end > VECTORS) {
            return Err(INVALID);
        }
        if flags == irq::DATA_NONE | irq::ACTION_TRIGGER && count == 0 {
            host.clear_sinks();
        } else if flags == irq::DATA_EVENTFD | irq::ACTION_TRIGGER && (files.len() == count || files.is_empty()) {
            let mut files = files.into_iter();
            let sinks = (0..count).map(|_| files.next().map(sink)).collect();
            host.set_sinks(first, sinks).map_err(|_: DeviceError| INVALID)?;
        } else {
            return Err(Errno(protocol::ENOTSUP));
        }
        Ok(Vec::new())
    }
}

/// Messages become counts of an eventfd.
fn sink(file: File) -> Sink {
    // Not even a file that is no eventfd, or is full, may hold the function up. The client can undo the first line, so the room is looked at as well.
    let _ = rustix::io::ioctl_fionbio(&file, true);
    Box::new(move || {
        let mut fds = [PollFd::new(&file, PollFlags::OUT)];
        let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        if polled.is_ok() && fds[0].revents().contains(PollFlags::OUT) {
            // A client that has let its end go gets nothing.
            let _ = rustix::io::write(&file, &1u64.to_ne_bytes());
        }
    })
}

impl<F> Drop for VfioUserServer<F> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// An access to a region, inside it.
struct Access {
    region: u32,
    offset: usize,
    bytes: usize,
}

impl Access {
    fn repeated(&self) -> Payload {
        Payload::new().long(self.offset as u64).word(self.region).word(self.bytes as u32)
    }
}
