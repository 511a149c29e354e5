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
#include "broker/core/happened.def"
#undef COUNTER
#undef LEVEL
#undef DROPPED
	HAPPENED_NAMES
};

struct happened {
	_Atomic uint64_t value[HAPPENED_NAMES];
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

#endif
