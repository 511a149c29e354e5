/* plant_store.c - faults on purpose in what the store does with the steps of exchanges. */
#include "broker/core/bundle.h"
#include "storage/store.h"
#include "tests/sim/oracle.h"
#include "tests/sim/plant.h"

/* A fault that only a death shows: one soon after, more often than not. */
static bool strikes_and_kills(struct world *world, enum plant plant, uint32_t permille,
			      uint32_t within_ms)
{
	if (!plant_strikes(world, plant, permille))
		return false;
	if (rng_chance(&world->rng, 700))
		broker_kill_soon(world, rng_between(&world->rng, 1, within_ms));
	return true;
}

/* The first of a bundle that has a gate loses it; what the gate's owner is told instead. */
struct mail *plant_opens_gate(struct world *world, struct mail *mail)
{
	struct publication publication;
	uint64_t ticket = 0;
	uint32_t at = 0, first = 0;
	if (mail->type != MAIL_PUBLICATIONS)
		return NULL;
	while (ticket == 0) {
		first = at;
		if (!bundle_next(mail, &at, &publication, &ticket))
			return NULL;
	}
	if (!strikes_and_kills(world, PLANT_OPEN_GATE, 200, 40))
		return NULL;
	memset(mail->bundle + first, 0, sizeof ticket);
	struct mail *gate = mail_create(MAIL_GATES, mail->to, mail->from, SLICE_NONE);
	gate->count = 1;
	gate->bundle_len = sizeof ticket;
	gate->bundle = purse_payload(&world->purse, sizeof ticket);
	memcpy(gate->bundle, &ticket, sizeof ticket);
	return gate;
}

/* ---- answered before it is committed ---- */

static const struct {
	enum plant plant;
	enum store_step_type type;
} early[] = {
    {PLANT_EARLY_SENT, STEP_OUTBOUND_SENT},
    {PLANT_EARLY_RECEIVED, STEP_OUTBOUND_RECEIVED},
    {PLANT_EARLY_END, STEP_INBOUND_END},
};

static bool has_only(const struct store_batch *batch, enum store_step_type type)
{
	for (size_t i = 0; i < batch->step_count; i++)
		if (batch->steps[i].type != type)
			return false;
	return batch->step_count > 0 && batch->count == 0;
}

bool plant_answers_early(struct world *world, const struct store_batch *batch)
{
	for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++)
		if (world->plant == early[i].plant && has_only(batch, early[i].type))
			return strikes_and_kills(world, early[i].plant, 600, 6);
	return false;
}

/* ---- answered as committed, and not in the store ---- */

bool plant_may_spoil(const struct world *world)
{
	return world->plant >= PLANT_FORGET_OPEN && world->plant <= PLANT_FORGET_QUEUED;
}

static bool is_struck(const struct world *world, const struct store_step *step)
{
	return world->struck_row == step->row && world->struck_id == step->packet_id;
}

/* PUBLISH went: what follows of this exchange would tell the store of it, too. */
static bool forgets_sent(struct world *world, const struct store_step *step)
{
	if (step->type == STEP_OUTBOUND_RECEIVED && is_struck(world, step))
		return true;
	if (step->type != STEP_OUTBOUND_SENT ||
	    !strikes_and_kills(world, PLANT_FORGET_SENT, 200, 300))
		return false;
	world->struck_row = step->row;
	world->struck_id = step->packet_id;
	return true;
}

static bool forgets(struct world *world, const struct store_step *step)
{
	switch (step->type) {
	case STEP_INBOUND_OPEN:
		return strikes_and_kills(world, PLANT_FORGET_OPEN, 200, 200);
	case STEP_INBOUND_END:
		return strikes_and_kills(world, PLANT_FORGET_END, 300, 100);
	case STEP_OUTBOUND_RECEIVED:
		return strikes_and_kills(world, PLANT_FORGET_RECEIVED, 200, 100) ||
		       forgets_sent(world, step);
	case STEP_QUEUED:
		return step->count > 0 && strikes_and_kills(world, PLANT_FORGET_QUEUED, 1000, 3000);
	default:
		return forgets_sent(world, step);
	}
}

void plant_spoils_steps(struct world *world, struct store_batch *batch)
{
	size_t kept = 0;
	for (size_t i = 0; i < batch->step_count; i++) {
		struct store_step *step = &batch->steps[i];
		if (forgets(world, step))
			continue;
		if (step->type == STEP_OUTBOUND_END && step->envelope != 0 &&
		    strikes_and_kills(world, PLANT_FORGET_TOMBSTONE, 300, 60))
			step->envelope = 0;
		if (step->type == STEP_QUEUED && plant_strikes(world, PLANT_SPOIL_QUEUED, 500))
			step->count += 100;
		batch->steps[kept++] = *step;
	}
	batch->step_count = kept;
}
