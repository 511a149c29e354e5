/* held.c - see held.h. */
#include "broker/core/core.h"

#define ROOM_MIN 8u

/* The largest table that is kept while nothing is held: bursts come again. */
#define ROOM_KEPT 256u

/*
 * A hash table with linear probing whose entries stand in the order of their homes (Celis, Larson,
 * Munro: Robin Hood Hashing, FOCS 1985): a search ends where the entries are nearer to their homes
 * than it is, and what is taken out is closed up as far as the next entry that is at home.  The
 * home is the identifier itself, since clients count: then every entry is at home.
 */
static uint32_t from_home(const struct held *held, uint32_t at)
{
	return (at - held->ring[at].id) & (held->room - 1);
}

struct held_ack *held_find(const struct held *held, uint16_t id)
{
	if (held->count == 0)
		return NULL;
	uint32_t at = id & (held->room - 1);
	for (uint32_t way = 0; held->ring[at].id != 0 && from_home(held, at) >= way; way++) {
		if (held->ring[at].id == id)
			return &held->ring[at];
		at = (at + 1) & (held->room - 1);
	}
	return NULL;
}

/* Puts one in that is not there, before those that are nearer to their homes. */
static struct held_ack *put(struct held *held, struct held_ack ack)
{
	struct held_ack *place = NULL;
	uint32_t at = ack.id & (held->room - 1);
	for (uint32_t way = 0; held->ring[at].id != 0; way++) {
		uint32_t theirs = from_home(held, at);
		if (theirs < way) {
			struct held_ack moved = held->ring[at];
			held->ring[at] = ack;
			place = place ? place : &held->ring[at];
			ack = moved;
			way = theirs;
		}
		at = (at + 1) & (held->room - 1);
	}
	held->ring[at] = ack;
	return place ? place : &held->ring[at];
}

static void take_away(struct held *held, struct held_ack *ack)
{
	uint32_t hole = (uint32_t)(ack - held->ring);
	uint32_t at = (hole + 1) & (held->room - 1);
	while (held->ring[at].id != 0 && from_home(held, at) > 0) {
		held->ring[hole] = held->ring[at];
		hole = at;
		at = (at + 1) & (held->room - 1);
	}
	held->ring[hole] = (struct held_ack){0};
}

static void resize(struct held *held, struct purse *purse, uint32_t room)
{
	struct held old = *held;
	held->ring = memory_get_zeroed(room * sizeof *held->ring);
	held->room = room;
	for (uint32_t i = 0; i < old.room; i++)
		if (old.ring[i].id != 0)
			put(held, old.ring[i]);
	memory_free(old.ring);
	purse_give(purse, old.room * sizeof *held->ring);
	purse_force(purse, room * sizeof *held->ring);
}

/* Adds one that is not there.  A quarter stays empty, so that searches end. */
static struct held_ack *add(struct held *held, struct purse *purse, struct held_ack ack)
{
	if (held->count >= held->room / 4 * 3)
		resize(held, purse, held->room ? held->room * 2 : ROOM_MIN);
	held->count++;
	return put(held, ack);
}

/* ---- order ---- */

/* One that stands in the order is there. */
static struct held_ack *in_order(const struct held *held, uint16_t id)
{
	struct held_ack *ack = held_find(held, id);
	must(ack != NULL);
	return ack;
}

static void append(struct held *held, struct held_ack *ack)
{
	unsigned kind = ack->qos - 1u;
	ack->next = 0;
	ack->previous = held->last[kind];
	ack->more = 0;
	ack->in_order = true;
	if (held->first[kind] == 0)
		held->first[kind] = ack->id;
	else
		in_order(held, held->last[kind])->next = ack->id;
	held->last[kind] = ack->id;
}

static void take_out(struct held *held, struct held_ack *ack)
{
	unsigned kind = ack->qos - 1u;
	bool first = held->first[kind] == ack->id;
	if (!ack->in_order) {
		held->absent[kind]--;
		return;
	}
	ack->in_order = false;
	if (first)
		held->first[kind] = ack->next;
	else
		in_order(held, ack->previous)->next = ack->next;
	if (ack->next)
		in_order(held, ack->next)->previous = ack->previous;
	else
		held->last[kind] = first ? 0 : ack->previous;
}

/* ---- what it stands for ---- */

static uint64_t hash_of(const struct shard *shard, struct slice topic, struct slice payload)
{
	uint64_t both[] = {hash_keyed(shard->hash_key, topic),
			   hash_keyed(shard->hash_key, payload)};
	return hash_keyed(shard->hash_key, slice_of(both, sizeof both));
}

bool held_compares(const struct shard *shard, const struct held_ack *ack, struct slice topic,
		   struct slice payload)
{
	if (ack->hashed)
		return ack->hash == hash_of(shard, topic, payload);
	return ack->message && slice_equal(message_topic(ack->message), topic) &&
	       slice_equal(message_payload(ack->message), payload);
}

