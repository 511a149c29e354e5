/*
 * rows.h - route rows (delivery_log.h) held against what clients saw: every delivery that a
 * client had is told once, about that client and no other, and what counts as dropped has its row.
 */
#ifndef TESTS_SIM_ROWS_H
#define TESTS_SIM_ROWS_H

#include "tests/sim/world.h"

struct mqtt_publish;
struct route_block;

/* What clients are called in rows. */
extern struct pseudonyms sim_pseudonyms;

/* Takes what a shard gave out. */
void rows_take(struct world *world, struct route_block *block);

/* A shard will be no more: takes all that it has. */
void rows_take_last(struct world *world, struct shard *shard);

/* A client got this PUBLISH. */
void rows_seen(struct world *world, unsigned client, const struct mqtt_publish *publish);

/* All sessions and all shards have ended. */
void rows_check(struct world *world);

#endif
