/* audit_prove.c - `metrino audit verify`, `prove` and `check`. */
#include "cli/audit.h"
#include "storage/audit/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- verify */

static void print_verified(const struct audit_place *place, bool own_key)
{
	char root[AUDIT_BASE64_SIZE(AUDIT_HASH_LEN)];

	audit_base64_write(slice_of(place->checkpoint.root.bytes, AUDIT_HASH_LEN), root,
			   sizeof(root));
	printf("verified: %" PRIu64 " entries of %s, root %s\n", place->checkpoint.size,
	       place->verifier.name, root);
	if (own_key)
		puts("with the key beside the log; --vkey KEY takes the one that you were given");
}

bool audit_verify_log(const struct audit_request *request, struct failure *failure)
{
	struct audit_place place;

	if (!audit_place_open(&place, request->data, failure))
		return false;
	bool ok = audit_place_read(&place, request->vkey, failure) &&
		  audit_verify(place.directory, &place.verifier, &place.checkpoint, failure);

	if (ok)
		print_verified(&place, request->vkey == NULL);
	audit_place_finish(&place);
	return ok;
}

/* ---- prove */

static bool prove_entry(const struct audit_place *place, struct audit_reader *reader,
			const char *number, struct proof_text *text, struct failure *failure)
{
	uint64_t index;

	if (!text_number(slice_text(number), &index) || index >= place->checkpoint.size)
		return failure_set(
		    failure, "'%.40s' is not an entry; the log has %" PRIu64 ", counted from 0",
		    number, place->checkpoint.size);
	return audit_reader_prove(reader, &place->checkpoint, index, text, failure);
}

static bool read_checkpoint_file(const char *path, const struct note_verifier *verifier,
				 struct checkpoint *checkpoint, struct failure *failure)
{
	struct audit_file file;

	if (!audit_file_read(AT_FDCWD, path, NOTE_CHECKPOINT_MAX, &file, failure))
		return false;
	bool ok = checkpoint_read(slice_of(file.at, file.len), verifier, checkpoint, failure);

	free(file.at);
	return ok || failure_context(failure, "%.200s", path);
}

static bool prove_continues(const struct audit_place *place, struct audit_reader *reader,
			    const struct checkpoint *old, struct proof_text *text,
			    struct failure *failure)
{
	const struct merkle_source source = audit_reader_source(reader);
	const struct checkpoint *tree = &place->checkpoint;

	text->kind = PROOF_CONSISTENCY;
	text->number = old->size;
	if (old->size > tree->size)
		return failure_set(failure,
				   "the log has %" PRIu64 " entries and had %" PRIu64
				   ": it was put back to an earlier state",
				   tree->size, old->size);
	if (!merkle_prove_consistency(&source, old->size, tree->size, &text->proof, failure))
		return false;
	return merkle_check_consistency(old->size, tree->size, &text->proof, &old->root,
					&tree->root) ||
	       failure_set(failure,
			   "the log does not continue that checkpoint: the entries before were "
			   "changed, or it is another branch (fork)");
}

bool audit_prove(const struct audit_request *request, struct failure *failure)
{
	static struct proof_text text;
	static char head[PROOF_HEAD_SIZE];
	struct audit_reader *reader = calloc(1, sizeof(*reader));
	struct audit_place place;
	struct checkpoint old;

	must(reader);
	bool ok = audit_place_open(&place, request->data, failure) &&
		  audit_place_read(&place, request->vkey, failure);

	audit_reader_init(reader, place.directory, place.checkpoint.size);
	if (request->from)
		ok = ok && read_checkpoint_file(request->from, &place.verifier, &old, failure) &&
		     prove_continues(&place, reader, &old, &text, failure);
	else
		ok = ok && prove_entry(&place, reader, request->operand, &text, failure);
	if (ok) {
		fwrite(head, 1, proof_write_head(&text, head), stdout);
		fwrite(place.checkpoint_text.at, 1, place.checkpoint_text.len, stdout);
	}
	audit_reader_finish(reader);
	audit_place_finish(&place);
	free(reader);
	return ok;
}

/* ---- check */

/* The key: given, or of the log that is given or found. */
static bool find_key(const struct audit_request *request, struct note_verifier *verifier,
		     struct failure *failure)
{
	struct audit_place place;

