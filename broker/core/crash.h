/*
 * crash.h - ends the process with SIGKILL at a named step, for tests/chaos.
 *
 * Only the build `make all-chaos` (METRINO_CRASH_STEPS) does; in any other the macros
 * are nothing, but check that the step is in crash.def.  Where METRINO_CRASH_AT names
 * the step and METRINO_CRASH_SKIP (0 if not set) passes are over,
 *
 *	CRASH_AT(name)           ends the process at once;
 *	CRASH_AFTER_WRITE(name)  ends it when this turn's bytes have been handed to the sockets;
 *	CRASH_WRITTEN()          stands where the shell has done that.
 *
 * Defined by broker/crash.c: the core only names the steps.
 * Thread: any; CRASH_AFTER_WRITE() waits for CRASH_WRITTEN() of its own thread.
 */
#ifndef BROKER_CORE_CRASH_H
#define BROKER_CORE_CRASH_H

enum crash_step {
#define STEP(name, text) CRASH_##name,
#include "broker/core/crash.def"
#undef STEP
	CRASH_STEPS
};

void crash_at(enum crash_step step);
void crash_after_write(enum crash_step step);
void crash_written(void);

/* Their names, one a line, to stdout. */
void crash_print_steps(void);

#ifdef METRINO_CRASH_STEPS
#define CRASH_BUILD		1
#define CRASH_AT(name)		crash_at(CRASH_##name)
#define CRASH_AFTER_WRITE(name) crash_after_write(CRASH_##name)
#define CRASH_WRITTEN()		crash_written()
#else
#define CRASH_BUILD		0
#define CRASH_AT(name)		((void)CRASH_##name)
#define CRASH_AFTER_WRITE(name) ((void)CRASH_##name)
#define CRASH_WRITTEN()		((void)0)
#endif

#endif
