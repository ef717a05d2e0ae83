// SPDX-License-Identifier: Apache-2.0
//
// supply_formal: session_supply gives out a session that nobody holds, and none is lost. Unbounded.
//
// Each session is in one place at any time: never handed out, on its way back, waiting for the
// packets, set aside for the host, or held by somebody.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module supply_formal #(
    parameter int unsigned SESSIONS = 4,
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS)
) (
    input wire logic                    clk,
    input wire logic                    rst,
    input wire logic                    busy,
    input wire logic                    take,
    input wire logic                    host_want,
    input wire logic                    host_take,
    input wire logic                    give_back,
    input wire logic [SESSION_BITS-1:0] back_session
);
    typedef logic [SESSION_BITS-1:0] session_t;
    logic started = 1'b0;
    always_ff @(posedge clk) started <= 1'b1;
    assume property (@(posedge clk) started || rst);

    logic                  any, host_any, any_q;
    session_t              session, host_session, offered_q;
    logic [SESSION_BITS:0] issued;
    session_supply #(.SESSIONS(SESSIONS)) dut (
        .clk, .rst, .busy_i(busy), .session_o(session), .any_o(any), .take_i(take), .host_want_i(host_want), .host_any_o(host_any),
        .host_session_o(host_session), .host_take_i(host_take), .return_i(give_back), .return_session_i(back_session),
        .issued_o(issued));
    // Held by somebody, session by session.
    logic [SESSIONS-1:0] held_q;
    always_ff @(posedge clk) begin
        any_q     <= any;
        offered_q <= session;
        if (take) held_q[offered_q] <= 1'b1;
        if (host_take) held_q[host_session] <= 1'b1;
        if (give_back) held_q[back_session] <= 1'b0;
        if (rst) begin
            held_q <= '0;
            any_q  <= 1'b0;
        end
    end
    assume property (@(posedge clk) !take || any_q);
    assume property (@(posedge clk) !host_take || host_any);
    assume property (@(posedge clk) !give_back || held_q[back_session]);

    // Where each session is.
    logic [SESSION_BITS:0] stored;
    assign stored = dut.u_back.write_reg - dut.u_back.read_reg;
    for (genvar s = 0; s < SESSIONS; s++) begin : gen_session
        logic [3:0]          waits;
        logic [SESSIONS-1:0] returns;
        logic                fresh, at_exit, at_host;
        logic [2:1]          back_q;
        assign fresh   = (SESSION_BITS + 1)'(s) >= dut.issued_q;
        assign at_exit = dut.back && dut.back_session == session_t'(s);
        assign at_host = host_any && host_session == session_t'(s);
        always_comb begin
            for (int i = 0; i < 4; i++) waits[i] = dut.used[i] && dut.queue[i] == session_t'(s);
            for (int i = 0; i < SESSIONS; i++) begin
                session_t distance;
                distance   = session_t'(i) - dut.u_back.read_reg[SESSION_BITS-1:0];
                returns[i] = {1'b0, distance} < stored && dut.u_back.memory[i] == session_t'(s);
            end
        end
        logic [SESSIONS+7:0] places;
        assign places = {fresh, at_exit, at_host, waits, returns, held_q[s]};
        `HG_ASSERT(in_one_place, places != '0 && (places & (places - 1'b1)) == '0)
        `HG_ASSERT(offered_is_free, !any || session != session_t'(s) || !(held_q[s] || at_host))
        always_ff @(posedge clk) back_q <= rst ? '0 : {back_q[1], give_back && back_session == session_t'(s)};
        // Offered three cycles after its return at the earliest; a create takes it up one cycle later.
        `HG_ASSERT(not_before_three, !any || session != session_t'(s) || back_q == '0)
        `HG_ASSERT(first_in_memory, !back_q[1] || |returns)
        `HG_ASSERT(then_at_the_exit, !back_q[2] || |returns || at_exit)
        `HG_ASSERT(host_is_free, !at_host || !held_q[s])
    end
    // Not the session of the create in the cycle before.
    `HG_ASSERT(offered_once, !(any && take) || session != offered_q)
    // What makes the induction close.
    `HG_ASSERT(from_the_bottom, (dut.used & (dut.used + 1'b1)) == '0)
    `HG_ASSERT(offered_is_there, !any_q || (dut.used[0] && offered_q == dut.queue[0]))
    `HG_ASSERT(offer_is_there, !any || (take ? dut.used[1] : dut.used[0]))
    localparam int unsigned COUNT_BITS = SESSION_BITS + 3;
    logic [COUNT_BITS-1:0] all;
    assign all = COUNT_BITS'(stored) + COUNT_BITS'(dut.back) + COUNT_BITS'($countones(dut.used)) + COUNT_BITS'(host_any)
        + COUNT_BITS'($countones(held_q));
    `HG_ASSERT(issued_are_somewhere, all == COUNT_BITS'(dut.issued_q))
    `HG_ASSERT(issued_fits, dut.issued_q <= (SESSION_BITS + 1)'(SESSIONS))
    `HG_ASSERT(stored_fits, stored <= (SESSION_BITS + 1)'(SESSIONS))
endmodule
`resetall
