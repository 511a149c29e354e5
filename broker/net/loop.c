/* loop.c - see loop.h. */
#include "broker/net/loop_internal.h"
#include "broker/net/listener.h"
#include "broker/net/wipe.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* More than this many writes for one link would be unfair to the others. */
#define WRITES_MAX 4

bool loop_init(struct loop *loop, struct shard *shard, int wake, struct failure *failure)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = DATA_WAKE};

	*loop = (struct loop){.shard = shard,
			      .now = moment_now(),
			      .first_reserved = listener_first_reserved(),
			      .recheck_at = LINK_NONE};
	link_table_init(&loop->links);
	loop->buffer = shard_payload(shard, LOOP_READ_SIZE);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->spare = loop_open_spare();
	if (loop->epoll >= 0 && loop->spare >= 0 &&
	    epoll_ctl(loop->epoll, EPOLL_CTL_ADD, wake, &event) == 0)
		return true;
	failure_set(failure, "cannot make a worker's epoll: %s", strerror(errno));
	loop_finish(loop);
	return false;
}

/* ---- links that are counted while it is not known who they are */

static struct peer_count count_of(const struct link *link)
{
	return (struct peer_count){link->counted, link->half_open};
}

void loop_count_link(struct link *link, struct peer_count count)
{
	link->counted = count.counted;
	link->half_open = count.place;
}

/* It is known who it is, or nothing comes any more. */
static void count_out(struct link *link)
{
	struct peer_count count = count_of(link);

	peer_count_out(link->listener, &count);
	loop_count_link(link, count);
}

/* Whose it was is nobody's business any more. */
static void forget_told(struct loop *loop, uint32_t number, const struct link *link)
{
	if (link->stream.proxied && number < loop->told_room)
		memset(loop->told[number], 0, PEER_ADDRESS_SIZE);
}

static void close_link(struct loop *loop, uint32_t number, struct link *link)
{
	count_out(link);
	forget_told(loop, number, link);
	link->stream.class->close(&link->stream);
	connection_limit_leave(&link->listener->limit);
	connection_limit_leave(link->listener->all);
	link_table_free(&loop->links, number);
}

void loop_finish(struct loop *loop)
{
	for (uint32_t number = 0; number < link_table_end(&loop->links); number++) {
		struct link *link = link_table_at(&loop->links, number);

		if (link->state == LINK_FREE)
			continue;
		close_link(loop, number, link);
	}
	link_table_finish(&loop->links);
	patience_finish(&loop->flushing);
	patience_finish(&loop->lingering);
	patience_finish(&loop->paused);
	if (loop->epoll >= 0)
		close(loop->epoll);
	if (loop->spare >= 0)
		close(loop->spare);
	free(loop->gone);
	free(loop->doors);
	free(loop->told);
	shard_free_bytes(loop->shard, slice_of(loop->buffer, LOOP_READ_SIZE));
	*loop = (struct loop){.epoll = -1, .spare = -1};
}

/* ---- links */

/* What the stream itself has to say did not fit into the socket. */
static void wait_for_backlog(struct loop *loop, uint32_t number, struct link *link)
{
	if (!link->stream.backlog || link->unsent)
		return;
	link->unsent = true;
	loop_arm(loop, number, link);
}

static void add_gone(struct loop *loop, uint32_t number)
{
	if (loop->gone_count == loop->gone_room) {
		loop->gone_room = loop->gone_room > 0 ? loop->gone_room * 2 : LOOP_READY_MAX;
		loop->gone = realloc(loop->gone, loop->gone_room * sizeof(*loop->gone));
		must(loop->gone);
	}
	loop->gone[loop->gone_count++] = number;
}

void loop_break_link(struct loop *loop, uint32_t number, struct link *link)
{
	if (link->state == LINK_BROKEN)
		return;
	link->state = LINK_BROKEN;
	add_gone(loop, number);
}

