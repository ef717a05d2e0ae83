// SPDX-License-Identifier: Apache-2.0
//
// binding_reader: the bindings of a table, one after the other, as words for the table mover.
//
// Begin    `begin_i`: a walk over the connection or (`affinity_i`) the affinity table: the first live session from `session_i` on is the
//          first entry; with `continue_i` the walk before goes on where its last whole entry ended. It is one cycle or more before the
//          first `read_i`.
// Read     a word when `read_i` and `grant_o`; it comes in the next cycle with `valid_o`. An entry has 16 words:
//            0      0                                     1  9:4 as in an event (4 affinity, 5 fresh), 10:8 state, 25:16 target
//            2      11:0 bucket, 22:16 rule               3  15:0 session, 31:16 expires
//            4..13  key                                   14 0       15  bit 31: there is an entry
//          After the last session all words are 0.
// Tables   operation NEXT of binding_host, one at a time, the next one while an entry is read. `request_i` is what the registers ask;
//          it goes first, and its operands pass with a delay of a cycle. `answer_o` is theirs.
// Bound    some 25 cycles an entry, and 6 for each session that is not live.
`resetall
`default_nettype none
module binding_reader
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic                clk,
    input  wire logic                rst,
    // mover
    input  wire logic                begin_i,
    input  wire logic                affinity_i,
    input  wire logic                continue_i,
    input  wire logic [15:0]         session_i,
    input  wire logic                read_i,
    output logic                     grant_o,
    output logic                     valid_o,
    output logic [31:0]              data_o,
    // registers
    input  wire host_request_t [1:0] request_i,
    output host_answer_t [1:0]       answer_o,
    // tables
    output host_request_t [1:0]      request_o,
    input  wire host_answer_t [1:0]  answer_i
);
    localparam logic [16:0] LAST_SESSION = 17'(hashgate_cfg_pkg::SESSIONS - 1);

    typedef enum logic [1:0] {
        REST,
        TAKE,  // the table, from the registers
        SET,   // operands
        ASK
    } state_e;
    state_e       state_q;
    logic         asked_q;       // table that is asked
    logic         stale_q;       // the walk of the question has ended
    logic [1:0]   owner_q;       // the reader has the table
    logic [1:0]   started_q;     // operands of the registers have passed

    // ---- the walk -----------------------------------------------------------------------------------------------------------
    logic         affinity_q, end_q, begun_q;
    session_t     session_q;     // from which on
    logic         next_valid_q, entry_valid_q, ready_q;
    logic [3:0]   word_q;
    // An answer that is an entry.
    typedef struct packed {
        session_t        session;
        binding_record_t record;
        binding_key_t    key;
    } entry_t;
    entry_t       next_q, entry_q;
    host_answer_t answer;
    logic         last_word, load;
    logic [31:0]  data_next;
    assign answer    = answer_i[asked_q];
    assign grant_o   = read_i && ready_q;
    assign last_word = grant_o && word_q == 4'd15;
    assign load      = next_valid_q && !entry_valid_q;

    always_comb begin
        case (word_q)
            4'd0, 4'd14: data_next = '0;
            4'd1:        data_next = {6'b0, entry_q.record.target, 5'b0, entry_q.record.state, 2'b0, entry_q.record.fresh, affinity_q, 4'b0};
            4'd2:        data_next = {9'b0, entry_q.record.rule, 4'b0, entry_q.record.bucket};
            4'd3:        data_next = {entry_q.record.expires, 16'(entry_q.session)};
            4'd15:       data_next = {1'b1, 31'b0};
            default:     data_next = key_word(entry_q.key, 32'(word_q) - 4);
        endcase
    end
    always_ff @(posedge clk) begin
        valid_o <= grant_o;
        data_o  <= entry_valid_q ? data_next : '0;
        // In the cycle after the last word of an entry the next one is not there yet.
        ready_q <= begun_q && !begin_i && !last_word && (entry_valid_q || (end_q && !next_valid_q));
        if (grant_o) word_q <= word_q + 1'b1;
        if (last_word) entry_valid_q <= 1'b0;
        if (load) begin
            entry_q       <= next_q;
            entry_valid_q <= 1'b1;
            next_valid_q  <= 1'b0;
        end

        case (state_q)
            REST: if (begun_q && !next_valid_q && !end_q && !begin_i) state_q <= TAKE;
            TAKE: begin
                asked_q <= affinity_q;
                stale_q <= 1'b0;
                if (begin_i) begin
                    state_q <= REST;
                end else if (!request_i[affinity_q].request) begin
                    owner_q[affinity_q] <= 1'b1;
                    state_q             <= SET;
                end
            end
            SET: state_q <= ASK;
            ASK:
                if (answer.done) begin
                    owner_q <= '0;
                    state_q <= REST;
                    if (!stale_q && !begin_i) begin
                        next_q       <= '{session: answer.session, record: answer.record, key: answer.key};
                        next_valid_q <= answer.ok;
                        session_q    <= answer.session + 1'b1;
                        end_q        <= !answer.ok || answer.session == session_t'(LAST_SESSION);
                    end
                end
        endcase

        if (begin_i) begin
            begun_q    <= 1'b1;
            affinity_q <= affinity_i;
            word_q     <= '0;
            if (!continue_i) begin
                session_q     <= session_t'(session_i);
                end_q         <= {1'b0, session_i} > LAST_SESSION;
                next_valid_q  <= 1'b0;
                entry_valid_q <= 1'b0;
                stale_q       <= 1'b1;
            end
        end
        if (rst) begin
            state_q       <= REST;
            owner_q       <= '0;
            begun_q       <= 1'b0;
            end_q         <= 1'b0;
            next_valid_q  <= 1'b0;
            entry_valid_q <= 1'b0;
            ready_q       <= 1'b0;
            valid_o       <= 1'b0;
            word_q        <= '0;
        end
    end

    wire logic unused = &{1'b0, answer.again, answer.full};

    // ---- whose request ------------------------------------------------------------------------------------------------------
    for (genvar t = 0; t < 2; t++) begin : gen_table
        binding_host_e op_q;
        session_t      operand_q;
        always_ff @(posedge clk) begin
            started_q[t] <= request_i[t].request && !owner_q[t] && !rst;
            op_q         <= owner_q[t] ? BINDING_NEXT : request_i[t].op;
            operand_q    <= owner_q[t] ? session_q : request_i[t].session;
        end
        always_comb begin
            request_o[t]         = request_i[t];
            request_o[t].op      = op_q;
            request_o[t].session = operand_q;
            request_o[t].request = owner_q[t] ? state_q == ASK : request_i[t].request && started_q[t];
            answer_o[t]          = answer_i[t];
            answer_o[t].done     = answer_i[t].done && !owner_q[t];
        end
    end
endmodule
`resetall
