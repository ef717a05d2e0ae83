// SPDX-License-Identifier: Apache-2.0
//
// lease: permission to take VIP traffic until a deadline.
//
// Arm      `arm_i` starts a lease until `deadline_i`, whatever was before. A deadline that has passed expires at once.
// Renew    `renew_i` (a deadline was written): while the lease runs, a later `deadline_i` replaces the one in force.
// Expire   when `time_i` is greater than the deadline; final until the next arm, renewals come too late.
// Output   `ok_o` if there is no lease (`enable_i` is 0) or it runs, three cycles after the time passed the deadline at the latest.
`resetall
`default_nettype none
module lease (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic        enable_i,
    input  wire logic        arm_i,
    input  wire logic        renew_i,
    input  wire logic [63:0] deadline_i,
    input  wire logic [63:0] time_i,
    output logic             armed_o,    // armed since the reset
    output logic             expired_o,
    output logic             ok_o
);
    typedef enum logic [1:0] {
        NEVER,    // not armed yet
        STARTED,  // armed; the comparison with the new deadline is under way
        RUNNING,
        EXPIRED
    } state_e;
    state_e      state_q;
    logic [63:0] deadline_q;  // in force
    logic        passed_q;    // deadline_q has passed
    logic        fresh_q;     // passed_q still belongs to the deadline before the last arm
    logic        renew_q, later_q;
    logic [63:0] renewal_q;

    always_ff @(posedge clk) begin
        passed_q  <= time_i > deadline_q;
        renew_q   <= renew_i;
        renewal_q <= deadline_i;
        later_q   <= deadline_i > deadline_q;
        fresh_q   <= arm_i;
        if (arm_i) deadline_q <= deadline_i;
        else if (renew_q && later_q) deadline_q <= renewal_q;

        if (arm_i) state_q <= (state_q == RUNNING) ? RUNNING : STARTED;
        else if (!fresh_q && passed_q && state_q != NEVER) state_q <= EXPIRED;
        else if (!fresh_q && state_q == STARTED) state_q <= RUNNING;

        ok_o <= !enable_i || state_q == RUNNING;
        if (rst) begin
            state_q <= NEVER;
            fresh_q <= 1'b0;
            renew_q <= 1'b0;
            ok_o    <= 1'b1;
        end
    end
    assign armed_o   = state_q != NEVER;
    assign expired_o = state_q == EXPIRED;
endmodule
`resetall
