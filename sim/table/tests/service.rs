// SPDX-License-Identifier: Apache-2.0
//! With a packet in every cycle, everything in the background still ends: operations of the host, the sweep, the mover, undoing. Every
//! answer is held against the reference. The bounds are in cycles, some four times the most that was seen over forty seeds; what is seen is
//! printed. `HASHGATE_SEED` sets the seed, which is printed.

use hashgate_table_sim::{Bench, Key, Packet, Random, Record, TableIn, key, seed, state};

const SESSIONS: u32 = 512;
const BATCH: usize = 64;
/// From the start of an operation of the host to its end.
const HOST_CYCLES: u64 = 4096;
/// From the tick that ends 250 bindings to the last removal.
const SWEEP_CYCLES: u64 = 4096;
/// From the last creation to an empty stash, at a load of 80 %.
const MOVER_CYCLES: u64 = 1024;
/// From an undo to the removal.
const UNDO_CYCLES: u64 = 1024;

struct Scene {
    bench: Bench,
    random: Random,
    slow_now: u16,
}

fn numbered(number: u64) -> Key {
    let mut of = Random::new(number + 1);
    key(number.is_multiple_of(2), 0, of.next().into(), of.next().into(), (number as u16, 80), 6)
}

fn record(expires: u16) -> Record {
    Record { state: state::ESTABLISHED, target: 7, rule: 1, bucket: 9, fresh: true, expires }
}

impl Scene {
    fn new(name: &str) -> Scene {
        let seed = seed();
        println!("{name}: HASHGATE_SEED={seed}");
        let mut random = Random::new(seed);
        let secret = std::array::from_fn(|_| random.next() as u32);
        let bench = Bench::new(SESSIONS, random.next() as u32, secret, true);
        Scene { bench, random, slow_now: 0 }
    }

    /// A packet that asks for any of the keys below `keys`.
    fn find(&mut self, keys: u64) -> TableIn {
        let key = numbered(self.random.below(keys));
        TableIn { slow_now: self.slow_now, ..Packet { key, ..Packet::default() }.input() }
    }

    /// Cycles with a packet in each of them.
    fn pass(&mut self, keys: u64, cycles: usize, change: impl FnOnce(&mut [TableIn])) {
        let mut input: Vec<_> = (0..cycles).map(|_| self.find(keys)).collect();
        change(&mut input);
        self.bench.run(&input).expect("every answer is right");
    }

    /// An operation of the host in full traffic; returns the cycles that it took. The answer is in the bench.
    fn ask(&mut self, operation: u8, key: Key, session: u32, keys: u64) -> u64 {
        let begun = self.bench.cycles();
        self.pass(keys, BATCH, |input| {
            input[0].host_start = 1 + operation;
            input[0].host_key = key;
            input[0].host_record = Record { fresh: false, ..record(0x4000) }.pack();
            input[0].host_session = session;
        });
        while self.bench.host_waits {
            self.pass(keys, BATCH, |_| ());
            let passed = self.bench.cycles() - begun;
            assert!(passed < HOST_CYCLES, "operation {operation} is not answered in {passed} cycles");
        }
        self.bench.cycles() - begun
    }

    /// A binding for each of the keys, made in full traffic.
    fn create(&mut self, numbers: std::ops::Range<u64>, keys: u64, expires: u16) {
        for number in numbers {
            let packet = Packet { key: numbered(number), op: 2, only_dead: true, flag: false, record: record(expires) };
            let slow_now = self.slow_now;
            self.pass(keys, BATCH, |input| input[0] = TableIn { slow_now, ..packet.input() });
        }
    }
}

#[test]
fn the_host_is_served() {
    let mut scene = Scene::new("the host is served");
    scene.create(0..300, 300, 0x4000);
    for (operation, name) in ["find", "insert", "remove", "next"].into_iter().enumerate() {
        let (mut longest, mut ok, mut busy) = (0, 0, 0);
        let mut next = 0;
        for _ in 0..100 {
            let begun = scene.bench.cycles();
            // Half of the keys are there; those of running traffic are the hard ones.
            let key = numbered(scene.random.below(600));
            if operation == 3 && next == 0 {
                scene.bench.reference.as_mut().expect("checked").dump_begins();
            }
            scene.pass(300, BATCH, |input| {
                input[0].host_start = 1 + operation as u8;
                input[0].host_key = key;
                input[0].host_record = Record { fresh: false, ..record(0x4000) }.pack();
                input[0].host_session = next;
            });
            while scene.bench.host_waits {
                scene.pass(300, BATCH, |_| ());
                let passed = scene.bench.cycles() - begun;
                assert!(passed < HOST_CYCLES, "{name} is not answered in {passed} cycles");
            }
            longest = longest.max(scene.bench.cycles() - begun);
            let reply = scene.bench.host_reply.expect("answered");
            next = if reply.ok && reply.session + 1 < SESSIONS { reply.session + 1 } else { 0 };
            ok += u32::from(reply.ok);
            busy += u32::from(reply.busy);
        }
        println!("{name}: {longest} cycles at most; {ok} of 100 done, {busy} to be asked again");
        assert!(ok > 0, "{name}: none of 100 was done");
    }
}

