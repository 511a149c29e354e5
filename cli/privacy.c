/* privacy.c - `metrino privacy verify`: the promises, held against a broker that runs. */
#include "cli/privacy.h"
#include "cli/command.h"
#include "cli/control.h"
#include "storage/audit/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char usage[] =
    "Holds what a broker promises against the broker that runs on this machine.\n\n"
    "Usage: metrino privacy verify --data DIR [options]\n\n"
    "Sends messages of every kind (QoS 0, 1, 2, retained, a will, to a session that is away), "
    "each\n"
    "with a word that nobody else uses, and looks for it wherever it must not be. Run it as "
    "root:\n"
    "nobody else sees what the broker has open.\n\n"
    "  --data DIR       the broker's data directory\n"
    "  -h HOST, -p PORT where clients connect (127.0.0.1, 1883), without TLS\n"
    "  --tls-port PORT, --ws-port PORT, --wss-port PORT\n"
    "                   where they connect with TLS, with WebSocket, with both\n"
    "  --cafile FILE    who verifies the broker, for TLS\n"
    "  -u NAME          as this user; the password comes from METRINO_PASSWORD\n"
    "  --allow HOST:PORT  an outbound connection that is configured; may be written several times\n"
    "  --canary WORD    the word, for who wants to look for it elsewhere, too\n"
    "  --json           one JSON object a promise\n"
    "  --proc DIR       where proc(5) is (/proc)\n";

/* ---- telling */

void privacy_tell(struct privacy *privacy, const char *promise, const char *how, const char *why)
{
	privacy->failed = privacy->failed || why;
	if (privacy->request.json) {
		json_t *line = json_pack("{s:s, s:s, s:b}", "promise", promise, "checked", how,
					 "kept", why == NULL);

		must(line);
		if (why)
			json_object_set_new(line, "why", json_string(why));
		json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(line);
		return;
	}
	printf("%s  %-52s %s\n", why ? "FAIL" : "pass", promise, how);
	if (why)
		printf("      %s\n", why);
}

/* ---- arguments */

static bool take_port(const char *text, uint16_t *port)
{
	char *end;
	const unsigned long number = strtoul(text, &end, 10);

	*port = (uint16_t)number;
	return *text >= '0' && *text <= '9' && *end == '\0' && number >= 1 && number <= UINT16_MAX;
}

static bool take_option(struct privacy_request *r, const char *name, const char *value,
			struct failure *failure)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {{"--data", &r->data}, {"--proc", &r->proc}, {"--canary", &r->canary},
		       {"-h", &r->host},     {"-u", &r->user},	   {"--cafile", &r->cafile}};
	const struct {
		const char *name;
		uint16_t *value;
	} ports[] = {{"-p", &r->port},
		     {"--tls-port", &r->tls_port},
		     {"--ws-port", &r->ws_port},
		     {"--wss-port", &r->wss_port}};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(name, options[i].name) == 0) {
			*options[i].value = value;
			return true;
		}
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (strcmp(name, ports[i].name) == 0)
			return take_port(value, ports[i].value) ||
			       failure_set(failure, "%s needs a port from 1 to 65535, not '%.40s'.",
					   name, value);
	if (strcmp(name, "--allow") != 0)
		return failure_set(failure, "Unknown option '%.80s'.", name);
	if (r->allowed_count == sizeof(r->allowed) / sizeof(r->allowed[0]))
		return failure_set(failure, "--allow: too many.");
	r->allowed[r->allowed_count++] = value;
	return true;
}

/* It is a part of topics and client identifiers; a short one is found everywhere. */
static bool check_canary(const char *word, struct failure *failure)
{
	static const char right[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	const size_t len = strlen(word);

	return (len >= 8 && len <= 64 && strspn(word, right) == len) ||
	       failure_set(failure,
			   "--canary needs 8 to 64 letters of ASCII, digits, - and _, not '%.80s'.",
			   word);
}

static bool read_arguments(struct privacy_request *r, int argc, char **argv,
			   struct failure *failure)
{
	if (argc < 1 || strcmp(argv[0], "verify") != 0)
		return failure_set(failure, "verify is needed.");
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			r->json = true;
			continue;
		}
		if (argv[i][0] != '-')
			return failure_set(failure, "'%.80s' is too many.", argv[i]);
		if (i + 1 >= argc)
			return failure_set(failure, "%.80s needs a value.", argv[i]);
		if (!take_option(r, argv[i], argv[i + 1], failure))
			return false;
		i++;
	}
	if (r->canary && !check_canary(r->canary, failure))
		return false;
	return r->data || failure_set(failure, "verify needs --data DIR.");
}

/* ---- the broker */

/* The process that listens on the control socket. */
static bool find_process(struct privacy *privacy, struct failure *failure)
{
	FILE *stream = control_open(privacy->request.data, NULL, failure);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	char path[4200];

	if (!stream)
		return false;
	const bool ok = getsockopt(fileno(stream), SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0;

	fclose(stream);
	if (!ok)
		return failure_set(failure, "control.sock: %s", strerror(errno));
	privacy->pid = peer.pid;
	privacy->user = peer.uid;
	snprintf(path, sizeof(path), "%.4000s/%d", privacy->request.proc, (int)peer.pid);
	privacy->process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return privacy->process >= 0 ||
	       failure_set(failure, "%.400s: %s; is the broker on this machine?", path,
			   strerror(errno));
}

static bool open_broker(struct privacy *privacy, struct failure *failure)
{
	if (!find_process(privacy, failure))
		return false;
	privacy->directory = open(privacy->request.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return privacy->directory >= 0 ||
	       failure_set(failure, "%.300s: %s", privacy->request.data, strerror(errno));
}

static void make_canary(char word[40])
{
	uint8_t chance[AUDIT_SEED_LEN];

	audit_seed_make(chance);
	snprintf(word, 40, "canary-");
	for (size_t i = 0; i < 12; i++)
		snprintf(word + 7 + 2 * i, 40 - 7 - 2 * i, "%02x", chance[i]);
}

static bool verify(struct privacy *privacy, struct failure *failure)
{
	struct needles *needles;
	char word[40];

	if (!open_broker(privacy, failure))
		return false;
	if (!privacy->request.canary) {
		make_canary(word);
		privacy->request.canary = word;
	}
	needles = needles_create();
	privacy_send(privacy, needles, privacy_search);
	privacy_look_at_process(privacy);
	privacy_look_at_files(privacy);
	privacy_look_at_log(privacy);
	needles_destroy(needles);
	return !privacy->failed || failure_set(failure, "not every promise is kept");
}

int command_privacy(int argc, char **argv)
{
	struct privacy privacy = {.request = {.host = "127.0.0.1", .port = 1883, .proc = "/proc"},
				  .process = -1,
				  .directory = -1};
	struct failure failure;

	for (int i = 0; i < argc && i < 2; i++)
		if (strcmp(argv[i], "--help") == 0) {
			fputs(usage, stdout);
			return 0;
		}
	if (!read_arguments(&privacy.request, argc, argv, &failure))
		return command_misused("privacy", &failure);
	privacy.request.password = getenv("METRINO_PASSWORD");
	const bool ok = verify(&privacy, &failure);

	if (!ok)
		fprintf(stderr, "Error: %s\n", failure.text);
	if (privacy.process >= 0)
		close(privacy.process);
	if (privacy.directory >= 0)
		close(privacy.directory);
	return ok ? 0 : 1;
}
