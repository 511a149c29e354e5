#include "cli/options_internal.h"
#include "cli/shown_url.h"

#include "proto/topic.h"

#include <stdio.h>
#include <stdlib.h>

#define PUB	OPTION_PUB
#define SUB	OPTION_SUB
#define RR	OPTION_RR
#define SENDS	(PUB | RR)
#define SHOWS	(SUB | RR)
#define CLIENTS (PUB | SUB | RR)
#define EVERY	(CLIENTS | OPTION_BENCH)

static take_option take_list, take_password, take_version, take_session_expiry;
static take_option take_payload, take_chance, take_delay, take_nothing, take_absent;
static take_option take_psk, take_tls_version, take_key_form;

#define AT(field) OPTION_AT(field)
#define ABSENT	  take_absent, 0, 0, 0, NULL

static const struct flag flags[] = {
    {"-A", NULL, EVERY, "bind address", options_take_text, AT(bind_address), 0, 0,
     "connect from this local address"},
    {"-C", NULL, SUB, "count", options_take_u32, AT(count), 1, UINT32_MAX,
     "leave after so many messages"},
    {"-c", "--disable-clean-session", CLIENTS, NULL, options_take_true, AT(keep_session), 0, 0,
     "resume the session of this client identifier, and leave one"},
    {"-D", "--property", CLIENTS, NULL, take_nothing, 0, 0, 0,
     "COMMAND PROPERTY VALUE: add a property of MQTT 5.0 to a packet"},
    {"-d", "--debug", CLIENTS, NULL, options_take_true, AT(debug), 0, 0, "show the packets"},
    {"-E", NULL, SUB, NULL, options_take_true, AT(exit_after_subscribing), 0, 0,
     "leave when all subscriptions are acknowledged"},
    {"-e", NULL, RR, "response topic", options_take_text, AT(response_topic), 0, 0,
     "the response is to come to this topic"},
    {"-F", NULL, SHOWS, "format", options_take_text, AT(format), 0, 0,
     "print messages like this; see metrino-sub(1)"},
    {"-f", "--file", SENDS, "file", take_payload, PAYLOAD_FILE, 0, 0, "send what a file holds"},
    {"-h", "--host", EVERY, "host", options_take_text, AT(host), 0, 0,
     "the broker's name or address (localhost)"},
    {"-I", "--id-prefix", CLIENTS, "id prefix", options_take_text, AT(client_id_prefix), 0, 0,
     "client identifier = this and the process's number"},
    {"-i", "--id", CLIENTS, "id", options_take_text, AT(client_id), 0, 0, "client identifier"},
    {"-k", "--keepalive", CLIENTS, "keepalive", options_take_u16, AT(keep_alive_s), 5, 65535,
     "keep alive in seconds (60)"},
    {"-L", "--url", CLIENTS, "URL", options_take_url, 0, 0, 0,
     "mqtt://[user[:password]@]host[:port]/topic, all at once; mqtts, ws and wss, too"},
    {"-l", "--stdin-line", PUB, NULL, take_payload, PAYLOAD_LINES, 0, 0,
     "send every line of the standard input as a message"},
    {"-M", NULL, SENDS, "max_inflight", options_take_u16, AT(inflight_max), 1, 65535,
     "unacknowledged messages at most (20)"},
    {"-m", "--message", SENDS, "message", take_payload, PAYLOAD_TEXT, 0, 0, "send this"},
    {"-N", NULL, SHOWS, NULL, options_take_true, AT(no_newline), 0, 0,
     "no new line after a message"},
    {"-n", "--null-message", SENDS, NULL, take_payload, PAYLOAD_EMPTY, 0, 0,
     "send an empty message"},
    {"-P", "--pw", EVERY, "password", take_password, 0, 0, 0,
     "password; others on this computer may see it: prefer METRINO_PASSWORD or the "
     "options file"},
    {"-p", "--port", EVERY, "port", options_take_u16, AT(port), 1, 65535,
     "the broker's port (1883; with TLS 8883; WebSocket 8083 and 8084); 8883 is over TLS"},
    {"-q", "--qos", EVERY, "QoS", options_take_u8, AT(qos), 0, 2, "quality of service (0)"},
    {"-R", NULL, SHOWS, NULL, options_take_true, AT(no_retained), 0, 0,
     "do not print retained messages"},
    {"-r", "--retain", PUB, NULL, options_take_true, AT(retain), 0, 0,
     "the broker shall retain it"},
    {"-s", "--stdin-file", SENDS, NULL, take_payload, PAYLOAD_STDIN, 0, 0,
     "send the whole standard input as one message"},
    {"-T", "--filter-out", SUB, "topic filter", take_list, AT(filter_out), 0, 0,
     "do not print what matches; may be repeated"},
    {"-t", "--topic", SUB, "topic", take_list, AT(topics), 0, 0,
     "subscribe to this filter; may be repeated"},
    {"-t", "--topic", SENDS, "topic", take_list, AT(topics), 0, 0, "publish to this topic"},
    {"-U", "--unsubscribe", SUB, "unsubscribe topic", take_list, AT(unsubscribe), 0, 0,
     "unsubscribe from this filter; may be repeated"},
    {"-u", "--username", EVERY, "username", options_take_text, AT(user_name), 0, 0, "user name"},
    {"-V", "--protocol-version", EVERY, "version", take_version, 0, 0, 0,
     "5, 311 or 31; the default is 311, of metrino rr 5"},
    {"-v", "--verbose", SHOWS, NULL, options_take_true, AT(verbose), 0, 0,
     "print \"topic payload\""},
    {"-W", NULL, SHOWS, "timeout", options_take_u32, AT(timeout_s), 1, 2147483,
     "leave after so many seconds, with status 27"},
    {"-x", "--session-expiry-interval", CLIENTS, "session expiry interval", take_session_expiry, 0,
     0, 0, "session expiry in seconds, -1 for never (MQTT 5.0)"},
    {NULL, "--help", EVERY, NULL, options_take_true, AT(help), 0, 0, "show this"},
    {NULL, "--nodelay", CLIENTS, NULL, options_take_true, AT(nodelay), 0, 0,
     "send small packets at once"},
    {NULL, "--pretty", SHOWS, NULL, options_take_true, AT(pretty), 0, 0,
     "%j and %J on several lines"},
    {NULL, "--quiet", CLIENTS, NULL, options_take_true, AT(quiet), 0, 0,
     "no messages about errors"},
    {NULL, "--random-filter", SUB, "chance", take_chance, 0, 0, 0,
     "print this percentage of the messages"},
    {NULL, "--remove-retained", SUB, NULL, options_take_true, AT(remove_retained), 0, 0,
     "clear every retained message that comes"},
    {NULL, "--repeat", PUB, "count", options_take_u32, AT(repeat), 1, 2147483647,
     "send the message so many times"},
    {NULL, "--repeat-delay", PUB, "time", take_delay, 0, 0, 0, "seconds between repeated messages"},
    {NULL, "--retain-as-published", SHOWS, NULL, options_take_true, AT(retain_as_published), 0, 0,
     "keep the retain flag as it was published (MQTT 5.0)"},
    {NULL, "--retained-only", SUB, NULL, options_take_true, AT(retained_only), 0, 0,
     "retained messages only; leave at the first other one"},
    {NULL, "--will-payload", CLIENTS, "will payload", options_take_text, AT(will_payload), 0, 0,
     "what the will says"},
    {NULL, "--will-qos", CLIENTS, "will QoS", options_take_u8, AT(will_qos), 0, 2,
     "the will's QoS (0)"},
    {NULL, "--will-retain", CLIENTS, NULL, options_take_true, AT(will_retain), 0, 0,
     "the will shall be retained"},
    {NULL, "--will-topic", CLIENTS, "will topic", options_take_text, AT(will_topic), 0, 0,
     "have the broker publish a will here"},
    {NULL, "--unix", CLIENTS, "socket path", options_take_text, AT(unix_path), 0, 0,
     "connect to this Unix socket"},
    {NULL, "--ws", CLIENTS, NULL, options_take_true, AT(websocket), 0, 0,
     "connect over WebSocket; with TLS it is wss"},
    {NULL, "--ws-path", CLIENTS, "path", options_take_text, AT(ws.path), 0, 0,
     "the path of the WebSocket (/mqtt)"},
    {NULL, "--cafile", EVERY, "file", options_take_text, AT(tls.cafile), 0, 0,
     "connect over TLS to a broker that authorities in this file vouch for"},
    {NULL, "--capath", EVERY, "dir", options_take_text, AT(tls.capath), 0, 0,
     "likewise, of files in this folder"},
    {NULL, "--tls-use-os-certs", EVERY, NULL, options_take_true, AT(os_certificates), 0, 0,
     "likewise, of this computer's authorities; so does port 8883"},
    {NULL, "--cert", EVERY, "file", options_take_text, AT(tls.certfile), 0, 0,
     "our certificate; needs --key"},
    {NULL, "--key", EVERY, "file", options_take_text, AT(tls.keyfile), 0, 0, "its private key"},
    {NULL, "--keyform", EVERY, "keyform", take_key_form, 0, 0, 0, "pem"},
    {NULL, "--ciphers", EVERY, "ciphers", options_take_text, AT(tls.ciphers), 0, 0,
     "ciphers of TLS, in order of preference"},
    {NULL, "--tls-alpn", CLIENTS, "protocol", options_take_text, AT(tls.alpn), 0, 0,
     "ask for this protocol inside TLS"},
    {NULL, "--tls-version", EVERY, "version", take_tls_version, 0, 0, 0, "tlsv1.2"},
    {NULL, "--insecure", EVERY, NULL, options_take_true, AT(tls.insecure), 0, 0,
     "do not look whether the broker's certificate is of its host"},
    {NULL, "--psk", EVERY, "key", take_psk, 0, 0, 0,
     "a pre-shared key in hexadecimal digits, instead of certificates; needs --psk-identity"},
    {NULL, "--psk-identity", EVERY, "identity", options_take_text, AT(tls.psk_identity), 0, 0,
     "whose key that is"},
    /* parts that do not exist yet */
    {"-S", NULL, CLIENTS, NULL, ABSENT},
    {NULL, "--proxy", CLIENTS, "proxy url", ABSENT},
    {NULL, "--tls-engine", CLIENTS, "engine", ABSENT},
    {NULL, "--tls-engine-kpass-sha1", CLIENTS, "kpass sha1", ABSENT},
};

