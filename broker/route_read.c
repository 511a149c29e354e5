/* route_read.c - see route_thread.h: reads what is kept, on the asking thread. */
#include "broker/route_thread_internal.h"

#include "storage/route/route_file.h"
#include <stdlib.h>

/* The file is locked for so many at a time. */
#define CHUNK 32u

/* A row of the table, by epoch and then in the order in which it came. */
struct place {
	uint32_t epoch;
	uint32_t order;
	uint64_t row;
};

struct chunk {
	size_t len[CHUNK]; /* 0: not there any more */
	uint8_t records[CHUNK][ROUTE_RECORD_MAX];
	struct route_block block;
};

static int by_epoch(const void *a, const void *b)
{
	const struct place *first = a;
	const struct place *second = b;

	if (first->epoch != second->epoch)
		return first->epoch < second->epoch ? -1 : 1;
	return first->order < second->order ? -1 : first->order > second->order;
}

static struct place *list_all(struct route_thread *thread, size_t *count)
{
	pthread_mutex_lock(&thread->mutex);
	struct place *places = calloc(thread->shelf.count + 1, sizeof(*places));

	must(places);
	*count = thread->shelf.count;
	for (size_t i = 0; i < *count; i++) {
		const struct route_entry *entry = route_shelf_at(&thread->shelf, i);

		places[i] = (struct place){entry->epoch, (uint32_t)i, entry->row};
	}
	pthread_mutex_unlock(&thread->mutex);
	qsort(places, *count, sizeof(*places), by_epoch);
	return places;
}

static void copy(void *self, size_t i, struct slice record)
{
	struct chunk *chunk = self;

	if (record.len > ROUTE_RECORD_MAX)
		return;
	memcpy(chunk->records[i], record.at, record.len);
	chunk->len[i] = record.len;
}

/* One whose key has gone since is as good as deleted. */
static void open_one(struct route_thread *thread, const struct route_reader *reader,
		     const struct place *place, struct chunk *chunk, size_t i)
{
	uint8_t key[SEAL_KEY_LEN];
	struct failure failure;

	if (chunk->len[i] == 0 || !hour_keys_find(thread->keys, place->epoch, key))
		return;
	if (route_record_open(slice_of(chunk->records[i], chunk->len[i]), place->row, key,
			      &chunk->block, &failure))
		reader->block(reader->self, &chunk->block);
	explicit_bzero(key, sizeof(key));
}

static bool read_chunk(struct route_thread *thread, const struct route_reader *reader,
		       const struct place *places, size_t count, struct chunk *chunk,
		       struct failure *failure)
{
	uint64_t rows[CHUNK] = {0};

	for (size_t i = 0; i < count; i++) {
		rows[i] = places[i].row;
		chunk->len[i] = 0;
	}
	if (!route_file_read(thread->vault, rows, count, chunk, copy, failure))
		return false;
	for (size_t i = 0; i < count; i++)
		open_one(thread, reader, &places[i], chunk, i);
	return true;
}

bool route_thread_read(struct route_thread *thread, const struct route_reader *reader,
		       struct failure *failure)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk));
	size_t count;
	struct place *places = list_all(thread, &count);
	bool good = true;

	must(chunk);
	for (size_t at = 0; at < count && good; at += CHUNK)
		good = read_chunk(thread, reader, places + at,
				  count - at < CHUNK ? count - at : CHUNK, chunk, failure);
	free(places);
	explicit_bzero(chunk, sizeof(*chunk));
	free(chunk);
	return good;
}
