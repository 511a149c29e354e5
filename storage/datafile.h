/*
 * datafile.h - data.mdb: its tables, and transactions that write it, for the modules
 * that keep rows in it (vault.h, lmdb_store.h).  The only header that knows LMDB.
 *
 * The directory holds data.mdb and lock.mdb.  In data.mdb there is a table "meta" with
 * a row that says whose file it is and in which format, and one for each kind of row
 * (enum data_table); keys are row numbers, 8 bytes, big-endian.
 *
 * The file is as long as LMDB's map and sparse; both start at 1 MiB and double when
 * full, up to 64 GiB (1 GiB on 32 bits).
 *
 * Failure: every sentence names the file.  A transaction that fails leaves the file as
 * it was and the next one may succeed (a full disk that was cleared), except when the
 * kernel could not write what it had taken: then nothing is known about the file any
 * more, `poisoned` says so, every further transaction fails, and the process must end.
 * Nothing is repaired, deleted or skipped.
 * Thread: any; the mutex is held through every transaction, and one who waits comes before who had
 * it and wants it again.  Not across fork().
 */
#ifndef STORAGE_DATAFILE_H
#define STORAGE_DATAFILE_H

#include "proto/base.h"
#include "storage/durability.h"

#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#define ROW_LEN 8u

enum data_table {
	TABLE_META,
	TABLE_SESSIONS,
	TABLE_SUBSCRIPTIONS,
	TABLE_JOURNAL, /* journal.h */
	TABLE_KEYS,    /* key_tree.h */
	TABLE_ACCOUNTS,
	TABLE_DEVICE_KEYS,
	TABLE_TOKENS,
	TABLE_AUTH,
	TABLE_AGGREGATES,
	TABLE_ROUTES, /* route/route_file.h */
	/* of formats 1 and 2, in clear: gone once vault_clear.c has sealed them */
	TABLE_CLEAR_SESSIONS,
	TABLE_CLEAR_SUBSCRIPTIONS,
	TABLE_CLEAR_JOURNAL,
	TABLES
};

struct datafile {
	MDB_env *env; /* NULL until it is open */
	MDB_dbi tables[TABLES];
	pthread_mutex_t mutex;
	pthread_mutex_t queue; /* the next for the mutex has it: nobody comes twice before them */
	/*
	 * data.mdb once more: holds the lock of this process, sets the length, and has
	 * its own view of write errors (datafile_write).
	 */
	int fd;
	enum store_durability durability;
	uint32_t format; /* that the file has */
	size_t map_len;
	size_t map_max;
	atomic_bool poisoned;
	char directory[PATH_MAX];
	char path[PATH_MAX]; /* of data.mdb */
};

/*
 * Opens the file in this directory, which is there and ours (directory.h); makes it if
 * there is none.  *put_aside: another boot of the machine left the file unsynced; it
 * was moved to data.mdb.unsynced and this one is empty.  To be closed in any case.
 */
bool datafile_open(struct datafile *file, const char *directory, enum store_durability durability,
		   bool *put_aside, struct failure *failure);
void datafile_close(struct datafile *file);

/* What a function of a transaction gives when it has filled in the failure itself. */
#define DATAFILE_TOLD MDB_BAD_VALSIZE

/* "FILE: doing: error; what to do".  Returns false. */
bool datafile_fail(const struct datafile *file, const char *doing, int code,
		   struct failure *failure);

/* The format that new files have; older ones have tables in clear. */
#define DATAFILE_FORMAT 3u

/* Writes this format into the file. */
int datafile_put_format(struct datafile *file, MDB_txn *txn);

/* Removes a table and all its rows. */
int datafile_drop(struct datafile *file, MDB_txn *txn, enum data_table table);

/* Makes the file as long as the map, so that no page of the map is beyond its end. */
bool datafile_set_len(struct datafile *file, size_t len, struct failure *failure);

/* What a row of it is called in sentences: "session". */
const char *datafile_row_name(enum data_table table);

struct datafile_work {
	void *self;
	/* Gives 0, LMDB's code, or DATAFILE_TOLD.  When the map had to grow, it comes again. */
	int (*apply)(void *self, MDB_txn *txn, struct failure *failure);
	/* After each apply(), still under the mutex: what it did stands, or has not happened. */
	void (*finish)(void *self, bool committed);
};

/* All of it in one transaction, durable as `durability` says when it returns true. */
bool datafile_write(struct datafile *file, const struct datafile_work *work,
		    struct failure *failure);

/* Under the mutex: a look without a change.  `read` gives false with a failure. */
bool datafile_read(struct datafile *file, void *self,
		   bool (*read)(void *self, MDB_txn *txn, struct failure *failure),
		   struct failure *failure);

/* Walks through a table in the order of its rows; `give` as `read` above. */
bool datafile_walk(struct datafile *file, MDB_txn *txn, enum data_table table, void *self,
		   bool (*give)(void *self, uint64_t row, struct slice bytes,
				struct failure *failure),
		   struct failure *failure);

/* So many rows at most, from a row on; then `from` is where the next part begins. */
struct datafile_part {
	uint64_t from;
	size_t rows;
	bool over; /* there is no next part */
};
bool datafile_walk_part(struct datafile *file, MDB_txn *txn, enum data_table table,
			struct datafile_part *part, void *self,
			bool (*give)(void *self, uint64_t row, struct slice bytes,
				     struct failure *failure),
			struct failure *failure);

/* "FILE is damaged: ... CLASS row N: " before what is there.  Returns false. */
bool datafile_damaged(const struct datafile *file, enum data_table table, uint64_t row,
		      struct failure *failure);

/* Everything that was committed is durable when it returns true, whatever `durability` says. */
bool datafile_sync(struct datafile *file, struct failure *failure);

/* One row; MDB_NOTFOUND is no error of a deletion. */
int datafile_put(struct datafile *file, MDB_txn *txn, enum data_table table, uint64_t row,
		 struct slice bytes, unsigned flags);
int datafile_get(struct datafile *file, MDB_txn *txn, enum data_table table, uint64_t row,
		 struct slice *bytes);
int datafile_delete(struct datafile *file, MDB_txn *txn, enum data_table table, uint64_t row);

#endif
