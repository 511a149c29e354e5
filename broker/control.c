/* control.c - see control.h. */
#include "broker/control_internal.h"
#include "broker/door.h"
#include "broker/net/moment.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A client id of 65,535 bytes, each escaped as \u00xx, and the rest of a request. */
#define REQUEST_MAX (6u * 65536u + 1024u)
#define WAITING_MAX 8

struct control {
	struct control_source source;
	struct sockaddr_un address;
	int listening;
	int stop; /* eventfd: readable when the thread is to end */
	pthread_t thread;
	char request[REQUEST_MAX];
};

/* ---- answers */

const char control_too_busy[] = "the broker is too busy to answer: try again";

struct slice control_text(const json_t *request, const char *member)
{
	const json_t *value = json_object_get(request, member);

	return json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value))
				     : SLICE_NONE;
}

void control_say(FILE *out, json_t *line)
{
	must(line);
	json_dumpf(line, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(line);
}

void control_say_error(FILE *out, const char *sentence)
{
	control_say(out, json_pack("{s:b, s:s}", "ok", 0, "error", sentence));
}

static void count_clients(const struct control_source *source, const json_t *request, FILE *out)
{
	uint64_t connected = 0;
	uint64_t sessions = 0;

	(void)request;
	source->count(source->self, &connected, &sessions);
	control_say(out, json_pack("{s:b, s:I, s:I}", "ok", 1, "connected", (json_int_t)connected,
				   "sessions", (json_int_t)sessions));
}

static json_t *describe(const struct client_info *client)
{
	json_t *line = json_object();

	json_object_set_new(
	    line, "client_id",
	    json_stringn_nocheck((const char *)client->client_id.at, client->client_id.len));
	json_object_set_new(line, "connected", json_boolean(client->connected));
	json_object_set_new(line, "version", json_integer(client->version));
	json_object_set_new(line, "subscriptions", json_integer(client->subscriptions));
	json_object_set_new(line, "queued", json_integer(client->queued));
	json_object_set_new(line, "inflight", json_integer(client->inflight));
	json_object_set_new(line, "connected_at", json_integer((json_int_t)client->connected_s));
	return line;
}

static void list_clients(const struct control_source *source, const json_t *request, FILE *out)
{
	struct census *census = source->list(source->self);
	size_t count = 0;

	(void)request;
	if (census_wait(census, CONTROL_PATIENCE_MS)) {
		const struct client_info *clients = census_clients(census, &count);

		for (size_t i = 0; i < count; i++)
			control_say(out, describe(&clients[i]));
		control_say(out, json_pack("{s:b, s:I}", "ok", 1, "count", (json_int_t)count));
	} else {
		control_say_error(out, control_too_busy);
	}
	census_release(census);
}

static void kick_client(const struct control_source *source, const json_t *request, FILE *out)
{
	const json_t *id = json_object_get(request, "client_id");
	size_t count = 0;

	if (!json_is_string(id)) {
		control_say_error(out, "clients.kick needs \"client_id\", a string");
		return;
	}
	struct slice client_id = slice_of(json_string_value(id), json_string_length(id));
	struct census *census = source->kick(source->self, client_id);

	if (census_wait(census, CONTROL_PATIENCE_MS)) {
		census_clients(census, &count);
		if (count > 0)
			control_say(out,
				    json_pack("{s:b, s:I}", "ok", 1, "kicked", (json_int_t)count));
		else
			control_say_error(out, "no client with this client id is connected");
	} else {
		control_say_error(out, control_too_busy);
	}
	census_release(census);
}

struct ban_list {
	FILE *out;
	json_int_t count;
};

static void say_ban(void *caller, const struct door_ban *ban)
{
	struct ban_list *list = caller;
	json_int_t left_s = (json_int_t)((ban->left_ms + 999) / 1000);
	json_t *line = ban->address
			   ? json_pack("{s:s, s:s, s:I}", "address", ban->address, "reason",
				       "failed_logins", "seconds_left", left_s)
			   : json_pack("{s:s%, s:s, s:I}", "client_id",
				       (const char *)ban->client_id.at, ban->client_id.len,
				       "reason", "connects_too_often", "seconds_left", left_s);

	if (ban->cut)
		json_object_set_new(line, "cut", json_true());
	control_say(list->out, line);
	list->count++;
}

static void list_bans(const struct control_source *source, const json_t *request, FILE *out)
{
	struct ban_list list = {.out = out};

	(void)request;
	source->bans(source->self, &list, say_ban);
	control_say(out, json_pack("{s:b, s:I}", "ok", 1, "count", list.count));
}

static void lift_ban(const struct control_source *source, const json_t *request, FILE *out)
{
	const char *address = json_string_value(json_object_get(request, "address"));
	const json_t *id = json_object_get(request, "client_id");
	struct failure failure;

	if (!address == !json_is_string(id)) {
		control_say_error(out,
				  "bans.lift needs \"address\", a string, or else \"client_id\"");
		return;
	}
	failure_set(&failure, "no ban of this client identifier");
	bool lifted = address ? source->lift(source->self, address, &failure)
			      : source->lift_client(source->self, slice_of(json_string_value(id),
									   json_string_length(id)));
	if (lifted)
		control_say(out, json_pack("{s:b, s:i}", "ok", 1, "lifted", 1));
	else
		control_say_error(out, failure.text);
}

static const struct control_command commands[] = {
    {"clients.count", AUDIT_WORD_RIGHT_CLIENTS_COUNT, false, count_clients},
    {"clients.list", AUDIT_WORD_RIGHT_CLIENTS_LIST, true, list_clients},
    {"clients.kick", AUDIT_WORD_RIGHT_CLIENTS_KICK, true, kick_client},
    {"bans.list", AUDIT_WORD_RIGHT_BANS_LIST, true, list_bans},
    {"bans.lift", AUDIT_WORD_RIGHT_BANS_LIFT, true, lift_ban},
    {0},
};

static const struct control_command *const tables[] = {
    commands, control_account_commands, control_subject_commands, control_traffic_commands,
    control_record_commands};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

static void run_recorded(const struct control_source *source, const struct control_command *command,
			 const json_t *request, FILE *out)
{
	struct failure failure;
	char sentence[sizeof(failure.text) + 64];

	if (!source->record || source->record(source->self, command->right, &failure) ||
	    !command->needs_record) {
		command->run(source, request, out);
		return;
	}
	snprintf(sentence, sizeof(sentence), "refused: its use cannot be recorded: %s",
		 failure.text);
	control_say_error(out, sentence);
}

static const struct control_command *find_command(const char *name)
{
	for (size_t i = 0; i < TABLES; i++)
		for (const struct control_command *at = tables[i]; at->name; at++)
			if (strcmp(at->name, name) == 0)
				return at;
	return NULL;
}

static void say_unknown(FILE *out)
{
	char sentence[1024] = "unknown command; known are";
	size_t len = strlen(sentence);

	for (size_t i = 0; i < TABLES; i++)
		for (const struct control_command *at = tables[i]; at->name; at++)
			len += (size_t)snprintf(sentence + len, sizeof(sentence) - len, " %s",
						at->name);
	must(len < sizeof(sentence));
	control_say_error(out, sentence);
}

static void answer(struct control *control, const char *text, FILE *out)
{
	json_t *request = json_loads(text, JSON_ALLOW_NUL, NULL);
	const char *name = json_string_value(json_object_get(request, "command"));
	const struct control_command *command = name ? find_command(name) : NULL;

	if (command)
		run_recorded(&control->source, command, request, out);
	else if (name)
		say_unknown(out);
	else
		control_say_error(out,
				  "a request is one line of JSON: {\"command\":\"clients.count\"}");
	json_decref(request);
	explicit_bzero(control->request, strlen(control->request));
}

/* ---- connections */

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* False when the peer is not ready in time, or the broker stops. */
static bool await(const struct control *control, int fd, short events, uint64_t until_ms)
{
	struct pollfd waits[2] = {{.fd = fd, .events = events},
				  {.fd = control->stop, .events = POLLIN}};
	uint64_t now_ms = moment_now().ms;

	return now_ms < until_ms && poll(waits, 2, (int)(until_ms - now_ms)) > 0 &&
	       !waits[1].revents;
}

/* One line, at most; false when the peer took too long, closed, or the broker stops. */
static bool read_request(struct control *control, int fd)
{
	uint64_t until_ms = moment_now().ms + CONTROL_PATIENCE_MS;
	size_t have = 0;

	while (have < REQUEST_MAX - 1) {
		if (!await(control, fd, POLLIN, until_ms))
			return false;
		ssize_t n = read(fd, control->request + have, REQUEST_MAX - 1 - have);

		if (n <= 0)
			return false;
		have += (size_t)n;
		control->request[have] = '\0';
		if (memchr(control->request + have - (size_t)n, '\n', (size_t)n))
			return true;
	}
	return false;
}

/* Who stops reading is left, so that others are answered and the broker can stop. */
static void send_all(const struct control *control, int fd, const char *text, size_t len)
{
	while (len > 0 && await(control, fd, POLLOUT, moment_now().ms + CONTROL_PATIENCE_MS)) {
		ssize_t n = send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static void serve(struct control *control, int fd)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	must(out);
	if (!may_ask(fd))
		control_say_error(out, "only root and the broker's own user may ask");
	else if (read_request(control, fd))
		answer(control, control->request, out);
	else
		control_say_error(out, "a request is one line, sent within 5 seconds");
	must(fclose(out) == 0);
	send_all(control, fd, text, len);
	explicit_bzero(text, len); /* there may be a key's secret in it */
	free(text);
	close(fd);
}

/*
 * What callees of before left in their frames, deep enough for the registers that the dynamic
 * linker saves when a library calls a function for the first time: they hold what was copied last.
 */
static __attribute__((noinline)) void wipe_frames(void)
{
	uint8_t below[16384];

	explicit_bzero(below, sizeof(below));
}

static void *run(void *self)
{
	struct control *control = self;
	struct pollfd waits[2] = {{.fd = control->listening, .events = POLLIN},
				  {.fd = control->stop, .events = POLLIN}};

	pthread_setname_np(pthread_self(), "control");
	while (poll(waits, 2, -1) < 0 || !waits[1].revents) {
		int fd = accept4(control->listening, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			serve(control, fd);
			wipe_frames();
		} else if (errno == EMFILE || errno == ENFILE) {
			poll(&waits[1], 1,
			     CONTROL_PATIENCE_MS); /* no spinning: it waits in the queue */
		}
	}
	return NULL;
}

/* ---- life */

static bool listen_at(struct control *control, struct failure *failure)
{
	const char *path = control->address.sun_path;

	control->stop = eventfd(0, EFD_CLOEXEC);
	control->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->stop < 0 || control->listening < 0)
		return failure_set(failure, "cannot make the control socket: %s", strerror(errno));
	/* The data directory is locked by us, so what is there is left over. */
	unlink(path);
	/* fchmod() before bind() gives the file its mode from the first moment. */
	if (fchmod(control->listening, S_IRUSR | S_IWUSR) == 0 &&
	    bind(control->listening, (const struct sockaddr *)&control->address,
		 sizeof(control->address)) == 0 &&
	    listen(control->listening, WAITING_MAX) == 0)
		return true;
	return failure_set(failure, "cannot make the control socket %s: %s", path, strerror(errno));
}

static bool start(struct control *control, struct failure *failure)
{
	int error = pthread_create(&control->thread, NULL, run, control);

	if (error != 0)
		return failure_set(failure, "cannot start the thread of the control socket: %s",
				   strerror(error));
	return true;
}

static void close_all(struct control *control)
{
	if (control->listening >= 0)
		close(control->listening);
	if (control->stop >= 0)
		close(control->stop);
	free(control);
}

struct control *control_create(const char *directory, const struct control_source *source,
			       struct failure *failure)
{
	struct control *control = calloc(1, sizeof(*control));

	must(control);
	control->source = *source;
	control->listening = -1;
	control->stop = -1;
	control->address.sun_family = AF_UNIX;
	int len = snprintf(control->address.sun_path, sizeof(control->address.sun_path),
			   "%s/" CONTROL_SOCKET_NAME, directory);

	if (len < 0 || (size_t)len >= sizeof(control->address.sun_path))
		failure_set(failure,
			    "the path of the data directory is too long for a socket in it: at "
			    "most %zu characters",
			    sizeof(control->address.sun_path) - sizeof("/" CONTROL_SOCKET_NAME));
	else if (listen_at(control, failure) && start(control, failure))
		return control;
	close_all(control);
	return NULL;
}

void control_destroy(struct control *control)
{
	uint64_t one = 1;

	if (!control)
		return;
	must(write(control->stop, &one, sizeof(one)) == sizeof(one));
	must(pthread_join(control->thread, NULL) == 0);
	unlink(control->address.sun_path);
	close_all(control);
}
