// SPDX-License-Identifier: Apache-2.0
//! Other ways than the socket: mutual TLS, control datagrams, and a person at a terminal.
#![forbid(unsafe_code)]

// Each test uses a part of it.
#[allow(dead_code)]
mod fake;

use fake::{Daemon, Manner, Ran, lbctl};
use hashgate_cluster::auth::{Auth, Keys};
use hashgate_cluster::control::{ControlServer, Outcome, Received, Request};
use hashgate_cluster::message::HostId;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An authority with a certificate for 127.0.0.1: PEM of the authority, of the certificate and of its key.
fn authority() -> [String; 3] {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(vec![]).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).expect("a certificate").pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = certificate.signed_by(&key, &issuer).expect("a certificate");
    [ca_pem, certificate.pem(), key.serialize_pem()]
}

#[test]
fn by_mutual_tls() {
    let daemon = Daemon::new(Manner::Answers);
    let [ca, certificate, key] = authority();
    let port = daemon.listen(tonic::transport::Identity::from_pem(&certificate, &key), &ca);
    let stranger = authority();
    let path = |name: &str| daemon.dir.path().join(name).to_str().expect("UTF-8").to_owned();
    for (name, text) in [
        ("ca", &ca),
        ("cert", &certificate),
        ("key", &key),
        ("cert2", &stranger[1]),
        ("key2", &stranger[2]),
        ("ca2", &stranger[0]),
    ] {
        std::fs::write(path(name), text).expect("written");
    }
    let run = |ca: &str, cert: &str, key: &str| {
        let url = format!("https://127.0.0.1:{port}");
        let mut call = lbctl(&["targets", "--json", "--timeout", "20", "--remote", &url]);
        Ran::new(call.args(["--ca", &path(ca), "--cert", &path(cert), "--key", &path(key)]))
    };
    let ran = run("ca", "cert", "key");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let printed: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(printed, serde_json::to_value(fake::targets()).expect("JSON"));
    daemon.asked();
    let ran = run("ca", "cert2", "key2");
    assert!([1, 3].contains(&ran.code) && ran.out.is_empty(), "a stranger: {} {}", ran.code, ran.err);
    let ran = run("ca2", "cert", "key");
    assert!(ran.code == 3 && ran.out.is_empty() && ran.err.contains("no daemon at https://127.0.0.1"), "{}", ran.err);
    assert_eq!(daemon.asked(), [], "neither reached it");
    let ran = run("missing", "cert", "key");
    assert!(ran.code == 2 && ran.err.contains("missing"), "{}", ran.err);
}

/// Hosts behind one port, as behind the primary IP of a cluster: each gets every datagram. Ends when it is dropped.
struct Cluster {
    port: u16,
    carried_out: mpsc::Receiver<(u8, Request)>,
    thread: Option<JoinHandle<()>>,
}

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

impl Cluster {
    /// Host 2 fails; answers to queries of host 3 have two pages; of each kind of datagram the first is lost.
    fn new(hosts: &[u8]) -> Cluster {
        let key: Vec<u8> = (0..16).collect();
        let auth = Auth::Keys(Keys::new(1, [(1, key.as_slice())]).expect("a key"));
        let server = |host: &u8| {
            let id = HostId::new(*host).expect("a host");
            (*host, ControlServer::new(Ipv4Addr::LOCALHOST, auth.clone(), id, 7, true))
        };
        let mut servers: Vec<_> = hosts.iter().map(server).collect();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        let (done, carried_out) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            let start = Instant::now();
            let mut lost = std::collections::HashSet::new();
            loop {
                let (length, from) = socket.recv_from(&mut buffer).expect("a datagram");
                if length == 0 {
                    return;
                }
                if lost.insert(buffer[6]) {
                    continue;
                }
                for (host, server) in &mut servers {
                    let reply = match server.receive(start.elapsed().as_nanos() as u64, &buffer[..length]) {
                        Ok(Received::Reply(reply)) => Some(reply),
                        Ok(Received::Execute(ticket, request)) => {
                            done.send((*host, request)).expect("the test listens");
                            let (outcome, text, more) = match (*host, request) {
                                (2, _) => (Outcome::Failed, "not now".to_owned(), false),
                                (3, Request::Query { page: 0, .. }) => (Outcome::Done, "first, ".to_owned(), true),
                                (host, _) => (Outcome::Done, format!("host {host}"), false),
                            };
                            server.answer(ticket, outcome, &text, more)
                        }
                        Ok(Received::Pending) | Err(_) => None,
                    };
                    if let Some(reply) = reply {
                        socket.send_to(&reply, from).expect("sent");
                    }
                }
            }
        });
        Cluster { port, carried_out, thread: Some(thread) }
    }

    /// `lbctl` for it, and what the hosts carried out.
    fn run(&self, key: &Path, call: &[&str]) -> (Ran, Vec<(u8, Request)>) {
        let to = format!("127.0.0.1:{}", self.port);
        let key = key.to_str().expect("UTF-8");
        let ran = Ran::new(&mut lbctl(&[&["--udp", &to, "--password-file", key], call].concat()));
        (ran, self.carried_out.try_iter().collect())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.send_to(&[], ("127.0.0.1", self.port)).expect("sent");
        self.thread.take().expect("it runs").join().expect("no panic");
    }
}

