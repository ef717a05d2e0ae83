// SPDX-License-Identifier: Apache-2.0
//! The dataplane behind the registers: frames are decided by the reference model, by what the words of the active tables say.
//!
//! Here is what the model does not have: the numbers of sessions, the capacity of the binding tables, the lease, and all registers about them.

use crate::Frame;
use crate::core::Sizes;
use hashgate_model::hash::Key;
use hashgate_model::{Binding, BindingKey, Clocks, Nic, Table as Bindings};
use hashgate_nic::{Unit, read_settings, unpack};
use hashgate_regs::RegisterIo;
use hashgate_regs::defs::{
    Action, BindingState, Mode, RuleEntry, Table, TargetEntry, Track, Verdict, VipEntry, VipKind,
};
use hashgate_regs::registers::{
    BindCensus, BindCommand, BindNow, BindRecord0, BindRecord1, BindStatus, BindTicks, LeaseCtrl, Registers, Status,
    offset,
};
use hashgate_tables::{BUCKETS, BucketFlags, Limits, Settings, Tables};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Bindings of each table.
const SESSIONS: u32 = 65_536;
/// Frames decide by clocks that are behind by so many nanoseconds at most: a sweep looks at all bindings.
const COARSE_NS: u64 = 1 << 24;
/// Time between two sweeps if nothing happens and there are bindings.
const LIVE_SWEEP: Duration = Duration::from_millis(100);
/// The same without bindings.
pub const IDLE_SWEEP: Duration = Duration::from_secs(16);
/// The clocks are put forward by this many ticks at most before what has ended is removed.
const LEAP: u64 = 0x4000;
/// Frames that wait for the wire; further ones are dropped.
const WIRE_WAITING: usize = 1024;
const KEY_WORDS: usize = 10;
/// Distance of the counters of the ports, and of those of the binding tables.
const PORT_STRIDE: usize = 0x20;
const BINDING_STRIDE: usize = 0x30;

/// Sizes of the tables: those of the default build.
pub fn sizes() -> Sizes {
    let Limits { ports, rules, maps, vips, targets, .. } = Limits::default();
    Sizes { rules, maps, ports, targets, exact_rows: 256, exact_capacity: vips, bindings: SESSIONS }
}

/// Numbers of the live bindings of a table.
struct Sessions {
    /// First key by number.
    keys: Vec<Option<BindingKey>>,
    numbers: HashMap<BindingKey, u16>,
    /// Every live session is in `keys`, every other here.
    free: BTreeSet<u16>,
    created: u64,
    removed: u64,
    refused: u64,
    /// What the last operation told.
    told: Option<u16>,
}

impl Sessions {
    fn new() -> Sessions {
        Sessions {
            keys: vec![None; SESSIONS as usize],
            numbers: HashMap::new(),
            free: (0..=u16::MAX).collect(),
            created: 0,
            removed: 0,
            refused: 0,
            told: None,
        }
    }

    fn is_full(&self) -> bool {
        self.free.is_empty()
    }
}

#[derive(Default)]
struct Lease {
    armed: bool,
    expired: bool,
    /// When it ends, ns.
    deadline: u64,
}

#[derive(Clone, Copy, Default)]
struct HostTx {
    packets: u64,
    bytes: u64,
    dropped: u64,
    masked: u64,
    arp: u64,
    nd: u64,
}

pub struct Plane {
    nic: Nic,
    sessions: [Sessions; 2],
    /// Words of `count_live` and `count_refused`.
    live: Vec<u32>,
    refused: Vec<u32>,
    lease: Lease,
    lease_enabled: bool,
    /// Time of the last sweep, ns.
    swept: u64,
    ticks: BindTicks,
    /// Events that the core has not taken.
    events: Vec<[u32; 13]>,
    host_tx: HostTx,
    port_tx: Vec<(u64, u64)>,
    wire: VecDeque<(u8, Vec<u8>)>,
}

