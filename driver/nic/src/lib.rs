// SPDX-License-Identifier: Apache-2.0
//! Driver of a Hashgate NIC.
//!
//! [`Nic::open`] takes any [`hashgate_device::PciDevice`] and refuses what is no Hashgate NIC. What the NIC shall do is
//! told as a [`Tables`]: [`Nic::stage`] writes it to the shadow banks and lets the NIC check them, [`Nic::commit`]
//! switches all of it between two frames. The driver remembers what lies in both banks of each table, so that only
//! differences are written. Opening does not disturb a NIC that is running; [`Nic::read_active`] tells what it does.
//!
//! A NIC has one driver at a time; the driver does not notice if somebody else writes tables, but the NIC does, and
//! refuses the commit.
#![forbid(unsafe_code)]

mod bindings;
mod bulk;
mod counters;
mod error;
mod exact;
mod info;
mod lease;
mod nic;
mod pack;

pub use bindings::{
    Binding, BindingClocks, BindingCounters, BindingEvent, BindingEventKind, BindingKey, BindingRecord, BindingTable,
    Copied, EVENT_WORDS, KeyRefusal,
};
pub use bulk::{BulkError, BulkMover};
pub use counters::{Count, Counters, HostTxCounters, PortCounters};
pub use error::NicError;
pub use hashgate_tables::Tables;
pub use info::{MAJOR_VERSION, NicInfo};
pub use lease::Lease;
pub use nic::{BarIo, Faults, Nic, read_settings};
pub use pack::{Unit, unpack};
