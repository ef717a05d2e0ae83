// SPDX-License-Identifier: Apache-2.0
//
// binding_sweep: takes dead bindings out, and undoes creations.
//
// Sweep    walks the sessions that were ever handed out, four a cycle as far as the records' port is free. One that is used and dead
//          becomes a candidate (four times 16 at most); a REMOVE step decides again. A step that was refused is tried again, one that found the
//          row busy or the key on the move waits for the next round.
//          It can be watched, and waits while `hold_i`.
// Undo     a request waits in a FIFO of 16 (`undo_lost_o` if it is full). The step is tried until the record is gone or not fresh
//          any more, 255 times at most (then `undo_lost_o`).
// Share    undo and sweep take turns.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module binding_sweep
    import binding_pkg::*;
#(
    // Sessions.
    parameter int unsigned SESSIONS = 65536,
    // Bits of a row.
    parameter int unsigned ROW_BITS = 14
) (
    input  wire logic                           clk,
    input  wire logic                           rst,
    input  wire logic [15:0]                    fast_now_i,
    input  wire logic [15:0]                    slow_now_i,
    input  wire logic [$clog2(SESSIONS):0]      issued_i,
    // undo
    input  wire logic                           undo_valid_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    undo_session_i,
    input  wire logic [ROW_BITS-1:0]            undo_row_i,
    output logic                                undo_lost_o,
    // walk
    input  wire logic                           hold_i,
    output binding_walk_t                       walk_o,
    output logic                                scan_o,
    input  wire logic                           scan_take_i,
    output logic [$clog2(SESSIONS)-1:0]         scan_session_o,
    input  wire logic                           scan_valid_i,   // of this walk
    input  wire logic [3:0][BINDING_RECORD_BITS+1:0] scan_records_i,  // of four sessions
    // steps
    output logic                                request_o,
    input  wire logic                           take_i,
    output source_e                             source_o,
    output logic [$clog2(SESSIONS)-1:0]         session_o,
    output logic [ROW_BITS-1:0]                 row_o,
    input  wire logic                           result_i,       // of a step of a sweep or an undo
    input  wire source_e                        result_source_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    result_asked_i,
    input  wire logic                           result_refused_i,
    input  wire logic                           result_match_i,
    input  wire logic                           result_near_i,
    input  wire logic                           result_done_i,
    input  wire logic                           result_own_i,    // the row asked for is that of a key of the session
    input  wire logic                           result_fresh_i   // and not FREE
);
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS);
    typedef logic [SESSION_BITS-1:0] session_t;

    // ---- walk ------------------------------------------------------------------------------------------------------------
    localparam int unsigned CANDIDATES = 16;
    localparam int unsigned SLACK = 12;  // results on the way: three reads, eight steps and one of two keys
    typedef logic [SESSION_BITS-3:0] four_t;
    typedef struct packed {
        four_t      four;
        logic [3:0] dead;
    } candidates_t;
    four_t      walk_q, walk_1, walk_2, walk_3;
    logic [3:0] dead_3;
    logic       again, push, pop, few, candidate, candidate_take, last_q;
    assign scan_o         = few && issued_i != '0 && !hold_i;
    assign scan_session_o = {walk_q, 2'd0};
    assign again          = result_i && result_source_i == BY_SWEEP && result_refused_i;

    candidates_t memory[CANDIDATES];
    candidates_t head_q;  // of which one after the other goes
    logic [4:0]  used_q;
    logic [3:0]  read_q, write_q, head_first;
    session_t    candidate_session;
    assign push              = again || |dead_3;
    assign head_first        = head_q.dead & (~head_q.dead + 4'd1);
    assign candidate         = head_q.dead != '0;
    assign candidate_session = {head_q.four, head_first[3] | head_first[2], head_first[3] | head_first[1]};
    assign pop               = used_q != '0 && (head_q.dead == '0 || (candidate_take && head_q.dead == head_first));
    assign few               = used_q <= 5'(CANDIDATES - SLACK);
    binding_record_t record[4];
    for (genvar i = 0; i < 4; i++) begin : gen_record
        assign record[i] = scan_records_i[i][BINDING_RECORD_BITS-1:0];
        wire logic unused = &{1'b0, record[i]};
    end
    always_ff @(posedge clk) begin
        last_q <= (SESSION_BITS + 1)'({walk_q, 2'd0}) + (SESSION_BITS + 1)'(4) >= issued_i;
        // `last_q` may be of the four before: then the walk is one longer.
        if (scan_take_i) walk_q <= last_q ? '0 : walk_q + 1'b1;
        walk_1 <= walk_q;
        walk_2 <= walk_1;
        walk_3 <= walk_2;
        walk_o.valid <= scan_valid_i;
        // A record with wrong parity is used and dead.
        for (int i = 0; i < 4; i++) begin
            walk_o.live[i]   <= ^scan_records_i[i] == 1'b0 && scan_records_i[i][BINDING_RECORD_BITS]
                && binding_live(record[i].state, record[i].expires, fast_now_i, slow_now_i);
            walk_o.rule[i]   <= record[i].rule;
            walk_o.bucket[i] <= record[i].bucket;
            dead_3[i] <= scan_valid_i && ((^scan_records_i[i])
                || (scan_records_i[i][BINDING_RECORD_BITS] && !binding_live(record[i].state, record[i].expires, fast_now_i, slow_now_i)));
        end
        if (push) begin
            memory[write_q] <= again ? '{four: result_asked_i[SESSION_BITS-1:2], dead: 4'd1 << result_asked_i[1:0]}
                : '{four: walk_3, dead: dead_3};
            write_q         <= write_q + 1'b1;
        end
        if (candidate_take) head_q.dead <= head_q.dead & ~head_first;
        if (pop) begin
            head_q <= memory[read_q];
            read_q <= read_q + 1'b1;
        end
        used_q <= used_q + 5'(push) - 5'(pop);
        if (rst) begin
            walk_q      <= '0;
            dead_3      <= '0;
            walk_o.valid <= 1'b0;
            used_q      <= '0;
            read_q      <= '0;
            write_q     <= '0;
            head_q.dead <= '0;
        end
    end

    assign walk_o.empty = issued_i == '0;
    assign walk_o.take  = scan_take_i;
    assign walk_o.first = walk_3 == '0;

    // ---- undo --------------------------------------------------------------------------------------------------------------
    typedef struct packed {
        session_t            session;
        logic [ROW_BITS-1:0] row;
    } undo_t;
    logic       undo_full, undo_any, undo_end, undo_out_q;  // out: a step is on its way
    undo_t      undo;
    logic [7:0] tries_q;
    stream_fifo #(.WIDTH($bits(undo_t)), .DEPTH(16), .RESERVE(1)) u_undo (
        .clk, .rst, .in_valid_i(undo_valid_i && !undo_full), .in_data_i({undo_session_i, undo_row_i}), .full_o(undo_full),
        .out_valid_o(undo_any), .out_ready_i(undo_end), .out_data_o(undo));
    logic undo_result, undo_over, undo_request, undo_turn_q, last_try_q;
    always_ff @(posedge clk) begin
        undo_result <= result_i && result_source_i == BY_UNDO;
        undo_over   <= result_done_i
            || (result_match_i && !result_refused_i && ((!result_near_i && !result_fresh_i) || !result_own_i));
        if (rst) undo_result <= 1'b0;
    end
    assign undo_end     = undo_result && (undo_over || last_try_q);
    assign undo_request = undo_any && !undo_out_q;
    always_ff @(posedge clk) begin
        undo_lost_o <= (undo_valid_i && undo_full) || (undo_result && !undo_over && last_try_q);
        last_try_q  <= tries_q == '1;
        if (undo_result) begin
            undo_out_q <= 1'b0;
            tries_q    <= undo_end ? '0 : tries_q + 1'b1;
        end
        if (take_i && source_o == BY_UNDO) undo_out_q <= 1'b1;
        if (take_i) undo_turn_q <= source_o == BY_SWEEP;
        if (rst) begin
            undo_lost_o <= 1'b0;
            undo_out_q  <= 1'b0;
            tries_q     <= '0;
            undo_turn_q <= 1'b0;
        end
    end

    // ---- steps ---------------------------------------------------------------------------------------------------------------
    assign source_o       = (undo_request && (undo_turn_q || !candidate)) ? BY_UNDO : BY_SWEEP;
    assign request_o      = undo_request || candidate;
    assign session_o      = (source_o == BY_UNDO) ? undo.session : candidate_session;
    assign row_o          = undo.row;
    assign candidate_take = take_i && source_o == BY_SWEEP;

    // The records of the others say that they are not used, from the reset on.
    `HG_ASSERT(handed_out, !candidate || {1'b0, candidate_session} < issued_i)
endmodule
`resetall
