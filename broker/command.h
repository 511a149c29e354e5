/*
 * command.h - what the household tells a worker, by mailbox.
 *
 * Ownership: one allocation with its texts behind it; whoever carries it out
 * destroys it.  It owns a reference of its census, its round and its transport.
 * Thread: made by one, destroyed by another.
 */
#ifndef BROKER_COMMAND_H
#define BROKER_COMMAND_H

#include "proto/base.h"

struct census;
struct core_settings;
struct tally_round;
struct transport;

enum command_type {
	COMMAND_PUBLISH,  /* text = topic, payload: retained, QoS 0, from the broker itself */
	COMMAND_SETTINGS, /* settings (borrowed, longer than any worker needs them) */
	COMMAND_RIGHTS,	  /* grants are to be renewed, an owner's or all; census: it was done */
	COMMAND_EXPEL,	  /* owner, census: its clients go, its sessions end */
	COMMAND_CENSUS,	  /* census: add all clients, or those of an owner */
	COMMAND_FIND,	  /* text = client id, census: add the client if it has a session */
	COMMAND_KICK,  /* text = client id, census: add the client if it is connected; disconnect it
			*/
	COMMAND_TALLY, /* round: add what accounts published; the day is over */
	COMMAND_RECHECK, /* listeners have other settings than before: loop_recheck() */
	COMMAND_ROUTES,	 /* census: the rows of deliveries that there are go out first */
	COMMAND_STOP,
	COMMAND_TYPES
};

struct command {
	enum command_type type;
	struct slice text;
	struct slice payload;
	uint64_t owner;
	struct census *census;	   /* NULL for none */
	struct tally_round *round; /* likewise */
	const struct core_settings *settings;
	struct transport *transport; /* owned, or NULL: one of before, of use until this is done */
};

/* Copies both slices; the rest is zero. */
struct command *command_create(enum command_type type, struct slice text, struct slice payload);

/* Ends its part in the census, if it has one, and frees. */
void command_destroy(struct command *command);

#endif
