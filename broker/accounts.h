/*
 * accounts.h - the accounts of this broker: in RAM for whoever asks at the door, in the vault for
 * the next start.  auth/account.h has what one is, docs/accounts.md what people do with them.
 *
 * Every change is in the vault before it is in force; what failed has not happened.  A deletion
 * returns when the key of the account's rows is destroyed, so that they are gone from the disk.
 *
 * An e-mail address comes in as it is written, is lower-cased and hashed with the installation's
 * key, and wiped.  It is in no answer.
 *
 * Recovery: a code for who has forgotten the password, 8 letters and digits, good for
 * ACCOUNTS_CODE_MS and ACCOUNTS_CODE_TRIES; codes are in RAM only.  Right, wrong and unknown take
 * the same time: the new password is hashed before anything is looked up.
 *
 * Device keys end by the time by which data ages (ageing.h): a clock that is set back brings none
 * back.
 *
 * Ownership: accounts_open() gives; vault and keyring are borrowed.  Slices are borrowed for the
 * call.
 * Failure: a sentence for the operator, without an address, name or password.
 * Thread: any, but for open and destroy.  `lock` guards the table and is held for moments;
 * `changing` is held while something is written, by one at a time.
 */
#ifndef BROKER_ACCOUNTS_H
#define BROKER_ACCOUNTS_H

#include "auth/account_table.h"
#include "auth/token.h"
#include "storage/vault.h"

#define ACCOUNTS_PASSWORD_MAX 65535u /* of MQTT */

/* A change of an account seals the rows of all its device keys anew, while others wait. */
#define ACCOUNTS_KEYS_MAX 10000u

struct accounts;

struct accounts_setup {
	struct vault *vault;
	struct keyring *keyring;
	struct password_cost cost; /* of new passwords */
	uint64_t known_s;	   /* it was at least so late already: ageing_know() */
	uint32_t keys_max;	   /* device keys of one account */
};

/* Loads all of them. */
struct accounts *accounts_open(const struct accounts_setup *setup, struct failure *failure);
void accounts_destroy(struct accounts *accounts);

size_t accounts_count(struct accounts *accounts);

/* The time by which keys end, in seconds since 1970. */
uint64_t accounts_now_s(struct accounts *accounts);

/* ---- at the door: accounts_login.c ---- */

/* The memory that the dearest stored password needs. */
uint32_t accounts_memory_kib(struct accounts *accounts);
/* What a check has to cost so that it tells nothing: raises *work. */
void accounts_include_work(struct accounts *accounts, struct password_work *work);

/* Who came in. */
struct account_visitor {
	uint64_t account;  /* row */
	uint64_t key;	   /* row of the device key; 0: by the password */
	uint32_t password; /* number of the password, which is another one after each change */
	bool right; /* of accounts_check(): the secret was the one, whether or not it lets in */
};

/*
 * Does the password of the account of this name, or the secret of the key of this id, let in? Whose
 * it would be is in *visitor also when it does not; nobody's leaves it as it was.  `name` is of one
 * of the two forms; unknown, disabled, ended and wrong take the same time.
 */
bool accounts_check(struct accounts *accounts, struct password_arena *arena,
		    const struct password_work *work, struct slice name, struct slice password,
		    struct account_visitor *visitor);

/* What a key that may log in now is checked by; for SCRAM. */
bool accounts_find_key(struct accounts *accounts, struct slice id, struct scram_record *record,
		       struct account_visitor *visitor);

/* Who logs in by this name now, if it can prove to be that: an account with a password, or a key.
 */
bool accounts_visitor(struct accounts *accounts, struct slice name,
		      struct account_visitor *visitor);

/* What its session tokens are bound to.  False: it may not be here any more. */
bool accounts_bind(struct accounts *accounts, const struct account_visitor *visitor,
		   struct token_binding *binding);

/* What a visitor is now. */
struct account_view {
	char name[ACCOUNT_NAME_SIZE];
	unsigned flags;
	struct account_rights *rights; /* held, or NULL */
	struct account_rights *scope;  /* likewise */
};

/* False: it may not be here any more. */
bool accounts_view(struct accounts *accounts, const struct account_visitor *visitor,
		   struct account_view *view);

/* Is there such an account, and is it not disabled? */
bool accounts_may_log_in(struct accounts *accounts, uint64_t row);

/*
 * Who a client of this account is in route rows (hour_keys.h).  False: there is no such account, or
 * its person objected or restricted: no row is to be about it.
 */
bool accounts_identify(struct accounts *accounts, uint64_t row, struct slice client_id,
		       uint8_t identity[SEAL_KEY_LEN]);

