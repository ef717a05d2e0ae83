// SPDX-License-Identifier: Apache-2.0
//
// session_supply: the sessions that are free.
//
// Packets   `session_o` is the one that a CREATE of this cycle gets, if `any_o`; `take_i`, in the cycle after it, uses it up. `any_o` is
//           registered and may be low while one session is left.
// Host      while `host_want_i` a session is set aside for the host; it stays set aside until `host_take_i`.
// Return    one a cycle; it is handed out again four cycles later at the earliest.
// Order     returned sessions first, in order of return; then those never handed out, counting up. `issued_o`: sessions from here on
//           were never handed out.
// Misuse    return of a session that is free, `take_i` without `any_o` in the cycle before.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module session_supply #(
    // Sessions, a power of two.
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
    localparam int unsigned QUEUE = 4;
    typedef logic [SESSION_BITS-1:0] session_t;

    logic     back, back_take, full_unused;
    session_t back_session;
    stream_fifo #(.WIDTH(SESSION_BITS), .DEPTH(SESSIONS)) u_back (
        .clk, .rst, .in_valid_i(return_i), .in_data_i(return_session_i), .full_o(full_unused),
        .out_valid_o(back), .out_ready_i(back_take), .out_data_o(back_session));

    // One a cycle comes out of here, into the queue of the packets or the register of the host.
    logic     source, fresh, to_queue, to_host, want_q;
    session_t supplied;
    logic [SESSION_BITS:0] issued_q;
    session_t         queue[QUEUE];
    logic [QUEUE-1:0] used;  // from the bottom
    assign fresh     = !issued_q[SESSION_BITS];
    assign source    = (back || fresh) && !busy_i;
    assign supplied  = back ? back_session : issued_q[SESSION_BITS-1:0];
    assign to_host   = source && want_q && !host_any_o && used[2];
    assign to_queue  = source && !to_host && !used[QUEUE-1];
    assign back_take = (to_host || to_queue) && back;
    assign session_o = take_i ? queue[1] : queue[0];
    assign issued_o  = issued_q;

    logic [QUEUE-1:0] kept;
    assign kept = take_i ? used >> 1 : used;
    always_ff @(posedge clk) begin
        for (int i = 0; i < QUEUE; i++) begin
            if (take_i && i + 1 < QUEUE) queue[i] <= queue[(i + 1) % QUEUE];
            if (to_queue && !kept[i] && (i == 0 || kept[(i + QUEUE - 1) % QUEUE])) queue[i] <= supplied;
        end
        used <= to_queue ? {kept[QUEUE-2:0], 1'b1} : kept;
        // One for the create that may be going on, one for that of the next cycle.
        any_o  <= kept[1] || (kept[0] && to_queue);
        want_q <= host_want_i;
        if (to_host) begin
            host_any_o     <= 1'b1;
            host_session_o <= supplied;
        end else if (host_take_i) begin
            host_any_o <= 1'b0;
        end
        if ((to_host || to_queue) && !back) issued_q <= issued_q + 1'b1;
        if (rst) begin
            used       <= '0;
            any_o      <= 1'b0;
            host_any_o <= 1'b0;
            issued_q   <= '0;
        end
    end
    wire logic unused = full_unused;
    `HG_ASSERT(taken_from_some, !take_i || used[0])
    `HG_ASSERT(host_taken_from_some, !host_take_i || host_any_o)
endmodule
`resetall
