// SPDX-License-Identifier: Apache-2.0
//! A NIC made of plain memory behind the register interface: what the driver needs to see of tables, checks and commits,
//! with faults to be put in. It decides no frames.

use hashgate_device::{Bar, DeviceError, PciDevice, Width, check_bar_access};
use hashgate_regs::defs::Table;
use hashgate_regs::registers::{Build0, Build1, Build2, Build3, Fault, Status, TableSelect, offset, reset};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// State of the mock.
pub struct State {
    /// Registers without a meaning of their own, by offset.
    pub registers: BTreeMap<usize, u32>,
    /// Words by table id, bank and address.
    words: BTreeMap<(u8, bool, u32), u32>,
    /// Active bank of each table (map number 0) and map.
    banks: BTreeSet<(u8, u32)>,
    verified: BTreeSet<(u8, u32)>,
    index: u32,
    /// Writes of TABLE_DATA so far.
    pub data_writes: usize,
    /// Bits of TABLE_DATA that stick at 0.
    pub stuck: u32,
    /// Reads give all ones and writes are lost.
    pub gone: bool,
}

/// A device with [`State`].
#[derive(Clone)]
pub struct Mock(Arc<Mutex<State>>);

impl Mock {
    /// A NIC of the default build, just powered on.
    pub fn new() -> Mock {
        let build0 = Build0 { beat_bytes: 64, ports: 1, fcs: true, latency: 60 }.bits();
        let build1 = Build1 { rules: 64, maps: 65, buckets_log2: 12 }.bits();
        let build2 = Build2 { targets: 1024, vips: 512 }.bits();
        let build3 = Build3 { multicast: 512, exact_rows: 256 }.bits();
        let registers = [
            (offset::ID, reset::ID),
            (offset::VERSION, reset::VERSION),
            (offset::BUILD0, build0),
            (offset::BUILD1, build1),
            (offset::BUILD2, build2),
            (offset::BUILD3, build3),
            (offset::BUILD4, 65536),
            (offset::CLOCK_KHZ, 322_266),
            (offset::STATUS, Status { ready: true, ..Status::default() }.bits()),
        ];
        Mock(Arc::new(Mutex::new(State {
            registers: registers.into(),
            words: BTreeMap::new(),
            banks: BTreeSet::new(),
            verified: BTreeSet::new(),
            index: 0,
            data_writes: 0,
            stuck: 0,
            gone: false,
        })))
    }

