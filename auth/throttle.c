/* throttle.c - see throttle.h. */
#include "auth/throttle.h"
#include <sodium.h>
#include <stdlib.h>
#include <sys/random.h>

#define BESIDE 8u /* places that a key may have */

#define FORGET_PART 1024u /* failures of an address are counted in parts, to forget by time */

/* An address, or a name at an address. */
struct place {
	uint64_t key; /* 0: free */
	uint64_t at_ms;
	uint64_t until_ms; /* of the wait, or of the ban */
	uint32_t failures; /* of an address: in parts */
	uint32_t tries;	   /* likewise; of an address only */
	uint64_t paced_us; /* of its connections: when they would have come, one by one */
	struct throttle_address address;
};

struct throttle {
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	uint32_t ban_after;
	uint64_t ban_ms;
	struct place places[THROTTLE_PLACES];
};

struct throttle *throttle_create(uint32_t ban_after, uint64_t ban_ms)
{
	struct throttle *throttle = calloc(1, sizeof *throttle);
	must(throttle);
	must(getrandom(throttle->hash_key, sizeof throttle->hash_key, 0) ==
	     (ssize_t)sizeof throttle->hash_key);
	throttle_set(throttle, ban_after, ban_ms);
	return throttle;
}

void throttle_destroy(struct throttle *throttle)
{
	free(throttle);
}

void throttle_set(struct throttle *throttle, uint32_t ban_after, uint64_t ban_ms)
{
	throttle->ban_after = ban_after;
	throttle->ban_ms = ban_ms;
}

/* ---- places ---- */

static uint64_t hash(const struct throttle *throttle, const void *at, size_t len)
{
	uint64_t key;
	crypto_shorthash((uint8_t *)&key, at, len, throttle->hash_key);
	return key | 1; /* 0 is a free place */
}

/* `user` NULL: the address alone. */
static uint64_t key_of(const struct throttle *throttle, const struct throttle_address *address,
		       const struct slice *user)
{
	struct {
		struct throttle_address address;
		uint64_t user;
	} both = {*address, user ? hash(throttle, user->at, user->len) : 0};
	return hash(throttle, &both, sizeof both);
}

static bool is_ban(const struct throttle *throttle, const struct place *place, uint64_t now_ms)
{
	return place->until_ms > now_ms && place->key == key_of(throttle, &place->address, NULL);
}

static struct place *find(struct throttle *throttle, uint64_t key)
{
	size_t first = (key >> 1) % (THROTTLE_PLACES / BESIDE) * BESIDE;
	for (size_t i = first; i < first + BESIDE; i++)
		if (throttle->places[i].key == key)
			return &throttle->places[i];
	return NULL;
}

static struct place *find_or_take(struct throttle *throttle, uint64_t key, uint64_t now_ms,
				  const struct throttle_address *address)
{
	struct place *place = find(throttle, key);
	if (place)
		return place;
	size_t first = (key >> 1) % (THROTTLE_PLACES / BESIDE) * BESIDE;
	place = &throttle->places[first];
	for (size_t i = first; i < first + BESIDE; i++) {
		struct place *other = &throttle->places[i];
		bool ban = is_ban(throttle, other, now_ms), best = is_ban(throttle, place, now_ms);
		if (ban < best || (ban == best && other->at_ms < place->at_ms))
			place = other;
	}
	*place = (struct place){.key = key, .address = *address};
	return place;
}

/* ---- counting ---- */

static uint32_t less(uint32_t count, uint64_t parts)
{
	return parts < count ? count - (uint32_t)parts : 0;
}

static uint32_t one_more(uint32_t count)
{
	return count < UINT32_MAX - FORGET_PART ? count + FORGET_PART : count;
}

static void forget(struct place *place, uint64_t now_ms)
{
	if (now_ms <= place->at_ms)
		return;
	uint64_t passed_ms = now_ms - place->at_ms;
	place->failures = less(place->failures, passed_ms * FORGET_PART / THROTTLE_FORGET_MS);
	place->tries = less(place->tries, passed_ms * FORGET_PART / THROTTLE_TRY_MS);
	place->at_ms = now_ms;
}

/* Who has none is a client behind a proxy, or on this machine: many people, and one hostile. */
static bool has_address(const struct throttle_address *address)
{
	static const struct throttle_address none;
	return memcmp(address, &none, sizeof none) != 0;
}

static bool count_against(struct throttle *throttle, uint64_t now_ms,
			  const struct throttle_address *address)
{
	struct place *place =
	    find_or_take(throttle, key_of(throttle, address, NULL), now_ms, address);
	forget(place, now_ms);
	place->failures = one_more(place->failures);
	if (place->failures / FORGET_PART < throttle->ban_after || !has_address(address))
		return false;
	place->failures = 0;
	place->until_ms = now_ms + throttle->ban_ms;
	return true;
}

