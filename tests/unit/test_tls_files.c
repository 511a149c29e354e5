/* What TLS reads of the configuration: lists of ciphers, pre-shared keys; and the backlog of a
 * stream. */
#include "broker/net/backlog.h"
#include "broker/net/ciphers.h"
#include "broker/net/psk.h"
#include "broker/net/whole_file.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *tls_files_suite(void);

static struct failure failure;

/* ---- ciphers */

static bool has(const struct ciphers *ciphers, int number)
{
	for (size_t i = 0; i < ciphers->count; i++)
		if (ciphers->numbers[i] == number)
			return true;
	return false;
}

START_TEST(ciphers_of_our_own)
{
	struct ciphers ciphers;

	ciphers_default(&ciphers, false);
	ck_assert_int_eq(ciphers.numbers[0], 0xC02B);
	ck_assert_int_eq(ciphers.numbers[ciphers.count], 0);
	ck_assert(!has(&ciphers, 0xC037));
	ck_assert(!has(&ciphers, 0x009C)); /* no forward secrecy */
	ciphers_default(&ciphers, true);
	ck_assert(has(&ciphers, 0xC037));
	ck_assert(has(&ciphers, 0x00A8));
}
END_TEST

static const struct {
	const char *list;
	int first;
	size_t count;
} lists[] = {
    {"ECDHE-RSA-AES128-GCM-SHA256", 0xC02F, 1},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xC030, 1},
    {"AES256-GCM-SHA384:ECDHE-ECDSA-AES256-SHA384", 0x009D, 2},
    {"AES128-GCM-SHA256, AES128-GCM-SHA256 AES128-GCM-SHA256", 0x009C, 1},
    {"HIGH:!aNULL:!MD5:-RC4:!PSK:@STRENGTH", 0xC02B, 9},
    {"AES128-GCM-SHA256:DEFAULT", 0x009C, 10},
};

START_TEST(ciphers_as_written)
{
	struct ciphers ciphers;

	ck_assert_msg(ciphers_read(&ciphers, lists[_i].list, false, &failure), "%s", failure.text);
	ck_assert_int_eq(ciphers.numbers[0], lists[_i].first);
	ck_assert_uint_eq(ciphers.count, lists[_i].count);
	ck_assert_int_eq(ciphers.numbers[ciphers.count], 0);
}
END_TEST

static const struct {
	const char *list, *says;
} wrong_lists[] = {
    {"RC4-SHA", "'RC4-SHA' is not a cipher"},
    {"HIGH:!AESGCM", "'!AESGCM'"}, /* it would leave out what we offer */
    {"ecdhe-rsa-aes128-gcm-sha256", "is not a cipher"},
    {"PSK-AES128-CCM", "needs pre-shared keys"},
    {":", "names no cipher"},
    {"!aNULL", "names no cipher"},
    {"!", "is not a cipher"},
};

START_TEST(ciphers_that_are_none)
{
	struct ciphers ciphers;

	ck_assert(!ciphers_read(&ciphers, wrong_lists[_i].list, false, &failure));
	ck_assert_msg(strstr(failure.text, wrong_lists[_i].says), "%s", failure.text);
	ck_assert_ptr_nonnull(strstr(failure.text, "right would be"));
}
END_TEST

/* ---- pre-shared keys */

START_TEST(psk_lines)
{
	struct psk_table *table = psk_read(
	    SLICE_LITERAL("# a comment\n\nbeta:00ff\r\nalpha:"
			  "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff\n"
			  "with space:0102030405060708090a0b0c0d0e0f10"),
	    &failure);

	ck_assert_msg(table, "%s", failure.text);
	const struct psk *psk = psk_find(table, SLICE_LITERAL("beta"));

	ck_assert_uint_eq(psk->key_len, 2);
	ck_assert_uint_eq(psk->key[1], 0xff);
	psk = psk_find(table, SLICE_LITERAL("alpha"));
	ck_assert_uint_eq(psk->key_len, 32);
	ck_assert_uint_eq(psk->key[10], 0xaa);
	ck_assert_ptr_nonnull(psk_find(table, SLICE_LITERAL("with space")));
	ck_assert_ptr_null(psk_find(table, SLICE_LITERAL("bet")));
	ck_assert_ptr_null(psk_find(table, SLICE_LITERAL("beta2")));
	ck_assert_ptr_null(psk_find(table, SLICE_NONE));
	ck_assert_uint_eq(psk_weak_count(table), 1);
	psk_destroy(table);
}
END_TEST

/* As mosquitto reads them; the first is in the example that Debian ships. */
static const struct {
	const char *digits;
	size_t len;
	uint8_t key[PSK_KEY_MAX];
} odd_keys[] = {
    {"12345", 3, {0x01, 0x23, 0x45}},
    {"01234", 2, {0x12, 0x34}},
    {"00123", 3, {0x00, 0x01, 0x23}},
    {"0001234", 3, {0x00, 0x12, 0x34}},
    {"1", 1, {0x01}},
    {"001", 2, {0x00, 0x01}},
    {"000", 1, {0x00}},
    {"fFf", 2, {0x0f, 0xff}},
    {"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
     32,
     {0x05, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5,
      0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5,
      0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5}},
};

