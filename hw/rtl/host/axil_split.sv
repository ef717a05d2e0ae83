// SPDX-License-Identifier: Apache-2.0
//
// axil_split: one AXI4-Lite slave of 8 KiB in front of two of 4 KiB each; address bit 12 chooses.
//
// Writes     posted: one is answered when it is taken, and waits for its half if that is busy. A further write to the same half waits for
//            it, one to the other half does not: a doorbell does not wait for a commit.
// Reads      one at a time, after all writes taken before have been answered by their halves. So a read tells that they took effect.
// Answers    those of the halves for reads, OKAY for writes.
// Latency    1 to a half, 1 back.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module axil_split (
    input  wire logic              clk,
    input  wire logic              rst,
    // slave
    input  wire logic              awvalid_i,
    output logic                   awready_o,
    input  wire logic [12:0]       awaddr_i,
    input  wire logic              wvalid_i,
    output logic                   wready_o,
    input  wire logic [31:0]       wdata_i,
    input  wire logic [3:0]        wstrb_i,
    output logic                   bvalid_o,
    input  wire logic              bready_i,
    output logic [1:0]             bresp_o,
    input  wire logic              arvalid_i,
    output logic                   arready_o,
    input  wire logic [12:0]       araddr_i,
    output logic                   rvalid_o,
    input  wire logic              rready_i,
    output logic [31:0]            rdata_o,
    output logic [1:0]             rresp_o,
    // masters: 0 the lower half
    output logic [1:0]             m_awvalid_o,
    input  wire logic [1:0]        m_awready_i,
    output logic [1:0][11:0]       m_awaddr_o,
    output logic [1:0]             m_wvalid_o,
    input  wire logic [1:0]        m_wready_i,
    output logic [1:0][31:0]       m_wdata_o,
    output logic [1:0][3:0]        m_wstrb_o,
    input  wire logic [1:0]        m_bvalid_i,
    output logic [1:0]             m_bready_o,
    output logic [1:0]             m_arvalid_o,
    input  wire logic [1:0]        m_arready_i,
    output logic [1:0][11:0]       m_araddr_o,
    input  wire logic [1:0]        m_rvalid_i,
    output logic [1:0]             m_rready_o,
    input  wire logic [1:0][31:0]  m_rdata_i,
    input  wire logic [1:0][1:0]   m_rresp_i
);
    // ---- writes -------------------------------------------------------------------------------------------------------
    logic [1:0] open_q;  // a write that its half has not answered
    logic       take;
    assign take      = awvalid_i && wvalid_i && !bvalid_o && !open_q[awaddr_i[12]];
    assign awready_o = take;
    assign wready_o  = take;
    assign bresp_o   = 2'b00;
    assign m_bready_o = open_q;
    always_ff @(posedge clk) begin
        if (bready_i) bvalid_o <= 1'b0;
        if (take) bvalid_o <= 1'b1;
        for (int h = 0; h < 2; h++) begin
            if (m_awready_i[h]) m_awvalid_o[h] <= 1'b0;
            if (m_wready_i[h]) m_wvalid_o[h] <= 1'b0;
            if (m_bvalid_i[h]) open_q[h] <= 1'b0;
            if (take && awaddr_i[12] == 1'(h)) begin
                open_q[h]      <= 1'b1;
                m_awvalid_o[h] <= 1'b1;
                m_awaddr_o[h]  <= awaddr_i[11:0];
                m_wvalid_o[h]  <= 1'b1;
                m_wdata_o[h]   <= wdata_i;
                m_wstrb_o[h]   <= wstrb_i;
            end
        end
        if (rst) begin
            bvalid_o    <= 1'b0;
            open_q      <= '0;
            m_awvalid_o <= '0;
            m_wvalid_o  <= '0;
        end
    end

    // ---- reads --------------------------------------------------------------------------------------------------------
    logic reading_q, half_q, ask;
    assign ask       = arvalid_i && !reading_q && !rvalid_o && open_q == '0 && !take;
    assign arready_o = ask;
    always_comb begin
        m_rready_o         = '0;
        m_rready_o[half_q] = reading_q;
    end
    always_ff @(posedge clk) begin
        if (rready_i) rvalid_o <= 1'b0;
        for (int h = 0; h < 2; h++) begin
            if (m_arready_i[h]) m_arvalid_o[h] <= 1'b0;
            if (ask && araddr_i[12] == 1'(h)) begin
                m_arvalid_o[h] <= 1'b1;
                m_araddr_o[h]  <= araddr_i[11:0];
            end
        end
        if (ask) begin
            reading_q <= 1'b1;
            half_q    <= araddr_i[12];
        end
        if (reading_q && m_rvalid_i[half_q]) begin
            reading_q <= 1'b0;
            rvalid_o  <= 1'b1;
            rdata_o   <= m_rdata_i[half_q];
            rresp_o   <= m_rresp_i[half_q];
        end
        if (rst) begin
            reading_q   <= 1'b0;
            half_q      <= 1'b0;
            rvalid_o    <= 1'b0;
            m_arvalid_o <= '0;
        end
    end
    for (genvar h = 0; h < 2; h++) begin : gen_rules
        `HG_ASSERT(answer_is_expected, !m_bvalid_i[h] || open_q[h])
        `HG_ASSERT(data_is_expected, !m_rvalid_i[h] || (reading_q && half_q == 1'(h)))
    end
    `HG_ASSERT_STABLE(read_data_stable, rvalid_o && !rready_i, {rvalid_o, rdata_o, rresp_o})
endmodule
`resetall
