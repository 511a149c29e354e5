/*
 * control.h - the socket control.sock in the data directory, where the `metrino`
 * command talks to the running broker.
 *
 * Protocol: a stream socket; one request per connection, one line of JSON, answered
 * by lines of JSON; the last line has "ok", and then the broker closes.
 *
 *	{"command":"clients.count"}
 *	{"ok":true,"connected":2,"sessions":3}
 *
 *	{"command":"clients.list"}
 *	{"client_id":"a","connected":true,"version":5,"subscriptions":1,"queued":0,
 *	 "inflight":0,"connected_at":1700000000}        one line for each client
 *	{"ok":true,"count":1}
 *
 *	{"command":"clients.kick","client_id":"a"}
 *	{"ok":true,"kicked":1}
 *
 *	{"command":"bans.list"}
 *	{"address":"192.0.2.7","reason":"failed_logins","seconds_left":900}
 *							one line for each ban; IPv6: "2001:db8::/64"
 *	{"client_id":"a","reason":"connects_too_often","seconds_left":300}
 *							with "cut":true the beginning of it
 *	{"ok":true,"count":2}
 *
 *	{"command":"bans.lift","address":"192.0.2.7"}  or with "client_id"
 *	{"ok":true,"lifted":1}
 *
 *	{"command":"accounts.create","address":"...","password":"...",
 *	 "rights":[{"access":"read","filter":"a/#"}]}   all but the command may be left out
 *	{"ok":true,"name":"acct-..."}
 *	{"command":"accounts.list"}                    one line for each account; never an address
 *	{"command":"accounts.show","name":"acct-..."}  its line, and one for each right
 *	{"command":"accounts.find","address":"..."}    gives the name
 *	{"command":"accounts.disable","name":"..."}    likewise enable and delete
 *	{"receipt":"..."}                              of delete: storage/audit/receipt.h; or
 *	{"no_receipt":"a sentence"}
 *	{"command":"accounts.password","name":"...","password":"..."}
 *	{"command":"accounts.grant","name":"...","access":"read","filter":"a/#"}
 *	{"command":"accounts.withdraw","name":"...","filter":"a/#"}
 *	{"command":"accounts.recover","address":"..."} "code" only where a mail is to be sent
 *	{"command":"accounts.reset","address":"...","code":"...","password":"..."}
 *	{"command":"keys.add","name":"...","rights":[...],"ends_at":1700000000}
 *	{"ok":true,"id":"key-...","secret":"..."}
 *	{"command":"keys.list","name":"..."}           one line for each key of the account
 *	{"command":"keys.revoke","id":"key-..."}
 *
 *	{"command":"subject.export","name":"acct-...","clients":"a\nb"}
 *							or with "address", as all of these;
 *							"clients" may be left out:
 *	{"ok":true,"export":"..."}                     a signed text: subject.h
 *	{"command":"subject.rectify","name":"...","new_address":"..."}
 *	{"command":"subject.restrict","name":"...","set":"on"}     or off; likewise object
 *	{"command":"subject.erase","name":"..."}
 *	{"ok":true,"receipt":"..."}                    for the person; not kept
 *	{"command":"aggregate.list"}
 *	{"day":"2026-11-25","kept":true,"accounts":300,"qos0":1,"qos1":2,"qos2":3}
 *							one line for each day
 *	{"day":"2026-11-25","kept":false}		of which nothing is kept
 *	{"command":"logins.list","account":"acct-..."}
 *	{"minute":"2026-11-25T12:34Z","result":"right"}  one line for each minute and result
 *
 *	{"command":"traffic.summary","hours":24}       what became of all deliveries
 *	{"hour":1700000400,"delivered":[9,4,1],"undelivered":{"queue_full":2},"publishers":3,
 *	 "subscribers":5}                               one line for each hour; delivered: by QoS
 *	{"outcome":"queue_full","meaning":"...","rows":2,"last_at_ms":1700000401000}
 *	{"ok":true,"delivered":14,"undelivered":2,"hour_seconds":3600,"kept_seconds":86400,
 *	 "since":1700000000,"lost_rows":0,"damaged_rows":0}  since: the start of the broker
 *
 *	{"command":"traffic.client","client_id":"a","account":"acct-...","hours":24,"last":20}
 *	{"hour":1700000400,"role":"publisher","delivered":[9,4,1],"undelivered":{},"clients":5,
 *	 "last_delivered_at_ms":1700000401000}          role: publisher, subscriber
 *	{"at_ms":1700000401000,"role":"publisher","qos":1,"outcome":"delivered",
 *	 "other":"0123456789abcdef"}                    "other" is null where nobody is known
 *	{"outcome":"queue_full","role":"publisher","meaning":"...","rows":2,"last_at_ms":1700000401000}
 *	{"ok":true,"delivered":14,"undelivered":2,...}  the rest as above
 *
 *	{"command":"traffic.busiest","hours":24,"count":10}
 *	{"hour":1700000400,"pseudonym":"0123456789abcdef","published":7,"received":0}
 *	{"ok":true,"count":1,...}
 *
 *	{"ok":false,"error":"a sentence"}
 *
 * "version" is 3 (MQTT 3.1), 4 (3.1.1) or 5 while connected, else 0; "connected_at"
 * is seconds since 1970 while connected, else 0.
 *
 * Who may ask: root and the user that the broker runs as (SO_PEERCRED); the socket
 * has mode 0600.
 *
 * A pseudonym is given by its first 8 bytes, and means nothing in another hour.  An hour is shorter
 * where route_expiry is ("hour_seconds").
 *
 * Every use is recorded first, in the audit log.  What shows or changes clients is refused when
 * that fails; counting is not.
 *
 * Ownership: borrows the source's self; the socket file is removed at the end.
 * Failure: control_create(), with the way out.
 * Thread: one of its own, which calls the source; created and destroyed by the main thread.
 */
