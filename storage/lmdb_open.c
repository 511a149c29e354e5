/*
 * lmdb_open.c - see lmdb_store.h: opens and closes.
 *
 * Never MDB_WRITEMAP: with it a full disk is a SIGBUS.  Never MDB_NOMEMINIT: without
 * it no stale memory reaches the file.  MDB_NOTLS: the store is opened on one thread
 * and used on another.
 *
 * The file is kept as long as the map.  LMDB does not write pages that were allocated
 * and freed in the same transaction, so a file of its own making may be shorter than
 * its meta page says; then truncation could not be told from health.
 */
#include "storage/boot_mark.h"
#include "storage/lmdb_file.h"
#include "storage/lmdb_internal.h"

#include <errno.h>
#include <fcntl.h>
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
		return lmdb_fail(store, "cannot be read", code, failure);
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
	return code == 0 || lmdb_fail(store, "cannot be opened", code, failure);
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
	return code == 0 ||
	       lmdb_fail(store, "has no table for sessions, subscriptions or the journal", code,
			 failure);
}

static bool open_environment(struct lmdb_store *store, const char *directory,
			     struct failure *failure)
{
	MDB_txn *txn;
	int code = mdb_env_create(&store->env);

	must(code == 0);
	mdb_env_set_maxdbs(store->env, 4);
	mdb_env_set_mapsize(store->env, store->map_len);
	code = mdb_env_open(store->env, directory,
			    MDB_NOTLS | (store->durability == DURABILITY_PROCESS ? MDB_NOSYNC : 0),
			    0600);
	/* What LMDB begins a new file with is on the disk before there is more in it. */
	if (code == 0 && fdatasync(store->fd) != 0)
		code = errno;
	if (code == 0)
		code = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (code != 0)
		return lmdb_fail(store, "cannot be opened", code, failure);
	if (!open_tables(store, txn, failure) ||
	    !lmdb_set_file_len(store, store->map_len, failure)) {
		mdb_txn_abort(txn);
		return false;
	}
	code = mdb_txn_commit(txn);
	return code == 0 || lmdb_fail(store, "cannot be written", code, failure);
}

/* A new file's name must be as durable as what will be in it. */
static bool sync_directory(const struct lmdb_store *store, const char *directory,
			   struct failure *failure)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		lmdb_fail(store, "its directory cannot be synced", errno, failure);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool open_file(struct lmdb_store *store, const char *directory, struct failure *failure)
{
	struct stat st;

	store->fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->fd < 0 || fstat(store->fd, &st) != 0)
		return lmdb_fail(store, "cannot be opened", errno, failure);
	if (!S_ISREG(st.st_mode))
		return failure_set(failure, "%s is not a regular file", store->path);
	if (flock(store->fd, LOCK_EX | LOCK_NB) != 0)
		return failure_set(failure, "%s is open in another process", store->path);
	if ((uintmax_t)st.st_size > MAP_MAX)
		return failure_set(failure, "%s is longer than the %zu bytes that are supported",
				   store->path, MAP_MAX);
	/* Only one that a loss of power caught unborn: see open_environment(). */
	if (st.st_size > 0 && lmdb_file_is_unborn(store->fd)) {
		if (ftruncate(store->fd, 0) != 0)
			return lmdb_fail(store, "cannot be begun anew", errno, failure);
		st.st_size = 0;
	}
	store->map_len = MAP_FIRST;
	while (store->map_len < (size_t)st.st_size)
		store->map_len *= 2;
	if (st.st_size == 0)
		return sync_directory(store, directory, failure);
	return lmdb_file_check(store->fd, store->path, failure);
}

/* ---- what an earlier process left unsynced (boot_mark.h) ---- */

/* Before the file is looked at: one that another boot left unsynced is not trusted. */
static bool judge_mark(const char *directory, enum boot_mark *mark, struct failure *failure)
{
	if (!boot_mark_read(directory, mark, failure))
		return false;
	return *mark != BOOT_MARK_OTHER || boot_mark_put_aside(directory, failure);
}

/* Before LMDB writes: from here on the file is synced at once, or is marked. */
static bool set_mark(struct lmdb_store *store, enum boot_mark mark, struct failure *failure)
{
	if (store->durability == DURABILITY_PROCESS)
		return boot_mark_set(store->directory, failure);
	if (mark != BOOT_MARK_SAME)
		return true;
	if (fdatasync(store->fd) != 0)
		return lmdb_fail(store, "cannot be synced", errno, failure);
	return boot_mark_clear(store->directory, failure);
}

/* A mark that stays does no harm while the machine runs on. */
static void sync_and_unmark(struct lmdb_store *store)
{
	struct failure failure;

	if (store->durability == DURABILITY_PROCESS && mdb_env_sync(store->env, 1) == 0)
		(void)boot_mark_clear(store->directory, &failure);
}

static void lmdb_close(struct store *head)
{
	struct lmdb_store *store = lmdb_store_of(head);

	if (store->env != NULL) {
		sync_and_unmark(store);
		mdb_env_close(store->env);
	}
	if (store->fd >= 0)
		close(store->fd);
	journal_destroy(store->journal);
	free(store);
}

static bool open_all(struct lmdb_store *store, bool *put_aside, struct failure *failure)
{
	const char *directory = store->directory;
	enum boot_mark mark;

	if (!judge_mark(directory, &mark, failure))
		return false;
	*put_aside = mark == BOOT_MARK_OTHER;
	return open_file(store, directory, failure) && set_mark(store, mark, failure) &&
	       open_environment(store, directory, failure) && lmdb_load_journal(store, failure);
}

struct store *lmdb_store_open_as(const char *directory, enum store_durability durability,
				 bool *put_aside, struct failure *failure)
{
	static const struct store_class class = {lmdb_load, lmdb_commit, lmdb_close};
	struct lmdb_store *store = calloc(1, sizeof(*store));
	int len;

	must(store != NULL);
	store->head.class = &class;
	store->journal = journal_create();
	store->durability = durability;
	store->fd = -1;
	store->map_max = MAP_MAX;
	len = snprintf(store->path, sizeof(store->path), "%s/data.mdb", directory);
	if (len >= (int)sizeof(store->path)) {
		failure_set(failure, "the data directory's path is too long");
	} else {
		snprintf(store->directory, sizeof(store->directory), "%s", directory);
		if (open_all(store, put_aside, failure))
			return &store->head;
	}
	lmdb_close(&store->head);
	return NULL;
}

struct store *lmdb_store_open(const char *directory, struct failure *failure)
{
	bool put_aside;

	return lmdb_store_open_as(directory, DURABILITY_POWER, &put_aside, failure);
}
