// SPDX-License-Identifier: Apache-2.0
//
// parse_icmp_error: the packet that an ICMP error is about.
//
// In       the packet from layer 4 on as for parse_l4, its place, and the outer destination address.
// Out      `keyed_o`: the embedded header gives a key (docs/dataplane.md, "ICMP errors"); then the key's source address, ports and
//          protocol, already reversed: the embedded destination is the key's source. Its destination is the outer one.
// Latency  3. The caller checks that the packet is an ICMP error.
`resetall
`default_nettype none
module parse_icmp_error #(
    parameter int unsigned L4_BYTES = 72
) (
    input  wire logic                  clk,
    input  wire logic [8*L4_BYTES-1:0] l4_i,
    input  wire logic                  v6_i,
    input  wire logic [127:0]          outer_dst_i,
    input  wire logic [5:0]            place_i,   // place of layer 4 in 32-bit words from layer 3 on, plus VLAN tags; saturates
    input  wire logic [15:0]           length_i,
    output logic                       keyed_o,
    output logic [127:0]               src_o,
    output logic [15:0]                sport_o,
    output logic [15:0]                dport_o,
    output logic [7:0]                 protocol_o
);
    localparam int unsigned TOP = 8 * L4_BYTES - 1;
    localparam int unsigned E = TOP - 8 * 8;  // top bit of the embedded header
    // `place + words to the ports` of the last port word inside the 128-byte window: 14 + 4 place + 8 + 4 words + 4 <= 128.
    localparam logic [6:0] LAST_PLACE = 7'd25;

    // Cycle 1: the fields of both versions; the outer version tells which.
    logic                  version_q, unfragmented_q;
    logic [7:0]            protocol_q;
    logic [3:0]            words_q;  // from the embedded header to its ports
    logic [127:0]          dst_q;
    logic                  v6_q;
    logic                  same4_q;  // embedded source = outer destination
    logic [3:0]            same6_q;  // the same for IPv6, by 32 bits
    logic [8*L4_BYTES-1:0] l4_q;
    logic [5:0]            place_q;
    logic [15:0]           length_q;
    logic                  v6_fragment;
    assign v6_fragment = l4_i[E-8*6 -: 8] == 8'd44;
    always_ff @(posedge clk) begin
        if (v6_i) begin
            version_q      <= l4_i[E -: 4] == 4'd6;
            unfragmented_q <= !v6_fragment || ~|l4_i[E-8*42 -: 13];
            protocol_q     <= v6_fragment ? l4_i[E-8*40 -: 8] : l4_i[E-8*6 -: 8];
            words_q        <= v6_fragment ? 4'd12 : 4'd10;
            dst_q          <= l4_i[E-8*24 -: 128];
        end else begin
            version_q      <= l4_i[E -: 4] == 4'd4 && l4_i[E-4 -: 4] >= 4'd5;
            unfragmented_q <= ~|l4_i[E-8*6-3 -: 13];
            protocol_q     <= l4_i[E-8*9 -: 8];
            words_q        <= l4_i[E-4 -: 4];
            dst_q          <= {96'b0, l4_i[E-8*16 -: 32]};
        end
        for (int i = 0; i < 4; i++) same6_q[i] <= l4_i[E-8*8-32*i -: 32] == outer_dst_i[127-32*i -: 32];
        same4_q  <= l4_i[E-8*12 -: 32] == outer_dst_i[31:0];
        v6_q     <= v6_i;
        l4_q     <= l4_i;
        place_q  <= place_i;
        length_q <= length_i;
    end

    // Cycle 2: ports and checks.
    logic [31:0]  ports;
    logic         ports_q, portless_q, header_q, window_q, inside_q;
    logic [31:0]  ports_at_q;
    logic [127:0] src_q;
    logic [7:0]   key_protocol_q;
    logic [6:0]   place_sum;
    assign place_sum = {1'b0, place_q} + {3'b0, words_q};
    always_comb begin
        ports = '0;
        for (int i = 5; i <= 15; i++) if (words_q == 4'(i)) ports = l4_q[E-32*i -: 32];
    end
    always_ff @(posedge clk) begin
        header_q       <= version_q && unfragmented_q && (v6_q ? &same6_q : same4_q);
        ports_q        <= protocol_q == 8'd6 || protocol_q == 8'd17;
        portless_q     <= protocol_q == 8'd47 || protocol_q == 8'd50 || protocol_q == 8'd51;
        window_q       <= place_sum <= LAST_PLACE;
        inside_q       <= length_q >= {10'b0, words_q, 2'b0} + 16'd12;
        ports_at_q     <= ports;
        src_q          <= dst_q;
        key_protocol_q <= protocol_q;
    end

    // Cycle 3.
    always_ff @(posedge clk) begin
        keyed_o    <= header_q && (ports_q || portless_q) && window_q && inside_q;
        src_o      <= src_q;
        sport_o    <= ports_q ? ports_at_q[15:0] : '0;
        dport_o    <= ports_q ? ports_at_q[31:16] : '0;
        protocol_o <= key_protocol_q;
    end
    wire logic unused = &{1'b0, l4_i, l4_q};
endmodule
`resetall
