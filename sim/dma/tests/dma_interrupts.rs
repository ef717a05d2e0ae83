// SPDX-License-Identifier: Apache-2.0
//! Interrupts. That none comes without an answer in memory, earlier than moderation allows, twice for one arming, or never, is checked by
//! the bench in every cycle.

use hashgate_dma_sim::{Bench, Timing, reg, seed, widths};

widths!(one_for_each_arming, armed_late, by_count, by_holdoff, held_until_acknowledged, of_every_kind, random_arming);

fn give(bench: &mut Bench, count: usize) {
    for _ in 0..count {
        let frame = bench.frame(64);
        bench.give(frame);
    }
}

fn count(bench: &Bench, vector: usize) -> usize {
    bench.interrupt_log().iter().filter(|(_, v)| *v == vector).count()
}

fn one_for_each_arming(bits: u32) {
    let mut bench = Bench::new(bits, 41);
    bench.enable(0, 6, 64, (0, 0));
    bench.stock(0, 64);
    give(&mut bench, 3);
    bench.settle();
    assert_eq!(count(&bench, 0), 0);
    for round in 1..=5 {
        let next = bench.ring(0).visible as u16;
        bench.arm(0, next);
        bench.run(2000);
        assert_eq!(count(&bench, 0), round - 1);
        give(&mut bench, 4);
        bench.settle();
        assert_eq!(count(&bench, 0), round);
    }
}

/// Answers that are there already.
fn armed_late(bits: u32) {
    let mut bench = Bench::new(bits, 42);
    bench.enable(8, 4, 64, (0, 0));
    bench.stock(8, 16);
    for _ in 0..3 {
        let frame = bench.frame(70 - 8);
        bench.give(hashgate_dma_sim::Frame { control: true, ..frame });
    }
    bench.settle();
    for (index, asks) in [(3, 0), (2, 1), (0, 2)] {
        bench.arm(8, index);
        bench.settle();
        assert_eq!(count(&bench, 8), asks, "armed at {index}");
    }
}

fn by_count(bits: u32) {
    let mut bench = Bench::new(bits, 43);
    bench.enable(0, 6, 64, (1_000_000, 8));
    bench.stock(0, 64);
    bench.arm(0, 0);
    give(&mut bench, 7);
    bench.settle();
    assert_eq!(count(&bench, 0), 0);
    give(&mut bench, 1);
    bench.settle();
    assert_eq!(count(&bench, 0), 1);
    // Those that the host has not seen count.
    bench.arm(0, 2);
    bench.settle();
    assert_eq!(count(&bench, 0), 1);
    give(&mut bench, 2);
    bench.settle();
    assert_eq!(count(&bench, 0), 2);
}

fn by_holdoff(bits: u32) {
    let mut bench = Bench::new(bits, 44);
    for holdoff in [1, 100, 5000] {
        bench.enable(0, 6, 64, (holdoff, 200));
        bench.stock(0, 64);
        let before = count(&bench, 0);
        bench.arm(0, 0);
        give(&mut bench, 2);
        bench.until("an interrupt", |bench| count(bench, 0) > before);
        let at = bench.ring(0).visible_at[0].1;
        let cycle = bench.interrupt_log().last().expect("it came").0;
        assert!(cycle >= at + u64::from(holdoff) && cycle < at + u64::from(holdoff) + 100, "{holdoff}: {}", cycle - at);
        bench.settle();
        bench.disable(0);
    }
}

fn held_until_acknowledged(bits: u32) {
    let mut bench = Bench::new(bits, 45);
    bench.enable(0, 6, 64, (0, 0));
    bench.stock(0, 64);
    bench.hold_interrupts(true);
    bench.arm(0, 0);
    give(&mut bench, 1);
    bench.run(5000);
    assert_eq!(count(&bench, 0), 1);
    // Another one while it waits becomes one of its own.
    bench.arm(0, 1);
    give(&mut bench, 1);
    bench.run(3000);
    assert_eq!(count(&bench, 0), 1);
    bench.hold_interrupts(false);
    bench.run(1000);
    assert_eq!((count(&bench, 0), bench.armed(0)), (2, false));
}

fn of_every_kind(bits: u32) {
    let mut bench = Bench::new(bits, 46);
    for ring in 0..13 {
        bench.enable(ring, 4, 64, (0, 0));
        bench.arm(ring, 0);
        bench.run(500);
        assert_eq!(bench.interrupt_log().len(), ring);
        match ring {
            0..=8 => {
                bench.stock(ring, 4);
                let frame = bench.frame(60);
                bench.give(hashgate_dma_sim::Frame { queue: ring as u8, control: ring == 8, ..frame });
            }
            9 | 10 => {
                let data = bench.frame(60).data;
                bench.send(ring, &data, 1, 0);
                bench.doorbell(ring);
            }
            11 => {
                bench.events.push_back([7; 14]);
                bench.room(2);
            }
            _ => {
                bench.dump(1, true, 0, 3);
                bench.doorbell(12);
            }
        }
        bench.settle();
        assert_eq!(bench.interrupt_log().iter().map(|(_, v)| *v).collect::<Vec<_>>(), (0..=ring).collect::<Vec<_>>());
    }
    assert_eq!(bench.read(reg::RING_FAULT), 0);
}

/// The host arms as soon as it has seen all there is, at any moment.
fn random_arming(bits: u32) {
    let mut bench = Bench::new(bits, seed());
    for _ in 0..4 {
        bench.memory.timing = Timing::random(&mut bench.random, 200);
        let rings = [0, 3, 8];
        for ring in rings {
            let moderation = (bench.random.below(600) as u32, bench.random.below(9) as u8);
            println!("ring {ring}: {moderation:?}");
            bench.enable(ring, 6, 64, moderation);
            bench.stock(ring, 64);
        }
        let mut frames = 300;
        bench.until("the last frame", |bench| {
            if frames > 0 && bench.random.chance(30) {
                let frame = bench.frame(40);
                let queue = [0, 3][bench.random.below(2) as usize];
                let control = bench.random.chance(300);
                bench.give(hashgate_dma_sim::Frame { queue, control, ..frame });
                frames -= 1;
            }
            if bench.random.chance(60) {
                let ring = rings[bench.random.below(3) as usize];
                if !bench.armed(ring) {
                    bench.post(ring, 64);
                    let behind = bench.random.below(2);
                    let index = bench.ring(ring).visible.saturating_sub(behind) as u16;
                    bench.arm(ring, index);
                }
            }
            frames == 0 && bench.to_give() == 0
        });
        bench.settle();
        bench.run(2000);
        for ring in rings {
            bench.disable(ring);
        }
    }
    assert!(bench.interrupt_log().len() > 50);
}
