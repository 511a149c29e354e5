/* admin.c - see admin.h. */
#include "proto/version.h"
#include "broker/admin.h"
#include "broker/net/listener.h"
#include <errno.h>
#include <jansson.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TOKEN_MIN	16u
#define TOKEN_MAX	512u
#define CONNECTIONS_MAX 64u
#define TIMEOUT_S	10u
#define JSON_TYPE	"application/json"
#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct admin {
	struct listener listener;
	struct connection_limit limit; /* what a listener wants; the server has its own */
	struct admin_source source;
	struct MHD_Daemon *daemons[LISTENER_ADDRESSES_MAX];
	size_t token_len;
	char token[TOKEN_MAX + 1];
};

/* An answer: text is malloc'ed. */
struct answer {
	unsigned int status;
	const char *type;
	char *text;
	size_t len;
};

/* ---- the token */

static bool check_token(const struct admin *admin, const char *file, struct failure *failure)
{
	if (admin->token_len >= TOKEN_MIN && admin->token_len <= TOKEN_MAX)
		return true;
	return failure_set(failure,
			   "admin_token_file \"%s\": the first line must be a token of %u to %u "
			   "characters; `openssl rand -hex 32` makes one",
			   file, TOKEN_MIN, TOKEN_MAX);
}

static bool read_token(struct admin *admin, const char *file, struct failure *failure)
{
	FILE *in = fopen(file, "re");

	if (!in)
		return failure_set(failure, "cannot read admin_token_file \"%s\": %s", file,
				   strerror(errno));
	if (!fgets(admin->token, sizeof(admin->token), in))
		admin->token[0] = '\0';
	fclose(in);
	admin->token_len = strcspn(admin->token, "\r\n");
	return check_token(admin, file, failure);
}

/* Takes the same time wherever the first difference is. */
static bool is_token(const struct admin *admin, const char *offered)
{
	size_t len = strlen(offered);
	unsigned int difference = len != admin->token_len;

	for (size_t i = 0; i < admin->token_len; i++)
		difference |=
		    (unsigned char)admin->token[i] ^ (unsigned char)(i < len ? offered[i] : 0);
	return difference == 0;
}

static bool may_ask(const struct admin *admin, struct MHD_Connection *connection)
{
	static const char scheme[] = "Bearer ";
	const char *header =
	    MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);

	if (admin->token_len == 0)
		return true;
	return header && strncmp(header, scheme, sizeof(scheme) - 1) == 0 &&
	       is_token(admin, header + sizeof(scheme) - 1);
}

/* ---- the pages */

static struct answer text_answer(unsigned int status, const char *text)
{
	char *copy = strdup(text);

	must(copy);
	return (struct answer){
	    .status = status, .type = "text/plain", .text = copy, .len = strlen(copy)};
}

static struct answer json_answer(unsigned int status, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	must(text);
	json_decref(json);
	return (struct answer){
	    .status = status, .type = JSON_TYPE, .text = text, .len = strlen(text)};
}

static struct answer show_metrics(const struct admin *admin)
{
	struct answer answer = {.status = MHD_HTTP_OK, .type = PROMETHEUS_TYPE};
	struct metrics metrics;

	admin->source.metrics(admin->source.self, &metrics);
	answer.text = metrics_text(&metrics, &answer.len);
	return answer;
}

static struct answer show_health(const struct admin *admin)
{
	const char *trouble = admin->source.trouble(admin->source.self);
	struct metrics metrics;

	admin->source.metrics(admin->source.self, &metrics);
	json_t *json = json_pack("{s:s, s:s, s:I, s:I}", "status", trouble ? "failing" : "ok",
				 "version", METRINO_VERSION, "uptime_seconds",
				 (json_int_t)metrics.uptime_s, "clients_connected",
				 (json_int_t)metrics_level(&metrics, HAPPENED_CLIENTS_CONNECTED));

	must(json);
	if (trouble)
		json_object_set_new(json, "reason", json_string(trouble));
	return json_answer(trouble ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, json);
}

static struct answer show_ping(const struct admin *admin)
{
	(void)admin;
	return text_answer(MHD_HTTP_OK, "pong\n");
}

