// SPDX-License-Identifier: Apache-2.0
//! A device of this machine, over the kernel's VFIO.
//!
//! The device must belong to the kernel driver `vfio-pci` and stand behind an IOMMU, so that it reaches nothing but the
//! memory that [`PciDevice::map_dma`] gives it. There are two ways to it: iommufd (Linux 6.6 and later, if built with it),
//! else groups and containers. [`Vfio::open`] takes the one that the machine has.
//!
//! Opening and closing a device resets it (function level), as far as the device can be reset. Memory, BARs and interrupts
//! keep the device open; it is closed when the last of them is dropped.
//!
//! A device that is taken out of the machine while its BARs are mapped ends the process with SIGBUS on the next access:
//! that is how the kernel reports it.

mod address;
mod error;
mod sys;

pub use address::Address;
pub use error::VfioError;

use hashgate_device::{
    Bar, DeviceError, DmaMemory, DmaRegion, Interrupt, PciDevice, Width, check_bar_access, check_config_access,
    check_dma, config,
};
use memmap2::{MmapOptions, MmapRaw};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use sys::Region;
use vfio_bindings::bindings::vfio;

/// Where the kernel shows PCI devices.
const DEVICES: &str = "/sys/bus/pci/devices";
/// The file by which devices get address spaces of iommufd.
const IOMMUFD: &str = "/dev/iommu";
/// The file that makes containers of groups.
const CONTAINER: &str = "/dev/vfio/vfio";
/// Action of all errors of [`Vfio::open`].
const OPENING: &str = "opening a PCI device over VFIO";

/// How to reach a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By its own file, with an address space of iommufd.
    Iommufd,
    /// By its group, with a container and an IOMMU of type 1.
    Group,
}

/// A device of this machine.
pub struct Vfio {
    opened: Arc<Opened>,
    interrupts: Mutex<bool>,
    vectors: usize,
    config: Region,
    ranges: Option<Vec<RangeInclusive<u64>>>,
}

/// What stays open as long as somebody uses a part of the device.
struct Opened {
    // The fields are dropped in this order: the device must be closed before its address space.
    device: File,
    space: Space,
    address: Address,
    path: PathBuf,
    /// Whether memory accesses are on in the command register. An access to a mapped BAR while they are off would end the
    /// process by SIGBUS, so whoever changes them locks out all accesses meanwhile.
    answers: RwLock<bool>,
}

/// The addresses that a device can reach.
enum Space {
    Iommufd { iommufd: File, ioas: u32 },
    Group { container: File, _group: File },
}

impl Space {
    fn map(&self, iova: u64, memory: &DmaMemory) -> Result<(), Errno> {
        match self {
            Space::Iommufd { iommufd, ioas } => sys::map_in_ioas(iommufd, *ioas, iova, memory),
            Space::Group { container, .. } => sys::map_in_container(container, iova, memory),
        }
    }

    fn unmap(&self, iova: u64, bytes: usize) -> Result<(), Errno> {
        match self {
            Space::Iommufd { iommufd, ioas } => sys::unmap_in_ioas(iommufd, *ioas, iova, bytes),
            Space::Group { container, .. } => sys::unmap_in_container(container, iova, bytes),
        }
    }

    fn path(&self) -> &'static str {
        match self {
            Space::Iommufd { .. } => IOMMUFD,
            Space::Group { .. } => CONTAINER,
        }
    }
}

/// Opens a file for reads and writes.
fn open_file(path: impl Into<PathBuf>) -> Result<File, VfioError> {
    let path = path.into();
    File::options().read(true).write(true).open(&path).map_err(|error| {
        let source = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        VfioError::Refused { what: "open", path, source }
    })
}

/// Last part of what a symbolic link points to.
fn link_name(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_string_lossy().into_owned())
}

/// What is in the way of opening the device that the kernel shows at `path`.
fn check_driver(address: Address, path: &Path) -> Result<(), VfioError> {
    if !path.exists() {
        return Err(VfioError::NoDevice { address, path: path.into() });
    }
    // Drivers of single devices that build on vfio-pci are as good: all their names end like that.
    let driver = link_name(&path.join("driver"));
    match driver.as_deref().map(|name| name.replace('_', "-").ends_with("vfio-pci")) {
        Some(true) => Ok(()),
        _ => Err(VfioError::NotBound { address, driver, path: path.into() }),
    }
}

