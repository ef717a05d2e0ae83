// SPDX-License-Identifier: Apache-2.0
//! Rings between driver and NIC in host memory, by docs/host_interface.md.
//!
//! [`HostInterface`] takes a device into service and makes the rings: [`RxQueue`], [`TxRing`], [`EventRing`], [`TableMover`]. Each ring has one owner and needs no lock; in
//! its normal course it reads no register, allocates nothing, and writes a doorbell for many packets.
//!
//! Memory that the NIC writes is never a slice, and each field is checked before it is used; what cannot be is a [`Violation`], which switches the ring off. A
//! device that is gone shows by its registers only: whoever polls calls `check` once in a while; whoever waits need not. Every wait is bounded.
//!
//! In a simulated device time passes only with register accesses and while somebody waits for an interrupt, so a loop over `poll` alone does not move it.
#![forbid(unsafe_code)]

mod error;
mod events;
mod host;
mod iova;
mod mover;
mod queues;
mod ring;
mod rx;
mod tx;

pub use error::{RingError, Violation};
pub use events::{EventConfig, EventRing};
pub use host::{HostInterface, MmioCounts, RingFaults, RxDrops};
pub use iova::IovaSpace;
pub use mover::{MoverConfig, TableMover};
pub use queues::QueueChoice;
pub use ring::{Moderation, RingStats, Wake};
pub use rx::{RxConfig, RxFrame, RxInfo, RxQueue};
pub use tx::{SendOutcome, TxConfig, TxRing};
