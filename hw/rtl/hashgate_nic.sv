// SPDX-License-Identifier: Apache-2.0
//
// hashgate_nic: the NIC for a PCIe bridge as FPGA vendors offer it, and for MACs; nothing vendor-specific.
//
//     wire <-> hashgate_core <-> host_boundary <-> host_interface <-> AXI4 master, interrupt requests
//                    ^------------ axil_split ------------^
//
// Reset       `rst` everything. `host_rst_i` (function-level, bus or link reset, of any length) the host side only; a full reset by register
//             resets the core, and the host side with it.
// Wire        as hashgate_core.
// Registers   `s_axil_*`: AXI4-Lite, BAR 0 of 8 KiB: the core's registers, then those of the host interface. Writes are posted.
// Memory      `m_axi_*`: AXI4, one ID, INCR bursts of up to 256 bytes that do not cross 4 KiB. It may take any time to answer.
// Interrupts  `interrupt_req_o[n]` high until `interrupt_ack_i[n]`: the bridge sends the message of MSI-X vector n.
// Verdicts    `event_*`: as hashgate_core, for verification and telemetry outside.
`resetall
`default_nettype none
module hashgate_nic
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic                    clk,
    input  wire logic                    rst,
    input  wire logic                    host_rst_i,
    // wire receive
    input  wire logic [PORTS-1:0]        wire_rx_tvalid_i,
    output logic [PORTS-1:0]             wire_rx_tready_o,
    input  wire beat_data_t [PORTS-1:0]  wire_rx_tdata_i,
    input  wire beat_keep_t [PORTS-1:0]  wire_rx_tkeep_i,
    input  wire logic [PORTS-1:0]        wire_rx_tlast_i,
    input  wire logic [PORTS-1:0]        wire_rx_tuser_i,
    // wire transmit
    output logic [PORTS-1:0]             wire_tx_tvalid_o,
    input  wire logic [PORTS-1:0]        wire_tx_tready_i,
    output beat_data_t [PORTS-1:0]       wire_tx_tdata_o,
    output beat_keep_t [PORTS-1:0]       wire_tx_tkeep_o,
    output logic [PORTS-1:0]             wire_tx_tlast_o,
    output logic [PORTS-1:0]             wire_tx_tuser_o,
    // state of the wire ports
    input  wire logic [PORTS-1:0]        wire_link_i,
    // verdicts
    output logic                         event_valid_o,
    output logic [1:0]                   event_verdict_o,
    output logic [5:0]                   event_reason_o,
    output logic                         event_port_o,
    output logic                         event_out_port_o,
    output logic [7:0]                   event_queue_o,
    output logic                         event_control_o,
    output logic [7:0]                   event_rule_o,
    output logic [12:0]                  event_bucket_o,
    output logic [10:0]                  event_target_o,
    output logic [13:0]                  event_length_o,
    output logic                         event_aborted_o,
    output logic                         event_generation_o,
    output logic [1:0]                   event_found_o,
    output logic [1:0]                   event_refused_o,
    // registers
    input  wire logic                    s_axil_awvalid_i,
    output logic                         s_axil_awready_o,
    input  wire logic [12:0]             s_axil_awaddr_i,
    input  wire logic                    s_axil_wvalid_i,
    output logic                         s_axil_wready_o,
    input  wire logic [31:0]             s_axil_wdata_i,
    input  wire logic [3:0]              s_axil_wstrb_i,
    output logic                         s_axil_bvalid_o,
    input  wire logic                    s_axil_bready_i,
    output logic [1:0]                   s_axil_bresp_o,
    input  wire logic                    s_axil_arvalid_i,
    output logic                         s_axil_arready_o,
    input  wire logic [12:0]             s_axil_araddr_i,
    output logic                         s_axil_rvalid_o,
    input  wire logic                    s_axil_rready_i,
    output logic [31:0]                  s_axil_rdata_o,
    output logic [1:0]                   s_axil_rresp_o,
    // memory
    output logic                         m_axi_awvalid_o,
    input  wire logic                    m_axi_awready_i,
    output logic [63:0]                  m_axi_awaddr_o,
    output logic [7:0]                   m_axi_awlen_o,
    output logic [2:0]                   m_axi_awsize_o,
    output logic [1:0]                   m_axi_awburst_o,
    output logic                         m_axi_wvalid_o,
    input  wire logic                    m_axi_wready_i,
    output beat_data_t                   m_axi_wdata_o,
    output beat_keep_t                   m_axi_wstrb_o,
    output logic                         m_axi_wlast_o,
    input  wire logic                    m_axi_bvalid_i,
    output logic                         m_axi_bready_o,
    input  wire logic [1:0]              m_axi_bresp_i,
    output logic                         m_axi_arvalid_o,
    input  wire logic                    m_axi_arready_i,
    output logic [63:0]                  m_axi_araddr_o,
    output logic [7:0]                   m_axi_arlen_o,
    output logic [2:0]                   m_axi_arsize_o,
    output logic [1:0]                   m_axi_arburst_o,
    input  wire logic                    m_axi_rvalid_i,
    output logic                         m_axi_rready_o,
    input  wire beat_data_t              m_axi_rdata_i,
    input  wire logic [1:0]              m_axi_rresp_i,
    input  wire logic                    m_axi_rlast_i,
    // interrupts
    output logic [15:0]                  interrupt_req_o,
    input  wire logic [15:0]             interrupt_ack_i
);
    // ---- registers ------------------------------------------------------------------------------------------------------
    logic [1:0]       awvalid, awready, wvalid, wready, bvalid, bready, arvalid, arready, rvalid, rready;
    logic [1:0][11:0] awaddr, araddr;
    logic [1:0][31:0] wdata, rdata;
    logic [1:0][3:0]  wstrb;
    logic [1:0][1:0]  bresp, rresp;
    logic             core_reset;
    axil_split u_split (
        .clk, .rst, .awvalid_i(s_axil_awvalid_i), .awready_o(s_axil_awready_o), .awaddr_i(s_axil_awaddr_i),
        .wvalid_i(s_axil_wvalid_i), .wready_o(s_axil_wready_o), .wdata_i(s_axil_wdata_i), .wstrb_i(s_axil_wstrb_i),
        .bvalid_o(s_axil_bvalid_o), .bready_i(s_axil_bready_i), .bresp_o(s_axil_bresp_o), .arvalid_i(s_axil_arvalid_i),
        .arready_o(s_axil_arready_o), .araddr_i(s_axil_araddr_i), .rvalid_o(s_axil_rvalid_o), .rready_i(s_axil_rready_i),
        .rdata_o(s_axil_rdata_o), .rresp_o(s_axil_rresp_o), .m_awvalid_o(awvalid), .m_awready_i(awready), .m_awaddr_o(awaddr),
        .m_wvalid_o(wvalid), .m_wready_i(wready), .m_wdata_o(wdata), .m_wstrb_o(wstrb), .m_bvalid_i(bvalid), .m_bready_o(bready),
        .m_arvalid_o(arvalid), .m_arready_i(arready), .m_araddr_o(araddr), .m_rvalid_i(rvalid), .m_rready_o(rready),
        .m_rdata_i(rdata), .m_rresp_i(rresp));
    wire logic unused = &{1'b0, bresp};

    // ---- core -----------------------------------------------------------------------------------------------------------
    logic             core_rx_valid, core_rx_ready, core_rx_last, core_rx_abort;
    beat_data_t       rx_data;
    beat_keep_t       rx_keep;
    logic             rx_control, rx_port;
    logic [7:0]       rx_queue, rx_rule;
    logic [5:0]       rx_reason;
    logic [12:0]      rx_bucket;
    logic [10:0]      rx_target;
    logic [1:0]       core_tx_valid, core_tx_ready, tx_last, tx_port;
    beat_data_t [1:0] tx_data;
    beat_keep_t [1:0] tx_keep;
    logic [63:0]      now;
    logic             mover_begin, mover, mover_write, mover_active, mover_wait, mover_grant, mover_valid;
    table_e           mover_id;
    cfg_address_t     mover_address;
    logic [31:0]      mover_wdata, mover_rdata;
    logic             event_waits, event_take, event_pop;
    logic [13:0][31:0] event_words;
    hashgate_core u_core (
        .clk, .rst, .wire_rx_tvalid_i, .wire_rx_tready_o, .wire_rx_tdata_i, .wire_rx_tkeep_i, .wire_rx_tlast_i, .wire_rx_tuser_i,
        .wire_tx_tvalid_o, .wire_tx_tready_i, .wire_tx_tdata_o, .wire_tx_tkeep_o, .wire_tx_tlast_o, .wire_tx_tuser_o, .wire_link_i,
        .host_rx_tvalid_o(core_rx_valid), .host_rx_tready_i(core_rx_ready), .host_rx_tdata_o(rx_data), .host_rx_tkeep_o(rx_keep),
        .host_rx_tlast_o(core_rx_last), .host_rx_tabort_o(core_rx_abort), .host_rx_control_o(rx_control),
        .host_rx_queue_o(rx_queue), .host_rx_reason_o(rx_reason), .host_rx_port_o(rx_port), .host_rx_rule_o(rx_rule),
        .host_rx_bucket_o(rx_bucket), .host_rx_target_o(rx_target), .host_tx_tvalid_i(core_tx_valid),
        .host_tx_tready_o(core_tx_ready), .host_tx_tdata_i(tx_data), .host_tx_tkeep_i(tx_keep), .host_tx_tlast_i(tx_last),
        .host_tx_tport_i(tx_port), .event_valid_o, .event_verdict_o, .event_reason_o, .event_port_o, .event_out_port_o,
        .event_queue_o, .event_control_o, .event_rule_o, .event_bucket_o, .event_target_o, .event_length_o, .event_aborted_o,
        .event_generation_o, .event_found_o, .event_refused_o, .reset_o(core_reset), .time_o(now), .mover_begin_i(mover_begin), .mover_i(mover),
        .mover_write_i(mover_write), .mover_id_i(mover_id), .mover_active_i(mover_active), .mover_address_i(mover_address),
        .mover_data_i(mover_wdata), .mover_wait_o(mover_wait), .mover_grant_o(mover_grant), .mover_valid_o(mover_valid),
        .mover_data_o(mover_rdata), .binding_event_valid_o(event_waits), .binding_event_words_o(event_words),
        .binding_event_take_i(event_take), .binding_event_pop_i(event_pop), .s_axil_awvalid_i(awvalid[0]),
        .s_axil_awready_o(awready[0]), .s_axil_awaddr_i(awaddr[0]), .s_axil_wvalid_i(wvalid[0]), .s_axil_wready_o(wready[0]),
        .s_axil_wdata_i(wdata[0]), .s_axil_wstrb_i(wstrb[0]), .s_axil_bvalid_o(bvalid[0]), .s_axil_bready_i(bready[0]),
        .s_axil_bresp_o(bresp[0]), .s_axil_arvalid_i(arvalid[0]), .s_axil_arready_o(arready[0]), .s_axil_araddr_i(araddr[0]),
        .s_axil_rvalid_o(rvalid[0]), .s_axil_rready_i(rready[0]), .s_axil_rdata_o(rdata[0]), .s_axil_rresp_o(rresp[0]));

    // ---- host side --------------------------------------------------------------------------------------------------------
    logic       rx_valid, rx_ready, rx_last, rx_abort;
    logic [1:0] tx_valid, tx_ready;
    host_boundary u_boundary (
        .clk, .rst, .core_rst_i(core_reset), .rx_valid_i(core_rx_valid), .rx_ready_o(core_rx_ready), .rx_last_i(core_rx_last),
        .rx_abort_i(core_rx_abort), .rx_valid_o(rx_valid), .rx_ready_i(rx_ready), .rx_last_o(rx_last), .rx_abort_o(rx_abort),
        .tx_valid_i(tx_valid), .tx_ready_o(tx_ready), .tx_last_i(tx_last), .tx_valid_o(core_tx_valid),
        .tx_ready_i(core_tx_ready));
    host_interface u_host (
        .clk, .rst, .host_rst_i(host_rst_i || core_reset), .s_axil_awvalid_i(awvalid[1]), .s_axil_awready_o(awready[1]),
        .s_axil_awaddr_i(awaddr[1]), .s_axil_wvalid_i(wvalid[1]), .s_axil_wready_o(wready[1]), .s_axil_wdata_i(wdata[1]),
        .s_axil_wstrb_i(wstrb[1]), .s_axil_bvalid_o(bvalid[1]), .s_axil_bready_i(bready[1]), .s_axil_bresp_o(bresp[1]),
        .s_axil_arvalid_i(arvalid[1]), .s_axil_arready_o(arready[1]), .s_axil_araddr_i(araddr[1]), .s_axil_rvalid_o(rvalid[1]),
        .s_axil_rready_i(rready[1]), .s_axil_rdata_o(rdata[1]), .s_axil_rresp_o(rresp[1]), .host_rx_tvalid_i(rx_valid),
        .host_rx_tready_o(rx_ready), .host_rx_tdata_i(rx_data), .host_rx_tkeep_i(rx_keep), .host_rx_tlast_i(rx_last),
        .host_rx_tabort_i(rx_abort), .host_rx_control_i(rx_control), .host_rx_queue_i(rx_queue), .host_rx_reason_i(rx_reason),
        .host_rx_port_i(rx_port), .host_rx_rule_i(rx_rule), .host_rx_bucket_i(rx_bucket), .host_rx_target_i(rx_target),
        .host_tx_tvalid_o(tx_valid), .host_tx_tready_i(tx_ready), .host_tx_tdata_o(tx_data), .host_tx_tkeep_o(tx_keep),
        .host_tx_tlast_o(tx_last), .host_tx_tport_o(tx_port), .time_ns_i(now), .event_valid_i(event_waits),
        .event_words_i(event_words), .event_pop_o(event_pop), .event_enable_o(event_take), .mover_begin_o(mover_begin), .mover_o(mover),
        .mover_write_o(mover_write), .mover_id_o(mover_id), .mover_active_o(mover_active), .mover_address_o(mover_address),
        .mover_data_o(mover_wdata), .mover_grant_i(mover_grant), .mover_valid_i(mover_valid), .mover_data_i(mover_rdata),
        .mover_wait_i(mover_wait), .m_axi_awvalid_o, .m_axi_awready_i, .m_axi_awaddr_o, .m_axi_awlen_o, .m_axi_awsize_o,
        .m_axi_awburst_o, .m_axi_wvalid_o, .m_axi_wready_i, .m_axi_wdata_o, .m_axi_wstrb_o, .m_axi_wlast_o, .m_axi_bvalid_i,
        .m_axi_bready_o, .m_axi_bresp_i, .m_axi_arvalid_o, .m_axi_arready_i, .m_axi_araddr_o, .m_axi_arlen_o, .m_axi_arsize_o,
        .m_axi_arburst_o, .m_axi_rvalid_i, .m_axi_rready_o, .m_axi_rdata_i, .m_axi_rresp_i, .m_axi_rlast_i,
        .interrupt_req_o, .interrupt_ack_i);
endmodule
`resetall
