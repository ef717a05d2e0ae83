// SPDX-License-Identifier: Apache-2.0
//! Registers of a Hashgate NIC (BAR 0, 4 KiB, 32-bit accesses). 64-bit registers are two words: read the low word
//! first, which latches the high one; write the low word first, the write of the high one takes effect. Addresses
//! without a register read 0 and ignore writes; writes of less than a word have no effect.
//!
//! Made by hw/regs/generate.sh from hw/regs/hashgate.rdl; do not edit.

use crate::RegisterIo;

/// Byte offsets in BAR 0; of arrays that of the first.
pub mod offset {
    /// ID.
    pub const ID: usize = 0x000;
    /// VERSION.
    pub const VERSION: usize = 0x004;
    /// BUILD0.
    pub const BUILD0: usize = 0x008;
    /// BUILD1.
    pub const BUILD1: usize = 0x00c;
    /// BUILD2.
    pub const BUILD2: usize = 0x010;
    /// CLOCK_KHZ.
    pub const CLOCK_KHZ: usize = 0x014;
    /// BUILD3.
    pub const BUILD3: usize = 0x018;
    /// BUILD4.
    pub const BUILD4: usize = 0x01c;
    /// CONTROL.
    pub const CONTROL: usize = 0x020;
    /// RESET.
    pub const FULL_RESET: usize = 0x024;
    /// STATUS.
    pub const STATUS: usize = 0x028;
    /// FAULT.
    pub const FAULT: usize = 0x02c;
    /// STATION_MAC_LOW.
    pub const STATION_MAC_LOW: usize = 0x030;
    /// STATION_MAC_HIGH.
    pub const STATION_MAC_HIGH: usize = 0x034;
    /// CLUSTER_MAC_LOW.
    pub const CLUSTER_MAC_LOW: usize = 0x038;
    /// CLUSTER_MAC_HIGH.
    pub const CLUSTER_MAC_HIGH: usize = 0x03c;
    /// MASK_MAC_LOW.
    pub const MASK_MAC_LOW: usize = 0x040;
    /// MASK_MAC_HIGH.
    pub const MASK_MAC_HIGH: usize = 0x044;
    /// HASH_KEY.
    pub const HASH_KEY: usize = 0x050;
    /// TABLE_SELECT.
    pub const TABLE_SELECT: usize = 0x090;
    /// TABLE_INDEX.
    pub const TABLE_INDEX: usize = 0x094;
    /// TABLE_DATA.
    pub const TABLE_DATA: usize = 0x098;
    /// CHECK_FIRST.
    pub const CHECK_FIRST: usize = 0x0a0;
    /// CHECK_COUNT.
    pub const CHECK_COUNT: usize = 0x0a4;
    /// CHECK_EXPECT.
    pub const CHECK_EXPECT: usize = 0x0a8;
    /// CHECK.
    pub const CHECK: usize = 0x0ac;
    /// CHECK_CRC.
    pub const CHECK_CRC: usize = 0x0b0;
    /// CHECK_RESULT.
    pub const CHECK_RESULT: usize = 0x0b4;
    /// COMMIT_MAPS.
    pub const COMMIT_MAPS: usize = 0x0c0;
    /// COMMIT.
    pub const COMMIT: usize = 0x0cc;
    /// GENERATION.
    pub const GENERATION: usize = 0x0d0;
    /// VERIFIED_TABLES.
    pub const VERIFIED_TABLES: usize = 0x0d4;
    /// MAP_VALID.
    pub const MAP_VALID: usize = 0x0d8;
    /// MAP_VERIFIED.
    pub const MAP_VERIFIED: usize = 0x0e4;
    /// TIME.
    pub const TIME_NS: usize = 0x100;
    /// TIME_INCREMENT.
    pub const TIME_INCREMENT: usize = 0x108;
    /// LEASE_DEADLINE.
    pub const LEASE_DEADLINE: usize = 0x110;
    /// LEASE_CTRL.
    pub const LEASE_CTRL: usize = 0x118;
    /// SCRATCH.
    pub const SCRATCH: usize = 0x120;
    /// PARITY_ERRORS.
    pub const PARITY_ERRORS: usize = 0x140;
    /// SCRUB_ERRORS.
    pub const SCRUB_ERRORS: usize = 0x144;
    /// SCRUB_MAP.
    pub const SCRUB_MAP: usize = 0x148;
    /// SCRUB_INTERVAL.
    pub const SCRUB_INTERVAL: usize = 0x14c;
    /// PORT.RX_OVERRUN.
    pub const PORT_RX_OVERRUN: usize = 0x180;
    /// PORT.TX_PACKETS.
    pub const PORT_TX_PACKETS: usize = 0x188;
    /// PORT.TX_BYTES.
    pub const PORT_TX_BYTES: usize = 0x190;
    /// PORT.TX_ABORTED.
    pub const PORT_TX_ABORTED: usize = 0x198;
    /// HOST_TX.PACKETS.
    pub const HOST_TX_PACKETS: usize = 0x200;
    /// HOST_TX.BYTES.
    pub const HOST_TX_BYTES: usize = 0x208;
    /// HOST_TX.DROPPED.
    pub const HOST_TX_DROPPED: usize = 0x210;
    /// HOST_TX.MASKED.
    pub const HOST_TX_MASKED: usize = 0x218;
    /// HOST_TX.ARP.
    pub const HOST_TX_ARP: usize = 0x220;
    /// HOST_TX.ND.
    pub const HOST_TX_ND: usize = 0x228;
    /// BIND_TICKS.
    pub const BIND_TICKS: usize = 0x240;
    /// BIND_COMMAND.
    pub const BIND_COMMAND: usize = 0x244;
    /// BIND_STATUS.
    pub const BIND_STATUS: usize = 0x248;
    /// BIND_SESSION.
    pub const BIND_SESSION: usize = 0x24c;
    /// BIND_KEY.
    pub const BIND_KEY: usize = 0x250;
    /// BIND_RECORD0.
    pub const BIND_RECORD0: usize = 0x278;
    /// BIND_RECORD1.
    pub const BIND_RECORD1: usize = 0x27c;
    /// BIND_RECORD2.
    pub const BIND_RECORD2: usize = 0x280;
    /// BIND_SECRET.
    pub const BIND_SECRET: usize = 0x290;
    /// BIND_FLUSH.
    pub const BIND_FLUSH: usize = 0x2a0;
    /// BIND_NOW.
    pub const BIND_NOW: usize = 0x2a4;
    /// BIND_CENSUS.
    pub const BIND_CENSUS: usize = 0x2a8;
    /// BIND_CENSUS_STATUS.
    pub const BIND_CENSUS_STATUS: usize = 0x2ac;
    /// BINDING.USED.
    pub const BINDING_USED: usize = 0x2b0;
    /// BINDING.STASH.
    pub const BINDING_STASH: usize = 0x2b4;
    /// BINDING.CREATED.
    pub const BINDING_CREATED: usize = 0x2b8;
    /// BINDING.REMOVED.
    pub const BINDING_REMOVED: usize = 0x2c0;
    /// BINDING.REFUSED.
    pub const BINDING_REFUSED: usize = 0x2c8;
    /// BINDING.MOVES.
    pub const BINDING_MOVES: usize = 0x2d0;
    /// BINDING.UNDO_LOST.
    pub const BINDING_UNDO_LOST: usize = 0x2d8;
    /// BINDING.PARITY_ERRORS.
    pub const BINDING_PARITY_ERRORS: usize = 0x2dc;
    /// EVENT_STATUS.
    pub const EVENT_STATUS: usize = 0x310;
    /// EVENT_LOST.
    pub const EVENT_LOST: usize = 0x314;
    /// EVENT_POP.
    pub const EVENT_POP: usize = 0x318;
    /// EVENT_WORD.
    pub const EVENT_WORD: usize = 0x320;
}

