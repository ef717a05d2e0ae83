// SPDX-License-Identifier: Apache-2.0
//
// tabulation_hash, for proofs: any function of the key, the same in all instances, with the latency of the real one.
// The function is `words` of hash_fill_t (the narrow package of run.py has it).
`resetall
`default_nettype none
module tabulation_hash
    import binding_pkg::*;
#(
    parameter int unsigned KEY_BITS = BINDING_KEY_BITS,
    parameter int unsigned HASH_BITS = 56
) (
    input  wire logic                 clk,
    input  wire hash_fill_t           fill_i,
    input  wire logic [HASH_BITS-1:0] fill_data_i,
    input  wire logic [KEY_BITS-1:0]  key_i,
    output logic [HASH_BITS-1:0]      next_o,
    output logic [HASH_BITS-1:0]      hash_o
);
    logic [KEY_BITS-1:0] key_q;
    assign next_o = fill_i.words[HASH_BITS*key_q +: HASH_BITS];
    always_ff @(posedge clk) begin
        key_q  <= key_i;
        hash_o <= next_o;
    end
endmodule
`resetall
