/* rows.c - see rows.h. */
#include "tests/sim/rows.h"
#include "proto/packet.h"
#include "storage/route/rows.h"
#include "tests/sim/device.h"
#include <stdio.h>
#include <stdlib.h>

static bool name_of(struct pseudonyms *pseudonyms, uint64_t owner, struct slice client_id,
		    uint32_t epoch, struct route_name *name)
{
	(void)pseudonyms;
	(void)owner;
	(void)epoch;
	*name = (struct route_name){0};
	memcpy(name->at, client_id.at,
	       client_id.len < ROUTE_NAME_SIZE ? client_id.len : ROUTE_NAME_SIZE);
	return true;
}

struct pseudonyms sim_pseudonyms = {.of = name_of};

/* WORLD_CLIENTS_MAX for anybody else. */
static unsigned client_of(const struct world *world, const struct route_block *block,
			  uint16_t place)
{
	unsigned i = 0;
	if (place == 0)
		return WORLD_CLIENTS_MAX;
	const char *name = (const char *)block->names[place - 1].at;
	while (i < world->client_count && strncmp(world->clients[i].id, name, ROUTE_NAME_SIZE) != 0)
		i++;
	return i < world->client_count ? i : WORLD_CLIENTS_MAX;
}

static void count(struct world *world, const struct route_block *block, const struct route_row *row)
{
	unsigned client = client_of(world, block, row->destination);
	if (plant_strikes(world, PLANT_LOSE_ROW, 300))
		return;
	if (plant_strikes(world, PLANT_TWICE_ROW, 300))
		world->rows.to[client][row->qos][row->outcome]++;
	if (client < WORLD_CLIENTS_MAX && plant_strikes(world, PLANT_ROW_OF_ANOTHER, 300))
		client = (client + 1) % world->client_count;
	world->rows.to[client][row->qos][row->outcome]++;
	/* What a crash left behind is of nobody, and its PUBLISH was seen by who was there before.
	 */
	if (row->source == 0 && row->qos == 2 && row->outcome == ROUTE_DELIVERED)
		world->rows.recalled[client]++;
}

void rows_take(struct world *world, struct route_block *block)
{
	struct route_walk walk = route_walk_of(block);
	if (!route_rows_good(block))
		world_fault(world, "rows", "a block that cannot be read");
	while (route_walk_next(&walk))
		count(world, block, &walk.row);
	free(block);
}

/* What other effects there are ends with the shard. */
void rows_take_last(struct world *world, struct shard *shard)
{
	size_t taken = 0, count = 0;
	for (bool more = true; more;) {
		struct event event = {.type = EVENT_ROUTES};
		shard_handle(shard, world_moment(world), &event);
		const struct effect *effects = shard_effects(shard, &count);
		more = false;
		for (; taken < count; taken++) {
			if (effects[taken].type != EFFECT_ROUTES)
				continue;
			struct route_block *copy = malloc(sizeof(*copy));
			must(copy != NULL);
			*copy = *effects[taken].block;
			rows_take(world, copy);
			more = true;
		}
	}
}

void rows_seen(struct world *world, unsigned client, const struct mqtt_publish *publish)
{
	world->rows.seen[client][publish->qos][publish->dup]++;
}

/* ---- at the end ---- */

static uint64_t rows_of(const struct world *world, unsigned qos, enum route_outcome outcome)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i <= WORLD_CLIENTS_MAX; i++)
		sum += world->rows.to[i][qos][outcome];
	return sum;
}

static void check_drops(struct world *world)
{
	static const struct {
		enum route_outcome outcome;
		enum happened_name name;
	} pairs[] = {
	    {ROUTE_QUEUE_FULL, HAPPENED_DROPPED_QUEUE_FULL},
	    {ROUTE_SLOW_READER, HAPPENED_DROPPED_SLOW},
	    {ROUTE_EXPIRED, HAPPENED_DROPPED_EXPIRED},
	    {ROUTE_TOO_LARGE, HAPPENED_DROPPED_TOO_LARGE},
	    {ROUTE_AWAY, HAPPENED_DROPPED_AWAY},
	    {ROUTE_SESSION_ENDED, HAPPENED_DROPPED_SESSION_END},
	    {ROUTE_LOST, HAPPENED_LOST_IN_CRASH},
	    {ROUTE_UNKNOWN, HAPPENED_UNKNOWN_AFTER_CRASH},
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		uint64_t rows = 0, happened = broker_counted(world, pairs[i].name);
		for (unsigned qos = 0; qos <= 2; qos++)
			rows += rows_of(world, qos, pairs[i].outcome);
		if (rows != happened)
			world_fault(world, "rows", "%llu rows of outcome %u, %llu were counted",
				    (unsigned long long)rows, (unsigned)pairs[i].outcome,
				    (unsigned long long)happened);
	}
}

/* What was delivered to a client it has seen; what it saw first was told, if no death took that. */
static void check_client(struct world *world, unsigned client)
{
	const struct sim_rows *rows = &world->rows;
	bool deaths = world->tally.kills + world->tally.stops > 0;
	for (unsigned qos = 0; qos <= 2; qos++) {
		const uint64_t *to = rows->to[client][qos];
		uint64_t seen = rows->seen[client][qos][0], again = rows->seen[client][qos][1];
		uint64_t delivered = to[ROUTE_DELIVERED] + to[ROUTE_REFUSED];
		uint64_t recalled = qos == 2 ? rows->recalled[client] : 0;
		if (qos > 0 && delivered > seen + again + recalled)
			world_fault(world, "rows",
				    "client %u: %llu rows of QoS %u, %llu PUBLISHes came", client,
				    (unsigned long long)delivered, qos,
				    (unsigned long long)(seen + again));
		if ((qos == 0 || !deaths) && seen > delivered + to[ROUTE_UNACKNOWLEDGED])
			world_fault(world, "rows",
				    "client %u: %llu rows of QoS %u, %llu new PUBLISHes came",
				    client, (unsigned long long)delivered, qos,
				    (unsigned long long)seen);
	}
}

/* Of QoS 0 a client need not see what was sent: but it was sent. */
static void check_at_most_once(struct world *world)
{
	uint64_t others = 0, sent = broker_counted(world, HAPPENED_PUBLISH_SENT);
	for (unsigned i = 0; i < world->client_count; i++)
		for (unsigned qos = 1; qos <= 2; qos++)
			others += world->rows.seen[i][qos][0] + world->rows.seen[i][qos][1];
	uint64_t rows = rows_of(world, 0, ROUTE_DELIVERED);
	if (rows + others > sent)
		world_fault(world, "rows", "%llu rows of QoS 0, %llu PUBLISHes at most",
			    (unsigned long long)rows, (unsigned long long)(sent - others));
}

void rows_check(struct world *world)
{
	for (unsigned i = 0; i < world->client_count; i++)
		check_client(world, i);
	check_at_most_once(world);
	check_drops(world);
}
