/* ws_opening.c - see ws_opening.h.  HTTP as in RFC 9112. */
#include "broker/net/ws_opening.h"
#include "broker/net/http_target.h"
#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <stdio.h>
#include <strings.h>

#define KEY_LEN	   24u /* sixteen bytes in base64 */
#define ACCEPT_LEN 28u
#define SHA1_LEN   20u

/* The fields that are looked at. */
enum field {
	FIELD_HOST,
	FIELD_UPGRADE,
	FIELD_CONNECTION,
	FIELD_KEY,
	FIELD_VERSION,
	FIELD_PROTOCOL,
	FIELD_ORIGIN,
	FIELD_LENGTH,
	FIELD_ENCODING,
	FIELD_ACCEPT, /* of an answer */
	FIELDS
};

static const struct {
	const char *name;
	bool list; /* may stand several times: one list then */
} fields[FIELDS] = {
    [FIELD_HOST] = {"host", false},
    [FIELD_UPGRADE] = {"upgrade", true},
    [FIELD_CONNECTION] = {"connection", true},
    [FIELD_KEY] = {"sec-websocket-key", false},
    [FIELD_VERSION] = {"sec-websocket-version", false},
    [FIELD_PROTOCOL] = {"sec-websocket-protocol", true},
    [FIELD_ORIGIN] = {"origin", false},
    [FIELD_LENGTH] = {"content-length", false},
    [FIELD_ENCODING] = {"transfer-encoding", true},
    [FIELD_ACCEPT] = {"sec-websocket-accept", false},
};

/* What the request holds, or the answer of another server.  Of a list that stands several times,
 * each word is looked for as it comes. */
struct request {
	struct slice values[FIELDS]; /* the last one; at NULL: not there */
	bool upgrade_websocket;
	bool connection_upgrade;
	const char *protocol; /* the first one named that we speak; a literal */
};

static const char *const protocols[] = {"mqtt", "mqttv3.1"};

/* ---- refusals */

enum refusal {
	REFUSAL_MALFORMED,
	REFUSAL_METHOD,
	REFUSAL_PATH,
	REFUSAL_UPGRADE,
	REFUSAL_VERSION,
	REFUSAL_PROTOCOL,
	REFUSAL_ORIGIN,
	REFUSAL_TOO_LONG,
	REFUSAL_SLOW,
};

static const struct {
	unsigned status;
	const char *phrase;
	const char *field; /* a line of the answer, with its end */
	const char *sentence;
} refusals[] = {
    [REFUSAL_MALFORMED] = {400, "Bad Request", "", "This is not a WebSocket handshake.\n"},
    [REFUSAL_METHOD] = {405, "Method Not Allowed", "Allow: GET\r\n", "Use GET.\n"},
    [REFUSAL_PATH] = {404, "Not Found", "", "MQTT is at /mqtt.\n"},
    [REFUSAL_UPGRADE] = {426, "Upgrade Required", "Upgrade: websocket\r\n",
			 "MQTT over WebSocket is served here.\n"},
    [REFUSAL_VERSION] = {426, "Upgrade Required",
			 "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
			 "Sec-WebSocket-Version has to be 13.\n"},
    [REFUSAL_PROTOCOL] = {400, "Bad Request", "", "Sec-WebSocket-Protocol has to name mqtt.\n"},
    [REFUSAL_ORIGIN] = {403, "Forbidden", "", "Pages of this origin may not connect.\n"},
    [REFUSAL_TOO_LONG] = {431, "Request Header Fields Too Large", "", "The request is too long.\n"},
    [REFUSAL_SLOW] = {408, "Request Timeout", "", "The request took too long.\n"},
};

static enum ws_opening_step refuse(struct ws_opening *opening, enum refusal refusal)
{
	int n =
	    snprintf(opening->answer, sizeof(opening->answer),
		     "HTTP/1.1 %u %s\r\n%sContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		     "Connection: close\r\n\r\n%s",
		     refusals[refusal].status, refusals[refusal].phrase, refusals[refusal].field,
		     strlen(refusals[refusal].sentence), refusals[refusal].sentence);

