// SPDX-License-Identifier: Apache-2.0
//
// zone_table: zone of a (port, outer VLAN).
//
// Look-up   one a cycle, answer ZONE_LATENCY cycles later. VLAN 0 is "untagged".
// Load      entry number = 4096 x port + VLAN.
`resetall
`default_nettype none
module zone_table
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic        clk,
    input  wire init_t       init_i,
    input  wire cfg_req_t    cfg_i,
    output logic [31:0]      cfg_rdata_o,
    input  wire port_t       port_i,
    input  wire logic [11:0] vlan_i,
    input  wire logic        bank_i,
    output zone_t            zone_o,
    output logic             bad_o
);
    localparam int unsigned DEPTH = 2 * 4096 * PORTS;
    localparam int unsigned ADDRESS_BITS = $clog2(DEPTH);

    zone_t                     zone, cfg_zone;
    logic                      bad, read_q, cfg_mine;
    logic [ADDRESS_BITS-1:0]   address, cfg_address;
    assign cfg_mine = cfg_i.id == TABLE_ZONE;
    if (PORTS == 1) begin : gen_one
        assign address     = {bank_i, vlan_i};
        assign cfg_address = {cfg_i.bank, cfg_i.address[11:0]};
        wire logic unused_port = &{1'b0, port_i};
    end else begin : gen_two
        assign address     = {bank_i, port_i, vlan_i};
        assign cfg_address = {cfg_i.bank, cfg_i.address[12:0]};
    end
    table_ram #(.WIDTH(8), .DEPTH(DEPTH)) u_ram (
        .clk, .init_i, .lookup_address_i(address), .lookup_data_o(zone), .lookup_bad_o(bad),
        .config_write_i(cfg_i.write && cfg_mine), .config_address_i(cfg_address), .config_data_i(cfg_i.data[7:0]),
        .config_spoil_i(cfg_i.bad_parity), .config_data_o(cfg_zone));
    delay #(.WIDTH(1), .CYCLES(CFG_LATENCY - 1)) u_read (.clk, .value_i(cfg_i.read && cfg_mine), .value_o(read_q));
    always_ff @(posedge clk) begin
        zone_o      <= zone;
        bad_o       <= bad;
        cfg_rdata_o <= read_q ? {24'b0, cfg_zone} : '0;
    end
    wire logic unused = &{1'b0, cfg_i};
endmodule
`resetall
