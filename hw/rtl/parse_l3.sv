// SPDX-License-Identifier: Apache-2.0
//
// parse_l3: the fixed headers of IPv4 and IPv6.
//
// In       the packet from layer 3 on (byte 0 on top) and what layer 2 said.
// Out      addresses, lengths and the first malformed class but for the IPv4 checksum (ip4_checksum). `rest_o` is the
//          length after the fixed header (after the options for IPv4), `offset_o` its place in 32-bit words from layer 3 on.
//          Valid if `ip4_i` or `ip6_i` was.
// Latency  1.
`resetall
`default_nettype none
module parse_l3
    import hashgate_defs_pkg::*;
#(
    parameter int unsigned L3_BYTES = 114
) (
    input  wire logic                  clk,
    input  wire logic [8*L3_BYTES-1:0] l3_i,
    input  wire logic [1:0]            tags_i,
    input  wire logic                  ip4_i,
    input  wire logic                  ip6_i,
    output logic                       v6_o,
    output logic                       malformed_o,
    output reason_e                    reason_o,
    output logic [16:0]                min_length_o,  // 0 if not known
    output logic [127:0]               src_o,
    output logic [127:0]               dst_o,
    output logic                       multicast_dst_o,
    output logic [7:0]                 protocol_o,  // of IPv6: the first next-header
    output logic [15:0]                rest_o,
    output logic [4:0]                 offset_o,
    output logic                       later_o,     // IPv4 later fragment
    output logic                       fragment_o,  // IPv4 first fragment
    output logic                       hop_limit_255_o
);
    localparam int unsigned TOP = 8 * L3_BYTES - 1;

    logic [3:0]  version, ihl;
    logic [15:0] total_length, payload_length;
    logic [15:0] fragment;
    logic [4:0]  l3_words;  // (start of layer 3 + 2) / 4
    logic        bad_version, bad_ihl, bad_length;
    assign version        = l3_i[TOP -: 4];
    assign ihl            = l3_i[TOP-4 -: 4];
    assign total_length   = l3_i[TOP-8*2 -: 16];
    assign fragment       = l3_i[TOP-8*6 -: 16];
    assign payload_length = l3_i[TOP-8*4 -: 16];
    assign l3_words       = 5'd4 + 5'(tags_i);
    assign bad_version    = version != (ip4_i ? 4'd4 : 4'd6);
    assign bad_ihl        = ip4_i && ihl < 4'd5;
    assign bad_length     = ip4_i && total_length < {10'b0, ihl, 2'b0};

    // Start of layer 3 plus the fixed part of the length: 14 + 4 tags, for IPv6 40 more.
    logic [7:0] fixed;
    assign fixed = {1'b0, l3_words, 2'b0} - 8'd2 + (ip4_i ? 8'd0 : 8'd40);

    always_ff @(posedge clk) begin
        v6_o        <= ip6_i;
        malformed_o <= (ip4_i || ip6_i) && (bad_version || bad_ihl || bad_length);
        if (bad_version) reason_o <= ip4_i ? REASON_IP4_VERSION : REASON_IP6_VERSION;
        else if (bad_ihl) reason_o <= REASON_IP4_HEADER_LENGTH;
        else reason_o <= REASON_IP4_TOTAL_LENGTH;
        if ((ip4_i || ip6_i) && !bad_version && !bad_ihl && !bad_length)
            min_length_o <= {1'b0, ip4_i ? total_length : payload_length} + {9'b0, fixed};
        else min_length_o <= '0;
        if (ip4_i) begin
            src_o           <= {96'b0, l3_i[TOP-8*12 -: 32]};
            dst_o           <= {96'b0, l3_i[TOP-8*16 -: 32]};
            multicast_dst_o <= l3_i[TOP-8*16 -: 4] == 4'he || &l3_i[TOP-8*16 -: 32];
            protocol_o      <= l3_i[TOP-8*9 -: 8];
            rest_o          <= total_length - {10'b0, ihl, 2'b0};
            offset_o        <= {1'b0, ihl};
            later_o         <= |fragment[12:0];
            fragment_o      <= fragment[13] && ~|fragment[12:0];
            hop_limit_255_o <= 1'b0;
        end else begin
            src_o           <= l3_i[TOP-8*8 -: 128];
            dst_o           <= l3_i[TOP-8*24 -: 128];
            multicast_dst_o <= &l3_i[TOP-8*24 -: 8];
            protocol_o      <= l3_i[TOP-8*6 -: 8];
            rest_o          <= payload_length;
            offset_o        <= 5'd10;
            later_o         <= 1'b0;
            fragment_o      <= 1'b0;
            hop_limit_255_o <= &l3_i[TOP-8*7 -: 8];
        end
    end
    wire logic unused = &{1'b0, l3_i[TOP-8*40:0], l3_i[TOP-8 -: 8], fragment[15:14]};
endmodule
`resetall
