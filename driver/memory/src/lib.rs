// SPDX-License-Identifier: Apache-2.0
//! Memory that a driver shares with its device.
//!
//! The device, or another process, may write to it at any time. So it is never a slice: every access is one volatile or
//! atomic one, and what was read must be checked before it is believed.

use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What a part of a file begins at a multiple of, in bytes.
pub const PAGE: u64 = 4096;

/// Memory shared with a device. Numbers in it are little-endian.
///
/// # Panics
/// All accesses panic if they are not inside the memory or not aligned to their width: the driver decides on both, never the device.
pub struct DmaMemory {
    map: MmapRaw,
    file: Option<File>,
}

impl DmaMemory {
    /// Zeroed memory of this process, for a device that reaches it by address.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn anonymous(bytes: usize) -> io::Result<DmaMemory> {
        Ok(DmaMemory { map: MmapOptions::new().len(bytes).map_anon()?.into(), file: None })
    }

    /// Zeroed memory that can be given to another process by its file descriptor.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn shared(bytes: usize) -> io::Result<DmaMemory> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
        let file = File::from(rustix::fs::memfd_create("hashgate-dma", flags)?);
        file.set_len(bytes as u64)?;
        // The other side must not be able to take the memory away under us.
        rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::SHRINK)?;
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(DmaMemory { map, file: Some(file) })
    }

    /// `bytes` of a file that another process shares, from `offset` on.
    ///
    /// # Errors
    /// Those of the operating system; [`io::ErrorKind::PermissionDenied`] if the file is not a memfd that is sealed against shrinking, as an access
    /// to what its owner has cut off would end this process; [`io::ErrorKind::InvalidInput`] if it ends before, or `offset` is not a multiple of [`PAGE`].
    pub fn of_file(file: &File, offset: u64, bytes: usize) -> io::Result<DmaMemory> {
        let invalid = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        // Files of file systems know no seals.
        let sealed = rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(rustix::fs::SealFlags::SHRINK));
        if !sealed {
            let text = "the shared file can shrink: share a memfd with F_SEAL_SHRINK (QEMU: memory-backend-memfd)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        if !offset.is_multiple_of(PAGE) {
            return invalid("the offset in the shared file is not a multiple of 4096");
        }
        // Looked at after the seal: it can only grow now.
        let end = offset.checked_add(bytes as u64);
        if end.is_none_or(|end| end > file.metadata().map_or(0, |data| data.len())) {
            return invalid("the shared file ends before the memory does");
        }
        Ok(DmaMemory { map: MmapOptions::new().offset(offset).len(bytes).map_raw(file)?, file: None })
    }

    /// File descriptor and offset 0 of memory made by [`DmaMemory::shared`].
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// Bytes.
    pub fn size(&self) -> usize {
        self.map.len()
    }

    /// Address in this process, for the kernel to map.
    pub fn address(&self) -> usize {
        self.map.as_ptr() as usize
    }

    #[track_caller]
    fn at(&self, offset: usize, bytes: usize) -> *mut u8 {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.size());
        assert!(inside, "{bytes} bytes at {offset:#x} are not inside the {:#x} bytes of the memory", self.size());
        // SAFETY: the offset is inside the mapping, as checked above.
        unsafe { self.map.as_mut_ptr().add(offset) }
    }

    #[track_caller]
    fn atomic32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "{offset:#x} is not a multiple of 4");
        // SAFETY: inside the mapping (`at`), which lives as long as `self`; aligned, as a mapping begins on a page; all accesses of this
        // process are atomic or volatile.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast()) }
    }

    #[track_caller]
    fn atomic64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "{offset:#x} is not a multiple of 8");
        // SAFETY: as in `atomic32`.
        unsafe { AtomicU64::from_ptr(self.at(offset, 8).cast()) }
    }

    /// Reads a number; what is read after it in program order is not older than it.
    #[track_caller]
    pub fn read32(&self, offset: usize) -> u32 {
        u32::from_le(self.atomic32(offset).load(Ordering::Acquire))
    }

    /// Writes a number; what was written before it in program order is there when it is.
    #[track_caller]
    pub fn write32(&self, offset: usize, value: u32) {
        self.atomic32(offset).store(value.to_le(), Ordering::Release);
    }

    /// As [`DmaMemory::read32`].
    #[track_caller]
    pub fn read64(&self, offset: usize) -> u64 {
        u64::from_le(self.atomic64(offset).load(Ordering::Acquire))
    }

    /// As [`DmaMemory::write32`].
    #[track_caller]
    pub fn write64(&self, offset: usize, value: u64) {
        self.atomic64(offset).store(value.to_le(), Ordering::Release);
    }

    /// Copies bytes out.
    #[track_caller]
    pub fn read_bytes(&self, offset: usize, to: &mut [u8]) {
        let from = self.at(offset, to.len());
        let head = from.align_offset(8).min(to.len());
        let (first, rest) = to.split_at_mut(head);
        let (words, last) = rest.as_chunks_mut::<8>();
        // SAFETY: all reads are inside the mapping (`at`); those of words are aligned by `head`.
        unsafe {
            for (n, byte) in first.iter_mut().enumerate() {
                *byte = from.add(n).read_volatile();
            }
            for (n, word) in words.iter_mut().enumerate() {
                *word = from.add(head + 8 * n).cast::<u64>().read_volatile().to_ne_bytes();
            }
            let done = head + 8 * words.len();
            for (n, byte) in last.iter_mut().enumerate() {
                *byte = from.add(done + n).read_volatile();
            }
        }
    }

    /// Copies bytes in.
    #[track_caller]
    pub fn write_bytes(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        let head = to.align_offset(8).min(bytes.len());
        let (first, rest) = bytes.split_at(head);
        let (words, last) = rest.as_chunks::<8>();
        // SAFETY: as in `read_bytes`.
        unsafe {
            for (n, byte) in first.iter().enumerate() {
                to.add(n).write_volatile(*byte);
            }
            for (n, word) in words.iter().enumerate() {
                to.add(head + 8 * n).cast::<u64>().write_volatile(u64::from_ne_bytes(*word));
            }
            let done = head + 8 * words.len();
            for (n, byte) in last.iter().enumerate() {
                to.add(done + n).write_volatile(*byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_alignment_survive() {
        let memory = DmaMemory::anonymous(4096).unwrap();
        for offset in 0..17 {
            for length in 0..40 {
                let bytes: Vec<u8> = (0..length).map(|n| (7 * n + offset + 1) as u8).collect();
                memory.write_bytes(100, &[0; 80]);
                memory.write_bytes(100 + offset, &bytes);
                let mut all = [0; 80];
                memory.read_bytes(100, &mut all);
                assert_eq!(all[offset..offset + length], bytes, "offset {offset}");
                assert!(all[..offset].iter().chain(&all[offset + length..]).all(|byte| *byte == 0), "offset {offset}");
                let mut back = vec![0; length];
                memory.read_bytes(100 + offset, &mut back);
                assert_eq!(back, bytes, "offset {offset}");
            }
        }
    }

    #[test]
    fn numbers_are_little_endian() {
        let memory = DmaMemory::anonymous(4096).unwrap();
        memory.write64(8, 0x0102_0304_0506_0708);
        assert_eq!(
            (memory.read32(8), memory.read32(12), memory.read64(8)),
            (0x0506_0708, 0x0102_0304, 0x0102_0304_0506_0708)
        );
        memory.write32(4092, 0xdead_beef);
        let mut bytes = [0; 4];
        memory.read_bytes(4092, &mut bytes);
        assert_eq!(bytes, [0xef, 0xbe, 0xad, 0xde]);
    }

    #[test]
    fn shared_memory_is_one_memory() {
        let memory = DmaMemory::shared(8192).unwrap();
        let file = File::from(memory.fd().unwrap().try_clone_to_owned().unwrap());
        let other = DmaMemory::of_file(&file, 4096, 4096).unwrap();
        memory.write32(4096, 42);
        assert_eq!(other.read32(0), 42);
        assert!(file.set_len(0).is_err(), "the memory cannot be taken away");
        for (offset, bytes) in [(4096, 8192), (4097, 4095), (8, 8), (u64::MAX - 4095, 4096), (8192, 4096)] {
            let error = DmaMemory::of_file(&file, offset, bytes).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bytes} bytes at {offset}");
        }
    }

    #[test]
    fn memory_that_its_owner_can_take_away_is_refused() {
        let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
        let file = File::from(rustix::fs::memfd_create("unsealed", flags).unwrap());
        file.set_len(8192).unwrap();
        assert_eq!(DmaMemory::of_file(&file, 0, 4096).err().unwrap().kind(), io::ErrorKind::PermissionDenied);
        rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::SHRINK).unwrap();
        assert_eq!(DmaMemory::of_file(&file, 0, 4096).unwrap().size(), 4096);
        let program = File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(DmaMemory::of_file(&program, 0, 4096).err().unwrap().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    #[should_panic(expected = "are not inside the 0x1000 bytes")]
    fn accesses_end_with_the_memory() {
        DmaMemory::anonymous(4096).unwrap().read_bytes(4090, &mut [0; 8]);
    }
}
