/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C face of the Verilated NIC: one struct in, one struct out, one call a clock cycle. A model is the core alone (hw/rtl/hashgate_core.sv) or,
 * with the host side, the whole NIC for a PCIe bridge (hw/rtl/hashgate_nic.sv); each ignores the inputs, and leaves at zero the outputs, that only the other has.
 *
 * The structs have room for the widest build (HG_BEAT_BYTES) and the most ports (HG_PORTS); a build with less ignores
 * the rest of the inputs and gives zero for the rest of the outputs. Fields follow the port list of
 * hw/rtl/hashgate_core.sv. A model belongs to one thread at a time.
 */
#ifndef HASHGATE_SHIM_H
#define HASHGATE_SHIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Wire ports that the structs have room for. */
#define HG_PORTS 2
/** Bytes of a beat that the structs have room for. */
#define HG_BEAT_BYTES 64

/** One beat of a stream. `data`, `keep`, `last` and `user` are undefined while `valid` is 0. */
typedef struct {
    /** Bytes of the beat, first on the wire first. */
    uint8_t data[HG_BEAT_BYTES];
    /** Bit i: byte i is part of the frame. */
    uint64_t keep;
    /** The beat is offered. */
    uint8_t valid;
    /** Last beat of the frame. */
    uint8_t last;
    /** Sideband of the stream: error mark, abort mark or wire port. */
    uint8_t user;
} hg_beat;

/** Memory's side of the AXI4 master. */
typedef struct {
    uint8_t awready;
    uint8_t wready;
    uint8_t bvalid;
    uint8_t bresp;
    uint8_t arready;
    uint8_t rvalid;
    uint8_t rresp;
    uint8_t rlast;
    uint8_t rdata[HG_BEAT_BYTES];
} hg_memory_in;

/** The AXI4 master's side. What is not valid is undefined. */
typedef struct {
    uint8_t awvalid;
    uint8_t awlen;
    uint8_t awsize;
    uint8_t awburst;
    uint8_t wvalid;
    uint8_t wlast;
    uint8_t bready;
    uint8_t arvalid;
    uint8_t arlen;
    uint8_t arsize;
    uint8_t arburst;
    uint8_t rready;
    uint64_t awaddr;
    uint64_t araddr;
    uint64_t wstrb;
    uint8_t wdata[HG_BEAT_BYTES];
} hg_memory_out;

/** Inputs of the NIC for one cycle. */
typedef struct {
    /** Synchronous reset. */
    uint8_t rst;
    /** Frames from the wire ports; `user` on the last beat is the error mark of the MAC. */
    hg_beat wire_rx[HG_PORTS];
    /** Wire ports that take a beat in this cycle. */
    uint8_t wire_tx_ready[HG_PORTS];
    /** Wire ports that have no link. */
    uint8_t wire_down[HG_PORTS];
    /** The host takes a beat in this cycle. */
    uint8_t host_rx_ready;
    /** Frames from the host: data, control; `user` is the wire port. */
    hg_beat host_tx[2];
    /** AXI4-Lite write address, data and response. */
    uint8_t awvalid;
    uint16_t awaddr;
    uint8_t wvalid;
    uint32_t wdata;
    uint8_t wstrb;
    uint8_t bready;
    /** AXI4-Lite read address and data. */
    uint8_t arvalid;
    uint16_t araddr;
    uint8_t rready;
    /** With the host side only: its reset, memory, and interrupt requests that are acknowledged. */
    uint8_t host_rst;
    hg_memory_in memory;
    uint16_t interrupt_ack;
    /** The walk over bindings of a core without the host interface: see binding_reader. */
    uint8_t walk_begin;
    uint8_t walk_affinity;
    uint8_t walk_go_on;
    uint8_t walk_read;
    uint16_t walk_session;
} hg_in;

