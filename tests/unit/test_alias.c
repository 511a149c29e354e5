/* alias.h: topic aliases, MQTT 5.0 section 3.3.2.3.4. */
#include "broker/core/alias.h"
#include "tests/unit/packets.h"
#include "tests/unit/purse.h"

static bool is(struct slice topic, const char *text)
{
	return slice_equal(topic, slice_text(text));
}

START_TEST(inbound)
{
	struct alias_table *table;

	purse_open(1 << 20);
	table = alias_create(&purse, 3);
	ck_assert_uint_eq(alias_topic(table, 1).len, 0);
	ck_assert(alias_set(table, &purse, 3, slice_text("a")));
	ck_assert(alias_set(table, &purse, 1, slice_text("b")));
	ck_assert(alias_set(table, &purse, 3, slice_text("longer"))); /* [MQTT-3.3.2-12] */
	ck_assert(is(alias_topic(table, 3), "longer"));
	ck_assert(is(alias_topic(table, 1), "b"));
	ck_assert_uint_eq(alias_topic(table, 0).len, 0);
	ck_assert_uint_eq(alias_topic(table, 4).len, 0);
	ck_assert_uint_eq(alias_topic(NULL, 1).len, 0);
	alias_destroy(table, &purse);
	alias_destroy(NULL, &purse);
	purse_check_empty();
}
END_TEST

/* What memory does not allow leaves the old topic in force. */
START_TEST(inbound_without_memory)
{
	static uint8_t topic[65535];
	struct alias_table *table;

	purse_open(150000);
	table = alias_create(&purse, 2);
	ck_assert(alias_set(table, &purse, 1, slice_of(topic, sizeof topic)));
	ck_assert(!alias_set(table, &purse, 1, slice_of(topic, sizeof topic - 1)));
	ck_assert_uint_eq(alias_topic(table, 1).len, sizeof topic);
	alias_destroy(table, &purse);
	purse_check_empty();
}
END_TEST

/* First come, first served; equal hashes of different topics are told apart. */
START_TEST(outbound)
{
	struct alias_table *table;
	bool fresh;

	purse_open(1 << 20);
	table = alias_create(&purse, 2);
	ck_assert_uint_eq(alias_of(table, &purse, 7, slice_text("a"), &fresh), 1);
	ck_assert(fresh);
	ck_assert_uint_eq(alias_of(table, &purse, 7, slice_text("b"), &fresh), 2);
	ck_assert(fresh);
	ck_assert_uint_eq(alias_of(table, &purse, 7, slice_text("a"), &fresh), 1);
	ck_assert(!fresh);
	ck_assert_uint_eq(alias_of(table, &purse, 8, slice_text("c"), &fresh), 0);
	ck_assert(!fresh);
	alias_destroy(table, &purse);
	purse_check_empty();
}
END_TEST

Suite *alias_suite(void)
{
	const TTest *tests[] = {inbound, inbound_without_memory, outbound};

	return suite_of("alias", tests, COUNT_OF(tests));
}
