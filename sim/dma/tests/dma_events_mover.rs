// SPDX-License-Identifier: Apache-2.0
//! Binding events and the table mover. Events are compared by the bench as they come.

use hashgate_dma_sim::{Bench, MoverAnswer, Timing, seed, widths};

widths!(events, events_without_room, loads_and_dumps, bad_commands, the_mover_waits, many_words);

fn event(number: u32) -> [u32; 14] {
    std::array::from_fn(|word| number.wrapping_mul(0x9e37_79b1).wrapping_add(word as u32) | (word as u32) << 31)
}

fn events(bits: u32) {
    let mut bench = Bench::new(bits, seed());
    // Nothing is taken before the ring is enabled.
    bench.events.extend((0..5).map(event));
    bench.run(200);
    assert_eq!(bench.events.len(), 5);
    for log2 in [4, 5] {
        bench.memory.timing = Timing::random(&mut bench.random, 100);
        bench.enable(11, log2, 0, (0, 0));
        bench.run(500);
        let (left, seen) = (bench.events.len(), bench.events_seen);
        bench.room(1 << log2);
        let mut next = 100;
        bench.until("all events", |bench| {
            if next < 300 && bench.random.chance(30) {
                bench.events.push_back(event(next));
                next += 1;
            }
            let ring = bench.ring(11);
            let free = ring.size() - ring.outstanding();
            if free > 0 && bench.random.chance(20) {
                let more = bench.random.between(1, free);
                bench.room(more);
            }
            next == 300 && bench.events.is_empty()
        });
        bench.settle();
        assert_eq!(bench.events_seen - seen, left as u64 + 200);
        bench.disable(11);
        bench.events.push_back(event(7));
        bench.run(300);
        assert_eq!(bench.events.len(), 1);
    }
}

fn events_without_room(bits: u32) {
    let mut bench = Bench::new(bits, 32);
    bench.enable(11, 4, 0, (0, 0));
    bench.events.extend((0..40).map(event));
    bench.settle();
    assert_eq!(bench.events_seen, 0);
    for (room, seen) in [(1, 1), (3, 4), (12, 16), (1, 17), (16, 33), (7, 40)] {
        bench.room(room);
        bench.settle();
        assert_eq!(bench.events_seen, seen);
    }
    assert!(bench.events.is_empty());
}

fn crc(words: &[u32]) -> u32 {
    let mut crc = !0u32;
    for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !crc
}

fn words(bench: &mut Bench, count: usize) -> Vec<u32> {
    (0..count).map(|_| bench.random.next() as u32).collect()
}

fn check_load(bench: &mut Bench, id: u8, first: u32, count: usize) {
    let words = words(bench, count);
    bench.load(id, first, &words);
    assert_eq!(bench.move_tables(), [MoverAnswer { status: 0, crc: crc(&words) }]);
    assert_eq!(bench.table.len(), count, "words written");
    for (at, word) in words.iter().enumerate() {
        assert_eq!(bench.table.get(&(id, false, first + at as u32)), Some(word), "word {at} of {count} from {first}");
    }
    bench.table.clear();
}

fn check_dump(bench: &mut Bench, id: u8, active: bool, first: u32, count: u32) {
    let words: Vec<u32> = (first..first + count).map(|at| Bench::table_word(id, active, at)).collect();
    let target = bench.dump(id, active, first, count);
    assert_eq!(bench.move_tables(), [MoverAnswer { status: 0, crc: crc(&words) }], "{count} words");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(bench.memory.get(target, bytes.len()), bytes, "{count} words");
}

fn loads_and_dumps(bits: u32) {
    let mut bench = Bench::new(bits, 33);
    assert_eq!(crc(&[0x3433_3231, 0x3837_3635]), 0x9ae0_daaf);
    bench.enable(12, 4, 0, (0, 0));
    bench.memory.timing.latency = 100;
    for count in (1..=20).chain([31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 1000]) {
        bench.mover_grant = if count % 2 == 0 { 1024 } else { 300 };
        let id = (count % 7) as u8;
        check_load(&mut bench, id, 3 * count, count as usize);
        check_dump(&mut bench, id, count % 3 == 0, 5 * count, count);
    }
    check_dump(&mut bench, 6, true, (1 << 20) - 5, 5);
    // Several commands at once.
    let lots: Vec<Vec<u32>> = (0..10).map(|count| words(&mut bench, 20 + count)).collect();
    for (id, words) in lots.iter().enumerate() {
        bench.load(id as u8 % 7, 0, words);
    }
    let answers = bench.move_tables();
    assert_eq!(answers.len(), 10);
    for (answer, words) in answers.iter().zip(&lots) {
        assert_eq!(*answer, MoverAnswer { status: 0, crc: crc(words) });
    }
}

fn many_words(bits: u32) {
    let mut bench = Bench::new(bits, 34);
    bench.enable(12, 4, 0, (0, 0));
    check_load(&mut bench, 3, 0, 5000);
    bench.memory.timing = Timing::random(&mut bench.random, 300);
    check_dump(&mut bench, 3, true, 77, 5000);
    // Bindings, which take the same way.
    check_dump(&mut bench, 13, false, 0, 64);
    check_dump(&mut bench, 14, true, 32, 160);
}

/// Status 1, nothing moved, and the ring goes on.
fn bad_commands(bits: u32) {
    let mut bench = Bench::new(bits, 35);
    bench.enable(12, 4, 0, (0, 0));
    let at = bench.memory.allocate(64, 64) as u32;
    let high = (bench.memory.allocate(64, 64) >> 32) as u32;
    for (what, command) in [
        ("operation 0", [0, 0, 1, 0, at, high, 0, 0]),
        ("operation 3", [3, 0, 1, 0, at, high, 0, 0]),
        ("operation 255", [255, 0, 1, 0, at, high, 0, 0]),
        ("no words", [2, 0, 0, 0, at, high, 0, 0]),
        ("too many words", [2, 0, (1 << 20) + 1, 0, at, high, 0, 0]),
        ("address", [1, 0, 1, 0, at + 4, high, 0, 0]),
        ("a table that there is not", [2 | 15 << 8, 0, 16, 0, at, high, 0, 0]),
        ("a load of bindings", [1 | 13 << 8, 0, 16, 0, at, high, 0, 0]),
        ("a part of a binding", [2 | 14 << 8, 0, 24, 0, at, high, 0, 0]),
        ("beyond the last word", [2, (1 << 20) - 1, 2, 0, at, high, 0, 0]),
    ] {
        bench.command(command, None);
        let answers = bench.move_tables();
        assert_eq!(answers.len(), 1, "{what}");
        assert_eq!(answers[0].status, 1, "{what}");
    }
    assert_eq!((bench.mover_accesses, bench.table.len()), (0, 0));
    check_load(&mut bench, 2, 9, 17);
}

fn the_mover_waits(bits: u32) {
    let mut bench = Bench::new(bits, 36);
    bench.enable(12, 4, 0, (0, 0));
    bench.mover_wait = true;
    let words = words(&mut bench, 100);
    bench.load(1, 0, &words);
    bench.doorbell(12);
    bench.run(3000);
    assert_eq!((bench.mover_accesses, bench.ring(12).visible), (0, 0));
    bench.until("all words", |bench| {
        bench.mover_wait = bench.random.chance(900);
        bench.ring(12).outstanding() == 0
    });
    bench.mover_wait = false;
    assert_eq!(bench.ring(12).mover_answers[0], MoverAnswer { status: 0, crc: crc(&words) });
    assert_eq!((bench.mover_accesses, bench.table.len()), (100, 100));
}
