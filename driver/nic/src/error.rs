// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with a NIC.

use crate::{BindingTable, BulkError};
use hashgate_device::DeviceError;
use hashgate_regs::defs::{Table, UnknownValue};
use hashgate_tables::{Mac, TableError};
use std::net::IpAddr;

/// Why an operation on a NIC failed.
#[derive(Debug, thiserror::Error)]
pub enum NicError {
    /// The device cannot be reached.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device is another one.
    #[error(
        "PCI device {vendor:04x}:{device:04x} is not a Hashgate NIC ({:04x}:{:04x}): give the address of one",
        hashgate_device::VENDOR_ID,
        hashgate_device::DEVICE_ID
    )]
    WrongDevice {
        /// Its PCI vendor id.
        vendor: u16,
        /// Its PCI device id.
        device: u16,
    },
    /// All reads give all ones: the device is gone, hung or switched off.
    #[error("the NIC does not answer (all reads give ones): check that it is there, powered and not in reset")]
    NoAnswer,
    /// The registers are not those of a Hashgate NIC.
    #[error("register ID is {id:#010x}, not {expected:#010x}: BAR 0 of this device is not that of a Hashgate NIC")]
    WrongId {
        /// What it is.
        id: u32,
        /// What it should be.
        expected: u32,
    },
    /// A NIC whose interface this driver does not know.
    #[error("the NIC has interface version {major}.{minor}, this driver knows {known}.x: update the older one")]
    WrongVersion {
        /// Its major version.
        major: u16,
        /// Its minor version.
        minor: u16,
        /// The major version that this driver knows.
        known: u16,
    },
    /// A build parameter that no NIC has.
    #[error(
        "the NIC reports {what} = {value}, possible is {possible}: it is faulty, or not what this driver was made for"
    )]
    ImpossibleBuild {
        /// The parameter.
        what: &'static str,
        /// Its value.
        value: u32,
        /// What it may be.
        possible: &'static str,
    },
    /// The NIC did not get ready or done in time.
    #[error("{what} did not end after {polls} reads of the status: reset the NIC")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How often the status was read.
        polls: u32,
    },
    /// The tables break a limit of the NIC.
    #[error(transparent)]
    Table(#[from] TableError),
    /// An address has no place in the VIP table beside the others, though there is room.
    #[error(
        "address {addr} of zone {zone} has no place in the VIP table: its four slots are taken, and so are all slots that \
         the addresses there could move to; leave out some address"
    )]
    VipPlacement {
        /// The address.
        addr: IpAddr,
        /// Its zone.
        zone: u8,
    },
    /// A multicast address has no place in the filter beside the others, though there is room.
    #[error(
        "multicast address {0} has no place in the filter: its four slots are taken, and so are all slots that the \
         addresses there could move to; leave out some address or accept all multicast"
    )]
    MacPlacement(Mac),
    /// The NIC read back something else than was written. The shadow bank is not verified, the active one untouched.
    #[error(
        "the {table} table{part} reads back with CRC {read:#010x}, written was {written:#010x}: the active bank is \
         untouched; load again, and if it stays so replace the NIC"
    )]
    Crc {
        /// The table.
        table: Table,
        /// Which part of it, as text to follow its name.
        part: String,
        /// CRC of what the NIC read back.
        read: u32,
        /// CRC of what was written.
        written: u32,
    },
    /// The table mover failed.
    #[error("the {table} table could not be moved by DMA: {source}")]
    Bulk {
        /// The table.
        table: Table,
        /// Why.
        source: BulkError,
    },
    /// The bulk mover could not read bindings.
    #[error("the {table:?} bindings could not be read by DMA: {source}")]
    BulkBindings {
        /// Of this table.
        table: BindingTable,
        /// Why.
        source: BulkError,
    },
    /// The NIC refused a commit, because something in it was not verified.
    #[error(
        "the NIC refused the commit (tables {tables:#04x}, {maps} maps): something else wrote to its tables; nothing has \
         changed; stage again"
    )]
    CommitRefused {
        /// Bit per table id.
        tables: u8,
        /// Number of maps.
        maps: usize,
    },
    /// The hash key must not change under traffic.
    #[error("the hash key can change only while the receive path is disabled: disable it first")]
    HashKeyInUse,
    /// A binding that cannot be.
    #[error("binding refused: {0}")]
    Binding(String),
    /// No room for another binding.
    #[error("no room for the binding: the {table:?} table has no free session, or its stash is full; remove some")]
    BindingsFull {
        /// Which table.
        table: BindingTable,
    },
    /// A rule is new, but the number had another rule before.
    #[error(
        "rule {rule} is new, but {bindings} live bindings of the {table:?} table are of a rule that had this number before: take \
         another number, or remove them"
    )]
    RuleInUse {
        /// Its number.
        rule: u8,
        /// Which table.
        table: BindingTable,
        /// How many are alive.
        bindings: u32,
    },
    /// Packets with the key of an operation never paused.
    #[error(
        "packets of this {table:?} binding were under way each of {retries} times that the NIC was asked: try again, or stop \
         them"
    )]
    BindingBusy {
        /// Which table.
        table: BindingTable,
        /// How often it was tried.
        retries: u32,
    },
    /// A number read from a table or register has no meaning.
    #[error("read back: {0}")]
    Unknown(#[from] UnknownValue),
}
