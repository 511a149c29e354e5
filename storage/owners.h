/*
 * owners.h - who owns which leaf key, and which rows are sealed under it: the index in RAM of the
 * accounts and sessions of data.mdb, and what a transaction under way has changed in it.
 *
 * A change is noted with what undoes it; owners_keep() when the transaction was committed,
 * owners_undo() when not.  Leaves are changed along with it in the key tree.
 *
 * Ownership: all of it; an owner is borrowed until the next change.
 * Thread: whoever holds the file's mutex.
 */
#ifndef STORAGE_OWNERS_H
#define STORAGE_OWNERS_H

#include "storage/key_tree.h"
#include "storage/table.h"

enum owner_kind { OWNER_ACCOUNT, OWNER_SESSION, OWNER_KINDS };

/* A row that is sealed under its owner's key, besides the owner's own. */
struct owned {
	uint64_t row;
	uint8_t class; /* enum vault_class */
};

struct owner {
	uint64_t row;
	uint32_t leaf;
	uint32_t owned_count;
	struct owned *owned; /* as long as it has to be; NULL for none */
};

struct change {
	uint8_t type;
	uint8_t kind;
	struct owner *owner;
	struct owned owned;
	uint32_t leaf;
};

struct owners {
	struct table by_row[OWNER_KINDS];
	struct key_tree *tree;
	struct change *changes;
	size_t change_count, change_room;
};

void owners_init(struct owners *owners, struct key_tree *tree);
void owners_finish(struct owners *owners);

struct owner *owners_find(const struct owners *owners, enum owner_kind kind, uint64_t row);

/* At start: found in the file.  False: the leaf is another's. */
bool owners_found(struct owners *owners, enum owner_kind kind, uint64_t row, uint32_t leaf);

/* At start: the row is sealed under the owner's key. */
void owners_found_row(struct owner *owner, struct owned owned);

/* The owners of a kind by their leaves, 0 to *end - 1; NULL where there is none.  To be freed. */
struct owner **owners_by_leaf(const struct owners *owners, enum owner_kind kind, uint32_t *end);

/* Makes an owner, with a leaf of its own.  Codes as in key_tree.h. */
int owners_add(struct owners *owners, MDB_txn *txn, enum owner_kind kind, uint64_t row,
	       struct owner **owner, struct failure *failure);

/* Ends it and dooms its leaf; the owner may be read until owners_keep(). */
int owners_remove(struct owners *owners, MDB_txn *txn, enum owner_kind kind, struct owner *owner);

/* Gives it another leaf and dooms the one that it has. */
int owners_move(struct owners *owners, MDB_txn *txn, struct owner *owner, struct failure *failure);

/* Notes that a row is sealed under the owner's key; false: that is known. */
bool owners_add_row(struct owners *owners, struct owner *owner, struct owned owned);
bool owners_remove_row(struct owners *owners, struct owner *owner, struct owned owned);

void owners_keep(struct owners *owners);
void owners_undo(struct owners *owners);

#endif
