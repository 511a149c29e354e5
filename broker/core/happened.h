/*
 * happened.h - counters of a shard, one table (happened.def) for all uses.
 *
 * Thread: written by the shard's own thread only, read by any; a plain load and
 * store on this kind of machine, since there is one writer.
 */
#ifndef BROKER_CORE_HAPPENED_H
#define BROKER_CORE_HAPPENED_H

#include "proto/base.h"
#include <stdatomic.h>

enum happened_name {
#define COUNTER(name, metric, help) HAPPENED_##name,
#define LEVEL(name, metric, help)   HAPPENED_##name,
#define DROPPED(name, reason)	    HAPPENED_##name,
#define LOGIN(name, result)	    HAPPENED_##name,
#include "broker/core/happened.def"
#undef COUNTER
#undef LEVEL
#undef DROPPED
#undef LOGIN
	HAPPENED_NAMES
};

/* Refusals are counted by listener (the last row stands for all from there on) and reason code. */
#define HAPPENED_LISTENERS    32u
#define HAPPENED_REASON_FIRST 0x80u
#define HAPPENED_REASONS      64u

struct happened {
	_Atomic uint64_t value[HAPPENED_NAMES];
	_Atomic uint32_t refused[HAPPENED_LISTENERS][HAPPENED_REASONS];
};

static inline void happened_add(struct happened *h, enum happened_name name, uint64_t n)
{
	uint64_t was = atomic_load_explicit(&h->value[name], memory_order_relaxed);
	atomic_store_explicit(&h->value[name], was + n, memory_order_relaxed);
}

static inline void happened_take(struct happened *h, enum happened_name name, uint64_t n)
{
	uint64_t was = atomic_load_explicit(&h->value[name], memory_order_relaxed);
	atomic_store_explicit(&h->value[name], was - n, memory_order_relaxed);
}

static inline void happened_set(struct happened *h, enum happened_name name, uint64_t n)
{
	atomic_store_explicit(&h->value[name], n, memory_order_relaxed);
}

static inline uint64_t happened_get(const struct happened *h, enum happened_name name)
{
	return atomic_load_explicit(&h->value[name], memory_order_relaxed);
}

/* A client of this listener was refused, or disconnected, for this reason (0x80 or above). */
static inline void happened_refused(struct happened *h, uint32_t listener, uint8_t reason)
{
	uint32_t row = listener < HAPPENED_LISTENERS ? listener : HAPPENED_LISTENERS - 1;
	uint32_t column = reason - HAPPENED_REASON_FIRST;
	if (reason < HAPPENED_REASON_FIRST || column >= HAPPENED_REASONS)
		return;
	uint32_t was = atomic_load_explicit(&h->refused[row][column], memory_order_relaxed);
	atomic_store_explicit(&h->refused[row][column], was + 1, memory_order_relaxed);
}

#endif
