// SPDX-License-Identifier: Apache-2.0
//! The whole NIC when its host side fails: what the wire does goes on, and the driver gets a named error or goes on, too.

use hashgate_device::PciDevice;
use hashgate_nic::{Nic, NicError};
use hashgate_regs::defs::Verdict;
use hashgate_rings::{HostInterface, RingError, RxConfig, RxQueue, SendOutcome, TxConfig, TxRing};
use hashgate_sim::{InProcess, SimNic, WireFrame};
use hashgate_tables::{Limits, Tables};
use hashgate_tests::{nic_build, scene, seed};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Longest frame of the NIC, without FCS.
const LONGEST: usize = 9022;
/// Cycles until nothing is inside any more, far more than needed.
const PATIENCE: u64 = 400_000;

struct Bench {
    device: InProcess,
    nic: Nic,
    host: HostInterface,
    tables: Tables,
}

/// Wire port that frames come in by: the last; those for a wire leave by port 0, which is the other one where there are two.
fn incoming() -> u8 {
    nic_build().ports() as u8 - 1
}

/// What became of frames.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    to_host: usize,
    to_wire: usize,
    out: usize,
}

impl Bench {
    fn new() -> Bench {
        let build = nic_build();
        let device = InProcess::new(SimNic::with_host_interface(build, 1).expect("the build is compiled in"));
        let driver: Arc<dyn PciDevice> = Arc::new(device.clone());
        let mut nic = Nic::open(&*driver).unwrap();
        let host = HostInterface::open(driver).unwrap();
        let mut tables = scene::tables(&Limits { ports: build.ports() as u8, ..Limits::default() });
        // All frames for the host to data queue 0.
        for target in tables.targets.values_mut() {
            target.queue = 0;
        }
        nic.load(&tables).unwrap();
        nic.enable(true);
        Bench { device, nic, host, tables }
    }

    /// For the host or for a wire, in turn.
    fn give(&self, frames: usize) {
        let mut nic = self.device.nic();
        for n in 0..frames {
            nic.push_wire(incoming(), WireFrame::new(scene::udp4(if n % 2 == 0 { 80 } else { 8080 }, 10 + n % 50)));
        }
    }

    /// Until nothing is inside; what was decided, and what left by the wire.
    fn settle(&self) -> Seen {
        assert!(self.device.run_until_idle(PATIENCE), "the NIC does not get idle");
        let mut nic = self.device.nic();
        let mut seen = Seen::default();
        while let Some(event) = nic.pop_event() {
            match event.verdict {
                Verdict::Host => seen.to_host += 1,
                Verdict::Port => seen.to_wire += 1,
                verdict => panic!("{verdict:?}, {:?}", event.reason),
            }
        }
        while let Some(frame) = nic.pop_wire(0) {
            assert!(!frame.aborted);
            seen.out += 1;
        }
        seen
    }
}

fn expected(frames: usize) -> Seen {
    Seen { to_host: frames.div_ceil(2), to_wire: frames / 2, out: frames / 2 }
}

#[test]
fn a_host_that_takes_nothing_costs_counted_drops() {
    let bench = Bench::new();
    let queue = bench.host.rx_queue(0, &RxConfig { size_log2: 4, ..RxConfig::default() }).unwrap();
    bench.give(400);
    assert_eq!(bench.settle(), expected(400));
    assert_eq!(bench.host.rx_drops(0).unwrap().full, 200 - 16);
    drop(queue);
    // Without a ring at all.
    let before = bench.host.rx_drops(0).unwrap().down;
    bench.give(100);
    assert_eq!(bench.settle(), expected(100));
    assert_eq!(bench.host.rx_drops(0).unwrap().down - before, 50);
}

#[test]
fn surprise_removal() {
    let mut bench = Bench::new();
    let mut queue = bench.host.rx_queue(0, &RxConfig::default()).unwrap();
    let mut tx = bench.host.tx_ring(false, &TxConfig::default()).unwrap();
    bench.give(100);
    bench.device.run(300);
    bench.device.remove();
    assert!(matches!(bench.host.check(), Err(RingError::NoAnswer)));
    assert!(matches!(queue.poll(64, |_| {}), Err(RingError::NoAnswer)));
    assert!(matches!(tx.send(&[0; 60], 0), Err(RingError::NoAnswer)));
    let tables = bench.tables.clone();
    assert!(matches!(bench.nic.load(&tables), Err(NicError::NoAnswer)), "{:?}", bench.nic.load(&tables));
    // The wire does not need the bus.
    assert_eq!(bench.settle(), expected(100));
}

