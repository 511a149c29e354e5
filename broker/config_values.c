/*
 * config_values.c - the types of values: how each is written, checked, stored.
 *
 * A setter stores into `field`, or, for keys whose line in config.def names no
 * field (HANDLED), where it knows.
 */
#include "broker/config_internal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <syslog.h>

#include "broker/log.h"

/* The form of a value is said in one way everywhere: "PROBLEM; right would be FORM". */
bool config_wrong(struct config_reader *reader, const struct config_key *key, const char *value)
{
	char form[256];
	const char *why = "";
	if (config_type_of(key)->unlimited && strcmp(value, "0") == 0)
		why = " (0 never means unlimited here)";
	else if (strstr(value, " #") || strstr(value, "\t#"))
		why = " (a comment needs a line of its own)";
	return config_problem(reader, key->name, "'%.60s' is not possible%s; right would be %s",
			      value, why, config_form(key, form, sizeof(form)));
}

static void store_number(void *field, size_t size, uint64_t value)
{
	must(size == 1 || size == 2 || size == 4 || size == 8);
	const uint8_t small = (uint8_t)value;
	const uint16_t medium = (uint16_t)value;
	const uint32_t large = (uint32_t)value;
	const void *from = size == 1   ? (const void *)&small
			   : size == 2 ? (const void *)&medium
			   : size == 4 ? (const void *)&large
				       : (const void *)&value;
	memcpy(field, from, size);
}

/* Digits only: strtoull() alone would take signs and spaces. */
bool config_read_number(const char *text, uint64_t *number)
{
	if (text[0] < '0' || text[0] > '9')
		return false;
	char *end = NULL;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static bool read_in_range(const struct config_key *key, const char *text, uint64_t *number)
{
	return config_read_number(text, number) && *number >= key->min && *number <= key->max;
}

static bool set_bool(struct config_reader *reader, const struct config_key *key, char *value,
		     void *field)
{
	const bool yes = strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0;
	const bool no = strcasecmp(value, "false") == 0 || strcmp(value, "0") == 0;
	if (!yes && !no)
		return config_wrong(reader, key, value);
	*(bool *)field = yes;
	return true;
}

static bool set_number(struct config_reader *reader, const struct config_key *key, char *value,
		       void *field)
{
	const struct config_type *type = config_type_of(key);
	uint64_t number = 0;
	/* -1 is how mosquitto writes unlimited connections. */
	if (type->unlimited && (strcmp(value, "unlimited") == 0 || strcmp(value, "-1") == 0)) {
		store_number(field, key->size, UINT64_MAX);
		return true;
	}
	if (!read_in_range(key, value, &number))
		return config_wrong(reader, key, value);
	store_number(field, key->size, number * (type->factor ? type->factor : 1));
	return true;
}

/* Unlimited is 0 here, because the protocol's own 0 means none (MQTT 5, 3.1.2.10). */
static bool set_keep_alive(struct config_reader *reader, const struct config_key *key, char *value,
			   void *field)
{
	uint64_t number = 0;
	if (strcmp(value, "unlimited") != 0 && !read_in_range(key, value, &number))
		return config_wrong(reader, key, value);
	store_number(field, key->size, number);
	return true;
}

/* A number and a letter, as mosquitto writes it; m is a month of 30 days, so a minute is min. */
bool config_read_period(const char *value, uint64_t *seconds)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = {{"s", 1},	    {"min", 60},    {"h", 3600},    {"d", 86400},
		     {"w", 604800}, {"m", 2592000}, {"y", 31536000}};
	char digits[12];
	const size_t len = strspn(value, "0123456789");
	uint64_t number = 0;
	if (len < 1 || len >= sizeof(digits))
		return false;
	memcpy(digits, value, len);
	digits[len] = '\0';
	if (!config_read_number(digits, &number) || number == 0 || number > UINT32_MAX)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(units[i].unit, value + len) == 0) {
			*seconds = number * units[i].seconds;
			return true;
		}
	}
	return false;
}

