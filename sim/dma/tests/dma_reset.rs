// SPDX-License-Identifier: Apache-2.0
//! The reset of the host side, by register and by input, at any moment; memory that does not answer.

use hashgate_dma_sim::{Bench, Drops, Frame, Timing, reg, seed, widths};

widths!(identity, registers_after_a_reset, under_traffic, a_ring_disabled_under_traffic, stuck_memory);

fn identity(bits: u32) {
    let mut bench = Bench::new(bits, 71);
    assert_eq!(bench.read(reg::HOST_ID), 0x4847_444d);
    assert_eq!(bench.read(reg::HOST_BUILD), 8 | 13 << 8 | 16 << 16);
    assert_eq!(bench.read(reg::HOST_STATUS), 0);
    assert_eq!((bench.read(reg::RING_FAULT), bench.read(reg::RING_RUNNING)), (0, 0));
    bench.enable(7, 4, 640, (77, 5));
    assert_eq!(bench.read(reg::RING_RUNNING), 1 << 7);
    assert_eq!(bench.read(reg::of(7, reg::SIZE)), 4 | 10 << 16);
    assert_eq!(bench.read(reg::of(7, reg::MODERATION)), 77 | 5 << 24);
    assert_eq!(bench.read(reg::of(7, reg::BASE)), bench.ring(7).base as u32);
    assert_eq!(bench.read(reg::of(7, reg::BASE) + 4), (bench.ring(7).base >> 32) as u32);
    assert_eq!(bench.read(reg::of(7, reg::ANSWERS) + 4), (bench.ring(7).answers >> 32) as u32);
    assert_eq!(bench.read(reg::of(7, reg::CONTROL)) & 1, 1);
}

fn registers_after_a_reset(bits: u32) {
    for by_register in [false, true] {
        let mut bench = Bench::new(bits, 72);
        let frame = bench.frame(60);
        bench.give(frame);
        bench.enable(0, 4, 640, (77, 5));
        bench.enable(9, 4, 0, (1, 1));
        bench.send_bad(9, 3);
        bench.doorbell(9);
        bench.settle();
        bench.reset_host(by_register);
        for ring in [0, 9] {
            assert_eq!(bench.read(reg::of(ring, reg::CONTROL)) & 1, 0);
        }
        assert_eq!(
            (bench.read(reg::RING_FAULT), bench.read(reg::RING_RUNNING), bench.read(reg::HOST_STATUS)),
            (0, 0, 0)
        );
        assert_eq!(bench.drops(0), Drops::default());
        bench.run(1000);
        works(&mut bench);
    }
}

/// Everything, once.
fn works(bench: &mut Bench) {
    bench.tx_ready = [1024; 2];
    bench.no_fault();
    for ring in 0..13 {
        bench.enable(ring, 4, 2048, (0, 0));
        let seen = bench.events_seen;
        match ring {
            0..=8 => {
                bench.stock(ring, 16);
                for length in [60, 2048, 300] {
                    let frame = bench.frame(length);
                    bench.give(Frame { queue: ring as u8, control: ring == 8, ..frame });
                }
            }
            9 | 10 => {
                for i in 0..3 {
                    let data = bench.frame(300).data;
                    bench.send(ring, &data, i, 0);
                }
                bench.doorbell(ring);
            }
            11 => {
                bench.events.extend([[5; 14]; 3]);
                bench.room(16);
            }
            _ => {
                for _ in 0..3 {
                    bench.dump(1, false, 0, 100);
                }
                bench.doorbell(12);
            }
        }
        bench.settle();
        if ring == 11 {
            assert!(bench.events.is_empty() && bench.events_seen >= seen + 3);
        }
        assert!(bench.ring(ring).visible >= 3, "ring {ring}: {}", bench.ring(ring).visible);
        bench.disable(ring);
    }
}

/// All rings, with something to do for a while.
fn traffic(bench: &mut Bench) {
    for ring in 0..13 {
        bench.enable(ring, 5, 2048, (0, 0));
    }
    bench.rx_pause = bench.random.below(500);
    bench.tx_ready = [bench.random.between(100, 1024), bench.random.between(100, 1024)];
    for ring in 0..9 {
        bench.stock(ring, 20);
        bench.arm(ring, 0);
    }
    for i in 0..20 {
        let length = bench.random.between(14, 3000) as usize;
        let frame = bench.any_frame(length);
        bench.give(frame);
        let length = bench.random.between(14, 3000) as usize;
        let data = bench.frame(length).data;
        bench.send(9 + i % 2, &data, i as u64 * 3, 0);
    }
    bench.doorbell(9);
    bench.doorbell(10);
    bench.room(32);
    bench.events.extend([[8; 14]; 20]);
    bench.dump(1, true, 0, 500);
    bench.load(2, 0, &[7; 300]);
    bench.doorbell(12);
}