static void let_go(struct held_ack *ack, struct purse *purse)
{
	if (!ack->hashed && ack->message)
		message_release(ack->message, purse);
	ack->message = NULL;
	ack->hashed = false;
}

/* Nobody needs the message but to compare it, and that may be long from now. */
static void keep_hash(struct shard *shard, struct held_ack *ack)
{
	if (ack->hashed || ack->message == NULL)
		return;
	uint64_t hash = hash_of(shard, message_topic(ack->message), message_payload(ack->message));
	let_go(ack, &shard->purse);
	ack->hash = hash;
	ack->hashed = true;
}

void held_disconnected(struct shard *shard, struct held *held)
{
	for (unsigned kind = 0; kind < 2; kind++)
		while (held->first[kind]) {
			struct held_ack *ack = in_order(held, held->first[kind]);
			held->first[kind] = ack->next;
			ack->in_order = false;
			held->absent[kind]++;
			if (ack->gate == 0)
				keep_hash(shard, ack);
		}
	held->last[0] = held->last[1] = 0;
	held->overtaken = false;
}

/* ---- the acknowledgements ---- */

static void remove_ack(struct held *held, struct purse *purse, struct held_ack *ack)
{
	let_go(ack, purse);
	take_away(held, ack);
	if (--held->count > 0 || held->room <= ROOM_KEPT)
		return;
	purse_give(purse, held->room * sizeof *held->ring);
	memory_free(held->ring);
	held->ring = NULL;
	held->room = 0;
}

static void send(struct shard *shard, struct session *session, const struct held_ack *ack)
{
	struct client *client = session->client;
	for (uint32_t n = 0; n <= ack->more && client->state == CLIENT_UP; n++)
		acknowledge(shard, client, session, ack->qos, ack->id,
			    (enum mqtt_reason)ack->reason);
}

/* Sends what is open, from the front, until one is not. */
static void flush(struct shard *shard, struct session *session, uint8_t qos)
{
	struct held *held = &traffic_for(shard, session)->held;
	unsigned kind = qos - 1u;
	while (held->first[kind] != 0) {
		struct held_ack *ack = in_order(held, held->first[kind]);
		if (ack->gate != 0 || session->client == NULL ||
		    session->client->state != CLIENT_UP)
			return;
		struct held_ack due = *ack;
		held->first[kind] = due.next;
		if (due.next == 0)
			held->last[kind] = 0;
		ack->message = NULL; /* due.message */
		ack->hashed = false;
		remove_ack(held, &shard->purse, ack);
		send(shard, session, &due);
		let_go(&due, &shard->purse);
	}
}

void held_add(struct shard *shard, struct session *session, uint16_t id, uint8_t qos, uint32_t gate,
	      enum mqtt_reason reason, struct message *message)
{
	struct held *held = &traffic_for(shard, session)->held;
	struct held_ack *ack = add(held, &shard->purse,
				   (struct held_ack){
				       .message = message ? message_share(message) : NULL,
				       .gate = gate,
				       .id = id,
				       .qos = qos,
				       .reason = (uint8_t)reason,
				   });
	append(held, ack);
	flush(shard, session, qos);
}

void held_again(struct shard *shard, struct session *session, struct held_ack *ack)
{
	if (ack->in_order) {
		if (ack->more < UINT16_MAX)
			ack->more++;
	} else {
		struct held *held = &traffic_for(shard, session)->held;
		held->absent[ack->qos - 1]--;
		append(held, ack);
	}
	flush(shard, session, ack->qos);
}

void held_drop(struct shard *shard, struct session *session, struct held_ack *ack)
{
	struct held *held = &traffic_for(shard, session)->held;
	take_out(held, ack);
	remove_ack(held, &shard->purse, ack);
}

void held_decide(const struct held *held, uint16_t id, uint32_t gate, enum mqtt_reason reason)
{
	struct held_ack *ack = held_find(held, id);
	if (ack && gate != 0 && ack->gate == gate)
		ack->reason = (uint8_t)reason;
}

void held_open(struct shard *shard, uint64_t number, uint16_t id, uint32_t gate)
{
	struct session *session = session_by_number(shard, number);
	struct held_ack *ack = session ? held_find(&traffic_of(session)->held, id) : NULL;
	if (ack == NULL || ack->gate != gate)
		return;
	ack->gate = 0;
	if (ack->in_order)
		flush(shard, session, ack->qos);
	else
		keep_hash(shard, ack);
}

void held_clear(struct held *held, struct purse *purse)
{
	for (uint32_t i = 0; i < held->room; i++)
		let_go(&held->ring[i], purse);
	purse_give(purse, held->room * sizeof *held->ring);
	memory_free(held->ring);
	*held = (struct held){0};
}
