/*
 * clients.c - `metrino clients`: asks the running broker who is there, over
 * control.sock in its data directory (broker/control.h has the protocol).
 * Client identifiers go to the operator's terminal only, control characters escaped.
 */
#include "cli/command.h"
#include "cli/control.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char usage[] =
    "Asks the running broker about its clients.\n\n"
    "Usage: metrino clients [count | list | kick ID] [--data DIR | --socket PATH] [--json]\n\n"
    "  count          how many clients are connected, and how many sessions there are\n"
    "  list           one line for each client\n"
    "  kick ID        disconnect a client\n"
    "  --data DIR     the broker's data directory, which holds control.sock\n"
    "  --socket PATH  the socket itself\n"
    "  --json         the broker's answer as it is, one JSON object a line\n";

struct request {
	const char *command; /* count, list or kick */
	const char *client_id;
	const char *data;
	const char *socket;
	bool json;
	bool help;
};

static bool read_arguments(struct request *r, int argc, char **argv, struct failure *failure)
{
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		const bool takes = strcmp(word, "--data") == 0 || strcmp(word, "--socket") == 0 ||
				   strcmp(word, "kick") == 0;

		if (takes && i + 1 >= argc)
			return failure_set(failure, "%s argument given but no %s specified.", word,
					   *word == 'k' ? "client id" : "path");
		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			r->help = true;
		else if (strcmp(word, "--json") == 0)
			r->json = true;
		else if (strcmp(word, "--data") == 0)
			r->data = argv[++i];
		else if (strcmp(word, "--socket") == 0)
			r->socket = argv[++i];
		else if (r->command != NULL)
			return failure_set(failure, "One command at a time: '%.80s' is too many.",
					   word);
		else if (strcmp(word, "count") == 0 || strcmp(word, "list") == 0)
			r->command = word;
		else if (takes) {
			r->command = word;
			r->client_id = argv[++i];
		} else {
			return failure_set(failure,
					   "Unknown argument '%.80s'. It must be count, list, "
					   "kick ID, --data DIR, --socket PATH or --json.",
					   word);
		}
	}
	if (r->command == NULL)
		r->command = "count";
	return true;
}

static long long number_in(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *version_name(long long version)
{
	return version == 5 ? "5.0" : version == 4 ? "3.1.1" : version == 3 ? "3.1" : "-";
}

static void print_client(const json_t *client)
{
	const json_t *id = json_object_get(client, "client_id");
	const time_t since = (time_t)number_in(client, "connected_at");
	char text[32] = "-";
	struct tm utc;

	if (since > 0 && gmtime_r(&since, &utc) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	printf("%-3s %-5s %5lld %7lld %8lld %-20s ",
	       json_is_true(json_object_get(client, "connected")) ? "yes" : "no",
	       version_name(number_in(client, "version")), number_in(client, "subscriptions"),
	       number_in(client, "queued"), number_in(client, "inflight"), text);
	control_print_text(slice_of(json_string_value(id), json_string_length(id)));
	putchar('\n');
}

static void print_result(const struct request *r, const json_t *answer)
{
	if (strcmp(r->command, "count") == 0)
		printf("%lld connected, %lld sessions\n", number_in(answer, "connected"),
		       number_in(answer, "sessions"));
	else if (strcmp(r->command, "kick") == 0)
		printf("%lld disconnected\n", number_in(answer, "kicked"));
}

struct printing {
	const struct request *request;
	bool begun;
};

static bool print(void *self, const json_t *line, struct slice text, struct failure *failure)
{
	struct printing *printing = self;

	(void)text;
	(void)failure;
	if (!printing->begun && strcmp(printing->request->command, "list") == 0)
		puts("ON  MQTT   SUBS  QUEUED INFLIGHT SINCE                CLIENT ID");
	printing->begun = true;
	if (control_is_last(line))
		print_result(printing->request, line);
	else
		print_client(line);
	return true;
}

static bool ask(const struct request *r, struct failure *failure)
{
	struct printing printing = {.request = r};
	char command[32];

	snprintf(command, sizeof(command), "clients.%s", r->command);
	return control_ask(
	    &(struct control_question){
		.data = r->data,
		.socket = r->socket,
		.request = json_pack("{s:s, s:s*}", "command", command, "client_id", r->client_id),
		.json = r->json,
		.self = &printing,
		.take = print,
	    },
	    failure);
}

int command_clients(int argc, char **argv)
{
	struct request request = {0};
	struct failure failure;

	if (!read_arguments(&request, argc, argv, &failure))
		return command_misused("clients", &failure);
	if (request.help) {
		fputs(usage, stdout);
		return 0;
	}
	return control_exit(ask(&request, &failure), &failure);
}
