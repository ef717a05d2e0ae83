// SPDX-License-Identifier: Apache-2.0
//! The same driver code sees the same device in this process and behind a socket.

mod common;

use common::{Copier, DONE, FAILED, ID, RUNNING, Served, VECTOR, enable};
use hashgate_device::{DeviceError, PciDevice, Width, config};
use hashgate_pci_sim::{FaultReason, InProcess, VECTORS, VfioUserServer};
use hashgate_vfio_user::VfioUser;
use std::time::Duration;

/// Runs a body over both faces; it gets the device and the function behind it.
fn on_both(name: &str, body: impl Fn(&dyn PciDevice, &InProcess<Copier>)) {
    let device = InProcess::new(Copier::default());
    body(&device, &device);
    let served = Served::new(name);
    body(&VfioUser::connect(&served.path).unwrap(), &served.device);
    assert_eq!(served.end(), Vec::<String>::new());
}

/// Polls the state register: a read lets time pass.
fn copied(bar: &dyn hashgate_device::Bar) -> u32 {
    for _ in 0..10_000 {
        let state = bar.read32(0x14);
        if state != RUNNING {
            return state;
        }
    }
    panic!("the copy does not end");
}

#[test]
fn identity_and_bars() {
    on_both("identity", |device, _| {
        assert_eq!(device.config_read(config::VENDOR, Width::Dword).unwrap(), 0x4847_1234);
        assert_eq!(device.config_read(0x0b, Width::Byte).unwrap(), 0x02, "a network controller");
        // BAR 0 tells its size.
        device.config_write(config::BAR0, Width::Dword, u32::MAX).unwrap();
        assert_eq!(device.config_read(config::BAR0, Width::Dword).unwrap(), 0xffff_f000);
        let bar = device.bar(0).unwrap();
        assert_eq!(bar.size(), 4096);
        assert_eq!(bar.read32(0), u32::MAX, "memory accesses are off");
        enable(device);
        assert_eq!(bar.read32(0), ID);
        bar.write32(0x18, 0x1234_5678);
        assert_eq!(bar.read32(0x18), 0x1234_5678);
        assert!(matches!(device.bar(1), Err(DeviceError::NoBar { index: 1 })));
        assert!(matches!(device.config_read(2, Width::Dword), Err(DeviceError::ConfigAccess { .. })));
        // The capabilities: PCI Express with reset, MSI-X with its table in BAR 2, power management.
        let mut found = Vec::new();
        let mut place = device.config_read(0x34, Width::Byte).unwrap() as u16;
        while place != 0 {
            found.push(device.config_read(place, Width::Byte).unwrap());
            place = device.config_read(place + 1, Width::Byte).unwrap() as u16;
            assert!(found.len() < 10, "the list has no end");
        }
        assert_eq!(found, [0x10, 0x11, 0x01]);
    });
}

#[test]
fn memory_and_interrupts() {
    on_both("memory", |device, function| {
        enable(device);
        let bar = device.bar(0).unwrap();
        let interrupts = device.enable_interrupts(VECTORS).unwrap();
        // Two mappings side by side are one range for the function.
        let source = device.map_dma(0x10_0000, 8192).unwrap();
        let low = device.map_dma(0x40_0000, 4096).unwrap();
        let high = device.map_dma(0x40_1000, 4096).unwrap();
        for n in 0..2048 {
            source.write32(4 * n, 0x5a00_0000 + n as u32);
        }
        for (register, value) in [(0x08, 0x100), (0x0c, 0x400), (0x10, 8192), (0x14, 1)] {
            bar.write32(register, value);
        }
        assert_eq!(interrupts[usize::from(VECTOR)].wait(Duration::from_secs(10)), 1);
        assert_eq!(copied(&*bar), DONE);
        for n in 0..1024 {
            assert_eq!(low.read32(4 * n), 0x5a00_0000 + n as u32);
            assert_eq!(high.read32(4 * n), 0x5a00_0400 + n as u32);
        }
        for (n, interrupt) in interrupts.iter().enumerate() {
            assert_eq!(interrupt.take(), 0, "vector {n}");
        }
        // What is mapped is not mapped again; what is taken back is not reached any more.
        assert!(matches!(device.map_dma(0x40_0000, 8192), Err(DeviceError::DmaMap { reason: "mapped already", .. })));
        assert!(matches!(device.map_dma(0x123, 4096), Err(DeviceError::DmaMap { reason: "not whole pages", .. })));
        assert!(matches!(device.enable_interrupts(VECTORS + 1), Err(DeviceError::Interrupts { .. })));
        drop(high);
        bar.write32(0x14, 1);
        assert_eq!(copied(&*bar), FAILED);
        let faults = function.take_faults();
        assert_eq!(faults.count, 1);
        let fault = faults.first[0];
        assert_eq!(
            (fault.address, fault.bytes, fault.write, fault.reason),
            (0x40_0000, 8192, true, FaultReason::NotMapped)
        );
        // Nor without bus mastering.
        device.config_write(config::COMMAND, Width::Word, config::COMMAND_MEMORY).unwrap();
        bar.write32(0x14, 1);
        assert_eq!(copied(&*bar), FAILED);
        assert_eq!(function.take_faults().first[0].reason, FaultReason::NoBusMaster);
        assert_eq!(interrupts[usize::from(VECTOR)].take(), 1, "the message of the first one only");
    });
}

