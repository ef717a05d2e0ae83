// SPDX-License-Identifier: Apache-2.0
//! The twin keeps to docs/host_interface.md where a well-behaved driver does not look: register by register, word by word.

use hashgate_device::{Bar, DmaRegion, PciDevice, Width, config};
use hashgate_pci_sim::InProcess;
use hashgate_regs::defs::Reason;
use hashgate_regs::host::*;
use hashgate_soft_nic::{Frame, SoftNic};
use std::sync::Arc;

/// Offsets of [`Bench::memory`].
const DESCRIPTORS: usize = 0x0000;
const ANSWERS: usize = 0x1000;
const BUFFERS: usize = 0x2000;
const IOVA: u64 = 0x40_0000;

struct Bench {
    device: InProcess<SoftNic>,
    bar: Arc<dyn Bar>,
    memory: Arc<DmaRegion>,
}

fn bench() -> Bench {
    let device = InProcess::new(SoftNic::new());
    let command = config::COMMAND_MEMORY | config::COMMAND_BUS_MASTER;
    device.config_write(config::COMMAND, Width::Word, command).unwrap();
    let (bar, memory) = (device.bar(0).unwrap(), device.map_dma(IOVA, 0x4000).unwrap());
    Bench { device, bar, memory }
}

impl Bench {
    fn read(&self, offset: usize) -> u32 {
        self.bar.read32(offset)
    }

    fn write(&self, offset: usize, value: u32) {
        self.bar.write32(offset, value);
    }

    /// Enables a ring of 16 entries in the memory.
    fn enable(&self, number: usize) {
        let at = ring(number);
        self.write(at + ring::SIZE, 4 | 2 << 16);
        self.write(at + ring::BASE, IOVA as u32 + DESCRIPTORS as u32);
        self.write(at + ring::ANSWERS, IOVA as u32 + ANSWERS as u32);
        self.write(at + ring::CONTROL, 1);
        assert_eq!(self.read(at + ring::CONTROL), 1);
    }

    fn doorbell(&self, number: usize, producer: u32) {
        self.write(ring(number) + ring::PRODUCER, producer);
    }

    fn settle(&self) {
        assert!(self.device.run_until_idle(10_000));
    }

    fn descriptor(&self, at: usize, words: &[u32]) {
        for (n, word) in words.iter().enumerate() {
            self.memory.write32(DESCRIPTORS + at + 4 * n, *word);
        }
    }

    fn answer(&self, at: usize) -> u32 {
        self.memory.read32(ANSWERS + at)
    }
}

#[test]
fn identity_is_that_of_the_contract() {
    let bench = bench();
    assert_eq!((bench.read(0x1000), bench.read(0x1004)), (0x4847_444d, 0x0010_0d08));
    assert_eq!((bench.read(0x1040), bench.read(0x1080), bench.read(0x1014)), (u32::MAX, 0, 0));
}

#[test]
fn a_completion_is_laid_out_as_written() {
    let bench = bench();
    bench.enable(3);
    for n in 0..16 {
        bench.descriptor(8 * n, &[IOVA as u32 + (BUFFERS + 128 * n) as u32, 0]);
    }
    bench.doorbell(3, 16);
    bench.write(REASON_QUEUE, 3 << 28 | 0x0fff_ffff);
    let frame = Frame {
        reason: Reason::Dedicated,
        port: 1,
        rule: Some(9),
        bucket: Some(0xabc),
        target: Some(0x155),
        ..Frame::plain([0x5a; 100])
    };
    bench.device.nic().inject(Frame { bytes: vec![1; 129], ..frame.clone() });
    bench.device.nic().inject(frame.clone());
    bench.device.nic().inject(frame);
    bench.settle();
    let words: Vec<u32> = (0..8).map(|n| bench.answer(32 + 4 * n)).collect();
    // The long one was dropped, so this is descriptor 1 with one drop before it.
    assert_eq!(words[2..], [100 | 7 << 16 | 0xe100_0000, 9 | 0xabc << 16, 0x155 | 1 << 16, 0, 0, 1 | 1 << 31]);
    assert_eq!((bench.memory.read32(BUFFERS + 128), bench.memory.read32(BUFFERS + 256)), (0x5a5a_5a5a, 0));
    assert_eq!(bench.read(ring(3) + ring::CONSUMER), 2);
    assert_eq!(bench.read(ring(3) + ring::DROPPED_LONG), 1);
    // In the second round the phase is 0.
    for _ in 0..15 {
        bench.doorbell(3, bench.read(ring(3) + ring::CONSUMER) + 1);
        bench.device.nic().inject(Frame { reason: Reason::Dedicated, ..Frame::plain([1; 60]) });
        bench.settle();
    }
    assert_eq!((bench.answer(28) >> 31, bench.answer(32 + 28) >> 31), (0, 1));
}

