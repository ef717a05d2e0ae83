// SPDX-License-Identifier: Apache-2.0
//! Walks over bindings, which the table mover makes, show what registers show, also while registers work on the tables and packets come.

use hashgate_device::PciDevice;
use hashgate_nic::{Binding, BindingEvent, BindingKey, BindingRecord, BindingTable, EVENT_WORDS, Nic};
use hashgate_regs::defs::BindingState;
use hashgate_rings::{HostInterface, MoverConfig};
use hashgate_sim::{Build, InProcess, Ready, SimNic, Walk, WireFrame};
use hashgate_tables::Limits;
use hashgate_tests::{for_each_build, nic_build, scene, seed};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

for_each_build!(the_same_as_by_registers, walks_under_way, a_walk_begun_anew);

/// Words of a binding in a walk.
const ENTRY: usize = 16;
/// Cycles in which a walk over some hundred bindings ends.
const PATIENCE: u64 = 1_000_000;

struct Bench {
    device: InProcess,
    nic: Nic,
    rng: ChaCha8Rng,
}

impl Bench {
    fn new(build: Build) -> Bench {
        let rng = ChaCha8Rng::seed_from_u64(seed());
        let device = InProcess::new(SimNic::new(build).expect("the build is compiled in"));
        let mut nic = Nic::open(&device).unwrap();
        nic.load(&scene::tables(&Limits { ports: build.ports() as u8, ..Limits::default() })).unwrap();
        nic.enable(true);
        Bench { device, nic, rng }
    }

    fn insert(&mut self, table: BindingTable, count: usize) -> Vec<BindingKey> {
        let keys: Vec<BindingKey> = (0..count).map(|_| random_key(&mut self.rng)).collect();
        for key in &keys {
            insert(&mut self.nic, &mut self.rng, table, key);
        }
        keys
    }

    /// Begins a walk.
    fn walk(&self, table: BindingTable, go_on: bool, session: u16, entries: usize, reads: Ready) {
        let affinity = table == BindingTable::Affinity;
        self.device.nic().start_walk(Walk { affinity, go_on, session, words: ENTRY * entries, reads });
    }

    /// Lets time pass until it has ended.
    fn walked(&self, table: BindingTable) -> Vec<Binding> {
        for _ in 0..PATIENCE {
            if let Some(words) = self.device.nic().walked() {
                return bindings(table, &words);
            }
            self.device.run(1);
        }
        panic!("the walk does not end");
    }
}

fn random_key(rng: &mut ChaCha8Rng) -> BindingKey {
    let v6: bool = rng.random();
    let mut address = || match v6 {
        true => IpAddr::V6(Ipv6Addr::from(rng.random::<u128>())),
        false => IpAddr::V4(Ipv4Addr::from(rng.random::<u32>())),
    };
    let (source, destination) = (address(), address());
    let (source_port, destination_port) = (rng.random(), rng.random());
    BindingKey { zone: rng.random(), source, destination, source_port, destination_port, protocol: 17 }
}

fn insert(nic: &mut Nic, rng: &mut ChaCha8Rng, table: BindingTable, key: &BindingKey) {
    let expires = nic.binding_clocks().after(BindingState::Flow, rng.random_range(20_000..30_000));
    let bucket = rng.random_range(0..4096);
    let record = BindingRecord {
        state: BindingState::Flow,
        target: scene::TARGET,
        rule: scene::RULE,
        bucket,
        expires,
        fresh: false,
    };
    nic.insert_binding(table, key, &record).unwrap();
}

/// The entries of a walk; behind the last one is nothing.
fn bindings(table: BindingTable, words: &[u32]) -> Vec<Binding> {
    let entries = words.chunks(ENTRY);
    let live = entries.clone().take_while(|entry| entry[15] == 1 << 31);
    let found: Vec<Binding> = live
        .map(|entry| {
            let event = BindingEvent::from_words(entry[..EVENT_WORDS].try_into().unwrap()).unwrap();
            assert_eq!((event.table, entry[0]), (table, 0));
            // A second key is not told, only that there is one.
            assert!(entry[14] < 2, "{:#x}", entry[14]);
            event.binding
        })
        .collect();
    let rest: Vec<u32> = entries.skip(found.len()).flatten().copied().collect();
    assert!(rest.iter().all(|word| *word == 0), "words behind the last binding");
    found
}

fn by_key(bindings: &[Binding]) -> BTreeMap<String, Binding> {
    bindings.iter().map(|binding| (format!("{:?}", binding.key), *binding)).collect()
}

fn the_same_as_by_registers(build: Build) {
    let mut bench = Bench::new(build);
    for table in [BindingTable::Connection, BindingTable::Affinity] {
        bench.walk(table, false, 0, 3, Ready::Always);
        assert_eq!(bench.walked(table), [], "an empty table");
        let mut keys = bench.insert(table, 90);
        // Gaps between sessions.
        keys.shuffle(&mut bench.rng);
        for key in keys.drain(..40) {
            assert!(bench.nic.remove_binding(table, &key).unwrap());
        }
        let by_registers = bench.nic.bindings(table).unwrap();
        assert_eq!(by_registers.len(), 50);
        bench.walk(table, false, 0, 60, Ready::Always);
        assert_eq!(bench.walked(table), by_registers);
        // In parts, read at any speed.
        let mut parts = Vec::new();
        for (go_on, entries, permille) in [(false, 7, 1000), (true, 1, 30), (true, 20, 500), (true, 30, 900)] {
            let seed = bench.rng.random();
            bench.walk(table, go_on, 0, entries, Ready::Random { seed, permille });
            parts.extend(bench.walked(table));
        }
        assert_eq!(parts, by_registers, "in parts");
        // From a session on.
        let middle = by_registers[25].session;
        for (first, index) in [(middle, 25), (middle + 1, 26), (u16::MAX, 50)] {
            bench.walk(table, false, first, 60, Ready::Always);
            assert_eq!(bench.walked(table), by_registers[index..], "from session {first}");
        }
    }
}

