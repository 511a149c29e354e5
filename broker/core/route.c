/* route.c - see route.h. */
#include "broker/core/core.h"

/*
 * Levels of filters that a turn forgets at most: about two milliseconds, here and at each
 * of the others, which have to be done before the next turn goes on.  A session may have millions
 * of levels, and its end is no reason for anybody to wait.
 */
#define LEVELS_A_TURN 8192u

struct route_party {
	uint32_t next;
	party_id party;
};

struct barrier {
	uint32_t remaining;
	uint32_t node; /* 0: not (or no longer) for a filter of ours */
	struct barrier_waiter *waiters;
};

void routes_init(struct routes *routes, const uint8_t key[HASH_KEY_SIZE])
{
	*routes = (struct routes){0};
	trie_init(&routes->trie, key, false);
	slab_init(&routes->parties, sizeof(struct route_party));
	slab_init(&routes->barriers, sizeof(struct barrier));
	routes_turn(routes);
}

static struct barrier *barrier_at(const struct routes *routes, uint32_t n)
{
	return slab_at(&routes->barriers, n);
}

static void forget_waiters(struct barrier *barrier)
{
	while (barrier->waiters) {
		struct barrier_waiter *waiter = barrier->waiters;
		barrier->waiters = waiter->next;
		memory_free(waiter);
	}
}

void routes_finish(struct routes *routes)
{
	/* A free slot begins with the number of the next one, and its waiters are NULL. */
	for (uint32_t n = 1; n < routes->barriers.used; n++)
		forget_waiters(barrier_at(routes, n));
	trie_finish(&routes->trie);
	slab_finish(&routes->parties);
	slab_finish(&routes->barriers);
	index_finish(&routes->by_node);
	memory_free(routes->leaving);
}

/* ---- barriers ---- */

uint32_t barrier_create(struct shard *shard, uint32_t remaining)
{
	uint32_t n = slab_add(&shard->routes.barriers);
	barrier_at(&shard->routes, n)->remaining = remaining;
	return n;
}

void barrier_wait(struct shard *shard, uint32_t n, struct barrier_waiter waiter)
{
	struct barrier *barrier = barrier_at(&shard->routes, n);
	struct barrier_waiter *copy = memory_get(sizeof *copy);
	*copy = waiter;
	copy->next = barrier->waiters;
	barrier->waiters = copy;
}

static uint32_t barrier_of_node(const struct routes *routes, uint32_t node)
{
	struct index_probe probe;
	uint32_t n = index_first(&routes->by_node, hash_mix(node), &probe);
	while (n != 0 && barrier_at(routes, n)->node != node)
		n = index_next(&routes->by_node, &probe);
	return n;
}

static void detach_from_node(struct routes *routes, uint32_t n)
{
	struct barrier *barrier = barrier_at(routes, n);
	if (barrier->node)
		index_remove(&routes->by_node, hash_mix(barrier->node), n);
	barrier->node = 0;
}

static void tell(struct shard *shard, const struct barrier_waiter *waiter)
{
	if (waiter->answer) {
		answer_arrived(shard, waiter->answer);
		return;
	}
	bundle_answer(shard, waiter->party, waiter->ticket);
}

void barrier_answered(struct shard *shard, uint64_t ticket)
{
	uint32_t n = (uint32_t)ticket;
	struct barrier *barrier = barrier_at(&shard->routes, n);
	must(barrier->remaining > 0);
	if (--barrier->remaining > 0)
		return;
	detach_from_node(&shard->routes, n);
	if (n == shard->routes.leaving_barrier)
		shard->routes.leaving_barrier = 0;
	struct barrier_waiter *waiter = barrier->waiters;
	barrier->waiters = NULL;
	slab_remove(&shard->routes.barriers, n);
	while (waiter) {
		struct barrier_waiter *next = waiter->next;
		tell(shard, waiter);
		memory_free(waiter);
		waiter = next;
	}
}

/* ---- telling the others ---- */

static void tell_all(struct shard *shard, const struct bundled_route *route)
{
	for (party_id to = 0; to < shard->parties; to++)
		if (to != shard->party)
			bundle_route(shard, to, route);
}

uint32_t route_announce(struct shard *shard, uint32_t node, bool first)
{
	const struct trie *trie = &shard->subscriptions.trie;
	uint64_t path[TRIE_LEVELS_MAX + 1];
	if (shard->parties == 1)
		return 0;
	if (!first || trie_node(trie, node)->pins > 0) /* it is leaving: they still know of it */
		return barrier_of_node(&shard->routes, node);
	uint32_t n = barrier_create(shard, shard->parties - 1u);
	barrier_at(&shard->routes, n)->node = node;
	index_add(&shard->routes.by_node, hash_mix(node), n);
	size_t levels = trie_path(trie, node, path);
	tell_all(shard, &(struct bundled_route){n, false, slice_of(path, levels * sizeof path[0])});
	return n;
}

/* `ask`: for an answer, which leaving_barrier waits for. */
static void withdraw(struct shard *shard, uint32_t node, struct slice path, bool ask)
{
	struct routes *routes = &shard->routes;
	if (shard->parties == 1)
		return;
	uint32_t n = barrier_of_node(routes, node);
	if (n != 0)
		detach_from_node(routes, n);
	if (ask)
		routes->leaving_barrier = barrier_create(shard, shard->parties - 1u);
	tell_all(shard, &(struct bundled_route){ask ? routes->leaving_barrier : 0, true, path});
}

