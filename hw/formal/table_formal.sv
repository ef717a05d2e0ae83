// SPDX-License-Identifier: Apache-2.0
//
// table_formal: the binding table against a model of one key, any one.
//
// Start    after the reset, in the cycle with `first_q`, slots, flags, records and `where` hold any content that the
//          table could have when nothing is under way, and the stash any new keys. So the proof is about every such table, not about an empty one.
// Traffic  any packet in any cycle, any operation that the header of the table allows, any clocks; removals asked for at any
//          time by sweep, undo and host (abstract/), which the table has to refuse where they are wrong.
// Model    `here_q`, `record_q`, `session_q`: what the last operation on the key, or on the other key of its session (`mate_q`), left. Every answer
//          for the key is compared. The key may be the first or the second of its session, from the start on, or get there as either.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module table_formal
    import binding_pkg::*;
#(
    parameter int unsigned SESSIONS = 8,
    parameter int unsigned STASH = 8,
    // With parity; else all parity bits are 0.
    parameter bit PARITY = 1'b0,
    // Packets create, write and delete, and the host writes.
    parameter bit OPERATIONS = 1'b1,
    // All keys have the same row in each way.
    parameter bit COLLIDE = 1'b0,
    // Entries of the stash that may be used at the start.
    parameter int unsigned WAITING = 0,
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS),
    localparam int unsigned ROW_BITS = SESSION_BITS - 2,
    localparam int unsigned ROWS = 2 ** ROW_BITS
) (
    input wire logic                    clk,
    input wire logic [127:0]            secret,
    input wire logic [15:0]             fast_now,
    input wire logic [15:0]             slow_now,
    input wire logic                    valid,
    input wire binding_key_t            key,
    input wire logic                    peek_flag,
    input wire binding_op_e             op,
    input wire binding_record_t         record,
    input wire logic                    flag,
    input wire binding_key_t            any_host_key,
    input wire logic                    any_here,
    input wire binding_record_t         any_record,
    input wire logic [SESSION_BITS-1:0] any_session,
    input wire logic                    any_mate,
    input wire binding_key_t            any_mate_key,
    input wire binding_record_t         host_record
);
    logic rst;
    logic [127:0] secret_used;
    localparam int unsigned KEY_BITS = BINDING_KEY_BITS;
    localparam int unsigned WORD_BITS = KEY_BITS + SESSION_BITS + 3;
    typedef logic [SESSION_BITS-1:0] session_t;
    typedef struct packed {
        logic         parity;
        logic         valid;
        logic         second;
        session_t     session;
        binding_key_t key;
    } word_t;

    // ---- time: a reset of four cycles, so that what is compared in the stash is not of before it ------------------------
    logic [3:0] reset_over = '0;
    logic       first_q;
    always_ff @(posedge clk) begin
        reset_over <= {reset_over[2:0], 1'b1};
        first_q    <= rst;
    end
    // Not an assumption but logic: assumptions of the cycles before the reset need not be met.
    assign rst = !reset_over[3];

    // ---- what is fixed for a run: the key of the model, the key of the host ------------------------------------------
    logic [127:0] words;  // the hash of all keys
    assign words = dut.u_init.secret_q;
    function automatic logic [3:0][ROW_BITS-1:0] rows_of(input logic [127:0] words, input binding_key_t of);
        return words[4*ROW_BITS*of +: 4*ROW_BITS];
    endfunction
    // Keys, and rows of a way, can change their names without any other change: so the key is 0, and so are its rows.
    binding_key_t mine_q, host_key_q;
    assign mine_q = '0;
    always_ff @(posedge clk) if (rst) host_key_q <= any_host_key;
    assume property (@(posedge clk) rst || rows_of(words, '0) == '0);
    if (COLLIDE) begin : gen_collide
        // Logic and not an assumption: it makes the proof smaller.
        assign secret_used = '0;
    end else begin : gen_any_hash
        assign secret_used = secret;
    end

    logic                    present, live, answer_flag, can_create, parity, busy;
    session_t                session;
    binding_record_t         answer;
    logic [ROW_BITS-1:0]     row;
    logic [9:0]              peek_target;
    binding_table #(.SESSIONS(SESSIONS), .STASH(STASH)) dut (
        .clk, .rst, .secret_i(secret_used), .busy_o(busy), .fast_now_i(fast_now), .slow_now_i(slow_now),
        .valid_i(valid), .key_i(key), .peek_target_o(peek_target), .peek_flag_i(peek_flag), .present_o(present), .live_o(live),
        .session_o(session), .record_o(answer), .flag_o(answer_flag), .can_create_o(can_create), .row_o(row),
        .last_o(), .candidate_o(), .op_i(op), .same_i(1'b0), .record_i(record), .flag_i(flag),
        .event_valid_o(), .event_kind_o(), .event_renewed_o(), .event_session_o(), .event_record_o(), .event_key_o(),
        .host_req_i(1'b0), .host_op_i(BINDING_INSERT), .host_key_i(host_key_q), .host_record_i(host_record),
        .host_session_i('0), .host_done_o(), .host_ok_o(), .host_busy_o(), .host_full_o(), .host_present_o(), .host_ended_o(), .host_two_o(), .host_session_o(),
        .host_record_o(), .host_key_o(),
        .undo_valid_i(1'b0), .undo_session_i('0), .undo_row_i('0), .undo_lost_o(), .walk_hold_i(1'b0), .walk_o(),
        .live_slots_o(), .stash_used_o(), .moves_o(), .parity_o(parity));

    // The model: below.
    logic            here_q, flag_q, removed, last_q, mate_q, leaving_q;
    binding_key_t    mate_key_q;
    binding_record_t record_q;
    session_t        session_q;
    logic [3:0]      age_q, new_age_q;
    logic [15:0]     fast_1, slow_1, fast_then_1, fast_then_2, slow_then_1, slow_then_2;

    logic [4*ROWS+STASH-1:0] with_session, with_mate, with_second;
    binding_record_t [SESSIONS-1:0] memory_record;

    // ---- slots, as arrays ---------------------------------------------------------------------------------------------------
    word_t [3:0][ROWS-1:0] slot;
    logic  [3:0][ROWS-1:0] slot_fits, flags_fit, slot_mine, slot_hosts, slot_valid;
    logic  [1:0][SESSIONS-1:0][3:0][ROWS-1:0] slot_of;   // the first, second key of session s is in that slot
    logic  [3:0][ROWS-1:0] slot_first;
    for (genvar w = 0; w < 4; w++) begin : gen_way
        for (genvar r = 0; r < ROWS; r++) begin : gen_slot
            assign slot_valid[w][r] = slot[w][r].valid;
            assign slot_first[w][r] = slot[w][r].valid && !slot[w][r].second;
            assign slot[w][r]      = dut.gen_way[w].u_slots.memory[r];
            assign flags_fit[w][r] = dut.u_mover.gen_occupied[w].u_steps.memory[r] == {2{slot[w][r].valid}}
                && dut.u_mover.gen_occupied[w].u_direct.memory[r] == {2{slot[w][r].valid}};
            assign slot_fits[w][r] = (PARITY ? !(^slot[w][r]) : !slot[w][r].parity) && flags_fit[w][r]
                && (!slot[w][r].valid || rows_of(words, slot[w][r].key)[w] == ROW_BITS'(r));
            assign slot_mine[w][r]  = slot[w][r].valid && slot[w][r].key == mine_q;
            assign slot_hosts[w][r] = slot[w][r].valid && slot[w][r].key == host_key_q;
            for (genvar s = 0; s < SESSIONS; s++) begin : gen_session
                assign slot_of[0][s][w][r] = slot[w][r].valid && !slot[w][r].second && slot[w][r].session == session_t'(s);
                assign slot_of[1][s][w][r] = slot[w][r].valid && slot[w][r].second && slot[w][r].session == session_t'(s);
            end
        end
    end
    logic [STASH-1:0] entry_mine, entry_hosts;
    session_t         host_session;
    always_comb begin
        host_session = '0;
        for (int w = 0; w < 4; w++)
            for (int r = 0; r < ROWS; r++) if (slot_hosts[w][r]) host_session |= slot[w][r].session;
        for (int e = 0; e < STASH; e++) begin
            entry_mine[e]  = dut.u_stash.valid_q[e] && dut.u_stash.entry_key[e] == mine_q;
            entry_hosts[e] = dut.u_stash.valid_q[e] && dut.u_stash.entry_key[e] == host_key_q;
            if (entry_hosts[e]) host_session |= dut.u_stash.entry_session[e];
        end
    end

    // Two cycles are still compared with what was in the stash before the reset was over.
    logic second_q;
    always_ff @(posedge clk) second_q <= first_q;
    assume property (@(posedge clk) !(first_q || second_q) || rst || (dut.u_stash.hit_2 & (dut.u_stash.hit_2 - 1'b1)) == '0);
    // Entries that wait for the mover, with keys of their own and sessions of their own.
    logic [STASH-1:0][1:0][SESSIONS-1:0] entry_of;
    logic [STASH-1:0] entry_second;
    assume property (@(posedge clk) !first_q || rst || (dut.u_stash.open_q == ~dut.u_stash.valid_q
        && int'($countones(dut.u_stash.valid_q)) <= WAITING && dut.u_stash.used_q == ($clog2(STASH) + 1)'($countones(dut.u_stash.valid_q))));
    assume property (@(posedge clk) !first_q || rst || 32'(dut.live_slots_o) == $countones(slot_first) + $countones(dut.u_stash.valid_q & ~entry_second));
    for (genvar e = 0; e < STASH; e++) begin : gen_entry
        localparam int unsigned HASH_BITS = 4 * ROW_BITS;
        binding_key_t  entry_key;
        session_t      entry_session;
        logic          used;
        logic [KEY_BITS+SESSION_BITS+HASH_BITS+4:0] of_create, of_swap;
        assign used          = dut.u_stash.valid_q[e];
        assign entry_key     = dut.u_stash.entry_key[e];
        assign entry_session = dut.u_stash.entry_session[e];
        assign of_create     = dut.u_stash.of_create[e];
        assign of_swap       = dut.u_stash.of_swap[e];
        assign entry_second[e] = dut.u_stash.by_swap_q[e] ? of_swap[HASH_BITS+4] : of_create[HASH_BITS+4];
        for (genvar s = 0; s < SESSIONS; s++) begin : gen_session
            assign entry_of[e][0][s] = used && !entry_second[e] && entry_session == session_t'(s);
            assign entry_of[e][1][s] = used && entry_second[e] && entry_session == session_t'(s);
        end
        assume property (@(posedge clk) !first_q || rst || !used || (!dut.u_stash.by_swap_q[e]
            && of_create == {entry_key, entry_session, entry_second[e], rows_of(words, entry_key), 4'd0}));
        for (genvar f = 0; f < e; f++) begin : gen_other
            assume property (@(posedge clk) !first_q || rst || !used || !dut.u_stash.valid_q[f]
                || (entry_key != dut.u_stash.entry_key[f]
                    && {entry_session, entry_second[e]} != {dut.u_stash.entry_session[f], entry_second[f]}));
        end
        for (genvar a = 0; a < 4 * ROWS; a++) begin : gen_slot
            assume property (@(posedge clk) !first_q || rst || !used || !slot[a/ROWS][a%ROWS].valid
                || (entry_key != slot[a/ROWS][a%ROWS].key
                    && {entry_session, entry_second[e]} != {slot[a/ROWS][a%ROWS].session, slot[a/ROWS][a%ROWS].second}));
        end
        assume property (@(posedge clk) !first_q || rst || !entry_mine[e] || session_q == entry_session);
    end

    // ---- the start: a settled table ----------------------------------------------------------------------
    assume property (@(posedge clk) !first_q || rst || &slot_fits);
    for (genvar a = 0; a < 4 * ROWS; a++) begin : gen_pair
        for (genvar b = 0; b < a; b++) begin : gen_other
            assume property (@(posedge clk) !first_q || rst || !slot[a/ROWS][a%ROWS].valid || !slot[b/ROWS][b%ROWS].valid
                || (slot[a/ROWS][a%ROWS].key != slot[b/ROWS][b%ROWS].key && {slot[a/ROWS][a%ROWS].session, slot[a/ROWS][a%ROWS].second}
                    != {slot[b/ROWS][b%ROWS].session, slot[b/ROWS][b%ROWS].second}));
        end
    end
    logic [SESSIONS-1:0] paired, has_first, has_second;
    for (genvar s = 0; s < SESSIONS; s++) begin : gen_record
        logic [BINDING_RECORD_BITS:0]   lookup_record;
        logic [BINDING_RECORD_BITS+1:0] other_record;
        logic                           held, two;
        logic [1:0][STASH-1:0]          entries;
        for (genvar e = 0; e < STASH; e++) begin : gen_entry
            assign entries[0][e] = entry_of[e][0][s];
            assign entries[1][e] = entry_of[e][1][s];
        end
        assign held          = |slot_of[0][s] || |entries[0];
        assign two           = |slot_of[1][s] || |entries[1];
        assign paired[s]     = |dut.u_mover.gen_bank[s%4].u_paired.memory[s/4];
        assign has_first[s]  = held;
        assign has_second[s] = two;
        assume property (@(posedge clk) !first_q || rst || (dut.u_mover.gen_bank[s%4].u_paired.memory[s/4] == {2{two}} && (held || !two)));
        assign lookup_record = dut.u_records.u_lookup.memory[s];
        assign other_record  = dut.u_records.gen_bank[s%4].u_other.memory[s/4];
        assume property (@(posedge clk) !first_q || rst || (PARITY ? !(^lookup_record) && !(^other_record)
            : !lookup_record[BINDING_RECORD_BITS] && !other_record[BINDING_RECORD_BITS+1]));
        assume property (@(posedge clk) !first_q || rst || dut.u_supply.free_q[s] == !held);
        assume property (@(posedge clk) !first_q || rst || !held || (other_record[BINDING_RECORD_BITS]
            && other_record[BINDING_RECORD_BITS-1:0] == lookup_record[BINDING_RECORD_BITS-1:0]));
        for (genvar w = 0; w < 4; w++) begin : gen_where
            for (genvar r = 0; r < ROWS; r++) begin : gen_slot
                assume property (@(posedge clk) !first_q || rst || !slot_of[0][s][w][r] || dut.u_mover.u_where.memory[s] == {2'(w), ROW_BITS'(r)});
                assume property (@(posedge clk) !first_q || rst || !slot_of[1][s][w][r] || dut.u_mover.u_second.memory[s] == {2'(w), ROW_BITS'(r)});
            end
        end
        assume property (@(posedge clk) !first_q || rst || !here_q || session_q != session_t'(s)
            || record_q == lookup_record[BINDING_RECORD_BITS-1:0]);
    end
    for (genvar w = 0; w < 4; w++) begin : gen_model
        for (genvar r = 0; r < ROWS; r++) begin : gen_slot
            assume property (@(posedge clk) !first_q || rst || !slot_mine[w][r] || session_q == slot[w][r].session);
        end
    end
    assume property (@(posedge clk) !first_q || rst || here_q == |{slot_mine, entry_mine});
    // Another key of the same session.
    assume property (@(posedge clk) !first_q || rst || mate_q == (here_q && has_second[session_q]));
    assume property (@(posedge clk) !first_q || rst || !mate_q || |(with_session & with_mate));

    // ---- packets: cycle 10 of the key's ----------------------------------------------------------------------------------------
    logic         [10:1] valid_q;
    binding_key_t        key_q[1:10];
    logic                answered, put, erased, opened;
    always_ff @(posedge clk) begin
        key_q[1] <= key;
        for (int i = 2; i <= 10; i++) key_q[i] <= key_q[i-1];
        valid_q  <= {valid_q[9:1], valid};
        if (rst) valid_q <= '0;
    end
    assume property (@(posedge clk) op == BINDING_NONE || (OPERATIONS && valid_q[10]));
    assume property (@(posedge clk) op == BINDING_NONE || op == BINDING_WRITE || op == BINDING_CREATE || op == BINDING_DELETE);
    assume property (@(posedge clk) (op != BINDING_WRITE && op != BINDING_DELETE) || present);
    assume property (@(posedge clk) !(op == BINDING_CREATE || op == BINDING_WRITE) || record.state != BINDING_FREE);
    assume property (@(posedge clk) record.state <= hashgate_defs_pkg::BINDING_STATE_FLOW && host_record.state <= hashgate_defs_pkg::BINDING_STATE_FLOW);
    assume property (@(posedge clk) host_record.state != BINDING_FREE);
    logic by_mate;
    assign answered = valid_q[10] && key_q[10] == mine_q;
    assign by_mate  = valid_q[10] && here_q && mate_q && key_q[10] == mate_key_q;
    assign opened   = (answered && op == BINDING_CREATE && (here_q || can_create)) || (by_mate && op == BINDING_CREATE);
    assign put      = opened || ((answered || by_mate) && op == BINDING_WRITE);
    assign erased   = (answered || by_mate) && op == BINDING_DELETE;

    // ---- the host: its walk was right ------------------------------------------------------------------------------------------
    logic [12:1] removing;
    always_comb for (int i = 1; i <= 12; i++) removing[i] = dut.u_mover.valid_q[i] && dut.u_mover.step_q[i] == STEP_REMOVE;
    logic host_puts, host_adds;
    assign host_puts = dut.host_wrote && !dut.host_write_second && host_key_q == mine_q;
    assign host_adds = dut.host_wrote && dut.host_write_second;
    // Of a session that gets a second key: the first, its record, and what a packet does to it in this cycle.
    binding_key_t    first_key;
    binding_record_t first_record;
    logic            first_put, first_erased;
    always_comb begin
        first_key    = '0;
        first_record = '0;
        for (int w = 0; w < 4; w++)
            for (int r = 0; r < ROWS; r++)
                if (slot_first[w][r] && slot[w][r].session == dut.host_write_session) first_key |= slot[w][r].key;
        for (int e = 0; e < STASH; e++)
            if (dut.u_stash.valid_q[e] && !entry_second[e] && dut.u_stash.entry_session[e] == dut.host_write_session) first_key |= dut.u_stash.entry_key[e];
        for (int s = 0; s < SESSIONS; s++)
            if (dut.host_write_session == session_t'(s)) first_record |= memory_record[s];
        first_put    = valid_q[10] && key_q[10] == first_key && (op == BINDING_CREATE || op == BINDING_WRITE);
        first_erased = valid_q[10] && key_q[10] == first_key && op == BINDING_DELETE;
    end
    for (genvar s = 0; s < SESSIONS; s++) begin : gen_memory_record
        assign memory_record[s] = dut.u_records.u_lookup.memory[s][BINDING_RECORD_BITS-1:0];
    end
    assume property (@(posedge clk) !dut.u_host.write_o || !dut.u_host.write_second_o || (!(|slot_hosts || |entry_hosts)
        && has_first[dut.host_write_session] && !has_second[dut.host_write_session] && !paired[dut.host_write_session]));
    // It takes over no session of two keys.
    assume property (@(posedge clk) !dut.u_host.write_o || dut.u_host.write_second_o || dut.u_host.write_new_o || !paired[dut.host_write_session]);
    assume property (@(posedge clk) OPERATIONS || !dut.u_host.write_o);
    assume property (@(posedge clk) dut.u_host.write_rows_o == rows_of(words, host_key_q));
    assume property (@(posedge clk) !dut.u_host.write_o || !((dut.access_q && dut.access_step_q == STEP_REMOVE) || |removing));
    assume property (@(posedge clk) !dut.u_host.write_o || dut.u_host.write_second_o || ((dut.u_host.write_new_o == !(|slot_hosts || |entry_hosts))
        && (dut.u_host.write_new_o || dut.u_host.write_session_o == host_session)));

    // ---- the model ---------------------------------------------------------------------------------------------------------------
    // The end of the session, by either key.
    logic names_mine;
    assign names_mine = dut.u_mover.remove_12 && dut.u_mover.word_q[12].key == mine_q;
    assign removed    = names_mine || (dut.u_mover.remove_12 && mate_q && here_q && dut.u_mover.word_q[12].key == mate_key_q);
    always_ff @(posedge clk) begin
        fast_1 <= fast_now;
        fast_then_1 <= dut.fast_then;
        fast_then_2 <= fast_then_1;
        slow_1 <= slow_now;
        slow_then_1 <= dut.slow_then;
        slow_then_2 <= slow_then_1;
        last_q <= put || erased || (host_adds && host_key_q == mine_q && (first_put || first_erased));
        if (age_q != '1) age_q <= age_q + 1'b1;
        if (new_age_q != '1) new_age_q <= new_age_q + 1'b1;
        if (removed) begin
            here_q <= 1'b0;
            mate_q <= 1'b0;
        end
        // The second key is in its slot for two cycles more.
        leaving_q <= (leaving_q || (removed && !names_mine)) && !dut.u_mover.clear_12;
        if (host_puts) begin
            here_q    <= 1'b1;
            record_q  <= host_record;
            session_q <= dut.host_write_session;
        end
        if (host_adds && host_key_q == mine_q) begin
            here_q     <= 1'b1;
            record_q   <= first_put ? record : first_record;
            if (first_erased) record_q.state <= BINDING_FREE;
            session_q  <= dut.host_write_session;
            mate_q     <= 1'b1;
            mate_key_q <= first_key;
            // What packets right before have written is forwarded.
            flag_q     <= flag;
            if (first_put || first_erased) age_q <= 4'd1;
        end
        if (host_adds && here_q && dut.host_write_session == session_q && host_key_q != mine_q) begin
            mate_q     <= 1'b1;
            mate_key_q <= host_key_q;
        end
        if (put) begin
            record_q <= record;
            flag_q   <= flag;
            age_q    <= 4'd1;
        end
        if (opened && !by_mate) begin
            here_q    <= 1'b1;
            session_q <= session;
        end
        if (opened && !here_q) new_age_q <= 4'd1;
        if (erased) begin
            record_q.state <= BINDING_FREE;
            flag_q         <= flag;
            age_q          <= 4'd1;
        end
        if (rst) begin
            here_q    <= any_here;
            record_q  <= any_record;
            session_q <= any_session;
            last_q    <= 1'b0;
            age_q     <= '1;
            new_age_q <= '1;
            mate_q    <= any_mate;
            mate_key_q <= any_mate_key;
            leaving_q <= 1'b0;
        end
    end

    logic peek_flag_q;  // one cycle before the answer
    always_ff @(posedge clk) peek_flag_q <= peek_flag;

    // ---- answers -------------------------------------------------------------------------------------------------------------------
    logic alive;
    assign alive = last_q ? record_q.state != BINDING_FREE : binding_live(record_q.state, record_q.expires, fast_1, slow_1);
    `HG_ASSERT(found, !answered || present == here_q)
    `HG_ASSERT(session_stays, !(answered && here_q) || session == session_q)
    `HG_ASSERT(record_last_written, !(answered && here_q) || answer == record_q)
    `HG_ASSERT(live_by_clock, !answered || live == (here_q && alive))
    `HG_ASSERT(flag_of_writer, !answered || answer_flag
        == ((here_q && (age_q <= 4'd5 || new_age_q <= 4'd9)) ? flag_q : peek_flag_q))

    // ---- removals --------------------------------------------------------------------------------------------------------------------
    `HG_ASSERT(removed_once, !names_mine || here_q)
    `HG_ASSERT(swept_when_dead, !(removed && dut.u_mover.source_q[12] == BY_SWEEP)
        || !binding_live(record_q.state, record_q.expires, fast_then_2, slow_then_2))
    `HG_ASSERT(undone_when_fresh, !(removed && dut.u_mover.source_q[12] == BY_UNDO) || (record_q.fresh && record_q.state != BINDING_FREE))
    `HG_ASSERT(no_write_meets_removal, !(removed && (put || erased || host_puts)))

    // ---- one place, and the memories agree ------------------------------------------------------------------------------------------------
    logic [4*ROWS+STASH-1:0] places;
    assign places = {slot_mine, entry_mine};
    `HG_ASSERT(one_place, (places & (places - 1'b1)) == '0)
    // What the last operation left is in the memories one cycle later; its session is that of no other key.
    logic [4*ROWS+STASH-1:0] right_session;
    logic [SESSIONS-1:0]     right_record;
    for (genvar a = 0; a < 4 * ROWS; a++) begin : gen_with
        assign with_session[STASH+a]  = slot[a/ROWS][a%ROWS].valid && slot[a/ROWS][a%ROWS].session == session_q;
        assign with_mate[STASH+a]     = slot[a/ROWS][a%ROWS].valid && slot[a/ROWS][a%ROWS].key == mate_key_q && mate_key_q != mine_q;
        assign with_second[STASH+a]   = slot[a/ROWS][a%ROWS].second;
        assign right_session[STASH+a] = slot[a/ROWS][a%ROWS].session == session_q;
    end
    for (genvar e = 0; e < STASH; e++) begin : gen_with_entry
        assign with_session[e]  = dut.u_stash.valid_q[e] && dut.u_stash.entry_session[e] == session_q;
        assign with_mate[e]     = dut.u_stash.valid_q[e] && dut.u_stash.entry_key[e] == mate_key_q && mate_key_q != mine_q;
        assign with_second[e]   = entry_second[e];
        assign right_session[e] = dut.u_stash.entry_session[e] == session_q;
    end
    for (genvar s = 0; s < SESSIONS; s++) begin : gen_right
        logic [BINDING_RECORD_BITS:0]   lookup_record;
        logic [BINDING_RECORD_BITS+1:0] other_record;
        assign lookup_record   = dut.u_records.u_lookup.memory[s];
        assign other_record    = dut.u_records.gen_bank[s%4].u_other.memory[s/4];
        assign right_record[s] = session_q != session_t'(s) || (lookup_record[BINDING_RECORD_BITS-1:0] == record_q
            && other_record[BINDING_RECORD_BITS:0] == {1'b1, record_q} && !dut.u_supply.free_q[s]);
    end
    `HG_ASSERT(somewhere, last_q || leaving_q || here_q == |places)
    `HG_ASSERT(leaves_soon, !leaving_q || !here_q)
    // But for the other key of it: never a third.
    `HG_ASSERT(session_of_its_own, !here_q || (with_session & ~places & ~({4*ROWS+STASH{mate_q}} & with_mate)) == '0)
    `HG_ASSERT(one_of_each, !here_q || (with_session & with_second) != with_session || with_session == '0)
    `HG_ASSERT(two_places, !here_q || !mate_q || $countones(with_session) == 2)
    `HG_ASSERT(session_right, leaving_q || (places & ~right_session) == '0)
    `HG_ASSERT(record_right, last_q || !here_q || &right_record)
    `HG_ASSERT(flags_follow_slots, &flags_fit)
    // Steps and packets of before the reset may still report some.
    logic [12:1] settled_q;
    always_ff @(posedge clk) settled_q <= rst ? '0 : {settled_q[11:1], 1'b1};
    `HG_ASSERT(no_wrong_parity, !parity || !settled_q[12])

    // ---- that all this happens ---------------------------------------------------------------------------------------------------------------
    logic moved_q, created_q, placed_q, mate_wrote_q;
    always_ff @(posedge clk) begin
        mate_wrote_q <= by_mate && put;
        if (dut.swap && dut.swap_key == mine_q) moved_q <= 1'b1;
        if (dut.place && dut.u_mover.key_q[5] == mine_q) placed_q <= 1'b1;
        if (opened && !here_q) created_q <= 1'b1;
        if (rst) {moved_q, created_q, placed_q} <= '0;
    end
    if (OPERATIONS) begin : gen_seen_operations
        in_stash:    cover property (@(posedge clk) !rst && answered && present && created_q && dut.stash_hit);
        direct:      cover property (@(posedge clk) !rst && created_q && dut.direct && dut.u_mover.direct_key_q[13] == mine_q);
        veto:        cover property (@(posedge clk) !rst && dut.kill);
        refused:     cover property (@(posedge clk) !rst && answered && op == BINDING_CREATE && !present && !can_create);
        forwarded:   cover property (@(posedge clk) !rst && answered && present && age_q == 4'd1 && created_q);
        revived:     cover property (@(posedge clk) !rst && host_puts && !dut.host_write_new);
        host_insert: cover property (@(posedge clk) !rst && host_puts && dut.host_write_new);
        host_add:    cover property (@(posedge clk) !rst && host_adds && host_key_q == mine_q);
        by_the_other: cover property (@(posedge clk) !rst && answered && present && mate_q && age_q == 4'd1 && mate_wrote_q);
    end
    if (WAITING != 0) begin : gen_seen_moves
        moved_out:    cover property (@(posedge clk) !rst && answered && present && moved_q && |entry_mine && dut.stash_hit);
        placed:       cover property (@(posedge clk) !rst && answered && present && placed_q && !dut.stash_hit);
        swept:        cover property (@(posedge clk) !rst && removed && dut.u_mover.source_q[12] == BY_SWEEP);
        undone:       cover property (@(posedge clk) !rst && removed && dut.u_mover.source_q[12] == BY_UNDO);
        both_swept:   cover property (@(posedge clk) !rst && removed && !names_mine);
        host_removal: cover property (@(posedge clk) !rst && removed && dut.u_mover.source_q[12] == BY_HOST);
    end
endmodule
`resetall
