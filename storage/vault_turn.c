/*
 * vault_turn.c - see vault.h: turns the root.
 *
 * The order decides.  The new root is durable before anything is wrapped under it; what is wrapped
 * under it is durable before the old one is overwritten.  So at each moment there is a root that
 * opens the file, and data.mdb alone says which.
 */
#include "storage/vault_internal.h"

/* One turn under way. */
struct turning {
	struct vault *vault;
	uint8_t root[SEAL_KEY_LEN];
	uint32_t generation; /* of the new root */
};

static int apply(void *self, MDB_txn *txn, struct failure *failure)
{
	struct turning *turning = self;

	return key_tree_turn(&turning->vault->tree, txn, turning->root, turning->generation,
			     failure);
}

static void finish(void *self, bool committed)
{
	struct turning *turning = self;

	key_tree_finish_turn(&turning->vault->tree, committed);
	atomic_store(&turning->vault->turn_due, turning->vault->tree.doomed_count > 0);
	if (committed)
		turning->vault->generation = turning->generation;
}

/* Overwrites every root but this generation's. */
static bool destroy_others(struct vault *vault, uint32_t generation, struct failure *failure)
{
	uint64_t epochs[SLOT_COUNT];
	size_t count = keyring_epochs(vault->keyring, KEY_ROOT, epochs);

	for (size_t i = 0; i < count; i++)
		if (epochs[i] != generation &&
		    !keyring_destroy(vault->keyring, KEY_ROOT, epochs[i], failure))
			return failure_context(failure, "an old root key cannot be destroyed");
	return true;
}

/* The transaction did not happen, or it is not known whether it did: then the next start decides.
 */
static bool give_up(struct vault *vault, uint32_t generation, struct failure *failure)
{
	struct failure ignored;

	if (!vault_poisoned(vault))
		(void)keyring_destroy(vault->keyring, KEY_ROOT, generation, &ignored);
	return failure_context(failure, "the root key cannot be turned");
}

static bool turn(struct vault *vault, struct failure *failure)
{
	struct turning turning = {.vault = vault, .generation = vault->generation + 1};
	const struct datafile_work work = {&turning, apply, finish};
	bool wrapped;

	if (!destroy_others(vault, vault->generation, failure) ||
	    !keyring_make(vault->keyring, KEY_ROOT, turning.generation, failure))
		return failure_context(failure, "the root key cannot be turned");
	must(keyring_get(vault->keyring, KEY_ROOT, turning.generation, turning.root));
	wrapped = datafile_write(&vault->file, &work, failure);
	explicit_bzero(turning.root, sizeof(turning.root));
	if (!wrapped)
		return give_up(vault, turning.generation, failure);
	const bool forgotten = datafile_sync(&vault->file, failure) &&
			       destroy_others(vault, turning.generation, failure);

	atomic_store(&vault->root_stays, !forgotten);
	return forgotten;
}

bool vault_turn_is_due(const struct vault *vault)
{
	return atomic_load(&vault->turn_due) || atomic_load(&vault->root_stays);
}

/* The caller has the mutex of the turns, which is free while the root is being turned. */
static void take_turn(struct vault *vault)
{
	struct vault_turns *turns = &vault->turns;
	struct failure failure;
	bool succeeded;

	turns->begun++;
	must(pthread_mutex_unlock(&turns->mutex) == 0);
	succeeded = turn(vault, &failure);
	must(pthread_mutex_lock(&turns->mutex) == 0);
	turns->finished = turns->begun;
	turns->succeeded = succeeded;
	if (!succeeded)
		turns->failure = failure;
	must(pthread_cond_broadcast(&turns->ended) == 0);
}

bool vault_turn_root(struct vault *vault, struct failure *failure)
{
	struct vault_turns *turns = &vault->turns;
	uint64_t mine;
	bool succeeded;

	must(pthread_mutex_lock(&turns->mutex) == 0);
	mine = turns->begun + 1; /* what is under way may have looked already */
	while (turns->finished < mine) {
		if (turns->begun > turns->finished)
			must(pthread_cond_wait(&turns->ended, &turns->mutex) == 0);
		else
			take_turn(vault);
	}
	succeeded = turns->succeeded;
	if (!succeeded)
		*failure = turns->failure;
	must(pthread_mutex_unlock(&turns->mutex) == 0);
	return succeeded;
}

