// SPDX-License-Identifier: Apache-2.0
//! A small cluster for directed tests: one VIP with one rule, a default rule, a dedicated address.

use hashgate_packets::builder::{CTAG, Frame, Ip4, Ip6, Payload, Tcp, Udp, Upper};
use hashgate_regs::defs::{Mode, Track, VipKind};
use hashgate_tables::{BUCKETS, KeyMask, Limits, Mac, MatchSlot, Rule, Tables, Target, Timeouts, Vip};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The NIC's own MAC.
pub const STATION: Mac = Mac([0x02, 0, 0, 0, 0, 0x01]);
/// The cluster's MAC.
pub const CLUSTER: Mac = Mac([0x02, 0xbf, 192, 0, 2, 100]);
/// Replaces the cluster's MAC as a source.
pub const MASK: Mac = Mac([0x02, 0x01, 192, 0, 2, 100]);
/// A client's MAC.
pub const CLIENT_MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x99]);
/// The VIP.
pub const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// The same VIP's IPv6 address.
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
/// The host's own address.
pub const DEDICATED4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// A client.
pub const CLIENT4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The same client's IPv6 address.
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);
/// Id of the VIP.
pub const VIP_ID: u16 = 3;
/// Rule of the VIP: TCP and UDP, ports 80..=443, later fragments too; [`KeyMask::ALL`].
pub const RULE: u8 = 5;
/// Map of that rule; all buckets belong to [`TARGET`].
pub const MAP: u8 = 1;
/// Target of the rule: queue [`QUEUE`].
pub const TARGET: u16 = 9;
/// Receive queue of the target.
pub const QUEUE: u8 = 17;
/// Target of the default rule: forward to port 0.
pub const DEFAULT_TARGET: u16 = 2;

/// The tables of the scene.
pub fn tables(limits: &Limits) -> Tables {
    let mut tables = Tables::default();
    tables.settings.station_mac = STATION;
    tables.settings.cluster_mac = CLUSTER;
    tables.settings.mask_mac = MASK;
    let vip = |addr: IpAddr, kind, id| Vip { zone: 0, addr, kind, id };
    tables.vips = vec![
        vip(VIP4.into(), VipKind::Vip, VIP_ID),
        vip(VIP6.into(), VipKind::Vip, VIP_ID),
        vip(DEDICATED4.into(), VipKind::Dedicated, 0),
    ];
    tables.slots = vec![
        None,
        Some(MatchSlot { vip: Some(VIP_ID), tcp: true, udp: true, ports: (80, 443), fragment: true, rule: RULE }),
    ];
    let default_map = limits.maps - 1;
    tables.rules = [(RULE, rule(MAP)), (limits.rules, rule(default_map))].into();
    tables.maps = [(MAP, vec![TARGET; BUCKETS]), (default_map, vec![DEFAULT_TARGET; BUCKETS])].into();
    tables.targets = [(TARGET, Target::deliver(QUEUE)), (DEFAULT_TARGET, Target::forward(0))].into();
    tables
}

/// A rule for several members whose key is the whole packet.
pub fn rule(map: u8) -> Rule {
    Rule {
        mode: Mode::Multiple,
        draining: false,
        affinity: false,
        timeouts: Timeouts::default(),
        track: Track::Never,
        map,
        group: 0,
        bucket: KeyMask::ALL,
        binding: KeyMask::ALL,
    }
}

/// A frame from the client to the station, filled to 60 bytes.
pub fn frame(payload: Payload) -> Vec<u8> {
    Frame::new(STATION, CLIENT_MAC, payload).padded()
}

/// The same with one tag.
pub fn tagged(vlan: u16, payload: Payload) -> Vec<u8> {
    let mut frame = Frame::new(STATION, CLIENT_MAC, payload);
    frame.tags.push((CTAG, vlan));
    frame.padded()
}

/// IPv4 from the client.
pub fn ip4(destination: Ipv4Addr, upper: Upper) -> Payload {
    Payload::Ip4(Ip4::new(CLIENT4, destination, upper))
}

/// IPv6 from the client to the VIP.
pub fn ip6(upper: Upper) -> Payload {
    Payload::Ip6(Ip6::new(CLIENT6, VIP6, upper))
}

/// A TCP segment without payload, from port 50000.
pub fn tcp(port: u16, flags: u8) -> Upper {
    Upper::Tcp(Tcp { source_port: 50000, destination_port: port, flags, options: vec![], payload: vec![] })
}

/// A UDP datagram from port 50000.
pub fn udp(port: u16, payload: &[u8]) -> Upper {
    Upper::Udp(Udp { source_port: 50000, destination_port: port, payload: payload.to_vec() })
}

/// A TCP segment to the VIP.
pub fn tcp4(port: u16, flags: u8) -> Vec<u8> {
    frame(ip4(VIP4, tcp(port, flags)))
}

/// A UDP datagram to the VIP with so much payload.
pub fn udp4(port: u16, payload: usize) -> Vec<u8> {
    frame(ip4(VIP4, udp(port, &vec![0x5a; payload])))
}
