/*
 * control_subject.c - commands of the control socket for the rights of persons: control.h has the
 * protocol, subject.h what they do.
 */
#include "broker/control_internal.h"
#include "broker/subject.h"

/* The account by its name, which is looked up later, or by its address. */
static bool find(const struct control_source *source, const json_t *request,
		 char name[ACCOUNT_NAME_SIZE], struct failure *failure)
{
	struct slice given = control_text(request, "name"),
		     address = control_text(request, "address");

	if (given.len == 0 && address.len == 0)
		return failure_set(failure, "this command needs \"name\" or \"address\"");
	if (given.len == 0)
		return accounts_find(source->accounts, address, name, failure);
	if (given.len >= ACCOUNT_NAME_SIZE)
		return failure_set(failure, "there is no account of this name");
	memcpy(name, given.at, given.len);
	name[given.len] = '\0';
	return true;
}

static void run(const struct control_source *source, const json_t *request, FILE *out,
		enum own_action action, struct slice argument)
{
	char name[ACCOUNT_NAME_SIZE];
	struct failure failure;
	uint64_t expel;

	if (!find(source, request, name, &failure)) {
		control_say_error(out, failure.text);
		return;
	}
	if (action == OWN_ERASE)
		argument = slice_text(name);
	json_t *answer = subject_do(source->subject, SUBJECT_OPERATOR, action, slice_text(name),
				    argument, &expel);

	if (expel != 0 && !subject_expel(source->subject, expel))
		json_object_set_new(answer, "warning",
				    json_string("a worker is too busy to say that the connections "
						"are closed"));
	control_say(out, answer);
}

static void export(const struct control_source *source, const json_t *request, FILE *out)
{
	run(source, request, out, OWN_EXPORT, control_text(request, "clients"));
}

static void rectify(const struct control_source *source, const json_t *request, FILE *out)
{
	run(source, request, out, OWN_RECTIFY, control_text(request, "new_address"));
}

static void restrict_(const struct control_source *source, const json_t *request, FILE *out)
{
	run(source, request, out, OWN_RESTRICT, control_text(request, "set"));
}

static void object(const struct control_source *source, const json_t *request, FILE *out)
{
	run(source, request, out, OWN_OBJECT, control_text(request, "set"));
}

static void erase(const struct control_source *source, const json_t *request, FILE *out)
{
	run(source, request, out, OWN_ERASE, SLICE_NONE);
}

const struct control_command control_subject_commands[] = {
    {"subject.export", AUDIT_WORD_RIGHT_SUBJECT_EXPORT, true, export},
    {"subject.rectify", AUDIT_WORD_RIGHT_SUBJECT_RECTIFY, true, rectify},
    {"subject.restrict", AUDIT_WORD_RIGHT_SUBJECT_RESTRICT, true, restrict_},
    {"subject.object", AUDIT_WORD_RIGHT_SUBJECT_OBJECT, true, object},
    {"subject.erase", AUDIT_WORD_RIGHT_SUBJECT_ERASE, true, erase},
    {0},
};
