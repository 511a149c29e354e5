/*
 * control_records.c - commands of the control socket about what is kept of days and of
 * logins: control.h has the protocol.
 */
#include "broker/control_internal.h"
#include <time.h>

struct listing {
	FILE *out;
	json_int_t count;
};

static void say_done(const struct listing *listing)
{
	control_say(listing->out, json_pack("{s:b, s:I}", "ok", 1, "count", listing->count));
}

/* "2026-11-25", or with the minute. */
static void write_time(char text[32], uint64_t at_s, const char *format)
{
	const time_t seconds = (time_t)at_s;
	struct tm utc;

	gmtime_r(&seconds, &utc);
/* One of the two of this file. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	must(strftime(text, 32, format, &utc) > 0);
#pragma GCC diagnostic pop
}

/* ---- releases of days */

static void say_release(void *self, const struct aggregate_release *release)
{
	struct listing *listing = self;
	char day[32];

	write_time(day, release->day * 86400, "%Y-%m-%d");
	json_t *line = json_pack("{s:s, s:b}", "day", day, "kept", release->kept);

	if (release->kept) {
		json_object_set_new(line, "accounts", json_integer(release->accounts));
		json_object_set_new(line, "qos0", json_integer(release->of_qos[0]));
		json_object_set_new(line, "qos1", json_integer(release->of_qos[1]));
		json_object_set_new(line, "qos2", json_integer(release->of_qos[2]));
	}
	control_say(listing->out, line);
	listing->count++;
}

static void list_releases(const struct control_source *source, const json_t *request, FILE *out)
{
	struct listing listing = {.out = out};

	(void)request;
	if (source->aggregate)
		aggregate_each(source->aggregate, &listing, say_release);
	say_done(&listing);
}

/* ---- logins of an account */

static void say_login(void *self, const struct auth_log_row *row)
{
	struct listing *listing = self;
	char minute[32];

	write_time(minute, row->minute_s, "%Y-%m-%dT%H:%MZ");
	control_say(listing->out, json_pack("{s:s, s:s}", "minute", minute, "result",
					    auth_log_result_text(row->result)));
	listing->count++;
}

static void keep_row(void *self, const struct account *account)
{
	*(uint64_t *)self = account->row;
}

static void list_logins(const struct control_source *source, const json_t *request, FILE *out)
{
	const json_t *name = json_object_get(request, "account");
	struct listing listing = {.out = out};
	struct failure failure;
	uint64_t row = 0;

	if (!json_is_string(name))
		control_say_error(out, "logins.list needs \"account\", a string");
	else if (!source->accounts || !source->auth_log)
		control_say_error(out, "there are no accounts without a data directory");
	else if (!accounts_tell(source->accounts,
				slice_of(json_string_value(name), json_string_length(name)), &row,
				keep_row, &failure) ||
		 !auth_log_each(source->auth_log, row, &listing, say_login, &failure))
		control_say_error(out, failure.text);
	else
		say_done(&listing);
}

const struct control_command control_record_commands[] = {
    {"aggregate.list", AUDIT_WORD_RIGHT_AGGREGATE_LIST, false, list_releases},
    {"logins.list", AUDIT_WORD_RIGHT_LOGINS_LIST, true, list_logins},
    {NULL, AUDIT_WORDS, false, NULL}};
