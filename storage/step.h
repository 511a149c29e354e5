/*
 * step.h - the bytes of one step of a QoS 2 exchange (store.h), as the journal keeps it:
 *
 *	u8 type | u64 session's row | then, by type:
 *	INBOUND_OPEN, _END                u16 packet identifier | u64 envelope
 *	OUTBOUND_SENT, _RECEIVED, _END    u16 packet identifier | u64 envelope
 *	                                  [u64 group: the type has STEP_GROUP added]
 *	QUEUED                            u32 count
 * all big-endian.
 *
 * Thread: any.
 */
#ifndef STORAGE_STEP_H
#define STORAGE_STEP_H

#include "storage/store.h"

#define STEP_GROUP   0x80u
#define STEP_LEN_MAX 27u

/* Writes at most STEP_LEN_MAX bytes; gives the place behind them. */
uint8_t *step_encode(uint8_t *at, const struct store_step *step);

/* The length of the step that `body`, which is not empty, begins with; 0 when it is none. */
size_t step_decode(struct slice body, struct store_step *step);

#endif
