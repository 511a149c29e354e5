/*
 * backlog.h - bytes that a layer of a stream has made and the socket did not take:
 * what is left of a handshake's message, of a record, of a frame.  Empty nearly
 * always, and then it holds no memory.  It may hold payload, so its memory is that of
 * the arena (broker/core/arena.h), by the shelf of the stream's thread.
 *
 * Bound: a layer takes nothing more to write while there is a backlog.  What it has to
 * say to what it reads (pongs, alerts) adds up when the peer asks and never reads:
 * beyond BACKLOG_MAX the connection is as good as broken.
 * Failure: none; without memory the process ends.
 * Thread: the stream's.
 */
#ifndef BROKER_NET_BACKLOG_H
#define BROKER_NET_BACKLOG_H

#include "broker/core/arena.h"

#define BACKLOG_MAX 65536u

/* Zeroed memory is an empty backlog. */
struct backlog {
	uint8_t *bytes; /* owned; NULL when empty */
	size_t len, room;
};

void backlog_add(struct backlog *backlog, struct shelf *shelf, struct slice bytes);

/* The first n bytes have gone. */
void backlog_drop(struct backlog *backlog, struct shelf *shelf, size_t n);

void backlog_finish(struct backlog *backlog, struct shelf *shelf);

static inline struct slice backlog_bytes(const struct backlog *backlog)
{
	return slice_of(backlog->bytes, backlog->len);
}

#endif
