/*
 * vault_internal.h - the vault, for its own files and for lmdb_store.c, whose sessions own leaves.
 *
 *	vault.c        puts and deletes rows
 *	vault_load.c   opens them
 *	vault_open.c   opens the file, and finds who owns what
 *	vault_turn.c   turns the root
 */
#ifndef STORAGE_VAULT_INTERNAL_H
#define STORAGE_VAULT_INTERNAL_H

#include "storage/owners.h"
#include "storage/sealed_record.h"
#include "storage/vault.h"

/* Turns that were asked for; those who ask while one is under way share the next. */
struct vault_turns {
	pthread_mutex_t mutex;
	pthread_cond_t ended;
	uint64_t begun; /* number of the last one begun, and ended */
	uint64_t finished;
	bool succeeded; /* the last one that ended */
	struct failure failure;
};

struct vault {
	struct datafile file; /* its mutex guards all but `turns` */
	struct keyring *keyring;
	struct key_tree tree;
	uint32_t generation; /* of the root */
	struct owners owners;
	struct vault_turns turns;
	uint8_t record[SEALED_MAX];
	uint8_t body[SEALED_BODY_MAX];
};

/* What the rows of a table are, and under whose key. */
enum sealed_under { UNDER_ITSELF, UNDER_ACCOUNT, UNDER_SESSION, UNDER_DAY };

struct vault_kind {
	enum data_table table;
	enum sealed_class class;
	enum sealed_under under;
	enum key_class day;	/* UNDER_DAY */
	bool forgets_at_change; /* a version that was replaced must not open */
};

const struct vault_kind *vault_kind(enum vault_class class);

/* The row of a class and its owner: one that is in the file. */
struct vault_row {
	uint64_t row;
	uint32_t key_number;
	struct slice record;
};

/* Rows of one table, in the order of their keys. */
struct vault_rows {
	struct vault_row *at;
	size_t count, room;
};

/* Seals a row and puts it; `key_number` is that of a leaf, or an epoch. */
int vault_put_sealed(struct vault *vault, MDB_txn *txn, enum data_table table,
		     struct sealed_place place, const uint8_t key[SEAL_KEY_LEN], struct slice body);

/* The same under a leaf. */
int vault_put_under_leaf(struct vault *vault, MDB_txn *txn, enum data_table table,
			 struct sealed_place place, struct slice body, struct failure *failure);

/* Collects the rows of a table; their records stay while the transaction does. */
bool vault_collect(struct vault *vault, MDB_txn *txn, enum data_table table,
		   enum sealed_class class, struct vault_rows *rows, struct failure *failure);
void vault_rows_free(struct vault_rows *rows);

/*
 * Gives each of these rows, opened, to a function.  A key that is not in the keyring: the row is
 * passed over; a body is wiped after its turn.
 */
struct vault_reader {
	void *self;
	bool (*give)(void *self, const struct vault_row *row, struct slice body,
		     struct failure *failure);
};
bool vault_open_rows(struct vault *vault, MDB_txn *txn, const struct vault_kind *kind,
		     const struct vault_rows *rows, const struct vault_reader *reader,
		     struct failure *failure);

/* Deletes the rows of days whose key is destroyed. */
bool vault_sweep(struct vault *vault, enum vault_class class, struct failure *failure);

/* vault_turn.c: at open, before there are others: the root that the file says lives, or a new one.
 */
bool vault_settle_root(struct vault *vault, struct failure *failure);

#endif
