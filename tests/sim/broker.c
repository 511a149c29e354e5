/* broker.c - the shell's part: turns, effects, start, stop and sudden death. */
#include "storage/store.h"
#include "tests/sim/link.h"
#include "tests/sim/oracle.h"
#include "tests/sim/rows.h"

/* Memory may pass the limit by what a turn of each shard forces, and by a quantum each. */
#define MEMORY_SLACK (512 * 1024)

static enum auth_verdict check(struct auth *auth, const struct auth_request *request,
			       struct auth_answer *answer);

/* ---- turns ---- */

/* A loop looks at the clock once a turn: a little later that is the past, and each shard has its
 * own.  Where a timer is due it has looked just now. */
static struct moment seen_moment(const struct world *world, struct sim_shard *shard,
				 enum event_type type)
{
	uint64_t behind_ms = type == EVENT_TIMERS ? 0 : world->order % WORLD_CLOCK_BEHIND_MS;
	struct moment moment = world_moment(world);
	if (shard->clock_ms + behind_ms < moment.ms)
		shard->clock_ms = moment.ms - behind_ms;
	moment.ms = shard->clock_ms;
	return moment;
}

static void handle(struct world *world, uint16_t index, struct event event)
{
	struct sim_shard *shard = &world->shards[index];
	shard_handle(shard->core, seen_moment(world, shard, event.type), &event);
}

static void handle_item(struct world *world, uint16_t shard, const struct inbox_item *item)
{
	switch (item->type) {
	case INBOX_MAIL:
		handle(world, shard, (struct event){.type = EVENT_MAIL, .mail = item->mail});
		break;
	case INBOX_STORED:
		handle(world, shard, (struct event){.type = EVENT_STORED, .batch = item->batch});
		break;
	case INBOX_AUTHENTICATED:
		if (item->link->at_shard && item->link->shard == shard && !item->link->closing)
			handle(world, shard,
			       (struct event){.type = EVENT_AUTHENTICATED,
					      .link = item->link->number,
					      .serial = item->serial,
					      .reason = item->reason});
		break;
	}
}

/* Some of what waits, in order. */
static void handle_inbox(struct world *world, struct sim_shard *shard, uint16_t index)
{
	if (shard->inbox_count == 0)
		return;
	size_t count = rng_between(&world->rng, 1, (uint32_t)shard->inbox_count);
	for (size_t i = 0; i < count; i++)
		handle_item(world, index, &shard->inbox[i]);
	shard->inbox_count -= count;
	memmove(shard->inbox, shard->inbox + count, shard->inbox_count * sizeof(*shard->inbox));
}

static bool link_readable(const struct link *link)
{
	return link->up.len > 0 && link->reading && !link->closing;
}

/* An end is seen behind the bytes before it; a line that broke is seen at once. */
static bool link_ended(const struct link *link)
{
	return link->eof && (link->up.len == 0 || link->closing || link->cut);
}

static void handle_link(struct world *world, uint16_t index, struct link *link)
{
	if (link_readable(link)) {
		uint32_t all = link->up.len < 4096 ? (uint32_t)link->up.len : 4096;
		uint32_t n = rng_chance(&world->rng, 300) ? rng_between(&world->rng, 1, all) : all;
		handle(world, index,
		       (struct event){.type = EVENT_LINK_BYTES,
				      .link = link->number,
				      .bytes = slice_of(link->up.at, n)});
		bytes_drop(&link->up, n);
		link->unread -= n;
		return;
	}
	if (link_ended(link)) {
		link_gone(world, link);
		handle(world, index,
		       (struct event){.type = EVENT_LINK_CLOSED, .link = link->number});
		link->broker_open = false;
		link_detach(world, link);
	}
}

static void handle_links(struct world *world, struct sim_shard *shard, uint16_t index)
{
	for (uint32_t i = 0; i < WORLD_LINKS_AT_A_SHARD; i++)
		if (shard->links[i] != NULL)
			handle_link(world, index, shard->links[i]);
}

static void write_links(struct world *world, struct sim_shard *shard)
{
	for (uint32_t i = 0; i < WORLD_LINKS_AT_A_SHARD; i++)
		if (shard->links[i] != NULL && shard->links[i]->output)
			link_write(world, shard->links[i]);
}

