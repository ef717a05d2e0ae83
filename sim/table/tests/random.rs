// SPDX-License-Identifier: Apache-2.0
//! Random operations against the reference. `HASHGATE_OPS` sets how many packets there are in all (1 million if unset), `HASHGATE_SEED` the
//! seed, which is printed.

use hashgate_table_sim::{Bench, Key, Packet, Random, Record, TableIn, key, seed, state};
use std::env;

const BATCH: usize = 128;

/// What one round is like.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Keys in use.
    keys: u64,
    /// Of 1024 cycles, those with a packet.
    load: u64,
    /// Of 1024 packets, those with the key of one of the last eleven.
    again: u64,
    /// Of 1024 packets: create, write, delete.
    create: u64,
    write: u64,
    delete: u64,
    /// Of 1024 cycles, those in which each clock ticks.
    tick: u64,
    /// Longest life in ticks.
    life: u64,
    /// Of 1024 batches, those with a request of the host, if it is idle.
    host: u64,
    /// Of 1024 creations, those that are undone.
    undo: u64,
    /// Of 1024 answers that name a session, those after which it gets a second key.
    add: u64,
    batches: u64,
}

fn any_key(random: &mut Random, round: &Round, space: u64) -> Key {
    let number = random.below(round.keys) + space;
    let mut of = Random::new(number);
    if number.is_multiple_of(2) {
        key(false, (number % 5) as u8, of.next().into(), of.next().into(), (of.next() as u16, number as u16), 6)
    } else {
        let source = u128::from(of.next()) << 64 | u128::from(number);
        key(true, (number % 3) as u8, source, of.next().into(), (1, 2), 17)
    }
}

fn any_record(random: &mut Random, round: &Round, clocks: (u16, u16), fresh: bool) -> Record {
    let state = 1 + random.below(5) as u8;
    let now = if state == state::HALF_OPEN || state == state::RESET { clocks.0 } else { clocks.1 };
    Record {
        state,
        fresh,
        target: random.below(1024) as u16,
        rule: random.below(128) as u8,
        bucket: random.below(4096) as u16,
        expires: now.wrapping_add(2 + random.below(round.life) as u16),
    }
}

/// One life of a table. Returns the packets.
fn life(seed: u64, sessions: u32, packets: u64, rounds: &mut dyn FnMut(&mut Random) -> Round) -> Result<u64, String> {
    let mut random = Random::new(seed);
    let secret = std::array::from_fn(|_| random.next() as u32);
    let mut bench = Bench::new(sessions, random.next() as u32, secret, true);
    let mut clocks = (random.next() as u16, random.next() as u16);
    let mut recent = [Key::default(); 11];
    let mut created: Vec<(u32, u32)> = Vec::new();
    let mut dump: Option<u32> = None;
    let mut space = 0;
    // Second keys, the newest last.
    let mut seconds = [Key::default(); 16];
    let mut asked = 0;
    let mut input = vec![TableIn::default(); BATCH];
    while bench.reference.as_ref().expect("checked").counts.packets < packets {
        let round = rounds(&mut random);
        if random.chance(300) {
            space += random.below(round.keys);
        }
        for _ in 0..round.batches {
            for i in input.iter_mut() {
                *i = TableIn::default();
                if random.chance(round.load) {
                    let key = if random.chance(round.again) {
                        recent[random.below(11) as usize]
                    } else if round.add > 0 && random.chance(200) {
                        seconds[random.below(16) as usize]
                    } else {
                        any_key(&mut random, &round, space)
                    };
                    recent.rotate_right(1);
                    recent[0] = key;
                    let what = random.below(1024);
                    let op = match what {
                        _ if what < round.create => 2,
                        _ if what < round.create + round.write => [1, 4][usize::from(random.chance(256))],
                        _ if what < round.create + round.write + round.delete => 3,
                        _ => 0,
                    };
                    let fresh = op == 2 && random.chance(700);
                    let record = any_record(&mut random, &round, clocks, fresh);
                    *i = Packet { key, op, only_dead: random.chance(700), flag: random.chance(512), record }.input();
                }
                if random.chance(round.tick) {
                    clocks.0 = clocks.0.wrapping_add(1);
                }
                if random.chance(round.tick) {
                    clocks.1 = clocks.1.wrapping_add(1);
                }
                (i.fast_now, i.slow_now) = clocks;
                if let Some((session, row)) = created.pop() {
                    (i.undo, i.undo_session, i.undo_row) = (1, session, row);
                }
            }
            if !bench.host_waits {
                let at = random.below(BATCH as u64) as usize;
                let i = &mut input[at];
                if let Some(from) = dump {
                    (i.host_start, i.host_session) = (4, from);
                } else if let Some(reply) =
                    bench.host_reply.filter(|reply| reply.ok && asked != 5).filter(|_| random.chance(round.add))
                {
                    // Of what was just told; at times of another, or with a key that is there.
                    i.host_start = if random.chance(100) { 6 } else { 5 };
                    i.host_session =
                        if random.chance(50) { random.below(sessions.into()) as u32 } else { reply.session };
                    i.host_key = match random.below(16) {
                        0 => reply.key,
                        1 => recent[0],
                        2..6 => seconds[random.below(16) as usize],
                        6..10 => any_key(&mut random, &round, space),
                        _ => any_key(&mut random, &round, space + (1 << 40)),
                    };
                    if i.host_start == 5 {
                        seconds.rotate_left(1);
                        seconds[15] = i.host_key;
                    }
                } else if random.chance(round.host) {
                    let op = random.below(24) as u8;
                    // What is to get a second key has to be found first.
                    let op = if op == 23 && !random.chance(round.add) {
                        3
                    } else if round.add > random.below(1600) {
                        0
                    } else {
                        op % 3
                    };
                    i.host_start = 1 + op;
                    i.host_key = match random.below(5) {
                        0 => recent[0],
                        1..4 if op == 0 && round.add > 0 => recent[random.below(11) as usize],
                        4 if round.add > 0 => seconds[random.below(16) as usize],
                        _ => any_key(&mut random, &round, space),
                    };
                    i.host_record = any_record(&mut random, &round, clocks, false).pack();
                    if op == 3 {
                        // The dump begins before the next batch does; nothing has been walked yet.
                        dump = Some(0);
                        i.host_start = 0;
                        bench.reference.as_mut().expect("checked").dump_begins();
                    }
                }
            }
            let waited = bench.host_waits || input.iter().any(|i| i.host_start != 0);
            asked = input.iter().map(|i| i.host_start).find(|start| *start != 0).unwrap_or(asked);
            bench.run(&input)?;
            if let (Some(_), true, false) = (dump, waited, bench.host_waits) {
                let reply = bench.host_reply.expect("it is answered");
                dump = (reply.ok && reply.session + 1 < sessions).then_some(reply.session + 1);
            }
            for o in &bench.output {
                if o.valid != 0 && o.op == 2 && random.chance(round.undo) {
                    created.push((o.session, o.row));
                }
            }
        }
    }
    // Everything expires.
    for tick in 0..4000u64 {
        for i in input.iter_mut() {
            *i = TableIn::default();
            if tick < 400 {
                clocks = (clocks.0.wrapping_add(1), clocks.1.wrapping_add(1));
            }
            (i.fast_now, i.slow_now) = clocks;
        }
        bench.run(&input)?;
        if tick > 400 && bench.output[BATCH - 1].live_slots == 0 {
            break;
        }
    }
    bench.run(&input)?;
    let last = bench.output[BATCH - 1];
    let reference = bench.reference.as_mut().expect("checked");
    reference.end(&last)?;
    println!("{:?}", reference.counts);
    Ok(reference.counts.packets)
}