fn under_traffic(bits: u32) {
    let mut bench = Bench::new(bits, seed());
    for round in 0..8 {
        bench.memory.timing = Timing::random(&mut bench.random, 200);
        traffic(&mut bench);
        let cycles = bench.random.below(1500);
        bench.run(cycles);
        bench.reset_host(round % 2 == 0);
        bench.events.clear();
        bench.tx_ready = [1024; 2];
        // A frame that had begun ends; no other begins.
        bench.until("an end of frames", |bench| !bench.in_frame(0) && !bench.in_frame(1) && bench.to_give() == 0);
        bench.settle();
        assert_eq!(bench.read(reg::HOST_STATUS), 0);
        bench.after_reset();
        for i in 0..4 {
            let frame = bench.frame(60);
            bench.give(Frame { queue: i, ..frame });
        }
        bench.settle();
        if round % 4 == 3 {
            works(&mut bench);
        }
    }
}

/// The same with a ring that is disabled and enabled again while others go on; every frame is accounted for.
fn a_ring_disabled_under_traffic(bits: u32) {
    let mut bench = Bench::new(bits, seed());
    bench.memory.timing = Timing::random(&mut bench.random, 200);
    bench.enable(1, 6, 2048, (0, 0));
    let (mut delivered, mut drops) = (0, Drops::default());
    for _ in 0..12 {
        bench.enable(0, 5, 512, (0, 0));
        bench.stock(0, 20);
        bench.stock(1, 64);
        for _ in 0..30 {
            let length = bench.random.between(14, 600) as usize;
            let frame = bench.frame(length);
            let queue = bench.random.below(2) as u8;
            bench.give(Frame { queue, ..frame });
        }
        let cycles = bench.random.below(800);
        bench.run(cycles);
        bench.write(reg::of(0, reg::CONTROL), 0);
        bench.until("an end of what ring 0 does", |bench| bench.read(reg::RING_RUNNING) & 1 == 0);
        delivered += bench.ring(0).visible;
        let these = bench.drops(0);
        drops = Drops { full: drops.full + these.full, long: drops.long + these.long, aborted: 0, down: these.down };
        bench.disable(0);
        bench.settle();
        drops.down = bench.drops(0).down;
    }
    assert_eq!(bench.given[0], delivered + drops.sum(), "{delivered} delivered, {drops:?}");
    assert!(delivered > 0 && drops.down > 0);
    assert_eq!(bench.account(1).down, 0);
}

/// Memory that does not answer: STATUS says so, and when it answers again all is well.
fn stuck_memory(bits: u32) {
    let mut bench = Bench::new(bits, 74);
    bench.enable(0, 4, 2048, (0, 0));
    bench.enable(9, 4, 0, (0, 0));
    bench.stock(0, 16);
    bench.settle();
    let data = bench.frame(1500).data;
    bench.send(9, &data, 3, 0);
    bench.doorbell(9);
    let frame = bench.frame(700);
    bench.give(frame);
    bench.run(100);
    bench.memory.stuck = true;
    bench.begin_reset();
    bench.write(reg::HOST_RESET, 1);
    let begin = bench.cycles();
    bench.run(10_000);
    assert_eq!(bench.read(reg::HOST_STATUS) & 3, 1);
    // Frames go on.
    bench.rx_longest_wait = 0;
    for _ in 0..20 {
        let frame = bench.frame(1518);
        bench.give(frame);
    }
    bench.until("the core", |bench| bench.to_give() == 0);
    assert!(bench.rx_longest_wait < 16);
    // A ring cannot be enabled.
    bench.write(reg::of(3, reg::CONTROL), 1);
    assert_eq!(bench.read(reg::of(3, reg::CONTROL)) & 1, 0);
    let rest = begin + (1 << 20) - 2000 - bench.cycles();
    bench.run(rest);
    assert_eq!(bench.read(reg::HOST_STATUS) & 3, 1, "after {} cycles", bench.cycles() - begin);
    bench.run(4000);
    assert_eq!(bench.read(reg::HOST_STATUS) & 3, 3);
    bench.memory.stuck = false;
    bench.until("an end of the reset", |bench| bench.read(reg::HOST_STATUS) == 0);
    bench.after_reset();
    bench.settle();
    works(&mut bench);
}
