// SPDX-License-Identifier: Apache-2.0
//
// ring_interrupt: when a ring asks for its interrupt.
//
// In       `visible_i`: answers that are in memory, `index_i`: the one that the host looks at next, `armed_i`; `written_i`: the last two are
//          new from the next cycle on.
// Out      `ask_o`, one cycle, if armed and an answer at or beyond the index is there, and as many as `count_i` (0 acts as 1)
//          are or the first has waited for `holdoff_i` cycles since it was there and the ring armed. Whoever gets it disarms. Not
//          while `waits_i`: the last one is not acknowledged.
// Latency  3 to 4 from the answer.
`resetall
`default_nettype none
module ring_interrupt
    import dma_pkg::*;
(
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire index_t      visible_i,
    input  wire logic        armed_i,
    input  wire logic        written_i,
    input  wire index_t      index_i,
    input  wire logic [23:0] holdoff_i,
    input  wire logic [7:0]  count_i,
    input  wire logic        waits_i,
    output logic             ask_o
);
    index_t      pending_q;
    logic        some_q, enough_q, expired_q;
    logic [23:0] waited_q;
    logic [3:0]  settled_q;  // what is above stems from the index
    always_ff @(posedge clk) begin
        pending_q <= visible_i - index_i;
        some_q    <= pending_q != '0 && !pending_q[15];
        enough_q  <= pending_q >= index_t'(count_i);
        settled_q <= {settled_q[2:0], armed_i && !written_i};
        if (written_i || !armed_i) settled_q <= '0;
        if (!armed_i || !some_q || !settled_q[3]) waited_q <= '0;
        else if (!expired_q) waited_q <= waited_q + 1'b1;
        expired_q <= some_q && settled_q[3] && waited_q >= holdoff_i;
        ask_o     <= armed_i && !waits_i && !ask_o && settled_q[3] && some_q && (enough_q || expired_q);
        if (rst) begin
            settled_q <= '0;
            expired_q <= 1'b0;
            ask_o     <= 1'b0;
        end
    end
endmodule
`resetall
