/* lmdb_store.c - see lmdb_store.h. */
#include "storage/lmdb_store.h"

#include "storage/journal.h"
#include "storage/record.h"
#include "storage/vault_internal.h"

#include <stdlib.h>

_Static_assert(RECORD_BODY_MAX <= SEALED_BODY_MAX && JOURNAL_BODY_MAX <= SEALED_BODY_MAX,
	       "every body fits into a record");

#define HOUR_S UINT64_C(3600)

struct lmdb_store {
	struct store head;
	struct vault *vault; /* borrowed */
	struct journal *journal;
	pthread_mutex_t mutex; /* of the journal; before that of the file */
};

static const struct vault_kind session_kind = {TABLE_SESSIONS, SEALED_SESSION, UNDER_ITSELF, 0,
					       false};
static const struct vault_kind subscription_kind = {TABLE_SUBSCRIPTIONS, SEALED_SUBSCRIPTION,
						    UNDER_SESSION, 0, false};
static const struct vault_kind journal_kind = {TABLE_JOURNAL, SEALED_JOURNAL, UNDER_DAY,
					       KEY_ENVELOPE, false};

static struct lmdb_store *store_of(struct store *head)
{
	return (struct lmdb_store *)head;
}

/* ---- sessions and subscriptions ---- */

static int put_session(struct vault *vault, MDB_txn *txn, const struct store_op *op,
		       struct failure *failure)
{
	struct owner *owner = owners_find(&vault->owners, OWNER_SESSION, op->row);
	size_t len = record_write_session(&op->session, vault->body);
	int code = 0;

	if (owner == NULL)
		code = owners_add(&vault->owners, txn, OWNER_SESSION, op->row, &owner, failure);
	if (code != 0)
		return code;
	return vault_put_under_leaf(vault, txn, TABLE_SESSIONS,
				    (struct sealed_place){SEALED_SESSION, owner->leaf, op->row},
				    slice_of(vault->body, len), failure);
}

static int put_subscription(struct vault *vault, MDB_txn *txn, const struct store_op *op,
			    struct failure *failure)
{
	const uint64_t session = op->subscription.session;
	const struct owner *owner = owners_find(&vault->owners, OWNER_SESSION, session);
	size_t len = record_write_subscription(&op->subscription, vault->body);

	if (owner == NULL) {
		failure_set(failure, "%s: there is no session %016llx for subscription %016llx",
			    vault->file.path, (unsigned long long)session,
			    (unsigned long long)op->row);
		return DATAFILE_TOLD;
	}
	return vault_put_under_leaf(
	    vault, txn, TABLE_SUBSCRIPTIONS,
	    (struct sealed_place){SEALED_SUBSCRIPTION, owner->leaf, op->row},
	    slice_of(vault->body, len), failure);
}

static int delete_session(struct vault *vault, MDB_txn *txn, const struct store_op *op,
			  struct failure *failure)
{
	struct owner *owner = owners_find(&vault->owners, OWNER_SESSION, op->row);
	int code = datafile_delete(&vault->file, txn, TABLE_SESSIONS, op->row);

	(void)failure;
	if (code == 0 && owner != NULL)
		code = owners_remove(&vault->owners, txn, OWNER_SESSION, owner);
	return code;
}

static int delete_subscription(struct vault *vault, MDB_txn *txn, const struct store_op *op,
			       struct failure *failure)
{
	(void)failure;
	return datafile_delete(&vault->file, txn, TABLE_SUBSCRIPTIONS, op->row);
}

static int apply_ops(struct vault *vault, MDB_txn *txn, const struct store_batch *batch,
		     struct failure *failure)
{
	static int (*const apply[])(struct vault *, MDB_txn *, const struct store_op *,
				    struct failure *) = {
	    [STORE_PUT_SESSION] = put_session,
	    [STORE_PUT_SUBSCRIPTION] = put_subscription,
	    [STORE_DELETE_SESSION] = delete_session,
	    [STORE_DELETE_SUBSCRIPTION] = delete_subscription,
	};
	int code = 0;

	for (size_t i = 0; i < batch->count && code == 0; i++)
		code = apply[batch->ops[i].type](vault, txn, &batch->ops[i], failure);
	return code;
}

/* ---- commit ---- */

/* One commit under way. */
struct committing {
	struct lmdb_store *store;
	struct store_batch *const *batches;
	size_t count;
	struct journal_write write;
	uint32_t envelope; /* of the key that new rows of the journal are under */
	uint8_t key[SEAL_KEY_LEN];
};

