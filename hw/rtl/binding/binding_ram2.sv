// SPDX-License-Identifier: Apache-2.0
//
// binding_ram2: block RAM with two ports of its own. Port A reads or writes, port B reads or writes.
//
// Read     data two cycles after the address, on a port also while it writes (old data). A write of the other port in the cycle of
//          the address is not seen, one in the cycle before is.
// Misuse   both ports write one word in one cycle: any content.
`resetall
`default_nettype none
module binding_ram2 #(
    // Bits of a word.
    parameter int unsigned WIDTH = 32,
    // Words.
    parameter int unsigned DEPTH = 512
) (
    input  wire logic                     clk,
    input  wire logic                     a_write_i,
    input  wire logic [$clog2(DEPTH)-1:0] a_address_i,
    input  wire logic [WIDTH-1:0]         a_data_i,
    output logic [WIDTH-1:0]              a_data_o,
    input  wire logic                     b_write_i,
    input  wire logic [$clog2(DEPTH)-1:0] b_address_i,
    input  wire logic [WIDTH-1:0]         b_data_i,
    output logic [WIDTH-1:0]              b_data_o
);
    (* ram_style = "block" *) logic [WIDTH-1:0] memory[DEPTH];
    logic [WIDTH-1:0] a_q, b_q;
    always_ff @(posedge clk) begin
        a_q <= memory[a_address_i];
        b_q <= memory[b_address_i];
        if (a_write_i) memory[a_address_i] <= a_data_i;
        if (b_write_i) memory[b_address_i] <= b_data_i;
        a_data_o <= a_q;
        b_data_o <= b_q;
    end
endmodule
`resetall