/// Sends a frame, as a wire that is a loop brings it back, and takes it out of the queue.
fn loop_back(bench: &Bench, tx: &mut TxRing, rx: &mut RxQueue, frame: &[u8], port: u8) {
    assert_eq!(tx.send(frame, port).unwrap(), SendOutcome::Queued);
    tx.flush();
    let mut got = Vec::new();
    for _ in 0..PATIENCE / 100 {
        bench.device.run(100);
        let mut nic = bench.device.nic();
        while let Some(sent) = nic.pop_wire(port) {
            nic.push_wire(port, WireFrame::new(sent.data));
        }
        drop(nic);
        if rx.poll(1, |frame| frame.copy_to_vec(&mut got)).unwrap() > 0 {
            break;
        }
    }
    assert!(got == frame, "port {port}: a frame of {} bytes came back as one of {}", frame.len(), got.len());
    tx.drain(1000).unwrap();
}

#[test]
fn frames_of_any_length() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let mut bench = Bench::new();
    bench.tables.settings.promiscuous = true;
    let tables = bench.tables.clone();
    bench.nic.load(&tables).unwrap();
    let buffer_bytes = LONGEST.next_multiple_of(64);
    let mut rx = bench.host.rx_queue(0, &RxConfig { buffer_bytes, ..RxConfig::default() }).unwrap();
    let mut tx = bench.host.tx_ring(false, &TxConfig { longest: LONGEST, ..TxConfig::default() }).unwrap();
    let lengths = [60, 61, 63, 64, 65, 1514, 4096, 9021, LONGEST];
    let random: Vec<usize> = (0..10).map(|_| rng.random_range(60..=LONGEST)).collect();
    for length in lengths.into_iter().chain(random) {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5];
        frame.resize_with(length, || rng.random());
        loop_back(&bench, &mut tx, &mut rx, &frame, rng.random_range(0..=incoming()));
    }
    assert!(tx.send(&vec![0; LONGEST + 1], 0).is_err());
}

/// A reset of everything at any moment of frames in both directions: the driver sets up again, and nothing of the time before shows.
#[test]
fn a_full_reset_in_the_middle_of_frames() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let mut bench = Bench::new();
    for round in 0..12 {
        let mut rx = bench.host.rx_queue(0, &RxConfig::default()).unwrap();
        let mut tx = bench.host.tx_ring(false, &TxConfig::default()).unwrap();
        bench.give(200);
        for _ in 0..20 {
            assert_eq!(tx.send(&scene::udp4(8080, 1000), 0).unwrap(), SendOutcome::Queued);
        }
        tx.flush();
        bench.device.run(rng.random_range(0..3000));
        bench.nic.full_reset().unwrap();
        bench.host.reset().unwrap();
        assert!(matches!(rx.poll(64, |_| {}), Err(RingError::Reset { .. })), "round {round}: the ring did not notice");
        // What was on the wire goes on coming in, to a NIC that is disabled and discards it.
        assert!(bench.device.run_until_idle(PATIENCE), "round {round}: the NIC does not get idle");
        let mut nic = bench.device.nic();
        while nic.pop_wire(0).is_some() || nic.pop_event().is_some() || nic.pop_ingress().is_some() {}
        drop(nic);
        let tables = bench.tables.clone();
        bench.nic.load(&tables).unwrap();
        bench.nic.enable(true);
        rx.restart().unwrap();
        tx.restart().unwrap();
        // Descriptors are on their way; a frame that comes before them finds none.
        bench.device.run(1000);
        bench.give(40);
        assert_eq!(bench.settle(), expected(40), "round {round}");
        let wanted: Vec<usize> = (0..40).step_by(2).map(|n| scene::udp4(80, 10 + n % 50).len()).collect();
        let mut lengths = Vec::new();
        rx.poll(64, |frame| lengths.push(frame.len())).unwrap();
        assert_eq!(lengths, wanted, "round {round}");
        loop_back(&bench, &mut tx, &mut rx, &scene::udp4(80, 300), incoming());
        assert_eq!(bench.host.faults().unwrap(), None, "round {round}");
        assert_eq!(
            bench.device.take_faults().first,
            Vec::new(),
            "round {round}: accesses outside of memory that is mapped"
        );
    }
}