static uint64_t delay_after(uint32_t failures)
{
	uint32_t more = failures - THROTTLE_FREE_FAILURES - 1;
	uint64_t delay_ms = (uint64_t)THROTTLE_DELAY_FIRST_MS << (more < 16 ? more : 16);
	return delay_ms < THROTTLE_DELAY_LONGEST_MS ? delay_ms : THROTTLE_DELAY_LONGEST_MS;
}

enum throttle_verdict throttle_ask(struct throttle *throttle, uint64_t now_ms,
				   const struct throttle_address *address, struct slice user)
{
	struct place *place =
	    find_or_take(throttle, key_of(throttle, address, NULL), now_ms, address);
	if (place->until_ms > now_ms)
		return THROTTLE_BANNED;
	forget(place, now_ms);
	place->tries = one_more(place->tries);
	bool doubt = place->failures > 0 || place->tries > THROTTLE_TRIES * FORGET_PART;
	place = find(throttle, key_of(throttle, address, &user));
	if (place == NULL || place->until_ms <= now_ms)
		return doubt ? THROTTLE_DOUBT : THROTTLE_PASS;
	return count_against(throttle, now_ms, address) ? THROTTLE_BANNED : THROTTLE_WAIT;
}

bool throttle_banned(struct throttle *throttle, uint64_t now_ms,
		     const struct throttle_address *address)
{
	const struct place *place = find(throttle, key_of(throttle, address, NULL));
	return place && place->until_ms > now_ms;
}

void throttle_failed(struct throttle *throttle, uint64_t now_ms,
		     const struct throttle_address *address, struct slice user)
{
	struct place *place =
	    find_or_take(throttle, key_of(throttle, address, &user), now_ms, address);
	if (now_ms > place->at_ms + THROTTLE_QUIET_MS)
		place->failures = 0;
	place->failures++;
	place->at_ms = now_ms;
	if (place->failures > THROTTLE_FREE_FAILURES)
		place->until_ms = now_ms + delay_after(place->failures);
	count_against(throttle, now_ms, address);
}

void throttle_passed(struct throttle *throttle, const struct throttle_address *address,
		     struct slice user)
{
	struct place *place = find(throttle, key_of(throttle, address, &user));
	if (place)
		*place = (struct place){0};
}

/* ---- connections ---- */

#define SECOND_US 1000000u

/* No user name has a zero byte in it, so this is nobody's. */
static const struct slice connections = {(const uint8_t *)"", 1};

/* The generic cell rate algorithm, as in broker/core/rate.h. */
bool throttle_connect(struct throttle *throttle, uint64_t now_ms,
		      const struct throttle_address *address, uint32_t a_second)
{
	struct place *place =
	    find_or_take(throttle, key_of(throttle, address, &connections), now_ms, address);
	uint64_t now_us = now_ms * 1000;
	uint64_t at_us = place->paced_us > now_us ? place->paced_us : now_us;
	place->at_ms = now_ms;
	if (at_us + SECOND_US / a_second > now_us + SECOND_US)
		return false;
	place->paced_us = at_us + SECOND_US / a_second;
	return true;
}

/* ---- bans ---- */

void throttle_each_ban(const struct throttle *throttle, uint64_t now_ms, void *self,
		       void (*call)(void *self, const struct throttle_address *address,
				    uint64_t left_ms))
{
	for (size_t i = 0; i < THROTTLE_PLACES; i++) {
		const struct place *place = &throttle->places[i];
		if (place->key != 0 && is_ban(throttle, place, now_ms))
			call(self, &place->address, place->until_ms - now_ms);
	}
}

static bool is_past(const struct throttle *throttle, const struct place *place, uint64_t now_ms)
{
	if (place->until_ms > now_ms)
		return false;
	if (place->at_ms + THROTTLE_KEPT_MS <= now_ms)
		return true;
	/* Of a ban that is over nothing stays, unless failures came after it. */
	return place->until_ms > 0 && place->failures == 0 &&
	       place->key == key_of(throttle, &place->address, NULL);
}

void throttle_forget(struct throttle *throttle, uint64_t now_ms)
{
	for (size_t i = 0; i < THROTTLE_PLACES; i++)
		if (throttle->places[i].key != 0 && is_past(throttle, &throttle->places[i], now_ms))
			throttle->places[i] = (struct place){0};
}

bool throttle_lift(struct throttle *throttle, uint64_t now_ms,
		   const struct throttle_address *address)
{
	struct place *place = find(throttle, key_of(throttle, address, NULL));
	bool banned = place && place->until_ms > now_ms;
	if (place)
		*place = (struct place){0};
	return banned;
}
