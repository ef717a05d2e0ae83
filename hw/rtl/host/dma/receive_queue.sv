// SPDX-License-Identifier: Apache-2.0
//
// receive_queue: takes frames from the core and finds the ring of each.
//
// In       AXI4-Stream with metadata that is stable over the frame.
// Out      two queues, read independently: beats, and a head for each frame; a head comes 4 cycles after its first beat at the earliest.
// Queue    control frames: ring 8. Others: nibble of the reason if 0..7, else by bucket if it is valid, else the low bits of the queue.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module receive_queue
    import dma_pkg::*;
    import hashgate_pkg::*;
    import receive_pkg::*;
    import stream_pkg::*;
(
    input  wire logic               clk,
    input  wire logic               rst,
    input  wire logic [7:0][31:0]   reason_queue_i,
    input  wire logic [15:0][31:0]  spread_i,
    input  wire logic [63:0]        time_ns_i,
    // from the core
    input  wire logic               tvalid_i,
    output logic                    tready_o,
    input  wire beat_data_t         tdata_i,
    input  wire beat_keep_t         tkeep_i,
    input  wire logic               tlast_i,
    input  wire logic               tabort_i,
    input  wire logic               control_i,
    input  wire logic [7:0]         queue_i,
    input  wire logic [5:0]         reason_i,
    input  wire logic               port_i,
    input  wire logic [7:0]         rule_i,
    input  wire logic [12:0]        bucket_i,
    input  wire logic [10:0]        target_i,
    // beats and heads
    output logic                    beat_valid_o,
    input  wire logic               beat_take_i,
    output receive_beat_t           beat_o,
    output logic                    head_valid_o,
    input  wire logic               head_take_i,
    output receive_head_t           head_o
);
    // Beats that wait: those of the look-up below, and some while the frame before is ended.
    localparam int unsigned DEPTH = 32;

    logic       full, valid_q, first_q, last_q, abort_q;
    beat_data_t data_q;
    beat_keep_t keep_q;
    assign tready_o = !full;
    always_ff @(posedge clk) begin
        valid_q <= tvalid_i && tready_o;
        data_q  <= tdata_i;
        keep_q  <= tkeep_i;
        last_q  <= tlast_i;
        abort_q <= tabort_i;
        if (tvalid_i && tready_o) first_q <= tlast_i;
        if (rst) begin
            valid_q <= 1'b0;
            first_q <= 1'b1;
        end
    end
    receive_beat_t beat;
    logic          head_full;
    assign beat = '{data: data_q, last: last_q, aborted: abort_q, tail: tail_of_keep(keep_q)};
    paced_fifo #(.WIDTH($bits(receive_beat_t)), .DEPTH(DEPTH), .MARGIN(8)) u_beats (
        .clk, .rst, .in_valid_i(valid_q), .in_data_i(beat), .full_o(full), .out_valid_o(beat_valid_o),
        .out_ready_i(beat_take_i), .out_data_o(beat_o));

    // The words, their nibbles, the ring.
    logic          word_q, nibble_q, ring_q;
    receive_head_t word_head_q, nibble_head_q, ring_head_q;
    logic [31:0]   reason_word_q, spread_word_q;
    logic [3:0]    reason_nibble_q;
    logic [2:0]    spread_nibble_q, word_queue_q, nibble_queue_q;
    logic          head_first;
    assign head_first = first_q;
    always_ff @(posedge clk) begin
        word_q                <= tvalid_i && tready_o && head_first;
        word_head_q.ring      <= '0;
        word_head_q.control   <= control_i;
        word_head_q.reason    <= reason_i;
        word_head_q.port      <= port_i;
        word_head_q.rule      <= rule_i;
        word_head_q.bucket    <= bucket_i;
        word_head_q.target    <= target_i;
        word_head_q.time_ns   <= time_ns_i;
        word_queue_q          <= queue_i[2:0];
        reason_word_q         <= reason_queue_i[reason_i[5:3]];
        spread_word_q         <= spread_i[bucket_i[6:3]];
        nibble_q              <= word_q;
        nibble_head_q         <= word_head_q;
        nibble_queue_q        <= word_queue_q;
        reason_nibble_q       <= reason_word_q[{word_head_q.reason[2:0], 2'b0}+:4];
        spread_nibble_q       <= spread_word_q[{word_head_q.bucket[2:0], 2'b0}+:3];
        ring_q                <= nibble_q;
        ring_head_q           <= nibble_head_q;
        if (nibble_head_q.control) ring_head_q.ring <= RING_CONTROL;
        else if (!reason_nibble_q[3]) ring_head_q.ring <= reason_nibble_q;
        else if (nibble_head_q.bucket[12]) ring_head_q.ring <= ring_t'(spread_nibble_q);
        else ring_head_q.ring <= ring_t'(nibble_queue_q);
        if (rst) begin
            word_q   <= 1'b0;
            nibble_q <= 1'b0;
            ring_q   <= 1'b0;
        end
    end
    // There are never more heads than beats.
    stream_fifo #(.WIDTH($bits(receive_head_t)), .DEPTH(DEPTH)) u_heads (
        .clk, .rst, .in_valid_i(ring_q), .in_data_i(ring_head_q), .full_o(head_full), .out_valid_o(head_valid_o),
        .out_ready_i(head_take_i), .out_data_o(head_o));
    wire logic unused = &{1'b0, head_full, queue_i[7:3]};
endmodule
`resetall
