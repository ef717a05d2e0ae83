// SPDX-License-Identifier: Apache-2.0
//
// rule_match: which port rule takes a packet.
//
// Look-up   one a cycle, answer MATCH_LATENCY cycles later. GRE asks as TCP port 1723, ESP and AH as UDP port 500; a later fragment
//           (`later_i`) of TCP or UDP matches slots with the fragment flag, whatever their ports. A slot for one VIP beats a
//           slot for any; then the lowest slot wins.
// Load      slots are registers (match_slot), two banks.
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
    localparam int unsigned GROUPS = RULES / 8;

    // ---- look-up, cycle 1: what is asked ------------------------------------------------------------------------------------
    logic        bank_1, bank_2, bank_3, bank_4, later_q, vip_known_q, tcp_q, udp_q;
    logic [15:0] port_q;
    vip_id_t     vip_q;
    always_ff @(posedge clk) begin
        bank_1      <= bank_i;
        vip_known_q <= vip_known_i;
        vip_q       <= vip_i;
        tcp_q       <= protocol_i == 8'd6 || protocol_i == 8'd47;
        udp_q       <= protocol_i == 8'd17 || protocol_i == 8'd50 || protocol_i == 8'd51;
        later_q     <= later_i && (protocol_i == 8'd6 || protocol_i == 8'd17);
        port_q      <= (protocol_i == 8'd47) ? 16'd1723
            : (protocol_i == 8'd50 || protocol_i == 8'd51) ? 16'd500 : dport_i;
    end

    // ---- the slots ------------------------------------------------------------------------------------------------------------
    typedef struct packed {
        logic                 read;
        logic                 bank;
        logic                 word;
        logic [SLOT_BITS-1:0] slot;
    } read_t;
    read_t                 read_1, read_2, read_3;
    logic                  cfg_mine;
    logic [SLOT_BITS-1:0]  cfg_slot;
    logic [1:0]            cfg_write;
    logic [RULES-1:0]      specific, any;
    logic [63:0]           shown[RULES];
    rule_t                 rule[RULES];
    assign cfg_mine  = cfg_i.id == TABLE_MATCH;
    assign cfg_slot  = cfg_i.address[1 +: SLOT_BITS];
    assign cfg_write = {2{cfg_i.write && cfg_mine}} & {cfg_i.address[0], !cfg_i.address[0]};
    for (genvar i = 0; i < RULES; i++) begin : gen_slot
        match_slot u_slot (
            .clk, .clear_i(init_i.active), .write_i(cfg_slot == SLOT_BITS'(i) ? cfg_write : 2'b0),
            .write_bank_i(cfg_i.bank), .write_data_i(cfg_i.data), .read_bank_i(read_1.bank), .read_o(shown[i]),
            .bank_i(bank_1), .vip_known_i(vip_known_q), .vip_i(vip_q), .tcp_i(tcp_q), .udp_i(udp_q), .later_i(later_q),
            .port_i(port_q), .specific_o(specific[i]), .any_o(any[i]), .rule_bank_i(bank_4), .rule_o(rule[i]));
    end

    // ---- read back: request, the slot in each group of eight, the group, the word -------------------------------------------------
    logic [63:0] in_group[GROUPS];
    logic [63:0] in_group_next[GROUPS];
    logic [63:0] chosen, chosen_next;
    always_comb begin
        chosen_next = '0;
        for (int g = 0; g < GROUPS; g++) begin
            in_group_next[g] = '0;
            for (int i = 0; i < 8; i++) if (read_1.slot[2:0] == 3'(i)) in_group_next[g] = shown[8*g+i];
            if (read_2.slot[SLOT_BITS-1:3] == (SLOT_BITS - 3)'(g)) chosen_next = in_group[g];
        end
    end
    always_ff @(posedge clk) begin
        read_1      <= '{read: cfg_i.read && cfg_mine, bank: cfg_i.bank, word: cfg_i.address[0], slot: cfg_slot};
        read_2      <= read_1;
        read_3      <= read_2;
        in_group    <= in_group_next;
        chosen      <= chosen_next;
        cfg_rdata_o <= !read_3.read ? '0 : read_3.word ? chosen[63:32] : chosen[31:0];
    end

    // ---- look-up, cycles 2..5 ---------------------------------------------------------------------------------------------------
    // Cycle 2: each slot.
    logic [RULES-1:0] specific_q, any_q;
    // Cycle 3: which kind, and the groups of eight that have one.
    logic [RULES-1:0]  kind;
    logic [GROUPS-1:0] group_any;
    // Cycle 4: the first, one-hot: first in its group of eight, group the first with any.
    logic [RULES-1:0]  onehot;
    logic              hit_q;
    // Cycle 5: its rule.
    rule_t             chosen_rule;
    always_comb begin
        chosen_rule = '0;
        for (int i = 0; i < RULES; i++) chosen_rule |= rule[i] & {$bits(rule_t){onehot[i]}};
    end
    always_ff @(posedge clk) begin
        {bank_4, bank_3, bank_2} <= {bank_3, bank_2, bank_1};
        specific_q <= specific;
        any_q      <= any;
        kind       <= (|specific_q) ? specific_q : any_q;
        for (int g = 0; g < GROUPS; g++) group_any[g] <= (|specific_q) ? |specific_q[8*g +: 8] : |any_q[8*g +: 8];
        for (int g = 0; g < GROUPS; g++)
            for (int i = 0; i < 8; i++)
                onehot[8*g+i] <= kind[8*g+i] && ~|(kind[8*g +: 8] & 8'((1 << i) - 1))
                    && ~|(group_any & GROUPS'((1 << g) - 1));
        hit_q  <= |group_any;
        rule_o <= chosen_rule;
        hit_o  <= hit_q;
    end
    if (RULES % 8 != 0) begin : gen_check
        $fatal(1, "%m: RULES is a multiple of 8");
    end
    wire logic unused = &{1'b0, cfg_i, init_i, read_3};
endmodule
`resetall
