/* arena.c - see arena.h. */
#include "broker/core/arena.h"
#include "broker/core/memory.h"
#include <stdlib.h>

/* Whoever goes up and down by less than this asks the source for nothing. */
#define SPARE_MAX 32u

/* A span of its own: for one block that is larger than half of a usual one. */
#define OWN_SPAN ARENA_CLASSES

struct block {
	struct block *next;
};

struct span {
	struct shelf *shelf;
	struct span *next, *previous; /* in shelf->open, or next spare one */
	struct block *free;
	uint32_t used;	/* blocks in use */
	uint32_t fresh; /* blocks given at least once: those behind were never touched */
	uint32_t room;	/* blocks that it holds */
	uint32_t kind;	/* index into sizes, or OWN_SPAN */
	size_t bytes;	/* of all of it */
	uint8_t pad[8]; /* blocks begin at a multiple of a cache line */
};

#define HEAD ARENA_HEAD
#define BODY (ARENA_SPAN - HEAD)

_Static_assert(sizeof(struct span) == HEAD, "blocks begin behind the head");

/*
 * Four sizes between a power of two and the next, so that a fifth is wasted at most; the large ones
 * are parts of a span, so that nothing is left over at its end.
 */
static const uint16_t sizes[ARENA_CLASSES] = {
    64,	  80,	96,   112,  128,  160,	 192,	224,   256,   320,   384,  448,
    512,  640,	768,  896,  1024, 1280,	 1536,	1792,  2048,  2560,  3072, 3584,
    4096, 5456, 6544, 8176, 9344, 10912, 13088, 16368, 21824, 32736,
};

#define REGULAR	     4096u /* up to here the sizes follow from the bits of a number */
#define REGULAR_LAST 24u

static uint32_t class_of(size_t n)
{
	if (n <= sizes[0])
		return 0;
	if (n <= REGULAR) {
		uint32_t x = (uint32_t)n - 1;
		uint32_t power = 31u - (uint32_t)__builtin_clz(x);
		return (power - 6) * 4 + (x >> (power - 2) & 3) + 1;
	}
	uint32_t kind = REGULAR_LAST + 1;
	while (kind < ARENA_CLASSES && sizes[kind] < n)
		kind++;
	return kind; /* OWN_SPAN when none is large enough */
}

static struct span *span_of(const void *at)
{
	return (struct span *)((uintptr_t)at & ~(uintptr_t)(ARENA_SPAN - 1));
}

/* ---- spans ---- */

static void open_span(struct span *span)
{
	struct span **head = &span->shelf->open[span->kind];
	span->previous = NULL;
	span->next = *head;
	if (*head)
		(*head)->previous = span;
	*head = span;
}

/* It is full, or empty: nobody looks for a block in it. */
static void shut_span(struct span *span)
{
	if (span->previous)
		span->previous->next = span->next;
	else
		span->shelf->open[span->kind] = span->next;
	if (span->next)
		span->next->previous = span->previous;
}

/* The block of a span of its own may be of any size. */
static struct span *make_span(struct shelf *shelf, size_t bytes)
{
	struct span *span = shelf->source.take(shelf->source.self, bytes);
	*span = (struct span){.shelf = shelf, .bytes = bytes};
	atomic_fetch_add_explicit(&shelf->span_count, 1, memory_order_relaxed);
	return span;
}

static struct span *span_for(struct shelf *shelf, uint32_t kind)
{
	struct span *span = shelf->spare;
	if (span) {
		shelf->spare = span->next;
		shelf->spare_count--;
	} else
		span = make_span(shelf, ARENA_SPAN);
	*span = (struct span){
	    .shelf = shelf, .room = BODY / sizes[kind], .kind = kind, .bytes = ARENA_SPAN};
	open_span(span);
	return span;
}

/* Of one's own shelf; and a span of its own of any shelf. */
static void give_up(struct span *span)
{
	struct shelf *shelf = span->shelf;
	atomic_fetch_sub_explicit(&shelf->span_count, 1, memory_order_relaxed);
	shelf->source.give(shelf->source.self, span, span->bytes);
}

static void put_by(struct shelf *shelf, struct span *span)
{
	shut_span(span);
	if (shelf->spare_count == SPARE_MAX) {
		give_up(span);
		return;
	}
	span->next = shelf->spare;
	shelf->spare = span;
	shelf->spare_count++;
}

/* ---- blocks ---- */

static void *take_block(struct span *span)
{
	struct block *block = span->free;
	if (block)
		span->free = block->next;
	else
		block =
		    (void *)((uint8_t *)span + HEAD + (size_t)span->fresh++ * sizes[span->kind]);
	if (++span->used == span->room)
		shut_span(span);
	return block;
}

