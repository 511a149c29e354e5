/* journal.c - see journal.h. */
#include "storage/journal_internal.h"

#include "storage/step.h"

#include <stdlib.h>
#include <utlist.h>

#define SLACK_BYTES (64u * 1024)
#define SLACK_TIMES 4u

#define RECORD_LEN 19u /* about, of a step that is alive */

struct journal *journal_create(void)
{
	struct journal *journal = must_have(calloc(1, sizeof(*journal)));

	journal->next = 1;
	journal->slack_bytes = SLACK_BYTES;
	journal->replaying = true;
	return journal;
}

void journal_set_slack(struct journal *journal, size_t bytes)
{
	journal->slack_bytes = bytes;
}

/* ---- a commit ---- */

static void end_row(struct journal *journal)
{
	if (journal->end_count == journal->end_room) {
		journal->end_room = journal->end_room != 0 ? 2 * journal->end_room : 8;
		journal->ends = must_have(
		    realloc(journal->ends, (size_t)journal->end_room * sizeof(*journal->ends)));
	}
	journal->ends[journal->end_count++] = journal->out_len;
}

static size_t row_begin(const struct journal *journal, uint64_t place)
{
	return place > 0 ? journal->ends[place - 1] : 0;
}

static void write_step(struct journal *journal, const struct store_step *step)
{
	if (journal->out_len - row_begin(journal, journal->end_count) + STEP_LEN_MAX >
	    JOURNAL_BODY_MAX)
		end_row(journal);
	if (journal->out_room - journal->out_len < STEP_LEN_MAX) {
		journal->out_room = journal->out_room != 0 ? 2 * journal->out_room : 4096;
		journal->out = must_have(realloc(journal->out, journal->out_room));
	}
	journal->out_len =
	    (size_t)(step_encode(journal->out + journal->out_len, step) - journal->out);
}

/* Is so little of what is kept alive that it is worth writing again? */
static bool is_slack(const struct journal *journal, size_t dropped)
{
	uint64_t alive = journal->record_count * RECORD_LEN;

	return journal->bytes - dropped > journal->slack_bytes + SLACK_TIMES * alive;
}

static int by_order(const void *a, const void *b)
{
	const struct record *const *first = a;
	const struct record *const *second = b;

	return (*first)->order < (*second)->order ? -1 : 1;
}

static void collect(struct records *records, struct record *record)
{
	if (records->count == records->room) {
		records->room = records->room != 0 ? 2 * records->room : 64;
		records->at = must_have(realloc(records->at, records->room * sizeof(*records->at)));
	}
	records->at[records->count++] = record;
}

/* What is alive in the values that leave: those before journal->stays. */
static void collect_survivors(struct journal *journal)
{
	struct records *survivors = &journal->survivors;
	const struct value *value;
	struct record *record;

	for (value = journal->values; value != journal->stays; value = value->next)
		for (record = value->alive; record != NULL; record = record->value_next)
			collect(survivors, record);
	if (survivors->count > 0)
		qsort(survivors->at, survivors->count, sizeof(struct record *), by_order);
	for (size_t i = 0; i < survivors->count; i++)
		write_step(journal, &survivors->at[i]->step);
}

/*
 * Values leave from the front: those with nothing alive, and those whose survivors are worth
 * writing again, so many as one row takes; but always one, or a large commit whose steps stay alive
 * would keep all that is behind it.
 */
static void leave(struct journal *journal)
{
	struct value *value = journal->values;
	size_t dropped = 0;
	uint64_t survivors = 0;

	for (; value != NULL; value = value->next) {
		if (value->alive_count > 0 &&
		    (!is_slack(journal, dropped) ||
		     (survivors > 0 &&
		      (survivors + value->alive_count) * STEP_LEN_MAX > JOURNAL_BODY_MAX)))
			break;
		survivors += value->alive_count;
		dropped += value->bytes;
	}
	journal->stays = value;
	if (survivors > 0)
		collect_survivors(journal);
}

static void begin(struct journal *journal, uint64_t first)
{
	must(!journal->replaying);
	journal->begin = first;
	journal->out_len = 0;
	journal->end_count = 0;
	journal->survivors.count = 0;
	journal->stays = journal->values;
}

static struct journal_write finish_writing(struct journal *journal)
{
	const struct value *oldest = journal->values;

	if (journal->out_len > row_begin(journal, journal->end_count))
		end_row(journal);
	return (struct journal_write){
	    .first = journal->begin,
	    .count = journal->end_count,
	    .oldest = oldest != NULL ? oldest->first : journal->next,
	    .stay = journal->stays != NULL ? journal->stays->first : journal->next,
	};
}

struct journal_write journal_prepare(struct journal *journal, struct store_batch *const *batches,
				     size_t count)
{
	size_t steps = 0;

	begin(journal, journal->next);
	for (size_t b = 0; b < count; b++)
		steps += batches[b]->step_count;
	if (steps > 0)
		leave(journal);
	for (size_t b = 0; b < count; b++)
		for (size_t i = 0; i < batches[b]->step_count; i++)
			write_step(journal, &batches[b]->steps[i]);
	return finish_writing(journal);
}

struct journal_write journal_prepare_anew(struct journal *journal, uint64_t first)
{
	begin(journal, first);
	journal->stays = NULL;
	collect_survivors(journal);
	return finish_writing(journal);
}

struct slice journal_row(const struct journal *journal, uint64_t place)
{
	size_t begin = row_begin(journal, place);

	must(place < journal->end_count);
	return slice_of(journal->out + begin, journal->ends[place] - begin);
}