static bool set_period(struct config_reader *reader, const struct config_key *key, char *value,
		       void *field)
{
	uint64_t seconds = 0;
	if (!config_read_period(value, &seconds) || seconds < key->min || seconds > key->max)
		return config_wrong(reader, key, value);
	store_number(field, key->size, seconds);
	return true;
}

/* May be longer than session_expiry_max: then that one wins, and it is said. */
static bool set_client_expiration(struct config_reader *reader, const struct config_key *key,
				  char *value, void *field)
{
	(void)field;
	uint64_t seconds = 0;
	if (!config_read_period(value, &seconds))
		return config_wrong(reader, key, value);
	reader->client_expiration_s = seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX - 1;
	return true;
}

#define BAN_COUNT_MAX 1000000u

/* COUNT PERIOD, or never. */
static bool set_ban(struct config_reader *reader, const struct config_key *key, char *value,
		    void *field)
{
	struct config_ban *ban = field;
	uint64_t count = 0;
	uint64_t seconds = 0;
	if (strcmp(value, "never") == 0) {
		ban->after = UINT32_MAX;
		return true;
	}
	char written[64];
	snprintf(written, sizeof(written), "%s", value);
	char *period = written + strcspn(written, " \t");
	if (*period)
		*period++ = '\0';
	period += strspn(period, " \t");
	if (!config_read_number(written, &count) || count < 1 || count > BAN_COUNT_MAX ||
	    !config_read_period(period, &seconds) || seconds > 86400)
		return config_wrong(reader, key, value);
	*ban = (struct config_ban){(uint32_t)count, seconds * 1000};
	return true;
}

static bool set_text(struct config_reader *reader, const struct config_key *key, char *value,
		     void *field)
{
	const size_t len = strlen(value);
	if (len < key->min || len > key->max)
		return config_wrong(reader, key, value);
	*(const char **)field = config_keep(reader->config, value);
	return true;
}

/* Written several times, it is a list, with spaces between. */
static bool set_word(struct config_reader *reader, const struct config_key *key, char *value,
		     void *field)
{
	const char *before = *(const char **)field;
	char list[4096];
	const size_t len = strlen(value);
	if (len < key->min || len > key->max || strpbrk(value, " \t"))
		return config_wrong(reader, key, value);
	if (snprintf(list, sizeof(list), "%s%s%s", before ? before : "", before ? " " : "",
		     value) >= (int)sizeof(list))
		return config_problem(reader, key->name,
				      "the list is too long; right would be fewer of them");
	*(const char **)field = config_keep(reader->config, list);
	return true;
}

/* Likewise; a path may hold spaces, so there are line ends between. */
static bool set_paths(struct config_reader *reader, const struct config_key *key, char *value,
		      void *field)
{
	const char *before = *(const char **)field;
	const size_t len = strlen(value);
	char *list = NULL;
	size_t count = before ? 1 : 0;
	if (len < key->min || len > key->max)
		return config_wrong(reader, key, value);
	for (const char *at = before; at && (at = strchr(at, '\n')); at++)
		count++;
	if (count == TLS_OWN_MAX)
		return config_problem(reader, key->name,
				      "is written more than %u times below one listener; right "
				      "would be fewer of them",
				      TLS_OWN_MAX);
	must(asprintf(&list, "%s%s%s", before ? before : "", before ? "\n" : "", value) >= 0);
	*(const char **)field = config_keep(reader->config, list);
	free(list);
	return true;
}

static bool set_slice(struct config_reader *reader, const struct config_key *key, char *value,
		      void *field)
{
	const char *text = NULL;
	if (!set_text(reader, key, value, &text))
		return false;
	*(struct slice *)field = slice_text(text);
	return true;
}

static const struct config_choice *find_choice(const struct config_key *key, const char *word)
{
	const struct config_choice *choice = config_type_of(key)->choices;
	while (choice->word && strcmp(choice->word, word) != 0)
		choice++;
	return choice->word ? choice : NULL;
}

