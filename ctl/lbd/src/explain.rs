// SPDX-License-Identifier: Apache-2.0
//! What would happen to a packet: the reference model decides it by the tables of each host. Bindings are those of this host's NIC; those of others are not known here.

use crate::dataplane::{BINDING_TABLES, Dataplane};
use crate::filter::{binding, protocol};
use crate::report::dashed;
use anyhow::Result;
use hashgate_api::v1;
use hashgate_config::Host;
use hashgate_model::hash::Key;
use hashgate_model::{BindingKey as ModelKey, Decision, NewBinding, Nic as Model, Table as ModelTable};
use hashgate_nic::{Binding, BindingKey, BindingTable};
use hashgate_packets::builder::{ACK, Frame, Ip4, Ip6, Payload, SYN, Tcp, Udp, Upper};
use hashgate_regs::defs::{Action, Verdict};
use hashgate_tables::{BucketFlags, Mac, NOBODY, Tables};
use std::net::IpAddr;

/// A packet that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    source: IpAddr,
    source_port: u16,
    destination: IpAddr,
    destination_port: u16,
    protocol: u8,
    opens: bool,
}

impl Packet {
    /// Checks one that came from outside.
    ///
    /// # Errors
    /// One line with the field and its limit.
    pub fn new(from: &v1::ExplainRequest) -> Result<Packet, String> {
        let addr = |what: &str, text: &str| {
            text.parse::<IpAddr>().map_err(|_| format!("{what} \"{text}\" cannot be read: an IPv4 or IPv6 address"))
        };
        let port =
            |what: &str, port: u32| u16::try_from(port).map_err(|_| format!("{what} {port} is out of range: 0..65535"));
        let packet = Packet {
            source: addr("source", &from.source)?,
            source_port: port("source port", from.source_port)?,
            destination: addr("destination", &from.destination)?,
            destination_port: port("destination port", from.destination_port)?,
            protocol: protocol(&from.protocol)?,
            opens: from.opens,
        };
        if packet.source.is_ipv4() != packet.destination.is_ipv4() {
            return Err(format!("{} and {} are of different IP versions", packet.source, packet.destination));
        }
        if ![6, 17, 47, 50, 51].contains(&packet.protocol) {
            return Err(format!("protocol {} is not balanced: tcp, udp, gre, esp or ah", packet.protocol));
        }
        Ok(packet)
    }

    fn frame(&self, to: Mac) -> Vec<u8> {
        let (source_port, destination_port) = (self.source_port, self.destination_port);
        let upper = match self.protocol {
            6 => {
                let flags = if self.opens { SYN } else { ACK };
                Upper::Tcp(Tcp { source_port, destination_port, flags, options: Vec::new(), payload: Vec::new() })
            }
            17 => Upper::Udp(Udp { source_port, destination_port, payload: Vec::new() }),
            47 => Upper::gre(&[]),
            50 => Upper::esp(1, &[]),
            _ => Upper::ah(17, 1, &[]),
        };
        let payload = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Payload::Ip4(Ip4::new(source, destination, upper)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Payload::Ip6(Ip6::new(source, destination, upper)),
            _ => unreachable!("the versions were compared"),
        };
        Frame::new(to, Mac([2, 0, 0, 0, 0, 1]), payload).padded()
    }
}

fn model(dataplane: &mut Dataplane, tables: Tables, lease_ok: bool) -> Model {
    let mut model = Model::new(dataplane.nic().info().limits);
    let (settings, flags) = (tables.settings.clone(), tables.flags.clone());
    model.commit(tables);
    model.set_settings(settings);
    model.set_flags(flags);
    model.state.enabled = true;
    model.state.lease_ok = lease_ok;
    model
}

/// The live bindings of this NIC under the keys that a decision asked for.
fn found(dataplane: &mut Dataplane, decision: &Decision) -> Result<Vec<(BindingTable, Binding)>> {
    let mut all = Vec::new();
    for (table, lookup) in BINDING_TABLES.into_iter().zip(&decision.lookups) {
        let Some(ModelKey { zone, key, protocol }) = lookup.as_ref().map(|lookup| lookup.key) else { continue };
        let key = BindingKey {
            zone,
            source: key.source,
            destination: key.destination,
            source_port: key.source_port,
            destination_port: key.destination_port,
            protocol,
        };
        if let Some(binding) = dataplane.nic().find_binding(table, &key)? {
            all.push((table, binding));
        }
    }
    Ok(all)
}

