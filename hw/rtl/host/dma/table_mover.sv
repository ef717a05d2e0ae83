// SPDX-License-Identifier: Apache-2.0
//
// table_mover: commands of ring 12: tables of the core from and to memory, one command at a time.
//
// Load     bursts ahead of use as far as BUFFER_BYTES reach; one word a cycle to the core, if it grants one a cycle.
// Dump     one word a cycle from the core, as far as there is room for it; one line of 64 bytes at a time to memory.
// CRC      over the words in the order of the table, as table_check computes it.
// Error    of the data of a command: the command is completed with status 2, then the ring halts (`fault_o` with the address). After the
//          error nothing more is loaded. Errors of commands and completions are not seen here.
// Stop     when the ring is switched off, the command is left where it is, without completion.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module table_mover
    import dma_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic            clk,
    input  wire logic            rst,
    input  wire logic            on_i,
    input  wire logic            start_i,
    input  wire ring_settings_t  settings_i,
    input  wire index_t          producer_i,
    output index_t               done_o,
    output logic                 busy_o,
    output fault_t               fault_o,
    output logic                 data_o,          // reads are for data, not for a command
    // reads
    output logic                 request_o,
    input  wire logic            ready_i,
    output read_request_t        what_o,
    input  wire logic            valid_i,
    input  wire beat_data_t      beat_i,
    input  wire logic            error_i,
    input  wire iova_t           error_address_i,
    // writes
    output logic                 line_valid_o,
    input  wire logic            line_ready_i,
    output short_write_t         line_o,
    input  wire written_t        written_i,
    // tables of the core
    output logic                 mover_o,
    output logic                 mover_write_o,
    output table_e               mover_id_o,
    output logic                 mover_active_o,
    output cfg_address_t         mover_address_o,
    output logic [31:0]          mover_data_o,
    input  wire logic            mover_grant_i,
    input  wire logic            mover_valid_i,
    input  wire logic [31:0]     mover_data_i,
    input  wire logic            mover_wait_i
);
    localparam int unsigned BUFFER_BYTES = 8192;
    localparam int unsigned BEATS = BUFFER_BYTES / BEAT_BYTES;
    localparam int unsigned BEAT_COUNT_BITS = $clog2(BEATS) + 1;
    localparam int unsigned LANES = BEAT_BYTES / 4;
    localparam int unsigned LANE_BITS = $clog2(LANES);
    localparam logic [7:0] LOAD = 8'd1;
    localparam logic [7:0] DUMP = 8'd2;
    localparam logic [3:0] LAST_TABLE = 4'd12;
    // Words of a dump that can wait, with those that are on the way from the core.
    localparam int unsigned WORDS = 32;

    typedef enum logic [3:0] {
        IDLE,
        ADDRESS,
        FETCH,
        COMMAND,
        CHECK,
        LOADING,
        DUMPING,
        DRAIN,
        ANSWER,
        COMPLETE,
        WAIT,
        END,
        LEAVE
    } state_e;
    typedef enum logic [1:0] {
        DONE,
        BAD,
        BUS_ERROR
    } status_e;
    state_e       state_q;
    status_e      status_q;
    logic [7:0]   operation_q;
    logic [3:0]   table_q;
    logic         active_q, possible_q, operation_bad_q, length_bad_q;
    logic [31:0]  first_q, count_q;
    cfg_address_t address_q;
    logic [20:0]  words_q;        // to be asked for or to be written
    iova_t        memory_q;       // next byte to read or to write
    logic [22:0]  bytes_q;        // to be read
    logic [31:0]  crc_q;
    iova_t        fault_address_q;

    // ---- beats from memory: words of commands and of tables ----------------------------------------------------------------
    logic       beat_valid, beat_take, beats_full;
    beat_data_t beat;
    stream_fifo #(.WIDTH(BEAT_BITS), .DEPTH(BEATS)) u_beats (
        .clk, .rst, .in_valid_i(valid_i), .in_data_i(beat_i), .full_o(beats_full), .out_valid_o(beat_valid),
        .out_ready_i(beat_take), .out_data_o(beat));
    logic [BEAT_COUNT_BITS-1:0] held_q;   // beats asked for or waiting
    logic                       room_q;
    logic [LANE_BITS-1:0]       lane_q;
    logic                       word_q, word_use, load_word, flush;
    logic [31:0]                word_data_q;
    logic [22:0]                to_come_q;  // words to take out of beats
    logic [LANES-1:0][31:0]     lanes;
    assign lanes = beat;
    // One word at a time into a register. The rest of a beat behind the last word is thrown away.
    assign load_word = beat_valid && to_come_q != '0 && !flush && (!word_q || word_use);
    assign flush     = state_q == LEAVE || (state_q == LOADING && status_q != DONE);
    assign beat_take = flush ? beat_valid : load_word && (lane_q == LANE_BITS'(LANES - 1) || to_come_q == 23'd1);
    logic       asked;
    logic [6:0] asked_beats;
    assign asked       = request_o && ready_i;
    assign asked_beats = 7'((what_o.bytes + 9'(BEAT_BYTES - 1)) / 9'(BEAT_BYTES));

    // ---- words of a dump ------------------------------------------------------------------------------------------------------
    logic        out_valid, out_take, out_full;
    logic [31:0] out_word;
    logic [5:0]  out_held_q;
    logic        out_room_q, granted;
    stream_fifo #(.WIDTH(32), .DEPTH(WORDS)) u_words (
        .clk, .rst(rst || state_q == IDLE), .in_valid_i(mover_valid_i && state_q == DUMPING), .in_data_i(mover_data_i), .full_o(out_full), .out_valid_o(out_valid),
        .out_ready_i(out_take), .out_data_o(out_word));
    logic [5:0]         reads_q;      // asked for and not come
    logic [20:0]        to_pack_q;
    logic [15:0][31:0]  line_q;
    logic [3:0]         packed_q;
    logic               line_full_q;
    logic [4:0]         line_words_q;
    logic [5:0]         lines_q;      // without response

    // ---- CRC --------------------------------------------------------------------------------------------------------------------
    // One bit of the message at a time, unrolled over a word; linear in crc ^ word (as in table_check).
    typedef logic [31:0][31:0] matrix_t;
    function automatic matrix_t crc_matrix();
        for (int column = 0; column < 32; column++) begin
            logic [31:0] crc;
            crc = 32'b1 << column;
            for (int step = 0; step < 32; step++) crc = (crc >> 1) ^ (crc[0] ? 32'hedb88320 : 32'h0);
            for (int row = 0; row < 32; row++) crc_matrix[row][column] = crc[row];
        end
    endfunction
    localparam matrix_t CRC_MATRIX = crc_matrix();
    logic        crc_word;
    logic [31:0] crc_input, crc_next;
    assign crc_word  = (state_q == LOADING) ? granted : out_take;
    assign crc_input = (state_q == LOADING) ? word_data_q : out_word;
    for (genvar row = 0; row < 32; row++) begin : gen_crc
        assign crc_next[row] = ^((crc_q ^ crc_input) & CRC_MATRIX[row]);
    end

    // ---- the core -----------------------------------------------------------------------------------------------------------------
    assign mover_write_o   = operation_q == LOAD;
    assign mover_id_o      = table_e'(table_q);
    assign mover_active_o  = active_q;
    assign mover_address_o = address_q;
    assign mover_data_o    = word_data_q;
    assign mover_o  = !mover_wait_i && on_i && ((state_q == LOADING && word_q && status_q == DONE)
                                        || (state_q == DUMPING && words_q != '0 && out_room_q));
    assign granted  = mover_o && mover_grant_i;
    // After an error words are thrown away.
    assign word_use = (state_q == COMMAND && word_q) || (state_q == LOADING && granted) || flush;
    assign out_take = state_q == DUMPING && out_valid && (!line_full_q || (line_valid_o && line_ready_i));

    logic [2:0] command_word_q;
    logic       dump_written;
    assign dump_written = written_i.valid && written_i.ring == RING_MOVER && !written_i.answer;
    always_ff @(posedge clk) begin
        fault_o.valid <= 1'b0;
        held_q <= held_q + (asked ? BEAT_COUNT_BITS'(asked_beats) : '0) - BEAT_COUNT_BITS'(beat_take);
        room_q <= 32'(held_q) <= BEATS - 2 * BURST_BYTES / BEAT_BYTES;
        if (load_word) begin
            word_data_q  <= lanes[lane_q];
            to_come_q    <= to_come_q - 23'd1;
            lane_q       <= lane_q + 1'b1;
        end
        word_q <= load_word || (word_q && !word_use);
        if (valid_i && error_i && status_q == DONE && state_q == LOADING) begin
            status_q        <= BUS_ERROR;
            fault_address_q <= error_address_i;
        end
        if (dump_written && written_i.error && status_q == DONE) begin
            status_q        <= BUS_ERROR;
            fault_address_q <= written_i.address;
        end
        if (granted) begin
            address_q <= address_q + 1'b1;
            words_q   <= words_q - 21'd1;
        end
        if (crc_word) crc_q <= crc_next;
        reads_q    <= reads_q + 6'(granted && state_q == DUMPING) - 6'(mover_valid_i && reads_q != '0);
        out_held_q <= out_held_q + 6'(granted && state_q == DUMPING) - 6'(out_take);
        out_room_q <= out_held_q < 6'(WORDS - 3);
        lines_q    <= lines_q + 6'(line_valid_o && line_ready_i && state_q == DUMPING) - 6'(dump_written);
        // a line of a dump
        if (line_valid_o && line_ready_i) line_full_q <= 1'b0;
        if (out_take) begin
            line_q[packed_q] <= out_word;
            packed_q         <= packed_q + 4'd1;
            to_pack_q        <= to_pack_q - 21'd1;
            line_full_q      <= packed_q == 4'd15 || to_pack_q == 21'd1;
            line_words_q     <= 5'(packed_q) + 5'd1;
        end

        case (state_q)
            IDLE: begin
                status_q       <= DONE;
                command_word_q <= '0;
                possible_q     <= 1'b0;
                lane_q         <= '0;
                to_come_q      <= '0;
                if (on_i && !start_i && producer_i != done_o) begin
                    memory_q <= 64'({ring_entry(done_o, settings_i.size_log2), 5'b0});
                    state_q  <= ADDRESS;
                end
            end
            ADDRESS: begin
                memory_q  <= {settings_i.base[63:12], 12'b0} + memory_q;
                bytes_q   <= 23'd32;
                to_come_q <= 23'd8;
                state_q   <= FETCH;
            end
            FETCH: begin
                lane_q <= (LANES > 8) ? LANE_BITS'(memory_q[5:2]) : '0;
                if (asked) state_q <= COMMAND;
            end
            COMMAND: begin
                if (word_q) begin
                    command_word_q <= command_word_q + 3'd1;
                    case (command_word_q)
                        3'd0: {active_q, table_q, operation_q} <= word_data_q[12:0];
                        3'd1: first_q <= word_data_q;
                        3'd2: count_q <= word_data_q;
                        3'd4: memory_q[31:0] <= word_data_q;
                        3'd5: memory_q[63:32] <= word_data_q;
                        default: ;
                    endcase
                    if (command_word_q == 3'd7) state_q <= CHECK;
                end
            end
            CHECK: begin
                lane_q          <= '0;
                operation_bad_q <= (operation_q != LOAD && operation_q != DUMP) || table_q > LAST_TABLE;
                length_bad_q    <= count_q == '0 || count_q > 32'h10_0000 || memory_q[5:0] != '0
                    || 32'(first_q[19:0]) + 32'(count_q[20:0]) > 32'h10_0000;
                possible_q      <= !possible_q;  // two cycles: judge, then go
                address_q       <= first_q[19:0];
                words_q         <= count_q[20:0];
                to_pack_q       <= count_q[20:0];
                packed_q        <= '0;
                crc_q           <= '1;
                if (possible_q) begin
                    if (operation_bad_q || length_bad_q) begin
                        status_q <= BAD;
                        state_q  <= DRAIN;
                    end else begin
                        state_q   <= (operation_q == LOAD) ? LOADING : DUMPING;
                        to_come_q <= (operation_q == LOAD) ? 23'(count_q[20:0]) : '0;
                        bytes_q   <= (operation_q == LOAD) ? {count_q[20:0], 2'b0} : '0;
                    end
                end
            end
            LOADING: begin
                if (status_q != DONE) to_come_q <= '0;
                if (to_come_q == '0 && !word_q && held_q == '0) state_q <= DRAIN;
            end
            DUMPING: begin
                if (line_valid_o && line_ready_i) memory_q <= memory_q + 64'd64;
                if (to_pack_q == '0 && !line_full_q) state_q <= DRAIN;
            end
            // responses of what was written
            DRAIN: if (lines_q == '0 && !dump_written) begin
                memory_q <= 64'({ring_entry(done_o, settings_i.size_log2), 4'b0});
                state_q  <= ANSWER;
            end
            ANSWER: begin
                memory_q <= {settings_i.answers[63:12], 12'b0} + memory_q;
                line_q   <= {4{ring_phase(done_o, settings_i.size_log2), 63'b0,
                               (status_q == BAD) ? '0 : ~crc_q, 8'b0, 6'b0, status_q, done_o}};
                line_words_q <= 5'd4;
                done_o   <= done_o + 1'b1;
                state_q  <= COMPLETE;
            end
            COMPLETE: if (line_ready_i) state_q <= WAIT;
            WAIT: if (written_i.valid && written_i.ring == RING_MOVER) state_q <= END;
            END: begin
                fault_o.valid <= status_q == BUS_ERROR;
                if (status_q != BUS_ERROR || !on_i) state_q <= IDLE;
            end
            // Until everything asked for has come.
            default: begin
                bytes_q   <= '0;
                to_come_q <= '0;
                words_q   <= '0;
                if (held_q == '0 && reads_q == '0 && lines_q == '0 && !valid_i && !beat_valid && !dump_written) state_q <= IDLE;
            end
        endcase
        if (asked) begin
            bytes_q  <= bytes_q - 23'(what_o.bytes);
            memory_q <= memory_q + ((state_q == FETCH) ? '0 : 64'(what_o.bytes));
        end
        if (state_q == LEAVE) begin
            line_full_q <= 1'b0;
            out_held_q  <= '0;
        end
        if (!on_i && state_q inside {ADDRESS, FETCH, COMMAND, CHECK, LOADING, DUMPING, DRAIN}) state_q <= LEAVE;
        busy_o <= state_q != IDLE;
        if (start_i) done_o <= '0;
        if (rst) begin
            state_q       <= IDLE;
            fault_o.valid <= 1'b0;
            held_q        <= '0;
            word_q        <= 1'b0;
            lane_q        <= '0;
            reads_q       <= '0;
            out_held_q    <= '0;
            lines_q       <= '0;
            line_full_q   <= 1'b0;
            done_o        <= '0;
            bytes_q       <= '0;
            words_q       <= '0;
            to_come_q     <= '0;
            possible_q    <= 1'b0;
            room_q        <= 1'b0;
            busy_o        <= 1'b0;
        end
    end
    assign fault_o.ring    = RING_MOVER;
    assign fault_o.address = fault_address_q;
    assign data_o          = state_q != FETCH && state_q != COMMAND;

    // A burst: up to a multiple of its size.
    assign request_o = bytes_q != '0 && room_q && (state_q == FETCH || state_q == LOADING) && status_q == DONE;
    logic [8:0] block;
    assign block  = 9'(BURST_BYTES) - 9'(memory_q[7:0]);
    assign what_o = '{ring: RING_MOVER, address: memory_q, bytes: (bytes_q < 23'(block)) ? bytes_q[8:0] : block, last: 1'b0};

    assign line_valid_o   = (state_q == DUMPING && line_full_q) || state_q == COMPLETE;
    assign line_o.ring    = RING_MOVER;
    assign line_o.address = memory_q;
    assign line_o.words   = line_words_q;
    assign line_o.data    = line_q;
    assign line_o.answer  = state_q == COMPLETE;
    assign line_o.index   = done_o;
    wire logic unused = &{1'b0, beats_full, out_full, settings_i, written_i, first_q[31:20]};
endmodule
`resetall
