// SPDX-License-Identifier: Apache-2.0
//! Bring-up, loading of tables and commit.

use crate::pack::{FLAGS_WORDS, TABLES, Unit, pack, pack_flags, unpack, unpack_flags};
use crate::{BulkMover, NicError, NicInfo};
use hashgate_device::{Bar, DEVICE_ID, PciDevice, VENDOR_ID, Width, config, map_bar};
use hashgate_regs::defs::Table;
use hashgate_regs::registers::{Control, Fault, Status, TableSelect, offset};
use hashgate_regs::{RegisterIo, Registers};
use hashgate_tables::{BUCKETS, BucketFlags, Mac, OtherIp, Settings, TableError, Tables};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of BAR 0 that the registers take.
const REGISTER_BYTES: usize = 4096;
/// Reads of the status before an operation is given up. The longest one, the initialisation, takes 33000 clock cycles;
/// a read takes six at least.
const POLLS: u32 = 100_000;
/// Words from which on the bulk mover is faster than registers.
const BULK_WORDS: usize = 64;
/// Register that the reset is seen by: it keeps its value until a full reset is done.
const RESET_WITNESS: usize = 7;

/// Register access through a BAR.
#[derive(Clone)]
pub struct BarIo(Arc<dyn Bar>);

impl BarIo {
    /// See [`Bar::pause`].
    pub(crate) fn pause(&self, reads: u32) {
        self.0.pause(reads);
    }
}

impl RegisterIo for BarIo {
    fn read32(&self, offset: usize) -> u32 {
        self.0.read32(offset)
    }
    fn write32(&self, offset: usize, value: u32) {
        self.0.write32(offset, value);
    }
}

/// What went wrong in the NIC since the faults were cleared; the counts are since its reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A commit named something that was not verified.
    pub commit_refused: bool,
    /// A frame consulted a table word with wrong parity.
    pub parity: bool,
    /// The scrubber found a difference in an active map.
    pub scrub: bool,
    /// A binding table met a key, a record or a flag with wrong parity; which and how often is in
    /// [`BindingCounters`](crate::BindingCounters).
    pub binding_parity: bool,
    /// Frames that consulted a word with wrong parity; wraps at 2^32.
    pub parity_errors: u32,
    /// Differences that the scrubber found; wraps at 2^32.
    pub scrub_errors: u32,
    /// The map in which it found the last one.
    pub scrub_map: u8,
}

/// What is known of the two banks of a unit.
#[derive(Clone, Default)]
struct Banks {
    /// Words of the active bank, if known.
    active: Option<Vec<u32>>,
    /// Words of the shadow bank, if known.
    shadow: Option<Vec<u32>>,
    /// The NIC has verified the shadow as it is.
    verified: bool,
}

/// A NIC under this driver.
pub struct Nic {
    registers: Registers<BarIo>,
    info: NicInfo,
    banks: BTreeMap<Unit, Banks>,
    /// Maps that were committed since the reset.
    valid_maps: BTreeSet<u8>,
    /// Words of the flags of each map, where known.
    flags: BTreeMap<u8, Vec<u32>>,
    /// What the next commit will switch.
    staged: BTreeSet<Unit>,
    /// Moves many words at once, if there is something that does.
    bulk: Option<Box<dyn BulkMover>>,
}