impl Plane {
    pub fn new() -> Plane {
        let mut nic = Nic::new(Limits::default());
        nic.state.ready = true;
        nic.set_settings(Settings { hash_key: [0; 52], ..Settings::default() });
        Plane {
            nic,
            sessions: [Sessions::new(), Sessions::new()],
            live: vec![0; BUCKETS],
            refused: vec![0; 2 * BUCKETS],
            lease: Lease::default(),
            lease_enabled: false,
            swept: 0,
            ticks: BindTicks::from_bits(hashgate_regs::registers::reset::BIND_TICKS),
            events: Vec::new(),
            host_tx: HostTx::default(),
            port_tx: vec![(0, 0); Limits::default().ports.into()],
            wire: VecDeque::new(),
        }
    }

    /// As after power-up.
    pub fn reset(&self) -> Plane {
        Plane::new()
    }

    // ---- frames -----------------------------------------------------------------------------------------------------

    /// Decides a frame; gives it if it is for the host.
    pub fn receive(&mut self, port: u8, bytes: Vec<u8>, now: u64) -> Option<Frame> {
        self.sweep(now);
        self.check_lease(now);
        let decision = self.nic.receive(port, &bytes, false);
        let needs = decision.needs_room();
        let refused = [0, 1].map(|table| needs[table] && self.sessions[table].is_full());
        let applied = self.nic.apply(&decision, refused);
        debug_assert!(applied.is_ok(), "the frame was decided just now: {applied:?}");
        self.nic.count(&decision);
        self.follow_events();
        match decision.verdict {
            Verdict::Host => Some(Frame {
                bytes,
                reason: decision.reason,
                port,
                control: decision.control,
                rule: decision.rule,
                bucket: decision.bucket,
                target: decision.target,
                queue: decision.queue,
                aborted: false,
            }),
            Verdict::Port => {
                self.send(decision.out_port, bytes);
                None
            }
            Verdict::Discard => None,
        }
    }

    /// Edits and sends a frame of the host.
    pub fn transmit(&mut self, port: u8, bytes: &[u8]) {
        let result = self.nic.transmit(port, bytes);
        let Some(frame) = result.frame else {
            self.host_tx.dropped += 1;
            return;
        };
        let counts = &mut self.host_tx;
        counts.packets += 1;
        counts.bytes += frame.len() as u64;
        counts.masked += u64::from(result.masked);
        counts.arp += u64::from(result.arp);
        counts.nd += u64::from(result.nd);
        self.send(port, frame);
    }

    fn send(&mut self, port: u8, bytes: Vec<u8>) {
        // A port that there is none of, or nobody who takes the frames.
        let Some((packets, octets)) = self.port_tx.get_mut(usize::from(port)) else { return };
        if self.wire.len() >= WIRE_WAITING {
            return;
        }
        *packets += 1;
        *octets += bytes.len() as u64;
        self.wire.push_back((port, bytes));
    }

    pub fn take_wire(&mut self) -> Option<(u8, Vec<u8>)> {
        self.wire.pop_front()
    }

    pub fn waiting(&self) -> usize {
        self.wire.len()
    }

    // ---- tables -----------------------------------------------------------------------------------------------------