/// Reset values of registers that do not start as 0.
pub mod reset {
    /// ID.
    pub const ID: u32 = 0x48474154;
    /// VERSION.
    pub const VERSION: u32 = 0x10000;
    /// SCRUB_INTERVAL.
    pub const SCRUB_INTERVAL: u32 = 0x10000;
    /// BIND_TICKS.
    pub const BIND_TICKS: u32 = 0x2014;
}

/// VERSION: Version of this register interface. A driver works with every NIC of its major version and the same or a
/// later minor one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Compatible additions.
    pub minor: u16,
    /// Incompatible changes.
    pub major: u16,
}

impl Version {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { minor: (bits & 0xffff) as u16, major: (bits >> 16) as u16 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.minor as u32 | ((self.major as u32) << 16)
    }
}

/// BUILD0: Build parameters of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Build0 {
    /// Bytes in a beat.
    pub beat_bytes: u8,
    /// Wire ports.
    pub ports: u8,
    /// The wire receive streams carry the FCS; the NIC strips it.
    pub fcs: bool,
    /// Cycles from the first beat of a one-beat frame in to its first beat out to the host.
    pub latency: u16,
}

impl Build0 {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            beat_bytes: (bits & 0xff) as u8,
            ports: ((bits >> 8) & 0xf) as u8,
            fcs: bits & 0x1000 != 0,
            latency: (bits >> 16) as u16,
        }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.beat_bytes as u32
            | ((self.ports as u32 & 0xf) << 8)
            | ((self.fcs as u32) << 12)
            | ((self.latency as u32) << 16)
    }
}

/// BUILD1: Build parameters of rules and maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Build1 {
    /// Port rules and match slots; the default rule is one more.
    pub rules: u8,
    /// Bucket maps.
    pub maps: u8,
    /// Binary logarithm of the buckets of a map.
    pub buckets_log2: u8,
}

impl Build1 {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { rules: (bits & 0xff) as u8, maps: ((bits >> 8) & 0xff) as u8, buckets_log2: ((bits >> 16) & 0xff) as u8 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.rules as u32 | ((self.maps as u32) << 8) | ((self.buckets_log2 as u32) << 16)
    }
}

/// BUILD2: Build parameters of targets and VIPs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Build2 {
    /// Targets.
    pub targets: u16,
    /// Addresses that the VIP table takes.
    pub vips: u16,
}

impl Build2 {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { targets: (bits & 0xffff) as u16, vips: (bits >> 16) as u16 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.targets as u32 | ((self.vips as u32) << 16)
    }
}

/// BUILD3: Build parameters of the exact-match tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Build3 {
    /// Addresses that the multicast filter takes.
    pub multicast: u16,
    /// Rows in each of the four ways of the VIP table and of the multicast filter.
    pub exact_rows: u16,
}

impl Build3 {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { multicast: (bits & 0xffff) as u16, exact_rows: (bits >> 16) as u16 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.multicast as u32 | ((self.exact_rows as u32) << 16)
    }
}

/// CONTROL: Settings that take effect at once, between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Receive path on. While 0 (and while tables initialise) every frame is discarded as `not-ready`.
    pub enable: bool,
    /// ICMP that cannot be keyed: 0 reaches every host, 1 follows the default rule.
    pub icmp_owner: bool,
    /// Unicast IP for addresses not in the VIP table: 0 deliver, 1 discard, 2 balance by the rules for any VIP. 3 acts
    /// as 0.
    pub other_ip: u8,
    /// Accept every destination MAC.
    pub promiscuous: bool,
    /// Accept every multicast destination MAC.
    pub all_multicast: bool,
    /// On transmit, MASK_MAC replaces CLUSTER_MAC as the source.
    pub mask_source: bool,
}

impl Control {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            enable: bits & 0x1 != 0,
            icmp_owner: bits & 0x2 != 0,
            other_ip: ((bits >> 2) & 0x3) as u8,
            promiscuous: bits & 0x10 != 0,
            all_multicast: bits & 0x20 != 0,
            mask_source: bits & 0x40 != 0,
        }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.enable as u32
            | ((self.icmp_owner as u32) << 1)
            | ((self.other_ip as u32 & 0x3) << 2)
            | ((self.promiscuous as u32) << 4)
            | ((self.all_multicast as u32) << 5)
            | ((self.mask_source as u32) << 6)
    }
}

/// STATUS: State of the NIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Tables are initialised; before that, table accesses, checks and commits wait.
    pub ready: bool,
    /// The lease has expired; only `LEASE_CTRL.arm` ends that.
    pub lease_expired: bool,
    /// Frames of the generation before the last commit may still be under way; table accesses and commits wait.
    pub commit_busy: bool,
    /// A check started by `CHECK` is running; table accesses, commits and further checks wait.
    pub check_busy: bool,
    /// The lease was armed since the reset.
    pub lease_armed: bool,
    /// The binding tables are in use; before that no packet finds or makes a binding.
    pub bind_ready: bool,
    /// Wire ports whose MAC has a link, bit = port; bits of ports that the NIC does not have are 0.
    pub link: u8,
}

impl Status {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            ready: bits & 0x1 != 0,
            lease_expired: bits & 0x2 != 0,
            commit_busy: bits & 0x4 != 0,
            check_busy: bits & 0x8 != 0,
            lease_armed: bits & 0x10 != 0,
            bind_ready: bits & 0x20 != 0,
            link: ((bits >> 8) & 0x3) as u8,
        }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.ready as u32
            | ((self.lease_expired as u32) << 1)
            | ((self.commit_busy as u32) << 2)
            | ((self.check_busy as u32) << 3)
            | ((self.lease_armed as u32) << 4)
            | ((self.bind_ready as u32) << 5)
            | ((self.link as u32 & 0x3) << 8)
    }
}

/// FAULT: What went wrong; a bit stays until 1 is written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// A commit named a table or map whose shadow is not verified; it changed nothing.
    pub commit_refused: bool,
    /// A table word that a frame consulted had wrong parity.
    pub parity: bool,
    /// The scrubber found a difference in an active map.
    pub scrub: bool,
    /// A key, a record or a flag of a binding table had wrong parity: that key was not found, that record was taken for
    /// none.
    pub binding_parity: bool,
}

