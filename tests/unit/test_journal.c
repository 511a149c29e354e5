/*
 * The journal of open QoS 2 exchanges against a naive model: what it says is open, at run
 * time and after its rows were read again; what it keeps and forgets; damaged rows.
 */
#include "storage/journal.h"
#include "storage/step.h"
#include "tests/lib/rows.h"
#include "tests/unit/random.h"

#include <check.h>

Suite *journal_suite(void);

static struct failure failure;

/* ---- rows, as a store would keep them ---- */

#define ROWS_MAX 100000u

struct kept {
	uint8_t *at[ROWS_MAX]; /* by number; NULL for none */
	size_t len[ROWS_MAX];
	uint64_t end; /* behind the last number */
};

static struct kept kept;

static void kept_clear(void)
{
	for (uint64_t i = 0; i < kept.end; i++)
		free(kept.at[i]);
	kept = (struct kept){0};
}

static size_t kept_bytes(void)
{
	size_t bytes = 0;

	for (uint64_t i = 0; i < kept.end; i++)
		bytes += kept.at[i] != NULL ? kept.len[i] : 0;
	return bytes;
}

static uint64_t kept_count(void)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < kept.end; i++)
		count += kept.at[i] != NULL;
	return count;
}

static void kept_write(const struct journal *journal, const struct journal_write *write)
{
	for (uint64_t i = 0; i < write->count; i++) {
		struct slice row = journal_row(journal, i);
		uint64_t number = write->first + i;

		ck_assert_uint_lt(number, ROWS_MAX);
		ck_assert(row.len > 0 && row.len <= JOURNAL_BODY_MAX);
		ck_assert_uint_ge(number, kept.end);
		kept.at[number] = malloc(row.len);
		ck_assert_ptr_nonnull(kept.at[number]);
		memcpy(kept.at[number], row.at, row.len);
		kept.len[number] = row.len;
		kept.end = number + 1;
	}
	for (uint64_t number = write->oldest; number < write->stay; number++) {
		free(kept.at[number]);
		kept.at[number] = NULL;
	}
}

/* One commit of these batches; false: it is refused. */
static void commit_batches(struct journal *journal, struct store_batch *const *batches,
			   size_t count, bool works)
{
	struct journal_write write = journal_prepare(journal, batches, count);

	if (works)
		kept_write(journal, &write);
	journal_finish(journal, batches, count, works);
}

static void commit(struct journal *journal, const struct store_step *steps, size_t count,
		   bool works)
{
	struct store_batch *batch = rows_batch(NULL, 0);

	batch->step_count = count;
	batch->steps = (struct store_step *)(uintptr_t)steps;
	commit_batches(journal, &batch, 1, works);
	free(batch);
}

static void end_of_session(struct journal *journal, uint64_t row)
{
	struct store_op op = rows_delete(STORE_DELETE_SESSION, row);
	struct store_batch *batch = rows_batch(&op, 1);

	commit_batches(journal, &batch, 1, true);
	free(batch);
}

static bool all_live(void *self, uint64_t row)
{
	(void)self;
	(void)row;
	return true;
}

static struct journal *new_journal(void)
{
	struct journal *journal = journal_create();

	journal_settle(journal, NULL, all_live);
	return journal;
}

/* Another journal made of the rows that are kept. */
static struct journal *replayed(bool (*lives)(void *self, uint64_t row))
{
	struct journal *journal = journal_create();

	for (uint64_t i = 0; i < kept.end; i++)
		if (kept.at[i] != NULL)
			ck_assert_msg(
			    journal_replay(journal, i, slice_of(kept.at[i], kept.len[i]), &failure),
			    "%s", failure.text);
	journal_settle(journal, NULL, lives);
	return journal;
}

/* ---- what a journal, or the model, says ---- */

#define LIST_MAX 8192u

struct list {
	struct store_step at[LIST_MAX];
	size_t count;
};

