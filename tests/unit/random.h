/*
 * random.h - numbers for randomised tests that can be run again: the seed is in
 * every failure's text, and METRINO_TEST_SEED in the environment sets it.
 */
#ifndef TESTS_UNIT_RANDOM_H
#define TESTS_UNIT_RANDOM_H

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>

/* For the format of ck_assert_msg; the argument is random.seed. */
#define RANDOM_SEED "METRINO_TEST_SEED=%" PRIu64

struct random {
	uint64_t seed;
	uint64_t state;
};

static inline struct random random_start(void)
{
	const char *text = getenv("METRINO_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 10) : 20;

	return (struct random){seed, seed};
}

/* splitmix64 */
static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

/* 0 to bound - 1 */
static inline uint32_t random_below(struct random *random, size_t bound)
{
	return (uint32_t)(random_next(random) % bound);
}

#endif
