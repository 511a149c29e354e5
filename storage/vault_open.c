/* vault_open.c - see vault.h: opens the file, and finds who owns what. */
#include "storage/lmdb_file.h"
#include "storage/vault_internal.h"

#include <stdlib.h>

/* ---- owners ---- */

struct finding {
	struct vault *vault;
	enum owner_kind owner;
	enum data_table table;
	enum sealed_class class;
	/* of rows that belong to an owner */
	enum vault_class vault_class;
	struct owner **by_leaf;
	uint32_t end;
};

static bool find_owner(void *self, uint64_t row, struct slice record, struct failure *failure)
{
	const struct finding *finding = self;
	uint32_t leaf;

	if (sealed_record_look(record, finding->class, &leaf, failure)) {
		if (owners_found(&finding->vault->owners, finding->owner, row, leaf))
			return true;
		failure_set(failure, "its key is another row's");
	}
	return datafile_damaged(&finding->vault->file, finding->table, row, failure);
}

static bool find_owned(void *self, uint64_t row, struct slice record, struct failure *failure)
{
	const struct finding *finding = self;
	const struct owned owned = {row, (uint8_t)finding->vault_class};
	uint32_t leaf;

	if (sealed_record_look(record, finding->class, &leaf, failure)) {
		if (leaf < finding->end && finding->by_leaf[leaf] != NULL) {
			owners_found_row(finding->by_leaf[leaf], owned);
			return true;
		}
		failure_set(failure, "whom it belongs to is not there");
	}
	return datafile_damaged(&finding->vault->file, finding->table, row, failure);
}

static bool find_owners(struct vault *vault, MDB_txn *txn, struct failure *failure)
{
	struct finding accounts = {.vault = vault,
				   .owner = OWNER_ACCOUNT,
				   .table = TABLE_ACCOUNTS,
				   .class = SEALED_ACCOUNT};
	struct finding sessions = {.vault = vault,
				   .owner = OWNER_SESSION,
				   .table = TABLE_SESSIONS,
				   .class = SEALED_SESSION};

	return datafile_walk(&vault->file, txn, TABLE_ACCOUNTS, &accounts, find_owner, failure) &&
	       datafile_walk(&vault->file, txn, TABLE_SESSIONS, &sessions, find_owner, failure);
}

static bool find_rows(struct vault *vault, MDB_txn *txn, enum vault_class class,
		      struct failure *failure)
{
	const struct vault_kind *kind = vault_kind(class);
	struct finding finding = {
	    .vault = vault, .table = kind->table, .class = kind->class, .vault_class = class};
	bool ok;

	if (kind->under != UNDER_ACCOUNT)
		return true;
	finding.by_leaf = owners_by_leaf(&vault->owners, OWNER_ACCOUNT, &finding.end);
	ok = datafile_walk(&vault->file, txn, kind->table, &finding, find_owned, failure);
	free(finding.by_leaf);
	return ok;
}

static bool find_all(void *self, MDB_txn *txn, struct failure *failure)
{
	struct vault *vault = self;
	bool ok = find_owners(vault, txn, failure);
	int code;

	for (int class = 0; class < VAULT_CLASSES && ok; class ++)
		ok = find_rows(vault, txn, (enum vault_class) class, failure);
	if (!ok)
		return false;
	code = key_tree_settle(&vault->tree, txn, failure);
	if (code != 0 && code != DATAFILE_TOLD)
		datafile_fail(&vault->file, "cannot be read", code, failure);
	return code == 0;
}

/* A day whose key was destroyed before its rows were deleted. */
static bool sweep(struct vault *vault, struct failure *failure)
{
	return vault_sweep(vault, VAULT_AUTH, failure) &&
	       vault_sweep(vault, VAULT_AGGREGATE, failure);
}

/* ---- open and close ---- */

static void finish_turns(struct vault_turns *turns)
{
	pthread_cond_destroy(&turns->ended);
	pthread_mutex_destroy(&turns->mutex);
}

void vault_close(struct vault *vault)
{
	owners_finish(&vault->owners);
	key_tree_finish(&vault->tree);
	datafile_close(&vault->file);
	finish_turns(&vault->turns);
	free(vault);
}

struct vault *vault_open(const struct vault_options *options, bool *put_aside,
			 struct failure *failure)
{
	struct vault *vault = calloc(1, sizeof(*vault));

	must(vault != NULL);
	vault->keyring = options->keyring;
	key_tree_init(&vault->tree, &vault->file);
	owners_init(&vault->owners, &vault->tree);
	must(pthread_mutex_init(&vault->turns.mutex, NULL) == 0);
	must(pthread_cond_init(&vault->turns.ended, NULL) == 0);
	if (datafile_open(&vault->file, options->directory, options->durability, put_aside,
			  failure) &&
	    vault_settle_root(vault, failure) &&
	    vault_settle_envelope(vault, options->now_s, failure) &&
	    datafile_read(&vault->file, vault, find_all, failure) &&
	    vault_seal_clear(vault, failure) && sweep(vault, failure)) {
		atomic_store(&vault->turn_due, vault->tree.doomed_count > 0);
		return vault;
	}
	vault_close(vault);
	return NULL;
}

bool vault_poisoned(const struct vault *vault)
{
	return atomic_load(&vault->file.poisoned);
}

void vault_set_ceiling(struct vault *vault, size_t bytes)
{
	vault->file.map_max = bytes;
}
