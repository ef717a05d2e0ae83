// SPDX-License-Identifier: Apache-2.0
//
// csr: registers of the NIC, and what they control: table access, check, scrub, commit, time, lease, initialisation.
//
// Bus        AXI4-Lite, 4 KiB; map and meaning in hw/regs/hashgate.rdl. TABLE_DATA, CHECK and COMMIT answer when they are done
//            or begun, at the latest after a check of the largest table and a drain; everything else answers at once.
// Reset      `full_reset_o` pulses once after a write of RESET, when every transaction is answered; then no transaction passes
//            until `rst`.
// Start      `init_o` counts through all table memories after the reset; until then `settings_o.enable` is 0 and tables wait.
// Tables     `cfg_req_o`; the answer to a read is on `cfg_rdata_i` CFG_LATENCY cycles later.
// Mover      a further client of the tables, see table_access; `mover_wait_o`: a commit, a check or the initialisation.
// Events     the first binding event as the words of EVENT_WORD; while `event_take_i`, `event_pop_i` takes it and not the register.
// Pipeline   `settings_o`, `gen_o`, `banks_o` and `lease_ok_o` may change in any cycle; a frame samples the last three once.
// Counters   one pulse per event.
// Bindings   clocks, secret, host operations and events of the binding tables; their queue of events is inside.
`resetall
`default_nettype none
`include "hashgate_assert.svh"
module csr
    import binding_pkg::*;
    import binding_stage_pkg::*;
    import hashgate_cfg_pkg::*;
    import hashgate_defs_pkg::*;
    import hashgate_pkg::*;
(
    input  wire logic                clk,
    input  wire logic                rst,
    // bus
    input  wire logic                s_axil_awvalid_i,
    output logic                     s_axil_awready_o,
    input  wire logic [11:0]         s_axil_awaddr_i,
    input  wire logic                s_axil_wvalid_i,
    output logic                     s_axil_wready_o,
    input  wire logic [31:0]         s_axil_wdata_i,
    input  wire logic [3:0]          s_axil_wstrb_i,
    output logic                     s_axil_bvalid_o,
    input  wire logic                s_axil_bready_i,
    output logic [1:0]               s_axil_bresp_o,
    input  wire logic                s_axil_arvalid_i,
    output logic                     s_axil_arready_o,
    input  wire logic [11:0]         s_axil_araddr_i,
    output logic                     s_axil_rvalid_o,
    input  wire logic                s_axil_rready_i,
    output logic [31:0]              s_axil_rdata_o,
    output logic [1:0]               s_axil_rresp_o,
    // reset and start
    output logic                     full_reset_o,
    output init_t                    init_o,
    // tables
    output cfg_req_t                 cfg_req_o,
    input  wire logic [31:0]         cfg_rdata_i,
    // table mover
    input  wire logic                mover_i,
    input  wire logic                mover_write_i,
    input  wire table_e              mover_id_i,
    input  wire logic                mover_active_i,
    input  wire cfg_address_t        mover_address_i,
    input  wire logic [31:0]         mover_data_i,
    output logic                     mover_wait_o,
    output logic                     mover_grant_o,
    output logic                     mover_valid_o,
    output logic [31:0]              mover_data_o,
    // binding events
    output logic                     event_valid_o,
    output logic [13:0][31:0]        event_words_o,
    input  wire logic                event_take_i,
    input  wire logic                event_pop_i,
    // pipeline
    output logic [63:0]              time_o,
    output settings_t                settings_o,
    output logic                     gen_o,
    output banks_t [1:0]             banks_o,
    output logic                     lease_ok_o,
    // binding tables
    output logic                     binding_reset_o,    // empties both tables
    output logic [127:0]             binding_secret_o,
    output ticks_t                   fast_now_o,
    output ticks_t                   slow_now_o,
    output host_request_t [1:0]      host_request_o,
    input  wire host_answer_t [1:0]  host_answer_i,
    input  wire logic [1:0]          binding_event_valid_i,
    input  wire binding_event_t [1:0] binding_event_i,
    input  wire binding_status_t [1:0] binding_status_i,
    output census_request_t          census_request_o,
    input  wire logic                census_busy_i,
    // wire
    input  wire logic [PORTS-1:0]    wire_link_i,        // the port has a link
    // events
    input  wire logic                parity_error_i,     // a table word that a frame consulted
    input  wire logic [PORTS-1:0]    port_overrun_i,     // a frame lost before the pipeline
    input  wire logic [PORTS-1:0]    tx_done_i,          // the last beat of a frame left the wire port
    input  wire length_t [PORTS-1:0] tx_len_i,           // its length without FCS
    input  wire logic [PORTS-1:0]    tx_abort_i,         // it carried the abort mark
    input  wire logic                host_tx_done_i,     // a frame taken from the host
    input  wire length_t             host_tx_len_i,      // its length after padding
    input  wire logic                host_tx_dropped_i,
    input  wire logic                host_tx_masked_i,
    input  wire logic                host_tx_arp_i,
    input  wire logic                host_tx_nd_i
);
    // Nanoseconds per clock, 8.24 fixed point, rounded.
    localparam logic [63:0] INCREMENT = ((64'd1_000_000 << 24) + 64'(CLOCK_KHZ / 2)) / 64'(CLOCK_KHZ);
    if (INCREMENT >> 32 != '0) begin : gen_check_clock
        $fatal(1, "%m: CLOCK_KHZ %0d is below the 3907 kHz that TIME_INCREMENT can express", CLOCK_KHZ);
    end
    localparam int unsigned EXACT_CAPACITY = 4 * EXACT_ROWS / 2;
    localparam int unsigned BUCKET_BITS = $bits(bucket_t);

    hashgate_regs_pkg::hashgate_regs__in_t  hwif_in;
    hashgate_regs_pkg::hashgate_regs__out_t hwif_out;

    // ---- bus ----------------------------------------------------------------------------------------------------------
    logic        stop_q, idle, request, request_write, stall_write, stall_read, read_done, write_done;
    logic        read_error, write_error;
    logic [9:0]  request_address;
    logic [31:0] request_data, read_data;
    axil_port #(.ADDRESS_BITS(10)) u_port (
        .clk, .rst, .stop_i(stop_q), .idle_o(idle),
        .awvalid_i(s_axil_awvalid_i), .awready_o(s_axil_awready_o), .awaddr_i(s_axil_awaddr_i),
        .wvalid_i(s_axil_wvalid_i), .wready_o(s_axil_wready_o), .wdata_i(s_axil_wdata_i), .wstrb_i(s_axil_wstrb_i),
        .bvalid_o(s_axil_bvalid_o), .bready_i(s_axil_bready_i), .bresp_o(s_axil_bresp_o),
        .arvalid_i(s_axil_arvalid_i), .arready_o(s_axil_arready_o), .araddr_i(s_axil_araddr_i),
        .rvalid_o(s_axil_rvalid_o), .rready_i(s_axil_rready_i), .rdata_o(s_axil_rdata_o), .rresp_o(s_axil_rresp_o),
        .req_o(request), .req_write_o(request_write), .req_address_o(request_address), .req_data_o(request_data),
        .req_stall_i(request_write ? stall_write : stall_read), .write_done_i(write_done), .read_done_i(read_done),
        .read_data_i(read_data));
    hashgate_regs u_regs (
        .clk, .rst, .s_cpuif_req(request), .s_cpuif_req_is_wr(request_write), .s_cpuif_addr(request_address),
        .s_cpuif_wr_data(request_data), .s_cpuif_wr_biten('1), .s_cpuif_req_stall_wr(stall_write),
        .s_cpuif_req_stall_rd(stall_read), .s_cpuif_rd_ack(read_done), .s_cpuif_rd_err(read_error), .s_cpuif_rd_data(read_data),
        .s_cpuif_wr_ack(write_done), .s_cpuif_wr_err(write_error), .hwif_in, .hwif_out);
    wire logic unused = &{1'b0, read_error, write_error};
    // hw/regs/generate.sh relies on it.
    `HG_ASSERT(one_request, !(request && (request_write ? stall_write : stall_read)))

    // ---- reset and start ------------------------------------------------------------------------------------------------
    logic boot_q, ready_q, reset_done_q;
    always_ff @(posedge clk) begin
        if (hwif_out.full_reset.full.value) stop_q <= 1'b1;
        full_reset_o <= stop_q && idle && !reset_done_q;
        if (stop_q && idle) reset_done_q <= 1'b1;
        boot_q  <= 1'b0;
        ready_q <= !init_o.active;
        if (init_o.active) begin
            init_o.address <= init_o.address + 1'b1;
            init_o.active  <= init_o.address != INIT_BITS'(INIT_DEPTH - 1);
        end
        if (rst) begin
            stop_q       <= 1'b0;
            full_reset_o <= 1'b0;
            reset_done_q <= 1'b0;
            boot_q       <= 1'b1;
            ready_q      <= 1'b0;
            init_o       <= '{active: 1'b1, address: '0};
        end
    end

    // ---- table access, check, commit --------------------------------------------------------------------------------------
    // TABLE_DATA, CHECK and COMMIT are answered by what they start; the bus waits for one of them at a time.
    logic        host_q, host_write_q, start_q, commit_q;
    logic [31:0] host_data_q;
    logic [7:0]  commit_tables_q;
    logic        host_done, started, skip_q, commit_done, commit_refused;
    logic        host_wait_q, check_busy, commit_busy;
    assign mover_wait_o = host_wait_q || start_q || commit_q;
    always_ff @(posedge clk) begin
        skip_q      <= 1'b0;  // a write of CHECK that starts nothing
        host_wait_q <= !ready_q || check_busy || commit_busy;
        if (host_done) host_q <= 1'b0;
        if (started) start_q <= 1'b0;
        if (commit_done) commit_q <= 1'b0;
        if (hwif_out.table_data.req) begin
            host_q       <= 1'b1;
            host_write_q <= hwif_out.table_data.req_is_wr;
            host_data_q  <= hwif_out.table_data.wr_data.value;
        end
        if (hwif_out.check.req) begin
            start_q <= hwif_out.check.wr_data.go;
            skip_q  <= !hwif_out.check.wr_data.go;
        end
        if (hwif_out.commit.req) begin
            commit_q        <= 1'b1;
            commit_tables_q <= hwif_out.commit.wr_data.tables;
        end
        if (rst) begin
            host_q      <= 1'b0;
            start_q     <= 1'b0;
            commit_q    <= 1'b0;
            skip_q      <= 1'b0;
            host_wait_q <= 1'b1;
        end
    end

    banks_t          active;
    logic            touched, check_read, check_read_active, check_grant, check_valid, check_ok, verified, scrub_error;
    table_e          touched_id, check_read_id, check_subject_id;
    map_t            touched_map, check_subject_map, scrub_map_q;
    cfg_address_t    check_address;
    logic [31:0]     host_data, check_data, check_crc, generation;
    logic [95:0]     commit_maps;
    logic [5:0]      verified_tables;
    logic [MAPS-1:0] verified_maps;

    table_access u_access (
        .clk, .rst, .active_i(active),
        .host_i(host_q), .host_wait_i(host_wait_q), .host_write_i(host_write_q),
        .host_id_i(table_e'(hwif_out.table_select.id.value)), .host_active_i(hwif_out.table_select.active.value),
        .host_bad_parity_i(hwif_out.table_select.bad_parity.value), .host_address_i(hwif_out.table_index.value.value),
        .host_data_i(host_data_q), .host_done_o(host_done), .host_data_o(host_data),
        .touched_o(touched), .touched_id_o(touched_id), .touched_map_o(touched_map),
        .check_i(check_read), .check_id_i(check_read_id), .check_active_i(check_read_active), .check_address_i(check_address),
        .check_grant_o(check_grant), .check_valid_o(check_valid), .check_data_o(check_data),
        .mover_i, .mover_wait_i(mover_wait_o), .mover_write_i, .mover_id_i, .mover_active_i, .mover_address_i,
        .mover_data_i, .mover_grant_o, .mover_valid_o, .mover_data_o, .cfg_req_o, .cfg_rdata_i);

    table_check u_check (
        .clk, .rst, .active_i(active), .commit_i(commit_q),
        .hold_i(!ready_q), .start_i(start_q), .id_i(table_e'(hwif_out.table_select.id.value)),
        .first_i(hwif_out.check_first.value.value), .count_i(hwif_out.check_count.value.value),
        .expect_i(hwif_out.check_expect.value.value), .started_o(started), .busy_o(check_busy), .crc_o(check_crc), .ok_o(check_ok),
        .verified_o(verified), .interval_i(hwif_out.scrub_interval.value.value), .scrub_error_o(scrub_error),
        .subject_id_o(check_subject_id), .subject_map_o(check_subject_map),
        .read_o(check_read), .read_id_o(check_read_id), .read_active_o(check_read_active), .read_address_o(check_address),
        .read_grant_i(check_grant), .data_valid_i(check_valid), .data_i(check_data));

    assign commit_maps = {hwif_out.commit_maps[2].maps.value, hwif_out.commit_maps[1].maps.value, hwif_out.commit_maps[0].maps.value};
    commit u_commit (
        .clk, .rst, .hold_i(!ready_q || check_busy || verified || touched), .commit_i(commit_q), .tables_i(commit_tables_q), .maps_i(commit_maps),
        .done_o(commit_done), .refused_o(commit_refused), .busy_o(commit_busy), .generation_o(generation),
        .verified_i(verified), .touched_i(touched), .subject_id_i(touched ? touched_id : check_subject_id),
        .subject_map_i(touched ? touched_map : check_subject_map),
        .verified_tables_o(verified_tables), .verified_maps_o(verified_maps), .gen_o, .banks_o, .active_o(active));

    always_ff @(posedge clk) begin
        if (scrub_error) scrub_map_q <= check_subject_map;
        if (rst) scrub_map_q <= '0;
    end

    // ---- time and lease -----------------------------------------------------------------------------------------------------
    logic [63:0] time_ns;
    logic        renew_q, lease_armed, lease_expired;
    timebase u_timebase (.clk, .rst, .increment_i(hwif_out.time_increment.value.value), .time_o(time_ns));
    assign time_o = time_ns;
    logic [PORTS-1:0] link_q;
    always_ff @(posedge clk) link_q <= wire_link_i;
    always_ff @(posedge clk) renew_q <= hwif_out.lease_deadline.value.swmod && !rst;  // the new deadline is there one cycle later
    lease u_lease (
        .clk, .rst, .enable_i(hwif_out.lease_ctrl.enable.value), .arm_i(hwif_out.lease_ctrl.arm.value), .renew_i(renew_q),
        .deadline_i(hwif_out.lease_deadline.value.value), .time_i(time_ns), .armed_o(lease_armed), .expired_o(lease_expired),
        .ok_o(lease_ok_o));

    // ---- settings -------------------------------------------------------------------------------------------------------------
    always_ff @(posedge clk) begin
        settings_o.enable        <= hwif_out.control.enable.value && ready_q && !rst;
        settings_o.icmp_owner    <= hwif_out.control.icmp_owner.value;
        settings_o.other_ip      <= hwif_out.control.other_ip.value;
        settings_o.promiscuous   <= hwif_out.control.promiscuous.value;
        settings_o.all_multicast <= hwif_out.control.all_multicast.value;
        settings_o.mask_source   <= hwif_out.control.mask_source.value;
        settings_o.station_mac   <= {hwif_out.station_mac_high.value.value, hwif_out.station_mac_low.value.value};
        settings_o.cluster_mac   <= {hwif_out.cluster_mac_high.value.value, hwif_out.cluster_mac_low.value.value};
        settings_o.mask_mac      <= {hwif_out.mask_mac_high.value.value, hwif_out.mask_mac_low.value.value};
        for (int unsigned i = 0; i < 13; i++) settings_o.hash_key[32*(12-i)+:32] <= hwif_out.hash_key[i].value.value;
    end

    // ---- events, one cycle later -------------------------------------------------------------------------------------------------
    logic [1:0]    overrun_q, sent_q, aborted_q;
    length_t [1:0] sent_len_q;
    length_t       host_len_q;
    logic          parity_q, host_done_q, host_dropped_q, host_masked_q, host_arp_q, host_nd_q;
    always_ff @(posedge clk) begin
        overrun_q  <= '0;
        sent_q     <= '0;
        aborted_q  <= '0;
        sent_len_q <= '0;
        for (int unsigned p = 0; p < PORTS; p++) begin
            overrun_q[p]  <= port_overrun_i[p];
            sent_q[p]     <= tx_done_i[p] && !tx_abort_i[p];
            aborted_q[p]  <= tx_done_i[p] && tx_abort_i[p];
            sent_len_q[p] <= tx_len_i[p];
        end
        parity_q       <= parity_error_i;
        host_done_q    <= host_tx_done_i;
        host_len_q     <= host_tx_len_i;
        host_dropped_q <= host_tx_dropped_i;
        host_masked_q  <= host_tx_masked_i;
        host_arp_q     <= host_tx_arp_i;
        host_nd_q      <= host_tx_nd_i;
    end

    // ---- binding tables ---------------------------------------------------------------------------------------------------------
    // A tick is a bit of the time base.
    ticks_t fast_next, slow_next;
    assign fast_next = 16'(time_ns >> hwif_out.bind_ticks.fast.value);
    assign slow_next = 16'(time_ns >> hwif_out.bind_ticks.slow.value);
    always_ff @(posedge clk) begin
        fast_now_o       <= fast_next;
        slow_now_o       <= slow_next;
        binding_reset_o  <= rst || hwif_out.bind_flush.go.value;
        binding_secret_o <= {hwif_out.bind_secret[3].value.value, hwif_out.bind_secret[2].value.value,
                             hwif_out.bind_secret[1].value.value, hwif_out.bind_secret[0].value.value};
    end

    // One operation at a time, on one of the tables, with the operands of its start.
    host_request_t request_next, request_q;
    host_answer_t  answer;
    logic          start_bind_q, bind_busy, answered;
    logic [1:0]    bind_pending;
    logic [5:0]    bind_result;  // two, ended, present, full, again, ok
    always_comb begin
        request_next                = '0;
        request_next.op             = binding_host_e'(hwif_out.bind_command.op.value);
        request_next.session        = session_t'(hwif_out.bind_session.value.value);
        request_next.record.state   = hwif_out.bind_record0.state.value;
        request_next.record.fresh   = hwif_out.bind_record0.fresh.value;
        request_next.record.target  = hwif_out.bind_record0.target.value;
        request_next.record.bucket  = hwif_out.bind_record1.bucket.value;
        request_next.record.rule    = hwif_out.bind_record1.rule.value;
        request_next.record.expires = hwif_out.bind_record2.expires.value;
        for (int i = 0; i < 4; i++) begin
            request_next.key.src[32*i +: 32] = hwif_out.bind_key[i].value.value;
            request_next.key.dst[32*i +: 32] = hwif_out.bind_key[i+4].value.value;
        end
        {request_next.key.dport, request_next.key.sport} = hwif_out.bind_key[8].value.value;
        request_next.key.protocol = hwif_out.bind_key[9].value.value[7:0];
        request_next.key.zone     = hwif_out.bind_key[9].value.value[15:8];
        request_next.key.v6       = hwif_out.bind_key[9].value.value[16];
    end
    assign answer   = host_answer_i[bind_pending[1]];
    assign answered = |bind_pending && answer.done;
    always_ff @(posedge clk) begin
        start_bind_q <= hwif_out.bind_command.op.swmod && !bind_busy;  // the new value is there one cycle later
        if (start_bind_q) begin
            bind_pending <= hwif_out.bind_command.affinity.value ? 2'b10 : 2'b01;
            request_q    <= request_next;
        end
        if (answered) begin
            bind_pending <= '0;
            bind_result  <= {answer.two, answer.ended, answer.present, answer.full, answer.again, answer.ok};
        end
        if (rst) begin
            start_bind_q <= 1'b0;
            bind_pending <= '0;
            bind_result  <= '0;
        end
    end
    assign bind_busy = start_bind_q || |bind_pending;
    for (genvar t = 0; t < 2; t++) begin : gen_request
        always_comb begin
            host_request_o[t]         = request_q;
            host_request_o[t].request = bind_pending[t];
        end
    end

    // A census starts with the value that was written, one cycle later.
    logic start_census_q;
    always_ff @(posedge clk) start_census_q <= hwif_out.bind_census.rule.swmod && !census_busy_i && !census_request_o.start && !rst;
    assign census_request_o = '{start: start_census_q, affinity: hwif_out.bind_census.affinity.value,
                                every: hwif_out.bind_census.every.value, rule: hwif_out.bind_census.rule.value};

    logic           event_valid, event_affinity;
    logic [31:0]    event_number;
    binding_event_t event_first;
    logic [1:0]     event_lost;
    binding_events u_events (
        .clk, .rst, .event_valid_i(binding_event_valid_i), .event_i(binding_event_i), .valid_o(event_valid),
        .affinity_o(event_affinity), .number_o(event_number), .event_o(event_first),
        .pop_i(event_take_i ? event_pop_i : hwif_out.event_pop.pop.value), .lost_o(event_lost));
    always_comb begin
        event_words_o[0] = event_number;
        event_words_o[1] = {6'b0, event_first.record.target, 5'b0, event_first.record.state, 2'b0, event_first.record.fresh,
                            event_affinity, 1'b0, event_first.renewed, event_first.kind};
        event_words_o[2] = {9'b0, event_first.record.rule, 4'b0, event_first.record.bucket};
        event_words_o[3] = {event_first.record.expires, 16'(event_first.session)};
        for (int i = 0; i < 10; i++) event_words_o[4+i] = key_word(event_first.key, i);
    end
    assign event_valid_o = event_valid;

    // What is counted, one cycle later.
    logic [1:0] created_q, removed_q, refused_q, moved_q, undo_lost_q, spoilt_q;
    always_ff @(posedge clk) begin
        for (int t = 0; t < 2; t++) begin
            created_q[t]   <= binding_event_valid_i[t] && binding_event_i[t].kind == BINDING_CREATED;
            removed_q[t]   <= binding_event_valid_i[t] && (binding_event_i[t].kind == BINDING_REMOVED || binding_event_i[t].renewed);
            refused_q[t]   <= binding_event_valid_i[t] && binding_event_i[t].kind == BINDING_REFUSED;
            moved_q[t]     <= binding_status_i[t].move;
            undo_lost_q[t] <= binding_status_i[t].undo_lost;
            spoilt_q[t]    <= binding_status_i[t].parity;
        end
    end

    // ---- what registers read ---------------------------------------------------------------------------------------------------
    always_comb begin
        hwif_in.build0.beat_bytes.next    = 8'(BEAT_BYTES);
        hwif_in.build0.ports.next         = 4'(PORTS);
        hwif_in.build0.fcs.next           = FCS_ON_STREAM;
        hwif_in.build0.latency.next       = 16'(PIPELINE_LATENCY);
        hwif_in.build1.rules.next         = 8'(RULES);
        hwif_in.build1.maps.next          = 8'(MAPS);
        hwif_in.build1.buckets_log2.next  = 8'(BUCKET_BITS);
        hwif_in.build2.targets.next       = 16'(TARGETS);
        hwif_in.build2.vips.next          = 16'(EXACT_CAPACITY);
        hwif_in.clock_khz.value.next      = CLOCK_KHZ;
        hwif_in.build3.multicast.next     = 16'(EXACT_CAPACITY);
        hwif_in.build3.exact_rows.next    = 16'(EXACT_ROWS);
        hwif_in.build4.bindings.next      = 32'(SESSIONS);

        hwif_in.status.ready.next         = ready_q;
        hwif_in.status.lease_expired.next = lease_expired;
        hwif_in.status.commit_busy.next   = commit_busy;
        hwif_in.status.check_busy.next    = check_busy;
        hwif_in.status.lease_armed.next   = lease_armed;
        hwif_in.status.link.next          = 2'(link_q);
        hwif_in.fault.commit_refused.hwset = commit_refused;
        hwif_in.fault.parity.hwset        = parity_q;
        hwif_in.fault.scrub.hwset         = scrub_error;
        hwif_in.fault.binding_parity.hwset = |spoilt_q;

        hwif_in.table_index.value.incr    = host_done;
        hwif_in.table_data.rd_ack         = host_done && !host_write_q;
        hwif_in.table_data.rd_data.value  = host_data;
        hwif_in.table_data.wr_ack         = host_done && host_write_q;
        hwif_in.check.wr_ack              = started || skip_q;
        hwif_in.check_crc.value.next      = check_crc;
        hwif_in.check_result.ok.next      = check_ok;
        hwif_in.commit.wr_ack             = commit_done;
        hwif_in.generation.value.next     = generation;
        hwif_in.verified_tables.tables.next = verified_tables;
        for (int unsigned i = 0; i < 3; i++) begin
            hwif_in.map_valid[i].maps.next    = 32'(96'(active.map_valid) >> (32 * i));
            hwif_in.map_verified[i].maps.next = 32'(96'(verified_maps) >> (32 * i));
        end

        hwif_in.time_ns.value.next        = time_ns;
        hwif_in.time_increment.value.next = INCREMENT[31:0];
        hwif_in.time_increment.value.we   = boot_q;
        hwif_in.parity_errors.value.incr  = parity_q;
        hwif_in.scrub_errors.value.incr   = scrub_error;
        hwif_in.scrub_map.value.next      = scrub_map_q;

        for (int unsigned i = 0; i < 2; i++) begin
            hwif_in.port[i].rx_overrun.value.incr    = overrun_q[i];
            hwif_in.port[i].tx_packets.value.incr    = sent_q[i];
            hwif_in.port[i].tx_bytes.value.incr      = sent_q[i];
            hwif_in.port[i].tx_bytes.value.incrvalue = sent_len_q[i];
            hwif_in.port[i].tx_aborted.value.incr    = aborted_q[i];
        end
        hwif_in.host_tx.packets.value.incr    = host_done_q;
        hwif_in.host_tx.bytes.value.incr      = host_done_q;
        hwif_in.host_tx.bytes.value.incrvalue = host_len_q;
        hwif_in.host_tx.dropped.value.incr    = host_dropped_q;
        hwif_in.host_tx.masked.value.incr     = host_masked_q;
        hwif_in.host_tx.arp.value.incr        = host_arp_q;
        hwif_in.host_tx.nd.value.incr         = host_nd_q;

        hwif_in.bind_status.busy.next  = bind_busy;
        hwif_in.bind_status.ok.next    = bind_result[0];
        hwif_in.bind_status.again.next = bind_result[1];
        hwif_in.bind_status.full.next  = bind_result[2];
        hwif_in.bind_status.present.next = bind_result[3];
        hwif_in.bind_status.ended.next = bind_result[4];
        hwif_in.bind_status.two.next   = bind_result[5];
        hwif_in.bind_session.value.next = 16'(answer.session);
        hwif_in.bind_session.value.we   = answered && answer.ok;
        hwif_in.bind_record0.target.next = answer.record.target;
        hwif_in.bind_record0.target.we   = answered && answer.ok;
        hwif_in.bind_record0.state.next  = answer.record.state;
        hwif_in.bind_record0.state.we    = answered && answer.ok;
        hwif_in.bind_record0.fresh.next  = answer.record.fresh;
        hwif_in.bind_record0.fresh.we    = answered && answer.ok;
        hwif_in.bind_record1.bucket.next = answer.record.bucket;
        hwif_in.bind_record1.bucket.we   = answered && answer.ok;
        hwif_in.bind_record1.rule.next   = answer.record.rule;
        hwif_in.bind_record1.rule.we     = answered && answer.ok;
        hwif_in.bind_record2.expires.next = answer.record.expires;
        hwif_in.bind_record2.expires.we   = answered && answer.ok;
        for (int i = 0; i < 10; i++) begin
            hwif_in.bind_key[i].value.next = key_word(answer.key, i);
            hwif_in.bind_key[i].value.we   = answered && answer.ok;
        end
        hwif_in.bind_now.fast.next = fast_now_o;
        hwif_in.bind_now.slow.next = slow_now_o;
        hwif_in.bind_census_status.busy.next = census_busy_i || start_census_q;
        hwif_in.status.bind_ready.next = binding_status_i[0].ready && binding_status_i[1].ready;
        for (int t = 0; t < 2; t++) begin
            hwif_in.binding[t].used.value.next      = 32'(binding_status_i[t].used);
            hwif_in.binding[t].stash.value.next     = 32'(binding_status_i[t].stash);
            hwif_in.binding[t].created.value.incr   = created_q[t];
            hwif_in.binding[t].removed.value.incr   = removed_q[t];
            hwif_in.binding[t].refused.value.incr   = refused_q[t];
            hwif_in.binding[t].moves.value.incr     = moved_q[t];
            hwif_in.binding[t].undo_lost.value.incr = undo_lost_q[t];
            hwif_in.binding[t].parity_errors.value.incr = spoilt_q[t];
        end
        hwif_in.event_status.valid.next      = event_valid;
        hwif_in.event_lost.value.incr        = |event_lost;
        hwif_in.event_lost.value.incrvalue   = event_lost;
        for (int i = 0; i < 14; i++) hwif_in.event_word[i].value.next = event_words_o[i];
    end
endmodule
`resetall
