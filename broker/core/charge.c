/* charge.c - see charge.h. */
#include "broker/core/charge.h"
#include "broker/core/rights.h"

void charge_grow(struct shard *shard, uint32_t slot)
{
	struct charges *charges = &shard->charges;
	uint32_t room = charges->room;
	charges->sessions =
	    shard_grow(charges->sessions, &charges->room, slot + 1, sizeof *charges->sessions);
	memset(charges->sessions + room, 0, (charges->room - room) * sizeof *charges->sessions);
	purse_force(&shard->purse, (charges->room - room) * sizeof *charges->sessions);
}

/* Nobody in particular is known by the client identifier. */
static uint64_t account_of(const struct shard *shard, const struct session *session)
{
	uint64_t owner = rights_owner(shard, session);
	return owner ? owner : session_hash(shard, session) | 1;
}

void charge_session(struct shard *shard, const struct session *session)
{
	static const struct tally_counts none;
	struct charges *charges = &shard->charges;
	uint32_t slot = (uint32_t)session->number;
	bool published = slot < charges->room;
	const struct auth_grant *grant = rights_grant(shard, session);
	if (grant && grant->no_stats)
		tally_leave_out(&charges->day, account_of(shard, session));
	else
		tally_charge(&charges->day, account_of(shard, session),
			     published ? &charges->sessions[slot] : &none);
	if (published)
		charges->sessions[slot] = none;
}

struct tally shard_take_tally(struct shard *shard)
{
	for (uint32_t slot = 1; slot < shard->sessions.used; slot++) {
		const struct session *session = session_at(shard, slot);
		if (session && session->client)
			charge_session(shard, session);
	}
	struct tally day = shard->charges.day;
	shard->charges.day = (struct tally){0};
	return day;
}

void charge_tries(struct shard *shard)
{
	const struct routes *routes = &shard->routes;
	size_t size = trie_cost(&shard->subscriptions.trie) + trie_cost(&routes->trie) +
		      trie_cost(&shard->retained.trie) +
		      routes->leaving_room * sizeof *routes->leaving;
	if (size > shard->tries_charged)
		purse_force(&shard->purse, size - shard->tries_charged);
	else
		purse_give(&shard->purse, shard->tries_charged - size);
	shard->tries_charged = size;
}

void charge_finish(struct shard *shard)
{
	struct charges *charges = &shard->charges;
	purse_give(&shard->purse, charges->room * sizeof *charges->sessions);
	tally_finish(&charges->day);
	memory_free(charges->sessions);
}
