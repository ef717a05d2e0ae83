// SPDX-License-Identifier: Apache-2.0
//! A simulated PCI function: configuration space, MSI-X, an IOMMU, and faces to drivers in this process and behind a socket.
//!
//! [`Function`] is what is behind PCI, [`Host`] what it sees of the host: memory, where the IOMMU lets it, and messages.
#![forbid(unsafe_code)]

mod config;
mod function;
mod host;
mod in_process;
mod server;

pub use config::{BAR2_BYTES, PENDING_BITS, VECTORS};
pub use function::{Bus, BusError, Function};
pub use host::{DmaFault, FaultLog, FaultReason, Host, Protection, Sink};
pub use in_process::InProcess;
pub use server::VfioUserServer;
