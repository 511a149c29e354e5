/* http.c - see http.h; the one file that knows libmicrohttpd. */
#include "broker/http.h"
#include "broker/http_cache.h"
#include "broker/net/http_target.h"
#include "broker/net/listener.h"
#include "broker/net/moment.h"
#include "broker/net/whole_file.h"
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOKEN_MIN	16u
#define TOKEN_MAX	512u
#define CONNECTIONS_MAX 64u
#define TIMEOUT_S	10u
#define BODY_MAX	(1u << 20)
#define BODY_READ_MAX	(16u << 20)

/* What an answer above twice HTTP_ANSWERS_MAX costs: then a second has a thousand of them. */
#define REST_US 1000u

/* Beside messages, pages are for when there is time. */
#define NICE 10

struct token {
	size_t len;
	char text[TOKEN_MAX + 2]; /* one more, so that a longer one shows */
};

/* One that is shut to make room goes a moment later: so long it takes a place. */
#define CONNECTIONS_ROOM (2u * CONNECTIONS_MAX)

/* A connection. */
struct place {
	int fd;	       /* of the server */
	uint64_t turn; /* the n-th event was its last whole request, or its beginning; 0: free */
	size_t body;   /* of the request that comes, so far */
	bool granted;  /* it has had a request that it may */
	bool shut;
};

/* The connections to one address of a server; its thread's. */
struct places {
	struct http *http;
	uint64_t turns;
	struct place at[CONNECTIONS_ROOM];
};

/* The answers of a second. */
struct allowance {
	_Atomic uint64_t second;
	_Atomic uint32_t answered;
};

struct http {
	const char *name;
	bool is_public;
	struct listener listener;
	struct connection_limit limit; /* what a listener wants; the server has its own */
	http_page *page;
	void *self;
	struct http_cache cache;
	struct MHD_Daemon *daemons[LISTENER_ADDRESSES_MAX];
	struct places places[LISTENER_ADDRESSES_MAX];
	struct allowance granted;
	struct allowance refused; /* without the token: they take nothing from who has it */
	struct token token;
};

/* ---- the token */

static bool check_token(const struct token *token, const char *file, struct failure *failure)
{
	if (token->len >= TOKEN_MIN && token->len <= TOKEN_MAX)
		return true;
	return failure_set(failure,
			   "admin_token_file \"%s\": the first line must be a token of %u to %u "
			   "characters; `openssl rand -hex 32` makes one",
			   file, TOKEN_MIN, TOKEN_MAX);
}

static bool read_token(struct token *token, const char *file, struct failure *failure)
{
	struct slice bytes;

	if (!whole_file_read("admin_token_file", file, &bytes, failure))
		return false;
	snprintf(token->text, sizeof(token->text), "%s", (const char *)bytes.at);
	whole_file_free(bytes);
	token->len = strcspn(token->text, "\r\n");
	return check_token(token, file, failure);
}

bool http_check_token_file(const char *file, struct failure *failure)
{
	struct token token;
	const bool right = read_token(&token, file, failure);

	explicit_bzero(&token, sizeof(token));
	return right;
}

/* Takes the same time wherever the first difference is. */
static bool is_token(const struct token *token, const char *offered)
{
	size_t len = strlen(offered);
	unsigned int difference = len != token->len;

	for (size_t i = 0; i < token->len; i++)
		difference |=
		    (unsigned char)token->text[i] ^ (unsigned char)(i < len ? offered[i] : 0);
	return difference == 0;
}

/* The scheme has no case (RFC 9110 section 11.1). */
static bool may_ask(const struct http *http, struct MHD_Connection *connection)
{
	static const char scheme[] = "Bearer ";
	const char *header =
	    MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);

	if (http->token.len == 0)
		return true;
	return header && strncasecmp(header, scheme, sizeof(scheme) - 1) == 0 &&
	       is_token(&http->token, header + sizeof(scheme) - 1);
}

/* ---- how much */

/*
 * A second has HTTP_ANSWERS_MAX answers, so that pages cannot take the time that messages need.  To
 * say no takes time as well: after as many refusals the thread rests before each, so briefly that
 * who has the token, and waits behind strangers, hardly notices.
 */
static bool has_time(struct allowance *allowance, uint64_t now_ms)
{
	const uint64_t second = now_ms / 1000;

	if (atomic_exchange(&allowance->second, second) != second)
		atomic_store(&allowance->answered, 0);
	const uint32_t answered = atomic_fetch_add(&allowance->answered, 1);

	if (answered >= 2 * HTTP_ANSWERS_MAX)
		usleep(REST_US);
	return answered < HTTP_ANSWERS_MAX;
}

/* ---- who may stay */

