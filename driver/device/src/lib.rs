// SPDX-License-Identifier: Apache-2.0
//! Access to a PCI device, independent of how it is reached.
//!
//! The driver is written against [`PciDevice`] and [`Bar`]; a backend implements them over the kernel's VFIO, a socket
//! or a simulated NIC in the same process. Whoever uses the traits cannot tell which one it is.
//!
//! A device can go away or hang at any time. Reads then give all ones, as PCI Express does, and writes are lost; so
//! [`Bar`] has no errors, and a driver must doubt every value that is all ones.
#![forbid(unsafe_code)]

use std::sync::Arc;

/// PCI vendor id of the NIC: that of emulated devices, as long as the project has none of its own.
pub const VENDOR_ID: u16 = 0x1234;
/// PCI device id of the NIC: "HG" in ASCII.
pub const DEVICE_ID: u16 = 0x4847;

/// Offsets into the standard part of the PCI configuration space.
pub mod config {
    /// Vendor id, 16 bit.
    pub const VENDOR: u16 = 0x00;
    /// Device id, 16 bit.
    pub const DEVICE: u16 = 0x02;
    /// Command register, 16 bit.
    pub const COMMAND: u16 = 0x04;
    /// Bit of [`COMMAND`]: the device answers memory accesses to its BARs.
    pub const COMMAND_MEMORY: u32 = 1 << 1;
    /// First base address register, 32 bit; number n is at `BAR0 + 4 n`.
    pub const BAR0: u16 = 0x10;
    /// Bytes in the configuration space of a PCI Express device.
    pub const SIZE: u16 = 4096;
}

/// Width of an access to the configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bit.
    Byte,
    /// 16 bit.
    Word,
    /// 32 bit.
    Dword,
}

impl Width {
    /// Bytes of the access.
    pub const fn bytes(self) -> u16 {
        match self {
            Width::Byte => 1,
            Width::Word => 2,
            Width::Dword => 4,
        }
    }
}

/// Why a device could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// An access to the configuration space that is not aligned or beyond its end.
    #[error(
        "configuration access of {bytes} bytes at {offset:#x}: it must be aligned to its width and end below {:#x}",
        config::SIZE
    )]
    ConfigAccess {
        /// Offset asked for.
        offset: u16,
        /// Width asked for, in bytes.
        bytes: u16,
    },
    /// The device has no such memory BAR.
    #[error("the device has no memory BAR {index}")]
    NoBar {
        /// BAR asked for.
        index: u8,
    },
    /// The BAR is smaller than the driver needs.
    #[error("BAR {index} has {len} bytes, the driver needs {needed}: this is not the device it was written for")]
    BarTooSmall {
        /// BAR asked for.
        index: u8,
        /// Its length in bytes.
        len: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// The operating system or the peer refused.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What came back.
        source: std::io::Error,
    },
}

/// A PCI device that a driver owns.
pub trait PciDevice: Send + Sync {
    /// Reads the configuration space; the value is zero-extended.
    ///
    /// # Errors
    /// [`DeviceError::ConfigAccess`] if the access is not aligned or out of range, [`DeviceError::Io`] if the backend
    /// lost the device.
    fn config_read(&self, offset: u16, width: Width) -> Result<u32, DeviceError>;

    /// Writes the configuration space; bits of `value` above `width` are ignored.
    ///
    /// # Errors
    /// As [`PciDevice::config_read`].
    fn config_write(&self, offset: u16, width: Width, value: u32) -> Result<(), DeviceError>;

    /// Maps a memory BAR.
    ///
    /// # Errors
    /// [`DeviceError::NoBar`] if the device has none of this number, [`DeviceError::Io`] if the backend cannot map it.
    fn bar(&self, index: u8) -> Result<Arc<dyn Bar>, DeviceError>;
}

/// A mapped memory BAR. Registers are 32 bit wide and little-endian; the values here are in the host's byte order.
pub trait Bar: Send + Sync {
    /// Bytes in the BAR.
    fn size(&self) -> usize;

    /// Reads the register at byte `offset`; all ones if the device is gone.
    ///
    /// # Panics
    /// If `offset` is not a multiple of 4 or not below [`Bar::size`]: the driver checks the size once, when it maps.
    fn read32(&self, offset: usize) -> u32;

    /// Writes the register at byte `offset`; lost if the device is gone. Writes may be posted: a read of the same BAR
    /// returns only after all earlier writes have taken effect.
    ///
    /// # Panics
    /// As [`Bar::read32`].
    fn write32(&self, offset: usize, value: u32);
}

/// Maps BAR `index` and checks that it has at least `needed` bytes.
///
/// # Errors
/// Those of [`PciDevice::bar`], and [`DeviceError::BarTooSmall`].
pub fn map_bar(device: &dyn PciDevice, index: u8, needed: usize) -> Result<Arc<dyn Bar>, DeviceError> {
    let bar = device.bar(index)?;
    let len = bar.size();
    if len < needed { Err(DeviceError::BarTooSmall { index, len, needed }) } else { Ok(bar) }
}

/// Checks a configuration access; backends call it first.
///
/// # Errors
/// [`DeviceError::ConfigAccess`] if the access is not aligned to its width or ends beyond [`config::SIZE`].
pub fn check_config_access(offset: u16, width: Width) -> Result<(), DeviceError> {
    let bytes = width.bytes();
    if !offset.is_multiple_of(bytes) || offset >= config::SIZE {
        return Err(DeviceError::ConfigAccess { offset, bytes });
    }
    Ok(())
}

/// Checks an access to a BAR of `size` bytes; backends call it first.
///
/// # Panics
/// If `offset` is not a multiple of 4 or not below `size`.
pub fn check_bar_access(offset: usize, size: usize) {
    assert!(
        offset.is_multiple_of(4) && offset < size,
        "register offset {offset:#x} must be a multiple of 4 below the {size:#x} bytes of the BAR"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_accesses_are_checked() {
        for (offset, width, good) in [
            (0, Width::Dword, true),
            (2, Width::Word, true),
            (3, Width::Byte, true),
            (4092, Width::Dword, true),
            (4095, Width::Byte, true),
            (2, Width::Dword, false),
            (1, Width::Word, false),
            (4096, Width::Byte, false),
        ] {
            assert_eq!(check_config_access(offset, width).is_ok(), good, "{offset:#x} {width:?}");
        }
    }

    #[test]
    #[should_panic(expected = "register offset 0x1000")]
    fn bar_accesses_end_at_the_bar() {
        check_bar_access(0xffc, 0x1000);
        check_bar_access(0x1000, 0x1000);
    }
}
