// SPDX-License-Identifier: Apache-2.0
//
// hashgate_cfg_pkg: build parameters of the 512-bit NIC (100GbE class).
//
// One package of this name per build; the file list picks it. Everything else derives from it.
`resetall
`default_nettype none
package hashgate_cfg_pkg;
    // Bytes in a beat of every stream; a power of two, 8..64.
    localparam int unsigned BEAT_BYTES = 64;
    // Wire ports, 1 or 2; they share one pipeline.
    localparam int unsigned PORTS = 1;
    // Wire receive streams carry the FCS.
    localparam bit FCS_ON_STREAM = 1'b1;
    // Port rules (and match slots); the default rule is one more.
    localparam int unsigned RULES = 64;
    // Maps, each with 2 banks x 4096 buckets.
    localparam int unsigned MAPS = 65;
    // Rows in each of the four ways of the VIP table and of the multicast filter (capacity is half the slots).
    localparam int unsigned EXACT_ROWS = 256;
    // Targets.
    localparam int unsigned TARGETS = 1024;
    // Bindings in each of the two binding tables; a power of two.
    localparam int unsigned SESSIONS = 65536;
    // Core clock in kHz; it only sets the reset value of the time increment.
    localparam int unsigned CLOCK_KHZ = 322_266;
endpackage
`resetall