    /// Takes over tables that a commit has switched to.
    pub fn commit<'a>(&mut self, tables: u32, maps: u128, active: impl Fn(Table) -> &'a Vec<u32>) {
        let now = self.nic.active();
        let mut new = Tables {
            zones: now.zones.clone(),
            multicast: now.multicast.clone(),
            vips: now.vips.clone(),
            slots: now.slots.clone(),
            rules: now.rules.clone(),
            targets: now.targets.clone(),
            ..Tables::default()
        };
        let mut load = |unit, words: &[u32]| {
            let loaded = unpack(unit, words, &mut new);
            debug_assert!(loaded.is_ok(), "entries without a meaning are left out: {loaded:?}");
        };
        for table in Table::ALL.iter().filter(|table| tables >> **table as u32 & 1 == 1) {
            let mut words = active(*table).clone();
            let count = if *table == Table::Match { usize::from(Limits::default().rules) } else { usize::MAX };
            for (number, entry) in words.chunks_exact_mut(table.stride() as usize).enumerate() {
                if number >= count || !has_meaning(*table, entry) {
                    entry.fill(0);
                }
            }
            load(Unit::Table(*table), &words);
        }
        let words = active(Table::Map);
        for map in (0..Limits::default().maps).filter(|map| maps >> map & 1 == 1) {
            load(Unit::Map(map), &words[usize::from(map) * BUCKETS / 2..][..BUCKETS / 2]);
        }
        self.nic.commit(new);
    }

    /// Takes over a word of the flags.
    pub fn set_flags(&mut self, index: u32, word: u32) {
        for n in 0..16 {
            let bits = word >> (2 * n) & 3;
            let flags = BucketFlags { handover: bits & 1 != 0, track: bits & 2 != 0 };
            self.nic.set_bucket_flags((index / 256) as u8, (16 * (index % 256) + n) as u16, flags);
        }
    }

    /// A word of a table of counters; `None` for other tables.
    pub fn count(&self, table: Table, index: u32) -> Option<u32> {
        let (entry, word) = (index / 4, index % 4);
        let counters = &self.nic.counters;
        let count = match table {
            Table::CountReason => {
                let verdict = Verdict::try_from((entry / 64) as u8);
                let reason = hashgate_regs::defs::Reason::try_from((entry % 64) as u8);
                verdict.ok().zip(reason.ok()).and_then(|pair| counters.by_reason.get(&pair))
            }
            Table::CountRule => u8::try_from(entry).ok().and_then(|rule| counters.by_rule.get(&rule)),
            Table::CountTarget => u16::try_from(entry).ok().and_then(|target| counters.by_target.get(&target)),
            Table::CountLive => return Some(self.live.get(index as usize).copied().unwrap_or(0)),
            Table::CountRefused => return Some(self.refused.get(index as usize).copied().unwrap_or(0)),
            _ => return None,
        };
        let count = count.copied().unwrap_or_default();
        Some(match word {
            0 => count.packets as u32,
            1 => (count.packets >> 32) as u32,
            2 => count.bytes as u32,
            _ => (count.bytes >> 32) as u32,
        })
    }

    // ---- time -------------------------------------------------------------------------------------------------------

    fn has_bindings(&self) -> bool {
        self.sessions.iter().any(|sessions| !sessions.numbers.is_empty())
    }

    pub fn sweep_in(&self) -> Duration {
        let leap = Duration::from_nanos(LEAP << self.ticks.fast.min(self.ticks.slow).min(33));
        leap.min(if self.has_bindings() { LIVE_SWEEP } else { IDLE_SWEEP })
    }

    fn clocks(&self, now: u64) -> Clocks {
        let tick = |log2: u8| now.checked_shr(log2.into()).unwrap_or(0) as u16;
        Clocks { fast: tick(self.ticks.fast), slow: tick(self.ticks.slow) }
    }

    /// As [`Plane::advance`], if that is due.
    pub fn sweep(&mut self, now: u64) {
        if now.saturating_sub(self.swept) >= COARSE_NS {
            self.advance(now);
        }
    }

    /// Lets the clocks of the binding tables follow, and bindings end.
    pub fn advance(&mut self, now: u64) {
        let leap = LEAP << self.ticks.fast.min(self.ticks.slow).min(33);
        while self.has_bindings() && now.saturating_sub(self.swept) > leap {
            self.swept += leap;
            self.nic.set_clocks(self.clocks(self.swept));
            self.follow_events();
        }
        self.swept = now;
        self.nic.set_clocks(self.clocks(now));
        self.follow_events();
    }

    fn check_lease(&mut self, now: u64) {
        if self.lease.armed && now > self.lease.deadline {
            self.lease.expired = true;
        }
        self.nic.state.lease_ok = !self.lease_enabled || self.lease.armed && !self.lease.expired;
    }

    /// Numbers sessions and keeps events for the core.
    fn follow_events(&mut self) {
        use hashgate_model::bindings::EventKind;
        for event in self.nic.take_events() {
            let table = event.table as usize;
            let sessions = &mut self.sessions[table];
            let session = match event.kind {
                EventKind::Created => {
                    sessions.created += 1;
                    let number = sessions.free.pop_first();
                    debug_assert!(number.is_some(), "a full table makes nothing");
                    if let Some(number) = number {
                        sessions.keys[usize::from(number)] = Some(event.key);
                        sessions.numbers.insert(event.key, number);
                    }
                    number
                }
                EventKind::Changed => self.session(event.table, &event.key),
                EventKind::Removed => {
                    sessions.removed += 1;
                    let number = sessions.numbers.remove(&event.key);
                    if let Some(number) = number {
                        sessions.keys[usize::from(number)] = None;
                        sessions.free.insert(number);
                        sessions.told.take_if(|told| *told == number);
                    }
                    number
                }
                EventKind::Refused => {
                    sessions.refused += 1;
                    let count = &mut self.refused[table * BUCKETS + usize::from(event.binding.bucket) % BUCKETS];
                    *count = count.wrapping_add(1);
                    None
                }
            };
            let kind = match event.kind {
                EventKind::Created => 0,
                EventKind::Changed => 1,
                EventKind::Removed => 2,
                EventKind::Refused => 3,
            };
            let mut words = binding_words(session.unwrap_or(0), event.table, &event.key, &event.binding);
            words[0] |= kind;
            self.events.push(words);
        }
    }

    pub fn take_events(&mut self) -> Vec<[u32; 13]> {
        std::mem::take(&mut self.events)
    }

    // ---- bindings ---------------------------------------------------------------------------------------------------

    /// Number of the live binding under a key, the first or the second.
    fn session(&self, table: Bindings, key: &BindingKey) -> Option<u16> {
        let first = self.nic.bindings().first(table, key);
        self.sessions[table as usize].numbers.get(&first).copied()
    }

    /// First key and record of a session.
    fn of_session(&self, table: Bindings, session: u16) -> Option<(BindingKey, Binding)> {
        let key = self.sessions[table as usize].keys[usize::from(session)]?;
        self.nic.bindings().find(table, &key).map(|binding| (key, *binding))
    }

    /// The first live binding at or behind a session, as the mover gives it.
    pub fn walk(&self, table: usize, from: u32) -> Option<(u32, [u32; 16])> {
        let keys = self.sessions[table].keys.get(from as usize..)?;
        let session = from + keys.iter().position(Option::is_some)? as u32;
        let table = Bindings::ALL[table];
        let (key, binding) = self.of_session(table, session as u16)?;
        let mut words = [0; 16];
        words[1..14].copy_from_slice(&binding_words(session as u16, table, &key, &binding));
        words[14] = self.nic.bindings().second(table, &key).is_some().into();
        words[15] = 1;
        Some((session, words))
    }

    fn command(&mut self, command: BindCommand, now: u64, plain: &mut [u32]) {
        self.advance(now);
        let table = Bindings::ALL[usize::from(command.affinity)];
        let words: [u32; KEY_WORDS] = std::array::from_fn(|n| plain[offset::BIND_KEY / 4 + n]);
        let key = key_of(&words);
        let session = plain[offset::BIND_SESSION / 4] as u16;
        let told = self.sessions[table as usize].told.take();
        let no = BindStatus::default();
        let ok = BindStatus { ok: true, ..no };
        let full = BindStatus { full: true, ..no };
        // What the operation tells: session, key, record.
        let mut tell: Option<(u16, BindingKey, Binding)> = None;
        let status = match command.op {
            0 => match (self.nic.bindings().find(table, &key).copied(), self.session(table, &key)) {
                (Some(binding), Some(session)) => {
                    tell = Some((session, key, binding));
                    let first = self.nic.bindings().first(table, &key);
                    BindStatus { two: self.nic.bindings().second(table, &first).is_some(), ..ok }
                }
                _ => no,
            },
            1 if self.nic.bindings().find(table, &key).is_some() => no,
            1 if self.sessions[table as usize].is_full() => full,
            1 => {
                let record0 = BindRecord0::from_bits(plain[offset::BIND_RECORD0 / 4]);
                let record1 = BindRecord1::from_bits(plain[offset::BIND_RECORD1 / 4]);
                let state = BindingState::try_from(record0.state).unwrap_or(BindingState::Free);
                let new = hashgate_model::NewBinding {
                    state,
                    target: record0.target,
                    rule: record1.rule,
                    bucket: record1.bucket,
                    ticks: (plain[offset::BIND_RECORD2 / 4] as u16).wrapping_sub(self.clocks(now).of(state)),
                };
                let inserted = self.nic.insert_binding(table, key, new).is_ok();
                self.follow_events();
                if inserted && let Some(session) = self.session(table, &key) {
                    tell = self.of_session(table, session).map(|(key, binding)| (session, key, binding));
                }
                BindStatus { ok: inserted, ..no }
            }
            2 => {
                let session = self.session(table, &key);
                let removed = self.nic.remove_binding(table, &key);
                self.follow_events();
                if let Some((session, binding)) = session.zip(removed) {
                    (plain[offset::BIND_SESSION / 4], tell) = (session.into(), None);
                    write_record(plain, &binding);
                }
                BindStatus { ok: removed.is_some(), ..no }
            }
            3 => match self.walk(table as usize, session.into()) {
                Some((session, words)) => {
                    let session = session as u16;
                    tell = self.of_session(table, session).map(|(key, binding)| (session, key, binding));
                    BindStatus { two: words[14] == 1, ..ok }
                }
                None => no,
            },
            4 => match self.of_session(table, session).filter(|_| told == Some(session)) {
                None => BindStatus { ended: true, ..no },
                Some((first, _)) => match self.nic.add_key(table, &first, key) {
                    Ok(()) => ok,
                    Err(hashgate_model::AddKeyError::Two) => BindStatus { two: true, ..no },
                    Err(hashgate_model::AddKeyError::Present) => BindStatus { present: true, ..no },
                    Err(_) => BindStatus { ended: true, ..no },
                },
            },
            5 => {
                let found = self.of_session(table, session);
                let second = found.and_then(|(first, binding)| {
                    self.nic.bindings().second(table, &first).map(|second| (session, second, binding))
                });
                tell = second;
                BindStatus { ok: second.is_some(), two: second.is_some(), ..no }
            }
            _ => no,
        };
        if let Some((session, key, binding)) = tell {
            plain[offset::BIND_SESSION / 4] = session.into();
            plain[offset::BIND_KEY / 4..][..KEY_WORDS].copy_from_slice(&key_words(&key));
            write_record(plain, &binding);
            self.sessions[table as usize].told = Some(session);
        }
        plain[offset::BIND_STATUS / 4] = status.bits();
    }

    fn census(&mut self, census: BindCensus, now: u64) {
        self.advance(now);
        self.live.fill(0);
        for ((table, rule, bucket), count) in self.nic.bindings().live() {
            if table == Bindings::ALL[usize::from(census.affinity)] && (census.every || rule == census.rule) {
                self.live[usize::from(bucket) % BUCKETS] += count as u32;
            }
        }
    }

    fn flush(&mut self) {
        self.nic.flush_bindings();
        for sessions in &mut self.sessions {
            let Sessions { created, removed, refused, .. } = *sessions;
            *sessions = Sessions { created, removed, refused, ..Sessions::new() };
        }
    }

    // ---- registers --------------------------------------------------------------------------------------------------

    /// A register of the dataplane; `None` if it is another.
    pub fn read(&mut self, at: usize, now: u64, plain: &mut [u32]) -> Option<u32> {
        let wide = |plain: &mut [u32], value: u64| {
            plain[at / 4 + 1] = (value >> 32) as u32;
            Some(value as u32)
        };
        if let Some(from) = at.checked_sub(offset::BINDING_USED).filter(|from| *from < 2 * BINDING_STRIDE) {
            let sessions = &self.sessions[from / BINDING_STRIDE];
            return match offset::BINDING_USED + from % BINDING_STRIDE {
                offset::BINDING_USED => Some(sessions.numbers.len() as u32),
                offset::BINDING_CREATED => wide(plain, sessions.created),
                offset::BINDING_REMOVED => wide(plain, sessions.removed),
                offset::BINDING_REFUSED => wide(plain, sessions.refused),
                _ => None,
            };
        }
        if let Some(from) = at.checked_sub(offset::PORT_RX_OVERRUN)
            && let Some((packets, bytes)) = self.port_tx.get(from / PORT_STRIDE)
        {
            return match offset::PORT_RX_OVERRUN + from % PORT_STRIDE {
                offset::PORT_TX_PACKETS => wide(plain, *packets),
                offset::PORT_TX_BYTES => wide(plain, *bytes),
                _ => None,
            };
        }
        let HostTx { packets, bytes, dropped, masked, arp, nd } = self.host_tx;
        match at {
            offset::STATUS => {
                self.check_lease(now);
                let status = Status {
                    ready: true,
                    bind_ready: true,
                    lease_armed: self.lease.armed,
                    lease_expired: self.lease.expired,
                    ..Status::default()
                };
                Some(status.bits())
            }
            offset::HOST_TX_PACKETS => wide(plain, packets),
            offset::HOST_TX_BYTES => wide(plain, bytes),
            offset::HOST_TX_DROPPED => wide(plain, dropped),
            offset::HOST_TX_MASKED => wide(plain, masked),
            offset::HOST_TX_ARP => wide(plain, arp),
            offset::HOST_TX_ND => wide(plain, nd),
            offset::BIND_NOW => {
                let Clocks { fast, slow } = self.clocks(now);
                Some(BindNow { fast, slow }.bits())
            }
            _ => None,
        }
    }

    /// A register was written; those that only keep their value have it already.
    pub fn written(&mut self, at: usize, value: u32, now: u64, plain: &mut [u32]) {
        match at {
            offset::CONTROL | offset::STATION_MAC_HIGH | offset::CLUSTER_MAC_HIGH | offset::MASK_MAC_HIGH => {
                self.settings(plain);
            }
            _ if (offset::HASH_KEY..offset::HASH_KEY + 52).contains(&at) => self.settings(plain),
            _ if at == offset::LEASE_DEADLINE + 4 => {
                self.check_lease(now);
                let deadline = deadline(plain);
                if self.lease.armed && !self.lease.expired {
                    self.lease.deadline = self.lease.deadline.max(deadline);
                }
            }
            offset::LEASE_CTRL => {
                let ctrl = LeaseCtrl::from_bits(value);
                plain[at / 4] = LeaseCtrl { arm: false, ..ctrl }.bits();
                self.lease_enabled = ctrl.enable;
                if ctrl.arm {
                    self.lease = Lease { armed: true, expired: false, deadline: deadline(plain) };
                }
                self.check_lease(now);
            }
            offset::BIND_TICKS => {
                self.advance(now);
                self.ticks = BindTicks::from_bits(value);
                plain[at / 4] = self.ticks.bits();
                self.advance(now);
            }
            offset::BIND_COMMAND => {
                let command = BindCommand::from_bits(value);
                plain[at / 4] = command.bits();
                self.command(command, now, plain);
            }
            offset::BIND_SESSION => plain[at / 4] = value & 0xffff,
            offset::BIND_RECORD0 => plain[at / 4] = BindRecord0::from_bits(value).bits(),
            offset::BIND_RECORD1 => plain[at / 4] = BindRecord1::from_bits(value).bits(),
            offset::BIND_RECORD2 => plain[at / 4] = value & 0xffff,
            _ if (offset::BIND_KEY..offset::BIND_KEY + 4 * KEY_WORDS).contains(&at) => plain[at / 4] = value,
            _ if (offset::BIND_SECRET..offset::BIND_SECRET + 16).contains(&at) => plain[at / 4] = value,
            offset::BIND_FLUSH if value & 1 == 1 => self.flush(),
            offset::BIND_CENSUS => {
                let census = BindCensus::from_bits(value);
                plain[at / 4] = census.bits();
                self.census(census, now);
            }
            _ => {}
        }
    }

    fn settings(&mut self, plain: &[u32]) {
        let registers = Registers::new(Plain(plain));
        self.nic.state.enabled = registers.control().enable;
        self.nic.set_settings(read_settings(&registers));
    }
}

