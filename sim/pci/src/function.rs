// SPDX-License-Identifier: Apache-2.0
//! What is behind the PCI face, and what it sees of the host.

/// An access to memory that the IOMMU or the command register does not allow. The function gets an error response, as on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusError;

/// The host as the function sees it. Addresses are IOVAs.
pub trait Bus {
    /// Reads memory.
    ///
    /// # Errors
    /// [`BusError`] if any byte of it is not mapped or bus mastering is off; it is logged.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BusError>;

    /// Writes memory; nothing is written if any byte of it is not mapped.
    ///
    /// # Errors
    /// As [`Bus::read`].
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), BusError>;

    /// Sends the message of an MSI-X vector. Kept as pending while the vector is masked, lost while MSI-X or bus mastering is off.
    fn interrupt(&self, vector: u16);
}

/// A device behind PCI: registers, and a life of its own between accesses.
pub trait Function: Send {
    /// Bytes of BAR 0, a power of two.
    fn bar0_bytes(&self) -> usize;

    /// Reads the register at byte `offset` of BAR 0; `offset` is a multiple of 4 inside the BAR. Time passes as it takes.
    fn read_register(&mut self, offset: usize, bus: &dyn Bus) -> u32;

    /// Writes the register at byte `offset` of BAR 0.
    fn write_register(&mut self, offset: usize, value: u32, bus: &dyn Bus);

    /// Lets a clock cycle pass, or a unit of work be done.
    fn step(&mut self, bus: &dyn Bus);

    /// Nothing is going on inside: stepping has no effect but that time passes.
    fn is_idle(&self) -> bool;

    /// Function-level reset: the host side only.
    fn reset_host_side(&mut self, bus: &dyn Bus);
}
