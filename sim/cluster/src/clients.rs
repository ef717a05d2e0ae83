// SPDX-License-Identifier: Apache-2.0
//! Clients: connections that open, transfer, close, and use their ports again.

use crate::nic::{Kind, Packet};
use crate::world::SECOND;
use hashgate_cluster::api::Time;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

const MS: Time = 1_000_000;
/// First time after which an unanswered packet is sent again; it doubles up to the second.
const RETRY: (Time, Time) = (200 * MS, 1600 * MS);

/// What a client is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Sends SYN until it is answered.
    Opening,
    /// Connected to this host.
    Open(u8),
    /// Sends FIN to it until it is answered.
    Ending(u8),
}

/// A client and its connections, one after the other, all with the same addresses and ports.
#[derive(Clone, Debug)]
pub struct Client {
    /// The rule and bucket of its packets, and its number.
    pub packet: Packet,
    udp: bool,
    /// Between packets, ns.
    interval: Time,
    /// Packets of a connection; a long download has no end.
    length: Option<u32>,
    left: u32,
    tries: u32,
    /// What it is about.
    pub phase: Phase,
    /// When its connection began.
    pub since: Time,
}

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// None.
    Silence,
    /// This host has it.
    Taken(u8),
    /// A host that does not know the connection has refused it; so the connection is over.
    Refused,
    /// The same as `Taken`, but the answer was lost.
    Lost(u8),
}

impl Client {
    /// One of many.
    pub fn new(number: u32, rules: &[u64], rng: &mut ChaCha8Rng) -> Client {
        let udp = rng.random_range(0..10) == 0;
        let rule = *rules.choose(rng).expect("the default host's is there");
        let download = number.is_multiple_of(4);
        Client {
            packet: Packet { flow: number, rule, bucket: rng.random_range(0..4096), kind: Kind::Syn },
            udp,
            interval: if download { rng.random_range(100..400) * MS } else { rng.random_range(5..100) * MS },
            length: (!download).then(|| rng.random_range(1..20)),
            left: 0,
            tries: 0,
            phase: Phase::Opening,
            since: 0,
        }
    }

    /// The packet that it sends now.
    pub fn send(&self) -> Packet {
        let kind = match self.phase {
            _ if self.udp => Kind::Udp,
            Phase::Opening => Kind::Syn,
            Phase::Open(_) => Kind::Data,
            Phase::Ending(_) => Kind::Fin,
        };
        Packet { kind, ..self.packet }
    }

    /// What the answer means to it; when it sends again.
    pub fn answered(&mut self, answer: Answer, now: Time, rng: &mut ChaCha8Rng) -> Time {
        match (self.phase, answer) {
            (_, Answer::Silence | Answer::Lost(_)) => {
                let wait = (RETRY.0 << self.tries.min(3)).min(RETRY.1);
                self.tries += 1;
                return now + wait;
            }
            (_, Answer::Refused) => {
                // A client that was refused takes another port.
                self.packet.flow += 1 << 16;
                self.packet.bucket = rng.random_range(0..4096);
                self.phase = Phase::Opening;
                self.tries = 0;
                return now + 100 * MS + rng.random_range(0..SECOND);
            }
            (Phase::Opening, Answer::Taken(host)) => {
                self.phase = Phase::Open(host);
                self.since = now;
                self.left = self.length.unwrap_or(u32::MAX);
            }
            (Phase::Open(host), Answer::Taken(_)) => {
                self.left -= 1;
                if self.left == 0 {
                    self.phase = Phase::Ending(host);
                }
            }
            (Phase::Ending(_), Answer::Taken(_)) => {
                self.phase = Phase::Opening;
                self.tries = 0;
                // Ports come back soon, some before the host has forgotten them.
                return now + rng.random_range(10 * MS..3 * SECOND);
            }
        }
        self.tries = 0;
        now + self.interval / 2 + rng.random_range(0..self.interval)
    }

    /// Whether it begins a connection (and does not try again).
    pub fn is_new(&self) -> bool {
        self.phase == Phase::Opening && self.tries == 0
    }

    /// Whether it is UDP.
    pub fn is_udp(&self) -> bool {
        self.udp
    }
}
