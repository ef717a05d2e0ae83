// SPDX-License-Identifier: Apache-2.0
//! Extended frames: every message comes back as it was sent, and everything else is refused for the right reason.

use crate::samples::*;
use hashgate_cluster::auth::{Auth, Keys};
use hashgate_cluster::frame::{Codec, Field, FrameError, Kind, MAX_FRAME, Refusal, SEQUENCE_LIMIT};
use hashgate_cluster::message::{
    Body, Committed, Echo, Fetch, Heartbeat, Holdings, HostId, MapIndex, MapPage, Message, PAGE_BUCKETS,
};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Offsets in a frame.
const SIGNATURE: usize = 14;
const VERSION: usize = 18;
const HOST: usize = 22;
const CLUSTER_IP: usize = 26;
const ENVELOPE: usize = 34;
const KEY: usize = 54;
const BODY: usize = 58;
const VALUE: usize = 62;

/// Without authentication, so that a test can change any byte and see what is refused behind the code.
fn open() -> Codec {
    Codec::new(CLUSTER, Auth::None)
}

fn beat(change: impl FnOnce(&mut Heartbeat)) -> Message {
    let mut heartbeat = largest();
    change(&mut heartbeat);
    message(Body::Heartbeat(Arc::new(heartbeat)))
}

fn page() -> Message {
    let owners = (0..PAGE_BUCKETS).map(|n| HostId::new((n % 33) as u8)).collect();
    let weights = (1..=32).map(|n| (host(n), 65535 - u32::from(n))).collect();
    message(Body::MapPage(MapPage { crc: 1, first: 1024, weights, owners }))
}

/// What becomes of the frame of a message after a change of its bytes.
fn changed(message: &Message, change: impl FnOnce(&mut Vec<u8>)) -> Result<Message, Refusal> {
    let mut frame = encode(&open(), message);
    change(&mut frame);
    open().decode(&frame)
}

fn field<T>(field: Field) -> Result<T, Refusal> {
    Err(Refusal::Field(field))
}

#[test]
fn every_message_comes_back() {
    let mut random = random();
    for auth in [Auth::None, auth(1), auth(7)] {
        let codec = Codec::new(CLUSTER, auth);
        for _ in 0..2000 {
            let message = random_message(&mut random);
            let frame = encode(&codec, &message);
            assert!((60..=MAX_FRAME).contains(&frame.len()), "{} bytes: {message:?}", frame.len());
            assert_eq!(frame[..6], BROADCAST);
            assert_eq!(frame[6..12], SOURCE);
            assert_eq!(Kind::of(&frame), Some(Kind::Extended));
            assert_eq!(codec.decode(&frame), Ok(message));
        }
    }
}

#[test]
fn what_is_no_frame_of_this_cluster_is_refused() {
    let (codec, frame) = (codec(), encode(&codec(), &beat(|_| ())));
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = frame.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        codec.decode(&frame)
    };
    assert_eq!(with(12, &[0x88, 0x70]), Err(Refusal::EtherType));
    assert_eq!(with(SIGNATURE, &[0xbf]), Err(Refusal::Signature));
    assert_eq!(with(VERSION + 1, &[2]), Err(Refusal::Version));
    assert_eq!(with(VERSION + 2, &[1]), Err(Refusal::Version));
    assert_eq!(with(CLUSTER_IP, &[193]), Err(Refusal::ForeignCluster));
    assert_eq!(with(ENVELOPE, &[0x7f]), Err(Refusal::Structure));
    assert_eq!(with(ENVELOPE + 1, &[1]), Err(Refusal::Structure));
    assert_eq!(with(BODY, &[0x7f]), Err(Refusal::Structure));
    assert_eq!(with(BODY, &[0x86]), Err(Refusal::UnknownBody));
    assert_eq!(codec.decode(&[]), Err(Refusal::Truncated));
    assert_eq!(codec.decode(&[0; 1515]), Err(Refusal::TooLong));
    assert_eq!(codec.decode(&frame), Ok(beat(|_| ())));

    let other = Codec::new(Ipv4Addr::new(192, 0, 2, 11), auth(1));
    assert_eq!(other.decode(&frame), Err(Refusal::ForeignCluster));
}

