// SPDX-License-Identifier: Apache-2.0
//
// binding_host: operations of the host, one at a time.
//
// Request  `req_i` and its operands are held until `done_o`, a pulse; a request in the cycle after it is a new one.
//            FIND    by key: ok if a live record exists.
//            INSERT  ok if it was inserted; not ok if a live record exists, or with `full_o` if there is no room.
//            REMOVE  by key, either of the session's: ok if a live record was removed.
//            NEXT    the first live record from `session_i` on, with its first key: ok if there is one.
//            ADD     gives the session `session_i` the second key `key_i`: ok if it has it now. `present_o`: a live record has that key;
//                    `ended_o`: the session is not live, or is not the one that FIND, INSERT, NEXT or SECOND told last, or was removed since (and may
//                    be that of another key now); `two_o`: it has two keys; `full_o`: no room. The first of these that holds.
//            SECOND  the second key of the session `session_i`: ok if it is live and has one.
//          `session_o`, `record_o`, `key_o` with ok; and with FIND and NEXT, `two_o`: the session has two keys.
//          `busy_o`: packets of the row are in flight, or a key is in the stash (REMOVE, ADD and SECOND), or has one that has ended, of a session
//          of two (INSERT) or of any (ADD): nothing was done, ask again.
// By key   hash; for INSERT, REMOVE and ADD wait until packets in flight are through; walk the stash, then the four slots. A packet of the
//          row since the wait ends in `busy_o`; a key of the same rows that moves into the stash meanwhile starts the walk anew.
// Write    INSERT and ADD write in a cycle in which no packet does or is refused (`write_o`, `wrote_i`); after 64 cycles it gives up: busy.
// Pause    `hold_o`: no session may be removed by others. 32 cycles pass after an INSERT or ADD before the next begins.
// Bound    each operation but NEXT ends within some thousands of cycles whatever packets do; NEXT takes some 6 cycles for each session that
//          it passes, and looks 256 times at most for the key of one.
`resetall
`default_nettype none
module binding_host
    import binding_pkg::*;
