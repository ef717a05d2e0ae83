// SPDX-License-Identifier: Apache-2.0
//! `hashgate-softnic` as a process: how it starts and ends.

use hashgate_netdev::Tap;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn command(socket: &Path, port: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashgate-softnic"));
    command.arg("--socket").arg(socket).args(["--port", port]).stderr(Stdio::piped());
    command
}

fn refused(socket: &Path, port: &str, texts: &[&str]) {
    let output = command(socket, port).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(texts.iter().all(|text| error.contains(text)), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// Starts it and waits until it listens.
fn start(socket: &Path, port: &str) -> Child {
    let child = command(socket, port).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while UnixStream::connect(socket).is_err() {
        assert!(Instant::now() < end, "nobody listens");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn it_starts_and_ends_in_good_order() {
    let name = format!("hgsn{}", std::process::id() % 100_000);
    if let Err(error) = Tap::open(&name, false) {
        println!("skipped: no TAP device can be made: {error}");
        return;
    }
    let folder = std::env::temp_dir().join(format!("hashgate-softnic-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (socket, port) = (folder.join("nic.sock"), format!("tap:{name}"));
    refused(&socket, "raw:hg-no-such", &["hg-no-such"]);
    assert!(!socket.exists(), "nothing was left");
    // Of a server that is dead.
    drop(UnixListener::bind(&socket).unwrap());
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = start(&socket, &port);
        refused(&socket, &format!("tap:{name}x"), &["nic.sock", "in use", "end the other server"]);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
