// SPDX-License-Identifier: Apache-2.0
//! The simulated NIC as a PCI function.

use crate::SimNic;
use hashgate_pci_sim::{Bus, Function};

/// A simulated NIC as a PCI device of the same process.
pub type InProcess = hashgate_pci_sim::InProcess<SimNic>;

/// Bytes of BAR 0 of the core alone: its registers.
pub const BAR0_BYTES: usize = 4096;

impl Function for SimNic {
    fn bar0_bytes(&self) -> usize {
        if self.has_host_interface() { 2 * BAR0_BYTES } else { BAR0_BYTES }
    }

    fn read_register(&mut self, offset: usize, bus: &dyn Bus) -> u32 {
        self.read_register_on(offset as u16, bus)
    }

    fn write_register(&mut self, offset: usize, value: u32, bus: &dyn Bus) {
        self.write_register_on(offset as u16, value, bus);
    }

    fn step(&mut self, bus: &dyn Bus) {
        self.step_on(bus);
    }

    fn is_idle(&self) -> bool {
        SimNic::is_idle(self)
    }

    fn reset_host_side(&mut self, bus: &dyn Bus) {
        if self.has_host_interface() {
            self.reset_host_side_on(bus);
        }
    }
}