impl Fault {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            commit_refused: bits & 0x1 != 0,
            parity: bits & 0x2 != 0,
            scrub: bits & 0x4 != 0,
            binding_parity: bits & 0x8 != 0,
        }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.commit_refused as u32
            | ((self.parity as u32) << 1)
            | ((self.scrub as u32) << 2)
            | ((self.binding_parity as u32) << 3)
    }
}

/// TABLE_SELECT: Which table TABLE_DATA and CHECK work on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSelect {
    /// Table id; see the table reference.
    pub id: u8,
    /// TABLE_DATA reads the active bank instead of the shadow. Writes and checks always use the shadow.
    pub active: bool,
    /// Error injection: words written are stored with wrong parity.
    pub bad_parity: bool,
}

impl TableSelect {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { id: (bits & 0xf) as u8, active: bits & 0x100 != 0, bad_parity: bits & 0x200 != 0 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        (self.id as u32 & 0xf) | ((self.active as u32) << 8) | ((self.bad_parity as u32) << 9)
    }
}

/// LEASE_CTRL: Control of the lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseCtrl {
    /// VIP traffic passes only under a lease that was armed and has not expired. 0: there is no lease.
    pub enable: bool,
    /// 1 starts the lease with LEASE_DEADLINE, also after it has expired.
    pub arm: bool,
}

impl LeaseCtrl {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { enable: bits & 0x1 != 0, arm: bits & 0x2 != 0 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.enable as u32 | ((self.arm as u32) << 1)
    }
}

/// BIND_TICKS: Clocks of the binding tables: a tick is 2 to the power of the field, in nanoseconds of NIC time. Changed
/// only while the tables are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindTicks {
    /// Fast clock: half-open connections and those after RST. 10..33.
    pub fast: u8,
    /// Slow clock: all other bindings. 10..33.
    pub slow: u8,
}

impl BindTicks {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { fast: (bits & 0x3f) as u8, slow: ((bits >> 8) & 0x3f) as u8 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        (self.fast as u32 & 0x3f) | ((self.slow as u32 & 0x3f) << 8)
    }
}

/// BIND_COMMAND: A write starts an operation on a binding table, with BIND_KEY, BIND_RECORD and BIND_SESSION as
/// operands, which may be written anew from then on; while `BIND_STATUS.busy` a further write is ignored. It is done
/// within microseconds; the search for the next binding takes some 6 cycles for each session that it passes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindCommand {
    /// 0 find the binding of the key; 1 insert it with the record; 2 remove it; 3 find the first live binding whose
    /// session is BIND_SESSION or higher; 4 give the live binding whose session is BIND_SESSION the key as its second
    /// one, if that session was what the last operation of this table told; 5 find the second key of the live binding
    /// whose session is BIND_SESSION.
    pub op: u8,
    /// 0 connection table, 1 affinity table.
    pub affinity: bool,
}

impl BindCommand {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { op: (bits & 0x7) as u8, affinity: bits & 0x10 != 0 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        (self.op as u32 & 0x7) | ((self.affinity as u32) << 4)
    }
}

/// BIND_STATUS: How the last operation ended. What it found is in BIND_KEY, BIND_RECORD and BIND_SESSION.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindStatus {
    /// The operation is under way.
    pub busy: bool,
    /// It succeeded. Else: there is no such binding; or, of an insert, there is one already.
    pub ok: bool,
    /// Packets with this key were under way, or a key of the binding was on its way to another place; nothing was done,
    /// ask again.
    pub again: bool,
    /// An insert or a second key found no free session or no room in the stash.
    pub full: bool,
    /// A second key was refused: a live binding has this key already.
    pub present: bool,
    /// A second key was refused: the session is not live, was not what the last operation told, or has been removed
    /// since.
    pub ended: bool,
    /// The binding that was found, or that refused a second key, has two keys.
    pub two: bool,
}

impl BindStatus {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            busy: bits & 0x1 != 0,
            ok: bits & 0x2 != 0,
            again: bits & 0x4 != 0,
            full: bits & 0x8 != 0,
            present: bits & 0x10 != 0,
            ended: bits & 0x20 != 0,
            two: bits & 0x40 != 0,
        }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.busy as u32
            | ((self.ok as u32) << 1)
            | ((self.again as u32) << 2)
            | ((self.full as u32) << 3)
            | ((self.present as u32) << 4)
            | ((self.ended as u32) << 5)
            | ((self.two as u32) << 6)
    }
}

/// BIND_RECORD0: Record of a binding: where and in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindRecord0 {
    /// Target.
    pub target: u16,
    /// State: 0 free, 1 half-open, 2 established, 3 closing, 4 reset, 5 flow.
    pub state: u8,
    /// No packet has used it since a packet made it.
    pub fresh: bool,
}

impl BindRecord0 {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { target: (bits & 0x3ff) as u16, state: ((bits >> 16) & 0x7) as u8, fresh: bits & 0x1000000 != 0 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        (self.target as u32 & 0x3ff) | ((self.state as u32 & 0x7) << 16) | ((self.fresh as u32) << 24)
    }
}

/// BIND_RECORD1: Record of a binding: what made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindRecord1 {
    /// Bucket.
    pub bucket: u16,
    /// Rule.
    pub rule: u8,
}

impl BindRecord1 {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { bucket: (bits & 0xfff) as u16, rule: ((bits >> 16) & 0x7f) as u8 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        (self.bucket as u32 & 0xfff) | ((self.rule as u32 & 0x7f) << 16)
    }
}

/// BIND_NOW: Both clocks now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindNow {
    /// Tick of the fast clock, modulo 65536.
    pub fast: u16,
    /// Tick of the slow clock, modulo 65536.
    pub slow: u16,
}

impl BindNow {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { fast: (bits & 0xffff) as u16, slow: (bits >> 16) as u16 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.fast as u32 | ((self.slow as u32) << 16)
    }
}

/// BIND_CENSUS: A write counts the live bindings of each bucket into the table count_live, in one round of the sweep
/// (milliseconds). A binding that lives all the while is counted once; one that comes, goes or changes meanwhile may be
/// counted or not. While `busy` a further write is ignored and count_live reads 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindCensus {
    /// Rule that made them.
    pub rule: u8,
    /// 1: of every rule.
    pub every: bool,
    /// 0 connection table, 1 affinity table.
    pub affinity: bool,
}

impl BindCensus {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { rule: (bits & 0x7f) as u8, every: bits & 0x100 != 0, affinity: bits & 0x200 != 0 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        (self.rule as u32 & 0x7f) | ((self.every as u32) << 8) | ((self.affinity as u32) << 9)
    }
}

/// The registers, reached through `io`.
#[derive(Clone, Debug)]
pub struct Registers<IO> {
    io: IO,
}

