// SPDX-License-Identifier: Apache-2.0
//
// host_interface: frames, tables and events between the core and rings in host memory, by DMA; interrupts. The contract is
// docs/host_interface.md.
//
//     core -> dma_receive ----+-> line_arbiter -> dma_write -> memory        registers -> host_registers, ring_control
//     event -> event_ring ----+                                             memory -> dma_read -> descriptor_fetch, dma_transmit,
//     core <- dma_transmit ---+                                                                  table_mover
//     core <> table_mover ----+                                              responses of dma_write -> ring_interrupt
//
// Registers  AXI4-Lite, 4 KiB (12 bits of address), see hw/regs/host.rdl. No access waits for memory.
// Memory     AXI4 master, one ID, INCR bursts of whole beats (an unaligned read begins at its byte) of at most 256 bytes within a multiple
//            of 256 bytes. Always ready for data and responses.
// Frames in  `host_rx_tready_o` falls only while the write side is backed up: the memory takes fewer beats than come, or does not answer.
//            Frames of rings that are down or empty need nothing of memory. A frame of the control ring has at most 8 KiB of data, and as
//            many short writes as bursts, before it at the memory, and at most 2 KiB before it here, at 512 bits.
// Frames out each stream has the frames of its ring, whole ones only: one that began is completed without memory and over a reset
//            of the host side. A stream that is not taken stops its own ring only.
// Reset      `rst` of everything, with the memory port; `host_rst_i` as HOST_RESET: what is under way at the memory port is ended first.
`resetall
`default_nettype none
module host_interface
    import dma_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
    import receive_pkg::*;
