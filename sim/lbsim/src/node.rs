// SPDX-License-Identifier: Apache-2.0
//! A member of a simulated cluster: a Verilated NIC, the driver on it, and what becomes of the frames sent to it.

use crate::capture::Packet;
use anyhow::{Context, Result, ensure};
use hashgate_config::{Build, Config, Host};
use hashgate_nic::{Binding, BindingRecord, BindingTable, Nic, NicInfo};
use hashgate_regs::defs::{BindingState, Reason, Verdict};
use hashgate_sim::{InProcess, SimNic, VerdictEvent, WireFrame};
use hashgate_tables::Tables;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

/// Frames that wait at a wire port at most; bounds memory, and is far more than the NIC takes during a register access.
const WAITING: usize = 1024;
/// Cycles after the last frame went in until all must have come out.
const DRAIN_CYCLES: u64 = 1_000_000;

/// Packets by verdict and reason.
pub type Tally = BTreeMap<(Verdict, Reason), u64>;

/// A NIC of the cluster.
pub struct Node<'c> {
    /// The host that it belongs to.
    pub host: &'c Host,
    device: InProcess,
    driver: Nic,
    /// Numbers of the frames of each port whose verdict is awaited.
    waiting: Vec<VecDeque<usize>>,
}

impl<'c> Node<'c> {
    /// Powers the NIC of `host` on, brings it up with the driver, and loads its tables. It is not enabled.
    ///
    /// # Errors
    /// Those of the simulator and the driver.
    pub fn new(config: &Config, host: &'c Host, tables: &Tables, trace: Option<&Path>) -> Result<Node<'c>> {
        let mut nic = SimNic::new(sim_build(config.build))?;
        if let Some(path) = trace {
            nic.trace(path)?;
        }
        let device = InProcess::new(nic);
        let mut driver = Nic::open(&device).with_context(|| format!("NIC of host {}", host.name))?;
        driver.load(tables).with_context(|| format!("NIC of host {}", host.name))?;
        Ok(Node { host, device, driver, waiting: vec![VecDeque::new(); config.build.ports().into()] })
    }

    /// What the NIC says about itself.
    pub fn info(&self) -> &NicInfo {
        self.driver.info()
    }

    /// Cycles since power-on.
    pub fn cycle(&self) -> u64 {
        self.device.nic().cycle()
    }

    /// Lets time pass until `cycle`.
    pub fn run_to(&self, cycle: u64) {
        let mut nic = self.device.nic();
        let left = cycle.saturating_sub(nic.cycle());
        nic.run(left);
    }

    /// Opens or closes the receive path.
    pub fn enable(&mut self, enable: bool) {
        self.driver.enable(enable);
    }

    /// The driver, for what this type has no method for.
    pub fn driver(&mut self) -> &mut Nic {
        &mut self.driver
    }

    /// Lets time pass until at most `frames` of those pushed have not gone in.
    pub fn run_until_waiting(&self, frames: usize) {
        let mut nic = self.device.nic();
        while nic.rx_pending() > frames {
            nic.step();
        }
    }

    /// Loads new tables beside the active ones and has the NIC check them; traffic goes on by the old ones. The flags of
    /// buckets stay as they are.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn stage(&mut self, tables: &Tables) -> Result<()> {
        self.driver.stage(tables).with_context(|| format!("NIC of host {}", self.host.name))
    }

