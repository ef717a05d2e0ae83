// SPDX-License-Identifier: Apache-2.0
//! The same self-test over a vfio-user socket: the NIC is served by another thread, as if it were another process.

use hashgate_device::PciDevice;
use hashgate_pci_sim::{InProcess, VfioUserServer};
use hashgate_selftest::{Outcome, Wire, run};
use hashgate_soft_nic::SoftNic;
use hashgate_vfio_user::VfioUser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// Serves until `stop` is closed; gives what the server had to say about its clients.
fn serve(mut server: VfioUserServer<SoftNic>, device: &InProcess<SoftNic>, stop: &UnixStream) -> Vec<String> {
    let mut complaints = Vec::new();
    loop {
        server.work().unwrap();
        complaints.extend(server.take_complaint());
        let idle = device.run_until_idle(1000);
        let mut fds: Vec<PollFd<'_>> = server.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        fds.push(PollFd::new(stop, PollFlags::IN));
        let limit = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, (!idle).then_some(&limit)).unwrap();
        if !fds.last().unwrap().revents().is_empty() {
            return complaints;
        }
    }
}

#[test]
fn a_good_nic_passes_over_a_socket() {
    let folder = std::env::temp_dir().join(format!("hashgate-selftest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("nic.sock");
    let device = InProcess::new(SoftNic::new());
    device.nic().set_loop(true);
    let server = VfioUserServer::new(device.clone(), &path).unwrap();
    let (stop, stopped) = UnixStream::pair().unwrap();
    let (checks, printed, complaints) = std::thread::scope(|scope| {
        let server = scope.spawn(|| serve(server, &device, &stopped));
        // Moved in, so that it is closed and the server ends even if the client panics.
        let stop = stop;
        let driver: Arc<dyn PciDevice> = Arc::new(VfioUser::connect(&path).unwrap());
        let mut printed = Vec::new();
        let checks = run(&driver, Wire::Looped(&mut || ()), Duration::from_secs(1), &mut printed).unwrap();
        drop((driver, stop));
        (checks, printed, server.join().unwrap())
    });
    std::fs::remove_dir_all(&folder).unwrap();
    println!("{}", String::from_utf8(printed).unwrap());
    assert!(checks.iter().all(|check| check.outcome == Outcome::Ok), "{checks:?}");
    assert_eq!(complaints, Vec::<String>::new());
}
