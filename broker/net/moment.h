/*
 * moment.h - what time it is, on both clocks of struct moment: CLOCK_BOOTTIME, which
 * counts while the machine sleeps, and CLOCK_REALTIME.
 *
 * Thread: any.
 */
#ifndef BROKER_NET_MOMENT_H
#define BROKER_NET_MOMENT_H

#include "broker/core/shard.h"

struct moment moment_now(void);

#endif
