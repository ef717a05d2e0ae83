// SPDX-License-Identifier: Apache-2.0
//
// axil_gate: stops an AXI4-Lite port between two transactions.
//
// While `stop_i` is high no new transaction passes; those that have begun are completed (a write whose address or data has passed
// gets the other half). `idle_o`: none is open. Combinational; responses are only watched.
// Misuse: more than three transactions of a kind open at once; asserted.
`include "hashgate_assert.svh"
`resetall
`default_nettype none
module axil_gate (
    input  wire logic clk,
    input  wire logic rst,
    input  wire logic stop_i,
    output logic      idle_o,
    // from the bus
    input  wire logic awvalid_i,
    output logic      awready_o,
    input  wire logic wvalid_i,
    output logic      wready_o,
    input  wire logic arvalid_i,
    output logic      arready_o,
    // to the registers
    output logic      awvalid_o,
    input  wire logic awready_i,
    output logic      wvalid_o,
    input  wire logic wready_i,
    output logic      arvalid_o,
    input  wire logic arready_i,
    // responses accepted
    input  wire logic b_done_i,
    input  wire logic r_done_i
);
    // Addresses, data and reads that passed and are not answered.
    logic [1:0] addresses_q, data_q, reads_q;
    logic       pass_aw, pass_w, pass_ar;
    assign pass_aw   = !stop_i || data_q > addresses_q;
    assign pass_w    = !stop_i || addresses_q > data_q;
    assign pass_ar   = !stop_i;
    assign awvalid_o = awvalid_i && pass_aw;
    assign awready_o = awready_i && pass_aw;
    assign wvalid_o  = wvalid_i && pass_w;
    assign wready_o  = wready_i && pass_w;
    assign arvalid_o = arvalid_i && pass_ar;
    assign arready_o = arready_i && pass_ar;
    assign idle_o    = addresses_q == '0 && data_q == '0 && reads_q == '0;
    always_ff @(posedge clk) begin
        addresses_q <= addresses_q + 2'(awvalid_o && awready_i) - 2'(b_done_i);
        data_q      <= data_q + 2'(wvalid_o && wready_i) - 2'(b_done_i);
        reads_q     <= reads_q + 2'(arvalid_o && arready_i) - 2'(r_done_i);
        if (rst) begin
            addresses_q <= '0;
            data_q      <= '0;
            reads_q     <= '0;
        end
    end
    `HG_ASSERT(addresses_fit, !(awvalid_o && awready_i) || addresses_q != '1 || b_done_i)
    `HG_ASSERT(data_fit, !(wvalid_o && wready_i) || data_q != '1 || b_done_i)
    `HG_ASSERT(reads_fit, !(arvalid_o && arready_i) || reads_q != '1 || r_done_i)
endmodule
`resetall
