// SPDX-License-Identifier: Apache-2.0
//
// The face of host.h over the Verilated host interface of both widths. As in shim.cpp, ports are little-endian words.
#include "host.h"

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "Vhost512.h"
#include "Vhost64.h"
#include "failure.h"
#include "verilated.h"
#include "verilated_fst_c.h"

struct hg_host {
    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::unique_ptr<VerilatedFstC> trace;
    std::string failure;

    virtual ~hg_host() = default;
    virtual void step(const hgh_in &in, hgh_out &out) = 0;
    virtual void register_trace(VerilatedFstC *sink) = 0;
};

namespace {

template <class Port>
void set(Port &port, const void *from, size_t bytes) {
    std::memcpy(reinterpret_cast<char *>(&port), from, bytes);
}

template <class Port>
void get(const Port &port, int index, void *to, size_t bytes) {
    std::memcpy(to, reinterpret_cast<const char *>(&port) + index * bytes, bytes);
}

template <class Core, int BEAT>
struct Host final : hg_host {
    static constexpr size_t KEEP = BEAT / 8;
    std::unique_ptr<Core> core;

    explicit Host(uint32_t seed) {
        context->traceEverOn(true);
        context->randReset(seed == 0 ? 0 : 2);
        context->randSeed(static_cast<int>(seed));
        context->assertOn(false);  // until the end of the first reset
        current_failure = &failure;
        core.reset(new Core{context.get(), "host"});
        core->rst = 1;
    }

    ~Host() override {
        current_failure = &failure;
        if (trace) trace->close();
        core->final();
    }

    void register_trace(VerilatedFstC *sink) override { core->trace(sink, 99); }

    void apply(const hgh_in &in) {
        Core &c = *core;
        if (c.rst != in.rst) context->assertOn(in.rst == 0);
        c.rst = in.rst;
        c.host_rst_i = in.host_rst;
        c.s_axil_awvalid_i = in.awvalid;
        c.s_axil_awaddr_i = in.awaddr;
        c.s_axil_wvalid_i = in.wvalid;
        c.s_axil_wdata_i = in.wdata;
        c.s_axil_wstrb_i = in.wstrb;
        c.s_axil_bready_i = in.bready;
        c.s_axil_arvalid_i = in.arvalid;
        c.s_axil_araddr_i = in.araddr;
        c.s_axil_rready_i = in.rready;
        c.host_rx_tvalid_i = in.rx_valid;
        if (in.rx_valid) {
            set(c.host_rx_tdata_i, in.rx_data, BEAT);
            set(c.host_rx_tkeep_i, &in.rx_keep, KEEP);
            c.host_rx_tlast_i = in.rx_last;
            c.host_rx_tabort_i = in.rx_abort;
            c.host_rx_control_i = in.rx_control;
            c.host_rx_queue_i = in.rx_queue;
            c.host_rx_reason_i = in.rx_reason;
            c.host_rx_port_i = in.rx_port;
            c.host_rx_rule_i = in.rx_rule;
            c.host_rx_bucket_i = in.rx_bucket;
            c.host_rx_target_i = in.rx_target;
        }
        c.host_tx_tready_i = in.tx_ready[0] | in.tx_ready[1] << 1;
        c.time_ns_i = in.time_ns;
        c.event_valid_i = in.event_valid;
        if (in.event_valid) set(c.event_words_i, in.event_words, sizeof in.event_words);
        c.mover_grant_i = in.mover_grant;
        c.mover_valid_i = in.mover_valid;
        c.mover_data_i = in.mover_data;
        c.mover_wait_i = in.mover_wait;
        c.m_axi_awready_i = in.m_awready;
        c.m_axi_wready_i = in.m_wready;
        c.m_axi_bvalid_i = in.m_bvalid;
        c.m_axi_bresp_i = in.m_bresp;
        c.m_axi_arready_i = in.m_arready;
        c.m_axi_rvalid_i = in.m_rvalid;
        if (in.m_rvalid) {
            c.m_axi_rresp_i = in.m_rresp;
            c.m_axi_rlast_i = in.m_rlast;
            set(c.m_axi_rdata_i, in.m_rdata, BEAT);
        }
        c.interrupt_ack_i = in.interrupt_ack;
    }

