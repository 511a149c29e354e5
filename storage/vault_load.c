/*
 * vault_load.c - see vault.h: opens rows.
 *
 * Rows are named by chance, so their keys come in no order, and a node of the key tree cannot be
 * opened again for each: they are opened in the order of their keys.
 */
#include "storage/lmdb_file.h"
#include "storage/vault_internal.h"

#include <stdlib.h>

/* ---- collecting ---- */

struct collecting {
	struct vault *vault;
	struct vault_rows *rows;
	enum data_table table;
	enum sealed_class class;
};

static bool collect(void *self, uint64_t row, struct slice record, struct failure *failure)
{
	const struct collecting *collecting = self;
	struct vault_rows *rows = collecting->rows;
	struct vault_row found = {row, 0, record};

	if (!sealed_record_look(record, collecting->class, &found.key_number, failure))
		return datafile_damaged(&collecting->vault->file, collecting->table, row, failure);
	if (rows->count == rows->room) {
		rows->room = rows->room != 0 ? 2 * rows->room : 64;
		rows->at = realloc(rows->at, rows->room * sizeof(*rows->at));
		must(rows->at != NULL);
	}
	rows->at[rows->count++] = found;
	return true;
}

static int by_key(const void *a, const void *b)
{
	const struct vault_row *x = a;
	const struct vault_row *y = b;

	if (x->key_number != y->key_number)
		return x->key_number < y->key_number ? -1 : 1;
	return (x->row > y->row) - (x->row < y->row);
}

bool vault_collect(struct vault *vault, MDB_txn *txn, enum data_table table,
		   enum sealed_class class, struct vault_rows *rows, struct failure *failure)
{
	struct collecting collecting = {vault, rows, table, class};

	if (!datafile_walk(&vault->file, txn, table, &collecting, collect, failure))
		return false;
	if (rows->count > 0)
		qsort(rows->at, rows->count, sizeof(*rows->at), by_key);
	return true;
}

void vault_rows_free(struct vault_rows *rows)
{
	free(rows->at);
}

/* ---- opening ---- */

/* The key that rows are opened with; those with the same number follow each other. */
struct open_key {
	uint32_t number;
	bool known; /* `number` was looked for, and... */
	bool found;
	uint8_t key[SEAL_KEY_LEN];
};

static bool find_key(struct vault *vault, MDB_txn *txn, const struct vault_kind *kind,
		     const struct vault_row *row, struct open_key *key, struct failure *failure)
{
	const uint32_t number = row->key_number;
	int code;

	if (key->known && key->number == number)
		return true;
	/* The file says so, and nothing has proven it yet. */
	if (kind->under != UNDER_DAY && number >= KEY_TREE_LEAVES) {
		failure_set(failure, "no key has the number of its key, %u", number);
		return datafile_damaged(&vault->file, kind->table, row->row, failure);
	}
	*key = (struct open_key){.number = number, .known = true, .found = true};
	if (kind->under == UNDER_DAY) {
		key->found = keyring_get(vault->keyring, kind->day, number, key->key);
		return true;
	}
	code = key_tree_key(&vault->tree, txn, number, key->key, failure);
	if (code != 0 && code != DATAFILE_TOLD)
		datafile_fail(&vault->file, "cannot be read", code, failure);
	return code == 0;
}

/* `body` has room for SEALED_BODY_MAX; rows of days need no transaction. */
static bool open_rows(struct vault *vault, MDB_txn *txn, const struct vault_kind *kind,
		      const struct vault_rows *rows, const struct vault_reader *reader,
		      uint8_t *body, struct failure *failure)
{
	struct open_key key = {.known = false};
	bool ok = true;

	for (size_t i = 0; i < rows->count && ok; i++) {
		const struct vault_row *row = &rows->at[i];
		const size_t len = sealed_record_body_len(row->record);

		ok = find_key(vault, txn, kind, row, &key, failure);
		if (!ok || !key.found)
			continue;
		ok = sealed_record_open(row->record, row->row, key.key, body, failure);
		if (ok)
			ok = reader->give(reader->self, row, slice_of(body, len), failure);
		else
			datafile_damaged(&vault->file, kind->table, row->row, failure);
		explicit_bzero(body, len);
	}
	explicit_bzero(&key, sizeof(key));
	return ok;
}

