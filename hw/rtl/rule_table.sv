// SPDX-License-Identifier: Apache-2.0
//
// rule_table: what a port rule says.
//
// Look-up   one a cycle, answer RULE_LATENCY cycles later; `bad_o`: wrong parity.
// Load      entry number = rule; the default rule has the number RULES.
`resetall
`default_nettype none
module rule_table
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic     clk,
    input  wire init_t    init_i,
    input  wire cfg_req_t cfg_i,
    output logic [31:0]   cfg_rdata_o,
    input  wire rule_t    rule_i,
    input  wire logic     bank_i,
    output rule_entry_t   entry_o,
    output logic          bad_o
);
    localparam int unsigned ENTRY_BITS = $clog2(RULES + 1);
    localparam int unsigned WORDS = TABLE_RULE_WORDS;
    localparam int unsigned STRIDE_BITS = $clog2(TABLE_RULE_STRIDE);

    logic                   cfg_mine;
    logic [WORDS-1:0][31:0] cfg_word;
    logic [WORDS-1:0]       bad;
    assign cfg_mine = cfg_i.id == TABLE_RULE;
    for (genvar i = 0; i < WORDS; i++) begin : gen_word
        table_ram #(.WIDTH(32), .DEPTH(2 ** (ENTRY_BITS + 1))) u_ram (
            .clk, .init_i, .lookup_address_i({bank_i, rule_i[ENTRY_BITS-1:0]}), .lookup_data_o(entry_o[32*i +: 32]),
            .lookup_bad_o(bad[i]),
            .config_write_i(cfg_i.write && cfg_mine && cfg_i.address[STRIDE_BITS-1:0] == STRIDE_BITS'(i)),
            .config_address_i({cfg_i.bank, cfg_i.address[STRIDE_BITS +: ENTRY_BITS]}), .config_data_i(cfg_i.data),
            .config_spoil_i(cfg_i.bad_parity), .config_data_o(cfg_word[i]));
    end
    assign bad_o = |bad;

    logic                   read_q;
    logic [STRIDE_BITS-1:0] word_q;
    delay #(.WIDTH(1 + STRIDE_BITS), .CYCLES(CFG_LATENCY - 1)) u_read (
        .clk, .value_i({cfg_i.read && cfg_mine, cfg_i.address[STRIDE_BITS-1:0]}), .value_o({read_q, word_q}));
    always_ff @(posedge clk) begin
        cfg_rdata_o <= '0;
        for (int i = 0; i < WORDS; i++) if (read_q && word_q == STRIDE_BITS'(i)) cfg_rdata_o <= cfg_word[i];
    end
    wire logic unused = &{1'b0, cfg_i, rule_i};
endmodule
`resetall