static void list_add(void *self, const struct store_step *step)
{
	struct list *list = self;

	ck_assert_uint_lt(list->count, LIST_MAX);
	list->at[list->count++] = *step;
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_all(const void *first, const void *second)
{
	const struct store_step *a = first;
	const struct store_step *b = second;
	int order = compare(a->row, b->row);

	order = order != 0 ? order : compare(a->type, b->type);
	order = order != 0 ? order : compare(a->packet_id, b->packet_id);
	order = order != 0 ? order : compare(a->envelope, b->envelope);
	order = order != 0 ? order : compare(a->group, b->group);
	return order != 0 ? order : compare(a->count, b->count);
}

static bool same(const struct list *a, const struct list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (by_all(&a->at[i], &b->at[i]) != 0)
			return false;
	return true;
}

/* Sorted, each one once: an end that was said twice may be remembered twice. */
static void tidy(struct list *list)
{
	size_t n = 0;

	qsort(list->at, list->count, sizeof(list->at[0]), by_all);
	for (size_t i = 0; i < list->count; i++)
		if (n == 0 || by_all(&list->at[n - 1], &list->at[i]) != 0)
			list->at[n++] = list->at[i];
	list->count = n;
}

static void visit(const struct journal *journal, struct list *list)
{
	const struct store_visitor visitor = {.self = list, .step = list_add};

	list->count = 0;
	journal_visit(journal, &visitor);
	tidy(list);
}

/* How many things of this type a journal knows. */
static size_t known(const struct journal *journal, enum store_step_type type)
{
	static struct list list;
	size_t count = 0;

	visit(journal, &list);
	for (size_t i = 0; i < list.count; i++)
		count += list.at[i].type == type;
	return count;
}

/* ---- the model ---- */

enum { SESSIONS = 6, IDS = 5, DONE_MAX = 4096 };

struct model {
	bool alive[SESSIONS];
	uint64_t rows[SESSIONS];
	struct store_step inbound[SESSIONS][IDS];  /* type 0: none */
	struct store_step outbound[SESSIONS][IDS]; /* likewise */
	uint32_t queued[SESSIONS];
	struct store_step done[DONE_MAX];
	size_t done_count;
	uint64_t last; /* number given to a row, an envelope, a group */
};

static struct model model;

static bool model_open(uint64_t envelope)
{
	for (unsigned s = 0; s < SESSIONS; s++)
		for (unsigned i = 0; i < IDS; i++)
			if (model.inbound[s][i].type != 0 &&
			    model.inbound[s][i].envelope == envelope)
				return true;
	return false;
}

static void model_close(unsigned s, unsigned id)
{
	uint64_t envelope = model.inbound[s][id].envelope;
	size_t n = 0;

	if (model.inbound[s][id].type == 0)
		return;
	model.inbound[s][id].type = STEP_NONE;
	for (size_t i = 0; i < model.done_count; i++)
		if (model.done[i].envelope != envelope)
			model.done[n++] = model.done[i];
	model.done_count = n;
}

static void model_session(unsigned s)
{
	size_t n = 0;

	for (unsigned i = 0; i < IDS; i++) {
		model_close(s, i);
		model.outbound[s][i].type = STEP_NONE;
	}
	for (size_t i = 0; i < model.done_count; i++)
		if (model.done[i].row != model.rows[s])
			model.done[n++] = model.done[i];
	model.done_count = n;
	model.queued[s] = 0;
	model.rows[s] = ++model.last;
}

static void model_outbound_end(unsigned s, unsigned id, const struct store_step *step)
{
	if (model.outbound[s][id].type == 0)
		return;
	model.outbound[s][id].type = STEP_NONE;
	if (step->envelope == 0 || !model_open(step->envelope))
		return;
	ck_assert_uint_lt(model.done_count, DONE_MAX);
	model.done[model.done_count++] = *step;
}

static void model_step(unsigned s, const struct store_step *step)
{
	unsigned id = step->packet_id;

	switch ((enum store_step_type)step->type) {
	case STEP_INBOUND_OPEN:
		if (model.inbound[s][id].envelope != step->envelope)
			model_close(s, id);
		model.inbound[s][id] = *step;
		break;
	case STEP_INBOUND_END:
		if (step->envelope == 0 || model.inbound[s][id].envelope == step->envelope)
			model_close(s, id);
		break;
	case STEP_OUTBOUND_SENT:
	case STEP_OUTBOUND_RECEIVED:
		model.outbound[s][id] = *step;
		break;
	case STEP_OUTBOUND_END:
		model_outbound_end(s, id, step);
		break;
	default:
		model.queued[s] = step->count;
	}
}

/* What is open; an envelope that is not counts as none. */
static void model_list(struct list *list)
{
	list->count = 0;
	for (unsigned s = 0; s < SESSIONS; s++) {
		for (unsigned i = 0; i < IDS; i++) {
			struct store_step out = model.outbound[s][i];

			if (model.inbound[s][i].type != 0)
				list_add(list, &model.inbound[s][i]);
			if (!model_open(out.envelope))
				out.envelope = 0;
			if (out.type != 0)
				list_add(list, &out);
		}
		if (model.queued[s] != 0)
			list_add(list, &(struct store_step){.row = model.rows[s],
							    .count = model.queued[s],
							    .type = STEP_QUEUED});
	}
	for (size_t i = 0; i < model.done_count; i++)
		list_add(list, &model.done[i]);
	tidy(list);
}

/* As a broker that reads the store learns it. */
static void model_settle(void)
{
	for (unsigned s = 0; s < SESSIONS; s++)
		for (unsigned i = 0; i < IDS; i++)
			if (!model_open(model.outbound[s][i].envelope))
				model.outbound[s][i].envelope = 0;
}

static uint64_t any_open(struct random *random)
{
	for (unsigned tries = 0; tries < 8; tries++) {
		const struct store_step *step =
		    &model.inbound[random_below(random, SESSIONS)][random_below(random, IDS)];

		if (step->type != 0)
			return step->envelope;
	}
	return 0;
}

/* One that has ended already, of this session and packet identifier; NULL for none. */
static const struct store_step *any_done(unsigned s, unsigned id)
{
	for (size_t i = 0; i < model.done_count; i++)
		if (model.done[i].row == model.rows[s] && model.done[i].packet_id == id)
			return &model.done[i];
	return NULL;
}

/* A step that a broker could make, also one that was said before. */
static struct store_step any_step(struct random *random, unsigned s)
{
	unsigned id = random_below(random, IDS);
	const struct store_step *inbound = &model.inbound[s][id];
	const struct store_step *outbound = &model.outbound[s][id];
	struct store_step step = {.row = model.rows[s], .packet_id = (uint16_t)id};
	unsigned choice = random_below(random, 100);

	if (choice < 4) {
		step.type = STEP_INBOUND_OPEN;
		step.envelope =
		    choice == 0 && inbound->type != 0 ? inbound->envelope : ++model.last;
	} else if (choice < 8) {
		step.type = STEP_INBOUND_END;
		step.envelope = choice == 4 ? inbound->envelope : choice == 5 ? ++model.last : 0;
	} else if (choice < 15) {
		step = (struct store_step){
		    .row = model.rows[s], .count = random_below(random, 3), .type = STEP_QUEUED};
	} else if (outbound->type == 0 && choice < 20 && any_done(s, id) != NULL) {
		step = *any_done(s, id);
	} else if (outbound->type == 0) {
		step.type = STEP_OUTBOUND_SENT;
		step.envelope = any_open(random);
		step.group = choice % 4 == 0 ? ++model.last : 0;
	} else {
		step = *outbound;
		step.type = choice < 50 ? STEP_OUTBOUND_RECEIVED : STEP_OUTBOUND_END;
	}
	return step;
}

/* The steps of one commit, told to the model unless it will be refused. */
static void random_commit(struct journal *journal, struct random *random)
{
	struct store_step steps[40];
	struct model before = model;
	size_t count = random_below(random, 40);
	bool works = random_below(random, 5) != 0;

	for (size_t i = 0; i < count; i++) {
		unsigned s = random_below(random, SESSIONS);

		steps[i] = any_step(random, s);
		model_step(s, &steps[i]);
	}
	commit(journal, steps, count, works);
	if (!works) {
		before.last = model.last; /* numbers are not given twice */
		model = before;
	}
}

static void random_session_end(struct journal *journal, struct random *random)
{
	unsigned s = random_below(random, SESSIONS);

	end_of_session(journal, model.rows[s]);
	model_session(s);
}

static void check_now(const struct journal *journal, uint64_t seed, int turn)
{
	static struct list actual;
	static struct list expected;

	visit(journal, &actual);
	for (size_t i = 0; i < actual.count; i++)
		if (actual.at[i].type != STEP_OUTBOUND_END && !model_open(actual.at[i].envelope))
			actual.at[i].envelope = 0;
	tidy(&actual);
	model_list(&expected);
	ck_assert_msg(same(&actual, &expected), RANDOM_SEED ": turn %d", seed, turn);
	ck_assert_uint_ge(journal_size(journal).records, expected.count);
}

static bool model_lives(void *self, uint64_t row)
{
	(void)self;
	for (unsigned s = 0; s < SESSIONS; s++)
		if (model.rows[s] == row)
			return true;
	return false;
}

/* Gives the one that was read, to go on with. */
static struct journal *check_replayed(uint64_t seed, int turn)
{
	static struct list actual;
	static struct list expected;
	struct journal *journal = replayed(model_lives);

	visit(journal, &actual);
	model_list(&expected);
	ck_assert_msg(same(&actual, &expected), RANDOM_SEED ": read again at turn %d", seed, turn);
	return journal;
}

START_TEST(as_the_model_says)
{
	enum { TURNS = 3000 };
	struct random random = random_start();
	struct journal *journal = new_journal();
	uint64_t rewritten = 0;

	model = (struct model){0};
	for (unsigned s = 0; s < SESSIONS; s++)
		model.rows[s] = ++model.last;
	for (int turn = 0; turn < TURNS; turn++) {
		if (random_below(&random, 200) == 0)
			random_session_end(journal, &random);
		random_commit(journal, &random);
		check_now(journal, random.seed, turn);
		if (turn % 20 == 0) {
			struct journal *again = check_replayed(random.seed, turn);

			rewritten += kept.at[1] == NULL;
			journal_destroy(turn % 40 == 0 ? again : journal);
			journal = turn % 40 == 0 ? journal : again;
			if (turn % 40 != 0)
				model_settle();
		}
	}
	ck_assert_uint_gt(rewritten, 0); /* rows have left the front */
	journal_destroy(journal);
	kept_clear();
}
END_TEST

/* ---- what is kept ---- */

static struct store_step sent(uint64_t row, uint16_t id, uint64_t envelope)
{
	return (struct store_step){
	    .row = row, .packet_id = id, .envelope = envelope, .type = STEP_OUTBOUND_SENT};
}

static struct store_step ended(uint64_t row, uint16_t id, uint64_t envelope)
{
	return (struct store_step){
	    .row = row, .packet_id = id, .envelope = envelope, .type = STEP_OUTBOUND_END};
}

static struct store_step opened(uint64_t row, uint16_t id, uint64_t envelope)
{
	return (struct store_step){
	    .row = row, .packet_id = id, .envelope = envelope, .type = STEP_INBOUND_OPEN};
}

static struct store_step closed(uint64_t row, uint16_t id, uint64_t envelope)
{
	return (struct store_step){
	    .row = row, .packet_id = id, .envelope = envelope, .type = STEP_INBOUND_END};
}

/* Rows leave from the front as soon as nothing in them is alive. */
START_TEST(rows_leave)
{
	struct journal *journal = new_journal();

	for (uint16_t id = 1; id <= 100; id++) {
		struct store_step begin = sent(1, id, 0);
		struct store_step end = ended(1, id, 0);

		commit(journal, &begin, 1, true);
		commit(journal, &end, 1, true);
		ck_assert_uint_le(kept_count(), 3);
	}
	ck_assert_uint_eq(journal_size(journal).records, 0);
	commit(journal, NULL, 0, true); /* no steps: nothing is written */
	ck_assert_uint_le(kept_count(), 3);
	ck_assert_uint_eq(journal_size(journal).bytes, kept_bytes());
	journal_destroy(journal);
	kept_clear();
}
END_TEST

/* One exchange that never ends holds what is behind it for a while, not for ever. */
START_TEST(bounded_behind_one_that_stays)
{
	struct journal *journal = new_journal();
	struct journal *again;
	struct store_step stays[] = {opened(1, 1, 77), sent(2, 1, 77), sent(3, 9, 77),
				     ended(3, 9, 77)};
	size_t most = 0;

	commit(journal, stays, 4, true);
	for (unsigned i = 0; i < 30000; i++) {
		uint16_t id = (uint16_t)(i % 1000 + 10);
		struct store_step steps[] = {sent(2, id, 0), ended(2, id, 0)};

		commit(journal, &steps[0], 1, true);
		commit(journal, &steps[1], 1, true);
		if (kept_bytes() > most)
			most = kept_bytes();
		if (i % 10000 == 0)
			ck_assert_uint_eq(journal_size(journal).bytes, kept_bytes());
	}
	ck_assert_uint_gt(most, 60 * 1024);
	ck_assert_uint_lt(most, 70 * 1024);
	ck_assert_uint_eq(journal_size(journal).records, 3);
	again = replayed(all_live);
	ck_assert_uint_eq(known(again, STEP_INBOUND_OPEN), 1);
	ck_assert_uint_eq(known(again, STEP_OUTBOUND_SENT), 1);
	ck_assert_uint_eq(known(again, STEP_OUTBOUND_END), 1);
	journal_destroy(again);
	journal_destroy(journal);
	kept_clear();
}
END_TEST

/* What has ended is remembered as long as its publisher may send the message again. */
START_TEST(remembered_while_the_envelope_is_open)
{
	struct journal *journal = new_journal();
	struct store_step steps[] = {opened(1, 5, 70), opened(1, 6, 71), sent(2, 1, 70),
				     sent(2, 2, 71),   sent(2, 3, 0),	 ended(2, 1, 70),
				     ended(2, 2, 71),  ended(2, 3, 0),	 ended(2, 1, 70)};
	struct store_step end = closed(1, 5, 0);

	commit(journal, steps, 9, true);
	ck_assert_uint_eq(known(journal, STEP_OUTBOUND_END), 2);
	commit(journal, &end, 1, false);
	ck_assert_uint_eq(known(journal, STEP_OUTBOUND_END), 2);
	commit(journal, &end, 1, true);
	ck_assert_uint_eq(known(journal, STEP_OUTBOUND_END), 1);
	end_of_session(journal, 1);
	ck_assert_uint_eq(journal_size(journal).records, 0);
	journal_destroy(journal);
	kept_clear();
}
END_TEST

/*
 * What is remembered of an exchange that has ended may be written again behind a later
 * one with the same packet identifier, which it does not end.
 */
START_TEST(written_again_behind_its_identifier)
{
	struct journal *journal = new_journal();
	struct journal *again;
	struct store_step steps[] = {opened(1, 5, 70), sent(2, 7, 70), ended(2, 7, 70)};
	struct store_step reuse = sent(2, 7, 0);

	commit(journal, steps, 3, true);
	commit(journal, &reuse, 1, true);
	for (unsigned i = 0; kept.at[1] != NULL; i++) {
		struct store_step other[] = {sent(3, 1, 0), ended(3, 1, 0)};

		commit(journal, other, 2, true);
		ck_assert_uint_lt(i, 10000);
	}
	ck_assert_ptr_nonnull(kept.at[2]);
	again = replayed(all_live);
	ck_assert_uint_eq(known(again, STEP_INBOUND_OPEN), 1);
	ck_assert_uint_eq(known(again, STEP_OUTBOUND_SENT), 1);
	ck_assert_uint_eq(known(again, STEP_OUTBOUND_END), 1);
	journal_destroy(again);
	journal_destroy(journal);
	kept_clear();
}
END_TEST

static bool not_one(void *self, uint64_t row)
{
	(void)self;
	return row != 1;
}

/* At start: sessions that are gone, and envelopes that nobody holds open. */
START_TEST(settles)
{
	static struct list list;
	struct journal *journal = new_journal();
	struct store_step steps[] = {
	    opened(1, 5, 70), opened(3, 5, 71), sent(2, 1, 70),	 sent(2, 2, 71), sent(2, 3, 72),
	    sent(1, 1, 71),   sent(4, 1, 70),	ended(4, 1, 70), sent(4, 2, 71), ended(4, 2, 71)};

	commit(journal, steps, 10, true);
	journal_destroy(journal);
	journal = replayed(not_one);
	visit(journal, &list);
	ck_assert_uint_eq(list.count, 5);
	ck_assert(list.at[0].row == 2 && list.at[0].packet_id == 1 && list.at[0].envelope == 0);
	ck_assert(list.at[1].row == 2 && list.at[1].packet_id == 2 && list.at[1].envelope == 71);
	ck_assert(list.at[2].row == 2 && list.at[2].packet_id == 3 && list.at[2].envelope == 0);
	ck_assert(list.at[3].row == 3 && list.at[3].type == STEP_INBOUND_OPEN);
	ck_assert(list.at[4].row == 4 && list.at[4].type == STEP_OUTBOUND_END);
	ck_assert_uint_eq(list.at[4].envelope, 71);
	journal_destroy(journal);
	kept_clear();
}
END_TEST

/* Publishers come first, whatever the order of their steps. */
START_TEST(publishers_first)
{
	struct list *list = calloc(1, sizeof(*list));
	struct journal *journal = new_journal();
	struct store_step steps[] = {sent(2, 1, 0), opened(1, 1, 5), sent(2, 2, 5),
				     opened(1, 2, 6)};
	const struct store_visitor visitor = {.self = list, .step = list_add};

	commit(journal, steps, 4, true);
	journal_visit(journal, &visitor);
	ck_assert_uint_eq(list->count, 4);
	ck_assert_uint_eq(list->at[0].type, STEP_INBOUND_OPEN);
	ck_assert_uint_eq(list->at[1].type, STEP_INBOUND_OPEN);
	free(list);
	journal_destroy(journal);
	kept_clear();
}
END_TEST

/* A commit with more steps than one row holds has several, which stay together. */
START_TEST(many_rows_of_one_commit)
{
	enum { STEPS = 20000 };
	struct store_step *steps = calloc(STEPS, sizeof(*steps));
	struct journal *journal = new_journal();
	struct store_batch *batches[2] = {rows_batch(NULL, 0), rows_batch(NULL, 0)};
	struct journal *again;

	for (unsigned i = 0; i < STEPS; i++)
		steps[i] = sent(i / 5000 + 1, (uint16_t)(i % 5000 + 1), 0);
	for (unsigned i = 0; i < 2; i++) {
		batches[i]->step_count = STEPS / 2;
		batches[i]->steps = steps + i * (STEPS / 2);
	}
	commit_batches(journal, batches, 2, true);
	ck_assert_uint_eq(kept_count(), (STEPS * 19 + 65536) / 65536);
	ck_assert_uint_eq(journal_size(journal).records, STEPS);
	again = replayed(all_live);
	ck_assert_uint_eq(journal_size(again).records, STEPS);
	ck_assert_uint_eq(journal_size(again).bytes, STEPS * 19);
	journal_destroy(again);
	for (unsigned i = 0; i < STEPS; i++)
		steps[i].type = STEP_OUTBOUND_END;
	commit_batches(journal, batches, 2, true);
	commit(journal, steps, 1, true);
	ck_assert_uint_eq(kept_count(), 1);
	for (unsigned i = 0; i < 2; i++)
		free(batches[i]);
	journal_destroy(journal);
	free(steps);
	kept_clear();
}
END_TEST

/* ---- damage ---- */

/* Reads one row of `len` bytes, in a block of exactly that length; a failure has a sentence. */
static bool reads(const uint8_t *bytes, size_t len)
{
	struct journal *journal = journal_create();
	uint8_t *copy = malloc(len + (len == 0));
	bool ok;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	failure.text[0] = 0;
	ok = journal_replay(journal, 1, slice_of(copy, len), &failure);
	ck_assert(ok == (failure.text[0] == 0));
	if (ok) {
		journal_settle(journal, NULL, not_one);
		known(journal, STEP_OUTBOUND_SENT);
		/* It can be worked with, whatever it was. */
		commit(journal, &(struct store_step){.row = 2, .type = STEP_QUEUED}, 1, false);
	}
	journal_destroy(journal);
	free(copy);
	return ok;
}

START_TEST(damaged_rows)
{
	struct journal *journal = new_journal();
	struct store_step steps[] = {
	    opened(1, 5, 70),
	    sent(2, 1, 70),
	    ended(2, 1, 70),
	    sent(2, 1, 70),
	    {.row = 2, .count = 9, .type = STEP_QUEUED},
	    {.row = 3, .packet_id = 4, .envelope = 70, .group = 5, .type = STEP_OUTBOUND_RECEIVED},
	    closed(1, 5, 0)};
	uint8_t bytes[200];
	size_t len;
	unsigned refused = 0;

	commit(journal, steps, 7, true);
	journal_destroy(journal);
	len = kept.len[1];
	ck_assert_uint_eq(len, 5 * 19 + 13 + 27);
	memcpy(bytes, kept.at[1], len);
	ck_assert(reads(bytes, len));
	for (size_t cut = 1; cut < len; cut++)
		refused += !reads(bytes, cut);
	ck_assert_uint_eq(refused, len - 7);
	for (size_t i = 0; i < len * 256; i += 5) {
		bytes[i / 256] = (uint8_t)i;
		refused += !reads(bytes, len);
		bytes[i / 256] = kept.at[1][i / 256];
	}
	ck_assert_uint_gt(refused, len + 200);
	ck_assert(reads(bytes, len));
	kept_clear();
}
END_TEST

START_TEST(numbers_that_cannot_be)
{
	static const uint64_t numbers[] = {0, 4, 5, UINT64_MAX};
	struct journal *journal = journal_create();
	struct store_step step = sent(1, 1, 0);
	uint8_t bytes[STEP_LEN_MAX];
	struct slice body = slice_of(bytes, (size_t)(step_encode(bytes, &step) - bytes));

	ck_assert(journal_replay(journal, 5, body, &failure));
	for (unsigned i = 0; i < 4; i++)
		ck_assert(!journal_replay(journal, numbers[i], body, &failure));
	ck_assert(journal_replay(journal, 6, body, &failure));
	journal_destroy(journal);
}
END_TEST

START_TEST(steps_encode_and_decode)
{
	struct random random = random_start();

	for (unsigned i = 0; i < 5000; i++) {
		struct store_step step = {.row = random_next(&random),
					  .type = (uint8_t)(i % (STEP_TYPES - 1) + 1)};
		struct store_step back;
		uint8_t bytes[STEP_LEN_MAX];
		size_t len;

		if (step.type == STEP_QUEUED) {
			step.count = (uint32_t)random_next(&random);
		} else {
			step.packet_id = (uint16_t)random_next(&random);
			step.envelope = i % 3 ? random_next(&random) : 0;
		}
		if (step.type >= STEP_OUTBOUND_SENT && step.type <= STEP_OUTBOUND_END && i % 2)
			step.group = random_next(&random);
		len = (size_t)(step_encode(bytes, &step) - bytes);
		ck_assert_uint_le(len, STEP_LEN_MAX);
		ck_assert_uint_eq(step_decode(slice_of(bytes, len), &back), len);
		ck_assert_msg(by_all(&step, &back) == 0, RANDOM_SEED, random.seed);
		for (size_t cut = 1; cut < len; cut++)
			ck_assert_uint_eq(step_decode(slice_of(bytes, cut), &back), 0);
	}
}
END_TEST

Suite *journal_suite(void)
{
	const TTest *tests[] = {as_the_model_says,
				rows_leave,
				bounded_behind_one_that_stays,
				remembered_while_the_envelope_is_open,
				written_again_behind_its_identifier,
				settles,
				publishers_first,
				many_rows_of_one_commit,
				damaged_rows,
				numbers_that_cannot_be,
				steps_encode_and_decode};
	Suite *suite = suite_create("journal");
	TCase *tcase = tcase_create("journal");

	tcase_set_timeout(tcase, 240);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}
