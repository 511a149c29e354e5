/* key_tree_internal.h - nodes of the tree, for key_tree*.c only. */
#ifndef STORAGE_KEY_TREE_INTERNAL_H
#define STORAGE_KEY_TREE_INTERNAL_H

#include "storage/key_tree.h"
#include "storage/sealed_record.h"

enum { ROW_TOP = 0, ROW_MIDDLE = 1, ROW_BOTTOM = 1 + KEY_TREE_FAN };

int key_node_put(struct key_tree *tree, MDB_txn *txn, uint64_t row, uint32_t key_number,
		 const uint8_t key[SEAL_KEY_LEN], const struct key_node *node);

/* Has middle node m opened. */
int key_tree_middle(struct key_tree *tree, MDB_txn *txn, uint32_t m, bool make,
		    struct failure *failure);

/* Opens bottom node b; borrowed until the next call. */
int key_tree_bottom(struct key_tree *tree, MDB_txn *txn, uint32_t b, bool make,
		    struct key_node **node, struct failure *failure);

void key_tree_unmark(struct key_tree *tree, uint32_t leaf);

#endif
