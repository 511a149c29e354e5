/* control_traffic.c - the commands about what became of deliveries: control.h has the protocol. */
#include "broker/control_internal.h"

#include "broker/net/moment.h"
#include <stdlib.h>

#define HOURS_MAX    24
#define LAST_MAX     1000
#define COUNT_MAX    1000
#define NAME_SHOWN   8u /* bytes of a pseudonym */
#define NAME_LETTERS (2 * NAME_SHOWN + 1)

static const char *const roles[TRAFFIC_ROLES] = {"publisher", "subscriber"};

/* One answer on its way. */
struct telling {
	FILE *out;
	bool of_client;
	size_t busiest; /* so many of an hour are wanted; 0: none */
	size_t lines;	/* of them */
	struct control_traffic_facts facts;
	uint64_t totals[TRAFFIC_ROLES][ROUTE_OUTCOMES];
	uint64_t last_ms[TRAFFIC_ROLES][ROUTE_OUTCOMES];
};

static void write_name(const struct route_name *name, char text[NAME_LETTERS])
{
	for (unsigned i = 0; i < NAME_SHOWN; i++)
		snprintf(text + (size_t)2 * i, 3, "%02x", name->at[i]);
}

static uint64_t sum(const uint64_t by_qos[3])
{
	return by_qos[0] + by_qos[1] + by_qos[2];
}

static json_t *delivered(const uint64_t by_qos[3])
{
	return json_pack("[I, I, I]", (json_int_t)by_qos[0], (json_int_t)by_qos[1],
			 (json_int_t)by_qos[2]);
}

static json_t *undelivered(const struct traffic_epoch *epoch, int role)
{
	json_t *reasons = json_object();

	for (int i = ROUTE_DELIVERED + 1; i < ROUTE_OUTCOMES; i++)
		if (sum(epoch->rows[role][i]) > 0)
			json_object_set_new(reasons, route_outcome_word((enum route_outcome)i),
					    json_integer((json_int_t)sum(epoch->rows[role][i])));
	return reasons;
}

static bool is_empty(const struct traffic_epoch *epoch, int role)
{
	for (int i = 0; i < ROUTE_OUTCOMES; i++)
		if (sum(epoch->rows[role][i]) > 0)
			return false;
	return true;
}

static json_int_t hour_of(const struct telling *telling, const struct traffic_epoch *epoch)
{
	return (json_int_t)epoch->epoch * telling->facts.epoch_s;
}

static json_int_t count_of(const struct traffic_epoch *epoch, int role)
{
	return (json_int_t)epoch->names[role].count;
}

static void add_up(struct telling *telling, const struct traffic_epoch *epoch)
{
	for (int role = 0; role < TRAFFIC_ROLES; role++)
		for (int i = 0; i < ROUTE_OUTCOMES; i++) {
			telling->totals[role][i] += sum(epoch->rows[role][i]);
			if (telling->last_ms[role][i] < epoch->last_ms[role][i])
				telling->last_ms[role][i] = epoch->last_ms[role][i];
		}
}

/* ---- an hour of everybody, of a client, and of the busiest */

static void tell_hour(void *self, const struct traffic_epoch *epoch)
{
	struct telling *telling = self;

	add_up(telling, epoch);
	if (is_empty(epoch, TRAFFIC_PUBLISHED))
		return;
	control_say(telling->out,
		    json_pack("{s:I, s:o, s:o, s:I, s:I}", "hour", hour_of(telling, epoch),
			      "delivered",
			      delivered(epoch->rows[TRAFFIC_PUBLISHED][ROUTE_DELIVERED]),
			      "undelivered", undelivered(epoch, TRAFFIC_PUBLISHED), "publishers",
			      count_of(epoch, TRAFFIC_PUBLISHED), "subscribers",
			      count_of(epoch, TRAFFIC_RECEIVED)));
}

