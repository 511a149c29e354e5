/* persist.c - see persist.h. */
#include "broker/core/core.h"
#include "broker/core/rights.h"
#include "broker/core/token.h"

#define RETRY_MS 1000u

void persist_init(struct persist *persist)
{
	*persist = (struct persist){.timer = {.kind = TIMER_PERSIST}};
	slab_init(&persist->waiters, sizeof(struct waiter));
}

void persist_finish(struct persist *persist)
{
	slab_finish(&persist->waiters);
	memory_free(persist->undone.ops);
}

static struct store_op *add(struct changes *changes, enum store_op_type type, uint64_t row)
{
	changes->ops =
	    shard_grow(changes->ops, &changes->room, changes->count + 1, sizeof *changes->ops);
	struct store_op *op = &changes->ops[changes->count++];
	*op = (struct store_op){.type = type, .row = row};
	return op;
}

void changes_put_session(const struct shard *shard, struct changes *changes,
			 const struct session *session, bool connected, uint64_t since_s)
{
	add(changes, STORE_PUT_SESSION, session->row)->session = (struct store_session){
	    .realm = session->realm,
	    .expiry_s = session->expiry_s,
	    .connected = connected,
	    .since_s = since_s,
	    .owner = rights_owner(shard, session),
	    .client_id = session_client_id(session),
	    .tokens = token_kept(shard, session),
	};
}

void changes_put_subscription(struct changes *changes, uint64_t row,
			      const struct store_subscription *subscription)
{
	add(changes, STORE_PUT_SUBSCRIPTION, row)->subscription = *subscription;
}

void changes_delete(struct changes *changes, enum store_op_type type, uint64_t row)
{
	add(changes, type, row);
}

/* What an operation points to. */
static size_t texts_of(struct store_op *op, struct slice *texts[2])
{
	switch (op->type) {
	case STORE_PUT_SESSION:
		texts[0] = &op->session.client_id;
		texts[1] = &op->session.tokens;
		return 2;
	case STORE_PUT_SUBSCRIPTION:
		texts[0] = &op->subscription.filter;
		return 1;
	default:
		return 0;
	}
}

/* One allocation: the batch, its operations, and the text that they point to. */
static struct store_batch *make_batch(const struct changes *changes)
{
	struct slice *texts[2];
	size_t text_len = 0;
	for (uint32_t i = 0; i < changes->count; i++)
		for (size_t n = texts_of(&changes->ops[i], texts); n-- > 0;)
			text_len += texts[n]->len;
	size_t ops_size = changes->count * sizeof(struct store_op);
	struct store_batch *batch = memory_get_zeroed(sizeof *batch + ops_size + text_len);
	batch->count = changes->count;
	uint8_t *at = (uint8_t *)batch->ops + ops_size;
	for (uint32_t i = 0; i < changes->count; i++) {
		batch->ops[i] = changes->ops[i];
		for (size_t n = texts_of(&batch->ops[i], texts); n-- > 0;) {
			if (texts[n]->len == 0)
				continue;
			memcpy(at, texts[n]->at, texts[n]->len);
			texts[n]->at = at;
			at += texts[n]->len;
		}
	}
	return batch;
}

bool persist_send(struct shard *shard, struct changes *changes, struct waiter waiter)
{
	struct persist *persist = &shard->persist;
	bool any = changes->count > 0;
	if (any) {
		steps_flush(shard); /* what was said of a session before its end goes before it */
		/* Nothing later may be there while what was to go before it still is. */
		for (uint32_t i = 0; i < persist->undone.count && changes != &persist->undone; i++)
			changes_delete(changes, persist->undone.ops[i].type,
				       persist->undone.ops[i].row);
		if (changes != &persist->undone)
			persist->undone.count = 0;
		struct store_batch *batch = make_batch(changes);
		uint32_t ticket = slab_add(&persist->waiters);
		*(struct waiter *)slab_at(&persist->waiters, ticket) = waiter;
		batch->ticket = ticket;
		batch->party = shard->party;
		persist->under_way++;
		shard_effect(shard, EFFECT_STORE, 0)->batch = batch;
	}
	memory_free(changes->ops);
	*changes = (struct changes){0};
	return any;
}

void persist_delete(struct shard *shard, enum store_op_type type, uint64_t row)
{
	struct persist *persist = &shard->persist;
	changes_delete(&persist->undone, type, row);
	if (!timer_armed(&persist->timer))
		timer_arm(&shard->timers, &persist->timer, shard->now.ms + RETRY_MS);
}

static void keep_deletions(struct shard *shard, const struct store_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		enum store_op_type type = batch->ops[i].type;
		if (type == STORE_DELETE_SESSION || type == STORE_DELETE_SUBSCRIPTION)
			persist_delete(shard, type, batch->ops[i].row);
	}
}

void persist_retry(struct shard *shard)
{
	persist_send(shard, &shard->persist.undone, (struct waiter){0});
}

void persist_answered(struct shard *shard, struct store_batch *batch)
{
	struct persist *persist = &shard->persist;
	uint32_t ticket = (uint32_t)batch->ticket;
	if (batch->step_count > 0) {
		persist->under_way--;
		if (!batch->committed)
			COUNT(shard, STORE_FAILED);
		steps_answered(shard, batch);
		memory_free(batch);
		return;
	}
	struct waiter waiter = *(struct waiter *)slab_at(&persist->waiters, ticket);
	slab_remove(&persist->waiters, ticket);
	persist->under_way--;
	if (!batch->committed) {
		COUNT(shard, STORE_FAILED);
		keep_deletions(shard, batch);
	}
	bool committed = batch->committed;
	memory_free(batch);
	if (waiter.session)
		session_stored(shard, waiter.session, committed);
	if (waiter.serial)
		on_connect_stored(shard, waiter.serial, waiter.link, committed);
	if (waiter.answer)
		answer_stored(shard, waiter.answer, committed);
}
