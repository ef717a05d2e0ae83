// SPDX-License-Identifier: Apache-2.0
//! TAP devices.

use crate::{NetDevice, check_name, unless_blocked};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// A TAP device: the kernel sees a network interface, this process its other end.
pub struct Tap {
    device: SyncDevice,
    /// The same open file, for those who poll.
    fd: OwnedFd,
}

impl Tap {
    /// Makes the interface `name`, or takes one that persists. If `persistent`, it outlives this process, with its addresses and routes.
    ///
    /// # Errors
    /// Those of the operating system, with the name; it needs CAP_NET_ADMIN, and nobody else may hold the other end.
    pub fn open(name: &str, persistent: bool) -> io::Result<Tap> {
        check_name(name)?;
        let open = || {
            let device = DeviceBuilder::new()
                .name(name)
                .layer(Layer::L2)
                .packet_information(false)
                .offload(false)
                .inherit_enable_state()
                .build_sync()?;
            device.set_nonblocking(true)?;
            let fd = rustix::io::fcntl_dupfd_cloexec(borrow(&device), 0)?;
            let tap = Tap { device, fd };
            if persistent {
                tap.set_persistent(true)?;
            }
            Ok(tap)
        };
        open().map_err(|error: io::Error| io::Error::new(error.kind(), format!("TAP device {name}: {error}")))
    }

    /// Lets the interface outlive this process, or go with it.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_persistent(&self, persistent: bool) -> io::Result<()> {
        let value = libc::c_ulong::from(persistent);
        // SAFETY: the request takes its number by value and touches no memory of ours.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::TUNSETPERSIST as _, value) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Takes the interface up.
    ///
    /// # Errors
    /// Those of the operating system; it needs CAP_NET_ADMIN.
    pub fn set_up(&self) -> io::Result<()> {
        self.device.enabled(true)
    }

    /// MAC address of the interface, as it is now.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn mac(&self) -> io::Result<[u8; 6]> {
        self.device.mac_address()
    }

    /// Sets the MTU of the interface: bytes behind the Ethernet header.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_mtu(&self, mtu: u16) -> io::Result<()> {
        self.device.set_mtu(mtu)
    }
}

/// The file of a device, which the crate shows as a number only.
fn borrow(device: &SyncDevice) -> BorrowedFd<'_> {
    // SAFETY: the file is open as long as `device` lives, which the result does not outlive.
    unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl NetDevice for Tap {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(self.device.recv(buffer))
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<bool> {
        Ok(unless_blocked(self.device.send(frame))?.is_some())
    }
}