fn packets() -> u64 {
    env::var("HASHGATE_OPS").ok().map_or(1_000_000, |text| text.parse().expect("HASHGATE_OPS is a number"))
}

fn lives(name: &str, sessions: u32, share: u64, rounds: &mut dyn FnMut(&mut Random) -> Round) {
    let seed = seed();
    let begun = std::time::Instant::now();
    let total = packets() / share;
    let mut done = 0;
    let mut number = 0;
    while done < total {
        let life_seed = seed + number;
        println!("{name}: HASHGATE_SEED={life_seed}");
        match life(life_seed, sessions, (total - done).min(250_000), rounds) {
            Ok(packets) => done += packets,
            Err(why) => panic!("{name}, HASHGATE_SEED={life_seed}: {why}"),
        }
        number += 1;
    }
    println!("{name}: {done} packets in {:.1} s", begun.elapsed().as_secs_f64());
}

/// Few keys, back to back and within the window of forwarding, all operations.
#[test]
fn hot_keys() {
    lives("hot keys", 512, 4, &mut |random| Round {
        keys: 1 << random.below(7),
        load: [300, 700, 1024][random.below(3) as usize],
        again: [0, 300, 800][random.below(3) as usize],
        create: 300,
        write: 200,
        delete: 150,
        tick: [5, 40, 200][random.below(3) as usize],
        life: 1 + random.below(12),
        host: 500,
        undo: 100,
        add: [0, 400, 900][random.below(3) as usize],
        batches: 20,
    });
}

/// The table is filled, stays full, empties.
#[test]
fn full_table() {
    lives("full table", 512, 4, &mut |random| Round {
        keys: [300, 600, 2000, 100_000][random.below(4) as usize],
        load: [300, 1024][random.below(2) as usize],
        again: [0, 100][random.below(2) as usize],
        create: [200, 600, 1000][random.below(3) as usize],
        write: 20,
        delete: [0, 4][random.below(2) as usize],
        tick: [0, 1, 5, 40][random.below(4) as usize],
        life: 1 + random.below(60),
        host: 300,
        undo: [0, 20][random.below(2) as usize],
        add: [0, 400][random.below(2) as usize],
        batches: 30,
    });
}

/// Many keys at a middling load; much dumping.
#[test]
fn mixed() {
    lives("mixed", 512, 2, &mut |random| Round {
        keys: 64 << random.below(4),
        load: 100 + random.below(925),
        again: random.below(400),
        create: 100 + random.below(300),
        write: random.below(200),
        delete: random.below(100),
        tick: random.below(20),
        life: 1 + random.below(40),
        host: 900,
        undo: random.below(60),
        add: random.below(900),
        batches: 40,
    });
}

/// Many sessions with two keys, which both are used; some of them under heavy traffic, some in a full table.
#[test]
fn two_keys() {
    lives("two keys", 512, 2, &mut |random| Round {
        keys: [16, 100, 400, 1000][random.below(4) as usize],
        load: [30, 200, 600, 1024][random.below(4) as usize],
        again: [0, 300, 700][random.below(3) as usize],
        create: 300,
        write: 200,
        delete: [0, 5, 100][random.below(3) as usize],
        tick: [0, 2, 20, 100][random.below(4) as usize],
        life: 1 + random.below(60),
        host: 1024,
        undo: [0, 100][random.below(2) as usize],
        add: 1000,
        batches: 40,
    });
}
