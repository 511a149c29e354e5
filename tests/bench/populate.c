/*
 * populate.c - a data directory with many accounts and sessions, for tests/bench/million: rows as
 * the broker writes them, without a million runs of Argon2 and a million connections.
 *
 *	populate DIRECTORY ACCOUNTS SESSIONS
 *
 * Session N has the client identifier "client-N" and one subscription; it belongs to account N
 *where there is one, else to nobody.  The names of the first NAMES accounts are printed, one a
 *line. The password of all is "password", hashed once, as cheaply as Argon2id can be.
 */
#include "auth/account.h"
#include "auth/auth.h"
#include "storage/lmdb_store.h"
#include "tests/lib/rows.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NAMES	1000u
#define AT_ONCE 5000u

static struct keyring *keyring;
static struct vault *vault;
static struct store *store;
static struct failure failure;
static struct password_hash password;
static uint64_t first_row;

static void require(bool done)
{
	if (done)
		return;
	fprintf(stderr, "%s\n", failure.text);
	exit(1);
}

static void hash_password(void)
{
	const struct password_cost cost = {.memory_kib = 8, .passes = 1, .lanes = 1};
	struct password_arena arena;

	require(password_arena_init(&arena, cost.memory_kib, &failure));
	password_make(&arena, cost, slice_text("password"), &password);
	password_arena_finish(&arena);
}

/* Accounts first to end, one at least; their rows go to `rows`. */
static void put_accounts(unsigned first, unsigned end, uint64_t *rows)
{
	static uint8_t bodies[AT_ONCE][512];
	static struct vault_op ops[AT_ONCE];
	static uint8_t body[ACCOUNT_BODY_MAX];

	for (unsigned i = first; i < end; i++) {
		struct account *account = account_create();

		do
			account->row = vault_new_row(vault);
		while (auth_owner_number(account->row) != account->row);
		account->flags = ACCOUNT_HAS_PASSWORD | ACCOUNT_HAS_ADDRESS;
		account->password = password;
		seal_random(account->address, sizeof(account->address));
		const size_t len = account_write(account, body);

		must(len <= sizeof(bodies[0]));
		memcpy(bodies[i - first], body, len);
		ops[i - first] = (struct vault_op){VAULT_PUT, VAULT_ACCOUNT, account->row,
						   account->row, slice_of(bodies[i - first], len)};
		rows[i - first] = account->row;
		if (i < NAMES)
			puts(account->name);
		account_destroy(account);
	}
	require(vault_commit(vault, ops, end - first, &failure));
}

/* `accounts`: the rows of those that they belong to; 0: nobody. */
static void put_sessions(unsigned first, unsigned end, const uint64_t *accounts)
{
	static struct store_op ops[2 * AT_ONCE];
	static char names[AT_ONCE][32];
	static char filters[AT_ONCE][32];
	size_t count = 0;

	for (unsigned i = first; i < end; i++) {
		const uint64_t row = first_row + 2 * (uint64_t)i;

		snprintf(names[i - first], sizeof(names[0]), "client-%u", i);
		snprintf(filters[i - first], sizeof(filters[0]), "to/client-%u/+", i);
		ops[count] = rows_session(row, slice_text(names[i - first]));
		ops[count].session.connected = false;
		ops[count].session.expiry_s = 86400;
		ops[count].session.since_s = (uint64_t)time(NULL);
		if (accounts[i - first] != 0)
			ops[count].session.owner =
			    auth_owner(IDENTITY_ACCOUNT, accounts[i - first]);
		count++;
		ops[count++] = rows_subscription(row + 1, row, slice_text(filters[i - first]));
	}
	require(rows_commit(store, ops, count, &failure));
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static void populate(unsigned accounts, unsigned sessions)
{
	const unsigned all = accounts > sessions ? accounts : sessions;

	for (unsigned first = 0; first < all; first += AT_ONCE) {
		uint64_t rows[AT_ONCE] = {0};

		if (first < accounts)
			put_accounts(first, least(accounts, first + AT_ONCE), rows);
		if (first < sessions)
			put_sessions(first, least(sessions, first + AT_ONCE), rows);
	}
}

int main(int argc, char **argv)
{
	bool put_aside;

	if (argc != 4) {
		fprintf(stderr, "usage: populate DIRECTORY ACCOUNTS SESSIONS\n");
		return 2;
	}
	const int directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(directory >= 0);
	keyring = keyring_open(&(struct keyring_options){.directory = directory}, &failure);
	close(directory);
	require(keyring != NULL);
	vault = vault_open(
	    &(struct vault_options){argv[1], DURABILITY_PROCESS, keyring, (uint64_t)time(NULL)},
	    &put_aside, &failure);
	require(vault != NULL);
	store = lmdb_store_open(vault, &failure);
	require(store != NULL);
	seal_random(&first_row, sizeof(first_row));
	hash_password();
	populate((unsigned)strtoul(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10));
	store_close(store);
	vault_close(vault);
	keyring_close(keyring);
	return 0;
}
