/* owners.c - see owners.h. */
#include "storage/owners.h"

#include <stdlib.h>

enum change_type {
	OWNER_ADDED,
	OWNER_REMOVED,
	OWNER_MOVED, /* from `leaf` */
	ROW_ADDED,
	ROW_REMOVED,
	LEAF_TAKEN,
	LEAF_DOOMED,
	CHANGE_TYPES
};

void owners_init(struct owners *owners, struct key_tree *tree)
{
	*owners = (struct owners){.tree = tree};
}

static void owner_free(struct owner *owner)
{
	free(owner->owned);
	free(owner);
}

void owners_finish(struct owners *owners)
{
	for (int kind = 0; kind < OWNER_KINDS; kind++) {
		struct table *table = &owners->by_row[kind];

		for (uint32_t i = 0; i < table->room; i++)
			if (table->slots[i].thing != NULL)
				owner_free(table->slots[i].thing);
		table_finish(table);
	}
	free(owners->changes);
}

struct owner *owners_find(const struct owners *owners, enum owner_kind kind, uint64_t row)
{
	uint64_t hash = table_hash(row);
	uint64_t at = hash;
	struct owner *owner;

	while ((owner = table_next(&owners->by_row[kind], hash, &at)) != NULL)
		if (owner->row == row)
			return owner;
	return NULL;
}

static struct owner *make(struct owners *owners, enum owner_kind kind, uint64_t row, uint32_t leaf)
{
	struct owner *owner = malloc(sizeof(*owner));

	must(owner != NULL);
	*owner = (struct owner){.row = row, .leaf = leaf};
	table_add(&owners->by_row[kind], table_hash(row), owner);
	return owner;
}

bool owners_found(struct owners *owners, enum owner_kind kind, uint64_t row, uint32_t leaf)
{
	if (!key_tree_claim(owners->tree, leaf))
		return false;
	make(owners, kind, row, leaf);
	return true;
}

void owners_found_row(struct owner *owner, struct owned owned)
{
	owner->owned = realloc(owner->owned, (owner->owned_count + 1) * sizeof(*owner->owned));
	must(owner->owned != NULL);
	owner->owned[owner->owned_count++] = owned;
}

/* ---- changes ---- */

static void note(struct owners *owners, struct change change)
{
	if (owners->change_count == owners->change_room) {
		owners->change_room = owners->change_room != 0 ? 2 * owners->change_room : 64;
		owners->changes =
		    realloc(owners->changes, owners->change_room * sizeof(*owners->changes));
		must(owners->changes != NULL);
	}
	owners->changes[owners->change_count++] = change;
}

static int take(struct owners *owners, MDB_txn *txn, uint32_t *leaf, struct failure *failure)
{
	int code = key_tree_take(owners->tree, txn, leaf, failure);

	if (code == 0)
		note(owners, (struct change){.type = LEAF_TAKEN, .leaf = *leaf});
	return code;
}

static int doom(struct owners *owners, MDB_txn *txn, uint32_t leaf)
{
	int code = key_tree_doom(owners->tree, txn, leaf);

	if (code == 0)
		note(owners, (struct change){.type = LEAF_DOOMED});
	return code;
}

int owners_add(struct owners *owners, MDB_txn *txn, enum owner_kind kind, uint64_t row,
	       struct owner **owner, struct failure *failure)
{
	uint32_t leaf;
	int code = take(owners, txn, &leaf, failure);

	if (code != 0)
		return code;
	*owner = make(owners, kind, row, leaf);
	note(owners, (struct change){OWNER_ADDED, (uint8_t)kind, *owner, {0}, 0});
	return 0;
}

int owners_remove(struct owners *owners, MDB_txn *txn, enum owner_kind kind, struct owner *owner)
{
	int code = doom(owners, txn, owner->leaf);

	if (code != 0)
		return code;
	table_remove(&owners->by_row[kind], table_hash(owner->row), owner);
	note(owners, (struct change){OWNER_REMOVED, (uint8_t)kind, owner, {0}, 0});
	return 0;
}

