// SPDX-License-Identifier: Apache-2.0
//! Bits of the memories flip. A key that was hit misses and is reported, nothing else changes, and time repairs what was hit. Which bits
//! flip is drawn from `HASHGATE_SEED`, which is printed.

use hashgate_table_sim::{Bench, Key, Packet, Random, Record, TableIn, TableMemory, TableOut, key, seed, state};
use std::collections::BTreeMap;

const SESSIONS: u32 = 512;
const ROWS: u32 = SESSIONS / 4;
/// Bits of a key; a session's number follows in a slot, then three flags.
const KEY_BITS: u32 = 305;
const SESSION_BITS: u32 = 9;
const SLOT_BITS: u32 = KEY_BITS + SESSION_BITS + 3;
/// When bindings end, in ticks of the slow clock.
const END: u16 = 100;
/// Operations of the host.
const FIND: u8 = 0;
const ADD: u8 = 4;
/// Cycles after which everything that was begun has settled.
const SETTLED: usize = 256;

/// A table with bindings in its slots.
struct Scene {
    bench: Bench,
    random: Random,
    slow_now: u16,
    /// Key and record by session.
    bindings: BTreeMap<u32, (Key, Record)>,
    keys: u64,
    created: u64,
    removed: u64,
}

/// What a packet met.
struct Answer {
    out: TableOut,
    /// Pulses of `parity_o` since.
    parity: u32,
}

impl Scene {
    fn new(name: &str) -> Scene {
        let seed = seed();
        println!("{name}: HASHGATE_SEED={seed}");
        let mut random = Random::new(seed);
        let secret = std::array::from_fn(|_| random.next() as u32);
        let bench = Bench::new(SESSIONS, random.next() as u32, secret, false);
        Scene { bench, random, slow_now: 0, bindings: BTreeMap::new(), keys: 0, created: 0, removed: 0 }
    }

    /// Lets cycles pass, the first of them with a packet if there is one. Returns the pulses of `parity_o`.
    fn pass(&mut self, packet: Option<&Packet>, cycles: usize) -> u32 {
        let mut input = vec![TableIn::default(); cycles];
        if let Some(packet) = packet {
            input[0] = packet.input();
        }
        input.iter_mut().for_each(|i| i.slow_now = self.slow_now);
        self.bench.run(&input).expect("no assertion fails");
        let output = &self.bench.output[..cycles];
        self.created += output.iter().filter(|o| o.event == 1).count() as u64;
        self.removed += output.iter().filter(|o| o.event == 3).count() as u64;
        output.iter().map(|o| u32::from(o.parity)).sum()
    }

    /// A packet, and cycles after it.
    fn packet(&mut self, key: Key, op: u8, record: Record, cycles: usize) -> Answer {
        let parity = self.pass(Some(&Packet { key, op, only_dead: true, flag: false, record }), cycles);
        let out = *self.bench.output[..cycles].iter().find(|o| o.valid != 0).expect("a packet is answered");
        Answer { out, parity }
    }

    fn find(&mut self, key: Key) -> Answer {
        self.packet(key, 0, Record::default(), 24)
    }

    /// Makes a binding; returns its session.
    fn create(&mut self, key: Key) -> u32 {
        let target = self.random.below(1024) as u16;
        let record = Record { state: state::ESTABLISHED, target, bucket: target, rule: 5, fresh: false, expires: END };
        let answer = self.packet(key, 2, record, SETTLED);
        assert_eq!(answer.out.op, 2, "there is room");
        self.bindings.insert(answer.out.session, (key, record));
        answer.out.session
    }

    fn fill(&mut self, count: u64) {
        for number in self.keys..self.keys + count {
            let source = self.random.next();
            self.create(key(number % 2 == 0, 0, source.into(), 7, (number as u16, 80), 6));
        }
        self.keys += count;
        let last = self.bench.output[SETTLED - 1];
        assert_eq!(last.stash_used, 0, "every key is in a slot");
    }

    /// Where the keys of sessions are: way and row.
    fn places(&mut self) -> BTreeMap<u32, (u8, u32)> {
        let model = self.bench.model();
        let slots = (0..4).flat_map(|way| (0..ROWS).map(move |row| (way, row)));
        slots.filter_map(|(way, row)| model.slot(way, row).map(|session| (session, (way, row)))).collect()
    }

