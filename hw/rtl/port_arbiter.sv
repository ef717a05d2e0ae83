// SPDX-License-Identifier: Apache-2.0
//
// port_arbiter: the frames of all wire ports, one after the other, into the one pipeline.
//
// In       frames from the ingress of each port; they cannot wait.
// Out      one stream with the number of the port.
// PORTS 1  wires.
// PORTS 2  a cut-through buffer per port, emptied frame by frame in turn. A frame that comes while a frame of maximum
//          size would not fit into the buffer is lost whole: `overrun_o` of its port is high for one cycle.
// Latency  0 with one port, else PORT_LATENCY cycles if the other port has no frame.
`resetall
`default_nettype none
module port_arbiter
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
(
    input  wire logic                            clk,
    input  wire logic                            rst,
    input  wire logic [PORTS-1:0]                valid_i,
    input  wire logic [PORTS-1:0][BEAT_BITS-1:0] data_i,
    input  wire logic [PORTS-1:0]                first_i,
    input  wire logic [PORTS-1:0]                last_i,
    input  wire logic [PORTS-1:0][13:0]          length_i,    // with the last beat, as the marks
    input  wire logic [PORTS-1:0]                error_i,
    input  wire logic [PORTS-1:0]                oversize_i,
    output logic [PORTS-1:0]                     overrun_o,
    output logic                                 valid_o,
    output beat_data_t                           data_o,
    output logic                                 first_o,
    output logic                                 last_o,
    output length_t                              length_o,
    output logic                                 error_o,
    output logic                                 oversize_o,
    output port_t                                port_o
);
    if (PORTS == 1) begin : gen_one
        always_comb begin
            overrun_o  = '0;
            valid_o    = valid_i[0];
            data_o     = data_i[0];
            first_o    = first_i[0];
            last_o     = last_i[0];
            length_o   = length_i[0];
            error_o    = error_i[0];
            oversize_o = oversize_i[0];
            port_o     = '0;
        end
        wire logic unused = &{1'b0, clk, rst};
    end else begin : gen_more
        typedef struct packed {
            logic         error;
            logic         oversize;
            beat_number_t length;  // its bits above the tail
        } meta_t;

        logic  [PORTS-1:0]                     fifo_valid, fifo_ready, fifo_last;
        logic  [PORTS-1:0][BEAT_BITS-1:0]      fifo_data;
        logic  [PORTS-1:0][TAIL_BITS-1:0]      fifo_tail;
        logic  [PORTS-1:0][$bits(meta_t)-1:0]  fifo_meta;
        for (genvar p = 0; p < PORTS; p++) begin : gen_port
            logic  room, admitted_reg, admit;
            meta_t in_meta;
            assign admit = first_i[p] ? room : admitted_reg;
            always_ff @(posedge clk) begin
                if (valid_i[p]) admitted_reg <= admit;
                overrun_o[p] <= valid_i[p] && first_i[p] && !room;
                if (rst) overrun_o[p] <= 1'b0;
            end
            always_comb begin
                in_meta.error    = error_i[p];
                in_meta.oversize = oversize_i[p];
                in_meta.length   = length_i[p][13:TAIL_BITS];
            end
            frame_fifo #(
                .DEPTH(DATA_BUFFER_BEATS), .META_BITS($bits(meta_t))
            ) u_fifo (
                .clk, .rst, .room_o(room), .in_valid_i(valid_i[p] && admit), .in_data_i(data_i[p]), .in_last_i(last_i[p]),
                .in_tail_i(length_i[p][TAIL_BITS-1:0]), .in_drop_i(1'b0), .in_meta_i(in_meta),
                .out_valid_o(fifo_valid[p]), .out_ready_i(fifo_ready[p]), .out_data_o(fifo_data[p]),
                .out_last_o(fifo_last[p]), .out_tail_o(fifo_tail[p]), .out_meta_o(fifo_meta[p]));
        end

        beat_keep_t keep;
        tail_t      tail;
        meta_t      meta;
        frame_select #(
            .SOURCES(PORTS), .META_BITS($bits(meta_t)), .FAIR(1'b1)
        ) u_select (
            .clk, .rst, .in_valid_i(fifo_valid), .in_ready_o(fifo_ready), .in_data_i(fifo_data), .in_last_i(fifo_last),
            .in_tail_i(fifo_tail), .in_meta_i(fifo_meta), .out_valid_o(valid_o), .out_ready_i(1'b1), .out_data_o(data_o),
            .out_keep_o(keep), .out_last_o(last_o), .out_tail_o(tail), .out_meta_o(meta), .out_source_o(port_o));
        logic inside_reg;
        always_ff @(posedge clk) begin
            if (valid_o) inside_reg <= !last_o;
            if (rst) inside_reg <= 1'b0;
        end
        assign first_o    = !inside_reg;
        assign length_o   = {meta.length, tail};
        assign error_o    = meta.error;
        assign oversize_o = meta.oversize;
        wire logic unused = &{1'b0, keep};
    end
endmodule
`resetall
