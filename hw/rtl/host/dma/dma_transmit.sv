// SPDX-License-Identifier: Apache-2.0
//
// dma_transmit: frames of the transmit rings from memory to the core.
//
//     descriptor -> bursts -> dma_read -> beats -> dma_realign -> frame_fifo -> core
//
// Choice    the control ring first, whenever its buffer has room for a longest frame; a buffer that the core does not empty stops its own
//           ring only. Frames are read one after the other: the data of a frame is in one piece. About 5 cycles a short frame.
//           A control frame has no more data before it at the memory than AHEAD beats and a frame.
// Buffers   a frame goes to the core when it is whole and was read without error, and is complete then whatever happens to the host
//           side; one with an error, or of a ring that was stopped meanwhile, is forgotten.
// Index     `done_o[r]`: behind the last descriptor whose frame was read. Written to memory whenever it differs from what was
//           written and no write of it is under way, so several are taken together.
// Bad       a descriptor that is not possible waits until the frames of its ring before it are read, then is skipped (`bad_o`).
// Reset     `clear_i` after the master is idle: forgets a frame that has begun to come, keeps whole ones. `rst` clears all.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module dma_transmit
    import dma_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
(
    input  wire logic                 clk,
    input  wire logic                 rst,
    input  wire logic                 clear_i,
    input  wire logic [1:0]           on_i,
    input  wire logic [1:0]           start_i,
    input  wire ring_settings_t [1:0] settings_i,
    output logic [1:0]                busy_o,
    output index_t [1:0]              done_o,
    output logic                      bad_o,
    // descriptors
    input  wire logic [1:0]           stock_i,
    output logic                      look_ring_o,
    input  wire logic [127:0]         entry_i,
    output logic                      take_o,
    output logic                      take_ring_o,
    // reads
    output logic                      request_o,
    input  wire logic                 ready_i,
    output read_request_t             what_o,
    input  wire logic                 valid_i,
    input  wire beat_data_t           data_i,
    input  wire logic                 last_i,
    input  wire logic                 error_i,
    // index
    output logic                      line_valid_o,
    input  wire logic                 line_ready_i,
    output short_write_t              line_o,
    input  wire written_t             written_i,
    // frames: 0 data, 1 control
    output logic [1:0]                tvalid_o,
    input  wire logic [1:0]           tready_i,
    output beat_data_t [1:0]          tdata_o,
    output beat_keep_t [1:0]          tkeep_o,
    output logic [1:0]                tlast_o,
    output logic [1:0]                tport_o
);
    localparam int unsigned MIN_LENGTH = 14;
    localparam int unsigned LINES = BEAT_BYTES / 8;
    localparam int unsigned DATA_BEATS = 32768 / BEAT_BYTES;
    localparam int unsigned CONTROL_BEATS = 16384 / BEAT_BYTES;
    localparam int unsigned USED_BITS = $clog2(DATA_BEATS) + 1;
    typedef logic [USED_BITS-1:0] used_t;
    localparam used_t [1:0] ROOM = {used_t'(CONTROL_BEATS - MAX_BEATS - 8), used_t'(DATA_BEATS - MAX_BEATS - 8)};
    // Frames on the way from memory.
    localparam int unsigned FRAMES = 128;
    // Beats on the way from memory at which no further data frame is begun: enough for the latency of memory, and what a control frame
    // waits for at most, with one longest frame.
    localparam int unsigned AHEAD = 448;
    typedef logic [7:0] frames_t;

    // ---- descriptor -> bursts ----------------------------------------------------------------------------------------
    typedef enum logic [2:0] {
        PICK,
        CHECK,
        BEGIN,
        REQUEST,
        SIZE
    } state_e;
    typedef struct packed {
        logic                    ring;
        tail_t                   offset;
        logic                    flush;
        tail_t                   tail;
        logic [USED_BITS-1:0]    beats;
        logic                    port;
    } frame_t;
    state_e              state_q;
    logic                ring_q;
    iova_t               address_q;
    logic [15:0]         length_q;
    logic                port_q, port_bad_q;
    logic [15:0]         left_q;
    logic [8:0]          bytes_q;
    logic [1:0]          still_q;   // no frame of the ring is on the way
    logic [1:0]          room_q, wait_q, eligible_q, frames_room_q;
    used_t [1:0]         used_q, stored_q;
    logic [15:0]         ahead_q, coming_beats;
    logic                ahead_room_q;
    frames_t [1:0]       flight_q;
    logic                impossible, accept, skip;
    logic                finish, finish_good;
    frame_t              frame_next, frame;
    logic                frame_valid, frame_full;

    assign look_ring_o = eligible_q[1];
    assign impossible  = length_q < 16'(MIN_LENGTH) || length_q > 16'(MAX_FRAME) || port_bad_q;
    // Bytes of a burst from an address.
    function automatic logic [8:0] burst_bytes(input logic [7:0] address, input logic [15:0] left);
        logic [8:0] block;
        block = 9'(BURST_BYTES) - 9'(address);
        burst_bytes = (left < 16'(block)) ? left[8:0] : block;
    endfunction
    logic impossible_q;
    assign accept = state_q == BEGIN && !impossible_q;
    assign skip   = state_q == BEGIN && impossible_q && still_q[ring_q];
    assign take_o = accept || skip;
    assign take_ring_o = ring_q;
    always_comb begin
        frame_next.ring   = ring_q;
        frame_next.offset = address_q[TAIL_BITS-1:0];
        frame_next.flush  = tail_t'(address_q[TAIL_BITS-1:0] + length_q[TAIL_BITS-1:0] - 1'b1) >= address_q[TAIL_BITS-1:0];
        frame_next.tail   = length_q[TAIL_BITS-1:0];
        frame_next.beats  = used_t'((length_q + 16'(BEAT_BYTES - 1)) / 16'(BEAT_BYTES));
        frame_next.port   = port_q;
        coming_beats      = (length_q + 16'(address_q[TAIL_BITS-1:0]) + 16'(BEAT_BYTES - 1)) / 16'(BEAT_BYTES);
    end
    always_ff @(posedge clk) begin
        for (int unsigned r = 0; r < 2; r++) begin
            frames_room_q[r] <= 32'(flight_q[0]) + 32'(flight_q[1]) < FRAMES - 4;
            still_q[r]       <= flight_q[r] == '0;
            room_q[r]        <= used_q[r] <= ROOM[r];
            wait_q[r]        <= (wait_q[r] || (state_q == BEGIN && impossible_q && ring_q == 1'(r))) && flight_q[r] != '0;
            eligible_q[r]    <= on_i[r] && stock_i[r] && (r == 1 || ahead_room_q) && room_q[r] && frames_room_q[r] && !wait_q[r] && state_q == PICK;
        end
        ahead_q      <= ahead_q + (accept ? coming_beats : '0) - 16'(valid_i);
        ahead_room_q <= ahead_q <= 16'(AHEAD);
        bad_o <= skip;
        case (state_q)
            PICK: begin
                ring_q     <= look_ring_o;
                address_q  <= entry_i[63:0];
                length_q   <= entry_i[79:64];
                port_q     <= entry_i[80];
                port_bad_q <= 32'(entry_i[80]) >= PORTS;
                if (|eligible_q) state_q <= CHECK;
            end
            CHECK: begin
                impossible_q <= impossible;
                bytes_q      <= burst_bytes(address_q[7:0], length_q);
                left_q       <= length_q;
                state_q      <= BEGIN;
            end
            BEGIN: begin
                request_o <= !impossible_q;
                left_q    <= left_q - 16'(bytes_q);
                state_q   <= impossible_q ? PICK : REQUEST;
            end
            REQUEST: begin
                if (ready_i) begin
                    request_o <= 1'b0;
                    address_q <= address_q + 64'(bytes_q);
                    state_q   <= (left_q == '0) ? PICK : SIZE;
                end
            end
            default: begin
                // Bursts after the first begin at a multiple of their length.
                bytes_q   <= burst_bytes('0, left_q);
                left_q    <= left_q - 16'(burst_bytes('0, left_q));
                request_o <= 1'b1;
                state_q   <= REQUEST;
            end
        endcase
        if (rst || clear_i) begin
            state_q    <= PICK;
            request_o  <= 1'b0;
            eligible_q <= '0;
            wait_q     <= '0;
            ahead_q    <= '0;
            bad_o      <= 1'b0;
        end
    end
    assign what_o = '{ring: RING_TRANSMIT + ring_t'(ring_q), address: address_q, bytes: bytes_q, last: left_q == '0};
    stream_fifo #(.WIDTH($bits(frame_t)), .DEPTH(FRAMES)) u_frames (
        .clk, .rst(rst || clear_i), .in_valid_i(accept), .in_data_i(frame_next), .full_o(frame_full), .out_valid_o(frame_valid),
        .out_ready_i(finish), .out_data_o(frame));

    // ---- beats -> frames -----------------------------------------------------------------------------------------------
    typedef struct packed {
        logic  drop;
        logic  ring;
        logic  port;
        tail_t tail;
    } side_t;
    logic       first_q, error_q;
    logic [1:0] broken_q;  // a read of the ring had an error, which takes a moment to halt it
    assign finish      = valid_i && last_i;
    assign finish_good = !error_i && !error_q && on_i[frame.ring] && !broken_q[frame.ring];
    always_ff @(posedge clk) begin
        if (valid_i) begin
            first_q <= last_i;
            error_q <= !last_i && (error_q || error_i);
        end
        for (int unsigned r = 0; r < 2; r++) begin
            if (valid_i && error_i && frame.ring == 1'(r)) broken_q[r] <= 1'b1;
            if (start_i[r]) broken_q[r] <= 1'b0;
        end
        if (rst || clear_i) begin
            first_q  <= 1'b1;
            error_q  <= 1'b0;
            broken_q <= '0;
        end
    end
    logic       whole_valid, whole_last;
    beat_data_t whole_data;
    side_t      side;
    dma_realign #(.SIDE_BITS($bits(side_t))) u_realign (
        .clk, .rst(rst || clear_i), .valid_i, .data_i, .first_i(first_q), .last_i, .offset_i(frame.offset), .flush_i(frame.flush),
        .side_i({!finish_good, frame.ring, frame.port, frame.tail}), .valid_o(whole_valid), .data_o(whole_data),
        .last_o(whole_last), .side_o(side));

    // Beats written of a frame that has not ended: a reset ends it.
    logic [1:0]         begun_q;
    logic               clear_q;
    logic [1:0]         in_valid, sent;
    for (genvar r = 0; r < 2; r++) begin : gen_buffer
        tail_t      tail;
        beat_data_t data;
        logic       valid, take, last, port, room;
        // The tail, as far as it can be taken apart in a cycle: words of 8 bytes that are whole, that have the end, bytes of that.
        logic             whole_q;
        logic [LINES-1:0] below_q, at_q;
        logic [7:0]       fine_q;
        assign in_valid[r] = whole_valid && side.ring == 1'(r);
        frame_fifo #(
            .DEPTH((r == 0) ? DATA_BEATS : CONTROL_BEATS), .META_BITS(1), .STORE(1'b1)
        ) u_buffer (
            .clk, .rst, .room_o(room), .in_valid_i(in_valid[r] || (clear_q && begun_q[r])), .in_data_i(whole_data),
            .in_last_i(whole_last || clear_q), .in_tail_i(side.tail), .in_drop_i(clear_q || (side.drop && whole_last)), .in_meta_i(side.port),
            .out_valid_o(valid), .out_ready_i(take), .out_data_o(data), .out_last_o(last), .out_tail_o(tail), .out_meta_o(port));
        assign take    = !tvalid_o[r] || tready_i[r];
        assign sent[r] = valid && take;
        always_ff @(posedge clk) begin
            if (take) begin
                tvalid_o[r] <= valid;
                tdata_o[r]  <= data;
                whole_q     <= !last || tail == '0;
                for (int unsigned i = 0; i < LINES; i++) begin
                    below_q[i] <= 32'(i) < 32'(tail) / 8;
                    at_q[i]    <= 32'(i) == 32'(tail) / 8;
                end
                for (int unsigned i = 0; i < 8; i++) fine_q[i] <= 3'(i) < tail[2:0];
                tlast_o[r]  <= last;
                tport_o[r]  <= port;
            end
            if (rst) tvalid_o[r] <= 1'b0;
        end
        for (genvar i = 0; i < BEAT_BYTES; i++) begin : gen_keep
            assign tkeep_o[r][i] = whole_q || below_q[i/8] || (at_q[i/8] && fine_q[i%8]);
        end
        wire logic unused_room = room;
    end

    // Beats that a ring has in its buffer, and those with what is on the way to it.
    logic [1:0] good, gone, begins;
    used_t      ended_beats_q;
    logic       ended_valid_q, ended_good_q, ended_ring_q;
    always_comb begin
        for (int unsigned r = 0; r < 2; r++) begin
            good[r]   = ended_valid_q && ended_good_q && ended_ring_q == 1'(r);
            gone[r]   = ended_valid_q && !ended_good_q && ended_ring_q == 1'(r);
            begins[r] = accept && ring_q == 1'(r);
        end
    end
    always_ff @(posedge clk) begin
        clear_q       <= clear_i;
        ended_valid_q <= finish;
        ended_good_q  <= finish_good;
        ended_beats_q <= frame.beats;
        ended_ring_q  <= frame.ring;
        for (int unsigned r = 0; r < 2; r++) begin
            if (in_valid[r]) begin
                begun_q[r] <= !whole_last;
            end
            stored_q[r] <= stored_q[r] + (good[r] ? ended_beats_q : '0) - used_t'(sent[r]);
            used_q[r]   <= used_q[r] + (begins[r] ? frame_next.beats : '0) - (gone[r] ? ended_beats_q : '0) - used_t'(sent[r]);
            flight_q[r] <= flight_q[r] + frames_t'(begins[r]) - frames_t'(good[r] || gone[r]);
            if (clear_q) begin
                begun_q[r]  <= 1'b0;
                used_q[r]   <= stored_q[r] - used_t'(sent[r]);
                flight_q[r] <= '0;
            end
        end
        if (clear_i) ended_valid_q <= 1'b0;
        if (rst) begin
            clear_q       <= 1'b0;
            ended_valid_q <= 1'b0;
            begun_q       <= '0;
            stored_q      <= '0;
            used_q        <= '0;
            flight_q      <= '0;
        end
    end

    // ---- index -----------------------------------------------------------------------------------------------------------
    index_t [1:0] written_q;
    logic [1:0]   writing_q, behind_q;
    always_ff @(posedge clk) begin
        for (int unsigned r = 0; r < 2; r++) begin
            if (good[r] || (skip && ring_q == 1'(r))) done_o[r] <= done_o[r] + 1'b1;
            behind_q[r] <= on_i[r] && done_o[r] != written_q[r] && !writing_q[r] && !line_valid_o;
            if (written_i.valid && written_i.ring == RING_TRANSMIT + ring_t'(r)) writing_q[r] <= 1'b0;
        end
        if (!line_valid_o) begin
            if (|behind_q) begin
                line_valid_o         <= 1'b1;
                line_o.ring          <= RING_TRANSMIT + ring_t'(behind_q[1]);
                line_o.address       <= settings_i[behind_q[1]].answers;
                line_o.words         <= 5'd1;
                line_o.data          <= {16{16'b0, done_o[behind_q[1]]}};
                line_o.answer        <= 1'b1;
                line_o.index         <= done_o[behind_q[1]];
                written_q[behind_q[1]] <= done_o[behind_q[1]];
                writing_q[behind_q[1]] <= 1'b1;
            end
        end else if (line_ready_i) line_valid_o <= 1'b0;
        for (int unsigned r = 0; r < 2; r++) begin
            busy_o[r] <= flight_q[r] != '0 || writing_q[r] || (state_q != PICK && ring_q == 1'(r));
            if (start_i[r]) begin
                done_o[r]    <= '0;
                written_q[r] <= '0;
            end
        end
        if (rst || clear_i) begin
            line_valid_o <= 1'b0;
            writing_q    <= '0;
            behind_q     <= '0;
            done_o       <= '0;
            written_q    <= '0;
            busy_o       <= '0;
        end
    end
    wire logic unused = &{1'b0, frame_full, frame_valid, entry_i[127:81], settings_i, written_i};

    `HG_ASSERT(frame_is_known, !valid_i || frame_valid)
endmodule
`resetall
