/*
 * memo.h - topic names looked up lately, and the nodes that they led to: devices publish
 * to the same few topics again and again, and a walk down the tree costs more than all the
 * rest of routing a message.
 *
 * A name is its keyed 64-bit hash, as levels are (hash.h).  An entry holds for one version of the
 * tree, and every node that comes or goes makes another; so while subscriptions change the memo is
 * of no use, and of no harm.  Each name has one place: whoever came last has it.
 *
 * Ownership: the table, 64 kB, made with the first entry and charged to nobody: clients cannot
 * make it larger.  Thread: one.
 */
#ifndef BROKER_CORE_MEMO_H
#define BROKER_CORE_MEMO_H

#include "proto/base.h"

#define MEMO_NODES_MAX 4u
#define MEMO_ENTRIES   2048u

struct memo_entry {
	uint64_t name;
	uint32_t version; /* 0: never used */
	uint32_t count;
	uint32_t nodes[MEMO_NODES_MAX];
};

struct memo {
	struct memo_entry *entries;
	uint32_t version; /* of the tree, from 1 on */
};

void memo_init(struct memo *memo);
void memo_finish(struct memo *memo);

/* The tree has changed: nothing is known any more. */
void memo_forget(struct memo *memo);

/* What a name led to; NULL when that is not known. */
static inline const struct memo_entry *memo_find(const struct memo *memo, uint64_t name)
{
	const struct memo_entry *entry = memo->entries ? &memo->entries[name % MEMO_ENTRIES] : NULL;
	bool known = entry && entry->name == name && entry->version == memo->version;
	return known ? entry : NULL;
}

/* Keeps what a name led to, if that is not too much. */
void memo_keep(struct memo *memo, uint64_t name, const uint32_t *nodes, uint32_t count);

#endif
