/* moment.c - see moment.h. */
#include "broker/net/moment.h"
#include <time.h>

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct moment moment_now(void)
{
	return (struct moment){.ms = clock_ms(CLOCK_BOOTTIME),
			       .wall_s = clock_ms(CLOCK_REALTIME) / 1000};
}
