// SPDX-License-Identifier: Apache-2.0
//! The requests of VFIO and iommufd, as safe functions. The structures are those of `linux/vfio.h` and
//! `linux/iommufd.h`, which also say what each request does.

use hashgate_device::DmaMemory;
use iommufd_bindings as iommufd;
use rustix::io::{Errno, Result};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};
use std::ffi::{CStr, c_int, c_void};
use std::mem::size_of;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use vfio_bindings::bindings::vfio;

/// Version of the interface of containers, the only one there is.
const API_VERSION: c_int = 0;
/// Longest list of capabilities that is read, in bytes; real ones have some hundred.
const MAX_INFO_BYTES: usize = 1 << 16;

/// Requests of VFIO; the numbers count from [`vfio::VFIO_BASE`] in the order of the header.
#[derive(Clone, Copy)]
enum Request {
    GetApiVersion = 0,
    CheckExtension = 1,
    SetIommu = 2,
    GroupGetStatus = 3,
    GroupSetContainer = 4,
    GroupGetDeviceFd = 6,
    DeviceGetInfo = 7,
    DeviceGetRegionInfo = 8,
    DeviceGetIrqInfo = 9,
    DeviceSetIrqs = 10,
    DeviceReset = 11,
    IommuGetInfo = 12,
    IommuMapDma = 13,
    IommuUnmapDma = 14,
    DeviceBindIommufd = 18,
    DeviceAttachIommufdPt = 19,
}

impl Request {
    const fn opcode(self) -> Opcode {
        opcode::none(vfio::VFIO_TYPE, (vfio::VFIO_BASE + self as u32) as u8)
    }
}

/// Request of iommufd by its `IOMMUFD_CMD_...`.
const fn ioas(command: u32) -> Opcode {
    opcode::none(iommufd::IOMMUFD_TYPE, command as u8)
}

/// An ioctl whose result counts.
struct Call {
    opcode: Opcode,
    argument: *mut c_void,
}

// SAFETY: `call`, which alone makes these, demands that the argument fits to the opcode. The kernel may write through
// the argument, so it counts as mutating.
unsafe impl Ioctl for Call {
    type Output = c_int;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument
    }

    unsafe fn output_from_ptr(result: IoctlOutput, _: *mut c_void) -> Result<c_int> {
        Ok(result)
    }
}

/// # Safety
/// `argument` must be what the request takes: a number, or a pointer to a structure that is valid for reads and writes
/// of the bytes that its first field gives, and of which all pointers are as valid.
unsafe fn call(fd: impl AsFd, opcode: Opcode, argument: *mut c_void) -> Result<c_int> {
    // SAFETY: as the caller says.
    unsafe { rustix::ioctl::ioctl(fd, Call { opcode, argument }) }
}

/// # Safety
/// `T` must be the structure of the request, with its size in the first field, and its pointers valid as the request wants.
unsafe fn exchange<T>(fd: impl AsFd, opcode: Opcode, value: &mut T) -> Result<c_int> {
    // SAFETY: as the caller says; the reference is valid for all of `T`.
    unsafe { call(fd, opcode, std::ptr::from_mut(value).cast()) }
}

const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// Whether the container speaks the one version of the interface that there is.
pub fn is_known_version(container: impl AsFd) -> Result<bool> {
    // SAFETY: the request takes no argument.
    let version = unsafe { call(container, Request::GetApiVersion.opcode(), std::ptr::null_mut()) }?;
    Ok(version == API_VERSION)
}

fn number(value: u32) -> *mut c_void {
    std::ptr::without_provenance_mut(value as usize)
}

/// Whether the container can have an IOMMU of type 1, version 2.
pub fn has_type1(container: impl AsFd) -> Result<bool> {
    // SAFETY: the request takes a number.
    let answer = unsafe { call(container, Request::CheckExtension.opcode(), number(vfio::VFIO_TYPE1v2_IOMMU)) }?;
    Ok(answer > 0)
}

/// Gives the container an IOMMU of type 1, version 2; it must have a group.
pub fn set_type1(container: impl AsFd) -> Result<()> {
    // SAFETY: the request takes a number.
    unsafe { call(container, Request::SetIommu.opcode(), number(vfio::VFIO_TYPE1v2_IOMMU)) }.map(drop)
}

