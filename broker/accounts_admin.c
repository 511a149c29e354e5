/* accounts_admin.c - what the operator does with accounts: accounts.h. */
#include "broker/accounts_internal.h"
#include <stdlib.h>

/* Under `changing`. */
static struct account *find(struct accounts *accounts, struct slice name, struct failure *failure)
{
	struct account *account = account_table_by_name(accounts->table, name);
	if (account == NULL)
		failure_set(failure, "there is no account of this name");
	return account;
}

/* ---- asking ---- */

void accounts_each(struct accounts *accounts, void *self, accounts_teller *call)
{
	pthread_mutex_lock(&accounts->lock);
	account_table_each(accounts->table, self, call);
	pthread_mutex_unlock(&accounts->lock);
}

bool accounts_tell(struct accounts *accounts, struct slice name, void *self, accounts_teller *call,
		   struct failure *failure)
{
	pthread_mutex_lock(&accounts->lock);
	const struct account *account = find(accounts, name, failure);
	if (account)
		call(self, account);
	pthread_mutex_unlock(&accounts->lock);
	return account != NULL;
}

static bool hash_address(struct accounts *accounts, struct slice address,
			 uint8_t hash[ACCOUNT_HASH_SIZE], struct failure *failure)
{
	return accounts_hash_address(accounts, address, hash) ||
	       failure_set(failure, "that is no e-mail address; right would be name@example.org");
}

bool accounts_find(struct accounts *accounts, struct slice address, char name[ACCOUNT_NAME_SIZE],
		   struct failure *failure)
{
	uint8_t hash[ACCOUNT_HASH_SIZE];
	if (!hash_address(accounts, address, hash, failure))
		return false;
	pthread_mutex_lock(&accounts->lock);
	const struct account *account = account_table_by_address(accounts->table, hash);
	if (account)
		memcpy(name, account->name, ACCOUNT_NAME_SIZE);
	pthread_mutex_unlock(&accounts->lock);
	return account || failure_set(failure, "no account has this address");
}

bool accounts_row(struct accounts *accounts, struct slice name, uint64_t *row)
{
	pthread_mutex_lock(&accounts->lock);
	const struct account *account = account_table_by_name(accounts->table, name);
	if (account)
		*row = account->row;
	pthread_mutex_unlock(&accounts->lock);
	return account != NULL;
}

bool accounts_name(struct accounts *accounts, uint64_t row, char name[ACCOUNT_NAME_SIZE])
{
	pthread_mutex_lock(&accounts->lock);
	const struct account *account = account_table_by_row(accounts->table, row);
	if (account)
		memcpy(name, account->name, ACCOUNT_NAME_SIZE);
	pthread_mutex_unlock(&accounts->lock);
	return account != NULL;
}

/* ---- making and deleting ---- */

/* What was asked for; the rights are taken. */
static bool fill_in(struct accounts *accounts, const struct accounts_new *new,
		    struct account *account, struct failure *failure)
{
	do
		account->row = vault_new_row(accounts->setup.vault);
	while (auth_owner_number(account->row) != account->row);
	account->rights = new->rights;
	if (new->address.len > 0) {
		if (!hash_address(accounts, new->address, account->address, failure))
			return false;
		account->flags |= ACCOUNT_HAS_ADDRESS;
	}
	if (new->password.len > 0) {
		if (!accounts_hash_password(accounts, new->password, &account->password, failure))
			return false;
		account->flags |= ACCOUNT_HAS_PASSWORD;
	}
	return true;
}

/* Under `changing`. */
static bool add(struct accounts *accounts, struct account *account, struct failure *failure)
{
	if (account->flags & ACCOUNT_HAS_ADDRESS &&
	    account_table_by_address(accounts->table, account->address))
		return failure_set(failure, "another account has this address");
	if (!accounts_store(accounts, account, failure))
		return false;
	pthread_mutex_lock(&accounts->lock);
	account->password_number = ++accounts->passwords;
	must(account_table_add(accounts->table, account));
	accounts_note_work(accounts, account);
	pthread_mutex_unlock(&accounts->lock);
	return true;
}

