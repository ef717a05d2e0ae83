// SPDX-License-Identifier: Apache-2.0
//
// parse_l2: Ethernet and up to two VLAN tags.
//
// In       a window per cycle at most, byte 0 on top.
// Out      the same packet from its layer 3 on, and what layer 2 says. `tags_o` is 0..2.
// Latency  2.
`resetall
`default_nettype none
module parse_l2
    import hashgate_pkg::*;
#(
    // Bytes from layer 3 on (bytes beyond the window read zero).
    parameter int unsigned L3_BYTES = WINDOW_BYTES - 14
) (
    input  wire logic                   clk,
    input  wire logic [WINDOW_BITS-1:0] window_i,
    output logic [8*L3_BYTES-1:0]       l3_o,
    output logic [1:0]                  tags_o,
    output logic                        too_deep_o,  // a third tag
    output logic [11:0]                 vlan_o,      // outer VLAN id, 0 if untagged
    output logic                        ip4_o,
    output logic                        ip6_o,
    output logic                        arp_o,
    output logic                        heartbeat_o
);
    typedef struct packed {
        logic tag;
        logic ip4;
        logic ip6;
        logic arp;
        logic heartbeat;
    } kind_t;

    function automatic kind_t kind_of(input logic [15:0] ethertype);
        kind_of.tag       = ethertype == 16'h8100 || ethertype == 16'h88a8;
        kind_of.ip4       = ethertype == 16'h0800;
        kind_of.ip6       = ethertype == 16'h86dd;
        kind_of.arp       = ethertype == 16'h0806;
        kind_of.heartbeat = ethertype == 16'h886f;
    endfunction

    // Cycle 1: the EtherType at each of its three possible places.
    kind_t                  kind_q[3];
    logic [WINDOW_BITS-1:0] window_q;
    always_ff @(posedge clk) begin
        for (int i = 0; i < 3; i++) kind_q[i] <= kind_of(window_i[WINDOW_BITS-1-8*(12+4*i) -: 16]);
        window_q <= window_i;
    end

    // Cycle 2: choose.
    logic [1:0] tags;
    kind_t      kind;
    assign tags = !kind_q[0].tag ? 2'd0 : !kind_q[1].tag ? 2'd1 : 2'd2;
    assign kind = kind_q[tags];
    always_ff @(posedge clk) begin
        tags_o      <= tags;
        too_deep_o  <= kind.tag;
        ip4_o       <= kind.ip4;
        ip6_o       <= kind.ip6;
        arp_o       <= kind.arp;
        heartbeat_o <= kind.heartbeat;
        vlan_o      <= (tags == 2'd0) ? '0 : window_q[WINDOW_BITS-1-8*14-4 -: 12];
        case (tags)
            2'd0:    l3_o <= window_q[WINDOW_BITS-1-8*14:0];
            2'd1:    l3_o <= {window_q[WINDOW_BITS-1-8*18:0], 32'b0};
            default: l3_o <= {window_q[WINDOW_BITS-1-8*22:0], 64'b0};
        endcase
    end
    if (L3_BYTES != WINDOW_BYTES - 14) begin : gen_check
        $fatal(1, "%m: L3_BYTES is the window less the Ethernet header");
    end
    wire logic unused = &{1'b0, window_q[WINDOW_BITS-1 -: 8*14]};
endmodule
`resetall
