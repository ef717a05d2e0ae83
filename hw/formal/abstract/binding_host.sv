// SPDX-License-Identifier: Apache-2.0
//
// binding_host, for proofs of the table: asks for any step at any time, and writes a record when the real one could: the
// packets of the row have been through for 20 cycles, nobody else has removed a session in that time (`hold_o`), and there
// is room. After a second key it asks for PAIR, and nothing else until that is done. The harness assumes that the walk before was right: a
// new key is not in the table, an old one has that session, and a session that gets a second key has none.
// The real host's walk is not proven; sim/table tests it.
`resetall
`default_nettype none
module binding_host
    import binding_pkg::*;
#(
    parameter int unsigned SESSIONS = 65536,
    parameter int unsigned ROW_BITS = 14,
    parameter int unsigned STASH = 32
) (
    input  wire logic                           clk,
    input  wire logic                           rst,
    input  wire logic                           busy_i,
    input  wire logic [15:0]                    fast_now_i,
    input  wire logic [15:0]                    slow_now_i,
    input  wire logic [$clog2(SESSIONS):0]      issued_i,
    input  wire logic                           req_i,
    input  wire binding_host_e                  op_i,
    input  wire binding_key_t                   key_i,
    input  wire binding_record_t                record_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    session_i,
    output logic                                done_o,
    output logic                                ok_o,
    output logic                                busy_o,
    output logic                                full_o,
    output logic                                present_o,
    output logic                                ended_o,
    output logic                                two_o,
    output logic [$clog2(SESSIONS)-1:0]         session_o,
    output binding_record_t                     record_o,
    output binding_key_t                        key_o,
    input  wire logic                           row_valid_1_i,
    input  wire logic [ROW_BITS-1:0]            row_1_i,
    input  wire logic                           swap_i,
    input  wire logic [3:0][ROW_BITS-1:0]       swap_rows_i,
    input  wire logic [STASH-1:0]               stash_valid_i,
    output logic                                scan_o,
    input  wire logic                           scan_take_i,
    output logic [$clog2(SESSIONS)-1:0]         scan_session_o,
    input  wire logic                           scan_valid_i,
    input  wire logic [BINDING_RECORD_BITS+1:0] scan_record_i,
    input  wire logic                           report_room_i,  // for the event of a removal
    output logic                                request_o,
    input  wire logic                           take_i,
    output step_e                               step_o,
    output logic                                where_o,
    output logic                                second_o,
    output logic [1:0]                          way_o,
    output logic [ROW_BITS-1:0]                 row_o,
    output logic [$clog2(SESSIONS)-1:0]         step_session_o,
    output logic [$clog2(STASH)-1:0]            entry_o,
    output binding_key_t                        hash_key_o,
    input  wire logic                           result_i,       // of a step of the host
    input  wire logic                           result_refused_i,
    input  wire logic                           result_valid_i,
    input  wire logic                           result_match_i,
    input  wire logic                           result_same_i,
    input  wire logic                           result_paired_i,
    input  wire logic                           result_done_i,
    input  wire logic                           result_live_i,
    input  wire logic                           result_used_i,
    input  wire binding_key_t                   result_key_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    result_session_i,
    input  wire binding_record_t                result_record_i,
    input  wire logic [3:0][ROW_BITS-1:0]       result_rows_i,
    output logic                                hold_o,
    input  wire logic                           removed_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    removed_session_i,
    input  wire logic                           room_i,         // an entry of the stash, and a session
    output logic                                want_o,
    output logic                                write_o,
    output logic                                write_new_o,
    output logic                                write_second_o,
    output logic                                write_renewed_o,
    output logic [$clog2(SESSIONS)-1:0]         write_session_o,
    output logic [3:0][ROW_BITS-1:0]            write_rows_o,
    input  wire logic                           supply_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    supply_session_i,
    input  wire logic                           wrote_i
);
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS);
    localparam int unsigned QUIET = 20;
    logic pair_left_q;  // PAIR is not answered
    // Nobody drives these: any value in any cycle.
    wire logic                    request, where, ask_second, go, fresh, add, want, hold, scan;
    wire step_e                   step;
    wire logic [1:0]              way;
    wire logic [ROW_BITS-1:0]     row;
    wire logic [SESSION_BITS-1:0] step_session, found, scan_session;
    wire logic [$clog2(STASH)-1:0] entry;

    logic [4:0] quiet_q, hold_q;
    logic       hold_reg, go_q, fresh_q, add_q, pair_q, near_1;
    logic [3:0] steps_q;  // taken and not answered
    logic [SESSION_BITS-1:0] pair_session_q;
    logic [3:0][ROW_BITS-1:0] rows;
    assign near_1 = row_valid_1_i && row_1_i == rows[0];
    always_ff @(posedge clk) begin
        hold_reg <= hold || (wrote_i && add_q) || pair_q || (pair_left_q && steps_q != '0);
        fresh_q  <= fresh && !add;
        add_q    <= add;
        steps_q  <= steps_q + 4'(take_i) - 4'(result_i);
        if (wrote_i && add_q) begin
            pair_q         <= 1'b1;
            pair_left_q    <= 1'b1;
            pair_session_q <= write_session_o;
        end else if (pair_q && take_i) begin
            pair_q <= 1'b0;
        end else if (steps_q == '0) begin
            pair_left_q <= pair_q;
        end
        quiet_q  <= near_1 ? '0 : (quiet_q == 5'(QUIET)) ? quiet_q : quiet_q + 1'b1;
        hold_q   <= !hold_reg ? '0 : (hold_q == 5'(QUIET)) ? hold_q : hold_q + 1'b1;
        go_q     <= go && quiet_q == 5'(QUIET) && hold_q == 5'(QUIET) && !near_1 && !wrote_i && !pair_q && !pair_left_q
                    && (add ? room_i : !fresh || (supply_i && room_i));
        if (rst) begin
            // Nothing has happened for long.
            hold_reg <= 1'b1;
            quiet_q  <= 5'(QUIET);
            hold_q   <= 5'(QUIET);
            go_q     <= 1'b0;
            add_q    <= 1'b0;
            pair_q   <= 1'b0;
            pair_left_q <= 1'b0;
            steps_q  <= '0;
        end
    end
    assign rows            = write_rows_o;
    assign done_o          = 1'b0;
    assign ok_o            = 1'b0;
    assign busy_o          = 1'b0;
    assign full_o          = 1'b0;
    assign present_o       = 1'b0;
    assign ended_o         = 1'b0;
    assign two_o           = 1'b0;
    assign session_o       = '0;
    assign record_o        = '0;
    assign key_o           = '0;
    assign scan_o          = scan;
    assign scan_session_o  = scan_session;
    assign request_o       = pair_q || (!pair_left_q && request && (step == STEP_READ || step == STEP_PEEK || step == STEP_HASH
        || (step == STEP_REMOVE && report_room_i && !hold_reg)));
    assign step_o          = pair_q ? STEP_PAIR : step;
    assign where_o         = where || step_o == STEP_REMOVE;
    assign second_o        = ask_second && step_o == STEP_READ;
    assign way_o           = way;
    assign row_o           = row;
    assign step_session_o  = pair_q ? pair_session_q : step_session;
    assign entry_o         = entry;
    assign hash_key_o      = key_i;
    assign hold_o          = hold_reg;
    assign want_o          = want;
    assign write_o         = go_q;
    assign write_new_o     = fresh_q;
    assign write_second_o  = add_q;
    assign write_renewed_o = 1'b0;
    assign write_session_o = fresh_q ? supply_session_i : found;
    // The harness assumes that these are the rows of the key.
    wire logic [3:0][ROW_BITS-1:0] any_rows;
    assign write_rows_o    = any_rows;
endmodule
`resetall
