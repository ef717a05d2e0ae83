// SPDX-License-Identifier: Apache-2.0
//! The dashboard shows what there is.
#![forbid(unsafe_code)]

mod support;

use hashgate_watch::metrics::render;
use serde_json::Value;
use std::collections::BTreeSet;

fn dashboard() -> Value {
    serde_json::from_str(include_str!("../../dashboard.json")).expect("JSON")
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().expect("panels")
}

/// Metrics and labels that a query of Prometheus names.
fn words(query: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    query.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Labels in `{{...}}`, in matchers and in `by (...)`. All queries here are of the forms that this reads.
fn labels(query: &str, legend: &str) -> BTreeSet<String> {
    let legend = legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().to_owned());
    let matchers = query.split('{').skip(1).flat_map(|rest| {
        let inside = rest.split('}').next().unwrap();
        inside.split(',').map(|matcher| matcher.split(['=', '!']).next().unwrap().trim().to_owned()).collect::<Vec<_>>()
    });
    let by = query.split("by (").skip(1).flat_map(|rest| words(rest.split(')').next().unwrap()));
    legend.chain(matchers).chain(by).collect()
}

#[test]
fn metrics_and_labels_exist() {
    let page = support::read(&render(&support::full()).unwrap()).unwrap();
    let dashboard = dashboard();
    let mut used = BTreeSet::new();
    for panel in panels(&dashboard).iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            let metrics: Vec<String> = words(query).into_iter().filter(|word| word.starts_with("hashgate_")).collect();
            assert!(!metrics.is_empty(), "{title}: {query}");
            let mut known = BTreeSet::from(["instance".to_owned()]);
            for metric in &metrics {
                assert!(page.names().contains(metric), "{title}: no metric {metric}");
                known.extend(page.labels(metric));
                let counter = metric.ends_with("_total");
                let rate = query.contains(&format!("rate({metric}")) || query.contains(&format!("increase({metric}"));
                assert_eq!(counter, rate, "{title}: {metric}: counters are shown by their rates, gauges are not");
            }
            for label in labels(query, target["legendFormat"].as_str().unwrap()) {
                assert!(known.contains(&label), "{title}: {metrics:?} has no label {label}");
            }
            used.extend(metrics);
        }
    }
    // What a dashboard must have.
    for metric in [
        "hashgate_members",
        "hashgate_phase",
        "hashgate_lease_seconds",
        "hashgate_rule_buckets",
        "hashgate_packets_total",
        "hashgate_rule_packets_total",
        "hashgate_bindings",
        "hashgate_heartbeats_missed_total",
        "hashgate_convergence_last_seconds",
        "hashgate_occupancy_ratio",
        "hashgate_occupancy_threshold_ratio",
        "hashgate_hostpath_ring_drops_total",
    ] {
        assert!(used.contains(metric), "{metric}");
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["definition"].as_str().unwrap_or_default();
        for metric in words(query).iter().filter(|word| word.starts_with("hashgate_")) {
            assert!(page.names().contains(metric), "{metric}");
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    let dashboard = dashboard();
    let mut taken = std::collections::BTreeMap::new();
    let mut ids = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: id twice");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}: the grid has 24 columns");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = taken.insert(cell, title) {
                panic!("{title} and {other} overlap at {cell:?}");
            }
        }
    }
}

#[test]
fn data_source_is_a_variable() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let source = &variables[0];
    assert_eq!(
        (&source["name"], &source["type"], &source["query"]),
        (&"datasource".into(), &"datasource".into(), &"prometheus".into())
    );
    let wanted = serde_json::json!({ "type": "prometheus", "uid": "${datasource}" });
    for panel in panels(&dashboard).iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"], wanted, "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"], wanted, "{}", panel["title"]);
        }
    }
    for variable in &variables[1..] {
        assert_eq!(variable["datasource"], wanted, "{}", variable["name"]);
    }
    // Every variable that is used is there.
    let text = include_str!("../../dashboard.json");
    for (number, rest) in text.split("=~\\\"$").skip(1).enumerate() {
        let name = rest.split("\\\"").next().unwrap();
        assert!(variables.iter().any(|variable| variable["name"] == name), "{number}: ${name}");
    }
}
