/* test_auth_thread.c - logins wait in a bounded queue, and each has its answer. */
#include "broker/auth_thread.h"
#include "tests/unit/packets.h"
#include <pthread.h>
#include <semaphore.h>

#define ROOM	   15u /* of one thread, with the first guess of how long a check takes */
#define OF_ADDRESS 3u
#define IN_DOUBT   7u

/* Checks stand still until they are let go; answers are noted by the login's serial. */
struct door {
	sem_t begun, go, answered;
	pthread_mutex_t lock;
	enum mqtt_reason reasons[64];
	unsigned order[64], count;
};

static struct door door;
static struct auth_threads *threads;

static void check_login(void *self, struct password_arena *arena, struct login *login)
{
	(void)arena;
	ck_assert_ptr_eq(self, &door);
	sem_post(&door.begun);
	sem_wait(&door.go);
	login->reason =
	    slice_equal(login_password(login), SLICE_LITERAL("right")) ? 0 : MQTT_NOT_AUTHORIZED;
}

static void login_done(void *self, struct login *login)
{
	(void)self;
	pthread_mutex_lock(&door.lock);
	door.reasons[login->serial] = login->reason;
	door.order[door.count++] = (unsigned)login->serial;
	pthread_mutex_unlock(&door.lock);
	login_destroy(login);
	sem_post(&door.answered);
}

static void begin(void)
{
	const struct auth_sink sink = {&door, check_login, login_done};
	struct failure failure;

	memset(&door, 0, sizeof(door));
	sem_init(&door.begun, 0, 0);
	sem_init(&door.go, 0, 0);
	sem_init(&door.answered, 0, 0);
	pthread_mutex_init(&door.lock, NULL);
	threads = auth_threads_create(1, 64, &sink, &failure);
	ck_assert_ptr_nonnull(threads);
}

static bool submit_password(struct slice password, unsigned serial, uint8_t address, bool doubt,
			    uint64_t now_ms)
{
	struct login *login = login_create(SLICE_LITERAL("user"), password);

	login->serial = serial;
	login->from.at[15] = address;
	login->doubt = doubt;
	if (auth_threads_submit(threads, login, now_ms))
		return true;
	login_destroy(login);
	return false;
}

static bool submit(unsigned serial, uint8_t address, bool doubt, uint64_t now_ms)
{
	return submit_password(SLICE_LITERAL("right"), serial, address, doubt, now_ms);
}

/* The first login is with the thread, so that what comes then has to wait. */
static void begin_busy(void)
{
	begin();
	ck_assert(submit(0, 200, false, 1000));
	sem_wait(&door.begun);
}

static void let_go(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		sem_post(&door.go);
	for (unsigned i = 0; i < count; i++)
		sem_wait(&door.answered);
}

/* Who still waits may have an answer or be forgotten with the rest. */
static void finish(void)
{
	for (unsigned i = 0; i < 64; i++)
		sem_post(&door.go);
	auth_threads_destroy(threads);
}

START_TEST(answers_in_order)
{
	begin_busy();
	for (unsigned i = 1; i < 4; i++)
		ck_assert(submit(i, (uint8_t)i, false, 1000));
	let_go(4);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(door.order[i], i);
		ck_assert_int_eq(door.reasons[i], MQTT_SUCCESS);
	}
	auth_threads_destroy(threads);
}
END_TEST

START_TEST(is_bounded)
{
	unsigned taken = 0;

	begin_busy();
	for (unsigned i = 1; i < 60; i++)
		taken += submit(i, (uint8_t)i, false, 1000);
	ck_assert_uint_eq(taken, ROOM);
	auth_threads_expire(threads, 1000 + LOGIN_PATIENCE_MS - 1);
	ck_assert_uint_eq(door.count, 0);
	/* Nobody waits for ever, even if no check comes to its end. */
	auth_threads_expire(threads, 1000 + LOGIN_PATIENCE_MS);
	ck_assert_uint_eq(door.count, ROOM);
	for (unsigned i = 1; i <= ROOM; i++)
		ck_assert_int_eq(door.reasons[i], MQTT_SERVER_BUSY);
	finish();
}
END_TEST

