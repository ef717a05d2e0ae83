// SPDX-License-Identifier: Apache-2.0
//! Which registers a controller may write. It may read all of them.

use hashgate_regs::host::{
    EVENTS, HOST_BUILD, HOST_ID, HOST_RESET, HOST_STATUS, MOVER, REASON_QUEUE, RING_FAULT, RING_RUNNING, RINGS, SPREAD,
    TX_BAD, ring,
};
use hashgate_regs::registers::offset;

/// Rings that a controller gets, a bit for each: events and table mover.
pub const LENT_RINGS: u32 = 1 << EVENTS | 1 << MOVER;
/// Where the registers of the host interface begin; below are those of the core.
const HOST_PAGE: usize = 0x1000;
/// Bytes of the registers of a ring.
const RING_BYTES: usize = 0x40;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is done.
    Pass,
    /// It resets the whole NIC.
    FullReset,
    /// It enables a ring that is lent, whose place has to be looked at before.
    Enable(usize),
    /// It stops a ring that is lent.
    Disable(usize),
    /// It clears faults of rings that are lent.
    ClearFaults(u32),
    /// It is the host path's.
    Refuse,
}

/// Decides on a write of `value` to the register at `at`.
pub fn decide(at: usize, value: u32) -> Write {
    match at {
        offset::FULL_RESET if value & 1 == 1 => Write::FullReset,
        0..HOST_PAGE => Write::Pass,
        RING_FAULT if value & !LENT_RINGS == 0 => Write::ClearFaults(value),
        _ => {
            let Some(number) = ring_of(at).filter(|number| LENT_RINGS >> number & 1 == 1) else { return Write::Refuse };
            match (at - ring(number), value & 1) {
                (ring::CONTROL, 1) => Write::Enable(number),
                (ring::CONTROL, _) => Write::Disable(number),
                _ => Write::Pass,
            }
        }
    }
}

/// The ring that a register belongs to.
fn ring_of(at: usize) -> Option<usize> {
    at.checked_sub(ring(0)).map(|at| at / RING_BYTES).filter(|number| *number < RINGS)
}

/// Bytes of a descriptor and of an answer of a ring that is lent.
pub fn entry_bytes(number: usize) -> (u64, u64) {
    if number == MOVER { (32, 16) } else { (0, 64) }
}

/// Name of the register at `at`, as docs/host_interface.md has it.
pub fn register_name(at: usize) -> String {
    if let Some(number) = ring_of(at) {
        let name = match (at - ring(0)) % RING_BYTES {
            ring::CONTROL => "RING_CONTROL",
            ring::SIZE => "RING_SIZE",
            0x08 | 0x0c => "BASE",
            0x10 | 0x14 => "ANSWERS",
            ring::PRODUCER => "PRODUCER",
            ring::CONSUMER => "CONSUMER",
            ring::MODERATION => "MODERATION",
            ring::INTERRUPT => "INTERRUPT",
            _ => "a counter",
        };
        return format!("{name} of ring {number}");
    }
    match at {
        HOST_ID => "HOST_ID".into(),
        HOST_BUILD => "HOST_BUILD".into(),
        HOST_RESET => "HOST_RESET".into(),
        HOST_STATUS => "HOST_STATUS".into(),
        RING_FAULT => "RING_FAULT".into(),
        RING_RUNNING => "RING_RUNNING".into(),
        TX_BAD => "TX_BAD".into(),
        _ if (REASON_QUEUE..REASON_QUEUE + 32).contains(&at) => "REASON_QUEUE".into(),
        _ if (SPREAD..SPREAD + 64).contains(&at) => "SPREAD".into(),
        _ => format!("the register at {at:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashgate_regs::host::{CONTROL_RX, CONTROL_TX, DATA_TX};

    #[test]
    fn a_controller_writes_the_core_and_its_two_rings_only() {
        for at in (0..HOST_PAGE).step_by(4) {
            assert!(matches!(decide(at, 0xffff_ffff), Write::Pass | Write::FullReset), "{at:#x}");
        }
        assert_eq!(decide(offset::FULL_RESET, 1), Write::FullReset);
        for at in (HOST_PAGE..2 * HOST_PAGE).step_by(4) {
            let lent = [EVENTS, MOVER].iter().any(|number| (ring(*number)..ring(*number) + RING_BYTES).contains(&at));
            assert_eq!(decide(at, 0xffff_ffff) == Write::Refuse, !lent, "{at:#x}: {}", register_name(at));
        }
        for number in (0..8).chain([CONTROL_RX, DATA_TX, CONTROL_TX]) {
            assert_eq!(decide(ring(number) + ring::PRODUCER, 1), Write::Refuse);
            assert_eq!(decide(RING_FAULT, 1 << number), Write::Refuse);
        }
        assert_eq!(decide(RING_FAULT, 1 << MOVER), Write::ClearFaults(1 << MOVER));
        assert_eq!(decide(ring(MOVER), 1), Write::Enable(MOVER));
        assert_eq!(decide(ring(EVENTS), 0), Write::Disable(EVENTS));
        assert_eq!(decide(ring(EVENTS) + ring::PRODUCER, 7), Write::Pass);
    }

    #[test]
    fn registers_have_the_names_of_the_contract() {
        assert_eq!(register_name(ring(3) + ring::PRODUCER), "PRODUCER of ring 3");
        assert_eq!(register_name(HOST_RESET), "HOST_RESET");
        assert_eq!(register_name(SPREAD + 8), "SPREAD");
    }
}
