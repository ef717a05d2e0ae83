// SPDX-License-Identifier: Apache-2.0
//! The operations of `ctl/api/proto/hashgate.proto`.

use crate::control::{ask, execute, request};
use crate::core::{Core, CoreHandle};
use crate::dataplane::Dataplane;
use crate::events::Events;
use crate::explain::{Packet, explain};
use crate::filter::{BindingFilter, binding};
use crate::occupancy::Occupancy;
use crate::reload::Reloader;
use crate::report;
use crate::status::{mode_name, rule_names, status};
use crate::worker::Worker;
use anyhow::Result;
use hashgate_api::v1::hashgate_server::Hashgate;
use hashgate_api::v1::*;
use hashgate_cluster::control::{Outcome, Request as Wanted};
use hashgate_cluster::frame::Refusals;
use hashgate_cluster::message::{HostId, HostSet};
use hashgate_config::Config;
use hashgate_hostpath::Lent;
use hashgate_nic::BindingEventKind;
use hashgate_watch::metrics::{Refused, Sample};
use hashgate_watch::monitor::MonitorStatus;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status as Refusal};

type Reply<T> = Result<Response<T>, Refusal>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Refusal>> + Send>>;

/// Between two looks for events of bindings.
const WATCH: Duration = Duration::from_millis(100);
/// Messages of a stream that wait for a slow reader.
const WAITING: usize = 256;

/// The daemon as others see it.
#[derive(Clone)]
pub struct Service {
    pub core: CoreHandle,
    pub worker: Worker,
    pub lent: Arc<Lent>,
    pub events: Events,
    pub reloader: Reloader,
    pub occupancy: Arc<Mutex<Occupancy>>,
    /// Who watches bindings: one at a time, since the NIC gives each event once.
    pub watching: Arc<tokio::sync::Mutex<()>>,
}

fn ends() -> Refusal {
    Refusal::unavailable("the daemon ends, or too much is asked of the NIC at once: try again")
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::internal(format!("{error:#}"))
}

/// All rules, hosts, by name.
struct Names {
    rules: Vec<String>,
    hosts: Vec<String>,
}

impl Names {
    fn of(config: &Config) -> Names {
        Names { rules: rule_names(config), hosts: config.hosts.iter().map(|host| host.name.clone()).collect() }
    }
}

