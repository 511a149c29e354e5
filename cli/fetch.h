/*
 * fetch.h - files over HTTP and HTTPS, for `metrino audit follow`: one connection, one after
 * another.
 *
 * Certificates are verified; redirections are not followed, for what is read is checked by its
 * signature but who asked for what is nobody else's affair.
 *
 * Who is told 429 or 503 waits and asks again, as long and as often as that is of use.
 *
 * Ownership: fetch_create() gives, fetch_destroy() takes.
 * Failure: with the URL, but no password that stands in it, and what the server said.
 * Thread: the main thread.
 */
#ifndef CLI_FETCH_H
#define CLI_FETCH_H

#include "storage/audit/files.h"

struct fetch;

/* `base` is https://HOST[:PORT]/log/ or the like. */
struct fetch *fetch_create(const char *base, struct failure *failure);
void fetch_destroy(struct fetch *fetch); /* NULL is allowed */

/* 404 is AUDIT_NOT_THERE; one that is longer than `max` is AUDIT_UNREADABLE. */
enum audit_found fetch_get(struct fetch *fetch, const char *path, size_t max,
			   struct audit_file *file, struct failure *failure);

#endif
