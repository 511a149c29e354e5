/* key_tree.c - see key_tree.h: nodes, and leaves that are taken. */
#include "storage/key_tree_internal.h"

#include "storage/secret_memory.h"

#include <stdlib.h>

#define BOTTOMS (KEY_TREE_FAN * KEY_TREE_FAN)

void key_tree_init(struct key_tree *tree, struct datafile *file)
{
	*tree = (struct key_tree){.file = file};
	tree->top = secret_memory_get(sizeof(struct key_node));
	tree->bottom = secret_memory_get(KEY_TREE_CACHE * sizeof(struct key_node));
	tree->taken = calloc(BOTTOMS, sizeof(*tree->taken));
	tree->taken_count = calloc(BOTTOMS, sizeof(*tree->taken_count));
	must(tree->taken != NULL && tree->taken_count != NULL);
}

static void close_middle(struct key_tree *tree)
{
	for (unsigned m = 0; m < KEY_TREE_FAN; m++) {
		secret_memory_give(tree->middle[m], sizeof(struct key_node));
		tree->middle[m] = NULL;
	}
}

void key_tree_finish(struct key_tree *tree)
{
	if (tree->top == NULL)
		return;
	key_tree_finish_turn(tree, false);
	close_middle(tree);
	secret_memory_give(tree->top, sizeof(struct key_node));
	secret_memory_give(tree->bottom, KEY_TREE_CACHE * sizeof(struct key_node));
	free(tree->taken);
	free(tree->taken_count);
	free(tree->doomed);
	*tree = (struct key_tree){0};
}

/* ---- nodes ---- */

int key_node_put(struct key_tree *tree, MDB_txn *txn, uint64_t row, uint32_t key_number,
		 const uint8_t key[SEAL_KEY_LEN], const struct key_node *node)
{
	const struct sealed_place place = {SEALED_KEYS, key_number, row};
	uint8_t record[sizeof(*node) + SEALED_OVERHEAD];

	sealed_record_make(place, key, slice_of(node->keys, sizeof(node->keys)), record);
	return datafile_put(tree->file, txn, TABLE_KEYS, row, slice_of(record, sizeof(record)), 0);
}

/* Says what is wrong with a row of the tree.  Gives the code for that. */
static int damaged(const struct key_tree *tree, uint64_t row, struct failure *failure)
{
	datafile_damaged(tree->file, TABLE_KEYS, row, failure);
	return DATAFILE_TOLD;
}

static bool look(struct slice record, uint32_t *key_number, struct failure *failure)
{
	if (!sealed_record_look(record, SEALED_KEYS, key_number, failure))
		return false;
	if (sealed_record_body_len(record) != sizeof(struct key_node))
		return failure_set(failure, "its body is %zu bytes long, expected %zu",
				   sealed_record_body_len(record), sizeof(struct key_node));
	return true;
}

/* MDB_NOTFOUND: there is no such node, and nothing is said. */
static int node_open(struct key_tree *tree, MDB_txn *txn, uint64_t row,
		     const uint8_t key[SEAL_KEY_LEN], struct key_node *node,
		     struct failure *failure)
{
	struct slice record;
	uint32_t key_number;
	int code = datafile_get(tree->file, txn, TABLE_KEYS, row, &record);

	if (code != 0)
		return code;
	if (!look(record, &key_number, failure) ||
	    !sealed_record_open(record, row, key, node->keys[0], failure))
		return damaged(tree, row, failure);
	return 0;
}

/* A node that is to be there when nothing may be made; `make`: it is made where it is missing. */
static int node_find(struct key_tree *tree, MDB_txn *txn, uint64_t row,
		     const uint8_t key[SEAL_KEY_LEN], bool make, struct key_node *node,
		     struct failure *failure)
{
	int code = node_open(tree, txn, row, key, node, failure);

	if (code != MDB_NOTFOUND)
		return code;
	if (!make) {
		failure_set(failure, "it is missing");
		return damaged(tree, row, failure);
	}
	seal_random(node->keys, sizeof(node->keys));
	return key_node_put(tree, txn, row, 0, key, node);
}

int key_tree_middle(struct key_tree *tree, MDB_txn *txn, uint32_t m, bool make,
		    struct failure *failure)
{
	struct key_node *node;
	int code;

	if (tree->middle[m] != NULL)
		return 0;
	node = secret_memory_get(sizeof(*node));
	code = node_find(tree, txn, ROW_MIDDLE + m, tree->top->keys[m], make, node, failure);
	if (code == 0)
		tree->middle[m] = node;
	else
		secret_memory_give(node, sizeof(*node));
	return code;
}

int key_tree_bottom(struct key_tree *tree, MDB_txn *txn, uint32_t b, bool make,
		    struct key_node **node, struct failure *failure)
{
	struct key_tree_cached *cached = &tree->cached[b % KEY_TREE_CACHE];
	const uint32_t m = b / KEY_TREE_FAN;
	int code;

	*node = &tree->bottom[b % KEY_TREE_CACHE];
	if (cached->filled && cached->bottom == b)
		return 0;
	code = key_tree_middle(tree, txn, m, make, failure);
	if (code != 0)
		return code;
	code = node_find(tree, txn, ROW_BOTTOM + b, tree->middle[m]->keys[b % KEY_TREE_FAN], make,
			 *node, failure);
	*cached = (struct key_tree_cached){b, code == 0};
	return code;
}

void key_tree_roll_back(struct key_tree *tree)
{
	close_middle(tree);
	memset(tree->cached, 0, sizeof(tree->cached));
}

/* ---- making and opening ---- */

int key_tree_make(struct key_tree *tree, MDB_txn *txn, const uint8_t root[SEAL_KEY_LEN],
		  uint32_t generation)
{
	seal_random(tree->top->keys, sizeof(tree->top->keys));
	return key_node_put(tree, txn, ROW_TOP, generation, root, tree->top);
}

