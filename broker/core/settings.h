/*
 * settings.h - what the configuration tells the core: plain, immutable, with
 * every limit a number ("unlimited" is the largest number of its type).
 *
 * Ownership: made by the household; the core borrows.  struct listener_settings
 * stays valid as long as a link that carries it is open; struct core_settings
 * until EVENT_SETTINGS brings the next one.  Strings are slices into memory of
 * the same lifetime.
 */
#ifndef BROKER_CORE_SETTINGS_H
#define BROKER_CORE_SETTINGS_H

#include "proto/base.h"

struct transport;

enum queue_policy {
	QUEUE_DROP_NEW,
	QUEUE_DROP_OLD,
};

/* One for the whole broker. */
struct core_settings {
	uint32_t connect_timeout_ms; /* from accept to a whole CONNECT */
	uint32_t connect_bytes_max;  /* size of a CONNECT packet */
	uint32_t session_expiry_max_s;
	uint32_t token_lifetime_s; /* a session token gets older, and then there is a new one */
	uint32_t sessions_max;	   /* global_max_clients, connected or not */
	uint32_t max_inflight_messages; /* outbound, per session */
	uint32_t max_inflight_bytes;	/* outbound, per session */
	uint32_t max_queued_messages;	/* per session */
	uint64_t max_queued_bytes; /* per session; also for bytes not yet taken by the socket */
	enum queue_policy queue_policy;
	bool queue_qos0_messages;  /* for sessions that are away */
	bool ack_when_delivered;   /* else: when accepted */
	uint32_t ack_hold_max_ms;  /* a delivery holds an acknowledgement so long at most */
	uint32_t restart_grace_ms; /* a session counts as connected so long after a crash */
	uint16_t receive_maximum;  /* granted to publishers */
	bool retain_available;
	uint32_t max_retained_messages;
	uint64_t max_retained_bytes;
	uint32_t rate_publish_messages; /* of one client, a second; UINT32_MAX: no limit */
	uint32_t rate_publish_bytes;	/* likewise: of payload */
	uint32_t rate_address_messages; /* of all clients of one address, likewise */
	uint32_t rate_address_bytes;
	uint32_t rate_reconnect;	   /* times a minute; UINT32_MAX: no limit */
	uint32_t message_size_limit;	   /* largest payload taken */
	uint32_t max_packet_size;	   /* the largest control packet taken, 20 or more */
	uint32_t max_subscriptions;	   /* per session */
	uint64_t memory_limit;		   /* bytes in all shards together */
	uint32_t route_epoch_s;		   /* how long a pseudonym stands for a client */
	bool connection_messages;	   /* EFFECT_TELL when a client comes or goes */
	bool lets_nobody_in;		   /* every CONNECT is answered 'server unavailable' */
	struct slice response_information; /* empty: none is given */
};

#define SERVER_REFERENCE_MAX 1024

/* One for each listener; carried by every link that it accepted. */
struct listener_settings {
	uint32_t number; /* position in the configuration, for counts by listener */
	bool accept_3_1, accept_3_1_1, accept_5_0;
	uint8_t max_qos;		 /* 0 to 2 */
	uint16_t max_topic_alias;	 /* aliases that clients may set */
	uint16_t max_topic_alias_broker; /* aliases that we set at most */
	uint16_t max_keep_alive_s;	 /* 0: no upper limit and 0 is allowed */
	bool allow_anonymous;
	bool allow_zero_length_client_id;
	bool use_user_name_as_client_id;
	struct slice auto_id_prefix;
	struct slice client_id_prefixes; /* one prefix or empty; others are refused */
	struct transport *transport;	 /* the shell's; the core does not look */
	struct slice server_reference;	 /* not empty: every CONNECT is answered 'server moved' */
};

#endif
