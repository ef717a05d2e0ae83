// SPDX-License-Identifier: Apache-2.0
//! Frames to and from network interfaces of this machine.
//!
//! [`Tap`] is an interface of the kernel whose other end is this process; [`PacketSocket`] an end at an interface that exists. Both give
//! and take whole Ethernet frames without FCS and never wait: poll their file descriptors.

mod packet;
mod tap;

pub use packet::PacketSocket;
pub use tap::Tap;

use std::io;
use std::os::fd::AsFd;

/// Longest frame that is given or taken, in bytes without FCS: that of the NIC.
pub const MAX_FRAME: usize = 9022;
/// Most bytes in the name of an interface.
pub const MAX_NAME: usize = 15;

/// An end of an interface.
pub trait NetDevice: AsFd + Send {
    /// Takes a frame into `buffer`; gives its length, `None` if none waits. One that is longer than the buffer is cut.
    ///
    /// # Errors
    /// Those of the operating system; the interface may be gone, or that of a TAP device down.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>>;

    /// Gives a frame; `false` if the interface has no room for it now.
    ///
    /// # Errors
    /// As [`NetDevice::receive`]; also if the frame is longer than the interface takes.
    fn send(&mut self, frame: &[u8]) -> io::Result<bool>;

    /// Whether there is another end that frames could reach.
    fn has_link(&self) -> bool {
        true
    }
}

/// Checks the name of an interface.
fn check_name(name: &str) -> io::Result<()> {
    let good = !name.is_empty()
        && name.len() <= MAX_NAME
        && name != "."
        && name != ".."
        && !name
            .bytes()
            .any(|byte| byte == b'/' || byte == b':' || byte == b'%' || byte.is_ascii_whitespace() || byte == 0);
    if good {
        return Ok(());
    }
    let text = format!("interface name {name:?}: it must have 1 to {MAX_NAME} bytes and no '/', ':', '%' or space");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// `None` where nothing can be done now.
fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for (name, good) in [
            ("hg0", true),
            ("a23456789012345", true),
            ("a234567890123456", false),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
            ("hg%d", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn what_is_not_there_has_a_name_in_its_error() {
        let error = PacketSocket::open("hg-no-such").err().unwrap();
        assert!(error.to_string().contains("hg-no-such"), "{error}");
    }
}
