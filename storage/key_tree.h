/*
 * key_tree.h - the keys of accounts and sessions, in data.mdb, wrapped under the root.
 *
 * Three levels of nodes, each a row of TABLE_KEYS that holds 256 keys of 32 bytes (a sealed
 * record of class SEALED_KEYS):
 *
 *	row 0          the top, under the root; the number of its key is the root's generation
 *	row 1 + m      middle node m (0 to 255), under key m of the top
 *	row 257 + b    bottom node b (0 to 65,535), under key b % 256 of middle node b / 256;
 *	               its keys are those of the leaves 256 b to 256 b + 255
 *
 * A node is filled with chance when it is made, and is made when its first leaf is taken: so taking
 * a leaf writes nothing in 255 cases of 256, and making a node changes none above it.
 *
 * To destroy leaves: key_tree_doom() them, then turn() the tree: the bottom nodes of doomed leaves
 * get new keys there, those on the paths above them new keys for them, and the top is sealed under
 * a new root.  When the old root is destroyed nothing opens what was replaced.  A row in TABLE_KEYS
 * with number KEY_TREE_DOOMED says that there are doomed leaves; after a restart all leaves that
 * nobody owns count as doomed, if it is there.
 *
 * (Reardon, Ritzdorf, Basin, Capkun: Secure Data Deletion from Persistent Media, CCS 2013.)
 *
 * Ownership: the tree owns its memory, which is secret_memory.h's.  Codes are those of a
 * datafile_work; a rolled back transaction must be told to key_tree_roll_back().
 * Thread: whoever holds the file's mutex.
 */
#ifndef STORAGE_KEY_TREE_H
#define STORAGE_KEY_TREE_H

#include "storage/datafile.h"
#include "storage/seal.h"

#define KEY_TREE_FAN	256u
#define KEY_TREE_LEAVES (KEY_TREE_FAN * KEY_TREE_FAN * KEY_TREE_FAN)
#define KEY_TREE_DOOMED UINT64_C(0x100000000)

/* Bottom nodes that are kept open. */
#define KEY_TREE_CACHE 256u

/* The keys of a node. */
struct key_node {
	uint8_t keys[KEY_TREE_FAN][SEAL_KEY_LEN];
};

struct key_tree_cached {
	uint32_t bottom;
	bool filled;
};

struct key_tree {
	struct datafile *file;
	struct key_node *top;
	struct key_node *middle[KEY_TREE_FAN]; /* NULL: not opened yet */
	struct key_node *bottom;	       /* KEY_TREE_CACHE of them, by number */
	struct key_tree_cached cached[KEY_TREE_CACHE];

	uint64_t (*taken)[KEY_TREE_FAN / 64]; /* of each bottom node: a bit for a leaf */
	uint16_t *taken_count;		      /* of each bottom node */
	uint32_t first_free;		      /* no bottom node before it has a free leaf */

	uint32_t *doomed; /* taken leaves whose keys are to be destroyed */
	size_t doomed_count, doomed_room;

	/* between turn() and finish_turn() */
	struct key_node *next_top;
	struct key_node *next_middle[KEY_TREE_FAN]; /* NULL: stays as it is */
};

void key_tree_init(struct key_tree *tree, struct datafile *file);
void key_tree_finish(struct key_tree *tree);

/* Makes a tree without leaves, under this root. */
int key_tree_make(struct key_tree *tree, MDB_txn *txn, const uint8_t root[SEAL_KEY_LEN],
		  uint32_t generation);

/* The generation of the root that the tree in the file is under; MDB_NOTFOUND: there is none. */
int key_tree_generation(struct key_tree *tree, MDB_txn *txn, uint32_t *generation,
			struct failure *failure);

/* Opens the tree in the file; after it, each leaf that is owned is to be claimed, then settle(). */
int key_tree_open(struct key_tree *tree, MDB_txn *txn, const uint8_t root[SEAL_KEY_LEN],
		  struct failure *failure);

/* False: it has an owner already, or is none. */
bool key_tree_claim(struct key_tree *tree, uint32_t leaf);

/* Dooms what nobody owns, if the file says that there is such. */
int key_tree_settle(struct key_tree *tree, MDB_txn *txn, struct failure *failure);

/* Takes a leaf that is free; its key is one that nothing was ever sealed under. */
int key_tree_take(struct key_tree *tree, MDB_txn *txn, uint32_t *leaf, struct failure *failure);
void key_tree_give_back(struct key_tree *tree, uint32_t leaf); /* of take(), rolled back */

/* The key of a leaf that is taken. */
int key_tree_key(struct key_tree *tree, MDB_txn *txn, uint32_t leaf, uint8_t key[SEAL_KEY_LEN],
		 struct failure *failure);

/* To be destroyed at the next turn. */
int key_tree_doom(struct key_tree *tree, MDB_txn *txn, uint32_t leaf);
void key_tree_reprieve(struct key_tree *tree); /* the last that was doomed, rolled back */

/* The transaction did not happen: what it made is not in the file. */
void key_tree_roll_back(struct key_tree *tree);

/* Replaces the doomed keys, and wraps the tree under another root. */
int key_tree_turn(struct key_tree *tree, MDB_txn *txn, const uint8_t root[SEAL_KEY_LEN],
		  uint32_t generation, struct failure *failure);
void key_tree_finish_turn(struct key_tree *tree, bool committed);

#endif
