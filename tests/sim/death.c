/* death.c - the broker goes, and comes back. */
#include "tests/sim/oracle.h"

static void kill_now(struct world *world, uint64_t n, void *arg);

static void come_back(struct world *world, uint64_t killed, void *arg)
{
	(void)arg;
	if (world->up) { /* it is still stopping */
		world_at(world, 200, come_back, killed, NULL);
		return;
	}
	broker_start(world);
	oracle_broker_back(world, killed != 0);
	if (oracle_records(world) && killed != 0 && rng_chance(&world->rng, 250)) {
		world->tally.kills_again++;
		broker_kill_soon(world, rng_below(&world->rng, 30));
	}
}

static void come_back_later(struct world *world, bool killed)
{
	struct rng *rng = &world->rng;
	bool soon = oracle_records(world) && rng_chance(rng, 400);
	world_at(world, soon ? rng_between(rng, 1, 60) : rng_between(rng, 100, 4000), come_back,
		 killed, NULL);
}

static void kill_now(struct world *world, uint64_t n, void *arg)
{
	(void)n, (void)arg;
	if (!world->up || world->stopping || world->quiet)
		return;
	world->tally.kills++;
	broker_kill(world);
	come_back_later(world, true);
}

void broker_kill_soon(struct world *world, uint64_t delay_ms)
{
	if (delay_ms == 0)
		kill_now(world, 0, NULL);
	else
		world_at(world, delay_ms, kill_now, 0, NULL);
}

void broker_pause(struct world *world)
{
	world->tally.stops++;
	broker_stop(world);
	come_back_later(world, false);
}
