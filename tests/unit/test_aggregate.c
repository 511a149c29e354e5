/* test_aggregate.c - the noise of a day's release is what it is said to be, and the row of it. */
#include "storage/aggregate/release.h"
#include "tests/unit/packets.h"
#include "tests/unit/random.h"

#include <math.h>

/* Chance that is the same in each run. */
static struct random seed;

static uint64_t draw(void *self)
{
	return random_next(self);
}

static const struct chance fixed = {&seed, draw};

/* ---- chi-square: how badly counts fit what was expected of them */

struct fit {
	double sum;
	unsigned cells;
};

static void add_cell(struct fit *fit, double counted, double expected)
{
	ck_assert_double_ge(expected, 20);
	fit->sum += (counted - expected) * (counted - expected) / expected;
	fit->cells++;
}

/* Beyond this once in 3 million (five standard deviations; Wilson and Hilferty). */
static bool fits(const struct fit *fit)
{
	const double df = fit->cells - 1;
	const double limit = df * pow(1 - 2 / (9 * df) + 5 * sqrt(2 / (9 * df)), 3);

	return fit->sum < limit;
}

/* ---- the parts */

START_TEST(numbers_are_uniform)
{
	static const uint64_t sizes[] = {1, 2, 3, 10, 40, 1000};

	for (size_t s = 0; s < COUNT_OF(sizes); s++) {
		const uint64_t n = sizes[s];
		unsigned counts[1000] = {0};
		struct fit fit = {0};

		seed.state = s;
		for (unsigned i = 0; i < 200000; i++)
			counts[laplace_uniform(&fixed, n)]++;
		for (uint64_t i = 0; i < n; i++)
			add_cell(&fit, counts[i], 200000.0 / (double)n);
		ck_assert(n == 1 || fits(&fit));
	}
}
END_TEST

static uint64_t given[2];

static uint64_t draw_given(void *self)
{
	size_t *next = self;

	return given[(*next)++];
}

/* 2^64 is no multiple of 3: the first number would come once too often. */
START_TEST(what_would_be_drawn_too_often_is_drawn_again)
{
	size_t next = 0;
	const struct chance chance = {&next, draw_given};

	given[0] = 0;
	given[1] = 5;
	ck_assert_uint_eq(laplace_uniform(&chance, 3), 2);
	ck_assert_uint_eq(next, 2);
}
END_TEST

START_TEST(exponentials_are_exact)
{
	static const uint64_t parts[][2] = {{0, 1}, {1, 1}, {1, 2}, {1, 40}, {39, 40}, {7, 10240}};

	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		const double p = exp(-(double)parts[i][0] / (double)parts[i][1]);
		const unsigned runs = 400000;
		unsigned yes = 0;

		seed.state = 100 + i;
		for (unsigned run = 0; run < runs; run++)
			yes += laplace_exp(&fixed, parts[i][0], parts[i][1]);
		ck_assert_double_le(fabs(yes - p * runs), 5 * sqrt(p * (1 - p) * runs));
	}
}
END_TEST

/* ---- the distribution */

#define SAMPLES 1000000u
#define REACH	64

/* P(x), for a width of scale / steps; `zeros` 2: that of a sampler that has two zeros. */
static double probability(int64_t x, double width, double zeros)
{
	const double q = exp(-1 / width);
	const double all = (1 + q) / (1 - q) + (zeros - 1);

	return (x == 0 ? zeros : pow(q, (double)llabs(x))) / all;
}

/* Samples in cells of `step` numbers, and what is beyond on both sides. */
static struct fit fit_of(uint64_t scale, uint64_t steps, int64_t step, double zeros)
{
	const double width = (double)scale / (double)steps;
	static unsigned counts[2 * REACH + 3];
	struct fit fit = {0};
	double inside = 0;

	memset(counts, 0, sizeof counts);
	for (unsigned i = 0; i < SAMPLES; i++) {
		int64_t x = laplace_sample(&fixed, scale, steps);
		int64_t cell = (x >= 0 ? x : x - step + 1) / step;

		cell = cell < -REACH - 1 ? -REACH - 1 : cell > REACH + 1 ? REACH + 1 : cell;
		counts[cell + REACH + 1]++;
	}
	for (int64_t cell = -REACH; cell <= REACH; cell++) {
		double p = 0;

		for (int64_t x = cell * step; x < (cell + 1) * step; x++)
			p += probability(x, width, zeros);
		inside += p;
		if (p * SAMPLES >= 20)
			add_cell(&fit, counts[cell + REACH + 1], p * SAMPLES);
	}
	if ((1 - inside) * SAMPLES >= 40)
		add_cell(&fit, counts[0] + counts[2 * REACH + 2], (1 - inside) * SAMPLES);
	return fit;
}

