/*
 * lmdb_internal.h - the store of lmdb_store.h, for its own files: lmdb_store.c commits
 * and loads, lmdb_open.c opens and closes.
 */
#ifndef STORAGE_LMDB_INTERNAL_H
#define STORAGE_LMDB_INTERNAL_H

#include "storage/journal.h"
#include "storage/lmdb_store.h"
#include "storage/record.h"

#include <limits.h>
#include <lmdb.h>
#include <stdatomic.h>

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
	enum store_durability durability;
	size_t map_len;
	size_t map_max;
	atomic_bool poisoned;
	char directory[PATH_MAX];
	char path[PATH_MAX]; /* of data.mdb */
	uint8_t scratch[RECORD_MAX];
};

static inline struct lmdb_store *lmdb_store_of(struct store *head)
{
	return (struct lmdb_store *)head;
}

/* "FILE: doing: error; what to do".  Returns false. */
bool lmdb_fail(const struct lmdb_store *store, const char *doing, int code,
	       struct failure *failure);

bool lmdb_load(struct store *head, const struct store_visitor *visitor, struct failure *failure);
bool lmdb_commit(struct store *head, struct store_batch *const *batches, size_t count,
		 struct failure *failure);

/* At open, so that the first commit knows what there is. */
bool lmdb_load_journal(struct lmdb_store *store, struct failure *failure);

/* Makes the file as long as the map, so that no page of the map is beyond its end. */
bool lmdb_set_file_len(struct lmdb_store *store, size_t len, struct failure *failure);

#endif