/// Number of the IOMMU group of the device that the kernel shows at `path`.
fn group_of(address: Address, path: &Path) -> Result<u32, VfioError> {
    let path = path.join("iommu_group");
    link_name(&path).and_then(|name| name.parse().ok()).ok_or(VfioError::NoIommu { address, path })
}

/// File of the device itself, `/dev/vfio/devices/vfioN`, if the kernel makes one.
fn own_file(path: &Path) -> Option<PathBuf> {
    let name = fs::read_dir(path.join("vfio-dev")).ok()?.next()?.ok()?.file_name();
    Some(Path::new("/dev/vfio/devices").join(name))
}

type Parts = (File, PathBuf, Space, Option<Vec<RangeInclusive<u64>>>);

/// Opens a device by its own file.
fn open_by_file(file: PathBuf) -> Result<Parts, VfioError> {
    let iommufd = open_file(IOMMUFD)?;
    let device = open_file(&file)?;
    sys::bind_iommufd(&device, &iommufd)
        // The kernel says "invalid" if somebody else has the device open; nothing else can be invalid here.
        .map_err(|error| if error == Errno::INVAL { Errno::BUSY } else { error })
        .map_err(VfioError::refused("binding to an iommufd", &file))?;
    let ioas = sys::alloc_ioas(&iommufd).map_err(VfioError::refused("making an address space", IOMMUFD))?;
    sys::attach_ioas(&device, ioas).map_err(VfioError::refused("attaching an address space", &file))?;
    let ranges = sys::ioas_ranges(&iommufd, ioas).map_err(VfioError::refused("asking for addresses", IOMMUFD))?;
    Ok((device, file, Space::Iommufd { iommufd, ioas }, Some(ranges)))
}

/// Opens a device by its group.
fn open_by_group(address: Address, number: u32) -> Result<Parts, VfioError> {
    let container = open_file(CONTAINER)?;
    let known = sys::is_known_version(&container).map_err(VfioError::refused("asking for the version", CONTAINER))?;
    let type1 = sys::has_type1(&container).map_err(VfioError::refused("asking for IOMMUs", CONTAINER))?;
    if !known || !type1 {
        let what = if known { "no IOMMU of type 1 (modprobe vfio_iommu_type1)" } else { "another version" };
        return Err(VfioError::Kernel { path: CONTAINER.into(), what });
    }
    let path = PathBuf::from(format!("/dev/vfio/{number}"));
    let group = open_file(&path)?;
    if !sys::is_viable(&group).map_err(VfioError::refused("asking for the group", &path))? {
        return Err(VfioError::NotViable { group: number, path });
    }
    sys::set_container(&group, &container).map_err(VfioError::refused("putting it into a container", &path))?;
    sys::set_type1(&container).map_err(VfioError::refused("setting an IOMMU of type 1", CONTAINER))?;
    let name = CString::new(address.to_string()).expect("an address has no zeros");
    let device =
        sys::device_of_group(&group, &name).map_err(VfioError::refused("opening the device of the group", &path))?;
    let ranges = sys::container_ranges(&container).map_err(VfioError::refused("asking for addresses", CONTAINER))?;
    Ok((File::from(device), path, Space::Group { container, _group: group }, ranges))
}

impl Vfio {
    /// Opens the device at `address`, such as `0000:03:00.0`, and resets it.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] if another process has it; else [`DeviceError::Io`] with a [`VfioError`] as its source.
    pub fn open(address: &str) -> Result<Vfio, DeviceError> {
        Vfio::find(address, None).map_err(|error| error.during(OPENING))
    }

    /// As [`Vfio::open`], but only in one of the ways.
    ///
    /// # Errors
    /// As [`Vfio::open`].
    pub fn open_by(way: Way, address: &str) -> Result<Vfio, DeviceError> {
        Vfio::find(address, Some(way)).map_err(|error| error.during(OPENING))
    }

