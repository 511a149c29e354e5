/* journal.c - see journal.h. */
#include "storage/journal.h"

#include "storage/step.h"

#include <stdlib.h>

/* Rows and envelopes are random numbers: there is not much left to mix. */
#define HASH_FUNCTION(at, len, hash) ((hash) = hash_of((at), (len)))
/* Short chains: a look at a record is what costs. */
#define HASH_BKT_CAPACITY_THRESH 2U
#include <uthash.h>
#include <utlist.h>

/* So much may lie about before anything is written again. */
#define SLACK_BYTES (64u * 1024)
#define SLACK_TIMES 4u

#define RECORD_LEN 19u /* about, of a step that is alive */

enum kind { KIND_INBOUND, KIND_OUTBOUND, KIND_QUEUED, KIND_DONE };

struct key {
	uint64_t row;
	uint32_t packet_id;
	uint32_t kind; /* enum kind */
};

/*
 * One thing that is alive, as its latest step.  KIND_DONE is an outbound exchange that
 * ended before its envelope; it stands in no table, only in the lists.
 */
struct record {
	UT_hash_handle hh;	    /* by key */
	UT_hash_handle by_envelope; /* of KIND_INBOUND */
	struct key key;
	struct store_step step;
	struct value *value;			/* not later than the row that holds the step */
	struct record *value_prev, *value_next; /* in value->records */
	struct session *session;
	struct record *session_prev, *session_next; /* in session->records */
	struct record *open;			    /* of KIND_DONE: whose envelope it waits for */
	struct record *done;			    /* of KIND_INBOUND: those that wait for it */
	struct record *done_prev, *done_next;
};

/* The rows of one commit. */
struct value {
	struct value *prev, *next;
	uint64_t first;
	uint64_t count;
	size_t bytes;
	struct record *records;
};

struct session {
	UT_hash_handle hh;
	uint64_t row;
	bool pinned; /* stays, even with nothing left */
	struct record *records;
};

struct journal {
	struct record *records;	  /* by key */
	struct record *envelopes; /* KIND_INBOUND by envelope */
	struct session *sessions;
	struct value *values; /* the oldest first */
	uint64_t next;	      /* number of the next row */
	uint64_t record_count;
	uint64_t bytes;
	struct record *spare; /* to be used again, by value_next */
	bool replaying;	      /* which envelopes are open is not known yet */

	/* between journal_prepare() and journal_finish() */
	uint8_t *out;
	size_t out_len, out_room;
	size_t *ends; /* of the rows in `out` */
	uint64_t end_count, end_room;
	struct value *stays; /* the first value that does; NULL for none */
};

static unsigned hash_of(const void *key, size_t len)
{
	uint64_t words[2] = {0, 0};

	must(len <= sizeof(words));
	memcpy(words, key, len);
	words[0] = (words[0] ^ words[1]) * 0x9e3779b97f4a7c15u;
	return (unsigned)(words[0] >> 32);
}

static void *must_have(void *memory)
{
	must(memory != NULL);
	return memory;
}

struct journal *journal_create(void)
{
	struct journal *journal = must_have(calloc(1, sizeof(*journal)));

	journal->next = 1;
	journal->replaying = true;
	return journal;
}

/* ---- records ---- */

static struct session *session_of(struct journal *journal, uint64_t row, bool make)
{
	struct session *session;

	HASH_FIND(hh, journal->sessions, &row, sizeof(row), session);
	if (session == NULL && make) {
		session = must_have(calloc(1, sizeof(*session)));
		session->row = row;
		HASH_ADD(hh, journal->sessions, row, sizeof(row), session);
	}
	return session;
}

static struct record *find(const struct journal *journal, const struct store_step *step,
			   enum kind kind)
{
	const struct key key = {step->row, step->packet_id, (uint32_t)kind};
	struct record *record;

	HASH_FIND(hh, journal->records, &key, sizeof(key), record);
	return record;
}

