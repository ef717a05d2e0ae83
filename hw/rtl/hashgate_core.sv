// SPDX-License-Identifier: Apache-2.0
//
// hashgate_core: the whole NIC between wire, host and registers; nothing vendor-specific.
//
//     wire -> ingress -> port_arbiter -+-> header_window -> decision_pipeline -+-> egress_join -> edit_stage -> egress -+-> host_receive -> host
//                                      +-> beats waiting for their decision ---+                                        +-> wire_transmit -> wire
//     host -> host_transmit -> wire_transmit -> wire                        registers -> csr -> configuration bus -> every table
//
// Wire in    `wire_rx_*`: AXI4-Stream without back-pressure (tready is always high); tuser marks a bad frame with its last beat.
// Wire out   `wire_tx_*`: AXI4-Stream; tuser with the last beat aborts the frame.
// Link       `wire_link_i`: 1 while the port's MAC has a link, synchronous to `clk`. It is for the host to read (STATUS.link); frames pass whatever it is.
// Host in    `host_tx_*`: two AXI4-Streams, 0 data, 1 control; tport names the wire port and is stable over the frame.
// Host out   `host_rx_*`: AXI4-Stream; the metadata is stable over the frame, tabort with the last beat takes the frame back.
// Events     one per received frame, in order, when its last beat leaves the pipeline: the final verdict.
// Registers  AXI4-Lite, 4 KiB, see hw/regs/hashgate.rdl.
// Host side  for host_interface: the core's reset, NIC time, a client of the tables (see table_access), the queue of binding events (see csr). Without one the
//            inputs are 0.
// Latency    PIPELINE_LATENCY cycles from the first beat of a one-beat frame on the wire to its first beat to the host (one port).
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module hashgate_core
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
(
    input  wire logic                    clk,
    input  wire logic                    rst,
    // wire receive
    input  wire logic [PORTS-1:0]        wire_rx_tvalid_i,
    output logic [PORTS-1:0]             wire_rx_tready_o,
    input  wire beat_data_t [PORTS-1:0]  wire_rx_tdata_i,
    input  wire beat_keep_t [PORTS-1:0]  wire_rx_tkeep_i,
    input  wire logic [PORTS-1:0]        wire_rx_tlast_i,
    input  wire logic [PORTS-1:0]        wire_rx_tuser_i,
    // wire transmit
    output logic [PORTS-1:0]             wire_tx_tvalid_o,
    input  wire logic [PORTS-1:0]        wire_tx_tready_i,
    output beat_data_t [PORTS-1:0]       wire_tx_tdata_o,
    output beat_keep_t [PORTS-1:0]       wire_tx_tkeep_o,
    output logic [PORTS-1:0]             wire_tx_tlast_o,
    output logic [PORTS-1:0]             wire_tx_tuser_o,
    // state of the wire ports
    input  wire logic [PORTS-1:0]        wire_link_i,
    // host receive
    output logic                         host_rx_tvalid_o,
    input  wire logic                    host_rx_tready_i,
    output beat_data_t                   host_rx_tdata_o,
    output beat_keep_t                   host_rx_tkeep_o,
    output logic                         host_rx_tlast_o,
    output logic                         host_rx_tabort_o,
    output logic                         host_rx_control_o,
    output logic [7:0]                   host_rx_queue_o,
    output logic [5:0]                   host_rx_reason_o,
    output logic                         host_rx_port_o,
    output logic [7:0]                   host_rx_rule_o,    // valid on top, as below
    output logic [12:0]                  host_rx_bucket_o,
    output logic [10:0]                  host_rx_target_o,
    // host transmit
    input  wire logic [1:0]              host_tx_tvalid_i,
    output logic [1:0]                   host_tx_tready_o,
    input  wire beat_data_t [1:0]        host_tx_tdata_i,
    input  wire beat_keep_t [1:0]        host_tx_tkeep_i,
    input  wire logic [1:0]              host_tx_tlast_i,
    input  wire logic [1:0]              host_tx_tport_i,
    // events
    output logic                         event_valid_o,
    output logic [1:0]                   event_verdict_o,
    output logic [5:0]                   event_reason_o,
    output logic                         event_port_o,
    output logic                         event_out_port_o,
    output logic [7:0]                   event_queue_o,
    output logic                         event_control_o,
    output logic [7:0]                   event_rule_o,
    output logic [12:0]                  event_bucket_o,
    output logic [10:0]                  event_target_o,
    output logic [13:0]                  event_length_o,
    output logic                         event_aborted_o,
    output logic                         event_generation_o,  // of the tables that decided, parity of GENERATION
    output logic [1:0]                   event_found_o,       // live bindings that the frame found: 0 connection, 1 affinity
    output logic [1:0]                   event_refused_o,     // bindings that it would have made, had there been room
    // host side
    output logic                         reset_o,            // the core is in its reset
    output logic [63:0]                  time_o,
    input  wire logic                    mover_begin_i,       // tables 13 and 14 only: see binding_reader
    input  wire logic                    mover_i,
    input  wire logic                    mover_write_i,
    input  wire table_e                  mover_id_i,
    input  wire logic                    mover_active_i,
    input  wire cfg_address_t            mover_address_i,
    input  wire logic [31:0]             mover_data_i,
    output logic                         mover_wait_o,
    output logic                         mover_grant_o,
    output logic                         mover_valid_o,
    output logic [31:0]                  mover_data_o,
    output logic                         binding_event_valid_o,
    output logic [13:0][31:0]            binding_event_words_o,
    input  wire logic                    binding_event_take_i,
    input  wire logic                    binding_event_pop_i,
    // registers
    input  wire logic                    s_axil_awvalid_i,
    output logic                         s_axil_awready_o,
    input  wire logic [11:0]             s_axil_awaddr_i,
    input  wire logic                    s_axil_wvalid_i,
    output logic                         s_axil_wready_o,
    input  wire logic [31:0]             s_axil_wdata_i,
    input  wire logic [3:0]              s_axil_wstrb_i,
    output logic                         s_axil_bvalid_o,
    input  wire logic                    s_axil_bready_i,
    output logic [1:0]                   s_axil_bresp_o,
    input  wire logic                    s_axil_arvalid_i,
    output logic                         s_axil_arready_o,
    input  wire logic [11:0]             s_axil_araddr_i,
    output logic                         s_axil_rvalid_o,
    input  wire logic                    s_axil_rready_i,
    output logic [31:0]                  s_axil_rdata_o,
    output logic [1:0]                   s_axil_rresp_o
);
    // ---- reset: from outside, or by the register, stretched so that its write is answered first -------------------------
    localparam int unsigned RESET_CYCLES = 16;
    logic                            full_reset, reset_q;
    logic [$clog2(RESET_CYCLES+1):0] reset_count;
    always_ff @(posedge clk) begin
        reset_q <= rst || (reset_count != '0 && reset_count <= ($clog2(RESET_CYCLES + 1) + 1)'(RESET_CYCLES / 2));
        if (rst) reset_count <= '0;
        else if (full_reset) reset_count <= ($clog2(RESET_CYCLES + 1) + 1)'(RESET_CYCLES);
        else if (reset_count != '0) reset_count <= reset_count - 1'b1;
    end
    wire logic reset = reset_q;
    assign reset_o = reset_q;

    // ---- registers and configuration bus ----------------------------------------------------------------------------------
    settings_t    settings;
    cfg_req_t     cfg;
    init_t        init;
    banks_t [1:0] banks;
    logic         gen, lease_ok, parity_error;
    logic [31:0]  cfg_rdata, cfg_decision, cfg_reason, cfg_rule, cfg_target;
    logic         host_tx_done, host_tx_dropped, host_tx_masked, host_tx_arp, host_tx_nd;
    length_t      host_tx_length;
    logic    [PORTS-1:0] port_overrun, tx_done, tx_abort;
    length_t [PORTS-1:0] tx_length;
    logic                  binding_reset;
    logic [127:0]          binding_secret;
    ticks_t                fast_now, slow_now;
    host_request_t [1:0]   host_request, host_request_regs;
    host_answer_t [1:0]    host_answer, host_answer_regs;
    logic                  mover_bindings, table_grant, table_valid, reader_grant, reader_valid;
    logic [31:0]           table_data, reader_data;
    logic [1:0]            binding_event_valid;
    binding_event_t [1:0]  binding_event;
    binding_status_t [1:0] binding_status;
    census_request_t       census_request;
    logic                  census_busy;
    made_t [1:0]           undo;
    assign cfg_rdata = cfg_decision | cfg_reason | cfg_rule | cfg_target;
    csr u_csr (
        .clk, .rst(reset),
        .s_axil_awvalid_i, .s_axil_awready_o, .s_axil_awaddr_i, .s_axil_wvalid_i, .s_axil_wready_o, .s_axil_wdata_i,
        .s_axil_wstrb_i, .s_axil_bvalid_o, .s_axil_bready_i, .s_axil_bresp_o, .s_axil_arvalid_i, .s_axil_arready_o,
        .s_axil_araddr_i, .s_axil_rvalid_o, .s_axil_rready_i, .s_axil_rdata_o, .s_axil_rresp_o,
        .mover_i(mover_i && !mover_bindings), .mover_write_i, .mover_id_i, .mover_active_i, .mover_address_i, .mover_data_i,
        .mover_wait_o, .mover_grant_o(table_grant), .mover_valid_o(table_valid), .mover_data_o(table_data), .event_valid_o(binding_event_valid_o), .event_words_o(binding_event_words_o),
        .event_take_i(binding_event_take_i), .event_pop_i(binding_event_pop_i), .time_o, .settings_o(settings), .full_reset_o(full_reset), .cfg_req_o(cfg), .cfg_rdata_i(cfg_rdata), .init_o(init),
        .gen_o(gen), .banks_o(banks), .lease_ok_o(lease_ok), .binding_reset_o(binding_reset),
        .binding_secret_o(binding_secret), .fast_now_o(fast_now), .slow_now_o(slow_now), .host_request_o(host_request_regs),
        .host_answer_i(host_answer_regs), .binding_event_valid_i(binding_event_valid), .binding_event_i(binding_event),
        .binding_status_i(binding_status), .census_request_o(census_request), .census_busy_i(census_busy),
        .wire_link_i, .parity_error_i(parity_error), .port_overrun_i(port_overrun),
        .tx_done_i(tx_done), .tx_len_i(tx_length), .tx_abort_i(tx_abort), .host_tx_done_i(host_tx_done),
        .host_tx_len_i(host_tx_length), .host_tx_dropped_i(host_tx_dropped), .host_tx_masked_i(host_tx_masked),
        .host_tx_arp_i(host_tx_arp), .host_tx_nd_i(host_tx_nd));

    // The table mover reads tables through the registers' bus, bindings by operations of their own.
    assign mover_bindings = mover_id_i[3] && mover_id_i[2] && (mover_id_i[1] || mover_id_i[0]);
    assign mover_grant_o  = table_grant || reader_grant;
    assign mover_valid_o  = table_valid || reader_valid;
    assign mover_data_o   = reader_valid ? reader_data : table_data;
    binding_reader u_reader (
        .clk, .rst(reset), .begin_i(mover_begin_i), .affinity_i(mover_id_i[1]), .continue_i(mover_active_i),
        .session_i(mover_address_i[15:0]), .read_i(mover_i && mover_bindings), .grant_o(reader_grant), .valid_o(reader_valid),
        .data_o(reader_data), .request_i(host_request_regs), .answer_o(host_answer_regs), .request_o(host_request),
        .answer_i(host_answer));

    // ---- receive: one stream of beats ---------------------------------------------------------------------------------------
    // A beat that waits for the decision on its frame.
    typedef struct packed {
        beat_data_t data;
        logic       last;
        length_t    length;    // with the last beat, as the rest
        logic       error;
        logic       oversize;
    } waiting_t;
    // What goes beside a beat from egress_join to egress.
    typedef struct packed {
        logic      first;
        logic      last;
        length_t   length;
        logic      late;
        reason_e   late_reason;
        decision_t decision;
    } beside_t;
    // Beats that can wait: more than the decision takes, with a window of any number of beats before it.
    localparam int unsigned WAITING_BEATS = 128;

    logic       [PORTS-1:0] in_valid, in_first, in_last, in_error, in_oversize;
    beat_data_t [PORTS-1:0] in_data;
    length_t    [PORTS-1:0] in_length;
    for (genvar p = 0; p < PORTS; p++) begin : gen_ingress
        ingress u_ingress (
            .clk, .rst(reset), .valid_i(wire_rx_tvalid_i[p]), .data_i(wire_rx_tdata_i[p]), .keep_i(wire_rx_tkeep_i[p]),
            .last_i(wire_rx_tlast_i[p]), .error_i(wire_rx_tuser_i[p]), .valid_o(in_valid[p]), .data_o(in_data[p]),
            .first_o(in_first[p]), .last_o(in_last[p]), .length_o(in_length[p]), .error_o(in_error[p]),
            .oversize_o(in_oversize[p]));
    end
    assign wire_rx_tready_o = '1;

    logic       beat_valid, beat_first;
    waiting_t   beat, waiting;
    port_t      beat_port;
    port_arbiter u_arbiter (
        .clk, .rst(reset), .valid_i(in_valid), .data_i(in_data), .first_i(in_first), .last_i(in_last), .length_i(in_length),
        .error_i(in_error), .oversize_i(in_oversize), .overrun_o(port_overrun), .valid_o(beat_valid), .data_o(beat.data),
        .first_o(beat_first), .last_o(beat.last), .length_o(beat.length), .error_o(beat.error),
        .oversize_o(beat.oversize), .port_o(beat_port));

    // ---- receive: the header decides while the beats wait ---------------------------------------------------------------------
    logic                   window_valid, window_gen, decided;
    logic [WINDOW_BITS-1:0] window;
    port_t                  window_port;
    decision_t              decided_value, decision;
    header_window u_window (
        .clk, .rst(reset), .valid_i(beat_valid), .data_i(beat.data), .first_i(beat_first), .last_i(beat.last),
        .port_i(beat_port), .gen_i(gen), .window_valid_o(window_valid), .window_o(window), .window_port_o(window_port),
        .window_gen_o(window_gen));
    decision_pipeline u_decision (
        .clk, .rst(reset), .init_i(init), .cfg_i(cfg), .cfg_rdata_o(cfg_decision), .settings_i(settings), .banks_i(banks),
        .lease_ok_i(lease_ok), .parity_error_o(parity_error), .binding_reset_i(binding_reset),
        .binding_secret_i(binding_secret), .fast_now_i(fast_now), .slow_now_i(slow_now), .undo_i(undo),
        .host_request_i(host_request), .host_answer_o(host_answer), .binding_event_valid_o(binding_event_valid),
        .binding_event_o(binding_event), .binding_status_o(binding_status), .census_request_i(census_request),
        .census_busy_o(census_busy), .window_valid_i(window_valid), .window_i(window),
        .window_port_i(window_port), .window_gen_i(window_gen), .decision_valid_o(decided), .decision_o(decided_value));

    logic waiting_valid, waiting_ready, waiting_full, decision_valid, decision_ready, decision_full;
    stream_fifo #(.WIDTH($bits(waiting_t)), .DEPTH(WAITING_BEATS)) u_waiting (
        .clk, .rst(reset), .in_valid_i(beat_valid), .in_data_i(beat), .full_o(waiting_full), .out_valid_o(waiting_valid),
        .out_ready_i(waiting_ready), .out_data_o(waiting));
    stream_fifo #(.WIDTH($bits(decision_t)), .DEPTH(WAITING_BEATS)) u_decisions (
        .clk, .rst(reset), .in_valid_i(decided), .in_data_i(decided_value), .full_o(decision_full),
        .out_valid_o(decision_valid), .out_ready_i(decision_ready), .out_data_o(decision));

    // ---- receive: the verdict becomes final ---------------------------------------------------------------------------------------
    logic       joined_valid, edited_valid;
    beat_data_t joined_data, edited_data;
    beside_t    joined, edited;
    egress_join u_join (
        .clk, .rst(reset), .beat_valid_i(waiting_valid), .beat_ready_o(waiting_ready), .beat_data_i(waiting.data),
        .beat_last_i(waiting.last), .beat_length_i(waiting.length), .beat_error_i(waiting.error),
        .beat_oversize_i(waiting.oversize), .decision_valid_i(decision_valid), .decision_ready_o(decision_ready),
        .decision_i(decision), .valid_o(joined_valid), .data_o(joined_data), .first_o(joined.first), .last_o(joined.last),
        .length_o(joined.length), .late_o(joined.late), .late_reason_o(joined.late_reason), .decision_o(joined.decision));
    edit_stage #(.SIDE_BITS($bits(beside_t))) u_edit (
        .clk, .rst(reset), .valid_i(joined_valid), .data_i(joined_data), .side_i(joined), .valid_o(edited_valid),
        .data_o(edited_data), .side_o(edited));

    logic             host_valid, out_first, out_last, out_abort, host_data_room, host_control_room, event_late;
    logic [PORTS-1:0] forward_valid, forward_room;
    beat_data_t       out_data;
    length_t          out_length;
    decision_t        out_decision;
    verdict_e         event_verdict;
    reason_e          event_reason;
    egress u_egress (
        .clk, .rst(reset), .valid_i(edited_valid), .data_i(edited_data), .first_i(edited.first), .last_i(edited.last),
        .length_i(edited.length), .late_i(edited.late), .late_reason_i(edited.late_reason), .decision_i(edited.decision),
        .host_data_room_i(host_data_room), .host_control_room_i(host_control_room), .wire_room_i(forward_room),
        .host_valid_o(host_valid), .wire_valid_o(forward_valid), .data_o(out_data), .first_o(out_first), .last_o(out_last),
        .length_o(out_length), .abort_o(out_abort), .decision_o(out_decision), .event_valid_o,
        .event_verdict_o(event_verdict), .event_reason_o(event_reason), .event_late_o(event_late), .event_aborted_o);
    assign event_verdict_o  = event_verdict;
    assign event_reason_o   = event_reason;
    assign event_port_o     = (PORTS > 1) && out_decision.port;
    assign event_out_port_o = out_decision.out_port;
    assign event_queue_o    = out_decision.host_queue;
    assign event_control_o  = out_decision.control;
    assign event_rule_o     = {out_decision.rule_valid, out_decision.rule};
    assign event_bucket_o   = {out_decision.bucket_valid, out_decision.bucket};
    assign event_target_o   = {out_decision.target_valid, out_decision.target};
    assign event_length_o   = out_length;
    assign event_generation_o = out_decision.generation;
    assign event_found_o    = out_decision.found;
    assign event_refused_o  = out_decision.refused;

    // A frame that a late check discards takes back the bindings that it made.
    always_ff @(posedge clk) begin
        undo[0]       <= out_decision.connection;
        undo[1]       <= out_decision.affinity;
        undo[0].valid <= event_valid_o && event_late && out_decision.connection.valid && !reset;
        undo[1].valid <= event_valid_o && event_late && out_decision.affinity.valid && !reset;
    end

    counter_vector #(.ID(TABLE_COUNT_REASON), .ENTRIES(256)) u_count_reason (
        .clk, .rst(reset), .init_i(init), .cfg_i(cfg), .cfg_rdata_o(cfg_reason), .valid_i(event_valid_o),
        .index_i({event_verdict, event_reason}), .bytes_i(out_length));
    counter_vector #(.ID(TABLE_COUNT_RULE), .ENTRIES(128)) u_count_rule (
        .clk, .rst(reset), .init_i(init), .cfg_i(cfg), .cfg_rdata_o(cfg_rule),
        .valid_i(event_valid_o && !event_late && out_decision.rule_valid), .index_i(out_decision.rule), .bytes_i(out_length));
    counter_vector #(.ID(TABLE_COUNT_TARGET), .ENTRIES(TARGETS)) u_count_target (
        .clk, .rst(reset), .init_i(init), .cfg_i(cfg), .cfg_rdata_o(cfg_target),
        .valid_i(event_valid_o && !event_late && out_decision.target_valid), .index_i(out_decision.target),
        .bytes_i(out_length));

    host_receive u_host_receive (
        .clk, .rst(reset), .data_room_o(host_data_room), .control_room_o(host_control_room), .valid_i(host_valid),
        .data_i(out_data), .last_i(out_last), .length_i(out_length), .abort_i(out_abort), .decision_i(out_decision),
        .tvalid_o(host_rx_tvalid_o), .tdata_o(host_rx_tdata_o), .tkeep_o(host_rx_tkeep_o), .tlast_o(host_rx_tlast_o),
        .tabort_o(host_rx_tabort_o), .control_o(host_rx_control_o), .queue_o(host_rx_queue_o), .reason_o(host_rx_reason_o),
        .port_o(host_rx_port_o), .rule_o(host_rx_rule_o), .bucket_o(host_rx_bucket_o), .target_o(host_rx_target_o),
        .tready_i(host_rx_tready_i));

    // ---- transmit -------------------------------------------------------------------------------------------------------------------
    logic       [PORTS-1:0] control_valid, control_ready, control_last, data_valid, data_ready, data_last;
    beat_data_t [PORTS-1:0] control_data, data_data;
    tail_t      [PORTS-1:0] control_tail, data_tail;
    // The tables that host transmit looks at are copies of those of the receive side, with the same writes.
    port_t        tx_port;
    logic [11:0]  tx_vlan;
    zone_t        tx_zone, tx_vip_zone;
    logic         tx_lookup, tx_v6, tx_result, tx_zone_bad;
    logic [127:0] tx_address;
    logic [31:0]  tx_cfg_zone, tx_cfg_vip;
    vip_result_t  tx_vip;
    zone_table u_tx_zone (
        .clk, .init_i(init), .cfg_i(cfg), .cfg_rdata_o(tx_cfg_zone), .port_i(tx_port), .vlan_i(tx_vlan),
        .bank_i(banks[gen].zone), .zone_o(tx_zone), .bad_o(tx_zone_bad));
    vip_table u_tx_vip (
        .clk, .init_i(init), .cfg_i(cfg), .cfg_rdata_o(tx_cfg_vip), .v6_i(tx_v6), .zone_i(tx_vip_zone),
        .address_i(tx_address), .bank_i(banks[gen].vip), .result_o(tx_vip));
    delay #(.WIDTH(1), .CYCLES(EXACT_LATENCY)) u_tx_result (.clk, .value_i(tx_lookup && !reset), .value_o(tx_result));
    host_transmit u_host_transmit (
        .clk, .rst(reset), .settings_i(settings), .tvalid_i(host_tx_tvalid_i), .tready_o(host_tx_tready_o),
        .tdata_i(host_tx_tdata_i), .tkeep_i(host_tx_tkeep_i), .tlast_i(host_tx_tlast_i), .tport_i(host_tx_tport_i),
        .zone_port_o(tx_port), .zone_vlan_o(tx_vlan), .zone_i(tx_zone), .vip_lookup_valid_o(tx_lookup), .vip_v6_o(tx_v6),
        .vip_zone_o(tx_vip_zone), .vip_address_o(tx_address), .vip_result_valid_i(tx_result), .vip_hit_i(tx_vip.hit),
        .vip_kind_i(tx_vip.kind), .control_valid_o(control_valid), .control_ready_i(control_ready),
        .control_data_o(control_data), .control_last_o(control_last), .control_tail_o(control_tail),
        .data_valid_o(data_valid), .data_ready_i(data_ready), .data_data_o(data_data), .data_last_o(data_last),
        .data_tail_o(data_tail), .done_o(host_tx_done), .length_o(host_tx_length), .dropped_o(host_tx_dropped),
        .masked_o(host_tx_masked), .arp_o(host_tx_arp), .nd_o(host_tx_nd));
    wire logic unused_tx = &{1'b0, tx_cfg_zone, tx_cfg_vip, tx_vip, tx_zone_bad};
    for (genvar p = 0; p < PORTS; p++) begin : gen_transmit
        wire_transmit u_wire (
            .clk, .rst(reset), .control_valid_i(control_valid[p]), .control_ready_o(control_ready[p]),
            .control_data_i(control_data[p]), .control_last_i(control_last[p]), .control_tail_i(control_tail[p]),
            .forward_room_o(forward_room[p]), .forward_valid_i(forward_valid[p]), .forward_data_i(out_data),
            .forward_last_i(out_last), .forward_length_i(out_length), .forward_abort_i(out_abort),
            .data_valid_i(data_valid[p]), .data_ready_o(data_ready[p]), .data_data_i(data_data[p]),
            .data_last_i(data_last[p]), .data_tail_i(data_tail[p]), .tvalid_o(wire_tx_tvalid_o[p]),
            .tdata_o(wire_tx_tdata_o[p]), .tkeep_o(wire_tx_tkeep_o[p]), .tlast_o(wire_tx_tlast_o[p]),
            .tuser_o(wire_tx_tuser_o[p]), .tready_i(wire_tx_tready_i[p]), .done_o(tx_done[p]), .length_o(tx_length[p]),
            .aborted_o(tx_abort[p]));
    end

    wire logic unused = &{1'b0, out_first, out_decision, waiting_full, decision_full};
    `HG_ASSERT(waiting_has_room, !(waiting_full && beat_valid))
    `HG_ASSERT(decisions_have_room, !(decision_full && decided))
endmodule
`resetall
