/* payload_memory.c - see payload_memory.h. */
#include "broker/payload_memory.h"
#include <sys/mman.h>
#include <unistd.h>

#define SPANS (PAYLOAD_REGION / ARENA_SPAN) /* with the first, which is the region's own */

/* At the front of a region: it is found by the address of any of its spans. */
struct payload_region {
	struct payload_region *next, *previous; /* in payload_memory->open */
	size_t bytes;				/* of the mapping; more for a single large block */
	uint64_t free;				/* bits: spans that nobody has */
	uint64_t kept;				/* bits, of those: with pages that were used */
	uint32_t locked;			/* spans from the front on */
	bool exposed;				/* in core dumps, or in children */
};

_Static_assert(SPANS == 64, "a bit for each span");

#define ALL_FREE (~UINT64_C(1)) /* the first is the region's own */

static struct payload_region *region_of(const void *at)
{
	return (struct payload_region *)((uintptr_t)at & ~(uintptr_t)(PAYLOAD_REGION - 1));
}

/* ---- regions ---- */

/* Aligned to PAYLOAD_REGION: what is mapped too much around it goes back at once. */
static void *map(size_t bytes)
{
	size_t room = bytes + PAYLOAD_REGION;
	uint8_t *at = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(at != MAP_FAILED);
	size_t before = -(uintptr_t)at & (PAYLOAD_REGION - 1);
	if (before > 0)
		must(munmap(at, before) == 0);
	if (before < PAYLOAD_REGION)
		must(munmap(at + before + bytes, PAYLOAD_REGION - before) == 0);
	return at + before;
}

/* Locks as many spans from the front on as the limit allows, by halves. */
static uint32_t lock_some(uint8_t *region, uint32_t spans)
{
	uint32_t locked = 0;
	for (uint32_t step = spans; step > 0;) {
		if (mlock2(region + (size_t)locked * ARENA_SPAN, (size_t)step * ARENA_SPAN,
			   MLOCK_ONFAULT) == 0)
			locked += step;
		if (step > spans - locked)
			step = spans - locked;
		else
			step /= 2;
	}
	return locked;
}

static struct payload_region *make_region(struct payload_memory *memory, size_t bytes)
{
	uint8_t *at = map(bytes);
	bool exposed =
	    madvise(at, bytes, MADV_DONTDUMP) != 0 || madvise(at, bytes, MADV_WIPEONFORK) != 0;
	uint32_t spans = (uint32_t)(bytes / ARENA_SPAN);
	struct payload_region *region = (void *)at;
	region->locked = memory->all_locked ? spans : lock_some(at, spans);
	region->bytes = bytes;
	region->exposed = exposed;
	if (exposed)
		atomic_fetch_add_explicit(&memory->exposed_bytes, bytes, memory_order_relaxed);
	return region;
}

static void unmap_region(struct payload_memory *memory, struct payload_region *region)
{
	if (region->exposed)
		atomic_fetch_sub_explicit(&memory->exposed_bytes, region->bytes,
					  memory_order_relaxed);
	must(munmap(region, region->bytes) == 0);
}

static struct payload_region **list_of(struct payload_memory *memory,
				       const struct payload_region *region)
{
	return &memory->open[region->locked > 1 ? 0 : 1];
}

static void link_region(struct payload_memory *memory, struct payload_region *region)
{
	struct payload_region **head = list_of(memory, region);
	region->previous = NULL;
	region->next = *head;
	if (*head)
		(*head)->previous = region;
	*head = region;
}

static void unlink_region(struct payload_memory *memory, struct payload_region *region)
{
	if (region->previous)
		region->previous->next = region->next;
	else
		*list_of(memory, region) = region->next;
	if (region->next)
		region->next->previous = region->previous;
}

/* ---- spans ---- */

/* The first of `count` free spans in a row; 0 when there are not so many. */
static uint32_t find_spans(const struct payload_region *region, uint32_t count)
{
	uint64_t starts = region->free;
	for (uint32_t i = 1; i < count && starts != 0; i++)
		starts &= region->free >> i;
	return starts ? (uint32_t)__builtin_ctzll(starts) : 0;
}

static uint64_t bits_of(uint32_t first, uint32_t count)
{
	return ((UINT64_C(1) << count) - 1) << first; /* count < SPANS */
}

/* How many bytes of the spans from `first` on lie in front of where the lock ends. */
static size_t locked_part(const struct payload_region *region, size_t first, size_t count)
{
	size_t locked = region->locked > first ? region->locked - first : 0;
	return (locked < count ? locked : count) * ARENA_SPAN;
}

static void count_in(struct payload_memory *memory, const struct payload_region *region,
		     size_t first, size_t count)
{
	atomic_fetch_add_explicit(&memory->bytes, count * ARENA_SPAN, memory_order_relaxed);
	atomic_fetch_add_explicit(&memory->locked_bytes, locked_part(region, first, count),
				  memory_order_relaxed);
}

static void count_out(struct payload_memory *memory, const struct payload_region *region,
		      size_t first, size_t count)
{
	atomic_fetch_sub_explicit(&memory->bytes, count * ARENA_SPAN, memory_order_relaxed);
	atomic_fetch_sub_explicit(&memory->locked_bytes, locked_part(region, first, count),
				  memory_order_relaxed);
}

/* Spans of several are rare, and a region that was searched in vain costs: not all are. */
#define TRIES 8

