// SPDX-License-Identifier: Apache-2.0
//! The driver against a mock of the register interface: what it refuses, what it writes, what it finds out.

mod mock;

use hashgate_device::{Bar, DeviceError, PciDevice, Width};
use hashgate_nic::{Nic, NicError};
use hashgate_regs::defs::{Mode, Table, Track, VipKind};
use hashgate_regs::registers::{Build0, Build1, Build2, Build3, offset};
use hashgate_tables::{
    BUCKETS, BucketFlags, KeyMask, Mac, MatchSlot, NOBODY, OtherIp, Rule, Settings, TableError, Tables, Target,
    Timeouts, Vip,
};
use mock::Mock;
use std::sync::Arc;

/// Something of everything.
fn tables() -> Tables {
    let rule = Rule {
        mode: Mode::Single,
        draining: true,
        affinity: false,
        timeouts: Timeouts::default(),
        track: Track::Always,
        map: 64,
        group: 200,
        bucket: KeyMask::CLASS_C,
        binding: KeyMask { src4: 24, src6: 128, dst: true, sport: false, dport: true },
    };
    let slot = |vip, rule, ports| MatchSlot { vip, tcp: true, udp: false, ports, fragment: false, rule };
    let vip = |zone, addr: &str, kind, id| Vip { zone, addr: addr.parse().unwrap(), kind, id };
    let mut settings = Settings {
        station_mac: Mac([2, 0, 0, 0, 0, 1]),
        cluster_mac: Mac([3, 0xbf, 10, 0, 0, 100]),
        mask_mac: Mac([2, 1, 10, 0, 0, 100]),
        mask_source: true,
        icmp_owner: true,
        other_ip: OtherIp::Balance,
        promiscuous: false,
        all_multicast: true,
        ..Settings::default()
    };
    settings.hash_key[51] = 0x5a;
    Tables {
        settings,
        zones: [((0, 0), 1), ((0, 4095), 255)].into(),
        multicast: [Mac([1, 0, 0x5e, 1, 2, 3]), Mac([0x33, 0x33, 0, 0, 0, 1])].into(),
        vips: vec![
            vip(0, "10.0.0.1", VipKind::Dedicated, 0),
            vip(1, "10.0.0.100", VipKind::Vip, 511),
            vip(1, "2001:db8::100", VipKind::Vip, 511),
            vip(2, "::ffff:10.0.0.100", VipKind::Vip, 7),
        ],
        slots: vec![Some(slot(Some(511), 0, (80, 443))), None, Some(slot(None, 64, (0, 65535)))],
        rules: [(0, rule), (64, Rule { map: 0, mode: Mode::Multiple, ..rule })].into(),
        maps: [(0, vec![NOBODY; BUCKETS]), (64, (0..BUCKETS as u16).map(|b| b % 2 * 1022).collect())].into(),
        flags: [
            ((64, 0), BucketFlags { handover: true, track: false }),
            ((64, 4095), BucketFlags { handover: true, track: true }),
            ((0, 17), BucketFlags { handover: false, track: true }),
        ]
        .into(),
        targets: [(0, Target::deliver(255)), (1022, Target { draining: true, ..Target::forward(0) })].into(),
    }
}

fn open(mock: &Mock) -> Nic {
    Nic::open(mock).unwrap()
}

/// The error of opening a NIC that cannot be opened.
fn refusal(device: &dyn PciDevice) -> String {
    Nic::open(device).err().expect("the NIC is refused").to_string()
}

#[test]
fn a_good_nic_tells_its_parameters() {
    let nic = open(&Mock::new());
    let info = nic.info();
    assert_eq!((info.version, info.beat_bytes, info.ports, info.fcs), ((1, 0), 64, 1, true));
    assert_eq!((info.latency, info.clock_khz, info.exact_rows), (60, 322_266, 256));
    assert_eq!(info.limits, Default::default());
    // A later minor version is compatible.
    assert_eq!(open(&Mock::with(offset::VERSION, 0x0001_0007)).info().version, (1, 7));
}

#[test]
fn other_devices_are_refused() {
    assert_eq!(
        refusal(&Mock::with(offset::ID, 0x1234_5678)),
        "register ID is 0x12345678, not 0x48474154: BAR 0 of this device is not that of a Hashgate NIC"
    );
    assert_eq!(
        refusal(&Mock::with(offset::VERSION, 0x0002_0001)),
        "the NIC has interface version 2.1, this driver knows 1.x: update the older one"
    );
    let mock = Mock::new();
    mock.state().gone = true;
    assert!(matches!(Nic::open(&mock), Err(NicError::NoAnswer)));
    let mock = Mock::with(offset::STATUS, 0);
    assert!(refusal(&mock).starts_with("the initialisation of the tables did not end after"));
}

