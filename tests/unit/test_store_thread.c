/* The storage thread: every batch is answered, in order, and one cannot spoil the others. */
#include "broker/store_thread.h"
#include "storage/mem_store.h"
#include "tests/lib/rows.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

Suite *store_thread_suite(void);

#define SUBMITTERS 4
#define BATCHES	   2000

static struct failure failure;

/* What came back; written on the storage thread, read when that has ended. */
struct answers {
	uint64_t next_ticket[SUBMITTERS];
	atomic_size_t count;
	size_t committed;
	char last_failure[sizeof(((struct failure *)0)->text)];
};

static void take_answer(void *self, struct store_batch *batch)
{
	struct answers *answers = self;

	must(batch->ticket == answers->next_ticket[batch->party]++);
	if (batch->committed)
		answers->committed++;
	else
		memcpy(answers->last_failure, batch->failure.text, sizeof(batch->failure.text));
	free(batch);
	atomic_fetch_add(&answers->count, 1);
}

struct submitter {
	struct store_thread *thread;
	uint16_t party;
};

static void *submit_many(void *self)
{
	const struct submitter *submitter = self;

	for (uint64_t i = 0; i < BATCHES; i++) {
		struct store_op op =
		    rows_session(submitter->party * 1000000u + i, SLICE_LITERAL("client"));
		struct store_batch *batch = rows_batch(&op, 1);

		batch->party = submitter->party;
		batch->ticket = i;
		store_thread_submit(submitter->thread, batch);
	}
	return NULL;
}

START_TEST(many_submitters_each_in_order)
{
	struct store *store = mem_store_create();
	struct answers answers = {0};
	const struct store_thread_sink sink = {&answers, take_answer};
	struct store_thread *thread = store_thread_create(store, &sink, &failure);
	struct submitter submitters[SUBMITTERS];
	pthread_t threads[SUBMITTERS];
	struct store_thread_counters counters;
	struct rows_sum sum;

	ck_assert_ptr_nonnull(thread);
	for (uint16_t i = 0; i < SUBMITTERS; i++) {
		submitters[i] = (struct submitter){thread, i};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, submit_many, &submitters[i]), 0);
	}
	for (int i = 0; i < SUBMITTERS; i++)
		pthread_join(threads[i], NULL);
	while (atomic_load(&answers.count) < SUBMITTERS * BATCHES)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	counters = store_thread_counters(thread);
	store_thread_destroy(thread);

	ck_assert_uint_eq(answers.committed, SUBMITTERS * BATCHES);
	ck_assert_uint_eq(counters.batches, SUBMITTERS * BATCHES);
	ck_assert_uint_eq(counters.failed, 0);
	ck_assert_uint_ge(counters.commits, 1);
	ck_assert_uint_le(counters.commits, counters.batches);
	ck_assert(rows_load(store, &sum, &failure));
	ck_assert_uint_eq(sum.sessions, SUBMITTERS * BATCHES);
	store_close(store);
}
END_TEST

START_TEST(destroy_answers_what_waits)
{
	struct store *store = mem_store_create();
	struct answers answers = {0};
	const struct store_thread_sink sink = {&answers, take_answer};
	struct store_thread *thread = store_thread_create(store, &sink, &failure);
	struct submitter submitter = {thread, 0};

	submit_many(&submitter);
	store_thread_destroy(thread);
	ck_assert_uint_eq(answers.committed, BATCHES);
	store_close(store);
}
END_TEST

/*
 * A store that waits in its first commit until it is let go, so that what was
 * submitted meanwhile makes one group; and that refuses what holds row `bad`.
 */
struct picky {
	struct store head;
	pthread_mutex_t mutex;
	pthread_cond_t turned;
	bool entered;
	bool let_go;
	uint64_t bad;
	size_t sizes[16]; /* of the commits asked for, 0 after the last */
	size_t asked;
};

static bool picky_commit(struct store *head, struct store_batch *const *batches, size_t count,
			 struct failure *reason)
{
	struct picky *picky = (struct picky *)head;

