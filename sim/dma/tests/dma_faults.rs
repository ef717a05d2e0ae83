// SPDX-License-Identifier: Apache-2.0
//! What goes wrong on the bus, and wrong doorbells: the ring halts, the others go on, and it can be used again.

use hashgate_dma_sim::{Access, Bench, Drops, reg, widths};

widths!(
    doorbell_beyond_the_ring,
    doorbell_beyond_what_is_answered,
    receive_descriptor,
    receive_data,
    completion,
    transmit_descriptor,
    transmit_data,
    transmit_index,
    event,
    mover_command,
    mover_source,
    mover_target,
    mover_completion,
    first_address
);

fn vector_15(bench: &Bench) -> usize {
    bench.interrupt_log().iter().filter(|(_, vector)| *vector == 15).count()
}

/// The ring has halted with that address; it does nothing more, all others work; after the recovery it works too.
fn halted(bench: &mut Bench, ring: usize, address: Option<std::ops::Range<u64>>) {
    bench.settle();
    assert_eq!(bench.read(reg::RING_FAULT), 1 << ring, "ring {ring}");
    if let Some(address) = address {
        let first = u64::from(bench.read(reg::FAULT_ADDRESS)) | u64::from(bench.read(reg::FAULT_ADDRESS + 4)) << 32;
        assert!(address.contains(&first), "{first:#x} is not in {address:x?}");
        assert_eq!(vector_15(bench), 1);
    }
    let traffic = (bench.memory.traffic.reads, bench.memory.traffic.writes);
    bench.run(2000);
    assert_eq!((bench.memory.traffic.reads, bench.memory.traffic.writes), traffic);
    let other = if ring == 1 { 2 } else { 1 };
    works(bench, other);
    works(bench, if ring == 9 { 10 } else { 9 });
    if ring < 9 {
        let before = bench.drops(ring);
        let frame = bench.frame(100);
        bench.give(hashgate_dma_sim::Frame { queue: ring as u8, control: ring == 8, ..frame });
        bench.settle();
        assert_eq!(bench.drops(ring), Drops { down: before.down + 1, ..before });
    }
    assert_eq!(bench.read(reg::RING_FAULT), 1 << ring, "ring {ring}");
    bench.disable(ring);
    bench.write(reg::RING_FAULT, 1 << ring);
    assert_eq!(bench.read(reg::RING_FAULT), 0);
    bench.no_fault();
    bench.events.clear();
    for _ in 0..2 {
        works(bench, ring);
    }
    bench.settle();
    assert_eq!(bench.read(reg::RING_FAULT), 0);
}

/// Enables a ring, uses it and disables it.
fn works(bench: &mut Bench, ring: usize) {
    bench.enable(ring, 4, 128, (0, 0));
    match ring {
        0..=8 => {
            bench.stock(ring, 16);
            for _ in 0..20 {
                let frame = bench.frame(100);
                bench.give(hashgate_dma_sim::Frame { queue: ring as u8, control: ring == 8, ..frame });
                bench.settle();
                bench.stock(ring, 1);
            }
            assert_eq!(bench.ring(ring).visible, 20);
        }
        9 | 10 => {
            for i in 0..20 {
                let data = bench.frame(200).data;
                bench.send(ring, &data, i, 0);
                bench.doorbell(ring);
                bench.until("a frame", |bench| bench.to_come(ring) == 0 && bench.ring(ring).outstanding() == 0);
            }
        }
        11 => {
            let seen = bench.events_seen;
            bench.room(16);
            bench.events.extend([[3; 14]; 10]);
            bench.settle();
            assert_eq!(bench.events_seen, seen + 10);
        }
        _ => {
            bench.load(1, 0, &[1, 2, 3, 4, 5]);
            bench.dump(2, true, 0, 40);
            let answers = bench.move_tables();
            assert!(answers.len() == 2 && answers.iter().all(|answer| answer.status == 0), "{answers:?}");
        }
    }
    bench.disable(ring);
}

