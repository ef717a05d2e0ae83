// SPDX-License-Identifier: Apache-2.0
//! Whole messages, with file descriptors, over a socket that never waits.

use crate::protocol::{HEADER, Header, MAX_TRANSFER};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = MAX_TRANSFER + 4096;
/// Most file descriptors in a message.
pub const MAX_FDS: usize = 16;
/// Read at once, so that a peer that promises much and sends little costs little.
const PART: usize = 65536;

/// A message.
#[derive(Debug, Default)]
pub struct Message {
    /// Its header; `size` is set when it is sent.
    pub header: Header,
    /// What follows the header.
    pub payload: Vec<u8>,
    /// File descriptors that came with it.
    pub fds: Vec<OwnedFd>,
}

/// A socket that carries messages.
pub struct Channel {
    socket: UnixStream,
    /// Of the message that is coming in.
    header: [u8; HEADER],
    /// Its bytes so far, header included.
    received: usize,
    message: Message,
}

impl Channel {
    /// Over a connected socket.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn new(socket: UnixStream) -> io::Result<Channel> {
        socket.set_nonblocking(true)?;
        Ok(Channel { socket, header: [0; HEADER], received: 0, message: Message::default() })
    }

    /// Receives a message if a whole one is there, else `None`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the peer has closed; [`io::ErrorKind::InvalidData`] if it sends what is no message: a size below that of the header or
    /// above [`MAX_MESSAGE`], too many file descriptors. The channel is of no use then.
    pub fn receive(&mut self) -> io::Result<Option<Message>> {
        loop {
            if self.received < HEADER {
                let received = self.received;
                let mut buffer = self.header;
                let Some(count) = self.read(&mut buffer[received..])? else { return Ok(None) };
                self.header = buffer;
                self.received += count;
                if self.received == HEADER {
                    self.message.header = Header::from_bytes(&self.header);
                    let size = self.message.header.size as usize;
                    if !(HEADER..=MAX_MESSAGE).contains(&size) {
                        return Err(invalid(format!(
                            "a message of {size} bytes: {HEADER} to {MAX_MESSAGE} are possible"
                        )));
                    }
                }
            }
            if self.received >= HEADER {
                let left = self.message.header.size as usize - self.received;
                if left == 0 {
                    self.received = 0;
                    return Ok(Some(std::mem::take(&mut self.message)));
                }
                let at = self.message.payload.len();
                self.message.payload.resize(at + left.min(PART), 0);
                let mut payload = std::mem::take(&mut self.message.payload);
                let result = self.read(&mut payload[at..]);
                payload.truncate(at + result.as_ref().map_or(0, |count| count.unwrap_or(0)));
                self.message.payload = payload;
                let Some(count) = result? else { return Ok(None) };
                self.received += count;
            }
        }
    }

    /// Reads some bytes, and the file descriptors that come with them; `None` if none are there.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let got = match recvmsg(&self.socket, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags) {
            Ok(got) => got,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.message.fds.extend(fds);
            }
        }
        if got.flags.contains(rustix::net::ReturnFlags::CTRUNC) || self.message.fds.len() > MAX_FDS {
            return Err(invalid(format!("more than {MAX_FDS} file descriptors in a message")));
        }
        match got.bytes {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer has closed the connection")),
            count => Ok(Some(count)),
        }
    }

    /// Sends a message; waits for a peer that does not read, up to `deadline`.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`]; those of the operating system. The channel is of no use then.
    pub fn send(
        &mut self,
        mut header: Header,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
        deadline: Instant,
    ) -> io::Result<()> {
        header.size = (HEADER + payload.len()) as u32;
        let head = header.to_bytes();
        let total = HEADER + payload.len();
        let mut sent = 0;
        while sent < total {
            let (first, second) =
                if sent < HEADER { (&head[sent..], payload) } else { (&payload[sent - HEADER..], &[][..]) };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if sent == 0 && !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(invalid(format!("{} file descriptors: {MAX_FDS} fit into a message", fds.len())));
            }
            let parts = [IoSlice::new(first), IoSlice::new(second)];
            match sendmsg(&self.socket, &parts, &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => sent += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => wait(self.socket.as_fd(), PollFlags::OUT, deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The peer has closed its end. What it sent before can still be received, and ends.
    pub fn is_closed(&self) -> bool {
        // Whoever has closed cannot be waited for.
        let closed = PollFlags::HUP | PollFlags::ERR;
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::empty())];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok() && fds[0].revents().intersects(closed)
    }

    /// Waits until something can be received.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] at `deadline`.
    pub fn wait(&self, deadline: Instant) -> io::Result<()> {
        wait(self.socket.as_fd(), PollFlags::IN, deadline)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Waits until `fd` is ready.
fn wait(fd: BorrowedFd<'_>, flags: PollFlags, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not answer in time"));
        }
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
