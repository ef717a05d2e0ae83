// SPDX-License-Identifier: Apache-2.0
//
// hashgate_assert: the assertion macros of every module.
//
// A module that uses them has a clock `clk` and a synchronous reset `rst`, both active high. The macros end with their
// own semicolon and expand to nothing in synthesis (`SYNTHESIS`), unless it is the synthesis of a proof (`FORMAL`; the open
// front end defines both). Properties hold one boolean expression and no
// sequence operators, so that simulators and open formal front ends read the same source; write `a implies b` as
// `!a || b`.
//
// HG_ASSERT(name, expr)                  `expr` is true in every cycle outside reset.
// HG_ASSERT_STABLE(name, held, value)    if `held` was true one cycle ago, `value` is what it was then.
`ifndef HASHGATE_ASSERT_SVH
`define HASHGATE_ASSERT_SVH

`ifdef SYNTHESIS
`ifndef FORMAL
`define HASHGATE_NO_ASSERT
`endif
`endif

`ifdef HASHGATE_NO_ASSERT

`define HG_ASSERT(name, expr)
`define HG_ASSERT_STABLE(name, held, value)

`else

`define HG_ASSERT(name, expr) \
    name : assert property (@(posedge clk) disable iff (rst) (expr));

`define HG_ASSERT_STABLE(name, held, value) \
    always_ff @(posedge clk) begin : name``_block \
        if (!rst && !$past(rst) && $past(held)) begin \
            name : assert ($stable(value)); \
        end \
    end

`endif

`endif
