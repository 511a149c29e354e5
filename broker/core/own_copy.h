/*
 * own_copy.h - a client's copy of its own QoS 2 message, which goes behind its PUBREC: clients wait
 * for that first.
 *
 * It waits until this event's packets are through, or for the first of them that may change what
 * it is sent for.  Then PUBREC is out, where it waits for nobody else (gate.h).  That of a shared
 * subscription is mail by the group's home, as the opening of the gate is, which it goes behind;
 * where the session has left or ended meanwhile, another member gets it.
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_OWN_COPY_H
#define BROKER_CORE_OWN_COPY_H

#include "broker/core/message.h"

struct identifier_list;
struct own_copy;
struct session;
struct shard;

/* That of a publication for this session of that party? */
static inline bool own_copy_waits(const struct publication *p, party_id party, uint64_t session)
{
	return p->qos == 2 && !p->again && p->publisher.session == session &&
	       p->publisher.party == party;
}

void own_copy_put_off(struct shard *shard, struct publication *publication, struct session *session,
		      uint8_t qos, bool retain, struct identifier_list identifiers);

/* Takes a MAIL_SHARE_DELIVER. */
void own_copy_put_off_mail(struct shard *shard, struct mail *mail);

void own_copies_deliver(struct shard *shard);
void own_copies_finish(struct shard *shard);

#endif
