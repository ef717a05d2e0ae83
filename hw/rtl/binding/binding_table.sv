// SPDX-License-Identifier: Apache-2.0
//
// binding_table: bindings of keys to records; packets find, create, change and delete them at one a cycle, for ever.
//
// Packets  cycle 0: `valid_i`, `key_i`. Cycle 8: `peek_target_o`, target of the record in memory. Cycle 9: `peek_flag_i`, one bit about that target.
//          Cycle 10: `present_o` the table holds the key; `live_o` and its record is neither FREE nor expired; `session_o` (if not
//          present: the one CREATE would get), `record_o`, `flag_o` (`peek_flag_i`, or `flag_i` of the packet that wrote the record, if that
//          was five cycles ago or less, or nine since the key is there), `can_create_o`, `row_o` (for undo). Same cycle, combinational: `op_i`, `record_i`, `flag_i`.
//            WRITE   writes the record.   CREATE  the same if present (the session stays), else under a new session.   DELETE  the record is FREE.
//          A WRITE with `same_i` (`record_i` is what is there) takes no turn of the memory. `live_o`, `record_o` and `flag_o` are those of `candidate_o[last_o]`;
//          who needs the answer for a long way takes the two, which are there from the beginning of the cycle, and chooses late.
//          What a packet does is seen by the packet of the next cycle and all after it. Nothing stalls.
// Events   one a cycle at most, from three cycles after the operation on: CREATED (CREATE of a key without live record), CHANGED (CREATE over
//          a live one, WRITE of another state), REMOVED (DELETE, expiry, undo, host), REFUSED (CREATE without room). Those of packets come first; none is lost.
//          Removals wait for cycles without an event of a packet, and when 16 of them wait, the sweep and REMOVE do: a port of 100 Gb/s at 322 MHz
//          leaves 54 % of the cycles for them, even if each of its packets has an event.
//          `event_renewed_o`: CREATED under a key whose record had expired but was not swept yet; that one has no REMOVED of its own.
// Host     binding_host. FIND, INSERT, REMOVE by key, NEXT by session: a walk up with NEXT gives each binding that is live all the time once,
//          because a session never changes its first key or its number. ADD gives a live session a second key, SECOND tells it.
// Two keys a packet finds, decides and updates a session by either, with what packets before it did by the other one. CREATE over a session that has
//          ended takes it over with both. Whatever removes a session removes both at once; its REMOVED names the first. A session counts once.
// Undo     the record is removed if it is still `fresh`: binding_sweep.
// Expiry   a sweep removes what is not live: binding_sweep. Until then the key is present, not live, and CREATE takes its session over.
// Live     by the clocks of one cycle before; a record that the packet in the cycle before wrote counts as live. Sweep, host and census go by
//          clocks that are eight cycles old.
// Reset    `busy_o` for max(SESSIONS / 4, 3400) cycles and some: look-ups miss, creation is refused. `secret_i` is taken at reset.
// Census   what the sweep sees goes out at `walk_o`, and it waits while `walk_hold_i`: binding_census.
// Parity   slots and records. A slot with wrong parity misses (its key may be created again), a record with wrong parity is FREE; `parity_o`.
// Room     one session and one or two entries of the stash stay unused; as does one session once the host has inserted.
// Misuse   WRITE and DELETE without `present_o`, WRITE and CREATE of a FREE record, an operation without a packet: asserted. Clocks that
//          advance by 32768 or more between two rounds of the sweep: dead records live again.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module binding_table
    import binding_pkg::*;
