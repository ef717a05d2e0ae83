// SPDX-License-Identifier: Apache-2.0
//! What the daemon refuses: one line that says what to do, exit code 2, nothing left behind.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A directory with a sound configuration and its key.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: TempDir::new().unwrap() };
        place.write_key(0o600);
        place
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write_key(&self, mode: u32) {
        let key = self.path().join("key");
        std::fs::write(&key, "0123456789abcdef".repeat(4)).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A configuration of two hosts; `more` stands behind it.
    fn config(&self, more: &str) -> String {
        let key = self.path().join("key").display().to_string();
        format!(
            r#"
            [cluster]
            primary_ip = "192.0.2.100"
            auth = {{ sign = 1, keys = {{ 1 = "{key}" }} }}
            [[host]]
            name = "a"
            priority = 1
            station_mac = "02:00:00:00:00:01"
            dedicated_ip = "192.0.2.1"
            device = "vfio-user:/nonexistent/nic.sock"
            [[host]]
            name = "b"
            priority = 2
            station_mac = "02:00:00:00:00:02"
            {more}
            "#
        )
    }

    fn lbd(&self, config: &str, arguments: &[&str]) -> Output {
        let file = self.path().join("cluster.toml");
        std::fs::write(&file, config).unwrap();
        self.lbd_of_file(&file, arguments)
    }

    fn lbd_of_file(&self, file: &Path, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lbd"))
            .arg("--config")
            .arg(file)
            .arg("--run-dir")
            .arg(self.path().join("run"))
            .args(arguments)
            .env("PATH", "/nonexistent")
            .output()
            .unwrap()
    }
}

/// One line on standard error with these words, exit code 2, no socket.
#[track_caller]
fn refused(place: &Place, output: &Output, words: &[&str]) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("lbd: "), "{text}");
    for word in words {
        assert!(text.contains(word), "\"{word}\" is missing in: {text}");
    }
    assert!(output.stdout.is_empty());
    let left = std::fs::read_dir(place.path().join("run")).into_iter().flatten();
    let sockets: Vec<_> = left
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "sock"))
        .collect();
    assert!(sockets.is_empty(), "{sockets:?}");
}

#[test]
fn a_sound_configuration_is_checked_and_told() {
    let place = Place::new();
    let output = place.lbd(&place.config(""), &["--host", "a", "--check-config"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("2 hosts, 1 rules, digest ") && text.ends_with("this is a\n"), "{text}");
    assert!(!place.path().join("run").exists(), "a check leaves nothing behind");
}

#[test]
fn configurations_are_refused_with_file_line_and_what_to_do() {
    let place = Place::new();
    let lbd = |more: &str| place.lbd(&place.config(more), &["--host", "a"]);
    refused(&place, &lbd("[cluster2]"), &["cluster.toml:", "unknown field"]);
    refused(&place, &lbd("[metrics]\nlisten = \"nowhere\""), &["cluster.toml:16", "\"nowhere\"", "127.0.0.1:9504"]);
    refused(&place, &lbd("[metrics]\noccupancy_warning = 1.5"), &["occupancy_warning 1.5", "at most 1"]);
    refused(&place, &lbd("[control]\nremote = true"), &["cluster.toml:16", "key_file"]);
    refused(&place, &lbd("[control]\nremote = true\nkey_file = \"key\""), &["\"key\"", "absolute"]);
    refused(&place, &lbd("[[monitor]]\nrule = \"web\"\ncheck = \"tcp\""), &["no rule \"web\"", "known: all-ports"]);
    refused(&place, &lbd("[[monitor]]\nrule = \"all-ports\"\ncheck = \"tcp\""), &["needs a port"]);
    refused(
        &place,
        &lbd("[[monitor]]\nrule = \"all-ports\"\ncheck = \"command\"\ncommand = [\"x\"]"),
        &["absolute path"],
    );
    refused(&place, &lbd("[notify]\nscript = \"/nonexistent/script\""), &["/nonexistent/script"]);
    let missing = place.path().join("missing.toml");
    refused(&place, &place.lbd_of_file(&missing, &["--host", "a"]), &["missing.toml", "cannot be read"]);
    for (key, value, words) in [
        ("tolerance", "0", "2..255"),
        ("period_ms", "4", "5..10000"),
        ("lease_ms", "400", "lease"),
        ("quorum", "{ expected_hosts = 33 }", "2..32"),
        ("quorum", "{ expected_hosts = 2 }", "witness"),
        ("quorum", "{ expected_hosts = 3, witness = \"z\" }", "no host \"z\""),
        ("subnets", "[\"192.0.2.0/33\"]", "192.0.2.0/33"),
    ] {
        let config = place.config("").replacen("primary_ip", &format!("{key} = {value}\nprimary_ip"), 1);
        refused(&place, &place.lbd(&config, &["--host", "a"]), &["cluster.toml:", words]);
    }
}

#[test]
fn who_this_host_is_and_how_it_is_authenticated_has_to_be_said() {
    let place = Place::new();
    let config = place.config("");
    refused(&place, &place.lbd(&config, &["--host", "z"]), &["no host \"z\"", "known: a, b", "--host"]);
    refused(&place, &place.lbd(&config, &["--host", "b"]), &["host \"b\" has no device", "vfio:"]);
    let without: String = config.lines().filter(|line| !line.contains("auth =")).collect::<Vec<_>>().join("\n");
    refused(&place, &place.lbd(&without, &["--host", "a"]), &["auth", "\"none\""]);
    place.write_key(0o644);
    refused(&place, &place.lbd(&config, &["--host", "a"]), &["mode 0644", "chmod 0600"]);
    std::fs::write(place.path().join("key"), "12").unwrap();
    place.write_key(0o600);
    std::fs::write(place.path().join("key"), "12").unwrap();
    refused(&place, &place.lbd(&config, &["--host", "a"]), &["2 characters", "32 to 128"]);
    std::fs::remove_file(place.path().join("key")).unwrap();
    refused(&place, &place.lbd(&config, &["--host", "a"]), &["key file", "No such file"]);
}

#[test]
fn what_is_in_use_or_missing_ends_the_start() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let config = place.config(&format!("[metrics]\nlisten = \"{at}\""));
    refused(&place, &place.lbd(&config, &["--host", "a"]), &["metrics", &at.to_string(), "in use"]);
    // Without the programs that own the NIC.
    refused(&place, &place.lbd(&place.config(""), &["--host", "a"]), &["hashgate-hostpath"]);
    let run = place.path().join("run");
    let _other = UnixListener::bind(run.join("lbd.sock")).unwrap();
    let output = place.lbd(&place.config(""), &["--host", "a"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("another lbd answers at") && text.contains("end that one first"), "{text}");
    assert!(run.join("lbd.sock").exists(), "the other one's socket was taken away");
}
