/*
 * The journal of open QoS 2 exchanges against a naive model: what it says is open, at run time and
 * after its rows were read again.
 */
#include "tests/lib/rows.h"
#include "tests/unit/journal_bench.h"
#include "tests/unit/random.h"

#include <check.h>

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
static void model_list(struct step_list *list)
{
	list->count = 0;
	for (unsigned s = 0; s < SESSIONS; s++) {
		for (unsigned i = 0; i < IDS; i++) {
			struct store_step out = model.outbound[s][i];

			if (model.inbound[s][i].type != 0)
				steps_add(list, &model.inbound[s][i]);
			if (!model_open(out.envelope))
				out.envelope = 0;
			if (out.type != 0)
				steps_add(list, &out);
		}
		if (model.queued[s] != 0)
			steps_add(list, &(struct store_step){.row = model.rows[s],
							     .count = model.queued[s],
							     .type = STEP_QUEUED});
	}
	for (size_t i = 0; i < model.done_count; i++)
		steps_add(list, &model.done[i]);
	steps_tidy(list);
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

/* The steps of one kept_commit, told to the model unless it will be refused. */
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
	kept_commit(journal, steps, count, works);
	if (!works) {
		before.last = model.last; /* numbers are not given twice */
		model = before;
	}
}

static void random_session_end(struct journal *journal, struct random *random)
{
	unsigned s = random_below(random, SESSIONS);

	kept_end_session(journal, model.rows[s]);
	model_session(s);
}

static void check_now(const struct journal *journal, uint64_t seed, int turn)
{
	static struct step_list actual;
	static struct step_list expected;

	steps_visit(journal, &actual);
	for (size_t i = 0; i < actual.count; i++)
		if (actual.at[i].type != STEP_OUTBOUND_END && !model_open(actual.at[i].envelope))
			actual.at[i].envelope = 0;
	steps_tidy(&actual);
	model_list(&expected);
	ck_assert_msg(steps_same(&actual, &expected), RANDOM_SEED ": turn %d", seed, turn);
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
	static struct step_list actual;
	static struct step_list expected;
	struct journal *journal = kept_replayed(model_lives);

	steps_visit(journal, &actual);
	model_list(&expected);
	ck_assert_msg(steps_same(&actual, &expected), RANDOM_SEED ": read again at turn %d", seed,
		      turn);
	return journal;
}

START_TEST(as_the_model_says)
{
	enum { TURNS = 3000 };
	struct random random = random_start();
	struct journal *journal = kept_journal();
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

			rewritten += kept_row(1).at == NULL;
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

Suite *journal_model_suite(void);

Suite *journal_model_suite(void)
{
	const TTest *tests[] = {as_the_model_says};
	Suite *suite = suite_create("journal_model");
	TCase *tcase = tcase_create("journal_model");

	tcase_set_timeout(tcase, 240);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}
