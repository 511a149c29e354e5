/*
 * datafile.c - see datafile.h: opens and closes.
 *
 * Never MDB_WRITEMAP: with it a full disk is a SIGBUS.  Never MDB_NOMEMINIT: without
 * it no stale memory reaches the file.  MDB_NOTLS: the file is opened on one thread
 * and used on another.
 *
 * The file is kept as long as the map.  LMDB does not write pages that were allocated
 * and freed in the same transaction, so a file of its own making may be shorter than
 * its meta page says; then truncation could not be told from health.
 */
#include "storage/boot_mark.h"
#include "storage/datafile.h"
#include "storage/lmdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT_OLDEST 1u /* without a journal */
#define FORMAT_LEN    12u
#define FORMAT_MAGIC  "metrino\0"
#define MAP_FIRST     ((size_t)1 << 20)
#define MAP_MAX	      ((size_t)1 << (sizeof(size_t) > 4 ? 36 : 30))

/* The row "format" of the table "meta": whose file it is, and which version. */
int datafile_put_format(struct datafile *file, MDB_txn *txn)
{
	uint8_t bytes[FORMAT_LEN] = FORMAT_MAGIC;
	MDB_val key = {6, (void *)"format"};
	MDB_val value = {sizeof(bytes), bytes};

	bytes[FORMAT_LEN - 1] = DATAFILE_FORMAT;
	return mdb_put(txn, file->tables[TABLE_META], &key, &value, 0);
}

