/* mailbox.c - see mailbox.h. */
#include "broker/mailbox.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A list of more room than this is freed when it was mostly empty. */
#define ROOM_KEPT 1024u

static void parcels_reserve(struct parcels *list, size_t count)
{
	size_t room = list->room > 0 ? list->room : 16;

	while (room < count)
		room *= 2;
	if (room == list->room)
		return;
	list->at = realloc(list->at, room * sizeof(*list->at));
	must(list->at);
	list->room = room;
}

void parcels_add(struct parcels *list, struct parcel parcel)
{
	parcels_reserve(list, list->count + 1);
	list->at[list->count++] = parcel;
}

void parcels_clear(struct parcels *list)
{
	if (list->room > ROOM_KEPT && list->count < list->room / 8)
		parcels_finish(list);
	list->count = 0;
}

void parcels_finish(struct parcels *list)
{
	free(list->at);
	*list = (struct parcels){0};
}

bool mailbox_init(struct mailbox *mailbox, struct failure *failure)
{
	*mailbox = (struct mailbox){.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	if (mailbox->bell < 0)
		return failure_set(failure, "cannot make a mailbox: %s", strerror(errno));
	must(pthread_mutex_init(&mailbox->lock, NULL) == 0);
	return true;
}

void mailbox_finish(struct mailbox *mailbox)
{
	must(mailbox->waiting.count == 0);
	parcels_finish(&mailbox->waiting);
	parcels_finish(&mailbox->taken);
	pthread_mutex_destroy(&mailbox->lock);
	close(mailbox->bell);
}

static void ring(struct mailbox *mailbox)
{
	uint64_t one = 1;

	must(write(mailbox->bell, &one, sizeof(one)) == sizeof(one));
}

void mailbox_post(struct mailbox *mailbox, const struct parcel *parcels, size_t count,
		  uint64_t weight)
{
	if (count == 0)
		return;
	pthread_mutex_lock(&mailbox->lock);
	struct parcels *waiting = &mailbox->waiting;

	parcels_reserve(waiting, waiting->count + count);
	memcpy(waiting->at + waiting->count, parcels, count * sizeof(*parcels));
	waiting->count += count;
	atomic_fetch_add_explicit(&mailbox->weight, weight, memory_order_relaxed);
	atomic_store_explicit(&mailbox->filled, true, memory_order_release);
	bool wake = mailbox->asleep;

	if (wake)
		atomic_fetch_add_explicit(&mailbox->rings, 1, memory_order_relaxed);
	mailbox->asleep = false;
	pthread_mutex_unlock(&mailbox->lock);
	if (wake)
		ring(mailbox);
}

uint64_t mailbox_weight(const struct mailbox *mailbox)
{
	return atomic_load_explicit(&mailbox->weight, memory_order_relaxed);
}

bool mailbox_filled(const struct mailbox *mailbox)
{
	return atomic_load_explicit(&mailbox->filled, memory_order_acquire);
}

bool mailbox_sleep(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	mailbox->asleep = mailbox->waiting.count == 0;
	bool asleep = mailbox->asleep;

	pthread_mutex_unlock(&mailbox->lock);
	return asleep;
}

/*
 * A writer announces its ring under the lock and rings after it, so the bell may
 * still be silent here; then it ends one sleep too many, and is silenced after that.
 */
static void silence(struct mailbox *mailbox)
{
	uint64_t heard;

	if (atomic_load_explicit(&mailbox->rings, memory_order_relaxed) > 0 &&
	    read(mailbox->bell, &heard, sizeof(heard)) == sizeof(heard))
		atomic_fetch_sub_explicit(&mailbox->rings, heard, memory_order_relaxed);
}

const struct parcel *mailbox_take(struct mailbox *mailbox, size_t *count)
{
	parcels_clear(&mailbox->taken);
	pthread_mutex_lock(&mailbox->lock);
	struct parcels waiting = mailbox->waiting;

	mailbox->waiting = mailbox->taken;
	mailbox->asleep = false;
	atomic_store_explicit(&mailbox->weight, 0, memory_order_relaxed);
	atomic_store_explicit(&mailbox->filled, false, memory_order_relaxed);
	pthread_mutex_unlock(&mailbox->lock);
	mailbox->taken = waiting;
	silence(mailbox);
	*count = waiting.count;
	return waiting.at;
}
