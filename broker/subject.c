/* subject.c - see subject.h. */
#include "broker/subject.h"
#include "auth/auth.h"
#include "broker/census.h"

#include <stdlib.h>

static json_t *refused(const char *sentence)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", sentence);
}

/* Waits for all workers; false: one is too busy. */
static bool wait_for(struct census *census)
{
	bool done = census_wait(census, SUBJECT_PATIENCE_MS);

	census_release(census);
	return done;
}

/* ---- export ---- */

/* The document as a text that is signed. */
static json_t *sign(const struct subject_source *source, const json_t *document)
{
	char *lines = json_dumps(document, JSON_INDENT(1) | JSON_SORT_KEYS);
	must(lines);
	char *note = source->sign(source->self, lines);
	json_t *answer = json_pack("{s:b, s:s}", "ok", 1, "export", note);

	explicit_bzero(lines, strlen(lines));
	free(lines);
	explicit_bzero(note, strlen(note));
	free(note);
	return answer;
}

static json_t *do_export(const struct subject_source *source, struct slice name, struct slice named)
{
	json_t *document = json_object();
	struct failure failure;
	json_t *answer = subject_describe(source, name, named, document, &failure)
			     ? sign(source, document)
			     : refused(failure.text);

	json_decref(document);
	return answer;
}

/* ---- rectify, restrict, object ---- */

static json_t *done_or(bool done, const struct failure *failure)
{
	return done ? json_pack("{s:b}", "ok", 1) : refused(failure->text);
}

static const char claimed[] = "the account is found by this address from now on, unless another "
			      "account has it: then it is found by none, and the operator can "
			      "tell you more";

static json_t *do_rectify(const struct subject_source *source, enum subject_asker asker,
			  struct slice name, struct slice address)
{
	struct failure failure;

	if (asker == SUBJECT_OPERATOR)
		return done_or(accounts_set_address(source->accounts, name, address, &failure),
			       &failure);
	return accounts_claim_address(source->accounts, name, address, &failure)
		   ? json_pack("{s:b, s:s}", "ok", 1, "note", claimed)
		   : refused(failure.text);
}

/* In force when it returns: whoever is connected has a grant that says so. */
static json_t *do_flag(const struct subject_source *source, struct slice name,
		       struct slice argument, unsigned flag)
{
	bool on = slice_equal(argument, SLICE_LITERAL("on"));
	struct failure failure;
	uint64_t row;

	if (!on && !slice_equal(argument, SLICE_LITERAL("off")))
		return refused("this is either on or off");
	if (!accounts_row(source->accounts, name, &row))
		return refused("there is no account of this name");
	if (!accounts_set_flag(source->accounts, name, flag, on, &failure))
		return refused(failure.text);
	return wait_for(source->renew(source->self, auth_owner(IDENTITY_ACCOUNT, row)))
		   ? json_pack("{s:b}", "ok", 1)
		   : refused("it is done, but a worker is too busy to say that it knows");
}

/* ---- erase ---- */

/*
 * First the disk, then memory, then the workers: who logs in between is refused when its answer
 * reaches a worker, or is there already when the command does.  Also where the key could not be
 * destroyed: nobody has to wait with leaving for that.
 */
static json_t *do_erase(const struct subject_source *source, struct slice name,
			struct slice argument, uint64_t *expel)
{
	char of[ACCOUNT_NAME_SIZE];
	struct failure failure;
	uint64_t row;

	if (!slice_equal(argument, name) || name.len >= sizeof of)
		return refused("to erase an account takes its name as the argument");
	memcpy(of, name.at, name.len);
	of[name.len] = '\0';
	bool deleted = accounts_delete(source->accounts, name, &row, &failure);

	if (row != 0)
		*expel = auth_owner(IDENTITY_ACCOUNT, row);
	if (!deleted)
		return refused(failure.text);
	json_t *answer = json_pack("{s:b}", "ok", 1);
	char *receipt = source->receipt(source->self, of, &failure);

	if (receipt)
		json_object_set_new(answer, "receipt", json_string(receipt));
	else
		json_object_set_new(answer, "no_receipt", json_string(failure.text));
	free(receipt);
	return answer;
}

/* Twice: what one worker had sent another before the first time is there before the second. */
bool subject_expel(const struct subject_source *source, uint64_t owner)
{
	bool first = wait_for(source->expel(source->self, owner));

	return wait_for(source->expel(source->self, owner)) && first;
}

json_t *subject_do(const struct subject_source *source, enum subject_asker asker,
		   enum own_action action, struct slice name, struct slice argument,
		   uint64_t *expel)
{
	*expel = 0;
	switch (action) {
	case OWN_EXPORT:
		return do_export(source, name, argument);
	case OWN_RECTIFY:
		return do_rectify(source, asker, name, argument);
	case OWN_RESTRICT:
		return do_flag(source, name, argument, ACCOUNT_RESTRICTED);
	case OWN_OBJECT:
		return do_flag(source, name, argument, ACCOUNT_NO_STATS);
	case OWN_ERASE:
		return do_erase(source, name, argument, expel);
	case OWN_ACTIONS:
		break;
	}
	return refused("no such request");
}
