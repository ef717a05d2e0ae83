// SPDX-License-Identifier: Apache-2.0
//! Which bindings somebody wants, and how they are told.

use crate::dataplane::Dataplane;
use crate::report::{dashed, table_name};
use hashgate_api::v1;
use hashgate_config::daemon::Subnet;
use hashgate_nic::{Binding, BindingClocks, BindingTable};
use std::net::IpAddr;

/// A filter that was checked. What is `None` takes everything.
#[derive(Clone, Debug, Default)]
pub struct BindingFilter {
    table: Option<BindingTable>,
    source: Option<Subnet>,
    destination: Option<Subnet>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    protocol: Option<u8>,
    rule: Option<String>,
    target: Option<String>,
    state: Option<String>,
    bucket: Option<u16>,
}

/// An address, or a prefix.
fn subnet(what: &str, text: &str) -> Result<Option<Subnet>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (addr, prefix) = text.split_once('/').map_or((text, None), |(addr, prefix)| (addr, Some(prefix)));
    let read = addr.parse::<IpAddr>().ok().and_then(|addr| {
        let whole = if addr.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(whole), |prefix| prefix.parse().ok())?;
        (prefix <= whole).then_some(Subnet { addr, prefix })
    });
    read.map(Some).ok_or_else(|| format!("{what} \"{text}\" cannot be read: an address, or a prefix as in 10.0.0.0/24"))
}

/// Number of a protocol.
pub fn protocol(text: &str) -> Result<u8, String> {
    match text {
        "icmp" => Ok(1),
        "tcp" => Ok(6),
        "udp" => Ok(17),
        "gre" => Ok(47),
        "esp" => Ok(50),
        "ah" => Ok(51),
        "icmpv6" => Ok(58),
        _ => text.parse().map_err(|_| {
            format!("protocol \"{text}\" is not known: tcp, udp, gre, esp, ah, icmp, icmpv6 or a number 0..255")
        }),
    }
}

/// Name of a protocol.
pub fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        47 => "gre".into(),
        50 => "esp".into(),
        51 => "ah".into(),
        58 => "icmpv6".into(),
        _ => number.to_string(),
    }
}

/// One of some words.
fn word(what: &str, text: &str, known: &[&str]) -> Result<Option<String>, String> {
    match text {
        "" => Ok(None),
        text if known.contains(&text) => Ok(Some(text.to_owned())),
        text => Err(format!("{what} \"{text}\" is not known: {}", known.join(", "))),
    }
}

fn port(what: &str, port: Option<u32>) -> Result<Option<u16>, String> {
    port.map(|port| u16::try_from(port).map_err(|_| format!("{what} {port} is out of range: 0..65535"))).transpose()
}

impl BindingFilter {
    /// Checks one that came from outside; rule and target names against those that there are.
    ///
    /// # Errors
    /// One line with the field and its limit.
    pub fn new(from: &v1::BindingsRequest, rules: &[String], targets: &[String]) -> Result<BindingFilter, String> {
        let names = |names: &[String]| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let one_of = |what: &str, text: &str, known: &[String]| match text {
            "" => Ok(None),
            text if known.iter().any(|name| name == text) => Ok(Some(text.to_owned())),
            text => Err(format!("there is no {what} \"{text}\" (known: {})", names(known))),
        };
        let table = match word("table", &from.table, &["connection", "affinity"])?.as_deref() {
            Some("connection") => Some(BindingTable::Connection),
            Some(_) => Some(BindingTable::Affinity),
            None => None,
        };
        let bucket = from.bucket.map(|bucket| match u16::try_from(bucket) {
            Ok(bucket) if usize::from(bucket) < hashgate_tables::BUCKETS => Ok(bucket),
            _ => Err(format!("bucket {bucket} is out of range: 0..4095")),
        });
        Ok(BindingFilter {
            table,
            source: subnet("source", &from.source)?,
            destination: subnet("destination", &from.destination)?,
            source_port: port("source port", from.source_port)?,
            destination_port: port("destination port", from.destination_port)?,
            protocol: if from.protocol.is_empty() { None } else { Some(protocol(&from.protocol)?) },
            rule: one_of("rule", &from.rule, rules)?,
            target: one_of("target", &from.target, targets)?,
            state: word("state", &from.state, &["half-open", "established", "closing", "reset", "flow"])?,
            bucket: bucket.transpose()?,
        })
    }

    /// Whether everything is taken.
    pub fn is_empty(from: &v1::BindingsRequest) -> bool {
        v1::BindingsRequest { limit: 0, ..from.clone() } == v1::BindingsRequest::default()
    }

    /// Whether it takes a binding of a table.
    pub fn takes(&self, table: BindingTable, it: &Binding, dataplane: &Dataplane) -> bool {
        fn fits<T: PartialEq>(wanted: &Option<T>, is: impl FnOnce() -> T) -> bool {
            wanted.as_ref().is_none_or(|wanted| *wanted == is())
        }
        let (key, record) = (&it.key, &it.record);
        fits(&self.table, || table)
            && self.source.is_none_or(|subnet| subnet.contains(key.source))
            && self.destination.is_none_or(|subnet| subnet.contains(key.destination))
            && fits(&self.source_port, || key.source_port)
            && fits(&self.destination_port, || key.destination_port)
            && fits(&self.protocol, || key.protocol)
            && fits(&self.bucket, || record.bucket)
            && fits(&self.state, || dashed(record.state.name()))
            && fits(&self.rule, || dataplane.rule_name(record.rule))
            && fits(&self.target, || target_name(dataplane, record.target))
    }
}

fn target_name(dataplane: &Dataplane, target: u16) -> String {
    dataplane.config().target_name(target).map_or_else(|| target.to_string(), str::to_owned)
}

/// A binding as it is told.
pub fn binding(table: BindingTable, it: &Binding, clocks: &BindingClocks, dataplane: &Dataplane) -> v1::Binding {
    let (key, record) = (&it.key, &it.record);
    let left = clocks.left(record).map(|left| u64::from(left) * clocks.tick_ns(record.state));
    v1::Binding {
        table: table_name(table).into(),
        source: key.source.to_string(),
        source_port: key.source_port.into(),
        destination: key.destination.to_string(),
        destination_port: key.destination_port.into(),
        protocol: match table {
            BindingTable::Connection => protocol_name(key.protocol),
            BindingTable::Affinity => format!("group {}", key.protocol),
        },
        state: dashed(record.state.name()),
        rule: dataplane.rule_name(record.rule),
        target: target_name(dataplane, record.target),
        bucket: record.bucket.into(),
        expires_seconds: left.map(|ns| ns as f64 / 1e9),
        zone: key.zone.into(),
    }
}
