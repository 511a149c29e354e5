/*
 * payload_memory.h and memory_protection.h: what the kernel says of the memory (proc_pid_smaps(5)),
 * the limit of locked memory, what goes back, and where swap may be.
 */
#include <check.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/memory_protection.h"
#include "broker/payload_memory.h"
#include "tests/lib/scratch.h"
#include "tests/unit/packets.h"
#include "tests/unit/random.h"

static struct payload_memory memory;
static struct span_source source;

static void begin(void)
{
	payload_memory_init(&memory, false);
	source = payload_memory_source(&memory);
}

static void *take(size_t spans)
{
	return source.take(source.self, spans * ARENA_SPAN);
}

static void give(void *at, size_t spans)
{
	source.give(source.self, at, spans * ARENA_SPAN);
}

static uint64_t bytes(void)
{
	return atomic_load(&memory.bytes);
}

static uint64_t locked_bytes(void)
{
	return atomic_load(&memory.locked_bytes);
}

static void end(void)
{
	ck_assert_uint_eq(bytes(), 0);
	ck_assert_uint_eq(locked_bytes(), 0);
	payload_memory_finish(&memory);
}

/* ---- what the kernel says ---- */

struct mapping {
	uint64_t from, to, rss;
	char flags[160]; /* " rd wr ... " */
};

static bool has(const struct mapping *mapping, const char *flag)
{
	char word[8];

	snprintf(word, sizeof(word), " %s ", flag);
	return strstr(mapping->flags, word) != NULL;
}

/* Fills in what a line of smaps says; true with the last of a mapping. */
static bool read_line(const char *line, struct mapping *mapping)
{
	unsigned long from, to, rss;

	if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
		mapping->from = from;
		mapping->to = to;
	} else if (sscanf(line, "Rss: %lu kB", &rss) == 1) {
		mapping->rss = rss * 1024;
	} else if (strncmp(line, "VmFlags:", 8) == 0) {
		snprintf(mapping->flags, sizeof(mapping->flags), "%.*s ",
			 (int)strcspn(line + 8, "\n"), line + 8);
		return true;
	}
	return false;
}

static void each_mapping(void *self, void (*call)(void *self, const struct mapping *mapping))
{
	FILE *file = fopen("/proc/self/smaps", "re");
	struct mapping mapping = {0};
	char line[4096];

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (read_line(line, &mapping))
			call(self, &mapping);
	fclose(file);
}

struct search {
	uint64_t at;
	struct mapping found;
};

static void compare(void *self, const struct mapping *mapping)
{
	struct search *search = self;

	if (mapping->from <= search->at && search->at < mapping->to)
		search->found = *mapping;
}

static struct mapping mapping_of(const void *at)
{
	struct search search = {.at = (uintptr_t)at};

	each_mapping(&search, compare);
	ck_assert(search.found.to != 0);
	return search.found;
}

/* Of all that is wiped in children: that is ours alone. */
static void add_up(void *self, const struct mapping *mapping)
{
	struct mapping *sum = self;

	if (!has(mapping, "wf"))
		return;
	sum->to += mapping->to - mapping->from;
	sum->rss += mapping->rss;
}

static uint64_t mapped(void)
{
	struct mapping sum = {0};

	each_mapping(&sum, add_up);
	return sum.to;
}

static uint64_t resident(void)
{
	struct mapping sum = {0};

	each_mapping(&sum, add_up);
	return sum.rss;
}

/* A process that the limit holds, which it does not for root. */
static void limit_locks(size_t limit)
{
	struct rlimit both = {limit, limit};

	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &both), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0); /* or smaps is root's */
}

/* ---- spans ---- */

static const size_t sizes[] = {1, 2, 3, 1, 40, 62, 63, 64, 1, 100, 30, 33};

START_TEST(aligned_and_apart)
{
	uint8_t *at[COUNT_OF(sizes)];

	begin();
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT_OF(sizes); i++) {
			at[i] = take(sizes[i]);
			ck_assert_uint_eq((uintptr_t)at[i] % ARENA_SPAN, 0);
			memset(at[i], (int)i + 1, sizes[i] * ARENA_SPAN);
		}
		for (size_t i = 0; i < COUNT_OF(sizes); i++) {
			for (size_t n = 0; n < sizes[i] * ARENA_SPAN; n += 4096)
				ck_assert_uint_eq(at[i][n], i + 1);
			give(at[i], sizes[i]);
		}
	}
	end();
}
END_TEST