static struct payload_region *add_region(struct payload_memory *memory)
{
	struct payload_region *region = make_region(memory, PAYLOAD_REGION);
	region->free = ALL_FREE;
	link_region(memory, region);
	return region;
}

static struct payload_region *region_with(struct payload_memory *memory, uint32_t count,
					  uint32_t *first)
{
	int tries = 0;
	for (int i = 0; i < 2; i++)
		for (struct payload_region *region = memory->open[i]; region && tries < TRIES;
		     region = region->next, tries++)
			if ((*first = find_spans(region, count)) != 0)
				return region;
	*first = 1;
	return add_region(memory);
}

static void *take_spans(struct payload_memory *memory, uint32_t count)
{
	uint32_t first;
	struct payload_region *region = region_with(memory, count, &first);
	uint64_t bits = bits_of(first, count);
	memory->kept -= (uint32_t)__builtin_popcountll(region->kept & bits);
	region->kept &= ~bits;
	region->free &= ~bits;
	if (region->free == 0)
		unlink_region(memory, region);
	count_in(memory, region, first, count);
	return (uint8_t *)region + (size_t)first * ARENA_SPAN;
}

/* Pages that nobody needs go back, unless a kernel before 5.18 keeps the locked ones. */
static void give_pages(const struct payload_region *region, uint8_t *at, uint32_t count)
{
	size_t bytes = (size_t)count * ARENA_SPAN;
	int advice = region->locked > 0 ? MADV_DONTNEED_LOCKED : MADV_DONTNEED;
	madvise(at, bytes, advice);
}

static void drop_region(struct payload_memory *memory, struct payload_region *region)
{
	memory->kept -= (uint32_t)__builtin_popcountll(region->kept);
	unlink_region(memory, region);
	unmap_region(memory, region);
}

/* Those that are empty as a whole, and of others the pages. */
static void drop_kept(struct payload_memory *memory, struct payload_region *region)
{
	if (region->free == ALL_FREE) {
		drop_region(memory, region);
		return;
	}
	for (; region->kept != 0; region->kept &= region->kept - 1) {
		size_t i = (size_t)__builtin_ctzll(region->kept);
		give_pages(region, (uint8_t *)region + i * ARENA_SPAN, 1);
		memory->kept--;
	}
}

static void drop_all_kept(struct payload_memory *memory)
{
	for (int i = 0; i < 2; i++)
		for (struct payload_region *next, *region = memory->open[i]; region;
		     region = next) {
			next = region->next;
			drop_kept(memory, region);
		}
}

static void give_spans(struct payload_memory *memory, struct payload_region *region, uint8_t *at,
		       uint32_t count)
{
	uint32_t first = (uint32_t)((size_t)(at - (uint8_t *)region) / ARENA_SPAN);
	uint64_t bits = bits_of(first, count);
	must((region->free & bits) == 0);
	count_out(memory, region, first, count);
	if (region->free == 0)
		link_region(memory, region);
	region->free |= bits;
	if (memory->kept + count <= PAYLOAD_KEPT) {
		region->kept |= bits;
		memory->kept += count;
	} else if (region->free == ALL_FREE) {
		drop_region(memory, region);
	} else {
		give_pages(region, at, count);
	}
}

/* ---- blocks larger than a region: one mapping each ---- */

static void *take_large(struct payload_memory *memory, size_t count)
{
	struct payload_region *region = make_region(memory, (count + 1) * ARENA_SPAN);
	count_in(memory, region, 1, count);
	return (uint8_t *)region + ARENA_SPAN;
}

static void give_large(struct payload_memory *memory, struct payload_region *region, size_t count)
{
	count_out(memory, region, 1, count);
	unmap_region(memory, region);
}

/* ---- the source ---- */

static size_t spans_for(size_t bytes)
{
	return (bytes + ARENA_SPAN - 1) / ARENA_SPAN;
}

static void *take(void *self, size_t bytes)
{
	struct payload_memory *memory = self;
	size_t count = spans_for(bytes);
	if (count >= SPANS)
		return take_large(memory, count);
	pthread_mutex_lock(&memory->lock);
	void *at = take_spans(memory, (uint32_t)count);
	pthread_mutex_unlock(&memory->lock);
	return at;
}

static void give(void *self, void *at, size_t bytes)
{
	struct payload_memory *memory = self;
	struct payload_region *region = region_of(at);
	size_t count = spans_for(bytes);
	if (count >= SPANS) {
		give_large(memory, region, count);
		return;
	}
	pthread_mutex_lock(&memory->lock);
	give_spans(memory, region, at, (uint32_t)count);
	pthread_mutex_unlock(&memory->lock);
}

static void calm(void *self)
{
	struct payload_memory *memory = self;
	pthread_mutex_lock(&memory->lock);
	drop_all_kept(memory);
	pthread_mutex_unlock(&memory->lock);
}

void payload_memory_init(struct payload_memory *memory, bool all_locked)
{
	*memory = (struct payload_memory){.all_locked = all_locked};
	must(pthread_mutex_init(&memory->lock, NULL) == 0);
	add_region(memory);
}

void payload_memory_finish(struct payload_memory *memory)
{
	drop_all_kept(memory);
	pthread_mutex_destroy(&memory->lock);
}

struct span_source payload_memory_source(struct payload_memory *memory)
{
	return (struct span_source){.self = memory, .take = take, .give = give, .calm = calm};
}
