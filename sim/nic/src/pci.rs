// SPDX-License-Identifier: Apache-2.0
//! The simulated NIC as a PCI device in the same process.

use crate::SimNic;
use hashgate_device::{
    Bar, DEVICE_ID, DeviceError, PciDevice, VENDOR_ID, Width, check_bar_access, check_config_access, config,
};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of BAR 0, which holds the registers.
pub const BAR0_BYTES: usize = 4096;

/// Address that the BAR would have after enumeration; no one looks at it in this process.
const BAR0_ADDRESS: u32 = 0xfe00_0000;
/// Revision 0 of a network controller of no special kind.
const CLASS: u32 = 0x0280_0000;

/// A [`SimNic`] behind PCI. Clones show the same NIC, so a test can keep one for the wires and give one to the driver.
///
/// A register access lets as many cycles pass as the NIC takes to answer, and traffic goes on meanwhile.
#[derive(Clone)]
pub struct InProcess {
    shared: Arc<Shared>,
}

struct Shared {
    nic: Mutex<SimNic>,
    command: AtomicU32,
    bar0: AtomicU32,
}

impl InProcess {
    /// Puts a NIC behind PCI.
    pub fn new(nic: SimNic) -> InProcess {
        let (command, bar0) = (AtomicU32::new(0), AtomicU32::new(BAR0_ADDRESS));
        InProcess { shared: Arc::new(Shared { nic: Mutex::new(nic), command, bar0 }) }
    }

    /// The NIC, for its wires and its host side. Drop the guard before the driver is called from the same thread.
    pub fn nic(&self) -> MutexGuard<'_, SimNic> {
        self.shared.nic()
    }
}

impl Shared {
    fn nic(&self) -> MutexGuard<'_, SimNic> {
        // After a panic, of an assertion of the RTL for example, the NIC panics again with the same text when stepped.
        self.nic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn config_dword(&self, offset: u16) -> u32 {
        match offset & !3 {
            config::VENDOR => u32::from(DEVICE_ID) << 16 | u32::from(VENDOR_ID),
            config::COMMAND => self.command.load(Ordering::Relaxed),
            0x08 => CLASS,
            config::BAR0 => self.bar0.load(Ordering::Relaxed),
            _ => 0,
        }
    }
}

impl PciDevice for InProcess {
    fn config_read(&self, offset: u16, width: Width) -> Result<u32, DeviceError> {
        check_config_access(offset, width)?;
        let mask = u32::MAX >> (32 - 8 * u32::from(width.bytes()));
        Ok(self.shared.config_dword(offset) >> (8 * u32::from(offset & 3)) & mask)
    }

    fn config_write(&self, offset: u16, width: Width, value: u32) -> Result<(), DeviceError> {
        check_config_access(offset, width)?;
        let shift = 8 * u32::from(offset & 3);
        let mask = (u32::MAX >> (32 - 8 * u32::from(width.bytes()))) << shift;
        let merged = self.shared.config_dword(offset) & !mask | value << shift & mask;
        match offset & !3 {
            config::COMMAND => self.shared.command.store(merged & config::COMMAND_MEMORY, Ordering::Relaxed),
            // The low bits of a base address do not exist, which is how software finds the size.
            config::BAR0 => self.shared.bar0.store(merged & !(BAR0_BYTES as u32 - 1), Ordering::Relaxed),
            _ => {}
        }
        Ok(())
    }

    fn bar(&self, index: u8) -> Result<Arc<dyn Bar>, DeviceError> {
        if index == 0 { Ok(Arc::new(Bar0 { shared: self.shared.clone() })) } else { Err(DeviceError::NoBar { index }) }
    }
}

struct Bar0 {
    shared: Arc<Shared>,
}

impl Bar0 {
    /// The NIC, unless the driver has not enabled memory accesses: then it does not answer.
    fn answering(&self, offset: usize) -> Option<MutexGuard<'_, SimNic>> {
        check_bar_access(offset, BAR0_BYTES);
        let enabled = self.shared.command.load(Ordering::Relaxed) & config::COMMAND_MEMORY != 0;
        enabled.then(|| self.shared.nic())
    }
}

impl Bar for Bar0 {
    fn size(&self) -> usize {
        BAR0_BYTES
    }

    fn read32(&self, offset: usize) -> u32 {
        self.answering(offset).map_or(u32::MAX, |mut nic| nic.read_register(offset as u16))
    }

    fn write32(&self, offset: usize, value: u32) {
        if let Some(mut nic) = self.answering(offset) {
            nic.write_register(offset as u16, value);
        }
    }
}
