// SPDX-License-Identifier: Apache-2.0
//! Why the host path cannot start or go on.

use hashgate_device::DeviceError;
use hashgate_rings::RingError;
use std::io;

/// Why the host path cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// The device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The host interface cannot be brought up, or a ring fails for good.
    #[error(transparent)]
    Ring(RingError),
    /// The device does not answer any more.
    #[error(
        "the NIC is gone: all its registers read ones; see that it is there and powered, then start the host path again"
    )]
    Gone,
    /// A ring that failed too often.
    #[error("ring {ring} failed {times} times in a row, the last time because of this: {last}; replace the NIC")]
    Hopeless {
        /// The ring.
        ring: usize,
        /// How often.
        times: u32,
        /// Why.
        last: RingError,
    },
    /// The TAP device.
    #[error("{0}")]
    Tap(io::Error),
    /// The TAP device was removed while it was in use.
    #[error("the TAP device was removed ({0}): start the host path again, which makes a new one")]
    TapGone(io::Error),
    /// The control socket.
    #[error("control socket {0}")]
    Control(io::Error),
    /// A number that is not possible.
    #[error("{what} {value} is not possible: it has to be {possible}")]
    Range {
        /// What it is.
        what: &'static str,
        /// The number.
        value: u64,
        /// What it may be.
        possible: &'static str,
    },
    /// The backend has no interrupts that can be waited for together with other things.
    #[error("the device has no interrupts by file descriptor, which the host path needs to sleep")]
    NoInterrupts,
    /// The operating system does not let us wait.
    #[error("waiting for frames: {0}")]
    Wait(io::Error),
}

impl From<RingError> for PathError {
    fn from(error: RingError) -> PathError {
        match error {
            RingError::NoAnswer => PathError::Gone,
            error => PathError::Ring(error),
        }
    }
}
