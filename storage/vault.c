/* vault.c - see vault.h: puts and deletes rows. */
#include "storage/vault_internal.h"

#include <stdlib.h>

static const struct vault_kind kinds[VAULT_CLASSES] = {
    [VAULT_ACCOUNT] = {TABLE_ACCOUNTS, SEALED_ACCOUNT, UNDER_ITSELF, 0, true},
    [VAULT_DEVICE_KEY] = {TABLE_DEVICE_KEYS, SEALED_DEVICE_KEY, UNDER_ACCOUNT, 0, true},
    [VAULT_TOKEN] = {TABLE_TOKENS, SEALED_TOKEN, UNDER_ACCOUNT, 0, false},
    [VAULT_AUTH] = {TABLE_AUTH, SEALED_AUTH, UNDER_DAY, KEY_AUTH_DAY, false},
    [VAULT_AGGREGATE] = {TABLE_AGGREGATES, SEALED_AGGREGATE, UNDER_DAY, KEY_AGGREGATE_DAY, false},
};

const struct vault_kind *vault_kind(enum vault_class class)
{
	must(class < VAULT_CLASSES);
	return &kinds[class];
}

uint64_t vault_new_row(struct vault *vault)
{
	uint64_t row;
	bool taken;

	must(pthread_mutex_lock(&vault->file.mutex) == 0);
	do {
		seal_random(&row, sizeof(row));
		taken = owners_find(&vault->owners, OWNER_ACCOUNT, row) != NULL;
	} while (taken);
	must(pthread_mutex_unlock(&vault->file.mutex) == 0);
	return row;
}

bool vault_has_account(struct vault *vault, uint64_t row)
{
	must(pthread_mutex_lock(&vault->file.mutex) == 0);
	const bool has = owners_find(&vault->owners, OWNER_ACCOUNT, row) != NULL;

	must(pthread_mutex_unlock(&vault->file.mutex) == 0);
	return has;
}

/* ---- one row ---- */

int vault_put_sealed(struct vault *vault, MDB_txn *txn, enum data_table table,
		     struct sealed_place place, const uint8_t key[SEAL_KEY_LEN], struct slice body,
		     unsigned flags)
{
	sealed_record_make(place, key, body, vault->record);
	return datafile_put(&vault->file, txn, table, place.row,
			    slice_of(vault->record, body.len + SEALED_OVERHEAD), flags);
}

int vault_put_under_leaf(struct vault *vault, MDB_txn *txn, enum data_table table,
			 struct sealed_place place, struct slice body, struct failure *failure)
{
	uint8_t key[SEAL_KEY_LEN];
	int code = key_tree_key(&vault->tree, txn, place.key_number, key, failure);

	if (code == 0)
		code = vault_put_sealed(vault, txn, table, place, key, body, 0);
	explicit_bzero(key, sizeof(key));
	return code;
}

/* Seals a row that is under one leaf under another; its bytes as they were are in the file. */
static int seal_again(struct vault *vault, MDB_txn *txn, const struct vault_kind *kind,
		      uint64_t row, uint32_t leaf, struct failure *failure)
{
	uint8_t key[SEAL_KEY_LEN];
	uint32_t from;
	struct slice record;
	size_t len = 0;
	bool opened;
	int code = datafile_get(&vault->file, txn, kind->table, row, &record);

	if (code != 0)
		return code;
	opened = sealed_record_look(record, kind->class, &from, failure);
	if (opened)
		code = key_tree_key(&vault->tree, txn, from, key, failure);
	if (opened && code == 0) {
		len = sealed_record_body_len(record);
		opened = sealed_record_open(record, row, key, vault->body, failure);
	}
	explicit_bzero(key, sizeof(key));
	if (code == 0 && !opened) {
		datafile_damaged(&vault->file, kind->table, row, failure);
		code = DATAFILE_TOLD;
	}
	if (code == 0)
		code = vault_put_under_leaf(vault, txn, kind->table,
					    (struct sealed_place){kind->class, leaf, row},
					    slice_of(vault->body, len), failure);
	explicit_bzero(vault->body, len);
	return code;
}

/* All rows of an account under a new leaf; its own one, too, unless it is to be replaced. */
static int move_account(struct vault *vault, MDB_txn *txn, struct owner *owner, bool own,
			struct failure *failure)
{
	int code = owners_move(&vault->owners, txn, owner, failure);

	if (code == 0 && own)
		code =
		    seal_again(vault, txn, &kinds[VAULT_ACCOUNT], owner->row, owner->leaf, failure);
	for (uint32_t i = 0; i < owner->owned_count && code == 0; i++)
		code = seal_again(vault, txn, &kinds[owner->owned[i].class], owner->owned[i].row,
				  owner->leaf, failure);
	return code;
}

/* ---- operations ---- */

struct writing {
	struct vault *vault;
	const struct vault_op *ops;
	size_t count;
};

/* Fills in the failure and gives the code for that. */
static int told(bool is_false)
{
	must(!is_false);
	return DATAFILE_TOLD;
}

static int put_account(struct vault *vault, MDB_txn *txn, const struct vault_op *op,
		       struct failure *failure)
{
	struct owner *owner = owners_find(&vault->owners, OWNER_ACCOUNT, op->row);
	int code;

