// SPDX-License-Identifier: Apache-2.0
//
// parse_l4: TCP, UDP, GRE, ESP, AH, ICMP and ICMPv6 headers.
//
// In       the packet from layer 4 on (byte 0 on top), its protocol and length, and how much of it the window holds. Not
//          meaningful for later fragments and for packets whose extension headers end beyond the window.
// Out      ports, TCP opening, first malformed class, `beyond_o` (the header ends beyond the window).
// Latency  2.
`resetall
`default_nettype none
module parse_l4
    import hashgate_defs_pkg::*;
#(
    parameter int unsigned L4_BYTES = 72
) (
    input  wire logic                  clk,
    input  wire logic [8*L4_BYTES-1:0] l4_i,
    input  wire logic                  v6_i,
    input  wire logic [7:0]            protocol_i,
    input  wire logic [15:0]           length_i,
    input  wire logic                  fits8_i,    // 8 bytes from layer 4 on are in the window
    input  wire logic                  fits14_i,   // 14 bytes are
    input  wire logic                  fragment_i, // first fragment
    output logic                       malformed_o,
    output reason_e                    reason_o,
    output logic                       beyond_o,
    output logic                       tcp_o,
    output logic                       ports_o,    // TCP or UDP
    output logic                       opening_o,
    output logic                       fin_o,
    output logic                       rst_o,
    output logic                       icmp_o,
    output logic                       icmp_error_o,
    output logic                       discovery_o, // type of a neighbour-discovery message
    output logic [15:0]                sport_o,
    output logic [15:0]                dport_o
);
    localparam int unsigned TOP = 8 * L4_BYTES - 1;

    // Cycle 1: every comparison.
    logic        tcp_q, udp_q, icmp_q, icmp_error_q, discovery_q, fits8_q, fits14_q;
    logic        gre_q, ah_q, eight_q, below4_q, below8_q, below12_q, below20_q, bad_offset_q, bad_udp_q, fin_q, syn_q, rst_q, ack_q;
    logic [15:0] sport_q, dport_q;
    logic        gre, esp, ah, tcp, udp, icmp;
    logic [3:0]  data_offset;
    logic [15:0] udp_length;
    logic [7:0]  icmp_type;
    assign tcp         = protocol_i == 8'd6;
    assign udp         = protocol_i == 8'd17;
    assign gre         = protocol_i == 8'd47;
    assign esp         = protocol_i == 8'd50;
    assign ah          = protocol_i == 8'd51;
    assign icmp        = protocol_i == (v6_i ? 8'd58 : 8'd1);
    assign data_offset = l4_i[TOP-8*12 -: 4];
    assign udp_length  = l4_i[TOP-8*4 -: 16];
    assign icmp_type   = l4_i[TOP -: 8];
    always_ff @(posedge clk) begin
        tcp_q   <= tcp;
        udp_q   <= udp;
        icmp_q  <= icmp;
        gre_q   <= gre;
        ah_q    <= ah;
        eight_q <= udp || icmp || esp;
        below4_q     <= length_i < 16'd4;
        below8_q     <= length_i < 16'd8;
        below12_q    <= length_i < 16'd12;
        below20_q    <= length_i < 16'd20;
        fits8_q      <= fits8_i;
        fits14_q     <= fits14_i;
        bad_offset_q <= data_offset < 4'd5 || length_i < {10'b0, data_offset, 2'b0};
        bad_udp_q    <= udp_length < 16'd8 || (!fragment_i && udp_length > length_i);
        fin_q        <= l4_i[TOP-8*13-7];
        syn_q        <= l4_i[TOP-8*13-6];
        rst_q        <= l4_i[TOP-8*13-5];
        ack_q        <= l4_i[TOP-8*13-3];
        sport_q      <= l4_i[TOP -: 16];
        dport_q      <= l4_i[TOP-16 -: 16];
        icmp_error_q <= v6_i ? (icmp_type >= 8'd1 && icmp_type <= 8'd4)
            : (icmp_type == 8'd3 || icmp_type == 8'd11 || icmp_type == 8'd12);
        discovery_q  <= v6_i && icmp_type >= 8'd133 && icmp_type <= 8'd137;
    end

    // Cycle 2: the first that applies.
    logic beyond, too_short;
    assign too_short = (tcp_q && below20_q) || (eight_q && below8_q) || (gre_q && below4_q) || (ah_q && below12_q);
    assign beyond = tcp_q ? !fits14_q : (udp_q || icmp_q) && !fits8_q;
    always_ff @(posedge clk) begin
        malformed_o <= too_short
            || (!beyond && ((tcp_q && (bad_offset_q || (syn_q && (fin_q || rst_q)))) || (udp_q && bad_udp_q)));
        if (too_short) reason_o <= REASON_L4_TRUNCATED;
        else if (udp_q) reason_o <= REASON_UDP_LENGTH;
        else if (bad_offset_q) reason_o <= REASON_TCP_DATA_OFFSET;
        else if (fin_q) reason_o <= REASON_TCP_SYN_FIN;
        else reason_o <= REASON_TCP_SYN_RST;
        beyond_o     <= beyond;
        tcp_o        <= tcp_q;
        ports_o      <= tcp_q || udp_q;
        opening_o    <= syn_q && !ack_q;
        fin_o        <= fin_q;
        rst_o        <= rst_q;
        icmp_o       <= icmp_q;
        icmp_error_o <= icmp_error_q;
        discovery_o  <= discovery_q;
        sport_o      <= sport_q;
        dport_o      <= dport_q;
    end
    wire logic unused = &{1'b0, l4_i};
endmodule
`resetall
