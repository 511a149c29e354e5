/*
 * seal.h, held against what others published: C2SP XAES-256-GCM, RFC 5869 appendix A, RFC 4231.
 * seal_bytes() draws its own nonce, so it is held against seal_open(), which opens the published
 * texts.
 */
#include "storage/seal.h"
#include "tests/unit/random.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *seal_suite(void);

static struct slice unhex(const char *hex, uint8_t *at)
{
	const size_t len = strlen(hex) / 2;
	unsigned value;

	for (size_t i = 0; i < len; i++) {
		ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &value), 1);
		at[i] = (uint8_t)value;
	}
	return slice_of(at, len);
}

static void fill(uint8_t *at, size_t len, uint8_t first, uint8_t step)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(first + i * step);
}

/* ---- sealing */

/* The first key encrypts zero to a block that begins with a bit 0, the second with a bit 1. */
START_TEST(published_texts_open)
{
	static const struct {
		uint8_t key;
		const char *associated;
		const char *sealed;
	} published[] = {
	    {1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
	    {3, "c2sp.org/XAES-256-GCM",
	     "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	};
	uint8_t sealed[SEAL_NONCE_LEN + 28] = "ABCDEFGHIJKLMNOPQRSTUVWX";
	uint8_t key[SEAL_KEY_LEN];
	uint8_t plain[12];

	memset(key, published[_i].key, sizeof(key));
	unhex(published[_i].sealed, sealed + SEAL_NONCE_LEN);
	ck_assert(seal_open(key, slice_text(published[_i].associated),
			    slice_of(sealed, sizeof(sealed)), plain));
	ck_assert_mem_eq(plain, "XAES-256-GCM", sizeof(plain));
}
END_TEST

static const uint8_t some_key[SEAL_KEY_LEN] = "a key of thirty-two bytes, just";
#define PLACE SLICE_LITERAL("where it belongs")

START_TEST(what_was_sealed_opens)
{
	struct random random = random_start();
	uint8_t plain[300];
	uint8_t opened[300];
	uint8_t sealed[300 + SEAL_OVERHEAD];

	for (size_t len = 0; len <= sizeof(plain); len += 1 + random_below(&random, 7)) {
		fill(plain, len, (uint8_t)len, 3);
		seal_bytes(some_key, PLACE, slice_of(plain, len), sealed);
		memset(opened, 0, sizeof(opened));
		ck_assert_msg(
		    seal_open(some_key, PLACE, slice_of(sealed, len + SEAL_OVERHEAD), opened),
		    "%zu bytes, " RANDOM_SEED, len, random.seed);
		ck_assert(slice_equal(slice_of(opened, len), slice_of(plain, len)));
	}
}
END_TEST

START_TEST(sealed_and_opened_in_place)
{
	uint8_t bytes[5 + SEAL_OVERHEAD];
	uint8_t *text = bytes + SEAL_NONCE_LEN;

	memcpy(text, "hello", 5);
	seal_bytes(some_key, PLACE, slice_of(text, 5), bytes);
	ck_assert_mem_ne(text, "hello", 5);
	ck_assert(seal_open(some_key, PLACE, slice_of(bytes, sizeof(bytes)), text));
	ck_assert_mem_eq(text, "hello", 5);
}
END_TEST

START_TEST(what_was_changed_does_not_open)
{
	uint8_t sealed[5 + SEAL_OVERHEAD];
	uint8_t plain[5];

	seal_bytes(some_key, PLACE, SLICE_LITERAL("hello"), sealed);
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert(!seal_open(some_key, PLACE, slice_of(sealed, sizeof(sealed)), plain));
		ck_assert_mem_ne(plain, "hello", 5);
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t len = 0; len < sizeof(sealed); len++)
		ck_assert(!seal_open(some_key, PLACE, slice_of(sealed, len), plain));
	ck_assert(seal_open(some_key, PLACE, slice_of(sealed, sizeof(sealed)), plain));
}
END_TEST

START_TEST(what_was_moved_does_not_open)
{
	static const uint8_t other_key[SEAL_KEY_LEN] = "a key of thirty-two bytes, this";
	uint8_t sealed[5 + SEAL_OVERHEAD];
	uint8_t plain[5];

	seal_bytes(some_key, PLACE, SLICE_LITERAL("hello"), sealed);
	const struct slice all = slice_of(sealed, sizeof(sealed));

	ck_assert(!seal_open(other_key, PLACE, all, plain));
	ck_assert(!seal_open(some_key, SLICE_NONE, all, plain));
	ck_assert(!seal_open(some_key, slice_after(PLACE, 1), all, plain));
}
END_TEST

static int compare_nonces(const void *a, const void *b)
{
	return memcmp(a, b, SEAL_NONCE_LEN);
}

static void all_differ(uint8_t *nonces, size_t count)
{
	qsort(nonces, count, SEAL_NONCE_LEN, compare_nonces);
	for (size_t i = 1; i < count; i++)
		ck_assert_mem_ne(nonces + (i - 1) * SEAL_NONCE_LEN, nonces + i * SEAL_NONCE_LEN,
				 SEAL_NONCE_LEN);
}

/* In one thread, in several, and in a child that began as a copy of us. */
enum { BESIDES = 4, EACH = 200 };

static uint8_t nonces[BESIDES * EACH * SEAL_NONCE_LEN];

static uint8_t *nonce(size_t i)
{
	return nonces + i * SEAL_NONCE_LEN;
}

static void *draw(void *first)
{
	uint8_t sealed[SEAL_OVERHEAD];

	for (size_t i = 0; i < EACH; i++) {
		seal_bytes(some_key, SLICE_NONE, SLICE_NONE, sealed);
		memcpy((uint8_t *)first + i * SEAL_NONCE_LEN, sealed, SEAL_NONCE_LEN);
	}
	return NULL;
}

static void draw_in_child(void *first)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	const pid_t child = fork();

	if (child == 0) {
		draw(first);
		_exit(write(ends[1], first, EACH * SEAL_NONCE_LEN) != EACH * SEAL_NONCE_LEN);
	}
	ck_assert_int_eq(read(ends[0], first, EACH * SEAL_NONCE_LEN), EACH * SEAL_NONCE_LEN);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	close(ends[0]);
	close(ends[1]);
}

START_TEST(no_nonce_comes_twice)
{
	pthread_t threads[BESIDES - 1];

	draw_in_child(nonce(0));
	for (size_t i = 0; i + 1 < BESIDES; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, draw, nonce((i + 1) * EACH)), 0);
	for (size_t i = 0; i + 1 < BESIDES; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	all_differ(nonces, (size_t)BESIDES * EACH);
}
END_TEST

/* ---- keys */

static struct slice series(uint8_t *at, uint8_t first, size_t len)
{
	fill(at, len, first, 1);
	return slice_of(at, len);
}

/* RFC 5869, A.1 to A.3. */
START_TEST(hkdf_is_that_of_the_rfc)
{
	static const char *const wanted[] = {
	    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
	    "34007208d5b887185865",
	    "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
	    "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
	    "cc30c58179ec3e87c14c01d5c1f3434f1d87",
	    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
	    "9d201395faa4b61a96c8",
	};
	uint8_t salt[80];
	uint8_t secret[80];
	uint8_t info[80];
	uint8_t out[82];
	uint8_t right[82];
	const struct slice want = unhex(wanted[_i], right);

	memset(secret, 0x0b, sizeof(secret));
	if (_i == 0)
		seal_hkdf(series(salt, 0, 13), slice_of(secret, 22), series(info, 0xf0, 10), out,
			  want.len);
	else if (_i == 1)
		seal_hkdf(series(salt, 0x60, 80), series(secret, 0, 80), series(info, 0xb0, 80),
			  out, want.len);
	else
		seal_hkdf(SLICE_NONE, slice_of(secret, 22), SLICE_NONE, out, want.len);
	ck_assert_mem_eq(out, want.at, want.len);
}
END_TEST

/* RFC 4231, 4.2 to 4.5: HMAC fills a shorter key with zeros, so ours of 32 bytes can be theirs. */
START_TEST(hmac_is_that_of_the_rfc)
{
	static const char *const wanted[] = {
	    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
	    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
	    "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
	    "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
	};
	const struct slice texts[] = {SLICE_LITERAL("Hi There"),
				      SLICE_LITERAL("what do ya want for nothing?")};
	uint8_t key[SEAL_KEY_LEN] = {0};
	uint8_t bytes[50];
	uint8_t out[SEAL_KEY_LEN];
	uint8_t right[SEAL_KEY_LEN];

	if (_i == 1)
		memcpy(key, "Jefe", 4);
	else if (_i == 3)
		fill(key, 25, 1, 1);
	else
		memset(key, _i == 0 ? 0x0b : 0xaa, 20);
	memset(bytes, _i == 2 ? 0xdd : 0xcd, sizeof(bytes));
	seal_mac(key, _i < 2 ? texts[_i] : slice_of(bytes, sizeof(bytes)), out);
	unhex(wanted[_i], right);
	ck_assert_mem_eq(out, right, sizeof(out));
}
END_TEST

/* The value is that of Python's cryptography: HKDF(SHA256, 32, None, b"metrino/1|row|account|7").
 */
START_TEST(purpose_class_and_epoch_make_the_key)
{
	uint8_t right[SEAL_KEY_LEN];
	uint8_t key[SEAL_KEY_LEN];
	uint8_t other[SEAL_KEY_LEN];

	unhex("ca4e7f2d303ff2375311bc2afff4f47c74a6fc1e79ce6ed3e662b57098ae7967", right);
	seal_derive(some_key, "row", "account", 7, key);
	ck_assert_mem_eq(key, right, sizeof(key));
	seal_derive(some_key, "rows", "account", 7, other);
	ck_assert_mem_ne(key, other, sizeof(key));
	seal_derive(some_key, "row", "session", 7, other);
	ck_assert_mem_ne(key, other, sizeof(key));
	seal_derive(some_key, "row", "account", UINT64_MAX, other);
	ck_assert_mem_ne(key, other, sizeof(key));
}
END_TEST

/* A name that holds the mark between names could be two others. */
START_TEST(names_cannot_run_together)
{
	uint8_t key[SEAL_KEY_LEN];

	seal_derive(some_key, "a|b", "c", 1, key);
}
END_TEST

Suite *seal_suite(void)
{
	Suite *suite = suite_create("seal");
	TCase *tcase = tcase_create("seal");

	tcase_add_loop_test(tcase, published_texts_open, 0, 2);
	tcase_add_test(tcase, what_was_sealed_opens);
	tcase_add_test(tcase, sealed_and_opened_in_place);
	tcase_add_test(tcase, what_was_changed_does_not_open);
	tcase_add_test(tcase, what_was_moved_does_not_open);
	tcase_add_test(tcase, no_nonce_comes_twice);
	tcase_add_loop_test(tcase, hkdf_is_that_of_the_rfc, 0, 3);
	tcase_add_loop_test(tcase, hmac_is_that_of_the_rfc, 0, 4);
	tcase_add_test(tcase, purpose_class_and_epoch_make_the_key);
	tcase_add_test_raise_signal(tcase, names_cannot_run_together, SIGABRT);
	suite_add_tcase(suite, tcase);
	return suite;
}