	must(n > 0 && (size_t)n < sizeof(opening->answer));
	opening->status = refusals[refusal].status;
	opening->answer_len = (size_t)n;
	return WS_OPENING_REFUSED;
}

void ws_opening_time_out(struct ws_opening *opening)
{
	refuse(opening, REFUSAL_SLOW);
}

/* ---- text */

static bool is(struct slice text, const char *word)
{
	return text.len == strlen(word) && strncasecmp((const char *)text.at, word, text.len) == 0;
}

static struct slice trimmed(struct slice text)
{
	while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
		text = slice_after(text, 1);
	while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* Cuts off what is before the next `mark`; false when nothing is left. */
static bool next_part(struct slice *rest, char mark, struct slice *part)
{
	if (!rest->at)
		return false;
	const uint8_t *end = rest->len > 0 ? memchr(rest->at, mark, rest->len) : NULL;

	*part = slice_of(rest->at, end ? (size_t)(end - rest->at) : rest->len);
	*rest = end ? slice_after(*rest, part->len + 1) : SLICE_NONE;
	return true;
}

/* No byte that HTTP does not know: so a peer who speaks something else is seen at once. */
static bool is_plain(struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if ((bytes.at[i] < 0x20 && !strchr("\t\r\n", bytes.at[i])) || bytes.at[i] == 0 ||
		    bytes.at[i] == 0x7f)
			return false;
	return true;
}

static bool is_token(struct slice name)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < name.len; i++) {
		uint8_t byte = name.at[i];
		bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
		bool digit = byte >= '0' && byte <= '9';

		if (!letter && !digit && (byte == 0 || !strchr(others, byte)))
			return false;
	}
	return name.len > 0;
}

/* ---- the request */

static const char *spoken(struct slice word)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (slice_equal(word, slice_text(protocols[i])))
			return protocols[i];
	return NULL;
}

static void look_at_list(struct request *request, enum field field, struct slice value)
{
	struct slice part;

	while (next_part(&value, ',', &part)) {
		struct slice word = trimmed(part);

		if (field == FIELD_UPGRADE && is(word, "websocket"))
			request->upgrade_websocket = true;
		if (field == FIELD_CONNECTION && is(word, "upgrade"))
			request->connection_upgrade = true;
		if (field == FIELD_PROTOCOL && !request->protocol)
			request->protocol = spoken(word);
	}
}

static bool take_field(struct request *request, struct slice name, struct slice value)
{
	for (enum field i = 0; i < FIELDS; i++) {
		if (!is(name, fields[i].name))
			continue;
		if (request->values[i].at && !fields[i].list)
			return false;
		request->values[i] = value;
		if (fields[i].list)
			look_at_list(request, i, value);
		return true;
	}
	return true;
}

/* Each line ends with CR LF; the empty one at the end is already off. */
static bool take_fields(struct request *request, struct slice lines)
{
	struct slice line;
	struct slice name;

	while (lines.len > 0 && next_part(&lines, '\n', &line)) {
		if (line.len == 0 || line.at[line.len - 1] != '\r')
			return false;
		line.len--;
		if (memchr(line.at, '\r', line.len) || !memchr(line.at, ':', line.len) ||
		    !next_part(&line, ':', &name) || !is_token(name) ||
		    !take_field(request, name,
				line.at ? trimmed(line) : slice_of(name.at + name.len, 0)))
			return false;
	}
	return true;
}

/* In origin-form or absolute-form: RFC 6455 section 4.2.1. */
static bool is_path(struct slice target)
{
	struct slice path;

	next_part(&target, '?', &path);
	path = http_target_path(path);
	return slice_equal(path, SLICE_LITERAL("/mqtt")) || slice_equal(path, SLICE_LITERAL("/"));
}

/* "GET /mqtt HTTP/1.1"; gives true, or *refusal. */
static bool check_line(struct slice line, enum refusal *refusal)
{
	struct slice method = SLICE_NONE;
	struct slice target = SLICE_NONE;

	*refusal = REFUSAL_MALFORMED;
	if (!next_part(&line, ' ', &method) || !next_part(&line, ' ', &target) ||
	    !is(line, "HTTP/1.1\r") || !is_token(method))
		return false;
	if (!slice_equal(method, SLICE_LITERAL("GET"))) {
		*refusal = REFUSAL_METHOD;
		return false;
	}
	*refusal = REFUSAL_PATH;
	return is_path(target);
}

