// SPDX-License-Identifier: Apache-2.0
//
// delay: a value, CYCLES cycles later. CYCLES = 0 is a wire. Not reset: whatever says that the value is valid is.
`resetall
`default_nettype none
module delay #(
    // Bits of the value.
    parameter int unsigned WIDTH = 1,
    // Cycles.
    parameter int unsigned CYCLES = 1
) (
    input  wire logic             clk,
    input  wire logic [WIDTH-1:0] value_i,
    output wire logic [WIDTH-1:0] value_o
);
    if (CYCLES == 0) begin : gen_wire
        assign value_o = value_i;
        wire logic unused = clk;
    end else begin : gen_shift
        logic [WIDTH-1:0] stage[CYCLES];
        always_ff @(posedge clk) begin
            stage[0] <= value_i;
            for (int i = 1; i < CYCLES; i++) stage[i] <= stage[i-1];
        end
        assign value_o = stage[CYCLES-1];
    end
endmodule
`resetall
