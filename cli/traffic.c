/*
 * traffic.c - `metrino traffic`: asks the running broker what became of deliveries, over
 * control.sock in its data directory (broker/control.h has the protocol).
 */
#include "cli/command.h"
#include "cli/control.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

static const char usage[] =
    "Asks the running broker what became of deliveries in the last hours, 24 at most.\n\n"
    "Usage: metrino traffic [summary | client ID | busiest] [options]\n\n"
    "  summary        what was delivered, and what was not and why, by the hour; the default\n"
    "  client ID      the same of one client: what it published, and what it was to get\n"
    "  busiest        who had most deliveries, by the hour; by pseudonyms that change each hour\n"
    "  --account NAME an account that the client was of; if not said, its session says whose\n"
    "  --hours N      only the last N hours\n"
    "  --last N       of a client: its last N deliveries one by one, 10 if not said, 0 for none\n"
    "  --count N      of the busiest: so many for each hour, 10 if not said\n"
    "  --data DIR     the broker's data directory, which holds control.sock\n"
    "  --socket PATH  the socket itself\n"
    "  --json         the broker's answer as it is, one JSON object a line\n\n"
    "What there is begins with the start of the broker: the keys are in its memory only.\n";

#define LAST_FALLBACK 10

struct request {
	const char *command; /* summary, client or busiest */
	const char *client_id;
	const char *account;
	const char *data;
	const char *socket;
	const char *hours, *last, *count;
	bool json;
	bool help;
};

/* What stands above the lines that come next. */
enum part { PART_NONE, PART_HOURS, PART_ROWS, PART_REASONS };

struct printing {
	const struct request *request;
	enum part part;
	char day[16]; /* said last */
};

/* ---- what is asked ---- */

static const char **value_of(struct request *r, const char *word)
{
	const struct {
		const char *word;
		const char **value;
	} values[] = {{"--account", &r->account}, {"--hours", &r->hours}, {"--last", &r->last},
		      {"--count", &r->count},	  {"--data", &r->data},	  {"--socket", &r->socket},
		      {"client", &r->client_id}};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (strcmp(values[i].word, word) == 0)
			return values[i].value;
	return NULL;
}

static bool is_command(const char *word)
{
	return strcmp(word, "summary") == 0 || strcmp(word, "client") == 0 ||
	       strcmp(word, "busiest") == 0;
}

static bool read_arguments(struct request *r, int argc, char **argv, struct failure *failure)
{
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		const char **value = value_of(r, word);

		if (is_command(word) && r->command != NULL)
			return failure_set(failure, "One question at a time: '%s' is too many.",
					   word);
		if (is_command(word))
			r->command = word;
		/* `client --json` lacks its ID; a client could have that one, but hardly. */
		if (value != NULL && (i + 1 >= argc || value_of(r, argv[i + 1]) != NULL ||
				      strcmp(argv[i + 1], "--json") == 0))
			return failure_set(failure, "%s needs a word behind it.", word);
		if (value != NULL)
			*value = argv[++i];
		else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			r->help = true;
		else if (strcmp(word, "--json") == 0)
			r->json = true;
		else if (!is_command(word))
			return failure_set(
			    failure,
			    "Unknown argument '%.80s'. It must be summary, client "
			    "ID, busiest, --account NAME, --hours N, --last N, --count N, --data "
			    "DIR, --socket PATH or --json.",
			    word);
	}
	if (r->command == NULL)
		r->command = "summary";
	return true;
}

static bool add_number(json_t *object, const char *name, const char *text, long max,
		       struct failure *failure)
{
	char *end;

	if (text == NULL)
		return true;
	errno = 0;
	const long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || errno != 0 || value < 0 || value > max)
		return failure_set(failure, "--%s %.40s: it must be a whole number up to %ld.",
				   name, text, max);
	return json_object_set_new(object, name, json_integer(value)) == 0;
}

/* NULL with a failure. */
static json_t *request_of(const struct request *r, struct failure *failure)
{
	char command[32];

	snprintf(command, sizeof(command), "traffic.%s", r->command);
	json_t *object = json_pack("{s:s, s:s*, s:s*}", "command", command, "client_id",
				   r->client_id, "account", r->account);

	if (object == NULL) {
		failure_set(failure, "The client id, or the account, is not UTF-8.");
		return NULL;
	}
	if (!add_number(object, "hours", r->hours, 24, failure) ||
	    !add_number(object, "last", r->last, 1000, failure) ||
	    !add_number(object, "count", r->count, 1000, failure)) {
		json_decref(object);
		return NULL;
	}
	if (r->last == NULL)
		json_object_set_new(object, "last", json_integer(LAST_FALLBACK));
	return object;
}

/* ---- for people ---- */

