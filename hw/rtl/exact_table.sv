// SPDX-License-Identifier: Apache-2.0
//
// exact_table: exact match in four ways of block RAM (VIP table, multicast filter).
//
// Look-up   one a cycle, answer EXACT_LATENCY cycles later. Way w looks at row hash_w(key): a Toeplitz hash with a constant key of
//           the way, the standard key rotated by 5 (w + 1) bytes. An entry hits if it equals `expect_i` in all bits of MASK.
// Load      the driver places the entries (cuckoo) in the shadow bank; entry number = ROWS x way + row.
// Parity    `bad_o`: a word of one of the four rows had wrong parity; a bad row still may hit.
// Misuse    the same key in two ways: their entries are ORed.
`resetall
`default_nettype none
module exact_table
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
#(
    // Table on the configuration bus.
    parameter table_e ID = TABLE_VIP,
    // Words of an entry, and words from entry to entry in the address space.
    parameter int unsigned WORDS = 5,
    parameter int unsigned STRIDE = 8,
    // Bits that have to match.
    parameter logic [32*WORDS-1:0] MASK = '1,
    // Bits of the hashed key.
    parameter int unsigned KEY_BITS = 144,
    // Rows of each way.
    parameter int unsigned ROWS = 256
) (
    input  wire logic                clk,
    input  wire init_t               init_i,
    input  wire cfg_req_t            cfg_i,
    output logic [31:0]              cfg_rdata_o,
    input  wire logic [KEY_BITS-1:0] key_i,     // first bit on top
    input  wire logic [32*WORDS-1:0] expect_i,
    input  wire logic                bank_i,
    output logic                     hit_o,
    output logic [32*WORDS-1:0]      entry_o,   // 0 without a hit
    output logic                     bad_o
);
    localparam int unsigned WAYS = 4;
    localparam int unsigned ROW_BITS = $clog2(ROWS);
    localparam int unsigned STRIDE_BITS = $clog2(STRIDE);
    localparam int unsigned ENTRY_BITS = 32 * WORDS;

    // The standard key of receive-side scaling: first 40 bytes, first byte on top.
    localparam logic [319:0] STANDARD_KEY = 320'h6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa;
    function automatic logic [415:0] way_key(input int unsigned way);
        for (int i = 0; i < 52; i++) way_key[415-8*i -: 8] = STANDARD_KEY[319-8*((i+5*(way+1))%40) -: 8];
    endfunction

    // Register access, decoded.
    logic                        cfg_mine;
    logic [1:0]                  cfg_way;
    logic [ROW_BITS-1:0]         cfg_row;
    logic [STRIDE_BITS-1:0]      cfg_word;
    assign cfg_mine = cfg_i.id == ID;
    assign cfg_word = cfg_i.address[STRIDE_BITS-1:0];
    assign cfg_row  = cfg_i.address[STRIDE_BITS +: ROW_BITS];
    assign cfg_way  = cfg_i.address[STRIDE_BITS+ROW_BITS +: 2];

    logic                  bank;    // beside the row
    logic [ENTRY_BITS-1:0] expected;
    delay #(.WIDTH(1), .CYCLES(2)) u_bank (.clk, .value_i(bank_i), .value_o(bank));
    delay #(.WIDTH(ENTRY_BITS), .CYCLES(4)) u_expect (.clk, .value_i(expect_i), .value_o(expected));

    logic [WAYS-1:0]                  way_hit, way_bad;
    logic [WAYS-1:0][ENTRY_BITS-1:0]  way_entry;
    logic [WAYS-1:0][WORDS-1:0][31:0] cfg_words;
    for (genvar w = 0; w < WAYS; w++) begin : gen_way
        logic [ROW_BITS-1:0]   row;
        logic [ENTRY_BITS-1:0] entry;
        logic [WORDS-1:0]      bad;
        toeplitz #(.IN_BITS(KEY_BITS), .OUT_BITS(ROW_BITS)) u_hash (
            .clk, .message_i(key_i), .key_i(way_key(w)), .hash_o(row));
        for (genvar i = 0; i < WORDS; i++) begin : gen_word
            table_ram #(.WIDTH(32), .DEPTH(2 * ROWS)) u_ram (
                .clk, .init_i, .lookup_address_i({bank, row}), .lookup_data_o(entry[32*i +: 32]), .lookup_bad_o(bad[i]),
                .config_write_i(cfg_i.write && cfg_mine && cfg_way == 2'(w) && cfg_word == STRIDE_BITS'(i)),
                .config_address_i({cfg_i.bank, cfg_row}), .config_data_i(cfg_i.data), .config_spoil_i(cfg_i.bad_parity),
                .config_data_o(cfg_words[w][i]));
        end

        // Compare by 16 bits, then all.
        logic [2*WORDS-1:0]    same;
        logic [ENTRY_BITS-1:0] entry_q, entry_qq;
        logic                  hit_q;
        logic [1:0]            bad_q;
        always_ff @(posedge clk) begin
            for (int i = 0; i < 2 * WORDS; i++)
                same[i] <= ~|((entry[16*i +: 16] ^ expected[16*i +: 16]) & MASK[16*i +: 16]);
            hit_q    <= &same;
            entry_q  <= entry;
            entry_qq <= entry_q;
            bad_q    <= {bad_q[0], |bad};
        end
        assign way_hit[w]   = hit_q;
        assign way_bad[w]   = bad_q[1];
        assign way_entry[w] = entry_qq & {ENTRY_BITS{hit_q}};
    end

    always_ff @(posedge clk) begin
        hit_o   <= |way_hit;
        bad_o   <= |way_bad;
        entry_o <= way_entry[0] | way_entry[1] | way_entry[2] | way_entry[3];
    end

    // Read back: memory 3 cycles, word 1.
    logic                   read_q;
    logic [1:0]             way_q;
    logic [STRIDE_BITS-1:0] word_q;
    delay #(.WIDTH(3 + STRIDE_BITS), .CYCLES(CFG_LATENCY - 1)) u_read (
        .clk, .value_i({cfg_i.read && cfg_mine, cfg_way, cfg_word}), .value_o({read_q, way_q, word_q}));
    always_ff @(posedge clk) begin
        cfg_rdata_o <= '0;
        for (int i = 0; i < WORDS; i++) if (read_q && word_q == STRIDE_BITS'(i)) cfg_rdata_o <= cfg_words[way_q][i];
    end
    wire logic unused = &{1'b0, cfg_i};
endmodule
`resetall
