// SPDX-License-Identifier: Apache-2.0
//! From the file as written to a [`Config`] that can be loaded; every refusal with its line.

mod daemon;

use crate::raw::{self, Affinity, Many, Scalar, Weights};
use crate::tables::multicast;
use crate::{
    Build, CLOCK_HZ, ClusterMode, Config, ConfigError, FIRST_FORWARD, Forward, Host, MAX_FORWARDS, MAX_HOSTS,
    MAX_WEIGHT, Rule, Sharing, Step, Vip,
};
use hashgate_tables::{KeyMask, Mac, OtherIp, STANDARD_HASH_KEY, Timeouts, Track};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::{Range, RangeInclusive};
use toml::Spanned;

type Result<T> = std::result::Result<T, ConfigError>;
type Span = Range<usize>;

pub fn check(text: &str, file: &str) -> Result<Config> {
    let source = Source { text, file };
    let raw: raw::File = toml::from_str(text).map_err(|error| {
        // The parser explains itself in several lines; a refusal has one.
        let message = error.message().split('\n').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        source.refuse(&error.span().unwrap_or(0..0), message)
    })?;
    source.config(raw)
}

struct Source<'a> {
    text: &'a str,
    file: &'a str,
}

/// A name with its target id, for weights and priorities.
type Names = BTreeMap<String, u16>;

