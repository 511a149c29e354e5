/* laplace.c - see laplace.h. */
#include "storage/aggregate/laplace.h"

#define NUMBER_MAX (UINT64_C(1) << 32)

/* Numbers below the first whole multiple of n that is left are drawn again. */
uint64_t laplace_uniform(const struct chance *chance, uint64_t n)
{
	const uint64_t first = -n % n;
	uint64_t number;

	do
		number = chance->draw(chance->self);
	while (number < first);
	return number % n;
}

/* Algorithm 1.  How long a run of ever rarer events is says it: odd, with this probability. */
bool laplace_exp(const struct chance *chance, uint64_t above, uint64_t below)
{
	uint64_t k = 1;

	must(below > 0 && above <= below && below <= NUMBER_MAX);
	while (laplace_uniform(chance, below * k) < above) {
		k++;
		must(k < NUMBER_MAX); /* with fair bits: never */
	}
	return k % 2 == 1;
}

/* How often it is so, one after the other: geometric. */
static uint64_t count_whole(const struct chance *chance)
{
	uint64_t count = 0;

	while (laplace_exp(chance, 1, 1))
		count++;
	return count;
}

/* Algorithm 2. */
int64_t laplace_sample(const struct chance *chance, uint64_t scale, uint64_t steps)
{
	must(scale > 0 && scale <= NUMBER_MAX && steps > 0 && steps <= NUMBER_MAX);
	for (;;) {
		const uint64_t part = laplace_uniform(chance, scale);

		if (!laplace_exp(chance, part, scale))
			continue;
		const uint64_t whole = count_whole(chance);

		must(whole < NUMBER_MAX / 2);
		const int64_t size = (int64_t)((part + scale * whole) / steps);
		const bool negative = laplace_uniform(chance, 2) == 1;

		/* There is one zero only. */
		if (!negative || size != 0)
			return negative ? -size : size;
	}
}
