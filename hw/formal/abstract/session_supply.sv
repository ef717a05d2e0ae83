// SPDX-License-Identifier: Apache-2.0
//
// session_supply, for proofs of the table: any session that is free, or none though some are. That the real one gives out
// free sessions only, three cycles after their return or later, is proven by supply_formal. Which sessions are free after the reset is for the harness to say.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module session_supply #(
    parameter int unsigned SESSIONS = 65536
) (
    input  wire logic                        clk,
    input  wire logic                        rst,
    input  wire logic                        busy_i,
    output logic [$clog2(SESSIONS)-1:0]      session_o,
    output logic                             any_o,
    input  wire logic                        take_i,
    input  wire logic                        host_want_i,
    output logic                             host_any_o,
    output logic [$clog2(SESSIONS)-1:0]      host_session_o,
    input  wire logic                        host_take_i,
    input  wire logic                        return_i,
    input  wire logic [$clog2(SESSIONS)-1:0] return_session_i,
    output logic [$clog2(SESSIONS):0]        issued_o
);
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS);
    // Nobody drives these: any value in any cycle.
    wire logic                    some, host_some;
    wire logic [SESSION_BITS-1:0] choice, host_choice;

    logic [SESSIONS-1:0]     free_q, way_back;
    logic                    any_q, want_q, to_host;
    logic [SESSION_BITS-1:0] last_q;
    logic [2:1]              back_q;
    logic [SESSION_BITS-1:0] back_session_q[1:2];
    assign issued_o  = (SESSION_BITS + 1)'(SESSIONS);
    assign session_o = choice;
    assign any_o     = some && !busy_i;
    assign to_host   = host_some && want_q && !host_any_o && !busy_i;
    always_comb begin
        way_back = '0;
        for (int i = 1; i <= 2; i++) if (back_q[i]) way_back[back_session_q[i]] = 1'b1;
    end
    always_ff @(posedge clk) begin
        last_q <= choice;
        any_q  <= any_o;
        want_q <= host_want_i;
        back_q <= {back_q[1], return_i};
        back_session_q[1] <= return_session_i;
        back_session_q[2] <= back_session_q[1];
        if (back_q[2]) free_q[back_session_q[2]] <= 1'b1;
        if (take_i) free_q[last_q] <= 1'b0;
        if (to_host) begin
            free_q[host_choice] <= 1'b0;
            host_session_o      <= host_choice;
            host_any_o          <= 1'b1;
        end else if (host_take_i) begin
            host_any_o <= 1'b0;
        end
        if (rst) begin
            back_q     <= '0;
            host_any_o <= 1'b0;
        end
    end
    assume property (@(posedge clk) disable iff (rst) !any_o || (free_q[choice] && !(take_i && choice == last_q)));
    assume property (@(posedge clk) disable iff (rst)
        !to_host || (free_q[host_choice] && !(take_i && host_choice == last_q) && !(any_o && host_choice == choice)));
    `HG_ASSERT(taken_from_some, !take_i || any_q)
    `HG_ASSERT(host_taken_from_some, !host_take_i || host_any_o)
    `HG_ASSERT(return_of_used, !return_i || !(free_q[return_session_i] || way_back[return_session_i]
        || (host_any_o && host_session_o == return_session_i)))
endmodule
`resetall
