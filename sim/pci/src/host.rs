// SPDX-License-Identifier: Apache-2.0
//! The host around a function: its configuration space, the IOMMU before its memory, and who gets its messages.

use crate::config::{BAR2_BYTES, ConfigSpace, Effect, PENDING_BITS, VECTORS};
use crate::{Bus, BusError};
use hashgate_device::{DeviceError, DmaMemory, Width, check_dma};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Faults that the log keeps; of more only the number.
const FAULTS_KEPT: usize = 64;
/// Words of an entry of the MSI-X table.
const ENTRY_WORDS: usize = 4;
const TABLE_WORDS: usize = VECTORS * ENTRY_WORDS;

/// An access to memory that the function made and must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaFault {
    /// IOVA of its first byte.
    pub address: u64,
    /// Its bytes.
    pub bytes: usize,
    /// A write.
    pub write: bool,
    /// Why not.
    pub reason: FaultReason,
}

/// Why an access to memory failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultReason {
    /// Some of it is not mapped.
    NotMapped,
    /// Some of it is mapped for the other kind of access only.
    Protected,
    /// The command register has bus mastering off, or the device is gone.
    NoBusMaster,
}

/// Faults since the log was taken last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultLog {
    /// The first ones.
    pub first: Vec<DmaFault>,
    /// How many there were.
    pub count: u64,
}

/// Gets the messages of one vector.
pub type Sink = Box<dyn Fn() + Send + Sync>;

/// What the function may do with memory that is mapped for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// It may read it.
    pub read: bool,
    /// It may write it.
    pub write: bool,
}

impl Protection {
    /// It may do both.
    pub const READ_WRITE: Protection = Protection { read: true, write: true };

    fn allows(self, write: bool) -> bool {
        if write { self.write } else { self.read }
    }
}

struct Mapping {
    bytes: u64,
    memory: Arc<DmaMemory>,
    protection: Protection,
}

struct State {
    config: ConfigSpace,
    /// The MSI-X table; word 3 of an entry: bit 0 masks.
    table: [u32; TABLE_WORDS],
    pending: u32,
    sinks: [Option<Sink>; VECTORS],
    /// By first address.
    mappings: BTreeMap<u64, Mapping>,
    faults: VecDeque<DmaFault>,
    fault_count: u64,
    removed: bool,
}

/// The host around a function.
pub struct Host {
    state: Mutex<State>,
}

