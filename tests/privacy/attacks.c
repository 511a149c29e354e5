/*
 * attacks.c - tries to find out from what is kept of a broker's days (storage/aggregate) what
 * it promises to hide, and measures how often that works.
 *
 *	attacks [RUNS]
 *
 * The attacker knows everything but one thing: what all other accounts published, on each
 * day, and what the target does when it is there.  That is the strongest there can be, and
 * the best it can do is to compare likelihoods, which is exact here.
 *
 *   membership   was the target there at all, on one day, and on 90 days always?
 *                the same when it publishes a million times, and when it is a fleet of a
 *                thousand (that receivers count for nothing is for tests/unit/test_tally.c)
 *   linkage      which of 20 habits (90 days, there on half of them) is the target's?
 *   alone        of how many days is anything kept when there is only one account?
 *
 * Each attack is run without noise as well, and has to succeed then: else it would show
 * nothing.  The last line is `N passed, N failed`.
 */
#include "broker/core/tally.h"
#include "storage/aggregate/release.h"
#include "tests/unit/random.h"
#include <math.h>
#include <stdio.h>

#define DAYS   90u
#define HABITS 20u

static struct random random_state = {1, 1};
static bool noise = true;

static uint64_t draw(void *self)
{
	(void)self;
	return random_next(&random_state);
}

static const struct chance chance = {NULL, draw};

/* ---- the broker: from what is published to what is kept */

struct world {
	uint64_t others;    /* accounts */
	unsigned clients;   /* of the target */
	uint32_t publishes; /* of each of them */
};

/* What the target adds to a day's counts: by the code that charges accounts. */
static struct tally_sums target_of(const struct world *world)
{
	struct tally day = {0};

	for (unsigned client = 0; client < world->clients; client++) {
		struct tally_counts counts = {0};

		for (uint32_t i = 0; i < world->publishes; i++)
			tally_count(&counts, 1);
		tally_charge(&day, 77, &counts);
	}
	struct tally_sums sums = tally_sum(&day);

	tally_finish(&day);
	return sums;
}

static struct aggregate_release release_of(const struct world *world,
					   const struct tally_sums *target, bool there)
{
	struct aggregate_counts counts = {.of_qos = {world->others * 10, world->others * 5, 3},
					  .accounts = world->others};
	struct aggregate_release release = {.kept = true};

	for (size_t qos = 0; there && qos < 3; qos++)
		counts.of_qos[qos] += target->of_qos[qos];
	counts.accounts += there;
	if (noise) {
		aggregate_release_make(0, &counts, &chance, &release);
		return release;
	}
	for (size_t qos = 0; qos < 3; qos++)
		release.of_qos[qos] = (int64_t)counts.of_qos[qos];
	release.accounts = (int64_t)counts.accounts;
	return release;
}

/* ---- the attacker */

#define VOLUME_WIDTH   ((double)AGGREGATE_VOLUME_SCALE / AGGREGATE_VOLUME_STEPS)
#define ACCOUNTS_WIDTH ((double)AGGREGATE_ACCOUNTS_SCALE / AGGREGATE_ACCOUNTS_STEPS)

/* How much likelier it is with `more` than without, as a logarithm. */
static double evidence(int64_t seen, uint64_t without, uint64_t more, double width)
{
	const double x = (double)(seen - (int64_t)without);

	return (fabs(x) - fabs(x - (double)more)) / width;
}

/* The probability that noise makes `accounts` too few to be kept. */
static double null_probability(uint64_t accounts)
{
	const double q = exp(-1 / ACCOUNTS_WIDTH);
	const double below = (double)(AGGREGATE_ACCOUNTS_MIN - 1) - (double)accounts;

	return below >= 0 ? 1 - pow(q, below + 1) / (1 + q) : pow(q, -below) / (1 + q);
}

static double evidence_of_day(const struct world *world, const struct tally_sums *target,
			      const struct aggregate_release *seen)
{
	const uint64_t without[3] = {world->others * 10, world->others * 5, 3};
	double sum = 0;

	if (!seen->kept)
		return log(null_probability(world->others + 1) / null_probability(world->others));
	for (size_t qos = 0; qos < 3; qos++)
		sum += evidence(seen->of_qos[qos], without[qos], target->of_qos[qos], VOLUME_WIDTH);
	return sum + evidence(seen->accounts, world->others, 1, ACCOUNTS_WIDTH);
}

/* ---- membership: how much better than guessing, 0 to 1 */

