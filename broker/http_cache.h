/*
 * http_cache.h - pages that were made a moment ago, for those who ask for the same one too often.
 *
 * Of each page a second has HTTP_FRESH_MAX answers that are made for who asks; whoever asks for
 * more in that second gets the last of them.  So a page is never older than a second, nobody who
 * asks as people and collectors do notices, and a thousand requests a second cost what
 * HTTP_FRESH_MAX pages cost, and a thousand times the sending.
 *
 * Ownership: keeps copies; gives copies, which the caller frees.
 * Failure: none; of more than HTTP_CACHED_MAX pages those that were made longest ago are forgotten.
 * Thread: any; it has a mutex.
 */
#ifndef BROKER_HTTP_CACHE_H
#define BROKER_HTTP_CACHE_H

#include "broker/http.h"
#include <pthread.h>

#define HTTP_FRESH_MAX	16u
#define HTTP_CACHED_MAX 8u

struct http_cache {
	pthread_mutex_t mutex;
	struct http_cached {
		char *path;	 /* NULL: free */
		uint64_t second; /* in which its answers were made */
		uint32_t made;
		struct http_answer answer;
	} pages[HTTP_CACHED_MAX];
};

void http_cache_init(struct http_cache *cache);
void http_cache_finish(struct http_cache *cache);

/* The page of this second, if it was made often enough in it. */
bool http_cache_find(struct http_cache *cache, const char *path, uint64_t second,
		     struct http_answer *answer);

/* It was made in this second. */
void http_cache_keep(struct http_cache *cache, const char *path, uint64_t second,
		     const struct http_answer *answer);

#endif
