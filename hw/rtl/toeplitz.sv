// SPDX-License-Identifier: Apache-2.0
//
// toeplitz: the hash of receive-side scaling, low OUT_BITS bits of its 32.
//
// In       a message, first bit on top, and the key, first bit on top (quasi-static or constant).
// Out      bit b = XOR over i of message bit i AND key bit i + 31 - b, bits counted from the first.
// Latency  HASH_LATENCY: partial sums over 32 message bits, their sum.
`resetall
`default_nettype none
module toeplitz #(
    // Bits of the message.
    parameter int unsigned IN_BITS = 288,
    // Bits of the hash.
    parameter int unsigned OUT_BITS = 12
) (
    input  wire logic                clk,
    input  wire logic [IN_BITS-1:0]  message_i,
    input  wire logic [415:0]        key_i,
    output logic [OUT_BITS-1:0]      hash_o
);
    localparam int unsigned GROUP = 32;
    localparam int unsigned GROUPS = (IN_BITS + GROUP - 1) / GROUP;
    localparam int unsigned PADDED = GROUPS * GROUP;

    logic [PADDED-1:0] message;
    assign message = PADDED'(message_i) << (PADDED - IN_BITS);

    logic [OUT_BITS-1:0][GROUPS-1:0] partial;
    always_ff @(posedge clk) begin
        for (int b = 0; b < OUT_BITS; b++) begin
            for (int g = 0; g < GROUPS; g++)
                partial[b][g] <= ^(message[PADDED-1-GROUP*g -: GROUP] & key_i[415-31+b-GROUP*g -: GROUP]);
            hash_o[b] <= ^partial[b];
        end
    end
    if (PADDED + 31 > 416) begin : gen_check
        $fatal(1, "%m: the key has 416 bits, too few for a message of %0d", IN_BITS);
    end
    wire logic unused = &{1'b0, key_i};
endmodule
`resetall