impl Service {
    async fn core<T: Send + 'static>(&self, what: impl FnOnce(&mut Core) -> T + Send + 'static) -> Result<T, Refusal> {
        self.core.call(what).await.ok_or_else(ends)
    }

    async fn nic<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Dataplane) -> Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.worker.call(what).await.ok_or_else(ends)?.map_err(failed)
    }

    async fn config(&self) -> Result<Arc<Config>, Refusal> {
        self.core(|core| core.config().clone()).await
    }

    async fn filter(&self, from: &BindingsRequest) -> Result<BindingFilter, Refusal> {
        let names = Names::of(&*self.config().await?);
        BindingFilter::new(from, &names.rules, &names.hosts).map_err(Refusal::invalid_argument)
    }

    /// Hosts by name, number or "all"; `None`: this one alone.
    async fn hosts(&self, text: &str) -> Result<(HostId, Option<HostSet>), Refusal> {
        let (config, own) = self.core(|core| (core.config().clone(), core.host().priority)).await?;
        let own = HostId::new(own).ok_or_else(|| failed("this host has no number"))?;
        let all: HostSet = config.hosts.iter().filter_map(|host| HostId::new(host.priority)).collect();
        if text.is_empty() {
            return Ok((own, None));
        }
        if text == "all" {
            return Ok((own, Some(all)));
        }
        let found = config.hosts.iter().find(|host| host.name == text || host.priority.to_string() == text);
        let found = found.and_then(|host| HostId::new(host.priority)).ok_or_else(|| {
            let known = config.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ");
            Refusal::invalid_argument(format!("there is no host \"{text}\" (known: {known}, all)"))
        })?;
        Ok((own, (found != own).then(|| HostSet::from_iter([found]))))
    }

    /// Carries a request out on this host or on others, and collects what they say.
    async fn everywhere(&self, hosts: &str, request: Wanted) -> Result<CommandReply, Refusal> {
        let (own, others) = self.hosts(hosts).await?;
        let config = self.config().await?;
        let tap = self.core(|core| core.host().tap.clone()).await?;
        let (core, reloader) = (self.core.clone(), self.reloader.clone());
        let name = {
            let config = config.clone();
            move |id: HostId| config.target_name(id.get().into()).unwrap_or_default().to_owned()
        };
        let answers = tokio::task::spawn_blocking(move || {
            let mut answers = Vec::new();
            if others.is_none_or(|others| others.contains(own)) {
                let (outcome, text) = execute(&core, &reloader, request);
                answers.push((own, outcome_name(outcome).to_owned(), text));
            }
            let mut asked = others.unwrap_or_default();
            asked.remove(own);
            if !asked.is_empty() {
                match ask(&config, &tap, asked, request) {
                    Ok(told) => {
                        for (host, outcome, text) in told {
                            asked.remove(host);
                            answers.push((host, outcome_name(outcome).to_owned(), text));
                        }
                        answers.extend(
                            asked.iter().map(|host| (host, "no-answer".to_owned(), "it does not answer".to_owned())),
                        );
                    }
                    Err(error) => {
                        answers.extend(asked.iter().map(|host| (host, "failed".to_owned(), format!("{error:#}"))))
                    }
                }
            }
            answers
        });
        let mut answers = answers.await.map_err(failed)?;
        answers.sort_by_key(|(host, ..)| *host);
        let answer = |(host, outcome, text): (HostId, String, String)| HostAnswer {
            id: host.get().into(),
            name: name(host),
            outcome,
            text,
        };
        Ok(CommandReply { answers: answers.into_iter().map(answer).collect() })
    }

    /// What metrics are made of, too.
    pub async fn counters_now(&self) -> Result<CountersReply, Refusal> {
        let lent = self.lent.clone();
        self.nic(move |dataplane| report::counters(dataplane, &lent)).await
    }

    /// The NIC.
    pub async fn nic_info_now(&self) -> Result<NicInfoReply, Refusal> {
        let host = self.core(|core| core.host().clone()).await?;
        let device = host.device.as_ref().map_or_else(String::new, ToString::to_string);
        let lent = self.lent.clone();
        self.nic(move |dataplane| report::nic_info(dataplane, &lent, &device, &host.tap)).await
    }

    /// A page of metrics.
    pub async fn sample(
        &self,
        refused_control: &Mutex<Refusals>,
        monitors: Vec<MonitorStatus>,
    ) -> Result<Sample, Refusal> {
        let (tally, frames) = self.core(|core| (core.tally, core.refused.clone())).await?;
        let channel = |channel: &str, refusals: &Refusals| {
            let of = |(refusal, count): (hashgate_cluster::frame::Refusal, u64)| Refused {
                channel: channel.to_owned(),
                reason: refusal.to_string().replace(' ', "-"),
                count,
            };
            refusals.iter().filter(|(_, count)| *count > 0).map(of).collect::<Vec<_>>()
        };
        let mut refused = channel("frames", &frames);
        refused.extend(channel("control", &refused_control.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(Sample {
            status: self.status_now().await?,
            counters: self.counters_now().await?,
            bindings: self.bindings_now().await?,
            rules: self.rules_now().await?,
            occupancy: self.occupancy_now().await?,
            nic: Some(self.nic_info_now().await?),
            converging_seconds_last: tally.converging.map(|ns| ns as f64 / 1e9),
            convergences: tally.convergences,
            buckets_moved: tally.moved,
            refused,
            monitors,
        })
    }

    /// The rules with their state.
    pub async fn rules_now(&self) -> Result<RulesReply, Refusal> {
        let (state, owned) = self
            .core(|core| {
                let (_, draining, disabled) = core.own_state();
                let own = core.host().target();
                let maps = core.cluster().status().maps;
                ((draining, disabled), maps.maps.iter().map(|(_, map)| map.count(own) as u32).collect::<Vec<_>>())
            })
            .await?;
        self.nic(move |dataplane| report::rules(dataplane, state, &owned)).await
    }

    /// All bindings, counted.
    pub async fn bindings_now(&self) -> Result<CountBindingsReply, Refusal> {
        self.nic(|dataplane| report::count_bindings(dataplane, &BindingFilter::default())).await
    }

    /// The cluster.
    pub async fn status_now(&self) -> Result<StatusReply, Refusal> {
        self.core(status).await
    }

    /// Of the last seconds.
    pub async fn occupancy_now(&self) -> Result<OccupancyReply, Refusal> {
        let (config, name) = self.core(|core| (core.config().clone(), core.host().name.clone())).await?;
        let daemon = &config.daemon;
        let host = self.occupancy.lock().unwrap_or_else(PoisonError::into_inner).host(&name, daemon);
        Ok(OccupancyReply {
            link_bits_per_second: daemon.link_bits_per_second,
            threshold: daemon.occupancy_warning,
            hosts: vec![host],
        })
    }
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Unsupported => "unsupported",
        Outcome::Unknown => "unknown",
        Outcome::Stale | Outcome::Busy => "failed",
    }
}