fn doorbell_beyond_the_ring(bits: u32) {
    for ring in [0, 8, 9, 10, 12] {
        let mut bench = Bench::new(bits, 51);
        bench.enable(ring, 4, 128, (0, 0));
        bench.write(reg::of(ring, reg::PRODUCER), 0);
        assert_eq!(bench.read(reg::RING_FAULT), 0);
        bench.expect_fault(ring);
        bench.write(reg::of(ring, reg::PRODUCER), 17);
        halted(&mut bench, ring, None);
        // Backwards is far beyond.
        bench.enable(ring, 4, 128, (0, 0));
        bench.expect_fault(ring);
        bench.write(reg::of(ring, reg::PRODUCER), 0xffff);
        halted(&mut bench, ring, None);
    }
}

/// Descriptors that the NIC has read ahead are with the NIC as long as they are not answered.
fn doorbell_beyond_what_is_answered(bits: u32) {
    for ring in [0, 8] {
        let mut bench = Bench::new(bits, 50);
        bench.enable(ring, 4, 128, (0, 0));
        bench.stock(ring, 16);
        give(&mut bench, ring, 3);
        bench.settle();
        assert_eq!(bench.ring(ring).visible, 3);
        bench.write(reg::of(ring, reg::PRODUCER), 19);
        bench.settle();
        assert_eq!(bench.read(reg::RING_FAULT), 0);
        bench.expect_fault(ring);
        bench.write(reg::of(ring, reg::PRODUCER), 20);
        halted(&mut bench, ring, None);
    }
}

fn give(bench: &mut Bench, ring: usize, frames: usize) {
    for _ in 0..frames {
        let frame = bench.frame(120);
        bench.give(hashgate_dma_sim::Frame { queue: ring as u8, control: ring == 8, ..frame });
    }
}

fn receive_descriptor(bits: u32) {
    let mut bench = Bench::new(bits, 52);
    bench.enable(4, 4, 128, (0, 0));
    let base = bench.ring(4).base;
    bench.memory.set_access(base, Access::Fault);
    bench.expect_fault(4);
    bench.stock(4, 5);
    give(&mut bench, 4, 1);
    halted(&mut bench, 4, Some(base..base + 128));
}

fn receive_data(bits: u32) {
    let mut bench = Bench::new(bits, 53);
    bench.enable(4, 4, 128, (0, 0));
    bench.stock(4, 2);
    bench.settle();
    let hole = bench.memory.allocate(128, 4096);
    bench.memory.offer(hole, 128, Access::Fault);
    bench.post_at(4, hole);
    bench.stock(4, 5);
    bench.expect_fault(4);
    give(&mut bench, 4, 3);
    bench.settle();
    // Those before it are whole; it has no completion.
    assert_eq!(bench.ring(4).visible, 2);
    halted(&mut bench, 4, Some(hole..hole + 128));
}

fn completion(bits: u32) {
    let mut bench = Bench::new(bits, 54);
    bench.enable(8, 4, 128, (0, 0));
    bench.stock(8, 5);
    let answers = bench.ring(8).answers;
    bench.memory.set_access(answers, Access::Fault);
    bench.expect_fault(8);
    give(&mut bench, 8, 1);
    halted(&mut bench, 8, Some(answers..answers + 512));
}

fn transmit_descriptor(bits: u32) {
    let mut bench = Bench::new(bits, 55);
    bench.enable(9, 4, 0, (0, 0));
    let base = bench.ring(9).base;
    bench.memory.set_access(base, Access::Fault);
    bench.expect_fault(9);
    bench.send_from(9, 0x1000, 100);
    bench.doorbell(9);
    halted(&mut bench, 9, Some(base..base + 256));
    assert_eq!(bench.read(reg::TX_BAD), 0);
}

/// Nothing of a frame that could not be read whole goes to the wire.
fn transmit_data(bits: u32) {
    for ring in [9, 10] {
        for length in [60, 1518, 9022] {
            let mut bench = Bench::new(bits, 56);
            bench.enable(ring, 4, 0, (0, 0));
            let hole = bench.memory.allocate(3 * 4096, 4096);
            // Long frames begin in good memory.
            let good = if length == 9022 { 4096 } else { 0 };
            if good > 0 {
                bench.memory.offer(hole, good, Access::Read);
            }
            bench.memory.offer(hole + good, 3 * 4096 - good, Access::Fault);
            let data = bench.frame(500).data;
            bench.send(ring, &data, 9, 0);
            bench.send_from(ring, hole + 5, length);
            bench.expect_fault(ring);
            bench.doorbell(ring);
            halted(&mut bench, ring, Some(hole + good..hole + 3 * 4096));
        }
    }
}

