// SPDX-License-Identifier: Apache-2.0
//! Messages to test with: the largest, random ones, and a codec.

use hashgate_cluster::auth::{Auth, Keys};
use hashgate_cluster::frame::{Codec, MAX_ECHOES, MAX_MAPS, SEQUENCE_LIMIT};
use hashgate_cluster::message::{
    Body, Committed, Echo, Fetch, Heartbeat, Holdings, HostId, HostSet, MapIndex, MapPage, Message, PAGE_BUCKETS, Phase,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::net::Ipv4Addr;
use std::sync::Arc;

pub const CLUSTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub const HOST_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 21);
pub const SOURCE: [u8; 6] = [0x02, 0x01, 192, 0, 2, 10];
pub const BROADCAST: [u8; 6] = [0xff; 6];
/// Keys of the golden frames.
pub const KEYS: [(u8, &[u8]); 2] = [(1, b"golden key 1 of 2, not a secret!"), (7, b"golden key 2 of 2, not a secret!")];

pub fn auth(signing: u8) -> Auth {
    Auth::Keys(Keys::new(signing, KEYS).expect("the keys are good"))
}

pub fn codec() -> Codec {
    Codec::new(CLUSTER, auth(1))
}

pub fn encode(codec: &Codec, message: &Message) -> Vec<u8> {
    codec.encode(message, SOURCE, BROADCAST, HOST_IP).expect("the message is legal")
}

pub fn host(id: u8) -> HostId {
    HostId::new(id).expect("1..=32")
}

/// A generator whose seed is `HASHGATE_SEED` or new, and printed.
pub fn random() -> ChaCha8Rng {
    let seed = std::env::var("HASHGATE_SEED").map_or_else(
        |_| rand::random(),
        |text| text.parse().unwrap_or_else(|_| panic!("HASHGATE_SEED is \"{text}\": write a number, 0..2^64")),
    );
    println!("HASHGATE_SEED={seed} repeats this test");
    ChaCha8Rng::seed_from_u64(seed)
}

/// A heartbeat of somebody who has just started.
pub fn smallest() -> Heartbeat {
    Heartbeat {
        phase: Phase::Listening,
        period_ms: 1,
        tolerance: 2,
        hold_ms: 0,
        echoes: Vec::new(),
        view: HostSet(0),
        committed: None,
        proposal: 0,
        epoch: 0,
        proposed_digest: 0,
        released: 0,
        rules: 0,
        staged: 0,
        activate: false,
        capacity: 0,
        draining: 0,
        disabled: 0,
        holding: 0,
        connections: Vec::new(),
    }
}

/// A heartbeat with as much of everything as there can be: a member and a candidate of 32 hosts, 64 rules and the default.
pub fn largest() -> Heartbeat {
    let echo = |n: usize| Echo {
        host: host(n as u8 / 2 + 1),
        incarnation: u64::MAX - n as u64,
        sequence: SEQUENCE_LIMIT - 1 - n as u64,
        age_ms: u16::MAX - n as u16,
        counted: n.is_multiple_of(2),
    };
    let all = (1 << MAX_MAPS) - 1;
    Heartbeat {
        phase: Phase::Suspended,
        period_ms: u16::MAX,
        tolerance: u8::MAX,
        hold_ms: u32::MAX,
        echoes: (0..MAX_ECHOES).map(echo).collect(),
        view: HostSet(u32::MAX),
        committed: Some(Committed { epoch: u64::MAX, view_size: 32, lowest: host(32), digest: u64::MAX - 1 }),
        proposal: u64::MAX - 2,
        epoch: u64::MAX - 3,
        proposed_digest: u64::MAX - 4,
        released: u64::MAX - 5,
        rules: u64::MAX - 6,
        staged: u64::MAX - 7,
        activate: true,
        capacity: 1000,
        draining: all,
        disabled: all,
        holding: all,
        connections: (0..MAX_MAPS as u32).map(|n| u32::MAX - n).collect(),
    }
}

pub fn message(body: Body) -> Message {
    Message { host: host(3), incarnation: 0x0123_4567_89ab_cdef, sequence: 4711, body }
}

/// Any legal message.
pub fn random_message(random: &mut impl Rng) -> Message {
    let body = match random.random_range(0..8) {
        0 => Body::Fetch(Fetch::Index { from: random_host(random), digest: random.random() }),
        1 => Body::Fetch(Fetch::Page { from: random_host(random), crc: random.random(), first: random_first(random) }),
        2 => {
            let count = random.random_range(1..=MAX_MAPS);
            let maps = (0..count).map(|_| (random.random(), random.random())).collect();
            Body::MapIndex(MapIndex { digest: random.random(), maps })
        }
        3 => {
            let owner = |random: &mut _| HostId::new(Rng::random_range(random, 0..=32));
            Body::MapPage(MapPage {
                crc: random.random(),
                first: random_first(random),
                weights: (0..random.random_range(0..40))
                    .map(|_| (random_host(random), random.random_range(1..=65535)))
                    .collect(),
                owners: (0..PAGE_BUCKETS).map(|_| owner(random)).collect(),
            })
        }
        4 => Body::Holdings(Holdings {
            proposal: random.random(),
            rule: random.random_range(0..=64),
            buckets: (0..512).map(|_| random.random()).collect(),
        }),
        _ => Body::Heartbeat(Arc::new(random_heartbeat(random))),
    };
    let sequence = random.random_range(1..SEQUENCE_LIMIT);
    Message { host: random_host(random), incarnation: random.random(), sequence, body }
}

fn random_heartbeat(random: &mut impl Rng) -> Heartbeat {
    const PHASES: [Phase; 7] = [
        Phase::Listening,
        Phase::Converging,
        Phase::Idle,
        Phase::Ready,
        Phase::Stable,
        Phase::Excluded,
        Phase::Suspended,
    ];
    let mut echoes = Vec::new();
    for id in 1..=32 {
        for _ in 0..random.random_range(0..=2) {
            echoes.push(Echo {
                host: host(id),
                incarnation: random.random(),
                sequence: random.random_range(0..SEQUENCE_LIMIT),
                age_ms: random.random(),
                counted: random.random(),
            });
        }
    }
    let committed = random.random::<bool>().then(|| Committed {
        epoch: random.random(),
        view_size: random.random_range(1..=32),
        lowest: random_host(random),
        digest: random.random(),
    });
    let rules = random.random_range(0..=MAX_MAPS);
    Heartbeat {
        phase: PHASES[random.random_range(0..PHASES.len())],
        period_ms: random.random_range(1..=u16::MAX),
        tolerance: random.random_range(2..=u8::MAX),
        hold_ms: random.random(),
        echoes,
        view: HostSet(random.random()),
        committed,
        proposal: random.random(),
        epoch: random.random(),
        proposed_digest: random.random(),
        released: random.random(),
        rules: random.random(),
        staged: random.random(),
        activate: random.random(),
        capacity: random.random_range(0..=1000),
        draining: random.random_range(0..1 << MAX_MAPS),
        disabled: random.random_range(0..1 << MAX_MAPS),
        holding: random.random_range(0..1 << MAX_MAPS),
        connections: (0..rules).map(|_| random.random()).collect(),
    }
}

fn random_host(random: &mut impl Rng) -> HostId {
    host(random.random_range(1..=32))
}

fn random_first(random: &mut impl Rng) -> u16 {
    1024 * random.random_range(0..4_u16)
}