/// Registers that only keep their value, as a driver reads them.
struct Plain<'a>(&'a [u32]);

impl RegisterIo for Plain<'_> {
    fn read32(&self, offset: usize) -> u32 {
        self.0[offset / 4]
    }

    /// Nobody writes this way.
    fn write32(&self, _offset: usize, _value: u32) {}
}

fn deadline(plain: &[u32]) -> u64 {
    u64::from(plain[offset::LEASE_DEADLINE / 4 + 1]) << 32 | u64::from(plain[offset::LEASE_DEADLINE / 4])
}

/// Whether the fields of an entry have a meaning; what has none is taken for an entry that is not valid.
fn has_meaning(table: Table, words: &[u32]) -> bool {
    match table {
        Table::Vip => words.first_chunk().is_none_or(|words| VipKind::try_from(VipEntry::unpack(words).kind).is_ok()),
        Table::Rule => words.first_chunk().is_none_or(|words| {
            let entry = RuleEntry::unpack(words);
            let masks = [(entry.bucket_src4, entry.bucket_src6), (entry.binding_src4, entry.binding_src6)];
            Mode::try_from(entry.mode).is_ok()
                && Track::try_from(entry.track).is_ok()
                && masks.iter().all(|(src4, src6)| *src4 <= 32 && *src6 <= 128)
        }),
        Table::Target => {
            words.first_chunk().is_none_or(|words| Action::try_from(TargetEntry::unpack(words).action).is_ok())
        }
        _ => true,
    }
}

