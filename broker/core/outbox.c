/* outbox.c - see outbox.h. */
#include "broker/core/outbox.h"

struct chunk {
	struct chunk *next;
	struct message *message; /* NULL: the bytes are behind this struct */
	const uint8_t *start;	 /* first byte not yet written */
	const uint8_t *end;	 /* behind the last one */
	size_t room;		 /* of `bytes` */
	uint8_t bytes[];
};

/* A quiet link gets by with a small chunk; a busy one soon has large ones. */
#define CHUNK_FIRST (256u - sizeof(struct chunk))
#define CHUNK_LARGE (16368u - sizeof(struct chunk)) /* four of them in a span of the arena */

static struct chunk *append_chunk(struct outbox *outbox, struct purse *purse, size_t room)
{
	purse_force(purse, sizeof(struct chunk) + room);
	struct chunk *chunk = purse_payload(purse, sizeof *chunk + room);
	chunk->next = NULL;
	chunk->message = NULL;
	chunk->start = chunk->end = chunk->bytes;
	chunk->room = room;
	if (outbox->tail)
		outbox->tail->next = chunk;
	else
		outbox->head = chunk;
	outbox->tail = chunk;
	return chunk;
}

static size_t room_left(const struct chunk *chunk)
{
	return chunk->room - (size_t)(chunk->end - chunk->bytes);
}

uint8_t *outbox_reserve(struct outbox *outbox, struct purse *purse, size_t n)
{
	struct chunk *chunk = outbox->tail;
	if (chunk == NULL || chunk->message || room_left(chunk) < n) {
		/* After a payload that is not copied comes little more than the next packet's head.
		 */
		size_t room = chunk == NULL || chunk->message ? CHUNK_FIRST : CHUNK_LARGE;
		chunk = append_chunk(outbox, purse, n > room ? n : room);
	}
	uint8_t *at = chunk->bytes + (chunk->end - chunk->bytes);
	chunk->end += n;
	outbox->bytes += n;
	return at;
}

void outbox_borrow(struct outbox *outbox, struct purse *purse, struct message *message,
		   struct slice bytes)
{
	struct chunk *chunk = append_chunk(outbox, purse, 0);
	chunk->message = message_share(message);
	chunk->start = bytes.at;
	chunk->end = bytes.at + bytes.len;
	outbox->bytes += bytes.len;
}

size_t outbox_peek(const struct outbox *outbox, struct slice *out, size_t room)
{
	size_t n = 0;
	for (const struct chunk *c = outbox->head; c && n < room; c = c->next)
		if (c->end > c->start)
			out[n++] = slice_of(c->start, (size_t)(c->end - c->start));
	return n;
}

static void drop_head(struct outbox *outbox, struct purse *purse)
{
	struct chunk *chunk = outbox->head;
	outbox->head = chunk->next;
	if (outbox->head == NULL)
		outbox->tail = NULL;
	purse_give(purse, sizeof *chunk + chunk->room);
	size_t used = chunk->message ? 0 : (size_t)(chunk->end - chunk->bytes);
	if (chunk->message)
		message_release(chunk->message, purse);
	purse_payload_free(purse, chunk, sizeof *chunk + used);
}

void outbox_take(struct outbox *outbox, struct purse *purse, size_t n)
{
	must(n <= outbox->bytes);
	outbox->bytes -= n;
	while (outbox->head) {
		struct chunk *chunk = outbox->head;
		size_t here = (size_t)(chunk->end - chunk->start);
		if (n < here) {
			chunk->start += n;
			return;
		}
		n -= here;
		drop_head(outbox, purse);
	}
}

void outbox_clear(struct outbox *outbox, struct purse *purse)
{
	while (outbox->head)
		drop_head(outbox, purse);
	outbox->bytes = 0;
}
