// SPDX-License-Identifier: Apache-2.0
//
// match_slot: one slot of the port rules, in registers, two banks.
//
// Look-up   `specific_o` (the slot names this VIP) and `any_o` (it is for any VIP) answer in the same cycle; `rule_o` is the rule of
//           the bank in `rule_bank_i`, which is asked three cycles later.
// Load      `write_i` with the word of the entry. Cleared by `clear_i`.
// Read      both words of `read_bank_i`, in the same cycle.
`resetall
`default_nettype none
module match_slot
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic        clk,
    input  wire logic        clear_i,
    input  wire logic [1:0]  write_i,    // by word
    input  wire logic        write_bank_i,
    input  wire logic [31:0] write_data_i,
    input  wire logic        read_bank_i,
    output logic [63:0]      read_o,
    input  wire logic        bank_i,
    input  wire logic        vip_known_i,
    input  wire vip_id_t     vip_i,
    input  wire logic        tcp_i,
    input  wire logic        udp_i,
    input  wire logic        later_i,    // ports unknown
    input  wire logic [15:0] port_i,
    output logic             specific_o,
    output logic             any_o,
    input  wire logic        rule_bank_i,
    output rule_t            rule_o
);
    typedef struct packed {
        logic        valid;
        logic        any_vip;
        logic        tcp;
        logic        udp;
        logic        fragment;
        vip_id_t     vip;
        rule_t       rule;
        logic [15:0] port_high;
        logic [15:0] port_low;
    } slot_t;
    slot_t bank0, bank1, written, asked, read;

    match_entry_t entry, shown;
    assign entry = {2{write_data_i}};
    assign written = '{
        valid: entry.valid, any_vip: entry.any_vip, tcp: entry.tcp, udp: entry.udp, fragment: entry.fragment,
        vip: entry.vip, rule: entry.rule, port_high: entry.port_high, port_low: entry.port_low};
    localparam slot_t PORTS_MASK = '{
        valid: 1'b0, any_vip: 1'b0, tcp: 1'b0, udp: 1'b0, fragment: 1'b0, vip: '0, rule: '0, port_high: '1, port_low: '1};
    slot_t mask;
    assign mask = ({$bits(slot_t){write_i[0]}} & PORTS_MASK) | ({$bits(slot_t){write_i[1]}} & ~PORTS_MASK);
    always_ff @(posedge clk) begin
        if (|write_i && !write_bank_i) bank0 <= (bank0 & ~mask) | (written & mask);
        if (|write_i && write_bank_i) bank1 <= (bank1 & ~mask) | (written & mask);
        if (clear_i) begin
            bank0 <= '0;
            bank1 <= '0;
        end
    end

    assign read = read_bank_i ? bank1 : bank0;
    always_comb begin
        shown           = '0;
        shown.valid     = read.valid;
        shown.any_vip   = read.any_vip;
        shown.tcp       = read.tcp;
        shown.udp       = read.udp;
        shown.fragment  = read.fragment;
        shown.vip       = read.vip;
        shown.rule      = read.rule;
        shown.port_high = read.port_high;
        shown.port_low  = read.port_low;
    end
    assign read_o = shown;

    logic takes;
    assign asked = bank_i ? bank1 : bank0;
    assign takes = asked.valid && ((asked.tcp && tcp_i) || (asked.udp && udp_i))
        && (later_i ? asked.fragment : (port_i >= asked.port_low && port_i <= asked.port_high));
    assign specific_o = takes && !asked.any_vip && vip_known_i && asked.vip == vip_i;
    assign any_o      = takes && asked.any_vip;
    assign rule_o     = rule_bank_i ? bank1.rule : bank0.rule;
    wire logic unused = &{1'b0, entry, asked};
endmodule
`resetall
