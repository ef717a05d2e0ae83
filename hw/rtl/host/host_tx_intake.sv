// SPDX-License-Identifier: Apache-2.0
//
// host_tx_intake: the frames of both host streams, one after the other.
//
// In       two AXI4-Streams, 0 data and 1 control; `tport_i` names the wire port and is looked at with the first beat.
//          A stream that has begun a frame is served until its end, so a host must not leave a frame unfinished.
// Choice   at the start of a frame the control stream, if it has one and the buffers of its port have room for one
//          frame, in both classes (the class is not known yet). The data stream has to leave room for another frame: so
//          it never takes the room that a control frame needs.
// Out      the beats without ready, bytes beyond the end of the frame are zero; no beat is taken while `hold_i` is
//          high, so two more may come after it rose. With the last beat `drop_o`: the frame has fewer than 14 or
//          more than MAX_FRAME bytes; a longer one ends with the beat that passes the limit, the rest is swallowed.
// Latency  2.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module host_tx_intake
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
(
    input  wire logic                       clk,
    input  wire logic                       rst,
    // from the host
    input  wire logic [1:0]                 tvalid_i,
    output logic [1:0]                      tready_o,
    input  wire logic [1:0][BEAT_BITS-1:0]  tdata_i,
    input  wire logic [1:0][BEAT_BYTES-1:0] tkeep_i,
    input  wire logic [1:0]                 tlast_i,
    input  wire logic [1:0]                 tport_i,
    // room for n + 1 frames in the buffer of each port
    input  wire logic [PORTS-1:0][1:0]      data_room_i,
    input  wire logic [PORTS-1:0][1:0]      control_room_i,
    // beats
    input  wire logic                       hold_i,
    output logic                            valid_o,
    output beat_data_t                      data_o,
    output logic                            first_o,
    output logic                            last_o,
    output tail_t                           tail_o,   // with the last beat, as drop
    output logic                            drop_o,
    output port_t                           port_o
);
    localparam int unsigned ETHERNET_HEADER = 14;
    // Where the last byte of the shortest frame is.
    localparam int unsigned RUNT_BEAT = (ETHERNET_HEADER - 1) / BEAT_BYTES;
    localparam int unsigned RUNT_BYTE = (ETHERNET_HEADER - 1) % BEAT_BYTES;
    if (RUNT_BEAT > 1) begin : gen_check
        $fatal(1, "%m: BEAT_BYTES = %0d must be 8 or more", BEAT_BYTES);
    end
    // Where the first byte beyond the longest frame is.
    localparam int unsigned CUT_BEAT = MAX_FRAME / BEAT_BYTES;
    localparam int unsigned CUT_BYTE = MAX_FRAME % BEAT_BYTES;

    // ---- choice -----------------------------------------------------------------------------------------------------
    logic       inside_reg;  // a frame has begun and not ended
    logic       owner_reg;   // its stream
    logic       owner;
    logic [1:0] allowed;
    logic       take;
    port_t [1:0] wanted;
    always_comb begin
        for (int unsigned s = 0; s < 2; s++) wanted[s] = (PORTS > 1) ? port_t'(tport_i[s]) : '0;
        allowed[0] = data_room_i[wanted[0]][1] && control_room_i[wanted[0]][1];
        allowed[1] = data_room_i[wanted[1]][0] && control_room_i[wanted[1]][0];
        owner      = inside_reg ? owner_reg : tvalid_i[1] && allowed[1];
        tready_o   = '0;
        tready_o[owner] = (inside_reg || allowed[owner]) && !hold_i;
        take       = tvalid_i[owner] && tready_o[owner];
    end

    // ---- cycle 1: the beat ------------------------------------------------------------------------------------------
    logic       valid_reg;
    logic       first_reg;
    logic       last_reg;
    beat_data_t data_reg;
    beat_keep_t keep_reg;
    port_t      port_reg;
    always_ff @(posedge clk) begin
        valid_reg <= take;
        if (take) begin
            inside_reg <= !tlast_i[owner];
            owner_reg  <= owner;
            first_reg  <= !inside_reg;
            if (!inside_reg) port_reg <= wanted[owner];
        end
        last_reg <= tlast_i[owner];
        data_reg <= tdata_i[owner];
        keep_reg <= tkeep_i[owner];
        if (rst) begin
            inside_reg <= 1'b0;
            valid_reg  <= 1'b0;
        end
    end

    // ---- cycle 2: its end -------------------------------------------------------------------------------------------
    beat_number_t before_reg;  // beats of the frame before this one
    logic         skip_reg;    // the frame has been cut, its end is awaited
    logic         over;
    logic         runt;
    always_comb begin
        over = before_reg == beat_number_t'(CUT_BEAT) && (!last_reg || keep_reg[CUT_BYTE]);
        runt = (RUNT_BEAT != 0 && before_reg == '0) || (before_reg == beat_number_t'(RUNT_BEAT) && !keep_reg[RUNT_BYTE]);
    end
    always_ff @(posedge clk) begin
        valid_o <= valid_reg && !skip_reg;
        data_o  <= kept_bytes(data_reg, keep_reg);
        first_o <= first_reg;
        last_o  <= last_reg || over;
        tail_o  <= tail_of_keep(keep_reg);
        drop_o  <= over || runt;
        port_o  <= port_reg;
        if (valid_reg) begin
            before_reg <= last_reg ? '0 : before_reg + 1'b1;
            skip_reg   <= !last_reg && (skip_reg || over);
        end
        if (rst) begin
            valid_o    <= 1'b0;
            before_reg <= '0;
            skip_reg   <= 1'b0;
        end
    end

    for (genvar s = 0; s < 2; s++) begin : gen_rules
        `HG_ASSERT(keep_contiguous, !tvalid_i[s] || (tkeep_i[s] & (tkeep_i[s] + 1'b1)) == '0)
        `HG_ASSERT(keep_full, !tvalid_i[s] || tlast_i[s] || &tkeep_i[s])
        `HG_ASSERT_STABLE(input_stable, tvalid_i[s] && !tready_o[s],
                          {tvalid_i[s], tdata_i[s], tkeep_i[s], tlast_i[s], tport_i[s]})
    end
    if (PORTS == 1) begin : gen_one
        wire logic unused = &{1'b0, tport_i};
    end
endmodule
`resetall
