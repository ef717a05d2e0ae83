// SPDX-License-Identifier: Apache-2.0
//! The first page of BAR 0: identification, tables with two banks, check and commit. No frame is decided here; that and all registers about it are
//! in [`Plane`], if there is one.

use crate::Frame;
use crate::plane::Plane;
use hashgate_regs::defs::Table;
use hashgate_regs::registers::{Build0, Build1, Build2, Build3, Control, Fault, Status, TableSelect, offset, reset};

/// Sizes of the tables.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub rules: u8,
    pub maps: u8,
    pub ports: u8,
    pub targets: u16,
    pub exact_rows: u16,
    pub exact_capacity: u16,
    pub bindings: u32,
}

/// Small ones, which tests fill quickly.
const SMALL: Sizes =
    Sizes { rules: 8, maps: 8, ports: 2, targets: 64, exact_rows: 32, exact_capacity: 64, bindings: 64 };

/// Nanoseconds of a step: a clock of 250 MHz.
pub const STEP_NS: u64 = 4;
const BUCKETS_LOG2: u8 = 12;
const MAP_WORDS: usize = 2048;
const SHADOWED: u32 = 0x7f;
const EVENT_QUEUE: usize = 64;

/// One table: words as the address space has them.
struct Banks {
    active: Vec<u32>,
    /// Empty if the table has one bank only.
    shadow: Vec<u32>,
}

pub struct Core {
    /// What `ID` and `VERSION` read.
    pub id: u32,
    pub version: u32,
    /// Steps since the power came.
    pub steps: u64,
    /// Binding events that nobody has taken, oldest first.
    pub events: std::collections::VecDeque<[u32; 14]>,
    event_number: u32,
    events_lost: u32,
    pub sizes: Sizes,
    pub plane: Option<Plane>,
    /// Step in which NIC time was 0.
    time_zero: u64,
    tables: Vec<Banks>,
    /// The other words of a counter whose first one was read.
    latched: [u32; 4],
    verified_tables: u32,
    verified_maps: u128,
    valid_maps: u128,
    commit_maps: u128,
    generation: u32,
    select: TableSelect,
    index: u32,
    check_crc: u32,
    check_result: bool,
    fault: u32,
    /// Ports that have a link, bit = port.
    pub link: u8,
    /// Registers that only keep their value.
    plain: Vec<u32>,
}

/// Words of a table.
fn table_words(table: Table, sizes: &Sizes) -> usize {
    let entries = match table {
        Table::Zone => usize::from(sizes.ports) * 4096,
        Table::Mac | Table::Vip => 4 * usize::from(sizes.exact_rows),
        Table::Match => sizes.rules.into(),
        Table::Rule => (usize::from(sizes.rules) + 1).next_power_of_two(),
        Table::Target | Table::CountTarget => sizes.targets.into(),
        Table::Map => usize::from(sizes.maps) * MAP_WORDS,
        Table::Flags => usize::from(sizes.maps) * 256,
        Table::CountReason => 3 * 64,
        Table::CountRule => usize::from(sizes.rules) + 1,
        Table::CountLive => 4096,
        Table::CountRefused => 2 * 4096,
    };
    entries * table.stride() as usize
}

impl Core {
    pub fn new() -> Core {
        Core::with(SMALL, None)
    }

    pub fn with(sizes: Sizes, plane: Option<Plane>) -> Core {
        let banks = |table: &Table| {
            let zeros = vec![0; table_words(*table, &sizes)];
            Banks { shadow: if table.shadowed() { zeros.clone() } else { Vec::new() }, active: zeros }
        };
        let mut plain = vec![0; 1024];
        plain[offset::BIND_TICKS / 4] = reset::BIND_TICKS;
        plain[offset::SCRUB_INTERVAL / 4] = reset::SCRUB_INTERVAL;
        Core {
            id: reset::ID,
            version: reset::VERSION,
            steps: 0,
            sizes,
            plane,
            time_zero: 0,
            latched: [0; 4],
            events: std::collections::VecDeque::new(),
            event_number: 0,
            events_lost: 0,
            tables: Table::ALL.iter().map(banks).collect(),
            verified_tables: 0,
            verified_maps: 0,
            valid_maps: 0,
            commit_maps: 0,
            generation: 0,
            select: TableSelect::default(),
            index: 0,
            check_crc: 0,
            check_result: false,
            fault: 0,
            link: (1 << sizes.ports) - 1,
            plain,
        }
    }

    pub fn time_ns(&self) -> u64 {
        (self.steps - self.time_zero) * STEP_NS
    }

    /// Something has happened to a binding; `words` are 1..=13 of the event.
    pub fn event(&mut self, words: [u32; 13]) {
        let mut event = [0; 14];
        event[0] = self.event_number;
        event[1..].copy_from_slice(&words);
        self.event_number = self.event_number.wrapping_add(1);
        if self.events.len() < EVENT_QUEUE {
            self.events.push_back(event);
        } else {
            self.events_lost = self.events_lost.wrapping_add(1);
        }
    }