impl<IO: RegisterIo> Registers<IO> {
    /// Registers behind `io`, whose offset 0 is that of BAR 0.
    pub const fn new(io: IO) -> Self {
        Self { io }
    }

    /// What the registers are reached through.
    pub const fn io(&self) -> &IO {
        &self.io
    }

    fn read64(&self, offset: usize) -> u64 {
        let low = self.io.read32(offset);
        u64::from(self.io.read32(offset + 4)) << 32 | u64::from(low)
    }

    fn write64(&self, offset: usize, value: u64) {
        self.io.write32(offset, value as u32);
        self.io.write32(offset + 4, (value >> 32) as u32);
    }

    /// Reads ID: Tells that this is a Hashgate NIC.
    ///
    /// ASCII `HGAT`.
    pub fn id(&self) -> u32 {
        self.io.read32(offset::ID)
    }

    /// Reads VERSION: Version of this register interface. A driver works with every NIC of its major version and the
    /// same or a later minor one.
    pub fn version(&self) -> Version {
        Version::from_bits(self.io.read32(offset::VERSION))
    }

    /// Reads BUILD0: Build parameters of the stream.
    pub fn build0(&self) -> Build0 {
        Build0::from_bits(self.io.read32(offset::BUILD0))
    }

    /// Reads BUILD1: Build parameters of rules and maps.
    pub fn build1(&self) -> Build1 {
        Build1::from_bits(self.io.read32(offset::BUILD1))
    }

    /// Reads BUILD2: Build parameters of targets and VIPs.
    pub fn build2(&self) -> Build2 {
        Build2::from_bits(self.io.read32(offset::BUILD2))
    }

    /// Reads CLOCK_KHZ: Nominal core clock.
    ///
    /// Frequency in kHz.
    pub fn clock_khz(&self) -> u32 {
        self.io.read32(offset::CLOCK_KHZ)
    }

    /// Reads BUILD3: Build parameters of the exact-match tables.
    pub fn build3(&self) -> Build3 {
        Build3::from_bits(self.io.read32(offset::BUILD3))
    }

    /// Reads BUILD4: Build parameter of the binding tables.
    ///
    /// Bindings that each of the two tables takes.
    pub fn build4(&self) -> u32 {
        self.io.read32(offset::BUILD4)
    }

    /// Reads CONTROL: Settings that take effect at once, between two frames.
    pub fn control(&self) -> Control {
        Control::from_bits(self.io.read32(offset::CONTROL))
    }

    /// Writes CONTROL: Settings that take effect at once, between two frames.
    pub fn set_control(&self, value: Control) {
        self.io.write32(offset::CONTROL, value.bits());
    }

    /// Writes RESET: Full reset.
    ///
    /// Writing 1 resets the whole NIC, as after power-up, once this write is answered: streams restart, tables clear,
    /// all registers take their reset values.
    pub fn set_full_reset(&self, value: bool) {
        self.io.write32(offset::FULL_RESET, value.into());
    }

    /// Reads STATUS: State of the NIC.
    pub fn status(&self) -> Status {
        Status::from_bits(self.io.read32(offset::STATUS))
    }

    /// Reads FAULT: What went wrong; a bit stays until 1 is written to it.
    pub fn fault(&self) -> Fault {
        Fault::from_bits(self.io.read32(offset::FAULT))
    }

    /// Writes FAULT: What went wrong; a bit stays until 1 is written to it.
    pub fn set_fault(&self, value: Fault) {
        self.io.write32(offset::FAULT, value.bits());
    }

    /// Reads STATION_MAC_LOW: MAC address of the NIC itself, as a 48-bit number whose most significant byte is the
    /// first on the wire.
    ///
    /// Bits 31:0: bytes 2..5 on the wire.
    pub fn station_mac_low(&self) -> u32 {
        self.io.read32(offset::STATION_MAC_LOW)
    }

    /// Writes STATION_MAC_LOW: MAC address of the NIC itself, as a 48-bit number whose most significant byte is the
    /// first on the wire.
    ///
    /// Bits 31:0: bytes 2..5 on the wire.
    pub fn set_station_mac_low(&self, value: u32) {
        self.io.write32(offset::STATION_MAC_LOW, value);
    }

    /// Reads STATION_MAC_HIGH: Upper part of STATION_MAC.
    ///
    /// Bits 47:32: bytes 0 and 1 on the wire.
    pub fn station_mac_high(&self) -> u16 {
        (self.io.read32(offset::STATION_MAC_HIGH) & 0xffff) as u16
    }

    /// Writes STATION_MAC_HIGH: Upper part of STATION_MAC.
    ///
    /// Bits 47:32: bytes 0 and 1 on the wire.
    pub fn set_station_mac_high(&self, value: u16) {
        self.io.write32(offset::STATION_MAC_HIGH, value.into());
    }

    /// Reads CLUSTER_MAC_LOW: MAC address that all members accept, as a 48-bit number whose most significant byte is
    /// the first on the wire.
    ///
    /// Bits 31:0: bytes 2..5 on the wire.
    pub fn cluster_mac_low(&self) -> u32 {
        self.io.read32(offset::CLUSTER_MAC_LOW)
    }

    /// Writes CLUSTER_MAC_LOW: MAC address that all members accept, as a 48-bit number whose most significant byte is
    /// the first on the wire.
    ///
    /// Bits 31:0: bytes 2..5 on the wire.
    pub fn set_cluster_mac_low(&self, value: u32) {
        self.io.write32(offset::CLUSTER_MAC_LOW, value);
    }

    /// Reads CLUSTER_MAC_HIGH: Upper part of CLUSTER_MAC.
    ///
    /// Bits 47:32: bytes 0 and 1 on the wire.
    pub fn cluster_mac_high(&self) -> u16 {
        (self.io.read32(offset::CLUSTER_MAC_HIGH) & 0xffff) as u16
    }

    /// Writes CLUSTER_MAC_HIGH: Upper part of CLUSTER_MAC.
    ///
    /// Bits 47:32: bytes 0 and 1 on the wire.
    pub fn set_cluster_mac_high(&self, value: u16) {
        self.io.write32(offset::CLUSTER_MAC_HIGH, value.into());
    }

    /// Reads MASK_MAC_LOW: Source MAC address that replaces CLUSTER_MAC on transmit, as a 48-bit number whose most
    /// significant byte is the first on the wire.
    ///
    /// Bits 31:0: bytes 2..5 on the wire.
    pub fn mask_mac_low(&self) -> u32 {
        self.io.read32(offset::MASK_MAC_LOW)
    }

    /// Writes MASK_MAC_LOW: Source MAC address that replaces CLUSTER_MAC on transmit, as a 48-bit number whose most
    /// significant byte is the first on the wire.
    ///
    /// Bits 31:0: bytes 2..5 on the wire.
    pub fn set_mask_mac_low(&self, value: u32) {
        self.io.write32(offset::MASK_MAC_LOW, value);
    }

