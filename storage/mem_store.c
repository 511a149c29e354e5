/* mem_store.c - see mem_store.h. */
#include "storage/mem_store.h"

#include "storage/journal.h"
#include "storage/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

struct mem_row {
	UT_hash_handle hh;
	uint64_t row;
	size_t len;
	uint8_t body[];
};

struct mem_store {
	struct store head;
	struct mem_row *sessions;
	struct mem_row *subscriptions;
	struct mem_row *steps; /* rows of the journal, in rising order */
	struct journal *journal;
	size_t slack_bytes; /* 0: as the journal does */
	uint64_t rewritten; /* by journals that are gone */
	uint32_t refusals;  /* commits still to be refused */
	char refusal[sizeof(((struct failure *)0)->text)];
	uint8_t scratch[RECORD_BODY_MAX];
};

static void row_delete(struct mem_row **table, uint64_t row)
{
	struct mem_row *found;

	HASH_FIND(hh, *table, &row, sizeof(row), found);
	if (found == NULL)
		return;
	HASH_DEL(*table, found);
	free(found);
}

static void row_put(struct mem_row **table, uint64_t row, struct slice body)
{
	struct mem_row *made = malloc(sizeof(*made) + body.len);
	struct mem_row *old;

	must(made != NULL);
	made->row = row;
	made->len = body.len;
	memcpy(made->body, body.at, body.len);
	HASH_REPLACE(hh, *table, row, sizeof(row), made, old);
	free(old);
}

static void apply(struct mem_store *store, const struct store_op *op)
{
	uint8_t *out = store->scratch;

	switch (op->type) {
	case STORE_PUT_SESSION:
		row_put(&store->sessions, op->row,
			slice_of(out, record_write_session(&op->session, out)));
		break;
	case STORE_PUT_SUBSCRIPTION:
		row_put(&store->subscriptions, op->row,
			slice_of(out, record_write_subscription(&op->subscription, out)));
		break;
	case STORE_DELETE_SESSION:
		row_delete(&store->sessions, op->row);
		break;
	case STORE_DELETE_SUBSCRIPTION:
		row_delete(&store->subscriptions, op->row);
		break;
	}
}

static void commit_steps(struct mem_store *store, struct store_batch *const *batches, size_t count)
{
	struct journal_write write = journal_prepare(store->journal, batches, count);

	for (uint64_t i = 0; i < write.count; i++)
		row_put(&store->steps, write.first + i, journal_row(store->journal, i));
	for (uint64_t number = write.oldest; number < write.stay; number++)
		row_delete(&store->steps, number);
	journal_finish(store->journal, batches, count, true);
}

static bool mem_commit(struct store *head, struct store_batch *const *batches, size_t count,
		       struct failure *failure)
{
	struct mem_store *store = (struct mem_store *)head;

	if (store->refusals > 0) {
		store->refusals--;
		return failure_set(failure, "%s", store->refusal);
	}
	for (size_t b = 0; b < count; b++) {
		for (size_t i = 0; i < batches[b]->count; i++)
			apply(store, &batches[b]->ops[i]);
	}
	commit_steps(store, batches, count);
	return true;
}

static bool session_lives(void *self, uint64_t row)
{
	struct mem_store *store = self;
	struct mem_row *found;

	HASH_FIND(hh, store->sessions, &row, sizeof(row), found);
	return found != NULL;
}

/* From the rows alone, as after a restart. */
static bool load_steps(struct mem_store *store, const struct store_visitor *visitor,
		       struct failure *failure)
{
	store->rewritten += journal_size(store->journal).rewritten;
	journal_destroy(store->journal);
	store->journal = journal_create();
	if (store->slack_bytes > 0)
		journal_set_slack(store->journal, store->slack_bytes);
	for (struct mem_row *row = store->steps; row != NULL; row = row->hh.next) {
		if (!journal_replay(store->journal, row->row, slice_of(row->body, row->len),
				    failure))
			return failure_context(failure, "journal in memory");
	}
	journal_settle(store->journal, store, session_lives);
	if (visitor->step)
		journal_visit(store->journal, visitor);
	return true;
}

static bool mem_load(struct store *head, const struct store_visitor *visitor,
		     struct failure *failure)
{
	struct mem_store *store = (struct mem_store *)head;

	for (struct mem_row *row = store->sessions; row != NULL; row = row->hh.next) {
		struct store_session session;

		if (!record_read_session(slice_of(row->body, row->len), &session, failure))
			return failure_context(failure, "session in memory");
		visitor->session(visitor->self, row->row, &session);
	}
	for (struct mem_row *row = store->subscriptions; row != NULL; row = row->hh.next) {
		struct store_subscription subscription;

		if (!record_read_subscription(slice_of(row->body, row->len), &subscription,
					      failure))
			return failure_context(failure, "subscription in memory");
		visitor->subscription(visitor->self, row->row, &subscription);
	}
	return load_steps(store, visitor, failure);
}

static void table_free(struct mem_row *table)
{
	struct mem_row *row;
	struct mem_row *next;

	HASH_ITER(hh, table, row, next)
	{
		/* `next` was read before this one goes; the analyser does not see it. */
		HASH_DEL(table, row); /* NOLINT(clang-analyzer-unix.Malloc) */
		free(row);
	}
}

static void mem_close(struct store *head)
{
	struct mem_store *store = (struct mem_store *)head;

	table_free(store->sessions);
	table_free(store->subscriptions);
	table_free(store->steps);
	journal_destroy(store->journal);
	free(store);
}

struct store *mem_store_create(void)
{
	static const struct store_class class = {mem_load, mem_commit, mem_close};
	struct mem_store *store = calloc(1, sizeof(*store));

	must(store != NULL);
	store->head.class = &class;
	store->journal = journal_create();
	journal_settle(store->journal, store, session_lives);
	return &store->head;
}

void mem_store_refuse(struct store *head, uint32_t commits, const char *text)
{
	struct mem_store *store = (struct mem_store *)head;

	store->refusals = commits;
	snprintf(store->refusal, sizeof(store->refusal), "%s", text);
}

void mem_store_set_slack(struct store *head, size_t bytes)
{
	struct mem_store *store = (struct mem_store *)head;

	store->slack_bytes = bytes;
	journal_set_slack(store->journal, bytes);
}

uint64_t mem_store_rewritten(const struct store *head)
{
	const struct mem_store *store = (const struct mem_store *)head;

	return store->rewritten + journal_size(store->journal).rewritten;
}
