/* route_file.c - see route_file.h. */
#include "storage/route/route_file.h"

#include "storage/vault_internal.h"

struct changing {
	struct datafile *file;
	const struct route_change *change;
};

static int apply_change(void *self, MDB_txn *txn, struct failure *failure)
{
	const struct changing *changing = self;
	const struct route_change *change = changing->change;
	int code = 0;

	(void)failure;
	/* First what gives pages back, so that what comes can have them. */
	for (size_t i = 0; i < change->delete_count && code == 0; i++)
		code = datafile_delete(changing->file, txn, TABLE_ROUTES, change->deletes[i]);
	for (size_t i = 0; i < change->put_count && code == 0; i++)
		code = datafile_put(changing->file, txn, TABLE_ROUTES, change->puts[i].row,
				    change->puts[i].record, 0);
	return code;
}

bool route_file_change(struct vault *vault, const struct route_change *change,
		       struct failure *failure)
{
	struct changing changing = {&vault->file, change};
	struct datafile_work work = {.self = &changing, .apply = apply_change};

	return datafile_write(&vault->file, &work, failure);
}

static int apply_clear(void *self, MDB_txn *txn, struct failure *failure)
{
	const struct datafile *file = self;

	(void)failure;
	return mdb_drop(txn, file->tables[TABLE_ROUTES], 0);
}

bool route_file_clear(struct vault *vault, struct failure *failure)
{
	struct datafile_work work = {.self = &vault->file, .apply = apply_clear};

	return datafile_write(&vault->file, &work, failure);
}

struct reading {
	struct datafile *file;
	const uint64_t *rows;
	size_t count;
	void *self;
	void (*give)(void *self, size_t i, struct slice record);
};

static bool read_rows(void *self, MDB_txn *txn, struct failure *failure)
{
	const struct reading *reading = self;

	for (size_t i = 0; i < reading->count; i++) {
		struct slice record;
		int code =
		    datafile_get(reading->file, txn, TABLE_ROUTES, reading->rows[i], &record);

		if (code == 0)
			reading->give(reading->self, i, record);
		else if (code != MDB_NOTFOUND)
			return datafile_fail(reading->file, "cannot be read", code, failure);
	}
	return true;
}

bool route_file_read(struct vault *vault, const uint64_t *rows, size_t count, void *self,
		     void (*give)(void *self, size_t i, struct slice record),
		     struct failure *failure)
{
	struct reading reading = {&vault->file, rows, count, self, give};

	return datafile_read(&vault->file, &reading, read_rows, failure);
}
