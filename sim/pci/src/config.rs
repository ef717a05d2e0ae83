// SPDX-License-Identifier: Apache-2.0
//! Configuration space: identity, BARs, command, capabilities.

use hashgate_device::{DEVICE_ID, VENDOR_ID, Width, config};

/// Bytes of BAR 2: the MSI-X table and its pending bits.
pub const BAR2_BYTES: usize = 4096;
/// MSI-X vectors.
pub const VECTORS: usize = 16;
/// Offset of the pending bits in BAR 2.
pub const PENDING_BITS: usize = 0x800;

/// Address of the capability pointer.
const POINTER: usize = 0x34;
/// PCI Express capability: an endpoint that can reset its function.
const EXPRESS: usize = 0x40;
const DEVICE_CONTROL: usize = EXPRESS + 8;
const INITIATE_FLR: u32 = 1 << 15;
/// MSI-X capability.
pub const MSIX: usize = 0x80;
const MSIX_ENABLE: u32 = 1 << 31;
const MSIX_MASK: u32 = 1 << 30;
/// Power management capability: D0 and D3hot, as every function has them.
const POWER: usize = 0x90;
const POWER_STATE: usize = POWER + 4;
const POWER_STATE_BITS: u32 = 3;
/// What is set stays over D3hot.
const NO_SOFT_RESET: u32 = 1 << 3;
/// States between D0 and D3hot, which the function does not have.
const OTHER_STATES: [u32; 2] = [1, 2];

const COMMAND: usize = config::COMMAND as usize;
const BAR0: usize = config::BAR0 as usize;
const BAR2: usize = BAR0 + 8;
/// Bits of the command register that can be written: memory, bus master, parity response, SERR, INTx disable.
const COMMAND_BITS: u32 = 0x0546;
/// Where BARs would be after enumeration.
const BAR0_ADDRESS: u32 = 0xfe00_0000;
const BAR2_ADDRESS: u32 = 0xfe10_0000;

/// What a write of the configuration space asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    None,
    /// Function-level reset.
    Reset,
}

/// Configuration space of the function.
pub struct ConfigSpace {
    words: [u32; config::SIZE as usize / 4],
    bar0_bytes: u32,
}

impl ConfigSpace {
    /// As after power-up, but with BARs at addresses.
    pub fn new(bar0_bytes: usize) -> ConfigSpace {
        assert!(bar0_bytes.is_power_of_two() && bar0_bytes >= 4096, "BAR 0 of {bar0_bytes} bytes");
        let mut space = ConfigSpace { words: [0; _], bar0_bytes: bar0_bytes as u32 };
        for (offset, value) in [
            (0x00, u32::from(DEVICE_ID) << 16 | u32::from(VENDOR_ID)),
            // The list of capabilities is there.
            (COMMAND, 1 << 20),
            // Ethernet controller, revision 0.
            (0x08, 0x0200_0000),
            (BAR0, BAR0_ADDRESS),
            (BAR2, BAR2_ADDRESS),
            (0x2c, u32::from(DEVICE_ID) << 16 | u32::from(VENDOR_ID)),
            (POINTER, EXPRESS as u32),
            (EXPRESS, 0x0002_0010 | (MSIX as u32) << 8),
            // 256-byte payloads, function-level reset.
            (EXPRESS + 4, 1 << 28 | 1),
            (DEVICE_CONTROL, 1 << 5),
            // 8 GT/s, 16 lanes.
            (EXPRESS + 0xc, 0x103),
            (EXPRESS + 0x10, 0x1103_0000),
            (MSIX, (VECTORS as u32 - 1) << 16 | (POWER as u32) << 8 | 0x11),
            (MSIX + 4, 2),
            (MSIX + 8, PENDING_BITS as u32 | 2),
            (POWER, 0x0003_0001),
            (POWER_STATE, NO_SOFT_RESET),
        ] {
            space.words[offset / 4] = value;
        }
        space
    }

    /// Bits that software can write.
    fn writable(&self, offset: usize) -> u32 {
        match offset {
            COMMAND => COMMAND_BITS,
            0x0c => 0xff,
            // The low bits of a base address do not exist, which is how software finds the size.
            BAR0 => !(self.bar0_bytes - 1),
            BAR2 => !(BAR2_BYTES as u32 - 1),
            0x3c => 0xff,
            // The reset bit reads 0.
            DEVICE_CONTROL => 0x7fff,
            MSIX => MSIX_ENABLE | MSIX_MASK,
            POWER_STATE => POWER_STATE_BITS,
            _ => 0,
        }
    }

