// SPDX-License-Identifier: Apache-2.0
//
// host_interface: frames, tables and events between the core and rings in host memory, by DMA; interrupts. The contract is
// docs/host_interface.md.
`resetall
`default_nettype none
module host_interface
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
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
    // Skeleton: nothing is driven yet.
    /* verilator lint_off UNUSEDSIGNAL */
    /* verilator lint_off UNDRIVEN */
endmodule
`resetall
