/* oracle.c - the records: messages and subscriptions. */
#include "tests/sim/oracle.h"
#include "tests/sim/device.h"
#include <stdio.h>

void oracle_init(struct world *world)
{
	world->oracle = calloc(1, sizeof(*world->oracle));
	must(world->oracle != NULL);
	for (unsigned i = 0; i < WORLD_CLIENTS_MAX; i++)
		world->oracle->sessions[i].present_seq = NEVER;
}

void oracle_finish(struct world *world)
{
	struct oracle *oracle = world->oracle;
	for (uint32_t i = 0; i < oracle->message_count; i++)
		free(oracle->messages[i]);
	free(oracle->messages);
	for (size_t i = 0; i < oracle->sub_count; i++)
		free(oracle->subs[i]);
	free(oracle->subs);
	free(oracle->deaths_ms);
	while (oracle->wills != NULL) {
		struct oracle_will *will = oracle->wills;
		oracle->wills = will->next;
		free(will);
	}
	free(oracle);
	world->oracle = NULL;
}

void oracle_payload(uint32_t number, uint32_t len, uint8_t *out)
{
	char name[16];
	snprintf(name, sizeof(name), "m%08x", number);
	for (uint32_t i = 0; i < len; i++)
		out[i] = i < 9 ? (uint8_t)name[i] : (uint8_t)((number * 31u + i * 7u) & 0xff);
}

struct oracle_message *oracle_new_message(struct world *world, uint32_t publisher)
{
	struct oracle *oracle = world->oracle;
	if (oracle->message_count == oracle->message_room) {
		oracle->message_room = oracle->message_room * 2 + 64;
		oracle->messages =
		    realloc(oracle->messages, oracle->message_room * sizeof(*oracle->messages));
		must(oracle->messages != NULL);
	}
	struct oracle_message *message = calloc(1, sizeof(*message));
	must(message != NULL);
	message->number = oracle->message_count;
	message->publisher = publisher;
	message->acked_seq = message->acked_ms = NEVER;
	unsigned slot = publisher == ORACLE_BROKER ? WORLD_CLIENTS_MAX : publisher;
	message->previous = oracle->latest[slot];
	oracle->latest[slot] = message;
	oracle->messages[oracle->message_count++] = message;
	return message;
}

void oracle_sent(struct world *world, struct oracle_message *message, struct link *link)
{
	uint64_t seq = world_next_seq(world);
	if (message->sends++ == 0) {
		message->sent_seq = seq;
		message->sent_ms = world->now_ms;
	}
	message->last_sent_seq = seq;
	message->last_sent_ms = world->now_ms;
	message->link = link;
}

void oracle_acked(struct world *world, struct oracle_message *message, uint8_t reason)
{
	if (reason >= 0x80)
		message->refused = true;
	if (message->acked_seq != NEVER)
		return;
	message->acked_seq = world_next_seq(world);
	message->acked_ms = world->now_ms;
	if (reason < 0x80 && message->qos == 1)
		oracle_custody(world, message);
}

/* The newest record of the same subscription that may still be in force. */
static struct oracle_sub *find_same(struct oracle *oracle, const struct oracle_sub *sub)
{
	for (size_t i = oracle->sub_count; i-- > 0;) {
		struct oracle_sub *other = oracle->subs[i];
		if (other->client == sub->client && other->epoch == sub->epoch &&
		    other->may_end_seq == NEVER && strcmp(other->text, sub->text) == 0)
			return other;
	}
	return NULL;
}

/* "$share/g1/s/+" */
static void take_apart(struct oracle_sub *sub)
{
	sub->filter = sub->text;
	if (strncmp(sub->text, "$share/g", 8) != 0)
		return;
	sub->group = (uint32_t)(sub->text[8] - '0');
	sub->filter = sub->text + 10;
}

