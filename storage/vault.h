/*
 * vault.h - rows in data.mdb whose deletion destroys their key.
 *
 * Deleting a row of a database leaves its bytes in the file for a long time.  So each
 * row is sealed (sealed_record.h), and forgetting means destroying a key that lies in
 * keys.slots (keyring.h) or is wrapped under one:
 *
 *	what an owner has    An account and a session own a leaf key each (key_tree.h), wrapped
 *under the root; their rows are sealed under it.  When the owner is deleted all its rows go, and
 *its key with the next turn of the root. what a day has       Rows of the classes auth and
 *aggregate are sealed under the keyring's key of that day, and go when it is destroyed.
 *
 * In the file a row is a random number and sealed bytes, nothing else: every index is its
 * keeper's, built in RAM at the start with vault_load().
 *
 * Turning the root (docs/privacy.md, "Keys"): a new root goes into the spare slot, the keys on the
 * paths to what is to be destroyed are wrapped again in one transaction, it is synced whatever
 * `durability` says, and the old root is overwritten.  Which root lives is decided at the start by
 * the generation in data.mdb; all others are overwritten then.  Deletions that wait share one turn.
 *
 * Ownership: the keyring is borrowed, open before and closed after; slices are borrowed for the
 * call.  Failure: as datafile.h and keyring.h say; what failed has not happened.
 * Thread: any, but vault_open() and vault_close(); a visitor may not call the vault.
 */
#ifndef STORAGE_VAULT_H
#define STORAGE_VAULT_H

#include "storage/durability.h"
#include "storage/keys/keyring.h"

#define VAULT_BODY_MAX 65536u

struct vault;

struct vault_options {
	const char *directory; /* is there and ours: directory.h */
	enum store_durability durability;
	struct keyring *keyring;
	uint64_t now_s; /* since 1970: the hour of the first envelope key */
};

/*
 * Opens data.mdb, making it where there is none.  *put_aside: another boot of the machine left
 * the file unsynced; it was moved to data.mdb.unsynced, which no key opens any more, and the vault
 * is empty.  NULL when that fails; a file whose root is not in the keyring is refused.
 */
struct vault *vault_open(const struct vault_options *options, bool *put_aside,
			 struct failure *failure);
void vault_close(struct vault *vault);

/* A write was lost: the vault must not be trusted any more.  End the process and start again. */
bool vault_poisoned(const struct vault *vault);

/* Lowers how far the map of data.mdb may grow, in bytes. */
void vault_set_ceiling(struct vault *vault, size_t bytes);

/* ---- rows ---- */

enum vault_class {
	VAULT_ACCOUNT,	  /* owns a leaf key: its row number names it as an owner */
	VAULT_DEVICE_KEY, /* of an account */
	VAULT_TOKEN,	  /* of an account */
	VAULT_AUTH,	  /* of a day (auth_day) */
	VAULT_AGGREGATE,  /* of a day (aggregate_day) */
	VAULT_CLASSES
};

/* A random number that no owner has. */
uint64_t vault_new_row(struct vault *vault);

enum vault_op_type {
	VAULT_PUT,    /* makes the row or replaces it */
	VAULT_DELETE, /* a row that is not there is no error */
};

/*
 * `owner` is the account's or session's row, or the day (the epoch of its key); of an account it
 * is not looked at.  To put a row of an owner that is not there, or of a day whose key is not in
 * the keyring, fails.
 */
struct vault_op {
	enum vault_op_type type;
	enum vault_class class;
	uint64_t row;
	uint64_t owner;
	struct slice body; /* VAULT_PUT; at most VAULT_BODY_MAX bytes */
};

/*
 * All in one transaction, in their order.  Deleting an account deletes its device keys and tokens.
 * Where one of the operations deleted an account, this returns when its key is destroyed.  Where
 * one replaced an account, or replaced or deleted a device key, what was there before goes with
 * the next turn of the root (its account has a new key then).  A token that was deleted can be
 * opened by whoever has the keys until its owner goes.
 */
bool vault_commit(struct vault *vault, const struct vault_op *ops, size_t count,
		  struct failure *failure);

/*
 * Is there an account of this row?  If not after its deletion failed, its rows are deleted, and
 * only their key is there still: vault_turn_is_due().
 */
bool vault_has_account(struct vault *vault, uint64_t row);

static inline bool vault_put(struct vault *vault, enum vault_class class, uint64_t row,
			     uint64_t owner, struct slice body, struct failure *failure)
{
	return vault_commit(vault, &(struct vault_op){VAULT_PUT, class, row, owner, body}, 1,
			    failure);
}

static inline bool vault_delete(struct vault *vault, enum vault_class class, uint64_t row,
				uint64_t owner, struct failure *failure)
{
	return vault_commit(vault, &(struct vault_op){VAULT_DELETE, class, row, owner, SLICE_NONE},
			    1, failure);
}

struct vault_visitor {
	void *self;
	/* One row; false, with a failure, ends the walk.  The body is wiped afterwards. */
	bool (*row)(void *self, uint64_t row, uint64_t owner, struct slice body,
		    struct failure *failure);
};

/*
 * Opens every row of a class, in no order.  A damaged row fails, naming file and row, and nothing
 * is skipped but rows whose day's key is destroyed: those are as good as deleted.
 *
 * Rows of days come some hundred at a time, and others may commit meanwhile: whether what they put
 * or delete then is given is not said.
 */
bool vault_load(struct vault *vault, enum vault_class class, const struct vault_visitor *visitor,
		struct failure *failure);

/* Destroys the key of a day of VAULT_AUTH or VAULT_AGGREGATE, and deletes the day's rows. */
bool vault_forget_day(struct vault *vault, enum vault_class class, uint64_t day,
		      struct failure *failure);

/* ---- the root ---- */

/* Are there keys that the next turn of the root will destroy?  Within a minute it is due. */
bool vault_turn_is_due(const struct vault *vault);

/*
 * Turns the root now, for all deletions that were committed before the call; returns when the old
 * root is gone.  Due once an hour whether anything was deleted or not.
 */
bool vault_turn_root(struct vault *vault, struct failure *failure);

#endif
