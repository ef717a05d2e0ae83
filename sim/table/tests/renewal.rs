// SPDX-License-Identifier: Apache-2.0
//! A packet renews a binding in the last cycle of its life, while the host looks for it. Whatever the host has seen by then, it finds the
//! binding: it lives in every cycle.

use hashgate_table_sim::{Bench, HostReply, Key, LATENCY, Packet, Record, TableIn, key, state};

const SESSIONS: u32 = 512;
/// Cycles of a round, longer than any operation of the host takes without traffic.
const ROUND: usize = 256;
/// Cycle in which the packet enters.
const RENEWED: usize = 96;
/// The packet has its answer, by the clock of the cycle before, and writes: the first cycle in which the binding would have ended.
const TICK: usize = RENEWED + LATENCY as usize;

/// The binding is made once, lives for one tick and is renewed in each of them.
struct Scene {
    bench: Bench,
    key: Key,
    slow_now: u16,
}

impl Scene {
    fn new() -> Scene {
        let bench = Bench::new(SESSIONS, 1, [0x1234_5678, 0x9abc_def0, 0x0fed_cba9, 0x8765_4321], true);
        let mut scene = Scene { bench, key: key(false, 0, 0x0a00_0001, 0x0a00_0002, (1000, 80), 6), slow_now: 0 };
        let created = scene.packet(2, 0);
        let mut input = [TableIn::default(); ROUND];
        input[0] = created;
        scene.bench.run(&input).expect("a binding");
        scene
    }

    /// A packet in this tick, with a record that ends in the next one.
    fn packet(&self, op: u8, slow_now: u16) -> TableIn {
        let record =
            Record { state: state::ESTABLISHED, target: 7, rule: 1, bucket: 9, fresh: false, expires: slow_now + 1 };
        TableIn { slow_now, ..Packet { key: self.key, op, only_dead: op == 2, flag: false, record }.input() }
    }

    /// The host asks in cycle `asked`, and the packet renews the binding at [`TICK`].
    fn round(&mut self, operation: u8, session: u32, asked: usize) -> HostReply {
        let mut input: Vec<_> = (0..ROUND)
            .map(|at| TableIn { slow_now: self.slow_now + u16::from(at >= TICK), ..TableIn::default() })
            .collect();
        let mut renewing = self.packet(1, self.slow_now + 1);
        renewing.slow_now = self.slow_now;
        input[RENEWED] = renewing;
        input[asked].host_start = 1 + operation;
        input[asked].host_key = self.key;
        input[asked].host_session = session;
        self.slow_now += 1;
        self.bench.run(&input).expect("every answer is right");
        assert!(!self.bench.host_waits, "asked in cycle {asked}: no answer");
        self.bench.host_reply.expect("answered")
    }
}

#[test]
fn the_host_finds_what_is_renewed_at_the_last_moment() {
    let mut scene = Scene::new();
    let session = scene.round(0, 0, 0).session;
    for asked in 0..=TICK {
        let reply = scene.round(0, 0, asked);
        assert_eq!((reply.ok, reply.session), (true, session), "found by key, asked in {asked}");
        let reply = scene.round(3, session, asked);
        assert_eq!((reply.ok, reply.session), (true, session), "found by walk, asked in {asked}");
    }
}
