// SPDX-License-Identifier: Apache-2.0
//
// host_tx_checksum: an internet checksum after a MAC address in the data became the cluster MAC.
//
// In       the checksum and the address as they were; `cluster_mac_i` hardly ever changes.
// Out      HC' = ~(~HC + ~m + m') of RFC 1624, for the three words of the address at once, in one's complement.
// Latency  CHECKSUM_LATENCY, one a cycle.
`resetall
`default_nettype none
module host_tx_checksum
    import hashgate_pkg::*;
(
    input  wire logic        clk,
    input  wire mac_t        cluster_mac_i,
    input  wire logic [15:0] checksum_i,
    input  wire mac_t        address_i,
    output logic [15:0]      checksum_o
);
    // The words of the new address, added up; carries stay on top until the end. A one's-complement sum may be folded
    // at any time and in any order: it is 0 only if all numbers are 0, else the ordinary sum modulo 0xffff in
    // 1..0xffff.
    logic [16:0] new_pair_reg;
    logic [17:0] new_reg;
    always_ff @(posedge clk) begin
        new_pair_reg <= {1'b0, cluster_mac_i[47:32]} + {1'b0, cluster_mac_i[31:16]};
        new_reg      <= {1'b0, new_pair_reg} + {2'b0, cluster_mac_i[15:0]};
    end

    logic [16:0] sum1_reg, sum2_reg;  // ~HC + ~m0, ~m1 + ~m2
    logic [17:0] sum3_reg;            // both
    logic [18:0] sum4_reg;            // and m'
    logic [16:0] sum5_reg;            // folded once
    always_ff @(posedge clk) begin
        sum1_reg   <= {1'b0, ~checksum_i} + {1'b0, ~address_i[47:32]};
        sum2_reg   <= {1'b0, ~address_i[31:16]} + {1'b0, ~address_i[15:0]};
        sum3_reg   <= {1'b0, sum1_reg} + {1'b0, sum2_reg};
        sum4_reg   <= {1'b0, sum3_reg} + {1'b0, new_reg};
        sum5_reg   <= {1'b0, sum4_reg[15:0]} + {14'b0, sum4_reg[18:16]};
        checksum_o <= ~(sum5_reg[15:0] + {15'b0, sum5_reg[16]});
    end
endmodule
`resetall
