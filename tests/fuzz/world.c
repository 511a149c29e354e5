/* world.c - see world.h. */
#include "tests/fuzz/world.h"
#include "broker/core/own_request.h"
#include "broker/core/state.h"
#include "storage/mem_store.h"
#include "storage/route/rows.h"
#include "tests/fuzz/fuzz.h"

#define KIBIBYTE 1024u
/* Memory may pass the limit by what a turn of each shard forces, and by a quantum each. */
#define MEMORY_SLACK (512 * KIBIBYTE)
#define TURNS_MAX    100000u

static bool name_of(struct pseudonyms *pseudonyms, uint64_t owner, struct slice client_id,
		    uint32_t epoch, struct route_name *name)
{
	(void)pseudonyms;
	(void)owner;
	*name = (struct route_name){{(uint8_t)epoch}};
	memcpy(name->at + 1, client_id.at, client_id.len < 15 ? client_id.len : 15);
	return client_id.len != 3; /* who objected */
}

static struct pseudonyms names = {.of = name_of};

void world_init(struct world *world, unsigned shards)
{
	memset(world, 0, sizeof(*world));
	world->count = shards;
	world->auth = world_auth;
	world->now = (struct moment){.ms = 1000000, .wall_s = 1700000000};
	world->settings = (struct core_settings){
	    .connect_timeout_ms = 10000,
	    .token_lifetime_s = 60,
	    .connect_bytes_max = 2048,
	    .session_expiry_max_s = UINT32_MAX,
	    .sessions_max = 20,
	    .max_inflight_messages = 8,
	    .max_inflight_bytes = 16 * KIBIBYTE,
	    .max_queued_messages = 10,
	    .max_queued_bytes = 16 * KIBIBYTE,
	    .queue_policy = QUEUE_DROP_NEW,
	    .receive_maximum = 5,
	    .retain_available = true,
	    .max_retained_messages = 10,
	    .max_retained_bytes = 16 * KIBIBYTE,
	    .rate_publish_messages = UINT32_MAX,
	    .rate_publish_bytes = UINT32_MAX,
	    .rate_address_messages = UINT32_MAX,
	    .rate_address_bytes = UINT32_MAX,
	    .rate_reconnect = UINT32_MAX,
	    .message_size_limit = 8 * KIBIBYTE,
	    .max_packet_size = 10 * KIBIBYTE,
	    .max_subscriptions = 20,
	    .memory_limit = 1024 * KIBIBYTE,
	    .route_epoch_s = 60,
	    .ack_hold_max_ms = 5000,
	    .restart_grace_ms = 5000,
	};
	world->listener = (struct listener_settings){
	    .accept_3_1 = true,
	    .accept_3_1_1 = true,
	    .accept_5_0 = true,
	    .max_qos = 2,
	    .max_topic_alias = 4,
	    .max_topic_alias_broker = 4,
	    .allow_anonymous = true,
	    .allow_zero_length_client_id = true,
	};
}

/* ---- parcels ---- */

static void parcels_add(struct parcels *parcels, struct parcel parcel)
{
	struct parcel *added = malloc(sizeof(*added));

	must(added != NULL);
	*added = parcel;
	added->next = NULL;
	*parcels->end = added;
	parcels->end = &added->next;
}

static bool parcels_take(struct parcels *parcels, struct parcel *out)
{
	struct parcel *first = parcels->first;

	if (first == NULL)
		return false;
	*out = *first;
	parcels->first = first->next;
	if (parcels->first == NULL)
		parcels->end = &parcels->first;
	free(first);
	return true;
}

static void drop_parcels(struct world *world, struct parcels *parcels)
{
	struct parcel parcel;

	while (parcels_take(parcels, &parcel)) {
		if (parcel.mail)
			mail_destroy(parcel.mail, &world->purse);
		free(parcel.batch);
		exact_free(parcel.bytes);
	}
}

/* ---- links ---- */

static void handle(struct world *world, unsigned shard, struct event event)
{
	shard_handle(world->shards[shard], world->now, &event);
}

static void attach(struct world *world, uint32_t number, unsigned shard)
{
	struct link *link = &world->links[number];

	link->shard = (uint16_t)shard;
	link->moving = false;
	handle(world, shard,
	       (struct event){.type = EVENT_LINK_OPEN,
			      .link = number,
			      .listener = &world->listener,
			      .opened_ms = link->opened_ms});
}

