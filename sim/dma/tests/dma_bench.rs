// SPDX-License-Identifier: Apache-2.0
//! Tests of the bench: a stand-in of the RTL passes, and each bug in it is noticed, with the words that tell it.

use hashgate_dma_sim::{Access, Bench, Bug, Frame, reg};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A bit of everything.
fn work(bits: u32, bug: Bug) {
    let mut bench = Bench::with_stand_in(bits, 7, bug);
    bench.memory.timing.latency = 20;
    for round in 0..2 {
        for ring in 0..13 {
            bench.enable(ring, 4, 1024, [(400, 4), (0, 0)][round]);
        }
        for i in 0..40u8 {
            let ring = usize::from(i % 2) * 8;
            bench.stock(ring, 16);
            let length = if i == 20 { 65 } else { bench.random.between(14, 1024) as usize };
            let frame = bench.frame(length);
            bench.give(Frame { queue: 0, control: ring == 8, abort: i % 5 == 4, ..frame });
            bench.until("the core", |bench| bench.to_give() == 0);
            if i % 4 == 0 {
                bench.settle();
            }
            if !bench.armed(ring) {
                let index = bench.ring(ring).visible as u16;
                bench.arm(ring, index);
            }
        }
        for queue in 0..8 {
            let frame = bench.frame(64);
            bench.give(Frame { queue, ..frame });
        }
        bench.settle();
        for ring in 0..9 {
            bench.account(ring);
        }
        for offset in [0, 63, 4096 - 200] {
            let data = bench.frame(300).data;
            bench.send(9, &data, offset, 0);
        }
        bench.doorbell(9);
        bench.events.extend((0..10).map(|i| [i; 14]));
        bench.room(16);
        bench.load(1, 0, &[1, 2, 3]);
        let answers = bench.move_tables();
        assert_eq!(answers[0].crc, 0xb0e0_2293, "CRC");
        bench.settle();
        assert_eq!((bench.to_come(9), bench.read(reg::RING_FAULT)), (0, 0), "transmit");
        if round == 0 {
            bench.reset_host(true);
        }
    }
    bench.disable(4);
    bench.enable(4, 4, 64, (0, 0));
    let base = bench.ring(4).base;
    bench.memory.set_access(base, Access::Fault);
    bench.expect_fault(4);
    bench.stock(4, 1);
    let frame = bench.frame(60);
    bench.give(Frame { queue: 4, ..frame });
    bench.settle();
    assert_eq!(bench.read(reg::RING_FAULT), 1 << 4, "fault");
}

#[test]
fn a_stand_in_passes() {
    for bits in hashgate_dma_sim::WIDTHS {
        work(bits, Bug::None);
    }
}

#[test]
fn every_bug_is_noticed() {
    for (bug, words) in [
        (Bug::CompletionBeforeData, "completion"),
        (Bug::PhaseStays, "are missing"),
        (Bug::BurstAcross4K, "across 4 KiB"),
        (Bug::DropNotCounted, "frames are missing"),
        (Bug::AbortedKeepsBuffer, "differs at"),
        (Bug::AbortedDelivered, "completion"),
        (Bug::ErrorIgnored, ""),
        (Bug::InterruptBeforeCompletion, "no answer at or beyond"),
        (Bug::InterruptNotDisarmed, "not armed"),
        (Bug::InterruptLost, "lost"),
        (Bug::ModerationIgnored, "of 4 answers"),
        (Bug::ResetKeepsIndex, ""),
        (Bug::MoverCrc, "CRC"),
        (Bug::Alignment, "differs at"),
        (Bug::IndexBeforeRead, ""),
        (Bug::WrongQueue, ""),
        (Bug::EventTwice, "event"),
        (Bug::TimeOfLastBeat, "time"),
        (Bug::BeyondFrame, ""),
    ] {
        for bits in hashgate_dma_sim::WIDTHS {
            let why = catch_unwind(AssertUnwindSafe(|| work(bits, bug)));
            let why = why.expect_err(&format!("{bug:?} at {bits} bit"));
            let text =
                why.downcast_ref::<String>().cloned().or(why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = text.expect("a text");
            println!("{bug:?} at {bits} bit: {text}");
            assert!(text.contains(words), "{bug:?} at {bits} bit: {text}");
        }
    }
}
