/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C face of the Verilated binding table (hw/rtl/binding/binding_table.sv): a batch of clock cycles a call.
 *
 * What a packet does is asked for together with its key; the shim keeps the wish until the packet is answered, and grants it if the
 * table's contract allows it. A request of the host is held until it is done.
 */
#ifndef HASHGATE_TABLE_H
#define HASHGATE_TABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Words of a key: bit 0 of word 0 is bit 0 of binding_key_t. */
#define HGT_KEY_WORDS 10

/** Inputs of one cycle. */
typedef struct {
    /** A packet, with this key. */
    uint8_t valid;
    /** Operation: 0 none, 1 write, 2 create, 3 delete, 4 write of what is there. All but create are done on live records only. */
    uint8_t op;
    /** Create only if there is no live record. */
    uint8_t only_dead;
    /** Flag that is written with it. */
    uint8_t flag;
    uint32_t key[HGT_KEY_WORDS];
    /** Record to write, as packed in binding_record_t. */
    uint64_t record;
    /** The clocks. */
    uint16_t fast_now;
    uint16_t slow_now;
    /** A request of the host begins: 1 + operation. */
    uint8_t host_start;
    uint32_t host_key[HGT_KEY_WORDS];
    uint64_t host_record;
    uint32_t host_session;
    /** Undo of a creation. */
    uint8_t undo;
    uint32_t undo_session;
    uint32_t undo_row;
} hgt_in;

/** Outputs of one cycle. */
typedef struct {
    /** The table is being cleared. */
    uint8_t busy;
    /** A packet is answered, the one of ten cycles before; the next fields are of it. */
    uint8_t valid;
    uint8_t present;
    uint8_t live;
    uint8_t flag;
    uint8_t can_create;
    /** Operation that was done: not a create that was refused. */
    uint8_t op;
    uint32_t session;
    uint32_t row;
    uint64_t record;
    /** Event: 1 + kind. */
    uint8_t event;
    /** It took over a session that had expired. */
    uint8_t event_renewed;
    uint32_t event_session;
    uint64_t event_record;
    uint32_t event_key[HGT_KEY_WORDS];
    /** The request of the host is done. */
    uint8_t host_done;
    uint8_t host_ok;
    uint8_t host_busy;
    uint8_t host_full;
    uint8_t host_present;
    uint8_t host_ended;
    uint8_t host_two;
    uint32_t host_session;
    uint64_t host_record;
    uint32_t host_key[HGT_KEY_WORDS];
    uint8_t undo_lost;
    uint8_t moved;
    uint8_t parity;
    uint32_t stash_used;
    uint32_t live_slots;
} hgt_out;

/** A Verilated table. */
typedef struct hg_table hg_table;

/** Makes a table and resets it; 0 if there is none with that many sessions (512 or 65536). Registers and memories start from `seed`. */
hg_table *hgt_new(uint32_t sessions, uint32_t seed, const uint32_t secret[4]);

/** Frees a table. */
void hgt_free(hg_table *table);

/** `cycles` clock cycles. Returns how many passed; fewer if an assertion failed, see hgt_failure(). */
uint32_t hgt_run(hg_table *table, uint32_t cycles, const hgt_in *in, hgt_out *out);

/** Memories of records, beside those of slots, which have the numbers of their ways: the ones that packets read, the ones that others do. */
#define HGT_RECORDS 4
#define HGT_OTHER_RECORDS 5

/**
 * Flips a bit of a memory, as a particle does: `word` is a row of a way, or a session. Slots are {parity, valid, second, session, key}, records
 * {parity, record}, those that others read {parity, used, record}. Returns 0, or 1 if there is no such memory, word or bit.
 */
int hgt_upset(hg_table *table, uint32_t memory, uint32_t word, uint32_t bit);

/** The session whose key is in a slot; all ones if the slot is empty or there is no such slot. */
uint32_t hgt_slot(const hg_table *table, uint32_t way, uint32_t row);

/** Why hgt_run() stopped; 0 if it did not. Valid until hgt_free(). */
const char *hgt_failure(const hg_table *table);

#ifdef __cplusplus
}
#endif

#endif
