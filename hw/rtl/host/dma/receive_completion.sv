// SPDX-License-Identifier: Apache-2.0
//
// receive_completion: completions of frames that are in memory.
//
// In       frames in the order in which their bursts are written; `full_o`: at most four more.
// Out      when the response to the last burst of a frame has come (`written_i.completes`), its completion, a line for dma_write. A frame
//          that was not written without error, or whose ring is not on any more when the response comes, is discarded.
// Rate     one a cycle.
`resetall
`default_nettype none
module receive_completion
    import dma_pkg::*;
    import receive_pkg::*;
#(
    // Frames that wait for responses.
    parameter int unsigned DEPTH = 256
) (
    input  wire logic                               clk,
    input  wire logic                               rst,
    input  wire logic [RECEIVE_RINGS-1:0]           on_i,
    input  wire logic [RECEIVE_RINGS-1:0]           start_i,
    input  wire ring_settings_t [RECEIVE_RINGS-1:0] settings_i,
    input  wire logic                               valid_i,
    input  wire received_t                          received_i,
    output logic                                    full_o,
    input  wire written_t                           written_i,
    output logic                                    line_valid_o,
    input  wire logic                               line_ready_i,
    output short_write_t                            line_o,
    output logic                                    discarded_o,
    output ring_t                                   discarded_ring_o
);
    logic      waiting_valid, due_valid, due_full, due_good, take;
    received_t waiting;
    stream_fifo #(.WIDTH($bits(received_t)), .DEPTH(DEPTH), .RESERVE(8)) u_waiting (
        .clk, .rst, .in_valid_i(valid_i), .in_data_i(received_i), .full_o, .out_valid_o(waiting_valid), .out_ready_i(take),
        .out_data_o(waiting));
    // Responses that came: good, if no earlier one had an error, which takes a moment to halt the ring.
    logic [RECEIVE_RINGS-1:0] broken_q;
    always_ff @(posedge clk) begin
        for (int unsigned r = 0; r < RECEIVE_RINGS; r++) begin
            if (written_i.valid && written_i.error && written_i.ring == ring_t'(r)) broken_q[r] <= 1'b1;
            if (start_i[r]) broken_q[r] <= 1'b0;
        end
        if (rst) broken_q <= '0;
    end
    stream_fifo #(.WIDTH(1), .DEPTH(DEPTH)) u_due (
        .clk, .rst, .in_valid_i(written_i.valid && written_i.completes), .in_data_i(on_i[written_i.ring] && !broken_q[written_i.ring] && !written_i.error),
        .full_o(due_full), .out_valid_o(due_valid), .out_ready_i(take), .out_data_o(due_good));
    logic advance;
    assign advance = !line_valid_o || line_ready_i;
    assign take    = advance && due_valid && waiting_valid;

    // The ring's settings, then address and words.
    logic        one_q, two_q, one_good_q, two_good_q;
    received_t   one, two;
    iova_t       answers_q;
    logic [3:0]  size_q;
    logic [255:0] words;
    always_comb begin
        words           = '0;
        words[63:0]     = two.head.time_ns;
        words[77:64]    = two.length;
        words[85:80]    = two.head.reason;
        words[88]       = two.head.port;
        words[89]       = two.head.control;
        words[93]       = two.head.rule[7];
        words[94]       = two.head.bucket[12];
        words[95]       = two.head.target[10];
        words[102:96]   = two.head.rule[6:0];
        words[123:112]  = two.head.bucket[11:0];
        words[137:128]  = two.head.target[9:0];
        words[159:144]  = two.index;
        words[239:224]  = two.dropped;
        words[255]      = ring_phase(two.index, size_q);
    end
    always_ff @(posedge clk) begin
        discarded_o <= 1'b0;
        if (advance) begin
            one_q            <= take;
            one              <= waiting;
            two_q            <= one_q;
            two              <= one;
            one_good_q       <= due_good;
            two_good_q       <= one_good_q;
            answers_q        <= settings_i[one.head.ring].answers;
            size_q           <= settings_i[one.head.ring].size_log2;
            line_valid_o     <= two_q && two_good_q;
            line_o.ring      <= two.head.ring;
            line_o.address   <= {answers_q[63:12], 12'b0} + {43'b0, ring_entry(two.index, size_q), 5'b0};
            line_o.words     <= 5'd8;
            line_o.data      <= {words, words};
            line_o.answer    <= 1'b1;
            line_o.index     <= two.index + 16'd1;
            discarded_o      <= two_q && !two_good_q;
            discarded_ring_o <= two.head.ring;
        end
        if (rst) begin
            one_q        <= 1'b0;
            two_q        <= 1'b0;
            line_valid_o <= 1'b0;
            discarded_o  <= 1'b0;
        end
    end
    wire logic unused = &{1'b0, settings_i, written_i, answers_q[11:0], due_full};
endmodule
`resetall