impl Nic {
    /// Takes a device into service: checks that it is a Hashgate NIC that this driver knows, and waits until its tables
    /// are initialised. A NIC that is running goes on as it is.
    ///
    /// # Errors
    /// [`NicError::WrongDevice`], [`NicError::WrongId`], [`NicError::WrongVersion`] and [`NicError::ImpossibleBuild`] if
    /// it is not, [`NicError::NoAnswer`] if all reads give ones, [`NicError::Timeout`] if it does not get ready,
    /// [`NicError::Device`] if it cannot be reached.
    pub fn open(device: &dyn PciDevice) -> Result<Nic, NicError> {
        let vendor = device.config_read(config::VENDOR, Width::Word)? as u16;
        let id = device.config_read(config::DEVICE, Width::Word)? as u16;
        if (vendor, id) == (u16::MAX, u16::MAX) {
            return Err(NicError::NoAnswer);
        }
        if (vendor, id) != (VENDOR_ID, DEVICE_ID) {
            return Err(NicError::WrongDevice { vendor, device: id });
        }
        let command = device.config_read(config::COMMAND, Width::Word)?;
        device.config_write(config::COMMAND, Width::Word, command | config::COMMAND_MEMORY)?;
        let registers = Registers::new(BarIo(map_bar(device, 0, REGISTER_BYTES)?));
        let info = NicInfo::read(&registers)?;
        let mut nic = Nic {
            registers,
            info,
            banks: BTreeMap::new(),
            valid_maps: BTreeSet::new(),
            flags: BTreeMap::new(),
            staged: BTreeSet::new(),
            bulk: None,
        };
        nic.wait("the initialisation of the tables", |status| status.ready)?;
        nic.valid_maps = (0..nic.info.limits.maps).filter(|map| nic.map_bit(Registers::map_valid, *map)).collect();
        if nic.registers.generation() == 0 {
            // Only a commit changes active banks, and all tables but the maps start as zeros.
            for unit in nic.units() {
                if matches!(unit, Unit::Table(_)) {
                    let zeros = vec![0; unit.words(&nic.info)];
                    nic.banks.insert(unit, Banks { active: Some(zeros), ..Banks::default() });
                }
            }
        }
        Ok(nic)
    }

    /// What the NIC says about itself.
    pub fn info(&self) -> &NicInfo {
        &self.info
    }

    /// The registers, for what this driver has no method for. The driver does not notice what is written there: leave
    /// `TABLE_*`, `CHECK*` and `COMMIT*` to it, or open the NIC again afterwards.
    pub fn registers(&self) -> &Registers<BarIo> {
        &self.registers
    }

    /// Lets `mover` load and dump tables from now on; with `None` registers do it. What is loaded is checked and committed as before. The mover
    /// has to belong to this NIC.
    pub fn set_bulk(&mut self, mover: Option<Box<dyn BulkMover>>) {
        self.bulk = mover;
    }

    pub(crate) fn take_bulk(&mut self) -> Option<Box<dyn BulkMover>> {
        self.bulk.take()
    }

    /// Reads the status until `done`.
    pub(crate) fn wait(&self, what: &'static str, done: impl Fn(Status) -> bool) -> Result<(), NicError> {
        for reads in 1..=POLLS {
            let bits = self.registers.io().read32(offset::STATUS);
            if bits == u32::MAX {
                return Err(NicError::NoAnswer);
            }
            if done(Status::from_bits(bits)) {
                return Ok(());
            }
            self.registers.io().pause(reads);
        }
        Err(NicError::Timeout { what, polls: POLLS })
    }

    /// The error that says more: the NIC may have gone away.
    pub(crate) fn or_gone(&self, error: NicError) -> NicError {
        if self.registers.id() == u32::MAX { NicError::NoAnswer } else { error }
    }

    fn map_bit(&self, register: impl Fn(&Registers<BarIo>, usize) -> u32, map: u8) -> bool {
        register(&self.registers, usize::from(map / 32)) >> (map % 32) & 1 == 1
    }

    /// All units of this NIC.
    fn units(&self) -> Vec<Unit> {
        let maps = (0..self.info.limits.maps).map(Unit::Map);
        TABLES.into_iter().map(Unit::Table).chain(maps).collect()
    }

    // ---- loading ----------------------------------------------------------------------------------------------------

    /// Checks `tables` against the limits of the NIC and makes the shadow banks hold them, verified by the NIC. Nothing
    /// changes for frames before [`Nic::commit`]; staging again replaces what was staged before. Settings and flags are
    /// not staged, see [`Nic::apply_settings`] and [`Nic::set_flags`]. Maps that `tables` does not have stay as they are.
    ///
    /// # Errors
    /// [`NicError::Table`] names the first limit that is broken, [`NicError::VipPlacement`] or [`NicError::MacPlacement`]
    /// an entry without a place, [`NicError::RuleInUse`] a rule that would inherit the bindings of a removed one of its
    /// number; nothing was written then. [`NicError::Crc`] if the NIC reads back something else, [`NicError::Bulk`] if the table mover fails,
    /// [`NicError::NoAnswer`] and [`NicError::Timeout`] if it fails on the way; nothing is staged then.
    pub fn stage(&mut self, tables: &Tables) -> Result<(), NicError> {
        tables.validate(&self.info.limits)?;
        self.refuse_rules_in_use(tables)?;
        self.stage_unchecked(tables)
    }

