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
    // Buffers to the host and to the wire, in beats: 32 KB of data, 16 KB (at least two frames) of control.
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

    // Initialisation: `address` counts 0 .. INIT_DEPTH-1, every memory with that address clears its word.
    localparam int unsigned INIT_BITS = 15;
    localparam int unsigned INIT_DEPTH = 2 ** INIT_BITS;
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
