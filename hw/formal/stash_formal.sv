// SPDX-License-Identifier: Apache-2.0
//
// stash_formal: a key is written to the stash only where an entry is free, as long as creates obey `room_o` and the mover
// ends only what it holds (which the proofs of the table show). Unbounded.
//
// Every entry is in one place: used, offered, next to be offered, or open.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module stash_formal
    import binding_pkg::*;
#(
    parameter int unsigned ENTRIES = 8,
    localparam int unsigned ENTRY_BITS = $clog2(ENTRIES)
) (
    input wire logic                  clk,
    input wire logic                  rst,
    input wire logic                  busy,
    input wire logic                  create,
    input wire logic                  create_held,
    input wire binding_key_t          key,
    input wire logic                  take,
    input wire logic                  place,
    input wire logic                  give_up,
    input wire logic [ENTRY_BITS-1:0] place_entry,
    input wire logic                  swap,
    input wire logic                  abort,
    input wire logic [ENTRY_BITS-1:0] swap_entry,
    input wire logic                  kill,
    input wire logic [ENTRY_BITS-1:0] kill_entry,
    input wire logic                  direct,
    input wire logic [ENTRY_BITS-1:0] direct_entry
);
    logic started = 1'b0;
    always_ff @(posedge clk) started <= 1'b1;
    assume property (@(posedge clk) started || rst);

    logic                  room, room_q, pick, room_1;
    logic [ENTRY_BITS-1:0] free_entry, pick_entry;
    logic [ENTRIES-1:0]    valid;
    logic [ENTRY_BITS:0]   used;
    binding_stash #(.ENTRIES(ENTRIES), .SESSION_BITS(1), .HASH_BITS(4)) dut (
        .clk, .rst, .busy_i(busy), .key_i(key), .hit_o(), .session_o(), .room_o(room), .free_entry_o(free_entry), .create_i(create),
        .create_held_i(create_held && create), .create_key_i(key), .create_session_i(1'b0), .create_rows_i('0), .pick_o(pick),
        .pick_entry_o(pick_entry), .pick_take_i(take), .read_entry_i(pick_entry), .read_key_o(), .read_session_o(), .read_rows_o(),
        .read_last_o(), .place_i(place), .place_entry_i(place_entry), .give_up_i(give_up), .swap_i(swap), .abort_i(abort),
        .swap_entry_i(swap_entry), .swap_key_i(key), .swap_session_i(1'b0), .swap_rows_i('0), .swap_last_i('0),
        .kill_i(kill), .kill_entry_i(kill_entry), .direct_i(direct), .direct_entry_i(direct_entry), .valid_o(valid), .used_o(used));
    always_ff @(posedge clk) room_q <= room && !rst;

    // A create was allowed in the cycle before it.
    assume property (@(posedge clk) !create || room_q);
    assume property (@(posedge clk) !take || pick);
    assume property (@(posedge clk) !(place || give_up) || (dut.valid_q[place_entry] && dut.held_q[place_entry]));
    assume property (@(posedge clk) !(swap || abort) || (dut.valid_q[swap_entry] && dut.held_q[swap_entry]));
    assume property (@(posedge clk) !direct || (dut.valid_q[direct_entry] && dut.held_q[direct_entry]));
    // One thing at a time happens to an entry.
    assume property (@(posedge clk) !(place && give_up) && !(swap && abort));
    assume property (@(posedge clk) !(place || give_up) || !direct || place_entry != direct_entry);
    assume property (@(posedge clk) !(place || give_up) || !(swap || abort) || place_entry != swap_entry);
    assume property (@(posedge clk) !direct || !(swap || abort) || direct_entry != swap_entry);
    // Keys are different: proven for the whole table.
    assume property (@(posedge clk) (dut.hit_2 & (dut.hit_2 - 1'b1)) == '0);

    logic [ENTRIES-1:0] offered, next;
    always_comb begin
        offered = '0;
        next    = '0;
        if (dut.free_any_q) offered[dut.free_q] = 1'b1;
        if (dut.next_any_q) next[dut.next_q] = 1'b1;
    end
    // What makes the induction close, and is worth knowing.
    `HG_ASSERT(one_place, (dut.valid_q ^ offered ^ next ^ dut.open_q) == '1
        && ((dut.valid_q & offered) | (dut.valid_q & next) | (dut.valid_q & dut.open_q) | (offered & next) | (offered & dut.open_q)
            | (next & dut.open_q)) == '0)
    `HG_ASSERT(used_counts, dut.used_q == (ENTRY_BITS + 1)'($countones(dut.valid_q)))
endmodule
`resetall