/// Whether all devices of the group may be used.
pub fn is_viable(group: impl AsFd) -> Result<bool> {
    let mut status = vfio::vfio_group_status { argsz: size::<vfio::vfio_group_status>(), flags: 0 };
    // SAFETY: the structure of this request, no pointers in it.
    unsafe { exchange(group, Request::GroupGetStatus.opcode(), &mut status) }?;
    Ok(status.flags & vfio::VFIO_GROUP_FLAGS_VIABLE != 0)
}

/// Puts the group into the container.
pub fn set_container(group: impl AsFd, container: impl AsFd) -> Result<()> {
    let mut fd: c_int = container.as_fd().as_raw_fd();
    // SAFETY: the request takes a pointer to a file descriptor.
    unsafe { call(group, Request::GroupSetContainer.opcode(), std::ptr::from_mut(&mut fd).cast()) }.map(drop)
}

/// Opens a device of the group by its PCI address.
pub fn device_of_group(group: impl AsFd, address: &CStr) -> Result<OwnedFd> {
    // SAFETY: the request reads a string that ends with a zero and writes nothing.
    let fd = unsafe { call(group, Request::GroupGetDeviceFd.opcode(), address.as_ptr().cast_mut().cast()) }?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the device one of the iommufd.
pub fn bind_iommufd(device: impl AsFd, iommufd: impl AsFd) -> Result<()> {
    let mut bind = vfio::vfio_device_bind_iommufd {
        argsz: size::<vfio::vfio_device_bind_iommufd>(),
        iommufd: iommufd.as_fd().as_raw_fd(),
        ..Default::default()
    };
    // SAFETY: the structure of this request; its pointer is read only if a flag says so, and none is set.
    unsafe { exchange(device, Request::DeviceBindIommufd.opcode(), &mut bind) }.map(drop)
}

/// Makes an address space for devices.
pub fn alloc_ioas(fd: impl AsFd) -> Result<u32> {
    let mut alloc = iommufd::iommu_ioas_alloc { size: size::<iommufd::iommu_ioas_alloc>(), ..Default::default() };
    // SAFETY: the structure of this request, no pointers in it.
    unsafe { exchange(fd, ioas(iommufd::IOMMUFD_CMD_IOAS_ALLOC), &mut alloc) }?;
    Ok(alloc.out_ioas_id)
}

/// Lets the device use the address space.
pub fn attach_ioas(device: impl AsFd, ioas_id: u32) -> Result<()> {
    let mut attach = vfio::vfio_device_attach_iommufd_pt {
        argsz: size::<vfio::vfio_device_attach_iommufd_pt>(),
        pt_id: ioas_id,
        ..Default::default()
    };
    // SAFETY: the structure of this request, no pointers in it.
    unsafe { exchange(device, Request::DeviceAttachIommufdPt.opcode(), &mut attach) }.map(drop)
}

/// Addresses that can be mapped in the address space.
pub fn ioas_ranges(fd: impl AsFd, ioas_id: u32) -> Result<Vec<RangeInclusive<u64>>> {
    let mut found: Vec<iommufd::iommu_iova_range> = Vec::new();
    loop {
        let mut query = iommufd::iommu_ioas_iova_ranges {
            size: size::<iommufd::iommu_ioas_iova_ranges>(),
            ioas_id,
            num_iovas: found.len() as u32,
            allowed_iovas: found.as_mut_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the structure of this request; the pointer is to as many ranges as it says.
        let answer = unsafe { exchange(&fd, ioas(iommufd::IOMMUFD_CMD_IOAS_IOVA_RANGES), &mut query) };
        let count = query.num_iovas as usize;
        match answer {
            Err(Errno::MSGSIZE) if count > found.len() && count <= MAX_INFO_BYTES / 16 => {
                found.resize(count, iommufd::iommu_iova_range::default());
            }
            Err(error) => return Err(error),
            Ok(_) => return Ok(found.iter().take(count).map(|range| range.start..=range.last).collect()),
        }
    }
}

/// Maps all of the memory at `iova`, for reads and writes of the device.
pub fn map_in_ioas(fd: impl AsFd, ioas_id: u32, iova: u64, memory: &DmaMemory) -> Result<()> {
    let mut map = iommufd::iommu_ioas_map {
        size: size::<iommufd::iommu_ioas_map>(),
        flags: iommufd::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA
            | iommufd::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE
            | iommufd::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE,
        ioas_id,
        user_va: memory.address() as u64,
        length: memory.size() as u64,
        iova,
        ..Default::default()
    };
    // SAFETY: the structure of this request. The device gets memory that is there for it: nothing in this process takes
    // it to be unchanged, and the kernel holds its pages until it is unmapped.
    unsafe { exchange(fd, ioas(iommufd::IOMMUFD_CMD_IOAS_MAP), &mut map) }.map(drop)
}

/// Undoes [`map_in_ioas`].
pub fn unmap_in_ioas(fd: impl AsFd, ioas_id: u32, iova: u64, bytes: usize) -> Result<()> {
    let mut unmap =
        iommufd::iommu_ioas_unmap { size: size::<iommufd::iommu_ioas_unmap>(), ioas_id, iova, length: bytes as u64 };
    // SAFETY: the structure of this request, no pointers in it.
    unsafe { exchange(fd, ioas(iommufd::IOMMUFD_CMD_IOAS_UNMAP), &mut unmap) }.map(drop)
}

/// As [`map_in_ioas`], in a container.
pub fn map_in_container(fd: impl AsFd, iova: u64, memory: &DmaMemory) -> Result<()> {
    let mut map = vfio::vfio_iommu_type1_dma_map {
        argsz: size::<vfio::vfio_iommu_type1_dma_map>(),
        flags: vfio::VFIO_DMA_MAP_FLAG_READ | vfio::VFIO_DMA_MAP_FLAG_WRITE,
        vaddr: memory.address() as u64,
        iova,
        size: memory.size() as u64,
    };
    // SAFETY: as in `map_in_ioas`.
    unsafe { exchange(fd, Request::IommuMapDma.opcode(), &mut map) }.map(drop)
}

/// Undoes [`map_in_container`].
pub fn unmap_in_container(fd: impl AsFd, iova: u64, bytes: usize) -> Result<()> {
    let mut unmap = vfio::vfio_iommu_type1_dma_unmap {
        argsz: size::<vfio::vfio_iommu_type1_dma_unmap>(),
        iova,
        size: bytes as u64,
        ..Default::default()
    };
    // SAFETY: the structure of this request, no pointers in it.
    unsafe { exchange(fd, Request::IommuUnmapDma.opcode(), &mut unmap) }.map(drop)
}

/// Addresses that can be mapped in the container; `None` if the kernel does not tell (before 5.4).
pub fn container_ranges(container: impl AsFd) -> Result<Option<Vec<RangeInclusive<u64>>>> {
    let info = information(container, Request::IommuGetInfo, 0)?;
    let first = if info.number32(4) & vfio::VFIO_IOMMU_INFO_CAPS == 0 { 0 } else { info.number32(16) };
    let Some(at) = info.capability(first, vfio::VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE as u16) else {
        return Ok(None);
    };
    let count = info.number32(at + 8).min(MAX_INFO_BYTES as u32 / 16);
    let range = |n| info.number64(at + 16 + 16 * n)..=info.number64(at + 24 + 16 * n);
    Ok(Some((0..count).map(range).collect()))
}

/// A region of the device: a BAR, or its configuration space.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// Where it is in the file of the device.
    pub offset: u64,
    /// Its bytes; 0 if the device does not have it.
    pub size: u64,
    /// It can be read and written.
    pub accessible: bool,
    /// All of it can be mapped.
    pub mappable: bool,
}

/// Asks for a region of the device.
pub fn region(device: impl AsFd, index: u32) -> Result<Region> {
    let info = information(device, Request::DeviceGetRegionInfo, index)?;
    let flags = info.number32(4);
    let has = |wanted| flags & wanted == wanted;
    let first = if has(vfio::VFIO_REGION_INFO_FLAG_CAPS) { info.number32(12) } else { 0 };
    let holes = info.capability(first, vfio::VFIO_REGION_INFO_CAP_SPARSE_MMAP as u16).is_some();
    Ok(Region {
        offset: info.number64(24),
        size: info.number64(16),
        accessible: has(vfio::VFIO_REGION_INFO_FLAG_READ | vfio::VFIO_REGION_INFO_FLAG_WRITE),
        mappable: has(vfio::VFIO_REGION_INFO_FLAG_MMAP) && !holes,
    })
}

/// MSI-X vectors that the device has.
pub fn msix_vectors(device: impl AsFd) -> Result<u32> {
    let mut info = vfio::vfio_irq_info {
        argsz: size::<vfio::vfio_irq_info>(),
        index: vfio::VFIO_PCI_MSIX_IRQ_INDEX,
        ..Default::default()
    };
    match
    // SAFETY: the structure of this request, no pointers in it.
    unsafe { exchange(device, Request::DeviceGetIrqInfo.opcode(), &mut info) } {
        Ok(_) => Ok(info.count),
        Err(Errno::INVAL) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Lets the first MSI-X vectors write to these event file descriptors; none disables all. Gives how many vectors there
/// can be if that is fewer.
pub fn set_msix(device: impl AsFd, events: &[OwnedFd]) -> Result<Option<usize>> {
    let data = if events.is_empty() { vfio::VFIO_IRQ_SET_DATA_NONE } else { vfio::VFIO_IRQ_SET_DATA_EVENTFD };
    let bytes = size_of::<vfio::vfio_irq_set>() + 4 * events.len();
    let flags = data | vfio::VFIO_IRQ_SET_ACTION_TRIGGER;
    let mut words = vec![bytes as u32, flags, vfio::VFIO_PCI_MSIX_IRQ_INDEX, 0, events.len() as u32];
    words.extend(events.iter().map(|event| event.as_raw_fd() as u32));
    // SAFETY: the words are the structure of this request with its data behind it, `bytes` in all.
    let answer = unsafe { call(device, Request::DeviceSetIrqs.opcode(), words.as_mut_ptr().cast()) }?;
    Ok(usize::try_from(answer).ok().filter(|vectors| *vectors > 0))
}

/// Flags of the device, `VFIO_DEVICE_FLAGS_...`.
pub fn device_flags(device: impl AsFd) -> Result<u32> {
    let mut info = vfio::vfio_device_info { argsz: size::<vfio::vfio_device_info>(), ..Default::default() };
    // SAFETY: the structure of this request, no pointers in it.
    unsafe { exchange(device, Request::DeviceGetInfo.opcode(), &mut info) }?;
    Ok(info.flags)
}

/// Resets the device alone.
pub fn reset(device: impl AsFd) -> Result<()> {
    // SAFETY: the request takes no argument.
    unsafe { call(device, Request::DeviceReset.opcode(), std::ptr::null_mut()) }.map(drop)
}

/// Two numbers of 32 bit that follow each other in memory.
fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// What a request for information gave: a structure and a list of capabilities. The numbers that are not in it are 0.
struct Information(Vec<u64>);

impl Information {
    fn number32(&self, offset: u32) -> u32 {
        let word = self.0.get(offset as usize / 8).copied().unwrap_or(0).to_ne_bytes();
        let at = offset as usize % 8;
        word.get(at..at + 4).map_or(0, |bytes| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn number64(&self, offset: u32) -> u64 {
        if offset.is_multiple_of(8) { self.0.get(offset as usize / 8).copied().unwrap_or(0) } else { 0 }
    }

    /// Offset of the capability `id` in the list that begins at `first`; the list may be no longer than the structure.
    fn capability(&self, first: u32, id: u16) -> Option<u32> {
        let mut at = first;
        for _ in 0..self.0.len() {
            if at == 0 || !at.is_multiple_of(8) {
                return None;
            }
            if self.number32(at) as u16 == id {
                return Some(at);
            }
            at = self.number32(at + 4);
        }
        None
    }
}

/// Asks for a structure that begins with its size and flags, has an index (0 for those that have none), and capabilities
/// behind it.
fn information(fd: impl AsFd, request: Request, index: u32) -> Result<Information> {
    let mut bytes = 1024;
    loop {
        let mut words = vec![0u64; bytes / 8];
        words[0] = pair(bytes as u32, 0);
        words[1] = pair(index, 0);
        // SAFETY: both requests take a structure that fits, and write at most the bytes that its first field says.
        unsafe { call(&fd, request.opcode(), words.as_mut_ptr().cast()) }?;
        let answer = Information(words);
        let wanted = answer.number32(0) as usize;
        if wanted <= bytes {
            return Ok(answer);
        }
        if wanted > MAX_INFO_BYTES {
            return Err(Errno::TOOBIG);
        }
        bytes = wanted.next_multiple_of(8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// Sizes and places as `linux/vfio.h` and `linux/iommufd.h` have them; the numbers read by offset are where the code
    /// takes them.
    #[test]
    fn structures_are_those_of_the_kernel() {
        assert_eq!(size_of::<vfio::vfio_group_status>(), 8);
        assert_eq!(size_of::<vfio::vfio_irq_info>(), 16);
        assert_eq!(size_of::<vfio::vfio_irq_set>(), 20);
        assert_eq!(size_of::<vfio::vfio_iommu_type1_dma_map>(), 32);
        assert_eq!(size_of::<vfio::vfio_iommu_type1_dma_unmap>(), 24);
        assert_eq!(size_of::<iommufd::iommu_ioas_map>(), 40);
        assert_eq!(size_of::<iommufd::iommu_ioas_unmap>(), 24);
        assert_eq!(size_of::<iommufd::iommu_ioas_iova_ranges>(), 32);
        use vfio::{
            vfio_iommu_type1_info as iommu, vfio_iommu_type1_info_cap_iova_range as ranges, vfio_region_info as region,
        };
        let places = [offset_of!(region, flags), offset_of!(region, index), offset_of!(region, cap_offset)];
        assert_eq!((places, offset_of!(region, size), offset_of!(region, offset)), ([4, 8, 12], 16, 24));
        assert_eq!((offset_of!(iommu, flags), offset_of!(iommu, cap_offset)), (4, 16));
        assert_eq!((offset_of!(ranges, nr_iovas), offset_of!(ranges, iova_ranges)), (8, 16));
    }

    #[test]
    fn requests_have_the_numbers_of_the_kernel() {
        assert_eq!(Request::GetApiVersion.opcode(), 0x3b64);
        assert_eq!(Request::DeviceReset.opcode(), 0x3b6f);
        assert_eq!(Request::DeviceAttachIommufdPt.opcode(), 0x3b77);
        assert_eq!(ioas(iommufd::IOMMUFD_CMD_IOAS_MAP), 0x3b85);
    }

    /// A list of capabilities with these (offset, id, next).
    fn list(capabilities: &[(usize, u16, u32)]) -> Information {
        let mut words = vec![0; 16];
        for (at, id, next) in capabilities {
            words[at / 8] = pair(u32::from(*id), *next);
        }
        Information(words)
    }

    #[test]
    fn capabilities_are_found() {
        let information = list(&[(24, 3, 64), (64, 1, 0)]);
        assert_eq!(information.capability(24, 1), Some(64));
        assert_eq!(information.capability(24, 3), Some(24));
        assert_eq!(information.capability(24, 2), None);
        assert_eq!(information.capability(0, 3), None);
    }

    #[test]
    fn wrong_lists_of_capabilities_end() {
        assert_eq!(list(&[(24, 3, 24)]).capability(24, 1), None, "a loop");
        assert_eq!(list(&[(24, 3, 20)]).capability(24, 1), None, "not aligned");
        assert_eq!(list(&[(24, 3, 0xffff_fff8)]).capability(24, 1), None, "beyond the end");
    }

    #[test]
    fn requests_to_a_file_that_is_no_device_fail() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(region(&file, 0), Err(Errno::NOTTY)));
        assert!(matches!(set_msix(&file, &[]), Err(Errno::NOTTY)));
        assert!(matches!(map_in_container(&file, 0, &DmaMemory::anonymous(4096).unwrap()), Err(Errno::NOTTY)));
        assert!(matches!(ioas_ranges(&file, 1), Err(Errno::NOTTY)));
    }
}
