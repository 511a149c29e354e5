/* admin.c - see admin.h. */
#include "proto/version.h"
#include "broker/admin.h"
#include "broker/http.h"
#include "broker/net/listener.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define OK	    200u
#define NOT_FOUND   404u
#define UNAVAILABLE 503u

#define JSON_TYPE	"application/json"
#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct admin {
	struct http *http;
	struct admin_source source;
};

/* ---- the pages */

static struct http_answer json_answer(unsigned int status, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	must(text);
	json_decref(json);
	return (struct http_answer){.status = status,
				    .is_costly = true,
				    .type = JSON_TYPE,
				    .body = text,
				    .len = strlen(text)};
}

static struct http_answer show_metrics(const struct admin *admin)
{
	struct http_answer answer = {.status = OK, .is_costly = true, .type = PROMETHEUS_TYPE};
	struct metrics metrics;

	admin->source.metrics(admin->source.self, &metrics);
	answer.body = metrics_text(&metrics, &answer.len);
	return answer;
}

static struct http_answer show_health(const struct admin *admin)
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
	return json_answer(trouble ? UNAVAILABLE : OK, json);
}

static struct http_answer show_ping(const struct admin *admin)
{
	(void)admin;
	return http_text(OK, "pong\n");
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

static struct http_answer show_listeners(const struct admin *admin)
{
	const char *trouble = admin->source.trouble(admin->source.self);
	json_t *list = json_array();

	for (size_t i = 0; i < admin->source.listener_count; i++)
		if (admin->source.listeners[i].address_count > 0)
			json_array_append_new(list, describe(&admin->source.listeners[i]));
	return json_answer(trouble ? UNAVAILABLE : OK, json_pack("{s:o}", "listeners", list));
}

static struct http_answer show_ledger(const struct admin *admin)
{
	struct http_answer answer = {
	    .status = OK, .is_costly = true, .type = "text/html; charset=utf-8"};
	struct ledger ledger;

	admin->source.ledger(admin->source.self, &ledger);
	answer.body = ledger_page(&ledger, &answer.len);
	return answer;
}

static struct http_answer show_ledger_json(const struct admin *admin)
{
	struct http_answer answer = {.status = OK, .is_costly = true, .type = JSON_TYPE};
	struct ledger ledger;

	admin->source.ledger(admin->source.self, &ledger);
	answer.body = ledger_json(&ledger, &answer.len);
	return answer;
}

static const struct {
	const char *path;
	struct http_answer (*show)(const struct admin *admin);
} pages[] = {
    {"/metrics", show_metrics},	 {"/health", show_health},
    {"/health/ping", show_ping}, {"/health/listeners", show_listeners},
    {"/ledger", show_ledger},	 {"/ledger.json", show_ledger_json},
};

static struct http_answer find_answer(void *self, const char *path)
{
	const struct admin *admin = self;

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(path, pages[i].path) == 0)
			return pages[i].show(admin);
	return http_text(NOT_FOUND,
			 "not here: /metrics /health /health/ping /health/listeners /ledger "
			 "/ledger.json\n");
}

/* ---- life */

struct admin *admin_open(const char *address, uint16_t port, const char *token_file,
			 struct failure *failure)
{
	const struct http_options options = {"admin_listener", address, port, token_file, false};
	struct http *http = http_open(&options, failure);

	if (!http)
		return NULL;
	struct admin *admin = calloc(1, sizeof(*admin));

	must(admin);
	admin->http = http;
	return admin;
}

uint16_t admin_port(const struct admin *admin)
{
	return http_port(admin->http);
}

bool admin_start(struct admin *admin, const struct admin_source *source, struct failure *failure)
{
	admin->source = *source;
	return http_start(admin->http, find_answer, admin, failure);
}

void admin_destroy(struct admin *admin)
{
	if (!admin)
		return;
	http_destroy(admin->http);
	free(admin);
}