fn key_file(dir: &Path, text: &str, mode: u32) -> std::path::PathBuf {
    let path = dir.join("key");
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("permitted");
    path
}

#[test]
fn by_control_datagrams() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = key_file(dir.path(), &format!("{KEY}\n"), 0o640);
    let cluster = Cluster::new(&[1, 3]);
    for (call, request) in [
        (["start"].as_slice(), Request::Start),
        (&["stop"], Request::Stop),
        (&["drainstop"], Request::Drain),
        (&["undrain"], Request::Undrain),
        (&["suspend"], Request::Suspend),
        (&["resume"], Request::Resume),
        (&["enable", "--rule", "0", "--rule", "64"], Request::EnableRules(1 << 64 | 1)),
        (&["disable", "--rule", "all"], Request::DisableRules((1 << 65) - 1)),
        (&["drain", "--rule", "63"], Request::DrainRules(1 << 63)),
        (&["capacity", "50"], Request::Capacity(50)),
        (&["hold", "3600000"], Request::Hold(3_600_000)),
    ] {
        let (ran, done) = cluster.run(&key, &[call, &["--hosts", "1,3", "--json", "--timeout", "20"]].concat());
        assert_eq!(ran.code, 0, "{call:?}: {}", ran.err);
        assert_eq!(done, [(1, request), (3, request)], "{call:?}: once");
        let reply: hashgate_api::v1::CommandReply = serde_json::from_str(&ran.out).expect("JSON");
        let answers: Vec<_> = reply.answers.iter().map(|it| (it.id, it.outcome.as_str(), it.text.as_str())).collect();
        assert_eq!(answers, [(1, "done", "host 1"), (3, "done", "host 3")]);
    }
    let (ran, _) = cluster.run(&key, &["query", "--host", "all", "--timeout", "8"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("3        done     first, host 3\n"), "both pages: {}", ran.out);
    let (ran, done) = cluster.run(&key, &["stop", "--host", "1,2", "--timeout", "3"]);
    assert_eq!((ran.code, done), (1, vec![(1, Request::Stop)]), "{}", ran.err);
    assert!(ran.out.contains("2        no-answer  within 3 s\n"), "{}", ran.out);
}

#[test]
fn hosts_that_fail_or_do_not_believe() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::new(&[1, 2]);
    let key = key_file(dir.path(), KEY, 0o600);
    let (ran, _) = cluster.run(&key, &["stop", "--host", "2", "--timeout", "20"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("failed   not now"), "{}", ran.out);
    let other = key_file(dir.path(), &KEY.replace('f', "e"), 0o600);
    let (ran, done) = cluster.run(&other, &["stop", "--host", "all", "--timeout", "0.3"]);
    assert_eq!((ran.code, done), (1, vec![]));
    assert!(ran.err.contains("nobody answers at 127.0.0.1"), "{}", ran.err);
}