bool accounts_create(struct accounts *accounts, const struct accounts_new *new,
		     char name[ACCOUNT_NAME_SIZE], struct failure *failure)
{
	struct account *account = account_create();
	bool good = fill_in(accounts, new, account, failure);
	memcpy(name, account->name, ACCOUNT_NAME_SIZE);
	if (good) {
		pthread_mutex_lock(&accounts->changing);
		good = add(accounts, account, failure);
		pthread_mutex_unlock(&accounts->changing);
	}
	if (!good)
		account_destroy(account);
	return good;
}

/* Under `changing`: its name is good for asking again, and for nothing else. */
static void note_parting(struct accounts *accounts, const struct account *account)
{
	struct parting *parting = calloc(1, sizeof *parting);
	must(parting);
	*parting = (struct parting){.next = accounts->partings, .account = account->row};
	memcpy(parting->name, account->name, sizeof parting->name);
	accounts->partings = parting;
}

static void forget_parting(struct parting **at)
{
	struct parting *parting = *at;
	must(parting);
	*at = parting->next;
	explicit_bzero(parting, sizeof *parting);
	free(parting);
}

void accounts_forget_partings(struct accounts *accounts)
{
	while (accounts->partings)
		forget_parting(&accounts->partings);
}

static bool still_there(struct failure *failure)
{
	return failure_context(
	    failure, "the account is deleted and its clients are out, but what was kept "
		     "of it could still be opened; the broker tries again twice a minute, "
		     "and to delete it by its name once more tells whether that is done");
}

/* Under `changing`.  Whatever becomes of the key: an account without a row is none. */
static bool delete_account(struct accounts *accounts, struct account *account, uint64_t *row,
			   struct failure *failure)
{
	struct vault *vault = accounts->setup.vault;
	const uint64_t was = account->row;
	bool deleted = vault_delete(vault, VAULT_ACCOUNT, was, was, failure);
	if (!deleted && vault_has_account(vault, was))
		return false;
	if (!deleted)
		note_parting(accounts, account);
	*row = was;
	pthread_mutex_lock(&accounts->lock);
	account_table_remove(accounts->table, account);
	pthread_mutex_unlock(&accounts->lock);
	return deleted || still_there(failure);
}

/* Under `changing`: one whose key could not be destroyed before. */
static bool delete_again(struct accounts *accounts, struct slice name, uint64_t *row,
			 struct failure *failure)
{
	struct vault *vault = accounts->setup.vault;
	struct parting **at = &accounts->partings;
	while (*at && !slice_equal(slice_text((*at)->name), name))
		at = &(*at)->next;
	if (*at == NULL)
		return find(accounts, name, failure) != NULL; /* never: says so */
	*row = (*at)->account;
	if (vault_turn_is_due(vault) && !vault_turn_root(vault, failure))
		return still_there(failure);
	forget_parting(at);
	return true;
}

bool accounts_delete(struct accounts *accounts, struct slice name, uint64_t *row,
		     struct failure *failure)
{
	*row = 0;
	pthread_mutex_lock(&accounts->changing);
	struct account *account = account_table_by_name(accounts->table, name);
	bool deleted = account ? delete_account(accounts, account, row, failure)
			       : delete_again(accounts, name, row, failure);
	pthread_mutex_unlock(&accounts->changing);
	return deleted;
}

/* ---- changing ---- */