    /// A NIC of the default build with one register changed.
    pub fn with(register: usize, value: u32) -> Mock {
        let mock = Mock::new();
        mock.state().registers.insert(register, value);
        mock
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// What a word belongs to: a table, or a map.
fn unit(id: u8, address: u32) -> (u8, u32) {
    (id, if id == Table::Map as u8 { address / 2048 } else { 0 })
}

impl State {
    fn register(&self, offset: usize) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    fn select(&self) -> TableSelect {
        TableSelect::from_bits(self.register(offset::TABLE_SELECT))
    }

    fn bank(&self, active: bool, address: u32) -> bool {
        let id = self.select().id;
        id < Table::Flags as u8 && (self.banks.contains(&unit(id, address)) == active)
    }

    fn read(&mut self, at: usize) -> u32 {
        match at {
            offset::TABLE_DATA => {
                let select = self.select();
                let bank = self.bank(select.active, self.index);
                self.index += 1;
                self.words.get(&(select.id, bank, self.index - 1)).copied().unwrap_or(0)
            }
            offset::TABLE_INDEX => self.index,
            _ => self.register(at),
        }
    }

    fn write(&mut self, at: usize, value: u32) {
        match at {
            offset::TABLE_INDEX => self.index = value,
            offset::TABLE_DATA => {
                let id = self.select().id;
                let bank = self.bank(false, self.index);
                self.words.insert((id, bank, self.index), value & !self.stuck);
                self.verified.remove(&unit(id, self.index));
                self.index += 1;
                self.data_writes += 1;
            }
            offset::CHECK => {
                let id = self.select().id;
                let (first, count) = (self.register(offset::CHECK_FIRST), self.register(offset::CHECK_COUNT));
                let mut hasher = crc32fast::Hasher::new();
                for address in first..first + count {
                    let word = self.words.get(&(id, self.bank(false, address), address)).copied().unwrap_or(0);
                    hasher.update(&word.to_le_bytes());
                }
                let crc = hasher.finalize();
                self.registers.insert(offset::CHECK_CRC, crc);
                if crc == self.register(offset::CHECK_EXPECT) {
                    self.verified.insert(unit(id, first));
                }
            }
            offset::COMMIT => {
                let tables = (0..6).filter(|id| value >> id & 1 == 1).map(|id| (id, 0));
                let maps = (0..96u32)
                    .filter(|map| self.register(offset::COMMIT_MAPS + 4 * (*map as usize / 32)) >> (map % 32) & 1 == 1);
                let named: BTreeSet<(u8, u32)> = tables.chain(maps.map(|map| (Table::Map as u8, map))).collect();
                if named.is_subset(&self.verified) {
                    for unit in named {
                        self.verified.remove(&unit);
                        if !self.banks.remove(&unit) {
                            self.banks.insert(unit);
                        }
                        if unit.0 == Table::Map as u8 {
                            *self.registers.entry(offset::MAP_VALID + 4 * (unit.1 as usize / 32)).or_default() |=
                                1 << (unit.1 % 32);
                        }
                    }
                    *self.registers.entry(offset::GENERATION).or_default() += 1;
                } else {
                    *self.registers.entry(offset::FAULT).or_default() |=
                        Fault { commit_refused: true, ..Fault::default() }.bits();
                }
            }
            offset::FAULT => *self.registers.entry(offset::FAULT).or_default() &= !value,
            _ => {
                self.registers.insert(at, value);
            }
        }
    }

    /// Takes the verification of a table away, as a write by somebody else does.
    pub fn disturb(&mut self, table: Table) {
        self.verified.remove(&(table as u8, 0));
    }
}

/// The methods of a device that has registers and nothing else.
#[macro_export]
macro_rules! registers_only {
    () => {
        fn map_dma(&self, iova: u64, bytes: usize) -> Result<Arc<hashgate_device::DmaRegion>, DeviceError> {
            Err(DeviceError::DmaMap { iova, bytes, reason: "registers only" })
        }
        fn interrupt_vectors(&self) -> usize {
            0
        }
        fn enable_interrupts(&self, wanted: usize) -> Result<Vec<Arc<dyn hashgate_device::Interrupt>>, DeviceError> {
            Err(DeviceError::Interrupts { wanted, available: 0 })
        }
        fn reset(&self) -> Result<(), DeviceError> {
            Ok(())
        }
    };
}

impl PciDevice for Mock {
    registers_only!();
    fn config_read(&self, offset: u16, _width: Width) -> Result<u32, DeviceError> {
        Ok(match offset {
            0 => hashgate_device::VENDOR_ID.into(),
            2 => hashgate_device::DEVICE_ID.into(),
            _ => 0,
        })
    }
    fn config_write(&self, _offset: u16, _width: Width, _value: u32) -> Result<(), DeviceError> {
        Ok(())
    }
    fn bar(&self, _index: u8) -> Result<Arc<dyn Bar>, DeviceError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Bar for Mock {
    fn size(&self) -> usize {
        4096
    }
    fn read32(&self, offset: usize) -> u32 {
        check_bar_access(offset, 4096);
        let mut state = self.state();
        if state.gone { u32::MAX } else { state.read(offset) }
    }
    fn write32(&self, offset: usize, value: u32) {
        check_bar_access(offset, 4096);
        let mut state = self.state();
        if !state.gone {
            state.write(offset, value);
        }
    }
}
