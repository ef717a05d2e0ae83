// SPDX-License-Identifier: Apache-2.0
//
// binding_outcome: what an operation of a packet comes to.
//
// In       `op_i` comes late in the cycle, and `same_i` (a WRITE changes nothing); whether the table holds the key or has room for it, and whether the
//          next packet has the same key, is known early.
// Out      what happens, and what of it is stored.
// Latency  0, two levels of logic at most behind `op_i`: it is mapped on its own (hw/synth), the way to `op_i` being long.
`resetall
`default_nettype none
module binding_outcome
    import binding_pkg::*;
(
    input  wire binding_op_e op_i,
    input  wire logic        present_i,
    input  wire logic        room_i,
    input  wire logic        same_i,
    input  wire logic        followed_i,
    output logic             create_o,      // CREATE that takes place
    output logic             create_new_o,  // under a new session
    output logic             refuse_o,      // CREATE without room
    output logic             wrote_o,       // anything
    output logic             last_o,        // the next packet takes its record from this one
    output logic             store_o        // the memory of records changes
);
    assign create_o     = op_i[1] && (present_i || room_i);
    assign create_new_o = op_i[1] && !present_i && room_i;
    assign refuse_o     = op_i[1] && !present_i && !room_i;
    assign wrote_o      = create_o || op_i[0] || op_i[2];
    assign last_o       = followed_i && wrote_o;
    assign store_o      = create_o || op_i[2] || (op_i[0] && !same_i);
endmodule
`resetall
