// SPDX-License-Identifier: Apache-2.0
//
// binding_stage_pkg: what lies between the binding tables, the pipeline and the registers.
`resetall
`default_nettype none
package binding_stage_pkg;
    import binding_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;

    // Time in ticks of the fast or slow clock.
    typedef logic [15:0] ticks_t;

    // What the host asks of a table, and the answer. A request is held until `done`.
    typedef struct packed {
        logic          request;
        binding_host_e op;
        session_t      session;
        binding_record_t record;
        binding_key_t  key;
    } host_request_t;
    typedef struct packed {
        logic         done;
        logic         ok;
        logic         again;    // packets with the key are under way, or a key is on the move
        logic         full;
        logic         present;  // ADD: the key is there
        logic         ended;    // ADD: the session is not
        logic         two;      // the session has two keys
        session_t     session;
        binding_record_t record;
        binding_key_t key;
    } host_answer_t;

    // What is to be counted.
    typedef struct packed {
        logic  start;
        logic  affinity;   // in the affinity table
        logic  every;      // of every rule
        rule_t rule;
    } census_request_t;

    // What is reported.
    typedef struct packed {
        binding_event_e kind;
        logic           renewed;  // CREATED in the place of one that had ended, of which no REMOVED tells
        session_t       session;
        binding_record_t record;
        binding_key_t   key;
    } binding_event_t;

    // State of a table, and pulses to be counted.
    typedef struct packed {
        logic        ready;
        logic [16:0] used;
        logic [7:0]  stash;
        logic        move;
        logic        undo_lost;
        logic        parity;
    } binding_status_t;

    // How a packet looks to a binding.
    typedef struct packed {
        logic tcp;      // TCP whose flags are known
        logic opens;    // may open a session: SYN without ACK, or UDP, GRE, ESP, AH
        logic fin;
        logic rst;
        logic quiet;    // an ICMP error, or its ports or protocol are not known: it never changes a connection
        logic embedded; // an ICMP error: it never changes any binding
    } asks_t;

    // What is known of a packet when its bindings are, worked out a cycle before.
    typedef struct packed {
        logic    consult;       // the frame comes as far as the binding tables
        logic    tcp, opens, quiet, embedded;  // asks_t
        logic    opens_tcp;     // opens a connection of TCP
        logic    rst, fin;      // the first of them that counts
        logic    data;          // TCP that neither opens nor ends
        logic    sticky;        // consult, and the rule has affinity
        logic    owner_binds;
        logic    admits;        // the owner binds, and the rule is not draining
        logic    may_make;      // consult, opens, and the rule tracks
        logic    may_stick;     // sticky, opens and admits
        target_t owner;
        rule_t   rule;
        bucket_t bucket;
        // when a binding ends from now on: by the state it was in; that is made; of affinity
        ticks_t  if_half_open, if_closing, if_other, if_made, if_affinity;
    } decision_terms_t;

    // Which binding decided.
    typedef enum logic [1:0] {
        BOUND_NOT,
        BOUND_CONNECTION,
        BOUND_AFFINITY
    } bound_e;

    // Word of a key as registers show it (BIND_KEY).
    function automatic logic [31:0] key_word(input binding_key_t key, input int word);
        case (word)
            0, 1, 2, 3: key_word = key.src[32*word +: 32];
            4, 5, 6, 7: key_word = key.dst[32*(word-4) +: 32];
            8:          key_word = {key.dport, key.sport};
            default:    key_word = {15'b0, key.v6, key.zone, key.protocol};
        endcase
    endfunction
endpackage
`resetall
