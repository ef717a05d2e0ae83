// SPDX-License-Identifier: Apache-2.0
//
// target_table: what ownership by a target means on this NIC.
//
// Look-up   one a cycle, answer TARGET_LATENCY cycles later; `bad_o`: wrong parity.
// Load      entry number = target id.
`resetall
`default_nettype none
module target_table
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic     clk,
    input  wire init_t    init_i,
    input  wire cfg_req_t cfg_i,
    output logic [31:0]   cfg_rdata_o,
    input  wire target_t  target_i,
    input  wire logic     bank_i,
    output target_entry_t entry_o,
    output logic          bad_o
);
    localparam int unsigned ENTRY_BITS = $clog2(TARGETS);
    localparam int unsigned WORDS = TABLE_TARGET_WORDS;
    localparam int unsigned STRIDE_BITS = $clog2(TABLE_TARGET_STRIDE);

    logic                   cfg_mine;
    logic [WORDS-1:0][31:0] cfg_word;
    logic [WORDS-1:0]       bad;
    target_entry_t          entry;
    assign cfg_mine = cfg_i.id == TABLE_TARGET;
    for (genvar i = 0; i < WORDS; i++) begin : gen_word
        table_ram #(.WIDTH(32), .DEPTH(2 ** (ENTRY_BITS + 1))) u_ram (
            .clk, .init_i, .lookup_address_i({bank_i, target_i[ENTRY_BITS-1:0]}), .lookup_data_o(entry[32*i +: 32]),
            .lookup_bad_o(bad[i]),
            .config_write_i(cfg_i.write && cfg_mine && cfg_i.address[STRIDE_BITS-1:0] == STRIDE_BITS'(i)),
            .config_address_i({cfg_i.bank, cfg_i.address[STRIDE_BITS +: ENTRY_BITS]}), .config_data_i(cfg_i.data),
            .config_spoil_i(cfg_i.bad_parity), .config_data_o(cfg_word[i]));
    end
    always_ff @(posedge clk) begin
        entry_o <= entry;
        bad_o   <= |bad;
    end

    logic                   read_q;
    logic [STRIDE_BITS-1:0] word_q;
    delay #(.WIDTH(1 + STRIDE_BITS), .CYCLES(CFG_LATENCY - 1)) u_read (
        .clk, .value_i({cfg_i.read && cfg_mine, cfg_i.address[STRIDE_BITS-1:0]}), .value_o({read_q, word_q}));
    always_ff @(posedge clk) begin
        cfg_rdata_o <= '0;
        for (int i = 0; i < WORDS; i++) if (read_q && word_q == STRIDE_BITS'(i)) cfg_rdata_o <= cfg_word[i];
    end
    wire logic unused = &{1'b0, cfg_i, target_i};
endmodule
`resetall
