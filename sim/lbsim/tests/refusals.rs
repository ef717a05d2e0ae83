// SPDX-License-Identifier: Apache-2.0
//! Bad input: one line on standard error that names what, where and the limit; exit code 2; nothing on standard output.
//! None of this needs a NIC.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn real_capture() -> PathBuf {
    checkout().join("tests/captures/real.pcapng")
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// A file with this content in a folder of its own test.
fn file(test: &str, name: &str, content: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refusals").join(test);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn arguments(config: &Path, pcap: &Path, out: &Path) -> Vec<OsString> {
    let named = [("--config", config), ("--pcap", pcap), ("--out", out)];
    let named = named.into_iter().flat_map(|(name, path)| [name.into(), path.as_os_str().to_owned()]);
    [OsString::from("run")].into_iter().chain(named).collect()
}

/// What `lbsim` says when it refuses.
fn refusal<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lbsim")).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    text
}

fn refused_run(config: &Path, pcap: &Path) -> String {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refusals/out");
    let text = refusal(&arguments(config, pcap, &out));
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().to_owned()
}

#[test]
fn captures() {
    let config = example("demo.toml");
    let case = |name: &str, content: &[u8], expected: &str| {
        let path = file("captures", name, content);
        let text = refused_run(&config, &path);
        let prefix = format!("lbsim: {}: ", path.display());
        assert!(text.starts_with(&prefix) && text[prefix.len()..].starts_with(expected), "{text}");
    };
    case("elf.pcap", b"\x7fELF\x02\x01\x01", "not a capture: it begins with 7f 45 4c 46, a pcap file with d4 c3 b2 a1");
    case("empty.pcap", b"", "not a capture: it has 0 bytes");
    let real = std::fs::read(real_capture()).unwrap();
    case("cut.pcapng", &real[..real.len() - 7], "truncated: ");
    let mut header = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
    case("header.pcap", &header[..20], "truncated: the file header at byte 0 reaches beyond the end, byte 20");
    header.extend([1, 0, 0, 0, 2, 0, 0, 0, 64, 0, 0, 0, 64, 0, 0, 0, 1, 2, 3]);
    case("cut.pcap", &header, "truncated: packet 1 at byte 24 reaches beyond the end, byte 43");
    let missing = refused_run(&config, Path::new("/does/not/exist.pcap"));
    assert!(missing.starts_with("lbsim: /does/not/exist.pcap: cannot be read: No such file"), "{missing}");
}

#[test]
fn configurations() {
    let demo = std::fs::read_to_string(example("demo.toml")).unwrap();
    let case = |name: &str, from: &str, to: &str, expected: &str| {
        assert!(demo.contains(from), "demo.toml has no {from}");
        let text = demo.replacen(from, to, 1);
        let line = 1 + text[..text.find(to).unwrap()].matches('\n').count();
        let path = file("configurations", name, text.as_bytes());
        assert_eq!(refused_run(&path, &real_capture()), format!("lbsim: {}:{line}: {expected}", path.display()));
    };
    case(
        "vip.toml",
        "protocol = \"tcp\"",
        "vip = \"10.0.0.9\"",
        "rule \"web\": 10.0.0.9 is not a VIP (known: 10.0.0.100, 10.0.0.101, fd00::100, fd00::101)",
    );
    case(
        "priorities.toml",
        "{ c = 1, b = 2, a = 3, d = 4 }",
        "{ c = 1, b = 2, a = 2, d = 4 }",
        "rule \"echo\": handling priority of \"a\" is 2, which \"b\" has: 1..32, unique in the rule",
    );
    case("weight.toml", "weight = 25", "weight = 101", "weight 101 is out of range: 0..100");
    case(
        "key.toml",
        "affinity = \"none\"",
        "affinity = \"none\"\nbinding = \"sticky\"",
        "rule \"web\": the bucket key of affinity none (all fields) is wider than the binding key of binding sticky (source IP, \
         VIP); every field of the bucket key must be in the binding key",
    );
    case("clock.toml", "clock_hz = 322_266_000", "clock_hz = 0", "clock_hz 0 is out of range: 4000000..1000000000");
    let missing = refused_run(Path::new("/does/not/exist.toml"), &real_capture());
    assert!(missing.starts_with("lbsim: /does/not/exist.toml: cannot be read: "), "{missing}");
}

#[test]
fn folders_and_names() {
    let config = example("demo.toml");
    let blocker = file("folders", "file", b"");
    let text = refusal(&arguments(&config, &real_capture(), &blocker.join("out")));
    assert!(text.contains("the folder cannot be made"), "{text}");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refusals/out");
    let mut with_host = arguments(&config, &real_capture(), &out);
    with_host.extend(["--host", "a", "zebra"].map(Into::into));
    let text = refusal(&with_host);
    assert!(
        text.starts_with("lbsim: --host zebra: ") && text.ends_with("has no such host (known: a, b, c, d)\n"),
        "{text}"
    );
}

#[test]
fn usage() {
    for (arguments, expected) in [
        (&["bench", "--sizes", "63"][..], "a size is 64..9026 bytes"),
        (&["bench", "--sizes", "64,9027"], "a size is 64..9026 bytes"),
        (&["bench", "--build", "256"], "there are two builds: 512 and 64"),
        (&["bench", "--clock-hz", "0"], "the clock is 4000000..1000000000 Hz"),
        (&["bench", "bindings", "--clock-hz", "0"], "the clock is 4000000..1000000000 Hz"),
        (&["bench", "bindings", "--seeds", "0"], "0 is not in 1..=1000"),
        (&["bench", "bindings", "--sizes", "64"], "unexpected argument '--sizes'"),
        (&["bench", "--json", "bindings"], "cannot be used with"),
        (&["run"], "--config <FILE>"),
        (&["fly"], "unrecognized subcommand 'fly'"),
    ] {
        let text = refusal(arguments);
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}
