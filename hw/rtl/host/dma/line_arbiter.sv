// SPDX-License-Identifier: Apache-2.0
//
// line_arbiter: lines of several users for dma_write, in turn.
//
// In       valid, ready, line of each.
// Out      the same, from a register, one line a cycle.
`resetall
`default_nettype none
module line_arbiter
    import dma_pkg::*;
#(
    // Users.
    parameter int unsigned CLIENTS = 4
) (
    input  wire logic                       clk,
    input  wire logic                       rst,
    input  wire logic [CLIENTS-1:0]         valid_i,
    output logic [CLIENTS-1:0]              ready_o,
    input  wire short_write_t [CLIENTS-1:0] line_i,
    output logic                            valid_o,
    input  wire logic                       ready_i,
    output short_write_t                    line_o
);
    logic [CLIENTS-1:0] grant, last_q, later;
    short_write_t       line;
    function automatic logic [CLIENTS-1:0] lowest(input logic [CLIENTS-1:0] bits);
        lowest = bits & (~bits + 1'b1);
    endfunction
    always_comb begin
        // Users behind the last one.
        later = '0;
        for (int unsigned c = 1; c < CLIENTS; c++) later[c] = later[c-1] || last_q[c-1];
        later &= valid_i;
        grant = (later != '0) ? lowest(later) : lowest(valid_i);
        line  = '0;
        for (int unsigned c = 0; c < CLIENTS; c++) line |= line_i[c] & {$bits(short_write_t){grant[c]}};
    end
    assign ready_o = grant & {CLIENTS{!valid_o || ready_i}};
    always_ff @(posedge clk) begin
        if (!valid_o || ready_i) begin
            valid_o <= |valid_i;
            line_o  <= line;
            if (|valid_i) last_q <= grant;
        end
        if (rst) begin
            valid_o <= 1'b0;
            last_q  <= CLIENTS'(1);
        end
    end
endmodule
`resetall
