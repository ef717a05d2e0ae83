// SPDX-License-Identifier: Apache-2.0
//
// binding_census: how many live bindings each bucket has, of one rule or of all.
//
// Start    `request_i.start` clears the counts (one cycle a bucket), then one round of the sweep is counted: of the table and the rule
//          that the request names in that cycle. `busy_o` until the counts are there.
// Counts   a binding that lives during the whole census with one rule and bucket is counted once; one that comes, goes or changes
//          meanwhile may be counted or not.
// Walk     `hold_o` lets the sweep of that table wait: there is one four on its way at most, and no other before all of it are counted
//          (four cycles for each that matches).
// Read     over the configuration bus, 0 while `busy_o`.
`resetall
`default_nettype none
module binding_census
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic                clk,
    input  wire logic                rst,
    input  wire census_request_t     request_i,
    output logic                     busy_o,
    // the sweeps of both tables
    output logic [1:0]               hold_o,
    input  wire binding_walk_t [1:0] walk_i,
    // configuration bus
    input  wire cfg_req_t            cfg_i,
    output logic [31:0]              cfg_rdata_o
);
    localparam int unsigned COUNT_BITS = 17;
    typedef logic [COUNT_BITS-1:0] count_t;
    typedef enum logic [1:0] {
        IDLE,
        CLEAR,
        WAIT,   // for the first four of a round
        COUNT   // until the next round begins
    } state_e;

    state_e          state_q;
    census_request_t request_q;
    bucket_t         clear_q;
    binding_walk_t   walk, walk_q;  // what is seen is looked at one cycle later
    logic            out_q, over, accept;
    assign walk   = walk_i[request_q.affinity];
    assign busy_o = state_q != IDLE;
    always_ff @(posedge clk) begin
        walk_q <= walk;
        if (rst) walk_q.valid <= 1'b0;
    end

    // ---- the four that are counted -------------------------------------------------------------------------------------------
    logic [3:0]    matching, waiting_q;
    bucket_t [3:0] bucket_q;
    logic          taken;
    logic [3:1]    step_q;     // 1, 2 read, 3 write
    bucket_t       counted_q;
    for (genvar i = 0; i < 4; i++) begin : gen_match
        assign matching[i] = walk_q.live[i] && (request_q.every || walk_q.rule[i] == request_q.rule);
    end
    assign over   = walk.empty || (walk_q.valid && walk_q.first && state_q == COUNT);
    assign accept = walk_q.valid && !over && (state_q == COUNT || (state_q == WAIT && walk_q.first));
    assign taken  = |waiting_q && step_q == '0;
    always_ff @(posedge clk) begin
        case (state_q)
            IDLE:
                if (request_i.start) begin
                    state_q   <= CLEAR;
                    request_q <= request_i;
                    clear_q   <= '0;
                end
            CLEAR: begin
                clear_q <= clear_q + 1'b1;
                if (clear_q == '1) state_q <= WAIT;
            end
            WAIT:
                if (walk.empty) state_q <= IDLE;
                else if (accept) state_q <= COUNT;
            default: if (over) state_q <= IDLE;
        endcase
        // Nothing is on its way when the counts are clear.
        if (walk.take && state_q != CLEAR) out_q <= 1'b1;
        else if (walk_q.valid || state_q == CLEAR) out_q <= 1'b0;
        if (accept) begin
            waiting_q <= matching;
            bucket_q  <= walk_q.bucket;
        end else if (taken) begin
            waiting_q <= waiting_q & (waiting_q - 1'b1);
        end
        if (taken) begin
            for (int i = 3; i >= 0; i--) if (waiting_q[i]) counted_q <= bucket_q[i];
        end
        step_q <= {step_q[2:1], taken};
        if (rst) begin
            state_q   <= IDLE;
            out_q     <= 1'b0;
            waiting_q <= '0;
            step_q    <= '0;
        end
    end
    // The sweep is let go for one cycle at a time; in the one after, it shows whether it went.
    logic go, went_q;
    assign go = state_q != CLEAR && !(out_q || |waiting_q || step_q != '0 || went_q);
    always_ff @(posedge clk) begin
        went_q                     <= go;
        hold_o                     <= '0;
        hold_o[request_q.affinity] <= busy_o && !go;
        if (rst) hold_o <= '0;
    end

    // ---- counts -----------------------------------------------------------------------------------------------------------------
    count_t read;
    binding_ram #(.WIDTH(COUNT_BITS), .DEPTH(2 ** $bits(bucket_t))) u_counts (
        .clk, .write_i(state_q == CLEAR || step_q[3]), .write_address_i(state_q == CLEAR ? clear_q : counted_q),
        .write_data_i(state_q == CLEAR ? '0 : read + 1'b1), .read_address_i(busy_o ? counted_q : bucket_t'(cfg_i.address)),
        .read_data_o(read));

    logic [2:0] mine_q;
    count_t     data3_q;
    always_ff @(posedge clk) begin
        mine_q      <= {mine_q[1:0], cfg_i.read && cfg_i.id == TABLE_COUNT_LIVE && !busy_o};
        data3_q     <= read;
        cfg_rdata_o <= mine_q[2] ? 32'(data3_q) : '0;
        if (rst) mine_q <= '0;
    end
    wire logic unused = &{1'b0, cfg_i, request_q, walk_q.empty, walk_q.take};
endmodule
`resetall
