// SPDX-License-Identifier: Apache-2.0
//
// binding_sweep, for proofs of the table: asks for the removal of any session at any time, as a sweep or as an undo of any
// row. Whatever the real one asks for is among that; the step that does it decides again.
`resetall
`default_nettype none
module binding_sweep
    import binding_pkg::*;
#(
    parameter int unsigned SESSIONS = 65536,
    parameter int unsigned ROW_BITS = 14
) (
    input  wire logic                           clk,
    input  wire logic                           rst,
    input  wire logic [15:0]                    fast_now_i,
    input  wire logic [15:0]                    slow_now_i,
    input  wire logic [$clog2(SESSIONS):0]      issued_i,
    input  wire logic                           undo_valid_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    undo_session_i,
    input  wire logic [ROW_BITS-1:0]            undo_row_i,
    output logic                                undo_lost_o,
    input  wire logic                           hold_i,
    output binding_walk_t                       walk_o,
    output logic                                scan_o,
    input  wire logic                           scan_take_i,
    output logic [$clog2(SESSIONS)-1:0]         scan_session_o,
    input  wire logic                           scan_valid_i,
    input  wire logic [3:0][BINDING_RECORD_BITS+1:0] scan_records_i,
    output logic                                request_o,
    input  wire logic                           take_i,
    output source_e                             source_o,
    output logic [$clog2(SESSIONS)-1:0]         session_o,
    output logic [ROW_BITS-1:0]                 row_o,
    input  wire logic                           result_i,
    input  wire source_e                        result_source_i,
    input  wire logic [$clog2(SESSIONS)-1:0]    result_asked_i,
    input  wire logic                           result_refused_i,
    input  wire logic                           result_match_i,
    input  wire logic                           result_near_i,
    input  wire logic                           result_done_i,
    input  wire logic                           result_own_i,
    input  wire logic                           result_fresh_i
);
    // Nobody drives these: any value in any cycle.
    wire logic                        request, undo;
    wire logic [$clog2(SESSIONS)-1:0] session;
    wire logic [ROW_BITS-1:0]         row;
    assign undo_lost_o    = 1'b0;
    assign walk_o         = '0;
    assign scan_o         = 1'b0;
    assign scan_session_o = '0;
    assign request_o      = request;
    assign source_o       = undo ? BY_UNDO : BY_SWEEP;
    assign session_o      = session;
    assign row_o          = row;
endmodule
`resetall
