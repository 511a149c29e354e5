/* The bytes of a slot of keys.slots: where they stand (slot.h), and what is not taken for one. */
#include "storage/keys/slot.h"
#include "storage/bytes.h"
#include "storage/crc32c.h"

#include <check.h>

Suite *slot_suite(void);

static const uint8_t some_key[SEAL_KEY_LEN] = "a key of thirty-two bytes, just";
static const uint8_t some_wrapping[SEAL_KEY_LEN] = "a wrapping key of this installa";

static uint8_t block[SLOT_SIZE];
static uint8_t key[SEAL_KEY_LEN];

static const struct slot hour = {
    .form = SLOT_CLEAR, .class = KEY_ENVELOPE, .epoch = 0x0102030405060708, .generation = 77};

static void write_wrapped(unsigned number)
{
	struct slot slot = hour;

	slot.form = SLOT_WRAPPED;
	slot_write_key(number, &slot, some_key, some_wrapping, block);
}

START_TEST(bytes_stand_where_the_header_says)
{
	static const uint8_t head[32] = "metrkey1"
					"\x00\x09\x01\x02\x00\x00\x00\x00"
					"\x01\x02\x03\x04\x05\x06\x07\x08"
					"\x00\x00\x00\x00\x00\x00\x00\x4d";

	slot_write_key(9, &hour, some_key, NULL, block);
	ck_assert_mem_eq(block, head, sizeof(head));
	ck_assert_mem_eq(block + 32, some_key, SEAL_KEY_LEN);
	ck_assert_uint_eq(bytes_get(block + 104, 4), crc32c(0, block, 104));
}
END_TEST

START_TEST(what_was_written_is_read)
{
	for (unsigned wrapped = 0; wrapped < 2; wrapped++) {
		if (wrapped)
			write_wrapped(255);
		else
			slot_write_key(255, &hour, some_key, NULL, block);
		const struct slot read = slot_read(255, block);

		ck_assert_int_eq(read.form, wrapped ? SLOT_WRAPPED : SLOT_CLEAR);
		ck_assert_int_eq(read.class, hour.class);
		ck_assert_uint_eq(read.epoch, hour.epoch);
		ck_assert_uint_eq(read.generation, hour.generation);
		ck_assert(slot_read_key(&read, block, wrapped ? some_wrapping : NULL, key));
		ck_assert_mem_eq(key, some_key, sizeof(key));
	}
	slot_write_free(3, block);
	ck_assert_int_eq(slot_read(3, block).form, SLOT_FREE);
}
END_TEST

START_TEST(wrapped_key_needs_its_wrapping_key_and_its_place)
{
	write_wrapped(9);
	for (unsigned i = 0; i + SEAL_KEY_LEN <= SLOT_SIZE; i++)
		ck_assert_mem_ne(block + i, some_key, SEAL_KEY_LEN);
	struct slot read = slot_read(9, block);

	ck_assert(!slot_read_key(&read, block, NULL, key));
	ck_assert(!slot_read_key(&read, block, some_key, key));
	/* As a key of another hour, with a check value that fits. */
	block[23] ^= 1;
	bytes_put(block + 104, crc32c(0, block, 104), 4);
	read = slot_read(9, block);
	ck_assert_int_eq(read.form, SLOT_WRAPPED);
	ck_assert(!slot_read_key(&read, block, some_wrapping, key));
}
END_TEST

START_TEST(changed_bytes_are_damage)
{
	slot_write_key(9, &hour, some_key, NULL, block);
	for (unsigned bit = 0; bit < 8 * 108; bit++) {
		block[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_int_eq(slot_read(9, block).form, SLOT_DAMAGED);
		block[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	ck_assert_int_eq(slot_read(9, block).form, SLOT_CLEAR);
	memset(block, 0, sizeof(block));
	ck_assert_int_eq(slot_read(9, block).form, SLOT_DAMAGED);
}
END_TEST

/* A key of a version to come is not damage: damage gets overwritten. */
START_TEST(whole_but_not_ours_is_foreign)
{
	static const struct {
		unsigned at;
		uint8_t value;
	} changes[] = {{9, 8}, {10, 3}, {10, 0}, {11, KEY_CLASSES}, {11, 0}, {11, 255}};

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		slot_write_key(9, &hour, some_key, NULL, block);
		block[changes[i].at] = changes[i].value;
		bytes_put(block + 104, crc32c(0, block, 104), 4);
		ck_assert_int_eq(slot_read(9, block).form, SLOT_FOREIGN);
	}
}
END_TEST

/* Nothing of a slot that was there before, and nothing that could be told from chance. */
START_TEST(free_slot_is_chance)
{
	uint8_t other[SLOT_SIZE];

	slot_write_key(9, &hour, some_key, NULL, block);
	slot_write_free(9, block);
	slot_write_free(9, other);
	ck_assert_mem_eq(block, other, 32);
	for (unsigned i = 32; i + 16 <= SLOT_SIZE; i += 16)
		ck_assert_mem_ne(block + i, other + i, 16);
}
END_TEST

Suite *slot_suite(void)
{
	Suite *suite = suite_create("slot");
	TCase *tcase = tcase_create("slot");

	tcase_add_test(tcase, bytes_stand_where_the_header_says);
	tcase_add_test(tcase, what_was_written_is_read);
	tcase_add_test(tcase, wrapped_key_needs_its_wrapping_key_and_its_place);
	tcase_add_test(tcase, changed_bytes_are_damage);
	tcase_add_test(tcase, whole_but_not_ours_is_foreign);
	tcase_add_test(tcase, free_slot_is_chance);
	suite_add_tcase(suite, tcase);
	return suite;
}
