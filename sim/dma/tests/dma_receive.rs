// SPDX-License-Identifier: Apache-2.0
//! Receive rings: lengths, phases, drops, queues. What a completion must be, and when it may come, is checked by the bench.

use hashgate_dma_sim::{Bench, Drops, Timing, reg, seed, widths};

widths!(
    lengths,
    rounds,
    a_ring_without_buffers,
    a_ring_that_is_down,
    too_long,
    aborted,
    nine_rings,
    queues,
    dead_memory_and_rings_that_are_down,
    control_in_a_flood,
    buffers_of_the_largest_index
);

/// Lengths that are worth a try.
fn lengths_to_try(bench: &mut Bench) -> Vec<usize> {
    let mut lengths: Vec<usize> = (14..=200).collect();
    for middle in (256..9022).step_by(64).filter(|at| at % 256 == 0 || at % 1088 == 0) {
        lengths.extend([middle - 1, middle, middle + 1]);
    }
    lengths.extend([9020, 9021, 9022]);
    for _ in 0..40 {
        lengths.push(bench.random.between(14, 9022) as usize);
    }
    lengths
}

/// Gives frames without ever running out of buffers, and waits for all of them.
fn deliver(bench: &mut Bench, ring: usize, lengths: &[usize]) {
    for &length in lengths {
        bench.until("a completion", |bench| {
            let claimed = bench.given[ring] + bench.to_give() as u64;
            bench.ring(ring).posted > claimed + 8 || {
                bench.stock(ring, 8);
                false
            }
        });
        let frame = bench.any_frame(length);
        bench.give(hashgate_dma_sim::Frame { control: false, queue: ring as u8, reason: 1, bucket: 0, ..frame });
        bench.until("the core", |bench| bench.to_give() < 4);
    }
    bench.settle();
}

fn lengths(bits: u32) {
    for offset in 0..2 {
        let mut bench = Bench::new(bits, 11);
        bench.memory.timing.latency = [300, 3][offset];
        let lengths = lengths_to_try(&mut bench);
        bench.enable(3, 6, 9024, (0, 0));
        bench.stock(3, 64);
        deliver(&mut bench, 3, &lengths);
        assert_eq!(bench.account(3), Drops::default());
        assert_eq!(bench.ring(3).completions.len(), lengths.len());
    }
}

fn rounds(bits: u32) {
    for log2 in [4, 5, 9] {
        let mut bench = Bench::new(bits, 12);
        bench.memory.timing = Timing::random(&mut bench.random, 50);
        bench.enable(1, log2, 128, (0, 0));
        let frames = 5 * (1 << log2) + 3;
        let lengths: Vec<usize> = (0..frames).map(|_| bench.random.between(14, 128) as usize).collect();
        bench.stock(1, 16);
        deliver(&mut bench, 1, &lengths);
        assert_eq!((bench.account(1), bench.ring(1).visible), (Drops::default(), frames));
    }
}

/// Indices go on modulo 2^16, not modulo the size of the ring.
fn buffers_of_the_largest_index(bits: u32) {
    let mut bench = Bench::new(bits, 13);
    bench.memory.timing.latency = 1;
    bench.enable(0, 15, 64, (0, 0));
    let frames = (1 << 16) + 5;
    let mut given = 0;
    while given < frames {
        bench.stock(0, 2048);
        let lot = 1024.min(frames - given);
        for _ in 0..lot {
            let frame = bench.frame(14);
            bench.give(frame);
        }
        given += lot;
        bench.until("the core", |bench| bench.to_give() == 0);
        bench.settle();
        bench.ring_mut(0).completions.clear();
    }
    assert_eq!((bench.account(0), bench.ring(0).visible), (Drops::default(), frames));
    assert!(bench.read(reg::of(0, reg::CONSUMER)) < 1 << 16);
}

fn a_ring_without_buffers(bits: u32) {
    let mut bench = Bench::new(bits, 14);
    bench.enable(0, 4, 2048, (0, 0));
    let lengths = [60, 700, 1518, 64, 2048];
    for round in 1..=3u64 {
        for length in lengths {
            let frame = bench.frame(length);
            bench.give(frame);
        }
        bench.settle();
        let drops = bench.account(0);
        assert_eq!(drops, Drops { full: 5 * round, ..Drops::default() });
        bench.stock(0, 2);
        bench.settle();
        for length in [100, 200] {
            let frame = bench.frame(length);
            bench.give(frame);
        }
        bench.settle();
        let ring = bench.ring_mut(0);
        assert_eq!(ring.completions.len(), 2);
        assert!(ring.completions.drain(..).all(|completion| u64::from(completion.drops) == 5 * round));
    }
}

