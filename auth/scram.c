/* scram.c - see scram.h. */
#include "auth/scram.h"
#include "storage/seal.h"
#include <mbedtls/md.h>
#include <mbedtls/pkcs5.h>
#include <sodium.h>

_Static_assert(SCRAM_KEY_SIZE == SEAL_KEY_LEN, "keys are of SHA-256");
_Static_assert(SCRAM_KEY_SIZE == crypto_hash_sha256_BYTES, "likewise");

/* ---- records: RFC 5802 section 3 ---- */

static void salted_password(struct slice secret, const uint8_t salt[SCRAM_SALT_SIZE],
			    uint32_t iterations, uint8_t out[SCRAM_KEY_SIZE])
{
	mbedtls_md_context_t md;
	mbedtls_md_init(&md);
	must(mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1) == 0);
	must(mbedtls_pkcs5_pbkdf2_hmac(&md, secret.at, secret.len, salt, SCRAM_SALT_SIZE,
				       iterations, SCRAM_KEY_SIZE, out) == 0);
	mbedtls_md_free(&md);
}

void scram_record_make(struct slice secret, const uint8_t salt[SCRAM_SALT_SIZE],
		       uint32_t iterations, struct scram_record *record)
{
	uint8_t salted[SCRAM_KEY_SIZE], client_key[SCRAM_KEY_SIZE];
	must(iterations > 0);
	salted_password(secret, salt, iterations, salted);
	seal_mac(salted, SLICE_LITERAL("Client Key"), client_key);
	record->iterations = iterations;
	memcpy(record->salt, salt, SCRAM_SALT_SIZE);
	crypto_hash_sha256(record->stored_key, client_key, sizeof client_key);
	seal_mac(salted, SLICE_LITERAL("Server Key"), record->server_key);
	sodium_memzero(salted, sizeof salted);
	sodium_memzero(client_key, sizeof client_key);
}

bool scram_record_fits(const struct scram_record *record, struct slice secret)
{
	struct scram_record made;
	scram_record_make(secret, record->salt, record->iterations, &made);
	bool fits = sodium_memcmp(made.stored_key, record->stored_key, SCRAM_KEY_SIZE) == 0;
	sodium_memzero(&made, sizeof made);
	return fits;
}

/* One HMAC for each part: what would have to be inverted to fit a proof to it nobody has. */
void scram_record_fabricate(const uint8_t key[SCRAM_KEY_SIZE], struct slice name,
			    struct scram_record *record)
{
	uint8_t seed[SCRAM_KEY_SIZE], salt[SCRAM_KEY_SIZE];
	seal_mac(key, name, seed);
	seal_mac(seed, SLICE_LITERAL("salt"), salt);
	record->iterations = SCRAM_ITERATIONS;
	memcpy(record->salt, salt, SCRAM_SALT_SIZE);
	seal_mac(seed, SLICE_LITERAL("stored key"), record->stored_key);
	seal_mac(seed, SLICE_LITERAL("server key"), record->server_key);
	sodium_memzero(seed, sizeof seed);
}

/* ---- messages: RFC 5802 section 7 ---- */

/* Takes the attribute `key`=VALUE and the comma behind it, or the end, off *text. */
static bool take_attribute(struct slice *text, char key, struct slice *value)
{
	if (text->len < 2 || text->at[0] != (uint8_t)key || text->at[1] != '=')
		return false;
	*value = slice_after(*text, 2);
	const uint8_t *comma = value->len > 0 ? memchr(value->at, ',', value->len) : NULL;
	if (comma)
		value->len = (size_t)(comma - value->at);
	*text = slice_after(*text, 2 + value->len + (comma != NULL));
	return true;
}

/* Into `name`, with ',' for "=2C" and '=' for "=3D"; false for any other '='. */
static bool read_name(struct slice text, char name[SCRAM_MESSAGE_MAX], size_t *len)
{
	*len = 0;
	while (text.len > 0) {
		bool coded = text.at[0] == '=';
		bool comma = text.len >= 3 && memcmp(text.at, "=2C", 3) == 0;
		bool equals = text.len >= 3 && memcmp(text.at, "=3D", 3) == 0;
		if ((coded && !comma && !equals) || text.at[0] == 0)
			return false;
		name[(*len)++] = comma ? ',' : (char)text.at[0];
		text = slice_after(text, coded ? 3 : 1);
	}
	return *len > 0;
}

