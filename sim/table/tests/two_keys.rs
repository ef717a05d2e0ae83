// SPDX-License-Identifier: Apache-2.0
//! Sessions with two keys, step by step. Every answer is held against the reference; what goes in is drawn from `HASHGATE_SEED`, which is
//! printed.

use hashgate_table_sim::{Bench, HostReply, Key, LATENCY, Packet, Random, Record, TableIn, TableOut, key, seed, state};

const SESSIONS: u32 = 512;
const FIND: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;
const NEXT: u8 = 3;
const ADD: u8 = 4;
const SECOND: u8 = 5;
/// Cycles after which everything that was begun has settled.
const SETTLED: usize = 256;
/// When bindings end, in ticks of the slow clock.
const END: u16 = 100;

struct Scene {
    bench: Bench,
    slow_now: u16,
    /// Sessions after the last cycle.
    live: u32,
}

fn numbered(number: u64) -> Key {
    let mut of = Random::new(number + 1);
    key(number.is_multiple_of(2), 0, of.next().into(), of.next().into(), (number as u16, 80), 6)
}

fn record(target: u16) -> Record {
    Record { state: state::ESTABLISHED, target, rule: 1, bucket: 9, fresh: false, expires: END }
}

fn packet(key: Key, op: u8, record: Record) -> TableIn {
    Packet { key, op, only_dead: true, flag: false, record }.input()
}

impl Scene {
    fn new(name: &str) -> Scene {
        let seed = seed();
        println!("{name}: HASHGATE_SEED={seed}");
        let mut random = Random::new(seed);
        let secret = std::array::from_fn(|_| random.next() as u32);
        Scene { bench: Bench::new(SESSIONS, random.next() as u32, secret, true), slow_now: 0, live: 0 }
    }

    /// Packets, one a cycle, and cycles after them. Returns the answers.
    fn pass(&mut self, packets: &[TableIn], cycles: usize) -> Vec<TableOut> {
        let mut input = packets.to_vec();
        input.resize(packets.len() + cycles.max(LATENCY as usize), TableIn::default());
        input.iter_mut().for_each(|i| i.slow_now = self.slow_now);
        self.bench.run(&input).expect("every answer is right");
        self.live = self.bench.output[input.len() - 1].live_slots;
        self.bench.output[..input.len()].iter().filter(|o| o.valid != 0).copied().collect()
    }

    fn find(&mut self, key: Key) -> TableOut {
        self.pass(&[packet(key, 0, Record::default())], 16)[0]
    }

    fn create(&mut self, number: u64) -> u32 {
        self.pass(&[packet(numbered(number), 2, record(number as u16 & 1023))], SETTLED)[0].session
    }

    fn ask_once(&mut self, op: u8, key: Key, session: u32) -> HostReply {
        let start = TableIn {
            host_start: 1 + op,
            host_key: key,
            host_session: session,
            host_record: record(7).pack(),
            ..TableIn::default()
        };
        self.pass(&[start], 64);
        for _ in 0..1000 {
            if !self.bench.host_waits {
                return self.bench.host_reply.expect("answered");
            }
            self.pass(&[], 64);
        }
        panic!("operation {op} is not answered");
    }

    /// Asks until it need not be asked again.
    fn ask(&mut self, op: u8, key: Key, session: u32) -> HostReply {
        (0..100).map(|_| self.ask_once(op, key, session)).find(|reply| !reply.busy).expect("it is done at last")
    }

    /// A session under the key of that number, with a second key.
    fn pair(&mut self, number: u64, second: u64) -> u32 {
        let session = self.create(number);
        let found = self.ask(FIND, numbered(number), 0);
        assert_eq!((found.ok, found.two, found.session), (true, false, session));
        assert!(self.ask(ADD, numbered(second), session).ok, "{number} gets the second key {second}");
        session
    }

    /// Neither key is found, and the session is free.
    fn assert_gone(&mut self, number: u64, second: u64, left: u32) {
        for key in [numbered(number), numbered(second)] {
            assert_eq!(self.find(key).present, 0, "{number} and {second} are gone");
        }
        assert_eq!(self.live, left);
    }
}

#[test]
fn both_keys_find_one_session() {
    let mut scene = Scene::new("both keys find one session");
    let session = scene.pair(1, 1001);
    scene.create(2);
    for key in [numbered(1), numbered(1001)] {
        let found = scene.find(key);
        assert_eq!((found.live, found.session, Record::unpack(found.record)), (1, session, record(1)));
        let reply = scene.ask(FIND, key, 0);
        assert_eq!((reply.ok, reply.two, reply.session, reply.key), (true, true, session, key));
    }
    assert_eq!(scene.live, 2, "it counts once");
    // A walk tells it once, under its first key.
    let first = scene.ask(NEXT, Key::default(), 0);
    let other = scene.ask(NEXT, Key::default(), first.session + 1);
    let mut walked = [first, other].map(|reply| (reply.key, reply.two));
    walked.sort_by_key(|(_, two)| !two);
    assert_eq!(walked, [(numbered(1), true), (numbered(2), false)]);
    assert!(!scene.ask(NEXT, Key::default(), other.session + 1).ok);
    let second = scene.ask(SECOND, Key::default(), session);
    assert_eq!((second.ok, second.key, second.session), (true, numbered(1001), session));
    assert!(!scene.ask(SECOND, Key::default(), 1 - session).ok, "that has one key");
}