    void collect(hgh_out &out) const {
        const Core &c = *core;
        out.awready = c.s_axil_awready_o;
        out.wready = c.s_axil_wready_o;
        out.bvalid = c.s_axil_bvalid_o;
        out.bresp = c.s_axil_bresp_o;
        out.arready = c.s_axil_arready_o;
        out.rvalid = c.s_axil_rvalid_o;
        out.rresp = c.s_axil_rresp_o;
        out.rdata = c.s_axil_rdata_o;
        out.rx_ready = c.host_rx_tready_o;
        for (int s = 0; s < 2; s++) {
            out.tx_valid[s] = c.host_tx_tvalid_o >> s & 1;
            if (!out.tx_valid[s]) continue;
            out.tx_last[s] = c.host_tx_tlast_o >> s & 1;
            out.tx_port[s] = c.host_tx_tport_o >> s & 1;
            get(c.host_tx_tdata_o, s, out.tx_data[s], BEAT);
            get(c.host_tx_tkeep_o, s, &out.tx_keep[s], KEEP);
        }
        out.event_pop = c.event_pop_o;
        out.event_enable = c.event_enable_o;
        out.mover = c.mover_o;
        out.mover_write = c.mover_write_o;
        out.mover_id = c.mover_id_o;
        out.mover_active = c.mover_active_o;
        out.mover_address = c.mover_address_o;
        out.mover_data = c.mover_data_o;
        out.m_awvalid = c.m_axi_awvalid_o;
        out.m_awaddr = c.m_axi_awaddr_o;
        out.m_awlen = c.m_axi_awlen_o;
        out.m_awsize = c.m_axi_awsize_o;
        out.m_awburst = c.m_axi_awburst_o;
        out.m_wvalid = c.m_axi_wvalid_o;
        if (out.m_wvalid) {
            out.m_wlast = c.m_axi_wlast_o;
            get(c.m_axi_wstrb_o, 0, &out.m_wstrb, KEEP);
            get(c.m_axi_wdata_o, 0, out.m_wdata, BEAT);
        }
        out.m_bready = c.m_axi_bready_o;
        out.m_arvalid = c.m_axi_arvalid_o;
        out.m_araddr = c.m_axi_araddr_o;
        out.m_arlen = c.m_axi_arlen_o;
        out.m_arsize = c.m_axi_arsize_o;
        out.m_arburst = c.m_axi_arburst_o;
        out.m_rready = c.m_axi_rready_o;
        out.interrupt_req = c.interrupt_req_o;
    }

    void eval() {
        core->eval();
        if (trace) trace->dump(context->time());
        context->timeInc(1);
    }

    void step(const hgh_in &in, hgh_out &out) override {
        apply(in);
        core->clk = 0;
        eval();
        // The core grants what is asked for.
        if (in.mover_grant && !core->mover_o) {
            core->mover_grant_i = 0;
            core->eval();
        }
        collect(out);
        core->clk = 1;
        eval();
    }
};

}  // namespace

extern "C" {

hg_host *hgh_new(uint32_t bits, uint32_t seed) {
    if (bits == 512) return new Host<Vhost512, 64>(seed);
    if (bits == 64) return new Host<Vhost64, 8>(seed);
    return nullptr;
}

void hgh_free(hg_host *host) { delete host; }

int hgh_step(hg_host *host, const hgh_in *in, hgh_out *out) {
    current_failure = &host->failure;
    host->step(*in, *out);
    if (!printed.empty()) {
        std::fputs(printed.c_str(), stderr);
        printed.clear();
    }
    return host->failure.empty() ? 0 : 1;
}

int hgh_trace_open(hg_host *host, const char *path) {
    current_failure = &host->failure;
    // The writer of the runtime does not tell whether it could open the file.
    std::FILE *probe = std::fopen(path, "wb");
    if (!probe) return 1;
    std::fclose(probe);
    if (host->trace) host->trace->close();
    host->trace.reset(new VerilatedFstC);
    host->register_trace(host->trace.get());
    host->trace->open(path);
    return 0;
}

const char *hgh_failure(const hg_host *host) { return host->failure.empty() ? nullptr : host->failure.c_str(); }

}  // extern "C"
