/*
 * outbox.h - bytes on their way to one link: a list of chunks, each either a buffer
 * that packets are encoded into, or the payload of a message that is large
 * enough to be written from where it is.
 *
 * Ownership: the outbox owns its chunks and one reference for each message that
 * it points to; an empty outbox owns nothing.  Chunks are wiped when released.
 * Charged to the purse.  Thread: the shard's.
 */
#ifndef BROKER_CORE_OUTBOX_H
#define BROKER_CORE_OUTBOX_H

#include "proto/base.h"
#include "broker/core/message.h"

struct chunk;

struct outbox {
	struct chunk *head;
	struct chunk *tail;
	size_t bytes; /* not yet written */
};

/* Payloads from here on are not copied. */
#define OUTBOX_BORROW_MIN 4096u

/*
 * Room for exactly n bytes at the end, n >= 1; the caller fills all of it before
 * the next call.  Always succeeds: who appends has asked the purse or must.
 */
uint8_t *outbox_reserve(struct outbox *outbox, struct purse *purse, size_t n);

/* Appends bytes of a message (its payload), by reference. */
void outbox_borrow(struct outbox *outbox, struct purse *purse, struct message *message,
		   struct slice bytes);

/* The first bytes to write, as up to `room` slices; how many. */
size_t outbox_peek(const struct outbox *outbox, struct slice *out, size_t room);

/* n bytes were written, n <= bytes. */
void outbox_take(struct outbox *outbox, struct purse *purse, size_t n);

void outbox_clear(struct outbox *outbox, struct purse *purse);

/*
 * n bytes have just been written: how many of `part`, that were somewhere among those that there
 * were, are still there?  As if they had been spread evenly: so never more than there is, none
 * once it is empty, and whoever reads sees it fall, whatever comes behind.
 */
static inline size_t outbox_left(const struct outbox *outbox, size_t part, size_t n)
{
	return outbox->bytes ? (size_t)((uint64_t)part * outbox->bytes / (outbox->bytes + n)) : 0;
}

#endif
