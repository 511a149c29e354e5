/*
 * route_thread_internal.h - the struct that the files of the route thread share.
 *
 *	route_thread.c  takes, seals, writes and deletes
 *	route_read.c    reads
 *
 * Thread: what the mutex guards any; the rest the route thread.
 */
#ifndef BROKER_ROUTE_THREAD_INTERNAL_H
#define BROKER_ROUTE_THREAD_INTERNAL_H

#include "broker/route_thread.h"
#include "storage/route/route_record.h"
#include "storage/route/shelf.h"

#include <pthread.h>

struct route_thread {
	struct vault *vault;
	struct hour_keys *keys;
	pthread_t thread;

	pthread_mutex_t mutex; /* guards what stands down to the empty line */
	pthread_cond_t wanted; /* there is work */
	pthread_cond_t settled;
	struct route_block *first;
	struct route_block **last; /* where the next one is hung */
	size_t waiting;
	uint64_t submitted, done; /* blocks */
	uint64_t max_bytes;
	bool ending, sweep, hurry;
	struct route_shelf shelf;
	struct route_counters counters;

	struct route_block **group;
	struct route_entry *entries;
	uint8_t (*records)[ROUTE_RECORD_MAX];
	bool told;
	time_t told_s;
};

#endif
