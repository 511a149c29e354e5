/* lmdb_store.c - see lmdb_store.h. */
#include "storage/lmdb_store.h"

#include "storage/journal.h"
#include "storage/record.h"
#include "storage/vault_internal.h"

#include <stdlib.h>

struct lmdb_store {
	struct store head;
	struct vault *vault; /* borrowed */
	struct journal *journal;
	uint8_t scratch[RECORD_MAX];
};

static struct lmdb_store *store_of(struct store *head)
{
	return (struct lmdb_store *)head;
}

/* ---- commit ---- */

/* One commit under way. */
struct committing {
	struct lmdb_store *store;
	struct store_batch *const *batches;
	size_t count;
	struct journal_write write;
};

static int put_op(struct lmdb_store *store, MDB_txn *txn, const struct store_op *op,
		  struct failure *failure)
{
	const bool session = op->type == STORE_PUT_SESSION;
	size_t len;
	bool ok;

	if (session)
		ok = record_encode_session(&record_clear, op->row, &op->session, store->scratch,
					   &len, failure);
	else
		ok = record_encode_subscription(&record_clear, op->row, &op->subscription,
						store->scratch, &len, failure);
	if (!ok)
		return DATAFILE_TOLD;
	return datafile_put(&store->vault->file, txn,
			    session ? TABLE_SESSIONS : TABLE_SUBSCRIPTIONS, op->row,
			    slice_of(store->scratch, len), 0);
}

static int apply(struct lmdb_store *store, MDB_txn *txn, const struct store_op *op,
		 struct failure *failure)
{
	struct datafile *file = &store->vault->file;

	if (op->type == STORE_DELETE_SESSION)
		return datafile_delete(file, txn, TABLE_SESSIONS, op->row);
	if (op->type == STORE_DELETE_SUBSCRIPTION)
		return datafile_delete(file, txn, TABLE_SUBSCRIPTIONS, op->row);
	return put_op(store, txn, op, failure);
}

static int put_steps(struct lmdb_store *store, MDB_txn *txn, uint64_t number, struct slice body,
		     struct failure *failure)
{
	size_t len;

	if (!record_encode_journal(&record_clear, number, body, store->scratch, &len, failure))
		return DATAFILE_TOLD;
	return datafile_put(&store->vault->file, txn, TABLE_JOURNAL, number,
			    slice_of(store->scratch, len), MDB_APPEND);
}

static int apply_steps(struct lmdb_store *store, MDB_txn *txn, const struct journal_write *write,
		       struct failure *failure)
{
	int code = 0;

	for (uint64_t i = 0; i < write->count && code == 0; i++)
		code = put_steps(store, txn, write->first + i, journal_row(store->journal, i),
				 failure);
	for (uint64_t number = write->oldest; number < write->stay && code == 0; number++)
		code = datafile_delete(&store->vault->file, txn, TABLE_JOURNAL, number);
	return code;
}

static int apply_all(void *self, MDB_txn *txn, struct failure *failure)
{
	const struct committing *committing = self;
	struct lmdb_store *store = committing->store;
	int code = 0;

	for (size_t b = 0; b < committing->count && code == 0; b++) {
		const struct store_batch *batch = committing->batches[b];

		for (size_t i = 0; i < batch->count && code == 0; i++)
			code = apply(store, txn, &batch->ops[i], failure);
	}
	return code != 0 ? code : apply_steps(store, txn, &committing->write, failure);
}

static bool commit(struct store *head, struct store_batch *const *batches, size_t count,
		   struct failure *failure)
{
	struct lmdb_store *store = store_of(head);
	struct committing committing = {.store = store, .batches = batches, .count = count};
	const struct datafile_work work = {.self = &committing, .apply = apply_all};
	bool committed;

	committing.write = journal_prepare(store->journal, batches, count);
	committed = datafile_write(&store->vault->file, &work, failure);
	journal_finish(store->journal, batches, count, committed);
	return committed;
}

/* ---- load ---- */

struct reading {
	struct lmdb_store *store;
	const struct store_visitor *visitor;
	MDB_txn *txn;
};

static bool give_session(void *self, uint64_t row, struct slice bytes, struct failure *failure)
{
	const struct reading *reading = self;
	struct lmdb_store *store = reading->store;
	struct store_session session;

	if (!record_decode_session(&record_clear, row, bytes, store->scratch, &session, failure))
		return datafile_damaged(&store->vault->file, TABLE_SESSIONS, row, failure);
	reading->visitor->session(reading->visitor->self, row, &session);
	return true;
}

static bool give_subscription(void *self, uint64_t row, struct slice bytes, struct failure *failure)
{
	const struct reading *reading = self;
	struct lmdb_store *store = reading->store;
	struct store_subscription subscription;

	if (!record_decode_subscription(&record_clear, row, bytes, store->scratch, &subscription,
					failure))
		return datafile_damaged(&store->vault->file, TABLE_SUBSCRIPTIONS, row, failure);
	reading->visitor->subscription(reading->visitor->self, row, &subscription);
	return true;
}

static bool load_rows(void *self, MDB_txn *txn, struct failure *failure)
{
	struct reading *reading = self;
	struct datafile *file = &reading->store->vault->file;

	return datafile_walk(file, txn, TABLE_SESSIONS, reading, give_session, failure) &&
	       datafile_walk(file, txn, TABLE_SUBSCRIPTIONS, reading, give_subscription, failure);
}

static bool load(struct store *head, const struct store_visitor *visitor, struct failure *failure)
{
	struct lmdb_store *store = store_of(head);
	struct reading reading = {store, visitor, NULL};

	if (!datafile_read(&store->vault->file, &reading, load_rows, failure))
		return false;
	if (visitor->step != NULL)
		journal_visit(store->journal, visitor);
	return true;
}

/* ---- open ---- */

static bool give_steps(void *self, uint64_t row, struct slice bytes, struct failure *failure)
{
	const struct reading *reading = self;
	struct lmdb_store *store = reading->store;
	struct slice body;

	if (record_decode_journal(&record_clear, row, bytes, store->scratch, &body, failure) &&
	    journal_replay(store->journal, row, body, failure))
		return true;
	return datafile_damaged(&store->vault->file, TABLE_JOURNAL, row, failure);
}

static bool session_lives(void *self, uint64_t row)
{
	const struct reading *reading = self;
	struct slice bytes;

	return datafile_get(&reading->store->vault->file, reading->txn, TABLE_SESSIONS, row,
			    &bytes) == 0;
}

static bool load_journal(void *self, MDB_txn *txn, struct failure *failure)
{
	struct reading *reading = self;
	struct lmdb_store *store = reading->store;

	reading->txn = txn;
	if (!datafile_walk(&store->vault->file, txn, TABLE_JOURNAL, reading, give_steps, failure))
		return false;
	journal_settle(store->journal, reading, session_lives);
	return true;
}

static void close_store(struct store *head)
{
	struct lmdb_store *store = store_of(head);

	journal_destroy(store->journal);
	free(store);
}

struct store *lmdb_store_open(struct vault *vault, struct failure *failure)
{
	static const struct store_class class = {load, commit, close_store};
	struct lmdb_store *store = calloc(1, sizeof(*store));
	struct reading reading = {.store = store};

	must(store != NULL);
	store->head.class = &class;
	store->vault = vault;
	store->journal = journal_create();
	if (datafile_read(&vault->file, &reading, load_journal, failure))
		return &store->head;
	close_store(&store->head);
	return NULL;
}

bool lmdb_store_poisoned(const struct store *head)
{
	return vault_poisoned(((const struct lmdb_store *)head)->vault);
}
