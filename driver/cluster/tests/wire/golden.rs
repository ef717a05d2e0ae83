// SPDX-License-Identifier: Apache-2.0
//! Golden frames: in `tests/golden`, NAME.hex is a frame or datagram and NAME.fields what is in it, as the dissector that we ship names it.
//! Three must agree: what we write, what we read, what the dissector shows. `HASHGATE_BLESS=1` writes the files anew, and the seeds of the
//! fuzzer, which are the same bytes.

use crate::control::datagrams;
use crate::samples::*;
use crate::tshark;
use hashgate_cluster::auth::Auth;
use hashgate_cluster::control::PORT;
use hashgate_cluster::frame::Codec;
use hashgate_cluster::message::{
    Body, Committed, Echo, Fetch, Heartbeat, Holdings, HostId, HostSet, MapIndex, MapPage, Message, PAGE_BUCKETS, Phase,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{LowerHex, Write};
use std::path::Path;
use std::sync::Arc;

/// A frame, or a datagram, with its fields.
pub struct Golden {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub fields: tshark::Fields,
}

/// Type and value of what a later version adds to a golden frame.
const LATER: (u8, &[u8]) = (0x90, b"later");

/// Name, key (0: none), whether a later version wrote it, and message.
fn messages() -> Vec<(&'static str, u8, bool, Message)> {
    let beat = |heartbeat| message(Body::Heartbeat(Arc::new(heartbeat)));
    let echo =
        |id, incarnation, sequence, age_ms, counted| Echo { host: host(id), incarnation, sequence, age_ms, counted };
    // Hosts 1, 3 and 7; a second start of host 7 is a candidate, host 12 a former member.
    let stable = Heartbeat {
        phase: Phase::Stable,
        period_ms: 80,
        tolerance: 5,
        hold_ms: 0,
        echoes: vec![
            echo(1, 0x1111_1111_1111_1111, 0x01_0203_0405, 12, true),
            echo(7, 0x7777_7777_7777_7777, 99, 79, true),
            echo(7, 0x7070_7070_7070_7070, 1, 3, false),
            echo(12, 0xcccc_cccc_cccc_cccc, 65536, 1234, false),
        ],
        view: HostSet(1 << 6 | 1 << 2 | 1),
        committed: Some(Committed { epoch: 41, view_size: 3, lowest: host(1), digest: 0xd1d2_d3d4_d5d6_d7d8 }),
        proposal: 0x0102_0304_0506_0708,
        epoch: 42,
        proposed_digest: 0x1112_1314_1516_1718,
        released: 0x2122_2324_2526_2728,
        rules: 0x3132_3334_3536_3738,
        staged: 0,
        activate: false,
        capacity: 100,
        draining: 1 << 2,
        disabled: 0,
        holding: 1 << 64 | 1 << 9 | 1,
        connections: vec![0, 1, 65_536, u32::MAX, 7],
    };
    let staged = Heartbeat {
        phase: Phase::Converging,
        hold_ms: 30_000,
        committed: None,
        staged: 0x4142_4344_4546_4748,
        activate: true,
        capacity: 50,
        disabled: 1 << 63,
        ..stable.clone()
    };
    let phase = |phase| beat(Heartbeat { phase, period_ms: 1000, ..smallest() });
    let owners = |owner: &dyn Fn(usize) -> u8| (0..PAGE_BUCKETS).map(|n| HostId::new(owner(n))).collect();
    let full_page = MapPage {
        crc: 0xc1c2_c3c4,
        first: 3072,
        weights: (1..=32).map(|id| (host(id), 65_536 - u32::from(id))).collect(),
        owners: owners(&|n| (n % 33) as u8),
    };
    let page =
        MapPage { crc: 0, first: 0, weights: [(host(4), 1)].into(), owners: owners(&|n| if n < 24 { 0 } else { 4 }) };
    let nobody = MapPage { crc: u32::MAX, first: 1024, weights: [].into(), owners: owners(&|_| 0) };
    let index = |maps| message(Body::MapIndex(MapIndex { digest: 0xd1d2_d3d4_d5d6_d7d8, maps }));
    let holdings = |rule, buckets| message(Body::Holdings(Holdings { proposal: 0x0102_0304_0506_0708, rule, buckets }));
    let mut some = vec![0; 512];
    (some[0], some[511]) = (0x81, 0x80);
    let last = Message {
        host: host(32),
        incarnation: u64::MAX,
        sequence: (1 << 40) - 1,
        body: Body::Heartbeat(Arc::new(largest())),
    };
    vec![
        ("heartbeat_smallest", 1, false, Message { host: host(1), incarnation: 0, sequence: 1, ..beat(smallest()) }),
        ("heartbeat_stable", 1, false, beat(stable.clone())),
        ("heartbeat_staged", 7, false, beat(staged)),
        ("heartbeat_idle", 1, false, phase(Phase::Idle)),
        ("heartbeat_ready", 1, false, phase(Phase::Ready)),
        ("heartbeat_excluded", 1, false, phase(Phase::Excluded)),
        ("heartbeat_largest", 7, false, last),
        ("heartbeat_unauthenticated", 0, false, beat(stable.clone())),
        ("heartbeat_later", 1, true, beat(stable)),
        ("fetch_index", 1, false, message(Body::Fetch(Fetch::Index { from: host(32), digest: 0xd1d2_d3d4_d5d6_d7d8 }))),
        ("fetch_page", 1, false, message(Body::Fetch(Fetch::Page { from: host(1), crc: 0xc1c2_c3c4, first: 3072 }))),
        ("map_index_default", 1, false, index(vec![(0, 0x0a0b_0c0d)])),
        ("map_index_largest", 1, false, index((0..65).map(|n| (u64::MAX - n, u32::MAX - n as u32)).collect())),
        ("map_page", 1, false, message(Body::MapPage(page))),
        ("map_page_largest", 1, false, message(Body::MapPage(full_page))),
        ("map_page_nobody", 1, false, message(Body::MapPage(nobody))),
        ("holdings", 1, false, holdings(0, some)),
        ("holdings_default", 1, false, holdings(64, vec![0xff; 512])),
    ]
}

/// The codec that writes a golden frame.
fn writer(key: u8, later: bool) -> Codec {
    let codec = Codec::new(CLUSTER, if key == 0 { Auth::None } else { auth(key) });
    if later { codec.as_later(1, &[LATER]) } else { codec }
}

/// All golden frames and datagrams.
pub fn all() -> Vec<Golden> {
    let frame = |(name, key, later, message): (_, u8, bool, Message)| {
        let bytes = encode(&writer(key, later), &message);
        let fields = frame_fields(&message, key, later, &bytes);
        Golden { name, bytes, fields }
    };
    messages().into_iter().map(frame).chain(datagrams()).collect()
}

/// Adds fields of a packet.
pub struct Adder {
    prefix: &'static str,
    pub fields: tshark::Fields,
}

impl Adder {
    pub fn new(prefix: &'static str) -> Adder {
        Adder { prefix, fields: Default::default() }
    }

    pub fn add(&mut self, name: &str, value: impl ToString) {
        self.fields.entry(format!("{}.{name}", self.prefix)).or_default().push(value.to_string());
    }

    /// With 0x and all digits.
    pub fn hex(&mut self, name: &str, value: impl LowerHex) {
        let width = 2 + 2 * size_of_val(&value);
        self.add(name, format!("{value:#0width$x}"));
    }

    pub fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.add(name, hex(bytes));
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings grow");
        text
    })
}

