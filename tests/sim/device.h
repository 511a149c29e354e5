/*
 * device.h - a simulated MQTT client, 3.1.1 or 5.0, that follows the protocol to
 * the letter and holds the broker to it: every packet that arrives is checked.
 *
 * What a session keeps (exchanges in both directions) survives connections, as
 * it does on a device with a file system.
 */
#ifndef TESTS_SIM_DEVICE_H
#define TESTS_SIM_DEVICE_H

#include "tests/sim/oracle.h"
#include "proto/frame.h"

#define DEVICE_OUT_MAX	    64
#define DEVICE_REQUESTS_MAX 16
#define DEVICE_ENTRIES_MAX  3
#define DEVICE_OPEN_MAX	    2048
#define DEVICE_ALIASES	    8
#define DEVICE_ACKS_MAX	    4096

enum device_phase {
	DEVICE_OFF,
	DEVICE_CONNECTING,
	DEVICE_ON,
};

/* A message of ours that is not yet acknowledged to the end. */
struct device_out {
	uint16_t packet_id;
	bool released; /* PUBREL was sent: we own it no more */
	struct oracle_message *message;
};

/* SUBSCRIBE or UNSUBSCRIBE without an answer. */
struct device_request {
	uint8_t type;
	uint16_t packet_id;
	unsigned count;
	struct oracle_sub *subs[DEVICE_ENTRIES_MAX];
};

/* A PUBLISH from the broker, on this connection, that we did not acknowledge to the end. */
struct device_open {
	uint16_t packet_id;
	uint8_t qos;
};

/* An exchange of QoS 2 that waits for PUBREL; it outlives connections. */
struct device_in {
	uint16_t packet_id;
	bool taken;    /* PUBREC was sent */
	uint64_t hash; /* of topic and payload */
	uint64_t seq;  /* of the connection's CONNECT */
};

struct device_ack {
	uint64_t due_ms;
	uint8_t type;
	uint8_t reason;
	uint16_t packet_id;
};

struct device {
	unsigned index;
	char id[16];
	enum mqtt_version version;
	bool steady;	/* the world leaves its connections alone */
	bool sharer;	/* subscribes to shared subscriptions under s/, and nothing else there */
	bool drained;	/* connects only when told */
	bool lowest_id; /* takes the lowest packet identifier that is free */
	bool dup_first; /* sets DUP when it sends first, as libmosquitto does */
	bool dup_never; /* and does not when it sends again, as MQTT.js does */
	uint32_t ack_delay_ms;
	/* what the next CONNECT says */
	bool clean;
	uint32_t expiry_s; /* 3.1.1: 0 means clean session */
	uint16_t keep_alive_s;
	uint16_t receive_maximum; /* 0: not said */
	uint16_t alias_maximum;
	uint32_t packet_maximum; /* 0: not said */
	bool refused_user;	 /* a user name that the broker does not let in */
	bool want_will;
	bool start_anew;	  /* it cannot know which session it would find */
	struct oracle_will *will; /* of this connection; NULL for none */

	enum device_phase phase;
	struct link *link;
	uint32_t connection; /* counts; names a connection in happenings */
	uint64_t connect_seq, connect_ms, connack_ms, last_sent_ms;
	bool saw_disconnect;
	bool server_closed_me; /* DISCONNECT came from the broker */
	bool leaving;	       /* we sent DISCONNECT */
	uint64_t ping_ms;      /* a PINGREQ without an answer was sent then; 0: none */
	struct bytes in;

	/* the session */
	struct device_out out[DEVICE_OUT_MAX];
	size_t out_count;
	uint16_t next_packet_id;
	struct device_in in_qos2[DEVICE_OPEN_MAX];
	size_t in_qos2_count;
	uint64_t met_restart;	   /* of the broker, the latest before this CONNECT */
	uint64_t known_restart;	   /* likewise, seen by this session */
	uint32_t subscribed_epoch; /* of the session: a steady client subscribed in it */
	bool broker_forgot;	   /* exchanges of QoS 2 that were open when it died */

	/* this connection */
	uint16_t server_receive_maximum, server_alias_maximum;
	char alias_in[DEVICE_ALIASES + 1][ORACLE_TOPIC_MAX];
	char alias_out[DEVICE_ALIASES + 1][ORACLE_TOPIC_MAX];
	struct device_open open[DEVICE_OPEN_MAX];
	size_t open_count;
	bool fresh_seen; /* a first PUBLISH of QoS > 0 came: no more DUP after it */
	struct device_request requests[DEVICE_REQUESTS_MAX];
	size_t request_count;
	struct device_ack acks[DEVICE_ACKS_MAX];
	size_t ack_count;
};

/* ---- device.c: what it does ---- */
void device_init(struct device *client, unsigned index, enum mqtt_version version);
void device_finish(struct device *client);
void device_connect(struct world *world, struct device *client);
/* DISCONNECT and close. */
void device_leave(struct world *world, struct device *client, bool with_will, bool end_session);
/* Turns its back on the connection that it has. */
void device_abandon(struct world *world, struct device *client);
void device_publish(struct world *world, struct device *client, struct oracle_message *message);
void device_subscribe(struct world *world, struct device *client,
		      const struct mqtt_subscription *entries, unsigned count, uint32_t identifier);
void device_unsubscribe(struct world *world, struct device *client, struct oracle_sub *sub);
void device_resend(struct world *world, struct device *client);
void device_ack(struct world *world, struct device *client, uint8_t type, uint16_t packet_id,
		uint8_t reason);
/* Drops the session on our side. */
void device_forget(struct device *client);
bool device_may_publish(const struct device *client, uint8_t qos);

/* ---- for link.c ---- */
void device_bytes(struct world *world, struct device *client, struct link *link,
		  struct slice bytes);
void device_gone(struct world *world, struct device *client, struct link *link);

/* ---- device_read.c ---- */
void device_packet(struct world *world, struct device *client, const struct frame *frame);

#endif
