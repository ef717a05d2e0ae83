// SPDX-License-Identifier: Apache-2.0
//
// ip4_checksum: is the checksum of an IPv4 header right?
//
// In       the packet from layer 3 on (byte 0 on top); the header has IHL words.
// Out      `ok_o`: the one's complement sum of the header's 16-bit words is 0xffff (RFC 791).
// Latency  9: words masked, five levels of adders, two folds, compare.
`resetall
`default_nettype none
module ip4_checksum #(
    parameter int unsigned L3_BYTES = 114
) (
    input  wire logic                  clk,
    input  wire logic [8*L3_BYTES-1:0] l3_i,
    output logic                       ok_o
);
    localparam int unsigned TOP = 8 * L3_BYTES - 1;

    logic [3:0] ihl;
    assign ihl = l3_i[TOP-4 -: 4];

    // The 32 slots of 16-bit words, 30 of them in a header of 60 bytes.
    logic [15:0] word[32];
    always_ff @(posedge clk)
        for (int i = 0; i < 32; i++)
            word[i] <= (i < 30 && 4'(i / 2) < ihl) ? l3_i[TOP-16*i -: 16] : '0;

    logic [16:0] sum2[16];
    logic [17:0] sum4[8];
    logic [18:0] sum8[4];
    logic [19:0] sum16[2];
    logic [20:0] sum32;
    logic [16:0] fold;
    logic [15:0] folded;
    always_ff @(posedge clk) begin
        for (int i = 0; i < 16; i++) sum2[i] <= {1'b0, word[2*i]} + {1'b0, word[2*i+1]};
        for (int i = 0; i < 8; i++) sum4[i] <= {1'b0, sum2[2*i]} + {1'b0, sum2[2*i+1]};
        for (int i = 0; i < 4; i++) sum8[i] <= {1'b0, sum4[2*i]} + {1'b0, sum4[2*i+1]};
        for (int i = 0; i < 2; i++) sum16[i] <= {1'b0, sum8[2*i]} + {1'b0, sum8[2*i+1]};
        sum32  <= {1'b0, sum16[0]} + {1'b0, sum16[1]};
        fold   <= {1'b0, sum32[15:0]} + {12'b0, sum32[20:16]};
        folded <= fold[15:0] + {15'b0, fold[16]};
        ok_o   <= &folded;
    end
    wire logic unused = &{1'b0, l3_i};
endmodule
`resetall
