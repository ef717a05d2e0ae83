// SPDX-License-Identifier: Apache-2.0
//! The NIC with a dataplane under the real driver.

use hashgate_device::PciDevice;
use hashgate_nic::{BindingKey, BindingRecord, BindingTable, Nic};
use hashgate_pci_sim::InProcess;
use hashgate_regs::defs::{BindingState, Mode, Reason, Track, Verdict, VipKind};
use hashgate_rings::{HostInterface, MoverConfig};
use hashgate_selftest::{Outcome, Wire, run};
use hashgate_soft_nic::SoftNic;
use hashgate_tables::{BUCKETS, KeyMask, Mac, MatchSlot, Rule, Settings, Tables, Target, Timeouts, Vip};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn device() -> (InProcess<SoftNic>, Arc<AtomicU64>) {
    let time: Arc<AtomicU64> = Arc::default();
    let clock = time.clone();
    (InProcess::new(SoftNic::with_dataplane(move || clock.load(Ordering::Relaxed))), time)
}

/// UDP to 10.0.0.1:80 from a port, with good checksums.
fn udp(source_port: u16) -> Vec<u8> {
    let mut frame = [&MAC.0[..], &[2, 0, 0, 0, 0, 9, 8, 0]].concat();
    let mut ip = [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1];
    let sum: u32 = ip.as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(ip);
    frame.extend([&source_port.to_be_bytes()[..], &[0, 80, 0, 26, 0, 0]].concat());
    frame.resize(60, 7);
    frame
}

/// All UDP to port 80 is this host's, by bindings.
fn tables() -> Tables {
    let rule = Rule {
        mode: Mode::Multiple,
        draining: false,
        track: Track::Always,
        affinity: false,
        map: 3,
        group: 17,
        bucket: KeyMask::ALL,
        binding: KeyMask::ALL,
        timeouts: Timeouts { flow: 2, ..Timeouts::default() },
    };
    let slot = MatchSlot { vip: Some(5), tcp: true, udp: true, ports: (80, 80), fragment: false, rule: 7 };
    Tables {
        settings: Settings { station_mac: MAC, cluster_mac: MAC, ..Settings::default() },
        vips: vec![Vip { zone: 0, addr: "10.0.0.1".parse().unwrap(), kind: VipKind::Vip, id: 5 }],
        slots: vec![Some(slot)],
        rules: [(7, rule)].into(),
        maps: [(3, vec![9; BUCKETS])].into(),
        targets: [(9, Target::deliver(0))].into(),
        ..Tables::default()
    }
}

fn pass(time: &AtomicU64, duration: Duration) {
    time.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
}

#[test]
fn the_self_test_passes() {
    let start = Instant::now();
    let device = InProcess::new(SoftNic::with_dataplane(move || start.elapsed().as_nanos() as u64));
    device.nic().set_loop(true);
    let driver: Arc<dyn PciDevice> = Arc::new(device.clone());
    let mut printed = Vec::new();
    let checks = run(&driver, Wire::Looped(&mut || ()), Duration::from_millis(20), &mut printed).unwrap();
    println!("{}", String::from_utf8(printed).unwrap());
    assert!(checks.iter().all(|check| check.outcome == Outcome::Ok), "{checks:?}");
}

#[test]
fn frames_are_decided_counted_and_bound_until_their_time_is_over() {
    let (device, time) = device();
    let mut nic = Nic::open(&device).unwrap();
    nic.load(&tables()).unwrap();
    assert_eq!(nic.read_active().unwrap(), tables());
    device.nic().receive(0, udp(1));
    assert_eq!(nic.reason_counter(Verdict::Discard, Reason::NotReady).packets, 1);
    nic.enable(true);
    for port in 1..=10 {
        device.nic().receive(0, udp(port));
        device.nic().receive(0, udp(port));
    }
    assert_eq!(nic.reason_counter(Verdict::Host, Reason::Map).packets, 10);
    assert_eq!(nic.reason_counter(Verdict::Host, Reason::Binding).packets, 10);
    assert_eq!((nic.rule_counter(7).packets, nic.target_counter(9).bytes), (20, 1200));
    assert_eq!(nic.binding_counters(BindingTable::Connection).used, 10);
    // Two slow ticks of 4.3 s.
    pass(&time, Duration::from_secs(9));
    device.nic().sweep();
    let counters = nic.binding_counters(BindingTable::Connection);
    assert_eq!((counters.used, counters.created, counters.removed), (0, 10, 10));
    device.nic().receive(0, udp(1));
    assert_eq!(nic.reason_counter(Verdict::Host, Reason::Map).packets, 11);
    // A full reset leaves nothing.
    nic.registers().set_full_reset(true);
    assert_eq!(nic.registers().time_ns() >> 30, 0);
    assert_eq!(nic.reason_counter(Verdict::Host, Reason::Map).packets, 0);
}