bool vault_open_rows(struct vault *vault, MDB_txn *txn, const struct vault_kind *kind,
		     const struct vault_rows *rows, const struct vault_reader *reader,
		     struct failure *failure)
{
	return open_rows(vault, txn, kind, rows, reader, vault->body, failure);
}

/* ---- a class ---- */

struct loading {
	struct vault *vault;
	const struct vault_kind *kind;
	const struct vault_visitor *visitor;
	struct owner **by_leaf; /* of kinds that have owners */
	uint32_t end;
};

static bool give(void *self, const struct vault_row *row, struct slice body,
		 struct failure *failure)
{
	const struct loading *loading = self;
	const struct vault_visitor *visitor = loading->visitor;
	uint64_t owner = row->key_number;

	if (loading->kind->under != UNDER_DAY) {
		must(row->key_number < loading->end && loading->by_leaf[row->key_number] != NULL);
		owner = loading->by_leaf[row->key_number]->row;
	}
	return visitor->row(visitor->self, row->row, owner, body, failure);
}

static bool load_all(void *self, MDB_txn *txn, struct failure *failure)
{
	struct loading *loading = self;
	const struct vault_kind *kind = loading->kind;
	const struct vault_reader reader = {loading, give};
	struct vault_rows rows = {0};
	bool ok;

	loading->by_leaf = owners_by_leaf(&loading->vault->owners, OWNER_ACCOUNT, &loading->end);
	ok = vault_collect(loading->vault, txn, kind->table, kind->class, &rows, failure) &&
	     vault_open_rows(loading->vault, txn, kind, &rows, &reader, failure);
	vault_rows_free(&rows);
	free(loading->by_leaf);
	return ok;
}

/* ---- a class of days: there may be very many rows, and a person may ask for them at any time */

/* Rows that are copied at a time: the file is locked for as long, and not while they are opened. */
#define COPY_AT_ONCE 512u

struct copying {
	struct vault *vault;
	const struct vault_kind *kind;
	struct datafile_part part;
	struct vault_rows rows;
	struct vault_row kept[COPY_AT_ONCE];
	size_t at[COPY_AT_ONCE]; /* where the record of each begins in: */
	uint8_t *bytes;
	size_t len, room;
	uint8_t body[SEALED_BODY_MAX];
};

static bool copy_one(void *self, uint64_t row, struct slice record, struct failure *failure)
{
	struct copying *copying = self;
	struct vault_row *copy = &copying->kept[copying->rows.count];

	*copy = (struct vault_row){.row = row, .record = {.len = record.len}};
	if (!sealed_record_look(record, copying->kind->class, &copy->key_number, failure))
		return datafile_damaged(&copying->vault->file, copying->kind->table, row, failure);
	if (copying->room - copying->len < record.len) {
		copying->room = 2 * (copying->room + record.len);
		copying->bytes = realloc(copying->bytes, copying->room);
		must(copying->bytes != NULL);
	}
	memcpy(copying->bytes + copying->len, record.at, record.len);
	copying->at[copying->rows.count++] = copying->len;
	copying->len += record.len;
	return true;
}

static bool copy_part(void *self, MDB_txn *txn, struct failure *failure)
{
	struct copying *copying = self;

	copying->part.rows = COPY_AT_ONCE;
	copying->rows = (struct vault_rows){.at = copying->kept};
	copying->len = 0;
	return datafile_walk_part(&copying->vault->file, txn, copying->kind->table, &copying->part,
				  copying, copy_one, failure);
}

static bool open_part(struct copying *copying, const struct vault_reader *reader,
		      struct failure *failure)
{
	struct vault_rows *rows = &copying->rows;