struct oracle_sub *oracle_subscribe(struct world *world, unsigned client,
				    const struct mqtt_subscription *entry, uint32_t identifier)
{
	struct oracle *oracle = world->oracle;
	struct oracle_sub *sub = calloc(1, sizeof(*sub));
	must(sub != NULL && entry->filter.len < sizeof(sub->text));
	memcpy(sub->text, entry->filter.at, entry->filter.len);
	take_apart(sub);
	sub->client = client;
	sub->epoch = oracle->sessions[client].epoch;
	sub->qos = sub->chain_qos = entry->qos;
	sub->no_local = sub->chain_no_local = entry->no_local;
	sub->rap = entry->retain_as_published;
	sub->handling = entry->retain_handling;
	sub->identifier = identifier;
	sub->sent_seq = world_next_seq(world);
	sub->sent_ms = world->now_ms;
	sub->acked_seq = sub->must_end_seq = sub->may_end_seq = NEVER;
	sub->must_from_seq = sub->replaced_seq = NEVER;
	sub->replaces = find_same(oracle, sub);
	if (sub->replaces != NULL)
		sub->replaces->replaced_seq = sub->sent_seq;
	if (oracle->sub_count == oracle->sub_room) {
		oracle->sub_room = oracle->sub_room * 2 + 64;
		oracle->subs = realloc(oracle->subs, oracle->sub_room * sizeof(*oracle->subs));
		must(oracle->subs != NULL);
	}
	oracle->subs[oracle->sub_count++] = sub;
	return sub;
}

/* A refused SUBSCRIBE may or may not have touched what was there before. */
static void refuse_sub(struct oracle_sub *sub, uint64_t seq)
{
	sub->refused = true;
	sub->must_end_seq = sub->may_end_seq = seq;
	if (sub->replaces != NULL && sub->replaces->must_end_seq == NEVER)
		sub->replaces->must_end_seq = sub->sent_seq;
}

void oracle_suback(struct world *world, struct oracle_sub *sub, uint8_t code)
{
	uint64_t seq = world_next_seq(world);
	if (code >= 0x80) {
		if (world->profile.refuse == 0 && !world->profile.tight_queues)
			world_fault(world, "suback", "client %u: SUBACK 0x%02x for %s", sub->client,
				    code, sub->text);
		refuse_sub(sub, seq);
		return;
	}
	uint8_t expected = sub->qos < world->listener.max_qos ? sub->qos : world->listener.max_qos;
	if (code != expected)
		world_fault(world, "suback", "client %u: granted QoS %u, asked for %u", sub->client,
			    code, sub->qos);
	sub->qos = code;
	sub->acked_seq = seq;
	if (sub->chain_qos > code)
		sub->chain_qos = code;
	if (sub->must_end_seq == NEVER)
		sub->must_from_seq = seq;
	struct oracle_sub *old = sub->replaces;
	if (old == NULL)
		return;
	if (old->must_from_seq != NEVER && old->must_end_seq == NEVER &&
	    sub->must_end_seq == NEVER) {
		sub->must_from_seq = old->must_from_seq;
		if (old->chain_qos < sub->chain_qos)
			sub->chain_qos = old->chain_qos;
		sub->chain_no_local = sub->chain_no_local || old->chain_no_local;
	}
	if (old->must_end_seq == NEVER)
		old->must_end_seq = sub->sent_seq;
	old->may_end_seq = seq;
}

/* One UNSUBSCRIBE ends all that SUBSCRIBEs before it made, answered or not. */
static bool same_filter(const struct oracle_sub *a, const struct oracle_sub *b)
{
	return a->client == b->client && a->epoch == b->epoch && strcmp(a->text, b->text) == 0;
}

void oracle_unsubscribe(struct world *world, struct oracle_sub *sub)
{
	struct oracle *oracle = world->oracle;
	uint64_t seq = world_next_seq(world);
	for (size_t i = 0; i < oracle->sub_count; i++) {
		if (!same_filter(oracle->subs[i], sub))
			continue;
		oracle->subs[i]->unsubscribed = true;
		if (oracle->subs[i]->must_end_seq == NEVER)
			oracle->subs[i]->must_end_seq = seq;
	}
}

void oracle_unsuback(struct world *world, struct oracle_sub *sub, uint8_t code)
{
	struct oracle *oracle = world->oracle;
	uint64_t seq = world_next_seq(world);
	if (code >= 0x80 && world->profile.refuse == 0)
		world_fault(world, "suback", "client %u: UNSUBACK 0x%02x for %s", sub->client, code,
			    sub->text);
	/* Where the disk refuses, a restart may bring it back. */
	if (world->profile.refuse > 0)
		return;
	for (size_t i = 0; i < oracle->sub_count; i++)
		if (same_filter(oracle->subs[i], sub) && oracle->subs[i]->unsubscribed &&
		    oracle->subs[i]->may_end_seq == NEVER)
			oracle->subs[i]->may_end_seq = seq;
}
