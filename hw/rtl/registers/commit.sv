// SPDX-License-Identifier: Apache-2.0
//
// commit: which banks are active, which shadows are verified, and the switch from one generation to the next.
//
// Commit     `commit_i` (held until `done_o`) names tables and maps. If each of them is verified, the banks of the idle generation become
//            those of the running one with the named ones exchanged, and one cycle later `gen_o` flips; a frame samples `gen_o` once
//            and uses `banks_o[gen]` all its way. Otherwise nothing changes and `refused_o` comes with `done_o`. A commit ends the
//            verification of what it names: the new shadows hold old content.
// Drain      `busy_o` for DRAIN cycles after the flip: frames of the old generation may still read the new shadows, which must not be
//            written. A further commit waits, as it does while `hold_i`.
// Verify     `verified_i` marks the shadow of table `subject_id_i` (map `subject_map_i`), `touched_i` unmarks it.
`resetall
`default_nettype none
module commit
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
#(
    // Cycles after which every frame of the old generation has left the pipeline.
    parameter int unsigned DRAIN = 256
) (
    input  wire logic            clk,
    input  wire logic            rst,
    // commit
    input  wire logic            hold_i,
    input  wire logic            commit_i,
    input  wire logic [7:0]      tables_i,      // bit per table id
    input  wire logic [95:0]     maps_i,        // bit per map
    output logic                 done_o,
    output logic                 refused_o,
    output logic                 busy_o,
    output logic [31:0]          generation_o,  // commits done
    // verification; the two never come in one cycle
    input  wire logic            verified_i,
    input  wire logic            touched_i,
    input  wire table_e          subject_id_i,
    input  wire map_t            subject_map_i,
    output logic [5:0]           verified_tables_o,
    output logic [MAPS-1:0]      verified_maps_o,
    // banks
    output logic                 gen_o,
    output banks_t [1:0]         banks_o,
    output banks_t               active_o       // banks_o[gen_o]
);
    if (DRAIN <= PIPELINE_LATENCY) begin : gen_check_drain
        $fatal(1, "%m: DRAIN %0d must be above the pipeline latency %0d", DRAIN, PIPELINE_LATENCY);
    end
    if (MAPS > 96) begin : gen_check_maps
        $fatal(1, "%m: MAPS %0d exceeds the 96 bits of COMMIT_MAPS", MAPS);
    end

    localparam int unsigned DRAIN_BITS = $clog2(DRAIN);
    typedef enum logic [1:0] {
        IDLE,
        DECIDE,  // refused_q is known
        FLIP     // the banks of the next generation are in place
    } state_e;
    state_e                state_q;
    logic                  refused_q;
    logic [DRAIN_BITS-1:0] drain_q;
    banks_t                next_q;

    // Exchange the banks of what the commit names.
    banks_t next;
    always_comb begin
        next           = active_o;
        next.zone      = active_o.zone ^ tables_i[3'(TABLE_ZONE)];
        next.mac       = active_o.mac ^ tables_i[3'(TABLE_MAC)];
        next.vip       = active_o.vip ^ tables_i[3'(TABLE_VIP)];
        next.match     = active_o.match ^ tables_i[3'(TABLE_MATCH)];
        next.rule      = active_o.rule ^ tables_i[3'(TABLE_RULE)];
        next.target    = active_o.target ^ tables_i[3'(TABLE_TARGET)];
        next.map       = active_o.map ^ maps_i[MAPS-1:0];
        next.map_valid = active_o.map_valid | maps_i[MAPS-1:0];
    end

    logic commit_now;
    assign commit_now = state_q == DECIDE && !refused_q;
    always_ff @(posedge clk) begin
        done_o    <= 1'b0;
        refused_o <= 1'b0;
        refused_q <= |(tables_i & ~{2'b0, verified_tables_o}) || |(maps_i & ~96'(verified_maps_o));
        drain_q   <= drain_q - 1'b1;
        if (drain_q == '0) busy_o <= 1'b0;
        case (state_q)
            IDLE: if (commit_i && !done_o && !hold_i && !busy_o) state_q <= DECIDE;
            DECIDE: begin
                next_q          <= next;
                banks_o[!gen_o] <= refused_q ? banks_o[!gen_o] : next;
                done_o          <= refused_q;
                refused_o       <= refused_q;
                state_q         <= refused_q ? IDLE : FLIP;
            end
            default: begin
                gen_o        <= !gen_o;
                active_o     <= next_q;
                generation_o <= generation_o + 1'b1;
                drain_q      <= DRAIN_BITS'(DRAIN - 1);
                busy_o       <= 1'b1;
                done_o       <= 1'b1;
                state_q      <= IDLE;
            end
        endcase
        if (rst) begin
            state_q      <= IDLE;
            busy_o       <= 1'b0;
            generation_o <= '0;
            gen_o        <= 1'b0;
            banks_o      <= '0;
            active_o     <= '0;
            done_o       <= 1'b0;
            refused_o    <= 1'b0;
        end
    end

    always_ff @(posedge clk) begin
        for (int unsigned i = 0; i < 6; i++) begin
            if (subject_id_i == table_e'(i) && (verified_i || touched_i)) verified_tables_o[i] <= verified_i;
        end
        for (int unsigned i = 0; i < MAPS; i++) begin
            if (subject_id_i == TABLE_MAP && subject_map_i == map_t'(i) && (verified_i || touched_i)) verified_maps_o[i] <= verified_i;
        end
        if (commit_now) begin
            verified_tables_o <= verified_tables_o & ~tables_i[5:0];
            verified_maps_o   <= verified_maps_o & ~maps_i[MAPS-1:0];
        end
        if (rst) begin
            verified_tables_o <= '0;
            verified_maps_o   <= '0;
        end
    end
endmodule
`resetall