/// Numbers of the bits as text.
pub fn bits(set: u128, first: u32) -> String {
    let name = |n: u32| if first == 0 && n == 64 { "default".to_owned() } else { (n + first).to_string() };
    let names: Vec<_> = (0..128).filter(|n| set >> n & 1 == 1).map(name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

/// What the dissector should show of a frame.
fn frame_fields(message: &Message, key: u8, later: bool, frame: &[u8]) -> tshark::Fields {
    let mut out = Adder::new("hashgate");
    out.hex("signature", 0xc0de_01c0_u32);
    out.add("version.major", 1);
    out.add("version.minor", u8::from(later));
    out.add("host", message.host.get());
    out.add("cluster_ip", CLUSTER);
    out.add("host_ip", HOST_IP);
    out.hex("incarnation", message.incarnation);
    out.add("sequence", message.sequence);
    out.add("key", key);
    let (kind, length) = match &message.body {
        Body::Heartbeat(it) => (0x81, heartbeat_fields(&mut out, it)),
        Body::Fetch(it) => (0x82, fetch_fields(&mut out, it)),
        Body::MapIndex(it) => {
            out.hex("index.digest", it.digest);
            out.add("index.count", it.maps.len());
            for (key, crc) in &it.maps {
                out.hex("index.key", *key);
                out.hex("index.crc", *crc);
            }
            (0x83, 12 + 12 * it.maps.len())
        }
        Body::MapPage(it) => (0x84, page_fields(&mut out, it)),
        Body::Holdings(it) => {
            out.hex("holdings.proposal", it.proposal);
            out.add("holdings.rule", it.rule);
            out.bytes("holdings.buckets", &it.buckets);
            out.add("holdings.count", it.buckets.iter().map(|byte| byte.count_ones()).sum::<u32>());
            (0x85, 524)
        }
    };
    let mut parts = vec![(0x80_u8, 20), (kind, length)];
    if later {
        parts.push((LATER.0, LATER.1.len()));
        out.bytes("later", LATER.1);
    }
    if key != 0 {
        parts.push((0xff, 16));
        out.bytes("mac", &frame[frame.len() - 16..]);
    }
    for (kind, length) in parts {
        out.hex("tlv.type", kind);
        out.add("tlv.length", length);
    }
    out.fields
}

fn heartbeat_fields(out: &mut Adder, it: &Heartbeat) -> usize {
    out.add("phase", it.phase as u8);
    out.add("flags.committed", u8::from(it.committed.is_some()));
    out.add("flags.activate", u8::from(it.activate));
    out.add("tolerance", it.tolerance);
    out.add("echoes", it.echoes.len());
    out.add("period", it.period_ms);
    out.add("capacity", it.capacity);
    out.add("hold", it.hold_ms);
    out.hex("view", it.view.0);
    out.add("view_hosts", bits(it.view.0.into(), 1));
    out.add("committed.epoch", it.committed.map_or(0, |it| it.epoch));
    out.hex("committed.digest", it.committed.map_or(0, |it| it.digest));
    out.add("committed.view_size", it.committed.map_or(0, |it| it.view_size));
    out.add("committed.lowest", it.committed.map_or(0, |it| it.lowest.get()));
    out.add("connection_counts", it.connections.len());
    out.add("epoch", it.epoch);
    out.hex("proposal", it.proposal);
    out.hex("proposed_digest", it.proposed_digest);
    out.hex("released", it.released);
    out.hex("rules", it.rules);
    out.hex("staged", it.staged);
    for (name, rules) in [("draining", it.draining), ("disabled", it.disabled), ("holding", it.holding)] {
        out.bytes(name, &rules.to_le_bytes()[..9]);
        out.add(&format!("{name}_rules"), bits(rules, 0));
    }
    for echo in &it.echoes {
        out.add("echo.host", echo.host.get());
        out.add("echo.counted", u8::from(echo.counted));
        out.add("echo.sequence", echo.sequence);
        out.add("echo.age", echo.age_ms);
        out.hex("echo.incarnation", echo.incarnation);
    }
    it.connections.iter().for_each(|count| out.add("connections", count));
    112 + 16 * it.echoes.len() + 4 * it.connections.len()
}

fn fetch_fields(out: &mut Adder, it: &Fetch) -> usize {
    match it {
        Fetch::Index { from, digest } => {
            out.add("fetch.kind", 0);
            out.add("fetch.from", from.get());
            out.hex("fetch.digest", *digest);
            12
        }
        Fetch::Page { from, crc, first } => {
            out.add("fetch.kind", 1);
            out.add("fetch.from", from.get());
            out.add("fetch.first", first);
            out.hex("fetch.crc", *crc);
            8
        }
    }
}

fn page_fields(out: &mut Adder, it: &MapPage) -> usize {
    out.hex("page.crc", it.crc);
    out.add("page.first", it.first);
    out.hex("page.hosts", it.weights.keys().fold(0_u32, |set, host| set | 1 << (host.get() - 1)));
    let owners: Vec<_> = it.owners.iter().map(|owner| owner.map_or(0, HostId::get)).collect();
    out.bytes("page.owners", &owners);
    for owner in 0..=32 {
        match owners.iter().filter(|it| **it == owner).count() {
            0 => {}
            count => out.add("page.share", format!("{owner}: {count}")),
        }
    }
    for (host, weight) in &it.weights {
        out.add("page.weight.host", host.get());
        out.add("page.weight", weight);
    }
    1036 + 2 * it.weights.len()
}

fn hex_file(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |text, line| text + &hex(line) + "\n")
}

fn fields_file(fields: &tshark::Fields) -> String {
    let line = |(name, values): (&String, &Vec<String>)| format!("{name}={}\n", values.join(tshark::BETWEEN));
    fields.iter().map(line).collect()
}

/// Whether all files of a folder are these, and no others; writes them if that is asked for.
pub fn compare(folder: &str, files: &BTreeMap<String, Vec<u8>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    if std::env::var_os("HASHGATE_BLESS").is_some() {
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        for (name, content) in files {
            std::fs::write(folder.join(name), content).expect("the folder can be written");
        }
    }
    for (name, content) in files {
        let found = std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(found == *content, "{name} is another: if that is meant, bump the version and set HASHGATE_BLESS=1");
    }
    let entries = std::fs::read_dir(&folder).expect("the folder is there");
    let there: BTreeSet<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, files.keys().cloned().collect(), "files that no test knows");
}

