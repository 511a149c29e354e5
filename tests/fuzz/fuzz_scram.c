/*
 * SCRAM-SHA-256: no bytes whatever do harm, and none but the right answer to a challenge is one.
 * The input is a client's first message and what it answers; or, where the first byte says so, how
 * the right answer is changed before it is sent.
 */
#include "auth/scram.h"
#include "storage/seal.h"
#include "tests/fuzz/fuzz.h"

#define NONCE "0123456789abcdef0123456789abcdef"

static struct scram_record record;
static uint8_t client_key[SCRAM_KEY_SIZE];

/* Of which the hash is StoredKey: what only a client can know.  RFC 5802 section 3. */
static void make_record(void)
{
	static const uint8_t salt[SCRAM_SALT_SIZE] = "a salt of 16 by";
	struct scram_record other;

	if (record.iterations)
		return;
	scram_record_make(slice_text("secret"), salt, 1, &record);
	scram_record_make(slice_text("secret"), salt, 1, &other);
	claim(memcmp(&record, &other, sizeof(record)) == 0);
	/* SaltedPassword of one iteration is one HMAC, here under a key that is filled up with
	 * zeroes. */
	uint8_t key[SEAL_KEY_LEN] = "secret", first[SCRAM_SALT_SIZE + 4] = {0},
		salted[SEAL_KEY_LEN];

	memcpy(first, salt, sizeof(salt));
	first[sizeof(first) - 1] = 1;
	seal_mac(key, slice_of(first, sizeof(first)), salted);
	seal_mac(salted, slice_text("Client Key"), client_key);
}

static size_t put(char *out, size_t at, const void *text, size_t len)
{
	memcpy(out + at, text, len);
	return at + len;
}

static size_t base64(char *out, size_t at, const uint8_t *bytes, size_t len)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t word = (uint32_t)bytes[i] << 16;

		word |= i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0;
		word |= i + 2 < len ? bytes[i + 2] : 0;
		out[at++] = digits[word >> 18];
		out[at++] = digits[word >> 12 & 63];
		out[at++] = i + 1 < len ? digits[word >> 6 & 63] : '=';
		out[at++] = i + 2 < len ? digits[word & 63] : '=';
	}
	return at;
}

/* The right answer, as a client makes it. */
static size_t right_answer(const struct scram *scram, struct slice challenge, char *out)
{
	char said[4096];
	uint8_t proof[SCRAM_KEY_SIZE];
	const char *end = memmem(challenge.at, challenge.len, ",s=", 3);
	size_t len = put(out, 0, "c=", 2), n;

	len = base64(out, len, (const uint8_t *)scram->first, scram->header_len);
	len = put(out, put(out, len, ",", 1), challenge.at,
		  (size_t)(end - (const char *)challenge.at));
	n = put(said, 0, scram->first + scram->header_len, scram->first_len - scram->header_len);
	n = put(said, put(said, n, ",", 1), challenge.at, challenge.len);
	n = put(said, put(said, n, ",", 1), out, len);
	seal_mac(record.stored_key, slice_of(said, n), proof);
	for (size_t i = 0; i < sizeof(proof); i++)
		proof[i] ^= client_key[i];
	return base64(out, put(out, len, ",p=", 3), proof, sizeof(proof));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {slice_of(data, size)};
	bool knows = take_u8(&input) & 1;
	struct slice first = exact_copy(take_text(&input)), name, answer;
	struct scram scram;
	char right[4096];

	make_record();
	if (scram_first(&scram, first, &name)) {
		claim(name.len > 0 && name.len < first.len && !memchr(name.at, 0, name.len));
		struct slice challenge = scram_challenge(&scram, &record, slice_text(NONCE));

		claim(challenge.len <= SCRAM_ANSWER_MAX && memcmp(challenge.at, "r=", 2) == 0);
		size_t len = right_answer(&scram, challenge, right), at = take_u16(&input) % len;
		uint8_t change = knows ? take_u8(&input) : 0;

		right[at] = (char)(right[at] ^ change);
		struct slice final = exact_copy(knows ? slice_of(right, len) : input.left);
		bool same = knows ? change == 0 : slice_equal(final, slice_of(right, len));

		claim(scram_final(&scram, final, &answer) == (same && len <= SCRAM_MESSAGE_MAX));
		exact_free(final);
	}
	exact_free(first);
	return 0;
}
