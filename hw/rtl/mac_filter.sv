// SPDX-License-Identifier: Apache-2.0
//
// mac_filter: is the destination MAC one of ours?
//
// Look-up   one a cycle, answer EXACT_LATENCY + 1 cycles later: the station's, the cluster's, broadcast, a joined multicast (exact_table), or
//           by the flags of the settings any multicast or any at all. `bad_o`: wrong parity in a look-up that was needed.
`resetall
`default_nettype none
module mac_filter
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic      clk,
    input  wire init_t     init_i,
    input  wire cfg_req_t  cfg_i,
    output logic [31:0]    cfg_rdata_o,
    input  wire settings_t settings_i,
    input  wire mac_t      mac_i,
    input  wire logic      bank_i,
    output logic           mine_o,
    output logic           bad_o
);
    function automatic mac_entry_t mask();
        mask          = '0;
        mask.valid    = 1'b1;
        mask.mac_low  = '1;
        mask.mac_high = '1;
    endfunction
    mac_entry_t expected;
    always_comb begin
        expected          = '0;
        expected.valid    = 1'b1;
        expected.mac_low  = mac_i[31:0];
        expected.mac_high = mac_i[47:32];
    end
    logic       joined, bad;
    mac_entry_t entry;
    exact_table #(
        .ID(TABLE_MAC), .WORDS(TABLE_MAC_WORDS), .STRIDE(TABLE_MAC_STRIDE), .MASK(mask()), .KEY_BITS(48), .ROWS(EXACT_ROWS)
    ) u_joined (
        .clk, .init_i, .cfg_i, .cfg_rdata_o, .key_i(mac_i), .expect_i(expected), .bank_i, .hit_o(joined), .entry_o(entry),
        .bad_o(bad));

    // The addresses in registers: compare by 16 bits, then all.
    logic [2:0] station_q, cluster_q, broadcast_q;
    logic       multicast_q, ours_q, ours, multicast;
    always_ff @(posedge clk) begin
        for (int i = 0; i < 3; i++) begin
            station_q[i]   <= mac_i[16*i +: 16] == settings_i.station_mac[16*i +: 16];
            cluster_q[i]   <= mac_i[16*i +: 16] == settings_i.cluster_mac[16*i +: 16];
            broadcast_q[i] <= &mac_i[16*i +: 16];
        end
        multicast_q <= mac_i[40];
        ours_q      <= (&station_q) || (&cluster_q) || (&broadcast_q) || settings_i.promiscuous
            || (settings_i.all_multicast && multicast_q);
    end
    logic multicast_qq;
    always_ff @(posedge clk) multicast_qq <= multicast_q;
    delay #(.WIDTH(2), .CYCLES(EXACT_LATENCY - 2)) u_ours (
        .clk, .value_i({ours_q, multicast_qq}), .value_o({ours, multicast}));
    always_ff @(posedge clk) begin
        mine_o <= ours || (joined && multicast);
        bad_o  <= !ours && multicast && bad;
    end
    wire logic unused = &{1'b0, settings_i, entry};
endmodule
`resetall
