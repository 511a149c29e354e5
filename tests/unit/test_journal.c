/* The journal of open QoS 2 exchanges: what it keeps and forgets; damaged rows. */
#include "tests/lib/rows.h"
#include "tests/unit/journal_bench.h"
#include "tests/unit/random.h"

#include <check.h>
#include <time.h>

static struct failure failure;

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
	struct journal *journal = kept_journal();

	for (uint16_t id = 1; id <= 100; id++) {
		struct store_step begin = sent(1, id, 0);
		struct store_step end = ended(1, id, 0);

		kept_commit(journal, &begin, 1, true);
		kept_commit(journal, &end, 1, true);
		ck_assert_uint_le(kept_count(), 3);
	}
	ck_assert_uint_eq(journal_size(journal).records, 0);
	kept_commit(journal, NULL, 0, true); /* no steps: nothing is written */
	ck_assert_uint_le(kept_count(), 3);
	ck_assert_uint_eq(journal_size(journal).bytes, kept_bytes());
	journal_destroy(journal);
	kept_clear();
}
END_TEST

/* One exchange that never ends holds what is behind it for a while, not for ever. */
START_TEST(bounded_behind_one_that_stays)
{
	struct journal *journal = kept_journal();
	struct journal *again;
	struct store_step stays[] = {opened(1, 1, 77), sent(2, 1, 77), sent(3, 9, 77),
				     ended(3, 9, 77)};
	size_t most = 0;

	kept_commit(journal, stays, 4, true);
	for (unsigned i = 0; i < 30000; i++) {
		uint16_t id = (uint16_t)(i % 1000 + 10);
		struct store_step steps[] = {sent(2, id, 0), ended(2, id, 0)};

		kept_commit(journal, &steps[0], 1, true);
		kept_commit(journal, &steps[1], 1, true);
		if (kept_bytes() > most)
			most = kept_bytes();
		if (i % 10000 == 0)
			ck_assert_uint_eq(journal_size(journal).bytes, kept_bytes());
	}
	ck_assert_uint_gt(most, 60 * 1024);
	ck_assert_uint_lt(most, 70 * 1024);
	ck_assert_uint_eq(journal_size(journal).records, 3);
	again = kept_replayed(kept_all_live);
	ck_assert_uint_eq(steps_known(again, STEP_INBOUND_OPEN), 1);
	ck_assert_uint_eq(steps_known(again, STEP_OUTBOUND_SENT), 1);
	ck_assert_uint_eq(steps_known(again, STEP_OUTBOUND_END), 1);
	journal_destroy(again);
	journal_destroy(journal);
	kept_clear();
}
END_TEST

/* Likewise so many, of one commit, that no row takes them all. */
START_TEST(bounded_behind_many_that_stay)
{
	enum { STAY = 6000, OTHERS = 100, COMMITS = 1000 };
	static struct store_step stays[STAY], others[2 * OTHERS];
	struct journal *journal = kept_journal();
	struct journal *again;
	size_t most = 0;

	for (unsigned i = 0; i < STAY; i++)
		stays[i] = opened(i / 1000 + 1, (uint16_t)(i % 1000 + 1), 100 + i);
	kept_commit(journal, stays, STAY, true);
	for (unsigned i = 0; i < COMMITS; i++) {
		for (unsigned n = 0; n < OTHERS; n++) {
			others[n] = sent(9, (uint16_t)(n + 1), 0);
			others[OTHERS + n] = ended(9, (uint16_t)(n + 1), 0);
		}
		kept_commit(journal, others, 2 * OTHERS, true);
		if (kept_bytes() > most)
			most = kept_bytes();
	}
	ck_assert_uint_eq(journal_size(journal).bytes, kept_bytes());
	ck_assert_uint_lt(most, 6 * STAY * 19);
	/* Not in each commit, either. */
	ck_assert_uint_lt(journal_size(journal).rewritten, STAY * 12);
	again = kept_replayed(kept_all_live);
	ck_assert_uint_eq(journal_size(again).records, STAY);
	journal_destroy(again);
	journal_destroy(journal);
	kept_clear();
}
END_TEST

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A commit of two exchanges that end with it, and of one that stays where `stays` is its row. */
static void commit_beside(struct journal *journal, uint64_t stays)
{
	struct store_step steps[] = {sent(1, 1, 0), ended(1, 1, 0), sent(1, 2, 0), ended(1, 2, 0),
				     sent(stays, 1, 0)};
	struct store_batch batch = {.steps = steps, .step_count = stays != 0 ? 5 : 4};
	struct store_batch *const batches[] = {&batch};

	journal_prepare(journal, batches, 1);
	journal_finish(journal, batches, 1, true);
}

