/* Receipts: whole at once, each byte counts, and the line with the salt can be taken out. */
#include "storage/audit/receipt.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

Suite *audit_receipt_suite(void);

static struct failure failure;
static struct receipt_tickets tickets;
static struct audit_signing_key key;
static struct note_verifier verifier;
static char text[RECEIPT_SIZE + 1];

/* A log of one entry: the `receipts` of the hour. */
static void write_one(const char *subject)
{
	static struct proof_text proof;
	static char head[PROOF_HEAD_SIZE + NOTE_CHECKPOINT_SIZE];
	struct audit_event event = {.type = AUDIT_RECEIPTS, .time_s = tickets.hour_s};
	char line[AUDIT_LINE_SIZE];

	event.hash = tickets.root;
	proof = (struct proof_text){.kind = PROOF_INCLUSION, .has_extra = true};
	proof.extra_len = audit_event_write(&event, line);
	memcpy(proof.extra, line, proof.extra_len);
	const struct checkpoint tree = {1, merkle_leaf(slice_of(line, proof.extra_len))};
	size_t len = proof_write_head(&proof, head);

	len += checkpoint_write(&tree, &verifier, &key, head + len);
	const struct receipt_wanted wanted = {RECEIPT_ACCOUNT_ERASED, slice_text(subject),
					      slice_of(head, len), &verifier, &key};

	ck_assert_msg(receipt_write(&tickets, &wanted, text, &failure), "%s", failure.text);
}

static void begin(void)
{
	uint8_t seed[AUDIT_SEED_LEN] = {7};

	key = audit_signing_key_from(seed);
	verifier = note_verifier_of(key.public);
	receipt_tickets_draw(&tickets, 1767225600);
	write_one("alice");
}

static bool fits(const char *subject)
{
	struct receipt receipt;

	return receipt_check(slice_text(text), &verifier, slice_text(subject), &receipt, &failure);
}

START_TEST(right)
{
	struct receipt receipt;

	ck_assert_ptr_null(strstr(text, "alice"));
	ck_assert_msg(fits("alice"), "%s", failure.text);
	ck_assert_msg(fits(""), "%s", failure.text);
	ck_assert(!fits("bob"));
	ck_assert_str_eq(failure.text, "it is not about that name");
	write_one("bob");
	ck_assert(fits("bob"));
	ck_assert(receipt_check(slice_text(text), &verifier, SLICE_NONE, &receipt, &failure));
	ck_assert_uint_eq(receipt.hour_s, 1767225600);
	ck_assert(receipt.has_salt && !receipt.is_subject);
}
END_TEST

START_TEST(without_salt)
{
	char *salt = strstr(text, "\nsalt ");
	struct receipt receipt;

	ck_assert_ptr_nonnull(salt);
	const char *behind = strchr(salt + 1, '\n');

	memmove(salt, behind, strlen(behind) + 1);
	ck_assert_msg(receipt_check(slice_text(text), &verifier, SLICE_NONE, &receipt, &failure),
		      "%s", failure.text);
	ck_assert(!receipt.has_salt);
	ck_assert(!fits("alice"));
}
END_TEST

START_TEST(every_byte)
{
	const size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		text[i] = (char)(text[i] ^ (1 << i % 7));
		ck_assert_msg(!fits("alice"), "byte %zu of %zu", i, len);
		text[i] = (char)(text[i] ^ (1 << i % 7));
	}
	for (size_t cut = 0; cut < len; cut++) {
		const char was = text[cut];

		text[cut] = '\0';
		ck_assert(!fits("alice"));
		text[cut] = was;
	}
	ck_assert(fits("alice"));
}
END_TEST

/* What belongs to another hour, or to another log. */
START_TEST(stranger)
{
	struct note_verifier other = verifier;
	struct receipt receipt;

	other.public[0] ^= 1;
	ck_assert(!receipt_check(slice_text(text), &other, SLICE_NONE, &receipt, &failure));
	static char first[RECEIPT_SIZE + 1];

	memcpy(first, text, sizeof(first));
	receipt_tickets_draw(&tickets, 1767225600);
	write_one("alice");
	/* The signed head of one and the ticket of the other. */
	char *head = strstr(strstr(first, "\n\n") + 2, "\n\n");
	char *tail = strstr(strstr(text, "\n\n") + 2, "\n\n");

	ck_assert(head && tail);
	strcpy(tail, head);
	ck_assert(!fits(""));
}
END_TEST

START_TEST(all_given)
{
	const struct receipt_wanted wanted = {RECEIPT_DATA_ERASED, SLICE_LITERAL("x"), SLICE_NONE,
					      &verifier, &key};

	tickets.given = RECEIPT_TICKETS - 1;
	write_one("last");
	ck_assert(fits("last"));
	ck_assert(!receipt_write(&tickets, &wanted, text, &failure));
	receipt_tickets_wipe(&tickets);
	ck_assert(!receipt_write(&tickets, &wanted, text, &failure));
}
END_TEST

/* What the log gets has nothing to do with how many are given out. */
START_TEST(root_before_all)
{
	const struct audit_hash before = tickets.root;

	for (unsigned i = 0; i < 20; i++)
		write_one("somebody");
	ck_assert(audit_hash_equal(&before, &tickets.root));
}
END_TEST

Suite *audit_receipt_suite(void)
{
	Suite *suite = suite_create("audit_receipt");
	TCase *receipts = tcase_create("receipts");

	tcase_add_checked_fixture(receipts, begin, NULL);
	tcase_set_timeout(receipts, 60);
	tcase_add_test(receipts, right);
	tcase_add_test(receipts, without_salt);
	tcase_add_test(receipts, every_byte);
	tcase_add_test(receipts, stranger);
	tcase_add_test(receipts, all_given);
	tcase_add_test(receipts, root_before_all);
	suite_add_tcase(suite, receipts);
	return suite;
}
