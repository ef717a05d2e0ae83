// SPDX-License-Identifier: Apache-2.0
//
// binding_pkg: types of the binding tables.
`resetall
`default_nettype none
package binding_pkg;
    // What a binding is found by. Addresses of IPv4 in the low 32 bits.
    typedef struct packed {
        logic         v6;
        logic [7:0]   zone;
        logic [127:0] src;
        logic [127:0] dst;
        logic [15:0]  sport;
        logic [15:0]  dport;
        logic [7:0]   protocol;
    } binding_key_t;
    localparam int unsigned BINDING_KEY_BITS = $bits(binding_key_t);

    // States that mean something to the table, with the values that the host sees (hw/defs).
    localparam logic [2:0] BINDING_FREE      = hashgate_defs_pkg::BINDING_STATE_FREE;
    localparam logic [2:0] BINDING_HALF_OPEN = hashgate_defs_pkg::BINDING_STATE_HALF_OPEN;
    localparam logic [2:0] BINDING_RESET     = hashgate_defs_pkg::BINDING_STATE_RESET;

    typedef struct packed {
        logic [2:0]  state;    // hashgate_defs_pkg::binding_state_e
        logic        fresh;    // written by CREATE, not since
        logic [9:0]  target;
        logic [6:0]  rule;
        logic [11:0] bucket;
        logic [15:0] expires;  // of the fast clock for HALF_OPEN and RESET, of the slow clock for the others
    } binding_record_t;
    localparam int unsigned BINDING_RECORD_BITS = $bits(binding_record_t);

    // A record is live: not FREE, and its clock has not reached `expires` (16-bit wrap-around).
    function automatic logic binding_live(input logic [2:0] state, input logic [15:0] expires, input logic [15:0] fast_now,
                                          input logic [15:0] slow_now);
        logic [15:0] passed;
        passed = ((state == BINDING_HALF_OPEN || state == BINDING_RESET) ? fast_now : slow_now) - expires;
        return state != BINDING_FREE && 1'(passed >> 15);
    endfunction

    // One of the two records that may be the answer to a packet.
    typedef struct packed {
        logic            live;
        logic            flag;
        binding_record_t record;
    } binding_candidate_t;

    // What a packet does.
    // One bit each: the operation comes late in its cycle.
    typedef enum logic [2:0] {
        BINDING_NONE   = 3'b000,
        BINDING_WRITE  = 3'b001,
        BINDING_CREATE = 3'b010,
        BINDING_DELETE = 3'b100
    } binding_op_e;

    // What is reported.
    typedef enum logic [1:0] {
        BINDING_CREATED = 2'd0,
        BINDING_CHANGED = 2'd1,
        BINDING_REMOVED = 2'd2,
        BINDING_REFUSED = 2'd3   // there was no room
    } binding_event_e;

    // What the host asks.
    typedef enum logic [2:0] {
        BINDING_FIND   = 3'd0,
        BINDING_INSERT = 3'd1,
        BINDING_REMOVE = 3'd2,
        BINDING_NEXT   = 3'd3,
        BINDING_ADD    = 3'd4,
        BINDING_SECOND = 3'd5
    } binding_host_e;

    // What the walk of the sweep sees: four sessions at a time, from 0 upwards, round after round.
    typedef struct packed {
        logic             empty;   // no session was ever handed out: nothing is walked
        logic             take;    // a four is read; `valid` comes later
        logic             valid;
        logic             first;   // of a round
        logic [3:0]       live;
        logic [3:0][6:0]  rule;
        logic [3:0][11:0] bucket;
    } binding_walk_t;

    // Cycles from key to answer.
    localparam int unsigned BINDING_TABLE_LATENCY = 10;

    // ---- inside the table -----------------------------------------------------------------------------------------
    // Steps of the mover's pipeline.
    typedef enum logic [2:0] {
        STEP_MOVE   = 3'd0,  // bring a stash entry into a way
        STEP_REMOVE = 3'd1,  // clear the slot of a session
        STEP_READ   = 3'd2,  // read a slot
        STEP_PEEK   = 3'd3,  // read a stash entry
        STEP_HASH   = 3'd4,  // hash the key of the host
        STEP_PAIR   = 3'd5   // a session has two keys from now on
    } step_e;
    // What a REMOVE is of. A session of two keys takes three steps.
    typedef enum logic [1:0] {
        PART_ALL   = 2'd0,  // a session of one key
        PART_WATCH = 2'd1,  // looks at the slot of the second key, and keeps it
        PART_FIRST = 2'd2,  // decides on both keys and clears the slot of the first
        PART_CLEAR = 2'd3   // clears that of the second
    } part_e;
    // Who asked for a step, and with that the condition of STEP_REMOVE.
    typedef enum logic [1:0] {
        BY_SWEEP = 2'd0,  // the record is not live
        BY_UNDO  = 2'd1,  // the record is fresh, the row is the packet's
        BY_HOST  = 2'd2   // one of its keys is that of the host
    } source_e;

    // Filling of the hash tables: a word of one chunk, the same for all instances.
    typedef struct packed {
        logic       write;
        logic [5:0] chunk;
        logic [5:0] word;
    } hash_fill_t;
endpackage
`resetall
