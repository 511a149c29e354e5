/*
 * test_config_files.c - the semantics of whole configuration files, the
 * documents made from the table, and files that are not text.
 */
#include <sys/stat.h>

#include "broker/log.h"
#include "tests/unit/config_files.h"

/* The text of a file, to be freed. */
static char *text_of(const char *path)
{
	FILE *file = fopen(path, "r");
	ck_assert_msg(file != NULL, "%s: not there", path);
	char *text = calloc(1, 1 << 18);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_lt(fread(text, 1, (1 << 18) - 1, file), (1 << 18) - 1);
	fclose(file);
	return text;
}

static char *text_written_by(void (*writes)(int fd))
{
	char path[128];
	snprintf(path, sizeof(path), "%s/written", directory);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	writes(fileno(file));
	fclose(file);
	return text_of(path);
}

/* Uncomments "#key value" where the value is not <in words>. */
static char *uncommented(const char *example)
{
	char *text = calloc(1, strlen(example) + 1);
	ck_assert_ptr_nonnull(text);
	for (const char *line = example; *line;) {
		const size_t len = strcspn(line, "\n");
		if (line[0] == '#' && line[1] >= 'a' && line[1] <= 'z' && !memchr(line, '<', len))
			strncat(text, line + 1, len);
		line += len + (line[len] == '\n');
	}
	return text;
}

START_TEST(test_example_is_the_defaults)
{
	char *example = text_written_by(config_write_example);
	char *text = uncommented(example);
	ck_assert_ptr_nonnull(strstr(text, "max_queued_messages 10000\n"));
	struct config *written = read_right(text);
	struct config *silent = read_right("");
	ck_assert_uint_eq(written->listener_count, silent->listener_count);
	for (size_t i = 0; i < config_line_count; i++) {
		const struct config_key *key = &config_keys[i];
		if (key->section || key->size == 0 || key->type == TYPE_TEXT ||
		    key->type == TYPE_SLICE || key->type == TYPE_VERSIONS)
			continue;
		const bool global = key->scope == SCOPE_GLOBAL;
		const uint8_t *a = global ? (uint8_t *)written : (uint8_t *)&written->listeners[0];
		const uint8_t *b = global ? (uint8_t *)silent : (uint8_t *)&silent->listeners[0];
		ck_assert_msg(memcmp(a + key->offset, b + key->offset, key->size) == 0, "%s",
			      key->name);
	}
	config_destroy(written);
	config_destroy(silent);
	free(text);
	free(example);
}
END_TEST

START_TEST(test_documents_are_made_from_the_table)
{
	char *example = text_written_by(config_write_example);
	char *kept = text_of("metrino.conf.example");
	ck_assert_msg(
	    strcmp(example, kept) == 0,
	    "metrino.conf.example is old: metrinod --example-config > metrino.conf.example");
	free(example);
	free(kept);
	example = text_written_by(config_write_manual);
	kept = text_of("docs/man/metrino.conf.5");
	ck_assert_msg(strcmp(example, kept) == 0,
		      "the manual is old: metrinod --config-manual > docs/man/metrino.conf.5");
	free(example);
	free(kept);
}
END_TEST

START_TEST(test_embedded_default)
{
	struct failure failure;
	struct config *config = config_create_default(&(struct config_ports){0}, &failure);
	ck_assert_ptr_nonnull(config);
	ck_assert(config->embedded_default && config->listener_count == 2);
	ck_assert_str_eq(config->listeners[0].address, "127.0.0.1");
	ck_assert_str_eq(config->listeners[1].address, "::1");
	ck_assert_uint_eq(config->listeners[1].port, 1883);
	ck_assert_uint_eq(config->listeners[1].settings.number, 1);
	ck_assert(config->listeners[0].settings.allow_anonymous);
	ck_assert(has_notice(config, "no configuration file"));
	ck_assert_uint_gt(config->core.route_epoch_s, 0); /* what is worked out from others */
	ck_assert(config->closed_core.lets_nobody_in);
	config_destroy(config);
	config = config_create_default(&(struct config_ports){2, {1999, 2000}}, &failure);
	ck_assert_uint_eq(config->listener_count, 4);
	ck_assert_uint_eq(config->listeners[0].port, 1999);
	ck_assert_uint_eq(config->listeners[3].port, 2000);
	ck_assert_str_eq(config->listeners[3].address, "::1");
	ck_assert(has_notice(config, "ports 1999, 2000 on loopback only"));
	config_destroy(config);
}
END_TEST

