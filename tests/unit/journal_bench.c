/* journal_bench.c - see journal_bench.h. */
#include "tests/unit/journal_bench.h"
#include "tests/lib/rows.h"

#include <check.h>

static struct failure failure;

/* ---- rows, as a store would keep them ---- */

#define ROWS_MAX 100000u

struct kept {
	uint8_t *at[ROWS_MAX]; /* by number; NULL for none */
	size_t len[ROWS_MAX];
	uint64_t end; /* behind the last number */
};

static struct kept kept;

void kept_clear(void)
{
	for (uint64_t i = 0; i < kept.end; i++)
		free(kept.at[i]);
	kept = (struct kept){0};
}

size_t kept_bytes(void)
{
	size_t bytes = 0;

	for (uint64_t i = 0; i < kept.end; i++)
		bytes += kept.at[i] != NULL ? kept.len[i] : 0;
	return bytes;
}

uint64_t kept_count(void)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < kept.end; i++)
		count += kept.at[i] != NULL;
	return count;
}

static void kept_write(const struct journal *journal, const struct journal_write *write)
{
	for (uint64_t i = 0; i < write->count; i++) {
		struct slice row = journal_row(journal, i);
		uint64_t number = write->first + i;

		ck_assert_uint_lt(number, ROWS_MAX);
		ck_assert(row.len > 0 && row.len <= JOURNAL_BODY_MAX);
		ck_assert_uint_ge(number, kept.end);
		kept.at[number] = malloc(row.len);
		ck_assert_ptr_nonnull(kept.at[number]);
		memcpy(kept.at[number], row.at, row.len);
		kept.len[number] = row.len;
		kept.end = number + 1;
	}
	for (uint64_t number = write->oldest; number < write->stay; number++) {
		free(kept.at[number]);
		kept.at[number] = NULL;
	}
}

struct slice kept_row(uint64_t number)
{
	ck_assert_uint_lt(number, ROWS_MAX);
	return slice_of(kept.at[number], kept.len[number]);
}

/* One commit of these batches; false: it is refused. */
void kept_commit_batches(struct journal *journal, struct store_batch *const *batches, size_t count,
			 bool works)
{
	struct journal_write write = journal_prepare(journal, batches, count);

	if (works)
		kept_write(journal, &write);
	journal_finish(journal, batches, count, works);
}

void kept_commit(struct journal *journal, const struct store_step *steps, size_t count, bool works)
{
	struct store_batch *batch = rows_batch(NULL, 0);

	batch->step_count = count;
	batch->steps = (struct store_step *)(uintptr_t)steps;
	kept_commit_batches(journal, &batch, 1, works);
	free(batch);
}

void kept_end_session(struct journal *journal, uint64_t row)
{
	struct store_op op = rows_delete(STORE_DELETE_SESSION, row);
	struct store_batch *batch = rows_batch(&op, 1);

	kept_commit_batches(journal, &batch, 1, true);
	free(batch);
}

bool kept_all_live(void *self, uint64_t row)
{
	(void)self;
	(void)row;
	return true;
}

struct journal *kept_journal(void)
{
	struct journal *journal = journal_create();

	journal_settle(journal, NULL, kept_all_live);
	return journal;
}

/* Another journal made of the rows that are kept. */
struct journal *kept_replayed(bool (*lives)(void *self, uint64_t row))
{
	struct journal *journal = journal_create();

	for (uint64_t i = 0; i < kept.end; i++)
		if (kept.at[i] != NULL)
			ck_assert_msg(
			    journal_replay(journal, i, slice_of(kept.at[i], kept.len[i]), &failure),
			    "%s", failure.text);
	journal_settle(journal, NULL, lives);
	return journal;
}

/* ---- what a journal, or the model, says ---- */

void steps_add(void *self, const struct store_step *step)
{
	struct step_list *list = self;

	ck_assert_uint_lt(list->count, STEPS_MAX);
	list->at[list->count++] = *step;
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

int step_compare(const void *first, const void *second)
{
	const struct store_step *a = first;
	const struct store_step *b = second;
	int order = compare(a->row, b->row);

	order = order != 0 ? order : compare(a->type, b->type);
	order = order != 0 ? order : compare(a->packet_id, b->packet_id);
	order = order != 0 ? order : compare(a->envelope, b->envelope);
	order = order != 0 ? order : compare(a->group, b->group);
	return order != 0 ? order : compare(a->count, b->count);
}

bool steps_same(const struct step_list *a, const struct step_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (step_compare(&a->at[i], &b->at[i]) != 0)
			return false;
	return true;
}

/* Sorted, each one once: an end that was said twice may be remembered twice. */
void steps_tidy(struct step_list *list)
{
	size_t n = 0;

	qsort(list->at, list->count, sizeof(list->at[0]), step_compare);
	for (size_t i = 0; i < list->count; i++)
		if (n == 0 || step_compare(&list->at[n - 1], &list->at[i]) != 0)
			list->at[n++] = list->at[i];
	list->count = n;
}

void steps_visit(const struct journal *journal, struct step_list *list)
{
	const struct store_visitor visitor = {.self = list, .step = steps_add};

	list->count = 0;
	journal_visit(journal, &visitor);
	steps_tidy(list);
}

/* How many things of this type a journal knows. */
size_t steps_known(const struct journal *journal, enum store_step_type type)
{
	static struct step_list list;
	size_t count = 0;

	steps_visit(journal, &list);
	for (size_t i = 0; i < list.count; i++)
		count += list.at[i].type == type;
	return count;
}
