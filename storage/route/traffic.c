/* traffic.c - see traffic.h. */
#include "storage/route/traffic.h"

#include "storage/route/rows.h"

#include <stdlib.h>

#define ROOM_MIN 256u

struct route_traffic {
	struct traffic_question question;
	bool begun;
	struct traffic_epoch epoch;
	struct traffic_row *rows; /* room for twice question.last */
	size_t row_count;
	/* Of the block at hand, by place: */
	bool is_subject[ROUTE_NAMES_MAX + 1];
	uint32_t made[TRAFFIC_ROLES][ROUTE_NAMES_MAX + 1];
};

/* ---- names ---- */

static struct name_count *find(const struct name_table *table, const struct route_name *name)
{
	uint64_t at;

	memcpy(&at, name->at, sizeof(at));
	for (;; at++) {
		struct name_count *place = &table->at[at & (table->room - 1)];

		if (place->count == 0 || memcmp(&place->name, name, sizeof(*name)) == 0)
			return place;
	}
}

static void grow(struct name_table *table)
{
	const struct name_table old = *table;

	table->room = old.room ? old.room * 2 : ROOM_MIN;
	table->at = calloc(table->room, sizeof(*table->at));
	must(table->at != NULL);
	for (size_t i = 0; i < old.room; i++)
		if (old.at[i].count > 0)
			*find(table, &old.at[i].name) = old.at[i];
	free(old.at);
}

static void add(struct name_table *table, const struct route_name *name, uint64_t count)
{
	if (table->count >= table->room / 4 * 3)
		grow(table);
	struct name_count *place = find(table, name);

	if (place->count == 0) {
		if (table->count == TRAFFIC_NAMES_MAX) {
			table->full = true;
			return;
		}
		place->name = *name;
		table->count++;
	}
	place->count += count;
}

/* ---- epochs ---- */

static void finish_epoch(struct route_traffic *traffic)
{
	if (traffic->begun)
		traffic->question.epoch(traffic->question.self, &traffic->epoch);
	for (int role = 0; role < TRAFFIC_ROLES; role++)
		free(traffic->epoch.names[role].at);
	traffic->epoch = (struct traffic_epoch){0};
	traffic->begun = false;
}

static void begin_epoch(struct route_traffic *traffic, uint32_t epoch)
{
	if (traffic->begun && traffic->epoch.epoch == epoch)
		return;
	finish_epoch(traffic);
	traffic->epoch.epoch = epoch;
	traffic->begun = true;
}

/* ---- rows ---- */

/* A source may have the pseudonym of the epoch in which it published. */
static bool find_subject(struct route_traffic *traffic, const struct route_block *block)
{
	const struct traffic_question *q = &traffic->question;
	bool found = false;

	memset(traffic->is_subject, 0, sizeof(traffic->is_subject));
	for (unsigned i = 0; i < block->name_count; i++)
		for (size_t n = 0; n < q->name_count && !traffic->is_subject[i + 1]; n++)
			traffic->is_subject[i + 1] = memcmp(&block->names[i], &q->names[n].name,
							    sizeof(struct route_name)) == 0;
	for (unsigned i = 1; i <= block->name_count; i++)
		found = found || traffic->is_subject[i];
	return found;
}

/* Shards' blocks do not come in the order of their rows. */
static int by_time(const void *a, const void *b)
{
	const struct traffic_row *first = a;
	const struct traffic_row *second = b;

	return first->at_ms < second->at_ms ? -1 : first->at_ms > second->at_ms;
}

/* In their order, and no more than are wanted. */
static void keep_last(struct route_traffic *traffic)
{
	const size_t last = traffic->question.last;

	qsort(traffic->rows, traffic->row_count, sizeof(*traffic->rows), by_time);
	if (traffic->row_count <= last)
		return;
	memmove(traffic->rows, traffic->rows + traffic->row_count - last,
		last * sizeof(*traffic->rows));
	traffic->row_count = last;
}

