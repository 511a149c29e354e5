/*
 * disk.c - the storage thread's stand-in: one commit at a time takes what waits,
 * lasts a while, is refused now and then, and may be lost or kept when the
 * process dies in the middle of it.
 */
#include "storage/mem_store.h"
#include "storage/store.h"
#include "tests/sim/world.h"
#include <stdio.h>

static void commit_ends(struct world *world, uint64_t generation, void *arg);

void disk_init(struct world *world)
{
	world->disk.store = mem_store_create();
	must(world->disk.store != NULL);
}

static void commit_begins(struct world *world)
{
	struct disk *disk = &world->disk;
	if (disk->committing > 0 || disk->waiting_count == 0)
		return;
	disk->committing = rng_between(&world->rng, 1, (uint32_t)disk->waiting_count);
	world_at(world, rng_between(&world->rng, 1, 25), commit_ends, disk->generation, NULL);
}

void disk_submit(struct world *world, struct store_batch *batch)
{
	struct disk *disk = &world->disk;
	if (disk->waiting_count == disk->waiting_room) {
		disk->waiting_room = disk->waiting_room * 2 + 16;
		disk->waiting =
		    realloc(disk->waiting, disk->waiting_room * sizeof(struct store_batch *));
		must(disk->waiting != NULL);
	}
	disk->waiting[disk->waiting_count++] = batch;
	commit_begins(world);
}

/* Commits the first `count`, but for those that a plant makes the disk forget. */
static bool commit(struct world *world, size_t count, struct failure *failure)
{
	struct disk *disk = &world->disk;
	for (size_t i = 0; i < count; i++) {
		if (plant_forgets_batch(world, disk->waiting[i]))
			continue;
		if (!store_commit(disk->store, &disk->waiting[i], 1, failure))
			return false;
	}
	return true;
}

static void commit_ends(struct world *world, uint64_t generation, void *arg)
{
	(void)arg;
	struct disk *disk = &world->disk;
	if (generation != disk->generation)
		return;
	struct failure failure = {"the simulated disk is full"};
	size_t count = disk->committing;
	bool refused = !world->quiet && rng_chance(&world->rng, world->profile.refuse);
	bool committed = !refused && commit(world, count, &failure);
	if (!committed)
		world_trace(world, "disk refuses %zu batches", count);
	for (size_t i = 0; i < count; i++) {
		struct store_batch *batch = disk->waiting[i];
		batch->committed = committed;
		if (!committed)
			batch->failure = failure;
		broker_inbox(world, batch->party,
			     (struct inbox_item){.type = INBOX_STORED, .batch = batch});
	}
	disk->waiting_count -= count;
	memmove(disk->waiting, disk->waiting + count,
		disk->waiting_count * sizeof(struct store_batch *));
	disk->committing = 0;
	commit_begins(world);
}

void disk_kill(struct world *world)
{
	struct disk *disk = &world->disk;
	struct failure failure;
	if (disk->committing > 0 && rng_chance(&world->rng, 500))
		(void)commit(world, disk->committing, &failure);
	for (size_t i = 0; i < disk->waiting_count; i++)
		free(disk->waiting[i]);
	disk->waiting_count = disk->committing = 0;
	disk->generation++;
}

void disk_finish(struct world *world)
{
	free(world->disk.waiting);
	if (world->disk.store != NULL)
		store_close(world->disk.store);
}

/* ---- loading: every row goes to its session's home ---- */

struct home_of_row {
	uint64_t row;
	uint16_t shard;
};

struct loading {
	struct world *world;
	struct home_of_row homes[256];
	size_t count;
};

static void load_session(void *self, uint64_t row, const struct store_session *session)
{
	struct loading *loading = self;
	struct world *world = loading->world;
	uint16_t shard = shard_home(world->shards[0].core, session->client_id);
	must(loading->count < 256);
	loading->homes[loading->count++] = (struct home_of_row){row, shard};
	struct event event = {.type = EVENT_RESTORE_SESSION, .row = row, .session = session};
	shard_handle(world->shards[shard].core, world_moment(world), &event);
}

static void load_subscription(void *self, uint64_t row,
			      const struct store_subscription *subscription)
{
	struct loading *loading = self;
	struct world *world = loading->world;
	struct event event = {
	    .type = EVENT_RESTORE_SUBSCRIPTION, .row = row, .subscription = subscription};
	for (size_t i = 0; i < loading->count; i++) {
		if (loading->homes[i].row != subscription->session)
			continue;
		shard_handle(world->shards[loading->homes[i].shard].core, world_moment(world),
			     &event);
		return;
	}
	world_fault(world, "orphan", "a stored subscription belongs to no stored session");
}

static void load_step(void *self, const struct store_step *step)
{
	struct loading *loading = self;
	struct world *world = loading->world;
	struct event event = {.type = EVENT_RESTORE_STEP, .step = step};
	for (size_t i = 0; i < loading->count; i++) {
		if (loading->homes[i].row != step->row)
			continue;
		shard_handle(world->shards[loading->homes[i].shard].core, world_moment(world),
			     &event);
		return;
	}
	world_fault(world, "orphan", "a stored step belongs to no stored session");
}

void disk_load(struct world *world)
{
	struct loading loading = {.world = world};
	struct store_visitor visitor = {&loading, load_session, load_subscription, load_step};
	struct failure failure;
	if (!store_load(world->disk.store, &visitor, &failure))
		world_fault(world, "load", "%s", failure.text);
}
