// SPDX-License-Identifier: Apache-2.0
//! `lbsim run` and `lbsim bench` with Verilated NICs: what they write, against what was sent.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CONFIG: &str = r#"
[cluster]
primary_ip = "10.0.0.100"
[[host]]
name = "a"
priority = 1
dedicated_ip = "10.0.0.1"
station_mac = "02:00:00:00:00:01"
[[host]]
name = "b"
priority = 2
station_mac = "02:00:00:00:00:02"
[[rule]]
ports = "0-999"
affinity = "none"
[[rule]]
name = "closed"
ports = 1000
mode = "disabled"
"#;

fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("run").join(test);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn lbsim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lbsim")).args(arguments).output().unwrap()
}

/// Runs a capture; the JSON lines of its output.
fn run(folder: &Path, config: &str, packets: &[Vec<u8>], more: &[&str]) -> Vec<Value> {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("config.toml"), config).unwrap();
    std::fs::write(path("in.pcap"), pcap(packets)).unwrap();
    let (config, input, out) = (path("config.toml"), path("in.pcap"), path("out"));
    let mut arguments = vec!["run", "--config", &config, "--pcap", &input, "--out", &out, "--json"];
    arguments.extend(more);
    let output = lbsim(&arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A capture with these packets, one every microsecond.
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let word = |value: usize| (value as u32).to_le_bytes();
    let mut bytes = [word(0xa1b2_c3d4), [2, 0, 4, 0], word(0), word(0), word(262_144), word(1)].concat();
    for (n, packet) in packets.iter().enumerate() {
        bytes.extend([word(0), word(n), word(packet.len()), word(packet.len())].concat());
        bytes.extend(packet);
    }
    bytes
}

/// A UDP datagram to the VIP, `length` bytes without FCS.
fn udp(source_port: u16, port: u16, length: usize) -> Vec<u8> {
    frame(17, [192, 0, 2, 7], (source_port, port), length)
}

/// A frame to the VIP with TCP (6, an acknowledgement) or UDP (17), `length` bytes without FCS; written out here so that
/// it shares no code with the program.
fn frame(protocol: u8, source: [u8; 4], ports: (u16, u16), length: usize) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    ip.extend(source);
    ip.extend([10, 0, 0, 100]);
    ip[2..4].copy_from_slice(&((length - 14) as u16).to_be_bytes());
    let mut sum: u32 = ip.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!sum as u16).to_be_bytes());
    let mut frame = vec![2, 0xbf, 10, 0, 0, 100, 2, 0xcc, 0, 0, 0, 1, 8, 0];
    frame.extend(ip);
    frame.extend([ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat());
    if protocol == 6 {
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    } else {
        frame.extend([((length - 34) as u16).to_be_bytes(), [0, 0]].concat());
    }
    frame.resize(length, 0x5a);
    frame
}

/// `verdict reason` of a packet at both NICs.
fn decided(lines: &[Value], n: usize) -> Vec<String> {
    let of = lines.iter().filter(|line| line["n"] == n);
    of.map(|line| format!("{} {}", line["verdict"].as_str().unwrap(), line["reason"].as_str().unwrap())).collect()
}

