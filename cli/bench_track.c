#include "cli/bench_track.h"

#define REMEMBERED 64u

static uint64_t take_new(struct bench_track *track, uint64_t number)
{
	const uint64_t step = number - track->top;

	track->absent = step < REMEMBERED ? track->absent << step : 0;
	/* Those that were overtaken: the bits below the step's, without our own. */
	track->absent |=
	    step < REMEMBERED ? (((uint64_t)1 << step) - 1) & ~(uint64_t)1 : ~(uint64_t)1;
	track->missing += step - 1;
	track->top = number;
	return step;
}

/* Is this number, which is below top, one of those that did not come? */
static bool is_missing(const struct bench_track *track, uint64_t back)
{
	if (back < REMEMBERED)
		return (track->absent >> back & 1) != 0;
	return track->missing > (uint64_t)__builtin_popcountll(track->absent);
}

uint64_t bench_track_take(struct bench_track *track, struct bench_tally *tally, uint64_t number)
{
	const uint64_t back = track->top - number;

	if (number > track->top) {
		tally->delivered++;
		return take_new(track, number);
	}
	if (!is_missing(track, back)) {
		tally->duplicated++;
		return 0;
	}
	if (back < REMEMBERED)
		track->absent &= ~((uint64_t)1 << back);
	track->missing--;
	tally->delivered++;
	tally->out_of_order++;
	return 0;
}
