// SPDX-License-Identifier: Apache-2.0
//
// decision_pipeline: from the window of a frame to the decision on it, in the order in which a packet meets the tables.
//
//     parser -> fragment_stage -> rule_match -> rule_table -> key_mask -> toeplitz -> bucket_map -> binding_stage
//            -> target_table -> verdict
//     mac_filter, zone_table, vip_table beside the parser; classify beside rule_match; binding_stage beside hash and map
//
// In       one window a cycle at most.
// Out      one decision per window, in order, DECISION_LATENCY cycles later.
// Load     by the configuration bus; every table is a module of its own. Banks come by generation with each packet.
// Bindings the two binding tables are inside; ticks, undo, the host's side and events are theirs.
// Stall    never.
`resetall
`default_nettype none
module decision_pipeline
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic                   clk,
    input  wire logic                   rst,
    // configuration
    input  wire init_t                  init_i,
    input  wire cfg_req_t               cfg_i,
    output logic [31:0]                 cfg_rdata_o,
    input  wire settings_t              settings_i,
    input  wire banks_t [1:0]           banks_i,
    input  wire logic                   lease_ok_i,
    output logic                        parity_error_o,
    // bindings
    input  wire logic                   binding_reset_i,
    input  wire logic [127:0]           binding_secret_i,
    input  wire ticks_t                 fast_now_i,
    input  wire ticks_t                 slow_now_i,
    input  wire made_t [1:0]            undo_i,
    input  wire host_request_t [1:0]    host_request_i,
    output host_answer_t [1:0]          host_answer_o,
    output logic [1:0]                  binding_event_valid_o,
    output binding_event_t [1:0]        binding_event_o,
    output binding_status_t [1:0]       binding_status_o,
    input  wire census_request_t        census_request_i,
    output logic                        census_busy_o,
    // packets
    input  wire logic                   window_valid_i,
    input  wire logic [WINDOW_BITS-1:0] window_i,
    input  wire port_t                  window_port_i,
    input  wire logic                   window_gen_i,
    output logic                        decision_valid_o,
    output decision_t                   decision_o
);
    // Cycles after the window in which each stage gets its packet.
    localparam int unsigned AT_ZONE = 2;   // the parser's early VLAN
    localparam int unsigned AT_ADDRESS = 3;  // the parser's early destination address
    localparam int unsigned AT_VIP = AT_ZONE + ZONE_LATENCY;
    localparam int unsigned AT_FRAGMENT = PARSE_LATENCY;
    localparam int unsigned AT_MATCH = AT_FRAGMENT + FRAGMENT_LATENCY;
    localparam int unsigned AT_RULE = AT_MATCH + MATCH_LATENCY;
    localparam int unsigned AT_MASK = AT_RULE + RULE_LATENCY;
    localparam int unsigned AT_HASH = AT_MASK + MASK_LATENCY;
    localparam int unsigned AT_MAP = AT_HASH + HASH_LATENCY;
    localparam int unsigned AT_TARGET = AT_HASH + BINDING_LATENCY;
    localparam int unsigned AT_VERDICT = AT_TARGET + TARGET_LATENCY;
    localparam int unsigned DECISION_LATENCY = AT_VERDICT + VERDICT_LATENCY;
    localparam int unsigned CLASSIFY_LATENCY = 2;

    // Valid, port and generation of the packet in each cycle; index = cycles after the window.
    logic [DECISION_LATENCY:0] valid, gen;
    port_t                     port[DECISION_LATENCY+1];
    assign valid[0] = window_valid_i;
    assign gen[0]   = window_gen_i;
    assign port[0]  = window_port_i;
    always_ff @(posedge clk) begin
        valid[DECISION_LATENCY:1] <= rst ? '0 : valid[DECISION_LATENCY-1:0];
        gen[DECISION_LATENCY:1]   <= gen[DECISION_LATENCY-1:0];
        for (int i = 1; i <= DECISION_LATENCY; i++) port[i] <= port[i-1];
    end

    logic [31:0] cfg_zone, cfg_mac, cfg_vip, cfg_match, cfg_rule, cfg_target, cfg_map, cfg_flags, cfg_binding;
    assign cfg_rdata_o = cfg_zone | cfg_mac | cfg_vip | cfg_match | cfg_rule | cfg_target | cfg_map | cfg_flags
        | cfg_binding;

    // ---- parse, and beside it whose the frame is ------------------------------------------------------------------------
    logic [11:0]  vlan;
    logic         early_v6, v6;
    logic [127:0] early_dst, dst;
    parsed_t      parsed, packet;
    parser u_parser (
        .clk, .window_i, .early_vlan_o(vlan), .early_v6_o(early_v6), .early_dst_o(early_dst), .parsed_o(parsed));

    logic my_mac, mac_bad, my_mac_m, mac_bad_m;
    mac_filter u_mac (
        .clk, .init_i, .cfg_i, .cfg_rdata_o(cfg_mac), .settings_i, .mac_i(window_i[WINDOW_BITS-1 -: 48]),
        .bank_i(banks_i[gen[0]].mac), .mine_o(my_mac), .bad_o(mac_bad));
    delay #(.WIDTH(2), .CYCLES(AT_MATCH - EXACT_LATENCY - 1)) u_mac_m (
        .clk, .value_i({my_mac, mac_bad}), .value_o({my_mac_m, mac_bad_m}));

    zone_t zone;
    logic  zone_bad, zone_bad_m;
    zone_table u_zone (
        .clk, .init_i, .cfg_i, .cfg_rdata_o(cfg_zone), .port_i(port[AT_ZONE]), .vlan_i(vlan),
        .bank_i(banks_i[gen[AT_ZONE]].zone), .zone_o(zone), .bad_o(zone_bad));
    zone_t zone_k;
    delay #(.WIDTH(1), .CYCLES(AT_MATCH - AT_VIP)) u_zone_m (.clk, .value_i(zone_bad), .value_o(zone_bad_m));
    delay #(.WIDTH($bits(zone_t)), .CYCLES(AT_MASK - AT_VIP)) u_zone_k (.clk, .value_i(zone), .value_o(zone_k));

    vip_result_t vip, vip_m;
    delay #(.WIDTH(129), .CYCLES(AT_VIP - AT_ADDRESS)) u_dst (
        .clk, .value_i({early_v6, early_dst}), .value_o({v6, dst}));
    vip_table u_vip (
        .clk, .init_i, .cfg_i, .cfg_rdata_o(cfg_vip), .v6_i(v6), .zone_i(zone), .address_i(dst),
        .bank_i(banks_i[gen[AT_VIP]].vip), .result_o(vip));
    delay #(.WIDTH($bits(vip_result_t)), .CYCLES(AT_MATCH - AT_VIP - EXACT_LATENCY)) u_vip_m (
        .clk, .value_i(vip), .value_o(vip_m));

    fragment_stage u_fragment (.clk, .parsed_i(parsed), .parsed_o(packet));

    // ---- which rule --------------------------------------------------------------------------------------------------------
    logic   matched;
    rule_t  matched_rule, rule;
    early_t early_c, early;
    rule_match u_match (
        .clk, .init_i, .cfg_i, .cfg_rdata_o(cfg_match), .vip_known_i(vip_m.hit), .vip_i(vip_m.id),
        .protocol_i(packet.key.protocol), .dport_i(packet.key.dport), .later_i(packet.later),
        .bank_i(banks_i[gen[AT_MATCH]].match), .hit_o(matched), .rule_o(matched_rule));
    classify u_classify (
        .clk, .settings_i, .lease_ok_i, .parsed_i(packet), .my_mac_i(my_mac_m), .mac_bad_i(mac_bad_m),
        .zone_bad_i(zone_bad_m), .vip_i(vip_m), .early_o(early_c));
    delay #(.WIDTH($bits(early_t)), .CYCLES(MATCH_LATENCY - CLASSIFY_LATENCY)) u_early (
        .clk, .value_i(early_c), .value_o(early));
    assign rule = (early.match && matched) ? matched_rule : rule_t'(RULES);

    rule_entry_t rule_entry;
    logic        rule_bad;
    rule_table u_rule (
        .clk, .init_i, .cfg_i, .cfg_rdata_o(cfg_rule), .rule_i(rule), .bank_i(banks_i[gen[AT_RULE]].rule),
        .entry_o(rule_entry), .bad_o(rule_bad));

    // ---- whose bucket -------------------------------------------------------------------------------------------------------
    key_t         key;
    logic [287:0] message;
    bucket_t      bucket;
    map_t         map;
    logic         map_bank, map_valid;
    delay #(.WIDTH($bits(key_t)), .CYCLES(AT_MASK - AT_MATCH)) u_key (.clk, .value_i(packet.key), .value_o(key));
    key_mask u_mask (
        .clk, .key_i(key), .src4_i(rule_entry.bucket_src4), .src6_i(rule_entry.bucket_src6), .dst_i(rule_entry.bucket_dst),
        .sport_i(rule_entry.bucket_sport), .dport_i(rule_entry.bucket_dport), .message_o(message));
    toeplitz #(.IN_BITS(288), .OUT_BITS(12)) u_hash (.clk, .message_i(message), .key_i(settings_i.hash_key), .hash_o(bucket));

    // Bank of the map: the generation, then one of MAPS.
    map_t            map_q;
    logic [MAPS-1:0] map_banks_q, map_valids_q;
    always_ff @(posedge clk) begin
        map_q        <= rule_entry.map;
        map_banks_q  <= banks_i[gen[AT_MASK]].map;
        map_valids_q <= banks_i[gen[AT_MASK]].map_valid;
        map          <= map_q;
        map_bank     <= 32'(map_q) < MAPS && map_banks_q[map_q];
        map_valid    <= 32'(map_q) < MAPS && map_valids_q[map_q];
    end
    map_t map_m;
    logic map_bank_m, map_valid_m;
    delay #(.WIDTH($bits(map_t) + 2), .CYCLES(AT_MAP - AT_MASK - 2)) u_map_m (
        .clk, .value_i({map, map_bank, map_valid}), .value_o({map_m, map_bank_m, map_valid_m}));

    target_t owner, target;
    logic    owner_bad, handover, track, flags_bad, handover_t, map_bad_t;
    bucket_map u_map (
        .clk, .cfg_i, .cfg_rdata_o(cfg_map), .map_i(map_m), .bucket_i(bucket), .bank_i(map_bank_m), .owner_o(owner),
        .bad_o(owner_bad));
    bucket_flags u_flags (
        .clk, .init_i, .cfg_i, .cfg_rdata_o(cfg_flags), .map_i(map_m), .bucket_i(bucket), .handover_o(handover),
        .track_o(track), .bad_o(flags_bad));

    // ---- where its session lives ----------------------------------------------------------------------------------------------
    // What the binding tables must know beside the keys.
    logic         balanced;
    asks_t        asks, asks_h;
    rule_t        rule_h;
    rule_entry_t  rule_entry_h;
    binding_key_t connection_key, affinity_key;
    logic         consult_h, map_valid_d, consult;
    logic [1:0]   target_banks;
    bound_e       bound_t;
    logic         nobody_t, draining_t;
    logic [1:0]   found_b, refused_b;
    made_t [1:0]  made_b;
    assign balanced = packet.key.protocol == 8'd47 || packet.key.protocol == 8'd50 || packet.key.protocol == 8'd51
        || packet.key.protocol == 8'd17;
    assign asks = '{
        tcp: packet.tcp,
        opens: !packet.embedded && !packet.icmp && !packet.later && !packet.beyond
            && (packet.tcp ? packet.opening : balanced),
        fin: packet.fin, rst: packet.rst,
        quiet: packet.embedded || packet.icmp || packet.later || packet.beyond, embedded: packet.embedded};
    delay #(.WIDTH($bits(asks_t)), .CYCLES(AT_HASH - AT_MATCH)) u_asks (.clk, .value_i(asks), .value_o(asks_h));
    delay #(.WIDTH($bits(rule_t)), .CYCLES(AT_HASH - AT_RULE)) u_rule_h (.clk, .value_i(rule), .value_o(rule_h));
    always_ff @(posedge clk) rule_entry_h <= rule_entry;
    binding_key u_keys (
        .clk, .key_i(key), .zone_i(zone_k), .rule_i(rule_entry), .connection_o(connection_key), .affinity_o(affinity_key));
    // Rows a..c, and no wrong parity so far.
    early_t early_k;
    delay #(.WIDTH($bits(early_t)), .CYCLES(AT_MASK - AT_RULE)) u_early_k (.clk, .value_i(early), .value_o(early_k));
    always_ff @(posedge clk)
        consult_h <= !early_k.decided && !early_k.parity && rule_entry.valid && rule_entry.mode != MODE_DISABLED && !rule_bad;
    delay #(.WIDTH(1), .CYCLES(BINDING_LATENCY - 2 - HASH_LATENCY)) u_map_valid_d (
        .clk, .value_i(map_valid_m), .value_o(map_valid_d));
    logic consult_d;
    delay #(.WIDTH(1), .CYCLES(BINDING_LATENCY - 2)) u_consult (.clk, .value_i(consult_h), .value_o(consult_d));
    assign consult      = consult_d && map_valid_d;
    assign target_banks = {banks_i[1].target, banks_i[0].target};
    binding_stage u_binding (
        .clk, .rst, .init_i, .cfg_i, .reset_i(binding_reset_i), .secret_i(binding_secret_i), .target_banks_i(target_banks), .fast_now_i, .slow_now_i, .valid_i(valid[AT_HASH]),
        .gen_i(gen[AT_HASH]), .asks_i(asks_h), .connection_key_i(connection_key), .affinity_key_i(affinity_key),
        .rule_i(rule_h), .rule_entry_i(rule_entry_h), .bucket_i(bucket), .owner_i(owner), .handover_i(handover),
        .track_i(track), .bad_i(owner_bad || flags_bad), .consult_i(consult), .target_o(target), .bound_o(bound_t),
        .nobody_o(nobody_t), .draining_o(draining_t), .handover_o(handover_t), .bad_o(map_bad_t), .found_o(found_b),
        .refused_o(refused_b), .made_o(made_b), .undo_i, .host_request_i, .host_answer_o, .event_valid_o(binding_event_valid_o), .event_o(binding_event_o),
        .status_o(binding_status_o), .census_request_i, .census_busy_o, .cfg_rdata_o(cfg_binding));

    // ---- what that means here --------------------------------------------------------------------------------------------------
    target_entry_t target_entry;
    logic          target_bad;
    target_table u_target (
        .clk, .init_i, .cfg_i, .cfg_rdata_o(cfg_target), .target_i(target), .bank_i(banks_i[gen[AT_TARGET]].target),
        .entry_o(target_entry), .bad_o(target_bad));

    early_t      early_v;
    rule_t       rule_v;
    logic        matched_v, rule_valid_v, rule_bad_v, map_valid_v, handover_v, map_bad_v, verdict_bad;
    mode_e       rule_mode_v;
    bucket_t     bucket_v;
    target_t     target_v;
    logic [16:0] min_length_v;
    delay #(.WIDTH($bits(early_t) + $bits(rule_t) + 1), .CYCLES(AT_VERDICT - AT_RULE)) u_early_v (
        .clk, .value_i({early, rule, matched}), .value_o({early_v, rule_v, matched_v}));
    delay #(.WIDTH($bits(mode_e) + 2), .CYCLES(AT_VERDICT - AT_MASK)) u_rule_v (
        .clk, .value_i({rule_entry.valid, rule_entry.mode, rule_bad}), .value_o({rule_valid_v, rule_mode_v, rule_bad_v}));
    delay #(.WIDTH($bits(bucket_t) + 1), .CYCLES(AT_VERDICT - AT_MAP)) u_bucket_v (
        .clk, .value_i({bucket, map_valid_m}), .value_o({bucket_v, map_valid_v}));
    bound_e      bound_v;
    decision_t   decided;
    logic        nobody_v, draining_v;
    logic [1:0]  found_v, refused_v;
    made_t [1:0] made_v;
    delay #(.WIDTH($bits(target_t) + $bits(bound_e) + 2 * $bits(made_t) + 8), .CYCLES(TARGET_LATENCY)) u_target_v (
        .clk, .value_i({target, handover_t, map_bad_t, bound_t, nobody_t, draining_t, found_b, refused_b, made_b}),
        .value_o({target_v, handover_v, map_bad_v, bound_v, nobody_v, draining_v, found_v, refused_v, made_v}));
    delay #(.WIDTH(17), .CYCLES(AT_VERDICT - AT_MATCH)) u_min_length_v (
        .clk, .value_i(packet.min_length), .value_o(min_length_v));
    verdict u_verdict (
        .clk, .early_i(early_v), .port_i(port[AT_VERDICT]), .min_length_i(min_length_v), .matched_i(matched_v),
        .rule_i(rule_v), .rule_valid_i(rule_valid_v), .rule_mode_i(rule_mode_v), .rule_bad_i(rule_bad_v),
        .map_valid_i(map_valid_v), .bucket_i(bucket_v), .target_i(target_v), .bound_i(bound_v),
        .nobody_i(nobody_v), .draining_i(draining_v), .found_i(found_v), .refused_i(refused_v), .made_i(made_v),
        .handover_i(handover_v), .map_bad_i(map_bad_v), .target_entry_i(target_entry), .target_bad_i(target_bad), .decision_o(decided), .bad_o(verdict_bad));
    always_comb begin
        decision_o            = decided;
        decision_o.generation = gen[DECISION_LATENCY];
    end
    assign decision_valid_o = valid[DECISION_LATENCY];
    assign parity_error_o   = decision_valid_o && verdict_bad;

    wire logic unused = &{1'b0, rule_entry, banks_i, early_k, port[DECISION_LATENCY]};
endmodule
`resetall