/* NULL, and the problem noted, unless the word works. */
static const struct config_choice *choose(struct config_reader *reader,
					  const struct config_key *key, const char *word)
{
	const struct config_choice *choice = find_choice(key, word);
	if (!choice) {
		config_wrong(reader, key, word);
		return NULL;
	}
	if (choice->refusal) {
		char form[256];
		config_problem(reader, key->name, "'%s' is %s; right would be %s", word,
			       choice->refusal, config_form(key, form, sizeof(form)));
		return NULL;
	}
	return choice;
}

static bool set_choice(struct config_reader *reader, const struct config_key *key, char *value,
		       void *field)
{
	const struct config_choice *choice = choose(reader, key, value);
	if (choice && field)
		store_number(field, key->size, choice->value);
	return choice != NULL;
}

/* "3, 4, 5": the first time it is written, what was accepted before is forgotten. */
static bool set_versions(struct config_reader *reader, const struct config_key *key, char *value,
			 void *field)
{
	struct listener_settings *settings = field;
	bool accept[3] = {false, false, false};
	char *rest = NULL;
	for (char *word = strtok_r(value, ", \t", &rest); word;
	     word = strtok_r(NULL, ", \t", &rest)) {
		const struct config_choice *choice = choose(reader, key, word);
		if (!choice)
			return false;
		accept[choice->value] = true;
	}
	if (!accept[0] && !accept[1] && !accept[2])
		return config_wrong(reader, key, ",");
	settings->accept_3_1 = accept[0];
	settings->accept_3_1_1 = accept[1];
	settings->accept_5_0 = accept[2];
	return true;
}

static bool set_region(struct config_reader *reader, const struct config_key *key, char *value,
		       void *field)
{
	if (strlen(value) != 2 || strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 2)
		return config_wrong(reader, key, value);
	memcpy(field, value, 3);
	return true;
}

static int is_conf(const struct dirent *entry)
{
	const size_t len = strlen(entry->d_name);
	return len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* Not alphasort(), which follows the locale. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool set_include_dir(struct config_reader *reader, const struct config_key *key, char *value,
			    void *field)
{
	(void)field;
	if (reader->included)
		return config_problem(
		    reader, key->name,
		    "works in the main file only; right would be to write it there");
	struct dirent **entries = NULL;
	const int count = scandir(value, &entries, is_conf, by_bytes);
	if (count < 0)
		return config_problem(reader, key->name,
				      "'%.200s': %s; right would be a directory that can be read%s",
				      value, strerror(errno),
				      errno == EACCES
					  ? ", and for a HUP one that was named when the "
					    "broker started"
					  : "");
	reader->config->include_dir = config_keep(reader->config, value);
	const struct config_place here = reader->at;
	bool right = true;
	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "%s/%s", value, entries[i]->d_name);
		reader->included = true;
		right = config_read_file(reader, path) && right;
		reader->at = here;
		free(entries[i]);
	}
	reader->included = false;
	free(entries);
	return right;
}

/* The first line takes the default's place; each further one adds. */
static bool is_first(const struct config_reader *reader, const struct config_key *key)
{
	return !reader->set[key - config_keys].file;
}

enum log_place { LOG_PLACE_NONE, LOG_PLACE_STDERR, LOG_PLACE_STDOUT, LOG_PLACE_SYSLOG };

static void forget_places(struct config *config)
{
	config->log_stderr = config->log_stdout = config->log_syslog = false;
	config->log_file = NULL;
}

/* `none` takes back what the lines before it have said, as in mosquitto; of log_type, too. */
static bool set_log_dest(struct config_reader *reader, const struct config_key *key, char *value,
			 void *field)
{
	(void)field;
	struct config *config = reader->config;
	if (is_first(reader, key))
		forget_places(config);
	if (strncmp(value, "file ", 5) == 0) {
		const char *path = value + 5 + strspn(value + 5, " \t");
		if (config->log_file)
			return config_problem(reader, key->name,
					      "a second file; right would be one file");
		config->log_file = config_keep(config, path);
		return true;
	}
	const struct config_choice *choice = choose(reader, key, value);
	if (!choice)
		return false;
	if (choice->value == LOG_PLACE_NONE)
		forget_places(config);
	config->log_stderr |= choice->value == LOG_PLACE_STDERR;
	config->log_stdout |= choice->value == LOG_PLACE_STDOUT;
	config->log_syslog |= choice->value == LOG_PLACE_SYSLOG;
	return true;
}

