/*
 * subscription.h - the subscriptions of the sessions (and shared groups) that live
 * on this shard: MQTT 5.0 section 3.8.  A trie of filters; at each node a list
 * of subscriptions, each also in the list of its session.
 *
 * Ownership: the table owns its entries; an owner is named by slot.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_SUBSCRIPTION_H
#define BROKER_CORE_SUBSCRIPTION_H

#include "broker/core/trie.h"

/* The options byte of MQTT 5.0 section 3.8.3.1, which is also what is stored. */
#define OPTION_QOS		   0x03u
#define OPTION_NO_LOCAL		   0x04u
#define OPTION_RETAIN_AS_PUBLISHED 0x08u
#define OPTION_RETAIN_HANDLING	   0x30u

/* Those of the subscription itself; retain handling is one SUBSCRIBE's alone. */
#define OPTIONS_KEPT 0x0fu

/* What a subscription costs a session in memory, as charged, with its row and its places. */
#define SUBSCRIPTION_COST 50u

struct subscription {
	uint32_t node;
	uint32_t next, previous;		 /* at the node */
	uint32_t session_next, session_previous; /* of the session */
	uint32_t owner : 31;			 /* slot of a session, or of a group */
	uint32_t group : 1;			 /* the owner is a shared group */
	uint32_t identifier : 28;		 /* SUBSCRIPTION_IDENTIFIER_MAX; 0 for none */
	uint32_t options : 4;			 /* OPTIONS_KEPT */
};

#define SUBSCRIPTION_IDENTIFIER_MAX ((1u << 28) - 1) /* MQTT 5.0 section 3.8.2.1.2 */

/* There may be millions. */
_Static_assert(sizeof(struct subscription) == 28, "a subscription is small");

struct subscriptions {
	struct trie trie; /* the value of a node is the head of its list */
	struct slab entries;
	struct index by_owner; /* those of sessions, by node and owner */
	uint64_t **rows; /* in the store, by subscription: pages, made for those that have one */
	uint32_t row_pages;
};

void subscriptions_init(struct subscriptions *table, const uint8_t key[HASH_KEY_SIZE]);
void subscriptions_finish(struct subscriptions *table);

static inline struct subscription *subscription_at(const struct subscriptions *table, uint32_t n)
{
	return slab_at(&table->entries, n);
}

/*
 * The subscription of a session to exactly this filter, or 0.  As fast with very many subscribers
 * of the filter, and very many filters of the session.
 */
uint32_t subscription_find(const struct subscriptions *table, uint32_t realm, struct slice filter,
			   uint32_t owner);

/*
 * Makes a subscription; there must be none of this owner to this filter.  *head is
 * the owner's list (NULL for a group).  *first: nobody on this shard had that
 * filter.
 */
uint32_t subscription_add(struct subscriptions *table, uint32_t realm, struct slice filter,
			  bool group, uint32_t owner, uint32_t *head, bool *first);

/* Its row in the store, 0 for none.  Only sessions that outlive the broker have any. */
uint64_t subscription_row(const struct subscriptions *table, uint32_t n);
void subscription_set_row(struct subscriptions *table, uint32_t n, uint64_t row);

/* What is granted from now on. */
static inline void subscription_set(struct subscription *s, uint8_t options, uint32_t identifier)
{
	s->options = options & OPTIONS_KEPT;
	s->identifier = identifier & SUBSCRIPTION_IDENTIFIER_MAX;
}

/* Removes it; *last: nobody on this shard has that filter any more. */
void subscription_remove(struct subscriptions *table, uint32_t n, uint32_t *head, bool *last);

#endif
