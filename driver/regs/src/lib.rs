// SPDX-License-Identifier: Apache-2.0
//! What driver and NIC agree on, generated from the definitions the RTL is generated from.
//!
//! * [`defs`]: verdicts, reasons, tables and entry layouts (`hw/defs/hashgate.toml`).
//! * [`host`]: rings of the host interface by name and number (docs/host_interface.md).
//! * [`registers`]: registers and typed access to them (`hw/regs/hashgate.rdl`), over any [`RegisterIo`].
//! * [`host_registers`]: the same for the host interface (`hw/regs/host.rdl`): rings, DMA and interrupts.
#![forbid(unsafe_code)]

pub mod defs;
pub mod host;
pub mod host_registers;
pub mod registers;

pub use host_registers::HostRegisters;
pub use registers::Registers;

/// How registers are reached: a mapped BAR, a socket, a simulated NIC.
pub trait RegisterIo {
    /// Reads the 32-bit register at byte `offset` of BAR 0.
    fn read32(&self, offset: usize) -> u32;

    /// Writes the 32-bit register at byte `offset` of BAR 0.
    fn write32(&self, offset: usize, value: u32);
}

#[cfg(test)]
mod tests;
