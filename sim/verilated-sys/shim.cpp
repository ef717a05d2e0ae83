// SPDX-License-Identifier: Apache-2.0
//
// The face of shim.h over the Verilated classes of both builds.
//
// Every port of the core is a packed vector, and Verilator keeps those as little-endian words; so on a little-endian
// host the bytes of beat p start at byte p * BEAT of the port's variable, whatever its C++ type.
#include "shim.h"
#include "table.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "failure.h"
#include "verilated.h"
#include "verilated_fst_c.h"
#if HG_BUILD_512
#include "Vhg512.h"
#include "Vhg512___024root.h"
#endif
#if HG_BUILD_64
#include "Vhg64.h"
#include "Vhg64___024root.h"
#endif
#if HG_BUILD_NIC512
#include "Vnic512.h"
#include "Vnic512___024root.h"
#endif
#if HG_BUILD_NIC64
#include "Vnic64.h"
#include "Vnic64___024root.h"
#endif
#include "Vtable512.h"
#include "Vtable512___024root.h"
#include "Vtable65536.h"
#include "Vtable65536___024root.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the shim copies vectors as little-endian bytes");

struct hg_table {
    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::string failure;

    virtual ~hg_table() = default;
    virtual bool step(const hgt_in &in, hgt_out &out) = 0;
    virtual int upset(uint32_t memory, uint32_t word, uint32_t bit) = 0;
    virtual uint32_t slot(uint32_t way, uint32_t row) const = 0;
};

struct hg_nic {
    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::unique_ptr<VerilatedFstC> trace;
    std::string failure;

    virtual ~hg_nic() = default;
    virtual void step(const hg_in &in, hg_out &out) = 0;
    virtual void register_trace(VerilatedFstC *sink) = 0;
    virtual int upset(uint32_t memory, uint32_t word, uint64_t bits) = 0;
    virtual void skip_time(uint64_t nanoseconds) = 0;
};

thread_local std::string *current_failure = nullptr;
thread_local std::string printed;

namespace {

void fail(const std::string &why, const char *file, int line) {
    if (!current_failure->empty()) return;  // the first one is the cause
    std::string text = printed;
    printed.clear();
    while (!text.empty() && text.back() == '\n') text.pop_back();
    if (!text.empty() && !why.empty()) text += "; ";
    text += why;
    if (text.find(file) == std::string::npos) text += std::string(" (") + file + ":" + std::to_string(line) + ")";
    *current_failure = text;
}

template <class Port>
void set(Port &port, int index, const void *from, size_t bytes) {
    std::memcpy(reinterpret_cast<char *>(&port) + index * bytes, from, bytes);
}

template <class Port>
void get(const Port &port, int index, void *to, size_t bytes) {
    std::memcpy(to, reinterpret_cast<const char *>(&port) + index * bytes, bytes);
}

template <class Port>
uint8_t bit(const Port &port, int index) {
    return (port >> index) & 1;
}

// Bits of {parity, record}.
constexpr uint32_t RECORD_BITS = 50;

template <class Core, int BEAT, int PORTS, bool WITH_HOST>
struct Nic final : hg_nic {
    static constexpr size_t KEEP = BEAT / 8;
    std::unique_ptr<Core> core;

    explicit Nic(uint32_t seed) {
        context->traceEverOn(true);
        context->randReset(seed == 0 ? 0 : 2);
        context->randSeed(static_cast<int>(seed));
        context->assertOn(false);  // until the end of the first reset
        current_failure = &failure;
        core.reset(new Core{context.get(), "core"});
        core->rst = 1;
        if constexpr (!WITH_HOST) {
            core->mover_begin_i = core->mover_i = core->mover_write_i = 0;
            core->binding_event_take_i = 0;
            core->binding_event_pop_i = 0;
        }
    }

    ~Nic() override {
        current_failure = &failure;
        if (trace) trace->close();
        core->final();
    }

    void register_trace(VerilatedFstC *sink) override { core->trace(sink, 99); }

    template <class Memory>
    static int flip(Memory &memory, unsigned width, uint32_t word, uint64_t bits) {
        if (word >= sizeof memory / sizeof memory[0] || bits >> width != 0) return 1;
        memory[word] ^= static_cast<std::remove_reference_t<decltype(memory[0])>>(bits);
        return 0;
    }

