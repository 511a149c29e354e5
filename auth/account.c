/* account.c - see account.h. */
#include "auth/account.h"
#include "proto/utf8.h"
#include "proto/wire.h"
#include "storage/seal.h"
#include <sodium.h>
#include <stdlib.h>

#define FORMAT 1u /* of both bodies; the first byte */

/* In a body only: are there rights, though perhaps without a line? */
#define HAS_RIGHTS 32u
#define ALL_FLAGS  63u

/* ---- names and addresses ---- */

/* Crockford's base 32: no i, l, o, u. */
static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

static void make_name(const char *prefix, char *name)
{
	uint8_t chance[ACCOUNT_CHANCE];
	size_t len = strlen(prefix);
	seal_random(chance, sizeof chance);
	memcpy(name, prefix, len);
	for (size_t i = 0; i < ACCOUNT_CHANCE; i++)
		name[len + i] = digits[chance[i] & 31];
	name[len + ACCOUNT_CHANCE] = '\0';
}

void account_make_name(char name[ACCOUNT_NAME_SIZE])
{
	make_name(ACCOUNT_PREFIX, name);
}

void account_make_id(char id[ACCOUNT_ID_SIZE])
{
	make_name(ACCOUNT_KEY_PREFIX, id);
}

static bool has_form(struct slice name, const char *prefix)
{
	size_t len = strlen(prefix);
	if (name.len != len + ACCOUNT_CHANCE || memcmp(name.at, prefix, len) != 0)
		return false;
	for (size_t i = len; i < name.len; i++)
		if (name.at[i] == '\0' || strchr(digits, name.at[i]) == NULL)
			return false;
	return true;
}

bool account_is_name(struct slice name)
{
	return has_form(name, ACCOUNT_PREFIX);
}

bool account_is_id(struct slice name)
{
	return has_form(name, ACCOUNT_KEY_PREFIX);
}