    /// Gives the session with `first` a second key.
    fn add(&mut self, first: Key, second: Key) {
        for (operation, host_key) in [(FIND, first), (ADD, second)] {
            let host_session = self.bench.host_reply.map_or(0, |reply| reply.session);
            let mut input = vec![TableIn::default(); 4 * SETTLED];
            input[0] = TableIn { host_start: 1 + operation, host_key, host_session, ..TableIn::default() };
            input.iter_mut().for_each(|i| i.slow_now = self.slow_now);
            self.bench.run(&input).expect("no assertion fails");
            let reply = self.bench.host_reply.expect("answered");
            assert!(reply.ok && !self.bench.host_waits, "{reply:?}");
        }
    }

    /// All bindings are found, with their sessions and records.
    fn assert_all(&mut self) {
        for (session, (key, record)) in self.bindings.clone() {
            let out = self.find(key).out;
            assert_eq!((out.present, out.live, out.session, Record::unpack(out.record)), (1, 1, session, record));
        }
    }

    /// Everything that is left ends. Returns the sessions that do not come back.
    fn end(&mut self) -> u32 {
        self.slow_now = END + 1;
        for _ in 0..64 {
            self.pass(None, SETTLED);
        }
        self.bindings.clear();
        self.bench.output[SETTLED - 1].live_slots
    }
}

/// A second key that was hit misses; the first one still leads to the session, and both go when its time is over.
#[test]
fn slots_of_second_keys() {
    let mut scene = Scene::new("slots of second keys");
    scene.fill(150);
    let firsts = scene.places();
    let pairs: Vec<_> = scene.bindings.iter().map(|(session, (key, _))| (*session, *key)).collect();
    let second = |session: u32| key(true, 3, session.into(), 9, (session as u16, 81), 6);
    for &(session, first) in &pairs {
        scene.add(first, second(session));
    }
    let model = scene.bench.model();
    let slots = (0..4).flat_map(|way| (0..ROWS).map(move |row| (way, row)));
    let mut places: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (way, row) in slots {
        if let Some(session) = model.slot(way, row) {
            places.entry(session).or_default().push((way, row));
        }
    }
    assert!(places.len() == 150 && places.values().all(|places| places.len() == 2), "each session has two slots");
    // Where the first key was moved meanwhile, nobody can tell from outside which of the two is which.
    places.retain(|session, places| places.contains(&firsts[session]));
    assert!(places.len() > 100, "{} first keys have not moved", places.len());
    let second_place =
        |(session, places): (u32, Vec<_>)| (session, places.into_iter().find(|place| *place != firsts[&session]));
    let seconds = places.into_iter().map(second_place).filter_map(|(session, place)| Some((session, place?)));
    let mut lost = 0;
    for (number, (session, (way, row))) in seconds.enumerate() {
        if number % 3 != 0 {
            continue;
        }
        let bit = scene.random.below(SLOT_BITS.into()) as u32;
        scene.bench.model().upset(TableMemory::Slots(way), row, bit);
        let answer = scene.find(second(session));
        assert_eq!(answer.out.present, 0, "bit {bit}: a second key is found in a word with wrong parity");
        assert!(answer.parity > 0, "bit {bit} of way {way}, row {row} is not reported");
        lost += u32::from((KEY_BITS..=KEY_BITS + SESSION_BITS).contains(&bit));
    }
    scene.assert_all();
    assert_eq!(scene.end(), lost, "sessions whose number was hit in the second slot are lost, all others come back");
}