START_TEST(test_state_directory)
{
	ck_assert_int_eq(unsetenv("STATE_DIRECTORY"), 0);
	ck_assert_int_eq(setenv("XDG_STATE_HOME", "/xdg", 1), 0);
	struct config *config = read_right("");
	ck_assert_str_eq(config->persistence_location, "/xdg/metrino");
	config_destroy(config);
	ck_assert_int_eq(unsetenv("XDG_STATE_HOME"), 0);
	ck_assert_int_eq(setenv("HOME", "/home/somebody", 1), 0);
	config = read_right("");
	ck_assert_str_eq(config->persistence_location, geteuid() == 0
							   ? "/var/lib/metrino"
							   : "/home/somebody/.local/state/metrino");
	config_destroy(config);
}
END_TEST

/* An empty file opens loopback only, admits whoever is there, and says both. */
START_TEST(test_file_without_listener)
{
	struct config *config = read_right("");
	ck_assert_uint_eq(config->listener_count, 2);
	ck_assert(config_is_loopback(config->listeners[0].address));
	ck_assert(config_is_loopback(config->listeners[1].address));
	ck_assert(config->listeners[0].settings.allow_anonymous);
	ck_assert(config->listeners[1].settings.allow_anonymous);
	ck_assert(has_notice(config, "`listener 1883` and `allow_anonymous true`"));
	ck_assert(has_notice(config, "whoever is on this machine may, without a name"));
	config_destroy(config);
	config = read_right("port 1883\n");
	ck_assert(!has_notice(config, "whoever is on this machine"));
	ck_assert(has_notice(config, "only clients with an account"));
	config_destroy(config);
	config = read_right("port 1884\nsocket_domain ipv4\nallow_anonymous true\n");
	ck_assert_uint_eq(config->listener_count, 1);
	ck_assert_str_eq(config->listeners[0].address, "127.0.0.1");
	ck_assert_uint_eq(config->listeners[0].port, 1884);
	ck_assert(!has_notice(config, "refused"));
	config_destroy(config);
}
END_TEST

