// SPDX-License-Identifier: Apache-2.0
//
// binding_decision: what the bindings of a packet mean, and what becomes of them (docs/dataplane.md, "Binding tables").
//
// In       what both tables answer for a packet: what they hold and what the packet right before wrote, and which of the two it is;
//          and what is known of the packet by then.
// Out      which binding decides, the target, and what both tables do.
// Latency  0: an answer and what is done about it belong to one cycle, so that the next packet finds it done. Everything that the
//          connection's record alone says is worked out for both answers, so that the choice between them comes late.
`resetall
`default_nettype none
module binding_decision
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire decision_terms_t terms_i,
    // the connection table
    input  wire logic                     connection_last_i,
    input  wire binding_candidate_t [1:0] connection_i,
    output binding_op_e                   connection_op_o,
    output logic                          connection_same_o,
    output binding_record_t               connection_o,
    // the affinity table
    input  wire logic                     affinity_last_i,
    input  wire binding_candidate_t [1:0] affinity_i,         // flag: its target does not bind any more, or is draining; new sessions leave it
    output binding_op_e                   affinity_op_o,
    output logic                          affinity_same_o,
    output binding_record_t               affinity_o,
    output bound_e                        bound_o,
    output target_t                       target_o
);
    // ---- affinity: does it hold the packet? -----------------------------------------------------------------------------
    binding_record_t kept_by;
    logic            sticky, holds;  // holds: decides if the connection does not
    logic [1:0]      holds_by;
    for (genvar c = 0; c < 2; c++) begin : gen_holds
        assign holds_by[c] = affinity_i[c].live && !(terms_i.opens && affinity_i[c].flag);
    end
    assign kept_by = affinity_last_i ? affinity_i[1].record : affinity_i[0].record;
    assign sticky  = terms_i.sticky && (affinity_last_i ? affinity_i[1].live : affinity_i[0].live);
    assign holds   = terms_i.sticky && (affinity_last_i ? holds_by[1] : holds_by[0]);

    // ---- connection: does it decide, and what becomes of it, by either answer ---------------------------------------------
    logic [1:0]            same_by;
    logic [1:0][1:0]       decides_by;  // by the answer, and by whether affinity holds the packet
    binding_record_t [1:0] kept_c;
    for (genvar c = 0; c < 2; c++) begin : gen_answer
        binding_record_t record;
        logic            half_open, closing, dying;
        assign record    = connection_i[c].record;
        assign half_open = record.state == BINDING_STATE_HALF_OPEN;
        assign closing   = record.state == BINDING_STATE_CLOSING;
        assign dying     = closing || record.state == BINDING_STATE_RESET;
        // The client opens the connection once more: the old one is over.
        assign decides_by[c] = {connection_i[c].live && !(terms_i.opens_tcp && dying),
                                connection_i[c].live && !(terms_i.opens_tcp && (dying || !terms_i.owner_binds))};
        always_comb begin
            kept_c[c]         = record;
            kept_c[c].fresh   = 1'b0;
            kept_c[c].expires = half_open ? terms_i.if_half_open : closing ? terms_i.if_closing : terms_i.if_other;
            if (terms_i.rst) kept_c[c].state = BINDING_STATE_RESET;
            else if (terms_i.fin || (terms_i.data && closing)) kept_c[c].state = BINDING_STATE_CLOSING;
            else if (terms_i.data) kept_c[c].state = BINDING_STATE_ESTABLISHED;
        end
        assign same_by[c] = kept_c[c].state == record.state && kept_c[c].expires == record.expires && !record.fresh;
    end
    binding_record_t found, kept, made;
    logic [1:0]      decides_if;
    logic            decides, live, make, sticks;
    assign found   = connection_last_i ? connection_i[1].record : connection_i[0].record;
    assign kept    = connection_last_i ? kept_c[1] : kept_c[0];
    assign decides_if = connection_last_i ? decides_by[1] : decides_by[0];
    assign decides    = terms_i.consult && (holds ? decides_if[1] : decides_if[0]);
    assign live    = terms_i.consult && (connection_last_i ? connection_i[1].live : connection_i[0].live);
    assign make    = terms_i.may_make && !decides && (holds || terms_i.admits);
    assign sticks  = holds || (sticky && decides);
    always_comb begin
        made = '{state: terms_i.tcp ? BINDING_STATE_HALF_OPEN : BINDING_STATE_FLOW, fresh: 1'b1,
                 target: holds ? kept_by.target : terms_i.owner, rule: terms_i.rule, bucket: terms_i.bucket,
                 expires: terms_i.if_made};
        connection_o      = decides ? kept : make ? made : found;
        connection_same_o = connection_last_i ? same_by[1] : same_by[0];
        connection_op_o   = BINDING_NONE;
        if (decides) begin
            if (!terms_i.quiet) connection_op_o = BINDING_WRITE;
        end else if (make) connection_op_o = BINDING_CREATE;
        else if (live) connection_op_o = BINDING_DELETE;
    end

    // ---- what becomes of the affinity binding ------------------------------------------------------------------------------------
    logic [1:0] unchanged;
    for (genvar c = 0; c < 2; c++) begin : gen_unchanged
        assign unchanged[c] = affinity_i[c].record.expires == terms_i.if_affinity && !affinity_i[c].record.fresh;
    end
    always_comb begin
        affinity_o      = '{state: BINDING_STATE_FLOW, fresh: !sticks, target: sticks ? kept_by.target : terms_i.owner,
                            rule: sticks ? kept_by.rule : terms_i.rule, bucket: sticks ? kept_by.bucket : terms_i.bucket,
                            expires: terms_i.if_affinity};
        affinity_same_o = affinity_last_i ? unchanged[1] : unchanged[0];
        affinity_op_o   = BINDING_NONE;
        if (sticks) begin
            if (!terms_i.embedded) affinity_op_o = BINDING_WRITE;
        end else if (terms_i.may_stick && !decides) affinity_op_o = BINDING_CREATE;
    end

    assign bound_o  = decides ? BOUND_CONNECTION : holds ? BOUND_AFFINITY : BOUND_NOT;
    assign target_o = decides ? found.target : holds ? kept_by.target : terms_i.owner;
    wire logic unused = &{1'b0, kept_by};
endmodule
`resetall
