// SPDX-License-Identifier: Apache-2.0
//
// counter_vector: packets and bytes, 64 bits each, for every entry of a table.
//
// Count    one event a cycle, also for the same entry; never lost. Read, add and write take four cycles; sums that are not in the
//          memory yet are forwarded.
// Read     over the configuration bus: word 0 of an entry fetches the whole entry, words 1..3 come from what was fetched. Events of
//          the last four cycles may be missing. A second copy of the memory serves it.
// Clear    the first cycles of the initialisation clear the memory; events in these cycles are not counted.
// Misuse   an index of ENTRIES or more is counted out of sight if the memory has it; asserted.
`include "hashgate_assert.svh"
`resetall
`default_nettype none
module counter_vector
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
#(
    // Entries.
    parameter int unsigned ENTRIES = 64,
    // Table id on the configuration bus.
    parameter table_e ID = TABLE_COUNT_RULE
) (
    input  wire logic                       clk,
    input  wire logic                       rst,
    input  wire init_t                      init_i,
    // event
    input  wire logic                       valid_i,
    input  wire logic [$clog2(ENTRIES)-1:0] index_i,
    input  wire length_t                    bytes_i,
    // configuration bus
    input  wire cfg_req_t                   cfg_i,
    output logic [31:0]                     cfg_rdata_o
);
    localparam int unsigned INDEX_BITS = $clog2(ENTRIES);
    localparam int unsigned DEPTH = 2 ** INDEX_BITS;
    if (CFG_LATENCY != 4) begin : gen_check_latency
        $fatal(1, "%m: reads take 4 cycles, CFG_LATENCY is %0d", CFG_LATENCY);
    end
    if (DEPTH > INIT_DEPTH) begin : gen_check_init
        $fatal(1, "%m: %0d entries are not cleared by the %0d cycles of the initialisation", DEPTH, INIT_DEPTH);
    end

    typedef logic [INDEX_BITS-1:0] index_t;
    typedef struct packed {
        logic [63:0] bytes;
        logic [63:0] packets;
    } count_t;
    typedef struct packed {
        logic    valid;
        index_t  index;
        length_t bytes;
    } event_t;

    // Two copies with the same content: one for counting, one for the bus.
    count_t memory[DEPTH];
    count_t bus_memory[DEPTH];

    // ---- count ----------------------------------------------------------------------------------------------------------
    // Stage 1 reads, stage 2 waits for the memory's register, stage 3 adds, stage 4 writes.
    event_t event1_q, event2_q, event3_q, event4_q, event5_q;
    count_t read_q, read3_q, sum, sum4_q, sum5_q, sum6_q, base;
    logic   clear, near_q, middle_q, far_q;
    assign clear = init_i.active && 32'(init_i.address) < DEPTH;

    always_ff @(posedge clk) begin
        event1_q <= '{valid: valid_i && !clear, index: index_i, bytes: bytes_i};
        event2_q <= event1_q;
        event3_q <= event2_q;
        event4_q <= event3_q;
        event5_q <= event4_q;
        read_q   <= memory[event1_q.index];
        read3_q  <= read_q;
        // When the event of stage 2 is in stage 3, those of stages 3, 4 and 5 are in 4, 5 and 6, where their sums are.
        near_q   <= event3_q.valid && event3_q.index == event2_q.index;
        middle_q <= event4_q.valid && event4_q.index == event2_q.index;
        far_q    <= event5_q.valid && event5_q.index == event2_q.index;
        sum4_q   <= sum;
        sum5_q   <= sum4_q;
        sum6_q   <= sum5_q;
        if (rst) begin
            event1_q.valid <= 1'b0;
            event2_q.valid <= 1'b0;
            event3_q.valid <= 1'b0;
            event4_q.valid <= 1'b0;
            event5_q.valid <= 1'b0;
        end
    end
    assign base = near_q ? sum4_q : middle_q ? sum5_q : far_q ? sum6_q : read3_q;
    always_comb begin
        sum.packets = base.packets + 64'd1;
        sum.bytes   = base.bytes + 64'(event3_q.bytes);
    end

    index_t write_index;
    count_t write_data;
    logic   write;
    assign write       = clear || event4_q.valid;
    assign write_index = clear ? index_t'(init_i.address) : event4_q.index;
    assign write_data  = clear ? '0 : sum4_q;
    always_ff @(posedge clk) if (write) memory[write_index] <= write_data;
    always_ff @(posedge clk) if (write) bus_memory[write_index] <= write_data;

    // ---- read -----------------------------------------------------------------------------------------------------------
    logic [1:0]       word1_q, word2_q;
    logic             read1_q, read2_q, known1_q, known2_q, read3_valid_q;
    logic [3:0][31:0] bus1_q, bus2_q;
    logic [2:0][31:0] fetched_q;  // words 1..3
    logic [31:0]      data3_q;
    always_ff @(posedge clk) begin
        read1_q  <= cfg_i.read && cfg_i.id == ID;
        word1_q  <= cfg_i.address[1:0];
        known1_q <= 32'(cfg_i.address[$bits(cfg_address_t)-1:2]) < DEPTH;
        bus1_q   <= bus_memory[index_t'(cfg_i.address >> 2)];
        read2_q  <= read1_q;
        word2_q  <= word1_q;
        known2_q <= known1_q;
        bus2_q   <= bus1_q;
        if (read2_q && word2_q == 2'd0) fetched_q <= known2_q ? bus2_q[3:1] : '0;
        case (word2_q)
            2'd0: data3_q <= known2_q ? bus2_q[0] : '0;
            2'd1: data3_q <= fetched_q[0];
            2'd2: data3_q <= fetched_q[1];
            default: data3_q <= fetched_q[2];
        endcase
        read3_valid_q <= read2_q;
        cfg_rdata_o   <= read3_valid_q ? data3_q : '0;
        if (rst) begin
            read1_q       <= 1'b0;
            read2_q       <= 1'b0;
            read3_valid_q <= 1'b0;
        end
    end

    wire logic unused = &{1'b0, cfg_i, event5_q};
    `HG_ASSERT(index_in_range, !valid_i || 32'(index_i) < ENTRIES)
endmodule
`resetall