#[test]
fn bad_frames_do_not_harm_their_neighbours() {
    let mut packets: Vec<Vec<u8>> = (0..40).map(|n| udp(5000 + n, 53, 100 + usize::from(n))).collect();
    packets.insert(10, udp(1, 53, 9023));
    packets.insert(20, udp(1, 53, 59));
    packets.insert(30, vec![0xff; 1]);
    packets.insert(35, udp(1, 1000, 60));
    packets.insert(36, udp(1, 2000, 9022));
    let folder = folder("bad_frames");
    let lines = run(&folder, CONFIG, &packets, &[]);
    assert_eq!(lines.len(), 2 * packets.len() + 1);
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&lines[0]), "bucket n nic reason rule target verdict", "the output contract");
    for (n, expected) in
        [(11, "discard oversize"), (21, "discard runt"), (31, "discard runt"), (36, "discard rule-disabled")]
    {
        assert_eq!(decided(&lines, n), [expected; 2], "packet {n}");
    }
    assert_eq!(decided(&lines, 37), ["host default-host", "discard default-host"]);
    for n in (1..=packets.len()).filter(|n| ![11, 21, 31, 36, 37].contains(n)) {
        let mut both = decided(&lines, n);
        both.sort();
        assert_eq!(both, ["discard map", "host map"], "packet {n} must be accepted exactly once");
    }

    let totals = &lines[lines.len() - 1];
    assert_eq!(totals["totals"]["runt"], 4);
    assert_eq!(totals["totals"]["map"], 80);
    for nic in totals["nics"].as_array().unwrap() {
        let sum = |key: &str| nic[key].as_object().unwrap().values().map(|v| v.as_u64().unwrap()).sum::<u64>();
        assert_eq!((nic["received"].as_u64(), sum("verdicts"), sum("reasons")), (Some(45), 45, 45));
    }
    // The captures hold every packet with its verdict.
    for host in ["a", "b"] {
        let bytes = std::fs::read(folder.join(format!("out/{host}.pcapng"))).unwrap();
        let count = |text: &str| bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
        assert_eq!(count("verdict="), packets.len());
        assert_eq!((count("reason=runt"), count("reason=oversize"), count("rule=1(closed)")), (2, 1, 1));
    }
}

/// Host a gets more of the buckets while connections are open: they stay where they are, new ones follow the map.
#[test]
fn connections_survive_a_change_of_the_map() {
    let config = format!("{CONFIG}[[step]]\nafter = 100\nrule = \"open\"\nweights = {{ a = 100, b = 25 }}\n")
        .replace("ports = \"0-999\"", "name = \"open\"\nports = \"0-999\"");
    let segment = |n: u16, flags: u8| {
        let mut frame = frame(6, [192, 0, 2, 7], (20_000 + n, 80), 60);
        frame[47] = flags;
        frame
    };
    // A hundred SYNs, then data on each, then SYNs of as many others.
    let (syn, ack) = (0x02, 0x10);
    let packets: Vec<Vec<u8>> = (0..100)
        .map(|n| segment(n, syn))
        .chain((0..100).map(|n| segment(n, ack)))
        .chain((100..200).map(|n| segment(n, syn)))
        .collect();
    let lines = run(&folder("survive"), &config, &packets, &[]);
    let taken = |n: usize| {
        let by = lines.iter().filter(|line| line["n"] == n && line["verdict"] == "host");
        let by: Vec<(&str, &str)> = by.map(|l| (l["nic"].as_str().unwrap(), l["reason"].as_str().unwrap())).collect();
        assert_eq!(by.len(), 1, "packet {n} is accepted once: {by:?}");
        by[0]
    };
    for n in 1..=100 {
        let (host, reason) = taken(n);
        assert_eq!(reason, "map");
        assert_eq!(taken(n + 100), (host, "binding"), "connection {n} stays");
    }
    // Those whose bucket moved from b to a: a leaves them alone.
    let left = lines.iter().filter(|l| l["nic"] == "a" && l["reason"] == "handover").count();
    let (before, after) =
        ((1..=100).filter(|n| taken(*n).0 == "a").count(), (201..=300).filter(|n| taken(*n).0 == "a").count());
    assert!(
        left > 10 && after > before + 10,
        "{left} left alone; host a had {before} of 100, has {after} of 100 new ones"
    );
    let nics = lines[lines.len() - 1]["nics"].as_array().unwrap();
    let created = |nic: &Value| nic["bindings"]["connection"]["created"].as_u64().unwrap();
    assert_eq!(nics.iter().map(created).sum::<u64>(), 200, "one binding for each connection, on one NIC");
}

