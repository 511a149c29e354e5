/*
 * link.h - the connections of one worker, by number.
 *
 * A link is what the shell knows of a connection: its stream, its listener and
 * how far its life has come.  Numbers are small and dense, for the shard keeps an
 * array by them.
 *
 * Ownership: the table owns its links' memory, not their sockets.  Memory per
 * link is fixed (below) and comes in pages, which do not move.
 * Failure: none; without memory for a page the process ends.
 * Thread: the worker's.
 */
#ifndef BROKER_NET_LINK_H
#define BROKER_NET_LINK_H

#include "broker/net/stream.h"

struct listener;
struct listener_settings;

enum link_state {
	LINK_FREE,
	LINK_OPEN,
	LINK_CLOSING,	/* the core closed it; its last bytes wait for the socket */
	LINK_LINGERING, /* the core has forgotten it; we wait for the peer to close */
	LINK_BROKEN,	/* to be closed and freed at the end of the turn */
};

struct link {
	struct stream stream;
	const struct listener_settings *settings; /* as they were when it was accepted */
	union {
		struct listener *listener;
		uint32_t next_free; /* LINK_FREE: the next free number */
	};
	uint32_t serial;    /* changes with each use of the number */
	uint16_t half_open; /* while it is `counted`: half_open.h */
	uint8_t held : 4;   /* LINK_HELD_*: reasons not to read */
	uint8_t armed : 4;  /* what epoll waits for: LINK_ARMED_* */
	uint8_t state : 3;  /* enum link_state */
	bool unsent : 1;    /* the socket did not take all: waits to be writable */
	bool opening : 1;   /* who it is is not known: what is read may hold a secret */
	bool counted : 1;   /* among those, at half_open.h */
	bool hung : 1;	    /* the peer is gone, and what it sent before waits to be read */
	bool mute : 1;	    /* the peer takes nothing more: what is for it is thrown away */
};

#define LINK_HELD_CORE	   1u /* EFFECT_READ off */
#define LINK_HELD_PRESSURE 2u /* too much mail of its making waits */
#define LINK_HELD_ALL	   3u
#define LINK_ARMED_IN	   1u
#define LINK_ARMED_OUT	   2u
#define LINK_ARMED_ONCE	   4u /* for each change, not for as long as it is so */
#define LINK_ARMED_ALL	   7u

/* Counted for each idle connection. */
_Static_assert(sizeof(struct link) <= 48, "a link is small");

#define LINK_PAGE 256u
#define LINK_NONE UINT32_MAX

struct link_table {
	struct link **pages;
	uint32_t page_count;
	uint32_t used; /* links not LINK_FREE */
	uint32_t free; /* the number to be given out next, LINK_NONE for none */
};

void link_table_init(struct link_table *table);

/* Frees the memory; all links must be free. */
void link_table_finish(struct link_table *table);

/* A link in state LINK_OPEN, all else zero but the serial; its number in *number. */
struct link *link_table_take(struct link_table *table, uint32_t *number);

/* The number may be given out again. */
void link_table_free(struct link_table *table, uint32_t number);

/* The link of a number that was given out once, whatever its state. */
static inline struct link *link_table_at(const struct link_table *table, uint32_t number)
{
	must(number / LINK_PAGE < table->page_count);
	return &table->pages[number / LINK_PAGE][number % LINK_PAGE];
}

/* Numbers are below this. */
static inline uint32_t link_table_end(const struct link_table *table)
{
	return table->page_count * LINK_PAGE;
}

#endif
