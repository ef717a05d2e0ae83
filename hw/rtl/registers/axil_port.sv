// SPDX-License-Identifier: Apache-2.0
//
// axil_port: AXI4-Lite in front of the register block, one transaction at a time.
//
// A write is taken when its address and its data are there; one of less than a whole word has no effect. Beyond
// the register block everything reads 0. Reads and writes that both wait take turns. Every answer is OKAY.
// While `stop_i` nothing new is taken; `idle_o`: nothing is under way.
`include "hashgate_assert.svh"
`resetall
`default_nettype none
module axil_port #(
    // Address bits of the register block.
    parameter int unsigned ADDRESS_BITS = 10
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    input  wire logic                      stop_i,
    output logic                           idle_o,
    // bus
    input  wire logic                      awvalid_i,
    output logic                           awready_o,
    input  wire logic [11:0]               awaddr_i,
    input  wire logic                      wvalid_i,
    output logic                           wready_o,
    input  wire logic [31:0]               wdata_i,
    input  wire logic [3:0]                wstrb_i,
    output logic                           bvalid_o,
    input  wire logic                      bready_i,
    output logic [1:0]                     bresp_o,
    input  wire logic                      arvalid_i,
    output logic                           arready_o,
    input  wire logic [11:0]               araddr_i,
    output logic                           rvalid_o,
    input  wire logic                      rready_i,
    output logic [31:0]                    rdata_o,
    output logic [1:0]                     rresp_o,
    // register block: `req_o` is held while it stalls; the answer comes in the cycle in which it is taken, or later
    output logic                           req_o,
    output logic                           req_write_o,
    output logic [ADDRESS_BITS-1:0]        req_address_o,
    output logic [31:0]                    req_data_o,
    input  wire logic                      req_stall_i,
    input  wire logic                      write_done_i,
    input  wire logic                      read_done_i,
    input  wire logic [31:0]               read_data_i
);
    typedef enum logic [2:0] {
        IDLE,
        TAKE_WRITE,
        TAKE_READ,
        WAIT,
        ANSWER_WRITE,
        ANSWER_READ
    } state_e;
    state_e state_q;
    logic   write_waits, prefer_write_q, write_done_q, read_done_q;
    logic   write_known, read_known;
    assign write_waits = awvalid_i && wvalid_i;
    assign write_known = wstrb_i == '1 && 32'(awaddr_i) >> ADDRESS_BITS == '0;
    assign read_known  = 32'(araddr_i) >> ADDRESS_BITS == '0;

    always_ff @(posedge clk) begin
        write_done_q <= write_done_i;
        read_done_q  <= read_done_i;
        if (read_done_i) rdata_o <= read_data_i;
        if (!req_stall_i) req_o <= 1'b0;
        case (state_q)
            IDLE: begin
                if (!stop_i) begin
                    if (write_waits && (prefer_write_q || !arvalid_i)) state_q <= TAKE_WRITE;
                    else if (arvalid_i) state_q <= TAKE_READ;
                end
            end
            TAKE_WRITE: begin
                req_write_o    <= 1'b1;
                req_address_o  <= {awaddr_i[ADDRESS_BITS-1:2], 2'b0};
                req_data_o     <= wdata_i;
                prefer_write_q <= 1'b0;
                req_o          <= write_known;
                state_q        <= write_known ? WAIT : ANSWER_WRITE;
            end
            TAKE_READ: begin
                req_write_o    <= 1'b0;
                req_address_o  <= {araddr_i[ADDRESS_BITS-1:2], 2'b0};
                prefer_write_q <= 1'b1;
                rdata_o        <= '0;
                req_o          <= read_known;
                state_q        <= read_known ? WAIT : ANSWER_READ;
            end
            WAIT: begin
                if (write_done_q) state_q <= ANSWER_WRITE;
                else if (read_done_q) state_q <= ANSWER_READ;
            end
            ANSWER_WRITE: if (bready_i) state_q <= IDLE;
            ANSWER_READ: if (rready_i) state_q <= IDLE;
            default: state_q <= IDLE;
        endcase
        if (rst) begin
            state_q        <= IDLE;
            prefer_write_q <= 1'b0;
            req_o          <= 1'b0;
        end
    end
    assign idle_o    = state_q == IDLE;
    assign awready_o = state_q == TAKE_WRITE;
    assign wready_o  = state_q == TAKE_WRITE;
    assign arready_o = state_q == TAKE_READ;
    assign bvalid_o  = state_q == ANSWER_WRITE;
    assign rvalid_o  = state_q == ANSWER_READ;
    assign bresp_o   = 2'b00;
    assign rresp_o   = 2'b00;
    wire logic unused = &{1'b0, awaddr_i[1:0], araddr_i[1:0]};
    `HG_ASSERT(answer_is_expected, !(write_done_i || read_done_i) || state_q == WAIT)
    `HG_ASSERT_STABLE(read_data_stable, rvalid_o && !rready_i, rdata_o)
endmodule
`resetall
