// SPDX-License-Identifier: Apache-2.0
//! What the membership frame says of a member.

use super::{Cluster, Stage};
use crate::api::Sharing;
use crate::map::BucketMap;
use crate::maps::{DEFAULT_KEY, MapSet};
use crate::membership::{Membership, RULES, Rule, VERSION, bins, convergence_state};
use std::net::Ipv4Addr;

impl Cluster {
    /// The membership frame of now, to be sent with each heartbeat: the first 32 rules and the default host. `packets`: handled by the NIC, modulo 2^32.
    pub fn membership(&self, cluster_ip: Ipv4Addr, host_ip: Ipv4Addr, packets: u32) -> Membership {
        let host = self.settings.host;
        let shown = self.rules.rules.iter().take(RULES - 1);
        let keys = shown.map(|rule| (rule.key, Some(&rule.sharing))).chain([(DEFAULT_KEY, None)]);
        let mut rules = [Rule::default(); RULES];
        for (rule, (key, sharing)) in rules.iter_mut().zip(keys) {
            let share = |maps: Option<&MapSet>| {
                let of_rule = |maps: &MapSet| maps.maps.iter().find(|(own, _)| *own == key).map(|(_, map)| map.clone());
                maps.and_then(of_rule).map_or(0, |map: std::sync::Arc<BucketMap>| bins(&map, host))
            };
            let committed = share(self.whole.as_ref().map(|(_, maps)| &**maps));
            let now = share(Some(&self.current));
            let proposed = share(self.proposal.as_ref().map(|proposal| &*proposal.maps));
            let released = matches!(self.stage, Stage::Released | Stage::Committing);
            *rule = Rule {
                code: key as u32,
                current: now,
                new: proposed,
                idle: committed & !now,
                ready: if released { proposed & !now } else { 0 },
                weight: match sharing {
                    Some(Sharing::Multiple(weights)) => weights.iter().find(|(of, _)| *of == host).map_or(0, |it| it.1),
                    Some(Sharing::Single(order)) => {
                        order.iter().find(|(of, _)| *of == host).map_or(0, |it| it.1.into())
                    }
                    Some(Sharing::Disabled) | None => 0,
                },
                reserved: 0,
            };
        }
        let default = self.current.maps.last().and_then(|(_, map)| map.owners().first().copied());
        Membership {
            version: VERSION,
            unique_host_id: host.get().into(),
            cluster_ip,
            host_ip,
            host: host.get().into(),
            default_host: default.filter(|target| *target <= 32).unwrap_or(0),
            convergence_state: convergence_state(self.phase()),
            rule_count: self.rules.rules.len().min(RULES - 1) as u16,
            unique_code: self.settings.incarnation as u32,
            packets_handled: packets,
            teaming: 0,
            reserved: 0,
            rules,
        }
    }
}