static void remember(struct route_traffic *traffic, const struct route_block *block,
		     const struct route_row *row, enum traffic_role role, uint64_t at_ms)
{
	const uint16_t other = role == TRAFFIC_PUBLISHED ? row->destination : row->source;

	if (traffic->question.last == 0)
		return;
	if (traffic->row_count == 2 * traffic->question.last)
		keep_last(traffic);
	struct traffic_row *kept = &traffic->rows[traffic->row_count++];

	*kept = (struct traffic_row){.at_ms = at_ms,
				     .role = role,
				     .qos = row->qos,
				     .outcome = row->outcome,
				     .known = other != 0};
	if (other != 0)
		kept->other = block->names[other - 1];
}

static void count_row(struct route_traffic *traffic, const struct route_row *row,
		      enum traffic_role role, uint64_t at_ms)
{
	uint64_t *last_ms = &traffic->epoch.last_ms[role][row->outcome];

	traffic->epoch.rows[role][row->outcome][row->qos]++;
	if (*last_ms < at_ms)
		*last_ms = at_ms;
}

static void take_everybody(struct route_traffic *traffic, const struct route_row *row,
			   uint64_t at_ms)
{
	count_row(traffic, row, TRAFFIC_PUBLISHED, at_ms);
	if (row->outcome != ROUTE_DELIVERED)
		return;
	traffic->made[TRAFFIC_PUBLISHED][row->source]++;
	traffic->made[TRAFFIC_RECEIVED][row->destination]++;
}

static void take_subject(struct route_traffic *traffic, const struct route_block *block,
			 const struct route_row *row, uint64_t at_ms)
{
	const uint16_t mine[TRAFFIC_ROLES] = {row->source, row->destination};
	const uint16_t others[TRAFFIC_ROLES] = {row->destination, row->source};

	for (int role = 0; role < TRAFFIC_ROLES; role++) {
		if (!traffic->is_subject[mine[role]])
			continue;
		count_row(traffic, row, (enum traffic_role)role, at_ms);
		remember(traffic, block, row, (enum traffic_role)role, at_ms);
		if (row->outcome == ROUTE_DELIVERED)
			traffic->made[role][others[role]]++;
	}
}

/* Once a block for each name: that is cheaper than once a row. */
static void add_names(struct route_traffic *traffic, const struct route_block *block)
{
	for (int role = 0; role < TRAFFIC_ROLES; role++)
		for (unsigned i = 1; i <= block->name_count; i++)
			if (traffic->made[role][i] > 0)
				add(&traffic->epoch.names[role], &block->names[i - 1],
				    traffic->made[role][i]);
}

void route_traffic_block(struct route_traffic *traffic, const struct route_block *block)
{
	const bool everybody = traffic->question.names == NULL;
	struct route_walk walk = route_walk_of(block);

	if (!everybody && !find_subject(traffic, block))
		return;
	begin_epoch(traffic, block->epoch);
	memset(traffic->made, 0, sizeof(traffic->made));
	while (route_walk_next(&walk)) {
		const uint64_t at_ms = block->since_s * 1000 + walk.row.after_ms;

		if (at_ms < traffic->question.since_ms)
			continue;
		if (everybody)
			take_everybody(traffic, &walk.row, at_ms);
		else
			take_subject(traffic, block, &walk.row, at_ms);
	}
	add_names(traffic, block);
}

/* ---- life ---- */

struct route_traffic *route_traffic_create(const struct traffic_question *question)
{
	struct route_traffic *traffic = calloc(1, sizeof(*traffic));

	must(traffic != NULL);
	traffic->question = *question;
	traffic->rows = calloc(2 * question->last + 1, sizeof(*traffic->rows));
	must(traffic->rows != NULL);
	return traffic;
}

void route_traffic_finish(struct route_traffic *traffic,
			  void (*row)(void *self, const struct traffic_row *row))
{
	finish_epoch(traffic);
	keep_last(traffic);
	for (size_t i = 0; i < traffic->row_count; i++)
		row(traffic->question.self, &traffic->rows[i]);
	free(traffic->rows);
	free(traffic);
}

/* ---- words ---- */

static const struct {
	const char *word;
	const char *meaning;
} outcomes[] = {
#define OUTCOME(name, word, meaning) {word, meaning},
#include "storage/route/outcome.def"
#undef OUTCOME
};

const char *route_outcome_word(enum route_outcome outcome)
{
	return outcomes[outcome].word;
}

const char *route_outcome_meaning(enum route_outcome outcome)
{
	return outcomes[outcome].meaning;
}
