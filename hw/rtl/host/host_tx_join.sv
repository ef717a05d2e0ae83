// SPDX-License-Identifier: Apache-2.0
//
// host_tx_join: brings the waiting beats of a frame and the answers about it together, and pads the frame.
//
// In       beats, edits and VIP answers from their queues, in the same order of frames. A frame waits for both answers.
// Out      the beats with the edit beside them, one a cycle; `edit_o` says arp or discovery only if the address is a
//          VIP. A frame of fewer than 60 bytes has got zeros up to there; `number_o` counts the beats before this one.
// Latency  1.
`resetall
`default_nettype none
module host_tx_join
    import hashgate_cfg_pkg::*;
    import hashgate_pkg::*;
    import stream_pkg::*;
    import host_tx_pkg::*;
(
    input  wire logic       clk,
    input  wire logic       rst,
    input  wire logic       beat_valid_i,
    output logic            beat_ready_o,
    input  wire beat_data_t beat_data_i,
    input  wire logic       beat_last_i,
    input  wire tail_t      beat_tail_i,    // with the last beat, as drop
    input  wire logic       beat_drop_i,
    input  wire port_t      beat_port_i,
    input  wire logic       edit_valid_i,
    output logic            edit_ready_o,
    input  wire edit_t      edit_i,
    input  wire logic       vip_valid_i,
    output logic            vip_ready_o,
    input  wire logic       vip_i,
    output logic            valid_o,
    output beat_data_t      data_o,
    output logic            last_o,
    output tail_t           tail_o,         // with the last beat, as drop
    output logic            drop_o,
    output port_t           port_o,
    output beat_number_t    number_o,
    output edit_t           edit_o
);
    // Where the last byte of a padded frame is.
    localparam beat_number_t PAD_BEAT = beat_number_t'((MIN_FRAME - 1) / BEAT_BYTES);
    localparam tail_t PAD_TAIL = tail_t'(MIN_FRAME % BEAT_BYTES);
    if (MIN_FRAME % BEAT_BYTES == 0) begin : gen_check
        $fatal(1, "%m: the shortest frame must not end with a full beat");
    end

    beat_number_t number_reg;   // beats of the frame that have left
    logic         edge_reg;     // just PAD_BEAT beats have left
    logic         long_reg;     // PAD_BEAT beats or more
    logic         padding_reg;  // the frame has ended, zeros follow
    logic         drop_reg;
    port_t        port_reg;
    logic         ready, leave, last;
    tail_t        tail;
    always_comb begin
        ready        = edit_valid_i && vip_valid_i;
        leave        = ready && (padding_reg || beat_valid_i);
        last         = padding_reg ? edge_reg : beat_last_i && long_reg;
        tail         = padding_reg ? PAD_TAIL : beat_tail_i;
        if (edge_reg && beat_tail_i != '0 && beat_tail_i < PAD_TAIL) tail = PAD_TAIL;
        beat_ready_o = ready && !padding_reg;
        edit_ready_o = leave && last;
        vip_ready_o  = leave && last;
    end

    always_ff @(posedge clk) begin
        valid_o  <= leave;
        data_o   <= padding_reg ? '0 : beat_data_i;
        last_o   <= last;
        tail_o   <= tail;
        drop_o   <= padding_reg ? drop_reg : beat_drop_i;
        port_o   <= padding_reg ? port_reg : beat_port_i;
        number_o <= number_reg;
        edit_o   <= edit_i;
        edit_o.arp       <= edit_i.arp && vip_i;
        edit_o.discovery <= edit_i.discovery && vip_i;
        if (leave) begin
            number_reg  <= last ? '0 : number_reg + 1'b1;
            edge_reg    <= last ? PAD_BEAT == '0 : number_reg == PAD_BEAT - 1'b1;
            long_reg    <= last ? PAD_BEAT == '0 : long_reg || number_reg == PAD_BEAT - 1'b1;
            padding_reg <= !last && (padding_reg || beat_last_i);
            if (!padding_reg) begin
                drop_reg <= beat_drop_i;
                port_reg <= beat_port_i;
            end
        end
        if (rst) begin
            valid_o     <= 1'b0;
            number_reg  <= '0;
            edge_reg    <= PAD_BEAT == '0;
            long_reg    <= PAD_BEAT == '0;
            padding_reg <= 1'b0;
        end
    end
endmodule
`resetall
