// SPDX-License-Identifier: Apache-2.0
//! A simulated PCI function: configuration space, MSI-X, an IOMMU, and faces to drivers in this process and behind a socket.
#![forbid(unsafe_code)]

mod function;

pub use function::{Bus, BusError, Function};