    int upset([[maybe_unused]] uint32_t memory, [[maybe_unused]] uint32_t word, [[maybe_unused]] uint64_t bits) override {
        if constexpr (WITH_HOST) {
            return 1;
        } else {
            return upset_core(memory, word, bits);
        }
    }

    int upset_core(uint32_t memory, uint32_t word, uint64_t bits) {
        auto *root = core->rootp;
        switch (memory) {
            case HG_MAP_BANK_0:
                return flip(root->hashgate_core__DOT__u_decision__DOT__u_map__DOT__gen_bank__BRA__0__KET____DOT__u_ram__DOT__memory, 21, word, bits);
            case HG_MAP_BANK_1:
                return flip(root->hashgate_core__DOT__u_decision__DOT__u_map__DOT__gen_bank__BRA__1__KET____DOT__u_ram__DOT__memory, 21, word, bits);
            case HG_OWNER_FLAGS:
                return flip(root->hashgate_core__DOT__u_decision__DOT__u_binding__DOT__u_owner_flags__DOT__u_ram__DOT__memory, 3, word, bits);
            case HG_AFFINITY_FLAGS:
                return flip(root->hashgate_core__DOT__u_decision__DOT__u_binding__DOT__gen_table__BRA__1__KET____DOT__gen_flags__DOT__u_flags__DOT__u_ram__DOT__memory, 3, word, bits);
            case HG_CONNECTION_RECORDS:
                return flip(root->hashgate_core__DOT__u_decision__DOT__u_binding__DOT__gen_table__BRA__0__KET____DOT__u_table__DOT__u_records__DOT__u_lookup__DOT__memory, RECORD_BITS, word, bits);
            default:
                return 1;
        }
    }

    // The time base is two registers and a carry between them (hw/rtl/registers/timebase.sv).
    void skip_time([[maybe_unused]] uint64_t nanoseconds) override {
        if constexpr (WITH_HOST) {
            auto *root = core->rootp;
            uint64_t &low = root->hashgate_nic__DOT__u_core__DOT__u_csr__DOT__u_timebase__DOT__low_q;
            auto &carry = root->hashgate_nic__DOT__u_core__DOT__u_csr__DOT__u_timebase__DOT__carry_q;
            uint64_t &time = root->hashgate_nic__DOT__u_core__DOT__u_csr__DOT__time_ns;
            const uint64_t now = (((time >> 32) + carry) << 32 | low >> 24) + nanoseconds;
            low = (now & 0xffffffff) << 24 | (low & 0xffffff);
            carry = 0;
            // Whole: half of it new would be a time far off, at which a lease ends.
            time = now;
        }
    }

    void apply(const hg_in &in) {
        // During a reset registers may still hold what they started with.
        if (core->rst != in.rst) context->assertOn(in.rst == 0);
        core->rst = in.rst;
        uint8_t valid = 0, last = 0, user = 0, ready = 0, link = 0;
        for (int p = 0; p < PORTS; p++) {
            const hg_beat &beat = in.wire_rx[p];
            link |= (in.wire_down[p] == 0) << p;
            valid |= beat.valid << p;
            last |= beat.last << p;
            user |= beat.user << p;
            ready |= in.wire_tx_ready[p] << p;
            if (beat.valid) {
                set(core->wire_rx_tdata_i, p, beat.data, BEAT);
                set(core->wire_rx_tkeep_i, p, &beat.keep, KEEP);
            }
        }
        core->wire_rx_tvalid_i = valid;
        core->wire_rx_tlast_i = last;
        core->wire_rx_tuser_i = user;
        core->wire_tx_tready_i = ready;
        core->wire_link_i = link;
        if constexpr (WITH_HOST) {
            apply_host(in);
        } else {
            apply_streams(in);
        }
        core->s_axil_awvalid_i = in.awvalid;
        core->s_axil_awaddr_i = in.awaddr;
        core->s_axil_wvalid_i = in.wvalid;
        core->s_axil_wdata_i = in.wdata;
        core->s_axil_wstrb_i = in.wstrb;
        core->s_axil_bready_i = in.bready;
        core->s_axil_arvalid_i = in.arvalid;
        core->s_axil_araddr_i = in.araddr;
        core->s_axil_rready_i = in.rready;
    }

