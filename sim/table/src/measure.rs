// SPDX-License-Identifier: Apache-2.0
//! Figures of capacity and speed, of the Verilated table. Each takes the table's number of sessions, one of
//! [`TableModel::SIZES`](crate::TableModel::SIZES). An assertion of the RTL that fails is an error of each.

use crate::hash::Tabulation;
use crate::{Bench, Key, LATENCY, Packet, Random, Record, TableIn, key, state};

/// Where the first creation was refused.
#[derive(Clone, Debug)]
pub struct Fill {
    /// Keys in the table, by its slots.
    pub load: f64,
    /// Moves for each key, in order of insertion: those between its creation and the next.
    pub moves: Vec<u32>,
}

fn secret(random: &mut Random) -> [u32; 4] {
    std::array::from_fn(|_| random.next() as u32)
}

/// A key of many that differ in address and port of the client, the same number the same key.
pub fn client(v6: bool, number: u64) -> Key {
    if v6 {
        let source = 0x2001_0db8_u128 << 96 | u128::from(number >> 8) << 16 | 1;
        key(true, 0, source, 0x2001_0db8_u128 << 96 | 0x80, (1024 + (number & 0xff) as u16, 443), 6)
    } else {
        key(false, 0, (0x0a00_0000 + (number >> 8)).into(), 0xc000_0201, (1024 + (number & 0xff) as u16, 443), 6)
    }
}

fn creation(key: Key) -> TableIn {
    // Far from expiry: the clocks stand still at 0.
    let record = Record { state: state::ESTABLISHED, expires: 1000, ..Record::default() };
    Packet { key, op: 2, record, ..Packet::default() }.input()
}

/// A creation was refused in the last batch.
fn refused(bench: &Bench, cycles: usize) -> bool {
    bench.output[..cycles].iter().any(|o| o.valid != 0 && o.op == 0)
}

fn load(bench: &Bench, cycles: usize) -> f64 {
    f64::from(bench.output[cycles - 1].live_slots) / f64::from(bench.sessions())
}

/// Inserts keys, each when the one before has found its slot, or after a patience of 4096 cycles.
///
/// # Errors
/// An assertion of the RTL failed.
pub fn quasi_static(
    sessions: u32,
    seed: u64,
    keys: &mut dyn FnMut(u64) -> Option<Key>,
    secret: [u32; 4],
) -> Result<Fill, String> {
    const BATCH: usize = 32;
    const PATIENCE: usize = 4096 / BATCH;
    let mut bench = Bench::new(sessions, seed as u32, secret, false);
    let mut fill = Fill { load: 0.0, moves: Vec::new() };
    let mut number = 0;
    'keys: while let Some(key) = keys(number) {
        number += 1;
        let mut input = [TableIn::default(); BATCH];
        input[0] = creation(key);
        let mut moves = 0;
        for _ in 0..PATIENCE {
            bench.run(&input)?;
            if refused(&bench, BATCH) {
                break 'keys;
            }
            moves += bench.output[..BATCH].iter().map(|o| u32::from(o.moved)).sum::<u32>();
            input[0] = TableIn::default();
            if bench.output[BATCH - 1].stash_used == 0 {
                break;
            }
        }
        fill.moves.push(moves);
    }
    fill.load = load(&bench, BATCH);
    Ok(fill)
}

/// [`quasi_static`] with keys of one client after the other.
///
/// # Errors
/// An assertion of the RTL failed.
pub fn quasi_static_clients(sessions: u32, seed: u64, v6: bool) -> Result<Fill, String> {
    let mut random = Random::new(seed);
    let secret = secret(&mut random);
    quasi_static(sessions, seed, &mut |number| Some(client(v6, number)), secret)
}

/// Load factor at the first refusal, at that many creations a clock. A low rate begins at a load of 0.9, up to which it is 0.02.
///
/// # Errors
/// An assertion of the RTL failed.
pub fn at_rate(sessions: u32, seed: u64, rate: f64, v6: bool) -> Result<f64, String> {
    const BATCH: usize = 256;
    let mut random = Random::new(seed);
    let mut bench = Bench::new(sessions, seed as u32, secret(&mut random), false);
    let mut number = 0;
    let mut due = 0.0;
    loop {
        let mut input = [TableIn::default(); BATCH];
        let slow = rate < 0.02 && number < u64::from(sessions) * 9 / 10;
        for i in &mut input {
            due += if slow { 0.02 } else { rate };
            if due >= 1.0 {
                due -= 1.0;
                *i = creation(client(v6, number));
                number += 1;
            }
        }
        bench.run(&input)?;
        if let Some(at) = bench.output[..BATCH].iter().position(|o| o.valid != 0 && o.op == 0) {
            return Ok(load(&bench, at + 1));
        }
    }
}

/// What happened in the steady state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steady {
    /// Sessions that were opened, or should have been.
    pub opened: u64,
    /// Of those, refused.
    pub refused: u64,
    /// Cycles, from the beginning, in which an answer was due and did not come, or came without being due.
    pub stalled: u64,
}

