/*
 * vault_internal.h - the vault, for its own files and for lmdb_store.c, whose sessions own leaves.
 *
 *	vault.c        puts and deletes rows
 *	vault_load.c   opens them
 *	vault_open.c   opens the file, and finds who owns what
 *	vault_turn.c   turns the root
 *	vault_envelope.c  the key of the journal
 *	vault_clear.c  seals what earlier versions kept
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
	bool begun;	     /* by this process: nothing is in it yet */
	uint32_t envelope;   /* epoch of the key that the journal is under */
	atomic_bool turn_due;
	atomic_bool root_stays; /* the old one could not be destroyed after a turn */
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

/* Seals a row and puts it; `key_number` is that of a leaf, or an epoch, flags are LMDB's. */
int vault_put_sealed(struct vault *vault, MDB_txn *txn, enum data_table table,
		     struct sealed_place place, const uint8_t key[SEAL_KEY_LEN], struct slice body,
		     unsigned flags);

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

/* vault_envelope.c: at open: under which key the journal is; makes one where there is none. */
bool vault_settle_envelope(struct vault *vault, uint64_t now_s, struct failure *failure);
/* A key to be taken into use by setting vault->envelope to its epoch... */
bool vault_make_envelope(struct vault *vault, uint64_t now_s, uint32_t *epoch,
			 struct failure *failure);
/* ...and then the end of all others. */
bool vault_destroy_envelopes(struct vault *vault, struct failure *failure);

/* vault_clear.c: makes a file of an older format one of the newest, and forgets what it was. */
bool vault_seal_clear(struct vault *vault, struct failure *failure);

/* After each apply() that changes owners: keeps or undoes what it did to them. */
void vault_finish(struct vault *vault, bool committed);

/* vault_turn.c: at open, before there are others: the root that the file says lives, or a new one.
 */
bool vault_settle_root(struct vault *vault, struct failure *failure);

#endif