bool accounts_set_flag(struct accounts *accounts, struct slice name, unsigned flag, bool on,
		       struct failure *failure)
{
	pthread_mutex_lock(&accounts->changing);
	struct account *account = find(accounts, name, failure);
	bool changed = false;
	if (account) {
		struct account next = *account;
		next.flags = on ? next.flags | flag : next.flags & ~flag;
		if (next.flags & ~account->flags & ACCOUNT_NO_STATS)
			seal_random(next.secret, sizeof next.secret);
		changed = accounts_store(accounts, &next, failure);
		pthread_mutex_lock(&accounts->lock);
		if (changed) {
			account->flags = next.flags;
			memcpy(account->secret, next.secret, sizeof account->secret);
		}
		pthread_mutex_unlock(&accounts->lock);
		explicit_bzero(&next, sizeof next);
	}
	pthread_mutex_unlock(&accounts->changing);
	return changed;
}

/* Under `changing`. */
static bool is_others(const struct accounts *accounts, const struct account *account,
		      const uint8_t hash[ACCOUNT_HASH_SIZE])
{
	const struct account *other = account_table_by_address(accounts->table, hash);
	return other && other != account;
}

/* Under `changing`; the row first, then what is found by. */
static bool store_address(struct accounts *accounts, struct account *account,
			  const uint8_t hash[ACCOUNT_HASH_SIZE], struct failure *failure)
{
	struct account next = *account;
	next.flags |= ACCOUNT_HAS_ADDRESS;
	memcpy(next.address, hash, sizeof next.address);
	bool stored = accounts_store(accounts, &next, failure);
	if (stored) {
		pthread_mutex_lock(&accounts->lock);
		must(account_table_set_address(accounts->table, account, hash));
		pthread_mutex_unlock(&accounts->lock);
	}
	explicit_bzero(&next, sizeof next);
	return stored;
}

/*
 * Who claims an address that is another's gets one that is nobody's: stored in any case, so that
 * how long it takes tells nothing either.
 */
static bool change_address(struct accounts *accounts, struct slice name, struct slice address,
			   bool claims, struct failure *failure)
{
	uint8_t hash[ACCOUNT_HASH_SIZE];
	if (!hash_address(accounts, address, hash, failure))
		return false;
	pthread_mutex_lock(&accounts->changing);
	struct account *account = find(accounts, name, failure);
	bool others = account && is_others(accounts, account, hash);
	if (others && claims)
		seal_random(hash, sizeof hash);
	bool changed = account && (!others || claims ||
				   failure_set(failure, "another account has this address"));
	changed = changed && store_address(accounts, account, hash, failure);
	pthread_mutex_unlock(&accounts->changing);
	return changed;
}

bool accounts_set_address(struct accounts *accounts, struct slice name, struct slice address,
			  struct failure *failure)
{
	return change_address(accounts, name, address, false, failure);
}

bool accounts_claim_address(struct accounts *accounts, struct slice name, struct slice address,
			    struct failure *failure)
{
	return change_address(accounts, name, address, true, failure);
}

bool accounts_set_password(struct accounts *accounts, struct slice name, struct slice password,
			   struct failure *failure)
{
	struct password_hash hash;
	if (!accounts_hash_password(accounts, password, &hash, failure))
		return false;
	pthread_mutex_lock(&accounts->changing);
	struct account *account = find(accounts, name, failure);
	bool changed = account && accounts_store_password(accounts, account, &hash, failure);
	pthread_mutex_unlock(&accounts->changing);
	explicit_bzero(&hash, sizeof hash);
	return changed;
}

/* ---- rights ---- */

/* Under `changing`; takes the rights, NULL: they could not be made. */
static bool store_rights(struct accounts *accounts, struct account *account,
			 struct account_rights *rights, struct failure *failure)
{
	if (rights == NULL)
		return false;
	struct account next = *account;
	next.rights = rights;
	bool stored = accounts_store(accounts, &next, failure);
	struct account_rights *old = stored ? account->rights : rights;
	if (stored) {
		pthread_mutex_lock(&accounts->lock);
		account->rights = rights;
		pthread_mutex_unlock(&accounts->lock);
	}
	account_rights_leave(old);
	explicit_bzero(&next, sizeof next);
	return stored;
}