#[tonic::async_trait]
impl Hashgate for Service {
    type BindingsStream = Streamed<Binding>;
    type WatchBindingsStream = Streamed<BindingEvent>;
    type EventsStream = Streamed<Event>;

    async fn status(&self, _: Request<StatusRequest>) -> Reply<StatusReply> {
        Ok(Response::new(self.status_now().await?))
    }

    async fn command(&self, from: Request<CommandRequest>) -> Reply<CommandReply> {
        let from = from.into_inner();
        let config = self.config().await?;
        let request = request(&from, &config).map_err(Refusal::invalid_argument)?;
        Ok(Response::new(self.everywhere(&from.host, request).await?))
    }

    async fn reload(&self, from: Request<ReloadRequest>) -> Reply<CommandReply> {
        let ReloadRequest { all, abort } = from.into_inner();
        if abort {
            let hosts = if all { "all" } else { "" };
            return Ok(Response::new(self.everywhere(hosts, Wanted::AbortStage).await?));
        }
        // First here: a file that is refused is not asked of others.
        let mut reply = self.everywhere("", Wanted::Stage(0)).await?;
        if reply.answers.iter().any(|answer| answer.outcome != "done") {
            return Ok(Response::new(reply));
        }
        let digest = self.core(|core| core.staged().map(|staged| staged.digest())).await?;
        if all {
            let wanted = match digest {
                Some(digest) => digest,
                None => self.core(|core| core.config().digest()).await?,
            };
            let others = self.everywhere("all", Wanted::Stage(wanted)).await?;
            if others.answers.iter().any(|answer| answer.outcome != "done") {
                // All or nobody.
                self.everywhere("all", Wanted::AbortStage).await?;
                return Ok(Response::new(others));
            }
            reply = others;
        }
        let reloader = self.reloader.clone();
        let activated = tokio::task::spawn_blocking(move || reloader.activate()).await.map_err(failed)?;
        activated.map_err(failed)?;
        Ok(Response::new(reply))
    }

