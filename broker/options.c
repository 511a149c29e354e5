/*
 * options.c - the command line: read, and the tasks that are not to serve.
 */
#include "proto/version.h"
#include "broker/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/core/crash.h"
#include "broker/door.h"
#include "broker/http.h"
#include "broker/log.h"
#include "broker/privileges.h"
#include "storage/directory.h"
#include "storage/keys/wrapping.h"

#define SEE_HELP "; see metrinod --help"

static const char help[] =
    "metrinod " METRINO_VERSION ", an MQTT broker\n"
    "\n"
    "usage: metrinod [-c FILE] [-p PORT ...] [-v | -q] [-d]\n"
    "\n"
    "  -c, --config-file FILE  read the configuration from FILE (metrino.conf(5))\n"
    "  -p, --port PORT         a port of the default listener, on loopback\n"
    "  -v, --verbose           log everything, to stderr\n"
    "  -q, --quiet             log errors only, whatever -v says\n"
    "  -d, --daemon            go to the background\n"
    "      --test-config       say all that is wrong with the configuration, and end\n"
    "      --example-config    print a configuration file with every key, and end\n"
    "      --config-manual     print the source of metrino.conf(5), and end\n"
    "  -h, --help              print this, and end\n"
    "      --version           print the version, and end\n"
    "\n"
    "Without -c: port 1883 on loopback, anonymous, data in the state directory.\n";

enum {
	LONG_TEST_CONFIG = 256,
	LONG_EXAMPLE,
	LONG_MANUAL,
	LONG_CRASH_STEPS,
	LONG_TLS_KEYLOG,
	LONG_VERSION
};

static const struct option long_options[] = {
    {"config-file", required_argument, NULL, 'c'},
    {"port", required_argument, NULL, 'p'},
    {"verbose", no_argument, NULL, 'v'},
    {"quiet", no_argument, NULL, 'q'},
    {"daemon", no_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},
    {"test-config", no_argument, NULL, LONG_TEST_CONFIG},
    {"example-config", no_argument, NULL, LONG_EXAMPLE},
    {"config-manual", no_argument, NULL, LONG_MANUAL},
    {"crash-steps", no_argument, NULL, LONG_CRASH_STEPS},
    {"tls-keylog", required_argument, NULL, LONG_TLS_KEYLOG},
    {"version", no_argument, NULL, LONG_VERSION},
    {NULL, 0, NULL, 0},
};

static bool add_port(struct config_ports *ports, const char *text, struct failure *failure)
{
	char *end = NULL;
	const unsigned long port = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || port < 1 || port > UINT16_MAX)
		return failure_set(failure, "-p '%.40s' is not a port; right would be 1 to 65535",
				   text);
	for (size_t i = 0; i < ports->count; i++)
		if (ports->at[i] == port)
			return failure_set(failure, "-p %lu is there twice; leave one out", port);
	if (ports->count == CONFIG_PORTS_MAX)
		return failure_set(failure,
				   "-p is there more than %u times; right would be `listener PORT` "
				   "lines in a file that is given with -c",
				   CONFIG_PORTS_MAX);
	ports->at[ports->count++] = (uint16_t)port;
	return true;
}

static bool set_option(struct options *options, int option, struct failure *failure)
{
	switch (option) {
	case 'c':
		options->config_file = optarg;
		return true;
	case 'p':
		return add_port(&options->ports, optarg, failure);
	case 'v':
		options->verbose = true;
		return true;
	case 'q':
		options->quiet = true;
		return true;
	case 'd':
		options->daemon = true;
		return true;
	case 'h':
		options->task = OPTIONS_HELP;
		return true;
	case LONG_TEST_CONFIG:
		options->task = OPTIONS_TEST_CONFIG;
		return true;
	case LONG_EXAMPLE:
		options->task = OPTIONS_EXAMPLE_CONFIG;
		return true;
	case LONG_MANUAL:
		options->task = OPTIONS_CONFIG_MANUAL;
		return true;
	case LONG_CRASH_STEPS:
		options->task = OPTIONS_CRASH_STEPS;
		return true;
	case LONG_TLS_KEYLOG:
		return failure_set(failure, "--tls-keylog is not offered: who reads that file "
					    "reads every message and password; leave it out, and "
					    "look at a listener without TLS on loopback");
	default:
		must(option == LONG_VERSION);
		options->task = OPTIONS_VERSION;
		return true;
	}
}

bool options_parse(struct options *options, int argc, char **argv, struct failure *failure)
{
	*options = (struct options){.task = OPTIONS_RUN};
	optind = 0; /* glibc: begin anew, for a second call */
	opterr = 0; /* we say it ourselves */
	for (;;) {
		const int at = optind ? optind : 1;
		const int option = getopt_long(argc, argv, "+:c:p:vqdh", long_options, NULL);
		if (option == -1)
			break;
		if (option == ':')
			return failure_set(failure, "%.40s needs a value" SEE_HELP, argv[at]);
		if (option == '?')
			return failure_set(failure, "%.40s is not an option of metrinod" SEE_HELP,
					   argv[at]);
		if (!set_option(options, option, failure))
			return false;
	}
	if (optind < argc)
		return failure_set(failure,
				   "'%.40s' is not understood; a configuration file is given as "
				   "-c FILE" SEE_HELP,
				   argv[optind]);
	return true;
}