START_TEST(kept_from_dumps_and_children)
{
	begin();
	void *all[] = {take(1), take(63), take(80)};

	for (size_t i = 0; i < COUNT_OF(all); i++) {
		struct mapping mapping = mapping_of(all[i]);

		ck_assert_msg(has(&mapping, "dd"), "%s", mapping.flags);
		ck_assert_msg(has(&mapping, "wf"), "%s", mapping.flags);
	}
	ck_assert_uint_eq(atomic_load(&memory.exposed_bytes), 0);
	give(all[0], 1);
	give(all[1], 63);
	give(all[2], 80);
	end();
}
END_TEST

START_TEST(child_sees_nothing)
{
	begin();
	uint8_t *at = take(1);
	int status;

	memset(at, 'x', ARENA_SPAN);
	pid_t child = fork();
	if (child == 0)
		_exit(memchr(at, 'x', ARENA_SPAN) ? 1 : 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert_uint_eq(at[0], 'x');
	give(at, 1);
	end();
}
END_TEST

/* The first span of a region is its own, and counts against the limit too. */
START_TEST(locked_up_to_the_limit)
{
	uint8_t *at[130];
	size_t limit = 20 * ARENA_SPAN + 4096;

	limit_locks(limit);
	begin();
	for (size_t i = 0; i < COUNT_OF(at); i++)
		at[i] = take(1);
	ck_assert_uint_eq(bytes(), COUNT_OF(at) * ARENA_SPAN);
	ck_assert_uint_eq(locked_bytes(), 19 * ARENA_SPAN);
	for (size_t i = 0; i < COUNT_OF(at); i++) {
		struct mapping mapping = mapping_of(at[i]);

		ck_assert_int_eq(has(&mapping, "lo"), i < 19); /* those are given first */
		ck_assert(has(&mapping, "dd") && has(&mapping, "wf"));
	}
	/* A locked one that is free is given before others. */
	give(at[5], 1);
	ck_assert_uint_eq(locked_bytes(), 18 * ARENA_SPAN);
	ck_assert_ptr_eq(take(1), at[5]);
	for (size_t i = 0; i < COUNT_OF(at); i++)
		give(at[i], 1);
	end();
}
END_TEST

START_TEST(nothing_may_be_locked)
{
	limit_locks(0);
	begin();
	uint8_t *at = take(1);

	memset(at, 1, ARENA_SPAN);
	ck_assert_uint_eq(bytes(), ARENA_SPAN);
	ck_assert_uint_eq(locked_bytes(), 0);
	give(at, 1);
	end();
}
END_TEST

/* A large block at once, empty regions in a calm moment. */
START_TEST(regions_go_back)
{
	uint8_t *at[200];

	begin();
	for (size_t i = 0; i < COUNT_OF(at); i++)
		at[i] = take(1);
	uint8_t *large = take(500);

	ck_assert_uint_eq(mapped(), 4 * PAYLOAD_REGION + 501 * ARENA_SPAN);
	give(large, 500);
	for (size_t i = 0; i < COUNT_OF(at); i++)
		give(at[i], 1);
	ck_assert_uint_eq(mapped(), 4 * PAYLOAD_REGION);
	source.calm(source.self);
	ck_assert_uint_eq(mapped(), 0);
	give(take(1), 1);
	end();
	ck_assert_uint_eq(mapped(), 0);
}
END_TEST

/* Beyond what is kept pages go back at once, the others in a calm moment; locked ones too. */
#define REGIONS 10

START_TEST(pages_go_back)
{
	uint8_t *at[63 * REGIONS];

	if (_i == 1)
		limit_locks(0);
	begin();
	for (size_t i = 0; i < COUNT_OF(at); i++)
		memset(at[i] = take(1), 1, ARENA_SPAN);
	ck_assert_uint_ge(resident(), sizeof(at) / sizeof(at[0]) * ARENA_SPAN);
	for (size_t i = 0; i < COUNT_OF(at); i++)
		if (i % 63 != 0)
			give(at[i], 1);
	ck_assert_uint_eq(mapped(), REGIONS * PAYLOAD_REGION);
	ck_assert_uint_le(resident(), (2 * REGIONS + PAYLOAD_KEPT) * ARENA_SPAN);
	source.calm(source.self);
	ck_assert_uint_eq(mapped(), REGIONS * PAYLOAD_REGION);
	ck_assert_uint_le(resident(), 2 * REGIONS * ARENA_SPAN);
	for (size_t i = 0; i < COUNT_OF(at); i += 63)
		give(at[i], 1);
	end();
}
END_TEST

/* Up and down by less than what is kept: no page is asked for again. */
START_TEST(steady_state_asks_for_nothing)
{
	struct rusage before, after;
	uint8_t *at[200];

	begin();
	for (size_t round = 0; round < 100; round++) {
		if (round == 2)
			ck_assert_int_eq(getrusage(RUSAGE_SELF, &before), 0);
		for (size_t i = 0; i < COUNT_OF(at); i++)
			memset(at[i] = take(1), 1, ARENA_SPAN);
		for (size_t i = 0; i < COUNT_OF(at); i++)
			give(at[i], 1);
	}
	ck_assert_int_eq(getrusage(RUSAGE_SELF, &after), 0);
	/* Of 300,000 pages; sanitizers touch some of their own. */
	ck_assert_int_lt(after.ru_minflt - before.ru_minflt, 3000);
	end();
}
END_TEST

#define HELD 40

static void *take_and_give(void *seed)
{
	struct random random = {(uintptr_t)seed, (uintptr_t)seed};
	struct {
		uint8_t *at;
		size_t spans;
	} held[HELD] = {{0}};

	for (unsigned i = 0; i < 4000; i++) {
		size_t slot = random_below(&random, HELD);
		size_t spans = random_below(&random, 8) == 0 ? 70 : 1 + random_below(&random, 5);

		if (held[slot].at) {
			must(memcmp(held[slot].at, &held[slot].at, sizeof(void *)) == 0);
			give(held[slot].at, held[slot].spans);
			held[slot].at = NULL;
		} else {
			held[slot].spans = spans;
			held[slot].at = take(spans);
			memcpy(held[slot].at, &held[slot].at, sizeof(void *));
		}
	}
	for (size_t i = 0; i < HELD; i++)
		if (held[i].at)
			give(held[i].at, held[i].spans);
	return NULL;
}

START_TEST(many_threads)
{
	pthread_t threads[4];

	begin();
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give, (void *)(i + 1)),
				 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	source.calm(source.self);
	ck_assert_uint_eq(mapped(), 0);
	end();
}
END_TEST

