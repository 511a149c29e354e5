/*
 * whole_file.h - a file that the configuration names, read whole into memory: keys,
 * certificates, lists.
 *
 * Ownership: whole_file_read() allocates; whole_file_free() wipes and frees.
 * Failure: a sentence with the path and the cause.
 * Thread: the main thread.
 */
#ifndef BROKER_NET_WHOLE_FILE_H
#define BROKER_NET_WHOLE_FILE_H

#include "proto/base.h"

#define WHOLE_FILE_MAX (8u << 20)

/* A zero follows the bytes, and is not counted.  `what` is the key that named the file. */
bool whole_file_read(const char *what, const char *path, struct slice *bytes,
		     struct failure *failure);

void whole_file_free(struct slice bytes);

#endif
