// SPDX-License-Identifier: Apache-2.0
//! The NIC of this host as the daemon uses it: maps, flags, rules, bindings, counters. Lives in a thread of its own ([`crate::worker`]), since a commit takes longer than a heartbeat may wait.

use anyhow::{Context, Result, ensure};
use hashgate_cluster::api::{Adopted, BITMAP, Commit};
use hashgate_cluster::control::PORT as CONTROL_PORT;
use hashgate_cluster::map::BucketMap;
use hashgate_cluster::maps::{DEFAULT_KEY, MapSet};
use hashgate_cluster::message::{Committed, HostId, MAX_RULES};
use hashgate_config::{Config, Host};
use hashgate_device::PciDevice;
use hashgate_hostpath::{LENT_RINGS, Lent};
use hashgate_nic::{Binding, BindingTable, Nic, NicError, Tables};
use hashgate_rings::{EventConfig, EventRing, HostInterface, MoverConfig};
use hashgate_tables::{BUCKETS, KeyMask, MatchSlot, Mode, NOBODY, Rule as RuleEntry, Timeouts, Track};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Number of the default rule and of its map.
pub const DEFAULT: u8 = MAX_RULES as u8;
/// Rule of control datagrams, which every host takes; no rule of the cluster has its number while remote control is on.
const CONTROL: u8 = DEFAULT - 1;
/// Upper half of the scratch register that says that the others mean something.
const MAGIC: u32 = 0x4842_0000;

/// Both binding tables.
pub const BINDING_TABLES: [BindingTable; 2] = [BindingTable::Connection, BindingTable::Affinity];

/// What the next daemon needs beside what the NIC itself holds.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Kept {
    /// Of the rule set.
    rules: u64,
    /// Numbers of rules in the NIC by their keys.
    numbers: BTreeMap<u64, u8>,
    /// Of the maps.
    digest: u64,
    /// Key and weights of each map, in the order of the set.
    weights: Vec<(u64, BTreeMap<u16, u32>)>,
}

/// The NIC with what it was told.
pub struct Dataplane {
    nic: Nic,
    host_interface: HostInterface,
    events: Option<EventRing>,
    config: Arc<Config>,
    host: Host,
    /// Rules keep their numbers in the NIC while they exist, so that their bindings stay theirs.
    numbers: BTreeMap<u64, u8>,
    maps: Arc<MapSet>,
    handover: Vec<Vec<u8>>,
    /// Rules that are disabled here, by place in the rule set; bit 64: the default.
    disabled: u128,
    kept: PathBuf,
}

impl Dataplane {
    /// Takes a NIC over. If it runs with the rules of this configuration, it goes on with its maps, which are given back; else it takes no VIP traffic until the first commit.
    /// `kept` is the file for the next daemon.
    pub fn open(
        lent: &Arc<Lent>,
        config: Arc<Config>,
        host: Host,
        kept: PathBuf,
    ) -> Result<(Dataplane, Option<Adopted>)> {
        let device: Arc<dyn PciDevice> = lent.clone();
        let host_interface = HostInterface::attach(device, LENT_RINGS).context("the rings of the NIC")?;
        let mut nic = Nic::open(&**lent)?;
        nic.set_bulk(Some(Box::new(host_interface.table_mover(&MoverConfig::default()).context("the table mover")?)));
        let numbers = BTreeMap::new();
        let maps = Arc::default();
        let mut it = Dataplane {
            nic,
            host_interface,
            events: None,
            config,
            host,
            numbers,
            maps,
            handover: Vec::new(),
            disabled: 0,
            kept,
        };
        let adopted = it.adopt().context("what the NIC does now")?;
        if adopted.is_none() {
            it.begin().context("loading the NIC")?;
        }
        it.nic.stage(&it.tables()?)?;
        it.nic.apply_settings(&it.tables()?.settings)?;
        it.nic.commit()?;
        it.nic.enable(true);
        Ok((it, adopted))
    }

