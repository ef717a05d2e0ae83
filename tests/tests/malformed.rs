// SPDX-License-Identifier: Apache-2.0
//! Every class of bad frame is counted as such, and harms no other frame.

use hashgate_packets::builder::{ACK, Extension, FIN, Ip6, Payload, RST, SYN, Upper, fix_ip4_checksum};
use hashgate_regs::defs::{Reason, Verdict};
use hashgate_sim::Build;
use hashgate_tests::scene::{self, CLIENT6, RULE, VIP4, VIP6, ip4, ip6, tcp, tcp4, udp, udp4};
use hashgate_tests::{Bench, for_each_build};

for_each_build!(each_class_hits_its_counter, bad_frames_harm_no_neighbour);

/// Where layer 3 and 4 of an untagged IPv4 frame without options begin.
const L3: usize = 14;
const L4: usize = 34;

/// A good frame with some bytes overwritten.
fn patched(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The same with a correct IPv4 checksum.
fn patched_ip(frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = patched(frame, at, bytes);
    fix_ip4_checksum(&mut frame[L3..]);
    frame
}

/// Frames of each malformed class, each with its reason.
fn malformed() -> Vec<(Reason, Vec<u8>)> {
    let syn = || tcp4(80, SYN);
    let datagram = || udp4(80, 30);
    let mut three_tags = syn();
    three_tags.splice(12..12, [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3]);
    let extended = |extension: Extension, patch: &[u8]| {
        let mut ip = Ip6::new(CLIENT6, VIP6, tcp(80, SYN));
        ip.extensions.push(extension);
        patched(scene::frame(Payload::Ip6(ip)), 55, patch)
    };
    let raw = |protocol, len| scene::frame(ip4(VIP4, Upper::Raw(protocol, vec![0; len])));
    let raw6 = |protocol, len| scene::frame(ip6(Upper::Raw(protocol, vec![0; len])));
    vec![
        (Reason::VlanTooDeep, three_tags),
        (Reason::Ip4Version, patched(syn(), L3, &[0x65])),
        (Reason::Ip4HeaderLength, patched(syn(), L3, &[0x44])),
        (Reason::Ip4TotalLength, patched_ip(syn(), L3 + 2, &[0, 19])),
        (Reason::Ip4Checksum, patched(syn(), L3 + 11, &[syn()[L3 + 11] ^ 1])),
        (Reason::Ip6Version, patched(scene::frame(ip6(tcp(80, SYN))), L3, &[0x40])),
        (Reason::Ip6Extension, extended(Extension::Destination(0), &[3])),
        (Reason::Ip6Extension, extended(Extension::HopByHop(0), &[255])),
        (Reason::L4Truncated, raw(6, 19)),
        (Reason::L4Truncated, raw(17, 7)),
        (Reason::L4Truncated, raw(47, 3)),
        (Reason::L4Truncated, raw(50, 7)),
        (Reason::L4Truncated, raw(51, 11)),
        (Reason::L4Truncated, raw(1, 7)),
        (Reason::L4Truncated, raw6(58, 7)),
        (Reason::TcpDataOffset, patched(syn(), L4 + 12, &[0x40])),
        (Reason::TcpDataOffset, patched(syn(), L4 + 12, &[0x60])),
        (Reason::TcpSynFin, tcp4(80, SYN | FIN)),
        (Reason::TcpSynRst, tcp4(80, SYN | RST)),
        (Reason::UdpLength, patched(datagram(), L4 + 4, &[0, 7])),
        (Reason::UdpLength, patched(datagram(), L4 + 4, &[0, 39])),
    ]
}

fn each_class_hits_its_counter(build: Build) {
    let mut bench = Bench::new(build, 1);
    let tables = scene::tables(&bench.limits());
    bench.load(&tables);
    assert_eq!(bench.one(0, &tcp4(80, SYN)).reason, Reason::Map, "the frame is good before it is spoilt");
    for (reason, frame) in malformed() {
        let before = bench.counted(Verdict::Discard, reason);
        let event = bench.one(0, &frame);
        assert_eq!((event.verdict, event.reason, event.rule), (Verdict::Discard, reason, None));
        let after = bench.counted(Verdict::Discard, reason);
        assert_eq!((after.packets, after.bytes), (before.packets + 1, before.bytes + frame.len() as u64), "{reason}");
    }
    bench.compare_counters();
}

/// A good frame of `length` bytes, each different from the next.
fn good(length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..length - 42).map(|n| (n * 7 + length) as u8).collect();
    scene::frame(ip4(VIP4, udp(443, &payload)))
}

fn bad_frames_harm_no_neighbour(build: Build) {
    let mut bench = Bench::new(build, 2);
    let tables = scene::tables(&bench.limits());
    bench.load(&tables);
    let long = |length: usize| {
        let mut frame = good(1500);
        frame.resize(length, 0x33);
        frame
    };
    let mut bad: Vec<(Reason, Vec<u8>, bool)> = malformed().into_iter().map(|(r, f)| (r, f, false)).collect();
    for length in 0..60 {
        bad.push((Reason::Runt, tcp4(80, ACK)[..length].to_vec(), false));
    }
    for length in (60..200).chain([1500, 9022]) {
        bad.push((Reason::FrameError, long(length), true));
    }
    for length in [9023, 9024, 9026, 9027, 9030, 9080, 12_000] {
        bad.push((Reason::Oversize, long(length), false));
        bad.push((Reason::FrameError, long(length), true));
    }
    for length in (60..200).chain([1499]) {
        bad.push((Reason::Truncated, good(1500)[..length].to_vec(), false));
    }
    for (n, (reason, frame, error)) in bad.iter().enumerate() {
        // Neighbours of all lengths around the beats.
        let before = good(60 + n % 140);
        let after = good(60 + n * 13 % 140);
        bench.receive(0, &before);
        if *error {
            bench.receive_bad(0, frame)
        } else {
            bench.receive(0, frame)
        }
        bench.receive(0, &after);
        let events = bench.settle();
        let seen: Vec<_> = events.iter().map(|e| (e.reason, e.rule)).collect();
        assert_eq!(seen.len(), 3, "{reason}, {} bytes", frame.len());
        assert_eq!((seen[0], seen[2]), ((Reason::Map, Some(RULE)), (Reason::Map, Some(RULE))), "{reason}");
        assert_eq!(seen[1].0, *reason, "{} bytes", frame.len());
    }
    // The longest frames are good.
    for length in 9010..=9022 {
        let event = bench.one(0, &good(length));
        assert_eq!((event.reason, usize::from(event.length)), (Reason::Map, length));
    }
    // And all of them at once, back to back.
    for (_, frame, error) in &bad {
        if *error { bench.receive_bad(0, frame) } else { bench.receive(0, frame) }
    }
    assert_eq!(bench.settle().len(), bad.len());
    bench.compare_counters();
}
