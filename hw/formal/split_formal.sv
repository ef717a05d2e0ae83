// SPDX-License-Identifier: Apache-2.0
//
// split_formal: axil_split gives every write to its half once and unchanged, answers everything once, lets no read overtake a write, and lets
// no half hold up a write to the other. Unbounded.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module split_formal (
    input wire logic             clk,
    input wire logic             rst,
    input wire logic             awvalid,
    input wire logic [12:0]      awaddr,
    input wire logic             wvalid,
    input wire logic [31:0]      wdata,
    input wire logic [3:0]       wstrb,
    input wire logic             bready,
    input wire logic             arvalid,
    input wire logic [12:0]      araddr,
    input wire logic             rready,
    input wire logic [1:0]       half_awready,
    input wire logic [1:0]       half_wready,
    input wire logic [1:0]       half_bvalid,
    input wire logic [1:0]       half_arready,
    input wire logic [1:0]       half_rvalid,
    input wire logic [1:0][31:0] half_rdata,
    input wire logic [1:0][1:0]  half_rresp
);
    logic started = 1'b0;
    always_ff @(posedge clk) started <= 1'b1;
    assume property (@(posedge clk) started || rst);

    logic             awready, wready, bvalid, arready, rvalid;
    logic [1:0]       bresp, rresp;
    logic [31:0]      rdata;
    logic [1:0]       half_awvalid, half_wvalid, half_bready, half_arvalid, half_rready;
    logic [1:0][11:0] half_awaddr, half_araddr;
    logic [1:0][31:0] half_wdata;
    logic [1:0][3:0]  half_wstrb;
    axil_split dut (
        .clk, .rst, .awvalid_i(awvalid), .awready_o(awready), .awaddr_i(awaddr), .wvalid_i(wvalid), .wready_o(wready),
        .wdata_i(wdata), .wstrb_i(wstrb), .bvalid_o(bvalid), .bready_i(bready), .bresp_o(bresp), .arvalid_i(arvalid),
        .arready_o(arready), .araddr_i(araddr), .rvalid_o(rvalid), .rready_i(rready), .rdata_o(rdata), .rresp_o(rresp),
        .m_awvalid_o(half_awvalid), .m_awready_i(half_awready), .m_awaddr_o(half_awaddr), .m_wvalid_o(half_wvalid),
        .m_wready_i(half_wready), .m_wdata_o(half_wdata), .m_wstrb_o(half_wstrb), .m_bvalid_i(half_bvalid),
        .m_bready_o(half_bready), .m_arvalid_o(half_arvalid), .m_arready_i(half_arready), .m_araddr_o(half_araddr),
        .m_rvalid_i(half_rvalid), .m_rready_o(half_rready), .m_rdata_i(half_rdata), .m_rresp_i(half_rresp));

    // ---- the halves answer what they were asked ---------------------------------------------------------------------------
    logic [1:0] address_taken_q, data_taken_q, read_taken_q;
    for (genvar h = 0; h < 2; h++) begin : gen_half
        always_ff @(posedge clk) begin
            if (half_awvalid[h] && half_awready[h]) address_taken_q[h] <= 1'b1;
            if (half_wvalid[h] && half_wready[h]) data_taken_q[h] <= 1'b1;
            if (half_bvalid[h] && half_bready[h]) {address_taken_q[h], data_taken_q[h]} <= '0;
            if (half_arvalid[h] && half_arready[h]) read_taken_q[h] <= 1'b1;
            if (half_rvalid[h] && half_rready[h]) read_taken_q[h] <= 1'b0;
            if (rst) {address_taken_q[h], data_taken_q[h], read_taken_q[h]} <= '0;
        end
        assume property (@(posedge clk) !half_bvalid[h] || (address_taken_q[h] && data_taken_q[h]));
        assume property (@(posedge clk) !half_rvalid[h] || read_taken_q[h]);
    end

    // ---- what was taken from the master and is not done ------------------------------------------------------------------------
    logic             write_answer_q, read_q, read_half_q, read_done_q;
    logic [1:0]       write_q;
    logic [1:0][11:0] write_address_q;
    logic [1:0][31:0] write_data_q;
    logic [1:0][3:0]  write_strobe_q;
    logic [11:0]      read_address_q;
    logic [31:0]      read_data_q;
    logic [1:0]       read_answer_q;
    always_ff @(posedge clk) begin
        if (bvalid && bready) write_answer_q <= 1'b0;
        for (int h = 0; h < 2; h++) if (half_bvalid[h] && half_bready[h]) write_q[h] <= 1'b0;
        if (awvalid && awready) begin
            write_answer_q              <= 1'b1;
            write_q[awaddr[12]]         <= 1'b1;
            write_address_q[awaddr[12]] <= awaddr[11:0];
            write_data_q[awaddr[12]]    <= wdata;
            write_strobe_q[awaddr[12]]  <= wstrb;
        end
        if (rvalid && rready) {read_q, read_done_q} <= '0;
        if (read_q && half_rvalid[read_half_q] && half_rready[read_half_q]) begin
            read_done_q   <= 1'b1;
            read_data_q   <= half_rdata[read_half_q];
            read_answer_q <= half_rresp[read_half_q];
        end
        if (arvalid && arready) begin
            read_q         <= 1'b1;
            read_done_q    <= 1'b0;
            read_half_q    <= araddr[12];
            read_address_q <= araddr[11:0];
        end
        if (rst) begin
            write_answer_q <= 1'b0;
            write_q        <= '0;
            read_q         <= 1'b0;
            read_done_q    <= 1'b0;
        end
    end

    `HG_ASSERT(address_and_data_together, (awvalid && awready) == (wvalid && wready))
    `HG_ASSERT(one_answer_a_write, bvalid == write_answer_q)
    `HG_ASSERT(one_write_at_a_time, !(awvalid && awready) || !(write_q[awaddr[12]] || write_answer_q))
    `HG_ASSERT(one_read_at_a_time, !(arvalid && arready) || !read_q)
    `HG_ASSERT(one_answer_a_read, rvalid == (read_q && read_done_q))
    `HG_ASSERT(answer_of_the_half, !rvalid || (rdata == read_data_q && rresp == read_answer_q))
    `HG_ASSERT(no_read_beside_older_writes, !(arvalid && arready) || write_q == '0)
    // A write that may go, goes: nothing but its own half and the answer of the write before holds it up.
    `HG_ASSERT(no_write_waits_for_the_other_half,
               rst || !(awvalid && wvalid && !write_q[awaddr[12]] && !write_answer_q) || awready)
    `HG_ASSERT(reads_go, rst || !(arvalid && !read_q && write_q == '0 && !(awvalid && wvalid)) || arready)
    for (genvar h = 0; h < 2; h++) begin : gen_given
        `HG_ASSERT(given_once, half_awvalid[h] == (write_q[h] && !address_taken_q[h]) && half_wvalid[h] == (write_q[h] && !data_taken_q[h]))
        `HG_ASSERT(given_unchanged, (!half_awvalid[h] || half_awaddr[h] == write_address_q[h])
                   && (!half_wvalid[h] || {half_wdata[h], half_wstrb[h]} == {write_data_q[h], write_strobe_q[h]}))
        `HG_ASSERT(answer_taken, half_bready[h] || !half_bvalid[h])
        `HG_ASSERT(asked_once, half_arvalid[h] == (read_q && !read_done_q && read_half_q == 1'(h) && !read_taken_q[h]))
        `HG_ASSERT(asked_rightly, !half_arvalid[h] || half_araddr[h] == read_address_q)
        `HG_ASSERT(data_taken_at_once, half_rready[h] || !half_rvalid[h])
        // What makes the induction close.
        `HG_ASSERT(taken_is_open, (write_q[h] || !(address_taken_q[h] || data_taken_q[h])) && dut.open_q[h] == write_q[h])
        `HG_ASSERT(read_is_open, !read_taken_q[h] || (read_q && !read_done_q && read_half_q == 1'(h)))
    end
    `HG_ASSERT(reading, dut.reading_q == (read_q && !read_done_q) && (!read_q || dut.half_q == read_half_q))
    wire logic unused = &{1'b0, bresp};
endmodule
`resetall