    /// What the NIC says that it does, if that is something of this rule set.
    fn adopt(&mut self) -> Result<Option<Adopted>> {
        let registers = self.nic.registers();
        let words: Vec<u32> = (0..5).map(|n| registers.scratch(n)).collect();
        let long = |n: usize| u64::from(words[n]) | u64::from(words[n + 1]) << 32;
        let (epoch, digest, mark) = (long(0), long(2), words[4]);
        let kept: Option<Kept> = std::fs::read(&self.kept).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let (Some(kept), true) = (kept, mark & 0xffff_0000 == MAGIC && self.nic.is_enabled()) else { return Ok(None) };
        let lowest = HostId::new((mark >> 8) as u8);
        let (Some(lowest), true) = (lowest, kept.rules == self.config.digest() && kept.digest == digest) else {
            return Ok(None);
        };
        let tables = self.nic.read_active()?;
        self.numbers = kept.numbers;
        let map = |(key, weights): (u64, BTreeMap<u16, u32>)| {
            let number = if key == DEFAULT_KEY { DEFAULT } else { *self.numbers.get(&key)? };
            let owners = tables.maps.get(&number)?.clone();
            Some((key, Arc::new(BucketMap::from_parts(owners, weights)?)))
        };
        let Some(maps) = kept.weights.into_iter().map(map).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let maps = Arc::new(MapSet { maps });
        if maps.digest() != digest {
            return Ok(None);
        }
        self.handover = (0..maps.maps.len()).map(|place| self.flags_of(&tables, &maps, place)).collect();
        self.maps = maps.clone();
        let committed = Committed { epoch, view_size: mark as u8, lowest, digest };
        let registers = self.nic.registers();
        let lease = Some(registers.lease_deadline()).filter(|_| !registers.status().lease_expired);
        Ok(Some(Adopted { committed, maps, lease }))
    }

    fn flags_of(&self, tables: &Tables, maps: &MapSet, place: usize) -> Vec<u8> {
        let Some(number) = self.number(maps, place) else { return Vec::new() };
        let mut bits = vec![0; BITMAP];
        let flagged = tables.flags.range((number, 0)..=(number, u16::MAX)).filter(|(_, flags)| flags.handover);
        flagged.for_each(|((_, bucket), _)| bits[usize::from(*bucket) / 8] |= 1 << (bucket % 8));
        bits
    }

    /// A NIC that does something else, or nothing: no VIP traffic, no bindings of rules that mean something else now.
    fn begin(&mut self) -> Result<()> {
        self.nic.registers().set_scratch(4, 0);
        self.nic.arm_lease(1);
        self.nic.enable(false);
        self.numbers.clear();
        self.assign_numbers();
        for table in BINDING_TABLES {
            if self.nic.binding_counters(table).used > 0 {
                self.nic.remove_bindings(table, |_| true)?;
            }
        }
        let maps = self.config.rules.iter().map(|rule| Config::rule_key(&rule.name)).chain([DEFAULT_KEY]);
        let nobody =
            Arc::new(BucketMap::from_parts(vec![NOBODY; BUCKETS], BTreeMap::new()).expect("nobody is possible"));
        self.maps = Arc::new(MapSet { maps: maps.map(|key| (key, nobody.clone())).collect() });
        self.handover = Vec::new();
        Ok(())
    }

    /// Number in the NIC of the map at a place of a set.
    fn number(&self, maps: &MapSet, place: usize) -> Option<u8> {
        let (key, _) = maps.maps.get(place)?;
        if *key == DEFAULT_KEY { Some(DEFAULT) } else { self.numbers.get(key).copied() }
    }

    /// Gives rules without a number one that no rule has.
    fn assign_numbers(&mut self) {
        let limit = if self.config.daemon.control_key.is_some() { CONTROL } else { DEFAULT };
        for rule in &self.config.rules {
            let key = Config::rule_key(&rule.name);
            if !self.numbers.contains_key(&key) {
                let taken: BTreeSet<u8> = self.numbers.values().copied().collect();
                let free = (0..limit).find(|number| !taken.contains(number));
                self.numbers.insert(key, free.expect("a checked configuration has no more rules than numbers"));
            }
        }
    }

