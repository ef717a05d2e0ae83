// SPDX-License-Identifier: Apache-2.0
//
// classify: what is decided before the port rule is known (docs/dataplane.md, rows 5..19).
//
// In       a parsed packet a cycle with the answers of the MAC filter, the zone table and the VIP table.
// Out      the decision, or which rule takes it on.
// Latency  2. NIC state (enabled, lease) is sampled in the first cycle.
`resetall
`default_nettype none
module classify
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic        clk,
    input  wire settings_t   settings_i,
    input  wire logic        lease_ok_i,
    input  wire parsed_t     parsed_i,
    input  wire logic        my_mac_i,
    input  wire logic        mac_bad_i,
    input  wire logic        zone_bad_i,
    input  wire vip_result_t vip_i,
    output early_t           early_o
);
    localparam logic [1:0] OTHER_IP_DISCARD = 2'd1, OTHER_IP_BALANCE = 2'd2;

    // Cycle 1: the conditions.
    typedef struct packed {
        logic not_ready, not_my_mac, malformed, control, not_ip, dedicated, other_host, other_discard;
        logic lease_expired, unbalanced, icmp_host, icmp_owner, beyond, later, embedded, tcp_midstream;
        logic mac_bad, vip_bad;
        reason_e malformed_reason;
    } condition_t;
    condition_t c;
    logic       balanced, ports, other;
    assign ports    = parsed_i.key.protocol == 8'd6 || parsed_i.key.protocol == 8'd17;
    assign balanced = ports || parsed_i.key.protocol == 8'd47 || parsed_i.key.protocol == 8'd50
        || parsed_i.key.protocol == 8'd51;
    assign other    = !vip_i.hit;
    always_ff @(posedge clk) begin
        c.not_ready        <= !settings_i.enable;
        c.not_my_mac       <= !my_mac_i;
        c.malformed        <= parsed_i.malformed;
        c.malformed_reason <= parsed_i.reason;
        c.control          <= parsed_i.control;
        c.not_ip           <= !parsed_i.ip;
        c.dedicated        <= vip_i.hit && vip_i.kind == VIP_KIND_DEDICATED;
        c.other_host       <= other && (parsed_i.multicast_dst
            || (settings_i.other_ip != OTHER_IP_DISCARD && settings_i.other_ip != OTHER_IP_BALANCE));
        c.other_discard    <= other && !parsed_i.multicast_dst && settings_i.other_ip == OTHER_IP_DISCARD;
        c.lease_expired    <= !lease_ok_i;
        c.unbalanced       <= !parsed_i.beyond && !parsed_i.icmp && !balanced;
        c.icmp_host        <= parsed_i.icmp && !settings_i.icmp_owner;
        c.icmp_owner       <= parsed_i.icmp && settings_i.icmp_owner;
        c.beyond           <= parsed_i.beyond;
        c.later            <= parsed_i.later && ports;
        c.embedded         <= parsed_i.embedded;
        c.tcp_midstream    <= parsed_i.tcp && !parsed_i.opening;
        c.mac_bad          <= mac_bad_i;
        c.vip_bad          <= zone_bad_i || vip_i.parity;
    end

    // Cycle 2: the first that applies.
    always_ff @(posedge clk) begin
        early_o         <= '0;
        early_o.control <= c.control;
        early_o.decided <= 1'b1;
        early_o.reason  <= REASON_NOT_READY;
        if (c.not_ready) early_o.reason <= REASON_NOT_READY;
        else if (c.not_my_mac) early_o.reason <= REASON_NOT_MY_MAC;
        else if (c.malformed) early_o.reason <= c.malformed_reason;
        else if (c.control) begin
            early_o.reason  <= REASON_CONTROL;
            early_o.to_host <= 1'b1;
        end else if (c.not_ip || c.other_host) begin
            early_o.reason  <= REASON_UNFILTERED;
            early_o.to_host <= 1'b1;
        end else if (c.dedicated) begin
            early_o.reason  <= REASON_DEDICATED;
            early_o.to_host <= 1'b1;
        end else if (c.other_discard) early_o.reason <= REASON_NOT_MY_IP;
        else if (c.lease_expired) early_o.reason <= REASON_LEASE_EXPIRED;
        else if (c.unbalanced || c.icmp_host) begin
            early_o.reason  <= REASON_UNFILTERED;
            early_o.to_host <= 1'b1;
        end else begin
            early_o.decided  <= 1'b0;
            early_o.handover <= c.tcp_midstream;
            if (c.icmp_owner) early_o.reason <= REASON_ICMP_OWNER;
            else if (c.beyond) early_o.reason <= REASON_BEYOND_WINDOW;
            else begin
                early_o.match   <= 1'b1;
                early_o.reason  <= c.embedded ? REASON_ICMP_ERROR : REASON_MAP;
                early_o.unknown <= c.later;
            end
        end
        early_o.parity <= !c.not_ready && (c.mac_bad
            || (c.vip_bad && !c.not_my_mac && !c.malformed && !c.control && !c.not_ip));
    end
    wire logic unused = &{1'b0, settings_i, parsed_i, vip_i};
endmodule
`resetall
