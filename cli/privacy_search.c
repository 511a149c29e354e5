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
/* Of a log, which only grows, so much of its end.  Of a file of the data directory everything:
 * pages of data.mdb are used again. */
#define TAIL_MAX (256u << 20)

/* Each needle is longer: a canary has 8 characters. */
#define BEGINNING 4u

struct needle {
	const char *form;
	uint8_t *at;
	size_t len;
};

struct needles {
	struct needle *all;
	size_t count;
	size_t longest;
	bool begins[UINT16_MAX + 1]; /* by hash_of(): does one begin like this? */
};

static uint16_t hash_of(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, BEGINNING);
	return (uint16_t)(word * UINT32_C(2654435761) >> 16);
}

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
	must(needle->at && len >= BEGINNING);
	memcpy(needle->at, at, len);
	needles->begins[hash_of(needle->at)] = true;
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

static const char *begins_at(const struct needles *needles, const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < needles->count; i++)
		if (needles->all[i].len <= len &&
		    memcmp(at, needles->all[i].at, needles->all[i].len) == 0)
			return needles->all[i].form;
	return NULL;
}

/* Its form; NULL: none of them is in there. */
static const char *find(const struct needles *needles, const uint8_t *at, size_t len)
{
	const char *form = NULL;

	for (size_t i = 0; !form && i + BEGINNING <= len; i++)
		if (needles->begins[hash_of(at + i)])
			form = begins_at(needles, at + i, len - i);
	return form;
}

enum needles_seen needles_in_file(const struct needles *needles, int fd, bool whole,
				  const char **form)
{
	uint8_t *block = malloc(needles->longest + BLOCK);
	size_t kept = 0;
	ssize_t n = 0;
	struct stat st;

	must(block);
	const bool readable = fstat(fd, &st) == 0;
	off_t at =
	    !whole && readable && st.st_size > (off_t)TAIL_MAX ? st.st_size - (off_t)TAIL_MAX : 0;

	*form = NULL;
	while (readable && !*form && (n = pread(fd, block + kept, BLOCK, at)) > 0) {
		const size_t have = kept + (size_t)n;

		*form = find(needles, block, have);
		kept = have < needles->longest ? have : needles->longest;
		memmove(block, block + have - kept, kept);
		at += n;
	}
	free(block);
	if (*form)
		return NEEDLES_FOUND;
	return readable && n == 0 ? NEEDLES_NOT_THERE : NEEDLES_UNREADABLE;
}

/* ---- where */

struct search {
	const struct needles *needles;
	bool whole;	/* files are read from their beginning */
	char why[2048]; /* what was found, and what could not be looked at */
	unsigned files;
};

static void complain(struct search *search, const char *told, const char *what, const char *form)
{
	const size_t len = strlen(search->why);

	snprintf(search->why + len, sizeof(search->why) - len, "%s%.300s%s%s", len > 0 ? "; " : "",
		 told, what, form);
}

static void look_at(struct search *search, int fd, const char *told)
{
	const char *form;

	search->files++;
	switch (needles_in_file(search->needles, fd, search->whole, &form)) {
	case NEEDLES_FOUND:
		complain(search, told, " holds a canary ", form);
		break;
	case NEEDLES_UNREADABLE:
		complain(search, told, " cannot be read: ", strerror(errno));
		break;
	case NEEDLES_NOT_THERE:
		break;
	}
}

/* What has gone meanwhile holds nothing, nor does what is no file. */
static void look_into(struct search *search, int directory, const char *name, const char *told)
{
	struct stat st;
	const bool there = fstatat(directory, name, &st, 0) == 0;

	if (there && !S_ISREG(st.st_mode))
		return;
	const int fd = there ? openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;

	if (fd >= 0)
		look_at(search, fd, told);
	else if (errno != ENOENT)
		complain(search, told, " cannot be opened: ", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Too deep, or a link to a directory, which may lead anywhere. */
static bool is_directory(int directory, const char *name)
{
	struct stat st;

	return fstatat(directory, name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static void walk(struct search *search, int directory, const char *told, unsigned depth)
{
	const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	char path[512];

	if (!list) {
		complain(search, told, ": ", strerror(errno));
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
		else if (is_directory(fd, entry->d_name))
			complain(search, path, " was not searched: a link, or too deep", "");
		else
			look_into(search, fd, entry->d_name, path);
		if (inner >= 0)
			close(inner);
	}
	closedir(list);
}

/* A file that walk() finds by its name: below the directory, and not removed. */
static bool is_inside(const char *directory, const char *path, int descriptors, const char *name)
{
	const size_t len = directory ? strlen(directory) : 0;
	struct stat st;

	return len > 0 && strncmp(path, directory, len) == 0 && path[len] == '/' &&
	       fstatat(descriptors, name, &st, 0) == 0 && st.st_nlink > 0;
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
		if (!is_inside(inside, target, fd, entry->d_name))
			look_into(search, fd, entry->d_name, target);
	}
	free(inside);
	closedir(list);
}

void privacy_search(struct privacy *privacy, const struct needles *needles)
{
	struct search data = {.needles = needles, .whole = true};
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
