// SPDX-License-Identifier: Apache-2.0
//
// binding_init: what happens after a reset: rows are cleared one a cycle, and the hash tables are filled from the secret.
//
// Generator  xorshift128+ (shifts 23, 18, 5), seeded with the secret (its lowest bit set), 64 steps before the first
//            word. Words in order of chunk, then word; the hash word is the top HASH_BITS bits of the 64.
// Busy       `busy_o` from reset until everything is done and look-ups that read memory before that are through.
`resetall
`default_nettype none
module binding_init
    import binding_pkg::*;
#(
    // Rows to clear.
    parameter int unsigned ROWS = 16384,
    // Bits of a hash word.
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
    localparam int unsigned CHUNKS = (BINDING_KEY_BITS + 5) / 6;
    localparam int unsigned WARM_UP = 64;
    localparam int unsigned TAIL = 32;
    localparam int unsigned ROW_BITS = $clog2(ROWS);

    logic [63:0] older, newer, sum_q;
    logic [63:0] mixed;
    assign mixed = older ^ (older << 23);

    logic [6:0]        warm_q;
    logic              filling_q, fill_q;
    logic [5:0]        word_q, chunk_q;
    logic [5:0]        tail_q;
    logic [ROW_BITS:0] row_q;
    logic              settled;
    assign settled     = row_q[ROW_BITS] && !filling_q && !fill_q && warm_q[6];
    assign clear_o     = !row_q[ROW_BITS];
    assign clear_row_o = row_q[ROW_BITS-1:0];
    always_ff @(posedge clk) begin
        older  <= newer;
        newer  <= mixed ^ newer ^ (mixed >> 18) ^ (newer >> 5);
        sum_q  <= older + newer;
        fill_q <= filling_q && warm_q == 7'(WARM_UP);
        fill_o <= '{write: fill_q, chunk: chunk_q, word: word_q};
        fill_data_o <= sum_q[63 -: HASH_BITS];
        if (warm_q != 7'(WARM_UP)) warm_q <= warm_q + 1'b1;
        if (fill_q) begin
            word_q <= word_q + 1'b1;
            if (word_q == '1) chunk_q <= chunk_q + 1'b1;
            if (word_q == '1 && chunk_q == 6'(CHUNKS - 1)) begin
                filling_q <= 1'b0;
                fill_q    <= 1'b0;
            end
        end
        if (!row_q[ROW_BITS]) row_q <= row_q + 1'b1;
        if (settled && tail_q != 6'(TAIL)) tail_q <= tail_q + 1'b1;
        busy_o <= tail_q != 6'(TAIL);
        if (rst) begin
            older     <= {secret_i[63:1], 1'b1};
            newer     <= secret_i[127:64];
            warm_q    <= '0;
            filling_q <= 1'b1;
            fill_q    <= 1'b0;
            word_q    <= '0;
            chunk_q   <= '0;
            row_q     <= '0;
            tail_q    <= '0;
            busy_o    <= 1'b1;
            fill_o    <= '0;
        end
    end
    wire logic unused = &{1'b0, sum_q, secret_i[0]};
    if (HASH_BITS > 64 || ROWS != 2 ** ROW_BITS) begin : gen_check
        $fatal(1, "%m: HASH_BITS at most 64, ROWS a power of two");
    end
endmodule
`resetall