#[test]
fn the_link_of_its_port_is_told_also_after_a_reset() {
    let (device, _time) = device();
    let nic = Nic::open(&device).unwrap();
    let links = || [0, 1].map(|port| nic.has_link(port));
    assert_eq!(links(), [true, false]);
    device.nic().set_link(false);
    assert_eq!(links(), [false, false]);
    nic.registers().set_full_reset(true);
    assert_eq!(links(), [false, false]);
    device.nic().set_link(true);
    assert_eq!(links(), [true, false]);
    assert!(nic.registers().status().ready && nic.registers().status().bind_ready);
}

#[test]
fn the_lease_runs_out_and_is_armed_again() {
    let (device, time) = device();
    let mut nic = Nic::open(&device).unwrap();
    nic.load(&tables()).unwrap();
    nic.enable(true);
    let registers = nic.registers();
    let ctrl = |arm| hashgate_regs::registers::LeaseCtrl { enable: true, arm };
    registers.set_lease_ctrl(ctrl(false));
    let expired = || nic.reason_counter(Verdict::Discard, Reason::LeaseExpired).packets;
    device.nic().receive(0, udp(1));
    assert_eq!(expired(), 1, "never armed");
    let now = registers.time_ns();
    registers.set_lease_deadline(now + 1_000_000);
    registers.set_lease_ctrl(ctrl(true));
    device.nic().receive(0, udp(1));
    registers.set_lease_deadline(now + 10_000_000);
    // An earlier one changes nothing.
    registers.set_lease_deadline(now);
    pass(&time, Duration::from_millis(5));
    device.nic().receive(0, udp(1));
    assert!(!registers.status().lease_expired);
    assert_eq!(expired(), 1);
    pass(&time, Duration::from_millis(6));
    device.nic().receive(0, udp(1));
    assert!(registers.status().lease_expired && registers.status().lease_armed);
    registers.set_lease_deadline(now + 100_000_000);
    device.nic().receive(0, udp(1));
    assert_eq!(expired(), 3, "only arming ends it");
    registers.set_lease_ctrl(ctrl(true));
    device.nic().receive(0, udp(1));
    assert_eq!((expired(), registers.status().lease_expired), (3, false));
}

#[test]
fn bindings_are_made_found_walked_and_removed() {
    let (device, time) = device();
    let driver: Arc<dyn PciDevice> = Arc::new(device.clone());
    let mut nic = Nic::open(&device).unwrap();
    nic.load(&tables()).unwrap();
    let table = BindingTable::Connection;
    let key = |port: u16, v6: bool| BindingKey {
        zone: 0,
        source: if v6 { "2001:db8::2".parse().unwrap() } else { "10.0.0.2".parse().unwrap() },
        destination: if v6 { "2001:db8::1".parse().unwrap() } else { "10.0.0.1".parse().unwrap() },
        source_port: port,
        destination_port: 80,
        protocol: 17,
    };
    let clocks = nic.binding_clocks();
    let record = BindingRecord {
        state: BindingState::Flow,
        target: 9,
        rule: 7,
        bucket: 77,
        expires: clocks.after(BindingState::Flow, 100),
        fresh: false,
    };
    for port in 0..600 {
        let made = nic.insert_binding(table, &key(port, port % 2 == 1), &record).unwrap();
        assert_eq!((made.record, made.session), (record, port));
    }
    assert!(nic.insert_binding(table, &key(1, true), &record).is_err(), "there already");
    nic.add_key(table, &key(4, false), &key(1004, true)).unwrap();
    assert!(nic.add_key(table, &key(4, false), &key(1005, true)).is_err(), "two already");
    assert!(nic.add_key(table, &key(6, false), &key(8, false)).is_err(), "present");
    let found = nic.find_binding(table, &key(1004, true)).unwrap().unwrap();
    assert_eq!((found.session, found.other, found.record), (4, Some(key(4, false)), record));
    let by_registers = nic.bindings(table).unwrap();
    assert_eq!(by_registers.len(), 600);
    let host = HostInterface::open(driver).unwrap();
    nic.set_bulk(Some(Box::new(host.table_mover(&MoverConfig::default()).unwrap())));
    assert_eq!(nic.bindings(table).unwrap(), by_registers);
    assert!(nic.remove_binding(table, &key(4, false)).unwrap());
    assert!(!nic.remove_binding(table, &key(4, false)).unwrap());
    assert_eq!(nic.find_binding(table, &key(1004, true)).unwrap(), None);
    // 100 slow ticks, many times the range of the fast clock.
    pass(&time, Duration::from_secs(425));
    assert_eq!(nic.find_binding(table, &key(1, true)).unwrap().map(|found| found.record), Some(record));
    pass(&time, Duration::from_secs(6));
    assert_eq!(nic.find_binding(table, &key(1, true)).unwrap(), None);
    assert_eq!(nic.binding_counters(table).used, 0);
}
