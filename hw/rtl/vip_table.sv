// SPDX-License-Identifier: Apache-2.0
//
// vip_table: is an address a VIP or a dedicated IP of this host?
//
// Look-up   one a cycle, answer EXACT_LATENCY cycles later.
// Load      see exact_table.
`resetall
`default_nettype none
module vip_table
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic         clk,
    input  wire init_t        init_i,
    input  wire cfg_req_t     cfg_i,
    output logic [31:0]       cfg_rdata_o,
    input  wire logic         v6_i,
    input  wire zone_t        zone_i,
    input  wire logic [127:0] address_i,  // IPv4 in the low 32 bits, zeros above
    input  wire logic         bank_i,
    output vip_result_t       result_o
);
    function automatic vip_entry_t mask();
        mask       = '0;
        mask.valid = 1'b1;
        mask.v6    = 1'b1;
        mask.zone  = '1;
        mask.addr0 = '1;
        mask.addr1 = '1;
        mask.addr2 = '1;
        mask.addr3 = '1;
    endfunction
    vip_entry_t expected, entry;
    always_comb begin
        expected       = '0;
        expected.valid = 1'b1;
        expected.v6    = v6_i;
        expected.zone  = zone_i;
        {expected.addr3, expected.addr2, expected.addr1, expected.addr0} = address_i;
    end
    logic hit, bad;
    exact_table #(
        .ID(TABLE_VIP), .WORDS(TABLE_VIP_WORDS), .STRIDE(TABLE_VIP_STRIDE), .MASK(mask()), .KEY_BITS(144), .ROWS(EXACT_ROWS)
    ) u_table (
        .clk, .init_i, .cfg_i, .cfg_rdata_o, .key_i({7'b0, v6_i, zone_i, address_i}), .expect_i(expected), .bank_i,
        .hit_o(hit), .entry_o(entry), .bad_o(bad));
    always_comb begin
        result_o.hit    = hit;
        result_o.kind   = entry.kind;
        result_o.id     = entry.id;
        result_o.parity = bad;
    end
    wire logic unused = &{1'b0, entry};
endmodule
`resetall
