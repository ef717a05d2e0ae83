// SPDX-License-Identifier: Apache-2.0
//
// bucket_map: owner of a hash bucket, in two banks per map.
//
// Look-up   one a cycle, owner MAP_LATENCY cycles later; `bad_o`: wrong parity. The bank comes with the look-up, so a packet never
//           sees two banks.
// Load      a word holds two owners; entry number = 2048 x map + bucket / 2. Not cleared at start: a map that was never committed
//           is not looked at.
`resetall
`default_nettype none
module bucket_map
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic     clk,
    input  wire cfg_req_t cfg_i,
    output logic [31:0]   cfg_rdata_o,
    input  wire map_t     map_i,
    input  wire bucket_t  bucket_i,
    input  wire logic     bank_i,
    output target_t       owner_o,
    output logic          bad_o
);
    localparam int unsigned DEPTH = MAPS * 2048;
    localparam int unsigned ADDRESS_BITS = $clog2(DEPTH);

    logic                    cfg_mine;
    logic [ADDRESS_BITS-1:0] address;
    logic [1:0][19:0]        pair, cfg_pair;
    logic [1:0]              bad;
    assign cfg_mine = cfg_i.id == TABLE_MAP;
    assign address  = ADDRESS_BITS'({map_i, bucket_i[11:1]});
    for (genvar b = 0; b < 2; b++) begin : gen_bank
        table_ram #(.WIDTH(20), .DEPTH(DEPTH)) u_ram (
            .clk, .init_i('0), .lookup_address_i(address), .lookup_data_o(pair[b]), .lookup_bad_o(bad[b]),
            .config_write_i(cfg_i.write && cfg_mine && cfg_i.bank == 1'(b)), .config_address_i(ADDRESS_BITS'(cfg_i.address)),
            .config_data_i({cfg_i.data[25:16], cfg_i.data[9:0]}), .config_spoil_i(cfg_i.bad_parity),
            .config_data_o(cfg_pair[b]));
    end

    // Choose the bank, then the half.
    logic        bank_q, half_q, half_qq, bad_q;
    logic [19:0] pair_q;
    delay #(.WIDTH(2), .CYCLES(2)) u_bank (.clk, .value_i({bank_i, bucket_i[0]}), .value_o({bank_q, half_q}));
    always_ff @(posedge clk) begin
        pair_q  <= pair[bank_q];
        bad_q   <= bad[bank_q];
        half_qq <= half_q;
        owner_o <= half_qq ? pair_q[19:10] : pair_q[9:0];
        bad_o   <= bad_q;
    end

    logic read_q, cfg_bank_q;
    delay #(.WIDTH(2), .CYCLES(CFG_LATENCY - 1)) u_read (
        .clk, .value_i({cfg_i.read && cfg_mine, cfg_i.bank}), .value_o({read_q, cfg_bank_q}));
    always_ff @(posedge clk)
        cfg_rdata_o <= read_q ? {6'b0, cfg_pair[cfg_bank_q][19:10], 6'b0, cfg_pair[cfg_bank_q][9:0]} : '0;
    wire logic unused = &{1'b0, cfg_i};
endmodule
`resetall
