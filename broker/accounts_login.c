/* accounts_login.c - accounts and device keys at the door: accounts.h. */
#include "broker/accounts_internal.h"

uint32_t accounts_memory_kib(struct accounts *accounts)
{
	pthread_mutex_lock(&accounts->lock);
	uint32_t memory_kib = accounts->memory_kib;
	pthread_mutex_unlock(&accounts->lock);
	return memory_kib;
}

void accounts_include_work(struct accounts *accounts, struct password_work *work)
{
	pthread_mutex_lock(&accounts->lock);
	if (accounts->work.kib_passes > work->kib_passes)
		work->kib_passes = accounts->work.kib_passes;
	pthread_mutex_unlock(&accounts->lock);
}

/* Under `lock`. */
static bool has_ended(struct accounts *accounts, const struct account_key *key)
{
	return key->ends_s != 0 && key->ends_s <= accounts_time_s(accounts);
}

/* ---- passwords ---- */

struct stored_password {
	bool there; /* the account is, and has a password */
	bool disabled;
	struct password_hash hash;
	struct account_visitor visitor;
};

static struct stored_password look_up(struct accounts *accounts, struct slice name)
{
	struct stored_password stored = {0};
	pthread_mutex_lock(&accounts->lock);
	const struct account *account = account_table_by_name(accounts->table, name);
	if (account && account->flags & ACCOUNT_HAS_PASSWORD)
		stored = (struct stored_password){
		    .there = true,
		    .disabled = account->flags & ACCOUNT_DISABLED,
		    .hash = account->password,
		    .visitor = {.account = account->row, .password = account->password_number}};
	pthread_mutex_unlock(&accounts->lock);
	return stored;
}

static bool same_cost(struct password_cost a, struct password_cost b)
{
	return a.memory_kib == b.memory_kib && a.passes == b.passes && a.lanes == b.lanes;
}

/* argon2_memory or argon2_time are not what they were: at the next log-in, as far as it goes. */
static void hash_anew(struct accounts *accounts, struct password_arena *arena,
		      const struct stored_password *stored, struct slice password)
{
	struct password_hash hash;
	struct failure ignored; /* the one of before does as well */
	password_make(arena, accounts->setup.cost, password, &hash);
	pthread_mutex_lock(&accounts->changing);
	struct account *account = account_table_by_row(accounts->table, stored->visitor.account);
	if (account && account->password_number == stored->visitor.password) {
		struct account next = *account;
		next.password = hash;
		if (accounts_store(accounts, &next, &ignored)) {
			pthread_mutex_lock(&accounts->lock);
			account->password = hash;
			accounts_note_work(accounts, account);
			pthread_mutex_unlock(&accounts->lock);
		}
		explicit_bzero(&next, sizeof next);
	}
	pthread_mutex_unlock(&accounts->changing);
	explicit_bzero(&hash, sizeof hash);
}

static bool check_password(struct accounts *accounts, struct password_arena *arena,
			   const struct password_work *work, struct slice name,
			   struct slice password, struct account_visitor *visitor)
{
	struct stored_password stored = look_up(accounts, name);
	bool right = password_check(arena, work, stored.there ? &stored.hash : NULL, password);
	bool in = right && !stored.disabled;
	if (in && !same_cost(stored.hash.cost, accounts->setup.cost))
		hash_anew(accounts, arena, &stored, password);
	if (stored.there) {
		*visitor = stored.visitor;
		visitor->right = right;
	}
	explicit_bzero(&stored, sizeof stored);
	return in;
}

/* ---- device keys ---- */

/* Also one that may not log in, so that it is checked as long. */
static bool find_key(struct accounts *accounts, struct slice id, struct scram_record *record,
		     struct account_visitor *visitor)
{
	struct account *account;
	pthread_mutex_lock(&accounts->lock);
	const struct account_key *key = account_table_key(accounts->table, id, &account);
	bool good = key && !has_ended(accounts, key) && !(account->flags & ACCOUNT_DISABLED);
	if (key) {
		*record = key->record;
		*visitor = (struct account_visitor){.account = account->row, .key = key->row};
	}
	pthread_mutex_unlock(&accounts->lock);
	return good;
}

bool accounts_find_key(struct accounts *accounts, struct slice id, struct scram_record *record,
		       struct account_visitor *visitor)
{
	return find_key(accounts, id, record, visitor);
}

static bool check_key(struct accounts *accounts, struct slice id, struct slice secret,
		      struct account_visitor *visitor)
{
	struct scram_record record = {.iterations = SCRAM_ITERATIONS};
	bool good = find_key(accounts, id, &record, visitor);
	bool right = scram_record_fits(&record, secret);
	visitor->right = right;
	explicit_bzero(&record, sizeof record);
	return right && good;
}

bool accounts_check(struct accounts *accounts, struct password_arena *arena,
		    const struct password_work *work, struct slice name, struct slice password,
		    struct account_visitor *visitor)
{
	return account_is_id(name) ? check_key(accounts, name, password, visitor)
				   : check_password(accounts, arena, work, name, password, visitor);
}

