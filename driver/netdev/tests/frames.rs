// SPDX-License-Identifier: Apache-2.0
//! A TAP device and a packet socket at its interface, in a network namespace of the test's own.

use hashgate_netdev::{NetDevice, PacketSocket, Tap};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::process::Command;

const NAME: &str = "hgtest0";

/// Runs `ip` in the namespace of this thread.
fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().expect("ip is installed");
    assert!(done.success(), "ip {arguments}");
}

/// The next frame of the experimental Ethernet type that the test uses; others are the kernel's own business.
fn next(device: &mut dyn NetDevice) -> Vec<u8> {
    let mut buffer = [0; 2048];
    loop {
        if let Some(length) = device.receive(&mut buffer).unwrap() {
            if length > 14 && buffer[12..14] == [0x88, 0xb5] {
                return buffer[..length].to_vec();
            }
            continue;
        }
        let fd = device.as_fd();
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&limit)).unwrap();
        assert!(ready > 0, "no frame came in ten seconds");
    }
}

fn frame(number: u8) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, number, 0x88, 0xb5]);
    frame.extend([number; 60]);
    frame
}

#[test]
fn frames_pass_between_tap_and_socket() {
    // SAFETY: only this thread changes its namespace; it shares no memory or file table by that.
    if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        println!("skipped: a network namespace needs CAP_SYS_ADMIN ({error})");
        return;
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        println!("skipped: there is no /dev/net/tun");
        return;
    }
    let mut tap = Tap::open(NAME, true).unwrap();
    assert!(Tap::open(NAME, true).is_err(), "its other end is held already");
    ip(&format!("link set {NAME} up"));
    let mut socket = PacketSocket::open(NAME).unwrap();
    for number in 0..5 {
        assert!(tap.send(&frame(number)).unwrap());
        assert_eq!(next(&mut socket), frame(number), "in by the TAP device");
        assert!(socket.send(&frame(100 + number)).unwrap());
        assert_eq!(next(&mut tap), frame(100 + number), "out by the interface");
    }
    // What the socket has sent it does not see itself: the next frame is that of the TAP device.
    assert!(socket.send(&frame(50)).unwrap());
    assert!(tap.send(&frame(51)).unwrap());
    assert_eq!(next(&mut socket), frame(51));
    // A socket lives through an interface that goes down, whose frames are lost meanwhile, and notices when it is removed.
    assert!(socket.has_link());
    ip(&format!("link set {NAME} down"));
    assert!(!socket.has_link());
    assert_eq!(socket.receive(&mut [0; 64]).unwrap(), None);
    assert!(!socket.send(&frame(52)).unwrap());
    ip(&format!("link set {NAME} up"));
    assert!(tap.send(&frame(53)).unwrap());
    assert_eq!(next(&mut socket), frame(53));
    assert!(socket.has_link());
    // The interface is still there when its other end is gone, and can be taken again.
    drop(tap);
    ip(&format!("link show {NAME}"));
    assert!(!socket.has_link());
    drop(Tap::open(NAME, true).unwrap());
    ip(&format!("link del {NAME}"));
    let error = socket.receive(&mut [0; 64]).unwrap_err();
    assert!(error.to_string().contains("was removed"), "{error}");
}
