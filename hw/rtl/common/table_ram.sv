// SPDX-License-Identifier: Apache-2.0
//
// table_ram: one column of a table in block RAM, with a parity bit.
//
// Look-up    one a cycle; data and `lookup_bad_o` (wrong parity) two cycles after the address, or one if not `REGISTERED`.
// Register   write or read on the second port; a read answers three cycles later. `config_spoil_i` stores wrong parity.
// Clear      while `init_i.active`, the word at `init_i.address` is cleared (if the memory has it).
// Misuse     register access while `init_i.active`: lost.
`resetall
`default_nettype none
module table_ram
    import hashgate_pkg::*;
#(
    // Bits of a word, without parity.
    parameter int unsigned WIDTH = 32,
    // Words.
    parameter int unsigned DEPTH = 512,
    // A register behind the memory.
    parameter bit          REGISTERED = 1'b1
) (
    input  wire logic                     clk,
    input  wire init_t                    init_i,
    input  wire logic [$clog2(DEPTH)-1:0] lookup_address_i,
    output logic [WIDTH-1:0]              lookup_data_o,
    output logic                          lookup_bad_o,
    input  wire logic                     config_write_i,
    input  wire logic [$clog2(DEPTH)-1:0] config_address_i,
    input  wire logic [WIDTH-1:0]         config_data_i,
    input  wire logic                     config_spoil_i,
    output logic [WIDTH-1:0]              config_data_o
);
    localparam int unsigned ADDRESS_BITS = $clog2(DEPTH);

    logic [WIDTH:0] memory[DEPTH];  // parity on top: even over data and itself

    logic [WIDTH:0] lookup_q;
    logic           lookup_parity;
    always_ff @(posedge clk) lookup_q <= memory[lookup_address_i];
    if (REGISTERED) begin : gen_register
        always_ff @(posedge clk) {lookup_parity, lookup_data_o} <= lookup_q;
    end else begin : gen_direct
        assign {lookup_parity, lookup_data_o} = lookup_q;
    end
    assign lookup_bad_o = ^{lookup_parity, lookup_data_o};

    logic                    write_q;
    logic [ADDRESS_BITS-1:0] address_q;
    logic [WIDTH:0]          data_q, config_q;
    always_ff @(posedge clk) begin
        if (init_i.active) begin
            write_q   <= 32'(init_i.address) < DEPTH;
            address_q <= ADDRESS_BITS'(init_i.address);
            data_q    <= '0;
        end else begin
            write_q   <= config_write_i;
            address_q <= config_address_i;
            data_q    <= {(^config_data_i) ^ config_spoil_i, config_data_i};
        end
        if (write_q) memory[address_q] <= data_q;
        config_q      <= memory[address_q];
        config_data_o <= config_q[WIDTH-1:0];
    end
    wire logic unused = config_q[WIDTH];
endmodule
`resetall