fn write_record(plain: &mut [u32], binding: &Binding) {
    let Binding { state, target, rule, bucket, expires, fresh } = *binding;
    plain[offset::BIND_RECORD0 / 4] = BindRecord0 { target, state: state as u8, fresh }.bits();
    plain[offset::BIND_RECORD1 / 4] = BindRecord1 { bucket, rule }.bits();
    plain[offset::BIND_RECORD2 / 4] = expires.into();
}

/// Words 1..=13 of an event, without its kind.
fn binding_words(session: u16, table: Bindings, key: &BindingKey, binding: &Binding) -> [u32; 13] {
    let Binding { state, target, rule, bucket, expires, fresh } = *binding;
    let mut words = [0; 13];
    words[0] = (table as u32) << 4 | u32::from(fresh) << 5 | (state as u32) << 8 | u32::from(target & 0x3ff) << 16;
    words[1] = u32::from(bucket & 0xfff) | u32::from(rule) << 16;
    words[2] = u32::from(session) | u32::from(expires) << 16;
    words[3..].copy_from_slice(&key_words(key));
    words
}

/// A key as in `BIND_KEY`.
fn key_words(key: &BindingKey) -> [u32; KEY_WORDS] {
    let mut words = [0; KEY_WORDS];
    for (place, address) in [(0, key.key.source), (4, key.key.destination)] {
        let bits = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        for (n, word) in words[place..place + 4].iter_mut().enumerate() {
            *word = (bits >> (32 * n)) as u32;
        }
    }
    words[8] = u32::from(key.key.source_port) | u32::from(key.key.destination_port) << 16;
    words[9] = u32::from(key.protocol) | u32::from(key.zone) << 8 | u32::from(key.key.source.is_ipv6()) << 16;
    words
}

fn key_of(words: &[u32; KEY_WORDS]) -> BindingKey {
    let address = |place: usize| {
        if words[9] >> 16 & 1 == 1 {
            let bits = (0..4).fold(0, |bits, n| bits | u128::from(words[place + n]) << (32 * n));
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(words[place]))
        }
    };
    let (source_port, destination_port) = (words[8] as u16, (words[8] >> 16) as u16);
    let key = Key { source: address(0), destination: address(4), source_port, destination_port };
    BindingKey { zone: (words[9] >> 8) as u8, key, protocol: words[9] as u8 }
}
