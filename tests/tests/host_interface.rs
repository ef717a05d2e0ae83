// SPDX-License-Identifier: Apache-2.0
//! The whole NIC, with its host side, under the real driver: in this process, and behind a vfio-user socket.

use hashgate_device::PciDevice;
use hashgate_pci_sim::VfioUserServer;
use hashgate_selftest::{Outcome, Wire, passed, run};
use hashgate_sim::{InProcess, SimNic, WireFrame};
use hashgate_tests::nic_build;
use hashgate_vfio_user::VfioUser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// Cycles between two turns of frames in a looped wire.
const CYCLES: u64 = 300;

fn nic() -> InProcess {
    InProcess::new(SimNic::with_host_interface(nic_build(), 1).expect("the build is compiled in"))
}

/// Each frame that a port sent comes back in by it; gives whether there was one.
fn loop_wires(device: &InProcess) -> bool {
    let mut nic = device.nic();
    let mut any = false;
    for port in 0..nic.build().ports() as u8 {
        while let Some(frame) = nic.pop_wire(port) {
            any = true;
            nic.push_wire(port, WireFrame { data: frame.data, error: frame.aborted, gap: 0 });
        }
    }
    any
}

/// All checks were done, and all of them held.
fn all_ok(checks: &[hashgate_selftest::Check]) {
    assert!(passed(checks), "{checks:#?}");
    let left_out: Vec<_> = checks.iter().filter(|check| check.outcome != Outcome::Ok).collect();
    assert!(left_out.is_empty() && checks.len() > 10, "{left_out:#?}");
}

#[test]
fn selftest_in_process() {
    let device = nic();
    let driver: Arc<dyn PciDevice> = Arc::new(device.clone());
    let mut pump = || {
        loop_wires(&device);
        device.run(CYCLES);
    };
    // A millisecond of the NIC's time.
    let checks = run(&driver, Wire::Looped(&mut pump), Duration::from_millis(1), &mut std::io::stdout()).unwrap();
    all_ok(&checks);
    assert_eq!(device.nic().pop_event().map(|_| ()), Some(()), "frames went through the pipeline");
}

/// Serves the NIC until the other end of `stop` is closed.
fn serve(device: &InProcess, mut server: VfioUserServer<SimNic>, stop: &UnixStream) {
    loop {
        server.work().unwrap();
        assert_eq!(server.take_complaint(), None);
        let idle = device.run_until_idle(CYCLES);
        let idle = !loop_wires(device) && idle;
        let mut fds: Vec<PollFd<'_>> = server.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        fds.push(PollFd::new(stop, PollFlags::IN));
        poll(&mut fds, (!idle).then_some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        if !fds.last().unwrap().revents().is_empty() {
            return;
        }
    }
}

#[test]
fn selftest_over_vfio_user() {
    let path = std::env::temp_dir().join(format!("hashgate-nic-{}.sock", std::process::id()));
    let device = nic();
    let server = VfioUserServer::new(device.clone(), &path).unwrap();
    let (stop, stopped) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn({
        let device = device.clone();
        move || serve(&device, server, &stopped)
    });
    let driver: Arc<dyn PciDevice> = Arc::new(VfioUser::connect(&path).unwrap());
    // The server moves the frames.
    let checks = run(&driver, Wire::Looped(&mut || ()), Duration::from_secs(20), &mut std::io::stdout()).unwrap();
    all_ok(&checks);
    drop((driver, stop));
    thread.join().unwrap();
    assert!(!path.exists());
}
