/* lmdb_store.c - see lmdb_store.h: commits and loads. */
#include "storage/lmdb_internal.h"

#include "storage/lmdb_file.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROW_LEN 8u

/* LMDB calls a short write EIO; it is what comes before ENOSPC and EFBIG. */
#define PARTLY_WRITTEN ENOSPC

/* What the operator can do about an error; others speak for themselves. */
static const struct {
	int code;
	const char *advice;
} advices[] = {
    {ENOSPC, "free some space on that disk, or raise the limit on file sizes (ulimit -f)"},
    {EDQUOT, "the user's quota is used up: free some space or raise it"},
    {EFBIG, "a limit on file sizes (ulimit -f) is in the way: raise it"},
    {EIO, "the disk failed: see the kernel's log"},
    {EROFS, "the file system is read-only: mount it for writing"},
    {EACCES, "give the file to the broker's user"},
    {EPERM, "give the file to the broker's user"},
    {ENOMEM, "there is not enough memory or address space (ulimit -v)"},
    {MDB_INVALID, "the file is not of LMDB or damaged; " LMDB_FILE_ADVICE},
    {MDB_VERSION_MISMATCH, "another version of liblmdb made it; " LMDB_FILE_ADVICE},
    {MDB_CORRUPTED, "the file is damaged; " LMDB_FILE_ADVICE},
    {MDB_PAGE_NOTFOUND, "the file is damaged; " LMDB_FILE_ADVICE},
    {MDB_PANIC, "an earlier write failed: restart the broker"},
    {MDB_READERS_FULL, "too many other programs read it: end them"},
};

bool lmdb_fail(const struct lmdb_store *store, const char *doing, int code, struct failure *failure)
{
	const char *advice = NULL;

	for (size_t i = 0; i < sizeof(advices) / sizeof(*advices); i++) {
		if (advices[i].code == code)
			advice = advices[i].advice;
	}
	return failure_set(failure, "%s: %s: %s%s%s", store->path, doing, mdb_strerror(code),
			   advice == NULL ? "" : "; ", advice == NULL ? "" : advice);
}

/* ---- commit ---- */

static MDB_val row_key(uint64_t row, uint8_t bytes[ROW_LEN])
{
	for (unsigned i = 0; i < ROW_LEN; i++)
		bytes[i] = (uint8_t)(row >> (8 * (ROW_LEN - 1 - i)));
	return (MDB_val){ROW_LEN, bytes};
}

static int delete_row(MDB_txn *txn, MDB_dbi table, MDB_val key)
{
	int code = mdb_del(txn, table, &key, NULL);

	return code == MDB_NOTFOUND ? 0 : code;
}

/* The code is MDB_BAD_VALSIZE when the record could not be sealed; `failure` then says why. */
static int put_row(struct lmdb_store *store, MDB_txn *txn, const struct store_op *op, MDB_val key,
		   struct failure *failure)
{
	const bool session = op->type == STORE_PUT_SESSION;
	MDB_val value = {0, store->scratch};
	bool ok;

	if (session)
		ok = record_encode_session(&record_clear, op->row, &op->session, store->scratch,
					   &value.mv_size, failure);
	else
		ok = record_encode_subscription(&record_clear, op->row, &op->subscription,
						store->scratch, &value.mv_size, failure);
	if (!ok)
		return MDB_BAD_VALSIZE;
	return mdb_put(txn, session ? store->sessions : store->subscriptions, &key, &value, 0);
}

static int apply(struct lmdb_store *store, MDB_txn *txn, const struct store_op *op,
		 struct failure *failure)
{
	uint8_t bytes[ROW_LEN];
	MDB_val key = row_key(op->row, bytes);

	if (op->type == STORE_DELETE_SESSION)
		return delete_row(txn, store->sessions, key);
	if (op->type == STORE_DELETE_SUBSCRIPTION)
		return delete_row(txn, store->subscriptions, key);
	return put_row(store, txn, op, key, failure);
}

static int put_steps(struct lmdb_store *store, MDB_txn *txn, uint64_t number, struct slice body,
		     struct failure *failure)
{
	uint8_t bytes[ROW_LEN];
	MDB_val key = row_key(number, bytes);
	MDB_val value = {0, store->scratch};

	if (!record_encode_journal(&record_clear, number, body, store->scratch, &value.mv_size,
				   failure))
		return MDB_BAD_VALSIZE;
	return mdb_put(txn, store->steps, &key, &value, MDB_APPEND);
}