    void apply_host(const hg_in &in) {
        core->host_rst_i = in.host_rst;
        core->interrupt_ack_i = in.interrupt_ack;
        const hg_memory_in &memory = in.memory;
        core->m_axi_awready_i = memory.awready;
        core->m_axi_wready_i = memory.wready;
        core->m_axi_bvalid_i = memory.bvalid;
        core->m_axi_bresp_i = memory.bresp;
        core->m_axi_arready_i = memory.arready;
        core->m_axi_rvalid_i = memory.rvalid;
        core->m_axi_rresp_i = memory.rresp;
        core->m_axi_rlast_i = memory.rlast;
        if (memory.rvalid) set(core->m_axi_rdata_i, 0, memory.rdata, BEAT);
    }

    void apply_streams(const hg_in &in) {
        core->host_rx_tready_i = in.host_rx_ready;
        uint8_t valid = 0, last = 0, user = 0;
        for (int s = 0; s < 2; s++) {
            const hg_beat &beat = in.host_tx[s];
            valid |= beat.valid << s;
            last |= beat.last << s;
            user |= beat.user << s;
            if (beat.valid) {
                set(core->host_tx_tdata_i, s, beat.data, BEAT);
                set(core->host_tx_tkeep_i, s, &beat.keep, KEEP);
            }
        }
        core->host_tx_tvalid_i = valid;
        core->host_tx_tlast_i = last;
        core->host_tx_tport_i = user;
        // Of the table mover only the walk over bindings.
        core->mover_begin_i = in.walk_begin;
        core->mover_i = in.walk_read;
        core->mover_id_i = in.walk_affinity ? 14 : 13;
        core->mover_active_i = in.walk_go_on;
        core->mover_address_i = in.walk_session;
    }

    void collect(hg_out &out) const {
        for (int p = 0; p < PORTS; p++) {
            hg_beat &beat = out.wire_tx[p];
            out.wire_rx_ready[p] = bit(core->wire_rx_tready_o, p);
            beat.valid = bit(core->wire_tx_tvalid_o, p);
            if (beat.valid) {
                get(core->wire_tx_tdata_o, p, beat.data, BEAT);
                get(core->wire_tx_tkeep_o, p, &beat.keep, KEEP);
                beat.last = bit(core->wire_tx_tlast_o, p);
                beat.user = bit(core->wire_tx_tuser_o, p);
            }
        }
        if constexpr (WITH_HOST) {
            collect_host(out);
        } else {
            collect_streams(out);
        }
        out.event_valid = core->event_valid_o;
        if (out.event_valid) {
            out.event_verdict = core->event_verdict_o;
            out.event_reason = core->event_reason_o;
            out.event_port = core->event_port_o;
            out.event_out_port = core->event_out_port_o;
            out.event_queue = core->event_queue_o;
            out.event_control = core->event_control_o;
            out.event_rule = core->event_rule_o;
            out.event_bucket = core->event_bucket_o;
            out.event_target = core->event_target_o;
            out.event_length = core->event_length_o;
            out.event_aborted = core->event_aborted_o;
            out.event_generation = core->event_generation_o;
            out.event_found = core->event_found_o;
            out.event_refused = core->event_refused_o;
        }
        out.awready = core->s_axil_awready_o;
        out.wready = core->s_axil_wready_o;
        out.bvalid = core->s_axil_bvalid_o;
        out.bresp = core->s_axil_bresp_o;
        out.arready = core->s_axil_arready_o;
        out.rvalid = core->s_axil_rvalid_o;
        out.rdata = core->s_axil_rdata_o;
        out.rresp = core->s_axil_rresp_o;
    }

    void collect_host(hg_out &out) const {
        hg_memory_out &memory = out.memory;
        memory.awvalid = core->m_axi_awvalid_o;
        memory.awaddr = core->m_axi_awaddr_o;
        memory.awlen = core->m_axi_awlen_o;
        memory.awsize = core->m_axi_awsize_o;
        memory.awburst = core->m_axi_awburst_o;
        memory.wvalid = core->m_axi_wvalid_o;
        if (memory.wvalid) {
            get(core->m_axi_wdata_o, 0, memory.wdata, BEAT);
            memory.wstrb = 0;
            get(core->m_axi_wstrb_o, 0, &memory.wstrb, KEEP);
            memory.wlast = core->m_axi_wlast_o;
        }
        memory.bready = core->m_axi_bready_o;
        memory.arvalid = core->m_axi_arvalid_o;
        memory.araddr = core->m_axi_araddr_o;
        memory.arlen = core->m_axi_arlen_o;
        memory.arsize = core->m_axi_arsize_o;
        memory.arburst = core->m_axi_arburst_o;
        memory.rready = core->m_axi_rready_o;
        out.interrupt_req = core->interrupt_req_o;
    }