/* ---- at open ---- */

struct beginning {
	struct vault *vault;
	const uint8_t *root;
};

static int make_tree(void *self, MDB_txn *txn, struct failure *failure)
{
	const struct beginning *beginning = self;

	(void)failure;
	return key_tree_make(&beginning->vault->tree, txn, beginning->root,
			     beginning->vault->generation);
}

/*
 * A file that is begun has no rows.  Keys of days that there are all the same are those of one that
 * was put aside, or moved away: nobody is to open that any more.
 */
static bool destroy_days(struct vault *vault, struct failure *failure)
{
	uint64_t epochs[SLOT_COUNT];

	for (int class = 0; class < VAULT_CLASSES; class ++) {
		const struct vault_kind *kind = vault_kind((enum vault_class) class);
		const size_t count = kind->under == UNDER_DAY
					 ? keyring_epochs(vault->keyring, kind->day, epochs)
					 : 0;

		for (size_t i = 0; i < count; i++)
			if (!keyring_destroy(vault->keyring, kind->day, epochs[i], failure))
				return failure_context(
				    failure, "the key of an earlier file cannot be destroyed");
	}
	return true;
}

/* A file without a tree gets one, under a root that nothing was ever wrapped under. */
static bool begin_tree(struct vault *vault, struct failure *failure)
{
	uint8_t root[SEAL_KEY_LEN];
	struct beginning beginning = {vault, root};
	const struct datafile_work work = {&beginning, make_tree, NULL};
	uint64_t epochs[SLOT_COUNT];
	size_t count = keyring_epochs(vault->keyring, KEY_ROOT, epochs);
	bool written;

	/* First: with a tree the file is not begun any more, whatever comes between. */
	if (!destroy_days(vault, failure))
		return false;
	vault->generation = count > 0 ? (uint32_t)epochs[count - 1] + 1 : 1;
	if (!keyring_make(vault->keyring, KEY_ROOT, vault->generation, failure))
		return failure_context(failure, "no root key can be made");
	must(keyring_get(vault->keyring, KEY_ROOT, vault->generation, root));
	written = datafile_write(&vault->file, &work, failure);
	explicit_bzero(root, sizeof(root));
	vault->begun = true;
	return written && datafile_sync(&vault->file, failure) &&
	       destroy_others(vault, vault->generation, failure);
}

/* MDB_NOTFOUND is put into *code: the file has no tree. */
struct finding {
	struct vault *vault;
	int code;
};

static bool find_generation(void *self, MDB_txn *txn, struct failure *failure)
{
	struct finding *finding = self;
	struct vault *vault = finding->vault;

	finding->code = key_tree_generation(&vault->tree, txn, &vault->generation, failure);
	if (finding->code != 0 && finding->code != MDB_NOTFOUND && finding->code != DATAFILE_TOLD)
		datafile_fail(&vault->file, "cannot be read", finding->code, failure);
	return finding->code == 0 || finding->code == MDB_NOTFOUND;
}

static bool open_tree(void *self, MDB_txn *txn, struct failure *failure)
{
	struct vault *vault = self;
	uint8_t root[SEAL_KEY_LEN];
	int code;

	if (!keyring_get(vault->keyring, KEY_ROOT, vault->generation, root))
		return failure_set(
		    failure,
		    "%s is sealed under root key %u, which is not in keys.slots: it was destroyed, "
		    "at the latest an hour after this copy of the file was made, or the two files "
		    "are not of one broker; put back the data.mdb that belongs to this keys.slots, "
		    "or move data.mdb away to start without accounts and sessions",
		    vault->file.path, vault->generation);
	code = key_tree_open(&vault->tree, txn, root, failure);
	explicit_bzero(root, sizeof(root));
	return code == 0;
}

bool vault_settle_root(struct vault *vault, struct failure *failure)
{
	struct finding finding = {vault, 0};

	if (!datafile_read(&vault->file, &finding, find_generation, failure))
		return false;
	if (finding.code == MDB_NOTFOUND)
		return begin_tree(vault, failure);
	return datafile_read(&vault->file, vault, open_tree, failure) &&
	       destroy_others(vault, vault->generation, failure);
}
