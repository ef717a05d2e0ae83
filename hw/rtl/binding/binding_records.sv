// SPDX-License-Identifier: Apache-2.0
//
// binding_records: the records, twice: for look-ups, and for everything else.
//
// Clear    four sessions a cycle are marked as not used; nothing else comes then.
// Write    one a cycle, both copies; the session counts as used from then on.
// Look-up  session in cycle t, {parity, record} in t + 2.
// Other    session in t, {parity, used, record} in t + 2 (`other_records_o`: of all four sessions that differ in the low two bits). `access_i` always goes; `unused_i` (marks a session as not used) comes in cycles
//          without `access_i`; `scan_i` goes in the cycles that are left, when `scan_take_o` says so, and answers with `scan_valid_o`.
// Misuse   `access_i` and `unused_i` in one cycle; write and `unused_i` of one session in one cycle.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module binding_records
    import binding_pkg::*;
#(
    // Sessions.
    parameter int unsigned SESSIONS = 65536
) (
    input  wire logic                           clk,
    input  wire logic                           rst,
    input  wire logic                           clear_i,
    input  wire logic [$clog2(SESSIONS)-3:0]    clear_four_i,
    input  wire logic                           write_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    write_session_i,
    input  wire binding_record_t                write_record_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    lookup_session_i,
    output logic [BINDING_RECORD_BITS:0]        lookup_record_o,
    input  wire logic                           access_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    access_session_i,
    input  wire logic                           unused_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    unused_session_i,
    input  wire logic                           scan_i,
    output logic                                scan_take_o,
    input  wire logic [$clog2(SESSIONS)-1:0]    scan_session_i,
    output logic                                scan_valid_o,
    output logic [BINDING_RECORD_BITS+1:0]      other_record_o,
    output logic [3:0][BINDING_RECORD_BITS+1:0] other_records_o
);
    logic parity;
    assign parity = ^write_record_i;
    binding_ram #(.WIDTH(BINDING_RECORD_BITS + 1), .DEPTH(SESSIONS)) u_lookup (
        .clk, .write_i, .write_address_i(write_session_i), .write_data_i({parity, write_record_i}),
        .read_address_i(lookup_session_i), .read_data_o(lookup_record_o));

    // Four banks, so that the sweep sees four sessions at a time.
    logic                        taken_q;
    logic [1:0]                  bank_1, bank_2;
    logic [$clog2(SESSIONS)-1:0] session;
    assign session = clear_i ? {clear_four_i, 2'd0} : access_i ? access_session_i : unused_i ? unused_session_i : scan_session_i;
    for (genvar b = 0; b < 4; b++) begin : gen_bank
        logic [BINDING_RECORD_BITS+1:0] written_unused;
        binding_ram2 #(.WIDTH(BINDING_RECORD_BITS + 2), .DEPTH(SESSIONS / 4)) u_other (
            .clk, .a_write_i(write_i && write_session_i[1:0] == 2'(b)), .a_address_i(write_session_i[$clog2(SESSIONS)-1:2]),
            .a_data_i({!parity, 1'b1, write_record_i}), .a_data_o(written_unused),
            .b_write_i(clear_i || (unused_i && unused_session_i[1:0] == 2'(b))), .b_address_i(session[$clog2(SESSIONS)-1:2]),
            .b_data_i('0), .b_data_o(other_records_o[b]));
        wire logic unused = &{1'b0, written_unused};
    end
    assign other_record_o = other_records_o[bank_2];
    assign scan_take_o = scan_i && !access_i && !unused_i;
    always_ff @(posedge clk) begin
        taken_q      <= scan_take_o;
        bank_1       <= session[1:0];
        bank_2       <= bank_1;
        scan_valid_o <= taken_q;
        if (rst) begin
            taken_q      <= 1'b0;
            scan_valid_o <= 1'b0;
        end
    end
    `HG_ASSERT(clear_alone, !(clear_i && (write_i || access_i || unused_i || scan_i)))
    `HG_ASSERT(one_user, !(access_i && unused_i))
    `HG_ASSERT(not_both, !(write_i && unused_i && write_session_i == unused_session_i))
endmodule
`resetall
