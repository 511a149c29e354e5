/*
 * http.h - pages over HTTP, each server on a thread of its own: what admin.c and log_server.c
 * share.
 *
 * Its threads step back behind those that serve clients.  What costs more to make than to send is
 * made some times a second, and then given again (http_cache.h).  A second has HTTP_ANSWERS_MAX
 * answers of each server, so that nothing that is asked can take the time that messages need; what
 * is above that is answered 429, and above twice that a millisecond later.  What is refused for
 * want of the token is counted apart, so that strangers use up nothing of who has it.  Only GET and
 * HEAD; no page may run a script.  A body of at most 1 MiB is read and not looked at; a longer one
 * ends the connection.  Who asks before it sends one (Expect) is answered before it.  Behind a body
 * nothing is read, and the connection ends.  A request of HTTP/1.1 without Host, and one with
 * several lengths, is answered 400.  The library ends the value of a field at a zero byte, and does
 * not say that there was one.
 *
 * There may be 64 connections to an address that is listened at.  One that comes above that is
 * taken, and another goes: one that never had a request that it may before others, and of these the
 * one whose last whole request, or else whose connection, came first.  So nobody who asks is kept
 * out by who does not.
 *
 * Ownership: http_open() gives, http_destroy() takes; it copies the token and borrows the rest.
 * Failure: http_open() and http_start(), with the way out.
 * Thread: opened, started and destroyed by the main thread; the page is made on the server's
 * thread.
 */
#ifndef BROKER_HTTP_H
#define BROKER_HTTP_H

#include "proto/base.h"

/* Less than a tenth of a processor: docs/performance.md. */
#define HTTP_ANSWERS_MAX 2000u

struct http;

struct http_options {
	const char *name; /* of the key, for failures */
	const char *address;
	uint16_t port;
	const char *token_file; /* every request needs "Authorization: Bearer TOKEN"; NULL: none */
	bool is_public;		/* may be reached from the network without a token */
};

/* The body is malloc'ed; the rest literals. */
struct http_answer {
	unsigned status;
	const char *type;
	const char *cache; /* Cache-Control; NULL: no-store */
	bool is_costly;	   /* to make: may be given to others within the second */
	char *body;
	size_t len;
};

struct http_answer http_text(unsigned status, const char *text);

typedef struct http_answer http_page(void *self, const char *path);

/* Is there a token in it?  For --test-config. */
bool http_check_token_file(const char *file, struct failure *failure);

/* Binds (before the user switch) and reads the token file.  NULL when that fails. */
struct http *http_open(const struct http_options *options, struct failure *failure);

/* The port that is served. */
uint16_t http_port(const struct http *http);

/* Begins to answer. */
bool http_start(struct http *http, http_page *page, void *self, struct failure *failure);

/* Answers no more; frees.  NULL is allowed. */
void http_destroy(struct http *http);

#endif