#[test]
fn buckets_are_those_of_receive_side_scaling_and_owners_those_of_the_map() {
    let packets: Vec<Vec<u8>> = (0..300).map(|n| udp(1024 + n, n % 900, 64)).collect();
    let lines = run(&folder("owners"), CONFIG, &packets, &[]);
    let mut owners: BTreeMap<u64, u64> = BTreeMap::new();
    for pair in lines[..600].chunks(2) {
        assert_eq!((&pair[0]["nic"], &pair[1]["nic"]), (&Value::from("a"), &Value::from("b")));
        assert_eq!((&pair[0]["bucket"], &pair[0]["target"]), (&pair[1]["bucket"], &pair[1]["target"]));
        let (bucket, target) = (pair[0]["bucket"].as_u64().unwrap(), pair[0]["target"].as_u64().unwrap());
        assert_eq!(*owners.entry(bucket).or_insert(target), target, "bucket {bucket} has two owners");
        let n = pair[0]["n"].as_u64().unwrap() as u16 - 1;
        let tuple = [&[192, 0, 2, 7, 10, 0, 0, 100][..], &(1024 + n).to_be_bytes(), &(n % 900).to_be_bytes()].concat();
        assert_eq!(bucket, u64::from(toeplitz(&tuple) & 0xfff), "packet {}", n + 1);
        for (line, own) in pair.iter().zip([1, 2]) {
            assert_eq!(line["verdict"], if target == own { "host" } else { "discard" });
        }
    }
    // 300 clients in two equal shares: 150 with a standard deviation of 9.
    let to_a = lines[..600].iter().filter(|line| line["nic"] == "a" && line["verdict"] == "host").count();
    assert!((100..=200).contains(&to_a), "{to_a}");
}

/// The Toeplitz hash with the standard key, bit by bit as the specification of receive-side scaling tells it.
fn toeplitz(input: &[u8]) -> u32 {
    const KEY: &str = "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa";
    let bit = |n: usize| u32::from_str_radix(&KEY[n / 4..=n / 4], 16).unwrap() >> (3 - n % 4) & 1;
    let window = |n: usize| (n..n + 32).fold(0, |word, n| word << 1 | bit(n));
    let set = (0..8 * input.len()).filter(|n| input[n / 8] >> (7 - n % 8) & 1 == 1);
    set.fold(0, |hash, n| hash ^ window(n))
}

#[test]
fn steps_take_effect_between_two_packets() {
    let config = format!("{CONFIG}[[step]]\nafter = 100\ndown = [\"a\"]\n[[step]]\nafter = 200\nup = [\"a\"]\n");
    // The same hundred flows three times.
    let packets: Vec<Vec<u8>> = (0..300).map(|n| udp(1024 + n % 100, 53, 64)).collect();
    let lines = run(&folder("steps"), &config, &packets, &[]);
    let at = |n: usize, nic: usize| &lines[2 * (n - 1) + nic];
    for n in 101..=200 {
        assert_eq!(at(n, 0)["reason"], "not-ready", "host a is down");
        assert_eq!(at(n, 1)["verdict"], "host", "packet {n}");
    }
    let (mut kept, mut returned) = (0, 0);
    for n in 1..=100 {
        // What b had before it keeps while a is down; what a takes back is all that may move again.
        if at(n, 1)["verdict"] == "host" {
            kept += 1;
        }
        assert_eq!(at(n, 0)["bucket"], at(n + 200, 0)["bucket"]);
        returned += usize::from(at(n + 200, 0)["verdict"] == "host");
        assert_ne!(at(n + 200, 0)["verdict"], at(n + 200, 1)["verdict"], "accepted exactly once");
    }
    assert!(kept > 0 && kept < 100 && returned > 0 && returned < 100, "{kept} {returned}");
}

