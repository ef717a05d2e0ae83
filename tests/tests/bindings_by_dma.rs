// SPDX-License-Identifier: Apache-2.0
//! Bindings read by the table mover are those that registers show, also while registers work on the tables and packets come.

use hashgate_device::{Bar, DeviceError, DmaRegion, Interrupt, PciDevice, Width};
use hashgate_nic::{Binding, BindingKey, BindingRecord, BindingTable, Nic};
use hashgate_regs::defs::BindingState;
use hashgate_rings::{HostInterface, MoverConfig};
use hashgate_sim::{Build, InProcess, SimNic, WireFrame};
use hashgate_tables::{Limits, Tables};
use hashgate_tests::scene;
use hashgate_tests::seed::seed;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Bindings of a table in the tests.
const BINDINGS: usize = 300;

/// What is done before every register access of the driver that it is given to.
type Meddle = Box<dyn FnMut() + Send>;

/// A device between whose register accesses something else happens.
struct Meddled {
    device: InProcess,
    meddle: Arc<Mutex<Option<Meddle>>>,
}

struct MeddledBar {
    bar: Arc<dyn Bar>,
    meddle: Arc<Mutex<Option<Meddle>>>,
}

impl Bar for MeddledBar {
    fn size(&self) -> usize {
        self.bar.size()
    }
    fn read32(&self, offset: usize) -> u32 {
        if let Some(meddle) = &mut *self.meddle.lock().unwrap() {
            meddle();
        }
        self.bar.read32(offset)
    }
    fn write32(&self, offset: usize, value: u32) {
        self.bar.write32(offset, value);
    }
}

impl PciDevice for Meddled {
    fn config_read(&self, offset: u16, width: Width) -> Result<u32, DeviceError> {
        self.device.config_read(offset, width)
    }
    fn config_write(&self, offset: u16, width: Width, value: u32) -> Result<(), DeviceError> {
        self.device.config_write(offset, width, value)
    }
    fn bar(&self, index: u8) -> Result<Arc<dyn Bar>, DeviceError> {
        Ok(Arc::new(MeddledBar { bar: self.device.bar(index)?, meddle: self.meddle.clone() }))
    }
    fn map_dma(&self, iova: u64, bytes: usize) -> Result<Arc<DmaRegion>, DeviceError> {
        self.device.map_dma(iova, bytes)
    }
    fn interrupt_vectors(&self) -> usize {
        self.device.interrupt_vectors()
    }
    fn enable_interrupts(&self, vectors: usize) -> Result<Vec<Arc<dyn Interrupt>>, DeviceError> {
        self.device.enable_interrupts(vectors)
    }
    fn reset(&self) -> Result<(), DeviceError> {
        self.device.reset()
    }
}

struct Bench {
    device: InProcess,
    meddle: Arc<Mutex<Option<Meddle>>>,
    /// By DMA, with accesses meddled with.
    dma: Nic,
    _host: HostInterface,
    /// By registers.
    registers: Nic,
}

fn bench(tables: &Tables) -> Bench {
    let device = InProcess::new(SimNic::with_host_interface(Build::B64, 1).expect("the build is compiled in"));
    let meddle = Arc::default();
    let meddled: Arc<dyn PciDevice> = Arc::new(Meddled { device: device.clone(), meddle: Arc::clone(&meddle) });
    let host = HostInterface::open(meddled.clone()).unwrap();
    let mut dma = Nic::open(&*meddled).unwrap();
    dma.set_bulk(Some(Box::new(host.table_mover(&MoverConfig { size_log2: 4, words: 512 }).unwrap())));
    dma.load(tables).unwrap();
    dma.enable(true);
    let registers = Nic::open(&device).unwrap();
    Bench { device, meddle, dma, _host: host, registers }
}

fn random_key(rng: &mut ChaCha8Rng) -> BindingKey {
    let v6 = rng.random();
    let mut address = || match v6 {
        true => IpAddr::V6(Ipv6Addr::from(rng.random::<u128>())),
        false => IpAddr::V4(Ipv4Addr::from(rng.random::<u32>())),
    };
    let (source, destination) = (address(), address());
    BindingKey {
        zone: rng.random(),
        source,
        destination,
        source_port: rng.random(),
        destination_port: rng.random(),
        protocol: 17,
    }
}