/* An arena on top of it: all that it took comes back. */
START_TEST(under_an_arena)
{
	struct arena arena;
	void *blocks[200];

	begin();
	arena_init(&arena);
	arena.plain = false;
	arena_set_source(&arena, source);
	struct shelf *shelf = arena_shelf(&arena);

	for (size_t i = 0; i < COUNT_OF(blocks); i++) {
		blocks[i] = arena_get(shelf, 1 + i * 997);
		memset(blocks[i], 1, 1 + i * 997);
	}
	ck_assert_uint_ge(bytes(), 200 * 199 / 2 * 997);
	struct mapping mapping = mapping_of(blocks[199]);

	ck_assert(has(&mapping, "wf"));
	for (size_t i = 0; i < COUNT_OF(blocks); i++)
		arena_free(shelf, blocks[i], 1 + i * 997);
	ck_assert_uint_eq(arena_finish(&arena), 0);
	end();
}
END_TEST

/* ---- swap ---- */

#define HEADINGS "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
#define DEVICE	 "/dev/sda2                               partition\t999\t0\t-2\n"

static const struct {
	const char *swaps;	   /* NULL: there is no such file */
	const char *group;	   /* /proc/self/cgroup; likewise */
	const char *inner, *outer; /* memory.swap.max of /a/b and of /a; likewise */
	bool reachable;
} machines[] = {
    {NULL, "0::/a/b\n", NULL, NULL, false},
    {HEADINGS, "0::/a/b\n", "max\n", NULL, false},
    {"", "0::/a/b\n", "max\n", NULL, true},
    {HEADINGS DEVICE, NULL, NULL, NULL, true},
    {HEADINGS DEVICE, "0::/a/b\n", NULL, NULL, true},
    {HEADINGS DEVICE, "0::/a/b\n", "max\n", "max\n", true},
    {HEADINGS DEVICE, "0::/a/b\n", "4096\n", "max\n", true},
    {HEADINGS DEVICE, "0::/a/b\n", "0\n", "max\n", false},
    {HEADINGS DEVICE, "0::/a/b\n", "max\n", "0\n", false},
    {HEADINGS DEVICE, "0::/a/b\n", NULL, "0\n", false},
    {HEADINGS DEVICE, "4:memory:/a/b\n0::/a/b\n", "0\n", NULL, false},
    {HEADINGS DEVICE, "4:memory:/a/b\n", "0\n", "0\n", true},
    {HEADINGS DEVICE, "0::/\n", "0\n", "0\n", true},
};

