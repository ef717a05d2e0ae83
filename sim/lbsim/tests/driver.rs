// SPDX-License-Identifier: Apache-2.0
//! `lbsim bench driver --quick`: its output contract, and what must hold in every run of it, however small.

use serde_json::Value;
use std::process::Command;

#[test]
fn quick_run_reports_everything() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_lbsim")).args(["bench", "driver", "--quick", "--json"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["bench"], "driver");
    let number = |path: &str| {
        let value = path.split('.').fold(&report["results"], |value, key| &value[key]);
        value.as_f64().unwrap_or_else(|| panic!("results.{path} is {value}"))
    };
    // Speed is measured, not tested: there is some.
    for path in [
        "pps.in_process",
        "pps.vfio_user",
        "pps.twin",
        "mmio_writes_per_packet",
        "dma.rx_beats_per_clock",
        "dma.tx_beats_per_clock",
        "dma.rx_pps_64",
        "dma.tx_pps_64",
        "heartbeats_sent_under_flood",
        "flood_frames_dropped",
        "cpu_cycles_per_packet.driver",
        "cpu_cycles_per_packet.software",
        "bindings",
        "adoption.packets_forwarded",
        "adoption.bindings",
        "adoption.for_host_while_down",
        "adoption.delivered_after",
    ] {
        assert!(number(path) > 0.0, "{path}");
    }
    for path in
        ["mmio_reads_per_packet", "heartbeats_lost_under_flood", "adoption.packets_lost", "adoption.bindings_lost"]
    {
        assert_eq!(number(path), 0.0, "{path}");
    }
    assert_eq!(number("adoption.dropped_host_down"), number("adoption.for_host_while_down"));
    // Cycles, not time.
    for (dma, registers) in [
        ("table_load_cycles", "register_load_cycles"),
        ("map_dump_cycles", "register_map_dump_cycles"),
        ("table_dump_cycles", "register_dump_cycles"),
    ] {
        assert!(number(dma) < number(registers), "{dma}: DMA is slower than registers");
    }
}
