/*
 * steps.h - the steps of QoS 2 exchanges on their way to the store and back
 * (docs/delivery.md, "What is recorded"; MQTT 5.0 section 4.3.3).
 *
 * With `ack_when delivered`, and for sessions that outlive the broker, a step is
 * committed before the packet that depends on it leaves:
 *	inbound open       before the first onward PUBLISH
 *	inbound end        before PUBCOMP
 *	outbound sent      before PUBLISH
 *	outbound received  before PUBREL
 *	outbound end       before the packet identifier is used again
 * The steps of one turn go as one batch.  Its answer carries each exchange on.
 *
 * A refused `inbound open` refuses the PUBLISH, and nothing of it was forwarded.  All
 * other steps are tried again, once a second and in their order, until they are there:
 * their exchange stands still meanwhile.
 *
 * Also once a second: how many deliveries of a session wait in RAM alone, where that
 * has changed, so that a loss can be told exactly.
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_STEPS_H
#define BROKER_CORE_STEPS_H

#include "broker/core/timer.h"
#include "storage/store.h"

struct outbound;
struct session;
struct shard;

struct step_list {
	struct store_step *at;
	uint32_t count;
	uint32_t room;
};

struct steps {
	struct step_list turn;	 /* of this turn */
	struct step_list undone; /* refused, or behind one that was */
	bool retrying;		 /* what was undone is at the store once more */
	uint64_t *changed;	 /* numbers of sessions whose queue has changed */
	uint32_t changed_count;
	uint32_t changed_room;
	struct timer timer;
};

void steps_init(struct steps *steps);
void steps_finish(struct steps *steps);

/* Are the exchanges of this session recorded? */
bool steps_recorded(const struct shard *shard, const struct session *session);

/*
 * What an open exchange is charged, for its record in the store's memory.  One that
 * is remembered beyond its end, because its publisher does not release it, is not.
 */
#define STEP_COST 160u

/* One more exchange of the session as a publisher is open, or one less. */
void step_charge_inbound(struct shard *shard, struct session *session, int change);

void step_inbound(struct shard *shard, struct session *session, enum store_step_type type,
		  uint16_t packet_id, uint64_t envelope);
void step_outbound(struct shard *shard, const struct session *session, enum store_step_type type,
		   const struct outbound *entry);

/* Something was added to what the session has in RAM, or taken away. */
void step_queue_changed(struct shard *shard, struct session *session);

/* The session's deliveries are back (state.h): those were not lost. */
void steps_restored(struct shard *shard, struct session *session);

/* Sends the steps of the turn, if there are any. */
void steps_flush(struct shard *shard);

/* The count of each queue that has changed, at once: the broker is about to stop. */
void steps_note_queues(struct shard *shard);

/* A batch of steps is committed or refused; it stays the caller's. */
void steps_answered(struct shard *shard, const struct store_batch *batch);

/* TIMER_STEPS */
void steps_timer(struct shard *shard);

#endif
