// SPDX-License-Identifier: Apache-2.0
//! What would happen to a packet.

use super::bindings;
use crate::connect::Daemon;
use crate::failure::Failure;
use crate::show::{Out, Table, clean, text};
use hashgate_api::v1::{ExplainReply, ExplainRequest};
use std::net::{IpAddr, SocketAddr};

/// The request that the arguments are.
pub fn request(source: &str, destination: &str, protocol: &str, opens: bool) -> Result<ExplainRequest, Failure> {
    let protocol = protocol.to_ascii_lowercase();
    let known = ["tcp", "udp", "gre", "esp", "ah", "icmp", "icmpv6"].contains(&protocol.as_str());
    if !known && protocol.parse::<u8>().is_err() {
        return Err(Failure::usage(format!(
            "protocol \"{protocol}\": tcp, udp, gre, esp, ah, icmp, icmpv6 or a number 0 to 255"
        )));
    }
    let tcp = ["tcp", "6"].contains(&protocol.as_str());
    if opens && !tcp {
        return Err(Failure::usage("--syn is for tcp: other protocols have no such packet"));
    }
    let ports = tcp || ["udp", "17"].contains(&protocol.as_str());
    let (source, source_port) = endpoint(source, ports)?;
    let (destination, destination_port) = endpoint(destination, ports)?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(Failure::usage("one address is IPv4 and the other IPv6: no packet has both"));
    }
    let (source, destination) = (source.to_string(), destination.to_string());
    Ok(ExplainRequest { source, source_port, destination, destination_port, protocol, opens })
}

/// An address, with a port if the protocol has ports.
fn endpoint(text: &str, ports: bool) -> Result<(IpAddr, u32), Failure> {
    if ports {
        let bad =
            |_| Failure::usage(format!("\"{text}\" is no address with port: write 192.0.2.7:80 or [2001:db8::7]:80"));
        return text.parse().map(|it: SocketAddr| (it.ip(), it.port().into())).map_err(bad);
    }
    let inner = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let bad = |_| {
        Failure::usage(format!("\"{text}\" is no address: this protocol has no ports, write 192.0.2.7 or 2001:db8::7"))
    };
    inner.parse().map(|ip| (ip, 0)).map_err(bad)
}

/// Asks and shows.
pub async fn run(out: &mut Out, daemon: &Daemon, request: ExplainRequest) -> Result<(), Failure> {
    let reply = daemon.answer(daemon.client().explain(request)).await?;
    if out.json { out.object(&reply) } else { show(out, &reply) }
}

fn show(out: &mut Out, reply: &ExplainReply) -> Result<(), Failure> {
    match reply.rule.as_str() {
        "" => out.line("rule    none takes part")?,
        rule => out.line(format!("rule    {}", clean(rule)))?,
    }
    if let Some(bucket) = reply.bucket {
        out.line(format!("bucket  {bucket}{}", if reply.handover { ", being handed over" } else { "" }))?;
    }
    if let Some(owner) = &reply.owner {
        out.line(format!("owner   {}", clean(owner)))?;
    }
    let mut table = Table::new(&["host", "verdict", "reason", "why"]);
    for host in &reply.hosts {
        table.row(vec![text(&host.host), text(&host.verdict), text(&host.reason), text(&host.text)]);
    }
    if table.rows() > 0 {
        out.line("")?;
        out.table(&mut table)?;
    }
    for host in &reply.hosts {
        if let Some(binding) = &host.binding {
            out.line(format!("\nremembered by {}: {}", clean(&host.host), bindings::line(binding)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_as_written() {
        let it = request("192.0.2.7:40000", "10.9.0.100:80", "TCP", true).expect("a packet");
        assert_eq!((it.source.as_str(), it.source_port, it.destination_port, it.opens), ("192.0.2.7", 40000, 80, true));
        let it = request("[2001:db8::7]:1", "[2001:DB8:0::1]:65535", "udp", false).expect("a packet");
        assert_eq!((it.destination.as_str(), it.destination_port), ("2001:db8::1", 65535));
        for source in ["[2001:db8::7]", "2001:db8::7"] {
            assert_eq!(request(source, "2001:db8::1", "gre", false).expect("a packet").source, "2001:db8::7");
        }
        for (source, destination, protocol, syn) in [
            ("192.0.2.7", "10.9.0.100:80", "tcp", false),
            ("192.0.2.7:1", "10.9.0.100:65536", "tcp", false),
            ("192.0.2.7:1", "[2001:db8::1]:1", "tcp", false),
            ("192.0.2.7:1", "10.9.0.100:80", "udp", true),
            ("192.0.2.7:1", "10.9.0.100:80", "256", false),
            ("192.0.2.7:1", "10.9.0.100:80", "esp", false),
        ] {
            assert!(request(source, destination, protocol, syn).is_err(), "{source} {destination} {protocol}");
        }
    }
}