/* Rows that leave go first: a journal that is written anew may begin with any number. */
static int apply_steps(const struct committing *committing, MDB_txn *txn)
{
	struct lmdb_store *store = committing->store;
	const struct journal_write *write = &committing->write;
	int code = 0;

	for (uint64_t number = write->oldest; number < write->stay && code == 0; number++)
		code = datafile_delete(&store->vault->file, txn, TABLE_JOURNAL, number);
	for (uint64_t i = 0; i < write->count && code == 0; i++)
		code = vault_put_sealed(
		    store->vault, txn, TABLE_JOURNAL,
		    (struct sealed_place){SEALED_JOURNAL, committing->envelope, write->first + i},
		    committing->key, journal_row(store->journal, i), MDB_APPEND);
	return code;
}

static int apply_all(void *self, MDB_txn *txn, struct failure *failure)
{
	const struct committing *committing = self;
	int code = 0;

	for (size_t b = 0; b < committing->count && code == 0; b++)
		code = apply_ops(committing->store->vault, txn, committing->batches[b], failure);
	return code != 0 ? code : apply_steps(committing, txn);
}

static void finish(void *self, bool committed)
{
	const struct committing *committing = self;

	vault_finish(committing->store->vault, committed);
}

/* Under the store's mutex, with `write` filled in. */
static bool write_all(struct committing *committing, struct failure *failure)
{
	struct vault *vault = committing->store->vault;
	const struct datafile_work work = {committing, apply_all, finish};
	bool committed;

	if (committing->write.count > 0)
		must(keyring_get(vault->keyring, KEY_ENVELOPE, committing->envelope,
				 committing->key));
	committed = datafile_write(&vault->file, &work, failure);
	explicit_bzero(committing->key, sizeof(committing->key));
	journal_finish(committing->store->journal, committing->batches, committing->count,
		       committed);
	return committed;
}

static bool commit(struct store *head, struct store_batch *const *batches, size_t count,
		   struct failure *failure)
{
	struct lmdb_store *store = store_of(head);
	struct committing committing = {.store = store, .batches = batches, .count = count};
	bool committed;

	must(pthread_mutex_lock(&store->mutex) == 0);
	committing.envelope = store->vault->envelope;
	committing.write = journal_prepare(store->journal, batches, count);
	committed = write_all(&committing, failure);
	must(pthread_mutex_unlock(&store->mutex) == 0);
	return committed;
}

/* ---- the key of the journal ---- */

/* Where a journal begins says nothing: numbers of rows tell only how many there were since. */
static uint64_t random_number(void)
{
	uint64_t number;

	seal_random(&number, sizeof(number));
	return (number >> 2) + 1;
}

uint64_t lmdb_store_envelope_end_s(const struct store *head)
{
	return (((const struct lmdb_store *)head)->vault->envelope + UINT64_C(1)) * HOUR_S;
}

uint64_t lmdb_store_envelope_due_s(const struct store *head)
{
	struct vault *vault = ((const struct lmdb_store *)head)->vault;
	uint64_t epochs[SLOT_COUNT];

	must(keyring_epochs(vault->keyring, KEY_ENVELOPE, epochs) > 0);
	return (epochs[0] + 1) * HOUR_S;
}

bool lmdb_store_destroy_old_envelopes(struct store *head, struct failure *failure)
{
	return vault_destroy_envelopes(store_of(head)->vault, failure);
}

bool lmdb_store_renew_envelopes(struct store *head, uint64_t now_s, struct failure *failure)
{
	struct lmdb_store *store = store_of(head);
	struct vault *vault = store->vault;
	struct committing committing = {.store = store};
	struct failure ignored;
	bool committed;

	/* One that failed before, if any. */
	if (!vault_destroy_envelopes(vault, failure) ||
	    !vault_make_envelope(vault, now_s, &committing.envelope, failure))
		return false;
	must(pthread_mutex_lock(&store->mutex) == 0);
	committing.write = journal_prepare_anew(store->journal, random_number());
	committed = write_all(&committing, failure) && datafile_sync(&vault->file, failure);
	if (committed)
		vault->envelope = committing.envelope;
	must(pthread_mutex_unlock(&store->mutex) == 0);
	if (committed)
		return vault_destroy_envelopes(vault, failure);
	if (!vault_poisoned(vault)) /* else the next start decides which one lives */
		(void)keyring_destroy(vault->keyring, KEY_ENVELOPE, committing.envelope, &ignored);
	return failure_context(failure, "the envelope key cannot be changed");
}

/* ---- load ---- */

struct loading {
	struct lmdb_store *store;
	const struct store_visitor *visitor;
};

static bool give_session(void *self, const struct vault_row *row, struct slice body,
			 struct failure *failure)
{
	const struct loading *loading = self;
	struct store_session session;

	if (!record_read_session(body, &session, failure))
		return datafile_damaged(&loading->store->vault->file, TABLE_SESSIONS, row->row,
					failure);
	loading->visitor->session(loading->visitor->self, row->row, &session);
	return true;
}

