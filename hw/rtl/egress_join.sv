// SPDX-License-Identifier: Apache-2.0
//
// egress_join: brings the waiting beats of a frame and its decision together, and makes the late checks.
//
// In       beats and decisions from their queues; a decision is there at the latest when the pipeline has taken its time, so beats
//          never pile up: one beat leaves a cycle.
// Out      beats with the decision beside them; `late_*` are meaningful on the last beat (docs/dataplane.md, rows 1..4).
// Latency  1.
`resetall
`default_nettype none
module egress_join
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic       clk,
    input  wire logic       rst,
    input  wire logic       beat_valid_i,
    output logic            beat_ready_o,
    input  wire beat_data_t beat_data_i,
    input  wire logic       beat_last_i,
    input  wire length_t    beat_length_i,    // with the last beat, as the rest
    input  wire logic       beat_error_i,
    input  wire logic       beat_oversize_i,
    input  wire logic       decision_valid_i,
    output logic            decision_ready_o,
    input  wire decision_t  decision_i,
    output logic            valid_o,
    output beat_data_t      data_o,
    output logic            first_o,
    output logic            last_o,
    output length_t         length_o,
    output logic            late_o,
    output reason_e         late_reason_o,
    output decision_t       decision_o
);
    logic in_frame;  // between the first and the last beat
    assign beat_ready_o     = decision_valid_i;
    assign decision_ready_o = beat_valid_i && beat_last_i;

    logic runt, truncated;
    assign runt      = beat_length_i < 14'(MIN_FRAME);
    assign truncated = {3'b0, beat_length_i} < decision_i.min_length;

    always_ff @(posedge clk) begin
        valid_o <= beat_valid_i && decision_valid_i;
        if (beat_valid_i && decision_valid_i) in_frame <= !beat_last_i;
        data_o     <= beat_data_i;
        first_o    <= !in_frame;
        last_o     <= beat_last_i;
        length_o   <= beat_length_i;
        decision_o <= decision_i;
        late_o     <= beat_error_i || runt || beat_oversize_i || truncated;
        if (beat_error_i) late_reason_o <= REASON_FRAME_ERROR;
        else if (runt) late_reason_o <= REASON_RUNT;
        else if (beat_oversize_i) late_reason_o <= REASON_OVERSIZE;
        else late_reason_o <= REASON_TRUNCATED;
        if (rst) begin
            valid_o <= 1'b0;
            in_frame  <= 1'b0;
        end
    end
endmodule
`resetall
