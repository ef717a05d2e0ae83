// SPDX-License-Identifier: Apache-2.0
//
// host_tx_pkg: what is done to a frame of the host.
`resetall
`default_nettype none
package host_tx_pkg;
    import hashgate_pkg::*;

    // A 16-bit word of the window; all that is edited begins at an even byte.
    localparam int unsigned WORDS = WINDOW_BYTES / 2;
    typedef logic [$clog2(WORDS)-1:0] word_t;

    // Cycles of host_tx_option and host_tx_checksum.
    localparam int unsigned OPTION_LATENCY = 5;
    localparam int unsigned CHECKSUM_LATENCY = 5;

    // What is done to a frame.
    typedef struct packed {
        logic        control;      // goes before data on the wire
        logic        mask;         // the source MAC becomes the mask MAC
        logic        arp;          // if the announced address is a VIP: the sender hardware address becomes the cluster MAC
        logic        discovery;    // if it is a VIP: the option's address becomes the cluster MAC, the checksum follows
        word_t       address_at;   // where that address is
        word_t       checksum_at;  // where the checksum is
        logic [15:0] checksum;     // what it becomes
    } edit_t;
endpackage
`resetall
