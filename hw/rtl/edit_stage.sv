// SPDX-License-Identifier: Apache-2.0
//
// edit_stage: the place where frames are rewritten and encapsulated.
//
// In/out   beats with what travels beside them. There are no edits yet: every beat leaves as it came.
// Latency  EDIT_LATENCY.
`resetall
`default_nettype none
module edit_stage
    import hashgate_pkg::*;
#(
    // Bits beside the beat.
    parameter int unsigned SIDE_BITS = 1
) (
    input  wire logic                 clk,
    input  wire logic                 rst,
    input  wire logic                 valid_i,
    input  wire beat_data_t           data_i,
    input  wire logic [SIDE_BITS-1:0] side_i,
    output logic                      valid_o,
    output beat_data_t                data_o,
    output logic [SIDE_BITS-1:0]      side_o
);
    logic [EDIT_LATENCY-1:0] valid_q;
    always_ff @(posedge clk) begin
        valid_q <= {valid_q[EDIT_LATENCY-2:0], valid_i};
        if (rst) valid_q <= '0;
    end
    assign valid_o = valid_q[EDIT_LATENCY-1];
    delay #(.WIDTH(BEAT_BITS + SIDE_BITS), .CYCLES(EDIT_LATENCY)) u_delay (
        .clk, .value_i({data_i, side_i}), .value_o({data_o, side_o}));
endmodule
`resetall
