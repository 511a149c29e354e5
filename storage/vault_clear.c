/*
 * vault_clear.c - seals what earlier versions of Metrino kept readable.
 *
 * A file of format 1 or 2 has sessions, subscriptions and the journal in tables of records in clear
 * (clear_record.h).  At the first start they become sealed rows, and the file one of the newest
 * format, in one transaction: until it is committed the file is what it was.  The pages that the
 * clear tables leave are free then, but still hold what they held; so all free pages are
 * overwritten in place.  A row in "meta" says that this is still to be done, and goes when it is:
 * a kill at any moment is made up for at the next start.  The sealed tables have other names and so
 * pages of their own, that LMDB zeroes when it makes them; nothing in clear is behind them.
 */
#include "storage/clear_record.h"
#include "storage/lmdb_file.h"
#include "storage/record.h"
#include "storage/vault_internal.h"

#define TO_OVERWRITE "free pages"

struct sealing {
	struct vault *vault;
	MDB_txn *txn;
	uint8_t envelope_key[SEAL_KEY_LEN];
	int code; /* why the walk was ended */
};

/* Ends the walk through a table where something could not be written. */
static bool written(struct sealing *sealing, int code)
{
	sealing->code = code;
	return code == 0;
}

static bool damaged(struct sealing *sealing, enum data_table table, uint64_t row,
		    struct failure *failure)
{
	sealing->code = DATAFILE_TOLD;
	return datafile_damaged(&sealing->vault->file, table, row, failure);
}

static bool seal_session(void *self, uint64_t row, struct slice record, struct failure *failure)
{
	struct sealing *sealing = self;
	struct vault *vault = sealing->vault;
	struct store_session session;
	struct owner *owner;
	struct slice body;
	int code;

	if (!clear_record_open(record, SEALED_SESSION, row, &body, failure) ||
	    !record_read_session(body, &session, failure))
		return damaged(sealing, TABLE_CLEAR_SESSIONS, row, failure);
	code = owners_add(&vault->owners, sealing->txn, OWNER_SESSION, row, &owner, failure);
	if (code == 0)
		code = vault_put_under_leaf(vault, sealing->txn, TABLE_SESSIONS,
					    (struct sealed_place){SEALED_SESSION, owner->leaf, row},
					    body, failure);
	return written(sealing, code);
}

static bool seal_subscription(void *self, uint64_t row, struct slice record,
			      struct failure *failure)
{
	struct sealing *sealing = self;
	struct vault *vault = sealing->vault;
	struct store_subscription subscription;
	const struct owner *owner;
	struct slice body;

	if (!clear_record_open(record, SEALED_SUBSCRIPTION, row, &body, failure) ||
	    !record_read_subscription(body, &subscription, failure))
		return damaged(sealing, TABLE_CLEAR_SUBSCRIPTIONS, row, failure);
	owner = owners_find(&vault->owners, OWNER_SESSION, subscription.session);
	if (owner == NULL) /* what a session left that a kill kept from ending wholly */
		return true;
	return written(sealing, vault_put_under_leaf(
				    vault, sealing->txn, TABLE_SUBSCRIPTIONS,
				    (struct sealed_place){SEALED_SUBSCRIPTION, owner->leaf, row},
				    body, failure));
}

static bool seal_steps(void *self, uint64_t row, struct slice record, struct failure *failure)
{
	struct sealing *sealing = self;
	struct vault *vault = sealing->vault;
	struct slice body;

	if (!clear_record_open(record, SEALED_JOURNAL, row, &body, failure))
		return damaged(sealing, TABLE_CLEAR_JOURNAL, row, failure);
	return written(sealing,
		       vault_put_sealed(vault, sealing->txn, TABLE_JOURNAL,
					(struct sealed_place){SEALED_JOURNAL, vault->envelope, row},
					sealing->envelope_key, body, MDB_APPEND));
}

