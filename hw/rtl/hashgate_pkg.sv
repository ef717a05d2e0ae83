// SPDX-License-Identifier: Apache-2.0
//
// hashgate_pkg: types and latencies of the pipeline, derived from the build parameters and the generated definitions.
`resetall
`default_nettype none
package hashgate_pkg;
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;

    // ---- stream -------------------------------------------------------------------------------------------------
    localparam int unsigned BEAT_BITS = 8 * BEAT_BYTES;
    // Frame limits in bytes without FCS.
    localparam int unsigned MIN_FRAME = 60;
    localparam int unsigned MAX_FRAME = 9022;
    // Beats of the longest frame that can enter a buffer (an oversize frame is cut on the beat that passes the limit).
    localparam int unsigned MAX_BEATS = (MAX_FRAME + 4) / BEAT_BYTES + 2;
    localparam int unsigned WINDOW_BYTES = 128;
    localparam int unsigned WINDOW_BEATS = WINDOW_BYTES / BEAT_BYTES;
    localparam int unsigned WINDOW_BITS = 8 * WINDOW_BYTES;
    // Buffers to the host and to the wire, in beats: 32 KB of data, 32 KB (at least three frames) of control.
    localparam int unsigned DATA_BUFFER_BEATS = 32768 / BEAT_BYTES;
    localparam int unsigned CONTROL_BUFFER_BEATS = 32768 / BEAT_BYTES;

    typedef logic [BEAT_BITS-1:0] beat_data_t;
    typedef logic [BEAT_BYTES-1:0] beat_keep_t;
    typedef logic [13:0] length_t;
    typedef logic [((PORTS > 1) ? $clog2(PORTS) : 1)-1:0] port_t;

    // ---- identifiers --------------------------------------------------------------------------------------------
    typedef logic [47:0] mac_t;
    typedef logic [7:0] zone_t;
    typedef logic [8:0] vip_id_t;
    typedef logic [6:0] rule_t;
    typedef logic [6:0] map_t;
    typedef logic [11:0] bucket_t;
    typedef logic [9:0] target_t;
    typedef logic [7:0] queue_t;
    localparam target_t NOBODY = '1;
    // A binding, and a row of a way of its table (four ways, as many slots as bindings).
    localparam int unsigned SESSION_BITS = $clog2(SESSIONS);
    typedef logic [SESSION_BITS-1:0] session_t;
    typedef logic [SESSION_BITS-3:0] binding_row_t;

    // ---- configuration bus: register access to tables -------------------------------------------------------------
    // A request is taken in the cycle it is valid by the table it names; a read answers CFG_LATENCY cycles later, all
    // other tables drive zero. `address` is {entry, word} with the table's stride. `active` reads the active bank.
    localparam int unsigned CFG_LATENCY = 4;
    typedef logic [19:0] cfg_address_t;
    typedef struct packed {
        logic         write;
        logic         read;
        table_e       id;
        logic         bank;      // bank to access, resolved by the commit unit
        cfg_address_t address;
        logic [31:0]  data;
        logic         bad_parity;  // store this word with wrong parity (error injection)
    } cfg_req_t;

    // Initialisation: `address` counts 0 .. INIT_DEPTH-1, every memory with that address clears its word. The deepest
    // memories are the flags (256 words a map) and the zones (two banks of 4096 a port).
    localparam int unsigned INIT_BITS = 15;
    localparam int unsigned INIT_DEPTH = (MAPS * 256 > PORTS * 8192) ? MAPS * 256 : PORTS * 8192;
    typedef struct packed {
        logic                 active;
        logic [INIT_BITS-1:0] address;
    } init_t;

    // ---- settings from registers ------------------------------------------------------------------------------------
    typedef struct packed {
        logic       enable;
        logic       icmp_owner;
        logic [1:0] other_ip;  // 0 deliver, 1 discard, 2 balance
        logic       promiscuous;
        logic       all_multicast;
        logic       mask_source;
        mac_t       station_mac;
        mac_t       cluster_mac;
        mac_t       mask_mac;
        logic [415:0] hash_key;  // first key byte in [415:408]
    } settings_t;

    // ---- pipeline latencies in cycles ---------------------------------------------------------------------------------
    // Each module asserts or derives its own; the sum is readable as BUILD0.latency and measured by the bench.
    localparam int unsigned EXACT_LATENCY = 7;      // exact_table: hash 2, memory 2, compare 2, select 1
    localparam int unsigned ZONE_LATENCY = 3;       // zone_table: memory 2, parity 1
    localparam int unsigned PARSE_LATENCY = 16;     // parser
    localparam int unsigned FRAGMENT_LATENCY = 3;   // fragment_stage (reserved for the fragment table)
    localparam int unsigned MATCH_LATENCY = 5;      // rule_match
    localparam int unsigned RULE_LATENCY = 2;       // rule_table
    localparam int unsigned MASK_LATENCY = 1;       // key_mask
    localparam int unsigned HASH_LATENCY = 2;       // toeplitz
    localparam int unsigned MAP_LATENCY = 4;        // bucket_map
    localparam int unsigned BINDING_LATENCY = 11;   // binding_stage, beside hash and map
    localparam int unsigned TARGET_LATENCY = 3;     // target_table
    localparam int unsigned VERDICT_LATENCY = 2;    // verdict
    localparam int unsigned EDIT_LATENCY = 6;       // edit_stage (reserved for rewriting and encapsulation)

    // ---- what the stages hand on ----------------------------------------------------------------------------------------
    // Key of a packet: addresses of IPv4 in the low 32 bits, ports 0 where there are none.
    typedef struct packed {
        logic         v6;
        logic [127:0] src;
        logic [127:0] dst;
        logic [15:0]  sport;
        logic [15:0]  dport;
        logic [7:0]   protocol;
    } key_t;

    // Result of the parser.
    typedef struct packed {
        logic        ip;             // IPv4 or IPv6
        logic        control;        // 0x886F, ARP or neighbour discovery
        logic        malformed;
        reason_e     reason;         // class of the malformed header
        logic [16:0] min_length;     // shortest frame that holds the IP packet, 0 = not known
        key_t        key;            // of the embedded packet, reversed, if `embedded`
        logic        multicast_dst;  // IP destination is multicast or broadcast
        logic        embedded;       // key taken from the packet in an ICMP error
        logic        icmp;           // ICMP that cannot be keyed
        logic        beyond;         // headers beyond the window
        logic        later;          // later fragment: ports are not known
        logic        tcp;            // TCP whose flags are known
        logic        opening;        // TCP with SYN and without ACK
        logic        fin;            // of TCP
        logic        rst;
    } parsed_t;

    // The entry of the VIP table for the destination address.
    typedef struct packed {
        logic      hit;
        vip_kind_e kind;
        vip_id_t   id;
        logic      parity;  // a word of the look-up had wrong parity
    } vip_result_t;

    // What is decided before the rule table.
    typedef struct packed {
        logic    decided;      // verdict and reason are final but for late checks
        logic    to_host;      // verdict if decided: host, else discard
        logic    control;      // control queue
        reason_e reason;       // if decided; else what a balanced frame will carry
        logic    match;        // the port rule that matches takes it on, the default rule if none does; else the default rule
        logic    unknown;      // reason without a match: fragment-unknown, else default-host
        logic    handover;     // mid-stream TCP: a bucket with HANDOVER discards it
        logic    parity;       // a word with wrong parity was needed
    } early_t;

    // A binding that a frame made.
    typedef struct packed {
        logic         valid;
        session_t     session;
        binding_row_t row;      // of its key in way 0
    } made_t;

    // The decision on a frame, one for each, in order.
    typedef struct packed {
        verdict_e    verdict;
        reason_e     reason;
        logic        control;
        queue_t      host_queue;
        port_t       port;        // received from
        logic        out_port;
        logic        rule_valid;
        rule_t       rule;
        logic        bucket_valid;
        bucket_t     bucket;
        logic        target_valid;
        target_t     target;
        logic        parity;
        logic [16:0] min_length;
        logic        generation;  // of the tables that decided
        logic [1:0]  found;       // a live binding, by table: 0 connection, 1 affinity
        logic [1:0]  refused;     // there was no room for the binding that it would have made
        made_t       connection;  // binding that the frame made, to be taken back if a late check discards it
        made_t       affinity;
    } decision_t;

    // Cycles from the first beat of a one-beat frame on the wire to its first beat on the host stream.
    localparam int unsigned INGRESS_LATENCY = 2;
    localparam int unsigned WINDOW_LATENCY = 1;
    localparam int unsigned EGRESS_LATENCY = 8;  // verdict queue 2, pop 1, verdict 1, buffer to the host 4
    localparam int unsigned PIPELINE_LATENCY = INGRESS_LATENCY + WINDOW_LATENCY + PARSE_LATENCY + FRAGMENT_LATENCY
        + MATCH_LATENCY + RULE_LATENCY + MASK_LATENCY + BINDING_LATENCY + TARGET_LATENCY + VERDICT_LATENCY + EDIT_LATENCY
        + EGRESS_LATENCY;

    // Which bank of each shadowed table frames of a generation use.
    typedef struct packed {
        logic            zone;
        logic            mac;
        logic            vip;
        logic            match;
        logic            rule;
        logic            target;
        logic [MAPS-1:0] map;
        logic [MAPS-1:0] map_valid;
    } banks_t;
endpackage
`resetall
