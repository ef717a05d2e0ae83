// SPDX-License-Identifier: Apache-2.0
//
// binding_stash: keys that are not in a way: new ones, and those that gave their slot to another.
//
// Look-up  `key_i` is compared with the entries as they are in that cycle; `hit_o`, `session_o` four cycles later.
// Write    CREATE fills the entry `free_entry_o` (`create_held_i`: it is not offered to the mover yet); the mover swaps an entry for
//          another key. Both are there for look-ups of the next cycle, and so is the end of an entry (`place_i`, `direct_i`).
// Room     `room_o`, registered: an entry is free for a create in this cycle, whatever the creates of the two cycles before it.
// Mover    `pick_o`/`pick_entry_o`: an entry that waits; taken with `pick_take_i`, it is held until released (`give_up_i`,
//          `abort_i`, `kill_i`), swapped or freed. `read_*_o` is what `read_entry_i` holds, in the same cycle.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module binding_stash
    import binding_pkg::*;
#(
    // Entries, a power of two.
    parameter int unsigned ENTRIES = 32,
    // Bits of a session.
    parameter int unsigned SESSION_BITS = 16,
    // Bits of the rows of a key in all ways.
    parameter int unsigned HASH_BITS = 56
) (
    input  wire logic                       clk,
    input  wire logic                       rst,
    input  wire logic                       busy_i,
    // look-up
    input  wire binding_key_t               key_i,
    output logic                            hit_o,
    output logic [SESSION_BITS-1:0]         session_o,
    // new key
    output logic                            room_o,
    output logic [$clog2(ENTRIES)-1:0]      free_entry_o,
    input  wire logic                       create_i,
    input  wire logic                       create_held_i,
    input  wire binding_key_t               create_key_i,
    input  wire logic [SESSION_BITS-1:0]    create_session_i,
    input  wire logic                       create_second_i, // the second key of its session
    input  wire logic [HASH_BITS-1:0]       create_rows_i,
    // mover
    output logic                            pick_o,
    output logic [$clog2(ENTRIES)-1:0]      pick_entry_o,
    input  wire logic                       pick_take_i,
    input  wire logic [$clog2(ENTRIES)-1:0] read_entry_i,
    output binding_key_t                    read_key_o,
    output logic [SESSION_BITS-1:0]         read_session_o,
    output logic                            read_second_o,
    output logic [HASH_BITS-1:0]            read_rows_o,
    output logic [3:0]                      read_last_o,    // way it came from, one-hot
    input  wire logic                       place_i,
    input  wire logic [$clog2(ENTRIES)-1:0] place_entry_i,
    input  wire logic                       give_up_i,      // of place_entry_i
    input  wire logic                       swap_i,
    input  wire logic                       abort_i,        // of swap_entry_i
    input  wire logic [$clog2(ENTRIES)-1:0] swap_entry_i,
    input  wire binding_key_t               swap_key_i,
    input  wire logic [SESSION_BITS-1:0]    swap_session_i,
    input  wire logic                       swap_second_i,
    input  wire logic [HASH_BITS-1:0]       swap_rows_i,
    input  wire logic [3:0]                 swap_last_i,
    input  wire logic                       kill_i,
    input  wire logic [$clog2(ENTRIES)-1:0] kill_entry_i,
    input  wire logic                       direct_i,
    input  wire logic [$clog2(ENTRIES)-1:0] direct_entry_i,
    // state
    output logic [ENTRIES-1:0]              valid_o,
    output logic [$clog2(ENTRIES):0]        used_o
);
    localparam int unsigned ENTRY_BITS = $clog2(ENTRIES);
    localparam int unsigned KEY_BITS = BINDING_KEY_BITS;
    localparam int unsigned GROUPS = (KEY_BITS + 17) / 18;
    typedef logic [ENTRY_BITS-1:0] entry_t;
    typedef logic [ENTRIES-1:0] entries_t;

    function automatic entries_t onehot(input logic valid, input entry_t entry);
        onehot = '0;
        onehot[entry] = valid;
    endfunction
    function automatic entry_t first(input entries_t which);
        first = '0;
        for (int i = ENTRIES - 1; i >= 0; i--) if (which[i]) first = entry_t'(i);
    endfunction

    // ---- which entries are used, and which wait for the mover ----------------------------------------------------------
    entries_t valid_q, held_q;
    entries_t created, placed, directed, released, taken, swapped;
    entry_t   free_q;
    logic     free_any_q;
    assign created  = onehot(create_i, free_q);
    assign placed   = onehot(place_i, place_entry_i);
    assign directed = onehot(direct_i, direct_entry_i);
    assign swapped  = onehot(swap_i, swap_entry_i);
    assign taken    = onehot(pick_take_i, pick_entry_o);
    assign released = onehot(give_up_i, place_entry_i) | onehot(abort_i, swap_entry_i) | onehot(kill_i, kill_entry_i) | swapped;
    assign valid_o  = valid_q;

    // Free entries wait in `open_q`, one of them in `next_q`, one is offered.
    entries_t open_q, open_first;
    entry_t   next_q;
    logic     next_any_q, fetch, offer;
    assign open_first = open_q & (~open_q + 1'b1);
    assign offer      = next_any_q && (create_i || !free_any_q);
    assign fetch      = !next_any_q || offer;

    logic [ENTRY_BITS:0] used_q, used_next;
    assign used_next    = used_q + (ENTRY_BITS + 1)'(create_i) - (ENTRY_BITS + 1)'(place_i) - (ENTRY_BITS + 1)'(direct_i);
    assign used_o       = used_q;
    assign free_entry_o = free_q;
    always_ff @(posedge clk) begin
        valid_q <= (valid_q | created) & ~placed & ~directed;
        held_q  <= (held_q | taken | (create_held_i ? created : '0)) & ~released & ~(create_held_i ? '0 : created);
        if (create_i || !free_any_q) begin
            free_q     <= next_q;
            free_any_q <= next_any_q;
        end
        if (fetch) begin
            next_q     <= first(open_q);
            next_any_q <= |open_q;
        end
        open_q <= (open_q & ~(fetch ? open_first : '0)) | placed | directed;
        used_q <= used_next;
        // One more may be created in this cycle, and one in the next.
        room_o <= used_q + (ENTRY_BITS + 1)'(create_i) <= (ENTRY_BITS + 1)'(ENTRIES - 2) && !busy_i;
        if (rst) begin
            valid_q    <= '0;
            held_q     <= '0;
            free_q     <= '0;
            free_any_q <= 1'b0;
            next_any_q <= 1'b0;
            open_q     <= '1;
            used_q     <= '0;
            room_o     <= 1'b0;
        end
    end

    // ---- the next one for the mover: the first of each group of four (far apart, as low entries are used first); of the groups, the first from a pointer on. A group that was
    //      picked from is out of date for a cycle.
    localparam int unsigned PICKS = ENTRIES / 4;
    logic [PICKS-1:0]      group_any_q, group_ready, group_above, above_q, stale_q, group_pick;
    logic [PICKS-1:0][1:0] group_first_q;
    assign group_ready = group_any_q & ~stale_q;
    assign group_above = group_ready & above_q;
    assign group_pick  = (|group_above) ? group_above & (~group_above + 1'b1) : group_ready & (~group_ready + 1'b1);
    assign pick_o      = |group_ready;
    always_comb begin
        pick_entry_o = '0;
        for (int g = 0; g < PICKS; g++) if (group_pick[g]) pick_entry_o |= {group_first_q[g], (ENTRY_BITS - 2)'(g)};
    end
    always_ff @(posedge clk) begin
        for (int g = 0; g < PICKS; g++) begin
            logic [3:0] waiting;
            for (int i = 0; i < 4; i++) waiting[i] = valid_q[PICKS*i+g] && !held_q[PICKS*i+g];
            group_any_q[g]   <= |waiting;
            group_first_q[g] <= waiting[0] ? 2'd0 : waiting[1] ? 2'd1 : waiting[2] ? 2'd2 : 2'd3;
            if (|stale_q) above_q[g] <= |(stale_q & PICKS'((1 << g) - 1));
        end
        stale_q <= pick_take_i ? group_pick : '0;
        if (rst) begin
            above_q     <= '0;
            group_any_q <= '0;
        end
    end

    // ---- content: registers to compare, LUT RAM for the mover, one for each of the two writers --------------------------------
    binding_key_t            entry_key[ENTRIES];
    logic [SESSION_BITS-1:0] entry_session[ENTRIES];
    always_ff @(posedge clk) begin
        for (int i = 0; i < ENTRIES; i++) begin
            if (created[i] || swapped[i]) begin
                entry_key[i]     <= swapped[i] ? swap_key_i : create_key_i;
                entry_session[i] <= swapped[i] ? swap_session_i : create_session_i;
            end
        end
    end

    localparam int unsigned CONTENT_BITS = KEY_BITS + SESSION_BITS + 1 + HASH_BITS + 4;
    logic [CONTENT_BITS-1:0] of_create[ENTRIES], of_swap[ENTRIES];
    logic [CONTENT_BITS-1:0] content;
    entries_t                by_swap_q;
    always_ff @(posedge clk) begin
        if (create_i) of_create[free_q] <= {create_key_i, create_session_i, create_second_i, create_rows_i, 4'd0};
        if (swap_i) of_swap[swap_entry_i] <= {swap_key_i, swap_session_i, swap_second_i, swap_rows_i, swap_last_i};
        by_swap_q <= (by_swap_q | swapped) & ~created;
    end
    assign content = by_swap_q[read_entry_i] ? of_swap[read_entry_i] : of_create[read_entry_i];
    assign {read_key_o, read_session_o, read_second_o, read_rows_o, read_last_o} = content;

    // ---- compare: groups of 18 bits, entries, session ------------------------------------------------------------------------
    logic [ENTRIES-1:0][GROUPS-1:0]       same_q;
    entries_t                             valid_1, hit_2;
    logic [ENTRIES-1:0][SESSION_BITS-1:0] session_1, session_2;
    logic [SESSION_BITS-1:0]              session_next, session_3;
    logic                                 hit_3;
    always_comb begin
        session_next = '0;
        for (int i = 0; i < ENTRIES; i++) session_next |= session_2[i] & {SESSION_BITS{hit_2[i]}};
    end
    always_ff @(posedge clk) begin
        for (int i = 0; i < ENTRIES; i++) begin
            logic [18*GROUPS-1:0] difference;
            difference = (18 * GROUPS)'(entry_key[i] ^ key_i);
            for (int g = 0; g < GROUPS; g++) same_q[i][g] <= ~|difference[18*g +: 18];
            session_1[i] <= entry_session[i];
            hit_2[i]     <= valid_1[i] && &same_q[i];
        end
        valid_1   <= valid_q;
        session_2 <= session_1;
        hit_3     <= |hit_2;
        session_3 <= session_next;
        hit_o     <= hit_3;
        session_o <= session_3;
    end

    `HG_ASSERT(no_overflow, !create_i || (free_any_q && !valid_q[free_q]))
    `HG_ASSERT(one_key_once, (hit_2 & (hit_2 - 1'b1)) == '0)
    `HG_ASSERT(swap_held, !(swap_i || abort_i) || (valid_q[swap_entry_i] && held_q[swap_entry_i]))
    `HG_ASSERT(place_held, !(place_i || give_up_i) || (valid_q[place_entry_i] && held_q[place_entry_i]))
    `HG_ASSERT(direct_held, !direct_i || (valid_q[direct_entry_i] && held_q[direct_entry_i]))
endmodule
`resetall