    void collect_streams(hg_out &out) const {
        out.host_rx.valid = core->host_rx_tvalid_o;
        if (out.host_rx.valid) {
            get(core->host_rx_tdata_o, 0, out.host_rx.data, BEAT);
            get(core->host_rx_tkeep_o, 0, &out.host_rx.keep, KEEP);
            out.host_rx.last = core->host_rx_tlast_o;
            out.host_rx.user = core->host_rx_tabort_o;
            out.host_rx_control = core->host_rx_control_o;
            out.host_rx_queue = core->host_rx_queue_o;
            out.host_rx_reason = core->host_rx_reason_o;
            out.host_rx_port = core->host_rx_port_o;
            out.host_rx_rule = core->host_rx_rule_o;
            out.host_rx_bucket = core->host_rx_bucket_o;
            out.host_rx_target = core->host_rx_target_o;
        }
        for (int s = 0; s < 2; s++) out.host_tx_ready[s] = bit(core->host_tx_tready_o, s);
        out.walk_grant = core->mover_grant_o;
        out.walk_valid = core->mover_valid_o;
        out.walk_data = core->mover_data_o;
    }

    void tick(uint8_t clock) {
        core->clk = clock;
        core->eval();
        if (trace) trace->dump(context->time());
        context->timeInc(1);
    }

    void step(const hg_in &in, hg_out &out) override {
        apply(in);
        tick(0);
        collect(out);
        tick(1);
    }
};

template <class Port>
void set_key(Port &port, const uint32_t *key) {
    for (int i = 0; i < HGT_KEY_WORDS; i++) port[i] = key[i];
}

template <class Port>
void get_key(const Port &port, uint32_t *key) {
    for (int i = 0; i < HGT_KEY_WORDS; i++) key[i] = port[i];
}

// Bits of a key, and of the records that packets and that others read, with their flags.
constexpr uint32_t KEY_BITS = 305;
constexpr uint32_t OTHER_RECORD_BITS = 51;

// A word of a memory; null if there is none.
template <class Memory>
auto word_of(Memory &memory, uint32_t word) {
    return word < sizeof memory / sizeof memory[0] ? &memory[word] : nullptr;
}

// Cycles from key to answer, and from the target that is peeked at to the flag.
constexpr unsigned TABLE_LATENCY = 10;
constexpr unsigned PEEK_LATENCY = 1;

template <class Core, uint32_t SESSION_BITS>
struct Table final : hg_table {
    static constexpr uint32_t SLOT_BITS = KEY_BITS + SESSION_BITS + 3;
    struct Wish {
        uint8_t valid, op, only_dead, flag;
        uint64_t record;
    };
    std::unique_ptr<Core> core;
    Wish wishes[16] = {};
    uint8_t peeked[16] = {};
    unsigned now = 0;

    Table(uint32_t seed, const uint32_t *secret) {
        context->randReset(seed == 0 ? 0 : 2);
        context->randSeed(static_cast<int>(seed));
        context->assertOn(false);
        current_failure = &failure;
        core.reset(new Core{context.get(), "table"});
        for (int i = 0; i < 4; i++) core->secret_i[i] = secret[i];
        core->valid_i = core->op_i = core->host_req_i = core->undo_valid_i = 0;
        core->rst = 1;
        for (int i = 0; i < 16; i++) cycle();
        core->rst = 0;
        context->assertOn(true);
    }

    ~Table() override {
        current_failure = &failure;
        core->final();
    }

    void cycle() {
        core->clk = 0;
        core->eval();
        core->clk = 1;
        core->eval();
    }

