// SPDX-License-Identifier: Apache-2.0
//! Serves the NIC in plain Rust on a vfio-user socket, its wires looped: what the host sends comes back in.
//!
//! `cargo run -p hashgate-soft-nic --example serve -- PATH`
#![forbid(unsafe_code)]

use hashgate_pci_sim::{InProcess, VfioUserServer};
use hashgate_soft_nic::SoftNic;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::path::Path;

/// Clocks that pass before the socket is looked at again.
const STEPS: u64 = 4096;
/// How long the NIC sleeps when it only waits for something, such as a ring that is armed.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

fn main() -> io::Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "give the path of the socket"));
    };
    let mut nic = SoftNic::new();
    nic.set_loop(true);
    let device = InProcess::new(nic);
    let mut server = VfioUserServer::new(device.clone(), Path::new(&path))?;
    loop {
        let asked = server.work()?;
        if let Some(complaint) = server.take_complaint() {
            eprintln!("a client was let go: {complaint}");
        }
        for fault in device.take_faults().first {
            eprintln!("refused by the IOMMU: {fault:x?}");
        }
        let idle = device.run_until_idle(STEPS);
        if !asked {
            let mut files: Vec<PollFd<'_>> =
                server.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            match poll(&mut files, if idle { None } else { Some(&PAUSE) }) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