static void give_bytes(struct world *world, uint32_t number, struct slice bytes)
{
	struct slice copy = exact_copy(bytes);

	handle(world, world->links[number].shard,
	       (struct event){.type = EVENT_LINK_BYTES, .link = number, .bytes = copy});
	exact_free(copy);
}

void link_open(struct world *world, uint32_t number, unsigned shard)
{
	struct link *link = &world->links[number];

	if (link->open)
		return;
	*link = (struct link){.open = true, .reading = true, .opened_ms = world->now.ms};
	client_init(&link->client);
	attach(world, number, shard);
}

void link_send(struct world *world, uint32_t number, struct slice bytes)
{
	struct link *link = &world->links[number];

	if (link->open && !link->lost)
		stream_append(&link->unread, bytes);
}

void link_lose(struct world *world, uint32_t number)
{
	world->links[number].lost = true;
}

void link_answer_auth(struct world *world, uint32_t number)
{
	struct link *link = &world->links[number];

	if (!link->open || !link->auth_waits || link->moving)
		return;
	link->auth_waits = false;
	handle(world, link->shard,
	       (struct event){.type = EVENT_AUTHENTICATED,
			      .link = number,
			      .serial = link->auth_serial,
			      .reason = world->auth_refuses ? MQTT_NOT_AUTHORIZED : MQTT_SUCCESS});
}

static void write_link(struct world *world, uint32_t number)
{
	struct link *link = &world->links[number];
	struct slice slices[3];
	size_t n;

	while (link->open && !link->full && !link->moving &&
	       (n = shard_output(world->shards[link->shard], number, slices, 3)) > 0) {
		size_t total = 0;

		for (size_t i = 0; i < n; i++) {
			if (!link->lost)
				client_is_told(&link->client, slices[i]);
			total += slices[i].len;
		}
		shard_written(world->shards[link->shard], world->now, number, total);
	}
}

static void end_link(struct world *world, uint32_t number)
{
	struct link *link = &world->links[number];

	link->open = false;
	handle(world, link->shard, (struct event){.type = EVENT_LINK_CLOSED, .link = number});
	client_finish(&link->client);
	free(link->unread.at);
	link->unread = (struct stream){0};
}

/* One read of a link, or its end.  True if there was something. */
static bool link_turn(struct world *world, uint32_t number)
{
	struct link *link = &world->links[number];

	if (!link->full)
		write_link(world, number);
	if (link->lost || (link->closing && !link->full)) {
		end_link(world, number);
		return true;
	}
	if (link->unread.len == 0 || !link->reading || link->closing)
		return false;
	client_says(&link->client, slice_of(link->unread.at, link->unread.len));
	give_bytes(world, number, slice_of(link->unread.at, link->unread.len));
	link->unread.len = 0;
	return true;
}

/* ---- effects ---- */

static void move(struct world *world, const struct effect *effect)
{
	struct link *link = &world->links[effect->link];

	claim(link->open && !link->moving && effect->party < world->count);
	link->moving = true;
	parcels_add(&world->inbox[effect->party],
		    (struct parcel){.link = effect->link, .bytes = exact_copy(effect->bytes)});
	shard_free_bytes(world->shards[link->shard], effect->bytes);
}

static void carry_out(struct world *world, const struct effect *effect)
{
	switch (effect->type) {
	case EFFECT_OUTPUT:
		write_link(world, effect->link);
		break;
	case EFFECT_CLOSE:
		world->links[effect->link].closing = true;
		break;
	case EFFECT_MOVE:
		move(world, effect);
		break;
	case EFFECT_READ:
		world->links[effect->link].reading = effect->on;
		break;
	case EFFECT_MAIL:
		claim(effect->mail->to < world->count);
		parcels_add(&world->inbox[effect->mail->to], (struct parcel){.mail = effect->mail});
		break;
	case EFFECT_STORE:
		claim(world->setup.durable);
		parcels_add(&world->submitted, (struct parcel){.batch = effect->batch});
		break;
	case EFFECT_TELL:
		break;
	case EFFECT_REQUEST: /* nobody answers */
		own_request_destroy(effect->request);
		break;
	case EFFECT_ROUTES:
		must(route_rows_good(effect->block));
		free(effect->block);
		break;
	}
}

