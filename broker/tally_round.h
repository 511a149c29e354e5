/*
 * tally_round.h - the tables of all workers at the end of a day, brought together: who asks
 * does not wait, and may give up before all have answered.
 *
 * Ownership: counted references: one for who asked, one for each worker.
 * Thread: any.
 */
#ifndef BROKER_TALLY_ROUND_H
#define BROKER_TALLY_ROUND_H

#include "broker/core/tally.h"

struct tally_round;

/* With a reference for the caller, and one for each of the workers. */
struct tally_round *tally_round_create(uint32_t workers);

/* A worker's table (taken). */
void tally_round_add(struct tally_round *round, struct tally *tally);

/* A worker needs it no more, whether it answered or not. */
void tally_round_release(struct tally_round *round);

/* True when all have answered; then the table of all (given), once. */
bool tally_round_take(struct tally_round *round, struct tally *all);

#endif