static bool is_letter(uint8_t byte)
{
	return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

/*
 * Extensions, which nobody has to know, up to the attribute `end` or the end of the text.  But one
 * with the name `m` is for those who know it alone: section 5.1.
 */
static bool skip_extensions(struct slice *text, char end)
{
	struct slice value;
	while (text->len > 0 && text->at[0] != (uint8_t)end)
		if (!is_letter(text->at[0]) || text->at[0] == 'm' ||
		    !take_attribute(text, (char)text->at[0], &value) || value.len == 0)
			return false;
	return true;
}

static bool printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < 0x21 || text.at[i] > 0x7e)
			return false;
	return text.len > 0;
}

/* The GS2 header: "n,," or "y,,", with the name between the commas where the client says it twice.
 */
static bool take_header(struct slice *text, struct slice *authorized)
{
	if (text->len < 3 || (text->at[0] != 'n' && text->at[0] != 'y') || text->at[1] != ',')
		return false;
	*text = slice_after(*text, 2);
	*authorized = SLICE_NONE;
	if (text->at[0] != ',')
		return take_attribute(text, 'a', authorized) && authorized->len > 0 &&
		       text->at[-1] == ',';
	*text = slice_after(*text, 1);
	return true;
}

bool scram_first(struct scram *scram, struct slice message, struct slice *name)
{
	struct slice rest = message, authorized, user, nonce;
	char other[SCRAM_MESSAGE_MAX];
	size_t other_len;
	if (message.len > SCRAM_MESSAGE_MAX || !take_header(&rest, &authorized))
		return false;
	scram->header_len = message.len - rest.len;
	if (!take_attribute(&rest, 'n', &user) || !take_attribute(&rest, 'r', &nonce) ||
	    !printable(nonce) || !read_name(user, scram->name, &scram->name_len) ||
	    message.at[message.len - 1] == ',' || !skip_extensions(&rest, '\0'))
		return false;
	*name = slice_of(scram->name, scram->name_len);
	if (authorized.len > 0 && (!read_name(authorized, other, &other_len) ||
				   !slice_equal(slice_of(other, other_len), *name)))
		return false;
	memcpy(scram->first, message.at, message.len);
	scram->first_len = message.len;
	return true;
}

/* What the exchange is about, without the GS2 header. */
static struct slice first_bare(const struct scram *scram)
{
	return slice_after(slice_of(scram->first, scram->first_len), scram->header_len);
}

static struct slice client_nonce(const struct scram *scram)
{
	struct slice rest = first_bare(scram), user, nonce = SLICE_NONE;
	must(take_attribute(&rest, 'n', &user) && take_attribute(&rest, 'r', &nonce));
	return nonce;
}

static void append(struct scram *scram, struct slice text)
{
	must(scram->answer_len + text.len <= sizeof scram->answer);
	memcpy(scram->answer + scram->answer_len, text.at, text.len);
	scram->answer_len += text.len;
}

static void append_base64(struct scram *scram, const uint8_t *bytes, size_t len)
{
	char text[sodium_base64_ENCODED_LEN(SCRAM_KEY_SIZE, sodium_base64_VARIANT_ORIGINAL)];
	sodium_bin2base64(text, sizeof text, bytes, len, sodium_base64_VARIANT_ORIGINAL);
	append(scram, slice_text(text));
}

static void append_number(struct scram *scram, uint32_t number)
{
	char digits[10];
	size_t at = sizeof digits;
	do
		digits[--at] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	append(scram, slice_of(digits + at, sizeof digits - at));
}