bool loop_add_link(struct loop *loop, struct stream stream, struct listener *listener,
		   const struct listener_settings *settings, uint64_t opened_ms, uint32_t *number)
{
	struct link *link = link_table_take(&loop->links, number);

	link->stream = stream;
	stream_adopt(&link->stream, shard_shelf(loop->shard));
	link->listener = listener;
	link->settings = settings;
	link->opening = true;
	if (!loop_arm_new(loop, *number, link)) {
		close_link(loop, *number, link);
		return false;
	}
	shard_handle(loop->shard, loop->now,
		     &(struct event){.type = EVENT_LINK_OPEN,
				     .link = *number,
				     .listener = settings,
				     .opened_ms = opened_ms});
	wait_for_backlog(loop, *number, link);
	return true;
}

static void pause_link(struct loop *loop, uint32_t number, struct link *link)
{
	link->held = (link->held | LINK_HELD_PRESSURE) & LINK_HELD_ALL;
	loop_arm(loop, number, link);
	patience_add(&loop->paused,
		     (struct patience_entry){.until_ms = loop->now.ms + LOOP_PAUSE_MS,
					     .link = number,
					     .serial = link->serial});
}

static const struct identity *identity_of(const struct stream *stream)
{
	return stream->class->identity ? stream->class->identity(stream) : NULL;
}

static void give_bytes(struct loop *loop, uint32_t number, struct link *link, struct slice bytes)
{
	shard_handle(loop->shard, loop->now,
		     &(struct event){.type = EVENT_LINK_BYTES,
				     .link = number,
				     .bytes = bytes,
				     .identity = identity_of(&link->stream)});
	if (loop->pressed && shard_published_to(loop->shard, loop->pressed))
		pause_link(loop, number, link);
	if (link->opening) {
		wipe(bytes);
		link->opening = shard_awaits_connect(loop->shard, number);
		if (!link->opening)
			count_out(link);
	}
}

/* What a layer takes off in place may leave bytes anywhere in the buffer. */
ssize_t loop_read_stream(struct loop *loop, struct link *link)
{
	ssize_t n = link->stream.class->read(&link->stream, loop->buffer, LOOP_READ_SIZE);

	size_t used = n == STREAM_TOLD ? PEER_ADDRESS_SIZE : n > 0 ? (size_t)n : 0;

	if (link->stream.state)
		used = LOOP_READ_SIZE;
	if (used > loop->buffer_used)
		loop->buffer_used = used;
	return n;
}

/* Waits for the peer to take the last bytes and close. */
static void wait_for_end(struct loop *loop, uint32_t number, struct link *link)
{
	link->state = LINK_LINGERING;
	loop_arm(loop, number, link);
	add_gone(loop, number);
	patience_add(&loop->lingering,
		     (struct patience_entry){.until_ms = loop->now.ms + LOOP_LINGER_MS,
					     .link = number,
					     .serial = link->serial});
}

/* The core or the stream is done with the link. */
static void linger(struct loop *loop, uint32_t number, struct link *link)
{
	link->stream.class->finish(&link->stream);
	ssize_t n = loop_read_stream(loop, link);

	if (n == STREAM_END || n == STREAM_GONE)
		loop_break_link(loop, number, link);
	else
		wait_for_end(loop, number, link);
}

/* The stream has said its last word, which the peer is to hear before the end. */
static void end_link(struct loop *loop, uint32_t number, struct link *link)
{
	if (link->state == LINK_LINGERING)
		return;
	if (link->stream.opening)
		atomic_fetch_add_explicit(&link->listener->not_opened, 1, memory_order_relaxed);
	link->held = 0;
	link->unsent = false;
	linger(loop, number, link);
}

static void keep_told(struct loop *loop, uint32_t number, const uint8_t told[PEER_ADDRESS_SIZE])
{
	while (number >= loop->told_room) {
		loop->told_room = loop->told_room > 0 ? loop->told_room * 2 : LINK_PAGE;
		loop->told = realloc(loop->told, loop->told_room * sizeof(*loop->told));
		must(loop->told);
	}
	memcpy(loop->told[number], told, PEER_ADDRESS_SIZE);
}