    /// Reads MASK_MAC_HIGH: Upper part of MASK_MAC.
    ///
    /// Bits 47:32: bytes 0 and 1 on the wire.
    pub fn mask_mac_high(&self) -> u16 {
        (self.io.read32(offset::MASK_MAC_HIGH) & 0xffff) as u16
    }

    /// Writes MASK_MAC_HIGH: Upper part of MASK_MAC.
    ///
    /// Bits 47:32: bytes 0 and 1 on the wire.
    pub fn set_mask_mac_high(&self, value: u16) {
        self.io.write32(offset::MASK_MAC_HIGH, value.into());
    }

    /// Reads HASH_KEY: Toeplitz key of the bucket hash, 52 bytes. Change it only while `CONTROL.enable` is 0; it is the
    /// same on all members.
    ///
    /// Word i: key bytes 4i (bits 31:24) to 4i+3 (bits 7:0).
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn hash_key(&self, index: usize) -> u32 {
        assert!(index < 13, "HASH_KEY[{index}]: there are 13");
        self.io.read32(offset::HASH_KEY + 0x4 * index)
    }

    /// Writes HASH_KEY: Toeplitz key of the bucket hash, 52 bytes. Change it only while `CONTROL.enable` is 0; it is
    /// the same on all members.
    ///
    /// Word i: key bytes 4i (bits 31:24) to 4i+3 (bits 7:0).
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn set_hash_key(&self, index: usize, value: u32) {
        assert!(index < 13, "HASH_KEY[{index}]: there are 13");
        self.io.write32(offset::HASH_KEY + 0x4 * index, value);
    }

    /// Reads TABLE_SELECT: Which table TABLE_DATA and CHECK work on.
    pub fn table_select(&self) -> TableSelect {
        TableSelect::from_bits(self.io.read32(offset::TABLE_SELECT))
    }

    /// Writes TABLE_SELECT: Which table TABLE_DATA and CHECK work on.
    pub fn set_table_select(&self, value: TableSelect) {
        self.io.write32(offset::TABLE_SELECT, value.bits());
    }

    /// Reads TABLE_INDEX: Where TABLE_DATA reads and writes; counts up by one after each access of TABLE_DATA.
    ///
    /// Word address in the table: stride of the table x entry + word.
    pub fn table_index(&self) -> u32 {
        self.io.read32(offset::TABLE_INDEX) & 0xfffff
    }

    /// Writes TABLE_INDEX: Where TABLE_DATA reads and writes; counts up by one after each access of TABLE_DATA.
    ///
    /// Word address in the table: stride of the table x entry + word.
    pub fn set_table_index(&self, value: u32) {
        self.io.write32(offset::TABLE_INDEX, value);
    }

    /// Reads TABLE_DATA: The word at TABLE_INDEX. A write takes the verification of that shadow (map: of that map)
    /// away. An access waits while `STATUS` shows a commit, a check or the initialisation.
    ///
    /// Data; bits that the table does not have read 0.
    pub fn table_data(&self) -> u32 {
        self.io.read32(offset::TABLE_DATA)
    }

    /// Writes TABLE_DATA: The word at TABLE_INDEX. A write takes the verification of that shadow (map: of that map)
    /// away. An access waits while `STATUS` shows a commit, a check or the initialisation.
    ///
    /// Data; bits that the table does not have read 0.
    pub fn set_table_data(&self, value: u32) {
        self.io.write32(offset::TABLE_DATA, value);
    }

    /// Reads CHECK_FIRST: First word of a check.
    ///
    /// Word address, like TABLE_INDEX.
    pub fn check_first(&self) -> u32 {
        self.io.read32(offset::CHECK_FIRST) & 0xfffff
    }

    /// Writes CHECK_FIRST: First word of a check.
    ///
    /// Word address, like TABLE_INDEX.
    pub fn set_check_first(&self, value: u32) {
        self.io.write32(offset::CHECK_FIRST, value);
    }

    /// Reads CHECK_COUNT: Length of a check.
    ///
    /// Words.
    pub fn check_count(&self) -> u32 {
        self.io.read32(offset::CHECK_COUNT) & 0x1fffff
    }

    /// Writes CHECK_COUNT: Length of a check.
    ///
    /// Words.
    pub fn set_check_count(&self, value: u32) {
        self.io.write32(offset::CHECK_COUNT, value);
    }

    /// Reads CHECK_EXPECT: What the check should find.
    ///
    /// CRC-32 (IEEE 802.3) of the words, each least significant byte first.
    pub fn check_expect(&self) -> u32 {
        self.io.read32(offset::CHECK_EXPECT)
    }

    /// Writes CHECK_EXPECT: What the check should find.
    ///
    /// CRC-32 (IEEE 802.3) of the words, each least significant byte first.
    pub fn set_check_expect(&self, value: u32) {
        self.io.write32(offset::CHECK_EXPECT, value);
    }

    /// Writes CHECK: Starts a check: reads CHECK_COUNT words from CHECK_FIRST of the shadow of `TABLE_SELECT.id` and
    /// compares their CRC-32 with CHECK_EXPECT. The shadow counts as verified if they agree and the check covered all
    /// of it: words 0 to depth x stride, for maps exactly the 2048 words of one map. Waits for a check that is running.
    ///
    /// 1 starts.
    pub fn set_check(&self, value: bool) {
        self.io.write32(offset::CHECK, value.into());
    }

    /// Reads CHECK_CRC: What the last check found; valid when `STATUS.check_busy` is 0.
    ///
    /// CRC-32 of the words read.
    pub fn check_crc(&self) -> u32 {
        self.io.read32(offset::CHECK_CRC)
    }

    /// Reads CHECK_RESULT: Result of the last check; valid when `STATUS.check_busy` is 0.
    ///
    /// CHECK_CRC equals CHECK_EXPECT.
    pub fn check_result(&self) -> bool {
        self.io.read32(offset::CHECK_RESULT) & 1 != 0
    }

    /// Reads COMMIT_MAPS: Maps that the next commit switches, one bit per map.
    ///
    /// Bit m of word w: map 32w + m.
    ///
    /// # Panics
    /// If `index` is not below 3.
    pub fn commit_maps(&self, index: usize) -> u32 {
        assert!(index < 3, "COMMIT_MAPS[{index}]: there are 3");
        self.io.read32(offset::COMMIT_MAPS + 0x4 * index)
    }

    /// Writes COMMIT_MAPS: Maps that the next commit switches, one bit per map.
    ///
    /// Bit m of word w: map 32w + m.
    ///
    /// # Panics
    /// If `index` is not below 3.
    pub fn set_commit_maps(&self, index: usize, value: u32) {
        assert!(index < 3, "COMMIT_MAPS[{index}]: there are 3");
        self.io.write32(offset::COMMIT_MAPS + 0x4 * index, value);
    }

