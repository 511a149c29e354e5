/* tally_round.c - see tally_round.h. */
#include "broker/tally_round.h"
#include <pthread.h>
#include <stdlib.h>

struct tally_round {
	pthread_mutex_t mutex;
	uint32_t references;
	uint32_t workers;
	uint32_t answered;
	struct tally tallies[]; /* in the order of the answers */
};

struct tally_round *tally_round_create(uint32_t workers)
{
	struct tally_round *round = calloc(1, sizeof(*round) + workers * sizeof(round->tallies[0]));

	must(round && pthread_mutex_init(&round->mutex, NULL) == 0);
	round->references = workers + 1;
	round->workers = workers;
	return round;
}

void tally_round_add(struct tally_round *round, struct tally *tally)
{
	pthread_mutex_lock(&round->mutex);
	must(round->answered < round->workers);
	round->tallies[round->answered++] = *tally;
	pthread_mutex_unlock(&round->mutex);
	*tally = (struct tally){0};
}

void tally_round_release(struct tally_round *round)
{
	pthread_mutex_lock(&round->mutex);
	const bool last = --round->references == 0;

	pthread_mutex_unlock(&round->mutex);
	if (!last)
		return;
	for (uint32_t i = 0; i < round->workers; i++)
		tally_finish(&round->tallies[i]);
	pthread_mutex_destroy(&round->mutex);
	free(round);
}

bool tally_round_take(struct tally_round *round, struct tally *all)
{
	pthread_mutex_lock(&round->mutex);
	const bool complete = round->answered == round->workers;

	pthread_mutex_unlock(&round->mutex);
	if (!complete)
		return false;
	/* Nobody adds any more. */
	*all = (struct tally){0};
	for (uint32_t i = 0; i < round->workers; i++)
		tally_merge(all, &round->tallies[i]);
	return true;
}
