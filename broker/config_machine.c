/*
 * config_machine.c - defaults that depend on the machine: processors, memory,
 * the state directory.
 */
#include "broker/config_internal.h"

#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#define WORKERS_MAX 256

uint32_t config_processor_count(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	int count = CPU_COUNT(&set);
	if (count < 1)
		return 1;
	return count > WORKERS_MAX ? WORKERS_MAX : (uint32_t)count;
}

/* A file that holds one number; `limit` is kept when it holds none ("max") or is not there. */
static uint64_t smaller_limit(const char *path, uint64_t limit)
{
	FILE *file = fopen(path, "re");
	unsigned long long value = 0;
	if (!file)
		return limit;
	if (fscanf(file, "%llu", &value) == 1 && value > 0 && value < limit)
		limit = value;
	fclose(file);
	return limit;
}

/* The limit of our control group (version 2) and of all above it. */
static uint64_t control_group_limit(uint64_t limit)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[4096] = "", path[5120];
	if (!file)
		return limit;
	while (fgets(line, sizeof(line), file) && strncmp(line, "0::", 3) != 0)
		line[0] = '\0';
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	char *group = line[0] ? line + 3 : line;
	for (;;) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
		limit = smaller_limit(path, limit);
		char *slash = strrchr(group, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	return smaller_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes", limit);
}

uint64_t config_memory_limit(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long page_size = sysconf(_SC_PAGESIZE);
	uint64_t memory = UINT64_C(1) << 30;
	if (pages > 0 && page_size > 0)
		memory = (uint64_t)pages * (uint64_t)page_size;
	return control_group_limit(memory) / 2;
}

static const char *home_directory(void)
{
	const char *home = getenv("HOME");
	if (home && home[0] == '/')
		return home;
	const struct passwd *user = getpwuid(geteuid());
	return user && user->pw_dir && user->pw_dir[0] == '/' ? user->pw_dir : NULL;
}

const char *config_state_directory(struct config *config)
{
	char path[4096];
	const char *given = getenv("STATE_DIRECTORY");
	if (given && given[0] == '/') {
		snprintf(path, sizeof(path), "%.*s", (int)strcspn(given, ":"), given);
		return config_keep(config, path);
	}
	given = getenv("XDG_STATE_HOME");
	if (given && given[0] == '/') {
		snprintf(path, sizeof(path), "%s/metrino", given);
		return config_keep(config, path);
	}
	/* Who started us: by a HUP we are another user, and the directory is the same. */
	if (getauxval(AT_EUID) == 0)
		return "/var/lib/metrino";
	const char *home = home_directory();
	if (!home)
		return NULL;
	snprintf(path, sizeof(path), "%s/.local/state/metrino", home);
	return config_keep(config, path);
}
