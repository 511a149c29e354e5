/* Pages given again: how many are made in a second, when a new one is, and that no other is given.
 */
#include "broker/http_cache.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

Suite *http_cache_suite(void);

static struct http_cache cache;
static unsigned made;

/* As a server asks: gives the number that stands in the page. */
static unsigned ask(const char *path, uint64_t second)
{
	struct http_answer answer;
	char body[32];

	if (!http_cache_find(&cache, path, second, &answer)) {
		snprintf(body, sizeof(body), "%s %u", path, ++made);
		answer = http_text(200, body);
		http_cache_keep(&cache, path, second, &answer);
	}
	const size_t len = strlen(path);

	ck_assert_uint_eq(answer.status, 200);
	ck_assert_uint_eq(answer.len, strlen(answer.body));
	ck_assert_int_eq(strncmp(answer.body, path, len), 0);
	const unsigned number = (unsigned)strtoul(answer.body + len, NULL, 10);

	free(answer.body);
	return number;
}

static void begin(void)
{
	http_cache_init(&cache);
	made = 0;
}

static void end(void)
{
	http_cache_finish(&cache);
}

START_TEST(fresh_at_first)
{
	for (unsigned i = 1; i <= HTTP_FRESH_MAX; i++)
		ck_assert_uint_eq(ask("/a", 7), i);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_uint_eq(ask("/a", 7), HTTP_FRESH_MAX);
	ck_assert_uint_eq(made, HTTP_FRESH_MAX);
}
END_TEST

START_TEST(never_older_than_a_second)
{
	for (unsigned i = 0; i < 100; i++)
		ask("/a", 7);
	ck_assert_uint_eq(ask("/a", 8), HTTP_FRESH_MAX + 1);
	ck_assert_uint_eq(ask("/a", 8), HTTP_FRESH_MAX + 2);
	ck_assert_uint_eq(ask("/a", 7), HTTP_FRESH_MAX + 3); /* a clock that went back */
}
END_TEST

START_TEST(each_for_itself)
{
	for (unsigned i = 0; i < 100; i++) {
		ask("/a", 7);
		ask("/ab", 7);
	}
	ck_assert_uint_eq(made, 2 * HTTP_FRESH_MAX);
}
END_TEST

/* More pages than there is room for: the page of an earlier second goes first. */
START_TEST(more_than_there_is_room_for)
{
	char path[16];

	for (unsigned page = 0; page <= HTTP_CACHED_MAX; page++)
		for (unsigned i = 0; i <= HTTP_FRESH_MAX; i++) {
			snprintf(path, sizeof(path), "/%u", page);
			ask(path, page == 3 ? 6 : 7);
		}
	const unsigned before = made;

	ck_assert_uint_eq(before, (HTTP_CACHED_MAX + 1) * HTTP_FRESH_MAX);
	ask("/0", 7);
	ask("/8", 7);
	ck_assert_uint_eq(made, before);
	ask("/3", 6);
	ck_assert_uint_eq(made, before + 1);
}
END_TEST

Suite *http_cache_suite(void)
{
	Suite *suite = suite_create("http_cache");
	TCase *pages = tcase_create("pages");

	tcase_add_checked_fixture(pages, begin, end);
	tcase_add_test(pages, fresh_at_first);
	tcase_add_test(pages, never_older_than_a_second);
	tcase_add_test(pages, each_for_itself);
	tcase_add_test(pages, more_than_there_is_room_for);
	suite_add_tcase(suite, pages);
	return suite;
}
