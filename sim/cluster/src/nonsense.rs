// SPDX-License-Identifier: Apache-2.0
//! Messages that nobody sent, or sent long ago.

use crate::scenario::host;
use hashgate_cluster::api::BITMAP;
use hashgate_cluster::message::{
    Body, Committed, Echo, Fetch, Heartbeat, Holdings, HostSet, MapIndex, MapPage, Message, PAGE_BUCKETS, Phase,
};
use rand::Rng;
use rand::seq::IndexedRandom;
use std::sync::Arc;

/// Messages that are kept.
const KEPT: usize = 64;

/// Makes them.
#[derive(Clone, Debug, Default)]
pub struct Nonsense {
    old: Vec<Message>,
}

impl Nonsense {
    /// Keeps some of the messages that are sent, old ones too.
    pub fn remember(&mut self, message: &Message, rng: &mut impl Rng) {
        if self.old.len() < KEPT {
            self.old.push(message.clone());
        } else if rng.random_range(0..32) == 0 {
            let place = rng.random_range(0..KEPT);
            self.old[place] = message.clone();
        }
    }

    /// One of them: a replay, or one of an incarnation that there is not.
    pub fn make(&self, members: u8, rng: &mut impl Rng) -> Message {
        match self.old.choose(rng) {
            Some(message) if rng.random() => message.clone(),
            _ => Message {
                host: host(rng.random_range(1..=(members + 1).min(32))),
                incarnation: rng.random(),
                sequence: rng.random_range(1..1000),
                body: body(members, rng),
            },
        }
    }
}

/// Anything that the types allow.
pub fn body(members: u8, rng: &mut impl Rng) -> Body {
    let someone = |rng: &mut _| host(Rng::random_range(rng, 1..=members));
    match rng.random_range(0..8) {
        0 => Body::Fetch(Fetch::Index { from: someone(rng), digest: rng.random() }),
        1 => Body::Fetch(Fetch::Page { from: someone(rng), crc: rng.random(), first: rng.random() }),
        2 => Body::MapIndex(MapIndex {
            digest: rng.random(),
            maps: (0..rng.random_range(0..66)).map(|_| (rng.random(), rng.random())).collect(),
        }),
        3 => Body::MapPage(MapPage {
            crc: rng.random(),
            first: rng.random(),
            weights: (0..rng.random_range(0..4)).map(|_| (someone(rng), rng.random())).collect(),
            owners: (0..*[0, 1, PAGE_BUCKETS, PAGE_BUCKETS + 1].choose(rng).expect("not empty"))
                .map(|_| rng.random::<bool>().then(|| someone(rng)))
                .collect(),
        }),
        4 => Body::Holdings(Holdings {
            proposal: rng.random(),
            rule: rng.random(),
            buckets: vec![rng.random(); *[0, 1, BITMAP, BITMAP + 1].choose(rng).expect("not empty")],
        }),
        _ => Body::Heartbeat(Arc::new(heartbeat(members, rng))),
    }
}

fn heartbeat(members: u8, rng: &mut impl Rng) -> Heartbeat {
    use Phase::{Converging, Excluded, Idle, Listening, Ready, Stable, Suspended};
    let someone = |rng: &mut _| host(Rng::random_range(rng, 1..=members));
    let phases = [Listening, Converging, Idle, Ready, Stable, Excluded, Suspended];
    Heartbeat {
        phase: *phases.choose(rng).expect("not empty"),
        period_ms: rng.random(),
        tolerance: rng.random(),
        hold_ms: if rng.random() { 0 } else { rng.random() },
        echoes: (0..rng.random_range(0..65))
            .map(|_| Echo {
                host: someone(rng),
                incarnation: rng.random(),
                sequence: rng.random(),
                age_ms: rng.random(),
                counted: rng.random(),
            })
            .collect(),
        view: HostSet(rng.random()),
        committed: rng.random::<bool>().then(|| Committed {
            epoch: rng.random(),
            view_size: rng.random(),
            lowest: someone(rng),
            digest: rng.random(),
        }),
        proposal: rng.random(),
        epoch: if rng.random() { u64::MAX } else { rng.random() },
        proposed_digest: rng.random(),
        released: rng.random(),
        rules: if rng.random() { 0x1001 } else { rng.random() },
        staged: rng.random(),
        activate: rng.random(),
        capacity: rng.random(),
        draining: rng.random(),
        disabled: rng.random(),
        holding: rng.random(),
        connections: (0..rng.random_range(0..66)).map(|_| rng.random()).collect(),
    }
}
