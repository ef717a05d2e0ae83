// SPDX-License-Identifier: Apache-2.0
//! What heartbeats cost: time to build and to check one, and bytes per second on the wire.
//!
//! `cargo run --release -p hashgate-cluster --example heartbeat [-- --json]`

use hashgate_cluster::auth::{Auth, Keys};
use hashgate_cluster::frame::Codec;
use hashgate_cluster::membership;
use hashgate_cluster::message::{Body, Committed, Echo, Heartbeat, HostId, HostSet, Message, Phase};
use serde_json::json;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

const CLUSTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const MEMBERSHIP_BYTES: usize = 14 + membership::BYTES;
/// Runs of which the median counts, and frames in each.
const RUNS: usize = 101;
const FRAMES: usize = 200;

/// A heartbeat of a stable cluster.
fn heartbeat(members: u8, rules: usize) -> Message {
    let host = |id| HostId::new(id).expect("1..=32");
    let echo = |id: u8| Echo {
        host: host(id),
        incarnation: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(id.into()),
        sequence: 1_000_000 + u64::from(id),
        age_ms: 40,
        counted: true,
    };
    let body = Heartbeat {
        phase: Phase::Stable,
        period_ms: 80,
        tolerance: 5,
        hold_ms: 0,
        echoes: (2..=members).map(echo).collect(),
        view: HostSet(u32::MAX >> (32 - members)),
        committed: Some(Committed { epoch: 9, view_size: members, lowest: host(1), digest: 1 }),
        proposal: 2,
        epoch: 9,
        proposed_digest: 1,
        released: 2,
        rules: 3,
        staged: 0,
        activate: false,
        capacity: 100,
        draining: 0,
        disabled: 0,
        holding: 0,
        connections: vec![1; rules + 1],
    };
    Message { host: host(1), incarnation: 4, sequence: 5, body: Body::Heartbeat(Arc::new(body)) }
}

/// Median of the time that one call takes, in microseconds.
fn microseconds(mut call: impl FnMut()) -> f64 {
    let run = |_| {
        let start = Instant::now();
        (0..FRAMES).for_each(|_| call());
        start.elapsed().as_secs_f64() * 1e6 / FRAMES as f64
    };
    let mut runs: Vec<f64> = (0..RUNS).map(run).collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let keys = Keys::new(1, [(1, &[0x5a; 32][..])]).expect("the key is good");
    let keyed = Codec::new(CLUSTER, Auth::Keys(keys));
    let open = Codec::new(CLUSTER, Auth::None);
    let encode = |codec: &Codec, message: &Message| {
        codec.encode(message, [2; 6], [0xff; 6], CLUSTER).expect("the heartbeat is legal")
    };
    let bytes = |members, rules| encode(&keyed, &heartbeat(members, rules)).len();
    let message = heartbeat(32, 64);

    let (signed, plain) = (encode(&keyed, &message), encode(&open, &message));
    let build = microseconds(|| drop(black_box(encode(&keyed, black_box(&message)))));
    let check = microseconds(|| drop(black_box(keyed.decode(black_box(&signed)).expect("it is good"))));
    let build_open = microseconds(|| drop(black_box(encode(&open, black_box(&message)))));
    let check_open = microseconds(|| drop(black_box(open.decode(black_box(&plain)).expect("it is good"))));
    // All that all members send; the largest number of rules.
    let per_second = |members: u8, period: f64| {
        let extended = bytes(members, 64) as f64 * f64::from(members) / period;
        (extended, extended + MEMBERSHIP_BYTES as f64 * f64::from(members) / period)
    };

    if json {
        let rates = |members| {
            let rate = |period| {
                let (extended, both) = per_second(members, period);
                json!({ "extended": extended, "with_membership": both })
            };
            json!({ "default": rate(0.08), "compatible": rate(1.0) })
        };
        let result = json!({
            "build_microseconds": build,
            "check_microseconds": check,
            "heartbeat_bytes": { "hosts_16": bytes(16, 64), "hosts_32": bytes(32, 64) },
            "heartbeat_bytes_per_second": { "hosts_16": rates(16), "hosts_32": rates(32) },
        });
        println!("{result}");
        return;
    }
    println!("A heartbeat of 32 members with 64 rules, {} bytes (median of {RUNS} runs):", signed.len());
    println!("  build  {build:6.2} us with HMAC, {build_open:6.2} us without");
    println!("  check  {check:6.2} us with HMAC, {check_open:6.2} us without");
    println!("On the wire, all members together, 64 rules, frames without FCS:");
    println!("  members  frame     period  extended     with membership frames");
    for members in [16, 32] {
        for period in [0.08, 1.0] {
            let (extended, both) = per_second(members, period);
            let (frame, period, extended, both) = (bytes(members, 64), period * 1e3, extended / 1e3, both / 1e3);
            println!("  {members:7}  {frame:4} B  {period:5.0} ms  {extended:6.1} kB/s  {both:6.1} kB/s");
        }
    }
    println!("With one rule a frame has {} bytes for 16 members, {} for 32.", bytes(16, 1), bytes(32, 1));
    println!("Published for 16 members and a period of 1 s: 24 kB/s.");
}
