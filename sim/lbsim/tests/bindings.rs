// SPDX-License-Identifier: Apache-2.0
//! `lbsim bench bindings --quick`: its output contract, and what must hold in every run of it, however small.

use serde_json::Value;
use std::process::Command;

/// The number at a path of keys.
fn number(value: &Value, path: &[&str]) -> f64 {
    let found = path.iter().fold(value, |value, key| &value[key]);
    found.as_f64().unwrap_or_else(|| panic!("{path:?}: {found}"))
}

#[test]
fn keeps_its_output_contract_and_no_connection_breaks() {
    let arguments =
        ["bench", "bindings", "--quick", "--json", "--seeds", "3", "--seed", "5", "--clock-hz", "200_000_000"];
    let output = Command::new(env!("CARGO_BIN_EXE_lbsim")).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().count(), 1, "one JSON object");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["bench"], "bindings");
    assert!(report["commit"].is_string());
    assert_eq!(report["environment"]["clock_hz"], 200_000_000);
    assert_eq!(report["environment"]["build"]["beat_bytes"], 64);

    let results = &report["results"];
    assert_eq!(results["quick"], true);
    for (name, seeds) in [("first_refusal_load_factor", 3.0), ("first_refusal_adversarial", 1.0)] {
        let (min, median) = (number(results, &[name, "min"]), number(results, &[name, "median"]));
        assert!(0.3 < min && min <= median && median <= 1.0, "{name}: {min} {median}");
        assert_eq!(number(results, &[name, "seeds"]), seeds);
    }
    for rate in ["1", "0.46", "0.062", "0.001"] {
        let load = number(results, &["first_refusal_by_rate", rate]);
        assert!(0.5 < load && load <= 1.0, "{rate}: {load}");
    }
    for rate in ["0.3", "0.2", "0.1", "0.065", "0.03"] {
        for load in ["0.5", "0.8", "0.9", "0.95"] {
            let part = number(results, &["refused_by_rate_and_load", rate, load]);
            assert!((0.0..1.0).contains(&part), "{rate} {load}: {part}");
        }
    }
    for load in ["load_50", "load_90", "load_95"] {
        let speed = number(results, &["sessions_per_second", load]);
        assert!((1e6..=60e6).contains(&speed), "{load}: {speed}");
        assert!(number(results, &["refused_fraction", load]) < 1.0);
    }
    assert!(number(results, &["moves_per_insert", "median"]) <= number(results, &["moves_per_insert", "max"]));
    assert_eq!(number(results, &["stalled_cycles"]), 0.0);
    assert_eq!(number(results, &["bits_per_binding"]), 479.0);
    assert_eq!(number(results, &["capacity", "block_rams_for_65536"]), 876.0);
    assert_eq!(number(results, &["capacity", "sessions"]), 262_144.0);

    let run = &results["consistency"];
    let changes: f64 = ["joins", "crashes", "drains"].iter().map(|kind| number(run, &[kind])).sum();
    assert_eq!(changes, 6.0);
    assert!(number(run, &["open_min"]) >= 500.0, "{run}");
    assert!(number(results, &["connections_tried"]) >= 500.0);
    assert!(number(results, &["connections_across_move"]) > 50.0, "{run}");
    for scheme in ["hashgate", "modulo", "rendezvous", "maglev"] {
        let broken = number(results, &["connections_broken", scheme]);
        assert_eq!(broken == 0.0, scheme == "hashgate", "{scheme}: {broken}");
    }
    assert_eq!(number(results, &["accepted_twice"]), 0.0);
    assert_eq!(number(run, &["accepted_by_map"]), 0.0);
    assert_eq!(number(run, &["refused"]), 0.0);
    assert!(number(run, &["ports_reused"]) > 0.0 && number(run, &["syn_retries"]) > 0.0, "{run}");
}