    async fn params(&self, _: Request<ParamsRequest>) -> Reply<ParamsReply> {
        let file = self.reloader.file().display().to_string();
        let (config, host) = self.core(|core| (core.config().clone(), core.host().clone())).await?;
        let daemon = &config.daemon;
        let ms = |time: Duration| time.as_millis().to_string();
        let text = |it: &Option<String>| it.clone().unwrap_or_else(|| "off".into());
        let params = [
            ("cluster.primary_ip", config.primary_ip.to_string()),
            ("cluster.mode", mode_name(config.mode).into()),
            ("cluster.mask_source", config.mask_source.to_string()),
            ("cluster.period_ms", ms(daemon.period)),
            ("cluster.tolerance", daemon.tolerance.to_string()),
            ("cluster.lease_ms", ms(daemon.lease)),
            ("cluster.quorum", text(&daemon.quorum.map(|quorum| quorum.expected_hosts.to_string()))),
            (
                "cluster.auth",
                if daemon.auth == Some(hashgate_config::daemon::AuthFiles::None) { "none" } else { "keys" }.into(),
            ),
            ("cluster.rules_digest", format!("{:016x}", config.digest())),
            ("host.name", host.name.clone()),
            ("host.priority", host.priority.to_string()),
            ("host.station_mac", host.station_mac.to_string()),
            ("host.device", text(&host.device.as_ref().map(ToString::to_string))),
            ("host.tap", host.tap.clone()),
            ("host.wire_port", host.wire_port.to_string()),
            ("control.remote", daemon.control_key.is_some().to_string()),
            ("control.grpc", text(&daemon.grpc.as_ref().map(|grpc| grpc.listen.to_string()))),
            ("metrics.listen", text(&daemon.metrics.map(|at| at.to_string()))),
            ("metrics.link_bits_per_second", daemon.link_bits_per_second.to_string()),
            ("metrics.occupancy_warning", daemon.occupancy_warning.to_string()),
            ("notify.script", text(&daemon.notify.as_ref().map(|path| path.display().to_string()))),
            ("monitors", daemon.monitors.len().to_string()),
        ];
        let params = params.into_iter().map(|(name, value)| Param { name: name.into(), value }).collect();
        Ok(Response::new(ParamsReply { config_file: file, params }))
    }

    async fn rules(&self, _: Request<RulesRequest>) -> Reply<RulesReply> {
        Ok(Response::new(self.rules_now().await?))
    }

    async fn targets(&self, _: Request<TargetsRequest>) -> Reply<TargetsReply> {
        Ok(Response::new(self.nic(report::targets).await?))
    }

    async fn map(&self, from: Request<MapRequest>) -> Reply<MapReply> {
        let rule = from.into_inner().rule;
        let names = Names::of(&*self.config().await?).rules;
        if !rule.is_empty() && !names.contains(&rule) {
            return Err(Refusal::invalid_argument(format!(
                "there is no rule \"{rule}\" (known: {})",
                names.join(", ")
            )));
        }
        Ok(Response::new(
            self.nic(move |dataplane| report::maps(dataplane, |name| rule.is_empty() || name == rule)).await?,
        ))
    }

    async fn bindings(&self, from: Request<BindingsRequest>) -> Reply<Self::BindingsStream> {
        let from = from.into_inner();
        let filter = self.filter(&from).await?;
        let limit = if from.limit == 0 { usize::MAX } else { from.limit as usize };
        let found = self.nic(move |dataplane| report::bindings(dataplane, &filter, limit)).await?;
        Ok(Response::new(Box::pin(tokio_stream::iter(found.into_iter().map(Ok)))))
    }

