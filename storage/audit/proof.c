/* proof.c - proofs as text: see note.h. */
#include "storage/audit/note.h"
#include "storage/audit/text.h"

#include <inttypes.h>
#include <stdio.h>

#define FIRST_LINE "c2sp.org/tlog-proof@v1\n"

size_t proof_write_head(const struct proof_text *proof, char text[PROOF_HEAD_SIZE])
{
	char base64[AUDIT_BASE64_SIZE(sizeof(proof->extra))];
	const size_t size = PROOF_HEAD_SIZE;
	size_t len = 0;

	if (proof->kind == PROOF_INCLUSION)
		len = (size_t)snprintf(text, size, FIRST_LINE);
	if (proof->has_extra) {
		audit_base64_write(slice_of(proof->extra, proof->extra_len), base64,
				   sizeof(base64));
		len += (size_t)snprintf(text + len, size - len, "extra %s\n", base64);
	}
	len += (size_t)snprintf(text + len, size - len, "%s %" PRIu64 "\n",
				proof->kind == PROOF_INCLUSION ? "index" : "old", proof->number);
	for (size_t i = 0; i < proof->proof.count; i++) {
		audit_base64_write(slice_of(proof->proof.hashes[i].bytes, AUDIT_HASH_LEN), base64,
				   sizeof(base64));
		len += (size_t)snprintf(text + len, size - len, "%s\n", base64);
	}
	len += (size_t)snprintf(text + len, size - len, "\n");
	must(len < size);
	return len;
}

static bool read_extra(struct slice base64, struct proof_text *proof, struct failure *failure)
{
	size_t padding = 0;

	while (padding < 2 && padding < base64.len && base64.at[base64.len - 1 - padding] == '=')
		padding++;
	proof->has_extra = true;
	proof->extra_len = base64.len / 4 * 3 - (base64.len >= 4 ? padding : 0);
	if (proof->extra_len <= sizeof(proof->extra) &&
	    audit_base64_read(base64, proof->extra, proof->extra_len))
		return true;
	return failure_set(failure, "what follows `extra` is not base64 of at most %zu bytes",
			   sizeof(proof->extra));
}

static bool read_hashes(struct slice *text, struct merkle_proof *proof, struct failure *failure)
{
	struct slice line;

	proof->count = 0;
	while (text_cut(text, '\n', &line)) {
		if (line.len == 0)
			return true;
		if (proof->count == MERKLE_PROOF_MAX)
			return failure_set(failure, "it has more than %u hashes", MERKLE_PROOF_MAX);
		if (!audit_base64_read(line, proof->hashes[proof->count++].bytes, AUDIT_HASH_LEN))
			return failure_set(failure, "hash %zu is not base64 of %u bytes",
					   proof->count, AUDIT_HASH_LEN);
	}
	return failure_set(failure, "an empty line and the checkpoint are missing");
}

bool proof_looks_like(struct slice text)
{
	return text_begins(&text, FIRST_LINE) || text_begins(&text, "old ");
}

bool proof_read(struct slice text, struct proof_text *proof, struct failure *failure)
{
	struct slice line;

	*proof = (struct proof_text){.kind = PROOF_CONSISTENCY};
	if (text_begins(&text, FIRST_LINE))
		proof->kind = PROOF_INCLUSION;
	if (proof->kind == PROOF_INCLUSION && text_begins(&text, "extra ") &&
	    (!text_cut(&text, '\n', &line) || !read_extra(line, proof, failure)))
		return failure_set(failure,
				   "what follows `extra` is not base64 of at most %zu bytes",
				   sizeof(proof->extra));
	if (!text_begins(&text, proof->kind == PROOF_INCLUSION ? "index " : "old ") ||
	    !text_cut(&text, '\n', &line) || !text_number(line, &proof->number))
		return failure_set(failure, "not a proof: after the first line or `extra` stands "
					    "`index NUMBER`, or `old SIZE` at the beginning");
	if (!read_hashes(&text, &proof->proof, failure))
		return false;
	proof->checkpoint = text;
	return true;
}