/* A span that empties stays while it is the only one of its size: the next block comes soon. */
static void put_block(struct shelf *shelf, struct block *block)
{
	struct span *span = span_of(block);
	block->next = span->free;
	span->free = block;
	if (span->used-- == span->room)
		open_span(span);
	else if (span->used == 0 && (span->next || span->previous))
		put_by(shelf, span);
}

static void clear_returned(struct shelf *shelf)
{
	struct block *block =
	    atomic_exchange_explicit(&shelf->returned, NULL, memory_order_acquire);
	while (block) {
		struct block *next = block->next;
		put_block(shelf, block);
		block = next;
	}
}

static void return_block(struct shelf *owner, struct block *block)
{
	struct block *head = atomic_load_explicit(&owner->returned, memory_order_relaxed);
	do
		block->next = head;
	while (!atomic_compare_exchange_weak_explicit(&owner->returned, &head, block,
						      memory_order_release, memory_order_relaxed));
}

void *arena_get(struct shelf *shelf, size_t n)
{
	if (shelf->plain)
		return memory_get(n);
	uint32_t kind = class_of(n);
	if (kind == OWN_SPAN) {
		struct span *span = make_span(shelf, HEAD + n);
		span->kind = OWN_SPAN;
		return (uint8_t *)span + HEAD;
	}
	if (shelf->open[kind] == NULL)
		clear_returned(shelf);
	struct span *span = shelf->open[kind];
	return take_block(span ? span : span_for(shelf, kind));
}

void arena_free(struct shelf *shelf, void *at, size_t used)
{
	if (at == NULL)
		return;
	explicit_bzero(at, used);
	if (shelf->plain) {
		memory_free(at);
		return;
	}
	struct span *span = span_of(at);
	if (span->kind == OWN_SPAN)
		give_up(span);
	else if (span->shelf == shelf)
		put_block(shelf, at);
	else
		return_block(span->shelf, at);
}

/* ---- shelves ---- */

static void *take_from_heap(void *self, size_t bytes)
{
	(void)self;
	return memory_get_aligned(ARENA_SPAN, bytes);
}

static void give_to_heap(void *self, void *at, size_t bytes)
{
	(void)self;
	(void)bytes;
	memory_free(at);
}

#if defined(__SANITIZE_ADDRESS__)
#define PLAIN true
#elif defined(__has_feature) /* clang's way of saying it */
#define PLAIN __has_feature(address_sanitizer)
#else
#define PLAIN false
#endif

/* malloc_trim(3) is the household's affair. */
static void calm_heap(void *self)
{
	(void)self;
}

void arena_init(struct arena *arena)
{
	atomic_init(&arena->shelves, NULL);
	arena->plain = PLAIN;
	arena->source =
	    (struct span_source){.take = take_from_heap, .give = give_to_heap, .calm = calm_heap};
}

void arena_set_source(struct arena *arena, struct span_source source)
{
	must(atomic_load_explicit(&arena->shelves, memory_order_relaxed) == NULL);
	arena->source = source;
}

struct shelf *arena_shelf(struct arena *arena)
{
	struct shelf *shelf = memory_get_zeroed(sizeof *shelf);
	shelf->plain = arena->plain;
	shelf->source = arena->source;
	shelf->next = atomic_load_explicit(&arena->shelves, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&arena->shelves, &shelf->next, shelf,
						      memory_order_release, memory_order_relaxed))
		;
	return shelf;
}

void arena_calm(struct shelf *shelf)
{
	clear_returned(shelf);
	for (uint32_t kind = 0; kind < ARENA_CLASSES; kind++)
		if (shelf->open[kind] && shelf->open[kind]->used == 0)
			put_by(shelf, shelf->open[kind]);
	while (shelf->spare) {
		struct span *span = shelf->spare;
		shelf->spare = span->next;
		give_up(span);
	}
	shelf->spare_count = 0;
	shelf->source.calm(shelf->source.self);
}

uint32_t arena_spans(const struct shelf *shelf)
{
	return atomic_load_explicit(&shelf->span_count, memory_order_relaxed);
}

uint32_t arena_finish(struct arena *arena)
{
	uint32_t in_use = 0;
	struct shelf *shelf = atomic_exchange_explicit(&arena->shelves, NULL, memory_order_acquire);
	while (shelf) {
		struct shelf *next = shelf->next;
		arena_calm(shelf);
		in_use += arena_spans(shelf);
		memory_free(shelf);
		shelf = next;
	}
	return in_use;
}
