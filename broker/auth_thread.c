/* auth_thread.c - see auth_thread.h. */
#include "broker/auth_thread.h"
#include "broker/net/moment.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE 5

/* What one address may have of the queue, and all that are in doubt together. */
#define PART_OF_ADDRESS 4u
#define PART_IN_DOUBT	2u

/* The first guess of how long a check takes. */
#define CHECK_MS 200u

struct auth_thread {
	struct auth_threads *all;
	struct password_arena arena;
	pthread_t thread;
	bool started;
};

/* In the order of arrival. */
struct login_queue {
	struct login *first;
	struct login **last;
	uint32_t count;
	uint32_t weight; /* of all: weight_of() */
};

struct auth_threads {
	struct auth_sink sink;
	pthread_mutex_t lock; /* guards the queues, and how long a check takes */
	pthread_cond_t filled;
	struct login_queue waiting; /* go first */
	struct login_queue doubted;
	uint32_t check_ms; /* on average, of the last ones */
	bool ending;
	uint32_t count;
	struct auth_thread threads[];
};

/* ---- logins ---- */

struct login *login_create(struct slice user, struct slice password)
{
	struct login *login = calloc(1, sizeof *login + user.len + password.len);
	must(login);
	login->user_len = user.len;
	login->password_len = password.len;
	if (user.len > 0)
		memcpy(login->bytes, user.at, user.len);
	if (password.len > 0)
		memcpy(login->bytes + user.len, password.at, password.len);
	return login;
}

void login_destroy(struct login *login)
{
	if (login->grant)
		login->auth->release(login->auth, login->grant);
	explicit_bzero(login, sizeof *login + login->user_len + login->password_len);
	free(login);
}

/* ---- the queue, under its lock ---- */

static uint32_t room(const struct auth_threads *threads)
{
	uint32_t each = threads->check_ms > 0 ? threads->check_ms : 1;
	uint64_t room = (uint64_t)threads->count * LOGIN_WAIT_MS / each;
	return room < LOGIN_ROOM_MIN   ? LOGIN_ROOM_MIN
	       : room > LOGIN_ROOM_MAX ? LOGIN_ROOM_MAX
				       : (uint32_t)room;
}

/* As how many logins it counts: one whose name or password is long takes the room of several. */
static uint32_t weight_of(const struct login *login)
{
	return 1 + (uint32_t)((login->user_len + login->password_len) / LOGIN_BYTES);
}

static uint32_t weight_from(const struct login_queue *queue, const struct throttle_address *from)
{
	uint32_t weight = 0;
	for (const struct login *login = queue->first; login; login = login->next)
		if (memcmp(&login->from, from, sizeof *from) == 0)
			weight += weight_of(login);
	return weight;
}

static bool is_full(const struct auth_threads *threads)
{
	return threads->waiting.weight + threads->doubted.weight >= room(threads);
}

static bool has_room(const struct auth_threads *threads, const struct login *login)
{
	uint32_t all = room(threads);
	uint32_t of_address = weight_from(&threads->waiting, &login->from) +
			      weight_from(&threads->doubted, &login->from);
	return !is_full(threads) &&
	       (!login->doubt || threads->doubted.weight < all / PART_IN_DOUBT) &&
	       of_address < all / PART_OF_ADDRESS;
}

static void queue_init(struct login_queue *queue)
{
	queue->last = &queue->first;
}

static void queue_add(struct login_queue *queue, struct login *login)
{
	*queue->last = login;
	queue->last = &login->next;
	queue->count++;
	queue->weight += weight_of(login);
}

static struct login *queue_take(struct login_queue *queue)
{
	struct login *login = queue->first;
	if (login == NULL)
		return NULL;
	queue->first = login->next;
	if (queue->first == NULL)
		queue->last = &queue->first;
	login->next = NULL;
	queue->count--;
	queue->weight -= weight_of(login);
	return login;
}

static struct login *take_next(struct auth_threads *threads)
{
	struct login *login = queue_take(&threads->waiting);
	return login ? login : queue_take(&threads->doubted);
}

static struct login *take_expired(struct login_queue *queue, uint64_t now_ms)
{
	bool expired = queue->first && queue->first->since_ms + LOGIN_PATIENCE_MS <= now_ms;
	return expired ? queue_take(queue) : NULL;
}

/* What still waits of an address goes behind the others, now that it is in doubt. */
static void demote(struct auth_threads *threads, const struct throttle_address *from)
{
	for (uint32_t left = threads->waiting.count; left > 0; left--) {
		struct login *login = queue_take(&threads->waiting);
		must(login);
		bool same = memcmp(&login->from, from, sizeof *from) == 0;
		queue_add(same ? &threads->doubted : &threads->waiting, login);
	}
}

static void turn_away(struct auth_threads *threads, struct login *login)
{
	login->reason = MQTT_SERVER_BUSY;
	threads->sink.done(threads->sink.self, login);
}

