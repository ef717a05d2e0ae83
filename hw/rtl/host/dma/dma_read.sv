// SPDX-License-Identifier: Apache-2.0
//
// dma_read: the read half of the AXI4 master.
//
// Requests   of CLIENTS users, valid and ready, the lowest first; each one burst that does not cross a multiple of BURST_BYTES. Any
//            address.
// Data       in the order of requests: `valid_o` of the user with whole beats as they came, 3 cycles after the bus. There is no ready: a
//            user asks only for what it has room for, and the master is always ready. `last_o`: the last beat of a request
//            with `last`; `error_o`: this beat had an error response, with `fault_o`.
// Hold       as in dma_write.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module dma_read
    import dma_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
#(
    // Users.
    parameter int unsigned CLIENTS = 4,
    // Bursts under way at most.
    parameter int unsigned OUTSTANDING = 256
) (
    input  wire logic                        clk,
    input  wire logic                        rst,
    input  wire logic                        hold_i,
    output logic                             idle_o,
    input  wire logic [CLIENTS-1:0]          request_i,
    output logic [CLIENTS-1:0]               ready_o,
    input  wire read_request_t [CLIENTS-1:0] what_i,
    output logic [CLIENTS-1:0]               valid_o,
    output beat_data_t                       data_o,
    output logic                             last_o,
    output logic                             error_o,
    output fault_t                           fault_o,
    output logic                             arvalid_o,
    input  wire logic                        arready_i,
    output iova_t                            araddr_o,
    output logic [7:0]                       arlen_o,
    input  wire logic                        rvalid_i,
    output logic                             rready_o,
    input  wire beat_data_t                  rdata_i,
    input  wire logic [1:0]                  rresp_i,
    input  wire logic                        rlast_i
);
    localparam int unsigned COUNT_BITS = $clog2(OUTSTANDING + 1);
    localparam int unsigned BEAT_LOG2 = $clog2(BEAT_BYTES);

    // ---- choice ------------------------------------------------------------------------------------------------------
    logic               chosen_valid_q, take, issue, room_q;
    read_request_t      chosen_q, chosen;
    logic [CLIENTS-1:0] client_q, grant;
    always_comb begin
        grant  = '0;
        chosen = '0;
        for (int unsigned c = CLIENTS; c > 0; c--) if (request_i[c-1]) grant = CLIENTS'(1) << (c - 1);
        for (int unsigned c = 0; c < CLIENTS; c++) chosen |= what_i[c] & {$bits(read_request_t){grant[c]}};
    end
    assign take    = !chosen_valid_q || issue;
    assign ready_o = grant & {CLIENTS{take}};

    // ---- address -----------------------------------------------------------------------------------------------------
    typedef struct packed {
        logic [CLIENTS-1:0] client;
        ring_t              ring;
        logic               last;
        iova_t              address;
    } info_t;
    info_t                 info_next, info;
    logic                  info_valid, info_full, answered;
    logic [COUNT_BITS-1:0] open_q;
    logic [9:0]            reach;  // bytes from the first beat's begin to the last byte
    assign reach = 10'(chosen_q.address[BEAT_LOG2-1:0]) + 10'(chosen_q.bytes) - 10'd1;
    assign issue = chosen_valid_q && room_q && (!arvalid_o || arready_i);
    assign info_next = '{client: client_q, ring: chosen_q.ring, last: chosen_q.last, address: chosen_q.address};
    always_ff @(posedge clk) begin
        room_q <= !hold_i && open_q < COUNT_BITS'(OUTSTANDING - 4);
        open_q <= open_q + COUNT_BITS'(issue) - COUNT_BITS'(answered);
        if (take) begin
            chosen_valid_q <= |request_i;
            chosen_q       <= chosen;
            client_q       <= grant;
        end
        if (issue) begin
            arvalid_o <= 1'b1;
            araddr_o  <= chosen_q.address;
            arlen_o   <= 8'(reach >> BEAT_LOG2);
        end else if (arready_i) arvalid_o <= 1'b0;
        if (rst) begin
            chosen_valid_q <= 1'b0;
            arvalid_o      <= 1'b0;
            open_q         <= '0;
            room_q         <= 1'b0;
        end
    end
    stream_fifo #(.WIDTH($bits(info_t)), .DEPTH(OUTSTANDING)) u_info (
        .clk, .rst, .in_valid_i(issue), .in_data_i(info_next), .full_o(info_full), .out_valid_o(info_valid),
        .out_ready_i(answered), .out_data_o(info));

    // ---- data --------------------------------------------------------------------------------------------------------
    logic       beat_q, beat_last_q, beat_error_q;
    beat_data_t beat_data_q;
    assign answered = beat_q && beat_last_q;
    assign rready_o = 1'b1;
    always_ff @(posedge clk) begin
        beat_q          <= rvalid_i;
        beat_data_q     <= rdata_i;
        beat_last_q     <= rlast_i;
        beat_error_q    <= rresp_i[1];
        valid_o         <= info.client & {CLIENTS{beat_q}};
        data_o          <= beat_data_q;
        last_o          <= beat_last_q && info.last;
        error_o         <= beat_error_q;
        fault_o.valid   <= beat_q && beat_error_q;
        fault_o.ring    <= info.ring;
        fault_o.address <= info.address;
        idle_o          <= open_q == '0 && !beat_q && !issue && !arvalid_o;
        if (rst) begin
            beat_q        <= 1'b0;
            valid_o       <= '0;
            fault_o.valid <= 1'b0;
            idle_o        <= 1'b0;
        end
    end
    wire logic unused = &{1'b0, rresp_i[0], info_full};

    `HG_ASSERT(data_is_expected, !beat_q || (info_valid && open_q != '0))
    `HG_ASSERT(burst_within_block, !chosen_valid_q || (chosen_q.bytes != '0
               && 32'(chosen_q.address[7:0]) + 32'(chosen_q.bytes) <= BURST_BYTES))
    `HG_ASSERT_STABLE(address_stable, arvalid_o && !arready_i, {arvalid_o, araddr_o, arlen_o})
endmodule
`resetall
