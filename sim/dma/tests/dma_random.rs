// SPDX-License-Identifier: Apache-2.0
//! All rings at once, with a host that does things at any time. `HASHGATE_SEED` repeats a run.

use hashgate_dma_sim::{Bench, Drops, Frame, Timing, seed, widths};

widths!(everything);

fn everything(bits: u32) {
    let mut bench = Bench::new(bits, seed());
    for round in 0..3 {
        let latency = [10, 300, 1000][round];
        bench.memory.timing = Timing::random(&mut bench.random, latency);
        println!("round {round}: {:?}", bench.memory.timing);
        for ring in 0..13 {
            let log2 = bench.random.between(4, 6) as u32;
            let buffer = 64 * bench.random.between(2, 141);
            let moderation = (bench.random.below(1000) as u32, bench.random.below(6) as u8);
            bench.enable(ring, log2, buffer, moderation);
        }
        for _ in 0..10 {
            let (reason, queue) = (bench.random.below(64), bench.random.below(16));
            // 8..14 say nothing that the contract knows.
            bench.set_reason_queue(reason as usize, if queue < 8 { queue as u8 } else { 15 });
            let (bucket, queue) = (bench.random.below(128), bench.random.below(16));
            bench.set_spread(bucket as usize, queue as u8);
        }
        bench.rx_pause = bench.random.below(1000);
        bench.tx_ready = [bench.random.between(100, 1024), bench.random.between(100, 1024)];
        bench.mover_grant = bench.random.between(50, 1024);
        let (given, before) = (bench.given, bench.drops_of_all());
        let end = bench.cycles() + 25_000;
        while bench.cycles() < end {
            act(&mut bench);
        }
        bench.mover_wait = false;
        bench.tx_ready = [1024; 2];
        for ring in 9..13 {
            if ring != 11 {
                bench.until("the end of a ring's work", |bench| bench.ring(ring).outstanding() == 0);
            }
        }
        bench.settle();
        let mut delivered = 0;
        for ring in 0..9 {
            // Drop counters but that of rings that are down begin at 0 with the ring.
            let now = bench.drops(ring);
            let drops = Drops { down: now.down - before[ring].down, ..now };
            let there = bench.ring(ring).completions.len() as u64;
            assert_eq!(
                bench.given[ring] - given[ring],
                there + drops.sum(),
                "ring {ring}: {there} completions, {drops:?}"
            );
            delivered += there;
        }
        println!("{delivered} frames delivered, {} interrupts", bench.interrupt_log().len());
        assert!(delivered > 0);
        for ring in 0..13 {
            bench.disable(ring);
        }
        bench.forget_frames();
    }
}

/// Something that a host, a core or a wire does.
fn act(bench: &mut Bench) {
    let cycles = bench.random.below(20);
    bench.run(cycles);
    match bench.random.below(12) {
        0..=3 => {
            if bench.to_give() < 10 {
                let length = if bench.random.chance(900) {
                    bench.random.between(14, 500)
                } else {
                    bench.random.between(14, 9022)
                };
                let frame = bench.any_frame(length as usize);
                let abort = bench.random.chance(60);
                bench.give(Frame { abort, ..frame });
            }
        }
        4 | 5 => {
            let (ring, count) = (bench.random.below(9) as usize, bench.random.below(16));
            bench.post(ring, count);
        }
        6 | 7 => {
            let ring = 9 + bench.random.below(2) as usize;
            let room = bench.ring(ring).size() - bench.ring(ring).outstanding();
            for _ in 0..bench.random.below(4).min(room) {
                let length = if bench.random.chance(950) {
                    bench.random.between(14, 400)
                } else {
                    bench.random.between(14, 9022)
                };
                let data = bench.frame(length as usize).data;
                let offset = bench.random.below(4096);
                bench.send(ring, &data, offset, 0);
            }
            bench.doorbell(ring);
        }
        8 => {
            let count = bench.random.below(5) as u32;
            for i in 0..count {
                bench.events.push_back([i; 14]);
            }
            let free = bench.ring(11).size() - bench.ring(11).outstanding();
            let more = bench.random.below(free + 1);
            bench.room(more);
        }
        9 => {
            if bench.ring(12).outstanding() < bench.ring(12).size() {
                let words = bench.random.between(1, 300) as u32;
                if bench.random.chance(512) {
                    bench.dump(3, true, words, words);
                } else {
                    bench.load(2, words, &vec![words; words as usize]);
                }
                bench.doorbell(12);
            }
        }
        10 => {
            let ring = bench.random.below(13) as usize;
            if !bench.armed(ring) {
                let index = bench.ring(ring).visible as u16;
                bench.arm(ring, index);
            }
        }
        _ => bench.mover_wait = bench.random.chance(200),
    }
}
