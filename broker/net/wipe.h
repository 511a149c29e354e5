/*
 * wipe.h - bytes that were read before the CONNECT was whole may hold a password: they do not stay
 * in memory when they have been handled.
 *
 * Thread: any.
 */
#ifndef BROKER_NET_WIPE_H
#define BROKER_NET_WIPE_H

#include "proto/base.h"
#include <string.h>

/* The slice lies in memory of ours that may be written. */
static inline void wipe(struct slice bytes)
{
	if (bytes.len > 0)
		explicit_bzero((void *)(uintptr_t)bytes.at, bytes.len);
}

#endif
