// SPDX-License-Identifier: Apache-2.0
//! The transmit edits of the model on hand-made frames.

use hashgate_model::{TxResult, transmit};
use hashgate_regs::defs::VipKind;
use hashgate_tables::{Mac, Tables, Vip};
use std::net::Ipv6Addr;

const CLUSTER: Mac = Mac([2, 0xbf, 192, 0, 2, 100]);
const MASK: Mac = Mac([2, 1, 192, 0, 2, 100]);
const STATION: Mac = Mac([2, 0, 0, 0, 0, 1]);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 100);
const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

fn tables() -> Tables {
    let mut tables = Tables::default();
    tables.settings.station_mac = STATION;
    tables.settings.cluster_mac = CLUSTER;
    tables.settings.mask_mac = MASK;
    tables.settings.mask_source = true;
    let vip = |addr, kind| Vip { zone: 0, addr, kind, id: 0 };
    tables.vips = vec![
        vip([192, 0, 2, 100].into(), VipKind::Vip),
        vip([192, 0, 2, 1].into(), VipKind::Dedicated),
        vip(VIP6.into(), VipKind::Vip),
    ];
    tables
}

fn ethernet(source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&[0xff; 6][..], &source.0, &ethertype.to_be_bytes(), payload].concat()
}

fn arp(operation: u8, sender: [u8; 4]) -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, operation];
    ethernet(STATION, 0x0806, &[&fixed[..], &STATION.0, &sender, &[0; 6], &[192, 0, 2, 200]].concat())
}

