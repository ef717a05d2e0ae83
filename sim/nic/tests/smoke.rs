// SPDX-License-Identifier: Apache-2.0
//! The shortest way through everything: the driver opens the NIC, loads tables, and a frame reaches the host.

use hashgate_device::{PciDevice, Width, config, map_bar};
use hashgate_nic::{Count, Nic};
use hashgate_regs::defs::{Mode, Reason, Track, Verdict, VipKind};
use hashgate_sim::{BAR0_BYTES, Build, InProcess, SimNic, WireFrame};
use hashgate_tables::{
    BUCKETS, KeyMask, Mac, MatchSlot, NOBODY, Rule, STANDARD_HASH_KEY, Settings, Tables, Target, Timeouts, Vip,
};
use std::net::Ipv4Addr;

const STATION: Mac = Mac([0x02, 0, 0, 0, 0, 1]);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// A TCP SYN from [`CLIENT`] to `VIP`:80 with `payload` bytes behind it.
fn syn(sport: u16, payload: usize) -> Vec<u8> {
    let mut frame = vec![];
    frame.extend(STATION.0);
    frame.extend([0x02, 0, 0, 0, 0, 9, 0x08, 0x00]);
    let mut ip = vec![0x45, 0];
    ip.extend((40 + payload as u16).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    ip.extend(CLIENT.octets());
    ip.extend(VIP.octets());
    let sum = ip.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame.extend(ip);
    frame.extend(sport.to_be_bytes());
    frame.extend([0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend((0..payload).map(|n| n as u8));
    frame.resize(frame.len().max(60), 0);
    frame
}

/// Toeplitz hash by its definition, bit by bit.
fn bucket(sport: u16) -> u16 {
    let message = [&CLIENT.octets()[..], &VIP.octets(), &sport.to_be_bytes(), &80u16.to_be_bytes()].concat();
    let bit = |bytes: &[u8], n: usize| u32::from(bytes[n / 8] >> (7 - n % 8) & 1);
    let window = |n: usize| (0..32).fold(0u32, |w, k| w << 1 | bit(&STANDARD_HASH_KEY, n + k));
    let hash = (0..96).filter(|n| bit(&message, *n) == 1).fold(0, |hash, n| hash ^ window(n));
    (hash & 0xfff) as u16
}

/// One VIP with TCP port 80; all buckets belong to target 3, which delivers on queue 5, but one that nobody has.
fn tables(orphan: u16) -> Tables {
    let rule = Rule {
        mode: Mode::Multiple,
        draining: false,
        affinity: false,
        timeouts: Timeouts::default(),
        track: Track::Flagged,
        map: 2,
        group: 0,
        bucket: KeyMask::ALL,
        binding: KeyMask::ALL,
    };
    let slot = MatchSlot { vip: Some(9), tcp: true, udp: false, ports: (80, 80), fragment: false, rule: 4 };
    let mut owners = vec![3; BUCKETS];
    owners[usize::from(orphan)] = NOBODY;
    Tables {
        settings: Settings { station_mac: STATION, ..Settings::default() },
        vips: vec![Vip { zone: 0, addr: VIP.into(), kind: VipKind::Vip, id: 9 }],
        slots: vec![None, Some(slot)],
        rules: [(4, rule)].into(),
        maps: [(2, owners)].into(),
        targets: [(3, Target::deliver(5))].into(),
        ..Tables::default()
    }
}

fn open(build: Build) -> (InProcess, Nic) {
    let device = InProcess::new(SimNic::new(build).unwrap());
    let nic = Nic::open(&device).unwrap();
    (device, nic)
}

fn smoke(build: Build) {
    let (device, mut nic) = open(build);
    assert_eq!(
        (usize::from(nic.info().beat_bytes), usize::from(nic.info().ports)),
        (build.beat_bytes(), build.ports())
    );

    // Not enabled: discarded and counted.
    device.nic().push_wire(0, WireFrame::new(syn(1000, 0)));
    device.nic().run_until_idle(10_000).unwrap();
    let event = device.nic().pop_event().unwrap();
    assert_eq!((event.verdict, event.reason, event.length), (Verdict::Discard, Reason::NotReady, 60));

    nic.load(&tables(bucket(2000))).unwrap();
    nic.enable(true);
    for (sport, payload) in [(1000, 0), (1001, 7), (1002, 1000), (1003, 8968)] {
        let frame = syn(sport, payload);
        device.nic().push_wire(0, WireFrame::new(frame.clone()));
        device.nic().run_until_idle(100_000).unwrap();
        let delivered = device.nic().pop_host().expect("the frame reaches the host");
        assert_eq!(delivered.data, frame);
        assert_eq!((delivered.reason, delivered.queue, delivered.control), (Reason::Map, 5, false));
        assert_eq!((delivered.rule, delivered.bucket, delivered.target), (Some(4), Some(bucket(sport)), Some(3)));
        assert!(!delivered.aborted);
        let event = device.nic().pop_event().unwrap();
        assert_eq!((event.verdict, event.reason, usize::from(event.length)), (Verdict::Host, Reason::Map, frame.len()));
    }

    // The bucket that nobody owns, a frame for another station, and one that the MAC marked.
    let mut stranger = syn(1000, 0);
    stranger[5] = 2;
    for (frame, error, reason) in [
        (syn(2000, 0), false, Reason::Nobody),
        (stranger, false, Reason::NotMyMac),
        (syn(1000, 0), true, Reason::FrameError),
    ] {
        device.nic().push_wire(0, WireFrame { data: frame, error, gap: 0 });
        device.nic().run_until_idle(10_000).unwrap();
        let event = device.nic().pop_event().unwrap();
        assert_eq!((event.verdict, event.reason), (Verdict::Discard, reason));
        // The error mark comes with the last beat; beats that left before it are taken back.
        let rest = device.nic().pop_host();
        assert_eq!(event.aborted, error && build == Build::B64);
        assert_eq!(rest.map(|frame| frame.aborted), event.aborted.then_some(true));
    }

    let counters = nic.counters();
    assert_eq!(counters.received().packets, 8);
    assert_eq!(counters.reason(Verdict::Host, Reason::Map), Count { packets: 4, bytes: 60 + 61 + 1054 + 9022 });
    assert_eq!(counters.reason(Verdict::Discard, Reason::NotReady), Count { packets: 1, bytes: 60 });
    assert_eq!(counters.by_rule[4].packets, 5);
    assert_eq!(counters.by_target[3].packets, 4);
    assert_eq!(nic.faults(), Default::default());
}

#[test]
fn a_frame_reaches_the_host_512() {
    smoke(Build::B512);
}

#[test]
fn a_frame_reaches_the_host_64() {
    smoke(Build::B64);
}

#[test]
fn the_host_sends_on_the_port_it_names() {
    let (device, nic) = open(Build::B64);
    for (control, port, length) in [(false, 0, 60), (false, 1, 1514), (true, 1, 77), (true, 0, 20)] {
        let frame: Vec<u8> = (0..length).map(|n| n as u8 | 0x80).collect();
        device.nic().push_host(control, port, frame.clone());
        device.nic().run_until_idle(100_000).unwrap();
        let sent = device.nic().pop_wire(port).expect("the frame leaves");
        let mut padded = frame;
        padded.resize(padded.len().max(60), 0);
        assert_eq!((sent.data, sent.aborted), (padded, false));
        assert_eq!(device.nic().pop_wire(1 - port), None);
    }
    assert_eq!(nic.host_tx_counters().sent, Count { packets: 4, bytes: 60 + 1514 + 77 + 60 });
    assert_eq!(nic.port_counters(1).tx, Count { packets: 2, bytes: 1514 + 77 });
}

/// What a driver finds before and after it enables memory accesses, and how it sizes the BAR.
#[test]
fn configuration_space() {
    let device = InProcess::new(SimNic::new(Build::B512).unwrap());
    assert_eq!(device.config_read(0, Width::Dword).unwrap(), 0x4847_1234);
    assert_eq!(device.config_read(config::DEVICE, Width::Word).unwrap(), 0x4847);
    let bar = map_bar(&device, 0, BAR0_BYTES).unwrap();
    assert_eq!(bar.read32(0), u32::MAX);
    device.config_write(config::COMMAND, Width::Word, config::COMMAND_MEMORY).unwrap();
    assert_eq!(bar.read32(0), 0x4847_4154);
    device.config_write(config::BAR0, Width::Dword, u32::MAX).unwrap();
    assert_eq!(device.config_read(config::BAR0, Width::Dword).unwrap(), !(BAR0_BYTES as u32 - 1));
    assert!(map_bar(&device, 0, BAR0_BYTES + 4).is_err());
    assert!(device.bar(1).is_err());
}
