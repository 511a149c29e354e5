/* message.c - see message.h. */
#include "broker/core/message.h"

struct message *message_create(struct purse *purse, const struct publication *p)
{
	size_t size = message_cost(p);
	if (!purse_take(purse, size))
		return NULL;
	struct message *m = purse_payload(purse, size);
	atomic_init(&m->refs, 1);
	m->realm = p->realm;
	m->properties_len = (uint32_t)p->properties.len;
	m->payload_len = (uint32_t)p->payload.len;
	m->topic_len = (uint16_t)p->topic.len;
	m->qos = p->qos;
	m->retain = p->retain;
	m->again = p->again;
	m->goes_behind = p->goes_behind;
	m->envelope = p->envelope;
	m->publisher = p->publisher;
	m->expires_ms = p->expires_ms;
	struct slice parts[] = {p->topic, p->properties, p->payload};
	uint8_t *at = m->bytes;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (parts[i].len != 0)
			memcpy(at, parts[i].at, parts[i].len);
		at += parts[i].len;
	}
	return m;
}

struct publication message_publication(struct message *m)
{
	return (struct publication){
	    .realm = m->realm,
	    .qos = m->qos,
	    .retain = m->retain,
	    .again = m->again,
	    .goes_behind = m->goes_behind,
	    .envelope = m->envelope,
	    .publisher = m->publisher,
	    .expires_ms = m->expires_ms,
	    .topic = message_topic(m),
	    .properties = message_properties(m),
	    .payload = message_payload(m),
	    .message = m,
	};
}

void message_release(struct message *message, struct purse *purse)
{
	/* Not release and a fence: ThreadSanitizer knows no fences. */
	if (atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) != 1)
		return;
	size_t size = message_size(message);
	purse_give(purse, size);
	purse_payload_free(purse, message, size);
}
