// SPDX-License-Identifier: Apache-2.0
//! Where things are in the second page of BAR 0: the registers of the host interface, as docs/host_interface.md has them.

/// Bytes of BAR 0: the page of the core and that of the host interface.
pub const BAR0_BYTES: usize = 0x2000;
/// Receive rings for data; they have the numbers from 0 on.
pub const DATA_QUEUES: usize = 8;
/// Number of the receive ring for control frames.
pub const CONTROL_RX: usize = 8;
/// Number of the transmit ring for data.
pub const DATA_TX: usize = 9;
/// Number of the transmit ring for control frames.
pub const CONTROL_TX: usize = 10;
/// Number of the ring of binding events.
pub const EVENTS: usize = 11;
/// Number of the ring of the table mover.
pub const MOVER: usize = 12;
/// Rings.
pub const RINGS: usize = 13;
/// MSI-X vectors: vector n belongs to ring n.
pub const VECTORS: usize = 16;
/// Vector of faults.
pub const FAULT_VECTOR: usize = 15;
/// Value of [`HOST_ID`]: "HGDM" in ASCII.
pub const ID: u32 = 0x4847_444d;
/// Value of [`HOST_BUILD`] of this interface.
pub const BUILD: u32 = (VECTORS << 16 | RINGS << 8 | DATA_QUEUES) as u32;

/// Identifies the host interface.
pub const HOST_ID: usize = 0x1000;
/// Bits 7:0 data receive rings, 15:8 rings, 23:16 vectors.
pub const HOST_BUILD: usize = 0x1004;
/// Bit 0: write 1 to reset the host side.
pub const HOST_RESET: usize = 0x1008;
/// State: `STATUS_...`.
pub const HOST_STATUS: usize = 0x100c;
/// Bit of [`HOST_STATUS`]: a reset of the host side is under way.
pub const STATUS_RESETTING: u32 = 1;
/// Bit of [`HOST_STATUS`]: memory does not answer.
pub const STATUS_STUCK: u32 = 2;
/// Bit of [`HOST_STATUS`]: transfers are under way.
pub const STATUS_BUSY: u32 = 4;
/// Bit per halted ring; write 1 to clear.
pub const RING_FAULT: usize = 0x1010;
/// Bit per ring that is enabled or has transfers under way.
pub const RING_RUNNING: usize = 0x1014;
/// Address of the first failed transfer, 64 bit.
pub const FAULT_ADDRESS: usize = 0x1018;
/// Transmit descriptors that were skipped; wraps.
pub const TX_BAD: usize = 0x1020;
/// First of 8 registers: a nibble per reason with its queue, 15 for none.
pub const REASON_QUEUE: usize = 0x1040;
/// First of 16 registers: a nibble with the queue for each value of bucket[6:0].
pub const SPREAD: usize = 0x1080;

/// Registers of a ring; they lie from [`ring`](fn@ring) on.
pub mod ring {
    /// Bit 0: enable.
    pub const CONTROL: usize = 0x00;
    /// 3:0 `SIZE_LOG2`, 31:16 `BUFFER_BYTES` / 64.
    pub const SIZE: usize = 0x04;
    /// Address of the descriptors, 64 bit.
    pub const BASE: usize = 0x08;
    /// Address of the answers, 64 bit.
    pub const ANSWERS: usize = 0x10;
    /// Doorbell: index behind the last descriptor.
    pub const PRODUCER: usize = 0x18;
    /// Descriptors taken.
    pub const CONSUMER: usize = 0x1c;
    /// 23:0 holdoff in core clocks, 31:24 count.
    pub const MODERATION: usize = 0x20;
    /// 15:0 index, bit 16 arm.
    pub const INTERRUPT: usize = 0x24;
    /// Bit of [`INTERRUPT`] that arms.
    pub const ARM: u32 = 1 << 16;
    /// Frames that found no descriptor.
    pub const DROPPED_FULL: usize = 0x28;
    /// Frames that came while the ring was down.
    pub const DROPPED_DOWN: usize = 0x2c;
    /// Frames longer than a buffer.
    pub const DROPPED_LONG: usize = 0x30;
    /// Frames that were aborted.
    pub const DROPPED_ABORTED: usize = 0x34;
}

/// Offset of the registers of ring `number`.
pub const fn ring(number: usize) -> usize {
    0x1400 + 0x40 * number
}
