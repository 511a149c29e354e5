/* flapping.c - see flapping.h. */
#include "auth/flapping.h"
#include <stdlib.h>

#define BESIDE	    8u	  /* places that a number may have */
#define FORGET_PART 1024u /* times too soon are counted in parts, to forget by time */

struct place {
	uint64_t number; /* 0: free */
	uint64_t at_ms;
	uint64_t until_ms; /* of the wait, or of the ban */
	uint32_t times;	   /* in parts */
	bool banned;
	uint16_t id_len; /* whole, also of what is cut */
	uint8_t known;	 /* so much of it is here */
	uint8_t id[FLAPPING_ID_MAX];
};

struct flapping {
	uint32_t ban_after;
	uint64_t ban_ms;
	struct place places[FLAPPING_PLACES]; /* given by the system when they are first used */
};

struct flapping *flapping_create(uint32_t ban_after, uint64_t ban_ms)
{
	struct flapping *flapping = calloc(1, sizeof *flapping);
	must(flapping);
	flapping_set(flapping, ban_after, ban_ms);
	return flapping;
}

void flapping_destroy(struct flapping *flapping)
{
	free(flapping);
}

void flapping_set(struct flapping *flapping, uint32_t ban_after, uint64_t ban_ms)
{
	flapping->ban_after = ban_after;
	flapping->ban_ms = ban_ms;
}

/* ---- places ---- */

static size_t first_place(uint64_t number)
{
	return (number >> 1) % (FLAPPING_PLACES / BESIDE) * BESIDE;
}

static size_t find(const struct flapping *flapping, uint64_t number)
{
	size_t first = first_place(number);
	for (size_t i = first; i < first + BESIDE; i++)
		if (flapping->places[i].number == number)
			return i;
	return FLAPPING_PLACES;
}

static bool waits(const struct place *place, uint64_t now_ms)
{
	return place->until_ms > now_ms;
}

static bool is_ban(const struct place *place, uint64_t now_ms)
{
	return place->banned && waits(place, now_ms);
}

/* Not cut within a character of UTF-8. */
static void write_id(struct place *place, struct slice id)
{
	size_t len = id.len < FLAPPING_ID_MAX ? id.len : FLAPPING_ID_MAX;
	while (len > 0 && len < id.len && (id.at[len] & 0xc0) == 0x80)
		len--;
	place->id_len = (uint16_t)id.len;
	place->known = (uint8_t)len;
	if (len > 0)
		memcpy(place->id, id.at, len);
}

static struct place *take(struct flapping *flapping, uint64_t now_ms,
			  const struct flapping_client *client)
{
	size_t first = first_place(client->number);
	struct place *place = &flapping->places[first];
	for (size_t i = first; i < first + BESIDE; i++) {
		struct place *other = &flapping->places[i];
		bool ban = is_ban(other, now_ms), best = is_ban(place, now_ms);
		if (ban < best || (ban == best && other->at_ms < place->at_ms))
			place = other;
	}
	*place = (struct place){.number = client->number, .at_ms = now_ms};
	write_id(place, client->id);
	return place;
}

static struct slice id_of(const struct place *place)
{
	return slice_of(place->id, place->known);
}

/* ---- counting ---- */

static void forget(struct place *place, uint64_t now_ms)
{
	if (now_ms <= place->at_ms)
		return;
	uint64_t parts = (now_ms - place->at_ms) * FORGET_PART / FLAPPING_FORGET_MS;
	place->times = parts < place->times ? place->times - (uint32_t)parts : 0;
	place->at_ms = now_ms;
}

static uint64_t delay_after(uint32_t times)
{
	uint64_t delay_ms = (uint64_t)FLAPPING_DELAY_FIRST_MS << (times < 16 ? times : 16);
	return delay_ms < FLAPPING_DELAY_LONGEST_MS ? delay_ms : FLAPPING_DELAY_LONGEST_MS;
}

static enum flapping_verdict count(const struct flapping *flapping, struct place *place,
				   uint64_t now_ms)
{
	uint32_t before = place->times / FORGET_PART;
	place->times =
	    place->times < UINT32_MAX - FORGET_PART ? place->times + FORGET_PART : place->times;
	/* Half of one is not missed: what is forgotten between two that come at once is little. */
	if (place->times + FORGET_PART / 2 >= (uint64_t)flapping->ban_after * FORGET_PART) {
		place->times = 0;
		place->banned = true;
		place->until_ms = now_ms + flapping->ban_ms;
		return FLAPPING_BANNED;
	}
	if (!waits(place, now_ms))
		place->until_ms = now_ms + delay_after(before);
	return FLAPPING_WAIT;
}

enum flapping_verdict flapping_came(struct flapping *flapping, uint64_t now_ms,
				    const struct flapping_client *client, bool too_soon)
{
	must(client->number != 0);
	size_t at = find(flapping, client->number);
	if (at == FLAPPING_PLACES && !too_soon)
		return FLAPPING_PASS;
	struct place *place =
	    at < FLAPPING_PLACES ? &flapping->places[at] : take(flapping, now_ms, client);
	if (is_ban(place, now_ms))
		return FLAPPING_BANNED;
	place->banned = false;
	forget(place, now_ms);
	return too_soon || waits(place, now_ms) ? count(flapping, place, now_ms) : FLAPPING_PASS;
}

bool flapping_banned(const struct flapping *flapping, uint64_t now_ms, uint64_t number)
{
	size_t at = find(flapping, number);
	return at < FLAPPING_PLACES && is_ban(&flapping->places[at], now_ms);
}

/* ---- bans ---- */

void flapping_each_ban(const struct flapping *flapping, uint64_t now_ms, void *self,
		       void (*call)(void *self, const struct flapping_ban *ban))
{
	for (size_t i = 0; i < FLAPPING_PLACES; i++) {
		const struct place *place = &flapping->places[i];
		if (place->number != 0 && is_ban(place, now_ms))
			call(self, &(struct flapping_ban){.id = id_of(place),
							  .cut = place->known < place->id_len,
							  .left_ms = place->until_ms - now_ms});
	}
}

/* As far as it is known: one that is cut is known by its length and its beginning. */
static bool is_of(const struct place *place, struct slice id)
{
	struct slice known = id_of(place);
	return place->id_len == id.len && slice_equal(known, slice_of(id.at, known.len));
}

bool flapping_lift(struct flapping *flapping, uint64_t now_ms, struct slice id)
{
	bool lifted = false;
	for (size_t i = 0; i < FLAPPING_PLACES; i++) {
		struct place *place = &flapping->places[i];
		if (place->number == 0 || !is_of(place, id))
			continue;
		lifted = lifted || is_ban(place, now_ms);
		*place = (struct place){0};
	}
	return lifted;
}

void flapping_forget(struct flapping *flapping, uint64_t now_ms)
{
	for (size_t i = 0; i < FLAPPING_PLACES; i++) {
		struct place *place = &flapping->places[i];
		if (place->number == 0 || waits(place, now_ms))
			continue;
		forget(place, now_ms);
		if (place->times == 0 || place->banned)
			*place = (struct place){0};
	}
}