/* What `none` says, which is more than nothing: log.h has no such bits. */
#define LOG_TYPES_TAKEN_BACK UINT64_MAX

static bool set_log_type(struct config_reader *reader, const struct config_key *key, char *value,
			 void *field)
{
	(void)field;
	char *rest = NULL;
	if (is_first(reader, key))
		reader->config->log_types = 0;
	for (char *word = strtok_r(value, " \t", &rest); word;
	     word = strtok_r(NULL, " \t", &rest)) {
		const struct config_choice *choice = choose(reader, key, word);
		if (!choice)
			return false;
		if (choice->value == LOG_TYPES_TAKEN_BACK)
			reader->config->log_types = 0;
		else
			reader->config->log_types |= (uint32_t)choice->value;
	}
	return true;
}

static const struct config_choice socket_domains[] = {
    {"any", AF_UNSPEC, NULL}, {"ipv4", AF_INET, NULL}, {"ipv6", AF_INET6, NULL}, {NULL, 0, NULL}};
static const struct config_choice queue_policies[] = {
    {"drop_new", QUEUE_DROP_NEW, NULL}, {"drop_old", QUEUE_DROP_OLD, NULL}, {NULL, 0, NULL}};
static const struct config_choice log_facilities[] = {
    {"daemon", LOG_DAEMON, NULL}, {"0", LOG_LOCAL0, NULL},
    {"1", LOG_LOCAL1, NULL},	  {"2", LOG_LOCAL2, NULL},
    {"3", LOG_LOCAL3, NULL},	  {"4", LOG_LOCAL4, NULL},
    {"5", LOG_LOCAL5, NULL},	  {"6", LOG_LOCAL6, NULL},
    {"7", LOG_LOCAL7, NULL},	  {NULL, 0, NULL}};
static const struct config_choice log_formats[] = {
    {"text", LOG_FORMAT_TEXT, NULL}, {"json", LOG_FORMAT_JSON, NULL}, {NULL, 0, NULL}};
static const struct config_choice ip_loggings[] = {{"none", IP_LOGGING_NONE, NULL},
						   {"truncate", IP_LOGGING_TRUNCATE, NULL},
						   {"full", IP_LOGGING_FULL, NULL},
						   {NULL, 0, NULL}};
static const struct config_choice protocols[] = {
    {"mqtt", false, NULL},
    {"websockets", true, NULL},
    {"http_api", 0, "refused, because metrics are served by admin_listener"},
    {NULL, 0, NULL}};
static const struct config_choice proxy_versions[] = {
    {"false", 0, NULL}, {"1", 1, NULL}, {"2", 2, NULL}, {NULL, 0, NULL}};
static const struct config_choice tls_versions[] = {
    {"tlsv1.2", 0, NULL},
    {"tlsv1.3", 0, "not offered by the library that this version is built with (mbedTLS 2.28)"},
    {"tlsv1.1", 0, "refused, because it is broken"},
    {"tlsv1", 0, "refused, because it is broken"},
    {NULL, 0, NULL}};
static const struct config_choice ack_whens[] = {
    {"accepted", false, NULL}, {"delivered", true, NULL}, {NULL, 0, NULL}};
static const struct config_choice durabilities[] = {
    {"power", DURABILITY_POWER, NULL}, {"process", DURABILITY_PROCESS, NULL}, {NULL, 0, NULL}};
static const struct config_choice memory_protections[] = {
    {"wanted", MEMORY_PROTECTION_WANTED, NULL},
    {"required", MEMORY_PROTECTION_REQUIRED, NULL},
    {NULL, 0, NULL}};