#[test]
fn keys_and_numbers_are_checked_before_anything_is_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::new(&[1]);
    let long = "0".repeat(130);
    for (text, mode, says) in [
        (KEY, 0o604, "others may use this key"),
        (&KEY[..30], 0o600, "has 15 bytes"),
        (&KEY[..31], 0o600, "two for each byte"),
        (&long, 0o600, "has 65 bytes"),
        ("+1020304050607080910111213141516", 0o600, "hexadecimal"),
        (&"0".repeat(300), 0o600, "too long"),
    ] {
        let key = key_file(dir.path(), text, mode);
        let (ran, done) = cluster.run(&key, &["stop", "--host", "1"]);
        assert_eq!((ran.code, done), (2, vec![]), "{text}");
        assert!(ran.err.contains(says), "{says}: {}", ran.err);
    }
    let key = key_file(dir.path(), KEY, 0o600);
    for (call, says) in [
        (["stop"].as_slice(), "name them"),
        (&["stop", "--host", "alpha"], "have numbers 1 to 32"),
        (&["stop", "--host", "33"], "have numbers 1 to 32"),
        (&["drain", "--rule", "web", "--host", "1"], "rules have numbers"),
        (&["drain", "--rule", "65", "--host", "1"], "rules have numbers"),
    ] {
        let (ran, done) = cluster.run(&key, call);
        assert_eq!((ran.code, done), (2, vec![]), "{call:?}");
        assert!(ran.err.contains(says), "{says}: {}", ran.err);
    }
}

/// Runs `lbctl` on a terminal of 100 columns, types `keys` after it has shown `prompt`, and gives what it showed, and its exit code.
fn at_a_terminal(daemon: &Daemon, call: &[&str], colour: bool, prompt: &str, keys: &str) -> (String, i32) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
    let size = rustix::termios::Winsize { ws_row: 60, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).expect("a size");
    let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("UTF-8");
    let open = || File::options().read(true).write(true).open(&name).expect("a terminal");
    let mut command = daemon.command(call);
    command.env("TERM", "xterm").stdin(open()).stdout(open()).stderr(open());
    if !colour {
        command.env("NO_COLOR", "1");
    }
    let mut child = command.spawn().expect("it starts");
    drop(command);
    let mut master = File::from(master);
    let (mut shown, mut typed, mut buffer) = (Vec::new(), false, [0; 4096]);
    // Without a terminal left at the other end reading fails: that is the end.
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..length]);
        if !typed && !keys.is_empty() && String::from_utf8_lossy(&shown).contains(prompt) {
            master.write_all(keys.as_bytes()).expect("typed");
            typed = true;
        }
    }
    let code = child.wait().expect("it ends").code().expect("no signal");
    (String::from_utf8_lossy(&shown).into_owned(), code)
}

#[test]
fn at_a_terminal_it_asks_before_it_deletes() {
    let daemon = Daemon::new(Manner::Answers);
    let deleted = |daemon: &Daemon| daemon.asked().iter().any(|it| it.0 == "delete_bindings");
    let call = ["bindings", "delete", "--all"];
    let (shown, code) = at_a_terminal(&daemon, &call, true, "[y/N]", "n\n");
    assert!(code == 0 && shown.contains("Delete 12 bindings?") && shown.contains("nothing was deleted"), "{shown}");
    assert!(!deleted(&daemon));
    let (shown, code) = at_a_terminal(&daemon, &call, true, "[y/N]", "y\n");
    assert!(code == 0 && shown.contains("77 bindings deleted"), "{shown}");
    assert!(deleted(&daemon));
    let (shown, code) = at_a_terminal(&daemon, &["bindings", "delete", "--all", "--yes"], true, "", "");
    assert!(code == 0 && !shown.contains("[y/N]"), "{shown}");
    assert!(deleted(&daemon));
}

#[test]
fn terminals_have_colours_unless_unwanted() {
    let daemon = Daemon::new(Manner::Answers);
    for call in [["status"].as_slice(), &["map", "show", "--owners"], &["occupancy"]] {
        let (shown, code) = at_a_terminal(&daemon, call, true, "", "");
        assert!(code == 0 && shown.contains("\x1b["), "{shown}");
        let (shown, code) = at_a_terminal(&daemon, call, false, "", "");
        assert!(code == 0 && !shown.contains('\x1b'), "{shown}");
    }
}

#[test]
fn top_is_live_until_q() {
    let daemon = Daemon::new(Manner::Answers);
    let start = Instant::now();
    let (shown, code) = at_a_terminal(&daemon, &["top"], true, "left-out", "q");
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("\x1b[?1049h") && shown.contains("\x1b[?1049l"), "the screen is given back");
    assert!(start.elapsed() < Duration::from_secs(60), "q ends it");
}

#[test]
fn what_takes_long_says_so_at_a_terminal() {
    let daemon = Daemon::new(Manner::Silent);
    let (shown, code) = at_a_terminal(&daemon, &["bindings", "dump", "--timeout", "2.5"], true, "", "");
    assert!(code == 1 && shown.contains("reading bindings"), "{shown}");
    assert!(shown.contains("did not answer within 2.5 s"), "{shown}");
}
