// SPDX-License-Identifier: Apache-2.0
//
// wire_transmit: what leaves by one wire port.
//
// In       control frames of the host, forwarded frames, data frames of the host; in this order of priority, frame by
//          frame. Host frames wait (`*_ready_o`). Forwarded frames come from egress, which begins one only if it sees
//          `forward_room_o`, then sends it without waiting.
// Out      AXI4-Stream to the MAC; `tuser_o` on the last beat tells the MAC to spoil the frame (abort). A forwarded
//          frame leaves while it comes in, so the stream may pause inside a frame: a MAC that cannot pause needs a
//          buffer.
// Count    one cycle after the last beat of a frame left: `done_o` with its length and `aborted_o`.
// Latency  4 for forwarded frames, 1 for frames of the host.
`resetall
`default_nettype none
module wire_transmit
    import hashgate_pkg::*;
    import stream_pkg::*;
(
    input  wire logic       clk,
    input  wire logic       rst,
    // control frames of the host
    input  wire logic       control_valid_i,
    output logic            control_ready_o,
    input  wire beat_data_t control_data_i,
    input  wire logic       control_last_i,
    input  wire tail_t      control_tail_i,
    // forwarded frames
    output logic            forward_room_o,
    input  wire logic       forward_valid_i,
    input  wire beat_data_t forward_data_i,
    input  wire logic       forward_last_i,
    input  wire length_t    forward_length_i,  // with the last beat, as abort
    input  wire logic       forward_abort_i,
    // data frames of the host
    input  wire logic       data_valid_i,
    output logic            data_ready_o,
    input  wire beat_data_t data_data_i,
    input  wire logic       data_last_i,
    input  wire tail_t      data_tail_i,
    // to the MAC
    output logic            tvalid_o,
    output beat_data_t      tdata_o,
    output beat_keep_t      tkeep_o,
    output logic            tlast_o,
    output logic            tuser_o,
    input  wire logic       tready_i,
    // to the counters
    output logic            done_o,
    output length_t         length_o,
    output logic            aborted_o
);
    logic       forward_valid, forward_ready, forward_last, forward_abort;
    beat_data_t forward_data;
    tail_t      forward_tail;
    frame_fifo #(
        .DEPTH(DATA_BUFFER_BEATS), .META_BITS(1)
    ) u_forward (
        .clk, .rst, .room_o(forward_room_o), .in_valid_i(forward_valid_i), .in_data_i(forward_data_i),
        .in_last_i(forward_last_i), .in_tail_i(forward_length_i[TAIL_BITS-1:0]), .in_drop_i(1'b0),
        .in_meta_i(forward_abort_i && forward_last_i), .out_valid_o(forward_valid), .out_ready_i(forward_ready),
        .out_data_o(forward_data), .out_last_o(forward_last), .out_tail_o(forward_tail), .out_meta_o(forward_abort));

    logic [1:0] source;
    tail_t      tail;
    frame_select #(
        .SOURCES(3), .META_BITS(1)
    ) u_select (
        .clk, .rst, .in_valid_i({data_valid_i, forward_valid, control_valid_i}),
        .in_ready_o({data_ready_o, forward_ready, control_ready_o}),
        .in_data_i({data_data_i, forward_data, control_data_i}), .in_last_i({data_last_i, forward_last, control_last_i}),
        .in_tail_i({data_tail_i, forward_tail, control_tail_i}), .in_meta_i({1'b0, forward_abort, 1'b0}),
        .out_valid_o(tvalid_o), .out_ready_i(tready_i), .out_data_o(tdata_o), .out_keep_o(tkeep_o), .out_last_o(tlast_o),
        .out_tail_o(tail), .out_meta_o(tuser_o), .out_source_o(source));

    beat_number_t before_reg;  // beats of the frame that have left
    always_ff @(posedge clk) begin
        done_o    <= tvalid_o && tready_i && tlast_o;
        aborted_o <= tuser_o;
        length_o  <= frame_length(before_reg, tail);
        if (tvalid_o && tready_i) before_reg <= tlast_o ? '0 : before_reg + 1'b1;
        if (rst) begin
            done_o     <= 1'b0;
            before_reg <= '0;
        end
    end
    wire logic unused = &{1'b0, source, forward_length_i};
endmodule
`resetall
