// SPDX-License-Identifier: Apache-2.0
//
// bucket_flags: HANDOVER and TRACK of every bucket of every map.
//
// Look-up   one a cycle, flags MAP_LATENCY cycles later; `bad_o`: wrong parity.
// Write     at any time, one word = 16 buckets, entry number = 256 x map + bucket / 16; the next packet sees it.
`resetall
`default_nettype none
module bucket_flags
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic     clk,
    input  wire init_t    init_i,
    input  wire cfg_req_t cfg_i,
    output logic [31:0]   cfg_rdata_o,
    input  wire map_t     map_i,
    input  wire bucket_t  bucket_i,
    output logic          handover_o,
    output logic          track_o,
    output logic          bad_o
);
    localparam int unsigned DEPTH = MAPS * 256;
    localparam int unsigned ADDRESS_BITS = $clog2(DEPTH);

    logic [31:0] word, cfg_word;
    logic        bad, cfg_mine, read_q;
    logic [3:0]  place_q;
    assign cfg_mine = cfg_i.id == TABLE_FLAGS;
    table_ram #(.WIDTH(32), .DEPTH(DEPTH)) u_ram (
        .clk, .init_i, .lookup_address_i(ADDRESS_BITS'({map_i, bucket_i[11:4]})), .lookup_data_o(word), .lookup_bad_o(bad),
        .config_write_i(cfg_i.write && cfg_mine), .config_address_i(ADDRESS_BITS'(cfg_i.address)), .config_data_i(cfg_i.data),
        .config_spoil_i(cfg_i.bad_parity), .config_data_o(cfg_word));
    delay #(.WIDTH(4), .CYCLES(2)) u_place (.clk, .value_i(bucket_i[3:0]), .value_o(place_q));
    logic [1:0] pair, pair_q;
    logic       bad_q;
    assign pair = word[2*place_q +: 2];
    always_ff @(posedge clk) begin
        pair_q                <= pair;
        bad_q                 <= bad;
        {track_o, handover_o} <= pair_q;
        bad_o                 <= bad_q;
    end
    delay #(.WIDTH(1), .CYCLES(CFG_LATENCY - 1)) u_read (.clk, .value_i(cfg_i.read && cfg_mine), .value_o(read_q));
    always_ff @(posedge clk) cfg_rdata_o <= read_q ? cfg_word : '0;
    wire logic unused = &{1'b0, cfg_i};
endmodule
`resetall
