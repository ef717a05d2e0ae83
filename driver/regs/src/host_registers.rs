// SPDX-License-Identifier: Apache-2.0
//! Registers of the host interface of a Hashgate NIC (BAR 0 from 0x1000, 4 KiB, 32-bit accesses): rings, DMA and
//! interrupts. 64-bit registers are two words; of those that are written each word takes effect at once, of those that
//! are only read the low word is read first, which latches the high one. Addresses without a register read 0 and ignore
//! writes; writes of less than a word have no effect.
//!
//! Made by hw/regs/generate.sh from hw/regs/host.rdl; do not edit.

use crate::RegisterIo;

/// Byte offsets in BAR 0; of arrays that of the first.
pub mod offset {
    /// HOST_ID.
    pub const HOST_ID: usize = 0x1000;
    /// HOST_BUILD.
    pub const HOST_BUILD: usize = 0x1004;
    /// HOST_RESET.
    pub const HOST_RESET: usize = 0x1008;
    /// HOST_STATUS.
    pub const HOST_STATUS: usize = 0x100c;
    /// RING_FAULT.
    pub const RING_FAULT: usize = 0x1010;
    /// RING_RUNNING.
    pub const RING_RUNNING: usize = 0x1014;
    /// FAULT_ADDRESS.
    pub const FAULT_ADDRESS: usize = 0x1018;
    /// TX_BAD.
    pub const TX_BAD: usize = 0x1020;
    /// REASON_QUEUE.
    pub const REASON_QUEUE: usize = 0x1040;
    /// SPREAD.
    pub const SPREAD: usize = 0x1080;
    /// RING.CONTROL.
    pub const RING_CONTROL: usize = 0x1400;
    /// RING.SIZE.
    pub const RING_SIZE: usize = 0x1404;
    /// RING.BASE.
    pub const RING_BASE: usize = 0x1408;
    /// RING.ANSWERS.
    pub const RING_ANSWERS: usize = 0x1410;
    /// RING.PRODUCER.
    pub const RING_PRODUCER: usize = 0x1418;
    /// RING.CONSUMER.
    pub const RING_CONSUMER: usize = 0x141c;
    /// RING.MODERATION.
    pub const RING_MODERATION: usize = 0x1420;
    /// RING.INTERRUPT.
    pub const RING_INTERRUPT: usize = 0x1424;
    /// RING.DROPPED_FULL.
    pub const RING_DROPPED_FULL: usize = 0x1428;
    /// RING.DROPPED_DOWN.
    pub const RING_DROPPED_DOWN: usize = 0x142c;
    /// RING.DROPPED_LONG.
    pub const RING_DROPPED_LONG: usize = 0x1430;
    /// RING.DROPPED_ABORTED.
    pub const RING_DROPPED_ABORTED: usize = 0x1434;
}

/// Reset values of registers that do not start as 0.
pub mod reset {
    /// HOST_ID.
    pub const HOST_ID: u32 = 0x4847444d;
    /// HOST_BUILD.
    pub const HOST_BUILD: u32 = 0x100d08;
    /// REASON_QUEUE.
    pub const REASON_QUEUE: u32 = 0xffffffff;
}

/// HOST_BUILD: What the host interface has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostBuild {
    /// Receive rings for data.
    pub receive_rings: u8,
    /// Rings.
    pub rings: u8,
    /// Interrupt vectors.
    pub vectors: u8,
}

impl HostBuild {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            receive_rings: (bits & 0xff) as u8,
            rings: ((bits >> 8) & 0xff) as u8,
            vectors: ((bits >> 16) & 0xff) as u8,
        }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.receive_rings as u32 | ((self.rings as u32) << 8) | ((self.vectors as u32) << 16)
    }
}

/// HOST_STATUS: State of the host interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStatus {
    /// A reset waits for transfers under way; rings cannot be enabled.
    pub resetting: bool,
    /// The memory did not answer within 2^20 cycles of a reset. Stays until it has answered or the NIC as a whole is
    /// reset.
    pub stuck: bool,
    /// Any transfer of the AXI4 master is under way.
    pub busy: bool,
}

impl HostStatus {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { resetting: bits & 0x1 != 0, stuck: bits & 0x2 != 0, busy: bits & 0x4 != 0 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.resetting as u32 | ((self.stuck as u32) << 1) | ((self.busy as u32) << 2)
    }
}

/// RING.SIZE: Size of the ring and of its buffers. Writes are ignored while the ring is running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSize {
    /// Binary logarithm of the entries, 4 to 15.
    pub size_log2: u8,
    /// Receive: bytes of each buffer, divided by 64; 1 to 256.
    pub buffer_units: u16,
}