/// The ICMPv6 checksum over the pseudo-header and the message, computed from scratch.
fn icmp6_checksum(packet: &[u8]) -> u16 {
    let length = packet.len() as u32 - 40;
    let summed = [&packet[8..40], &length.to_be_bytes(), &[0, 0, 0, 58], &packet[40..]].concat();
    let mut sum: u32 = summed.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A neighbour-discovery message with correct checksum.
fn discovery(kind: u8, source: Ipv6Addr, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    if kind != 133 {
        message.extend(target.octets());
    }
    message.extend(options);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((message.len() as u16).to_be_bytes());
    packet.extend([58, 255]);
    packet.extend(source.octets());
    packet.extend(HOST6.octets());
    packet.extend(message);
    let checksum = icmp6_checksum(&packet);
    packet[42..44].copy_from_slice(&checksum.to_be_bytes());
    ethernet(STATION, 0x86dd, &packet)
}

fn link_layer(kind: u8) -> Vec<u8> {
    [&[kind, 1][..], &STATION.0].concat()
}

fn send(frame: &[u8]) -> TxResult {
    transmit(&tables(), 0, frame)
}

#[test]
fn lengths() {
    assert_eq!(send(&[0; 13]).frame, None);
    assert_eq!(send(&[1; 14]).frame.unwrap(), [&[1; 14][..], &[0; 46]].concat());
    assert_eq!(send(&[1; 60]).frame.unwrap(), [1; 60]);
    assert_eq!(send(&[1; 9022]).frame.unwrap(), [1; 9022]);
    assert_eq!(send(&[1; 9023]).frame, None);
}

#[test]
fn the_cluster_source_is_masked() {
    let result = send(&ethernet(CLUSTER, 0x0800, &[7; 50]));
    assert_eq!(result, TxResult { frame: Some(ethernet(MASK, 0x0800, &[7; 50])), masked: true, ..TxResult::default() });
    assert!(!send(&ethernet(STATION, 0x0800, &[7; 50])).masked);
    let mut unmasked = tables();
    unmasked.settings.mask_source = false;
    assert!(!transmit(&unmasked, 0, &ethernet(CLUSTER, 0x0800, &[7; 50])).masked);
}

#[test]
fn arp_of_a_vip_tells_the_cluster_mac() {
    for operation in [1, 2] {
        let result = send(&arp(operation, [192, 0, 2, 100]));
        assert!(result.arp && result.control);
        let frame = result.frame.unwrap();
        assert_eq!(frame[22..28], CLUSTER.0);
        assert_eq!((&frame[6..12], &frame[..22]), (&STATION.0[..], &arp(operation, [192, 0, 2, 100])[..22]));
    }
    let unchanged = |frame: Vec<u8>| {
        let result = send(&frame);
        assert!(!result.arp && result.control);
        assert_eq!(result.frame.unwrap()[..frame.len()], frame);
    };
    unchanged(arp(3, [192, 0, 2, 100]));
    unchanged(arp(1, [192, 0, 2, 1]));
    unchanged(arp(1, [192, 0, 2, 2]));
    for (at, value) in [(15, 6), (16, 9), (18, 8), (19, 16)] {
        let mut frame = arp(1, [192, 0, 2, 100]);
        frame[at] = value;
        unchanged(frame);
    }
    // In another zone the address is no VIP.
    let mut frame = arp(1, [192, 0, 2, 100]);
    frame.splice(12..12, [0x81, 0, 0, 9]);
    assert!(send(&frame).arp);
    let mut zones = tables();
    zones.zones.insert((0, 9), 1);
    assert!(!transmit(&zones, 0, &frame).arp);
    assert!(transmit(&zones, 1, &frame).arp);
}

#[test]
fn discovery_of_a_vip_tells_the_cluster_mac_with_a_correct_checksum() {
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let long = [[14, 2, 1, 2, 3, 4, 5, 6], [0; 8]].concat();
    for (kind, wanted) in [(133, 1), (135, 1), (136, 2)] {
        for before in [vec![], nonce.to_vec(), [&nonce[..], &nonce].concat(), long.clone()] {
            let options = [before.clone(), link_layer(wanted)].concat();
            let frame = discovery(kind, VIP6, VIP6, &options);
            let result = send(&frame);
            assert!(result.nd && result.control, "{kind} {before:?}");
            let out = result.frame.unwrap();
            let mac = 54 + if kind == 133 { 8 } else { 24 } + before.len() + 2;
            assert_eq!(out[mac..mac + 6], CLUSTER.0);
            let mut zeroed = out[14..].to_vec();
            zeroed[42..44].fill(0);
            assert_eq!(out[56..58], icmp6_checksum(&zeroed).to_be_bytes());
            let mut undone = out;
            undone[mac..mac + 6].copy_from_slice(&STATION.0);
            undone[56..58].copy_from_slice(&frame[56..58]);
            assert_eq!(undone, frame);
        }
    }
}

#[test]
fn discovery_that_is_left_alone() {
    let unchanged = |frame: Vec<u8>| {
        let result = send(&frame);
        assert!(!result.nd, "{frame:02x?}");
        assert_eq!(result.frame.unwrap()[..frame.len()], frame);
    };
    let (own, peer) = (link_layer(1), link_layer(2));
    unchanged(discovery(135, HOST6, VIP6, &own));
    unchanged(discovery(136, VIP6, HOST6, &peer));
    unchanged(discovery(135, VIP6, VIP6, &peer));
    unchanged(discovery(136, VIP6, VIP6, &own));
    unchanged(discovery(134, VIP6, VIP6, &own));
    unchanged(discovery(137, VIP6, VIP6, &peer));
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    unchanged(discovery(135, VIP6, VIP6, &[&nonce[..], &nonce, &nonce, &own].concat()));
    // A length of zero ends the options; a link-layer option of another length does not count, the next one does.
    unchanged(discovery(135, VIP6, VIP6, &[&[14, 0, 1, 2, 3, 4, 5, 6][..], &own].concat()));
    unchanged(discovery(135, VIP6, VIP6, &[&[1, 2, 1, 2, 3, 4, 5, 6][..], &[0; 8]].concat()));
    assert!(send(&discovery(135, VIP6, VIP6, &[&[1, 2, 1, 2, 3, 4, 5, 6][..], &[0; 8], &own].concat())).nd);
    // 78 + 42 = 120 is the last place inside the window.
    let filler = |units: u8| [vec![14, units], vec![0; 8 * usize::from(units) - 2]].concat();
    assert!(send(&discovery(135, VIP6, VIP6, &[filler(5), own.clone()].concat())).nd);
    unchanged(discovery(135, VIP6, VIP6, &[filler(6), own].concat()));
}

#[test]
fn control_frames() {
    assert!(send(&ethernet(STATION, 0x886f, &[0; 50])).control);
    assert!(!send(&ethernet(STATION, 0x0800, &[0; 50])).control);
    assert!(send(&discovery(134, HOST6, HOST6, &[])).control);
    assert!(!send(&discovery(128, HOST6, HOST6, &[])).control);
}

#[test]
fn checksum_corners_follow_the_formula() {
    // Worked by hand: HC' = ~(~HC + ~m + m'). With m = m' the sum is ~HC + 3 x 0xffff, which folds to ~HC, and for
    // HC = 0xffff, ~HC = 0, to 0xffff, so that HC' = 0.
    let mut same = tables();
    same.settings.cluster_mac = STATION;
    same.settings.mask_source = false;
    for (before, after) in [([0x12, 0x34], [0x12, 0x34]), ([0, 0], [0, 0]), ([0xff, 0xff], [0, 0])] {
        let mut frame = discovery(135, VIP6, VIP6, &link_layer(1));
        frame[56..58].copy_from_slice(&before);
        let result = transmit(&same, 0, &frame);
        assert!(result.nd);
        assert_eq!(result.frame.unwrap()[56..58], after);
    }
}
