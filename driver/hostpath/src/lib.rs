// SPDX-License-Identifier: Apache-2.0
//! The way of frames between the NIC and the kernel, and the NIC for a control process. See docs/host_path.md.
//!
//! [`HostPath`] owns the device, its packet rings and a TAP device, and moves frames both ways. A control process connects to its socket and gets a
//! [`Lent`], which is a [`PciDevice`](hashgate_device::PciDevice): `Nic::open` and the table mover work on it as on the device itself. When that process dies,
//! what it had is taken back, and neither the frames nor the NIC notice.
#![forbid(unsafe_code)]

mod error;
mod lender;
mod lent;
mod path;
mod policy;
pub mod protocol;
mod stats;

pub use error::PathError;
pub use lender::{Listener, MAX_LENT_BYTES, MAX_LENT_REGIONS};
pub use lent::{ControlFrame, Lent, LentError, Refused};
pub use path::{HOST_PATH_ADDRESSES, HostPath, Kernel, Options, dropped_before};
pub use policy::{LENT_RINGS, register_name};
pub use stats::{ControlStats, NicDrops, RingTrouble, RxStats, Stats, TxStats};
