#include "cli/histogram.h"

#include <math.h>

/* How far a value is shifted to keep its uppermost 7 bits. */
static unsigned shift_of(uint64_t value)
{
	return value < 2 * HISTOGRAM_STEPS
		   ? 0
		   : 63u - HISTOGRAM_STEP_BITS - (unsigned)__builtin_clzll(value);
}

void histogram_add(struct histogram *h, uint64_t value)
{
	const unsigned shift = shift_of(value);

	/* A shifted value is at least HISTOGRAM_STEPS: row `shift` begins where the last one ended.
	 */
	h->buckets[shift * HISTOGRAM_STEPS + (value >> shift)]++;
	h->count++;
	if (value > h->maximum)
		h->maximum = value;
}

static uint64_t middle_of(size_t bucket)
{
	const size_t row = bucket / HISTOGRAM_STEPS;
	const size_t shift = row < 2 ? 0 : row - 1;

	return ((uint64_t)(bucket - shift * HISTOGRAM_STEPS) << shift) + ((uint64_t)1 << shift) / 2;
}

uint64_t histogram_value(const struct histogram *h, double share)
{
	const uint64_t wanted = (uint64_t)ceil(share * (double)h->count);
	uint64_t sum = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		sum += h->buckets[i];
		if (h->buckets[i] > 0 && sum >= wanted)
			return middle_of(i) < h->maximum ? middle_of(i) : h->maximum;
	}
	return h->maximum;
}
