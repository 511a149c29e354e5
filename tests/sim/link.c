/* link.c - byte streams between simulated clients and the broker. */
#include "tests/sim/link.h"
#include "tests/sim/device.h"
#include "tests/sim/oracle.h"

/* Bytes under way. */
struct segment {
	size_t len;
	uint8_t bytes[];
};

static struct segment *segment_create(struct slice bytes)
{
	struct segment *segment = malloc(sizeof(*segment) + bytes.len);
	must(segment != NULL);
	segment->len = bytes.len;
	memcpy(segment->bytes, bytes.at, bytes.len);
	return segment;
}

static uint64_t delay_of(struct world *world, const struct link *link, uint64_t *latest_ms)
{
	uint64_t arrival = world->now_ms + 1;
	if (!link->fast)
		arrival += rng_below(&world->rng, world->profile.delay_ms + 1);
	if (arrival < *latest_ms)
		arrival = *latest_ms;
	*latest_ms = arrival;
	return arrival - world->now_ms;
}

static void note_end(struct world *world, struct link *link)
{
	if (link->ended_ms != NEVER)
		return;
	link->ended_ms = world->now_ms;
	link->died = !world->up && !world->stopping;
	for (unsigned i = 0; i < world->client_count && !link->died; i++)
		if (world->oracle->sessions[i].link == link)
			oracle_absent(world, i);
}

void link_gone(struct world *world, struct link *link)
{
	note_end(world, link);
	if (link->gone_ms != NEVER)
		return;
	link->gone_ms = world->now_ms;
	oracle_link_gone(world, link);
}

/* The client's side of the link has ended. */
static void client_side_ends(struct world *world, struct link *link)
{
	if (!link->client_open)
		return;
	link->client_open = false;
	if (link->client != NULL)
		device_gone(world, link->client, link);
}

/* ---- towards the client ---- */

static void client_reads(struct world *world, struct link *link)
{
	if (world->now_ms < link->paused_until_ms || link->half_open)
		return;
	if (link->client != NULL && link->down.len > 0) {
		struct bytes down = link->down;
		link->down = (struct bytes){0};
		device_bytes(world, link->client, link, slice_of(down.at, down.len));
		bytes_finish(&down);
	} else {
		bytes_drop(&link->down, link->down.len);
	}
	if (link->output && link->broker_open && link->at_shard)
		broker_wake(world, link->shard);
}

static void segment_arrives_down(struct world *world, uint64_t id, void *arg)
{
	struct link *link = world->links[id];
	struct segment *segment = arg;
	link->flying -= segment->len;
	if (link->client_open || link->half_open)
		bytes_append(&link->down, slice_of(segment->bytes, segment->len));
	free(segment);
	if (link->client_open)
		client_reads(world, link);
}

static void reading_resumes(struct world *world, uint64_t id, void *arg)
{
	(void)arg;
	struct link *link = world->links[id];
	if (link->client_open)
		client_reads(world, link);
}

void link_pause(struct world *world, struct link *link, uint64_t ms)
{
	link->paused_until_ms = world->now_ms + ms;
	world_at(world, ms, reading_resumes, link->id, NULL);
}

static void end_arrives_down(struct world *world, uint64_t id, void *arg)
{
	(void)arg;
	struct link *link = world->links[id];
	link->paused_until_ms = 0;
	if (link->client_open)
		client_reads(world, link);
	client_side_ends(world, link);
}