    /// Everything that the NIC is told, with the numbers that rules have there.
    fn tables(&self) -> Result<Tables> {
        let config = &self.config;
        let number = |place: u8| match config.rules.get(usize::from(place)) {
            Some(rule) => self.numbers.get(&Config::rule_key(&rule.name)).copied().context("a rule has no number"),
            None => Ok(place),
        };
        let owners =
            |key: u64| self.maps.maps.iter().find(|(own, _)| *own == key).map(|(_, map)| map.owners().to_vec());
        let keys =
            (0..).zip(config.rules.iter().map(|rule| Config::rule_key(&rule.name))).chain([(DEFAULT, DEFAULT_KEY)]);
        let maps = keys.map(|(place, key)| (place, owners(key).unwrap_or_else(|| vec![NOBODY; BUCKETS]))).collect();
        let mut tables = config.tables(&self.host, maps);
        tables.maps = tables.maps.into_iter().map(|(place, map)| Ok((number(place)?, map))).collect::<Result<_>>()?;
        for slot in tables.slots.iter_mut().flatten() {
            slot.rule = number(slot.rule)?;
        }
        let rules = std::mem::take(&mut tables.rules);
        for (place, mut rule) in rules {
            let own = number(place)?;
            (rule.map, rule.group) = (own, number(rule.group)?);
            if self.disabled >> if place == DEFAULT { 64 } else { u32::from(place) } & 1 == 1 {
                rule.mode = Mode::Disabled;
            }
            tables.rules.insert(own, rule);
        }
        if config.daemon.control_key.is_some() {
            self.add_control(&mut tables);
        }
        Ok(tables)
    }

    /// Control datagrams to the primary IP are for every host, so every NIC has a map for them in which all is its own.
    fn add_control(&self, tables: &mut Tables) {
        let config = &self.config;
        let vip = config.vips.iter().find(|vip| vip.addr == config.primary_ip).map(|vip| vip.id);
        let ports = (CONTROL_PORT, CONTROL_PORT);
        tables.slots.insert(0, Some(MatchSlot { vip, tcp: false, udp: true, ports, fragment: false, rule: CONTROL }));
        let entry = RuleEntry {
            mode: Mode::Multiple,
            draining: false,
            track: Track::Never,
            affinity: false,
            map: CONTROL,
            group: CONTROL,
            bucket: KeyMask::SOURCE,
            binding: KeyMask::SOURCE,
            timeouts: Timeouts::default(),
        };
        tables.rules.insert(CONTROL, entry);
        tables.maps.insert(CONTROL, vec![self.host.target(); BUCKETS]);
    }

    // ---- what the protocol asks for -------------------------------------------------------------------------------------

    /// Switches to other maps. Buckets that get HANDOVER have it before, those that lose it after the commit.
    pub fn commit(&mut self, commit: &Commit) -> Result<()> {
        // What is in the scratch registers is not true any more.
        self.nic.registers().set_scratch(4, 0);
        let before = std::mem::replace(&mut self.maps, commit.maps.clone());
        self.nic.stage(&self.tables()?)?;
        let old: BTreeMap<u64, Vec<u8>> =
            before.maps.iter().map(|(key, _)| *key).zip(std::mem::take(&mut self.handover)).collect();
        self.handover = commit.handover.clone();
        for place in 0..commit.maps.maps.len() {
            let key = commit.maps.maps[place].0;
            let mut bits = self.handover.get(place).cloned().unwrap_or_default();
            bits.resize(BITMAP, 0);
            let old = old.get(&key).map_or(&[][..], Vec::as_slice);
            bits.iter_mut().zip(old).for_each(|(bits, old)| *bits |= old);
            self.set_flags(place, &bits)?;
        }
        self.nic.commit()?;
        for place in 0..commit.maps.maps.len() {
            let bits = self.handover.get(place).cloned().unwrap_or_default();
            self.set_flags(place, &bits)?;
        }
        Ok(())
    }

