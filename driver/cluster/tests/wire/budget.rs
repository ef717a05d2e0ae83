// SPDX-License-Identifier: Apache-2.0
//! Every legal message fits one frame: the byte budget of `docs/heartbeat.md` is the code's, and that of the largest frames.

use crate::samples::*;
use hashgate_cluster::auth::MAC_BYTES;
use hashgate_cluster::frame::{
    CONNECTIONS_BYTES, ECHO_BYTES, ENVELOPE_BYTES, ETHERNET_BYTES, HEADER_BYTES, HEARTBEAT_BYTES, MAX_ECHOES,
    MAX_FRAME, MAX_MAPS, TLV_BYTES,
};
use hashgate_cluster::message::{Body, Holdings, HostId, MapIndex, MapPage, PAGE_BUCKETS};
use std::sync::Arc;

const PAGE: &str = include_str!("../../../../docs/heartbeat.md");

/// Rows of the first table behind a heading of the page, as cells.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the page has the heading");
    let lines = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    lines.skip(2).map(cells).collect()
}

#[test]
fn the_budget_is_that_of_the_page() {
    let parts = [
        ETHERNET_BYTES,
        HEADER_BYTES,
        TLV_BYTES + ENVELOPE_BYTES,
        TLV_BYTES + HEARTBEAT_BYTES,
        MAX_ECHOES * ECHO_BYTES,
        MAX_MAPS * CONNECTIONS_BYTES,
        TLV_BYTES + MAC_BYTES,
    ];
    let sum: usize = parts.iter().sum();
    let expected: Vec<_> = parts.into_iter().chain([sum, MAX_FRAME - sum]).collect();
    let rows = table("Byte budget");
    let found: Vec<usize> = rows.iter().map(|row| row.last().unwrap().parse().expect("bytes come last")).collect();
    assert_eq!(found, expected, "{rows:?}");

    let frame = encode(&codec(), &message(Body::Heartbeat(Arc::new(largest()))));
    assert_eq!(frame.len(), sum);
}

#[test]
fn the_other_bodies_are_those_of_the_page() {
    let owners = vec![Some(host(32)); PAGE_BUCKETS];
    let weights = (1..=32).filter_map(HostId::new).map(|id| (id, 65535)).collect();
    let largest = [
        Body::Heartbeat(Arc::new(largest())),
        Body::Fetch(hashgate_cluster::message::Fetch::Index { from: host(1), digest: 1 }),
        Body::MapIndex(MapIndex { digest: 1, maps: vec![(1, 1); MAX_MAPS] }),
        Body::MapPage(MapPage { crc: 1, first: 0, weights, owners }),
        Body::Holdings(Holdings { proposal: 1, rule: 64, buckets: vec![0xff; 512] }),
    ];
    let found: Vec<(&str, usize)> = table("Largest frames")
        .iter()
        .map(|row| (row[0], row.last().unwrap().parse().expect("bytes come last")))
        .collect();
    let names = ["heartbeat", "fetch", "map index", "map page", "holdings"];
    let expected: Vec<_> = names.into_iter().zip(largest.map(|body| encode(&codec(), &message(body)).len())).collect();
    assert_eq!(found, expected);
    assert!(expected.iter().all(|(_, bytes)| *bytes <= MAX_FRAME));
}
