/* privacy_search.c - looks for words in files, in all the forms in which they could be kept. */
#include "cli/privacy.h"
#include "storage/audit/crypto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 65536u
/* Of a file that only grows, so much of its end. */
#define TAIL_MAX (256u << 20)

struct needle {
	const char *form;
	uint8_t *at;
	size_t len;
};

struct needles {
	struct needle *all;
	size_t count;
	size_t longest;
};

struct needles *needles_create(void)
{
	struct needles *needles = calloc(1, sizeof(*needles));

	must(needles);
	return needles;
}

void needles_destroy(struct needles *needles)
{
	for (size_t i = 0; i < needles->count; i++)
		free(needles->all[i].at);
	free(needles->all);
	free(needles);
}

static void add(struct needles *needles, const char *form, const void *at, size_t len)
{
	needles->all = realloc(needles->all, (needles->count + 1) * sizeof(*needles->all));
	must(needles->all);
	struct needle *needle = &needles->all[needles->count++];

	*needle = (struct needle){form, malloc(len), len};
	must(needle->at);
	memcpy(needle->at, at, len);
	if (len > needles->longest)
		needles->longest = len;
}

static void add_hex(struct needles *needles, const char *form, const uint8_t *at, size_t len)
{
	static const char *const formats[] = {"%02x", "%02X"};
	char text[2 * 256 + 1];

	must(len <= 256);
	for (size_t f = 0; f < 2; f++) {
		for (size_t i = 0; i < len; i++)
			snprintf(text + 2 * i, 3, formats[f], at[i]);
		add(needles, form, text, 2 * len);
	}
}

/* At each of the three places where it may begin; the characters that its neighbours change are
 * left out. */
static void add_base64(struct needles *needles, const char *form, const uint8_t *at, size_t len)
{
	uint8_t shifted[2 + 256] = {0};
	char text[AUDIT_BASE64_SIZE(sizeof(shifted))];

	must(len <= 256);
	for (size_t before = 0; before < 3; before++) {
		memcpy(shifted + before, at, len);
		audit_base64_write(slice_of(shifted, before + len), text, sizeof(text));
		const size_t from = before == 0 ? 0 : before + 1;
		const size_t to = (before + len) * 8 / 6;

		if (to > from + 8)
			add(needles, form, text + from, to - from);
	}
}

void needles_add(struct needles *needles, const char *word)
{
	const struct slice bytes = slice_text(word);
	const struct audit_hash hash = audit_sha256(&bytes, 1);

	add(needles, "as it is", bytes.at, bytes.len);
	add_hex(needles, "in hexadecimal", bytes.at, bytes.len);
	add_base64(needles, "in base64", bytes.at, bytes.len);
	add(needles, "as SHA-256", hash.bytes, AUDIT_HASH_LEN);
	add_hex(needles, "as SHA-256 in hexadecimal", hash.bytes, AUDIT_HASH_LEN);
	add_base64(needles, "as SHA-256 in base64", hash.bytes, AUDIT_HASH_LEN);
}

static bool is_in(const struct needles *needles, const uint8_t *at, size_t len, const char **found)
{
	for (size_t i = 0; i < needles->count; i++)
		if (memmem(at, len, needles->all[i].at, needles->all[i].len)) {
			*found = needles->all[i].form;
			return true;
		}
	return false;
}

bool needles_in_file(const struct needles *needles, int fd, const char **found)
{
	uint8_t *block = malloc(needles->longest + BLOCK);
	size_t kept = 0;
	struct stat st;
	bool hit = false;

	must(block);
	off_t at =
	    fstat(fd, &st) == 0 && st.st_size > (off_t)TAIL_MAX ? st.st_size - (off_t)TAIL_MAX : 0;

	for (ssize_t n; !hit && (n = pread(fd, block + kept, BLOCK, at)) > 0; at += n) {
		const size_t have = kept + (size_t)n;

		hit = is_in(needles, block, have, found);
		kept = have < needles->longest ? have : needles->longest;
		memmove(block, block + have - kept, kept);
	}
	free(block);
	return hit;
}

/* ---- where */

struct search {
	const struct needles *needles;
	char why[2048]; /* what was found */
	unsigned files;
};

static void look_into(struct search *search, int directory, const char *name, const char *told)
{
	const char *form = "";
	const int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	search->files++;
	if (needles_in_file(search->needles, fd, &form)) {
		const size_t len = strlen(search->why);

		snprintf(search->why + len, sizeof(search->why) - len, "%s%.300s holds a canary %s",
			 len > 0 ? "; " : "", told, form);
	}
	close(fd);
}

static void walk(struct search *search, int directory, const char *told, unsigned depth)
{
	const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	char path[512];

	if (!list) {
		snprintf(search->why, sizeof(search->why), "%.300s: %s", told, strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%.250s/%.250s", told, entry->d_name);
		const int inner =
		    openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (inner >= 0 && depth < 16)
			walk(search, inner, path, depth + 1);
		else
			look_into(search, fd, entry->d_name, path);
		if (inner >= 0)
			close(inner);
	}
	closedir(list);
}

/* Log files, what standard output goes to, and whatever else. */
static void walk_open_files(struct search *search, int process, const char *data)
{
	char *inside = realpath(data, NULL);
	const int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	char target[512];

	if (!list) {
		snprintf(search->why, sizeof(search->why), "its open files cannot be seen: %s",
			 strerror(errno));
		if (fd >= 0)
			close(fd);
		free(inside);
		return;
	}
	while ((entry = readdir(list))) {
		const ssize_t len = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);

		if (len <= 0 || target[0] != '/')
			continue;
		target[len] = '\0';
		if (!inside || strncmp(target, inside, strlen(inside)) != 0)
			look_into(search, fd, entry->d_name, target);
	}
	free(inside);
	closedir(list);
}

void privacy_search(struct privacy *privacy, const struct needles *needles)
{
	struct search data = {.needles = needles};
	struct search files = {.needles = needles};

	usleep(300000); /* what is written behind the messages */
	walk(&data, privacy->directory, privacy->request.data, 0);
	walk_open_files(&files, privacy->process, privacy->request.data);
	privacy_tell(privacy, "no payload, topic or client id in the data directory",
		     "every file searched: as it is, hexadecimal, base64, SHA-256",
		     data.why[0]       ? data.why
		     : data.files == 0 ? "there is no file that can be read"
				       : NULL);
	privacy_tell(privacy, "nor in any other file that the broker has open",
		     "its open files and logs searched likewise", files.why[0] ? files.why : NULL);
}
