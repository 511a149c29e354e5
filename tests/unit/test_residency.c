/* test_residency.c - nothing of an account leaves for another region without a line that says so.
 */
#include "broker/residency.h"
#include "tests/unit/packets.h"

static const struct residency residency = {.transfer_count = 2,
					   .transfers = {{"CH", "adequacy"}, {"US", "a contract"}}};

START_TEST(what_stays_needs_no_basis)
{
	ck_assert_str_eq(residency_basis(&residency, "EU", "EU"), "");
	ck_assert_str_eq(residency_basis(&residency, "EU", "EU"), "");
	ck_assert_str_eq(residency_basis(&residency, "IN", "IN"), "");
}
END_TEST

START_TEST(what_leaves_needs_a_transfer)
{
	ck_assert_str_eq(residency_basis(&residency, "EU", "US"), "a contract");
	ck_assert_str_eq(residency_basis(&residency, "EU", "CH"), "adequacy");
	ck_assert_str_eq(residency_basis(&residency, "IN", "US"), "a contract");
	ck_assert_ptr_null(residency_basis(&residency, "EU", "IN"));
	ck_assert_ptr_null(residency_basis(&residency, "EU", "U"));
	ck_assert_ptr_null(residency_basis(&residency, "EU", "USA"));
	/* Not home either, for what belongs elsewhere. */
	ck_assert_ptr_null(residency_basis(&residency, "US", "EU"));
}
END_TEST

START_TEST(regions_have_one_form)
{
	static const char *const good[] = {"EU", "DE", "US"};
	static const char *const bad[] = {"", "eu", "E", "E1", "EUR", "E "};

	for (size_t i = 0; i < COUNT_OF(good); i++)
		ck_assert_msg(residency_region_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		ck_assert_msg(!residency_region_valid(bad[i]), "%s", bad[i]);
}
END_TEST

Suite *residency_suite(void)
{
	const TTest *const tests[] = {what_stays_needs_no_basis, what_leaves_needs_a_transfer,
				      regions_have_one_form};

	return suite_of("residency", tests, COUNT_OF(tests));
}
