/* receipt.c - see receipt.h. */
#include "storage/audit/receipt.h"
#include "storage/audit/text.h"
#include "storage/bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_LINE "metrino receipt v1\n"
#define PURPOSE	   "metrino/1|receipt|"

static const struct {
	const char *text;
	const char *told;
} events[RECEIPT_EVENTS] = {
    [RECEIPT_ACCOUNT_ERASED] = {"account.erased", "an account was erased"},
    [RECEIPT_DATA_ERASED] = {"data.erased", "what was kept of a client was erased"},
};

const char *receipt_event_told(enum receipt_event event)
{
	return events[event].told;
}

/* ---- the tree of tickets: made anew when it is asked for, so that no secret lies about */

static struct audit_hash secret_of(const struct receipt_tickets *tickets, uint64_t number)
{
	uint8_t bytes[8];
	const struct slice parts[] = {SLICE_LITERAL(PURPOSE),
				      slice_of(tickets->seed, sizeof(tickets->seed)),
				      slice_of(bytes, sizeof(bytes))};

	bytes_put(bytes, number, sizeof(bytes));
	return audit_sha256(parts, sizeof(parts) / sizeof(parts[0]));
}

static struct audit_hash leaf_of(const struct audit_hash *secret)
{
	return merkle_leaf(slice_of(secret->bytes, AUDIT_HASH_LEN));
}

static bool subtree(void *self, unsigned height, uint64_t number, struct audit_hash *hash,
		    struct failure *failure)
{
	const uint64_t width = UINT64_C(1) << height;
	struct audit_hash *row = malloc(width * sizeof(*row));

	(void)failure;
	must(row);
	for (uint64_t i = 0; i < width; i++) {
		struct audit_hash secret = secret_of(self, number * width + i);

		row[i] = leaf_of(&secret);
		audit_wipe(&secret, sizeof(secret));
	}
	for (uint64_t left = width / 2; left > 0; left /= 2)
		for (uint64_t i = 0; i < left; i++)
			row[i] = merkle_node(&row[2 * i], &row[2 * i + 1]);
	*hash = row[0];
	free(row);
	return true;
}

void receipt_tickets_draw(struct receipt_tickets *tickets, uint64_t hour_s)
{
	struct failure failure;

	audit_seed_make(tickets->seed);
	tickets->hour_s = hour_s;
	tickets->given = 0;
	must(subtree(tickets, RECEIPT_HEIGHT, 0, &tickets->root, &failure));
}

void receipt_tickets_wipe(struct receipt_tickets *tickets)
{
	audit_wipe(tickets, sizeof(*tickets));
	tickets->given = RECEIPT_TICKETS;
}

/* ---- writing */

static struct audit_hash subject_of(const uint8_t salt[RECEIPT_SALT], struct slice subject)
{
	const struct slice parts[] = {slice_of(salt, RECEIPT_SALT), subject};

	return audit_sha256(parts, 2);
}

struct out {
	char *text;
	size_t len;
};

static void put_bytes(struct out *out, const char *name, const uint8_t *bytes)
{
	char base64[AUDIT_BASE64_SIZE(AUDIT_HASH_LEN)];

	audit_base64_write(slice_of(bytes, AUDIT_HASH_LEN), base64, sizeof(base64));
	out->len += (size_t)snprintf(out->text + out->len, RECEIPT_SIZE - out->len, "%s %s\n", name,
				     base64);
}

static void put_signed(struct out *out, const struct receipt_tickets *tickets,
		       const struct receipt_wanted *wanted, const struct audit_hash *subject)
{
	out->len = (size_t)snprintf(
	    out->text, RECEIPT_SIZE, FIRST_LINE "event %s\nhour %" PRIu64 "\nticket %u\n",
	    events[wanted->event].text, tickets->hour_s, (unsigned)tickets->given);
	put_bytes(out, "root", tickets->root.bytes);
	put_bytes(out, "subject", subject->bytes);
	out->len = note_sign(out->text, out->len, RECEIPT_SIZE, wanted->verifier, wanted->key);
	out->text[out->len++] = '\n';
}

bool receipt_write(struct receipt_tickets *tickets, const struct receipt_wanted *wanted,
		   char text[RECEIPT_SIZE], struct failure *failure)
{
	const struct merkle_source source = {tickets, subtree};
	uint8_t salt[RECEIPT_SALT];
	struct merkle_proof path;
	struct out out = {.text = text};

	if (tickets->given >= RECEIPT_TICKETS)
		return failure_set(failure,
				   "all %u receipts of this hour are given out; the next hour "
				   "has as many",
				   RECEIPT_TICKETS);
	if (!merkle_prove_inclusion(&source, tickets->given, RECEIPT_TICKETS, &path, failure))
		return false;
	must(path.count == RECEIPT_HEIGHT);
	audit_seed_make(salt);
	const struct audit_hash subject = subject_of(salt, wanted->subject);
	struct audit_hash secret = secret_of(tickets, tickets->given);

	put_signed(&out, tickets, wanted, &subject);
	put_bytes(&out, "salt", salt);
	put_bytes(&out, "secret", secret.bytes);
	for (size_t i = 0; i < path.count; i++)
		put_bytes(&out, "path", path.hashes[i].bytes);
	text[out.len++] = '\n';
	must(out.len + wanted->entry_proof.len < RECEIPT_SIZE);
	memcpy(text + out.len, wanted->entry_proof.at, wanted->entry_proof.len);
	text[out.len + wanted->entry_proof.len] = '\0';
	tickets->given++;
	audit_wipe(salt, sizeof(salt));
	audit_wipe(&secret, sizeof(secret));
	return true;
}

/* ---- checking */

