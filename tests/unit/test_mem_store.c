/* The store in memory keeps the contract of store.h, and refuses when told to. */
#include "storage/mem_store.h"
#include "tests/lib/rows.h"

#include <check.h>

Suite *mem_store_suite(void);

static struct failure failure;

START_TEST(rows_are_put_replaced_and_deleted)
{
	struct store *store = mem_store_create();
	struct rows_sum sum;
	struct rows_sum again;
	struct store_op ops[] = {
	    rows_session(1, SLICE_LITERAL("a")),
	    rows_session(2, SLICE_LITERAL("b")),
	    rows_subscription(1, 1, SLICE_LITERAL("x/#")),
	    rows_subscription(2, 2, SLICE_LITERAL("y")),
	    rows_delete(STORE_DELETE_SESSION, 2),
	    rows_delete(STORE_DELETE_SUBSCRIPTION, 2),
	    rows_delete(STORE_DELETE_SESSION, 99), /* a row that is not there */
	};

	ck_assert(rows_commit(store, ops, 7, &failure));
	ck_assert(rows_load(store, &sum, &failure));
	ck_assert_uint_eq(sum.sessions, 1);
	ck_assert_uint_eq(sum.subscriptions, 1);

	ops[0].session.expiry_s = 5;
	ck_assert(rows_commit(store, ops, 1, &failure));
	ck_assert(rows_load(store, &again, &failure));
	ck_assert_uint_eq(again.sessions, 1);
	ck_assert_uint_ne(again.sum, sum.sum);
	store_close(store);
}
END_TEST

/* The store keeps copies: a batch is freed after its commit. */
START_TEST(what_is_kept_is_a_copy)
{
	struct store *store = mem_store_create();
	uint8_t text[] = "abc";
	struct store_op op = rows_session(1, slice_of(text, 3));
	struct rows_sum sum;
	struct rows_sum again;

	ck_assert(rows_commit(store, &op, 1, &failure));
	ck_assert(rows_load(store, &sum, &failure));
	memset(text, 'z', sizeof(text));
	ck_assert(rows_load(store, &again, &failure));
	ck_assert_uint_eq(sum.sum, again.sum);
	store_close(store);
}
END_TEST

static void note_row(void *self, uint64_t row, const struct store_session *session)
{
	uint64_t *order = self;

	(void)session;
	*order = *order * 10 + row;
}

static void no_subscription(void *self, uint64_t row, const struct store_subscription *subscription)
{
	(void)self;
	(void)row;
	(void)subscription;
	ck_abort_msg("no subscription was put");
}

START_TEST(order_is_that_of_putting)
{
	struct store *store = mem_store_create();
	uint64_t order = 0;
	const struct store_visitor visitor = {
	    .self = &order, .session = note_row, .subscription = no_subscription};

	for (uint64_t row = 5; row > 0; row--) {
		struct store_op op = rows_session(row, SLICE_LITERAL("c"));

		ck_assert(rows_commit(store, &op, 1, &failure));
	}
	ck_assert(store_load(store, &visitor, &failure));
	ck_assert_uint_eq(order, 54321);
	store_close(store);
}
END_TEST

START_TEST(refusals_are_counted_and_change_nothing)
{
	struct store *store = mem_store_create();
	struct store_op op = rows_session(1, SLICE_LITERAL("a"));
	struct rows_sum sum;

	mem_store_refuse(store, 2, "no space left 100%");
	for (int i = 0; i < 2; i++) {
		failure.text[0] = '\0';
		ck_assert(!rows_commit(store, &op, 1, &failure));
		ck_assert_str_eq(failure.text, "no space left 100%");
	}
	ck_assert(rows_load(store, &sum, &failure));
	ck_assert_uint_eq(sum.sessions, 0);
	ck_assert(rows_commit(store, &op, 1, &failure));
	ck_assert(rows_load(store, &sum, &failure));
	ck_assert_uint_eq(sum.sessions, 1);
	store_close(store);
}
END_TEST

/* Read again from its rows each time it is loaded, as after a restart. */
START_TEST(steps_are_kept)
{
	struct store *store = mem_store_create();
	struct store_op ops[] = {rows_session(1, SLICE_LITERAL("from")),
				 rows_session(2, SLICE_LITERAL("to"))};
	struct store_op gone = rows_delete(STORE_DELETE_SESSION, 1);
	struct store_step steps[] = {
	    rows_step(STEP_INBOUND_OPEN, 1, 5, 70), rows_step(STEP_OUTBOUND_SENT, 2, 1, 70),
	    rows_step(STEP_OUTBOUND_SENT, 2, 2, 70), rows_step(STEP_OUTBOUND_END, 2, 1, 70)};
	struct rows_sum sum;
	struct rows_sum again;

	ck_assert(rows_commit(store, ops, 2, &failure));
	ck_assert(rows_commit_steps(store, steps, 4, &failure));
	ck_assert(rows_load(store, &sum, &failure));
	ck_assert_uint_eq(sum.steps, 3);
	mem_store_refuse(store, 1, "no");
	steps[0].type = STEP_INBOUND_END;
	ck_assert(!rows_commit_steps(store, steps, 1, &failure));
	ck_assert(rows_load(store, &again, &failure));
	ck_assert_uint_eq(again.sum, sum.sum);
	ck_assert(rows_commit(store, &gone, 1, &failure));
	ck_assert(rows_load(store, &again, &failure));
	ck_assert_uint_eq(again.steps, 1);
	steps[0] = rows_step(STEP_OUTBOUND_END, 2, 2, 0);
	ck_assert(rows_commit_steps(store, steps, 1, &failure));
	ck_assert(rows_load(store, &again, &failure));
	ck_assert_uint_eq(again.steps, 0);
	store_close(store);
}
END_TEST

Suite *mem_store_suite(void)
{
	Suite *suite = suite_create("mem_store");
	TCase *tcase = tcase_create("mem_store");

	tcase_add_test(tcase, rows_are_put_replaced_and_deleted);
	tcase_add_test(tcase, what_is_kept_is_a_copy);
	tcase_add_test(tcase, order_is_that_of_putting);
	tcase_add_test(tcase, refusals_are_counted_and_change_nothing);
	tcase_add_test(tcase, steps_are_kept);
	suite_add_tcase(suite, tcase);
	return suite;
}