	pthread_mutex_lock(&picky->mutex);
	picky->entered = true;
	pthread_cond_signal(&picky->turned);
	while (!picky->let_go)
		pthread_cond_wait(&picky->turned, &picky->mutex);
	pthread_mutex_unlock(&picky->mutex);
	must(picky->asked < 16);
	picky->sizes[picky->asked++] = count;
	for (size_t i = 0; i < count; i++) {
		if (batches[i]->ops[0].row == picky->bad)
			return failure_set(reason, "row %u is bad", (unsigned)picky->bad);
	}
	return true;
}

/* Submits row 0, and when the store is at it, rows 1 to 4; gives the answers. */
static struct store_thread_counters run_picky(struct picky *picky, struct answers *answers)
{
	static const struct store_class class = {.commit = picky_commit};
	const struct store_thread_sink sink = {answers, take_answer};
	struct store_thread_counters counters;
	struct store_thread *thread;

	picky->head.class = &class;
	pthread_mutex_init(&picky->mutex, NULL);
	pthread_cond_init(&picky->turned, NULL);
	thread = store_thread_create(&picky->head, &sink, &failure);
	for (uint64_t i = 0; i < 5; i++) {
		struct store_op op = rows_session(i, SLICE_LITERAL("c"));
		struct store_batch *batch = rows_batch(&op, 1);

		batch->ticket = i;
		store_thread_submit(thread, batch);
		pthread_mutex_lock(&picky->mutex);
		while (!picky->entered)
			pthread_cond_wait(&picky->turned, &picky->mutex);
		pthread_mutex_unlock(&picky->mutex);
	}
	pthread_mutex_lock(&picky->mutex);
	picky->let_go = true;
	pthread_cond_signal(&picky->turned);
	pthread_mutex_unlock(&picky->mutex);
	while (atomic_load(&answers->count) < 5)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	counters = store_thread_counters(thread);
	store_thread_destroy(thread);
	return counters;
}

START_TEST(what_waits_is_committed_together)
{
	struct picky picky = {.bad = 99};
	struct answers answers = {0};
	struct store_thread_counters counters = run_picky(&picky, &answers);

	ck_assert_uint_eq(picky.asked, 2);
	ck_assert_uint_eq(picky.sizes[0], 1);
	ck_assert_uint_eq(picky.sizes[1], 4);
	ck_assert_uint_eq(counters.commits, 2);
	ck_assert_uint_eq(counters.batches, 5);
	ck_assert_uint_eq(counters.failed, 0);
}
END_TEST

START_TEST(one_bad_batch_spoils_no_other)
{
	struct picky picky = {.bad = 3};
	struct answers answers = {0};
	struct store_thread_counters counters = run_picky(&picky, &answers);

	ck_assert_uint_eq(picky.asked, 6); /* one alone, four together, each of the four */
	ck_assert_uint_eq(answers.committed, 4);
	ck_assert_str_eq(answers.last_failure, "row 3 is bad");
	ck_assert_uint_eq(counters.commits, 4);
	ck_assert_uint_eq(counters.batches, 5);
	ck_assert_uint_eq(counters.failed, 1);
}
END_TEST

START_TEST(refusal_is_the_answer)
{
	struct store *store = mem_store_create();
	struct answers answers = {0};
	const struct store_thread_sink sink = {&answers, take_answer};
	struct store_op op = rows_session(1, SLICE_LITERAL("c"));
	struct store_thread *thread;

	mem_store_refuse(store, 1, "disk full");
	thread = store_thread_create(store, &sink, &failure);
	store_thread_submit(thread, rows_batch(&op, 1));
	store_thread_destroy(thread);
	ck_assert_uint_eq(answers.count, 1);
	ck_assert_uint_eq(answers.committed, 0);
	ck_assert_str_eq(answers.last_failure, "disk full");
	store_close(store);
}
END_TEST

Suite *store_thread_suite(void)
{
	Suite *suite = suite_create("store_thread");
	TCase *tcase = tcase_create("store_thread");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, many_submitters_each_in_order);
	tcase_add_test(tcase, destroy_answers_what_waits);
	tcase_add_test(tcase, what_waits_is_committed_together);
	tcase_add_test(tcase, one_bad_batch_spoils_no_other);
	tcase_add_test(tcase, refusal_is_the_answer);
	suite_add_tcase(suite, tcase);
	return suite;
}
