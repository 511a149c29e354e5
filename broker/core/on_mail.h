/*
 * on_mail.h - mail (mail.h) at its reader, of other shards and of this one itself; and what has no
 * room in a turn.
 *
 * Ownership: mail belongs to the shard from EVENT_MAIL or shard_post() on.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_ON_MAIL_H
#define BROKER_CORE_ON_MAIL_H

#include "broker/core/mail.h"

struct event;
struct shard;

/* Mail of other parties that had no room in a turn. */
struct backlog {
	struct waiting_mail {
		struct mail *first, *last;
		uint32_t at; /* so far the first is done */
	} * of;		     /* by party */
	uint32_t parties;    /* that have some here */
	party_id next;	     /* had its turn last */
	uint64_t since_ms;   /* there is some */
	uint64_t work;	     /* of this turn */
};

void on_mail(struct shard *shard, const struct event *event);

/* A new turn: with the backlog. */
void mail_go_on(struct shard *shard);

/* What the shard has said to itself; not all, if there is much of it. */
void mail_from_itself(struct shard *shard);

void mail_finish(struct shard *shard);

#endif
