/*
 * link.h - a connection between a simulated client and the broker: two byte
 * streams with delay, cut into pieces and glued together again by chance, a
 * socket buffer of a limited size, and the ways in which connections end.
 *
 * Ownership: the world keeps every link until its end, so that a pointer to one
 * never dangles.
 */
#ifndef TESTS_SIM_LINK_H
#define TESTS_SIM_LINK_H

#include "tests/sim/world.h"

struct link {
	uint32_t id;
	struct device *client; /* NULL once the client has turned its back on it */
	bool at_shard;	       /* false while it moves, and when it is gone */
	uint16_t shard;
	uint32_t number; /* at its shard */
	bool reading;	 /* EFFECT_READ */
	bool closing;	 /* EFFECT_CLOSE was carried out */
	bool broker_open;
	bool client_open;
	bool half_open; /* the client is gone and nobody has told the broker */
	bool cut;	/* ended otherwise than by the client's or the broker's wish */
	bool output;	/* the shard has bytes that the socket did not take */
	bool eof;	/* the broker will read an end after `up` */
	bool fast;	/* next to no delay */
	bool attached;	/* a shard has seen it */
	bool died;	/* the broker's death ended it, and nothing before that */
	uint64_t opened_ms;
	uint16_t keep_alive_s;	  /* what its CONNECT said */
	uint64_t gone_ms;	  /* when the shard knew that it ended; NEVER before */
	uint64_t ended_ms;	  /* when the first of both sides knew; NEVER before */
	uint64_t up_ms, down_ms;  /* latest arrival so far: streams keep their order */
	struct bytes up;	  /* arrived at the broker's socket, not read */
	struct bytes down;	  /* arrived at the client's socket, not read */
	size_t unread;		  /* bytes that the client sent and no shard has read yet */
	size_t flying;		  /* bytes on their way to the client */
	size_t capacity;	  /* of flying and down together */
	uint64_t paused_until_ms; /* the client does not read */
};

/* A new connection to a shard of chance; the client hears device_gone() if refused. */
struct link *link_open(struct world *world, struct device *client, bool fast);

/* Bytes from the client. */
void link_send(struct world *world, struct link *link, struct slice bytes);

/* The client closes: what it sent before still arrives. */
void link_close(struct world *world, struct link *link);

/* The line breaks: both sides see an end, bytes under way may be lost. */
void link_cut(struct world *world, struct link *link);

/* The client is gone, and the broker does not hear of it. */
void link_half_open(struct world *world, struct link *link);

/* The client turns its back on a connection that stays open. */
void link_abandon(struct world *world, struct link *link);

void link_pause(struct world *world, struct link *link, uint64_t ms);

/* ---- for the broker's side (broker.c) ---- */
void link_attach(struct world *world, struct link *link, uint16_t shard);
void link_detach(struct world *world, struct link *link);

/* Writes what the socket takes of what the shard has. */
void link_write(struct world *world, struct link *link);

/* EFFECT_CLOSE */
void link_broker_close(struct world *world, struct link *link);

/* The process of the broker died. */
void link_broker_died(struct world *world, struct link *link);

/* The shard has been told, or has said, that the link ended. */
void link_gone(struct world *world, struct link *link);

#endif