impl Source<'_> {
    fn line(&self, span: &Span) -> usize {
        1 + self.text.bytes().take(span.start).filter(|b| *b == b'\n').count()
    }

    fn refuse(&self, span: &Span, message: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { file: self.file.to_owned(), line: self.line(span), message: message.into() }
    }

    fn number<T: TryFrom<i64> + Display + Copy + Into<i64>>(
        &self,
        what: &str,
        value: &Spanned<i64>,
        limits: RangeInclusive<T>,
    ) -> Result<T> {
        let (first, last) = ((*limits.start()).into(), (*limits.end()).into());
        T::try_from(*value.get_ref()).ok().filter(|v| (first..=last).contains(&(*v).into())).ok_or_else(|| {
            self.refuse(&value.span(), format!("{what} {} is out of range: {first}..{last}", value.get_ref()))
        })
    }

    fn parse<T: std::str::FromStr>(&self, what: &str, text: &str, span: &Span, example: &str) -> Result<T> {
        text.parse()
            .map_err(|_| self.refuse(span, format!("{what} \"{text}\" cannot be read: write it as in {example}")))
    }

    /// The texts of a value that is one text or a list of them.
    fn texts(&self, what: &str, many: &Spanned<Many>) -> Result<Vec<(Span, String)>> {
        let texts = many.get_ref().0.iter().map(|(span, scalar)| {
            let span = span.clone().unwrap_or_else(|| many.span());
            match scalar {
                Scalar::Text(text) => Ok((span, text.clone())),
                Scalar::Number(number) => {
                    Err(self.refuse(&span, format!("{what} {number} is a number: write a text in quotes")))
                }
            }
        });
        texts.collect()
    }

    fn config(&self, raw: raw::File) -> Result<Config> {
        let primary = &raw.cluster.primary_ip;
        let primary_ip: Ipv4Addr = self.parse("primary_ip", primary.get_ref(), &primary.span(), "\"10.0.0.100\"")?;
        self.unicast("primary_ip", primary_ip.into(), &primary.span())?;
        let mode = match raw.cluster.mode {
            raw::ClusterMode::Unicast => ClusterMode::Unicast,
            raw::ClusterMode::Multicast => ClusterMode::Multicast,
            raw::ClusterMode::Igmp => ClusterMode::Igmp,
        };
        let other_ip = match raw.cluster.other_ip {
            raw::OtherIp::Deliver => OtherIp::Deliver,
            raw::OtherIp::Discard => OtherIp::Discard,
            raw::OtherIp::Balance => OtherIp::Balance,
        };
        let hash_key = raw.cluster.hash_key.as_ref().map_or(Ok(STANDARD_HASH_KEY), |key| self.hash_key(key))?;
        let build = match raw.nic.build.as_ref().map(|b| (*b.get_ref(), b.span())) {
            None | Some((512, _)) => Build::B512,
            Some((64, _)) => Build::B64,
            Some((other, span)) => {
                return Err(self.refuse(&span, format!("build {other} does not exist: 512 or 64 (bits in a beat)")));
            }
        };
        let clock_hz = match &raw.nic.clock_hz {
            None => build.clock_hz(),
            Some(clock) => {
                u64::try_from(*clock.get_ref()).ok().filter(|hz| CLOCK_HZ.contains(hz)).ok_or_else(|| {
                    let (low, high) = (CLOCK_HZ.start(), CLOCK_HZ.end());
                    self.refuse(&clock.span(), format!("clock_hz {} is out of range: {low}..{high}", clock.get_ref()))
                })?
            }
        };
        let zones = self.zones(&raw.zone, build)?;
        let vips = self.vips(&raw.vip, primary_ip)?;
        let hosts = self.hosts(&raw.host, &vips, build)?;
        let (forwards, names) = self.forwards(&raw.forward, &hosts, build)?;
        let rules = if raw.rule.is_empty() {
            vec![every_port_by_client(&hosts)]
        } else {
            self.rules(&raw.rule, &vips, &hosts, &names, build)?
        };
        let steps = self.steps(&raw.step, &rules, &hosts, &names)?;
        let daemon = self.daemon(&raw, &hosts, &rules)?;
        Ok(Config {
            primary_ip,
            mode,
            mask_source: raw.cluster.mask_source.unwrap_or(true),
            icmp_owner: raw.cluster.icmp == raw::Icmp::Owner,
            other_ip,
            hash_key,
            build,
            clock_hz,
            zones,
            vips,
            hosts,
            forwards,
            rules,
            steps,
            daemon,
        })
    }

    fn hash_key(&self, key: &Spanned<String>) -> Result<[u8; 52]> {
        let digits: Vec<u8> = key.get_ref().bytes().filter(|b| !b" :_-".contains(b)).collect();
        if let Some(bad) = digits.iter().find(|b| !b.is_ascii_hexdigit()) {
            let bad = char::from(*bad);
            return Err(self.refuse(&key.span(), format!("hash_key has \"{bad}\", which is not a hexadecimal digit")));
        }
        if digits.len() != 80 && digits.len() != 104 {
            let count = digits.len();
            let message = format!("hash_key has {count} hexadecimal digits: it needs 80 (40 bytes) or 104 (52 bytes)");
            return Err(self.refuse(&key.span(), message));
        }
        let mut bytes = [0; 52];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |n, d| n << 4 | char::from(*d).to_digit(16).map_or(0, |d| d as u8));
        }
        Ok(bytes)
    }

    /// Refuses addresses that no single host can have.
    fn unicast(&self, what: &str, addr: IpAddr, span: &Span) -> Result<()> {
        let broadcast = addr == IpAddr::V4(Ipv4Addr::BROADCAST);
        if addr.is_multicast() || addr.is_unspecified() || addr.is_loopback() || broadcast {
            return Err(self.refuse(span, format!("{what} {addr} is not a unicast address of a network")));
        }
        Ok(())
    }

    fn zone(&self, zone: &Option<Spanned<i64>>) -> Result<u8> {
        zone.as_ref().map_or(Ok(0), |zone| self.number("zone", zone, 0..=u8::MAX))
    }

    fn zones(&self, raw: &[raw::Zone], build: Build) -> Result<BTreeMap<(u8, u16), u8>> {
        let mut zones = BTreeMap::new();
        for entry in raw {
            let port = match &entry.port {
                Some(port) => self.number("port", port, 0..=build.ports() - 1)?,
                None => 0,
            };
            let vlan = self.number("vlan", &entry.vlan, 0..=4095u16)?;
            let zone = self.number("zone", &entry.zone, 0..=u8::MAX)?;
            if let Some(other) = zones.insert((port, vlan), zone) {
                let message = format!("vlan {vlan} of port {port} is already in zone {other}: one zone for each");
                return Err(self.refuse(&entry.vlan.span(), message));
            }
        }
        Ok(zones)
    }

    fn vips(&self, raw: &[raw::Vip], primary_ip: Ipv4Addr) -> Result<Vec<Vip>> {
        let mut vips: Vec<Vip> = Vec::new();
        let mut ids: BTreeMap<IpAddr, u16> = BTreeMap::new();
        let primary = IpAddr::from(primary_ip);
        let mut lines = BTreeMap::new();
        for entry in raw {
            let span = entry.address.span();
            let addr: IpAddr =
                self.parse("VIP address", entry.address.get_ref(), &span, "\"10.0.0.100\" or \"2001:db8::100\"")?;
            self.unicast("VIP", addr, &span)?;
            let zone = self.zone(&entry.zone)?;
            if let Some(line) = lines.insert((addr, zone), self.line(&span)) {
                return Err(self.refuse(&span, format!("VIP {addr} is already in zone {zone} (line {line})")));
            }
            let next = ids.len() as u16;
            vips.push(Vip { addr, zone, id: *ids.entry(addr).or_insert(next) });
        }
        if !ids.contains_key(&primary) {
            vips.push(Vip { addr: primary, zone: 0, id: ids.len() as u16 });
        }
        Ok(vips)
    }

    fn hosts(&self, raw: &Spanned<Vec<raw::Host>>, vips: &[Vip], build: Build) -> Result<Vec<Host>> {
        if raw.get_ref().is_empty() {
            return Err(self.refuse(&raw.span(), "a cluster needs at least one [[host]]"));
        }
        let mut hosts: Vec<Host> = Vec::new();
        let (mut names, mut priorities, mut macs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut dedicated_lines = BTreeMap::new();
        for (count, entry) in raw.get_ref().iter().enumerate() {
            let name = self.name("host", &entry.name)?;
            if count == MAX_HOSTS {
                let message = format!("host \"{name}\" is number {}: a cluster has at most {MAX_HOSTS}", count + 1);
                return Err(self.refuse(&entry.name.span(), message));
            }
            let line = self.line(&entry.name.span());
            if let Some(other) = names.insert(name.clone(), line) {
                let message = format!("host name \"{name}\" is already taken (line {other})");
                return Err(self.refuse(&entry.name.span(), message));
            }
            let priority = self.number("host priority", &entry.priority, 1..=MAX_HOSTS as u8)?;
            if let Some(other) = priorities.insert(priority, name.clone()) {
                let message =
                    format!("host \"{name}\" has priority {priority}, which host \"{other}\" has: 1..32, unique");
                return Err(self.refuse(&entry.priority.span(), message));
            }
            let span = entry.station_mac.span();
            let station_mac: Mac =
                self.parse("station_mac", entry.station_mac.get_ref(), &span, "\"02:00:00:00:00:01\"")?;
            if station_mac.is_multicast() || station_mac == Mac::ZERO {
                return Err(self.refuse(&span, format!("station_mac {station_mac} is not a unicast MAC address")));
            }
            if let Some(other) = macs.insert(station_mac, name.clone()) {
                let message = format!("host \"{name}\" has station_mac {station_mac}, which host \"{other}\" has");
                return Err(self.refuse(&span, message));
            }
            let zone = self.zone(&entry.zone)?;
            let mut dedicated = Vec::new();
            let texts = entry.dedicated_ip.as_ref().map(|many| self.texts("dedicated_ip", many)).transpose()?;
            for (span, text) in texts.unwrap_or_default() {
                let addr: IpAddr = self.parse("dedicated_ip", &text, &span, "\"10.0.0.1\" or \"2001:db8::1\"")?;
                self.unicast("dedicated_ip", addr, &span)?;
                if vips.iter().any(|vip| (vip.addr, vip.zone) == (addr, zone)) {
                    let message = format!("dedicated_ip {addr} is a VIP: a dedicated address is never balanced");
                    return Err(self.refuse(&span, message));
                }
                if let Some(line) = dedicated_lines.insert((addr, zone), self.line(&span)) {
                    return Err(self.refuse(&span, format!("dedicated_ip {addr} is already taken (line {line})")));
                }
                dedicated.push(addr);
            }
            let limits = build.limits();
            let (limit, listen_limit) = (usize::from(limits.vips), usize::from(limits.multicast));
            let (v, d) = (vips.len(), dedicated.len());
            if v + d > limit {
                let message = format!("{v} VIPs and {d} dedicated addresses of host \"{name}\": a NIC holds {limit}");
                return Err(self.refuse(&entry.name.span(), message));
            }
            let listen = multicast(vips.iter().map(|vip| vip.addr).chain(dedicated.iter().copied())).len();
            if listen > listen_limit {
                let message = format!(
                    "the IPv6 addresses of host \"{name}\" need {listen} multicast MACs: a NIC holds {listen_limit}"
                );
                return Err(self.refuse(&entry.name.span(), message));
            }
            let weight = match &entry.weight {
                Some(weight) => self.number("weight", weight, 0..=MAX_WEIGHT)?,
                None => MAX_WEIGHT,
            };
            let (device, tap, wire_port) = self.device(entry, build)?;
            hosts.push(Host { name, priority, dedicated, zone, station_mac, weight, device, tap, wire_port });
        }
        Ok(hosts)
    }

    /// A name that can be part of a file name.
    fn name(&self, what: &str, name: &Spanned<String>) -> Result<String> {
        let text = name.get_ref();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty() || text.len() > 32 || !text.chars().all(fits) || text.starts_with('.') {
            let message = format!("{what} name \"{text}\": 1..32 letters, digits, - _ . and no leading dot");
            return Err(self.refuse(&name.span(), message));
        }
        Ok(text.clone())
    }

    fn forwards(&self, raw: &[raw::Forward], hosts: &[Host], build: Build) -> Result<(Vec<Forward>, Names)> {
        let mut names: Names = hosts.iter().map(|h| (h.name.clone(), h.target())).collect();
        let mut forwards = Vec::new();
        for (count, entry) in raw.iter().enumerate() {
            let name = self.name("forward target", &entry.name)?;
            if count == MAX_FORWARDS {
                let message = format!("forward target \"{name}\" is number {}: at most {MAX_FORWARDS}", count + 1);
                return Err(self.refuse(&entry.name.span(), message));
            }
            let port = self.number("port", &entry.port, 0..=build.ports() - 1)?;
            let Some(host) = hosts.iter().find(|h| h.name == *entry.host.get_ref()) else {
                return Err(self.unknown("forward target", "host", &entry.host, hosts.iter().map(|h| h.name.as_str())));
            };
            let target = FIRST_FORWARD + count as u16;
            if names.insert(name.clone(), target).is_some() {
                let message = format!("the name \"{name}\" is already taken by a host or forward target");
                return Err(self.refuse(&entry.name.span(), message));
            }
            forwards.push(Forward { name, port, host: host.priority, target });
        }
        Ok((forwards, names))
    }

    fn unknown<'n>(
        &self,
        whose: &str,
        what: &str,
        name: &Spanned<String>,
        known: impl Iterator<Item = &'n str>,
    ) -> ConfigError {
        let known = known.collect::<Vec<_>>().join(", ");
        self.refuse(&name.span(), format!("{whose}: there is no {what} \"{}\" (known: {known})", name.get_ref()))
    }

    fn rules(
        &self,
        raw: &[Spanned<raw::Rule>],
        vips: &[Vip],
        hosts: &[Host],
        names: &Names,
        build: Build,
    ) -> Result<Vec<Rule>> {
        let limit = usize::from(build.limits().rules);
        let mut rules: Vec<Rule> = Vec::new();
        let mut slots = 0;
        let mut vpn_group = None;
        for (number, entry) in raw.iter().enumerate() {
            let (span, entry) = (entry.span(), entry.get_ref());
            if number == limit {
                return Err(self.refuse(&span, format!("rule number {}: a NIC holds {limit} rules", number + 1)));
            }
            let name = match &entry.name {
                Some(name) => self.name("rule", name)?,
                None => format!("rule-{number}"),
            };
            if rules.iter().any(|r| r.name == name) {
                let span = entry.name.as_ref().map_or(span, Spanned::span);
                return Err(self.refuse(&span, format!("rule name \"{name}\" is already taken")));
            }
            let whose = format!("rule \"{name}\"");
            let vip_ids = self.rule_vips(&whose, entry, vips)?;
            let ports = self.rule_ports(&whose, entry)?;
            slots += vip_ids.as_ref().map_or(1, BTreeSet::len) * ports.len();
            if slots > limit {
                let message =
                    format!("{whose} needs match slot number {slots} (VIPs x port ranges): a NIC holds {limit}");
                return Err(self.refuse(&span, message));
            }
            let (bucket, mut binding) = self.keys(&whose, entry, &span)?;
            let timeouts = self.timeouts(&whose, entry)?;
            let lasting = entry.timeouts.as_ref().and_then(|given| given.get_ref().affinity.as_ref());
            let sticky = entry.binding != raw::Binding::Tcp || lasting.is_some();
            if let Some(lasting) = lasting.filter(|_| entry.binding == raw::Binding::Tcp) {
                if bucket == KeyMask::ALL {
                    let message = format!(
                        "{whose}: a time-out of affinity needs an affinity other than none, or a binding other than tcp: \
                         else there is no client to remember"
                    );
                    return Err(self.refuse(&lasting.span(), message));
                }
                binding = bucket;
            }
            let sharing = self.sharing(&whose, entry, &span, hosts, names)?;
            let own = number as u8;
            let group = if entry.binding == raw::Binding::Vpn { *vpn_group.get_or_insert(own) } else { own };
            let tcp = entry.protocol != raw::Protocol::Udp;
            let udp = entry.protocol != raw::Protocol::Tcp;
            let track = match entry.track.as_ref().map(Spanned::get_ref) {
                Some(raw::Track::Always) => Track::Always,
                Some(raw::Track::Buckets) => Track::Flagged,
                Some(raw::Track::Never) => Track::Never,
                None => track_by_default(tcp),
            };
            let rule =
                Rule { name, vips: vip_ids, ports, tcp, udp, sharing, bucket, binding, group, track, sticky, timeouts };
            if let Some((other, range)) = rules.iter().find_map(|other| overlap(other, &rule).map(|r| (&other.name, r)))
            {
                let message = format!(
                    "{whose} overlaps rule \"{other}\" at ports {}-{}: rules for the same VIP and protocol must not overlap",
                    range.0, range.1
                );
                return Err(self.refuse(&entry.ports.as_ref().map_or(span, Spanned::span), message));
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    /// VIP ids of a rule; `None` for all.
    fn rule_vips(&self, whose: &str, entry: &raw::Rule, vips: &[Vip]) -> Result<Option<BTreeSet<u16>>> {
        let Some(many) = &entry.vip else { return Ok(None) };
        let texts = self.texts("vip", many)?;
        if texts.is_empty() {
            return Err(self.refuse(&many.span(), format!("{whose} has no VIP: \"all\" or at least one address")));
        }
        let mut ids = BTreeSet::new();
        for (span, text) in &texts {
            if text == "all" {
                if texts.len() > 1 {
                    return Err(self.refuse(span, format!("{whose}: \"all\" stands alone")));
                }
                return Ok(None);
            }
            let addr: IpAddr = self.parse(&format!("{whose}: VIP"), text, span, "\"all\" or \"10.0.0.100\"")?;
            let Some(vip) = vips.iter().find(|vip| vip.addr == addr) else {
                let known = vips.iter().take(8).map(|vip| vip.addr.to_string()).collect::<Vec<_>>().join(", ");
                let more = if vips.len() > 8 { ", ..." } else { "" };
                return Err(self.refuse(span, format!("{whose}: {addr} is not a VIP (known: {known}{more})")));
            };
            if !ids.insert(vip.id) {
                return Err(self.refuse(span, format!("{whose} names VIP {addr} twice")));
            }
        }
        Ok(Some(ids))
    }

    fn rule_ports(&self, whose: &str, entry: &raw::Rule) -> Result<Vec<(u16, u16)>> {
        let Some(many) = &entry.ports else { return Ok(vec![(0, u16::MAX)]) };
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (span, scalar) in &many.get_ref().0 {
            let span = span.clone().unwrap_or_else(|| many.span());
            let bad = |why: &str| {
                let value = match scalar {
                    Scalar::Number(number) => number.to_string(),
                    Scalar::Text(text) => format!("\"{text}\""),
                };
                self.refuse(&span, format!("{whose}: ports {value} {why}"))
            };
            let unreadable = || bad("cannot be read: a port 0..65535, \"first-last\" or \"all\"");
            let range = match scalar {
                Scalar::Number(number) => {
                    let port = u16::try_from(*number).map_err(|_| unreadable())?;
                    (port, port)
                }
                Scalar::Text(text) if text == "all" => (0, u16::MAX),
                Scalar::Text(text) => {
                    let (first, last) = text.split_once('-').unwrap_or((text, text));
                    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| unreadable());
                    (port(first)?, port(last)?)
                }
            };
            if range.0 > range.1 {
                return Err(bad("is empty: the first port is above the last"));
            }
            if let Some(other) = ranges.iter().find(|r| common(**r, range).is_some()) {
                return Err(bad(&format!("overlaps {}-{} of the same rule", other.0, other.1)));
            }
            ranges.push(range);
        }
        if ranges.is_empty() {
            return Err(self.refuse(&many.span(), format!("{whose} has no ports: leave the key out for all ports")));
        }
        Ok(ranges)
    }

    /// Time-outs from seconds.
    fn timeouts(&self, whose: &str, entry: &raw::Rule) -> Result<Timeouts> {
        let mut timeouts = Timeouts::default();
        if let Some(given) = &entry.timeouts {
            let given = given.get_ref();
            let (fast, slow) = (Timeouts::FAST_TICK, Timeouts::SLOW_TICK);
            for (name, seconds, tick, ticks) in [
                ("half_open", &given.half_open, fast, &mut timeouts.half_open),
                ("reset", &given.reset, fast, &mut timeouts.reset),
                ("established", &given.established, slow, &mut timeouts.established),
                ("closing", &given.closing, slow, &mut timeouts.closing),
                ("flow", &given.flow, slow, &mut timeouts.flow),
                ("affinity", &given.affinity, slow, &mut timeouts.affinity),
            ] {
                let Some(seconds) = seconds else { continue };
                let longest = (i64::from(Timeouts::MAX) << tick) / 1_000_000_000;
                let number = self.number(&format!("{whose}: time-out {name} in seconds"), seconds, 1..=longest)?;
                *ticks = (number as u64 * 1_000_000_000).div_ceil(1 << tick) as u16;
            }
        }
        Ok(timeouts)
    }

    /// Bucket key from the affinity, binding key from the binding; the first must be a subset of the second.
    fn keys(&self, whose: &str, entry: &raw::Rule, span: &Span) -> Result<(KeyMask, KeyMask)> {
        let (bucket, text) = match entry.affinity.as_ref().map(Spanned::get_ref) {
            Some(Affinity::None) => (KeyMask::ALL, "none (all fields)".to_owned()),
            None | Some(Affinity::Single) => (KeyMask::SOURCE, "single (source IP)".to_owned()),
            Some(Affinity::ClassC) => (KeyMask::CLASS_C, "class-c (source IP/24)".to_owned()),
            Some(Affinity::Prefix(prefix)) => {
                let src4 = self.number(&format!("{whose}: prefix4"), &prefix.prefix4, 0..=32u8)?;
                let src6 = self.number(&format!("{whose}: prefix6"), &prefix.prefix6, 0..=128u8)?;
                (KeyMask { src4, src6, ..KeyMask::SOURCE }, format!("prefix (source IP/{src4})"))
            }
        };
        // Requirement D4.
        let (binding, fields) = match entry.binding {
            raw::Binding::Tcp => (KeyMask::ALL, "all fields"),
            raw::Binding::Ssl => (KeyMask { sport: false, ..KeyMask::ALL }, "source IP, VIP, port"),
            raw::Binding::Sticky => (KeyMask { dst: true, ..KeyMask::SOURCE }, "source IP, VIP"),
            raw::Binding::Vpn | raw::Binding::Ip => (KeyMask::SOURCE, "source IP"),
        };
        if !bucket.is_subset_of(&binding) {
            let name = format!("{:?}", entry.binding).to_lowercase();
            let message = format!(
                "{whose}: the bucket key of affinity {text} is wider than the binding key of binding {name} ({fields}); \
                 every field of the bucket key must be in the binding key"
            );
            return Err(self.refuse(&entry.affinity.as_ref().map_or(span.clone(), Spanned::span), message));
        }
        Ok((bucket, binding))
    }

    fn target(&self, whose: &str, name: &Spanned<String>, names: &Names) -> Result<u16> {
        let known = || names.keys().map(String::as_str);
        let id = names.get(name.get_ref()).copied();
        id.ok_or_else(|| self.unknown(whose, "host or forward target", name, known()))
    }

    fn sharing(&self, whose: &str, entry: &raw::Rule, span: &Span, hosts: &[Host], names: &Names) -> Result<Sharing> {
        let mode = entry.mode.as_ref().map_or(raw::Mode::Multiple, |mode| *mode.get_ref());
        if let Some(weights) = entry.weights.as_ref().filter(|_| mode != raw::Mode::Multiple) {
            return Err(
                self.refuse(&weights.span(), format!("{whose} has weights: only mode = \"multiple\" uses them"))
            );
        }
        if let Some(priorities) = entry.priorities.as_ref().filter(|_| mode != raw::Mode::Single) {
            let message = format!("{whose} has priorities: only mode = \"single\" uses them");
            return Err(self.refuse(&priorities.span(), message));
        }
        match mode {
            raw::Mode::Disabled => Ok(Sharing::Disabled),
            raw::Mode::Multiple => {
                let mut shares: BTreeMap<u16, u32> = hosts.iter().map(|h| (h.target(), h.weight)).collect();
                if let Some(weights) = &entry.weights {
                    shares.extend(self.weights(whose, weights.get_ref(), hosts, names)?);
                }
                if shares.values().all(|weight| *weight == 0) {
                    let span = entry.weights.as_ref().map_or(span.clone(), Spanned::span);
                    return Err(self.refuse(&span, format!("{whose}: every weight is 0, so nobody takes its traffic")));
                }
                Ok(Sharing::Multiple(shares))
            }
            raw::Mode::Single => {
                let Some(by_name) = &entry.priorities else {
                    return Ok(Sharing::Single(hosts.iter().map(|h| (h.target(), h.priority)).collect()));
                };
                let mut priorities = BTreeMap::new();
                // In the order of the file, whatever the order of the parsed table.
                let mut entries: Vec<_> = by_name.get_ref().0.iter().collect();
                entries.sort_by_key(|(name, _)| name.span().start);
                for (name, value) in entries {
                    let target = self.target(whose, name, names)?;
                    let what = format!("{whose}: handling priority of \"{}\"", name.get_ref());
                    let priority = self.number(&what, value, 1..=MAX_HOSTS as u8)?;
                    if let Some((other, _)) = priorities.iter().find(|(_, p)| **p == priority) {
                        let other = names.iter().find(|(_, id)| *id == other).map_or("?", |(name, _)| name);
                        let message = format!("{what} is {priority}, which \"{other}\" has: 1..32, unique in the rule");
                        return Err(self.refuse(&value.span(), message));
                    }
                    priorities.insert(target, priority);
                }
                if priorities.is_empty() {
                    let message = format!("{whose} names no host in its priorities, so nobody takes its traffic");
                    return Err(self.refuse(&by_name.span(), message));
                }
                Ok(Sharing::Single(priorities))
            }
        }
    }

    fn weights(&self, whose: &str, weights: &Weights, hosts: &[Host], names: &Names) -> Result<BTreeMap<u16, u32>> {
        match weights {
            Weights::Equal => Ok(hosts.iter().map(|h| (h.target(), MAX_WEIGHT)).collect()),
            Weights::ByName(by_name) => {
                let mut shares = BTreeMap::new();
                for (name, value) in &by_name.0 {
                    let what = format!("{whose}: weight of \"{}\"", name.get_ref());
                    shares.insert(self.target(whose, name, names)?, self.number(&what, value, 0..=MAX_WEIGHT)?);
                }
                Ok(shares)
            }
        }
    }

    fn steps(&self, raw: &[Spanned<raw::Step>], rules: &[Rule], hosts: &[Host], names: &Names) -> Result<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        let mut live: BTreeSet<u8> = hosts.iter().map(|h| h.priority).collect();
        for entry in raw {
            let (span, entry) = (entry.span(), entry.get_ref());
            let after = u64::try_from(*entry.after.get_ref()).map_err(|_| {
                let message =
                    format!("after {}: the number of packets before the step is 0 or more", entry.after.get_ref());
                self.refuse(&entry.after.span(), message)
            })?;
            if let Some(last) = steps.last().filter(|last| last.after > after) {
                let message = format!("after {after} comes behind a step after {}: steps stand in order", last.after);
                return Err(self.refuse(&entry.after.span(), message));
            }
            let host = |name: &Spanned<String>| {
                let found = hosts.iter().find(|h| h.name == *name.get_ref()).map(|h| h.priority);
                found.ok_or_else(|| self.unknown("step", "host", name, hosts.iter().map(|h| h.name.as_str())))
            };
            let mut step = Step { after, ..Step::default() };
            for name in &entry.down {
                let priority = host(name)?;
                if !live.remove(&priority) {
                    return Err(self.refuse(&name.span(), format!("step: host \"{}\" is down already", name.get_ref())));
                }
                step.down.insert(priority);
            }
            for name in &entry.up {
                let priority = host(name)?;
                if !live.insert(priority) {
                    return Err(self.refuse(&name.span(), format!("step: host \"{}\" is up already", name.get_ref())));
                }
                step.up.insert(priority);
            }
            if live.is_empty() {
                return Err(self.refuse(&span, "step: no host is left; a cluster needs one"));
            }
            step.weights = self.step_weights(entry, rules, hosts, names)?;
            if step.down.is_empty() && step.up.is_empty() && step.weights.is_empty() {
                return Err(self.refuse(&span, "step changes nothing: give it down, up or weights"));
            }
            steps.push(step);
        }
        Ok(steps)
    }

    fn step_weights(
        &self,
        entry: &raw::Step,
        rules: &[Rule],
        hosts: &[Host],
        names: &Names,
    ) -> Result<BTreeMap<(u8, u16), u32>> {
        let shared = |rule: &Rule| matches!(rule.sharing, Sharing::Multiple(_));
        let chosen: Vec<u8> = match &entry.rule {
            None => (0..rules.len() as u8).filter(|n| shared(&rules[usize::from(*n)])).collect(),
            Some(name) => {
                let number = rules.iter().position(|rule| rule.name == *name.get_ref());
                let known = || rules.iter().map(|r| r.name.as_str());
                let number = number.ok_or_else(|| self.unknown("step", "rule", name, known()))?;
                if !shared(&rules[number]) {
                    let message = format!("step: rule \"{}\" has no weights: its mode is not multiple", name.get_ref());
                    return Err(self.refuse(&name.span(), message));
                }
                if entry.weights.is_none() {
                    return Err(self.refuse(&name.span(), "step names a rule but no weights for it"));
                }
                vec![number as u8]
            }
        };
        let Some(weights) = &entry.weights else { return Ok(BTreeMap::new()) };
        let shares = self.weights("step", weights.get_ref(), hosts, names)?;
        Ok(chosen.iter().flat_map(|n| shares.iter().map(|(target, weight)| ((*n, *target), *weight))).collect())
    }
}

