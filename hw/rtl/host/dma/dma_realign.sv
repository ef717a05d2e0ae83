// SPDX-License-Identifier: Apache-2.0
//
// dma_realign: frames from beats of memory, where they begin at any byte, to beats of a stream, where they begin at byte 0.
//
// In       beats of a frame in order, without ready, with what was computed for the frame on each of them: `offset_i` of its first byte
//          in its first beat; `flush_i`: its end is beyond what the last beat completes, one more beat follows. SIDE_BITS of
//          the user's own come out with the last beat as they came in with the last one.
// Out      beats of the frame, bytes beyond its end undefined.
// Latency  3 to 4: a beat comes out with the next one of its frame, the one of a flush in the next cycle.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module dma_realign
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
#(
    parameter int unsigned SIDE_BITS = 1
) (
    input  wire logic                 clk,
    input  wire logic                 rst,
    input  wire logic                 valid_i,
    input  wire beat_data_t           data_i,
    input  wire logic                 first_i,
    input  wire logic                 last_i,
    input  wire tail_t                offset_i,
    input  wire logic                 flush_i,
    input  wire logic [SIDE_BITS-1:0] side_i,
    output logic                      valid_o,
    output beat_data_t                data_o,
    output logic                      last_o,
    output logic [SIDE_BITS-1:0]      side_o
);
    localparam int unsigned COARSE = TAIL_BITS / 2;  // bits of the offset in the second step

    // Byte i becomes byte i - amount, round the beat.
    function automatic beat_data_t rotate(input beat_data_t data, input tail_t amount);
        rotate = data;
        for (int unsigned j = 0; j < TAIL_BITS; j++)
            if (amount[j]) rotate = beat_data_t'({rotate, rotate} >> (8 << j));
    endfunction

    typedef struct packed {
        logic                 first;
        logic                 last;
        logic                 flush;
        logic [SIDE_BITS-1:0] side;
    } beside_t;
    logic       one_q, two_q, flush_q;
    beat_data_t one_data_q, two_data_q, held_q;
    beside_t    one, two;
    tail_t      one_offset_q;
    beat_keep_t two_mine_q;   // bytes that the beat before gives
    logic [SIDE_BITS-1:0] held_side_q;
    always_ff @(posedge clk) begin
        // rotate by the high bits of the offset, then by the low ones
        one_q        <= valid_i;
        one_data_q   <= rotate(data_i, offset_i & ~tail_t'((1 << COARSE) - 1));
        one_offset_q <= offset_i;
        one          <= '{first: first_i, last: last_i, flush: flush_i, side: side_i};
        two_q        <= one_q;
        two_data_q   <= rotate(one_data_q, one_offset_q & tail_t'((1 << COARSE) - 1));
        for (int unsigned i = 0; i < BEAT_BYTES; i++) two_mine_q[i] <= i + 32'(one_offset_q) < BEAT_BYTES;
        two          <= one;
        // join with the beat before
        flush_q      <= two_q && two.last && two.flush;
        if (two_q) begin
            held_q      <= two_data_q;
            held_side_q <= two.side;
        end
        valid_o <= flush_q || (two_q && !two.first);
        last_o  <= flush_q || (two.last && !two.flush);
        side_o  <= flush_q ? held_side_q : two.side;
        for (int unsigned i = 0; i < BEAT_BYTES; i++)
            data_o[8*i+:8] <= (flush_q || two_mine_q[i]) ? held_q[8*i+:8] : two_data_q[8*i+:8];
        if (rst) begin
            one_q   <= 1'b0;
            two_q   <= 1'b0;
            flush_q <= 1'b0;
            valid_o <= 1'b0;
        end
    end
    `HG_ASSERT(flush_is_between_frames, !flush_q || !two_q || two.first)
endmodule
`resetall