bool account_lower_address(struct slice address, uint8_t lower[ACCOUNT_ADDRESS_MAX], size_t *len)
{
	size_t at_signs = 0;
	if (address.len < 3 || address.len > ACCOUNT_ADDRESS_MAX || address.at[0] == '@' ||
	    address.at[address.len - 1] == '@' || !utf8_valid(address))
		return false;
	for (size_t i = 0; i < address.len; i++) {
		uint8_t c = address.at[i];
		if (c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == ',' || c == ';')
			return false;
		at_signs += c == '@';
		lower[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
	}
	*len = address.len;
	return at_signs == 1;
}

/* ---- life ---- */

struct account *account_create(void)
{
	struct account *account = calloc(1, sizeof *account);
	must(account);
	seal_random(&account->row, sizeof account->row);
	seal_random(account->secret, sizeof account->secret);
	account_make_name(account->name);
	return account;
}

struct account_key *account_key_create(char secret[ACCOUNT_KEY_SECRET_SIZE])
{
	uint8_t chance[32], salt[SCRAM_SALT_SIZE];
	struct account_key *key = calloc(1, sizeof *key);
	must(key);
	_Static_assert(ACCOUNT_KEY_SECRET_SIZE ==
			   sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
		       "256 bits");
	seal_random(&key->row, sizeof key->row);
	seal_random(chance, sizeof chance);
	seal_random(salt, sizeof salt);
	account_make_id(key->id);
	sodium_bin2base64(secret, ACCOUNT_KEY_SECRET_SIZE, chance, sizeof chance,
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	scram_record_make(slice_text(secret), salt, SCRAM_ITERATIONS, &key->record);
	sodium_memzero(chance, sizeof chance);
	return key;
}

void account_key_destroy(struct account_key *key)
{
	if (key == NULL)
		return;
	account_rights_leave(key->scope);
	sodium_memzero(key, sizeof *key);
	free(key);
}

void account_destroy(struct account *account)
{
	if (account == NULL)
		return;
	for (struct account_key *key = account->keys, *next; key; key = next) {
		next = key->next;
		account_key_destroy(key);
	}
	account_rights_leave(account->rights);
	sodium_memzero(account, sizeof *account);
	free(account);
}

/* ---- writing rows ---- */

static void write_u64(struct writer *w, uint64_t value)
{
	write_u32(w, (uint32_t)(value >> 32));
	write_u32(w, (uint32_t)value);
}

static struct slice text_of(const struct account_rights *rights)
{
	return rights ? account_rights_text(rights) : SLICE_NONE;
}

size_t account_write(const struct account *account, uint8_t body[ACCOUNT_BODY_MAX])
{
	struct writer w = writer_of(body, ACCOUNT_BODY_MAX);
	char password[PASSWORD_TEXT_MAX] = "";
	if (account->flags & ACCOUNT_HAS_PASSWORD)
		password_write(&account->password, password);
	write_u8(&w, FORMAT);
	write_u8(&w, (uint8_t)(account->flags | (account->rights ? HAS_RIGHTS : 0)));
	write_bytes(&w, slice_of(account->secret, sizeof account->secret));
	write_bytes(&w, slice_of(account->address, sizeof account->address));
	write_binary(&w, slice_text(account->name));
	write_binary(&w, slice_text(password));
	write_binary(&w, text_of(account->rights));
	sodium_memzero(password, sizeof password);
	must(!w.full);
	return (size_t)(w.at - body);
}

size_t account_key_write(const struct account_key *key, uint64_t account,
			 uint8_t body[ACCOUNT_BODY_MAX])
{
	struct writer w = writer_of(body, ACCOUNT_BODY_MAX);
	write_u8(&w, FORMAT);
	write_u8(&w, key->scope ? HAS_RIGHTS : 0);
	write_u64(&w, account);
	write_u64(&w, key->ends_s);
	write_u32(&w, key->record.iterations);
	write_bytes(&w, slice_of(key->record.salt, SCRAM_SALT_SIZE));
	write_bytes(&w, slice_of(key->record.stored_key, SCRAM_KEY_SIZE));
	write_bytes(&w, slice_of(key->record.server_key, SCRAM_KEY_SIZE));
	write_binary(&w, slice_text(key->id));
	write_binary(&w, text_of(key->scope));
	must(!w.full);
	return (size_t)(w.at - body);
}

/* ---- reading rows ---- */

static uint64_t read_u64(struct reader *r)
{
	uint64_t high = read_u32(r);
	return high << 32 | read_u32(r);
}

/* Of exactly so many bytes, or zeroes where the body ended before. */
static void read_into(struct reader *r, uint8_t *at, size_t len)
{
	struct slice bytes = read_bytes(r, len);
	if (bytes.len == len)
		memcpy(at, bytes.at, len);
}

static void read_name(struct reader *r, bool (*is_one)(struct slice), char *name)
{
	struct slice text = read_binary(r);
	if (text.at == NULL || !is_one(text)) {
		reader_fail(r);
		return;
	}
	memcpy(name, text.at, text.len);
	name[text.len] = '\0';
}

/* False when there should be some and they cannot be read: that may not become "all topics". */
static bool read_rights(struct reader *r, unsigned flags, struct account_rights **rights)
{
	struct slice text = read_binary(r);
	struct failure ours;
	if (!(flags & HAS_RIGHTS))
		return text.len == 0;
	*rights = r->bad ? NULL : account_rights_read(text, &ours);
	return *rights != NULL;
}

static bool read_password(struct reader *r, struct account *account)
{
	struct slice text = read_binary(r);
	const char *wrong;
	return account->flags & ACCOUNT_HAS_PASSWORD
		   ? password_read(text, &account->password, &wrong)
		   : text.len == 0;
}

struct account *account_read(uint64_t row, struct slice body, struct failure *failure)
{
	struct reader r = reader_of(body);
	struct account *account = calloc(1, sizeof *account);
	must(account);
	unsigned format = read_u8(&r), flags = read_u8(&r);
	account->row = row;
	account->flags = flags & ~HAS_RIGHTS;
	read_into(&r, account->secret, sizeof account->secret);
	read_into(&r, account->address, sizeof account->address);
	read_name(&r, account_is_name, account->name);
	if (format == FORMAT && flags <= ALL_FLAGS && read_password(&r, account) &&
	    read_rights(&r, flags, &account->rights) && reader_done(&r))
		return account;
	account_destroy(account);
	failure_set(failure, "an account's record is not one of this version");
	return NULL;
}

struct account_key *account_key_read(uint64_t row, struct slice body, uint64_t *account,
				     struct failure *failure)
{
	struct reader r = reader_of(body);
	struct account_key *key = calloc(1, sizeof *key);
	must(key);
	unsigned format = read_u8(&r), flags = read_u8(&r);
	key->row = row;
	*account = read_u64(&r);
	key->ends_s = read_u64(&r);
	key->record.iterations = read_u32(&r);
	read_into(&r, key->record.salt, SCRAM_SALT_SIZE);
	read_into(&r, key->record.stored_key, SCRAM_KEY_SIZE);
	read_into(&r, key->record.server_key, SCRAM_KEY_SIZE);
	read_name(&r, account_is_id, key->id);
	bool whole = format == FORMAT && (flags & ~HAS_RIGHTS) == 0 &&
		     read_rights(&r, flags, &key->scope) && reader_done(&r);
	if (whole && key->record.iterations >= SCRAM_ITERATIONS)
		return key;
	account_key_destroy(key);
	failure_set(failure, "a device key's record is not one of this version");
	return NULL;
}