    bool step(const hgt_in &in, hgt_out &out) override {
        Core &c = *core;
        now++;
        wishes[now % 16] = {in.valid, in.op, in.only_dead, in.flag, in.record};
        const Wish &wish = wishes[(now - TABLE_LATENCY) % 16];
        c.valid_i = in.valid;
        if (in.valid) set_key(c.key_i, in.key);
        c.fast_now_i = in.fast_now;
        c.slow_now_i = in.slow_now;
        if (in.host_start) {
            c.host_req_i = 1;
            c.host_op_i = in.host_start - 1;
            set_key(c.host_key_i, in.host_key);
            c.host_record_i = in.host_record;
            c.host_session_i = in.host_session;
        }
        c.undo_valid_i = in.undo;
        c.undo_session_i = in.undo_session;
        c.undo_row_i = in.undo_row;
        // The table outside: the flag of a target is the lowest bit of its number.
        c.peek_flag_i = peeked[(now - PEEK_LATENCY) % 16];
        c.op_i = 0;
        c.flag_i = wish.flag;
        c.walk_hold_i = 0;
        c.same_i = 0;
        c.record_i = wish.record;
        c.clk = 0;
        c.eval();
        peeked[now % 16] = c.peek_target_o & 1;
        uint8_t op = wish.valid ? wish.op : 0;
        if (op != 2 && !c.live_o) op = 0;
        if (op == 2 && wish.only_dead && c.live_o) op = 0;
        out.busy = c.busy_o;
        out.valid = wish.valid;
        if (wish.valid) {
            out.present = c.present_o;
            out.live = c.live_o;
            out.flag = c.flag_o;
            out.can_create = c.can_create_o;
            // The table refuses what it has no room for.
            out.op = op == 2 && !c.present_o && !c.can_create_o ? 0 : op;
            out.session = c.session_o;
            out.row = c.row_o;
            out.record = c.record_o;
        }
        if (op) {
            c.op_i = op == 4 ? 1 : 1 << (op - 1);
            c.same_i = op == 4;
            if (op == 4) c.record_i = c.record_o;
            c.eval();
        }
        out.event = c.event_valid_o ? 1 + c.event_kind_o : 0;
        if (out.event) {
            out.event_renewed = c.event_renewed_o;
            out.event_session = c.event_session_o;
            out.event_record = c.event_record_o;
            get_key(c.event_key_o, out.event_key);
        }
        out.host_done = c.host_done_o;
        if (out.host_done) {
            out.host_ok = c.host_ok_o;
            out.host_busy = c.host_busy_o;
            out.host_full = c.host_full_o;
            out.host_present = c.host_present_o;
            out.host_ended = c.host_ended_o;
            out.host_two = c.host_two_o;
            out.host_session = c.host_session_o;
            out.host_record = c.host_record_o;
            get_key(c.host_key_o, out.host_key);
            c.host_req_i = 0;
        }
        out.undo_lost = c.undo_lost_o;
        out.moved = c.moves_o;
        out.parity = c.parity_o;
        out.stash_used = c.stash_used_o;
        out.live_slots = c.live_slots_o;
        c.clk = 1;
        c.eval();
        context->timeInc(1);
        return failure.empty();
    }

    auto slot_word(uint32_t way, uint32_t row) const {
        auto *root = core->rootp;
        switch (way) {
            case 0: return word_of(root->binding_table__DOT__gen_way__BRA__0__KET____DOT__u_slots__DOT__memory, row);
            case 1: return word_of(root->binding_table__DOT__gen_way__BRA__1__KET____DOT__u_slots__DOT__memory, row);
            case 2: return word_of(root->binding_table__DOT__gen_way__BRA__2__KET____DOT__u_slots__DOT__memory, row);
            default: return word_of(root->binding_table__DOT__gen_way__BRA__3__KET____DOT__u_slots__DOT__memory, row);
        }
    }

    auto other_record(uint32_t session) const {
        auto *root = core->rootp;
        switch (session % 4) {
            case 0: return word_of(root->binding_table__DOT__u_records__DOT__gen_bank__BRA__0__KET____DOT__u_other__DOT__memory, session / 4);
            case 1: return word_of(root->binding_table__DOT__u_records__DOT__gen_bank__BRA__1__KET____DOT__u_other__DOT__memory, session / 4);
            case 2: return word_of(root->binding_table__DOT__u_records__DOT__gen_bank__BRA__2__KET____DOT__u_other__DOT__memory, session / 4);
            default: return word_of(root->binding_table__DOT__u_records__DOT__gen_bank__BRA__3__KET____DOT__u_other__DOT__memory, session / 4);
        }
    }

    int upset(uint32_t memory, uint32_t word, uint32_t bit) override {
        if (memory < 4) {
            auto *slot = slot_word(memory, word);
            if (!slot || bit >= SLOT_BITS) return 1;
            (*slot)[bit / 32] ^= 1u << bit % 32;
            return 0;
        }
        const bool other = memory == HGT_OTHER_RECORDS;
        if (memory != HGT_RECORDS && !other) return 1;
        auto *record = other ? other_record(word) : word_of(core->rootp->binding_table__DOT__u_records__DOT__u_lookup__DOT__memory, word);
        if (!record || bit >= (other ? OTHER_RECORD_BITS : RECORD_BITS)) return 1;
        *record ^= uint64_t{1} << bit;
        return 0;
    }

