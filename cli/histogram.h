/*
 * histogram.h - how often each value occurred, in log-linear buckets: values below 128
 * exactly, above that 64 buckets in each power of two.  What is told of a value is
 * the middle of its bucket, at most 1/128 of it away (0.8 %); the largest value is exact.
 *
 * Pure; the caller's memory, {0} is an empty one.
 */
#ifndef CLI_HISTOGRAM_H
#define CLI_HISTOGRAM_H

#include "proto/base.h"

#define HISTOGRAM_STEP_BITS 6u
#define HISTOGRAM_STEPS	    (1u << HISTOGRAM_STEP_BITS)
/* Two powers' worth of exact values, then one row for each shift that is left in 64 bits. */
#define HISTOGRAM_BUCKETS (2 * HISTOGRAM_STEPS + (63u - HISTOGRAM_STEP_BITS) * HISTOGRAM_STEPS)

struct histogram {
	uint64_t count;
	uint64_t maximum;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);

/*
 * The value that this share of all values (0 to 1) does not exceed, as near as
 * the buckets know; 0 when there are none.
 */
uint64_t histogram_value(const struct histogram *h, double share);

#endif
