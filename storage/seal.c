/* seal.c - see seal.h. */
#include "storage/seal.h"

#include <errno.h>
#include <inttypes.h>
#include <mbedtls/aes.h>
#include <mbedtls/gcm.h>
#include <mbedtls/hkdf.h>
#include <mbedtls/md.h>
#include <stdio.h>
#include <sys/random.h>

#define BLOCK	   16u
#define KEY_BITS   (8 * SEAL_KEY_LEN)
#define HALF_NONCE (SEAL_NONCE_LEN / 2)

/* ---- XAES-256-GCM */

static void encrypt_block(mbedtls_aes_context *aes, const uint8_t in[BLOCK], uint8_t out[BLOCK])
{
	must(mbedtls_aes_crypt_ecb(aes, MBEDTLS_AES_ENCRYPT, in, out) == 0);
}

/* K1, the subkey of CMAC: the encrypted zero, doubled in GF(2^128). */
static void make_subkey(mbedtls_aes_context *aes, uint8_t subkey[BLOCK])
{
	static const uint8_t zero[BLOCK];
	uint8_t carry = 0;

	encrypt_block(aes, zero, subkey);
	const uint8_t top = subkey[0] >> 7;

	for (unsigned i = BLOCK; i-- > 0;) {
		const uint8_t next = subkey[i] >> 7;

		subkey[i] = (uint8_t)(subkey[i] << 1 | carry);
		carry = next;
	}
	/* A mask and no branch: the bit is of a secret. */
	subkey[BLOCK - 1] ^= (uint8_t)(-top & 0x87);
}

/* Kx of the key and the first half of the nonce. */
static void derive_record_key(const uint8_t key[SEAL_KEY_LEN], const uint8_t nonce[HALF_NONCE],
			      uint8_t out[SEAL_KEY_LEN])
{
	mbedtls_aes_context aes;
	uint8_t subkey[BLOCK];
	uint8_t block[BLOCK];

	mbedtls_aes_init(&aes);
	must(mbedtls_aes_setkey_enc(&aes, key, KEY_BITS) == 0);
	make_subkey(&aes, subkey);
	for (uint8_t counter = 1; counter <= 2; counter++) {
		memcpy(block, (uint8_t[]){0, counter, 'X', 0}, 4);
		memcpy(block + 4, nonce, HALF_NONCE);
		for (unsigned i = 0; i < BLOCK; i++)
			block[i] ^= subkey[i];
		encrypt_block(&aes, block, out + (counter - 1) * BLOCK);
	}
	mbedtls_aes_free(&aes);
	explicit_bzero(subkey, sizeof(subkey));
	explicit_bzero(block, sizeof(block));
}

static void start_record(mbedtls_gcm_context *gcm, const uint8_t key[SEAL_KEY_LEN],
			 const uint8_t nonce[SEAL_NONCE_LEN])
{
	uint8_t record_key[SEAL_KEY_LEN];

	derive_record_key(key, nonce, record_key);
	mbedtls_gcm_init(gcm);
	must(mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, record_key, KEY_BITS) == 0);
	explicit_bzero(record_key, sizeof(record_key));
}

void seal_bytes(const uint8_t key[SEAL_KEY_LEN], struct slice associated, struct slice plain,
		uint8_t *out)
{
	mbedtls_gcm_context gcm;
	uint8_t *text = out + SEAL_NONCE_LEN;

	seal_random(out, SEAL_NONCE_LEN);
	start_record(&gcm, key, out);
	must(mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, plain.len, out + HALF_NONCE,
				       SEAL_NONCE_LEN - HALF_NONCE, associated.at, associated.len,
				       plain.at, text, SEAL_TAG_LEN, text + plain.len) == 0);
	mbedtls_gcm_free(&gcm);
}

bool seal_open(const uint8_t key[SEAL_KEY_LEN], struct slice associated, struct slice sealed,
	       uint8_t *plain)
{
	mbedtls_gcm_context gcm;

	if (sealed.len < SEAL_OVERHEAD)
		return false;
	const uint8_t *text = sealed.at + SEAL_NONCE_LEN;
	const size_t len = sealed.len - SEAL_OVERHEAD;

	start_record(&gcm, key, sealed.at);
	const int result = mbedtls_gcm_auth_decrypt(
	    &gcm, len, sealed.at + HALF_NONCE, SEAL_NONCE_LEN - HALF_NONCE, associated.at,
	    associated.len, text + len, SEAL_TAG_LEN, text, plain);

	mbedtls_gcm_free(&gcm);
	must(result == 0 || result == MBEDTLS_ERR_GCM_AUTH_FAILED);
	return result == 0;
}

/* ---- keys from keys, keyed hashes */

static const mbedtls_md_info_t *sha256(void)
{
	const mbedtls_md_info_t *info = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);

	must(info);
	return info;
}

void seal_hkdf(struct slice salt, struct slice secret, struct slice info, uint8_t *out, size_t len)
{
	must(mbedtls_hkdf(sha256(), salt.at, salt.len, secret.at, secret.len, info.at, info.len,
			  out, len) == 0);
}

static bool is_name(const char *name)
{
	const size_t len = strlen(name);

	return len > 0 && len <= SEAL_NAME_MAX && !strchr(name, '|');
}

void seal_derive(const uint8_t key[SEAL_KEY_LEN], const char *purpose, const char *class,
		 uint64_t epoch, uint8_t out[SEAL_KEY_LEN])
{
	char info[sizeof("metrino/1|||18446744073709551615") + 2 * SEAL_NAME_MAX];

	must(is_name(purpose) && is_name(class));
	const int len =
	    snprintf(info, sizeof(info), "metrino/1|%s|%s|%" PRIu64, purpose, class, epoch);

	must(len > 0 && (size_t)len < sizeof(info));
	seal_hkdf(SLICE_NONE, slice_of(key, SEAL_KEY_LEN), slice_of(info, (size_t)len), out,
		  SEAL_KEY_LEN);
}

void seal_mac(const uint8_t key[SEAL_KEY_LEN], struct slice bytes, uint8_t out[SEAL_KEY_LEN])
{
	must(mbedtls_md_hmac(sha256(), key, SEAL_KEY_LEN, bytes.at, bytes.len, out) == 0);
}

/* ---- chance */

void seal_random(void *at, size_t len)
{
	uint8_t *next = at;

	while (len > 0) {
		const ssize_t n = getrandom(next, len, 0);

		must(n > 0 || errno == EINTR);
		if (n > 0) {
			next += n;
			len -= (size_t)n;
		}
	}
}
