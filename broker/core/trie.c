/* trie.c - see trie.h. */
#include "broker/core/trie.h"
#include "broker/core/memory.h"
#include "proto/topic.h"

void trie_init(struct trie *trie, const uint8_t key[HASH_KEY_SIZE], bool enumerable)
{
	*trie = (struct trie){.enumerable = enumerable};
	memcpy(trie->key, key, HASH_KEY_SIZE);
	trie->plus = hash_keyed(key, SLICE_LITERAL("+"));
	trie->hash = hash_keyed(key, SLICE_LITERAL("#"));
	slab_init(&trie->nodes, sizeof(struct trie_node));
	slab_init(&trie->families, sizeof(struct trie_family));
}

void trie_finish(struct trie *trie)
{
	slab_finish(&trie->nodes);
	slab_finish(&trie->families);
	index_finish(&trie->edges);
	memory_free(trie->frontier[0]);
	memory_free(trie->frontier[1]);
}

static uint64_t edge_hash(uint32_t parent, uint64_t level)
{
	return hash_mix(level + (uint64_t)parent * 0x9e3779b97f4a7c15u);
}

uint32_t trie_child(const struct trie *trie, uint32_t parent, uint64_t level)
{
	struct index_probe probe;
	uint32_t n = index_first(&trie->edges, edge_hash(parent, level), &probe);
	while (n != 0) {
		const struct trie_node *node = trie_node(trie, n);
		if (node->parent == parent && trie_level(node) == level)
			return n;
		n = index_next(&trie->edges, &probe);
	}
	return 0;
}

/* Realms are the children of parent 0. */
uint32_t trie_root(const struct trie *trie, uint32_t realm)
{
	return trie_child(trie, 0, realm);
}

/* The parent has one child more, with this level, or one less. */
static void count_child(const struct trie *trie, uint32_t parent, uint64_t level, bool more)
{
	if (parent == 0)
		return;
	struct trie_node *node = trie_node(trie, parent);
	must(more ? node->children < TRIE_CHILDREN_MAX : node->children > 0);
	if (more)
		node->children++;
	else
		node->children--;
	if (level == trie->plus)
		node->has_plus = more;
	else if (level == trie->hash)
		node->has_hash = more;
}

static void join_family(struct trie *trie, uint32_t parent, uint32_t n)
{
	must(slab_add(&trie->families) == n); /* both slabs give the same numbers */
	if (parent == 0)
		return;
	struct trie_family *head = trie_family(trie, parent);
	struct trie_family *family = trie_family(trie, n);
	family->next_sibling = head->first_child;
	if (head->first_child)
		trie_family(trie, head->first_child)->previous_sibling = n;
	head->first_child = n;
}

static void leave_family(struct trie *trie, uint32_t parent, uint32_t n)
{
	struct trie_family *family = trie_family(trie, n);
	if (family->previous_sibling)
		trie_family(trie, family->previous_sibling)->next_sibling = family->next_sibling;
	else if (parent)
		trie_family(trie, parent)->first_child = family->next_sibling;
	if (family->next_sibling)
		trie_family(trie, family->next_sibling)->previous_sibling =
		    family->previous_sibling;
	slab_remove(&trie->families, n);
}

static uint32_t add_child(struct trie *trie, uint32_t parent, uint64_t level, bool dollar)
{
	uint32_t n = trie_child(trie, parent, level);
	if (n != 0)
		return n;
	n = slab_add(&trie->nodes);
	struct trie_node *node = trie_node(trie, n);
	node->level[0] = (uint32_t)level;
	node->level[1] = (uint32_t)(level >> 32);
	node->parent = parent;
	node->dollar = dollar;
	index_add(&trie->edges, edge_hash(parent, level), n);
	if (trie->enumerable)
		join_family(trie, parent, n);
	count_child(trie, parent, level, true);
	return n;
}

uint32_t trie_add(struct trie *trie, uint32_t realm, struct slice text)
{
	bool dollar = text.len > 0 && text.at[0] == '$';
	uint32_t n = add_child(trie, 0, realm, false);
	struct topic_cursor cursor = topic_cursor_of(text);
	struct slice level;
	while (topic_next_level(&cursor, &level)) {
		n = add_child(trie, n, hash_keyed(trie->key, level), dollar);
		dollar = false;
	}
	return n;
}

uint32_t trie_find(const struct trie *trie, uint32_t realm, struct slice text)
{
	uint32_t n = trie_root(trie, realm);
	struct topic_cursor cursor = topic_cursor_of(text);
	struct slice level;
	while (n != 0 && topic_next_level(&cursor, &level))
		n = trie_child(trie, n, hash_keyed(trie->key, level));
	return n;
}