impl RingSize {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { size_log2: (bits & 0xf) as u8, buffer_units: (bits >> 16) as u16 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        (self.size_log2 as u32 & 0xf) | ((self.buffer_units as u32) << 16)
    }
}

/// RING.MODERATION: When the interrupt is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingModeration {
    /// The longest time that an answer waits for more, in core clocks.
    pub holdoff: u32,
    /// Answers that are enough at once; 0 acts as 1.
    pub count: u8,
}

impl RingModeration {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { holdoff: bits & 0xffffff, count: (bits >> 24) as u8 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        (self.holdoff & 0xffffff) | ((self.count as u32) << 24)
    }
}

/// RING.INTERRUPT: The next interrupt of the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingInterrupt {
    /// Index of the answer that the host will look at next.
    pub index: u16,
    /// Writing 1 arms, asking or disabling the ring disarms; reads 1 while armed.
    pub arm: bool,
}

impl RingInterrupt {
    /// From the bits of the register; reserved bits are ignored.
    pub const fn from_bits(bits: u32) -> Self {
        Self { index: (bits & 0xffff) as u16, arm: bits & 0x10000 != 0 }
    }

    /// The bits of the register. Bits of a value beyond the width of its field are cut.
    pub const fn bits(self) -> u32 {
        self.index as u32 | ((self.arm as u32) << 16)
    }
}

/// The registers, reached through `io`.
#[derive(Clone, Debug)]
pub struct HostRegisters<IO> {
    io: IO,
}

impl<IO: RegisterIo> HostRegisters<IO> {
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

    /// Reads HOST_ID: Tells that this is the host interface of a Hashgate NIC.
    ///
    /// ASCII `HGDM`.
    pub fn host_id(&self) -> u32 {
        self.io.read32(offset::HOST_ID)
    }

    /// Reads HOST_BUILD: What the host interface has.
    pub fn host_build(&self) -> HostBuild {
        HostBuild::from_bits(self.io.read32(offset::HOST_BUILD))
    }

    /// Writes HOST_RESET: Reset of the host side.
    ///
    /// Writing 1 clears rings, DMA and interrupts, and gives all registers here their reset values, once this write is
    /// answered. Tables, bindings, lease, counters of the core and the wire path go on.
    pub fn set_host_reset(&self, value: bool) {
        self.io.write32(offset::HOST_RESET, value.into());
    }

    /// Reads HOST_STATUS: State of the host interface.
    pub fn host_status(&self) -> HostStatus {
        HostStatus::from_bits(self.io.read32(offset::HOST_STATUS))
    }

    /// Reads RING_FAULT: Rings that were halted by an error response, an impossible index or an impossible size; a bit
    /// stays until 1 is written to it. A halted ring goes on after it was disabled, its bit cleared, and it is enabled
    /// again.
    ///
    /// Bit n: ring n.
    pub fn ring_fault(&self) -> u16 {
        (self.io.read32(offset::RING_FAULT) & 0x1fff) as u16
    }

    /// Writes RING_FAULT: Rings that were halted by an error response, an impossible index or an impossible size; a bit
    /// stays until 1 is written to it. A halted ring goes on after it was disabled, its bit cleared, and it is enabled
    /// again.
    ///
    /// Bit n: ring n.
    pub fn set_ring_fault(&self, value: u16) {
        self.io.write32(offset::RING_FAULT, value.into());
    }

    /// Reads RING_RUNNING: Rings that are enabled or have transfers under way.
    ///
    /// Bit n: ring n.
    pub fn ring_running(&self) -> u16 {
        (self.io.read32(offset::RING_RUNNING) & 0x1fff) as u16
    }

    /// Reads FAULT_ADDRESS: Address of the first transfer that failed since RING_FAULT was 0; of several bursts that of
    /// the burst.
    ///
    /// Address (IOVA).
    pub fn fault_address(&self) -> u64 {
        self.read64(offset::FAULT_ADDRESS)
    }

    /// Reads TX_BAD: Transmit descriptors that were skipped because of an impossible length or port.
    ///
    /// Descriptors, wraps.
    pub fn tx_bad(&self) -> u32 {
        self.io.read32(offset::TX_BAD)
    }

    /// Reads REASON_QUEUE: Receive ring of a frame by its reason: register i has a nibble for each of the reasons 8 i
    /// to 8 i + 7, the lowest first. 0 to 7: that ring; 15: by bucket or queue. Others act as 15.
    ///
    /// Nibbles.
    ///
    /// # Panics
    /// If `index` is not below 8.
    pub fn reason_queue(&self, index: usize) -> u32 {
        assert!(index < 8, "REASON_QUEUE[{index}]: there are 8");
        self.io.read32(offset::REASON_QUEUE + 0x4 * index)
    }

