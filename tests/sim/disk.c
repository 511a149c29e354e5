/*
 * disk.c - the storage thread's stand-in: one commit at a time takes what waits,
 * lasts a while, is refused now and then, and may be lost or kept when the
 * process dies in the middle of it.
 */
#include "storage/mem_store.h"
#include "storage/store.h"
#include "tests/sim/device.h"
#include <stdio.h>

/* So little that journals of short worlds are written again, too. */
#define JOURNAL_SLACK 1024

#define PARTY_NONE UINT16_MAX

static void commit_ends(struct world *world, uint64_t generation, void *arg);

void disk_init(struct world *world)
{
	world->disk.store = mem_store_create();
	must(world->disk.store != NULL);
	mem_store_set_slack(world->disk.store, JOURNAL_SLACK);
}

static void commit_begins(struct world *world)
{
	struct disk *disk = &world->disk;
	if (disk->committing > 0 || disk->waiting_count == 0)
		return;
	disk->committing = rng_between(&world->rng, 1, (uint32_t)disk->waiting_count);
	world_at(world, rng_between(&world->rng, 1, 25), commit_ends, disk->generation, NULL);
}

static void trace_steps(struct world *world, const struct store_batch *batch)
{
	static const char *const names[STEP_TYPES] = {"",
						      "inbound open",
						      "inbound end",
						      "outbound sent",
						      "outbound received",
						      "outbound end",
						      "queued"};
	for (size_t i = 0; i < batch->step_count; i++) {
		const struct store_step *step = &batch->steps[i];
		world_trace(world, "store: %s id=%u session %08x envelope %08x count %u",
			    names[step->type], step->packet_id, (unsigned)step->row,
			    (unsigned)step->envelope, step->count);
	}
}

/* What a plant makes of a batch with steps; to be freed. */
static struct store_batch *copy_of(const struct store_batch *batch)
{
	size_t ops_size = batch->count * sizeof(batch->ops[0]);
	size_t steps_size = batch->step_count * sizeof(batch->steps[0]);
	struct store_batch *copy = calloc(1, sizeof(*copy) + ops_size + steps_size);
	must(copy != NULL);
	*copy = *batch;
	memcpy(copy->ops, batch->ops, ops_size);
	copy->steps = (struct store_step *)((uint8_t *)copy->ops + ops_size);
	if (steps_size > 0)
		memcpy(copy->steps, batch->steps, steps_size);
	return copy;
}

/* Commits the first `count` as one piece, but for what a plant makes the disk forget. */
static bool commit(struct world *world, size_t count, struct failure *failure)
{
	struct disk *disk = &world->disk;
	struct store_batch **batches = calloc(count, sizeof(*batches));
	size_t kept = 0;
	must(batches != NULL);
	for (size_t i = 0; i < count; i++) {
		if (plant_forgets_batch(world, disk->waiting[i]))
			continue;
		batches[kept] = copy_of(disk->waiting[i]);
		if (plant_may_spoil(world))
			plant_spoils_steps(world, batches[kept]);
		trace_steps(world, batches[kept]);
		kept++;
	}
	bool committed = store_commit(disk->store, batches, kept, failure);
	for (size_t i = 0; i < kept; i++)
		free(batches[i]);
	free(batches);
	return committed;
}

/* Nobody waits for the answer to one that was answered early. */
static void answer(struct world *world, struct store_batch *batch, bool committed)
{
	if (batch->party == PARTY_NONE) {
		free(batch);
		return;
	}
	batch->committed = committed;
	broker_inbox(world, batch->party,
		     (struct inbox_item){.type = INBOX_STORED, .batch = batch});
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
	if (plant_answers_early(world, batch)) {
		struct store_batch *copy = copy_of(batch);
		copy->party = PARTY_NONE;
		answer(world, batch, true);
		batch = copy;
	}
	disk->waiting[disk->waiting_count++] = batch;
	commit_begins(world);
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
	if (!committed) {
		world_trace(world, "disk refuses %zu batches", count);
		world->refused_ms = world->now_ms;
	}
	for (size_t i = 0; i < count; i++) {
		struct store_batch *batch = disk->waiting[i];
		if (!committed)
			batch->failure = failure;
		answer(world, batch, committed);
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
	unsigned client; /* whose session it is; client_count: nobody's that the oracle watches */
};

struct loading {
	struct world *world;
	struct home_of_row homes[256];
	size_t count;
	uint64_t inbound, outbound;
};

static unsigned client_named(const struct world *world, struct slice id)
{
	unsigned client = 0;
	while (client < world->client_count &&
	       !slice_equal(slice_text(world->clients[client].id), id))
		client++;
	return client;
}

static void load_session(void *self, uint64_t row, const struct store_session *session)
{
	struct loading *loading = self;
	struct world *world = loading->world;
	uint16_t shard = shard_home(world->shards[0].core, session->client_id);
	must(loading->count < 256);
	loading->homes[loading->count++] =
	    (struct home_of_row){row, shard, client_named(world, session->client_id)};
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

static void tally_step(struct loading *loading, const struct store_step *step)
{
	struct sim_tally *tally = &loading->world->tally;
	switch (step->type) {
	case STEP_INBOUND_OPEN:
		tally->inbound++;
		loading->inbound++;
		return;
	case STEP_OUTBOUND_SENT:
		*(step->envelope ? &tally->sent : &tally->orphans) += 1;
		loading->outbound++;
		return;
	case STEP_OUTBOUND_RECEIVED:
		tally->received++;
		loading->outbound++;
		return;
	case STEP_OUTBOUND_END:
		tally->tombstones++;
		return;
	default:
		tally->queues++;
	}
}

static void load_step(void *self, const struct store_step *step)
{
	struct loading *loading = self;
	struct world *world = loading->world;
	struct event event = {.type = EVENT_RESTORE_STEP, .step = step};
	tally_step(loading, step);
	world_trace(world, "found: type %u id=%u session %08x envelope %08x count %u", step->type,
		    step->packet_id, (unsigned)step->row, (unsigned)step->envelope, step->count);
	for (size_t i = 0; i < loading->count; i++) {
		if (loading->homes[i].row != step->row)
			continue;
		if (step->type == STEP_OUTBOUND_SENT &&
		    loading->homes[i].client < world->client_count)
			oracle_begun(world, loading->homes[i].client, step->packet_id);
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
	world->tally.met_inbound += loading.inbound > 0;
	world->tally.met_outbound += loading.outbound > 0;
}
