// SPDX-License-Identifier: Apache-2.0
//! Packet sockets: frames at an interface that exists.

use crate::{NetDevice, check_name, unless_blocked};
use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// All frames of an interface: those that come in (whatever their destination), and ours go out. What the machine itself sends there is
/// not seen.
///
/// While the interface is down no frame comes and none is taken; it goes on when the interface is up again.
pub struct PacketSocket {
    fd: OwnedFd,
    /// Of the interface.
    index: u32,
    name: CString,
}

impl PacketSocket {
    /// Opens interface `name` and puts it into promiscuous mode for as long as the socket lives.
    ///
    /// # Errors
    /// Those of the operating system, with the name; it needs CAP_NET_RAW.
    pub fn open(name: &str) -> io::Result<PacketSocket> {
        check_name(name)?;
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("packet socket at interface {name}: {error}"));
        let zero_ended = CString::new(name).map_err(io::Error::other)?;
        // SAFETY: the name ends with a zero byte and is not kept.
        let index = unsafe { libc::if_nametoindex(zero_ended.as_ptr()) };
        if index == 0 {
            return Err(named(io::Error::last_os_error()));
        }
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: a call with numbers only. Protocol 0: no frame comes in before the socket is bound.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(named(io::Error::last_os_error()));
        }
        // SAFETY: the kernel just gave this descriptor to us alone.
        let socket = PacketSocket { fd: unsafe { OwnedFd::from_raw_fd(fd) }, index, name: zero_ended };
        let yes: libc::c_int = 1;
        socket.option(libc::PACKET_IGNORE_OUTGOING, &yes).map_err(named)?;
        let promiscuous = libc::packet_mreq {
            mr_ifindex: index as libc::c_int,
            mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        socket.option(libc::PACKET_ADD_MEMBERSHIP, &promiscuous).map_err(named)?;
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as libc::c_ushort,
            sll_protocol: protocol,
            sll_ifindex: index as libc::c_int,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address is a whole `sockaddr_ll` of that length, which the call only reads.
        let bound = unsafe { libc::bind(socket.fd.as_raw_fd(), (&raw const address).cast(), length) };
        if bound == 0 { Ok(socket) } else { Err(named(io::Error::last_os_error())) }
    }

    /// `None` where nothing can be done now: also while the interface is down, which is told as an error once.
    fn unless_down<T>(&self, result: io::Result<T>) -> io::Result<Option<T>> {
        match unless_blocked(result) {
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {
                // The same error tells that it was removed.
                rustix::net::netdevice::index_to_name(&self.fd, self.index)
                    .map(|_| None)
                    .map_err(|_| io::Error::new(io::ErrorKind::NotFound, "the interface was removed"))
            }
            other => other,
        }
    }

    fn option<T>(&self, name: libc::c_int, value: &T) -> io::Result<()> {
        let (value, length) = ((&raw const *value).cast(), size_of::<T>() as libc::socklen_t);
        // SAFETY: `value` points to `length` bytes that live during the call, which only reads them.
        let set = unsafe { libc::setsockopt(self.fd.as_raw_fd(), libc::SOL_PACKET, name, value, length) };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl NetDevice for PacketSocket {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.unless_down(rustix::io::read(&self.fd, buffer).map_err(io::Error::from))
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<bool> {
        let sent = rustix::io::write(&self.fd, frame).map_err(io::Error::from);
        match sent {
            // The queue of the interface is full.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(false),
            other => Ok(self.unless_down(other)?.is_some()),
        }
    }

    /// As the kernel says: up, and with a carrier.
    fn has_link(&self) -> bool {
        let mut name = [0; libc::IFNAMSIZ];
        for (to, from) in name.iter_mut().zip(self.name.as_bytes()) {
            *to = *from as libc::c_char;
        }
        let mut request = libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 } };
        // SAFETY: the name ends with a zero byte, since MAX_NAME is one less than its room; the call writes the flags, and nothing else.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) };
        // SAFETY: the flags were written at the start, and by the call if it succeeded.
        let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        done == 0 && flags & libc::IFF_RUNNING != 0
    }
}
