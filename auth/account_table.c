/* account_table.c - see account_table.h. */
#include "auth/account_table.h"
#include <stdlib.h>

/*
 * FNV-1a.  What is put in is random, and nobody else chooses it; and uthash's own hash, a macro, is
 * more than analysers take in.
 */
static unsigned hash_of(const void *key, size_t len)
{
	const uint8_t *at = key;
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * 16777619u;
	return hash;
}

#define HASH_FUNCTION(key, len, hash) ((hash) = hash_of(key, len))
#include <uthash.h>

/* An account with its places in the indexes. */
struct entry {
	struct account *account;
	UT_hash_handle by_name, by_row, by_address;
};

struct key_entry {
	struct account_key *key;
	struct account *account;
	UT_hash_handle by_id, by_row;
};

struct account_table {
	struct entry *by_name, *by_row, *by_address;
	struct key_entry *key_by_id, *key_by_row;
};

struct account_table *account_table_create(void)
{
	struct account_table *table = calloc(1, sizeof *table);
	must(table);
	return table;
}

size_t account_table_count(const struct account_table *table)
{
	return HASH_CNT(by_name, table->by_name);
}

/* ---- finding ---- */

static struct entry *entry_of_name(const struct account_table *table, struct slice name)
{
	struct entry *entry = NULL;
	if (name.len > 0)
		HASH_FIND(by_name, table->by_name, name.at, name.len, entry);
	return entry;
}

static struct entry *entry_of_row(const struct account_table *table, uint64_t row)
{
	struct entry *entry;
	HASH_FIND(by_row, table->by_row, &row, sizeof row, entry);
	return entry;
}

static struct entry *entry_of_address(const struct account_table *table, const uint8_t *address)
{
	struct entry *entry;
	HASH_FIND(by_address, table->by_address, address, ACCOUNT_HASH_SIZE, entry);
	return entry;
}

static struct key_entry *entry_of_id(const struct account_table *table, struct slice id)
{
	struct key_entry *entry = NULL;
	if (id.len > 0)
		HASH_FIND(by_id, table->key_by_id, id.at, id.len, entry);
	return entry;
}

static struct key_entry *entry_of_key_row(const struct account_table *table, uint64_t row)
{
	struct key_entry *entry;
	HASH_FIND(by_row, table->key_by_row, &row, sizeof row, entry);
	return entry;
}

static struct account *account_of(const struct entry *entry)
{
	return entry ? entry->account : NULL;
}

struct account *account_table_by_name(const struct account_table *table, struct slice name)
{
	return account_of(entry_of_name(table, name));
}

struct account *account_table_by_row(const struct account_table *table, uint64_t row)
{
	return account_of(entry_of_row(table, row));
}

struct account *account_table_by_address(const struct account_table *table,
					 const uint8_t address[ACCOUNT_HASH_SIZE])
{
	return account_of(entry_of_address(table, address));
}

struct account_key *account_table_key(const struct account_table *table, struct slice id,
				      struct account **account)
{
	const struct key_entry *entry = entry_of_id(table, id);
	*account = entry ? entry->account : NULL;
	return entry ? entry->key : NULL;
}

const struct account_key *account_table_key_of(const struct account_table *table,
					       const struct account *account, uint64_t row)
{
	const struct key_entry *entry = entry_of_key_row(table, row);
	return entry && entry->account == account ? entry->key : NULL;
}

/* ---- changing ---- */

static void index_address(struct account_table *table, struct entry *entry)
{
	struct account *account = entry->account;
	if (account->flags & ACCOUNT_HAS_ADDRESS)
		HASH_ADD_KEYPTR(by_address, table->by_address, account->address, ACCOUNT_HASH_SIZE,
				entry);
}

static void unindex_address(struct account_table *table, struct entry *entry)
{
	if (entry->account->flags & ACCOUNT_HAS_ADDRESS)
		HASH_DELETE(by_address, table->by_address, entry);
}

