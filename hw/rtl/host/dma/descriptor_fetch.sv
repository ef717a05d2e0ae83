// SPDX-License-Identifier: Apache-2.0
//
// descriptor_fetch: descriptors of several rings, read ahead of their use.
//
// Ahead     up to AHEAD descriptors of each ring are in memory here or on the way, NEAR of them at hand. A read is for at most CHUNK
//           descriptors, up to a multiple of CHUNK, so it stays within the ring and within a burst.
// Use       `stock_o[r]`: the next descriptor of ring r is at hand: `entry_o` for `look_ring_i`, in the same cycle. `take_i` takes that of
//           `take_ring_i`; `taken_o[r]` is the index of the next one. `coming_o[r]`: one is here or was a cycle ago, and is
//           at hand in some cycles without any wait for memory.
// Start     `start_i[r]` sets all indices of ring r to 0, at a time when `busy_o[r]` is 0.
// Errors    a descriptor whose read failed comes as it came; who sees the fault must take `on_i[r]` away within 4 cycles.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module descriptor_fetch
    import dma_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
#(
    // Rings, numbered from FIRST.
    parameter int unsigned RINGS_HERE = 9,
    parameter int unsigned FIRST = 0,
    // Bytes of a descriptor, 8 or 16.
    parameter int unsigned ENTRY_BYTES = 8,
    localparam int unsigned RING_BITS = $clog2(RINGS_HERE),
    localparam int unsigned ENTRY_BITS = 8 * ENTRY_BYTES
) (
    input  wire logic                                  clk,
    input  wire logic                                  rst,
    input  wire logic [RINGS_HERE-1:0]                 on_i,
    input  wire logic [RINGS_HERE-1:0]                 start_i,
    input  wire ring_settings_t [RINGS_HERE-1:0]       settings_i,
    input  wire index_t [RINGS_HERE-1:0]               producer_i,
    output logic [RINGS_HERE-1:0]                      busy_o,
    // reads
    output logic                                       request_o,
    input  wire logic                                  ready_i,
    output read_request_t                              what_o,
    input  wire logic                                  valid_i,
    input  wire beat_data_t                            data_i,
    // use
    output logic [RINGS_HERE-1:0]                      stock_o,
    output logic [RINGS_HERE-1:0]                      coming_o,
    output index_t [RINGS_HERE-1:0]                    taken_o,
    input  wire logic [RING_BITS-1:0]                  look_ring_i,
    output logic [ENTRY_BITS-1:0]                      entry_o,
    input  wire logic                                  take_i,
    input  wire logic [RING_BITS-1:0]                  take_ring_i
);
    localparam int unsigned AHEAD = 128;
    localparam int unsigned NEAR = 4;
    localparam int unsigned CHUNK = 128 / ENTRY_BYTES;
    localparam int unsigned CHUNK_BITS = $clog2(CHUNK);
    localparam int unsigned REQUESTS = 16;
    localparam int unsigned BEATS = REQUESTS * 128 / BEAT_BYTES;
    localparam int unsigned WORDS = ENTRY_BYTES / 8;  // of 64 bits, in a descriptor
    localparam int unsigned LANES = BEAT_BYTES / 8;
    localparam int unsigned SLOT_BITS = $clog2(AHEAD);
    localparam int unsigned NEAR_BITS = $clog2(NEAR);
    typedef logic [RING_BITS-1:0] local_t;
    typedef logic [SLOT_BITS-1:0] slot_t;

    // The lowest bit that is set, as a number.
    function automatic local_t lowest(input logic [RINGS_HERE-1:0] bits);
        lowest = '0;
        for (int unsigned r = RINGS_HERE; r > 0; r--) if (bits[r-1]) lowest = local_t'(r - 1);
    endfunction

    // Indices of each ring, in the order in which they follow each other.
    index_t [RINGS_HERE-1:0] issued_q;   // asked for
    slot_t  [RINGS_HERE-1:0] arrived_q;  // in the far memory
    slot_t  [RINGS_HERE-1:0] moved_q;    // on the way to the near one
    logic   [RINGS_HERE-1:0][2:0] near_q;  // at hand
    index_t [RINGS_HERE-1:0] taken_q;
    assign taken_o = taken_q;

    // ---- requests ----------------------------------------------------------------------------------------------------
    typedef enum logic [2:0] {
        PICK,
        LOOK,
        COUNT,
        ADDRESS,
        REQUEST,
        SETTLE,
        SETTLED
    } state_e;
    typedef struct packed {
        local_t                ring;
        slot_t                 slot;
        logic [CHUNK_BITS+1:0] last;   // number of its last word of 64 bits
        logic [2:0]            lane;   // 64-bit word of the line in which it begins
    } pending_t;
    state_e                state_q;
    logic [RINGS_HERE-1:0] want_q;
    logic [RINGS_HERE-1:0] later_q;     // rings after the last one
    local_t                ring_q;
    index_t                index_q, left_q;
    ring_settings_t        settings_q;
    logic [CHUNK_BITS:0]   count_q;
    logic [CHUNK_BITS+1:0] last_q;
    iova_t                 address_q;
    logic [4:0]            open_q;      // requests whose data is not used up
    logic                  open_room_q;
    logic                  asked, used;
    logic [CHUNK_BITS:0]   to_chunk;
    assign to_chunk = (CHUNK_BITS + 1)'(CHUNK) - {1'b0, index_q[CHUNK_BITS-1:0]};
    assign asked    = request_o && ready_i;
    always_ff @(posedge clk) begin
        for (int unsigned r = 0; r < RINGS_HERE; r++) begin
            later_q[r] <= local_t'(r) > ring_q;
            want_q[r] <= on_i[r] && producer_i[r] != issued_q[r]
                && slot_t'(issued_q[r] - taken_q[r]) <= slot_t'(AHEAD - 1 - CHUNK);
        end
        open_q      <= open_q + 5'(asked) - 5'(used);
        open_room_q <= open_q < 5'(REQUESTS - 1);
        case (state_q)
            PICK: begin
                if (|want_q && open_room_q) begin
                    ring_q  <= |(want_q & later_q) ? lowest(want_q & later_q) : lowest(want_q);
                    state_q <= LOOK;
                end
            end
            LOOK: begin
                index_q    <= issued_q[ring_q];
                left_q     <= producer_i[ring_q] - issued_q[ring_q];
                settings_q <= settings_i[ring_q];
                state_q    <= COUNT;
            end
            COUNT: begin
                count_q   <= (left_q < index_t'(to_chunk)) ? left_q[CHUNK_BITS:0] : to_chunk;
                address_q <= 64'(ring_entry(index_q, settings_q.size_log2)) * 64'(ENTRY_BYTES);
                state_q   <= ADDRESS;
            end
            ADDRESS: begin
                address_q <= {settings_q.base[63:12], 12'b0} + address_q;
                last_q    <= (CHUNK_BITS + 2)'(count_q) * (CHUNK_BITS + 2)'(WORDS) - 1'b1;
                request_o <= 1'b1;
                state_q   <= REQUEST;
            end
            REQUEST: begin
                if (ready_i) begin
                    request_o <= 1'b0;
                    state_q   <= SETTLE;
                end
            end
            SETTLE: state_q <= SETTLED;
            default: state_q <= PICK;
        endcase
        for (int unsigned r = 0; r < RINGS_HERE; r++) begin
            if (asked && ring_q == local_t'(r)) issued_q[r] <= issued_q[r] + index_t'(count_q);
            if (start_i[r]) issued_q[r] <= '0;
        end
        if (rst) begin
            state_q     <= PICK;
            request_o   <= 1'b0;
            want_q      <= '0;
            ring_q      <= '0;
            issued_q    <= '0;
            open_q      <= '0;
            open_room_q <= 1'b0;
        end
    end
    assign what_o = '{ring: ring_t'(FIRST) + ring_t'(ring_q), address: address_q, bytes: 9'(count_q) * 9'(ENTRY_BYTES), last: 1'b1};

    // ---- data: one word of 64 bits a cycle into the far memory -----------------------------------------------------------
    logic       beat_valid, beat_take, beat_full, pending_valid, pending_full;
    beat_data_t beat;
    pending_t   pending;
    stream_fifo #(.WIDTH(BEAT_BITS), .DEPTH(BEATS)) u_beats (
        .clk, .rst, .in_valid_i(valid_i), .in_data_i(data_i), .full_o(beat_full), .out_valid_o(beat_valid),
        .out_ready_i(beat_take), .out_data_o(beat));
    stream_fifo #(.WIDTH($bits(pending_t)), .DEPTH(REQUESTS)) u_pending (
        .clk, .rst, .in_valid_i(asked),
        .in_data_i({ring_q, slot_t'(index_q), last_q, address_q[5:3]}), .full_o(pending_full), .out_valid_o(pending_valid),
        .out_ready_i(used), .out_data_o(pending));
    localparam int unsigned WORD_BITS = CHUNK_BITS + 2;
    logic [WORD_BITS-1:0] word_q;  // words of the request done
    logic [2:0]           lane;
    logic                 step, last_word;
    logic [LANES-1:0][63:0] lanes;
    assign lanes     = beat;
    assign lane      = pending.lane + 3'(word_q);
    assign step      = beat_valid && pending_valid;
    assign last_word = word_q == pending.last;
    assign used      = step && last_word;
    assign beat_take = step && (last_word || (lane & 3'(LANES - 1)) == 3'(LANES - 1));

    logic        far_valid_q, far_whole_q;
    local_t      far_ring_q;
    slot_t       far_slot_q;
    logic [63:0] far_word_q, far_low_q;
    always_ff @(posedge clk) begin
        if (step) word_q <= last_word ? '0 : word_q + 1'b1;
        far_valid_q <= step;
        far_whole_q <= WORDS == 1 || word_q[0];
        far_ring_q  <= pending.ring;
        far_slot_q  <= pending.slot + slot_t'(32'(word_q) >> (WORDS - 1));
        far_word_q  <= lanes[lane & 3'(LANES - 1)];
        if (far_valid_q) far_low_q <= far_word_q;
        if (rst) begin
            word_q      <= '0;
            far_valid_q <= 1'b0;
        end
    end
    logic                  far_write;
    logic [ENTRY_BITS-1:0] far_entry;
    assign far_write = far_valid_q && far_whole_q;
    if (WORDS == 1) begin : gen_one
        assign far_entry = far_word_q;
        wire logic unused_low = &{1'b0, far_low_q};
    end else begin : gen_two
        assign far_entry = {far_word_q, far_low_q};
    end
    (* ram_style = "block" *) logic [ENTRY_BITS-1:0] far[2**(RING_BITS + SLOT_BITS)];
    logic [ENTRY_BITS-1:0] far_q;
    logic [RING_BITS+SLOT_BITS-1:0] far_address_q;
    always_ff @(posedge clk) begin
        if (far_write) far[{far_ring_q, far_slot_q}] <= far_entry;
        far_q <= far[far_address_q];
    end

    // ---- from far to near ------------------------------------------------------------------------------------------------
    logic [RINGS_HERE-1:0] can_q;
    logic [RINGS_HERE-1:0] can;
    logic                  move_q, read_q, landing_q;
    local_t                move_ring_q, read_ring_q, landing_ring_q;
    slot_t                 read_slot_q, landing_slot_q;
    logic [RINGS_HERE-1:0] move_hot_q, read_hot_q;
    // What was decided in the last two cycles is not seen yet. The lowest ring goes first: more can be moved than is taken, so all come.
    assign can = can_q & ~move_hot_q & ~read_hot_q;
    logic [ENTRY_BITS-1:0] near[2**(RING_BITS + NEAR_BITS)];
    always_ff @(posedge clk) begin
        for (int unsigned r = 0; r < RINGS_HERE; r++) begin
            can_q[r] <= arrived_q[r] != moved_q[r] && slot_t'(moved_q[r] - slot_t'(taken_q[r])) < slot_t'(NEAR);
        end
        // choose, read the far memory, write the near one
        move_q         <= |can;
        move_hot_q     <= can & (~can + 1'b1);
        read_hot_q     <= move_hot_q;
        move_ring_q    <= lowest(can);
        read_q         <= move_q;
        read_ring_q    <= move_ring_q;
        read_slot_q    <= moved_q[move_ring_q];
        far_address_q  <= {move_ring_q, moved_q[move_ring_q]};
        landing_q      <= read_q;
        landing_ring_q <= read_ring_q;
        landing_slot_q <= read_slot_q;
        if (landing_q) near[{landing_ring_q, landing_slot_q[NEAR_BITS-1:0]}] <= far_q;
        for (int unsigned r = 0; r < RINGS_HERE; r++) begin
            if (far_write && far_ring_q == local_t'(r)) arrived_q[r] <= arrived_q[r] + 1'b1;
            if (move_q && move_ring_q == local_t'(r)) moved_q[r] <= moved_q[r] + 1'b1;
            if (take_i && take_ring_i == local_t'(r)) taken_q[r] <= taken_q[r] + 1'b1;
            near_q[r] <= near_q[r] + 3'(landing_q && landing_ring_q == local_t'(r)) - 3'(take_i && take_ring_i == local_t'(r));
            if (start_i[r]) begin
                arrived_q[r] <= '0;
                moved_q[r]   <= '0;
                taken_q[r]   <= '0;
                near_q[r]    <= '0;
            end
            coming_o[r] <= arrived_q[r] != slot_t'(taken_q[r]);
            busy_o[r]   <= slot_t'(issued_q[r]) != arrived_q[r] || (state_q != PICK && ring_q == local_t'(r));
        end
        if (rst) begin
            can_q       <= '0;
            move_q      <= 1'b0;
            move_hot_q  <= '0;
            read_hot_q  <= '0;
            move_ring_q <= '0;
            read_q      <= 1'b0;
            landing_q   <= 1'b0;
            arrived_q   <= '0;
            moved_q     <= '0;
            taken_q     <= '0;
            near_q      <= '0;
            busy_o      <= '0;
            coming_o    <= '0;
        end
    end
    assign entry_o = near[{look_ring_i, taken_q[look_ring_i][NEAR_BITS-1:0]}];
    for (genvar r = 0; r < RINGS_HERE; r++) begin : gen_stock
        assign stock_o[r] = near_q[r] != '0;
    end
    wire logic unused = &{1'b0, beat_full, pending_full, settings_q.answers, settings_q.buffer_units, settings_q.base[11:0],
                          landing_slot_q};

    `HG_ASSERT(taken_is_there, !take_i || near_q[take_ring_i] != '0)
    `HG_ASSERT(data_is_asked_for, !valid_i || open_q != '0)
    `HG_ASSERT_STABLE(request_stable, request_o && !ready_i, {request_o, what_o})
endmodule
`resetall
