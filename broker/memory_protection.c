/* memory_protection.c - see memory_protection.h. */
#include "broker/memory_protection.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* ---- locking ---- */

static struct rlimit raise_lock_limit(void)
{
	struct rlimit limit;
	must(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	struct rlimit raised = {limit.rlim_max, limit.rlim_max};
	return setrlimit(RLIMIT_MEMLOCK, &raised) == 0 ? raised : limit;
}

/* CAP_IPC_LOCK goes beyond the limit.  Nothing is written to the pages, so it costs nothing. */
static bool goes_beyond(rlim_t limit)
{
	size_t bytes = (size_t)limit + 65536;
	if (bytes < limit)
		return false;
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return false;
	bool beyond = mlock2(at, bytes, MLOCK_ONFAULT) == 0;
	must(munmap(at, bytes) == 0);
	return beyond;
}

struct memory_powers memory_protect(void)
{
	struct rlimit limit = raise_lock_limit();
	struct memory_powers powers = {.lock_limit = limit.rlim_cur};
	/* Without MCL_ONFAULT the store's map and every stack would be filled with zeros at once.
	 */
	if (limit.rlim_cur == RLIM_INFINITY)
		powers.all_locked = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
	else if (goes_beyond(limit.rlim_cur))
		powers.lock_limit = UINT64_MAX;
	powers.swap = memory_swap_reachable("");
	return powers;
}

/* ---- swap ---- */

static FILE *open_under(const char *root, const char *path)
{
	char whole[PATH_MAX];
	int len = snprintf(whole, sizeof(whole), "%s%s", root, path);
	return len < (int)sizeof(whole) ? fopen(whole, "re") : NULL;
}

/* A line of headings, and one for each device. */
static bool has_swap_device(const char *root)
{
	char line[512];
	FILE *file = open_under(root, "/proc/swaps");
	if (file == NULL)
		return errno != ENOENT; /* a kernel without swap has no such file */
	bool headings = fgets(line, sizeof(line), file) != NULL;
	bool device = headings && fgets(line, sizeof(line), file) != NULL;
	fclose(file);
	return device || !headings;
}

/* Our group in the one hierarchy of cgroups(7) version 2: the line "0::PATH". */
static bool find_group(const char *root, char path[PATH_MAX])
{
	FILE *file = open_under(root, "/proc/self/cgroup");
	bool found = false;
	while (file && !found && fgets(path, PATH_MAX, file)) {
		path[strcspn(path, "\n")] = '\0';
		found = strncmp(path, "0::/", 4) == 0;
	}
	if (file)
		fclose(file);
	if (found)
		memmove(path, path + 3, strlen(path + 3) + 1);
	return found;
}

static bool forbids_swap(const char *root, const char *group)
{
	char path[PATH_MAX + 64];
	char value[32] = "";
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.swap.max", group);
	FILE *file = open_under(root, path);
	if (file == NULL)
		return false;
	bool forbids = fgets(value, sizeof(value), file) && strcmp(value, "0\n") == 0;
	fclose(file);
	return forbids;
}

/* What a group may not do, the groups in it may not either. */
static bool group_forbids_swap(const char *root)
{
	char group[PATH_MAX];
	if (!find_group(root, group))
		return false;
	for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
		*end = '\0';
		if (forbids_swap(root, group))
			return true;
	}
	return false;
}

bool memory_swap_reachable(const char *root)
{
	return has_swap_device(root) && !group_forbids_swap(root);
}

/* ---- judgement ---- */

bool memory_protected(const struct memory_powers *powers, struct failure *failure)
{
	if (powers->exposed)
		return failure_set(failure, "payload cannot be kept out of core dumps and child "
					    "processes; that needs Linux 4.14");
	if (powers->all_locked || powers->lock_limit == UINT64_MAX || !powers->swap)
		return true;
	return failure_set(failure,
			   "payload may be swapped to a disk: there is swap, and only %" PRIu64
			   " kB may be locked; right would be LimitMEMLOCK=infinity in the unit "
			   "(`ulimit -l unlimited`), memory.swap.max 0 for the control group "
			   "(MemorySwapMax=0), or no swap",
			   powers->lock_limit / 1024);
}