static void put_file(const struct scratch *scratch, const char *path, const char *text)
{
	char whole[512];

	if (text == NULL)
		return;
	snprintf(whole, sizeof(whole), "%s%s", scratch->path, path);
	for (char *slash = strchr(whole + strlen(scratch->path) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)!mkdir(whole, 0700);
		*slash = '/';
	}
	FILE *file = fopen(whole, "we");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
}

START_TEST(where_swap_is)
{
	struct scratch scratch = scratch_make();

	put_file(&scratch, "/proc/swaps", machines[_i].swaps);
	put_file(&scratch, "/proc/self/cgroup", machines[_i].group);
	put_file(&scratch, "/sys/fs/cgroup/a/b/memory.swap.max", machines[_i].inner);
	put_file(&scratch, "/sys/fs/cgroup/a/memory.swap.max", machines[_i].outer);
	ck_assert_int_eq(memory_swap_reachable(scratch.path), machines[_i].reachable);
	scratch_remove(&scratch);
}
END_TEST

static const struct {
	struct memory_powers powers;
	const char *missing; /* a word of the sentence; NULL: protected */
} judgements[] = {
    {{.all_locked = true, .lock_limit = UINT64_MAX, .swap = true}, NULL},
    {{.lock_limit = UINT64_MAX, .swap = true}, NULL},
    {{.lock_limit = 8 << 20}, NULL},
    {{.lock_limit = 8 << 20, .swap = true}, "8192 kB"},
    {{.lock_limit = 0, .swap = true}, "LimitMEMLOCK"},
    {{.all_locked = true, .lock_limit = UINT64_MAX, .exposed = true}, "core dumps"},
};

START_TEST(judged)
{
	struct failure failure = {""};

	ck_assert_int_eq(memory_protected(&judgements[_i].powers, &failure),
			 judgements[_i].missing == NULL);
	if (judgements[_i].missing)
		ck_assert_ptr_nonnull(strstr(failure.text, judgements[_i].missing));
}
END_TEST

static void *nothing(void *self)
{
	return self;
}

/* With a limit mlockall(2) would let no thread be made: so it is not called. */
START_TEST(limit_leaves_threads)
{
	pthread_t thread;

	limit_locks(8 << 20);
	struct memory_powers powers = memory_protect();

	ck_assert(!powers.all_locked);
	ck_assert_uint_eq(powers.lock_limit, 8 << 20);
	for (int i = 0; i < 16; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, nothing, NULL), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
}
END_TEST

Suite *payload_memory_suite(void)
{
	Suite *suite = suite_create("payload_memory");
	TCase *tests = tcase_create("payload_memory");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, aligned_and_apart);
	tcase_add_test(tests, kept_from_dumps_and_children);
	tcase_add_test(tests, child_sees_nothing);
	tcase_add_test(tests, locked_up_to_the_limit);
	tcase_add_test(tests, nothing_may_be_locked);
	tcase_add_test(tests, regions_go_back);
	tcase_add_loop_test(tests, pages_go_back, 0, 2);
	tcase_add_test(tests, steady_state_asks_for_nothing);
	tcase_add_test(tests, many_threads);
	tcase_add_test(tests, under_an_arena);
	tcase_add_loop_test(tests, where_swap_is, 0, COUNT_OF(machines));
	tcase_add_loop_test(tests, judged, 0, COUNT_OF(judgements));
	tcase_add_test(tests, limit_leaves_threads);
	suite_add_tcase(suite, tests);
	return suite;
}
