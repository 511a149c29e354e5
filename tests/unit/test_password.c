/* test_password.c - stored passwords: their forms, whether one is the one, and what that costs. */
#include "auth/password.h"
#include "proto/base.h"

#include <check.h>
#include <stdio.h>
#include <time.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct password_cost small = {64, 1, 4};

/* Stored by mosquitto_passwd of Debian 12 (2.0.11), and by the tests of libargon2. */
static const struct {
	const char *stored, *password;
} made_by_others[] = {
    {"$6$4GZiTCBJdrxu3lep$c6tPn56Xz8L4gYLK9JVlYjVFLyaW6NAXu5/"
     "AWvO1e33+AkIWra2UL1cbTuVbGOguVvojvNFTQ5XnW+Hn/qlo5g==",
     "secret"},
    {"$7$101$1Na7CN+kMjFqME8u$3sQ9oalLjUlrxh92WsHsZ5kACXeoXwoXARuIB0Na9/"
     "S+pz9foXux0ySpZ53BeF9Q9hblUJNNexXyPaCbZX2owA==",
     "a longer secret: \xc3\xbc"},
    {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
     "password"},
    {"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
     "password"},
};

static struct password_hash read_right(const char *text)
{
	struct password_hash hash;
	const char *wrong = NULL;

	ck_assert_msg(password_read(slice_text(text), &hash, &wrong), "%s", wrong);
	return hash;
}

static bool check(const struct password_hash *hash, const char *password)
{
	struct password_work work = password_work_of(small);
	struct password_arena arena;
	struct failure failure;
	bool same;

	if (hash)
		password_work_include(&work, hash);
	ck_assert(password_arena_init(&arena, 65536, &failure));
	same = password_check(&arena, &work, hash, slice_text(password));
	password_arena_finish(&arena);
	return same;
}

START_TEST(takes_what_others_made)
{
	const char *text = made_by_others[_i].stored;
	struct password_hash hash = read_right(text);
	char again[PASSWORD_TEXT_MAX];

	password_write(&hash, again);
	ck_assert_str_eq(again, text);
	ck_assert(check(&hash, made_by_others[_i].password));
}
END_TEST

/* The text of the file itself is nobody's password. */
START_TEST(takes_nothing_else)
{
	struct password_hash hash = read_right(made_by_others[_i].stored);
	const char *password = made_by_others[_i].password;
	char other[64];

	ck_assert(!check(&hash, ""));
	ck_assert(!check(&hash, made_by_others[_i].stored));
	snprintf(other, sizeof(other), "%s ", password);
	ck_assert(!check(&hash, other));
	snprintf(other, sizeof(other), "%.*s", (int)strlen(password) - 1, password);
	ck_assert(!check(&hash, other));
	ck_assert(!check(NULL, password));
	ck_assert(!check(NULL, ""));
}
END_TEST

/* Every length that a form can be cut to is refused, and said to be wrong. */
START_TEST(refuses_what_is_cut_off)
{
	const char *text = made_by_others[_i].stored;

	for (size_t len = 0; len < strlen(text); len++) {
		struct password_hash hash;
		const char *wrong = NULL;

		/* Argon2's digest has no fixed length: a shorter one is another hash. */
		if (password_read(slice_of(text, len), &hash, &wrong)) {
			ck_assert_int_eq(hash.kind, PASSWORD_ARGON2ID);
			ck_assert(hash.digest_len >= 16);
			ck_assert(!check(&hash, made_by_others[_i].password));
		} else {
			ck_assert_ptr_nonnull(wrong);
		}
	}
}
END_TEST

static const char *const malformed[] = {
    "",
    "secret",
    "$",
    "$1$abc$def",
    "$5$abc$def",
    "$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$argon2id$v=16$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$argon2id$v=19$m=15,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$argon2id$v=19$m=256,t=0,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$argon2id$v=19$m=256,t=1001,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$argon2id$v=19$m=1024,t=2,p=65$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc=",
    "$argon2id$v=19$m=256,t=2,p=2$$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$",
    "$7$0$1Na7CN+kMjFqME8u$3sQ9oalLjUlrxh92WsHsZ5kACXeoXwoXARuIB0Na9/"
    "S+pz9foXux0ySpZ53BeF9Q9hblUJNNexXyPaCbZX2owA==",
    "$7$10000001$1Na7CN+kMjFqME8u$3sQ9oalLjUlrxh92WsHsZ5kACXeoXwoXARuIB0Na9/"
    "S+pz9foXux0ySpZ53BeF9Q9hblUJNNexXyPaCbZX2owA==",
    "$7$-1$1Na7CN+kMjFqME8u$3sQ9oalLjUlrxh92WsHsZ5kACXeoXwoXARuIB0Na9/"
    "S+pz9foXux0ySpZ53BeF9Q9hblUJNNexXyPaCbZX2owA==",
    "$6$4GZiTCBJdrxu3lep$c6tPn56Xz8L4gYLK9JVlYjVFLyaW6NAXu5/"
    "AWvO1e33+AkIWra2UL1cbTuVbGOguVvojvNFTQ5XnW+Hn/qlo5g== ",
    "$6$$",
    "$6$4GZiTCBJdrxu3lep$c6tPn56Xz8L4gYLK9JVlYjVFLyaW6N\xb7\xa7\x8a\xca/"
    "AWvO1e33+AkIWra2UL1cbTuVbGOguVvojvNFTQ5XnW+Hn/qlo5g==",
};

