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
	memo_init(&trie->memo);
}

void trie_finish(struct trie *trie)
{
	slab_finish(&trie->nodes);
	slab_finish(&trie->families);
	index_finish(&trie->edges);
	memory_free(trie->frontier[0]);
	memory_free(trie->frontier[1]);
	memory_free(trie->found);
	memo_finish(&trie->memo);
}

/* Where no realm's root is yet: what they are the children of. */
static const struct trie_place above_all = {0, 0};

static uint64_t path_hash(uint64_t parent, uint64_t level)
{
	return hash_mix(level + parent * 0x9e3779b97f4a7c15u);
}

struct trie_place trie_child(const struct trie *trie, struct trie_place parent, uint64_t level)
{
	struct index_probe probe;
	struct trie_place place = {.path = path_hash(parent.path, level)};
	uint32_t n = index_first(&trie->edges, place.path, &probe);
	for (; n != 0; n = index_next(&trie->edges, &probe)) {
		const struct trie_node *node = trie_node(trie, n);
		if (node->parent == parent.node && trie_level(node) == level)
			break;
	}
	place.node = n;
	return place;
}

struct trie_place trie_step(const struct trie *trie, struct trie_place parent, uint32_t child)
{
	uint64_t level = trie_level(trie_node(trie, child));
	return (struct trie_place){child, path_hash(parent.path, level)};
}

