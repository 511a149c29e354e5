/* datafile_write.c - see datafile.h: transactions, and what becomes of them when they fail. */
#include "storage/bytes.h"
#include "storage/datafile.h"
#include "storage/lmdb_file.h"

#include <errno.h>
#include <unistd.h>

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

bool datafile_fail(const struct datafile *file, const char *doing, int code,
		   struct failure *failure)
{
	const char *advice = NULL;

	for (size_t i = 0; i < sizeof(advices) / sizeof(*advices); i++) {
		if (advices[i].code == code)
			advice = advices[i].advice;
	}
	return failure_set(failure, "%s: %s: %s%s%s", file->path, doing, mdb_strerror(code),
			   advice == NULL ? "" : "; ", advice == NULL ? "" : advice);
}

/* ---- the mutex ---- */

/* A mutex goes to who is there first when it is given back, which is who gave it back. */
static void enter(struct datafile *file)
{
	must(pthread_mutex_lock(&file->queue) == 0);
	must(pthread_mutex_lock(&file->mutex) == 0);
	must(pthread_mutex_unlock(&file->queue) == 0);
}

static void leave(struct datafile *file)
{
	must(pthread_mutex_unlock(&file->mutex) == 0);
}

/* ---- rows ---- */

static MDB_val key_of(uint64_t row, uint8_t bytes[ROW_LEN])
{
	bytes_put(bytes, row, ROW_LEN);
	return (MDB_val){ROW_LEN, bytes};
}

int datafile_put(struct datafile *file, MDB_txn *txn, enum data_table table, uint64_t row,
		 struct slice bytes, unsigned flags)
{
	uint8_t place[ROW_LEN];
	MDB_val key = key_of(row, place);
	MDB_val value = {bytes.len, (void *)(uintptr_t)bytes.at};

	return mdb_put(txn, file->tables[table], &key, &value, flags);
}

int datafile_get(struct datafile *file, MDB_txn *txn, enum data_table table, uint64_t row,
		 struct slice *bytes)
{
	uint8_t place[ROW_LEN];
	MDB_val key = key_of(row, place);
	MDB_val value = {0, NULL};
	int code = mdb_get(txn, file->tables[table], &key, &value);

	*bytes = slice_of(value.mv_data, value.mv_size);
	return code;
}

int datafile_delete(struct datafile *file, MDB_txn *txn, enum data_table table, uint64_t row)
{
	uint8_t place[ROW_LEN];
	MDB_val key = key_of(row, place);
	int code = mdb_del(txn, file->tables[table], &key, NULL);

	return code == MDB_NOTFOUND ? 0 : code;
}

int datafile_drop(struct datafile *file, MDB_txn *txn, enum data_table table)
{
	return mdb_drop(txn, file->tables[table], 1);
}

/* ---- writing ---- */

/*
 * After a failed commit: may there be another one?  A disk that is full when LMDB
 * writes is harmless, a write that the kernel took and then lost is not: the pages
 * count as clean from then on and a second fdatasync() would succeed.  The kernel
 * tells every descriptor once, so ours tells the two apart.  LMDB refuses a new
 * transaction when its meta page could not be written.
 */
static void check_health(struct datafile *file)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(file->env, NULL, 0, &txn);

	if (code == 0)
		mdb_txn_abort(txn);
	if (code == MDB_PANIC || fdatasync(file->fd) != 0)
		atomic_store(&file->poisoned, true);
}

/* One try, all or nothing.  The code is LMDB's; `failure` is filled. */
static int write_once(struct datafile *file, const struct datafile_work *work,
		      struct failure *failure)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(file->env, NULL, 0, &txn);

	if (code != 0) {
		datafile_fail(file, "no transaction can be begun", code, failure);
		return code;
	}
	code = work->apply(work->self, txn, failure);
	if (code != 0)
		mdb_txn_abort(txn);
	else
		code = mdb_txn_commit(txn);
	if (code != 0 && code != DATAFILE_TOLD)
		datafile_fail(file, "rows cannot be written", code, failure);
	if (work->finish != NULL)
		work->finish(work->self, code == 0);
	return code;
}

static bool grow(struct datafile *file, struct failure *failure)
{
	size_t len = file->map_len * 2;
	int code;

	if (len > file->map_max)
		return failure_set(failure,
				   "%s: map full: it holds %zu bytes and may not grow to %zu; end "
				   "some sessions or shorten session_expiry_max",
				   file->path, file->map_len, len);
	if (!datafile_set_len(file, len, failure))
		return false;
	code = mdb_env_set_mapsize(file->env, len);
	if (code != 0) {
		/* LMDB has let go of the old map: the next access would be a crash. */
		atomic_store(&file->poisoned, true);
		return datafile_fail(file, "the file cannot be mapped", code, failure);
	}
	file->map_len = len;
	return true;
}

