// SPDX-License-Identifier: Apache-2.0
//! What the host path counts. All counts are since it was started and never go back.

use serde::{Deserialize, Serialize};

/// From the NIC to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RxStats {
    /// Frames that the kernel took.
    pub frames: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Dropped: the TAP device had no room.
    pub tap_full: u64,
    /// Dropped: the TAP device is down.
    pub tap_down: u64,
    /// Dropped: the kernel refused the frame.
    pub tap_refused: u64,
    /// Frames that got the MAC of the TAP device as their destination.
    pub readdressed: u64,
}

/// From the kernel to the NIC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxStats {
    /// Frames that were put into the transmit ring.
    pub frames: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// How often the ring was full, so that the TAP device was not read.
    pub stalls: u64,
    /// Dropped: shorter than 14 or longer than 9022 bytes.
    pub bad_length: u64,
    /// Frames that were in the ring when it had to be started again: they may or may not have been sent.
    pub uncertain: u64,
}

/// Frames of the reserved ring, and what controllers did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlStats {
    /// Heartbeats that a controller got.
    pub heard: u64,
    /// Heartbeats dropped: there was no controller.
    pub no_controller: u64,
    /// Heartbeats dropped: the controller did not read.
    pub controller_slow: u64,
    /// Frames of controllers that were put into the control transmit ring.
    pub sent: u64,
    /// Frames of controllers dropped: the ring was full or down.
    pub tx_full: u64,
    /// Frames of controllers dropped: a length or a port that is not possible.
    pub bad_frame: u64,
    /// Controllers that came.
    pub controllers: u64,
    /// Controllers that were let go because of what they sent.
    pub complaints: u64,
    /// Requests of controllers.
    pub requests: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// What went wrong with a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingTrouble {
    /// Times that it was started again.
    pub restarts: u64,
    /// Times that the NIC has halted it.
    pub faults: u64,
    /// Times that the NIC wrote what cannot be.
    pub violations: u64,
}

/// Frames for the host that the NIC dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicDrops {
    /// There was no buffer: the host path was too slow.
    pub full: u64,
    /// The ring was down, while this host path had the device.
    pub down: u64,
    /// Longer than a buffer.
    pub long: u64,
    /// Aborted by the NIC itself.
    pub aborted: u64,
    /// "Host down": dropped before this host path came, since the last reset of the host side.
    pub host_down: u64,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// From the NIC to the kernel.
    pub rx: RxStats,
    /// From the kernel to the NIC.
    pub tx: TxStats,
    /// Reserved ring and controllers.
    pub control: ControlStats,
    /// Drops of the NIC.
    pub nic: NicDrops,
    /// All rings together.
    pub rings: RingTrouble,
    /// Resets of the host side or of the whole NIC by somebody else.
    pub resets_seen: u64,
    /// Times that a ring had frames and its interrupt did not come within half a second.
    pub lost_interrupts: u64,
    /// Times that there was nothing to do, so that the process slept.
    pub sleeps: u64,
    /// Register reads: none for a frame.
    pub mmio_reads: u64,
    /// Register writes: doorbells, arming and set-up.
    pub mmio_writes: u64,
}
