// SPDX-License-Identifier: Apache-2.0
//
// host_tx_option: finds the link-layer address option of a neighbour-discovery message.
//
// In       the packet from layer 3 on (byte 0 on top), the number of VLAN tags, whether the options begin after 8 bytes
//          of ICMPv6 (`near_i`, router solicitation) or after 24, and the wanted type.
// Out      is one of the first three options of the wanted type, 8 bytes long and inside the window: which of the SLOTS
//          places of 8 bytes from byte 48 on, the address in it, and the checksum of the message beside it. A length of
//          zero ends the options.
// Latency  OPTION_LATENCY, one a cycle.
`resetall
`default_nettype none
module host_tx_option
    import hashgate_pkg::*;
    import host_tx_pkg::*;
#(
    // Places where an option may begin.
    localparam int unsigned SLOTS = 8
) (
    input  wire logic                            clk,
    input  wire logic [8*(WINDOW_BYTES-14)-1:0]  l3_i,
    input  wire logic [1:0]                      tags_i,
    input  wire logic                            near_i,
    input  wire logic [7:0]                      wanted_i,
    output logic                                 found_o,
    output logic [$clog2(SLOTS)-1:0]             slot_o,
    output mac_t                                 address_o,
    output logic [15:0]                          checksum_o
);
    localparam int unsigned L3_BYTES = WINDOW_BYTES - 14;
    localparam int unsigned FIRST = 48;     // IPv6 header and 8 bytes of ICMPv6
    localparam int unsigned CHECKSUM = 42;  // of ICMPv6
    localparam int unsigned SLOT_BITS = $clog2(SLOTS);
    typedef logic [SLOT_BITS-1:0] slot_t;

    // Type and length of an option at each place.
    logic [SLOTS-1:0][7:0] kind, units;
    always_comb begin
        for (int unsigned s = 0; s < SLOTS; s++)
            {kind[s], units[s]} = l3_i[8*(L3_BYTES-FIRST-8*s-2)+:16];
    end

    // Cycle 1: each place on its own.
    logic  [SLOTS-1:0]       fits_reg;                // it is the option asked for
    slot_t [SLOTS-1:0]       units_reg;               // its length in units of 8 bytes
    logic  [SLOTS-1:0]       next_reg;                // another option may follow, and would begin at a place
    mac_t  [SLOTS-1:0]       address_reg[OPTION_LATENCY-1];
    logic  [15:0]            checksum_reg[OPTION_LATENCY-1];
    logic                    near_reg;
    always_ff @(posedge clk) begin
        for (int unsigned s = 0; s < SLOTS; s++) begin
            fits_reg[s] <= kind[s] == wanted_i && units[s] == 8'd1
                && 14 + FIRST + 8 * s + 8 <= WINDOW_BYTES - 4 * 32'(tags_i);
            units_reg[s]      <= slot_t'(units[s]);
            next_reg[s]       <= units[s] != '0 && units[s] < 8'(SLOTS - s);
            address_reg[0][s] <= l3_i[8*(L3_BYTES-FIRST-8*s-8)+:48];
        end
        near_reg        <= near_i;
        checksum_reg[0] <= l3_i[8*(L3_BYTES-CHECKSUM-2)+:16];
        for (int unsigned i = 1; i < OPTION_LATENCY - 1; i++) begin
            address_reg[i]  <= address_reg[i-1];
            checksum_reg[i] <= checksum_reg[i-1];
        end
    end

    // Cycles 2..4: one option each, the first that fits wins.
    logic  [SLOTS-1:0] fits2_reg, fits3_reg;
    slot_t [SLOTS-1:0] units2_reg;
    logic  [SLOTS-1:0] next2_reg;
    slot_t             first_slot, slot2_reg, slot3_reg, slot4_reg;  // where the option of the next cycle begins
    logic              alive2_reg, alive3_reg;                       // if it does
    slot_t             hit2_reg, hit3_reg;
    logic              found2_reg, found3_reg, found4_reg;
    assign first_slot = near_reg ? slot_t'(0) : slot_t'(2);
    always_ff @(posedge clk) begin
        found2_reg <= fits_reg[first_slot];
        hit2_reg   <= first_slot;
        slot2_reg  <= first_slot + units_reg[first_slot];
        alive2_reg <= next_reg[first_slot];
        fits2_reg  <= fits_reg;
        units2_reg <= units_reg;
        next2_reg  <= next_reg;

        found3_reg <= found2_reg || (alive2_reg && fits2_reg[slot2_reg]);
        hit3_reg   <= found2_reg ? hit2_reg : slot2_reg;
        slot3_reg  <= slot2_reg + units2_reg[slot2_reg];
        alive3_reg <= alive2_reg && next2_reg[slot2_reg];
        fits3_reg  <= fits2_reg;

        found4_reg <= found3_reg || (alive3_reg && fits3_reg[slot3_reg]);
        slot4_reg  <= found3_reg ? hit3_reg : slot3_reg;
    end

    // Cycle 5: its address.
    always_ff @(posedge clk) begin
        found_o    <= found4_reg;
        slot_o     <= slot4_reg;
        address_o  <= address_reg[OPTION_LATENCY-2][slot4_reg];
        checksum_o <= checksum_reg[OPTION_LATENCY-2];
    end
    wire logic unused = &{1'b0, l3_i};
endmodule
`resetall