#[test]
fn only_members_that_know_the_key_are_heard() {
    let message = beat(|_| ());
    let signed = encode(&codec(), &message);
    assert_eq!(open().decode(&signed), Err(Refusal::UnexpectedMac));
    assert_eq!(codec().decode(&encode(&open(), &message)), Err(Refusal::MissingMac));

    let only = |number, key: &[u8]| Codec::new(CLUSTER, Auth::Keys(Keys::new(number, [(number, key)]).unwrap()));
    assert_eq!(only(7, KEYS[1].1).decode(&signed), Err(Refusal::UnknownKey));
    assert_eq!(only(1, KEYS[1].1).decode(&signed), Err(Refusal::WrongMac));
    assert_eq!(only(1, KEYS[0].1).decode(&signed), Ok(message));

    // A shorter code is none, nor is a second one.
    let mut short = signed.clone();
    short.pop();
    let at = short.len() - 17;
    assert_eq!(short[at], 16);
    short[at] = 15;
    assert_eq!(codec().decode(&short), Err(Refusal::WrongMac));
    let mut twice = encode(&codec(), &page());
    let code = twice[twice.len() - 20..].to_vec();
    twice.extend(code);
    assert_eq!(codec().decode(&twice), Err(Refusal::Structure));
}

#[test]
fn a_key_is_changed_without_a_gap() {
    let (old, new) = (KEYS[0], KEYS[1]);
    let stage = |signing, keys: &[(u8, &'static [u8])]| {
        Codec::new(CLUSTER, Auth::Keys(Keys::new(signing, keys.iter().copied()).unwrap()))
    };
    // A member goes through these one after the other; any two members are at most one step apart.
    let steps = [stage(1, &[old]), stage(1, &[old, new]), stage(7, &[old, new]), stage(7, &[new])];
    for pair in steps.windows(2) {
        for (sender, receiver) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            assert!(receiver.decode(&encode(sender, &page())).is_ok());
        }
    }
    assert_eq!(steps[0].decode(&encode(&steps[2], &page())), Err(Refusal::UnknownKey));

    let mut codec = steps[0].clone();
    codec.set_auth(auth(7));
    assert!(steps[3].decode(&encode(&codec, &page())).is_ok());
}

#[test]
fn additions_of_later_versions_are_skipped() {
    let message = message(Body::Fetch(Fetch::Index { from: host(1), digest: 5 }));
    for auth in [Auth::None, auth(1)] {
        let now = Codec::new(CLUSTER, auth);
        let later = now.clone().as_later(1, &[(0x90, b"what is not known here"), (0xfe, b""), (0x90, b"")]);
        let frame = encode(&later, &message);
        assert!(frame.len() > encode(&now, &message).len());
        assert_eq!(now.decode(&frame), Ok(message.clone()));
        assert_eq!(later.decode(&encode(&now, &message)), Ok(message.clone()));
    }
    let long = codec().as_later(1, &[(0x90, &[0; 40])]);
    let error = long.encode(&beat(|_| ()), SOURCE, BROADCAST, HOST_IP);
    assert_eq!(error, Err(FrameError::TooLong(1522)));
}

/// The limits that a message can exceed: refused when sent, and when received from somebody who sends it nevertheless.
#[test]
fn fields_are_within_their_limits() {
    let refused = |message: Message, field: Field| {
        let error = codec().encode(&message, SOURCE, BROADCAST, HOST_IP).expect_err("it is beyond a limit");
        assert!(matches!(error, FrameError::Field { field: found, .. } if found == field), "{error}");
        assert!(error.to_string().contains(field.limit()), "{error}");
    };
    let sequence = |sequence| Message { sequence, ..page() };
    refused(sequence(0), Field::Sequence);
    refused(sequence(SEQUENCE_LIMIT), Field::Sequence);
    refused(beat(|it| it.period_ms = 0), Field::Period);
    refused(beat(|it| it.tolerance = 1), Field::Tolerance);
    refused(beat(|it| it.capacity = 1001), Field::Capacity);
    let committed = |view_size| Some(Committed { epoch: 1, view_size, lowest: host(1), digest: 1 });
    refused(beat(|it| it.committed = committed(0)), Field::CommittedView);
    refused(beat(|it| it.committed = committed(33)), Field::CommittedView);
    refused(beat(|it| it.draining = 1 << 65), Field::RuleMask);
    refused(beat(|it| it.disabled = 1 << 127), Field::RuleMask);
    refused(beat(|it| it.holding = 1 << 65), Field::RuleMask);
    let echo = Echo { host: host(1), incarnation: 1, sequence: 1, age_ms: 1, counted: true };
    refused(beat(|it| it.echoes.push(echo)), Field::Echoes);
    refused(beat(|it| it.echoes = vec![echo; 3]), Field::EchoHost);
    refused(beat(|it| it.echoes[9].sequence = SEQUENCE_LIMIT), Field::EchoSequence);
    refused(beat(|it| it.connections.push(0)), Field::Connections);

    let fetch = |first| message(Body::Fetch(Fetch::Page { from: host(1), crc: 1, first }));
    refused(fetch(512), Field::FirstBucket);
    refused(fetch(4096), Field::FirstBucket);
    let index = |count| message(Body::MapIndex(MapIndex { digest: 1, maps: vec![(1, 1); count] }));
    refused(index(0), Field::Maps);
    refused(index(66), Field::Maps);
    let page = |change: &dyn Fn(&mut MapPage)| {
        let Message { body: Body::MapPage(mut it), .. } = page() else { unreachable!("it is a page") };
        change(&mut it);
        message(Body::MapPage(it))
    };
    refused(page(&|it| it.first = 1), Field::FirstBucket);
    refused(page(&|it| it.owners.truncate(1023)), Field::Owners);
    refused(page(&|it| it.owners.push(None)), Field::Owners);
    refused(page(&|it| it.weights.extend([(host(5), 0)])), Field::Weight);
    refused(page(&|it| it.weights.extend([(host(5), 65536)])), Field::Weight);
    let holdings = |rule, bytes| message(Body::Holdings(Holdings { proposal: 1, rule, buckets: vec![0; bytes] }));
    refused(holdings(65, 512), Field::Rule);
    refused(holdings(64, 511), Field::Buckets);
    refused(holdings(64, 513), Field::Buckets);
}

