// SPDX-License-Identifier: Apache-2.0
//
// bucket_counter: 32 bits for every bucket.
//
// Count    one event a cycle, also of one bucket; never lost. Wraps.
// Read     over the configuration bus; events of the last four cycles may be missing. A second copy of the memory serves it.
// Clear    the first cycles of the initialisation clear the memory; events in these cycles are not counted.
`resetall
`default_nettype none
module bucket_counter
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
#(
    // Its words on the configuration bus: those of the table with this id, from FIRST on.
    parameter table_e ID = TABLE_COUNT_REFUSED,
    parameter int unsigned FIRST = 0
) (
    input  wire logic     clk,
    input  wire logic     rst,
    input  wire init_t    init_i,
    // event
    input  wire logic     valid_i,
    input  wire bucket_t  bucket_i,
    // configuration bus
    input  wire cfg_req_t cfg_i,
    output logic [31:0]   cfg_rdata_o
);
    localparam int unsigned BUCKETS = 2 ** $bits(bucket_t);
    if (CFG_LATENCY != 4) begin : gen_check_latency
        $fatal(1, "%m: reads take 4 cycles, CFG_LATENCY is %0d", CFG_LATENCY);
    end
    if (BUCKETS > INIT_DEPTH || FIRST % BUCKETS != 0) begin : gen_check_init
        $fatal(1, "%m: %0d buckets are not cleared by the %0d cycles of the initialisation", BUCKETS, INIT_DEPTH);
    end

    // ---- count: 1 address, 3 data, sum, 4 write -------------------------------------------------------------------------
    logic [5:1]       valid_q;
    bucket_t          bucket_q[1:5];
    logic             clear, write;
    logic             near_q, middle_q, far_q;   // the event one, two, three cycles before is of the same bucket
    bucket_t          write_bucket;
    logic [31:0]      read, sum, sum4_q, sum5_q, sum6_q, write_data, bus;
    assign clear = init_i.active && 32'(init_i.address) < BUCKETS;
    always_ff @(posedge clk) begin
        valid_q     <= {valid_q[4:1], valid_i && !clear};
        bucket_q[1] <= bucket_i;
        for (int i = 2; i <= 5; i++) bucket_q[i] <= bucket_q[i-1];
        near_q   <= valid_q[3] && bucket_q[3] == bucket_q[2];
        middle_q <= valid_q[4] && bucket_q[4] == bucket_q[2];
        far_q    <= valid_q[5] && bucket_q[5] == bucket_q[2];
        sum4_q   <= sum;
        sum5_q   <= sum4_q;
        sum6_q   <= sum5_q;
        if (rst) valid_q <= '0;
    end
    assign sum          = (near_q ? sum4_q : middle_q ? sum5_q : far_q ? sum6_q : read) + 32'd1;
    assign write        = clear || valid_q[4];
    assign write_bucket = clear ? bucket_t'(init_i.address) : bucket_q[4];
    assign write_data   = clear ? '0 : sum4_q;
    binding_ram #(.WIDTH(32), .DEPTH(BUCKETS)) u_count (
        .clk, .write_i(write), .write_address_i(write_bucket), .write_data_i(write_data), .read_address_i(bucket_q[1]),
        .read_data_o(read));

    // ---- read -----------------------------------------------------------------------------------------------------------
    logic [2:0] mine_q;
    binding_ram #(.WIDTH(32), .DEPTH(BUCKETS)) u_bus (
        .clk, .write_i(write), .write_address_i(write_bucket), .write_data_i(write_data),
        .read_address_i(bucket_t'(cfg_i.address)), .read_data_o(bus));
    logic [31:0] data3_q;
    always_ff @(posedge clk) begin
        mine_q      <= {mine_q[1:0], cfg_i.read && cfg_i.id == ID && (cfg_i.address >> $bits(bucket_t)) == cfg_address_t'(FIRST / BUCKETS)};
        data3_q     <= bus;
        cfg_rdata_o <= mine_q[2] ? data3_q : '0;
        if (rst) mine_q <= '0;
    end
    wire logic unused = &{1'b0, cfg_i};
endmodule
`resetall