static struct value *add_value(struct journal *journal, uint64_t count, size_t bytes)
{
	struct value *value = must_have(calloc(1, sizeof(*value)));

	value->first = journal->next;
	value->count = count;
	value->bytes = bytes;
	journal->next += count;
	journal->bytes += bytes;
	DL_APPEND(journal->values, value);
	return value;
}

/* What was alive in those that left stands in the new one now. */
static void take_leave(struct journal *journal, struct value *into)
{
	for (size_t i = 0; i < journal->survivors.count; i++)
		journal_put_into_value(journal->survivors.at[i], into);
	journal->rewritten += journal->survivors.count;
	for (;;) {
		struct value *value = journal->values;

		if (value == journal->stays || value == into)
			return;
		must(value != NULL);
		must(value->alive == NULL);
		journal->bytes -= value->bytes;
		DL_DELETE(journal->values, value);
		free(value);
	}
}

static void apply(struct journal *journal, const struct store_batch *batch, struct value *value)
{
	for (size_t i = 0; i < batch->count; i++)
		if (batch->ops[i].type == STORE_DELETE_SESSION)
			journal_end_session(journal, batch->ops[i].row);
	for (size_t i = 0; i < batch->step_count; i++)
		journal_do_step(journal, &batch->steps[i], value);
}

void journal_finish(struct journal *journal, struct store_batch *const *batches, size_t count,
		    bool committed)
{
	struct value *value = NULL;

	if (!committed)
		return;
	journal->next = journal->begin;
	if (journal->end_count > 0)
		value = add_value(journal, journal->end_count, journal->out_len);
	take_leave(journal, value);
	for (size_t b = 0; b < count; b++)
		apply(journal, batches[b], value);
}

/* ---- at start ---- */

bool journal_replay(struct journal *journal, uint64_t number, struct slice body,
		    struct failure *failure)
{
	struct value *value;
	size_t at = 0;

	must(journal->replaying);
	if (number < journal->next || number == UINT64_MAX)
		return failure_set(failure, "a row with this number cannot be there");
	journal->next = number;
	value = add_value(journal, 1, body.len);
	while (at < body.len) {
		struct store_step step;
		size_t len = step_decode(slice_after(body, at), &step);

		if (len == 0)
			return failure_set(failure, "there is no step at its byte %zu", at);
		journal_do_step(journal, &step, value);
		at += len;
	}
	return true;
}

/* Envelopes that are not open are none, and whoever has had one need not be remembered. */
static void settle_session(struct journal *journal, struct session *session)
{
	struct record *record;
	struct record *next;

	for (record = session->records; record != NULL; record = next) {
		struct record *open = record->step.envelope != 0
					  ? journal_find_open(journal, record->step.envelope)
					  : NULL;

		next = record->session_next;
		if (record->kind == KIND_OUTBOUND && open == NULL)
			record->step.envelope = 0;
		if (record->kind != KIND_DONE || record->open != NULL)
			continue;
		record->open = open;
		if (open != NULL)
			DL_APPEND2(open->done, record, done_prev, done_next);
		else
			journal_drop(journal, record);
	}
}

void journal_settle(struct journal *journal, void *self, bool (*lives)(void *self, uint64_t row))
{
	struct session *session;

	journal->replaying = false;
	journal_pin_all(journal);
	for (session = journal->sessions; session != NULL; session = session->next) {
		bool dead = !lives(self, session->row);

		while (dead && session->records != NULL)
			journal_drop(journal, session->records);
	}
	for (session = journal->sessions; session != NULL; session = session->next)
		settle_session(journal, session);
	journal_unpin_all(journal);
}

/* In the order of their latest steps. */
static void visit_kind(const struct journal *journal, const struct store_visitor *visitor,
		       bool inbound)
{
	struct records records = {NULL, 0, 0};
	const struct session *session;
	struct record *record;

	for (session = journal->sessions; session != NULL; session = session->next)
		for (record = session->records; record != NULL; record = record->session_next)
			if ((record->kind == KIND_INBOUND) == inbound)
				collect(&records, record);
	if (records.count > 0)
		qsort(records.at, records.count, sizeof(struct record *), by_order);
	for (size_t i = 0; i < records.count; i++)
		visitor->step(visitor->self, &records.at[i]->step);
	free(records.at);
}

void journal_visit(const struct journal *journal, const struct store_visitor *visitor)
{
	/* Publishers first: which envelopes are open is known before anybody waits for one. */
	visit_kind(journal, visitor, true);
	visit_kind(journal, visitor, false);
}

struct journal_size journal_size(const struct journal *journal)
{
	return (struct journal_size){journal->record_count, journal->bytes, journal->rewritten};
}

static void free_records(struct journal *journal)
{
	struct session *session;

	journal_pin_all(journal);
	for (session = journal->sessions; session != NULL; session = session->next)
		while (session->records != NULL)
			journal_drop(journal, session->records);
	journal_unpin_all(journal);
	while (journal->spare != NULL) {
		struct record *record = journal->spare;

		journal->spare = record->session_next;
		free(record);
	}
}

void journal_destroy(struct journal *journal)
{
	struct value *value;
	struct value *later;

	if (journal == NULL)
		return;
	free_records(journal);
	for (value = journal->values; value != NULL; value = later) {
		later = value->next;
		free(value);
	}
	table_finish(&journal->records);
	table_finish(&journal->envelopes);
	table_finish(&journal->by_row);
	free(journal->survivors.at);
	free(journal->out);
	free(journal->ends);
	free(journal);
}
