/*
 * lmdb_store.c - see lmdb_store.h.
 *
 * Never MDB_WRITEMAP: with it a full disk is a SIGBUS.  Never MDB_NOMEMINIT: without
 * it no stale memory reaches the file.  MDB_NOTLS: the store is opened on one thread
 * and used on another.
 *
 * The file is kept as long as the map.  LMDB does not write pages that were allocated
 * and freed in the same transaction, so a file of its own making may be shorter than
 * its meta page says; then truncation could not be told from health.
 */
#include "storage/lmdb_store.h"

#include "storage/journal.h"
#include "storage/lmdb_file.h"
#include "storage/record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT_VERSION 2u
#define FORMAT_OLDEST  1u /* without a journal */
#define FORMAT_LEN     12u
#define FORMAT_MAGIC   "metrino\0"
#define MAP_FIRST      ((size_t)1 << 20)
#define MAP_MAX	       ((size_t)1 << (sizeof(size_t) > 4 ? 36 : 30))
#define ROW_LEN	       8u

/* LMDB calls a short write EIO; it is what comes before ENOSPC and EFBIG. */
#define PARTLY_WRITTEN ENOSPC

struct lmdb_store {
	struct store head;
	MDB_env *env; /* NULL until it is open */
	MDB_dbi meta;
	MDB_dbi sessions;
	MDB_dbi subscriptions;
	MDB_dbi steps; /* rows of the journal */
	struct journal *journal;
	/*
	 * data.mdb once more: holds the lock of this process, sets the length, and has
	 * its own view of write errors (see check_health).
	 */
	int fd;
	size_t map_len;
	size_t map_max;
	atomic_bool poisoned;
	char path[PATH_MAX]; /* of data.mdb */
	uint8_t scratch[RECORD_MAX];
};

static struct lmdb_store *of(struct store *head)
{
	return (struct lmdb_store *)head;
}

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

static bool fail(const struct lmdb_store *store, const char *doing, int code,
		 struct failure *failure)
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
		fail(store, "no transaction can be begun", code, failure);
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
			fail(store, "sessions cannot be written", code, failure);
		return code;
	}
	code = mdb_txn_commit(txn);
	if (code != 0)
		fail(store, "sessions cannot be written", code, failure);
	return code;
}

/* Makes the file as long as the map, so that no page of the map is beyond its end. */
static bool set_file_len(struct lmdb_store *store, size_t len, struct failure *failure)
{
	struct stat st;

	if (fstat(store->fd, &st) != 0 ||
	    ((size_t)st.st_size < len && ftruncate(store->fd, (off_t)len) != 0))
		return fail(store, "the file cannot be made longer", errno, failure);
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
	if (!set_file_len(store, len, failure))
		return false;
	code = mdb_env_set_mapsize(store->env, len);
	if (code != 0) {
		/* LMDB has let go of the old map: the next access would be a crash. */
		atomic_store(&store->poisoned, true);
		return fail(store, "the file cannot be mapped", code, failure);
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
		fail(store, "sessions cannot be written", PARTLY_WRITTEN, failure);
	if (atomic_load(&store->poisoned))
		failure_context(failure, "a write was lost, the broker must be restarted");
	return false;
}

static bool lmdb_commit(struct store *head, struct store_batch *const *batches, size_t count,
			struct failure *failure)
{
	struct lmdb_store *store = of(head);
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
		return fail(reading->store, "cannot be read", code, reading->failure);
	while (ok && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		ok = read_row(reading, class, give, key, value);
	mdb_cursor_close(cursor);
	if (ok && code != MDB_NOTFOUND)
		return fail(reading->store, "cannot be read", code, reading->failure);
	return ok;
}

static bool lmdb_load(struct store *head, const struct store_visitor *visitor,
		      struct failure *failure)
{
	struct lmdb_store *store = of(head);
	struct reading reading = {store, visitor, NULL, failure};
	int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &reading.txn);
	bool ok;

	if (code != 0)
		return fail(store, "cannot be read", code, failure);
	ok = read_table(&reading, store->sessions, "session", give_session) &&
	     read_table(&reading, store->subscriptions, "subscription", give_subscription);
	mdb_txn_abort(reading.txn);
	if (ok && visitor->step != NULL)
		journal_visit(store->journal, visitor);
	return ok;
}

/* At open, so that the first commit knows what there is. */
static bool load_journal(struct lmdb_store *store, struct failure *failure)
{
	struct reading reading = {store, NULL, NULL, failure};
	int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &reading.txn);
	bool ok;

	if (code != 0)
		return fail(store, "cannot be read", code, failure);
	ok = read_table(&reading, store->steps, "journal", give_steps);
	if (ok)
		journal_settle(store->journal, &reading, session_lives);
	mdb_txn_abort(reading.txn);
	return ok;
}

