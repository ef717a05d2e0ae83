// SPDX-License-Identifier: Apache-2.0
//
// target_flags: of a target, only what a binding needs to know.
//
// Look-up   one a cycle, answer in the next cycle: the target is valid and its sessions bind; it is draining. Wrong parity (`bad_o`)
//           reads as neither.
// Load      with target_table, by the same writes.
`resetall
`default_nettype none
module target_flags
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic     clk,
    input  wire init_t    init_i,
    input  wire cfg_req_t cfg_i,
    input  wire target_t  target_i,
    input  wire logic     bank_i,
    output logic          binds_o,
    output logic          draining_o,
    output logic          bad_o
);
    localparam int unsigned ENTRY_BITS = $clog2(TARGETS);
    localparam int unsigned STRIDE_BITS = $clog2(TABLE_TARGET_STRIDE);

    target_entry_t entry;  // of which the first word is written
    logic          binds, draining;
    logic [1:0]    unused_data;
    assign entry = {TABLE_TARGET_WORDS{cfg_i.data}};
    table_ram #(.WIDTH(2), .DEPTH(2 ** (ENTRY_BITS + 1)), .REGISTERED(1'b0)) u_ram (
        .clk, .init_i, .lookup_address_i({bank_i, target_i[ENTRY_BITS-1:0]}), .lookup_data_o({binds, draining}),
        .lookup_bad_o(bad_o),
        .config_write_i(cfg_i.write && cfg_i.id == TABLE_TARGET && cfg_i.address[STRIDE_BITS-1:0] == '0),
        .config_address_i({cfg_i.bank, cfg_i.address[STRIDE_BITS +: ENTRY_BITS]}),
        .config_data_i({entry.valid && entry.bind_, entry.draining}), .config_spoil_i(cfg_i.bad_parity),
        .config_data_o(unused_data));
    assign binds_o    = binds && !bad_o;
    assign draining_o = draining && !bad_o;
    wire logic unused = &{1'b0, cfg_i, entry, unused_data};
endmodule
`resetall