START_TEST(the_noise_is_discrete_laplace)
{
	static const struct {
		uint64_t scale, steps;
		int64_t step;
	} cases[] = {{1, 1, 1},
		     {3, 2, 1},
		     {2, 3, 1},
		     {AGGREGATE_ACCOUNTS_SCALE, AGGREGATE_ACCOUNTS_STEPS, 2},
		     {AGGREGATE_VOLUME_SCALE, AGGREGATE_VOLUME_STEPS, 200}};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		seed.state = 1000 + i;
		struct fit fit = fit_of(cases[i].scale, cases[i].steps, cases[i].step, 1);

		ck_assert_uint_ge(fit.cells, 5);
		ck_assert_msg(fits(&fit), "case %zu: chi-square %f with %u cells", i, fit.sum,
			      fit.cells);
	}
}
END_TEST

/* Would it be seen?  Two zeros, and noise that is a tenth narrower than was said. */
START_TEST(other_noise_does_not_pass)
{
	seed.state = 2000;
	struct fit zeros = fit_of(AGGREGATE_ACCOUNTS_SCALE, AGGREGATE_ACCOUNTS_STEPS, 2, 2);
	struct fit narrow = {0};

	ck_assert(!fits(&zeros));
	for (int64_t cell = -20; cell <= 20; cell++)
		add_cell(&narrow, SAMPLES * probability(cell, 36, 1),
			 SAMPLES * probability(cell, 40, 1));
	ck_assert(!fits(&narrow));
}
END_TEST

/* ---- releases */

static const struct aggregate_counts many = {.of_qos = {100000, 50000, 7}, .accounts = 1000};

START_TEST(a_day_is_kept_with_noise)
{
	struct aggregate_release release;

	seed.state = 1;
	aggregate_release_make(20000, &many, &fixed, &release);
	ck_assert(release.kept);
	ck_assert_uint_eq(release.day, 20000);
	for (size_t qos = 0; qos < 3; qos++) {
		int64_t noise = release.of_qos[qos] - (int64_t)many.of_qos[qos];

		ck_assert_int_ne(noise, 0);
		ck_assert_int_lt(llabs(noise), 100000);
	}
	ck_assert_int_lt(llabs(release.accounts - 1000), 1000);
}
END_TEST

static bool is_null(const struct aggregate_release *release)
{
	return !release->kept && release->accounts == 0 && release->of_qos[0] == 0 &&
	       release->of_qos[1] == 0 && release->of_qos[2] == 0;
}

START_TEST(of_an_interrupted_day_and_of_few_accounts_nothing_is_kept)
{
	struct aggregate_release release;
	struct aggregate_counts few = many;
	unsigned kept = 0;

	aggregate_release_make(20000, NULL, &fixed, &release);
	ck_assert(is_null(&release));
	ck_assert_uint_eq(release.day, 20000);
	/* Of an account alone less than one day in 1,000. */
	few.accounts = 1;
	seed.state = 3;
	for (unsigned i = 0; i < 100000; i++) {
		aggregate_release_make(i, &few, &fixed, &release);
		ck_assert(release.kept || is_null(&release));
		ck_assert(!release.kept || release.accounts >= AGGREGATE_ACCOUNTS_MIN);
		kept += release.kept;
	}
	const double p = exp(-250.0 / 40) / (1 + exp(-1.0 / 40));

	ck_assert_double_lt(p, 0.001);
	ck_assert_double_le(fabs(kept - 100000 * p), 5 * sqrt(100000 * p));
}
END_TEST

START_TEST(a_release_is_a_row)
{
	struct aggregate_release release = {
	    .day = 20413, .kept = true, .of_qos = {-5, 1, INT64_MAX}, .accounts = 251};
	struct aggregate_release again;
	uint8_t body[AGGREGATE_BODY_LEN];

	aggregate_release_write(&release, body);
	ck_assert(aggregate_release_read(slice_of(body, sizeof body), &again));
	ck_assert_uint_eq(again.day, release.day);
	ck_assert(again.kept);
	ck_assert_int_eq(again.of_qos[0], -5);
	ck_assert_int_eq(again.of_qos[2], INT64_MAX);
	ck_assert_int_eq(again.accounts, 251);
	ck_assert(!aggregate_release_read(slice_of(body, sizeof body - 1), &again));
	body[9] = 2;
	ck_assert(!aggregate_release_read(slice_of(body, sizeof body), &again));
	body[9] = 1;
	body[0] = 2;
	ck_assert(!aggregate_release_read(slice_of(body, sizeof body), &again));
}
END_TEST

Suite *aggregate_suite(void)
{
	const TTest *const tests[] = {numbers_are_uniform,
				      what_would_be_drawn_too_often_is_drawn_again,
				      exponentials_are_exact,
				      the_noise_is_discrete_laplace,
				      other_noise_does_not_pass,
				      a_day_is_kept_with_noise,
				      of_an_interrupted_day_and_of_few_accounts_nothing_is_kept,
				      a_release_is_a_row};

	return suite_of("aggregate", tests, COUNT_OF(tests));
}
