/*
 * household_subject.c - the rights of persons between accounts, workers and the audit log: for the
 * control socket, and for the desk that answers what accounts ask over MQTT.
 *
 * Thread: making and ending are the main thread's; the rest the control socket's and the desk's.
 */
#include "broker/household_internal.h"
#include "storage/lmdb_store.h"

#include <stdlib.h>

static const char *region(void *self)
{
	const struct household *house = self;
	const struct config *config = house->config;

	return config->region;
}

static const char *contact(void *self)
{
	const struct household *house = self;
	const struct config *config = house->config;

	return config->privacy_contact;
}

static struct census *sessions(void *self, uint64_t owner)
{
	return household_ask_all(self, COMMAND_CENSUS, owner);
}

static bool stored(void *self, const struct client_info *client,
		   const struct store_visitor *visitor, struct failure *failure)
{
	struct household *house = self;

	return lmdb_store_read(house->store, client->row, client->rows, client->row_count, visitor,
			       failure);
}

static struct census *expel(void *self, uint64_t owner)
{
	return household_ask_all(self, COMMAND_EXPEL, owner);
}

static struct census *renew(void *self, uint64_t owner)
{
	return household_ask_all(self, COMMAND_RIGHTS, owner);
}

static char *receipt(void *self, const char *name, struct failure *failure)
{
	struct household *house = self;
	char *text = malloc(RECEIPT_SIZE);

	must(text);
	if (audit_receipt(house->audit, RECEIPT_ACCOUNT_ERASED, slice_text(name), text, failure))
		return text;
	free(text);
	return NULL;
}

static char *sign(void *self, const char *document)
{
	static const char first_line[] = "metrino export v1\n";
	struct household *house = self;
	size_t size = sizeof first_line + strlen(document) + NOTE_CHECKPOINT_SIZE;
	char *text = calloc(1, size);

	must(text);
	size_t len = (size_t)snprintf(text, size, "%s%s\n", first_line, document);

	len = audit_sign_text(house->audit, text, len, size - 1);
	must(len < size);
	return text;
}

static void answer(void *self, struct own_request *request)
{
	struct household *house = self;
	struct worker *worker = &house->workers[request->party];
	char name[ACCOUNT_NAME_SIZE];
	uint64_t expel_owner = 0;
	json_t *told;

	if (accounts_name(house->accounts, auth_owner_number(request->owner), name))
		told = subject_do(&house->subject, SUBJECT_PERSON, request->action,
				  slice_text(name), own_request_payload(request), &expel_owner);
	else
		told = json_pack("{s:b, s:s}", "ok", 0, "error", "there is no such account");
	char *text = json_dumps(told, JSON_COMPACT);

	must(text);
	own_request_answer(request, slice_text(text));
	explicit_bzero(text, strlen(text));
	free(text);
	json_decref(told);
	/* The answer is on its way before the connection ends. */
	worker_post_answer(worker, request);
	if (expel_owner != 0)
		subject_expel(&house->subject, expel_owner);
}

bool household_start_desk(struct household *house, struct failure *failure)
{
	const struct desk_sink sink = {house, answer};

	if (!house->accounts)
		return true;
	house->subject = (struct subject_source){
	    .self = house,
	    .accounts = house->accounts,
	    .auth_log = house->auth_log,
	    .region = region,
	    .contact = contact,
	    .stored = stored,
	    .deliveries = household_deliveries,
	    .sessions = sessions,
	    .expel = expel,
	    .renew = renew,
	    .receipt = receipt,
	    .sign = sign,
	};
	house->desk = desk_create(&sink, failure);
	return house->desk != NULL;
}
