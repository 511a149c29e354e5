#include "cli/process_usage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The number at the start of a line that begins with `name`; false when there is none. */
static bool read_field(const char *path, const char *name, uint64_t *value)
{
	FILE *file = fopen(path, "re");
	char line[512];
	bool found = false;

	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, name, strlen(name)) != 0)
			continue;
		*value = strtoull(line + strlen(name), NULL, 10);
		found = true;
	}
	fclose(file);
	return found;
}

/* schedstat counts nanoseconds; the clock ticks of stat would be 10 ms each. */
static bool add_threads(uint32_t pid, DIR *folder, uint64_t *cpu_ns)
{
	const struct dirent *entry;
	char path[320];
	uint64_t ns;

	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task/%s/schedstat", pid,
			 entry->d_name);
		if (read_field(path, "", &ns))
			*cpu_ns += ns;
		else if (errno != ENOENT && errno != ESRCH) /* a thread may end meanwhile */
			return false;
	}
	return true;
}

bool process_usage_read(uint32_t pid, struct process_usage *usage, struct failure *failure)
{
	char path[64];
	uint64_t memory_kib;
	DIR *folder;
	bool good;

	*usage = (struct process_usage){0};
	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task", pid);
	folder = opendir(path);
	if (folder == NULL)
		return failure_set(failure, "There is no process %" PRIu32 " on this computer: %s.",
				   pid, strerror(errno));
	good = add_threads(pid, folder, &usage->cpu_ns);
	closedir(folder);
	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/status", pid);
	if (!good || !read_field(path, "VmRSS:", &memory_kib))
		return failure_set(failure, "Process %" PRIu32 " does not tell what it uses: %s.",
				   pid, strerror(errno));
	usage->memory_bytes = memory_kib * 1024;
	return true;
}