#(
    // Sessions, a power of two; slots are as many, in four ways.
    parameter int unsigned SESSIONS = hashgate_cfg_pkg::SESSIONS,
    // Entries of the stash, a power of two.
    parameter int unsigned STASH = 32,
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS),
    localparam int unsigned ROW_BITS = SESSION_BITS - 2
) (
    input  wire logic                     clk,
    input  wire logic                     rst,
    input  wire logic [127:0]             secret_i,
    output logic                          busy_o,
    input  wire logic [15:0]              fast_now_i,
    input  wire logic [15:0]              slow_now_i,
    // packets
    input  wire logic                     valid_i,
    input  wire binding_key_t             key_i,
    output logic [9:0]                    peek_target_o,
    input  wire logic                     peek_flag_i,
    output logic                          present_o,
    output logic                          live_o,
    output logic [SESSION_BITS-1:0]       session_o,
    output binding_record_t               record_o,
    output logic                          flag_o,
    output logic                          can_create_o,
    output logic [ROW_BITS-1:0]           row_o,
    output logic                          last_o,
    output binding_candidate_t [1:0]      candidate_o,
    input  wire binding_op_e              op_i,
    input  wire logic                     same_i,
    input  wire binding_record_t          record_i,
    input  wire logic                     flag_i,
    // events
    output logic                          event_valid_o,
    output binding_event_e                event_kind_o,
    output logic                          event_renewed_o,
    output logic [SESSION_BITS-1:0]       event_session_o,
    output binding_record_t               event_record_o,
    output binding_key_t                  event_key_o,
    // host
    input  wire logic                     host_req_i,
    input  wire binding_host_e            host_op_i,
    input  wire binding_key_t             host_key_i,
    input  wire binding_record_t          host_record_i,
    input  wire logic [SESSION_BITS-1:0]  host_session_i,
    output logic                          host_done_o,
    output logic                          host_ok_o,
    output logic                          host_busy_o,
    output logic                          host_full_o,
    output logic                          host_present_o,
    output logic                          host_ended_o,
    output logic                          host_two_o,
    output logic [SESSION_BITS-1:0]       host_session_o,
    output binding_record_t               host_record_o,
    output binding_key_t                  host_key_o,
    // undo
    input  wire logic                     undo_valid_i,
    input  wire logic [SESSION_BITS-1:0]  undo_session_i,
    input  wire logic [ROW_BITS-1:0]      undo_row_i,
    output logic                          undo_lost_o,
    // census
    input  wire logic                     walk_hold_i,
    output binding_walk_t                 walk_o,
    // statistics
    output logic [SESSION_BITS:0]         live_slots_o,  // sessions with keys in slots and stash
    output logic [$clog2(STASH):0]        stash_used_o,
    output logic                          moves_o,
    output logic                          parity_o
);
    localparam int unsigned WORD_BITS = BINDING_KEY_BITS + SESSION_BITS + 3;
    localparam int unsigned ENTRY_BITS = $clog2(STASH);
    typedef logic [SESSION_BITS-1:0] session_t;
    typedef logic [ENTRY_BITS-1:0] entry_t;
    typedef logic [ROW_BITS-1:0] row_t;
    typedef logic [3:0][ROW_BITS-1:0] rows_t;
    typedef logic [3:0][WORD_BITS-1:0] words_t;

    // ---- clocks of all but the packets: what is read from the records may have been overwritten by then, and a clock as old as that tells whether
    //      it lived. So what lives all the time is live to them, whatever is written in its last cycle.
    localparam int unsigned CLOCK_AGE = 8;
    logic [15:0] fast_then, slow_then;
    delay #(.WIDTH(32), .CYCLES(CLOCK_AGE)) u_then (.clk, .value_i({fast_now_i, slow_now_i}), .value_o({fast_then, slow_then}));

    // ---- after reset ---------------------------------------------------------------------------------------------------------
    logic                clear;
    row_t                clear_row;
    hash_fill_t          fill;
    logic [4*ROW_BITS-1:0] fill_data;
    binding_init #(.ROWS(2 ** ROW_BITS), .HASH_BITS(4 * ROW_BITS)) u_init (
        .clk, .rst, .secret_i, .busy_o, .clear_o(clear), .clear_row_o(clear_row), .fill_o(fill), .fill_data_o(fill_data));

    // ---- slots -----------------------------------------------------------------------------------------------------------------
    rows_t      lookup_rows, slot_row;
    words_t     lookup_words, slot_word, slot_data;
    logic [3:0] slot_write;
    for (genvar w = 0; w < 4; w++) begin : gen_way
        binding_ram2 #(.WIDTH(WORD_BITS), .DEPTH(2 ** ROW_BITS)) u_slots (
            .clk, .a_write_i(1'b0), .a_address_i(lookup_rows[w]), .a_data_i('0), .a_data_o(lookup_words[w]),
            .b_write_i(slot_write[w]), .b_address_i(slot_row[w]), .b_data_i(slot_data[w]), .b_data_o(slot_word[w]));
    end

    // ---- packets -----------------------------------------------------------------------------------------------------------------
    binding_key_t                   stash_key;
    logic                           stash_hit, room, supply_any;
    session_t                       stash_session, supply_session, record_session;
    logic [BINDING_RECORD_BITS:0]   lookup_record;
    logic [12:1]                    row_valid;
    logic [12:1][ROW_BITS-1:0]      row_zero;
    rows_t                          rows_9, done_rows;
    logic                           done, done_new, done_refused, done_event, done_renewed, parity_packet, parity_step;
    binding_key_t                   done_key;
    session_t                       done_session;
    binding_record_t                done_record;
    binding_event_e                 done_event_kind;
    logic     dying;
    session_t dying_session;
    assign can_create_o = room && supply_any;
    binding_lookup #(.SESSIONS(SESSIONS), .ROW_BITS(ROW_BITS)) u_lookup (
        .clk, .rst, .busy_i(busy_o), .fast_now_i, .slow_now_i, .fill_i(fill), .fill_data_i(fill_data),
        .valid_i, .key_i, .peek_target_o, .peek_flag_i, .present_o, .live_o, .session_o, .record_o, .flag_o, .row_o, .last_o,
        .candidate_o, .op_i, .same_i, .record_i, .flag_i, .can_create_i(can_create_o), .new_session_i(supply_session),
        .slot_rows_o(lookup_rows), .slot_words_i(lookup_words), .dying_i(dying), .dying_session_i(dying_session),
        .stash_key_o(stash_key), .stash_hit_i(stash_hit), .stash_session_i(stash_session),
        .read_session_o(record_session), .read_record_i(lookup_record),
        .row_valid_o(row_valid), .row_zero_o(row_zero), .rows_9_o(rows_9),
        .done_o(done), .done_new_o(done_new), .done_key_o(done_key), .done_session_o(done_session), .done_record_o(done_record),
        .done_rows_o(done_rows), .refused_o(done_refused), .event_o(done_event), .event_kind_o(done_event_kind), .event_renewed_o(done_renewed),
        .parity_o(parity_packet));

    // ---- cycle 11: what is written, by the packet or by the host -----------------------------------------------------------------
    logic            host_write, host_write_new, host_write_second, host_write_renewed, host_wrote, write, write_new, write_second;
    session_t        host_write_session, write_session;
    rows_t           host_write_rows, write_rows;
    binding_key_t    write_key;
    binding_record_t write_record;
    assign host_wrote    = host_write && !done && !done_refused;  // both have an event
    assign write         = done || (host_wrote && !host_write_second);
    assign write_new     = done ? done_new : host_wrote && host_write_new;      // a key with its session
    assign write_second  = !done && host_wrote && host_write_second;            // a second key
    assign write_session = done ? done_session : host_write_session;
    assign write_record  = done ? done_record : host_record_i;
    assign write_key     = done ? done_key : host_key_i;
    assign write_rows    = done ? done_rows : host_write_rows;

    // ---- sessions ------------------------------------------------------------------------------------------------------------------
    logic                  host_want, host_supply, session_back;
    session_t              host_supply_session, back_session;
    logic [SESSION_BITS:0] issued;
    session_supply #(.SESSIONS(SESSIONS)) u_supply (
        .clk, .rst, .busy_i(busy_o), .session_o(supply_session), .any_o(supply_any), .take_i(done_new),
        .host_want_i(host_want), .host_any_o(host_supply), .host_session_o(host_supply_session),
        .host_take_i(host_wrote && host_write_new), .return_i(session_back), .return_session_i(back_session), .issued_o(issued));

    // ---- records ---------------------------------------------------------------------------------------------------------------------
    logic                           access_record, scan, scan_take, scan_valid;
    session_t                       access_record_session, scan_session;
    logic [BINDING_RECORD_BITS+1:0] other_record;
    logic [3:0][BINDING_RECORD_BITS+1:0] other_records;
    binding_records #(.SESSIONS(SESSIONS)) u_records (
        .clk, .rst, .clear_i(clear), .clear_four_i(clear_row), .write_i(write), .write_session_i(write_session), .write_record_i(write_record),
        .lookup_session_i(record_session), .lookup_record_o(lookup_record),
        .access_i(access_record), .access_session_i(access_record_session),
        .unused_i(session_back), .unused_session_i(back_session),
        .scan_i(scan), .scan_take_o(scan_take), .scan_session_i(scan_session), .scan_valid_o(scan_valid), .other_record_o(other_record),
        .other_records_o(other_records));

    // ---- stash -------------------------------------------------------------------------------------------------------------------------
    logic             pick, pick_take, place, give_up, swap, abort, kill, direct_hold, direct;
    entry_t           pick_entry, read_entry, place_entry, swap_entry, kill_entry, direct_entry, free_entry;
    binding_key_t     entry_key, swap_key;
    session_t         entry_session, swap_session;
    logic             entry_second, swap_second;
    rows_t            entry_rows, swap_rows;
    logic [3:0]       entry_last, swap_last;
    logic [STASH-1:0] stash_valid;
    binding_stash #(.ENTRIES(STASH), .SESSION_BITS(SESSION_BITS), .HASH_BITS(4 * ROW_BITS)) u_stash (
        .clk, .rst, .busy_i(busy_o), .key_i(stash_key), .hit_o(stash_hit), .session_o(stash_session), .room_o(room),
        .free_entry_o(free_entry), .create_i(write_new || write_second), .create_held_i(done_new && direct_hold), .create_key_i(write_key),
        .create_session_i(write_session), .create_second_i(write_second), .create_rows_i(write_rows),
        .pick_o(pick), .pick_entry_o(pick_entry), .pick_take_i(pick_take), .read_entry_i(read_entry),
        .read_key_o(entry_key), .read_session_o(entry_session), .read_second_o(entry_second), .read_rows_o(entry_rows), .read_last_o(entry_last),
        .place_i(place), .place_entry_i(place_entry), .give_up_i(give_up), .swap_i(swap), .abort_i(abort), .swap_entry_i(swap_entry),
        .swap_key_i(swap_key), .swap_session_i(swap_session), .swap_second_i(swap_second), .swap_rows_i(swap_rows), .swap_last_i(swap_last),
        .kill_i(kill), .kill_entry_i(kill_entry), .direct_i(direct), .direct_entry_i(direct_entry),
        .valid_o(stash_valid), .used_o(stash_used_o));

    // ---- mover ---------------------------------------------------------------------------------------------------------------------------
    logic            host_step, sweep_step, access_take, host_hold, host_where, host_second, result, result_refused, result_valid, result_match;
    logic            result_same, result_near, result_paired, result_own, result_done, result_live, result_used, result_spoilt, reports_room, crowded_q;
    step_e           host_step_kind, result_step;
    source_e         sweep_source, result_source;
    logic [1:0]      host_way;
    row_t            host_row, sweep_row;
    session_t        host_step_session, sweep_session, result_session, result_asked;
    entry_t          host_entry;
    binding_key_t    hash_key, result_key;
    binding_record_t result_record;
    rows_t           result_rows;
    // A step waits here until the mover takes it; the host goes first.
    logic     access_q, access_where_q, access_second_q, host_take, sweep_take;
    step_e    access_step_q;
    source_e  access_source_q;
    logic [1:0] access_way_q;
    row_t     access_row_q;
    session_t access_session_q;
    entry_t   access_entry_q;
    assign host_take  = host_step && !access_q;
    assign sweep_take = sweep_step && !access_q && !host_step && !host_hold && reports_room;
    always_ff @(posedge clk) begin
        if (!access_q) begin
            access_q         <= host_take || sweep_take;
            access_step_q    <= host_step ? host_step_kind : STEP_REMOVE;
            access_source_q  <= host_step ? BY_HOST : sweep_source;
            access_where_q   <= !host_step || host_where;
            access_second_q  <= host_step && host_second;
            access_way_q     <= host_way;
            access_row_q     <= host_step ? host_row : sweep_row;
            access_session_q <= host_step ? host_step_session : sweep_session;
            access_entry_q   <= host_entry;
        end else if (access_take) begin
            access_q <= 1'b0;
        end
        if (rst) access_q <= 1'b0;
    end
    always_ff @(posedge clk) crowded_q <= stash_used_o >= (ENTRY_BITS + 1)'(STASH / 2);
    binding_mover #(.SESSIONS(SESSIONS), .ROW_BITS(ROW_BITS), .STASH(STASH)) u_mover (
        .clk, .rst, .busy_i(busy_o), .clear_i(clear), .clear_row_i(clear_row), .fill_i(fill), .fill_data_i(fill_data), .fast_now_i(fast_then),
        .slow_now_i(slow_then), .pick_i(pick), .pick_entry_i(pick_entry), .pick_take_o(pick_take), .read_entry_o(read_entry),
        .read_key_i(entry_key), .read_session_i(entry_session), .read_second_i(entry_second), .read_rows_i(entry_rows), .read_last_i(entry_last),
        .stash_valid_i(stash_valid), .crowded_i(crowded_q), .place_o(place), .give_up_o(give_up), .place_entry_o(place_entry),
        .swap_o(swap), .abort_o(abort), .swap_entry_o(swap_entry), .swap_key_o(swap_key), .swap_session_o(swap_session),
        .swap_second_o(swap_second), .dying_o(dying), .dying_session_o(dying_session),
        .swap_rows_o(swap_rows), .swap_last_o(swap_last),
        .rows_9_i(rows_9), .create_i(done_new), .create_key_i(done_key), .create_session_i(done_session), .create_rows_i(done_rows),
        .create_entry_i(free_entry), .direct_hold_o(direct_hold), .kill_o(kill), .kill_entry_o(kill_entry), .direct_o(direct),
        .direct_entry_o(direct_entry), .row_valid_i(row_valid), .row_zero_i(row_zero),
        .slot_write_o(slot_write), .slot_row_o(slot_row), .slot_word_o(slot_data), .slot_word_i(slot_word),
        .record_read_o(access_record), .record_session_o(access_record_session), .record_i(other_record),
        .unused_o(session_back), .unused_session_o(back_session),
        .access_i(access_q), .access_take_o(access_take), .access_step_i(access_step_q), .access_source_i(access_source_q),
        .access_where_i(access_where_q), .access_second_i(access_second_q), .access_way_i(access_way_q), .access_row_i(access_row_q),
        .access_session_i(access_session_q), .access_entry_i(access_entry_q), .host_key_i(hash_key),
        .result_o(result), .result_step_o(result_step), .result_source_o(result_source), .result_refused_o(result_refused),
        .result_valid_o(result_valid), .result_match_o(result_match), .result_same_o(result_same), .result_paired_o(result_paired), .result_near_o(result_near), .result_own_o(result_own),
        .result_done_o(result_done), .result_live_o(result_live), .result_used_o(result_used), .result_spoilt_o(result_spoilt), .result_key_o(result_key),
        .result_session_o(result_session), .result_record_o(result_record), .result_rows_o(result_rows), .result_asked_o(result_asked),
        .parity_o(parity_step));

    // ---- sweep and host --------------------------------------------------------------------------------------------------------------------
    logic     sweep_scan, host_scan, scan_host_1, scan_host_2;
    session_t sweep_scan_session, host_scan_session;
    assign scan         = sweep_scan || host_scan;
    assign scan_session = host_scan ? host_scan_session : sweep_scan_session;
    always_ff @(posedge clk) {scan_host_2, scan_host_1} <= {scan_host_1, host_scan};
    binding_sweep #(.SESSIONS(SESSIONS), .ROW_BITS(ROW_BITS)) u_sweep (
        .clk, .rst, .fast_now_i(fast_then), .slow_now_i(slow_then), .issued_i(issued), .undo_valid_i, .undo_session_i, .undo_row_i, .undo_lost_o,
        .hold_i(walk_hold_i), .walk_o, .scan_o(sweep_scan), .scan_take_i(scan_take && !host_scan), .scan_session_o(sweep_scan_session),
        .scan_valid_i(scan_valid && !scan_host_2), .scan_records_i(other_records),
        .request_o(sweep_step), .take_i(sweep_take), .source_o(sweep_source), .session_o(sweep_session), .row_o(sweep_row),
        .result_i(result && result_source != BY_HOST), .result_source_i(result_source), .result_asked_i(result_asked),
        .result_refused_i(result_refused), .result_match_i(result_match && result_valid), .result_near_i(result_near),
        .result_done_i(result_done), .result_own_i(result_own), .result_fresh_i(result_record.fresh && result_record.state != BINDING_FREE));

    binding_host #(.SESSIONS(SESSIONS), .ROW_BITS(ROW_BITS), .STASH(STASH)) u_host (
        .clk, .rst, .busy_i(busy_o), .fast_now_i(fast_then), .slow_now_i(slow_then), .issued_i(issued), .req_i(host_req_i), .op_i(host_op_i), .key_i(host_key_i),
        .record_i(host_record_i), .session_i(host_session_i), .done_o(host_done_o), .ok_o(host_ok_o), .busy_o(host_busy_o),
        .full_o(host_full_o), .present_o(host_present_o), .ended_o(host_ended_o), .two_o(host_two_o), .session_o(host_session_o), .record_o(host_record_o), .key_o(host_key_o),
        .row_valid_1_i(row_valid[1]), .row_1_i(row_zero[1]), .swap_i(swap), .swap_rows_i(swap_rows), .stash_valid_i(stash_valid),
        .scan_o(host_scan), .scan_take_i(scan_take && host_scan), .scan_session_o(host_scan_session),
        .scan_valid_i(scan_valid && scan_host_2), .scan_record_i(other_record),
        .report_room_i(reports_room), .request_o(host_step), .take_i(host_take), .step_o(host_step_kind), .where_o(host_where), .second_o(host_second), .way_o(host_way),
        .row_o(host_row), .step_session_o(host_step_session), .entry_o(host_entry), .hash_key_o(hash_key),
        .result_i(result && result_source == BY_HOST), .result_refused_i(result_refused), .result_valid_i(result_valid),
        .result_match_i(result_match), .result_same_i(result_same), .result_paired_i(result_paired), .result_done_i(result_done), .result_live_i(result_live),
        .result_used_i(result_used), .result_key_i(result_key), .result_session_i(result_session), .result_record_i(result_record),
        .result_rows_i(result_rows), .hold_o(host_hold), .removed_i(session_back), .removed_session_i(back_session),
        .room_i(room), .want_o(host_want), .write_o(host_write),
        .write_new_o(host_write_new), .write_second_o(host_write_second), .write_renewed_o(host_write_renewed), .write_session_o(host_write_session), .write_rows_o(host_write_rows), .supply_i(host_supply),
        .supply_session_i(host_supply_session), .wrote_i(host_wrote));

    // ---- events: of packets and of the host's INSERT at once, the others wait in a FIFO (removals on their way are sixteen at most) --------------------------------------------------------
    typedef struct packed {
        session_t        session;
        binding_record_t record;
        binding_key_t    key;
    } report_t;
    localparam int unsigned REPORTS = 16;
    report_t report_in, report;
    logic    report_push, report_any, report_take, report_full;
    assign report_push = result_done && (result_record.state != BINDING_FREE || result_spoilt);
    assign report_in   = '{session: result_session, record: result_record, key: result_key};
    logic            written_q;  // an event of a packet or of the host's INSERT
    logic            written_renewed_q;
    binding_event_e  written_kind_q;
    report_t         written_report_q;
    assign report_take  = report_any && !written_q;
    assign reports_room = !report_full;
    stream_fifo #(.WIDTH($bits(report_t)), .DEPTH(2 * REPORTS), .RESERVE(REPORTS)) u_reports (
        .clk, .rst, .in_valid_i(report_push), .in_data_i(report_in), .full_o(report_full),
        .out_valid_o(report_any), .out_ready_i(report_take), .out_data_o(report));
    always_ff @(posedge clk) begin
        written_q        <= done_event || (host_wrote && !host_write_second);
        written_renewed_q <= done_event ? done_renewed : host_write_renewed;
        written_kind_q   <= done_event ? done_event_kind : BINDING_CREATED;
        written_report_q <= done_event ? '{session: done_session, record: done_record, key: done_key}
            : '{session: write_session, record: write_record, key: write_key};
        event_valid_o    <= written_q || report_any;
        event_renewed_o  <= written_q && written_renewed_q;
        event_kind_o     <= written_q ? written_kind_q : BINDING_REMOVED;
        {event_session_o, event_record_o, event_key_o} <= written_q ? written_report_q : report;
        if (rst) begin
            written_q     <= 1'b0;
            event_valid_o <= 1'b0;
        end
    end
    `HG_ASSERT(no_event_lost, !(done_event && host_wrote))

    // ---- statistics ------------------------------------------------------------------------------------------------------------------------------
    always_ff @(posedge clk) begin
        live_slots_o <= live_slots_o + (SESSION_BITS + 1)'(write_new) - (SESSION_BITS + 1)'(session_back);
        moves_o      <= swap;
        parity_o     <= parity_packet || parity_step;
        if (rst) live_slots_o <= '0;
    end
    wire logic unused = &{1'b0, result_step};
    if (SESSIONS != 2 ** SESSION_BITS || SESSIONS < 64 || STASH != 2 ** ENTRY_BITS || STASH < 8) begin : gen_check
        $fatal(1, "%m: SESSIONS and STASH are powers of two, 64 and 8 at least");
    end
    `HG_ASSERT(keys_have_sessions, live_slots_o <= (SESSION_BITS + 1)'(SESSIONS))
endmodule
`resetall
