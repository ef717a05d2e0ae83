// SPDX-License-Identifier: Apache-2.0
//
// stream_fifo: synchronous FIFO of words of any width.
//
// Write     a word is taken in every cycle in which `in_valid_i` is high; there is no ready. `full_o` is high while
//           RESERVE or fewer words are free, counting every write up to the cycle before: with RESERVE = n a writer
//           may send n more words after it sees it rise.
// Read      first word falls through: `out_data_o` is the oldest word whenever `out_valid_o` is high, and it is gone
//           after a cycle with `out_ready_i`. The output is the register of the memory. A word written in cycle t
//           is at the output in cycle t + 2 at the earliest. One word a cycle, writing and reading, without bubbles.
// Capacity  DEPTH words in the memory and one in the output register.
// Misuse    writing into a full memory; asserted in simulation, corrupts the content in hardware.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module stream_fifo #(
    // Bits in a word.
    parameter int unsigned WIDTH = 8,
    // Words in the memory, a power of two.
    parameter int unsigned DEPTH = 16,
    // Free words at which `full_o` is already high.
    parameter int unsigned RESERVE = 0
) (
    input  wire logic             clk,
    input  wire logic             rst,
    // write
    input  wire logic             in_valid_i,
    input  wire logic [WIDTH-1:0] in_data_i,
    output logic                  full_o,
    // read
    output logic                  out_valid_o,
    input  wire logic             out_ready_i,
    output logic      [WIDTH-1:0] out_data_o
);
    localparam int unsigned ADDRESS_BITS = $clog2(DEPTH);
    typedef logic [ADDRESS_BITS:0] pointer_t;  // one bit more than the address: full and empty differ

    if (DEPTH < 2 || DEPTH != 2 ** ADDRESS_BITS || RESERVE >= DEPTH) begin : gen_check
        $fatal(1, "%m: DEPTH = %0d must be a power of two and more than RESERVE = %0d", DEPTH, RESERVE);
    end

    logic [WIDTH-1:0] memory[DEPTH];

    pointer_t write_reg;
    pointer_t read_reg;
    pointer_t used_reg;
    pointer_t used_next;
    logic     fetch;

    assign fetch = (write_reg != read_reg) && (!out_valid_o || out_ready_i);
    assign used_next = used_reg + pointer_t'(in_valid_i) - pointer_t'(fetch);

    always_ff @(posedge clk) begin
        if (in_valid_i) memory[write_reg[ADDRESS_BITS-1:0]] <= in_data_i;
        if (fetch) out_data_o <= memory[read_reg[ADDRESS_BITS-1:0]];
    end

    always_ff @(posedge clk) begin
        if (in_valid_i) write_reg <= write_reg + 1'b1;
        if (fetch) read_reg <= read_reg + 1'b1;
        used_reg <= used_next;
        full_o   <= used_next >= pointer_t'(DEPTH - RESERVE);
        if (!out_valid_o || out_ready_i) out_valid_o <= fetch;

        if (rst) begin
            write_reg   <= '0;
            read_reg    <= '0;
            used_reg    <= '0;
            full_o      <= 1'b0;
            out_valid_o <= 1'b0;
        end
    end

    `HG_ASSERT(no_overflow, !in_valid_i || used_reg != pointer_t'(DEPTH))
    `HG_ASSERT(used_is_distance, used_reg == write_reg - read_reg)
    `HG_ASSERT_STABLE(output_stable, out_valid_o && !out_ready_i, {out_valid_o, out_data_o})
endmodule
`resetall