fn a_ring_that_is_down(bits: u32) {
    let mut bench = Bench::new(bits, 15);
    for length in [14, 60, 1518, 9022, 64, 65] {
        let frame = bench.frame(length);
        bench.give(frame);
    }
    bench.settle();
    assert_eq!(bench.drops(0), Drops { down: 6, ..Drops::default() });
    assert_eq!(bench.memory.traffic.reads + bench.memory.traffic.writes, 0);
    // Enabling keeps that counter, and the others begin at 0.
    for _ in 0..2 {
        bench.enable(0, 4, 64, (0, 0));
        let frame = bench.frame(60);
        bench.give(frame);
        bench.settle();
        assert_eq!(bench.drops(0), Drops { down: 6, full: 1, ..Drops::default() });
        bench.stock(0, 1);
        bench.settle();
        let frame = bench.frame(60);
        bench.give(frame);
        bench.settle();
        // Drops since the start of the ring, so without those from before.
        assert_eq!(bench.ring(0).completions[0].drops, 1);
        bench.disable(0);
    }
}

fn too_long(bits: u32) {
    for buffer in [64, 1536, 8960] {
        let mut bench = Bench::new(bits, 16);
        bench.enable(5, 4, buffer, (0, 0));
        bench.stock(5, 6);
        bench.settle();
        let b = buffer as usize;
        let mut long = 0;
        for length in [b, b + 1, b - 1, b + 64, b, 9022, b - 40, b, b + 1, b] {
            let frame = bench.frame(length);
            long += u64::from(length > b);
            bench.give(hashgate_dma_sim::Frame { queue: 5, ..frame });
        }
        bench.settle();
        assert_eq!(bench.account(5), Drops { long, ..Drops::default() }, "{buffer}");
        // Buffers of those that were too long are used again.
        assert_eq!(bench.ring(5).completions.len(), 6);
        assert_eq!(u64::from(bench.ring(5).completions[5].drops), long);
    }
}

fn aborted(bits: u32) {
    let mut bench = Bench::new(bits, 17);
    bench.enable(2, 4, 2048, (0, 0));
    bench.stock(2, 7);
    bench.settle();
    let mut aborted = 0;
    for (i, length) in [60, 2048, 100, 1000, 64, 65, 700, 1500, 14, 300, 128, 900, 60].into_iter().enumerate() {
        let abort = i % 2 == 1;
        aborted += u64::from(abort);
        let frame = bench.frame(length);
        bench.give(hashgate_dma_sim::Frame { queue: 2, abort, ..frame });
    }
    bench.settle();
    assert_eq!(bench.account(2), Drops { aborted, ..Drops::default() });
    assert_eq!(bench.ring(2).completions.len(), 7);
    assert_eq!(bench.ring(2).outstanding(), 0);
}

fn nine_rings(bits: u32) {
    let mut bench = Bench::new(bits, seed());
    bench.memory.timing = Timing::random(&mut bench.random, 400);
    println!("{:?}", bench.memory.timing);
    for ring in 0..9 {
        let log2 = bench.random.between(4, 7) as u32;
        let buffer = 64 * bench.random.between(1, 141);
        bench.enable(ring, log2, buffer, (0, 0));
    }
    bench.rx_pause = bench.random.below(900);
    for _ in 0..600 {
        let length =
            if bench.random.chance(800) { bench.random.between(14, 600) } else { bench.random.between(14, 9022) };
        let mut frame = bench.any_frame(length as usize);
        frame.abort = bench.random.chance(100);
        bench.give(frame);
    }
    bench.until("the core", |bench| {
        if bench.random.chance(20) {
            let ring = bench.random.below(9) as usize;
            let count = bench.random.below(20);
            bench.post(ring, count);
        }
        bench.to_give() == 0
    });
    bench.settle();
    let given: u64 = bench.given.iter().sum();
    assert_eq!(given, 600);
    let mut delivered = 0;
    for ring in 0..9 {
        let drops = bench.account(ring);
        assert_eq!(drops.down, 0);
        let there = bench.ring(ring).completions.len() as u64;
        assert_eq!(bench.given[ring], there + drops.sum());
        delivered += there;
    }
    println!("{delivered} of {given} frames delivered");
    assert!(delivered > 0);
}