/* Who never had a request that it may goes first; then who has been quiet longest. */
static bool goes_before(const struct place *a, const struct place *b)
{
	return a->granted != b->granted ? b->granted : a->turn < b->turn;
}

/* The connections are full: one of them is shut, other than the new one. */
static void make_room(struct places *places, const struct place *new)
{
	struct place *first = NULL;
	size_t open = 0;

	for (struct place *at = places->at; at < places->at + CONNECTIONS_ROOM; at++) {
		if (at->turn == 0 || at->shut)
			continue;
		open++;
		if (at != new && (first == NULL || goes_before(at, first)))
			first = at;
	}
	if (open <= CONNECTIONS_MAX || first == NULL)
		return;
	/* The server reads its end then, and closes it. */
	shutdown(first->fd, SHUT_RDWR);
	first->shut = true;
}

static struct place *place_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
	    ->socket_context;
}

/* A connection begins or ends. */
static void notice(void *self, struct MHD_Connection *connection, void **context,
		   enum MHD_ConnectionNotificationCode what)
{
	struct places *places = self;
	struct place *place = places->at;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		place = *context;
		*place = (struct place){0};
		return;
	}
	while (place->turn != 0) {
		place++;
		must(place < places->at + CONNECTIONS_ROOM);
	}
	place->fd =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	place->turn = ++places->turns;
	*context = place;
	make_room(places, place);
}

static void step_back(void)
{
	static _Thread_local bool done;

	if (done)
		return;
	done = true;
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* refused: then it is as it was */
}

/* ---- what the library takes, and HTTP does not allow */

/* Of the fields of one request. */
struct framing {
	unsigned hosts;
	const char *length;
	bool lengths_differ;
};

static enum MHD_Result note_field(void *self, enum MHD_ValueKind kind, const char *name,
				  const char *value)
{
	struct framing *framing = self;

	(void)kind;
	if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0)
		framing->hosts++;
	if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
		framing->lengths_differ |=
		    framing->length && value && strcmp(framing->length, value) != 0;
		framing->length = value;
	}
	return MHD_YES;
}

/*
 * One Host from HTTP/1.1 on, and never two (RFC 9112 section 3.2); of several Content-Lengths none
 * says another length (section 6.3).
 */
static bool is_right(struct MHD_Connection *connection, const char *version)
{
	const bool has_to_have_host = strcmp(version, MHD_HTTP_VERSION_1_0) != 0;
	struct framing framing = {0};

	MHD_get_connection_values(connection, MHD_HEADER_KIND, note_field, &framing);
	return framing.hosts <= 1 && (framing.hosts == 1 || !has_to_have_host) &&
	       !framing.lengths_differ;
}

/* ---- answers */

struct http_answer http_text(unsigned status, const char *text)
{
	char *copy = strdup(text);

	must(copy);
	return (struct http_answer){.status = status,
				    .type = "text/plain; charset=utf-8",
				    .body = copy,
				    .len = strlen(copy)};
}

static struct http_answer page_of(struct http *http, const char *url, uint64_t second)
{
	/* To its end: so it is a text as `url` is. */
	const char *path = (const char *)http_target_path(slice_text(url)).at;
	struct http_answer answer;

	if (http_cache_find(&http->cache, path, second, &answer))
		return answer;
	answer = http->page(http->self, path);
	if (answer.is_costly)
		http_cache_keep(&http->cache, path, second, &answer);
	return answer;
}

