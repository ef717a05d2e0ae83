// SPDX-License-Identifier: Apache-2.0
//
// paced_fifo: a stream_fifo whose `full_o` comes from registers only, for readers and writers that decide late in the cycle.
//
// Write     as stream_fifo. `full_o` is high while MARGIN or fewer words are free, writes and reads of the last two cycles not counted: a writer
//           may send MARGIN more words after it sees it rise, those of the two cycles before that included.
// Read      as stream_fifo.
`resetall
`default_nettype none
module paced_fifo #(
    // Bits in a word.
    parameter int unsigned WIDTH = 8,
    // Words in the memory, a power of two.
    parameter int unsigned DEPTH = 16,
    // Words that may come after `full_o` should have risen.
    parameter int unsigned MARGIN = 4
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
    localparam int unsigned COUNT_BITS = $clog2(DEPTH) + 2;
    logic                  in_q, out_q, memory_full;
    logic [COUNT_BITS-1:0] count_q;
    always_ff @(posedge clk) begin
        in_q    <= in_valid_i;
        out_q   <= out_valid_o && out_ready_i;
        count_q <= count_q + COUNT_BITS'(in_q) - COUNT_BITS'(out_q);
        full_o  <= count_q >= COUNT_BITS'(DEPTH - MARGIN);
        if (rst) begin
            in_q    <= 1'b0;
            out_q   <= 1'b0;
            count_q <= '0;
            full_o  <= 1'b0;
        end
    end
    stream_fifo #(.WIDTH(WIDTH), .DEPTH(DEPTH)) u_memory (
        .clk, .rst, .in_valid_i, .in_data_i, .full_o(memory_full), .out_valid_o, .out_ready_i, .out_data_o);
    wire logic unused = memory_full;
endmodule
`resetall
