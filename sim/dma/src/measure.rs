// SPDX-License-Identifier: Apache-2.0
//! How fast the host interface is: cycles a frame and beats a cycle, at one ring and a memory of fixed latency.

use crate::{Bench, Frame};

/// Latency of the memory in cycles.
pub const LATENCY: u64 = 300;

/// Bursts that the memory takes before it answers the first: at 512 bits the latency alone is 75 bursts of 256 bytes.
pub const OUTSTANDING: usize = 256;

/// Throughput of one case, in the steady state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Bits of a beat.
    pub bits: u32,
    /// To the host, or from it.
    pub receive: bool,
    /// Bytes of a frame.
    pub length: usize,
    /// Bytes of its address modulo 64 (transmit).
    pub offset: u64,
    /// Cycles a frame.
    pub cycles: f64,
    /// Beats of the frame on the stream a cycle, at most 1.
    pub beats: f64,
    /// Frames that were dropped; the figures count those delivered.
    pub dropped: u64,
}

/// Throughput of the mover.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MoverRate {
    /// Bits of a beat.
    pub bits: u32,
    /// Memory to table, or table to memory.
    pub load: bool,
    /// Words of the command.
    pub words: u32,
    /// Cycles a word, from the doorbell to the completion.
    pub cycles: f64,
}

fn rate(bits: u32, receive: bool, length: usize, offset: u64, frames: u64, cycles: u64, dropped: u64) -> Rate {
    let a_frame = cycles as f64 / frames.max(1) as f64;
    let beats = length.div_ceil(bits as usize / 8) as f64;
    Rate { bits, receive, length, offset, cycles: a_frame, beats: beats / a_frame, dropped }
}

/// Receive: the core gives frames of that length without a pause, the host posts buffers at once.
pub fn receive(bits: u32, length: usize) -> Rate {
    let mut bench = Bench::new(bits, 1);
    bench.memory.timing.latency = LATENCY;
    bench.memory.timing.outstanding = OUTSTANDING;
    let frames = (400_000 / length as u64).clamp(60, 1500);
    bench.enable(0, 12, length.next_multiple_of(64) as u64, (0, 0));
    bench.post(0, 2 * frames);
    bench.settle();
    for _ in 0..frames {
        let frame = bench.frame(length);
        bench.give(Frame { queue: 0, ..frame });
    }
    // From the first fifth to the last.
    let (begin, end) = (frames / 5, frames * 4 / 5);
    bench.until("frames", |bench| bench.ring(0).visible >= begin || bench.to_give() == 0);
    let (cycle, seen) = (bench.cycles(), bench.ring(0).visible);
    bench.until("frames", |bench| bench.ring(0).visible >= end || bench.to_give() == 0);
    let (cycles, passed) = (bench.cycles() - cycle, bench.ring(0).visible - seen);
    bench.settle();
    let dropped = bench.account(0).sum();
    rate(bits, true, length, 0, passed, cycles, dropped)
}

/// Transmit: a full ring of frames of that length at that offset.
pub fn transmit(bits: u32, length: usize, offset: u64) -> Rate {
    let mut bench = Bench::new(bits, 2);
    bench.memory.timing.latency = LATENCY;
    bench.memory.timing.outstanding = OUTSTANDING;
    let frames = (400_000 / length as u64).clamp(60, 1500);
    bench.enable(9, 11, 0, (0, 0));
    for _ in 0..frames {
        let data = bench.frame(length).data;
        bench.send(9, &data, offset, 0);
    }
    bench.doorbell(9);
    let sent = |bench: &Bench| bench.wire_order.len() as u64;
    bench.until("frames", |bench| sent(bench) >= frames / 5);
    let cycle = bench.cycles();
    bench.until("frames", |bench| sent(bench) >= frames * 4 / 5);
    rate(bits, false, length, offset, frames * 4 / 5 - frames / 5, bench.cycles() - cycle, 0)
}

/// The table mover, one command.
pub fn mover(bits: u32, load: bool, words: u32) -> MoverRate {
    let mut bench = Bench::new(bits, 3);
    bench.memory.timing.latency = LATENCY;
    bench.memory.timing.outstanding = OUTSTANDING;
    bench.enable(12, 4, 0, (0, 0));
    if load {
        bench.load(1, 0, &vec![0x1234_5678; words as usize]);
    } else {
        bench.dump(1, true, 0, words);
    }
    let begin = bench.cycles();
    let answers = bench.move_tables();
    assert!(answers.len() == 1 && answers[0].status == 0, "{answers:?}");
    MoverRate { bits, load, words, cycles: (bench.cycles() - begin) as f64 / f64::from(words) }
}

/// All that `examples/speed.rs` prints, at one width.
pub fn measure(bits: u32) -> (Vec<Rate>, Vec<MoverRate>) {
    let lengths = [64, 1518, 9022];
    let mut rates: Vec<Rate> = lengths.iter().map(|&length| receive(bits, length)).collect();
    for length in lengths {
        rates.extend([0, 2, 63].map(|offset| transmit(bits, length, offset)));
    }
    let mover = [true, false].map(|load| self::mover(bits, load, 8192));
    (rates, mover.to_vec())
}