static double advantage(const struct world *world, unsigned days, unsigned runs)
{
	const struct tally_sums target = target_of(world);
	unsigned yes[2] = {0, 0};

	for (unsigned run = 0; run < runs; run++) {
		const bool there = run % 2 == 1;
		double sum = 0;

		for (unsigned day = 0; day < days; day++) {
			struct aggregate_release seen = release_of(world, &target, there);

			sum += evidence_of_day(world, &target, &seen);
		}
		yes[there] += sum > 0;
	}
	return 2.0 * ((double)yes[1] - (double)yes[0]) / runs;
}

/* ---- linkage: how often the right one of the habits is found */

static uint64_t habits[HABITS][(DAYS + 63) / 64];

static bool is_there(unsigned habit, unsigned day)
{
	return habits[habit][day / 64] >> day % 64 & 1;
}

static void make_habits(void)
{
	for (unsigned i = 0; i < HABITS; i++)
		for (size_t word = 0; word < sizeof habits[0] / sizeof habits[0][0]; word++)
			habits[i][word] = random_next(&random_state);
}

static unsigned guess_habit(const struct world *world, const struct tally_sums *target,
			    unsigned truth)
{
	double sums[HABITS] = {0};
	unsigned best = 0;

	for (unsigned day = 0; day < DAYS; day++) {
		struct aggregate_release seen = release_of(world, target, is_there(truth, day));
		const double more = evidence_of_day(world, target, &seen);

		for (unsigned i = 0; i < HABITS; i++)
			sums[i] += is_there(i, day) ? more : 0;
	}
	for (unsigned i = 1; i < HABITS; i++)
		if (sums[i] > sums[best])
			best = i;
	return best;
}

static double linked(const struct world *world, unsigned runs)
{
	const struct tally_sums target = target_of(world);
	unsigned right = 0;

	for (unsigned run = 0; run < runs; run++) {
		if (run % 100 == 0)
			make_habits();
		const unsigned truth = random_below(&random_state, HABITS);

		right += guess_habit(world, &target, truth) == truth;
	}
	return (double)right / runs;
}

/* ---- alone */

static double kept_alone(unsigned runs)
{
	const struct world alone = {.others = 0, .clients = 1, .publishes = 256};
	const struct tally_sums target = target_of(&alone);
	unsigned kept = 0;

	for (unsigned run = 0; run < runs; run++)
		kept += release_of(&alone, &target, true).kept;
	return (double)kept / runs;
}

/* ---- what is promised */

static unsigned passed, failed;

static void check(const char *what, double measured, double low, double high)
{
	const bool good = measured >= low && measured <= high;

	printf("%-6s %-58s %.4f, promised %.4f to %.4f\n", good ? "ok" : "FAILED", what, measured,
	       low, high);
	*(good ? &passed : &failed) += 1;
}

static const struct world crowd = {.others = 1000, .clients = 1, .publishes = 256};
static const struct world edge = {.others = 250, .clients = 1, .publishes = 256};
static const struct world loud = {.others = 1000, .clients = 1, .publishes = 1000000};
static const struct world fleet = {.others = 1000, .clients = 1000, .publishes = 100000};

/* Measured values are off by this at most, four times in 100,000. */
static double error_of(unsigned runs)
{
	return 4 * sqrt(1.0 / runs);
}

static void attack(unsigned runs)
{
	const double error = error_of(runs);

	check("membership, one day, among 1,000", advantage(&crowd, 1, runs), 0.04 - error,
	      0.04 + error);
	check("membership, 90 days, among 1,000", advantage(&crowd, DAYS, runs), 0.29 - error,
	      0.29 + error);
	check("membership, 90 days, among 250: some days are not kept",
	      advantage(&edge, DAYS, runs), 0, 0.29 + error);
	check("membership, 90 days, a million publishes each", advantage(&loud, DAYS, runs), 0,
	      0.29 + error);
	check("membership, 90 days, a fleet of 1,000 on one account",
	      advantage(&fleet, DAYS, runs / 10), 0, 0.29 + error_of(runs / 10));
	check("linkage, the right one of 20 habits", linked(&crowd, runs / 10), 0,
	      0.1 + error_of(runs / 10));
	check("alone: days of which anything is kept", kept_alone(runs * 25), 0, 0.001);
	noise = false;
	check("without noise: membership, one day", advantage(&crowd, 1, 1000), 0.99, 1);
	check("without noise: linkage", linked(&crowd, 200), 0.99, 1);
	check("without noise: alone", kept_alone(1000), 0.99, 1);
}

int main(int argc, char **argv)
{
	const unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 40000;

	if (runs < 1000 || runs > 10000000) {
		fputs("attacks: RUNS is 1000 to 10000000\n", stderr);
		return 1;
	}
	attack((unsigned)runs);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0;
}
