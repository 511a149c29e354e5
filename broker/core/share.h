/*
 * share.h - shared subscriptions, MQTT 5.0 section 4.8.2.
 *
 * A group lives at one shard, its home: hash of realm, share name and filter.
 * The home subscribes to the filter on behalf of the group, and gives each
 * message to one member: connected ones in turn, of those that may read its topic, which only the
 * member's shard can tell.  While no such one is connected, and any is away, the
 * group keeps a queue of its own, with the limits of a session, gone with the
 * last member.  After a crash what waits there holds its gate (gate.h) as long as a
 * member counts as connected.  A message on its way to a member that has just left comes back
 * and goes to another; one that was sent stays with its member. [MQTT-4.8.2-4]
 * [MQTT-4.8.2-5] [MQTT-4.8.2-6] [MQTT-4.8.2-3]
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_SHARE_H
#define BROKER_CORE_SHARE_H

#include "broker/core/index.h"
#include "broker/core/mail.h"
#include "broker/core/slab.h"

struct shard;
struct session;
struct publication;
struct pending_answer;
struct delivery;

/* The groups whose home this shard is. */
struct shares {
	struct slab groups; /* of struct share_group * */
	struct index index; /* by realm and text */
};

/* A membership, kept by the member's session. */
struct shared_subscription {
	struct shared_subscription *next;
	party_id home;
	uint16_t id; /* of the membership, within its session */
	uint32_t identifier;
	uint8_t options;
	uint64_t row;
	uint64_t hash; /* of the text */
	size_t text_len;
	uint8_t text[]; /* "group/filter" */
};

void shares_init(struct shares *shares);
void shares_finish(struct shard *shard);

/* ---- the member's side ---- */

/* Memberships of one session: each is told when it comes and goes, and all are searched. */
#define SHARED_MAX 1024u

struct shared_subscription *shared_find(const struct shard *shard, const struct session *session,
					struct slice text);

/* Joins or, when it is a member already, changes options.  Returns the barrier to wait for. */
uint32_t shared_join(struct shard *shard, struct session *session,
		     struct shared_subscription *shared);
struct shared_subscription *shared_create(struct shard *shard, struct session *session,
					  struct slice text);
/*
 * Leaves.  What the group gave it stays the session's [MQTT-3.10.4-3], which remembers where it
 * came from while it has any traffic.
 */
void shared_leave(struct shard *shard, struct session *session, struct shared_subscription *shared);
void shared_forget_left(struct shard *shard, struct session *session);
/*
 * Leaves all because the session ends: what a group gave it, also one that it has left, and it has
 * not begun, or not acknowledged with QoS 1, goes back for other members (MQTT 5.0 section
 * 4.8.2); a QoS 2 delivery that was sent does not. [MQTT-4.8.2-5]
 */
void shared_end(struct shard *shard, struct session *session);

/* What a group gave it, it will not have: another member is to, and its publisher waits for that
 * one (gate.h).  False: no group of it gave it. */
bool shared_give_back(struct shard *shard, struct session *session, struct delivery *delivery);

/* What a member on this shard says to a message, whatever the mail says that is still under way. */
enum member_answer {
	MEMBER_TAKES,
	MEMBER_MAY_NOT, /* its rights do not allow it this topic */
	MEMBER_AWAY,
};
enum member_answer shared_ask(struct shard *shard, const struct share_member *who,
			      struct slice topic);

/* It gets it. */
void shared_hand_over(struct shard *shard, const struct share_member *who,
		      struct publication *publication);

/*
 * MAIL_SHARE_DELIVER.  What a client has published itself with QoS 2, and takes, goes back to the
 * group's home and comes from there again, behind the opening of its gate: own_copy.h.
 */
void shared_delivered(struct shard *shard, const struct mail *mail);

/* Is there a membership with this number? */
bool shared_has(const struct session *session, uint16_t id);

/* The row of a membership, 0 when it is gone or was never stored. */
uint64_t shared_row(const struct session *session, uint16_t id);

/* Is there a membership with this row?  0 is none. */
bool shared_has_row(const struct session *session, uint64_t row);

/* At start: tells the home that the member with this row has the message of an envelope. */
void shared_holds(struct shard *shard, const struct session *session, uint64_t row,
		  uint64_t envelope);

/* The session has come, which is when its CONNACK is out, or gone: tells the homes. */
void shared_state(struct shard *shard, const struct session *session, bool online);

/* ---- the home's side ---- */

void share_mail(struct shard *shard, struct mail *mail);

/* Gives a publication to one member of the group in this slot. */
void share_deliver(struct shard *shard, uint32_t slot, struct publication *publication);

#endif
