/* moment.c - see moment.h. */
#include "broker/net/moment.h"
#include <limits.h>
#include <time.h>

#ifdef METRINO_TEST_CLOCK
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Who sleeps does not hear that the clock was set, so nobody sleeps long. */
#define WAIT_MAX_MS 10

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const volatile int64_t *ahead_ms; /* NULL: not asked for */

static void open_file(void)
{
	const char *path = getenv("METRINO_CLOCK");
	const size_t size = 2 * sizeof(*ahead_ms);

	if (!path)
		return;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	must(fd >= 0 && at != MAP_FAILED);
	close(fd);
	ahead_ms = at;
}

static uint64_t ahead(clockid_t clock)
{
	pthread_once(&once, open_file);
	return ahead_ms ? (uint64_t)ahead_ms[clock == CLOCK_BOOTTIME ? 0 : 1] : 0;
}

static int wait_max_ms(void)
{
	pthread_once(&once, open_file);
	return ahead_ms ? WAIT_MAX_MS : INT_MAX;
}
#else
static uint64_t ahead(clockid_t clock)
{
	(void)clock;
	return 0;
}

static int wait_max_ms(void)
{
	return INT_MAX;
}
#endif

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + ahead(clock);
}

struct moment moment_now(void)
{
	return (struct moment){.ms = clock_ms(CLOCK_BOOTTIME),
			       .wall_s = clock_ms(CLOCK_REALTIME) / 1000};
}

int moment_wait_ms(uint64_t until_ms)
{
	const int max_ms = wait_max_ms();

	if (until_ms == UINT64_MAX)
		return max_ms == INT_MAX ? -1 : max_ms;
	uint64_t now_ms = clock_ms(CLOCK_BOOTTIME);
	uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;

	return left_ms < (uint64_t)max_ms ? (int)left_ms : max_ms;
}