/// The default rule of a cluster without port rules (requirement N4): all ports, both protocols, single affinity, equal.
fn every_port_by_client(hosts: &[Host]) -> Rule {
    Rule {
        name: "all-ports".into(),
        vips: None,
        ports: vec![(0, u16::MAX)],
        tcp: true,
        udp: true,
        sharing: Sharing::Multiple(hosts.iter().map(|h| (h.target(), MAX_WEIGHT)).collect()),
        bucket: KeyMask::SOURCE,
        binding: KeyMask::ALL,
        group: 0,
        track: track_by_default(true),
        sticky: false,
        timeouts: Timeouts::default(),
    }
}

/// Connections of TCP are remembered; UDP alone follows the map at once.
fn track_by_default(tcp: bool) -> Track {
    if tcp { Track::Always } else { Track::Never }
}

/// Ports that are in both ranges.
fn common(a: (u16, u16), b: (u16, u16)) -> Option<(u16, u16)> {
    let range = (a.0.max(b.0), a.1.min(b.1));
    (range.0 <= range.1).then_some(range)
}

/// Ports for which neither of two rules beats the other.
fn overlap(a: &Rule, b: &Rule) -> Option<(u16, u16)> {
    let same_vip = match (&a.vips, &b.vips) {
        (None, None) => true,
        (Some(a), Some(b)) => !a.is_disjoint(b),
        // A rule for one VIP beats a rule for all.
        _ => false,
    };
    if !same_vip || !((a.tcp && b.tcp) || (a.udp && b.udp)) {
        return None;
    }
    a.ports.iter().find_map(|x| b.ports.iter().find_map(|y| common(*x, *y)))
}