	if (owner == NULL)
		code = owners_add(&vault->owners, txn, OWNER_ACCOUNT, op->row, &owner, failure);
	else
		code = move_account(vault, txn, owner, false, failure);
	if (code != 0)
		return code;
	return vault_put_under_leaf(vault, txn, TABLE_ACCOUNTS,
				    (struct sealed_place){SEALED_ACCOUNT, owner->leaf, op->row},
				    op->body, failure);
}

static int delete_account(struct vault *vault, MDB_txn *txn, const struct vault_op *op)
{
	struct owner *owner = owners_find(&vault->owners, OWNER_ACCOUNT, op->row);
	int code;

	if (owner == NULL)
		return 0;
	code = datafile_delete(&vault->file, txn, TABLE_ACCOUNTS, op->row);
	for (uint32_t i = 0; i < owner->owned_count && code == 0; i++)
		code = datafile_delete(&vault->file, txn, kinds[owner->owned[i].class].table,
				       owner->owned[i].row);
	return code != 0 ? code : owners_remove(&vault->owners, txn, OWNER_ACCOUNT, owner);
}

static int change_owned(struct vault *vault, MDB_txn *txn, const struct vault_op *op,
			struct failure *failure)
{
	const struct vault_kind *kind = &kinds[op->class];
	const struct owned owned = {op->row, (uint8_t)op->class};
	struct owner *owner = owners_find(&vault->owners, OWNER_ACCOUNT, op->owner);
	bool known;
	int code = 0;

	if (owner == NULL && op->type == VAULT_DELETE)
		return 0;
	if (owner == NULL)
		return told(failure_set(failure,
					"%s: the account that the row belongs to is not there",
					vault->file.path));
	if (op->type == VAULT_DELETE) {
		known = owners_remove_row(&vault->owners, owner, owned);
		code = datafile_delete(&vault->file, txn, kind->table, op->row);
	} else {
		known = !owners_add_row(&vault->owners, owner, owned);
	}
	if (code == 0 && known && kind->forgets_at_change)
		code = move_account(vault, txn, owner, true, failure);
	if (code != 0 || op->type == VAULT_DELETE)
		return code;
	return vault_put_under_leaf(vault, txn, kind->table,
				    (struct sealed_place){kind->class, owner->leaf, op->row},
				    op->body, failure);
}

static int change_of_day(struct vault *vault, MDB_txn *txn, const struct vault_op *op,
			 struct failure *failure)
{
	const struct vault_kind *kind = &kinds[op->class];
	uint8_t key[SEAL_KEY_LEN];
	int code;

	if (op->type == VAULT_DELETE)
		return datafile_delete(&vault->file, txn, kind->table, op->row);
	if (!keyring_get(vault->keyring, kind->day, op->owner, key))
		return told(failure_set(failure, "there is no key of class %s for day %llu",
					key_class_word(kind->day), (unsigned long long)op->owner));
	code = vault_put_sealed(vault, txn, kind->table,
				(struct sealed_place){kind->class, (uint32_t)op->owner, op->row},
				key, op->body, 0);
	explicit_bzero(key, sizeof(key));
	return code;
}

static int change_account(struct vault *vault, MDB_txn *txn, const struct vault_op *op,
			  struct failure *failure)
{
	return op->type == VAULT_PUT ? put_account(vault, txn, op, failure)
				     : delete_account(vault, txn, op);
}

static int apply(void *self, MDB_txn *txn, struct failure *failure)
{
	static int (*const change[])(struct vault *, MDB_txn *, const struct vault_op *,
				     struct failure *) = {
	    [UNDER_ITSELF] = change_account,
	    [UNDER_ACCOUNT] = change_owned,
	    [UNDER_DAY] = change_of_day,
	};
	const struct writing *writing = self;
	int code = 0;

	for (size_t i = 0; i < writing->count && code == 0; i++) {
		const struct vault_op *op = &writing->ops[i];

		code = change[kinds[op->class].under](writing->vault, txn, op, failure);
	}
	return code;
}

void vault_finish(struct vault *vault, bool committed)
{
	if (committed)
		owners_keep(&vault->owners);
	else
		owners_undo(&vault->owners);
	atomic_store(&vault->turn_due, vault->tree.doomed_count > 0);
}

static void finish(void *self, bool committed)
{
	const struct writing *writing = self;

	vault_finish(writing->vault, committed);
}

bool vault_commit(struct vault *vault, const struct vault_op *ops, size_t count,
		  struct failure *failure)
{
	struct writing writing = {vault, ops, count};
	const struct datafile_work work = {&writing, apply, finish};
	bool account_deleted = false;

	for (size_t i = 0; i < count; i++) {
		must(ops[i].class < VAULT_CLASSES && ops[i].body.len <= VAULT_BODY_MAX);
		account_deleted = account_deleted ||
				  (ops[i].type == VAULT_DELETE && ops[i].class == VAULT_ACCOUNT);
	}
	if (!datafile_write(&vault->file, &work, failure))
		return false;
	if (!account_deleted || vault_turn_root(vault, failure))
		return true;
	return failure_context(failure, "the rows are deleted, but their key is not destroyed yet");
}