    fn find(address: &str, way: Option<Way>) -> Result<Vfio, VfioError> {
        let address: Address = address.parse()?;
        let shown = Path::new(DEVICES).join(address.to_string());
        check_driver(address, &shown)?;
        let group = group_of(address, &shown)?;
        let file = own_file(&shown).filter(|_| Path::new(IOMMUFD).exists());
        let (device, path, space, ranges) = match (way, file) {
            (Some(Way::Group), _) | (None, None) => open_by_group(address, group)?,
            (_, Some(file)) => open_by_file(file)?,
            (Some(Way::Iommufd), None) => {
                return Err(VfioError::Kernel {
                    path: shown.join("vfio-dev"),
                    what: "no iommufd (Linux 6.6 with CONFIG_IOMMUFD)",
                });
            }
        };
        if sys::device_flags(&device).map_err(VfioError::refused("asking for the device", &path))?
            & vfio::VFIO_DEVICE_FLAGS_PCI
            == 0
        {
            return Err(VfioError::Kernel { path, what: "not a PCI device" });
        }
        let config = sys::region(&device, vfio::VFIO_PCI_CONFIG_REGION_INDEX)
            .map_err(VfioError::refused("asking for the configuration space", &path))?;
        let vectors = sys::msix_vectors(&device).map_err(VfioError::refused("asking for interrupts", &path))? as usize;
        let opened = Opened { device, space, address, path, answers: RwLock::new(false) };
        let vfio = Vfio { opened: Arc::new(opened), interrupts: Mutex::new(false), vectors, config, ranges };
        *vfio.opened.lock() = vfio.memory_is_on()?;
        Ok(vfio)
    }

    /// By which way the device was opened.
    pub fn way(&self) -> Way {
        match self.opened.space {
            Space::Iommufd { .. } => Way::Iommufd,
            Space::Group { .. } => Way::Group,
        }
    }

    fn memory_is_on(&self) -> Result<bool, VfioError> {
        Ok(self.read_config(config::COMMAND, Width::Word)? & config::COMMAND_MEMORY != 0)
    }

