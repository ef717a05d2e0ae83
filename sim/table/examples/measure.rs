// SPDX-License-Identifier: Apache-2.0
//! Capacity and speed of the binding table: `measure [quasi SEEDS | rates SEEDS [RATE] | steady | adversarial | speed]`.

use hashgate_table_sim::measure::{adversarial, at_rate, quasi_static_clients, sustained};
use hashgate_table_sim::{Bench, TableIn};
use std::time::Instant;

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().collect();
    let what = arguments.get(1).map_or("all", String::as_str);
    let seeds: u64 = arguments.get(2).map_or(2, |text| text.parse().expect("a number"));
    if matches!(what, "speed" | "all") {
        for size in [512, 65536] {
            let mut bench = Bench::new(size, 1, [1, 2, 3, 4], false);
            let begun = Instant::now();
            for _ in 0..400 {
                bench.run(&[TableIn::default(); 256])?;
            }
            println!("{size}: {:.0} idle cycles a second", 102_400.0 / begun.elapsed().as_secs_f64());
        }
    }
    if matches!(what, "rates" | "all") {
        for rate in [1.0, 0.46, 0.062, 0.001] {
            if arguments.get(3).is_some_and(|text| text.parse() != Ok(rate)) {
                continue;
            }
            for seed in 1..=seeds {
                println!(
                    "{rate} inserts a clock: first refusal at a load of {:.4}",
                    at_rate(seed, rate, seed % 2 == 0)?
                );
            }
        }
    }
    if matches!(what, "quasi" | "all") {
        for seed in 1..=seeds {
            let fill = quasi_static_clients(seed, seed % 2 == 0)?;
            println!(
                "quasi-static, seed {seed}: {:.4}; moves, all {:?}, from 0.9 {:?}, from 0.95 {:?} (median, maximum)",
                fill.load,
                fill.moves_from(0.0),
                fill.moves_from(0.9),
                fill.moves_from(0.95)
            );
        }
    }
    if matches!(what, "steady" | "all") {
        for load in [0.5, 0.9, 0.95] {
            let steady = sustained(1, 0.062, load, false)?;
            println!(
                "0.062 sessions a clock at a load of {load}: {steady:?}, refused {:.4} %",
                100.0 * steady.refused as f64 / steady.opened as f64
            );
        }
    }
    if matches!(what, "adversarial" | "all") {
        let fill = adversarial(1, 58000, 1000)?;
        println!(
            "1000 of them at a load of 0.885: {} taken, moves {:?}",
            fill.moves.len() - 58000,
            fill.moves_from(0.885)
        );
        let fill = adversarial(1, 0, 65536)?;
        println!("keys of one row of way 0: first refusal at {:.4}", fill.load);
    }
    Ok(())
}