    /// Switches to the staged tables between two frames.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn commit(&mut self) -> Result<()> {
        self.driver.commit().with_context(|| format!("NIC of host {}", self.host.name))
    }

    /// Ends the bindings of UDP flows and of clients whose buckets are another's by `tables`: they show no beginning, so
    /// their new owner takes them at once. No frame may be inside.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn release_flows(&mut self, tables: &Tables) -> Result<()> {
        let moved = |binding: &Binding| {
            let BindingRecord { rule, bucket, target, .. } = binding.record;
            let map = tables.rules.get(&rule).and_then(|rule| tables.maps.get(&rule.map));
            map.is_some_and(|owners| owners[usize::from(bucket)] != target)
        };
        let flow = |binding: &Binding| binding.record.state == BindingState::Flow && moved(binding);
        let nic = || format!("NIC of host {}", self.host.name);
        self.driver.remove_bindings(BindingTable::Connection, flow).with_context(nic)?;
        self.driver.remove_bindings(BindingTable::Affinity, moved).with_context(nic)?;
        Ok(())
    }

    /// Queues frame number `number` at wire port `port`, `gap` idle cycles behind the one before.
    pub fn push(&mut self, number: usize, packet: &Packet, port: u8, gap: u32) {
        let frame = WireFrame { data: packet.data.clone(), error: packet.error, gap };
        self.device.nic().push_wire(port, frame);
        self.waiting[usize::from(port)].push_back(number);
    }

    /// Sends packets one right after the other. Interface `n` of a capture is wire port `n`, as far as there are ports;
    /// frames of different ports do not overlap, as they came from one capture in this order. `done` hears how many
    /// more went in.
    pub fn send(&mut self, first: usize, packets: &[Packet], mut done: impl FnMut(u64)) {
        let ports = self.waiting.len() as u32;
        let mut last = None;
        for (n, packet) in packets.iter().enumerate() {
            let port = (packet.interface % ports) as u8;
            // Two ports together may offer more than the pipeline takes.
            let limit = if last.is_some_and(|last| last != port) { 0 } else { WAITING };
            let mut nic = self.device.nic();
            while nic.rx_pending() > limit {
                nic.step();
            }
            drop(nic);
            self.push(first + n, packet, port, 0);
            last = Some(port);
            done(1);
        }
    }

    /// Waits until no frame is left in the NIC, and gives the verdicts since the last call by frame number. `packets`
    /// are all frames of the simulation, by number.
    ///
    /// # Errors
    /// If a frame has no verdict, or what the host or the wire got is not the frame that the verdict speaks of.
    pub fn collect(&mut self, packets: &[Packet]) -> Result<Vec<(usize, VerdictEvent)>> {
        self.collect_inner(packets).with_context(|| format!("NIC of host {}", self.host.name))
    }

    fn collect_inner(&mut self, packets: &[Packet]) -> Result<Vec<(usize, VerdictEvent)>> {
        let mut nic = self.device.nic();
        while nic.rx_pending() > 0 {
            nic.step();
        }
        nic.run_until_idle(DRAIN_CYCLES)?;
        let mut verdicts = Vec::new();
        let mut to_host = [VecDeque::new(), VecDeque::new()];
        let mut to_wire = vec![VecDeque::new(); self.waiting.len()];
        while let Some(event) = nic.pop_event() {
            let number = self.waiting[usize::from(event.port)].pop_front().context("a verdict without a frame")?;
            match event.verdict {
                Verdict::Host => to_host[usize::from(event.control)].push_back(number),
                Verdict::Port => to_wire[usize::from(event.out_port)].push_back(number),
                Verdict::Discard => {}
            }
            verdicts.push((number, event));
        }
        let missing = self.waiting.iter().map(VecDeque::len).sum::<usize>();
        ensure!(missing == 0, "{missing} frames got no verdict");
        while let Some(frame) = nic.pop_host() {
            if !frame.aborted {
                let number =
                    to_host[usize::from(frame.control)].pop_front().context("the host got one frame too many")?;
                ensure!(frame.data == packets[number].data, "the host got something else than packet {}", number + 1);
            }
        }
        for (port, expected) in to_wire.iter_mut().enumerate() {
            while let Some(frame) = nic.pop_wire(port as u8) {
                if !frame.aborted {
                    let number = expected.pop_front().context("one frame too many left a wire port")?;
                    ensure!(
                        frame.data == packets[number].data,
                        "port {port} sent something else than packet {}",
                        number + 1
                    );
                }
            }
        }
        while nic.pop_ingress().is_some() {}
        let undelivered = to_host.iter().chain(&to_wire).map(VecDeque::len).sum::<usize>();
        ensure!(undelivered == 0, "{undelivered} frames with verdict host or port did not come out");
        Ok(verdicts)
    }

    /// Compares the NIC's own counters with the verdicts seen.
    ///
    /// # Errors
    /// If they differ.
    pub fn check_counters(&self, seen: &Tally) -> Result<()> {
        let counters = self.driver.reason_counters().into_iter().filter(|(_, _, count)| count.packets > 0);
        let counted: Tally = counters.map(|(verdict, reason, count)| ((verdict, reason), count.packets)).collect();
        ensure!(counted == *seen, "host {}: the NIC counted {counted:?}, its verdicts were {seen:?}", self.host.name);
        Ok(())
    }

    /// Completes the waveform.
    pub fn end_trace(&self) {
        self.device.nic().end_trace();
    }

    /// The simulated NIC, for measurements.
    pub fn device(&self) -> &InProcess {
        &self.device
    }
}

/// Builds on the command line of what takes one NIC.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub enum Width {
    /// 64-bit streams, two wire ports.
    #[value(name = "64")]
    B64,
    /// 512-bit streams, one wire port.
    #[value(name = "512")]
    B512,
}

impl Width {
    /// The build.
    pub fn build(self) -> Build {
        match self {
            Width::B64 => Build::B64,
            Width::B512 => Build::B512,
        }
    }
}

/// The simulator's name of a build.
pub fn sim_build(build: Build) -> hashgate_sim::Build {
    match build {
        Build::B512 => hashgate_sim::Build::B512,
        Build::B64 => hashgate_sim::Build::B64,
    }
}

/// Does the same with each, on a thread each; answers in order.
///
/// # Errors
/// The first one's.
pub fn each<T: Send, R: Send>(items: &mut [T], work: impl Fn(usize, &mut T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            items.iter_mut().enumerate().map(|(n, item)| scope.spawn(move || work(n, item))).collect();
        // A panic, of an RTL assertion for example, goes on in this thread.
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