struct parts {
	uint64_t ticket;
	struct audit_hash root, subject, salt, secret;
	struct merkle_proof path;
};

static bool take_bytes(struct slice *text, const char *name, struct audit_hash *hash)
{
	struct slice rest = *text;
	struct slice line;

	if (!text_cut(&rest, '\n', &line) || !text_begins(&line, name) ||
	    !text_begins(&line, " ") || !audit_base64_read(line, hash->bytes, AUDIT_HASH_LEN))
		return false;
	*text = rest;
	return true;
}

static bool take_number(struct slice *text, const char *name, uint64_t *number)
{
	struct slice line;

	return text_cut(text, '\n', &line) && text_begins(&line, name) && text_begins(&line, " ") &&
	       text_number(line, number);
}

static bool take_event(struct slice *text, enum receipt_event *event)
{
	struct slice line;

	if (!text_cut(text, '\n', &line) || !text_begins(&line, "event "))
		return false;
	for (size_t i = 0; i < RECEIPT_EVENTS; i++)
		if (slice_equal(line, slice_text(events[i].text))) {
			*event = (enum receipt_event)i;
			return true;
		}
	return false;
}

/* The note: up to the second empty line, which is taken off with it. */
static bool take_note(struct slice *text, struct slice *note)
{
	const uint8_t *first = memmem(text->at, text->len, "\n\n", 2);
	const size_t before = first ? (size_t)(first - text->at) + 2 : text->len;
	const uint8_t *second =
	    before < text->len ? memmem(text->at + before, text->len - before, "\n\n", 2) : NULL;

	if (second == NULL)
		return false;
	*note = slice_of(text->at, (size_t)(second + 1 - text->at));
	*text = slice_after(*text, note->len + 1);
	return true;
}

static bool read_parts(struct slice *text, const struct note_verifier *verifier,
		       struct receipt *receipt, struct parts *parts, struct failure *failure)
{
	static const char form[] =
	    "not a receipt: the lines of one are missing or in another order";
	struct slice note;
	struct slice body;
	struct slice rest;

	*receipt = (struct receipt){0};
	*parts = (struct parts){0};
	if (!take_note(text, &note))
		return failure_set(failure, "%s", form);
	if (!note_open(note, verifier, &body, failure))
		return false;
	if (!text_begins(&body, FIRST_LINE) || !take_event(&body, &receipt->event) ||
	    !take_number(&body, "hour", &receipt->hour_s) ||
	    !take_number(&body, "ticket", &parts->ticket) ||
	    !take_bytes(&body, "root", &parts->root) ||
	    !take_bytes(&body, "subject", &parts->subject) || body.len > 0)
		return failure_set(failure, "%s", form);
	receipt->has_salt = take_bytes(text, "salt", &parts->salt);
	if (!take_bytes(text, "secret", &parts->secret))
		return failure_set(failure, "%s", form);
	while (parts->path.count < RECEIPT_HEIGHT &&
	       take_bytes(text, "path", &parts->path.hashes[parts->path.count]))
		parts->path.count++;
	return (parts->path.count == RECEIPT_HEIGHT && text_cut(text, '\n', &rest) &&
		rest.len == 0) ||
	       failure_set(failure, "%s", form);
}

/* The entry with the root is in the log, and is of the hour. */
static bool check_entry(struct slice text, const struct note_verifier *verifier,
			struct receipt *receipt, struct audit_hash *root, struct failure *failure)
{
	struct proof_text *proof = malloc(sizeof(*proof));
	struct checkpoint tree;
	struct audit_event event;
	bool ok;

	must(proof);
	ok = proof_read(text, proof, failure) &&
	     checkpoint_read(proof->checkpoint, verifier, &tree, failure);
	if (ok) {
		const struct slice entry = slice_of(proof->extra, proof->extra_len);
		const struct audit_hash leaf = merkle_leaf(entry);

		ok = (proof->kind == PROOF_INCLUSION && proof->has_extra &&
		      merkle_check_inclusion(&leaf, proof->number, tree.size, &proof->proof,
					     &tree.root)) ||
		     failure_set(failure, "the entry is not in the log at that place");
		ok = ok && ((audit_event_read(entry, &event) && event.type == AUDIT_RECEIPTS &&
			     event.time_s == receipt->hour_s) ||
			    failure_set(failure, "the entry is not the `receipts` of that hour"));
	}
	if (ok) {
		*root = event.hash;
		receipt->entry = proof->number;
	}
	free(proof);
	return ok;
}

bool receipt_check(struct slice text, const struct note_verifier *verifier, struct slice subject,
		   struct receipt *receipt, struct failure *failure)
{
	struct parts parts;
	struct audit_hash root;

	if (!read_parts(&text, verifier, receipt, &parts, failure) ||
	    !check_entry(text, verifier, receipt, &root, failure))
		return false;
	const struct audit_hash leaf = leaf_of(&parts.secret);
	const struct audit_hash is = subject_of(parts.salt.bytes, subject);

	if (!audit_hash_equal(&root, &parts.root))
		return failure_set(failure, "it was signed for another entry than this one");
	if (parts.ticket >= RECEIPT_TICKETS ||
	    !merkle_check_inclusion(&leaf, parts.ticket, RECEIPT_TICKETS, &parts.path, &root))
		return failure_set(failure, "its secret is not a ticket of that hour");
	receipt->is_subject = receipt->has_salt && audit_hash_equal(&is, &parts.subject);
	if (subject.len > 0 && !receipt->has_salt)
		return failure_set(failure, "its line `salt` is missing, so it does not tell whose "
					    "it is");
	return subject.len == 0 || receipt->is_subject ||
	       failure_set(failure, "it is not about that name");
}
