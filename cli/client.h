/*
 * client.h - a small MQTT client, one connection, no reconnection: MQTT 3.1,
 * 3.1.1 and 5.0 over TCP, Unix sockets, TLS and WebSocket, QoS 0, 1 and 2 in both directions, keep
 * alive, flow control by the server's receive maximum (5.0 section 4.9).
 *
 * The caller turns it with client_step(), which waits for the network; answers
 * and messages arrive in the callbacks of struct client_events.  A callback may
 * publish or set client.stop, after which no further packet is looked at.  A
 * message of QoS 2 is given to on_message when the server released it.
 *
 * Ownership: client_finish() closes and frees; slices in callbacks live until
 * the callback returns.  Thread: one.
 * Failure: false and a sentence; client.refusal or client.dismissal is set when
 * the server said a reason.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/buffer.h"
#include "cli/channel.h"
#include "cli/clock.h"
#include "cli/held.h"
#include "cli/server_limits.h"
#include "proto/packet.h"

struct client;

struct client_events {
	void (*on_message)(struct client *client, const struct mqtt_publish *publish);
	/* PUBACK or PUBREC with an error, PUBCOMP, SUBACK, UNSUBACK: a packet identifier is free */
	void (*on_answer)(struct client *client, uint8_t type, uint16_t packet_id,
			  struct slice reasons);
};

struct client_settings {
	struct dial_target target;
	struct channel_layers layers;
	struct mqtt_connect connect;
	uint16_t inflight_max; /* our own limit on unacknowledged messages */
	bool debug;	       /* show packets on the standard output */
	/* properties for the packets the client sends on its own, by packet type */
	const struct mqtt_properties *properties;
};

struct client {
	struct channel channel;
	const struct client_settings *settings;
	const struct client_events *events;
	void *user; /* the caller's, for its callbacks */
	char *name; /* client identifier for debug lines; may come from the server */
	struct buffer in, out;
	uint8_t *awaited; /* by packet identifier: the packet type that answers next, or 0 */
	uint16_t last_packet_id;
	uint32_t send_quota;   /* messages that may still be sent [MQTT-4.9.0-2] */
	uint32_t unanswered;   /* packet identifiers in use */
	struct held *held;     /* QoS 2 messages not yet released */
	struct slice *aliases; /* topics by alias, topic_alias_maximum of them */
	uint16_t alias_count;
	uint16_t keep_alive_s;
	struct server_limits limits;
	int64_t last_sent_ms;
	int64_t ping_sent_ms; /* 0: none on its way */
	bool connected;	      /* CONNACK came and was a success */
	bool refused;
	uint8_t refusal;	 /* CONNACK's code */
	bool stop;		 /* set by a callback: no further packet is handled */
	bool other_ready;	 /* other_fd of the last client_step() has something */
	struct failure *failure; /* of the call under way */
};

/*
 * Connects and waits for CONNACK.  `settings` and `events` are borrowed.  False with `refused`:
 * the failure's text is what the server said in words, empty for nothing.
 */
bool client_connect(struct client *c, const struct client_settings *settings,
		    const struct client_events *events, void *user, struct failure *failure);

/*
 * One wait: until something was read and handled, `other_fd` (or -1) has
 * something to read, or deadline_ms passed (-1: never).  False when the
 * connection is gone.
 */
bool client_step(struct client *c, int other_fd, int64_t deadline_ms, struct failure *failure);

/* May another message of QoS 1 or 2 be sent now? */
bool client_may_publish(const struct client *c);

/* True when there is so much unsent that the caller should step before it adds more. */
bool client_is_full(const struct client *c);

/*
 * These send; false, with nothing sent, when CONNACK said that the server does not take it.
 * publish.packet_id is set by the client; *packet_id, where it is not NULL, as well.
 */
bool client_publish(struct client *c, struct mqtt_publish *publish, struct failure *failure);
bool client_subscribe(struct client *c, const struct mqtt_subscription *entries, size_t count,
		      uint16_t *packet_id, struct failure *failure);
bool client_unsubscribe(struct client *c, struct slice filter, struct failure *failure);

/*
 * Sends what is left and DISCONNECT, then closes. [MQTT-3.14.4-1]  In 5.0 it says why: with
 * MQTT_DISCONNECT_WITH_WILL the will is published all the same. [MQTT-3.14.4-3]
 */
void client_disconnect_for(struct client *c, enum mqtt_reason reason);
void client_disconnect(struct client *c);

void client_finish(struct client *c);

#endif