static const struct config_choice erase_levels[] = {
    {"none", ERASE_NONE, NULL}, {"clear", ERASE_CLEAR, NULL}, {NULL, 0, NULL}};
static const struct config_choice versions[] = {
    {"3", 0, NULL}, {"4", 1, NULL}, {"5", 2, NULL}, {NULL, 0, NULL}};
static const struct config_choice log_places[] = {
    {"stderr", LOG_PLACE_STDERR, NULL},
    {"stdout", LOG_PLACE_STDOUT, NULL},
    {"syslog", LOG_PLACE_SYSLOG, NULL},
    {"none", LOG_PLACE_NONE, NULL},
    {"file", 0, "not possible without a path"},
    {"topic", 0, "refused, because a log that clients can read tells them about others"},
    {"dlt", 0, "not offered"},
    {"android", 0, "not offered"},
    {NULL, 0, NULL}};
/* subscribe, unsubscribe and websockets of mosquitto show clients and topics: nothing here does. */
static const struct config_choice log_words[] = {{"error", LOG_TYPE(LOG_LEVEL_ERROR), NULL},
						 {"warning", LOG_TYPE(LOG_LEVEL_WARNING), NULL},
						 {"notice", LOG_TYPE(LOG_LEVEL_NOTICE), NULL},
						 {"information", LOG_TYPE(LOG_LEVEL_INFO), NULL},
						 {"debug", LOG_TYPE(LOG_LEVEL_DEBUG), NULL},
						 {"all", LOG_TYPES_ALL, NULL},
						 {"none", LOG_TYPES_TAKEN_BACK, NULL},
						 {"subscribe", 0, NULL},
						 {"unsubscribe", 0, NULL},
						 {"websockets", 0, NULL},
						 {"internal", 0, NULL},
						 {NULL, 0, NULL}};

