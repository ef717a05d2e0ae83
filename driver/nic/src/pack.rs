// SPDX-License-Identifier: Apache-2.0
//! Logical tables to words and back.

use crate::exact::{ExactKey, WAYS, place};
use crate::{NicError, NicInfo};
use hashgate_regs::defs::{
    Action, FlagsEntry, MacEntry, MapEntry, MatchEntry, Mode, RuleEntry, Table, TargetEntry, Track, VipEntry, VipKind,
    ZoneEntry,
};
use hashgate_tables::{BUCKETS, BucketFlags, KeyMask, Mac, MatchSlot, Rule, TableError, Tables, Target, Timeouts, Vip};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Words of a map.
pub(crate) const MAP_WORDS: usize = BUCKETS / 2;
/// Words of the flags of a map.
pub(crate) const FLAGS_WORDS: usize = BUCKETS / 16;
/// VLANs of a port.
const VLANS: usize = 4096;

/// What is verified and committed as a whole: a table, or one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// A table other than the maps.
    Table(Table),
    /// A map by its number.
    Map(u8),
}

/// The tables that are a unit each.
pub(crate) const TABLES: [Table; 6] = [Table::Zone, Table::Mac, Table::Vip, Table::Match, Table::Rule, Table::Target];

impl Unit {
    /// The table that it is or is part of.
    pub(crate) fn table(self) -> Table {
        match self {
            Unit::Table(table) => table,
            Unit::Map(_) => Table::Map,
        }
    }

    /// Address of its first word.
    pub(crate) fn first(self) -> u32 {
        match self {
            Unit::Table(_) => 0,
            Unit::Map(map) => u32::from(map) * MAP_WORDS as u32,
        }
    }

    /// Words in the address space, with the unused ones.
    pub(crate) fn words(self, info: &NicInfo) -> usize {
        let entries = match self.table() {
            Table::Zone => usize::from(info.limits.ports) * VLANS,
            Table::Mac | Table::Vip => WAYS * usize::from(info.exact_rows),
            Table::Match => info.limits.rules.into(),
            Table::Rule => (usize::from(info.limits.rules) + 1).next_power_of_two(),
            Table::Target => info.limits.targets.into(),
            _ => return MAP_WORDS,
        };
        entries * self.table().stride() as usize
    }

    /// Text to follow the table's name in an error.
    pub(crate) fn part(self) -> String {
        match self {
            Unit::Table(_) => String::new(),
            Unit::Map(map) => format!(", map {map},"),
        }
    }
}

/// The words of all units that `tables` tells about. `current` gives what is known to lie in an exact-match table now;
/// entries stay where they are as far as possible.
///
/// # Errors
/// [`NicError::Table`] if an index is beyond its table (which [`Tables::validate`] would have found),
/// [`NicError::VipPlacement`] and [`NicError::MacPlacement`] if entries have no place.
pub(crate) fn pack(
    tables: &Tables,
    info: &NicInfo,
    current: impl Fn(Table) -> Option<Vec<u32>>,
) -> Result<Vec<(Unit, Vec<u32>)>, NicError> {
    let mut units = Vec::new();
    for table in TABLES {
        let mut image = Image::new(Unit::Table(table), info);
        let lying = || current(table).unwrap_or_default();
        match table {
            Table::Zone => pack_zones(tables, &mut image)?,
            Table::Mac => pack_multicast(tables, info, &lying(), &mut image)?,
            Table::Vip => pack_vips(tables, info, &lying(), &mut image)?,
            Table::Match => pack_slots(tables, &mut image)?,
            Table::Rule => pack_rules(tables, info, &mut image)?,
            _ => pack_targets(tables, &mut image)?,
        }
        units.push((image.unit, image.words));
    }
    for (&map, owners) in &tables.maps {
        in_range("map", map, info.limits.maps)?;
        if owners.len() != BUCKETS {
            return Err(TableError::MapLength { map, len: owners.len() }.into());
        }
        let pair = |pair: &[u16]| MapEntry { owner_even: pair[0], owner_odd: pair[1] }.pack()[0];
        units.push((Unit::Map(map), owners.chunks_exact(2).map(pair).collect()));
    }
    Ok(units)
}

/// Words of a unit in the making.
struct Image {
    unit: Unit,
    stride: usize,
    words: Vec<u32>,
}

