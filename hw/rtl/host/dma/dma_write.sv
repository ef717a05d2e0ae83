// SPDX-License-Identifier: Apache-2.0
//
// dma_write: the write half of the AXI4 master.
//
// Bursts     of received frames: beats into a queue of BUFFER_BYTES (`beat_full_o`: at most three more), a burst when all of its beats
//            are there (`burst_full_o`: the same).
// Lines      writes of at most 64 bytes, ready and valid. Bursts and lines that both wait take turns, so what is queued ahead of a frame
//            is bounded: BUFFER_BYTES of frames and as many lines as bursts.
// Responses  `written_o`, in the order of the writes, 2 cycles after they came. The master is always ready for them.
// Hold       while `hold_i` no address is issued; data of those issued goes on. `idle_o`: nothing is under way on the bus. Then a
//            reset of the module breaks no rule of AXI.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module dma_write
    import dma_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
#(
    // Bytes of received frames that can wait.
    parameter int unsigned BUFFER_BYTES = 8192,
    // Writes under way at most.
    parameter int unsigned OUTSTANDING = 256
) (
    input  wire logic         clk,
    input  wire logic         rst,
    input  wire logic         hold_i,
    output logic              idle_o,
    input  wire logic         beat_valid_i,
    input  wire beat_data_t   beat_i,
    output logic              beat_full_o,
    input  wire logic         burst_valid_i,
    input  wire burst_t       burst_i,
    output logic              burst_full_o,
    input  wire logic         line_valid_i,
    output logic              line_ready_o,
    input  wire short_write_t line_i,
    output written_t          written_o,
    output logic              awvalid_o,
    input  wire logic         awready_i,
    output iova_t             awaddr_o,
    output logic [7:0]        awlen_o,
    output logic              wvalid_o,
    input  wire logic         wready_i,
    output beat_data_t        wdata_o,
    output beat_keep_t        wstrb_o,
    output logic              wlast_o,
    input  wire logic         bvalid_i,
    output logic              bready_o,
    input  wire logic [1:0]   bresp_i
);
    localparam int unsigned BEATS = BUFFER_BYTES / BEAT_BYTES;
    localparam int unsigned LINES = 16;
    localparam int unsigned COUNT_BITS = $clog2(OUTSTANDING + 1);

    // ---- what waits --------------------------------------------------------------------------------------------------
    logic       beat_valid, beat_take;
    beat_data_t beat;
    paced_fifo #(.WIDTH(BEAT_BITS), .DEPTH(BEATS), .MARGIN(8)) u_beats (
        .clk, .rst, .in_valid_i(beat_valid_i), .in_data_i(beat_i), .full_o(beat_full_o), .out_valid_o(beat_valid),
        .out_ready_i(beat_take), .out_data_o(beat));
    logic   burst_valid, burst_take;
    burst_t burst;
    paced_fifo #(.WIDTH($bits(burst_t)), .DEPTH(64), .MARGIN(8)) u_bursts (
        .clk, .rst, .in_valid_i(burst_valid_i), .in_data_i(burst_i), .full_o(burst_full_o), .out_valid_o(burst_valid),
        .out_ready_i(burst_take), .out_data_o(burst));

    // Lines: what the address needs and what the data needs.
    typedef struct packed {
        ring_t      ring;
        iova_t      address;
        logic [2:0] last;     // number of its last beat
        logic       answer;
        index_t     index;
    } head_t;
    typedef struct packed {
        logic [2:0]   first;  // beat of the line
        logic [15:0]  lanes;  // words of the line
        logic [511:0] data;
    } body_t;
    logic  entering_q, head_full, head_valid, head_take, body_valid, body_take;
    head_t head_q, head;
    body_t body_q, body;
    always_ff @(posedge clk) begin
        entering_q     <= line_valid_i && line_ready_o;
        head_q.ring    <= line_i.ring;
        head_q.address <= line_i.address;
        head_q.last    <= (BEAT_BYTES == 64) ? '0 : 3'((line_i.words - 5'd1) >> 1);
        head_q.answer  <= line_i.answer;
        head_q.index   <= line_i.index;
        body_q.first   <= line_i.address[5:3];
        body_q.lanes   <= ~(16'hffff << line_i.words) << line_i.address[5:2];
        body_q.data    <= line_i.data;
        if (rst) entering_q <= 1'b0;
    end
    assign line_ready_o = !head_full;
    paced_fifo #(.WIDTH($bits(head_t)), .DEPTH(LINES), .MARGIN(6)) u_heads (
        .clk, .rst, .in_valid_i(entering_q), .in_data_i(head_q), .full_o(head_full), .out_valid_o(head_valid),
        .out_ready_i(head_take), .out_data_o(head));
    logic body_full;
    // Bodies leave after their heads, by as much as addresses are ahead of data.
    stream_fifo #(.WIDTH($bits(body_t)), .DEPTH(4 * LINES), .RESERVE(1)) u_bodies (
        .clk, .rst, .in_valid_i(entering_q), .in_data_i(body_q), .full_o(body_full), .out_valid_o(body_valid),
        .out_ready_i(body_take), .out_data_o(body));

    // ---- addresses ---------------------------------------------------------------------------------------------------
    // Addresses go ahead of data by some bursts only: the queue of what the data stage has to do.
    typedef struct packed {
        logic       line;
        logic [5:0] last;  // number of its last beat
    } order_t;
    typedef struct packed {
        ring_t  ring;
        logic   completes;
        logic   answer;
        index_t index;
        iova_t  address;
    } info_t;
    logic                  issue, room_q, turn_q, choose_line, order_full, info_full;
    logic [COUNT_BITS-1:0] open_q;
    logic                  response_q, response_error_q;
    assign choose_line = head_valid && (!burst_valid || turn_q);
    assign issue       = (head_valid || burst_valid) && room_q && !order_full && (!awvalid_o || awready_i);
    assign head_take   = issue && choose_line;
    assign burst_take  = issue && !choose_line;
    always_ff @(posedge clk) begin
        room_q <= !hold_i && open_q < COUNT_BITS'(OUTSTANDING - 4);
        open_q <= open_q + COUNT_BITS'(issue) - COUNT_BITS'(response_q);
        if (issue) begin
            turn_q    <= !choose_line;
            awvalid_o <= 1'b1;
            awaddr_o  <= choose_line ? head.address : burst.address;
            awlen_o   <= choose_line ? 8'(head.last) : 8'(burst.last);
        end else if (awready_i) awvalid_o <= 1'b0;
        if (rst) begin
            awvalid_o <= 1'b0;
            open_q    <= '0;
            room_q    <= 1'b0;
            turn_q    <= 1'b0;
        end
    end
    logic   order_valid, order_take, info_valid;
    order_t order;
    info_t  info;
    paced_fifo #(.WIDTH($bits(order_t)), .DEPTH(16), .MARGIN(6)) u_order (
        .clk, .rst, .in_valid_i(issue), .in_data_i({choose_line, choose_line ? 6'(head.last) : burst.last}), .full_o(order_full),
        .out_valid_o(order_valid), .out_ready_i(order_take), .out_data_o(order));
    info_t info_next;
    always_comb begin
        info_next.ring      = choose_line ? head.ring : burst.ring;
        info_next.completes = !choose_line && burst.completes;
        info_next.answer    = choose_line && head.answer;
        info_next.index     = head.index;
        info_next.address   = choose_line ? head.address : burst.address;
    end
    stream_fifo #(.WIDTH($bits(info_t)), .DEPTH(OUTSTANDING)) u_info (
        .clk, .rst, .in_valid_i(issue), .in_data_i(info_next), .full_o(info_full), .out_valid_o(info_valid),
        .out_ready_i(response_q), .out_data_o(info));

    // ---- data --------------------------------------------------------------------------------------------------------
    logic [5:0] done_q;  // beats of the write that are sent
    logic       send, last;
    assign last       = done_q == order.last;
    assign send       = order_valid && (order.line ? body_valid : beat_valid) && (!wvalid_o || wready_i);
    assign order_take = send && last;
    assign beat_take  = send && !order.line;
    assign body_take  = send && order.line && last;
    beat_data_t line_beat;
    beat_keep_t line_strobe;
    if (BEAT_BYTES == 64) begin : gen_whole
        assign line_beat = beat_data_t'(body.data);
        for (genvar i = 0; i < BEAT_BYTES; i++) begin : gen_strobe
            assign line_strobe[i] = body.lanes[i/4];
        end
        wire logic unused_first = &{1'b0, body.first};
    end else begin : gen_part
        localparam int unsigned PARTS = 64 / BEAT_BYTES;
        localparam int unsigned PART_BITS = $clog2(PARTS);
        logic [PARTS-1:0][BEAT_BITS-1:0]     parts;
        logic [PARTS-1:0][BEAT_BYTES/4-1:0]  lanes;
        logic [PART_BITS-1:0]                part;
        assign parts     = body.data;
        assign lanes     = body.lanes;
        assign part      = PART_BITS'({body.first, 3'b0} / 6'(BEAT_BYTES)) + PART_BITS'(done_q);
        assign line_beat = parts[part];
        for (genvar i = 0; i < BEAT_BYTES; i++) begin : gen_strobe
            assign line_strobe[i] = lanes[part][i/4];
        end
    end
    always_ff @(posedge clk) begin
        if (send) begin
            wvalid_o <= 1'b1;
            wdata_o  <= order.line ? line_beat : beat;
            wstrb_o  <= order.line ? line_strobe : '1;
            wlast_o  <= last;
            done_q   <= last ? '0 : done_q + 6'd1;
        end else if (wready_i) wvalid_o <= 1'b0;
        if (rst) begin
            wvalid_o <= 1'b0;
            done_q   <= '0;
        end
    end

    // ---- responses ---------------------------------------------------------------------------------------------------
    assign bready_o = 1'b1;
    always_ff @(posedge clk) begin
        response_q          <= bvalid_i;
        response_error_q    <= bresp_i[1];
        written_o.valid     <= response_q;
        written_o.ring      <= info.ring;
        written_o.error     <= response_error_q;
        written_o.completes <= info.completes;
        written_o.answer    <= info.answer;
        written_o.index     <= info.index;
        written_o.address   <= info.address;
        idle_o              <= open_q == '0 && !response_q && !issue && !awvalid_o && !wvalid_o && !order_valid;
        if (rst) begin
            response_q      <= 1'b0;
            written_o.valid <= 1'b0;
            idle_o          <= 1'b0;
        end
    end
    wire logic unused = &{1'b0, bresp_i[0], info_full, body_full};

    `HG_ASSERT(response_is_expected, !response_q || (info_valid && open_q != '0))
    `HG_ASSERT(bodies_fit, !entering_q || !body_full)
    `HG_ASSERT(burst_within_block, !awvalid_o || 32'(awaddr_o[7:0]) + (32'(awlen_o) + 32'd1) * BEAT_BYTES
               <= BURST_BYTES + (32'(awaddr_o[7:0]) % BEAT_BYTES))
    `HG_ASSERT_STABLE(address_stable, awvalid_o && !awready_i, {awvalid_o, awaddr_o, awlen_o})
    `HG_ASSERT_STABLE(data_stable, wvalid_o && !wready_i, {wvalid_o, wdata_o, wstrb_o, wlast_o})
endmodule
`resetall