static json_t *describe(const struct listener *listener)
{
	json_t *addresses = json_array();
	uint32_t open = atomic_load_explicit(&listener->limit.open, memory_order_relaxed);

	for (size_t i = 0; i < listener->address_count; i++)
		json_array_append_new(addresses, json_string(listener->names[i]));
	return json_pack("{s:i, s:o, s:I}", "port", (int)listener->port, "addresses", addresses,
			 "connections", (json_int_t)open);
}

static struct answer show_listeners(const struct admin *admin)
{
	const char *trouble = admin->source.trouble(admin->source.self);
	json_t *list = json_array();

	for (size_t i = 0; i < admin->source.listener_count; i++)
		if (admin->source.listeners[i].address_count > 0)
			json_array_append_new(list, describe(&admin->source.listeners[i]));
	return json_answer(trouble ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK,
			   json_pack("{s:o}", "listeners", list));
}

static const struct {
	const char *path;
	struct answer (*show)(const struct admin *admin);
} pages[] = {
    {"/metrics", show_metrics},
    {"/health", show_health},
    {"/health/ping", show_ping},
    {"/health/listeners", show_listeners},
};

static struct answer find_answer(const struct admin *admin, const char *path)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(path, pages[i].path) == 0)
			return pages[i].show(admin);
	return text_answer(MHD_HTTP_NOT_FOUND,
			   "not here: /metrics /health /health/ping /health/listeners\n");
}

static enum MHD_Result respond(void *self, struct MHD_Connection *connection, const char *url,
			       const char *method, const char *version, const char *upload,
			       size_t *upload_len, void **request)
{
	const struct admin *admin = self;
	struct answer answer;

	(void)version;
	(void)upload;
	(void)request;
	if (*upload_len != 0)
		return MHD_NO;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		answer = text_answer(MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
	else if (!may_ask(admin, connection))
		answer = text_answer(MHD_HTTP_UNAUTHORIZED,
				     "Authorization: Bearer, with the token of admin_token_file\n");
	else
		answer = find_answer(admin, url);
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(answer.len, answer.text, MHD_RESPMEM_MUST_FREE);

	if (!response) {
		free(answer.text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (answer.status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	enum MHD_Result result = MHD_queue_response(connection, answer.status, response);

	MHD_destroy_response(response);
	return result;
}

/* ---- life */

static bool open_listener(struct admin *admin, const char *address, uint16_t port,
			  struct failure *failure)
{
	struct listener_place place = {.port = port, .address = address};

	if (!listener_open(&admin->listener, &place, 1, failure))
		return failure_context(failure, "admin_listener");
	if (!admin->listener.loopback && admin->token_len == 0)
		return failure_set(failure,
				   "admin_listener on %s can be reached from the network and needs "
				   "admin_token_file; or give it the address 127.0.0.1",
				   admin->listener.names[0]);
	return true;
}

struct admin *admin_open(const char *address, uint16_t port, const char *token_file,
			 struct failure *failure)
{
	struct admin *admin = calloc(1, sizeof(*admin));

	must(admin);
	admin->listener.all = &admin->limit;
	if ((!token_file || read_token(admin, token_file, failure)) &&
	    open_listener(admin, address, port, failure))
		return admin;
	admin_destroy(admin);
	return NULL;
}

uint16_t admin_port(const struct admin *admin)
{
	return admin->listener.port;
}

bool admin_start(struct admin *admin, const struct admin_source *source, struct failure *failure)
{
	admin->source = *source;
	for (size_t i = 0; i < admin->listener.address_count; i++) {
		admin->daemons[i] = MHD_start_daemon(
		    MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL, NULL, respond, admin,
		    MHD_OPTION_LISTEN_SOCKET, listener_socket(&admin->listener, i, 0),
		    MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		    TIMEOUT_S, MHD_OPTION_END);
		if (!admin->daemons[i])
			return failure_set(failure, "cannot start the thread of admin_listener");
		/* The server closes the socket from now on. */
		admin->listener.sockets[i] = -1;
	}
	return true;
}

void admin_destroy(struct admin *admin)
{
	if (!admin)
		return;
	for (size_t i = 0; i < LISTENER_ADDRESSES_MAX; i++)
		if (admin->daemons[i])
			MHD_stop_daemon(admin->daemons[i]);
	listener_close(&admin->listener);
	explicit_bzero(admin->token, sizeof(admin->token));
	free(admin);
}