/* The least that a hundred commits took, beside so many that stay and are written again. */
static uint64_t least_beside(unsigned stay)
{
	struct journal *journal = kept_journal();
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < stay; i++)
		commit_beside(journal, 2 + i);
	for (unsigned i = 0; i < 5000; i++) /* until each brings others along */
		commit_beside(journal, 0);
	const uint64_t rewritten = journal_size(journal).rewritten;

	for (unsigned round = 0; round < 10; round++) {
		const uint64_t begin = cpu_ns();

		for (unsigned i = 0; i < 100; i++)
			commit_beside(journal, 0);
		const uint64_t took = cpu_ns() - begin;

		least = took < least ? took : least;
	}
	ck_assert_uint_gt(journal_size(journal).rewritten, rewritten);
	journal_destroy(journal);
	kept_clear();
	return least;
}

/* What a commit costs has nothing to do with how many others are open. */
START_TEST(no_slower_beside_many_that_stay)
{
	const uint64_t beside_few = least_beside(100);
	const uint64_t beside_many = least_beside(20000);

	ck_assert_msg(beside_many < 10 * beside_few, "%llu ns, and beside many %llu ns",
		      (unsigned long long)beside_few, (unsigned long long)beside_many);
}
END_TEST

/* What has ended is remembered as long as its publisher may send the message again. */
START_TEST(remembered_while_the_envelope_is_open)
{
	struct journal *journal = kept_journal();
	struct store_step steps[] = {opened(1, 5, 70), opened(1, 6, 71), sent(2, 1, 70),
				     sent(2, 2, 71),   sent(2, 3, 0),	 ended(2, 1, 70),
				     ended(2, 2, 71),  ended(2, 3, 0),	 ended(2, 1, 70)};
	struct store_step end = closed(1, 5, 0);

	kept_commit(journal, steps, 9, true);
	ck_assert_uint_eq(steps_known(journal, STEP_OUTBOUND_END), 2);
	kept_commit(journal, &end, 1, false);
	ck_assert_uint_eq(steps_known(journal, STEP_OUTBOUND_END), 2);
	kept_commit(journal, &end, 1, true);
	ck_assert_uint_eq(steps_known(journal, STEP_OUTBOUND_END), 1);
	kept_end_session(journal, 1);
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
	struct journal *journal = kept_journal();
	struct journal *again;
	struct store_step steps[] = {opened(1, 5, 70), sent(2, 7, 70), ended(2, 7, 70)};
	struct store_step reuse = sent(2, 7, 0);

	kept_commit(journal, steps, 3, true);
	kept_commit(journal, &reuse, 1, true);
	for (unsigned i = 0; kept_row(1).at != NULL; i++) {
		struct store_step other[] = {sent(3, 1, 0), ended(3, 1, 0)};

		kept_commit(journal, other, 2, true);
		ck_assert_uint_lt(i, 10000);
	}
	ck_assert_ptr_nonnull(kept_row(2).at);
	again = kept_replayed(kept_all_live);
	ck_assert_uint_eq(steps_known(again, STEP_INBOUND_OPEN), 1);
	ck_assert_uint_eq(steps_known(again, STEP_OUTBOUND_SENT), 1);
	ck_assert_uint_eq(steps_known(again, STEP_OUTBOUND_END), 1);
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
	static struct step_list list;
	struct journal *journal = kept_journal();
	struct store_step steps[] = {
	    opened(1, 5, 70), opened(3, 5, 71), sent(2, 1, 70),	 sent(2, 2, 71), sent(2, 3, 72),
	    sent(1, 1, 71),   sent(4, 1, 70),	ended(4, 1, 70), sent(4, 2, 71), ended(4, 2, 71)};

	kept_commit(journal, steps, 10, true);
	journal_destroy(journal);
	journal = kept_replayed(not_one);
	steps_visit(journal, &list);
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
	struct step_list *list = calloc(1, sizeof(*list));
	struct journal *journal = kept_journal();
	struct store_step steps[] = {sent(2, 1, 0), opened(1, 1, 5), sent(2, 2, 5),
				     opened(1, 2, 6)};
	const struct store_visitor visitor = {.self = list, .step = steps_add};

	kept_commit(journal, steps, 4, true);
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
	struct journal *journal = kept_journal();
	struct store_batch *batches[2] = {rows_batch(NULL, 0), rows_batch(NULL, 0)};
	struct journal *again;

	for (unsigned i = 0; i < STEPS; i++)
		steps[i] = sent(i / 5000 + 1, (uint16_t)(i % 5000 + 1), 0);
	for (unsigned i = 0; i < 2; i++) {
		batches[i]->step_count = STEPS / 2;
		batches[i]->steps = steps + i * (STEPS / 2);
	}
	kept_commit_batches(journal, batches, 2, true);
	ck_assert_uint_eq(kept_count(), (STEPS * 19 + 65536) / 65536);
	ck_assert_uint_eq(journal_size(journal).records, STEPS);
	again = kept_replayed(kept_all_live);
	ck_assert_uint_eq(journal_size(again).records, STEPS);
	ck_assert_uint_eq(journal_size(again).bytes, STEPS * 19);
	journal_destroy(again);
	for (unsigned i = 0; i < STEPS; i++)
		steps[i].type = STEP_OUTBOUND_END;
	kept_commit_batches(journal, batches, 2, true);
	kept_commit(journal, steps, 1, true);
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
		steps_known(journal, STEP_OUTBOUND_SENT);
		/* It can be worked with, whatever it was. */
		kept_commit(journal, &(struct store_step){.row = 2, .type = STEP_QUEUED}, 1, false);
	}
	journal_destroy(journal);
	free(copy);
	return ok;
}

START_TEST(damaged_rows)
{
	struct journal *journal = kept_journal();
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

	kept_commit(journal, steps, 7, true);
	journal_destroy(journal);
	len = kept_row(1).len;
	ck_assert_uint_eq(len, 5 * 19 + 13 + 27);
	memcpy(bytes, kept_row(1).at, len);
	ck_assert(reads(bytes, len));
	for (size_t cut = 1; cut < len; cut++)
		refused += !reads(bytes, cut);
	ck_assert_uint_eq(refused, len - 7);
	for (size_t i = 0; i < len * 256; i += 5) {
		bytes[i / 256] = (uint8_t)i;
		refused += !reads(bytes, len);
		bytes[i / 256] = kept_row(1).at[i / 256];
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
		ck_assert_msg(step_compare(&step, &back) == 0, RANDOM_SEED, random.seed);
		for (size_t cut = 1; cut < len; cut++)
			ck_assert_uint_eq(step_decode(slice_of(bytes, cut), &back), 0);
	}
}
END_TEST

Suite *journal_suite(void);

Suite *journal_suite(void)
{
	const TTest *tests[] = {rows_leave,
				bounded_behind_one_that_stays,
				bounded_behind_many_that_stay,
				no_slower_beside_many_that_stay,
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
