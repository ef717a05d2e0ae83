// SPDX-License-Identifier: Apache-2.0
//
// stream_pkg: the end of a frame on a stream.
//
// On AXI4-Stream `keep` marks the valid bytes of the last beat. Inside, `tail` stands for it: their number modulo
// BEAT_BYTES, 0 for a full beat; it is also the length of the frame modulo BEAT_BYTES.
`resetall
`default_nettype none
package stream_pkg;
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;

    localparam int unsigned TAIL_BITS = $clog2(BEAT_BYTES);
    typedef logic [TAIL_BITS-1:0] tail_t;
    // Beats before a beat, or beats of a frame.
    localparam int unsigned BEAT_NUMBER_BITS = $bits(length_t) - TAIL_BITS;
    typedef logic [BEAT_NUMBER_BITS-1:0] beat_number_t;

    // Tail of a keep that is contiguous from byte 0; 0 for an empty one as well. Bit j of a count is odd or even with the
    // multiples of 2**j that it passes.
    function automatic tail_t tail_of_keep(input beat_keep_t keep);
        tail_of_keep = '0;
        for (int unsigned j = 0; j < TAIL_BITS; j++)
            for (int unsigned i = (1 << j) - 1; i < BEAT_BYTES; i += 1 << j) tail_of_keep[j] ^= keep[i];
    endfunction

    // Keep of a beat.
    function automatic beat_keep_t keep_of_tail(input logic last, input tail_t tail);
        for (int unsigned i = 0; i < BEAT_BYTES; i++)
            keep_of_tail[i] = !last || tail == '0 || tail > tail_t'(i);
    endfunction

    // The bytes of a beat that `keep` marks, zeros for the others.
    function automatic beat_data_t kept_bytes(input beat_data_t data, input beat_keep_t keep);
        for (int unsigned i = 0; i < BEAT_BYTES; i++) kept_bytes[8*i+:8] = data[8*i+:8] & {8{keep[i]}};
    endfunction

    // Length of a frame, from the number of beats before its last one and the tail of that.
    function automatic length_t frame_length(input beat_number_t number, input tail_t tail);
        frame_length = {(tail == '0) ? number + 1'b1 : number, tail};
    endfunction
endpackage
`resetall
