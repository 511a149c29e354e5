/* crash.c - see core/crash.h. */
#include "broker/core/crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[CRASH_STEPS] = {
#define STEP(name, text) #name,
#include "broker/core/crash.def"
#undef STEP
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum crash_step chosen = CRASH_STEPS; /* none */
static atomic_long left;		     /* passes to let go by */
static _Thread_local bool marked;

static void read_environment(void)
{
	const char *name = getenv("METRINO_CRASH_AT");
	const char *skip = getenv("METRINO_CRASH_SKIP");

	for (int i = 0; name && i < CRASH_STEPS; i++)
		if (strcmp(name, names[i]) == 0)
			chosen = (enum crash_step)i;
	atomic_init(&left, skip ? strtol(skip, NULL, 10) : 0);
}

static bool is_now(enum crash_step step)
{
	pthread_once(&once, read_environment);
	return step == chosen && atomic_fetch_sub(&left, 1) <= 0;
}

static void die(void)
{
	raise(SIGKILL); /* tgkill(2), which the sandbox allows */
	for (;;)
		pause();
}

void crash_at(enum crash_step step)
{
	if (is_now(step))
		die();
}

void crash_after_write(enum crash_step step)
{
	if (is_now(step))
		marked = true;
}

void crash_written(void)
{
	if (marked)
		die();
}

void crash_print_steps(void)
{
	for (int i = 0; i < CRASH_STEPS; i++)
		puts(names[i]);
}
