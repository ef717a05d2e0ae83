// SPDX-License-Identifier: Apache-2.0
//! The NIC's buckets are the low twelve bits of the published receive-side-scaling verification values.

use hashgate_packets::builder::{ACK, Frame, Ip4, Ip6, Payload, Tcp, Udp, Upper};
use hashgate_regs::defs::{Reason, VipKind};
use hashgate_sim::Build;
use hashgate_tables::{BUCKETS, KeyMask, MatchSlot, Rule, STANDARD_HASH_KEY, Target, Vip};
use hashgate_tests::scene::{self, CLIENT_MAC, STATION};
use hashgate_tests::{Bench, for_each_build};
use std::net::IpAddr;

for_each_build!(published_values);

/// Destination, source, hash over the addresses alone, hash with the ports.
const PUBLISHED: [(&str, u16, &str, u16, u32, u32); 8] = [
    ("161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e_8fc2, 0x51cc_c178),
    ("65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718_262a, 0xc626_b0ea),
    ("12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0_a5de, 0x5c2b_394a),
    ("209.142.163.6", 2217, "38.27.205.30", 48228, 0x8298_9176, 0xafc7_327f),
    ("202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d18_09c5, 0x10e8_28a2),
    ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc1_8cd5, 0x4020_7d3d),
    ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c_461c, 0xdde5_1bbf),
    ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61_e985, 0x02d1_feef),
];

fn published_values(build: Build) {
    let mut bench = Bench::new(build, 3);
    let mut tables = scene::tables(&bench.limits());
    tables.settings.hash_key = STANDARD_HASH_KEY;
    tables.vips = PUBLISHED
        .iter()
        .map(|row| Vip { zone: 0, addr: row.0.parse().expect("an address"), kind: VipKind::Vip, id: 1 })
        .collect();
    // TCP with ports, UDP by addresses alone.
    let slot = |tcp, rule| MatchSlot { vip: Some(1), tcp, udp: !tcp, ports: (0, 65535), fragment: false, rule };
    tables.slots = vec![Some(slot(true, 1)), Some(slot(false, 2))];
    let addresses = KeyMask { sport: false, dport: false, ..KeyMask::ALL };
    tables.rules.insert(1, scene::rule(1));
    tables.rules.insert(2, Rule { bucket: addresses, ..scene::rule(1) });
    // Every bucket tells itself by its owner.
    tables.maps.insert(1, (0..BUCKETS as u16).map(|bucket| bucket % 1000).collect());
    tables.targets.extend((0..1000).map(|id| (id, Target::deliver(id as u8))));
    bench.load(&tables);

    for (destination, destination_port, source, source_port, by_addresses, by_ports) in PUBLISHED {
        let tcp = Upper::Tcp(Tcp { source_port, destination_port, flags: ACK, options: vec![], payload: vec![] });
        let udp = Upper::Udp(Udp { source_port, destination_port, payload: vec![] });
        for (upper, rule, hash) in [(tcp, 1, by_ports), (udp, 2, by_addresses)] {
            let payload = match (source.parse().expect("an address"), destination.parse().expect("an address")) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => Payload::Ip4(Ip4::new(source, destination, upper)),
                (IpAddr::V6(source), IpAddr::V6(destination)) => Payload::Ip6(Ip6::new(source, destination, upper)),
                _ => unreachable!("addresses of one version"),
            };
            let event = bench.one(0, &Frame::new(STATION, CLIENT_MAC, payload).padded());
            let bucket = (hash & 0xfff) as u16;
            let seen = (event.reason, event.rule, event.bucket, event.target, event.queue);
            let queue = (bucket % 1000) as u8;
            assert_eq!(seen, (Reason::Map, Some(rule), Some(bucket), Some(bucket % 1000), queue), "{source} {hash:#x}");
        }
    }
}
