// SPDX-License-Identifier: Apache-2.0
//
// binding_lookup: the packets' way through the table. Never stalls.
//
// Cycle   0 key; 0..2 hash; 2 slots and stash are read; 4..6 compare; 6..8 record is read; 9 older outcomes; 10 answer and operation;
//         11 the operation is written (`done_*_o`).
// Forward a packet sees what every packet before it has done. What was done ten or more cycles before is in the memories. For the rest
//         each key is compared with those of the nine cycles before it, and the record that such a packet wrote is taken over as it
//         passes, the newest last; the one of the cycle before comes in cycle 10, behind one multiplexer.
//         Where two keys share a session: a key found in memory has its record from there, with all that was written six or more cycles
//         before, and takes over what packets of the last five cycles wrote that found the same session in memory. A key that is
//         not found there yet is new, and its session has no other.
// Dying   a session of two keys goes from two slots, not in one cycle: a packet that found it in between (`dying_i` in its cycle 7) misses.
// Live    by the clocks of the cycle before; a record written in the cycle before is live unless FREE.
// Parity  a way whose word has wrong parity misses; a record with wrong parity is FREE. `parity_o` is a pulse for each such packet.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module binding_lookup
    import binding_pkg::*;
#(
    // Sessions.
    parameter int unsigned SESSIONS = 65536,
    // Bits of a row.
    parameter int unsigned ROW_BITS = 14
) (
    input  wire logic                           clk,
    input  wire logic                           rst,
    input  wire logic                           busy_i,
    input  wire logic [15:0]                    fast_now_i,
    input  wire logic [15:0]                    slow_now_i,
    input  wire hash_fill_t                     fill_i,
    input  wire logic [4*ROW_BITS-1:0]          fill_data_i,
    // packets
    input  wire logic                           valid_i,
    input  wire binding_key_t                   key_i,
    output logic [9:0]                          peek_target_o,   // cycle 8
    input  wire logic                           peek_flag_i,     // cycle 9
    output logic                                present_o,
    output logic                                live_o,
    output logic [$clog2(SESSIONS)-1:0]         session_o,
    output binding_record_t                     record_o,
    output logic                                flag_o,
    output logic [ROW_BITS-1:0]                 row_o,
    output logic                                last_o,          // which candidate it is
    output binding_candidate_t [1:0]            candidate_o,     // by memory or a packet before the last; by the packet right before
    input  wire binding_op_e                    op_i,
    input  wire logic                           same_i,          // WRITE of what is there: not stored
    input  wire binding_record_t                record_i,
    input  wire logic                           flag_i,
    input  wire logic                           can_create_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    new_session_i,
    // slots: rows of all ways in cycle 2, words {parity, valid, second, session, key} in cycle 4
    output logic [3:0][ROW_BITS-1:0]            slot_rows_o,
    input  wire logic [3:0][BINDING_KEY_BITS+$clog2(SESSIONS)+2:0] slot_words_i,
    input  wire logic                           dying_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    dying_session_i,
    // stash: key in cycle 2, answer in cycle 6
    output binding_key_t                        stash_key_o,
    input  wire logic                           stash_hit_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    stash_session_i,
    // records: session in cycle 6, {parity, record} in cycle 8
    output logic [$clog2(SESSIONS)-1:0]         read_session_o,
    input  wire logic [BINDING_RECORD_BITS:0]   read_record_i,
    // rows of way 0 of packets in cycle 1 .. 12
    output logic [12:1]                         row_valid_o,
    output logic [12:1][ROW_BITS-1:0]           row_zero_o,
    output logic [3:0][ROW_BITS-1:0]            rows_9_o,
    // operation, cycle 11
    output logic                                done_o,          // something is written
    output logic                                done_new_o,      // a new key
    output binding_key_t                        done_key_o,
    output logic [$clog2(SESSIONS)-1:0]         done_session_o,
    output binding_record_t                     done_record_o,
    output logic [3:0][ROW_BITS-1:0]            done_rows_o,
    output logic                                refused_o,       // a new key without room: not done, with an event
    output logic                                event_o,
    output binding_event_e                      event_kind_o,
    output logic                                event_renewed_o, // CREATED took over a session that had expired
    output logic                                parity_o
);
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS);
    localparam int unsigned KEY_BITS = BINDING_KEY_BITS;
    localparam int unsigned WORD_BITS = KEY_BITS + SESSION_BITS + 3;
    localparam int unsigned KEY_GROUPS = (KEY_BITS + 17) / 18;
    localparam int unsigned WORD_GROUPS = (WORD_BITS + 17) / 18;
    localparam int unsigned WINDOW = 9;  // cycles back that are forwarded
    localparam int unsigned SHARED = 5;  // of those, cycles back in which a record was written that is not read from memory
    typedef logic [SESSION_BITS-1:0] session_t;
    typedef logic [3:0][ROW_BITS-1:0] rows_t;

    // ---- packets in flight -------------------------------------------------------------------------------------------------
    binding_key_t key_q[1:11];
    logic [12:1]  valid_q;
    always_ff @(posedge clk) begin
        key_q[1] <= key_i;
        for (int i = 2; i <= 11; i++) key_q[i] <= key_q[i-1];
        valid_q  <= {valid_q[11:1], valid_i};
        if (rst) valid_q <= '0;
    end

    rows_t rows_next, rows_2;
    rows_t rows_q[3:11];
    logic [ROW_BITS-1:0] row_12;
    tabulation_hash #(.HASH_BITS(4 * ROW_BITS)) u_hash (
        .clk, .fill_i, .fill_data_i, .key_i(key_i), .next_o(rows_next), .hash_o(rows_2));
    always_ff @(posedge clk) begin
        rows_q[3] <= rows_2;
        for (int i = 4; i <= 11; i++) rows_q[i] <= rows_q[i-1];
        row_12 <= rows_q[11][0];
    end
    assign row_valid_o   = valid_q;
    assign row_zero_o[1] = rows_next[0];
    assign row_zero_o[2] = rows_2[0];
    for (genvar i = 3; i <= 11; i++) begin : gen_row
        assign row_zero_o[i] = rows_q[i][0];
    end
    assign row_zero_o[12] = row_12;
    assign rows_9_o    = rows_q[9];
    assign row_o       = rows_q[10][0];
    assign slot_rows_o = rows_2;
    assign stash_key_o = key_q[2];

    // ---- slots: 4 compare groups, 5 all of them, 6 session -------------------------------------------------------------------
    logic [3:0][KEY_GROUPS-1:0]   same_5;
    logic [3:0][WORD_GROUPS-1:0]  parity_5;
    logic [3:0]                   slot_valid_5, hit_6, bad_6, way_hit;
    logic [3:0][SESSION_BITS-1:0] session_5, session_6;
    always_ff @(posedge clk) begin
        for (int w = 0; w < 4; w++) begin
            logic [18*KEY_GROUPS-1:0]  difference;
            logic [18*WORD_GROUPS-1:0] word;
            difference = (18 * KEY_GROUPS)'(slot_words_i[w][KEY_BITS-1:0] ^ key_q[4]);
            word       = (18 * WORD_GROUPS)'(slot_words_i[w]);
            for (int g = 0; g < KEY_GROUPS; g++) same_5[w][g] <= ~|difference[18*g +: 18];
            for (int g = 0; g < WORD_GROUPS; g++) parity_5[w][g] <= ^word[18*g +: 18];
            slot_valid_5[w] <= slot_words_i[w][WORD_BITS-2];
            session_5[w]    <= slot_words_i[w][KEY_BITS +: SESSION_BITS];
            hit_6[w]        <= &same_5[w] && slot_valid_5[w] && valid_q[5] && !busy_i;
            bad_6[w]        <= ^parity_5[w];
            session_6[w]    <= session_5[w];
        end
    end
    assign way_hit = hit_6 & ~bad_6;
    always_comb begin
        read_session_o = stash_session_i & {SESSION_BITS{stash_hit_i}};
        for (int w = 0; w < 4; w++) read_session_o |= session_6[w] & {SESSION_BITS{way_hit[w]}};
    end
    logic           slot_bad_7, slot_bad_8, parity_q;
    logic [12:7]    present_q;
    session_t       found_q[7:12];
    logic [SHARED:1] same_session_7;  // as a packet ahead
    always_comb for (int n = 1; n <= SHARED; n++) same_session_7[n] = present_q[7] && present_q[7+n] && found_q[7] == found_q[7+n];
    always_ff @(posedge clk) begin
        present_q  <= {present_q[11:8], present_q[7] && !(dying_i && found_q[7] == dying_session_i),
                       (|way_hit) || (stash_hit_i && valid_q[6] && !busy_i)};
        found_q[7] <= read_session_o;
        for (int i = 8; i <= 12; i++) found_q[i] <= found_q[i-1];
        slot_bad_7 <= |bad_6 && valid_q[6] && !busy_i;
        slot_bad_8 <= slot_bad_7;
    end

    // ---- record: 8 parity -----------------------------------------------------------------------------------------------------
    binding_record_t record_8, record_9;
    logic            record_bad_8;
    assign record_8      = read_record_i[BINDING_RECORD_BITS-1:0];
    assign record_bad_8  = ^read_record_i;
    assign peek_target_o = record_8.target;
    always_ff @(posedge clk) begin
        record_9 <= record_8;
        if (record_bad_8) record_9.state <= BINDING_FREE;
        parity_q <= slot_bad_8 || (present_q[8] && record_bad_8);
    end
    assign parity_o = parity_q;

    // ---- who ahead has the same key, from cycle 8 on or the same session: same_N[n], packet in cycle N, n cycles behind the other ----------------------------------------
    logic [WINDOW:1][KEY_GROUPS-1:0] same_key_2;
    logic [WINDOW:1]                 same_valid_2;
    logic [WINDOW:1]                 same_q[3:10];
    always_ff @(posedge clk) begin
        for (int n = 1; n <= WINDOW; n++) begin
            logic [18*KEY_GROUPS-1:0] difference;
            difference = (18 * KEY_GROUPS)'(key_q[1] ^ key_q[1+n]);
            for (int g = 0; g < KEY_GROUPS; g++) same_key_2[n][g] <= ~|difference[18*g +: 18];
            same_valid_2[n] <= valid_q[1] && valid_q[1+n];
            same_q[3][n]    <= same_valid_2[n] && &same_key_2[n];
        end
        for (int i = 4; i <= 10; i++) same_q[i] <= same_q[i-1];
        same_q[8][SHARED:1] <= same_q[7][SHARED:1] | same_session_7;
    end

    // ---- outcomes: what the packets in cycle 11, 12, 13 have written ---------------------------------------------------------------
    typedef struct packed {
        logic            wrote;
        logic            live;    // not FREE
        logic            flag;
        session_t        session;
        binding_record_t record;
    } outcome_t;
    outcome_t outcome_11, outcome_12, outcome_13;
    outcome_t taken_5, taken_6, taken_7, taken_8, taken_9;
    function automatic outcome_t newer(input logic same, input outcome_t candidate, input outcome_t older);
        return (same && candidate.wrote) ? candidate : older;
    endfunction
    always_ff @(posedge clk) begin
        outcome_12 <= outcome_11;
        outcome_13 <= outcome_12;
        taken_5 <= newer(same_q[4][7], outcome_11, newer(same_q[4][8], outcome_12, newer(same_q[4][9], outcome_13, '0)));
        taken_6 <= newer(same_q[5][6], outcome_11, taken_5);
        taken_7 <= taken_6;
        taken_8 <= taken_7;
        if (present_q[7]) taken_8.wrote <= 1'b0;  // it is in the memory that was read
        taken_9 <= newer(same_q[8][3], outcome_11, newer(same_q[8][4], outcome_12, newer(same_q[8][5], outcome_13, taken_8)));
        if (rst) begin
            outcome_12.wrote <= 1'b0;
            outcome_13.wrote <= 1'b0;
        end
    end

    // 9: memory or the newest outcome but that of the cycle before.
    outcome_t        older_9;
    binding_record_t base_next;
    logic            present_10, live_10, flag_10;
    session_t        session_10;
    binding_record_t record_10;
    assign older_9   = newer(same_q[9][2], outcome_11, taken_9);
    assign base_next = older_9.wrote ? older_9.record : record_9;
    always_ff @(posedge clk) begin
        present_10   <= older_9.wrote || present_q[9];
        session_10   <= older_9.wrote ? older_9.session : found_q[9];
        record_10    <= base_next;
        live_10      <= (older_9.wrote || present_q[9]) && binding_live(base_next.state, base_next.expires, fast_now_i, slow_now_i);
        flag_10      <= older_9.wrote ? older_9.flag : peek_flag_i;
    end

    // ---- 10: answer, operation ---------------------------------------------------------------------------------------------------------
    logic last;  // the packet right before wrote this key
    assign present_o = last || present_10;
    assign live_o    = last ? outcome_11.live : live_10;
    assign session_o = last ? outcome_11.session : present_10 ? session_10 : new_session_i;
    assign record_o  = last ? outcome_11.record : record_10;
    assign flag_o    = last ? outcome_11.flag : flag_10;

    assign last_o         = last;
    assign candidate_o[0] = '{live: live_10, flag: flag_10, record: record_10};
    assign candidate_o[1] = '{live: outcome_11.live, flag: outcome_11.flag, record: outcome_11.record};

    logic create, create_new, delete, refuse, wrote, next_last, store;
    assign delete = op_i[2];
    binding_outcome u_outcome (
        .op_i, .present_i(present_o), .room_i(can_create_i), .same_i, .followed_i(same_q[9][1]), .create_o(create), .create_new_o(create_new),
        .refuse_o(refuse), .wrote_o(wrote), .last_o(next_last), .store_o(store));

    binding_record_t written;
    always_comb begin
        written = delete ? record_o : record_i;
        if (delete) written.state = BINDING_FREE;
    end
    logic       new_11, store_11, create_11, delete_11, refuse_11, live_11;
    logic [2:0] state_11;
    always_ff @(posedge clk) begin
        last       <= next_last;
        outcome_11 <= '{wrote: wrote, live: !delete, flag: flag_i, session: session_o, record: written};
        new_11     <= create_new;
        store_11   <= store;
        refuse_11  <= refuse;
        create_11  <= create;
        delete_11  <= delete;
        live_11    <= live_o;
        state_11   <= record_o.state;
        if (rst) begin
            last             <= 1'b0;
            outcome_11.wrote <= 1'b0;
            new_11           <= 1'b0;
            store_11         <= 1'b0;
            refuse_11        <= 1'b0;
        end
    end
    assign done_o         = store_11;
    assign done_new_o     = new_11;
    assign done_key_o     = key_q[11];
    assign done_session_o = outcome_11.session;
    assign done_record_o  = outcome_11.record;
    assign done_rows_o    = rows_q[11];
    assign refused_o      = refuse_11;
    assign event_o        = refuse_11 || (outcome_11.wrote && (create_11 || outcome_11.record.state != state_11));
    assign event_kind_o   = refuse_11 ? BINDING_REFUSED : delete_11 ? BINDING_REMOVED : (create_11 && !live_11) ? BINDING_CREATED : BINDING_CHANGED;

    assign event_renewed_o = !refuse_11 && create_11 && !new_11 && !live_11 && state_11 != BINDING_FREE;

    `HG_ASSERT(op_of_packet, op_i == BINDING_NONE || valid_q[10])
    `HG_ASSERT(op_known, op_i == BINDING_NONE || op_i == BINDING_WRITE || op_i == BINDING_CREATE || op_i == BINDING_DELETE)
    `HG_ASSERT(write_present, !(op_i == BINDING_WRITE || op_i == BINDING_DELETE) || present_o)
    `HG_ASSERT(one_place, (way_hit & (way_hit - 1'b1)) == '0 && !(|way_hit && stash_hit_i && valid_q[6]))
    `HG_ASSERT(write_of_state, !(op_i == BINDING_WRITE || op_i == BINDING_CREATE) || record_i.state != BINDING_FREE)
    wire logic unused = &{1'b0, rows_next, older_9.live};
endmodule
`resetall
