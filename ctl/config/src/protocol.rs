// SPDX-License-Identifier: Apache-2.0
//! What the cluster protocol needs to know of a configuration.

use crate::{Config, Sharing};
use hashgate_cluster::api::{Rule, RuleSet, Sharing as Shares};
use hashgate_cluster::message::HostId;
use sha2::{Digest, Sha256};

/// The first 64 bits of a digest, never 0.
fn short(digest: Sha256) -> u64 {
    let bytes = digest.finalize();
    u64::from_le_bytes(*bytes.first_chunk().expect("SHA-256 has 32 bytes")).max(1)
}

impl Config {
    /// Identity of the rule with this name across changes of the configuration: 64 bits of SHA-256 over the name.
    pub fn rule_key(name: &str) -> u64 {
        short(Sha256::new_with_prefix(name))
    }

    /// Digest of all that has to be the same on all members: 64 bits of SHA-256 over a text with a line for each fact. Settings of the daemon, names, station addresses and
    /// dedicated addresses are not among them.
    pub fn digest(&self) -> u64 {
        use std::fmt::Write;
        let mut text = String::new();
        let mut line = |what: &str, of: &dyn std::fmt::Debug| {
            // Into a string, which takes everything.
            let _ = writeln!(text, "{what} {of:?}");
        };
        line("primary", &self.primary_ip);
        line("mode", &(self.mode as u8));
        line("icmp_owner", &self.icmp_owner);
        line("other_ip", &(self.other_ip as u8));
        line("hash_key", &self.hash_key);
        self.zones.iter().for_each(|zone| line("zone", &zone));
        self.vips.iter().for_each(|vip| line("vip", &(vip.addr, vip.zone, vip.id)));
        for rule in &self.rules {
            line("rule", &rule.name);
            line("vips", &rule.vips);
            line("ports", &(&rule.ports, rule.tcp, rule.udp));
            for mask in [rule.bucket, rule.binding] {
                line("key", &(mask.src4, mask.src6, mask.dst, mask.sport, mask.dport));
            }
            line("binding", &(rule.group, rule.track as u8, rule.sticky));
            line("timeouts", &rule.timeouts.named());
            match &rule.sharing {
                Sharing::Disabled => line("disabled", &()),
                Sharing::Multiple(weights) => line("multiple", weights),
                Sharing::Single(priorities) => line("single", priorities),
            }
        }
        short(Sha256::new_with_prefix(text))
    }

    /// The rules as the protocol wants them.
    ///
    /// # Errors
    /// One line if a rule shares with a forward target: those have no lease and send no heartbeats, so only simulations take them.
    pub fn rule_set(&self) -> Result<RuleSet, String> {
        let rules = self.rules.iter().map(|rule| {
            let host = |target: &u16| {
                u8::try_from(*target).ok().and_then(HostId::new).ok_or_else(|| {
                    let name = self.target_name(*target).unwrap_or("?");
                    format!("rule \"{}\" names the forward target \"{name}\", which a cluster cannot give buckets to: name hosts only", rule.name)
                })
            };
            let sharing = match &rule.sharing {
                Sharing::Disabled => Shares::Disabled,
                Sharing::Multiple(weights) => {
                    Shares::Multiple(weights.iter().map(|(t, w)| Ok((host(t)?, *w))).collect::<Result<_, String>>()?)
                }
                Sharing::Single(order) => {
                    Shares::Single(order.iter().map(|(t, p)| Ok((host(t)?, *p))).collect::<Result<_, String>>()?)
                }
            };
            Ok(Rule { key: Config::rule_key(&rule.name), sharing })
        });
        Ok(RuleSet { digest: self.digest(), rules: rules.collect::<Result<_, String>>()? })
    }
}
