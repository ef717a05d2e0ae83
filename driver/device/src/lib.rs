// SPDX-License-Identifier: Apache-2.0
//! Access to a PCI device, independent of how it is reached.
//!
//! The driver is written against [`PciDevice`] and [`Bar`]; a backend implements them over the kernel's VFIO, a socket
//! or a simulated NIC in the same process. Whoever uses the traits cannot tell which one it is.
//!
//! A device can go away or hang at any time. Reads then give all ones, as PCI Express does, and writes are lost; so
//! [`Bar`] has no errors, and a driver must doubt every value that is all ones.
#![forbid(unsafe_code)]

pub use hashgate_memory::DmaMemory;

use std::sync::Arc;
use std::time::Duration;

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
    /// Bit of [`COMMAND`]: the device may access memory and send MSI-X messages.
    pub const COMMAND_BUS_MASTER: u32 = 1 << 2;
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
    /// Memory for the device that cannot be had at that address.
    #[error(
        "{bytes:#x} bytes at IOVA {iova:#x} cannot be mapped for the device ({reason}): both must be multiples of {:#x}, not empty, below 2^39, \
         outside the interrupt window and free",
        DMA_PAGE
    )]
    DmaMap {
        /// Address asked for.
        iova: u64,
        /// Bytes asked for.
        bytes: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Interrupts that the device or the backend does not have.
    #[error("{wanted} interrupt vectors asked for, the device has {available}")]
    Interrupts {
        /// Vectors asked for.
        wanted: usize,
        /// Vectors that the device has.
        available: usize,
    },
    /// Somebody else drives the device.
    #[error("{device} is in use by another driver: end that one first")]
    Busy {
        /// Which device.
        device: String,
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
    /// Tells devices of this process apart: a number that no other device has while this one lives. By it a second driver of this process is refused, so
    /// backends whose handles can be cloned give that of what the clones share.
    fn identity(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>().addr()
    }

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

    /// Makes `bytes` of zeroed memory that the device reaches at addresses from `iova` on. It is unmapped when the last
    /// clone of the [`Arc`] is dropped; stop what the device does there first.
    ///
    /// # Errors
    /// [`DeviceError::DmaMap`] as [`check_dma`] says, and if some of it is mapped already; [`DeviceError::Io`] if the backend
    /// refuses.
    fn map_dma(&self, iova: u64, bytes: usize) -> Result<Arc<DmaRegion>, DeviceError>;

    /// MSI-X vectors that the device has; 0 if it has no interrupts.
    fn interrupt_vectors(&self) -> usize;

    /// Enables the first `vectors` MSI-X vectors; 0 disables all. What was enabled before is disabled first.
    ///
    /// # Errors
    /// [`DeviceError::Interrupts`] if the device has fewer, [`DeviceError::Io`] if the backend refuses.
    fn enable_interrupts(&self, vectors: usize) -> Result<Vec<Arc<dyn Interrupt>>, DeviceError>;

    /// Function-level reset: rings, DMA and interrupts of the device are as after power-up. BARs and memory stay mapped; bus mastering
    /// and memory accesses are off in the command register afterwards.
    ///
    /// # Errors
    /// [`DeviceError::Io`] if the backend refuses.
    fn reset(&self) -> Result<(), DeviceError>;
}

/// Memory mapped for a device; unmapped when it is dropped.
pub struct DmaRegion {
    memory: Arc<DmaMemory>,
    iova: u64,
    unmap: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl DmaRegion {
    /// For backends: `memory` is mapped at `iova`; `unmap` undoes that.
    pub fn new(memory: Arc<DmaMemory>, iova: u64, unmap: Box<dyn FnOnce() + Send + Sync>) -> DmaRegion {
        DmaRegion { memory, iova, unmap: Some(unmap) }
    }

    /// Address by which the device reaches the first byte.
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// The memory.
    pub fn memory(&self) -> &DmaMemory {
        &self.memory
    }
}

impl std::ops::Deref for DmaRegion {
    type Target = DmaMemory;
    fn deref(&self) -> &DmaMemory {
        &self.memory
    }
}

impl Drop for DmaRegion {
    fn drop(&mut self) {
        if let Some(unmap) = self.unmap.take() {
            unmap();
        }
    }
}

/// An MSI-X vector that a driver has enabled.
pub trait Interrupt: Send + Sync {
    /// Messages that came since the last call; does not wait.
    fn take(&self) -> u64;

    /// Waits until a message comes, at most for `timeout`; gives those that came, 0 after the time-out. In a simulated device of
    /// the same process time passes only by register accesses and by stepping it, so there it steps the device meanwhile.
    fn wait(&self, timeout: Duration) -> u64;

    /// A file descriptor that is readable while messages wait, to poll on; `None` if the backend has none.
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>>;
}

/// Smallest unit of memory that is mapped for a device, in bytes.
pub const DMA_PAGE: usize = 4096;

/// Checks the place of memory for a device; backends call it first.
///
/// # Errors
/// [`DeviceError::DmaMap`] if `iova` or `bytes` is not a multiple of [`DMA_PAGE`], `bytes` is 0, the end is beyond 2^39 (which every
/// IOMMU takes), or it touches the window of interrupt messages at 0xfee00000..0xfeefffff.
pub fn check_dma(iova: u64, bytes: usize) -> Result<(), DeviceError> {
    let refuse = |reason| Err(DeviceError::DmaMap { iova, bytes, reason });
    if bytes == 0 || !iova.is_multiple_of(DMA_PAGE as u64) || !bytes.is_multiple_of(DMA_PAGE) {
        return refuse("not whole pages");
    }
    let Some(end) = iova.checked_add(bytes as u64).filter(|end| *end <= 1 << 39) else {
        return refuse("beyond 2^39");
    };
    if iova < 0xfef0_0000 && end > 0xfee0_0000 { refuse("in the interrupt window") } else { Ok(()) }
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

    /// Called between two reads of a register by which a driver waits, after so many of them. Where an access is dear and the device goes on by itself, this is where to sleep.
    fn pause(&self, _reads: u32) {}
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
    fn places_of_memory_are_checked() {
        let page = DMA_PAGE;
        for (iova, bytes, good) in [
            (0, page, true),
            (0, 0, false),
            (1, page, false),
            (0, page + 1, false),
            ((1 << 39) - 4096, page, true),
            ((1 << 39) - 4096, 2 * page, false),
            (u64::MAX - 4095, page, false),
            (0xfedf_f000, page, true),
            (0xfedf_f000, 2 * page, false),
            (0xfeef_f000, page, false),
            (0xfef0_0000, page, true),
        ] {
            assert_eq!(check_dma(iova, bytes).is_ok(), good, "{iova:#x} {bytes:#x}");
        }
    }

    #[test]
    #[should_panic(expected = "register offset 0x1000")]
    fn bar_accesses_end_at_the_bar() {
        check_bar_access(0xffc, 0x1000);
        check_bar_access(0x1000, 0x1000);
    }
}
