// SPDX-License-Identifier: Apache-2.0
//
// binding_key: the keys under which a packet looks for its connection and its affinity binding.
//
// In       the key of a packet, its zone, the mask and the group of its rule.
// Out      both keys. The group stands where the protocol is, so that rules of one group share affinity bindings.
// Latency  MASK_LATENCY.
`resetall
`default_nettype none
module binding_key
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic        clk,
    input  wire key_t        key_i,
    input  wire zone_t       zone_i,
    input  wire rule_entry_t rule_i,
    output binding_key_t     connection_o,
    output binding_key_t     affinity_o
);
    binding_key_t masked;
    always_comb begin
        masked = '{v6: key_i.v6, zone: zone_i, src: '0, dst: '0, sport: '0, dport: '0, protocol: rule_i.group};
        for (int i = 0; i < 128; i++) masked.src[127-i] = key_i.src[127-i] && rule_i.binding_src6 > 8'(i);
        if (!key_i.v6) for (int i = 0; i < 32; i++) masked.src[31-i] = key_i.src[31-i] && rule_i.binding_src4 > 6'(i);
        if (rule_i.binding_dst) masked.dst = key_i.dst;
        if (rule_i.binding_sport) masked.sport = key_i.sport;
        if (rule_i.binding_dport) masked.dport = key_i.dport;
    end
    always_ff @(posedge clk) begin
        connection_o <= '{v6: key_i.v6, zone: zone_i, src: key_i.src, dst: key_i.dst, sport: key_i.sport, dport: key_i.dport,
                          protocol: key_i.protocol};
        affinity_o   <= masked;
    end
    wire logic unused = &{1'b0, rule_i};
endmodule
`resetall