/// What would happen to `packet` on this host and on the others. `lease_ok`: this host takes VIP traffic.
pub fn explain(dataplane: &mut Dataplane, packet: &Packet, own: &Host, lease_ok: bool) -> Result<v1::ExplainReply> {
    let config = dataplane.config().clone();
    let frame = packet.frame(config.cluster_mac());
    let mut tables = dataplane.current_tables()?;
    for (place, (key, _)) in dataplane.places().into_iter().enumerate() {
        let Some(number) = key else { continue };
        for bucket in 0..hashgate_tables::BUCKETS as u16 {
            let bits = dataplane.handover_of(place);
            if bits.get(usize::from(bucket) / 8).is_some_and(|byte| byte >> (bucket % 8) & 1 == 1) {
                tables.flags.insert((number, bucket), BucketFlags { handover: true, track: false });
            }
        }
    }
    let mut own_model = model(dataplane, tables.clone(), lease_ok);
    let first = own_model.receive(0, &frame, false);
    let bindings = found(dataplane, &first)?;
    for (table, binding) in &bindings {
        let table = if *table == BindingTable::Connection { ModelTable::Connection } else { ModelTable::Affinity };
        let (key, record) = (&binding.key, &binding.record);
        let fields = Key {
            source: key.source,
            destination: key.destination,
            source_port: key.source_port,
            destination_port: key.destination_port,
        };
        let key = ModelKey { zone: key.zone, key: fields, protocol: key.protocol };
        let new = NewBinding {
            target: record.target,
            rule: record.rule,
            bucket: record.bucket,
            state: record.state,
            ticks: 1,
        };
        // One that the model refuses decides nothing.
        let _ = own_model.insert_binding(table, key, new);
    }
    let decision = own_model.receive(0, &frame, false);
    let owner = decision.rule.zip(decision.bucket).and_then(|(rule, bucket)| {
        let map = tables.rules.get(&rule)?.map;
        tables.maps.get(&map)?.get(usize::from(bucket)).copied()
    });
    let handover = decision.rule.zip(decision.bucket).is_some_and(|(rule, bucket)| {
        let map = tables.rules.get(&rule).map(|rule| rule.map);
        map.is_some_and(|map| tables.flags.contains_key(&(map, bucket)))
    });
    let name = |target: u16| match target {
        NOBODY => "nobody".to_owned(),
        target => config.target_name(target).map_or_else(|| target.to_string(), str::to_owned),
    };
    let clocks = dataplane.nic().binding_clocks();
    let told = bindings.first().map(|(table, it)| binding(*table, it, &clocks, dataplane));
    let mut hosts = vec![host_line(own, &decision, told, owner.map(name), true)];
    for other in config.hosts.iter().filter(|host| host.priority != own.priority) {
        let mut theirs = tables.clone();
        theirs.settings = config.tables(other, Default::default()).settings;
        for host in &config.hosts {
            let entry = theirs.targets.get_mut(&host.target());
            if let Some(entry) = entry.filter(|entry| matches!(entry.action, Action::Deliver | Action::Discard)) {
                let own = host.priority == other.priority;
                entry.action = if own { Action::Deliver } else { Action::Discard };
                entry.bind = own;
            }
        }
        let decision = model(dataplane, theirs, true).receive(0, &frame, false);
        hosts.push(host_line(other, &decision, None, owner.map(name), false));
    }
    Ok(v1::ExplainReply {
        rule: decision.rule.map_or(String::new(), |rule| dataplane.rule_name(rule)),
        bucket: decision.bucket.map(u32::from),
        owner: owner.map(name),
        handover,
        hosts,
    })
}

fn host_line(
    host: &Host,
    decision: &Decision,
    binding: Option<v1::Binding>,
    owner: Option<String>,
    own: bool,
) -> v1::ExplainHost {
    let owner = owner.unwrap_or_else(|| "nobody".into());
    let mut text = match (decision.verdict, &binding) {
        (Verdict::Host, Some(binding)) => {
            format!("goes to the host: a {} binding ({}) holds it", binding.table, binding.state)
        }
        (Verdict::Host, None) => "goes to the host".into(),
        (Verdict::Port, _) => "leaves on a wire port".into(),
        (Verdict::Discard, _) if decision.bucket.is_some() => format!("is discarded: the bucket belongs to {owner}"),
        (Verdict::Discard, _) => format!("is discarded: {}", dashed(decision.reason.name())),
    };
    if !own {
        text.push_str(", unless a binding there says otherwise");
    }
    v1::ExplainHost {
        host: host.name.clone(),
        verdict: dashed(decision.verdict.name()),
        reason: dashed(decision.reason.name()),
        binding,
        text,
    }
}
