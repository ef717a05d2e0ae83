// SPDX-License-Identifier: Apache-2.0
//
// binding_init, for proofs: clears nothing (the harness assumes what memories hold after the reset), is busy for two
// cycles, and hands the secret to the hashes as their function.
`resetall
`default_nettype none
module binding_init
    import binding_pkg::*;
#(
    parameter int unsigned ROWS = 16384,
    parameter int unsigned HASH_BITS = 56
) (
    input  wire logic                    clk,
    input  wire logic                    rst,
    input  wire logic [127:0]            secret_i,
    output logic                         busy_o,
    output logic                         clear_o,
    output logic [$clog2(ROWS)-1:0]      clear_row_o,
    output hash_fill_t                   fill_o,
    output logic [HASH_BITS-1:0]         fill_data_o
);
    logic [127:0] secret_q;
    logic         busy_q;
    assign clear_o     = 1'b0;
    assign clear_row_o = '0;
    assign fill_data_o = '0;
    assign fill_o      = '{write: 1'b0, chunk: '0, word: '0, words: secret_q};
    always_ff @(posedge clk) begin
        if (rst) secret_q <= secret_i;
        busy_q <= rst;
        busy_o <= rst || busy_q;
    end
endmodule
`resetall