static struct record *find_open(const struct journal *journal, uint64_t envelope)
{
	struct record *record;

	HASH_FIND(by_envelope, journal->envelopes, &envelope, sizeof(envelope), record);
	return record;
}

static void put_into_value(struct record *record, struct value *value)
{
	if (record->value != NULL)
		DL_DELETE2(record->value->records, record, value_prev, value_next);
	record->value = value;
	DL_APPEND2(value->records, record, value_prev, value_next);
}

static struct record *make(struct journal *journal, const struct store_step *step, enum kind kind)
{
	struct record *record = journal->spare;

	if (record != NULL)
		journal->spare = record->value_next;
	else
		record = must_have(malloc(sizeof(*record)));
	*record = (struct record){
	    .key = {step->row, step->packet_id, (uint32_t)kind},
	    .step = *step,
	    .session = session_of(journal, step->row, true),
	};
	DL_APPEND2(record->session->records, record, session_prev, session_next);
	if (kind != KIND_DONE)
		HASH_ADD(hh, journal->records, key, sizeof(record->key), record);
	journal->record_count++;
	return record;
}

static void free_if_empty(struct journal *journal, struct session *session)
{
	if (session->records != NULL || session->pinned)
		return;
	HASH_DELETE(hh, journal->sessions, session);
	free(session);
}

static void drop(struct journal *journal, struct record *record);

/* The envelope is not open any more: whoever has had it need not be remembered. */
static void close_envelope(struct journal *journal, struct record *inbound)
{
	HASH_DELETE(by_envelope, journal->envelopes, inbound);
	while (inbound->done != NULL)
		drop(journal, inbound->done);
}

static void drop(struct journal *journal, struct record *record)
{
	struct session *session = record->session;

	if (record->key.kind == KIND_INBOUND)
		close_envelope(journal, record);
	if (record->open != NULL)
		DL_DELETE2(record->open->done, record, done_prev, done_next);
	if (record->key.kind != KIND_DONE)
		HASH_DELETE(hh, journal->records, record);
	DL_DELETE2(record->value->records, record, value_prev, value_next);
	DL_DELETE2(session->records, record, session_prev, session_next);
	free_if_empty(journal, session);
	record->value_next = journal->spare;
	journal->spare = record;
	journal->record_count--;
}

/* What one end brings may end others of the session: pinned, it outlives them all. */
static void end_session(struct journal *journal, uint64_t row)
{
	struct session *session = session_of(journal, row, false);

	if (session == NULL)
		return;
	session->pinned = true;
	while (session->records != NULL)
		drop(journal, session->records);
	session->pinned = false;
	free_if_empty(journal, session);
}

/* ---- what a step does ---- */

/* Makes what the step says the latest word on its exchange. */
static struct record *set(struct journal *journal, const struct store_step *step, enum kind kind,
			  struct value *value)
{
	struct record *record = find(journal, step, kind);

	if (record == NULL)
		record = make(journal, step, kind);
	record->step = *step;
	put_into_value(record, value);
	return record;
}

static void do_inbound_open(struct journal *journal, const struct store_step *step,
			    struct value *value)
{
	struct record *old = find(journal, step, KIND_INBOUND);
	struct record *record;

	if (old != NULL && old->step.envelope == step->envelope) {
		put_into_value(old, value);
		return;
	}
	if (old != NULL)
		drop(journal, old);
	record = set(journal, step, KIND_INBOUND, value);
	HASH_ADD(by_envelope, journal->envelopes, step.envelope, sizeof(step->envelope), record);
}

static void do_inbound_end(struct journal *journal, const struct store_step *step,
			   struct value *value)
{
	struct record *record = find(journal, step, KIND_INBOUND);

	(void)value;
	if (record != NULL && (step->envelope == 0 || step->envelope == record->step.envelope))
		drop(journal, record);
}

static void do_outbound(struct journal *journal, const struct store_step *step, struct value *value)
{
	set(journal, step, KIND_OUTBOUND, value);
}

