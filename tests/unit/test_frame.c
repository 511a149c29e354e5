#include "tests/unit/packets.h"

struct frame_case {
	const char *bytes;
	enum frame_status status;
	size_t size;
	uint8_t type;
	uint8_t flags;
};

static const struct frame_case cases[] = {
    {"", FRAME_PARTIAL, 0, 0, 0},
    {"30", FRAME_PARTIAL, 0, 0, 0},
    {"30 80", FRAME_PARTIAL, 0, 0, 0},
    {"30 FF FF FF", FRAME_PARTIAL, 0, 0, 0},
    {"C0 00", FRAME_WHOLE, 2, 12, 0},
    {"C0 00 C0", FRAME_WHOLE, 2, 12, 0},
    {"3D 02 'ab' 'c'", FRAME_WHOLE, 4, 3, 13},
    {"3D 02 'a'", FRAME_PARTIAL, 4, 3, 13},
    {"10 FF FF FF 7F", FRAME_PARTIAL, 5 + 268435455u, 1, 0}, /* bad-inputs 3 */
    {"82 80 01 00", FRAME_PARTIAL, 3 + 128, 8, 2},
    {"30 FF FF FF FF", FRAME_BAD, 0, 0, 0},    /* bad-inputs 1 */
    {"30 80 80 80 80 01", FRAME_BAD, 0, 0, 0}, /* bad-inputs 1 */
    {"C0 80 00", FRAME_BAD, 0, 0, 0},	       /* bad-inputs 2 */
    {"C0 80 80 80 00", FRAME_BAD, 0, 0, 0},
};

START_TEST(headers_are_judged)
{
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct frame_case *c = &cases[i];
		struct slice bytes = bytes_parse(c->bytes);
		struct frame f;

		ck_assert_msg(frame_cut(bytes, &f) == c->status, "%s", c->bytes);
		if (c->status != FRAME_BAD)
			ck_assert_uint_eq(f.size, c->size);
		if (c->status != FRAME_BAD && c->size > 0) {
			ck_assert_uint_eq(f.type, c->type);
			ck_assert_uint_eq(f.flags, c->flags);
		}
		if (c->status == FRAME_WHOLE)
			ck_assert_ptr_eq(f.body.at + f.body.len, bytes.at + f.size);
		bytes_free(bytes);
	}
}
END_TEST

/* bad-inputs 8: bytes come in any portions and give the same packets. */
START_TEST(a_stream_cut_anywhere)
{
	struct slice stream = bytes_parse("30 05 00 01 'axy' C0 00 82 06 00 01 00 01 'b' 00 E0 00");
	static const size_t ends[] = {7, 9, 17, 19};

	for (size_t portion = 1; portion <= stream.len; portion++) {
		size_t taken = 0, cut = 0;

		for (size_t come = 0; come < stream.len;) {
			struct slice left;
			struct frame f;

			come = come + portion < stream.len ? come + portion : stream.len;
			left = bytes_copy(slice_of(stream.at + taken, come - taken));
			for (struct slice now = left; frame_cut(now, &f) == FRAME_WHOLE;) {
				taken += f.size;
				ck_assert_uint_eq(taken, ends[cut++]);
				now = slice_after(now, f.size);
			}
			bytes_free(left);
		}
		ck_assert_uint_eq(cut, COUNT_OF(ends));
	}
	bytes_free(stream);
}
END_TEST

START_TEST(a_packet_is_begun_only_where_it_fits)
{
	uint8_t *out = malloc(131);
	struct writer w;

	ck_assert(!frame_begin(&w, out, 130, 0x30, 128));
	ck_assert(!frame_begin(&w, NULL, 0, 0xC0, 0));
	ck_assert(!frame_begin(&w, out, SIZE_MAX, 0x30, (size_t)VARINT_MAX + 1));
	ck_assert(frame_begin(&w, out, 131, 0x30, 128));
	for (int i = 0; i < 128; i++)
		write_u8(&w, 7);
	ck_assert_uint_eq(frame_end(&w, out), 131);
	ck_assert_mem_eq(out, "\x30\x80\x01\x07", 4);
	free(out);
}
END_TEST

/* A body that is not as long as its header says is our mistake. */
START_TEST(a_packet_too_short_is_a_mistake)
{
	uint8_t out[4];
	struct writer w;

	ck_assert(frame_begin(&w, out, sizeof(out), 0x30, 2));
	write_u8(&w, 7);
	frame_end(&w, out);
}
END_TEST

Suite *frame_suite(void)
{
	Suite *suite = suite_create("frame");
	TCase *tcase = tcase_create("frame");

	tcase_add_test(tcase, headers_are_judged);
	tcase_add_test(tcase, a_stream_cut_anywhere);
	tcase_add_test(tcase, a_packet_is_begun_only_where_it_fits);
	tcase_add_test_raise_signal(tcase, a_packet_too_short_is_a_mistake, 6 /* SIGABRT */);
	suite_add_tcase(suite, tcase);
	return suite;
}
