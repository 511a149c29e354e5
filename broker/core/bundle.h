/*
 * bundle.h - what there is much of between shards: small publications, gates that opened,
 * filters that came or went, and answers.  Those of one turn lie one behind the other in one mail.
 *
 * What a message costs between two threads is the cache lines that change hands.  A mail, a
 * message and a reference count of its own are five or six of them; here it is the bytes of the
 * message, read in order, and the memory is let go of once for all.  A large payload is not
 * copied: it goes as a MAIL_PUBLISH, by reference.
 *
 * Order: as posted (mail.h).  Mail of another type to the same shard ends the bundle of
 * publications. The others have nothing to do with mail of other types that they may overtake: a
 * filter that is known sooner misses nothing.
 *
 * Ownership: a bundle belongs to its mail, in the memory for payload; charged to the purse.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_BUNDLE_H
#define BROKER_CORE_BUNDLE_H

#include "broker/core/message.h"

struct shard;

/* Topic, properties and payload together. */
#define BUNDLE_MESSAGE_MAX 1024u

enum bundle_kind { BUNDLE_PUBLICATIONS, BUNDLE_GATES, BUNDLE_ROUTES, BUNDLE_ANSWERS, BUNDLE_KINDS };

struct bundles {
	struct mail *
	    *open[BUNDLE_KINDS]; /* mails of this turn that more can be added to, by party */
	uint64_t *event;	 /* in which a publication last went to a party */
	uint64_t events;
};

void bundles_init(struct bundles *bundles, uint16_t parties);
void bundles_finish(struct bundles *bundles);

/* A new event begins: bundles_went() is about what happens from now on. */
static inline void bundles_event(struct bundles *bundles)
{
	bundles->events++;
}

/* A publication goes to the party, bundled or not, for whoever is there. */
static inline void bundles_note(struct bundles *bundles, party_id to)
{
	bundles->event[to] = bundles->events;
}

/* Did one in this event? */
static inline bool bundles_went(const struct bundles *bundles, party_id to)
{
	return bundles->event[to] == bundles->events;
}

bool bundle_takes(const struct publication *publication);

/* Adds one to what goes to a party; false when memory does not allow it.  ticket: as MAIL_PUBLISH.
 */
bool bundle_publication(struct shard *shard, party_id to, const struct publication *publication,
			uint64_t ticket);

/* Adds the ticket of a gate that opened (MAIL_GATES) or of an answer (MAIL_ANSWERS). */
void bundle_gate(struct shard *shard, party_id to, uint64_t ticket);
void bundle_answer(struct shard *shard, party_id to, uint64_t ticket);

/* A filter, named by its path (trie.h), that has subscribers here now, or has none any more. */
struct bundled_route {
	uint64_t ticket; /* to be answered when it is in force; 0: no answer */
	bool gone;	 /* no more subscribers */
	struct slice path;
};

/* Adds one: MAIL_ROUTES. */
void bundle_route(struct shard *shard, party_id to, const struct bundled_route *route);

/* Other mail to this party: what comes now may not overtake it. */
void bundle_seal(struct bundles *bundles, party_id to);

/* The turn's mail is on its way. */
void bundles_sent(struct bundles *bundles, uint16_t parties);

/*
 * The publications of a MAIL_PUBLICATIONS one by one: begins with *at 0, false at the end.  They
 * borrow the mail, where each begins at *at with its ticket.
 */
bool bundle_next(const struct mail *mail, uint32_t *at, struct publication *publication,
		 uint64_t *ticket);

/* Likewise the filters of a MAIL_ROUTES. */
bool bundle_next_route(const struct mail *mail, uint32_t *at, struct bundled_route *route);

/* The tickets of a MAIL_GATES or MAIL_ANSWERS, mail->count of them. */
const uint64_t *bundle_tickets(const struct mail *mail);

#endif