/// Second keys are given in full traffic, and both keys go in full traffic when their time is over.
#[test]
fn two_keys_are_served() {
    const FIND: u8 = 0;
    const ADD: u8 = 4;
    let mut scene = Scene::new("two keys are served");
    scene.create(0..300, 300, 1);
    let (mut longest, mut busy) = (0, 0);
    let mut seconds = Vec::new();
    for attempt in 0..1500 {
        let number = scene.random.below(300);
        scene.ask(FIND, numbered(number), 0, 300);
        let found = scene.bench.host_reply.expect("answered");
        assert!(found.ok, "{number} lives");
        if found.two {
            continue;
        }
        if seconds.len() == 100 {
            break;
        }
        let second = 10_000 + attempt;
        longest = longest.max(scene.ask(ADD, numbered(second), found.session, 300));
        let reply = scene.bench.host_reply.expect("answered");
        assert!(reply.ok || reply.busy, "{reply:?}");
        busy += u32::from(reply.busy);
        if reply.ok {
            seconds.push(second);
        }
    }
    println!("a second key: {longest} cycles at most; {} given, {busy} to be asked again", seconds.len());
    assert!(seconds.len() > 20, "{} of 1500 were given", seconds.len());
    assert_eq!(scene.bench.output[BATCH - 1].live_slots, 300, "a session counts once");
    scene.slow_now = 1;
    let begun = scene.bench.cycles();
    while scene.bench.output[BATCH - 1].live_slots > 0 {
        scene.pass(300, BATCH, |_| ());
        let passed = scene.bench.cycles() - begun;
        assert!(passed < 2 * SWEEP_CYCLES, "some of 300 are left after {passed} cycles");
    }
    println!("300 removed in {} cycles", scene.bench.cycles() - begun);
}

#[test]
fn what_ended_is_removed() {
    let mut scene = Scene::new("what ended is removed");
    scene.create(0..100, 350, 0x4000);
    scene.create(100..350, 350, 1);
    assert_eq!(scene.bench.output[BATCH - 1].live_slots, 350);
    scene.slow_now = 1;
    let begun = scene.bench.cycles();
    while scene.bench.output[BATCH - 1].live_slots > 100 {
        scene.pass(350, BATCH, |_| ());
        let passed = scene.bench.cycles() - begun;
        assert!(
            passed < SWEEP_CYCLES,
            "{} of 350 are left after {passed} cycles",
            scene.bench.output[BATCH - 1].live_slots
        );
    }
    println!("250 removed in {} cycles", scene.bench.cycles() - begun);
}

#[test]
fn the_stash_is_emptied() {
    let mut scene = Scene::new("the stash is emptied");
    scene.create(0..380, 400, 0x4000);
    let mut longest = 0;
    for burst in 0..3 {
        let first = 380 + 10 * burst;
        let slow_now = scene.slow_now;
        scene.pass(400, BATCH, |input| {
            for (at, number) in (first..first + 10).enumerate() {
                let packet =
                    Packet { key: numbered(number), op: 2, only_dead: true, flag: false, record: record(0x4000) };
                input[at] = TableIn { slow_now, ..packet.input() };
            }
        });
        let begun = scene.bench.cycles();
        while scene.bench.output[BATCH - 1].stash_used > 0 {
            scene.pass(400, BATCH, |_| ());
            let passed = scene.bench.cycles() - begun;
            assert!(
                passed < MOVER_CYCLES,
                "{} keys are in the stash after {passed} cycles",
                scene.bench.output[BATCH - 1].stash_used
            );
        }
        longest = longest.max(scene.bench.cycles() - begun);
    }
    println!("the stash is empty after {longest} cycles at most");
    assert_eq!(scene.bench.output[BATCH - 1].live_slots, 410);
}

#[test]
fn what_is_undone_goes() {
    let mut scene = Scene::new("what is undone goes");
    scene.create(0..200, 200, 0x4000);
    let mut longest = 0;
    for number in 1000..1050 {
        let packet = Packet { key: numbered(number), op: 2, only_dead: true, flag: false, record: record(0x4000) };
        let slow_now = scene.slow_now;
        scene.pass(200, BATCH, |input| input[0] = TableIn { slow_now, ..packet.input() });
        let made = *scene.bench.output[..BATCH].iter().find(|o| o.op == 2).expect("it is made");
        let begun = scene.bench.cycles();
        scene.pass(200, BATCH, |input| {
            (input[0].undo, input[0].undo_session, input[0].undo_row) = (1, made.session, made.row);
        });
        while scene.bench.output[BATCH - 1].live_slots > 200 {
            scene.pass(200, BATCH, |_| ());
            let passed = scene.bench.cycles() - begun;
            assert!(passed < UNDO_CYCLES, "still there after {passed} cycles");
        }
        longest = longest.max(scene.bench.cycles() - begun);
    }
    println!("undone within {longest} cycles");
}