/* ---- who is in ---- */

/* Under `lock`; NULL: it came by its password, or there is no such key any more. */
static const struct account_key *key_of(const struct accounts *accounts,
					const struct account *account,
					const struct account_visitor *visitor)
{
	return visitor->key ? account_table_key_of(accounts->table, account, visitor->key) : NULL;
}

static bool may_be_here(struct accounts *accounts, const struct account *account,
			const struct account_key *key, const struct account_visitor *visitor)
{
	if (account == NULL || account->flags & ACCOUNT_DISABLED)
		return false;
	return visitor->key ? key && !has_ended(accounts, key)
			    : account->password_number == visitor->password;
}

bool accounts_view(struct accounts *accounts, const struct account_visitor *visitor,
		   struct account_view *view)
{
	pthread_mutex_lock(&accounts->lock);
	const struct account *account = account_table_by_row(accounts->table, visitor->account);
	const struct account_key *key = key_of(accounts, account, visitor);
	bool here = may_be_here(accounts, account, key, visitor);
	if (here) {
		*view =
		    (struct account_view){.flags = account->flags,
					  .rights = account_rights_hold(account->rights),
					  .scope = key ? account_rights_hold(key->scope) : NULL};
		memcpy(view->name, account->name, sizeof view->name);
	}
	pthread_mutex_unlock(&accounts->lock);
	return here;
}

bool accounts_may_log_in(struct accounts *accounts, uint64_t row)
{
	pthread_mutex_lock(&accounts->lock);
	const struct account *account = account_table_by_row(accounts->table, row);
	bool may = account && !(account->flags & ACCOUNT_DISABLED);
	pthread_mutex_unlock(&accounts->lock);
	return may;
}

/* Unless it has one of these flags. */
static bool identify(struct accounts *accounts, uint64_t row, unsigned unless,
		     struct slice client_id, uint8_t identity[SEAL_KEY_LEN])
{
	pthread_mutex_lock(&accounts->lock);
	const struct account *account = account_table_by_row(accounts->table, row);
	bool known = account && !(account->flags & unless);
	if (known)
		seal_mac(account->secret, client_id, identity);
	pthread_mutex_unlock(&accounts->lock);
	return known;
}

bool accounts_identify(struct accounts *accounts, uint64_t row, struct slice client_id,
		       uint8_t identity[SEAL_KEY_LEN])
{
	return identify(accounts, row, ACCOUNT_NO_STATS | ACCOUNT_RESTRICTED, client_id, identity);
}

bool accounts_recognise(struct accounts *accounts, uint64_t row, struct slice client_id,
			uint8_t identity[SEAL_KEY_LEN])
{
	return identify(accounts, row, 0, client_id, identity);
}

bool accounts_has(struct accounts *accounts, uint64_t row)
{
	pthread_mutex_lock(&accounts->lock);
	bool there = account_table_by_row(accounts->table, row) != NULL;
	pthread_mutex_unlock(&accounts->lock);
	return there;
}

bool accounts_key_ended(struct accounts *accounts)
{
	pthread_mutex_lock(&accounts->lock);
	bool ended = accounts->next_end_s <= accounts_time_s(accounts);
	if (ended)
		accounts_note_ends(accounts);
	pthread_mutex_unlock(&accounts->lock);
	return ended;
}

/* ---- session tokens ---- */

bool accounts_visitor(struct accounts *accounts, struct slice name, struct account_visitor *visitor)
{
	struct account *account;
	const struct account_key *key = NULL;
	pthread_mutex_lock(&accounts->lock);
	if (account_is_id(name)) {
		key = account_table_key(accounts->table, name, &account);
		account = key ? account : NULL;
	} else {
		account = account_table_by_name(accounts->table, name);
		if (account && !(account->flags & ACCOUNT_HAS_PASSWORD))
			account = NULL;
	}
	if (account)
		*visitor = (struct account_visitor){.account = account->row,
						    .key = key ? key->row : 0,
						    .password = key ? 0 : account->password_number};
	bool there = account && may_be_here(accounts, account, key, visitor);
	pthread_mutex_unlock(&accounts->lock);
	return there;
}

/* Hashed anew, a password is another one here: its tokens have to be asked for again. */
bool accounts_bind(struct accounts *accounts, const struct account_visitor *visitor,
		   struct token_binding *binding)
{
	uint64_t owner = auth_owner(IDENTITY_ACCOUNT, visitor->account);
	pthread_mutex_lock(&accounts->lock);
	const struct account *account = account_table_by_row(accounts->table, visitor->account);
	const struct account_key *key = key_of(accounts, account, visitor);
	bool here = may_be_here(accounts, account, key, visitor);
	if (here)
		*binding = key ? token_binding_of_key(owner, &key->record)
			       : token_binding_of_password(owner, &account->password);
	pthread_mutex_unlock(&accounts->lock);
	return here;
}