/* Seals a table's rows into the new one, and removes it. */
static int seal_table(struct sealing *sealing, enum data_table table,
		      bool (*seal)(void *self, uint64_t row, struct slice record,
				   struct failure *failure),
		      struct failure *failure)
{
	struct datafile *file = &sealing->vault->file;

	sealing->code = DATAFILE_TOLD; /* the walk itself failed, unless a row says otherwise */
	if (!datafile_walk(file, sealing->txn, table, sealing, seal, failure))
		return sealing->code != 0 ? sealing->code : DATAFILE_TOLD;
	return datafile_drop(file, sealing->txn, table);
}

static MDB_val to_overwrite(void)
{
	return (MDB_val){sizeof(TO_OVERWRITE) - 1, (void *)TO_OVERWRITE};
}

static int apply(void *self, MDB_txn *txn, struct failure *failure)
{
	struct sealing *sealing = self;
	struct datafile *file = &sealing->vault->file;
	MDB_val key = to_overwrite();
	MDB_val value = {1, (void *)""};
	int code;

	sealing->txn = txn;
	code = seal_table(sealing, TABLE_CLEAR_SESSIONS, seal_session, failure);
	if (code == 0)
		code = seal_table(sealing, TABLE_CLEAR_SUBSCRIPTIONS, seal_subscription, failure);
	if (code == 0 && file->format >= 2)
		code = seal_table(sealing, TABLE_CLEAR_JOURNAL, seal_steps, failure);
	if (code == 0)
		code = datafile_put_format(file, txn);
	if (code == 0)
		code = mdb_put(txn, file->tables[TABLE_META], &key, &value, 0);
	return code;
}

static void finish(void *self, bool committed)
{
	const struct sealing *sealing = self;

	vault_finish(sealing->vault, committed);
	if (committed)
		sealing->vault->file.format = DATAFILE_FORMAT;
}

static bool seal(struct vault *vault, struct failure *failure)
{
	struct sealing sealing = {.vault = vault};
	const struct datafile_work work = {&sealing, apply, finish};
	bool sealed;

	must(keyring_get(vault->keyring, KEY_ENVELOPE, vault->envelope, sealing.envelope_key));
	sealed = datafile_write(&vault->file, &work, failure);
	explicit_bzero(sealing.envelope_key, sizeof(sealing.envelope_key));
	if (!sealed)
		return failure_context(failure, "what an earlier version kept cannot be sealed");
	return true;
}

/* ---- the free pages ---- */

static bool is_to_overwrite(void *self, MDB_txn *txn, struct failure *failure)
{
	struct sealing *sealing = self;
	MDB_val key = to_overwrite();
	MDB_val value;

	sealing->code = mdb_get(txn, sealing->vault->file.tables[TABLE_META], &key, &value);
	if (sealing->code == 0 || sealing->code == MDB_NOTFOUND)
		return true;
	return datafile_fail(&sealing->vault->file, "cannot be read", sealing->code, failure);
}

static int overwritten(void *self, MDB_txn *txn, struct failure *failure)
{
	const struct sealing *sealing = self;
	MDB_val key = to_overwrite();

	(void)failure;
	return mdb_del(txn, sealing->vault->file.tables[TABLE_META], &key, NULL);
}

bool vault_seal_clear(struct vault *vault, struct failure *failure)
{
	struct datafile *file = &vault->file;
	struct sealing sealing = {.vault = vault};
	const struct datafile_work work = {&sealing, overwritten, NULL};

	if (file->format < DATAFILE_FORMAT && !seal(vault, failure))
		return false;
	if (!datafile_read(file, &sealing, is_to_overwrite, failure))
		return false;
	if (sealing.code == MDB_NOTFOUND)
		return true;
	return datafile_sync(file, failure) && lmdb_file_wipe_free(file->fd, file->path, failure) &&
	       datafile_write(file, &work, failure) && datafile_sync(file, failure);
}
