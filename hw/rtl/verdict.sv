// SPDX-License-Identifier: Apache-2.0
//
// verdict: the decision on a packet, from everything that was looked up (docs/dataplane.md, "Order of decisions").
//
// In       aligned with the end of target_table. `target_i` is the target that decides (of a binding or from the map).
// Out      one decision per packet.
// Latency  VERDICT_LATENCY.
`resetall
`default_nettype none
module verdict
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic          clk,
    input  wire early_t        early_i,
    input  wire port_t         port_i,
    input  wire logic [16:0]   min_length_i,
    input  wire logic          matched_i,    // a port rule matched
    input  wire rule_t         rule_i,
    input  wire logic          rule_valid_i,
    input  wire mode_e         rule_mode_i,
    input  wire logic          rule_bad_i,
    input  wire logic          map_valid_i,
    input  wire bucket_t       bucket_i,
    input  wire target_t       target_i,       // of the binding that decides, else the owner
    input  wire bound_e        bound_i,
    input  wire logic          nobody_i,       // the owner is nobody
    input  wire logic          draining_i,     // a new session, but the rule is draining
    input  wire logic [1:0]    found_i,        // live bindings, by table
    input  wire logic [1:0]    refused_i,      // bindings without room, by table
    input  wire made_t [1:0]   made_i,         // bindings that the packet made
    input  wire logic          handover_i,
    input  wire logic          map_bad_i,
    input  wire target_entry_t target_entry_i,
    input  wire logic          target_bad_i,
    output decision_t          decision_o,
    output logic               bad_o         // wrong parity decided
);
    // Cycle 1: the conditions. How far the packet came decides which tables it needed.
    typedef struct packed {
        logic has_rule, has_bucket, has_target;  // how far the packet came
        reason_e not_sent;                          // why not to a target
        logic bad;                               // wrong parity in a table needed before the target table
        logic target_invalid, target_bad, to_host, to_port, out_port;
        logic matched;
        early_t early;
        queue_t host_queue;
        port_t port;
        logic [16:0] min_length;
        rule_t rule;
        bucket_t bucket;
        target_t target;
        bound_e bound;
        logic [1:0] found, refused;
        made_t [1:0] made;
    } condition_t;
    condition_t c;
    logic has_rule, has_bucket, has_owner, free, handover, nobody, draining;
    assign free       = bound_i == BOUND_NOT;
    assign handover   = handover_i && early_i.handover && free;
    assign nobody     = nobody_i && free;
    assign draining   = draining_i && free;
    assign has_rule   = !early_i.decided;
    assign has_bucket = has_rule && rule_valid_i && rule_mode_i != MODE_DISABLED;
    assign has_owner  = has_bucket && map_valid_i;
    always_ff @(posedge clk) begin
        c.has_rule   <= has_rule;
        c.has_bucket <= has_bucket;
        c.has_target <= has_owner && !handover && !nobody && !draining;
        c.bad        <= early_i.parity || (has_rule && rule_bad_i) || (has_owner && map_bad_i);
        if (!rule_valid_i) c.not_sent <= REASON_RULE_INVALID;
        else if (rule_mode_i == MODE_DISABLED) c.not_sent <= REASON_RULE_DISABLED;
        else if (!map_valid_i) c.not_sent <= REASON_MAP_INVALID;
        else if (handover) c.not_sent <= REASON_HANDOVER;
        else if (nobody) c.not_sent <= REASON_NOBODY;
        else c.not_sent <= REASON_RULE_DRAINING;
        c.target_invalid <= !target_entry_i.valid;
        c.target_bad     <= target_bad_i;
        c.to_host        <= target_entry_i.action == ACTION_DELIVER;
        c.to_port        <= target_entry_i.action == ACTION_FORWARD;
        c.out_port       <= target_entry_i.port;
        c.matched        <= matched_i;
        c.early          <= early_i;
        c.host_queue     <= target_entry_i.host_queue;
        c.port           <= port_i;
        c.min_length     <= min_length_i;
        c.rule           <= rule_i;
        c.bucket         <= bucket_i;
        c.target         <= target_i;
        c.bound          <= bound_i;
        c.found          <= found_i;
        c.refused        <= refused_i;
        c.made           <= made_i;
    end

    // Cycle 2: the first that applies.
    logic bad;
    assign bad = c.bad || (c.has_target && c.target_bad);
    always_ff @(posedge clk) begin
        decision_o              <= '0;
        decision_o.port         <= c.port;
        decision_o.min_length   <= c.min_length;
        decision_o.rule         <= c.rule;
        decision_o.bucket       <= c.bucket;
        decision_o.target       <= c.target;
        decision_o.rule_valid   <= c.has_rule;
        decision_o.bucket_valid <= c.has_bucket;
        decision_o.target_valid <= c.has_target;
        decision_o.parity       <= bad;
        decision_o.found        <= c.found;
        decision_o.refused      <= c.refused;
        decision_o.connection   <= c.made[0];
        decision_o.affinity     <= c.made[1];
        decision_o.verdict      <= VERDICT_DISCARD;
        bad_o                   <= bad;
        if (bad) decision_o.reason <= REASON_TABLE_PARITY;
        else if (!c.has_rule) begin
            decision_o.reason  <= c.early.reason;
            decision_o.verdict <= c.early.to_host ? VERDICT_HOST : VERDICT_DISCARD;
            decision_o.control <= c.early.to_host && c.early.control;
        end else if (!c.has_target) decision_o.reason <= c.not_sent;
        else if (c.target_invalid) decision_o.reason <= REASON_TARGET_INVALID;
        else begin
            if (c.bound != BOUND_NOT && !(c.early.match && c.matched && c.early.reason == REASON_ICMP_ERROR))
                decision_o.reason <= (c.bound == BOUND_CONNECTION) ? REASON_BINDING : REASON_AFFINITY;
            else if (!c.early.match || c.matched) decision_o.reason <= c.early.reason;
            else decision_o.reason <= c.early.unknown ? REASON_FRAGMENT_UNKNOWN : REASON_DEFAULT_HOST;
            if (c.to_host) begin
                decision_o.verdict <= VERDICT_HOST;
                decision_o.host_queue   <= c.host_queue;
            end else if (c.to_port) begin
                decision_o.verdict  <= VERDICT_PORT;
                decision_o.out_port <= c.out_port;
            end
        end
    end
    wire logic unused = &{1'b0, target_entry_i};
endmodule
`resetall
