// SPDX-License-Identifier: Apache-2.0
//
// event_ring: binding events of the core into their ring in memory.
//
// In       the oldest event, `pop_o` takes it. Another one may take its place in the next cycle.
// Out      its line for dma_write. One event in 4 cycles.
// Room     events are taken while the ring is on and fewer than `producer_i` were written; `written_o` counts them.
`resetall
`default_nettype none
module event_ring
    import dma_pkg::*;
(
    input  wire logic               clk,
    input  wire logic               rst,
    input  wire logic               on_i,
    input  wire logic               start_i,
    input  wire ring_settings_t     settings_i,
    input  wire index_t             producer_i,
    output index_t                  written_o,
    output logic                    busy_o,
    input  wire logic               event_valid_i,
    input  wire logic [13:0][31:0]  event_words_i,
    output logic                    event_pop_o,
    output logic                    line_valid_o,
    input  wire logic               line_ready_i,
    output short_write_t            line_o,
    input  wire written_t           written_i
);
    typedef enum logic [1:0] {
        IDLE,
        TAKE,
        SEND
    } state_e;
    state_e     state_q;
    logic       room_q;
    logic [5:0] open_q;      // lines without response
    logic       response_q, more_q;
    assign line_o.ring   = RING_EVENTS;
    assign line_o.words  = 5'd16;
    assign line_o.answer = 1'b1;
    assign line_o.index  = written_o;
    always_ff @(posedge clk) begin
        room_q      <= on_i && written_o != producer_i && open_q < 6'd60;
        event_pop_o <= 1'b0;
        more_q      <= state_q == TAKE;
        response_q  <= written_i.valid && written_i.ring == RING_EVENTS;
        open_q      <= open_q + 6'(more_q) - 6'(response_q);
        busy_o      <= state_q != IDLE || more_q || open_q != '0;
        case (state_q)
            IDLE: begin
                if (event_valid_i && room_q && on_i) begin
                    event_pop_o <= 1'b1;
                    line_o.data <= {ring_phase(written_o, settings_i.size_log2), 63'b0, event_words_i};
                    line_o.address <= 64'({ring_entry(written_o, settings_i.size_log2), 6'b0});
                    written_o   <= written_o + 1'b1;
                    state_q     <= TAKE;
                end
            end
            TAKE: begin
                line_o.address <= {settings_i.answers[63:12], 12'b0} + line_o.address;
                line_valid_o   <= 1'b1;
                state_q        <= SEND;
            end
            default: if (line_ready_i) begin
                line_valid_o <= 1'b0;
                state_q      <= IDLE;
            end
        endcase
        if (start_i) written_o <= '0;
        if (rst) begin
            state_q     <= IDLE;
            line_valid_o <= 1'b0;
            room_q      <= 1'b0;
            event_pop_o <= 1'b0;
            more_q      <= 1'b0;
            response_q  <= 1'b0;
            open_q      <= '0;
            written_o   <= '0;
            busy_o      <= 1'b0;
        end
    end
    wire logic unused = &{1'b0, settings_i, written_i};
endmodule
`resetall