void route_unsubscribe(struct shard *shard, uint32_t subscription, uint32_t *head)
{
	struct routes *routes = &shard->routes;
	struct subscriptions *table = &shard->subscriptions;
	uint32_t node = subscription_at(table, subscription)->node;
	struct trie_node *at = trie_node(&table->trie, node);
	bool last;
	bool leaving = at->pins > 0;
	at->pins = 1; /* so that the path is still there to be told */
	subscription_remove(table, subscription, head, &last);
	if (leaving)
		return;
	if (!last) {
		at->pins = 0;
		return;
	}
	routes->leaving = shard_grow(routes->leaving, &routes->leaving_room,
				     routes->leaving_count + 1, sizeof *routes->leaving);
	routes->leaving[routes->leaving_count++] = node;
}

/* Tells the others and forgets the levels, unless somebody has subscribed since. */
static void leave(struct shard *shard, uint32_t node)
{
	struct trie *trie = &shard->subscriptions.trie;
	uint32_t *left = &shard->routes.levels_left;
	uint64_t path[TRIE_LEVELS_MAX + 1];
	size_t levels = trie_path(trie, node, path);
	*left -= levels < *left ? (uint32_t)levels : *left;
	if (trie_node(trie, node)->value == 0)
		withdraw(shard, node, slice_of(path, levels * sizeof path[0]), *left == 0);
	trie_node(trie, node)->pins = 0;
	trie_prune(trie, node);
}

void routes_leave(struct shard *shard)
{
	struct routes *routes = &shard->routes;
	while (routes_may_leave(routes) && routes->levels_left > 0)
		leave(shard, routes->leaving[--routes->leaving_count]);
	if (routes->leaving_count > 0)
		return;
	memory_free(routes->leaving);
	routes->leaving = NULL;
	routes->leaving_room = 0;
}

void routes_turn(struct routes *routes)
{
	routes->levels_left = LEVELS_A_TURN;
}

/* ---- what others told ---- */

/* Most filters have one party, with two workers all: it is the node's value itself. */
#define ALONE 0x80000000u

static uint32_t list_party(struct routes *routes, party_id party, uint32_t next)
{
	uint32_t n = slab_add(&routes->parties);
	*(struct route_party *)slab_at(&routes->parties, n) = (struct route_party){next, party};
	return n;
}

static void add_party(struct routes *routes, uint32_t node, party_id party)
{
	uint32_t *value = &trie_node(&routes->trie, node)->value;
	if (*value == 0) {
		*value = ALONE | party;
		return;
	}
	if (*value & ALONE)
		*value = list_party(routes, (party_id)*value, 0);
	*value = list_party(routes, party, *value);
}

static void unlist_party(struct routes *routes, uint32_t *link, party_id party)
{
	while (*link != 0) {
		struct route_party *entry = slab_at(&routes->parties, *link);
		if (entry->party == party) {
			uint32_t n = *link;
			*link = entry->next;
			slab_remove(&routes->parties, n);
			return;
		}
		link = &entry->next;
	}
}

static void remove_party(struct routes *routes, uint32_t node, party_id party)
{
	uint32_t *value = &trie_node(&routes->trie, node)->value;
	if ((*value & ALONE) == 0)
		unlist_party(routes, value, party);
	else if (*value == (ALONE | party))
		*value = 0;
	trie_prune(&routes->trie, node);
}

void route_mail(struct shard *shard, const struct mail *mail)
{
	struct routes *routes = &shard->routes;
	struct bundled_route route;
	for (uint32_t at = 0; bundle_next_route(mail, &at, &route);) {
		if (route.gone)
			remove_party(routes, trie_find_path(&routes->trie, route.path), mail->from);
		else
			add_party(routes, trie_add_path(&routes->trie, route.path), mail->from);
		if (route.ticket != 0)
			bundle_answer(shard, mail->from, route.ticket);
	}
}

struct route_walk {
	struct shard *shard;
	void *self;
	void (*call)(void *self, party_id party);
	uint32_t found;
};

static void found_party(struct route_walk *walk, party_id party)
{
	struct shard *shard = walk->shard;
	if (shard->party_turn[party] == shard->match_turn)
		return;
	shard->party_turn[party] = shard->match_turn;
	walk->found++;
	walk->call(walk->self, party);
}

static void walk_parties(void *self, uint32_t value)
{
	struct route_walk *walk = self;
	if (value & ALONE) {
		found_party(walk, (party_id)value);
		return;
	}
	while (value != 0) {
		const struct route_party *entry = slab_at(&walk->shard->routes.parties, value);
		value = entry->next;
		found_party(walk, entry->party);
	}
}

uint32_t route_match(struct shard *shard, const struct trie_name *name, void *self,
		     void (*call)(void *self, party_id party))
{
	if (shard->parties == 1)
		return 0;
	struct route_walk walk = {shard, self, call, 0};
	trie_match(&shard->routes.trie, name, &walk, walk_parties);
	return walk.found;
}
