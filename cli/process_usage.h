/*
 * process_usage.h - what a process on this computer has used so far: processor time of
 * all its threads, and memory that it occupies (resident set size), from proc(5).
 */
#ifndef CLI_PROCESS_USAGE_H
#define CLI_PROCESS_USAGE_H

#include "proto/base.h"

struct process_usage {
	uint64_t cpu_ns; /* of the threads that are there now */
	uint64_t memory_bytes;
};

/* False with a sentence when there is no such process, or it must not be looked at. */
bool process_usage_read(uint32_t pid, struct process_usage *usage, struct failure *failure);

#endif
