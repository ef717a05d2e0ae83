// SPDX-License-Identifier: Apache-2.0
//
// host_tx_patch: writes the edits of a frame into its beats.
//
// In       beats with the edit of their frame, one a cycle at most.
// Out      the same beats, edited; with the last one the length of the frame.
// Latency  2.
`resetall
`default_nettype none
module host_tx_patch
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
    import host_tx_pkg::*;
(
    input  wire logic         clk,
    input  wire logic         rst,
    input  wire mac_t         mask_mac_i,
    input  wire mac_t         cluster_mac_i,
    input  wire logic         valid_i,
    input  wire beat_data_t   data_i,
    input  wire logic         last_i,
    input  wire tail_t        tail_i,
    input  wire logic         drop_i,
    input  wire port_t        port_i,
    input  wire beat_number_t number_i,
    input  wire edit_t        edit_i,
    output logic              valid_o,
    output beat_data_t        data_o,
    output logic              last_o,
    output tail_t             tail_o,    // with the last beat, as drop and length
    output logic              drop_o,
    output length_t           length_o,
    output port_t             port_o,
    output edit_t             edit_o
);
    localparam int unsigned LANES = BEAT_BYTES / 2;  // 16-bit words of a beat
    localparam int unsigned LANE_BITS = $clog2(LANES);
    localparam int unsigned SOURCE_AT = 3;           // word of the window where the source MAC begins
    localparam int unsigned MAC_WORDS = 3;

    // Cycle 1: which word of the frame becomes what.
    logic                            valid_reg, last_reg, drop_reg;
    beat_data_t                      data_reg;
    tail_t                           tail_reg;
    port_t                           port_reg;
    beat_number_t                    number_reg;
    edit_t                           edit_reg;
    logic [LANES-1:0][MAC_WORDS-1:0] source_reg, address_reg;  // word n of the mask MAC, of the cluster MAC
    logic [LANES-1:0]                checksum_reg;

    // Word `word` of the window is in lane `lane` of this beat.
    function automatic logic here(input beat_number_t number, input logic [LANE_BITS-1:0] lane, input word_t word);
        return number == beat_number_t'(word[$bits(word_t)-1:LANE_BITS]) && lane == word[LANE_BITS-1:0];
    endfunction

    always_ff @(posedge clk) begin
        valid_reg  <= valid_i;
        data_reg   <= data_i;
        last_reg   <= last_i;
        tail_reg   <= tail_i;
        drop_reg   <= drop_i;
        port_reg   <= port_i;
        number_reg <= number_i;
        edit_reg   <= edit_i;
        for (int unsigned lane = 0; lane < LANES; lane++) begin
            for (int unsigned n = 0; n < MAC_WORDS; n++) begin
                source_reg[lane][n] <= edit_i.mask && here(number_i, LANE_BITS'(lane), word_t'(SOURCE_AT + n));
                address_reg[lane][n] <= (edit_i.arp || edit_i.discovery)
                                        && here(number_i, LANE_BITS'(lane), edit_i.address_at + word_t'(n));
            end
            checksum_reg[lane] <= edit_i.discovery && here(number_i, LANE_BITS'(lane), edit_i.checksum_at);
        end
        if (rst) valid_reg <= 1'b0;
    end

    // Cycle 2: the words. Byte 0 of a beat is in the low bits, the first byte of an address in its high bits.
    function automatic logic [15:0] wire_word(input logic [15:0] word);
        return {word[7:0], word[15:8]};
    endfunction

    beat_data_t patched;
    always_comb begin
        patched = '0;
        for (int unsigned lane = 0; lane < LANES; lane++) begin
            logic [15:0] word;
            word = data_reg[16*lane+:16];
            if (|{source_reg[lane], address_reg[lane], checksum_reg[lane]}) word = '0;
            for (int unsigned n = 0; n < MAC_WORDS; n++) begin
                word |= wire_word(mask_mac_i[47-16*n-:16]) & {16{source_reg[lane][n]}};
                word |= wire_word(cluster_mac_i[47-16*n-:16]) & {16{address_reg[lane][n]}};
            end
            word |= wire_word(edit_reg.checksum) & {16{checksum_reg[lane]}};
            patched[16*lane+:16] = word;
        end
    end
    always_ff @(posedge clk) begin
        valid_o  <= valid_reg;
        data_o   <= patched;
        last_o   <= last_reg;
        tail_o   <= tail_reg;
        drop_o   <= drop_reg;
        length_o <= frame_length(number_reg, tail_reg);
        port_o   <= port_reg;
        edit_o   <= edit_reg;
        if (rst) valid_o <= 1'b0;
    end
endmodule
`resetall