bool account_table_add(struct account_table *table, struct account *account)
{
	if (entry_of_name(table, slice_text(account->name)) || entry_of_row(table, account->row) ||
	    ((account->flags & ACCOUNT_HAS_ADDRESS) && entry_of_address(table, account->address)))
		return false;
	struct entry *entry = calloc(1, sizeof *entry);
	must(entry);
	entry->account = account;
	HASH_ADD_KEYPTR(by_name, table->by_name, account->name, strlen(account->name), entry);
	HASH_ADD_KEYPTR(by_row, table->by_row, &account->row, sizeof account->row, entry);
	index_address(table, entry);
	return true;
}

bool account_table_add_key(struct account_table *table, struct account *account,
			   struct account_key *key)
{
	if (entry_of_id(table, slice_text(key->id)) || entry_of_key_row(table, key->row))
		return false;
	struct key_entry *entry = calloc(1, sizeof *entry);
	must(entry);
	*entry = (struct key_entry){.key = key, .account = account};
	HASH_ADD_KEYPTR(by_id, table->key_by_id, key->id, strlen(key->id), entry);
	HASH_ADD_KEYPTR(by_row, table->key_by_row, &key->row, sizeof key->row, entry);
	key->next = account->keys;
	account->keys = key;
	account->key_count++;
	return true;
}

void account_table_remove_key(struct account_table *table, struct account *account,
			      struct account_key *key)
{
	struct key_entry *entry = entry_of_id(table, slice_text(key->id));
	struct account_key **at = &account->keys;
	must(entry && entry->key == key && entry->account == account);
	while (*at != key)
		at = &(*at)->next;
	*at = key->next;
	account->key_count--;
	HASH_DELETE(by_row, table->key_by_row, entry);
	HASH_DELETE(by_id, table->key_by_id, entry);
	free(entry);
	account_key_destroy(key);
}

void account_table_remove(struct account_table *table, struct account *account)
{
	struct entry *entry = entry_of_row(table, account->row);
	must(entry && entry->account == account);
	while (account->keys)
		account_table_remove_key(table, account, account->keys);
	unindex_address(table, entry);
	HASH_DELETE(by_row, table->by_row, entry);
	HASH_DELETE(by_name, table->by_name, entry);
	free(entry);
	account_destroy(account);
}

bool account_table_set_address(struct account_table *table, struct account *account,
			       const uint8_t *address)
{
	struct entry *entry = entry_of_row(table, account->row);
	const struct entry *other = address ? entry_of_address(table, address) : NULL;
	must(entry);
	if (other && other != entry)
		return false;
	unindex_address(table, entry);
	account->flags &= ~(unsigned)ACCOUNT_HAS_ADDRESS;
	explicit_bzero(account->address, sizeof account->address);
	if (address) {
		memcpy(account->address, address, sizeof account->address);
		account->flags |= ACCOUNT_HAS_ADDRESS;
	}
	index_address(table, entry);
	return true;
}

void account_table_destroy(struct account_table *table)
{
	if (table == NULL)
		return;
	for (struct entry *entry = table->by_name, *next; entry; entry = next) {
		next = entry->by_name.next;
		account_table_remove(table, entry->account);
	}
	free(table);
}

/* ---- all of them ---- */

void account_table_each(const struct account_table *table, void *self,
			void (*call)(void *self, const struct account *account))
{
	for (const struct entry *entry = table->by_name; entry; entry = entry->by_name.next)
		call(self, entry->account);
}

uint64_t account_table_next_end(const struct account_table *table, uint64_t now_s)
{
	uint64_t next_s = UINT64_MAX;
	for (const struct key_entry *entry = table->key_by_id; entry; entry = entry->by_id.next)
		if (entry->key->ends_s > now_s && entry->key->ends_s < next_s)
			next_s = entry->key->ends_s;
	return next_s;
}
