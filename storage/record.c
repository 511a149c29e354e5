/* record.c - see record.h. */
#include "storage/record.h"

#include "storage/bytes.h"
#include "storage/crc32c.h"

#define SESSION_FIXED_LEN      19u
#define OWNER_LEN	       8u
#define SUBSCRIPTION_FIXED_LEN 15u
#define FLAGS_AT	       8u /* of a session */
#define CONNECTED	       1u
#define HAS_OWNER	       2u
#define IDENTIFIER_MAX	       268435455u

static uint8_t *put_text(uint8_t *at, struct slice text)
{
	at = bytes_put(at, text.len, 2);
	if (text.len > 0)
		memcpy(at, text.at, text.len);
	return at + text.len;
}

static uint32_t check_value(const struct record_scope *scope, struct slice body)
{
	uint8_t row[8];
	uint32_t crc;

	bytes_put(row, scope->row, sizeof(row));
	crc = crc32c(0, scope->header, RECORD_HEADER_LEN);
	crc = crc32c(crc, row, sizeof(row));
	return crc32c(crc, body.at, body.len);
}

static bool clear_seal(void *self, const struct record_scope *scope, uint8_t *body, size_t body_len,
		       uint8_t *trailer, struct failure *failure)
{
	(void)self;
	(void)failure;
	bytes_put(trailer, check_value(scope, slice_of(body, body_len)), 4);
	return true;
}

static bool clear_open(void *self, const struct record_scope *scope, struct slice *body,
		       const uint8_t *trailer, uint8_t *scratch, struct failure *failure)
{
	(void)self;
	(void)scratch;
	if (bytes_get(trailer, 4) != check_value(scope, *body))
		return failure_set(failure, "its check value does not fit: it was changed since "
					    "it was written, or belongs to another row");
	return true;
}

const struct record_seal record_clear = {
    .version = 1,
    .trailer_len = 4,
    .seal = clear_seal,
    .open = clear_open,
};

static uint8_t *begin(const struct record_seal *seal, enum record_class class, uint8_t *out)
{
	out = bytes_put(out, seal->version, 1);
	out = bytes_put(out, class, 1);
	return bytes_put(out, seal->key_epoch, 4);
}

/* Closes the record whose body ends at `end`. */
static bool finish(const struct record_seal *seal, uint64_t row, uint8_t *out, uint8_t *end,
		   size_t *len, struct failure *failure)
{
	const struct record_scope scope = {row, out};
	uint8_t *body = out + RECORD_HEADER_LEN;

	must(seal->trailer_len <= RECORD_TRAILER_MAX);
	*len = (size_t)(end - out) + seal->trailer_len;
	return seal->seal(seal->self, &scope, body, (size_t)(end - body), end, failure);
}

/* Checks header and trailer and gives the body. */
static bool open_body(const struct record_seal *seal, enum record_class class, uint64_t row,
		      struct slice bytes, uint8_t *scratch, struct slice *body,
		      struct failure *failure)
{
	const struct record_scope scope = {row, bytes.at};

	if (bytes.len < RECORD_HEADER_LEN + seal->trailer_len || bytes.len > RECORD_MAX)
		return failure_set(failure, "it is %zu bytes long, a record has %u to %u",
				   bytes.len, RECORD_HEADER_LEN + seal->trailer_len, RECORD_MAX);
	if (bytes.at[0] != seal->version)
		return failure_set(failure, "its format version is %u, expected %u", bytes.at[0],
				   seal->version);
	if (bytes.at[1] != class)
		return failure_set(failure, "it is of class %u, expected %u", bytes.at[1],
				   (unsigned)class);
	*body = slice_of(bytes.at + RECORD_HEADER_LEN,
			 bytes.len - RECORD_HEADER_LEN - seal->trailer_len);
	return seal->open(seal->self, &scope, body, bytes.at + bytes.len - seal->trailer_len,
			  scratch, failure);
}

/*
 * The text that a body has; its length stands in the last 2 of `fixed_len` bytes.  What comes
 * behind it, at most `rest_max` bytes, is *rest.
 */
static bool open_text(struct slice body, size_t fixed_len, struct slice *text, struct slice *rest,
		      size_t rest_max, struct failure *failure)
{
	if (body.len < fixed_len)
		return failure_set(failure, "its body is %zu bytes long, expected at least %zu",
				   body.len, fixed_len);
	*text = slice_after(body, fixed_len);
	size_t len = bytes_get(body.at + fixed_len - 2, 2);
	if (text->len < len || text->len - len > rest_max)
		return failure_set(failure, "the length of its text does not fit its own length");
	*rest = slice_after(*text, len);
	text->len = len;
	return true;
}

/* The options byte of MQTT 5.0 section 3.8.3.1: reserved bits, retain handling, QoS. */
static bool options_valid(uint8_t options)
{
	return (options & 0xc0) == 0 && (options >> 4 & 3) != 3 && (options & 3) != 3;
}