struct slice scram_challenge(struct scram *scram, const struct scram_record *record,
			     struct slice nonce)
{
	must(nonce.len <= SCRAM_NONCE_MAX);
	scram->record = *record;
	scram->answer_len = 0;
	append(scram, SLICE_LITERAL("r="));
	append(scram, client_nonce(scram));
	append(scram, nonce);
	scram->nonce_len = scram->answer_len - 2;
	append(scram, SLICE_LITERAL(",s="));
	append_base64(scram, record->salt, sizeof record->salt);
	append(scram, SLICE_LITERAL(",i="));
	append_number(scram, record->iterations);
	return slice_of(scram->answer, scram->answer_len);
}

/* The channel binding repeats the GS2 header, in base64. */
static bool is_header(const struct scram *scram, struct slice text)
{
	char coded[sodium_base64_ENCODED_LEN(SCRAM_MESSAGE_MAX, sodium_base64_VARIANT_ORIGINAL)];
	sodium_bin2base64(coded, sizeof coded, (const uint8_t *)scram->first, scram->header_len,
			  sodium_base64_VARIANT_ORIGINAL);
	return slice_equal(text, slice_text(coded));
}

/* 32 bytes; libsodium (1.0.18) takes some bytes above 127 for digits, so that they go first. */
static bool read_proof(struct slice text, uint8_t proof[SCRAM_KEY_SIZE])
{
	size_t len = 0;
	return printable(text) &&
	       sodium_base642bin(proof, SCRAM_KEY_SIZE, (const char *)text.at, text.len, NULL, &len,
				 NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       len == SCRAM_KEY_SIZE;
}

/* client-first-message-bare "," server-first-message "," client-final-message-without-proof */
static size_t auth_message(const struct scram *scram, struct slice final, uint8_t *out)
{
	struct slice parts[] = {first_bare(scram), slice_of(scram->answer, scram->answer_len),
				final};
	size_t len = 0;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (i > 0)
			out[len++] = ',';
		memcpy(out + len, parts[i].at, parts[i].len);
		len += parts[i].len;
	}
	return len;
}

/* ClientKey is what the proof and the signature differ by, and StoredKey its hash. */
static bool proves(const struct scram *scram, struct slice signed_text,
		   const uint8_t proof[SCRAM_KEY_SIZE])
{
	uint8_t client_key[SCRAM_KEY_SIZE], stored_key[SCRAM_KEY_SIZE];
	seal_mac(scram->record.stored_key, signed_text, client_key);
	for (size_t i = 0; i < SCRAM_KEY_SIZE; i++)
		client_key[i] ^= proof[i];
	crypto_hash_sha256(stored_key, client_key, sizeof client_key);
	sodium_memzero(client_key, sizeof client_key);
	return sodium_memcmp(stored_key, scram->record.stored_key, SCRAM_KEY_SIZE) == 0;
}

bool scram_final(struct scram *scram, struct slice message, struct slice *answer)
{
	struct slice rest = message, binding, nonce, proof_text = SLICE_NONE;
	uint8_t proof[SCRAM_KEY_SIZE], signature[SCRAM_KEY_SIZE];
	uint8_t signed_text[2 * SCRAM_MESSAGE_MAX + SCRAM_ANSWER_MAX + 2];
	if (message.len > SCRAM_MESSAGE_MAX || !take_attribute(&rest, 'c', &binding) ||
	    !is_header(scram, binding) || !take_attribute(&rest, 'r', &nonce) ||
	    !slice_equal(nonce, slice_of(scram->answer + 2, scram->nonce_len)) ||
	    !skip_extensions(&rest, 'p'))
		return false;
	size_t before = message.len - rest.len;
	if (!take_attribute(&rest, 'p', &proof_text) || message.at[message.len - 1] == ',' ||
	    rest.len > 0 || !read_proof(proof_text, proof))
		return false;
	size_t len = auth_message(scram, slice_of(message.at, before - 1), signed_text);
	bool proved = proves(scram, slice_of(signed_text, len), proof);
	sodium_memzero(proof, sizeof proof);
	if (!proved)
		return false;
	seal_mac(scram->record.server_key, slice_of(signed_text, len), signature);
	scram->answer_len = 0;
	append(scram, SLICE_LITERAL("v="));
	append_base64(scram, signature, sizeof signature);
	*answer = slice_of(scram->answer, scram->answer_len);
	return true;
}