#define FLAGS (sizeof(flags) / sizeof(flags[0]))

/* Flag number i of all there are, if this program has it; *end behind the last one. */
static const struct flag *flag_at(size_t i, unsigned program, bool *end)
{
	const struct flag *f = i < FLAGS ? &flags[i] : &bench_flags[i - FLAGS];

	*end = i == FLAGS + bench_flag_count;
	return !*end && (f->programs & program) != 0 ? f : NULL;
}

static void *field_of(struct options *o, const struct flag *flag)
{
	return (char *)o + flag->field;
}

static const char *flag_name(const struct flag *flag)
{
	return flag->letter != NULL ? flag->letter : flag->name;
}

bool options_take_true(struct options *o, const struct flag *flag, const char *value,
		       struct failure *failure)
{
	(void)value;
	(void)failure;
	*(bool *)field_of(o, flag) = true;
	return true;
}

bool options_take_text(struct options *o, const struct flag *flag, const char *value,
		       struct failure *failure)
{
	(void)failure;
	*(const char **)field_of(o, flag) = value;
	return true;
}

static bool take_list(struct options *o, const struct flag *flag, const char *value,
		      struct failure *failure)
{
	struct text_list *list = field_of(o, flag);

	(void)failure;
	if (o->program != OPTION_SUB)
		list->count = 0; /* one topic: the last one said */
	text_list_add(list, value);
	return true;
}