#[test]
fn slots() {
    let mut scene = Scene::new("slots");
    scene.fill(300);
    let places = scene.places();
    assert_eq!(places.len(), 300, "each session has one slot");
    // The edges of each field, then any bit.
    let edges = [0, KEY_BITS - 1, KEY_BITS, KEY_BITS + SESSION_BITS - 1, SLOT_BITS - 2, SLOT_BITS - 1];
    let mut hit = Vec::new();
    let mut lost = 0;
    for number in 0..60 {
        let session = loop {
            let session = *scene.bindings.keys().nth(scene.random.below(300) as usize).expect("there are 300");
            if !hit.contains(&session) {
                break session;
            }
        };
        let bit = edges.get(number).copied().unwrap_or_else(|| scene.random.below(SLOT_BITS.into()) as u32);
        let (way, row) = places[&session];
        let (key, record) = scene.bindings[&session];
        assert_eq!(Record::unpack(scene.find(key).out.record), record);
        scene.bench.model().upset(TableMemory::Slots(way), row, bit);
        let answer = scene.find(key);
        assert_eq!(
            answer.out.present, 0,
            "bit {bit} of way {way}, row {row}: a key is found in a word with wrong parity"
        );
        assert!(answer.parity > 0, "bit {bit} of way {way}, row {row} is not reported");
        hit.push(session);
        // Without its number, nobody knows whose the slot is.
        lost += u32::from((KEY_BITS..=KEY_BITS + SESSION_BITS).contains(&bit));
    }
    let again: Vec<_> = hit.iter().map(|session| scene.bindings.remove(session).expect("it was there").0).collect();
    scene.assert_all();
    // What was hit is made anew, under another session.
    for key in again {
        let new = scene.create(key);
        assert!(!hit.contains(&new), "session {new} is not free yet");
    }
    scene.assert_all();
    assert_eq!(scene.end(), lost, "sessions whose number was hit in the slot are lost, all others come back");
    assert_eq!(scene.created - scene.removed, u64::from(lost), "an event for each that came back");
}

#[test]
fn empty_slots() {
    let mut scene = Scene::new("empty slots");
    scene.fill(100);
    let taken: Vec<_> = scene.places().into_values().collect();
    for (way, row) in (0..4).flat_map(|way| (0..ROWS).map(move |row| (way, row))) {
        if !taken.contains(&(way, row)) {
            let bit =
                if scene.random.chance(512) { SLOT_BITS - 2 } else { scene.random.below(SLOT_BITS.into()) as u32 };
            scene.bench.model().upset(TableMemory::Slots(way), row, bit);
        }
    }
    // They are as empty as before.
    scene.fill(150);
    scene.assert_all();
    assert_eq!(scene.end(), 0);
    assert_eq!(scene.created, scene.removed);
}

/// A record that packets cannot read is as good as ended for them; the next CREATE writes it again.
#[test]
fn records_of_packets() {
    let mut scene = Scene::new("records of packets");
    scene.fill(200);
    for bit in 0..50 {
        let session = *scene.bindings.keys().nth(scene.random.below(200) as usize).expect("there are 200");
        let (key, record) = scene.bindings[&session];
        scene.bench.model().upset(TableMemory::Records, session, bit);
        let answer = scene.find(key);
        assert_eq!((answer.out.present, answer.out.live), (1, 0), "bit {bit}");
        assert!(answer.parity > 0, "bit {bit} is not reported");
        let answer = scene.packet(key, 2, record, SETTLED);
        assert_eq!((answer.out.op, answer.out.session), (2, session), "bit {bit}: made anew in its place");
        if bit % 8 == 0 {
            scene.assert_all();
        }
    }
    scene.assert_all();
    assert_eq!(scene.end(), 0);
}

/// A record that the sweep cannot read goes, and its key with it.
#[test]
fn records_of_the_sweep() {
    let mut scene = Scene::new("records of the sweep");
    scene.fill(200);
    for bit in 0..51 {
        let session = *scene.bindings.keys().nth(scene.random.below(100) as usize).expect("there are 150");
        let (key, _) = scene.bindings.remove(&session).expect("it was there");
        let before = scene.bench.output[SETTLED - 1].live_slots;
        scene.bench.model().upset(TableMemory::OtherRecords, session, bit);
        let parity = scene.pass(None, 4 * SETTLED);
        assert!(parity > 0, "bit {bit} is not reported");
        assert_eq!(scene.bench.output[SETTLED - 1].live_slots, before - 1, "bit {bit}: the session is free again");
        assert_eq!(scene.find(key).out.present, 0, "bit {bit}");
        if bit % 8 == 0 {
            scene.assert_all();
        }
    }
    scene.assert_all();
    scene.fill(50);
    assert_eq!(scene.end(), 0);
    assert_eq!(scene.created, scene.removed, "each removal is reported, whatever is left of the state");
}
