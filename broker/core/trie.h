/*
 * trie.h - topic filters (or topic names) as a tree of levels, kept flat: a node is
 * 20 bytes in a slab, and an entry of one hash index.  A lookup costs its levels,
 * whatever else is there, and a node about 30 bytes: there may be millions of filters,
 * most with a node or two of their own.
 *
 * The index knows a node by the hash of its whole path, of which a level more makes the
 * next one.  So where a name leads is known before any node on the way has come from
 * memory, and trie_match() has them all come at once: with a million filters hardly
 * anything lies in a cache.
 *
 * Levels are kept as 64-bit keyed hashes only, never as text (hash.h says what
 * that means for equality).  "+" and "#" are levels like others.
 * Each node may carry one 32-bit value of the owner's; 0 is none.  A node lives
 * as long as it has a value, children or pins.
 *
 * Ownership: the trie owns its nodes.  Thread: one.
 */
#ifndef BROKER_CORE_TRIE_H
#define BROKER_CORE_TRIE_H

#include "proto/base.h"
#include "broker/core/hash.h"
#include "broker/core/index.h"
#include "broker/core/memo.h"
#include "broker/core/slab.h"

/* Filters are refused beyond this; names may be deeper, and match what "#" reaches. */
#define TRIE_LEVELS_MAX 200u

struct trie_node {
	uint32_t level[2]; /* hash, by trie_level(): halves, so that a node is no multiple of 8 */
	uint32_t parent;
	uint32_t value;
	uint32_t children : 27; /* how many */
	uint32_t pins : 2;	/* kept although empty */
	bool has_plus : 1;	/* a child "+" */
	bool has_hash : 1;	/* a child "#" */
	bool dollar : 1;	/* a first level that begins with '$' */
};

_Static_assert(sizeof(struct trie_node) == 20, "a node is small");

#define TRIE_CHILDREN_MAX ((1u << 27) - 1)

/* A node on the way down, and the hash of its path; node 0: there is none. */
struct trie_place {
	uint32_t node;
	uint64_t path;
};

/* Only in a trie whose children can be enumerated. */
struct trie_family {
	uint32_t first_child;
	uint32_t next_sibling;
	uint32_t previous_sibling;
};

struct trie {
	uint8_t key[HASH_KEY_SIZE];
	uint64_t plus, hash; /* the hashes of "+" and "#" */
	struct slab nodes;
	struct slab families;
	bool enumerable;
	struct index edges;
	struct memo memo;
	struct trie_place *frontier[2]; /* scratch of trie_match */
	uint32_t frontier_room[2];
	uint32_t *found; /* likewise */
	uint32_t found_room;
	uint64_t work; /* nodes that matching has looked at, ever */
};

/* A topic name to be looked up. */
struct trie_name {
	uint32_t realm;
	struct slice text;
	uint64_t hash; /* hash_keyed() of the text with the key of the trie */
};

void trie_init(struct trie *trie, const uint8_t key[HASH_KEY_SIZE], bool enumerable);
void trie_finish(struct trie *trie);

static inline struct trie_node *trie_node(const struct trie *trie, uint32_t node)
{
	return slab_at(&trie->nodes, node);
}

static inline uint64_t trie_level(const struct trie_node *node)
{
	return (uint64_t)node->level[1] << 32 | node->level[0];
}

static inline struct trie_family *trie_family(const struct trie *trie, uint32_t node)
{
	return slab_at(&trie->families, node);
}

/* The node of a filter or name, made if need be; at most TRIE_LEVELS_MAX levels. */
uint32_t trie_add(struct trie *trie, uint32_t realm, struct slice text);

/* The node, or 0. */
uint32_t trie_find(const struct trie *trie, uint32_t realm, struct slice text);

/*
 * The path of a node as hashes, realm first: what shards tell each other instead
 * of the text, which nobody keeps.  At most TRIE_LEVELS_MAX + 1 of them; how many.
 */
size_t trie_path(const struct trie *trie, uint32_t node, uint64_t out[TRIE_LEVELS_MAX + 1]);

/* The node of such a path: made if need be, or found (0 for none). `path` need not be aligned. */
uint32_t trie_add_path(struct trie *trie, struct slice path);
uint32_t trie_find_path(const struct trie *trie, struct slice path);

/* Removes the node if it has no value, child or pin, and its parents likewise. */
void trie_prune(struct trie *trie, uint32_t node);

/*
 * Calls back for each filter node with a value that matches the name, once each,
 * in no particular order. [MQTT-4.7.2-1]  The callback does not change the trie.
 */
void trie_match(struct trie *trie, const struct trie_name *name, void *self,
		void (*call)(void *self, uint32_t value));

/* The root of a realm; none when it holds nothing. */
struct trie_place trie_root(const struct trie *trie, uint32_t realm);

/* The child of a node by the hash of its level, and a child that is known. */
struct trie_place trie_child(const struct trie *trie, struct trie_place parent, uint64_t level);
struct trie_place trie_step(const struct trie *trie, struct trie_place parent, uint32_t child);

/* What it costs in memory, as charged: its nodes and the index. */
static inline size_t trie_cost(const struct trie *trie)
{
	size_t node =
	    sizeof(struct trie_node) + (trie->enumerable ? sizeof(struct trie_family) : 0);
	return trie->nodes.count * node + index_size(&trie->edges);
}

#endif