static bool take_number(const struct flag *flag, const char *value, uint64_t *number,
			struct failure *failure)
{
	if (options_number(value, flag->minimum, flag->maximum, number))
		return true;
	return failure_set(failure,
			   "Invalid %s given: %.40s. It must be between %llu and %llu inclusive.",
			   flag->value, value, (unsigned long long)flag->minimum,
			   (unsigned long long)flag->maximum);
}

bool options_take_u8(struct options *o, const struct flag *flag, const char *value,
		     struct failure *failure)
{
	uint64_t number;

	if (!take_number(flag, value, &number, failure))
		return false;
	*(uint8_t *)field_of(o, flag) = (uint8_t)number;
	return true;
}

bool options_take_u16(struct options *o, const struct flag *flag, const char *value,
		      struct failure *failure)
{
	uint64_t number;

	if (!take_number(flag, value, &number, failure))
		return false;
	*(uint16_t *)field_of(o, flag) = (uint16_t)number;
	return true;
}

bool options_take_u32(struct options *o, const struct flag *flag, const char *value,
		      struct failure *failure)
{
	uint64_t number;

	if (!take_number(flag, value, &number, failure))
		return false;
	*(uint32_t *)field_of(o, flag) = (uint32_t)number;
	return true;
}

static bool take_password(struct options *o, const struct flag *flag, const char *value,
			  struct failure *failure)
{
	(void)flag;
	(void)failure;
	o->password = options_keep(o, slice_text(value));
	return true;
}

