// SPDX-License-Identifier: Apache-2.0
//
// parser: from the window of a frame to its key (docs/dataplane.md, "Parse").
//
// In       one window a cycle at most.
// Out      PARSE_LATENCY cycles later, what the decision needs to know. Ahead of it, for look-ups that run beside the walk over the
//          extension headers: the VLAN after L2_LATENCY cycles, the destination address after L3_LATENCY.
// Latency  L2 2, fixed IP header 1, extension headers 8 (and the IPv4 checksum), shift to layer 4 2, layer 4 2, choice 1.
`resetall
`default_nettype none
module parser
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic                   clk,
    input  wire logic [WINDOW_BITS-1:0] window_i,
    // after 2 cycles
    output logic [11:0]                 early_vlan_o,
    // after 3 cycles
    output logic                        early_v6_o,
    output logic [127:0]                early_dst_o,
    // after PARSE_LATENCY cycles
    output parsed_t                     parsed_o
);
    localparam int unsigned L3_BYTES = WINDOW_BYTES - 14;
    localparam int unsigned L3_BITS = 8 * L3_BYTES;
    localparam int unsigned L4_BYTES = 72;
    localparam int unsigned L4_BITS = 8 * L4_BYTES;
    localparam int unsigned STEPS = 8;

    // ---- layer 2 ------------------------------------------------------------------------------------------------------
    logic [L3_BITS-1:0] l3;
    logic [1:0]         tags;
    logic               too_deep, ip4, ip6, arp, heartbeat;
    parse_l2 #(.L3_BYTES(L3_BYTES)) u_l2 (
        .clk, .window_i, .l3_o(l3), .tags_o(tags), .too_deep_o(too_deep), .vlan_o(early_vlan_o), .ip4_o(ip4), .ip6_o(ip6),
        .arp_o(arp), .heartbeat_o(heartbeat));

    // ---- fixed IP header ------------------------------------------------------------------------------------------------
    typedef struct packed {
        logic         v6;
        logic         malformed;
        reason_e      reason;
        logic [16:0]  min_length;
        logic [127:0] src;
        logic [127:0] dst;
        logic         multicast_dst;
        logic         hop_limit_255;
        logic         ip;
        logic [1:0]   tags;
        logic         too_deep;
        logic         link_control;
    } fixed_t;
    fixed_t      fixed;
    logic [7:0]  protocol;
    logic [15:0] rest;
    logic [4:0]  offset;
    logic        later, fragment, ip4_sum_ok;
    parse_l3 #(.L3_BYTES(L3_BYTES)) u_l3 (
        .clk, .l3_i(l3), .tags_i(tags), .ip4_i(ip4), .ip6_i(ip6), .v6_o(fixed.v6), .malformed_o(fixed.malformed),
        .reason_o(fixed.reason), .min_length_o(fixed.min_length), .src_o(fixed.src), .dst_o(fixed.dst),
        .multicast_dst_o(fixed.multicast_dst), .protocol_o(protocol), .rest_o(rest), .offset_o(offset), .later_o(later),
        .fragment_o(fragment), .hop_limit_255_o(fixed.hop_limit_255));
    always_ff @(posedge clk) begin
        fixed.ip           <= ip4 || ip6;
        fixed.tags         <= tags;
        fixed.too_deep     <= too_deep;
        fixed.link_control <= arp || heartbeat;
    end
    assign early_v6_o  = fixed.v6;
    assign early_dst_o = fixed.dst;
    ip4_checksum #(.L3_BYTES(L3_BYTES)) u_sum (.clk, .l3_i(l3), .ok_o(ip4_sum_ok));

    // ---- IPv6 extension headers -----------------------------------------------------------------------------------------
    logic [7:0] protocol_w;
    logic [9:0] units_w;
    logic       bad_w, beyond_w, later_w, fragment_w;
    ip6_extensions #(.L3_BYTES(L3_BYTES), .STEPS(STEPS)) u_extensions (
        .clk, .l3_i(l3), .tags_i(tags), .skip_i(!fixed.v6 || fixed.malformed), .protocol_i(protocol), .units_i(rest[15:3]),
        .later_i(later), .fragment_i(fragment), .protocol_o(protocol_w), .units_o(units_w), .bad_o(bad_w),
        .beyond_o(beyond_w), .later_o(later_w), .fragment_o(fragment_w));
    fixed_t             fixed_w;
    logic [L3_BITS-1:0] l3_w;
    logic [15:0]        rest_w;
    logic [4:0]         offset_w;
    delay #(.WIDTH($bits(fixed_t) + 21), .CYCLES(STEPS)) u_fixed_w (
        .clk, .value_i({fixed, rest, offset}), .value_o({fixed_w, rest_w, offset_w}));
    delay #(.WIDTH(L3_BITS), .CYCLES(STEPS + 1)) u_l3_w (.clk, .value_i(l3), .value_o(l3_w));

    // ---- shift to layer 4 -------------------------------------------------------------------------------------------------
    typedef struct packed {
        fixed_t      fixed;
        logic        malformed;  // of layer 3
        reason_e     reason;
        logic [7:0]  protocol;
        logic [15:0] length;     // of layer 4
        logic        beyond;     // extension headers beyond the window
        logic        later;
        logic        fragment;
        logic [5:0]  place;      // of layer 4 in 32-bit words from layer 3 on, plus tags; saturates
    } transport_t;
    transport_t         t1, t2, t4;
    logic [3:0]         unit;  // saturates
    logic [5:0]         l4_offset, l4_offset_1;
    logic [L4_BITS+95:0] coarse;
    logic [L4_BITS-1:0] l4;
    assign unit      = units_w[3:0] | {4{|units_w[9:4]}};
    assign l4_offset = {1'b0, offset_w} + {1'b0, unit, 1'b0};
    always_ff @(posedge clk) begin
        // cycle 1: by 16 bytes
        t1.fixed <= fixed_w;
        t1.malformed <= fixed_w.malformed || (fixed_w.ip && !fixed_w.v6 && !ip4_sum_ok) || bad_w;
        if (fixed_w.malformed) t1.reason <= fixed_w.reason;
        else if (fixed_w.v6) t1.reason <= REASON_IP6_EXTENSION;
        else t1.reason <= REASON_IP4_CHECKSUM;
        t1.protocol <= protocol_w;
        t1.length   <= rest_w - {3'b0, units_w, 3'b0};
        t1.beyond   <= beyond_w;
        t1.later    <= later_w;
        t1.fragment <= fragment_w;
        t1.place    <= l4_offset + {4'b0, fixed_w.tags};
        l4_offset_1 <= l4_offset;
        coarse      <= '0;
        for (int i = 1; i <= 7; i++)
            if (l4_offset[5:2] == 4'(i)) coarse <= (L4_BITS + 96)'({l3_w, 768'b0} >> (L3_BITS + 768 - (L4_BITS + 96) - 128 * i));
        // cycle 2: by 4 bytes
        t2 <= t1;
        l4 <= coarse[L4_BITS+95-32*l4_offset_1[1:0] -: L4_BITS];
    end

    // ---- layer 4 ---------------------------------------------------------------------------------------------------------
    logic        l4_malformed, l4_beyond, l4_tcp, l4_ports, l4_opening, l4_fin, l4_rst, l4_icmp, l4_icmp_error, l4_discovery;
    reason_e     l4_reason;
    logic [15:0] l4_sport, l4_dport;
    parse_l4 #(.L4_BYTES(L4_BYTES)) u_l4 (
        .clk, .l4_i(l4), .v6_i(t2.fixed.v6), .protocol_i(t2.protocol), .length_i(t2.length),
        .fits8_i(t2.place <= 6'd26), .fits14_i(t2.place <= 6'd25), .fragment_i(t2.fragment),
        .malformed_o(l4_malformed), .reason_o(l4_reason), .beyond_o(l4_beyond), .tcp_o(l4_tcp), .ports_o(l4_ports),
        .opening_o(l4_opening), .fin_o(l4_fin), .rst_o(l4_rst), .icmp_o(l4_icmp), .icmp_error_o(l4_icmp_error), .discovery_o(l4_discovery),
        .sport_o(l4_sport), .dport_o(l4_dport));
    delay #(.WIDTH($bits(transport_t)), .CYCLES(2)) u_t4 (.clk, .value_i(t2), .value_o(t4));

    // Ready one cycle later than parse_l4, so the choice below waits for it.
    logic         keyed;
    logic [127:0] embedded_src;
    logic [15:0]  embedded_sport, embedded_dport;
    logic [7:0]   embedded_protocol;
    parse_icmp_error #(.L4_BYTES(L4_BYTES)) u_icmp_error (
        .clk, .l4_i(l4), .v6_i(t2.fixed.v6), .outer_dst_i(t2.fixed.dst), .place_i(t2.place), .length_i(t2.length),
        .keyed_o(keyed), .src_o(embedded_src), .sport_o(embedded_sport), .dport_o(embedded_dport),
        .protocol_o(embedded_protocol));

    // ---- choice ------------------------------------------------------------------------------------------------------------
    // Everything but the embedded key is registered once more to meet it.
    parsed_t plain, plain_q;
    logic    good, transport, discovery, error_q;
    assign good      = t4.fixed.ip && !t4.malformed;
    assign transport = good && !t4.later && !t4.beyond;
    assign discovery = transport && !l4_malformed && !l4_beyond && l4_icmp && l4_discovery && !t4.fragment
        && t4.fixed.hop_limit_255;
    always_comb begin
        plain           = '0;
        plain.ip        = t4.fixed.ip;
        plain.control   = t4.fixed.link_control || discovery;
        plain.malformed = t4.fixed.too_deep || (t4.fixed.ip && t4.malformed) || (transport && l4_malformed);
        if (t4.fixed.too_deep) plain.reason = REASON_VLAN_TOO_DEEP;
        else if (t4.malformed) plain.reason = t4.reason;
        else plain.reason = l4_reason;
        plain.min_length    = t4.fixed.min_length;
        plain.key.v6        = t4.fixed.v6;
        plain.key.src       = t4.fixed.src;
        plain.key.dst       = t4.fixed.dst;
        plain.key.protocol  = t4.protocol;
        if (transport && l4_ports && !l4_beyond) begin
            plain.key.sport = l4_sport;
            plain.key.dport = l4_dport;
        end
        plain.multicast_dst = t4.fixed.multicast_dst;
        plain.icmp          = good && !t4.beyond && l4_icmp && !(transport && l4_beyond);
        plain.beyond        = good && !t4.later && (t4.beyond || l4_beyond);
        plain.later         = t4.later;
        plain.tcp           = transport && l4_tcp && !l4_beyond;
        plain.opening       = l4_opening;
        plain.fin           = l4_fin;
        plain.rst           = l4_rst;
    end
    always_ff @(posedge clk) begin
        plain_q <= plain;
        error_q <= transport && l4_icmp && l4_icmp_error && !l4_beyond;
    end
    always_comb begin
        parsed_o = plain_q;
        if (error_q && keyed) begin
            parsed_o.embedded     = 1'b1;
            parsed_o.icmp         = 1'b0;
            parsed_o.key.src      = embedded_src;
            parsed_o.key.sport    = embedded_sport;
            parsed_o.key.dport    = embedded_dport;
            parsed_o.key.protocol = embedded_protocol;
        end
    end
    wire logic unused = &{1'b0, t4, l4_offset_1};
endmodule
`resetall