/* Who gets in without a name, where the file does not say. */
START_TEST(test_anonymous_by_default)
{
	static const struct {
		const char *text;
		bool anonymous;
	} rows[] = {
	    {"max_connections 10\n", true},
	    {"acl_file /nowhere\nsocket_domain ipv4\n", true},
	    {"certfile /c\nkeyfile /k\n", true},
	    {"listener_allow_anonymous false\n", false},
	    {"allow_anonymous false\n", false},
	    {"port 1883\n", false},
	    {"port 1883\nallow_anonymous true\n", true},
	    {"listener 1883 127.0.0.1\n", false},
	    {"listener 1883\nallow_anonymous true\n", true},
	    {"bind_address 127.0.0.1\n", false},
	    {"bind_interface lo\n", false},
	    {"password_file /nowhere\n", false},
	    {"password_file /nowhere\nallow_anonymous true\n", true},
	    {"psk_file /nowhere\npsk_hint h\n", false},
	    {"certfile /c\nkeyfile /k\ncafile /a\nrequire_certificate true\n", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config *config = read_right(rows[i].text);
		for (size_t j = 0; j < config->listener_count; j++)
			ck_assert_msg(config->listeners[j].settings.allow_anonymous ==
					  rows[i].anonymous,
				      "%s", rows[i].text);
		config_destroy(config);
	}
}
END_TEST

START_TEST(test_listeners)
{
	struct config *config = read_right("listener 1883\n"
					   "max_qos 1\n"
					   "listener 1884 ::1\n"
					   "listener_allow_anonymous true\n"
					   "max_keepalive 99\n"
					   "auto_id_prefix all-\n"
					   "listener 1885\n"
					   "listener_auto_id_prefix own-\n");
	ck_assert_uint_eq(config->listener_count, 3);
	const struct config_listener *at = config->listeners;
	ck_assert(at[0].port == 1883 && !at[0].address && at[0].settings.max_qos == 1);
	ck_assert(at[1].port == 1884 && at[1].settings.max_qos == 2);
	ck_assert_str_eq(at[1].address, "::1");
	ck_assert(!at[0].settings.allow_anonymous && at[1].settings.allow_anonymous);
	ck_assert(at[0].settings.max_keep_alive_s == 99 && at[2].settings.max_keep_alive_s == 99);
	ck_assert(slice_equal(at[1].settings.auto_id_prefix, SLICE_LITERAL("all-")));
	ck_assert(slice_equal(at[2].settings.auto_id_prefix, SLICE_LITERAL("own-")));
	ck_assert_uint_eq(at[2].settings.number, 2);
	ck_assert(has_notice(config, "allow_anonymous is false on some listeners"));
	config_destroy(config);
	read_wrong("max_connections 5\nlistener 1883\n",
		   "main.conf:1: max_connections: stands above");
	read_wrong("listener 1883\nlistener 1883\n", "opened twice, on every address and on");
	read_wrong("listener 0\n", "port 0 means a Unix socket");
	read_wrong("listener 0 127.0.0.1\n", "port 0 means a Unix socket");
	read_wrong("listener 0 ::1\n", "right would be its path, or a port");
	read_wrong("listener 0 localhost\n", "right would be its path, or a port");
	config = read_right("listener 0 a.sock\nlistener 0 run/b.sock\n");
	ck_assert_str_eq(config->listeners[0].path, "a.sock");
	ck_assert_str_eq(config->listeners[1].path, "run/b.sock");
	config_destroy(config);
	config = read_right("listener 1883\nallow_anonymous true\n");
	ck_assert(has_notice(config, "anyone who reaches port 1883 on every address"));
	config_destroy(config);
}
END_TEST

/* Its ports are opened where the file opens none: as in mosquitto 2.1. */
START_TEST(test_ports_of_the_command_line)
{
	static const struct {
		const char *text;
		unsigned listeners, port, last;
		const char *says;
	} rows[] = {
	    {"socket_domain ipv4\n", 2, 1999, 2000,
	     "so ports 1999, 2000 are open on loopback only"},
	    {"allow_anonymous true\n", 4, 1999, 2000, "`listener 1999`"},
	    {"bind_interface lo\n", 2, 1999, 2000, "port 1999 on every address is not encrypted"},
	    {"port 1884\n", 2, 1884, 1884,
	     "-p 1999 changes nothing, because the file has a port line"},
	    {"bind_address ::1\n", 1, 1883, 1883, "because the file has a bind_address line"},
	    {"listener 1884\n", 1, 1884, 1884, "because the file has listener lines"},
	};
	const struct config_ports ports = {2, {1999, 2000}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *problems = NULL;
		write_bytes(main_file, rows[i].text, strlen(rows[i].text));
		struct config *config = config_read(main_file, &ports, &problems);
		ck_assert_msg(config != NULL, "%s", problems);
		ck_assert_uint_eq(config->listener_count, rows[i].listeners);
		ck_assert_uint_eq(config->listeners[0].port, rows[i].port);
		ck_assert_uint_eq(config->listeners[config->listener_count - 1].port, rows[i].last);
		ck_assert_msg(has_notice(config, rows[i].says), "%s", rows[i].says);
		config_destroy(config);
	}
}
END_TEST

START_TEST(test_all_problems_at_once)
{
	char *problems = NULL;
	ck_assert_ptr_null(read_text("max_qos 9\nallow_anonymus true\nworkers 0\n", &problems));
	ck_assert_ptr_nonnull(strstr(problems, ":1: max_qos: "));
	ck_assert_ptr_nonnull(strstr(problems, ":2: allow_anonymus: "));
	ck_assert_ptr_nonnull(strstr(problems, "'allow_anonymous'"));
	ck_assert_ptr_nonnull(strstr(problems, ":3: workers: "));
	free(problems);
}
END_TEST

/* Of the default listener, which is two addresses, and of each port of -p two more. */
START_TEST(test_problems_are_said_once)
{
	static const char text[] = "psk_hint h\ncrlfile /r\n";
	const struct config_ports ports = {2, {1999, 2000}};
	char *problems = NULL;
	write_bytes(main_file, text, strlen(text));
	ck_assert_ptr_null(config_read(main_file, &ports, &problems));
	const char *first = strstr(problems, ":1: psk_hint: ");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_null(strstr(first + 1, ":1: psk_hint: "));
	free(problems);
}
END_TEST

START_TEST(test_nearest_key)
{
	ck_assert_str_eq(config_nearest_key("listner"), "listener");
	ck_assert_str_eq(config_nearest_key("Max_QoS"), "max_qos");
	ck_assert_ptr_null(config_nearest_key("entirely_something_else"));
	ck_assert_ptr_null(config_nearest_key(""));
}
END_TEST

START_TEST(test_written_twice)
{
	struct config *config = read_right("workers 2\nworkers 3\n");
	ck_assert_uint_eq(config->workers, 3);
	config_destroy(config);
	read_wrong("user a\nworkers 3\nuser b\n", "main.conf:3: user: was already written at");
	config = read_right("log_dest stdout\nlog_dest syslog\nlog_type error\nlog_type debug\n");
	ck_assert(config->log_stdout && config->log_syslog && !config->log_stderr);
	ck_assert_uint_eq(config->log_types, LOG_TYPE(LOG_LEVEL_ERROR) | LOG_TYPE(LOG_LEVEL_DEBUG));
	config_destroy(config);
}
END_TEST

static const struct {
	const char *lines;
	uint32_t types;
	bool to_stderr, to_stdout, to_syslog;
	const char *file; /* NULL: none */
} silences[] = {
    {"log_type all\nlog_type none\n", 0, true, false, false, NULL},
    {"log_type none\n", 0, true, false, false, NULL},
    {"log_type all none\n", 0, true, false, false, NULL},
    {"log_type all\nlog_type none\nlog_type error\n", LOG_TYPE(LOG_LEVEL_ERROR), true, false, false,
     NULL},
    {"log_type none\nlog_type debug\n", LOG_TYPE(LOG_LEVEL_DEBUG), true, false, false, NULL},
    {"log_type debug\nlog_type subscribe\n", LOG_TYPE(LOG_LEVEL_DEBUG), true, false, false, NULL},
    {"log_dest none\n", LOG_TYPES_NORMAL, false, false, false, NULL},
    {"log_dest stdout\nlog_dest syslog\nlog_dest stderr\nlog_dest file /x\nlog_dest none\n",
     LOG_TYPES_NORMAL, false, false, false, NULL},
    {"log_dest none\nlog_dest stdout\n", LOG_TYPES_NORMAL, false, true, false, NULL},
    {"log_dest file /x\nlog_dest none\nlog_dest syslog\nlog_dest file /y\n", LOG_TYPES_NORMAL,
     false, false, true, "/y"},
};

/* `none` takes back what is above it, and nothing below. */
START_TEST(test_log_none)
{
	struct config *config = read_right(silences[_i].lines);
	ck_assert_uint_eq(config->log_types, silences[_i].types);
	ck_assert(config->log_stderr == silences[_i].to_stderr);
	ck_assert(config->log_stdout == silences[_i].to_stdout);
	ck_assert(config->log_syslog == silences[_i].to_syslog);
	ck_assert_pstr_eq(config->log_file, silences[_i].file);
	config_destroy(config);
}
END_TEST

/* Of two listeners one would be more open than whoever wrote it believed. */
START_TEST(test_of_all_listeners_below_one)
{
	read_wrong(
	    "listener 8883\nallow_anonymous false\nlistener 1883 127.0.0.1\nallow_anonymous true\n",
	    "main.conf:4: allow_anonymous: holds for all listeners, and was false at");
	read_wrong("allow_anonymous true\nlistener 8883\nallow_anonymous false\n",
		   "or listener_allow_anonymous below the listener");
	config_destroy(read_right("allow_anonymous false\nallow_anonymous true\nlistener 1883\n"));
	config_destroy(read_right("listener 1883\nallow_anonymous true\nlistener 1884\n"
				  "allow_anonymous true\nlistener_allow_anonymous false\n"));
}
END_TEST

/* The broker could not start, and would ask for another one that has the port. */
START_TEST(test_ports_of_http)
{
	read_wrong("admin_listener 1884\nlistener 1884 127.0.0.1\n",
		   "main.conf:1: admin_listener: port 1884 on 127.0.0.1 is another listener's");
	read_wrong("listener 1884\nadmin_listener 1884\n",
		   "main.conf:2: admin_listener: port 1884");
	read_wrong("admin_listener 1884\nlog_listener 1884\n",
		   "main.conf:2: log_listener: port 1884");
	config_destroy(
	    read_right("admin_listener 1884\nlog_listener 1885\nlistener 1884 127.0.0.2\n"
		       "listener 1885\nsocket_domain ipv6\nlistener 0 /s\n"));
}
END_TEST

/* The start would find the port in use: by itself. */
START_TEST(test_places_that_meet)
{
	static const char *const wrong[] = {
	    "listener 1884 localhost\nlistener 1884 127.0.0.1\n",
	    "listener 1884 127.1\nlistener 1884 127.0.0.1\n",
	    "listener 1884 ::1\nlistener 1884 0:0::1\n",
	    "listener 1884\nlistener 1884 127.0.0.1\n",
	    "listener 1884 ::1\nlistener 1884\nsocket_domain ipv6\n",
	    "listener 1884 0.0.0.0\nlistener 1884 127.0.0.2\n",
	    "listener 1884 broker.example\nlistener 1884 broker.example\nsocket_domain ipv4\n",
	    "listener 1884\nbind_interface lo\nlistener 1884\n",
	    "listener 0 /s\nlistener 0 /s\n",
	    "listener 1885\nport 1884\nlistener 1884 localhost\n",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		read_wrong(wrong[i], "is opened twice, on");
	config_destroy(read_right(
	    "listener 1884 127.0.0.1\nlistener 1884 ::1\nlistener 1884 127.0.0.2\n"
	    "listener 1885 0.0.0.0\nlistener 1885 ::\nlistener 1886\nsocket_domain ipv4\n"
	    "listener 1886 ::1\nlistener 1887 localhost\nsocket_domain ipv6\n"
	    "listener 1887 127.0.0.1\nlistener 0 /a\nlistener 0 /b\nlistener 1888\n"
	    "bind_interface lo\nlistener 1888\nbind_interface eth0\nlistener 1889 localhost\n"
	    "listener 1889 ::1\n"));
}
END_TEST

/* Each is compared with each, and has keys of its own. */
START_TEST(test_too_many_listeners)
{
	struct config_text text = {NULL, 0, 0};
	char *problems = NULL;
	for (unsigned i = 1; i <= CONFIG_LISTENERS_MAX; i++)
		config_text_add(&text, "listener %u\n", i);
	config_destroy(read_right(text.at));
	for (unsigned i = 1; i < 9000; i++)
		config_text_add(&text, "listener %u\nbind_interface lo\n", 10000 + i);
	ck_assert_ptr_null(read_text(text.at, &problems));
	ck_assert_str_eq(problems + strlen(main_file),
			 ":1001: listener: is one of more than 1000; right would be fewer "
			 "listeners\n");
	free(problems);
	free(text.at);
}
END_TEST

/* Each line makes a longer list: without a bound a file of 1 MiB would be gigabytes of them. */
START_TEST(test_too_many_paths)
{
	char text[512] = "listener 8883\n";
	for (size_t i = 0; i < 16; i++)
		strcat(text, "certfile /c\nkeyfile /k\n");
	config_destroy(read_right(text));
	strcat(text, "certfile /c\n");
	read_wrong(text, "main.conf:34: certfile: is written more than 16 times");
}
END_TEST

START_TEST(test_other_meaning_is_said)
{
	struct config *config = read_right("persistent_client_expiration 2m\nport 1883\n");
	ck_assert(has_notice(config, "longer than session_expiry_max"));
	ck_assert(has_notice(config, "port opens loopback only"));
	config_destroy(config);
}
END_TEST

static void write_part(const char *name, const char *text)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/parts/%s", directory, name);
	write_bytes(path, text, strlen(text));
}

START_TEST(test_include_dir)
{
	char path[128], text[256], pipe[192];
	snprintf(path, sizeof(path), "%s/parts", directory);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	write_part("b.conf", "workers 3\n");
	write_part("B.conf", "workers 2\n");
	write_part("c.txt", "nonsense\n");
	snprintf(text, sizeof(text), "include_dir %s\nmax_qos 1\n", path);
	struct config *config = read_right(text);
	ck_assert_uint_eq(config->workers, 3); /* b comes after B, byte for byte */
	ck_assert_uint_eq(config->listeners[0].settings.max_qos, 1);
	config_destroy(config);
	write_part("a.conf", "\nworkers x\n");
	read_wrong(text, "parts/a.conf:2: workers: ");
	write_part("a.conf", text);
	read_wrong(text, "works in the main file only");
	snprintf(pipe, sizeof(pipe), "%s/pipe.conf", path);
	ck_assert_int_eq(mkfifo(pipe, 0600), 0);
	read_wrong(text, "parts/pipe.conf: is no file");
	snprintf(text, sizeof(text), "include_dir %s\n", directory);
	read_wrong(text, "the main file includes itself");
}
END_TEST

static void read_wrong_bytes(const char *bytes, size_t len, const char *says)
{
	char *problems = NULL;
	write_bytes(main_file, bytes, len);
	ck_assert_ptr_null(config_read(main_file, &(struct config_ports){0}, &problems));
	ck_assert_msg(strstr(problems, says) != NULL, "'%s' is not in: %s", says, problems);
	free(problems);
}

START_TEST(test_files_that_are_not_text)
{
	static char bytes[1200000];
	char *problems = NULL;
	read_wrong_bytes("workers 2\0\n", 11, "main.conf:1: a NUL byte");
	read_wrong_bytes("\nuser \xC3\x28\n", 9, "main.conf:2: not UTF-8");
	read_wrong_bytes("user a\x1B[2J\n", 11, "a control character");
	memset(bytes, 'a', sizeof(bytes));
	read_wrong_bytes(bytes, 9000, "main.conf:1: the line is longer than 8191 bytes");
	read_wrong_bytes(bytes, sizeof(bytes), "larger than 1 MiB");
	memset(bytes, '\n', sizeof(bytes));
	read_wrong_bytes(bytes, sizeof(bytes), "larger than 1 MiB");
	ck_assert_ptr_null(config_read(directory, &(struct config_ports){0}, &problems));
	ck_assert_ptr_nonnull(strstr(problems, "Is a directory"));
	free(problems);
	ck_assert_ptr_null(config_read("/nowhere/at.conf", &(struct config_ports){0}, &problems));
	ck_assert_ptr_nonnull(strstr(problems, "/nowhere/at.conf: cannot be opened: No such file"));
	free(problems);
}
END_TEST

START_TEST(test_line_ends_and_marks)
{
	struct config *config =
	    read_right("\xEF\xBB\xBFworkers 2\r\n# \xC3\x28\r\n\t max_qos \t 1 \r\n"
		       "pid_file /a  b");
	ck_assert_uint_eq(config->workers, 2);
	ck_assert_uint_eq(config->listeners[0].settings.max_qos, 1);
	ck_assert_str_eq(config->pid_file, "/a  b");
	config_destroy(config);
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Whatever the bytes are: a configuration, or a text that says what is wrong. */
START_TEST(test_random_bytes)
{
	char *example = text_written_by(config_write_example);
	char *text = uncommented(example);
	const size_t len = strlen(text);
	uint32_t state = 20260101;
	char *bytes = malloc(len);
	ck_assert_ptr_nonnull(bytes);
	for (int round = 0; round < 400; round++) {
		memcpy(bytes, text, len);
		for (uint32_t i = next_random(&state) % 60; i > 0; i--)
			bytes[next_random(&state) % len] = (char)next_random(&state);
		const size_t from = next_random(&state) % len;
		write_bytes(main_file, bytes + from, len - from);
		char *problems = NULL;
		struct config *config =
		    config_read(main_file, &(struct config_ports){0}, &problems);
		ck_assert((config == NULL) == (problems != NULL));
		config_destroy(config);
		free(problems);
	}
	free(bytes);
	free(text);
	free(example);
}
END_TEST

Suite *config_files_suite(void)
{
	Suite *suite = suite_create("config_files");
	TCase *files = tcase_create("files");
	tcase_add_checked_fixture(files, make_directory, remove_directory);
	tcase_set_timeout(files, 30);
	tcase_add_test(files, test_example_is_the_defaults);
	tcase_add_test(files, test_documents_are_made_from_the_table);
	tcase_add_test(files, test_embedded_default);
	tcase_add_test(files, test_state_directory);
	tcase_add_test(files, test_file_without_listener);
	tcase_add_test(files, test_anonymous_by_default);
	tcase_add_test(files, test_listeners);
	tcase_add_test(files, test_ports_of_the_command_line);
	tcase_add_test(files, test_all_problems_at_once);
	tcase_add_test(files, test_problems_are_said_once);
	tcase_add_test(files, test_nearest_key);
	tcase_add_test(files, test_written_twice);
	tcase_add_loop_test(files, test_log_none, 0, sizeof(silences) / sizeof(silences[0]));
	tcase_add_test(files, test_of_all_listeners_below_one);
	tcase_add_test(files, test_too_many_paths);
	tcase_add_test(files, test_places_that_meet);
	tcase_add_test(files, test_too_many_listeners);
	tcase_add_test(files, test_ports_of_http);
	tcase_add_test(files, test_other_meaning_is_said);
	tcase_add_test(files, test_include_dir);
	tcase_add_test(files, test_files_that_are_not_text);
	tcase_add_test(files, test_line_ends_and_marks);
	tcase_add_test(files, test_random_bytes);
	suite_add_tcase(suite, files);
	return suite;
}
