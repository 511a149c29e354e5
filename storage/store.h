/*
 * store.h - the contract between the broker and what survives a restart.
 *
 * A store keeps two kinds of row: sessions with an expiry above zero, and their
 * subscriptions; and for each such session which of its QoS 2 exchanges are open.
 * Never a payload, a message's topic or a user property, nor anything derived from
 * them.  (docs/delivery.md, "What is durable".)
 *
 * Rows are named by a random 64-bit number that says nothing.  Shards build
 * batches; the storage thread commits many batches in one transaction and gives
 * each back with its result.
 *
 * Ownership: a batch is one allocation made by the shard that sends it; its
 * slices point into that allocation.  The store borrows it until store_commit()
 * returns; the shard frees it.
 * Thread: a store is used by one thread at a time (at start the main thread,
 * later the storage thread).
 */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include "proto/base.h"

#define STORE_CLIENT_ID_MAX 65535u
#define STORE_FILTER_MAX    65535u
#define STORE_TOKENS_MAX    96u

/* A session as it is kept.  Times are seconds since 1970. */
struct store_session {
	uint32_t realm; /* 0 until tenants exist */
	uint32_t expiry_s;
	bool connected;	  /* the broker had a connection when this was written */
	uint64_t since_s; /* when that connection came or went */
	uint64_t owner;	  /* auth_owner() of auth/auth.h: whose it is; 0: nobody's */
	struct slice client_id;
	struct slice tokens; /* what the shard keeps of its session tokens; empty: none */
};

/* A subscription as it is kept. */
struct store_subscription {
	uint64_t session;    /* row of the session it belongs to */
	uint32_t identifier; /* subscription identifier, 0 for none */
	uint8_t options;     /* the options byte of MQTT 5.0 section 3.8.3.1 */
	struct slice filter; /* as the client wrote it, "$share/..." included */
};

enum store_op_type {
	STORE_PUT_SESSION,	/* makes the row or replaces it */
	STORE_PUT_SUBSCRIPTION, /* likewise */
	STORE_DELETE_SESSION,	/* a row that is not there is no error */
	STORE_DELETE_SUBSCRIPTION,
};

struct store_op {
	enum store_op_type type;
	uint64_t row;
	union {
		struct store_session session;
		struct store_subscription subscription;
	};
};

/*
 * The steps of a QoS 2 exchange (MQTT 5.0 section 4.3.3).  An envelope is the number
 * of one inbound message: it ties the exchange with its publisher to those with its
 * subscribers, and says nothing else.  An outbound exchange of a message that nobody
 * can send again (a will, a retained one, one from a queue) has envelope 0.
 *
 * An outbound exchange that ends while its envelope is open is remembered until that
 * ends too, so that the publisher's next copy does not go to whoever has had it.
 */
enum store_step_type {
	STEP_NONE,
	STEP_INBOUND_OPEN,	/* PUBLISH came: envelope */
	STEP_INBOUND_END,	/* PUBREL came, or the PUBLISH was refused */
	STEP_OUTBOUND_SENT,	/* PUBLISH goes: envelope, group */
	STEP_OUTBOUND_RECEIVED, /* PUBREC came */
	STEP_OUTBOUND_END,	/* PUBCOMP came: the packet identifier is free again */
	STEP_QUEUED,		/* `count` deliveries wait in RAM, and would be lost with it */
	STEP_TYPES
};

struct store_step {
	uint64_t row;	   /* of the session */
	uint64_t session;  /* the shard's own number for it; not kept */
	uint64_t envelope; /* 0 for none */
	uint64_t group;	   /* row of the shared subscription that it came by, 0 for none */
	uint32_t count;	   /* STEP_QUEUED */
	uint16_t packet_id;
	uint8_t type; /* enum store_step_type */
};

/* What one shard wants committed as one piece. */
struct store_batch {
	struct store_batch *next; /* for the queue that it is in */
	uint64_t ticket;	  /* the shard's own number */
	uint16_t party;		  /* the shard that gets the answer */
	bool committed;		  /* the answer; `failure` says why not */
	struct failure failure;
	size_t step_count;
	struct store_step *steps; /* behind the operations; done after them */
	size_t count;
	struct store_op ops[];
};

/*
 * Called for everything found at start: all sessions first, then all subscriptions,
 * then the exchanges that are open, each as its latest step: INBOUND_OPEN,
 * OUTBOUND_SENT, OUTBOUND_RECEIVED, OUTBOUND_END (remembered as above); and QUEUED.
 * The envelope of an outbound exchange is 0 when it is not open any more.
 */
struct store_visitor {
	void *self;
	void (*session)(void *self, uint64_t row, const struct store_session *session);
	void (*subscription)(void *self, uint64_t row,
			     const struct store_subscription *subscription);
	void (*step)(void *self, const struct store_step *step);
};

struct store;

struct store_class {
	bool (*load)(struct store *store, const struct store_visitor *visitor,
		     struct failure *failure);
	bool (*commit)(struct store *store, struct store_batch *const *batches, size_t count,
		       struct failure *failure);
	void (*close)(struct store *store);
};

/* The head of every implementation. */
struct store {
	const struct store_class *class;
};

/* Reads all rows.  A damaged row fails, naming file and row number; nothing is skipped or deleted.
 */
static inline bool store_load(struct store *store, const struct store_visitor *visitor,
			      struct failure *failure)
{
	return store->class->load(store, visitor, failure);
}

/*
 * Commits all operations of all batches in one transaction, in their order; they
 * are durable when it returns true, and none of them happened when it returns
 * false.  Does not touch batch->committed.
 */
static inline bool store_commit(struct store *store, struct store_batch *const *batches,
				size_t count, struct failure *failure)
{
	return store->class->commit(store, batches, count, failure);
}

/* Frees the store; what was committed stays. */
static inline void store_close(struct store *store)
{
	store->class->close(store);
}

#endif