bool accounts_grant(struct accounts *accounts, struct slice name, const char *access,
		    struct slice filter, struct failure *failure)
{
	pthread_mutex_lock(&accounts->changing);
	struct account *account = find(accounts, name, failure);
	bool granted =
	    account &&
	    store_rights(accounts, account,
			 account_rights_with(account->rights, access, filter, failure), failure);
	pthread_mutex_unlock(&accounts->changing);
	return granted;
}

bool accounts_withdraw(struct accounts *accounts, struct slice name, struct slice filter,
		       struct failure *failure)
{
	pthread_mutex_lock(&accounts->changing);
	struct account *account = find(accounts, name, failure);
	bool withdrawn =
	    account &&
	    store_rights(accounts, account,
			 account_rights_without(account->rights, filter, failure), failure);
	pthread_mutex_unlock(&accounts->changing);
	return withdrawn;
}

/* ---- device keys ---- */

/* Under `changing`. */
static bool has_room(const struct accounts *accounts, const struct account *account,
		     struct failure *failure)
{
	unsigned max = accounts->setup.keys_max;
	return account->key_count < max ||
	       failure_set(failure,
			   "this account has %u device keys, and no account may have more than "
			   "%u; right would be to revoke some, or another account for the others",
			   account->key_count, max);
}

/* Under both.  An end that has come, and was not told of, stays. */
static void note_end(struct accounts *accounts, const struct account_key *key)
{
	if (key->ends_s > accounts_time_s(accounts) && key->ends_s < accounts->next_end_s)
		accounts->next_end_s = key->ends_s;
}

/* Under `changing`. */
static bool store_key(struct accounts *accounts, struct account *account, struct account_key *key,
		      struct failure *failure)
{
	uint8_t *body = malloc(ACCOUNT_BODY_MAX);
	must(body);
	size_t len = account_key_write(key, account->row, body);
	bool stored = vault_put(accounts->setup.vault, VAULT_DEVICE_KEY, key->row, account->row,
				slice_of(body, len), failure);
	explicit_bzero(body, len);
	free(body);
	if (stored) {
		pthread_mutex_lock(&accounts->lock);
		must(account_table_add_key(accounts->table, account, key));
		note_end(accounts, key);
		pthread_mutex_unlock(&accounts->lock);
	}
	return stored;
}

bool accounts_add_key(struct accounts *accounts, struct slice name, uint64_t ends_s,
		      struct account_rights *scope, char id[ACCOUNT_ID_SIZE],
		      char secret[ACCOUNT_KEY_SECRET_SIZE], struct failure *failure)
{
	struct account_key *key = account_key_create(secret);
	key->row = vault_new_row(accounts->setup.vault);
	key->ends_s = ends_s;
	key->scope = scope;
	memcpy(id, key->id, ACCOUNT_ID_SIZE);
	pthread_mutex_lock(&accounts->changing);
	struct account *account = find(accounts, name, failure);
	bool added = account && has_room(accounts, account, failure) &&
		     store_key(accounts, account, key, failure);
	pthread_mutex_unlock(&accounts->changing);
	if (!added) {
		explicit_bzero(secret, ACCOUNT_KEY_SECRET_SIZE);
		account_key_destroy(key);
	}
	return added;
}

bool accounts_revoke_key(struct accounts *accounts, struct slice id, struct failure *failure)
{
	struct account *account;
	pthread_mutex_lock(&accounts->changing);
	struct account_key *key = account_table_key(accounts->table, id, &account);
	bool revoked = key ? vault_delete(accounts->setup.vault, VAULT_DEVICE_KEY, key->row,
					  account->row, failure)
			   : failure_set(failure, "there is no device key of this id");
	if (revoked) {
		pthread_mutex_lock(&accounts->lock);
		account_table_remove_key(accounts->table, account, key);
		pthread_mutex_unlock(&accounts->lock);
	}
	pthread_mutex_unlock(&accounts->changing);
	return revoked;
}
