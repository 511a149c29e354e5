/* store_on_disk.h - a scratch directory with an LMDB store in it, for tests of that. */
#ifndef TESTS_LIB_STORE_ON_DISK_H
#define TESTS_LIB_STORE_ON_DISK_H

#include "storage/lmdb_store.h"
#include "tests/lib/rows.h"
#include "tests/lib/vault_on_disk.h"

/* One store at a time: its vault and keyring are vault_on_disk.h's. */
static inline struct store *open_store_as(enum store_durability durability, bool *put_aside)
{
	struct store *store = NULL;

	open_vault_as(durability, put_aside);
	if (vault != NULL)
		store = lmdb_store_open(vault, &failure);
	if (store == NULL)
		close_vault();
	return store;
}

static inline struct store *open_store(void)
{
	bool put_aside;
	struct store *store = open_store_as(DURABILITY_POWER, &put_aside);

	ck_assert_msg(store != NULL, "%s", failure.text);
	return store;
}

static inline void close_store(struct store *store)
{
	store_close(store);
	close_vault();
}

static inline void refused(const char *what)
{
	bool put_aside;

	failure.text[0] = '\0';
	ck_assert_ptr_null(open_store_as(DURABILITY_POWER, &put_aside));
	says("data.mdb");
	says(what);
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