/* In which of the rounds of a turn an effect is carried out (mail.h, "Order"). */
static unsigned round_of(const struct effect *effect)
{
	if (effect->type == EFFECT_MOVE)
		return 1;
	if (effect->type != EFFECT_MAIL)
		return 2;
	return effect->mail->type == MAIL_RETAIN ? 0 : effect->mail->type == MAIL_ANSWERS ? 3 : 1;
}

static bool carry_out_all(struct world *world, unsigned shard)
{
	struct shard *core = world->shards[shard];
	size_t count, after;
	const struct effect *effects = shard_effects(core, &count);
	struct effect *copy = malloc((count + 1) * sizeof(*copy));

	must(copy != NULL);
	if (count > 0)
		memcpy(copy, effects, count * sizeof(*copy));
	for (unsigned round = 0; round < 4; round++)
		for (size_t i = 0; i < count; i++)
			if (round_of(&copy[i]) == round)
				carry_out(world, &copy[i]);
	shard_effects(core, &after);
	claim(after == count); /* writing makes no effects */
	shard_effects_done(core);
	free(copy);
	return count > 0;
}

/* ---- turns ---- */

static void open_parcel(struct world *world, unsigned shard, const struct parcel *parcel)
{
	struct link *link = &world->links[parcel->link];

	if (parcel->mail) {
		handle(world, shard, (struct event){.type = EVENT_MAIL, .mail = parcel->mail});
	} else if (parcel->batch) {
		handle(world, shard, (struct event){.type = EVENT_STORED, .batch = parcel->batch});
	} else {
		claim(link->open && link->moving);
		attach(world, parcel->link, shard);
		give_bytes(world, parcel->link, parcel->bytes);
		exact_free(parcel->bytes);
	}
}

static void check_memory(const struct world *world)
{
	claim(world->budget.used <= world->budget.limit + MEMORY_SLACK);
}

static bool one_turn(struct world *world, unsigned shard, unsigned parcels)
{
	struct parcel parcel;
	bool busy = false;

	for (; parcels > 0 && parcels_take(&world->inbox[shard], &parcel); parcels--) {
		open_parcel(world, shard, &parcel);
		busy = true;
	}
	for (uint32_t i = 0; i < WORLD_LINKS; i++) {
		struct link *link = &world->links[i];

		if (link->open && !link->moving && link->shard == shard)
			busy |= link_turn(world, i);
	}
	if (shard_next_timer(world->shards[shard]) <= world->now.ms) {
		handle(world, shard, (struct event){.type = EVENT_TIMERS});
		busy = true;
	}
	busy |= carry_out_all(world, shard);
	check_memory(world);
	return busy;
}

void world_turn(struct world *world, unsigned shard, unsigned parcels)
{
	one_turn(world, shard, parcels);
}

bool world_store_answers(struct world *world, bool commit)
{
	struct parcel parcel;
	struct store_batch *batch;

	if (!parcels_take(&world->submitted, &parcel))
		return false;
	batch = parcel.batch;
	claim(batch->party < world->count);
	if (!commit)
		mem_store_refuse(world->store, 1, "the fuzzer says no");
	batch->committed = store_commit(world->store, &batch, 1, &batch->failure);
	parcels_add(&world->inbox[batch->party], parcel);
	return true;
}

void world_settle(struct world *world)
{
	unsigned turns = 0;

	for (bool busy = true; busy; turns++) {
		claim(turns < TURNS_MAX);
		busy = false;
		for (unsigned i = 0; i < world->count; i++)
			busy |= one_turn(world, i, 1);
		busy |= world_store_answers(world, true);
	}
}

void world_pass_ms(struct world *world, uint64_t ms)
{
	uint64_t end = world->now.ms + ms, next;
	unsigned turns = 0;

	do {
		next = end;
		for (unsigned i = 0; i < world->count; i++) {
			uint64_t due = shard_next_timer(world->shards[i]);

			if (due < next)
				next = due < world->now.ms ? world->now.ms : due;
		}
		world->now.wall_s += next / 1000 - world->now.ms / 1000;
		world->now.ms = next;
		for (unsigned i = 0; i < world->count; i++)
			one_turn(world, i, 0);
		claim(++turns < TURNS_MAX);
	} while (next < end);
}