static const struct config_type types[] = {
    [TYPE_BOOL] = {.set = set_bool, .form = "true or false"},
    [TYPE_COUNT] = {.set = set_number},
    [TYPE_COUNT_OR_UNLIMITED] = {.set = set_number, .unlimited = true},
    [TYPE_BYTES] = {.set = set_number, .unit = "bytes"},
    [TYPE_BYTES_OR_UNLIMITED] = {.set = set_number, .unit = "bytes", .unlimited = true},
    [TYPE_SECONDS] = {.set = set_number, .unit = "seconds"},
    [TYPE_SECONDS_AS_MS] = {.set = set_number, .unit = "seconds", .factor = 1000},
    [TYPE_KEEP_ALIVE] = {.set = set_keep_alive, .unit = "seconds", .unlimited = true},
    [TYPE_PERIOD] = {.set = set_period, .form = "a number with s, min, h, d or w, up to 30d"},
    [TYPE_PART_OF_DAY] = {.set = set_period, .form = "a number with s, min or h, 10s to 24h"},
    [TYPE_TEXT] = {.set = set_text, .form = "a text", .once = true},
    [TYPE_WORD] = {.set = set_word, .form = "a word; several in several lines"},
    [TYPE_PATHS] = {.set = set_paths, .form = "a path; several in several lines"},
    [TYPE_SLICE] = {.set = set_slice, .form = "a text", .once = true},
    [TYPE_SOCKET_DOMAIN] = {.set = set_choice, .choices = socket_domains},
    [TYPE_QUEUE_POLICY] = {.set = set_choice, .choices = queue_policies},
    [TYPE_LOG_FACILITY] = {.set = set_choice, .choices = log_facilities},
    [TYPE_LOG_FORMAT] = {.set = set_choice, .choices = log_formats},
    [TYPE_IP_LOGGING] = {.set = set_choice, .choices = ip_loggings},
    [TYPE_PROTOCOL] = {.set = set_choice, .choices = protocols},
    [TYPE_PROXY_VERSION] = {.set = set_choice, .choices = proxy_versions},
    [TYPE_TLS_VERSION] = {.set = set_choice, .choices = tls_versions},
    [TYPE_ACK_WHEN] = {.set = set_choice, .choices = ack_whens},
    [TYPE_DURABILITY] = {.set = set_choice, .choices = durabilities},
    [TYPE_MEMORY_PROTECTION] = {.set = set_choice, .choices = memory_protections},
    [TYPE_ERASE_LEVEL] = {.set = set_choice, .choices = erase_levels},
    [TYPE_VERSIONS] = {.set = set_versions,
		       .form = "some of 3, 4, 5, with commas between",
		       .choices = versions},
    [TYPE_LISTENER] = {.set = config_set_listener,
		       .form = "PORT [ADDRESS], the port from 1 to 65535, or 0 PATH"},
    [TYPE_PORT] = {.set = config_set_port, .form = "a port from 1 to 65535"},
    [TYPE_BIND_ADDRESS] = {.set = config_set_bind_address,
			   .form = "an address or a host name",
			   .once = true},
    [TYPE_ADMIN_LISTENER] = {.set = config_set_admin_listener,
			     .form = "PORT [ADDRESS], the port from 1 to 65535",
			     .once = true},
    [TYPE_LOG_LISTENER] = {.set = config_set_log_listener,
			   .form = "PORT [ADDRESS], the port from 1 to 65535",
			   .once = true},
    [TYPE_REGION] = {.set = set_region, .form = "two capital letters: EU, or a country's, as DE"},
    [TYPE_INCLUDE_DIR] = {.set = set_include_dir, .form = "a directory"},
    [TYPE_LOG_DEST] = {.set = set_log_dest,
		       .form = "stderr, stdout, syslog, none or file PATH",
		       .choices = log_places},
    [TYPE_LOG_TYPE] = {.set = set_log_type,
		       .form = "error, warning, notice, information, debug, all or none",
		       .choices = log_words},
    [TYPE_CLIENT_EXPIRATION] = {.set = set_client_expiration,
				.form = "a number with s, min, h, d, w, m or y"},
    [TYPE_BAN] = {.set = set_ban,
		  .form = "COUNT PERIOD, the period a number with s, min or h up to 24h; or never"},
    [TYPE_LIFETIME] = {.set = config_set_lifetime, .form = "a number with s, min, h, d or w"},
    [TYPE_TRANSFER] = {.set = config_set_transfer,
		       .form = "REGION BASIS; several in several lines"},
};

const struct config_type *config_type_of(const struct config_key *key)
{
	must(key->type > TYPE_NONE && key->type < sizeof(types) / sizeof(types[0]));
	return &types[key->type];
}

static void list_choices(const struct config_choice *choice, struct config_text *text)
{
	for (bool first = true; choice->word; choice++) {
		if (choice->refusal)
			continue;
		config_text_add(text, "%s%s", first ? "" : " | ", choice->word);
		first = false;
	}
}

const char *config_form(const struct config_key *key, char *text, size_t size)
{
	const struct config_type *type = config_type_of(key);
	struct config_text form = {NULL, 0, 0};
	if (type->form && (key->type == TYPE_TEXT || key->type == TYPE_SLICE))
		config_text_add(&form, "%s of at most %llu bytes", type->form,
				(unsigned long long)key->max);
	else if (type->form)
		config_text_add(&form, "%s", type->form);
	else if (type->choices)
		list_choices(type->choices, &form);
	else if (key->max >= UINT32_MAX - 1)
		config_text_add(&form, "a number, %llu or more", (unsigned long long)key->min);
	else
		config_text_add(&form, "a number from %llu to %llu", (unsigned long long)key->min,
				(unsigned long long)key->max);
	if (key->min > 1 && (key->type == TYPE_PERIOD || key->type == TYPE_LIFETIME))
		config_text_add(&form, ", %llus at least", (unsigned long long)key->min);
	if (!type->form && !type->choices && type->unit)
		config_text_add(&form, " (%s)", type->unit);
	if (type->unlimited)
		config_text_add(&form, ", or unlimited");
	snprintf(text, size, "%s", form.at);
	free(form.at);
	return text;
}
