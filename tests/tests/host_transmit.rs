// SPDX-License-Identifier: Apache-2.0
//! Frames of the host leave as the model edits them, control frames first.

use hashgate_packets::builder::{Frame, HEARTBEAT, Icmp, Ip6, Payload, Upper};
use hashgate_packets::random::{FromHost, Generator, HostKind, Profile};
use hashgate_packets::tables::{Options, tables};
use hashgate_sim::{Build, Ready};
use hashgate_tables::Tables;
use hashgate_tests::scene::{self, CLIENT_MAC, CLIENT6, CLUSTER, STATION, VIP4, VIP6, ip4, udp};
use hashgate_tests::{Bench, for_each_build, seed};
use rand::{Rng, RngCore};

for_each_build!(random_edits, every_length, neighbour_checksums, control_frames_first);

fn random_edits(build: Build) {
    let seed = seed();
    let mut bench = Bench::new(build, seed as u32 | 1);
    let limits = bench.limits();
    let mut generator = Generator::new(seed, &Default::default(), Profile::good(limits.ports));
    let mut loaded = Tables::default();
    for round in 0..12 {
        let fresh = tables(generator.rng().next_u64(), &limits, Options { dangling: false, full: round == 6 });
        // Maps and targets take longest to load, and frames of the host meet none.
        loaded = if round == 0 {
            fresh
        } else {
            Tables { maps: loaded.maps, flags: loaded.flags, targets: loaded.targets, ..fresh }
        };
        loaded.settings.mask_source = round % 3 != 0;
        bench.load(&loaded);
        generator.set_tables(&loaded);
        for _ in 0..4 {
            let permille = generator.rng().random_range(100..=1000);
            bench.set_ready(Ready::Always, Ready::Random { seed: generator.rng().next_u64(), permille });
            for _ in 0..100 {
                let from_host = generator.host_frame();
                bench.send(&from_host);
                // Received frames compete for the wire.
                let generated = generator.frame();
                bench.receive_random(&generated, generated.frame.len() as u32 / 8 + 10);
            }
            bench.settle();
        }
    }
    println!("{:?}", bench.board.host_tx);
    let counts = bench.board.host_tx;
    assert!(counts.masked > 300 && counts.arp > 100 && counts.nd > 150 && counts.dropped > 50, "{counts:?}");
    bench.compare_counters();
}

fn every_length(build: Build) {
    let mut bench = Bench::new(build, 11);
    let tables = scene::tables(&bench.limits());
    bench.load(&tables);
    let content: Vec<u8> = (0..9100).map(|n| (n % 251) as u8 + 1).collect();
    for length in (1..300).chain([1500, 9000, 9021, 9022, 9023, 9024, 9087, 9088, 9089, 9100]) {
        let mut frame = Frame::new(CLIENT_MAC, CLUSTER, Payload::Raw(0x88cc, content.clone())).build().bytes;
        frame.truncate(length);
        let control = length % 2 == 0;
        bench.send(&FromHost { control, port: 0, frame, kind: HostKind::Data });
    }
    bench.settle();
    assert_eq!(bench.board.host_tx.dropped, 13 + 6);
    assert_eq!(bench.board.host_tx.sent.packets, 286 + 4);
    bench.compare_counters();
}

/// The sum of the checksum update passes 16 bits up to twice; every sum around the border is made.
fn neighbour_checksums(build: Build) {
    let mut bench = Bench::new(build, 13);
    bench.load(&scene::tables(&bench.limits()));
    let option = [&[2, 1][..], &STATION.0].concat();
    let payload = [&VIP6.octets()[..], &option].concat();
    let advertisement = Icmp { kind: 136, code: 0, rest: [0x20, 0, 0, 0], payload };
    let packet = Ip6 { hop_limit: 255, ..Ip6::new(VIP6, CLIENT6, Upper::Icmp(advertisement)) };
    let frame = Frame::new(CLIENT_MAC, STATION, Payload::Ip6(packet)).padded();
    let word = |mac: &[u8; 6], i: usize| u64::from(u16::from_be_bytes([mac[2 * i], mac[2 * i + 1]]));
    let change: u64 = (0..3).map(|i| (0xffff - word(&STATION.0, i)) + word(&CLUSTER.0, i)).sum();
    for sum in 0xfff0..0x10010_u64 {
        let mut frame = frame.clone();
        let inverse = (sum + 0x100000 - change) as u16;
        frame[14 + 40 + 2..][..2].copy_from_slice(&(!inverse).to_be_bytes());
        bench.send(&FromHost { control: true, port: 0, frame, kind: HostKind::Discovery });
    }
    bench.settle();
    assert_eq!(bench.board.host_tx.nd, 32);
    bench.compare_counters();
}

fn control_frames_first(build: Build) {
    let mut bench = Bench::new(build, 12);
    let tables = scene::tables(&bench.limits());
    bench.load(&tables);
    bench.set_ready(Ready::Always, Ready::Never);
    // Data frames fill the way to the wire; a heartbeat that comes after them leaves before nearly all of them.
    let data = Frame::new(CLIENT_MAC, CLUSTER, ip4(VIP4, udp(7, &[1; 1400]))).padded();
    for _ in 0..40 {
        bench.send(&FromHost { control: false, port: 0, frame: data.clone(), kind: HostKind::Data });
        bench.receive(0, &scene::udp4(1, 100));
    }
    bench.run(5_000);
    let heartbeat = Frame::new(CLIENT_MAC, CLUSTER, Payload::Raw(HEARTBEAT, vec![7; 1000])).padded();
    bench.send(&FromHost { control: true, port: 0, frame: heartbeat.clone(), kind: HostKind::Heartbeat });
    bench.run(5_000);
    bench.set_ready(Ready::Always, Ready::Always);
    let mut order = Vec::new();
    {
        let mut sim = bench.sim();
        sim.run_until_idle(200_000).expect("idle");
        while let Some(frame) = sim.pop_wire(0) {
            order.push(frame.data);
        }
    }
    let place = order.iter().position(|f| *f == heartbeat).expect("the heartbeat left");
    // One frame may be on its way out already.
    assert!(place <= 1, "the heartbeat is frame {place} of {}", order.len());
    let last_forwarded = order.iter().rposition(|f| f.len() < 200).expect("forwarded frames");
    let data_before = order[..last_forwarded].iter().filter(|f| **f == data).count();
    assert!(data_before <= 1, "{data_before} data frames of the host left before forwarded frames");
    assert_eq!(order.len(), 81);
}