#[test]
fn impossible_frames_to_send_are_skipped() {
    let bench = bench();
    bench.enable(DATA_TX);
    let address = IOVA as u32 + BUFFERS as u32 + 3;
    bench.memory.write_bytes(BUFFERS + 3, &[7; 100]);
    let whats = [13, 14 | 1 << 16, 9023, 0, 60];
    for (n, what) in whats.into_iter().enumerate() {
        bench.descriptor(16 * n, &[address, 0, what, 0]);
    }
    bench.doorbell(DATA_TX, 5);
    bench.settle();
    assert_eq!((bench.answer(0), bench.read(TX_BAD)), (5, 3));
    let sent: Vec<_> = std::iter::from_fn(|| bench.device.nic().take_sent()).collect();
    assert_eq!(sent.iter().map(|sent| (sent.bytes.len(), sent.port)).collect::<Vec<_>>(), [(14, 1), (60, 0)]);
    assert!(sent.iter().all(|sent| sent.bytes.iter().all(|byte| *byte == 7)));
}

#[test]
fn a_doorbell_beyond_the_ring_halts_it() {
    let bench = bench();
    bench.enable(DATA_TX);
    bench.doorbell(DATA_TX, 17);
    assert_eq!(bench.read(RING_FAULT), 1 << DATA_TX);
    bench.doorbell(DATA_TX, 1);
    bench.settle();
    assert_eq!(bench.answer(0), 0, "it does nothing");
    bench.write(ring(DATA_TX) + ring::CONTROL, 0);
    bench.write(ring(DATA_TX) + ring::CONTROL, 1);
    assert_eq!(bench.read(ring(DATA_TX) + ring::CONTROL), 0, "its fault has to be cleared first");
    bench.write(RING_FAULT, 1 << DATA_TX);
    bench.enable(DATA_TX);
    bench.doorbell(DATA_TX, 1);
    bench.settle();
    assert_eq!((bench.answer(0), bench.read(RING_FAULT)), (1, 0));
}

#[test]
fn registers_of_a_ring_that_runs_are_fixed() {
    let bench = bench();
    bench.enable(2);
    for offset in [ring::SIZE, ring::BASE, ring::ANSWERS, ring::MODERATION] {
        let before = bench.read(ring(2) + offset);
        bench.write(ring(2) + offset, before ^ 0x1001);
        assert_eq!(bench.read(ring(2) + offset), before, "{offset:#x}");
    }
}

#[test]
fn a_reset_waits_for_memory() {
    let bench = bench();
    bench.enable(DATA_TX);
    bench.device.nic().hold_memory(true);
    bench.doorbell(DATA_TX, 1);
    bench.device.run(10);
    assert_eq!(bench.read(HOST_STATUS), STATUS_BUSY);
    bench.write(ring(DATA_TX) + ring::CONTROL, 0);
    assert_eq!(bench.read(RING_RUNNING), 1 << DATA_TX, "a transfer is under way");
    bench.write(HOST_RESET, 1);
    assert_eq!(bench.read(HOST_STATUS), STATUS_BUSY | STATUS_RESETTING);
    bench.write(ring(0) + ring::CONTROL, 1);
    assert_eq!(bench.read(ring(0) + ring::CONTROL), 0, "no ring is enabled meanwhile");
    bench.device.run(1 << 20);
    assert_eq!(bench.read(HOST_STATUS), STATUS_BUSY | STATUS_RESETTING | STATUS_STUCK);
    bench.device.nic().hold_memory(false);
    bench.device.run(2);
    assert_eq!((bench.read(HOST_STATUS), bench.read(RING_RUNNING)), (0, 0));
}