/* The version that the file has; 0 with a failure. */
static uint32_t format_of(const struct datafile *file, MDB_txn *txn, struct failure *failure)
{
	MDB_val key = {6, (void *)"format"};
	MDB_val value;
	uint32_t version = 0;
	int code = mdb_get(txn, file->tables[TABLE_META], &key, &value);

	if (code != 0 && code != MDB_NOTFOUND)
		return datafile_fail(file, "cannot be read", code, failure);
	if (code == MDB_NOTFOUND || value.mv_size != FORMAT_LEN ||
	    memcmp(value.mv_data, FORMAT_MAGIC, 8) != 0)
		return failure_set(failure,
				   "%s is an LMDB file of another program: name another directory",
				   file->path);
	for (unsigned i = 8; i < FORMAT_LEN; i++)
		version = version << 8 | ((const uint8_t *)value.mv_data)[i];
	if (version < FORMAT_OLDEST || version > DATAFILE_FORMAT)
		return failure_set(failure,
				   "%s has format %u, but this version of Metrino reads formats "
				   "%u to %u: start the version that wrote it",
				   file->path, version, FORMAT_OLDEST, DATAFILE_FORMAT);
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
static bool open_meta(struct datafile *file, MDB_txn *txn, bool *empty, struct failure *failure)
{
	MDB_stat root = {0};
	MDB_dbi main_table;
	int code = open_table(txn, NULL, 0, &main_table);

	if (code == 0)
		code = mdb_stat(txn, main_table, &root);
	*empty = root.ms_entries == 0;
	if (code == 0)
		code = open_table(txn, "meta", *empty ? MDB_CREATE : 0, &file->tables[TABLE_META]);
	if (code == MDB_NOTFOUND || code == MDB_INCOMPATIBLE || code == MDB_CORRUPTED)
		return failure_set(failure,
				   "%s is an LMDB file of another program: name another directory",
				   file->path);
	return code == 0 || datafile_fail(file, "cannot be opened", code, failure);
}

static const struct {
	const char *name; /* in LMDB */
	const char *row;  /* in sentences: "session row 17" */
	uint32_t since;	  /* the format that has it first... */
	uint32_t until;	  /* ...and the one that has it no more; 0 for none */
} tables[TABLES] = {
    [TABLE_META] = {"meta", "meta", 1, 0},
    [TABLE_SESSIONS] = {"session", "session", 3, 0},
    [TABLE_SUBSCRIPTIONS] = {"subscription", "subscription", 3, 0},
    [TABLE_JOURNAL] = {"envelope", "journal", 3, 0},
    [TABLE_KEYS] = {"keys", "key", 3, 0},
    [TABLE_ACCOUNTS] = {"accounts", "account", 3, 0},
    [TABLE_DEVICE_KEYS] = {"device keys", "device key", 3, 0},
    [TABLE_TOKENS] = {"tokens", "token", 3, 0},
    [TABLE_AUTH] = {"auth", "auth", 3, 0},
    [TABLE_AGGREGATES] = {"aggregates", "aggregate", 3, 0},
    [TABLE_ROUTES] = {"route", "route", 3, 0},
    [TABLE_CLEAR_SESSIONS] = {"sessions", "session", 1, 3},
    [TABLE_CLEAR_SUBSCRIPTIONS] = {"subscriptions", "subscription", 1, 3},
    [TABLE_CLEAR_JOURNAL] = {"journal", "journal", 2, 3},
};

const char *datafile_row_name(enum data_table table)
{
	return tables[table].row;
}

/* Opens the tables that a file of this format has, and makes those of the newest that it has not.
 */
static int open_all_tables(struct datafile *file, MDB_txn *txn, bool empty)
{
	int code = 0;

	for (int i = TABLE_META + 1; i < TABLES && code == 0; i++) {
		const bool old = tables[i].until != 0;
		const bool has = !empty && file->format >= tables[i].since &&
				 (!old || file->format < tables[i].until);

		if (has || !old)
			code =
			    open_table(txn, tables[i].name, has ? 0 : MDB_CREATE, &file->tables[i]);
	}
	return code;
}

static bool open_tables(struct datafile *file, MDB_txn *txn, struct failure *failure)
{
	bool empty;
	int code = 0;

	if (!open_meta(file, txn, &empty, failure))
		return false;
	if (empty)
		code = datafile_put_format(file, txn);
	file->format = code == 0 ? format_of(file, txn, failure) : 0;
	if (code == 0 && file->format == 0)
		return false;
	if (code == 0)
		code = open_all_tables(file, txn, empty);
	return code == 0 ||
	       datafile_fail(file, "has not got the tables that it should have", code, failure);
}

bool datafile_set_len(struct datafile *file, size_t len, struct failure *failure)
{
	struct stat st;

	if (fstat(file->fd, &st) != 0 ||
	    ((size_t)st.st_size < len && ftruncate(file->fd, (off_t)len) != 0))
		return datafile_fail(file, "the file cannot be made longer", errno, failure);
	return true;
}

static bool open_environment(struct datafile *file, const char *directory, struct failure *failure)
{
	MDB_txn *txn;
	int code = mdb_env_create(&file->env);

	must(code == 0);
	mdb_env_set_maxdbs(file->env, TABLES);
	mdb_env_set_mapsize(file->env, file->map_len);
	code = mdb_env_open(file->env, directory,
			    MDB_NOTLS | (file->durability == DURABILITY_PROCESS ? MDB_NOSYNC : 0),
			    0600);
	/* What LMDB begins a new file with is on the disk before there is more in it. */
	if (code == 0 && fdatasync(file->fd) != 0)
		code = errno;
	if (code == 0)
		code = mdb_txn_begin(file->env, NULL, 0, &txn);
	if (code != 0)
		return datafile_fail(file, "cannot be opened", code, failure);
	if (!open_tables(file, txn, failure) || !datafile_set_len(file, file->map_len, failure)) {
		mdb_txn_abort(txn);
		return false;
	}
	code = mdb_txn_commit(txn);
	return code == 0 || datafile_fail(file, "cannot be written", code, failure);
}

/* A new file's name must be as durable as what will be in it. */
static bool sync_directory(const struct datafile *file, const char *directory,
			   struct failure *failure)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		datafile_fail(file, "its directory cannot be synced", errno, failure);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool open_file(struct datafile *file, const char *directory, struct failure *failure)
{
	struct stat st;

	file->fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file->fd < 0 || fstat(file->fd, &st) != 0)
		return datafile_fail(file, "cannot be opened", errno, failure);
	if (!S_ISREG(st.st_mode))
		return failure_set(failure, "%s is not a regular file", file->path);
	if (flock(file->fd, LOCK_EX | LOCK_NB) != 0)
		return failure_set(failure, "%s is open in another process", file->path);
	if ((uintmax_t)st.st_size > MAP_MAX)
		return failure_set(failure, "%s is longer than the %zu bytes that are supported",
				   file->path, MAP_MAX);
	/* Only one that a loss of power caught unborn: see open_environment(). */
	if (st.st_size > 0 && lmdb_file_is_unborn(file->fd)) {
		if (ftruncate(file->fd, 0) != 0)
			return datafile_fail(file, "cannot be begun anew", errno, failure);
		st.st_size = 0;
	}
	file->map_len = MAP_FIRST;
	while (file->map_len < (size_t)st.st_size)
		file->map_len *= 2;
	if (st.st_size == 0)
		return sync_directory(file, directory, failure);
	return lmdb_file_check(file->fd, file->path, failure);
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
static bool set_mark(struct datafile *file, enum boot_mark mark, struct failure *failure)
{
	if (file->durability == DURABILITY_PROCESS)
		return mark == BOOT_MARK_SAME ? boot_mark_keep(file->directory, failure)
					      : boot_mark_set(file->directory, failure);
	if (mark != BOOT_MARK_SAME)
		return true;
	if (fdatasync(file->fd) != 0)
		return datafile_fail(file, "cannot be synced", errno, failure);
	return boot_mark_clear(file->directory, failure);
}

/* A mark that stays does no harm while the machine runs on. */
static void sync_and_unmark(struct datafile *file)
{
	struct failure failure;

	if (file->durability == DURABILITY_PROCESS && mdb_env_sync(file->env, 1) == 0)
		(void)boot_mark_clear(file->directory, &failure);
}

void datafile_close(struct datafile *file)
{
	if (file->env != NULL) {
		sync_and_unmark(file);
		mdb_env_close(file->env);
	}
	if (file->fd >= 0)
		close(file->fd);
	pthread_mutex_destroy(&file->queue);
	pthread_mutex_destroy(&file->mutex);
	file->env = NULL;
	file->fd = -1;
}

bool datafile_open(struct datafile *file, const char *directory, enum store_durability durability,
		   bool *put_aside, struct failure *failure)
{
	enum boot_mark mark;
	int len = snprintf(file->path, sizeof(file->path), "%s/data.mdb", directory);

	file->env = NULL;
	file->fd = -1;
	file->durability = durability;
	file->map_max = MAP_MAX;
	atomic_init(&file->poisoned, false);
	must(pthread_mutex_init(&file->mutex, NULL) == 0);
	must(pthread_mutex_init(&file->queue, NULL) == 0);
	if (len >= (int)sizeof(file->path))
		return failure_set(failure, "the data directory's path is too long");
	snprintf(file->directory, sizeof(file->directory), "%s", directory);
	if (!judge_mark(directory, &mark, failure))
		return false;
	*put_aside = mark == BOOT_MARK_OTHER;
	return open_file(file, directory, failure) && set_mark(file, mark, failure) &&
	       open_environment(file, directory, failure);
}
