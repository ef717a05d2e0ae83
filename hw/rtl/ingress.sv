// SPDX-License-Identifier: Apache-2.0
//
// ingress: where a frame enters from a wire port.
//
// In       AXI4-Stream from the MAC, any pattern of gaps, never back-pressured. `keep` is contiguous from byte 0 and
//          all ones before the last beat; `error_i` on the last beat is the MAC's error mark. The MAC ends every frame
//          it begins.
// Out      the frame without FCS, bytes beyond its end are zero; with its last beat the length, the error mark and the
//          oversize mark. A frame of four stream bytes or fewer becomes one beat of length 0 (with the FCS on the
//          stream).
// Oversize a frame of more than MAX_FRAME bytes is cut to MAX_FRAME bytes. Its last beat leaves when the last beat on
//          the wire has come, for only then the error mark is known.
// Latency  2, if the next beat comes at once: with the FCS on the stream a beat has to wait for the next, which tells
//          whether all its bytes belong to the frame.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module ingress
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
(
    input  wire logic       clk,
    input  wire logic       rst,
    input  wire logic       valid_i,
    input  wire beat_data_t data_i,
    input  wire beat_keep_t keep_i,
    input  wire logic       last_i,
    input  wire logic       error_i,
    output logic            valid_o,
    output beat_data_t      data_o,
    output logic            first_o,
    output logic            last_o,
    output length_t         length_o,    // with the last beat, as the marks
    output logic            error_o,
    output logic            oversize_o
);
    localparam int unsigned FCS_BYTES = FCS_ON_STREAM ? 4 : 0;
    // The longest frame on the stream ends with CUT_BYTES bytes in a beat with CUT_BEATS beats before it.
    localparam int unsigned CUT_BEATS = (MAX_FRAME + FCS_BYTES) / BEAT_BYTES;
    localparam int unsigned CUT_BYTES = (MAX_FRAME + FCS_BYTES) % BEAT_BYTES;
    localparam beat_keep_t CUT_KEEP = (beat_keep_t'(1) << CUT_BYTES) - 1'b1;
    if (BEAT_BYTES < 8 || (FCS_ON_STREAM ? CUT_BYTES > FCS_BYTES || CUT_BYTES == 0 : CUT_BYTES == 0)) begin : gen_check
        $fatal(1, "%m: the longest frame must not end with a full beat, its FCS alone must fit the last one");
    end

    // ---- the beat that comes in -------------------------------------------------------------------------------------
    beat_number_t before_reg;  // beats of this frame before it
    logic         cut_reg;     // the limit is in this beat
    logic         skip_reg;    // the frame has been cut, its end is awaited
    logic         take;        // it belongs to a frame that has not been cut
    logic         over;        // the limit is passed
    logic         last;        // nothing of the frame will be taken any more
    logic         first;
    beat_keep_t   keep;
    beat_keep_t   own;         // bytes of it that are not FCS, if it is the last
    logic         closing;     // it has only FCS bytes, the last frame byte was in the beat before

    assign take    = valid_i && !skip_reg;
    assign over    = cut_reg && (!last_i || keep_i[CUT_BYTES]);
    assign last    = last_i || over;
    assign first   = before_reg == '0;
    assign keep    = over ? CUT_KEEP : keep_i;
    assign own     = last ? keep >> FCS_BYTES : '1;
    assign closing = FCS_ON_STREAM && last && !first && !keep[FCS_BYTES];

    always_ff @(posedge clk) begin
        if (take) begin
            before_reg <= last_i ? '0 : before_reg + 1'b1;
            cut_reg    <= !last_i && before_reg == beat_number_t'(CUT_BEATS - 1);
        end
        if (valid_i) skip_reg <= !last_i && (skip_reg || over);
        if (valid_i && last_i) begin
            before_reg <= '0;
            cut_reg    <= 1'b0;
        end
        if (rst) begin
            before_reg <= '0;
            cut_reg    <= 1'b0;
            skip_reg   <= 1'b0;
        end
    end

    // ---- the beat that is held --------------------------------------------------------------------------------------
    logic         held_reg;
    logic         ready_reg;      // all is known about it: leaves in the next cycle
    beat_data_t   data_reg;
    logic         first_reg;
    logic         last_reg;
    logic         error_reg;
    logic         oversize_reg;
    length_t      length_reg;     // if it is the last and within the limit
    beat_number_t number_reg;     // beats before it
    beat_number_t following_reg;  // the same + 1

    beat_data_t   open_data;      // without the FCS bytes in it, if the beat that comes in is `closing`
    length_t      closed_length;  // the length then
    tail_t        closing_tail;
    logic         leave;
    always_comb begin
        open_data     = data_reg;
        closing_tail  = '0;
        closed_length = length_reg;
        if (FCS_ON_STREAM) begin
            // `keep` has 1..4 bytes: as many of the last four of the held beat belong to the frame.
            if (take && closing)
                open_data[BEAT_BITS-1-:32] = data_reg[BEAT_BITS-1-:32] & {{8{keep[3]}}, {8{keep[2]}}, {8{keep[1]}}, {8{keep[0]}}};
            closing_tail  = keep[3] ? '0 : tail_t'(BEAT_BYTES - 4) | tail_t'({keep[1], keep[0] && (keep[2] || !keep[1])});
            closed_length = {keep[3] ? following_reg : number_reg, closing_tail};
        end
        leave = held_reg && (ready_reg || (valid_i && (skip_reg ? last_i : !closing || last_i)));
    end

    always_ff @(posedge clk) begin
        if (take && !closing) begin
            held_reg      <= 1'b1;
            ready_reg     <= FCS_ON_STREAM ? last : !over || last_i;
            data_reg      <= kept_bytes(data_i, own);
            first_reg     <= first;
            last_reg      <= last;
            error_reg     <= last_i && error_i;
            oversize_reg  <= over;
            length_reg    <= {(!FCS_ON_STREAM && keep_i[BEAT_BYTES-1]) ? before_reg + 1'b1 : before_reg,
                              tail_of_keep(keep_i >> FCS_BYTES)};
            number_reg    <= before_reg;
            following_reg <= before_reg + 1'b1;
            if (FCS_ON_STREAM && !keep_i[FCS_BYTES]) length_reg <= '0;
        end else begin
            if (leave) held_reg <= 1'b0;
            if (take && !last_i) begin  // cut by a beat that is not the last on the wire
                data_reg     <= open_data;
                oversize_reg <= 1'b1;
            end
        end

        valid_o    <= leave;
        data_o     <= open_data;
        first_o    <= first_reg;
        last_o     <= ready_reg ? last_reg : skip_reg || closing;
        error_o    <= ready_reg ? error_reg : error_i;
        oversize_o <= oversize_reg || (!ready_reg && over);
        length_o   <= ready_reg ? length_reg : closed_length;
        if (oversize_reg || (!ready_reg && over)) length_o <= length_t'(MAX_FRAME);
        if (rst) begin
            held_reg <= 1'b0;
            valid_o  <= 1'b0;
        end
    end

    `HG_ASSERT(keep_contiguous, !valid_i || (keep_i & (keep_i + 1'b1)) == '0)
    `HG_ASSERT(keep_full, !valid_i || last_i || &keep_i)
    `HG_ASSERT(nothing_lost, !(take && !closing && held_reg) || leave)
    `HG_ASSERT(length_in_limit, !(valid_o && last_o) || length_o <= length_t'(MAX_FRAME))
endmodule
`resetall