    uint32_t slot(uint32_t way, uint32_t row) const override {
        auto *slot = way < 4 ? slot_word(way, row) : nullptr;
        auto bit = [&](uint32_t at) { return (*slot)[at / 32] >> at % 32 & 1; };
        if (!slot || !bit(SLOT_BITS - 2)) return ~0u;
        uint32_t session = 0;
        for (uint32_t i = 0; i < SESSION_BITS; i++) session |= bit(KEY_BITS + i) << i;
        return session;
    }
};

}  // namespace

void hg_print(const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printed += text;
}

// Called by the runtime and the design in place of its own versions, which end the process.
void vl_finish(const char *file, int line, const char *) { fail("the design called $finish", file, line); }
void vl_stop(const char *file, int line, const char *) { fail("", file, line); }
void vl_fatal(const char *file, int line, const char *, const char *why) { fail(why, file, line); }

extern "C" {

hg_nic *hg_new([[maybe_unused]] int build, [[maybe_unused]] int with_host, [[maybe_unused]] uint32_t seed) {
#if HG_BUILD_512
    if (build == 512 && !with_host) return new Nic<Vhg512, 64, 1, false>(seed);
#endif
#if HG_BUILD_64
    if (build == 64 && !with_host) return new Nic<Vhg64, 8, 2, false>(seed);
#endif
#if HG_BUILD_NIC512
    if (build == 512 && with_host) return new Nic<Vnic512, 64, 1, true>(seed);
#endif
#if HG_BUILD_NIC64
    if (build == 64 && with_host) return new Nic<Vnic64, 8, 2, true>(seed);
#endif
    return nullptr;
}

void hg_skip_time(hg_nic *nic, uint64_t nanoseconds) { nic->skip_time(nanoseconds); }

void hg_free(hg_nic *nic) { delete nic; }

int hg_step(hg_nic *nic, const hg_in *in, hg_out *out) {
    current_failure = &nic->failure;
    nic->step(*in, *out);
    if (!printed.empty()) {
        std::fputs(printed.c_str(), stderr);
        printed.clear();
    }
    return nic->failure.empty() ? 0 : 1;
}

const char *hg_failure(const hg_nic *nic) { return nic->failure.empty() ? nullptr : nic->failure.c_str(); }

int hg_upset(hg_nic *nic, uint32_t memory, uint32_t word, uint64_t bits) { return nic->upset(memory, word, bits); }

int hg_trace_open(hg_nic *nic, const char *path) {
    current_failure = &nic->failure;
    hg_trace_close(nic);
    // The writer of the runtime does not tell whether it could open the file.
    std::FILE *probe = std::fopen(path, "wb");
    if (!probe) return 1;
    std::fclose(probe);
    nic->trace.reset(new VerilatedFstC);
    nic->register_trace(nic->trace.get());
    nic->trace->open(path);
    return 0;
}

hg_table *hgt_new(uint32_t sessions, uint32_t seed, const uint32_t secret[4]) {
    if (sessions == 512) return new Table<Vtable512, 9>(seed, secret);
    if (sessions == 65536) return new Table<Vtable65536, 16>(seed, secret);
    return nullptr;
}

void hgt_free(hg_table *table) { delete table; }

uint32_t hgt_run(hg_table *table, uint32_t cycles, const hgt_in *in, hgt_out *out) {
    current_failure = &table->failure;
    for (uint32_t i = 0; i < cycles; i++)
        if (!table->step(in[i], out[i])) return i;
    return cycles;
}

int hgt_upset(hg_table *table, uint32_t memory, uint32_t word, uint32_t bit) { return table->upset(memory, word, bit); }

uint32_t hgt_slot(const hg_table *table, uint32_t way, uint32_t row) { return table->slot(way, row); }

const char *hgt_failure(const hg_table *table) { return table->failure.empty() ? nullptr : table->failure.c_str(); }

void hg_trace_close(hg_nic *nic) {
    if (!nic->trace) return;
    nic->trace->close();
    nic->trace.reset();
}

}  // extern "C"
