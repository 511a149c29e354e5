/* http_cache.c - see http_cache.h. */
#include "broker/http_cache.h"
#include <stdlib.h>

static struct http_answer copy_of(const struct http_answer *answer)
{
	struct http_answer copy = *answer;

	copy.body = malloc(answer->len + 1);
	must(copy.body);
	memcpy(copy.body, answer->body, answer->len);
	copy.body[answer->len] = '\0';
	return copy;
}

static void forget(struct http_cached *page)
{
	free(page->path);
	free(page->answer.body);
	*page = (struct http_cached){0};
}

void http_cache_init(struct http_cache *cache)
{
	memset(cache->pages, 0, sizeof(cache->pages));
	must(pthread_mutex_init(&cache->mutex, NULL) == 0);
}

void http_cache_finish(struct http_cache *cache)
{
	for (size_t i = 0; i < HTTP_CACHED_MAX; i++)
		forget(&cache->pages[i]);
	pthread_mutex_destroy(&cache->mutex);
}

static struct http_cached *find(struct http_cache *cache, const char *path)
{
	for (size_t i = 0; i < HTTP_CACHED_MAX; i++)
		if (cache->pages[i].path && strcmp(cache->pages[i].path, path) == 0)
			return &cache->pages[i];
	return NULL;
}

/* A place that is free, or that of the page that was made longest ago. */
static struct http_cached *place_for(struct http_cache *cache, const char *path)
{
	struct http_cached *oldest = &cache->pages[0];

	for (size_t i = 1; i < HTTP_CACHED_MAX; i++)
		if (cache->pages[i].second < oldest->second)
			oldest = &cache->pages[i];
	forget(oldest);
	oldest->path = strdup(path);
	must(oldest->path);
	return oldest;
}

bool http_cache_find(struct http_cache *cache, const char *path, uint64_t second,
		     struct http_answer *answer)
{
	pthread_mutex_lock(&cache->mutex);
	const struct http_cached *page = find(cache, path);
	const bool found = page && page->second == second && page->made >= HTTP_FRESH_MAX;

	if (found)
		*answer = copy_of(&page->answer);
	pthread_mutex_unlock(&cache->mutex);
	return found;
}

void http_cache_keep(struct http_cache *cache, const char *path, uint64_t second,
		     const struct http_answer *answer)
{
	pthread_mutex_lock(&cache->mutex);
	struct http_cached *page = find(cache, path);

	if (!page)
		page = place_for(cache, path);
	page->made = page->second == second ? page->made + 1 : 1;
	page->second = second;
	free(page->answer.body);
	page->answer = copy_of(answer);
	pthread_mutex_unlock(&cache->mutex);
}