#[test]
fn golden_files_are_what_is_written() {
    let golden = all();
    let hex = golden.iter().map(|it| (format!("{}.hex", it.name), hex_file(&it.bytes).into_bytes()));
    let fields = golden.iter().map(|it| (format!("{}.fields", it.name), fields_file(&it.fields).into_bytes()));
    let files: BTreeMap<_, _> = hex.chain(fields).collect();
    assert_eq!(files.len(), 2 * golden.len(), "each has its own name");
    compare("tests/golden", &files);
    // The same as seeds of the fuzzer.
    let (control, frames): (Vec<_>, Vec<_>) = golden.iter().partition(|it| it.name.starts_with("control_"));
    for (folder, part) in [("fuzz/corpus/control", control), ("fuzz/corpus/frame", frames)] {
        compare(folder, &part.into_iter().map(|it| (it.name.to_owned(), it.bytes.clone())).collect());
    }
}

#[test]
fn golden_frames_are_read() {
    for (name, key, later, message) in messages() {
        let frame = encode(&writer(key, later), &message);
        assert_eq!(writer(key, false).decode(&frame), Ok(message), "{name}");
    }
}

#[test]
fn the_dissector_shows_every_field() {
    if !tshark::there_is() {
        return;
    }
    let golden = all();
    let names: BTreeSet<_> = golden.iter().flat_map(|it| it.fields.keys()).map(String::as_str).collect();
    let script =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dissector").join(tshark::DISSECTOR));
    let script = script.expect("the dissector is there");
    let defined: BTreeSet<_> =
        script.lines().filter_map(|line| line.split_once("ProtoField.")?.1.split('"').nth(1)).collect();
    assert_eq!(names, defined, "the golden frames have every field of the dissector, and no other");

    let mut asked: Vec<_> = names.iter().copied().collect();
    asked.extend(["_ws.expert", "eth.type"]);
    let frames: Vec<_> = golden.iter().map(|it| packet(&it.bytes)).collect();
    for (it, mut found) in golden.iter().zip(tshark::fields(&frames, true, &asked)) {
        assert!(found.remove("eth.type").is_some());
        assert_eq!(found, it.fields, "{}", it.name);
    }
}