size_t trie_path(const struct trie *trie, uint32_t node, uint64_t out[TRIE_LEVELS_MAX + 1])
{
	size_t count = 0;
	for (uint32_t n = node; n != 0; n = trie_node(trie, n)->parent)
		count++;
	must(count <= TRIE_LEVELS_MAX + 1);
	size_t at = count;
	for (uint32_t n = node; n != 0; n = trie_node(trie, n)->parent)
		out[--at] = trie_level(trie_node(trie, n));
	return count;
}

static uint64_t path_level(struct slice path, size_t i)
{
	uint64_t level;
	memcpy(&level, path.at + i * sizeof level, sizeof level);
	return level;
}

uint32_t trie_add_path(struct trie *trie, struct slice path)
{
	uint32_t n = 0;
	for (size_t i = 0; i < path.len / sizeof(uint64_t); i++)
		n = add_child(trie, n, path_level(path, i), false);
	return n;
}

uint32_t trie_find_path(const struct trie *trie, struct slice path)
{
	uint32_t n = 0;
	for (size_t i = 0; i < path.len / sizeof(uint64_t); i++) {
		n = trie_child(trie, n, path_level(path, i));
		if (n == 0)
			return 0;
	}
	return n;
}

void trie_prune(struct trie *trie, uint32_t n)
{
	while (n != 0) {
		struct trie_node *node = trie_node(trie, n);
		if (node->value || node->children || node->pins)
			return;
		uint32_t parent = node->parent;
		uint64_t level = trie_level(node);
		index_remove(&trie->edges, edge_hash(parent, level), n);
		if (trie->enumerable)
			leave_family(trie, parent, n);
		slab_remove(&trie->nodes, n);
		count_child(trie, parent, level, false);
		n = parent;
	}
}

/* ---- matching: level by level, all nodes that the name has reached so far ---- */

struct match {
	struct trie *trie;
	void *self;
	void (*call)(void *self, uint32_t value);
	uint32_t count; /* nodes in the frontier being made */
	unsigned side;	/* which of the two it is */
};

static void reach(struct match *m, uint32_t n)
{
	if (n == 0)
		return;
	struct trie *trie = m->trie;
	if (m->count == trie->frontier_room[m->side]) {
		uint32_t room = m->count ? m->count * 2 : 16;
		trie->frontier[m->side] =
		    memory_resize(trie->frontier[m->side], room * sizeof(uint32_t));
		trie->frontier_room[m->side] = room;
	}
	trie->frontier[m->side][m->count++] = n;
}

static void give(struct match *m, uint32_t n)
{
	if (n != 0 && trie_node(m->trie, n)->value != 0)
		m->call(m->self, trie_node(m->trie, n)->value);
}

/* What `n` leads to by one more level of the name; wildcards only where they may match. */
static void step(struct match *m, uint32_t n, uint64_t level, bool wild)
{
	const struct trie_node *node = trie_node(m->trie, n);
	if (wild && node->has_hash)
		give(m, trie_child(m->trie, n, m->trie->hash));
	if (wild && node->has_plus)
		reach(m, trie_child(m->trie, n, m->trie->plus));
	reach(m, trie_child(m->trie, n, level));
}

void trie_match(struct trie *trie, uint32_t realm, struct slice name, void *self,
		void (*call)(void *self, uint32_t value))
{
	struct match m = {.trie = trie, .self = self, .call = call};
	reach(&m, trie_root(trie, realm));
	bool wild = name.len == 0 || name.at[0] != '$';
	struct topic_cursor cursor = topic_cursor_of(name);
	struct slice level;
	while (m.count > 0 && topic_next_level(&cursor, &level)) {
		const uint32_t *from = trie->frontier[m.side];
		uint32_t count = m.count;
		uint64_t hash = hash_keyed(trie->key, level);
		m.side ^= 1u;
		m.count = 0;
		for (uint32_t i = 0; i < count; i++)
			step(&m, from[i], hash, wild);
		wild = true;
	}
	for (uint32_t i = 0; i < m.count; i++) {
		uint32_t n = trie->frontier[m.side][i];
		give(&m, n);
		/* "sport/#" matches "sport" too: MQTT 5.0 section 4.7.1.2. */
		if (trie_node(trie, n)->has_hash)
			give(&m, trie_child(trie, n, trie->hash));
	}
}