    /// As [`Nic::stage`], but takes tables that refer to rules, maps and targets that are not there, that overlap or
    /// make no sense: for verification, which wants to know what the NIC does then.
    ///
    /// # Errors
    /// As [`Nic::stage`]; of the limits only those without which a table cannot be written.
    pub fn stage_unchecked(&mut self, tables: &Tables) -> Result<(), NicError> {
        self.staged.clear();
        if self.registers.id() == u32::MAX {
            return Err(NicError::NoAnswer);
        }
        let images = pack(tables, &self.info, |table| {
            let banks = self.banks.get(&Unit::Table(table))?;
            banks.active.clone().or_else(|| banks.shadow.clone())
        })?;
        let mut staged = BTreeSet::new();
        for (unit, image) in images {
            if !self.is_active(unit, &image) {
                self.load_unit(unit, image)?;
                staged.insert(unit);
            }
        }
        self.staged = staged;
        Ok(())
    }

    /// Whether frames already see `image`.
    fn is_active(&self, unit: Unit, image: &[u32]) -> bool {
        let valid = if let Unit::Map(map) = unit { self.valid_maps.contains(&map) } else { true };
        valid && self.banks.get(&unit).is_some_and(|banks| banks.active.as_deref() == Some(image))
    }

    /// Makes the shadow of a unit hold `image`, verified.
    fn load_unit(&mut self, unit: Unit, image: Vec<u32>) -> Result<(), NicError> {
        let mut banks = self.banks.remove(&unit).unwrap_or_default();
        let result = self.load_banks(unit, image, &mut banks);
        self.banks.insert(unit, banks);
        result
    }

    fn load_banks(&mut self, unit: Unit, image: Vec<u32>, banks: &mut Banks) -> Result<(), NicError> {
        if banks.verified && banks.shadow.as_ref() == Some(&image) {
            return Ok(());
        }
        let crc = crc_of(&image);
        // Not known until it is verified: should this fail on the way, everything is written anew.
        banks.verified = false;
        let mut shadow = banks.shadow.take();
        if shadow.is_none() {
            // The NIC can tell by the CRC whether it is what is wanted, or still empty.
            let read = self.check(unit, crc, image.len())?;
            let zeros = vec![0; image.len()];
            if read == crc {
                shadow = Some(image.clone());
            } else if read == crc_of(&zeros) {
                shadow = Some(zeros);
            }
        }
        if shadow.as_ref() != Some(&image) {
            self.write_unit(unit, &image, shadow.as_deref())?;
        }
        let read = self.check(unit, crc, image.len())?;
        if read != crc {
            return Err(self.or_gone(NicError::Crc { table: unit.table(), part: unit.part(), read, written: crc }));
        }
        banks.shadow = Some(image);
        banks.verified = true;
        Ok(())
    }

    /// Lets the NIC read the shadow of a unit back; gives its CRC. If it is `expected`, the shadow is verified.
    fn check(&self, unit: Unit, expected: u32, words: usize) -> Result<u32, NicError> {
        let registers = &self.registers;
        registers.set_table_select(TableSelect { id: unit.table() as u8, ..TableSelect::default() });
        registers.set_check_first(unit.first());
        registers.set_check_count(words as u32);
        registers.set_check_expect(expected);
        registers.set_check(true);
        self.wait("the check of a table", |status| !status.check_busy)?;
        Ok(registers.check_crc())
    }

    /// Makes the shadow of a unit hold `image`, where `known` says that it does not: by the bulk mover, if there are many such words.
    fn write_unit(&mut self, unit: Unit, image: &[u32], known: Option<&[u32]>) -> Result<(), NicError> {
        let table = unit.table();
        let differs = |n: &usize| known.is_none_or(|known| known[*n] != image[*n]);
        let count = (0..image.len()).filter(differs).count();
        let ends = (0..image.len()).find(differs).zip((0..image.len()).rfind(differs));
        if let (Some((first, last)), Some(bulk)) = (ends.filter(|_| count >= BULK_WORDS), &mut self.bulk) {
            return bulk
                .load(table, unit.first() + first as u32, &image[first..=last])
                .map_err(|source| NicError::Bulk { table, source });
        }
        self.write_words(table, unit.first(), image, known);
        Ok(())
    }

