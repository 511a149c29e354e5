/*
 * vault_envelope.c - which key of the class `envelope` the journal is under (lmdb_store.h).
 *
 * All rows of the journal are under one key, because a new one is taken into use by writing all of
 * them again, in one transaction.  So whatever else there is in the keyring is of a change that a
 * kill interrupted: a key that was not taken into use, or one that was left.
 */
#include "storage/vault_internal.h"

#define HOUR_S UINT64_C(3600)

struct looking {
	struct vault *vault;
	bool found;
	uint32_t epoch;
};

static bool look(void *self, uint64_t row, struct slice record, struct failure *failure)
{
	struct looking *looking = self;
	uint32_t epoch;

	if (sealed_record_look(record, SEALED_JOURNAL, &epoch, failure)) {
		if (!looking->found || looking->epoch == epoch) {
			looking->found = true;
			looking->epoch = epoch;
			return true;
		}
		failure_set(failure, "it is under another key than the rows before it");
	}
	return datafile_damaged(&looking->vault->file, TABLE_JOURNAL, row, failure);
}

static bool look_at_journal(void *self, MDB_txn *txn, struct failure *failure)
{
	struct looking *looking = self;

	return datafile_walk(&looking->vault->file, txn, TABLE_JOURNAL, looking, look, failure);
}

/* An epoch that rows were under is not used again while they may be there. */
bool vault_make_envelope(struct vault *vault, uint64_t now_s, uint32_t *epoch,
			 struct failure *failure)
{
	const uint32_t hour = (uint32_t)(now_s / HOUR_S);

	*epoch = hour > vault->envelope ? hour : vault->envelope + 1;
	return keyring_make(vault->keyring, KEY_ENVELOPE, *epoch, failure);
}

bool vault_destroy_envelopes(struct vault *vault, struct failure *failure)
{
	uint64_t epochs[SLOT_COUNT];
	const size_t count = keyring_epochs(vault->keyring, KEY_ENVELOPE, epochs);

	for (size_t i = 0; i < count; i++)
		if (epochs[i] != vault->envelope &&
		    !keyring_destroy(vault->keyring, KEY_ENVELOPE, epochs[i], failure))
			return failure_context(failure, "an old envelope key cannot be destroyed");
	return true;
}

static bool has_key(struct vault *vault, uint32_t epoch, struct failure *failure)
{
	uint8_t key[SEAL_KEY_LEN];
	const bool has = keyring_get(vault->keyring, KEY_ENVELOPE, epoch, key);

	explicit_bzero(key, sizeof(key));
	if (has)
		return true;
	return failure_set(
	    failure,
	    "%s: the open QoS 2 exchanges are sealed under the envelope key of hour "
	    "%u, which is not in keys.slots: the two files are not of one moment; put "
	    "back the data.mdb that belongs to this keys.slots, or move data.mdb away "
	    "to start without accounts and sessions",
	    vault->file.path, epoch);
}

bool vault_settle_envelope(struct vault *vault, uint64_t now_s, struct failure *failure)
{
	struct looking looking = {.vault = vault};
	uint64_t epochs[SLOT_COUNT];
	size_t count;

	if (!datafile_read(&vault->file, &looking, look_at_journal, failure))
		return false;
	count = vault->begun ? 0 : keyring_epochs(vault->keyring, KEY_ENVELOPE, epochs);
	vault->envelope = looking.epoch;
	if (!looking.found && count > 0)
		vault->envelope = (uint32_t)epochs[count - 1];
	if (looking.found && !has_key(vault, looking.epoch, failure))
		return false;
	if (!vault_destroy_envelopes(vault, failure))
		return false;
	return looking.found || count > 0 ||
	       vault_make_envelope(vault, now_s, &vault->envelope, failure);
}