    /// Writes COMMIT: A write switches the tables named here and the maps named in COMMIT_MAPS to their shadows, all at
    /// one point between two frames, or, if one of them is not verified, changes nothing and sets
    /// `FAULT.commit_refused`. It is answered when that is done; it waits for a running check and for the drain time of
    /// the commit before.
    ///
    /// Bit per table id, 0..5; bits 6 and 7 must be 0.
    pub fn set_commit(&self, value: u8) {
        self.io.write32(offset::COMMIT, value.into());
    }

    /// Reads GENERATION: Commits done since the reset.
    ///
    /// Count, wraps.
    pub fn generation(&self) -> u32 {
        self.io.read32(offset::GENERATION)
    }

    /// Reads VERIFIED_TABLES: Tables whose shadow is verified.
    ///
    /// Bit per table id.
    pub fn verified_tables(&self) -> u8 {
        (self.io.read32(offset::VERIFIED_TABLES) & 0x3f) as u8
    }

    /// Reads MAP_VALID: Maps that were ever committed.
    ///
    /// Bit m of word w: map 32w + m.
    ///
    /// # Panics
    /// If `index` is not below 3.
    pub fn map_valid(&self, index: usize) -> u32 {
        assert!(index < 3, "MAP_VALID[{index}]: there are 3");
        self.io.read32(offset::MAP_VALID + 0x4 * index)
    }

    /// Reads MAP_VERIFIED: Maps whose shadow is verified.
    ///
    /// Bit m of word w: map 32w + m.
    ///
    /// # Panics
    /// If `index` is not below 3.
    pub fn map_verified(&self, index: usize) -> u32 {
        assert!(index < 3, "MAP_VERIFIED[{index}]: there are 3");
        self.io.read32(offset::MAP_VERIFIED + 0x4 * index)
    }

    /// Reads TIME: NIC time, from 0 at the reset.
    ///
    /// Nanoseconds.
    pub fn time_ns(&self) -> u64 {
        self.read64(offset::TIME_NS)
    }

    /// Reads TIME_INCREMENT: Step of TIME per core clock. The reset value follows from CLOCK_KHZ.
    ///
    /// Nanoseconds, 8.24 fixed point.
    pub fn time_increment(&self) -> u32 {
        self.io.read32(offset::TIME_INCREMENT)
    }

    /// Writes TIME_INCREMENT: Step of TIME per core clock. The reset value follows from CLOCK_KHZ.
    ///
    /// Nanoseconds, 8.24 fixed point.
    pub fn set_time_increment(&self, value: u32) {
        self.io.write32(offset::TIME_INCREMENT, value);
    }

    /// Reads LEASE_DEADLINE: Deadline of the lease. While the lease runs, writing a later deadline renews it and
    /// writing an earlier one has no effect. Reads what was written last.
    ///
    /// NIC time in nanoseconds. The lease expires when TIME is greater.
    pub fn lease_deadline(&self) -> u64 {
        self.read64(offset::LEASE_DEADLINE)
    }

    /// Writes LEASE_DEADLINE: Deadline of the lease. While the lease runs, writing a later deadline renews it and
    /// writing an earlier one has no effect. Reads what was written last.
    ///
    /// NIC time in nanoseconds. The lease expires when TIME is greater.
    pub fn set_lease_deadline(&self, value: u64) {
        self.write64(offset::LEASE_DEADLINE, value);
    }

    /// Reads LEASE_CTRL: Control of the lease.
    pub fn lease_ctrl(&self) -> LeaseCtrl {
        LeaseCtrl::from_bits(self.io.read32(offset::LEASE_CTRL))
    }

    /// Writes LEASE_CTRL: Control of the lease.
    pub fn set_lease_ctrl(&self, value: LeaseCtrl) {
        self.io.write32(offset::LEASE_CTRL, value.bits());
    }

    /// Reads SCRATCH: For software: epoch and digests of what is loaded. Survives everything but a full reset.
    ///
    /// Not used by the NIC.
    ///
    /// # Panics
    /// If `index` is not below 8.
    pub fn scratch(&self, index: usize) -> u32 {
        assert!(index < 8, "SCRATCH[{index}]: there are 8");
        self.io.read32(offset::SCRATCH + 0x4 * index)
    }

    /// Writes SCRATCH: For software: epoch and digests of what is loaded. Survives everything but a full reset.
    ///
    /// Not used by the NIC.
    ///
    /// # Panics
    /// If `index` is not below 8.
    pub fn set_scratch(&self, index: usize, value: u32) {
        assert!(index < 8, "SCRATCH[{index}]: there are 8");
        self.io.write32(offset::SCRATCH + 0x4 * index, value);
    }

    /// Reads PARITY_ERRORS: Table words with wrong parity that frames consulted.
    ///
    /// Count, wraps.
    pub fn parity_errors(&self) -> u32 {
        self.io.read32(offset::PARITY_ERRORS)
    }

    /// Reads SCRUB_ERRORS: Scrubs of an active map whose CRC differed from that of its check.
    ///
    /// Count, wraps.
    pub fn scrub_errors(&self) -> u32 {
        self.io.read32(offset::SCRUB_ERRORS)
    }

    /// Reads SCRUB_MAP: The last map in which the scrubber found a difference; only meaningful if SCRUB_ERRORS is not
    /// 0.
    ///
    /// Map number.
    pub fn scrub_map(&self) -> u8 {
        (self.io.read32(offset::SCRUB_MAP) & 0x7f) as u8
    }

    /// Reads SCRUB_INTERVAL: Pause of the scrubber between two maps.
    ///
    /// Core clocks; 0 stops the scrubber.
    pub fn scrub_interval(&self) -> u32 {
        self.io.read32(offset::SCRUB_INTERVAL)
    }

    /// Writes SCRUB_INTERVAL: Pause of the scrubber between two maps.
    ///
    /// Core clocks; 0 stops the scrubber.
    pub fn set_scrub_interval(&self, value: u32) {
        self.io.write32(offset::SCRUB_INTERVAL, value);
    }

