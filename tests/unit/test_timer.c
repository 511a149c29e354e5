/* timer.h against the clock: never early, at most one tick late, in any order of arming. */
#include "broker/core/timer.h"
#include "tests/unit/packets.h"
#include "tests/unit/random.h"

enum { MANY = 300 };

static struct timer timers[MANY];
static uint64_t due_ms[MANY]; /* 0: not armed */

/* How far ahead: from nothing to some hours. */
static uint64_t some_delay(struct random *random)
{
	return random_next(random) >> (63 - random_below(random, 24));
}

/* Those armed are the ones expected, none is overdue, and the wheel wakes for the next one. */
static void check_all(const struct timer_wheel *wheel, uint64_t now, uint64_t seed)
{
	uint64_t wakes = timer_wheel_next_ms(wheel);

	for (size_t at = 0; at < MANY; at++) {
		uint64_t due = due_ms[at];

		if (timer_armed(&timers[at]) != (due != 0))
			ck_abort_msg("armed or not: " RANDOM_SEED, seed);
		if (due != 0 && due + TIMER_TICK_MS <= now)
			ck_abort_msg("late: " RANDOM_SEED, seed);
		if (due != 0 && wakes >= due + TIMER_TICK_MS)
			ck_abort_msg("slept over: " RANDOM_SEED, seed);
	}
}

START_TEST(never_early_never_late)
{
	struct random random = random_start();
	struct timer_wheel wheel;
	uint64_t now = 123456789;
	uint64_t fired = 0;

	timer_wheel_init(&wheel, now);
	for (int step = 0; step < 20000; step++) {
		uint32_t i = random_below(&random, MANY);
		uint32_t what = random_below(&random, 10);
		uint64_t next;

		if (what < 4) {
			due_ms[i] = now + some_delay(&random) + 1;
			timer_arm(&wheel, &timers[i], due_ms[i]);
		} else if (what < 5) {
			timer_cancel(&wheel, &timers[i]);
			due_ms[i] = 0;
		}
		next = timer_wheel_next_ms(&wheel);
		now = what < 8 && next != UINT64_MAX && next > now ? next
								   : now + some_delay(&random) % 50;
		for (struct timer *t; (t = timer_next_due(&wheel, now)) != NULL;) {
			size_t at = (size_t)(t - timers);

			ck_assert_msg(due_ms[at] != 0 && due_ms[at] <= now && !timer_armed(t),
				      "early: " RANDOM_SEED, random.seed);
			due_ms[at] = 0;
			fired++;
		}
		check_all(&wheel, now, random.seed);
	}
	ck_assert_uint_gt(fired, 1000);
}
END_TEST

/* Due already when armed, far beyond the wheel's horizon, cancelled twice. */
START_TEST(edges)
{
	struct timer_wheel wheel;
	struct timer past = {0}, far = {0};

	timer_wheel_init(&wheel, 5000);
	ck_assert_uint_eq(timer_wheel_next_ms(&wheel), UINT64_MAX);
	timer_arm(&wheel, &past, 0);
	ck_assert_ptr_eq(timer_next_due(&wheel, 5000), &past);
	ck_assert_ptr_null(timer_next_due(&wheel, 5000));
	timer_arm(&wheel, &far, (uint64_t)1 << 32); /* seven weeks */
	ck_assert_ptr_null(timer_next_due(&wheel, (uint64_t)1 << 31));
	ck_assert_ptr_eq(timer_next_due(&wheel, ((uint64_t)1 << 32) + TIMER_TICK_MS), &far);
	timer_arm(&wheel, &far, UINT64_MAX - 1); /* more than the wheel's circumference */
	ck_assert_ptr_null(timer_next_due(&wheel, ((uint64_t)1 << 32) + 5000000));
	timer_cancel(&wheel, &far);
	timer_cancel(&wheel, &far);
	ck_assert_uint_eq(wheel.count, 0);
	ck_assert_uint_eq(timer_wheel_next_ms(&wheel), UINT64_MAX);
}
END_TEST

Suite *timer_suite(void)
{
	const TTest *tests[] = {never_early_never_late, edges};

	return suite_of("timer", tests, COUNT_OF(tests));
}