static long long number_in(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *text_in(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "-";
}

/* "2026-11-25 14:00:00" in UTC. */
static const char *time_text(long long seconds, char text[32])
{
	const time_t at = (time_t)seconds;
	struct tm utc;

	snprintf(text, 32, "-");
	if (seconds > 0 && gmtime_r(&at, &utc) != NULL)
		strftime(text, 32, "%Y-%m-%d %H:%M:%S", &utc);
	return text;
}

static bool begins(struct printing *p, enum part part)
{
	const bool new_part = p->part != part;

	if (new_part && p->part != PART_NONE)
		putchar('\n');
	p->part = part;
	return new_part;
}

static long long all_undelivered(const json_t *line)
{
	const char *reason;
	json_t *count;
	long long sum = 0;

	json_object_foreach (json_object_get(line, "undelivered"), reason, count) {
		sum += json_integer_value(count);
	}
	return sum;
}

static void print_hour(struct printing *p, const json_t *line)
{
	const json_t *by_qos = json_object_get(line, "delivered");
	const bool of_client = json_object_get(line, "role") != NULL;
	char text[32];

	if (begins(p, PART_HOURS))
		printf("%-19s  %s %10s %10s %10s %10s  %s\n", "HOUR (UTC)",
		       of_client ? "AS        " : "", "QOS 0", "QOS 1", "QOS 2", "NOT",
		       of_client ? "OTHERS" : "FROM / TO");
	printf("%s ", time_text(number_in(line, "hour"), text));
	if (of_client)
		printf(" %-10s", text_in(line, "role"));
	for (size_t qos = 0; qos < 3; qos++)
		printf(" %10lld", (long long)json_integer_value(json_array_get(by_qos, qos)));
	printf(" %10lld  ", all_undelivered(line));
	if (of_client)
		printf("%lld\n", number_in(line, "clients"));
	else
		printf("%lld / %lld\n", number_in(line, "publishers"),
		       number_in(line, "subscribers"));
}

static void print_busy(struct printing *p, const json_t *line)
{
	char text[32];

	if (begins(p, PART_HOURS))
		printf("%-19s  %-16s %10s %10s\n", "HOUR (UTC)", "PSEUDONYM", "PUBLISHED",
		       "RECEIVED");
	printf("%s  %-16s %10lld %10lld\n", time_text(number_in(line, "hour"), text),
	       text_in(line, "pseudonym"), number_in(line, "published"),
	       number_in(line, "received"));
}

static void print_row(struct printing *p, const json_t *line)
{
	const long long at_ms = number_in(line, "at_ms");
	char text[32];

	if (begins(p, PART_ROWS))
		printf("%-23s  %-10s  %-3s  %-16s  %s\n", "TIME (UTC)", "AS", "QOS", "OTHER",
		       "OUTCOME");
	printf("%s.%03lld  %-10s  %-3lld  %-16s  %s\n", time_text(at_ms / 1000, text), at_ms % 1000,
	       text_in(line, "role"), number_in(line, "qos"), text_in(line, "other"),
	       text_in(line, "outcome"));
}

static void print_reason(struct printing *p, const json_t *line)
{
	const bool of_client = json_object_get(line, "role") != NULL;
	char text[32];

	if (begins(p, PART_REASONS))
		printf("%-14s  %s%10s  %-19s\n", "NOT DELIVERED", of_client ? "AS          " : "",
		       "HOW OFTEN", "LAST (UTC)");
	printf("%-14s  ", text_in(line, "outcome"));
	if (of_client)
		printf("%-10s  ", text_in(line, "role"));
	printf("%10lld  %s  %s\n", number_in(line, "rows"),
	       time_text(number_in(line, "last_at_ms") / 1000, text), text_in(line, "meaning"));
}

static const char *plural(long long n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

static void print_end(struct printing *p, const json_t *line)
{
	const long long lost = number_in(line, "lost_rows");
	const long long damaged = number_in(line, "damaged_rows");
	const bool busiest = strcmp(p->request->command, "busiest") == 0;
	const long long made = number_in(line, "delivered");
	const long long others = number_in(line, "undelivered");
	char text[32];

	begins(p, PART_NONE);
	if (!busiest && made + others == 0)
		printf("No deliveries");
	else if (!busiest)
		printf("%lld %s, %lld not", made, plural(made, "delivery", "deliveries"), others);
	else
		printf("By deliveries that were made");
	printf("; recorded since %s UTC, for %lld hours at most.\n",
	       time_text(number_in(line, "since"), text),
	       (number_in(line, "kept_seconds") + 3599) / 3600);
	if (lost > 0)
		printf("%lld rows are missing: the disk was too slow, or failed.\n", lost);
	if (damaged > 0)
		printf("%lld rows are missing: data.mdb is damaged, they cannot be read.\n",
		       damaged);
}

/* ---- the answer ---- */

static bool print(void *self, const json_t *line, struct slice text, struct failure *failure)
{
	struct printing *p = self;

	(void)text;
	(void)failure;
	if (control_is_last(line))
		print_end(p, line);
	else if (json_object_get(line, "pseudonym") != NULL)
		print_busy(p, line);
	else if (json_object_get(line, "hour") != NULL)
		print_hour(p, line);
	else if (json_object_get(line, "at_ms") != NULL)
		print_row(p, line);
	else
		print_reason(p, line);
	return true;
}

static bool ask(const struct request *r, struct failure *failure)
{
	struct printing printing = {.request = r};
	json_t *request = request_of(r, failure);

	return request && control_ask(
			      &(struct control_question){
				  .data = r->data,
				  .socket = r->socket,
				  .request = request,
				  .json = r->json,
				  .self = &printing,
				  .take = print,
			      },
			      failure);
}

int command_traffic(int argc, char **argv)
{
	struct request request = {0};
	struct failure failure;

	if (!read_arguments(&request, argc, argv, &failure))
		return command_misused("traffic", &failure);
	if (request.help) {
		fputs(usage, stdout);
		return 0;
	}
	return control_exit(ask(&request, &failure), &failure);
}