    /// Writes REASON_QUEUE: Receive ring of a frame by its reason: register i has a nibble for each of the reasons 8 i
    /// to 8 i + 7, the lowest first. 0 to 7: that ring; 15: by bucket or queue. Others act as 15.
    ///
    /// Nibbles.
    ///
    /// # Panics
    /// If `index` is not below 8.
    pub fn set_reason_queue(&self, index: usize, value: u32) {
        assert!(index < 8, "REASON_QUEUE[{index}]: there are 8");
        self.io.write32(offset::REASON_QUEUE + 0x4 * index, value);
    }

    /// Reads SPREAD: Receive ring of a frame by bits 6:0 of its bucket: register i has a nibble for each of the values
    /// 8 i to 8 i + 7, the lowest first; only its low 3 bits count.
    ///
    /// Nibbles.
    ///
    /// # Panics
    /// If `index` is not below 16.
    pub fn spread(&self, index: usize) -> u32 {
        assert!(index < 16, "SPREAD[{index}]: there are 16");
        self.io.read32(offset::SPREAD + 0x4 * index)
    }

    /// Writes SPREAD: Receive ring of a frame by bits 6:0 of its bucket: register i has a nibble for each of the values
    /// 8 i to 8 i + 7, the lowest first; only its low 3 bits count.
    ///
    /// Nibbles.
    ///
    /// # Panics
    /// If `index` is not below 16.
    pub fn set_spread(&self, index: usize, value: u32) {
        assert!(index < 16, "SPREAD[{index}]: there are 16");
        self.io.write32(offset::SPREAD + 0x4 * index, value);
    }