    /// As [`Nic::read_words`], by the bulk mover if there is one and it is worth it.
    pub(crate) fn dump_words(&mut self, table: Table, first: u32, count: usize) -> Result<Vec<u32>, NicError> {
        let Some(bulk) = self.bulk.as_mut().filter(|_| count >= BULK_WORDS) else {
            return Ok(self.read_words(table, first, count));
        };
        let mut words = vec![0; count];
        bulk.dump(table, true, first, &mut words).map_err(|source| NicError::Bulk { table, source })?;
        Ok(words)
    }

    /// Writes the words from `first` on of a table (its shadow, if it has one) that differ from `known`.
    fn write_words(&self, table: Table, first: u32, words: &[u32], known: Option<&[u32]>) {
        self.registers.set_table_select(TableSelect { id: table as u8, ..TableSelect::default() });
        let mut next = None;
        for (n, word) in (0u32..).zip(words) {
            let unused = n % table.stride() >= table.words();
            if unused || known.is_some_and(|known| known[n as usize] == *word) {
                continue;
            }
            if next != Some(n) {
                self.registers.set_table_index(first + n);
            }
            self.registers.set_table_data(*word);
            next = Some(n + 1);
        }
    }

    /// Reads `count` words from `first` on of a table, from its active bank if it has two.
    pub(crate) fn read_words(&self, table: Table, first: u32, count: usize) -> Vec<u32> {
        self.registers.set_table_select(TableSelect { id: table as u8, active: true, ..TableSelect::default() });
        self.registers.set_table_index(first);
        (0..count).map(|_| self.registers.table_data()).collect()
    }

    /// Reads one entry of `N` words from a table, from its active bank if it has two.
    pub(crate) fn read_entry<const N: usize>(&self, table: Table, index: u32) -> [u32; N] {
        self.registers.set_table_select(TableSelect { id: table as u8, active: true, ..TableSelect::default() });
        self.registers.set_table_index(index * table.stride());
        std::array::from_fn(|_| self.registers.table_data())
    }

    /// Switches everything staged, between two frames. If nothing is staged, nothing happens.
    ///
    /// # Errors
    /// [`NicError::CommitRefused`] if the NIC found something not verified; nothing has changed then and nothing is
    /// staged any more. [`NicError::NoAnswer`] and [`NicError::Timeout`] if the NIC fails.
    pub fn commit(&mut self) -> Result<(), NicError> {
        let staged = std::mem::take(&mut self.staged);
        if staged.is_empty() {
            return Ok(());
        }
        let mut tables = 0;
        let mut maps = [0u32; 3];
        for unit in &staged {
            match *unit {
                Unit::Table(table) => tables |= 1 << table as u8,
                Unit::Map(map) => maps[usize::from(map / 32)] |= 1 << (map % 32),
            }
        }
        let generation = self.registers.generation();
        self.registers.set_fault(Fault { commit_refused: true, ..Fault::default() });
        for (n, bits) in maps.into_iter().enumerate() {
            self.registers.set_commit_maps(n, bits);
        }
        self.registers.set_commit(tables);
        for _ in 0..POLLS {
            let now = self.registers.generation();
            if now == generation.wrapping_add(1) {
                self.switched(&staged);
                return Ok(());
            }
            if now == u32::MAX {
                return Err(self.or_gone(NicError::Timeout { what: "the commit", polls: POLLS }));
            }
            if self.registers.fault().commit_refused {
                // Somebody else wrote to the shadows; what lies there is not known any more.
                for unit in &staged {
                    let banks = self.banks.entry(*unit).or_default();
                    (banks.shadow, banks.verified) = (None, false);
                }
                return Err(NicError::CommitRefused {
                    tables,
                    maps: maps.iter().map(|m| m.count_ones() as usize).sum(),
                });
            }
        }
        Err(NicError::Timeout { what: "the commit", polls: POLLS })
    }