/* Takes up to `room` bytes of the shard's output, in pieces of chance. */
static size_t take_output(struct world *world, struct link *link, size_t room)
{
	struct slice out[8];
	size_t count = shard_output(world->shards[link->shard].core, link->number, out, 8);
	struct bytes all = {0};
	for (size_t i = 0; i < count && all.len < room; i++) {
		size_t n = out[i].len < room - all.len ? out[i].len : room - all.len;
		bytes_append(&all, slice_of(out[i].at, n));
	}
	if (all.len > 1 && rng_chance(&world->rng, 200))
		all.len = rng_between(&world->rng, 1, (uint32_t)all.len);
	for (size_t at = 0; at < all.len;) {
		size_t n = all.len - at;
		if (n > 1 && rng_chance(&world->rng, 300))
			n = rng_between(&world->rng, 1, (uint32_t)n);
		link->flying += n;
		world_at(world, delay_of(world, link, &link->down_ms), segment_arrives_down,
			 link->id, segment_create(slice_of(all.at + at, n)));
		at += n;
	}
	size_t len = all.len;
	bytes_finish(&all);
	return len;
}

static void broker_closes_now(struct world *world, uint64_t id, void *arg)
{
	(void)arg;
	struct link *link = world->links[id];
	if (!link->broker_open || link->eof)
		return;
	link->eof = true;
	bytes_drop(&link->up, link->up.len);
	world_at(world, delay_of(world, link, &link->down_ms), end_arrives_down, link->id, NULL);
	if (link->at_shard)
		broker_wake(world, link->shard);
}

void link_write(struct world *world, struct link *link)
{
	link->output = true;
	while (link->output) {
		size_t used = link->flying + link->down.len;
		size_t room = used < link->capacity ? link->capacity - used : 0;
		if (room == 0)
			return; /* client_reads() or the arrival of an end goes on */
		size_t n = take_output(world, link, room);
		link->output = !shard_written(world->shards[link->shard].core, world_moment(world),
					      link->number, n);
		if (n == 0)
			break;
	}
	link->output = false;
	if (link->closing)
		broker_closes_now(world, link->id, NULL);
}

/* ---- towards the broker ---- */

static void segment_arrives_up(struct world *world, uint64_t id, void *arg)
{
	struct link *link = world->links[id];
	struct segment *segment = arg;
	if (link->broker_open && !link->eof && !link->half_open) {
		bytes_append(&link->up, slice_of(segment->bytes, segment->len));
		if (link->at_shard)
			broker_wake(world, link->shard);
	}
	free(segment);
}

static void end_arrives_up(struct world *world, uint64_t id, void *arg)
{
	(void)arg;
	struct link *link = world->links[id];
	if (!link->broker_open || link->eof)
		return;
	link->eof = true;
	if (link->at_shard)
		broker_wake(world, link->shard);
}

void link_send(struct world *world, struct link *link, struct slice bytes)
{
	link->unread += bytes.len;
	for (size_t at = 0; at < bytes.len;) {
		size_t n = bytes.len - at;
		if (n > 1 && rng_chance(&world->rng, 150))
			n = rng_between(&world->rng, 1, (uint32_t)n);
		world_at(world, delay_of(world, link, &link->up_ms), segment_arrives_up, link->id,
			 segment_create(slice_of(bytes.at + at, n)));
		at += n;
	}
}

/* ---- beginning and end ---- */

static void refuse(struct world *world, uint64_t id, void *arg)
{
	(void)arg;
	client_side_ends(world, world->links[id]);
}

static void accept_link(struct world *world, uint64_t id, void *arg)
{
	(void)arg;
	struct link *link = world->links[id];
	if (!link->broker_open)
		return;
	if (world->up && !world->stopping)
		link_attach(world, link, (uint16_t)rng_below(&world->rng, world->shard_count));
	else
		link_broker_died(world, link);
}

struct link *link_open(struct world *world, struct device *client, bool fast)
{
	struct link *link = calloc(1, sizeof(*link));
	must(link != NULL);
	if (world->link_count == world->link_room) {
		world->link_room = world->link_room * 2 + 64;
		world->links = realloc(world->links, world->link_room * sizeof(struct link *));
		must(world->links != NULL);
	}
	link->id = (uint32_t)world->link_count;
	world->links[world->link_count++] = link;
	link->client = client;
	link->client_open = true;
	link->fast = fast;
	link->gone_ms = link->ended_ms = NEVER;
	link->opened_ms = world->now_ms;
	link->capacity = world->profile.slow_readers && rng_chance(&world->rng, 300)
			     ? rng_between(&world->rng, 1000, 8000)
			     : 65536;
	link->broker_open = world->up && !world->stopping;
	if (link->broker_open)
		world_at(world, delay_of(world, link, &link->up_ms), accept_link, link->id, NULL);
	else
		world_at(world, 1, refuse, link->id, NULL);
	return link;
}

