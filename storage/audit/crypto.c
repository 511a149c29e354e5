/* crypto.c - see crypto.h. */
#include "storage/audit/crypto.h"

#include <sodium.h>

_Static_assert(sizeof(((struct audit_signing_key *)0)->secret) == crypto_sign_SECRETKEYBYTES,
	       "libsodium's secret key is seed and public key");

struct audit_hash audit_sha256(const struct slice *parts, size_t count)
{
	crypto_hash_sha256_state state;
	struct audit_hash hash;

	crypto_hash_sha256_init(&state);
	for (size_t i = 0; i < count; i++)
		crypto_hash_sha256_update(&state, parts[i].at, parts[i].len);
	crypto_hash_sha256_final(&state, hash.bytes);
	return hash;
}

void audit_seed_make(uint8_t seed[AUDIT_SEED_LEN])
{
	must(sodium_init() >= 0);
	randombytes_buf(seed, AUDIT_SEED_LEN);
}

struct audit_signing_key audit_signing_key_from(const uint8_t seed[AUDIT_SEED_LEN])
{
	struct audit_signing_key key;

	must(sodium_init() >= 0);
	must(crypto_sign_seed_keypair(key.public, key.secret, seed) == 0);
	return key;
}

void audit_signing_key_wipe(struct audit_signing_key *key)
{
	sodium_memzero(key, sizeof(*key));
}

void audit_wipe(void *at, size_t len)
{
	sodium_memzero(at, len);
}

void audit_sign(const struct audit_signing_key *key, struct slice message,
		uint8_t signature[AUDIT_SIGNATURE_LEN])
{
	must(crypto_sign_detached(signature, NULL, message.at, message.len, key->secret) == 0);
}

bool audit_signature_fits(const uint8_t public[AUDIT_PUBLIC_LEN], struct slice message,
			  const uint8_t signature[AUDIT_SIGNATURE_LEN])
{
	must(sodium_init() >= 0);
	return crypto_sign_verify_detached(signature, message.at, message.len, public) == 0;
}

void audit_base64_write(struct slice bytes, char *text, size_t size)
{
	must(size >= AUDIT_BASE64_SIZE(bytes.len));
	sodium_bin2base64(text, size, bytes.at, bytes.len, sodium_base64_VARIANT_ORIGINAL);
}

/*
 * There is one text for some bytes: libsodium 1.0.18 takes characters of 128 and more for others,
 * so what was read is written again.
 */
bool audit_base64_read(struct slice text, uint8_t *bytes, size_t len)
{
	char again[AUDIT_BASE64_SIZE(AUDIT_BASE64_MAX)];
	size_t got = 0;

	if (len > AUDIT_BASE64_MAX || text.len != AUDIT_BASE64_SIZE(len) - 1 ||
	    sodium_base642bin(bytes, len, (const char *)text.at, text.len, NULL, &got, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    got != len)
		return false;
	audit_base64_write(slice_of(bytes, len), again, sizeof(again));
	return memcmp(again, text.at, text.len) == 0;
}