/* Who it was in rows that are kept of it, whatever its person said since: for its person's export.
 */
bool accounts_recognise(struct accounts *accounts, uint64_t row, struct slice client_id,
			uint8_t identity[SEAL_KEY_LEN]);

/* Is there such an account? */
bool accounts_has(struct accounts *accounts, uint64_t row);

/* Has the time of a key come since this was last asked?  It may be one that is gone. */
bool accounts_key_ended(struct accounts *accounts);

/* ---- for the operator: accounts_admin.c ---- */

struct accounts_new {
	struct slice address;	       /* empty: none */
	struct slice password;	       /* empty: none, device keys only */
	struct account_rights *rights; /* taken; NULL: none */
};

bool accounts_create(struct accounts *accounts, const struct accounts_new *new,
		     char name[ACCOUNT_NAME_SIZE], struct failure *failure);

/* Calls back under the lock: for each, or for the one of this name (false: there is none). */
typedef void accounts_teller(void *self, const struct account *account);
void accounts_each(struct accounts *accounts, void *self, accounts_teller *call);
bool accounts_tell(struct accounts *accounts, struct slice name, void *self, accounts_teller *call,
		   struct failure *failure);

/* From a name to the row, and back; false: there is no such account (any more). */
bool accounts_row(struct accounts *accounts, struct slice name, uint64_t *row);
bool accounts_name(struct accounts *accounts, uint64_t row, char name[ACCOUNT_NAME_SIZE]);

/* The name of the account with this address. */
bool accounts_find(struct accounts *accounts, struct slice address, char name[ACCOUNT_NAME_SIZE],
		   struct failure *failure);

/*
 * Of enum account_flag: ACCOUNT_DISABLED, ACCOUNT_NO_STATS, ACCOUNT_RESTRICTED.  With
 * ACCOUNT_NO_STATS the account gets another identity secret: the route rows that there are of it
 * are nobody's from then on.
 */
bool accounts_set_flag(struct accounts *accounts, struct slice name, unsigned flag, bool on,
		       struct failure *failure);

/* False when another account has it. */
bool accounts_set_address(struct accounts *accounts, struct slice name, struct slice address,
			  struct failure *failure);

/*
 * The same for the person, who is not to learn whose an address is: where another account has it,
 * this one is found by no address from then on.  Nothing but accounts_find() tells which it was.
 */
bool accounts_claim_address(struct accounts *accounts, struct slice name, struct slice address,
			    struct failure *failure);

/* Who logged in with the password of before has to do it again. */
bool accounts_set_password(struct accounts *accounts, struct slice name, struct slice password,
			   struct failure *failure);

bool accounts_grant(struct accounts *accounts, struct slice name, const char *access,
		    struct slice filter, struct failure *failure);
bool accounts_withdraw(struct accounts *accounts, struct slice name, struct slice filter,
		       struct failure *failure);

/*
 * Its keys go too.  *row is what its sessions are known by (auth_owner()); 0: the account is there
 * still.  False and another *row: it is nowhere any more, but the key of its rows could not be
 * destroyed.  Asked again by the same name, also when a job has destroyed that meanwhile, this
 * gives what comes of it.
 */
bool accounts_delete(struct accounts *accounts, struct slice name, uint64_t *row,
		     struct failure *failure);

/* `scope` is taken; NULL: all that the account may.  False also where it has keys_max of them. */
bool accounts_add_key(struct accounts *accounts, struct slice name, uint64_t ends_s,
		      struct account_rights *scope, char id[ACCOUNT_ID_SIZE],
		      char secret[ACCOUNT_KEY_SECRET_SIZE], struct failure *failure);
bool accounts_revoke_key(struct accounts *accounts, struct slice id, struct failure *failure);

/* ---- recovery: accounts_recovery.c ---- */

#define ACCOUNTS_CODE_SIZE   9u /* with the zero */
#define ACCOUNTS_CODE_MS     900000u
#define ACCOUNTS_CODE_TRIES  5u
#define ACCOUNTS_CODE_GAP_MS 60000u /* no other code for the same account before */

/*
 * A new code for the account with this address.  False: no code is to be sent, because there is no
 * such account, it is disabled, or its last code is younger than ACCOUNTS_CODE_GAP_MS; nobody may
 * be told which.
 */
bool accounts_make_code(struct accounts *accounts, struct slice address, uint64_t now_ms,
			char code[ACCOUNTS_CODE_SIZE]);

/* Sets the password; whatever is not right gives the same sentence. */
bool accounts_use_code(struct accounts *accounts, struct slice address, struct slice code,
		       struct slice password, uint64_t now_ms, struct failure *failure);

#endif
