/*
 * oracle.h - a naive reference broker: linear lists, topic_matches(), and what a
 * client may and must get, judged from what clients sent and received.
 *
 * The order of events between shards is only partly fixed, so that the oracle
 * speaks in intervals: a subscription may be in force from SUBSCRIBE sent until
 * UNSUBACK received, and must be from SUBACK received until UNSUBSCRIBE sent.
 * `seq` numbers order what clients do and see; times are in ms of the world.
 *
 * Ownership: the oracle keeps every record until its end.
 */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include "proto/packet.h"
#include "proto/topic.h"
#include "tests/sim/world.h"

#define ORACLE_TOPIC_MAX	48
#define ORACLE_PROPS_MAX	128
#define ORACLE_PAYLOAD_MAX	4096
#define ORACLE_GROUPS		4
#define ORACLE_GROUP_IDENTIFIER 100u	   /* + group: identifiers of shared subscriptions */
#define ORACLE_BROKER		UINT32_MAX /* as publisher: the broker itself */

/* How often one client got one message. */
struct oracle_got {
	uint16_t live, retained, again;	 /* again: DUP of a message that it had */
	uint16_t plain;			 /* of the live ones, those without RETAIN */
	uint8_t by_group[ORACLE_GROUPS]; /* for shared subscriptions, DUPs not counted */
	uint8_t exact[ORACLE_GROUPS];	 /* likewise, of QoS 2; [0]: by others */
	uint32_t exact_epoch;
	uint64_t last_ms;
	uint64_t lost_seq; /* counted as one that a death may have taken */
	uint8_t qos;	   /* of the first plain one */
	uint32_t epoch;
	uint64_t first_ms;
};

struct oracle_message {
	uint32_t number; /* the payload names it */
	uint32_t publisher;
	char topic[ORACLE_TOPIC_MAX];
	uint8_t qos;
	bool retain, will;
	uint32_t payload_len; /* 0: clears what is retained, and carries no name */
	uint32_t expiry_s;    /* 0: none */
	uint8_t props[ORACLE_PROPS_MAX];
	size_t props_len;
	struct oracle_message *previous; /* of the same publisher */
	uint64_t sent_seq, sent_ms;	 /* first time */
	uint64_t last_sent_seq, last_sent_ms;
	uint32_t sends;
	struct link *link;	      /* that carried it last */
	uint64_t acked_seq, acked_ms; /* PUBACK or PUBREC; NEVER before */
	bool refused;		      /* by a reason code */
	bool dollar;		      /* a client published to '$': the broker may drop it */
	uint64_t taken_ms;	      /* PUBACK or PUBREC with success; 0 before */
	uint32_t present; /* bits: clients that were there from its PUBLISH until then */
	struct oracle_got got[WORLD_CLIENTS_MAX];
};

struct oracle_sub {
	unsigned client;
	uint32_t epoch;
	char text[ORACLE_TOPIC_MAX]; /* as subscribed */
	const char *filter;	     /* in text, behind a share name */
	uint32_t group;		     /* 0: not shared */
	uint8_t qos;
	bool no_local, rap;
	uint8_t handling;
	uint32_t identifier;
	uint64_t sent_seq, sent_ms;
	uint64_t acked_seq;    /* NEVER before */
	uint64_t must_end_seq; /* UNSUBSCRIBE, a new SUBSCRIBE or the session's end was asked for */
	uint64_t may_end_seq;  /* it cannot be in force any more */
	uint64_t replaced_seq; /* SUBSCRIBE was sent again; NEVER: was not */
	bool refused, unsubscribed;
	/* SUBSCRIBE again without a gap: what held through all of the chain. */
	uint64_t must_from_seq; /* NEVER while not sure */
	uint8_t chain_qos;
	bool chain_no_local;
	struct oracle_sub *replaces;
};

enum will_state { WILL_LIVE, WILL_NO, WILL_YES, WILL_MAYBE, WILL_PENDING };

struct oracle_will {
	struct oracle_message *message;
	unsigned client;
	struct link *link;
	uint32_t delay_s;
	enum will_state state;
	bool disconnect_sent, with_will;
	uint64_t due_min_ms, due_max_ms;
	struct oracle_will *next;
};

struct oracle_session {
	uint32_t epoch;
	struct link *link; /* of the last connection that was acknowledged */
	uint32_t expiry_s;
	bool asked_end;			 /* DISCONNECT with session expiry 0 */
	bool pending;			 /* CONNECT sent, no CONNACK yet */
	uint64_t end_min_ms, end_max_ms; /* Session Present: 1 before, 0 after */
	uint32_t connections;		 /* in this epoch */
	uint64_t gap_seq;		 /* latest end of a connection */
	uint64_t present_seq; /* counts as connected since then, deaths included; NEVER: does not */
	uint64_t grace_ms;    /* until then, while it has not come back; 0: it has, or need not */
	uint64_t gone_ms;     /* latest end of a connection */
	uint64_t may_lose;    /* deliveries in RAM that deaths of the broker took, at most */
	uint64_t told_lost;   /* what CONNACKs said of it */
	uint64_t told_ms, told_last; /* the latest of them */
	uint64_t told_by_pubrel; /* deliveries of QoS 2 that a PUBREL without a PUBLISH told of */
	uint8_t begun[8192];	 /* bits: identifiers that the store had as sent, no PUBREL since */
	bool untold;		 /* a CONNACK may have been lost */
};