static struct http_answer answer_of(struct http *http, struct MHD_Connection *connection,
				    const char *url, const char *method, const char *version)
{
	const uint64_t now_ms = moment_now().ms;
	const bool granted = may_ask(http, connection);

	place_of(connection)->granted |= granted;
	if (!has_time(granted ? &http->granted : &http->refused, now_ms))
		return http_text(MHD_HTTP_TOO_MANY_REQUESTS, "too many requests in this second\n");
	if (!is_right(connection, version))
		return http_text(MHD_HTTP_BAD_REQUEST,
				 "one Host, and one Content-Length at most\n");
	if (place_of(connection)->body > BODY_MAX)
		return http_text(MHD_HTTP_CONTENT_TOO_LARGE, "no page wants a body\n");
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return http_text(MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
	if (!granted)
		return http_text(MHD_HTTP_UNAUTHORIZED,
				 "Authorization: Bearer, with the token of admin_token_file\n");
	return page_of(http, url, now_ms / 1000);
}

static void add_headers(struct MHD_Response *response, const struct http_answer *answer)
{
	/* No page has a script, and nothing may put it into another one. */
	static const char *const always[][2] = {
	    {"X-Content-Type-Options", "nosniff"},
	    {"Referrer-Policy", "no-referrer"},
	    {"Content-Security-Policy",
	     "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}};

	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
				answer->cache ? answer->cache : "no-store");
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		MHD_add_response_header(response, always[i][0], always[i][1]);
	if (answer->status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	if (answer->status == MHD_HTTP_TOO_MANY_REQUESTS)
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
}

/*
 * Where a body ends may be read in two ways, by us and by a proxy before us (RFC 9112
 * section 11.2): what comes behind one is no request, of whomever it would be.
 */
static bool has_body(struct MHD_Connection *connection)
{
	static const char *const headers[] = {MHD_HTTP_HEADER_CONTENT_LENGTH,
					      MHD_HTTP_HEADER_TRANSFER_ENCODING};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		if (MHD_lookup_connection_value(connection, MHD_HEADER_KIND, headers[i]))
			return true;
	return false;
}

/* A request begins, goes on with its body, and is whole. */
static enum MHD_Result respond(void *self, struct MHD_Connection *connection, const char *url,
			       const char *method, const char *version, const char *upload,
			       size_t *upload_len, void **request)
{
	struct places *places = self;
	struct place *place = place_of(connection);

	(void)upload;
	step_back();
	/* Who answers before the request is whole loses the connection; who waits to be told that a
	 * body is wanted is not told (RFC 9110 section 10.1.1). */
	if (*request == NULL &&
	    !MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT)) {
		*request = place;
		place->body = 0;
		return MHD_YES;
	}
	/* No page wants a body.  It is read: else the peer would see a reset, not the answer.  The
	 * library cannot answer within it, so one that is too large is read as well, up to where
	 * only the end of the connection helps. */
	if (*upload_len != 0) {
		place->body += *upload_len;
		*upload_len = 0;
		return place->body <= BODY_READ_MAX ? MHD_YES : MHD_NO;
	}
	place->turn = ++places->turns;
	const struct http_answer answer = answer_of(places->http, connection, url, method, version);
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(answer.len, answer.body, MHD_RESPMEM_MUST_FREE);

	if (!response) {
		free(answer.body);
		return MHD_NO;
	}
	add_headers(response, &answer);
	if (has_body(connection))
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	enum MHD_Result result = MHD_queue_response(connection, answer.status, response);

	MHD_destroy_response(response);
	return result;
}

/* A zero byte would end the text for us, and what stands behind it would not be looked at: as it
 * was written it is no page's path. */
static size_t unescape(void *self, struct MHD_Connection *connection, char *text)
{
	(void)self;
	(void)connection;
	return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

/* ---- life */

static bool open_listener(struct http *http, const struct http_options *options,
			  struct failure *failure)
{
	struct listener_place place = {.port = options->port, .address = options->address};

	if (!listener_open(&http->listener, &place, 1, failure))
		return failure_context(failure, "%s", http->name);
	if (!http->is_public && !http->listener.loopback && http->token.len == 0)
		return failure_set(failure,
				   "%s on %s can be reached from the network and needs "
				   "admin_token_file; or give it the address 127.0.0.1",
				   http->name, http->listener.names[0]);
	return true;
}

struct http *http_open(const struct http_options *options, struct failure *failure)
{
	struct http *http = calloc(1, sizeof(*http));

	must(http);
	http->name = options->name;
	http->is_public = options->is_public;
	http->listener.all = &http->limit;
	http_cache_init(&http->cache);
	if ((!options->token_file || read_token(&http->token, options->token_file, failure)) &&
	    open_listener(http, options, failure))
		return http;
	http_destroy(http);
	return NULL;
}

uint16_t http_port(const struct http *http)
{
	return http->listener.port;
}

bool http_start(struct http *http, http_page *page, void *self, struct failure *failure)
{
	http->page = page;
	http->self = self;
	for (size_t i = 0; i < http->listener.address_count; i++) {
		http->places[i].http = http;
		http->daemons[i] = MHD_start_daemon(
		    MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL, NULL, respond,
		    &http->places[i], MHD_OPTION_LISTEN_SOCKET,
		    listener_socket(&http->listener, i, 0), MHD_OPTION_NOTIFY_CONNECTION, notice,
		    &http->places[i], MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
		    MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_ROOM, MHD_OPTION_CONNECTION_TIMEOUT,
		    TIMEOUT_S, MHD_OPTION_END);
		if (!http->daemons[i])
			return failure_set(failure, "cannot start the thread of %s", http->name);
		/* The server closes the socket from now on. */
		http->listener.sockets[i] = -1;
	}
	return true;
}

void http_destroy(struct http *http)
{
	if (!http)
		return;
	for (size_t i = 0; i < LISTENER_ADDRESSES_MAX; i++)
		if (http->daemons[i])
			MHD_stop_daemon(http->daemons[i]);
	listener_close(&http->listener);
	http_cache_finish(&http->cache);
	explicit_bzero(&http->token, sizeof(http->token));
	free(http);
}