/** Outputs of the NIC in one cycle, as they are with this cycle's inputs. */
typedef struct {
    /** Ready of the wire receive streams. */
    uint8_t wire_rx_ready[HG_PORTS];
    /** Frames to the wire ports; `user` on the last beat is the abort mark. */
    hg_beat wire_tx[HG_PORTS];
    /** Frames to the host; `user` on the last beat is the abort mark. */
    hg_beat host_rx;
    /** Frame goes to the control queue. */
    uint8_t host_rx_control;
    /** Receive queue. */
    uint8_t host_rx_queue;
    /** Reason id. */
    uint8_t host_rx_reason;
    /** Wire port that received the frame. */
    uint8_t host_rx_port;
    /** Rule, bit 7 = valid. */
    uint8_t host_rx_rule;
    /** Bucket, bit 12 = valid. */
    uint16_t host_rx_bucket;
    /** Target, bit 10 = valid. */
    uint16_t host_rx_target;
    /** Ready of the host transmit streams: data, control. */
    uint8_t host_tx_ready[2];
    /** A verdict is reported in this cycle; the other event fields are undefined if not. */
    uint8_t event_valid;
    /** Verdict id. */
    uint8_t event_verdict;
    /** Reason id. */
    uint8_t event_reason;
    /** Wire port that received the frame. */
    uint8_t event_port;
    /** Wire port that the frame leaves by. */
    uint8_t event_out_port;
    /** Receive queue. */
    uint8_t event_queue;
    /** Frame goes to the control queue. */
    uint8_t event_control;
    /** Rule, bit 7 = valid. */
    uint8_t event_rule;
    /** Bucket, bit 12 = valid. */
    uint16_t event_bucket;
    /** Target, bit 10 = valid. */
    uint16_t event_target;
    /** Length in bytes, without FCS. */
    uint16_t event_length;
    /** Beats had left before the frame was discarded. */
    uint8_t event_aborted;
    /** Generation of the tables that decided, modulo 2. */
    uint8_t event_generation;
    /** Live bindings found, bit 0 connection, bit 1 affinity. */
    uint8_t event_found;
    /** Bindings that found no room, bits as above. */
    uint8_t event_refused;
    /** AXI4-Lite. */
    uint8_t awready;
    uint8_t wready;
    uint8_t bvalid;
    uint8_t bresp;
    uint8_t arready;
    uint8_t rvalid;
    uint32_t rdata;
    uint8_t rresp;
    /** With the host side only. */
    hg_memory_out memory;
    uint16_t interrupt_req;
    /** The walk: a word is granted, a word has come. */
    uint8_t walk_grant;
    uint8_t walk_valid;
    uint32_t walk_data;
} hg_out;

/** A Verilated NIC. */
typedef struct hg_nic hg_nic;

/**
 * Makes a NIC; 0 if this library was built without that build.
 *
 * `build` is the width of the stream in bits, 512 or 64; `with_host` chooses the whole NIC, else it is the core alone. Registers and memories start as zeros if `seed` is 0, else
 * with values drawn from the seed.
 */
hg_nic *hg_new(int build, int with_host, uint32_t seed);

/** Frees a core and closes its trace. */
void hg_free(hg_nic *nic);

/**
 * One clock cycle: applies the inputs, settles with the clock low, copies the outputs, then gives the rising edge.
 *
 * Returns 0, or 1 if an assertion failed or the design stopped; then and from then on hg_failure() says why and the
 * core must not be stepped again.
 */
int hg_step(hg_nic *nic, const hg_in *in, hg_out *out);

/** Why hg_step() returned 1; 0 if it did not. Valid until hg_free(). */
const char *hg_failure(const hg_nic *nic);

/**
 * Memories of the core that can be upset, and their words.
 * Map banks: 2048 x map + bucket / 2; bits 0..9 the even bucket's owner, 10..19 the odd one's, 20 the parity.
 * Flags of owners, and of targets in the affinity table: 1024 x bank + target; bit 0 draining, 1 binds, 2 the parity.
 * Records that packets of the connection table read: session; {parity, record}.
 */
#define HG_MAP_BANK_0 0
#define HG_MAP_BANK_1 1
#define HG_OWNER_FLAGS 2
#define HG_AFFINITY_FLAGS 3
#define HG_CONNECTION_RECORDS 4

/** Flips bits of a word of a memory of a core alone, as a particle does. Returns 0, or 1 if there is no such memory, word or bit. */
int hg_upset(hg_nic *nic, uint32_t memory, uint32_t word, uint64_t bits);

/** Puts the time base of a NIC with host side forward, as if it had had nothing to do for so many nanoseconds. */
void hg_skip_time(hg_nic *nic, uint64_t nanoseconds);

/**
 * Starts writing a waveform in FST format; one clock cycle is two units of time. Returns 0, or 1 if the file cannot be
 * written.
 */
int hg_trace_open(hg_nic *nic, const char *path);

/** Completes the waveform; nothing happens if there is none. */
void hg_trace_close(hg_nic *nic);

#ifdef __cplusplus
}
#endif

#endif
