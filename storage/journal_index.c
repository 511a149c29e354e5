/* journal_index.c - see journal_internal.h. */
#include "storage/journal_internal.h"

#include <stdlib.h>
#include <utlist.h>

static struct session *session_of(struct journal *journal, uint64_t row, bool make)
{
	uint64_t hash = table_hash(row);
	uint64_t at = hash;
	struct session *session;

	while ((session = table_next(&journal->by_row, hash, &at)) != NULL)
		if (session->row == row)
			return session;
	if (!make)
		return NULL;
	session = must_have(calloc(1, sizeof(*session)));
	session->row = row;
	DL_APPEND(journal->sessions, session);
	table_add(&journal->by_row, hash, session);
	return session;
}

void journal_visit_session(struct journal *journal, uint64_t row,
			   const struct store_visitor *visitor)
{
	const struct session *session = session_of(journal, row, false);
	const struct record *record = session ? session->records : NULL;

	for (; record != NULL; record = record->session_next)
		visitor->step(visitor->self, &record->step);
}

/* Rows are random; a session's packet identifiers are near each other. */
static uint64_t key_of(const struct store_step *step, uint8_t kind)
{
	return table_hash(step->row ^ (uint64_t)step->packet_id << 2 ^ kind);
}

static struct record *find(const struct journal *journal, const struct store_step *step,
			   enum kind kind)
{
	uint64_t hash = key_of(step, (uint8_t)kind);
	uint64_t at = hash;
	struct record *record;

	while ((record = table_next(&journal->records, hash, &at)) != NULL)
		if (record->step.row == step->row && record->step.packet_id == step->packet_id &&
		    record->kind == kind)
			return record;
	return NULL;
}

struct record *journal_find_open(const struct journal *journal, uint64_t envelope)
{
	uint64_t hash = table_hash(envelope);
	uint64_t at = hash;
	struct record *record;

	while ((record = table_next(&journal->envelopes, hash, &at)) != NULL)
		if (record->step.envelope == envelope)
			return record;
	return NULL;
}

void journal_put_into_value(struct record *record, struct value *value)
{
	if (record->value != NULL) {
		DL_DELETE2(record->value->alive, record, value_prev, value_next);
		record->value->alive_count--;
	}
	record->value = value;
	if (value != NULL) {
		DL_APPEND2(value->alive, record, value_prev, value_next);
		value->alive_count++;
	}
}

static struct record *make(struct journal *journal, const struct store_step *step, enum kind kind)
{
	struct record *record = journal->spare;

	if (record != NULL)
		journal->spare = record->session_next;
	else
		record = must_have(malloc(sizeof(*record)));
	*record = (struct record){
	    .step = *step,
	    .order = ++journal->order,
	    .kind = (uint8_t)kind,
	    .session = session_of(journal, step->row, true),
	};
	DL_APPEND2(record->session->records, record, session_prev, session_next);
	if (kind != KIND_DONE)
		table_add(&journal->records, key_of(step, record->kind), record);
	journal->record_count++;
	return record;
}

static void free_if_empty(struct journal *journal, struct session *session)
{
	if (session->records != NULL || session->pinned)
		return;
	table_remove(&journal->by_row, table_hash(session->row), session);
	DL_DELETE(journal->sessions, session);
	free(session);
}

/* The envelope is not open any more: whoever has had it need not be remembered. */
static void close_envelope(struct journal *journal, struct record *inbound)
{
	table_remove(&journal->envelopes, table_hash(inbound->step.envelope), inbound);
	while (inbound->done != NULL)
		journal_drop(journal, inbound->done);
}

void journal_drop(struct journal *journal, struct record *record)
{
	struct session *session = record->session;

	if (record->kind == KIND_INBOUND)
		close_envelope(journal, record);
	if (record->open != NULL)
		DL_DELETE2(record->open->done, record, done_prev, done_next);
	if (record->kind != KIND_DONE)
		table_remove(&journal->records, key_of(&record->step, record->kind), record);
	journal_put_into_value(record, NULL);
	DL_DELETE2(session->records, record, session_prev, session_next);
	free_if_empty(journal, session);
	record->session_next = journal->spare;
	journal->spare = record;
	journal->record_count--;
}

/* What one end brings may end others of the session: pinned, it outlives them all. */
void journal_end_session(struct journal *journal, uint64_t row)
{
	struct session *session = session_of(journal, row, false);

	if (session == NULL)
		return;
	session->pinned = true;
	while (session->records != NULL)
		journal_drop(journal, session->records);
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
	record->order = ++journal->order;
	journal_put_into_value(record, value);
	return record;
}

static void do_inbound_open(struct journal *journal, const struct store_step *step,
			    struct value *value)
{
	struct record *old = find(journal, step, KIND_INBOUND);
	struct record *record;

	if (old != NULL && old->step.envelope == step->envelope) {
		journal_put_into_value(old, value);
		return;
	}
	if (old != NULL)
		journal_drop(journal, old);
	record = set(journal, step, KIND_INBOUND, value);
	table_add(&journal->envelopes, table_hash(step->envelope), record);
}

static void do_inbound_end(struct journal *journal, const struct store_step *step,
			   struct value *value)
{
	struct record *record = find(journal, step, KIND_INBOUND);

	(void)value;
	if (record != NULL && (step->envelope == 0 || step->envelope == record->step.envelope))
		journal_drop(journal, record);
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
	struct record *open =
	    step->envelope != 0 ? journal_find_open(journal, step->envelope) : NULL;

	if (record != NULL && (step->envelope == 0 || step->envelope == record->step.envelope))
		journal_drop(journal, record);
	else if (!journal->replaying)
		return; /* said twice */
	if (open == NULL && (!journal->replaying || step->envelope == 0))
		return;
	record = make(journal, step, KIND_DONE);
	journal_put_into_value(record, value);
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
		journal_drop(journal, record);
}

void journal_do_step(struct journal *journal, const struct store_step *step, struct value *value)
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

void journal_pin_all(struct journal *journal)
{
	struct session *session;

	for (session = journal->sessions; session != NULL; session = session->next)
		session->pinned = true;
}

void journal_unpin_all(struct journal *journal)
{
	struct session *session;
	struct session *next;

	for (session = journal->sessions; session != NULL; session = next) {
		next = session->next;
		session->pinned = false;
		free_if_empty(journal, session);
	}
}
