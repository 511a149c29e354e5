/* The mailbox: order of each writer, no lost wake-up, none in vain, weights. */
#include "broker/mailbox.h"

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

Suite *mailbox_suite(void);

#define WRITERS	     4
#define PER_WRITER   20000
#define PER_WRITE    3
#define WAKE_WAIT_MS 5000

static struct failure failure;

/* Pointers that are never followed carry a number. */
static struct parcel parcel_of(uintptr_t number)
{
	return (struct parcel){.type = PARCEL_MAIL, .mail = (struct mail *)number};
}

static uintptr_t number_of(const struct parcel *parcel)
{
	return (uintptr_t)parcel->mail;
}

static bool rings(const struct mailbox *mailbox)
{
	struct pollfd wait = {.fd = mailbox->bell, .events = POLLIN};

	return poll(&wait, 1, 0) == 1;
}

static void post(struct mailbox *mailbox, uintptr_t number, uint64_t weight)
{
	struct parcel parcel = parcel_of(number);

	mailbox_post(mailbox, &parcel, 1, weight);
}

START_TEST(in_order)
{
	struct mailbox mailbox;
	struct parcel two[] = {parcel_of(1), parcel_of(2)};
	size_t count;

	ck_assert(mailbox_init(&mailbox, &failure));
	mailbox_post(&mailbox, two, 2, 0);
	post(&mailbox, 3, 0);
	const struct parcel *parcels = mailbox_take(&mailbox, &count);

	ck_assert_uint_eq(count, 3);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(number_of(&parcels[i]), i + 1);
	mailbox_take(&mailbox, &count);
	ck_assert_uint_eq(count, 0);
	mailbox_finish(&mailbox);
}
END_TEST

START_TEST(bell_for_the_sleeping_only)
{
	struct mailbox mailbox;
	size_t count;

	ck_assert(mailbox_init(&mailbox, &failure));
	post(&mailbox, 1, 0);
	ck_assert_msg(!rings(&mailbox), "the reader is awake");
	ck_assert_msg(!mailbox_sleep(&mailbox), "something waits");
	mailbox_take(&mailbox, &count);
	ck_assert(mailbox_sleep(&mailbox));
	mailbox_post(&mailbox, NULL, 0, 0);
	ck_assert_msg(!rings(&mailbox), "nothing was posted");
	post(&mailbox, 2, 0);
	ck_assert(rings(&mailbox));
	post(&mailbox, 3, 0);
	mailbox_take(&mailbox, &count);
	ck_assert_uint_eq(count, 2);
	ck_assert_msg(!rings(&mailbox), "taking silences the bell");
	mailbox_finish(&mailbox);
}
END_TEST

START_TEST(weight)
{
	struct mailbox mailbox;
	size_t count;

	ck_assert(mailbox_init(&mailbox, &failure));
	post(&mailbox, 1, 100);
	post(&mailbox, 2, 11);
	ck_assert_uint_eq(mailbox_weight(&mailbox), 111);
	mailbox_take(&mailbox, &count);
	ck_assert_uint_eq(mailbox_weight(&mailbox), 0);
	mailbox_finish(&mailbox);
}
END_TEST

/* After a flood the memory of the lists goes back. */
START_TEST(shrinks)
{
	struct mailbox mailbox;
	size_t count;

	ck_assert(mailbox_init(&mailbox, &failure));
	for (uintptr_t i = 1; i <= 100000; i++)
		post(&mailbox, i, 0);
	mailbox_take(&mailbox, &count);
	ck_assert_uint_eq(count, 100000);
	for (int i = 0; i < 8; i++) {
		post(&mailbox, 1, 0);
		mailbox_take(&mailbox, &count);
	}
	ck_assert_uint_lt(mailbox.taken.room + mailbox.waiting.room, 5000);
	mailbox_finish(&mailbox);
}
END_TEST

struct writer {
	struct mailbox *mailbox;
	uintptr_t number;
};

static void *write_many(void *self)
{
	const struct writer *writer = self;
	struct parcel parcels[PER_WRITE];

	for (uintptr_t i = 0; i < PER_WRITER; i += PER_WRITE) {
		size_t n = 0;

		for (; n < PER_WRITE && i + n < PER_WRITER; n++)
			parcels[n] = parcel_of(writer->number << 32 | (i + n));
		mailbox_post(writer->mailbox, parcels, n, 1);
	}
	return NULL;
}

/* Everything arrives, each writer's in its order, though the reader sleeps when it can. */
START_TEST(many_writers)
{
	struct mailbox mailbox;
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	uintptr_t next[WRITERS] = {0};
	size_t left = (size_t)WRITERS * PER_WRITER;

	ck_assert(mailbox_init(&mailbox, &failure));
	for (uintptr_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){&mailbox, i};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
	}
	while (left > 0) {
		struct pollfd wait = {.fd = mailbox.bell, .events = POLLIN};
		size_t count;

		if (mailbox_sleep(&mailbox))
			ck_assert_msg(poll(&wait, 1, WAKE_WAIT_MS) == 1, "a wake-up was lost");
		const struct parcel *parcels = mailbox_take(&mailbox, &count);

		for (size_t i = 0; i < count; i++) {
			uintptr_t writer = number_of(&parcels[i]) >> 32;

			ck_assert_uint_eq(number_of(&parcels[i]) & 0xffffffff, next[writer]++);
		}
		left -= count;
	}
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	mailbox_finish(&mailbox);
}
END_TEST

Suite *mailbox_suite(void)
{
	Suite *suite = suite_create("mailbox");
	TCase *tests = tcase_create("mailbox");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, in_order);
	tcase_add_test(tests, bell_for_the_sleeping_only);
	tcase_add_test(tests, weight);
	tcase_add_test(tests, shrinks);
	tcase_add_test(tests, many_writers);
	suite_add_tcase(suite, tests);
	return suite;
}
