/* accounts.c - loading all accounts, and what the others share: accounts.h. */
#include "broker/accounts_internal.h"
#include "broker/net/moment.h"
#include <stdlib.h>

/* ---- loading ---- */

static bool take_account(void *self, uint64_t row, uint64_t owner, struct slice body,
			 struct failure *failure)
{
	struct accounts *accounts = self;
	struct account *account = account_read(row, body, failure);
	(void)owner;
	if (account == NULL)
		return false;
	account->password_number = ++accounts->passwords;
	if (account_table_add(accounts->table, account)) {
		accounts_note_work(accounts, account);
		return true;
	}
	account_destroy(account);
	return failure_set(failure, "two accounts have the same name or address");
}

static bool take_key(void *self, uint64_t row, uint64_t owner, struct slice body,
		     struct failure *failure)
{
	struct accounts *accounts = self;
	uint64_t whose;
	struct account_key *key = account_key_read(row, body, &whose, failure);
	if (key == NULL)
		return false;
	struct account *account = account_table_by_row(accounts->table, whose);
	if (account && whose == owner && account_table_add_key(accounts->table, account, key))
		return true;
	account_key_destroy(key);
	return failure_set(failure, "a device key is twice there, or belongs to no account");
}

static bool load(struct accounts *accounts, struct failure *failure)
{
	const struct vault_visitor account = {accounts, take_account};
	const struct vault_visitor key = {accounts, take_key};
	struct vault *vault = accounts->setup.vault;
	if (!vault_load(vault, VAULT_ACCOUNT, &account, failure) ||
	    !vault_load(vault, VAULT_DEVICE_KEY, &key, failure))
		return failure_context(failure, "accounts");
	accounts_note_ends(accounts);
	return true;
}

static bool get_keys(struct accounts *accounts, struct failure *failure)
{
	struct keyring *keyring = accounts->setup.keyring;
	return (keyring_get(keyring, KEY_EMAIL_INDEX, 0, accounts->address_key) &&
		keyring_get(keyring, KEY_RECOVERY, 0, accounts->recovery_key)) ||
	       failure_set(failure, "accounts: a key of this installation is not in keys.slots");
}

struct accounts *accounts_open(const struct accounts_setup *setup, struct failure *failure)
{
	struct accounts *accounts = calloc(1, sizeof *accounts);
	must(accounts);
	accounts->setup = *setup;
	accounts->work = password_work_of(setup->cost);
	accounts->memory_kib = setup->cost.memory_kib;
	accounts->next_end_s = UINT64_MAX;
	ageing_begin(&accounts->ageing, moment_now());
	ageing_know(&accounts->ageing, setup->known_s);
	accounts->table = account_table_create();
	must(pthread_mutex_init(&accounts->changing, NULL) == 0);
	must(pthread_mutex_init(&accounts->lock, NULL) == 0);
	if (get_keys(accounts, failure) && load(accounts, failure))
		return accounts;
	accounts_destroy(accounts);
	return NULL;
}

void accounts_destroy(struct accounts *accounts)
{
	if (accounts == NULL)
		return;
	account_table_destroy(accounts->table);
	accounts_forget_codes(accounts);
	accounts_forget_partings(accounts);
	pthread_mutex_destroy(&accounts->lock);
	pthread_mutex_destroy(&accounts->changing);
	explicit_bzero(accounts, sizeof *accounts);
	free(accounts);
}

/* ---- shared ---- */

void accounts_note_work(struct accounts *accounts, const struct account *account)
{
	if (!(account->flags & ACCOUNT_HAS_PASSWORD))
		return;
	password_work_include(&accounts->work, &account->password);
	if (account->password.cost.memory_kib > accounts->memory_kib)
		accounts->memory_kib = account->password.cost.memory_kib;
}

uint64_t accounts_time_s(struct accounts *accounts)
{
	return ageing_now_s(&accounts->ageing, moment_now());
}

uint64_t accounts_now_s(struct accounts *accounts)
{
	pthread_mutex_lock(&accounts->lock);
	uint64_t now_s = accounts_time_s(accounts);
	pthread_mutex_unlock(&accounts->lock);
	return now_s;
}

void accounts_note_ends(struct accounts *accounts)
{
	accounts->next_end_s = account_table_next_end(accounts->table, accounts_time_s(accounts));
}

bool accounts_hash_address(const struct accounts *accounts, struct slice address,
			   uint8_t hash[ACCOUNT_HASH_SIZE])
{
	uint8_t lower[ACCOUNT_ADDRESS_MAX];
	size_t len;
	if (!account_lower_address(address, lower, &len))
		return false;
	seal_mac(accounts->address_key, slice_of(lower, len), hash);
	explicit_bzero(lower, sizeof lower);
	return true;
}

bool accounts_hash_password(struct accounts *accounts, struct slice password,
			    struct password_hash *hash, struct failure *failure)
{
	struct password_arena arena;
	if (password.len == 0 || password.len > ACCOUNTS_PASSWORD_MAX)
		return failure_set(failure, "a password has 1 to %u bytes", ACCOUNTS_PASSWORD_MAX);
	if (!password_arena_init(&arena, accounts->setup.cost.memory_kib, failure))
		return false;
	password_make(&arena, accounts->setup.cost, password, hash);
	password_arena_finish(&arena);
	return true;
}

bool accounts_store(struct accounts *accounts, const struct account *next, struct failure *failure)
{
	uint8_t *body = malloc(ACCOUNT_BODY_MAX);
	must(body);
	size_t len = account_write(next, body);
	bool stored = vault_put(accounts->setup.vault, VAULT_ACCOUNT, next->row, next->row,
				slice_of(body, len), failure);
	explicit_bzero(body, len);
	free(body);
	return stored;
}

bool accounts_store_password(struct accounts *accounts, struct account *account,
			     const struct password_hash *hash, struct failure *failure)
{
	struct account next = *account;
	next.flags |= ACCOUNT_HAS_PASSWORD;
	next.password = *hash;
	bool stored = accounts_store(accounts, &next, failure);
	explicit_bzero(&next, sizeof next);
	if (!stored)
		return false;
	pthread_mutex_lock(&accounts->lock);
	account->flags |= ACCOUNT_HAS_PASSWORD;
	account->password = *hash;
	account->password_number = ++accounts->passwords;
	accounts_note_work(accounts, account);
	pthread_mutex_unlock(&accounts->lock);
	return true;
}

size_t accounts_count(struct accounts *accounts)
{
	pthread_mutex_lock(&accounts->lock);
	size_t count = account_table_count(accounts->table);
	pthread_mutex_unlock(&accounts->lock);
	return count;
}
