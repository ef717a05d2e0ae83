// SPDX-License-Identifier: Apache-2.0
//! Invariant 7: nothing that a member can be told makes it panic, say without end, or ask for no rest.

use hashgate_cluster::Cluster;
use hashgate_cluster::api::{Action, Event, Settings};
use hashgate_cluster::message::Message;
use hashgate_cluster_sim::nonsense::body;
use hashgate_cluster_sim::scenario::{Scenario, host};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MEMBERS: u8 = 5;
const MESSAGES: usize = 3000;
/// Actions of one step: far more than any event needs, far fewer than an endless list.
const ACTIONS: usize = 400;

#[test]
fn any_messages() {
    for seed in 0..30u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let quiet = Scenario::quiet(seed, MEMBERS);
        let settings = Settings {
            host: host(1),
            incarnation: 77,
            period: quiet.period,
            tolerance: quiet.tolerance,
            lease: quiet.silence() * 9 / 10,
            quorum: None,
            rules: quiet.rules,
        };
        let mut now = 1_000_000_000;
        let (mut cluster, _) = Cluster::new(settings, now, None);
        // Few incarnations, so that some of what is said counts, and senders that echo me.
        for sequence in 0..MESSAGES {
            now += rng.random_range(0..20_000_000u64);
            let mut said = body(MEMBERS, &mut rng);
            if let hashgate_cluster::message::Body::Heartbeat(beat) = &mut said
                && rng.random()
            {
                let beat = std::sync::Arc::make_mut(beat);
                beat.echoes.truncate(60);
                beat.echoes.push(hashgate_cluster::message::Echo {
                    host: host(1),
                    incarnation: 77,
                    sequence: rng.random_range(0..100),
                    age_ms: rng.random_range(0..1000),
                    counted: true,
                });
            }
            let message = Message {
                host: host(rng.random_range(1..=MEMBERS)),
                incarnation: rng.random_range(0..3),
                sequence: if rng.random_range(0..10) == 0 { rng.random() } else { sequence as u64 },
                body: said,
            };
            let event = if rng.random_range(0..4) == 0 { Event::Tick } else { Event::Message(message) };
            let actions = cluster.step(now, event);
            assert!(actions.len() < ACTIONS, "seed {seed}: {} actions", actions.len());
            for action in actions {
                let answer = match action {
                    Action::Commit(commit) => Event::Committed(commit.number),
                    Action::HandBindings(proposal) => Event::BindingsHanded(proposal),
                    _ => continue,
                };
                cluster.step(now, answer);
            }
            // A deadline that is always past would be a loop without rest.
            let mut turns = 0;
            while cluster.deadline() <= now {
                cluster.step(now, Event::Tick);
                turns += 1;
                assert!(turns < 10, "seed {seed}: the deadline stays in the past");
            }
        }
    }
}
