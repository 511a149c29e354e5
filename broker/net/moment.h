/*
 * moment.h - what time it is, on both clocks of struct moment: CLOCK_BOOTTIME, which
 * counts while the machine sleeps, and CLOCK_REALTIME.
 *
 * Tests of what happens in 100 days have a build of their own, `make all-chaos`
 * (METRINO_TEST_CLOCK): there the file that METRINO_CLOCK names holds how far each clock
 * is ahead, two signed 64-bit numbers of milliseconds (CLOCK_BOOTTIME's first), to be
 * changed at any time.  Any other build cannot be told to lie about the time.
 *
 * Thread: any.
 */
#ifndef BROKER_NET_MOMENT_H
#define BROKER_NET_MOMENT_H

#include "broker/core/shard.h"

struct moment moment_now(void);

/* For poll(2) and epoll_wait(2): how long to wait until then, in milliseconds; UINT64_MAX: -1. */
int moment_wait_ms(uint64_t until_ms);

#endif
