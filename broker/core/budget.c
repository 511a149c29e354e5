/* budget.c - see budget.h. */
#include "broker/core/budget.h"

/* What a purse takes at once; each shard may hold this much idle. */
#define QUANTUM ((int64_t)64 * 1024)

void budget_init(struct budget *budget, uint64_t limit)
{
	atomic_init(&budget->used, 0);
	atomic_init(&budget->sessions, 0);
	atomic_init(&budget->retained, 0);
	atomic_init(&budget->retained_bytes, 0);
	atomic_init(&budget->limit, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
	arena_init(&budget->arena);
}

bool budget_finish(struct budget *budget)
{
	return arena_finish(&budget->arena) == 0;
}

void purse_init(struct purse *purse, struct budget *budget)
{
	*purse = (struct purse){.budget = budget, .shelf = arena_shelf(&budget->arena)};
}

void purse_finish(struct purse *purse)
{
	atomic_fetch_sub_explicit(&purse->budget->used, purse->left, memory_order_relaxed);
	purse->left = 0;
}

static int64_t missing(const struct purse *purse, size_t n)
{
	int64_t need = (int64_t)n - purse->left;
	return need < QUANTUM ? QUANTUM : need;
}

static void fetch(struct purse *purse, int64_t n)
{
	atomic_fetch_add_explicit(&purse->budget->used, n, memory_order_relaxed);
	purse->left += n;
}

bool purse_allows(const struct purse *purse, size_t n)
{
	if (purse->left >= (int64_t)n)
		return true;
	int64_t used = atomic_load_explicit(&purse->budget->used, memory_order_relaxed);
	int64_t limit = atomic_load_explicit(&purse->budget->limit, memory_order_relaxed);
	return used <= limit - missing(purse, n);
}

bool purse_tight(const struct purse *purse)
{
	int64_t used = atomic_load_explicit(&purse->budget->used, memory_order_relaxed);
	int64_t limit = atomic_load_explicit(&purse->budget->limit, memory_order_relaxed);
	return used >= limit - limit / 8;
}

bool purse_take(struct purse *purse, size_t n)
{
	if (!purse_allows(purse, n))
		return false;
	purse_force(purse, n);
	return true;
}

void purse_force(struct purse *purse, size_t n)
{
	if (purse->left < (int64_t)n)
		fetch(purse, missing(purse, n));
	purse->left -= (int64_t)n;
	purse->charged += (int64_t)n;
}

void purse_give(struct purse *purse, size_t n)
{
	purse->left += (int64_t)n;
	purse->charged -= (int64_t)n;
	if (purse->left > 2 * QUANTUM)
		fetch(purse, QUANTUM - purse->left);
}
