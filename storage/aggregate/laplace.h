/*
 * laplace.h - the discrete Laplace distribution, sampled exactly: integers and fair bits only,
 * no floating point, so that the noise has no holes by which it could be taken off again.
 *
 * P(x) is proportional to exp(-|x| * steps / scale): scale / steps is how wide it is.
 *
 * Pure: chance comes from the caller.
 * Thread: any.
 * Follows: Canonne, Kamath, Steinke: The Discrete Gaussian for Differential Privacy (2020),
 * algorithms 1 and 2.
 */
#ifndef STORAGE_AGGREGATE_LAPLACE_H
#define STORAGE_AGGREGATE_LAPLACE_H

#include "proto/base.h"

/* Where fair bits come from. */
struct chance {
	void *self;
	uint64_t (*draw)(void *self); /* 64 of them */
};

/* Both 1 to 2^32. */
int64_t laplace_sample(const struct chance *chance, uint64_t scale, uint64_t steps);

/* The parts, for their tests. */
/* 0 to n - 1, each as often as the other. */
uint64_t laplace_uniform(const struct chance *chance, uint64_t n);
/* True with probability exp(-above / below); above <= below <= 2^32. */
bool laplace_exp(const struct chance *chance, uint64_t above, uint64_t below);

#endif