	if (request->vkey)
		return audit_vkey_given(request->vkey, verifier, failure);
	bool ok = audit_place_open(&place, request->data, failure) &&
		  audit_vkey_load(place.directory, verifier, failure);

	audit_place_finish(&place);
	return ok || failure_context(failure, "the verifier key (--vkey KEY)");
}

static bool check_entry(const struct proof_text *text, const struct checkpoint *tree,
			struct failure *failure)
{
	const struct audit_hash leaf = merkle_leaf(slice_of(text->extra, text->extra_len));

	if (!text->has_extra)
		return failure_set(failure,
				   "the proof does not hold its entry (`extra`), so there is "
				   "nothing that it could be of");
	if (!merkle_check_inclusion(&leaf, text->number, tree->size, &text->proof, &tree->root))
		return failure_set(failure, "the entry is not in the log at that place");
	printf("entry %" PRIu64 " of %" PRIu64 " is in the log: ", text->number, tree->size);
	for (size_t i = 0; i < text->extra_len; i++)
		putchar(text->extra[i] >= ' ' && text->extra[i] < 127 ? text->extra[i] : '?');
	putchar('\n');
	return true;
}

static bool check_continues(const struct audit_request *request, const struct proof_text *text,
			    const struct checkpoint *tree, const struct note_verifier *verifier,
			    struct failure *failure)
{
	struct checkpoint old;

	if (!request->from)
		return failure_set(failure, "a proof of consistency needs the older checkpoint: "
					    "--from CHECKPOINT");
	if (!read_checkpoint_file(request->from, verifier, &old, failure))
		return false;
	if (old.size != text->number ||
	    !merkle_check_consistency(old.size, tree->size, &text->proof, &old.root, &tree->root))
		return failure_set(
		    failure, "the log of %" PRIu64 " entries does not continue that of %" PRIu64,
		    tree->size, old.size);
	printf("the log of %" PRIu64 " entries continues that of %" PRIu64 "\n", tree->size,
	       old.size);
	return true;
}

/* A checkpoint that somebody kept, against the log as it is. */
static bool check_kept(const struct audit_request *request, const struct checkpoint *old,
		       struct failure *failure)
{
	static struct proof_text text;
	struct audit_reader *reader = calloc(1, sizeof(*reader));
	struct audit_place place;

	must(reader);
	bool ok = audit_place_open(&place, request->data, failure) &&
		  audit_place_read(&place, request->vkey, failure);

	audit_reader_init(reader, place.directory, place.checkpoint.size);
	ok = ok && prove_continues(&place, reader, old, &text, failure);
	if (ok)
		printf("the log of %" PRIu64 " entries continues that of %" PRIu64 "\n",
		       place.checkpoint.size, old->size);
	audit_reader_finish(reader);
	audit_place_finish(&place);
	free(reader);
	return ok;
}

static bool check_text(const struct audit_request *request, struct slice bytes,
		       struct failure *failure)
{
	static struct proof_text text;
	struct note_verifier verifier;
	struct checkpoint tree;

	if (!find_key(request, &verifier, failure))
		return false;
	const bool is_proof = proof_looks_like(bytes);

	if (is_proof && !proof_read(bytes, &text, failure))
		return false;
	if (request->from && !(is_proof && text.kind == PROOF_CONSISTENCY))
		return failure_set(failure, "not a proof that the log continues the checkpoint of "
					    "--from; `prove --from` writes one");
	if (!is_proof)
		return checkpoint_read(bytes, &verifier, &tree, failure) &&
		       check_kept(request, &tree, failure);
	if (!checkpoint_read(text.checkpoint, &verifier, &tree, failure))
		return false;
	return text.kind == PROOF_INCLUSION
		   ? check_entry(&text, &tree, failure)
		   : check_continues(request, &text, &tree, &verifier, failure);
}

bool audit_check(const struct audit_request *request, struct failure *failure)
{
	struct audit_file file;

	if (!audit_file_read(AT_FDCWD, request->operand, NOTE_CHECKPOINT_MAX, &file, failure))
		return false;
	bool ok = check_text(request, slice_of(file.at, file.len), failure);

	free(file.at);
	return ok || failure_context(failure, "%.200s", request->operand);
}
