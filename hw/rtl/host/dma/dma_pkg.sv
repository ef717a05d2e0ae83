// SPDX-License-Identifier: Apache-2.0
//
// dma_pkg: rings of the host interface and what its parts hand to each other.
`resetall
`default_nettype none
package dma_pkg;
    import hashgate_pkg::*;

    localparam int unsigned RINGS = 13;
    localparam int unsigned RECEIVE_RINGS = 9;  // 0..7 data, 8 control
    typedef logic [3:0] ring_t;
    localparam ring_t RING_CONTROL = 4'd8;
    localparam ring_t RING_TRANSMIT = 4'd9;
    localparam ring_t RING_EVENTS = 4'd11;
    localparam ring_t RING_MOVER = 4'd12;

    // Number of an entry, counts freely.
    typedef logic [15:0] index_t;
    typedef logic [63:0] iova_t;

    // A burst has at most this many bytes and does not cross a multiple of them, hence no 4 KiB either.
    localparam int unsigned BURST_BYTES = 256;

    // Settings of a ring, from registers.
    typedef struct packed {
        iova_t       base;
        iova_t       answers;
        logic [3:0]  size_log2;
        logic [15:0] buffer_units;  // of 64 bytes
    } ring_settings_t;

    // One burst to read.
    typedef struct packed {
        ring_t      ring;
        iova_t      address;
        logic [8:0] bytes;
        logic       last;     // of the user's frame
    } read_request_t;

    // Part of a received frame to write: a burst whose beats are in the queue.
    typedef struct packed {
        ring_t      ring;
        iova_t      address;    // a multiple of the beat
        logic [5:0] last;       // number of its last beat
        logic       completes;  // the frame is good and ends here: its completion follows the response
    } burst_t;

    // A write of at most one aligned line of 64 bytes.
    typedef struct packed {
        ring_t        ring;
        iova_t        address;
        logic [4:0]   words;   // 1..16, of 32 bits, within the line
        logic [511:0] data;    // the line
        logic         answer;  // the write makes answers visible: those below `index`
        index_t       index;
    } short_write_t;

    // The response to a write.
    typedef struct packed {
        logic   valid;
        ring_t  ring;
        logic   error;
        logic   completes;
        logic   answer;
        index_t index;
        iova_t  address;
    } written_t;

    // A transfer that failed.
    typedef struct packed {
        logic  valid;
        ring_t ring;
        iova_t address;
    } fault_t;

    // Entry of a ring for an index.
    function automatic index_t ring_entry(input index_t index, input logic [3:0] size_log2);
        ring_entry = index & ~(16'hffff << size_log2);
    endfunction

    // Phase bit of an answer: 1 in the first round of the ring.
    function automatic logic ring_phase(input index_t index, input logic [3:0] size_log2);
        ring_phase = !index[size_log2];
    endfunction
endpackage
`resetall
