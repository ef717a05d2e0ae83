// SPDX-License-Identifier: Apache-2.0
//
// host_registers: the registers of the host interface, and its reset.
//
// Reset     `host_rst_i` (each edge, so once it begins and once it has ended) and HOST_RESET set all registers to their reset values as soon
//           as no access is in the register block; no access is lost or waits for more than that. From then on `resetting_o`, until the
//           master is idle (`idle_i`) for SETTLE cycles; then `clear_o` for one cycle resets what is behind.
//           STUCK_CYCLES without that: `stuck`.
// Access    one at a time, 4 to 6 cycles; nothing waits for transfers.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module host_registers
    import dma_pkg::*;
    import hashgate_host_regs_pkg::*;
    import receive_pkg::*;
(
    input  wire logic                    clk,
    input  wire logic                    rst,
    input  wire logic                    host_rst_i,
    input  wire logic                    s_axil_awvalid_i,
    output logic                         s_axil_awready_o,
    input  wire logic [11:0]             s_axil_awaddr_i,
    input  wire logic                    s_axil_wvalid_i,
    output logic                         s_axil_wready_o,
    input  wire logic [31:0]             s_axil_wdata_i,
    input  wire logic [3:0]              s_axil_wstrb_i,
    output logic                         s_axil_bvalid_o,
    input  wire logic                    s_axil_bready_i,
    output logic [1:0]                   s_axil_bresp_o,
    input  wire logic                    s_axil_arvalid_i,
    output logic                         s_axil_arready_o,
    input  wire logic [11:0]             s_axil_araddr_i,
    output logic                         s_axil_rvalid_o,
    input  wire logic                    s_axil_rready_i,
    output logic [31:0]                  s_axil_rdata_o,
    output logic [1:0]                   s_axil_rresp_o,
    // reset
    input  wire logic                    idle_i,
    output logic                         resetting_o,
    output logic                         clear_o,
    // rings
    output logic [7:0][31:0]             reason_queue_o,
    output logic [15:0][31:0]            spread_o,
    output ring_settings_t [RINGS-1:0]   settings_o,
    output logic [RINGS-1:0]             enable_o,
    input  wire logic [RINGS-1:0]        start_i,
    input  wire logic [RINGS-1:0]        stop_i,
    input  wire logic [RINGS-1:0]        running_i,
    output logic [RINGS-1:0]             doorbell_o,
    output index_t [RINGS-1:0]           doorbell_index_o,
    input  wire index_t [RINGS-1:0]      consumer_i,
    // interrupts
    output logic [RINGS-1:0]             armed_o,
    output logic [RINGS-1:0]             interrupt_written_o,
    output index_t [RINGS-1:0]           interrupt_index_o,
    output logic [RINGS-1:0][23:0]       holdoff_o,
    output logic [RINGS-1:0][7:0]        count_o,
    input  wire logic [RINGS-1:0]        ask_i,
    // faults and counters
    output logic [RINGS-1:0]             fault_o,
    input  wire logic [RINGS-1:0]        fault_set_i,
    input  wire iova_t                   fault_address_i,
    input  wire logic                    bad_i,
    input  wire logic                    fate_valid_i,
    input  wire fate_e                   fate_i,
    input  wire ring_t                   fate_ring_i,
    input  wire logic                    discarded_i,
    input  wire ring_t                   discarded_ring_i
);
    localparam int unsigned STUCK_LOG2 = 20;
    localparam logic [4:0] SETTLE = 5'd31;

    hashgate_host_regs__in_t  hwif_in;
    hashgate_host_regs__out_t hwif_out;
    logic        stop, access_idle, request, request_write, stall_write, stall_read, read_ack, write_ack, read_error, write_error;
    logic [10:0] address;
    logic [31:0] write_data, read_data;
    logic        block_reset_q;
    axil_port #(.ADDRESS_BITS(11)) u_port (
        .clk, .rst, .stop_i(stop), .idle_o(access_idle), .awvalid_i(s_axil_awvalid_i), .awready_o(s_axil_awready_o),
        .awaddr_i(s_axil_awaddr_i), .wvalid_i(s_axil_wvalid_i), .wready_o(s_axil_wready_o), .wdata_i(s_axil_wdata_i),
        .wstrb_i(s_axil_wstrb_i), .bvalid_o(s_axil_bvalid_o), .bready_i(s_axil_bready_i), .bresp_o(s_axil_bresp_o),
        .arvalid_i(s_axil_arvalid_i), .arready_o(s_axil_arready_o), .araddr_i(s_axil_araddr_i), .rvalid_o(s_axil_rvalid_o),
        .rready_i(s_axil_rready_i), .rdata_o(s_axil_rdata_o), .rresp_o(s_axil_rresp_o), .req_o(request),
        .req_write_o(request_write), .req_address_o(address), .req_data_o(write_data), .req_stall_i(1'b0),
        .write_done_i(write_ack), .read_done_i(read_ack), .read_data_i(read_data));
    hashgate_host_regs u_block (
        .clk, .rst(rst || block_reset_q), .s_cpuif_req(request), .s_cpuif_req_is_wr(request_write), .s_cpuif_addr(address),
        .s_cpuif_wr_data(write_data), .s_cpuif_wr_biten('1), .s_cpuif_req_stall_wr(stall_write),
        .s_cpuif_req_stall_rd(stall_read), .s_cpuif_rd_ack(read_ack), .s_cpuif_rd_err(read_error), .s_cpuif_rd_data(read_data),
        .s_cpuif_wr_ack(write_ack), .s_cpuif_wr_err(write_error), .hwif_in(hwif_in), .hwif_out(hwif_out));

    // ---- reset -----------------------------------------------------------------------------------------------------------
    logic                host_rst_q, asked_q, draining_q, stuck_q;
    logic [STUCK_LOG2:0] waited_q;
    logic [4:0]          idle_q;
    // No access is in the block, and none begins.
    assign stop = asked_q;
    always_ff @(posedge clk) begin
        host_rst_q    <= host_rst_i;
        block_reset_q <= asked_q && !block_reset_q && (access_idle || s_axil_bvalid_o || s_axil_rvalid_o);
        clear_o       <= 1'b0;
        if (block_reset_q) begin
            asked_q    <= 1'b0;
            draining_q <= 1'b1;
            idle_q     <= '0;
        end else if (draining_q) begin
            idle_q <= idle_i ? idle_q + 1'b1 : '0;
            if (idle_q == SETTLE) begin
                clear_o    <= 1'b1;
                draining_q <= 1'b0;
            end
        end
        if (host_rst_i != host_rst_q || hwif_out.host_reset.reset.value) asked_q <= 1'b1;
        // Not before everything behind has seen the clear.
        resetting_o <= asked_q || block_reset_q || draining_q || host_rst_q || clear_o;
        if (!draining_q) begin
            waited_q <= '0;
            stuck_q  <= 1'b0;
        end else if (waited_q[STUCK_LOG2]) stuck_q <= 1'b1;
        else waited_q <= waited_q + 1'b1;
        if (rst) begin
            host_rst_q    <= 1'b0;
            block_reset_q <= 1'b0;
            asked_q       <= 1'b0;
            draining_q    <= 1'b0;
            clear_o       <= 1'b0;
            resetting_o   <= 1'b0;
            waited_q      <= '0;
            stuck_q       <= 1'b0;
        end
    end

    // ---- fields ------------------------------------------------------------------------------------------------------------
    logic [RINGS-1:0] full_q, down_q, discarded_q, long_q, aborted_q;
    logic             busy_q, bad_q;
    always_ff @(posedge clk) begin
        busy_q <= !idle_i;
        bad_q  <= bad_i;
        for (int unsigned r = 0; r < RINGS; r++) begin
            full_q[r]    <= fate_valid_i && fate_ring_i == ring_t'(r) && fate_i == FULL;
            down_q[r]    <= fate_valid_i && fate_ring_i == ring_t'(r) && fate_i == DOWN;
            discarded_q[r] <= discarded_i && discarded_ring_i == ring_t'(r);
            long_q[r]    <= fate_valid_i && fate_ring_i == ring_t'(r) && fate_i == LONG;
            aborted_q[r] <= fate_valid_i && fate_ring_i == ring_t'(r) && fate_i == ABORTED;
        end
    end
    always_comb begin
        hwif_in.host_status.resetting.next = resetting_o;
        hwif_in.host_status.stuck.next     = stuck_q;
        hwif_in.host_status.busy.next      = busy_q;
        hwif_in.ring_fault.rings.next      = fault_o | fault_set_i;
        hwif_in.ring_fault.rings.we        = |fault_set_i;
        hwif_in.ring_running.rings.next    = running_i;
        hwif_in.fault_address.value.next   = fault_address_i;
        hwif_in.tx_bad.value.incr          = bad_q;
        for (int unsigned r = 0; r < RINGS; r++) begin
            hwif_in.ring[r].control.enable.swwe         = !resetting_o;
            hwif_in.ring[r].size.size_log2.swwe         = !running_i[r];
            hwif_in.ring[r].size.buffer_units.swwe      = !running_i[r];
            hwif_in.ring[r].base.low.swwe               = !running_i[r];
            hwif_in.ring[r].base.high.swwe              = !running_i[r];
            hwif_in.ring[r].answers.low.swwe            = !running_i[r];
            hwif_in.ring[r].answers.high.swwe           = !running_i[r];
            hwif_in.ring[r].producer.index.hwclr        = start_i[r];
            hwif_in.ring[r].consumer.index.next         = consumer_i[r];
            hwif_in.ring[r].interrupt.arm.hwclr         = ask_i[r] || stop_i[r];
            hwif_in.ring[r].dropped_full.value.incr     = full_q[r];
            hwif_in.ring[r].dropped_full.value.hwclr    = start_i[r];
            hwif_in.ring[r].dropped_down.value.incr     = down_q[r] || discarded_q[r];
            hwif_in.ring[r].dropped_down.value.incrvalue = {1'b0, down_q[r]} + {1'b0, discarded_q[r]};
            hwif_in.ring[r].dropped_long.value.incr     = long_q[r];
            hwif_in.ring[r].dropped_long.value.hwclr    = start_i[r];
            hwif_in.ring[r].dropped_aborted.value.incr  = aborted_q[r];
            hwif_in.ring[r].dropped_aborted.value.hwclr = start_i[r];
        end
    end
    assign fault_o = hwif_out.ring_fault.rings.value;
    always_ff @(posedge clk) begin
        for (int unsigned r = 0; r < RINGS; r++) begin
            // The value is stored in the cycle of the write.
            doorbell_o[r]          <= hwif_out.ring[r].producer.index.swmod;
            interrupt_written_o[r] <= hwif_out.ring[r].interrupt.index.swmod;
        end
    end
    for (genvar i = 0; i < 8; i++) begin : gen_reason
        assign reason_queue_o[i] = hwif_out.reason_queue[i].nibbles.value;
    end
    for (genvar i = 0; i < 16; i++) begin : gen_spread
        assign spread_o[i] = hwif_out.spread[i].nibbles.value;
    end
    for (genvar r = 0; r < RINGS; r++) begin : gen_ring
        assign settings_o[r].base         = {hwif_out.ring[r].base.high.value, hwif_out.ring[r].base.low.value};
        assign settings_o[r].answers      = {hwif_out.ring[r].answers.high.value, hwif_out.ring[r].answers.low.value};
        assign settings_o[r].size_log2    = hwif_out.ring[r].size.size_log2.value;
        assign settings_o[r].buffer_units = hwif_out.ring[r].size.buffer_units.value;
        assign enable_o[r]                = hwif_out.ring[r].control.enable.value;
        assign doorbell_index_o[r]        = hwif_out.ring[r].producer.index.value;
        assign armed_o[r]                 = hwif_out.ring[r].interrupt.arm.value;
        assign interrupt_index_o[r]       = hwif_out.ring[r].interrupt.index.value;
        assign holdoff_o[r]               = hwif_out.ring[r].moderation.holdoff.value;
        assign count_o[r]                 = hwif_out.ring[r].moderation.count.value;
    end
    wire logic unused = &{1'b0, stall_write, stall_read, read_error, write_error};
    `HG_ASSERT(block_never_stalls, !request || (!stall_write && !stall_read))
endmodule
`resetall
