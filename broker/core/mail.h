/*
 * mail.h - what one shard says to another.  One closed table of types, each made
 * of plain values, bytes and references to immutable messages, so that a party
 * may one day be a remote node: each can be written as bytes.
 *
 * Order: mail from one party to another arrives in the order in which it was
 * sent, with two exceptions.  MAIL_ANSWERS leave after all other mail of its turn,
 * to whomever: a barrier answered means that everything before it has been
 * posted.  MAIL_RETAIN leaves before all other: whoever has seen a live publish
 * and asks for retained messages then finds them as new.
 *
 * Ownership: one allocation (mail_create) with room for text behind it; whoever
 * handles it destroys it, and with it its references.
 */
#ifndef BROKER_CORE_MAIL_H
#define BROKER_CORE_MAIL_H

#include "proto/base.h"

struct message;
struct purse;

/* Whoever can have subscribers or answer: a shard today, a remote node tomorrow. */
typedef uint16_t party_id;

enum mail_type {
	MAIL_ROUTES,  /* a bundle (bundle.h) of filters that `from` has subscribers for, or none now
		       */
	MAIL_ANSWERS, /* a bundle of tickets: what was asked under these numbers is in force */
	MAIL_PUBLISH, /* message, for the subscribers that `to` has; MAIL_GATES for `ticket` if any
		       */
	MAIL_PUBLICATIONS, /* a bundle of small ones (bundle.h), likewise */
	MAIL_GATES,	   /* bundle of tickets: the deliveries of what came with them are done */
	MAIL_RETAIN, /* message: to be kept at its topic's home; ticket: its owner.  None: what is
		      * kept of the topic `text` is cleared */
	MAIL_RETAIN_SCAN,  /* text = filter, ticket = scan: send the next matching retained messages
			    */
	MAIL_RETAIN_FOUND, /* ticket = scan, messages; `last` when there are no more */
	MAIL_RETAIN_STOP,  /* ticket = scan: nobody waits for it any more */
	MAIL_SHARE_JOIN,   /* text = "group/filter", member; answer `ticket` */
	MAIL_SHARE_LEAVE,  /* likewise */
	MAIL_SHARE_STATE,  /* member went online or offline (`online`); text = "group/filter" */
	MAIL_SHARE_DELIVER, /* message for a member that lives at `to`; `ticket` as for MAIL_PUBLISH
			     */
	MAIL_SHARE_RETURN,  /* the member is gone, or may not read it: choose another, as `round`
			     * says;  text = "group/filter"; `ticket` as it was told, still held */
	MAIL_SHARE_HOLDS,   /* member has the message of the envelope `ticket`, of before a crash */
	MAIL_ENVELOPE_END,  /* nobody will send the message of the envelope `ticket` again */
	MAIL_TYPES
};

/* A member of a shared subscription, named across shards. */
struct share_member {
	party_id party;
	uint64_t session;    /* number of its session at that party, never re-used */
	uint32_t identifier; /* subscription identifier, 0 for none */
	uint8_t options;     /* options byte of the subscription */
	uint16_t membership; /* its number within the session */
};

/* A message on its way round the members of a group, each asked once: share.c. */
struct share_round {
	uint32_t asked;	  /* so many, up to the one that has it now */
	uint32_t changes; /* of the group when the first was asked */
};

#define MAIL_MESSAGES_MAX 64

struct mail {
	struct mail *next;
	enum mail_type type;
	party_id from;
	party_id to;
	bool last;
	bool none;    /* MAIL_RETAIN_FOUND: the home keeps nothing but $ topics */
	bool holder;  /* MAIL_SHARE_DELIVER: for nobody else, and also when it is away */
	bool own;     /* likewise: its publisher, which has said that it takes it (own_copy.h) */
	bool online;  /* of the member */
	bool awaited; /* likewise: not connected, and counts as that (restart_grace) */
	uint32_t realm;
	uint64_t sent_ms; /* by the clock of `from`, at the last that was put in */
	uint64_t ticket;
	struct share_member member;
	struct share_round round;  /* MAIL_SHARE_DELIVER, MAIL_SHARE_RETURN */
	struct message *message;   /* owns one reference; NULL for none */
	struct message **messages; /* MAIL_RETAIN_FOUND: `count` references; NULL for none */
	uint8_t *bundle;	   /* of bundles: `count` things in it */
	uint32_t bundle_len;
	uint32_t bundle_room;
	uint32_t count;
	struct slice text; /* points behind the struct */
};

/* A zeroed mail with a copy of `text`. */
struct mail *mail_create(enum mail_type type, party_id from, party_id to, struct slice text);

/* Lets go of all references, to the credit of the purse, and frees. */
void mail_destroy(struct mail *mail, struct purse *purse);

/* Bytes that a mail stands for, for the limit on waiting mail. */
size_t mail_weight(const struct mail *mail);

#endif