static bool give_subscription(void *self, const struct vault_row *row, struct slice body,
			      struct failure *failure)
{
	const struct loading *loading = self;
	struct store_subscription subscription;

	if (!record_read_subscription(body, &subscription, failure))
		return datafile_damaged(&loading->store->vault->file, TABLE_SUBSCRIPTIONS, row->row,
					failure);
	loading->visitor->subscription(loading->visitor->self, row->row, &subscription);
	return true;
}

static bool load_kind(struct loading *loading, MDB_txn *txn, const struct vault_kind *kind,
		      bool (*give)(void *self, const struct vault_row *row, struct slice body,
				   struct failure *failure),
		      struct failure *failure)
{
	struct vault *vault = loading->store->vault;
	const struct vault_reader reader = {loading, give};
	struct vault_rows rows = {0};
	bool ok = vault_collect(vault, txn, kind->table, kind->class, &rows, failure) &&
		  vault_open_rows(vault, txn, kind, &rows, &reader, failure);

	vault_rows_free(&rows);
	return ok;
}

static bool load_all(void *self, MDB_txn *txn, struct failure *failure)
{
	struct loading *loading = self;

	return load_kind(loading, txn, &session_kind, give_session, failure) &&
	       load_kind(loading, txn, &subscription_kind, give_subscription, failure);
}

static bool load(struct store *head, const struct store_visitor *visitor, struct failure *failure)
{
	struct lmdb_store *store = store_of(head);
	struct loading loading = {.store = store, .visitor = visitor};

	if (!datafile_read(&store->vault->file, &loading, load_all, failure))
		return false;
	if (visitor->step != NULL)
		journal_visit(store->journal, visitor);
	return true;
}

/* ---- one session ---- */

/* Rows that are read at a time: the file is locked for as long. */
#define READ_AT_ONCE 256u

struct reading {
	struct loading loading;
	uint64_t session;
	const uint64_t *rows;
	size_t count;
};

/* The row, if it is there and under the session's key. */
static bool collect_one(struct vault *vault, MDB_txn *txn, enum data_table table, uint64_t row,
			uint32_t leaf, struct vault_rows *found, struct failure *failure)
{
	const enum sealed_class class =
	    table == TABLE_SESSIONS ? SEALED_SESSION : SEALED_SUBSCRIPTION;
	struct vault_row one = {.row = row};
	int code = datafile_get(&vault->file, txn, table, row, &one.record);

	if (code == MDB_NOTFOUND)
		return true;
	if (code != 0)
		return datafile_fail(&vault->file, "cannot be read", code, failure);
	if (!sealed_record_look(one.record, class, &one.key_number, failure))
		return datafile_damaged(&vault->file, table, row, failure);
	if (one.key_number == leaf)
		found->at[found->count++] = one;
	return true;
}

static bool read_some(void *self, MDB_txn *txn, struct failure *failure)
{
	struct reading *reading = self;
	struct vault *vault = reading->loading.store->vault;
	const struct owner *owner = owners_find(&vault->owners, OWNER_SESSION, reading->session);
	struct vault_row kept[READ_AT_ONCE];
	struct vault_rows found = {.at = kept, .room = READ_AT_ONCE};
	const struct vault_reader reader = {&reading->loading, give_subscription};
	bool ok = true;

	if (owner == NULL)
		return true;
	for (size_t i = 0; i < reading->count && ok; i++)
		ok = collect_one(vault, txn, TABLE_SUBSCRIPTIONS, reading->rows[i], owner->leaf,
				 &found, failure);
	return ok && vault_open_rows(vault, txn, &subscription_kind, &found, &reader, failure);
}

static bool read_session(void *self, MDB_txn *txn, struct failure *failure)
{
	struct reading *reading = self;
	struct vault *vault = reading->loading.store->vault;
	const struct owner *owner = owners_find(&vault->owners, OWNER_SESSION, reading->session);
	struct vault_row kept;
	struct vault_rows found = {.at = &kept, .room = 1};
	const struct vault_reader reader = {&reading->loading, give_session};

	return owner == NULL ||
	       (collect_one(vault, txn, TABLE_SESSIONS, reading->session, owner->leaf, &found,
			    failure) &&
		vault_open_rows(vault, txn, &session_kind, &found, &reader, failure));
}

