/* rate.c - see rate.h. */
#include "broker/core/rate.h"
#include "broker/core/address_rate.h"

#define SECOND_US 1000000u
#define MINUTE_US 60000000u

static struct rate *rate_of(struct shard *shard, uint32_t link)
{
	uint32_t room = shard->rate_room;
	shard->rates = shard_grow(shard->rates, &shard->rate_room, link + 1, sizeof *shard->rates);
	if (shard->rate_room > room)
		memset(shard->rates + room, 0, (shard->rate_room - room) * sizeof *shard->rates);
	return &shard->rates[link];
}

bool rate_pauses(const struct shard *shard, const struct client *client)
{
	return client->link < shard->rate_room &&
	       shard->rates[client->link].until_ms > shard->now.ms;
}

void rate_forget(struct shard *shard, uint32_t link)
{
	if (link < shard->rate_room)
		shard->rates[link] = (struct rate){0};
}

/* ---- beyond a connection */

static bool comes_too_often(struct shard *shard, struct habit *habit)
{
	uint64_t now_us = shard->now.ms * 1000;
	uint64_t at_us = habit->connects_us > now_us ? habit->connects_us : now_us;
	if (shard->settings->rate_reconnect == UINT32_MAX)
		return false;
	at_us += MINUTE_US / shard->settings->rate_reconnect;
	if (at_us > now_us + MINUTE_US)
		return true;
	habit->connects_us = at_us;
	habit_keep(shard, habit);
	return false;
}

/* Names of different kinds do not meet. */
uint64_t rate_who(const struct shard *shard, const struct slice *user_name)
{
	uint64_t kind = shard->identity ? (uint64_t)shard->identity->kind : IDENTITY_NOBODY;
	uint64_t name = user_name ? hash_keyed(shard->hash_key, *user_name) : 0;
	return hash_mix(name + kind) | 1;
}

/* 0: it is not known. */
static uint64_t address_of(const struct shard *shard, uint32_t link)
{
	uint8_t address[AUTH_ADDRESS_SIZE];
	if (!shard->auth->address || !shard->auth->address(shard->auth, link, address))
		return 0;
	return hash_keyed(shard->hash_key, slice_of(address, sizeof address)) | 1;
}

/*
 * What its method proved is what its sessions belong to.  Who proved nothing is known by where it
 * comes from: a name that it gives may be another one each time.
 */
static uint64_t who_of(const struct shard *shard, const struct client *client)
{
	const struct connecting *connecting = client->connecting;
	if (connecting->nobody)
		return address_of(shard, client->link);
	if (connecting->who != 0)
		return connecting->who;
	return connecting->grant ? hash_mix(connecting->grant->owner) : 0;
}

static bool may_come(struct shard *shard, const struct auth_visit *visit,
		     struct auth_answer *refusal)
{
	refusal->reason = MQTT_CONNECTION_RATE_EXCEEDED;
	refusal->text = "this client connects too often";
	return shard->auth->comes ? shard->auth->comes(shard->auth, visit, refusal)
				  : !visit->too_soon;
}

static bool limits_addresses(const struct shard *shard)
{
	const struct core_settings *settings = shard->settings;
	return shard->address_rates &&
	       (settings->rate_address_messages & settings->rate_address_bytes) != UINT32_MAX;
}

bool rate_admits(struct shard *shard, const struct client *client, struct auth_answer *refusal)
{
	const struct core_settings *settings = shard->settings;
	const struct connecting *connecting = client->connecting;
	struct slice client_id = slice_of(connecting->client_id, connecting->client_id_len);
	bool publishing = rate_limits_publishing(settings);
	bool coming = settings->rate_reconnect != UINT32_MAX;
	if (!publishing && !coming)
		return true;
	struct habit habit = habit_of(shard, habit_key(shard, who_of(shard, client), client_id));
	struct auth_visit visit = {habit.key, client_id, comes_too_often(shard, &habit)};
	if (coming && !may_come(shard, &visit, refusal)) {
		COUNT(shard, FLAPPING);
		return false;
	}
	if (publishing) {
		struct rate *rate = rate_of(shard, client->link);
		*rate = (struct rate){
		    .messages_us = habit.messages_us,
		    .bytes_us = habit.bytes_us,
		    .key = habit.key,
		    .address = limits_addresses(shard) ? address_of(shard, client->link) : 0};
	}
	return true;
}

void rate_remember(struct shard *shard, uint32_t link)
{
	if (link >= shard->rate_room || shard->rates[link].key == 0)
		return;
	const struct rate *rate = &shard->rates[link];
	struct habit habit = habit_of(shard, rate->key);
	habit.messages_us = rate->messages_us;
	habit.bytes_us = rate->bytes_us;
	habit_keep(shard, &habit);
}

/* ---- publishing */

/* How long so much takes at this rate. */
static uint64_t cost(uint64_t amount, uint32_t a_second)
{
	return a_second == UINT32_MAX ? 0 : amount * SECOND_US / a_second;
}

/* How far ahead of now, beyond the second that may come at once, in milliseconds. */
static uint64_t ahead_ms(uint64_t at_us, uint64_t now_us)
{
	return at_us > now_us + SECOND_US ? (at_us - now_us - SECOND_US + 999) / 1000 : 0;
}

static uint64_t add(uint64_t *at_us, uint64_t now_us, uint64_t amount, uint32_t a_second)
{
	if (a_second == UINT32_MAX)
		return 0;
	*at_us = (*at_us > now_us ? *at_us : now_us) + cost(amount, a_second);
	return ahead_ms(*at_us, now_us);
}

static void pause_reading(struct shard *shard, struct client *client, struct rate *rate,
			  uint64_t pause_ms)
{
	COUNT(shard, RATE_PAUSES);
	rate->until_ms = shard->now.ms + pause_ms;
	client->waiting = true;
	client->last_packet_ms = rate->until_ms;
	shard_effect(shard, EFFECT_READ, client->link)->on = false;
	timer_arm(&shard->timers, &client->timer, rate->until_ms);
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

bool rate_count(struct shard *shard, struct client *client, size_t bytes)
{
	const struct core_settings *settings = shard->settings;
	struct rate *rate = rate_of(shard, client->link);
	const struct rate before = *rate;
	uint64_t now_us = shard->now.ms * 1000;
	struct address_cost of_address = {cost(1, settings->rate_address_messages),
					  cost(bytes, settings->rate_address_bytes)};
	uint64_t pause_ms =
	    greater(add(&rate->messages_us, now_us, 1, settings->rate_publish_messages),
		    add(&rate->bytes_us, now_us, bytes, settings->rate_publish_bytes));
	bool counts = rate->address != 0 && limits_addresses(shard);
	if (counts)
		pause_ms =
		    greater(pause_ms, ahead_ms(address_rate_take(shard->address_rates,
								 rate->address, now_us, of_address),
					       now_us));
	if (pause_ms > RATE_PAUSE_MAX_MS) {
		*rate = before;
		if (counts)
			address_rate_give_back(shard->address_rates, rate->address, of_address);
		client_fail(shard, client, MQTT_MESSAGE_RATE_TOO_HIGH,
			    "more than may be published in ten seconds");
		return false;
	}
	if (pause_ms > 0)
		pause_reading(shard, client, rate, pause_ms);
	return true;
}
