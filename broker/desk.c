/* desk.c - see desk.h. */
#include "broker/desk.h"
#include "broker/core/own_request.h"
#include <pthread.h>
#include <stdlib.h>

struct desk {
	struct desk_sink sink;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t filled;
	struct own_request *waiting[DESK_ROOM]; /* a ring */
	uint32_t first, count;
	bool ending;
};

/* The next request; NULL: it is over. */
static struct own_request *take(struct desk *desk)
{
	struct own_request *request = NULL;

	pthread_mutex_lock(&desk->lock);
	while (desk->count == 0 && !desk->ending)
		pthread_cond_wait(&desk->filled, &desk->lock);
	if (!desk->ending) {
		request = desk->waiting[desk->first];
		desk->first = (desk->first + 1) % DESK_ROOM;
		desk->count--;
	}
	pthread_mutex_unlock(&desk->lock);
	return request;
}

static void *run(void *self)
{
	struct desk *desk = self;
	struct own_request *request;

	pthread_setname_np(pthread_self(), "desk");
	while ((request = take(desk)) != NULL)
		desk->sink.answer(desk->sink.self, request);
	return NULL;
}

struct desk *desk_create(const struct desk_sink *sink, struct failure *failure)
{
	struct desk *desk = calloc(1, sizeof *desk);

	must(desk);
	desk->sink = *sink;
	must(pthread_mutex_init(&desk->lock, NULL) == 0);
	must(pthread_cond_init(&desk->filled, NULL) == 0);
	int error = pthread_create(&desk->thread, NULL, run, desk);

	if (error == 0)
		return desk;
	failure_set(failure, "no thread for requests of accounts: %s", strerror(error));
	pthread_cond_destroy(&desk->filled);
	pthread_mutex_destroy(&desk->lock);
	free(desk);
	return NULL;
}

bool desk_submit(struct desk *desk, struct own_request *request)
{
	pthread_mutex_lock(&desk->lock);
	bool room = desk->count < DESK_ROOM && !desk->ending;

	if (room) {
		desk->waiting[(desk->first + desk->count++) % DESK_ROOM] = request;
		pthread_cond_signal(&desk->filled);
	}
	pthread_mutex_unlock(&desk->lock);
	return room;
}

void desk_end(struct desk *desk)
{
	if (desk == NULL)
		return;
	pthread_mutex_lock(&desk->lock);
	desk->ending = true;
	pthread_cond_signal(&desk->filled);
	pthread_mutex_unlock(&desk->lock);
	must(pthread_join(desk->thread, NULL) == 0);
}

void desk_destroy(struct desk *desk)
{
	if (desk == NULL)
		return;
	for (; desk->count > 0; desk->count--, desk->first = (desk->first + 1) % DESK_ROOM)
		own_request_destroy(desk->waiting[desk->first]);
	pthread_cond_destroy(&desk->filled);
	pthread_mutex_destroy(&desk->lock);
	free(desk);
}
