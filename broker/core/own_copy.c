/* own_copy.c - see own_copy.h. */
#include "broker/core/core.h"

struct own_copy {
	struct own_copy *next;
	struct mail *mail;	 /* of a shared subscription; then nothing of the rest */
	struct message *message; /* one reference */
	uint64_t session;	 /* by number: it may end meanwhile */
	uint8_t qos;
	bool retain;
	uint32_t count; /* of identifiers */
	uint32_t identifiers[];
};

static void append(struct shard *shard, struct own_copy *copy)
{
	*(shard->own_copies ? &shard->own_copies_last->next : &shard->own_copies) = copy;
	shard->own_copies_last = copy;
}

void own_copy_put_off(struct shard *shard, struct publication *publication, struct session *session,
		      uint8_t qos, bool retain, struct identifier_list identifiers)
{
	struct message *message = publication_message(shard, publication);
	if (message == NULL) {
		delivery_row(shard, session, &publication->publisher, qos, ROUTE_MEMORY);
		return;
	}
	size_t size = identifiers.count * sizeof identifiers.at[0];
	struct own_copy *copy = memory_get(sizeof *copy + size);
	*copy = (struct own_copy){.message = message_share(message),
				  .session = session->number,
				  .qos = qos,
				  .retain = retain,
				  .count = identifiers.count};
	if (size > 0)
		memcpy(copy->identifiers, identifiers.at, size);
	append(shard, copy);
}

void own_copy_put_off_mail(struct shard *shard, struct mail *mail)
{
	struct own_copy *copy = memory_get(sizeof *copy);
	*copy = (struct own_copy){.mail = mail};
	append(shard, copy);
}

static struct own_copy *take_first(struct shard *shard)
{
	struct own_copy *copy = shard->own_copies;
	if (copy)
		shard->own_copies = copy->next;
	return copy;
}

/* To a member here at once: it may be about to leave. */
static void deliver_mail(struct shard *shard, struct mail *mail)
{
	if (mail->to != shard->party) {
		shard_post(shard, mail);
		return;
	}
	share_mail(shard, mail);
	mail_destroy(mail, &shard->purse);
}

static void deliver(struct shard *shard, struct own_copy *copy)
{
	struct session *session = session_by_number(shard, copy->session);
	struct publication publication = message_publication(copy->message);
	if (session)
		deliver_to_session(shard, session, &publication, copy->qos, copy->retain,
				   (struct identifier_list){copy->identifiers, copy->count});
	else
		delivery_dropped(shard, NULL, &publication.publisher, copy->qos,
				 ROUTE_SESSION_ENDED);
	message_release(copy->message, &shard->purse);
}

void own_copies_deliver(struct shard *shard)
{
	for (struct own_copy *copy; (copy = take_first(shard)) != NULL; memory_free(copy)) {
		if (copy->mail)
			deliver_mail(shard, copy->mail);
		else
			deliver(shard, copy);
	}
}

void own_copies_finish(struct shard *shard)
{
	for (struct own_copy *copy; (copy = take_first(shard)) != NULL; memory_free(copy)) {
		if (copy->mail)
			mail_destroy(copy->mail, &shard->purse);
		else
			message_release(copy->message, &shard->purse);
	}
}