impl Image {
    fn new(unit: Unit, info: &NicInfo) -> Image {
        Image { unit, stride: unit.table().stride() as usize, words: vec![0; unit.words(info)] }
    }

    /// Sets entry `index`.
    fn set(&mut self, what: &'static str, index: usize, entry: &[u32]) -> Result<(), TableError> {
        in_range(what, index as u64, (self.words.len() / self.stride) as u64)?;
        self.words[index * self.stride..][..entry.len()].copy_from_slice(entry);
        Ok(())
    }
}

fn in_range(what: &'static str, value: impl Into<u64>, limit: impl Into<u64>) -> Result<(), TableError> {
    let (value, limit) = (value.into(), limit.into());
    if value < limit { Ok(()) } else { Err(TableError::Range { what, value, max: limit - 1 }) }
}

fn at_most(what: &'static str, count: usize, limit: u16) -> Result<(), TableError> {
    let limit = limit.into();
    if count > limit { Err(TableError::TooMany { what, count, limit }) } else { Ok(()) }
}

fn pack_zones(tables: &Tables, image: &mut Image) -> Result<(), NicError> {
    for (&(port, vlan), &zone) in &tables.zones {
        in_range("VLAN of a zone", vlan, VLANS as u64)?;
        image.set(
            "entry of the zone table",
            usize::from(port) * VLANS + usize::from(vlan),
            &ZoneEntry { zone }.pack(),
        )?;
    }
    Ok(())
}

impl ExactKey for Mac {
    fn bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

fn mac_of(entry: &MacEntry) -> Mac {
    let number = u64::from(entry.mac_high) << 32 | u64::from(entry.mac_low);
    let [_, _, mac @ ..] = number.to_be_bytes();
    Mac(mac)
}

fn pack_multicast(tables: &Tables, info: &NicInfo, current: &[u32], image: &mut Image) -> Result<(), NicError> {
    at_most("multicast MACs", tables.multicast.len(), info.limits.multicast)?;
    let lying: HashMap<Mac, usize> = entries(current, image.stride)
        .map(|(n, e)| (n, MacEntry::unpack(e)))
        .filter(|(_, e)| e.valid)
        .map(|(n, e)| (mac_of(&e), n))
        .collect();
    let macs: Vec<Mac> = tables.multicast.iter().copied().collect();
    let places = place(&macs, &lying, info.exact_rows.into()).map_err(NicError::MacPlacement)?;
    for (mac, place) in macs.iter().zip(places) {
        let number = mac.to_u64();
        let entry = MacEntry { mac_low: number as u32, mac_high: (number >> 32) as u16, valid: true };
        image.set("entry of the multicast filter", place, &entry.pack())?;
    }
    Ok(())
}

/// Key of the VIP table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct VipKey {
    zone: u8,
    addr: IpAddr,
}

impl VipKey {
    fn addr_number(&self) -> u128 {
        match self.addr {
            IpAddr::V4(addr) => addr.to_bits().into(),
            IpAddr::V6(addr) => addr.to_bits(),
        }
    }
}

impl ExactKey for VipKey {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.addr.is_ipv6()), self.zone];
        bytes.extend(self.addr_number().to_be_bytes());
        bytes
    }
}

fn vip_key(entry: &VipEntry) -> VipKey {
    let words = [entry.addr3, entry.addr2, entry.addr1, entry.addr0];
    let number = words.iter().fold(0u128, |number, word| number << 32 | u128::from(*word));
    let addr = if entry.v6 { Ipv6Addr::from_bits(number).into() } else { Ipv4Addr::from_bits(number as u32).into() };
    VipKey { zone: entry.zone, addr }
}