    fn set_flags(&mut self, place: usize, bits: &[u8]) -> Result<()> {
        let number = self.number(&self.maps, place).context("flags of a map that there is none of")?;
        Ok(self.nic.set_handover(number, bits)?)
    }

    /// Sets HANDOVER of some maps, by their places.
    pub fn set_handover(&mut self, changes: &[(u8, Vec<u8>)]) -> Result<()> {
        for (place, bits) in changes {
            let place = usize::from(*place);
            self.set_flags(place, bits)?;
            if self.handover.len() <= place {
                self.handover.resize(place + 1, Vec::new());
            }
            self.handover[place].clone_from(bits);
        }
        Ok(())
    }

    /// Writes down what the NIC does now, for the next daemon.
    pub fn remember(&mut self, committed: Committed) -> Result<()> {
        let weights = self.maps.maps.iter().map(|(key, map)| (*key, map.weights().clone())).collect();
        let kept =
            Kept { rules: self.config.digest(), numbers: self.numbers.clone(), digest: committed.digest, weights };
        let draft = self.kept.with_extension("new");
        std::fs::write(&draft, serde_json::to_vec(&kept)?)
            .and_then(|()| std::fs::rename(&draft, &self.kept))
            .with_context(|| format!("{}", self.kept.display()))?;
        let registers = self.nic.registers();
        for (n, half) in [(0, committed.epoch), (2, committed.digest)] {
            registers.set_scratch(n, half as u32);
            registers.set_scratch(n + 1, (half >> 32) as u32);
        }
        registers.set_scratch(4, MAGIC | u32::from(committed.lowest.get()) << 8 | u32::from(committed.view_size));
        Ok(())
    }

    /// Other rules, from the next commit on.
    pub fn activate(&mut self, config: Arc<Config>) -> Result<()> {
        let keys: BTreeSet<u64> = config.rules.iter().map(|rule| Config::rule_key(&rule.name)).collect();
        let gone: BTreeSet<u8> = self.numbers.extract_if(.., |key, _| !keys.contains(key)).map(|(_, n)| n).collect();
        self.config = config;
        self.find_host()?;
        self.remove_where(|binding| gone.contains(&binding.record.rule))?;
        self.assign_numbers();
        Ok(())
    }

    /// What has no effect on the agreement: addresses of this host, settings.
    pub fn reconfigure(&mut self, config: Arc<Config>) -> Result<()> {
        ensure!(config.digest() == self.config.digest(), "other rules have to be staged");
        self.config = config;
        self.find_host()?;
        let tables = self.tables()?;
        self.nic.stage(&tables)?;
        self.nic.apply_settings(&tables.settings)?;
        Ok(self.nic.commit()?)
    }

    /// This host, as the configuration has it now.
    fn find_host(&mut self) -> Result<()> {
        let host = self.config.hosts.iter().find(|host| host.priority == self.host.priority);
        self.host = host.cloned().context("this host is not in the configuration any more")?;
        Ok(())
    }

    /// Rules that are disabled here, and no others.
    pub fn disable(&mut self, rules: u128) -> Result<()> {
        self.disabled = rules;
        self.nic.stage(&self.tables()?)?;
        Ok(self.nic.commit()?)
    }

    /// Place in the set of the map that a binding's rule has.
    fn place(&self, rule: u8) -> Option<usize> {
        let key = if rule == DEFAULT {
            DEFAULT_KEY
        } else {
            self.numbers.iter().find(|(_, number)| **number == rule).map(|(key, _)| *key)?
        };
        self.maps.maps.iter().position(|(own, _)| *own == key)
    }

    /// Whether a binding is in a bucket that is another's.
    fn is_foreign(&self, binding: &Binding) -> Option<(usize, u16)> {
        let place = self.place(binding.record.rule)?;
        let bucket = binding.record.bucket;
        let owner = self.maps.maps[place].1.owners().get(usize::from(bucket)).copied()?;
        (owner != self.host.target()).then_some((place, bucket))
    }

