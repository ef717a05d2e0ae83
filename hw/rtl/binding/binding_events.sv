// SPDX-License-Identifier: Apache-2.0
//
// binding_events: the events of both binding tables in one queue for the host.
//
// In        one event a cycle from each table at most; never stalled.
// Out       the oldest event with its running number; `pop_i` takes it.
// Loss      an event that finds its queue full is lost: `lost_o` counts it and its number is left out, so that the host sees a gap.
//           Numbers are given when an event enters the common queue: those lost before it are counted first.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module binding_events
    import binding_pkg::*;
    import binding_stage_pkg::*;
#(
    // Events in the common queue, a power of two.
    parameter int unsigned DEPTH = 512
) (
    input  wire logic                 clk,
    input  wire logic                 rst,
    input  wire logic [1:0]           event_valid_i,
    input  wire binding_event_t [1:0] event_i,
    output logic                      valid_o,
    output logic                      affinity_o,
    output logic [31:0]               number_o,
    output binding_event_t            event_o,
    input  wire logic                 pop_i,
    output logic [1:0]                lost_o          // events lost in this cycle
);
    // A short queue for each table, so that both may report in the same cycle.
    localparam int unsigned SHORT = 64;
    localparam int unsigned MARGIN = 2;
    typedef struct packed {
        logic           affinity;
        logic [31:0]    number;
        binding_event_t what;
    } entry_t;

    logic [1:0]           full, short_valid, short_take, lost;
    binding_event_t [1:0] first;
    for (genvar t = 0; t < 2; t++) begin : gen_short
        stream_fifo #(.WIDTH($bits(binding_event_t)), .DEPTH(SHORT), .RESERVE(MARGIN)) u_short (
            .clk, .rst, .in_valid_i(event_valid_i[t] && !full[t]), .in_data_i(event_i[t]), .full_o(full[t]),
            .out_valid_o(short_valid[t]), .out_ready_i(short_take[t]), .out_data_o(first[t]));
    end

    // Turns, the other first after each.
    logic        turn_q, all_full, move, chosen, write_q;
    logic [31:0] number_q;
    entry_t      entry_q, oldest;
    assign chosen     = short_valid[turn_q] ? turn_q : !turn_q;
    assign move       = |short_valid;
    assign short_take = move ? (2'b01 << chosen) : 2'b00;
    assign lost       = event_valid_i & full;
    always_ff @(posedge clk) begin
        if (move) turn_q <= !chosen;
        write_q  <= move && !all_full;
        entry_q  <= '{affinity: chosen, number: number_q, what: first[chosen]};
        number_q <= number_q + 32'(lost[0]) + 32'(lost[1]) + 32'(move);
        lost_o   <= {1'b0, lost[0]} + {1'b0, lost[1]} + {1'b0, move && all_full};
        if (rst) begin
            turn_q   <= 1'b0;
            write_q  <= 1'b0;
            number_q <= '0;
            lost_o   <= '0;
        end
    end
    stream_fifo #(.WIDTH($bits(entry_t)), .DEPTH(DEPTH), .RESERVE(MARGIN)) u_all (
        .clk, .rst, .in_valid_i(write_q), .in_data_i(entry_q), .full_o(all_full), .out_valid_o(valid_o), .out_ready_i(pop_i),
        .out_data_o(oldest));
    assign affinity_o = oldest.affinity;
    assign number_o   = oldest.number;
    assign event_o    = oldest.what;
endmodule
`resetall