bool lmdb_store_read(struct store *head, uint64_t session, const uint64_t *rows, size_t count,
		     const struct store_visitor *visitor, struct failure *failure)
{
	struct lmdb_store *store = store_of(head);
	struct datafile *file = &store->vault->file;
	struct reading reading = {.loading = {store, visitor}, .session = session};
	bool ok = datafile_read(file, &reading, read_session, failure);

	for (size_t at = 0; at < count && ok; at += READ_AT_ONCE) {
		reading.rows = rows + at;
		reading.count = count - at < READ_AT_ONCE ? count - at : READ_AT_ONCE;
		ok = datafile_read(file, &reading, read_some, failure);
	}
	if (!ok || visitor->step == NULL)
		return ok;
	must(pthread_mutex_lock(&store->mutex) == 0);
	journal_visit_session(store->journal, session, visitor);
	must(pthread_mutex_unlock(&store->mutex) == 0);
	return true;
}

/* ---- open ---- */

/*
 * Subscriptions whose session is gone: its end and theirs were to be two commits, and a kill came
 * between.  Their key is doomed, and still opens them: so a row that says falsely under which key
 * it is does not go unnoticed.
 */
struct orphans {
	struct lmdb_store *store;
	struct vault_rows rows;
};

static bool is_orphan(const struct vault_row *row, struct owner *const *by_leaf, uint32_t end)
{
	return row->key_number >= end || by_leaf[row->key_number] == NULL;
}

static bool is_whole(void *self, const struct vault_row *row, struct slice body,
		     struct failure *failure)
{
	(void)self;
	(void)row;
	(void)body;
	(void)failure;
	return true;
}

static bool find_orphans(void *self, MDB_txn *txn, struct failure *failure)
{
	struct orphans *orphans = self;
	struct vault_rows *rows = &orphans->rows;
	struct vault *vault = orphans->store->vault;
	const struct vault_reader reader = {NULL, is_whole};
	struct owner **by_leaf;
	size_t count = 0;
	uint32_t end;

	if (!vault_collect(vault, txn, TABLE_SUBSCRIPTIONS, SEALED_SUBSCRIPTION, rows, failure))
		return false;
	by_leaf = owners_by_leaf(&vault->owners, OWNER_SESSION, &end);
	for (size_t i = 0; i < rows->count; i++)
		if (is_orphan(&rows->at[i], by_leaf, end))
			rows->at[count++] = rows->at[i];
	rows->count = count;
	free(by_leaf);
	return vault_open_rows(vault, txn, &subscription_kind, rows, &reader, failure);
}

static int delete_orphans(void *self, MDB_txn *txn, struct failure *failure)
{
	const struct orphans *orphans = self;
	int code = 0;

	(void)failure;
	for (size_t i = 0; i < orphans->rows.count && code == 0; i++)
		code = datafile_delete(&orphans->store->vault->file, txn, TABLE_SUBSCRIPTIONS,
				       orphans->rows.at[i].row);
	return code;
}

static bool clear_orphans(struct lmdb_store *store, struct failure *failure)
{
	struct vault *vault = store->vault;
	struct orphans orphans = {.store = store};
	const struct datafile_work work = {&orphans, delete_orphans, NULL};
	bool ok = datafile_read(&vault->file, &orphans, find_orphans, failure) &&
		  (orphans.rows.count == 0 || datafile_write(&vault->file, &work, failure));

	vault_rows_free(&orphans.rows);
	return ok;
}

static bool session_lives(void *self, uint64_t row)
{
	const struct lmdb_store *store = self;

	return owners_find(&store->vault->owners, OWNER_SESSION, row) != NULL;
}

static bool give_steps(void *self, const struct vault_row *row, struct slice body,
		       struct failure *failure)
{
	const struct loading *loading = self;

	if (journal_replay(loading->store->journal, row->row, body, failure))
		return true;
	return datafile_damaged(&loading->store->vault->file, TABLE_JOURNAL, row->row, failure);
}

/* Its rows are all under one key, and stay in their order. */
static bool load_journal(void *self, MDB_txn *txn, struct failure *failure)
{
	struct loading *loading = self;

	return load_kind(loading, txn, &journal_kind, give_steps, failure);
}

static void close_store(struct store *head)
{
	struct lmdb_store *store = store_of(head);

	journal_destroy(store->journal);
	pthread_mutex_destroy(&store->mutex);
	free(store);
}

struct store *lmdb_store_open(struct vault *vault, struct failure *failure)
{
	static const struct store_class class = {load, commit, close_store};
	struct lmdb_store *store = calloc(1, sizeof(*store));
	struct loading loading = {.store = store};

	must(store != NULL);
	store->head.class = &class;
	store->vault = vault;
	store->journal = journal_create();
	must(pthread_mutex_init(&store->mutex, NULL) == 0);
	if (datafile_read(&vault->file, &loading, load_journal, failure) &&
	    clear_orphans(store, failure)) {
		journal_settle(store->journal, store, session_lives);
		return &store->head;
	}
	close_store(&store->head);
	return NULL;
}

bool lmdb_store_poisoned(const struct store *head)
{
	return vault_poisoned(((const struct lmdb_store *)head)->vault);
}
