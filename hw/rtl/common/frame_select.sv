// SPDX-License-Identifier: Apache-2.0
//
// frame_select: several streams of frames into one, frame by frame.
//
// In       per source valid, ready, beat; a source that has begun a frame keeps the output until its last beat.
// Out      the same from a register, and the number of the source; `keep` is made from the tail behind the register.
// Choice   at the start of a frame: FAIR = 0 the lowest source that has one, FAIR = 1 the next source in turn that has
//          one.
// Latency  1, one beat a cycle, no bubble between frames.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module frame_select
    import hashgate_pkg::*;
    import stream_pkg::*;
#(
    // Sources, 2 or more.
    parameter int unsigned SOURCES = 2,
    // Bits of the user's own in a beat.
    parameter int unsigned META_BITS = 1,
    // In turn (1) or by number (0).
    parameter bit FAIR = 1'b0,
    localparam int unsigned SOURCE_BITS = $clog2(SOURCES)
) (
    input  wire logic                              clk,
    input  wire logic                              rst,
    input  wire logic [SOURCES-1:0]                in_valid_i,
    output logic [SOURCES-1:0]                     in_ready_o,
    input  wire logic [SOURCES-1:0][BEAT_BITS-1:0] in_data_i,
    input  wire logic [SOURCES-1:0]                in_last_i,
    input  wire logic [SOURCES-1:0][TAIL_BITS-1:0] in_tail_i,
    input  wire logic [SOURCES-1:0][META_BITS-1:0] in_meta_i,
    output logic                                   out_valid_o,
    input  wire logic                              out_ready_i,
    output beat_data_t                             out_data_o,
    output beat_keep_t                             out_keep_o,
    output logic                                   out_last_o,
    output tail_t                                  out_tail_o,
    output logic [META_BITS-1:0]                   out_meta_o,
    output logic [SOURCE_BITS-1:0]                 out_source_o
);
    logic               inside_reg;  // a frame has begun and not ended
    logic [SOURCES-1:0] owner_reg;   // whose frame it is, or was
    logic [SOURCES-1:0] later;       // sources after the last owner that have a frame
    logic [SOURCES-1:0] grant;       // one of them
    logic               load;

    // The lowest bit that is set.
    function automatic logic [SOURCES-1:0] lowest(input logic [SOURCES-1:0] bits);
        lowest = '0;
        for (int unsigned s = SOURCES; s > 0; s--) if (bits[s-1]) lowest = SOURCES'(1) << (s - 1);
    endfunction

    always_comb begin
        later = '0;
        for (int unsigned s = 1; s < SOURCES; s++) later[s] = later[s-1] || (FAIR && owner_reg[s-1]);
        later &= in_valid_i;
        grant = inside_reg ? owner_reg : (later != '0) ? lowest(later) : lowest(in_valid_i);
    end
    assign load  = !out_valid_o || out_ready_i;
    assign in_ready_o = grant & {SOURCES{load}};

    beat_data_t             data;
    logic                   last;
    tail_t                  tail;
    logic [META_BITS-1:0]   meta;
    logic [SOURCE_BITS-1:0] source;
    always_comb begin
        data   = '0;
        last   = 1'b0;
        tail   = '0;
        meta   = '0;
        source = '0;
        for (int unsigned s = 0; s < SOURCES; s++) begin
            data   |= in_data_i[s] & {BEAT_BITS{grant[s]}};
            last   |= in_last_i[s] & grant[s];
            tail   |= in_tail_i[s] & {TAIL_BITS{grant[s]}};
            meta   |= in_meta_i[s] & {META_BITS{grant[s]}};
            source |= SOURCE_BITS'(s) & {SOURCE_BITS{grant[s]}};
        end
    end

    assign out_keep_o = keep_of_tail(out_last_o, out_tail_o);
    always_ff @(posedge clk) begin
        if (load) begin
            out_valid_o  <= |(grant & in_valid_i);
            out_data_o   <= data;
            out_last_o   <= last;
            out_tail_o   <= tail;
            out_meta_o   <= meta;
            out_source_o <= source;
            if (|(grant & in_valid_i)) begin
                inside_reg <= !last;
                owner_reg  <= grant;
            end
        end
        if (rst) begin
            out_valid_o <= 1'b0;
            inside_reg  <= 1'b0;
            owner_reg   <= SOURCES'(1);
        end
    end

    `HG_ASSERT(one_owner, $onehot0(grant) && $onehot(owner_reg))
    `HG_ASSERT_STABLE(output_stable, out_valid_o && !out_ready_i,
                      {out_valid_o, out_data_o, out_keep_o, out_last_o, out_meta_o})
endmodule
`resetall
