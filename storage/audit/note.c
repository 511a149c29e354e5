/* note.c - see note.h. */
#include "storage/audit/note.h"
#include "storage/audit/text.h"

#include <inttypes.h>
#include <stdio.h>

#define ED25519	     0x01
#define NAME_PREFIX  "metrino/"
#define SIGNED_BYTES (4 + AUDIT_SIGNATURE_LEN)

/* A signature line begins with an em dash and a space. */
#define DASH "\xe2\x80\x94 "

/* ---- keys */

static void set_id(struct note_verifier *verifier)
{
	static const uint8_t between[] = {'\n', ED25519};
	const struct slice parts[] = {slice_text(verifier->name), slice_of(between, 2),
				      slice_of(verifier->public, AUDIT_PUBLIC_LEN)};
	const struct audit_hash hash = audit_sha256(parts, 3);

	memcpy(verifier->id, hash.bytes, sizeof(verifier->id));
}

struct note_verifier note_verifier_of(const uint8_t public[AUDIT_PUBLIC_LEN])
{
	const struct slice part = slice_of(public, AUDIT_PUBLIC_LEN);
	const struct audit_hash hash = audit_sha256(&part, 1);
	struct note_verifier verifier = {.name = NAME_PREFIX};
	size_t len = strlen(verifier.name);

	memcpy(verifier.public, public, AUDIT_PUBLIC_LEN);
	for (size_t i = 0; i < 8; i++, len += 2)
		snprintf(verifier.name + len, sizeof(verifier.name) - len, "%02x", hash.bytes[i]);
	set_id(&verifier);
	return verifier;
}

void note_vkey_write(const struct note_verifier *verifier, char text[NOTE_VKEY_SIZE])
{
	uint8_t typed[1 + AUDIT_PUBLIC_LEN] = {ED25519};
	char base64[AUDIT_BASE64_SIZE(sizeof(typed))];

	memcpy(typed + 1, verifier->public, AUDIT_PUBLIC_LEN);
	audit_base64_write(slice_of(typed, sizeof(typed)), base64, sizeof(base64));
	must(snprintf(text, NOTE_VKEY_SIZE, "%s+%02x%02x%02x%02x+%s", verifier->name,
		      verifier->id[0], verifier->id[1], verifier->id[2], verifier->id[3],
		      base64) < (int)NOTE_VKEY_SIZE);
}

static struct slice without_space_at_end(struct slice text)
{
	while (text.len > 0 && (text.at[text.len - 1] == '\n' || text.at[text.len - 1] == ' ' ||
				text.at[text.len - 1] == '\r'))
		text.len--;
	return text;
}

bool note_vkey_read(struct slice text, struct note_verifier *verifier, struct failure *failure)
{
	static const char form[] = "not a verifier key; one is NAME+ID+BASE64 with an Ed25519 key";
	uint8_t typed[1 + AUDIT_PUBLIC_LEN];
	char again[NOTE_VKEY_SIZE];
	struct slice rest = without_space_at_end(text);
	struct slice name;
	struct slice id;

	*verifier = (struct note_verifier){0};
	if (!text_cut(&rest, '+', &name) || !text_cut(&rest, '+', &id) || name.len == 0 ||
	    name.len >= sizeof(verifier->name) || !audit_base64_read(rest, typed, sizeof(typed)) ||
	    typed[0] != ED25519)
		return failure_set(failure, "%s", form);
	memcpy(verifier->name, name.at, name.len);
	memcpy(verifier->public, typed + 1, AUDIT_PUBLIC_LEN);
	set_id(verifier);
	note_vkey_write(verifier, again);
	if (!slice_equal(slice_text(again), without_space_at_end(text)))
		return failure_set(failure, "%s; the ID is not that of this name and key", form);
	return true;
}

/* ---- signed texts */

size_t note_sign(char *text, size_t len, size_t size, const struct note_verifier *verifier,
		 const struct audit_signing_key *key)
{
	uint8_t signed_bytes[SIGNED_BYTES];
	char base64[AUDIT_BASE64_SIZE(SIGNED_BYTES)];

	memcpy(signed_bytes, verifier->id, 4);
	audit_sign(key, slice_of(text, len), signed_bytes + 4);
	audit_base64_write(slice_of(signed_bytes, SIGNED_BYTES), base64, sizeof(base64));
	len +=
	    (size_t)snprintf(text + len, size - len, "\n" DASH "%s %s\n", verifier->name, base64);
	must(len < size);
	return len;
}

