/*
 * sys_tree.h - the topics under $SYS/broker/, as mosquitto has them.
 *
 * A pure machine: it gets the numbers and the time, and calls back for each topic
 * whose value changed since it was last published; the household publishes those,
 * retained.  Averages (load/...) are mosquitto's: exponential, per minute, over 1, 5
 * and 15 minutes.
 *
 * Thread: one at a time; sys_tree_each_number() any.
 */
#ifndef BROKER_SYS_TREE_H
#define BROKER_SYS_TREE_H

#include "broker/metrics.h"

#define SYS_TREE_PREFIX	    "$SYS/broker/"
#define SYS_TREE_TOPIC_SIZE 64
#define SYS_TREE_NUMBERS    25
#define SYS_TREE_LOADS	    9
#define SYS_TREE_PERIODS    3

/* All its topics, with version and uptime: the broker's own retained messages. */
#define SYS_TREE_TOPICS (SYS_TREE_NUMBERS + SYS_TREE_LOADS * SYS_TREE_PERIODS + 2)

struct sys_tree {
	bool published; /* once at least */
	uint64_t updated_ms;
	uint64_t numbers[SYS_TREE_NUMBERS]; /* as published */
	uint64_t uptime_s;
	uint64_t counted[SYS_TREE_LOADS]; /* what the averages were made of */
	double loads[SYS_TREE_LOADS][SYS_TREE_PERIODS];
};

typedef void sys_tree_publish(void *self, const char *topic, const char *payload);

/* Zeroed memory is a tree that was never published. */
void sys_tree_update(struct sys_tree *tree, uint64_t now_ms, const struct metrics *metrics,
		     void *self, sys_tree_publish *publish);

/* The plain numbers, by their topic without prefix. */
void sys_tree_each_number(const struct metrics *metrics, void *self,
			  void (*call)(void *self, const char *topic, uint64_t value));

#endif
