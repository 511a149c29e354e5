/*
 * budget.h - memory that clients can make us hold, bounded for all shards
 * together (`memory_limit`), and counted by each shard without contention.
 *
 * struct budget is the one number that shards share.  A shard's struct purse
 * takes from it and gives back in quanta, so that charging a message is an
 * addition on memory of its own.  A message freed by another shard than the one
 * that made it is given back there: the sum is right, whoever frees.
 *
 * Thread: budget from any thread; a purse belongs to its shard's.
 */
#ifndef BROKER_CORE_BUDGET_H
#define BROKER_CORE_BUDGET_H

#include "broker/core/arena.h"

struct budget {
	_Atomic int64_t used; /* bytes that the purses hold */
	_Atomic int64_t limit;
	_Atomic int64_t sessions; /* in all shards, for global_max_clients */
	_Atomic int64_t retained; /* likewise, for max_retained_messages and max_retained_bytes */
	_Atomic int64_t retained_bytes;
	struct arena arena; /* where payload lies */
};

struct purse {
	struct budget *budget;
	int64_t left;	 /* taken from the budget, not charged */
	int64_t charged; /* may go below zero: freed for others */
	struct shelf *shelf;
};

void budget_init(struct budget *budget, uint64_t limit);

/* After the last purse and the last message. True when no message was left over. */
bool budget_finish(struct budget *budget);

void purse_init(struct purse *purse, struct budget *budget);

/* Gives everything back that is left. */
void purse_finish(struct purse *purse);

/* Charges n bytes if the limit allows: for what a peer asks for. */
bool purse_take(struct purse *purse, size_t n);

/* Charges n bytes, limit or not: for what has to be (an acknowledgement, say). */
void purse_force(struct purse *purse, size_t n);

void purse_give(struct purse *purse, size_t n);

/*
 * Memory for payload: arena_get() and arena_free().  Charging it is the caller's affair; what is
 * freed may come from any purse of the process.
 */
static inline void *purse_payload(struct purse *purse, size_t n)
{
	return arena_get(purse->shelf, n);
}

static inline void purse_payload_free(struct purse *purse, void *at, size_t used)
{
	arena_free(purse->shelf, at, used);
}

/* Is nearly all of the limit held, an eighth left at most? */
bool purse_tight(const struct purse *purse);

/* Would purse_take(n) succeed? */
bool purse_allows(const struct purse *purse, size_t n);

#endif