    /// Reads; the caller has checked the access.
    pub fn read(&self, offset: u16, width: Width) -> u32 {
        let mask = u32::MAX >> (32 - 8 * u32::from(width.bytes()));
        self.words[usize::from(offset / 4)] >> (8 * u32::from(offset & 3)) & mask
    }

    /// Writes; the caller has checked the access.
    pub fn write(&mut self, offset: u16, width: Width, value: u32) -> Effect {
        let shift = 8 * u32::from(offset & 3);
        let mask = (u32::MAX >> (32 - 8 * u32::from(width.bytes()))) << shift;
        let place = usize::from(offset & !3);
        let value = value << shift & mask;
        let mut bits = self.writable(place) & mask;
        if place == POWER_STATE && OTHER_STATES.contains(&(value & POWER_STATE_BITS)) {
            // The state that is written is taken for none.
            bits = 0;
        }
        let word = &mut self.words[place / 4];
        *word = *word & !bits | value & bits;
        if place == DEVICE_CONTROL && value & INITIATE_FLR != 0 { Effect::Reset } else { Effect::None }
    }

    fn word(&self, offset: usize) -> u32 {
        self.words[offset / 4]
    }

    /// The function answers accesses to its BARs.
    pub fn memory_enabled(&self) -> bool {
        self.is_awake() && self.word(COMMAND) & config::COMMAND_MEMORY != 0
    }

    /// The function may access memory and send messages.
    pub fn bus_master(&self) -> bool {
        self.is_awake() && self.word(COMMAND) & config::COMMAND_BUS_MASTER != 0
    }

    /// In D0. In D3hot only the configuration space answers.
    fn is_awake(&self) -> bool {
        self.word(POWER_STATE) & POWER_STATE_BITS == 0
    }

    /// MSI-X is on.
    pub fn msix_enabled(&self) -> bool {
        self.word(MSIX) & MSIX_ENABLE != 0
    }

    /// All vectors are masked.
    pub fn msix_masked(&self) -> bool {
        self.word(MSIX) & MSIX_MASK != 0
    }

    /// Turns MSI-X on or off, as the kernel does for a driver.
    pub fn enable_msix(&mut self, enable: bool) {
        let word = &mut self.words[MSIX / 4];
        *word = *word & !(MSIX_ENABLE | MSIX_MASK) | if enable { MSIX_ENABLE } else { 0 };
    }

    /// As a function-level reset leaves it: all that software wrote is gone but the addresses of the BARs, which the kernel restores.
    pub fn reset(&mut self) {
        let bars = [self.word(BAR0), self.word(BAR2)];
        *self = ConfigSpace::new(self.bar0_bytes as usize);
        (self.words[BAR0 / 4], self.words[BAR2 / 4]) = (bars[0], bars[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QEMU and the kernel put a function that nobody uses into D3hot, and believe what it says about its state.
    #[test]
    fn in_d3hot_only_the_configuration_space_answers() {
        let mut space = ConfigSpace::new(4096);
        let state = |space: &ConfigSpace| space.read(POWER_STATE as u16, Width::Word);
        space.write(COMMAND as u16, Width::Word, config::COMMAND_MEMORY | config::COMMAND_BUS_MASTER);
        for other in OTHER_STATES {
            space.write(POWER_STATE as u16, Width::Word, other);
            assert_eq!((state(&space), space.memory_enabled()), (NO_SOFT_RESET, true), "D{other}");
        }
        space.write(POWER_STATE as u16, Width::Word, 3);
        assert_eq!((state(&space), space.memory_enabled(), space.bus_master()), (NO_SOFT_RESET | 3, false, false));
        space.write(POWER_STATE as u16, Width::Word, 0);
        assert_eq!((state(&space), space.memory_enabled(), space.bus_master()), (NO_SOFT_RESET, true, true));
        space.write(POWER_STATE as u16, Width::Word, 3);
        space.reset();
        assert_eq!(state(&space), NO_SOFT_RESET);
    }
}