/* ---- open ---- */

/* The row "format" of the table "meta": whose file it is, and which version. */
static int put_format(const struct lmdb_store *store, MDB_txn *txn)
{
	uint8_t bytes[FORMAT_LEN] = FORMAT_MAGIC;
	MDB_val key = {6, (void *)"format"};
	MDB_val value = {sizeof(bytes), bytes};

	bytes[FORMAT_LEN - 1] = FORMAT_VERSION;
	return mdb_put(txn, store->meta, &key, &value, 0);
}

/* The version that the file has; 0 with a failure. */
static uint32_t format_of(const struct lmdb_store *store, MDB_txn *txn, struct failure *failure)
{
	MDB_val key = {6, (void *)"format"};
	MDB_val value;
	uint32_t version = 0;
	int code = mdb_get(txn, store->meta, &key, &value);

	if (code != 0 && code != MDB_NOTFOUND)
		return fail(store, "cannot be read", code, failure);
	if (code == MDB_NOTFOUND || value.mv_size != FORMAT_LEN ||
	    memcmp(value.mv_data, FORMAT_MAGIC, 8) != 0)
		return failure_set(failure,
				   "%s is an LMDB file of another program: name another directory",
				   store->path);
	for (unsigned i = 8; i < FORMAT_LEN; i++)
		version = version << 8 | ((const uint8_t *)value.mv_data)[i];
	if (version < FORMAT_OLDEST || version > FORMAT_VERSION)
		return failure_set(failure,
				   "%s has format %u, but this version of Metrino reads formats "
				   "%u to %u: start the version that wrote it",
				   store->path, version, FORMAT_OLDEST, FORMAT_VERSION);
	return version;
}

/* Ours are plain tables: flags mean that theirs were changed on disk. */
static int open_table(MDB_txn *txn, const char *name, unsigned create, MDB_dbi *table)
{
	unsigned flags = 0;
	int code = mdb_dbi_open(txn, name, create, table);

	if (code == 0)
		code = mdb_dbi_flags(txn, *table, &flags);
	return code == 0 && flags != 0 ? MDB_CORRUPTED : code;
}

/* The first table: whose file is it?  Made in a file that holds nothing. */
static bool open_meta(struct lmdb_store *store, MDB_txn *txn, bool *empty, struct failure *failure)
{
	MDB_stat root = {0};
	MDB_dbi main_table;
	int code = open_table(txn, NULL, 0, &main_table);

	if (code == 0)
		code = mdb_stat(txn, main_table, &root);
	*empty = root.ms_entries == 0;
	if (code == 0)
		code = open_table(txn, "meta", *empty ? MDB_CREATE : 0, &store->meta);
	if (code == MDB_NOTFOUND || code == MDB_INCOMPATIBLE || code == MDB_CORRUPTED)
		return failure_set(failure,
				   "%s is an LMDB file of another program: name another directory",
				   store->path);
	return code == 0 || fail(store, "cannot be opened", code, failure);
}