/* Others on this computer see what stands on the command line: it is overwritten there. */
static bool take_psk(struct options *o, const struct flag *flag, const char *value,
		     struct failure *failure)
{
	(void)flag;
	(void)failure;
	o->tls.psk = options_keep(o, slice_text(value));
	return true;
}

static bool take_tls_version(struct options *o, const struct flag *flag, const char *value,
			     struct failure *failure)
{
	(void)o;
	(void)flag;
	return strcmp(value, "tlsv1.2") == 0 ||
	       failure_set(failure, "--tls-version %.20s: not in this version. It must be tlsv1.2.",
			   value);
}

static bool take_key_form(struct options *o, const struct flag *flag, const char *value,
			  struct failure *failure)
{
	(void)o;
	(void)flag;
	return strcmp(value, "pem") == 0 ||
	       failure_set(failure, "--keyform %.20s: not in this version. It must be pem.", value);
}

static bool take_version(struct options *o, const struct flag *flag, const char *value,
			 struct failure *failure)
{
	static const struct {
		const char *name;
		enum mqtt_version version;
	} versions[] = {
	    {"5", MQTT_VERSION_5_0},	 {"mqttv5", MQTT_VERSION_5_0},
	    {"311", MQTT_VERSION_3_1_1}, {"mqttv311", MQTT_VERSION_3_1_1},
	    {"31", MQTT_VERSION_3_1},	 {"mqttv31", MQTT_VERSION_3_1},
	};

	(void)flag;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (strcmp(versions[i].name, value) == 0) {
			o->version = versions[i].version;
			return true;
		}
	}
	return failure_set(failure,
			   "Invalid protocol version argument given: '%.20s'. It must be "
			   "5, 311 or 31.",
			   value);
}

static bool take_session_expiry(struct options *o, const struct flag *flag, const char *value,
				struct failure *failure)
{
	uint64_t number = UINT32_MAX;

	(void)flag;
	if (strcmp(value, "-1") != 0 && strcmp(value, "\u221e") != 0 &&
	    !options_number(value, 0, UINT32_MAX, &number))
		return failure_set(failure,
				   "session-expiry-interval not a number: '%.40s'. It must be "
				   "seconds, or -1 for never.",
				   value);
	o->session_expiry_s = (uint32_t)number;
	o->has_session_expiry = true;
	return true;
}

static bool take_payload(struct options *o, const struct flag *flag, const char *value,
			 struct failure *failure)
{
	if (o->source != PAYLOAD_NONE)
		return failure_set(failure, "Only one type of message can be sent at once.");
	o->source = (enum payload_source)flag->field;
	o->payload = value;
	return true;
}

bool options_real(const char *text, double minimum, double maximum, double *number)
{
	char *end;

	*number = strtod(text, &end);
	return end != text && *end == '\0' && *number >= minimum && *number <= maximum;
}

static bool take_chance(struct options *o, const struct flag *flag, const char *value,
			struct failure *failure)
{
	(void)flag;
	if (!options_real(value, 0.1, 100, &o->chance))
		return failure_set(failure, "--random-filter chance must be between 0.1-100.0");
	return true;
}

static bool take_delay(struct options *o, const struct flag *flag, const char *value,
		       struct failure *failure)
{
	double seconds;

	(void)flag;
	if (!options_real(value, 0, 2147483, &seconds))
		return failure_set(failure, "--repeat-delay argument must be >=0.0.");
	o->repeat_delay_ms = (uint32_t)(seconds * 1000);
	return true;
}

