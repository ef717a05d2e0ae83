/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C face of the Verilated host interface (hw/rtl/host/host_interface.sv): struct in, struct out, one call a clock cycle.
 *
 * Beats of the 64-bit build use the first 8 bytes of their arrays.
 */
#ifndef HASHGATE_HOST_H
#define HASHGATE_HOST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of the widest beat. */
#define HGH_BEAT_BYTES 64
/** Words of an event. */
#define HGH_EVENT_WORDS 14

/** Inputs of one cycle. */
typedef struct {
    /** Reset of everything, and of the host side alone. */
    uint8_t rst;
    uint8_t host_rst;
    /** Registers, AXI4-Lite. */
    uint8_t awvalid;
    uint8_t wvalid;
    uint8_t bready;
    uint8_t arvalid;
    uint8_t rready;
    uint8_t wstrb;
    uint16_t awaddr;
    uint16_t araddr;
    uint32_t wdata;
    /** A beat from the core, with the metadata of its frame; rule, bucket and target with their valid bit on top. */
    uint8_t rx_valid;
    uint8_t rx_last;
    uint8_t rx_abort;
    uint8_t rx_control;
    uint8_t rx_queue;
    uint8_t rx_reason;
    uint8_t rx_port;
    uint8_t rx_rule;
    uint16_t rx_bucket;
    uint16_t rx_target;
    uint64_t rx_keep;
    uint8_t rx_data[HGH_BEAT_BYTES];
    /** The core takes a beat: 0 data, 1 control. */
    uint8_t tx_ready[2];
    uint64_t time_ns;
    /** Event queue of the core. */
    uint8_t event_valid;
    uint32_t event_words[HGH_EVENT_WORDS];
    /** Tables: `mover_grant` is passed on only while the mover asks. */
    uint8_t mover_grant;
    uint8_t mover_valid;
    uint8_t mover_wait;
    uint32_t mover_data;
    /** AXI4 master, the memory's side. */
    uint8_t m_awready;
    uint8_t m_wready;
    uint8_t m_bvalid;
    uint8_t m_bresp;
    uint8_t m_arready;
    uint8_t m_rvalid;
    uint8_t m_rresp;
    uint8_t m_rlast;
    uint8_t m_rdata[HGH_BEAT_BYTES];
    uint16_t interrupt_ack;
} hgh_in;

/** Outputs of one cycle, with its inputs. */
typedef struct {
    uint8_t awready;
    uint8_t wready;
    uint8_t bvalid;
    uint8_t bresp;
    uint8_t arready;
    uint8_t rvalid;
    uint8_t rresp;
    uint32_t rdata;
    uint8_t rx_ready;
    /** Beats to the core: 0 data, 1 control. */
    uint8_t tx_valid[2];
    uint8_t tx_last[2];
    uint8_t tx_port[2];
    uint64_t tx_keep[2];
    uint8_t tx_data[2][HGH_BEAT_BYTES];
    uint8_t event_pop;
    uint8_t event_enable;
    uint8_t mover;
    uint8_t mover_write;
    uint8_t mover_id;
    uint8_t mover_active;
    uint32_t mover_address;
    uint32_t mover_data;
    /** AXI4 master. */
    uint8_t m_awvalid;
    uint8_t m_awlen;
    uint8_t m_awsize;
    uint8_t m_awburst;
    uint64_t m_awaddr;
    uint8_t m_wvalid;
    uint8_t m_wlast;
    uint64_t m_wstrb;
    uint8_t m_wdata[HGH_BEAT_BYTES];
    uint8_t m_bready;
    uint8_t m_arvalid;
    uint8_t m_arlen;
    uint8_t m_arsize;
    uint8_t m_arburst;
    uint64_t m_araddr;
    uint8_t m_rready;
    uint16_t interrupt_req;
} hgh_out;

/** A Verilated host interface. */
typedef struct hg_host hg_host;

/** Makes one in reset; 0 if there is none of that width (512 or 64 bit). Registers and memories start from `seed`. */
hg_host *hgh_new(uint32_t bits, uint32_t seed);

/** Frees it. */
void hgh_free(hg_host *host);

/** One clock cycle. Returns 0, or 1 if an assertion failed, see hgh_failure(). */
int hgh_step(hg_host *host, const hgh_in *in, hgh_out *out);

/** Starts a waveform (FST). Returns 0, or 1 if the file cannot be made. */
int hgh_trace_open(hg_host *host, const char *file);

/** Why hgh_step() failed; 0 if it did not. Valid until hgh_free(). */
const char *hgh_failure(const hg_host *host);

#ifdef __cplusplus
}
#endif

#endif
