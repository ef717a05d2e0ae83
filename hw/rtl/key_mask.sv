// SPDX-License-Identifier: Apache-2.0
//
// key_mask: the fields of a key that a rule's bucket mask keeps, packed for the hash.
//
// In       a key and the mask fields of its rule.
// Out      the message of the Toeplitz hash, first bit on top: source, destination, source port, destination port; 12 bytes for IPv4
//          (then zeros, which do not change the hash), 36 for IPv6.
// Latency  MASK_LATENCY.
`resetall
`default_nettype none
module key_mask
    import hashgate_pkg::*;
(
    input  wire logic        clk,
    input  wire key_t        key_i,
    input  wire logic [5:0]  src4_i,   // bits of an IPv4 source that stay, 0..32
    input  wire logic [7:0]  src6_i,   // bits of an IPv6 source, 0..128
    input  wire logic        dst_i,
    input  wire logic        sport_i,
    input  wire logic        dport_i,
    output logic [287:0]     message_o
);
    logic [127:0] src, dst;
    logic [15:0]  sport, dport;
    always_comb begin
        for (int i = 0; i < 128; i++) src[127-i] = key_i.src[127-i] && src6_i > 8'(i);
        if (!key_i.v6) for (int i = 0; i < 32; i++) src[31-i] = key_i.src[31-i] && src4_i > 6'(i);
        dst   = dst_i ? key_i.dst : '0;
        sport = sport_i ? key_i.sport : '0;
        dport = dport_i ? key_i.dport : '0;
    end
    always_ff @(posedge clk)
        message_o <= key_i.v6 ? {src, dst, sport, dport} : {src[31:0], dst[31:0], sport, dport, 192'b0};
    wire logic unused = &{1'b0, key_i.protocol};
endmodule
`resetall