/* -D: options_read() reads its words itself. */
static bool take_nothing(struct options *o, const struct flag *flag, const char *value,
			 struct failure *failure)
{
	(void)o;
	(void)flag;
	(void)value;
	(void)failure;
	return true;
}

static bool take_absent(struct options *o, const struct flag *flag, const char *value,
			struct failure *failure)
{
	(void)o;
	(void)value;
	return failure_set(failure, "%s: not in this version.", flag_name(flag));
}

/* Letters to change, add or remove until one word is the other (Levenshtein). */
static size_t word_distance(const char *a, const char *b)
{
	size_t row[64] = {0};
	const size_t len = strlen(b);

	if (len >= sizeof(row) / sizeof(row[0]))
		return SIZE_MAX;
	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			const size_t changed = diagonal + (a[i - 1] != b[j - 1]);
			const size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = changed < shorter ? changed : shorter;
		}
	}
	return row[len];
}

/* Only what is near is named: of the letters at most half, and three, may be others. */
static bool unknown_flag(const struct options *o, const char *word, struct failure *failure)
{
	const size_t letters = strlen(word + strspn(word, "-"));
	size_t best = letters < 6 ? letters / 2 : 3;
	const char *nearest = NULL;

	bool end = false;

	for (size_t i = 0; !end; i++) {
		const struct flag *f = flag_at(i, o->program, &end);
		const char *names[] = {f != NULL ? f->letter : NULL, f != NULL ? f->name : NULL};

		for (size_t j = 0; j < 2; j++) {
			size_t distance;

			if (names[j] == NULL)
				continue;
			distance = word_distance(word, names[j]);
			if (distance < best || (distance == best && nearest == NULL)) {
				best = distance;
				nearest = names[j];
			}
		}
	}
	if (nearest != NULL)
		return failure_set(failure, "Unknown option '%.80s'. Did you mean '%s'?", word,
				   nearest);
	return failure_set(failure, "Unknown option '%.80s'.", shown_url(word).text);
}

static const struct flag *find_flag(const struct options *o, const char *word)
{
	bool end = false;

	for (size_t i = 0; !end; i++) {
		const struct flag *f = flag_at(i, o->program, &end);

		if (f == NULL)
			continue;
		if ((f->letter != NULL && strcmp(f->letter, word) == 0) ||
		    (f->name != NULL && strcmp(f->name, word) == 0))
			return f;
	}
	return NULL;
}

bool options_read(struct options *o, int argc, char **argv, struct failure *failure)
{
	for (int i = 0; i < argc && !o->help; i++) {
		const struct flag *f = find_flag(o, argv[i]);
		int used = f != NULL && f->value != NULL ? 1 : 0;

		if (f == NULL)
			return unknown_flag(o, argv[i], failure);
		/* What is absent is said so, with a value or without. */
		if (f->take == take_absent)
			return take_absent(o, f, NULL, failure);
		if (f->take == take_nothing) {
			if (!options_read_property(o, argv + i + 1, argc - i - 1, &used, failure))
				return false;
		} else if (used > 0 && i + 1 >= argc) {
			return failure_set(failure, "%s argument given but no %s specified.",
					   flag_name(f), f->value);
		} else if (!f->take(o, f, used > 0 ? argv[i + 1] : NULL, failure)) {
			return false;
		}
		if (f->take == take_password || f->take == take_psk ||
		    (f->take == options_take_url && strchr(argv[i + 1], '@')))
			memset(argv[i + 1], '*', strlen(argv[i + 1]));
		i += used;
	}
	return true;
}

void options_print_help(enum option_program program)
{
	bool end = false;

	for (size_t i = 0; !end; i++) {
		const struct flag *f = flag_at(i, program, &end);
		char names[64];

		if (f == NULL || f->help == NULL)
			continue;
		snprintf(names, sizeof(names), "%s%s%s%s%s", f->letter != NULL ? f->letter : "",
			 f->letter != NULL && f->name != NULL ? ", " : "",
			 f->name != NULL ? f->name : "", f->value != NULL ? " " : "",
			 f->value != NULL ? f->value : "");
		printf("  %-34s %s\n", names, f->help);
	}
}