/*
 * An end that is written again stands behind all that came after it, and so perhaps
 * behind another exchange with its packet identifier: the envelope tells them apart.
 */
static void do_outbound_end(struct journal *journal, const struct store_step *step,
			    struct value *value)
{
	struct record *record = find(journal, step, KIND_OUTBOUND);
	struct record *open = step->envelope != 0 ? find_open(journal, step->envelope) : NULL;

	if (record != NULL && (step->envelope == 0 || step->envelope == record->step.envelope))
		drop(journal, record);
	else if (!journal->replaying)
		return; /* said twice */
	if (open == NULL && (!journal->replaying || step->envelope == 0))
		return;
	record = make(journal, step, KIND_DONE);
	put_into_value(record, value);
	record->open = open;
	if (open != NULL)
		DL_APPEND2(open->done, record, done_prev, done_next);
}

static void do_queued(struct journal *journal, const struct store_step *step, struct value *value)
{
	struct record *record;

	if (step->count != 0) {
		set(journal, step, KIND_QUEUED, value);
		return;
	}
	record = find(journal, step, KIND_QUEUED);
	if (record != NULL)
		drop(journal, record);
}

static void do_step(struct journal *journal, const struct store_step *step, struct value *value)
{
	static void (*const doers[STEP_TYPES])(struct journal *, const struct store_step *,
					       struct value *) = {
	    [STEP_INBOUND_OPEN] = do_inbound_open, [STEP_INBOUND_END] = do_inbound_end,
	    [STEP_OUTBOUND_SENT] = do_outbound,	   [STEP_OUTBOUND_RECEIVED] = do_outbound,
	    [STEP_OUTBOUND_END] = do_outbound_end, [STEP_QUEUED] = do_queued,
	};

	must(step->type > STEP_NONE && step->type < STEP_TYPES);
	doers[step->type](journal, step, value);
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

	return journal->bytes - dropped > SLACK_BYTES + SLACK_TIMES * alive;
}

/* Values leave from the front: those with nothing alive, and those whose survivors are written
 * again. */
static void leave(struct journal *journal)
{
	struct value *value = journal->values;
	const struct record *record;
	size_t dropped = 0;

	for (; value != NULL; value = value->next) {
		if (value->records != NULL &&
		    (!is_slack(journal, dropped) || journal->out_len > JOURNAL_BODY_MAX))
			break;
		DL_FOREACH2(value->records, record, value_next)
		write_step(journal, &record->step);
		dropped += value->bytes;
	}
	journal->stays = value;
}

struct journal_write journal_prepare(struct journal *journal, struct store_batch *const *batches,
				     size_t count)
{
	const struct value *oldest = journal->values;
	size_t steps = 0;

	must(!journal->replaying);
	journal->out_len = 0;
	journal->end_count = 0;
	journal->stays = journal->values;
	for (size_t b = 0; b < count; b++)
		steps += batches[b]->step_count;
	if (steps > 0)
		leave(journal);
	for (size_t b = 0; b < count; b++)
		for (size_t i = 0; i < batches[b]->step_count; i++)
			write_step(journal, &batches[b]->steps[i]);
	if (journal->out_len > row_begin(journal, journal->end_count))
		end_row(journal);
	return (struct journal_write){
	    .first = journal->next,
	    .count = journal->end_count,
	    .oldest = oldest != NULL ? oldest->first : journal->next,
	    .stay = journal->stays != NULL ? journal->stays->first : journal->next,
	};
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
	while (journal->values != journal->stays) {
		struct value *value = journal->values;

		while (value->records != NULL)
			put_into_value(value->records, into);
		journal->bytes -= value->bytes;
		DL_DELETE(journal->values, value);
		free(value);
	}
}

static void apply(struct journal *journal, const struct store_batch *batch, struct value *value)
{
	for (size_t i = 0; i < batch->count; i++)
		if (batch->ops[i].type == STORE_DELETE_SESSION)
			end_session(journal, batch->ops[i].row);
	for (size_t i = 0; i < batch->step_count; i++)
		do_step(journal, &batch->steps[i], value);
}