static int apply_steps(struct lmdb_store *store, MDB_txn *txn, const struct journal_write *write,
		       struct failure *failure)
{
	uint8_t bytes[ROW_LEN];
	int code = 0;

	for (uint64_t i = 0; i < write->count && code == 0; i++)
		code = put_steps(store, txn, write->first + i, journal_row(store->journal, i),
				 failure);
	for (uint64_t number = write->oldest; number < write->stay && code == 0; number++)
		code = delete_row(txn, store->steps, row_key(number, bytes));
	return code;
}

/*
 * After a failed commit: may there be another one?  A disk that is full when LMDB
 * writes is harmless, a write that the kernel took and then lost is not: the pages
 * count as clean from then on and a second fdatasync() would succeed.  The kernel
 * tells every descriptor once, so ours tells the two apart.  LMDB refuses a new
 * transaction when its meta page could not be written.
 */
static void check_health(struct lmdb_store *store)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(store->env, NULL, 0, &txn);

	if (code == 0)
		mdb_txn_abort(txn);
	if (code == MDB_PANIC || fdatasync(store->fd) != 0)
		atomic_store(&store->poisoned, true);
}

/* One try, all or nothing.  The code is LMDB's; `failure` is filled. */
static int commit_once(struct lmdb_store *store, struct store_batch *const *batches, size_t count,
		       const struct journal_write *write, struct failure *failure)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(store->env, NULL, 0, &txn);

	if (code != 0) {
		lmdb_fail(store, "no transaction can be begun", code, failure);
		return code;
	}
	for (size_t b = 0; b < count && code == 0; b++) {
		for (size_t i = 0; i < batches[b]->count && code == 0; i++)
			code = apply(store, txn, &batches[b]->ops[i], failure);
	}
	if (code == 0)
		code = apply_steps(store, txn, write, failure);
	if (code != 0) {
		mdb_txn_abort(txn);
		if (code != MDB_BAD_VALSIZE)
			lmdb_fail(store, "sessions cannot be written", code, failure);
		return code;
	}
	code = mdb_txn_commit(txn);
	if (code != 0)
		lmdb_fail(store, "sessions cannot be written", code, failure);
	return code;
}

bool lmdb_set_file_len(struct lmdb_store *store, size_t len, struct failure *failure)
{
	struct stat st;

	if (fstat(store->fd, &st) != 0 ||
	    ((size_t)st.st_size < len && ftruncate(store->fd, (off_t)len) != 0))
		return lmdb_fail(store, "the file cannot be made longer", errno, failure);
	return true;
}

static bool grow(struct lmdb_store *store, struct failure *failure)
{
	size_t len = store->map_len * 2;
	int code;

	if (len > store->map_max)
		return failure_set(failure,
				   "%s: map full: it holds %zu bytes and may not grow to %zu; end "
				   "some sessions or shorten session_expiry_max",
				   store->path, store->map_len, len);
	if (!lmdb_set_file_len(store, len, failure))
		return false;
	code = mdb_env_set_mapsize(store->env, len);
	if (code != 0) {
		/* LMDB has let go of the old map: the next access would be a crash. */
		atomic_store(&store->poisoned, true);
		return lmdb_fail(store, "the file cannot be mapped", code, failure);
	}
	store->map_len = len;
	return true;
}

static bool commit(struct lmdb_store *store, struct store_batch *const *batches, size_t count,
		   const struct journal_write *write, struct failure *failure)
{
	int code;

	while ((code = commit_once(store, batches, count, write, failure)) == MDB_MAP_FULL) {
		if (!grow(store, failure))
			return false;
	}
	if (code == 0)
		return true;
	check_health(store);
	if (code == EIO && !atomic_load(&store->poisoned))
		lmdb_fail(store, "sessions cannot be written", PARTLY_WRITTEN, failure);
	if (atomic_load(&store->poisoned))
		failure_context(failure, "a write was lost, the broker must be restarted");
	return false;
}

bool lmdb_commit(struct store *head, struct store_batch *const *batches, size_t count,
		 struct failure *failure)
{
	struct lmdb_store *store = lmdb_store_of(head);
	struct journal_write write;
	bool committed;

	if (atomic_load(&store->poisoned))
		return failure_set(failure, "%s: an earlier write was lost: restart the broker",
				   store->path);
	write = journal_prepare(store->journal, batches, count);
	committed = commit(store, batches, count, &write, failure);
	journal_finish(store->journal, batches, count, committed);
	return committed;
}

/* ---- load ---- */

