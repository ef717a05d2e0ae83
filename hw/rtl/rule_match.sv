// SPDX-License-Identifier: Apache-2.0
//
// rule_match: which port rule takes a packet.
//
// Look-up   one a cycle, answer MATCH_LATENCY cycles later. GRE asks as TCP port 1723, ESP and AH as UDP port 500; a later fragment
//           (`later_i`) of TCP or UDP matches slots with the fragment flag, whatever their ports. A slot for one VIP beats a
//           slot for any; then the lowest slot wins.
// Load      slots are registers, two banks.
`resetall
`default_nettype none
module rule_match
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic        clk,
    input  wire init_t       init_i,
    input  wire cfg_req_t    cfg_i,
    output logic [31:0]      cfg_rdata_o,
    input  wire logic        vip_known_i,  // destination has a VIP id
    input  wire vip_id_t     vip_i,
    input  wire logic [7:0]  protocol_i,
    input  wire logic [15:0] dport_i,
    input  wire logic        later_i,
    input  wire logic        bank_i,
    output logic             hit_o,
    output rule_t            rule_o
);
    localparam int unsigned SLOT_BITS = $clog2(RULES);

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
    // Registers, not a memory: every slot is compared in every cycle.
    slot_t [1:0][RULES-1:0] slot;

    // ---- load and read back -------------------------------------------------------------------------------------------
    logic                 cfg_mine;
    logic [SLOT_BITS-1:0] cfg_slot;
    assign cfg_mine = cfg_i.id == TABLE_MATCH;
    assign cfg_slot = cfg_i.address[1 +: SLOT_BITS];
    match_entry_t written;
    assign written = {2{cfg_i.data}};
    for (genvar b = 0; b < 2; b++) begin : gen_bank
        for (genvar i = 0; i < RULES; i++) begin : gen_slot
            logic here;
            assign here = cfg_i.write && cfg_mine && cfg_i.bank == 1'(b) && cfg_slot == SLOT_BITS'(i);
            always_ff @(posedge clk) begin
                if (here && cfg_i.address[0]) begin
                    slot[b][i].valid    <= written.valid;
                    slot[b][i].any_vip  <= written.any_vip;
                    slot[b][i].tcp      <= written.tcp;
                    slot[b][i].udp      <= written.udp;
                    slot[b][i].fragment <= written.fragment;
                    slot[b][i].vip      <= written.vip;
                    slot[b][i].rule     <= written.rule;
                end
                if (here && !cfg_i.address[0]) begin
                    slot[b][i].port_high <= written.port_high;
                    slot[b][i].port_low  <= written.port_low;
                end
                if (init_i.active) slot[b][i].valid <= 1'b0;
            end
        end
    end

    // Read back: request, the slot in each group of eight, the group, the word.
    localparam int unsigned GROUPS = RULES / 8;
    typedef struct packed {
        logic                 read;
        logic                 bank;
        logic                 word;
        logic [SLOT_BITS-1:0] slot;
    } read_t;
    read_t              read_1, read_2, read_3;
    slot_t [GROUPS-1:0] in_group;
    slot_t              chosen;
    match_entry_t       entry;
    always_comb begin
        entry           = '0;
        entry.valid     = chosen.valid;
        entry.any_vip   = chosen.any_vip;
        entry.tcp       = chosen.tcp;
        entry.udp       = chosen.udp;
        entry.fragment  = chosen.fragment;
        entry.vip       = chosen.vip;
        entry.rule      = chosen.rule;
        entry.port_high = chosen.port_high;
        entry.port_low  = chosen.port_low;
    end
    always_ff @(posedge clk) begin
        read_1 <= '{read: cfg_i.read && cfg_mine, bank: cfg_i.bank, word: cfg_i.address[0], slot: cfg_slot};
        read_2 <= read_1;
        read_3 <= read_2;
        for (int g = 0; g < GROUPS; g++) in_group[g] <= slot[read_1.bank][SLOT_BITS'(8 * g) | SLOT_BITS'(read_1.slot[2:0])];
        chosen      <= in_group[read_2.slot[SLOT_BITS-1:3]];
        cfg_rdata_o <= !read_3.read ? '0 : read_3.word ? entry[63:32] : entry[31:0];
    end

    // ---- look-up ------------------------------------------------------------------------------------------------------------
    // Cycle 1: what is asked.
    logic        bank_q, later_q, vip_known_q, tcp_q, udp_q;
    logic [15:0] port_q;
    vip_id_t     vip_q;
    always_ff @(posedge clk) begin
        bank_q      <= bank_i;
        vip_known_q <= vip_known_i;
        vip_q       <= vip_i;
        tcp_q       <= protocol_i == 8'd6 || protocol_i == 8'd47;
        udp_q       <= protocol_i == 8'd17 || protocol_i == 8'd50 || protocol_i == 8'd51;
        later_q     <= later_i && (protocol_i == 8'd6 || protocol_i == 8'd17);
        port_q      <= (protocol_i == 8'd47) ? 16'd1723
            : (protocol_i == 8'd50 || protocol_i == 8'd51) ? 16'd500 : dport_i;
    end
    // Cycle 2: each slot.
    logic [RULES-1:0] specific, any;
    logic             bank_2q;
    slot_t [RULES-1:0] asked;
    logic [RULES-1:0] takes;
    always_comb
        for (int i = 0; i < RULES; i++) begin
            asked[i] = slot[bank_q][i];
            takes[i] = asked[i].valid && ((asked[i].tcp && tcp_q) || (asked[i].udp && udp_q))
                && (later_q ? asked[i].fragment : (port_q >= asked[i].port_low && port_q <= asked[i].port_high));
        end
    always_ff @(posedge clk) begin
        for (int i = 0; i < RULES; i++) begin
            specific[i] <= takes[i] && !asked[i].any_vip && vip_known_q && asked[i].vip == vip_q;
            any[i]      <= takes[i] && asked[i].any_vip;
        end
        bank_2q <= bank_q;
    end
    // Cycle 3: which kind.
    logic [RULES-1:0] kind;
    logic             bank_3q;
    always_ff @(posedge clk) begin
        kind    <= (|specific) ? specific : any;
        bank_3q <= bank_2q;
    end
    // Cycle 4: the first, one-hot: first in its group of eight, group the first with any.
    logic [RULES-1:0]  onehot;
    logic              hit_q, bank_4q;
    logic [GROUPS-1:0] group_any;
    always_comb for (int g = 0; g < GROUPS; g++) group_any[g] = |kind[8*g +: 8];
    always_ff @(posedge clk) begin
        for (int g = 0; g < GROUPS; g++)
            for (int i = 0; i < 8; i++)
                onehot[8*g+i] <= kind[8*g+i] && ~|(kind[8*g +: 8] & 8'((1 << i) - 1))
                    && ~|(group_any & GROUPS'((1 << g) - 1));
        hit_q   <= |group_any;
        bank_4q <= bank_3q;
    end
    // Cycle 5: its rule.
    rule_t chosen_rule;
    always_comb begin
        chosen_rule = '0;
        for (int i = 0; i < RULES; i++) chosen_rule |= slot[bank_4q][i].rule & {$bits(rule_t){onehot[i]}};
    end
    always_ff @(posedge clk) begin
        rule_o <= chosen_rule;
        hit_o  <= hit_q;
    end
    if (RULES % 8 != 0) begin : gen_check
        $fatal(1, "%m: RULES is a multiple of 8");
    end
    logic [RULES-1:0] unused_slots;
    always_comb for (int i = 0; i < RULES; i++) unused_slots[i] = ^asked[i];
    wire logic unused = &{1'b0, cfg_i, written, init_i, read_3, unused_slots};
endmodule
`resetall
