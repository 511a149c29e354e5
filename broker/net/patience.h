/*
 * patience.h - links that we wait for, each for the same time: a queue in order
 * of deadline, which costs nothing while it is empty.
 *
 * An entry names a link and its serial, so that an entry for a link that has gone
 * in the meantime is recognised and skipped.
 *
 * Thread: the worker's.
 */
#ifndef BROKER_NET_PATIENCE_H
#define BROKER_NET_PATIENCE_H

#include "proto/base.h"

struct patience_entry {
	uint64_t until_ms;
	uint32_t link;
	uint32_t serial;
};

struct patience {
	struct patience_entry *entries; /* a ring */
	size_t room;			/* a power of two, or 0 */
	size_t first;
	size_t count;
};

/* Zeroed memory is an empty queue. */
void patience_finish(struct patience *patience);

/* Deadlines never decrease from one call to the next. */
void patience_add(struct patience *patience, struct patience_entry entry);

/* Takes out the next entry whose time has come; false when there is none. */
bool patience_due(struct patience *patience, uint64_t now_ms, struct patience_entry *entry);

/* The next deadline; UINT64_MAX for none. */
uint64_t patience_next(const struct patience *patience);

#endif
