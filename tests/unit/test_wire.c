#include "proto/wire.h"
#include "tests/unit/packets.h"

START_TEST(integers_are_big_endian)
{
	struct slice bytes = bytes_parse("01 02 03 04 05 06 07");
	struct reader r = reader_of(bytes);

	ck_assert_uint_eq(read_u8(&r), 0x01);
	ck_assert_uint_eq(read_u16(&r), 0x0203);
	ck_assert_uint_eq(read_u32(&r), 0x04050607);
	ck_assert(reader_done(&r));
	bytes_free(bytes);
}
END_TEST

START_TEST(a_bad_reader_stays_bad)
{
	struct slice bytes = bytes_parse("00 05 'ab'");
	struct reader r = reader_of(bytes);

	ck_assert_uint_eq(read_binary(&r).len, 0);
	ck_assert(r.bad && !reader_done(&r));
	ck_assert_uint_eq(read_u8(&r) + read_u16(&r) + read_u32(&r) + read_varint(&r), 0);
	ck_assert_uint_eq(read_bytes(&r, 0).len, 0);
	ck_assert_uint_eq(read_string(&r).len, 0);
	ck_assert(r.bad);
	bytes_free(bytes);

	r = reader_of(SLICE_NONE);
	ck_assert(reader_done(&r));
	read_bytes(&r, 0);
	ck_assert(reader_done(&r));
	read_u8(&r);
	ck_assert(r.bad);
}
END_TEST

struct varint_case {
	const char *bytes;
	int used; /* what varint_cut() says */
	uint32_t value;
};

/* MQTT 5.0 table 1-1, and what must not be taken. [MQTT-1.5.5-1] */
static const struct varint_case varints[] = {
    {"00", 1, 0},
    {"7F", 1, 127},
    {"80 01", 2, 128},
    {"FF 7F", 2, 16383},
    {"80 80 01", 3, 16384},
    {"FF FF 7F", 3, 2097151},
    {"80 80 80 01", 4, 2097152},
    {"FF FF FF 7F", 4, VARINT_MAX},
    {"", 0, 0},
    {"80", 0, 0},
    {"FF FF FF", 0, 0},
    {"FF FF FF FF", -1, 0}, /* bad-inputs 1 */
    {"80 80 80 80 01", -1, 0},
    {"80 00", -1, 0}, /* bad-inputs 2 */
    {"FF 00", -1, 0},
    {"80 80 80 00", -1, 0},
};

START_TEST(varint_reads_only_the_shortest_form)
{
	for (size_t i = 0; i < COUNT_OF(varints); i++) {
		struct slice bytes = bytes_parse(varints[i].bytes);
		struct reader r = reader_of(bytes);
		uint32_t value;
		int used = varint_cut(bytes, &value);

		ck_assert_msg(used == varints[i].used, "\"%s\" takes %d", varints[i].bytes, used);
		value = read_varint(&r);
		ck_assert_uint_eq(value, varints[i].value);
		ck_assert_int_eq(r.bad, used <= 0);
		ck_assert_int_eq(reader_done(&r), used > 0);
		bytes_free(bytes);
	}
}
END_TEST

START_TEST(varint_writes_what_it_reads)
{
	for (uint64_t value = 0; value <= VARINT_MAX; value += value / 100 + 1) {
		uint8_t bytes[4];
		struct writer w = writer_of(bytes, sizeof(bytes));
		struct reader r;

		write_varint(&w, (uint32_t)value);
		ck_assert(!w.full);
		ck_assert_uint_eq((size_t)(w.at - bytes), varint_size((uint32_t)value));
		r = reader_of(slice_of(bytes, (size_t)(w.at - bytes)));
		ck_assert_uint_eq(read_varint(&r), value);
		ck_assert(reader_done(&r));
	}
}
END_TEST

START_TEST(a_full_writer_writes_nothing_more)
{
	uint8_t *bytes = malloc(7);
	struct writer w = writer_of(bytes, 7);

	memset(bytes, 0xEE, 7);
	write_u8(&w, 1);
	write_u16(&w, 0x0203);
	write_binary(&w, SLICE_LITERAL("abc")); /* needs 5, has 4 */
	ck_assert(w.full);
	write_u8(&w, 4); /* would fit, but comes too late */
	ck_assert_mem_eq(bytes, "\x01\x02\x03\xEE\xEE\xEE\xEE", 7);
	free(bytes);

	w = writer_of(NULL, 0);
	write_bytes(&w, SLICE_NONE);
	ck_assert(!w.full);
	write_u8(&w, 0);
	ck_assert(w.full);
}
END_TEST

START_TEST(writer_round_trip)
{
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct reader r;

	write_u8(&w, 0xAB);
	write_u16(&w, 0xCDEF);
	write_u32(&w, 0x89ABCDEF);
	write_binary(&w, SLICE_LITERAL("\x00\xFF"));
	write_binary(&w, SLICE_LITERAL("gr\xC3\xBC\xC3\x9F"));
	r = reader_of(slice_of(bytes, (size_t)(w.at - bytes)));
	ck_assert_uint_eq(read_u8(&r), 0xAB);
	ck_assert_uint_eq(read_u16(&r), 0xCDEF);
	ck_assert_uint_eq(read_u32(&r), 0x89ABCDEF);
	ck_assert(slice_equal(read_binary(&r), SLICE_LITERAL("\x00\xFF")));
	ck_assert(slice_equal(read_string(&r), SLICE_LITERAL("gr\xC3\xBC\xC3\x9F")));
	ck_assert(reader_done(&r));
}
END_TEST

Suite *wire_suite(void)
{
	const TTest *const tests[] = {
	    integers_are_big_endian,
	    a_bad_reader_stays_bad,
	    varint_reads_only_the_shortest_form,
	    varint_writes_what_it_reads,
	    a_full_writer_writes_nothing_more,
	    writer_round_trip,
	};

	return suite_of("wire", tests, COUNT_OF(tests));
}
