/* route_read.c - see route_thread.h: reads what is kept, on the asking thread. */
#include "broker/route_thread_internal.h"

#include "broker/log.h"
#include "storage/route/route_file.h"
#include <inttypes.h>
#include <stdlib.h>

/* The file is locked for so many at a time. */
#define CHUNK 32u

/* A row of the table, by epoch and then in the order in which it came. */
struct place {
	uint32_t epoch;
	uint32_t order;
	uint64_t row;
	uint32_t rows; /* of deliveries */
};

/* One who reads, and what was found to be unreadable so far. */
struct reading {
	struct route_thread *thread;
	const struct route_reader *reader;
	uint64_t damaged; /* rows */
	uint64_t news;	  /* those of them that nobody knew of */
	size_t near;	  /* of route_shelf_note_damage() */
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

		places[i] = (struct place){entry->epoch, (uint32_t)i, entry->row, entry->rows};
	}
	pthread_mutex_unlock(&thread->mutex);
	qsort(places, *count, sizeof(*places), by_epoch);
	return places;
}

static void copy(void *self, size_t i, struct slice record)
{
	struct chunk *chunk = self;

	chunk->len[i] = record.len;
	if (record.len <= ROUTE_RECORD_MAX)
		memcpy(chunk->records[i], record.at, record.len);
}

static bool opens(struct chunk *chunk, size_t i, uint64_t row, const uint8_t key[SEAL_KEY_LEN])
{
	struct failure ignored;

	return chunk->len[i] <= ROUTE_RECORD_MAX &&
	       route_record_open(slice_of(chunk->records[i], chunk->len[i]), row, key,
				 &chunk->block, &ignored);
}

static void note_damage(struct reading *reading, const struct place *place)
{
	struct route_thread *thread = reading->thread;

	reading->damaged += place->rows;
	pthread_mutex_lock(&thread->mutex);
	if (route_shelf_note_damage(&thread->shelf, place->row, &reading->near)) {
		thread->counters.rows_damaged += place->rows;
		reading->news += place->rows;
	}
	pthread_mutex_unlock(&thread->mutex);
}

/* One whose key has gone since is as good as deleted. */
static void open_one(struct reading *reading, const struct place *place, struct chunk *chunk,
		     size_t i)
{
	const struct route_reader *reader = reading->reader;
	uint8_t key[SEAL_KEY_LEN];

	if (chunk->len[i] == 0 || !hour_keys_find(reading->thread->keys, place->epoch, key))
		return;
	if (opens(chunk, i, place->row, key))
		reader->block(reader->self, &chunk->block);
	else
		note_damage(reading, place);
	explicit_bzero(key, sizeof(key));
}

static bool read_chunk(struct reading *reading, const struct place *places, size_t count,
		       struct chunk *chunk, struct failure *failure)
{
	uint64_t rows[CHUNK] = {0};

	for (size_t i = 0; i < count; i++) {
		rows[i] = places[i].row;
		chunk->len[i] = 0;
	}
	if (!route_file_read(reading->thread->vault, rows, count, chunk, copy, failure))
		return false;
	for (size_t i = 0; i < count; i++)
		open_one(reading, &places[i], chunk, i);
	return true;
}

static void tell_damage(const struct reading *reading)
{
	if (reading->news > 0)
		log_write(LOG_LEVEL_ERROR, "route",
			  "data.mdb is damaged: %" PRIu64 " route rows cannot be read, and are "
			  "missing in what `metrino traffic` and exports say",
			  reading->news);
}

bool route_thread_read(struct route_thread *thread, const struct route_reader *reader,
		       uint64_t *damaged, struct failure *failure)
{
	struct reading reading = {.thread = thread, .reader = reader};
	struct chunk *chunk = calloc(1, sizeof(*chunk));
	size_t count;
	struct place *places = list_all(thread, &count);
	bool good = true;

	must(chunk);
	for (size_t at = 0; at < count && good; at += CHUNK)
		good = read_chunk(&reading, places + at, count - at < CHUNK ? count - at : CHUNK,
				  chunk, failure);
	*damaged = reading.damaged;
	tell_damage(&reading);
	free(places);
	explicit_bzero(chunk, sizeof(*chunk));
	free(chunk);
	return good;
}
