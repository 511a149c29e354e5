/* token.c - see token.h. */
#include "auth/token.h"
#include <sodium.h>

#define CHANCE 32u
#define PREFIX SLICE_LITERAL(TOKEN_PREFIX)

_Static_assert(sizeof TOKEN_PREFIX - 1 + (CHANCE * 4 + 2) / 3 == AUTH_TOKEN_SIZE, "one length");
_Static_assert(AUTH_TOKEN_MAC_SIZE == SEAL_KEY_LEN, "a MAC of SHA-256");

static void add(struct token_binding *binding, const uint8_t *at, size_t len)
{
	must(binding->len + len <= sizeof binding->credential);
	memcpy(binding->credential + binding->len, at, len);
	binding->len += len;
}

struct token_binding token_binding_of_password(uint64_t owner, const struct password_hash *hash)
{
	struct token_binding binding = {.owner = owner};
	add(&binding, hash->salt, hash->salt_len);
	add(&binding, hash->digest, hash->digest_len);
	return binding;
}

struct token_binding token_binding_of_key(uint64_t owner, const struct scram_record *record)
{
	struct token_binding binding = {.owner = owner};
	add(&binding, record->salt, sizeof record->salt);
	add(&binding, record->stored_key, sizeof record->stored_key);
	return binding;
}

bool token_looks_like(struct slice password)
{
	struct slice prefix = PREFIX;
	return password.len == AUTH_TOKEN_SIZE && memcmp(password.at, prefix.at, prefix.len) == 0;
}

void token_make(uint8_t text[AUTH_TOKEN_SIZE])
{
	uint8_t chance[CHANCE];
	char coded[sodium_base64_ENCODED_LEN(CHANCE, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
	struct slice prefix = PREFIX;
	seal_random(chance, sizeof chance);
	sodium_bin2base64(coded, sizeof coded, chance, sizeof chance,
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	memcpy(text, prefix.at, prefix.len);
	memcpy(text + prefix.len, coded, AUTH_TOKEN_SIZE - prefix.len);
	sodium_memzero(chance, sizeof chance);
	sodium_memzero(coded, sizeof coded);
}

/* Each part has a place and a length of its own: none can be taken for another. */
void token_keep(const uint8_t key[SEAL_KEY_LEN], const struct token_binding *binding,
		struct slice client_id, struct slice token, uint8_t kept[AUTH_TOKEN_MAC_SIZE])
{
	struct {
		uint8_t owner[sizeof binding->owner];
		uint8_t credential[SEAL_KEY_LEN];
		uint8_t client_id[SEAL_KEY_LEN];
		uint8_t token[SEAL_KEY_LEN];
	} parts;
	_Static_assert(sizeof parts == 8 + 3 * SEAL_KEY_LEN, "bytes, one after the other");
	memcpy(parts.owner, &binding->owner, sizeof parts.owner);
	seal_mac(key, slice_of(binding->credential, binding->len), parts.credential);
	seal_mac(key, client_id, parts.client_id);
	seal_mac(key, token, parts.token);
	seal_mac(key, slice_of(&parts, sizeof parts), kept);
	sodium_memzero(&parts, sizeof parts);
}

static bool is(const uint8_t kept[AUTH_TOKEN_MAC_SIZE], const uint8_t known[AUTH_TOKEN_MAC_SIZE])
{
	return !sodium_is_zero(known, AUTH_TOKEN_MAC_SIZE) &&
	       sodium_memcmp(kept, known, AUTH_TOKEN_MAC_SIZE) == 0;
}

enum auth_token token_find(const uint8_t kept[AUTH_TOKEN_MAC_SIZE],
			   const struct auth_tokens *tokens)
{
	if (tokens && is(kept, tokens->latest))
		return AUTH_TOKEN_LATEST;
	return tokens && is(kept, tokens->before) ? AUTH_TOKEN_BEFORE : AUTH_TOKEN_NONE;
}