#[test]
fn impossible_build_parameters_are_refused() {
    let build0 = Build0 { beat_bytes: 64, ports: 1, fcs: true, latency: 60 };
    let build1 = Build1 { rules: 64, maps: 65, buckets_log2: 12 };
    let build2 = Build2 { targets: 1024, vips: 512 };
    let build3 = Build3 { multicast: 512, exact_rows: 256 };
    for (register, bits, names) in [
        (offset::BUILD0, Build0 { beat_bytes: 0, ..build0 }.bits(), "beat_bytes = 0"),
        (offset::BUILD0, Build0 { beat_bytes: 48, ..build0 }.bits(), "beat_bytes = 48"),
        (offset::BUILD0, Build0 { ports: 0, ..build0 }.bits(), "ports = 0"),
        (offset::BUILD0, Build0 { ports: 3, ..build0 }.bits(), "ports = 3"),
        (offset::BUILD0, Build0 { latency: 0, ..build0 }.bits(), "latency = 0"),
        (offset::BUILD1, Build1 { rules: 0, ..build1 }.bits(), "rules = 0"),
        (offset::BUILD1, Build1 { rules: 65, ..build1 }.bits(), "rules = 65"),
        (offset::BUILD1, Build1 { maps: 97, ..build1 }.bits(), "maps = 97"),
        (offset::BUILD1, Build1 { buckets_log2: 11, ..build1 }.bits(), "buckets_log2 = 11"),
        (offset::BUILD1, Build1 { buckets_log2: 255, ..build1 }.bits(), "buckets_log2 = 255"),
        (offset::BUILD2, Build2 { targets: 1000, ..build2 }.bits(), "targets = 1000"),
        (offset::BUILD2, Build2 { targets: 2048, ..build2 }.bits(), "targets = 2048"),
        (offset::BUILD2, Build2 { vips: 513, ..build2 }.bits(), "vips = 513"),
        (offset::BUILD3, Build3 { exact_rows: 0, ..build3 }.bits(), "exact_rows = 0"),
        (offset::BUILD4, 0, "bindings = 0"),
        (offset::BUILD4, 5000, "bindings = 5000"),
        (offset::BUILD3, Build3 { exact_rows: 128, ..build3 }.bits(), "vips = 512"),
        (offset::BUILD3, Build3 { multicast: 0, ..build3 }.bits(), "multicast = 0"),
        (offset::CLOCK_KHZ, 0, "clock_khz = 0"),
    ] {
        let error = refusal(&Mock::with(register, bits));
        assert!(error.starts_with(&format!("the NIC reports {names}, possible is ")), "{names}: {error}");
    }
}

/// A device with this number as vendor and device id.
struct Other(u16);

impl PciDevice for Other {
    registers_only!();
    fn config_read(&self, _offset: u16, _width: Width) -> Result<u32, DeviceError> {
        Ok(self.0.into())
    }
    fn config_write(&self, _offset: u16, _width: Width, _value: u32) -> Result<(), DeviceError> {
        Ok(())
    }
    fn bar(&self, _index: u8) -> Result<Arc<dyn Bar>, DeviceError> {
        unreachable!("the device is refused before its BAR is mapped")
    }
}

#[test]
fn other_pci_devices_are_not_touched() {
    assert_eq!(
        refusal(&Other(0x8086)),
        "PCI device 8086:8086 is not a Hashgate NIC (1234:4847): give the address of one"
    );
    assert!(matches!(Nic::open(&Other(0xffff)), Err(NicError::NoAnswer)));
}

#[test]
fn what_is_loaded_is_read_back_by_the_next_driver() {
    let mock = Mock::new();
    open(&mock).load(&tables()).unwrap();
    let mut second = open(&mock);
    assert_eq!(second.read_active().unwrap(), tables());
    // And it has nothing to write then.
    let before = mock.state().data_writes;
    second.load(&tables()).unwrap();
    assert_eq!(mock.state().data_writes, before);
    assert_eq!(second.registers().generation(), 1);
}

#[test]
fn only_differences_are_written() {
    let mock = Mock::new();
    let mut nic = open(&mock);
    let writes = |nic: &mut Nic, tables: &Tables| {
        let before = mock.state().data_writes;
        nic.stage(tables).unwrap();
        nic.commit().unwrap();
        mock.state().data_writes - before
    };
    let first = tables();
    let mut second = tables();
    second.maps.get_mut(&64).unwrap()[100] = 1022;
    second.targets.insert(5, Target::discard());
    // An empty NIC: only what is not 0. Both banks have to be written once.
    assert!(writes(&mut nic, &first) < 2 * BUCKETS);
    assert_eq!(writes(&mut nic, &first), 0);
    assert!(writes(&mut nic, &second) < BUCKETS, "the shadows of one map and the targets were empty");
    // From now on the banks differ in one owner and one target.
    for _ in 0..3 {
        assert_eq!(writes(&mut nic, &first), 0, "the other bank still holds it");
        assert_eq!(writes(&mut nic, &second), 0, "the other bank still holds it");
    }
    second.maps.get_mut(&64).unwrap()[101] = 0;
    // The other bank lacks both owners, which share a word; the target is active already.
    assert_eq!(writes(&mut nic, &second), 1);
    assert_eq!(open(&mock).read_active().unwrap().maps, second.maps);
}

