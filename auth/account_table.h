/*
 * account_table.h - all accounts and device keys, to be found by name, by row, by the keyed hash of
 * the e-mail address, and by a key's id and row.  It is built in RAM from the rows of the vault; no
 * such index is on disk.
 *
 * Ownership: the table owns its accounts.
 * Failure: account_table_add() and _add_key(), when there is such a one already.
 * Thread: one at a time; its owner has a lock.
 */
#ifndef AUTH_ACCOUNT_TABLE_H
#define AUTH_ACCOUNT_TABLE_H

#include "auth/account.h"

struct account_table;

struct account_table *account_table_create(void);
void account_table_destroy(struct account_table *table);

size_t account_table_count(const struct account_table *table);

/* Takes the account, unless another one has its name, row or address: then it stays the caller's.
 */
bool account_table_add(struct account_table *table, struct account *account);
/* Takes the key, unless there is one with its id or row: likewise. */
bool account_table_add_key(struct account_table *table, struct account *account,
			   struct account_key *key);

/* Take it out with its keys, and destroy. */
void account_table_remove(struct account_table *table, struct account *account);
void account_table_remove_key(struct account_table *table, struct account *account,
			      struct account_key *key);

/* NULL: there is none. */
struct account *account_table_by_name(const struct account_table *table, struct slice name);
struct account *account_table_by_row(const struct account_table *table, uint64_t row);
struct account *account_table_by_address(const struct account_table *table,
					 const uint8_t address[ACCOUNT_HASH_SIZE]);
struct account_key *account_table_key(const struct account_table *table, struct slice id,
				      struct account **account);
/* The account's key of this row. */
const struct account_key *account_table_key_of(const struct account_table *table,
					       const struct account *account, uint64_t row);

/* Another address, or none (NULL); false when it is another account's. */
bool account_table_set_address(struct account_table *table, struct account *account,
			       const uint8_t *address);

/* Calls back for each, in no order. */
void account_table_each(const struct account_table *table, void *self,
			void (*call)(void *self, const struct account *account));

/* The first end of a key after `now_s`; UINT64_MAX: none ends. */
uint64_t account_table_next_end(const struct account_table *table, uint64_t now_s);

#endif