/* One signature line; *ours when it is by the key, and then its signature must fit. */
static bool take_signature(struct slice line, struct slice body,
			   const struct note_verifier *verifier, bool *ours,
			   struct failure *failure)
{
	uint8_t signed_bytes[SIGNED_BYTES];
	struct slice name;

	if (line.len < strlen(DASH) || memcmp(line.at, DASH, strlen(DASH)) != 0)
		return failure_set(failure, "a signature line does not begin with an em dash");
	line = slice_after(line, strlen(DASH));
	if (!text_cut(&line, ' ', &name))
		return failure_set(failure, "a signature line is not NAME BASE64");
	if (!slice_equal(name, slice_text(verifier->name)))
		return true;
	if (!audit_base64_read(line, signed_bytes, SIGNED_BYTES))
		return failure_set(failure, "the signature of %s is not base64 of %zu bytes",
				   verifier->name, (size_t)SIGNED_BYTES);
	if (memcmp(signed_bytes, verifier->id, 4) != 0)
		return true; /* another key of the same name */
	if (!audit_signature_fits(verifier->public, body, signed_bytes + 4))
		return failure_set(failure, "the signature of %s is wrong", verifier->name);
	*ours = true;
	return true;
}

static bool check_signatures(struct slice body, struct slice lines,
			     const struct note_verifier *verifier, struct failure *failure)
{
	bool ours = false;
	struct slice line;

	while (lines.len > 0) {
		if (!text_cut(&lines, '\n', &line))
			return failure_set(failure, "the last line has no end");
		if (!take_signature(line, body, verifier, &ours, failure))
			return false;
	}
	return ours || failure_set(failure, "it has no signature of %s", verifier->name);
}

bool note_open(struct slice text, const struct note_verifier *verifier, struct slice *body,
	       struct failure *failure)
{
	const uint8_t *parting = text.len > 0 ? memmem(text.at, text.len, "\n\n", 2) : NULL;

	if (parting == NULL)
		return failure_set(failure, "an empty line must part the text from its signatures");
	*body = slice_of(text.at, (size_t)(parting + 1 - text.at));
	return check_signatures(*body, slice_after(text, body->len + 1), verifier, failure);
}

/* ---- checkpoints */

size_t checkpoint_write(const struct checkpoint *checkpoint, const struct note_verifier *verifier,
			const struct audit_signing_key *key, char text[NOTE_CHECKPOINT_SIZE])
{
	char base64[AUDIT_BASE64_SIZE(AUDIT_HASH_LEN)];

	audit_base64_write(slice_of(checkpoint->root.bytes, AUDIT_HASH_LEN), base64,
			   sizeof(base64));
	const int len = snprintf(text, NOTE_CHECKPOINT_SIZE, "%s\n%" PRIu64 "\n%s\n",
				 verifier->name, checkpoint->size, base64);

	return note_sign(text, (size_t)len, NOTE_CHECKPOINT_SIZE, verifier, key);
}

static bool read_body(struct slice body, const struct note_verifier *verifier,
		      struct checkpoint *checkpoint, struct failure *failure)
{
	struct slice origin;
	struct slice size;
	struct slice root;

	if (!text_cut(&body, '\n', &origin) || !text_cut(&body, '\n', &size) ||
	    !text_cut(&body, '\n', &root) || !text_number(size, &checkpoint->size) ||
	    !audit_base64_read(root, checkpoint->root.bytes, AUDIT_HASH_LEN))
		return failure_set(failure, "it does not begin with origin, size and root");
	if (!slice_equal(origin, slice_text(verifier->name)))
		return failure_set(failure, "it is of the log %.*s, not of %s",
				   (int)(origin.len < 80 ? origin.len : 80),
				   (const char *)origin.at, verifier->name);
	return true;
}

bool checkpoint_size(struct slice text, uint64_t *size)
{
	struct slice line;

	return text_cut(&text, '\n', &line) && text_cut(&text, '\n', &line) &&
	       text_number(line, size);
}

bool checkpoint_read(struct slice text, const struct note_verifier *verifier,
		     struct checkpoint *checkpoint, struct failure *failure)
{
	const uint8_t *parting = text.len > 0 ? memmem(text.at, text.len, "\n\n", 2) : NULL;

	if (parting == NULL)
		return failure_set(failure, "not a checkpoint: an empty line parts the text "
					    "from its signatures");
	const struct slice body = slice_of(text.at, (size_t)(parting + 1 - text.at));
	const struct slice lines = slice_after(text, body.len + 1);

	return read_body(body, verifier, checkpoint, failure) &&
	       check_signatures(body, lines, verifier, failure);
}