int owners_move(struct owners *owners, MDB_txn *txn, struct owner *owner, struct failure *failure)
{
	uint32_t leaf;
	int code = take(owners, txn, &leaf, failure);

	if (code == 0)
		code = doom(owners, txn, owner->leaf);
	if (code != 0)
		return code;
	note(owners, (struct change){OWNER_MOVED, 0, owner, {0}, owner->leaf});
	owner->leaf = leaf;
	return 0;
}

static struct owned *find_row(const struct owner *owner, struct owned owned)
{
	for (uint32_t i = 0; i < owner->owned_count; i++)
		if (owner->owned[i].row == owned.row && owner->owned[i].class == owned.class)
			return &owner->owned[i];
	return NULL;
}

static void drop_row(struct owner *owner, struct owned owned)
{
	struct owned *found = find_row(owner, owned);

	must(found != NULL);
	*found = owner->owned[--owner->owned_count];
}

bool owners_add_row(struct owners *owners, struct owner *owner, struct owned owned)
{
	if (find_row(owner, owned) != NULL)
		return false;
	owners_found_row(owner, owned);
	note(owners, (struct change){ROW_ADDED, 0, owner, owned, 0});
	return true;
}

bool owners_remove_row(struct owners *owners, struct owner *owner, struct owned owned)
{
	if (find_row(owner, owned) == NULL)
		return false;
	drop_row(owner, owned);
	note(owners, (struct change){ROW_REMOVED, 0, owner, owned, 0});
	return true;
}

void owners_keep(struct owners *owners)
{
	for (size_t i = 0; i < owners->change_count; i++)
		if (owners->changes[i].type == OWNER_REMOVED)
			owner_free(owners->changes[i].owner);
	owners->change_count = 0;
}

/* ---- undoing ---- */

static void undo_added(struct owners *owners, const struct change *change)
{
	struct owner *owner = change->owner;

	table_remove(&owners->by_row[change->kind], table_hash(owner->row), owner);
	owner_free(owner);
}

static void undo_removed(struct owners *owners, const struct change *change)
{
	struct owner *owner = change->owner;

	table_add(&owners->by_row[change->kind], table_hash(owner->row), owner);
}

static void undo_moved(struct owners *owners, const struct change *change)
{
	(void)owners;
	change->owner->leaf = change->leaf;
}

static void undo_row_added(struct owners *owners, const struct change *change)
{
	(void)owners;
	drop_row(change->owner, change->owned);
}

static void undo_row_removed(struct owners *owners, const struct change *change)
{
	(void)owners;
	owners_found_row(change->owner, change->owned);
}

static void undo_taken(struct owners *owners, const struct change *change)
{
	key_tree_give_back(owners->tree, change->leaf);
}

static void undo_doomed(struct owners *owners, const struct change *change)
{
	(void)change;
	key_tree_reprieve(owners->tree);
}

void owners_undo(struct owners *owners)
{
	static void (*const undo[CHANGE_TYPES])(struct owners *, const struct change *) = {
	    [OWNER_ADDED] = undo_added,	      [OWNER_REMOVED] = undo_removed,
	    [OWNER_MOVED] = undo_moved,	      [ROW_ADDED] = undo_row_added,
	    [ROW_REMOVED] = undo_row_removed, [LEAF_TAKEN] = undo_taken,
	    [LEAF_DOOMED] = undo_doomed,
	};

	while (owners->change_count > 0) {
		const struct change *change = &owners->changes[--owners->change_count];

		undo[change->type](owners, change);
	}
	key_tree_roll_back(owners->tree);
}

struct owner **owners_by_leaf(const struct owners *owners, enum owner_kind kind, uint32_t *end)
{
	const struct table *table = &owners->by_row[kind];
	struct owner **by_leaf;

	*end = 0;
	for (uint32_t i = 0; i < table->room; i++) {
		const struct owner *owner = table->slots[i].thing;

		if (owner != NULL && owner->leaf >= *end)
			*end = owner->leaf + 1;
	}
	by_leaf = calloc(*end + UINT32_C(1), sizeof(struct owner *));
	must(by_leaf != NULL);
	for (uint32_t i = 0; i < table->room; i++) {
		struct owner *owner = table->slots[i].thing;

		if (owner != NULL)
			by_leaf[owner->leaf] = owner;
	}
	return by_leaf;
}