static bool write_all(struct datafile *file, const struct datafile_work *work,
		      struct failure *failure)
{
	int code;

	if (atomic_load(&file->poisoned))
		return failure_set(failure, "%s: an earlier write was lost: restart the broker",
				   file->path);
	while ((code = write_once(file, work, failure)) == MDB_MAP_FULL) {
		if (!grow(file, failure))
			return false;
	}
	if (code == 0)
		return true;
	check_health(file);
	if (code == EIO && !atomic_load(&file->poisoned))
		datafile_fail(file, "rows cannot be written", PARTLY_WRITTEN, failure);
	if (atomic_load(&file->poisoned))
		failure_context(failure, "a write was lost, the broker must be restarted");
	return false;
}

bool datafile_write(struct datafile *file, const struct datafile_work *work,
		    struct failure *failure)
{
	bool written;

	enter(file);
	written = write_all(file, work, failure);
	leave(file);
	return written;
}

/* A failed sync is a lost write: see check_health(). */
bool datafile_sync(struct datafile *file, struct failure *failure)
{
	int code;

	enter(file);
	code = atomic_load(&file->poisoned) ? MDB_PANIC : mdb_env_sync(file->env, 1);
	if (code != 0)
		atomic_store(&file->poisoned, true);
	leave(file);
	return code == 0 || datafile_fail(file, "cannot be synced", code, failure);
}

/* ---- reading ---- */

bool datafile_read(struct datafile *file, void *self,
		   bool (*read)(void *self, MDB_txn *txn, struct failure *failure),
		   struct failure *failure)
{
	MDB_txn *txn;
	bool ok = false;
	int code;

	enter(file);
	code = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);
	if (code != 0) {
		datafile_fail(file, "cannot be read", code, failure);
	} else {
		ok = read(self, txn, failure);
		mdb_txn_abort(txn);
	}
	leave(file);
	return ok;
}

bool datafile_damaged(const struct datafile *file, enum data_table table, uint64_t row,
		      struct failure *failure)
{
	return failure_context(failure, "%s is damaged (%s): %s row %016llx", file->path,
			       LMDB_FILE_ADVICE, datafile_row_name(table), (unsigned long long)row);
}

static bool read_key(const struct datafile *file, enum data_table table, const MDB_val *key,
		     uint64_t *row, struct failure *failure)
{
	if (key->mv_size != ROW_LEN)
		return failure_set(failure,
				   "%s is damaged: a %s row has a key of %zu bytes, expected "
				   "%u; " LMDB_FILE_ADVICE,
				   file->path, datafile_row_name(table), key->mv_size, ROW_LEN);
	*row = bytes_get(key->mv_data, ROW_LEN);
	return true;
}

bool datafile_walk_part(struct datafile *file, MDB_txn *txn, enum data_table table,
			struct datafile_part *part, void *self,
			bool (*give)(void *self, uint64_t row, struct slice bytes,
				     struct failure *failure),
			struct failure *failure)
{
	uint8_t place[ROW_LEN];
	MDB_val key = key_of(part->from, place);
	MDB_val value;
	MDB_cursor_op next = part->from == 0 ? MDB_FIRST : MDB_SET_RANGE;
	MDB_cursor *cursor;
	uint64_t row = 0;
	size_t left = part->rows;
	bool ok = true;
	int code = mdb_cursor_open(txn, file->tables[table], &cursor);

	if (code != 0)
		return datafile_fail(file, "cannot be read", code, failure);
	while (ok && left > 0 && !part->over) {
		code = mdb_cursor_get(cursor, &key, &value, next);
		if (code != 0)
			break;
		ok = read_key(file, table, &key, &row, failure) &&
		     give(self, row, slice_of(value.mv_data, value.mv_size), failure);
		part->from = row + 1;
		part->over = row == UINT64_MAX;
		next = MDB_NEXT;
		left--;
	}
	mdb_cursor_close(cursor);
	if (code == MDB_NOTFOUND)
		part->over = true;
	else if (code != 0)
		return datafile_fail(file, "cannot be read", code, failure);
	return ok;
}

bool datafile_walk(struct datafile *file, MDB_txn *txn, enum data_table table, void *self,
		   bool (*give)(void *self, uint64_t row, struct slice bytes,
				struct failure *failure),
		   struct failure *failure)
{
	return datafile_walk_part(file, txn, table, &(struct datafile_part){.rows = SIZE_MAX}, self,
				  give, failure);
}
