// SPDX-License-Identifier: Apache-2.0
//
// table_access: puts the accesses of the host and of the check engine on the configuration bus, and finds the bank.
//
// Host      `host_i` is held until `host_done_o`; a read's data comes with it. Accesses wait while `host_wait_i`. Writes go to the shadow,
//           reads to the shadow or (`host_active_i`) the active bank.
// Mover     one read or write a cycle when `mover_i` and `mover_grant_o`; the host goes first. Data of reads comes in order with
//           `mover_valid_o`. Requests nothing while `mover_wait_i`; then those of the cycles before are on their way all the same.
// Check     one read a cycle when `check_i` and `check_grant_o`; host and mover go first. Data comes in order with `check_valid_o`.
// Touched   `touched_o`: the host wrote to table `touched_id_o` (map `touched_map_o`).
`resetall
`default_nettype none
module table_access
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic         clk,
    input  wire logic         rst,
    input  wire banks_t       active_i,
    // host
    input  wire logic         host_i,
    input  wire logic         host_wait_i,
    input  wire logic         host_write_i,
    input  wire table_e       host_id_i,
    input  wire logic         host_active_i,
    input  wire logic         host_bad_parity_i,
    input  wire cfg_address_t host_address_i,
    input  wire logic [31:0]  host_data_i,
    output logic              host_done_o,
    output logic [31:0]       host_data_o,
    output logic              touched_o,
    output table_e            touched_id_o,
    output map_t              touched_map_o,
    // table mover
    input  wire logic         mover_i,
    input  wire logic         mover_wait_i,
    input  wire logic         mover_write_i,
    input  wire table_e       mover_id_i,
    input  wire logic         mover_active_i,
    input  wire cfg_address_t mover_address_i,
    input  wire logic [31:0]  mover_data_i,
    output logic              mover_grant_o,
    output logic              mover_valid_o,
    output logic [31:0]       mover_data_o,
    // check engine
    input  wire logic         check_i,
    input  wire table_e       check_id_i,
    input  wire logic         check_active_i,
    input  wire cfg_address_t check_address_i,
    output logic              check_grant_o,
    output logic              check_valid_o,
    output logic [31:0]       check_data_o,
    // configuration bus
    output cfg_req_t          cfg_req_o,
    input  wire logic [31:0]  cfg_rdata_i
);
    // One host access at a time, from the grant until it is done.
    logic host_open_q, host_grant;
    assign host_grant    = host_i && !host_open_q && !host_done_o && !host_wait_i;
    assign mover_grant_o = mover_i && !mover_wait_i && !host_grant;
    assign check_grant_o = check_i && !host_grant && !(mover_i && !mover_wait_i);

    // Request, its bank not known yet.
    cfg_req_t request_q;
    logic     request_active_q, request_check_q, request_mover_q;
    always_ff @(posedge clk) begin
        request_q.write      <= (host_grant && host_write_i) || (mover_grant_o && mover_write_i);
        request_q.read       <= (host_grant && !host_write_i) || (mover_grant_o && !mover_write_i) || check_grant_o;
        request_q.id         <= host_grant ? host_id_i : mover_grant_o ? mover_id_i : check_id_i;
        request_q.bank       <= 1'b0;
        request_q.address    <= host_grant ? host_address_i : mover_grant_o ? mover_address_i : check_address_i;
        request_q.data       <= host_grant ? host_data_i : mover_data_i;
        request_q.bad_parity <= host_grant && host_bad_parity_i;
        request_active_q     <= host_grant ? host_active_i && !host_write_i
                              : mover_grant_o ? mover_active_i && !mover_write_i : check_active_i;
        request_check_q      <= check_grant_o;
        request_mover_q      <= mover_grant_o;
        if (rst) begin
            request_q.write <= 1'b0;
            request_q.read  <= 1'b0;
            request_check_q <= 1'b0;
            request_mover_q <= 1'b0;
        end
    end

    // Bank.
    logic         active_bank, shadowed;
    logic [127:0] map_banks;
    assign map_banks = 128'(active_i.map);
    assign shadowed  = TABLES_SHADOWED[request_q.id];
    always_comb begin
        case (request_q.id)
            TABLE_ZONE: active_bank = active_i.zone;
            TABLE_MAC: active_bank = active_i.mac;
            TABLE_VIP: active_bank = active_i.vip;
            TABLE_MATCH: active_bank = active_i.match;
            TABLE_RULE: active_bank = active_i.rule;
            TABLE_TARGET: active_bank = active_i.target;
            default: active_bank = map_banks[request_q.address[17:11]];
        endcase
    end
    logic read_host_q, read_check_q, read_mover_q;
    always_ff @(posedge clk) begin
        cfg_req_o      <= request_q;
        cfg_req_o.bank <= shadowed && (active_bank ^ !request_active_q);
        read_host_q    <= request_q.read && !request_check_q && !request_mover_q;
        read_check_q   <= request_q.read && request_check_q;
        read_mover_q   <= request_q.read && request_mover_q;
        if (rst) begin
            cfg_req_o.write <= 1'b0;
            cfg_req_o.read  <= 1'b0;
            read_host_q     <= 1'b0;
            read_check_q    <= 1'b0;
            read_mover_q    <= 1'b0;
        end
    end

    // Answer: CFG_LATENCY cycles after the request on the bus.
    logic [CFG_LATENCY-1:0] flight_host_q, flight_check_q, flight_mover_q;
    logic                   host_read_done_q;
    always_ff @(posedge clk) begin
        flight_host_q    <= {flight_host_q[CFG_LATENCY-2:0], read_host_q};
        flight_check_q   <= {flight_check_q[CFG_LATENCY-2:0], read_check_q};
        flight_mover_q   <= {flight_mover_q[CFG_LATENCY-2:0], read_mover_q};
        host_read_done_q <= flight_host_q[CFG_LATENCY-1];
        check_valid_o    <= flight_check_q[CFG_LATENCY-1];
        mover_valid_o    <= flight_mover_q[CFG_LATENCY-1];
        check_data_o     <= cfg_rdata_i;
        host_data_o      <= check_data_o;
        host_done_o      <= host_read_done_q || (host_grant && host_write_i);
        if (host_grant && !host_write_i) host_open_q <= 1'b1;
        else if (host_read_done_q) host_open_q <= 1'b0;
        if (rst) begin
            flight_host_q    <= '0;
            flight_check_q   <= '0;
            flight_mover_q   <= '0;
            host_read_done_q <= 1'b0;
            check_valid_o    <= 1'b0;
            mover_valid_o    <= 1'b0;
            host_done_o      <= 1'b0;
            host_open_q      <= 1'b0;
        end
    end

    wire logic unused = &{1'b0, active_i.map_valid};
    assign mover_data_o  = check_data_o;
    assign touched_o     = request_q.write;
    assign touched_id_o  = request_q.id;
    assign touched_map_o = request_q.address[17:11];
endmodule
`resetall