void link_attach(struct world *world, struct link *link, uint16_t shard)
{
	struct sim_shard *home = &world->shards[shard];
	uint32_t number = 0;
	while (home->links[number] != NULL)
		must(++number < WORLD_LINKS_AT_A_SHARD);
	home->links[number] = link;
	link->at_shard = link->attached = true;
	link->reading = true;
	link->shard = shard;
	link->number = number;
	struct event event = {.type = EVENT_LINK_OPEN,
			      .link = number,
			      .opened_ms = link->opened_ms,
			      .listener = &world->listener};
	shard_handle(home->core, world_moment(world), &event);
	broker_wake(world, shard);
}

void link_detach(struct world *world, struct link *link)
{
	must(world->shards[link->shard].links[link->number] == link);
	world->shards[link->shard].links[link->number] = NULL;
	link->at_shard = link->output = false;
}

void link_close(struct world *world, struct link *link)
{
	if (!link->client_open)
		return;
	note_end(world, link);
	link->client_open = false;
	link->client = NULL;
	world_at(world, delay_of(world, link, &link->up_ms), end_arrives_up, link->id, NULL);
}

void link_cut(struct world *world, struct link *link)
{
	if (!link->client_open || !link->broker_open)
		return;
	note_end(world, link);
	link->cut = true;
	if (rng_chance(&world->rng, 500))
		link->up_ms = world->now_ms; /* the end overtakes what is under way */
	if (rng_chance(&world->rng, 500))
		link->down_ms = world->now_ms;
	world_at(world, delay_of(world, link, &link->up_ms), end_arrives_up, link->id, NULL);
	world_at(world, delay_of(world, link, &link->down_ms), end_arrives_down, link->id, NULL);
}

/* A plant: something goes on pinging in the name of a client that is gone. */
static void ghost_pings(struct world *world, uint64_t id, void *arg)
{
	(void)arg;
	static const uint8_t pingreq[] = {MQTT_PINGREQ << 4, 0};
	struct link *link = world->links[id];
	if (!link->at_shard || link->eof)
		return;
	link->unread += sizeof(pingreq);
	bytes_append(&link->up, slice_of(pingreq, sizeof(pingreq)));
	broker_wake(world, link->shard);
	world_at(world, 1000, ghost_pings, id, NULL);
}

void link_half_open(struct world *world, struct link *link)
{
	if (!link->client_open)
		return;
	note_end(world, link);
	link->cut = true;
	link->half_open = true;
	client_side_ends(world, link);
	link->client = NULL;
	if (plant_keeps_alive(world))
		ghost_pings(world, link->id, NULL);
	/* TCP gives up after a while, if the keep-alive did not. */
	world_at(world, 90000, end_arrives_up, link->id, NULL);
}

void link_abandon(struct world *world, struct link *link)
{
	(void)world;
	link->client = NULL;
}

void link_broker_close(struct world *world, struct link *link)
{
	link->closing = true;
	link_gone(world, link);
	link_write(world, link);
	if (link->output)
		world_at(world, 2000, broker_closes_now, link->id, NULL);
}

void link_broker_died(struct world *world, struct link *link)
{
	if (!link->broker_open)
		return;
	link->broker_open = false;
	link->at_shard = false;
	link->cut = true;
	link_gone(world, link);
	world_at(world, delay_of(world, link, &link->down_ms), end_arrives_down, link->id, NULL);
}