/// Sessions open at a rate a clock, are established, and are closed by a packet or, each second one, by time, so that `load` of the table is
/// live. Measured over one and a half lives after as long a start.
///
/// # Errors
/// An assertion of the RTL failed, or the load was another one on the whole.
pub fn sustained(sessions: u32, seed: u64, rate: f64, load: f64, v6: bool) -> Result<Steady, String> {
    const BATCH: usize = 256;
    const TICK: u64 = 256;
    const ESTABLISH: u64 = 500;
    let mut random = Random::new(seed);
    let mut bench = Bench::new(sessions, seed as u32, secret(&mut random), false);
    let life = (load * f64::from(sessions) / rate) as u64;
    let start = bench.cycles();
    let mut steady = Steady::default();
    let mut due = 0.0;
    // Cycles at which each session opens are the same distance apart, so the others follow from its number.
    let mut number = 0_u64;
    let (mut established, mut closed) = (0_u64, 0_u64);
    let opening = |number: u64| (number as f64 / rate) as u64;
    let (mut batches, mut live) = (0_u32, 0.0);
    // Whether a packet went in, the last cycles of the batch before first.
    let mut asked = vec![false; LATENCY as usize];
    loop {
        let begin = bench.cycles() - start;
        if begin > 3 * life {
            break;
        }
        let mut input = [TableIn::default(); BATCH];
        let mut opens = [false; BATCH];
        for (at, i) in input.iter_mut().enumerate() {
            let now = begin + at as u64;
            let tick = (now / TICK) as u16;
            due += rate;
            let expires =
                tick.wrapping_add(if number.is_multiple_of(2) { life / TICK } else { 2 * life / TICK } as u16);
            if due >= 1.0 {
                due -= 1.0;
                let record = Record { state: state::HALF_OPEN, fresh: true, expires, ..Record::default() };
                *i = Packet { key: client(v6, number), op: 2, record, ..Packet::default() }.input();
                opens[at] = true;
                number += 1;
            } else if opening(established) + ESTABLISH <= now {
                // Each second one ends by time, the others by a packet.
                let left = if established.is_multiple_of(2) { life - ESTABLISH } else { 2 * life };
                let expires = tick.wrapping_add((left / TICK) as u16);
                let record = Record { state: state::ESTABLISHED, expires, ..Record::default() };
                *i = Packet { key: client(v6, established), op: 1, record, ..Packet::default() }.input();
                established += 1;
            } else if opening(closed) + life <= now {
                // Even ones end by time.
                if closed % 2 == 1 {
                    *i = Packet { key: client(v6, closed), op: 3, ..Packet::default() }.input();
                }
                closed += 1;
            }
            (i.fast_now, i.slow_now) = (tick, tick);
        }
        bench.run(&input)?;
        asked.extend(input.iter().map(|i| i.valid != 0));
        let answers = bench.output[..BATCH].iter().map(|o| o.valid != 0);
        steady.stalled += asked.iter().zip(answers).filter(|(asked, answered)| *asked != answered).count() as u64;
        asked.drain(..BATCH);
        if begin > life + life / 2 {
            batches += 1;
            for (at, o) in bench.output[..BATCH].iter().enumerate() {
                // Answers come ten cycles later; openings are regular enough to count them here.
                steady.opened += u64::from(opens[at]);
                steady.refused += u64::from(o.valid != 0 && o.present == 0 && o.can_create == 0 && o.op == 0);
            }
            live += (number - closed) as f64 / f64::from(sessions);
        }
    }
    live /= f64::from(batches);
    if (live - load).abs() > 0.01 { Err(format!("{live:.3} of the table were live, not {load}")) } else { Ok(steady) }
}

/// Keys that share row 0 of way 0 of the table with that secret; the attacker knows the hash function and the secret.
pub fn same_row(sessions: u32, secret: [u32; 4], count: usize) -> Vec<Key> {
    let hash = Tabulation::new(secret, sessions);
    let mut keys = Vec::with_capacity(count);
    for base in 0_u64.. {
        // Chunks 4, 5, 6 of the key (bits 24 .. 41: source port and the end of the destination) run through all values.
        let base = key(false, 0, u128::from(base) << 4, 0xc000_0200, (0, 443), 6);
        let start = hash.rows(&base)[0];
        let with = |value: u32| {
            let mut key = base;
            key[0] ^= value << 24;
            key[1] ^= value >> 8;
            key
        };
        // The hash is linear in the differences of chunks.
        let of = |shift: u32| -> Vec<u32> { (0..64).map(|i| hash.rows(&with(i << shift))[0] ^ start).collect() };
        let (low, middle, high) = (of(0), of(6), of(12));
        for (h, high) in high.iter().enumerate() {
            for (m, middle) in middle.iter().enumerate() {
                for (l, low) in low.iter().enumerate() {
                    if start ^ high ^ middle ^ low == 0 {
                        keys.push(with((h << 12 | m << 6 | l) as u32));
                        if keys.len() == count {
                            return keys;
                        }
                    }
                }
            }
        }
    }
    keys
}

/// [`quasi_static`] with keys that share a row of way 0.
///
/// # Errors
/// An assertion of the RTL failed.
pub fn adversarial(sessions: u32, seed: u64) -> Result<Fill, String> {
    let mut random = Random::new(seed);
    let secret = secret(&mut random);
    let keys = same_row(sessions, secret, sessions as usize);
    quasi_static(sessions, seed, &mut |number| keys.get(number as usize).copied(), secret)
}