/// By reason, by bucket, by the core's queue; control.
fn queues(bits: u32) {
    let mut bench = Bench::new(bits, 18);
    bench.memory.timing.latency = 5;
    for ring in 0..9 {
        bench.enable(ring, 7, 64, (0, 0));
        bench.stock(ring, 128);
    }
    for ring in 0..16u8 {
        // Only the low three bits of a nibble of the spread count.
        bench.set_spread(usize::from(ring) * 7, ring);
        bench.set_spread(127 - usize::from(ring), ring);
    }
    for (reason, queue) in [(0, 0), (1, 7), (7, 3), (8, 4), (33, 5), (63, 6), (62, 2)] {
        bench.set_reason_queue(reason, queue);
    }
    for i in 0..400u16 {
        let frame = bench.any_frame(64);
        let reason = [0, 1, 7, 8, 33, 63, 62, 2, 3, 40, 41, 42][usize::from(i) % 12];
        let bucket = if i % 3 == 0 { frame.bucket & 0xfff } else { frame.bucket | 1 << 12 };
        let bucket = if i % 5 == 0 { bucket & !0x7f | (i % 16 * 7) } else { bucket };
        bench.give(hashgate_dma_sim::Frame { reason, bucket, control: i % 10 == 0, ..frame });
        bench.until("the core", |bench| bench.to_give() == 0);
    }
    bench.settle();
    for ring in 0..9 {
        assert_eq!(bench.account(ring), Drops::default(), "ring {ring}");
        let there = bench.ring(ring).completions.len() as u64;
        assert!(there > 0 && there == bench.given[ring], "ring {ring}: {there} of {}", bench.given[ring]);
    }
}

fn dead_memory_and_rings_that_are_down(bits: u32) {
    for dead in [true, false] {
        let mut bench = Bench::new(bits, 19);
        bench.enable(0, 4, 2048, (0, 0));
        bench.stock(0, 8);
        bench.settle();
        // One frame is on its way into the memory, which answers no more.
        bench.memory.timing.latency = 20_000;
        let frame = bench.frame(300);
        bench.give(frame);
        bench.run(60);
        bench.memory.stuck = dead;
        bench.rx_longest_wait = 0;
        for i in 0..60u8 {
            let frame = bench.frame(if i % 2 == 0 { 64 } else { 9022 });
            bench.give(hashgate_dma_sim::Frame { queue: 1 + i % 7, control: i % 10 == 9, ..frame });
        }
        let beats = 30 * (64 / u64::from(bits / 8) + 9022_u64.div_ceil(u64::from(bits / 8)));
        let begin = bench.cycles();
        bench.until("the core", |bench| bench.to_give() == 0);
        let took = bench.cycles() - begin;
        assert!(took <= beats + 60 * 8 + 100, "{beats} beats took {took} cycles");
        assert!(bench.rx_longest_wait <= 8, "a beat waited {} cycles", bench.rx_longest_wait);
        bench.memory.stuck = false;
        bench.memory.timing.latency = 10;
        bench.settle();
        assert_eq!(bench.account(0), Drops::default());
        for ring in 1..9 {
            let given = bench.given[ring];
            assert_eq!(bench.drops(ring), Drops { down: given, ..Drops::default() });
        }
    }
}

fn control_in_a_flood(bits: u32) {
    let mut bench = Bench::new(bits, 20);
    for ring in 0..9 {
        bench.enable(ring, 6, 9024, (0, 0));
    }
    bench.stock(8, 40);
    bench.settle();
    for i in 0..240u32 {
        let length = [64, 1518, 64, 9022, 100, 64][i as usize % 6];
        let frame = bench.frame(length);
        bench.give(hashgate_dma_sim::Frame { queue: i as u8, ..frame });
        if i % 6 == 0 {
            let frame = bench.frame(90);
            bench.give(hashgate_dma_sim::Frame { control: true, ..frame });
        }
    }
    bench.settle();
    assert_eq!(bench.account(8), Drops::default());
    assert_eq!(bench.ring(8).completions.len(), 40);
    for ring in 0..8 {
        assert_eq!(bench.account(ring), Drops { full: bench.given[ring], ..Drops::default() });
    }
}