fn pack_vips(tables: &Tables, info: &NicInfo, current: &[u32], image: &mut Image) -> Result<(), NicError> {
    at_most("VIP and dedicated addresses", tables.vips.len(), info.limits.vips)?;
    let lying: HashMap<VipKey, usize> = entries(current, image.stride)
        .map(|(n, e)| (n, VipEntry::unpack(e)))
        .filter(|(_, e)| e.valid)
        .map(|(n, e)| (vip_key(&e), n))
        .collect();
    let keys: Vec<VipKey> = tables.vips.iter().map(|vip| VipKey { zone: vip.zone, addr: vip.addr }).collect();
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = keys.iter().find(|key| !seen.insert(*key)) {
        // The hardware would give the OR of both entries.
        return Err(TableError::DuplicateVip { addr: twice.addr, zone: twice.zone }.into());
    }
    let places = place(&keys, &lying, info.exact_rows.into())
        .map_err(|key| NicError::VipPlacement { addr: key.addr, zone: key.zone })?;
    for ((vip, key), place) in tables.vips.iter().zip(&keys).zip(places) {
        let number = key.addr_number();
        let entry = VipEntry {
            id: vip.id,
            zone: vip.zone,
            v6: vip.addr.is_ipv6(),
            kind: vip.kind as u8,
            valid: true,
            addr0: number as u32,
            addr1: (number >> 32) as u32,
            addr2: (number >> 64) as u32,
            addr3: (number >> 96) as u32,
        };
        image.set("entry of the VIP table", place, &entry.pack())?;
    }
    Ok(())
}

fn pack_slots(tables: &Tables, image: &mut Image) -> Result<(), NicError> {
    for (slot, s) in tables.slots.iter().enumerate() {
        let Some(s) = s else { continue };
        let entry = MatchEntry {
            port_low: s.ports.0,
            port_high: s.ports.1,
            rule: s.rule,
            vip: s.vip.unwrap_or(0),
            fragment: s.fragment,
            udp: s.udp,
            tcp: s.tcp,
            any_vip: s.vip.is_none(),
            valid: true,
        };
        image.set("match slot", slot, &entry.pack())?;
    }
    Ok(())
}

fn pack_rules(tables: &Tables, info: &NicInfo, image: &mut Image) -> Result<(), NicError> {
    for (&number, rule) in &tables.rules {
        in_range("rule", number, u64::from(info.limits.rules) + 1)?;
        let entry = RuleEntry {
            mode: rule.mode as u8,
            draining: rule.draining,
            track: rule.track as u8,
            affinity: rule.affinity,
            map: rule.map,
            group: rule.group,
            valid: true,
            bucket_src4: rule.bucket.src4,
            bucket_src6: rule.bucket.src6,
            bucket_dst: rule.bucket.dst,
            bucket_sport: rule.bucket.sport,
            bucket_dport: rule.bucket.dport,
            binding_src4: rule.binding.src4,
            binding_src6: rule.binding.src6,
            binding_dst: rule.binding.dst,
            binding_sport: rule.binding.sport,
            binding_dport: rule.binding.dport,
            time_half_open: rule.timeouts.half_open,
            time_reset: rule.timeouts.reset,
            time_established: rule.timeouts.established,
            time_closing: rule.timeouts.closing,
            time_flow: rule.timeouts.flow,
            time_affinity: rule.timeouts.affinity,
        };
        image.set("rule", number.into(), &entry.pack())?;
    }
    Ok(())
}

fn pack_targets(tables: &Tables, image: &mut Image) -> Result<(), NicError> {
    for (&id, target) in &tables.targets {
        let entry = TargetEntry {
            action: target.action as u8,
            port: target.port & 1 == 1,
            host_queue: target.queue,
            bind: target.bind,
            draining: target.draining,
            valid: true,
            ..TargetEntry::default()
        };
        image.set("target id", id.into(), &entry.pack())?;
    }
    Ok(())
}

/// Words of the flags of map `map`.
pub(crate) fn pack_flags(flags: &BTreeMap<(u8, u16), BucketFlags>, map: u8) -> Vec<u32> {
    let mut words = vec![0; FLAGS_WORDS];
    for (&(_, bucket), flags) in flags.range((map, 0)..=(map, BUCKETS as u16 - 1)) {
        let bits = u32::from(flags.handover) | u32::from(flags.track) << 1;
        words[usize::from(bucket / 16)] |= FlagsEntry { flags: bits << (2 * (bucket % 16)) }.pack()[0];
    }
    words
}

/// Flags of map `map` from their words; buckets without any are left out.
pub(crate) fn unpack_flags(words: &[u32], map: u8, flags: &mut BTreeMap<(u8, u16), BucketFlags>) {
    for bucket in 0..BUCKETS as u16 {
        let bits = FlagsEntry::unpack(&[words[usize::from(bucket / 16)]]).flags >> (2 * (bucket % 16)) & 3;
        if bits != 0 {
            flags.insert((map, bucket), BucketFlags { handover: bits & 1 != 0, track: bits & 2 != 0 });
        }
    }
}

