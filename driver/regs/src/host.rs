// SPDX-License-Identifier: Apache-2.0
//! Numbers of the host interface, docs/host_interface.md: rings by name, and the generated offsets of its registers ring by ring.

use crate::host_registers::{offset, reset};

pub use crate::host_registers::offset::{
    FAULT_ADDRESS, HOST_BUILD, HOST_ID, HOST_RESET, HOST_STATUS, REASON_QUEUE, RING_FAULT, RING_RUNNING, SPREAD, TX_BAD,
};

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
pub const ID: u32 = reset::HOST_ID;
/// Value of [`HOST_BUILD`] of this interface.
pub const BUILD: u32 = reset::HOST_BUILD;

/// Bit of [`HOST_STATUS`]: a reset of the host side is under way.
pub const STATUS_RESETTING: u32 = 1;
/// Bit of [`HOST_STATUS`]: memory does not answer.
pub const STATUS_STUCK: u32 = 2;
/// Bit of [`HOST_STATUS`]: transfers are under way.
pub const STATUS_BUSY: u32 = 4;

/// Registers of a ring; they lie from [`ring`](fn@ring) on.
pub mod ring {
    use super::{FIRST_RING, offset};

    /// Bit 0: enable.
    pub const CONTROL: usize = offset::RING_CONTROL - FIRST_RING;
    /// 3:0 `SIZE_LOG2`, 31:16 `BUFFER_BYTES` / 64.
    pub const SIZE: usize = offset::RING_SIZE - FIRST_RING;
    /// Address of the descriptors, 64 bit.
    pub const BASE: usize = offset::RING_BASE - FIRST_RING;
    /// Address of the answers, 64 bit.
    pub const ANSWERS: usize = offset::RING_ANSWERS - FIRST_RING;
    /// Doorbell: index behind the last descriptor.
    pub const PRODUCER: usize = offset::RING_PRODUCER - FIRST_RING;
    /// Descriptors taken.
    pub const CONSUMER: usize = offset::RING_CONSUMER - FIRST_RING;
    /// 23:0 holdoff in core clocks, 31:24 count.
    pub const MODERATION: usize = offset::RING_MODERATION - FIRST_RING;
    /// 15:0 index, bit 16 arm.
    pub const INTERRUPT: usize = offset::RING_INTERRUPT - FIRST_RING;
    /// Bit of [`INTERRUPT`] that arms.
    pub const ARM: u32 = 1 << 16;
    /// Frames that found no descriptor.
    pub const DROPPED_FULL: usize = offset::RING_DROPPED_FULL - FIRST_RING;
    /// Frames that came while the ring was down.
    pub const DROPPED_DOWN: usize = offset::RING_DROPPED_DOWN - FIRST_RING;
    /// Frames longer than a buffer.
    pub const DROPPED_LONG: usize = offset::RING_DROPPED_LONG - FIRST_RING;
    /// Frames that were aborted.
    pub const DROPPED_ABORTED: usize = offset::RING_DROPPED_ABORTED - FIRST_RING;
}

/// Offset of ring 0.
const FIRST_RING: usize = offset::RING_CONTROL;
/// Bytes from the registers of a ring to those of the next.
const RING_STRIDE: usize = 0x40;

/// Offset of the registers of ring `number`.
pub const fn ring(number: usize) -> usize {
    FIRST_RING + RING_STRIDE * number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostRegisters, RegisterIo};
    use std::cell::RefCell;

    #[test]
    fn rings_are_where_the_registers_are() {
        #[derive(Default)]
        struct Seen(RefCell<Vec<usize>>);
        impl RegisterIo for Seen {
            fn read32(&self, offset: usize) -> u32 {
                self.0.borrow_mut().push(offset);
                0
            }
            fn write32(&self, _: usize, _: u32) {}
        }
        let registers = HostRegisters::new(Seen::default());
        let enabled = (0..RINGS).filter(|number| registers.ring_control(*number)).count();
        assert_eq!(enabled, 0);
        assert_eq!(
            *registers.io().0.borrow(),
            (0..RINGS).map(|number| ring(number) + ring::CONTROL).collect::<Vec<_>>()
        );
        assert_eq!(BUILD, (VECTORS << 16 | RINGS << 8 | DATA_QUEUES) as u32);
    }
}
