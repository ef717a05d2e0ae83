// SPDX-License-Identifier: Apache-2.0
//
// egress: where a verdict becomes final.
//
// In       beats from the edit stage with the decision and the late checks beside them; room in the buffers.
// Out      beats to the buffers of the host (`host_*`, with the metadata of the frame) and of the wire ports (`wire_*`), a frame whole or
//          not at all: if the buffer has no room for the longest frame when the first beat comes, the frame is discarded. A late
//          check on the last beat sets `abort_o` if beats have left already. One event per frame with its last beat.
// Latency  1. Nothing here ever waits.
`resetall
`default_nettype none
module egress
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic             clk,
    input  wire logic             rst,
    input  wire logic             valid_i,
    input  wire beat_data_t       data_i,
    input  wire logic             first_i,
    input  wire logic             last_i,
    input  wire length_t          length_i,
    input  wire logic             late_i,
    input  wire reason_e          late_reason_i,
    input  wire decision_t        decision_i,
    input  wire logic             host_data_room_i,
    input  wire logic             host_control_room_i,
    input  wire logic [PORTS-1:0] wire_room_i,
    output logic                  host_valid_o,
    output logic [PORTS-1:0]      wire_valid_o,
    output beat_data_t            data_o,
    output logic                  first_o,
    output logic                  last_o,
    output length_t               length_o,  // with the last beat
    output logic                  abort_o,
    output decision_t             decision_o,
    output logic                  event_valid_o,
    output verdict_e              event_verdict_o,
    output reason_e               event_reason_o,
    output logic                  event_late_o,     // the frame is not counted by rule and target
    output logic                  event_aborted_o
);
    // Where the frame goes if it goes: decided on its first beat, kept to its last.
    logic    to_host, to_wire, full, to_host_q, to_wire_q, full_q;
    logic    room;
    reason_e full_reason;
    logic    out_port;
    assign out_port = (PORTS > 1) && decision_i.out_port;
    always_comb begin
        if (decision_i.verdict == VERDICT_PORT) begin
            room        = wire_room_i[port_t'(out_port)];
            full_reason = REASON_PORT_FULL;
        end else if (decision_i.control) begin
            room        = host_control_room_i;
            full_reason = REASON_CONTROL_FULL;
        end else begin
            room        = host_data_room_i;
            full_reason = REASON_HOST_FULL;
        end
        to_host = first_i ? decision_i.verdict == VERDICT_HOST && room : to_host_q;
        to_wire = first_i ? decision_i.verdict == VERDICT_PORT && room : to_wire_q;
        full    = first_i ? decision_i.verdict != VERDICT_DISCARD && !room : full_q;
    end

    // A frame of one beat that fails a late check never leaves; a longer one has begun to.
    logic leave, late;
    assign late  = last_i && late_i;
    assign leave = valid_i && !(first_i && late);

    always_ff @(posedge clk) begin
        if (valid_i) begin
            to_host_q <= to_host;
            to_wire_q <= to_wire;
            full_q    <= full;
        end
        host_valid_o <= leave && to_host;
        for (int p = 0; p < PORTS; p++) wire_valid_o[p] <= leave && to_wire && out_port == 1'(p);
        data_o          <= data_i;
        first_o         <= first_i;
        last_o          <= last_i;
        length_o        <= length_i;
        abort_o         <= late;
        decision_o      <= decision_i;
        event_valid_o   <= valid_i && last_i;
        event_late_o    <= late || decision_i.parity;
        event_aborted_o <= late && !first_i && (to_host || to_wire);
        event_verdict_o <= (late || full) ? VERDICT_DISCARD : decision_i.verdict;
        event_reason_o  <= late ? late_reason_i : full ? full_reason : decision_i.reason;
        if (rst) begin
            host_valid_o  <= 1'b0;
            wire_valid_o  <= '0;
            event_valid_o <= 1'b0;
        end
    end
endmodule
`resetall