struct trie_place trie_root(const struct trie *trie, uint32_t realm)
{
	return trie_child(trie, above_all, realm);
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

static struct trie_place add_child(struct trie *trie, struct trie_place parent, uint64_t level,
				   bool dollar)
{
	struct trie_place place = trie_child(trie, parent, level);
	if (place.node != 0)
		return place;
	place.node = slab_add(&trie->nodes);
	struct trie_node *node = trie_node(trie, place.node);
	node->level[0] = (uint32_t)level;
	node->level[1] = (uint32_t)(level >> 32);
	node->parent = parent.node;
	node->dollar = dollar;
	index_add(&trie->edges, place.path, place.node);
	if (trie->enumerable)
		join_family(trie, parent.node, place.node);
	count_child(trie, parent.node, level, true);
	memo_forget(&trie->memo);
	return place;
}

uint32_t trie_add(struct trie *trie, uint32_t realm, struct slice text)
{
	bool dollar = text.len > 0 && text.at[0] == '$';
	struct trie_place place = add_child(trie, above_all, realm, false);
	struct topic_cursor cursor = topic_cursor_of(text);
	struct slice level;
	while (topic_next_level(&cursor, &level)) {
		place = add_child(trie, place, hash_keyed(trie->key, level), dollar);
		dollar = false;
	}
	return place.node;
}

uint32_t trie_find(const struct trie *trie, uint32_t realm, struct slice text)
{
	struct trie_place place = trie_root(trie, realm);
	struct topic_cursor cursor = topic_cursor_of(text);
	struct slice level;
	while (place.node != 0 && topic_next_level(&cursor, &level))
		place = trie_child(trie, place, hash_keyed(trie->key, level));
	return place.node;
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
	struct trie_place place = above_all;
	for (size_t i = 0; i < path.len / sizeof(uint64_t); i++)
		place = add_child(trie, place, path_level(path, i), false);
	return place.node;
}

uint32_t trie_find_path(const struct trie *trie, struct slice path)
{
	struct trie_place place = above_all;
	for (size_t i = 0; i < path.len / sizeof(uint64_t); i++) {
		place = trie_child(trie, place, path_level(path, i));
		if (place.node == 0)
			break;
	}
	return place.node;
}

static bool is_needed(const struct trie_node *node)
{
	return node->value || node->children || node->pins;
}

static void remove_node(struct trie *trie, uint32_t n, uint64_t path)
{
	uint32_t parent = trie_node(trie, n)->parent;
	uint64_t level = trie_level(trie_node(trie, n));
	index_remove(&trie->edges, path, n);
	if (trie->enumerable)
		leave_family(trie, parent, n);
	slab_remove(&trie->nodes, n);
	count_child(trie, parent, level, false);
	memo_forget(&trie->memo);
}

void trie_prune(struct trie *trie, uint32_t n)
{
	uint64_t paths[TRIE_LEVELS_MAX + 1] = {0};
	if (n == 0 || is_needed(trie_node(trie, n)))
		return;
	size_t count = trie_path(trie, n, paths);
	for (size_t i = 0; i < count; i++) /* hashes of levels become those of paths */
		paths[i] = path_hash(i > 0 ? paths[i - 1] : 0, paths[i]);
	for (; count > 0 && !is_needed(trie_node(trie, n)); count--) {
		uint32_t parent = trie_node(trie, n)->parent;
		remove_node(trie, n, paths[count - 1]);
		n = parent;
	}
}

/* ---- matching: level by level, all nodes that the name has reached so far ---- */

struct match {
	struct trie *trie;
	uint32_t count; /* places in the frontier being made */
	unsigned side;	/* which of the two it is */
	uint32_t found; /* nodes of filters that match, with a value or without */
};

static void reach(struct match *m, struct trie_place place)
{
	if (place.node == 0)
		return;
	struct trie *trie = m->trie;
	if (m->count == trie->frontier_room[m->side]) {
		uint32_t room = m->count ? m->count * 2 : 16;
		trie->frontier[m->side] =
		    memory_resize(trie->frontier[m->side], room * sizeof place);
		trie->frontier_room[m->side] = room;
	}
	trie->frontier[m->side][m->count++] = place;
}

static void find(struct match *m, uint32_t n)
{
	if (n == 0)
		return;
	struct trie *trie = m->trie;
	if (m->found == trie->found_room) {
		trie->found_room = m->found ? m->found * 2 : 16;
		trie->found = memory_resize(trie->found, trie->found_room * sizeof *trie->found);
	}
	trie->found[m->found++] = n;
}

static void find_hash(struct match *m, struct trie_place place)
{
	if (trie_node(m->trie, place.node)->has_hash)
		find(m, trie_child(m->trie, place, m->trie->hash).node);
}

/* What `place` leads to by one more level of the name; wildcards only where they may match. */
static void step(struct match *m, struct trie_place place, uint64_t level, bool wild)
{
	const struct trie_node *node = trie_node(m->trie, place.node);
	uint32_t wildcards = (uint32_t)node->has_plus + node->has_hash;
	if (wild)
		find_hash(m, place);
	if (wild && node->has_plus)
		reach(m, trie_child(m->trie, place, m->trie->plus));
	if (node->children > wildcards)
		reach(m, trie_child(m->trie, place, level));
}

/* The hashes of the name's levels; how many, at most one more than any filter has. */
static size_t hash_levels(const struct trie *trie, struct slice name,
			  uint64_t levels[TRIE_LEVELS_MAX + 1])
{
	struct topic_cursor cursor = topic_cursor_of(name);
	struct slice level;
	size_t count = 0;
	while (count <= TRIE_LEVELS_MAX && topic_next_level(&cursor, &level))
		levels[count++] = hash_keyed(trie->key, level);
	return count;
}

/* A larger index does not stay in a processor's cache beside all else: it has 512 kB. */
#define WARM_ROOM 65536u

/*
 * Has all nodes of the filter without wildcards, and their places in the index, come from
 * memory together, before the walk asks for one after the other.
 */
static void call_in(const struct trie *trie, struct trie_place root, const uint64_t *levels,
		    size_t count)
{
	uint64_t paths[TRIE_LEVELS_MAX + 1];
	struct index_probe probe;
	uint64_t path = root.path;
	for (size_t i = 0; i < count; i++) {
		path = paths[i] = path_hash(path, levels[i]);
		index_prefetch(&trie->edges, path);
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t n = index_first(&trie->edges, paths[i], &probe);
		if (n != 0)
			__builtin_prefetch(trie_node(trie, n));
	}
}

/* All nodes of filters that match the name, into trie->found; how many. */
static uint32_t walk(struct trie *trie, uint32_t realm, struct slice name)
{
	uint64_t levels[TRIE_LEVELS_MAX + 1];
	struct match m = {.trie = trie};
	struct trie_place root = trie_root(trie, realm);
	if (root.node == 0)
		return 0;
	bool wild = name.len == 0 || name.at[0] != '$';
	size_t count = hash_levels(trie, name, levels);
	if (trie->edges.room > WARM_ROOM)
		call_in(trie, root, levels, count);
	reach(&m, root);
	for (size_t level = 0; m.count > 0 && level < count; level++) {
		const struct trie_place *from = trie->frontier[m.side];
		uint32_t places = m.count;
		trie->work += places;
		m.side ^= 1u;
		m.count = 0;
		for (uint32_t i = 0; i < places; i++)
			step(&m, from[i], levels[level], wild);
		wild = true;
	}
	for (uint32_t i = 0; i < m.count; i++) {
		struct trie_place place = trie->frontier[m.side][i];
		find(&m, place.node);
		/* "sport/#" matches "sport" too: MQTT 5.0 section 4.7.1.2. */
		find_hash(&m, place);
	}
	trie->work += m.found;
	return m.found;
}

void trie_match(struct trie *trie, const struct trie_name *name, void *self,
		void (*call)(void *self, uint32_t value))
{
	uint64_t key = hash_mix(name->hash + name->realm);
	const struct memo_entry *known = memo_find(&trie->memo, key);
	const uint32_t *nodes = known ? known->nodes : NULL;
	uint32_t count = known ? known->count : 0;
	if (!known) {
		count = walk(trie, name->realm, name->text);
		nodes = trie->found;
		memo_keep(&trie->memo, key, nodes, count);
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t value = trie_node(trie, nodes[i])->value;
		if (value != 0)
			call(self, value);
	}
}