/// The entries of a table with `N` words used of each.
fn entries<const N: usize>(words: &[u32], stride: usize) -> impl Iterator<Item = (usize, &[u32; N])> {
    words.chunks_exact(stride).map(|entry| entry.first_chunk().expect("an entry fits its stride")).enumerate()
}

/// Puts what the words of a unit say into `tables`. Entries that are not valid are left out, and so are zones 0 and
/// the empty slots at the end; addresses come in order of zone and address.
///
/// # Errors
/// [`NicError::Unknown`] if a field has a value without a meaning.
pub fn unpack(unit: Unit, words: &[u32], tables: &mut Tables) -> Result<(), NicError> {
    let stride = unit.table().stride() as usize;
    match unit.table() {
        Table::Zone => {
            let zones = entries(words, stride).map(|(n, e)| (n, ZoneEntry::unpack(e).zone));
            let index = |n: usize| ((n / VLANS) as u8, (n % VLANS) as u16);
            tables.zones = zones.filter(|(_, zone)| *zone != 0).map(|(n, zone)| (index(n), zone)).collect();
        }
        Table::Mac => {
            let found = entries(words, stride).map(|(_, e)| MacEntry::unpack(e)).filter(|e| e.valid);
            tables.multicast = found.map(|e| mac_of(&e)).collect::<BTreeSet<_>>();
        }
        Table::Vip => {
            tables.vips.clear();
            for entry in entries(words, stride).map(|(_, e)| VipEntry::unpack(e)).filter(|e| e.valid) {
                let VipKey { zone, addr } = vip_key(&entry);
                tables.vips.push(Vip { zone, addr, kind: VipKind::try_from(entry.kind)?, id: entry.id });
            }
            tables.vips.sort_by_key(|vip| (vip.zone, vip.addr));
        }
        Table::Match => {
            let slot = |e: MatchEntry| MatchSlot {
                vip: (!e.any_vip).then_some(e.vip),
                tcp: e.tcp,
                udp: e.udp,
                ports: (e.port_low, e.port_high),
                fragment: e.fragment,
                rule: e.rule,
            };
            let found = entries(words, stride).map(|(_, e)| MatchEntry::unpack(e));
            tables.slots = found.map(|e| e.valid.then(|| slot(e))).collect();
            while tables.slots.last() == Some(&None) {
                tables.slots.pop();
            }
        }
        Table::Rule => {
            tables.rules.clear();
            for (number, e) in entries(words, stride).map(|(n, e)| (n, RuleEntry::unpack(e))).filter(|(_, e)| e.valid) {
                let rule = Rule {
                    mode: Mode::try_from(e.mode)?,
                    draining: e.draining,
                    track: Track::try_from(e.track)?,
                    affinity: e.affinity,
                    map: e.map,
                    group: e.group,
                    bucket: KeyMask {
                        src4: e.bucket_src4,
                        src6: e.bucket_src6,
                        dst: e.bucket_dst,
                        sport: e.bucket_sport,
                        dport: e.bucket_dport,
                    },
                    binding: KeyMask {
                        src4: e.binding_src4,
                        src6: e.binding_src6,
                        dst: e.binding_dst,
                        sport: e.binding_sport,
                        dport: e.binding_dport,
                    },
                    timeouts: Timeouts {
                        half_open: e.time_half_open,
                        reset: e.time_reset,
                        established: e.time_established,
                        closing: e.time_closing,
                        flow: e.time_flow,
                        affinity: e.time_affinity,
                    },
                };
                tables.rules.insert(number as u8, rule);
            }
        }
        Table::Target => {
            tables.targets.clear();
            for (id, e) in entries(words, stride).map(|(n, e)| (n, TargetEntry::unpack(e))).filter(|(_, e)| e.valid) {
                let target = Target {
                    action: Action::try_from(e.action)?,
                    port: e.port.into(),
                    queue: e.host_queue,
                    bind: e.bind,
                    draining: e.draining,
                };
                tables.targets.insert(id as u16, target);
            }
        }
        _ => {
            let Unit::Map(map) = unit else { unreachable!("all other tables are units of their own") };
            let pairs = entries(words, stride).map(|(_, e)| MapEntry::unpack(e));
            tables.maps.insert(map, pairs.flat_map(|e| [e.owner_even, e.owner_odd]).collect());
        }
    }
    Ok(())
}
