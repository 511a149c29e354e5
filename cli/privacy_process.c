/* privacy_process.c - what proc(5) tells of the broker: swap, core dumps, connections. */
#include "cli/privacy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKETS_MAX (1u << 20)

static FILE *open_file(int directory, const char *name)
{
	const int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;

	if (!file && fd >= 0)
		close(fd);
	return file;
}

/* ---- swap */

/* kB of a line "NAME:   123 kB"; UINT64_MAX: it is not there. */
static uint64_t status_kb(int process, const char *name)
{
	FILE *file = open_file(process, "status");
	const size_t len = strlen(name);
	uint64_t value = UINT64_MAX;
	char line[256];

	while (file && value == UINT64_MAX && fgets(line, sizeof(line), file))
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			value = strtoull(line + len + 1, NULL, 10);
	if (file)
		fclose(file);
	return value;
}

/* Lines of /proc/swaps behind the head; UINT_MAX: it cannot be read. */
static unsigned count_swaps(const char *proc)
{
	char path[4200];
	char line[512];
	unsigned lines = 0;

	snprintf(path, sizeof(path), "%.4000s/swaps", proc);
	FILE *file = fopen(path, "re");

	if (!file)
		return UINT32_MAX;
	while (fgets(line, sizeof(line), file))
		lines++;
	fclose(file);
	return lines > 0 ? lines - 1 : 0;
}

/*
 * kB of the process that swap may take: what is anonymous in mappings that are not locked.
 * VmLck counts room that nothing was written to, so it says nothing of the rest.  UINT64_MAX: smaps
 * cannot be read.
 */
static uint64_t unlocked_kb(int process)
{
	FILE *file = open_file(process, "smaps");
	uint64_t sum = UINT64_MAX;
	uint64_t anonymous = 0;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "Anonymous:", 10) == 0)
			anonymous = strtoull(line + 10, NULL, 10);
		if (strncmp(line, "VmFlags:", 8) != 0)
			continue;
		sum = (sum == UINT64_MAX ? 0 : sum) + (strstr(line, " lo") ? 0 : anonymous);
		anonymous = 0;
	}
	if (file)
		fclose(file);
	return sum;
}

static bool forbids_swap(const char *proc, const char *group)
{
	char path[4700];
	char value[32] = "";

	snprintf(path, sizeof(path), "%.4000s/../sys/fs/cgroup%s/memory.swap.max", proc, group);
	FILE *file = fopen(path, "re");
	const bool forbids = file && fgets(value, sizeof(value), file) && strcmp(value, "0\n") == 0;

	if (file)
		fclose(file);
	return forbids;
}

/* What a group of cgroups(7), version 2, may not do, the groups in it may not either. */
static bool group_forbids_swap(const struct privacy *privacy)
{
	FILE *file = open_file(privacy->process, "cgroup");
	char line[512] = "";
	bool found = false;
	bool forbids = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = strncmp(line, "0::/", 4) == 0;
	if (file)
		fclose(file);
	line[strcspn(line, "\n")] = '\0';
	for (char *end = line + strlen(line); found && !forbids && end;
	     end = strrchr(line + 3, '/')) {
		*end = '\0';
		forbids = forbids_swap(privacy->request.proc, line + 3);
	}
	return forbids;
}

static void look_at_swap(struct privacy *privacy)
{
	const uint64_t swapped = status_kb(privacy->process, "VmSwap");
	const uint64_t unlocked = unlocked_kb(privacy->process);
	const unsigned swaps = count_swaps(privacy->request.proc);
	char why[256] = "";

	if (swapped == UINT64_MAX || unlocked == UINT64_MAX || swaps == UINT32_MAX)
		snprintf(why, sizeof(why), "proc(5) does not tell: %s", strerror(errno));
	else if (swapped > 0)
		snprintf(why, sizeof(why), "%" PRIu64 " kB of its memory are in swap", swapped);
	else if (swaps > 0 && unlocked > 0 && !group_forbids_swap(privacy))
		snprintf(why, sizeof(why),
			 "swap is on, and %" PRIu64
			 " kB are not locked: raise RLIMIT_MEMLOCK, or set memory.swap.max to 0",
			 unlocked);
	privacy_tell(privacy, "memory is out of reach of swap",
		     "VmSwap and smaps of the process; swap devices; its control group",
		     why[0] ? why : NULL);
}