/* ---- the decision */

static bool is_key(struct slice key)
{
	unsigned char bytes[KEY_LEN];
	size_t len = 0;

	return key.len == KEY_LEN &&
	       mbedtls_base64_decode(bytes, sizeof(bytes), &len, key.at, key.len) == 0 && len == 16;
}

/* A client without Origin is no page in a browser, and could write whatever it likes. */
static bool is_welcome_origin(struct slice origin, const char *origins)
{
	if (!origins || !origin.at)
		return true;
	for (const char *at = origins; *at;) {
		size_t len = strcspn(at, " ");

		if (len == origin.len && strncasecmp(at, (const char *)origin.at, len) == 0)
			return true;
		at += len + (at[len] == ' ');
	}
	return false;
}

static bool has_body(const struct request *request)
{
	const struct slice length = request->values[FIELD_LENGTH];

	return request->values[FIELD_ENCODING].at ||
	       (length.at && !slice_equal(length, SLICE_LITERAL("0")));
}

static bool check_request(const struct request *request, const struct ws_settings *settings,
			  enum refusal *refusal)
{
	const struct slice version = request->values[FIELD_VERSION];
	const struct {
		bool right;
		enum refusal otherwise;
	} checks[] = {
	    {request->values[FIELD_HOST].at && !has_body(request), REFUSAL_MALFORMED},
	    {request->upgrade_websocket && request->connection_upgrade, REFUSAL_UPGRADE},
	    {version.at && slice_equal(version, SLICE_LITERAL("13")), REFUSAL_VERSION},
	    {is_key(request->values[FIELD_KEY]), REFUSAL_MALFORMED},
	    {is_welcome_origin(request->values[FIELD_ORIGIN], settings->origins), REFUSAL_ORIGIN},
	    {request->protocol, REFUSAL_PROTOCOL}, /* [MQTT-6.0.0-4] [MQTT3-6.0.0-4] */
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (!checks[i].right) {
			*refusal = checks[i].otherwise;
			return false;
		}
	return true;
}

/* ---- the answer */

/* SHA-1 of the key and a constant: it shows only that a WebSocket was meant. */
static void put_accept(struct slice key, char accept[ACCEPT_LEN + 1])
{
	static const char constant[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char text[KEY_LEN + sizeof(constant) - 1];
	unsigned char hash[SHA1_LEN];
	size_t len = 0;

	must(key.at && key.len == KEY_LEN);
	memcpy(text, key.at, KEY_LEN);
	memcpy(text + KEY_LEN, constant, sizeof(constant) - 1);
	must(mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), text, sizeof(text), hash) == 0);
	must(mbedtls_base64_encode((unsigned char *)accept, ACCEPT_LEN + 1, &len, hash,
				   sizeof(hash)) == 0);
}

static enum ws_opening_step welcome(const struct request *request, struct ws_opening *opening)
{
	char accept[ACCEPT_LEN + 1];

	put_accept(request->values[FIELD_KEY], accept);
	int n = snprintf(opening->answer, sizeof(opening->answer),
			 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
			 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
			 "Sec-WebSocket-Protocol: %s\r\n\r\n",
			 accept, request->protocol);

	must(n > 0 && (size_t)n < sizeof(opening->answer));
	opening->status = 101;
	opening->answer_len = (size_t)n;
	return WS_OPENING_DONE;
}

/* Where the empty line ends; 0: it did not come yet. */
static size_t length_of(struct slice bytes)
{
	const uint8_t *end = bytes.len > 0 ? memmem(bytes.at, bytes.len, "\r\n\r\n", 4) : NULL;

	return end ? (size_t)(end - bytes.at) + 4 : 0;
}

enum ws_opening_step ws_opening_read(struct slice bytes, const struct ws_settings *settings,
				     struct ws_opening *opening)
{
	size_t len = length_of(bytes);
	struct request request = {.protocol = NULL};
	enum refusal refusal = REFUSAL_MALFORMED;
	struct slice line;

