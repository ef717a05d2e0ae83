// SPDX-License-Identifier: Apache-2.0
//
// timebase: NIC time in nanoseconds, from 0 at the reset.
//
// `increment_i` (nanoseconds per clock, 8.24 fixed point) is added every cycle. The sum is made in two steps, each with a
// short carry chain; both halves of `time_o` belong to the same instant.
`resetall
`default_nettype none
module timebase (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic [31:0] increment_i,
    output logic [63:0]      time_o
);
    logic [55:0] low_q;  // 32.24
    logic        carry_q;
    always_ff @(posedge clk) begin
        if (rst) begin
            low_q   <= '0;
            carry_q <= 1'b0;
            time_o  <= '0;
        end else begin
            {carry_q, low_q} <= {1'b0, low_q} + {25'b0, increment_i};
            time_o[31:0]     <= low_q[55:24];
            time_o[63:32]    <= time_o[63:32] + 32'(carry_q);
        end
    end
endmodule
`resetall
