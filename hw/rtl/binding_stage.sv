// SPDX-License-Identifier: Apache-2.0
//
// binding_stage: the place of the binding tables, beside hash and map.
//
// In       what the map says of a packet (owner, flags), aligned with the end of bucket_map.
// Out      the target that decides, BINDING_LATENCY cycles after key_mask. There are no binding tables yet: every look-up misses, and
//          the owner decides.
`resetall
`default_nettype none
module binding_stage
    import hashgate_pkg::*;
(
    input  wire logic    clk,
    input  wire target_t owner_i,
    input  wire logic    handover_i,
    input  wire logic    track_i,
    input  wire logic    bad_i,
    output target_t      target_o,
    output logic         handover_o,
    output logic         track_o,
    output logic         bad_o
);
    delay #(.WIDTH($bits(target_t) + 3), .CYCLES(BINDING_LATENCY - HASH_LATENCY - MAP_LATENCY)) u_delay (
        .clk, .value_i({owner_i, handover_i, track_i, bad_i}), .value_o({target_o, handover_o, track_o, bad_o}));
endmodule
`resetall