static void check_memory(struct world *world)
{
	int64_t used = atomic_load(&world->budget.used);
	int64_t limit = atomic_load(&world->budget.limit);
	if (used > limit + MEMORY_SLACK)
		world_fault(world, "memory", "%lld bytes are charged, the limit is %lld",
			    (long long)used, (long long)limit);
}

static void shard_turn(struct world *world, uint64_t index, void *arg)
{
	(void)arg;
	struct sim_shard *shard = &world->shards[index];
	uint16_t number = (uint16_t)index;
	if (shard->core == NULL || shard->turn_ms > world->now_ms)
		return;
	shard->turn_ms = NEVER;
	bool inbox_first = rng_chance(&world->rng, 500);
	if (inbox_first)
		handle_inbox(world, shard, number);
	handle_links(world, shard, number);
	if (!inbox_first)
		handle_inbox(world, shard, number);
	if (shard_next_timer(shard->core) <= world->now_ms)
		handle(world, number, (struct event){.type = EVENT_TIMERS});
	broker_effects(world, number);
	write_links(world, shard);
	broker_effects(world, number);
	check_memory(world);
	bool more = shard->inbox_count > 0;
	for (uint32_t i = 0; i < WORLD_LINKS_AT_A_SHARD; i++)
		more = more || (shard->links[i] != NULL &&
				(link_readable(shard->links[i]) || link_ended(shard->links[i])));
	if (more)
		broker_wake(world, number);
}

/* The shard may have moved its timer meanwhile: then this is a turn for nothing. */
static void timer_turn(struct world *world, uint64_t index, void *arg)
{
	(void)arg;
	struct sim_shard *shard = &world->shards[index];
	if (shard->timer_ms > world->now_ms)
		return;
	shard->timer_ms = NEVER;
	if (shard->core != NULL)
		broker_wake(world, (uint16_t)index);
}

void broker_wake(struct world *world, uint16_t index)
{
	struct sim_shard *shard = &world->shards[index];
	uint64_t delay = rng_below(&world->rng, 3);
	if (rng_chance(&world->rng, world->profile.stall))
		delay = rng_below(&world->rng, 60);
	if (shard->core == NULL || shard->turn_ms <= world->now_ms + delay)
		return;
	shard->turn_ms = world->now_ms + delay;
	world_at(world, delay, shard_turn, index, NULL);
}

void broker_inbox(struct world *world, uint16_t index, struct inbox_item item)
{
	struct sim_shard *shard = &world->shards[index];
	if (shard->inbox_count == shard->inbox_room) {
		shard->inbox_room = shard->inbox_room * 2 + 16;
		shard->inbox = realloc(shard->inbox, shard->inbox_room * sizeof(*shard->inbox));
		must(shard->inbox != NULL);
	}
	shard->inbox[shard->inbox_count++] = item;
	broker_wake(world, index);
}

/* ---- effects ---- */

/* A link on its way to its home, with what it had sent so far. */
struct moving {
	party_id party;
	size_t len;
	uint8_t bytes[];
};

static void link_arrives(struct world *world, uint64_t id, void *arg)
{
	struct moving *moving = arg;
	struct link *link = world->links[id];
	if (link->broker_open) {
		link_attach(world, link, moving->party);
		handle(world, moving->party,
		       (struct event){.type = EVENT_LINK_BYTES,
				      .link = link->number,
				      .bytes = slice_of(moving->bytes, moving->len)});
	}
	free(moving);
}

static void move_link(struct world *world, uint16_t index, struct link *link,
		      const struct effect *effect)
{
	struct moving *moving = malloc(sizeof(*moving) + effect->bytes.len);
	must(moving != NULL && effect->party < world->shard_count);
	moving->party = effect->party;
	moving->len = effect->bytes.len;
	if (moving->len > 0)
		memcpy(moving->bytes, effect->bytes.at, moving->len);
	shard_free_bytes(world->shards[index].core, effect->bytes);
	link_detach(world, link);
	world_trace(world, "link %u moves to shard %u", link->id, effect->party);
	world_at(world, rng_below(&world->rng, 5), link_arrives, link->id, moving);
}