START_TEST(one_address_leaves_room)
{
	unsigned taken = 0;

	begin_busy();
	for (unsigned i = 1; i < 20; i++)
		taken += submit(i, 1, false, 1000);
	ck_assert_uint_eq(taken, OF_ADDRESS);
	ck_assert(submit(20, 2, false, 1000));
	finish();
}
END_TEST

/* Who is in doubt goes last, has half of the room, and gives way. */
START_TEST(doubt_goes_behind)
{
	unsigned taken = 0, busy = 0;

	begin_busy();
	for (unsigned i = 1; i < 20; i++)
		taken += submit(i, (uint8_t)i, true, 1000);
	ck_assert_uint_eq(taken, IN_DOUBT);
	for (unsigned i = 20; i < 20 + ROOM; i++)
		ck_assert(submit(i, (uint8_t)i, false, 1000));
	ck_assert(!submit(50, 50, false, 1000));
	for (unsigned i = 0; i < door.count; i++)
		busy +=
		    door.reasons[door.order[i]] == MQTT_SERVER_BUSY && door.order[i] <= IN_DOUBT;
	ck_assert_uint_eq(busy, IN_DOUBT);
	ck_assert_uint_eq(door.count, IN_DOUBT);
	finish();
}
END_TEST

/* What waits of an address goes behind the others as soon as it is in doubt. */
START_TEST(doubt_comes_later)
{
	begin_busy();
	ck_assert(submit(1, 1, false, 1000));
	ck_assert(submit(2, 2, false, 1000));
	ck_assert(submit(3, 1, true, 1000));
	let_go(4);
	ck_assert_uint_eq(door.order[1], 2);
	ck_assert_uint_eq(door.order[2], 1);
	ck_assert_uint_eq(door.order[3], 3);
	auth_threads_destroy(threads);
}
END_TEST

/* What waits holds memory: a long password takes the room of several, and gives it back. */
START_TEST(long_passwords_take_more_room)
{
	static uint8_t bytes[3 * LOGIN_BYTES];
	const struct slice password = slice_of(bytes, sizeof(bytes));
	unsigned taken = 0;

	begin_busy();
	for (unsigned i = 1; i < 20; i++)
		taken += submit_password(password, i, (uint8_t)i, false, 1000);
	ck_assert_uint_eq(taken, (ROOM + 3) / 4);
	auth_threads_expire(threads, 1000 + LOGIN_PATIENCE_MS);
	for (unsigned i = 20; i < 60; i++)
		taken += submit(i, (uint8_t)i, false, 1000);
	ck_assert_uint_eq(taken, (ROOM + 3) / 4 + ROOM);
	finish();
}
END_TEST

/* One that is in doubt with a long password makes way for one that is not. */
START_TEST(who_makes_way_makes_enough)
{
	static uint8_t bytes[20 * LOGIN_BYTES];

	begin_busy();
	ck_assert(submit(1, 1, true, 1000));
	ck_assert(submit_password(slice_of(bytes, sizeof(bytes)), 2, 2, true, 1000));
	ck_assert(!submit(3, 3, true, 1000));
	ck_assert(submit(4, 4, false, 1000));
	ck_assert_uint_eq(door.count, 2);
	ck_assert_int_eq(door.reasons[1], MQTT_SERVER_BUSY);
	ck_assert_int_eq(door.reasons[2], MQTT_SERVER_BUSY);
	finish();
}
END_TEST

Suite *auth_thread_suite(void)
{
	const TTest *const tests[] = {answers_in_order,		 is_bounded,
				      one_address_leaves_room,	 doubt_goes_behind,
				      doubt_comes_later,	 long_passwords_take_more_room,
				      who_makes_way_makes_enough};

	return suite_of("auth_thread", tests, COUNT_OF(tests));
}
