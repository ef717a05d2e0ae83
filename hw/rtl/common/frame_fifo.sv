// SPDX-License-Identifier: Apache-2.0
//
// frame_fifo: buffer for whole frames, beat by beat, in block memory.
//
// Write     a beat is taken in every cycle in which `in_valid_i` is high; there is no ready. A writer looks at
//           `room_o` before the first beat of a frame: room_o[n] says that n + 1 frames of MAX_BEATS beats fit. It is
//           a register and allows for the beats it has not counted yet: the last ones written, and up to IN_FLIGHT
//           beats that the writer has accepted, but not written when it looks. Having seen room the writer may send the
//           frame at any pace; nobody else can take the room away.
// Read      first word falls through, from a register; a beat is gone after a cycle with `out_ready_i`. STORE = 0
//           is cut-through: a beat written in cycle t is at the output in cycle t + LATENCY at the earliest, so a frame
//           may pause in the middle if its writer does. STORE = 1 shows a frame only after its last beat was
//           written, LATENCY cycles after that, without pauses, and never if `in_drop_i` came with its last beat.
// Beat      data, last, tail (see stream_pkg) and META_BITS of the user's own, all stored with every beat.
// Misuse    a write that does not fit; asserted in simulation, corrupts the content in hardware.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module frame_fifo
    import hashgate_pkg::*;
    import stream_pkg::*;
#(
    // Beats, a power of two.
    parameter int unsigned DEPTH = DATA_BUFFER_BEATS,
    // Bits beside data, last and tail in a beat.
    parameter int unsigned META_BITS = 1,
    // Whole frames only (1) or cut-through (0).
    parameter bit STORE = 1'b0,
    // Most frames that `room_o` answers for.
    parameter int unsigned FRAMES = 1,
    // Most beats between the writer's look at `room_o` and `in_valid_i`.
    parameter int unsigned IN_FLIGHT = 8,
    // Cycles from `in_valid_i` to `out_valid_o`.
    localparam int unsigned LATENCY = 3
) (
    input  wire logic                 clk,
    input  wire logic                 rst,
    // write
    output logic      [   FRAMES-1:0] room_o,
    input  wire logic                 in_valid_i,
    input  wire beat_data_t           in_data_i,
    input  wire logic                 in_last_i,
    input  wire tail_t               in_tail_i,
    input  wire logic                 in_drop_i,    // with last, STORE = 1 only: forget the frame
    input  wire logic [META_BITS-1:0] in_meta_i,
    // read
    output logic                      out_valid_o,
    input  wire logic                 out_ready_i,
    output beat_data_t                out_data_o,
    output logic                      out_last_o,
    output tail_t                     out_tail_o,
    output logic      [META_BITS-1:0] out_meta_o
);
    localparam int unsigned ADDRESS_BITS = $clog2(DEPTH);
    localparam int unsigned WIDTH = BEAT_BITS + 1 + TAIL_BITS + META_BITS;
    // Beats written, but not yet counted in `room_o`.
    localparam int unsigned UNCOUNTED = IN_FLIGHT + LATENCY;
    typedef logic [ADDRESS_BITS:0] pointer_t;  // one bit more than the address: full and empty differ

    if (DEPTH != 2 ** ADDRESS_BITS || DEPTH < FRAMES * MAX_BEATS + UNCOUNTED) begin : gen_check
        $fatal(1, "%m: DEPTH = %0d must be a power of two of %0d or more", DEPTH, FRAMES * MAX_BEATS + UNCOUNTED);
    end

    (* ram_style = "block" *)logic [WIDTH-1:0] memory[DEPTH];

    pointer_t             write_reg;
    pointer_t             end_reg;  // first beat that must not be read yet
    pointer_t             read_reg;
    pointer_t             used_reg;
    logic                 fetched_valid_reg;
    logic     [WIDTH-1:0] fetched_reg;
    logic                 fetch;
    logic                 advance;

    assign advance = !out_valid_o || out_ready_i;
    assign fetch = (read_reg != end_reg) && (!fetched_valid_reg || advance);

    always_ff @(posedge clk) begin
        if (in_valid_i) memory[write_reg[ADDRESS_BITS-1:0]] <= {in_meta_i, in_tail_i, in_last_i, in_data_i};
        if (fetch) fetched_reg <= memory[read_reg[ADDRESS_BITS-1:0]];
        if (advance) {out_meta_o, out_tail_o, out_last_o, out_data_o} <= fetched_reg;
    end

    if (STORE) begin : gen_store
        pointer_t start_reg;  // first beat of the frame being written
        always_ff @(posedge clk) begin
            if (in_valid_i) begin
                write_reg <= write_reg + 1'b1;
                if (in_last_i && in_drop_i) begin
                    write_reg <= start_reg;
                end else if (in_last_i) begin
                    start_reg <= write_reg + 1'b1;
                end
            end
            if (rst) begin
                write_reg <= '0;
                start_reg <= '0;
            end
        end
        assign end_reg = start_reg;
    end else begin : gen_cut_through
        always_ff @(posedge clk) begin
            if (in_valid_i) write_reg <= write_reg + 1'b1;
            if (rst) write_reg <= '0;
        end
        assign end_reg = write_reg;
        `HG_ASSERT(no_drop, !in_drop_i)
    end

    always_ff @(posedge clk) begin
        if (fetch) read_reg <= read_reg + 1'b1;
        if (!fetched_valid_reg || advance) fetched_valid_reg <= fetch;
        if (advance) out_valid_o <= fetched_valid_reg;

        used_reg <= write_reg - read_reg;
        for (int unsigned frames = 1; frames <= FRAMES; frames++)
            room_o[frames-1] <= used_reg <= pointer_t'(DEPTH - UNCOUNTED - frames * MAX_BEATS);

        if (rst) begin
            read_reg          <= '0;
            fetched_valid_reg <= 1'b0;
            out_valid_o       <= 1'b0;
            used_reg          <= '0;
            room_o            <= '0;
        end
    end

    `HG_ASSERT(no_overflow, !in_valid_i || write_reg - read_reg != pointer_t'(DEPTH))
    `HG_ASSERT_STABLE(output_stable, out_valid_o && !out_ready_i,
                      {out_valid_o, out_data_o, out_last_o, out_tail_o, out_meta_o})
endmodule
`resetall
