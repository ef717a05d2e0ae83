// SPDX-License-Identifier: Apache-2.0
//
// tabulation_hash: simple tabulation. Each chunk of six key bits picks one of 64 random words; the hash is the XOR of all.
//
// In       a key; chunk c is bits 6 c + 5 .. 6 c, the last one padded with zeros on top.
// Out      `hash_o` two cycles later; `next_o` is the same one cycle earlier, not registered.
// Fill     one word of one chunk a cycle. Keys that are hashed meanwhile get any hash.
`resetall
`default_nettype none
module tabulation_hash
    import binding_pkg::*;
#(
    // Bits of the key.
    parameter int unsigned KEY_BITS = BINDING_KEY_BITS,
    // Bits of the hash.
    parameter int unsigned HASH_BITS = 56
) (
    input  wire logic                 clk,
    input  wire hash_fill_t           fill_i,
    input  wire logic [HASH_BITS-1:0] fill_data_i,
    input  wire logic [KEY_BITS-1:0]  key_i,
    output logic [HASH_BITS-1:0]      next_o,
    output logic [HASH_BITS-1:0]      hash_o
);
    localparam int unsigned CHUNKS = (KEY_BITS + 5) / 6;
    localparam int unsigned GROUPS = (CHUNKS + 5) / 6;

    logic [6*CHUNKS-1:0] padded;
    assign padded = (6 * CHUNKS)'(key_i);

    logic [HASH_BITS-1:0] word[CHUNKS];
    for (genvar c = 0; c < CHUNKS; c++) begin : gen_chunk
        logic [HASH_BITS-1:0] memory[64];
        always_ff @(posedge clk) if (fill_i.write && fill_i.chunk == 6'(c)) memory[fill_i.word] <= fill_data_i;
        assign word[c] = memory[padded[6*c +: 6]];
    end

    logic [GROUPS-1:0][HASH_BITS-1:0] partial, partial_next;
    always_comb begin
        partial_next = '0;
        for (int c = 0; c < CHUNKS; c++) partial_next[c/6] ^= word[c];
        next_o = '0;
        for (int g = 0; g < GROUPS; g++) next_o ^= partial[g];
    end
    always_ff @(posedge clk) begin
        partial <= partial_next;
        hash_o  <= next_o;
    end
endmodule
`resetall