/// While a walk goes on, registers insert, look up and remove other bindings, and packets come: what is there all the time is found, once.
fn walks_under_way(build: Build) {
    let mut bench = Bench::new(build);
    let table = BindingTable::Connection;
    let stay = bench.insert(table, 60);
    let before = by_key(&bench.nic.bindings(table).unwrap());
    let frame = scene::udp4(80, 20);
    let mut others: Vec<BindingKey> = Vec::new();
    for round in 0..12 {
        let (seed, permille) = (bench.rng.random(), if round % 3 == 0 { 1000 } else { 300 });
        bench.walk(table, false, 0, 400, Ready::Random { seed, permille });
        let (mut operations, mut words) = (0, None);
        while words.is_none() {
            let mut sim = bench.device.nic();
            while sim.rx_pending() < 8 {
                sim.push_wire(0, WireFrame::new(frame.clone()));
            }
            drop(sim);
            match bench.rng.random_range(0..4) {
                0 if others.len() < 200 => others.extend(bench.insert(table, 1)),
                1 if !others.is_empty() => {
                    let key = others.swap_remove(bench.rng.random_range(0..others.len()));
                    assert!(bench.nic.remove_binding(table, &key).unwrap(), "round {round}");
                }
                // The tables do not wait for each other.
                2 => assert_eq!(bench.nic.find_binding(BindingTable::Affinity, &stay[0]).unwrap(), None),
                _ => {
                    let key = stay[bench.rng.random_range(0..stay.len())];
                    let found = bench.nic.find_binding(table, &key).unwrap();
                    assert_eq!(found.as_ref(), before.get(&format!("{key:?}")), "round {round}");
                }
            }
            operations += 1;
            words = bench.device.nic().walked();
        }
        assert!(operations > 10, "round {round}: {operations} operations during a walk");
        let walked = bindings(table, &words.unwrap());
        let found = by_key(&walked);
        // A binding that was removed and one that was inserted into its session later have different keys.
        assert_eq!(found.len(), walked.len(), "round {round}: a binding twice");
        assert!(walked.is_sorted_by_key(|binding| binding.session), "round {round}: sessions in another order");
        for (key, binding) in &before {
            assert_eq!(found.get(key), Some(binding), "round {round}");
        }
    }
}

/// A walk that begins before the one before has ended, at any moment of it, has nothing of it.
fn a_walk_begun_anew(build: Build) {
    let mut bench = Bench::new(build);
    let tables = [BindingTable::Connection, BindingTable::Affinity];
    let all = tables.map(|table| {
        bench.insert(table, 20);
        bench.nic.bindings(table).unwrap()
    });
    for cycles in 0..80 {
        let (first, then) = (cycles as usize % 2, bench.rng.random_range(0..2));
        bench.walk(tables[first], false, 0, 20, Ready::Always);
        bench.device.run(cycles);
        let from = bench.rng.random_range(0..20);
        bench.walk(tables[then], false, all[then][from].session, 25, Ready::Always);
        assert_eq!(bench.walked(tables[then]), all[then][from..], "{cycles} cycles after another walk began");
    }
}

/// The same through the table mover, in memory.
#[test]
fn by_dma() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let build = nic_build();
    let device = InProcess::new(SimNic::with_host_interface(build, 1).expect("the build is compiled in"));
    let driver: Arc<dyn PciDevice> = Arc::new(device.clone());
    let host = HostInterface::open(driver).unwrap();
    let mut nic = Nic::open(&device).unwrap();
    nic.load(&scene::tables(&Limits { ports: build.ports() as u8, ..Limits::default() })).unwrap();
    for table in [BindingTable::Connection, BindingTable::Affinity] {
        let keys: Vec<BindingKey> = (0..300).map(|_| random_key(&mut rng)).collect();
        keys.iter().for_each(|key| insert(&mut nic, &mut rng, table, key));
        // Every tenth has a second key.
        for key in keys.iter().step_by(10) {
            let second = BindingKey {
                source_port: key.destination_port,
                destination_port: key.source_port,
                zone: !key.zone,
                ..*key
            };
            nic.add_key(table, key, &second).unwrap();
        }
        let by_registers = nic.bindings(table).unwrap();
        assert_eq!(by_registers.iter().filter(|binding| binding.other.is_some()).count(), 30);
        // More than a call of the mover takes, and commands of one and of many bindings.
        for words in [16, 512] {
            nic.set_bulk(Some(Box::new(host.table_mover(&MoverConfig { size_log2: 4, words }).unwrap())));
            assert_eq!(nic.bindings(table).unwrap(), by_registers, "commands of {words} words");
            nic.set_bulk(None);
        }
        assert_eq!(by_registers.len(), 300);
    }
    let mut mover = host.table_mover(&MoverConfig::default()).unwrap();
    let error = mover.walk_bindings(false, false, &mut [0; 24]).unwrap_err();
    assert!(error.to_string().contains("multiple of 16"), "{error}");
}