    fn config_place(&self, offset: u16, width: Width) -> Result<u64, VfioError> {
        if u64::from(offset + width.bytes()) > self.config.size {
            // A conventional PCI device has 256 bytes only.
            return Err(VfioError::refused("no such place in its configuration space", &self.opened.path)(Errno::NXIO));
        }
        Ok(self.config.offset + u64::from(offset))
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, VfioError> {
        let place = self.config_place(offset, width)?;
        let mut bytes = [0; 4];
        let part = &mut bytes[..width.bytes().into()];
        self.opened
            .device
            .read_exact_at(part, place)
            .map_err(|error| self.refused("reading its configuration", &error))?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), VfioError> {
        let place = self.config_place(offset, width)?;
        let bytes = value.to_le_bytes();
        let part = &bytes[..width.bytes().into()];
        self.opened.device.write_all_at(part, place).map_err(|error| self.refused("writing its configuration", &error))
    }

    fn refused(&self, what: &'static str, error: &io::Error) -> VfioError {
        VfioError::refused(what, &self.opened.path)(Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    fn disable_interrupts(&self, enabled: &mut MutexGuard<'_, bool>) -> Result<(), VfioError> {
        // The kernel refuses to disable what is not enabled.
        if **enabled {
            sys::set_msix(&self.opened.device, &[])
                .map_err(VfioError::refused("disabling interrupts", &self.opened.path))?;
            **enabled = false;
        }
        Ok(())
    }

    fn try_reset(&self) -> Result<(), VfioError> {
        let flags = sys::device_flags(&self.opened.device)
            .map_err(VfioError::refused("asking for the device", &self.opened.path))?;
        if flags & vfio::VFIO_DEVICE_FLAGS_RESET == 0 {
            return Err(VfioError::NotResettable { address: self.opened.address });
        }
        self.disable_interrupts(&mut self.interrupts())?;
        let mut answers = self.opened.lock();
        // The kernel brings the configuration space back after a reset, so what must be off afterwards is switched off before.
        let command = self.read_config(config::COMMAND, Width::Word)?;
        let off = command & !(config::COMMAND_MEMORY | config::COMMAND_BUS_MASTER);
        *answers = false;
        self.write_config(config::COMMAND, Width::Word, off)?;
        sys::reset(&self.opened.device).map_err(VfioError::refused("resetting", &self.opened.path))
    }

    fn interrupts(&self) -> MutexGuard<'_, bool> {
        self.interrupts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    fn lock(&self) -> std::sync::RwLockWriteGuard<'_, bool> {
        self.answers.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn accesses(&self) -> std::sync::RwLockReadGuard<'_, bool> {
        self.answers.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PciDevice for Vfio {
    fn config_read(&self, offset: u16, width: Width) -> Result<u32, DeviceError> {
        check_config_access(offset, width)?;
        self.read_config(offset, width).map_err(|error| error.during("reading the configuration space"))
    }

    fn config_write(&self, offset: u16, width: Width, value: u32) -> Result<(), DeviceError> {
        check_config_access(offset, width)?;
        let during = |error: VfioError| error.during("writing the configuration space");
        let mut answers = self.opened.lock();
        // Whatever was written (a reset by the PCI Express capability is possible as well), the command register tells.
        *answers = false;
        self.write_config(offset, width, value).map_err(during)?;
        *answers = self.memory_is_on().map_err(during)?;
        Ok(())
    }

    fn bar(&self, index: u8) -> Result<Arc<dyn Bar>, DeviceError> {
        const ACTION: &str = "mapping a BAR";
        let path = &self.opened.path;
        let none = || DeviceError::NoBar { index };
        if u32::from(index) > vfio::VFIO_PCI_BAR5_REGION_INDEX {
            return Err(none());
        }
        let region = sys::region(&self.opened.device, index.into())
            .map_err(|error| VfioError::refused("asking for a BAR", path)(error).during(ACTION))?;
        let register = self.config_read(config::BAR0 + 4 * u16::from(index), Width::Dword)?;
        let is_memory = register & 1 == 0;
        let size = usize::try_from(region.size).unwrap_or(0) / 4 * 4;
        if size == 0 || !is_memory || !region.accessible {
            return Err(none());
        }
        let opened = Arc::clone(&self.opened);
        if !region.mappable {
            return Ok(Arc::new(FileBar { opened, offset: region.offset, size }));
        }
        let map = MmapOptions::new().offset(region.offset).len(size).map_raw(&self.opened.device);
        let map = map.map_err(|error| self.refused("mapping a BAR", &error).during(ACTION))?;
        Ok(Arc::new(MappedBar { opened, map }))
    }

    fn map_dma(&self, iova: u64, bytes: usize) -> Result<Arc<DmaRegion>, DeviceError> {
        const ACTION: &str = "mapping memory for the device";
        check_dma(iova, bytes)?;
        if self.ranges.as_ref().is_some_and(|ranges| !is_inside(ranges, iova, bytes)) {
            let reason = "the kernel keeps it from use: see reserved_regions in /sys/kernel/iommu_groups";
            return Err(DeviceError::DmaMap { iova, bytes, reason });
        }
        let space = &self.opened.space;
        // With a file, so that it can be lent to another process.
        let memory = DmaMemory::shared(bytes).map_err(|source| DeviceError::Io { action: ACTION, source })?;
        match space.map(iova, &memory) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(DeviceError::DmaMap { iova, bytes, reason: "mapped already" }),
            Err(error) => return Err(VfioError::refused("mapping memory", space.path())(error).during(ACTION)),
        }
        let opened = Arc::clone(&self.opened);
        let unmap = move || {
            // If the kernel refuses it keeps the pages for the device until that is closed; nobody else gets them.
            let _ = opened.space.unmap(iova, bytes);
        };
        Ok(Arc::new(DmaRegion::new(Arc::new(memory), iova, Box::new(unmap))))
    }

    fn interrupt_vectors(&self) -> usize {
        self.vectors
    }

    fn enable_interrupts(&self, vectors: usize) -> Result<Vec<Arc<dyn Interrupt>>, DeviceError> {
        const ACTION: &str = "enabling interrupts";
        if vectors > self.vectors {
            return Err(DeviceError::Interrupts { wanted: vectors, available: self.vectors });
        }
        let path = &self.opened.path;
        let mut enabled = self.interrupts();
        self.disable_interrupts(&mut enabled).map_err(|error| error.during(ACTION))?;
        if vectors == 0 {
            return Ok(Vec::new());
        }
        let event = |_| rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let events: Result<Vec<OwnedFd>, Errno> = (0..vectors).map(event).collect();
        let events = events.map_err(|error| DeviceError::Io { action: ACTION, source: error.into() })?;
        let fewer = sys::set_msix(&self.opened.device, &events)
            .map_err(|error| VfioError::refused("enabling interrupts", path)(error).during(ACTION))?;
        if let Some(available) = fewer {
            return Err(DeviceError::Interrupts { wanted: vectors, available });
        }
        *enabled = true;
        Ok(events.into_iter().map(|event| Arc::new(Event(event)) as Arc<dyn Interrupt>).collect())
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.try_reset().map_err(|error| error.during("resetting the device"))
    }
}

/// Whether memory at `iova` is in one of the ranges; [`check_dma`] has seen it before.
fn is_inside(ranges: &[RangeInclusive<u64>], iova: u64, bytes: usize) -> bool {
    let last = iova + (bytes as u64 - 1);
    ranges.iter().any(|range| range.contains(&iova) && range.contains(&last))
}

/// A BAR mapped into this process.
struct MappedBar {
    opened: Arc<Opened>,
    map: MmapRaw,
}

impl MappedBar {
    fn at(&self, offset: usize) -> *mut u32 {
        check_bar_access(offset, self.map.len());
        // SAFETY: the offset is inside the mapping: below its length, and both are multiples of 4.
        unsafe { self.map.as_mut_ptr().add(offset).cast() }
    }
}

impl Bar for MappedBar {
    fn size(&self) -> usize {
        self.map.len()
    }

    fn read32(&self, offset: usize) -> u32 {
        let register = self.at(offset);
        if !*self.opened.accesses() {
            return u32::MAX;
        }
        // SAFETY: inside the mapping, which lives as long as `self`, and aligned, as a mapping begins on a page. The device
        // may change it at any time, so the access is volatile.
        u32::from_le(unsafe { register.read_volatile() })
    }

    fn write32(&self, offset: usize, value: u32) {
        let register = self.at(offset);
        if *self.opened.accesses() {
            // SAFETY: as in `read32`.
            unsafe { register.write_volatile(value.to_le()) };
        }
    }
}

/// A BAR that the kernel does not let us map; it does the accesses.
struct FileBar {
    opened: Arc<Opened>,
    offset: u64,
    size: usize,
}

impl Bar for FileBar {
    fn size(&self) -> usize {
        self.size
    }

    fn read32(&self, offset: usize) -> u32 {
        check_bar_access(offset, self.size);
        let mut bytes = [0; 4];
        match self.opened.device.read_exact_at(&mut bytes, self.offset + offset as u64) {
            Ok(()) => u32::from_le_bytes(bytes),
            Err(_) => u32::MAX,
        }
    }

    fn write32(&self, offset: usize, value: u32) {
        check_bar_access(offset, self.size);
        // As on the bus: a write that the device does not take is lost.
        let _ = self.opened.device.write_all_at(&value.to_le_bytes(), self.offset + offset as u64);
    }
}

/// The event file descriptor that the kernel writes to when a message comes.
struct Event(OwnedFd);

impl Interrupt for Event {
    fn take(&self) -> u64 {
        let mut count = [0; 8];
        match rustix::io::read(&self.0, &mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            _ => 0,
        }
    }

    fn wait(&self, timeout: Duration) -> u64 {
        let end = Instant::now().checked_add(timeout);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let done = rustix::event::poll(&mut [PollFd::new(&self.0, PollFlags::IN)], left.as_ref());
            if done != Err(Errno::INTR) {
                return self.take();
            }
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

#[cfg(test)]
mod tests;