/* Opens the tables, making them in a new file, and what an older format has not got. */
static bool open_tables(struct lmdb_store *store, MDB_txn *txn, struct failure *failure)
{
	bool empty;
	uint32_t version = 0;
	int code = 0;

	if (!open_meta(store, txn, &empty, failure))
		return false;
	if (!empty && (version = format_of(store, txn, failure)) == 0)
		return false;
	if (version < FORMAT_VERSION)
		code = put_format(store, txn);
	if (code == 0)
		code = mdb_dbi_open(txn, "sessions", empty ? MDB_CREATE : 0, &store->sessions);
	if (code == 0)
		code = mdb_dbi_open(txn, "subscriptions", empty ? MDB_CREATE : 0,
				    &store->subscriptions);
	if (code == 0)
		code = mdb_dbi_open(txn, "journal", version < FORMAT_VERSION ? MDB_CREATE : 0,
				    &store->steps);
	return code == 0 || fail(store, "has no table for sessions, subscriptions or the journal",
				 code, failure);
}

static bool open_environment(struct lmdb_store *store, const char *directory,
			     struct failure *failure)
{
	MDB_txn *txn;
	int code = mdb_env_create(&store->env);

	must(code == 0);
	mdb_env_set_maxdbs(store->env, 4);
	mdb_env_set_mapsize(store->env, store->map_len);
	code = mdb_env_open(store->env, directory, MDB_NOTLS, 0600);
	if (code == 0)
		code = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (code != 0)
		return fail(store, "cannot be opened", code, failure);
	if (!open_tables(store, txn, failure) || !set_file_len(store, store->map_len, failure)) {
		mdb_txn_abort(txn);
		return false;
	}
	code = mdb_txn_commit(txn);
	return code == 0 || fail(store, "cannot be written", code, failure);
}

/* A new file's name must be as durable as what will be in it. */
static bool sync_directory(const struct lmdb_store *store, const char *directory,
			   struct failure *failure)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		fail(store, "its directory cannot be synced", errno, failure);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool open_file(struct lmdb_store *store, const char *directory, struct failure *failure)
{
	struct stat st;

	store->fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->fd < 0 || fstat(store->fd, &st) != 0)
		return fail(store, "cannot be opened", errno, failure);
	if (!S_ISREG(st.st_mode))
		return failure_set(failure, "%s is not a regular file", store->path);
	if (flock(store->fd, LOCK_EX | LOCK_NB) != 0)
		return failure_set(failure, "%s is open in another process", store->path);
	if ((uintmax_t)st.st_size > MAP_MAX)
		return failure_set(failure, "%s is longer than the %zu bytes that are supported",
				   store->path, MAP_MAX);
	store->map_len = MAP_FIRST;
	while (store->map_len < (size_t)st.st_size)
		store->map_len *= 2;
	if (st.st_size == 0)
		return sync_directory(store, directory, failure);
	return lmdb_file_check(store->fd, store->path, failure);
}

static void lmdb_close(struct store *head)
{
	struct lmdb_store *store = of(head);

	if (store->env != NULL)
		mdb_env_close(store->env);
	if (store->fd >= 0)
		close(store->fd);
	journal_destroy(store->journal);
	free(store);
}

struct store *lmdb_store_open(const char *directory, struct failure *failure)
{
	static const struct store_class class = {lmdb_load, lmdb_commit, lmdb_close};
	struct lmdb_store *store = calloc(1, sizeof(*store));
	int len;

	must(store != NULL);
	store->head.class = &class;
	store->journal = journal_create();
	store->fd = -1;
	store->map_max = MAP_MAX;
	len = snprintf(store->path, sizeof(store->path), "%s/data.mdb", directory);
	if (len >= (int)sizeof(store->path)) {
		failure_set(failure, "the data directory's path is too long");
	} else if (open_file(store, directory, failure) &&
		   open_environment(store, directory, failure) && load_journal(store, failure)) {
		return &store->head;
	}
	lmdb_close(&store->head);
	return NULL;
}

bool lmdb_store_poisoned(const struct store *head)
{
	return atomic_load(&((const struct lmdb_store *)head)->poisoned);
}

void lmdb_store_set_ceiling(struct store *head, size_t bytes)
{
	of(head)->map_max = bytes;
}