bool record_encode_session(const struct record_seal *seal, uint64_t row,
			   const struct store_session *session, uint8_t *out, size_t *len,
			   struct failure *failure)
{
	uint8_t *at = begin(seal, RECORD_SESSION, out);

	must(session->client_id.len <= STORE_CLIENT_ID_MAX);
	at = bytes_put(at, session->realm, 4);
	at = bytes_put(at, session->expiry_s, 4);
	at = bytes_put(at, (session->connected ? CONNECTED : 0) | (session->owner ? HAS_OWNER : 0),
		       1);
	at = bytes_put(at, session->since_s, 8);
	if (session->owner)
		at = bytes_put(at, session->owner, OWNER_LEN);
	at = put_text(at, session->client_id);
	must(session->tokens.len <= STORE_TOKENS_MAX);
	if (session->tokens.len > 0)
		memcpy(at, session->tokens.at, session->tokens.len);
	return finish(seal, row, out, at + session->tokens.len, len, failure);
}

bool record_decode_session(const struct record_seal *seal, uint64_t row, struct slice bytes,
			   uint8_t *scratch, struct store_session *session, struct failure *failure)
{
	struct slice body;

	if (!open_body(seal, RECORD_SESSION, row, bytes, scratch, &body, failure))
		return false;
	unsigned flags = body.len > FLAGS_AT ? body.at[FLAGS_AT] : 0;
	size_t owner_len = flags & HAS_OWNER ? OWNER_LEN : 0;

	if (flags > (CONNECTED | HAS_OWNER))
		return failure_set(failure, "its flags are %u, expected 0 to 3", flags);
	if (!open_text(body, SESSION_FIXED_LEN + owner_len, &session->client_id, &session->tokens,
		       STORE_TOKENS_MAX, failure))
		return false;
	session->realm = (uint32_t)bytes_get(body.at, 4);
	session->expiry_s = (uint32_t)bytes_get(body.at + 4, 4);
	session->connected = (flags & CONNECTED) != 0;
	session->since_s = bytes_get(body.at + 9, 8);
	session->owner = bytes_get(body.at + 17, (unsigned)owner_len);
	return true;
}

bool record_encode_subscription(const struct record_seal *seal, uint64_t row,
				const struct store_subscription *subscription, uint8_t *out,
				size_t *len, struct failure *failure)
{
	uint8_t *at = begin(seal, RECORD_SUBSCRIPTION, out);

	must(subscription->filter.len >= 1 && subscription->filter.len <= STORE_FILTER_MAX);
	must(subscription->identifier <= IDENTIFIER_MAX);
	must(options_valid(subscription->options));
	at = bytes_put(at, subscription->session, 8);
	at = bytes_put(at, subscription->identifier, 4);
	at = bytes_put(at, subscription->options, 1);
	at = put_text(at, subscription->filter);
	return finish(seal, row, out, at, len, failure);
}

bool record_decode_subscription(const struct record_seal *seal, uint64_t row, struct slice bytes,
				uint8_t *scratch, struct store_subscription *subscription,
				struct failure *failure)
{
	struct slice body, rest;

	if (!open_body(seal, RECORD_SUBSCRIPTION, row, bytes, scratch, &body, failure) ||
	    !open_text(body, SUBSCRIPTION_FIXED_LEN, &subscription->filter, &rest, 0, failure))
		return false;
	subscription->session = bytes_get(body.at, 8);
	subscription->identifier = (uint32_t)bytes_get(body.at + 8, 4);
	subscription->options = body.at[12];
	if (subscription->filter.len < 1) /* [MQTT-4.7.3-1] */
		return failure_set(failure, "its filter is empty");
	if (subscription->identifier > IDENTIFIER_MAX)
		return failure_set(failure, "its subscription identifier is %u, at most %u is one",
				   subscription->identifier, IDENTIFIER_MAX);
	if (!options_valid(subscription->options))
		return failure_set(failure, "its options byte 0x%02x is none of MQTT",
				   subscription->options);
	return true;
}

bool record_encode_journal(const struct record_seal *seal, uint64_t row, struct slice body,
			   uint8_t *out, size_t *len, struct failure *failure)
{
	uint8_t *at = begin(seal, RECORD_JOURNAL, out);

	must(body.len >= 1 && body.len <= RECORD_BODY_MAX);
	memcpy(at, body.at, body.len);
	return finish(seal, row, out, at + body.len, len, failure);
}

bool record_decode_journal(const struct record_seal *seal, uint64_t row, struct slice bytes,
			   uint8_t *scratch, struct slice *body, struct failure *failure)
{
	return open_body(seal, RECORD_JOURNAL, row, bytes, scratch, body, failure);
}
