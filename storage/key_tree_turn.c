/* key_tree_turn.c - see key_tree.h: new keys for doomed leaves, and on the paths above them. */
#include "storage/key_tree_internal.h"

#include "storage/secret_memory.h"

#include <stdlib.h>

static int by_number(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a;
	const uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The middle node as it will be, begun as a copy. */
static int next_middle(struct key_tree *tree, MDB_txn *txn, uint32_t m, struct failure *failure)
{
	int code = key_tree_middle(tree, txn, m, false, failure);

	if (code != 0 || tree->next_middle[m] != NULL)
		return code;
	tree->next_middle[m] = secret_memory_get(sizeof(struct key_node));
	*tree->next_middle[m] = *tree->middle[m];
	return 0;
}

/* New keys for these leaves of bottom node b, and for the node. */
static int turn_bottom(struct key_tree *tree, MDB_txn *txn, uint32_t b, const uint32_t *leaves,
		       size_t count, struct failure *failure)
{
	const uint32_t m = b / KEY_TREE_FAN;
	struct key_node *node;
	uint8_t *key;
	int code = key_tree_bottom(tree, txn, b, false, &node, failure);

	if (code == 0)
		code = next_middle(tree, txn, m, failure);
	if (code != 0)
		return code;
	for (size_t i = 0; i < count; i++)
		seal_random(node->keys[leaves[i] % KEY_TREE_FAN], SEAL_KEY_LEN);
	/* What is open there is the node as it will be: not to be believed until that is so. */
	tree->cached[b % KEY_TREE_CACHE].filled = false;
	key = tree->next_middle[m]->keys[b % KEY_TREE_FAN];
	seal_random(key, SEAL_KEY_LEN);
	code = key_node_put(tree, txn, ROW_BOTTOM + b, 0, key, node);
	explicit_bzero(node, sizeof(*node));
	return code;
}

static int turn_bottoms(struct key_tree *tree, MDB_txn *txn, struct failure *failure)
{
	int code = 0;
	size_t end;

	if (tree->doomed_count > 0)
		qsort(tree->doomed, tree->doomed_count, sizeof(*tree->doomed), by_number);
	for (size_t i = 0; i < tree->doomed_count && code == 0; i = end) {
		const uint32_t b = tree->doomed[i] / KEY_TREE_FAN;

		end = i;
		while (end < tree->doomed_count && tree->doomed[end] / KEY_TREE_FAN == b)
			end++;
		code = turn_bottom(tree, txn, b, tree->doomed + i, end - i, failure);
	}
	return code;
}

int key_tree_turn(struct key_tree *tree, MDB_txn *txn, const uint8_t root[SEAL_KEY_LEN],
		  uint32_t generation, struct failure *failure)
{
	int code;

	tree->next_top = secret_memory_get(sizeof(struct key_node));
	*tree->next_top = *tree->top;
	code = turn_bottoms(tree, txn, failure);
	for (uint32_t m = 0; m < KEY_TREE_FAN && code == 0; m++) {
		if (tree->next_middle[m] == NULL)
			continue;
		seal_random(tree->next_top->keys[m], SEAL_KEY_LEN);
		code = key_node_put(tree, txn, ROW_MIDDLE + m, 0, tree->next_top->keys[m],
				    tree->next_middle[m]);
	}
	if (code == 0)
		code = key_node_put(tree, txn, ROW_TOP, generation, root, tree->next_top);
	if (code == 0)
		code = datafile_delete(tree->file, txn, TABLE_KEYS, KEY_TREE_DOOMED);
	return code;
}

static void swap(struct key_node **now, struct key_node **next)
{
	struct key_node *old = *now;

	if (*next == NULL)
		return;
	*now = *next;
	*next = old;
}

void key_tree_finish_turn(struct key_tree *tree, bool committed)
{
	if (committed) {
		swap(&tree->top, &tree->next_top);
		for (uint32_t m = 0; m < KEY_TREE_FAN; m++)
			swap(&tree->middle[m], &tree->next_middle[m]);
		for (size_t i = 0; i < tree->doomed_count; i++)
			key_tree_unmark(tree, tree->doomed[i]);
		tree->doomed_count = 0;
	}
	secret_memory_give(tree->next_top, sizeof(struct key_node));
	tree->next_top = NULL;
	for (uint32_t m = 0; m < KEY_TREE_FAN; m++) {
		secret_memory_give(tree->next_middle[m], sizeof(struct key_node));
		tree->next_middle[m] = NULL;
	}
}
