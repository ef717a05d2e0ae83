// SPDX-License-Identifier: Apache-2.0
//
// host_boundary: the streams between core and host interface, kept whole when the core alone is reset.
//
// `core_rst_i`   the core is in its reset. A frame that it had begun to give ends with one more beat that aborts it; the rest of a frame that
//                it had begun to take is swallowed. Otherwise the streams pass, without latency.
`resetall
`default_nettype none
module host_boundary (
    input  wire logic       clk,
    input  wire logic       rst,
    input  wire logic       core_rst_i,
    // receive: from the core, to the host interface
    input  wire logic       rx_valid_i,
    output logic            rx_ready_o,
    input  wire logic       rx_last_i,
    input  wire logic       rx_abort_i,
    output logic            rx_valid_o,
    input  wire logic       rx_ready_i,
    output logic            rx_last_o,
    output logic            rx_abort_o,
    // transmit: from the host interface, to the core
    input  wire logic [1:0] tx_valid_i,
    output logic [1:0]      tx_ready_o,
    input  wire logic [1:0] tx_last_i,
    output logic [1:0]      tx_valid_o,
    input  wire logic [1:0] tx_ready_i
);
    logic       rx_inside_q, rx_cut_q;
    logic [1:0] tx_inside_q, tx_swallow_q;
    assign rx_valid_o = rx_cut_q || (rx_valid_i && !core_rst_i);
    assign rx_last_o  = rx_cut_q || rx_last_i;
    assign rx_abort_o = rx_cut_q || rx_abort_i;
    assign rx_ready_o = rx_ready_i && !rx_cut_q && !core_rst_i;
    assign tx_valid_o = tx_valid_i & ~tx_swallow_q & ~{2{core_rst_i}};
    assign tx_ready_o = tx_swallow_q | (tx_ready_i & ~{2{core_rst_i}});
    always_ff @(posedge clk) begin
        if (rx_valid_o && rx_ready_i) begin
            rx_inside_q <= !rx_last_o;
            rx_cut_q    <= 1'b0;
        end
        if (core_rst_i && rx_inside_q && !(rx_cut_q && rx_ready_i)) rx_cut_q <= 1'b1;
        for (int s = 0; s < 2; s++) begin
            if (tx_valid_i[s] && tx_ready_o[s]) begin
                tx_inside_q[s] <= !tx_last_i[s];
                if (tx_last_i[s]) tx_swallow_q[s] <= 1'b0;
            end
            if (core_rst_i && tx_inside_q[s] && !(tx_valid_i[s] && tx_ready_o[s] && tx_last_i[s])) tx_swallow_q[s] <= 1'b1;
        end
        if (rst) begin
            rx_inside_q  <= 1'b0;
            rx_cut_q     <= 1'b0;
            tx_inside_q  <= '0;
            tx_swallow_q <= '0;
        end
    end
endmodule
`resetall
