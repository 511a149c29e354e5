/*
 * desk.h - a thread that answers requests of the persons behind accounts (own_request.h), which
 * may take as long as writing and syncing does, so that workers never wait.
 *
 * Requests are answered one by one in the order in which they came; DESK_ROOM of them wait at most.
 *
 * Ownership: the desk owns a request from a successful submit until `answer` takes it.
 * Failure: desk_create(), when there is no thread.
 * Thread: created and destroyed by the main thread; desk_submit() any.
 */
#ifndef BROKER_DESK_H
#define BROKER_DESK_H

#include "proto/base.h"

#define DESK_ROOM 64u

struct desk;
struct own_request;

struct desk_sink {
	void *self;
	/* Answers the request, and takes it; on the desk's thread. */
	void (*answer)(void *self, struct own_request *request);
};

struct desk *desk_create(const struct desk_sink *sink, struct failure *failure);

/* Takes the request; false: too many wait. */
bool desk_submit(struct desk *desk, struct own_request *request);

/*
 * Ends the thread, and takes nothing any more; what still waits gets no answer.  To be destroyed
 * when nobody submits any more.  NULL is allowed.
 */
void desk_end(struct desk *desk);
void desk_destroy(struct desk *desk);

#endif