#[test]
fn a_driver_that_knows_nothing_still_loads_right() {
    let mock = Mock::new();
    let mut third = tables();
    third.maps.get_mut(&0).unwrap()[0] = 1022;
    for (n, tables) in [tables(), third.clone(), tables(), third].iter().enumerate() {
        // A new driver each time: what lies in the banks is not known to it.
        open(&mock).load(tables).unwrap();
        assert_eq!(open(&mock).read_active().unwrap(), *tables, "load {n}");
    }
}

#[test]
fn staging_again_replaces_what_was_staged() {
    let mock = Mock::new();
    let mut nic = open(&mock);
    nic.load(&tables()).unwrap();
    let mut changed = tables();
    changed.targets.insert(5, Target::discard());
    nic.stage(&changed).unwrap();
    nic.stage(&tables()).unwrap();
    nic.commit().unwrap();
    assert_eq!(nic.registers().generation(), 1, "nothing was left to commit");
    assert_eq!(nic.read_active().unwrap(), tables());
}

#[test]
fn broken_limits_write_nothing() {
    let mock = Mock::new();
    let mut nic = open(&mock);
    let mut bad = tables();
    bad.targets.remove(&1022);
    assert!(matches!(
        nic.load(&bad),
        Err(NicError::Table(TableError::UnknownTarget { map: 64, bucket: 1, target: 1022 }))
    ));
    let mut bad = tables();
    bad.slots.resize(65, None);
    bad.slots[64] = bad.slots[0];
    assert!(matches!(nic.stage_unchecked(&bad), Err(NicError::Table(TableError::Range { value: 64, max: 63, .. }))));
    let mut bad = tables();
    bad.vips.push(bad.vips[0]);
    assert!(matches!(nic.stage_unchecked(&bad), Err(NicError::Table(TableError::DuplicateVip { zone: 0, .. }))));
    assert!(nic.set_flags(&[((65, 0), BucketFlags::default())].into()).is_err());
    assert!(nic.set_flags(&[((0, 4096), BucketFlags::default())].into()).is_err());
    assert_eq!(mock.state().data_writes, 0);
}

#[test]
fn a_stuck_bit_is_found_and_nothing_is_committed() {
    let mock = Mock::new();
    let mut nic = open(&mock);
    mock.state().stuck = 1 << 9;
    let error = nic.load(&tables()).unwrap_err();
    assert!(matches!(error, NicError::Crc { .. }), "{error}");
    nic.commit().unwrap();
    assert_eq!(nic.registers().generation(), 0);
    // Repaired, the same driver loads all of it.
    mock.state().stuck = 0;
    nic.load(&tables()).unwrap();
    assert_eq!(nic.read_active().unwrap(), tables());
}

#[test]
fn a_commit_that_somebody_disturbed_is_refused() {
    let mock = Mock::new();
    let mut nic = open(&mock);
    nic.stage(&tables()).unwrap();
    mock.state().disturb(Table::Rule);
    assert!(matches!(nic.commit(), Err(NicError::CommitRefused { tables: 0x3f, maps: 2 })));
    assert!(nic.faults().commit_refused);
    nic.clear_faults();
    assert!(!nic.faults().commit_refused);
    nic.load(&tables()).unwrap();
    assert_eq!(nic.read_active().unwrap(), tables());
}

#[test]
fn a_nic_that_goes_away_is_noticed() {
    let mock = Mock::new();
    let mut nic = open(&mock);
    nic.stage(&tables()).unwrap();
    mock.state().gone = true;
    assert!(matches!(nic.commit(), Err(NicError::NoAnswer)));
    assert!(matches!(nic.stage(&tables()), Err(NicError::NoAnswer)));
    assert!(matches!(nic.read_active(), Err(NicError::NoAnswer)));
}

#[test]
fn the_hash_key_stays_while_frames_are_received() {
    let mock = Mock::new();
    let mut nic = open(&mock);
    nic.load(&tables()).unwrap();
    nic.enable(true);
    nic.apply_settings(&tables().settings).unwrap();
    assert!(nic.is_enabled(), "settings leave the receive path alone");
    let mut settings = tables().settings;
    settings.hash_key[0] ^= 1;
    settings.promiscuous = true;
    assert!(matches!(nic.apply_settings(&settings), Err(NicError::HashKeyInUse)));
    assert_eq!(nic.settings(), tables().settings);
    nic.enable(false);
    nic.apply_settings(&settings).unwrap();
    assert_eq!(nic.settings(), settings);
}
