/*
 * household_expiry.c - when certificates and revocation lists end: a metric for each,
 * and a warning 30, 7 and 1 days before and when it is over.
 *
 * The list is made at the start and at each reload; the HTTP thread copies from it.
 */
#include "broker/household_internal.h"
#include "broker/log.h"
#include <inttypes.h>
#include <stdlib.h>

#define LOOK_MS	    (UINT64_C(600) * 1000)
#define DAY_S	    UINT64_C(86400)
#define OF_LISTENER 512u /* certificates looked at of one listener */

static const uint64_t warn_before_s[] = {30 * DAY_S, 7 * DAY_S, 1 * DAY_S, 0};

#define STAGES (sizeof(warn_before_s) / sizeof(warn_before_s[0]))

static void add(struct household *house, const struct listener *listener,
		const struct tls_expiry *expiry)
{
	house->expiries =
	    realloc(house->expiries, (house->expiry_count + 1) * sizeof(*house->expiries));
	must(house->expiries);
	house->expiries[house->expiry_count++] =
	    (struct household_expiry){.of = {.listener = listener->number + 1,
					     .port = listener->port,
					     .key = expiry->key,
					     .position = expiry->position,
					     .expires_s = expiry->expires_s}};
}

static void add_listener(struct household *house, const struct listener *listener)
{
	struct tls_expiry found[OF_LISTENER];
	const struct listener_settings *settings =
	    atomic_load_explicit(&listener->settings, memory_order_relaxed);
	const struct tls_server *tls = transport_tls(settings->transport);
	size_t count = tls ? tls_server_expiries(tls, found, OF_LISTENER) : 0;

	for (size_t i = 0; i < count; i++)
		add(house, listener, &found[i]);
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct household_expiry *)a)->of.expires_s;
	uint64_t y = ((const struct household_expiry *)b)->of.expires_s;

	return (x > y) - (x < y);
}

void household_note_expiries(struct household *house)
{
	must(pthread_mutex_lock(&house->expiry_lock) == 0);
	house->expiry_count = 0;
	for (size_t i = 0; i < house->listener_count; i++)
		add_listener(house, &house->listeners[i]);
	if (house->expiry_count > 0)
		qsort(house->expiries, house->expiry_count, sizeof(*house->expiries), by_time);
	must(pthread_mutex_unlock(&house->expiry_lock) == 0);
	house->expiry_due_ms = 0;
}

size_t household_expiries(struct household *house, struct certificate_end *out, size_t room)
{
	must(pthread_mutex_lock(&house->expiry_lock) == 0);
	size_t count = house->expiry_count < room ? house->expiry_count : room;

	for (size_t i = 0; i < count; i++)
		out[i] = house->expiries[i].of;
	must(pthread_mutex_unlock(&house->expiry_lock) == 0);
	return count;
}

/* How many of the warnings are due. */
static unsigned stage_of(uint64_t expires_s, uint64_t now_s)
{
	unsigned stage = 0;

	while (stage < STAGES && expires_s <= now_s + warn_before_s[stage])
		stage++;
	return stage;
}

static void warn(const struct certificate_end *end, uint64_t now_s)
{
	if (end->expires_s <= now_s)
		log_write_listener(LOG_LEVEL_ERROR, "tls", end->listener - 1,
				   "%s: entry %zu has expired; put a new one in its place "
				   "and send HUP",
				   end->key, end->position + 1);
	else
		log_write_listener(LOG_LEVEL_WARNING, "tls", end->listener - 1,
				   "%s: entry %zu expires in %" PRIu64 " hours; put a new "
				   "one in its place and send HUP",
				   end->key, end->position + 1, (end->expires_s - now_s) / 3600);
}

void household_warn_of_expiries(struct household *house, struct moment now)
{
	if (now.ms < house->expiry_due_ms)
		return;
	house->expiry_due_ms = now.ms + LOOK_MS;
	/* Only this thread changes the list. */
	for (size_t i = 0; i < house->expiry_count; i++) {
		struct household_expiry *expiry = &house->expiries[i];
		unsigned stage = stage_of(expiry->of.expires_s, now.wall_s);

		if (stage > expiry->warned)
			warn(&expiry->of, now.wall_s);
		expiry->warned = stage;
	}
}