/// The dissector against frames that are cut off: it says so, and nothing goes wrong in it.
#[test]
fn the_dissector_is_robust() {
    if !tshark::there_is() {
        return;
    }
    let golden = all();
    let names: BTreeSet<_> = golden.iter().map(|it| it.name).collect();
    let mut frames = Vec::new();
    for name in ["heartbeat_stable", "map_index_default", "fetch_page", "control_request", "control_answer"] {
        assert!(names.contains(name), "{name}");
        let bytes = &golden.iter().find(|it| it.name == name).expect("it was found above").bytes;
        let start = if name.starts_with("control") { 4 } else { 18 };
        for length in start..bytes.len() {
            frames.push(packet(&bytes[..length]));
            // As long, but with nonsense from there on.
            let mut other = bytes.clone();
            other[length..].fill(0xff);
            frames.push(packet(&other));
        }
    }
    let found =
        tshark::fields(&frames, true, &["eth.type", "_ws.expert.message", "_ws.lua.error", "_ws.lua.proto.error"]);
    for (fields, frame) in found.iter().zip(&frames) {
        assert!(!fields.keys().any(|name| name.contains("lua")), "{fields:?} of {}", hex(frame));
        let messages = fields.get("_ws.expert.message").map(|it| it.concat()).unwrap_or_default();
        assert!(!messages.contains("Lua"), "{messages} of {}", hex(frame));
    }
}

/// A frame as it is, a datagram in IPv4 and UDP to the port of control.
fn packet(bytes: &[u8]) -> Vec<u8> {
    if bytes.starts_with(&BROADCAST) {
        return bytes.to_vec();
    }
    let mut frame = [&BROADCAST[..], &SOURCE, &[0x08, 0x00, 0x45, 0]].concat();
    frame.extend((28 + bytes.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(HOST_IP.octets());
    frame.extend(CLUSTER.octets());
    frame.extend(40_000_u16.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend((8 + bytes.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(bytes);
    frame
}