    /// Ends bindings that depend on no TCP state, in buckets that are not mine: their new owners make them anew.
    pub fn hand_bindings(&mut self) -> Result<()> {
        for binding in self.bindings(BindingTable::Connection)? {
            if binding.key.protocol != 6 && self.is_foreign(&binding).is_some() {
                self.nic.remove_binding(BindingTable::Connection, &binding.key)?;
            }
        }
        for binding in self.bindings(BindingTable::Affinity)? {
            if self.is_foreign(&binding).is_some() {
                self.nic.remove_binding(BindingTable::Affinity, &binding.key)?;
            }
        }
        Ok(())
    }

    /// Connections in buckets that are not mine: a bit per bucket for each map.
    pub fn holdings(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut held = vec![Vec::new(); self.maps.maps.len()];
        for binding in self.bindings(BindingTable::Connection)? {
            if let Some((place, bucket)) = self.is_foreign(&binding) {
                let bits: &mut Vec<u8> = &mut held[place];
                bits.resize(BITMAP, 0);
                bits[usize::from(bucket) / 8] |= 1 << (bucket % 8);
            }
        }
        Ok(held)
    }

    // ---- for people and programs ------------------------------------------------------------------------------------------

    /// The NIC itself.
    pub fn nic(&mut self) -> &mut Nic {
        &mut self.nic
    }

    /// Bindings of a table.
    pub fn bindings(&mut self, table: BindingTable) -> Result<Vec<Binding>, NicError> {
        if self.nic.binding_counters(table).used == 0 { Ok(Vec::new()) } else { self.nic.bindings(table) }
    }

    /// Ends bindings; gives how many.
    pub fn remove_where(&mut self, which: impl Fn(&Binding) -> bool) -> Result<usize, NicError> {
        let mut removed = 0;
        for table in BINDING_TABLES {
            if self.nic.binding_counters(table).used > 0 {
                removed += self.nic.remove_bindings(table, &which)?;
            }
        }
        Ok(removed)
    }

    /// Events of bindings, from now on.
    pub fn watch(&mut self) -> Result<&mut EventRing> {
        if self.events.is_none() {
            self.events = Some(self.host_interface.event_ring(&EventConfig::default())?);
        }
        Ok(self.events.as_mut().expect("it was just made"))
    }

    /// Nobody watches any more.
    pub fn stop_watching(&mut self) {
        self.events = None;
    }

    /// Name of the rule with this number in the NIC.
    pub fn rule_name(&self, number: u8) -> String {
        if number == DEFAULT {
            return "default".into();
        }
        let rule =
            self.config.rules.iter().find(|rule| self.numbers.get(&Config::rule_key(&rule.name)) == Some(&number));
        match rule {
            Some(rule) => rule.name.clone(),
            None if number == CONTROL && self.config.daemon.control_key.is_some() => "control".into(),
            None => format!("rule-{number}"),
        }
    }

    /// Number in the NIC of the rule at a place of the configuration.
    pub fn rule_number(&self, place: usize) -> Option<u8> {
        self.numbers.get(&Config::rule_key(&self.config.rules.get(place)?.name)).copied()
    }

    /// The tables that the NIC has now, for whoever wants to know what it would do.
    pub fn current_tables(&self) -> Result<Tables> {
        self.tables()
    }

    /// Flags of the map at a place: bit per bucket, or empty.
    pub fn handover_of(&self, place: usize) -> &[u8] {
        self.handover.get(place).map_or(&[], Vec::as_slice)
    }

    /// Number in the NIC and key of each map of the set.
    pub fn places(&self) -> Vec<(Option<u8>, u64)> {
        (0..self.maps.maps.len()).map(|place| (self.number(&self.maps, place), self.maps.maps[place].0)).collect()
    }

    /// The configuration whose rules are in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }
}