#[test]
fn fields_of_received_frames_are_checked() {
    let heartbeat = beat(|_| ());
    let at = |offset: usize, byte: u8| changed(&heartbeat, |frame| frame[offset] = byte);
    assert_eq!(at(HOST, 0), field(Field::Host));
    assert_eq!(at(HOST, 33), field(Field::Host));
    assert_eq!(at(HOST + 1, 1), field(Field::Host));
    assert_eq!(at(KEY, 1), field(Field::Key));
    assert_eq!(at(KEY + 1, 1), field(Field::Reserved));
    assert_eq!(at(KEY - 3, 1), field(Field::Sequence));
    assert_eq!(changed(&heartbeat, |frame| frame[KEY - 8..KEY].fill(0)), field(Field::Sequence));
    assert_eq!(at(VALUE, 7), field(Field::Phase));
    assert_eq!(at(VALUE + 1, 4), field(Field::Flags));
    assert_eq!(at(VALUE + 1, 0), field(Field::Committed));
    assert_eq!(at(VALUE + 2, 1), field(Field::Tolerance));
    assert_eq!(at(VALUE + 3, 65), Err(Refusal::TooMany));
    assert_eq!(at(VALUE + 3, 63), Err(Refusal::Length));
    assert_eq!(changed(&heartbeat, |frame| frame[VALUE + 4..VALUE + 6].fill(0)), field(Field::Period));
    assert_eq!(at(VALUE + 7, 4), field(Field::Capacity));
    assert_eq!(at(VALUE + 32, 0), field(Field::CommittedView));
    assert_eq!(at(VALUE + 32, 33), field(Field::CommittedView));
    assert_eq!(at(VALUE + 33, 0), field(Field::CommittedLowest));
    assert_eq!(at(VALUE + 34, 66), Err(Refusal::TooMany));
    assert_eq!(at(VALUE + 35, 1), field(Field::Reserved));
    for end in [92, 101, 110] {
        assert_eq!(at(VALUE + end, 2), field(Field::RuleMask));
    }
    assert_eq!(at(VALUE + 111, 1), field(Field::Reserved));
    assert_eq!(at(VALUE + 112, 0x80), field(Field::EchoHost));
    assert_eq!(at(VALUE + 112, 0x80 | 33), field(Field::EchoHost));
    assert_eq!(at(VALUE + 112, 0x80 | 2), field(Field::EchoHost));

    let fetch = message(Body::Fetch(Fetch::Index { from: host(4), digest: 5 }));
    assert_eq!(changed(&fetch, |frame| frame[VALUE] = 2), field(Field::Fetch));
    assert_eq!(changed(&fetch, |frame| frame[VALUE] = 1), Err(Refusal::Length));
    assert_eq!(changed(&fetch, |frame| frame[VALUE + 1] = 33), field(Field::FetchFrom));
    assert_eq!(changed(&fetch, |frame| frame[VALUE + 2] = 1), field(Field::Reserved));
    let fetch = message(Body::Fetch(Fetch::Page { from: host(4), crc: 5, first: 2048 }));
    assert_eq!(changed(&fetch, |frame| frame[VALUE + 2] = 1), field(Field::FirstBucket));

    let index = message(Body::MapIndex(MapIndex { digest: 1, maps: vec![(1, 1); 65] }));
    assert_eq!(changed(&index, |frame| frame[VALUE + 8] = 66), Err(Refusal::TooMany));
    assert_eq!(changed(&index, |frame| frame[VALUE + 8] = 64), Err(Refusal::Length));
    let page = page();
    assert_eq!(changed(&page, |frame| frame[VALUE + 5] = 1), field(Field::FirstBucket));
    assert_eq!(changed(&page, |frame| frame[VALUE + 8] = 0xfe), Err(Refusal::Length));
    assert_eq!(changed(&page, |frame| frame[VALUE + 12] = 33), field(Field::Owner));
    assert_eq!(changed(&page, |frame| frame[VALUE + 1036..][..2].fill(0)), field(Field::Weight));
    let holdings = message(Body::Holdings(Holdings { proposal: 1, rule: 64, buckets: vec![1; 512] }));
    assert_eq!(changed(&holdings, |frame| frame[VALUE + 8] = 65), field(Field::Rule));
}