(
    input  wire logic                clk,
    input  wire logic                rst,         // the whole NIC
    input  wire logic                host_rst_i,  // the host side only, a pulse or longer
    // registers
    input  wire logic                s_axil_awvalid_i,
    output logic                     s_axil_awready_o,
    input  wire logic [11:0]         s_axil_awaddr_i,
    input  wire logic                s_axil_wvalid_i,
    output logic                     s_axil_wready_o,
    input  wire logic [31:0]         s_axil_wdata_i,
    input  wire logic [3:0]          s_axil_wstrb_i,
    output logic                     s_axil_bvalid_o,
    input  wire logic                s_axil_bready_i,
    output logic [1:0]               s_axil_bresp_o,
    input  wire logic                s_axil_arvalid_i,
    output logic                     s_axil_arready_o,
    input  wire logic [11:0]         s_axil_araddr_i,
    output logic                     s_axil_rvalid_o,
    input  wire logic                s_axil_rready_i,
    output logic [31:0]              s_axil_rdata_o,
    output logic [1:0]               s_axil_rresp_o,
    // frames from the core; metadata is stable over the frame
    input  wire logic                host_rx_tvalid_i,
    output logic                     host_rx_tready_o,
    input  wire beat_data_t          host_rx_tdata_i,
    input  wire beat_keep_t          host_rx_tkeep_i,
    input  wire logic                host_rx_tlast_i,
    input  wire logic                host_rx_tabort_i,
    input  wire logic                host_rx_control_i,
    input  wire logic [7:0]          host_rx_queue_i,
    input  wire logic [5:0]          host_rx_reason_i,
    input  wire logic                host_rx_port_i,
    input  wire logic [7:0]          host_rx_rule_i,    // valid on top, as the next two
    input  wire logic [12:0]         host_rx_bucket_i,
    input  wire logic [10:0]         host_rx_target_i,
    // frames to the core: 0 data, 1 control
    output logic [1:0]               host_tx_tvalid_o,
    input  wire logic [1:0]          host_tx_tready_i,
    output beat_data_t [1:0]         host_tx_tdata_o,
    output beat_keep_t [1:0]         host_tx_tkeep_o,
    output logic [1:0]               host_tx_tlast_o,
    output logic [1:0]               host_tx_tport_o,
    // time and binding events of the core
    input  wire logic [63:0]         time_ns_i,
    input  wire logic                event_valid_i,
    input  wire logic [13:0][31:0]   event_words_i,
    output logic                     event_pop_o,
    output logic                     event_enable_o,    // events are taken here: registers must not pop
    // tables of the core
    output logic                     mover_begin_o,     // a walk over bindings begins or (`mover_active_o`) goes on
    output logic                     mover_o,           // request, taken in a cycle with `mover_grant_i`
    output logic                     mover_write_o,
    output table_e                   mover_id_o,
    output logic                     mover_active_o,
    output cfg_address_t             mover_address_o,
    output logic [31:0]              mover_data_o,
    input  wire logic                mover_grant_i,
    input  wire logic                mover_valid_i,     // data of reads, in order
    input  wire logic [31:0]         mover_data_i,
    input  wire logic                mover_wait_i,      // commit, check or initialisation: no requests
    // memory
    output logic                     m_axi_awvalid_o,
    input  wire logic                m_axi_awready_i,
    output logic [63:0]              m_axi_awaddr_o,
    output logic [7:0]               m_axi_awlen_o,
    output logic [2:0]               m_axi_awsize_o,
    output logic [1:0]               m_axi_awburst_o,
    output logic                     m_axi_wvalid_o,
    input  wire logic                m_axi_wready_i,
    output beat_data_t               m_axi_wdata_o,
    output beat_keep_t               m_axi_wstrb_o,
    output logic                     m_axi_wlast_o,
    input  wire logic                m_axi_bvalid_i,
    output logic                     m_axi_bready_o,
    input  wire logic [1:0]          m_axi_bresp_i,
    output logic                     m_axi_arvalid_o,
    input  wire logic                m_axi_arready_i,
    output logic [63:0]              m_axi_araddr_o,
    output logic [7:0]               m_axi_arlen_o,
    output logic [2:0]               m_axi_arsize_o,
    output logic [1:0]               m_axi_arburst_o,
    input  wire logic                m_axi_rvalid_i,
    output logic                     m_axi_rready_o,
    input  wire beat_data_t          m_axi_rdata_i,
    input  wire logic [1:0]          m_axi_rresp_i,
    input  wire logic                m_axi_rlast_i,
    // interrupts: a request stays until it is acknowledged
    output logic [15:0]              interrupt_req_o,
    input  wire logic [15:0]         interrupt_ack_i
);
    localparam int unsigned TRANSMIT = 9;  // number of RING_TRANSMIT, for indices
    localparam int unsigned EVENTS = 11;
    localparam int unsigned MOVER = 12;

    // ---- registers, reset, rings -------------------------------------------------------------------------------------------
    logic                       master_idle, read_idle, write_idle, resetting, clear, reset;
    logic [7:0][31:0]           reason_queue;
    logic [15:0][31:0]          spread;
    ring_settings_t [RINGS-1:0] settings;
    logic [RINGS-1:0]           enable, start, stop, running, on, busy, doorbell;
    index_t [RINGS-1:0]         doorbell_index, consumer, producer, interrupt_index, visible;
    logic [RINGS-1:0]           armed, interrupt_written, ask, fault, fault_set;
    logic [RINGS-1:0][23:0]     holdoff;
    logic [RINGS-1:0][7:0]      count;
    logic                       new_fault, bad_descriptor, fate_valid, discarded;
    fate_e                      fate;
    ring_t                      fate_ring, discarded_ring;
    iova_t                      fault_address;
    fault_t [2:0]               failed;
    host_registers u_registers (
        .clk, .rst, .host_rst_i, .s_axil_awvalid_i, .s_axil_awready_o, .s_axil_awaddr_i, .s_axil_wvalid_i, .s_axil_wready_o,
        .s_axil_wdata_i, .s_axil_wstrb_i, .s_axil_bvalid_o, .s_axil_bready_i, .s_axil_bresp_o, .s_axil_arvalid_i,
        .s_axil_arready_o, .s_axil_araddr_i, .s_axil_rvalid_o, .s_axil_rready_i, .s_axil_rdata_o, .s_axil_rresp_o,
        .idle_i(master_idle), .resetting_o(resetting), .clear_o(clear), .reason_queue_o(reason_queue), .spread_o(spread),
        .settings_o(settings), .enable_o(enable), .start_i(start), .stop_i(stop), .running_i(running), .doorbell_o(doorbell),
        .doorbell_index_o(doorbell_index), .consumer_i(consumer), .armed_o(armed), .interrupt_written_o(interrupt_written),
        .interrupt_index_o(interrupt_index), .holdoff_o(holdoff), .count_o(count), .ask_i(ask), .fault_o(fault),
        .fault_set_i(fault_set), .fault_address_i(fault_address), .bad_i(bad_descriptor), .fate_valid_i(fate_valid), .fate_i(fate),
        .fate_ring_i(fate_ring), .discarded_i(discarded), .discarded_ring_i(discarded_ring));
    always_ff @(posedge clk) begin
        reset       <= rst || clear;
        master_idle <= read_idle && write_idle;
        if (rst) master_idle <= 1'b0;
    end
    ring_control u_rings (
        .clk, .rst(reset), .resetting_i(resetting), .enable_i(enable), .settings_i(settings), .busy_i(busy), .on_o(on), .start_o(start),
        .stop_o(stop), .running_o(running), .doorbell_i(doorbell), .doorbell_index_i(doorbell_index), .consumer_i(consumer),
        .producer_o(producer), .failed_i(failed), .fault_i(fault), .fault_set_o(fault_set), .new_fault_o(new_fault),
        .fault_address_o(fault_address));

    // ---- memory --------------------------------------------------------------------------------------------------------------
    localparam int unsigned READERS = 4;  // in order of priority
    logic [READERS-1:0]          read_request, read_ready, read_valid;
    read_request_t [READERS-1:0] read_what;
    beat_data_t                  read_data;
    logic                        read_last, read_error, mover_data;
    fault_t                      read_fault, mover_fault;
    dma_read #(.CLIENTS(READERS)) u_read (
        .clk, .rst(reset), .hold_i(resetting), .idle_o(read_idle), .request_i(read_request), .ready_o(read_ready), .what_i(read_what),
        .valid_o(read_valid), .data_o(read_data), .last_o(read_last), .error_o(read_error), .fault_o(read_fault),
        .arvalid_o(m_axi_arvalid_o), .arready_i(m_axi_arready_i), .araddr_o(m_axi_araddr_o), .arlen_o(m_axi_arlen_o),
        .rvalid_i(m_axi_rvalid_i), .rready_o(m_axi_rready_o), .rdata_i(m_axi_rdata_i), .rresp_i(m_axi_rresp_i),
        .rlast_i(m_axi_rlast_i));

    localparam int unsigned WRITERS = 4;
    logic [WRITERS-1:0]         line_valid, line_ready;
    short_write_t [WRITERS-1:0] lines;
    logic                       chosen_valid, chosen_ready, rx_beat_valid, rx_beat_full, rx_burst_valid, rx_burst_full;
    short_write_t               chosen;
    beat_data_t                 rx_beat;
    burst_t                     rx_burst;
    written_t                   written;
    line_arbiter #(.CLIENTS(WRITERS)) u_lines (
        .clk, .rst(reset), .valid_i(line_valid), .ready_o(line_ready), .line_i(lines), .valid_o(chosen_valid), .ready_i(chosen_ready),
        .line_o(chosen));
    dma_write u_write (
        .clk, .rst(reset), .hold_i(resetting), .idle_o(write_idle), .beat_valid_i(rx_beat_valid), .beat_i(rx_beat),
        .beat_full_o(rx_beat_full), .burst_valid_i(rx_burst_valid), .burst_i(rx_burst), .burst_full_o(rx_burst_full),
        .line_valid_i(chosen_valid), .line_ready_o(chosen_ready), .line_i(chosen), .written_o(written),
        .awvalid_o(m_axi_awvalid_o), .awready_i(m_axi_awready_i), .awaddr_o(m_axi_awaddr_o), .awlen_o(m_axi_awlen_o),
        .wvalid_o(m_axi_wvalid_o), .wready_i(m_axi_wready_i), .wdata_o(m_axi_wdata_o), .wstrb_o(m_axi_wstrb_o),
        .wlast_o(m_axi_wlast_o), .bvalid_i(m_axi_bvalid_i), .bready_o(m_axi_bready_o), .bresp_i(m_axi_bresp_i));
    assign m_axi_awsize_o  = 3'($clog2(BEAT_BYTES));
    assign m_axi_awburst_o = 2'b01;
    assign m_axi_arsize_o  = 3'($clog2(BEAT_BYTES));
    assign m_axi_arburst_o = 2'b01;

    // The table mover tells of errors of its data itself, after the completion.
    always_comb begin
        failed[0]       = read_fault;
        failed[0].valid = read_fault.valid && !(read_valid[2] && mover_data);
        failed[1].valid = written.valid && written.error && !(written.ring == RING_MOVER && !written.answer);
        failed[1].ring    = written.ring;
        failed[1].address = written.address;
        failed[2]       = mover_fault;
    end

    // ---- receive ---------------------------------------------------------------------------------------------------------------
    logic [RECEIVE_RINGS-1:0]   rx_stock, rx_coming, rx_fetching, rx_busy;
    index_t [RECEIVE_RINGS-1:0] rx_taken;
    logic [3:0]                 rx_look, rx_take_ring;
    logic [63:0]                rx_entry;
    logic                       rx_take;
    descriptor_fetch #(.RINGS_HERE(RECEIVE_RINGS), .FIRST(0), .ENTRY_BYTES(8)) u_rx_descriptors (
        .clk, .rst(reset), .on_i(on[RECEIVE_RINGS-1:0]), .start_i(start[RECEIVE_RINGS-1:0]),
        .settings_i(settings[RECEIVE_RINGS-1:0]), .producer_i(producer[RECEIVE_RINGS-1:0]), .busy_o(rx_fetching),
        .request_o(read_request[0]), .ready_i(read_ready[0]), .what_o(read_what[0]), .valid_i(read_valid[0]), .data_i(read_data),
        .stock_o(rx_stock), .coming_o(rx_coming), .taken_o(rx_taken), .look_ring_i(rx_look), .entry_o(rx_entry),
        .take_i(rx_take), .take_ring_i(rx_take_ring));
    dma_receive u_receive (
        .clk, .rst, .clear_i(reset), .drop_i(resetting), .on_i(on[RECEIVE_RINGS-1:0]), .start_i(start[RECEIVE_RINGS-1:0]),
        .settings_i(settings[RECEIVE_RINGS-1:0]), .reason_queue_i(reason_queue), .spread_i(spread), .time_ns_i, .busy_o(rx_busy),
        .fate_valid_o(fate_valid), .fate_o(fate), .fate_ring_o(fate_ring), .discarded_o(discarded),
        .discarded_ring_o(discarded_ring), .tvalid_i(host_rx_tvalid_i), .tready_o(host_rx_tready_o),
        .tdata_i(host_rx_tdata_i), .tkeep_i(host_rx_tkeep_i), .tlast_i(host_rx_tlast_i), .tabort_i(host_rx_tabort_i),
        .control_i(host_rx_control_i), .queue_i(host_rx_queue_i), .reason_i(host_rx_reason_i), .port_i(host_rx_port_i),
        .rule_i(host_rx_rule_i), .bucket_i(host_rx_bucket_i), .target_i(host_rx_target_i), .stock_i(rx_stock),
        .coming_i(rx_coming), .taken_i(rx_taken), .look_ring_o(rx_look), .entry_i(rx_entry), .take_o(rx_take),
        .take_ring_o(rx_take_ring), .beat_valid_o(rx_beat_valid), .beat_o(rx_beat), .beat_full_i(rx_beat_full),
        .burst_valid_o(rx_burst_valid), .burst_o(rx_burst), .burst_full_i(rx_burst_full), .line_valid_o(line_valid[0]),
        .line_ready_i(line_ready[0]), .line_o(lines[0]), .written_i(written));

    // ---- transmit --------------------------------------------------------------------------------------------------------------
    logic [1:0]   tx_stock, tx_coming, tx_fetching, tx_busy;
    index_t [1:0] tx_taken, tx_done;
    logic         tx_look, tx_take, tx_take_ring;
    logic [127:0] tx_entry;
    descriptor_fetch #(.RINGS_HERE(2), .FIRST(TRANSMIT), .ENTRY_BYTES(16)) u_tx_descriptors (
        .clk, .rst(reset), .on_i(on[TRANSMIT+:2]), .start_i(start[TRANSMIT+:2]), .settings_i(settings[TRANSMIT+:2]),
        .producer_i(producer[TRANSMIT+:2]), .busy_o(tx_fetching), .request_o(read_request[1]), .ready_i(read_ready[1]),
        .what_o(read_what[1]), .valid_i(read_valid[1]), .data_i(read_data), .stock_o(tx_stock), .coming_o(tx_coming),
        .taken_o(tx_taken), .look_ring_i(tx_look), .entry_o(tx_entry), .take_i(tx_take), .take_ring_i(tx_take_ring));
    dma_transmit u_transmit (
        .clk, .rst, .clear_i(reset), .on_i(on[TRANSMIT+:2]), .start_i(start[TRANSMIT+:2]), .settings_i(settings[TRANSMIT+:2]),
        .busy_o(tx_busy), .done_o(tx_done), .bad_o(bad_descriptor), .stock_i(tx_stock), .look_ring_o(tx_look), .entry_i(tx_entry),
        .take_o(tx_take), .take_ring_o(tx_take_ring), .request_o(read_request[3]), .ready_i(read_ready[3]),
        .what_o(read_what[3]), .valid_i(read_valid[3]), .data_i(read_data), .last_i(read_last), .error_i(read_error),
        .line_valid_o(line_valid[1]), .line_ready_i(line_ready[1]), .line_o(lines[1]), .written_i(written),
        .tvalid_o(host_tx_tvalid_o), .tready_i(host_tx_tready_i), .tdata_o(host_tx_tdata_o), .tkeep_o(host_tx_tkeep_o),
        .tlast_o(host_tx_tlast_o), .tport_o(host_tx_tport_o));

    // ---- events and tables -------------------------------------------------------------------------------------------------------
    index_t events_written, mover_done;
    logic   events_busy, mover_busy;
    event_ring u_events (
        .clk, .rst(reset), .on_i(on[EVENTS]), .start_i(start[EVENTS]), .settings_i(settings[EVENTS]), .producer_i(producer[EVENTS]),
        .written_o(events_written), .busy_o(events_busy), .event_valid_i, .event_words_i, .event_pop_o,
        .line_valid_o(line_valid[2]), .line_ready_i(line_ready[2]), .line_o(lines[2]), .written_i(written));
    assign event_enable_o = running[EVENTS];
    table_mover u_mover (
        .clk, .rst(reset), .on_i(on[MOVER]), .start_i(start[MOVER]), .settings_i(settings[MOVER]), .producer_i(producer[MOVER]),
        .done_o(mover_done), .busy_o(mover_busy), .fault_o(mover_fault), .data_o(mover_data), .request_o(read_request[2]),
        .ready_i(read_ready[2]), .what_o(read_what[2]), .valid_i(read_valid[2]), .beat_i(read_data), .error_i(read_error),
        .error_address_i(read_fault.address), .line_valid_o(line_valid[3]), .line_ready_i(line_ready[3]), .line_o(lines[3]),
        .written_i(written), .mover_begin_o, .mover_o, .mover_write_o, .mover_id_o, .mover_active_o, .mover_address_o, .mover_data_o,
        .mover_grant_i, .mover_valid_i, .mover_data_i, .mover_wait_i);

    assign busy     = {mover_busy, events_busy, tx_fetching | tx_busy, rx_fetching | rx_busy};
    assign consumer = {mover_done, events_written, tx_done, rx_taken};

    // ---- interrupts ----------------------------------------------------------------------------------------------------------------
    for (genvar r = 0; r < RINGS; r++) begin : gen_interrupt
        ring_interrupt u_interrupt (
            .clk, .rst(reset), .visible_i(visible[r]), .armed_i(armed[r]), .written_i(interrupt_written[r]),
            .index_i(interrupt_index[r]), .holdoff_i(holdoff[r]), .count_i(count[r]), .waits_i(interrupt_req_o[r]), .ask_o(ask[r]));
    end
    always_ff @(posedge clk) begin
        for (int unsigned r = 0; r < RINGS; r++) begin
            if (written.valid && written.answer && !written.error && written.ring == ring_t'(r)) visible[r] <= written.index;
            if (start[r]) visible[r] <= '0;
        end
        interrupt_req_o <= (interrupt_req_o & ~interrupt_ack_i) | {new_fault, 2'b0, ask};
        if (reset) begin
            visible         <= '0;
            interrupt_req_o <= '0;
        end
    end
    wire logic unused = &{1'b0, tx_coming, tx_taken};
endmodule
`resetall