int key_tree_generation(struct key_tree *tree, MDB_txn *txn, uint32_t *generation,
			struct failure *failure)
{
	struct slice record;
	int code = datafile_get(tree->file, txn, TABLE_KEYS, ROW_TOP, &record);

	if (code == 0 && !look(record, generation, failure))
		return damaged(tree, ROW_TOP, failure);
	return code;
}

int key_tree_open(struct key_tree *tree, MDB_txn *txn, const uint8_t root[SEAL_KEY_LEN],
		  struct failure *failure)
{
	int code = node_find(tree, txn, ROW_TOP, root, false, tree->top, failure);

	if (code != 0 && code != DATAFILE_TOLD)
		datafile_fail(tree->file, "cannot be read", code, failure);
	return code;
}

/* Marks a leaf; false: it was marked. */
static bool mark(struct key_tree *tree, uint32_t leaf)
{
	const uint32_t b = leaf / KEY_TREE_FAN;
	const uint32_t place = leaf % KEY_TREE_FAN;
	const uint64_t bit = UINT64_C(1) << (place % 64);

	if ((tree->taken[b][place / 64] & bit) != 0)
		return false;
	tree->taken[b][place / 64] |= bit;
	tree->taken_count[b]++;
	return true;
}

void key_tree_unmark(struct key_tree *tree, uint32_t leaf)
{
	const uint32_t b = leaf / KEY_TREE_FAN;
	const uint32_t place = leaf % KEY_TREE_FAN;

	tree->taken[b][place / 64] &= ~(UINT64_C(1) << (place % 64));
	tree->taken_count[b]--;
	if (b < tree->first_free)
		tree->first_free = b;
}

bool key_tree_claim(struct key_tree *tree, uint32_t leaf)
{
	return leaf < KEY_TREE_LEAVES && mark(tree, leaf);
}

static void add_doomed(struct key_tree *tree, uint32_t leaf)
{
	if (tree->doomed_count == tree->doomed_room) {
		tree->doomed_room = tree->doomed_room != 0 ? 2 * tree->doomed_room : 64;
		tree->doomed = realloc(tree->doomed, tree->doomed_room * sizeof(*tree->doomed));
		must(tree->doomed != NULL);
	}
	tree->doomed[tree->doomed_count++] = leaf;
}

/* A node of the tree is in the file: dooms its leaves that nobody owns. */
static bool doom_unowned(void *self, uint64_t row, struct slice bytes, struct failure *failure)
{
	struct key_tree *tree = self;

	(void)bytes;
	if (row < ROW_BOTTOM || row == KEY_TREE_DOOMED)
		return true;
	if (row >= ROW_BOTTOM + BOTTOMS) {
		failure_set(failure, "the tree of keys has no such row");
		return datafile_damaged(tree->file, TABLE_KEYS, row, failure);
	}
	for (uint32_t place = 0; place < KEY_TREE_FAN; place++) {
		uint32_t leaf = (uint32_t)(row - ROW_BOTTOM) * KEY_TREE_FAN + place;

		if (mark(tree, leaf))
			add_doomed(tree, leaf);
	}
	return true;
}

int key_tree_settle(struct key_tree *tree, MDB_txn *txn, struct failure *failure)
{
	struct slice note;
	int code = datafile_get(tree->file, txn, TABLE_KEYS, KEY_TREE_DOOMED, &note);

	if (code == MDB_NOTFOUND)
		return 0;
	if (code != 0)
		return code;
	return datafile_walk(tree->file, txn, TABLE_KEYS, tree, doom_unowned, failure)
		   ? 0
		   : DATAFILE_TOLD;
}

/* ---- leaves ---- */

int key_tree_take(struct key_tree *tree, MDB_txn *txn, uint32_t *leaf, struct failure *failure)
{
	struct key_node *node;
	uint32_t b = tree->first_free;
	uint32_t place = 0;
	int code;

	while (b < BOTTOMS && tree->taken_count[b] == KEY_TREE_FAN)
		b++;
	tree->first_free = b;
	if (b == BOTTOMS) {
		failure_set(failure, "%s: all %u keys of the tree are taken", tree->file->path,
			    KEY_TREE_LEAVES);
		return DATAFILE_TOLD;
	}
	code = key_tree_bottom(tree, txn, b, true, &node, failure);
	if (code != 0)
		return code;
	while (!mark(tree, b * KEY_TREE_FAN + place))
		place++;
	*leaf = b * KEY_TREE_FAN + place;
	return 0;
}

void key_tree_give_back(struct key_tree *tree, uint32_t leaf)
{
	key_tree_unmark(tree, leaf);
}

int key_tree_key(struct key_tree *tree, MDB_txn *txn, uint32_t leaf, uint8_t key[SEAL_KEY_LEN],
		 struct failure *failure)
{
	struct key_node *node;
	int code = key_tree_bottom(tree, txn, leaf / KEY_TREE_FAN, false, &node, failure);

	if (code == 0)
		memcpy(key, node->keys[leaf % KEY_TREE_FAN], SEAL_KEY_LEN);
	return code;
}

int key_tree_doom(struct key_tree *tree, MDB_txn *txn, uint32_t leaf)
{
	int code = 0;

	if (tree->doomed_count == 0)
		code =
		    datafile_put(tree->file, txn, TABLE_KEYS, KEY_TREE_DOOMED, slice_of("", 1), 0);
	if (code != 0)
		return code;
	add_doomed(tree, leaf);
	return 0;
}

void key_tree_reprieve(struct key_tree *tree)
{
	must(tree->doomed_count > 0);
	tree->doomed_count--;
}
