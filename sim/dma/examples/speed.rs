// SPDX-License-Identifier: Apache-2.0
//! Prints how fast the host interface is (see `measure`).

use hashgate_dma_sim::{WIDTHS, measure};

fn main() {
    println!("memory answers after {} cycles", measure::LATENCY);
    println!("width  way       bytes  offset  cycles/frame  beats/cycle  dropped");
    for bits in WIDTHS {
        let (rates, movers) = measure::measure(bits);
        for rate in rates {
            let way = if rate.receive { "receive" } else { "transmit" };
            println!(
                "{bits:5}  {way:8}  {:5}  {:6}  {:12.1}  {:11.3}  {:7}",
                rate.length, rate.offset, rate.cycles, rate.beats, rate.dropped
            );
        }
        for mover in movers {
            let way = if mover.load { "load" } else { "dump" };
            println!("{bits:5}  mover, {way} of {} words: {:.2} cycles/word", mover.words, mover.cycles);
        }
    }
}