void world_event(struct world *world, unsigned shard, const struct event *event)
{
	shard_handle(world->shards[shard], world->now, event);
}

/* ---- beginning and end ---- */

static void restore_session(void *self, uint64_t row, const struct store_session *session)
{
	struct world *world = self;

	handle(world, shard_home(world->shards[0], session->client_id),
	       (struct event){.type = EVENT_RESTORE_SESSION, .row = row, .session = session});
}

static void restore_subscription(void *self, uint64_t row,
				 const struct store_subscription *subscription)
{
	struct world *world = self;

	for (unsigned i = 0; i < world->count; i++)
		handle(world, i,
		       (struct event){.type = EVENT_RESTORE_SUBSCRIPTION,
				      .row = row,
				      .subscription = subscription});
}

static void restore_step(void *self, const struct store_step *step)
{
	struct world *world = self;

	for (unsigned i = 0; i < world->count; i++)
		handle(world, i, (struct event){.type = EVENT_RESTORE_STEP, .step = step});
}

static void start_shards(struct world *world)
{
	struct store_visitor visitor = {world, restore_session, restore_subscription, restore_step};
	struct failure failure;

	world->setup.parties = (uint16_t)world->count;
	memcpy(world->setup.hash_key, "the key of all", 14);
	world->setup.settings = &world->settings;
	world->setup.auth = &world->auth;
	world->setup.pseudonyms = &names;
	world->setup.budget = &world->budget;
	budget_init(&world->budget, world->settings.memory_limit);
	purse_init(&world->purse, &world->budget);
	for (unsigned i = 0; i < world->count; i++) {
		world->setup.party = (party_id)i;
		world->setup.seed[0]++;
		world->inbox[i] = (struct parcels){NULL, &world->inbox[i].first};
		world->shards[i] = shard_create(&world->setup, world->now);
	}
	world->submitted = (struct parcels){NULL, &world->submitted.first};
	claim(store_load(world->store, &visitor, &failure));
	world_settle(world);
}

void world_begin(struct world *world)
{
	world->store = mem_store_create();
	start_shards(world);
}

static void stop_in_order(struct world *world)
{
	for (uint32_t i = 0; i < WORLD_LINKS; i++)
		link_answer_auth(world, i);
	world_settle(world); /* of links that are on their way */
	for (unsigned i = 0; i < world->count; i++)
		handle(world, i, (struct event){.type = EVENT_STOP});
	for (uint32_t i = 0; i < WORLD_LINKS; i++)
		world->links[i].full = false;
	world_settle(world);
	for (uint32_t i = 0; i < WORLD_LINKS; i++)
		claim(!world->links[i].open);
	for (unsigned i = 0; i < world->count; i++)
		claim(shard_stopped(world->shards[i]));
}

static void end_shards(struct world *world, bool in_order)
{
	if (in_order)
		stop_in_order(world);
	for (unsigned i = 0; i < world->count; i++)
		drop_parcels(world, &world->inbox[i]);
	drop_parcels(world, &world->submitted);
	for (unsigned i = 0; i < world->count; i++)
		shard_destroy(world->shards[i]);
	for (uint32_t i = 0; i < WORLD_LINKS; i++) {
		struct link *link = &world->links[i];

		if (link->open)
			client_finish(&link->client);
		free(link->unread.at);
		*link = (struct link){.open = false};
	}
	purse_finish(&world->purse);
	claim(world->grants == 0 && world->exchanges == 0);
	claim(world->budget.used == 0 && world->budget.sessions == 0);
	claim(world->budget.retained == 0 && world->budget.retained_bytes == 0);
	claim(budget_finish(&world->budget));
}

void world_restart(struct world *world, bool in_order)
{
	end_shards(world, in_order);
	start_shards(world);
}

struct slice world_state(const struct world *world, unsigned shard)
{
	struct slice bytes;

	shard_write_state(world->shards[shard], world->now, &bytes);
	struct slice copy = exact_copy(bytes);

	state_free(world->shards[shard], &bytes);
	return copy;
}

void world_end(struct world *world, bool in_order)
{
	end_shards(world, in_order);
	store_close(world->store);
}
