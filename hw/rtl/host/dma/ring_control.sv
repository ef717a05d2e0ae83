// SPDX-License-Identifier: Apache-2.0
//
// ring_control: which rings are on, their doorbells, faults.
//
// Ring      off -> on, when it is enabled and the host side is not resetting: `start_o` one cycle before `on_o`. On -> stopping, when it
//           is disabled or has a fault; `stop_o` for one cycle. Stopping -> off, when none of its transfers has been under way for
//           SETTLE cycles. After a fault it is not on again before it was disabled with its fault bit cleared.
// Doorbell  `producer_o` follows in 4 cycles, if the ring is on. One that goes back or leaves more than the size is a fault, as is
//           a size that is not possible.
// Fault     `fault_set_o` until `fault_i` (the register) has it. `new_fault_o`: a cycle for each that is new.
`resetall
`default_nettype none
module ring_control
    import dma_pkg::*;
(
    input  wire logic                        clk,
    input  wire logic                        rst,
    input  wire logic                        resetting_i,
    input  wire logic [RINGS-1:0]            enable_i,
    input  wire ring_settings_t [RINGS-1:0]  settings_i,
    input  wire logic [RINGS-1:0]            busy_i,
    output logic [RINGS-1:0]                 on_o,
    output logic [RINGS-1:0]                 start_o,
    output logic [RINGS-1:0]                 stop_o,
    output logic [RINGS-1:0]                 running_o,
    // doorbells
    input  wire logic [RINGS-1:0]            doorbell_i,    // the value is there from the next cycle on
    input  wire index_t [RINGS-1:0]          doorbell_index_i,
    input  wire index_t [RINGS-1:0]          consumer_i,
    output index_t [RINGS-1:0]               producer_o,
    // faults
    input  wire fault_t [2:0]                failed_i,      // transfers
    input  wire logic [RINGS-1:0]            fault_i,
    output logic [RINGS-1:0]                 fault_set_o,
    output logic                             new_fault_o,
    output iova_t                            fault_address_o
);
    localparam int unsigned SETTLE = 15;
    localparam logic [3:0] MIN_SIZE_LOG2 = 4'd4;
    localparam logic [15:0] MAX_UNITS = 16'd256;
    typedef enum logic [1:0] {
        OFF,
        ON,
        STOPPING
    } state_e;

    // ---- doorbell: one at a time, as registers are written ---------------------------------------------------------------
    logic         rung_q, looked_q, subtracted_q, judged_q, wrong_q;
    ring_t        rung_ring_q, looked_ring_q, subtracted_ring_q, judged_ring_q;
    index_t       index_q, index_two_q, index_three_q, old_q, consumer_q, now_with_q, were_with_q;
    logic [3:0]   size_q, size_two_q;
    logic [RINGS-1:0] wrong;
    always_ff @(posedge clk) begin
        rung_q <= |doorbell_i;
        for (int unsigned r = 0; r < RINGS; r++) if (doorbell_i[r]) rung_ring_q <= ring_t'(r);
        looked_q          <= rung_q && on_o[rung_ring_q];
        looked_ring_q     <= rung_ring_q;
        index_q           <= doorbell_index_i[rung_ring_q];
        old_q             <= producer_o[rung_ring_q];
        consumer_q        <= consumer_i[rung_ring_q];
        size_q            <= settings_i[rung_ring_q].size_log2;
        subtracted_q      <= looked_q;
        subtracted_ring_q <= looked_ring_q;
        index_two_q       <= index_q;
        now_with_q        <= index_q - consumer_q;
        were_with_q       <= old_q - consumer_q;
        size_two_q        <= size_q;
        judged_q          <= subtracted_q;
        judged_ring_q     <= subtracted_ring_q;
        index_three_q     <= index_two_q;
        wrong_q           <= now_with_q > (16'd1 << size_two_q) || now_with_q < were_with_q;
        for (int unsigned r = 0; r < RINGS; r++) begin
            if (judged_q && !wrong_q && judged_ring_q == ring_t'(r)) producer_o[r] <= index_three_q;
            if (start_o[r]) producer_o[r] <= '0;
        end
        if (rst) begin
            rung_q       <= 1'b0;
            looked_q     <= 1'b0;
            subtracted_q <= 1'b0;
            judged_q     <= 1'b0;
            producer_o   <= '0;
        end
    end

    // ---- states ----------------------------------------------------------------------------------------------------------
    state_e [RINGS-1:0]     state_q;
    logic [RINGS-1:0][3:0]  quiet_q;
    logic [RINGS-1:0]       possible_q, failed, halted_q, fault_seen_q;
    fault_t [2:0]           failed_q;
    always_ff @(posedge clk) begin
        failed_q <= failed_i;
        for (int unsigned r = 0; r < RINGS; r++) begin
            failed[r] <= 1'b0;
            for (int unsigned f = 0; f < 3; f++) if (failed_i[f].valid && failed_i[f].ring == ring_t'(r)) failed[r] <= 1'b1;
        end
        if (rst) begin
            failed <= '0;
            for (int unsigned f = 0; f < 3; f++) failed_q[f].valid <= 1'b0;
        end
    end
    always_comb begin
        for (int unsigned r = 0; r < RINGS; r++) wrong[r] = judged_q && wrong_q && judged_ring_q == ring_t'(r);
    end
    always_ff @(posedge clk) begin
        fault_seen_q <= fault_set_o;
        new_fault_o  <= |(fault_set_o & ~fault_seen_q & ~fault_i);
        for (int unsigned r = 0; r < RINGS; r++) begin
            possible_q[r] <= settings_i[r].size_log2 >= MIN_SIZE_LOG2
                && (r >= RECEIVE_RINGS || (settings_i[r].buffer_units != '0 && settings_i[r].buffer_units <= MAX_UNITS));
            start_o[r]   <= 1'b0;
            stop_o[r]    <= 1'b0;
            running_o[r] <= enable_i[r] || state_q[r] != OFF;
            quiet_q[r]   <= busy_i[r] ? '0 : (quiet_q[r] == 4'(SETTLE)) ? quiet_q[r] : quiet_q[r] + 1'b1;
            if (fault_i[r]) fault_set_o[r] <= 1'b0;
            if (!enable_i[r] && !fault_i[r] && !fault_set_o[r]) halted_q[r] <= 1'b0;
            case (state_q[r])
                OFF: begin
                    // `running_o` has protected the settings from writes by then.
                    if (enable_i[r] && running_o[r] && !resetting_i && !halted_q[r] && !start_o[r]) begin
                        start_o[r] <= possible_q[r];
                        if (!possible_q[r]) begin
                            fault_set_o[r] <= 1'b1;
                            halted_q[r]    <= 1'b1;
                        end
                    end
                    if (start_o[r]) begin
                        state_q[r] <= ON;
                        on_o[r]    <= 1'b1;
                    end
                end
                ON: begin
                    if (!enable_i[r] || failed[r] || wrong[r]) begin
                        state_q[r] <= STOPPING;
                        on_o[r]    <= 1'b0;
                        stop_o[r]  <= 1'b1;
                        quiet_q[r] <= '0;
                    end
                end
                default: begin
                    if (quiet_q[r] == 4'(SETTLE)) state_q[r] <= OFF;
                end
            endcase
            if (state_q[r] != OFF && (failed[r] || wrong[r])) begin
                halted_q[r]    <= 1'b1;
                fault_set_o[r] <= 1'b1;
            end
        end
        if (rst) begin
            state_q     <= '{default: OFF};
            on_o        <= '0;
            start_o     <= '0;
            stop_o      <= '0;
            running_o   <= '0;
            quiet_q     <= '0;
            halted_q    <= '0;
            fault_set_o <= '0;
            new_fault_o <= 1'b0;
            fault_seen_q <= '0;
            possible_q  <= '0;
        end
    end

    // The first address since there was no fault.
    logic address_valid_q, fresh;
    assign fresh = fault_i == '0 && fault_set_o == '0;
    always_ff @(posedge clk) begin
        if (fresh) address_valid_q <= 1'b0;
        if (!address_valid_q || fresh) begin
            for (int f = 2; f >= 0; f--) begin
                if (failed_q[f].valid) begin
                    address_valid_q <= 1'b1;
                    fault_address_o <= failed_q[f].address;
                end
            end
        end
        if (rst) begin
            address_valid_q <= 1'b0;
            fault_address_o <= '0;
        end
    end
    wire logic unused = &{1'b0, settings_i, failed_q};
endmodule
`resetall