    /// The banks of `staged` have changed their roles.
    fn switched(&mut self, staged: &BTreeSet<Unit>) {
        for unit in staged {
            let banks = self.banks.entry(*unit).or_default();
            std::mem::swap(&mut banks.active, &mut banks.shadow);
            banks.verified = false;
            if let Unit::Map(map) = *unit {
                self.valid_maps.insert(map);
            }
        }
    }

    /// Settings, tables and flags in one go: [`Nic::apply_settings`], [`Nic::stage`], [`Nic::set_flags`],
    /// [`Nic::commit`], in this order. Flags of maps in `tables` are as `tables` says from then on.
    ///
    /// # Errors
    /// Those of these methods; what comes after the one that failed was not done.
    pub fn load(&mut self, tables: &Tables) -> Result<(), NicError> {
        tables.validate(&self.info.limits)?;
        self.apply_settings(&tables.settings)?;
        self.stage_unchecked(tables)?;
        self.write_flags(&tables.flags, tables.maps.keys().copied())?;
        self.commit()
    }

    // ---- flags and settings -------------------------------------------------------------------------------------------

    /// Sets the flags of buckets; they take effect at once. Afterwards the flags of every map that `flags` names, and of
    /// every map whose flags this driver has set or read before, are exactly as `flags` says.
    ///
    /// # Errors
    /// [`NicError::Table`] if a map or bucket is out of range; nothing was written then.
    pub fn set_flags(&mut self, flags: &BTreeMap<(u8, u16), BucketFlags>) -> Result<(), NicError> {
        self.write_flags(flags, std::iter::empty())
    }

    fn write_flags(
        &mut self,
        flags: &BTreeMap<(u8, u16), BucketFlags>,
        also: impl Iterator<Item = u8>,
    ) -> Result<(), NicError> {
        for &(map, bucket) in flags.keys() {
            for (what, value, max) in [
                ("map of a flag", u64::from(map), u64::from(self.info.limits.maps) - 1),
                ("bucket of a flag", u64::from(bucket), BUCKETS as u64 - 1),
            ] {
                if value > max {
                    return Err(TableError::Range { what, value, max }.into());
                }
            }
        }
        let mut maps: BTreeSet<u8> = flags.keys().map(|(map, _)| *map).chain(also).collect();
        maps.extend(self.flags.keys());
        for map in maps {
            let words = pack_flags(flags, map);
            let first = u32::from(map) * FLAGS_WORDS as u32;
            self.write_words(Table::Flags, first, &words, self.flags.get(&map).map(Vec::as_slice));
            self.flags.insert(map, words);
        }
        Ok(())
    }

    /// Sets HANDOVER of the buckets of one map as `buckets` says (bit b % 8 of byte b / 8; empty: none has it); TRACK and other maps stay as they are. Takes effect at once, some
    /// buckets after others.
    ///
    /// # Errors
    /// [`NicError::Table`] if the map is out of range or there is another number of bits than [`BUCKETS`]; nothing was written then. [`NicError::Bulk`] if the table mover fails.
    pub fn set_handover(&mut self, map: u8, buckets: &[u8]) -> Result<(), NicError> {
        let maps = self.info.limits.maps;
        if map >= maps {
            let (what, value, max) = ("map of a flag", map.into(), u64::from(maps) - 1);
            return Err(TableError::Range { what, value, max }.into());
        }
        if !buckets.is_empty() && buckets.len() != BUCKETS / 8 {
            let (what, value, max) = ("bytes of flags", buckets.len() as u64, BUCKETS as u64 / 8);
            return Err(TableError::Range { what, value, max }.into());
        }
        let first = u32::from(map) * FLAGS_WORDS as u32;
        let known = match self.flags.remove(&map) {
            Some(words) => words,
            None => self.dump_words(Table::Flags, first, FLAGS_WORDS)?,
        };
        // Two bytes of `buckets` make a word: bit i of them becomes bit 2i.
        let handover = |n: usize| {
            let bits = buckets.get(2 * n..2 * n + 2).map_or(0, |pair| u32::from(pair[0]) | u32::from(pair[1]) << 8);
            (0..16).fold(0, |word, i| word | (bits >> i & 1) << (2 * i))
        };
        let words: Vec<u32> = known.iter().enumerate().map(|(n, word)| word & 0xaaaa_aaaa | handover(n)).collect();
        let differing = words.iter().zip(&known).filter(|(new, old)| new != old).count();
        match self.bulk.as_mut().filter(|_| differing >= BULK_WORDS) {
            Some(bulk) => bulk
                .load(Table::Flags, first, &words)
                .map_err(|source| NicError::Bulk { table: Table::Flags, source })?,
            None => self.write_words(Table::Flags, first, &words, Some(&known)),
        }
        self.flags.insert(map, words);
        Ok(())
    }