	for (size_t i = 0; i < rows->count; i++)
		rows->at[i].record.at = copying->bytes + copying->at[i];
	if (rows->count > 0)
		qsort(rows->at, rows->count, sizeof(*rows->at), by_key);
	return open_rows(copying->vault, NULL, copying->kind, rows, reader, copying->body, failure);
}

static bool load_parts(struct loading *loading, struct failure *failure)
{
	struct copying *copying = calloc(1, sizeof(*copying));
	const struct vault_reader reader = {loading, give};
	bool ok = true;

	must(copying != NULL);
	copying->vault = loading->vault;
	copying->kind = loading->kind;
	while (ok && !copying->part.over)
		ok = datafile_read(&loading->vault->file, copying, copy_part, failure) &&
		     open_part(copying, &reader, failure);
	free(copying->bytes);
	free(copying);
	return ok;
}

bool vault_load(struct vault *vault, enum vault_class class, const struct vault_visitor *visitor,
		struct failure *failure)
{
	struct loading loading = {vault, vault_kind(class), visitor, NULL, 0};

	if (loading.kind->under == UNDER_DAY)
		return load_parts(&loading, failure);
	return datafile_read(&vault->file, &loading, load_all, failure);
}

/* ---- days ---- */

/* Rows that are looked at in one transaction: others wait for as long. */
#define SWEEP_AT_ONCE 512u

struct sweeping {
	struct vault *vault;
	const struct vault_kind *kind;
	struct datafile_part next; /* to be looked at, once `part` is committed */
	struct datafile_part part;
	uint64_t dead[SWEEP_AT_ONCE];
	size_t count;
	bool have_last; /* is there a key that was looked for? */
	uint32_t last;
	bool last_lives;
};

/* A row whose day's key is gone. */
static bool look_for_dead(void *self, uint64_t row, struct slice record, struct failure *failure)
{
	struct sweeping *sweeping = self;
	uint32_t day;
	uint8_t key[SEAL_KEY_LEN];

	if (!sealed_record_look(record, sweeping->kind->class, &day, failure))
		return datafile_damaged(&sweeping->vault->file, sweeping->kind->table, row,
					failure);
	if (!sweeping->have_last || sweeping->last != day) {
		sweeping->have_last = true;
		sweeping->last = day;
		sweeping->last_lives =
		    keyring_get(sweeping->vault->keyring, sweeping->kind->day, day, key);
		explicit_bzero(key, sizeof(key));
	}
	if (!sweeping->last_lives)
		sweeping->dead[sweeping->count++] = row;
	return true;
}

/* When the map had to grow this comes again, and begins anew. */
static int sweep_part(void *self, MDB_txn *txn, struct failure *failure)
{
	struct sweeping *sweeping = self;
	struct datafile *file = &sweeping->vault->file;
	const enum data_table table = sweeping->kind->table;
	int code = 0;

	sweeping->part = sweeping->next;
	sweeping->count = 0;
	if (!datafile_walk_part(file, txn, table, &sweeping->part, sweeping, look_for_dead,
				failure))
		return DATAFILE_TOLD;
	for (size_t i = 0; i < sweeping->count && code == 0; i++)
		code = datafile_delete(file, txn, table, sweeping->dead[i]);
	return code;
}

bool vault_sweep(struct vault *vault, enum vault_class class, struct failure *failure)
{
	struct sweeping sweeping = {
	    .vault = vault, .kind = vault_kind(class), .next = {.rows = SWEEP_AT_ONCE}};
	const struct datafile_work work = {&sweeping, sweep_part, NULL};
	bool ok = true;

	while (ok && !sweeping.next.over) {
		ok = datafile_write(&vault->file, &work, failure);
		sweeping.next = sweeping.part;
	}
	return ok;
}

bool vault_forget_day(struct vault *vault, enum vault_class class, uint64_t day,
		      struct failure *failure)
{
	const struct vault_kind *kind = vault_kind(class);

	must(kind->under == UNDER_DAY);
	return keyring_destroy(vault->keyring, kind->day, day, failure) &&
	       vault_sweep(vault, class, failure);
}