/// What a packet writes by one key, the next packets see by the other, however close they are.
#[test]
fn a_packet_sees_what_was_written_by_the_other_key() {
    let mut scene = Scene::new("a packet sees what was written by the other key");
    scene.pair(1, 1001);
    let keys = [numbered(1), numbered(1001)];
    for gap in 0..14 {
        for (from, to) in [(0, 1), (1, 0)] {
            for delete_first in [false, true] {
                let mut input = vec![packet(keys[from], 1, record(20 + gap))];
                if delete_first {
                    // An older one by the key of the last: the newer write counts.
                    input.insert(0, packet(keys[to], 1, record(500)));
                }
                input.extend((0..gap).map(|_| TableIn::default()));
                input.push(packet(keys[to], 0, Record::default()));
                let answers = scene.pass(&input, 16);
                let last = answers.last().expect("three packets");
                assert_eq!(Record::unpack(last.record), record(20 + gap), "{gap} cycles between, from key {from}");
            }
        }
    }
}

#[test]
fn a_second_key_is_refused_by_name() {
    let mut scene = Scene::new("a second key is refused by name");
    let session = scene.pair(1, 1001);
    let single = scene.create(2);
    let told = |scene: &mut Scene, number| assert!(scene.ask(FIND, numbered(number), 0).ok);
    let refusal = |reply: HostReply| (reply.ok, reply.full, reply.present, reply.ended, reply.two);
    told(&mut scene, 1);
    assert_eq!(refusal(scene.ask(ADD, numbered(3001), session)), (false, false, false, false, true), "a third key");
    told(&mut scene, 2);
    for there in [1, 1001, 2] {
        let reply = scene.ask(ADD, numbered(there), single);
        assert_eq!(refusal(reply), (false, false, true, false, false), "key {there} is there");
    }
    let ended = (false, false, false, true, false);
    assert_eq!(refusal(scene.ask(ADD, numbered(3001), 300)), ended, "no such session");
    assert_eq!(refusal(scene.ask(ADD, numbered(3001), session)), ended, "not the session that was told");
    // Removed and made under another key since it was told: the number is the same, the session is not.
    told(&mut scene, 2);
    scene.slow_now = END;
    scene.pass(&[], 4096);
    assert_eq!(scene.live, 0, "all have ended");
    scene.slow_now = 0;
    let again: Vec<_> = (10..20).map(|number| scene.create(number)).collect();
    assert!(again.contains(&single), "the number is in use again");
    assert_eq!(refusal(scene.ask(ADD, numbered(3001), single)), ended, "removed since it was told");
    assert_eq!(scene.find(numbered(3001)).present, 0);
}

#[test]
fn the_host_removes_both_keys_by_either() {
    let mut scene = Scene::new("the host removes both keys by either");
    for by in [1, 1001] {
        scene.pair(1, 1001);
        assert!(scene.ask(REMOVE, numbered(by), 0).ok);
        scene.pass(&[], SETTLED);
        scene.assert_gone(1, 1001, 0);
    }
    // Each key can be that of another session now.
    scene.pair(1001, 2);
    scene.create(1);
    assert_eq!(scene.live, 2);
}

#[test]
fn time_removes_both_keys() {
    let mut scene = Scene::new("time removes both keys");
    for number in 0..100 {
        scene.pair(number, 1000 + number);
    }
    assert_eq!(scene.live, 100);
    scene.slow_now = END;
    scene.pass(&[], 32 * SETTLED);
    for number in 0..100 {
        scene.assert_gone(number, 1000 + number, 0);
    }
}

#[test]
fn undo_removes_both_keys() {
    let mut scene = Scene::new("undo removes both keys");
    let fresh = Record { fresh: true, ..record(1) };
    let made = scene.pass(&[packet(numbered(1), 2, fresh)], SETTLED)[0];
    assert!(scene.ask(FIND, numbered(1), 0).ok);
    assert!(scene.ask(ADD, numbered(1001), made.session).ok);
    let undo = TableIn { undo: 1, undo_session: made.session, undo_row: made.row, ..TableIn::default() };
    scene.pass(&[undo], SETTLED);
    scene.assert_gone(1, 1001, 0);
}

/// The host makes no new binding of one of two keys before both are gone.
#[test]
fn the_host_takes_no_half_of_an_ended_session() {
    let mut scene = Scene::new("the host takes no half of an ended session");
    scene.pair(1, 1001);
    scene.pass(&[packet(numbered(1001), 3, Record::default())], 0);
    assert!(scene.ask(INSERT, numbered(1), 0).ok);
    assert_eq!(scene.find(numbered(1001)).present, 0);
    assert_eq!(scene.find(numbered(1)).live, 1);
}

/// Keys move while the table fills up; both of each session are found all the time, and all go.
#[test]
fn moved_keys_are_found_and_removed() {
    let mut scene = Scene::new("moved keys are found and removed");
    let mut random = Random::new(seed());
    let pairs = 230;
    for number in 0..pairs {
        scene.pair(number, 1000 + number);
        let input: Vec<_> = (0..64)
            .map(|_| packet(numbered(random.below(number + 1) + 1000 * random.below(2)), 0, Record::default()))
            .collect();
        assert!(scene.pass(&input, 64).iter().all(|o| o.live == 1), "every key is found");
    }
    let moves = scene.bench.reference.as_ref().expect("checked").counts.moves;
    assert!(moves > 20, "{moves} moves");
    assert_eq!(scene.live, pairs as u32);
    for number in 0..pairs / 2 {
        assert!(scene.ask(REMOVE, numbered(number + 1000 * random.below(2)), 0).ok, "{number} is removed");
    }
    scene.slow_now = END;
    scene.pass(&[], 64 * SETTLED);
    for number in 0..pairs {
        scene.assert_gone(number, 1000 + number, 0);
    }
}