/* A load balancer told whose connection it is: from now on it counts as that one's. */
static void take_told(struct loop *loop, uint32_t number, struct link *link)
{
	struct peer_count count = count_of(link);

	keep_told(loop, number, loop->buffer);
	if (link->state != LINK_OPEN)
		return;
	if (!peer_told(link->listener, loop->buffer, &count))
		loop_break_link(loop, number, link);
	loop_count_link(link, count);
}

/* `more`: epoll says that a short read does not take all. */
static void read_link(struct loop *loop, uint32_t number, struct link *link, bool more)
{
	ssize_t n =
	    link->stream.opening ? loop_read_opening(loop, link) : loop_read_stream(loop, link);

	if (n == STREAM_END || n == STREAM_GONE) {
		if (link->state == LINK_LINGERING)
			close_link(loop, number, link);
		else
			loop_break_link(loop, number, link);
		return;
	}
	if (n == STREAM_DONE) {
		end_link(loop, number, link);
		return;
	}
	if (n == STREAM_TOLD)
		take_told(loop, number, link);
	if (link->state == LINK_BROKEN)
		return;
	if (more || n == LOOP_READ_SIZE)
		loop_arm_again(loop, number, link);
	wait_for_backlog(loop, number, link);
	if (n > 0 && link->state == LINK_OPEN) {
		loop->before(loop->self);
		give_bytes(loop, number, link, slice_of(loop->buffer, (size_t)n));
	}
	/* One whose last bytes wait, here or at its home, goes on: loop_read(), loop_adopt(). */
	if (link->stream.done && shard_is_done(loop->shard, number))
		end_link(loop, number, link);
}

/* Of a stream that writes no more: does it give what it read to its end?  One that has something of
 * its own to send cannot get rid of it any more. */
static bool is_mute(const struct stream *stream)
{
	return (stream->mute || stream->done) && !stream->backlog;
}

/* What a peer said before it closed, not waiting for answers, is still to be read, or to be
 * handled. */
static ssize_t write_out(struct link *link, const struct slice *slices, size_t count, size_t total)
{
	ssize_t n =
	    link->mute ? STREAM_GONE : link->stream.class->write(&link->stream, slices, count);

	if (n != STREAM_GONE || link->state != LINK_OPEN || !is_mute(&link->stream))
		return n;
	link->mute = true;
	return (ssize_t)total;
}

/* One write: true when there may be more to write and the socket may take it. */
static bool write_some(struct loop *loop, uint32_t number, struct link *link)
{
	struct slice slices[STREAM_SLICES_MAX];
	size_t count = shard_output(loop->shard, number, slices, STREAM_SLICES_MAX);
	size_t total = 0;

	link->unsent = false;
	if (count == 0 && !link->stream.backlog)
		return false;
	for (size_t i = 0; i < count; i++)
		total += slices[i].len;
	ssize_t n = write_out(link, slices, count, total);

	if (n == STREAM_GONE) {
		loop_break_link(loop, number, link);
		return false;
	}
	link->unsent = n == STREAM_AGAIN ||
		       (count > 0 && !shard_written(loop->shard, loop->now, number, (size_t)n)) ||
		       link->stream.backlog;
	return link->unsent && n == (ssize_t)total;
}

static void write_link(struct loop *loop, uint32_t number, struct link *link)
{
	bool more = true;

	for (int i = 0; more && (i < WRITES_MAX || link->mute); i++)
		more = write_some(loop, number, link);
	if (link->state == LINK_BROKEN)
		return;
	if (link->state == LINK_CLOSING && !link->unsent)
		linger(loop, number, link);
	else if (more)
		loop_arm_again(loop, number, link);
	else
		loop_arm(loop, number, link);
}

static struct link *living(struct loop *loop, uint32_t number)
{
	struct link *link = link_table_at(&loop->links, number);

	return link->state == LINK_OPEN || link->state == LINK_CLOSING ? link : NULL;
}

