// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with rings.

use hashgate_device::DeviceError;
use hashgate_regs::defs::UnknownValue;
use hashgate_regs::host;

/// Something in host memory that the NIC cannot have meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A length that does not fit the buffer.
    #[error("a frame of {length} bytes in a buffer of {buffer}")]
    Length {
        /// The length.
        length: usize,
        /// Bytes of the buffer.
        buffer: usize,
    },
    /// Another descriptor than the next one.
    #[error("an answer about descriptor {index} where it has to be about {expected}")]
    Index {
        /// The index in the answer.
        index: u16,
        /// The one that has to come.
        expected: u16,
    },
    /// An index written back that is not between the last one and what was given to the NIC.
    #[error("index {index:#x} written back, possible is {from} to {to}")]
    WrittenBack {
        /// What was written.
        index: u32,
        /// The last one.
        from: u16,
        /// Behind the last descriptor that the NIC has.
        to: u16,
    },
    /// A number without a meaning.
    #[error("{kind} {value} has no meaning")]
    Unknown {
        /// What it is a number of.
        kind: &'static str,
        /// The number.
        value: u32,
    },
    /// A running number that goes back.
    #[error("event {number} after event {last}")]
    EventNumber {
        /// The number.
        number: u32,
        /// That of the event before it.
        last: u32,
    },
}

impl From<UnknownValue> for Violation {
    fn from(unknown: UnknownValue) -> Violation {
        Violation::Unknown { kind: unknown.kind, value: unknown.value.into() }
    }
}

/// Why an operation on the host interface or on one of its rings failed.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The device cannot be reached, or is in use.
    #[error(transparent)]
    Access(#[from] DeviceError),
    /// All reads give all ones: the device is gone, hung or switched off.
    #[error("the NIC does not answer (all reads give ones): check that it is there and powered, then open it again")]
    NoAnswer,
    /// There is no host interface.
    #[error(
        "register HOST_ID is {id:#010x}, not {:#010x}: BAR 0 of this device has no host interface of Hashgate",
        host::ID
    )]
    WrongId {
        /// What it is.
        id: u32,
    },
    /// A host interface that this driver does not know.
    #[error(
        "register HOST_BUILD is {build:#010x}, this driver knows {:#010x}: update the older of driver and NIC",
        host::BUILD
    )]
    WrongBuild {
        /// What it is.
        build: u32,
    },
    /// Memory does not answer the NIC, so a reset does not end.
    #[error(
        "the reset of the host side does not end: memory does not answer transfers of the NIC; reset the bus or the machine"
    )]
    ResetStuck,
    /// The NIC did not do what it was asked for.
    #[error("ring {ring}: {what} did not end after {polls} reads of a register: reset the host side")]
    Timeout {
        /// The ring.
        ring: usize,
        /// What was waited for.
        what: &'static str,
        /// How often a register was read.
        polls: u32,
    },
    /// The NIC did not stop in time; bus mastering was taken from it.
    #[error("the NIC did not stop when it was told to, so bus mastering is off: reset the host side")]
    Stopped,
    /// The host side was reset since the ring was made.
    #[error("ring {ring}: the host side was reset, which ends its rings: start it again")]
    Reset {
        /// The ring.
        ring: usize,
    },
    /// The NIC wrote what cannot be. The ring was switched off.
    #[error(
        "ring {ring}, answer {at}: {violation}: the ring is off; start it again, and if it stays so replace the NIC"
    )]
    Device {
        /// The ring.
        ring: usize,
        /// Index of the answer.
        at: u16,
        /// What is wrong.
        violation: Violation,
    },
    /// A transfer of the ring failed, or the NIC took a doorbell for impossible; the NIC has halted it.
    #[error(
        "ring {ring}: the NIC has halted it after a failed transfer (the first one was at address {address:#x}): start it again"
    )]
    Fault {
        /// The ring.
        ring: usize,
        /// Address of the first failed transfer of all rings.
        address: u64,
    },
    /// A ring that somebody has already.
    #[error("ring {ring} is in use: drop the other one first")]
    RingInUse {
        /// The ring.
        ring: usize,
    },
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
    /// No room for memory in the address space of the device.
    #[error("no room for {bytes:#x} bytes in the addresses below 2^39 that the device can reach")]
    NoAddresses {
        /// Bytes asked for.
        bytes: usize,
    },
    /// There are no interrupts to wait for.
    #[error("interrupts are not enabled: enable them before the ring is made, or poll")]
    NoInterrupts,
    /// The table mover refused a command.
    #[error("the table mover refused to move {words} words from word {first} on (status {status}: {})", mover_status(*.status))]
    MoverStatus {
        /// Status that it gave.
        status: u8,
        /// First word.
        first: u32,
        /// Words.
        words: u32,
    },
    /// The words moved are not those in memory.
    #[error(
        "{words} words from word {first} on were moved with CRC {moved:#010x}, in memory they have {memory:#010x}: move them again"
    )]
    MoverCrc {
        /// First word.
        first: u32,
        /// Words.
        words: u32,
        /// What the NIC says.
        moved: u32,
        /// That of the memory.
        memory: u32,
    },
}

fn mover_status(status: u8) -> &'static str {
    if status == 1 { "bad command" } else { "bus error" }
}
