// SPDX-License-Identifier: Apache-2.0
//
// host_tx_classify: what a frame of the host is, and what would have to be edited if an address in it is a VIP.
//
// In       the window of every frame (`header_window`), one a cycle at most.
// Zone     asks for the zone of {port, VLAN}, the answer is due ZONE_LATENCY cycles later.
// VIP      asks once for every frame, in order, whether the address that it announces is a VIP (for most frames the
//          question is meaningless and so is the answer).
// Out      one edit_t a frame, in order.
// Latency  LATENCY to the edit; the VIP question leaves VIP_LATENCY cycles after the window.
`resetall
`default_nettype none
module host_tx_classify
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import host_tx_pkg::*;
#(
    localparam int unsigned LATENCY = 3 + OPTION_LATENCY + CHECKSUM_LATENCY + 1,
    localparam int unsigned VIP_LATENCY = 2 + ZONE_LATENCY
) (
    input  wire logic                   clk,
    input  wire logic                   rst,
    input  wire mac_t                   cluster_mac_i,
    input  wire logic                   mask_source_i,
    input  wire logic                   window_valid_i,
    input  wire logic [WINDOW_BITS-1:0] window_i,
    input  wire port_t                  window_port_i,
    // zone look-up
    output port_t                       zone_port_o,
    output logic [11:0]                 zone_vlan_o,
    input  wire zone_t                  zone_i,
    // VIP look-up
    output logic                        vip_valid_o,
    output logic                        vip_v6_o,
    output zone_t                       vip_zone_o,
    output logic [127:0]                vip_address_o,
    // what to do
    output logic                        edit_valid_o,
    output edit_t                       edit_o
);
    localparam int unsigned L3_BYTES = WINDOW_BYTES - 14;
    localparam int unsigned L3_BITS = 8 * L3_BYTES;
    // ICMPv6 types
    localparam logic [7:0] ROUTER_SOLICITATION = 8'd133;
    localparam logic [7:0] NEIGHBOUR_SOLICITATION = 8'd135;
    localparam logic [7:0] NEIGHBOUR_ADVERTISEMENT = 8'd136;
    localparam logic [7:0] REDIRECT = 8'd137;
    // Options
    localparam logic [7:0] SOURCE_LINK_LAYER = 8'd1;
    localparam logic [7:0] TARGET_LINK_LAYER = 8'd2;

    // ---- which frame is where: valid and port beside everything -----------------------------------------------------
    logic [LATENCY:1] valid_reg;
    always_ff @(posedge clk) begin
        valid_reg <= {valid_reg[LATENCY-1:1], window_valid_i};
        if (rst) valid_reg <= '0;
    end
    assign vip_valid_o  = valid_reg[VIP_LATENCY];
    assign edit_valid_o = valid_reg[LATENCY];

    // ---- cycles 1, 2: layer 2 ---------------------------------------------------------------------------------------
    logic [L3_BITS-1:0] l3;
    logic [1:0]         tags;
    logic [11:0]        vlan;
    logic               too_deep, ip4, ip6, arp, heartbeat;
    parse_l2 u_layer2 (
        .clk, .window_i, .l3_o(l3), .tags_o(tags), .too_deep_o(too_deep), .vlan_o(vlan), .ip4_o(ip4), .ip6_o(ip6), .arp_o(arp),
        .heartbeat_o(heartbeat));
    logic [2:0] own_part_reg;  // 16 bits of the source MAC are those of the cluster MAC
    logic       own_reg;
    always_ff @(posedge clk) begin
        for (int unsigned i = 0; i < 3; i++)
            own_part_reg[i] <= window_i[WINDOW_BITS-8*12+16*i+:16] == cluster_mac_i[16*i+:16];
        own_reg <= &own_part_reg && mask_source_i;
    end
    delay #(.WIDTH($bits(port_t)), .CYCLES(2)) u_port (.clk, .value_i(window_port_i), .value_o(zone_port_o));
    assign zone_vlan_o = vlan;

    // ---- cycle 3: layer 3 -------------------------------------------------------------------------------------------
    localparam int unsigned TYPE = 40;  // of ICMPv6, after the IPv6 header
    logic [7:0]         icmp_type;
    logic               arp_kind, icmp6;
    logic [L3_BITS-1:0] l3_q;
    logic [1:0]         tags_q;
    logic               arp_q, router_q, solicit_q, advertise_q, control_q, own_q;
    assign icmp_type = l3[8*(L3_BYTES-1-TYPE)+:8];
    // Hardware type, protocol type, lengths; operation.
    assign arp_kind  = l3[L3_BITS-1-:48] == 48'h0001_0800_0604
                       && (l3[L3_BITS-1-48-:16] == 16'd1 || l3[L3_BITS-1-48-:16] == 16'd2);
    assign icmp6     = ip6 && l3[L3_BITS-1-:4] == 4'd6 && l3[8*(L3_BYTES-1-6)+:8] == 8'd58;
    always_ff @(posedge clk) begin
        arp_q       <= arp && arp_kind;
        router_q    <= icmp6 && icmp_type == ROUTER_SOLICITATION;
        solicit_q   <= icmp6 && icmp_type == NEIGHBOUR_SOLICITATION;
        advertise_q <= icmp6 && icmp_type == NEIGHBOUR_ADVERTISEMENT;
        control_q   <= arp || heartbeat || (icmp6 && icmp_type >= ROUTER_SOLICITATION && icmp_type <= REDIRECT);
        own_q       <= own_reg;
        tags_q      <= tags;
        l3_q        <= l3;
    end

    // ---- cycles 4, 5: the announced address -------------------------------------------------------------------------
    // ARP sender at byte 14; IPv6 source at byte 8; target of an advertisement 8 bytes into ICMPv6.
    logic [127:0] announced_reg;
    logic         announced_v6_reg;
    always_ff @(posedge clk) begin
        announced_v6_reg <= !arp_q;
        if (arp_q) announced_reg <= {96'b0, l3_q[8*(L3_BYTES-18)+:32]};
        else if (advertise_q) announced_reg <= l3_q[8*(L3_BYTES-TYPE-24)+:128];
        else announced_reg <= l3_q[8*(L3_BYTES-24)+:128];
    end
    delay #(.WIDTH(129), .CYCLES(VIP_LATENCY - 4)) u_announced (
        .clk, .value_i({announced_v6_reg, announced_reg}), .value_o({vip_v6_o, vip_address_o}));
    assign vip_zone_o = zone_i;

    // ---- cycles 4..8: the option; 9..13: its checksum ---------------------------------------------------------------
    logic        found;
    logic [2:0]  slot;
    mac_t        address;
    logic [15:0] checksum, new_checksum;
    host_tx_option u_option (
        .clk, .l3_i(l3_q), .tags_i(tags_q), .near_i(router_q),
        .wanted_i(advertise_q ? TARGET_LINK_LAYER : SOURCE_LINK_LAYER), .found_o(found), .slot_o(slot),
        .address_o(address), .checksum_o(checksum));
    host_tx_checksum u_checksum (
        .clk, .cluster_mac_i, .checksum_i(checksum), .address_i(address), .checksum_o(new_checksum));

    // ---- cycle 14: the edit -----------------------------------------------------------------------------------------
    typedef struct packed {
        logic       control;
        logic       own;
        logic       arp;
        logic       discovery;
        logic [1:0] tags;
    } kind_t;
    kind_t      kind_in, kind;
    logic       found_q;
    logic [2:0] slot_q;
    assign kind_in = '{control: control_q, own: own_q, arp: arp_q,
                       discovery: router_q || solicit_q || advertise_q, tags: tags_q};
    delay #(.WIDTH($bits(kind_t)), .CYCLES(OPTION_LATENCY + CHECKSUM_LATENCY)) u_kind (
        .clk, .value_i(kind_in), .value_o(kind));
    delay #(.WIDTH(4), .CYCLES(CHECKSUM_LATENCY)) u_found (.clk, .value_i({found, slot}), .value_o({found_q, slot_q}));
    always_ff @(posedge clk) begin
        edit_o.control   <= kind.control;
        edit_o.mask      <= kind.own;
        edit_o.arp       <= kind.arp;
        edit_o.discovery <= kind.discovery && found_q;
        // Layer 3 begins at byte 14 + 4 x tags. ARP: sender hardware address at its byte 8. Neighbour discovery: places
        // of options from byte 48 on, the address 2 bytes into one; checksum at byte 42.
        edit_o.address_at  <= (kind.arp ? word_t'(11) : word_t'(32) + {1'b0, slot_q, 2'b0}) + {3'b0, kind.tags, 1'b0};
        edit_o.checksum_at <= word_t'(28) + {3'b0, kind.tags, 1'b0};
        edit_o.checksum    <= new_checksum;
    end
    wire logic unused = &{1'b0, too_deep, ip4, l3_q};
endmodule
`resetall