impl Host {
    /// A host with no memory mapped, and a function as after power-up.
    pub fn new(bar0_bytes: usize) -> Host {
        let mut state = State {
            config: ConfigSpace::new(bar0_bytes),
            table: [0; TABLE_WORDS],
            pending: 0,
            sinks: [const { None }; VECTORS],
            mappings: BTreeMap::new(),
            faults: VecDeque::new(),
            fault_count: 0,
            removed: false,
        };
        state.mask_all();
        Host { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the configuration space.
    ///
    /// # Errors
    /// [`DeviceError::ConfigAccess`].
    pub fn config_read(&self, offset: u16, width: Width) -> Result<u32, DeviceError> {
        hashgate_device::check_config_access(offset, width)?;
        let state = self.state();
        Ok(if state.removed {
            u32::MAX >> (32 - 8 * u32::from(width.bytes()))
        } else {
            state.config.read(offset, width)
        })
    }

    /// Writes the configuration space; the caller carries the effect out.
    ///
    /// # Errors
    /// [`DeviceError::ConfigAccess`].
    pub fn config_write(&self, offset: u16, width: Width, value: u32) -> Result<Effect, DeviceError> {
        hashgate_device::check_config_access(offset, width)?;
        let mut state = self.state();
        if state.removed {
            return Ok(Effect::None);
        }
        let effect = state.config.write(offset, width, value);
        state.send_pending();
        Ok(effect)
    }

    /// Whether accesses to BARs are answered.
    pub fn answers(&self) -> bool {
        let state = self.state();
        state.config.memory_enabled() && !state.removed
    }

    /// Reads BAR 2; `offset` is a multiple of 4 inside it.
    pub fn read_bar2(&self, offset: usize) -> u32 {
        let state = self.state();
        match offset {
            _ if offset < 4 * TABLE_WORDS => state.table[offset / 4],
            PENDING_BITS => state.pending,
            _ => 0,
        }
    }

    /// Writes BAR 2.
    pub fn write_bar2(&self, offset: usize, value: u32) {
        debug_assert!(offset < BAR2_BYTES);
        if offset < 4 * TABLE_WORDS {
            let mut state = self.state();
            state.table[offset / 4] = value;
            state.send_pending();
        }
    }

    /// Maps memory for the function, which may do with it what `protection` says.
    ///
    /// # Errors
    /// [`DeviceError::DmaMap`] as of [`check_dma`], or if some of it is mapped already.
    pub fn map(&self, iova: u64, memory: Arc<DmaMemory>, protection: Protection) -> Result<(), DeviceError> {
        let bytes = memory.size();
        check_dma(iova, bytes)?;
        let mut state = self.state();
        let end = iova + bytes as u64;
        let before = state.mappings.range(..end).next_back();
        if before.is_some_and(|(first, mapping)| first + mapping.bytes > iova) {
            return Err(DeviceError::DmaMap { iova, bytes, reason: "mapped already" });
        }
        state.mappings.insert(iova, Mapping { bytes: bytes as u64, memory, protection });
        Ok(())
    }

    /// Unmaps what was mapped at exactly `iova`; gives whether there was something.
    pub fn unmap(&self, iova: u64) -> bool {
        self.state().mappings.remove(&iova).is_some()
    }

    /// Unmaps everything in a range that whole mappings fill; gives their bytes, or `None` and changes nothing if one lies across an end.
    pub fn unmap_range(&self, iova: u64, bytes: u64) -> Option<u64> {
        let mut state = self.state();
        let end = iova.checked_add(bytes)?;
        if state.mappings.range(..iova).next_back().is_some_and(|(first, mapping)| first + mapping.bytes > iova) {
            return None;
        }
        let inside: Vec<(u64, u64)> =
            state.mappings.range(iova..end).map(|(first, mapping)| (*first, mapping.bytes)).collect();
        if inside.iter().any(|(first, bytes)| first + bytes > end) {
            return None;
        }
        inside.iter().for_each(|(first, _)| drop(state.mappings.remove(first)));
        Some(inside.iter().map(|(_, bytes)| bytes).sum())
    }

    /// How many mappings there are.
    pub fn mappings(&self) -> usize {
        self.state().mappings.len()
    }

    /// Unmaps everything.
    pub fn unmap_all(&self) {
        self.state().mappings.clear();
    }

    /// Who gets the messages of the vectors from `first` on; MSI-X is on as long as somebody does. The vectors are unmasked, as a
    /// kernel does for its driver.
    ///
    /// # Errors
    /// [`DeviceError::Interrupts`] if there are not so many.
    pub fn set_sinks(&self, first: usize, sinks: Vec<Option<Sink>>) -> Result<(), DeviceError> {
        let wanted = first.saturating_add(sinks.len());
        if wanted > VECTORS {
            return Err(DeviceError::Interrupts { wanted, available: VECTORS });
        }
        let mut state = self.state();
        for (n, sink) in (first..).zip(sinks) {
            state.table[n * ENTRY_WORDS + 3] = sink.is_none().into();
            state.sinks[n] = sink;
        }
        let enable = state.sinks.iter().any(Option::is_some);
        state.config.enable_msix(enable);
        state.send_pending();
        Ok(())
    }

    /// Nobody gets messages; MSI-X is off.
    pub fn clear_sinks(&self) {
        self.state().silence();
    }

    /// What a function-level reset does outside of the function. Mappings belong to the host and stay.
    pub fn reset(&self) {
        let mut state = self.state();
        state.config.reset();
        state.silence();
    }

    /// Takes the log of faults.
    pub fn take_faults(&self) -> FaultLog {
        let mut state = self.state();
        FaultLog { first: state.faults.drain(..).collect(), count: std::mem::take(&mut state.fault_count) }
    }

    /// Surprise removal: nothing answers any more.
    pub fn remove(&self) {
        self.state().removed = true;
    }

    /// It has been removed.
    pub fn is_removed(&self) -> bool {
        self.state().removed
    }
}

impl State {
    fn mask_all(&mut self) {
        (0..VECTORS).for_each(|n| self.table[n * ENTRY_WORDS + 3] = 1);
    }

    fn silence(&mut self) {
        self.config.enable_msix(false);
        self.sinks = [const { None }; VECTORS];
        self.table = [0; TABLE_WORDS];
        self.pending = 0;
        self.mask_all();
    }

    fn may_send(&self, vector: usize) -> bool {
        !self.config.msix_masked() && self.table[vector * ENTRY_WORDS + 3] & 1 == 0
    }

    fn send_pending(&mut self) {
        if self.pending == 0 || !self.config.msix_enabled() || !self.config.bus_master() {
            return;
        }
        for vector in 0..VECTORS {
            if self.pending >> vector & 1 == 1 && self.may_send(vector) {
                self.pending &= !(1 << vector);
                if let Some(sink) = &self.sinks[vector] {
                    sink();
                }
            }
        }
    }

    /// Calls `work` for each part of the access that lies in one mapping: memory, offset in it, offset in the access, bytes.
    fn access(
        &mut self,
        fault: DmaFault,
        mut work: impl FnMut(&DmaMemory, usize, usize, usize),
    ) -> Result<(), BusError> {
        let reason = if self.removed || !self.config.bus_master() {
            Some(FaultReason::NoBusMaster)
        } else {
            let mut allowed = true;
            let covered = self.parts(fault.address, fault.bytes, |mapping, _, _, _| {
                allowed &= mapping.protection.allows(fault.write);
            });
            match allowed {
                _ if covered != fault.bytes => Some(FaultReason::NotMapped),
                true => None,
                false => Some(FaultReason::Protected),
            }
        };
        if let Some(reason) = reason {
            self.fault_count += 1;
            if self.faults.len() < FAULTS_KEPT {
                self.faults.push_back(DmaFault { reason, ..fault });
            }
            return Err(BusError);
        }
        self.parts(fault.address, fault.bytes, |mapping, offset, at, bytes| work(&mapping.memory, offset, at, bytes));
        Ok(())
    }

    /// Goes through the mappings of a range; gives the bytes up to the first that is not mapped.
    fn parts(&self, address: u64, bytes: usize, mut work: impl FnMut(&Mapping, usize, usize, usize)) -> usize {
        let mut done = 0;
        while done < bytes {
            let Some(at) = address.checked_add(done as u64) else { break };
            let Some((first, mapping)) = self.mappings.range(..=at).next_back() else { break };
            let offset = at - first;
            if offset >= mapping.bytes {
                break;
            }
            let part = (mapping.bytes - offset).min((bytes - done) as u64) as usize;
            work(mapping, offset as usize, done, part);
            done += part;
        }
        done
    }
}

impl Bus for Host {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BusError> {
        let fault = DmaFault { address, bytes: bytes.len(), write: false, reason: FaultReason::NotMapped };
        self.state().access(fault, |memory, offset, at, length| memory.read_bytes(offset, &mut bytes[at..at + length]))
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), BusError> {
        let fault = DmaFault { address, bytes: bytes.len(), write: true, reason: FaultReason::NotMapped };
        self.state().access(fault, |memory, offset, at, length| memory.write_bytes(offset, &bytes[at..at + length]))
    }

    fn interrupt(&self, vector: u16) {
        let mut state = self.state();
        if usize::from(vector) < VECTORS && state.config.msix_enabled() && state.config.bus_master() && !state.removed {
            state.pending |= 1 << vector;
            state.send_pending();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const PAGE: u64 = 4096;
    /// Pages of the address space that the test plays with.
    const PAGES: usize = 24;

    /// What is mapped at a page.
    #[derive(Clone)]
    struct Page {
        memory: Arc<DmaMemory>,
        offset: usize,
    }

    fn seed() -> u64 {
        let clock = || {
            let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            time.as_nanos() as u64 & 0xffff_ffff
        };
        let seed = std::env::var("HASHGATE_SEED").map_or_else(|_| clock(), |text| text.parse().expect("a number"));
        println!("HASHGATE_SEED={seed} repeats this test");
        seed
    }

    /// The bytes of a range by page, or `None` if some of it is not mapped.
    fn look(pages: &[Option<Page>], address: u64, bytes: usize) -> Option<Vec<u8>> {
        (address..address + bytes as u64)
            .map(|at| {
                let page = pages.get((at / PAGE) as usize)?.as_ref()?;
                let mut byte = [0];
                page.memory.read_bytes(page.offset + (at % PAGE) as usize, &mut byte);
                Some(byte[0])
            })
            .collect()
    }

    #[test]
    fn the_iommu_does_as_a_list_of_pages() {
        let host = Host::new(4096);
        host.config_write(4, Width::Word, hashgate_device::config::COMMAND_BUS_MASTER).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(seed());
        let mut pages: Vec<Option<Page>> = vec![None; PAGES];
        let (mut faults, mut good) = (0, 0);
        for step in 0..20_000 {
            let first = random.random_range(0..PAGES);
            let count = random.random_range(1..=(PAGES - first).min(5));
            let iova = first as u64 * PAGE;
            // A mapping goes over this border between pages.
            let across = |page: usize| match (page.checked_sub(1).and_then(|low| pages[low].clone()), pages.get(page)) {
                (Some(low), Some(Some(high))) => Arc::ptr_eq(&low.memory, &high.memory),
                _ => false,
            };
            match random.random_range(0..10) {
                0..3 => {
                    let memory = Arc::new(DmaMemory::anonymous(count * PAGE as usize).unwrap());
                    let free = pages[first..first + count].iter().all(Option::is_none);
                    assert_eq!(host.map(iova, memory.clone(), Protection::READ_WRITE).is_ok(), free, "step {step}");
                    if free {
                        for n in 0..count {
                            pages[first + n] = Some(Page { memory: memory.clone(), offset: n * PAGE as usize });
                        }
                    }
                }
                3 => {
                    let begins = pages[first].as_ref().filter(|page| page.offset == 0).cloned();
                    assert_eq!(host.unmap(iova), begins.is_some(), "step {step}");
                    if let Some(page) = begins {
                        pages[first..][..page.memory.size() / PAGE as usize].fill(None);
                    }
                }
                4 => {
                    let whole = !across(first) && !across(first + count);
                    let mapped = pages[first..first + count].iter().flatten().count() as u64 * PAGE;
                    let unmapped = host.unmap_range(iova, count as u64 * PAGE);
                    assert_eq!(unmapped, whole.then_some(mapped), "step {step}");
                    if whole {
                        pages[first..first + count].fill(None);
                    }
                }
                kind => {
                    let address = iova + random.random_range(0..PAGE);
                    let mut bytes = vec![0; random.random_range(0..3 * PAGE as usize)];
                    random.fill(&mut bytes[..]);
                    let expected = look(&pages, address, bytes.len());
                    let done = if kind < 7 {
                        let before: Vec<_> =
                            (address..address + bytes.len() as u64).map(|at| look(&pages, at, 1)).collect();
                        let done = host.write(address, &bytes);
                        if done.is_ok() {
                            assert_eq!(look(&pages, address, bytes.len()), Some(bytes), "step {step}");
                        } else {
                            let after = (address..address + bytes.len() as u64).map(|at| look(&pages, at, 1));
                            assert!(after.eq(before), "step {step}: what is refused writes nothing");
                        }
                        done
                    } else {
                        let done = host.read(address, &mut bytes);
                        assert!(done.is_err() || Some(&bytes) == expected.as_ref(), "step {step}");
                        done
                    };
                    assert_eq!(done.is_ok(), expected.is_some(), "step {step}: at {address:#x}");
                    if done.is_ok() { good += 1 } else { faults += 1 }
                }
            }
            let starts = pages.iter().flatten().filter(|page| page.offset == 0).count();
            assert_eq!(host.mappings(), starts, "step {step}");
        }
        assert!(good > 500 && faults > 500, "{good} accesses and {faults} faults");
        let log = host.take_faults();
        assert_eq!((log.count, log.first.len()), (faults, FAULTS_KEPT));
        assert_eq!(host.take_faults(), FaultLog::default());
    }

    #[test]
    fn protection_is_kept() {
        let host = Host::new(4096);
        host.config_write(4, Width::Word, hashgate_device::config::COMMAND_BUS_MASTER).unwrap();
        for (page, read, write) in [(1, true, true), (2, true, false), (3, false, true)] {
            let memory = Arc::new(DmaMemory::anonymous(4096).unwrap());
            memory.write_bytes(0, &[7; 4096]);
            host.map(page * PAGE, memory, Protection { read, write }).unwrap();
            let mut bytes = [0; 8];
            assert_eq!(host.read(page * PAGE, &mut bytes).is_ok(), read, "page {page}");
            assert_eq!(bytes == [7; 8], read, "page {page}");
            assert_eq!(host.write(page * PAGE, &[8; 8]).is_ok(), write, "page {page}");
        }
        // Across the border nothing of the allowed part is written either.
        assert_eq!(host.write(2 * PAGE - 4, &[9; 8]), Err(BusError));
        let mut bytes = [0; 4];
        assert_eq!((host.read(2 * PAGE - 4, &mut bytes), bytes), (Ok(()), [7; 4]));
        let reasons: Vec<_> = host.take_faults().first.iter().map(|fault| (fault.write, fault.reason)).collect();
        assert_eq!(reasons, [true, false, true].map(|write| (write, FaultReason::Protected)));
    }

    #[test]
    fn accesses_at_the_end_of_all_addresses_are_faults() {
        let host = Host::new(4096);
        host.config_write(4, Width::Word, hashgate_device::config::COMMAND_BUS_MASTER).unwrap();
        host.map(0, Arc::new(DmaMemory::anonymous(4096).unwrap()), Protection::READ_WRITE).unwrap();
        host.map((1 << 39) - PAGE, Arc::new(DmaMemory::anonymous(4096).unwrap()), Protection::READ_WRITE).unwrap();
        let mut bytes = [0; 16];
        for address in [u64::MAX, u64::MAX - 7, (1 << 39) - 8, 4089, 1 << 63] {
            assert_eq!(host.read(address, &mut bytes), Err(BusError), "{address:#x}");
            assert_eq!(host.write(address, &bytes), Err(BusError), "{address:#x}");
        }
        assert_eq!(host.read((1 << 39) - 16, &mut bytes), Ok(()));
        assert_eq!(host.unmap_range(PAGE, u64::MAX), None, "it ends beyond all addresses");
        assert_eq!(host.unmap_range(PAGE, u64::MAX - PAGE), Some(PAGE));
    }
}
