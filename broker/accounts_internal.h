/*
 * accounts_internal.h - what the files accounts*.c share.
 *
 * Thread: see accounts.h.  Who holds `changing` may read the table without `lock`.
 */
#ifndef BROKER_ACCOUNTS_INTERNAL_H
#define BROKER_ACCOUNTS_INTERNAL_H

#include "broker/accounts.h"
#include "broker/ageing.h"
#include "storage/seal.h"
#include <pthread.h>

/* A code under way; in RAM only. */
struct recovery {
	struct recovery *next;
	uint64_t account; /* row */
	uint64_t made_ms;
	uint32_t tries;		    /* that are left */
	uint8_t code[SEAL_KEY_LEN]; /* its keyed hash */
};

/* A deletion whose key could not be destroyed; in RAM only. */
struct parting {
	struct parting *next;
	uint64_t account; /* row */
	char name[ACCOUNT_NAME_SIZE];
};

struct accounts {
	struct accounts_setup setup;
	pthread_mutex_t changing;
	pthread_mutex_t lock;
	struct account_table *table;
	struct password_work work; /* covers all that ever were, and new ones */
	uint32_t memory_kib;
	uint32_t passwords;	     /* number of the last one that was set */
	uint64_t next_end_s;	     /* of a key that is there, or was; UINT64_MAX: none */
	struct ageing ageing;	     /* the time by which they end; under `lock` */
	struct recovery *recoveries; /* under `changing` */
	struct parting *partings;    /* likewise */
	uint8_t address_key[SEAL_KEY_LEN];
	uint8_t recovery_key[SEAL_KEY_LEN];
};

/* Its keyed hash; false: it is none. */
bool accounts_hash_address(const struct accounts *accounts, struct slice address,
			   uint8_t hash[ACCOUNT_HASH_SIZE]);

/* Hashes a password, in memory that it takes for that. */
bool accounts_hash_password(struct accounts *accounts, struct slice password,
			    struct password_hash *hash, struct failure *failure);

/* Under `changing`: puts what the account shall be (a shallow copy) into the vault. */
bool accounts_store(struct accounts *accounts, const struct account *next, struct failure *failure);

/* Under `changing`: another password; its number changes. */
bool accounts_store_password(struct accounts *accounts, struct account *account,
			     const struct password_hash *hash, struct failure *failure);

/* Under `lock`. */
uint64_t accounts_time_s(struct accounts *accounts);

/* Under both; looks at all keys. */
void accounts_note_ends(struct accounts *accounts);
void accounts_note_work(struct accounts *accounts, const struct account *account);

void accounts_forget_codes(struct accounts *accounts);
void accounts_forget_partings(struct accounts *accounts);

#endif