static void post(struct world *world, struct mail *mail)
{
	if (plant_loses_mail(world, mail)) {
		mail_destroy(mail, &world->purse);
		return;
	}
	struct mail *gate = plant_opens_gate(world, mail);
	if (gate)
		broker_inbox(world, gate->to,
			     (struct inbox_item){.type = INBOX_MAIL, .mail = gate});
	broker_inbox(world, mail->to, (struct inbox_item){.type = INBOX_MAIL, .mail = mail});
}

static void carry_out(struct world *world, uint16_t index, const struct effect *effect)
{
	struct link *link = NULL;
	if (effect->type <= EFFECT_READ) {
		must(effect->link < WORLD_LINKS_AT_A_SHARD);
		link = world->shards[index].links[effect->link];
		if (link == NULL)
			return; /* closed in this very turn */
	}
	switch (effect->type) {
	case EFFECT_OUTPUT:
		link_write(world, link);
		break;
	case EFFECT_CLOSE:
		link_broker_close(world, link);
		break;
	case EFFECT_MOVE:
		move_link(world, index, link, effect);
		break;
	case EFFECT_READ:
		link->reading = effect->on;
		broker_wake(world, index);
		break;
	case EFFECT_MAIL:
		post(world, effect->mail);
		break;
	case EFFECT_STORE:
		disk_submit(world, effect->batch);
		break;
	case EFFECT_ROUTES:
		rows_take(world, effect->block);
		break;
	default: /* only for the log */
		break;
	}
}

void broker_effects(struct world *world, uint16_t index)
{
	struct shard *core = world->shards[index].core;
	for (unsigned round = 0; round < 1000; round++) {
		size_t count;
		const struct effect *effects = shard_effects(core, &count);
		if (count == 0)
			break;
		struct effect *copy = malloc(count * sizeof(*copy));
		must(copy != NULL);
		memcpy(copy, effects, count * sizeof(*copy));
		shard_effects_done(core);
		for (size_t i = 0; i < count; i++)
			carry_out(world, index, &copy[i]);
		free(copy);
		if (round == 999)
			world_fault(world, "effects", "a turn's effects have no end");
	}
	uint64_t due = shard_next_timer(core);
	struct sim_shard *shard = &world->shards[index];
	if (due >= shard->timer_ms)
		return;
	shard->timer_ms = due > world->now_ms ? due : world->now_ms;
	world_at(world, shard->timer_ms - world->now_ms, timer_turn, index, NULL);
}

/* ---- authentication ---- */

/* An answer that takes its time. */
struct later {
	uint64_t serial;
	enum mqtt_reason reason;
};

static void answer_auth(struct world *world, uint64_t link, void *arg)
{
	struct later *later = arg;
	if (world->links[link]->at_shard)
		broker_inbox(world, world->links[link]->shard,
			     (struct inbox_item){.type = INBOX_AUTHENTICATED,
						 .link = world->links[link],
						 .serial = later->serial,
						 .reason = later->reason});
	free(later);
}

static enum auth_verdict check(struct auth *auth, const struct auth_request *request,
			       struct auth_answer *answer)
{
	struct sim_auth *self = (struct sim_auth *)auth;
	struct world *world = self->world;
	struct link *link = world->shards[self->shard].links[request->link];
	must(link != NULL);
	bool refuse = slice_equal(request->user_name, SLICE_LITERAL("nobody"));
	answer->reason = refuse ? MQTT_BAD_USER_NAME_OR_PASSWORD : MQTT_SUCCESS;
	if (rng_chance(&world->rng, world->profile.auth_wait)) {
		struct later *later = malloc(sizeof(*later));
		must(later != NULL);
		*later = (struct later){request->serial, answer->reason};
		world_at(world, rng_between(&world->rng, 1, 200), answer_auth, link->id, later);
		return AUTH_WAIT;
	}
	return refuse ? AUTH_REFUSE : AUTH_ALLOW;
}

/* ---- life and death ---- */

static void start_shard(struct world *world, uint16_t index)
{
	struct sim_shard *shard = &world->shards[index];
	shard->auth = (struct sim_auth){{.check = check}, world, index};
	shard->turn_ms = shard->timer_ms = NEVER;
	struct shard_setup setup = {
	    .party = index,
	    .parties = world->shard_count,
	    .durable = world->profile.durable,
	    .settings = &world->settings,
	    .auth = &shard->auth.auth,
	    .pseudonyms = &sim_pseudonyms,
	    .budget = &world->budget,
	};
	memset(setup.hash_key, (int)(world->seed & 0xff), sizeof(setup.hash_key));
	for (size_t i = 0; i < sizeof(setup.seed); i++)
		setup.seed[i] = (uint8_t)rng_next(&world->rng);
	shard->core = shard_create(&setup, world_moment(world));
	must(shard->core != NULL);
}