/* Those in doubt make room, as far as that is enough: a chain of them. */
static struct login *displace(struct auth_threads *threads)
{
	struct login *displaced = NULL;
	while (is_full(threads) && threads->waiting.weight < room(threads)) {
		struct login *login = queue_take(&threads->doubted);
		must(login);
		login->next = displaced;
		displaced = login;
	}
	return displaced;
}

bool auth_threads_submit(struct auth_threads *threads, struct login *login, uint64_t now_ms)
{
	struct login *displaced = NULL;
	pthread_mutex_lock(&threads->lock);
	if (login->doubt)
		demote(threads, &login->from);
	else
		displaced = displace(threads);
	bool fits = !threads->ending && has_room(threads, login);
	if (fits) {
		login->since_ms = now_ms;
		queue_add(login->doubt ? &threads->doubted : &threads->waiting, login);
	}
	pthread_mutex_unlock(&threads->lock);
	while (displaced) {
		struct login *next = displaced->next;
		turn_away(threads, displaced);
		displaced = next;
	}
	if (fits)
		pthread_cond_signal(&threads->filled);
	return fits;
}

void auth_threads_expire(struct auth_threads *threads, uint64_t now_ms)
{
	for (;;) {
		pthread_mutex_lock(&threads->lock);
		struct login *login = take_expired(&threads->waiting, now_ms);
		if (login == NULL)
			login = take_expired(&threads->doubted, now_ms);
		pthread_mutex_unlock(&threads->lock);
		if (login == NULL)
			return;
		turn_away(threads, login);
	}
}

/* ---- the threads ---- */

/* NULL at the end. */
static struct login *wait_for_login(struct auth_threads *threads)
{
	pthread_mutex_lock(&threads->lock);
	while (threads->waiting.count + threads->doubted.count == 0 && !threads->ending)
		pthread_cond_wait(&threads->filled, &threads->lock);
	struct login *login = threads->ending ? NULL : take_next(threads);
	pthread_mutex_unlock(&threads->lock);
	return login;
}

static void learn(struct auth_threads *threads, uint64_t took_ms)
{
	uint32_t took = took_ms < LOGIN_WAIT_MS ? (uint32_t)took_ms : LOGIN_WAIT_MS;
	pthread_mutex_lock(&threads->lock);
	threads->check_ms = (threads->check_ms * 7 + took) / 8;
	pthread_mutex_unlock(&threads->lock);
}

static void *run(void *self)
{
	struct auth_thread *thread = self;
	struct auth_threads *all = thread->all;
	struct login *login;
	char name[16];
	snprintf(name, sizeof name, "login %td", (thread - all->threads) % 1000);
	pthread_setname_np(pthread_self(), name);
	/* For this thread alone, on Linux. */
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	while ((login = wait_for_login(all)) != NULL) {
		uint64_t begin_ms = moment_now().ms;
		all->sink.check(all->sink.self, &thread->arena, login);
		learn(all, moment_now().ms - begin_ms);
		all->sink.done(all->sink.self, login);
	}
	return NULL;
}

static bool start(struct auth_threads *threads, uint32_t i, uint32_t memory_kib,
		  struct failure *failure)
{
	struct auth_thread *thread = &threads->threads[i];
	thread->all = threads;
	if (!password_arena_init(&thread->arena, memory_kib, failure))
		return false;
	int error = pthread_create(&thread->thread, NULL, run, thread);
	if (error != 0)
		return failure_set(failure, "cannot start a thread for logins: %s",
				   strerror(error));
	thread->started = true;
	return true;
}

struct auth_threads *auth_threads_create(uint32_t count, uint32_t memory_kib,
					 const struct auth_sink *sink, struct failure *failure)
{
	struct auth_threads *threads =
	    calloc(1, sizeof *threads + count * sizeof threads->threads[0]);
	must(threads);
	threads->sink = *sink;
	queue_init(&threads->waiting);
	queue_init(&threads->doubted);
	threads->check_ms = CHECK_MS;
	must(pthread_mutex_init(&threads->lock, NULL) == 0);
	must(pthread_cond_init(&threads->filled, NULL) == 0);
	for (; threads->count < count; threads->count++)
		if (!start(threads, threads->count, memory_kib, failure)) {
			threads->count++;
			auth_threads_destroy(threads);
			return NULL;
		}
	return threads;
}

void auth_threads_destroy(struct auth_threads *threads)
{
	if (threads == NULL)
		return;
	pthread_mutex_lock(&threads->lock);
	threads->ending = true;
	pthread_mutex_unlock(&threads->lock);
	pthread_cond_broadcast(&threads->filled);
	for (uint32_t i = 0; i < threads->count; i++) {
		struct auth_thread *thread = &threads->threads[i];
		if (thread->started)
			must(pthread_join(thread->thread, NULL) == 0);
		password_arena_finish(&thread->arena);
	}
	for (struct login *login; (login = take_next(threads)) != NULL;)
		login_destroy(login);
	pthread_cond_destroy(&threads->filled);
	pthread_mutex_destroy(&threads->lock);
	free(threads);
}