#ifndef BROKER_CONTROL_H
#define BROKER_CONTROL_H

#include "broker/accounts.h"
#include "broker/aggregate.h"
#include "broker/auth_log.h"
#include "broker/census.h"
#include "storage/audit/receipt.h"
#include "storage/route/traffic.h"

struct control;
struct subject_source;

#define CONTROL_SOCKET_NAME "control.sock"

/* What to know of answers about deliveries. */
struct control_traffic_facts {
	uint32_t epoch_s;  /* length of an hour */
	uint32_t expiry_s; /* route_expiry */
	uint64_t started_s;
	uint64_t rows_dropped; /* since then */
	uint64_t rows_damaged; /* now; known when all is told */
};

/* A question about deliveries; the results go to question.self. */
struct control_traffic {
	struct slice client_id; /* not there: about everybody */
	struct slice account;	/* that it may have been of; not there: the session says whose */
	struct traffic_question question;
	void (*row)(void *self, const struct traffic_row *row);
	struct control_traffic_facts *facts; /* filled in before anything is told */
};

struct door_ban;
typedef void control_ban(void *caller, const struct door_ban *ban);

struct control_source {
	void *self;
	/* Before a right is used (AUDIT_WORD_RIGHT_): false when that cannot be recorded.  NULL:
	 * not asked. */
	bool (*record)(void *self, enum audit_word right, struct failure *failure);
	void (*count)(void *self, uint64_t *connected, uint64_t *sessions);
	/* Answered later, by all workers; the caller waits for it and releases it. */
	struct census *(*list)(void *self);
	/* Likewise: the clients that were disconnected. */
	struct census *(*kick)(void *self, struct slice client_id);
	/* Calls back at once for each ban. */
	void (*bans)(void *self, void *caller, control_ban *call);
	/* False when there is no such ban; of an address also why, as it may be none. */
	bool (*lift)(void *self, const char *address, struct failure *failure);
	bool (*lift_client)(void *self, struct slice client_id);
	struct accounts *accounts;   /* NULL: there are none */
	struct aggregate *aggregate; /* likewise */
	struct auth_log *auth_log;   /* likewise */
	/* Before the first one is made: whoever looks at passwords is there when it returns. */
	bool (*expect_accounts)(void *self, struct failure *failure);
	/* Answered later: all workers have looked anew at who may be here and do what. */
	struct census *(*renew)(void *self);
	const struct subject_source *subject; /* borrowed; of use where there are accounts */
	/* recovery_mailer; NULL: not configured. */
	const char *(*mailer)(void *self);
	/* Calls back until all is told; false, and why, when it cannot be. */
	bool (*traffic)(void *self, const struct control_traffic *asked, struct failure *failure);
};

/* Listens in `directory`; the source is copied.  NULL when that fails. */
struct control *control_create(const char *directory, const struct control_source *source,
			       struct failure *failure);

/* Ends the thread; frees.  NULL is allowed. */
void control_destroy(struct control *control);

#endif