#(
    // Sessions.
    parameter int unsigned SESSIONS = 65536,
    // Bits of a row.
    parameter int unsigned ROW_BITS = 14,
    // Entries of the stash.
    parameter int unsigned STASH = 32
) (
    input  wire logic                           clk,
    input  wire logic                           rst,
    input  wire logic                           busy_i,
    input  wire logic [15:0]                    fast_now_i,
    input  wire logic [15:0]                    slow_now_i,
    input  wire logic [$clog2(SESSIONS):0]      issued_i,
    // host
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
    // packets: row in cycle 1, keys that go to the stash
    input  wire logic                           row_valid_1_i,
    input  wire logic [ROW_BITS-1:0]            row_1_i,
    input  wire logic                           swap_i,
    input  wire logic [3:0][ROW_BITS-1:0]       swap_rows_i,
    input  wire logic [STASH-1:0]               stash_valid_i,
    // walk
    output logic                                scan_o,
    input  wire logic                           scan_take_i,
    output logic [$clog2(SESSIONS)-1:0]         scan_session_o,
    input  wire logic                           scan_valid_i,
    input  wire logic [BINDING_RECORD_BITS+1:0] scan_record_i,
    // steps
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
    // new record
    input  wire logic                           room_i,         // an entry of the stash, and a session
    output logic                                want_o,
    output logic                                write_o,
    output logic                                write_new_o,
    output logic                                write_second_o,  // a key, and no record
    output logic                                write_renewed_o, // in the place of a binding that has expired
    output logic [$clog2(SESSIONS)-1:0]         write_session_o,
    output logic [3:0][ROW_BITS-1:0]            write_rows_o,
    input  wire logic                           supply_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    supply_session_i,
    input  wire logic                           wrote_i
);
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS);
    localparam int unsigned ENTRY_BITS = $clog2(STASH);
    typedef logic [SESSION_BITS-1:0] session_t;

    typedef enum logic [4:0] {
        IDLE, DONE, CHECK, SCAN, SCANNED, NEXT, NEXT_WAIT, HASH, HASH_WAIT, WATCH, PEEK, PEEK_ASK, PEEK_WAIT, READ, READ_WAIT, PAIRED, PAIRED_WAIT, REMOVE,
        REMOVE_WAIT, WRITE, PAIR, PAIR_WAIT
    } state_e;
    state_e          state_q;
    logic [8:0]      tries_q;   // of NEXT, REMOVE and the walk: the top bit tells that it is enough
    logic [6:0]      count_q;
    logic [5:0]      pause_q;
    logic [SESSION_BITS:0] walk_q;
    logic [ENTRY_BITS-1:0] peek_q;
    logic [1:0]      way_q;
    logic [3:0][ROW_BITS-1:0] rows_q;
    logic            touched_q, moved_q, revive_q, expired_q;
    session_t        found_q;
    binding_record_t record;
    logic            scan_live_q, scan_end_q;

    logic near_q, wait_full;  // near_q: a packet in cycle 2 has the row
    assign wait_full = count_q == 7'd64;
    assign record    = scan_record_i[BINDING_RECORD_BITS-1:0];
    wire logic unused = &{1'b0, record};

    logic more_q, entry_q, empty_q, near_1, go_q, scan_q, ask_q;
    logic adds, writes, gone_q, other_q;
    assign adds   = op_i == BINDING_ADD;
    assign writes = op_i == BINDING_INSERT || adds;
    assign near_1 = row_valid_1_i && row_1_i == rows_q[0];

    always_ff @(posedge clk) begin
        done_o      <= 1'b0;
        near_q      <= near_1;
        hold_o      <= state_q != IDLE && writes;
        other_q     <= session_i != session_o;
        if (removed_i && removed_session_i == session_o) gone_q <= 1'b1;
        more_q      <= walk_q < issued_i;
        if (state_q == PEEK) entry_q <= stash_valid_i[peek_q];
        scan_q      <= state_q == SCAN && more_q && !scan_take_i;
        ask_q       <= !take_i && (state_q == NEXT || state_q == HASH || (state_q == PEEK_ASK && entry_q) || state_q == READ
                       || state_q == PAIRED || state_q == PAIR
                       || (state_q == REMOVE && report_room_i));
        empty_q     <= stash_valid_i == '0;
        go_q        <= state_q == WRITE && !touched_q && !near_q && !near_1 && !wrote_i && !wait_full
                       && (adds ? room_i : revive_q || (supply_i && room_i));
        count_q     <= count_q + 1'b1;
        scan_end_q  <= scan_valid_i;
        scan_live_q <= !(^scan_record_i) && scan_record_i[BINDING_RECORD_BITS] && binding_live(record.state, record.expires, fast_now_i, slow_now_i);
        if (pause_q != '0) pause_q <= pause_q - 1'b1;
        touched_q <= touched_q || near_q;
        moved_q   <= moved_q || (swap_i && swap_rows_i == rows_q);
        case (state_q)
            IDLE: begin
                ok_o     <= 1'b0;
                busy_o   <= 1'b0;
                full_o   <= 1'b0;
                present_o <= 1'b0;
                ended_o  <= 1'b0;
                two_o    <= 1'b0;
                tries_q  <= '0;
                revive_q <= 1'b0;
                walk_q   <= {1'b0, session_i};
                if (req_i && !busy_i && pause_q == '0) state_q <= (op_i == BINDING_NEXT || op_i == BINDING_SECOND) ? CHECK : HASH;
            end
            DONE: begin
                done_o <= 1'b1;
                if (writes) pause_q <= 6'd32;
                if (done_o) begin
                    done_o  <= 1'b0;
                    state_q <= IDLE;
                end
            end
            // ---- by session: NEXT, the others only that one ------------------------------------------------------------
            CHECK: state_q <= SCAN;
            SCAN:
                if (!more_q) begin
                    ended_o <= adds;
                    state_q <= DONE;
                end else if (scan_take_i) begin
                    state_q <= SCANNED;
                end
            SCANNED:
                if (scan_end_q) begin
                    if (scan_live_q && !tries_q[8]) begin
                        state_q <= NEXT;
                    end else if (op_i != BINDING_NEXT) begin
                        ended_o <= adds && !scan_live_q;
                        busy_o  <= scan_live_q;
                        state_q <= DONE;
                    end else begin
                        walk_q  <= walk_q + 1'b1;
                        tries_q <= '0;
                        state_q <= CHECK;
                    end
                end
            NEXT: if (take_i) state_q <= NEXT_WAIT;
            NEXT_WAIT:
                if (result_i) begin
                    record_o  <= result_record_i;
                    key_o     <= result_key_i;
                    tries_q   <= tries_q + 1'b1;
                    count_q   <= '0;
                    state_q   <= SCAN;
                    if (!adds) begin
                        session_o <= result_session_i;
                        gone_q    <= 1'b0;
                    end
                    if (op_i == BINDING_SECOND && !result_paired_i) begin
                        state_q <= DONE;
                    end else if (!result_refused_i && result_valid_i && result_match_i && result_live_i && result_used_i) begin
                        ok_o    <= !adds;
                        two_o   <= result_paired_i && op_i != BINDING_SECOND && !(adds && (gone_q || other_q));
                        ended_o <= adds && (gone_q || other_q);
                        state_q <= (adds && !gone_q && !other_q && !result_paired_i) ? WRITE : DONE;
                    end
                end
            // ---- by key ------------------------------------------------------------------------------------------------
            HASH: if (take_i) state_q <= HASH_WAIT;
            HASH_WAIT: begin
                count_q   <= '0;
                peek_q    <= '0;
                touched_q <= 1'b0;
                moved_q   <= 1'b0;
                if (result_i) begin
                    rows_q  <= result_rows_i;
                    state_q <= WATCH;
                end
            end
            WATCH: begin
                if (count_q == 7'd1) touched_q <= 1'b0;
                if (count_q == 7'd20 || op_i == BINDING_FIND) state_q <= PEEK;
            end
            PEEK: begin
                way_q   <= '0;
                state_q <= empty_q ? READ : PEEK_ASK;
            end
            PEEK_ASK:
                if (!entry_q) begin
                    peek_q  <= peek_q + 1'b1;
                    state_q <= (peek_q == '1) ? READ : PEEK;
                end else if (take_i) begin
                    state_q <= PEEK_WAIT;
                end
            PEEK_WAIT:
                if (result_i) begin
                    peek_q  <= peek_q + 1'b1;
                    state_q <= (peek_q == '1) ? READ : PEEK;
                    if (result_valid_i && result_same_i) begin
                        if (!adds) begin
                            session_o <= result_session_i;
                            gone_q    <= 1'b0;
                        end
                        record_o  <= result_record_i;
                        found_q   <= result_session_i;
                        key_o     <= hash_key_o;
                        revive_q  <= !adds;
                        expired_q <= result_record_i.state != BINDING_FREE;
                        state_q   <= DONE;
                        case (op_i)
                            BINDING_REMOVE: busy_o <= 1'b1;
                            BINDING_INSERT: if (!result_live_i) state_q <= PAIRED;
                            BINDING_ADD: begin
                                present_o <= result_live_i;
                                busy_o    <= !result_live_i;
                            end
                            default: begin
                                ok_o <= result_live_i;
                                if (result_live_i) state_q <= PAIRED;
                            end
                        endcase
                    end
                end
            READ: if (take_i) state_q <= READ_WAIT;
            READ_WAIT:
                if (result_i) begin
                    count_q <= '0;
                    if (result_refused_i) begin
                        tries_q <= tries_q + 1'b1;
                        busy_o  <= tries_q[8];
                        state_q <= tries_q[8] ? DONE : READ;
                    end else if (result_valid_i && result_same_i) begin
                        if (!adds) begin
                            session_o <= result_session_i;
                            gone_q    <= 1'b0;
                        end
                        record_o  <= result_record_i;
                        found_q   <= result_session_i;
                        key_o     <= hash_key_o;
                        revive_q  <= !adds;
                        expired_q <= result_record_i.state != BINDING_FREE;
                        state_q   <= DONE;
                        case (op_i)
                            BINDING_REMOVE: state_q <= REMOVE;
                            BINDING_INSERT: if (!result_live_i) state_q <= PAIRED;
                            BINDING_ADD: begin
                                present_o <= result_live_i;
                                busy_o    <= !result_live_i;
                            end
                            default: begin
                                ok_o <= result_live_i;
                                if (result_live_i) state_q <= PAIRED;
                            end
                        endcase
                    end else begin
                        way_q   <= way_q + 1'b1;
                        state_q <= READ;
                        if (way_q == '1) begin
                            // Nowhere, if it did not move behind the walk.
                            peek_q  <= '0;
                            moved_q <= 1'b0;
                            tries_q <= tries_q + 1'b1;
                            if (moved_q) begin
                                busy_o  <= tries_q[8];
                                state_q <= tries_q[8] ? DONE : PEEK;
                            end else begin
                                tries_q <= '0;
                                state_q <= (op_i == BINDING_INSERT) ? WRITE : adds ? CHECK : DONE;
                            end
                        end
                    end
                end
            PAIRED: if (take_i) state_q <= PAIRED_WAIT;
            PAIRED_WAIT: begin
                count_q <= '0;
                if (result_i) begin
                    two_o   <= result_paired_i && op_i != BINDING_INSERT;
                    busy_o  <= result_paired_i && op_i == BINDING_INSERT;  // packets may use it by its other key
                    state_q <= (op_i == BINDING_INSERT && !result_paired_i) ? WRITE : DONE;
                end
            end
            REMOVE: if (take_i) state_q <= REMOVE_WAIT;
            REMOVE_WAIT:
                if (result_i) begin
                    record_o <= result_record_i;
                    ok_o     <= result_done_i && result_live_i;
                    tries_q  <= tries_q + 1'b1;
                    busy_o   <= !result_done_i;
                    state_q  <= (result_refused_i && !tries_q[8]) ? REMOVE : DONE;
                    if (result_refused_i && !tries_q[8]) busy_o <= 1'b0;
                end
            WRITE: begin
                if (!adds) begin
                    session_o <= write_session_o;
                    gone_q    <= 1'b0;
                    record_o  <= record_i;
                end
                key_o     <= hash_key_o;
                if (wrote_i) begin
                    ok_o    <= 1'b1;
                    state_q <= adds ? PAIR : DONE;
                end else if (touched_q || (wait_full && (adds ? room_i : revive_q || (supply_i && room_i)))) begin
                    busy_o  <= 1'b1;
                    state_q <= DONE;
                end else if (wait_full) begin
                    full_o  <= 1'b1;
                    state_q <= DONE;
                end
            end
            // Nobody removes the session before that.
            PAIR: if (take_i) state_q <= PAIR_WAIT;
            PAIR_WAIT: if (result_i) state_q <= DONE;
            default: state_q <= IDLE;
        endcase
        if (rst) begin
            state_q    <= IDLE;
            done_o     <= 1'b0;
            go_q       <= 1'b0;
            gone_q     <= 1'b1;
            scan_q     <= 1'b0;
            ask_q      <= 1'b0;
            scan_end_q <= 1'b0;
            pause_q    <= '0;
        end
    end

    assign scan_o         = scan_q;
    assign scan_session_o = walk_q[SESSION_BITS-1:0];
    assign request_o      = ask_q;
    always_comb begin
        case (state_q)
            HASH:    step_o = STEP_HASH;
            PEEK_ASK: step_o = STEP_PEEK;
            REMOVE:  step_o = STEP_REMOVE;
            PAIR:    step_o = STEP_PAIR;
            default: step_o = STEP_READ;
        endcase
    end
    assign where_o         = state_q == NEXT || state_q == PAIRED || state_q == REMOVE;
    assign second_o        = state_q == NEXT && op_i == BINDING_SECOND;
    assign way_o           = way_q;
    assign row_o           = rows_q[way_q];
    assign step_session_o  = (state_q == NEXT || state_q == PAIR) ? walk_q[SESSION_BITS-1:0] : found_q;
    assign entry_o         = peek_q;
    assign hash_key_o      = key_i;
    assign want_o          = state_q == WRITE && !revive_q && !adds;
    assign write_o         = go_q;
    assign write_new_o     = !revive_q && !adds;
    assign write_second_o  = adds;
    assign write_renewed_o = revive_q && expired_q;
    assign write_session_o = adds ? walk_q[SESSION_BITS-1:0] : revive_q ? found_q : supply_session_i;
    assign write_rows_o    = rows_q;
endmodule
`resetall
