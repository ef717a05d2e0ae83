// SPDX-License-Identifier: Apache-2.0
//
// host_transmit: the way of frames from the host to the wire ports ("Host transmit" of docs/dataplane.md).
//
//     streams -> intake -+-> header_window -> classify -+-> edits ------+-> join -> patch -> data and control buffer of the port
//                        |                              +-> VIP answers +
//                        +-> waiting beats -----------------------------+
//
// Host     two AXI4-Streams, 0 data and 1 control; `tport_i` names the wire port with the first beat. See
//          host_tx_intake.
// Look-up  `zone_i` answers {zone_port_o, zone_vlan_o} ZONE_LATENCY cycles later; `vip_result_valid_i` answers each
//          `vip_lookup_valid_o` once, in order, after any fixed time: a longer one than WAIT_BEATS allows costs
//          throughput.
// Wire     per port a control and a data stream of whole frames (valid, ready), to wire_transmit.
// Count    for each frame one cycle with `done_o` and the length on the wire, with `masked_o`, `arp_o`, `nd_o` if it
//          was so rewritten; or one cycle with `dropped_o`.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module host_transmit
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
    import host_tx_pkg::*;
(
    input  wire logic                        clk,
    input  wire logic                        rst,
    input  wire settings_t                   settings_i,
    // from the host
    input  wire logic [1:0]                  tvalid_i,
    output logic [1:0]                       tready_o,
    input  wire logic [1:0][BEAT_BITS-1:0]   tdata_i,
    input  wire logic [1:0][BEAT_BYTES-1:0]  tkeep_i,
    input  wire logic [1:0]                  tlast_i,
    input  wire logic [1:0]                  tport_i,
    // zone look-up
    output port_t                            zone_port_o,
    output logic [11:0]                      zone_vlan_o,
    input  wire zone_t                       zone_i,
    // VIP look-up
    output logic                             vip_lookup_valid_o,
    output logic                             vip_v6_o,
    output zone_t                            vip_zone_o,
    output logic [127:0]                     vip_address_o,       // IPv4 in the low 32 bits, zeros above
    input  wire logic                        vip_result_valid_i,
    input  wire logic                        vip_hit_i,
    input  wire vip_kind_e                   vip_kind_i,
    // to the wire ports
    output logic [PORTS-1:0]                 control_valid_o,
    input  wire logic [PORTS-1:0]            control_ready_i,
    output logic [PORTS-1:0][BEAT_BITS-1:0]  control_data_o,
    output logic [PORTS-1:0]                 control_last_o,
    output logic [PORTS-1:0][TAIL_BITS-1:0]  control_tail_o,
    output logic [PORTS-1:0]                 data_valid_o,
    input  wire logic [PORTS-1:0]            data_ready_i,
    output logic [PORTS-1:0][BEAT_BITS-1:0]  data_data_o,
    output logic [PORTS-1:0]                 data_last_o,
    output logic [PORTS-1:0][TAIL_BITS-1:0]  data_tail_o,
    // to the counters
    output logic                             done_o,
    output length_t                          length_o,
    output logic                             dropped_o,
    output logic                             masked_o,
    output logic                             arp_o,
    output logic                             nd_o
);
    // Beats that wait for the answers about their frame, and frames that do. Enough for one beat a cycle if window,
    // classification and look-up take fewer cycles than this.
    localparam int unsigned WAIT_BEATS = 64;
    // Beats that may still come to the waiting ones after `full`.
    localparam int unsigned WAIT_RESERVE = 4;
    // Beats from the choice of a frame to its buffer: those that wait and those in intake (2), join (1) and patch (2).
    // Each may be a frame of its own that is padded.
    localparam int unsigned BUFFER_IN_FLIGHT = (WAIT_BEATS + 6) * ((MIN_FRAME + BEAT_BYTES - 1) / BEAT_BYTES);

    // ---- intake -----------------------------------------------------------------------------------------------------
    logic [PORTS-1:0][1:0] data_room, control_room;
    logic                  in_valid, in_first, in_last, in_drop, hold;
    beat_data_t            in_data;
    tail_t                 in_tail;
    port_t                 in_port;
    host_tx_intake u_intake (
        .clk, .rst, .tvalid_i, .tready_o, .tdata_i, .tkeep_i, .tlast_i, .tport_i, .data_room_i(data_room),
        .control_room_i(control_room), .hold_i(hold), .valid_o(in_valid), .data_o(in_data), .first_o(in_first),
        .last_o(in_last), .tail_o(in_tail), .drop_o(in_drop), .port_o(in_port));

    // ---- beats that wait --------------------------------------------------------------------------------------------
    typedef struct packed {
        beat_data_t data;
        logic       last;
        tail_t      tail;
        logic       drop;
        port_t      port;
    } beat_t;
    beat_t in_beat, beat;
    logic  beat_valid, beat_ready;
    assign in_beat = '{data: in_data, last: in_last, tail: in_tail, drop: in_drop, port: in_port};
    stream_fifo #(
        .WIDTH($bits(beat_t)), .DEPTH(WAIT_BEATS), .RESERVE(WAIT_RESERVE)
    ) u_wait (
        .clk, .rst, .in_valid_i(in_valid), .in_data_i(in_beat), .full_o(hold), .out_valid_o(beat_valid),
        .out_ready_i(beat_ready), .out_data_o(beat));

    // ---- window, classification -------------------------------------------------------------------------------------
    logic                   window_valid, window_gen;
    logic [WINDOW_BITS-1:0] window;
    port_t                  window_port;
    header_window u_window (
        .clk, .rst, .valid_i(in_valid), .data_i(in_data), .first_i(in_first), .last_i(in_last), .port_i(in_port), .gen_i(1'b0),
        .window_valid_o(window_valid), .window_o(window), .window_port_o(window_port), .window_gen_o(window_gen));
    logic  new_edit_valid, edit_valid, edit_ready;
    edit_t new_edit, edit;
    host_tx_classify u_classify (
        .clk, .rst, .cluster_mac_i(settings_i.cluster_mac), .mask_source_i(settings_i.mask_source),
        .window_valid_i(window_valid), .window_i(window), .window_port_i(window_port), .zone_port_o, .zone_vlan_o, .zone_i,
        .vip_valid_o(vip_lookup_valid_o), .vip_v6_o, .vip_zone_o, .vip_address_o,
        .edit_valid_o(new_edit_valid), .edit_o(new_edit));

    // ---- answers that wait ------------------------------------------------------------------------------------------
    logic edit_full, vip_full;  // never: each frame in these has a beat in u_wait
    logic vip_valid, vip_ready, vip;
    stream_fifo #(
        .WIDTH($bits(edit_t)), .DEPTH(WAIT_BEATS)
    ) u_edits (
        .clk, .rst, .in_valid_i(new_edit_valid), .in_data_i(new_edit), .full_o(edit_full), .out_valid_o(edit_valid),
        .out_ready_i(edit_ready), .out_data_o(edit));
    stream_fifo #(
        .WIDTH(1), .DEPTH(WAIT_BEATS)
    ) u_vips (
        .clk, .rst, .in_valid_i(vip_result_valid_i), .in_data_i(vip_hit_i && vip_kind_i == VIP_KIND_VIP), .full_o(vip_full),
        .out_valid_o(vip_valid), .out_ready_i(vip_ready), .out_data_o(vip));

    // ---- out of the queues, edited ----------------------------------------------------------------------------------
    logic         join_valid, join_last, join_drop;
    beat_data_t   join_data;
    tail_t        join_tail;
    port_t        join_port;
    beat_number_t join_number;
    edit_t        join_edit;
    host_tx_join u_join (
        .clk, .rst, .beat_valid_i(beat_valid), .beat_ready_o(beat_ready), .beat_data_i(beat.data), .beat_last_i(beat.last),
        .beat_tail_i(beat.tail), .beat_drop_i(beat.drop), .beat_port_i(beat.port), .edit_valid_i(edit_valid),
        .edit_ready_o(edit_ready), .edit_i(edit), .vip_valid_i(vip_valid), .vip_ready_o(vip_ready), .vip_i(vip),
        .valid_o(join_valid), .data_o(join_data), .last_o(join_last), .tail_o(join_tail), .drop_o(join_drop),
        .port_o(join_port), .number_o(join_number), .edit_o(join_edit));
    logic       out_valid, out_last, out_drop;
    beat_data_t out_data;
    tail_t      out_tail;
    length_t    out_length;
    port_t      out_port;
    edit_t      out_edit;
    host_tx_patch u_patch (
        .clk, .rst, .mask_mac_i(settings_i.mask_mac), .cluster_mac_i(settings_i.cluster_mac), .valid_i(join_valid),
        .data_i(join_data), .last_i(join_last), .tail_i(join_tail),
        .drop_i(join_drop), .port_i(join_port), .number_i(join_number), .edit_i(join_edit), .valid_o(out_valid),
        .data_o(out_data), .last_o(out_last), .tail_o(out_tail), .drop_o(out_drop), .length_o(out_length), .port_o(out_port),
        .edit_o(out_edit));

    // ---- buffers of the ports ---------------------------------------------------------------------------------------
    for (genvar p = 0; p < PORTS; p++) begin : gen_port
        logic mine, unused_control, unused_data;
        assign mine = out_valid && out_port == port_t'(p);
        frame_fifo #(
            .DEPTH(CONTROL_BUFFER_BEATS), .STORE(1'b1), .FRAMES(2), .IN_FLIGHT(BUFFER_IN_FLIGHT)
        ) u_control (
            .clk, .rst, .room_o(control_room[p]), .in_valid_i(mine && out_edit.control), .in_data_i(out_data),
            .in_last_i(out_last), .in_tail_i(out_tail), .in_drop_i(out_drop), .in_meta_i(1'b0),
            .out_valid_o(control_valid_o[p]), .out_ready_i(control_ready_i[p]), .out_data_o(control_data_o[p]),
            .out_last_o(control_last_o[p]), .out_tail_o(control_tail_o[p]), .out_meta_o(unused_control));
        frame_fifo #(
            .DEPTH(DATA_BUFFER_BEATS), .STORE(1'b1), .FRAMES(2), .IN_FLIGHT(BUFFER_IN_FLIGHT)
        ) u_data (
            .clk, .rst, .room_o(data_room[p]), .in_valid_i(mine && !out_edit.control), .in_data_i(out_data),
            .in_last_i(out_last), .in_tail_i(out_tail), .in_drop_i(out_drop), .in_meta_i(1'b0),
            .out_valid_o(data_valid_o[p]), .out_ready_i(data_ready_i[p]), .out_data_o(data_data_o[p]),
            .out_last_o(data_last_o[p]), .out_tail_o(data_tail_o[p]), .out_meta_o(unused_data));
        wire logic unused_outputs = &{1'b0, unused_control, unused_data};
    end

    // ---- counters ---------------------------------------------------------------------------------------------------
    logic sent;
    assign sent = out_valid && out_last && !out_drop;
    always_ff @(posedge clk) begin
        done_o    <= sent;
        length_o  <= out_length;
        dropped_o <= out_valid && out_last && out_drop;
        masked_o  <= sent && out_edit.mask;
        arp_o     <= sent && out_edit.arp;
        nd_o      <= sent && out_edit.discovery;
        if (rst) begin
            done_o    <= 1'b0;
            dropped_o <= 1'b0;
            masked_o  <= 1'b0;
            arp_o     <= 1'b0;
            nd_o      <= 1'b0;
        end
    end
    wire logic unused = &{1'b0, window_gen, edit_full, vip_full, out_edit, settings_i};
endmodule
`resetall
