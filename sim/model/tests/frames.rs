// SPDX-License-Identifier: Apache-2.0
//! The model on hand-made frames: one test for each malformed class and for each row of the order of decisions.

use hashgate_model::{Decision, Nic};
use hashgate_regs::defs::{Mode, Reason, Track, Verdict, VipKind};
use hashgate_tables::{
    BUCKETS, BucketFlags, KeyMask, Limits, Mac, MatchSlot, NOBODY, OtherIp, Rule, Tables, Target, Timeouts, Vip,
};
use std::net::IpAddr;

const STATION: Mac = Mac([2, 0, 0, 0, 0, 1]);
const VIP4: [u8; 4] = [192, 0, 2, 100];
const CLIENT4: [u8; 4] = [198, 51, 100, 7];
const VIP6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100];
const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const DEDICATED4: [u8; 4] = [192, 0, 2, 1];
const DEFAULT: u8 = 64;

/// VIP id 3 has rule 5 (map 1, target 9) for ports 80..=443, TCP and UDP, later fragments included; everything else
/// goes by the default rule (map 64, target 2, forwarded to port 1).
fn tables() -> Tables {
    let mut tables = Tables::default();
    tables.settings.station_mac = STATION;
    tables.settings.cluster_mac = Mac([2, 0xbf, 192, 0, 2, 100]);
    let vip = |addr, kind, id| Vip { zone: 0, addr, kind, id };
    tables.vips = vec![
        vip(IpAddr::from(VIP4), VipKind::Vip, 3),
        vip(IpAddr::from(VIP6), VipKind::Vip, 3),
        vip(IpAddr::from(DEDICATED4), VipKind::Dedicated, 0),
    ];
    let slot = MatchSlot { vip: Some(3), tcp: true, udp: true, ports: (80, 443), fragment: true, rule: 5 };
    tables.slots = vec![None, Some(slot)];
    let rule = |map| Rule {
        mode: Mode::Multiple,
        draining: false,
        affinity: false,
        timeouts: Timeouts::default(),
        track: Track::Never,
        map,
        group: 0,
        bucket: KeyMask::ALL,
        binding: KeyMask::ALL,
    };
    tables.rules = [(5, rule(1)), (DEFAULT, rule(64))].into();
    tables.maps = [(1, vec![9; BUCKETS]), (64, vec![2; BUCKETS])].into();
    tables.targets = [(9, Target::deliver(17)), (2, Target::forward(1))].into();
    tables
}

fn nic(tables: Tables) -> Nic {
    let mut nic = Nic::new(Limits { ports: 2, ..Limits::default() });
    nic.set_settings(tables.settings.clone());
    nic.set_flags(tables.flags.clone());
    nic.commit(tables);
    nic.state.enabled = true;
    nic
}

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = STATION.0.to_vec();
    frame.extend([2, 0, 0, 0, 0, 9]);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// An IPv4 packet with the flags-and-offset field `fragment`.
fn ip4(destination: [u8; 4], protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(CLIENT4);
    packet.extend(destination);
    packet.extend(payload);
    fix_checksum(&mut packet);
    packet
}

