/*
 * log_server.h - the audit log over HTTP, read-only, for `log_listener`:
 *
 *	/log/checkpoint         the signed checkpoint
 *	/log/vkey               the verifier key
 *	/log/tile/...           tiles and bundles of entries
 *
 * and nothing else: paths are those that tile_path() writes.  A tile never changes, so it may be
 * kept for ever; a checkpoint for moments.
 *
 * Ownership: log_server_open() gives, log_server_destroy() takes.
 * Failure: a port that cannot be had, a folder that is not there.
 * Thread: the main thread; pages are made on the server's.
 * Follows: c2sp.org/tlog-tiles.
 */
#ifndef BROKER_LOG_SERVER_H
#define BROKER_LOG_SERVER_H

#include "proto/base.h"

struct log_server;

/* Binds; before the user switch. */
struct log_server *log_server_open(const char *address, uint16_t port, struct failure *failure);
uint16_t log_server_port(const struct log_server *server);

/* Begins to answer, from log/ in the data directory, which is borrowed for the call. */
bool log_server_start(struct log_server *server, int data_directory, struct failure *failure);

/* NULL is allowed. */
void log_server_destroy(struct log_server *server);

#endif
