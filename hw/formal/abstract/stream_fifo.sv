// SPDX-License-Identifier: Apache-2.0
//
// stream_fifo, for proofs of the table: the real one without its data, which fifo_formal proves.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module stream_fifo #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned DEPTH = 16,
    parameter int unsigned RESERVE = 0
) (
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             in_valid_i,
    input  wire logic [WIDTH-1:0] in_data_i,
    output logic                  full_o,
    output logic                  out_valid_o,
    input  wire logic             out_ready_i,
    output logic      [WIDTH-1:0] out_data_o
);
    localparam int unsigned BITS = $clog2(DEPTH) + 1;
    logic [BITS-1:0] used_q, used_next;
    logic            fetch;
    assign out_data_o = '0;
    assign fetch      = used_q != '0 && (!out_valid_o || out_ready_i);
    assign used_next  = used_q + BITS'(in_valid_i) - BITS'(fetch);
    always_ff @(posedge clk) begin
        used_q <= used_next;
        full_o <= used_next >= BITS'(DEPTH - RESERVE);
        if (!out_valid_o || out_ready_i) out_valid_o <= fetch;
        if (rst) begin
            used_q      <= '0;
            full_o      <= 1'b0;
            out_valid_o <= 1'b0;
        end
    end
    `HG_ASSERT(no_overflow, !in_valid_i || used_q != BITS'(DEPTH))
endmodule
`resetall