    /// Reads PORT.RX_OVERRUN: Frames lost before the pipeline, because both ports together offered more than one beat a
    /// cycle.
    ///
    /// Frames.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn port_rx_overrun(&self, index: usize) -> u64 {
        assert!(index < 2, "PORT.RX_OVERRUN[{index}]: there are 2");
        self.read64(offset::PORT_RX_OVERRUN + 0x40 * index)
    }

    /// Reads PORT.TX_PACKETS: Frames sent, aborted ones excluded.
    ///
    /// Frames.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn port_tx_packets(&self, index: usize) -> u64 {
        assert!(index < 2, "PORT.TX_PACKETS[{index}]: there are 2");
        self.read64(offset::PORT_TX_PACKETS + 0x40 * index)
    }

    /// Reads PORT.TX_BYTES: Bytes in TX_PACKETS.
    ///
    /// Bytes without FCS.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn port_tx_bytes(&self, index: usize) -> u64 {
        assert!(index < 2, "PORT.TX_BYTES[{index}]: there are 2");
        self.read64(offset::PORT_TX_BYTES + 0x40 * index)
    }

    /// Reads PORT.TX_ABORTED: Frames that ended with the abort mark.
    ///
    /// Frames, wraps.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn port_tx_aborted(&self, index: usize) -> u32 {
        assert!(index < 2, "PORT.TX_ABORTED[{index}]: there are 2");
        self.io.read32(offset::PORT_TX_ABORTED + 0x40 * index)
    }

    /// Reads HOST_TX.PACKETS: Frames taken from the host, dropped ones excluded.
    ///
    /// Frames.
    pub fn host_tx_packets(&self) -> u64 {
        self.read64(offset::HOST_TX_PACKETS)
    }

    /// Reads HOST_TX.BYTES: Bytes in PACKETS, after padding.
    ///
    /// Bytes without FCS.
    pub fn host_tx_bytes(&self) -> u64 {
        self.read64(offset::HOST_TX_BYTES)
    }

    /// Reads HOST_TX.DROPPED: Frames dropped because they are shorter than 14 or longer than 9022 bytes.
    ///
    /// Frames.
    pub fn host_tx_dropped(&self) -> u64 {
        self.read64(offset::HOST_TX_DROPPED)
    }

    /// Reads HOST_TX.MASKED: Frames whose source MAC was masked.
    ///
    /// Frames.
    pub fn host_tx_masked(&self) -> u64 {
        self.read64(offset::HOST_TX_MASKED)
    }

    /// Reads HOST_TX.ARP: ARP frames whose sender hardware address was rewritten.
    ///
    /// Frames.
    pub fn host_tx_arp(&self) -> u64 {
        self.read64(offset::HOST_TX_ARP)
    }

    /// Reads HOST_TX.ND: Neighbour-discovery frames whose link-layer option was rewritten.
    ///
    /// Frames.
    pub fn host_tx_nd(&self) -> u64 {
        self.read64(offset::HOST_TX_ND)
    }

    /// Reads BIND_TICKS: Clocks of the binding tables: a tick is 2 to the power of the field, in nanoseconds of NIC
    /// time. Changed only while the tables are empty.
    pub fn bind_ticks(&self) -> BindTicks {
        BindTicks::from_bits(self.io.read32(offset::BIND_TICKS))
    }

    /// Writes BIND_TICKS: Clocks of the binding tables: a tick is 2 to the power of the field, in nanoseconds of NIC
    /// time. Changed only while the tables are empty.
    pub fn set_bind_ticks(&self, value: BindTicks) {
        self.io.write32(offset::BIND_TICKS, value.bits());
    }

    /// Reads BIND_COMMAND: A write starts an operation on a binding table, with BIND_KEY, BIND_RECORD and BIND_SESSION
    /// as operands, which may be written anew from then on; while `BIND_STATUS.busy` a further write is ignored. It is
    /// done within microseconds; the search for the next binding takes some 6 cycles for each session that it passes
    /// over.
    pub fn bind_command(&self) -> BindCommand {
        BindCommand::from_bits(self.io.read32(offset::BIND_COMMAND))
    }

    /// Writes BIND_COMMAND: A write starts an operation on a binding table, with BIND_KEY, BIND_RECORD and BIND_SESSION
    /// as operands, which may be written anew from then on; while `BIND_STATUS.busy` a further write is ignored. It is
    /// done within microseconds; the search for the next binding takes some 6 cycles for each session that it passes
    /// over.
    pub fn set_bind_command(&self, value: BindCommand) {
        self.io.write32(offset::BIND_COMMAND, value.bits());
    }

    /// Reads BIND_STATUS: How the last operation ended. What it found is in BIND_KEY, BIND_RECORD and BIND_SESSION.
    pub fn bind_status(&self) -> BindStatus {
        BindStatus::from_bits(self.io.read32(offset::BIND_STATUS))
    }

    /// Reads BIND_SESSION: Number of a binding in its table; it never changes while the binding lives.
    ///
    /// Session, below BUILD4; bits beyond are ignored.
    pub fn bind_session(&self) -> u16 {
        (self.io.read32(offset::BIND_SESSION) & 0xffff) as u16
    }

    /// Writes BIND_SESSION: Number of a binding in its table; it never changes while the binding lives.
    ///
    /// Session, below BUILD4; bits beyond are ignored.
    pub fn set_bind_session(&self, value: u16) {
        self.io.write32(offset::BIND_SESSION, value.into());
    }

    /// Reads BIND_KEY: Key of a binding. Words 0 to 3 source address, lowest word first, IPv4 in word 0; 4 to 7
    /// destination address; 8 source port (bits 15:0) and destination port; 9 protocol or binding group (bits 7:0),
    /// zone (15:8), IP version 6 (16).
    ///
    /// Word.
    ///
    /// # Panics
    /// If `index` is not below 10.
    pub fn bind_key(&self, index: usize) -> u32 {
        assert!(index < 10, "BIND_KEY[{index}]: there are 10");
        self.io.read32(offset::BIND_KEY + 0x4 * index)
    }

    /// Writes BIND_KEY: Key of a binding. Words 0 to 3 source address, lowest word first, IPv4 in word 0; 4 to 7
    /// destination address; 8 source port (bits 15:0) and destination port; 9 protocol or binding group (bits 7:0),
    /// zone (15:8), IP version 6 (16).
    ///
    /// Word.
    ///
    /// # Panics
    /// If `index` is not below 10.
    pub fn set_bind_key(&self, index: usize, value: u32) {
        assert!(index < 10, "BIND_KEY[{index}]: there are 10");
        self.io.write32(offset::BIND_KEY + 0x4 * index, value);
    }

    /// Reads BIND_RECORD0: Record of a binding: where and in which state.
    pub fn bind_record0(&self) -> BindRecord0 {
        BindRecord0::from_bits(self.io.read32(offset::BIND_RECORD0))
    }

    /// Writes BIND_RECORD0: Record of a binding: where and in which state.
    pub fn set_bind_record0(&self, value: BindRecord0) {
        self.io.write32(offset::BIND_RECORD0, value.bits());
    }

    /// Reads BIND_RECORD1: Record of a binding: what made it.
    pub fn bind_record1(&self) -> BindRecord1 {
        BindRecord1::from_bits(self.io.read32(offset::BIND_RECORD1))
    }

    /// Writes BIND_RECORD1: Record of a binding: what made it.
    pub fn set_bind_record1(&self, value: BindRecord1) {
        self.io.write32(offset::BIND_RECORD1, value.bits());
    }

    /// Reads BIND_RECORD2: Record of a binding: when it ends.
    ///
    /// Tick, modulo 65536, of the fast clock for half-open and reset, of the slow clock for all other states.
    pub fn bind_record2(&self) -> u16 {
        (self.io.read32(offset::BIND_RECORD2) & 0xffff) as u16
    }

    /// Writes BIND_RECORD2: Record of a binding: when it ends.
    ///
    /// Tick, modulo 65536, of the fast clock for half-open and reset, of the slow clock for all other states.
    pub fn set_bind_record2(&self, value: u16) {
        self.io.write32(offset::BIND_RECORD2, value.into());
    }

    /// Reads BIND_SECRET: Secret of the hash functions of the binding tables. Takes effect with BIND_FLUSH.
    ///
    /// Word.
    ///
    /// # Panics
    /// If `index` is not below 4.
    pub fn bind_secret(&self, index: usize) -> u32 {
        assert!(index < 4, "BIND_SECRET[{index}]: there are 4");
        self.io.read32(offset::BIND_SECRET + 0x4 * index)
    }

    /// Writes BIND_SECRET: Secret of the hash functions of the binding tables. Takes effect with BIND_FLUSH.
    ///
    /// Word.
    ///
    /// # Panics
    /// If `index` is not below 4.
    pub fn set_bind_secret(&self, index: usize, value: u32) {
        assert!(index < 4, "BIND_SECRET[{index}]: there are 4");
        self.io.write32(offset::BIND_SECRET + 0x4 * index, value);
    }

    /// Writes BIND_FLUSH: Empties both binding tables and takes the secret. While that lasts (`STATUS.bind_ready` is 0)
    /// no packet finds or makes a binding.
    ///
    /// 1 starts.
    pub fn set_bind_flush(&self, value: bool) {
        self.io.write32(offset::BIND_FLUSH, value.into());
    }

    /// Reads BIND_NOW: Both clocks now.
    pub fn bind_now(&self) -> BindNow {
        BindNow::from_bits(self.io.read32(offset::BIND_NOW))
    }

    /// Reads BIND_CENSUS: A write counts the live bindings of each bucket into the table count_live, in one round of
    /// the sweep (milliseconds). A binding that lives all the while is counted once; one that comes, goes or changes
    /// meanwhile may be counted or not. While `busy` a further write is ignored and count_live reads 0.
    pub fn bind_census(&self) -> BindCensus {
        BindCensus::from_bits(self.io.read32(offset::BIND_CENSUS))
    }

    /// Writes BIND_CENSUS: A write counts the live bindings of each bucket into the table count_live, in one round of
    /// the sweep (milliseconds). A binding that lives all the while is counted once; one that comes, goes or changes
    /// meanwhile may be counted or not. While `busy` a further write is ignored and count_live reads 0.
    pub fn set_bind_census(&self, value: BindCensus) {
        self.io.write32(offset::BIND_CENSUS, value.bits());
    }

    /// Reads BIND_CENSUS_STATUS: The census.
    ///
    /// It is under way.
    pub fn bind_census_status(&self) -> bool {
        self.io.read32(offset::BIND_CENSUS_STATUS) & 1 != 0
    }

    /// Reads BINDING.USED: Bindings in the table, those that have ended but are not cleared away yet included. One with
    /// two keys counts once.
    ///
    /// Bindings.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn binding_used(&self, index: usize) -> u32 {
        assert!(index < 2, "BINDING.USED[{index}]: there are 2");
        self.io.read32(offset::BINDING_USED + 0x30 * index)
    }

    /// Reads BINDING.STASH: Keys in the stash.
    ///
    /// Keys.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn binding_stash(&self, index: usize) -> u32 {
        assert!(index < 2, "BINDING.STASH[{index}]: there are 2");
        self.io.read32(offset::BINDING_STASH + 0x30 * index)
    }

    /// Reads BINDING.CREATED: Bindings made.
    ///
    /// Bindings.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn binding_created(&self, index: usize) -> u64 {
        assert!(index < 2, "BINDING.CREATED[{index}]: there are 2");
        self.read64(offset::BINDING_CREATED + 0x30 * index)
    }

    /// Reads BINDING.REMOVED: Bindings that ended: by time, by a packet, by the host.
    ///
    /// Bindings.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn binding_removed(&self, index: usize) -> u64 {
        assert!(index < 2, "BINDING.REMOVED[{index}]: there are 2");
        self.read64(offset::BINDING_REMOVED + 0x30 * index)
    }

    /// Reads BINDING.REFUSED: Bindings that found no room.
    ///
    /// Bindings.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn binding_refused(&self, index: usize) -> u64 {
        assert!(index < 2, "BINDING.REFUSED[{index}]: there are 2");
        self.read64(offset::BINDING_REFUSED + 0x30 * index)
    }

    /// Reads BINDING.MOVES: Keys that the mover displaced.
    ///
    /// Moves.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn binding_moves(&self, index: usize) -> u64 {
        assert!(index < 2, "BINDING.MOVES[{index}]: there are 2");
        self.read64(offset::BINDING_MOVES + 0x30 * index)
    }

    /// Reads BINDING.UNDO_LOST: Bindings of frames with late errors that could not be taken back, because too many came
    /// at once or packets of the same key came all the time; they end by time.
    ///
    /// Bindings, wraps.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn binding_undo_lost(&self, index: usize) -> u32 {
        assert!(index < 2, "BINDING.UNDO_LOST[{index}]: there are 2");
        self.io.read32(offset::BINDING_UNDO_LOST + 0x30 * index)
    }

    /// Reads BINDING.PARITY_ERRORS: Keys, records and flags of targets with wrong parity that were met, by packets or
    /// by the table's own work; one that stays is counted each time.
    ///
    /// Words, wraps.
    ///
    /// # Panics
    /// If `index` is not below 2.
    pub fn binding_parity_errors(&self, index: usize) -> u32 {
        assert!(index < 2, "BINDING.PARITY_ERRORS[{index}]: there are 2");
        self.io.read32(offset::BINDING_PARITY_ERRORS + 0x30 * index)
    }

    /// Reads EVENT_STATUS: The queue of binding events.
    ///
    /// EVENT_WORD holds an event.
    pub fn event_status(&self) -> bool {
        self.io.read32(offset::EVENT_STATUS) & 1 != 0
    }

    /// Reads EVENT_LOST: Events that found the queue full.
    ///
    /// Events, wraps.
    pub fn event_lost(&self) -> u32 {
        self.io.read32(offset::EVENT_LOST)
    }

    /// Writes EVENT_POP: Takes the first event out of the queue.
    ///
    /// 1 takes it.
    pub fn set_event_pop(&self, value: bool) {
        self.io.write32(offset::EVENT_POP, value.into());
    }

    /// Reads EVENT_WORD: The first event. Word 0: its running number, lost events counted; a gap tells how many were
    /// lost. 1: kind (bits 1:0: 0 created, 1 changed, 2 removed, 3 refused), created in the place of one that had
    /// ended, of which no removed event tells (2), affinity table (4), fresh (5), state (10:8), target (25:16). 2:
    /// bucket (11:0), rule (22:16). 3: session (15:0), expires (31:16). 4 to 13: key, as in BIND_KEY.
    ///
    /// Word.
    ///
    /// # Panics
    /// If `index` is not below 14.
    pub fn event_word(&self, index: usize) -> u32 {
        assert!(index < 14, "EVENT_WORD[{index}]: there are 14");
        self.io.read32(offset::EVENT_WORD + 0x4 * index)
    }
}