static struct config *make_config(const struct options *options, char **problems)
{
	*problems = NULL;
	if (options->config_file)
		return config_read(options->config_file, &options->ports, problems);
	struct failure failure;
	struct config *config = config_create_default(&options->ports, &failure);
	if (!config && asprintf(problems, "%s\n", failure.text) < 0)
		*problems = NULL;
	return config;
}

struct config *options_read_config(const struct options *options, char **problems)
{
	struct config *config = make_config(options, problems);
	if (!config)
		return NULL;
	if (options->verbose) {
		config->log_types = LOG_TYPES_ALL;
		config->log_stderr = true;
	}
	if (options->quiet)
		config->log_types &= LOG_TYPE(LOG_LEVEL_ERROR);
	return config;
}

/* ---- what the configuration names, and the broker would not start without: each looked at by
 * itself, so that all that is wrong is said at once */

static bool test_user(const struct config *config, struct failure *failure)
{
	const char *user;
	return privileges_choose_user(config->user, &user, failure);
}

static bool test_key_file(const struct config *config, struct failure *failure)
{
	uint8_t key[SEAL_KEY_LEN];
	const bool right = !config->persistence || !config->key_file ||
			   wrapping_read(config->key_file, key, failure) ||
			   failure_context(failure, "key_file");
	explicit_bzero(key, sizeof(key));
	return right;
}

/* mosquitto's own, most likely. */
static bool test_data_directory(const struct config *config, struct failure *failure)
{
	return !config->persistence ||
	       directory_may_be_ours(config->persistence_location, failure) ||
	       failure_context(failure, "data directory");
}

static bool test_token_file(const struct config *config, struct failure *failure)
{
	return !config->admin_address || !config->admin_token_file ||
	       http_check_token_file(config->admin_token_file, failure);
}

static bool test_transport(const struct config_listener *listener, struct failure *failure)
{
	struct transport *transport = NULL;
	const bool right = transport_create(&listener->transport, &transport, failure);
	transport_release(transport);
	if (right)
		return true;
	if (listener->path)
		return failure_context(failure, "listener 0 %s", listener->path);
	return failure_context(failure, "listener %u", (unsigned)listener->port);
}

static bool said(const struct failure *failure)
{
	fprintf(stderr, "%s\n", failure->text);
	return false;
}

/* These are read by the user who serves, whoever started the broker. */
static bool test_door(const struct config *config)
{
	struct problems problems;
	if (door_check_files(config, &problems))
		return true;
	fputs(problems.text, stderr);
	problems_free(&problems);
	return false;
}

static bool test_door_as_user(const struct config *config)
{
	struct failure failure;
	const char *user;
	int status = 0;
	if (!privileges_choose_user(config->user, &user, &failure) || !user)
		return test_door(config);
	fflush(stdout);
	const pid_t child = fork();
	if (child == 0)
		_exit((privileges_become(user, &failure) || said(&failure)) && test_door(config)
			  ? EXIT_SUCCESS
			  : EXIT_FAILURE);
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == EXIT_SUCCESS;
}

static bool test_files(const struct config *config)
{
	static bool (*const tests[])(const struct config *config, struct failure *failure) = {
	    test_user,
	    test_data_directory,
	    test_key_file,
	    test_token_file,
	};
	struct failure failure;
	bool right = true;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (!tests[i](config, &failure))
			right = said(&failure);
	for (size_t i = 0; i < config->listener_count; i++)
		if (!test_transport(&config->listeners[i], &failure))
			right = said(&failure);
	return test_door_as_user(config) && right;
}

static int test_config(const struct options *options)
{
	char *problems = NULL;
	struct config *config = options_read_config(options, &problems);
	if (!config) {
		fputs(problems ? problems : "out of memory\n", stderr);
		free(problems);
		return OPTIONS_EXIT_WRONG;
	}
	config_describe(config, stdout);
	const bool right = test_files(config);
	if (right)
		puts("configuration is right");
	config_destroy(config);
	if (!right)
		return OPTIONS_EXIT_WRONG;
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* tests/chaos asks; whoever uses the broker never does, so --help is silent about it. */
static int print_crash_steps(void)
{
	if (!CRASH_BUILD) {
		fputs("metrinod: --crash-steps is for the build that 'make all-chaos' makes\n",
		      stderr);
		return EXIT_FAILURE;
	}
	crash_print_steps();
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int options_do_task(const struct options *options)
{
	switch (options->task) {
	case OPTIONS_TEST_CONFIG:
		return test_config(options);
	case OPTIONS_EXAMPLE_CONFIG:
		config_write_example(STDOUT_FILENO);
		return EXIT_SUCCESS;
	case OPTIONS_CONFIG_MANUAL:
		config_write_manual(STDOUT_FILENO);
		return EXIT_SUCCESS;
	case OPTIONS_CRASH_STEPS:
		return print_crash_steps();
	case OPTIONS_HELP:
		fputs(help, stdout);
		break;
	case OPTIONS_VERSION:
		puts("metrinod " METRINO_VERSION);
		break;
	case OPTIONS_RUN:
		must(options->task != OPTIONS_RUN);
	}
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