struct oracle {
	struct oracle_message **messages;
	uint32_t message_count, message_room;
	struct oracle_message *latest[WORLD_CLIENTS_MAX + 1]; /* by publisher; the last: broker */
	struct oracle_sub **subs;
	size_t sub_count, sub_room;
	struct oracle_will *wills;
	struct oracle_session sessions[WORLD_CLIENTS_MAX];
	uint64_t restart_seq, restart_ms; /* the latest end of the broker */
	uint64_t *deaths_ms;		  /* all of them */
	size_t death_count, death_room;
	unsigned witness; /* a client that is always there and has the wills' topics */
	unsigned checker; /* subscribes at the end, for what is retained */
	uint64_t delivered;
};

void oracle_init(struct world *world);
void oracle_finish(struct world *world);

/* ---- what clients do (oracle.c) ---- */
struct oracle_message *oracle_new_message(struct world *world, uint32_t publisher);
void oracle_sent(struct world *world, struct oracle_message *message, struct link *link);
void oracle_acked(struct world *world, struct oracle_message *message, uint8_t reason);

struct oracle_sub *oracle_subscribe(struct world *world, unsigned client,
				    const struct mqtt_subscription *entry, uint32_t identifier);
void oracle_suback(struct world *world, struct oracle_sub *sub, uint8_t code);
void oracle_unsubscribe(struct world *world, struct oracle_sub *sub);
void oracle_unsuback(struct world *world, struct oracle_sub *sub, uint8_t code);

/* ---- sessions and wills (oracle_session.c) ---- */
void oracle_connect(struct world *world, struct device *client);
void oracle_connack(struct world *world, struct device *client, bool present);
/* A CONNECT that was answered with an error, or never. */
void oracle_connect_failed(struct world *world, struct device *client);
void oracle_disconnect(struct world *world, struct device *client, bool with_will,
		       bool end_session);
void oracle_client_gone(struct world *world, struct device *client);
void oracle_link_gone(struct world *world, struct link *link);
void oracle_broker_gone(struct world *world);
void oracle_broker_back(struct world *world, bool killed);
void oracle_check_wills(struct world *world);

/* ---- who has a message in custody, through deaths of the broker (oracle_custody.c) ---- */

/* Are QoS 2 exchanges of lasting sessions in the store? */
static inline bool oracle_records(const struct world *world)
{
	return world->settings.ack_when_delivered && world->profile.durable;
}

/* After CONNACK; it is known whether the session was there. */
void oracle_present(struct world *world, const struct device *client, bool same_session);
/* It is not connected any more, and not because the broker died. */
void oracle_absent(struct world *world, unsigned client);
/* The publisher has given up its copy: who must have it now, whatever happens to the broker? */
void oracle_custody(struct world *world, struct oracle_message *message);
void oracle_custody_death(struct world *world);
void oracle_custody_back(struct world *world);
/* CONNACK said that so many queued deliveries were lost. */
void oracle_told_lost(struct world *world, const struct device *client, uint32_t lost);
/* The store says at a start: PUBLISH with this identifier went, and nothing came back. */
void oracle_begun(struct world *world, unsigned client, uint16_t packet_id);
/* PUBREL came, and the client had the PUBLISH, or not. */
void oracle_released(struct world *world, unsigned client, uint16_t packet_id, bool had_it);
void oracle_check_told(struct world *world);

/* ---- deliveries (oracle_delivery.c) ---- */
/* A PUBLISH that a client took, its alias resolved. */
void oracle_delivery(struct world *world, struct device *client, const struct mqtt_publish *publish,
		     struct slice topic);
/* One of QoS 2 that it holds came again: it may have acknowledged nothing before. */
void oracle_delivery_again(struct world *world, const struct device *client,
			   const struct mqtt_publish *publish);

/* ---- at the end, after the quiet (oracle_end.c) ---- */
void oracle_check_lost(struct world *world);
void oracle_check_shared(struct world *world);
void oracle_check_retained(struct world *world);
void oracle_check_exchanges(struct world *world);

/* Acknowledged with success, so that it has to come; and too young to expire. */
bool oracle_acknowledged(const struct oracle_message *m);

/* Is this delivery due, if the subscription was in force all the time? */
bool oracle_must_have(const struct world *world, const struct oracle_sub *sub,
		      const struct oracle_message *m);

/* Bytes of message `number`'s payload; the same each time. */
void oracle_payload(uint32_t number, uint32_t len, uint8_t *out);

static inline bool oracle_matches(const struct oracle_sub *sub,
				  const struct oracle_message *message)
{
	return topic_matches(slice_text(sub->filter), slice_text(message->topic));
}

#endif