    /// Sets the registers that `settings` tells about, where they differ; they take effect at once, one after the other.
    ///
    /// # Errors
    /// [`NicError::HashKeyInUse`] if the hash key would change while the receive path is enabled; nothing was written
    /// then.
    pub fn apply_settings(&mut self, settings: &Settings) -> Result<(), NicError> {
        let registers = &self.registers;
        let control = registers.control();
        let key: Vec<u32> = settings.hash_key.chunks_exact(4).map(word).collect();
        let changed: Vec<usize> = (0..key.len()).filter(|n| registers.hash_key(*n) != key[*n]).collect();
        if control.enable && !changed.is_empty() {
            return Err(self.or_gone(NicError::HashKeyInUse));
        }
        for n in changed {
            registers.set_hash_key(n, key[n]);
        }
        let set_mac = |mac: Mac, low: usize| {
            let number = mac.to_u64();
            for (offset, half) in [(low, number as u32), (low + 4, (number >> 32) as u32)] {
                if registers.io().read32(offset) != half {
                    registers.io().write32(offset, half);
                }
            }
        };
        set_mac(settings.station_mac, offset::STATION_MAC_LOW);
        set_mac(settings.cluster_mac, offset::CLUSTER_MAC_LOW);
        set_mac(settings.mask_mac, offset::MASK_MAC_LOW);
        registers.set_control(Control {
            enable: control.enable,
            icmp_owner: settings.icmp_owner,
            other_ip: match settings.other_ip {
                OtherIp::Deliver => 0,
                OtherIp::Discard => 1,
                OtherIp::Balance => 2,
            },
            promiscuous: settings.promiscuous,
            all_multicast: settings.all_multicast,
            mask_source: settings.mask_source,
        });
        Ok(())
    }

    /// The settings that the registers hold.
    pub fn settings(&self) -> Settings {
        read_settings(&self.registers)
    }

    /// Switches the receive path on or off. While it is off every frame is discarded as `not-ready`.
    pub fn enable(&mut self, on: bool) {
        self.registers.set_control(Control { enable: on, ..self.registers.control() });
    }

    /// Whether the receive path is on.
    pub fn is_enabled(&self) -> bool {
        self.registers.control().enable
    }

    /// Whether the MAC of a wire port has a link; ports that the NIC does not have never do.
    pub fn has_link(&self, port: u8) -> bool {
        u32::from(self.registers.status().link).checked_shr(port.into()).is_some_and(|links| links & 1 == 1)
    }

    // ---- adoption -----------------------------------------------------------------------------------------------------

    /// Reads what the NIC does now: settings, active tables, valid maps and their flags. The driver knows the active
    /// banks from then on, so the next [`Nic::stage`] leaves alone what is already there.
    ///
    /// Zones 0, empty slots at the end and buckets without flags are left out, addresses come in order of zone and
    /// address.
    ///
    /// # Errors
    /// [`NicError::Unknown`] if a table holds a value without a meaning, [`NicError::NoAnswer`] if the NIC is gone,
    /// [`NicError::Bulk`] if the table mover fails.
    pub fn read_active(&mut self) -> Result<Tables, NicError> {
        let mut tables = Tables { settings: self.settings(), ..Tables::default() };
        let maps = self.valid_maps.iter().copied().map(Unit::Map);
        let units: Vec<Unit> = TABLES.into_iter().map(Unit::Table).chain(maps).collect();
        for unit in units {
            let words = self.dump_words(unit.table(), unit.first(), unit.words(&self.info))?;
            if words.contains(&u32::MAX) && self.registers.id() == u32::MAX {
                return Err(NicError::NoAnswer);
            }
            unpack(unit, &words, &mut tables)?;
            self.banks.entry(unit).or_default().active = Some(words);
        }
        for map in self.valid_maps.clone() {
            let words = self.dump_words(Table::Flags, u32::from(map) * FLAGS_WORDS as u32, FLAGS_WORDS)?;
            unpack_flags(&words, map, &mut tables.flags);
            self.flags.insert(map, words);
        }
        Ok(tables)
    }

