// SPDX-License-Identifier: Apache-2.0
//
// fragment_stage: the place where later fragments get the ports of their first fragment.
//
// In/out   a parsed packet a cycle. There is no fragment table yet: every later fragment leaves as it came, its ports unknown.
// Latency  FRAGMENT_LATENCY: hash, memory read, compare and replace.
`resetall
`default_nettype none
module fragment_stage
    import hashgate_pkg::*;
(
    input  wire logic    clk,
    input  wire parsed_t parsed_i,
    output parsed_t      parsed_o
);
    delay #(.WIDTH($bits(parsed_t)), .CYCLES(FRAGMENT_LATENCY)) u_delay (.clk, .value_i(parsed_i), .value_o(parsed_o));
endmodule
`resetall