void loop_output(struct loop *loop, uint32_t number)
{
	struct link *link = living(loop, number);

	/* While the socket is full its turn comes with EPOLLOUT. */
	if (link && !link->unsent)
		write_link(loop, number, link);
}

void loop_close(struct loop *loop, uint32_t number)
{
	struct link *link = living(loop, number);

	if (!link || link->state == LINK_CLOSING)
		return;
	link->state = LINK_CLOSING;
	link->held = 0;
	if (link->unsent)
		loop_arm(loop, number, link);
	else
		write_link(loop, number, link);
	if (link->state == LINK_CLOSING)
		patience_add(&loop->flushing,
			     (struct patience_entry){.until_ms = loop->now.ms + LOOP_FLUSH_MS,
						     .link = number,
						     .serial = link->serial});
}

void loop_read(struct loop *loop, uint32_t number, bool on)
{
	struct link *link = living(loop, number);

	if (!link || link->state != LINK_OPEN)
		return;
	if (on)
		link->held = link->held & LINK_HELD_PRESSURE;
	else
		link->held = (link->held | LINK_HELD_CORE) & LINK_HELD_ALL;
	loop_arm(loop, number, link);
	if (link->stream.done && shard_is_done(loop->shard, number))
		end_link(loop, number, link);
}

struct moved_link *loop_release(struct loop *loop, uint32_t number, uint64_t opened_ms,
				struct slice bytes)
{
	struct link *link = living(loop, number);

	if (!link) {
		/* The effect is older than the end of the connection. */
		shard_free_bytes(loop->shard, bytes);
		return NULL;
	}
	struct moved_link *moved = malloc(sizeof(*moved));

	must(moved && epoll_ctl(loop->epoll, EPOLL_CTL_DEL, link->stream.fd, NULL) == 0);
	*moved = (struct moved_link){.stream = link->stream,
				     .listener = link->listener,
				     .settings = link->settings,
				     .opened_ms = opened_ms,
				     .count = count_of(link),
				     .bytes = bytes};
	if (link->stream.proxied)
		memcpy(moved->told, loop->told[number], sizeof(moved->told));
	forget_told(loop, number, link);
	link_table_free(&loop->links, number);
	return moved;
}

/* The buffer may be in use: a link of our own was just read (loop_serve()). */
static void go_on_with(struct loop *loop, uint32_t number, const struct moved_link *moved)
{
	struct link *link = link_table_at(&loop->links, number);

	loop_count_link(link, moved->count);
	if (link->stream.proxied)
		keep_told(loop, number, moved->told);
	loop_recheck_link(loop, number);
	if (moved->bytes.len > 0)
		give_bytes(loop, number, link, moved->bytes);
	if (!link->stream.done || !shard_is_done(loop->shard, number))
		return;
	link->held = 0;
	link->unsent = false;
	link->stream.class->finish(&link->stream);
	wait_for_end(loop, number, link);
}

void loop_adopt(struct loop *loop, struct moved_link *moved)
{
	uint32_t number;

	if (loop_add_link(loop, moved->stream, moved->listener, moved->settings, moved->opened_ms,
			  &number)) {
		go_on_with(loop, number, moved);
	} else {
		peer_count_out(moved->listener, &moved->count);
	}
	shard_free_bytes(loop->shard, moved->bytes);
	free(moved);
}

bool loop_settle(struct loop *loop)
{
	size_t count = loop->gone_count;

	for (size_t i = 0; i < count; i++) {
		uint32_t number = loop->gone[i];
		struct link *link = link_table_at(&loop->links, number);

		if (link->state == LINK_BROKEN)
			close_link(loop, number, link);
		shard_handle(loop->shard, loop->now,
			     &(struct event){.type = EVENT_LINK_CLOSED, .link = number});
	}
	loop->gone_count = 0;
	explicit_bzero(loop->buffer, loop->buffer_used);
	loop->buffer_used = 0;
	return count > 0;
}

