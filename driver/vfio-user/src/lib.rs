// SPDX-License-Identifier: Apache-2.0
//! A device behind a vfio-user socket: the protocol and the driver's side.
//!
//! vfio-user carries the operations of the kernel's VFIO over a Unix socket; the device is served by another process, such as `lbsim
//! serve`. Memory for the device is shared by file descriptor, interrupts are eventfds. [`VfioUser`] is the driver's side; the server of a simulated
//! device is built from the parts in [`protocol`].
//!
//! Source of the format: the vfio-user specification of libvfio-user, version 0.
#![forbid(unsafe_code)]

mod channel;
mod client;
pub mod protocol;

pub use channel::{Channel, MAX_FDS, MAX_MESSAGE, Message};
pub use client::{Event, VfioUser};
