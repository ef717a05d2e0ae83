// SPDX-License-Identifier: Apache-2.0
//! A controller in a few lines: what a control process does over the socket of a host path.
//!
//! `control PATH stats` prints the host path's counters; `control PATH open` lets the NIC take every frame for its host; `control PATH listen` prints heartbeats.
#![forbid(unsafe_code)]

use hashgate_device::PciDevice;
use hashgate_hostpath::{LENT_RINGS, Lent};
use hashgate_nic::{Nic, Tables};
use hashgate_rings::{HostInterface, MoverConfig};
use hashgate_tables::Settings;
use rustix::event::{PollFd, PollFlags, poll};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, what] = &arguments[..] else {
        return Err("give the path of the control socket, and stats, open or listen".into());
    };
    let lent = Arc::new(Lent::connect(Path::new(path))?);
    match what.as_str() {
        "stats" => println!("{}", serde_json::to_string_pretty(&lent.stats()?)?),
        "open" => {
            let device: Arc<dyn PciDevice> = lent.clone();
            let host = HostInterface::attach(device, LENT_RINGS)?;
            let mut nic = Nic::open(&*lent)?;
            nic.set_bulk(Some(Box::new(host.table_mover(&MoverConfig::default())?)));
            nic.load(&Tables { settings: Settings { promiscuous: true, ..Settings::default() }, ..Tables::default() })?;
            nic.enable(true);
            println!("generation {}, enabled {}", nic.registers().generation(), nic.is_enabled());
        }
        "listen" => loop {
            while let Some(frame) = lent.receive_frame()? {
                println!("{} ns, port {}, {} bytes", frame.time_ns, frame.port, frame.bytes.len());
            }
            poll(&mut [PollFd::from_borrowed_fd(lent.frames_fd(), PollFlags::IN)], None)?;
        },
        _ => return Err("write stats, open or listen".into()),
    }
    Ok(())
}