#[test]
fn bad_commands_of_the_mover_have_a_status() {
    let bench = bench();
    bench.enable(MOVER);
    let address = IOVA as u32 + BUFFERS as u32;
    let good = [1 | 6 << 8, 0, 16, 0, address, 0, 0, 0];
    let mut commands = vec![good; 8];
    commands[1][0] = 3 | 6 << 8;
    commands[2][0] = 1 | 13 << 8;
    commands[3][2] = 0;
    commands[4][2] = (1 << 20) + 1;
    commands[5][4] += 4;
    commands[6][1] = 1 << 20;
    for (n, command) in commands.iter().enumerate() {
        bench.descriptor(32 * n, command);
    }
    bench.doorbell(MOVER, 8);
    bench.settle();
    let status: Vec<u32> = (0..8).map(|n| bench.answer(16 * n)).collect();
    assert_eq!(status, [0, 0x1_0001, 0x1_0002, 0x1_0003, 0x1_0004, 0x1_0005, 0x1_0006, 7]);
    assert_eq!(bench.answer(4), crc32fast::hash(&[0; 64]));
}

#[test]
fn interrupts_are_moderated() {
    let bench = bench();
    let interrupts = bench.device.enable_interrupts(VECTORS).unwrap();
    let at = ring(CONTROL_TX);
    // Two answers, or a thousand clocks.
    bench.write(at + ring::MODERATION, 2 << 24 | 1000);
    bench.enable(CONTROL_TX);
    bench.write(at + ring::INTERRUPT, ring::ARM);
    bench.doorbell(CONTROL_TX, 1);
    bench.device.run(900);
    assert_eq!(interrupts[CONTROL_TX].take(), 0);
    bench.doorbell(CONTROL_TX, 2);
    bench.device.run(10);
    assert_eq!(interrupts[CONTROL_TX].take(), 1);
    bench.doorbell(CONTROL_TX, 4);
    bench.device.run(2000);
    assert_eq!(interrupts[CONTROL_TX].take(), 0, "asking disarms");
    bench.write(at + ring::INTERRUPT, ring::ARM | 4);
    bench.device.run(2000);
    assert_eq!(interrupts[CONTROL_TX].take(), 0, "nothing at or beyond the index");
    bench.write(at + ring::INTERRUPT, ring::ARM | 3);
    bench.device.run(10);
    assert_eq!(interrupts[CONTROL_TX].take(), 1, "the oldest waits for long already");
    assert!(interrupts.iter().all(|interrupt| interrupt.take() == 0), "no other vector");
}

#[test]
fn events_stay_in_the_core_without_a_ring() {
    let bench = bench();
    (0..70).for_each(|n| bench.device.nic().event([n; 13]));
    assert_eq!((bench.read(0x310), bench.read(0x314), bench.read(0x320), bench.read(0x324)), (1, 6, 0, 0));
    bench.write(0x318, 1);
    assert_eq!((bench.read(0x320), bench.read(0x324)), (1, 1));
    bench.enable(EVENTS);
    bench.doorbell(EVENTS, 16);
    bench.device.run(100);
    assert_eq!(bench.read(0x320), 17, "the ring has no room for more");
    let event: Vec<u32> = (0..16).map(|n| bench.answer(64 * 15 + 4 * n)).collect();
    assert_eq!((event[0], event[1], event[13], event[14], event[15]), (16, 16, 16, 0, 1 << 31));
}