fn transmit_index(bits: u32) {
    let mut bench = Bench::new(bits, 57);
    bench.enable(9, 4, 0, (0, 0));
    let answers = bench.ring(9).answers;
    bench.memory.set_access(answers, Access::Fault);
    bench.expect_fault(9);
    let data = bench.frame(500).data;
    bench.send(9, &data, 9, 0);
    bench.doorbell(9);
    halted(&mut bench, 9, Some(answers..answers + 64));
}

fn event(bits: u32) {
    let mut bench = Bench::new(bits, 58);
    bench.enable(11, 4, 0, (0, 0));
    let answers = bench.ring(11).answers;
    bench.memory.set_access(answers, Access::Fault);
    bench.expect_fault(11);
    bench.events.push_back([9; 14]);
    bench.room(16);
    halted(&mut bench, 11, Some(answers..answers + 1024));
}

fn mover_command(bits: u32) {
    let mut bench = Bench::new(bits, 59);
    bench.enable(12, 4, 0, (0, 0));
    let base = bench.ring(12).base;
    bench.memory.set_access(base, Access::Fault);
    bench.expect_fault(12);
    bench.command([0; 8], None);
    bench.doorbell(12);
    halted(&mut bench, 12, Some(base..base + 512));
}

fn mover_data(bits: u32, load: bool) {
    let mut bench = Bench::new(bits, 60);
    bench.enable(12, 4, 0, (0, 0));
    let hole = bench.memory.allocate(4096, 4096);
    bench.memory.offer(hole, 4096, Access::Fault);
    bench.expect_fault(12);
    bench.command([if load { 1 } else { 2 }, 0, 100, 0, hole as u32, (hole >> 32) as u32, 0, 0], None);
    bench.doorbell(12);
    bench.settle();
    // It tells, or it has halted before it could.
    let answers = &bench.ring(12).mover_answers;
    assert!(answers.iter().all(|answer| answer.status == 2), "{answers:?}");
    assert!(bench.table.is_empty() || !load, "words that could not be read are in the table");
    halted(&mut bench, 12, Some(hole..hole + 4096));
}

fn mover_source(bits: u32) {
    mover_data(bits, true);
}

fn mover_target(bits: u32) {
    mover_data(bits, false);
}

fn mover_completion(bits: u32) {
    let mut bench = Bench::new(bits, 61);
    bench.enable(12, 4, 0, (0, 0));
    let answers = bench.ring(12).answers;
    bench.memory.set_access(answers, Access::Fault);
    bench.expect_fault(12);
    let at = bench.memory.allocate(64, 64);
    bench.memory.offer(at, 64, Access::Write);
    bench.command([2, 0, 4, 0, at as u32, (at >> 32) as u32, 0, 0], Some(at));
    bench.doorbell(12);
    halted(&mut bench, 12, Some(answers..answers + 256));
}

/// The address of the first one stays until no ring has a fault.
fn first_address(bits: u32) {
    let mut bench = Bench::new(bits, 62);
    let mut bases = Vec::new();
    for ring in [5, 6] {
        bench.enable(ring, 4, 128, (0, 0));
        bases.push(bench.ring(ring).base);
        bench.memory.set_access(bases[bases.len() - 1], Access::Fault);
        bench.expect_fault(ring);
        bench.stock(ring, 5);
        give(&mut bench, ring, 1);
        bench.settle();
        assert_eq!(u64::from(bench.read(reg::FAULT_ADDRESS)) & !63, bases[0] & 0xffff_ffff);
    }
    assert_eq!(bench.read(reg::RING_FAULT), 3 << 5);
    bench.disable(5);
    bench.disable(6);
    bench.write(reg::RING_FAULT, 1 << 6);
    assert_eq!(bench.read(reg::RING_FAULT), 1 << 5);
    bench.write(reg::RING_FAULT, 1 << 5);
    bench.no_fault();
    bench.enable(5, 4, 128, (0, 0));
    let base = bench.ring(5).base;
    bench.memory.set_access(base, Access::Fault);
    bench.expect_fault(5);
    bench.stock(5, 5);
    give(&mut bench, 5, 1);
    bench.settle();
    assert_eq!(u64::from(bench.read(reg::FAULT_ADDRESS)) & !63, base & 0xffff_ffff);
}
