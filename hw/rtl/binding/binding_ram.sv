// SPDX-License-Identifier: Apache-2.0
//
// binding_ram: block RAM with a write port and a read port.
//
// Read     one a cycle, data two cycles later. A write in the cycle of the address is not seen, one in the cycle before is.
`resetall
`default_nettype none
module binding_ram #(
    // Bits of a word.
    parameter int unsigned WIDTH = 32,
    // Words.
    parameter int unsigned DEPTH = 512
) (
    input  wire logic                     clk,
    input  wire logic                     write_i,
    input  wire logic [$clog2(DEPTH)-1:0] write_address_i,
    input  wire logic [WIDTH-1:0]         write_data_i,
    input  wire logic [$clog2(DEPTH)-1:0] read_address_i,
    output logic [WIDTH-1:0]              read_data_o
);
    (* ram_style = "block" *) logic [WIDTH-1:0] memory[DEPTH];
    logic [WIDTH-1:0] read_q;
    always_ff @(posedge clk) begin
        if (write_i) memory[write_address_i] <= write_data_i;
        read_q      <= memory[read_address_i];
        read_data_o <= read_q;
    end
endmodule
`resetall
