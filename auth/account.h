/*
 * account.h - accounts and their device keys: what there is of one in RAM, and the bodies of the
 * rows that keep it (storage/vault.h seals them).
 *
 *	account      flags, identity secret, name; keyed hash of the address; password; rights
 *	device key   account (its row), id, SCRAM record, end, scope
 *
 * An account has a random name, "acct-" and 16 letters and digits, by which it logs in with its
 * password; a device key has an id, "key-" and 16 of them, by which a device logs in with the
 * key's secret.  They say nothing about anybody.  Names of these two forms are nobody else's.
 *
 * The e-mail address is kept as a keyed hash of its lower-cased form only, to be found again by who
 * knows it.
 *
 * Ownership: account_create() gives, and account_destroy() takes with the keys; both wipe.
 * Failure: a body that is not one, as a sentence; it holds nothing of the body.
 * Thread: any; an account belongs to whoever has the lock of its table.
 */
#ifndef AUTH_ACCOUNT_H
#define AUTH_ACCOUNT_H

#include "auth/account_rights.h"
#include "auth/password.h"
#include "auth/scram.h"

#define ACCOUNT_CHANCE	    16u /* characters of 5 random bits */
#define ACCOUNT_PREFIX	    "acct-"
#define ACCOUNT_KEY_PREFIX  "key-"
#define ACCOUNT_NAME_SIZE   (sizeof ACCOUNT_PREFIX + ACCOUNT_CHANCE) /* with the zero */
#define ACCOUNT_ID_SIZE	    (sizeof ACCOUNT_KEY_PREFIX + ACCOUNT_CHANCE)
#define ACCOUNT_SECRET_SIZE 32u
#define ACCOUNT_HASH_SIZE   32u
#define ACCOUNT_ADDRESS_MAX 254u /* RFC 5321, erratum 1690 */

enum account_flag {
	ACCOUNT_DISABLED = 1,	  /* may not log in */
	ACCOUNT_NO_STATS = 2,	  /* objected: not in aggregates */
	ACCOUNT_RESTRICTED = 4,	  /* restricted: no route rows */
	ACCOUNT_HAS_ADDRESS = 8,  /* `address` is one */
	ACCOUNT_HAS_PASSWORD = 16 /* `password` is one; else device keys only */
};

struct account_key {
	struct account_key *next;
	uint64_t row;
	char id[ACCOUNT_ID_SIZE];
	struct scram_record record;
	uint64_t ends_s;	      /* seconds since 1970; 0: never */
	struct account_rights *scope; /* what it may of what the account may; NULL: all of it */
};

struct account {
	uint64_t row;
	char name[ACCOUNT_NAME_SIZE];
	unsigned flags;
	uint8_t secret[ACCOUNT_SECRET_SIZE]; /* pseudonyms are made with it */
	uint8_t address[ACCOUNT_HASH_SIZE];
	struct password_hash password;
	uint32_t password_number;      /* of its table, in RAM only: another one for another one */
	struct account_rights *rights; /* NULL: there never were any */
	struct account_key *keys;
	uint32_t key_count;
};

/* ---- names and addresses ---- */

/* Random ones; `name` of ACCOUNT_NAME_SIZE, `id` of ACCOUNT_ID_SIZE. */
void account_make_name(char name[ACCOUNT_NAME_SIZE]);
void account_make_id(char id[ACCOUNT_ID_SIZE]);

/* Could the name be that of an account or the id of a key?  Whether it is does not matter. */
bool account_is_name(struct slice name);
bool account_is_id(struct slice name);

/*
 * An e-mail address, lower-cased into `lower` (not ended by a zero).  False when it is not one that
 * mail can be sent to: one @ with something before and after it, no blank or control character.
 */
bool account_lower_address(struct slice address, uint8_t lower[ACCOUNT_ADDRESS_MAX], size_t *len);

/* ---- life ---- */

/* A new one: random name, row and secret; no address, password, rights or keys.  Gives. */
struct account *account_create(void);
/* A new key with its secret (ended by a zero): nothing of the secret stays here.  Gives. */
#define ACCOUNT_KEY_SECRET_SIZE 44u
struct account_key *account_key_create(char secret[ACCOUNT_KEY_SECRET_SIZE]);

void account_destroy(struct account *account);
void account_key_destroy(struct account_key *key);

/* ---- rows ---- */

#define ACCOUNT_BODY_MAX (ACCOUNT_RIGHTS_MAX + 1024u)

/* Gives the length. */
size_t account_write(const struct account *account, uint8_t body[ACCOUNT_BODY_MAX]);
size_t account_key_write(const struct account_key *key, uint64_t account,
			 uint8_t body[ACCOUNT_BODY_MAX]);

/* Gives one, or NULL. */
struct account *account_read(uint64_t row, struct slice body, struct failure *failure);
/* `*account` is the row of the key's account. */
struct account_key *account_key_read(uint64_t row, struct slice body, uint64_t *account,
				     struct failure *failure);

#endif