START_TEST(refuses_what_is_malformed)
{
	struct password_hash hash;
	const char *wrong = NULL;

	ck_assert(!password_read(slice_text(malformed[_i]), &hash, &wrong));
	ck_assert_ptr_nonnull(wrong);
}
END_TEST

START_TEST(makes_new_ones)
{
	struct password_arena arena;
	struct password_hash first, second;
	struct failure failure;
	char text[PASSWORD_TEXT_MAX];

	ck_assert(password_arena_init(&arena, small.memory_kib, &failure));
	password_make(&arena, small, SLICE_LITERAL("one"), &first);
	password_make(&arena, small, SLICE_LITERAL("one"), &second);
	password_arena_finish(&arena);
	ck_assert_mem_ne(first.salt, second.salt, 16);
	ck_assert_mem_ne(first.digest, second.digest, 32);
	password_write(&first, text);
	ck_assert_ptr_nonnull(strstr(text, "$argon2id$v=19$m=64,t=1,p=4$"));
	first = read_right(text);
	ck_assert(check(&first, "one"));
	ck_assert(!check(&first, "two"));
}
END_TEST

/* ---- the same time for everybody ---- */

static double seconds_of(struct password_arena *arena, const struct password_work *work,
			 const struct password_hash *hash)
{
	struct timespec from, to;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	ck_assert(!password_check(arena, work, hash, SLICE_LITERAL("wrong")));
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

/* The least of each, in turn: what else the machine does takes of all of them. */
static void measure(struct password_arena *arena, const struct password_work *work,
		    const struct password_hash *const *hashes, double *least, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		double s = seconds_of(arena, work, hashes[i]);

		if (least[i] == 0 || s < least[i])
			least[i] = s;
	}
}

static bool all_alike(const double *s, size_t count)
{
	bool alike = true;

	for (size_t i = 1; i < count; i++)
		alike = alike && s[i] > 0.7 * s[0] && s[i] < 1.4 * s[0];
	return alike;
}

/* A form that is cheap, one that is dear, and nobody: refused after the same time. */
START_TEST(refuses_all_in_the_same_time)
{
	struct password_hash hashes[3] = {read_right(made_by_others[0].stored),
					  read_right(made_by_others[1].stored),
					  read_right(made_by_others[3].stored)};
	const struct password_hash *const asked[] = {NULL, &hashes[0], &hashes[1], &hashes[2]};
	double s[COUNT_OF(asked)] = {0};
	struct password_work work = password_work_of((struct password_cost){8192, 2, 4});
	struct password_arena arena;
	struct failure failure;

	hashes[1].rounds = 2000;
	for (size_t i = 0; i < COUNT_OF(hashes); i++)
		password_work_include(&work, &hashes[i]);
	ck_assert(password_arena_init(&arena, 8192, &failure));
	for (int round = 0; round < 5 || (round < 40 && !all_alike(s, COUNT_OF(s))); round++)
		measure(&arena, &work, asked, s, COUNT_OF(s));
	ck_assert_msg(all_alike(s, COUNT_OF(s)), "nobody %f s; %f, %f and %f s", s[0], s[1], s[2],
		      s[3]);
	password_arena_finish(&arena);
}
END_TEST

Suite *password_suite(void);
Suite *password_suite(void)
{
	Suite *suite = suite_create("password");
	TCase *tests = tcase_create("password");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, takes_what_others_made, 0, COUNT_OF(made_by_others));
	tcase_add_loop_test(tests, takes_nothing_else, 0, COUNT_OF(made_by_others));
	tcase_add_loop_test(tests, refuses_what_is_cut_off, 0, COUNT_OF(made_by_others));
	tcase_add_loop_test(tests, refuses_what_is_malformed, 0, COUNT_OF(malformed));
	tcase_add_test(tests, makes_new_ones);
	tcase_add_test(tests, refuses_all_in_the_same_time);
	suite_add_tcase(suite, tests);
	return suite;
}