/* ---- core dumps */

/* Of a process that may not be dumped, its directory is root's.  What runs as root does not show.
 */
static bool is_dumpable(const struct privacy *privacy)
{
	FILE *file = open_file(privacy->process, "status");
	unsigned user = 0;
	char line[256];
	struct stat st;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Uid: %*u %u", &user) == 1)
			break;
	if (file)
		fclose(file);
	return fstat(privacy->process, &st) != 0 || (user != 0 && st.st_uid == user);
}

/* core(5): the limit does not count for a program that core dumps go to. */
static bool goes_to_program(const struct privacy *privacy)
{
	char path[4200];

	snprintf(path, sizeof(path), "%.4000s/sys/kernel/core_pattern", privacy->request.proc);
	FILE *file = fopen(path, "re");
	const bool goes = !file || fgetc(file) == '|';

	if (file)
		fclose(file);
	return goes;
}

static void look_at_core(struct privacy *privacy)
{
	FILE *file = open_file(privacy->process, "limits");
	static const char name[] = "Max core file size";
	const char *why = "proc(5) does not tell";
	char line[256];
	char soft[32];
	char hard[32];

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, sizeof(name) - 1) != 0)
			continue;
		if (sscanf(line + sizeof(name) - 1, "%31s %31s", soft, hard) == 2)
			why = strcmp(soft, "0") == 0 && strcmp(hard, "0") == 0
				  ? NULL
				  : "a core dump may be written: the limit is not 0";
	}
	if (file)
		fclose(file);
	if (!why && goes_to_program(privacy) && is_dumpable(privacy))
		why = "a core dump goes to a program (core_pattern), for which no limit counts, "
		      "and the process may be dumped";
	privacy_tell(privacy, "no core dump can be written",
		     "core file size of its limits; core_pattern, and is it dumpable", why);
}

/* ---- connections */

struct sockets {
	uint64_t *inodes;
	size_t count;
	uint16_t listening[1024];
	size_t listening_count;
};

static int by_number(const void *a, const void *b)
{
	const uint64_t *left = a;
	const uint64_t *right = b;

	return (*left > *right) - (*left < *right);
}

static bool gather_inodes(const struct privacy *privacy, struct sockets *sockets)
{
	const int fd = openat(privacy->process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	char target[64];

	if (!list)
		return false;
	while ((entry = readdir(list)) && sockets->count < SOCKETS_MAX) {
		const ssize_t len = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);

		if (len <= 0)
			continue;
		target[len] = '\0';
		if (sscanf(target, "socket:[%" SCNu64 "]", &sockets->inodes[sockets->count]) == 1)
			sockets->count++;
	}
	closedir(list);
	qsort(sockets->inodes, sockets->count, sizeof(*sockets->inodes), by_number);
	if (sockets->count == SOCKETS_MAX)
		errno = EOVERFLOW;
	return sockets->count < SOCKETS_MAX;
}

/* They are sorted. */
static bool is_ours(const struct sockets *sockets, uint64_t inode)
{
	return bsearch(&inode, sockets->inodes, sockets->count, sizeof(inode), by_number) != NULL;
}

struct row {
	char remote[33];
	unsigned local_port, remote_port, state;
	uint64_t inode;
};

static bool read_row(const char *line, struct row *row)
{
	char local[33];

	return sscanf(line,
		      " %*d: %32[0-9A-F]:%4X %32[0-9A-F]:%4X %2X %*s %*s %*s %*s %*s %" SCNu64,
		      local, &row->local_port, row->remote, &row->remote_port, &row->state,
		      &row->inode) == 6;
}

