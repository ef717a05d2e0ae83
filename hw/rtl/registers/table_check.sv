// SPDX-License-Identifier: Apache-2.0
//
// table_check: reads tables back and computes their CRC-32 (IEEE), for checks by the host and for the scrubber.
//
// Check     `start_i` is held until `started_o`: reads `count_i` words from `first_i` of the shadow of `id_i`, one a cycle. `busy_o` until
//           `crc_o` and `ok_o` are there. `verified_o` (one cycle, with `subject_map_o`) if the CRC is right and all of the table, or
//           exactly one map, was read; the CRC of a map is kept for the scrubber.
// Scrub     `interval_i` cycles after the last one (0: never), reads the next valid map's active bank and compares. A difference
//           gives `scrub_error_o` with `subject_map_o`. A check or a commit (`commit_i`) ends a scrub, which starts again later.
// Reads     over the table access block, which lets the host go first.
`resetall
`default_nettype none
module table_check
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic         clk,
    input  wire logic         rst,
    input  wire banks_t       active_i,
    input  wire logic         commit_i,  // a commit is pending or under way
    // check
    input  wire logic         hold_i,    // do not start
    input  wire logic         start_i,
    input  wire table_e       id_i,
    input  wire cfg_address_t first_i,
    input  wire logic [20:0]  count_i,
    input  wire logic [31:0]  expect_i,
    output logic              started_o,
    output logic              busy_o,
    output logic [31:0]       crc_o,
    output logic              ok_o,
    output logic              verified_o,
    // scrub
    input  wire logic [31:0]  interval_i,
    output logic              scrub_error_o,
    // table and map of verified_o, map of scrub_error_o
    output table_e            subject_id_o,
    output map_t              subject_map_o,
    // reads
    output logic              read_o,
    output table_e            read_id_o,
    output logic              read_active_o,
    output cfg_address_t      read_address_o,
    input  wire logic         read_grant_i,
    input  wire logic         data_valid_i,
    input  wire logic [31:0]  data_i
);
    localparam int unsigned MAP_WORDS = 2048;
    localparam int unsigned RULE_ENTRIES = 2 ** $clog2(RULES + 1);

    // All words of a table that is verified as a whole.
    function automatic logic [20:0] table_words(input table_e id);
        case (id)
            TABLE_ZONE: table_words = 21'(4096 * PORTS * TABLE_ZONE_STRIDE);
            TABLE_MAC: table_words = 21'(4 * EXACT_ROWS * TABLE_MAC_STRIDE);
            TABLE_VIP: table_words = 21'(4 * EXACT_ROWS * TABLE_VIP_STRIDE);
            TABLE_MATCH: table_words = 21'(RULES * TABLE_MATCH_STRIDE);
            TABLE_RULE: table_words = 21'(RULE_ENTRIES * TABLE_RULE_STRIDE);
            TABLE_TARGET: table_words = 21'(TARGETS * TABLE_TARGET_STRIDE);
            default: table_words = '0;
        endcase
    endfunction

    // CRC over a word is linear in crc ^ word; row i says which of its bits make bit i of the next CRC.
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

    typedef enum logic [2:0] {
        IDLE,
        FIND,   // scrub: the next valid map
        BANK,   // the bank of the map is looked up
        FETCH,  // scrub: the CRC of the map is fetched
        RUN,
        JUDGE,
        FLUSH   // scrub given up: wait for what was asked for
    } state_e;
    state_e       state_q;
    logic         scrub_q;      // else a check by the host
    table_e       id_q;
    map_t         map_q;        // of the check, or where the scrubber is
    map_t         scrub_map_q;
    logic         bank_q;
    logic         whole_q;      // the check covers a table or a map
    cfg_address_t address_q;
    logic [20:0]  left_q;       // reads to ask for
    logic         asking_q;     // left_q is not 0 and reads are asked for
    logic [3:0]   open_q;       // reads asked for and not answered
    logic [31:0]  expect_q, state_crc_q, next_crc;
    logic         finished, equal_q;
    logic [31:0]  timer_q;
    logic         due_q, give_up;
    logic [127:0] map_banks, map_valid;
    assign map_banks = 128'(active_i.map);
    assign map_valid = 128'(active_i.map_valid);

    for (genvar row = 0; row < 32; row++) begin : gen_crc
        assign next_crc[row] = ^((state_crc_q ^ data_i) & CRC_MATRIX[row]);
    end

    // CRC of each bank of each map, as of its last verification.
    logic [31:0] map_crc[256];
    logic [31:0] map_crc_q;
    logic        keep_q;
    always_ff @(posedge clk) begin
        if (keep_q) map_crc[{bank_q, map_q}] <= expect_q;
        map_crc_q <= map_crc[{bank_q, map_q}];
    end

    wire logic unused = &{1'b0, active_i};
    assign finished = !asking_q && open_q == '0;
    assign give_up  = commit_i || start_i;
    assign read_o         = asking_q;
    assign read_id_o      = id_q;
    assign read_active_o  = scrub_q;
    assign read_address_o = address_q;
    assign subject_id_o   = id_q;
    assign subject_map_o  = map_q;

    always_ff @(posedge clk) begin
        started_o     <= 1'b0;
        verified_o    <= 1'b0;
        scrub_error_o <= 1'b0;
        keep_q        <= 1'b0;
        due_q         <= state_q == IDLE && interval_i != '0 && timer_q >= interval_i;
        if (state_q == IDLE) timer_q <= timer_q + 1'b1;
        else timer_q <= '0;

        open_q <= open_q + 4'(read_o && read_grant_i) - 4'(data_valid_i);
        if (read_o && read_grant_i) begin
            address_q <= address_q + 1'b1;
            left_q    <= left_q - 1'b1;
            asking_q  <= left_q != 21'd1;
        end
        if (data_valid_i) state_crc_q <= next_crc;

        case (state_q)
            IDLE: begin
                state_crc_q <= '1;
                if (start_i && !started_o) begin
                    if (!hold_i) begin
                        started_o <= 1'b1;
                        busy_o    <= 1'b1;
                        scrub_q   <= 1'b0;
                        id_q      <= id_i;
                        map_q     <= first_i[17:11];
                        address_q <= first_i;
                        left_q    <= count_i;
                        expect_q  <= expect_i;
                        whole_q   <= (id_i == TABLE_MAP)
                            ? (first_i[10:0] == '0 && 32'(first_i[19:11]) < MAPS && count_i == 21'(MAP_WORDS))
                            : (first_i == '0 && count_i == table_words(id_i) && count_i != '0);
                        state_q   <= BANK;
                    end
                end else if (due_q && !commit_i) begin
                    scrub_q <= 1'b1;
                    id_q    <= TABLE_MAP;
                    map_q   <= scrub_map_q;
                    state_q <= FIND;
                end
            end
            FIND: begin
                // A round without a valid map ends where it began.
                if (give_up) state_q <= IDLE;
                else if (map_valid[map_q]) begin
                    scrub_map_q <= map_q;
                    state_q     <= BANK;
                end else begin
                    map_q <= (map_q == map_t'(MAPS - 1)) ? '0 : map_q + 1'b1;
                    if (map_q == ((scrub_map_q == '0) ? map_t'(MAPS - 1) : scrub_map_q - 1'b1)) state_q <= IDLE;
                end
            end
            BANK: begin
                bank_q <= map_banks[map_q] ^ !scrub_q;
                if (scrub_q) begin
                    address_q <= {2'b0, map_q, 11'b0};
                    left_q    <= 21'(MAP_WORDS);
                end
                asking_q <= !scrub_q && left_q != '0;
                state_q  <= scrub_q ? FETCH : RUN;
            end
            FETCH: begin
                asking_q <= 1'b1;
                state_q  <= RUN;  // map_crc_q is there with it
            end
            RUN: begin
                equal_q <= ~state_crc_q == (scrub_q ? map_crc_q : expect_q);
                if (finished) state_q <= JUDGE;
                else if (scrub_q && give_up) begin
                    asking_q <= 1'b0;
                    state_q  <= FLUSH;
                end
            end
            JUDGE: begin
                state_q <= IDLE;
                if (scrub_q) begin
                    scrub_error_o <= !equal_q;
                    scrub_map_q   <= (map_q == map_t'(MAPS - 1)) ? '0 : map_q + 1'b1;
                end else begin
                    busy_o     <= 1'b0;
                    crc_o      <= ~state_crc_q;
                    ok_o       <= equal_q;
                    verified_o <= whole_q && equal_q;
                    keep_q     <= whole_q && equal_q && id_q == TABLE_MAP;
                end
            end
            default: if (finished) state_q <= IDLE;
        endcase
        if (rst) begin
            state_q       <= IDLE;
            started_o     <= 1'b0;
            verified_o    <= 1'b0;
            scrub_error_o <= 1'b0;
            keep_q        <= 1'b0;
            busy_o        <= 1'b0;
            crc_o         <= '0;
            ok_o          <= 1'b0;
            scrub_q       <= 1'b0;
            id_q          <= TABLE_ZONE;
            map_q         <= '0;
            scrub_map_q   <= '0;
            asking_q      <= 1'b0;
            open_q        <= '0;
            timer_q       <= '0;
            due_q         <= 1'b0;
        end
    end
endmodule
`resetall
