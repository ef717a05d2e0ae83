// SPDX-License-Identifier: Apache-2.0
//! Numbers and layouts of vfio-user. All fields are in the byte order of the machine, which is little-endian here.

/// Bytes of the header of a message.
pub const HEADER: usize = 16;
/// Version of the protocol.
pub const MAJOR: u16 = 0;
/// Highest minor version that is understood.
pub const MINOR: u16 = 1;
/// Most bytes that one access to a region moves.
pub const MAX_TRANSFER: usize = 1 << 20;

/// Kinds of commands.
pub mod command {
    /// Versions and capabilities; the first message.
    pub const VERSION: u16 = 1;
    /// Shares memory with the device.
    pub const DMA_MAP: u16 = 2;
    /// Takes it back.
    pub const DMA_UNMAP: u16 = 3;
    /// How many regions and interrupts.
    pub const GET_INFO: u16 = 4;
    /// Size and flags of a region.
    pub const GET_REGION_INFO: u16 = 5;
    /// Kinds and number of an interrupt.
    pub const GET_IRQ_INFO: u16 = 7;
    /// Who gets interrupts.
    pub const SET_IRQS: u16 = 8;
    /// Reads of a region.
    pub const REGION_READ: u16 = 9;
    /// Writes to a region.
    pub const REGION_WRITE: u16 = 10;
    /// Resets the device.
    pub const RESET: u16 = 13;
}

/// Flags of a header.
pub mod flag {
    /// It answers a command.
    pub const REPLY: u32 = 1;
    /// Bits that say whether it is a command or a reply.
    pub const KIND: u32 = 0xf;
    /// The sender of the command wants no reply.
    pub const NO_REPLY: u32 = 1 << 4;
    /// The command failed; `error` has the errno.
    pub const ERROR: u32 = 1 << 5;
}

/// Index of the configuration space among regions; BARs are 0 to 5.
pub const CONFIG_REGION: u32 = 7;
/// Regions of a PCI device.
pub const REGIONS: u32 = 9;
/// Index of MSI-X among interrupts.
pub const MSIX_IRQ: u32 = 2;
/// Kinds of interrupts of a PCI device.
pub const IRQS: u32 = 5;

/// Device can be reset, device is PCI.
pub const INFO_RESET_PCI: u32 = 1 | 2;
/// A region can be read and written.
pub const REGION_RW: u32 = 1 | 2;
/// Interrupts by eventfd, whose number is set at once.
pub const IRQ_EVENTFD: u32 = 1 | 8;

/// Flags of [`command::SET_IRQS`].
pub mod irq {
    /// No data.
    pub const DATA_NONE: u32 = 1;
    /// File descriptors.
    pub const DATA_EVENTFD: u32 = 4;
    /// What is set is who is told.
    pub const ACTION_TRIGGER: u32 = 32;
}

/// Unmap everything.
pub const UNMAP_ALL: u32 = 2;
/// Memory that the device may read.
pub const MAP_READ: u32 = 1;
/// Memory that the device may write.
pub const MAP_WRITE: u32 = 2;
/// Memory that the device may read and write.
pub const MAP_RW: u32 = MAP_READ | MAP_WRITE;

/// Most mappings of memory that a server of this project takes from one client: half of what the kernel gives a process.
pub const MAX_MAPPINGS: usize = 32768;

/// Errno: not allowed.
pub const EPERM: u32 = 1;
/// Errno: no such thing.
pub const EINVAL: u32 = 22;
/// Errno: there already.
pub const EEXIST: u32 = 17;
/// Errno: no room.
pub const ENOSPC: u32 = 28;
/// Errno: in use.
pub const EBUSY: u32 = 16;
/// Errno: not an operation of this server.
pub const ENOTSUP: u32 = 95;

/// Header of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the sender of a command, repeated in the reply.
    pub id: u16,
    /// See [`command`].
    pub command: u16,
    /// Bytes of the message, header included.
    pub size: u32,
    /// See [`flag`].
    pub flags: u32,
    /// Errno of a failed command.
    pub error: u32,
}

impl Header {
    /// As bytes.
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..2].copy_from_slice(&self.id.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.command.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.error.to_le_bytes());
        bytes
    }

    /// From bytes.
    pub fn from_bytes(bytes: &[u8; HEADER]) -> Header {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let first = word(0);
        Header { id: first as u16, command: (first >> 16) as u16, size: word(4), flags: word(8), error: word(12) }
    }

    /// It is a reply.
    pub fn is_reply(&self) -> bool {
        self.flags & flag::KIND == flag::REPLY
    }
}

/// Reads the fields of a payload one after the other.
pub struct Fields<'p> {
    rest: &'p [u8],
}

impl<'p> Fields<'p> {
    /// From the beginning of a payload.
    pub fn of(payload: &'p [u8]) -> Fields<'p> {
        Fields { rest: payload }
    }

    /// `N` bytes; `None` if fewer are left.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*first)
    }

    /// A 16-bit field.
    pub fn half(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    /// A 32-bit field.
    pub fn word(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// A 64-bit field.
    pub fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// What is left.
    pub fn rest(self) -> &'p [u8] {
        self.rest
    }
}

/// Writes fields one after the other.
#[derive(Default)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// An empty one.
    pub fn new() -> Payload {
        Payload::default()
    }
    /// Adds a 16-bit field.
    pub fn half(mut self, value: u16) -> Payload {
        self.0.extend(value.to_le_bytes());
        self
    }
    /// Adds a 32-bit field.
    pub fn word(mut self, value: u32) -> Payload {
        self.0.extend(value.to_le_bytes());
        self
    }
    /// Adds a 64-bit field.
    pub fn long(mut self, value: u64) -> Payload {
        self.0.extend(value.to_le_bytes());
        self
    }
    /// Adds bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Payload {
        self.0.extend(bytes);
        self
    }
    /// The bytes.
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Payload of [`command::VERSION`].
pub fn version(minor: u16) -> Vec<u8> {
    let capabilities = format!(
        "{{\"capabilities\":{{\"max_msg_fds\":{},\"max_data_xfer_size\":{MAX_TRANSFER},\"max_dma_maps\":{MAX_MAPPINGS},\"pgsizes\":4096}}}}\0",
        crate::MAX_FDS
    );
    Payload::new().half(MAJOR).half(minor).bytes(capabilities.as_bytes()).done()
}
