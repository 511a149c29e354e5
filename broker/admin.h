/*
 * admin.h - metrics, health and the privacy ledger over HTTP, on a thread of its own.
 *
 *	/metrics           Prometheus text
 *	/health            JSON: 200 while the broker serves, 503 when it does not
 *	/health/ping       200 "pong": this thread lives
 *	/health/listeners  JSON: each listener with its addresses and connections
 *	/ledger            the privacy ledger as a page (ledger.h)
 *	/ledger.json       the same as JSON
 *
 * With a token every request needs "Authorization: Bearer TOKEN"; off loopback there
 * has to be one.
 *
 * Ownership: copies the token; borrows everything else until admin_destroy().
 * Failure: admin_open() and admin_start(), with the way out.
 * Thread: opened, started and destroyed by the main thread; the source is called on
 * the thread of the server.
 */
#ifndef BROKER_ADMIN_H
#define BROKER_ADMIN_H

#include "broker/ledger.h"
#include "broker/metrics.h"

struct admin;
struct listener;

struct admin_source {
	void *self;
	void (*metrics)(void *self, struct metrics *metrics);
	void (*ledger)(void *self, struct ledger *ledger);
	/* NULL when the broker serves, else why not: a few words of ours. */
	const char *(*trouble)(void *self);
	const struct listener *listeners;
	size_t listener_count;
};

/* Binds (before the user switch) and reads the token file (NULL: none).  NULL when that fails. */
struct admin *admin_open(const char *address, uint16_t port, const char *token_file,
			 struct failure *failure);

/* The port that is served. */
uint16_t admin_port(const struct admin *admin);

/* Begins to answer; the source is copied. */
bool admin_start(struct admin *admin, const struct admin_source *source, struct failure *failure);

/* Answers no more; frees.  NULL is allowed. */
void admin_destroy(struct admin *admin);

#endif
