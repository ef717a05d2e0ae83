// SPDX-License-Identifier: Apache-2.0
//! MAC addresses of a cluster, which follow from its primary IP.

use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{Out, clean};
use hashgate_api::v1::StatusRequest;
use schemars::JsonSchema;
use serde::Serialize;
use std::net::Ipv4Addr;

/// MAC addresses of a cluster in each mode.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ClusterMacs {
    /// Primary IP.
    pub ip: Ipv4Addr,
    /// In mode unicast.
    pub unicast: String,
    /// In mode multicast.
    pub multicast: String,
    /// In mode igmp.
    pub igmp: String,
    /// Mode of the running cluster, if that was asked.
    pub mode: Option<String>,
}

impl ClusterMacs {
    fn new(ip: Ipv4Addr, mode: Option<String>) -> ClusterMacs {
        let [w, x, y, z] = ip.octets();
        let mac = |bytes: [u8; 6]| bytes.map(|it| format!("{it:02X}")).join("-");
        ClusterMacs {
            ip,
            unicast: mac([0x02, 0xbf, w, x, y, z]),
            multicast: mac([0x03, 0xbf, w, x, y, z]),
            igmp: mac([0x01, 0x00, 0x5e, 0x7f, y, z]),
            mode,
        }
    }
}

/// Of the running cluster.
pub async fn of_cluster(out: &mut Out, daemon: &Daemon) -> Result<(), Failure> {
    let status = daemon.answer(daemon.client().status(StatusRequest {})).await?;
    let bad =
        || Failure::host(format!("the daemon gives \"{}\" as primary IP, which is no IPv4 address", status.cluster));
    run(out, status.cluster.parse().map_err(|_| bad())?, Some(status.mode))
}

/// Of the cluster with this primary IP.
pub fn run(out: &mut Out, ip: Ipv4Addr, mode: Option<String>) -> Result<(), Failure> {
    let macs = ClusterMacs::new(ip, mode);
    if out.json {
        return out.object(&macs);
    }
    out.line(format!("cluster {ip}"))?;
    for (mode, mac) in [("unicast", &macs.unicast), ("multicast", &macs.multicast), ("igmp", &macs.igmp)] {
        let used = macs.mode.as_deref() == Some(mode);
        out.line(format!("\n{:<9}  {mac}{}", clean(mode), if used { "  (in use)" } else { "" }))?;
        let colons = mac.to_lowercase().replace('-', ":");
        out.line(format!("  arp -s {ip} {colons}"))?;
        out.line(format!("  ip neigh replace {ip} lladdr {colons} nud permanent dev DEV"))?;
    }
    Ok(())
}
