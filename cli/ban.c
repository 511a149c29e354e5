/*
 * ban.c - `metrino ban`: the addresses that the running broker has banned after failed logins, and
 * the clients that it has banned because they connect too often.
 */
#include "cli/command.h"
#include "cli/control.h"

#include <jansson.h>
#include <stdlib.h>

static const char usage[] =
    "Shows and lifts bans: of addresses after failed logins (auth_fail_ban), and of clients\n"
    "that connect too often (reconnect_ban).\n\n"
    "Usage: metrino ban [list | lift ADDRESS | lift-client ID] [--data DIR | --socket PATH]\n"
    "                   [--json]\n\n"
    "  list           one line for each ban: the seconds that are left, why, and the address\n"
    "                 or client identifier; the default\n"
    "  lift ADDRESS   end a ban; of IPv6 any address of the network\n"
    "  lift-client ID likewise, of a client identifier\n"
    "  --data DIR     the broker's data directory, which holds control.sock\n"
    "  --socket PATH  the socket itself\n"
    "  --json         the broker's answer as it is, one JSON object a line\n";

struct request {
	const char *address; /* to lift, */
	const char *client;  /* or this; both NULL: list */
	const char *data;
	const char *socket;
	bool json;
	bool help;
};

static bool read_arguments(struct request *r, int argc, char **argv, struct failure *failure)
{
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		const char **value = strcmp(word, "lift") == 0		? &r->address
				     : strcmp(word, "lift-client") == 0 ? &r->client
				     : strcmp(word, "--data") == 0	? &r->data
				     : strcmp(word, "--socket") == 0	? &r->socket
									: NULL;

		if (value != NULL && i + 1 >= argc)
			return failure_set(failure, "%s needs a word behind it.", word);
		if (value != NULL)
			*value = argv[++i];
		else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			r->help = true;
		else if (strcmp(word, "--json") == 0)
			r->json = true;
		else if (strcmp(word, "list") != 0)
			return failure_set(failure,
					   "Unknown argument '%.80s'. It must be list, lift "
					   "ADDRESS, lift-client ID, --data DIR, --socket PATH or "
					   "--json.",
					   word);
	}
	if (r->address != NULL && r->client != NULL)
		return failure_set(failure, "lift and lift-client end one ban at a time.");
	return true;
}

static bool print(void *self, const json_t *line, struct slice text, struct failure *failure)
{
	const json_t *address = json_object_get(line, "address");
	const json_t *who = address != NULL ? address : json_object_get(line, "client_id");
	const char *reason = json_string_value(json_object_get(line, "reason"));

	(void)self;
	(void)text;
	if (control_is_last(line))
		return true;
	if (!json_is_string(who) || reason == NULL)
		return failure_set(failure, "The broker's answer is not understood; is it another "
					    "version?");
	printf("%5lld %-18s %-9s ",
	       (long long)json_integer_value(json_object_get(line, "seconds_left")), reason,
	       address != NULL ? "address" : "client_id");
	control_print_text(slice_of(json_string_value(who), json_string_length(who)));
	puts(json_is_true(json_object_get(line, "cut")) ? "..." : "");
	return true;
}

static json_t *request_of(const struct request *r)
{
	if (r->client != NULL)
		return json_pack("{s:s, s:s}", "command", "bans.lift", "client_id", r->client);
	return json_pack("{s:s, s:s*}", "command", r->address ? "bans.lift" : "bans.list",
			 "address", r->address);
}

static bool ask(const struct request *r, struct failure *failure)
{
	return control_ask(
	    &(struct control_question){
		.data = r->data,
		.socket = r->socket,
		.request = request_of(r),
		.json = r->json,
		.take = print,
	    },
	    failure);
}

int command_ban(int argc, char **argv)
{
	struct request request = {0};
	struct failure failure;

	if (!read_arguments(&request, argc, argv, &failure))
		return command_misused("ban", &failure);
	if (request.help) {
		fputs(usage, stdout);
		return 0;
	}
	return control_exit(ask(&request, &failure), &failure);
}