    /// Reads RING.CONTROL: Ring on or off. Enabling starts its indices and drop counters (but DROPPED_DOWN) at 0. Set
    /// the other registers before.
    ///
    /// The ring is in use. Cannot be set while the host side is resetting.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_control(&self, index: usize) -> bool {
        assert!(index < 13, "RING.CONTROL[{index}]: there are 13");
        self.io.read32(offset::RING_CONTROL + 0x40 * index) & 1 != 0
    }

    /// Writes RING.CONTROL: Ring on or off. Enabling starts its indices and drop counters (but DROPPED_DOWN) at 0. Set
    /// the other registers before.
    ///
    /// The ring is in use. Cannot be set while the host side is resetting.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn set_ring_control(&self, index: usize, value: bool) {
        assert!(index < 13, "RING.CONTROL[{index}]: there are 13");
        self.io.write32(offset::RING_CONTROL + 0x40 * index, value.into());
    }

    /// Reads RING.SIZE: Size of the ring and of its buffers. Writes are ignored while the ring is running.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_size(&self, index: usize) -> RingSize {
        assert!(index < 13, "RING.SIZE[{index}]: there are 13");
        RingSize::from_bits(self.io.read32(offset::RING_SIZE + 0x40 * index))
    }

    /// Writes RING.SIZE: Size of the ring and of its buffers. Writes are ignored while the ring is running.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn set_ring_size(&self, index: usize, value: RingSize) {
        assert!(index < 13, "RING.SIZE[{index}]: there are 13");
        self.io.write32(offset::RING_SIZE + 0x40 * index, value.bits());
    }

    /// Reads RING.BASE: Address (IOVA) of the descriptors, a multiple of 4096. Writes are ignored while the ring is
    /// running.
    ///
    /// Both words.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_base(&self, index: usize) -> u64 {
        assert!(index < 13, "RING.BASE[{index}]: there are 13");
        self.read64(offset::RING_BASE + 0x40 * index)
    }

    /// Writes RING.BASE: Address (IOVA) of the descriptors, a multiple of 4096. Writes are ignored while the ring is
    /// running.
    ///
    /// Both words.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn set_ring_base(&self, index: usize, value: u64) {
        assert!(index < 13, "RING.BASE[{index}]: there are 13");
        self.write64(offset::RING_BASE + 0x40 * index, value);
    }

    /// Reads RING.ANSWERS: Address (IOVA) of the answers, a multiple of 4096; of the index of a transmit ring, a
    /// multiple of 64. Writes are ignored while the ring is running.
    ///
    /// Both words.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_answers(&self, index: usize) -> u64 {
        assert!(index < 13, "RING.ANSWERS[{index}]: there are 13");
        self.read64(offset::RING_ANSWERS + 0x40 * index)
    }

    /// Writes RING.ANSWERS: Address (IOVA) of the answers, a multiple of 4096; of the index of a transmit ring, a
    /// multiple of 64. Writes are ignored while the ring is running.
    ///
    /// Both words.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn set_ring_answers(&self, index: usize, value: u64) {
        assert!(index < 13, "RING.ANSWERS[{index}]: there are 13");
        self.write64(offset::RING_ANSWERS + 0x40 * index, value);
    }

    /// Reads RING.PRODUCER: Doorbell: index behind the last descriptor that is filled; events: number of events that
    /// may have been written in total. Ignored while the ring is not running. An index that goes back or leaves more
    /// than the size with the NIC halts the ring.
    ///
    /// Index.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_producer(&self, index: usize) -> u16 {
        assert!(index < 13, "RING.PRODUCER[{index}]: there are 13");
        (self.io.read32(offset::RING_PRODUCER + 0x40 * index) & 0xffff) as u16
    }

    /// Writes RING.PRODUCER: Doorbell: index behind the last descriptor that is filled; events: number of events that
    /// may have been written in total. Ignored while the ring is not running. An index that goes back or leaves more
    /// than the size with the NIC halts the ring.
    ///
    /// Index.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn set_ring_producer(&self, index: usize, value: u16) {
        assert!(index < 13, "RING.PRODUCER[{index}]: there are 13");
        self.io.write32(offset::RING_PRODUCER + 0x40 * index, value.into());
    }

    /// Reads RING.CONSUMER: How far the NIC is: descriptors whose buffer holds a frame, whose frame was read or whose
    /// command was done; events written.
    ///
    /// Index.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_consumer(&self, index: usize) -> u16 {
        assert!(index < 13, "RING.CONSUMER[{index}]: there are 13");
        (self.io.read32(offset::RING_CONSUMER + 0x40 * index) & 0xffff) as u16
    }

    /// Reads RING.MODERATION: When the interrupt is asked for.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_moderation(&self, index: usize) -> RingModeration {
        assert!(index < 13, "RING.MODERATION[{index}]: there are 13");
        RingModeration::from_bits(self.io.read32(offset::RING_MODERATION + 0x40 * index))
    }

    /// Writes RING.MODERATION: When the interrupt is asked for.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn set_ring_moderation(&self, index: usize, value: RingModeration) {
        assert!(index < 13, "RING.MODERATION[{index}]: there are 13");
        self.io.write32(offset::RING_MODERATION + 0x40 * index, value.bits());
    }

    /// Reads RING.INTERRUPT: The next interrupt of the ring.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_interrupt(&self, index: usize) -> RingInterrupt {
        assert!(index < 13, "RING.INTERRUPT[{index}]: there are 13");
        RingInterrupt::from_bits(self.io.read32(offset::RING_INTERRUPT + 0x40 * index))
    }

    /// Writes RING.INTERRUPT: The next interrupt of the ring.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn set_ring_interrupt(&self, index: usize, value: RingInterrupt) {
        assert!(index < 13, "RING.INTERRUPT[{index}]: there are 13");
        self.io.write32(offset::RING_INTERRUPT + 0x40 * index, value.bits());
    }

    /// Reads RING.DROPPED_FULL: Receive: frames dropped because there was no descriptor.
    ///
    /// Frames, wraps.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_dropped_full(&self, index: usize) -> u32 {
        assert!(index < 13, "RING.DROPPED_FULL[{index}]: there are 13");
        self.io.read32(offset::RING_DROPPED_FULL + 0x40 * index)
    }

    /// Reads RING.DROPPED_DOWN: Receive: frames dropped because the ring was not enabled or was halted, before their
    /// completion was written. Enabling does not clear it.
    ///
    /// Frames, wraps.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_dropped_down(&self, index: usize) -> u32 {
        assert!(index < 13, "RING.DROPPED_DOWN[{index}]: there are 13");
        self.io.read32(offset::RING_DROPPED_DOWN + 0x40 * index)
    }

    /// Reads RING.DROPPED_LONG: Receive: frames dropped because they were longer than a buffer.
    ///
    /// Frames, wraps.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_dropped_long(&self, index: usize) -> u32 {
        assert!(index < 13, "RING.DROPPED_LONG[{index}]: there are 13");
        self.io.read32(offset::RING_DROPPED_LONG + 0x40 * index)
    }

    /// Reads RING.DROPPED_ABORTED: Receive: frames dropped because they were aborted with their last beat.
    ///
    /// Frames, wraps.
    ///
    /// # Panics
    /// If `index` is not below 13.
    pub fn ring_dropped_aborted(&self, index: usize) -> u32 {
        assert!(index < 13, "RING.DROPPED_ABORTED[{index}]: there are 13");
        self.io.read32(offset::RING_DROPPED_ABORTED + 0x40 * index)
    }
}
