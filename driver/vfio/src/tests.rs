// SPDX-License-Identifier: Apache-2.0
//! What needs no device. Everything else (mapping, DMA, interrupts, reset) runs in the guest: `make test-vfio`.

use super::*;

fn event() -> Event {
    Event(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap())
}

fn address() -> Address {
    "ffff:ff:1f.7".parse().unwrap()
}

/// A folder that looks like a device as the kernel shows it, with these links in it.
fn shown(name: &str, links: &[(&str, &str)]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("hashgate-vfio-{}-{name}", std::process::id()));
    fs::create_dir(&path).unwrap();
    for (link, target) in links {
        std::os::unix::fs::symlink(target, path.join(link)).unwrap();
    }
    path
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    for way in [None, Some(Way::Group), Some(Way::Iommufd)] {
        let error = Vfio::find("ffff:ff:1f.7", way).err().unwrap();
        assert!(matches!(error, VfioError::NoDevice { .. }), "{error}");
    }
    let error = Vfio::open("../../etc").err().unwrap();
    assert!(
        matches!(&error, DeviceError::Io { source, .. } if source.kind() == io::ErrorKind::InvalidInput),
        "{error}"
    );
}

#[test]
fn only_devices_of_vfio_are_opened() {
    for (driver, good) in [("vfio-pci", true), ("mlx5_vfio_pci", true), ("e1000e", false)] {
        let path = shown(driver, &[("driver", &format!("../../../bus/pci/drivers/{driver}"))]);
        let found = check_driver(address(), &path);
        fs::remove_dir_all(path).unwrap();
        match found {
            Ok(()) => assert!(good, "{driver}"),
            Err(VfioError::NotBound { driver: found, .. }) => {
                assert_eq!((found.as_deref(), good), (Some(driver), false))
            }
            Err(error) => panic!("{error}"),
        }
    }
    let path = shown("none", &[]);
    let found = check_driver(address(), &path);
    fs::remove_dir_all(path).unwrap();
    assert!(matches!(found, Err(VfioError::NotBound { driver: None, .. })));
}

#[test]
fn a_device_without_an_iommu_is_refused() {
    let path = shown("group", &[("iommu_group", "../../../kernel/iommu_groups/17")]);
    let found = group_of(address(), &path);
    fs::remove_dir_all(path).unwrap();
    assert_eq!(found.unwrap(), 17);
    let path = shown("no-group", &[]);
    let found = group_of(address(), &path);
    fs::remove_dir_all(path).unwrap();
    assert!(matches!(found, Err(VfioError::NoIommu { .. })));
}

#[test]
fn a_file_that_is_missing_is_named() {
    let error = open_file("/dev/vfio/no-such-group").unwrap_err().during(OPENING);
    assert!(error.to_string().contains("/dev/vfio/no-such-group: open: "), "{error}");
    assert!(error.to_string().contains("modprobe"), "{error}");
}

#[test]
fn memory_must_be_in_one_range() {
    let ranges = [0..=0xfedf_ffff, 0xfef0_0000..=u64::MAX];
    for (iova, bytes, good) in [
        (0, 4096, true),
        (0xfedf_f000, 4096, true),
        (0xfedf_f000, 8192, false),
        (0xfedf_f000, 0x20_0000, false),
        (0xfee0_0000, 4096, false),
        (0xfef0_0000, 4096, true),
    ] {
        assert_eq!(is_inside(&ranges, iova, bytes), good, "{iova:#x} {bytes:#x}");
    }
    assert!(!is_inside(&[], 0, 4096));
}

#[test]
fn events_are_counted() {
    let event = event();
    assert_eq!((event.take(), event.wait(Duration::ZERO)), (0, 0));
    rustix::io::write(event.fd().unwrap(), &2u64.to_ne_bytes()).unwrap();
    rustix::io::write(event.fd().unwrap(), &1u64.to_ne_bytes()).unwrap();
    assert_eq!((event.wait(Duration::MAX), event.take()), (3, 0));
}

#[test]
fn waiting_ends_with_an_event_or_in_time() {
    let event = event();
    let timeout = Duration::from_millis(20);
    let start = Instant::now();
    assert_eq!(event.wait(timeout), 0);
    assert!(start.elapsed() >= timeout);
    std::thread::scope(|scope| {
        scope.spawn(|| rustix::io::write(&event.0, &1u64.to_ne_bytes()).unwrap());
        assert_eq!(event.wait(Duration::from_secs(60)), 1);
    });
}

/// A file of 8 KiB in place of a device, and what holds it open.
fn file_as_device(answers: bool) -> Arc<Opened> {
    let device = File::from(rustix::fs::memfd_create("device", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    device.set_len(8192).unwrap();
    let null = || File::open("/dev/null").unwrap();
    let space = Space::Group { container: null(), _group: null() };
    Arc::new(Opened { device, space, address: address(), path: "device".into(), answers: RwLock::new(answers) })
}

/// Both kinds of BARs, over the second half of the file.
fn bars(opened: &Arc<Opened>) -> [Arc<dyn Bar>; 2] {
    let map = MmapOptions::new().offset(4096).len(4096).map_raw(&opened.device).unwrap();
    let mapped = MappedBar { opened: opened.clone(), map };
    [Arc::new(mapped), Arc::new(FileBar { opened: opened.clone(), offset: 4096, size: 4096 })]
}

#[test]
fn registers_are_little_endian_and_where_the_region_is() {
    let opened = file_as_device(true);
    for (n, bar) in bars(&opened).into_iter().enumerate() {
        assert_eq!(bar.size(), 4096);
        bar.write32(4092, 0x0102_0304 + n as u32);
        let mut bytes = [0; 4];
        opened.device.read_exact_at(&mut bytes, 8188).unwrap();
        assert_eq!(bytes, [4 + n as u8, 3, 2, 1]);
        assert_eq!(bar.read32(4092), 0x0102_0304 + n as u32);
        for offset in [2, 4096] {
            assert!(
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bar.read32(offset))).is_err(),
                "{offset:#x}"
            );
            assert!(
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bar.write32(offset, 0))).is_err(),
                "{offset:#x}"
            );
        }
    }
}

#[test]
fn a_device_that_does_not_answer_reads_ones() {
    let opened = file_as_device(false);
    let [mapped, file] = bars(&opened);
    mapped.write32(0, 7);
    assert_eq!(mapped.read32(0), u32::MAX);
    assert_eq!(file.read32(0), 0, "there the kernel decides, and nothing was written");
    opened.device.set_len(4096).unwrap();
    assert_eq!(file.read32(4), u32::MAX);
}
