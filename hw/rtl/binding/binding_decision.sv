// SPDX-License-Identifier: Apache-2.0
//
// binding_decision: what the bindings of a packet mean, and what becomes of them (docs/dataplane.md, "Binding tables").
//
// In       what both tables answer for a packet, and what is known of it by then.
// Out      which binding decides, the target, and what both tables do.
// Latency  0: an answer and what is done about it belong to one cycle, so that the next packet finds it done.
`resetall
`default_nettype none
module binding_decision
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic     consult_i,      // the frame comes as far as the binding tables
    input  wire asks_t    asks_i,
    input  wire logic     tracks_i,       // the rule tracks it
    input  wire logic     sticky_i,       // the rule has affinity
    input  wire logic     admits_i,       // the owner binds, and the rule is not draining
    input  wire logic     owner_binds_i,
    input  wire target_t  owner_i,
    input  wire rule_t    rule_i,
    input  wire bucket_t  bucket_i,
    // expiry by state, from now on
    input  wire ticks_t   until_half_open_i,
    input  wire ticks_t   until_reset_i,
    input  wire ticks_t   until_established_i,
    input  wire ticks_t   until_closing_i,
    input  wire ticks_t   until_flow_i,
    input  wire ticks_t   until_affinity_i,
    // the connection table
    input  wire logic     connection_live_i,
    input  wire binding_record_t  connection_i,
    output binding_op_e   connection_op_o,
    output binding_record_t       connection_o,
    // the affinity table
    input  wire logic     affinity_live_i,
    input  wire logic     affinity_leave_i,     // its target does not bind any more, or is draining: new sessions leave it
    input  wire binding_record_t  affinity_i,
    output binding_op_e   affinity_op_o,
    output binding_record_t       affinity_o,
    output bound_e        bound_o,
    output target_t       target_o
);
    // ---- connection: does it decide? ------------------------------------------------------------------------------------
    logic live, again, decides, opens_tcp, sticky, holds;
    assign sticky    = consult_i && sticky_i && affinity_live_i;
    assign holds     = sticky && !(asks_i.opens && affinity_leave_i);  // the affinity binding decides if the connection does not
    assign live      = consult_i && connection_live_i;
    assign opens_tcp = asks_i.tcp && asks_i.opens;
    // The client opens the connection once more: the old one is over.
    assign again     = opens_tcp && !asks_i.quiet && (!(holds || owner_binds_i)
        || connection_i.state == BINDING_STATE_CLOSING || connection_i.state == BINDING_STATE_RESET);
    assign decides   = live && !again;

    // ---- affinity: does it? ------------------------------------------------------------------------------------------------
    logic sticks;
    assign sticks = holds || (sticky && decides);

    // ---- what becomes of the connection ---------------------------------------------------------------------------------------
    logic    make;
    binding_record_t made, kept;
    assign make = consult_i && !decides && asks_i.opens && tracks_i && (holds || admits_i);
    always_comb begin
        kept       = connection_i;
        kept.fresh = 1'b0;
        if (!asks_i.tcp) kept.expires = until_flow_i;
        else if (asks_i.opens) begin
            kept.expires = (connection_i.state == BINDING_STATE_HALF_OPEN) ? until_half_open_i : until_established_i;
        end else if (asks_i.rst) begin
            kept.state   = BINDING_STATE_RESET;
            kept.expires = until_reset_i;
        end else if (asks_i.fin || connection_i.state == BINDING_STATE_CLOSING) begin
            kept.state   = BINDING_STATE_CLOSING;
            kept.expires = until_closing_i;
        end else begin
            kept.state   = BINDING_STATE_ESTABLISHED;
            kept.expires = until_established_i;
        end
        made = '{state: asks_i.tcp ? BINDING_STATE_HALF_OPEN : BINDING_STATE_FLOW, fresh: 1'b1,
                 target: holds ? affinity_i.target : owner_i, rule: rule_i, bucket: bucket_i,
                 expires: asks_i.tcp ? until_half_open_i : until_flow_i};
        connection_o    = decides ? kept : made;
        connection_op_o = BINDING_NONE;
        if (decides) begin
            if (!asks_i.quiet && (kept.state != connection_i.state || kept.expires != connection_i.expires || connection_i.fresh))
                connection_op_o = BINDING_WRITE;
        end else if (make) connection_op_o = BINDING_CREATE;
        else if (live) connection_op_o = BINDING_DELETE;
    end

    // ---- what becomes of the affinity binding ------------------------------------------------------------------------------------
    always_comb begin
        affinity_o    = '{state: BINDING_STATE_FLOW, fresh: !sticks, target: sticks ? affinity_i.target : owner_i,
                          rule: sticks ? affinity_i.rule : rule_i, bucket: sticks ? affinity_i.bucket : bucket_i,
                          expires: until_affinity_i};
        affinity_op_o = BINDING_NONE;
        if (sticks) begin
            if (!asks_i.embedded && (affinity_i.expires != until_affinity_i || affinity_i.fresh)) affinity_op_o = BINDING_WRITE;
        end else if (consult_i && sticky_i && !decides && asks_i.opens && admits_i) affinity_op_o = BINDING_CREATE;
    end

    wire logic unused = &{1'b0, affinity_i.state};
    assign bound_o  = decides ? BOUND_CONNECTION : sticks ? BOUND_AFFINITY : BOUND_NOT;
    assign target_o = decides ? connection_i.target : sticks ? affinity_i.target : owner_i;
endmodule
`resetall