    /// A word of a table; 0 beyond its end.
    pub fn table_read(&self, table: Table, active: bool, index: u32) -> u32 {
        if let Some(plane) = &self.plane
            && let Some(word) = plane.count(table, index)
        {
            return word;
        }
        let banks = &self.tables[table as usize];
        let bank = if active || !table.shadowed() { &banks.active } else { &banks.shadow };
        bank.get(index as usize).copied().unwrap_or(0)
    }

    /// Writes a word of the shadow of a table, or of its only bank; lost beyond its end and in tables of counters.
    pub fn table_write(&mut self, table: Table, index: u32, value: u32) {
        let banks = &mut self.tables[table as usize];
        let exists = index % table.stride() < table.words();
        let bank = match table {
            Table::Flags => &mut banks.active,
            _ => &mut banks.shadow,
        };
        if let Some(word) = bank.get_mut(index as usize).filter(|_| exists) {
            *word = value;
        }
        if let (Table::Flags, Some(plane)) = (table, &mut self.plane)
            && let Some(word) = self.tables[table as usize].active.get(index as usize)
        {
            plane.set_flags(index, *word);
        }
        match table {
            Table::Map => self.verified_maps &= !(1u128.checked_shl(index / MAP_WORDS as u32).unwrap_or(0)),
            _ => self.verified_tables &= !(1 << table as u32),
        }
    }

    fn check(&mut self) {
        let Ok(table) = Table::try_from(self.select.id) else { return };
        let (first, count) =
            (self.plain[offset::CHECK_FIRST / 4] & 0xf_ffff, self.plain[offset::CHECK_COUNT / 4] & 0x1f_ffff);
        let mut hasher = crc32fast::Hasher::new();
        for index in first..first + count {
            hasher.update(&self.table_read(table, false, index).to_le_bytes());
        }
        self.check_crc = hasher.finalize();
        self.check_result = self.check_crc == self.plain[offset::CHECK_EXPECT / 4];
        let (first, count) = (first as usize, count as usize);
        match table {
            Table::Map
                if count == MAP_WORDS
                    && first.is_multiple_of(MAP_WORDS)
                    && first / MAP_WORDS < self.sizes.maps.into() =>
            {
                let bit = 1 << (first / MAP_WORDS);
                self.verified_maps = self.verified_maps & !bit | if self.check_result { bit } else { 0 };
            }
            Table::Map => {}
            table if first == 0 && count == table_words(table, &self.sizes) && table.shadowed() => {
                let bit = 1 << table as u32;
                self.verified_tables = self.verified_tables & !bit | if self.check_result { bit } else { 0 };
            }
            _ => {}
        }
    }

    fn commit(&mut self, tables: u32) {
        let (tables, maps) = (tables & SHADOWED & !(1 << Table::Map as u32), self.commit_maps);
        if tables & !self.verified_tables != 0 || maps & !self.verified_maps != 0 {
            self.fault |= Fault { commit_refused: true, ..Fault::default() }.bits();
            return;
        }
        for (n, banks) in self.tables.iter_mut().enumerate().filter(|(n, _)| tables >> n & 1 == 1) {
            assert!(!banks.shadow.is_empty(), "table {n} has two banks");
            std::mem::swap(&mut banks.active, &mut banks.shadow);
        }
        let banks = &mut self.tables[Table::Map as usize];
        for map in (0..usize::from(self.sizes.maps)).filter(|map| maps >> map & 1 == 1) {
            let words = map * MAP_WORDS..(map + 1) * MAP_WORDS;
            banks.active[words.clone()].swap_with_slice(&mut banks.shadow[words]);
        }
        if let Some(plane) = &mut self.plane {
            plane.commit(tables, maps, |table| &self.tables[table as usize].active);
        }
        self.verified_tables &= !tables;
        self.verified_maps &= !maps;
        self.valid_maps |= maps;
        self.generation = self.generation.wrapping_add(1);
    }