/* The kernel writes words of 32 bits as they lie in memory. */
static void write_address(const struct row *row, char text[80])
{
	const bool is_v6 = strlen(row->remote) == 32;
	char address[INET6_ADDRSTRLEN] = "?";
	uint32_t words[4] = {0};

	for (size_t i = 0; i < (is_v6 ? 4u : 1u); i++) {
		char word[9];

		memcpy(word, row->remote + 8 * i, 8);
		word[8] = '\0';
		words[i] = (uint32_t)strtoul(word, NULL, 16);
	}
	inet_ntop(is_v6 ? AF_INET6 : AF_INET, words, address, sizeof(address));
	snprintf(text, 80, is_v6 ? "[%s]:%u" : "%s:%u", address, row->remote_port);
}

static bool is_allowed(const struct privacy_request *request, const char *address)
{
	for (size_t i = 0; i < request->allowed_count; i++)
		if (strcmp(request->allowed[i], address) == 0)
			return true;
	return false;
}

#define STATE_LISTEN 10u
#define STATE_DEAD   6u /* TIME_WAIT: belongs to nobody any more */

/* The first time the ports that it listens on are noted, the second time what goes out. */
static void walk_table(const struct privacy *privacy, struct sockets *sockets, const char *name,
		       bool outgoing, char why[512])
{
	const bool is_tcp = strncmp(name, "net/tcp", 7) == 0;
	FILE *file = open_file(privacy->process, name);
	char line[512];
	char address[80];
	struct row row;

	/* A kernel without IPv6 has no such table. */
	if (!file && (errno != ENOENT || strchr(name, '6') == NULL))
		snprintf(why, 512, "/proc/%d/%s cannot be read: %s", (int)privacy->pid, name,
			 strerror(errno));
	while (file && fgets(line, sizeof(line), file)) {
		if (!read_row(line, &row) || !is_ours(sockets, row.inode))
			continue;
		if (!outgoing && row.state == STATE_LISTEN && sockets->listening_count < 1024)
			sockets->listening[sockets->listening_count++] = (uint16_t)row.local_port;
		if (!outgoing || row.state == STATE_LISTEN || row.state == STATE_DEAD)
			continue;
		bool came_in = false;

		/* Nobody comes in by UDP. */
		for (size_t i = 0; is_tcp && i < sockets->listening_count; i++)
			came_in = came_in || sockets->listening[i] == row.local_port;
		write_address(&row, address);
		if (!came_in && !is_allowed(&privacy->request, address))
			snprintf(why, 512, "a connection to %s; if it is configured: --allow %s",
				 address, address);
	}
	if (file)
		fclose(file);
}

static void look_at_connections(struct privacy *privacy)
{
	static const char *const tables[] = {"net/tcp", "net/tcp6"};
	static const char *const datagrams[] = {"net/udp", "net/udp6"};
	struct sockets *sockets = calloc(1, sizeof(*sockets));
	char why[512] = "";

	must(sockets);
	sockets->inodes = calloc(SOCKETS_MAX, sizeof(*sockets->inodes));
	must(sockets->inodes);
	if (!gather_inodes(privacy, sockets))
		snprintf(why, sizeof(why), "its sockets cannot be seen: %s", strerror(errno));
	for (size_t i = 0; i < 2; i++)
		walk_table(privacy, sockets, tables[i], false, why);
	for (size_t i = 0; i < 2; i++)
		walk_table(privacy, sockets, tables[i], true, why);
	for (size_t i = 0; i < 2; i++)
		walk_table(privacy, sockets, datagrams[i], true, why);
	privacy_tell(privacy, "no outbound connection but configured ones",
		     "TCP and UDP sockets of the process", why[0] ? why : NULL);
	free(sockets->inodes);
	free(sockets);
}

void privacy_look_at_process(struct privacy *privacy)
{
	look_at_swap(privacy);
	look_at_core(privacy);
	look_at_connections(privacy);
}