fn record(nic: &Nic, rng: &mut ChaCha8Rng) -> BindingRecord {
    let expires = nic.binding_clocks().after(BindingState::Flow, 30_000);
    BindingRecord {
        state: BindingState::Flow,
        target: 1,
        rule: 0,
        bucket: rng.random_range(0..4096),
        expires,
        fresh: false,
    }
}

fn by_key(bindings: &[Binding]) -> BTreeMap<String, Binding> {
    bindings.iter().map(|binding| (format!("{:?}", binding.key), *binding)).collect()
}

#[test]
fn the_same_by_dma_and_by_registers() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let mut bench = bench(&scene::tables(&Limits { ports: 2, ..Limits::default() }));
    for table in [BindingTable::Connection, BindingTable::Affinity] {
        assert_eq!(bench.dma.bindings(table).unwrap(), [], "an empty table");
        let mut keys: Vec<BindingKey> = (0..BINDINGS).map(|_| random_key(&mut rng)).collect();
        for key in &keys {
            let record = record(&bench.registers, &mut rng);
            bench.registers.insert_binding(table, key, &record).unwrap();
        }
        // Gaps between sessions.
        keys.shuffle(&mut rng);
        for key in keys.drain(..BINDINGS / 3) {
            assert!(bench.registers.remove_binding(table, &key).unwrap());
        }
        let by_dma = bench.dma.bindings(table).unwrap();
        assert_eq!(by_dma.len(), keys.len());
        assert_eq!(by_dma, bench.registers.bindings(table).unwrap());
    }
}

/// While the mover walks, registers insert, look up and remove other bindings, and packets come: what was there all the time is found, once.
#[test]
fn a_walk_under_way() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let mut bench = bench(&scene::tables(&Limits { ports: 2, ..Limits::default() }));
    let table = BindingTable::Connection;
    let keys: Vec<BindingKey> = (0..BINDINGS).map(|_| random_key(&mut rng)).collect();
    for key in &keys {
        let record = record(&bench.registers, &mut rng);
        bench.registers.insert_binding(table, key, &record).unwrap();
    }
    let before = bench.registers.bindings(table).unwrap();
    let operations = Arc::new(AtomicU64::new(0));
    let mut others: Vec<BindingKey> = Vec::new();
    let (device, done) = (bench.device.clone(), operations.clone());
    let mut nic = Nic::open(&bench.device).unwrap();
    let frame = scene::udp4(80, 20);
    let (stay, first) = (keys.clone(), before.clone());
    *bench.meddle.lock().unwrap() = Some(Box::new(move || {
        let mut wire = device.nic();
        while wire.rx_pending() < 8 {
            wire.push_wire(0, WireFrame::new(frame.clone()));
        }
        drop(wire);
        done.fetch_add(1, Ordering::Relaxed);
        match rng.random_range(0..4) {
            0 => {
                let (key, record) = (random_key(&mut rng), record(&nic, &mut rng));
                nic.insert_binding(table, &key, &record).unwrap();
                others.push(key);
            }
            1 if !others.is_empty() => {
                let key = others.swap_remove(rng.random_range(0..others.len()));
                assert!(nic.remove_binding(table, &key).unwrap());
            }
            _ => {
                let number = rng.random_range(0..stay.len());
                let found = nic.find_binding(table, &stay[number]).unwrap().expect("it lives");
                assert!(first.contains(&found), "{found:?}");
            }
        }
    }));
    for round in 0..3 {
        let walked = bench.dma.bindings(table).unwrap();
        let walked_by_key = by_key(&walked);
        assert_eq!(walked_by_key.len(), walked.len(), "round {round}: a binding twice");
        for binding in &before {
            assert_eq!(walked_by_key.get(&format!("{:?}", binding.key)), Some(binding), "round {round}");
        }
    }
    *bench.meddle.lock().unwrap() = None;
    assert!(operations.load(Ordering::Relaxed) > 30, "{operations:?} operations: nothing happened meanwhile");
}
