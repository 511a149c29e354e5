/* store_on_disk.h - a scratch directory with an LMDB store in it, for tests of that. */
#ifndef TESTS_LIB_STORE_ON_DISK_H
#define TESTS_LIB_STORE_ON_DISK_H

#include "storage/lmdb_store.h"
#include "tests/lib/rows.h"
#include "tests/lib/scratch.h"

#include <check.h>

static struct scratch base;
static struct failure failure;

static inline void setup(void)
{
	base = scratch_make();
}

static inline void teardown(void)
{
	scratch_remove(&base);
}

static inline struct store *open_store(void)
{
	struct store *store = lmdb_store_open(base.path, &failure);

	ck_assert_msg(store != NULL, "%s", failure.text);
	return store;
}

static inline void says(const char *what)
{
	ck_assert_msg(strstr(failure.text, what) != NULL, "\"%s\" does not say \"%s\"",
		      failure.text, what);
}

static inline void refused(const char *what)
{
	failure.text[0] = '\0';
	ck_assert_ptr_null(lmdb_store_open(base.path, &failure));
	says("data.mdb");
	says(what);
}

static inline const char *data_path(void)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/data.mdb", base.path);
	return path;
}

static inline bool put_one(struct store *store, uint64_t row, struct slice client_id)
{
	struct store_op op = rows_session(row, client_id);

	return rows_commit(store, &op, 1, &failure);
}

static inline struct rows_sum load(struct store *store)
{
	struct rows_sum sum;

	ck_assert_msg(rows_load(store, &sum, &failure), "%s", failure.text);
	return sum;
}

#endif
