// SPDX-License-Identifier: Apache-2.0
//! Settings of the daemon.

use super::{Result, Source};
use crate::daemon::{AuthFiles, Check, Daemon, Device, Grpc, Monitor, Quorum, Subnet};
use crate::raw::{self, CheckKind};
use crate::{Build, Host, MAX_HOSTS, Rule};
use hashgate_cluster::api::Settings;
use hashgate_cluster::message::HostId;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// Period of heartbeats, ms.
const PERIOD_MS: std::ops::RangeInclusive<u16> = 5..=10_000;

impl Source<'_> {
    /// NIC, TAP device and wire port of a host.
    pub(super) fn device(&self, entry: &raw::Host, build: Build) -> Result<(Option<Device>, String, u8)> {
        let example = "\"vfio:0000:03:00.0\", \"vfio-user:PATH\" or \"soft:INTERFACE\"";
        let device = entry.device.as_ref().map(|it| self.parse("device", it.get_ref(), &it.span(), example));
        let tap = match &entry.tap {
            None => "hg0".to_owned(),
            Some(tap) => {
                let text = tap.get_ref();
                let bad = |c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c.is_control();
                if text.is_empty() || text.len() > 15 || text.contains(bad) {
                    let message =
                        format!("tap \"{text}\": an interface name has 1 to 15 bytes and no '/', ':', '%' or blank");
                    return Err(self.refuse(&tap.span(), message));
                }
                text.clone()
            }
        };
        let port = entry.wire_port.as_ref().map(|port| self.number("wire_port", port, 0..=build.ports() - 1));
        Ok((device.transpose()?, tap, port.transpose()?.unwrap_or(0)))
    }

    pub(super) fn daemon(&self, raw: &raw::File, hosts: &[Host], rules: &[Rule]) -> Result<Daemon> {
        let cluster = &raw.cluster;
        let compatible = cluster.profile == raw::Profile::Compatible;
        let number = |what, value: &Option<Spanned<i64>>, limits, default| {
            value.as_ref().map_or(Ok(default), |value| self.number::<u16>(what, value, limits))
        };
        let period = number("period_ms", &cluster.period_ms, PERIOD_MS, if compatible { 1000 } else { 80 })?;
        let tolerance = number("tolerance", &cluster.tolerance, 2..=255, 5)? as u8;
        let silence = u32::from(period) * u32::from(tolerance);
        let lease = match &cluster.lease_ms {
            Some(lease) => self.number("lease_ms", lease, i64::from(period)..=i64::from(silence))?,
            None => i64::from(silence) * 9 / 10,
        };
        let quorum = cluster.quorum.as_ref().map(|quorum| self.quorum(quorum, hosts)).transpose()?;
        let settings = Settings {
            host: HostId::new(1).expect("1 is a host"),
            incarnation: 1,
            period: u64::from(period) * 1_000_000,
            tolerance,
            lease: lease as u64 * 1_000_000,
            quorum: quorum.map(|quorum| hashgate_cluster::api::Quorum {
                expected_hosts: quorum.expected_hosts,
                witness: quorum.witness.and_then(HostId::new),
            }),
            rules: Arc::new(hashgate_cluster::api::RuleSet { digest: 1, rules: Vec::new() }),
        };
        if let Err(error) = settings.check() {
            let of = [&cluster.lease_ms, &cluster.period_ms, &cluster.tolerance].into_iter().flatten().next();
            let span = cluster.quorum.as_ref().filter(|_| of.is_none()).map(Spanned::span);
            return Err(self.refuse(&span.or(of.map(Spanned::span)).unwrap_or(0..0), error.to_string()));
        }
        let control_key = self.control_key(raw, rules)?;
        let listen = |at: &Spanned<String>| self.address("listen", at);
        let warning = match &raw.metrics.occupancy_warning {
            None => 0.02,
            Some(share) if *share.get_ref() > 0.0 && *share.get_ref() <= 1.0 => *share.get_ref(),
            Some(share) => {
                let message = format!("occupancy_warning {} is out of range: above 0, at most 1", share.get_ref());
                return Err(self.refuse(&share.span(), message));
            }
        };
        let link = raw.metrics.link_bits_per_second.as_ref();
        Ok(Daemon {
            period: Duration::from_millis(period.into()),
            tolerance,
            lease: Duration::from_millis(lease as u64),
            quorum,
            auth: cluster.auth.as_ref().map(|auth| self.auth(auth)).transpose()?,
            subnets: self.subnets(cluster)?,
            control_key,
            grpc: raw.control.grpc.as_ref().map(|grpc| self.grpc(grpc)).transpose()?,
            metrics: raw.metrics.listen.as_ref().map(listen).transpose()?,
            link_bits_per_second: link.map_or(Ok(10_000_000_000), |link| {
                self.number("link_bits_per_second", link, 1..=1_000_000_000_000i64)
            })? as u64,
            occupancy_warning: warning,
            notify: raw.notify.script.as_ref().map(|path| self.path("script", path)).transpose()?,
            monitors: raw.monitor.iter().map(|it| self.monitor(it, rules)).collect::<Result<_>>()?,
        })
    }

    fn quorum(&self, quorum: &Spanned<raw::Quorum>, hosts: &[Host]) -> Result<Quorum> {
        let raw = quorum.get_ref();
        let expected_hosts = self.number("expected_hosts", &raw.expected_hosts, 2..=MAX_HOSTS as u8)?;
        let witness = raw.witness.as_ref().map(|name| {
            let host = hosts.iter().find(|host| host.name == *name.get_ref()).map(|host| host.priority);
            host.ok_or_else(|| self.unknown("quorum", "host", name, hosts.iter().map(|h| h.name.as_str())))
        });
        Ok(Quorum { expected_hosts, witness: witness.transpose()? })
    }

    /// A file or program: an absolute path.
    fn path(&self, what: &str, path: &Spanned<String>) -> Result<PathBuf> {
        let text = path.get_ref();
        if !text.starts_with('/') || text.contains('\0') {
            return Err(self.refuse(&path.span(), format!("{what} \"{text}\" is not an absolute path")));
        }
        Ok(text.into())
    }

    fn address(&self, what: &str, at: &Spanned<String>) -> Result<SocketAddr> {
        self.parse(what, at.get_ref(), &at.span(), "\"127.0.0.1:9504\" or \"[::1]:9504\"")
    }

    fn auth(&self, auth: &Spanned<raw::Auth>) -> Result<AuthFiles> {
        let raw::Auth::Keys(raw) = auth.get_ref() else { return Ok(AuthFiles::None) };
        let sign = self.number("number of the key to sign with", &raw.sign, 1..=255u8)?;
        let mut files = BTreeMap::new();
        for (number, path) in &raw.keys {
            let text = number.get_ref();
            let number: u8 = text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
                self.refuse(&number.span(), format!("number of a key \"{text}\" is out of range: 1..255"))
            })?;
            files.insert(number, self.path("key", path)?);
        }
        if !files.contains_key(&sign) {
            let message =
                format!("key {sign} shall be signed with, but is not among the keys: add it, or sign with another");
            return Err(self.refuse(&raw.sign.span(), message));
        }
        Ok(AuthFiles::Keys { sign, files })
    }

    fn subnets(&self, cluster: &raw::Cluster) -> Result<Vec<Subnet>> {
        let texts = cluster.subnets.as_ref().map(|many| self.texts("subnet", many)).transpose()?.unwrap_or_default();
        let subnet = |(span, text): (std::ops::Range<usize>, String)| {
            let read = text
                .split_once('/')
                .and_then(|(addr, prefix)| Some(Subnet { addr: addr.parse().ok()?, prefix: prefix.parse().ok()? }));
            let fits = |it: &Subnet| it.prefix <= if it.addr.is_ipv4() { 32 } else { 128 };
            read.filter(fits).ok_or_else(|| {
                let message =
                    format!("subnet \"{text}\" cannot be read: write it as in \"10.0.0.0/24\" or \"2001:db8::/64\"");
                self.refuse(&span, message)
            })
        };
        texts.into_iter().map(subnet).collect()
    }

    fn control_key(&self, raw: &raw::File, rules: &[Rule]) -> Result<Option<PathBuf>> {
        let remote = raw.control.remote.as_ref();
        let span = remote.map_or(0..0, Spanned::span);
        match (&raw.control.key_file, remote.is_some_and(|remote| *remote.get_ref())) {
            (Some(path), remote) => {
                let path = self.path("key_file", path)?;
                let slots: usize =
                    rules.iter().map(|rule| rule.vips.as_ref().map_or(1, |vips| vips.len()) * rule.ports.len()).sum();
                if remote && (rules.len() > 63 || slots > 63) {
                    let message =
                        "remote control needs a rule and a match slot of its own: 63 are left for the cluster";
                    return Err(self.refuse(&span, message));
                }
                Ok(remote.then_some(path))
            }
            (None, false) => Ok(None),
            (None, true) => Err(self.refuse(&span, "remote = true in [control] needs a key_file")),
        }
    }

    fn grpc(&self, raw: &raw::Grpc) -> Result<Grpc> {
        Ok(Grpc {
            listen: self.address("listen", &raw.listen)?,
            certificate: self.path("certificate", &raw.certificate)?,
            key: self.path("key", &raw.key)?,
            client_ca: self.path("client_ca", &raw.client_ca)?,
        })
    }

    fn monitor(&self, entry: &Spanned<raw::Monitor>, rules: &[Rule]) -> Result<Monitor> {
        let (span, raw) = (entry.span(), entry.get_ref());
        let rule = raw.rule.get_ref();
        if !rules.iter().any(|known| known.name == *rule) {
            return Err(self.unknown("monitor", "rule", &raw.rule, rules.iter().map(|r| r.name.as_str())));
        }
        let whose = format!("monitor of rule \"{rule}\"");
        let seconds = |what, value: &Option<Spanned<i64>>, default| {
            value.as_ref().map_or(Ok(default), |it| self.number(&format!("{whose}: {what}"), it, 1..=3600u16))
        };
        let times = |what, value: &Option<Spanned<i64>>, default| {
            value.as_ref().map_or(Ok(default), |it| self.number(&format!("{whose}: {what}"), it, 1..=1000u32))
        };
        let addr = || {
            let host = match &raw.host {
                None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                Some(host) => self.parse("host", host.get_ref(), &host.span(), "\"127.0.0.1\"")?,
            };
            let Some(port) = &raw.port else {
                return Err(self.refuse(&span, format!("{whose} needs a port")));
            };
            Ok(SocketAddr::new(host, self.number(&format!("{whose}: port"), port, 1..=u16::MAX)?))
        };
        let check = match raw.check {
            CheckKind::Tcp => Check::Tcp(addr()?),
            CheckKind::Http => {
                let path = raw.path.as_ref().map_or("/", |path| path.get_ref());
                if !path.starts_with('/') || path.len() > 1024 || path.chars().any(|c| c.is_control() || c == ' ') {
                    return Err(
                        self.refuse(&span, format!("{whose}: path \"{path}\" must begin with / and have no blanks"))
                    );
                }
                let expect = raw
                    .expect
                    .as_ref()
                    .map_or(Ok(200), |it| self.number(&format!("{whose}: expect"), it, 100..=599u16))?;
                Check::Http { addr: addr()?, path: path.to_owned(), expect }
            }
            CheckKind::Command => match &raw.command {
                Some(command) if command.get_ref().first().is_some_and(|program| program.starts_with('/')) => {
                    Check::Command(command.get_ref().clone())
                }
                _ => {
                    return Err(self
                        .refuse(&span, format!("{whose} needs a command: a list that begins with an absolute path")));
                }
            },
        };
        Ok(Monitor {
            rule: rule.clone(),
            check,
            interval: Duration::from_secs(seconds("interval_s", &raw.interval_s, 2)?.into()),
            timeout: Duration::from_secs(seconds("timeout_s", &raw.timeout_s, 1)?.into()),
            rise: times("rise", &raw.rise, 2)?,
            fall: times("fall", &raw.fall, 3)?,
            disable: raw.on_failure == raw::OnFailure::Disable,
        })
    }
}
