// SPDX-License-Identifier: Apache-2.0
//! Bytes that nobody meant: golden frames and datagrams cut off at every byte, with every bit changed, spliced at random.
//! `HASHGATE_FUZZ=n` makes n random inputs instead of [`RANDOM`].

use crate::golden;
use crate::membership;
use crate::properties;
use crate::samples::*;
use hashgate_cluster::frame::Refusal;
use hashgate_cluster::membership::BYTES;
use rand::Rng;
use rand::seq::IndexedRandom;
use std::collections::BTreeMap;

const RANDOM: usize = 200_000;

type Property = fn(&[u8]) -> Result<(), Refusal>;

/// How often each result was met.
#[derive(Default)]
struct Met(BTreeMap<&'static str, usize>);

impl Met {
    fn try_one(&mut self, property: Property, bytes: &[u8]) {
        let result = std::panic::catch_unwind(|| property(bytes));
        let result = result.unwrap_or_else(|_| panic!("it was {}", golden::hex(bytes)));
        *self.0.entry(result.err().map_or("accepted", Refusal::name)).or_default() += 1;
    }

    /// A test that always ends at the same check tests only that one.
    fn assert_reached(&self, names: &[&str]) {
        println!("{:?}", self.0);
        for name in names {
            assert!(self.0.contains_key(name), "no input came to {name}: {:?}", self.0);
        }
    }
}

/// The golden frames or datagrams.
fn seeds(control: bool) -> Vec<Vec<u8>> {
    let all = golden::all().into_iter();
    all.filter(|it| it.name.starts_with("control_") == control).map(|it| it.bytes).collect()
}

/// Cut off at every byte, and each bit changed.
fn each_place(property: Property, seeds: &[Vec<u8>]) -> Met {
    let mut met = Met::default();
    for seed in seeds {
        met.try_one(property, seed);
        for length in 0..seed.len() {
            met.try_one(property, &seed[..length]);
        }
        let mut bytes = seed.clone();
        for bit in 0..8 * seed.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            met.try_one(property, &bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
    met
}

/// A few random changes to a seed.
fn mutated(random: &mut impl Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    const INTERESTING: [u8; 10] = [0, 1, 2, 0x1f, 0x20, 0x21, 0x40, 0x41, 0x7f, 0xff];
    let mut bytes = seeds.choose(random).expect("there are seeds").clone();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..bytes.len().max(1)).min(bytes.len());
        let other = seeds.choose(random).expect("there are seeds");
        let from = random.random_range(0..other.len());
        let length = random.random_range(0..64.min(other.len() - from).max(1));
        match random.random_range(0..7) {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_slice(&other[from..from + length]),
            2 => drop(bytes.splice(at..at, other[from..from + length].iter().copied())),
            3 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
            // The rest of another one, at the same place.
            4 => {
                bytes.truncate(at);
                bytes.extend(other.iter().skip(at));
            }
            5 => bytes.get_mut(at).into_iter().for_each(|byte| *byte = *INTERESTING.choose(random).expect("not empty")),
            _ => bytes.get_mut(at).into_iter().for_each(|byte| *byte = random.random()),
        }
    }
    bytes
}

fn at_random(property: Property, seeds: &[Vec<u8>]) -> Met {
    let count = std::env::var("HASHGATE_FUZZ").map_or(RANDOM, |text| text.parse().expect("HASHGATE_FUZZ is a number"));
    let mut random = random();
    let mut met = Met::default();
    for _ in 0..count {
        met.try_one(property, &mutated(&mut random, seeds));
    }
    met
}

const FRAME_RESULTS: [&str; 20] = [
    "accepted",
    "truncated",
    "ethertype",
    "signature",
    "version",
    "foreign_cluster",
    "structure",
    "unknown_body",
    "length",
    "too_many",
    "field_host",
    "field_sequence",
    "field_key",
    "field_reserved",
    "field_flags",
    "field_phase",
    "field_rule_mask",
    "field_echo_host",
    "field_owner",
    "field_first_bucket",
];
const CONTROL_RESULTS: [&str; 13] = [
    "accepted",
    "truncated",
    "signature",
    "version",
    "foreign_cluster",
    "kind",
    "length",
    "too_many",
    "field_host",
    "field_hosts",
    "field_reserved",
    "field_argument",
    "not_for_me",
];

#[test]
fn frames_at_each_place() {
    each_place(properties::frame, &seeds(false)).assert_reached(&FRAME_RESULTS);
}

#[test]
fn frames_at_random() {
    at_random(properties::frame, &seeds(false)).assert_reached(&FRAME_RESULTS);
}

#[test]
fn datagrams_at_each_place() {
    each_place(properties::control, &seeds(true)).assert_reached(&CONTROL_RESULTS);
}

#[test]
fn datagrams_at_random() {
    at_random(properties::control, &seeds(true)).assert_reached(&CONTROL_RESULTS);
}

#[test]
fn membership_frames_at_random() {
    let mut seeds = seeds(false);
    seeds.truncate(2);
    seeds.extend(vec![membership::full().encode(SOURCE, BROADCAST); 4]);
    assert_eq!(seeds[2].len(), 14 + BYTES);
    let reached = ["accepted", "truncated", "too_long", "ethertype", "signature"];
    at_random(properties::membership, &seeds).assert_reached(&reached);
}

/// With keys nothing that was changed is taken for a message: each bit of a heartbeat behind the Ethernet addresses matters.
#[test]
fn each_bit_is_signed() {
    let all = golden::all();
    let names = ["heartbeat_stable", "heartbeat_largest", "fetch_page"];
    for golden in all.iter().filter(|it| names.contains(&it.name)) {
        let codec = codec();
        let mut bytes = golden.bytes.clone();
        assert!(codec.decode(&bytes).is_ok());
        for bit in 8 * 12..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(codec.decode(&bytes).is_err(), "bit {bit} of {}", golden.name);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