static void tell_hour_of_client(void *self, const struct traffic_epoch *epoch)
{
	struct telling *telling = self;

	add_up(telling, epoch);
	for (int role = 0; role < TRAFFIC_ROLES; role++)
		if (!is_empty(epoch, role))
			control_say(telling->out,
				    json_pack("{s:I, s:s, s:o, s:o, s:I, s:I}", "hour",
					      hour_of(telling, epoch), "role", roles[role],
					      "delivered",
					      delivered(epoch->rows[role][ROUTE_DELIVERED]),
					      "undelivered", undelivered(epoch, role), "clients",
					      count_of(epoch, role), "last_delivered_at_ms",
					      (json_int_t)epoch->last_ms[role][ROUTE_DELIVERED]));
}

struct busy {
	struct route_name name;
	uint64_t counts[TRAFFIC_ROLES];
};

static uint64_t weight(const struct busy *busy)
{
	return busy->counts[TRAFFIC_PUBLISHED] + busy->counts[TRAFFIC_RECEIVED];
}

static int by_weight(const void *a, const void *b)
{
	const uint64_t first = weight(a), second = weight(b);

	return first > second ? -1 : first < second ? 1 : memcmp(a, b, sizeof(struct route_name));
}

static int by_name(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct route_name));
}

/* Everybody of an hour, each once; to be freed. */
static struct busy *merge(const struct traffic_epoch *epoch, size_t *count)
{
	struct busy *all = calloc(epoch->names[0].count + epoch->names[1].count + 1, sizeof(*all));
	size_t n = 0, kept = 0;

	must(all);
	for (int role = 0; role < TRAFFIC_ROLES; role++)
		for (size_t i = 0; i < epoch->names[role].room; i++) {
			const struct name_count *one = &epoch->names[role].at[i];

			if (one->count == 0)
				continue;
			all[n].name = one->name;
			all[n++].counts[role] = one->count;
		}
	qsort(all, n, sizeof(*all), by_name);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && by_name(&all[kept - 1], &all[i]) == 0)
			for (int role = 0; role < TRAFFIC_ROLES; role++)
				all[kept - 1].counts[role] += all[i].counts[role];
		else
			all[kept++] = all[i];
	}
	*count = kept;
	return all;
}

static void tell_busiest(void *self, const struct traffic_epoch *epoch)
{
	struct telling *telling = self;
	size_t count;
	struct busy *all = merge(epoch, &count);

	qsort(all, count, sizeof(*all), by_weight);
	for (size_t i = 0; i < count && i < telling->busiest; i++) {
		char text[NAME_LETTERS];

		write_name(&all[i].name, text);
		control_say(telling->out,
			    json_pack("{s:I, s:s, s:I, s:I}", "hour", hour_of(telling, epoch),
				      "pseudonym", text, "published",
				      (json_int_t)all[i].counts[TRAFFIC_PUBLISHED], "received",
				      (json_int_t)all[i].counts[TRAFFIC_RECEIVED]));
		telling->lines++;
	}
	free(all);
}

/* ---- behind the hours */

static void tell_reasons(struct telling *telling)
{
	const int count = telling->of_client ? TRAFFIC_ROLES : 1;

	for (int role = 0; role < count; role++)
		for (int i = ROUTE_DELIVERED + 1; i < ROUTE_OUTCOMES; i++) {
			const enum route_outcome outcome = (enum route_outcome)i;

			if (telling->totals[role][i] == 0)
				continue;
			control_say(telling->out,
				    json_pack("{s:s, s:s*, s:s, s:I, s:I}", "outcome",
					      route_outcome_word(outcome), "role",
					      telling->of_client ? roles[role] : NULL, "meaning",
					      route_outcome_meaning(outcome), "rows",
					      (json_int_t)telling->totals[role][i], "last_at_ms",
					      (json_int_t)telling->last_ms[role][i]));
		}
}

static void tell_row(void *self, const struct traffic_row *row)
{
	const struct telling *telling = self;
	char other[NAME_LETTERS];

	if (row->known)
		write_name(&row->other, other);
	control_say(telling->out,
		    json_pack("{s:I, s:s, s:i, s:s, s:s?}", "at_ms", (json_int_t)row->at_ms, "role",
			      roles[row->role], "qos", row->qos, "outcome",
			      route_outcome_word((enum route_outcome)row->outcome), "other",
			      row->known ? other : NULL));
}

