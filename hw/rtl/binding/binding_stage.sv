// SPDX-License-Identifier: Apache-2.0
//
// binding_stage: where a running session lives, beside hash and map.
//
//     keys -> connection table -+-> binding_decision -> target
//          -> affinity table ---+
//     owner from the map -> target_flags
//
// In       the keys of a packet and its rule in cycle 0 (aligned with the end of key_mask), the owner and the flags of its bucket
//          in cycle OWNER_AT, whether it gets as far as the bindings in cycle DECIDE_AT - 1.
// Out      in cycle BINDING_LATENCY: the target that decides, and why.
// Counts   refused bindings of each bucket, always; live ones, on demand.
// Undo     a frame that a late check discarded hands back what it made.
// Empty    while a table empties itself (`reset_i`, and until it is ready) packets ask neither, and nothing is undone.
// Stall    never.
`resetall
`default_nettype none
module binding_stage
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
#(
    localparam int unsigned OWNER_AT = HASH_LATENCY + MAP_LATENCY,
    localparam int unsigned DECIDE_AT = BINDING_LATENCY - 1
) (
    input  wire logic         clk,
    input  wire logic         rst,
    input  wire init_t        init_i,
    input  wire cfg_req_t     cfg_i,
    input  wire logic         reset_i,            // of the tables alone: they empty themselves and take the secret
    input  wire logic [127:0] secret_i,
    input  wire logic [1:0]   target_banks_i,     // of the target table, by generation
    input  wire ticks_t       fast_now_i,
    input  wire ticks_t       slow_now_i,
    // cycle 0
    input  wire logic         valid_i,
    input  wire logic         gen_i,
    input  wire asks_t        asks_i,
    input  wire binding_key_t connection_key_i,
    input  wire binding_key_t affinity_key_i,
    input  wire rule_t        rule_i,
    input  wire rule_entry_t  rule_entry_i,
    // cycle HASH_LATENCY
    input  wire bucket_t      bucket_i,
    // cycle OWNER_AT
    input  wire target_t      owner_i,
    input  wire logic         handover_i,
    input  wire logic         track_i,
    input  wire logic         bad_i,
    // cycle DECIDE_AT - 1
    input  wire logic         consult_i,
    // cycle BINDING_LATENCY
    output target_t           target_o,
    output bound_e            bound_o,
    output logic              nobody_o,           // the owner is nobody
    output logic              draining_o,         // the packet opens, the owner binds, but the rule is draining
    output logic              handover_o,
    output logic              bad_o,
    output logic [1:0]        found_o,            // a live binding that counts: 0 connection, 1 affinity
    output logic [1:0]        refused_o,          // no room for a new one
    output made_t [1:0]       made_o,
    // undo
    input  wire made_t [1:0]  undo_i,
    // the host's side of both tables
    input  wire host_request_t [1:0] host_request_i,
    output host_answer_t [1:0] host_answer_o,
    output logic [1:0]        event_valid_o,
    output binding_event_t [1:0] event_o,
    output binding_status_t [1:0] status_o,
    // counts by bucket
    input  wire census_request_t census_request_i,
    output logic              census_busy_o,
    output logic [31:0]       cfg_rdata_o
);
    // ---- what comes with the packet ------------------------------------------------------------------------------------
    typedef struct packed {
        logic   valid;
        logic   gen;
        asks_t  asks;
        rule_t  rule;
        track_e track;
        logic   sticky;
        logic   draining;
        ticks_t half_open, reset, established, closing, flow, affinity;
    } side_t;
    side_t side, side_late;
    assign side = '{
        valid: valid_i, gen: gen_i, asks: asks_i, rule: rule_i, track: rule_entry_i.track, sticky: rule_entry_i.affinity,
        draining: rule_entry_i.draining, half_open: rule_entry_i.time_half_open, reset: rule_entry_i.time_reset,
        established: rule_entry_i.time_established, closing: rule_entry_i.time_closing, flow: rule_entry_i.time_flow,
        affinity: rule_entry_i.time_affinity};
    delay #(.WIDTH($bits(side_t)), .CYCLES(DECIDE_AT - 1)) u_side (.clk, .value_i(side), .value_o(side_late));

    // Generation by cycle, for the banks of the target table.
    logic [DECIDE_AT-1:0] gen_at;
    assign gen_at[0] = gen_i;
    always_ff @(posedge clk) gen_at[DECIDE_AT-1:1] <= gen_at[DECIDE_AT-2:0];

    // ---- what the owner means ----------------------------------------------------------------------------------------------
    localparam int unsigned FLAGS_AT = OWNER_AT + 1;
    logic    owner_binds, owner_binds_late, owner_draining_now, owner_draining_late, owner_draining, flags_bad, flags_bad_late;
    target_t owner_late;
    logic    handover_late, track_late, map_bad_late, bad_late;
    bucket_t bucket_late;
    target_flags u_owner_flags (
        .clk, .init_i, .cfg_i, .target_i(owner_i), .bank_i(target_banks_i[gen_at[OWNER_AT]]), .binds_o(owner_binds),
        .draining_o(owner_draining_now), .bad_o(flags_bad));
    delay #(.WIDTH(3), .CYCLES(DECIDE_AT - 1 - FLAGS_AT)) u_binds (
        .clk, .value_i({owner_binds, owner_draining_now, flags_bad}), .value_o({owner_binds_late, owner_draining_late, flags_bad_late}));
    delay #(.WIDTH($bits(target_t) + 3), .CYCLES(DECIDE_AT - 1 - OWNER_AT)) u_owner (
        .clk, .value_i({owner_i, handover_i, track_i, bad_i}), .value_o({owner_late, handover_late, track_late, map_bad_late}));
    assign bad_late = map_bad_late || (flags_bad_late && owner_late != NOBODY);
    delay #(.WIDTH($bits(bucket_t)), .CYCLES(DECIDE_AT - 1 - HASH_LATENCY)) u_bucket (
        .clk, .value_i(bucket_i), .value_o(bucket_late));

    // ---- one cycle before the decision: everything that does not depend on a binding ---------------------------------------
    logic            nobody, drains, handover_q, bad_q, binds, admits, tracks, consult, ready_q;
    decision_terms_t terms;
    assign binds   = owner_binds_late && owner_late != NOBODY;
    assign admits  = binds && !side_late.draining;
    assign tracks  = side_late.track == TRACK_ALWAYS || (side_late.track == TRACK_FLAGGED && track_late);
    assign consult = consult_i && side_late.valid && !bad_late && !reset_i && ready_q;
    always_ff @(posedge clk) ready_q <= status_o[0].ready && status_o[1].ready && !reset_i && !rst;
    // The time-outs first, then the clocks.
    logic   half_fast, closing_fast, other_fast;
    ticks_t half_ticks, closing_ticks, other_ticks;
    always_comb begin
        half_fast = 1'b0;
        if (!side_late.asks.tcp) other_ticks = side_late.flow;
        else if (side_late.asks.opens) other_ticks = side_late.established;
        else if (side_late.asks.rst) other_ticks = side_late.reset;
        else if (side_late.asks.fin) other_ticks = side_late.closing;
        else other_ticks = side_late.established;
        other_fast    = side_late.asks.tcp && !side_late.asks.opens && side_late.asks.rst;
        half_ticks    = other_ticks;
        half_fast     = other_fast;
        if (side_late.asks.tcp && side_late.asks.opens) begin
            half_ticks = side_late.half_open;
            half_fast  = 1'b1;
        end
        closing_ticks = other_ticks;
        closing_fast  = other_fast;
        if (side_late.asks.tcp && !side_late.asks.opens && !side_late.asks.rst) closing_ticks = side_late.closing;
    end
    function automatic ticks_t after(input logic fast, input ticks_t ticks, input ticks_t fast_now, input ticks_t slow_now);
        return (fast ? fast_now : slow_now) + ticks;
    endfunction
    always_ff @(posedge clk) begin
        owner_draining     <= owner_draining_late;
        nobody             <= owner_late == NOBODY;
        drains             <= binds && side_late.draining && side_late.asks.opens;
        handover_q         <= handover_late;
        bad_q              <= bad_late;
        terms.consult      <= consult;
        terms.tcp          <= side_late.asks.tcp;
        terms.opens        <= side_late.asks.opens;
        terms.quiet        <= side_late.asks.quiet;
        terms.embedded     <= side_late.asks.embedded;
        terms.opens_tcp    <= side_late.asks.tcp && side_late.asks.opens && !side_late.asks.quiet;
        terms.rst          <= side_late.asks.tcp && !side_late.asks.opens && side_late.asks.rst;
        terms.fin          <= side_late.asks.tcp && !side_late.asks.opens && !side_late.asks.rst && side_late.asks.fin;
        terms.data         <= side_late.asks.tcp && !side_late.asks.opens && !side_late.asks.rst && !side_late.asks.fin;
        terms.sticky       <= consult && side_late.sticky;
        terms.owner_binds  <= binds;
        terms.admits       <= admits;
        terms.may_make     <= consult && side_late.asks.opens && tracks;
        terms.may_stick    <= consult && side_late.sticky && side_late.asks.opens && admits;
        terms.owner        <= owner_late;
        terms.rule         <= side_late.rule;
        terms.bucket       <= bucket_late;
        terms.if_half_open <= after(half_fast, half_ticks, fast_now_i, slow_now_i);
        terms.if_closing   <= after(closing_fast, closing_ticks, fast_now_i, slow_now_i);
        terms.if_other     <= after(other_fast, other_ticks, fast_now_i, slow_now_i);
        terms.if_made      <= after(side_late.asks.tcp, side_late.asks.tcp ? side_late.half_open : side_late.flow, fast_now_i, slow_now_i);
        terms.if_affinity  <= slow_now_i + side_late.affinity;
    end

    // ---- the tables ------------------------------------------------------------------------------------------------------------
    typedef struct packed {
        logic            present;    // the table holds the key
        logic            live;
        logic            flag;
        logic            room;       // a CREATE of a new key would find room
        session_t        session;    // that a CREATE would use
        binding_row_t    row;
    } answer_t;
    answer_t     [1:0] answer;
    binding_op_e [1:0] op;
    logic        [1:0] flag_next;
    binding_record_t     [1:0] record;
    logic [1:0]                last, same;
    binding_candidate_t [1:0][1:0] candidate;
    binding_key_t [1:0] key;
    assign key[0] = connection_key_i;
    assign key[1] = affinity_key_i;
    logic [1:0]          walk_hold;
    binding_walk_t [1:0] walk;
    logic [2:0][31:0]    cfg_counts;
    for (genvar t = 0; t < 2; t++) begin : gen_table
        logic    flag, flag_bad, busy, parity, parity_q;
        logic [SESSION_BITS:0] used;
        logic [5:0]            stash;
        target_t peek;
        binding_record_t unused_record;
        if (t == 1) begin : gen_flags
            logic binds_then, draining;
            target_flags u_flags (
                .clk, .init_i, .cfg_i, .target_i(peek), .bank_i(target_banks_i[gen_at[DECIDE_AT-2]]), .binds_o(binds_then),
                .draining_o(draining), .bad_o(flag_bad));
            // Who cannot be told to leave stays.
            assign flag = !flag_bad && (!binds_then || draining);
        end else begin : gen_no_flags
            assign flag     = 1'b0;
            assign flag_bad = 1'b0;
        end
        binding_table #(.SESSIONS(SESSIONS)) u_table (
            .clk, .rst(reset_i), .secret_i, .busy_o(busy), .fast_now_i, .slow_now_i, .valid_i, .key_i(key[t]),
            .peek_target_o(peek), .peek_flag_i(flag), .present_o(answer[t].present), .live_o(answer[t].live),
            .session_o(answer[t].session), .record_o(unused_record), .flag_o(answer[t].flag),
            .can_create_o(answer[t].room), .row_o(answer[t].row), .last_o(last[t]), .candidate_o(candidate[t]),
            .op_i(op[t]), .same_i(same[t]), .record_i(record[t]), .flag_i(flag_next[t]),
            .event_valid_o(event_valid_o[t]), .event_kind_o(event_o[t].kind), .event_renewed_o(event_o[t].renewed),
            .event_session_o(event_o[t].session),
            .event_record_o(event_o[t].record), .event_key_o(event_o[t].key), .host_req_i(host_request_i[t].request),
            .host_op_i(host_request_i[t].op), .host_key_i(host_request_i[t].key), .host_record_i(host_request_i[t].record),
            .host_session_i(host_request_i[t].session), .host_done_o(host_answer_o[t].done),
            .host_ok_o(host_answer_o[t].ok), .host_busy_o(host_answer_o[t].again), .host_full_o(host_answer_o[t].full),
            .host_present_o(host_answer_o[t].present), .host_ended_o(host_answer_o[t].ended), .host_two_o(host_answer_o[t].two),
            .host_session_o(host_answer_o[t].session), .host_record_o(host_answer_o[t].record),
            .host_key_o(host_answer_o[t].key), .undo_valid_i(undo_i[t].valid && ready_q), .undo_session_i(undo_i[t].session),
            .undo_row_i(undo_i[t].row), .undo_lost_o(status_o[t].undo_lost), .walk_hold_i(walk_hold[t]), .walk_o(walk[t]),
             .live_slots_o(used), .stash_used_o(stash),
            .moves_o(status_o[t].move), .parity_o(parity));
        always_ff @(posedge clk) parity_q <= parity || (flag_bad && consult && side_late.sticky);
        assign status_o[t].parity = parity_q;
        assign status_o[t].ready = !busy;
        assign status_o[t].used  = 17'(used);
        assign status_o[t].stash = 8'(stash);
        wire logic unused_table = &{1'b0, peek, unused_record};
        bucket_counter #(.FIRST(t * 2 ** $bits(bucket_t))) u_refused (
            .clk, .rst, .init_i, .valid_i(event_valid_o[t] && event_o[t].kind == BINDING_REFUSED),
            .bucket_i(event_o[t].record.bucket), .cfg_i, .cfg_rdata_o(cfg_counts[t]));
    end
    binding_census u_census (
        .clk, .rst, .request_i(census_request_i), .busy_o(census_busy_o), .hold_o(walk_hold), .walk_i(walk), .cfg_i,
        .cfg_rdata_o(cfg_counts[2]));
    assign cfg_rdata_o = cfg_counts[0] | cfg_counts[1] | cfg_counts[2];

    // ---- the decision ------------------------------------------------------------------------------------------------------------
    bound_e  bound;
    target_t target;
    binding_decision u_decision (
        .terms_i(terms), .connection_last_i(last[0]), .connection_i(candidate[0]), .connection_op_o(op[0]),
        .connection_same_o(same[0]), .connection_o(record[0]), .affinity_last_i(last[1]), .affinity_i(candidate[1]), .affinity_op_o(op[1]), .affinity_same_o(same[1]), .affinity_o(record[1]),
        .bound_o(bound), .target_o(target));
    always_comb begin
        flag_next = {(op[1] == BINDING_CREATE) ? owner_draining : answer[1].flag, 1'b0};
    end
    always_ff @(posedge clk) begin
        target_o   <= target;
        bound_o    <= bound;
        nobody_o   <= nobody;
        draining_o <= drains;
        handover_o <= handover_q;
        bad_o      <= bad_q;
        found_o    <= {terms.sticky && answer[1].live, terms.consult && answer[0].live};
        for (int t = 0; t < 2; t++) begin
            refused_o[t] <= op[t] == BINDING_CREATE && !(answer[t].present || answer[t].room);
            made_o[t]    <= '{valid: op[t] == BINDING_CREATE && (answer[t].present || answer[t].room),
                              session: answer[t].session, row: answer[t].row};
        end
    end
    wire logic unused = &{1'b0, rule_entry_i, side_late};
endmodule
`resetall
