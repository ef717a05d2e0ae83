// SPDX-License-Identifier: Apache-2.0
//
// host_receive: buffers on the way to the host.
//
// In       frames from egress, each with its decision; `control` of the decision picks the buffer. Egress begins a
//          frame only if it sees room in that buffer (`data_room_o`, `control_room_o`), then sends it without waiting.
// Out      AXI4-Stream to the host, the control buffer first, frame by frame. Metadata and `control` are those of the
//          frame on every beat of it; `tabort_o` on the last beat says that the frame must be dropped.
// Latency  4. A frame is on its way to the host while it comes in, so the stream may pause inside a frame.
`resetall
`default_nettype none
module host_receive
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
(
    input  wire logic       clk,
    input  wire logic       rst,
    output logic            data_room_o,
    output logic            control_room_o,
    input  wire logic       valid_i,
    input  wire beat_data_t data_i,
    input  wire logic       last_i,
    input  wire length_t    length_i,    // with the last beat, as `abort_i`
    input  wire logic       abort_i,
    input  wire decision_t  decision_i,
    output logic            tvalid_o,
    output beat_data_t      tdata_o,
    output beat_keep_t      tkeep_o,
    output logic            tlast_o,
    output logic            tabort_o,
    output logic            control_o,
    output logic [7:0]      queue_o,
    output logic [5:0]      reason_o,
    output logic            port_o,
    output logic [7:0]      rule_o,      // valid bit on top, as the next two
    output logic [12:0]     bucket_o,
    output logic [10:0]     target_o,
    input  wire logic       tready_i
);
    typedef struct packed {
        logic        aborted;
        logic [7:0]  host_queue;
        logic [5:0]  reason;
        logic        port;
        logic [7:0]  rule;
        logic [12:0] bucket;
        logic [10:0] target;
    } meta_t;
    meta_t meta_in, meta_out;
    always_comb begin
        meta_in.aborted    = abort_i && last_i;
        meta_in.host_queue = decision_i.host_queue;
        meta_in.reason     = decision_i.reason;
        meta_in.port       = 1'(decision_i.port);
        meta_in.rule       = {decision_i.rule_valid, decision_i.rule};
        meta_in.bucket     = {decision_i.bucket_valid, decision_i.bucket};
        meta_in.target     = {decision_i.target_valid, decision_i.target};
    end

    // Buffer 0 is that of control frames: `frame_select` prefers it.
    logic [1:0]                    buffer_valid, buffer_ready, buffer_last;
    logic [1:0][BEAT_BITS-1:0]     buffer_data;
    logic [1:0][TAIL_BITS-1:0]     buffer_tail;
    logic [1:0][$bits(meta_t)-1:0] buffer_meta;
    frame_fifo #(
        .DEPTH(CONTROL_BUFFER_BEATS), .META_BITS($bits(meta_t))
    ) u_control (
        .clk, .rst, .room_o(control_room_o), .in_valid_i(valid_i && decision_i.control), .in_data_i(data_i),
        .in_last_i(last_i), .in_tail_i(length_i[TAIL_BITS-1:0]), .in_drop_i(1'b0), .in_meta_i(meta_in),
        .out_valid_o(buffer_valid[0]), .out_ready_i(buffer_ready[0]), .out_data_o(buffer_data[0]),
        .out_last_o(buffer_last[0]), .out_tail_o(buffer_tail[0]), .out_meta_o(buffer_meta[0]));
    frame_fifo #(
        .DEPTH(DATA_BUFFER_BEATS), .META_BITS($bits(meta_t))
    ) u_data (
        .clk, .rst, .room_o(data_room_o), .in_valid_i(valid_i && !decision_i.control), .in_data_i(data_i),
        .in_last_i(last_i), .in_tail_i(length_i[TAIL_BITS-1:0]), .in_drop_i(1'b0), .in_meta_i(meta_in),
        .out_valid_o(buffer_valid[1]), .out_ready_i(buffer_ready[1]), .out_data_o(buffer_data[1]),
        .out_last_o(buffer_last[1]), .out_tail_o(buffer_tail[1]), .out_meta_o(buffer_meta[1]));

    logic  from_data;
    tail_t tail;
    frame_select #(
        .SOURCES(2), .META_BITS($bits(meta_t))
    ) u_select (
        .clk, .rst, .in_valid_i(buffer_valid), .in_ready_o(buffer_ready), .in_data_i(buffer_data), .in_last_i(buffer_last),
        .in_tail_i(buffer_tail), .in_meta_i(buffer_meta), .out_valid_o(tvalid_o), .out_ready_i(tready_i),
        .out_data_o(tdata_o), .out_keep_o(tkeep_o), .out_last_o(tlast_o), .out_tail_o(tail), .out_meta_o(meta_out),
        .out_source_o(from_data));
    assign tabort_o  = meta_out.aborted;
    assign control_o = !from_data;
    assign queue_o   = meta_out.host_queue;
    assign reason_o  = meta_out.reason;
    assign port_o    = meta_out.port;
    assign rule_o    = meta_out.rule;
    assign bucket_o  = meta_out.bucket;
    assign target_o  = meta_out.target;
    wire logic unused = &{1'b0, tail, decision_i, length_i};
endmodule
`resetall