START_TEST(psk_keys_of_odd_digits)
{
	char line[2 * PSK_KEY_MAX + 3];
	const int len = snprintf(line, sizeof(line), "a:%s", odd_keys[_i].digits);
	struct psk_table *table = psk_read(slice_of(line, (size_t)len), &failure);

	ck_assert_msg(table, "%s", failure.text);
	const struct psk *psk = psk_find(table, SLICE_LITERAL("a"));

	ck_assert_uint_eq(psk->key_len, odd_keys[_i].len);
	ck_assert_mem_eq(psk->key, odd_keys[_i].key, psk->key_len);
	psk_destroy(table);
}
END_TEST

static const char *const wrong_keys[] = {
    "",
    "# nothing\n",
    "no colon\n",
    ":00ff\n",
    "a:\n",
    "a:0\n",
    "a:0g\n",
    "a:g\n",
    "a:00g\n",
    "a:00 ff\n",
    "a:000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f00\n", /* 33 bytes */
    "a:1000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f\n",
    "a:00\na:01\n",
    "\xff:00\n",
    "a\x01:00\n",
};

/* The text never shows what the file holds. */
START_TEST(psk_lines_that_are_wrong)
{
	ck_assert_ptr_null(psk_read(slice_text(wrong_keys[_i]), &failure));
	ck_assert_msg(strstr(failure.text, "right would be"), "%s", failure.text);
	ck_assert_ptr_null(strstr(failure.text, "00ff"));
}
END_TEST

/* Whoever mends a file is told once. */
START_TEST(psk_lines_are_all_named)
{
	static char many[100 * 8 + 1];

	ck_assert_ptr_null(psk_read(
	    SLICE_LITERAL("a:00\nno colon\nb:0g\n# c\na:01\n:00\nb:0g\nd:00\na:02\n"), &failure));
	ck_assert_str_eq(
	    failure.text,
	    "lines 2, 6: right would be IDENTITY:KEY, the identity text of 1 to 128 bytes; "
	    "lines 3, 7: the key; right would be at most 64 hexadecimal digits, two for each byte "
	    "(`openssl rand -hex 32` makes 64 of them); "
	    "lines 5, 9, 7: the identity stands there already; right would be one key for each");
	for (size_t i = 0; i < 100; i++)
		memcpy(many + i * 8, "no key\n\n", 8);
	ck_assert_ptr_null(psk_read(slice_text(many), &failure));
	ck_assert_ptr_nonnull(
	    strstr(failure.text, "lines 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, ...: right"));
}
END_TEST

/* ---- files */

START_TEST(whole_files)
{
	char path[] = "/tmp/metrino-file-XXXXXX";
	int fd = mkstemp(path);
	struct slice bytes;

	ck_assert_int_eq(write(fd, "abc", 3), 3);
	ck_assert(whole_file_read("certfile", path, &bytes, &failure));
	ck_assert(slice_equal(bytes, SLICE_LITERAL("abc")));
	ck_assert_int_eq(bytes.at[3], 0);
	whole_file_free(bytes);
	ck_assert_int_eq(ftruncate(fd, (off_t)WHOLE_FILE_MAX + 1), 0);
	ck_assert(!whole_file_read("certfile", path, &bytes, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "larger"));
	unlink(path);
	close(fd);
	ck_assert(!whole_file_read("certfile", path, &bytes, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "No such file"));
	ck_assert(!whole_file_read("certfile", "/tmp", &bytes, &failure));
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert(!whole_file_read("certfile", path, &bytes, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "not a file"));
	unlink(path);
}
END_TEST

/* ---- backlog */

START_TEST(backlog_in_order)
{
	struct backlog backlog = {0};
	struct arena arena;
	arena_init(&arena);
	struct shelf *shelf = arena_shelf(&arena);

	backlog_add(&backlog, shelf, SLICE_NONE);
	ck_assert_ptr_null(backlog.bytes);
	backlog_add(&backlog, shelf, SLICE_LITERAL("abc"));
	backlog_add(&backlog, shelf, SLICE_LITERAL("def"));
	backlog_drop(&backlog, shelf, 2);
	ck_assert(slice_equal(slice_of(backlog.bytes, backlog.len), SLICE_LITERAL("cdef")));
	backlog_drop(&backlog, shelf, 4);
	ck_assert_ptr_null(backlog.bytes);
	backlog_finish(&backlog, shelf);
	ck_assert_uint_eq(arena_finish(&arena), 0);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *tls_files_suite(void)
{
	Suite *suite = suite_create("tls_files");
	TCase *files = tcase_create("files");

	tcase_add_test(files, ciphers_of_our_own);
	tcase_add_loop_test(files, ciphers_as_written, 0, ROWS(lists));
	tcase_add_loop_test(files, ciphers_that_are_none, 0, ROWS(wrong_lists));
	tcase_add_test(files, psk_lines);
	tcase_add_loop_test(files, psk_keys_of_odd_digits, 0, ROWS(odd_keys));
	tcase_add_loop_test(files, psk_lines_that_are_wrong, 0, ROWS(wrong_keys));
	tcase_add_test(files, psk_lines_are_all_named);
	tcase_add_test(files, whole_files);
	tcase_add_test(files, backlog_in_order);
	suite_add_tcase(suite, files);
	return suite;
}