static void tell_end(const struct telling *telling)
{
	const struct control_traffic_facts *facts = &telling->facts;
	json_int_t made = 0, others = 0;
	json_t *line = json_pack("{s:b}", "ok", 1);

	for (int role = 0; role < TRAFFIC_ROLES; role++)
		for (int i = 0; i < ROUTE_OUTCOMES; i++)
			*(i == ROUTE_DELIVERED ? &made : &others) +=
			    (json_int_t)telling->totals[role][i];
	if (telling->busiest > 0)
		json_object_set_new(line, "count", json_integer((json_int_t)telling->lines));
	else
		json_object_set_new(line, "delivered", json_integer(made));
	if (telling->busiest == 0)
		json_object_set_new(line, "undelivered", json_integer(others));
	json_object_set_new(line, "hour_seconds", json_integer(facts->epoch_s));
	json_object_set_new(line, "kept_seconds", json_integer(facts->expiry_s));
	json_object_set_new(line, "since", json_integer((json_int_t)facts->started_s));
	json_object_set_new(line, "lost_rows", json_integer((json_int_t)facts->rows_dropped));
	json_object_set_new(line, "damaged_rows", json_integer((json_int_t)facts->rows_damaged));
	control_say(telling->out, line);
}

/* ---- questions */

/* A whole number from 1 (or from 0) to max; `fallback` where there is none. */
static bool read_number(const json_t *request, const char *name, json_int_t min, json_int_t max,
			json_int_t fallback, json_int_t *value, FILE *out)
{
	const json_t *field = json_object_get(request, name);
	char sentence[128];

	*value = field ? json_integer_value(field) : fallback;
	if ((!field || json_is_integer(field)) && *value >= min && *value <= max)
		return true;
	snprintf(sentence, sizeof(sentence), "\"%s\" is a whole number from %d to %d", name,
		 (int)min, (int)max);
	control_say_error(out, sentence);
	return false;
}

static void answer(const struct control_source *source, const json_t *request, FILE *out)
{
	const char *command = json_string_value(json_object_get(request, "command"));
	const json_t *id = json_object_get(request, "client_id");
	const json_t *account = json_object_get(request, "account");
	struct telling telling = {.out = out, .of_client = strcmp(command, "traffic.client") == 0};
	const bool busiest = strcmp(command, "traffic.busiest") == 0;
	struct failure failure;
	json_int_t hours, last, count;

	if (telling.of_client && !json_is_string(id)) {
		control_say_error(out, "traffic.client needs \"client_id\", a string");
		return;
	}
	if (!read_number(request, "hours", 1, HOURS_MAX, HOURS_MAX, &hours, out) ||
	    !read_number(request, "last", 0, LAST_MAX, 0, &last, out) ||
	    !read_number(request, "count", 1, COUNT_MAX, 10, &count, out))
		return;
	telling.busiest = busiest ? (size_t)count : 0;
	const struct control_traffic asked = {
	    .client_id = telling.of_client ? slice_of(json_string_value(id), json_string_length(id))
					   : SLICE_NONE,
	    .account = json_is_string(account)
			   ? slice_of(json_string_value(account), json_string_length(account))
			   : SLICE_NONE,
	    .question = {.since_ms = (moment_now().wall_s - (uint64_t)hours * 3600) * 1000,
			 .last = telling.of_client ? (size_t)last : 0,
			 .self = &telling,
			 .epoch = busiest	      ? tell_busiest
				  : telling.of_client ? tell_hour_of_client
						      : tell_hour},
	    .row = tell_row,
	    .facts = &telling.facts,
	};
	if (!source->traffic(source->self, &asked, &failure)) {
		control_say_error(out, failure.text);
		return;
	}
	if (!busiest)
		tell_reasons(&telling);
	tell_end(&telling);
}

const struct control_command control_traffic_commands[] = {
    {"traffic.summary", AUDIT_WORD_RIGHT_TRAFFIC, true, answer},
    {"traffic.client", AUDIT_WORD_RIGHT_TRAFFIC, true, answer},
    {"traffic.busiest", AUDIT_WORD_RIGHT_TRAFFIC, true, answer},
    {0},
};
