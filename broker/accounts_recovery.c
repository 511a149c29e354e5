/* accounts_recovery.c - codes for who has forgotten the password: accounts.h. */
#include "broker/accounts_internal.h"
#include <stdlib.h>

/* ---- codes under way; under `changing` ---- */

static bool is_over(const struct recovery *recovery, uint64_t now_ms)
{
	return recovery->tries == 0 || now_ms - recovery->made_ms >= ACCOUNTS_CODE_MS;
}

static void forget(struct recovery **at)
{
	struct recovery *recovery = *at;
	must(recovery);
	*at = recovery->next;
	explicit_bzero(recovery, sizeof *recovery);
	free(recovery);
}

/* Those whose time or tries are over go; but one that is young still holds back the next. */
static void forget_old(struct accounts *accounts, uint64_t now_ms)
{
	struct recovery **at = &accounts->recoveries;
	while (*at)
		if (is_over(*at, now_ms) && now_ms - (*at)->made_ms >= ACCOUNTS_CODE_GAP_MS)
			forget(at);
		else
			at = &(*at)->next;
}

void accounts_forget_codes(struct accounts *accounts)
{
	while (accounts->recoveries)
		forget(&accounts->recoveries);
}

/* Where it stands in the list, or the list's end. */
static struct recovery **place_of(struct accounts *accounts, uint64_t account)
{
	struct recovery **at = &accounts->recoveries;
	while (*at && (*at)->account != account)
		at = &(*at)->next;
	return at;
}

/* Under `changing`; NULL: none that may recover. */
static struct account *find(struct accounts *accounts, struct slice address)
{
	uint8_t hash[ACCOUNT_HASH_SIZE];
	if (!accounts_hash_address(accounts, address, hash))
		return NULL;
	struct account *account = account_table_by_address(accounts->table, hash);
	return account && !(account->flags & ACCOUNT_DISABLED) ? account : NULL;
}

/* ---- making one ---- */

static void make_text(char code[ACCOUNTS_CODE_SIZE])
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint8_t chance[ACCOUNTS_CODE_SIZE - 1];
	seal_random(chance, sizeof chance);
	for (size_t i = 0; i < sizeof chance; i++)
		code[i] = digits[chance[i] & 31];
	code[sizeof chance] = '\0';
}

static void remember(struct accounts *accounts, uint64_t account, uint64_t now_ms, const char *code)
{
	struct recovery **at = place_of(accounts, account);
	if (*at)
		forget(at);
	struct recovery *recovery = calloc(1, sizeof *recovery);
	must(recovery);
	*recovery = (struct recovery){.next = accounts->recoveries,
				      .account = account,
				      .made_ms = now_ms,
				      .tries = ACCOUNTS_CODE_TRIES};
	seal_mac(accounts->recovery_key, slice_text(code), recovery->code);
	accounts->recoveries = recovery;
}

bool accounts_make_code(struct accounts *accounts, struct slice address, uint64_t now_ms,
			char code[ACCOUNTS_CODE_SIZE])
{
	make_text(code);
	pthread_mutex_lock(&accounts->changing);
	forget_old(accounts, now_ms);
	const struct account *account = find(accounts, address);
	const struct recovery *last = account ? *place_of(accounts, account->row) : NULL;
	bool makes = account && !(last && now_ms - last->made_ms < ACCOUNTS_CODE_GAP_MS);
	if (makes)
		remember(accounts, account->row, now_ms, code);
	pthread_mutex_unlock(&accounts->changing);
	return makes;
}

/* ---- using one ---- */

/* In a time that does not tell how much of it was right. */
static bool equal(const uint8_t a[SEAL_KEY_LEN], const uint8_t b[SEAL_KEY_LEN])
{
	unsigned differ = 0;
	for (size_t i = 0; i < SEAL_KEY_LEN; i++)
		differ |= (unsigned)(a[i] ^ b[i]);
	return differ == 0;
}

/* Under `changing`: the account whose code that is; a try is used up. */
static struct account *try_code(struct accounts *accounts, struct slice address, struct slice code,
				uint64_t now_ms)
{
	uint8_t hash[SEAL_KEY_LEN];
	struct account *account = find(accounts, address);
	struct recovery *recovery = account ? *place_of(accounts, account->row) : NULL;
	seal_mac(accounts->recovery_key, code, hash);
	if (recovery == NULL || is_over(recovery, now_ms))
		return NULL;
	recovery->tries--;
	return equal(hash, recovery->code) ? account : NULL;
}

/* Under `changing`. */
static bool set_password(struct accounts *accounts, struct account *account,
			 const struct password_hash *hash, struct failure *failure)
{
	if (!accounts_store_password(accounts, account, hash, failure))
		return false;
	forget(place_of(accounts, account->row));
	return true;
}

bool accounts_use_code(struct accounts *accounts, struct slice address, struct slice code,
		       struct slice password, uint64_t now_ms, struct failure *failure)
{
	struct password_hash hash;
	if (!accounts_hash_password(accounts, password, &hash, failure))
		return false;
	pthread_mutex_lock(&accounts->changing);
	forget_old(accounts, now_ms);
	struct account *account = try_code(accounts, address, code, now_ms);
	bool set = account ? set_password(accounts, account, &hash, failure)
			   : failure_set(failure, "the address or the code is not right, or the "
						  "code is used or older than 15 minutes");
	pthread_mutex_unlock(&accounts->changing);
	explicit_bzero(&hash, sizeof hash);
	return set;
}