void broker_start(struct world *world)
{
	budget_init(&world->budget, world->settings.memory_limit);
	purse_init(&world->purse, &world->budget);
	for (uint16_t i = 0; i < world->shard_count; i++)
		start_shard(world, i);
	disk_load(world);
	/* Routes are in force everywhere before the first connection. */
	for (bool more = true; more;) {
		more = false;
		for (uint16_t i = 0; i < world->shard_count; i++) {
			broker_effects(world, i);
			more = more || world->shards[i].inbox_count > 0;
			handle_inbox(world, &world->shards[i], i);
			broker_effects(world, i);
			more = more || world->shards[i].inbox_count > 0;
		}
	}
	world->up = true;
	world->stopping = false;
	world_trace(world, "broker starts");
}

static void drop_inbox(struct world *world, struct sim_shard *shard)
{
	for (size_t i = 0; i < shard->inbox_count; i++) {
		if (shard->inbox[i].mail != NULL)
			mail_destroy(shard->inbox[i].mail, &world->purse);
		free(shard->inbox[i].batch);
	}
	free(shard->inbox);
	shard->inbox = NULL;
	shard->inbox_count = shard->inbox_room = 0;
}

void broker_kill(struct world *world)
{
	if (!world->up)
		return;
	world->up = false;
	if (!world->stopping)
		world->stop_ms = world->now_ms;
	world_trace(world, "broker dies");
	for (size_t i = 0; i < world->link_count; i++)
		link_broker_died(world, world->links[i]);
	for (uint16_t i = 0; i < world->shard_count; i++) {
		struct sim_shard *shard = &world->shards[i];
		rows_take_last(world, shard->core);
		for (int name = 0; name < HAPPENED_NAMES; name++)
			world->happened[name] +=
			    happened_get(shard_happened(shard->core), (enum happened_name)name);
		drop_inbox(world, shard);
		memset(shard->links, 0, sizeof(shard->links));
	}
	for (uint16_t i = 0; i < world->shard_count; i++) {
		shard_destroy(world->shards[i].core);
		world->shards[i].core = NULL;
	}
	oracle_broker_gone(world);
	disk_kill(world);
	purse_finish(&world->purse);
	int64_t used = atomic_load(&world->budget.used);
	if (used != 0)
		world_fault(world, "memory", "%lld bytes are still charged when all is freed",
			    (long long)used);
	if (!budget_finish(&world->budget))
		world_fault(world, "memory", "messages are left when all is freed");
}

static void stop_done(struct world *world, uint64_t tries, void *arg)
{
	(void)arg;
	if (!world->up)
		return;
	bool stopped = true;
	for (uint16_t i = 0; i < world->shard_count; i++)
		stopped = stopped && shard_stopped(world->shards[i].core);
	if (stopped)
		broker_kill(world);
	else if (tries > 100)
		world_fault(world, "stop", "the broker does not stop within 10 s");
	else
		world_at(world, 100, stop_done, tries + 1, NULL);
}

void broker_stop(struct world *world)
{
	if (!world->up || world->stopping)
		return;
	world_trace(world, "broker stops");
	for (uint16_t i = 0; i < world->shard_count; i++)
		broker_effects(world, i); /* of a link that has just arrived */
	world->stopping = true;
	world->stop_ms = world->now_ms;
	for (uint16_t i = 0; i < world->shard_count; i++) {
		handle(world, i, (struct event){.type = EVENT_STOP});
		broker_wake(world, i);
	}
	world_at(world, 1, stop_done, 0, NULL);
}

uint64_t broker_level(const struct world *world, enum happened_name name)
{
	uint64_t sum = 0;
	for (uint16_t i = 0; i < world->shard_count; i++)
		if (world->shards[i].core != NULL)
			sum += happened_get(shard_happened(world->shards[i].core), name);
	return sum;
}

uint64_t broker_counted(const struct world *world, enum happened_name name)
{
	return world->happened[name] + broker_level(world, name);
}
