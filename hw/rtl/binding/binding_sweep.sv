// SPDX-License-Identifier: Apache-2.0
//
// binding_sweep: takes dead bindings out, and undoes creations.
//
// Sweep    walks the sessions that were ever handed out, one a cycle as far as the records' port is free. One that is used and dead
//          becomes a candidate (16 at most); a REMOVE step decides again. A step that was refused is tried again, one that found the
//          row busy or the key on the move waits for the next round.
// Undo     a request waits in a FIFO of 16 (`undo_lost_o` if it is full). The step is tried until the record is gone or not fresh
//          any more, 255 times at most (then `undo_lost_o`).
// Share    undo and sweep take turns.
`resetall
`default_nettype none
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
    output logic                                scan_o,
    input  wire logic                           scan_take_i,
    output logic [$clog2(SESSIONS)-1:0]         scan_session_o,
    input  wire logic                           scan_valid_i,   // of this walk
    input  wire logic [BINDING_RECORD_BITS+1:0] scan_record_i,
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
    input  wire logic [ROW_BITS-1:0]            result_row_i,
    input  wire logic                           result_fresh_i   // and not FREE
);
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS);
    typedef logic [SESSION_BITS-1:0] session_t;

    // ---- walk ------------------------------------------------------------------------------------------------------------
    localparam int unsigned CANDIDATES = 16;
    localparam int unsigned SLACK = 12;  // results on the way: three reads, eight steps
    session_t walk_q, walk_1, walk_2, walk_3;
    logic     dead_3, candidate, candidate_take, few;
    session_t candidate_session;
    binding_record_t record;
    logic     again;
    assign record         = scan_record_i[BINDING_RECORD_BITS-1:0];
    assign scan_o         = few && issued_i != '0;
    assign scan_session_o = walk_q;
    assign again          = result_i && result_source_i == BY_SWEEP && result_refused_i;

    session_t   memory[CANDIDATES];
    logic [4:0] used_q;
    logic [3:0] read_q, write_q;
    logic       push;
    assign push              = again || dead_3;
    assign candidate         = used_q != '0;
    assign candidate_session = memory[read_q];
    assign few               = used_q <= 5'(CANDIDATES - SLACK);
    always_ff @(posedge clk) begin
        if (scan_take_i) walk_q <= ((SESSION_BITS + 1)'(walk_q) + 1'b1 >= issued_i) ? '0 : walk_q + 1'b1;
        walk_1 <= walk_q;
        walk_2 <= walk_1;
        walk_3 <= walk_2;
        // A record with wrong parity is used and dead.
        dead_3 <= scan_valid_i && ((^scan_record_i)
            || (scan_record_i[BINDING_RECORD_BITS] && !binding_live(record.state, record.expires, fast_now_i, slow_now_i)));
        if (push) begin
            memory[write_q] <= again ? result_asked_i : walk_3;
            write_q         <= write_q + 1'b1;
        end
        if (candidate_take) read_q <= read_q + 1'b1;
        used_q <= used_q + 5'(push) - 5'(candidate_take);
        if (rst) begin
            walk_q  <= '0;
            dead_3  <= 1'b0;
            used_q  <= '0;
            read_q  <= '0;
            write_q <= '0;
        end
    end

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
            || (result_match_i && !result_refused_i && ((!result_near_i && !result_fresh_i) || result_row_i != undo.row));
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
    wire logic unused = &{1'b0, record};
endmodule
`resetall
