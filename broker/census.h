/*
 * census.h - the answer to "which clients are there?", gathered from all workers.
 *
 * Whoever asks makes a census, sends it to workers with a command, and waits; each
 * worker adds its clients and says that it is done.  Whoever comes last frees it, so
 * that one who gave up waiting leaves nothing behind.
 *
 * Ownership: one reference for who asks and one for each worker asked.
 * Failure: census_wait() returns false when the time is over.
 * Thread: any.
 */
#ifndef BROKER_CENSUS_H
#define BROKER_CENSUS_H

#include "broker/core/shard.h"

struct census;

/* To be answered by so many workers. */
struct census *census_create(uint32_t workers);

/* A worker's: copies what the client info says, with what it points to. */
void census_add(struct census *census, const struct client_info *client);

/* A worker has added all; it lets go of the census. */
void census_done(struct census *census);

/* Waits until all are done, or for `timeout_ms`. */
bool census_wait(struct census *census, uint32_t timeout_ms);

/* After census_wait() was true: the clients, valid until census_release(). */
const struct client_info *census_clients(const struct census *census, size_t *count);

void census_release(struct census *census);

#endif