void journal_finish(struct journal *journal, struct store_batch *const *batches, size_t count,
		    bool committed)
{
	struct value *value = NULL;
	struct value *stays = journal->stays;

	if (!committed)
		return;
	if (journal->end_count > 0) {
		value = add_value(journal, journal->end_count, journal->out_len);
		if (stays == NULL)
			journal->stays = value;
		take_leave(journal, value);
	}
	for (size_t b = 0; b < count; b++)
		apply(journal, batches[b], value);
}

/* ---- at start ---- */

bool journal_replay(struct journal *journal, uint64_t number, struct slice body,
		    struct failure *failure)
{
	struct value *value;
	size_t at = 0;

	must(journal->replaying && number >= journal->next);
	journal->next = number;
	value = add_value(journal, 1, body.len);
	while (at < body.len) {
		struct store_step step;
		size_t len = step_decode(slice_after(body, at), &step);

		if (len == 0)
			return failure_set(failure, "there is no step at its byte %zu", at);
		do_step(journal, &step, value);
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
		struct record *open =
		    record->step.envelope != 0 ? find_open(journal, record->step.envelope) : NULL;

		next = record->session_next;
		if (record->key.kind == KIND_OUTBOUND && open == NULL)
			record->step.envelope = 0;
		if (record->key.kind != KIND_DONE || record->open != NULL)
			continue;
		record->open = open;
		if (open != NULL)
			DL_APPEND2(open->done, record, done_prev, done_next);
		else
			drop(journal, record);
	}
}

/* All stay while they are walked through, whatever becomes of what they hold. */
static void pin_all(struct journal *journal)
{
	struct session *session;
	struct session *next;

	HASH_ITER(hh, journal->sessions, session, next)
	session->pinned = true;
}

static void unpin_all(struct journal *journal)
{
	struct session *session;
	struct session *next;

	HASH_ITER(hh, journal->sessions, session, next)
	{
		session->pinned = false;
		free_if_empty(journal, session);
	}
}

void journal_settle(struct journal *journal, void *self, bool (*lives)(void *self, uint64_t row))
{
	struct session *session;
	struct session *next;

	journal->replaying = false;
	pin_all(journal);
	HASH_ITER(hh, journal->sessions, session, next)
	{
		bool dead = !lives(self, session->row);

		while (dead && session->records != NULL)
			drop(journal, session->records);
	}
	HASH_ITER(hh, journal->sessions, session, next)
	settle_session(journal, session);
	unpin_all(journal);
}

void journal_visit(const struct journal *journal, const struct store_visitor *visitor)
{
	const struct value *value;
	const struct record *record;

	/* Publishers first: which envelopes are open is known before anybody waits for one. */
	DL_FOREACH(journal->values, value)
	DL_FOREACH2(value->records, record, value_next)
	if (record->key.kind == KIND_INBOUND)
		visitor->step(visitor->self, &record->step);
	DL_FOREACH(journal->values, value)
	DL_FOREACH2(value->records, record, value_next)
	if (record->key.kind != KIND_INBOUND)
		visitor->step(visitor->self, &record->step);
}

struct journal_size journal_size(const struct journal *journal)
{
	return (struct journal_size){journal->record_count, journal->bytes};
}

void journal_destroy(struct journal *journal)
{
	struct session *session;
	struct session *next;
	struct value *value;
	struct value *later;

	if (journal == NULL)
		return;
	pin_all(journal);
	HASH_ITER(hh, journal->sessions, session, next)
	while (session->records != NULL)
		drop(journal, session->records);
	unpin_all(journal);
	while (journal->spare != NULL) {
		struct record *record = journal->spare;

		journal->spare = record->value_next;
		free(record);
	}
	DL_FOREACH_SAFE(journal->values, value, later)
	free(value);
	free(journal->out);
	free(journal->ends);
	free(journal);
}