fn fix_checksum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let header = 4 * usize::from(packet[0] & 15);
    let mut sum: u32 = packet[..header].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn ip6(next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, hop_limit]);
    packet.extend(CLIENT6);
    packet.extend(VIP6);
    packet.extend(payload);
    packet
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn tcp(port: u16, flags: u8) -> Vec<u8> {
    let mut segment = vec![0x30, 0x39];
    segment.extend(port.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    segment
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x30, 0x39];
    datagram.extend(port.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

fn tcp4(port: u16, flags: u8) -> Vec<u8> {
    ethernet(0x0800, &ip4(VIP4, 6, 0, &tcp(port, flags)))
}

fn decide(frame: &[u8]) -> Decision {
    nic(tables()).receive(0, frame, false)
}

#[track_caller]
fn assert_reason(frame: &[u8], reason: Reason) {
    assert_eq!(decide(frame).reason, reason, "{frame:02x?}");
}

/// The frame goes by the rule of the VIP.
#[track_caller]
fn assert_by_rule(decision: Decision, reason: Reason) {
    let Decision { verdict, rule, target, queue, .. } = decision;
    assert_eq!((verdict, decision.reason, rule, target, queue), (Verdict::Host, reason, Some(5), Some(9), 17));
}

/// The frame goes by the default rule.
#[track_caller]
fn assert_by_default(decision: Decision, reason: Reason) {
    let Decision { verdict, rule, target, out_port, .. } = decision;
    assert_eq!((verdict, decision.reason, rule, target, out_port), (Verdict::Port, reason, Some(DEFAULT), Some(2), 1));
}

#[test]
fn good_frames_go_by_the_rule() {
    assert_by_rule(decide(&tcp4(80, SYN)), Reason::Map);
    assert_by_rule(decide(&ethernet(0x0800, &ip4(VIP4, 17, 0, &udp(443, b"x")))), Reason::Map);
    assert_by_rule(decide(&ethernet(0x86dd, &ip6(6, 64, &tcp(80, ACK)))), Reason::Map);
    assert_by_default(decide(&tcp4(444, SYN)), Reason::DefaultHost);
    assert_by_default(decide(&tcp4(79, SYN)), Reason::DefaultHost);
}

#[test]
fn vlan_too_deep() {
    let tagged = |tags: usize| {
        let mut frame = tcp4(80, SYN);
        for n in 0..tags {
            let tpid = if n == 0 { [0x88, 0xa8] } else { [0x81, 0] };
            frame.splice(12 + 4 * n..12 + 4 * n, [tpid[0], tpid[1], 0, 5]);
        }
        frame
    };
    assert_reason(&tagged(2), Reason::Map);
    assert_reason(&tagged(3), Reason::VlanTooDeep);
}

#[test]
fn ip4_version() {
    let mut frame = tcp4(80, SYN);
    frame[14] = 0x55;
    assert_reason(&frame, Reason::Ip4Version);
}

#[test]
fn ip4_header_length() {
    let mut frame = tcp4(80, SYN);
    frame[14] = 0x44;
    assert_reason(&frame, Reason::Ip4HeaderLength);
}

#[test]
fn ip4_total_length() {
    let mut packet = ip4(VIP4, 6, 0, &tcp(80, SYN));
    packet[2..4].copy_from_slice(&19u16.to_be_bytes());
    fix_checksum(&mut packet);
    assert_reason(&ethernet(0x0800, &packet), Reason::Ip4TotalLength);
    packet[2..4].copy_from_slice(&20u16.to_be_bytes());
    fix_checksum(&mut packet);
    assert_reason(&ethernet(0x0800, &packet), Reason::L4Truncated);
}

#[test]
fn ip4_checksum() {
    for bit in 0..16 {
        let mut frame = tcp4(80, SYN);
        frame[24 + bit / 8] ^= 1 << (bit % 8);
        assert_reason(&frame, Reason::Ip4Checksum);
    }
    // With options the whole header counts.
    let mut packet = ip4(VIP4, 6, 0, &[&[1; 40][..], &tcp(80, SYN)].concat());
    packet[0] = 0x4f;
    fix_checksum(&mut packet);
    assert_reason(&ethernet(0x0800, &packet), Reason::Map);
    packet[59] ^= 1;
    assert_reason(&ethernet(0x0800, &packet), Reason::Ip4Checksum);
}

#[test]
fn ip6_version() {
    let mut packet = ip6(6, 64, &tcp(80, SYN));
    packet[0] = 0x70;
    assert_reason(&ethernet(0x86dd, &packet), Reason::Ip6Version);
}

#[test]
fn ip6_extension() {
    let with = |extension: &[u8], rest: &[u8]| ethernet(0x86dd, &ip6(60, 64, &[extension, rest].concat()));
    assert_reason(&with(&[6, 0, 0, 0, 0, 0, 0, 0], &tcp(80, SYN)), Reason::Map);
    // Shorter than any extension header, and longer than the payload.
    assert_reason(&with(&[6, 0, 0, 0, 0, 0, 0], &[]), Reason::Ip6Extension);
    assert_reason(&with(&[6, 3, 0, 0, 0, 0, 0, 0], &tcp(80, SYN)), Reason::Ip6Extension);
    // Length 24 of 28 leaves four bytes.
    assert_reason(&with(&[6, 2, 0, 0, 0, 0, 0, 0], &tcp(80, SYN)), Reason::L4Truncated);
}

#[test]
fn l4_truncated() {
    for (protocol, enough) in [(6, 20), (17, 8), (47, 4), (50, 8), (51, 12), (1, 8)] {
        let mut header = tcp(80, SYN);
        header[4..6].copy_from_slice(&8u16.to_be_bytes());
        let of_length = |len: usize| decide(&ethernet(0x0800, &ip4(VIP4, protocol, 0, &header[..len]))).reason;
        assert_eq!(of_length(enough - 1), Reason::L4Truncated, "protocol {protocol}");
        assert_ne!(of_length(enough), Reason::L4Truncated, "protocol {protocol}");
    }
}

#[test]
fn tcp_data_offset() {
    for (offset, reason) in [(4, Reason::TcpDataOffset), (5, Reason::Map), (6, Reason::TcpDataOffset)] {
        let mut segment = tcp(80, SYN);
        segment[12] = offset << 4;
        assert_reason(&ethernet(0x0800, &ip4(VIP4, 6, 0, &segment)), reason);
    }
}

#[test]
fn tcp_flag_combinations() {
    assert_reason(&tcp4(80, SYN | 0x01), Reason::TcpSynFin);
    assert_reason(&tcp4(80, SYN | 0x01 | 0x04), Reason::TcpSynFin);
    assert_reason(&tcp4(80, SYN | 0x04 | ACK), Reason::TcpSynRst);
    assert_reason(&tcp4(80, 0x01 | 0x04), Reason::Map);
}

#[test]
fn udp_length() {
    let with = |length: u16, fragment: u16| {
        let mut datagram = udp(80, b"four");
        datagram[4..6].copy_from_slice(&length.to_be_bytes());
        ethernet(0x0800, &ip4(VIP4, 17, fragment, &datagram))
    };
    assert_reason(&with(7, 0), Reason::UdpLength);
    assert_reason(&with(8, 0), Reason::Map);
    assert_reason(&with(12, 0), Reason::Map);
    assert_reason(&with(13, 0), Reason::UdpLength);
    // A first fragment's datagram goes on in the other fragments.
    assert_reason(&with(13, 0x2000), Reason::Map);
    assert_reason(&with(7, 0x2000), Reason::UdpLength);
}

#[test]
fn late_checks_beat_all_others_in_order() {
    let nic = nic(tables());
    let good = tcp4(80, SYN);
    assert_eq!(nic.receive(0, &good[..59], true).reason, Reason::FrameError);
    assert_eq!(nic.receive(0, &good[..59], false).reason, Reason::Runt);
    let mut long = good.clone();
    long.resize(9022, 0);
    assert_by_rule(nic.receive(0, &long, false), Reason::Map);
    long.resize(9023, 0);
    let oversize = nic.receive(0, &long, false);
    assert_eq!((oversize.verdict, oversize.reason, oversize.length), (Verdict::Discard, Reason::Oversize, 9022));
    assert_eq!((oversize.would_be, oversize.early_reason), (Verdict::Host, Reason::Map));
    assert!(oversize.is_aborted(64));

    let packet = ip4(VIP4, 17, 0, &udp(80, &[7; 100]));
    let whole = ethernet(0x0800, &packet);
    assert_by_rule(nic.receive(0, &whole, false), Reason::Map);
    let cut = nic.receive(0, &whole[..whole.len() - 1], false);
    assert_eq!((cut.reason, cut.is_aborted(64)), (Reason::Truncated, true));
    let one_beat = nic.receive(0, &whole[..64], false);
    assert_eq!((one_beat.reason, one_beat.is_aborted(64), one_beat.is_aborted(8)), (Reason::Truncated, false, true));
    // A wrong checksum has no say, but a wrong version hides the length.
    let mut bad = whole[..64].to_vec();
    bad[24] ^= 1;
    assert_eq!(nic.receive(0, &bad, false).reason, Reason::Truncated);
    bad[14] = 0x55;
    assert_eq!(nic.receive(0, &bad, false).reason, Reason::Ip4Version);
}

#[test]
fn early_checks() {
    let mut nic = nic(tables());
    let good = tcp4(80, SYN);
    nic.state.lease_ok = false;
    assert_eq!(nic.receive(0, &good, false).reason, Reason::LeaseExpired);
    let dedicated = ethernet(0x0800, &ip4(DEDICATED4, 6, 0, &tcp(80, SYN)));
    assert_eq!(nic.receive(0, &dedicated, false).reason, Reason::Dedicated);
    nic.state.enabled = false;
    assert_eq!(nic.receive(0, &good, false).reason, Reason::NotReady);
    nic.state.enabled = true;
    nic.state.ready = false;
    assert_eq!(nic.receive(0, &good, false).reason, Reason::NotReady);

    let to = |mac: [u8; 6]| [&mac[..], &good[6..]].concat();
    assert_reason(&to([2, 0, 0, 0, 0, 2]), Reason::NotMyMac);
    assert_reason(&to([0xff; 6]), Reason::Map);
    assert_reason(&to([2, 0xbf, 192, 0, 2, 100]), Reason::Map);
    let group = [1, 0, 0x5e, 0, 0, 1];
    assert_reason(&to(group), Reason::NotMyMac);
    let mut joined = tables();
    joined.multicast.insert(Mac(group));
    assert_eq!(self::nic(joined).receive(0, &to(group), false).reason, Reason::Map);
    let mut all = tables();
    all.settings.all_multicast = true;
    assert_eq!(self::nic(all.clone()).receive(0, &to(group), false).reason, Reason::Map);
    assert_eq!(self::nic(all.clone()).receive(0, &to([2, 0, 0, 0, 0, 2]), false).reason, Reason::NotMyMac);
    all.settings.promiscuous = true;
    assert_eq!(self::nic(all).receive(0, &to([2, 0, 0, 0, 0, 2]), false).reason, Reason::Map);

    for (ethertype, reason) in [(0x0806, Reason::Control), (0x886f, Reason::Control), (0x88cc, Reason::Unfiltered)] {
        let decision = decide(&ethernet(ethertype, &[0; 46]));
        assert_eq!((decision.verdict, decision.reason), (Verdict::Host, reason));
        assert_eq!(decision.control, reason == Reason::Control);
    }
}

#[test]
fn neighbour_discovery_is_control() {
    let message = |kind: u8| [&[kind, 0, 0, 0][..], &[0; 20]].concat();
    for kind in 132..=138 {
        let reason = if (133..=137).contains(&kind) { Reason::Control } else { Reason::Unfiltered };
        assert_reason(&ethernet(0x86dd, &ip6(58, 255, &message(kind))), reason);
    }
    assert_reason(&ethernet(0x86dd, &ip6(58, 254, &message(135))), Reason::Unfiltered);
    let fragment = |field: u16| {
        let [high, low] = field.to_be_bytes();
        ethernet(0x86dd, &ip6(44, 255, &[&[58, 0, high, low, 0, 0, 0, 0][..], &message(135)].concat()))
    };
    assert_reason(&fragment(0), Reason::Control);
    assert_reason(&fragment(1), Reason::Unfiltered);
    assert_reason(&fragment(8), Reason::Unfiltered);
}

#[test]
fn other_addresses() {
    let other = ethernet(0x0800, &ip4([203, 0, 113, 9], 6, 0, &tcp(80, SYN)));
    let group = ethernet(0x0800, &ip4([224, 0, 0, 1], 6, 0, &tcp(80, SYN)));
    let broadcast = ethernet(0x0800, &ip4([255; 4], 6, 0, &tcp(80, SYN)));
    for (other_ip, reason) in [
        (OtherIp::Deliver, Reason::Unfiltered),
        (OtherIp::Discard, Reason::NotMyIp),
        (OtherIp::Balance, Reason::DefaultHost),
    ] {
        let mut tables = tables();
        tables.settings.other_ip = other_ip;
        let nic = nic(tables);
        assert_eq!(nic.receive(0, &other, false).reason, reason);
        assert_eq!(nic.receive(0, &group, false).reason, Reason::Unfiltered);
        assert_eq!(nic.receive(0, &broadcast, false).reason, Reason::Unfiltered);
    }
}

#[test]
fn fragments() {
    let later = |protocol: u8| ethernet(0x0800, &ip4(VIP4, protocol, 0x00b9, &[0xaa; 30]));
    let mut with = tables();
    assert_by_rule(nic(with.clone()).receive(0, &later(6), false), Reason::Map);
    assert_by_rule(nic(with.clone()).receive(0, &later(17), false), Reason::Map);
    with.slots[1].as_mut().unwrap().fragment = false;
    let nic = nic(with);
    assert_by_default(nic.receive(0, &later(6), false), Reason::FragmentUnknown);
    assert_by_default(nic.receive(0, &later(17), false), Reason::FragmentUnknown);
    assert_by_default(nic.receive(0, &later(47), false), Reason::DefaultHost);
    assert_eq!(nic.receive(0, &later(1), false).reason, Reason::Unfiltered);
    assert_eq!(nic.receive(0, &later(132), false).reason, Reason::Unfiltered);
}

#[test]
fn gre_esp_and_ah_take_the_rules_of_their_control_connections() {
    for (protocol, port, taken_by_tcp) in [(47, 1723, true), (50, 500, false), (51, 500, false)] {
        for (low, high, tcp) in [(port, port, true), (port, port, false), (port + 1, 65535, true), (0, port - 1, false)]
        {
            let mut tables = tables();
            let slot = tables.slots[1].as_mut().unwrap();
            *slot = MatchSlot { tcp, udp: !tcp, ports: (low, high), ..*slot };
            let frame = ethernet(0x0800, &ip4(VIP4, protocol, 0, &[0x80; 16]));
            let decision = nic(tables).receive(0, &frame, false);
            if low == high && tcp == taken_by_tcp {
                assert_by_rule(decision, Reason::Map);
            } else {
                assert_by_default(decision, Reason::DefaultHost);
            }
        }
    }
}

#[test]
fn beyond_the_window() {
    let hop_by_hop = |next: u8, units: u8| {
        let mut header = vec![0; 8 * (1 + usize::from(units))];
        (header[0], header[1]) = (next, units);
        header
    };
    // 54 + 56 = 110: TCP flags at 123, inside; with one more unit at 131, beyond.
    let inside = ip6(0, 64, &[hop_by_hop(6, 6), tcp(80, SYN)].concat());
    assert_by_rule(decide(&ethernet(0x86dd, &inside)), Reason::Map);
    let beyond = ip6(0, 64, &[hop_by_hop(6, 7), tcp(80, SYN)].concat());
    assert_by_default(decide(&ethernet(0x86dd, &beyond)), Reason::BeyondWindow);
    // The second extension header begins at 126.
    let extension = ip6(0, 64, &[hop_by_hop(60, 8), hop_by_hop(6, 0), tcp(80, SYN)].concat());
    assert_by_default(decide(&ethernet(0x86dd, &extension)), Reason::BeyondWindow);
    // Eight extension headers are walked, nine are not, whatever is left.
    for (count, reason) in [(8, Reason::Map), (9, Reason::BeyondWindow)] {
        let mut payload: Vec<u8> = (1..count).flat_map(|_| hop_by_hop(60, 0)).collect();
        payload.extend(hop_by_hop(47, 0));
        payload.extend([0; 20]);
        let mut tables = tables();
        tables.slots[1].as_mut().unwrap().ports = (0, 65535);
        assert_eq!(nic(tables).receive(0, &ethernet(0x86dd, &ip6(60, 64, &payload)), false).reason, reason);
    }
}

#[test]
fn icmp_errors_follow_the_connection() {
    // Sent by the VIP from port 80 to the client, answered by a router: belongs to client -> VIP:80.
    let mut embedded = ip4(CLIENT4, 6, 0x4000, &[]);
    embedded[12..16].copy_from_slice(&VIP4);
    embedded.extend([0, 80, 0x30, 0x39]);
    let error = |kind: u8, inside: &[u8]| {
        ethernet(0x0800, &ip4(VIP4, 1, 0, &[&[kind, 4, 0, 0, 0, 0, 0, 0][..], inside].concat()))
    };
    let decision = decide(&error(3, &embedded));
    assert_by_rule(decision, Reason::IcmpError);
    assert_eq!(decision.bucket, decide(&tcp4(80, SYN)).bucket);
    for kind in [11, 12] {
        assert_by_rule(decide(&error(kind, &embedded)), Reason::IcmpError);
    }
    assert_reason(&error(8, &embedded), Reason::Unfiltered);
    assert_reason(&error(3, &embedded[..23]), Reason::Unfiltered);
    let patched = |at: usize, value: u8| {
        let mut inside = embedded.clone();
        inside[at] = value;
        error(3, &inside)
    };
    assert_reason(&patched(0, 0x44), Reason::Unfiltered);
    assert_reason(&patched(0, 0x65), Reason::Unfiltered);
    assert_reason(&patched(7, 1), Reason::Unfiltered);
    assert_reason(&patched(6, 0x20), Reason::IcmpError);
    assert_reason(&patched(9, 1), Reason::Unfiltered);
    assert_reason(&patched(15, 101), Reason::Unfiltered);

    let mut owner = tables();
    owner.settings.icmp_owner = true;
    let nic = nic(owner);
    assert_by_default(nic.receive(0, &error(8, &[]), false), Reason::IcmpOwner);
    assert_by_rule(nic.receive(0, &error(3, &embedded), false), Reason::IcmpError);
}

#[test]
fn icmp6_errors_follow_the_connection() {
    let mut embedded = ip6(17, 64, &[]);
    embedded[8..24].copy_from_slice(&VIP6);
    embedded[24..40].copy_from_slice(&CLIENT6);
    let error = |inside: &[u8], ports: &[u8]| {
        ethernet(0x86dd, &ip6(58, 64, &[&[2, 0, 0, 0, 0, 0, 5, 0][..], inside, ports].concat()))
    };
    let ports = [0, 80, 0x30, 0x39];
    let decision = decide(&error(&embedded, &ports));
    assert_by_rule(decision, Reason::IcmpError);
    assert_eq!(decision.bucket, decide(&ethernet(0x86dd, &ip6(17, 64, &udp(80, b"")))).bucket);
    // Behind a fragment header the ports begin at 110; only offset 0 counts.
    embedded[6] = 44;
    let fragment = |offset: u8| [&[17, 0, 0, offset | 1, 0, 0, 0, 9][..], &ports].concat();
    assert_by_rule(decide(&error(&embedded, &fragment(0))), Reason::IcmpError);
    assert_reason(&error(&embedded, &fragment(8)), Reason::Unfiltered);
}

#[test]
fn rows_of_the_rule() {
    let with = |change: &dyn Fn(&mut Tables)| {
        let mut tables = tables();
        change(&mut tables);
        nic(tables).receive(0, &tcp4(80, ACK), false)
    };
    let bucket = with(&|_| {}).bucket;
    assert!(bucket.is_some());
    let check = |decision: Decision, reason, bucket, target| {
        assert_eq!((decision.verdict, decision.reason), (Verdict::Discard, reason));
        assert_eq!((decision.rule, decision.bucket, decision.target), (Some(5), bucket, target));
    };
    check(
        with(&|t| {
            t.rules.remove(&5);
        }),
        Reason::RuleInvalid,
        None,
        None,
    );
    check(with(&|t| t.rules.get_mut(&5).unwrap().mode = Mode::Disabled), Reason::RuleDisabled, None, None);
    check(
        with(&|t| {
            t.maps.remove(&1);
        }),
        Reason::MapInvalid,
        bucket,
        None,
    );
    let handover = BucketFlags { handover: true, track: false };
    check(
        with(&|t| {
            t.flags.insert((1, bucket.unwrap()), handover);
        }),
        Reason::Handover,
        bucket,
        None,
    );
    check(
        with(&|t| {
            t.maps.insert(1, vec![NOBODY; BUCKETS]);
        }),
        Reason::Nobody,
        bucket,
        None,
    );
    check(
        with(&|t| {
            t.targets.remove(&9);
        }),
        Reason::TargetInvalid,
        bucket,
        Some(9),
    );
    check(
        with(&|t| {
            t.targets.insert(9, Target::discard());
        }),
        Reason::Map,
        bucket,
        Some(9),
    );

    // Handover asks openings and other protocols nothing.
    let mut tables = tables();
    for bucket in 0..BUCKETS as u16 {
        tables.flags.insert((1, bucket), handover);
    }
    let nic = nic(tables);
    assert_by_rule(nic.receive(0, &tcp4(80, SYN), false), Reason::Map);
    assert_eq!(nic.receive(0, &tcp4(80, SYN | ACK), false).reason, Reason::Handover);
    assert_by_rule(nic.receive(0, &ethernet(0x0800, &ip4(VIP4, 17, 0, &udp(80, b""))), false), Reason::Map);
    assert_by_rule(nic.receive(0, &ethernet(0x0800, &ip4(VIP4, 6, 0x00b9, &[0; 30])), false), Reason::Map);
}

#[test]
fn slots_of_a_vip_beat_slots_of_any() {
    let mut tables = tables();
    let any = MatchSlot { vip: None, tcp: true, udp: false, ports: (0, 65535), fragment: false, rule: DEFAULT };
    tables.slots[0] = Some(any);
    let nic = nic(tables.clone());
    assert_by_rule(nic.receive(0, &tcp4(80, SYN), false), Reason::Map);
    assert_by_default(nic.receive(0, &tcp4(79, SYN), false), Reason::Map);
    // Among equals the lowest wins.
    tables.slots[0] = Some(MatchSlot { vip: Some(3), ..any });
    assert_by_default(self::nic(tables).receive(0, &tcp4(80, SYN), false), Reason::Map);
}

#[test]
fn zones_separate_equal_addresses() {
    let mut tables = tables();
    tables.zones.insert((0, 7), 3);
    let nic = nic(tables);
    let mut frame = tcp4(80, SYN);
    frame.splice(12..12, [0x81, 0, 0xe0, 7]);
    assert_eq!(nic.receive(0, &frame, false).reason, Reason::Unfiltered);
    assert_by_rule(nic.receive(1, &frame, false), Reason::Map);
}

#[test]
fn every_frame_is_counted_once() {
    let mut nic = nic(tables());
    for frame in [tcp4(80, SYN), tcp4(80, SYN), tcp4(80, SYN | 1), tcp4(9, SYN), vec![0; 20]] {
        let decision = nic.receive(0, &frame, false);
        nic.count(&decision);
    }
    let counters = &nic.counters;
    assert_eq!((counters.received().packets, counters.received().bytes), (5, 4 * 60 + 20));
    assert_eq!(counters.by_reason[&(Verdict::Host, Reason::Map)].packets, 2);
    assert_eq!((counters.by_rule[&5].packets, counters.by_target[&9].bytes), (2, 120));
    assert_eq!((counters.by_rule[&DEFAULT].packets, counters.by_target[&2].packets), (1, 1));
    // A late discard has no rule, an error mark neither.
    let late = nic.receive(0, &tcp4(80, SYN), true);
    nic.count(&late);
    assert_eq!(nic.counters.by_rule[&5].packets, 2);
    assert_eq!(nic.counters.by_reason[&(Verdict::Discard, Reason::FrameError)].packets, 1);
}

#[test]
fn a_committed_map_stays_valid() {
    let mut nic = nic(tables());
    let mut without = tables();
    without.maps.clear();
    nic.commit(without);
    assert_by_rule(nic.receive(0, &tcp4(80, SYN), false), Reason::Map);
}