	*opening = (struct ws_opening){.used = len};
	if (!is_plain(slice_of(bytes.at, len > 0 ? len : bytes.len)))
		return refuse(opening, REFUSAL_MALFORMED);
	if (len > settings->headers_size || (len == 0 && bytes.len >= settings->headers_size))
		return refuse(opening, REFUSAL_TOO_LONG);
	if (len == 0)
		return WS_OPENING_MORE;
	struct slice rest = slice_of(bytes.at, len - 2);

	next_part(&rest, '\n', &line);
	if (!check_line(line, &refusal))
		return refuse(opening, refusal);
	if (!take_fields(&request, rest))
		return refuse(opening, REFUSAL_MALFORMED);
	if (!check_request(&request, settings, &refusal))
		return refuse(opening, refusal);
	return welcome(&request, opening);
}

/* ---- the other end */

static void put_key(const uint8_t nonce[WS_NONCE_LEN], char key[KEY_LEN + 1])
{
	size_t len = 0;

	must(mbedtls_base64_encode((unsigned char *)key, KEY_LEN + 1, &len, nonce, WS_NONCE_LEN) ==
		 0 &&
	     len == KEY_LEN);
}

size_t ws_opening_ask(const uint8_t nonce[WS_NONCE_LEN], const char *host, const char *path,
		      char *request, size_t room)
{
	char key[KEY_LEN + 1];

	put_key(nonce, key);
	const int n = snprintf(request, room,
			       "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
			       "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
			       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
			       path, host, key, protocols[0]);

	return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

/* The longest answer that is read for. */
#define ANSWER_MAX 8192u

/* "HTTP/1.1 101 Switching Protocols"; the phrase may be missing (RFC 9112 section 4). */
static bool check_status(struct slice line, struct failure *failure)
{
	struct slice version = SLICE_NONE;
	struct slice status = SLICE_NONE;
	char number[4];

	if (!next_part(&line, ' ', &version) || !is(version, "HTTP/1.1") ||
	    !next_part(&line, ' ', &status) || status.len < 3)
		return failure_set(failure, "what answers there does not speak HTTP/1.1");
	memcpy(number, status.at, 3);
	number[3] = '\0';
	if (strcmp(number, "101") == 0)
		return true;
	return failure_set(failure, "HTTP status %s in place of a WebSocket%s", number,
			   strcmp(number, "404") == 0 ? "; is it at another path?" : "");
}

static bool check_answer(const struct request *answer, const uint8_t nonce[WS_NONCE_LEN],
			 struct failure *failure)
{
	const struct slice accepted = answer->values[FIELD_ACCEPT];
	char key[KEY_LEN + 1];
	char accept[ACCEPT_LEN + 1];

	put_key(nonce, key);
	put_accept(slice_of(key, KEY_LEN), accept);
	if (!answer->upgrade_websocket || !answer->connection_upgrade || !accepted.at ||
	    !slice_equal(accepted, slice_of(accept, ACCEPT_LEN)))
		return failure_set(failure, "its answer is not one to this WebSocket handshake");
	return answer->protocol || failure_set(failure, "the WebSocket there does not speak mqtt");
}

enum ws_opening_step ws_opening_answered(struct slice bytes, const uint8_t nonce[WS_NONCE_LEN],
					 size_t *used, struct failure *failure)
{
	const size_t len = length_of(bytes);
	struct request answer = {.protocol = NULL};
	struct slice line;

	if (!is_plain(slice_of(bytes.at, len > 0 ? len : bytes.len)) || len > ANSWER_MAX ||
	    (len == 0 && bytes.len >= ANSWER_MAX)) {
		failure_set(failure, "what answers there does not speak HTTP/1.1");
		return WS_OPENING_REFUSED;
	}
	if (len == 0)
		return WS_OPENING_MORE;
	struct slice rest = slice_of(bytes.at, len - 2);

	next_part(&rest, '\n', &line);
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	if (!check_status(line, failure))
		return WS_OPENING_REFUSED;
	if (!take_fields(&answer, rest)) {
		failure_set(failure, "what answers there does not speak HTTP/1.1");
		return WS_OPENING_REFUSED;
	}
	*used = len;
	return check_answer(&answer, nonce, failure) ? WS_OPENING_DONE : WS_OPENING_REFUSED;
}