/* ---- the turn */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int timeout_of(const struct loop *loop, uint64_t until_ms)
{
	if (until_ms == 0 || loop->recheck_at != LINK_NONE)
		return 0;
	until_ms = earlier(until_ms, patience_next(&loop->flushing));
	until_ms = earlier(until_ms, patience_next(&loop->lingering));
	until_ms = earlier(until_ms, patience_next(&loop->paused));
	if (loop->rest_until_ms != 0)
		until_ms = earlier(until_ms, loop->rest_until_ms);
	/* The turn may have taken long: its own moment is not good enough here. */
	return moment_wait_ms(until_ms);
}

void loop_wait(struct loop *loop, uint64_t until_ms)
{
	int n = epoll_wait(loop->epoll, loop->ready, LOOP_READY_MAX, timeout_of(loop, until_ms));

	must(n >= 0 || errno == EINTR);
	loop->ready_count = n > 0 ? (size_t)n : 0;
	loop->now = moment_now();
}

/* Said however little was asked.  A link that is not read just now is read to its end later. */
static void hang_up(struct loop *loop, uint32_t number, struct link *link)
{
	if (link->state == LINK_LINGERING) {
		close_link(loop, number, link);
	} else if (link->state == LINK_OPEN && link->held) {
		link->hung = true;
		loop_arm(loop, number, link);
	} else {
		loop_break_link(loop, number, link);
	}
}

static void serve_link(struct loop *loop, uint32_t number, uint32_t events)
{
	struct link *link = link_table_at(&loop->links, number);

	if (events & EPOLLOUT && living(loop, number)) {
		write_link(loop, number, link);
		/* The shard is to hear first that it is over: the number is still in use. */
		if (!living(loop, number))
			return;
	}
	if (link->state == LINK_BROKEN || link->state == LINK_FREE)
		return;
	if (events & EPOLLIN)
		read_link(loop, number, link, events & (LOOP_MORE | EPOLLHUP | EPOLLERR));
	else if (events & (EPOLLHUP | EPOLLERR))
		hang_up(loop, number, link);
}

/* The link of an entry, if it still is in the state that was waited in. */
static struct link *still(struct loop *loop, struct patience_entry entry, enum link_state state)
{
	struct link *link = link_table_at(&loop->links, entry.link);

	return link->serial == entry.serial && link->state == state ? link : NULL;
}

static void read_again(struct loop *loop, struct patience_entry entry)
{
	struct link *link = still(loop, entry, LINK_OPEN);

	if (!link)
		return;
	link->held = link->held & LINK_HELD_CORE;
	loop_arm(loop, entry.link, link);
}

static void serve_deadlines(struct loop *loop)
{
	struct patience_entry entry;
	struct link *link;

	while (patience_due(&loop->flushing, loop->now.ms, &entry))
		if ((link = still(loop, entry, LINK_CLOSING)))
			loop_break_link(loop, entry.link, link);
	while (patience_due(&loop->lingering, loop->now.ms, &entry))
		if ((link = still(loop, entry, LINK_LINGERING)))
			close_link(loop, entry.link, link);
	while (patience_due(&loop->paused, loop->now.ms, &entry))
		read_again(loop, entry);
	if (loop->rest_until_ms != 0 && loop->rest_until_ms <= loop->now.ms)
		loop_open_doors(loop);
}

void loop_resume(struct loop *loop)
{
	struct patience_entry entry;

	while (patience_due(&loop->paused, UINT64_MAX, &entry))
		read_again(loop, entry);
}

void loop_serve(struct loop *loop, void *self, void (*before)(void *self))
{
	loop->self = self;
	loop->before = before;
	loop->opening_us = 0;
	for (size_t i = 0; i < loop->ready_count; i++) {
		uint64_t data = loop->ready[i].data.u64;
		uint32_t number = (uint32_t)data;

		if (data < DATA_DOOR)
			serve_link(loop, number, loop->ready[i].events);
		else if ((data & DATA_DOOR) && number < loop->door_count)
			loop_serve_door(loop, &loop->doors[number]);
	}
	loop->ready_count = 0;
	serve_deadlines(loop);
	loop_recheck_some(loop);
}
