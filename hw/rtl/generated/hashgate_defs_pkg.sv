// SPDX-License-Identifier: Apache-2.0
//
// hashgate_defs_pkg: verdicts, reasons, tables and entry layouts. Made by hw/defs/generate.py from hw/defs/hashgate.toml;
// do not edit.
`resetall
`default_nettype none
package hashgate_defs_pkg;
    typedef enum logic [1:0] {
        VERDICT_DISCARD = 2'd0,  // Dropped by the NIC.
        VERDICT_HOST    = 2'd1,  // To the host, on a receive queue or the control queue.
        VERDICT_PORT    = 2'd2  // Forwarded to a wire port.
    } verdict_e;

    typedef enum logic [5:0] {
        REASON_NONE              = 6'd0,  // Never counted.
        REASON_MAP               = 6'd1,  // A port rule and its bucket map decided.
        REASON_DEFAULT_HOST      = 6'd2,  // No port rule matched; the default rule's map decided.
        REASON_FRAGMENT_UNKNOWN  = 6'd3,  // Later fragment with unknown ports; the default rule's map decided.
        REASON_BEYOND_WINDOW     = 6'd4,  // Headers reach beyond the 128-byte window; the default rule's map decided.
        REASON_ICMP_ERROR        = 6'd5,  // ICMP error about a balanced connection; the connection's rule and map decided.
        REASON_ICMP_OWNER        = 6'd6,  // Other ICMP with icmp = owner; the default rule's map decided.
        REASON_DEDICATED         = 6'd7,  // Destination is a dedicated IP of this host.
        REASON_CONTROL           = 6'd8,  // Heartbeat, ARP or neighbour discovery.
        REASON_UNFILTERED        = 6'd9,  // Traffic that is not balanced passes to every host.
        REASON_BINDING           = 6'd10,  // A connection binding decided.
        REASON_AFFINITY          = 6'd11,  // An affinity binding decided.
        REASON_NOT_READY         = 6'd16,  // Tables are initialising or the receive path is disabled.
        REASON_NOT_MY_MAC        = 6'd17,  // Destination MAC is not ours, the cluster's, broadcast or a joined multicast.
        REASON_NOT_MY_IP         = 6'd18,  // Destination IP is not ours and other_ip = discard.
        REASON_LEASE_EXPIRED     = 6'd19,  // The lease has run out; VIP traffic is withdrawn.
        REASON_RULE_INVALID      = 6'd20,  // The rule has no valid entry.
        REASON_RULE_DISABLED     = 6'd21,  // The rule's mode is disabled (blocked).
        REASON_MAP_INVALID       = 6'd22,  // The rule's map was never committed.
        REASON_HANDOVER          = 6'd23,  // Mid-stream packet of a connection that may live on another member.
        REASON_NOBODY            = 6'd24,  // The bucket has no owner at the moment.
        REASON_TARGET_INVALID    = 6'd25,  // The owner has no valid target entry.
        REASON_TABLE_PARITY      = 6'd26,  // A table word that the frame needed had wrong parity.
        REASON_RULE_DRAINING     = 6'd27,  // A new session of a rule that is draining, for a target that binds here.
        REASON_VLAN_TOO_DEEP     = 6'd32,  // More than two VLAN tags.
        REASON_IP4_VERSION       = 6'd33,  // IPv4 EtherType, version field not 4.
        REASON_IP4_HEADER_LENGTH = 6'd34,  // IPv4 IHL below 5.
        REASON_IP4_TOTAL_LENGTH  = 6'd35,  // IPv4 total length shorter than the header.
        REASON_IP4_CHECKSUM      = 6'd36,  // IPv4 header checksum wrong.
        REASON_IP6_VERSION       = 6'd37,  // IPv6 EtherType, version field not 6.
        REASON_IP6_EXTENSION     = 6'd38,  // An IPv6 extension header does not fit the payload.
        REASON_L4_TRUNCATED      = 6'd39,  // Payload shorter than the layer-4 header.
        REASON_TCP_DATA_OFFSET   = 6'd40,  // TCP data offset below 5 or beyond the payload.
        REASON_TCP_SYN_FIN       = 6'd41,  // TCP SYN and FIN together.
        REASON_TCP_SYN_RST       = 6'd42,  // TCP SYN and RST together.
        REASON_UDP_LENGTH        = 6'd43,  // UDP length below 8 or beyond the payload.
        REASON_FRAME_ERROR       = 6'd48,  // The MAC marked the frame (FCS, coding).
        REASON_RUNT              = 6'd49,  // Shorter than 60 bytes without FCS.
        REASON_OVERSIZE          = 6'd50,  // Longer than 9022 bytes without FCS.
        REASON_TRUNCATED         = 6'd51,  // The frame ends before the IP length.
        REASON_HOST_FULL         = 6'd56,  // The buffer to the host has no room.
        REASON_CONTROL_FULL      = 6'd57,  // The control buffer to the host has no room.
        REASON_PORT_FULL         = 6'd58  // The buffer to the wire port has no room.
    } reason_e;

    typedef enum logic [3:0] {
        TABLE_ZONE          = 4'd0,  // index = 4096 x port + VLAN
        TABLE_MAC           = 4'd1,  // index = 256 x way + row
        TABLE_VIP           = 4'd2,  // index = 256 x way + row
        TABLE_MATCH         = 4'd3,  // index = slot
        TABLE_RULE          = 4'd4,  // index = rule; the default rule has index RULES
        TABLE_TARGET        = 4'd5,  // index = target id
        TABLE_MAP           = 4'd6,  // index = 2048 x map + bucket / 2
        TABLE_FLAGS         = 4'd7,  // index = 256 x map + bucket / 16; bit 2i HANDOVER, bit 2i+1 TRACK of bucket 16 x (index mod 256) + i
        TABLE_COUNT_REASON  = 4'd8,  // index = 64 x verdict + reason; read only
        TABLE_COUNT_RULE    = 4'd9,  // index = rule; read only
        TABLE_COUNT_TARGET  = 4'd10,  // index = target id; read only
        TABLE_COUNT_LIVE    = 4'd11,  // index = bucket; read only; filled by BIND_CENSUS
        TABLE_COUNT_REFUSED = 4'd12  // index = 4096 x (0 connection, 1 affinity) + bucket; read only
    } table_e;

    typedef enum logic [1:0] {
        VIP_KIND_VIP       = 2'd1,
        VIP_KIND_DEDICATED = 2'd2
    } vip_kind_e;

    typedef enum logic [1:0] {
        MODE_DISABLED = 2'd0,
        MODE_MULTIPLE = 2'd1,
        MODE_SINGLE   = 2'd2
    } mode_e;

    typedef enum logic [1:0] {
        TRACK_NEVER   = 2'd0,
        TRACK_FLAGGED = 2'd1,
        TRACK_ALWAYS  = 2'd2
    } track_e;

    typedef enum logic [1:0] {
        ACTION_DISCARD = 2'd0,
        ACTION_DELIVER = 2'd1,
        ACTION_FORWARD = 2'd2
    } action_e;

    typedef enum logic [2:0] {
        BINDING_STATE_FREE        = 3'd0,
        BINDING_STATE_HALF_OPEN   = 3'd1,
        BINDING_STATE_ESTABLISHED = 3'd2,
        BINDING_STATE_CLOSING     = 3'd3,
        BINDING_STATE_RESET       = 3'd4,
        BINDING_STATE_FLOW        = 3'd5
    } binding_state_e;

    // Stride: words per entry in the address space. Words: words an entry really has; the others read 0.
    localparam int unsigned TABLE_ZONE_STRIDE = 1;
    localparam int unsigned TABLE_ZONE_WORDS = 1;
    localparam int unsigned TABLE_MAC_STRIDE = 2;
    localparam int unsigned TABLE_MAC_WORDS = 2;
    localparam int unsigned TABLE_VIP_STRIDE = 8;
    localparam int unsigned TABLE_VIP_WORDS = 5;
    localparam int unsigned TABLE_MATCH_STRIDE = 2;
    localparam int unsigned TABLE_MATCH_WORDS = 2;
    localparam int unsigned TABLE_RULE_STRIDE = 8;
    localparam int unsigned TABLE_RULE_WORDS = 6;
    localparam int unsigned TABLE_TARGET_STRIDE = 2;
    localparam int unsigned TABLE_TARGET_WORDS = 2;
    localparam int unsigned TABLE_MAP_STRIDE = 1;
    localparam int unsigned TABLE_MAP_WORDS = 1;
    localparam int unsigned TABLE_FLAGS_STRIDE = 1;
    localparam int unsigned TABLE_FLAGS_WORDS = 1;
    localparam int unsigned TABLE_COUNT_REASON_STRIDE = 4;
    localparam int unsigned TABLE_COUNT_REASON_WORDS = 4;
    localparam int unsigned TABLE_COUNT_RULE_STRIDE = 4;
    localparam int unsigned TABLE_COUNT_RULE_WORDS = 4;
    localparam int unsigned TABLE_COUNT_TARGET_STRIDE = 4;
    localparam int unsigned TABLE_COUNT_TARGET_WORDS = 4;
    localparam int unsigned TABLE_COUNT_LIVE_STRIDE = 1;
    localparam int unsigned TABLE_COUNT_LIVE_WORDS = 1;
    localparam int unsigned TABLE_COUNT_REFUSED_STRIDE = 1;
    localparam int unsigned TABLE_COUNT_REFUSED_WORDS = 1;
    // Bit per table id: the table has an active and a shadow bank.
    localparam logic [15:0] TABLES_SHADOWED = 16'h007f;

    // Entries; word 0 is in bits [31:0]. reserved_<n> starts at bit n.
    typedef struct packed {
        logic [23:0] reserved_8;  // reads 0
        logic [7:0]  zone;  // Zone of frames received on the port with the VLAN.
    } zone_entry_t;

    typedef struct packed {
        logic        valid;  // The slot holds an address.
        logic [14:0] reserved_48;  // reads 0
        logic [15:0] mac_high;  // The same, high part.
        logic [31:0] mac_low;  // MAC address as a 48-bit number (first wire byte most significant), low part.
    } mac_entry_t;

    typedef struct packed {
        logic [31:0] addr3;  // Address bits 127:96.
        logic [31:0] addr2;  // Address bits 95:64.
        logic [31:0] addr1;  // Address bits 63:32.
        logic [31:0] addr0;  // Address bits 31:0; all of an IPv4 address.
        logic        valid;  // The slot holds an address.
        vip_kind_e   kind;  // Balanced or dedicated.
        logic        v6;  // The address is IPv6.
        logic [7:0]  zone;  // Zone in which the address is known.
        logic [10:0] reserved_9;  // reads 0
        logic [8:0]  id;  // VIP id that match slots refer to.
    } vip_entry_t;

    typedef struct packed {
        logic        valid;  // The slot is in use.
        logic        any_vip;  // Matches every VIP; a slot that names one comes first.
        logic        tcp;  // Matches TCP (and GRE as port 1723).
        logic        udp;  // Matches UDP (and ESP, AH as port 500).
        logic        fragment;  // Takes later fragments of its protocols, whatever the ports.
        logic [1:0]  reserved_57;  // reads 0
        logic [8:0]  vip;  // VIP id, unless any_vip.
        logic [8:0]  reserved_39;  // reads 0
        logic [6:0]  rule;  // Rule of what matches.
        logic [15:0] port_high;  // Last destination port.
        logic [15:0] port_low;  // First destination port.
    } match_entry_t;

    typedef struct packed {
        logic [15:0] time_affinity;  // Time-out of an affinity binding, in slow ticks, 1..32767.
        logic [15:0] time_flow;  // Time-out of a binding of UDP, GRE, ESP or AH, in slow ticks, 1..32767.
        logic [15:0] time_closing;  // Time-out of a connection after FIN, in slow ticks, 1..32767.
        logic [15:0] time_established;  // Time-out of an established connection, in slow ticks, 1..32767.
        logic [15:0] time_reset;  // Time-out of a connection after RST, in fast ticks, 1..32767.
        logic [15:0] time_half_open;  // Time-out of a half-open connection, in fast ticks, 1..32767.
        logic [12:0] reserved_83;  // reads 0
        logic        binding_dport;  // Destination port in the binding key.
        logic        binding_sport;  // Source port in the binding key.
        logic        binding_dst;  // Destination address in the binding key.
        logic [7:0]  binding_src6;  // Leading bits of an IPv6 source address in the binding key, 0..128.
        logic [1:0]  reserved_70;  // reads 0
        logic [5:0]  binding_src4;  // Leading bits of an IPv4 source address in the binding key, 0..32.
        logic [12:0] reserved_51;  // reads 0
        logic        bucket_dport;  // Destination port in the bucket key.
        logic        bucket_sport;  // Source port in the bucket key.
        logic        bucket_dst;  // Destination address in the bucket key.
        logic [7:0]  bucket_src6;  // Leading bits of an IPv6 source address in the bucket key, 0..128.
        logic [1:0]  reserved_38;  // reads 0
        logic [5:0]  bucket_src4;  // Leading bits of an IPv4 source address in the bucket key, 0..32.
        logic        valid;  // The rule is in use.
        logic [6:0]  reserved_24;  // reads 0
        logic [7:0]  group;  // Binding group: the protocol in binding keys, so that rules can share affinity bindings.
        logic [0:0]  reserved_15;  // reads 0
        logic [6:0]  map;  // Bucket map.
        logic [0:0]  reserved_7;  // reads 0
        logic        affinity;  // Sessions also get an affinity binding under the binding key.
        track_e      track;  // Which sessions get a connection binding.
        logic [0:0]  reserved_3;  // reads 0
        logic        draining;  // No new sessions for targets that bind here.
        mode_e       mode;  // Disabled discards.
    } rule_entry_t;

    typedef struct packed {
        logic [5:0]  reserved_58;  // reads 0
        logic [9:0]  clone_target;  // Second target (reserved).
        logic [15:0] edit_index;  // Edit record (reserved).
        logic        valid;  // The target is in use.
        logic [10:0] reserved_20;  // reads 0
        logic        edit;  // Frames are edited by edit_index (reserved).
        logic        clone;  // Frames also go to clone_target (reserved).
        logic        draining;  // Absent from the maps; its bindings live on, but new sessions leave it.
        logic        bind_;  // Its sessions get a binding.
        logic [7:0]  host_queue;  // Receive queue of deliver.
        logic [2:0]  reserved_5;  // reads 0
        logic        port;  // Wire port of forward.
        logic [1:0]  reserved_2;  // reads 0
        action_e     action;  // What ownership by this target means on this NIC.
    } target_entry_t;

    typedef struct packed {
        logic [5:0]  reserved_26;  // reads 0
        logic [9:0]  owner_odd;  // Target that owns the odd bucket; 1023 is nobody.
        logic [5:0]  reserved_10;  // reads 0
        logic [9:0]  owner_even;  // Target that owns the even bucket; 1023 is nobody.
    } map_entry_t;

    typedef struct packed {
        logic [31:0] flags;  // HANDOVER and TRACK of 16 buckets.
    } flags_entry_t;

    typedef struct packed {
        logic [31:0] bytes_high;  // Bytes without FCS, high part.
        logic [31:0] bytes_low;  // Bytes without FCS, low part.
        logic [31:0] packets_high;  // Packets, high part.
        logic [31:0] packets_low;  // Packets, low part; reading it latches the other words.
    } count_reason_entry_t;

    typedef struct packed {
        logic [31:0] bytes_high;  // Bytes without FCS, high part.
        logic [31:0] bytes_low;  // Bytes without FCS, low part.
        logic [31:0] packets_high;  // Packets, high part.
        logic [31:0] packets_low;  // Packets, low part; reading it latches the other words.
    } count_rule_entry_t;

    typedef struct packed {
        logic [31:0] bytes_high;  // Bytes without FCS, high part.
        logic [31:0] bytes_low;  // Bytes without FCS, low part.
        logic [31:0] packets_high;  // Packets, high part.
        logic [31:0] packets_low;  // Packets, low part; reading it latches the other words.
    } count_target_entry_t;

    typedef struct packed {
        logic [14:0] reserved_17;  // reads 0
        logic [16:0] bindings;  // Live bindings that the census found.
    } count_live_entry_t;

    typedef struct packed {
        logic [31:0] bindings;  // Bindings that found no room; wraps.
    } count_refused_entry_t;
endpackage
`resetall
