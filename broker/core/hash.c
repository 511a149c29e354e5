/* hash.c - see hash.h.  The one file that knows libsodium's short hash. */
#include "broker/core/hash.h"
#include <sodium.h>

_Static_assert(crypto_shorthash_KEYBYTES == HASH_KEY_SIZE, "SipHash takes a key of 16 bytes");

uint64_t hash_keyed(const uint8_t key[HASH_KEY_SIZE], struct slice bytes)
{
	uint64_t out;
	uint8_t digest[crypto_shorthash_BYTES];
	/* A null pointer with length 0 is fine for us but not for every library. */
	crypto_shorthash(digest, bytes.len ? bytes.at : digest, bytes.len, key);
	memcpy(&out, digest, sizeof out);
	return out;
}

uint64_t hash_next_random(const uint8_t key[HASH_KEY_SIZE], uint64_t *counter)
{
	uint64_t n = ++*counter;
	return hash_keyed(key, slice_of(&n, sizeof n));
}
