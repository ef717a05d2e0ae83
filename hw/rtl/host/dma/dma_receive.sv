// SPDX-License-Identifier: Apache-2.0
//
// dma_receive: frames from the core into the buffers of the receive rings.
//
//     receive_queue -> buffer, bursts -> dma_write -> response -> receive_completion -> dma_write
//
// Frames    one after the other, in 2 cycles more than their beats. A frame whose ring is not on or has no descriptor at hand is dropped at
//           that speed and needs nothing of the write side; one that is here but not at hand is waited for, some cycles. One that turns out to be too long or is aborted leaves its buffer for the
//           next frame of its ring. Others are completed in their order.
// Waits     while the write side has no room for beats, or as many frames as receive_completion holds wait for responses.
// Fates     `fate_o` of `fate_ring_o` for each frame, when its last beat is taken. `discarded_o`: one that was TAKEN has lost its ring before
//           its completion was written.
// Drop      while `drop_i` every frame is dropped as DOWN, those under way too: for a reset of what is behind. `clear_i` then resets the
//           rest.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module dma_receive
    import dma_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import receive_pkg::*;
    import stream_pkg::*;
(
    input  wire logic                                clk,
    input  wire logic                                rst,
    input  wire logic                                clear_i,
    input  wire logic                                drop_i,
    input  wire logic [RECEIVE_RINGS-1:0]            on_i,
    input  wire logic [RECEIVE_RINGS-1:0]            start_i,
    input  wire ring_settings_t [RECEIVE_RINGS-1:0]  settings_i,
    input  wire logic [7:0][31:0]                    reason_queue_i,
    input  wire logic [15:0][31:0]                   spread_i,
    input  wire logic [63:0]                         time_ns_i,
    output logic [RECEIVE_RINGS-1:0]                 busy_o,
    output logic                                     fate_valid_o,
    output fate_e                                    fate_o,
    output ring_t                                    fate_ring_o,
    output logic                                     discarded_o,
    output ring_t                                    discarded_ring_o,
    // from the core
    input  wire logic                                tvalid_i,
    output logic                                     tready_o,
    input  wire beat_data_t                          tdata_i,
    input  wire beat_keep_t                          tkeep_i,
    input  wire logic                                tlast_i,
    input  wire logic                                tabort_i,
    input  wire logic                                control_i,
    input  wire logic [7:0]                          queue_i,
    input  wire logic [5:0]                          reason_i,
    input  wire logic                                port_i,
    input  wire logic [7:0]                          rule_i,
    input  wire logic [12:0]                         bucket_i,
    input  wire logic [10:0]                         target_i,
    // descriptors
    input  wire logic [RECEIVE_RINGS-1:0]            stock_i,
    input  wire logic [RECEIVE_RINGS-1:0]            coming_i,
    input  wire index_t [RECEIVE_RINGS-1:0]          taken_i,
    output logic [3:0]                               look_ring_o,
    input  wire logic [63:0]                         entry_i,
    output logic                                     take_o,
    output logic [3:0]                               take_ring_o,
    // writes
    output logic                                     beat_valid_o,
    output beat_data_t                               beat_o,
    input  wire logic                                beat_full_i,
    output logic                                     burst_valid_o,
    output burst_t                                   burst_o,
    input  wire logic                                burst_full_i,
    output logic                                     line_valid_o,
    input  wire logic                                line_ready_i,
    output short_write_t                             line_o,
    input  wire written_t                            written_i
);
    logic          beat_valid, beat_take, head_valid, head_take;
    receive_beat_t beat;
    receive_head_t head;
    receive_queue u_queue (
        .clk, .rst, .reason_queue_i, .spread_i, .time_ns_i, .tvalid_i, .tready_o, .tdata_i, .tkeep_i, .tlast_i, .tabort_i, .control_i,
        .queue_i, .reason_i, .port_i, .rule_i, .bucket_i, .target_i, .beat_valid_o(beat_valid), .beat_take_i(beat_take), .beat_o(beat),
        .head_valid_o(head_valid), .head_take_i(head_take), .head_o(head));

    // ---- a frame at a time -------------------------------------------------------------------------------------------------
    // Its head is fetched while the frame before goes on. When that has ended, one cycle looks for a descriptor, one decides.
    logic           looked_q, there_q, hopeless_q, down_q;
    iova_t          buffer_q;
    logic [14:0]    beats_q;
    index_t         next_index_q;
    logic          next_valid_q, inside_q, bad_q, on_q;
    receive_head_t next_q, head_q;
    fate_e         fate_q;
    iova_t         address_q, burst_address_q;
    logic [14:0]   left_q;          // beats that the buffer still takes
    beat_number_t  number_q;        // beats of the frame before this one
    logic [5:0]    burst_beats_q;   // and of its burst
    index_t        index_q;
    logic          decide, go, stalled, write, ends, closes, fits_q, one_left_q, good, completions_full;
    fate_e         fate;
    assign decide      = looked_q && !inside_q && (there_q || hopeless_q);
    assign head_take   = head_valid && (!next_valid_q || decide);
    assign look_ring_o = next_q.ring;
    // A beat: written, or swallowed because the frame is dropped.
    assign stalled     = beat_full_i || burst_full_i;
    assign go          = inside_q && beat_valid && (bad_q || !stalled);
    assign write       = go && !bad_q && fits_q;
    assign ends        = go && beat.last;
    assign closes      = write && (beat.last || one_left_q || burst_address_q[7:0] == 8'(BURST_BYTES - BEAT_BYTES));
    assign beat_take   = go;
    always_comb begin
        if (bad_q) fate = fate_q;
        else if (!fits_q) fate = LONG;
        else if (!on_q || drop_i) fate = DOWN;
        else if (beat.aborted) fate = ABORTED;
        else fate = TAKEN;
    end
    assign good        = ends && fate == TAKEN;
    assign take_o      = good;
    assign take_ring_o = head_q.ring;

    always_ff @(posedge clk) begin
        on_q <= on_i[decide ? next_q.ring : head_q.ring];
        if (!next_valid_q || decide) begin
            next_valid_q <= head_valid;
            next_q       <= head;
        end
        looked_q     <= next_valid_q && !inside_q && !decide && !completions_full;
        there_q      <= stock_i[next_q.ring];
        hopeless_q   <= !coming_i[next_q.ring] || !on_i[next_q.ring] || drop_i;
        down_q       <= !on_i[next_q.ring] || drop_i;
        buffer_q     <= {entry_i[63:6], 6'b0};
        beats_q      <= 15'(settings_i[next_q.ring].buffer_units[8:0]) * 15'(64 / BEAT_BYTES);
        next_index_q <= taken_i[next_q.ring];
        if (decide) begin
            inside_q        <= 1'b1;
            head_q          <= next_q;
            bad_q           <= down_q || !there_q;
            fate_q          <= down_q ? DOWN : FULL;
            address_q       <= buffer_q;
            burst_address_q <= buffer_q;
            left_q          <= beats_q;
            fits_q          <= 1'b1;
            one_left_q      <= beats_q == 15'd1;
            index_q         <= next_index_q;
            number_q        <= '0;
            burst_beats_q   <= '0;
        end else if (go) begin
            inside_q        <= !beat.last;
            number_q        <= number_q + 1'b1;
            burst_address_q <= burst_address_q + 64'(BEAT_BYTES);
            burst_beats_q   <= closes ? '0 : burst_beats_q + 6'd1;
            if (closes) address_q <= burst_address_q + 64'(BEAT_BYTES);
            left_q          <= left_q - 15'd1;
            one_left_q      <= left_q == 15'd2;
            if (one_left_q) fits_q <= 1'b0;
            if (!fits_q && !bad_q) begin
                bad_q  <= 1'b1;
                fate_q <= LONG;
            end
        end
        if (drop_i && inside_q && !ends && !bad_q) begin
            bad_q  <= 1'b1;
            fate_q <= DOWN;
        end
        beat_valid_o  <= write;
        beat_o        <= beat.data;
        burst_valid_o <= closes;
        burst_o       <= '{ring: head_q.ring, address: address_q, last: burst_beats_q, completes: good};
        fate_valid_o  <= ends;
        fate_o        <= fate;
        fate_ring_o   <= head_q.ring;
        if (rst) begin
            next_valid_q  <= 1'b0;
            inside_q      <= 1'b0;
            fate_valid_o  <= 1'b0;
        end
        if (rst || clear_i) begin
            beat_valid_o  <= 1'b0;
            burst_valid_o <= 1'b0;
        end
    end

    // ---- drops of each ring; the frame that is completed -------------------------------------------------------------------
    logic [RECEIVE_RINGS-1:0][15:0] dropped_q;
    logic      ended_q, completes_q;
    ring_t     ended_ring_q;
    received_t received_q, received;
    logic      received_valid;
    always_ff @(posedge clk) begin
        ended_q           <= ends && fate != TAKEN;
        ended_ring_q      <= head_q.ring;
        completes_q       <= good;
        received_q.head   <= head_q;
        received_q.index  <= index_q;
        received_q.length <= frame_length(number_q, beat.tail);
        received_valid    <= completes_q;
        received          <= received_q;
        received.dropped  <= dropped_q[received_q.head.ring];
        for (int unsigned r = 0; r < RECEIVE_RINGS; r++) begin
            if (ended_q && ended_ring_q == ring_t'(r)) dropped_q[r] <= dropped_q[r] + 1'b1;
            if (start_i[r]) dropped_q[r] <= '0;
        end
        if (rst || clear_i) begin
            ended_q        <= 1'b0;
            completes_q    <= 1'b0;
            received_valid <= 1'b0;
            dropped_q      <= '0;
        end
    end
    assign received_q.dropped = '0;

    receive_completion u_completion (
        .clk, .rst(rst || clear_i), .on_i, .start_i, .settings_i, .valid_i(received_valid), .received_i(received), .full_o(completions_full),
        .written_i, .line_valid_o, .line_ready_i, .line_o, .discarded_o, .discarded_ring_o);

    // ---- writes of each ring under way: bursts until their response, frames until that of their completion -----------------------
    logic [RECEIVE_RINGS-1:0][10:0] open_q;
    logic [RECEIVE_RINGS-1:0]       more_q, response_q, discard_q;
    always_ff @(posedge clk) begin
        for (int unsigned r = 0; r < RECEIVE_RINGS; r++) begin
            more_q[r]     <= burst_valid_o && burst_o.ring == ring_t'(r);
            response_q[r] <= written_i.valid && written_i.ring == ring_t'(r) && !written_i.completes;
            discard_q[r]  <= discarded_o && discarded_ring_o == ring_t'(r);
            open_q[r]     <= open_q[r] + 11'(more_q[r]) - 11'(response_q[r]) - 11'(discard_q[r]);
            busy_o[r]     <= open_q[r] != '0 || more_q[r] || (inside_q && !bad_q && head_q.ring == ring_t'(r));
        end
        if (rst || clear_i) begin
            more_q     <= '0;
            response_q <= '0;
            discard_q  <= '0;
            open_q     <= '0;
            busy_o     <= '0;
        end
    end
    wire logic unused = &{1'b0, entry_i[5:0], settings_i};

    `HG_ASSERT(descriptor_is_there, !take_o || stock_i[take_ring_o])
endmodule
`resetall
