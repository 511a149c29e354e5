/* census.c - see census.h. */
#include "broker/census.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct census {
	pthread_mutex_t lock;
	pthread_cond_t all_done;
	uint32_t references;
	uint32_t pending; /* workers that have not answered */
	struct client_info *clients;
	size_t count, room;
};

struct census *census_create(uint32_t workers)
{
	struct census *census = calloc(1, sizeof(*census));
	pthread_condattr_t monotonic;

	must(census);
	must(pthread_mutex_init(&census->lock, NULL) == 0);
	must(pthread_condattr_init(&monotonic) == 0);
	must(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
	must(pthread_cond_init(&census->all_done, &monotonic) == 0);
	pthread_condattr_destroy(&monotonic);
	census->references = workers + 1;
	census->pending = workers;
	return census;
}

void census_add(struct census *census, const struct client_info *client)
{
	uint8_t *id = malloc(client->client_id.len + 1);
	uint64_t *rows = calloc(client->row_count + (size_t)1, sizeof(*rows));

	must(id && rows);
	if (client->client_id.len > 0)
		memcpy(id, client->client_id.at, client->client_id.len);
	if (client->row_count > 0)
		memcpy(rows, client->rows, client->row_count * sizeof(*rows));
	pthread_mutex_lock(&census->lock);
	if (census->count == census->room) {
		census->room = census->room > 0 ? census->room * 2 : 64;
		census->clients = realloc(census->clients, census->room * sizeof(*census->clients));
		must(census->clients);
	}
	struct client_info *copy = &census->clients[census->count++];

	*copy = *client;
	copy->client_id.at = id;
	copy->rows = rows;
	pthread_mutex_unlock(&census->lock);
}

void census_done(struct census *census)
{
	pthread_mutex_lock(&census->lock);
	if (--census->pending == 0)
		pthread_cond_signal(&census->all_done);
	pthread_mutex_unlock(&census->lock);
	census_release(census);
}

bool census_wait(struct census *census, uint32_t timeout_ms)
{
	struct timespec until;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&census->lock);
	while (census->pending > 0 && error == 0)
		error = pthread_cond_timedwait(&census->all_done, &census->lock, &until);
	bool done = census->pending == 0;

	pthread_mutex_unlock(&census->lock);
	return done;
}

const struct client_info *census_clients(const struct census *census, size_t *count)
{
	*count = census->count;
	return census->clients;
}

void census_release(struct census *census)
{
	pthread_mutex_lock(&census->lock);
	bool last = --census->references == 0;

	pthread_mutex_unlock(&census->lock);
	if (!last)
		return;
	for (size_t i = 0; i < census->count; i++) {
		free((void *)(uintptr_t)census->clients[i].client_id.at);
		free((void *)(uintptr_t)census->clients[i].rows);
	}
	free(census->clients);
	pthread_cond_destroy(&census->all_done);
	pthread_mutex_destroy(&census->lock);
	free(census);
}
