// SPDX-License-Identifier: Apache-2.0
//
// binding_mover: everything that changes the slots. Owns their second port, what is occupied, and where a session is.
//
// Direct   a key that a packet creates is written to an empty slot three cycles after the operation, if one of its four is empty
//          and its way is not used by a step in that cycle.
// Steps    a pipeline that takes one step a cycle. MOVE brings a stash entry into an empty slot (cycle 5), or swaps it with the
//          occupant of a way that it did not come from (read in cycle 5, written in cycle 12) if none of the four is empty, or gives up for now. The other steps (`access_*`)
//          begin in every second cycle at most, and answer in cycle 12 (`result_*`).
//            REMOVE  clears the slot if it holds the session, its record (of the host: its key) meets the condition of the source, and the row is quiet.
//            READ    the word of a slot and the record of its session. PEEK: the same of a stash entry. HASH: rows of `host_key_i`.
//          A step that wants a slot in which an older step or a direct write is at work is refused.
// Order    a way's second port has one user a cycle: the swap of cycle 12 is known first, then the direct write, then the step of
//          cycle 5, which takes another way or is refused. A slot and the stash change at the same edge, so that no look-up
//          misses a key that moves.
// Quiet    no packet in flight has read, or reads, a slot of that row of way 0 since it could have decided on the record: cycles
//          2 .. 15 of the packets' way at the edge of the write.
// Where    `where` holds way and row of the first key of each session, if that is in a slot, and `second` those of the second key; of
//          others, anything. Whoever uses it checks the slot. `paired` tells whether a session has two keys: PAIR sets it, the
//          removal clears it. It is kept twice; one bit of it wrong counts as two keys, so the worst is a session that nothing removes.
// Two keys a REMOVE of a session with two keys (`access_where_i` only) goes through as three steps, at cycles 0, 4 and 6 of it: WATCH finds the
//          slot of the second key in order and its row quiet, and holds it; FIRST decides as for a session of one key, if WATCH was
//          content, clears the slot of the first key, and answers; CLEAR clears that of the second two cycles later, and the session is free.
//          Packets that find the second key in between miss (`dying_*`). One such REMOVE at a time, 24 cycles each: another is refused.
// Upset    what is occupied is kept twice; a slot with one flag wrong counts as occupied (and is lost if it is empty). A word with
//          wrong parity is not moved; REMOVE clears it when its session's record is dead, or its first key goes, without waiting for quiet. A record with
//          wrong parity is dead; the report of its removal has what is left of it. `parity_o` is a pulse for each word or record read.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module binding_mover
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
    input  wire logic                           clear_i,
    input  wire logic [ROW_BITS-1:0]            clear_row_i,
    input  wire hash_fill_t                     fill_i,
    input  wire logic [4*ROW_BITS-1:0]          fill_data_i,
    input  wire logic [15:0]                    fast_now_i,
    input  wire logic [15:0]                    slow_now_i,
    // stash
    input  wire logic                           pick_i,
    input  wire logic [$clog2(STASH)-1:0]       pick_entry_i,
    output logic                                pick_take_o,
    output logic [$clog2(STASH)-1:0]            read_entry_o,
    input  wire binding_key_t                   read_key_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    read_session_i,
    input  wire logic                           read_second_i,
    input  wire logic [3:0][ROW_BITS-1:0]       read_rows_i,
    input  wire logic [3:0]                     read_last_i,
    input  wire logic [STASH-1:0]               stash_valid_i,
    input  wire logic                           crowded_i,       // many entries are used
    output logic                                place_o,
    output logic                                give_up_o,
    output logic [$clog2(STASH)-1:0]            place_entry_o,
    output logic                                swap_o,
    output logic                                abort_o,
    output logic [$clog2(STASH)-1:0]            swap_entry_o,
    output binding_key_t                        swap_key_o,
    output logic [$clog2(SESSIONS)-1:0]         swap_session_o,
    output logic                                swap_second_o,
    output logic [3:0][ROW_BITS-1:0]            swap_rows_o,
    output logic [3:0]                          swap_last_o,
    // direct: rows in cycle 9 of the packets' way, key in cycle 11
    input  wire logic [3:0][ROW_BITS-1:0]       rows_9_i,
    input  wire logic                           create_i,
    input  wire binding_key_t                   create_key_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    create_session_i,
    input  wire logic [3:0][ROW_BITS-1:0]       create_rows_i,
    input  wire logic [$clog2(STASH)-1:0]       create_entry_i,
    output logic                                direct_hold_o,   // cycle 11: the entry is not for the pipeline
    output logic                                kill_o,          // cycle 12: it is
    output logic [$clog2(STASH)-1:0]            kill_entry_o,
    output logic                                direct_o,        // cycle 13: it is written
    output logic [$clog2(STASH)-1:0]            direct_entry_o,
    // rows of way 0 of packets in cycle 1 .. 12
    input  wire logic [12:1]                    row_valid_i,
    input  wire logic [12:1][ROW_BITS-1:0]      row_zero_i,
    // what packets must not find any more
    output logic                                dying_o,
    output logic [$clog2(SESSIONS)-1:0]         dying_session_o,
    // slots, second port: words {parity, valid, second, session, key}, read data two cycles later
    output logic [3:0]                          slot_write_o,
    output logic [3:0][ROW_BITS-1:0]            slot_row_o,
    output logic [3:0][BINDING_KEY_BITS+$clog2(SESSIONS)+2:0] slot_word_o,
    input  wire logic [3:0][BINDING_KEY_BITS+$clog2(SESSIONS)+2:0] slot_word_i,
    // records: session in cycle 8, {parity, used, record} in cycle 10; mark as not used in cycle 13
    output logic                                record_read_o,
    output logic [$clog2(SESSIONS)-1:0]         record_session_o,
    input  wire logic [BINDING_RECORD_BITS+1:0] record_i,
    output logic                                unused_o,
    output logic [$clog2(SESSIONS)-1:0]         unused_session_o,
    // steps for others
    input  wire logic                           access_i,
    output logic                                access_take_o,
    input  wire step_e                          access_step_i,
    input  wire source_e                        access_source_i,
    input  wire logic                           access_where_i,  // way and row from `where`, else as given
    input  wire logic                           access_second_i, // from `second`
    input  wire logic [1:0]                     access_way_i,
    input  wire logic [ROW_BITS-1:0]            access_row_i,    // undo: row of way 0 of the key
    input  wire logic [$clog2(SESSIONS)-1:0]    access_session_i,
    input  wire logic [$clog2(STASH)-1:0]       access_entry_i,
    input  wire binding_key_t                   host_key_i,
    output logic                                result_o,
    output step_e                               result_step_o,
    output source_e                             result_source_o,
    output logic                                result_refused_o,
    output logic                                result_valid_o,  // slot or entry holds a key, with right parity
    output logic                                result_match_o,  // it is the key asked for of the session asked for
    output logic                                result_same_o,   // it is the host's key
    output logic                                result_paired_o, // the session asked for has two keys
    output logic                                result_near_o,   // the row was not quiet
    output logic                                result_done_o,   // removed
    output logic                                result_live_o,
    output logic                                result_used_o,
    output logic                                result_spoilt_o, // its record has wrong parity
    output binding_key_t                        result_key_o,
    output logic [$clog2(SESSIONS)-1:0]         result_session_o,
    output binding_record_t                     result_record_o,
    output logic [3:0][ROW_BITS-1:0]            result_rows_o,
    output logic                                result_own_o,    // undo: the row is that of a key of the session
    output logic [$clog2(SESSIONS)-1:0]         result_asked_o,  // session asked for
    output logic                                parity_o
);
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS);
    localparam int unsigned ENTRY_BITS = $clog2(STASH);
    localparam int unsigned KEY_BITS = BINDING_KEY_BITS;
    localparam int unsigned WORD_BITS = KEY_BITS + SESSION_BITS + 3;
    localparam int unsigned KEY_GROUPS = (KEY_BITS + 17) / 18;
    localparam int unsigned WORD_GROUPS = (WORD_BITS + 17) / 18;
    typedef logic [SESSION_BITS-1:0] session_t;
    typedef logic [ENTRY_BITS-1:0] entry_t;
    typedef logic [ROW_BITS-1:0] row_t;
    typedef logic [3:0][ROW_BITS-1:0] rows_t;
    typedef logic [3:0] ways_t;
    typedef struct packed {
        logic         parity;  // even over all
        logic         valid;
        logic         second;  // key of its session
        session_t     session;
        binding_key_t key;
    } word_t;

    function automatic ways_t first(input ways_t ways);
        return ways & (~ways + 4'd1);
    endfunction
    function automatic logic [WORD_GROUPS-1:0] parities(input word_t word);
        logic [18*WORD_GROUPS-1:0] padded;
        padded = (18 * WORD_GROUPS)'(word);
        for (int g = 0; g < WORD_GROUPS; g++) parities[g] = ^padded[18*g +: 18];
    endfunction

    // ---- what is known of a step in each cycle ------------------------------------------------------------------------------
    logic [12:1] valid_q;
    step_e       step_q[1:12];
    source_e     source_q[1:12];
    entry_t      entry_q[1:12];
    session_t    session_q[1:12];  // MOVE, PEEK: of the entry, from 2 on; else the one asked for
    binding_key_t key_q[2:12];     // MOVE, PEEK: of the entry
    part_e       part_q[1:12];
    logic [12:2] second_q;         // MOVE: of the entry, else the key asked for is the second
    logic [12:3] paired_q;         // the session asked for has two keys
    ways_t       way_q[5:12];      // chosen or given
    row_t        row_q[5:12];
    logic [12:5] lock_q;           // at work on that slot
    logic [12:5] swap_q;           // MOVE that swaps
    logic [12:5] refused_q;
    row_t        undo_row_q[1:11];

    // ---- direct writes: choice in 11, then here ----------------------------------------------------------------------------------
    logic [15:12] direct_q;
    ways_t        direct_way_q[12:15];
    row_t         direct_row_q[12:15];
    entry_t       direct_entry_q[12:13];
    session_t     direct_session_q[12:13];
    binding_key_t direct_key_q[12:13];
    logic         kill_12;

    // ---- sessions of two keys: the steps after WATCH, counted from its cycle 3 on; the last packet that may see half of a removal is in
    //      cycle 7 in the last of them ------------------------------------------------------------------------------------------------
    localparam int unsigned PAIR_CYCLES = 21;
    logic [PAIR_CYCLES:1] pair_at;
    logic       pair_q, pair_void_q, watched_q, pair_own_q, pair_same_q, dying_q, removed_13;
    session_t   pair_session_q;
    source_e    pair_source_q;
    row_t       pair_undo_q;
    logic [1:0][ROW_BITS+1:0] pair_place_q;
    logic       watch_2, pair_step;
    assign pair_step       = pair_at[2] || pair_at[4];  // FIRST, CLEAR
    assign dying_o         = dying_q;
    assign dying_session_o = pair_session_q;

    // ---- 0: who goes ---------------------------------------------------------------------------------------------------------------
    logic phase_q;
    assign access_take_o = access_i && !phase_q && !direct_q[13] && !busy_i && !pair_step;
    assign pick_take_o   = pick_i && !access_take_o && !busy_i && !pair_step;

    // Where sessions are. Steps write when they are through (12), direct writes go first on the second port.
    logic [ROW_BITS+1:0] where_2, where_unused, second_2, second_unused;
    logic [1:0]          paired_2;
    logic                clear_12;
    logic                landed_12;
    logic [1:0]          landed_way;
    function automatic logic [1:0] binary(input ways_t way);
        binary = '0;
        for (int i = 0; i < 4; i++) if (way[i]) binary |= 2'(i);
    endfunction
    assign landed_way = binary(way_q[12]);
    session_t where_session;
    assign where_session = direct_q[13] ? direct_session_q[13] : access_session_i;
    binding_ram2 #(.WIDTH(ROW_BITS + 2), .DEPTH(SESSIONS)) u_where (
        .clk, .a_write_i(landed_12 && !second_q[12]), .a_address_i(session_q[12]), .a_data_i({landed_way, row_q[12]}), .a_data_o(where_unused),
        .b_write_i(direct_q[13]), .b_address_i(where_session), .b_data_i({binary(direct_way_q[13]), direct_row_q[13]}), .b_data_o(where_2));
    binding_ram2 #(.WIDTH(ROW_BITS + 2), .DEPTH(SESSIONS)) u_second (
        .clk, .a_write_i(landed_12 && second_q[12]), .a_address_i(session_q[12]), .a_data_i({landed_way, row_q[12]}), .a_data_o(second_unused),
        .b_write_i(1'b0), .b_address_i(where_session), .b_data_i('0), .b_data_o(second_2));
    // Four banks, cleared side by side.
    logic [3:0][1:0] paired_banks, paired_unused;
    for (genvar b = 0; b < 4; b++) begin : gen_bank
        binding_ram2 #(.WIDTH(2), .DEPTH(SESSIONS / 4)) u_paired (
            .clk, .a_write_i(clear_i || (clear_12 && session_q[12][1:0] == 2'(b))),
            .a_address_i(clear_i ? clear_row_i : session_q[12][SESSION_BITS-1:2]), .a_data_i(2'b00), .a_data_o(paired_unused[b]),
            .b_write_i(access_take_o && access_step_i == STEP_PAIR && access_session_i[1:0] == 2'(b)),
            .b_address_i(access_session_i[SESSION_BITS-1:2]), .b_data_i(2'b11), .b_data_o(paired_banks[b]));
    end
    assign paired_2 = paired_banks[session_q[2][1:0]];

    // ---- 1, 2: entry, where --------------------------------------------------------------------------------------------------------------
    logic       where_1q, where_2q, asked_second_1, asked_second_2;
    logic [4:3] pair_refused_q;
    logic [1:0] given_way_1, given_way_2;
    row_t       given_row_1, given_row_2;
    rows_t      rows_2, rows_2q, rows_3, rows_4;
    ways_t      last_2, last_3, last_4, given_3, given_4;
    logic       entry_valid_2;
    logic [7:3] entry_valid_q;
    logic [1:0] way_2;
    row_t       row_2;
    assign read_entry_o = entry_q[1];
    assign watch_2        = where_2q && step_q[2] == STEP_REMOVE && |paired_2;
    assign {way_2, row_2} = !where_2q ? {given_way_2, given_row_2} : (asked_second_2 || watch_2) ? second_2 : where_2;
    assign rows_2       = (step_q[2] == STEP_MOVE) ? rows_2q : {4{row_2}};
    logic [WORD_GROUPS-1:0] parities_3;
    logic                   parity_4;
    logic [12:5]            parity_q;
    always_ff @(posedge clk) begin
        phase_q      <= !phase_q;
        valid_q[1]   <= access_take_o || pick_take_o || pair_step;
        step_q[1]    <= pair_step ? STEP_REMOVE : access_take_o ? access_step_i : STEP_MOVE;
        source_q[1]  <= pair_step ? pair_source_q : access_source_i;
        entry_q[1]   <= access_take_o ? access_entry_i : pick_entry_i;
        session_q[1] <= pair_step ? pair_session_q : access_session_i;
        where_1q     <= access_where_i && !pair_step;
        asked_second_1 <= access_second_i;
        {given_way_1, given_row_1} <= pair_step ? pair_place_q[pair_at[4]] : {access_way_i, access_row_i};
        undo_row_q[1] <= pair_step ? pair_undo_q : access_row_i;
        part_q[1]    <= pair_at[2] ? PART_FIRST : pair_at[4] ? PART_CLEAR : PART_ALL;

        asked_second_2 <= asked_second_1 && where_1q;
        part_q[2]      <= part_q[1];
        part_q[3]      <= (watch_2 && !pair_q) ? PART_WATCH : part_q[2];
        second_q       <= {second_q[11:3], (step_q[2] == STEP_MOVE) ? second_q[2] : asked_second_2 || watch_2, read_second_i};
        paired_q       <= {paired_q[11:3], |paired_2};
        pair_refused_q <= {pair_refused_q[3], watch_2 && pair_q};
        pair_at        <= {pair_at[PAIR_CYCLES-1:1], valid_q[2] && watch_2 && !pair_q};
        if (valid_q[2] && watch_2 && !pair_q) begin
            pair_q         <= 1'b1;
            pair_session_q <= session_q[2];
            pair_source_q  <= source_q[2];
            pair_undo_q    <= undo_row_q[2];
            pair_place_q   <= {second_2, where_2};
        end
        if (pair_at[3]) pair_void_q <= refused_q[5];  // WATCH is in 5
        if (pair_at[PAIR_CYCLES]) pair_q <= 1'b0;

        key_q[2]      <= read_key_i;
        session_q[2]  <= (step_q[1] == STEP_MOVE || step_q[1] == STEP_PEEK) ? read_session_i : session_q[1];
        rows_2q       <= read_rows_i;
        last_2        <= read_last_i;
        entry_valid_2 <= stash_valid_i[entry_q[1]];
        where_2q      <= where_1q;
        given_way_2   <= given_way_1;
        given_row_2   <= given_row_1;

        rows_3     <= rows_2;
        rows_4     <= rows_3;
        last_3     <= last_2;
        last_4     <= last_3;
        given_3    <= 4'd1 << way_2;
        given_4    <= given_3;
        parities_3 <= parities('{parity: 1'b0, valid: 1'b1, second: second_q[2], session: session_q[2], key: key_q[2]});
        parity_4   <= ^parities_3;
        parity_q   <= {parity_q[11:5], parity_4};
        entry_valid_q <= {entry_valid_q[6:3], entry_valid_2};
        for (int i = 2; i <= 12; i++) begin
            step_q[i]   <= step_q[i-1];
            source_q[i] <= source_q[i-1];
            entry_q[i]  <= entry_q[i-1];
            if (i > 2) session_q[i] <= session_q[i-1];
            if (i > 3) part_q[i] <= part_q[i-1];
            if (i > 2) key_q[i] <= key_q[(i > 2) ? i - 1 : 2];
            if (i < 12) undo_row_q[(i < 12) ? i : 11] <= undo_row_q[i-1];
        end
        valid_q[12:2] <= valid_q[11:1];
        if (rst) begin
            valid_q <= '0;
            phase_q <= 1'b0;
            pair_at <= '0;
            pair_q  <= 1'b0;
        end
    end

    // ---- what is occupied: a copy for the steps (read in 2), one for direct writes (read in 9) ------------------------------------------------
    ways_t empty_4, empty_11;
    for (genvar w = 0; w < 4; w++) begin : gen_occupied
        logic [1:0] flags_4, flags_11;
        logic       write, occupied;
        assign write    = slot_write_o[w];
        assign occupied = slot_word_o[w][WORD_BITS-2];
        binding_ram #(.WIDTH(2), .DEPTH(2 ** ROW_BITS)) u_steps (
            .clk, .write_i(write), .write_address_i(slot_row_o[w]), .write_data_i({2{occupied}}),
            .read_address_i(rows_2[w]), .read_data_o(flags_4));
        binding_ram #(.WIDTH(2), .DEPTH(2 ** ROW_BITS)) u_direct (
            .clk, .write_i(write), .write_address_i(slot_row_o[w]), .write_data_i({2{occupied}}),
            .read_address_i(rows_9_i[w]), .read_data_o(flags_11));
        assign empty_4[w]  = flags_4 == 2'b00;
        assign empty_11[w] = flags_11 == 2'b00;
    end

    // ---- 4: the slot ---------------------------------------------------------------------------------------------------------------------------
    // Rows that are those of older steps and direct writes, found one cycle before.
    ways_t             same_step_4, met_4, writes_4;  // met: an older one; writes: the way's port is taken
    ways_t             usable_4, evictable_4, choice_4;
    logic              forced_4, place_4, swap_4, refused_4, touches_4;
    logic [15:0]       random_q;
    ways_t             from_4;
    always_ff @(posedge clk) begin
        for (int w = 0; w < 4; w++) begin
            // In the next cycle: the step before is in 5, its way is known then; the last direct write is in 12, and all of its way is avoided.
            same_step_4[w]   <= rows_3[w] == rows_4[w];
            met_4[w]         <= 1'b0;
            for (int k = 5; k <= 10; k++) if (rows_3[w] == row_q[k] && lock_q[k] && way_q[k][w]) met_4[w] <= 1'b1;
            for (int k = 12; k <= 14; k++)
                if (rows_3[w] == direct_row_q[k] && direct_q[k] && direct_way_q[k][w]) met_4[w] <= 1'b1;
            writes_4[w]      <= lock_q[10] && (swap_q[10] || step_q[10] == STEP_REMOVE) && way_q[10][w];
        end
        random_q <= {random_q[14:0], random_q[15] ^ random_q[13] ^ random_q[12] ^ random_q[10]};
        if (rst) random_q <= 16'h1d87;
    end
    always_comb begin
        for (int w = 0; w < 4; w++) begin
            // A direct write also takes the port of its way.
            usable_4[w] = !met_4[w] && !writes_4[w] && !(direct_q[12] && direct_way_q[12][w])
                && !(same_step_4[w] && lock_q[5] && way_q[5][w]);
        end
    end
    assign forced_4    = step_q[4] != STEP_MOVE;
    assign touches_4   = step_q[4] == STEP_REMOVE || step_q[4] == STEP_READ;
    assign evictable_4 = usable_4 & ~last_4;
    // Swaps begin at the lowest way while there is a crowd, else often: the high ways keep room for those that were moved.
    assign from_4      = (crowded_i || random_q[2:0] < 3'd5) ? 4'b1111 : 4'b1111 << random_q[9:8];
    assign place_4     = !forced_4 && |(empty_4 & usable_4);
    // An empty slot that cannot be had now is worth coming back for.
    assign swap_4      = !forced_4 && empty_4 == '0 && |evictable_4;
    assign choice_4    = forced_4 ? given_4
        : place_4 ? first(empty_4 & usable_4)
        : (|(evictable_4 & from_4)) ? first(evictable_4 & from_4) : first(evictable_4);
    // CLEAR has its slot from WATCH.
    assign refused_4   = touches_4 && part_q[4] != PART_CLEAR
        && (!(|(given_4 & usable_4)) || pair_refused_q[4] || (part_q[4] == PART_FIRST && pair_void_q));

    // ---- 5: slots --------------------------------------------------------------------------------------------------------------------------------
    logic [12:5] placed_q;
    assign place_o       = valid_q[5] && placed_q[5];
    assign give_up_o     = valid_q[5] && step_q[5] == STEP_MOVE && !placed_q[5] && !swap_q[5];
    assign place_entry_o = entry_q[5];
    always_ff @(posedge clk) begin
        way_q[5]     <= choice_4;
        row_q[5]     <= '0;
        for (int w = 0; w < 4; w++) if (choice_4[w]) row_q[5] <= rows_4[w];
        lock_q       <= {lock_q[11:5], valid_q[4] && (place_4 || swap_4
                              || (step_q[4] == STEP_REMOVE && !refused_4 && !(part_q[4] == PART_CLEAR && pair_void_q)))};
        swap_q       <= {swap_q[11:5], swap_4};
        placed_q     <= {placed_q[11:5], place_4};
        refused_q    <= {refused_q[11:5], refused_4};
        for (int i = 6; i <= 12; i++) begin
            way_q[i] <= way_q[i-1];
            row_q[i] <= row_q[i-1];
        end
        if (rst) lock_q <= '0;
    end

    // ---- 7 .. 9: word, parity, compare, rows -----------------------------------------------------------------------------------------------------
    word_t                  word_7, word_8, peeked_7;
    word_t                  word_q[9:12];
    logic [WORD_GROUPS-1:0] parities_8;
    logic [KEY_GROUPS-1:0]  same_9;
    logic                   bad_9, match_9;
    rows_t                  rows_9, rows_10, rows_11, rows_12, rows_next;
    logic                   real_7, real_8;  // from a slot
    ways_t                  from_slot_7;
    logic                   from_stash_7, from_host_7;
    always_comb begin
        peeked_7 = '{parity: 1'b0, valid: entry_valid_q[7], second: 1'b0, session: session_q[7], key: key_q[7]};
        word_7   = '0;
        for (int w = 0; w < 4; w++) word_7 |= slot_word_i[w] & {WORD_BITS{from_slot_7[w]}};
        if (from_stash_7) word_7 |= peeked_7;
        if (from_host_7) word_7.key |= host_key_i;
    end
    assign real_7 = valid_q[7] && !placed_q[7] && !refused_q[7] && step_q[7] != STEP_PEEK && step_q[7] != STEP_HASH;
    tabulation_hash #(.HASH_BITS(4 * ROW_BITS)) u_hash (
        .clk, .fill_i, .fill_data_i, .key_i(word_7.key), .next_o(rows_next), .hash_o(rows_9));
    assign record_read_o    = valid_q[8] && step_q[8] != STEP_MOVE;
    assign record_session_o = word_8.session;
    logic [12:1] near;   // packets of the row
    logic        near_10, near_11;
    logic        right_9, right_10, right_11, same_10, same_11, match_10, match_11, bad_10, bad_11;
    always_comb begin
        near = '0;
        near[1] = row_valid_i[1] && row_zero_i[1] == rows_11[0];
        near[2] = row_valid_i[2] && row_zero_i[2] == rows_9[0];
        for (int i = 3; i <= 12; i++) near[i] = row_valid_i[i] && row_zero_i[i] == rows_9[0];
    end
    always_ff @(posedge clk) begin
        logic [18*KEY_GROUPS-1:0] difference;
        difference = (18 * KEY_GROUPS)'(word_8.key ^ host_key_i);
        for (int g = 0; g < KEY_GROUPS; g++) same_9[g] <= ~|difference[18*g +: 18];
        from_slot_7  <= (step_q[6] == STEP_PEEK || step_q[6] == STEP_HASH) ? '0 : way_q[6];
        from_stash_7 <= step_q[6] == STEP_PEEK;
        from_host_7  <= step_q[6] == STEP_HASH;
        word_8     <= word_7;
        parities_8 <= parities(word_7);
        real_8     <= real_7;
        bad_9      <= real_8 && ^parities_8;
        match_9    <= {word_8.second, word_8.session} == {second_q[8], session_q[8]};
        word_q[9]  <= word_8;
        for (int i = 10; i <= 12; i++) word_q[i] <= word_q[i-1];
        rows_10  <= rows_9;
        rows_11  <= rows_10;
        rows_12  <= rows_11;
        near_10  <= |near[12:2];
        near_11  <= near_10 || (row_valid_i[2] && row_zero_i[2] == rows_10[0]);
        right_10 <= right_9;
        right_11 <= right_10;
        same_10  <= &same_9;
        same_11  <= same_10;
        match_10 <= match_9;
        match_11 <= match_10;
        bad_10   <= bad_9;
        bad_11   <= bad_10;
    end
    assign right_9 = word_q[9].valid && !bad_9 && !refused_q[9];

    // ---- 10, 11: record, decision -------------------------------------------------------------------------------------------------------------------
    binding_record_t record_10, record_11, record_12;
    logic            record_bad_10, asked_10, live_11, used_11, meets_11, near_late, own_11, clear_11, decides_11, done_11;
    assign record_10     = record_i[BINDING_RECORD_BITS-1:0];
    assign record_bad_10 = ^record_i;
    assign asked_10      = valid_q[10] && step_q[10] != STEP_MOVE;
    assign near_late = near_11 || near[1] || (row_valid_i[2] && row_zero_i[2] == rows_11[0]);
    always_comb begin
        case (source_q[11])
            BY_SWEEP: meets_11 = !live_11;
            BY_UNDO:  meets_11 = record_11.fresh && record_11.state != BINDING_FREE && own_11;
            default:  meets_11 = same_11 || (part_q[11] == PART_FIRST && pair_same_q);
        endcase
    end
    assign own_11  = rows_11[0] == undo_row_q[11] || (part_q[11] == PART_FIRST && pair_own_q);
    assign clear_11 = (right_11 && !near_late) || (bad_11 && (source_q[11] == BY_SWEEP || part_q[11] == PART_WATCH));
    assign done_11 = lock_q[11] && decides_11 && match_11 && used_11 && meets_11 && clear_11;

    logic  swap_12, remove_12, writes_12, result_12, own_12;
    word_t new_12;
    assign new_12 = '{parity: parity_q[12], valid: 1'b1, second: second_q[12], session: session_q[12], key: key_q[12]};
    assign writes_12 = swap_12 || remove_12 || clear_12;
    logic right_12, match_12, same_12, near_12, live_12, used_12, spoilt_11, spoilt_12, abort_12;
    always_ff @(posedge clk) begin
        record_11 <= record_10;
        live_11   <= !record_bad_10 && binding_live(record_10.state, record_10.expires, fast_now_i, slow_now_i);
        used_11   <= record_bad_10 || record_i[BINDING_RECORD_BITS];
        parity_o  <= (bad_9 || (asked_10 && record_bad_10)) && !busy_i;
        if (record_bad_10) record_11.fresh <= 1'b0;

        swap_12   <= lock_q[11] && swap_q[11] && right_11;
        abort_12  <= lock_q[11] && swap_q[11] && !right_11;
        landed_12 <= lock_q[11] && (placed_q[11] || (swap_q[11] && right_11));
        remove_12 <= done_11;
        result_12 <= valid_q[11] && step_q[11] != STEP_MOVE && part_q[11] != PART_WATCH && part_q[11] != PART_CLEAR;
        own_12    <= own_11;

        // WATCH is in 11 two cycles before FIRST is in 9, FIRST in 13 when CLEAR is in 11.
        decides_11 <= step_q[10] == STEP_REMOVE && (part_q[10] == PART_ALL || (part_q[10] == PART_FIRST && watched_q));
        if (part_q[11] == PART_WATCH) begin
            watched_q  <= lock_q[11] && match_11 && clear_11;
            pair_own_q <= rows_11[0] == undo_row_q[11];
            pair_same_q <= same_11;
        end
        removed_13 <= remove_12;
        clear_12   <= lock_q[11] && part_q[11] == PART_CLEAR && removed_13;
        if (remove_12 && part_q[12] == PART_FIRST) dying_q <= 1'b1;
        if (pair_at[PAIR_CYCLES]) dying_q <= 1'b0;
        right_12  <= right_11;
        match_12  <= match_11;
        same_12   <= same_11;
        near_12   <= near_late;
        live_12   <= live_11;
        used_12   <= used_11;
        record_12 <= record_11;
        spoilt_11 <= record_bad_10;
        spoilt_12 <= spoilt_11;

        unused_o         <= (remove_12 && part_q[12] == PART_ALL) || clear_12;
        unused_session_o <= session_q[12];
        if (rst) begin
            swap_12   <= 1'b0;
            abort_12  <= 1'b0;
            landed_12 <= 1'b0;
            remove_12 <= 1'b0;
            clear_12  <= 1'b0;
            dying_q   <= 1'b0;
            result_12 <= 1'b0;
            unused_o  <= 1'b0;
        end
    end
    assign swap_o         = swap_12;
    assign abort_o        = abort_12;
    assign swap_entry_o   = entry_q[12];
    assign swap_key_o     = word_q[12].key;
    assign swap_session_o = word_q[12].session;
    assign swap_second_o  = word_q[12].second;
    assign swap_rows_o    = rows_12;
    assign swap_last_o    = way_q[12];

    assign result_o         = result_12;
    assign result_step_o    = step_q[12];
    assign result_source_o  = source_q[12];
    assign result_refused_o = refused_q[12];
    assign result_valid_o   = right_12;
    assign result_match_o   = match_12;
    assign result_same_o    = same_12;
    assign result_paired_o  = paired_q[12];
    assign result_near_o    = near_12;
    assign result_done_o    = remove_12;
    assign result_live_o    = live_12;
    assign result_used_o    = used_12;
    assign result_spoilt_o  = spoilt_12;
    assign result_key_o     = word_q[12].key;
    assign result_session_o = word_q[12].session;
    assign result_record_o  = record_12;
    assign result_rows_o    = rows_12;
    assign result_own_o     = own_12;
    assign result_asked_o   = session_q[12];

    // ---- direct: 11 choice, 12 veto of a step that placed into the same slot, 13 write -----------------------------------------------------------------
    rows_t                  rows_10d;
    ways_t                  same_step_11, same_direct_11, met_11, writes_11;
    ways_t                  usable_11, choice_11;
    logic [WORD_GROUPS-1:0] direct_parities_12;
    logic                   direct_parity_13;
    always_ff @(posedge clk) begin
        rows_10d <= rows_9_i;
        for (int w = 0; w < 4; w++) begin
            same_step_11[w]   <= rows_10d[w] == rows_4[w];
            same_direct_11[w] <= rows_10d[w] == create_rows_i[w];
            met_11[w]         <= 1'b0;
            for (int k = 5; k <= 6; k++) if (rows_10d[w] == row_q[k] && lock_q[k] && way_q[k][w]) met_11[w] <= 1'b1;
            for (int k = 12; k <= 14; k++)
                if (rows_10d[w] == direct_row_q[k] && direct_q[k] && direct_way_q[k][w]) met_11[w] <= 1'b1;
            writes_11[w]      <= lock_q[9] && (swap_q[9] || step_q[9] == STEP_REMOVE) && way_q[9][w];
        end
    end
    always_comb begin
        for (int w = 0; w < 4; w++) begin
            usable_11[w] = !met_11[w] && !writes_11[w] && !(same_step_11[w] && lock_q[5] && way_q[5][w])
                && !(same_direct_11[w] && direct_q[12] && direct_way_q[12][w]);
        end
    end
    assign choice_11     = first(empty_11 & usable_11);
    assign direct_hold_o = |(empty_11 & usable_11);
    assign kill_12       = direct_q[12] && place_o && way_q[5] == direct_way_q[12] && row_q[5] == direct_row_q[12];
    assign kill_o        = kill_12;
    assign kill_entry_o  = direct_entry_q[12];
    assign direct_o       = direct_q[13];
    assign direct_entry_o = direct_entry_q[13];
    always_ff @(posedge clk) begin
        direct_q             <= {direct_q[14:13], direct_q[12] && !kill_12, create_i && direct_hold_o};
        direct_way_q[12]     <= choice_11;
        direct_row_q[12]     <= '0;
        for (int w = 0; w < 4; w++) if (choice_11[w]) direct_row_q[12] <= create_rows_i[w];
        direct_entry_q[12]   <= create_entry_i;
        direct_session_q[12] <= create_session_i;
        direct_key_q[12]     <= create_key_i;
        direct_parities_12   <= parities('{parity: 1'b0, valid: 1'b1, second: 1'b0, session: create_session_i, key: create_key_i});
        direct_parity_13     <= ^direct_parities_12;
        for (int i = 13; i <= 15; i++) begin
            direct_way_q[i] <= direct_way_q[i-1];
            direct_row_q[i] <= direct_row_q[i-1];
        end
        direct_entry_q[13]   <= direct_entry_q[12];
        direct_session_q[13] <= direct_session_q[12];
        direct_key_q[13]     <= direct_key_q[12];
        if (rst) direct_q <= '0;
    end

    // ---- second port of the slots ---------------------------------------------------------------------------------------------------------------------------
    word_t placed_5, direct_13;
    assign placed_5  = '{parity: parity_q[5], valid: 1'b1, second: second_q[5], session: session_q[5], key: key_q[5]};
    assign direct_13 = '{parity: direct_parity_13, valid: 1'b1, second: 1'b0, session: direct_session_q[13], key: direct_key_q[13]};
    ways_t uses_5, uses_12, uses_13;
    assign uses_5  = way_q[5] & {4{valid_q[5] && (placed_q[5] || swap_q[5] || ((step_q[5] == STEP_REMOVE || step_q[5] == STEP_READ) && !refused_q[5] && part_q[5] != PART_CLEAR))}};
    assign uses_12 = way_q[12] & {4{writes_12}};
    assign uses_13 = direct_way_q[13] & {4{direct_q[13]}};
    always_comb begin
        for (int w = 0; w < 4; w++) begin
            slot_write_o[w] = clear_i || uses_12[w] || uses_13[w] || (place_o && way_q[5][w]);
            slot_row_o[w]   = clear_i ? clear_row_i : uses_12[w] ? row_q[12] : uses_13[w] ? direct_row_q[13] : row_q[5];
            slot_word_o[w]  = (clear_i || (uses_12[w] && !swap_12)) ? '0
                : uses_12[w] ? new_12 : uses_13[w] ? direct_13 : placed_5;
        end
    end
    wire logic unused = &{1'b0, where_unused, second_unused, paired_unused, rows_next, match_10, near, placed_q, swap_q, refused_q, lock_q, valid_q, parity_q};
    `HG_ASSERT(port_once, (uses_5 & uses_12) == '0 && (uses_5 & uses_13) == '0 && (uses_12 & uses_13) == '0)
    `HG_ASSERT(nothing_in_reset, !busy_i || !(place_o || writes_12 || direct_q[13]))
endmodule
`resetall