/* Reads one table; `give` decodes a row and hands it to the visitor. */
struct reading {
	struct lmdb_store *store;
	const struct store_visitor *visitor;
	MDB_txn *txn;
	struct failure *failure;
};

typedef bool (*give_row)(const struct reading *reading, uint64_t row, struct slice bytes);

static bool give_session(const struct reading *reading, uint64_t row, struct slice bytes)
{
	struct store_session session;

	if (!record_decode_session(&record_clear, row, bytes, reading->store->scratch, &session,
				   reading->failure))
		return false;
	reading->visitor->session(reading->visitor->self, row, &session);
	return true;
}

static bool give_subscription(const struct reading *reading, uint64_t row, struct slice bytes)
{
	struct store_subscription subscription;

	if (!record_decode_subscription(&record_clear, row, bytes, reading->store->scratch,
					&subscription, reading->failure))
		return false;
	reading->visitor->subscription(reading->visitor->self, row, &subscription);
	return true;
}

static bool give_steps(const struct reading *reading, uint64_t row, struct slice bytes)
{
	struct lmdb_store *store = reading->store;
	struct slice body;

	return record_decode_journal(&record_clear, row, bytes, store->scratch, &body,
				     reading->failure) &&
	       journal_replay(store->journal, row, body, reading->failure);
}

static bool session_lives(void *self, uint64_t row)
{
	const struct reading *reading = self;
	uint8_t bytes[ROW_LEN];
	MDB_val key = row_key(row, bytes);
	MDB_val value;

	return mdb_get(reading->txn, reading->store->sessions, &key, &value) == 0;
}

static bool read_row(const struct reading *reading, const char *class, give_row give, MDB_val key,
		     MDB_val value)
{
	const uint8_t *bytes = key.mv_data;
	uint64_t row = 0;

	if (key.mv_size != ROW_LEN)
		return failure_set(reading->failure,
				   "%s is damaged: a %s row has a key of %zu "
				   "bytes, expected %u; " LMDB_FILE_ADVICE,
				   reading->store->path, class, key.mv_size, ROW_LEN);
	for (unsigned i = 0; i < ROW_LEN; i++)
		row = row << 8 | bytes[i];
	if (give(reading, row, slice_of(value.mv_data, value.mv_size)))
		return true;
	return failure_context(reading->failure, "%s is damaged (%s): %s row %016llx",
			       reading->store->path, LMDB_FILE_ADVICE, class,
			       (unsigned long long)row);
}

static bool read_table(const struct reading *reading, MDB_dbi table, const char *class,
		       give_row give)
{
	MDB_cursor *cursor;
	MDB_val key;
	MDB_val value;
	bool ok = true;
	int code = mdb_cursor_open(reading->txn, table, &cursor);

	if (code != 0)
		return lmdb_fail(reading->store, "cannot be read", code, reading->failure);
	while (ok && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		ok = read_row(reading, class, give, key, value);
	mdb_cursor_close(cursor);
	if (ok && code != MDB_NOTFOUND)
		return lmdb_fail(reading->store, "cannot be read", code, reading->failure);
	return ok;
}

bool lmdb_load(struct store *head, const struct store_visitor *visitor, struct failure *failure)
{
	struct lmdb_store *store = lmdb_store_of(head);
	struct reading reading = {store, visitor, NULL, failure};
	int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &reading.txn);
	bool ok;

	if (code != 0)
		return lmdb_fail(store, "cannot be read", code, failure);
	ok = read_table(&reading, store->sessions, "session", give_session) &&
	     read_table(&reading, store->subscriptions, "subscription", give_subscription);
	mdb_txn_abort(reading.txn);
	if (ok && visitor->step != NULL)
		journal_visit(store->journal, visitor);
	return ok;
}

bool lmdb_load_journal(struct lmdb_store *store, struct failure *failure)
{
	struct reading reading = {store, NULL, NULL, failure};
	int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &reading.txn);
	bool ok;

	if (code != 0)
		return lmdb_fail(store, "cannot be read", code, failure);
	ok = read_table(&reading, store->steps, "journal", give_steps);
	if (ok)
		journal_settle(store->journal, &reading, session_lives);
	mdb_txn_abort(reading.txn);
	return ok;
}

bool lmdb_store_poisoned(const struct store *head)
{
	return atomic_load(&((const struct lmdb_store *)head)->poisoned);
}

void lmdb_store_set_ceiling(struct store *head, size_t bytes)
{
	lmdb_store_of(head)->map_max = bytes;
}
