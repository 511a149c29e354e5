/* record.c - see record.h. */
#include "storage/record.h"

#include "storage/bytes.h"

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

size_t record_write_session(const struct store_session *session, uint8_t *out)
{
	uint8_t *at = out;

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
	return (size_t)(at - out) + session->tokens.len;
}

bool record_read_session(struct slice body, struct store_session *session, struct failure *failure)
{
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
	if (owner_len > 0 && session->owner == 0)
		return failure_set(failure, "its flags say that it has an owner, but it has none");
	return true;
}

size_t record_write_subscription(const struct store_subscription *subscription, uint8_t *out)
{
	uint8_t *at = out;

	must(subscription->filter.len >= 1 && subscription->filter.len <= STORE_FILTER_MAX);
	must(subscription->identifier <= IDENTIFIER_MAX);
	must(options_valid(subscription->options));
	at = bytes_put(at, subscription->session, 8);
	at = bytes_put(at, subscription->identifier, 4);
	at = bytes_put(at, subscription->options, 1);
	at = put_text(at, subscription->filter);
	return (size_t)(at - out);
}

bool record_read_subscription(struct slice body, struct store_subscription *subscription,
			      struct failure *failure)
{
	struct slice rest;

	if (!open_text(body, SUBSCRIPTION_FIXED_LEN, &subscription->filter, &rest, 0, failure))
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
