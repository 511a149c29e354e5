/* queue.c - see queue.h. */
#include "broker/core/queue.h"
#include "broker/core/memory.h"

#define ROOM_MIN 4u

/* So many, of which each may have to come from memory, are looked at in a millisecond at most. */
#define WALK_A_MS 1024u

void delivery_make_many(struct delivery *delivery, struct purse *purse, uint32_t count)
{
	purse_force(purse, identifiers_size(count));
	delivery->many = memory_get(identifiers_size(count));
	delivery->many->count = count;
}

void delivery_finish(struct delivery *delivery, struct purse *purse)
{
	if (delivery->message)
		message_release(delivery->message, purse);
	if (delivery->many)
		purse_give(purse, identifiers_size(delivery->many->count));
	memory_free(delivery->many);
	*delivery = (struct delivery){0};
}

static void resize(struct queue *queue, struct purse *purse, uint32_t room)
{
	struct delivery *ring = memory_get(room * sizeof *ring);
	for (uint32_t i = 0; i < queue->count; i++)
		ring[i] = queue->ring[(queue->head + i) & (queue->room - 1)];
	memory_free(queue->ring);
	purse_give(purse, queue->room * sizeof *ring);
	purse_force(purse, room * sizeof *ring);
	queue->ring = ring;
	queue->room = room;
	queue->head = 0;
}

void queue_push(struct queue *queue, struct purse *purse, struct delivery delivery)
{
	if (queue->count == queue->room)
		resize(queue, purse, queue->room ? queue->room * 2 : ROOM_MIN);
	if (queue->count == 0 || delivery.message->expires_ms < queue->expires_ms)
		queue->expires_ms = delivery.message->expires_ms;
	queue->ring[(queue->head + queue->count++) & (queue->room - 1)] = delivery;
	queue->bytes += delivery_weight(&delivery);
	queue->at_most_once += delivery.qos == 0;
}

struct delivery queue_pop(struct queue *queue, struct purse *purse)
{
	must(queue->count > 0);
	struct delivery delivery = queue->ring[queue->head];
	queue->head = (queue->head + 1) & (queue->room - 1);
	queue->bytes -= delivery_weight(&delivery);
	queue->at_most_once -= delivery.qos == 0;
	if (--queue->count == 0) {
		purse_give(purse, queue->room * sizeof delivery);
		memory_free(queue->ring);
		*queue = (struct queue){0};
	} else if (queue->room > 64 && queue->count < queue->room / 8) {
		resize(queue, purse, queue->room / 2);
	}
	return delivery;
}

void queue_take_expired(struct queue *queue, struct purse *purse, uint64_t now_ms,
			struct queue *expired)
{
	struct queue left = {0};
	if (queue->count == 0 || now_ms < queue->expires_ms ||
	    now_ms <= queue->walked_ms + queue->count / WALK_A_MS)
		return;
	while (queue->count > 0) {
		struct delivery delivery = queue_pop(queue, purse);
		bool over = delivery.message->expires_ms <= now_ms;
		queue_push(over ? expired : &left, purse, delivery);
	}
	*queue = left;
	queue->walked_ms = now_ms;
}

void queue_clear(struct queue *queue, struct purse *purse)
{
	while (queue->count > 0) {
		struct delivery delivery = queue_pop(queue, purse);
		delivery_finish(&delivery, purse);
	}
}
