// SPDX-License-Identifier: Apache-2.0
//! State of a member as OpenMetrics text: [`Sample`] in, [`render`] out, [`serve`] over HTTP.
//!
//! Values come from the API's messages, so that metrics and `lbctl` cannot tell different stories. Base units (seconds, bytes, ratios), counters end in `_total`.
//! Names in labels come from configurations and peers: they are cut, and there is a limit on the series of a family.

mod families;
mod serve;

pub use families::FAMILIES;
pub use serve::{CONNECTIONS, serve};

use crate::monitor::MonitorStatus;
use hashgate_api::v1::{CountBindingsReply, CountersReply, NicInfoReply, OccupancyReply, RulesReply, StatusReply};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;

/// Series in a family; more are left out and counted by `hashgate_series_left_out`. There are 1024 targets at most.
pub const MAX_SERIES: usize = 2048;
/// Characters of a label's value; longer ones are cut.
pub const MAX_LABEL: usize = 128;
/// What every answer of `/metrics` is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A frame or datagram that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `frames` (0x886F) or `control` (datagrams).
    pub channel: String,
    /// Why, in lower case with dashes.
    pub reason: String,
    /// How many since the daemon started.
    pub count: u64,
}

/// What a page of metrics is made from.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Of the API.
    pub status: StatusReply,
    /// Of the API.
    pub counters: CountersReply,
    /// Of the API, with an empty filter.
    pub bindings: CountBindingsReply,
    /// Of the API.
    pub rules: RulesReply,
    /// Of the API; empty without a measurement.
    pub occupancy: OccupancyReply,
    /// Of the API, for errors of memory.
    pub nic: Option<NicInfoReply>,
    /// How long the last convergence that came to its end took.
    pub converging_seconds_last: Option<f64>,
    /// Convergences that came to their end since the daemon started.
    pub convergences: u64,
    /// Buckets of all rules whose owner changed by them.
    pub buckets_moved: u64,
    /// What was not taken from the network.
    pub refused: Vec<Refused>,
    /// [`Monitors::statuses`](crate::monitor::Monitors::statuses).
    pub monitors: Vec<MonitorStatus>,
}

/// A number of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Whole(u64),
    Real(f64),
}

/// Kind, name without prefix and suffix, labels and meaning of a family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Without `hashgate_`, and without `_total` and `_info`.
    pub name: &'static str,
    /// Counter, gauge or info.
    pub kind: MetricType,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// In words.
    pub help: &'static str,
}

impl Family {
    /// Name of its series.
    pub fn series_name(&self) -> String {
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            _ => "",
        };
        format!("hashgate_{}{suffix}", self.name)
    }
}

/// Values of all families, by name and by values of labels.
#[derive(Debug, Default)]
struct Page {
    series: BTreeMap<&'static str, BTreeMap<Vec<String>, Value>>,
    left_out: u64,
}

impl Page {
    /// Takes a value. What has the same labels already is one series: counters add up, of gauges the newer one stands.
    fn put(&mut self, name: &'static str, labels: &[&str], value: Value) {
        let family = FAMILIES.iter().find(|family| family.name == name).expect("a family of the list");
        assert_eq!(family.labels.len(), labels.len(), "labels of {name}");
        if matches!(value, Value::Real(number) if !number.is_finite()) {
            self.left_out += 1;
            return;
        }
        let series = self.series.entry(name).or_default();
        let labels: Vec<String> = labels.iter().map(|label| clean(label)).collect();
        if series.len() >= MAX_SERIES && !series.contains_key(&labels) {
            self.left_out += 1;
            return;
        }
        let before = series.get(&labels).copied();
        let value = match (family.kind, before, value) {
            (MetricType::Counter, Some(Value::Whole(old)), Value::Whole(new)) => Value::Whole(old.saturating_add(new)),
            _ => value,
        };
        series.insert(labels, value);
    }
}

/// A label's value without control characters, at most [`MAX_LABEL`] characters.
fn clean(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    match text.chars().nth(MAX_LABEL) {
        None => shown.collect(),
        Some(_) => shown.take(MAX_LABEL - 1).chain(['…']).collect(),
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for family in FAMILIES {
            let Some(series) = self.series.get(family.name) else { continue };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (values, value) in series {
                let labels: Vec<(&str, &str)> =
                    family.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
                match family.kind {
                    MetricType::Info => metric.encode_info(&labels)?,
                    _ if labels.is_empty() => number(&mut metric, family.kind, *value)?,
                    _ => number(&mut metric.encode_family(&labels)?, family.kind, *value)?,
                }
            }
        }
        Ok(())
    }
}

fn number(metric: &mut MetricEncoder, kind: MetricType, value: Value) -> Result<(), std::fmt::Error> {
    match (kind, value) {
        (MetricType::Counter, Value::Whole(value)) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (MetricType::Counter, Value::Real(value)) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (_, Value::Whole(value)) => metric.encode_gauge(&value),
        (_, Value::Real(value)) => metric.encode_gauge(&value),
    }
}

/// The page of a sample, with `# EOF` at its end. What has no value is not there.
///
/// # Errors
/// Those of the formatter, which a string does not have.
pub fn render(sample: &Sample) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("hashgate");
    registry.register_collector(Box::new(families::page(sample)));
    let mut page = String::new();
    text::encode(&mut page, &registry)?;
    Ok(page)
}
