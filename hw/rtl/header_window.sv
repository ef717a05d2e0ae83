// SPDX-License-Identifier: Apache-2.0
//
// header_window: collects the first 128 bytes of every frame.
//
// In       beats of frames, one a cycle at most, gaps allowed; bytes beyond the end of a frame are zero.
// Out      one window per frame, one cycle after the beat that completes it (the last beat, or the one that fills the
//          window). Byte 0 is in the top bits, bytes beyond the frame are zero. `window_gen_o` is the generation of the
//          tables in that cycle: the only place where a frame samples it.
// Latency  WINDOW_LATENCY.
`resetall
`default_nettype none
module header_window
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic                    clk,
    input  wire logic                    rst,
    input  wire logic                    valid_i,
    input  wire beat_data_t              data_i,
    input  wire logic                    first_i,
    input  wire logic                    last_i,
    input  wire port_t                   port_i,
    input  wire logic                    gen_i,
    output logic                         window_valid_o,
    output logic [WINDOW_BITS-1:0]       window_o,
    output port_t                        window_port_o,
    output logic                         window_gen_o
);
    localparam int unsigned COUNT_BITS = $clog2(WINDOW_BEATS + 1);
    localparam logic [COUNT_BITS-1:0] LAST_BEAT = COUNT_BITS'(WINDOW_BEATS - 1);

    logic [COUNT_BITS-1:0] count;  // beats of this frame in the window
    logic [COUNT_BITS-1:0] index;  // of the beat that comes in
    assign index = first_i ? '0 : count;

    // Bytes of a beat, first byte on top.
    logic [BEAT_BITS-1:0] beat;
    always_comb for (int i = 0; i < BEAT_BYTES; i++) beat[BEAT_BITS-1-8*i -: 8] = data_i[8*i +: 8];

    always_ff @(posedge clk) begin
        window_valid_o <= 1'b0;
        if (valid_i) begin
            for (int i = 0; i < WINDOW_BEATS; i++) begin
                if (index == COUNT_BITS'(i)) window_o[WINDOW_BITS-1-BEAT_BITS*i -: BEAT_BITS] <= beat;
                else if (first_i) window_o[WINDOW_BITS-1-BEAT_BITS*i -: BEAT_BITS] <= '0;
            end
            if (index <= LAST_BEAT) begin
                count          <= index + 1'b1;
                window_valid_o <= last_i || index == LAST_BEAT;
            end
            window_port_o <= port_i;
            window_gen_o  <= gen_i;
        end
        if (rst) window_valid_o <= 1'b0;
    end
endmodule
`resetall
