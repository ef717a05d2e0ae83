// SPDX-License-Identifier: Apache-2.0
//
// table_mover: commands of ring 12: tables of the core from and to memory, one command at a time.
//
// Load     bursts ahead of use as far as BUFFER_BYTES reach; one word a cycle to the core, if it grants one a cycle.
// Dump     one word a cycle from the core, as far as there is room for it; one line of 64 bytes at a time to memory.
// Bindings tables 13 (connection) and 14 (affinity) are walks over live bindings, 16 words each (binding_reader): `mover_begin_o` comes
//          before the first word; `mover_active_o` then says that the walk before goes on.
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
    output logic                 mover_begin_o,
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
    localparam logic [3:0] LAST_WALK = 4'd14;
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
    logic         active_q, walk_q, judged_q, operation_bad_q, length_bad_q;
    logic [31:0]  first_q, count_q;
    iova_t        memory_q;       // next byte to read or to write
    logic [31:0]  crc_q;
    iova_t        fault_address_q;
    logic         loading, dumping;  // the state is LOADING, DUMPING

    // Flags beside counters say that they are 0 or 1, so that nobody has to look at all of their bits.
    cfg_address_t address_q;
    logic [20:0]  words_q;        // to be asked for or given to the core
    logic         words_left_q;
    logic [22:0]  bytes_q;        // to be read from memory
    logic         bytes_left_q;
    logic [20:0]  to_come_q;      // words to take out of beats
    logic         come_left_q, come_last_q;
    logic [20:0]  to_pack_q;      // words of a dump to put into lines
    logic         pack_left_q, pack_last_q;

    // ---- beats from memory: words of commands and of tables ----------------------------------------------------------------
    logic                       beat_valid, beat_take, beats_full, flush, asked, take_word, word_q;
    beat_data_t                 beat;
    logic [31:0]                word_data_q;
    logic [LANE_BITS-1:0]       lane_q;
    logic [LANES-1:0][31:0]     lanes;
    logic [BEAT_COUNT_BITS-1:0] held_q;   // beats asked for or waiting
    logic                       room_q, empty_q;
    stream_fifo #(.WIDTH(BEAT_BITS), .DEPTH(BEATS)) u_beats (
        .clk, .rst, .in_valid_i(valid_i), .in_data_i(beat_i), .full_o(beats_full), .out_valid_o(beat_valid),
        .out_ready_i(beat_take), .out_data_o(beat));
    // One word a cycle into a register. The rest of a beat behind the last word is thrown away.
    logic        load_full, load_valid, load_take;
    logic [31:0] load_word;
    assign lanes     = beat;
    assign flush     = state_q == LEAVE || (loading && status_q != DONE);
    assign take_word = beat_valid && come_left_q && !load_full && !flush;
    assign beat_take = flush ? beat_valid : take_word && (lane_q == '1 || come_last_q);
    assign asked     = request_o && ready_i;
    // Words of a load that the core has not taken.
    paced_fifo #(.WIDTH(32), .DEPTH(WORDS), .MARGIN(8)) u_load (
        .clk, .rst(rst || state_q == IDLE), .in_valid_i(word_q && loading), .in_data_i(word_data_q), .full_o(load_full),
        .out_valid_o(load_valid), .out_ready_i(load_take), .out_data_o(load_word));

    // ---- words of a dump ------------------------------------------------------------------------------------------------------
    logic        out_valid, out_take, out_full, out_room_q, granted;
    logic [31:0] out_word;
    logic [5:0]  out_held_q;  // asked for or waiting
    stream_fifo #(.WIDTH(32), .DEPTH(WORDS)) u_words (
        .clk, .rst(rst || state_q == IDLE), .in_valid_i(mover_valid_i && dumping), .in_data_i(mover_data_i), .full_o(out_full),
        .out_valid_o(out_valid), .out_ready_i(out_take), .out_data_o(out_word));
    logic [5:0]         reads_q;      // asked for and not come
    logic [15:0][31:0]  line_q;
    logic [3:0]         packed_q;
    logic [4:0]         line_words_q;
    logic               answer_q;
    logic [5:0]         lines_q;      // of the dump, without response
    logic               sent, line_sent_q, dump_written_q, answer_written_q, written_error_q;
    iova_t              written_address_q;
    assign out_take     = dumping && out_valid && !line_valid_o;
    assign sent         = line_valid_o && line_ready_i;
    always_ff @(posedge clk) begin
        dump_written_q    <= written_i.valid && written_i.ring == RING_MOVER && !written_i.answer && !rst;
        answer_written_q  <= written_i.valid && written_i.ring == RING_MOVER && written_i.answer && !rst;
        written_error_q   <= written_i.error;
        written_address_q <= written_i.address;
    end

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
    assign crc_word  = loading ? granted : out_take;
    assign crc_input = loading ? load_word : out_word;
    for (genvar row = 0; row < 32; row++) begin : gen_crc
        assign crc_next[row] = ^((crc_q ^ crc_input) & CRC_MATRIX[row]);
    end

    // ---- the core -----------------------------------------------------------------------------------------------------------------
    assign mover_write_o   = operation_q == LOAD;
    assign mover_id_o      = table_e'(table_q);
    assign mover_active_o  = active_q;
    assign mover_address_o = address_q;
    assign mover_data_o    = load_word;
    assign mover_o   = !mover_wait_i && on_i && ((loading && load_valid && status_q == DONE)
                                                 || (dumping && words_left_q && out_room_q));
    assign granted   = mover_o && mover_grant_i;
    assign load_take = loading && on_i && !mover_wait_i && mover_grant_i;

    // ---- requests: up to a multiple of a burst's size -----------------------------------------------------------------------------
    logic [8:0] block;
    logic [6:0] what_beats_q;
    assign block = 9'(BURST_BYTES) - 9'(memory_q[7:0]);
    always_ff @(posedge clk) begin
        if (!request_o) begin
            what_o.ring    <= RING_MOVER;
            what_o.address <= memory_q;
            what_o.bytes   <= (bytes_q < 23'(block)) ? bytes_q[8:0] : block;
            what_o.last    <= 1'b0;
        end
        what_beats_q <= 7'((what_o.bytes + 9'(BEAT_BYTES - 1)) / 9'(BEAT_BYTES));
    end

    // ---- command by command -------------------------------------------------------------------------------------------------------
    logic [2:0] command_word_q;
    // Whether there is a command, and its entry: the index stands still for long enough before somebody looks.
    logic       due_q;
    index_t     entry_q;
    logic       asked_q;
    always_ff @(posedge clk) begin
        fault_o.valid <= 1'b0;
        walk_q        <= table_q > LAST_TABLE;
        mover_begin_o <= state_q == CHECK && !judged_q && walk_q && !rst;
        due_q   <= on_i && !start_i && producer_i != done_o;
        entry_q <= ring_entry(done_o, settings_i.size_log2);
        // reads of memory
        asked_q <= asked;
        held_q  <= held_q + (asked_q ? BEAT_COUNT_BITS'(what_beats_q) : '0) - BEAT_COUNT_BITS'(beat_take);
        room_q  <= 32'(held_q) <= BEATS - 3 * BURST_BYTES / BEAT_BYTES;
        empty_q <= held_q == '0 && !asked && !asked_q && !request_o;
        bytes_left_q <= bytes_q != '0 && !asked && !asked_q;  // else not known yet
        if (asked_q) begin
            bytes_q <= bytes_q - 23'(what_o.bytes);
            if (loading) memory_q <= memory_q + 64'(what_o.bytes);
        end
        if (asked) request_o <= 1'b0;
        else if (!request_o && !asked_q && bytes_left_q && room_q && status_q == DONE && (loading || state_q == FETCH)) request_o <= 1'b1;
        // words out of beats
        word_q <= take_word;
        if (take_word) begin
            word_data_q <= lanes[lane_q];
            lane_q      <= lane_q + 1'b1;
            to_come_q   <= to_come_q - 21'd1;
            come_left_q <= !come_last_q;
            come_last_q <= to_come_q == 21'd2;
        end
        // errors of data
        if (valid_i && error_i && status_q == DONE && loading) begin
            status_q        <= BUS_ERROR;
            fault_address_q <= error_address_i;
        end
        if (dump_written_q && written_error_q && status_q == DONE) begin
            status_q        <= BUS_ERROR;
            fault_address_q <= written_address_q;
        end
        // words of the table
        if (granted) begin
            address_q    <= address_q + 1'b1;
            words_q      <= words_q - 21'd1;
            words_left_q <= words_q != 21'd1;
        end
        if (crc_word) crc_q <= crc_next;
        reads_q    <= reads_q + 6'(granted && dumping) - 6'(mover_valid_i && reads_q != '0);
        out_held_q <= out_held_q + 6'(granted && dumping) - 6'(out_take);
        out_room_q <= out_held_q < 6'(WORDS - 3);
        // lines
        lines_q <= lines_q + 6'(sent && !answer_q) - 6'(dump_written_q);
        if (sent) line_valid_o <= 1'b0;
        line_sent_q <= sent && !answer_q;
        if (line_sent_q) memory_q <= memory_q + 64'd64;
        if (out_take) begin
            line_q[packed_q] <= out_word;
            packed_q         <= packed_q + 4'd1;
            line_words_q     <= 5'(packed_q) + 5'd1;
            line_valid_o     <= packed_q == 4'd15 || pack_last_q;
            to_pack_q        <= to_pack_q - 21'd1;
            pack_left_q      <= !pack_last_q;
            pack_last_q      <= to_pack_q == 21'd2;
        end

        case (state_q)
            IDLE: begin
                status_q       <= DONE;
                command_word_q <= '0;
                lane_q         <= '0;
                judged_q       <= 1'b0;
                answer_q       <= 1'b0;
                out_held_q     <= '0;
                if (due_q && on_i) begin
                    memory_q <= 64'({entry_q, 5'b0});
                    state_q  <= ADDRESS;
                end
            end
            ADDRESS: begin
                memory_q    <= {settings_i.base[63:12], 12'b0} + memory_q;
                bytes_q     <= 23'd32;
                to_come_q   <= 21'd8;
                come_left_q <= 1'b1;
                come_last_q <= 1'b0;
                state_q     <= FETCH;
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
                // Two cycles: judge, then go.
                judged_q        <= 1'b1;
                lane_q          <= '0;
                operation_bad_q <= (operation_q != DUMP && (operation_q != LOAD || walk_q)) || table_q > LAST_WALK;
                length_bad_q    <= count_q == '0 || (walk_q && count_q[3:0] != '0) || count_q > 32'h10_0000 || memory_q[5:0] != '0
                    || 32'(first_q[19:0]) + 32'(count_q[20:0]) > 32'h10_0000;
                address_q       <= first_q[19:0];
                words_q         <= count_q[20:0];
                words_left_q    <= 1'b1;
                to_pack_q       <= count_q[20:0];
                pack_left_q     <= 1'b1;
                pack_last_q     <= count_q == 32'd1;
                packed_q        <= '0;
                to_come_q       <= count_q[20:0];
                come_last_q     <= count_q == 32'd1;
                crc_q           <= '1;
                if (judged_q) begin
                    if (operation_bad_q || length_bad_q) begin
                        status_q <= BAD;
                        state_q  <= DRAIN;
                    end else begin
                        state_q     <= (operation_q == LOAD) ? LOADING : DUMPING;
                        loading     <= operation_q == LOAD;
                        dumping     <= operation_q != LOAD;
                        come_left_q <= operation_q == LOAD;
                        bytes_q     <= (operation_q == LOAD) ? {count_q[20:0], 2'b0} : '0;
                    end
                end
            end
            LOADING: begin
                if (status_q != DONE) begin
                    come_left_q <= 1'b0;
                    if (empty_q) begin
                        loading <= 1'b0;
                        state_q <= DRAIN;
                    end
                end else if (!words_left_q) begin
                    loading <= 1'b0;
                    state_q <= DRAIN;
                end
            end
            DUMPING: if (!pack_left_q && !line_valid_o) begin
                dumping <= 1'b0;
                state_q <= DRAIN;
            end
            // responses of what was written
            DRAIN: begin
                memory_q <= 64'({entry_q, 4'b0});
                if (lines_q == '0) state_q <= ANSWER;
            end
            ANSWER: begin
                memory_q     <= {settings_i.answers[63:12], 12'b0} + memory_q;
                line_q       <= {4{ring_phase(done_o, settings_i.size_log2), 63'b0,
                                   (status_q == BAD) ? '0 : ~crc_q, 8'b0, 6'b0, status_q, done_o}};
                line_words_q <= 5'd4;
                line_valid_o <= 1'b1;
                answer_q     <= 1'b1;
                done_o       <= done_o + 1'b1;
                state_q      <= COMPLETE;
            end
            COMPLETE: if (line_ready_i) state_q <= WAIT;
            WAIT: if (answer_written_q) state_q <= END;
            END: begin
                fault_o.valid <= status_q == BUS_ERROR;
                if (status_q != BUS_ERROR || !on_i) state_q <= IDLE;
            end
            // Until everything asked for has come.
            default: begin
                bytes_q      <= '0;
                come_left_q  <= 1'b0;
                words_left_q <= 1'b0;
                request_o    <= 1'b0;
                line_valid_o <= 1'b0;
                if (empty_q && reads_q == '0 && lines_q == '0 && !line_valid_o) state_q <= IDLE;
            end
        endcase
        if (!on_i && state_q inside {ADDRESS, FETCH, COMMAND, CHECK, LOADING, DUMPING, DRAIN}) begin
            loading <= 1'b0;
            dumping <= 1'b0;
            state_q <= LEAVE;
        end
        busy_o <= state_q != IDLE;
        data_o <= state_q != FETCH && state_q != COMMAND;
        if (start_i) done_o <= '0;
        if (rst) begin
            state_q       <= IDLE;
            loading       <= 1'b0;
            dumping       <= 1'b0;
            fault_o.valid <= 1'b0;
            request_o     <= 1'b0;
            asked_q       <= 1'b0;
            held_q        <= '0;
            room_q        <= 1'b0;
            empty_q       <= 1'b0;
            word_q        <= 1'b0;
            bytes_q       <= '0;
            bytes_left_q  <= 1'b0;
            come_left_q   <= 1'b0;
            words_left_q  <= 1'b0;
            pack_left_q   <= 1'b0;
            reads_q       <= '0;
            out_held_q    <= '0;
            lines_q       <= '0;
            line_sent_q   <= 1'b0;
            line_valid_o  <= 1'b0;
            done_o        <= '0;
            busy_o        <= 1'b0;
            data_o        <= 1'b1;
        end
    end
    assign fault_o.ring    = RING_MOVER;
    assign fault_o.address = fault_address_q;

    assign line_o.ring    = RING_MOVER;
    assign line_o.address = memory_q;
    assign line_o.words   = line_words_q;
    assign line_o.data    = line_q;
    assign line_o.answer  = answer_q;
    assign line_o.index   = done_o;
    `HG_ASSERT(flags_are_state, loading == (state_q == LOADING) && dumping == (state_q == DUMPING))
    wire logic unused = &{1'b0, beats_full, out_full, settings_i, written_i.completes, written_i.index, first_q[31:20]};
endmodule
`resetall
