// SPDX-License-Identifier: Apache-2.0
//! Transmit rings: alignments, lengths, order, what is skipped. The bench compares every frame and checks that an index comes behind the
//! reads of its frames.

use hashgate_dma_sim::{Bench, Timing, reg, seed, widths};

widths!(alignments, lengths, control_goes_first, one_stream_waits, impossible_descriptors, random_frames, both_ports);

fn data(bench: &mut Bench, length: usize) -> Vec<u8> {
    bench.frame(length).data
}

/// Sends a frame as soon as the ring has room.
fn send(bench: &mut Bench, ring: usize, length: usize, offset: u64, port: u8) {
    if bench.ring(ring).outstanding() == bench.ring(ring).size() {
        bench.doorbell(ring);
        bench.until("room", |bench| bench.ring(ring).outstanding() < bench.ring(ring).size());
    }
    let data = data(bench, length);
    bench.send(ring, &data, offset, port);
}

fn finish(bench: &mut Bench, ring: usize) {
    bench.doorbell(ring);
    bench.until("all frames", |bench| bench.to_come(ring) == 0 && bench.ring(ring).outstanding() == 0);
    bench.settle();
}

fn alignments(bits: u32) {
    let mut bench = Bench::new(bits, 21);
    bench.memory.timing.latency = 40;
    bench.enable(9, 5, 0, (0, 0));
    bench.enable(10, 5, 0, (0, 0));
    for offset in 0..64 {
        for length in [14, 15, 63, 64, 65, 127, 128, 129, 200, 256, 257] {
            send(&mut bench, 9, length, offset, 0);
        }
        // Around a page, and around a burst.
        send(&mut bench, 10, 300, 4096 - 128 + offset, 0);
        send(&mut bench, 10, 64 + offset as usize, 4096 - 64 - offset, 0);
        send(&mut bench, 10, 14, 256 - 14 + offset, 0);
    }
    finish(&mut bench, 9);
    finish(&mut bench, 10);
    assert_eq!(bench.read(reg::TX_BAD), 0);
}

fn lengths(bits: u32) {
    let mut bench = Bench::new(bits, 22);
    bench.enable(9, 7, 0, (0, 0));
    for length in 14..=300 {
        let offset = bench.random.below(4096);
        send(&mut bench, 9, length, offset, 0);
    }
    for middle in (512..9022).step_by(256) {
        let offset = bench.random.below(4096);
        let length = middle + bench.random.below(3) as usize - 1;
        send(&mut bench, 9, length, offset, 0);
    }
    for (length, offset) in [(9022, 0), (9022, 1), (9021, 4095), (9020, 63), (4096, 0), (8192, 0), (4097, 0), (8191, 1)]
    {
        send(&mut bench, 9, length, offset, 0);
    }
    finish(&mut bench, 9);
    assert_eq!(bench.read(reg::TX_BAD), 0);
}

/// A control frame is not behind the data frames that wait, but for those that are being read.
fn control_goes_first(bits: u32) {
    let mut bench = Bench::new(bits, 23);
    bench.enable(9, 7, 0, (0, 0));
    bench.enable(10, 4, 0, (0, 0));
    for _ in 0..120 {
        send(&mut bench, 9, 1518, 2, 0);
    }
    for _ in 0..3 {
        send(&mut bench, 10, 100, 7, 0);
    }
    bench.doorbell(9);
    bench.until("data", |bench| bench.wire_order.len() == 3);
    bench.doorbell(10);
    bench.until("control", |bench| bench.to_come(10) == 0);
    let order = bench.wire_order.clone();
    let last = order.iter().rposition(|&stream| stream == 1).expect("it came");
    // Latency of descriptor and data, twice 300 cycles, at one beat a cycle, and 32 KB of data that were asked for before.
    let possible = 3 + (4 * 350 * bench.beat as u64 + 32768).div_ceil(1518) + 8;
    assert!((last as u64) < possible, "{last} of {possible}: {order:?}");
    assert!(bench.to_come(9) > 0, "no data waited");
    finish(&mut bench, 9);
}

/// A stream that the core does not take does not hold up the other one.
fn one_stream_waits(bits: u32) {
    for waiting in [0, 1] {
        let mut bench = Bench::new(bits, 24);
        bench.enable(9, 5, 0, (0, 0));
        bench.enable(10, 5, 0, (0, 0));
        bench.tx_ready[waiting] = 0;
        let (slow, fast) = (9 + waiting, 10 - waiting);
        for _ in 0..20 {
            send(&mut bench, slow, 9022, 5, 0);
            send(&mut bench, fast, 1518, 9, 0);
        }
        bench.doorbell(slow);
        bench.run(5000);
        finish(&mut bench, fast);
        assert_eq!(bench.to_come(slow), 20);
        bench.tx_ready[waiting] = 1024;
        finish(&mut bench, slow);
    }
}

fn impossible_descriptors(bits: u32) {
    let mut bench = Bench::new(bits, 25);
    bench.enable(9, 5, 0, (0, 0));
    bench.enable(10, 5, 0, (0, 0));
    let mut bad = 0;
    let lengths = [0, 1, 13, 9023, 9216, 0x3fff, 0x4000 + 60, 0x8000 + 60, 0xffff];
    for ring in [9, 10] {
        for length in lengths {
            bench.send_bad(ring, length);
            bad += 1;
            send(&mut bench, ring, 14 + length as usize % 99, 3, 0);
        }
        if bits == 512 {
            // It has one port.
            bench.send_bad(ring, 60 | 1 << 16);
            bad += 1;
        }
        finish(&mut bench, ring);
    }
    assert_eq!(bench.read(reg::TX_BAD), bad);
    assert_eq!(bench.read(reg::RING_FAULT), 0);
}

fn both_ports(bits: u32) {
    let ports = if bits == 64 { 2 } else { 1 };
    let mut bench = Bench::new(bits, 26);
    bench.enable(9, 5, 0, (0, 0));
    for i in 0..40 {
        send(&mut bench, 9, 60 + i, i as u64, i as u8 % ports);
    }
    finish(&mut bench, 9);
}

fn random_frames(bits: u32) {
    let mut bench = Bench::new(bits, seed());
    for _ in 0..3 {
        bench.memory.timing = Timing::random(&mut bench.random, 400);
        bench.tx_ready = [bench.random.between(100, 1024), bench.random.between(100, 1024)];
        println!("{:?}, ready {:?}", bench.memory.timing, bench.tx_ready);
        let log2 = bench.random.between(4, 6) as u32;
        for ring in [9, 10] {
            bench.enable(ring, log2, 0, (0, 0));
        }
        for _ in 0..150 {
            let ring = 9 + usize::from(bench.random.chance(300));
            let length =
                if bench.random.chance(900) { bench.random.between(14, 400) } else { bench.random.between(14, 9022) };
            let offset = bench.random.below(4096);
            send(&mut bench, ring, length as usize, offset, 0);
            if bench.random.chance(300) {
                bench.doorbell(ring);
                let cycles = bench.random.below(200);
                bench.run(cycles);
            }
        }
        for ring in [9, 10] {
            finish(&mut bench, ring);
            bench.disable(ring);
        }
    }
}
