/*
 * The configuration parser: every file is either taken, or refused with at least one line that
 * begins with its name; reading it twice gives the same.
 * `include_dir` may name a folder of this machine, so that key is left out.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "broker/config.h"
#include "tests/fuzz/fuzz.h"

#define FILE_MAX 20000

/* A file in memory, made once; its name is the same in every run of this process. */
static const char *write_file(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char name[64];

	if (fd < 0) {
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		must(fd >= 0);
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	}
	must(ftruncate(fd, 0) == 0);
	must(pwrite(fd, data, size, 0) == (ssize_t)size);
	return name;
}

static void check_problems(const char *name, const char *problems)
{
	claim(problems != NULL && *problems);
	while (*problems) {
		const char *end = strchr(problems, '\n');

		claim(end != NULL);
		claim(strncmp(problems, name, strlen(name)) == 0);
		claim(problems[strlen(name)] == ':');
		problems = end + 1;
	}
}

static char *description(const struct config *config)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	must(out != NULL);
	config_describe(config, out);
	must(fclose(out) == 0);
	return text;
}

static void check_limits(const struct config *config)
{
	claim(config->workers >= 1);
	claim(config->core.max_packet_size >= 20);
	claim(config->core.receive_maximum >= 1);
	claim(!config->persistence || config->persistence_location != NULL);
	claim(config->listener_count >= 1);
	for (size_t i = 0; i < config->listener_count; i++)
		claim(config->listeners[i].settings.max_qos <= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *problems[2], *said[2] = {NULL, NULL};
	struct config *config[2];
	const char *name;

	if (size > FILE_MAX || memmem(data, size, "include_dir", 11) != NULL)
		return 0;
	name = write_file(data, size);
	for (int i = 0; i < 2; i++) {
		config[i] = config_read(name, &(struct config_ports){0}, &problems[i]);
		if (config[i]) {
			claim(problems[i] == NULL);
			check_limits(config[i]);
			said[i] = description(config[i]);
		} else {
			check_problems(name, problems[i]);
		}
	}
	claim((config[0] == NULL) == (config[1] == NULL));
	claim(config[0] ? strcmp(said[0], said[1]) == 0 : strcmp(problems[0], problems[1]) == 0);
	for (int i = 0; i < 2; i++) {
		config_destroy(config[i]);
		free(problems[i]);
		free(said[i]);
	}
	return 0;
}