    // ---- faults and reset -----------------------------------------------------------------------------------------------

    /// What went wrong in the NIC.
    pub fn faults(&self) -> Faults {
        let fault = self.registers.fault();
        Faults {
            commit_refused: fault.commit_refused,
            parity: fault.parity,
            scrub: fault.scrub,
            binding_parity: fault.binding_parity,
            parity_errors: self.registers.parity_errors(),
            scrub_errors: self.registers.scrub_errors(),
            scrub_map: self.registers.scrub_map(),
        }
    }

    /// Clears the faults that [`Nic::faults`] reports as flags; the counts stay.
    pub fn clear_faults(&mut self) {
        self.registers.set_fault(Fault { commit_refused: true, parity: true, scrub: true, binding_parity: true });
    }

    /// Resets the NIC as at power-on and waits until it is ready again: all tables, registers and counters are empty,
    /// the receive path is disabled.
    ///
    /// # Errors
    /// [`NicError::Timeout`] if it does not get ready, [`NicError::NoAnswer`] if it is gone.
    pub fn full_reset(&mut self) -> Result<(), NicError> {
        self.registers.set_scratch(RESET_WITNESS, 1);
        self.registers.set_full_reset(true);
        self.wait("the reset", |status| status.ready && self.registers.scratch(RESET_WITNESS) == 0)?;
        for unit in self.units() {
            let zeros = vec![0; unit.words(&self.info)];
            let banks = match unit {
                Unit::Table(_) => Banks { active: Some(zeros.clone()), shadow: Some(zeros), verified: false },
                // The reset does not clear the maps.
                Unit::Map(_) => Banks::default(),
            };
            self.banks.insert(unit, banks);
        }
        self.valid_maps.clear();
        self.staged.clear();
        self.flags = (0..self.info.limits.maps).map(|map| (map, vec![0; FLAGS_WORDS])).collect();
        Ok(())
    }
}

/// Four bytes, the first most significant.
fn word(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// CRC-32 (IEEE 802.3) of words, each least significant byte first.
fn crc_of(words: &[u32]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for word in words {
        hasher.update(&word.to_le_bytes());
    }
    hasher.finalize()
}

/// The settings in the registers of a NIC.
pub fn read_settings<IO: RegisterIo>(registers: &Registers<IO>) -> Settings {
    let control = registers.control();
    let mac = |low: u32, high: u16| {
        let [_, _, mac @ ..] = (u64::from(high) << 32 | u64::from(low)).to_be_bytes();
        Mac(mac)
    };
    let mut hash_key = [0; 52];
    for (n, bytes) in hash_key.chunks_exact_mut(4).enumerate() {
        bytes.copy_from_slice(&registers.hash_key(n).to_be_bytes());
    }
    Settings {
        station_mac: mac(registers.station_mac_low(), registers.station_mac_high()),
        cluster_mac: mac(registers.cluster_mac_low(), registers.cluster_mac_high()),
        mask_mac: mac(registers.mask_mac_low(), registers.mask_mac_high()),
        mask_source: control.mask_source,
        icmp_owner: control.icmp_owner,
        other_ip: match control.other_ip {
            1 => OtherIp::Discard,
            2 => OtherIp::Balance,
            _ => OtherIp::Deliver,
        },
        promiscuous: control.promiscuous,
        all_multicast: control.all_multicast,
        hash_key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_that_of_ieee_over_little_endian_words() {
        // The check value of the CRC catalogue is for "123456789"; here for its first eight bytes.
        assert_eq!(crc_of(&[0x3433_3231, 0x3837_3635]), 0x9ae0_daaf);
    }
}
