/*
 * route.h - which other parties have subscribers for which filters, and the barriers
 * that make a SUBACK mean what it says.
 *
 * When the first subscription to a filter appears on a shard it tells all other
 * parties (MAIL_ROUTES) and waits for their answers: no publish after SUBACK
 * can miss it.  Who subscribes to the same filter meanwhile waits for the same
 * barrier.  They are told at 0 -> 1 and 1 -> 0 only, in this order.
 *
 * A filter that nobody here has any more leaves at the end of the event, or of a later turn when
 * many do at once: until then its node is pinned, and the others know of it.
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_ROUTE_H
#define BROKER_CORE_ROUTE_H

#include "broker/core/mail.h"
#include "broker/core/trie.h"

struct shard;
struct pending_answer;

struct routes {
	struct trie trie;     /* the value of a node is its party, or the head of a list of them */
	struct slab parties;  /* of struct route_party */
	struct slab barriers; /* of struct barrier; the ticket is its number */
	struct index by_node; /* barriers under way, by node of the subscription trie */
	uint32_t *leaving; /* nodes of the subscription trie, pinned, that had a last subscriber */
	uint32_t leaving_count, leaving_room;
	uint32_t levels_left;	  /* that may be forgotten in this turn */
	uint32_t leaving_barrier; /* the others have not yet forgotten so many; 0: they have */
};

/* Who waits for a barrier: an answer to a client here, or another party's barrier. */
struct barrier_waiter {
	struct barrier_waiter *next;
	struct pending_answer *answer; /* or NULL: */
	party_id party;
	uint64_t ticket;
};

void routes_init(struct routes *routes, const uint8_t key[HASH_KEY_SIZE]);
void routes_finish(struct routes *routes);

/* A new barrier that `remaining` answers will open. */
uint32_t barrier_create(struct shard *shard, uint32_t remaining);

/* Adds a waiter; it is told once the barrier opens. */
void barrier_wait(struct shard *shard, uint32_t n, struct barrier_waiter waiter);

/* MAIL_ANSWERS: one answer came. */
void barrier_answered(struct shard *shard, uint64_t ticket);

/*
 * Tells all others of a new filter, named by its node in the subscription trie.
 * `first`: it has just appeared.  Returns the barrier to wait for, 0 for none.
 */
uint32_t route_announce(struct shard *shard, uint32_t node, bool first);

/*
 * Removes a subscription of this shard (subscription_remove).  When nobody here has its filter
 * any more, routes_leave() will tell the others.
 */
void route_unsubscribe(struct shard *shard, uint32_t subscription, uint32_t *head);

/* Is there one to leave now? */
static inline bool routes_may_leave(const struct routes *routes)
{
	return routes->leaving_count > 0 && routes->leaving_barrier == 0;
}

/* Filters leave, as many as this turn allows; and another turn begins. */
void routes_leave(struct shard *shard);
void routes_turn(struct routes *routes);

/* MAIL_ROUTES */
void route_mail(struct shard *shard, const struct mail *mail);

/* Calls back for each other party that has a matching filter, once each; how many. */
uint32_t route_match(struct shard *shard, const struct trie_name *name, void *self,
		     void (*call)(void *self, party_id party));

#endif
