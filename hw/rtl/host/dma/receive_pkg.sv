// SPDX-License-Identifier: Apache-2.0
//
// receive_pkg: what the parts of the receive side hand to each other.
`resetall
`default_nettype none
package receive_pkg;
    import dma_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;

    typedef struct packed {
        beat_data_t data;
        logic       last;
        logic       aborted;  // with last, as tail
        tail_t      tail;
    } receive_beat_t;

    // A frame, before its end is known.
    typedef struct packed {
        ring_t       ring;
        logic        control;
        logic [5:0]  reason;
        logic        port;
        logic [7:0]  rule;     // valid on top, as the next two
        logic [12:0] bucket;
        logic [10:0] target;
        logic [63:0] time_ns;  // of its first beat
    } receive_head_t;

    // A frame that is in its buffer.
    typedef struct packed {
        receive_head_t head;
        index_t        index;    // of its descriptor and of its completion
        length_t       length;
        logic [15:0]   dropped;  // frames of the ring before it
    } received_t;

    // What became of a frame.
    typedef enum logic [2:0] {
        TAKEN,
        DOWN,
        FULL,
        LONG,
        ABORTED
    } fate_e;
endpackage
`resetall
