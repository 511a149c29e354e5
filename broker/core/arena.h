/*
 * arena.h - memory for whatever may hold payload: messages, bytes on their way to or from
 * a link.  Kept apart from the ordinary heap, so that it can be locked as a whole (the household
 * does: payload_memory.h), and cheap enough that a message costs no malloc.
 *
 * Blocks of one size lie in a span of 64 kB; a span that is empty goes back.  Each shard
 * has a shelf of spans and takes blocks from it without asking anybody.  A block that another shard
 * frees (the last reference to a message may go anywhere) is laid on the owner's
 * return pile, which the owner clears when it needs a block or has a calm moment.  So memory stays
 * with the shard that uses it, whichever way messages flow.  A block so large that it has a span of
 * its own goes back to the system at once, whoever frees it: few of them would be much memory, and
 * a busy owner may need nothing for which it would look at the pile.
 *
 * Every block is overwritten before it can be given again: who frees it says how much of it was
 * used.
 *
 * Under AddressSanitizer blocks come from malloc one by one, so that it sees each of them.
 *
 * Ownership: the arena owns shelves and spans until arena_finish().
 * Thread: a shelf belongs to one thread; arena_free() is for any, by its own shelf.
 */
#ifndef BROKER_CORE_ARENA_H
#define BROKER_CORE_ARENA_H

#include "proto/base.h"
#include <stdatomic.h>

#define ARENA_SPAN 65536u /* bytes, and alignment */
#define ARENA_HEAD 64u	  /* of them, for the arena itself */

/* Sizes of block up to half a span, and then spans of their own. */
#define ARENA_CLASSES 34u

struct span;
struct block;

/*
 * Where spans come from: the household's affair, which knows how to lock memory.  Called by any
 * thread that has a shelf.
 */
struct span_source {
	void *self;
	/* Aligned to ARENA_SPAN, whatever was in it; never NULL. */
	void *(*take)(void *self, size_t bytes);
	/* Takes it back, without payload in it; `bytes` as it was taken. */
	void (*give)(void *self, void *at, size_t bytes);
	/* A calm moment: gives up what it keeps for the next burst. */
	void (*calm)(void *self);
};

struct shelf {
	struct span *open[ARENA_CLASSES]; /* with a free block, by size */
	struct span *spare;		  /* without a block in use */
	uint32_t spare_count;
	_Atomic uint32_t span_count; /* all of them */
	bool plain;		     /* blocks are malloc's */
	struct span_source source;
	struct block *_Atomic returned;
	struct shelf *next; /* of the arena */
};

struct arena {
	struct shelf *_Atomic shelves;
	bool plain;
	struct span_source source;
};

/* Spans are the heap's until there is another source. */
void arena_init(struct arena *arena);

/* Before the first shelf.  The source outlives the arena. */
void arena_set_source(struct arena *arena, struct span_source source);

/*
 * The end of all shelves.  How many spans have blocks in use still, and stay for ever: 0 where
 * nothing leaks.
 */
uint32_t arena_finish(struct arena *arena);

/* A shelf for one thread. */
struct shelf *arena_shelf(struct arena *arena);

/* n bytes, aligned for anything.  Never NULL: `memory_limit` stands before that. */
void *arena_get(struct shelf *shelf, size_t n);

/* Overwrites the first `used` bytes and gives the block back; `shelf` is the caller's own.  NULL is
 * fine. */
void arena_free(struct shelf *shelf, void *at, size_t used);

/* A calm moment: takes back what others returned, and gives up what is spare. */
void arena_calm(struct shelf *shelf);

/* How many spans a shelf has, spare ones among them. */
uint32_t arena_spans(const struct shelf *shelf);

#endif