    async fn watch_bindings(&self, from: Request<BindingsRequest>) -> Reply<Self::WatchBindingsStream> {
        let filter = self.filter(&from.into_inner()).await?;
        let alone = self.watching.clone().try_lock_owned();
        let alone =
            alone.map_err(|_| Refusal::resource_exhausted("somebody watches bindings already: one at a time"))?;
        let (send, receive) = mpsc::channel(WAITING);
        let service = self.clone();
        tokio::spawn(async move {
            let _alone = alone;
            let mut lost = 0;
            while !send.is_closed() {
                let filter = filter.clone();
                let events = service.nic(move |dataplane| watched(dataplane, &filter)).await;
                let (events, lost_now) = match events {
                    Ok(it) => it,
                    Err(refusal) => {
                        // Whoever watched may have gone.
                        let _ = send.send(Err(refusal)).await;
                        break;
                    }
                };
                for mut event in events {
                    event.lost = u32::try_from(lost_now - lost).unwrap_or(u32::MAX);
                    lost = lost_now;
                    if send.send(Ok(event)).await.is_err() {
                        break;
                    }
                }
                tokio::time::sleep(WATCH).await;
            }
            // If the daemon ends, the ring ends with it.
            let _ = service.worker.call(Dataplane::stop_watching).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn count_bindings(&self, from: Request<BindingsRequest>) -> Reply<CountBindingsReply> {
        let filter = self.filter(&from.into_inner()).await?;
        Ok(Response::new(self.nic(move |dataplane| report::count_bindings(dataplane, &filter)).await?))
    }

    async fn delete_bindings(&self, from: Request<DeleteBindingsRequest>) -> Reply<DeleteBindingsReply> {
        let DeleteBindingsRequest { filter: from, all } = from.into_inner();
        let from = from.unwrap_or_default();
        if BindingFilter::is_empty(&from) && !all {
            return Err(Refusal::invalid_argument(
                "an empty filter would end all bindings: say \"all\" if that is meant",
            ));
        }
        let filter = self.filter(&from).await?;
        let limit = if from.limit == 0 { usize::MAX } else { from.limit as usize };
        let deleted = self.nic(move |dataplane| {
            let mut deleted = 0;
            for table in crate::dataplane::BINDING_TABLES {
                for found in dataplane.bindings(table)? {
                    if deleted < limit && filter.takes(table, &found, dataplane) {
                        deleted += usize::from(dataplane.nic().remove_binding(table, &found.key)?);
                    }
                }
            }
            Ok(deleted)
        });
        let deleted = deleted.await?;
        self.core(move |core| {
            core.log("bindings-deleted", "info", format!("{deleted} bindings were ended by command"))
        })
        .await?;
        Ok(Response::new(DeleteBindingsReply { deleted: deleted as u64 }))
    }

    async fn counters(&self, _: Request<CountersRequest>) -> Reply<CountersReply> {
        Ok(Response::new(self.counters_now().await?))
    }

    async fn events(&self, from: Request<EventsRequest>) -> Reply<Self::EventsStream> {
        let EventsRequest { last, follow } = from.into_inner();
        let (kept, next) = self.events.follow(last as usize);
        let kept = tokio_stream::iter(kept.into_iter().map(Ok));
        if !follow {
            return Ok(Response::new(Box::pin(kept)));
        }
        // Who reads too slowly misses events; their numbers show it.
        let next = tokio_stream::wrappers::BroadcastStream::new(next).filter_map(|event| event.ok().map(Ok));
        Ok(Response::new(Box::pin(kept.chain(next))))
    }

    async fn nic_info(&self, _: Request<NicInfoRequest>) -> Reply<NicInfoReply> {
        Ok(Response::new(self.nic_info_now().await?))
    }

    async fn explain(&self, from: Request<ExplainRequest>) -> Reply<ExplainReply> {
        let packet = Packet::new(&from.into_inner()).map_err(Refusal::invalid_argument)?;
        let (host, lease) = self.core(|core| (core.host().clone(), core.cluster().status().lease.is_some())).await?;
        Ok(Response::new(self.nic(move |dataplane| explain(dataplane, &packet, &host, lease)).await?))
    }

    async fn occupancy(&self, _: Request<OccupancyRequest>) -> Reply<OccupancyReply> {
        Ok(Response::new(self.occupancy_now().await?))
    }
}

/// Events of bindings since the last time, and how many were lost since the first.
fn watched(dataplane: &mut Dataplane, filter: &BindingFilter) -> Result<(Vec<BindingEvent>, u64)> {
    let mut found = Vec::new();
    let ring = dataplane.watch()?;
    ring.poll(WAITING, |event| found.push(event))?;
    let lost = ring.lost();
    let clocks = dataplane.nic().binding_clocks();
    let kind = |kind: BindingEventKind| match kind {
        BindingEventKind::Created => "created",
        BindingEventKind::Changed => "changed",
        BindingEventKind::Removed => "removed",
        BindingEventKind::Refused => "refused",
    };
    let taken = found.iter().filter(|event| filter.takes(event.table, &event.binding, dataplane));
    let told = taken.map(|event| BindingEvent {
        kind: kind(event.kind).into(),
        time: crate::events::wall_ns(),
        binding: Some(binding(event.table, &event.binding, &clocks, dataplane)),
        lost: 0,
    });
    Ok((told.collect(), lost))
}