#[test]
fn a_gateway_keeps_tenants_apart_and_forwards() {
    let config = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gateway.toml")).unwrap();
    // Clients in different networks of 24 bits, so that each may go its own way.
    let packet = |vlan: u8, client: u8, port: u16| {
        let mut frame = frame(6, [192, 0, client, 7], (999, port), 80);
        frame.splice(12..12, [0x81, 0, 0, vlan]);
        frame
    };
    let mut packets: Vec<Vec<u8>> = (0..100).map(|n| packet(10 + 10 * (n % 2), n, 443)).collect();
    packets.push(packet(30, 7, 443));
    packets.push(packet(10, 7, 22));
    let lines = run(&folder("gateway"), &config, &packets, &[]);
    assert_eq!(decided(&lines, 101), ["discard not-my-ip"], "no zone of the address has VLAN 30");
    assert_eq!(decided(&lines, 102), ["discard rule-disabled"]);
    let count = |verdict: &str| lines[..100].iter().filter(|l| l["verdict"] == verdict && l["reason"] == "map").count();
    let (host, port) = (count("host"), count("port"));
    assert_eq!(host + port, 100, "{:?}", lines[0]);
    // Weights 25 : 75: 25 to the host, with a standard deviation of 4.4.
    assert!((7..=45).contains(&host), "{host}");
    for line in &lines[..100] {
        assert_eq!(line["target"], if line["verdict"] == "host" { 1 } else { 64 });
    }
}

#[test]
fn one_nic_alone_and_its_waveform() {
    let folder = folder("trace");
    let trace = folder.join("wave.fst");
    let lines = run(&folder, CONFIG, &[udp(1, 53, 64)], &["--host", "b", "--trace", trace.to_str().unwrap()]);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["nic"], "b");
    assert!(std::fs::metadata(trace).unwrap().len() > 1000);
}

#[test]
fn short_frames_are_filled_up_on_request() {
    let packets = [udp(1, 53, 60)[..45].to_vec()];
    let folder = folder("pad");
    assert_eq!(decided(&run(&folder, CONFIG, &packets, &[]), 1), ["discard runt"; 2]);
    // Its IP length still says 46 bytes, which are there now.
    let mut both = decided(&run(&folder, CONFIG, &packets, &["--pad"]), 1);
    both.sort();
    assert_eq!(both, ["discard map", "host map"]);
}

#[test]
fn bench_keeps_its_output_contract() {
    let output = lbsim(&["bench", "--json", "--sizes", "65,1517", "--seed", "7"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["bench"], "lbsim");
    assert!(report["commit"].as_str().is_some_and(|commit| !commit.is_empty()));
    for key in ["cpu", "cores", "verilator", "build", "clock_hz"] {
        assert!(!report["environment"][key].is_null(), "environment.{key}");
    }
    let sizes = report["results"]["sizes"].as_array().unwrap();
    assert_eq!(sizes.len(), 2);
    // A beat is 64 bytes: 65 need two, 1517 need 24. One beat a cycle without a bubble, and nothing lost.
    for (size, bytes, beats) in [(&sizes[0], 65, 2.0), (&sizes[1], 1517, 24.0)] {
        assert_eq!((size["size"].as_u64(), size["lost"].as_u64()), (Some(bytes), Some(0)));
        assert_eq!(size["offered"], size["delivered"]);
        assert_eq!(size["cycles_per_packet"].as_f64(), Some(beats), "{size}");
        let latency = |key: &str| size["latency_cycles"][key].as_u64().unwrap();
        assert!(0 < latency("min") && latency("min") <= latency("median") && latency("median") <= latency("max"));
        assert!(latency("max") <= 64, "{size}");
        let line = 100e9 / (8.0 * (bytes as f64 + 20.0));
        assert!((size["line_pps"].as_f64().unwrap() - line).abs() < 1.0);
        assert_eq!(size["required_clock_hz"].as_u64(), Some((line * beats).ceil() as u64));
        let clock = report["environment"]["clock_hz"].as_f64().unwrap();
        assert!((size["pps"].as_f64().unwrap() - clock / beats).abs() < 1.0);
    }
    // 65 bytes are the first to need a second beat: 294.12 MHz for 100 Gb/s.
    assert_eq!(report["results"]["worst_size"], 65);
    for key in ["cycles_per_second", "packets_per_second"] {
        assert!(report["results"]["simulation"][key].as_f64().unwrap() > 0.0);
    }
}