#[test]
fn reset_is_of_the_host_side_only() {
    on_both("reset", |device, function| {
        enable(device);
        let bar = device.bar(0).unwrap();
        let resets = function.nic().resets;
        let interrupts = device.enable_interrupts(4).unwrap();
        bar.write32(0x18, 77);
        bar.write32(0x08, 5);
        device.reset().unwrap();
        assert_eq!(bar.read32(0), u32::MAX, "memory accesses are off after a reset");
        enable(device);
        assert_eq!((bar.read32(0x18), bar.read32(0x08)), (77, 0));
        // By the bit in configuration space as well.
        bar.write32(0x08, 6);
        device.config_write(0x48, Width::Word, 1 << 15).unwrap();
        enable(device);
        assert_eq!((bar.read32(0x18), bar.read32(0x08)), (77, 0));
        assert_eq!(function.nic().resets, resets + 2);
        // Interrupts are off until they are enabled again.
        bar.write32(0x14, 1);
        copied(&*bar);
        assert_eq!(interrupts[3].take(), 0);
        let interrupts = device.enable_interrupts(4).unwrap();
        bar.write32(0x14, 1);
        copied(&*bar);
        assert_eq!(interrupts[3].wait(Duration::from_secs(10)), 1);
    });
}

#[test]
fn a_masked_vector_is_pending() {
    let device = InProcess::new(Copier::default());
    enable(&device);
    let (bar, table) = (device.bar(0).unwrap(), device.bar(2).unwrap());
    let interrupts = device.enable_interrupts(VECTORS).unwrap();
    let mask = usize::from(VECTOR) * 16 + 12;
    table.write32(mask, 1);
    bar.write32(0x14, 1);
    copied(&*bar);
    assert_eq!((interrupts[usize::from(VECTOR)].take(), table.read32(0x800)), (0, 1 << VECTOR));
    table.write32(mask, 0);
    assert_eq!((interrupts[usize::from(VECTOR)].take(), table.read32(0x800)), (1, 0));
    // All of them are masked by one bit of the capability.
    device.config_write(0x82, Width::Word, 0xc000).unwrap();
    bar.write32(0x14, 1);
    copied(&*bar);
    assert_eq!(interrupts[usize::from(VECTOR)].take(), 0);
    device.config_write(0x82, Width::Word, 0x8000).unwrap();
    assert_eq!(interrupts[usize::from(VECTOR)].take(), 1);
    // What comes while MSI-X is off is lost.
    device.config_write(0x82, Width::Word, 0).unwrap();
    bar.write32(0x14, 1);
    copied(&*bar);
    device.config_write(0x82, Width::Word, 0x8000).unwrap();
    assert_eq!((interrupts[usize::from(VECTOR)].take(), table.read32(0x800)), (0, 0));
}

#[test]
fn a_removed_device_reads_ones() {
    let device = InProcess::new(Copier::default());
    enable(&device);
    let bar = device.bar(0).unwrap();
    assert_eq!(bar.read32(0), ID);
    device.remove();
    assert_eq!((bar.read32(0), device.config_read(0, Width::Dword).unwrap()), (u32::MAX, u32::MAX));
    bar.write32(0x18, 1);
    assert_eq!(device.nic().scratch, 0);
    assert!(matches!(device.reset(), Err(DeviceError::Io { .. })));
}

#[test]
fn one_driver_at_a_time() {
    let served = Served::new("busy");
    let first = VfioUser::connect(&served.path).unwrap();
    assert!(matches!(VfioUser::connect(&served.path), Err(DeviceError::Busy { .. })));
    enable(&first);
    assert_eq!(first.bar(0).unwrap().read32(0), ID, "the first one notices nothing");
    let memory = first.map_dma(0x1000, 4096).unwrap();
    drop((memory, first));
    // The next one finds the function reset, and no memory of the first.
    let second = VfioUser::connect(&served.path).unwrap();
    enable(&second);
    assert!(second.map_dma(0x1000, 4096).is_ok());
}

#[test]
fn one_driver_after_the_other_without_a_pause() {
    let served = Served::new("next");
    for n in 0..500 {
        let device = VfioUser::connect(&served.path).unwrap();
        enable(&device);
        let bar = device.bar(0).unwrap();
        assert_eq!(bar.read32(0x18), n, "what the one before posted last has taken effect");
        bar.write32(0x18, n + 1);
    }
    assert_eq!(served.end(), Vec::<String>::new());
}

#[test]
fn faults_are_known_when_their_driver_has_gone() {
    let served = Served::new("faults");
    let device = VfioUser::connect(&served.path).unwrap();
    enable(&device);
    let bar = device.bar(0).unwrap();
    for (register, value) in [(0x08, 0x77), (0x10, 64), (0x14, 1)] {
        bar.write32(register, value);
    }
    assert_eq!(copied(&*bar), FAILED);
    drop((device, bar));
    // The next one is only served when the first has been let go.
    VfioUser::connect(&served.path).unwrap();
    let faults = served.device.take_faults();
    assert_eq!((faults.count, faults.first[0].address, faults.first[0].write), (1, 0x7_7000, false));
}

#[test]
fn a_second_server_is_refused_and_an_old_socket_replaced() {
    let served = Served::new("socket");
    let again = VfioUserServer::new(InProcess::new(Copier::default()), &served.path).err().unwrap();
    assert_eq!(again.kind(), std::io::ErrorKind::AddrInUse);
    let folder = served.path.parent().unwrap().to_owned();
    let left = folder.join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    assert!(left.exists());
    drop(VfioUserServer::new(InProcess::new(Copier::default()), &left).unwrap());
    assert!(!left.exists(), "a server takes its socket with it");
    let file = folder.join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(VfioUserServer::new(InProcess::new(Copier::default()), &file).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert!(matches!(VfioUser::connect(common::nowhere()), Err(DeviceError::Io { .. })));
}