/// Counts that say more than there is, though not more than allowed.
#[test]
fn counts_are_not_believed() {
    let short = |message: &Message, offset: usize, byte: u8| changed(message, |frame| frame[VALUE + offset] = byte);
    let few = beat(|it| {
        it.echoes.truncate(3);
        it.connections.truncate(3);
    });
    assert_eq!(short(&few, 3, 4), Err(Refusal::Length));
    assert_eq!(short(&few, 34, 4), Err(Refusal::Length));
    let index = message(Body::MapIndex(MapIndex { digest: 1, maps: vec![(1, 1); 3] }));
    assert_eq!(short(&index, 8, 4), Err(Refusal::Length));
    let Message { body: Body::MapPage(mut it), .. } = page() else { unreachable!("it is a page") };
    it.weights.clear();
    let bare = message(Body::MapPage(it));
    assert_eq!(short(&bare, 8, 1), Err(Refusal::Length));
}

#[test]
fn parts_come_once_and_have_their_length() {
    let fetch = message(Body::Fetch(Fetch::Index { from: host(4), digest: 5 }));
    assert_eq!(changed(&fetch, |frame| frame.extend_from_within(BODY..)), Err(Refusal::Structure));
    assert_eq!(changed(&fetch, |frame| frame.extend_from_within(ENVELOPE..BODY)), Err(Refusal::Structure));
    let longer = |at: usize, end: usize| {
        changed(&fetch, |frame| {
            frame[at + 2] += 1;
            frame.insert(end, 0);
        })
    };
    assert_eq!(longer(ENVELOPE, BODY), Err(Refusal::Length));
    assert_eq!(longer(BODY, VALUE + 12), Err(Refusal::Length));
    // A body without an envelope before it.
    assert_eq!(changed(&fetch, |frame| drop(frame.drain(ENVELOPE..BODY))), Err(Refusal::Structure));
}

/// Frames that are cut off anywhere, or go on, or whose parts say other lengths.
#[test]
fn lengths_are_not_believed() {
    let heartbeat = beat(|_| ());
    let open_frame = (open(), encode(&open(), &heartbeat), None);
    let signed = |message: &Message| {
        let frame = encode(&codec(), message);
        let before_code = frame.len() - 20;
        (codec(), frame, Some(before_code))
    };
    for (codec, frame, before_code) in [open_frame, signed(&heartbeat), signed(&page())] {
        for length in 0..frame.len() {
            let expected = if Some(length) == before_code { Refusal::MissingMac } else { Refusal::Truncated };
            assert_eq!(codec.decode(&frame[..length]), Err(expected), "{length} of {} bytes", frame.len());
        }
        for value in [0_u16, 1, 19, 21, 0x7fff, 0xffff] {
            for offset in [ENVELOPE + 2, BODY + 2] {
                let mut frame = frame.clone();
                frame[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
                assert!(codec.decode(&frame).is_err(), "length {value} at {offset}");
            }
        }
        for more in 1..8 {
            let mut frame = frame.clone();
            frame.resize(frame.len() + more, 0);
            assert!(codec.decode(&frame).is_err(), "{more} bytes more");
        }
    }
}
