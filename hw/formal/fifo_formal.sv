// SPDX-License-Identifier: Apache-2.0
//
// fifo_formal: words come out of stream_fifo as they went in, none is lost, doubled or changed. Unbounded.
//
// One word, any one, is followed: `ahead_q` words are before it. All words are written when `full_o` allows it.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module fifo_formal #(
    parameter int unsigned WIDTH = 3,
    parameter int unsigned DEPTH = 4,
    parameter int unsigned RESERVE = 1
) (
    input wire logic             clk,
    input wire logic             rst,
    input wire logic             in_valid,
    input wire logic [WIDTH-1:0] in_data,
    input wire logic             out_ready,
    input wire logic             follow
);
    localparam int unsigned BITS = $clog2(DEPTH) + 1;
    logic             started = 1'b0;
    logic             full, out_valid;
    logic [WIDTH-1:0] out_data;
    always_ff @(posedge clk) started <= 1'b1;
    assume property (@(posedge clk) started || rst);
    stream_fifo #(.WIDTH(WIDTH), .DEPTH(DEPTH), .RESERVE(RESERVE)) dut (
        .clk, .rst, .in_valid_i(in_valid), .in_data_i(in_data), .full_o(full), .out_valid_o(out_valid), .out_ready_i(out_ready),
        .out_data_o(out_data));
    // RESERVE words may follow after `full_o` has risen.
    logic [BITS-1:0] late_q;
    always_ff @(posedge clk) late_q <= (rst || !full) ? '0 : late_q + BITS'(in_valid);
    assume property (@(posedge clk) !in_valid || !full || late_q < BITS'(RESERVE));

    logic             followed_q, out;
    logic [BITS-1:0]  ahead_q, stored;
    logic [WIDTH-1:0] data_q;
    assign out    = out_valid && out_ready;
    assign stored = dut.write_reg - dut.read_reg;
    always_ff @(posedge clk) begin
        if (!followed_q && follow && in_valid) begin
            followed_q <= 1'b1;
            data_q     <= in_data;
            ahead_q    <= stored + BITS'(out_valid) - BITS'(out);
        end else if (followed_q && out) begin
            ahead_q    <= ahead_q - 1'b1;
            followed_q <= ahead_q != '0;
        end
        if (rst) followed_q <= 1'b0;
    end
    `HG_ASSERT(in_order, !(followed_q && out_valid && ahead_q == '0) || out_data == data_q)
    `HG_ASSERT(not_lost, !followed_q || out_valid || stored != '0)
    // What makes the induction close.
    logic [BITS-1:0] place;
    assign place = dut.read_reg + ahead_q - BITS'(out_valid);
    `HG_ASSERT(stored_fits, stored <= BITS'(DEPTH))
    `HG_ASSERT(still_there, !followed_q || ahead_q < stored + BITS'(out_valid))
    `HG_ASSERT(stored_right, !followed_q || (out_valid && ahead_q == '0) || dut.memory[place[BITS-2:0]] == data_q)
    `HG_ASSERT(full_in_time, full == (stored >= BITS'(DEPTH - RESERVE)))
    `HG_ASSERT(late_fits, !full || stored >= BITS'(DEPTH - RESERVE) && 32'(stored) <= DEPTH - RESERVE + 32'(late_q))
endmodule
`resetall