    pub fn read(&mut self, at: usize) -> u32 {
        let now = self.time_ns();
        if let Some(plane) = &mut self.plane
            && let Some(value) = plane.read(at, now, &mut self.plain)
        {
            return if at == offset::STATUS {
                Status { link: self.link, ..Status::from_bits(value) }.bits()
            } else {
                value
            };
        }
        let (sizes, part) = (self.sizes, |bits: u128, n: usize| (bits >> (32 * n)) as u32);
        match at {
            offset::ID => self.id,
            offset::VERSION => self.version,
            offset::BUILD0 => Build0 { beat_bytes: 64, ports: sizes.ports, fcs: false, latency: 60 }.bits(),
            offset::BUILD1 => Build1 { rules: sizes.rules, maps: sizes.maps, buckets_log2: BUCKETS_LOG2 }.bits(),
            offset::BUILD2 => Build2 { targets: sizes.targets, vips: sizes.exact_capacity }.bits(),
            offset::BUILD3 => Build3 { multicast: sizes.exact_capacity, exact_rows: sizes.exact_rows }.bits(),
            offset::BUILD4 => sizes.bindings,
            offset::CLOCK_KHZ => (1_000_000 / STEP_NS) as u32,
            offset::STATUS => Status { ready: true, bind_ready: true, link: self.link, ..Status::default() }.bits(),
            offset::FAULT => self.fault,
            offset::TABLE_SELECT => self.select.bits(),
            offset::TABLE_INDEX => self.index,
            offset::TABLE_DATA => {
                let index = self.index;
                self.index = (index + 1) & 0xf_ffff;
                let Ok(table) = Table::try_from(self.select.id) else { return 0 };
                if matches!(table, Table::CountReason | Table::CountRule | Table::CountTarget) {
                    let word = index as usize % 4;
                    if word == 0 {
                        self.latched = std::array::from_fn(|n| self.table_read(table, true, index + n as u32));
                    }
                    return self.latched[word];
                }
                self.table_read(table, self.select.active, index)
            }
            offset::CHECK_CRC => self.check_crc,
            offset::CHECK_RESULT => self.check_result.into(),
            offset::GENERATION => self.generation,
            offset::VERIFIED_TABLES => self.verified_tables,
            _ if (offset::MAP_VALID..offset::MAP_VALID + 12).contains(&at) => {
                part(self.valid_maps, (at - offset::MAP_VALID) / 4)
            }
            _ if (offset::MAP_VERIFIED..offset::MAP_VERIFIED + 12).contains(&at) => {
                part(self.verified_maps, (at - offset::MAP_VERIFIED) / 4)
            }
            offset::TIME_NS => {
                self.plain[offset::TIME_NS / 4 + 1] = (self.time_ns() >> 32) as u32;
                self.time_ns() as u32
            }
            offset::EVENT_STATUS => u32::from(!self.events.is_empty()),
            offset::EVENT_LOST => self.events_lost,
            _ if (offset::EVENT_WORD..offset::EVENT_WORD + 56).contains(&at) => {
                self.events.front().map_or(0, |event| event[(at - offset::EVENT_WORD) / 4])
            }
            _ => self.plain[at / 4],
        }
    }

    pub fn write(&mut self, at: usize, value: u32) {
        self.store(at, value);
        let now = self.time_ns();
        if let Some(plane) = &mut self.plane {
            plane.written(at, value, now, &mut self.plain);
            self.take_events();
        }
    }

    /// A frame has come in by a wire port; gives it if it is for the host.
    pub fn receive(&mut self, port: u8, bytes: Vec<u8>) -> Option<Frame> {
        let now = self.time_ns();
        let frame = self.plane.as_mut().and_then(|plane| plane.receive(port, bytes, now));
        self.take_events();
        frame
    }

    /// Lets the clocks of the binding tables follow.
    pub fn sweep(&mut self) {
        let now = self.time_ns();
        if let Some(plane) = &mut self.plane {
            plane.sweep(now);
            self.take_events();
        }
    }

    fn take_events(&mut self) {
        for words in self.plane.as_mut().map(Plane::take_events).unwrap_or_default() {
            self.event(words);
        }
    }

    fn store(&mut self, at: usize, value: u32) {
        match at {
            offset::FULL_RESET if value & 1 == 1 => {
                let (steps, plane) = (self.steps, self.plane.as_ref().map(Plane::reset));
                let time_zero = if plane.is_some() { steps } else { 0 };
                *self = Core {
                    id: self.id,
                    version: self.version,
                    steps,
                    time_zero,
                    link: self.link,
                    ..Core::with(self.sizes, plane)
                };
            }
            offset::CONTROL => self.plain[at / 4] = Control::from_bits(value).bits(),
            offset::FAULT => self.fault &= !value,
            offset::TABLE_SELECT => self.select = TableSelect::from_bits(value),
            offset::TABLE_INDEX => self.index = value & 0xf_ffff,
            offset::TABLE_DATA => {
                if let Ok(table) = Table::try_from(self.select.id) {
                    self.table_write(table, self.index, value);
                }
                self.index = (self.index + 1) & 0xf_ffff;
            }
            offset::CHECK if value & 1 == 1 => self.check(),
            offset::COMMIT => self.commit(value),
            offset::EVENT_POP if value & 1 == 1 => drop(self.events.pop_front()),
            _ if (offset::COMMIT_MAPS..offset::COMMIT_MAPS + 12).contains(&at) => {
                let shift = 8 * (at - offset::COMMIT_MAPS);
                self.commit_maps = self.commit_maps & !(0xffff_ffff << shift) | u128::from(value) << shift;
            }
            offset::CONTROL..0x060 | offset::HASH_KEY..0x090 | offset::CHECK_FIRST..=offset::CHECK_EXPECT => {
                self.plain[at / 4] = value
            }
            offset::SCRUB_INTERVAL => self.plain[at / 4] = value,
            _ if (offset::SCRATCH..offset::SCRATCH + 32).contains(&at) => self.plain[at / 4] = value,
            offset::LEASE_DEADLINE..=offset::LEASE_CTRL | offset::BIND_TICKS => self.plain[at / 4] = value,
            _ => {}
        }
    }
}
